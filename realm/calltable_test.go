package realm

import (
	"math/rand/v2"
	"testing"

	"banyan/codec"
)

// TestCallsAgainstModel feeds a table and a map the same operations, with ids in sequence, ids that collide in every slot, and ids from
// anywhere.
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
			before := uint64(0)
			taken := table.take()
			for _, c := range taken {
				if model[c.request] != c || c.request < before {
					t.Fatalf("taken: id %d after %d", c.request, before)
				}
				before = c.request
			}
			if len(taken) != len(model) || table.len() != 0 {
				t.Errorf("%d taken of %d, %d left", len(taken), len(model), table.len())
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
