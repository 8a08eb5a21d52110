package realm

import (
	"context"
	"sync"

	"banyan/engine/port"
)

// poolPlaces are the poolAtOnce places in the pool for work of sessions. A session that finds none waits in order, so
// that clients with much work keep nobody out: each session has one piece of work at a time, and is held meanwhile.
type poolPlaces struct {
	mu    sync.Mutex
	taken int
	queue []*placeWork // while all are taken; one of each session at most
}

// A placeWork is work for such a place. Owned by the session's loop, but for work.
type placeWork struct {
	waiting *waiting
	work    func()                // in the pool
	next    func(x port.Executor) // then, on the loop
}

// take takes a place for p. It returns false if p has to wait for one. Any loop.
func (q *poolPlaces) take(x port.Executor, p *placeWork) bool {
	x.Step("pool.places")
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.taken == poolAtOnce {
		q.queue = append(q.queue, p)
		return false
	}
	q.taken++
	return true
}

// leave gives a place to the work that waits longest. Any loop.
func (q *poolPlaces) leave(x port.Executor) {
	x.Step("pool.places")
	q.mu.Lock()
	var p *placeWork
	if len(q.queue) > 0 {
		p = q.queue[0]
		q.queue[0] = nil
		q.queue = q.queue[1:]
	} else {
		q.taken--
	}
	q.mu.Unlock()
	if p != nil {
		s := p.waiting.session
		x.Post(s.home, s.id, metaJob(p.start))
	}
}

// start does p, which has a place. A pool without room, because of logins, is asked again later.
func (p *placeWork) start(x port.Executor) {
	r := p.waiting.session.realm.router
	if !x.Async(func(context.Context) { p.work() }, func(x port.Executor) {
		r.places.leave(x)
		p.next(x)
	}) {
		r.perLoop[x.Loop()].counters.poolFull.Add(1)
		p.waiting.timer.Fire = p.start
		x.Start(&p.waiting.timer, retryAfter)
	}
}
