package index

import (
	"hash/maphash"
	"sync/atomic"
)

// tableSeed keys every hash of this process, so that nobody can choose names that collide.
var tableSeed = maphash.MakeSeed()

func hashBytes(key []byte) uint64  { return maphash.Bytes(tableSeed, key) }
func hashString(key string) uint64 { return maphash.String(tableSeed, key) }

// A table maps strings to values: one writer at a time, under a lock of the caller's, and any number of readers
// without one.
//
// It is open addressing with linear probing over cells that hold entry pointers. A reader sees a cell empty or
// holding an entry whose key never changes. A removed key keeps its entry with a nil value until the next rebuild, so
// probe chains stay whole and a key that comes and goes reuses its entry. The garbage collector frees old cells when
// the last reader leaves them.
//
// hot: BenchmarkIndex; measured 10 ns hot and 230 ns cold at a million keys, against 22 and 225 for a map under a
// read-write lock whose reader count is one cache line shared by all loops.
type table[V any] struct {
	// Any goroutine.
	cells atomic.Pointer[[]cell[V]]
	// Guarded by the lock of the writers.
	used int // cells that hold an entry, dead ones included
	live int // entries with a value
}

type cell[V any] = atomic.Pointer[entry[V]]

type entry[V any] struct {
	hash  uint64
	key   string
	value atomic.Pointer[V] // nil: removed
}

// get returns the value of key, or nil. Any goroutine.
func (t *table[V]) get(hash uint64, key []byte) *V {
	cells := t.cells.Load()
	if cells == nil {
		return nil
	}
	mask := uint64(len(*cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := (*cells)[i].Load()
		if e == nil {
			return nil
		}
		if e.hash == hash && e.key == string(key) {
			return e.value.Load()
		}
	}
}

// put sets the value of key. Writers only.
func (t *table[V]) put(hash uint64, key string, value *V) {
	if e := t.entry(hash, key); e != nil {
		if e.value.Swap(value) == nil {
			t.live++
		}
		return
	}
	if cells := t.cells.Load(); cells == nil || (t.used+1)*2 > len(*cells) {
		t.rebuild()
	}
	e := &entry[V]{hash: hash, key: key}
	e.value.Store(value)
	insert(*t.cells.Load(), e)
	t.used++
	t.live++
}

// remove forgets key. Writers only.
func (t *table[V]) remove(hash uint64, key string) {
	e := t.entry(hash, key)
	if e == nil || e.value.Swap(nil) == nil {
		return
	}
	t.live--
	if dead := t.used - t.live; dead > 8 && dead > t.live {
		t.rebuild()
	}
}

func (t *table[V]) entry(hash uint64, key string) *entry[V] {
	cells := t.cells.Load()
	if cells == nil {
		return nil
	}
	mask := uint64(len(*cells) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		e := (*cells)[i].Load()
		if e == nil || e.hash == hash && e.key == key {
			return e
		}
	}
}

// rebuild replaces the cells by ones with room for one more entry, without the dead ones.
func (t *table[V]) rebuild() {
	size := 4
	for size < (t.live+1)*3 {
		size *= 2
	}
	next := make([]cell[V], size)
	if cells := t.cells.Load(); cells != nil {
		for i := range *cells {
			if e := (*cells)[i].Load(); e != nil && e.value.Load() != nil {
				insert(next, e)
			}
		}
	}
	t.used = t.live
	t.cells.Store(&next)
}

func insert[V any](cells []cell[V], e *entry[V]) {
	mask := uint64(len(cells) - 1)
	i := e.hash & mask
	for cells[i].Load() != nil {
		i = (i + 1) & mask
	}
	cells[i].Store(e)
}
