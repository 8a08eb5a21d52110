package codec

import (
	"errors"
	"math"
)

// Append encodes any of the 25 messages from its fields. It transcodes Dict from m.Format, and the payload from
// Payload.Format; a format of 0 stands for s. A nil Dict is {}, but the optional dictionary of UNSUBSCRIBE,
// UNREGISTER, revocations and EVENT_RECEIVED is then left out. Clients and tests use Append; the router uses the
// functions below. On error Append returns dst unchanged in length.
func Append(dst []byte, s Serializer, m *Message) ([]byte, error) {
	out, err := appendMessage(dst, s, m)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendMessage(dst []byte, s Serializer, m *Message) (_ []byte, err error) {
	sh := shapeOf(m.Type)
	if sh == nil {
		return dst, errors.New("codec: " + m.Type.String() + " is no message")
	}
	n := 1 + len(sh.elements)
	for _, e := range sh.elements {
		if e.kind == elementOptionalDict && m.Dict == nil {
			n--
		}
	}
	if sh.payload {
		n += payloadLen(&m.Payload)
	}
	dst = appendListHead(dst, s, n)
	dst = appendUint(dst, s, uint64(m.Type))
	for _, e := range sh.elements {
		if e.kind == elementOptionalDict && m.Dict == nil {
			continue
		}
		if s == JSON {
			dst = append(dst, ',')
		}
		switch e.kind {
		case elementRequest:
			dst = appendUint(dst, s, m.Request)
		case elementID:
			dst = appendUint(dst, s, m.ID)
		case elementPublication:
			dst = appendUint(dst, s, m.Publication)
		case elementRequestType:
			dst = appendUint(dst, s, uint64(m.RequestType))
		case elementDict, elementOptionalDict:
			if dst, err = appendRawDict(dst, s, m.Dict, m.Format, math.MaxInt); err != nil {
				return dst, err
			}
		case elementRealm:
			if m.URI == nil {
				dst = appendNull(dst, s)
				continue
			}
			fallthrough
		default:
			dst = appendText(dst, s, m.URI)
		}
	}
	if sh.payload {
		if dst, err = appendPayload(dst, s, &m.Payload, math.MaxInt); err != nil {
			return dst, err
		}
	}
	return endMessage(dst, s), nil
}

// endMessage closes the message's list.
func endMessage(dst []byte, s Serializer) []byte {
	if s == JSON {
		return append(dst, ']')
	}
	return dst
}

// comma goes in front of every element behind a head.
func comma(dst []byte, s Serializer) []byte {
	if s == JSON {
		return append(dst, ',')
	}
	return dst
}

// appendRawDict appends the encoded dictionary dict, nil for an empty one. dst may grow to limit octets.
func appendRawDict(dst []byte, s Serializer, dict []byte, from Serializer, limit int) ([]byte, error) {
	if dict == nil {
		return appendEmptyDict(dst, s), nil
	}
	if from == 0 {
		from = s
	}
	return Transcode(dst, dict, from, s, limit-len(dst))
}

// payloadLen returns the number of elements that the payload is written with. Absent ones at the end are left out
// (PROTOCOL 1.1).
func payloadLen(p *Payload) int {
	switch {
	case p == nil:
		return 0
	case p.Kwargs != nil:
		return 2
	case p.Args != nil:
		return 1
	}
	return 0
}

// appendPayload appends the elements of the payload behind other elements. dst may grow to limit octets.
func appendPayload(dst []byte, s Serializer, p *Payload, limit int) (_ []byte, err error) {
	if p == nil || p.Args == nil && p.Kwargs == nil {
		return dst, nil
	}
	dst = comma(dst, s)
	same := p.Format == s || p.Format == 0 // a copy does not grow: the caller checks the whole
	switch {
	case p.Args == nil:
		dst = endMessage(appendListHead(dst, s, 0), s)
	case same:
		dst = appendLong(dst, p.Args)
	default:
		if dst, err = Transcode(dst, p.Args, p.Format, s, limit-len(dst)); err != nil {
			return dst, err
		}
	}
	if p.Kwargs == nil {
		return dst, nil
	}
	dst = comma(dst, s)
	if same {
		return appendLong(dst, p.Kwargs), nil
	}
	return Transcode(dst, p.Kwargs, p.Format, s, limit-len(dst))
}

// The router's encoders. They append one message and allocate nothing but growth of dst.

// AppendAbort encodes ABORT, always of three elements (PROTOCOL 4.5). An empty message is left out of the details.
func AppendAbort(dst []byte, s Serializer, reason, message string) []byte {
	return appendReason(headAbort(dst, s, 3), s, reason, message)
}

// AppendGoodbye encodes GOODBYE. An empty message is left out of the details.
func AppendGoodbye(dst []byte, s Serializer, reason, message string) []byte {
	return appendReason(headGoodbye(dst, s, 3), s, reason, message)
}

func appendReason(dst []byte, s Serializer, reason, message string) []byte {
	dst = comma(dst, s)
	if message == "" {
		dst = appendEmptyDict(dst, s)
	} else {
		w := beginDict(dst, s, 1)
		w.key("message")
		w.dst = appendCleanText(w.dst, s, message)
		dst = w.end()
	}
	return endMessage(appendText(comma(dst, s), s, reason), s)
}

// AppendPublished encodes PUBLISHED.
func AppendPublished(dst []byte, s Serializer, request, publication uint64) []byte {
	return endMessage(headPublished(dst, s, 3, request, publication), s)
}

// AppendSubscribed encodes SUBSCRIBED.
func AppendSubscribed(dst []byte, s Serializer, request, subscription uint64) []byte {
	return endMessage(headSubscribed(dst, s, 3, request, subscription), s)
}

// AppendUnsubscribed encodes the answer to UNSUBSCRIBE.
func AppendUnsubscribed(dst []byte, s Serializer, request uint64) []byte {
	return endMessage(headUnsubscribed(dst, s, 2, request), s)
}

// AppendRegistered encodes REGISTERED.
func AppendRegistered(dst []byte, s Serializer, request, registration uint64) []byte {
	return endMessage(headRegistered(dst, s, 3, request, registration), s)
}

// AppendUnregistered encodes the answer to UNREGISTER.
func AppendUnregistered(dst []byte, s Serializer, request uint64) []byte {
	return endMessage(headUnregistered(dst, s, 2, request), s)
}

// AppendInterrupt encodes INTERRUPT. mode is Kill or KillNoWait; Skip interrupts nobody (PROTOCOL 8.8).
func AppendInterrupt(dst []byte, s Serializer, request uint64, mode CancelMode) []byte {
	w := beginDict(comma(headInterrupt(dst, s, 3, request), s), s, 1)
	w.key("mode")
	if mode == Kill {
		w.dst = appendText(w.dst, s, "kill")
	} else {
		w.dst = appendText(w.dst, s, "killnowait")
	}
	return endMessage(w.end(), s)
}

// AppendEvent encodes EVENT; d and p may be nil. bytesMax is the length in octets of the longest message that the
// receiver accepts. AppendEvent fails with ErrTooLong if the message is longer, and with another error if the payload
// has no form in s (see Transcode); it then returns dst unchanged in length. Any goroutine may call it.
//
// hot: BenchmarkAppendEvent, 0 allocs/op.
func AppendEvent(dst []byte, s Serializer, subscription, publication uint64, d *Details, p *Payload,
	bytesMax int,
) ([]byte, error) {
	out := headEvent(dst, s, 4+payloadLen(p), subscription, publication)
	return finish(dst, out, s, d, p, &eventNames, bytesMax)
}

// AppendInvocation encodes INVOCATION; see AppendEvent.
func AppendInvocation(dst []byte, s Serializer, request, registration uint64, d *Details, p *Payload,
	bytesMax int,
) ([]byte, error) {
	out := headInvocation(dst, s, 4+payloadLen(p), request, registration)
	return finish(dst, out, s, d, p, &invocationNames, bytesMax)
}

// AppendResult encodes RESULT; see AppendEvent.
func AppendResult(dst []byte, s Serializer, request uint64, d *Details, p *Payload, bytesMax int) ([]byte, error) {
	out := headResult(dst, s, 3+payloadLen(p), request)
	return finish(dst, out, s, d, p, &resultNames, bytesMax)
}

// finish appends details and payload to out, which is dst with the beginning of the message.
func finish(dst, out []byte, s Serializer, d *Details, p *Payload, names *identityNames,
	bytesMax int,
) ([]byte, error) {
	out = appendDetails(comma(out, s), s, d, names)
	out, err := appendPayload(out, s, p, len(dst)+bytesMax)
	if err != nil {
		return dst, err
	}
	return within(dst, endMessage(out, s), bytesMax)
}

// within checks the length of the message that out holds behind dst.
func within(dst, out []byte, bytesMax int) ([]byte, error) {
	if len(out)-len(dst) > bytesMax {
		return dst, ErrTooLong
	}
	return out, nil
}

// AppendError encodes ERROR. details are the options of the ERROR that is passed on: AppendError copies their whole
// dictionary but forward_for (PROTOCOL 1.5, 15). details and p may be nil. It fails as AppendEvent does.
func AppendError(
	dst []byte, s Serializer, requestType Type, request uint64, details *Options, uri []byte, p *Payload,
	bytesMax int,
) ([]byte, error) {
	limit := len(dst) + bytesMax
	out, err := details.appendOptions(comma(headError(dst, s, 5+payloadLen(p), uint64(requestType), request), s), s,
		limit)
	if err != nil {
		return dst, err
	}
	if out, err = appendPayload(appendText(comma(out, s), s, uri), s, p, limit); err != nil {
		return dst, err
	}
	return within(dst, endMessage(out, s), bytesMax)
}

// AppendRefusal encodes ERROR with empty details and, when message is not "", Arguments [message]. It cannot fail.
func AppendRefusal(dst []byte, s Serializer, requestType Type, request uint64, uri, message string) []byte {
	n := 5
	if message != "" {
		n = 6
	}
	dst = appendEmptyDict(comma(headError(dst, s, n, uint64(requestType), request), s), s)
	dst = appendText(comma(dst, s), s, uri)
	if message != "" {
		dst = appendListHead(comma(dst, s), s, 1)
		dst = endMessage(appendCleanText(dst, s, message), s)
	}
	return endMessage(dst, s)
}

// AppendChallenge encodes CHALLENGE; extra is a raw dictionary in s, nil for {}.
func AppendChallenge(dst []byte, s Serializer, method string, extra []byte) []byte {
	dst = appendText(comma(headChallenge(dst, s, 3), s), s, method)
	dst = comma(dst, s)
	if extra == nil {
		return endMessage(appendEmptyDict(dst, s), s)
	}
	return endMessage(append(dst, extra...), s)
}
