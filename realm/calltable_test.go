package realm

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"weak"

	"banyan/codec"
)

// TestCallsAgainstModel feeds a table and a map the same operations, with ids in sequence, ids that collide in every
// slot, and ids from anywhere.
func TestCallsAgainstModel(t *testing.T) {
	for name, id := range map[string]func(r *rand.Rand, n int) uint64{
		"sequence":  func(_ *rand.Rand, n int) uint64 { return uint64(n%3000) + 1 },
		"colliding": func(r *rand.Rand, _ int) uint64 { return (r.Uint64N(500) + 1) * slotsMax },
		"anywhere":  func(r *rand.Rand, _ int) uint64 { return codec.ID(r.Uint64()) % 5000 },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 7))
			var table calls
			model := map[uint64]*call{}
			for n := range 40_000 {
				k := id(r, n)
				if table.get(k) != model[k] {
					t.Fatalf("after %d operations: id %d is %p, want %p", n, k, table.get(k), model[k])
				}
				// Phases of growing and of emptying.
				if grow := n/5000%2 == 0; model[k] == nil && (grow || r.IntN(8) == 0) {
					c := &call{request: k}
					table.put(k, c)
					model[k] = c
				} else if !grow || r.IntN(8) == 0 {
					table.remove(k)
					delete(model, k)
				}
				if table.len() != len(model) {
					t.Fatalf("after %d operations: %d entries, want %d", n, table.len(), len(model))
				}
			}
			// In pieces of any size everything is taken, once, and never more than asked for.
			for at, size := 0, len(model); size > 0; size = len(model) {
				n := 1 + r.IntN(size)
				taken := 0
				left := table.take(&at, n, func(c *call) {
					if model[c.request] != c {
						t.Fatalf("taken: id %d, which is not in the table, or twice", c.request)
					}
					delete(model, c.request)
					taken++
				})
				if taken != min(n, size) || left != n-taken || table.len() != size-taken {
					t.Fatalf("asked for %d of %d: %d taken, %d left to take, %d still there",
						n, size, taken, left, table.len())
				}
			}
			at := 0
			if left := table.take(&at, 3, func(*call) { t.Error("taken from an empty table") }); left != 3 {
				t.Errorf("an empty table takes %d of 3", 3-left)
			}
		})
	}
}

// TestCallsGiveMemoryBack: a burst leaves nothing behind.
func TestCallsGiveMemoryBack(t *testing.T) {
	var table calls
	for id := range uint64(20_000) {
		table.put(id+1, &call{})
	}
	if len(table.slots) != slotsMax {
		t.Errorf("%d slots, want %d", len(table.slots), slotsMax)
	}
	for id := range uint64(20_000) {
		table.remove(id + 1)
	}
	if table.slots != nil || table.more != nil {
		t.Errorf("%d slots left", len(table.slots))
	}
	table.put(1, &call{})
	table.remove(1)
	if table.slots == nil {
		t.Error("the table of one call is made anew for each")
	}
}

// TestOpenCallsKeepTheirSlabs: whatever number of calls come and go, a call that stays open keeps one slab of records
// at most, and no longer than it is open. All records of a slab are used before the next slab is made.
func TestOpenCallsKeepTheirSlabs(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, callee := b.join(0), b.join(0)
	callee.register(1, "p", "single")
	l := b.router.perLoop[0]
	calls := 0
	var slabs []weak.Pointer[call]
	call := func() (invocation any) {
		unused := len(l.slab)
		calls++
		caller.say(codec.Call, calls, values{}, "p")
		if unused == 0 {
			slabs = append(slabs, weak.Make(&l.slab[0]))
		}
		return callee.expect(codec.Invocation, nil, nil, values{})[1]
	}
	answer := func(invocation any) {
		callee.say(codec.Yield, invocation, values{})
		caller.expect(codec.Result, nil, values{})
	}
	held := func() (n int) {
		runtime.GC()
		for _, s := range slabs {
			if s.Value() != nil {
				n++
			}
		}
		return n
	}
	const long = 20
	var open []any
	for range long {
		open = append(open, call())
		for range 3*callsPerSlab - 1 { // so no two of open are in one slab
			answer(call())
		}
	}
	if want := 3 * long; len(slabs) != want {
		t.Errorf("%d slabs of %d records for %d calls, want %d", len(slabs), callsPerSlab, calls, want)
	}
	for len(open) > 0 {
		answer(call())
		if n := held(); n != len(open)+1 { // one more for the next calls
			t.Errorf("%d open calls keep %d slabs", len(open), n-1)
		}
		answer(open[0])
		open = open[1:]
	}
	if n := held(); n != 1 {
		t.Errorf("no open call keeps %d slabs", n-1)
	}
	runtime.KeepAlive(b)
}

// A call whose slot is another's stays open when all calls that have slots are answered.
func TestCallsOutOfSlotsStay(t *testing.T) {
	var table calls
	for id := uint64(1); id <= 2*slotsKept; id++ {
		table.put(id, new(call))
	}
	other := new(call)
	const far = 1 + slotsMax<<8
	table.put(far, other)
	if len(table.more) != 1 {
		t.Fatalf("%d calls without a slot", len(table.more))
	}
	for id := uint64(1); id <= 2*slotsKept; id++ {
		table.remove(id)
	}
	if table.get(far) != other || table.len() != 1 {
		t.Errorf("the call is forgotten: %d left", table.len())
	}
}

// TestCallsListed: a list has so many calls, those in slots first, and of the others all if they are not more.
func TestCallsListed(t *testing.T) {
	const n = 5
	for inSlots := range n + 2 {
		for others := range n + 2 {
			var table calls
			for id := range inSlots {
				table.put(uint64(id+1), new(call))
			}
			for id := range others {
				if table.more == nil {
					table.more = map[uint64]*call{}
				}
				table.more[uint64(1+id)<<20] = new(call)
			}
			want := min(inSlots, n)
			if others <= n {
				want = min(inSlots+others, n)
			}
			if got := len(table.list(n)); got != want {
				t.Errorf("%d in slots and %d others: %d are listed, want %d", inSlots, others, got, want)
			}
		}
	}
}

// TestCallsKeepSlots: an empty table keeps so many slots, and gives the memory of more back.
func TestCallsKeepSlots(t *testing.T) {
	for n, kept := range map[int]bool{slotsKept: true, slotsKept * 2: false} {
		var table calls
		for len(table.slots) < n {
			table.put(uint64(table.len()+1), new(call))
		}
		for id := uint64(table.len()); id > 0; id-- {
			table.remove(id)
		}
		if (table.slots != nil) != kept {
			t.Errorf("of %d slots %d are kept", n, len(table.slots))
		}
	}
}
