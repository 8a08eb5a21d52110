package realm

import (
	"errors"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// The dealer's open calls (PROTOCOL 8.15).
//
// One record per open call stands in two tables: the caller's, by request id, and the callee's, by invocation id.
// Each table is guarded by its session's conn lock, and no step holds both:
//
//	CALL          caller's loop: into the caller's table (open), then id, record and INVOCATION in one section of
//	              the callee (offer)
//	YIELD, ERROR  callee's loop: out of the callee's table, then the answer in one section of the caller (answer)
//	CANCEL        caller's loop only, so are caller-leaves and the timeout: out of the caller's table with the
//	              answer, then the callee's
//	callee leaves callee's loop: takes its table whole, answers each caller
//
// The first to append a final message while the record is in the caller's table, under the caller's lock, wins; all
// others find the record gone. Records are compared by pointer and never reused, so a late step cannot touch a later
// call (R7). A record that has left the callee's table is forgotten: an id that was issued and is not there belongs
// to a late answer.
type call struct {
	// Fixed at CALL; any goroutine may read.
	caller   *session
	request  uint64
	timeout  uint64 // ms, 0 for none
	progress bool   // the caller wants progressive results

	// Fixed before the call is offered; any goroutine may read.
	timed      bool   // the dealer runs the timer
	disclosed  bool   // the permission to call discloses the caller
	counted    bool   // in the quota of the realm
	reroutable bool   // extra.rerouting is there
	trust      uint32 // the trust level of the call plus one; 0: none

	// Guarded by the conn lock of the callee that has the invocation.
	tallied bool // counts in callee.open
	stays   bool // it is given to no other callee: this one has more than the first chunk, or is to cancel it

	// Owned by the loop of the callee that has the invocation.
	begun bool // a part of the result has been forwarded

	// Any goroutine.
	restarting atomic.Bool // a restart of the timer is under way

	// Owned by the caller's loop. The first two change under the conn lock of the callee that gets the invocation,
	// so that its loop may read them while it has it.
	to         *callee // nil while no callee has the call, and for good if the router itself answers
	invocation uint64
	killing    bool // an INTERRUPT has been sent
	extra      *callExtra
}

// callExtra is what few calls need; nil for all others. Owned by the caller's loop.
type callExtra struct {
	timer    port.Timer    // of a call that is timed
	deadline time.Duration // uptime at which the timeout is over, of a call that waits; 0: not noted

	streaming bool   // further chunks are to come (PROTOCOL 8.6)
	procedure uint64 // a hash of the procedure that all chunks have to name
	disclosed bool   // all chunks tell the callee who the caller is

	missed    bool       // a chunk has come while no callee had the call
	rerouting *rerouting // nil unless another callee may get the call
}

// needs returns the extra of c, which it makes. Caller's loop, before c is offered.
func (c *call) needs() *callExtra {
	if c.extra == nil {
		c.extra = new(callExtra)
	}
	return c.extra
}

// streaming reports whether the caller has not sent all of the call yet.
func (c *call) streaming() bool { return c.extra != nil && c.extra.streaming }

// callsPerSlab is how many records are allocated at once. An open call keeps the seven beside it from being freed,
// and through them the sessions of their callers and callees, as long as it is open.
//
// hot: bench rpc --callers 16 --inflight 64 costs 659-684 ns of router CPU per call with it and 682-706 with one
// record at a time (two loops, four interleaved rounds).
const callsPerSlab = 8

// newCall returns a record that was never used.
func (l *perLoop) newCall() *call {
	if len(l.slab) == 0 {
		l.slab = make([]call, callsPerSlab)
	}
	c := &l.slab[0]
	l.slab = l.slab[1:]
	return c
}

// An offerResult is what became of an offered call.
type offerResult uint8

const (
	accepted       offerResult = iota
	gone                       // the callee left, or left the registration
	full                       // its queue is at the bound, or its transport is going
	tooLong                    // INVOCATION exceeds what the callee's transport takes
	untranscodable             // the payload cannot be said in the callee's serializer
	passthruless               // the callee lacks payload_passthru_mode, and the call is in it
	untranscoded               // the payload is large and not transcoded yet: see waiting
	incapable                  // it did not announce a feature that the call needs
	saturated                  // it has as many open invocations as it wants
	withdrawn                  // it has given back the registration, and cannot be sent more of the call
)

// refusal is what the caller is told if the call ends with r.
func (r offerResult) refusal(l *perLoop) *refusal {
	switch r {
	case full:
		l.counters.refusals.Add(1)
		return refuseFull
	case tooLong:
		return refuseCallLength
	case untranscodable:
		return refuseCallPayload
	case passthruless:
		return refuseCalleePassthru
	case incapable:
		return refuseFeature
	case withdrawn:
		return refuseWithdrawn
	case accepted, gone, untranscoded, saturated:
	}
	return nil
}

// The outcomes of open.
type openResult uint8

const (
	opened openResult = iota
	openAlready
	openTooMany
	openNoMemory
)

// open puts c into its caller's table.
func (c *call) open(x port.Executor) openResult {
	s := c.caller
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	if s.calls.get(c.request) != nil {
		return openAlready
	}
	if s.calls.len() >= s.realm.settings.Load().limits.CallsMax {
		return openTooMany
	}
	if s.calls.len() >= s.callsPaid+callsStep && !s.payForCalls(x) {
		return openNoMemory
	}
	s.calls.put(c.request, c)
	return opened
}

// offer gives c to a callee: liveness, limit, invocation id, record and bytes are one section of its queue (R4, R8).
//
// The payload is linked instead of copied if it is kept.
func (c *call) offer(x port.Executor, to *callee, d *codec.Details, p *codec.Payload, kept bool) offerResult {
	s := to.session
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	if !s.live || !to.live {
		return gone
	}
	if to.full() {
		return saturated
	}
	tail, ok := s.conn.Tail(port.Invocation)
	if !ok {
		// Refused because the queue is at the bound, or because the connection is going:
		// then a reply is refused as well.
		if tail, ok := s.conn.Tail(port.Reply); ok {
			s.conn.Commit(x, tail)
			return full
		}
		return gone
	}
	if s.invocations.len() >= s.realm.settings.Load().limits.CallsMax {
		s.conn.Commit(x, tail)
		return full
	}
	id := s.lastInvocation + 1
	if s.lastInvocation == codec.MaxID {
		id = 1
	}
	result := to.invoke(x, tail, id, d, p, kept)
	if result == accepted {
		c.offered(to, id)
	}
	return result
}

// invoke appends INVOCATION behind tail, or commits tail unchanged. The conn lock is held.
func (to *callee) invoke(x port.Executor, tail []byte, id uint64, d *codec.Details, p *codec.Payload,
	kept bool,
) offerResult {
	s := to.session
	if kept {
		s.conn.Commit(x, tail)
		head := codec.AppendInvocationHead(nil, s.serializer, id, to.reg.id, d, p)
		frame, ok := codec.FramePieces(s.variant, codec.PayloadPieces([][]byte{head}, p), s.bytesMax)
		if !ok {
			return tooLong
		}
		if !s.conn.AppendPieces(x, port.Invocation, frame) {
			return full
		}
		return accepted
	}
	estimate := len(p.Args) + len(p.Kwargs) + 48
	buf, err := codec.AppendInvocation(codec.BeginFrame(tail, s.variant, estimate), s.serializer, id, to.reg.id, d, p,
		s.bytesMax)
	if err != nil {
		s.conn.Commit(x, tail)
		if errors.Is(err, codec.ErrTooLong) {
			return tooLong
		}
		return untranscodable
	}
	buf, ok := codec.EndFrame(buf, s.variant, len(tail), estimate, s.bytesMax)
	if !ok {
		s.conn.Commit(x, tail)
		return tooLong
	}
	s.conn.Commit(x, buf)
	return accepted
}

// offered notes the invocation with its callee. Its conn lock is held.
func (c *call) offered(to *callee, id uint64) {
	s := to.session
	s.wrapped = s.wrapped || id < s.lastInvocation
	s.lastInvocation = id
	s.invocations.put(id, c)
	c.to, c.invocation = to, id
	if c.tallied = to.tally; c.tallied {
		to.open.Add(1)
	}
}

// isOpen reports whether the caller waits for an answer. Caller's loop.
func (c *call) isOpen(x port.Executor) bool {
	s := c.caller
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	return s.calls.get(c.request) == c
}

// answer appends msg to the caller if the call is still open, and closes it if msg is
// final. It reports whether it did.
func (c *call) answer(x port.Executor, l *perLoop, msg []byte, final bool) bool {
	return c.answerPieces(x, l, msg, nil, final)
}

// answerPieces is answer for a message, or for a frame in pieces.
func (c *call) answerPieces(x port.Executor, l *perLoop, msg []byte, frame [][]byte, final bool) bool {
	if !c.append(x, l, msg, frame, final) {
		return false
	}
	if final {
		c.ended(x)
	} else {
		c.progressed(x)
	}
	return true
}

func (c *call) append(x port.Executor, l *perLoop, msg []byte, frame [][]byte, final bool) bool {
	s := c.caller
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	if s.calls.get(c.request) != c {
		return false
	}
	if final {
		s.calls.remove(c.request)
		s.refundCalls(x)
		l.counts(x).openCalls--
		c.uncount()
	}
	if frame != nil {
		s.appendPieces(x, frame)
	} else {
		s.append(x, msg)
	}
	return true
}

// fail answers the caller with an error of the router's.
func (c *call) fail(x port.Executor, l *perLoop, why *refusal) bool {
	l.out = codec.AppendRefusal(l.out[:0], c.caller.serializer, codec.Call, c.request, why.uri, why.message)
	if !c.answer(x, l, l.out, true) {
		return false
	}
	l.counters.callErrors.Add(1)
	return true
}

// uncount gives back the place in the quota of the realm of a call that is closed.
func (c *call) uncount() {
	if c.counted {
		c.caller.realm.held.calls.Add(-1)
	}
}

// detach takes c out of its callee's table, so that later answers are discarded, and with interrupt tells the callee
// to stop. Caller's loop, after the call was closed at the caller.
func (c *call) detach(x port.Executor, l *perLoop, interrupt bool) {
	c.interrupt(x, l, codec.KillNoWait, interrupt && !c.killing, true)
}

// interrupt appends INTERRUPT to the callee, if it is open there and the callee announced call_canceling; with forget
// the record goes.
func (c *call) interrupt(x port.Executor, l *perLoop, mode codec.CancelMode, interrupt, forget bool) {
	if c.to == nil {
		return
	}
	s := c.to.session
	l.out = codec.AppendInterrupt(l.out[:0], s.serializer, c.invocation, mode)
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	if s.invocations.get(c.invocation) != c {
		return
	}
	if interrupt && s.roles&codec.CalleeCanceling != 0 {
		s.append(x, l.out)
	}
	if forget {
		s.forget(c.invocation, c)
	} else {
		c.stays = true
	}
}

// forget takes c out of the open invocations of s. Its conn lock is held.
func (s *session) forget(invocation uint64, c *call) {
	s.invocations.remove(invocation)
	if c.tallied {
		c.to.open.Add(-1)
	}
}

// invocation returns the open invocation of that id, removed if final. issued tells whether the id was ever given to
// this session: if not, using it is a violation; if so, the answer is late (PROTOCOL 8.15).
func (s *session) invocation(x port.Executor, id uint64, final bool) (c *call, issued bool) {
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	c = s.invocations.get(id)
	if c == nil {
		return nil, id <= s.lastInvocation || s.wrapped
	}
	if final {
		s.forget(id, c)
	}
	return c, true
}

// answerCalls answers open calls of a caller that is about to be told GOODBYE, as many as may end at once; the others
// end without an answer. It returns how many it answered.
func (s *session) answerCalls(x port.Executor, l *perLoop, why *refusal) (answered int) {
	x.Step("conn.lock")
	s.conn.Lock()
	open := s.calls.list(s.realm.router.bounds.farewellAtOnce)
	s.conn.Unlock()
	for _, c := range open {
		if c.fail(x, l, why) {
			c.detach(x, l, true)
		}
	}
	return len(open)
}

var refuseEnding = &refusal{codec.ErrCanceled, "the router ends the session of the caller"}

var refuseCalleeLeft = &refusal{codec.ErrCanceled, "callee left"}
