package realm

import (
	"errors"
	"strconv"

	"banyan/codec"
	"banyan/engine/port"
)

// A handler is what the realm keeps behind one connection. Sessions come and go on it (PROTOCOL 4.1, 4.6):
//
//	open ──HELLO──▶ joined ──our GOODBYE──▶ closing ──GOODBYE, timer──▶ done
//	  ▲  │          ▲  │
//	  │  │          │ its GOODBYE
//	  │  │          │  ▼
//	  └─ │ all gone │ leaving      any ──violation, ABORT, transport lost──▶ done
//	     ▼          │
//	 challenged ◀──▶ deciding      see login.go
type handler struct {
	// Fixed at accept.
	router *Router
	conn   port.Conn

	// Owned by loop.
	state   state
	code    port.CloseCode // how a closing connection ends
	session *session       // in joined, otherwise nil
	login   *login         // in challenged and deciding, otherwise nil
	timer   port.Timer     // HELLO in open, AUTHENTICATE in challenged, GOODBYE in closing
}

type state uint8

const (
	stateOpen       state = iota
	stateChallenged       // CHALLENGE waits for AUTHENTICATE
	stateDeciding         // the connection is held until the pool or an authenticator has decided
	stateJoined
	stateLeaving // the connection is held until everything of the session is gone; then the reply to GOODBYE
	stateClosing
	stateDone
)

// Receive handles one whole message.
func (h *handler) Receive(x port.Executor, b []byte) {
	if h.state == stateDone {
		return
	}
	if len(b) > h.router.bounds.largeBytes && h.state == stateJoined {
		h.session.receiveLarge(x, b)
		return
	}
	l := h.router.perLoop[x.Loop()]
	m := &l.message
	if err := l.decoder.Decode(h.conn.Variant().Serializer(), b, m); err != nil {
		h.Violate(x, asViolation(err))
		return
	}
	switch h.state {
	case stateOpen:
		h.receiveOpen(x, l, m)
	case stateChallenged:
		h.login.receiveChallenged(x, l, m)
	case stateJoined:
		l.raw = b
		h.session.receive(x, l, m)
		l.raw = nil
	case stateClosing:
		// Everything but the end of the handshake is ignored. A GOODBYE that crossed ours is its reply.
		if m.Type == codec.Goodbye || m.Type == codec.Abort {
			h.finish(x, h.code, "")
		}
	case stateDeciding, stateLeaving, stateDone:
	}
}

func asViolation(err error) *codec.Violation {
	if v, ok := errors.AsType[*codec.Violation](err); ok {
		return v
	}
	return &codec.Violation{Reason: err.Error()}
}

func (h *handler) receiveOpen(x port.Executor, l *perLoop, m *codec.Message) {
	switch m.Type {
	case codec.Hello:
		h.join(x, l, m)
	case codec.Abort:
		h.finish(x, port.CloseNormal, "")
	default:
		h.violation(x, "the first message must be HELLO, not one of type "+strconv.Itoa(int(m.Type)))
	}
}

// receiveGoodbye ends the session because the peer asks for it. Everything of the session is gone before the reply is
// appended (SES-26); then the connection is ready for the next HELLO.
func (h *handler) receiveGoodbye(x port.Executor, l *perLoop) {
	s := h.session
	h.session, h.state = nil, stateLeaving
	h.conn.Resume(x) // whatever the session waits for
	if s.dispose(x, l, h.left) {
		h.left(x)
		return
	}
	h.conn.Hold(x)
}

// left replies to the peer's GOODBYE, unless the connection has ended meanwhile.
func (h *handler) left(x port.Executor) {
	if h.state != stateLeaving {
		return
	}
	l := h.router.perLoop[x.Loop()]
	l.out = codec.AppendGoodbye(l.out[:0], h.conn.Variant().Serializer(), codec.CloseGoodbyeAndOut, "")
	h.send(x, l.out)
	h.state = stateOpen
	h.conn.SetJoined(false)
	x.Start(&h.timer, h.router.settings.Load().HelloTimeout)
	h.conn.Resume(x)
}

// goodbye ends the session because the router decides so: it answers open calls, disposes the session and appends
// GOODBYE, which nothing follows. The transport is closed with code after the reply, or when the timer fires. It
// returns what that cost, in calls that were answered and things that were given back: 1 for a session without any.
func (h *handler) goodbye(x port.Executor, reason, message string, code port.CloseCode) (cost int) {
	l := h.router.perLoop[x.Loop()]
	gaveBack := l.gaveBack
	cost = 1 + h.session.answerCalls(x, l, refuseEnding)
	h.dispose(x, l)
	cost += l.gaveBack - gaveBack
	x.Work(cost)
	l.out = codec.AppendGoodbye(l.out[:0], h.conn.Variant().Serializer(), reason, message)
	h.send(x, l.out)
	h.state, h.code = stateClosing, code
	x.Start(&h.timer, h.router.settings.Load().GoodbyeTimeout)
	return cost
}

// Violate ends the connection because of a breach of the protocol (PROTOCOL 4.7).
func (h *handler) Violate(x port.Executor, v *codec.Violation) { h.violation(x, v.Reason) }

func (h *handler) violation(x port.Executor, reason string) {
	if h.state == stateDone {
		return
	}
	l := h.router.perLoop[x.Loop()]
	l.counters.violations.Add(1)
	h.router.log.Debug("protocol violation", "peer", h.conn.Peer().Address, "reason", reason)
	if h.state == stateClosing {
		h.finish(x, port.CloseViolation, reason) // nothing may follow our GOODBYE, an ABORT neither
		return
	}
	h.abort(x, l, codec.ErrProtocolViolation, reason, port.CloseViolation)
}

// abort disposes the session, if there is one, and ends the connection with ABORT.
func (h *handler) abort(x port.Executor, l *perLoop, reason, message string, code port.CloseCode) {
	h.dispose(x, l)
	l.out = codec.AppendAbort(l.out[:0], h.conn.Variant().Serializer(), reason, message)
	h.send(x, l.out)
	h.finish(x, code, reason)
}

// send appends one message that belongs to no session, or nothing if it is longer than the peer accepts: the
// connection ends anyway.
func (h *handler) send(x port.Executor, msg []byte) {
	if len(msg) > h.conn.MessageBytesMax() {
		return
	}
	x.Step("conn.lock")
	h.conn.Lock()
	defer h.conn.Unlock()
	if buf, ok := h.conn.Tail(port.Reply); ok {
		buf, _ = codec.AppendFrame(buf, h.conn.Variant(), msg)
		h.conn.Commit(x, buf)
	}
}

// finish ends the connection; what was appended before is still written.
func (h *handler) finish(x port.Executor, code port.CloseCode, reason string) {
	h.dispose(x, h.router.perLoop[x.Loop()])
	x.Stop(&h.timer)
	h.state = stateDone
	x.Step("conn.lock")
	h.conn.Lock()
	defer h.conn.Unlock()
	h.conn.Finish(x, code, reason)
}

// dispose ends the session or the login, if there is one. Exactly once for each.
func (h *handler) dispose(x port.Executor, l *perLoop) {
	if g := h.login; g != nil {
		h.login = nil
		h.conn.Resume(x)
		g.drop(x)
	}
	if s := h.session; s != nil {
		h.session = nil
		h.conn.Resume(x) // whatever the session waits for
		s.dispose(x, l, nil)
	}
}

// Shutdown says goodbye because the node stops (SES-31). A connection without a session is closed at once.
func (h *handler) Shutdown(x port.Executor) {
	switch h.state {
	case stateOpen, stateChallenged, stateDeciding, stateLeaving:
		h.finish(x, port.CloseGoingAway, "the node stops")
	case stateJoined:
		h.session.quiet = true
		h.goodbye(x, codec.CloseSystemShutdown, "the node stops", port.CloseGoingAway)
	case stateClosing, stateDone:
	}
}

// Closed tells that the transport is gone.
func (h *handler) Closed(x port.Executor) {
	x.Stop(&h.timer)
	h.dispose(x, h.router.perLoop[x.Loop()])
	h.state = stateDone
}

// expire runs when the timer of the current state does.
func (h *handler) expire(x port.Executor) {
	l := h.router.perLoop[x.Loop()]
	switch h.state {
	case stateOpen:
		l.counters.timeouts.Add(1)
		h.router.log.Debug("no HELLO in time", "peer", h.conn.Peer().Address)
		h.finish(x, port.ClosePolicy, "no HELLO in time")
	case stateChallenged:
		l.counters.timeouts.Add(1)
		h.router.log.Debug("no AUTHENTICATE in time", "peer", h.conn.Peer().Address)
		h.abort(x, l, codec.ErrAuthenticationFailed, "no AUTHENTICATE in time", port.ClosePolicy)
	case stateClosing:
		l.counters.timeouts.Add(1)
		h.finish(x, h.code, "")
	case stateJoined:
		h.outdate(x)
	case stateDeciding, stateLeaving, stateDone: // a timer that was stopped does not fire
	}
}
