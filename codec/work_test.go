package codec

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// heavyPayloads are lists of values that take long to transcode, of about n octets each.
func heavyPayloads(n int) map[string]Payload {
	list := func(item string) Payload {
		return Payload{Format: JSON, Args: []byte("[" + strings.Repeat(item+",", n/(len(item)+1)) + item + "]")}
	}
	cbor := func(item string) Payload {
		count := n / len(item)
		return Payload{
			Format: CBOR, Args: append(appendCBORHead(nil, cborList, uint64(count)), strings.Repeat(item, count)...),
		}
	}
	return map[string]Payload{
		"digits":      list("1.5"),
		"half floats": cbor("\xf9\x35\x55"),
		"decimals":    list("9007199254740993.000000000000000000000000001"),
		"long":        list("0." + strings.Repeat("123456789", 90) + "1"),
		"small":       list("1234567890123456789012345e-320"),
		"smallest":    list("5e-324"),
		"too large":   list("2e308"),
		"integers":    list(strings.Repeat("9", 300)),
		"bignums":     cbor("\xc2\x58\x64" + strings.Repeat("\xfe", 100)),
		"lists":       list("[]"),
		"text":        list(`"` + strings.Repeat("text ", 200) + `"`),
		"escapes":     list(`"` + strings.Repeat(`\u0001`, 200) + `"`),
	}
}

// TestTranscodeWithin: with enough work the result is that of Transcode; with one token less than it costs there is
// none, and what is done by then is not much more than was allowed.
func TestTranscodeWithin(t *testing.T) {
	for name, p := range heavyPayloads(8 << 10) {
		for _, to := range []Serializer{JSON, MessagePack, CBOR} {
			if to == p.Format {
				continue
			}
			want, err := p.In(to, MessageBytesMax)
			if err != nil {
				t.Fatal(name, err)
			}
			const plenty = 1 << 30
			work := plenty
			buf := []byte("before")
			got, out, err := p.AppendIn(buf, to, MessageBytesMax, &work)
			if err != nil || !bytes.Equal(got.Args, want.Args) || got.Format != to || got.Kwargs != nil ||
				!bytes.HasPrefix(out, buf) {
				t.Fatalf("%s to %v: %v", name, to, err)
			}
			cost := plenty - work
			for _, c := range []struct {
				work int
				want error
			}{{cost, nil}, {cost - 1, ErrTooMuchWork}, {cost / 2, ErrTooMuchWork}, {0, ErrTooMuchWork}} {
				work = c.work
				_, out, err := p.AppendIn(buf[:0], to, MessageBytesMax, &work)
				if !errors.Is(err, c.want) || err == nil && work != 0 || err != nil && len(out) != 0 {
					t.Errorf("%s to %v with %d of %d: %v, %d left", name, to, c.work, cost, err, work)
				}
			}
			if least := len(p.Args) >> octetsPerTokenShift; cost < least {
				t.Errorf("%s to %v costs %d, its octets alone %d", name, to, cost, least)
			}
		}
	}
}

// TestTranscodeWithinBoth: arguments and keywords cost together.
func TestTranscodeWithinBoth(t *testing.T) {
	p := Payload{Format: JSON, Args: []byte("[1,2]"), Kwargs: []byte(`{"a":[3]}`)}
	for work, want := range map[int]error{10: nil, 9: ErrTooMuchWork, 4: ErrTooMuchWork, 3: ErrTooMuchWork} {
		left := work
		q, _, err := p.AppendIn(nil, MessagePack, 100, &left)
		if !errors.Is(err, want) || err == nil && fmt.Sprintf("%x %x", q.Args, q.Kwargs) != "920102 81a1619103" {
			t.Errorf("%d: %x %x, %v", work, q.Args, q.Kwargs, err)
		}
	}
}

// BenchmarkTranscodeTokens shows what a token of each kind of payload costs: ns/token.
func BenchmarkTranscodeTokens(b *testing.B) {
	for name, p := range heavyPayloads(64 << 10) {
		for _, to := range []Serializer{JSON, MessagePack, CBOR} {
			if to == p.Format {
				continue
			}
			b.Run(fmt.Sprintf("%s/to=%v", strings.ReplaceAll(name, " ", "_"), to), func(b *testing.B) {
				var buf []byte
				tokens := 0
				for b.Loop() {
					work := 1 << 30
					_, buf, _ = p.AppendIn(buf[:0], to, MessageBytesMax, &work)
					tokens += 1<<30 - work
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(tokens), "ns/token")
			})
		}
	}
}
