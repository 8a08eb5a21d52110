package codec

import (
	"bytes"
	"errors"
	"testing"
)

func TestVariant(t *testing.T) {
	seen := map[Variant]bool{}
	for _, ser := range serializers {
		of := map[Variant]bool{}
		for _, v := range VariantsOf(ser.s) {
			made := MakeVariant(ser.s, v.Framing())
			if v.Deflates() {
				made = made.Deflating()
			}
			if v.Serializer() != ser.s || int(v) >= NumVariants || seen[v] || made != v {
				t.Errorf("%s: variant %d", ser.name, v)
			}
			seen[v], of[v] = true, true
		}
		for f := WebSocket; f <= WebSocketBatchOld; f++ {
			v := MakeVariant(ser.s, f)
			want := f
			if f == WebSocketBatchOld && ser.s != JSON {
				want = WebSocketBatch
			}
			if v.Serializer() != ser.s || v.Framing() != want || !of[v] {
				t.Errorf("%s, %d: %d", ser.name, f, v)
			}
			d := v.Deflating()
			if d.Serializer() != ser.s || d.Framing() != want || d.Deflates() != (f != RawSocket) || v.Deflates() ||
				d.Deflating() != d {
				t.Errorf("%s, %d: %d compressed", ser.name, f, d)
			}
		}
	}
	if len(seen) != NumVariants {
		t.Errorf("%d variants", len(seen))
	}
}

func TestFrameBytes(t *testing.T) {
	msg := func(n int) []byte { return bytes.Repeat([]byte("m"), n) }
	for _, c := range []struct {
		s      Serializer
		f      Framing
		n      int
		header string
		end    string
	}{
		{JSON, WebSocket, 5, "\x81\x05", ""},
		{MessagePack, WebSocket, 5, "\x82\x05", ""},
		{CBOR, WebSocket, 125, "\x82\x7d", ""},
		{CBOR, WebSocket, 126, "\x82\x7e\x00\x7e", ""},
		{JSON, WebSocket, 65535, "\x81\x7e\xff\xff", ""},
		{JSON, WebSocket, 65536, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", ""},
		{JSON, WebSocketBatch, 124, "\x81\x7d", "\x1e"},
		{JSON, WebSocketBatch, 125, "\x81\x7e\x00\x7e", "\x1e"},
		{JSON, WebSocketBatchOld, 5, "\x81\x06", "\x18"},
		{MessagePack, WebSocketBatch, 5, "\x82\x09\x00\x00\x00\x05", ""},
		{MessagePack, WebSocketBatchOld, 5, "\x82\x09\x00\x00\x00\x05", ""},
		{CBOR, WebSocketBatch, 122, "\x82\x7e\x00\x7e\x00\x00\x00\x7a", ""},
		{JSON, RawSocket, 5, "\x00\x00\x00\x05", ""},
		{CBOR, RawSocket, 1<<24 - 1, "\x00\xff\xff\xff", ""},
		{CBOR, RawSocket, 1 << 24, "\x08\x00\x00\x00", ""},
	} {
		v := MakeVariant(c.s, c.f)
		want := c.header + string(msg(c.n)) + c.end
		got, ok := AppendFrame([]byte("x"), v, msg(c.n))
		if !ok || string(got[1:]) != want {
			t.Errorf("%+v: header % x", c, got[1:min(len(got), 12)])
			continue
		}
		frame, rest, n, ok := CutFrame(v, got[1:])
		if !ok || string(frame) != want || len(rest) != 0 || n != c.n {
			t.Errorf("%+v: CutFrame %d, %d, %d, %t", c, len(frame), len(rest), n, ok)
		}
	}
}

// TRN-27, PUB-57: a message that its framing cannot carry makes no frame, by either way, and leaves the bytes before
// it alone.
func TestFrameLimits(t *testing.T) {
	t.Attr("checklist", "TRN-27 PUB-57")
	longest := make([]byte, MessageBytesMax+1)
	for v := Variant(0); int(v) < NumVariants; v++ {
		if testing.Short() && v.Serializer() != MessagePack {
			continue
		}
		limit := MessageBytesMax
		if v.Framing() == RawSocket {
			limit = 1 << 24
		}
		buf := make([]byte, 0, limit+100)
		for _, n := range []int{limit - 1, limit, limit + 1} {
			fits := n <= limit
			framed, ok := AppendFrame(append(buf, "x"...), v, longest[:n])
			frame, rest, length, whole := CutFrame(v, framed[1:])
			if ok != fits || whole != fits || !fits && string(framed) != "x" ||
				fits && (length != n || len(rest) != 0 || len(frame) != len(framed)-1) {
				t.Fatalf("variant %d, %d octets: %t, %d octets, cut %t, %d, %d",
					v, n, ok, len(framed), whole, length, len(rest))
			}
			for _, estimate := range []int{0, n} {
				dst := append(BeginFrame(append(buf, "x"...), v, estimate), longest[:n]...)
				framed, ok := EndFrame(dst, v, 1, estimate, 1<<30)
				if ok != fits || !fits && string(framed) != "x" {
					t.Fatalf("variant %d, %d octets, estimate %d: EndFrame %t, %d octets",
						v, n, estimate, ok, len(framed))
				}
			}
		}
	}
}

// TRN-27, RPC-21: EndFrame takes a frame away that is longer than the receiver accepts.
func TestFrameReceiverLimit(t *testing.T) {
	t.Attr("checklist", "TRN-27 RPC-21")
	for v := Variant(0); int(v) < NumVariants; v++ {
		for _, n := range []int{511, 512, 513} {
			dst := append(BeginFrame([]byte("x"), v, 0), make([]byte, n)...)
			framed, ok := EndFrame(dst, v, 1, 0, 512)
			if ok != (n <= 512) || !ok && string(framed) != "x" {
				t.Errorf("variant %d, %d octets: %t, %q", v, n, ok, framed)
			}
		}
	}
}

// The X bit is for exactly 2^24 octets, the other bits for nothing of ours (PROTOCOL 13.3).
func TestRawSocketHeader(t *testing.T) {
	v := MakeVariant(CBOR, RawSocket)
	for _, c := range []struct {
		header string
		want   uint64
		ok     bool
	}{
		{"\x00\x00\x00\x00", 0, true},
		{"\x00\xff\xff\xff", 1<<24 - 1, true},
		{"\x08\x00\x00\x00", 1 << 24, true},
		{"\x08\x00\x00\x01", 0, false},
		{"\x01\x00\x00\x00", 0, false},
		{"\x09\x00\x00\x00", 0, false},
		{"\x10\x00\x00\x00", 0, false},
		{"\xff\xff\xff\xff", 0, false},
	} {
		if _, payload, ok := v.readHeader([]byte(c.header)); ok != c.ok || ok && payload != c.want {
			t.Errorf("% x: %d, %t", c.header, payload, ok)
		}
	}
}

// A walk over octets that are no frames ends.
func TestCutFrameStops(t *testing.T) {
	for _, c := range []struct {
		f   Framing
		run string
	}{
		{RawSocket, "\xff\xff\xff\xffabc"},
		{RawSocket, "\x01\x00\x00\x01p"}, // PING
		{RawSocket, "\x08\x00\x00\x01a"}, // X with a length
		{RawSocket, "\x08\x00\x00\x00a"},
		{RawSocket, "\x00\x00"},
		{WebSocket, "\x82"},
		{WebSocket, "\x82\x7e\x00"},
		{WebSocket, "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"},
		{WebSocketBatch, "\x82\x03\x00\x00\x00"},
	} {
		frame, rest, n, ok := CutFrame(MakeVariant(MessagePack, c.f), []byte(c.run))
		if ok || frame != nil || rest != nil || n != 0 {
			t.Errorf("%+v: %q, %q, %d, %t", c, frame, rest, n, ok)
		}
	}
}

// Whatever the estimate, the frame comes out the same.
func TestFrameEstimates(t *testing.T) {
	sizes := []int{0, 1, 117, 118, 121, 122, 124, 125, 126, 127, 65530, 65531, 65532, 65534, 65535, 65536, 65540}
	for v := Variant(0); int(v) < NumVariants; v++ {
		for _, n := range sizes {
			msg := bytes.Repeat([]byte("abcdefg"), n/7+1)[:n]
			want, _ := AppendFrame(nil, v, msg)
			for _, estimate := range sizes {
				dst := append(BeginFrame([]byte("head"), v, estimate), msg...)
				got, ok := EndFrame(dst, v, 4, estimate, n)
				if !ok || string(got[:4]) != "head" || !bytes.Equal(got[4:], want) {
					t.Fatalf("variant %d, %d octets, estimate %d: %t", v, n, estimate, ok)
				}
			}
		}
	}
}

func TestFrameRun(t *testing.T) {
	for v := Variant(0); int(v) < NumVariants; v++ {
		var run []byte
		sizes := []int{1, 125, 126, 70000, 3}
		for _, n := range sizes {
			run, _ = AppendFrame(run, v, bytes.Repeat([]byte("m"), n))
		}
		if _, _, _, ok := CutFrame(v, run[:len(run)-1]); !ok {
			t.Errorf("variant %d: the first frame is whole", v)
		}
		for _, n := range sizes {
			frame, rest, message, ok := CutFrame(v, run)
			if !ok || message != n || cap(frame) != len(frame) {
				t.Fatalf("variant %d: %d octets, want %d; room for %d behind a frame",
					v, message, n, cap(frame)-len(frame))
			}
			for cut := range min(len(frame), 20) {
				if f, r, m, ok := CutFrame(v, run[:cut]); ok || f != nil || r != nil || m != 0 {
					t.Errorf("variant %d: %d octets of a frame of %d: %d, %d", v, cut, len(frame), len(f), m)
				}
			}
			run = rest
		}
		if len(run) != 0 {
			t.Errorf("variant %d: %d octets left", v, len(run))
		}
	}
}

// A long message of a JSON batch is searched in parts: the first octet that ends a message does, of either kind, also
// where a part begins and ends.
func TestSplitLongBatch(t *testing.T) {
	const part = 4 << 10
	places := []int{1, part - 2, part - 1, part, part + 1, 2*part - 1, 2 * part, 3*part + 7}
	for _, first := range places {
		for _, second := range append(places, -1) {
			if second == first {
				continue
			}
			for _, end := range []byte{batchEnd, batchEndOld} {
				b := bytes.Repeat([]byte("x"), 3*part+8)
				b[first] = end
				at, old := first, end == batchEndOld
				if second >= 0 {
					b[second] = batchEnd + batchEndOld - end
					if second < first {
						at, old = second, !old
					}
				}
				msg, rest, wasOld, err := SplitBatch(JSON, b)
				if err != nil || len(msg) != at || len(rest) != len(b)-at-1 || wasOld != old {
					t.Errorf("%#x at %d, the other at %d: %d octets, old %v, %v", end, first, second, len(msg),
						wasOld, err)
				}
			}
		}
	}
}

func BenchmarkSplitBatch(b *testing.B) {
	for name, n := range map[string]int{"octets=100": 100, "octets=1MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			batch := append(bytes.Repeat([]byte("x"), n), batchEnd)
			b.SetBytes(int64(n))
			for b.Loop() {
				_, _, _, _ = SplitBatch(JSON, batch)
			}
		})
	}
}

func TestSplitBatch(t *testing.T) {
	for _, c := range []struct {
		s    Serializer
		in   string
		want []string
		old  bool
		ok   bool
	}{
		{JSON, "[1]\x1e", []string{"[1]"}, false, true},
		{JSON, "[1]\x1e[2]\x1e[3]\x1e", []string{"[1]", "[2]", "[3]"}, false, true},
		{JSON, "[1]\x18[2]\x18", []string{"[1]", "[2]"}, true, true},
		{JSON, "[1]\x18[2]\x1e", []string{"[1]", "[2]"}, false, true},
		{JSON, "", nil, false, false},
		{JSON, "[1]", nil, false, false},
		{JSON, "[1]\x1e[2]", []string{"[1]"}, false, false},
		{JSON, "\x1e", nil, false, false},
		{JSON, "[1]\x1e\x1e", []string{"[1]"}, false, false},
		{MessagePack, "\x00\x00\x00\x01a", []string{"a"}, false, true},
		{CBOR, "\x00\x00\x00\x01a\x00\x00\x00\x02bc", []string{"a", "bc"}, false, true},
		{CBOR, "", nil, false, false},
		{CBOR, "\x00\x00\x01", nil, false, false},
		{CBOR, "\x00\x00\x00\x00", nil, false, false},
		{CBOR, "\x00\x00\x00\x01a\x00", []string{"a"}, false, false},
		{MessagePack, "\xff\xff\xff\xffa", nil, false, false},
		{MessagePack, "\x00\x00\x00\x02a", nil, false, false},
	} {
		rest := []byte(c.in)
		var got []string
		var old bool
		var err error
		for {
			var msg []byte
			if msg, rest, old, err = SplitBatch(c.s, rest); err != nil {
				break
			}
			if got = append(got, string(msg)); len(rest) == 0 {
				break
			}
		}
		var v *Violation
		if (err == nil) != c.ok || err != nil && !errors.As(err, &v) || err == nil && old != c.old ||
			len(got) != len(c.want) {
			t.Errorf("%q: %q, %t, %v", c.in, got, old, err)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %q", c.in, got)
			}
		}
	}
}

// Frames of any variant, however cut, are measured without harm; batches are split into what was joined.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("[1]"), uint8(0), 5)
	f.Add([]byte("\x82\x7e\x00\x7e"), uint8(4), 200)
	f.Add([]byte("\x00\x00\x00\x05hello"), uint8(8), 1)
	f.Fuzz(func(t *testing.T, b []byte, variant uint8, estimate int) {
		v := Variant(int(variant) % NumVariants)
		if frame, rest, n, ok := CutFrame(v, b); ok && (len(frame) == 0 || n < 0 || n > len(frame) ||
			len(frame)+len(rest) != len(b)) || !ok && rest != nil {
			t.Fatalf("CutFrame(%d, % x) = %d, %d, %d, %t", v, b, len(frame), len(rest), n, ok)
		}
		estimate &= 1<<17 - 1
		framed, ok := EndFrame(append(BeginFrame(nil, v, estimate), b...), v, 0, estimate, len(b))
		frame, rest, message, whole := CutFrame(v, framed)
		if !ok || !whole || len(frame) != len(framed) || message != len(b) || len(rest) != 0 {
			t.Fatalf("%d octets in %d: %d, %d", len(b), len(framed), message, len(frame))
		}
		_, _, _, _ = SplitBatch(v.Serializer(), b)
		if f := v.Framing(); f != WebSocketBatch && f != WebSocketBatchOld || len(b) == 0 ||
			bytes.ContainsAny(b, "\x1e\x18") {
			return
		}
		header := 2
		switch framed[1] {
		case 126:
			header = 4
		case 127:
			header = 10
		}
		msg, rest, old, err := SplitBatch(v.Serializer(), framed[header:])
		if err != nil || !bytes.Equal(msg, b) || len(rest) != 0 ||
			old != (v.Serializer() == JSON && v.Framing() == WebSocketBatchOld) {
			t.Fatalf("%q: %q, %q, %t, %v", framed, msg, rest, old, err)
		}
	})
}
