//go:build linux

package engine

import (
	"bytes"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// A conn is one client connection: its reading side and its place in the loop. The writing side is the queue. What is
// read goes this way, all of it on the home loop:
//
//  1. onEvent   the socket is ready; not while the connection is held
//  2. read      one buffer from the transport, behind what an earlier read left
//  3. handle    by phase: the opening handshake, then the frames
//  4. receive   one message to the session; then perhaps a reason to halt
//  5. the rest  waits in c.in or c.part: for more octets, for the next turn (goOn), or for the end of a hold (resume)
//
// How a connection ends is told in ending.go.
//
//	sniff ─▶ http ─▶ webSocket ─┐
//	  └────▶ rawHello ─▶ rawSocket ─┴─▶ closed       (any phase may go to closed)
//
// A long-poll session is a conn without a socket, in the phase longPoll (longpoll.go). Its requests come on
// connections that stay in the phase http (carrier.go).
//
// TLS stands below this: in the phase sniff the transport may change, and then the phase begins again.
type conn struct {
	q outq.Queue

	// Fixed at accept, or before the session opens if it says so; any goroutine may read.
	loop      *loop
	transport transport     // fixed before the session opens
	tls       *tlsTransport // the same, or nil without TLS
	opening   *opening      // what may come first; nil where it is as by default
	fd        int32         // open until released
	born      int64         // nanoseconds since Engine.epoch
	peer      port.Peer     // fixed before the session opens, but for Network and Listener

	// Any goroutine.
	credit  atomic.Int64
	backlog atomic.Pointer[port.Backlog] // bounds of its own; nil: those of Live
	// no further message is handled: the queue is finishing, or broken for the engine's own reason
	finished atomic.Bool

	// Guarded by q's lock.
	closeFrame bool  // the transport ends with a WebSocket close frame; fixed from the first Receive on
	lingers    bool  // the client may still be writing when it is closed
	cause      error // why the connection ends without a goodbye; nil while it does not
	pressed    bool  // a bound was reached that only holds if the socket takes nothing: see loop.relieve

	// Owned by loop. variant and messageMax are fixed from the first Receive on, and
	// then any goroutine may read them.
	handler    port.Handler  // nil until the transport handshake is complete
	in         []byte        // received, not handled yet: an incomplete head or header, or what a halt left
	inDone     int32         // octets of in that are handled
	seat       int32         // its place in the loop's roster
	keptBytes  int           // of messages that the session keeps until Resume
	part       *partial      // a message under way, nil most of the time
	delivering *partial      // the partial that Receive is being handed, nil most of the time
	timer      port.Timer    // handshake, then pings, then the end
	progress   time.Duration // when the last octet of an unfinished message came
	onPace     time.Duration // until when a client of messagePace would have sent what is there of it
	messageMax int           // longest message the peer accepts
	blockedAt  time.Duration // when its socket took no more, if the poller is to tell when it does again
	dropped    int64         // events that the client did not get because it does not read
	droppedAt  time.Duration // when the last of them was dropped
	dropsTold  int64         // of dropped, those that the handler knows of
	dropsLog   int64         // of dropped, those that the log knows of
	slowTold   time.Duration // when the handler was told last that the client is slow
	discarded  int32         // bytes thrown away while lingering
	events     uint32        // what the poller reported while the connection was deferred
	place      *place        // what its address counts for; nil if it does not
	spare      bool          // place is one of place.spares
	carrier    *carrier      // its long-poll requests; nil if there was none
	rate       *rate         // what it sent in this second; nil without a limit
	phase      phase
	refused    refusal // why it gets no place: tell and close
	variant    codec.Variant
	hold       hold
	polled     poll.Interest // what the poller watches
	announced  byte          // the limit of a RawSocket handshake, as its exponent
	missed     uint8         // pings in a row without a sign of life
	joined     bool
	heard      bool // something arrived since the last ping
	wantWrite  bool
	batched    bool // a batched subprotocol
	batchSeen  bool // its terminator is known
	binary     bool // every message has to be a binary frame
	unopened   bool // counted in admission.unopened
	deferred   bool // on the loop's list for the next turn
	listed     bool // on the loop's list of unfinished messages
	isSlow     bool // counted in Stats.Slow
	slowNoted  bool // the handler is about to be told

	listedBlocked bool // on the loop's list of blocked connections

	hungUp   bool // the poller reported the end while the connection was held, and is not asked again
	closing  bool // on the loop's list of connections to close
	ending   bool // windDown was called
	peerDone bool // a close frame came: the peer sends nothing any more
	released bool // the descriptor is freed
	proxied  bool // its PROXY header was read
}

type phase uint8

const (
	phaseSniff phase = iota
	phaseHTTP
	phaseRawHello
	phaseWebSocket
	phaseRawSocket
	phaseLongPoll
	phaseClosed
)

// A hold is a set of reasons not to read.
type hold uint8

const (
	holdCredit    hold = 1 << iota // the credit is used up
	holdBacklog                    // too much unsent
	holdSession                    // the session waits for something: see Hold
	holdJoin                       // the pool makes one buffer of a message's chunks
	holdHandshake                  // a step of the TLS handshake waits for the pool, or is there
	holdRate                       // the second's messages or bytes are used up
	holdAnswer                     // the answer to a request is awaited, and more has come already
	holdEnd                        // finishing
)

// onEvent handles readiness of the socket.
func (c *conn) onEvent(events uint32) {
	if c.closing || c.phase == phaseClosed {
		if c.phase == phaseClosed && !c.closing && !c.released {
			c.discard()
		}
		return
	}
	if events&unix.EPOLLOUT != 0 && c.wantWrite {
		if c.q.Writable() {
			c.q.Lock()
			c.loop.touchLocked(c)
			c.q.Unlock()
		} else {
			c.watchWrite(false)
		}
	}
	if c.deferred || c.hold == 0 && c.loop.exhausted {
		// A level-triggered poller would report it again, but perhaps always behind others. So the connection gets a
		// place in the loop's list.
		c.events |= events &^ unix.EPOLLOUT
		c.loop.deferConn(c)
		return
	}
	c.onReadable(events)
}

func (c *conn) onReadable(events uint32) {
	if c.hold == 0 {
		if events&(unix.EPOLLIN|unix.EPOLLPRI|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.read()
		}
		return
	}
	// The connection is not read, so a read will not notice that the client is gone. A reset ends it at once. After
	// an orderly end of a Unix socket, which is a hang-up too, there may be messages to read first.
	switch {
	case events&unix.EPOLLERR != 0 || events&unix.EPOLLHUP != 0 && (c.ending || c.wantWrite):
		cause := c.transport.failure(int(c.fd))
		if cause == nil {
			cause = errHungUp
		}
		c.lost(cause)
		c.loop.closeSoon(c)
		return
	case events&unix.EPOLLHUP != 0:
		c.hungUp = true
	}
	if events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0 {
		c.carrier.releaseReceive(c.loop)
	}
	c.watch() // Hold and windDown leave this to the first event; usually there is none
}

// goOn continues in a later turn: first with what was read, then with what the poller reported meanwhile.
func (c *conn) goOn() {
	c.deferred = false
	events := c.events
	c.events = 0
	if c.closing || c.phase == phaseClosed {
		return
	}
	if c.hold == 0 && (len(c.in) > 0 || c.part != nil) && !c.heldBack() {
		c.handleKept()
	}
	if c.deferred {
		c.events = events
		return
	}
	if c.hold == 0 && c.tls.pending() {
		events |= unix.EPOLLIN
	}
	if events != 0 {
		c.onReadable(events)
	}
	if c.hold == 0 {
		c.watch()
	}
}

// handleKept handles what was read earlier.
func (c *conn) handleKept() {
	used := c.handle(c.in[c.inDone:])
	if c.in != nil && !c.finished.Load() {
		c.inDone += int32(used) // not moved: there may be a pause after each message
		if int(c.inDone) >= len(c.in) {
			c.dropKept()
		}
	}
}

// read takes one buffer from the socket and handles it. A read of 0 is the end of the connection: WAMP needs no
// half-open peers, and unsent bytes are dropped.
func (c *conn) read() {
	l := c.loop
	if c.finished.Load() {
		return
	}
	if c.heldBack() {
		return
	}
	n, err := c.transport.read(int(c.fd), l.buffer[headroom:])
	if err == outq.ErrAgain {
		return
	}
	if err != nil || n == 0 {
		if err == nil {
			err = errHungUp
		}
		c.lost(err)
		l.closeSoon(c)
		return
	}
	l.stats.bytesIn.Add(int64(n))
	l.worked(1 + n>>(workShift+1))
	c.heard = true
	had := c.part
	data := l.buffer[headroom : headroom+n]
	if kept := len(c.in) - int(c.inDone); kept > 0 {
		// The rest of an earlier read is short: a long message is in c.part, and after a halt c.in is handled before
		// reading.
		data = l.buffer[headroom-kept : headroom+n]
		copy(data, c.in[c.inDone:])
		c.dropKept()
	}
	rest := data[c.handle(data):]
	if len(rest) > 0 && !c.finished.Load() {
		c.in = append(takeBuffer(len(rest)), rest...)
		l.book(cap(c.in))
	}
	if len(c.in) > 0 || c.part != nil {
		if c.part == nil || c.part != had { // else collect has noted it: control frames do not count
			c.beginMessage()
		}
		l.listUnfinished(c)
	}
}

// heldBack looks whether anything is against handling more of what the client sends.
func (c *conn) heldBack() bool {
	if c.q.HoldRead(highWater(c.bounds())) {
		c.pause(holdBacklog)
	}
	if c.handler != nil && c.credit.Load() <= 0 {
		c.pause(holdCredit) // spent since the last message, at the end of a batch
	}
	return c.hold != 0
}

// handle processes data as far as it can, and reports how much. It survives a panic of the handler.
func (c *conn) handle(data []byte) (used int) {
	l := c.loop
	defer l.caught(c)
	l.pongs, l.lastPong = 0, nil
	if c.phase == phaseSniff {
		used = c.sniff(data)
	}
	switch c.phase {
	case phaseHTTP:
		used += c.httpHead(data[used:])
	case phaseRawHello:
		used += c.rawHello(data[used:])
	}
	if c.refused != admitted {
		return used
	}
	switch c.phase {
	case phaseWebSocket:
		used += c.webSocket(data[used:])
	case phaseRawSocket:
		used += c.rawSocket(data[used:])
	case phaseLongPoll:
		c.longPoll().handle()
	}
	if l.lastPong != nil {
		c.pong(l.lastPong)
		l.lastPong = nil
	}
	if l.exhausted && c.hold == 0 && !c.finished.Load() && (used < len(data) || c.part != nil) {
		l.deferConn(c)
	}
	return used
}

// open makes the session once the transport is agreed on.
func (c *conn) open() {
	l := c.loop
	l.stats.opened.Add(1)
	l.engine.admission.opened(c)
	switch {
	case c.phase == phaseLongPoll:
		l.Start(&c.timer, l.engine.longPollIdle)
	case c.phase == phaseWebSocket || l.live.RawSocketPings:
		l.Start(&c.timer, l.live.pingAfter())
	default:
		l.Stop(&c.timer)
	}
	c.credit.Store(l.live.CreditBytes)
	c.binary = c.variant.Serializer() != codec.JSON
	if c.variant.Deflates() {
		l.stats.deflating.Add(1)
	}
	c.handler = l.engine.opener(l, c)
}

// receive gives one message to the session and looks whether another may follow.
func (c *conn) receive(b []byte) {
	l := c.loop
	l.received++
	l.worked(1 + len(b)>>workShift)
	c.handler.Receive(l, b)
	l.relieve()
	if l.live.rated() {
		c.countRate(len(b))
	}
	if c.keptBytes > 0 && c.hold&holdSession == 0 {
		c.dropMessages() // kept, but not to wait: they are the session's business
	}
	if c.credit.Load() <= 0 {
		c.pause(holdCredit)
	}
}

// halted reports that no further message of this connection may be handled now: it is held, finished, or its time in
// this turn is over.
func (c *conn) halted() bool { return c.hold != 0 || c.finished.Load() || c.loop.exhausted }

// pause stops reading for a reason; resume looks whether it is gone.
func (c *conn) pause(why hold) {
	c.hold |= why
	c.loop.stats.readPauses.Add(1)
	c.watch()
}

// holdAnswers stops the handling of messages if too many bytes of answers are unsent. Those that were read already
// would make more. The queue's lock is held.
func (c *conn) holdAnswers() {
	if c.handler != nil && c.hold&holdBacklog == 0 && c.q.HoldReadLocked(highWater(c.bounds())) {
		c.hold |= holdBacklog // the next event tells the poller, as with Hold
		c.loop.stats.readPauses.Add(1)
	}
}

// resume looks which reasons to pause are gone. If all are, the next turn goes on with what the pause left, and then
// reading goes on.
func (c *conn) resume() {
	if c.phase == phaseClosed || c.closing || c.ending {
		return
	}
	if c.credit.Load() > 0 {
		c.hold &^= holdCredit
	}
	if !c.q.ReadHeld() {
		c.hold &^= holdBacklog
	}
	if c.hold == 0 {
		c.beginMessage()
		c.loop.deferConn(c)
	}
}

// Hold implements port.Conn.
func (c *conn) Hold(port.Executor) {
	if c.hold&holdSession == 0 {
		c.hold |= holdSession // the next event tells the poller; usually there is none
		c.loop.stats.readPauses.Add(1)
	}
}

// Resume implements port.Conn.
func (c *conn) Resume(port.Executor) {
	c.hold &^= holdSession
	c.dropMessages()
	c.resume()
}

// SetJoined implements port.Conn.
func (c *conn) SetJoined(joined bool) {
	c.joined = joined
	if c.phase == phaseLongPoll {
		p := c.longPoll()
		p.joined.Store(joined)
		if joined {
			c.loop.engine.admission.joined(p)
		}
	}
}

// Keep implements port.Conn.
func (c *conn) Keep(b []byte) (kept []byte, pinned int) {
	if p := c.delivering; p != nil && cap(p.buf) > 1<<bufferShiftMax {
		kept, pinned = b, cap(p.buf) // nobody writes to this buffer any more: it goes to no pool
	} else {
		if kept = c.takeMessage(b); kept == nil {
			kept = bytes.Clone(b)
		}
		pinned = cap(kept)
	}
	c.keptBytes += pinned
	c.loop.book(pinned)
	return kept, pinned
}

// dropMessages notes that the session needs the messages that it kept no longer.
func (c *conn) dropMessages() {
	c.loop.book(-c.keptBytes)
	c.keptBytes = 0
}

// messageLimit is the longest message that the client may send now, in octets.
func (c *conn) messageLimit() int {
	most := c.loop.live.MessageBytesMax
	if !c.joined {
		most = min(most, joinBytesMax)
	}
	return most
}

// countPartial notes that the octets allocated for p became n more, or fewer. Every change of them passes here or in
// countPartials.
func (c *conn) countPartial(p *partial, n int) {
	p.held += n
	c.loop.countPartials(n)
}

func (l *loop) countPartials(n int) {
	if n != 0 {
		l.stats.partialBytes.Add(int64(n))
		l.book(n)
	}
}

// dropKept gives back the buffer of c.in.
func (c *conn) dropKept() {
	c.loop.book(-cap(c.in))
	giveBuffer(c.in)
	c.in, c.inDone = nil, 0
}

func (c *conn) dropInput() {
	c.dropKept()
	c.dropMessages()
	c.tls.drop()
	if c.part != nil {
		c.releasePartial(c.part)
		c.part = nil
	}
	if c.phase == phaseLongPoll {
		c.longPoll().dropSends()
	}
}

// watchWrite says whether the poller is to tell when the socket takes bytes again.
func (c *conn) watchWrite(on bool) {
	if c.wantWrite == on || c.phase == phaseClosed {
		return
	}
	if c.wantWrite = on; on {
		c.blockedAt = c.loop.began
		c.loop.listBlocked(c)
	}
	c.watch()
}

// watch brings the poller in line with what the connection waits for.
func (c *conn) watch() {
	var want poll.Interest
	if c.hold == 0 {
		want |= poll.Read
	}
	if c.wantWrite {
		want |= poll.Write
	}
	switch {
	case c.carrier.holdsReceive():
		want = want&^poll.Read | poll.Closes
	case want == 0 && !c.hungUp:
		want = poll.Ends // a reset is noticed all the same
	}
	if want == c.polled || c.phase == phaseClosed {
		return
	}
	if err := c.poll(want); err != nil {
		c.loop.engine.cfg.Log.Error("poller refused a connection", "error", err)
		c.polled = 0
		c.loop.closeSoon(c)
	}
}

// poll tells the poller what to watch; a connection without a descriptor needs none.
func (c *conn) poll(want poll.Interest) error {
	was := c.polled
	c.polled = want
	if c.fd < 0 {
		return nil
	}
	return c.loop.poller.Watch(int(c.fd), was, want)
}

// unlimited is the MessageBytesMax of peers that announce none.
const unlimited = math.MaxInt32
