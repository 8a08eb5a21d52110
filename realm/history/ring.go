package history

// blockSlots is how many slots are allocated at once.
const blockSlots = 128

// A slot is the place of one record in memory.
type slot struct {
	time int64
	rec  []byte
}

// A ring holds the records of a log, the oldest first. It grows and shrinks by blocks, so that no step moves many.
type ring struct {
	blocks []*[blockSlots]slot
	head   int // slots of the first block that are gone
	n      int
	spare  *[blockSlots]slot
}

// at returns the slot number i, counted from the oldest.
func (r *ring) at(i int) *slot {
	i += r.head
	return &r.blocks[i/blockSlots][i%blockSlots]
}

func (r *ring) push(s slot) {
	if i := r.head + r.n; i == len(r.blocks)*blockSlots {
		b := r.spare
		if r.spare = nil; b == nil {
			b = new([blockSlots]slot)
		}
		r.blocks = append(r.blocks, b)
	}
	*r.at(r.n) = s
	r.n++
}

// pop removes the oldest, which must be there.
func (r *ring) pop() slot {
	p := r.at(0)
	s := *p
	*p = slot{}
	r.head++
	r.n--
	if r.head == blockSlots {
		// Pointers of all blocks move; one in blockSlots pops does that.
		r.spare = r.blocks[0]
		last := copy(r.blocks, r.blocks[1:])
		r.blocks[last] = nil
		r.blocks = r.blocks[:last]
		r.head = 0
	}
	return s
}
