//go:build linux

package engine

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/port"
)

// A timerPoller reports its timer once.
type timerPoller struct{ stillPoller }

func (*timerPoller) Own(int) (own, timer bool) { return true, true }

// A client chooses when the timers of its calls are due, and may choose the same tick for all of them. What they cost
// is work of a turn like any other.
func TestTimersOfATurnAreBounded(t *testing.T) {
	const timers, cost = 20_000, 2 * time.Microsecond
	c, _ := newSilent(t, Live{PingInterval: -1}, phaseRawSocket)
	l, p := c.loop, &timerPoller{}
	l.poller = p
	fired := 0
	all := make([]port.Timer, timers)
	for i := range all {
		all[i].Fire = func(port.Executor) { fired++; p.now += cost }
		l.Start(&all[i], time.Second)
	}
	p.now += 2 * time.Second
	ready := []unix.EpollEvent{{Fd: 1000, Events: unix.EPOLLIN}} // once
	for turns := 0; fired < timers && turns < 1000; turns++ {
		began, had := p.now, fired
		l.turn(ready)
		ready = nil
		if fired == had || fired < timers && !l.again {
			t.Fatalf("turn %d fired %d timers, %d are left, and the loop waits: %v", turns, fired-had, timers-fired,
				!l.again)
		}
		if spent := p.now - began; spent > turnTimeMax {
			t.Fatalf("turn %d took %v for %d timers", turns, spent, fired-had)
		}
	}
	if fired != timers {
		t.Errorf("%d of %d timers fired", fired, timers)
	}
}
