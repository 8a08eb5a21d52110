//go:build linux

package engine

import (
	"runtime"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// How connections end:
//
//  1. finish   somebody, on any loop, has said the last words: nothing is appended or handled any more
//  2. windDown the home loop stops reading and sets a deadline for the rest
//  3. drained  the last byte is written, by whichever loop; the home loop closes at the end of its batch
//  4. close    the queue is shut, the session told, and the descriptor freed, which takes it out of the poller
//  5. linger   a client that broke the rules, or was refused, may still be writing: then 4 only ends our half of the connection, what comes
//     is thrown away until the client has ended the other, and then the descriptor is freed. To free it at once would
//     answer with a reset, which can overtake the words that say why
//
// A connection that broke, or takes too long, goes straight to 4 and does not linger.

// violate lets the session say why, then ends the connection.
func (c *conn) violate(v *codec.Violation) {
	l := c.loop
	c.handler.Violate(l, v)
	c.breach(v.Reason)
}

// breach ends a connection that broke the rules of its transport.
func (c *conn) breach(reason string) {
	e := c.loop.engine
	e.rare.violations.Add(1)
	e.cfg.Log.Debug("connection failed", "reason", reason, "peer", c.peer.Address, "transport", c.peer.Transport)
	c.fail(port.CloseViolation, reason)
}

// fail ends the connection: close frame, no further reading, and the end of TCP as soon as all is written.
func (c *conn) fail(code port.CloseCode, reason string) {
	c.q.mu.Lock()
	c.finishLocked(c.loop, code, reason)
	c.q.mu.Unlock()
}

// finishLocked is Finish for whichever loop l is.
func (c *conn) finishLocked(l *loop, code port.CloseCode, reason string) {
	if c.q.flags&(qFinishing|qBroken|qShut) != 0 {
		return
	}
	if c.closeFrame {
		c.q.commit(wire.AppendClose(c.q.lend(true), uint16(code), reason))
	}
	c.q.flags |= qFinishing
	c.lingers = code != port.CloseNormal && code != port.CloseGoingAway
	c.finished.Store(true)
	l.touchLocked(c)
	if c.loop == l {
		l.local = append(l.local, note{kind: noteFinish, c: c})
		return
	}
	c.loop.post(note{kind: noteFinish, c: c})
}

// breakLocked gives the connection up without a word. The queue's lock is held.
func (c *conn) breakLocked() {
	c.q.breakLocked()
	c.finished.Store(true)
}

// windDown stops reading, for good, and bounds how long the rest may take.
func (c *conn) windDown() {
	if c.phase == phaseClosed || c.wound {
		return
	}
	c.wound = true
	c.hold |= holdEnd // what still comes makes onEvent take the descriptor out of the poller's sight
	c.dropInput()
	c.loop.Start(&c.timer, finishTimeout)
}

// onTimer is the one timer of a connection: the opening handshake, then pings, then the end.
func (c *conn) onTimer(port.Executor) {
	l := c.loop
	switch {
	case c.phase == phaseClosed:
		l.burySoon(c)
	case c.finished.Load():
		l.closeSoon(c)
	case c.handler == nil:
		l.engine.rare.handshakeTimeouts.Add(1)
		l.closeSoon(c)
	default:
		if !c.heard && c.hold == 0 { // what is not read cannot be heard
			c.missed++
		}
		if c.missed == missedMax {
			l.engine.rare.pingTimeouts.Add(1)
			c.fail(port.ClosePolicy, "no answer to pings")
			return
		}
		c.heard = false
		c.append(pingFrame)
		l.Start(&c.timer, l.engine.cfg.PingInterval)
	}
}

// shutdown says goodbye because the node stops.
func (c *conn) shutdown() {
	if c.handler == nil || c.phase == phaseClosed {
		c.loop.closeSoon(c)
		c.loop.burySoon(c)
		return
	}
	if c.finished.Load() {
		return
	}
	defer c.loop.caught(c)
	c.handler.Shutdown(c.loop)
}

// close ends the transport, or the rest of it after lingering. In the batch task only; the descriptor is free afterwards, unless the
// connection lingers, and nobody will write to it: see queue.shut.
func (c *conn) close() {
	if c.phase == phaseClosed {
		c.bury()
		return
	}
	l := c.loop
	fd := int(c.q.fd)
	c.q.mu.Lock()
	orderly := c.q.flags&qFinishing != 0 && c.q.head == nil && c.q.flags&(qWriting|qBroken) == 0
	lingers := orderly && c.lingers && !c.peerDone && !c.refused && !l.stopping
	c.q.mu.Unlock()
	c.q.shut()
	c.finished.Store(true)
	c.phase = phaseClosed
	c.dropInput()
	l.Stop(&c.timer)
	if orderly && !c.peerDone {
		_ = unix.Shutdown(fd, unix.SHUT_WR) // fails when the peer is gone already
		for range discardReads {
			n, err := readInto(fd, l.buffer)
			if n == 0 || err != nil {
				lingers = lingers && err == errAgain
				break
			}
		}
	}
	l.stats.eventsLost.Add(int64(c.q.lost)) // final after shut
	c.remains = remains{fd: int32(fd), open: true}
	if !lingers || !c.linger() {
		c.bury()
	}
	if c.handler != nil {
		l.stats.closed.Add(1)
		c.closed()
	}
}

func (c *conn) closed() {
	defer func() {
		if r := recover(); r != nil {
			c.loop.engine.rare.panics.Add(1)
			c.loop.engine.cfg.Log.Error("panic while a session was closed", "panic", r)
		}
	}()
	c.handler.Closed(c.loop)
}

// lockSoon takes the queue's lock unless its holder is evidently gone.
func (c *conn) lockSoon() bool {
	for range 100_000 {
		if c.q.mu.TryLock() {
			return true
		}
		runtime.Gosched()
	}
	return false
}
