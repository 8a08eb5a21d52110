//go:build linux

package engine

import (
	clist "container/list"
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A TLS handshake is a coroutine, which the pool runs step by step. Signatures and key exchange never run on a loop,
// and no goroutine of the pool ever waits for a client:
//
//  1. the loop collects octets until there is a whole record; before the first there is no tls.Conn
//  2. the connection is held, and waits for a place (handshakes, below); with one it keeps the place to its end
//  3. step       the pool runs the handshake until it needs another record, or ends. If the records are such that
//     nothing but a hash is computed, as for the last ones of the client in TLS 1.3, the loop does it: stepHere
//  4. goOn       the loop sends what the step has written, and goes on at 1, or ends the handshake
//
// A handshake is bounded in octets by tlsHandshakeOctetsMax and in time by Live.HandshakeTimeout.
type handshake struct {
	// Fixed.
	t           *tlsTransport
	credentials *Credentials

	// Owned by loop, and by the pool from submit to stepped.
	in       []byte                  // received and not given to the tls.Conn, from done on
	done     int                     // octets of in that are given
	record   int                     // octets of the present record that may be given
	given    int                     // octets given in all
	out      []byte                  // written by the tls.Conn
	next     func() (struct{}, bool) // goes on with the coroutine; nil before the first step
	stop     func()                  // ends the coroutine
	yield    func(struct{}) bool     // gives way, inside the coroutine; false: end
	ended    bool                    // the coroutine has ended
	err      error                   // of the handshake
	result   *port.TLS               // of a good one
	endPoint []byte                  // of the certificate that was shown; nil if none was
	asked    bool                    // the client was asked for a certificate
	state    atomic.Uint32           // a stepState: who ends the coroutine

	// Owned by loop.
	held   int            // bytes that the budget counts for it
	began  time.Duration  // when it got its place
	queued *clist.Element // in handshakes.waiting or ready
	queue  *clist.List    // that queued is in; nil for none
	place  *clist.Element // in handshakes.begun; nil without a place
}

// A stepState says whether the pool has the handshake.
const (
	stepNone      uint32 = iota // the loop has it
	stepPool                    // the pool has it
	stepAbandoned               // the connection is gone: the pool ends the coroutine, if it has it
)

var errTLSStopped = errors.New("the connection is gone")

// beginTLS makes c a connection with TLS, whose first octets are data.
func (c *conn) beginTLS(credentials *Credentials, data []byte) {
	t := &tlsTransport{c: c, socket: c.transport.(octets)}
	t.handshake = &handshake{t: t, credentials: credentials}
	t.wire.t, t.wire.handshake = t, t.handshake
	c.tls, c.transport = t, t
	t.handshake.take(data)
}

// read reads for the handshake. The connection is not held.
func (h *handshake) read(fd int, b []byte) (int, error) {
	n, err := h.t.socket.read(fd, b[:wire.TLSRecordBytesMax-len(h.in)])
	if err != nil || n == 0 {
		if err != outq.ErrAgain {
			h.t.c.loop.engine.rare.tlsFailed[TLSFailedByClient].Add(1)
		}
		return n, err
	}
	h.take(b[:n])
	return 0, outq.ErrAgain
}

// take keeps octets of the client, and has a whole record handled.
func (h *handshake) take(b []byte) {
	h.in = append(grow(h.in, len(b), len(h.in)+len(b)), b...)
	h.hold()
	h.look()
}

// hold tells the budget what h holds.
func (h *handshake) hold() {
	n := cap(h.in)
	if h.place != nil {
		n += tlsPlaceBytes
	}
	h.t.c.loop.book(n - h.held)
	h.held = n
}

// look queues h if a whole record is there. Otherwise the socket is to be read.
func (h *handshake) look() {
	c := h.t.c
	switch {
	case recordLength(h.in[h.done:]) == 0:
		if c.hold&holdHandshake != 0 {
			c.hold &^= holdHandshake
			c.resume()
		}
		return
	case h.light():
		h.stepHere()
		return
	}
	c.hold |= holdHandshake // the next event tells the poller; usually there is none
	c.loop.handshakes.add(h)
}

// light reports that the next step computes neither a signature nor keys to exchange: the whole records hold no
// handshake message in plain text, as those of TLS 1.2 and every ClientHello are, and no certificate of the client.
func (h *handshake) light() bool {
	if h.place == nil || h.asked {
		return false
	}
	for b := h.in[h.done:]; ; {
		n := recordLength(b)
		if n == 0 {
			return true
		}
		if n < 0 || b[0] == wire.TLSHandshake {
			return false
		}
		b = b[n:]
	}
}

// stepHere makes a light step on the loop, which takes less than handing it to the pool and back.
//
// hot: TestHandshakes, "cost".
func (h *handshake) stepHere() {
	l := h.t.c.loop
	l.worked(tlsStepWork)
	func() {
		defer l.engine.caughtWork()
		h.advance()
	}()
	h.goOn()
}

// step runs the coroutine until it needs a record that is not there, or ends. It runs in the pool.
func (h *handshake) step(context.Context) {
	if h.state.Load() == stepAbandoned {
		h.end()
		return
	}
	defer func() {
		if !h.state.CompareAndSwap(stepPool, stepNone) {
			h.end()
		}
	}()
	if h.next == nil {
		h.t.tls = tls.Server(&h.t.wire, h.credentials.forConn())
		h.t.buffers = buffersOf(h.t.tls)
		h.next, h.stop = iter.Pull(h.run)
	}
	h.advance()
}

// advance makes one step of the coroutine.
func (h *handshake) advance() {
	h.err = errTLSPanic // if it does not come back
	_, more := h.next()
	if more {
		h.err = nil
	}
	h.ended = !more
}

// errTLSPanic is the outcome of a handshake that died; the log has the rest.
var errTLSPanic = errors.New("panic in a TLS handshake")

// run is the coroutine.
func (h *handshake) run(yield func(struct{}) bool) {
	h.yield = yield
	err := h.t.tls.Handshake()
	if err == nil {
		state := h.t.tls.ConnectionState()
		h.result = h.credentials.tlsSession(&state)
		h.result.EndPoint = h.endPoint
	}
	h.err = err
}

// end ends the coroutine and frees its buffer. Only who has h may.
func (h *handshake) end() {
	if h.stop != nil {
		h.stop()
		h.stop = nil
	}
	giveBuffer(h.in)
	h.in = nil
}

// feed gives the tls.Conn octets of one record at a time, so that nothing stays in its buffers. It runs in the
// coroutine.
func (h *handshake) feed(b []byte) (int, error) {
	for h.record == 0 {
		n := recordLength(h.in[h.done:])
		if n < 0 {
			n = len(h.in) - h.done // crypto/tls says what is wrong
		}
		if h.given += n; h.given > tlsHandshakeOctetsMax {
			return 0, errTLSLong
		}
		if h.record = n; n == 0 && !h.yield(struct{}{}) {
			return 0, errTLSStopped
		}
	}
	n := copy(b, h.in[h.done:h.done+h.record])
	h.done += n
	h.record -= n
	return n, nil
}

var errTLSLong = errors.New("the client's part of the handshake is too long")

// stepped goes on after a step of the pool. On the loop.
func (h *handshake) stepped(port.Executor) {
	l := h.t.c.loop
	l.handshakes.running--
	if h.t.handshake == h { // else it was abandoned
		h.goOn()
	}
	l.handshakes.dispatch(l)
}

// goOn goes on after a step. On the loop.
func (h *handshake) goOn() {
	t := h.t
	rest := h.in[h.done:]
	if copy(h.in, rest); len(rest) == 0 {
		giveBuffer(h.in)
		h.in = nil
	} else {
		h.in = h.in[:len(rest)]
	}
	h.done = 0
	h.hold()
	if len(h.out) > 0 {
		t.mu.Lock()
		t.out = append(t.out, h.out...) // a few KiB: certificates
		t.bookOut()
		t.mu.Unlock()
		h.out = nil
		t.wake()
	}
	switch {
	case h.err != nil:
		h.fail()
	case h.ended:
		h.complete()
	default:
		h.look()
	}
}

// complete makes the transport one that encrypts.
func (h *handshake) complete() {
	t := h.t
	c := t.c
	in := h.in
	h.in = nil
	h.abandon()
	t.wire.handshake, t.complete = nil, true
	if err := t.buffers.takeBack(); err != nil {
		c.lost(err)
		c.loop.closeSoon(c)
		return
	}
	t.keepIn(in)
	giveBuffer(in)
	c.loop.engine.rare.tlsHandshakes.Add(1)
	if h.result.Resumed {
		c.loop.engine.rare.tlsResumed.Add(1)
	}
	c.peer.Encrypted, c.peer.TLS = true, h.result
	if h.result.Protocol == acmeProtocol {
		c.fail(port.CloseNormal, "") // it was a challenge, and it is met
		return
	}
	if c.hold&holdHandshake != 0 {
		c.hold &^= holdHandshake
		c.resume()
	} else if t.pending() {
		c.loop.deferConn(c) // the poller does not know of it
	}
}

// fail ends the connection after a handshake that failed. An alert that says why may be among what is sent.
func (h *handshake) fail() {
	c := h.t.c
	kind := judgeTLSFailure(h.err)
	c.loop.engine.rare.tlsFailed[kind].Add(1)
	c.debug("TLS handshake failed", "kind", kind.String(), "cause", h.err, "listener", c.listenName())
	h.abandon()
	c.fail(0, "")
}

// abandon forgets the handshake. On the loop.
func (h *handshake) abandon() {
	l := h.t.c.loop
	h.t.handshake = nil
	l.handshakes.remove(l, h)
	l.book(-h.held)
	h.held = 0
	if h.state.CompareAndSwap(stepNone, stepAbandoned) || !h.state.CompareAndSwap(stepPool, stepAbandoned) {
		h.end()
	}
}

// A TLSFailure is why a TLS handshake failed.
type TLSFailure uint8

const (
	TLSFailedByClient    TLSFailure = iota // the client left, or said that it does not like ours
	TLSFailedOffer                         // no version, cipher suite or protocol (ALPN) in common
	TLSFailedCertificate                   // the client's certificate is missing or not good
	TLSFailedProtocol                      // malformed, too long, or not allowed
	TLSFailures                            // how many there are
)

// String names the kind, for logs and metrics.
func (f TLSFailure) String() string {
	return [...]string{"client", "offer", "certificate", "protocol"}[f]
}

// judgeTLSFailure tells the kind of an error of crypto/tls, which has types for some of them only.
func judgeTLSFailure(err error) TLSFailure {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return TLSFailedCertificate
	}
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return TLSFailedByClient
	}
	text := err.Error()
	for _, k := range []struct {
		part string
		kind TLSFailure
	}{
		{"client didn't provide a certificate", TLSFailedCertificate},
		{"client certificate", TLSFailedCertificate},
		{"client's certificate", TLSFailedCertificate},
		{"unsupported versions", TLSFailedOffer},
		{"no cipher suite", TLSFailedOffer},
		{"unsupported application protocols", TLSFailedOffer},
		{"no ECDHE curve", TLSFailedOffer},
	} {
		if strings.Contains(text, k.part) {
			return k.kind
		}
	}
	return TLSFailedProtocol
}

// handshakes are those of the connections of one loop. The number of places is bounded, because each takes memory.
//
// Those that have a place go first, in their order. Of the others the newest is served first: if there are more than
// can be served, as in an attack, the newest client is one that still waits. With a queue it would stand behind
// thousands that are long gone. While others wait for a place, the oldest handshake whose client has let the router
// wait is cut after tlsCutAfter. Owned by loop.
type handshakes struct {
	waiting clist.List // of *handshake: a record is there, but no place; the oldest first
	ready   clist.List // of *handshake: have a place, and a further record is there; the oldest first
	begun   clist.List // of *handshake: have a place; the oldest first
	running int        // steps that the pool has
	timer   port.Timer
}

// places is how many handshakes of l may have begun.
func (l *loop) places() int {
	e := l.engine
	n := l.live.TLSHandshakesMax
	if n == 0 {
		n = int(min(e.budget.bytesMax/tlsPlacesShare/tlsPlaceBytes, tlsPlacesMax))
	}
	return max(n/len(e.loops), 1)
}

// add queues h, which has a whole record.
func (hs *handshakes) add(h *handshake) {
	l := h.t.c.loop
	h.queue = &hs.waiting
	if h.place != nil {
		h.queue = &hs.ready
	} else {
		l.stats.tlsWaiting.Add(1)
	}
	h.queued = h.queue.PushBack(h)
	hs.dispatch(l)
}

// unqueue takes h out of its queue.
func (hs *handshakes) unqueue(l *loop, h *handshake) {
	if h.queue == nil {
		return
	}
	if h.queue == &hs.waiting {
		l.stats.tlsWaiting.Add(-1)
	}
	h.queue.Remove(h.queued)
	h.queue, h.queued = nil, nil
}

// remove forgets h and frees its place.
func (hs *handshakes) remove(l *loop, h *handshake) {
	hs.unqueue(l, h)
	if h.place != nil {
		hs.begun.Remove(h.place)
		h.place = nil
		l.stats.tlsBegun.Add(-1)
	}
	if hs.waiting.Len() > 0 {
		l.Start(&hs.timer, 0) // not here: the caller may be closing many
	}
}

// dispatch gives the pool what it may have, and cuts what stands in the way. It is called when anything has changed,
// and by the timer.
func (hs *handshakes) dispatch(l *loop) {
	for hs.running < tlsStepsAtOnce {
		h := hs.first(l)
		if h == nil {
			if hs.waiting.Len() == 0 || !hs.cutOldest(l) {
				return
			}
			continue
		}
		h.state.Store(stepPool)
		if !l.engine.pool.submit(asyncWork{run: h.step, done: h.stepped, loop: l, brief: true}) {
			h.state.Store(stepNone)
			l.Start(&hs.timer, poolFullPause)
			return
		}
		hs.running++
		hs.unqueue(l, h)
		if h.place == nil {
			h.place = hs.begun.PushBack(h)
			h.began = l.poller.Now()
			h.hold()
			l.stats.tlsBegun.Add(1)
		}
	}
}

// first returns the handshake that is to be served now, nil for none.
func (hs *handshakes) first(l *loop) *handshake {
	if e := hs.ready.Front(); e != nil {
		return e.Value.(*handshake)
	}
	if e := hs.waiting.Back(); e != nil && hs.begun.Len() < l.places() {
		return e.Value.(*handshake)
	}
	return nil
}

// cutOldest closes the oldest connection whose client has let its place wait for too long, and reports whether there
// was one. If there may be one later, the timer looks again.
func (hs *handshakes) cutOldest(l *loop) bool {
	now := l.poller.Now()
	for e := hs.begun.Front(); e != nil; e = e.Next() {
		h := e.Value.(*handshake)
		if wait := h.began + tlsCutAfter - now; wait > 0 {
			l.Start(&hs.timer, wait)
			return false
		}
		if c := h.t.c; h.queue == nil && h.state.Load() == stepNone {
			l.engine.rare.tlsCut.Add(1)
			l.engine.warn("unfinished TLS handshakes are closed because others wait", "places", l.places(),
				"waiting", hs.waiting.Len(), "peer", c.peer.Address)
			c.lost(errTLSCut)
			h.abandon()
			l.closeSoon(c)
			return true
		}
	}
	return false
}

var errTLSCut = errors.New("the TLS handshake took too long while others waited")
