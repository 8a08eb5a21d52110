//go:build linux

package engine

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A carrier is what a connection in the phase http knows of the long-poll requests that it carries, one after the
// other:
//
//  1. takeRequest  the head is judged: origin, path, session, length of the body. From here on the connection counts
//     as one of its session: see attach
//  2. takeBody     the body is collected; then the request goes to the loop of its session
//  3. answer       whichever loop has the answer appends it to the queue of this connection
//  4. answered     the next request may begin; what came of it meanwhile was kept
//
// The session may belong to another loop, and each request to another session: proxies share connections. Owned by
// the loop of the connection, but for delivered.
type carrier struct {
	peer    port.Peer    // before any request: the headers of each may tell of another client
	request *pollRequest // under way; nil between two
	left    int          // octets of its body that are still to come
	waits   bool         // for the answer
	more    bool         // octets behind the request have come: its connection is not read until it is answered
	closes  bool         // while it waits and there is more the client was seen to have shut down its side
	session *longPoll    // of the latest request; it counts this connection
	kept    bool         // one of the connections of session that stay open and count for no address

	// Guarded by the queue's lock: the sessions whose messages are in answers on this connection. If it ends before
	// all is written, messages are lost, and so these sessions end. What the system has taken counts as written:
	// proxies reset connections that they do not need any more.
	delivered []*longPoll
}

// A pollRequest is one request of a long-poll client. It belongs to the loop of its carrier until its body is there,
// and then to whoever is to answer it, once.
type pollRequest struct {
	carrier *conn
	verb    wire.PollVerb
	poll    *longPoll // nil to open one
	keeps   bool      // the connection stays open behind the answer
	headers string    // lines for the answer, each with its end
	cookie  string    // the client's, to open
	body    *partial  // nil without one

	forgotten bool // guarded by poll.mu: no messages may go to it
}

// polls reports whether h is a request of long-poll, perhaps a bad one.
func (o *opening) polls(h *wire.Head) bool {
	if o == nil || o.poll == "" {
		return false
	}
	_, _, below := wire.ReadPollPath(h.Path(), o.poll)
	return below
}

// takeRequest begins a request, or says why it is refused; then the connection ends.
func (c *conn) takeRequest(h *wire.Head) *wire.Refusal {
	l := c.loop
	if c.carrier == nil {
		c.carrier = &carrier{peer: c.peer}
	}
	c.peer = c.carrier.peer
	c.forwarded(h)
	if !h.OriginAllowed(l.live.rules(c.peer.Listener).Origins, c.peer.Local) {
		return &wire.Refusal{Status: http.StatusForbidden, Reason: foreignOrigin}
	}
	r := &pollRequest{carrier: c, keeps: h.Persists(), cookie: h.Cookie}
	r.addHeader(c.hsts())
	if h.Origins > 0 {
		r.addHeader("Vary: Origin\r\nAccess-Control-Allow-Credentials: true")
		r.addHeader("Access-Control-Allow-Origin: " + h.Origin)
	}
	refuse := func(status int, reason string) *wire.Refusal {
		return &wire.Refusal{Status: status, Header: strings.TrimSuffix(r.headers, "\r\n"), Reason: reason}
	}
	length, known := h.BodyBytes()
	var id wire.PollID
	r.verb, id, _ = wire.ReadPollPath(h.Path(), c.opening.poll)
	switch {
	case h.Method == http.MethodOptions && !h.Body:
		return c.preflight(r)
	case r.verb == wire.PollNothing:
		return refuse(http.StatusNotFound, "nothing here")
	case h.Method != http.MethodPost:
		r.addHeader(allowPolls)
		return refuse(http.StatusMethodNotAllowed, "only POST")
	case !known:
		return refuse(http.StatusLengthRequired, "send the body with its Content-Length")
	case r.verb == wire.PollOpen:
		if why := c.mayOpen(); why != admitted {
			r.addHeader(l.retryAfter())
			return refuse(http.StatusServiceUnavailable, refusals[why].reason)
		}
	case r.verb != wire.PollOpen:
		if r.poll = l.engine.longPolls.find(id); r.poll == nil || !r.poll.reachedBy(c) {
			return refuse(http.StatusNotFound, noSuchPoll)
		}
	}
	c.joined = r.poll != nil && r.poll.joined.Load()
	if r.verb == wire.PollSend && length > c.messageLimit() {
		c.tooBig()
		return refuse(http.StatusRequestEntityTooLarge, "message too big")
	} else if r.verb != wire.PollSend && length > pollBodyBytesMax {
		return refuse(http.StatusRequestEntityTooLarge, "body too big")
	}
	if r.poll != nil {
		switch why, status := c.attach(r); status {
		case http.StatusOK:
		case http.StatusServiceUnavailable:
			r.addHeader(l.retryAfter())
			return refuse(status, refusals[why].reason)
		case http.StatusTooManyRequests:
			l.engine.rare.longPollsCrowded.Add(1)
			return refuse(status, "too many connections carry requests of this transport")
		default:
			return refuse(status, noSuchPoll)
		}
	}
	if h.Continue && length > 0 {
		c.append([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
	}
	c.beginRequest(r, length)
	return nil
}

// beginRequest makes r the request under way.
func (c *conn) beginRequest(r *pollRequest, length int) {
	l, k := c.loop, c.carrier
	l.engine.rare.longPollRequests.Add(1)
	c.q.Lock()
	if c.q.Bytes() == 0 {
		k.delivered = nil
	}
	r.keeps = r.keeps && len(k.delivered)+1 < deliveredMax
	c.q.Unlock()
	k.request, k.left, c.progress = r, length, l.began
	switch limit := l.live.MessageTimeout; {
	case !c.joined:
		l.Start(&c.timer, l.live.HandshakeTimeout)
	case limit < 0:
		l.Stop(&c.timer)
	default:
		l.Start(&c.timer, limit)
	}
}

// mayOpen asks whether c may open a session. It counts for its address until it has.
func (c *conn) mayOpen() refusal {
	switch {
	case c.refused != admitted:
		return c.refused
	case c.loop.leaves():
		c.loop.engine.tellRefused(c, refusedLeaving)
		return refusedLeaving
	}
	c.detach()
	return c.admitAddress()
}

// preflight answers a browser that asks what a page of another origin may do. It opens connections for that alone, so
// this one ends.
func (c *conn) preflight(r *pollRequest) *wire.Refusal {
	r.keeps = false
	r.addHeader(allowPolls)
	r.addHeader("Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: Content-Type\r\n" +
		"Access-Control-Max-Age: 600")
	c.beginRequest(r, 0)
	c.carrier.waits = true
	r.answer(c.loop, http.StatusNoContent, "")
	return nil
}

const allowPolls = "Allow: POST, OPTIONS"

// addHeader adds lines to the answer, of which the last has no end; "" for none.
func (r *pollRequest) addHeader(lines string) {
	if lines != "" {
		r.headers += lines + "\r\n"
	}
}

// reachedBy reports whether requests of the session may come on c: over the same listener, and encrypted if the
// session was opened so.
func (p *longPoll) reachedBy(c *conn) bool {
	return p.c.peer.Listener == c.peer.Listener && (c.peer.Encrypted || !p.c.peer.Encrypted)
}

// takeBody takes the next octets of the body, and hands the request on when all are there. It returns how many octets
// are done with: those behind the body wait until it is answered.
func (c *conn) takeBody(data []byte) (used int) {
	k := c.carrier
	if !k.waits {
		used = min(k.left, len(data))
		if used > 0 {
			if k.request.body == nil {
				k.request.body = newPartial()
				c.part = k.request.body
			}
			c.collect(k.request.body, data[:used])
			k.left -= used
		}
		if k.left > 0 {
			return used
		}
		c.handOn(k.request)
	}
	if used < len(data) && !c.finished.Load() {
		k.more = true
		c.pause(holdAnswer)
	}
	return used
}

// holdsReceive reports that a receive may wait for long while the connection is not read, so that no read would
// notice that the client has closed it.
func (k *carrier) holdsReceive() bool {
	return k != nil && k.more && k.waits && !k.closes && k.request.verb == wire.PollReceive
}

// releaseReceive answers such a receive without messages, because nobody may be there to take any. Then comes what is
// behind it, and the end.
func (k *carrier) releaseReceive(l *loop) {
	if k.holdsReceive() {
		k.closes = true // else a level-triggered poller would report it again and again
		if r := k.request; r.poll.forget(r) {
			r.answer(l, http.StatusNoContent, "")
		}
	}
}

// handOn gives a whole request to the loop of its session; one that opens stays here.
func (c *conn) handOn(r *pollRequest) {
	l := c.loop
	c.part, c.carrier.waits = nil, true // what the body takes stays counted: the loop that has it takes it off
	l.Stop(&c.timer)
	if r.poll == nil {
		l.openLongPoll(r)
		return
	}
	n := note{kind: noteDone, job: r}
	if to := r.poll.c.loop; to == l {
		l.local = append(l.local, n)
	} else if !to.post(n) { // the engine has ended
		l.closeSoon(c)
	}
}

// takeBody returns the body of a short request, which is r's until the next one.
func (r *pollRequest) takeBody() []byte {
	body := r.body
	if body == nil {
		return nil
	}
	r.body = nil
	b := append([]byte(nil), body.buf...)
	r.carrier.releasePartial(body)
	return b
}

// attach makes the connection one of those of r's session. A connection that was refused is let in for that request.
// status is 200, or what to refuse it with: 503 because of why, 429, or 404.
func (c *conn) attach(r *pollRequest) (why refusal, status int) {
	k, p, e := c.carrier, r.poll, c.loop.engine
	if k.session == p {
		return admitted, http.StatusOK
	}
	c.detach()
	keep := int32(longPollCarriersKept)
	switch c.refused {
	case refusedFull, refusedHandshakes, refusedRate:
		keep = longPollLetIn
	}
	if status = p.take(keep, c.refused == admitted, k); status != http.StatusOK {
		return c.refused, status
	}
	k.session = p
	e.admission.opened(c)
	switch {
	case c.refused != admitted:
		r.keeps = false
		if why = c.refused; !e.letIn(c) {
			c.detach()
			return why, http.StatusServiceUnavailable
		}
	case k.kept:
		e.admission.leavePlace(c)
	default:
		r.keeps = false
		// A spare place does for it.
		if c.place == nil && c.admitAddress() != admitted {
			c.detach()
			return refusedAddress, http.StatusServiceUnavailable
		}
	}
	return admitted, http.StatusOK
}

// detach ends that.
func (c *conn) detach() {
	if k := c.carrier; k.session != nil {
		left := k.session.leave(k.kept)
		c.loop.engine.admission.giveBack(left, false)
		k.session, k.kept = nil, false
	}
}

// leaveCarrier makes the connection an ordinary one: its request is none of long-poll. It is answered at once, and
// the connection ends with that or becomes a WebSocket. It returns false if its address has no place for that.
func (c *conn) leaveCarrier() bool {
	k := c.carrier
	if k == nil {
		return true
	}
	c.detach()
	c.peer, c.carrier, c.joined = k.peer, nil, false
	if c.place != nil || c.addressLater() {
		return true
	}
	c.loop.engine.admission.take(c.loop.live, c, spareAlways) // also if it is refused: it may linger
	if c.spare {
		c.loop.engine.tellRefused(c, refusedAddress)
	}
	return !c.spare
}

// answer sends the answer to r from whichever loop l is, and reports whether its connection took it. Nobody changes
// body any more. An answer 200 to a receive holds messages.
func (r *pollRequest) answer(l *loop, status int, contentType string, body ...[]byte) bool {
	c := r.carrier
	head := r.appendHead(nil, status, contentType, body)
	c.q.Lock()
	took := c.AppendPieces(l, port.Reply, append([][]byte{head}, body...))
	if k := c.carrier; took && r.verb == wire.PollReceive && status == http.StatusOK {
		r.poll.setReader(c)
		if !slices.Contains(k.delivered, r.poll) {
			k.delivered = append(k.delivered, r.poll)
		}
	}
	if took && !r.keeps {
		c.finishLocked(l, port.CloseNormal, "")
	}
	c.q.Unlock()
	if !took || !r.keeps {
		return took
	}
	n := note{kind: noteAnswered, c: c}
	if c.loop == l {
		l.local = append(l.local, n)
	} else {
		c.loop.post(n)
	}
	return true
}

// refuse answers r with an error and ends its connection.
func (r *pollRequest) refuse(l *loop, status int, reason string) {
	r.keeps = false
	r.dropBody()
	l.engine.rare.handshakesRefused.Add(1)
	r.answer(l, status, plainText, []byte(reason+"\n"))
}

func (r *pollRequest) appendHead(dst []byte, status int, contentType string, body [][]byte) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	dst = append(append(dst, ' '), http.StatusText(status)...)
	dst = append(dst, "\r\n"...)
	if status != http.StatusNoContent {
		length := 0
		for _, b := range body {
			length += len(b)
		}
		dst = append(append(dst, "Content-Type: "...), contentType...)
		dst = strconv.AppendInt(append(dst, "\r\nContent-Length: "...), int64(length), 10)
		dst = append(dst, "\r\n"...)
	}
	dst = append(append(dst, r.headers...), fixedHeaders...)
	if r.keeps {
		return append(dst, "\r\n"...)
	}
	return append(dst, closeHeader...)
}

// answered lets the next request begin.
func (c *conn) answered() {
	k := c.carrier
	if c.closing || c.phase == phaseClosed || c.finished.Load() {
		return
	}
	k.request, k.waits, k.more, k.closes = nil, false, false, false
	c.startIdle()
	if c.hold&holdAnswer == 0 && len(c.in) == 0 {
		return
	}
	c.hold &^= holdAnswer
	if c.q.HoldRead(highWater(c.bounds())) {
		c.pause(holdBacklog)
	}
	c.resume()
}

// startIdle begins the time in which the head of the next request has to come.
func (c *conn) startIdle() {
	d := carrierIdle
	if c.loop.stopping {
		d = carrierIdleAtEnd
	}
	c.loop.Start(&c.timer, d)
}

// keepCarrier keeps the connection while the engine stops, so that its sessions can say goodbye.
func (c *conn) keepCarrier() {
	if c.carrier.request == nil {
		c.startIdle()
	}
}

// carrierTimeout ends a connection whose next request, or the body of the present one, does not come.
func (c *conn) carrierTimeout() {
	l, k := c.loop, c.carrier
	moves := c.takesAnswer()
	limit := l.live.MessageTimeout
	switch {
	case k.request == nil && moves:
		c.startIdle() // it takes its time for the last answer
	case k.request == nil:
		c.fail(port.CloseNormal, "")
	case k.waits || c.joined && limit < 0:
	case c.joined && l.began-c.progress < limit:
		l.Start(&c.timer, limit-(l.began-c.progress))
	default:
		if l.engine.rare.messageTimeouts.Add(1); !c.joined {
			limit = l.live.HandshakeTimeout
		}
		c.debug("a request was not finished in time", "limit", limit)
		l.closeSoon(c)
	}
}

// takesAnswer reports whether the client has taken some of what is not all sent yet, since this was last asked.
func (c *conn) takesAnswer() bool {
	c.q.Lock()
	defer c.q.Unlock()
	return c.q.Progress() && c.q.Bytes() > 0
}

// endCarrier tells sessions that the connection is gone, whose queue is shut. If answers did not get out whole, those
// whose messages they held end.
func (c *conn) endCarrier() {
	k, l := c.carrier, c.loop
	c.detach()
	if r := k.request; r != nil && k.waits && r.poll != nil {
		r.poll.forget(r)
	}
	if !c.q.Cut() {
		return
	}
	for _, p := range k.delivered {
		n := note{kind: noteDone, job: lostAnswer{p}}
		if p.c.loop == l {
			l.local = append(l.local, n)
		} else {
			p.c.loop.post(n)
		}
	}
}

// A lostAnswer ends a session because messages for it are lost.
type lostAnswer struct{ poll *longPoll }

// Run implements port.Job.
func (a lostAnswer) Run(x port.Executor, _ int) (more bool) {
	c := a.poll.c
	if c.phase != phaseClosed && !c.closing {
		x.(*loop).engine.rare.longPollsBroken.Add(1)
		c.lost(errAnswerLost)
		x.(*loop).closeSoon(c)
	}
	return false
}
