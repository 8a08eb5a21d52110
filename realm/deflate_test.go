package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
)

// compressible is n octets that become shorter when they are compressed.
func compressible(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "sensor %d of hall %d; ", i*7919%1000, i%7)
	}
	return b.String()[:n]
}

func (b *bed) joinDeflating(loop int, s codec.Serializer, f codec.Framing) *peer {
	b.t.Helper()
	p := &peer{Conn: b.Connect(loop, codec.MakeVariant(s, f).Deflating(), 1<<30, true), bed: b}
	p.hello("realm1")
	return p
}

// TestDeflateShared: an event is compressed once per serializer, whatever the number of receivers, their loops and
// their framings. A receiver that did not ask for it gets the same plain.
func TestDeflateShared(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, plain := b.join(0), b.join(1)
	var all []*peer
	for s := codec.JSON; s <= codec.CBOR; s++ {
		for i, f := range []codec.Framing{codec.WebSocket, codec.WebSocketBatch, codec.WebSocketBatchOld} {
			all = append(all, b.joinDeflating(i%2, s, f), b.joinDeflating(1-i%2, s, f))
		}
	}
	for _, p := range append(all, plain) {
		p.subscribe(1, "t")
	}
	for n, size := range []int{1000, 3000, 100_000, 300_000} { // the last two in the pool
		arg := compressible(size)
		publisher.say(codec.Publish, 1, values{}, "t", []any{arg})
		for _, p := range append(all, plain) {
			p.expect(codec.Event, nil, nil, values{}, []any{arg})
			if want := n + 1; p != plain && p.Deflated != want || p == plain && p.Deflated != 0 {
				t.Fatalf("%d octets: %d compressed frames, want %d", size, p.Deflated, want)
			}
		}
		s := b.router.Stats()
		if s.EventsDeflated != int64(3*(n+1)) {
			t.Errorf("%d octets: compressed %d times", size, s.EventsDeflated)
		}
		if s.DeflatedFrom < int64(3*size) || s.DeflatedTo > s.DeflatedFrom/2 || s.DeflatedTo <= 0 {
			t.Errorf("%d octets: %d became %d", size, s.DeflatedFrom, s.DeflatedTo)
		}
	}
	if s := b.router.Stats(); s.Chunked != 2 {
		t.Errorf("%d events in the pool, want 2", s.Chunked)
	}
}

// TestDeflateNobody: without receivers that want it nothing is compressed, also after the last of them has left.
func TestDeflateNobody(t *testing.T) {
	b := newBed(t, 1, Config{})
	publisher, plain, one := b.join(0), b.join(0), b.joinDeflating(0, codec.JSON, codec.WebSocket)
	plain.subscribe(1, "t")
	one.subscribe(1, "t")
	arg := compressible(1000)
	for _, want := range []int64{1, 1} {
		publisher.say(codec.Publish, 1, values{}, "t", []any{arg})
		plain.expect(codec.Event, nil, nil, values{}, []any{arg})
		if n := b.router.Stats().EventsDeflated; n != want {
			t.Errorf("compressed %d times, want %d", n, want)
		}
		one.HangUp()
		b.Settle()
	}
}

// TestDeflateThreshold: an event is compressed from DeflateBytesMin on, and only if it becomes shorter. A reload
// changes that.
func TestDeflateThreshold(t *testing.T) {
	cfg := Config{Realms: []RealmConfig{{URI: "realm1"}}, DeflateBytesMin: 500}
	b := newBed(t, 1, cfg)
	publisher, one := b.join(0), b.joinDeflating(0, codec.MessagePack, codec.WebSocket)
	one.subscribe(1, "t")
	heard := func(arg any) (octets int, deflated bool) {
		t.Helper()
		publisher.say(codec.Publish, 1, values{}, "t", []any{arg})
		before := one.Deflated
		octets = len(one.Next())
		return octets, one.Deflated > before
	}
	octets, deflated := heard(compressible(400))
	if deflated {
		t.Errorf("an event of %d octets was compressed", octets)
	}
	overhead := octets - 400
	if n, deflated := heard(compressible(499 - overhead)); n != 499 || deflated {
		t.Errorf("%d octets, compressed: %t", n, deflated)
	}
	if n, deflated := heard(compressible(500 - overhead)); n != 500 || !deflated {
		t.Errorf("%d octets, compressed: %t", n, deflated)
	}
	noise := make([]byte, 2000)
	for i := range noise {
		noise[i] = byte(b.Rand(256))
	}
	if n, deflated := heard(noise); deflated {
		t.Errorf("%d octets of noise were compressed", n)
	}
	cfg.DeflateBytesMin = 5000
	b.apply(cfg)
	if n, deflated := heard(compressible(3000)); deflated {
		t.Errorf("%d octets, compressed: %t", n, deflated)
	}
	if n, deflated := heard(compressible(100_000)); !deflated {
		t.Errorf("%d octets, compressed: %t", n, deflated)
	}
	cfg.DeflateBytesMin = 500_000
	b.apply(cfg)
	if n, deflated := heard(compressible(100_000)); deflated {
		t.Errorf("%d octets, compressed: %t", n, deflated)
	}
	if err := b.router.apply(Config{Realms: cfg.Realms, DeflateBytesMin: -1}, func(Report) {}); err == nil {
		t.Error("a negative limit was taken")
	}
}

// TestDeflateForgets: what one event needs from the pool says nothing about the next message.
func TestDeflateForgets(t *testing.T) {
	f := forms{deflateLater: true}
	if f.begin(1); f.deflateLater {
		t.Error("the next event goes to the pool too")
	}
}

// TestDeflateAnswers: answers, invocations and results go as they are.
func TestDeflateAnswers(t *testing.T) {
	b := newBed(t, 1, Config{})
	one := b.joinDeflating(0, codec.JSON, codec.WebSocket)
	arg := compressible(2000)
	one.say(codec.Register, 1, values{}, "p")
	one.expect(codec.Registered, 1, nil)
	one.say(codec.Call, 2, values{}, "p", []any{arg})
	one.expect(codec.Invocation, nil, nil, values{}, []any{arg})
	one.say(codec.Yield, 1, values{}, []any{arg})
	one.expect(codec.Result, 2, values{}, []any{arg})
	if one.Deflated != 0 {
		t.Errorf("%d compressed frames", one.Deflated)
	}
}
