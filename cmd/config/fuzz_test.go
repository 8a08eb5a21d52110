//go:build linux

package config

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad: whatever a file says, it is read or refused, in bounds; and what was read can be shown and compared.
func FuzzLoad(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		env := ""
		for _, p := range archive.Files {
			if p.Name == "env" {
				env = string(p.Data)
			}
		}
		f.Add(string(archive.Files[0].Data), env, "log.level", "debug")
	}
	f.Add(Example(), "BANYAN_LISTENERS_0_ADDRESS=:1", "realms.0.roles.0.permissions.1.uri", "a")
	f.Add("log: &a { <<: *a }", "", "listeners.0.tls.certificates.0", "{a: [&x 1, *x]}")
	f.Fuzz(func(t *testing.T, text, env, path, value string) {
		l := Loader{
			Env: strings.Split(env, "\n"), Overrides: []Override{{Path: path, Value: value}}, Now: today,
			FilesMax: 1024,
			read:     func(string, int64) ([]byte, fs.FileInfo, error) { return nil, nil, errors.New("not there") },
		}
		file, r := l.Parse("f", ".", []byte(text))
		report := r.String()
		if len(r.Problems) > problemsMax || len(r.Problems)+r.Omitted != r.Errors+r.Warnings {
			t.Fatalf("%d problems, %d omitted, %s", len(r.Problems), r.Omitted, r.count())
		}
		if strings.ContainsAny(report, "\x00\x1b\x7f") {
			t.Fatalf("control characters in %q", report)
		}
		if (file == nil) != (r.Errors > 0) {
			t.Fatal(report)
		}
		if file == nil {
			return
		}
		file.Show("")
		if d := Diff(file, file); len(d) > 0 {
			t.Fatalf("it differs from itself: %v", d)
		}
		again, _ := l.Parse("f", ".", []byte(text))
		if again.Hash != file.Hash {
			t.Fatal("another hash")
		}
		if d := Diff(file, again); len(d) > 0 {
			t.Fatalf("the same text differs: %v", d)
		}
	})
}
