package features

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"banyan/codec"
	"banyan/realm"
	"banyan/realm/realmtest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write README.md, and take what has a test off the list of untested ids")

const (
	tree     = "../.."
	readme   = tree + "/README.md"
	untested = "testdata/untested.txt"
)

// scanned are the ids that the tests of the repository carry.
func scanned(t *testing.T) map[string][]string {
	t.Helper()
	tested, err := Scan(os.DirFS(tree))
	if err != nil {
		t.Fatal(err)
	}
	return tested
}

// TestReadme: the table in README.md is what the tests say.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), Begin+"\n")
	_, after, closed := strings.Cut(rest, End+"\n")
	if !ok || !closed {
		t.Fatalf("README.md has no place for the table: %s … %s", Begin, End)
	}
	want := before + Begin + "\n\n" + Markdown(Table, scanned(t)) + "\n" + End + "\n" + after
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(b), "\n"), strings.Split(want, "\n")); diff != "" {
		t.Errorf("run go generate ./cmd/features (-README.md +tests):\n%s", diff)
	}
}

// inTable are the ids that features ask for. A feature that is out asks for none.
func inTable() (asked, known map[string]bool) {
	asked, known = map[string]bool{}, map[string]bool{}
	for _, f := range Table {
		for _, id := range f.All() {
			known[id] = true
			if f.Out == "" {
				asked[id] = true
			}
		}
	}
	return asked, known
}

// TestUntested: the list has each id without a test, and no other. Only a test takes an id off it.
func TestUntested(t *testing.T) {
	b, err := os.ReadFile(untested)
	if err != nil {
		t.Fatal(err)
	}
	listed, tested := strings.Fields(string(b)), scanned(t)
	asked, known := inTable()
	var kept []string
	for _, id := range listed {
		if asked[id] && tested[id] == nil {
			kept = append(kept, id)
		} else if !*update {
			t.Errorf("%s is on the list of untested ids, and has a test: %v", id, tested[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(asked)) {
		if tested[id] == nil && !slices.Contains(listed, id) {
			t.Errorf("no test carries %s any more", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tested)) {
		if !known[id] {
			t.Errorf("%v carry %s, which no feature asks for", tested[id], id)
		}
	}
	if !slices.IsSortedFunc(listed, compare) {
		t.Error("the list of untested ids is not sorted")
	}
	if *update {
		if err := os.WriteFile(untested, []byte(strings.Join(kept, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestChecklist: the features ask for what the checklist asks for, where it is present.
func TestChecklist(t *testing.T) {
	const file = tree + "/../shared/wamp/CHECKLIST.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("no checklist at %s", file)
	}
	_, known := inTable()
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^- \*\*(\S+)\*\*`).FindAllStringSubmatch(string(b), -1) {
		listed[m[1]] = true
		if !known[m[1]] {
			t.Errorf("no feature asks for %s", m[1])
		}
	}
	for id := range known {
		if !listed[id] {
			t.Errorf("a feature asks for %s, which the checklist does not have", id)
		}
	}
}

// TestSES38Announced: WELCOME announces the features that are complete, and no others.
func TestSES38Announced(t *testing.T) {
	got, with := announced(t, false), announced(t, true)
	tested := scanned(t)
	var names []string
	for _, f := range Table {
		names = append(names, f.Announced...)
		for _, name := range f.Announced {
			if complete := f.complete(tested); complete != with[name] {
				t.Errorf("%s: complete is %v, announced is %v: %s", name, complete, with[name], f.Name)
			} else if off := f.With == ""; complete && off != got[name] {
				t.Errorf("%s: with the option %q, and announced without it is %v", name, f.With, got[name])
			}
		}
	}
	for name := range with {
		if !slices.Contains(names, name) {
			t.Errorf("%s is announced, and no feature says so", name)
		}
	}
}

// announced are the features in WELCOME, each with its role; with all options that have to be on for one, or none.
func announced(t *testing.T, on bool) map[string]bool {
	t.Helper()
	r, err := realm.New(realm.Config{Realms: []realm.RealmConfig{{URI: "realm1", Sharding: on}}})
	if err != nil {
		t.Fatal(err)
	}
	w := realmtest.NewWorld(1, 1)
	w.Open = r.Open
	c := w.Connect(0, codec.MakeVariant(codec.JSON, codec.RawSocket), 1<<20, true)
	c.Send([]byte(`[1,"realm1",{"roles":{"caller":{}}}]`))
	w.Settle()
	v, err := codec.Value(codec.JSON, c.Next())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for role, d := range v.([]any)[2].(map[string]any)["roles"].(map[string]any) {
		for name, on := range d.(map[string]any)["features"].(map[string]any) {
			all[role+"."+name] = on == true
		}
	}
	return all
}

// TestScan: what carries an id, and what does not.
func TestScan(t *testing.T) {
	// The ids are put together, so that this file carries none.
	x := strings.NewReplacer("@", "PUB-").Replace
	got, err := Scan(fstest.MapFS{
		"a/testdata/transcripts/x.txtar": {Data: []byte(x("a comment, @01\n-- @02 @03 more --\n# @04\nA silent\n"))},
		"a/testdata/other/x.txtar":       {Data: []byte(x("-- @05 --\n"))},
		"a/a.go":                         {Data: []byte(x("package a\nconst c = \"@06\"\n"))},
		".git/a_test.go":                 {Data: []byte(x("package a\nconst c = \"@07\"\n"))},
		"node_modules/a_test.go":         {Data: []byte(x("package a\nconst c = \"@07\"\n"))},
		"a/a_test.go": {Data: []byte(x("package a\n// @08: a comment.\nfunc TestPUB09(t *testing.T) {\n" +
			"t.Run(`@10 and @11`, nil) // @12\n t.Errorf(\"x@13, @14x @15.\")\n}\n" +
			"func helperPUB16() {}\nfunc (s) TestPUB17() {}\nfunc FuzzPub18Things() {}\n" +
			"func TestPUB20to22and24(){}\n"))},
		"b/a_test.go": {Data: []byte(x("package b\nvar x = []string{\"@10\"}\n"))},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"02", "03", "09", "10", "11", "15", "18", "20", "21", "22", "24"} {
		if len(got[x("@")+n]) == 0 {
			t.Errorf("%s is not found", n)
		}
		delete(got, x("@")+n)
	}
	if len(got) > 0 {
		t.Errorf("found as well: %v", got)
	}
	if _, err := Scan(fstest.MapFS{"a_test.go": {Data: []byte("packag")}}); err == nil {
		t.Error("a file that does not parse was accepted")
	}
}

// TestMarkdown: the states of a feature, and how ids are written.
func TestMarkdown(t *testing.T) {
	x := strings.NewReplacer("@", "PUB-").Replace
	table := []Feature{
		{Name: "whole", IDs: x("@01…04 @06")},
		{Name: "part", IDs: x("@08 @07 @01…03")},
		{Name: "lacks", IDs: x("@01"), Lacks: "half of it"},
		{Name: "none", IDs: x("@07")},
		{Name: "gone", IDs: x("@07"), Out: "no use"},
	}
	tested := map[string][]string{}
	for _, n := range []string{"01", "02", "03", "04", "06"} {
		tested[x("@")+n] = []string{"a"}
	}
	want := x(`| feature | status | checklist ids with a test |
| --- | --- | --- |
| whole | complete | @01 to @04, @06 |
| part | in part; no test for @07, @08 | @01 to @03 |
| lacks | not yet; half of it | @01 |
| none | not yet |  |
| gone | out: no use |  |
`)
	if diff := cmp.Diff(want, Markdown(table, tested)); diff != "" {
		t.Error(diff)
	}
	for i, want := range []bool{true, false, false, false, false} {
		if got := table[i].complete(tested); got != want {
			t.Errorf("%s: complete is %v", table[i].Name, got)
		}
	}
}
