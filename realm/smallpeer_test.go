package realm

import (
	"bytes"
	"testing"

	"banyan/codec"
)

// TestTRN59Transcoded: an event that is above a receiver's limit only in the receiver's serializer, or only by its
// details, is dropped for that receiver and counted; all others get it, and the next event arrives.
func TestTRN59Transcoded(t *testing.T) {
	b := newBed(t, 2, Config{})
	const limit = 4096
	publisher, pack := b.join(0), b.joinAs(0, codec.MessagePack, limit)
	text, wide := b.joinAs(1, codec.JSON, limit), b.joinAs(1, codec.JSON, 1<<20)
	for _, p := range []*peer{pack, text, wide} {
		p.subscribe(1, "t")
	}
	octets := func(n int, options values) (lengths [3]int) {
		t.Helper()
		publisher.say(codec.Publish, 1, options, "t", []any{bytes.Repeat([]byte{0xAA}, n)})
		for i, p := range []*peer{pack, text, wide} {
			lengths[i] = len(p.Next())
		}
		return lengths
	}
	dropped := int64(0)
	for _, n := range []int{3000, 3100} { // base64 makes 4 octets of 3
		got := octets(n, values{})
		if got[0] == 0 || got[2] <= n {
			t.Errorf("%d octets: %v", n, got)
		}
		if fits := got[2] <= limit; got[1] == got[2] != fits || !fits && got[1] != 0 {
			t.Errorf("%d octets: %v", n, got)
		} else if !fits {
			dropped++
		}
	}
	if s := b.router.Stats(); dropped != 1 || s.EventsTooLong != dropped {
		t.Errorf("%d events dropped, %d counted", dropped, s.EventsTooLong)
	}
	// The longest that fits without details, and then with them.
	n := 3000
	for ; octets(n, values{})[0] < limit; n++ {
		b.router.perLoop[1].counters.eventsTooLong.Store(0)
	}
	b.router.perLoop[1].counters.eventsTooLong.Store(0)
	if got := octets(n, values{"disclose_me": true}); got[0] != 0 || got[2] == 0 {
		t.Errorf("with details: %v", got)
	}
	if got := octets(10, values{"disclose_me": true}); got[0] == 0 || got[1] == 0 || got[2] == 0 {
		t.Errorf("the next event: %v", got)
	}
}

// TestTRN60SmallestLimit: a client that accepts no more than 512 octets joins, in each serializer, and is served.
func TestTRN60SmallestLimit(t *testing.T) {
	b := newBed(t, 1, Config{})
	publisher := b.join(0)
	for s := codec.JSON; s <= codec.CBOR; s++ {
		p := b.joinAs(0, s, 512)
		p.subscribe(1, "t")
		publisher.say(codec.Publish, 1, values{}, "t", []any{"hi"})
		p.expect(codec.Event, nil, nil, values{}, []any{"hi"})
		p.HangUp()
		b.Settle()
	}
}
