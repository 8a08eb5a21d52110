//go:build linux

package engine

import "testing"

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
