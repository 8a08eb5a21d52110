//go:build linux

package engine

import (
	"bytes"
	"math"
	"testing"
	"time"

	"banyan/codec"
)

// LIM: the message that reaches the bound is handled, the next one waits for the next second, and nothing is lost.
func TestMessagesPerSecond(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]Live{
		"messages": {MessagesPerSecondMax: 4},
		"bytes":    {BytesPerSecondMax: 400},
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

// What is left to be paid for of earlier seconds, and when a second begins.
func TestRateOwes(t *testing.T) {
	for _, c := range []struct{ n, perSecond, seconds, owed int64 }{
		{0, 10, 1, 0},
		{9, 10, 1, 0},
		{10, 10, 1, 0},
		{11, 10, 1, 1},
		{19, 10, 1, 9},
		{20, 10, 1, 10},
		{25, 10, 2, 5},
		{29, 10, 3, 0},
		{5, 0, 1, 0},
		{math.MaxInt64, 1, 1, math.MaxInt64 - 1},
		{5, 10, math.MaxInt64, 0},
	} {
		if got := owed(c.n, c.perSecond, c.seconds); got != c.owed {
			t.Errorf("%d at %d per second after %d s: %d is owed, want %d", c.n, c.perSecond, c.seconds, got, c.owed)
		}
	}
	live := &Live{MessagesPerSecondMax: 5}
	r := rate{began: time.Minute, messages: 3}
	if r.next(time.Minute+time.Second-1, live); r.messages != 3 || r.began != time.Minute {
		t.Errorf("within the second: %d messages", r.messages)
	}
	// After a silence it begins with the next message: else the end of one and the beginning of another would allow
	// twice as many at once.
	later := time.Minute + 1900*time.Millisecond
	if r.next(later, live); r.messages != 0 || r.began != later {
		t.Errorf("after a silence: %d messages, began at %v", r.messages, r.began)
	}
	r = rate{began: time.Minute, messages: 6}
	if r.next(later, live); r.messages != 1 || r.began != time.Minute+time.Second {
		t.Errorf("with something owed: %d messages, began at %v", r.messages, r.began)
	}
}

// A message that is over the rate is paid for by waiting: over any longer time the rate holds, whatever the length of
// the messages, and a client that has waited may send again, with nothing saved up.
func TestRateIsPaidFor(t *testing.T) {
	for _, s := range []struct {
		live        Live
		octets      int
		first, wait int // messages up to the first pause, seconds of it
	}{
		{Live{BytesPerSecondMax: 10 << 10}, 1 << 20, 1, 102},
		{Live{BytesPerSecondMax: 1000}, 999, 2, 1},
		{Live{BytesPerSecondMax: 1000}, 1000, 1, 1},
		{Live{BytesPerSecondMax: 1000}, 1999, 1, 1},
		{Live{BytesPerSecondMax: 1000}, 2000, 1, 2},
		{Live{BytesPerSecondMax: 1000, MessagesPerSecondMax: 2}, 100, 2, 1},
		{Live{BytesPerSecondMax: math.MaxInt64, MessagesPerSecondMax: math.MaxInt}, 1 << 20, 0, 0},
	} {
		s.live.PingInterval = -1
		c, p := newSilent(t, s.live, phaseRawSocket)
		l := c.loop
		p.now, l.began = time.Hour, time.Hour
		if s.wait > 0 {
			for n := range s.first {
				if c.hold != 0 {
					t.Fatalf("%+v: paused after %d", s, n)
				}
				c.countRate(s.octets)
			}
			for end := p.now + time.Duration(s.wait)*time.Second; ; later(c, p, 10*time.Millisecond) {
				if held := c.hold == holdRate; held != (p.now < end) {
					t.Fatalf("%+v: held %v, %v before the end", s, held, end-p.now)
				}
				if p.now >= end+100*time.Millisecond {
					break
				}
			}
			if n := l.engine.Stats().RatePauses; n != 1 || c.rate.timer.Due != 0 {
				t.Errorf("%+v: %d pauses, the timer is still there: %v", s, n, c.rate.timer.Due != 0)
			}
		}
		// A client that sends whatever it may, with pauses of its own.
		const seconds = 300
		began, bytes, messages := p.now, 0, 0
		for k := 0; p.now < began+seconds*time.Second && messages < 10_000; k++ {
			for n := 0; c.hold == 0 && n < 100; n++ {
				c.countRate(s.octets)
				bytes += s.octets
				messages++
			}
			later(c, p, time.Duration(1+k%7*300)*10*time.Millisecond)
		}
		if most := s.live.BytesPerSecondMax; most < math.MaxInt64 && bytes > int(most)*(seconds+3)+s.octets {
			t.Errorf("%+v: %d octets in %v", s, bytes, p.now-began)
		}
		if most := s.live.MessagesPerSecondMax; most > 0 && most < math.MaxInt && messages > most*(seconds+3) {
			t.Errorf("%+v: %d messages in %v", s, messages, p.now-began)
		}
		if c.hold != 0 && s.wait == 0 {
			t.Errorf("%+v: held", s)
		}
	}
	// Limits that are lifted end a pause within a second, however much is owed.
	c, p := newSilent(t, Live{BytesPerSecondMax: 1, PingInterval: -1}, phaseRawSocket)
	c.countRate(1 << 20)
	later(c, p, 5*time.Second)
	if c.hold != holdRate {
		t.Fatal("not held")
	}
	live := *c.loop.live
	live.BytesPerSecondMax = 0
	c.loop.live = &live
	if later(c, p, time.Second); c.hold != 0 {
		t.Error("held without a limit")
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
