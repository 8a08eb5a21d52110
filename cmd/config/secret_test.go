//go:build linux

package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestReportsShowNoSecret: whatever is wrong around a secret, and with it, no report has it in an excerpt or a
// message.
func TestReportsShowNoSecret(t *testing.T) {
	const secret = "Zm9yYmlkZGVu"
	user := func(text string) string {
		return "realms: [{ uri: a, auth: { wampcra: {} }, roles: [{ name: r }], users: { " + text + " } }]\n"
	}
	key := `wampcra: { salt: s, key: "` + secret + `" }`
	block := "realms:\n- uri: a\n  users:\n    u:\n      wampcra:\n        key: "
	for _, text := range []string{
		user("u: { rol: r, " + key + " }"),
		user("u: { role: x, " + key + " }"),
		user("u: { role: r, wampcra: { salt: s, kye: " + secret + " } }"),
		user("u: { role: r, wampcra: { salt: s, key: [" + secret + "] } }"),
		user("u: { role: r, wampcra: { salt: s, key: \"" + secret + "!\" } }"),
		user("u: { role: r, wampcra: { salt: s, key: '" + secret + "''' } }"),
		user("u: { role: r, wampcra: { salt: s, key: \"x\\\n  " + secret + "\", y: 1 } }"),
		user("u: { role: r, wampcra: { salt: s, key: x\n  " + secret + ", y: 1 } }"),
		user("u: { role: r, wampcra: { salt: s, key: \"${" + secret + " x\" } }"),
		user("u: { role: r, wampcra: " + secret + " }"),
		user("u: { role: r, wampcra: { <<: " + secret + " } }"),
		user("u: { role: r, wampcra: { <<: [" + secret + "] } }"),
		user("u: { role: r, wampcra: [ " + secret + " ] }"),
		user("u: " + secret),
		user("u: { role: r, wampra: { key: " + secret + " } }"),
		user("u: { role: r, " + key + " }, u: { role: r, " + key + " }"),
		user("u: { role: r, " + key + ", " + key + " }"),
		user("u: { role: r, ? [a] : { key: " + secret + " } }"),
		user("u: { role: r, ticket: { sha256: " + secret + " } }"),
		user("u: { role: r, ticket: { argon2id: " + secret + " } }"),
		// The hash has commas: without quotes its end is a key, and another one that is there twice.
		user("u: { role: r, ticket: { argon2id: $argon2id$v=19$m=8,t=3,p=1$c2FsdA$" + secret + "1Q2w3E } }"),
		user("u: { role: r, ticket: { a,p=1$c2FsdA$" + secret + "1Q2w3E, p=1$c2FsdA$" + secret + "1Q2w3E } }"),
		// A value one step out of its section, or beside a mistyped key.
		user("u: { role: r, ticket: {}, server_key: a1b2c3d4" + secret + " }"),
		user("u: { role: r, ticket: {}, secret: " + secret + " }"),
		user("u: { role: r, ? { server_key: a1b2c3d4" + secret + " } : x }"),
		user("u: { role: r, tcket: a1b2c3d4" + secret + " }"),
		user("u: { role: r, ticket: *a1b2c3d4" + secret + " }"),
		// One stray character, and the file cannot be parsed.
		user("u: { role: r, ticket: { argon2id: \"$argon2id$v=19$m=8,t=3,p=1$c2FsdA$" + secret + "\" } ] }"),
		user("u: { role: r, ticket: { argon2id: $argon2id$v=19$m=8,t=3,p=1$c2FsdA$" + secret + " } ] }"),
		user("u: { role: r, ticket: { sha256: }a1b2c3d4" + secret + " } ] }"),
		user("u: { role: r, ticket: { sha256\n  \"a1b2c3d4" + secret + " } ] }"),
		user("u: { role: r, wampcra: { key; a1b2c3d4" + secret + ": ] } ] }"),
		user("u: { role: r, scram: { stored_key: " + secret + ", server_key: " + secret + " } }"),
		strings.Replace(user("u: { role: r, "+key+" }"), "users", "usrs", 1),
		strings.Replace(user("u: { role: r, "+key+" }"), "realms", "realm", 1),
		"realms: { u: { " + key + " } }",
		"realms: [{ uri: a, users: [{ " + key + " }] }]",
		"[{ " + key + " }]",
		user("u: { role: r, " + key + " ]"),
		user("u: { role: r, wampcra: { secret: " + secret + ", x: y: z } }"),
		block + "|\n          " + secret + "\n        x: 1\n",
		block + "|\n          x\n          " + secret + "\n        x: 1\n",
		block + ">-\n          " + secret + "\n\n          " + secret + "\n        x: 1\n",
		block + secret + "\n         " + secret + "\n        x: 1\n",
		user("u: { role: r, extra: &k " + secret + ", wampcra: { salt: s, key: *k } }"),
		many(1100) + "    u: { x: 1, " + key + " }\n",
		"{" + strings.Repeat("a: 1, ", 999) + "b: 1, realms: [{ users: { u: { " + key + " } } }] }",
	} {
		f, r := parseText(text)
		if report := r.String(); f != nil || r.Errors == 0 || strings.Contains(report, secret) {
			t.Errorf("%.200s:\n%.2000s", text, report)
		}
		for _, p := range r.Problems {
			if strings.Contains(fmt.Sprintf("%+v", p), secret) {
				t.Errorf("%.200s: %+v", text, p)
			}
		}
	}
	over := []Override{
		{Path: "realms.0.users.u.wampcra.key", Value: secret + "!"},
		{Path: "realms.0.users.v", Value: "{ role: x, wampcra: { key: " + secret + " }, y: 1 }"},
	}
	_, r := Load("", nil, over)
	if report := r.String(); r.Errors == 0 || strings.Contains(report, secret) {
		t.Error(report)
	}
}

// TestPublicURL: what is shown of a URL has no query, fragment, name and password.
func TestPublicURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                    "",
		"https://h.example/a/b":               "https://h.example/a/b",
		"https://h.example/@a":                "https://h.example/@a",
		"https://h.example:8443/a%2Fb?code=x": "https://h.example:8443/a%2Fb?***",
		"https://h.example/#x":                "https://h.example/?***",
		"https://joe:pass@h.example/a":        "https://h.example/a",
		"joe:pass@h.example":                  "***",
		"https://joe:p%s@h.example":           "***",
		"localhost:80":                        "localhost:80",
	} {
		if got := PublicURL(url); got != want {
			t.Errorf("%q: %q, want %q", url, got, want)
		}
	}
}

// TestURLsShowNoSecret: neither values, changes nor reports have the query of a URL in them.
func TestURLsShowNoSecret(t *testing.T) {
	const secret = "Zm9yYmlkZGVu"
	text := func(url string) string {
		return "realms: [{ uri: a, auth: { ticket: {}, http: { url: \"" + url + "\" } }, roles: [{ name: r }] }]\n"
	}
	old, _ := parseText(text("http://web.example/in?code=" + secret + "1"))
	f, r := parseText(text("http://web.example/in?code=" + secret + "2"))
	if f == nil || old == nil || len(r.Problems) == 0 { // it is in clear text
		t.Fatal(r)
	}
	changes := Diff(old, f)
	if len(changes) != 1 {
		t.Errorf("%+v", changes)
	}
	shown := fmt.Sprint(f.Show(""), changes, r)
	if strings.Contains(shown, secret) || strings.Count(shown, "http://web.example/in?***") != 3 {
		t.Error(shown)
	}
	for _, url := range []string{"ftp://web.example/in?code=" + secret, "http://joe:" + secret + "@web.example/"} {
		if f, r := parseText(text(url)); f != nil || strings.Contains(r.String(), secret) {
			t.Error(r)
		}
	}
}

// many is a file with more errors than that.
func many(n int) string {
	var b strings.Builder
	b.WriteString("realms:\n- uri: a\n  auth: { wampcra: {} }\n  roles: [{ name: r }]\n  users:\n")
	for i := range n {
		fmt.Fprintf(&b, "    u%d: { rule: r, role: r }\n", i)
	}
	return b.String()
}
