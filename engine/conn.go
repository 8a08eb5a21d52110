//go:build linux

package engine

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A conn is one client connection: its reading side and its place in the loop. The writing side is the queue.
//
//	sniff ─▶ http ─▶ webSocket ─┐
//	  └────▶ rawHello ─▶ rawSocket ─┴─▶ closed       (any phase may go to closed)
type conn struct {
	q queue

	// Fixed at accept; any goroutine may read.
	loop *loop
	born int64     // nanoseconds since Engine.epoch
	peer port.Peer // its Transport is fixed when the transport handshake is complete

	// Any goroutine.
	credit   atomic.Int64
	finished atomic.Bool // set with qFinishing or qBroken: no further message is handled

	// Owned by loop. variant, messageMax and closeFrame are fixed from the first Receive on, and then any goroutine may read them.
	handler    port.Handler // nil until the transport handshake is complete
	in         []byte       // received, not handled yet: an incomplete head or header, or what a pause left
	part       *partial     // a message under way, nil most of the time
	delivering *partial     // the partial that Receive is being handed, nil most of the time
	remains    remains      // of a closed connection, until its descriptor is freed
	timer      port.Timer   // handshake, then pings, then the end
	messageMax int          // longest message the peer accepts
	phase      phase
	variant    codec.Variant
	hold       hold
	polled     hold // what the poller watches: polledRead, polledWrite
	missed     uint8
	heard      bool // something arrived since the last ping
	wantWrite  bool
	closeFrame bool // the transport ends with a WebSocket close frame
	batched    bool // a batched subprotocol
	batchSeen  bool // its terminator is known
	binary     bool // every message has to be a binary frame
	refused    bool // over the connection limit: tell and close
	closing    bool // on the loop's list
	wound      bool // windDown has been here
	lingers    bool // the client may still be writing when it is closed; written under the queue's lock, by any loop
	peerDone   bool // a close frame came: the peer sends nothing any more
}

type phase uint8

const (
	phaseSniff phase = iota
	phaseHTTP
	phaseRawHello
	phaseWebSocket
	phaseRawSocket
	phaseClosed
)

// A hold is a set of reasons not to read.
type hold uint8

const (
	holdCredit  hold = 1 << iota // the credit is used up
	holdBacklog                  // too much unsent
	holdEnd                      // finishing
)

// Bits of conn.polled.
const (
	polledRead hold = 1 << iota
	polledWrite
)

const (
	// finishTimeout is how long a finishing connection may take to get rid of its last bytes.
	finishTimeout  = 5 * time.Second
	refusalTimeout = time.Second
	missedMax      = 2
	// discardReads bounds what is read and thrown away before a close, so that the kernel need not answer unread bytes with a
	// reset that could overtake our last words.
	discardReads = 16
)

// onEvent handles readiness of the socket.
func (c *conn) onEvent(events uint32) {
	if c.closing || c.phase == phaseClosed {
		if c.remains.open && !c.closing {
			c.discard()
		}
		return
	}
	if events&unix.EPOLLOUT != 0 && c.wantWrite {
		if c.q.writable() {
			c.q.mu.Lock()
			c.loop.touchLocked(c)
			c.q.mu.Unlock()
		} else {
			c.watchWrite(false)
		}
	}
	if c.hold == 0 {
		if events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.read()
		}
		return
	}
	if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		// Nobody reads, so nobody would ever see the end.
		c.loop.closeSoon(c)
		return
	}
	c.watch() // windDown leaves this to the first event: mostly none comes
}

// read takes one buffer from the socket and handles it. What a read of 0 says is taken as the end of the connection: WAMP
// needs no half-open peers, and what was not sent yet is dropped.
func (c *conn) read() {
	l := c.loop
	if c.finished.Load() {
		return
	}
	if c.q.holdRead(l.engine.cfg.highWater()) {
		c.pause(holdBacklog)
	}
	if c.handler != nil && c.credit.Load() <= 0 {
		c.pause(holdCredit) // spent since the last message, at the end of a batch
	}
	if c.hold != 0 {
		return
	}
	n, err := readInto(int(c.q.fd), l.buffer[headroom:])
	if err == errAgain {
		return
	}
	if err != nil || n == 0 {
		l.closeSoon(c)
		return
	}
	l.stats.bytesIn.Add(int64(n))
	c.heard, c.missed = true, 0
	data := l.buffer[headroom : headroom+n]
	if kept := len(c.in); kept > 0 {
		// What an earlier read left is short: everything long goes to c.part, and after a pause c.in is handled before reading.
		data = l.buffer[headroom-kept : headroom+n]
		copy(data, c.in)
		giveBuffer(c.in)
		c.in = nil
	}
	rest := data[c.handle(data):]
	if len(rest) > 0 && !c.finished.Load() {
		c.in = append(takeBuffer(len(rest)), rest...)
	}
}

// handle processes data as far as it can, and reports how much. It survives a panic of the handler.
func (c *conn) handle(data []byte) (used int) {
	l := c.loop
	defer l.caught(c)
	l.pongs, l.lastPong = 0, nil
	if c.phase == phaseSniff {
		c.sniff(data)
	}
	switch c.phase {
	case phaseHTTP:
		used = c.httpHead(data)
	case phaseRawHello:
		used = c.rawHello(data)
	}
	if c.refused {
		return used
	}
	switch c.phase {
	case phaseWebSocket:
		used += c.webSocket(data[used:])
	case phaseRawSocket:
		used += c.rawSocket(data[used:])
	}
	if l.lastPong != nil {
		c.pong(l.lastPong)
		l.lastPong = nil
	}
	return used
}

// sniff tells the transports of a shared port apart by the first octet. TLS (0x16) would be told here too.
func (c *conn) sniff(data []byte) {
	switch first := data[0]; {
	case first == wire.RawMagic:
		c.phase = phaseRawHello
	case first >= 'A' && first <= 'Z':
		c.phase = phaseHTTP
	default:
		c.loop.engine.cfg.Log.Debug("connection speaks neither HTTP nor RawSocket", "peer", c.peer.Address, "looks_like", wire.LooksLike(data))
		c.loop.closeSoon(c)
		c.finished.Store(true)
	}
}

// open makes the session once the transport is agreed on.
func (c *conn) open() {
	l := c.loop
	l.stats.opened.Add(1)
	if c.phase == phaseWebSocket && l.engine.cfg.PingInterval > 0 {
		l.Start(&c.timer, l.engine.cfg.PingInterval)
	} else {
		l.Stop(&c.timer)
	}
	c.credit.Store(l.engine.cfg.CreditBytes)
	c.binary = c.variant.Serializer() != codec.JSON
	c.handler = l.engine.opener(l, c)
}

// receive gives one message to the session and looks whether another may follow.
func (c *conn) receive(b []byte) {
	c.loop.received++
	c.handler.Receive(c.loop, b)
	if c.credit.Load() <= 0 {
		c.pause(holdCredit)
	}
}

// pause stops reading for a reason; resume looks whether it is gone.
func (c *conn) pause(why hold) {
	c.hold |= why
	c.loop.stats.readPauses.Add(1)
	c.watch()
}

// halted reports that no further message of this connection may be handled now.
func (c *conn) halted() bool { return c.hold != 0 || c.finished.Load() }

func (c *conn) dropInput() {
	giveBuffer(c.in)
	c.in = nil
	if c.part != nil {
		c.releasePartial(c.part)
		c.part = nil
	}
}

// resume looks which reasons to pause are gone, handles what the pause left and goes on reading.
func (c *conn) resume() {
	if c.phase == phaseClosed || c.closing || c.hold == 0 {
		return
	}
	if c.credit.Load() > 0 {
		c.hold &^= holdCredit
	}
	if !c.q.readHeld() {
		c.hold &^= holdBacklog
	}
	if c.hold != 0 {
		return
	}
	if len(c.in) > 0 || c.part != nil {
		used := c.handle(c.in)
		c.in = c.in[min(used, len(c.in)):] // not moved: it may pause after each message
		if len(c.in) == 0 {
			giveBuffer(c.in)
			c.in = nil
		}
	}
	c.watch()
}

// watchWrite says whether the poller is to tell when the socket takes bytes again.
func (c *conn) watchWrite(on bool) {
	if c.wantWrite == on || c.phase == phaseClosed {
		return
	}
	c.wantWrite = on
	c.watch()
}

// watch brings the poller in line with what the connection waits for. The poller knows no change to "write only": that is a delete and
// an add.
func (c *conn) watch() {
	var want hold
	if c.hold == 0 {
		want |= polledRead
	}
	if c.wantWrite {
		want |= polledWrite
	}
	if want == c.polled || c.phase == phaseClosed {
		return
	}
	l := c.loop
	p, a := l.poller, &l.attach
	a.FD = int(c.q.fd)
	was := c.polled
	c.polled = want
	var err error
	switch {
	case want == 0:
		err = p.Delete(a.FD)
	case was == 0 && want == polledRead:
		err = p.AddRead(a, false)
	case was == 0 && want == polledWrite:
		err = p.AddWrite(a, false)
	case was == 0:
		err = p.AddReadWrite(a, false)
	case want == polledRead:
		err = p.ModRead(a, false)
	case want == polledRead|polledWrite:
		err = p.ModReadWrite(a, false)
	default:
		if err = p.Delete(a.FD); err == nil {
			err = p.AddWrite(a, false)
		}
	}
	if err != nil {
		l.engine.cfg.Log.Error("poller refused a connection", "error", err)
		c.polled = 0
		l.closeSoon(c)
	}
}
