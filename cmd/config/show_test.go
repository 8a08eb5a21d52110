//go:build linux

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// loadArchive loads banyan.yaml of an archive of testdata, which has to be good, in a folder of its own.
func loadArchive(t *testing.T, name string, env []string) *File {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, f := range archive.Files {
		write(t, f.Name, f.Data, 0o600)
	}
	writeCertificates(t, "tls")
	f, r := (&Loader{Env: env, Now: today}).Load("banyan.yaml")
	if f == nil {
		t.Fatal(r)
	}
	return f
}

// TestExample: it loads without a problem and says what is built in.
func TestExample(t *testing.T) {
	f, r := (&Loader{}).Parse("banyan.yaml", ".", []byte(Example()))
	if f == nil || len(r.Problems) > 0 {
		t.Fatal(r)
	}
	built, _ := Load("", nil, nil)
	if d := Diff(built, f); len(d) > 0 {
		t.Errorf("it differs from what is built in: %v", d)
	}
	shown := map[string]bool{}
	for _, v := range f.Values("") {
		shown[v.Path] = v.Origin.File != ""
	}
	for _, p := range []string{"listeners.0.address", "realms.0.auth.anonymous.from", "log.level", "budget.bytes"} {
		if !shown[p] {
			t.Errorf("%s is not in it", p)
		}
	}
	for i, line := range strings.Split(Example(), "\n") {
		if len(line) > 118 {
			t.Errorf("line %d has %d columns", i+1, len(line))
		}
	}
}

// TestExampleInFull: what is commented out is right as well, once the files that it names are there.
func TestExampleInFull(t *testing.T) {
	text := exampleInFull()
	t.Chdir(t.TempDir())
	writeCertificates(t, "tls")
	for _, e := range []string{"pem", "key"} {
		if err := os.Rename("tls/good."+e, "tls/"+map[string]string{
			"pem": "fullchain.pem",
			"key": "privkey.pem",
		}[e]); err != nil {
			t.Fatal(err)
		}
	}
	user := `{ role: service, ticket: { sha256: "` + strings.Repeat("ab", 32) + `" } }`
	write(t, "users.yaml", []byte("alice: "+user), 0o600)
	write(t, "tenants.yaml", []byte("bob: "+strings.Replace(user, "service", "tenant", 1)), 0o600)
	text = strings.Replace(text, ", group: www-data", "", 1) // not on every machine
	f, r := (&Loader{Now: today}).Parse("banyan.yaml", ".", []byte(text))
	if f == nil || len(r.Problems) > 0 {
		t.Fatal(r)
	}
	if len(f.Listeners) != 3 || len(f.Templates) != 1 || len(f.Realms[0].Roles) != 2 {
		t.Errorf("not all of it is on: %+v", f.Config)
	}
}

// TestRoundTrip: what config show prints, given on the command line, is the same configuration.
func TestRoundTrip(t *testing.T) {
	f := loadArchive(t, "good", nil)
	var set []Override
	for _, v := range f.Values("") {
		if !strings.HasSuffix(v.Path, ".users_file") { // the users are shown themselves
			set = append(set, Override{Path: v.Path, Value: v.raw})
		}
	}
	if len(set) < 150 {
		t.Fatalf("only %d values", len(set))
	}
	again, r := (&Loader{Overrides: set, Now: today}).Parse("", ".", []byte("listeners: []\nrealms: []\n"))
	if again == nil {
		t.Fatal(r)
	}
	each(f.Config, func(_ string, rm *Realm, _ string) { rm.UsersFile = "" })
	if d := cmp.Diff(f.Config, again.Config); d != "" {
		t.Errorf("(- file, + what was shown):\n%s", d)
	}
	if d := Diff(f, again); len(d) > 0 {
		t.Error(d)
	}
}

// TestSplitPath: steps in quotes keep their dots.
func TestSplitPath(t *testing.T) {
	for path, want := range map[string][]string{
		"a.b": {"a", "b"}, "a": {"a"}, "": {""}, "a.": {"a", ""}, `a."b.c".d`: {"a", "b.c", "d"},
		`"a"`: {"a"}, `"a"b.c`: {`"a"b`, "c"}, `"a.b`: {`"a`, "b"}, `a."b\"."`: {"a", `b".`}, `""`: {""},
	} {
		if got := splitPath(path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, step := range []string{"a.b", `a"b`, "", "plain", "ä.ö"} {
		if got := splitPath("x." + quoteStep(step) + ".y"); !reflect.DeepEqual(got, []string{"x", step, "y"}) {
			t.Errorf("%s: %q", step, got)
		}
	}
}

// TestOrigins: config show tells where each value is from.
func TestOrigins(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "banyan.yaml", []byte("log: { level: warn }\nslow_consumers:\n  slow_after: 2s\n"), 0o600)
	f, r := Load("banyan.yaml", []string{"BANYAN_SLOW_CONSUMERS_POLICY=drop_newest", "BANYAN_LOG_LEVEL=error"},
		[]Override{
			{Path: "listeners.0.address", Value: "127.0.0.1:9000", Source: "--listen"},
			{Path: "log.level", Value: "debug"},
			{Path: "realms.0.auth.ticket", Value: "{ allow_plain: false }"},
			{Path: "realms.0.users.a.role", Value: "anonymous"},
			{Path: "realms.0.users.a.ticket.sha256", Value: strings.Repeat("ab", 32)},
		})
	if f == nil {
		t.Fatal(r)
	}
	want := map[string][2]string{
		"slow_consumers.policy":            {"drop_newest", "env BANYAN_SLOW_CONSUMERS_POLICY"},
		"slow_consumers.slow_after":        {"2s", "banyan.yaml:3"},
		"slow_consumers.backlog_bytes_max": {"64MiB", "default"},
		"log.level":                        {"debug", "--set log.level"},
		"listeners.0.address":              {"127.0.0.1:9000", "--listen"},
		"listeners.0.protocols":            {"websocket, rawsocket", "default"},
		"realms.0.uri":                     {"realm1", "default"},
		"realms.0.users.a.ticket.sha256":   {"***", "--set realms.0.users.a.role"},
	}
	for _, v := range f.Values("") {
		if w, ok := want[v.Path]; ok {
			if v.Text != w[0] || v.From != w[1] {
				t.Errorf("%s: %s from %s, want %v", v.Path, v.Text, v.From, w)
			}
			delete(want, v.Path)
		}
	}
	if len(want) > 0 {
		t.Errorf("not shown: %v", want)
	}
	if text := f.Show("log"); text != "log.level   debug  --set log.level\nlog.format  auto   default\n" {
		t.Errorf("%q", text)
	}
	for _, secret := range []string{strings.Repeat("ab", 32)} {
		if strings.Contains(f.Show(""), secret) {
			t.Error("a secret is shown")
		}
	}
}

// TestDocs: every option is documented under its path, with its default.
func TestDocs(t *testing.T) {
	text, ok := Docs("")
	if !ok {
		t.Fatal("no documentation")
	}
	for _, o := range all(root()) {
		if !strings.Contains(text, "\n## "+o.path+"\n") {
			t.Errorf("%s is not documented", o.path)
		}
		if o.isSet && o.text != "" && !strings.Contains(text, "default "+o.text) {
			t.Errorf("%s: no default", o.path)
		}
	}
	for _, path := range []string{"listeners.address", "listeners.0.address", "listeners.*.address"} {
		one, ok := Docs(path)
		want := "\n## listeners.*.address\n\nHOST:PORT or unix:PATH; required; applied at the next start\n\n" +
			"HOST:PORT, [::]:PORT or :PORT for all interfaces, or unix:PATH.\n"
		if !ok || one != want {
			t.Errorf("%s: %v\n%s", path, ok, cmp.Diff(want, one))
		}
	}
	for _, path := range []string{"listners", "log.level.x", "log.0", "listeners.a.address", "log."} {
		if one, ok := Docs(path); ok {
			t.Errorf("%s: %s", path, one)
		}
	}
	if long := regexp.MustCompile(`(?m)^[^\n]{301,}$`).FindString(text); long != "" {
		t.Errorf("a line is too long: %s", long)
	}
}

// TestNothingIsShared: two loads do not share what a caller could change.
func TestNothingIsShared(t *testing.T) {
	a, _ := Load("", nil, nil)
	b, _ := Load("", nil, nil)
	a.Realms[0].Auth.Anonymous.From[0] = "anywhere"
	a.Listeners[0].Protocols[0] = "x"
	c, _ := Load("", nil, nil)
	if !reflect.DeepEqual(b.Config, c.Config) {
		t.Error("a change of one is a change of the other")
	}
}

// TestExampleWith: the example works with every choice of methods, with TLS and without.
func TestExampleWith(t *testing.T) {
	dir := t.TempDir()
	writeCertificates(t, filepath.Join(dir, "tls"))
	for from, to := range map[string]string{"good.pem": "fullchain.pem", "good.key": "privkey.pem"} {
		if err := os.Rename(filepath.Join(dir, "tls", from), filepath.Join(dir, "tls", to)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "people.yaml"), []byte("a: { role: service, ticket: { sha256: \""+
		strings.Repeat("0", 64)+"\" }, cryptosign: [\""+strings.Repeat("1", 64)+"\"] }"), 0o600)
	for _, methods := range [][]string{{"ticket"}, {"ticket", "cryptosign"}} {
		for _, tls := range []bool{false, true} {
			f, r := (&Loader{Now: today}).Parse("f", dir, []byte(ExampleWith("people.yaml", "data", methods, tls)))
			if f == nil || r.Errors > 0 {
				t.Errorf("%q, TLS %v: %v", methods, tls, r)
				continue
			}
			rm, n := f.Realms[0], map[bool]int{false: 1, true: 2}[tls]
			if len(f.Listeners) != n || len(rm.Users) != 1 || f.Process.DataDir != filepath.Join(dir, "data") ||
				(rm.Auth.Cryptosign != nil) != (len(methods) > 1) || rm.Auth.WAMPSCRAM != nil || len(rm.Roles) != 2 {
				t.Errorf("%q, TLS %v: %+v", methods, tls, f.Config)
			}
			if tls && !slices.Equal(f.Listeners[1].AuthMethods, methods) {
				t.Errorf("the listener accepts %q, want %q", f.Listeners[1].AuthMethods, methods)
			}
		}
	}
}

// TestExampleColumns: every comment behind a key begins in the same column, whatever is on, and there are many.
func TestExampleColumns(t *testing.T) {
	texts := map[string]string{"as it is": Example()}
	for _, methods := range [][]string{{"ticket"}, {"ticket", "cryptosign"}, {"wamp-scram"}} {
		for _, tls := range []bool{false, true} {
			texts[fmt.Sprintf("%q, TLS %v", methods, tls)] = ExampleWith("users.yaml", "data", methods, tls)
		}
	}
	for name, text := range texts {
		found := 0
		for i, line := range strings.Split(text, "\n") {
			key := strings.TrimLeft(line, "#- ")
			at := strings.Index(key, " # ")
			if at < 0 {
				continue
			}
			if column := len(line) - len(key) + at + 1; column != commentColumn {
				t.Errorf("%s, line %d: a comment in column %d: %s", name, i+1, column, line)
			}
			found++
		}
		if found < 35 || !strings.Contains(strings.ReplaceAll(text, off, ""), "\n      #   domains") {
			t.Errorf("%s: only %d comments, or lines that are comments have moved", name, found)
		}
	}
}
