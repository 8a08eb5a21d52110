//go:build linux

package engine

import (
	"container/heap"
	"time"
)

// An eviction closes connections of one loop because the budget of the process is exceeded (budget.go). It takes as
// many turns as it needs:
//
//  1. look    at every connection; those whose burden is the present threshold are candidates
//  2. close   candidates, the largest first; those that are idle come before, as long as all of these together have
//     their share of the budget
//
// It ends as soon as the budget is kept. Owned by loop.
type eviction struct {
	underWay  bool
	unlooked  int   // connections of the roster that are still to be looked at: those in front
	idleBytes int64 // that connections in idlers hold
	holders   holders
	idlers    holders // see conn.idle; those that have joined may be holders, too
}

// beginEviction begins one. There is none under way: a loop is asked again when all have answered.
func (l *loop) beginEviction() {
	l.eviction = eviction{underWay: true, unlooked: len(l.roster)}
}

// evictSome goes on with the eviction until it ends or the time for it is over.
func (l *loop) evictSome() {
	if !l.eviction.underWay {
		return
	}
	until := l.poller.Now() + evictTime
	for steps := 1; l.evictNext(); steps++ {
		if steps%costPerLook == 0 && l.poller.Now() > until {
			return
		}
	}
	l.eviction = eviction{}
	l.engine.evicted()
}

// evictNext looks at one connection, or closes one. It reports whether there is more to do.
func (l *loop) evictNext() (more bool) {
	v, b := &l.eviction, &l.engine.budget
	if !b.exceeded() {
		return false
	}
	if v.unlooked = min(v.unlooked, len(l.roster)); v.unlooked > 0 {
		v.unlooked--
		v.look(l.roster[v.unlooked], b.threshold.Load(), l.began)
		return true
	}
	from := &v.holders
	if len(v.idlers) > 0 && v.idleBytes*idleShare*int64(len(l.engine.loops)) >= b.bytesMax {
		from = &v.idlers
	}
	if len(*from) == 0 {
		return false
	}
	c := heap.Pop(from).(holder).conn
	if from == &v.idlers {
		v.idleBytes -= c.held()
	}
	if c.phase != phaseClosed && !c.closing {
		l.evict(c)
	}
	return true
}

// look makes c a candidate if it holds enough.
func (v *eviction) look(c *conn, threshold int64, now time.Duration) {
	if c.phase == phaseClosed || c.closing {
		return
	}
	n := c.burden(now)
	if held := c.held(); held >= evictIdleMin && c.idle(now) {
		heap.Push(&v.idlers, holder{c, n})
		v.idleBytes += held
	}
	if n >= threshold && c.joined {
		heap.Push(&v.holders, holder{c, n})
	}
}

// evict closes c and gives back what it holds.
func (l *loop) evict(c *conn) {
	e := l.engine
	e.rare.budgetClosed.Add(1)
	e.warn("memory for messages is used up; the connection that holds most, or has held it long, is closed",
		"holds", c.held(), "all", e.budget.bytes(), "budget", e.budget.bytesMax, "peer", c.peer.Address)
	c.q.Lock()
	c.breakLocked(errBudget)
	c.q.Unlock()
	c.dropInput()
	l.bookAll()
	l.closeSoon(c)
}

// A holder is a candidate, with its burden when the eviction looked at it.
type holder struct {
	conn   *conn
	burden int64
}

// holders is a heap with the largest first.
type holders []holder

// Len implements heap.Interface.
func (h holders) Len() int { return len(h) }

// Less implements heap.Interface.
func (h holders) Less(i, j int) bool { return h[i].burden > h[j].burden }

// Swap implements heap.Interface.
func (h holders) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *holders) Push(x any) { *h = append(*h, x.(holder)) }

// Pop implements heap.Interface.
func (h *holders) Pop() any {
	end := len(*h) - 1
	last := (*h)[end]
	(*h)[end] = holder{}
	*h = (*h)[:end]
	return last
}
