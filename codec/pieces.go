package codec

// A large payload that stands in the receiver's serializer already need not be copied into its message: the message
// is encoded up to the payload, and the payload follows in pieces. The receiver's queue links them.

// AppendInvocationHead encodes INVOCATION up to its payload; PayloadPieces is the rest. d may be nil.
func AppendInvocationHead(dst []byte, s Serializer, request, registration uint64, d *Details, p *Payload) []byte {
	return appendDetails(comma(headInvocation(dst, s, 4+payloadLen(p), request, registration), s), s, d,
		&invocationNames)
}

// AppendResultHead encodes RESULT up to its payload; PayloadPieces is the rest. d may be nil.
func AppendResultHead(dst []byte, s Serializer, request uint64, d *Details, p *Payload) []byte {
	return appendDetails(comma(headResult(dst, s, 3+payloadLen(p), request), s), s, d, &resultNames)
}

// AppendErrorHead encodes the ERROR of a call up to its payload; PayloadPieces is the rest. details are as in
// AppendError. It fails with ErrTooLong if that alone has more than bytesMax octets.
func AppendErrorHead(dst []byte, s Serializer, request uint64, details *Options, uri []byte, p *Payload,
	bytesMax int,
) ([]byte, error) {
	out, err := details.appendOptions(comma(headError(dst, s, 5+payloadLen(p), uint64(Call), request), s), s,
		len(dst)+bytesMax)
	if err != nil {
		return dst, err
	}
	return within(dst, appendText(comma(out, s), s, uri), bytesMax)
}

var (
	pieceComma = []byte{','}
	pieceEnd   = []byte{']'}
)

// PayloadPieces appends to dst what follows the head of a message with the payload p, in pieces that alias p.
// p.Format must be the serializer of the head.
func PayloadPieces(dst [][]byte, p *Payload) [][]byte {
	s := p.Format
	if p.Args != nil || p.Kwargs != nil {
		if s == JSON {
			dst = append(dst, pieceComma)
		}
		if p.Args != nil {
			dst = append(dst, p.Args)
		} else {
			dst = append(dst, endMessage(appendListHead(nil, s, 0), s))
		}
	}
	if p.Kwargs != nil {
		if s == JSON {
			dst = append(dst, pieceComma)
		}
		dst = append(dst, p.Kwargs)
	}
	if s == JSON {
		dst = append(dst, pieceEnd)
	}
	return dst
}

// FramePieces wraps one message that is given in pieces for v: it returns the pieces of the frame. ok is false if the
// message has more octets than bytesMax or than the framing carries.
func FramePieces(v Variant, pieces [][]byte, bytesMax int) (frame [][]byte, ok bool) {
	n := 0
	for _, p := range pieces {
		n += len(p)
	}
	if n > min(bytesMax, v.MessageBytesMax()) {
		return nil, false
	}
	header := make([]byte, v.headerLen(n))
	v.putHeader(header, n)
	frame = append(make([][]byte, 0, len(pieces)+2), header)
	frame = append(frame, pieces...)
	if end := v.appendTerminator(nil); end != nil {
		frame = append(frame, end)
	}
	return frame, true
}
