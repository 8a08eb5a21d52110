package policy

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"banyan/codec"
)

// A Cache keeps answers of the dynamic authorizers of one realm, by authrole, authid, URI, action and match (PROTOCOL
// 11). It holds at most a fixed number of entries, each for a time that is told when it is put; if it is full, the
// entry that was used least recently is evicted.
//
// Any goroutine may use it: a large cache is split into 16 shards, by authid and URI, with a mutex each. A mutex is
// held for one look-up or one change, never for more. Each shard has a sixteenth of the room, so it may evict before
// the whole cache is full.
//
// Times are those of any clock that does not go back, the same for all calls.
type Cache struct {
	shards     []shard
	seed       maphash.Seed
	generation atomic.Uint64
	evicted    atomic.Uint64
	tooLong    atomic.Uint64
}

// A Key says what an answer was for.
type Key struct {
	AuthRole, AuthID string
	URI              []byte // or pattern; lent
	Action           Action
	Match            codec.Match
}

// entryKey is a Key of its own.
type entryKey struct {
	authRole, authID, uri string
	action                Action
	match                 codec.Match
}

// An entry is one answer. The entries of a shard form a ring by use.
type entry struct {
	key              entryKey
	decision         Decision
	until            time.Duration
	earlier, further *entry // used just before this one, and just after
}

type shard struct {
	mu         sync.Mutex
	generation uint64 // of all entries
	entriesMax int
	entries    map[entryKey]*entry
	newest     *entry // nil: none; its further is the oldest
	_          [64]byte
}

// NewCache makes a cache of at most entriesMax entries; 0 means CacheEntriesDefault, negative that nothing is kept.
func NewCache(entriesMax int) *Cache {
	if entriesMax == 0 {
		entriesMax = CacheEntriesDefault
	}
	many := 1
	if entriesMax >= cacheShards*cacheShardEntriesMin {
		many = cacheShards
	}
	c := &Cache{shards: make([]shard, many), seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].entriesMax = entriesMax / many
	}
	return c
}

// Generation returns the number to give to Put with an answer that is asked for from now on.
func (c *Cache) Generation() uint64 { return c.generation.Load() }

// Flush forgets all entries, and those answers that are still awaited: roles or permissions have changed.
func (c *Cache) Flush() { c.generation.Add(1) }

// Get returns the decision that is kept for k.
//
// hot: BenchmarkCacheGet, 0 allocs/op.
func (c *Cache) Get(k *Key, now time.Duration) (d Decision, ok bool) {
	d, _, ok = c.Find(k, now)
	return d, ok
}

// Find is Get, and says how long the decision is still kept.
func (c *Cache) Find(k *Key, now time.Duration) (d Decision, left time.Duration, ok bool) {
	s := c.shardOf(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew(c.generation.Load())
	e := s.entries[entryKey{k.AuthRole, k.AuthID, string(k.URI), k.Action, k.Match}]
	if e == nil {
		return d, 0, false
	}
	if now >= e.until {
		s.remove(e)
		return d, 0, false
	}
	s.use(e)
	return e.decision, e.until - now, true
}

// Put keeps d, which Answered returned, for the time keep from now on, if it may be kept. generation is what
// Generation returned before the authorizer was asked: an answer from before a Flush is not kept. Nor is one without
// Cache, or for no time, or whose key is too long; the last is counted.
func (c *Cache) Put(k *Key, generation uint64, d Decision, now, keep time.Duration) {
	if !d.Cache || !d.Definitive || keep <= 0 {
		return
	}
	if len(k.AuthRole)+len(k.AuthID)+len(k.URI) > cacheKeyBytesMax {
		c.tooLong.Add(1)
		return
	}
	s := c.shardOf(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renew(c.generation.Load())
	if generation != s.generation || s.entriesMax <= 0 {
		return
	}
	key := entryKey{k.AuthRole, k.AuthID, string(k.URI), k.Action, k.Match}
	e := s.entries[key]
	if e == nil {
		if len(s.entries) >= s.entriesMax {
			s.remove(s.newest.further)
			c.evicted.Add(1)
		}
		e = &entry{key: key}
		s.entries[key] = e
		s.link(e)
	} else {
		s.use(e)
	}
	e.decision, e.until = d, now+keep
}

// CacheStats counts what happened in a Cache.
type CacheStats struct {
	Entries int    // now, those whose time is over included until somebody looks for them
	Evicted uint64 // because the cache, or a shard of it, was full
	TooLong uint64 // not kept, because authrole, authid and URI were too long
}

// Stats counts. It takes each lock for a moment.
func (c *Cache) Stats() CacheStats {
	st := CacheStats{Evicted: c.evicted.Load(), TooLong: c.tooLong.Load()}
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.renew(c.generation.Load())
		st.Entries += len(s.entries)
		s.mu.Unlock()
	}
	return st
}

func (c *Cache) shardOf(k *Key) *shard {
	if len(c.shards) == 1 {
		return &c.shards[0]
	}
	hash := maphash.Bytes(c.seed, k.URI) + 31*maphash.String(c.seed, k.AuthID)
	return &c.shards[(hash>>32)%uint64(len(c.shards))]
}

// renew forgets the entries if they are of an older generation. The caller holds the lock.
func (s *shard) renew(generation uint64) {
	if s.entries != nil && s.generation == generation {
		return
	}
	s.generation, s.entries, s.newest = generation, make(map[entryKey]*entry), nil
}

// link makes e the newest of the ring. The caller holds the lock.
func (s *shard) link(e *entry) {
	if s.newest == nil {
		e.earlier, e.further = e, e
	} else {
		e.earlier, e.further = s.newest, s.newest.further
		e.earlier.further, e.further.earlier = e, e
	}
	s.newest = e
}

func (s *shard) unlink(e *entry) {
	if s.newest == e {
		s.newest = e.earlier
	}
	if s.newest == e {
		s.newest = nil
	}
	e.earlier.further, e.further.earlier = e.further, e.earlier
}

func (s *shard) use(e *entry) {
	if s.newest != e {
		s.unlink(e)
		s.link(e)
	}
}

func (s *shard) remove(e *entry) {
	s.unlink(e)
	delete(s.entries, e.key)
}
