package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"banyan/codec"
)

// stampBytes is the length of a stamp: who sent it (4 hex digits), its sequence number (12) and its time (16).
const stampBytes = 4 + 12 + 16

// A stamp is what every payload begins with.
type stamp struct {
	sender int
	seq    uint64        // 0, 1, 2 … per sender
	sent   time.Duration // since the run began: closed loop the time of sending, open loop the intended one
}

// A stamper writes and checks payloads: Arguments is one text of fixed length, a stamp and a filler that depends on
// the sequence number, so that an event with the tail of another one is noticed. Text survives every pair of
// serializers unchanged.
//
// The encoded arguments differ only inside the text, so writing is copying digits into a template. Owned by one
// goroutine.
type stamper struct {
	serializer codec.Serializer
	args       []byte // encoded Arguments; the text lies at offset
	offset     int
	length     int // of the text
	filler     []byte
}

func newStamper(s codec.Serializer, payloadBytes int, records bool) (*stamper, error) {
	n := max(payloadBytes, stampBytes)
	text := bytes.Repeat([]byte{'0'}, n)
	args, err := codec.AppendValue(nil, s, []any{string(text)})
	if err != nil {
		return nil, err
	}
	// A length field may contain the same digits: the text is the last match.
	offset := bytes.LastIndex(args, text)
	if offset < 0 {
		return nil, fmt.Errorf("load: the payload text is not found in its encoding")
	}
	st := &stamper{serializer: s, args: args, offset: offset, length: n}
	if records {
		st.filler = recordText(n + fillerPeriod)
		return st, nil
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-.:+*/()"
	st.filler = bytes.Repeat([]byte(alphabet), n/len(alphabet)+2)
	return st, nil
}

const fillerPeriod = 61

// recordText is n octets like those of JSON records, with words and numbers that differ. Apostrophes stand for
// quotation marks, which JSON would escape. The same n gives the same text.
func recordText(n int) []byte {
	rnd := rand.New(rand.NewPCG(uint64(n), 61))
	words := [...]string{"open", "closed", "waiting", "failed", "celsius", "pascal", "north", "south"}
	b := make([]byte, 0, n+100)
	for len(b) < n {
		b = fmt.Appendf(b, "{'id':%d,'name':'sensor-%d','state':'%s','value':%.2f,'unit':'%s','ok':%t},",
			rnd.IntN(1_000_000), rnd.IntN(500), words[rnd.IntN(len(words))], 100*rnd.Float64(),
			words[rnd.IntN(len(words))], rnd.IntN(2) > 0)
	}
	return b[:n]
}

func (st *stamper) fill(seq uint64) []byte {
	from := int(seq % fillerPeriod)
	return st.filler[from : from+st.length-stampBytes]
}

// write returns the encoded Arguments of s; they are lent until the next write.
func (st *stamper) write(s stamp) []byte {
	text := st.args[st.offset : st.offset+st.length]
	putHex(text[0:4], uint64(s.sender))
	putHex(text[4:16], s.seq)
	putHex(text[16:32], uint64(s.sent))
	copy(text[stampBytes:], st.fill(s.seq))
	return st.args
}

// read checks a received payload and returns its stamp.
func (st *stamper) read(p *codec.Payload) (s stamp, ok bool) {
	var text []byte
	if p.Format == st.serializer && len(p.Args) == len(st.args) &&
		bytes.Equal(p.Args[:st.offset], st.args[:st.offset]) {
		text = p.Args[st.offset : st.offset+st.length]
	} else {
		// Another router may encode the same value in other bytes.
		v, err := codec.Value(p.Format, p.Args)
		if err != nil {
			return s, false
		}
		list, _ := v.([]any)
		if len(list) != 1 {
			return s, false
		}
		t, _ := list[0].(string)
		text = []byte(t)
	}
	if len(text) != st.length || len(p.Kwargs) > 0 {
		return s, false
	}
	sender, ok1 := parseHex(text[0:4])
	seq, ok2 := parseHex(text[4:16])
	sent, ok3 := parseHex(text[16:32])
	if !ok1 || !ok2 || !ok3 || !bytes.Equal(text[stampBytes:], st.fill(seq)) {
		return s, false
	}
	return stamp{sender: int(sender), seq: seq, sent: time.Duration(sent)}, true
}

func putHex(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = "0123456789abcdef"[v&15]
		v >>= 4
	}
}

// hexDigits maps an octet to its value as a hexadecimal digit, or to 0xFF.
var hexDigits = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for v, c := range []byte("0123456789abcdef") {
		t[c] = byte(v)
	}
	return t
}()

// parseHex runs three times per event. A table takes a third of the time of comparisons.
func parseHex(b []byte) (v uint64, ok bool) {
	var seen byte
	for _, c := range b {
		d := hexDigits[c]
		seen |= d
		v = v<<4 | uint64(d&15)
	}
	return v, seen < 16
}
