package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"banyan/codec"
	"banyan/realm/realmtest"

	"github.com/google/go-cmp/cmp"
)

// pattern is an entry of the slow twin.
type pattern struct {
	uri   string
	match codec.Match
}

func (p pattern) slowMatches(uri string) bool { return realmtest.Matches(p.uri, p.match, uri) }

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

// stepsMax is what the router allows.
const stepsMax = 1024

// all is what a PUBLISH looks for.
func all(ix *Index[pattern], dst []*pattern, uri []byte) (found []*pattern, whole bool) {
	if v := ix.Find(uri, codec.Exact); v != nil {
		dst = append(dst, v)
	}
	found, _, whole = ix.Patterns(dst, uri, stepsMax)
	return found, whole
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
	var ix Index[pattern]
	twin := map[pattern]*pattern{}
	for step := range 20_000 {
		p := randomPattern(rng)
		if twin[p] == nil {
			v := &pattern{p.uri, p.match}
			twin[p] = v
			ix.Put(p.uri, p.match, v)
		} else if rng.IntN(4) > 0 {
			delete(twin, p)
			ix.Remove(p.uri, p.match)
		}
		if len(twin) > 60 {
			for p := range twin {
				delete(twin, p)
				ix.Remove(p.uri, p.match)
			}
		}
		q := randomPattern(rng)
		if got := ix.Find([]byte(q.uri), q.match); got != twin[q] {
			t.Fatalf("step %d: find(%v) = %v, want %v", step, q, got, twin[q])
		}
		uri := randomURI(rng, false)
		wantBest := slowBest(twin, uri)
		if got, _, whole := ix.Best([]byte(uri), stepsMax); got != wantBest || !whole {
			t.Fatalf("step %d: best(%q) = %v, want %v of %v", step, uri, got, wantBest, twin)
		}
		// In goes of a few steps the same is found, in the same order.
		once, whole := all(&ix, nil, []byte(uri))
		if !whole {
			t.Fatalf("step %d: all(%q) is not whole", step, uri)
		}
		search, pieces := ix.Search([]byte(uri)), []*pattern(nil)
		for ended := false; !ended; {
			pieces, ended = search.All(pieces, 1+rng.IntN(3))
		}
		if !slices.Equal(once, pieces) {
			t.Fatalf("step %d: %q: at once %v, in pieces %v", step, uri, once, pieces)
		}
		search = ix.Search([]byte(uri))
		var best *pattern
		for ended := false; !ended; {
			best, ended = search.Best(1 + rng.IntN(3))
		}
		if best != wantBest {
			t.Fatalf("step %d: best of %q in pieces = %v, want %v", step, uri, best, wantBest)
		}
		var got, want []string
		for _, v := range once {
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
		ix.Remove(p.uri, p.match)
	}
	if !ix.Empty() {
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
	if cells := len(tab.level.Load().cells); tab.live != 0 || cells > 64 {
		t.Errorf("%d live entries in %d cells after everything was removed", tab.live, cells)
	}
}

// TestTableParts fills and empties a large table twice: no level has more cells than a rebuild may fill, every key is
// found all the time, and in the end it is one small table again.
func TestTableParts(t *testing.T) {
	const keys = 40_000
	var tab table[int]
	names := make([][]byte, keys)
	for i := range names {
		names[i] = fmt.Append(nil, "com.myapp.topic", i)
	}
	found := func(i int) bool { return tab.get(hashBytes(names[i]), names[i]) != nil }
	check := func(from, to int) {
		t.Helper()
		for i := range keys {
			if found(i) != (i >= from && i < to) {
				t.Fatalf("%d to %d are there, and %s found is %v", from, to, names[i], found(i))
			}
		}
		if tab.live != to-from {
			t.Fatalf("%d live, want %d", tab.live, to-from)
		}
		if most := largestLevel(&tab); most > 8*splitAt {
			t.Fatalf("with %d entries one level has %d cells: they are all filled at once", to-from, most)
		}
	}
	for range 2 {
		for i := range keys {
			tab.put(hashBytes(names[i]), string(names[i]), &i)
			if i == 2*splitAt-1 || i == 2*splitAt || i == keys/2 {
				check(0, i+1)
			}
		}
		if tab.level.Load().parts == nil {
			t.Fatalf("%d entries in one part", keys)
		}
		check(0, keys)
		for i := range keys - mergeAt - 1 {
			tab.remove(hashBytes(names[i]), string(names[i]))
			if i == keys/2 {
				check(i+1, keys)
			}
		}
		check(keys-mergeAt-1, keys)
		if tab.level.Load().parts == nil {
			t.Errorf("%d entries are in one part already", tab.live)
		}
		for i := keys - mergeAt - 1; i < keys; i++ {
			tab.remove(hashBytes(names[i]), string(names[i]))
			if i%32 == 0 {
				check(i+1, keys)
			}
			if tab.level.Load().parts != nil {
				t.Fatalf("%d entries are still in parts", tab.live)
			}
			if i == keys-mergeAt-1 && tab.used != mergeAt {
				t.Errorf("%d cells count as used by %d entries", tab.used, mergeAt)
			}
		}
		if most := largestLevel(&tab); most > 64 {
			t.Errorf("an empty table has %d cells", most)
		}
	}
}

// TestTablePartsOfParts: keys that all belong to one part have parts of that part, and its bits do not find them.
func TestTablePartsOfParts(t *testing.T) {
	const keys = 4 * splitAt
	var tab table[int]
	hash := func(i int) uint64 { return hashString(fmt.Sprint(i)) >> partsBits }
	for i := range keys {
		tab.put(hash(i), fmt.Sprint(i), &i)
	}
	if l := tab.level.Load(); l.parts == nil || l.parts[0].level.Load().parts == nil {
		t.Fatal("the first part has no parts")
	}
	for i := range keys {
		if v := tab.get(hash(i), fmt.Append(nil, i)); v == nil || *v != i {
			t.Fatalf("%d is %v", i, v)
		}
	}
	for i := range keys {
		if tab.remove(hash(i), fmt.Sprint(i)); tab.get(hash(i), fmt.Append(nil, i)) != nil {
			t.Fatalf("%d is still there", i)
		}
	}
	if tab.live != 0 || tab.level.Load().parts != nil {
		t.Errorf("%d live entries after everything was removed", tab.live)
	}
}

// TestTablePartsEqualHashes: where no part is better than another, splitting ends.
func TestTablePartsEqualHashes(t *testing.T) {
	const keys = 3 * splitAt
	var tab table[int]
	for i := range keys {
		tab.put(7, fmt.Sprint(i), &i)
	}
	if v := tab.get(7, fmt.Append(nil, keys-1)); v == nil || *v != keys-1 || tab.live != keys {
		t.Errorf("the last of %d entries is %v", tab.live, v)
	}
	for i := range keys {
		tab.remove(7, fmt.Sprint(i))
	}
	if tab.live != 0 || tab.level.Load().parts != nil {
		t.Errorf("%d live entries after everything was removed", tab.live)
	}
}

// TestTablePartsConcurrent looks for keys that stay while others come and go, and the table is split and merged. For
// the race detector, too.
func TestTablePartsConcurrent(t *testing.T) {
	const stay, others = mergeAt / 2, 5 * splitAt
	var tab table[int]
	var names [stay + others][]byte
	for i := range names {
		names[i] = fmt.Append(nil, "com.myapp.topic", i)
	}
	for i := range stay {
		tab.put(hashBytes(names[i]), string(names[i]), &i)
	}
	var stop atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		for i := 0; !stop.Load(); i = (i + 1) % stay {
			if v := tab.get(hashBytes(names[i]), names[i]); v == nil || *v != i {
				t.Errorf("%s is %v", names[i], v)
				return
			}
		}
	})
	for range 4 {
		for i := stay; i < len(names); i++ {
			tab.put(hashBytes(names[i]), string(names[i]), &i)
		}
		for i := stay; i < len(names); i++ {
			tab.remove(hashBytes(names[i]), string(names[i]))
		}
	}
	stop.Store(true)
	reader.Wait()
	if tab.level.Load().parts != nil {
		t.Error("it was never merged")
	}
}

// largestLevel is the most cells of one level of t.
func largestLevel[V any](t *table[V]) int {
	l := t.level.Load()
	if l.parts == nil {
		return len(l.cells)
	}
	most := 0
	for i := range l.parts {
		if l.parts[i].level.Load() != nil {
			most = max(most, largestLevel(&l.parts[i]))
		}
	}
	return most
}

// TestIndexConcurrent lets readers look for entries that never leave while writers churn around them. For the race
// detector.
func TestIndexConcurrent(t *testing.T) {
	var ix Index[pattern]
	fixed := []pattern{{"a.b.c", codec.Exact}, {"a.b", codec.Prefix}, {"a..c", codec.Wildcard}, {"", codec.Prefix}}
	for _, p := range fixed {
		ix.Put(p.uri, p.match, &pattern{p.uri, p.match})
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
				mu := ix.Mutex([]byte(p.uri), p.match)
				mu.Lock()
				if ix.Find([]byte(p.uri), p.match) == nil {
					ix.Put(p.uri, p.match, &p)
				} else {
					ix.Remove(p.uri, p.match)
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
				found, _ := all(&ix, nil, []byte("a.b.c"))
				for _, v := range found {
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
				if v, _, _ := ix.Best([]byte("a.b.c"), stepsMax); v == nil || *v != fixed[0] {
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
	table := []pattern{
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
		var ix Index[pattern]
		for _, i := range test.in {
			ix.Put(table[i].uri, table[i].match, &table[i])
		}
		var want *pattern
		if test.want > 0 {
			want = &table[test.want]
		}
		if got, _, _ := ix.Best([]byte(test.uri), stepsMax); got != want {
			t.Errorf("%s: %s goes to %v, want %v", test.id, test.uri, got, want)
		}
	}
}

// TestIndexAllocs: looking up allocates nothing, patterns or not.
func TestIndexAllocs(t *testing.T) {
	var ix Index[pattern]
	for _, p := range []pattern{
		{"a.b.c", codec.Exact},
		{"a.", codec.Prefix},
		{"a..c", codec.Wildcard},
		{".b.", codec.Wildcard},
	} {
		ix.Put(p.uri, p.match, &p)
	}
	uri := []byte("a.b.c")
	other := []byte("x.b.c") // has to back out of a dead end
	dst := make([]*pattern, 0, 8)
	if n := testing.AllocsPerRun(100, func() {
		dst, _ = all(&ix, dst[:0], uri)
		ix.Best(uri, stepsMax)
		ix.Best(other, stepsMax)
	}); n != 0 || len(dst) != 4 {
		t.Errorf("%v allocations, %d matches", n, len(dst))
	}
}

func BenchmarkIndex(b *testing.B) {
	var ix Index[pattern]
	for i := range 10_000 {
		p := &pattern{fmt.Sprintf("com.bench.p%d.", i), codec.Prefix}
		ix.Put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com.bench.q%d", i), codec.Prefix}
		ix.Put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com..t%d", i), codec.Wildcard}
		ix.Put(p.uri, p.match, p)
		p = &pattern{fmt.Sprintf("com.exact.t%d", i), codec.Exact}
		ix.Put(p.uri, p.match, p)
	}
	dst := make([]*pattern, 0, 8)
	for _, uri := range []string{"com.exact.t77", "com.bench.p1234.x", "com.bench.q5678", "com.foo.t99"} {
		b.Run("uri="+uri, func(b *testing.B) {
			b.ReportAllocs()
			u := []byte(uri)
			for b.Loop() {
				dst, _ = all(&ix, dst[:0], u)
			}
		})
	}
}

// TestSearchIsBounded: a URI of 18 components against patterns that star every half of them is a search of 2^18
// nodes; one go visits no more than it may, and all goes together find everything.
func TestSearchIsBounded(t *testing.T) {
	const components = 12
	var ix Index[pattern]
	for mask := range 1 << components {
		parts := make([]string, components)
		for i := range parts {
			if mask&(1<<i) == 0 {
				parts[i] = "c"
			}
		}
		p := &pattern{strings.Join(parts, "."), codec.Wildcard}
		ix.Put(p.uri, p.match, p)
	}
	uri := []byte(strings.Repeat("c.", components-1) + "c")
	if found, whole := all(&ix, nil, uri); whole || len(found) > stepsMax {
		t.Errorf("%d found in one go, whole %v", len(found), whole)
	}
	search, total, goes := ix.Search(uri), 0, 0
	for ended := false; !ended; goes++ {
		var found []*pattern
		found, ended = search.All(nil, 500)
		if total += len(found); len(found) > 500 {
			t.Fatalf("%d found in 500 steps", len(found))
		}
	}
	if total != 1<<components || goes < 16 {
		t.Errorf("%d found in %d goes", total, goes)
	}
	// Nothing matches, and to find that out takes as long: the last literal of every pattern is another one.
	var dead Index[pattern]
	for mask := range 1 << components {
		parts := make([]string, components+1)
		for i := range components {
			if mask&(1<<i) == 0 {
				parts[i] = "c"
			}
		}
		parts[components] = "d"
		dead.Put(strings.Join(parts, "."), codec.Wildcard, &pattern{})
	}
	uri = append(uri, ".c"...)
	if v, _, whole := dead.Best(uri, stepsMax); v != nil || whole {
		t.Errorf("best = %v in one go, whole %v", v, whole)
	}
	again, goes := dead.Search(uri), 0
	for ended := false; !ended; goes++ {
		var v *pattern
		if v, ended = again.Best(500); v != nil {
			t.Fatalf("best = %v", v)
		}
	}
	if goes < 8 {
		t.Errorf("a search of 2^%d dead ends took %d goes of 500 steps", components, goes)
	}
}

// The visits that a search tells of: nodes, and the tails that it looks for.
func TestIndexVisits(t *testing.T) {
	var ix Index[pattern]
	uri := []byte("x." + strings.Repeat("a", 100))
	check := func(what string, patterns, best int) {
		t.Helper()
		_, n, whole := ix.Patterns(nil, uri, stepsMax)
		_, m, wholeBest := ix.Best(uri, stepsMax)
		if n != patterns || m != best || !whole || !wholeBest {
			t.Errorf("%s: %d visits for the patterns, %d for the best; want %d, %d", what, n, m, patterns, best)
		}
	}
	check("without patterns", 0, 0)
	for i := range 60 {
		p := &pattern{"x." + strings.Repeat("b", 50+i), codec.Prefix}
		ix.Put(p.uri, p.match, p)
	}
	check("60 lengths, 51 of them short enough", 2+51, 2*(2+51))
	p := &pattern{"x.a", codec.Prefix}
	ix.Put(p.uri, p.match, p)
	check("the longest is found last", 2+52, 2+52)
	if _, _, whole := ix.Patterns(nil, uri, 1); whole {
		t.Error("the node of x is not visited within one step")
	}
}
