//go:build linux

package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// withRealm is a file with one realm that has more in it.
func withRealm(more string) string {
	return "realms:\n  - uri: a\n    auth: { anonymous: {} }\n    roles: [{ name: anonymous }]\n" + more
}

// parseText reads a text without files around it.
func parseText(text string) (*File, *Report) {
	return (&Loader{Now: today}).Parse("f", ".", []byte(text))
}

// only is the one problem of a report.
func only(t *testing.T, r *Report) Problem {
	t.Helper()
	if len(r.Problems) != 1 {
		t.Fatalf("%d problems:\n%s", len(r.Problems), r)
	}
	return r.Problems[0]
}

// TestFileBounds tries the bounds of a file at n and n+1.
func TestFileBounds(t *testing.T) {
	fill := func(n int) string { return "version: 1\n#" + strings.Repeat("x", n-12) }
	if f, r := parseText(fill(fileBytesMax)); f == nil {
		t.Error(r)
	}
	f, r := parseText(fill(fileBytesMax + 1))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "at most 8MiB") {
		t.Errorf("%+v", p)
	}
	t.Chdir(t.TempDir())
	write(t, "n", []byte(fill(fileBytesMax)), 0o600)
	write(t, "n1", []byte(fill(fileBytesMax+1)), 0o600)
	if f, r := Load("n", nil, nil); f == nil {
		t.Error(r)
	}
	f, r = Load("n1", nil, nil)
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "longer than 8MiB") {
		t.Errorf("%+v", p)
	}
	many := func(n int) string { return "# " + strings.Repeat(",", n-1) + "\nversion: 1\n" }
	if f, r := parseText(many(partsMax)); f == nil {
		t.Error(r)
	}
	f, r = parseText(many(partsMax + 1))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "more than 1000000 values") {
		t.Errorf("%+v", p)
	}
}

// TestTextBounds tries the bound of one text at n and n+1, from the file and from outside.
func TestTextBounds(t *testing.T) {
	text := func(n int) string { return "process: { agent: " + strings.Repeat("x", n) + " }" }
	if f, r := parseText(text(textBytesMax)); f == nil {
		t.Error(r)
	}
	f, r := parseText(text(textBytesMax + 1))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "65537 bytes; at most 65536") {
		t.Errorf("%+v", p)
	}
}

// TestEntriesBounds tries the bound of a list at n and n+1.
func TestEntriesBounds(t *testing.T) {
	list := func(n int) string {
		var b strings.Builder
		b.WriteString("listeners:\n")
		for i := range n {
			fmt.Fprintf(&b, "- { address: \"127.0.0.1:%d\" }\n", 1000+i)
		}
		return b.String()
	}
	if f, r := parseText(list(64)); f == nil {
		t.Error(r)
	}
	f, r := parseText(list(65))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "65 entries; at most 64") {
		t.Errorf("%+v", p)
	}
}

// withExtra is a file up to the extra of a user.
const withExtra = "realms: [{ uri: a, auth: { ticket: {} }, roles: [{ name: r }], users: { u: { role: r, extra: "

// TestUsersFilesBound tries how many users files there may be, at n and n+1.
func TestUsersFilesBound(t *testing.T) {
	realms := func(n int) string {
		var b strings.Builder
		b.WriteString("realms:\n")
		for i := range n {
			fmt.Fprintf(&b, "- { uri: r%d, auth: { anonymous: {} }, roles: [{ name: anonymous }], ", i)
			b.WriteString("users_file: u }\n")
		}
		return b.String()
	}
	reads := 0
	l := Loader{read: func(string, int64) ([]byte, fs.FileInfo, error) { reads++; return nil, nil, nil }}
	if f, r := l.Parse("f", ".", []byte(realms(usersFilesMax))); f == nil || reads != usersFilesMax {
		t.Errorf("%d reads: %.500s", reads, r)
	}
	f, r := l.Parse("f", ".", []byte(realms(usersFilesMax+2)))
	if p := only(t, r); f != nil || reads != 2*usersFilesMax || p.Message != "there are more than 1000 users files" {
		t.Errorf("%+v, %d reads", p, reads)
	}
}

// TestAliasBombs: a small text that means a large one is refused, quickly and without the memory for it.
func TestAliasBombs(t *testing.T) {
	var b strings.Builder
	b.WriteString("x0: &x0 { a: b }\n")
	for i := range 12 {
		fmt.Fprintf(&b, "x%d: &x%d [%s*x%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d, ", i), 9), i)
	}
	bomb := b.String()
	for name, text := range map[string]string{
		"extra": withExtra + "{ a: *x12 } } } }]",
		"merge": "log: { <<: [*m, *m] }",
		"lists": "realms: *x12",
	} {
		if name == "merge" {
			bomb = mergeBomb()
		}
		f, r := parseText(bomb + text)
		if f != nil || r.Errors == 0 {
			t.Errorf("%s: it is read", name)
		}
		if name == "extra" && !strings.Contains(r.String(), "with all aliases the file has more than") {
			t.Errorf("%s: %s", name, r)
		}
		bomb = b.String()
	}
	for _, text := range []string{
		"x: &x [*x]\nrealms: *x", "x: &x { <<: *x }\nlog: *x", "log: &x { level: *x }",
		withExtra + "&e { a: *e } } } }]",
	} {
		if f, r := parseText(text); f != nil || r.Errors == 0 {
			t.Errorf("%s is read", text)
		}
	}
}

// mergeBomb has 10 to the power of 12 keys, if every << were followed.
func mergeBomb() string {
	var b strings.Builder
	b.WriteString("x0: &m0 { a: b }\n")
	for i := range 6 {
		fmt.Fprintf(&b, "x%d: &m%d { <<: [%s*m%d] }\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*m%d, ", i), 99), i)
	}
	return b.String() + "y: &m { <<: *m6 }\n"
}

// TestAliasDepth tries how deep authextra and << may nest, at n and n+1.
func TestAliasDepth(t *testing.T) {
	extra := func(n int) string {
		ticket := "ticket: { sha256: \"" + strings.Repeat("ab", 32) + "\" }, extra: "
		return strings.Replace(withExtra, "extra: ", ticket, 1) +
			strings.Repeat("{ a: ", n) + "1" + strings.Repeat(" }", n) + " } } }]"
	}
	if f, r := parseText(extra(freeDepthMax)); f == nil {
		t.Error(r)
	}
	f, r := parseText(extra(freeDepthMax + 1))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "deeper than 16") {
		t.Errorf("%+v", p)
	}
	merge := func(n int) string {
		var b strings.Builder
		b.WriteString("log: { <<: ")
		for range n - 1 {
			b.WriteString("{ <<: ")
		}
		return b.String() + "{ level: debug }" + strings.Repeat(" }", n)
	}
	if f, r := parseText(merge(mergeDepthMax)); f == nil || f.Log.Level != "debug" {
		t.Error(r)
	}
	f, r = parseText(merge(mergeDepthMax + 1))
	if p := only(t, r); f != nil || !strings.Contains(p.Message, "more than 8 <<") {
		t.Errorf("%+v", p)
	}
}

// TestMerge: keys of their own stand above those of <<.
func TestMerge(t *testing.T) {
	f, r := parseText(`
listeners:
  - &a { address: "127.0.0.1:1", origins: [a.example.org], anonymous: none }
  - { <<: *a, address: "127.0.0.1:2" }
  - { address: "127.0.0.1:3", <<: [*a, { origins: [b.example.org], name: c }] }
`)
	if f == nil {
		t.Fatal(r)
	}
	for i, l := range f.Listeners {
		if l.Address != fmt.Sprintf("127.0.0.1:%d", i+1) || l.Anonymous != "none" || l.Origins[0] != "a.example.org" {
			t.Errorf("%+v", l)
		}
	}
	if f.Listeners[2].Name != "c" {
		t.Errorf("%+v", f.Listeners[2])
	}
}

// TestOverrideOfAlias: a value from outside changes one entry, not the others that share its text.
func TestOverrideOfAlias(t *testing.T) {
	l := Loader{Env: []string{"BANYAN_LISTENERS_1_FILE_MODE=0600"}, Overrides: []Override{
		{Path: "listeners.2.file.mode", Value: "0640"},
		{Path: "listeners.3.address", Value: "127.0.0.1:9"},
		{Path: "realms.0.auth.wamp-scram", Value: "{}"},
		{Path: "realms.0.auth.scram", Value: "{}"},
	}}
	f, r := l.Parse("f", ".", []byte(`
listeners:
  - { address: "unix:/a", file: &f { mode: "0666" } }
  - { address: "unix:/b", file: *f }
  - { address: "unix:/c", file: *f }
`))
	if f == nil {
		t.Fatal(r)
	}
	for i, want := range []string{"0666", "0600", "0640"} {
		if got := f.Listeners[i].File.Mode; got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
	if f.Listeners[3].Address != "127.0.0.1:9" || f.Realms[0].Auth.WAMPSCRAM == nil || f.Realms[0].Auth.SCRAM == nil {
		t.Errorf("%+v", f.Listeners[3])
	}
}

// TestPrecedence: the command line stands above the environment, that above the file, that above the default.
func TestPrecedence(t *testing.T) {
	file, env := "log: { level: warn }", []string{"BANYAN_LOG_LEVEL=error", "LEVEL=debug"}
	set := []Override{{Path: "log.level", Value: "debug"}}
	for _, c := range []struct {
		text string
		l    Loader
		want string
	}{
		{"", Loader{}, "info"},
		{file, Loader{}, "warn"},
		{file, Loader{Env: env}, "error"},
		{"", Loader{Env: env}, "error"},
		{file, Loader{Env: env, Overrides: set}, "debug"},
		{"log: { level: \"${LEVEL}\" }", Loader{Env: env[1:]}, "debug"},
		{`{"log": {"level": "warn"}}`, Loader{}, "warn"},
	} {
		f, r := c.l.Parse("f", ".", []byte(c.text))
		if f == nil {
			t.Error(r)
		} else if f.Log.Level != c.want {
			t.Errorf("%s %v: %s, want %s", c.text, c.l, f.Log.Level, c.want)
		}
	}
}

// TestVariablesStayValues: what a variable holds cannot change the form of the file, or be expanded again.
func TestVariablesStayValues(t *testing.T) {
	l := Loader{Env: []string{"A=x, level: debug }\nversion: 2", "B=${A}"}}
	f, r := l.Parse("f", ".", []byte("process: { agent: \"${B}\" }\n"))
	if f == nil || f.Process.Agent != "${A}" || f.Log.Level != "info" {
		t.Error(f, r)
	}
	_, r = l.Parse("f", ".", []byte("log: { level: \"${A}\" }\n"))
	if p := only(t, r); p.Path != "log.level" {
		t.Errorf("%+v", p)
	}
}

// TestServiceVariables: what Kubernetes sets for a service called banyan is no override, and no error.
func TestServiceVariables(t *testing.T) {
	env := []string{
		"BANYAN_SERVICE_HOST=10.0.0.1", "BANYAN_SERVICE_PORT=8080", "BANYAN_SERVICE_PORT_WAMP=8080",
		"BANYAN_PORT=tcp://10.0.0.1:8080", "BANYAN_PORT_8080_TCP=tcp://10.0.0.1:8080",
		"BANYAN_PORT_8080_TCP_PROTO=tcp",
		"BANYAN_PORT_8080_TCP_PORT=8080", "BANYAN_PORT_8080_TCP_ADDR=10.0.0.1", "BANYAN_ADMIN_SERVICE_HOST=10.0.0.2",
		"BANYAN_CONFIG=banyan.yaml", "BANYAN_URL=ws://x", "NOT_BANYAN_X=1", "BANYAN=1",
	}
	if f, r := Load("", env, nil); f == nil || len(r.Problems) > 0 {
		t.Error(r)
	}
	// A variable that the file asks for may have any name.
	l := Loader{Env: []string{"BANYAN_NAME=x"}}
	if f, r := l.Parse("f", ".", []byte("process: { agent: \"${BANYAN_NAME}\" }")); f == nil {
		t.Error(r)
	}
}

// TestProblemsAreBounded: 1 000 are kept, 100 shown, the rest is counted, and an error is not lost behind warnings.
func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("realms:\n- uri: a\n  auth: { anonymous: {}, ticket: {} }\n" +
		"  roles: [{ name: anonymous }]\n  users:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "    u%d: { role: anonymous }\n", i) // a warning each
	}
	warnings := b.String()
	f, r := parseText(warnings)
	if f == nil || len(r.Problems) != problemsMax || r.Warnings != 5000 || r.Omitted != 4000 {
		t.Fatalf("%d problems, %d warnings, %d omitted", len(r.Problems), r.Warnings, r.Omitted)
	}
	text := r.String()
	if n := strings.Count(text, "warning: "); n != problemsShown ||
		!strings.HasSuffix(text, "… and 4900 more problems\n0 errors, 5000 warnings\n") {
		t.Errorf("%d shown: …%s", n, text[len(text)-200:])
	}
	f, r = parseText(warnings + "    zz: { role: nobody }\n")
	if f != nil || r.Errors != 1 || !strings.Contains(r.String(), `no role "nobody"`) {
		t.Errorf("the error is lost: %.500s", r)
	}
	wrong := strings.ReplaceAll(warnings, "role: anonymous }", "rule: anonymous }")
	if f, r := parseText(wrong); f != nil || len(r.Problems) != problemsMax || r.Errors != 10_000 {
		t.Errorf("%d problems", len(r.Problems))
	}
}

// TestReportJSON: the report as data.
func TestReportJSON(t *testing.T) {
	_, r := parseText("log:\n  lvel: debug\n")
	text, err := json.Marshal(r)
	want := `{"problems":[{"severity":"error","file":"f","line":2,"column":3,"path":"log.lvel",` +
		`"message":"unknown key","hint":"did you mean \"level\"?","excerpt":"  lvel: debug","caret":2}],` +
		`"errors":1,"warnings":0}`
	var b strings.Builder
	if n, err := r.WriteTo(&b); err != nil || int(n) != b.Len() || b.String() != r.String() {
		t.Errorf("%q: %v", b.String(), err)
	}
	if err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
	if r.Err() == nil || r.Err().Error() != "the configuration has 1 error, 0 warnings" {
		t.Error(r.Err())
	}
}

// TestReportsAreHarmless: what a terminal might act on does not reach it.
func TestReportsAreHarmless(t *testing.T) {
	for _, text := range []string{
		"\"\\e[31mred\": 1", "log: { level: \"\\e]0;x\\a\" }", "log: { level: \"\\u202e\", x\u0085: 1 }", "\u202e: 1",
		"realms: [{ uri: \"\\e[2J\", auth: { anonymous: {} }, roles: [{ name: \"\\e[2J\" }] }]",
	} {
		f, r := parseText(text)
		report := r.String()
		if f != nil || strings.ContainsFunc(report, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }) {
			t.Errorf("%q: %q", text, report)
		}
	}
}

// TestFilesThatAreNone: a pipe or device is not waited for.
func TestFilesThatAreNone(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"missing": "no such file", "pipe": "no regular file", ".": "a folder", "/dev/zero": "no regular file",
	} {
		f, r := Load(path, nil, nil)
		if p := only(t, r); f != nil || !strings.Contains(p.Message, want) {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// TestPaths: a path is relative to the file that it stands in; from outside, to the folder of the program.
func TestPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "etc/banyan.yaml", []byte("process: { data_dir: data, control_socket: ../c.sock }\n"+
		"realms: [{ uri: a, auth: { ticket: {} }, roles: [{ name: r }], users_file: users/u.yaml }]\n"), 0o600)
	write(t, "etc/users/u.yaml", []byte("a: { role: r, ticket: { file: secret } }\n"), 0o600)
	write(t, "etc/users/secret", []byte("s"), 0o600)
	f, r := Load("etc/banyan.yaml", nil, nil)
	if f == nil {
		t.Fatal(r)
	}
	if f.Process.DataDir != "etc/data" || f.Process.Socket() != "c.sock" ||
		f.Realms[0].Users["a"].Ticket.File != "etc/users/secret" || len(f.Sources) != 3 {
		t.Errorf("%+v %+v %v", f.Process, f.Realms[0].Users["a"].Ticket, f.Sources)
	}
	f, r = Load("etc/banyan.yaml", []string{"BANYAN_PROCESS_DATA_DIR=data"}, []Override{
		{Path: "process.control_socket", Value: ""},
	})
	if f == nil || f.Process.DataDir != "data" || f.Process.Socket() != "data/control.sock" {
		t.Error(f, r)
	}
}

// TestAnonymousUnreadable: a file that may not be read is told.
func TestUnreadable(t *testing.T) {
	l := Loader{read: func(path string, _ int64) ([]byte, fs.FileInfo, error) {
		return nil, nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}
	}}
	_, r := l.Load("banyan.yaml")
	if p := only(t, r); p.Message != "permission denied" || p.File != "banyan.yaml" {
		t.Errorf("%+v", p)
	}
	if got := reason(errors.New("x")); got != "x" {
		t.Error(got)
	}
}

// manyUsers is a users file as banyan passwd writes it.
func manyUsers(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user%d: { role: r, scram: { kdf: argon2id13, salt: \"MTIzNDU2Nzg5MDEyMzQ1Ng==\", "+
			"iterations: 3, memory: 65536,\n  stored_key: \"0fCr7EYY8YwoS0VQMtES7YBGB7DlELfCsFIeOvlTzkc=\", "+
			"server_key: \"0fCr7EYY8YwoS0VQMtES7YBGB7DlELfCsFIeOvlTzkc=\" } }\n", i)
	}
	return []byte(b.String())
}

const manyText = "realms: [{ uri: a, auth: { wamp-scram: {} }, roles: [{ name: r }], users_file: users.yaml }]\n"

// TestManyUsers: 10 000 users are read, and keep less than 10 MB.
func TestManyUsers(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "banyan.yaml", []byte(manyText), 0o600)
	write(t, "users.yaml", manyUsers(10_000), 0o600)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	f, r := Load("banyan.yaml", nil, nil)
	took := time.Since(begin)
	if f == nil || len(r.Problems) > 0 || len(f.Realms[0].Users) != 10_000 {
		t.Fatal(r)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("read in %v, %d KiB kept", took, kept>>10)
	if kept > 10_000_000 {
		t.Errorf("%d bytes are kept", kept)
	}
	runtime.KeepAlive(f)
}

// TestManyUsersInOneLine: the same as one line of JSON, with an error for each user. Excerpts are parts of the line.
func TestManyUsersInOneLine(t *testing.T) {
	text := string(manyUsers(10_000))
	text = strings.NewReplacer("\n ", "", "\n", ", ", "role: r", "role: x").Replace(text)
	t.Chdir(t.TempDir())
	write(t, "banyan.yaml", []byte(manyText), 0o600)
	write(t, "users.yaml", []byte("{ "+strings.TrimSuffix(text, ", ")+" }"), 0o600)
	f, r := Load("banyan.yaml", nil, nil)
	if f != nil || r.Errors != 10_000 || len(r.Problems) != problemsMax {
		t.Fatalf("%d errors: %.1000s", r.Errors, r)
	}
	if strings.Contains(r.String(), "0fCr7E") {
		t.Error("a key is shown")
	}
}

// BenchmarkManyUsers reads 10 000 users.
func BenchmarkManyUsers(b *testing.B) {
	b.Chdir(b.TempDir())
	write(b, "banyan.yaml", []byte(manyText), 0o600)
	write(b, "users.yaml", manyUsers(10_000), 0o600)
	b.ReportAllocs()
	for b.Loop() {
		if f, r := Load("banyan.yaml", nil, nil); f == nil {
			b.Fatal(r)
		}
	}
}

// emptySection is a section with nothing in it.
func emptySection() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

// TestTexts: what was read has the name that it has on disk, until a file changes.
func TestTexts(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "banyan.yaml", []byte(withRealm("    users_file: users.yaml\n")+"  - { uri: b, "+
		"auth: { anonymous: {} }, roles: [{ name: anonymous }], users_file: users.yaml }\n"), 0o600)
	write(t, "users.yaml", []byte("a: { role: anonymous }"), 0o600)
	f, r := Load("banyan.yaml", nil, nil)
	if f == nil {
		t.Fatal(r)
	}
	if len(f.Sources) != 2 || Texts(f.Sources) != f.Texts {
		t.Fatalf("%q: %s, then %s", f.Sources, f.Texts, Texts(f.Sources))
	}
	for _, name := range f.Sources {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, name, append(text, '\n'), 0o600)
		if Texts(f.Sources) == f.Texts {
			t.Errorf("a change of %s is not seen", name)
		}
		write(t, name, text, 0o600)
		if Texts(f.Sources) != f.Texts {
			t.Errorf("%s is as before and has another name", name)
		}
	}
	if err := os.Remove("users.yaml"); err != nil {
		t.Fatal(err)
	}
	if Texts(f.Sources) == f.Texts {
		t.Error("a file that is gone is not seen")
	}
}

// TestSecretsAreSources: files with secrets count among the texts, each once, wherever they are named.
func TestSecretsAreSources(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "etc/banyan.yaml", []byte(`
realms:
  - uri: a
    auth:
      ticket: {}
      wampcra: {}
      scram: {}
      cryptosign: { router_key_file: router }
      http: { url: "http://127.0.0.1:1/", methods: [scram], secret_file: bearer }
    roles: [{ name: r }]
    users_file: users.yaml
    users:
      b: { role: r, ticket: { file: ticket } }
      c: { role: r, wampcra: { secret_file: cra } }
`), 0o600)
	write(t, "etc/users.yaml", []byte("d: { role: r, ticket: { file: ticket } }\n"+
		"e: { role: r, ticket: { file: other } }"), 0o600)
	secrets := []string{"router", "bearer", "ticket", "cra", "other"}
	for _, name := range secrets {
		write(t, "etc/"+name, []byte(strings.Repeat("0a", 32)), 0o600)
	}
	f, r := Load("etc/banyan.yaml", nil, nil)
	if f == nil {
		t.Fatal(r)
	}
	if len(f.Sources) != 2+len(secrets) || Texts(f.Sources) != f.Texts {
		t.Fatalf("%q: %s, then %s", f.Sources, f.Texts, Texts(f.Sources))
	}
	for _, name := range secrets {
		write(t, "etc/"+name, []byte(strings.Repeat("0b", 32)), 0o600)
		if Texts(f.Sources) == f.Texts {
			t.Errorf("a change of %s is not seen", name)
		}
		changed, r := Load("etc/banyan.yaml", nil, nil)
		if changed == nil {
			t.Fatal(r)
		}
		// The ticket is that of two users.
		if all := Diff(f, changed); len(all) != map[bool]int{false: 1, true: 2}[name == "ticket"] || !all[0].Live ||
			all[0].New != "etc/"+name+" with other content" {
			t.Errorf("%s: %+v", name, all)
		}
		write(t, "etc/"+name, []byte(strings.Repeat("0a", 32)), 0o600)
	}
}

// TestSecretsWatched tries how many files with secrets are looked at, at n and n+1.
func TestSecretsWatched(t *testing.T) {
	l := Loader{read: func(string, int64) ([]byte, fs.FileInfo, error) { return []byte("a secret text"), nil, nil }}
	for _, c := range []struct {
		files, sources int
		watch          string
		warned         bool
	}{
		{secretsWatched, 1 + secretsWatched, "1s", false},
		{secretsWatched + 1, 1 + secretsWatched, "1s", true},
		{secretsWatched + 1, 1 + secretsWatched, "0", false},
	} {
		var b strings.Builder
		fmt.Fprintf(&b, "process: { watch: %s }\nrealms:\n- uri: a\n  auth: { ticket: { allow_plain: true } }\n"+
			"  roles: [{ name: r }]\n  users:\n", c.watch)
		for i := range c.files {
			fmt.Fprintf(&b, "    u%d: { role: r, ticket: { file: f%d } }\n", i, i)
		}
		f, r := l.Parse("f", ".", []byte(b.String()))
		if f == nil {
			t.Fatal(r)
		}
		warned := slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Path == "process.watch" })
		if len(f.Sources) != c.sources || warned != c.warned {
			t.Errorf("%d files: %d sources; %s", c.files, len(f.Sources), r)
		}
	}
}

// TestSamePaths: two paths of sockets that are one are found, however they are written.
func TestSamePaths(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	const twice, control = "is also listeners.0", "the control socket has this path"
	for _, c := range []struct{ text, want string }{
		{"listeners: [{ address: 'unix:a' }, { address: 'unix:./a' }]", twice},
		{"listeners: [{ address: 'unix:a' }, { address: 'unix:" + dir + "/b/../a' }]", twice},
		{"listeners: [{ address: 'unix:a' }, { address: 'unix:b' }]", ""},
		{"listeners: [{ address: 'unix:@a' }, { address: 'unix:./@a' }]", ""},
		{"listeners: [{ address: 'unix:@a' }, { address: 'unix:a' }]", ""},
		{"listeners: [{ address: 'unix:@a' }, { address: 'unix:@a' }]", twice},
		{"{ listeners: [{ address: 'unix:" + dir + "/c' }], process: { control_socket: ./c } }", control},
		{"{ listeners: [{ address: 'unix:./d/control.sock' }], process: { data_dir: d } }", control},
		{"{ listeners: [{ address: 'unix:./d/c.sock' }], process: { data_dir: d } }", ""},
	} {
		_, r := parseText(c.text)
		if c.want == "" && r.Errors > 0 || c.want != "" && !strings.Contains(r.String(), c.want) {
			t.Errorf("%s: %s", c.text, r)
		}
	}
}
