package realm

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"banyan/codec"

	"github.com/google/go-cmp/cmp"
)

// pattern is an entry of the slow twin.
type pattern struct {
	uri   string
	match codec.Match
}

// slowMatches is PROTOCOL 3.4, read literally.
func (p pattern) slowMatches(uri string) bool {
	switch p.match {
	case codec.Exact:
		return p.uri == uri
	case codec.Prefix:
		return strings.HasPrefix(uri, p.uri)
	}
	want, got := strings.Split(p.uri, "."), strings.Split(uri, ".")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != "" && want[i] != got[i] {
			return false
		}
	}
	return true
}

// slowBest compares wildcards component by component from the left: at the first difference the literal wins.
func slowBest(set map[pattern]*pattern, uri string) *pattern {
	var best *pattern
	for _, p := range set {
		if !p.slowMatches(uri) {
			continue
		}
		if best == nil || p.match < best.match {
			best = p
			continue
		}
		if p.match > best.match {
			continue
		}
		if p.match == codec.Prefix && len(p.uri) > len(best.uri) {
			best = p
		}
		if p.match == codec.Wildcard {
			a, b := strings.Split(p.uri, "."), strings.Split(best.uri, ".")
			for i := range a {
				if (a[i] == "") != (b[i] == "") {
					if b[i] == "" {
						best = p
					}
					break
				}
			}
		}
	}
	return best
}

func randomURI(rng *rand.Rand, empty bool) string {
	words := []string{"a", "b", "c", "ab", "abc", "b1"}
	n := 1 + rng.IntN(4)
	parts := make([]string, n)
	for i := range parts {
		if !empty || rng.IntN(3) > 0 {
			parts[i] = words[rng.IntN(len(words))]
		}
	}
	return strings.Join(parts, ".")
}

func randomPattern(rng *rand.Rand) pattern {
	switch match := codec.Match(rng.IntN(3)); match {
	case codec.Prefix:
		uri := randomURI(rng, false)
		return pattern{uri[:rng.IntN(len(uri)+1)], match}
	case codec.Wildcard:
		return pattern{randomURI(rng, true), match}
	default:
		return pattern{randomURI(rng, false), match}
	}
}

// TestIndexModel feeds an index and a map the same random changes and compares every answer. URI-07 … URI-23.
func TestIndexModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ix index[pattern]
	twin := map[pattern]*pattern{}
	for step := range 20_000 {
		p := randomPattern(rng)
		if twin[p] == nil {
			v := &pattern{p.uri, p.match}
			twin[p] = v
			ix.put(p.uri, p.match, v)
		} else if rng.IntN(4) > 0 {
			delete(twin, p)
			ix.remove(p.uri, p.match)
		}
		if len(twin) > 60 {
			for p := range twin {
				delete(twin, p)
				ix.remove(p.uri, p.match)
			}
		}
		q := randomPattern(rng)
		if got := ix.find([]byte(q.uri), q.match); got != twin[q] {
			t.Fatalf("step %d: find(%v) = %v, want %v", step, q, got, twin[q])
		}
		uri := randomURI(rng, false)
		if got, want := ix.best([]byte(uri)), slowBest(twin, uri); got != want {
			t.Fatalf("step %d: best(%q) = %v, want %v of %v", step, uri, got, want, twin)
		}
		var got, want []string
		for _, v := range ix.all(nil, []byte(uri)) {
			got = append(got, fmt.Sprint(*v))
		}
		for _, v := range twin {
			if v.slowMatches(uri) {
				want = append(want, fmt.Sprint(*v))
			}
		}
		sort.Strings(got)
		sort.Strings(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("step %d: all(%q): %s", step, uri, diff)
		}
	}
	for p := range twin {
		ix.remove(p.uri, p.match)
	}
	if !ix.patterns.root.empty() || ix.patternCount.Load() != 0 {
		t.Error("the trie keeps nodes after its last pattern went")
	}
}

// TestTableModel grows, shrinks and flaps one table beside a map.
func TestTableModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var tab table[int]
	twin := map[string]*int{}
	for step := range 50_000 {
		key := fmt.Sprint(rng.IntN(1 + step/50))
		hash := hashString(key) & 0xff // collisions on purpose
		switch {
		case rng.IntN(2) == 0:
			v := new(int)
			tab.put(hash, key, v)
			twin[key] = v
		default:
			tab.remove(hash, key)
			delete(twin, key)
		}
		probe := fmt.Sprint(rng.IntN(1 + step/50))
		if got := tab.get(hashString(probe)&0xff, []byte(probe)); got != twin[probe] {
			t.Fatalf("step %d: get(%s) = %p, want %p", step, probe, got, twin[probe])
		}
	}
	if tab.live != len(twin) {
		t.Errorf("%d live entries, want %d", tab.live, len(twin))
	}
	for key := range twin {
		tab.remove(hashString(key)&0xff, key)
	}
	if cells := len(*tab.cells.Load()); tab.live != 0 || cells > 64 {
		t.Errorf("%d live entries in %d cells after everything was removed", tab.live, cells)
	}
}

// TestIndexConcurrent lets readers look for entries that never leave while writers churn around them. For the race detector.
func TestIndexConcurrent(t *testing.T) {
	var ix index[pattern]
	fixed := []pattern{{"a.b.c", codec.Exact}, {"a.b", codec.Prefix}, {"a..c", codec.Wildcard}, {"", codec.Prefix}}
	for _, p := range fixed {
		ix.put(p.uri, p.match, &pattern{p.uri, p.match})
	}
	var stop atomic.Bool
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			rng := rand.New(rand.NewPCG(uint64(w), 9))
			for range 20_000 {
				p := randomPattern(rng)
				p.uri += fmt.Sprintf(".w%d", w) // each writer its own
				if p.match == codec.Exact {
					p.uri = "x" + p.uri
				}
				mu := ix.mutex([]byte(p.uri), p.match)
				mu.Lock()
				if ix.find([]byte(p.uri), p.match) == nil {
					ix.put(p.uri, p.match, &p)
				} else {
					ix.remove(p.uri, p.match)
				}
				mu.Unlock()
			}
		}()
	}
	for range 2 {
		readers.Add(1)
		go func() {
			defer readers.Done()
			for !stop.Load() {
				seen := 0
				for _, v := range ix.all(nil, []byte("a.b.c")) {
					for _, p := range fixed {
						if *v == p {
							seen++
						}
					}
				}
				if seen != len(fixed) {
					t.Errorf("saw %d of %d entries that never left", seen, len(fixed))
					return
				}
				if v := ix.best([]byte("a.b.c")); v == nil || *v != fixed[0] {
					t.Errorf("best = %v", v)
					return
				}
			}
		}()
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
}

// TestURI20 walks the table of PROTOCOL 3.4, prefixes being prefixes of strings.
func TestURI20(t *testing.T) {
	all := []pattern{
		{},
		{"a1.b2.c3.d4.e55", codec.Exact},
		{"a1.b2.c3", codec.Prefix},
		{"a1.b2.c3.d4", codec.Prefix},
		{"a1.b2..d4.e5", codec.Wildcard},
		{"a1.b2.c33..e5", codec.Wildcard},
		{"a1.b2..d4.e5..g7", codec.Wildcard},
		{"a1.b2..d4..f6.g7", codec.Wildcard},
	}
	for _, test := range []struct {
		id   string
		in   []int
		uri  string
		want int
	}{
		{"URI-15", []int{1, 2, 3, 4, 5, 6, 7}, "a1.b2.c3.d4.e55", 1},
		{"URI-17", []int{1, 2, 3, 4, 5, 6, 7}, "a1.b2.c3.d98.e74", 2},
		{"URI-16", []int{1, 2, 3, 4, 5, 6, 7}, "a1.b2.c3.d4.e325", 3},
		{"URI-18", []int{1, 2, 3, 4, 5, 6, 7}, "a1.b2.c55.d4.e5", 4},
		{"URI-20", []int{1, 2, 3, 4, 5, 6, 7}, "a1.b2.c33.d4.e5", 2},
		{"URI-18", []int{4, 5}, "a1.b2.c33.d4.e5", 5},
		{"URI-19", []int{6, 7}, "a1.b2.c88.d4.e5.f6.g7", 6},
		{"URI-22", []int{1, 2, 3, 4, 5, 6, 7}, "a2.b2.c2.d2.e2", 0},
	} {
		var ix index[pattern]
		for _, i := range test.in {
			ix.put(all[i].uri, all[i].match, &all[i])
		}
		var want *pattern
		if test.want > 0 {
			want = &all[test.want]
		}
		if got := ix.best([]byte(test.uri)); got != want {
			t.Errorf("%s: %s goes to %v, want %v", test.id, test.uri, got, want)
		}
	}
}

// TestIndexAllocs: looking up allocates nothing, patterns or not.
func TestIndexAllocs(t *testing.T) {
	var ix index[pattern]
	for _, p := range []pattern{{"a.b.c", codec.Exact}, {"a.", codec.Prefix}, {"a..c", codec.Wildcard}, {".b.", codec.Wildcard}} {
		ix.put(p.uri, p.match, &p)
	}
	uri := []byte("a.b.c")
	dst := make([]*pattern, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		dst = ix.all(dst[:0], uri)
		ix.best(uri)
		ix.patterns.best(uri)
	}); n != 0 || len(dst) != 4 {
		t.Errorf("%v allocations, %d matches", n, len(dst))
	}
}

func BenchmarkIndex(b *testing.B) {
	var ix index[pattern]
	for i := range 10_000 {
		p := &pattern{fmt.Sprintf("com.bench.p%d.", i), codec.Prefix}
		ix.put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com.bench.q%d", i), codec.Prefix}
		ix.put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com..t%d", i), codec.Wildcard}
		ix.put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com.exact.t%d", i), codec.Exact}
		ix.put(p.uri, p.match, p)
	}
	dst := make([]*pattern, 0, 8)
	for _, uri := range []string{"com.exact.t77", "com.bench.p1234.x", "com.bench.q5678", "com.foo.t99"} {
		b.Run("uri="+uri, func(b *testing.B) {
			b.ReportAllocs()
			u := []byte(uri)
			for b.Loop() {
				dst = ix.all(dst[:0], u)
			}
		})
	}
}
