//go:build linux

package engine

import (
	"errors"
	"time"

	"banyan/engine/port"
)

// How fast a client may send: messages and bytes in a second. One that has used up its second is not read from until
// the second is over; what it sends meanwhile waits in its socket. A message may be larger than what a second allows:
// then the seconds that it has used up are waited for, so that over any longer time the rate holds.

// A rate counts what a connection sent in the current second, and what it owes of earlier ones. Owned by loop.
type rate struct {
	began    time.Duration // of the second
	messages int64
	bytes    int64
	timer    port.Timer // ends the second of a pause
}

// rated reports whether anything is limited.
func (v *Live) rated() bool { return v.MessagesPerSecondMax > 0 || v.BytesPerSecondMax > 0 }

// countRate counts a message of n octets, and pauses the connection when its second is used up.
func (c *conn) countRate(n int) {
	l, r := c.loop, c.rate
	if r == nil {
		r = &rate{began: l.began}
		r.timer.Fire = func(port.Executor) { c.endRatePause() }
		c.rate = r
	}
	r.next(l.began, l.live)
	r.messages++
	r.bytes += int64(n)
	if r.usedUp(l.live) && c.hold&holdRate == 0 {
		l.engine.rare.ratePauses.Add(1)
		c.pause(holdRate)
		l.Start(&r.timer, r.began+time.Second-l.began)
	}
}

// next begins another second if the present one is over: what was over the limits stays to be paid for.
func (r *rate) next(now time.Duration, live *Live) {
	seconds := int64((now - r.began) / time.Second)
	if seconds < 1 {
		return
	}
	r.messages = owed(r.messages, int64(live.MessagesPerSecondMax), seconds)
	r.bytes = owed(r.bytes, live.BytesPerSecondMax, seconds)
	if r.began += time.Duration(seconds) * time.Second; r.messages == 0 && r.bytes == 0 {
		r.began = now
	}
}

// owed is what is left of n when so many seconds have paid for it.
func owed(n, perSecond, seconds int64) int64 {
	if perSecond <= 0 || n/perSecond < seconds {
		return 0
	}
	return n - seconds*perSecond
}

// usedUp reports whether the present second allows nothing more.
func (r *rate) usedUp(live *Live) bool {
	return live.MessagesPerSecondMax > 0 && r.messages >= int64(live.MessagesPerSecondMax) ||
		live.BytesPerSecondMax > 0 && r.bytes >= live.BytesPerSecondMax
}

// endRatePause goes on with reading, or waits for another second. It looks at the limits of the day each time.
func (c *conn) endRatePause() {
	l, r := c.loop, c.rate
	if r.next(l.began, l.live); r.usedUp(l.live) {
		l.Start(&r.timer, r.began+time.Second-l.began)
		return
	}
	c.hold &^= holdRate
	if c.phase == phaseLongPoll {
		c.longPoll().releaseLate()
	}
	c.resume()
}

// stopRate ends the counting of a connection that is closed.
func (c *conn) stopRate() {
	if c.rate != nil {
		c.loop.Stop(&c.rate.timer)
	}
}

// checkRates judges the limits of this file.
func (v *Live) checkRates() error {
	if v.MessagesPerSecondMax < 0 || v.BytesPerSecondMax < 0 {
		return errors.New("engine: messages and bytes per second cannot be negative")
	}
	return nil
}
