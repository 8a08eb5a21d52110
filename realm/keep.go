package realm

import (
	"errors"
	"math"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// The part of a publication that outlives its delivery, before anybody is told of it: the last event of its topic
// (retained.go) and history (recorder.go).
//
//	begin   publisher's loop: is it allowed, is there memory for it
//	work    the copy: at once, or for a large event in the pool, while the session waits
//	end     publisher's loop: the publication goes on, or is refused
//
// An event is kept before its subscribers are looked up: see retained.go. It becomes the last event of its topic
// after the disk has taken it into its queue, if its publisher is to be told when it is stored: a refused event is
// never found, and the one before it stays. If the disk then fails to store it, it stays retained: it was delivered.
// The events of one publisher are retained in the order of their PUBLISH; if two publish at once, either may be last,
// whatever the order in which a log has them.

// A keeping is one publication on that way. Owned by loop, but for what is being worked on in the pool.
type keeping struct {
	publication uint64
	event       history.Event     // its octets are those of the message
	retained    *history.Retained // nil: it is not to be retained
	set         *settings         // by which it may be retained
	charged     int               // bytes of the budget, for what is retained

	recorders []*recorder // scratch
	memory    history.Store
	inMemory  []history.Log
	disk      history.Store
	onDisk    []history.Log
	storing   *storing // PUBLISHED waits for the disk
	strict    bool     // its publisher wants an answer, so it is kept in full or refused

	// The outcome of work.
	judged    bool  // whether it is refused is known
	freed     int64 // bytes of what went for it
	err       error
	memoryErr error
	diskErr   error

	// why it is not kept as its publisher wants. Who wants no answer has it delivered all the same.
	why *refusal
}

var (
	refuseHistory = &refusal{codec.ErrUnavailable, "the history of this topic cannot store the event: the disk is " +
		"slower than the publishers, or fails; try again later"}
	refuseHistoryLength = &refusal{codec.ErrPayloadSizeExceeded, "the event is longer than the history of its " +
		"topic takes"}
	refuseRetain     = &refusal{codec.ErrOptionNotAllowed, "this realm does not retain events of this topic"}
	refuseRetainFull = &refusal{codec.ErrOptionNotAllowed, "this realm retains as many events as it may, or the " +
		"router has no memory left for more"}
)

// keep keeps a publication: it asks for it, or its topic has history. It returns its id, and ended if it does not go
// on: it is refused, or a publishing goes on with it. If later, the publication is acknowledged when the disk has it.
func (s *session) keep(x port.Executor, l *perLoop, m *codec.Message, to audience, acknowledge bool,
) (publication uint64, ended, later bool) {
	k := &l.keeping
	large := s.waiting != nil && s.waiting.large
	if large {
		k = new(keeping)
	} else {
		defer k.forget() // also if it panics
	}
	k.begin(x, l, s, m, &to, acknowledge)
	if k.working() {
		if large {
			s.keepLater(x, s.waiting, k, to, acknowledge)
			return 0, true, false
		}
		x.Step("retained.put")
		k.work()
		k.settle(x, s)
	}
	publication, ended = k.end(x, l, s, m, acknowledge)
	return publication, ended, k.storing != nil
}

// keepLater keeps a large event in the pool. It goes to its subscribers even if the session ends meanwhile: others
// may have been told of it already.
func (s *session) keepLater(x port.Executor, w *waiting, k *keeping, to audience, acknowledge bool) {
	p := &publishing{
		waiting: w, to: to, publication: k.publication, keeping: k, acknowledge: acknowledge, large: true,
	}
	s.publishing = p
	w.pool(x, k.work, func(x port.Executor) {
		k.settle(x, s)
		x.Post(s.home, s.id, p)
	})
}

func (k *keeping) begin(x port.Executor, l *perLoop, s *session, m *codec.Message, to *audience, acknowledge bool) {
	rm := s.realm
	k.publication, k.strict = rm.router.ids.publication(x), acknowledge
	k.event = history.Event{
		Publication: k.publication, Time: rm.router.clock().UnixNano(), Topic: m.URI, Publisher: *s.who(),
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
	if m.Options.Bool(codec.KeyRetain, false) {
		k.beginRetained(x, l, s, m)
		if k.why != nil && acknowledge {
			return
		}
	}
	if rc := rm.recording.Load(); rc != nil && !k.event.Filter.Sessions() {
		k.beginHistory(x, rc, s, m, acknowledge)
	}
}

func (k *keeping) beginRetained(x port.Executor, l *perLoop, s *session, m *codec.Message) {
	if !l.set.retains(m.URI) {
		k.why = refuseRetain
		return
	}
	if k.charged = k.event.Bytes(); !s.realm.router.chargeRetained(x, k.charged) {
		k.charged, k.why = 0, refuseRetainFull
		return
	}
	k.retained, k.set = s.realm.retaining(l.set), l.set
}

// beginHistory finds the logs that the event goes into. In memory it has to have room in the budget of the process.
func (k *keeping) beginHistory(x port.Executor, rc *recording, s *session, m *codec.Message, acknowledge bool) {
	k.recorders = rc.of(k.recorders[:0], m.URI)
	k.inMemory = logsOf(k.inMemory[:0], k.recorders, false)
	k.onDisk = logsOf(k.onDisk[:0], k.recorders, true)
	r := s.realm.router
	if n := len(k.inMemory); n > 0 {
		if r.chargeHistory(x, n*(history.RecordRoom(&k.event)+history.RecordOverhead)) {
			k.memory = r.memory
		} else {
			k.memoryErr = errHistoryBudget
		}
	}
	for _, one := range k.recorders {
		if one.onDisk {
			k.disk = one.store
		}
	}
	if acknowledge && k.disk != nil && awaited(k.recorders) {
		k.storing = s.storeFirst(x, m.Request, k.publication)
	}
}

var errHistoryBudget = errors.New("the process has no memory left for it")

// working reports whether there is anything to do for work.
func (k *keeping) working() bool { return k.retained != nil || k.memory != nil || k.disk != nil }

// work makes the copies. Any goroutine.
func (k *keeping) work() {
	var place history.Reservation
	if k.retained != nil {
		if place, k.err = k.retained.Reserve(&k.event); k.err != nil && k.strict {
			k.disk, k.memory = nil, nil // it is refused
		}
	}
	if k.disk != nil {
		var w history.Waiter
		if k.storing != nil {
			w = k.storing
		}
		if k.diskErr = k.disk.Append(&k.event, k.onDisk, w); k.unstored() {
			k.memory = nil
		}
	}
	k.judged = true
	switch {
	case k.retained == nil || k.err != nil:
	case k.unstored():
		k.retained.Drop(place)
		k.freed = int64(k.charged)
	default:
		k.freed = k.retained.Keep(place)
	}
	if k.memory != nil {
		k.memoryErr = k.memory.Append(&k.event, k.inMemory, nil)
	}
}

// unstored reports whether the publication is refused because the disk has not taken it.
func (k *keeping) unstored() bool { return k.diskErr != nil && k.storing != nil }

// settle settles what the budget is charged with. If work panicked, which the pool has logged, nothing is kept.
func (k *keeping) settle(x port.Executor, s *session) {
	if !k.judged {
		if k.retained != nil {
			k.err = errNoForm
		}
		if k.disk != nil {
			k.diskErr = errNoForm
		}
		if k.memory != nil {
			k.memoryErr = errNoForm
		}
	}
	if k.err != nil {
		k.freed, k.why = int64(k.charged), refuseRetainFull
	} else if k.retained != nil {
		// A reload that forbids it meanwhile may have looked before it was there: see withdrawRetained.
		if set := s.realm.settings.Load(); set != k.set && !set.retains(k.event.Topic) {
			_, freed := k.retained.Remove(k.event.Topic)
			k.freed += freed
		}
	}
	s.realm.router.chargeRetained(x, -int(k.freed))
}

// end lets the publication go on, or refuses it.
func (k *keeping) end(x port.Executor, l *perLoop, s *session, m *codec.Message, acknowledge bool,
) (publication uint64, ended bool) {
	k.countHistory(x, l, s)
	switch {
	case k.unstored():
		k.storing.forget(x)
		k.storing = nil
		why := refuseHistory
		if errors.Is(k.diskErr, history.ErrTooLarge) {
			why = refuseHistoryLength
		}
		s.refuse(x, l, codec.Publish, m.Request, why)
		return 0, true
	case k.why == nil:
		if k.retained != nil {
			l.counters.retained.Add(1)
		}
	case acknowledge:
		l.counters.retainedRefused.Add(1)
		if k.storing != nil {
			k.storing.forget(x)
			k.storing = nil
		}
		s.refuse(x, l, codec.Publish, m.Request, k.why)
		return 0, true
	default:
		l.counters.retainedRefused.Add(1)
		// Nobody takes an older event for the last one. One with lists leaves it: others may not have the new one.
		if r := s.realm.retained.Load(); r != nil && k.why == refuseRetainFull && k.event.Filter == nil {
			_, freed := r.Remove(m.URI)
			s.realm.router.chargeRetained(x, -int(freed))
		}
	}
	return k.publication, false
}

// countHistory counts what came of history, each event once, and warns now and then.
func (k *keeping) countHistory(x port.Executor, l *perLoop, s *session) {
	if err := errors.Join(k.memoryErr, k.diskErr); err != nil {
		l.counters.historyRefused.Add(1)
		if l.historyWarned.due(s.realm.router.clock()) {
			x.Warn("an event is not kept in history", "realm", s.realm.uri, "error", err)
		}
	}
	if (k.memory != nil && k.memoryErr == nil) || (k.disk != nil && k.diskErr == nil) {
		l.counters.recorded.Add(1)
	}
}

// forget makes k ready for the next publication; its lists are kept.
func (k *keeping) forget() {
	clear(k.recorders)
	*k = keeping{recorders: k.recorders[:0], inMemory: k.inMemory[:0], onDisk: k.onDisk[:0]}
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

// trimRetained forgets what may not be retained any more, and what is beyond the bounds, and returns how many bytes
// that were. Any goroutine but a loop.
func (rm *realm) trimRetained() (freed int64) {
	r := rm.retained.Load()
	if r == nil {
		return 0
	}
	freed = rm.withdrawRetained(r)
	before := r.Stats()
	for more := true; more; {
		var n int64
		n, more = r.Trim(retainedTrimAtOnce)
		freed += n
	}
	if n := r.Stats().Trimmed - before.Trimmed; n > 0 {
		rm.router.log.Warn("retained events beyond the new bounds are gone, the oldest first", "realm", rm.uri,
			"events", n)
	}
	return freed
}

// withdrawRetained forgets what may not be retained any more.
func (rm *realm) withdrawRetained(r *history.Retained) (freed int64) {
	set := rm.settings.Load()
	if !set.Retention.Disabled && set.retainable == nil {
		return 0
	}
	events := 0
	search := r.Search("", codec.Prefix, codec.Identity{}, math.MaxInt)
	var topics []string
	for ended := false; !ended; {
		topics, ended = search.NextTopics(topics[:0], retainedTrimAtOnce)
		for _, topic := range topics {
			if t := []byte(topic); !set.retains(t) {
				n, bytes := r.Remove(t)
				events, freed = events+n, freed+bytes
			}
		}
	}
	if events > 0 {
		rm.router.log.Warn("events are gone that may not be retained any more", "realm", rm.uri, "events", events)
	}
	return freed
}

// forgetRetained gives back what is retained in a realm that is closed. Nothing is retained any more.
func (rm *realm) forgetRetained(x port.Executor) {
	rm.router.chargeRetained(x, -int(rm.retaining(rm.settings.Load()).Close()))
}

// keptDetails are the details of an event that was kept, for a subscription with that policy. It cannot fail: the
// options were decoded before they were kept.
func keptDetails(e *history.Event, match codec.Match) (d codec.Details, err error) {
	if e.Disclosed {
		d.Publisher = &e.Publisher
	}
	if e.HasTrust {
		d.Trust = uint32(e.Trust) + 1
	}
	if match != codec.Exact {
		d.Topic = e.Topic
	}
	if e.Options != nil {
		o, err := codec.PublishOptions(e.Payload.Format, e.Options)
		if err != nil {
			return d, err
		}
		d.Forward = &o
	}
	return d, nil
}

// keptFilter is f as it is kept. What is kept is for everybody who asks for it, whatever its rkey.
func keptFilter(f *filter) *history.Filter {
	if f == nil || !f.lists() {
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
