//go:build linux

package engine

import (
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// Who comes after connections that left quickly stays on the accepting loop; the bounds of departures hold.
func TestPlacesOfShortConnectionsAreFilledAtHome(t *testing.T) {
	e := &Engine{epoch: time.Now()}
	for i := range 3 {
		e.loops = append(e.loops, &loop{engine: e, index: i})
	}
	l := e.loops[1]
	second := int64(time.Second)
	home := func(now int64, nth int) int { return e.homeFor(l, now, nth).index }
	dealt := func(now int64, nth int, why string) {
		t.Helper()
		seen := map[int]bool{}
		for range e.loops {
			seen[home(now, nth)] = true
		}
		if len(seen) != len(e.loops) {
			t.Errorf("%s: not dealt out: %v", why, seen)
		}
	}
	dealt(0, 0, "nobody left")
	e.departures.leave(3*second, second)
	dealt(3*second, 0, "a long connection left")
	e.departures.leave(3*second, 3*second-1)
	if got := home(3*second, 0); got != l.index {
		t.Errorf("went to loop %d", got)
	}
	dealt(3*second, 0, "the place is filled")
	for range 2 * departuresMax {
		e.departures.leave(3*second, 3*second)
	}
	dealt(3*second, staysPerTurn, "many wait")
	l.homed.Store(unevenMax)
	dealt(3*second, 0, "uneven")
	l.homed.Store(0)
	for i := range departuresMax {
		if got := home(3*second, 0); got != l.index {
			t.Fatalf("place %d is on loop %d", i, got)
		}
	}
	dealt(3*second, 0, "all places are filled")
	e.departures.leave(3*second, 3*second)
	dealt(3*second+departureLife+1, 0, "that was long ago")
}

// A stream of short sessions ends up on the accepting loop, and every connection is counted out where it was counted
// in.
func TestShortSessionsStayWithTheListener(t *testing.T) {
	homes := make(chan int, 1)
	e := start(t, Config{Loops: 2}, func(x port.Executor, c port.Conn) port.Handler {
		homes <- c.(*conn).loop.index
		return echoes(x, c)
	})
	stayed := 0
	for range 50 {
		p := dialRaw(t, e, codec.CBOR)
		if <-homes == 0 {
			stayed++
		}
		p.Close()
		eventually(t, "closed", func() bool { return e.Stats().Connections == 0 })
	}
	if stayed < 40 {
		t.Errorf("%d of 50 stayed", stayed)
	}
	for _, l := range e.loops {
		eventually(t, "counted out", func() bool { return l.homed.Load() == 0 })
	}
}
