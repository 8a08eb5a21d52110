//go:build linux

package config

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
)

// TestAUZ04AUZ05Precedence: an exact entry decides before a wildcard one, that before the longest prefix; of
// wildcards the one that is literal where they first differ (PROTOCOL 11, 3.4).
func TestAUZ04AUZ05Precedence(t *testing.T) {
	role := Role{Permissions: []Permission{
		{URI: "a.b.c", Match: "exact", Allow: []string{"1"}},
		{URI: "a..c", Match: "wildcard", Allow: []string{"2"}},
		{URI: "a..x", Match: "wildcard", Allow: []string{"6"}},
		{URI: "a.b.", Match: "wildcard", Allow: []string{"3"}},
		{URI: "a.b.", Match: "prefix", Allow: []string{"4"}},
		{URI: "a.", Match: "prefix", Allow: []string{"5"}},
		{URI: "*", Allow: []string{"6"}},
		{URI: "x", Allow: nil},
	}}
	for uri, want := range map[string]string{
		"a.b.c": "1", "a.x.c": "2", "a.b.x": "3", "a.y.x": "6",
		"a.b.c.d": "4", "a.x.y": "5", "a.": "5", "b": "6", "x": "", "a": "6",
		"x.y": "6", "ab.c": "6",
	} {
		for action := range strings.SplitSeq("1 2 3 4 5 6", " ") {
			if got := role.may(action, uri); got != (action == want) {
				t.Errorf("%s: %s is %v, want %s to decide", uri, action, got, want)
			}
		}
	}
}

// TestAUZ06Star: a * at the end means a prefix, if match is not there.
func TestAUZ06Star(t *testing.T) {
	for _, c := range []struct {
		p     Permission
		uri   string
		match codec.Match
	}{
		{Permission{URI: "com.a.*"}, "com.a.", codec.Prefix},
		{Permission{URI: "*"}, "", codec.Prefix},
		{Permission{URI: "com.a"}, "com.a", codec.Exact},
		{Permission{URI: "com.a.*", Match: "exact"}, "com.a.*", codec.Exact},
		{Permission{URI: "com.a.*", Match: "prefix"}, "com.a.*", codec.Prefix},
		{Permission{URI: "com..a", Match: "wildcard"}, "com..a", codec.Wildcard},
	} {
		if uri, match := c.p.Meant(); uri != c.uri || match != c.match {
			t.Errorf("%+v: %q %v", c.p, uri, match)
		}
	}
}

// TestUseless: a rule that is called useless may be left out, whatever the URI; tried on random roles and all URIs.
func TestUseless(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letters := []string{"a", "b", ""}
	uris := []string{"a", "b", "ab", "a.a", "a.b", "b.a", "a.a.a", "a.a.b", "a.b.a", "a.b.b", "b.a.b", "b.b", "ba.b"}
	found := 0
	for range 3000 {
		var role Role
		for range 1 + r.IntN(4) {
			p := Permission{Match: []string{"exact", "prefix"}[r.IntN(2)], TrustLevel: -1}
			if r.IntN(3) > 0 {
				p.Allow = []string{[]string{"call", "publish"}[r.IntN(2)]}
			}
			p.URI = letters[r.IntN(2)]
			for range r.IntN(3) {
				p.URI += "." + letters[r.IntN(2)]
			}
			if p.Match == "prefix" && r.IntN(2) == 0 {
				p.URI += "."
			}
			role.Permissions = append(role.Permissions, p)
		}
		ld := (&Loader{}).begin()
		ld.main = &document{masked: map[int][]span{}}
		ld.main.root = emptySection()
		cfg := &Config{}
		cfg.Limits.URIBytesMax = 1024
		(&checker{loading: ld, cfg: cfg}).permissions("p", &Realm{}, &role)
		if ld.r.Errors > 0 {
			continue // twice the same
		}
		for _, p := range ld.r.Problems {
			if !strings.Contains(p.Message, "it changes nothing") {
				t.Fatalf("%+v", p)
			}
			found++
			i := int(p.Path[len(p.Path)-1] - '0')
			less := Role{Permissions: slices.Delete(slices.Clone(role.Permissions), i, i+1)}
			for _, uri := range uris {
				for _, action := range []string{"call", "publish"} {
					if role.may(action, uri) != less.may(action, uri) {
						t.Fatalf("%+v without %d differs for %s %s", role, i, action, uri)
					}
				}
			}
		}
	}
	if found < 500 {
		t.Errorf("only %d found", found)
	}
}

// TestOverlap: the URI that is named matches both.
func TestOverlap(t *testing.T) {
	for _, c := range []struct{ pattern, prefix, want string }{
		{"com..x", "com.foo.", "com.foo.x"},
		{"com..x", "com.fo", "com.fox.x"},
		{"com..x", "com.foo.y", ""},
		{"com..x", "com.foo.x", "com.foo.x"},
		{"com..x", "com.foo.xy", ""},
		{"com..x", "com.foo.x.", ""},
		{"com..x", "org.", ""},
		{"..", "com.foo.", "com.foo.x"},
		{"com..", "com.foo.b", "com.foo.bx"},
		{"a.b.", "a.", "a.b.x"},
		{".a", "", "x.a"},
	} {
		got, ok := overlap(c.pattern, c.prefix)
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s and %s: %q, want %q", c.pattern, c.prefix, got, c.want)
		}
		w := rule{uri: c.pattern, match: codec.Wildcard}
		if ok && (!w.matches(got) || !strings.HasPrefix(got, c.prefix)) {
			t.Errorf("%s does not match %s and %s", got, c.pattern, c.prefix)
		}
	}
}
