package realm

import (
	"math"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// The part of a publication that outlives its delivery, before anybody is told of it:
//
//	begin   publisher's loop: is it allowed, is there memory for it
//	work    the copy: at once, or for a large event in the pool, while the session waits
//	end     publisher's loop: the publication goes on, or is refused
//
// An event is kept before its subscribers are looked up: see retained.go.

// A keeping is one publication on that way. Owned by loop, but for what is being worked on in the pool.
type keeping struct {
	publication uint64
	event       history.Event     // its octets are those of the message
	retained    *history.Retained // nil: it is not to be retained
	charged     int               // bytes of the budget, for what is retained

	// The outcome of work.
	freed int64 // bytes of what went for it
	err   error

	// why it is not kept as its publisher wants. Who wants no answer has it delivered all the same.
	why *refusal
}

var (
	refuseRetain     = &refusal{codec.ErrOptionNotAllowed, "this realm does not retain events of this topic"}
	refuseRetainFull = &refusal{codec.ErrOptionNotAllowed, "this realm retains as many events as it may, or the " +
		"router has no memory left for more"}
)

// keep keeps a publication that asks for it. It returns its id, and ended if it does not go on: it is refused, or a
// publishing goes on with it.
func (s *session) keep(x port.Executor, l *perLoop, m *codec.Message, to audience, acknowledge bool,
) (publication uint64, ended bool) {
	k := new(keeping)
	k.begin(x, l, s, m, &to)
	if k.why == nil {
		if w := s.waiting; w != nil && w.large {
			s.keepLater(x, w, k, to, acknowledge)
			return 0, true
		}
		x.Step("retained.put")
		k.work()
		k.settle(x)
	}
	return k.end(x, l, s, m, acknowledge)
}

// keepLater keeps a large event in the pool. It goes to its subscribers even if the session ends meanwhile: others
// may have been told of it already.
func (s *session) keepLater(x port.Executor, w *waiting, k *keeping, to audience, acknowledge bool) {
	p := &publishing{
		waiting: w, to: to, publication: k.publication, keeping: k, acknowledge: acknowledge, large: true,
	}
	s.publishing = p
	w.pool(x, k.work, func(x port.Executor) {
		k.settle(x)
		x.Post(s.home, s.id, p)
	})
}

func (k *keeping) begin(x port.Executor, l *perLoop, s *session, m *codec.Message, to *audience) {
	rm := s.realm
	k.publication = rm.router.ids.publication(x)
	k.event = history.Event{
		Publication: k.publication, Time: rm.router.clock().UnixNano(), Topic: m.URI, Publisher: s.identity,
		Disclosed: to.disclosed != nil, ExcludeMe: to.exclude, Filter: keptFilter(to.filter), Payload: m.Payload,
	}
	if to.disclosed != nil {
		k.event.Publisher = *to.disclosed
	}
	if to.trust > 0 {
		k.event.Trust, k.event.HasTrust = uint64(to.trust-1), true
	}
	if m.Options.Forwards() {
		k.event.Options = m.Dict
	}
	if !l.set.retains(m.URI) {
		k.why = refuseRetain
		return
	}
	if k.charged = k.event.Bytes(); !x.Charge(k.charged) {
		k.charged, k.why = 0, refuseRetainFull
		return
	}
	k.retained = rm.retaining(l.set)
}

// work makes the copy. Any goroutine.
func (k *keeping) work() { k.freed, k.err = k.retained.Put(&k.event) }

// settle settles what the budget is charged with.
func (k *keeping) settle(x port.Executor) {
	if k.err != nil {
		k.freed, k.why = int64(k.charged), refuseRetainFull
	}
	x.Charge(-int(k.freed))
}

// end lets the publication go on, or refuses it.
func (k *keeping) end(x port.Executor, l *perLoop, s *session, m *codec.Message, acknowledge bool,
) (publication uint64, ended bool) {
	switch {
	case k.why == nil:
		l.counters.retained.Add(1)
	case acknowledge:
		l.counters.retainedRefused.Add(1)
		s.refuse(x, l, codec.Publish, m.Request, k.why)
		return 0, true
	default:
		l.counters.retainedRefused.Add(1)
		if r := s.realm.retained.Load(); r != nil && k.why == refuseRetainFull {
			x.Charge(-int(r.Remove(m.URI))) // nobody takes an older event for the last one
		}
	}
	return k.publication, false
}

// retains reports whether events of a topic may be retained.
func (set *settings) retains(topic []byte) bool {
	if set.Retention.Disabled || set.retainable == nil {
		return !set.Retention.Disabled
	}
	if set.retainable.Find(topic, codec.Exact) != nil {
		return true
	}
	best, _, _ := set.retainable.Best(topic, math.MaxInt) // as long as an operator's patterns take
	return best != nil
}

// retaining returns what is retained in the realm, perhaps nothing yet. Any loop.
func (rm *realm) retaining(set *settings) *history.Retained {
	if r := rm.retained.Load(); r != nil {
		return r
	}
	rm.retained.CompareAndSwap(nil, history.NewRetained(set.Retention.EventsMax, set.Retention.BytesMax))
	return rm.retained.Load()
}

// forgetRetained gives back what is retained in a realm that is closed. Nothing is retained any more.
func (rm *realm) forgetRetained(x port.Executor) {
	x.Charge(-int(rm.retaining(rm.settings.Load()).Close()))
}

// keptFilter is f as it is kept.
func keptFilter(f *filter) *history.Filter {
	if f == nil {
		return nil
	}
	return &history.Filter{
		Exclude: f.exclude.kept(), ExcludeAuthID: f.excludeAuthID.keptNames(),
		ExcludeAuthRole: f.excludeAuthRole.keptNames(),
		Eligible:        f.eligible.kept(), EligibleAuthID: f.eligibleAuthID.keptNames(),
		EligibleAuthRole: f.eligibleAuthRole.keptNames(),
	}
}

// kept is a list of sessions: nil if it is absent, never nil if it is empty.
func (l *list) kept() []uint64 {
	switch {
	case l == nil:
		return nil
	case l.sessions == nil:
		return []uint64{}
	}
	return l.sessions
}

func (l *list) keptNames() []string {
	switch {
	case l == nil:
		return nil
	case l.names == nil:
		return []string{}
	}
	return l.names
}
