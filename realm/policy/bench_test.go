package policy

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
)

// large gives 50 roles; each has 1 000 permissions: 600 exact, 200 prefixes and 200
// wildcards, every tenth of which denies.
func large(t testing.TB) *Snapshot {
	t.Helper()
	definitions := make([]RoleDefinition, 50)
	for i := range definitions {
		def := &definitions[i]
		def.Name = fmt.Sprint("role", i)
		for j := range 1000 {
			p := Permission{URI: fmt.Sprintf("com.example.service%d.get", j), Match: "exact", Allow: allowAll}
			switch j % 5 {
			case 3:
				p.URI, p.Match = fmt.Sprintf("com.example.service%d.", j), "prefix"
			case 4:
				p.URI, p.Match = fmt.Sprintf("com.example..service%d", j), "wildcard"
			}
			if j/5%10 == 9 {
				p.Allow = allowNone
			}
			def.Permissions = append(def.Permissions, p)
		}
	}
	s, problems := Compile(definitions, false)
	if s == nil {
		t.Fatal(problems.Err())
	}
	return s
}

var benchRequests = []struct {
	name  string
	a     Action
	uri   string
	match codec.Match
	allow bool
}{
	{"exact", Call, "com.example.service500.get", codec.Exact, true},
	{"wildcard", Publish, "com.example.any.service504", codec.Exact, true},
	{"prefix", Publish, "com.example.service503.some.topic", codec.Exact, true},
	{"none", Publish, "org.example.other.topic", codec.Exact, false},
	{"prefix-pattern", Subscribe, "com.example.service503.some.", codec.Prefix, true},
	{"wildcard-pattern", Subscribe, "com.example..service504", codec.Wildcard, true},
	{"denied-pattern", Subscribe, "com.example.", codec.Prefix, false},
}

// TestDecideAllocates nothing, for any kind of request, among 50 roles of 1 000 permissions.
func TestDecideAllocates(t *testing.T) {
	s := large(t)
	for _, c := range benchRequests {
		uri := []byte(c.uri)
		if got := s.Decide("role42", c.a, uri, c.match).Allow; got != c.allow {
			t.Errorf("%s: %v", c.name, got)
		}
		if n := testing.AllocsPerRun(100, func() { s.Decide("role42", c.a, uri, c.match) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
	long := []byte("com.example." + strings.Repeat("long.", 180) + "x")
	if n := testing.AllocsPerRun(100, func() { s.Decide("role42", Call, long, codec.Exact) }); n != 0 {
		t.Errorf("a long URI: %v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	s := large(b)
	for _, c := range benchRequests {
		b.Run("rules=1000/roles=50/kind="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			uri := []byte(c.uri)
			for b.Loop() {
				s.Decide("role42", c.a, uri, c.match)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		large(b)
	}
}
