//go:build linux

package engine

import (
	"errors"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// How connections end:
//
//  1. finish    on any loop: the last bytes are appended. From here on nothing is appended or handled any more
//  2. windDown  the home loop stops reading and sets a deadline for the unsent bytes
//  3. drained   some loop has written the last byte; the home loop closes at the end of its batch
//  4. closeNow  the queue is shut, the session told, and the descriptor released
//  5. discard   what was not sent is freed, a part in each turn if there is much
//  6. linger    a client that broke the rules, or was refused, may still be writing: then 4 only ends this side of
//     the connection, later bytes are thrown away until the client has ended the other side, and then the descriptor
//     is released. To release it at once would cause a reset, which can overtake the close frame or the answer that
//     says why. A long-poll session lingers so that its client's request to close it finds it
//
// A connection that is broken or takes too long goes straight to 4 and does not linger.

// violate lets the session say why, then ends the connection.
func (c *conn) violate(v *codec.Violation) {
	l := c.loop
	c.handler.Violate(l, v)
	c.breach(v.Reason)
}

// breach ends a connection that broke the rules of its transport.
func (c *conn) breach(reason string) {
	c.loop.engine.rare.violations.Add(1)
	c.debug("connection failed", "reason", reason)
	c.fail(port.CloseViolation, reason)
}

// tooBig notes that a message was longer than it may be.
func (c *conn) tooBig() {
	limit := c.messageLimit()
	if c.phase == phaseRawSocket {
		limit = c.rawLimit()
	}
	e := c.loop.engine
	e.rare.tooBig.Add(1)
	e.warn("a message is too big; its connection is closed", "limit", limit, "joined", c.joined,
		"peer", c.peer.Address)
}

// debug logs a line about this connection for developers of clients.
func (c *conn) debug(message string, args ...any) {
	c.loop.engine.cfg.Log.Debug(message, append(args, "peer", c.peer.Address, "transport", c.peer.Transport)...)
}

// fail ends the connection: close frame, no further reading, and the end of TCP as soon as all is written.
func (c *conn) fail(code port.CloseCode, reason string) {
	c.q.Lock()
	c.finishLocked(c.loop, code, reason)
	c.q.Unlock()
}

// finishLocked is Finish for whichever loop l is.
func (c *conn) finishLocked(l *loop, code port.CloseCode, reason string) {
	if !c.q.Accepts() {
		c.finished.Store(true) // a flush may have broken the queue, whose loop only hears of it later
		return
	}
	if c.closeFrame {
		c.q.Commit(wire.AppendClose(c.q.Lend(true), uint16(code), reason))
	}
	c.q.Finish()
	c.lingers = code != port.CloseNormal && code != port.CloseGoingAway
	c.finished.Store(true)
	l.touchLocked(c)
	if c.loop == l {
		l.local = append(l.local, note{kind: noteFinish, c: c})
		return
	}
	c.loop.post(note{kind: noteFinish, c: c})
}

// Causes of an end that no system call returns.
var (
	errHungUp = errors.New("the client hung up")
	errSlow   = errors.New("the client does not read what it is sent")
	errBudget = errors.New("memory for messages is used up")
)

// breakLocked gives the connection up without a close frame. The queue's lock is held.
func (c *conn) breakLocked(cause error) {
	c.q.Break()
	c.lostLocked(cause)
	c.finished.Store(true)
}

// lost notes why the connection ends without a goodbye. The first cause stands. After a Finish there is none: the end
// was announced. Any goroutine.
func (c *conn) lost(cause error) {
	c.q.Lock()
	c.lostLocked(cause)
	c.q.Unlock()
}

func (c *conn) lostLocked(cause error) {
	if c.cause == nil && !c.finished.Load() {
		c.cause = cause
	}
}

// tellEnd logs the end of a session that nobody announced, and that a client which leaves has missed events. A
// session of long-poll does not end with a connection that carries its requests.
func (c *conn) tellEnd(cause error) {
	e := c.loop.engine
	if c.joined && cause != nil && c.carrier == nil {
		c.debug("connection lost", "cause", cause, "events_lost", c.q.Lost(), "events_dropped", c.dropped)
	}
	if c.dropped > 0 {
		e.warn("the connection of a client that does not read has ended", "events_dropped", c.dropped,
			"events_lost", c.q.Lost(), "peer", c.peer.Address, "transport", c.peer.Transport)
	}
}

// windDown stops reading, for good, and bounds how long the unsent bytes may take.
func (c *conn) windDown() {
	if c.phase == phaseClosed || c.ending {
		return
	}
	l := c.loop
	c.ending = true
	c.hold |= holdEnd // the next event, if there is one, takes the descriptor out of the poller: see onReadable
	c.dropInput()
	d := finishTimeout
	if l.stopping {
		d = min(d, l.engine.cfg.StopTimeout/2)
	}
	l.Start(&c.timer, d)
}

// onTimer is the one timer of a connection: the opening handshake, then pings, then the end.
func (c *conn) onTimer(port.Executor) {
	l := c.loop
	switch {
	case c.phase == phaseClosed:
		if c.fd >= 0 {
			l.engine.rare.lingersCut.Add(1)
		}
		l.releaseSoon(c)
	case c.finished.Load() && c.carrier != nil && !l.stopping && c.takesAnswer():
		l.Start(&c.timer, finishTimeout) // only the connection ends behind the answer, and its session would with it
	case c.finished.Load():
		l.closeSoon(c)
	case c.carrier != nil:
		c.carrierTimeout()
	case c.phase == phaseLongPoll:
		c.longPoll().timeout()
	case c.handler == nil:
		l.engine.rare.handshakeTimeouts.Add(1)
		if c.tls != nil && c.tls.handshake != nil {
			l.engine.rare.tlsTimeouts.Add(1)
		}
		c.debug("opening handshake took too long", "limit", l.live.HandshakeTimeout)
		l.closeSoon(c)
	default:
		c.keepAlive()
	}
}

// shutdown says goodbye because the node stops.
func (c *conn) shutdown() (cost int) {
	if c.carrier != nil && c.phase != phaseClosed {
		c.keepCarrier()
		return 0
	}
	if c.handler == nil || c.phase == phaseClosed {
		c.loop.closeSoon(c)
		c.loop.releaseSoon(c)
		return 0
	}
	if c.finished.Load() {
		return 0
	}
	defer c.loop.caught(c)
	charged := c.loop.charged
	c.handler.Shutdown(c.loop)
	return 1 + (c.loop.charged-charged)/goodbyeWork
}

// closeNow ends the transport; for a connection that lingers, the rest of it. In the batch task only. Afterwards
// nobody will write to the descriptor: see outq.Queue.Shut.
func (c *conn) closeNow() (cost int) {
	c.closing = false
	if c.phase == phaseClosed {
		c.release()
		return 1
	}
	l := c.loop
	c.q.Lock()
	orderly := c.q.Complete()
	lingers := orderly && (c.lingers || c.phase == phaseLongPoll) && !c.peerDone && c.refused == admitted &&
		!l.stopping
	cause := c.cause
	c.q.Unlock()
	if orderly && !l.killed && !c.tls.goodbye() {
		return 1
	}
	c.q.Shut(l.yield)
	c.finished.Store(true)
	c.dropInput()
	switch {
	case c.phase == phaseLongPoll:
		c.longPoll().endReceive(orderly || c.peerDone)
	case c.carrier != nil:
		c.endCarrier()
	}
	c.phase = phaseClosed
	c.stopRate()
	c.setSlow(false)
	l.Stop(&c.timer)
	if orderly && !c.peerDone {
		c.transport.shutdown(int(c.fd))
		for range discardReads {
			n, err := c.transport.read(int(c.fd), l.buffer)
			if n == 0 || err != nil {
				lingers = lingers && err == outq.ErrAgain
				break
			}
		}
	}
	if c.q.Discard(segmentsPerLook) {
		l.discarding.add(c)
	}
	l.stats.eventsLost.Add(int64(c.q.Lost()))
	c.tellEnd(cause)
	if !lingers || !c.linger() {
		c.release()
	}
	if c.handler != nil {
		l.stats.closed.Add(1)
		if c.variant.Deflates() {
			l.stats.deflating.Add(-1)
		}
		c.closed(cause == errSlow || cause == errBudget)
	}
	return 2
}

// discardUnsent goes on with freeing what was not sent when c was closed.
func (c *conn) discardUnsent() (cost int) {
	if c.q.Discard(segmentsPerLook) {
		c.loop.discarding.add(c)
	}
	return costPerLook
}

// closed tells the handler the end, and before it what there is to tell of a client that did not read.
func (c *conn) closed(slow bool) {
	defer func() {
		if r := recover(); r != nil {
			c.loop.engine.rare.panics.Add(1)
			c.loop.engine.cfg.Log.Error("panic while a session was closed", "panic", r)
		}
	}()
	defer c.handler.Closed(c.loop)
	c.tellSlowEnd(slow)
}

// release frees the descriptor. In the batch task only.
func (c *conn) release() {
	if c.released {
		return
	}
	l := c.loop
	c.released = true
	l.Stop(&c.timer)
	// Closing takes a descriptor out of the poller by itself only if no child process holds a copy of it.
	_ = c.poll(0)
	c.transport.close(int(c.fd))
	l.forget(c)
	if c.refused != admitted {
		l.engine.refusing.Add(-1)
		l.dropRefusal(c)
	} else {
		l.engine.admission.leave(c)
		l.engine.open.Add(-1)
	}
	l.homed.Add(-1)
	l.engine.departures.leave(l.engine.now(), c.born)
}

// lockSoon takes the queue's lock. It reports false if the holder does not let go of it, because its handler died.
func (c *conn) lockSoon() bool {
	for range 100_000 {
		if c.q.TryLock() {
			return true
		}
		c.loop.yield()
	}
	return false
}

// linger keeps the descriptor open for reading. It reports whether it could.
func (c *conn) linger() bool {
	l := c.loop
	c.hold, c.wantWrite = 0, false
	if err := c.poll(poll.Read); err != nil {
		return false
	}
	if c.fd >= 0 {
		l.engine.rare.lingers.Add(1)
	}
	l.Start(&c.timer, lingerTimeout)
	return true
}

// discard throws away what a lingering client wrote.
func (c *conn) discard() {
	if c.loop.exhausted {
		return // the poller, which is level-triggered, reports it again
	}
	n, err := c.transport.read(int(c.fd), c.loop.buffer)
	if err == outq.ErrAgain {
		return
	}
	c.loop.worked(1 + n>>(workShift+1))
	c.discarded += int32(n)
	most := int32(lingerBytesMax)
	if !c.joined {
		most = lingerStrangerMax
	}
	if c.discarded > most {
		c.loop.engine.rare.lingersCut.Add(1)
	} else if err == nil && n > 0 {
		return
	}
	c.loop.releaseSoon(c)
}

// releaseSoon ends lingering at the end of this batch. Home loop only.
func (l *loop) releaseSoon(c *conn) {
	if c.phase == phaseClosed && !c.released && !c.closing {
		c.closing = true
		l.closing.add(c)
	}
}
