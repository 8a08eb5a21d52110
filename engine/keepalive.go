//go:build linux

package engine

import (
	"time"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// Clients that are gone without a word, and messages that are never finished.

// pingsOffLook is how often a connection that is not pinged looks whether Apply has changed that.
const pingsOffLook = time.Minute

// pingAfter is when a connection is to be pinged next.
func (v *Live) pingAfter() time.Duration {
	if v.PingInterval <= 0 {
		return pingsOffLook
	}
	return v.PingInterval
}

var rawPingFrame = wire.AppendRawFrame(nil, wire.RawPing, nil)

// keepAlive judges what came since the last ping, and sends the next. Sign of life is any octet from the client, and
// that it takes octets if there are any for it. That a connection is not read is the router's doing, and not judged.
func (c *conn) keepAlive() {
	l := c.loop
	l.Start(&c.timer, l.live.pingAfter())
	if l.live.PingInterval <= 0 || c.phase == phaseRawSocket && !l.live.RawSocketPings {
		c.heard, c.missed = true, 0 // there is no ping to miss
		return
	}
	c.q.Lock()
	stuck := !c.q.Progress() && c.q.Bytes() > 0
	c.q.Unlock()
	switch {
	case stuck, c.hold == 0 && !c.deferred && !c.heard:
		c.missed++
	case c.heard, c.hold&holdBacklog != 0:
		c.missed = 0
	}
	if int(c.missed) >= l.live.pingsMissedMax() {
		l.engine.rare.pingTimeouts.Add(1)
		c.debug("no answer to pings", "pings", c.missed, "reads", !stuck)
		c.fail(port.ClosePolicy, "no answer to pings")
		return
	}
	c.heard = false
	if c.phase == phaseRawSocket {
		c.append(rawPingFrame)
		return
	}
	c.append(pingFrame)
}

// beginMessage notes that part of a message is there now, or that its client may go on with it.
func (c *conn) beginMessage() { c.progress, c.onPace = c.loop.began, c.loop.began }

// progressed notes that so many more octets of an unfinished message have come.
func (c *conn) progressed(octets int) {
	c.progress = c.loop.began
	c.onPace = min(c.progress, c.onPace+time.Duration(octets)*time.Second/messagePace)
}

// unfinished reports that c holds part of a message.
func (c *conn) unfinished() bool { return len(c.in) > 0 || c.part != nil || c.tls.unfinished() }

// listUnfinished notes that c holds part of a message.
func (l *loop) listUnfinished(c *conn) {
	if c.listed || c.handler == nil || l.live.MessageTimeout < 0 {
		return
	}
	c.listed = true
	l.unfinished = append(l.unfinished, c)
	if l.sweep.Due == 0 {
		l.Start(&l.sweep, l.live.MessageTimeout/unfinishedSweeps)
	}
}

// sweepUnfinished begins to look at the connections that may hold part of a message, several turns if they are many.
func (l *loop) sweepUnfinished(port.Executor) {
	if l.sweeping.empty() { // else there are so many that the last sweep is not done
		l.unfinished, l.sweeping.items = l.sweeping.items, l.unfinished
		l.slice(&l.sweeping, sweepTime, (*conn).lookUnfinished)
	}
	if len(l.unfinished) > 0 || !l.sweeping.empty() {
		l.Start(&l.sweep, max(l.live.MessageTimeout, 0)/unfinishedSweeps)
	}
}

// lookUnfinished closes c if its message made no progress for MessageTimeout, and keeps it listed if it holds part of
// one still. It returns what that cost.
func (c *conn) lookUnfinished() (cost int) {
	l := c.loop
	limit := l.live.MessageTimeout
	switch {
	case c.phase == phaseClosed || c.closing || c.finished.Load() || limit < 0,
		!c.unfinished():
		c.listed = false
	case c.hold != 0 || c.deferred: // the client has nothing to do; resume sets progress
	case l.began-c.progress >= limit:
		c.listed = false
		l.engine.rare.messageTimeouts.Add(1)
		c.debug("a message was not finished in time", "limit", limit)
		c.fail(port.ClosePolicy, "unfinished message")
	}
	if c.listed {
		l.unfinished = append(l.unfinished, c)
	}
	return 1
}
