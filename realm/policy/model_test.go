package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// A slowRole is the twin of a Role: a list of permissions with plain URIs, and loops over it.
type slowRole struct {
	def RoleDefinition
}

func (p *Permission) slowMatch() codec.Match {
	return codec.Match(slices.Index(matchNames[:], p.Match))
}

// slowCovers says whether p covers a pattern, by the sentences of PROTOCOL 11.
func slowCovers(p *Permission, pattern string, match codec.Match) bool {
	switch p.slowMatch() {
	case codec.Exact:
		return false
	case codec.Prefix:
		if match == codec.Wildcard { // what all its URIs begin with
			parts := strings.Split(pattern, ".")
			if i := slices.Index(parts, ""); i >= 0 {
				pattern = strings.Join(parts[:i], ".")
				if i > 0 {
					pattern += "."
				}
			}
		}
		return strings.HasPrefix(pattern, p.URI)
	}
	if match != codec.Wildcard {
		return false
	}
	mine, its := strings.Split(p.URI, "."), strings.Split(pattern, ".")
	if len(mine) != len(its) {
		return false
	}
	for i := range mine {
		if mine[i] != "" && mine[i] != its[i] {
			return false
		}
	}
	return true
}

// outranks says whether p is chosen before q if both match.
func (p *Permission) outranks(q *Permission) bool {
	rank := func(p *Permission) int {
		return []int{codec.Exact: 0, codec.Wildcard: 1, codec.Prefix: 2}[p.slowMatch()]
	}
	if a, b := rank(p), rank(q); a != b {
		return a < b
	}
	if p.slowMatch() == codec.Prefix {
		return len(p.URI) > len(q.URI)
	}
	a, b := strings.Split(p.URI, "."), strings.Split(q.URI, ".")
	for i := range a {
		if (a[i] == "") != (b[i] == "") {
			return b[i] == ""
		}
	}
	return false
}

// best returns the permission that outranks all others for which fits is true, or nil.
func (r *slowRole) best(fits func(p *Permission) bool) (best *Permission) {
	for i := range r.def.Permissions {
		if p := &r.def.Permissions[i]; fits(p) && (best == nil || p.outranks(best)) {
			best = p
		}
	}
	return best
}

func (r *slowRole) says(a Action, chosen *Permission) Decision {
	switch {
	case chosen == nil && r.def.Dynamic:
		return Decision{Cache: r.def.Cache}
	case chosen == nil:
		return denied
	case chosen.Allow == nil && r.def.Dynamic:
		return Decision{Cache: chosen.Cache, Disclose: chosen.Disclose.of(a)}
	case chosen.Allow == nil || !chosen.Allow.has(a):
		return denied
	}
	return Decision{Allow: true, Disclose: chosen.Disclose.of(a), Cache: true, Definitive: true}
}

// exact answers for one URI.
func (r *slowRole) exact(a Action, uri string) Decision {
	if (a == Publish || a == Register) && slowReserved(uri) {
		return denied
	}
	return r.says(a, r.best(func(p *Permission) bool { return realmtest.Matches(p.URI, p.slowMatch(), uri) }))
}

func slowReserved(uri string) bool { return strings.Split(uri, ".")[0] == "wamp" }

// pattern answers for a pattern by asking for each of uris, which it matches, and for its cover.
func (r *slowRole) pattern(a Action, pattern string, match codec.Match, uris []string) Decision {
	d := r.says(a, r.best(func(p *Permission) bool { return slowCovers(p, pattern, match) }))
	for _, uri := range uris {
		if a == Register && slowReserved(uri) {
			continue // a registration by pattern gets no calls of these
		}
		switch its := r.exact(a, uri); {
		case d.denies() || its.Allow:
		case its.denies():
			d = its
		default:
			d = Decision{Cache: d.Cache && its.Cache}
		}
	}
	return d
}

// A universe is a small world of URIs: rules are made of words, URIs of words and of words that no rule has.
type universe struct {
	uris     []string
	patterns []Permission // the rules: URI and Match are set
	matched  [][]string   // the URIs that each pattern matches
}

// newUniverse makes all rules of up to depth components, and all URIs of one component more, so that there are URIs
// that are longer than every rule.
func newUniverse(depth int, words ...string) *universe {
	u := &universe{}
	all := slices.Concat(words, []string{"x"})
	for _, w := range words {
		for i := range w { // what a prefix ends with, alone and with something behind it
			all = append(all, w[:i+1], w[:i+1]+"x")
		}
	}
	slices.Sort(all)
	u.uris = joined(depth+1, slices.Compact(all))
	seen := map[Permission]bool{}
	add := func(uri string, match codec.Match) {
		p := Permission{URI: uri, Match: matchNames[match]}
		if codec.ValidURI([]byte(uri), match, false) && !seen[p] {
			seen[p] = true
			u.patterns = append(u.patterns, p)
		}
	}
	for _, uri := range joined(depth, append([]string{""}, words...)) {
		add(uri, codec.Exact)
		add(uri, codec.Wildcard)
		for i := range len(uri) + 1 {
			add(uri[:i], codec.Prefix)
		}
	}
	for i := range u.patterns {
		p := &u.patterns[i]
		var matched []string
		for _, uri := range u.uris {
			if realmtest.Matches(p.URI, p.slowMatch(), uri) {
				matched = append(matched, uri)
			}
		}
		if len(matched) == 0 {
			panic("a pattern matches nothing: " + p.URI)
		}
		u.matched = append(u.matched, matched)
	}
	return u
}

// joined lists all sequences of one to depth words, joined by dots.
func joined(depth int, words []string) (all []string) {
	level := words
	for range depth {
		all = append(all, level...)
		var next []string
		for _, begin := range level {
			for _, w := range words {
				next = append(next, begin+"."+w)
			}
		}
		level = next
	}
	return all
}

// randomRole gives n different rules of u random effects.
func (u *universe) randomRole(rng *rand.Rand, n int) *slowRole {
	r := &slowRole{RoleDefinition{Name: "r", Dynamic: rng.IntN(2) == 0, Cache: rng.IntN(2) == 0}}
	bit := func() bool { return rng.IntN(3) > 0 } // more that allow, or every pattern is denied
	for _, i := range rng.Perm(len(u.patterns))[:n] {
		p := u.patterns[i]
		if rng.IntN(4) > 0 {
			p.Allow = &Actions{Call: bit(), Register: bit(), Publish: bit(), Subscribe: bit()}
		}
		p.Disclose = Disclose{Caller: bit(), Publisher: bit()}
		p.Cache = bit()
		r.def.Permissions = append(r.def.Permissions, p)
	}
	return r
}

func (r *slowRole) compile(t testing.TB) *Role {
	t.Helper()
	s, problems := Compile([]RoleDefinition{r.def}, false)
	if s == nil {
		t.Fatalf("%v", problems.Err())
	}
	return s.Role("r")
}

func (r *slowRole) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dynamic %v, cache %v\n", r.def.Dynamic, r.def.Cache)
	for _, p := range r.def.Permissions {
		fmt.Fprintf(&b, "  %q %s allow %+v disclose %+v cache %v\n", p.URI, p.Match, p.Allow, p.Disclose, p.Cache)
	}
	return b.String()
}

// counts says how often each outcome was compared, so that a test can see that it tried all of them.
type counts struct{ allowed, denied, asked int }

func (c *counts) add(d Decision) {
	switch {
	case d.Allow:
		c.allowed++
	case d.Definitive:
		c.denied++
	default:
		c.asked++
	}
}

// TestAUZModel compares roles of random rules with their twins: every URI, every pattern and every action. A pattern
// is allowed if and only if its cover and each URI that it matches are. AUZ-01 … AUZ-07, AUZ-14.
func TestAUZModel(t *testing.T) {
	t.Attr("checklist", "AUZ-01 AUZ-02 AUZ-03 AUZ-04 AUZ-05 AUZ-06 AUZ-07 AUZ-14")
	if testing.Short() {
		t.Skip("-short, for the race detector: one goroutine computes much; runs without -short try it")
	}
	for _, c := range []struct {
		depth, trials int
		words         []string
	}{{2, 600, []string{"a", "b", "ab"}}, {2, 500, []string{"wamp", "a"}}, {3, 400, []string{"a", "b"}}} {
		t.Run(fmt.Sprint(c.words, c.depth), func(t *testing.T) {
			u := newUniverse(c.depth, c.words...)
			rng := rand.New(rand.NewPCG(1, 2))
			var exact, pattern, narrowed counts
			for trial := range c.trials {
				slow := u.randomRole(rng, rng.IntN(9))
				u.compare(t, slow, trial%4, &exact, &pattern, &narrowed)
			}
			for _, n := range []counts{exact, pattern} {
				if n.allowed < 1000 || n.denied < 1000 || n.asked < 1000 {
					t.Errorf("too few of a kind: %+v %+v", exact, pattern)
				}
			}
			if narrowed.denied < 300 || narrowed.asked < 300 {
				t.Errorf("too few patterns whose cover allows, but which have obstacles: %+v", narrowed)
			}
		})
	}
}

// compare compares all URIs for one action, and all patterns for Subscribe and Register.
func (u *universe) compare(t *testing.T, slow *slowRole, a int, exact, pattern, narrowed *counts) {
	t.Helper()
	fast := slow.compile(t)
	for _, uri := range u.uris {
		want, got := slow.exact(Action(a), uri), fast.Decide(Action(a), []byte(uri), codec.Exact)
		if want != got {
			t.Fatalf("%v %q: %+v, want %+v\n%v", Action(a), uri, got, want, slow)
		}
		exact.add(got)
	}
	for _, a := range []Action{Subscribe, Register} {
		for i := range u.patterns {
			p := &u.patterns[i]
			match := p.slowMatch()
			if match == codec.Exact {
				continue
			}
			want := slow.pattern(a, p.URI, match, u.matched[i])
			got := fast.Decide(a, []byte(p.URI), match)
			if want != got {
				t.Fatalf("%v %q (%v): %+v, want %+v\n%v", a, p.URI, p.Match, got, want, slow)
			}
			pattern.add(got)
			cover := slow.best(func(q *Permission) bool { return slowCovers(q, p.URI, match) })
			if slow.says(a, cover).Allow {
				narrowed.add(got)
			}
			if !got.Allow {
				continue
			}
			for _, uri := range u.matched[i] { // the promise itself, without the rule about covers
				if !fast.Decide(a, []byte(uri), codec.Exact).Allow && !(a == Register && slowReserved(uri)) {
					t.Fatalf("%v %q (%v) is allowed, but %q is not\n%v", a, p.URI, p.Match, uri, slow)
				}
			}
		}
	}
}

// TestAUZPatternsOfAllPairs tries every pair of rules, one of which allows, against every pattern. AUZ-07.
func TestAUZPatternsOfAllPairs(t *testing.T) {
	t.Attr("checklist", "AUZ-07")
	u := newUniverse(2, "a", "ab")
	all := &Actions{true, true, true, true, false}
	var exact, pattern, narrowed counts
	for i := range u.patterns {
		for j := range u.patterns {
			if i == j {
				continue
			}
			one, other := u.patterns[i], u.patterns[j]
			one.Allow, other.Allow = all, nil // denies, or asks
			slow := &slowRole{RoleDefinition{Name: "r", Dynamic: (i+j)%2 == 0, Permissions: []Permission{one, other}}}
			u.compare(t, slow, int(Subscribe), &exact, &pattern, &narrowed)
		}
	}
	if narrowed.denied < 100 || narrowed.asked < 100 || narrowed.allowed < 100 {
		t.Errorf("too few of a kind: %+v", narrowed)
	}
}
