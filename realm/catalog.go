package realm

import (
	"sync"
	"sync/atomic"

	"banyan/codec"
	"banyan/realm/index"
)

// A catalog finds subscriptions or registrations by id, and lists them, for the meta API (PROTOCOL 9). Patterns are
// in it from the beginning. Exact URIs come in when somebody asks for the first time: until then a record that comes
// and goes pays nothing for it. Any goroutine.
//
// Lock order: the mutex of the index, then that of a shard.
type catalog[V any] struct {
	complete atomic.Bool // exact URIs are, or are being, put in
	building sync.Mutex
	built    atomic.Bool // all of them are

	shards atomic.Pointer[[catalogShards]catalogShard[V]] // nil until something is put in
}

type catalogShard[V any] struct {
	mu      sync.Mutex
	records map[uint64]cataloged[V] // guarded by mu; by id
	_       [48]byte                // the mutexes of neighbours share no cache line
}

type cataloged[V any] struct {
	match codec.Match
	value *V
}

// catalogShards spreads the writers, and bounds how long a list keeps them waiting.
const catalogShards = 64

// shard returns the shard of an id, nil if there is none yet.
func (c *catalog[V]) shard(id uint64) *catalogShard[V] {
	all := c.shards.Load()
	if all == nil {
		return nil
	}
	return &all[id%catalogShards]
}

// add puts a record in. The mutex of its place in the index is held.
func (c *catalog[V]) add(id uint64, match codec.Match, v *V) {
	if match == codec.Exact && !c.complete.Load() {
		return
	}
	if c.shards.Load() == nil {
		c.shards.CompareAndSwap(nil, new([catalogShards]catalogShard[V]))
	}
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records == nil {
		s.records = map[uint64]cataloged[V]{}
	}
	s.records[id] = cataloged[V]{match, v}
}

// remove takes a record out. The mutex of its place in the index is held.
func (c *catalog[V]) remove(id uint64, match codec.Match) {
	if match == codec.Exact && !c.complete.Load() {
		return
	}
	s := c.shard(id)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, id)
	if len(s.records) == 0 {
		s.records = nil // a map does not shrink
	}
}

// build puts the exact URIs in, once. Who makes or removes one meanwhile does it under the mutex of the shard, before
// or behind the walk through it, and sees complete: so nothing is missed and nothing stays behind. Not on a loop.
func (c *catalog[V]) build(ix *index.Index[V], id func(v *V) uint64) {
	c.building.Lock()
	defer c.building.Unlock()
	if c.built.Load() {
		return
	}
	c.complete.Store(true)
	for shard := range index.Shards {
		ix.EachExact(shard, func(v *V) { c.add(id(v), codec.Exact, v) })
	}
	c.built.Store(true)
}

// ready reports whether the catalog is built.
func (c *catalog[V]) ready() bool { return c.built.Load() }

// find returns a record, or nil. The catalog is built.
func (c *catalog[V]) find(id uint64) *V {
	s := c.shard(id)
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[id].value
}

// list calls f with the id of every record. The catalog is built. Not on a loop.
func (c *catalog[V]) list(f func(id uint64, match codec.Match, v *V)) {
	for id := range uint64(catalogShards) {
		s := c.shard(id)
		if s == nil {
			return
		}
		s.mu.Lock()
		for id, r := range s.records {
			f(id, r.match, r.value)
		}
		s.mu.Unlock()
	}
}
