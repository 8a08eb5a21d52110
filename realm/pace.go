package realm

import (
	"banyan/engine/port"
)

// Who causes meta events faster than they can be published waits: else one client that comes and goes with many
// subscriptions would fill the queue, and what others have to tell would be lost. A session waits behind SUBSCRIBE,
// UNSUBSCRIBE, REGISTER or UNREGISTER, and its farewell before it goes on. The voice empties the queue and waits for
// nobody, so the wait is short.

// crowded reports whether many events wait. Any goroutine.
func (ms *metaStream) crowded() bool { return ms.length.Load() > metaQueueCrowded }

// pace makes the session wait while the queue is crowded, unless it waits for something else. Home loop.
func (s *session) pace(x port.Executor) {
	if !s.realm.meta.crowded() || s.waiting != nil || s.left {
		return
	}
	s.realm.router.perLoop[x.Loop()].counters.metaPaced.Add(1)
	w := &waiting{session: s}
	s.waiting = w
	s.conn.Hold(x)
	w.pace(x)
}

// pace ends the wait once the queue is not crowded any more.
func (w *waiting) pace(x port.Executor) {
	if !w.session.realm.meta.crowded() {
		w.end(x)
		return
	}
	w.timer.Fire = func(x port.Executor) {
		if w.current() {
			w.pace(x)
		}
	}
	x.Start(&w.timer, retryAfter)
}

// crowded reports whether the farewell has to wait.
func (f *farewell) crowded() bool {
	s := f.session
	return !s.hidden && !s.quiet && s.realm.meta.crowded()
}

// pace has the farewell go on later.
func (f *farewell) pace(x port.Executor) {
	s := f.session
	s.realm.router.perLoop[x.Loop()].counters.metaPaced.Add(1)
	f.timer.Fire = func(x port.Executor) { x.Post(s.home, s.id, f) }
	x.Start(&f.timer, retryAfter)
}
