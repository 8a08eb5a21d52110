package realm

import (
	"bytes"
	"slices"

	"banyan/codec"
	"banyan/engine/port"
)

// Call rerouting (PROTOCOL 8.17): a callee that announced call_reroute answers an INVOCATION with
// wamp.error.unavailable, and another callee of the same registration gets the call.
//
//	1. keepCall   caller's loop: before such a callee is offered the call, the CALL is copied
//	2. reroute    callee's loop: its ERROR takes the invocation out of its table; a job goes to the caller's loop
//	3. Run        caller's loop: if the call is still open, the copy is decoded; if it is large, in the pool
//	4. offerNext  caller's loop: the next callee gets the call, or the caller gets no_available_callee
//
// From 3 on no callee has the call, and only the caller's loop can end it: a CANCEL ends it at once, whatever its
// mode. The error of the callee passes through, as any other, if a part of the result has been forwarded, if the
// callee has had more than the first chunk of a progressive call, or if there is no room for the copy. A chunk that
// comes between 2 and 4 is not kept: the caller gets unavailable.

var refuseNoneAvailable = &refusal{codec.ErrNoAvailableCallee, "no callee of the procedure is available"}

var refuseMissed = &refusal{codec.ErrUnavailable, "the callee is unavailable, and another one cannot have the " +
	"call: more than its first part has been sent"}

// A rerouting is what the router keeps of a call so that it can give it to another callee. Owned by the caller's
// loop, but the loop that ends the call forgets it.
type rerouting struct {
	raw     []byte // the CALL, in the caller's serializer; immutable
	charged int    // bytes of the budget

	reg   *registration
	tried []*session // the callees that were unavailable, at most reroutesMax; the latest is the last
}

// A rerouteJob takes a call from the loop of the callee that was unavailable to the caller's.
type rerouteJob struct{ call *call }

// keepCall copies the CALL m, which is about to be offered to a callee that may be unavailable. It does so once per
// call, and only if there is room.
func (s *session) keepCall(x port.Executor, l *perLoop, c *call, m *codec.Message) {
	if c.reroutable {
		return
	}
	raw, bytesKept := l.raw, len(l.raw)
	w := s.waiting
	if w != nil && m == &w.message {
		raw, bytesKept = w.raw, w.pinned
	}
	bytesKept += rerouteBytes
	if s.keptBytes.Add(int64(bytesKept)) > reroutesBytesMax || !x.Charge(bytesKept) {
		s.keptBytes.Add(-int64(bytesKept))
		l.counters.reroutesNot.Add(1)
		return
	}
	if w == nil || m != &w.message {
		raw = bytes.Clone(raw)
	}
	c.noteDeadline()
	c.needs().rerouting, c.reroutable = &rerouting{raw: raw, charged: bytesKept}, true
}

// forgetCall gives back the copy of a call that has ended. Any loop.
func (c *call) forgetCall(x port.Executor) {
	n := c.extra.rerouting.charged
	c.extra.rerouting = nil
	c.caller.keptBytes.Add(-int64(n))
	x.Charge(-n)
}

// reroute reports whether the ERROR m of the callee s, which had the call until now, gives it to another callee.
// Loop of s.
func (s *session) reroute(x port.Executor, c *call, m *codec.Message) bool {
	if !c.reroutable || c.begun || c.stays || s.roles&codec.CalleeReroute == 0 ||
		string(m.URI) != codec.ErrUnavailable {
		return false
	}
	x.Post(c.caller.home, c.caller.id, &rerouteJob{c})
	return true
}

// Run goes on with the call on the caller's loop.
func (j *rerouteJob) Run(x port.Executor, _ int) (more bool) {
	c := j.call
	if !c.isOpen(x) {
		return false
	}
	s := c.caller
	l := s.realm.router.perLoop[x.Loop()]
	if c.killing {
		c.fail(x, l, refuseCanceled)
		return false
	}
	r := c.extra.rerouting
	r.reg, r.tried = c.to.reg, append(r.tried, c.to.session)
	c.to = nil
	if len(r.tried) >= reroutesMax {
		c.fail(x, l, refuseNoneAvailable)
		return false
	}
	w := &waiting{session: s, raw: r.raw, rerouted: c}
	w.decoder.SetDepthMax(s.realm.router.depthMax)
	err := errNoForm
	decode := func() { err = w.decoder.Decode(s.serializer, w.raw, &w.message) }
	offer := func(x port.Executor) {
		w.handle(x, func(x port.Executor, l *perLoop, m *codec.Message) {
			if err != nil { // the pool has logged why: the message has been decoded once already
				c.fail(x, l, refuseNoneAvailable)
				return
			}
			s.offerAgain(x, l, c, m)
		})
	}
	if len(w.raw) > s.realm.router.bounds.largeBytes {
		w.async(x, decode, offer)
		return false
	}
	decode()
	offer(x)
	return false
}

// offerAgain gives the call to the next callee, or answers the caller. The timeout goes on as it was.
func (s *session) offerAgain(x port.Executor, l *perLoop, c *call, m *codec.Message) {
	if c.extra.missed {
		c.fail(x, l, refuseMissed)
		return
	}
	if c.outOfTime(x, l) {
		return
	}
	why, waits := s.offerNext(x, l, c, m)
	switch {
	case waits:
	case why != nil:
		c.fail(x, l, why)
	default:
		l.counters.rerouted.Add(1)
		c.start(x)
	}
}

// offerNext offers the call to callees that it has not tried, in the order of PROTOCOL 8.17, until one accepts it.
// waits: a payload is being transcoded, and then offerAgain is called again.
func (s *session) offerNext(x port.Executor, l *perLoop, c *call, m *codec.Message) (why *refusal, waits bool) {
	r := c.extra.rerouting
	callees := r.reg.callees.all()
	owned := l.set.partitioned(m)
	if owned {
		callees = heirs(x, m, callees, r.tried)
	}
	n := len(callees)
	if n == 0 {
		return refuseNoneAvailable, false
	}
	first, step, behind := 0, 1, false
	if !owned {
		first, step, behind = r.next(x, callees)
	}
	i := first
	for k := range n {
		to := callees[i]
		if !slices.Contains(r.tried, to.session) {
			switch result := s.offer(x, l, c, m, to); result {
			case accepted: // from here on another loop may end the call
				x.Work(k >> visitShift)
				if behind {
					r.reg.passed((first-1+n)%n, i, n)
				}
				return nil, false
			case gone, saturated:
			case untranscoded:
				s.transcodeLater(x, l, to.session.serializer,
					func(x port.Executor, l *perLoop, m *codec.Message) { s.offerAgain(x, l, c, m) })
				return nil, true
			default:
				return result.refusal(l), false
			}
		}
		i = (i + step + n) % n
	}
	x.Work(n >> visitShift)
	return refuseNoneAvailable, false
}

// next returns where the search for the next callee begins, and in which direction it goes on past those that are
// tried. behind: it begins right behind the callee that was unavailable; that one may have left.
func (r *rerouting) next(x port.Executor, callees []*callee) (index, step int, behind bool) {
	n := len(callees)
	failed := r.tried[len(r.tried)-1]
	at := slices.IndexFunc(callees, func(c *callee) bool { return c.session == failed })
	x.Work(n >> visitShift)
	switch {
	case r.reg.invoke == codec.Random:
		return r.random(x, callees), 1, false
	case at < 0:
		index, step = r.reg.first(x, callees)
		return index, step, false
	case r.reg.invoke == codec.Last:
		return (at - 1 + n) % n, -1, false
	case r.reg.invoke == codec.LeastOutstanding:
		return r.leastBusy(callees, (at+1)%n), 1, false
	}
	return (at + 1) % n, 1, true
}

// random draws one of the callees that are not tried, all with the same chance; any if all are tried.
func (r *rerouting) random(x port.Executor, callees []*callee) int {
	untried := func(c *callee) bool { return !c.left() && !slices.Contains(r.tried, c.session) }
	if len(callees) > 2*reroutesMax { // most are untried
		for range reroutesMax {
			if i := int(x.Rand() % uint64(len(callees))); untried(callees[i]) {
				return i
			}
		}
	}
	chosen, seen := 0, uint64(0)
	for i, c := range callees {
		if untried(c) {
			if seen++; x.Rand()%seen == 0 {
				chosen = i
			}
		}
	}
	return chosen
}

// leastBusy is registration.leastBusy among the callees that are not tried.
func (r *rerouting) leastBusy(callees []*callee, start int) int {
	best, fewest := start, int32(-1)
	for k := range min(len(callees), leastBusyAtOnce) {
		i := (start + k) % len(callees)
		if open := callees[i].load(); (fewest < 0 || open < fewest) &&
			!slices.Contains(r.tried, callees[i].session) {
			best, fewest = i, open
		}
	}
	return best
}
