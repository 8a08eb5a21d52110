package policy

import (
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// FuzzDecide compiles the lines of rules, a permission each ("prefix 7 com.a."), and compares the decisions for a URI
// or pattern with those of the twin. The digit holds the actions that are allowed, one bit each; 8 and 9 ask.
func FuzzDecide(f *testing.F) {
	f.Add("prefix 7 com.\nexact 0 com.a\nwildcard 3 .a", "com.a", uint8(1), uint8(0))
	f.Add("prefix 7 com.\nexact 0 com.a\nwildcard 8 com..x", "com.", uint8(1), uint8(1))
	f.Add("wildcard 7 a..\nwildcard 0 a.b.", "a.b.", uint8(2), uint8(2))
	f.Add("wildcard 7 .\nprefix 2 a.b\nprefix 7 ", "a.", uint8(1), uint8(2))
	f.Add(" 7 wamp.*\nprefix 7 w", "wamp.x", uint8(2), uint8(1))
	f.Add("prefix 7 \nexact 7 #", "a.#", uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, rules, uri string, action, match uint8) {
		def := RoleDefinition{Name: "r", Dynamic: strings.ContainsAny(rules, "89")}
		for line := range strings.Lines(rules) {
			kind, line, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			digit, text, ok := strings.Cut(line, " ")
			if !ok || len(digit) != 1 || len(def.Permissions) == 20 {
				continue
			}
			p := Permission{URI: text, Match: kind, Cache: digit[0]&1 != 0}
			if d := digit[0]; d < '8' {
				p.Allow = &Actions{Subscribe: d&1 != 0, Register: d&2 != 0, Call: d&4 != 0, Publish: d&4 != 0}
			}
			def.Permissions = append(def.Permissions, p)
		}
		s, problems := Compile([]RoleDefinition{def}, false)
		if (s == nil) != (problems.Err() != nil) {
			t.Fatalf("%v, %v", s, problems)
		}
		if s == nil {
			return
		}
		fast := s.Role("r")
		slow := &slowRole{def}
		slow.def.Permissions = nil
		for i, p := range def.Permissions {
			if p.Match == "" {
				p.Match = "exact"
				if plain, found := strings.CutSuffix(p.URI, "*"); found {
					p.URI, p.Match = plain, "prefix"
				}
			}
			slow.def.Permissions = append(slow.def.Permissions, p)
			if !codec.ValidURI([]byte(p.URI), p.slowMatch(), false) {
				t.Fatalf("permission %d was accepted: %+v", i, p)
			}
		}
		a, m := Action(action%actionsMany), codec.Match(match%3)
		got := fast.Decide(a, []byte(uri), m)
		if !codec.ValidURI([]byte(uri), m, false) {
			if m != codec.Exact && got != denied {
				t.Fatalf("%q is malformed: %+v", uri, got)
			}
			return
		}
		if m == codec.Exact {
			if want := slow.exact(a, uri); got != want {
				t.Fatalf("%v %q: %+v, want %+v\n%v", a, uri, got, want, slow)
			}
			return
		}
		if !got.Allow {
			return
		}
		// What the pattern matches is too much to list; what the rules and the pattern are made of is tried.
		for _, candidate := range slow.candidates(uri, m) {
			if a == Register && slowReserved(candidate) {
				continue
			}
			if !slow.exact(a, candidate).Allow {
				t.Fatalf("%v %q (%s) is allowed, but %q is not\n%v", a, uri, matchNames[m], candidate, slow)
			}
		}
	})
}

// candidates lists URIs that the pattern matches and that look like the rules.
func (r *slowRole) candidates(pattern string, match codec.Match) (uris []string) {
	for _, p := range append([]Permission{{URI: pattern}}, r.def.Permissions...) {
		for _, fill := range []string{"x", "a"} {
			for _, end := range []string{"", fill, ".x", ".x.x.x.x.x"} {
				mine, its := strings.Split(p.URI+end, "."), strings.Split(pattern, ".")
				for i := range mine {
					if mine[i] == "" && i < len(its) {
						mine[i] = its[i]
					}
					if mine[i] == "" {
						mine[i] = fill
					}
				}
				uri := strings.Join(mine, ".")
				if realmtest.Matches(pattern, match, uri) && codec.ValidURI([]byte(uri), codec.Exact, false) {
					uris = append(uris, uri)
				}
			}
		}
	}
	return uris
}
