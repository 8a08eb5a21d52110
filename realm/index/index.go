// Package index finds the records of topics and procedures (PROTOCOL 3.4). It holds neither sessions nor locks of
// theirs; readers take no lock.
package index

import (
	"sync"
	"sync/atomic"

	"banyan/codec"
)

// indexShards spreads the writers of exact URIs, and bounds how long a growing table keeps them waiting.
const indexShards = 64

// An Index finds the records of (URI, match): subscriptions by topic, registrations by procedure (PROTOCOL 3.4).
// Readers take no lock. Writers hold the mutex of the pair they change; a record's first and last member are decided
// under it.
type Index[V any] struct {
	exact [indexShards]struct {
		mu    sync.Mutex
		table table[V]
		_     [32]byte // the mutexes of neighbours share no cache line
	}
	patternsMu sync.Mutex
	patterns   trie[V]
	// patternCount is how many patterns there are; at zero matching leaves the trie alone. Any goroutine.
	patternCount atomic.Int64
}

// Mutex returns the lock under which the record of (uri, match) comes and goes.
func (ix *Index[V]) Mutex(uri []byte, match codec.Match) *sync.Mutex {
	if match != codec.Exact {
		return &ix.patternsMu
	}
	return &ix.exact[shardOf(hashBytes(uri))].mu
}

// shardOf takes the top bits: the table's cells use the low ones.
func shardOf(hash uint64) uint64 { return (hash >> 32) % indexShards }

// Find returns the record of exactly (uri, match), or nil. Any goroutine.
func (ix *Index[V]) Find(uri []byte, match codec.Match) *V {
	if match == codec.Exact {
		hash := hashBytes(uri)
		return ix.exact[shardOf(hash)].table.get(hash, uri)
	}
	return ix.patterns.find(uri, match)
}

// Put adds the record of (uri, match). The pair's mutex is held.
func (ix *Index[V]) Put(uri string, match codec.Match, v *V) {
	if match == codec.Exact {
		hash := hashString(uri)
		ix.exact[shardOf(hash)].table.put(hash, uri, v)
		return
	}
	ix.patterns.put(uri, match, v)
	ix.patternCount.Add(1)
}

// Remove forgets the record of (uri, match), which must be there. The pair's mutex is held.
func (ix *Index[V]) Remove(uri string, match codec.Match) {
	if match == codec.Exact {
		hash := hashString(uri)
		ix.exact[shardOf(hash)].table.remove(hash, uri)
		return
	}
	ix.patterns.remove(uri, match)
	ix.patternCount.Add(-1)
}

// Patterns appends every record whose pattern matches uri to dst; the record of exactly uri is found by Find. whole
// is false when that takes more than steps visits to nodes and tails, about 0.1 us each: then dst is incomplete, and
// Search has to be used instead. visits is how many there were. Any goroutine.
//
// hot: BenchmarkIndex, 0 allocs/op.
func (ix *Index[V]) Patterns(dst []*V, uri []byte, steps int) (found []*V, visits int, whole bool) {
	if ix.patternCount.Load() == 0 {
		return dst, 0, true
	}
	w := walk[V]{branch: branch[V]{n: &ix.patterns.root, rest: uri}}
	left, whole := w.run(steps, func(v *V, _ codec.Match) bool {
		dst = append(dst, v)
		return true
	})
	return dst, steps - left, whole
}

// Best returns the one record a call of uri goes to, or nil: exact, else the longest prefix, else the best wildcard.
// whole is false when that takes more than steps visits: then Search has to be used instead. visits is how many there
// were. Any goroutine.
func (ix *Index[V]) Best(uri []byte, steps int) (best *V, visits int, whole bool) {
	if v := ix.Find(uri, codec.Exact); v != nil {
		return v, 0, true
	}
	if ix.patternCount.Load() == 0 {
		return nil, 0, true
	}
	best, visits = ix.patterns.longest(uri)
	if best != nil {
		return best, visits, true
	}
	w := walk[V]{branch: branch[V]{n: &ix.patterns.root, rest: uri}}
	left, whole := w.run(steps, func(v *V, match codec.Match) bool {
		if match == codec.Wildcard {
			best = v
		}
		return best == nil
	})
	return best, visits + steps - left, whole
}

// A Search is a search that is done in several goes. What is added or removed between two goes may be found or not.
// Owned by the caller.
type Search[V any] struct {
	ix   *Index[V]
	uri  []byte
	walk walk[V]
	next bool // not the first go
}

// Search begins a search for uri, which must not change until the search has ended.
func (ix *Index[V]) Search(uri []byte) *Search[V] {
	return &Search[V]{ix: ix, uri: uri, walk: walk[V]{branch: branch[V]{n: &ix.patterns.root, rest: uri}}}
}

// All appends the next records that match to dst, after at most steps nodes and tails, and reports whether there are
// no more.
func (s *Search[V]) All(dst []*V, steps int) (found []*V, ended bool) {
	if !s.next {
		s.next = true
		if v := s.ix.Find(s.uri, codec.Exact); v != nil {
			dst = append(dst, v)
		}
	}
	_, ended = s.walk.run(steps, func(v *V, _ codec.Match) bool {
		dst = append(dst, v)
		return true
	})
	return dst, ended
}

// Best goes on for at most steps nodes and tails and reports whether the search has ended. best is its result then:
// see Index.Best.
func (s *Search[V]) Best(steps int) (best *V, ended bool) {
	if !s.next {
		s.next = true
		if v := s.ix.Find(s.uri, codec.Exact); v != nil {
			return v, true
		}
		if v, _ := s.ix.patterns.longest(s.uri); v != nil {
			return v, true
		}
	}
	_, ended = s.walk.run(steps, func(v *V, match codec.Match) bool {
		if match == codec.Wildcard {
			best = v
		}
		return best == nil
	})
	return best, ended
}

// Empty reports whether the index holds nothing, and no node that only a removed pattern needed. No writer may be at
// work.
func (ix *Index[V]) Empty() bool {
	for i := range ix.exact {
		if ix.exact[i].table.live != 0 {
			return false
		}
	}
	return ix.patterns.root.empty() && ix.patternCount.Load() == 0
}
