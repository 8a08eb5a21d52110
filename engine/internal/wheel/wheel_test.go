package wheel

import (
	"math/rand/v2"
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
				w.advance(clock, nil)
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
	tm := &port.Timer{Fire: func(port.Executor) {}}
	w.start(tm, 1<<62)
	if tm.Due != ticksMax-1 {
		t.Fatalf("due %d", tm.Due)
	}
	if w.advance(ticksMax-2, nil) != 0 || w.advance(ticksMax-1, nil) != 1 {
		t.Fatal("fired at the wrong tick")
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
