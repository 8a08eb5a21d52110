//go:build linux

package engine

import (
	"context"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Loops hide their waits while the Ps that they leave are enough for what the pool has, and that is brief. Each step
// across that line, and no other, tells the loops that wait.
func TestPoolCrowded(t *testing.T) {
	was := poolWorkers
	defer func() { poolWorkers = was }()
	brief, long := &asyncWork{brief: true}, &asyncWork{}
	for _, c := range []struct {
		name    string
		spare   int64
		workers int
		enter   []*asyncWork
		tells   []bool
		crowded []bool
	}{
		{"a P for each worker", 1, 1, []*asyncWork{brief, brief}, []bool{false, false}, []bool{false, false}},
		{"fewer Ps", 1, 2, []*asyncWork{brief, brief, brief}, []bool{false, true, false}, []bool{false, true, true}},
		{"long work", 2, 2, []*asyncWork{brief, long, long}, []bool{false, true, false}, []bool{false, true, true}},
		{"no P", 0, 1, []*asyncWork{brief, long}, []bool{true, true}, []bool{true, true}},
	} {
		poolWorkers = c.workers
		p := &pool{spare: c.spare}
		for i, w := range c.enter {
			if got := p.enter(w); got != c.tells[i] || p.crowded() != c.crowded[i] {
				t.Errorf("%s: piece %d tells %v, crowded %v", c.name, i, got, p.crowded())
			}
		}
		for i := len(c.enter) - 1; i >= 0; i-- {
			p.leave(c.enter[i])
			if p.crowded() != (i > 0 && c.crowded[i-1]) {
				t.Errorf("%s: crowded is %v with %d pieces left", c.name, p.crowded(), i)
			}
		}
		if p.crowded() || p.busy.Load() != 0 || p.long.Load() != 0 {
			t.Errorf("%s: left behind", c.name)
		}
	}
}

// A waitPoller notes what is asked of it.
type waitPoller struct {
	stillPoller
	hidden []bool // of each wait
	wakes  int
}

func (p *waitPoller) Wait(hidden bool) []unix.EpollEvent {
	p.hidden = append(p.hidden, hidden)
	return nil
}

func (p *waitPoller) Wake() { p.wakes++ }

// Work that needs a P ends the hidden waits of the other loops, and the next waits are visible until it is done.
func TestPoolUnhides(t *testing.T) {
	e := newEngine(Config{BudgetBytes: budgetBytesMin, Log: quiet()}, echoes)
	e.hidden, e.pool.spare = true, int64(poolWorkers)
	var pollers [2]waitPoller
	for i := range pollers {
		e.loops = append(e.loops, newLoop(e, i, &pollers[i]))
	}
	for i, brief := range []bool{true, false} {
		if !e.pool.submit(asyncWork{loop: e.loops[0], brief: brief}) {
			t.Fatal("the pool is full")
		}
		e.loops[1].wait()
		if p := &pollers[1]; pollers[0].wakes != 0 || p.wakes != i || p.hidden[i] != brief {
			t.Errorf("brief %v: %d and %d wakes, hidden %v", brief, pollers[0].wakes, p.wakes, p.hidden[i])
		}
	}
}

// Slow work and the rest take turns, in the order of each; slow work lets others in between, but no slow ones. A pool
// that is closed does what it has.
func TestPoolTakesTurns(t *testing.T) {
	for _, c := range []struct{ submitted, want string }{
		{"wwwsss", "wswsws"},
		{"ssswww", "wswsws"},
		{"swwww", "wswww"},
		{"sss", "sss"},
		{"www", "www"},
		{"", ""},
		{"Swws", "wSws"},
		{"+ss", "+wss"},
	} {
		e := newEngine(Config{BudgetBytes: budgetBytesMin, Log: quiet()}, echoes)
		l, p, got := newLoop(e, 0, &stillPoller{}), e.pool, ""
		for _, kind := range c.submitted {
			w := asyncWork{loop: l, slow: kind != 'w', run: func(context.Context) { got += string(kind) }}
			switch kind {
			case '+': // more work comes meanwhile, and then the end
				w.run = func(context.Context) {
					got += "+"
					more := func(context.Context) { got += "w" }
					if !p.submit(asyncWork{loop: l, run: more}) {
						t.Error("full")
					}
					close(p.work)
					close(p.slow)
				}
			case 'S':
				w.run = func(context.Context) {
					got += "S"
					for range 2 {
						if !p.letOthers() {
							t.Error("it has to stop")
						}
					}
				}
			}
			if !p.submit(w) {
				t.Fatal("full")
			}
		}
		if !strings.Contains(c.submitted, "+") {
			close(p.work)
			close(p.slow)
		}
		if p.serve(); got != c.want {
			t.Errorf("%s: done as %s, want %s", c.submitted, got, c.want)
		}
		p.cancel()
		if p.letOthers() {
			t.Error("slow work goes on though the engine stops")
		}
	}
	e := newEngine(Config{BudgetBytes: budgetBytesMin, Log: quiet()}, echoes)
	w := asyncWork{loop: newLoop(e, 0, &stillPoller{}), slow: true}
	for range asyncMax {
		if !e.pool.submit(w) {
			t.Fatal("full too soon")
		}
	}
	if e.pool.submit(w) {
		t.Error("it takes more than asyncMax")
	}
}
