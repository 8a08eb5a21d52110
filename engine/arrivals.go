//go:build linux

package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"

	"banyan/engine/port"
)

// Arrivals are connections that another loop accepted for this one. That loop puts the descriptor into this one's poller itself and wakes
// nobody: this loop wakes when the client says something, finds a descriptor it does not know, and looks here. So a connection that
// hops costs its loops one wake-up, as one that stays does.
//
//  1. accepting loop   register in the home's poller and append, both under mu
//  2. home             unknown descriptor, or any batch: adopt what is here. An event can come before the append; mu makes it wait
//  3. accepting loop   after nudgeAfter, whoever still has arrivals is woken, so that the handshake timer of a silent client starts
//
// A descriptor in the list is never closed before its home has adopted it, so the number cannot be another connection's by then.
type arrivals struct {
	waiting atomic.Bool // any goroutine: conns is not empty

	mu    sync.Mutex
	conns []*conn // guarded by mu
	spare []*conn // owned by loop: what was drained before
}

const (
	// nudgeAfter is how long a silent connection may stay with the loop that accepted it.
	nudgeAfter   = 100 * time.Millisecond
	arrivalsKept = 1024 // longer lists are not kept
)

// hand gives c to l, its home. On any other loop, or before any runs. On error c is nobody's.
func (l *loop) hand(c *conn) error {
	a := &l.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: int(c.q.fd)}, false); err != nil {
		return err
	}
	c.polled = polledRead
	a.conns = append(a.conns, c)
	a.waiting.Store(true)
	return nil
}

// takeArrivals adopts what other loops accepted and reports whether there was anything.
func (l *loop) takeArrivals() bool {
	a := &l.arrivals
	a.mu.Lock()
	conns := a.conns
	a.conns, a.spare = a.spare, nil
	a.waiting.Store(false)
	a.mu.Unlock()
	for _, c := range conns {
		l.adopt(c)
	}
	if n := len(conns); cap(conns) <= arrivalsKept {
		clear(conns)
		a.spare = conns[:0]
		return n > 0
	}
	return true
}

// handed makes sure that home looks at its arrivals in time even if none of them says anything. On l, the accepting loop.
func (ls *listener) handed(l *loop, home *loop) {
	ls.handedTo |= 1 << home.index
	if ls.nudge.Due != 0 {
		return
	}
	ls.nudge.Fire = func(port.Executor) {
		for i, other := range ls.engine.loops {
			if ls.handedTo&(1<<i) != 0 && other.arrivals.waiting.Load() {
				other.poller.wake()
			}
		}
		ls.handedTo = 0
	}
	l.Start(&ls.nudge, nudgeAfter)
}
