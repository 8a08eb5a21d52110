package codec

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
)

// Long values survive each way there and back, and growing in steps changes no octet: the lengths are those at which
// a value is copied in one step, in two and in more.
func TestLongValues(t *testing.T) {
	if testing.Short() {
		t.Skip("-short, for the race detector: one goroutine computes much; runs without -short try it")
	}
	binary := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i) ^ byte(i>>8) ^ byte(i>>16)
		}
		return b
	}
	numbers := make([]any, 300_000)
	for i := range numbers {
		numbers[i] = int64(i) * 7919
	}
	texts := make([]any, 30_000)
	for i := range texts {
		texts[i] = fmt.Sprintf("%020d", i)
	}
	values := map[string]any{"numbers": numbers, "texts": texts}
	for _, n := range []int{stepBytes - 1, stepBytes, stepBytes + 1, 2*stepBytes + 1, 3 << 20} {
		values[fmt.Sprint("plain ", n)] = strings.Repeat("p", n)
		values[fmt.Sprint("escaped ", n)] = strings.Repeat("a\"\n\x01ä", n/6)
		values[fmt.Sprint("one escape ", n)] = strings.Repeat("p", n) + "\n" + strings.Repeat("q", n)
		values[fmt.Sprint("binary ", n)] = binary(n)
		values[fmt.Sprint("behind others ", n)] = []any{strings.Repeat("x", n), binary(n), strings.Repeat("\t", n)}
	}
	for name, value := range values {
		for from := JSON; from <= CBOR; from++ {
			src, err := AppendValue(nil, from, value)
			if err != nil {
				t.Fatal(name, err)
			}
			for to := JSON; to <= CBOR; to++ {
				want, err := AppendValue(nil, to, value)
				if err != nil {
					t.Fatal(name, err)
				}
				before := []byte("before")
				there, err := Transcode(before, src, from, to, math.MaxInt)
				if err != nil || !bytes.HasPrefix(there, before) || !bytes.Equal(there[len(before):], want) {
					t.Fatalf("%s, %d to %d: %d octets of %d, %v", name, from, to, len(there), len(want), err)
				}
				if _, err := Transcode(nil, src, from, to, len(want)-1); err != ErrTooLong {
					t.Errorf("%s, %d to %d: one octet too many: %v", name, from, to, err)
				}
			}
		}
	}
}

// A buffer that has room does not move, and one without gets what it needs.
func TestGrowLong(t *testing.T) {
	b := make([]byte, 10, 20)
	if got := growLong(b, 10); &got[0] != &b[0] || cap(got) != 20 {
		t.Error("it moved")
	}
	if got := growLong(b, 11); cap(got) < 21 || !bytes.Equal(got, b) {
		t.Errorf("%d of 21", cap(got))
	}
	long := make([]byte, stepBytes, stepBytes+growRoom)
	if isTight(long) {
		t.Error("a buffer of one step is left to append")
	}
	if long = long[:stepBytes+1]; !isTight(long) {
		t.Error("a long buffer is about to grow")
	}
	if isTight(make([]byte, stepBytes+1, stepBytes+1+growRoom)) {
		t.Error("it has room")
	}
}

// Between two steps of a long copy others run, also where there is one P.
func TestLongCopiesLetOthersRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	long := make([]byte, 2*stepBytes)
	for name, work := range map[string]func(){
		"append": func() { appendLong(make([]byte, 0, len(long)), long) },
		"grow":   func() { growLong(long, 1) },
	} {
		var ran atomic.Bool
		go func() { ran.Store(true) }()
		work()
		if !ran.Load() {
			t.Errorf("%s: nobody else ran", name)
		}
		runtime.Gosched()
	}
}
