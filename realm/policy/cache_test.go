package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/codec"
)

var yesKept = Decision{Allow: true, Disclose: true, Cache: true, Definitive: true}

func keyOf(uri string) *Key {
	return &Key{AuthRole: "user", AuthID: "joe", URI: []byte(uri), Action: Publish}
}

func (c *Cache) has(k *Key, now time.Duration) bool {
	_, ok := c.Get(k, now)
	return ok
}

// TestAUZCacheKey: the same request is answered without the authorizer; another authid, authrole, URI, action or
// match is not. AUZ-10.
func TestAUZCacheKey(t *testing.T) {
	t.Attr("checklist", "AUZ-10")
	for _, entriesMax := range []int{10, 10_000} {
		c := NewCache(entriesMax)
		k := Key{"user", "joe", []byte("com.a"), Subscribe, codec.Prefix}
		no := Decision{Cache: true, Definitive: true}
		c.Put(&k, c.Generation(), yesKept, 0, time.Second)
		for i, other := range []Key{
			{"admin", "joe", []byte("com.a"), Subscribe, codec.Prefix},
			{"user", "ann", []byte("com.a"), Subscribe, codec.Prefix},
			{"user", "joe", []byte("com.b"), Subscribe, codec.Prefix},
			{"user", "joe", []byte("com.a"), Register, codec.Prefix},
			{"user", "joe", []byte("com.a"), Subscribe, codec.Wildcard},
			{"userj", "oe", []byte("com.a"), Subscribe, codec.Prefix},
		} {
			if c.has(&other, 0) {
				t.Errorf("%d: the answer for %+v was given to %+v", i, k, other)
			}
			c.Put(&other, c.Generation(), no, 0, time.Second)
			if d, ok := c.Get(&other, 0); !ok || d != no {
				t.Errorf("%d: a refusal is not kept: %+v, %v", i, d, ok)
			}
		}
		if d, ok := c.Get(&k, 0); !ok || d != yesKept {
			t.Errorf("%+v, %v", d, ok)
		}
		c.Put(&k, c.Generation(), no, 0, time.Second)
		if d, ok := c.Get(&k, 0); !ok || d != no {
			t.Errorf("a new answer does not replace the old one: %+v, %v", d, ok)
		}
		k.URI[4] = 'z' // it was lent
		if c.has(&k, 0) || !c.has(&Key{"user", "joe", []byte("com.a"), Subscribe, codec.Prefix}, 0) {
			t.Error("the cache kept the caller's bytes")
		}
	}
}

// TestAUZCacheRefuses: what may not be kept is not. AUZ-10.
func TestAUZCacheRefuses(t *testing.T) {
	t.Attr("checklist", "AUZ-10")
	notKept := Decision{Allow: true, Definitive: true}
	for name, put := range map[string]func(c *Cache, k *Key){
		"cache false":    func(c *Cache, k *Key) { c.Put(k, 0, notKept, 0, time.Hour) },
		"no answer":      func(c *Cache, k *Key) { c.Put(k, 0, Decision{Allow: true, Cache: true}, 0, time.Hour) },
		"no time":        func(c *Cache, k *Key) { c.Put(k, 0, yesKept, 0, 0) },
		"negative time":  func(c *Cache, k *Key) { c.Put(k, 0, yesKept, 0, -1) },
		"old generation": func(c *Cache, k *Key) { c.Flush(); c.Put(k, 0, yesKept, 0, time.Hour) },
	} {
		c := NewCache(0)
		if put(c, keyOf("a")); c.has(keyOf("a"), 0) || c.Stats() != (CacheStats{}) {
			t.Errorf("%s: kept", name)
		}
	}
	c := NewCache(-1)
	if c.Put(keyOf("a"), 0, yesKept, 0, time.Hour); c.has(keyOf("a"), 0) {
		t.Error("a cache without room keeps something")
	}
	for n, kept := range []bool{true, false} {
		c := NewCache(0)
		k := keyOf(strings.Repeat("u", cacheKeyBytesMax+n-len("user")-len("joe")))
		c.Put(k, 0, yesKept, 0, time.Hour)
		if st := c.Stats(); c.has(k, 0) != kept || st.TooLong != uint64(n) {
			t.Errorf("a key of %d octets: kept %v, %+v", cacheKeyBytesMax+n, c.has(k, 0), st)
		}
	}
}

// TestCacheTime: an answer is kept until its time is over, and not a nanosecond longer.
func TestCacheTime(t *testing.T) {
	c := NewCache(0)
	c.Put(keyOf("a"), 0, yesKept, 5*time.Second, time.Second)
	c.Put(keyOf("b"), 0, yesKept, 5*time.Second, 2*time.Second)
	if !c.has(keyOf("a"), 6*time.Second-1) {
		t.Error("forgotten too early")
	}
	if c.has(keyOf("a"), 6*time.Second) || c.Stats().Entries != 1 || !c.has(keyOf("b"), 6*time.Second) {
		t.Errorf("kept too long, or the wrong one forgotten: %+v", c.Stats())
	}
	c.Put(keyOf("b"), 0, yesKept, 6*time.Second, 2*time.Second)
	if !c.has(keyOf("b"), 8*time.Second-1) {
		t.Error("a new answer does not prolong")
	}
}

// TestCacheFlush: everything is forgotten, in every shard, and answers asked for before are not kept.
func TestCacheFlush(t *testing.T) {
	for _, entriesMax := range []int{100, 10_000} {
		c := NewCache(entriesMax)
		before := c.Generation()
		for i := range 100 {
			c.Put(keyOf(fmt.Sprint("a", i)), before, yesKept, 0, time.Hour)
		}
		if n := c.Stats().Entries; n != 100 {
			t.Fatalf("%d entries", n)
		}
		c.Flush()
		if st := c.Stats(); st != (CacheStats{}) || c.Generation() == before {
			t.Errorf("%+v", st)
		}
		for i := range 100 {
			if c.has(keyOf(fmt.Sprint("a", i)), 0) {
				t.Errorf("a%d was not forgotten", i)
			}
			c.Put(keyOf(fmt.Sprint("a", i)), before, yesKept, 0, time.Hour)
		}
		if st := c.Stats(); st != (CacheStats{}) {
			t.Errorf("late answers were kept: %+v", st)
		}
		c.Put(keyOf("a1"), c.Generation(), yesKept, 0, time.Hour)
		if !c.has(keyOf("a1"), 0) {
			t.Error("nothing is kept after a flush")
		}
	}
}

// TestCacheEntriesMax: n entries have room; the one after evicts what was used least recently.
func TestCacheEntriesMax(t *testing.T) {
	const n = 5
	c := NewCache(n)
	uri := func(i int) *Key { return keyOf(fmt.Sprint("u", i)) }
	for i := range n {
		c.Put(uri(i), 0, yesKept, 0, time.Hour)
	}
	if st := c.Stats(); st != (CacheStats{Entries: n}) {
		t.Errorf("%+v", st)
	}
	c.has(uri(0), 0)                          // used: 1 is the oldest now
	c.Put(uri(1), 0, yesKept, 0, 2*time.Hour) // put again: 2 is
	c.Put(uri(n), 0, yesKept, 0, time.Hour)   // evicts 2
	c.Put(uri(n+1), 0, yesKept, 0, time.Hour) // evicts 3
	if st := c.Stats(); st != (CacheStats{Entries: n, Evicted: 2}) {
		t.Errorf("%+v", st)
	}
	for i := range n + 2 {
		if kept := c.has(uri(i), 0); kept != (i != 2 && i != 3) {
			t.Errorf("u%d: kept %v", i, kept)
		}
	}
	one := NewCache(1)
	for i := range 3 {
		one.Put(uri(i), 0, yesKept, 0, time.Hour)
	}
	if st := one.Stats(); st != (CacheStats{Entries: 1, Evicted: 2}) || !one.has(uri(2), 0) {
		t.Errorf("a cache of one: %+v", st)
	}
}

// TestCacheShards: a cache of n entries has one lock, one of n+1 has 16; whatever is put, it holds no more than it
// may, and uses most of its room.
func TestCacheShards(t *testing.T) {
	const least = cacheShards * cacheShardEntriesMin
	for entriesMax, shards := range map[int]int{
		least - 1: 1, least: cacheShards, least + 17: cacheShards, 0: cacheShards,
	} {
		c := NewCache(entriesMax)
		if len(c.shards) != shards {
			t.Errorf("%d entries: %d shards", entriesMax, len(c.shards))
		}
		if entriesMax == 0 {
			entriesMax = CacheEntriesDefault
		}
		for i := range 4 * entriesMax {
			c.Put(keyOf(fmt.Sprint(i)), 0, yesKept, 0, time.Hour)
		}
		if n := c.Stats().Entries; n > entriesMax || n < entriesMax-shards {
			t.Errorf("%d entries of %d", n, entriesMax)
		}
	}
}

// TestCacheModel feeds a cache and a list the same random operations and compares every answer.
func TestCacheModel(t *testing.T) {
	type kept struct {
		uri   string
		d     Decision
		until time.Duration
	}
	const entriesMax = 8
	rng := rand.New(rand.NewPCG(5, 6))
	c := NewCache(entriesMax)
	var twin []kept // by use, the oldest first
	now, asked := time.Duration(0), c.Generation()
	hits, evicted := 0, uint64(0)
	for step := range 50_000 {
		now += time.Duration(rng.IntN(3))
		uri := fmt.Sprint(rng.IntN(12))
		at := -1
		for i := range twin {
			if twin[i].uri == uri {
				at = i
			}
		}
		switch rng.IntN(20) {
		case 0:
			asked = c.Generation()
		case 1:
			if rng.IntN(10) == 0 {
				c.Flush()
				twin = nil
			}
		case 2, 3, 4, 5, 6:
			d := Decision{Allow: rng.IntN(2) == 0, Disclose: rng.IntN(2) == 0, Cache: true, Definitive: true}
			keep := time.Duration(1 + rng.IntN(60))
			c.Put(keyOf(uri), asked, d, now, keep)
			if asked != c.Generation() {
				break
			}
			if at >= 0 {
				twin = append(twin[:at], twin[at+1:]...)
			} else if len(twin) == entriesMax {
				twin = twin[1:]
				evicted++
			}
			twin = append(twin, kept{uri, d, now + keep})
		default:
			d, ok := c.Get(keyOf(uri), now)
			want := at >= 0 && twin[at].until > now
			if ok != want || ok && d != twin[at].d {
				t.Fatalf("step %d: %s: %+v, %v, want %v of %+v", step, uri, d, ok, want, twin)
			}
			if at >= 0 {
				e := twin[at]
				if twin = append(twin[:at], twin[at+1:]...); want {
					twin = append(twin, e)
					hits++
				}
			}
		}
		if st := c.Stats(); st != (CacheStats{Entries: len(twin), Evicted: evicted}) {
			t.Fatalf("step %d: %+v, want %d entries and %d evicted", step, st, len(twin), evicted)
		}
	}
	if hits < 1000 || evicted < 100 {
		t.Errorf("%d hits, %d evicted", hits, evicted)
	}
}

// TestCacheParallel lets several loops use one cache while it is flushed: no loop gets an answer of another key, or
// one that was asked for before the last flush that it saw.
func TestCacheParallel(t *testing.T) {
	for _, entriesMax := range []int{32, 2048} {
		c := NewCache(entriesMax)
		var wg sync.WaitGroup
		for loop := range 4 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(loop), 7))
				for range 5_000 {
					n := rng.IntN(64)
					k, allow := keyOf(fmt.Sprint("u", n)), n%2 == 0
					generation := c.Generation()
					if d, ok := c.Get(k, 0); ok && d.Allow != allow {
						t.Errorf("%s: %+v", k.URI, d)
						return
					} else if !ok {
						c.Put(k, generation, Decision{Allow: allow, Cache: true, Definitive: true}, 0, time.Hour)
					}
					if rng.IntN(200) == 0 {
						c.Flush()
						mine := c.Generation()
						c.Put(k, generation, Decision{Allow: !allow, Cache: true, Definitive: true}, 0, time.Hour)
						if mine <= generation {
							t.Error("the generation did not change")
						}
					}
				}
			})
		}
		wg.Wait()
		if n := c.Stats().Entries; n > entriesMax {
			t.Errorf("%d entries", n)
		}
	}
}

// TestCacheAllocates nothing to find an answer, whatever the length of the key.
func TestCacheAllocates(t *testing.T) {
	for _, uri := range []string{"com.a", strings.Repeat("long.", 200) + "x"} {
		c, k := NewCache(0), keyOf(uri)
		c.Put(k, 0, yesKept, 0, time.Hour)
		if n := testing.AllocsPerRun(100, func() { c.Get(k, 0) }); n != 0 || !c.has(k, 0) {
			t.Errorf("%v allocations", n)
		}
	}
}

func BenchmarkCacheGet(b *testing.B) {
	c := NewCache(0)
	keys := make([]*Key, 1000)
	for i := range keys {
		keys[i] = keyOf(fmt.Sprintf("com.example.service%d.get", i))
		c.Put(keys[i], 0, yesKept, 0, time.Hour)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Get(keys[i%len(keys)], 0)
	}
}
