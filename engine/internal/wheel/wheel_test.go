package wheel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"banyan/engine/port"
)

// The wheel beside a slow twin: a map of deadlines. Every timer fires exactly at its tick, none early, none twice.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		w := New()
		model := map[*port.Timer]int64{}
		all := make([]*port.Timer, 200)
		var clock int64
		for i := range all {
			tm := &port.Timer{}
			tm.Fire = func(port.Executor) {
				due, armed := model[tm]
				if !armed {
					t.Fatalf("seed %d: a disarmed timer fired", seed)
				}
				if due != w.now {
					t.Fatalf("seed %d: due %d fired at %d", seed, due, w.now)
				}
				delete(model, tm)
				if rnd.IntN(3) == 0 {
					due := w.now + 1 + rnd.Int64N(100)
					w.start(tm, due)
					model[tm] = due
				}
			}
			all[i] = tm
		}
		for range 2000 {
			tm := all[rnd.IntN(len(all))]
			switch rnd.IntN(4) {
			case 0:
				w.Stop(tm)
				delete(model, tm)
			case 1, 2:
				due := clock + 1 + rnd.Int64N(1<<(1+rnd.IntN(24)))
				w.start(tm, due)
				model[tm] = due
			default:
				clock += rnd.Int64N(1 << (1 + rnd.IntN(14)))
				for most := 1 + rnd.IntN(8); w.advance(clock, nil, most) == most; most = 1 + rnd.IntN(8) {
					// Between two parts timers are armed and disarmed as well.
					tm := all[rnd.IntN(len(all))]
					w.Stop(tm)
					delete(model, tm)
					if rnd.IntN(2) == 0 {
						due := clock + 1 + rnd.Int64N(1<<(1+rnd.IntN(24)))
						w.start(tm, due)
						model[tm] = due
					}
					if len(model) > 0 && w.next() == 0 {
						t.Fatalf("seed %d: nothing is next within an advance", seed)
					}
				}
				for tm, due := range model {
					if due <= clock {
						t.Fatalf("seed %d: due %d has not fired at %d (armed %v)", seed, due, clock, tm.Due)
					}
				}
			}
			if w.armed != len(model) {
				t.Fatalf("seed %d: %d armed, want %d", seed, w.armed, len(model))
			}
			if (w.next() == 0) != (len(model) == 0) {
				t.Fatalf("seed %d: next %d with %d armed", seed, w.next(), len(model))
			}
		}
	}
}

func TestWheelBoundsDistantDeadlines(t *testing.T) {
	w := New()
	fired := 0
	tm := &port.Timer{Fire: func(port.Executor) { fired++ }}
	w.start(tm, 1<<62)
	if tm.Due != ticksMax-1 {
		t.Fatalf("due %d", tm.Due)
	}
	if w.advance(ticksMax-2, nil, math.MaxInt); fired != 0 {
		t.Fatal("fired too early")
	}
	if w.advance(ticksMax-1, nil, math.MaxInt); fired != 1 {
		t.Fatal("not fired")
	}
}

// A deadline is rounded up to the next tick, so that no timer fires early.
func TestWheelRoundsUp(t *testing.T) {
	for _, c := range []struct {
		now, d time.Duration
		want   int64
	}{
		{0, 0, 0},
		{0, 1, 1},
		{9 * time.Millisecond, time.Millisecond, 1},
		{9 * time.Millisecond, 2 * time.Millisecond, 2},
		{15 * time.Millisecond, 10 * time.Millisecond, 3},
	} {
		if got := dueTick(c.now, c.d); got != c.want {
			t.Errorf("%v + %v: tick %d, want %d", c.now, c.d, got, c.want)
		}
	}
}

// Timers of one tick are fired, and moved down, in parts of the size that was asked for. Their order does not depend
// on it, and meanwhile the wheel says that the time for the rest has come.
func TestWheelAdvancesInParts(t *testing.T) {
	const timers, due = 300, slots * slots // two moves before they fire
	var whole []int
	for _, most := range []int{math.MaxInt, 1, 7, timers - 1, timers, timers + 1} {
		w := New()
		var order []int
		for i := range timers {
			w.start(&port.Timer{Fire: func(port.Executor) { order = append(order, i) }}, due+int64(i%3))
		}
		work, fired := 0, 0
		for parts := 0; ; parts++ {
			n := w.advance(due+2, nil, most)
			if work += n; n < most {
				break
			}
			if len(order)-fired > most {
				t.Fatalf("%d at a time: %d fired", most, len(order)-fired)
			}
			if fired = len(order); fired < timers && (w.next() == 0 || w.next() > due+2) {
				t.Fatalf("%d at a time: the next tick is %d with %d of %d fired", most, w.next(), fired, timers)
			}
			if parts > 10*timers {
				t.Fatal("no end")
			}
		}
		if whole == nil {
			whole = order
		}
		if len(order) != timers || !slices.Equal(order, whole) || work < 2*timers || w.next() != 0 || w.armed != 0 {
			t.Errorf("%d at a time: %d fired, the same order: %v; %d parts of work, next %d", most, len(order),
				slices.Equal(order, whole), work, w.next())
		}
	}
}
