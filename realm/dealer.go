package realm

import (
	"errors"
	"strconv"

	"banyan/codec"
	"banyan/engine/port"
)

// The dealer: which loop does what for each message. The critical sections are in call.go:
//
//	CALL        caller's loop: open the call; find the registration, check the right; offer it to a callee
//	INVOCATION  appended by the caller's loop, in the section that draws its id and notes the call with the callee
//	YIELD       callee's loop: look the invocation up; encode RESULT; append it if the call is still open
//	ERROR       the same, with the callee's error; unavailable may send the call to another callee (reroute.go)
//	CALL again  caller's loop: the next chunk of a progressive call, for the callee that has it (stream.go)
//	CANCEL      caller's loop: answer the caller, INTERRUPT the callee; with kill, INTERRUPT and wait for its answer
//
// Work that takes longer than a turn may last (a large payload for another serializer, a search of many patterns)
// becomes a waiting.

var (
	refuseNoProcedure = &refusal{codec.ErrNoSuchProcedure, "no callee is registered for this procedure"}
	refuseCalls       = &refusal{codec.ErrOptionNotAllowed, "this session has as many open calls as the router " +
		"allows"}
	refuseFull      = &refusal{codec.ErrNetworkFailure, "the callee does not keep up: its queue is full"}
	refuseSaturated = &refusal{codec.ErrUnavailable, "every callee has as many open calls as it wants; try again " +
		"later"}
	refuseCallLength = &refusal{codec.ErrPayloadSizeExceeded, "the invocation is longer than the callee's " +
		"transport accepts"}
	refuseCallPayload = &refusal{codec.ErrInvalidArgument, "the payload cannot be expressed in the callee's " +
		"serializer"}
	refuseAnswerLength  = &refusal{codec.ErrPayloadSizeExceeded, "the answer is longer than your transport accepts"}
	refuseAnswerPayload = &refusal{codec.ErrInvalidArgument, "the payload of the answer cannot be expressed in " +
		"your serializer"}
	refuseFeature      = &refusal{codec.ErrFeatureNotSupported, "the callee cannot take a call that comes in parts"}
	refuseErrorDetails = &refusal{codec.ErrPayloadSizeExceeded, "the details of the callee's error are too long " +
		"to be said in your serializer"}
	refuseCanceled = &refusal{codec.ErrCanceled, "call canceled"}
)

// receiveCall dispatches a CALL, in the order of PROTOCOL 8.2. Exactly one final answer follows.
func (s *session) receiveCall(x port.Executor, l *perLoop, m *codec.Message) {
	l.counts(x).calls++
	if s.goesOn(l.set, m) {
		s.receiveChunk(x, l, m)
		return
	}
	streaming := m.Options.Bool(codec.KeyProgress, false)
	if streaming && l.set.EnforceRoles && s.roles&codec.CallerStreams == 0 {
		s.violation(x, "CALL.Options.progress: HELLO did not announce progressive_call_invocations")
		return
	}
	if l.set.partitioned(m) {
		if why := l.set.refuseRunmode(m); why != nil {
			if why == refuseShardKey {
				l.counters.shardsRefused.Add(1)
			}
			s.refuse(x, l, codec.Call, m.Request, why)
			s.refuseStream(x, m)
			return
		}
	}
	c := l.newCall()
	*c = call{
		caller: s, request: m.Request, progress: m.Options.Bool(codec.KeyReceiveProgress, false),
	}
	if m.Options.Has(codec.KeyTimeout) {
		c.timeout = s.timeoutOf(x, l.set, &m.Options)
	}
	switch c.open(x) {
	case opened:
		l.batch.openCalls++
	case openAlready:
		s.violation(x, "CALL reuses the request id "+strconv.FormatUint(m.Request, 10)+" of an open call")
		return
	case openTooMany:
		s.refuse(x, l, codec.Call, m.Request, refuseCalls)
		s.refuseStream(x, m)
		return
	case openNoMemory:
		l.counters.overBudget.Add(1)
		s.refuse(x, l, codec.Call, m.Request, refuseCallsMemory)
		s.refuseStream(x, m)
		return
	}
	if most := l.set.Quotas.CallsMax; most > 0 && !s.local {
		if !s.realm.held.calls.take(most) {
			l.counters.overQuota.Add(1)
			c.fail(x, l, refuseCallsQuota)
			s.refuseStream(x, m)
			return
		}
		c.counted = true
	}
	if streaming {
		if why := s.beginStream(x, l, c, m); why != nil {
			c.fail(x, l, why)
			s.refuseStream(x, m)
			return
		}
	}
	s.dispatchAllowed(x, l, c, m)
}

// dispatchAllowed dispatches the open call c if the session may call.
func (s *session) dispatchAllowed(x port.Executor, l *perLoop, c *call, m *codec.Message) {
	x.Step("procedures.match")
	why := s.mayCall(x, l, c, m)
	if why == refuseUndecided {
		if why = s.askFirst(x, l, m, Call, codec.Exact, func(x port.Executor, l *perLoop, m *codec.Message) {
			if c.isOpen(x) {
				s.dispatchAllowed(x, l, c, m)
			}
		}); why == nil {
			c.startWaiting(x)
			return
		}
	}
	if why != nil {
		c.fail(x, l, why)
		return
	}
	if l.exact == nil && codec.ReservedURI(m.URI) {
		if why := s.callMeta(x, l, c, m); why != nil {
			c.fail(x, l, why)
		}
		return
	}
	s.dispatch(x, l, c, m, l.exact)
}

// mayCall checks the form of the procedure and the right to call it, whether it is registered or not. It leaves the
// exact registration, if there is one, in l.exact.
func (s *session) mayCall(x port.Executor, l *perLoop, c *call, m *codec.Message) (why *refusal) {
	l.exact = s.realm.procedures.Find(m.URI, codec.Exact)
	var rights *permit
	var record uint64
	if l.exact != nil {
		rights, record = &l.exact.rights, ^l.exact.id // its form was checked when it was registered
	} else if why := l.set.admit(Call, m.URI, codec.Exact); why != nil {
		return why
	}
	why, granted := s.authorize(x, l, Call, m.URI, codec.Exact, rights, record)
	if why != nil {
		return why
	}
	c.disclosed, c.trust = granted.disclosed, granted.trust
	if l.set.ForbidDisclosure && !c.disclosed && m.Options.Bool(codec.KeyDiscloseMe, false) {
		return refuseDisclosure
	}
	return nil
}

// dispatch offers the open call c to a callee; it may answer the caller with an error, or make the session wait. reg
// is the registration to try first, or nil.
func (s *session) dispatch(x port.Executor, l *perLoop, c *call, m *codec.Message, reg *registration) {
	if c.outOfTime(x, l) {
		return
	}
	why, waits := s.choose(x, l, c, m, reg)
	switch {
	case waits:
		c.noteDeadline()
	case why != nil:
		c.fail(x, l, why)
	default:
		c.start(x)
	}
}

// choose finds a callee for c and gives it the invocation. waits: the session waits for a part of that, and dispatch
// is called again.
func (s *session) choose(x port.Executor, l *perLoop, c *call, m *codec.Message,
	reg *registration,
) (why *refusal, waits bool) {
	var left []*session // owners of the rkey that have
	// Between the look-up and the callee's lock every callee may have left and others may have come: look again.
	for range searchesMax {
		if reg == nil {
			if codec.ReservedURI(m.URI) {
				return refuseNoProcedure, false // never routed to a client's pattern (PROTOCOL 3.3)
			}
			x.Step("procedures.match")
			visits, whole := 0, false
			reg, visits, whole = s.realm.procedures.Best(m.URI, s.realm.router.bounds.searchAtOnce)
			if visits >= 1<<visitShift {
				x.Work(visits >> visitShift)
			}
			if !whole {
				s.searchLater(x, l, c)
				return nil, true
			}
			if reg == nil {
				return refuseNoProcedure, false
			}
		}
		callees := reg.callees.all()
		if len(callees) == 0 {
			reg = nil
			continue
		}
		first, step, owned := 0, 1, l.set.partitioned(m)
		if owned {
			callees = heirs(x, m, callees, left)
		} else {
			first, step = reg.first(x, callees)
		}
		i, busy := first, false
		for n := range callees {
			to := callees[i]
			switch result := s.offer(x, l, c, m, to); result {
			case accepted:
				if n > 0 && !owned {
					x.Work(n >> visitShift)
					reg.passed(first, i, len(callees))
				}
				return nil, false
			case gone:
				if owned {
					left = append(left, to.session)
				}
			case saturated:
				busy = true
			case untranscoded:
				s.transcodeLater(x, l, to.session.serializer, func(x port.Executor, l *perLoop, m *codec.Message) {
					s.dispatch(x, l, c, m, nil)
				})
				return nil, true
			default:
				return result.refusal(l), false
			}
			if busy && owned {
				l.counters.saturated.Add(1)
				return refuseOwner, false
			}
			i = (i + step + len(callees)) % len(callees)
		}
		x.Work(len(callees) >> visitShift)
		if busy {
			l.counters.saturated.Add(1)
			return refuseSaturated, false
		}
		reg = nil
	}
	return refuseNoProcedure, false
}

// offer prepares the details of the INVOCATION for one callee and offers it.
func (s *session) offer(x port.Executor, l *perLoop, c *call, m *codec.Message, to *callee) offerResult {
	switch { // most likely; c.offer looks again, under the lock
	case to.left():
		return gone
	case to.full():
		return saturated
	}
	if m.Options.Has(codec.KeyPptScheme) && to.session.lacksPassthru(l.set, codec.CalleePassthru, m) {
		return passthruless
	}
	d := &l.details
	*d = codec.Details{Trust: c.trust, Forward: &m.Options}
	if to.reg.match != codec.Exact {
		d.Procedure = m.URI
	}
	d.ReceiveProgress = c.progress &&
		to.session.roles&(codec.CalleeProgress|codec.CalleeCanceling) == codec.CalleeProgress|codec.CalleeCanceling
	if to.discloseCaller || c.disclosed || m.Options.Bool(codec.KeyDiscloseMe, false) {
		d.Publisher = s.who()
	}
	if c.streaming() {
		const needed = codec.CalleeStreams | codec.CalleeCanceling
		if to.session.roles&needed != needed {
			return incapable
		}
		d.Progress, c.extra.disclosed = true, d.Publisher != nil
	}
	switch {
	case c.timeout == 0:
	case to.forwardTimeout && to.session.roles&codec.CalleeTimeout != 0:
		d.Timeout = max(c.left(), 1)
		c.disarm(x)
	default:
		c.arm()
	}
	if to.session.roles&codec.CalleeReroute != 0 {
		s.keepCall(x, l, c, m)
	}
	p, err := s.payload(x, l, m, to.session.serializer)
	switch {
	case err == nil && p == nil:
		return untranscoded
	case err == nil:
		return c.offer(x, to, d, p, s.kept(m, p, to.session.serializer))
	case errors.Is(err, codec.ErrTooLong):
		return tooLong
	}
	return untranscodable
}

// receiveYield passes a result on to the caller.
func (s *session) receiveYield(x port.Executor, l *perLoop, m *codec.Message) {
	if to := s.formless(x, l, m); to != 0 {
		s.transcodeLater(x, l, to, s.receiveYield)
		return
	}
	progress := m.Options.Bool(codec.KeyProgress, false)
	c, issued := s.invocation(x, m.Request, !progress)
	if c == nil {
		s.late(x, l, m, issued)
		return
	}
	if progress && !c.progress {
		return // the caller did not ask for it, the call stays open (RPC-30)
	}
	if m.Options.Has(codec.KeyPptScheme) && c.caller.lacksPassthru(l.set, codec.CallerPassthru, m) {
		s.failAnswer(x, l, c, m.Request, progress, refuseCallerPassthru)
		return
	}
	l.details = codec.Details{Progress: progress, Forward: &m.Options}
	var frame [][]byte
	p, err := s.payload(x, l, m, c.caller.serializer)
	switch {
	case err != nil:
	case s.kept(m, p, c.caller.serializer):
		head := codec.AppendResultHead(nil, c.caller.serializer, c.request, &l.details, p)
		frame, err = c.caller.frame(head, p)
	default:
		l.out, err = codec.AppendResult(l.out[:0], c.caller.serializer, c.request, &l.details, p, c.caller.bytesMax)
	}
	switch {
	case errors.Is(err, codec.ErrTooLong):
		s.failAnswer(x, l, c, m.Request, progress, refuseAnswerLength)
	case err != nil:
		s.failAnswer(x, l, c, m.Request, progress, refuseAnswerPayload)
	case !c.answerPieces(x, l, l.out, frame, !progress):
		l.counters.answersLate.Add(1)
	case progress:
		c.begun = true
		l.counters.progress.Add(1)
	default:
		l.counts(x).results++
	}
	l.trim()
}

// frame wraps a message for s whose head is encoded and whose payload is kept. It fails with codec.ErrTooLong.
func (s *session) frame(head []byte, p *codec.Payload) ([][]byte, error) {
	frame, ok := codec.FramePieces(s.variant, codec.PayloadPieces([][]byte{head}, p), s.bytesMax)
	if !ok {
		return nil, codec.ErrTooLong
	}
	return frame, nil
}

// failAnswer ends a call whose answer the caller cannot accept. After a progressive answer the callee is still at
// work: it is told to stop, and its later answers are discarded.
func (s *session) failAnswer(x port.Executor, l *perLoop, c *call, invocation uint64, progress bool, why *refusal) {
	c.fail(x, l, why)
	if !progress {
		return
	}
	l.out = codec.AppendInterrupt(l.out[:0], s.serializer, invocation, codec.KillNoWait)
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	if s.invocations.get(invocation) != c {
		return
	}
	if s.roles&codec.CalleeCanceling != 0 {
		s.append(x, l.out)
	}
	s.forget(invocation, c)
}

// receiveError passes a callee's error on to the caller, details and payload unchanged.
func (s *session) receiveError(x port.Executor, l *perLoop, m *codec.Message) {
	if m.RequestType != codec.Invocation {
		s.violation(x, "ERROR.REQUEST.Type "+strconv.Itoa(int(m.RequestType))+
			": a client's ERROR answers INVOCATION (68) only")
		return
	}
	if to := s.formless(x, l, m); to != 0 {
		s.transcodeLater(x, l, to, s.receiveError)
		return
	}
	c, issued := s.invocation(x, m.Request, true)
	if c == nil {
		s.late(x, l, m, issued)
		return
	}
	if s.reroute(x, c, m) {
		return
	}
	if m.Format != c.caller.serializer {
		if len(m.Dict) > foreignDetailsMax {
			c.fail(x, l, refuseErrorDetails)
			return
		}
		x.Work(len(m.Dict) >> directShift)
	}
	uri := m.URI
	if len(uri) > l.set.limits.URIBytesMax || !codec.ValidURI(uri, codec.Exact, false) {
		uri = errInvalidURI // URI-32: a malformed error URI would cost the caller its connection
	}
	var frame [][]byte
	p, err := s.payload(x, l, m, c.caller.serializer)
	switch {
	case err != nil:
	case s.kept(m, p, c.caller.serializer):
		var head []byte
		if head, err = codec.AppendErrorHead(nil, c.caller.serializer, c.request, &m.Options, uri, p,
			c.caller.bytesMax); err == nil {
			frame, err = c.caller.frame(head, p)
		}
	default:
		l.out, err = codec.AppendError(l.out[:0], c.caller.serializer, codec.Call, c.request, &m.Options, uri, p,
			c.caller.bytesMax)
	}
	switch {
	case errors.Is(err, codec.ErrTooLong):
		c.fail(x, l, refuseAnswerLength)
	case err != nil:
		c.fail(x, l, refuseAnswerPayload)
	case !c.answerPieces(x, l, l.out, frame, true):
		l.counters.answersLate.Add(1)
	default:
		l.counters.callErrors.Add(1)
	}
	l.trim()
}

var errInvalidURI = []byte(codec.ErrInvalidURI)

// late handles YIELD or ERROR for an invocation that is not open (PROTOCOL 8.15).
func (s *session) late(x port.Executor, l *perLoop, m *codec.Message, issued bool) {
	if !issued {
		s.violation(x, "invocation id "+strconv.FormatUint(m.Request, 10)+" was never issued to this session")
		return
	}
	l.counters.answersLate.Add(1)
}

// receiveCancel cancels an open call (PROTOCOL 8.8). It never fails: a CANCEL that finds no open call is ignored.
func (s *session) receiveCancel(x port.Executor, l *perLoop, m *codec.Message) {
	x.Step("conn.lock")
	s.conn.Lock()
	c := s.calls.get(m.Request)
	s.conn.Unlock()
	if c == nil {
		return
	}
	mode := m.Options.Mode
	// Without a callee the router itself answers, or looks for the next one.
	if c.to == nil || c.to.session.roles&codec.CalleeCanceling == 0 {
		mode = codec.Skip
	}
	if mode == codec.Kill {
		if !c.killing {
			c.interrupt(x, l, codec.Kill, true, false)
			c.killing = true
		}
		return
	}
	if c.fail(x, l, refuseCanceled) {
		c.detach(x, l, mode == codec.KillNoWait)
	}
}
