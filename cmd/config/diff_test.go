//go:build linux

package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDiff: each change has its path, its old and new value, and whether a reload applies it.
func TestDiff(t *testing.T) {
	const key = `"0fCr7EYY8YwoS0VQMtES7YBGB7DlELfCsFIeOvlTzkc="`
	const old = `
process: { loops: 2 }
listeners:
  - { name: a, address: "127.0.0.1:1" }
  - { address: "127.0.0.1:2", origins: [a.example.org] }
realms:
  - uri: realm1
    auth: { anonymous: {}, wampcra: {}, ticket: {} }
    roles:
      - name: anonymous
        permissions:
          - { uri: com.a, allow: [call] }
          - { uri: com.b.*, allow: [call, publish] }
      - name: service
    users:
      alice: { role: service, wampcra: { salt: s, key: ` + key + ` }, extra: { a: 1 } }
      bob: { role: service, wampcra: { salt: s, key: ` + key + ` } }
  - { uri: realm2, auth: { anonymous: {} }, roles: [{ name: anonymous }] }
`
	const new = `
process: { loops: 4 }
listeners:
  - { address: "127.0.0.1:2", origins: [a.example.org, b.example.org], protocols: [websocket] }
  - { name: a, address: "127.0.0.1:3" }
  - { name: c, address: "127.0.0.1:4" }
limits: { subscriptions_max: 10, patterns_max: 5, depth_max: 65 }
realms:
  - uri: realm3
    auth: { anonymous: {} }
    roles: [{ name: anonymous }]
  - uri: realm1
    auth: { anonymous: {}, wampcra: {}, cookie: { allow_plain: true } }
    roles:
      - name: service
      - name: anonymous
        permissions:
          - { uri: com.b., match: prefix, allow: [call] }
          - { uri: com.a, match: wildcard, allow: [call] }
    users:
      alice: { role: anonymous, wampcra: { salt: s, key: ` + `"aCtxeIoGuHVmsyd50QLzSXZWPgYI9rjZqGZ7ldyNmc4="` + ` },
        extra: { a: 2 } }
      carol: { role: service, wampcra: { salt: s, key: ` + key + ` } }
log: { level: debug, format: text }
`
	want := strings.TrimPrefix(`
restart process.loops: "2" -> "4"
restart listeners[a].address: "127.0.0.1:1" -> "127.0.0.1:3"
restart listeners[127.0.0.1:2].protocols: "websocket, rawsocket" -> "websocket"
live listeners[127.0.0.1:2].origins: "a.example.org" -> "a.example.org, b.example.org"
restart listeners[c]: "" -> "(there)"
restart limits.depth_max: "64" -> "65"
live limits.subscriptions_max: "100000" -> "10"
live limits.patterns_max: "10000" -> "5"
live realms[realm1].auth.ticket: "(there)" -> ""
live realms[realm1].auth.cookie: "" -> "(there)"
live realms[realm1].auth.cookie.allow_plain: "false" -> "true"
live realms[realm1].roles[anonymous].permissions[exact com.a]: "(there)" -> ""
live realms[realm1].roles[anonymous].permissions[prefix com.b.].allow: "call, publish" -> "call"
live realms[realm1].roles[anonymous].permissions[wildcard com.a]: "" -> "(there)"
live realms[realm1].users[alice].role: "service" -> "anonymous"
live realms[realm1].users[alice].wampcra.key: "***" -> "***"
live realms[realm1].users[alice].extra: "{\"a\":1}" -> "{\"a\":2}"
live realms[realm1].users[bob]: "(there)" -> ""
live realms[realm1].users[carol]: "" -> "(there)"
live realms[realm2]: "(there)" -> ""
live realms[realm3]: "" -> "(there)"
live log.level: "info" -> "debug"
restart log.format: "auto" -> "text"
`, "\n")
	a, r := (&Loader{}).Parse("old", ".", []byte(old))
	b, s := (&Loader{}).Parse("new", ".", []byte(new))
	if a == nil || b == nil {
		t.Fatal(r, s)
	}
	var got strings.Builder
	for _, c := range Diff(a, b) {
		when := "restart"
		if c.Live {
			when = "live"
		}
		fmt.Fprintf(&got, "%s %s: %q -> %q\n", when, c.Path, c.Old, c.New)
	}
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(- want, + got):\n%s", d)
	}
	if d := Diff(a, a); len(d) > 0 {
		t.Errorf("it differs from itself: %v", d)
	}
	back := Diff(b, a)
	if len(back) != strings.Count(want, "\n")-1 { // allow_plain of the cookie is gone with it
		t.Errorf("%d changes back, %v", len(back), back)
	}
	if a.Hash == b.Hash || len(a.Hash) != 64 {
		t.Errorf("hashes %s, %s", a.Hash, b.Hash)
	}
}

// TestDiffCertificates: the first certificate is the one for clients that ask for none, so the order counts.
func TestDiffCertificates(t *testing.T) {
	const text = `
listeners:
  - address: 127.0.0.1:1
    tls: { certificates: [{ certificate: tls/good.pem, key: tls/good.key }, { certificate: tls/other.pem,
      key: tls/other.key }] }
`
	t.Chdir(t.TempDir())
	writeCertificates(t, "tls")
	swapped := strings.NewReplacer("good", "other", "other", "good").Replace(text)
	a, r := (&Loader{Now: today}).Parse("a", ".", []byte(text))
	b, s := (&Loader{Now: today}).Parse("b", ".", []byte(swapped))
	if a == nil || b == nil {
		t.Fatal(r, s)
	}
	want := []Change{{
		Path: "listeners[127.0.0.1:1].tls.certificates",
		Old:  "tls/good.pem, tls/other.pem", New: "tls/other.pem, tls/good.pem", Live: true,
	}}
	if d := cmp.Diff(want, Diff(a, b)); d != "" {
		t.Error(d)
	}
}

// TestDiffEntries: entries of every list of sections have something that they are known by.
func TestDiffEntries(t *testing.T) {
	lists := 0
	var look func(o *option)
	look = func(o *option) {
		if o.kind == list && o.item != nil {
			lists++
			identity(o.item.defaults().Interface()) // panics if it does not know them
		}
		for _, c := range o.fields {
			look(c)
		}
		if o.item != nil {
			look(o.item)
		}
	}
	look(root())
	if lists < 5 {
		t.Errorf("%d lists of sections", lists)
	}
}

// TestDiffTopics: a topic whose events may be retained comes and goes, and is known by its URI and match.
func TestDiffTopics(t *testing.T) {
	const text = `
realms:
  - uri: realm1
    auth: { anonymous: {} }
    roles: [{ name: anonymous }]
    retention: { topics: [%s] }
`
	load := func(topics string) *File {
		f, r := (&Loader{Now: today}).Parse("a", ".", fmt.Appendf(nil, text, topics))
		if f == nil {
			t.Fatal(r)
		}
		return f
	}
	old := load("{ uri: com.a }, { uri: com.b, match: prefix }")
	now := load("{ uri: com.b, match: exact }, { uri: com.a }")
	want := []Change{
		{Path: "realms[realm1].retention.topics[prefix com.b]", Old: there, Live: true},
		{Path: "realms[realm1].retention.topics[exact com.b]", New: there, Live: true},
	}
	if d := cmp.Diff(want, Diff(old, now)); d != "" {
		t.Error(d)
	}
}
