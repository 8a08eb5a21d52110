package codec

import (
	"errors"
	"math"
	"sync"
	"time"
	"unicode/utf8"
)

// Errors of Transcode. Everything else has a form in every serializer.
var (
	errKeyForm = errors.New("codec: a list or dictionary as key has no form in JSON")
	errDepth   = errors.New("codec: containers nest too deeply")
)

// ErrTooMuchWork means that a payload takes longer to transcode than its owner allows: see Payload.AppendIn.
var ErrTooMuchWork = errors.New("codec: the payload takes too long to transcode")

// ErrTooLong means that a message is longer than its receiver accepts.
var ErrTooLong = errors.New("codec: the message is longer than its receiver accepts")

// Transcode converts the value src, well-formed in from, to the encoding to and appends it to dst (PROTOCOL 14.4). It
// fails if a key of a dictionary is a container and to is JSON, beyond a depth of DepthMaxMost, and with ErrTooLong
// if the result has more than bytesMax octets; it stops soon after it has written so many. On error it returns dst
// unchanged. It allocates nothing but growth of dst, unless an integer exceeds 64 bits. Any goroutine may call it.
//
// hot: BenchmarkTranscode. It works token by token. MessagePack and CBOR need the number of items in the head of a
// container; where the source ends containers with a mark, a first pass counts.
func Transcode(dst, src []byte, from, to Serializer, bytesMax int) ([]byte, error) {
	if from == to {
		if len(src) > bytesMax {
			return dst, ErrTooLong
		}
		return appendLong(dst, src), nil
	}
	work := math.MaxInt
	return transcodeWithin(dst, src, from, to, bytesMax, &work)
}

// transcodeWithin is Transcode between two serializers. It takes what it costs off work, in tokens of usual cost, and
// fails with ErrTooMuchWork soon after work is used up.
func transcodeWithin(dst, src []byte, from, to Serializer, bytesMax int, work *int) ([]byte, error) {
	t := transcoders.Get().(*transcoder)
	t.limit = len(dst) + min(bytesMax, math.MaxInt-len(dst))
	t.work = *work - len(src)>>octetsPerTokenShift
	out, err := t.run(dst, src, from, to)
	*work = t.work
	t.release()
	if err != nil {
		return dst, err
	}
	return out, nil
}

var transcoders = sync.Pool{New: func() any { return new(transcoder) }}

// A transcoder is the scratch of one Transcode. Owned by the call.
type transcoder struct {
	lex    lexer
	to     Serializer
	dst    []byte
	bin    []byte
	limit  int   // the length that dst may have at the end
	work   int   // how much may still be done, in tokens of usual cost
	counts []int // items of the containers that end with a mark, in the order in which they begin
	levels [DepthMaxMost]level

	counting [DepthMaxMost]level // while counting CBOR: the open containers
	open     [DepthMaxMost]int   // while counting JSON: the indexes in counts of the open containers
}

// A level is an open container.
type level struct {
	dict    bool
	until   bool // ends with a mark
	value   bool // dict: the next token is a value, not a key
	started bool // something was written
	left    int  // tokens (dict: two per pair) until the end, unless until
	index   int  // while counting: its index in counts
}

// release puts t back into the pool, unless an unusually large value made its scratch grow.
func (t *transcoder) release() {
	if cap(t.lex.scratch) > scratchBytesMax || cap(t.bin) > scratchBytesMax || cap(t.counts) > countsMax {
		return
	}
	t.lex.b, t.dst = nil, nil
	transcoders.Put(t)
}

func (t *transcoder) run(dst, src []byte, from, to Serializer) ([]byte, error) {
	t.dst, t.to = dst, to
	t.lex.reset(from, src)
	counted := to == JSON // it needs no counts
	depth, next := 0, 0
	for {
		var tok token
		t.lex.next(&tok)
		for tok.kind == kindTag {
			// Tags are dropped, their content stays. (The lexer makes integers of tags 2 and 3.)
			t.lex.next(&tok)
		}
		if tok.kind == kindEnd && depth > 0 {
			depth--
			t.close(&t.levels[depth])
		} else {
			isKey := false
			if depth > 0 {
				isKey = t.separate(&t.levels[depth-1])
			}
			switch {
			case tok.kind == kindList || tok.kind == kindDict:
				if isKey && to == JSON {
					return dst, errKeyForm
				}
				if depth == DepthMaxMost {
					return dst, errDepth
				}
				if tok.open && !counted {
					count := t.countCBOR
					if from == JSON {
						count = t.countJSON
					}
					if err := count(src); err != nil {
						return dst, err
					}
					counted = true
				}
				if tok.open && to != JSON {
					tok.n = t.counts[next]
					next++
				}
				t.begin(&t.levels[depth], &tok)
				depth++
			case isKey:
				t.key(&tok)
			default:
				t.scalar(&tok)
			}
		}
		for depth > 0 && !t.levels[depth-1].until && t.levels[depth-1].left == 0 {
			depth--
			t.close(&t.levels[depth])
		}
		if len(t.dst) > t.limit {
			return dst, ErrTooLong
		}
		if t.work--; t.work < 0 {
			return dst, ErrTooMuchWork
		}
		if isTight(t.dst) {
			t.dst = growLong(t.dst, growRoom)
		}
		if depth == 0 {
			return t.dst, nil
		}
	}
}

func levelOf(tok *token) level {
	l := level{dict: tok.kind == kindDict, until: tok.open, left: tok.n}
	if l.dict {
		l.left *= 2
	}
	return l
}

func (t *transcoder) begin(l *level, tok *token) {
	*l = levelOf(tok)
	if l.dict {
		t.dst = appendDictHead(t.dst, t.to, tok.n)
	} else {
		t.dst = appendListHead(t.dst, t.to, tok.n)
	}
}

func (t *transcoder) close(l *level) {
	if t.to != JSON {
		return
	}
	if l.dict {
		t.dst = append(t.dst, '}')
	} else {
		t.dst = append(t.dst, ']')
	}
}

// separate writes the separator in front of the next token of l and reports whether that token is a key.
func (t *transcoder) separate(l *level) (isKey bool) {
	l.left--
	if t.to == JSON {
		switch {
		case l.value:
			t.dst = append(t.dst, ':')
		case l.started:
			t.dst = append(t.dst, ',')
		}
	}
	l.started = true
	if !l.dict {
		return false
	}
	isKey = !l.value
	l.value = isKey
	return isKey
}

// key writes a key. In JSON a scalar becomes text; between MessagePack and CBOR a key keeps its kind. Keys that have
// become equal, because they were "1" and 1 or differed in lone surrogates only, both stay: which of them counts is
// the receiver's choice, as it is for every payload with equal keys.
func (t *transcoder) key(tok *token) {
	switch {
	case tok.kind == kindText && (t.lex.s == JSON || utf8.Valid(tok.b)):
		t.plainText(tok.b)
	case t.to != JSON:
		t.scalar(tok)
	case tok.kind == kindText || tok.kind == kindBin || tok.kind == kindExt && tok.ext != -1:
		// Keys have no U+0000 in front (PROTOCOL 14.2): plain base64.
		start := len(t.dst)
		t.dst = appendBin(t.dst, JSON, tok.b)
		t.dst = append(t.dst[:start+1], t.dst[start+len(`"\u0000`):]...)
	default:
		start := len(t.dst)
		t.scalar(tok)
		if t.dst[start] == '"' {
			return
		}
		t.dst = append(t.dst, 0, '"')
		copy(t.dst[start+1:], t.dst[start:len(t.dst)-2])
		t.dst[start] = '"'
	}
}

// isSlow reports whether a JSON number has taken long to read.
func isSlow(tok *token) bool {
	return len(tok.b) > longDigits || math.IsInf(tok.f, 0) || tok.f != 0 && math.Abs(tok.f) < 0x1p-1022
}

// scalar writes a value that is no container.
func (t *transcoder) scalar(tok *token) {
	if tok.kind == kindBig || tok.kind == kindFloat && tok.b != nil && isSlow(tok) {
		t.work -= longTokens + len(tok.b)>>longDigitsShift
	}
	switch tok.kind {
	case kindBool:
		t.dst = appendBool(t.dst, t.to, tok.u != 0)
	case kindInt:
		t.integer(tok)
	case kindBig:
		t.big(tok)
	case kindFloat:
		if t.lex.s == JSON && math.IsInf(tok.f, 0) {
			// A number beyond the range of a float64: its digits say more than an infinity.
			t.dst = appendText(t.dst, t.to, tok.b)
			return
		}
		t.dst = appendFloat(t.dst, t.to, tok.f, tok.narrow)
	case kindText:
		t.text(tok)
	case kindBin:
		t.dst = appendBin(t.dst, t.to, tok.b)
	case kindExt:
		t.extension(tok)
	default:
		t.dst = appendNull(t.dst, t.to)
	}
}

func (t *transcoder) integer(tok *token) {
	switch {
	case !tok.neg:
		t.dst = appendUint(t.dst, t.to, tok.u)
	case tok.u <= math.MaxInt64:
		t.dst = appendInt(t.dst, t.to, ^int64(tok.u))
	case t.to == CBOR:
		t.dst = appendCBORHead(t.dst, cborNegint, tok.u)
	default:
		t.dst = appendBig(t.dst, t.to, bigOf(tok))
	}
}

// text writes text. It writes binary if a JSON string stands for binary, or if the text is not valid UTF-8 (PROTOCOL
// 14.2, 14.4).
func (t *transcoder) text(tok *token) {
	if t.lex.s == JSON {
		if bin, ok := decodeBinary(t.bin[:0], tok.b); ok {
			t.bin = bin
			t.dst = appendBin(t.dst, t.to, bin)
			return
		}
	} else if !utf8.Valid(tok.b) {
		t.dst = appendBin(t.dst, t.to, tok.b)
		return
	}
	t.plainText(tok.b)
}

// plainText writes text as text. One text may become six times as long in JSON, so appendJSONText checks the limit
// while writing.
func (t *transcoder) plainText(text []byte) {
	if t.to == JSON {
		t.dst = appendJSONText(t.dst, text, t.limit)
	} else {
		t.dst = appendText(t.dst, t.to, text)
	}
}

// The years 0 to 9999, all that RFC 3339 can name, in Unix seconds.
const (
	rfc3339First = -62167219200
	rfc3339Last  = 253402300799
)

// extension writes a MessagePack extension: a timestamp as time, anything else as binary.
func (t *transcoder) extension(tok *token) {
	sec, nsec, ok := timestamp(tok)
	switch {
	case !ok:
		t.dst = appendBin(t.dst, t.to, tok.b)
	case t.to == JSON:
		if sec < rfc3339First || sec > rfc3339Last {
			t.dst = appendBin(t.dst, JSON, tok.b)
			return
		}
		t.dst = append(t.dst, '"')
		t.dst = time.Unix(sec, nsec).UTC().AppendFormat(t.dst, time.RFC3339Nano)
		t.dst = append(t.dst, '"')
	case nsec == 0:
		t.dst = appendCBORHead(t.dst, cborTag, 1)
		t.dst = appendInt(t.dst, CBOR, sec)
	default:
		// Tag 1001 (RFC 9581) keeps the nanoseconds exact: {1: seconds, -9: nanoseconds}.
		t.dst = appendCBORHead(t.dst, cborTag, 1001)
		t.dst = append(t.dst, cborDict|2, 1)
		t.dst = appendInt(t.dst, CBOR, sec)
		t.dst = append(t.dst, cborNegint|8)
		t.dst = appendCBORHead(t.dst, cborUint, uint64(nsec))
	}
}

// timestamp reads a MessagePack timestamp.
func timestamp(tok *token) (sec, nsec int64, ok bool) {
	if tok.ext != -1 {
		return 0, 0, false
	}
	switch len(tok.b) {
	case 4:
		return int64(bigEndian(tok.b, 0, 4)), 0, true
	case 8:
		v := bigEndian(tok.b, 0, 8)
		sec, nsec = int64(v&(1<<34-1)), int64(v>>34)
	case 12:
		nsec, sec = int64(bigEndian(tok.b, 0, 4)), int64(bigEndian(tok.b, 4, 8))
	default:
		return 0, 0, false
	}
	return sec, nsec, nsec < 1e9
}
