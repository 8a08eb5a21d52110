//go:build linux

package engine

import (
	"errors"
	"time"

	"banyan/engine/port"
)

// How fast a client may send: messages and bytes in a second. One that has used up its second is not read from until
// the second is over; what it sends meanwhile waits in its socket.

// A rate counts what a connection sent in the current second. Owned by loop.
type rate struct {
	began    time.Duration // of the second
	messages int
	bytes    int64
	timer    port.Timer // ends the pause
}

// rated reports whether anything is limited.
func (v *Live) rated() bool { return v.MessagesPerSecondMax > 0 || v.BytesPerSecondMax > 0 }

// countRate counts a message of n octets, and pauses the connection when its second is used up.
func (c *conn) countRate(n int) {
	l, r := c.loop, c.rate
	if r == nil {
		r = &rate{began: l.began}
		r.timer.Fire = func(port.Executor) {
			r.began, r.messages, r.bytes = l.began, 0, 0
			c.hold &^= holdRate
			c.resume()
		}
		c.rate = r
	}
	if l.began-r.began >= time.Second {
		r.began, r.messages, r.bytes = l.began, 0, 0
	}
	r.messages++
	r.bytes += int64(n)
	live := l.live
	if live.MessagesPerSecondMax > 0 && r.messages >= live.MessagesPerSecondMax ||
		live.BytesPerSecondMax > 0 && r.bytes >= live.BytesPerSecondMax {
		l.engine.rare.ratePauses.Add(1)
		c.pause(holdRate)
		l.Start(&r.timer, max(r.began+time.Second-l.began, 0))
	}
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
