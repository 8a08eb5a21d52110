//go:build linux

package engine

import (
	"bytes"
	"testing"
	"time"

	"banyan/codec"
)

// LIM: the message that reaches the bound is handled, the next one waits for the next second, and nothing is lost.
func TestMessagesPerSecond(t *testing.T) {
	for name, live := range map[string]Live{
		"messages":                     {MessagesPerSecondMax: 4},
		"bytes":                        {BytesPerSecondMax: 400},
		"bytes, and a message over it": {BytesPerSecondMax: 301},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, Config{Live: live, Loops: 1}, echoes)
			p, other := dialRaw(t, e, codec.CBOR), dialRaw(t, e, codec.CBOR)
			frame := rawFrameOf(bytes.Repeat([]byte("x"), 100))
			began := time.Now()
			p.send(bytes.Repeat(frame, 9))
			p.expect(bytes.Repeat(frame, 4))
			first := e.Stats()
			if time.Since(began) < 900*time.Millisecond && (first.MessagesIn != 4 || first.RatePauses != 1) {
				t.Errorf("%d messages handled, %d pauses", first.MessagesIn, first.RatePauses)
			}
			other.send(frame) // others are not affected
			other.expect(frame)
			p.expect(bytes.Repeat(frame, 4))
			if d := time.Since(began); d < 900*time.Millisecond {
				t.Errorf("the second second began after %v", d)
			}
			p.expect(frame)
			if d := time.Since(began); d < 1900*time.Millisecond {
				t.Errorf("the third second began after %v", d)
			}
			if n := e.Stats().RatePauses; n != 2 {
				t.Errorf("%d pauses", n)
			}
		})
	}
}

// A client that is slower than the bound never waits, and one that is closed while it waits leaves no timer.
func TestRateCountsSeconds(t *testing.T) {
	for _, live := range []Live{{MessagesPerSecondMax: 3}, {BytesPerSecondMax: 30}} {
		live.PingInterval = -1
		c, p := newSilent(t, live, phaseRawSocket)
		l := c.loop
		for range 5 {
			for range 2 {
				c.countRate(10)
			}
			if c.hold != 0 {
				t.Fatal("paused below the bound")
			}
			p.now += time.Second
			l.began = p.now
		}
		for range 3 {
			c.countRate(10)
		}
		if c.hold != holdRate || c.rate.timer.Due == 0 {
			t.Fatalf("hold %b, timer due %d", c.hold, c.rate.timer.Due)
		}
		c.transport = &limitedTransport{}
		c.closeNow()
		if c.rate.timer.Due != 0 {
			t.Error("the timer is still there")
		}
	}
}
