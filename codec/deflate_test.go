package codec

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// inflateByDefinition does what RFC 7692 7.2.2 says, with another decoder.
func inflateByDefinition(t *testing.T, z []byte) []byte {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(z), strings.NewReader(deflateTail))))
	if err != io.ErrUnexpectedEOF { // there is no last block
		t.Fatalf("% x: %v", z[:min(len(z), 40)], err)
	}
	return b
}

// messagesToDeflate are of lengths around those that matter.
func messagesToDeflate() (all [][]byte) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 100, 125, 126, 1000, deflateChunk - 1, deflateChunk, deflateChunk + 1, 70_000} {
		noise, text := make([]byte, n), make([]byte, 0, n)
		for i := range noise {
			noise[i] = byte(rnd.Uint32())
		}
		for len(text) < n {
			text = append(text, `{"name":"sensor `...)
			text = append(text, byte('0'+rnd.IntN(10)))
			text = append(text, `","value":23.5},`...)
		}
		all = append(all, noise, text[:n])
	}
	return all
}

func TestDeflatedFrames(t *testing.T) {
	for _, msg := range messagesToDeflate() {
		z := AppendDeflated(nil, msg)
		for v := Variant(0); v < NumVariants; v++ {
			if !v.Deflates() {
				continue
			}
			frame := AppendDeflatedFrame([]byte("x"), v, z, len(msg))[1:]
			first := byte(0xC2)
			want := binary.BigEndian.AppendUint32(nil, uint32(len(msg)))
			want = append(want, msg...)
			if v.Serializer() == JSON {
				first, want = 0xC1, slices.Concat(msg, []byte{0x1E})
			}
			switch v.Framing() {
			case WebSocket:
				want = msg
			case WebSocketBatchOld:
				want[len(msg)] = 0x18
			}
			_, payload, ok := v.readHeader(frame)
			if frame[0] != first || !ok {
				t.Fatalf("variant %d: % x", v, frame[:min(len(frame), 20)])
			}
			compressed := frame[len(frame)-int(payload):]
			if header := len(frame) - int(payload); header != websocketHeader(int(payload)) {
				t.Fatalf("variant %d: header of %d octets for %d", v, header, payload)
			}
			if got := inflateByDefinition(t, compressed); !bytes.Equal(got, want) {
				t.Fatalf("variant %d, %d octets: other octets", v, len(msg))
			}
			got, err := Inflate(make([]byte, 0, len(want)), [][]byte{compressed}, len(want), nil, nil)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("variant %d, %d octets: Inflate: %v", v, len(msg), err)
			}
		}
	}
}

func websocketHeader(payload int) int {
	switch {
	case payload < 126:
		return 2
	case payload < 1<<16:
		return 4
	}
	return 10
}

// A receiver with a window of 4 KiB can read everything: nothing refers to octets that are further away.
func TestDeflateWindow(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	const window = 1 << DeflateWindowBits
	noise := make([]byte, window+100)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	if z := AppendDeflated(nil, append(noise, noise...)); len(z) < 2*len(noise) {
		t.Errorf("%d octets that repeat after %d became %d", 2*len(noise), len(noise), len(z))
	}
	half := noise[:window/2]
	if z := AppendDeflated(nil, append(slices.Clone(half), half...)); len(z) > len(half)+100 {
		t.Errorf("%d octets that repeat after %d became %d", 2*len(half), len(half), len(z))
	}
}

func TestDeflateAppends(t *testing.T) {
	msg := bytes.Repeat([]byte("abc"), 1000)
	one := AppendDeflated(nil, msg)
	two := AppendDeflated(AppendDeflated([]byte("before"), msg), []byte("other"))
	if !bytes.HasPrefix(two, slices.Concat([]byte("before"), one)) {
		t.Error("the second message changed the first")
	}
	if got := inflateByDefinition(t, two[len("before")+len(one):]); string(got) != "other" {
		t.Errorf("%q", got) // nothing of the first is needed for the second
	}
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { dst = AppendDeflated(dst[:0], msg) }); n > 0 && !raceEnabled {
		t.Errorf("%v allocations", n)
	}
}

func TestInflateLimits(t *testing.T) {
	msg := bytes.Repeat([]byte("x"), 100_000)
	z := AppendDeflated(nil, msg)
	rooms := 0
	room := func(b []byte) []byte {
		rooms++
		return append(make([]byte, 0, min(2*cap(b)+1, len(msg))), b...)
	}
	for _, c := range []struct {
		max  int
		want error
	}{
		{len(msg) + 1, nil},
		{len(msg), nil},
		{len(msg) - 1, ErrInflateTooLong},
		{1, ErrInflateTooLong},
		{0, ErrInflateTooLong},
	} {
		got, err := Inflate(nil, [][]byte{z}, c.max, room, nil)
		if !errors.Is(err, c.want) || len(got) != min(c.max, len(msg)) || !bytes.HasPrefix(msg, got) {
			t.Errorf("limit %d: %d octets, %v", c.max, len(got), err)
		}
	}
	if rooms == 0 {
		t.Error("nobody was asked for room")
	}
	// Nothing is left of it for the next message.
	next := AppendDeflated(nil, []byte("next"))
	if got, err := Inflate(make([]byte, 0, 9), [][]byte{next}, 9, nil, nil); err != nil ||
		string(got) != "next" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestInflate(t *testing.T) {
	hello := []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00} // RFC 7692 7.2.3.1
	for name, c := range map[string]struct {
		z    string
		want string
		err  error
	}{
		"one block":                     {string(hello), "Hello", nil},
		"no compression":                {"\x00\x05\x00\xfa\xffHello\x00", "Hello", nil}, // 7.2.3.3
		"a last block":                  {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", nil},
		"two blocks":                    {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", nil},
		"an empty message":              {"\x00", "", nil}, // 7.2.3.6
		"nothing":                       {"", "", ErrInflate},
		"a last block and nothing":      {"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", ErrInflate},
		"another one behind a last one": {"\xf3\x48\xcd\xc9\xc9\x07\x00" + string(hello), "Hello", ErrInflate},
		"last blocks":                   {"\x03\x00\x03\x00\x00", "", ErrInflate},
		"a reserved type":               {"\x06", "", ErrInflate},
		"a block that is cut short":     {"\x00\x05\x00\xfa\xffHel", "Hel", ErrInflate},
		"the tail as well":              {string(hello) + "\x00\x00\xff\xff\x00\x00\xff", "Hello", ErrInflate},
		"a distance before the message": {"\x02\x02\x00\x00", "", ErrInflate},
	} {
		for size := 1; size <= len(c.z)+1; size++ {
			chunks := slices.Collect(slices.Chunk([]byte(c.z), size))
			got, err := Inflate(make([]byte, 0, 100), chunks, 100, nil, nil)
			if !errors.Is(err, c.err) || err == nil && string(got) != c.want {
				t.Errorf("%s, in pieces of %d: %q, %v", name, size, got, err)
			}
		}
	}
	// An inflater that met an error serves the next message.
	got, err := Inflate(make([]byte, 0, 100), [][]byte{hello}, 100, nil, nil)
	if err != nil || string(got) != "Hello" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzInflate(f *testing.F) {
	for _, msg := range messagesToDeflate()[:16] {
		f.Add(AppendDeflated(nil, msg), 1000, 7)
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), 10, 3)
	f.Fuzz(func(t *testing.T, z []byte, bytesMax, size int) {
		bytesMax = max(bytesMax%5000, 0)
		room := func(b []byte) []byte { return append(make([]byte, 0, min(2*cap(b)+64, bytesMax)), b...) }
		whole, err := Inflate(nil, [][]byte{z}, bytesMax, room, nil)
		if len(whole) > bytesMax {
			t.Fatalf("%d octets, at most %d", len(whole), bytesMax)
		}
		pieces, again := Inflate(nil, slices.Collect(slices.Chunk(z, max(size%(len(z)+1), 1))), bytesMax, room,
			nil)
		if again != err || err == nil && !bytes.Equal(whole, pieces) { // before an error there may be more or less
			t.Fatalf("whole %d octets, %v; in pieces %d octets, %v", len(whole), err, len(pieces), again)
		}
		// Whatever is accepted means the same to another decoder. That one may be stricter: ours lets distances pass
		// that have no code.
		if err == nil {
			all := append(slices.Clone(z), inflateEnd...)
			other, oops := io.ReadAll(flate.NewReader(bytes.NewReader(all)))
			if !bytes.HasPrefix(whole, other) || oops == nil && len(other) < len(whole) {
				t.Fatalf("%d octets, another decoder %d, %v", len(whole), len(other), oops)
			}
		}
	})
}

func BenchmarkDeflate(b *testing.B) {
	msg := messagesToDeflate()[13][:1000]
	var z []byte
	b.ReportAllocs()
	for b.Loop() {
		z = AppendDeflated(z[:0], msg)
	}
	b.ReportMetric(float64(len(z))/float64(len(msg)), "ratio")
}

// TestInflatePauses: however little comes out of a message, there is a pause every 16 KiB of it; whoever does not go
// on gets no further, and the next message knows nothing of that.
func TestInflatePauses(t *testing.T) {
	empty := append(bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, 64<<10), 0)
	for range 2 {
		for _, most := range []int{1, 5, math.MaxInt} {
			pauses := 0
			got, err := Inflate(make([]byte, 0, 10), [][]byte{empty[:1000], empty[1000:]}, 10, nil, func() bool {
				pauses++
				return pauses < most
			})
			if most < math.MaxInt {
				if err != ErrInflate || pauses != most {
					t.Errorf("%d pauses instead of %d, error %v", pauses, most, err)
				}
				continue
			}
			if want := len(empty)/inflateStep + 1; err != nil || len(got) != 0 || pauses < want || pauses > want+3 {
				t.Errorf("%d pauses, want %d, error %v", pauses, want, err)
			}
		}
		hello := AppendDeflated(nil, []byte("Hello"))
		got, err := Inflate(make([]byte, 0, 5), [][]byte{hello}, 5, nil, nil)
		if err != nil || string(got) != "Hello" {
			t.Errorf("%q, %v", got, err)
		}
	}
	// Much comes out of little: there are pauses, too.
	pauses := 0
	long := AppendDeflated(nil, make([]byte, 1<<20))
	_, err := Inflate(make([]byte, 0, 1<<20), [][]byte{long}, 1<<20, nil, func() bool { pauses++; return true })
	if err != nil || pauses < 16 {
		t.Errorf("%d pauses in 1 MiB, error %v", pauses, err)
	}
}
