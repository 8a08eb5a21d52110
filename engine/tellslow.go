//go:build linux

package engine

import (
	"time"

	"banyan/engine/port"
)

// The handler of a slow client is told of it (port.SlowWatcher).
//
//	drop, setSlow   with the queue's lock held: a note to the loop itself
//	tellSlow        in one of its next turns, without a lock: what is the case then
//	tellLastDrops   drops that were not told of, when loops look at the connections that are blocked or were
//	closed          of a client that is given up, or leaves with drops that were not told of: before its end
//
// Changes are told as they come, which are few for each Live.SlowAfter. Drops are told slowToldPause apart at least;
// what is dropped in between is in the next figure, which comes within two of these pauses.

// noteSlow has the handler told soon. Home loop only.
func (c *conn) noteSlow() {
	if c.slowNoted {
		return
	}
	c.slowNoted, c.slowTold = true, c.loop.began
	c.loop.local = append(c.loop.local, note{kind: noteSlow, c: c})
}

// mayTellDrops reports whether it is time to tell of drops again.
func (c *conn) mayTellDrops(first bool) bool {
	return first || c.loop.began-c.slowTold >= slowToldPause
}

// tellSlow tells the handler. Of one that is being closed its end tells.
func (c *conn) tellSlow() {
	w, ok := c.handler.(port.SlowWatcher)
	if !ok || c.phase == phaseClosed || c.closing {
		c.slowNoted = false
		if !ok {
			c.dropsTold = c.dropped // nobody wants to know
		}
		return
	}
	b := c.bounds()
	c.q.Lock()
	c.caughtUp()
	c.slowNoted = false // not before: this report tells that it has caught up
	accepts := c.q.Accepts()
	report := port.Slowness{
		Policy: b.Policy, Slow: c.isSlow, Dropped: c.dropped, UnsentBytes: c.q.Bytes(), UnsentEvents: c.q.Events(),
	}
	c.q.Unlock()
	if accepts {
		c.dropsTold = c.dropped
		defer c.loop.caught(c)
		w.Slow(c.loop, report)
	}
}

// tellSlowEnd tells the handler that its connection is closed because the client does not read. If it is closed for
// another reason, it tells of the last drops.
func (c *conn) tellSlowEnd(slow bool) {
	w, ok := c.handler.(port.SlowWatcher)
	switch r := (port.Slowness{Policy: c.bounds().Policy, Dropped: c.dropped}); {
	case !ok:
	case slow:
		r.Slow, r.Closed, r.UnsentEvents = true, true, c.q.Lost()
		w.Slow(c.loop, r)
	case c.dropsTold != c.dropped:
		w.Slow(c.loop, r)
	}
}

// slowToldPause is how long no drop of a client is told after the last one that was.
const slowToldPause = time.Second
