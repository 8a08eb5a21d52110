package realm

import (
	"errors"
	"strconv"

	"banyan/codec"
	"banyan/engine/port"
)

var (
	refuseNoProcedure   = &refusal{codec.ErrNoSuchProcedure, "no callee is registered for this procedure"}
	refuseCalls         = &refusal{codec.ErrOptionNotAllowed, "this session has as many open calls as the router allows"}
	refuseFull          = &refusal{codec.ErrNetworkFailure, "the callee does not keep up: its queue is full"}
	refuseCallLength    = &refusal{codec.ErrPayloadSizeExceeded, "the invocation is longer than the callee's transport accepts"}
	refuseCallPayload   = &refusal{codec.ErrInvalidArgument, "the payload cannot be expressed in the callee's serializer"}
	refuseAnswerLength  = &refusal{codec.ErrPayloadSizeExceeded, "the answer is longer than your transport accepts"}
	refuseAnswerPayload = &refusal{codec.ErrInvalidArgument, "the payload of the answer cannot be expressed in your serializer"}
	refuseCanceled      = &refusal{codec.ErrCanceled, "call canceled"}
	searchesMax         = 8 // look-ups of one CALL whose callees all left meanwhile
)

// receiveCall dispatches a CALL, in the order of PROTOCOL 8.2. Exactly one final answer follows.
func (s *session) receiveCall(x port.Executor, l *loop, m *codec.Message) {
	l.tally(x).calls++
	if m.Options.Bool(codec.KeyProgress, false) {
		s.violation(x, "CALL.Options.progress: this router does not announce progressive_call_invocations")
		return
	}
	c := l.newCall()
	*c = call{caller: s, request: m.Request, progress: m.Options.Bool(codec.KeyReceiveProgress, false), timeout: m.Options.Timeout}
	switch c.open(x) {
	case opened:
		l.fresh.openCalls++
	case openAlready:
		s.violation(x, "CALL reuses the request id "+strconv.FormatUint(m.Request, 10)+" of an open call")
		return
	case openTooMany:
		s.refuse(x, l, codec.Call, m.Request, refuseCalls)
		return
	}
	x.Step("procedures.match")
	reg := s.realm.procedures.find(m.URI, codec.Exact)
	if reg == nil { // what is registered has been admitted
		if why := s.realm.admit(actCall, m.URI, codec.Exact); why != nil {
			c.fail(x, l, why)
			return
		}
	}
	if s.realm.cfg.ForbidDisclosure && m.Options.Bool(codec.KeyDiscloseMe, false) {
		c.fail(x, l, refuseDisclosure)
		return
	}
	if why := s.dispatch(x, l, c, m, reg); why != nil {
		c.disarm()
		c.fail(x, l, why)
		return
	}
	if c.timed {
		c.start(x)
	}
}

// dispatch finds a callee for c and gives it the invocation. reg is the exact registration, if there is one. nil: it has been sent.
func (s *session) dispatch(x port.Executor, l *loop, c *call, m *codec.Message, reg *registration) *refusal {
	if codec.ReservedURI(m.URI) {
		return refuseNoProcedure // never routed to a client's pattern (PROTOCOL 3.3)
	}
	// Between the look-up and the callee's lock every callee may have left and others may have come: look again.
	for range searchesMax {
		if reg == nil {
			x.Step("procedures.match")
			if reg = s.realm.procedures.best(m.URI); reg == nil {
				return refuseNoProcedure
			}
		}
		callees := *reg.callees.Load()
		if len(callees) == 0 {
			reg = nil
			continue
		}
		i, step := reg.first(x, len(callees))
		for range callees {
			to := callees[i]
			switch s.offer(x, l, c, m, to) {
			case accepted:
				return nil
			case gone:
			case full:
				l.counters.refusals.Add(1)
				return refuseFull
			case tooLong:
				return refuseCallLength
			case untranscodable:
				return refuseCallPayload
			}
			i = (i + step + len(callees)) % len(callees)
		}
		reg = nil
	}
	return refuseNoProcedure
}

// offer prepares the details of the INVOCATION for one callee and offers it.
func (s *session) offer(x port.Executor, l *loop, c *call, m *codec.Message, to *callee) verdict {
	d := &l.details
	*d = codec.Details{Forward: &m.Options}
	if to.reg.match != codec.Exact {
		d.Procedure = m.URI
	}
	d.ReceiveProgress = c.progress && to.session.roles&(codec.CalleeProgress|codec.CalleeCanceling) == codec.CalleeProgress|codec.CalleeCanceling
	if to.discloseCaller || m.Options.Bool(codec.KeyDiscloseMe, false) {
		d.Publisher = &s.identity
	}
	switch {
	case c.timeout == 0:
	case to.forwardTimeout && to.session.roles&codec.CalleeTimeout != 0:
		d.Timeout = c.timeout
		c.disarm()
	default:
		c.arm()
	}
	return c.offer(x, to, d, &m.Payload)
}

// receiveYield passes a result on to the caller.
func (s *session) receiveYield(x port.Executor, l *loop, m *codec.Message) {
	progress := m.Options.Bool(codec.KeyProgress, false)
	c, issued := s.invocation(x, m.Request, !progress)
	if c == nil {
		s.late(x, l, m, issued)
		return
	}
	if progress && !c.progress {
		return // the caller did not ask for it, the call stays open (RPC-30)
	}
	l.details = codec.Details{Progress: progress, Forward: &m.Options}
	var err error
	l.out, err = codec.AppendResult(l.out[:0], c.caller.serializer, c.request, &l.details, &m.Payload, c.caller.bytesMax)
	switch {
	case errors.Is(err, codec.ErrTooLong):
		s.failAnswer(x, l, c, m.Request, progress, refuseAnswerLength)
	case err != nil:
		s.failAnswer(x, l, c, m.Request, progress, refuseAnswerPayload)
	case !c.answer(x, l, l.out, !progress):
		l.counters.answersLate.Add(1)
	case progress:
		l.counters.progress.Add(1)
	default:
		l.tally(x).results++
	}
	l.trim()
}

// failAnswer ends a call whose answer cannot be brought to the caller. After a progressive one the callee is still at work: it is told to
// stop, and what it sends is discarded.
func (s *session) failAnswer(x port.Executor, l *loop, c *call, invocation uint64, progress bool, why *refusal) {
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
	s.invocations.remove(invocation)
}

// receiveError passes a callee's error on to the caller, details and payload unchanged.
func (s *session) receiveError(x port.Executor, l *loop, m *codec.Message) {
	if m.RequestType != codec.Invocation {
		s.violation(x, "ERROR.REQUEST.Type "+strconv.Itoa(int(m.RequestType))+": a client's ERROR answers INVOCATION (68) only")
		return
	}
	c, issued := s.invocation(x, m.Request, true)
	if c == nil {
		s.late(x, l, m, issued)
		return
	}
	uri := m.URI
	if len(uri) > s.realm.router.cfg.URIBytesMax || !codec.ValidURI(uri, codec.Exact, false) {
		uri = errInvalidURI // URI-32: a malformed error URI would cost the caller its connection
	}
	var err error
	l.out, err = codec.AppendError(l.out[:0], c.caller.serializer, codec.Call, c.request, &m.Options, uri, &m.Payload, c.caller.bytesMax)
	switch {
	case errors.Is(err, codec.ErrTooLong):
		c.fail(x, l, refuseAnswerLength)
	case err != nil:
		c.fail(x, l, refuseAnswerPayload)
	case !c.answer(x, l, l.out, true):
		l.counters.answersLate.Add(1)
	default:
		l.counters.callErrors.Add(1)
	}
	l.trim()
}

var errInvalidURI = []byte(codec.ErrInvalidURI)

// late handles YIELD or ERROR for an invocation that is not open (PROTOCOL 8.15).
func (s *session) late(x port.Executor, l *loop, m *codec.Message, issued bool) {
	if !issued {
		s.violation(x, "invocation id "+strconv.FormatUint(m.Request, 10)+" was never issued to this session")
		return
	}
	l.counters.answersLate.Add(1)
}

// receiveCancel cancels an open call (PROTOCOL 8.8). It never fails: a CANCEL that finds no open call is ignored.
func (s *session) receiveCancel(x port.Executor, l *loop, m *codec.Message) {
	x.Step("conn.lock")
	s.conn.Lock()
	c := s.calls.get(m.Request)
	s.conn.Unlock()
	if c == nil {
		return
	}
	mode := m.Options.Mode
	if c.callee.roles&codec.CalleeCanceling == 0 {
		mode = codec.Skip
	}
	if mode == codec.Kill {
		if !c.killing {
			c.tell(x, l, codec.Kill, true, false)
			c.killing = true
		}
		return
	}
	if c.fail(x, l, refuseCanceled) {
		c.detach(x, l, mode == codec.KillNoWait)
	}
}
