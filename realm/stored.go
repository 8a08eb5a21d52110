package realm

import (
	"sync"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// A PUBLISHED that waits for the disk. The event itself does not wait, but GOODBYE of the publisher does.
//
//	PUBLISH     publisher's loop: the event is put into the queue of the disk, for a storing
//	Committed   the disk's goroutine: a storing joins those of its loop; the first of them wakes the loop
//	tell        that loop: PUBLISHED, or ERROR
//
// There are no more of them than the queue of the disk takes records. A loop that cannot be woken looks by itself.

// A storing is one of them. Fixed at creation, but for err, which is fixed when it is committed.
type storing struct {
	session              *session
	request, publication uint64
	err                  error
}

var _ history.Waiter = (*storing)(nil)

// A storingList holds those of one loop that are committed.
type storingList struct {
	mu   sync.Mutex
	done []*storing // guarded by mu

	// Owned by loop.
	open  int // also those that are not committed
	timer port.Timer
}

// storeFirst makes a storing for a publication that is about to be put into the queue of the disk. The publisher's
// loop.
func (s *session) storeFirst(x port.Executor, request, publication uint64) *storing {
	list := &s.realm.router.storing[s.home]
	if list.open++; list.open == 1 {
		list.timer.Fire = s.realm.router.tellStored
		x.Start(&list.timer, storedLookAfter)
	}
	s.storing++
	return &storing{session: s, request: request, publication: publication}
}

// forget undoes storeFirst: the queue did not take it.
func (w *storing) forget(x port.Executor) {
	w.session.realm.router.storing[w.session.home].closeSome(x, 1)
	w.session.storing--
}

// closeSome counts n of them out.
func (list *storingList) closeSome(x port.Executor, n int) {
	if list.open -= n; list.open == 0 {
		x.Stop(&list.timer)
	}
}

// Committed implements history.Waiter.
func (w *storing) Committed(_ uint64, err error) {
	w.err = err
	r, home := w.session.realm.router, w.session.home
	list := &r.storing[home]
	list.mu.Lock()
	list.done = append(list.done, w)
	first := len(list.done) == 1
	list.mu.Unlock()
	if first {
		_ = r.submit(home, r.tellStored) // else the timer
	}
}

var refuseStored = &refusal{codec.ErrUnavailable, "the event was delivered, but the history of its topic could not " +
	"store it"}

// tellStored answers the publishers on this loop whose events are committed.
func (r *Router) tellStored(x port.Executor) {
	list := &r.storing[x.Loop()]
	list.mu.Lock()
	done := list.done[:min(len(list.done), storedAtOnce)]
	if list.done = list.done[len(done):]; len(list.done) == 0 {
		list.done = nil
	} else {
		_ = r.submit(x.Loop(), r.tellStored) // else the timer
	}
	list.mu.Unlock()
	l := r.perLoop[x.Loop()]
	for _, w := range done {
		s := w.session
		s.storing--
		if w.err != nil {
			l.counters.historyUnstored.Add(1)
			x.Warn("an event could not be stored in its history", "realm", s.realm.uri, "error", w.err)
		}
		switch {
		case s.left:
		case w.err != nil:
			s.refuse(x, l, codec.Publish, w.request, refuseStored)
		default:
			l.out = codec.AppendPublished(l.out[:0], s.serializer, w.request, w.publication)
			s.reply(x, l.out)
		}
		if bye := s.byeWaits; bye != nil && s.storing == 0 && bye.current() {
			bye.handle(x, s.receive)
		}
	}
	list.closeSome(x, len(done))
	if list.open > 0 {
		x.Start(&list.timer, storedLookAfter)
	}
}
