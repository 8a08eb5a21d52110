//go:build linux

package engine

import (
	"sync"
	"sync/atomic"

	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// arrivals are connections that another loop accepted for this one. That loop puts the descriptor into this one's
// poller itself and wakes nobody: this loop wakes when the client says something, finds a descriptor it does not
// know, and looks here. So a connection that hops costs its loops one wake-up, as one that stays does.
//
//  1. accepting loop   register in the home's poller and append, both under mu
//  2. home             unknown descriptor, or any batch: adopt what is here. An event can come before the append; mu
//     makes it wait
//  3. accepting loop   after nudgeAfter, loops that still have arrivals are woken, so that the handshake timer of a
//     silent client starts
//
// A descriptor in the list is never closed before its home has adopted it, so the number cannot be another
// connection's by then.
type arrivals struct {
	waiting atomic.Bool // any goroutine: conns is not empty

	mu    sync.Mutex
	conns []*conn // guarded by mu
	spare []*conn // owned by loop: what was drained before
}

// hand gives c to l, its home. Call from another loop, or before Start. On error the caller still owns c.
func (l *loop) hand(c *conn) error {
	a := &l.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := l.poller.Watch(int(c.fd), 0, poll.Read); err != nil {
		return err
	}
	c.polled = poll.Read
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

// handed makes sure that home looks at its arrivals in time even if none of them says anything. On l, the accepting
// loop.
func (ls *listener) handed(l *loop, home *loop) {
	ls.handedTo |= 1 << home.index
	if ls.nudge.Due != 0 {
		return
	}
	ls.nudge.Fire = func(port.Executor) {
		for i, other := range ls.engine.loops {
			if ls.handedTo&(1<<i) != 0 && other.arrivals.waiting.Load() {
				other.poller.Wake()
			}
		}
		ls.handedTo = 0
	}
	l.Start(&ls.nudge, nudgeAfter)
}
