//go:build linux

package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestHashes: check warns if the tickets that are hashed at a time take more than the budget: of the most expensive
// one, once, whatever realm it is in. The memory of the method wamp-scram is the client's.
func TestHashes(t *testing.T) {
	const rest = ",t=1,p=1$c29tZXNhbHQ$c29tZWhhc2hzb21laGFzaHNvbWVoYXNoc29tZWhhc2g"
	text := func(budget string, kib ...int) string {
		users := "s: { role: r, scram: { kdf: argon2id13, salt: c2FsdA==, iterations: 1, memory: 1048576, " +
			"stored_key: " + strings.Repeat("A", 43) + "=, server_key: " + strings.Repeat("A", 43) + "= } }"
		for i, n := range kib {
			users += fmt.Sprintf(", u%d: { role: r, ticket: { argon2id: '$argon2id$v=19$m=%d%s' } }", i, n, rest)
		}
		one := "auth: { ticket: { allow_plain: true }, wamp-scram: {} }, roles: [{ name: r }], "
		return budget + "realms:\n  - { uri: a, " + one + "users: { t: { role: r, ticket: { sha256: " +
			strings.Repeat("ab", 32) + " } } } }\ntemplates:\n  - { uri: b., match: prefix, " + one + "users: { " +
			users + " } }\n"
	}
	const mib128 = "budget: { bytes: 128MiB }\n"
	for _, c := range []struct {
		text string
		cpus int
		want string // the user that is named
	}{
		{text(mib128, 65536), 4, ""},
		{text(mib128, 65537), 4, "templates.0.users.u0.ticket.argon2id: to hash this ticket takes 65537KiB, and " +
			"with 4 CPUs 2 logins at a time: 131074KiB, which is more than budget.bytes 128MiB"},
		{text(mib128, 131072), 3, ""},
		{text(mib128, 131073), 3, "templates.0.users.u0."},
		{text(mib128, 131073), 1, "templates.0.users.u0."},
		{text(mib128, 8, 80000, 90000, 90000, 90000, 90000, 90000, 90000, 90000, 70000), 4, "templates.0.users.u2."},
		{text(mib128, 8, 80000, 90000, 90000, 90000, 90000, 90000, 90000, 90000, 70000), 4, "templates.0.users.u2."},
		{text(mib128, 8, 80000, 90000, 90000, 90000, 90000, 90000, 90000, 90000, 70000), 4, "templates.0.users.u2."},
		{text(mib128), 64, ""},
		{text("", 1048576), 64, ""},
	} {
		l := Loader{Now: today, FilesMax: 1 << 20, CPUs: c.cpus}
		_, r := l.Parse("f", ".", []byte(c.text))
		report := r.String()
		if n := strings.Count(report, "to hash this ticket"); n != 0 && c.want == "" || n != 1 && c.want != "" ||
			!strings.Contains(report, c.want) || r.Errors > 0 {
			t.Errorf("%s, want %q", report, c.want)
		}
	}
}

// TestAuthidPrefix: a prefix that a user of the realm has keeps no token from naming that user, and says so; one that
// is too long for an authid, or holds what none may hold, is refused.
func TestAuthidPrefix(t *testing.T) {
	for _, c := range []struct{ prefix, want string }{
		{`""`, ""},
		{`"jwt:"`, ""},
		{`"ann"`, `authid_prefix: the authid of the user "anna" begins with it too`},
		{`"a"`, `the user "anna"`},
		{`"anna1"`, ""},
		{`"` + strings.Repeat("x", 128) + `"`, ""},
		{`"` + strings.Repeat("x", 129) + `"`, "error: realms.0.auth.ticket.jwt.authid_prefix: the beginning of " +
			"an authid has at most 128 bytes"},
		{`"a\x01"`, "no control characters"},
	} {
		l := Loader{Now: today, FilesMax: 1 << 20}
		_, r := l.Parse("f", ".", []byte(`realms: [{ uri: a, roles: [{ name: r }], auth: { ticket: { jwt: { role: r,
  keys_url: "https://localhost/k", issuer: i, audience: a, authid_prefix: `+c.prefix+` } } }, users: {
  annb: { role: r, ticket: { sha256: `+strings.Repeat("ab", 32)+` } },
  anna: { role: r, ticket: { sha256: `+strings.Repeat("ab", 32)+` } } } }]`))
		if report := r.String(); report != "" && c.want == "" || !strings.Contains(report, c.want) {
			t.Errorf("%s: %s, want %q", c.prefix, report, c.want)
		}
	}
}

// TestNumbersSayWhatIsAllowed: a text that is no number says what may stand there, in a line of its length.
func TestNumbersSayWhatIsAllowed(t *testing.T) {
	long := strings.Repeat("9", 400)
	for _, c := range []struct{ option, value, want string }{
		{"limits.hello_timeout", "1e300", `expected a time like 500ms, 10s or 2m from 1ms to 24h, got "1e300"`},
		{"limits.hello_timeout", ".inf", `from 1ms to 24h, got ".inf"`},
		{"limits.hello_timeout", long + "h", `from 1ms to 24h, got "` + long[:quotedMax] + `"…`},
		{"keepalive.ping_interval", "1e300s", "from 1ms to 24h, or 0 (never), got"},
		{"keepalive.ping_timeout", "1e300s", "from 1ms to 24h, or auto, got"},
		{"limits.calls_max", "1e300", `expected a whole number of at least 1, got "1e300"`},
		{"limits.calls_max", long, `of at least 1, got "` + long[:quotedMax] + `"…`},
		{"limits.message_bytes_max", "1e300", `such as 64KiB or 1MiB, from 512B to 16MiB, got "1e300"`},
	} {
		l := Loader{Now: today, FilesMax: 1 << 20, Overrides: []Override{{Path: c.option, Value: c.value}}}
		_, r := l.Parse("f", ".",
			[]byte("realms: [{ uri: a, auth: { anonymous: {} }, roles: [{ name: anonymous }] }]"))
		if p := r.Problems; len(p) == 0 || !strings.Contains(p[0].Message, c.want) || len(p[0].Message) > 250 {
			t.Errorf("%s %.20s: %s, want %q", c.option, c.value, r, c.want)
		}
	}
}
