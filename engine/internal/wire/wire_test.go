package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

var testMask = [4]byte{0x11, 0x92, 0x33, 0xF4}

// masked is a client frame whose length is written in the shortest form.
func masked(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, testMask[:]...)
	for i, c := range payload {
		b = append(b, c^testMask[i%4])
	}
	return b
}

// inPieces feeds a parser the prefixes of stream that end at the cuts, as a connection does, until it has an answer.
func inPieces[T comparable](stream []byte, cut func(have int) int, parse func([]byte) (T, bool)) (T, bool) {
	for have := 0; ; {
		have = min(have+max(cut(have), 1), len(stream))
		if answer, done := parse(stream[:have]); done || have == len(stream) {
			return answer, done
		}
	}
}

type frameAnswer struct {
	f     Frame
	whole bool
	fault Fault
}

func readFrame(r FrameRules) func(b []byte) (frameAnswer, bool) {
	return func(b []byte) (frameAnswer, bool) {
		f, whole, fault := ReadFrame(b, r)
		a := frameAnswer{whole: whole, fault: fault}
		if whole {
			a.f = f
			if f.Bytes > len(b) || f.Bytes < 6 || f.Bytes > 14 {
				panic(fmt.Sprintf("header of %d octets in %d", f.Bytes, len(b)))
			}
		}
		return a, whole || fault != NoFault
	}
}

// slowFrame judges a header of which everything is there, rule by rule and not octet by octet. It returns every fault
// that it has.
func slowFrame(b []byte, r FrameRules) (faults []Fault, length uint64, bytes int) {
	is := func(f Fault, bad bool) {
		if bad {
			faults = append(faults, f)
		}
	}
	opcode := int(b[0] % 16)
	control := opcode >= 8
	is(ReservedBits, b[0]>>4%8 != 0)
	is(ReservedOpcode, opcode > 2 && opcode < 8 || opcode > 10)
	is(StrayContinuation, opcode == 0 && !r.InMessage)
	is(NestedMessage, (opcode == 1 || opcode == 2) && r.InMessage)
	is(WrongType, opcode == 1 && !r.Text || opcode == 2 && r.Text)
	is(FragmentedControl, control && b[0] < 128)
	is(Unmasked, b[1] < 128)
	length, bytes = uint64(b[1]%128), 6
	is(LongControl, control && length > 125)
	switch length {
	case 126:
		length, bytes = uint64(b[2])*256+uint64(b[3]), 8
	case 127:
		length, bytes = binary.BigEndian.Uint64(b[2:]), 14
	}
	is(LengthRange, length >= 1<<63)
	is(TooBig, !control && length > uint64(r.BytesMax))
	return faults, length, bytes
}

func FuzzWebSocketFrame(f *testing.F) {
	f.Add(masked(0x81, []byte("text")), false, true, uint32(100), uint8(1))
	f.Add(masked(0x82, make([]byte, 126)), false, false, uint32(126), uint8(2))
	f.Add(masked(0x82, make([]byte, 65536)), false, false, uint32(65536), uint8(3))
	f.Add(masked(0x80, nil), true, false, uint32(0), uint8(4))
	f.Add([]byte{0x89, 0xFE, 0, 126, 1, 2, 3, 4}, false, false, uint32(0), uint8(1))
	f.Add([]byte{0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, false, false, uint32(1<<24), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, inMessage, text bool, most uint32, step uint8) {
		if len(b) == 0 {
			return
		}
		r := FrameRules{InMessage: inMessage, Text: text, BytesMax: int(most & (1<<24 - 1))}
		checkFrame(t, b, r, step)
	})
}

func checkFrame(t *testing.T, b []byte, r FrameRules, step uint8) {
	t.Helper()
	whole, _ := inPieces(b, func(int) int { return len(b) }, readFrame(r))
	pieces, _ := inPieces(b, func(int) int { return int(step) }, readFrame(r))
	single, _ := inPieces(b, func(int) int { return 1 }, readFrame(r))
	if whole != pieces || whole != single {
		t.Fatalf("% x %+v:\nwhole  %+v\npieces %+v\nsingle %+v", b, r, whole, pieces, single)
	}
	if len(b) >= 14 {
		faults, length, bytes := slowFrame(b, r)
		known := whole.fault == NoFault && len(faults) == 0
		for _, f := range faults {
			known = known || f == whole.fault
		}
		if !known {
			t.Fatalf("% x %+v: %v, want one of %v", b[:14], r, whole.fault, faults)
		}
		if whole.whole && (uint64(whole.f.Length) != length || whole.f.Bytes != bytes) {
			t.Fatalf("% x: %+v, want %d octets behind %d", b[:14], whole.f, length, bytes)
		}
	}
	// The fast way agrees with the slow one.
	if head, length := UsualFrame(b, r.BytesMax); head > 0 {
		f, ok, fault := ReadFrame(b, FrameRules{BytesMax: r.BytesMax})
		if !ok || fault != NoFault || f.Bytes != head || f.Length != length || f.Opcode != OpBinary || !f.Fin ||
			head+length > len(b) || length > r.BytesMax {
			t.Fatalf("% x: usual %d and %d, in fact %+v %v %v", b, head, length, f, ok, fault)
		}
	}
}

// TestWebSocketFrameLimits tries each bound at n and n + 1, and each fault at the first octet that shows it.
func TestWebSocketFrameLimits(t *testing.T) {
	text, binaryOnly := FrameRules{Text: true, BytesMax: 1 << 24}, FrameRules{BytesMax: 1 << 24}
	inText := FrameRules{Text: true, InMessage: true, BytesMax: 1 << 24}
	limit := func(n int) FrameRules { return FrameRules{BytesMax: n} }
	for _, c := range []struct {
		name  string
		b     []byte
		r     FrameRules
		whole bool
		fault Fault
	}{
		{"control, 125", masked(0x89, make([]byte, 125))[:6], text, true, NoFault},
		{"control, 126", []byte{0x89, 0xFE}, text, false, LongControl},
		{"control, 64 bit", []byte{0x8A, 0xFF}, text, false, LongControl},
		{"control in a message", masked(0x88, nil), inText, true, NoFault},
		{"control is not bound by the message", masked(0x89, make([]byte, 125))[:6], limit(0), true, NoFault},
		{"fragmented ping", []byte{0x09}, text, false, FragmentedControl},
		{"reserved bit 1", []byte{0xC1}, text, false, ReservedBits},
		{"reserved bit 2", []byte{0xA1}, text, false, ReservedBits},
		{"reserved bit 3", []byte{0x91}, text, false, ReservedBits},
		{"opcode 3", []byte{0x83}, text, false, ReservedOpcode},
		{"opcode 7", []byte{0x87}, text, false, ReservedOpcode},
		{"opcode 11", []byte{0x8B}, text, false, ReservedOpcode},
		{"opcode 15", []byte{0x8F}, text, false, ReservedOpcode},
		{"continuation without a message", []byte{0x80}, text, false, StrayContinuation},
		{"continuation", masked(0x80, nil), inText, true, NoFault},
		{"text in a message", []byte{0x81}, inText, false, NestedMessage},
		{"binary for JSON", []byte{0x82}, text, false, WrongType},
		{"text for MessagePack", []byte{0x01}, binaryOnly, false, WrongType},
		{"unmasked", []byte{0x81, 0x05}, text, false, Unmasked},
		{"first octet only", []byte{0x81}, text, false, NoFault},
		{"at the limit, 7 bit", masked(0x82, make([]byte, 100)), limit(100), true, NoFault},
		{"above it, 7 bit", masked(0x82, make([]byte, 101))[:2], limit(100), false, TooBig},
		{"at the limit, 16 bit", masked(0x82, make([]byte, 1000)), limit(1000), true, NoFault},
		{"above it, 16 bit", masked(0x82, make([]byte, 1001))[:4], limit(1000), false, TooBig},
		{"above it, first half of 16 bit", []byte{0x82, 0xFE, 0x04}, limit(1000), false, TooBig},
		{
			"at the limit, 64 bit", append([]byte{0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0}, testMask[:]...),
			limit(1 << 24), true,
			NoFault,
		},
		{"above it, 64 bit", []byte{0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 1}, limit(1 << 24), false, TooBig},
		{"beyond 32 bits (B14)", []byte{0x82, 0xFF, 0, 0, 0, 1}, limit(1 << 24), false, TooBig},
		{"top bit", []byte{0x82, 0xFF, 0x80}, limit(1 << 24), false, LengthRange},
		{"nothing left", masked(0x80, nil), FrameRules{InMessage: true, Text: true}, true, NoFault},
		{"nothing left, one more", []byte{0x80, 0x81}, FrameRules{InMessage: true, Text: true}, false, TooBig},
		{
			"less than nothing left",
			[]byte{0x80, 0x81},
			FrameRules{InMessage: true, Text: true, BytesMax: -1},
			false, TooBig,
		},
	} {
		_, whole, fault := ReadFrame(c.b, c.r)
		if whole != c.whole || fault != c.fault {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, whole, fault, c.whole, c.fault)
		}
		if c.fault != NoFault && len(c.b) > 1 {
			if _, _, early := ReadFrame(c.b[:len(c.b)-1], c.r); early != NoFault {
				t.Errorf("%s: the fault shows an octet earlier", c.name)
			}
		}
	}
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536} {
		f, whole, fault := ReadFrame(masked(0x82, make([]byte, n)), binaryOnly)
		if !whole || fault != NoFault || f.Length != n || f.Mask != testMask || !f.Fin {
			t.Errorf("%d octets: %+v %v %v", n, f, whole, fault)
		}
		head, length := UsualFrame(masked(0x82, make([]byte, n)), 1<<24)
		if usual := n >= 2 && n < 65536; (head > 0) != usual || usual && length != n {
			t.Errorf("%d octets, usual frame: %d, %d", n, head, length)
		}
		if head, _ := UsualFrame(masked(0x82, make([]byte, n)), n-1); head > 0 {
			t.Errorf("%d octets above the limit are a usual frame", n)
		}
	}
}

// FuzzWebSocketMessage cuts a message into frames and those into pieces: what comes out is the message, and text is
// judged as the standard library does.
func FuzzWebSocketMessage(f *testing.F) {
	f.Add([]byte("a\xE2\x82\xACz"), true, uint64(1))
	f.Add([]byte("\xF0\x9F\x98\x80"), true, uint64(2))
	f.Add([]byte("\xED\xA0\x80"), true, uint64(3))
	f.Add(bytes.Repeat([]byte{0xFF, 0}, 500), false, uint64(4))
	f.Fuzz(func(t *testing.T, message []byte, text bool, seed uint64) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var m Message
		var got []byte
		opcode := byte(OpBinary)
		if text {
			opcode = OpText
		}
		first, rest := opcode, message
		for {
			n := rnd.IntN(len(rest) + 1)
			frame := Frame{Fin: n == len(rest) && rnd.IntN(2) == 0, Opcode: first, Length: n}
			binary.LittleEndian.PutUint32(frame.Mask[:], rnd.Uint32())
			m.Begin(frame)
			first = OpContinuation
			payload := bytes.Clone(rest[:n])
			for i := range payload {
				payload[i] ^= frame.Mask[i%4]
			}
			rest = rest[n:]
			for {
				if m.Missing() != len(payload) {
					t.Fatalf("%d missing of %d", m.Missing(), len(payload))
				}
				piece := payload[:rnd.IntN(len(payload)+1)]
				payload = payload[len(piece):]
				whole, fault := m.Take(piece)
				if fault != NoFault {
					if fault != InvalidText || !text || utf8.Valid(message) {
						t.Fatalf("%q: %v", message, fault)
					}
					return
				}
				got = append(got, piece...)
				if whole != (frame.Fin && len(payload) == 0) {
					t.Fatalf("%q: whole is %v", message, whole)
				}
				if len(payload) == 0 {
					break
				}
			}
			if frame.Fin {
				break
			}
		}
		if !bytes.Equal(got, message) || m.Opcode != opcode || text && !utf8.Valid(message) {
			t.Fatalf("%q became %q", message, got)
		}
	})
}

func TestCloseFrames(t *testing.T) {
	closing := func(code int, reason string) []byte { return append([]byte{byte(code >> 8), byte(code)}, reason...) }
	for _, c := range []struct {
		payload []byte
		want    uint16
	}{
		{nil, 1000},
		{[]byte{3}, 1002},
		{closing(999, ""), 1002},
		{closing(1000, "bye"), 1000},
		{closing(1003, ""), 1003},
		{closing(1004, ""), 1002},
		{closing(1006, ""), 1002},
		{closing(1007, ""), 1007},
		{closing(1014, ""), 1014},
		{closing(1015, ""), 1002},
		{closing(2999, ""), 1002},
		{closing(3000, ""), 3000},
		{closing(4999, ""), 4999},
		{closing(5000, ""), 1002},
		{closing(1000, "\xFF"), 1007},
	} {
		if got, _ := JudgeClose(c.payload); got != c.want {
			t.Errorf("% x: %d, want %d", c.payload, got, c.want)
		}
	}
}

// FuzzClose: our own close frames are valid by our own judgement, whatever the reason holds (B11).
func FuzzClose(f *testing.F) {
	f.Add(strings.Repeat("x", 122) + "ä")
	f.Add("roles: \xFF")
	f.Add(strings.Repeat("\xFF", 200))
	f.Add(strings.Repeat("\u20AC", 60))
	f.Fuzz(func(t *testing.T, reason string) {
		b := AppendClose([]byte("before"), CloseProtocol, reason)[len("before"):]
		if b[0] != 0x88 || int(b[1]) != len(b)-2 || b[1] > ControlBytesMax {
			t.Fatalf("% x", b)
		}
		if code, text := JudgeClose(b[2:]); code != CloseProtocol || text != "" {
			t.Fatalf("%q: %d %s", b, code, text)
		}
		if got := string(b[4:]); utf8.ValidString(reason) && (!strings.HasPrefix(reason, got) ||
			len(reason) <= reasonBytesMax && got != reason) {
			t.Fatalf("%q became %q", reason, got)
		}
		JudgeClose([]byte(reason))
	})
}

func TestCloseReasonIsCutBetweenCharacters(t *testing.T) {
	for reason, want := range map[string]int{
		strings.Repeat("x", 123):              123,
		strings.Repeat("x", 124):              123,
		strings.Repeat("x", 121) + "ä":        123,
		strings.Repeat("x", 122) + "ä":        122,
		strings.Repeat("x", 120) + "\u20AC":   123,
		strings.Repeat("x", 121) + "\u20AC":   121,
		"roles: \xFF":                         10,
		strings.Repeat("x", 121) + "\xFF\xFE": 121,
	} {
		if got := AppendClose(nil, 1000, reason); len(got) != 4+want || int(got[1]) != 2+want ||
			!utf8.Valid(got[4:]) {
			t.Errorf("%q: % x", reason, got)
		}
	}
}

func TestRawHello(t *testing.T) {
	for _, c := range []struct {
		hello   []byte
		min     int
		h       RawHello
		refused RawError
	}{
		{[]byte{0x7F, 0xF1, 0, 0}, 512, RawHello{1, 1 << 24}, 0},
		{[]byte{0x7F, 0x02, 0, 0}, 512, RawHello{2, 512}, 0},
		{[]byte{0x7F, 0x13, 0, 0}, 1024, RawHello{3, 1024}, 0},
		{[]byte{0x7F, 0x13, 0, 0}, 1025, RawHello{3, 1024}, RawErrorLength},
		{[]byte{0x7F, 0xF0, 0, 0}, 512, RawHello{0, 1 << 24}, RawErrorSerializer},
		{[]byte{0x7F, 0xF4, 0, 0}, 512, RawHello{4, 1 << 24}, RawErrorSerializer},
		{[]byte{0x7F, 0xF1, 1, 0}, 512, RawHello{1, 1 << 24}, RawErrorReserved},
		{[]byte{0x7F, 0xF4, 0, 0x80}, 512, RawHello{4, 1 << 24}, RawErrorReserved},
	} {
		for n := range RawHelloBytes {
			if _, whole, refused := ReadRawHello(c.hello[:n], c.min); whole || refused != 0 {
				t.Errorf("% x: judged after %d octets", c.hello, n)
			}
		}
		if h, whole, refused := ReadRawHello(c.hello, c.min); h != c.h || !whole || refused != c.refused ||
			(refused != 0) != (refused.String() != "") {
			t.Errorf("% x: %+v, %v, %q", c.hello, h, whole, refused)
		}
	}
	if b := AppendRawHello(nil, 15, 2); !bytes.Equal(b, []byte{0x7F, 0xF2, 0, 0}) {
		t.Errorf("% x", b)
	}
	if b := AppendRawError(nil, RawErrorConnections); !bytes.Equal(b, []byte{0x7F, 0x40, 0, 0}) {
		t.Errorf("% x", b)
	}
}

type prefixAnswer struct {
	kind   byte
	length int
	whole  bool
	fault  Fault
}

func readPrefix(most int) func(b []byte) (prefixAnswer, bool) {
	return func(b []byte) (prefixAnswer, bool) {
		kind, length, whole, fault := ReadRawPrefix(b, most)
		a := prefixAnswer{kind, length, whole, fault}
		if !whole || fault != NoFault {
			a.length = 0
		}
		return a, whole || fault != NoFault
	}
}

func FuzzRawSocketPrefix(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1}, uint32(1<<24))
	f.Add([]byte{8, 0, 0, 0}, uint32(1<<24))
	f.Add([]byte{8, 0, 0, 1}, uint32(1<<24))
	f.Add([]byte{0, 0xFF, 0xFF, 0xFF}, uint32(1<<24-1))
	f.Fuzz(func(t *testing.T, b []byte, most uint32) {
		if len(b) == 0 {
			return
		}
		checkPrefix(t, b, int(most%(RawBytesMax+1)))
	})
}

func checkPrefix(t *testing.T, b []byte, most int) {
	t.Helper()
	whole, _ := inPieces(b, func(int) int { return len(b) }, readPrefix(most))
	single, _ := inPieces(b, func(int) int { return 1 }, readPrefix(most))
	if whole != single {
		t.Fatalf("% x: whole %+v, single %+v", b, whole, single)
	}
	if len(b) >= RawPrefixBytes {
		// The reference: all rules at once.
		n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		exact := b[0]&8 != 0
		var want Fault
		switch {
		case b[0]>>4 != 0 || b[0]&7 > 2:
			want = RawReserved
		case exact && n != 0 && most == RawBytesMax:
			want = RawLength
		case exact && most < RawBytesMax || n > most:
			want = TooBig
		case exact:
			n = RawBytesMax
		}
		if whole.fault != want || whole.whole != (want == NoFault) || want == NoFault && whole.length != n {
			t.Fatalf("% x, at most %d: %+v, want %d, %q", b, most, whole, n, want)
		}
	}
}

// TRN-25, TRN-26, TRN-28, TRN-29: every bound of a prefix at n and n + 1.
func TestRawPrefixLimits(t *testing.T) {
	t.Attr("checklist", "TRN-25 TRN-26 TRN-28 TRN-29")
	for _, c := range []struct {
		b      []byte
		most   int
		length int
		fault  Fault
	}{
		{[]byte{0, 0, 0, 0}, 512, 0, NoFault},
		{[]byte{0, 0, 2, 0}, 512, 512, NoFault},
		{[]byte{0, 0, 2, 1}, 512, 0, TooBig},
		{[]byte{1, 0, 2, 1}, 512, 0, TooBig},
		{[]byte{2, 0, 2, 0}, 512, 512, NoFault},
		{[]byte{3, 0, 0, 0}, 512, 0, RawReserved},
		{[]byte{0x10, 0, 0, 0}, 512, 0, RawReserved},
		{[]byte{0, 0xFF, 0xFF, 0xFF}, 1 << 24, 1<<24 - 1, NoFault},
		{[]byte{0, 0xFF, 0xFF, 0xFF}, 1<<24 - 1, 1<<24 - 1, NoFault},
		{[]byte{0, 0xFF, 0xFF, 0xFF}, 1<<24 - 2, 0, TooBig},
		{[]byte{8, 0, 0, 0}, 1 << 24, 1 << 24, NoFault},
		{[]byte{9, 0, 0, 0}, 1 << 24, 1 << 24, NoFault},
		{[]byte{8}, 1<<24 - 1, 0, TooBig},
		{[]byte{8, 0, 0, 1}, 1 << 24, 0, RawLength},
		{[]byte{8, 1}, 1 << 24, 0, RawLength},
	} {
		_, length, whole, fault := ReadRawPrefix(c.b, c.most)
		if fault != c.fault || whole != (c.fault == NoFault) || whole && length != c.length {
			t.Errorf("% x, at most %d: %d %v %q", c.b, c.most, length, whole, fault)
		}
	}
	for _, n := range []int{0, 1, 1<<24 - 1, 1 << 24} {
		b := AppendRawFrame(nil, RawPing, make([]byte, n))
		kind, length, whole, fault := ReadRawPrefix(b, 1<<24)
		if kind != RawPing || length != n || !whole || fault != NoFault || len(b) != RawPrefixBytes+n {
			t.Errorf("%d octets: % x", n, b[:4])
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a frame of 2^24 + 1 octets was written")
		}
	}()
	AppendRawFrame(nil, RawMessage, make([]byte, 1<<24+1))
}

// randomTraffic is plausible input with random octets in it.
func randomTraffic(rnd *rand.Rand, seeds [][]byte) []byte {
	b := bytes.Clone(seeds[rnd.IntN(len(seeds))])
	for range rnd.IntN(4) {
		switch at := rnd.IntN(len(b) + 1); rnd.IntN(3) {
		case 0:
			b = b[:at]
		case 1:
			b = append(b[:at:at], append([]byte{byte(rnd.Uint32())}, b[at:]...)...)
		default:
			if at < len(b) {
				b[at] ^= 1 << rnd.IntN(8)
			}
		}
	}
	if len(b) == 0 {
		return []byte{byte(rnd.Uint32())}
	}
	return b
}

// LIM-02 in small: the invariants of the fuzz targets hold for mutated traffic.
func TestLIM02MutatedFramesAndHeads(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	frames := [][]byte{
		masked(0x81, []byte("text")), masked(0x02, make([]byte, 200)), masked(0x89, nil),
		{0x82, 0xFF, 0, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3, 4},
	}
	for range 20000 {
		r := FrameRules{InMessage: rnd.IntN(2) == 0, Text: rnd.IntN(2) == 0, BytesMax: rnd.IntN(1 << rnd.IntN(25))}
		checkFrame(t, randomTraffic(rnd, frames), r, uint8(rnd.IntN(5)))
		checkPrefix(t, randomTraffic(rnd, [][]byte{{0, 0, 0, 0}, {8, 0, 0, 0}, {1, 0xFF, 0xFF, 0xFF, 1}}),
			rnd.IntN(1<<24+1))
		checkHead(t, randomTraffic(rnd, headSeeds()), uint8(rnd.IntN(40)))
	}
}

func acceptOf(answer string) string {
	_, rest, _ := strings.Cut(answer, "Sec-WebSocket-Accept: ")
	accept, _, _ := strings.Cut(rest, "\r\n")
	return accept
}

func TestUpgradeAnswer(t *testing.T) {
	got := string(AppendUpgrade(nil, "dGhlIHNhbXBsZSBub25jZQ==", "wamp.2.json", ""))
	want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: wamp.2.json\r\n\r\n"
	if got != want {
		t.Fatalf("%q", got)
	}
	if b, err := base64.StdEncoding.DecodeString(acceptOf(got)); err != nil || len(b) != 20 {
		t.Fatal(err)
	}
}
