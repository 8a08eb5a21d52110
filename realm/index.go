package realm

import (
	"sync"
	"sync/atomic"

	"banyan/codec"
)

// indexShards spreads the writers of exact URIs, and bounds how long a growing table keeps them waiting.
const indexShards = 16

// An index finds the records of (URI, match): subscriptions by topic, registrations by procedure (PROTOCOL 3.4). Readers take no lock.
// Writers hold the mutex of the pair they change; a record's first and last member are decided under it (see subscription.count).
type index[V any] struct {
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

// mutex returns the lock under which the record of (uri, match) comes and goes.
func (ix *index[V]) mutex(uri []byte, match codec.Match) *sync.Mutex {
	if match != codec.Exact {
		return &ix.patternsMu
	}
	return &ix.exact[shardOf(hashBytes(uri))].mu
}

// shardOf takes the top bits: the table's cells use the low ones.
func shardOf(hash uint64) uint64 { return (hash >> 32) % indexShards }

// find returns the record of exactly (uri, match), or nil. Any goroutine.
func (ix *index[V]) find(uri []byte, match codec.Match) *V {
	if match == codec.Exact {
		hash := hashBytes(uri)
		return ix.exact[shardOf(hash)].table.get(hash, uri)
	}
	return ix.patterns.find(uri, match)
}

// put adds the record of (uri, match). The pair's mutex is held.
func (ix *index[V]) put(uri string, match codec.Match, v *V) {
	if match == codec.Exact {
		hash := hashString(uri)
		ix.exact[shardOf(hash)].table.put(hash, uri, v)
		return
	}
	ix.patterns.put(uri, match, v)
	ix.patternCount.Add(1)
}

// remove forgets the record of (uri, match), which must be there. The pair's mutex is held.
func (ix *index[V]) remove(uri string, match codec.Match) {
	if match == codec.Exact {
		hash := hashString(uri)
		ix.exact[shardOf(hash)].table.remove(hash, uri)
		return
	}
	ix.patterns.remove(uri, match)
	ix.patternCount.Add(-1)
}

// all appends every record that matches uri to dst. Any goroutine.
func (ix *index[V]) all(dst []*V, uri []byte) []*V {
	if v := ix.find(uri, codec.Exact); v != nil {
		dst = append(dst, v)
	}
	if ix.patternCount.Load() > 0 {
		dst = ix.patterns.all(dst, uri)
	}
	return dst
}

// best returns the one record a call of uri goes to, or nil: exact, else the longest prefix, else the best wildcard. Any goroutine.
func (ix *index[V]) best(uri []byte) *V {
	if v := ix.find(uri, codec.Exact); v != nil {
		return v
	}
	if ix.patternCount.Load() > 0 {
		return ix.patterns.best(uri)
	}
	return nil
}
