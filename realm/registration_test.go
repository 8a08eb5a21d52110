package realm

import (
	"slices"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// TestREG13Fair: whoever leaves a round robin, and wherever its cursor stands, everybody else is served once before
// anybody is served again. REG-13.
func TestREG13Fair(t *testing.T) {
	b := newBed(t, 1, Config{})
	x := port.Executor(b.Loops[0])
	for n := 2; n <= 5; n++ {
		for cursor := range n {
			for gone := range n {
				reg := &registration{invoke: codec.RoundRobin}
				all := make([]*callee, n)
				for i := range all {
					all[i] = &callee{reg: reg}
				}
				reg.callees.Store(&all)
				for range cursor {
					reg.first(x, all)
				}
				// The model: the rest of the cycle, without the one that leaves, and then again.
				want := append(slices.Clone(all[cursor:]), all[:cursor]...)
				want = slices.DeleteFunc(want, func(c *callee) bool { return c == all[gone] })
				if left := reg.drop(all[gone]); left != n-1 {
					t.Fatalf("%d left", left)
				}
				for i := range 2 * (n - 1) {
					callees := *reg.callees.Load()
					at, _ := reg.first(x, callees)
					if callees[at] != want[i%(n-1)] {
						t.Errorf("%d callees, cursor at %d, %d leaves: call %d goes astray", n, cursor, gone, i)
					}
				}
			}
		}
	}
}

// TestLeastBusy: the fewest open invocations, the next in turn among equals, and of many callees those at hand.
func TestLeastBusy(t *testing.T) {
	for i, c := range []struct {
		open        []int32
		start, want int
	}{
		{[]int32{0}, 0, 0},
		{[]int32{2, 1, 3}, 0, 1},
		{[]int32{2, 1, 3}, 2, 1},
		{[]int32{1, 1, 1}, 2, 2},
		{[]int32{0, 0, 0}, 1, 1},
		{[]int32{1, 2, 0}, 1, 2},
		{slices.Concat([]int32{1}, slices.Repeat([]int32{2}, leastBusyAtOnce-2), []int32{0}), 0, leastBusyAtOnce - 1},
		{slices.Concat([]int32{1}, slices.Repeat([]int32{2}, leastBusyAtOnce-1), []int32{0}), 0, 0},
	} {
		callees := make([]*callee, len(c.open))
		for i, n := range c.open {
			callees[i] = new(callee)
			callees[i].open.Store(n)
		}
		if got := leastBusy(callees, c.start); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
}

// TestConcurrency: a callee never has more open invocations than it wants, exactly as many if there are calls, from
// whatever loop they come and however they end.
func TestConcurrency(t *testing.T) {
	for _, limit := range []int{1, 3} {
		for at := range 3 {
			b := newBed(t, 3, Config{})
			one, two, callee := b.join(0), b.join(1), b.join(2)
			callee.say(codec.Register, 1, values{"concurrency": limit}, "p")
			callee.expect(codec.Registered, 1, nil)
			for i := range limit - 1 {
				one.say(codec.Call, i+1, values{}, "p")
				callee.expect(codec.Invocation, i+1, nil, values{})
			}
			// Two calls for one place, the first stopped on its way.
			one.post(codec.Call, 10, values{}, "p")
			if at > 0 {
				b.pauseAt(0, "conn.lock", at)
			}
			two.post(codec.Call, 10, values{}, "p")
			b.RunLoop(1)
			b.Settle()
			callee.expect(codec.Invocation, limit, nil, values{})
			callee.silent()
			refused := 0
			for _, p := range []*peer{one, two} {
				if msg := p.hear(); msg != nil {
					refused++
					if msg[4] != codec.ErrUnavailable {
						t.Errorf("%v", msg)
					}
				}
			}
			if n := b.router.Stats().CallsSaturated; n != 1 || refused != 1 {
				t.Errorf("%d calls counted, %d refused", n, refused)
			}
			// A place is free again after each of these, and only one.
			last := limit
			for _, end := range []func(){
				func() { callee.say(codec.Yield, last, values{}) },
				func() { callee.say(codec.Error, codec.Invocation, last, values{}, "e") },
				func() { one.say(codec.Cancel, 100+last, values{"mode": "skip"}) },
			} {
				end()
				last++
				one.say(codec.Call, 100+last, values{}, "p")
				callee.expect(codec.Invocation, last, nil, values{})
				two.say(codec.Call, 100+last, values{}, "p")
				callee.silent()
			}
			one.HangUp()
			b.Settle()
			for callee.hear() != nil {
			}
			two.say(codec.Call, 11, values{}, "p")
			callee.expect(codec.Invocation, last+1, nil, values{})
		}
	}
}
