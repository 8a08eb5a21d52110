//go:build linux

package engine

import (
	crand "crypto/rand"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// HTTP long-poll (PROTOCOL 13.4). A session of it is a conn without a socket, so that limits, policies for clients
// that do not read, counters, eviction and the goodbye at the end are those of every other. Its requests come on
// other connections, the carriers (carrier.go), on whichever loop these are:
//
//  1. open     the carrier's loop makes the session, which stays there
//  2. others   the carrier's loop finds the session by its id, and hands the request to the session's loop (Run)
//  3. send     the body becomes the session's unfinished message, c.part; it is handled as any message that waited,
//     and answered when all of it is handled
//  4. receive  waits until some loop flushes the session's queue: that loop cuts messages off the queue and appends
//     the answer to the carrier's queue (Send). Without a receive the queue is a socket that takes nothing
//  5. close    ends the session as a client that hangs up
//
// The queue holds RawSocket frames: their prefix is what a batch puts before a binary message.
//
// Messages are lost with the connection that carries them, as on every transport. If the router sees it, the session
// ends: see carrier.delivered.
type longPoll struct {
	// Fixed at open.
	c  *conn
	id wire.PollID

	// Any goroutine.
	joined atomic.Bool

	mu       sync.Mutex // no other lock is taken under it
	carriers int32      // guarded by mu; connections whose latest request is of this session
	kept     int32      // guarded by mu; of these, those that stay open and count for no address
	ended    bool       // guarded by mu; no connection can become one of them any more
	place    *place     // guarded by mu; the session's own once it has ended, until the last of kept is gone

	waiting *pollRequest // guarded by mu; the receive that the next messages answer, which is not forgotten
	since   int64        // guarded by mu; Engine.now when waiting began, or without one when the last one ended
	reader  *conn        // guarded by mu; has the last messages to write, if they are not written yet
	oldEnd  bool         // guarded by mu; messages of a JSON batch end in 0x18

	// Owned by loop of c.
	unjoined  bool               // counted in admission.unjoined
	sending   *pollRequest       // whose body is c.part
	sends     list[*pollRequest] // that wait behind it
	sendCount int                // of sends
	sendBytes int                // allocated for the bodies of sends
	late      list[*pollRequest] // receives that newer ones took the place of; answered when the second is over
	lateCount int                // of late
}

// longPolls finds sessions by id. Any goroutine.
type longPolls struct {
	mu   sync.RWMutex
	byID map[wire.PollID]*longPoll // guarded by mu
}

func (v *longPolls) add(p *longPoll) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.byID == nil {
		v.byID = map[wire.PollID]*longPoll{}
	}
	v.byID[p.id] = p
}

func (v *longPolls) remove(p *longPoll) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if delete(v.byID, p.id); len(v.byID) == 0 {
		v.byID = nil // maps never shrink
	}
}

func (v *longPolls) find(id wire.PollID) *longPoll {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.byID[id]
}

func (v *longPolls) len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.byID)
}

var (
	errNoReceive  = errors.New("no receive came")
	errAnswerLost = errors.New("an answer with messages did not get out whole")
)

// longPoll is the transport of c, which is in the phase longPoll.
func (c *conn) longPoll() *longPoll { return c.transport.(*longPoll) }

// openLongPoll makes a session for r, the request that opens one, and answers it.
func (l *loop) openLongPoll(r *pollRequest) {
	l.engine.admission.opened(r.carrier)
	name, chosen, ok := choosePollProtocol(r.takeBody())
	if !ok {
		r.refuse(l, http.StatusBadRequest, "no protocol in common; offer wamp.2.json, wamp.2.msgpack or wamp.2.cbor")
		return
	}
	e, carrier := l.engine, r.carrier
	p := &longPoll{since: e.now(), carriers: 1, kept: 1} // the connection of r
	c := &conn{
		loop: l, transport: p, fd: l.virtualDescriptor(), born: p.since, opening: carrier.opening, peer: carrier.peer,
	}
	p.c = c
	_, _ = crand.Read(p.id[:]) // never fails
	c.peer.Transport = "longpoll"
	if t := c.peer.TLS; t != nil {
		// Requests come on any connection: what is bound to this one alone says nothing about the session.
		shared := *t
		shared.Unique, shared.Exporter = nil, nil
		c.peer.TLS = &shared
	}
	c.place, carrier.place = carrier.place, nil // the session takes it over
	if why := l.admitLongPoll(c); why != admitted {
		e.admission.leave(c)
		r.headers += l.retryAfter() + "\r\n"
		r.refuse(l, http.StatusServiceUnavailable, refusals[why].reason)
		return
	}
	if cookie := c.takeCookie(&wire.Head{Cookie: r.cookie}); cookie != "" {
		r.headers += cookie + "\r\n"
	}
	c.q.Open(int(c.fd), &e.budget.backlogs)
	c.phase = phaseLongPoll
	c.batched = chosen.framing == codec.WebSocketBatch
	c.variant = codec.MakeVariant(chosen.serializer, codec.RawSocket)
	c.messageMax = wire.RawBytesMax - 1 // so that a prefix is a length, and nothing else
	c.timer.Fire = c.onTimer
	l.enter(c)
	l.homed.Add(1)
	e.longPolls.add(p)
	e.admission.countPoll(c.place, 1)
	carrier.carrier.session, carrier.carrier.kept = p, true
	c.begin()
	r.answer(l, http.StatusOK, "application/json", wire.AppendPollOpened(nil, name, p.id))
}

// take counts k as one that carries requests of p. It is one of those that are kept if there are fewer than keep;
// otherwise it is counted only if others may be. status is 200, or what to refuse the request with. Any goroutine.
func (p *longPoll) take(keep int32, others bool, k *carrier) (status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k.kept = p.kept < keep
	switch {
	case p.ended:
		return http.StatusNotFound
	case !k.kept && !others:
		return http.StatusServiceUnavailable
	case p.carriers == longPollCarriersMax:
		return http.StatusTooManyRequests
	}
	if p.carriers++; k.kept {
		p.kept++
	}
	return http.StatusOK
}

// leave takes one off again, and returns the place that is nobody's any more with it; or nil. Any goroutine.
func (p *longPoll) leave(kept bool) (left *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.carriers--; kept {
		p.kept--
	}
	if p.kept == 0 {
		left, p.place = p.place, nil
	}
	return left
}

// choosePollProtocol returns the first protocol of an offer that is spoken here.
func choosePollProtocol(body []byte) (name string, chosen subprotocol, ok bool) {
	offered, _ := wire.ReadPollOpen(body)
	for _, name := range offered {
		if chosen, ok := subprotocols[name]; ok {
			return name, chosen, true
		}
	}
	return "", chosen, false
}

// admitLongPoll asks for a place for a session that opens: it counts as a connection.
//
// It needs no connection of its own, so a stranger with one could take all places at no cost. Those who have not
// joined have a share.
func (l *loop) admitLongPoll(c *conn) refusal {
	e, a := l.engine, &l.engine.admission
	why := e.admit(l, c)
	if why != admitted {
		e.tellRefused(c, why)
		return why
	}
	if why = c.admitAddress(); why == admitted {
		c.longPoll().unjoined = true
		if a.unjoined.Add(1) <= int64(l.live.unjoinedMax()) {
			return admitted
		}
		a.joined(c.longPoll())
		why = refusedUnjoined
		e.tellRefused(c, why)
	}
	a.leave(c)
	e.open.Add(-1)
	return why
}

// begin opens the session. It survives a panic.
func (c *conn) begin() {
	defer c.loop.caught(c)
	c.open()
}

// virtualDescriptor is a number for the tables that no descriptor has.
func (l *loop) virtualDescriptor() int32 {
	for {
		if l.virtual == math.MinInt32 {
			l.virtual = 0
		}
		if l.virtual--; l.conns[int(l.virtual)] == nil {
			return l.virtual
		}
	}
}

// Run implements port.Job: the session's loop takes a request over.
func (r *pollRequest) Run(x port.Executor, _ int) (more bool) {
	l, p := x.(*loop), r.poll
	c := p.c
	if r.verb != wire.PollSend {
		r.dropBody() // it means nothing
	}
	switch {
	case c.released:
		r.refuse(l, http.StatusNotFound, noSuchPoll)
	case r.verb == wire.PollClose:
		c.peerDone = true
		c.lost(errHungUp)
		l.closeSoon(c)
		l.releaseSoon(c)
		r.answer(l, http.StatusNoContent, "")
	case c.closing || c.phase == phaseClosed || r.verb == wire.PollSend && c.finished.Load():
		r.refuse(l, http.StatusNotFound, noSuchPoll)
	case r.verb == wire.PollReceive:
		p.receive(r)
	default:
		p.send(r)
	}
	return false
}

// noSuchPoll does not tell whether there ever was such a session.
const noSuchPoll = "there is no such transport"

// receive lets r wait for messages. An older one is answered without any: it got none so far, and gets none later.
func (p *longPoll) receive(r *pollRequest) {
	c, l := p.c, p.c.loop
	p.mu.Lock()
	older := p.waiting
	if r.forgotten {
		older = r
	} else {
		p.waiting, p.since = r, l.engine.now()
	}
	p.mu.Unlock()
	if older != nil {
		p.release(older)
	}
	if !c.ending {
		l.Start(&c.timer, l.engine.longPollHold)
	}
	if c.q.Writable() {
		c.q.Lock()
		l.touchLocked(c)
		c.q.Unlock()
	}
}

// release answers r, a receive that a newer one took the place of. It brought no message, so it counts as one: a
// client may not do so more often than it may send. If its second is used up, the answer waits for the end of it.
func (p *longPoll) release(r *pollRequest) {
	c, l := p.c, p.c.loop
	if l.live.rated() && !c.finished.Load() {
		if c.hold&holdRate != 0 && p.lateCount < longPollLateMax {
			c.rate.messages++
			p.late.add(r)
			p.lateCount++
			return
		}
		c.countRate(0)
	}
	r.answer(l, http.StatusNoContent, "")
}

// releaseLate answers the receives whose answers have waited.
func (p *longPoll) releaseLate() {
	for {
		r, ok := p.late.next()
		if !ok {
			return
		}
		p.lateCount--
		r.answer(p.c.loop, http.StatusNoContent, "")
	}
}

// takeWaiting returns the receive that waits, which from now on is the caller's to answer. nil if there is none.
func (p *longPoll) takeWaiting() (r *pollRequest, oldEnd bool) {
	now := p.c.loop.engine.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if r = p.waiting; r != nil {
		p.waiting, p.since = nil, now
	}
	return r, p.oldEnd
}

// forget says that no messages are to go to r, whose client is gone, and reports whether it waited for them: then it
// is the caller's to answer. Any goroutine.
func (p *longPoll) forget(r *pollRequest) (waited bool) {
	now := p.c.loop.engine.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	r.forgotten = true
	if waited = p.waiting == r; waited {
		p.waiting, p.since = nil, now
	}
	return waited
}

// useOldEnd notes that the client ends messages with 0x18.
func (p *longPoll) useOldEnd() {
	p.mu.Lock()
	p.oldEnd = true
	p.mu.Unlock()
}

// setReader notes that the last messages are in the queue of c, whose lock is held.
func (p *longPoll) setReader(c *conn) {
	p.mu.Lock()
	p.reader = c
	p.mu.Unlock()
}

// answering reports whether the last messages are still on their way. Their connection is closed if it makes no
// progress.
func (p *longPoll) answering() bool {
	p.mu.Lock()
	c := p.reader
	p.mu.Unlock()
	if c == nil {
		return false
	}
	c.q.Lock()
	defer c.q.Unlock()
	if c.q.Bytes() > 0 {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reader == c {
		p.reader = nil // it may be closed, and nobody else holds it
	}
	return false
}

// timeout answers a receive that has waited long enough, and ends a session that nobody receives from. A client that
// is reading the last answer cannot send the next receive yet.
func (p *longPoll) timeout() {
	c, l := p.c, p.c.loop
	e := l.engine
	answering := p.answering()
	p.mu.Lock()
	r, limit := p.waiting, e.longPollIdle
	switch {
	case r != nil:
		limit = e.longPollHold
	case answering:
		p.since = e.now()
	}
	left := limit - time.Duration(e.now()-p.since)
	over := left <= 0
	if over && r != nil {
		p.waiting, p.since = nil, e.now()
	}
	p.mu.Unlock()
	switch {
	case !over:
		l.Start(&c.timer, min(left, e.longPollIdle/longPollLooks))
	case r != nil:
		r.answer(l, http.StatusNoContent, "")
		l.Start(&c.timer, e.longPollIdle)
	default:
		e.rare.longPollTimeouts.Add(1)
		c.lost(errNoReceive)
		l.closeSoon(c)
	}
}

// endReceive answers the receive that waits when the session ends. orderly says that it is no surprise.
func (p *longPoll) endReceive(orderly bool) {
	p.releaseLate()
	r, _ := p.takeWaiting()
	switch {
	case r == nil:
	case orderly:
		r.keeps = false // see close
		r.answer(p.c.loop, http.StatusNoContent, "")
	default:
		r.refuse(p.c.loop, http.StatusNotFound, noSuchPoll)
	}
}

// send takes the body of r over, behind those that wait already.
func (p *longPoll) send(r *pollRequest) {
	c, l := p.c, p.c.loop
	switch {
	case p.sending == nil:
		p.beginSend(r)
	default:
		p.sends.add(r)
		p.sendCount++
		if r.body != nil {
			p.sendBytes += r.body.held
		}
	}
	l.deferConn(c) // a turn has little time for notes
}

// beginSend makes the body of r the message under way.
func (p *longPoll) beginSend(r *pollRequest) {
	c, body := p.c, r.body
	if body == nil {
		body = newPartial()
	}
	p.sending, r.body, c.part = r, nil, body
	if len(body.full) > 0 {
		c.joinLater(body, nil)
	} else {
		body.ready = true
	}
	c.heldBack()
}

// handle hands the bodies of sends to the session, one after the other.
func (p *longPoll) handle() {
	c := p.c
	for !c.halted() && c.part != nil {
		c.deliver(c.part)
		if c.part != nil {
			continue // the rest of a batch
		}
		p.endSend(http.StatusNoContent)
		if r, ok := p.sends.next(); ok && !c.finished.Load() {
			p.takeOff(r)
			p.beginSend(r)
		} else if ok {
			p.takeOff(r)
			r.refuse(c.loop, http.StatusNotFound, noSuchPoll)
		}
	}
}

func (p *longPoll) takeOff(r *pollRequest) {
	p.sendCount--
	if r.body != nil {
		p.sendBytes -= r.body.held
	}
}

// endSend answers the send under way with status, unless the session ended because of it.
func (p *longPoll) endSend(status int) {
	c, l, r := p.c, p.c.loop, p.sending
	p.sending = nil
	c.q.Lock()
	broke := c.lingers // only after a Finish
	c.q.Unlock()
	switch {
	case broke:
		r.refuse(l, http.StatusBadRequest, "the message is against the protocol; the session has ended")
	case status == http.StatusNotFound:
		r.refuse(l, status, noSuchPoll)
	default:
		r.answer(l, status, "")
	}
}

// dropSends does so with all of them, because the session ends.
func (p *longPoll) dropSends() {
	if p.sending != nil {
		p.endSend(http.StatusNotFound)
	}
	for {
		r, ok := p.sends.next()
		if !ok {
			return
		}
		p.takeOff(r)
		r.refuse(p.c.loop, http.StatusNotFound, noSuchPoll)
	}
}

// dropBody gives up the body of r, if it still has one. On the loop of its session.
func (r *pollRequest) dropBody() {
	if r.body != nil {
		r.poll.c.releasePartial(r.body)
		r.body = nil
	}
}

// Send implements outq.Sender: it answers the receive that waits with one message, or with a batch of what there is.
// Another loop may call it than that of the session.
func (p *longPoll) Send(_ int, v *outq.Vectors, first *outq.Segment) (int, error) {
	l := v.Owner.(*loop)
	l.stats.writes.Add(-1) // it is counted where the answer is written
	r, oldEnd := p.takeWaiting()
	if r == nil {
		return 0, outq.ErrAgain
	}
	m := pollMessages{batched: p.c.batched, json: p.c.variant.Serializer() == codec.JSON, oldEnd: oldEnd}
	m.cut(first)
	if m.used == 0 {
		p.putBack(l, r)
		return 0, nil
	}
	kind := "application/octet-stream"
	if m.json {
		kind = "application/json"
	}
	if !r.answer(l, http.StatusOK, kind, m.pieces...) {
		return 0, outq.ErrAgain // its connection is gone; the messages stay
	}
	l.stats.bytesOut.Add(int64(-m.used))
	return m.used, nil
}

// putBack lets r wait again, unless a newer one does or nobody waits for its answer.
func (p *longPoll) putBack(l *loop, r *pollRequest) {
	p.mu.Lock()
	over := p.waiting != nil || r.forgotten
	if !over {
		p.waiting = r
	}
	p.mu.Unlock()
	if over {
		r.answer(l, http.StatusNoContent, "")
	}
}

// A longPoll is a transport that nothing can be read from.

func (p *longPoll) read(int, []byte) (int, error) { return 0, outq.ErrAgain }
func (p *longPoll) failure(int) error             { return nil }
func (p *longPoll) shutdown(int)                  {}

// close ends the session for requests. Connections that it let count for no address count with its place.
func (p *longPoll) close(int) {
	c := p.c
	e := c.loop.engine
	e.longPolls.remove(p)
	e.admission.joined(p)
	e.admission.countPoll(c.place, -1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended = true; p.kept > 0 {
		p.place, c.place = c.place, nil
	}
}

// JudgePollPath tells why path cannot be one in Config.LongPoll, or returns "".
func JudgePollPath(path string) string {
	switch {
	case !strings.HasPrefix(path, "/") || path == "/" || strings.HasSuffix(path, "/"):
		return "it has to begin with /, and must not end so"
	case strings.Trim(path, pollPathOctets) != "" || strings.Contains(path, "//"):
		return "it may have letters, digits, - . _ ~ and single /"
	case path == healthPath || path == "/ws":
		return "this path is taken"
	}
	return ""
}

const pollPathOctets = "/-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
