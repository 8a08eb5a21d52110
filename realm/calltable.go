package realm

import (
	"maps"
	"slices"
)

// calls is a table of open calls by id. Guarded by the conn lock of its session. The zero value is empty.
//
// Ids of both kinds come in sequence, request ids by the protocol and invocation ids because the router draws them,
// so ids that are open at one time mostly differ in their low bits. The low bits index slots; a map holds the few
// records whose slot is taken.
//
// hot: bench rpc --callers 16 --inflight 64 costs 505–545 ns of router CPU per call with it and 650–700 with a map
// alone (serve --loops 1, three interleaved rounds).
type calls struct {
	slots []slot // a power of two, or none
	used  int    // slots taken
	more  map[uint64]*call
}

// A slot is free while c is nil.
type slot struct {
	id uint64
	c  *call
}

const (
	slotsMin  = 8
	slotsMax  = 1 << 13 // 128 KiB; beyond, what collides goes to the map
	slotsKept = 256     // an empty table with more gives its memory back
)

func (t *calls) len() int { return t.used + len(t.more) }

// slot returns the place of id among the slots. There is at least one.
func (t *calls) slot(id uint64) *slot { return &t.slots[id&uint64(len(t.slots)-1)] }

func (t *calls) get(id uint64) *call {
	if len(t.slots) == 0 {
		return nil
	}
	if s := t.slot(id); s.c != nil && s.id == id {
		return s.c
	}
	return t.more[id]
}

// put adds c under an id that is not in the table.
func (t *calls) put(id uint64, c *call) {
	for len(t.slots) == 0 || t.slot(id).c != nil {
		// Slots are doubled only if a quarter of them is taken: ids that are far apart
		// would collide in more slots too.
		if len(t.slots) == slotsMax || t.used*4 < len(t.slots) {
			if t.more == nil {
				t.more = make(map[uint64]*call)
			}
			t.more[id] = c
			return
		}
		t.grow()
	}
	*t.slot(id) = slot{id, c}
	t.used++
}

// grow doubles the slots. Two ids that did not collide before do not collide then.
func (t *calls) grow() {
	old := t.slots
	t.slots = make([]slot, max(slotsMin, 2*len(old)))
	for _, s := range old {
		if s.c != nil {
			*t.slot(s.id) = s
		}
	}
}

func (t *calls) remove(id uint64) {
	if len(t.slots) == 0 {
		return
	}
	if s := t.slot(id); s.c != nil && s.id == id {
		*s = slot{}
		t.used--
	} else {
		delete(t.more, id)
	}
	if t.len() == 0 && len(t.slots) > slotsKept {
		*t = calls{}
	}
}

// list returns up to n records: of those in slots, and of the others if they are few.
func (t *calls) list(n int) (open []*call) {
	for i := range t.slots {
		if c := t.slots[i].c; c != nil && len(open) < n {
			open = append(open, c)
		}
	}
	if len(open) == n || len(t.more) > n {
		return open
	}
	for _, id := range slices.Sorted(maps.Keys(t.more)) {
		if len(open) < n {
			open = append(open, t.more[id])
		}
	}
	return open
}

// take removes up to n records and gives each to f, which must not touch the table. at is where to go on; it begins
// at 0. It returns how many records fewer than n there were.
func (t *calls) take(at *int, n int, f func(c *call)) (left int) {
	for ; n > 0 && t.used > 0; *at++ {
		if s := &t.slots[*at]; s.c != nil {
			c := s.c
			*s = slot{}
			t.used--
			n--
			f(c)
		}
	}
	if n >= len(t.more) {
		// The order is the same in every run of a seed.
		for _, id := range slices.Sorted(maps.Keys(t.more)) {
			f(t.more[id])
		}
		n -= len(t.more)
		t.more = nil
		return n
	}
	for id, c := range t.more {
		if n == 0 {
			break
		}
		delete(t.more, id)
		n--
		f(c)
	}
	return n
}
