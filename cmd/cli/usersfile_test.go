package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestReplaceFile: a new file is for its owner alone, another one keeps its mode without what it grants to everybody;
// what a symbolic link leads to is replaced; on an error nothing is left behind.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, mode fs.FileMode) {
		t.Helper()
		err := errors.Join(os.WriteFile(path(name), []byte("old"), 0o600), os.Chmod(path(name), mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	write("open", 0o664)
	write("closed", 0o400)
	write("real", 0o640)
	if err := os.Symlink("real", path("link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, real string
		mode       fs.FileMode
	}{
		{"new", "new", 0o600}, {"open", "open", 0o660}, {"closed", "closed", 0o400}, {"link", "real", 0o640},
	} {
		if err := replaceFile(path(c.name), []byte("users of "+c.name)); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path(c.real))
		if err != nil || string(text) != "users of "+c.name {
			t.Errorf("%s: %q, %v", c.name, text, err)
		}
		if info, err := os.Lstat(path(c.real)); err != nil || info.Mode() != c.mode {
			t.Errorf("%s: mode %v, %v, want %v", c.name, info.Mode(), err, c.mode)
		}
	}
	owner, group := uint32(os.Getuid()), uint32(os.Getgid())
	if owner == 0 { // who changes users is not always who the router runs as
		owner, group = 12345, 54321
	}
	if err := os.Chown(path("real"), int(owner), int(group)); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path("link"), []byte("users of link")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path("real"))
	if err != nil {
		t.Fatal(err)
	}
	if sys := info.Sys().(*syscall.Stat_t); sys.Uid != owner || sys.Gid != group || info.Mode() != 0o640 {
		t.Errorf("belongs to %d:%d with mode %v, want %d:%d", sys.Uid, sys.Gid, info.Mode(), owner, group)
	}
	if target, err := os.Readlink(path("link")); err != nil || target != "real" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if err := os.MkdirAll(path("folder/full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(path("folder"), nil); err == nil {
		t.Error("a folder was replaced")
	}
	if left, err := filepath.Glob(path(".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestUsersFile: the longest file at n and n + 1, and what a change does to a user who is there.
func TestUsersFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	for n, good := range map[int]bool{usersFileBytesMax: true, usersFileBytesMax + 1: false} {
		text := append([]byte("joe: { role: user }\n#"), bytes.Repeat([]byte("x"), n)...)
		if err := os.WriteFile(path, text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if u, err := openUsers(path); (err == nil) != good || good && !u.has("joe") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	text := "joe:\n  role: user\n  cryptosign: [aa]\n  ticket: old\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := openUsers(path)
	if err != nil {
		t.Fatal(err)
	}
	more := newEntry()
	keys := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{textNode("bb")}}
	if err := errors.Join(
		u.change("joe", more.text("ticket", "new").put("cryptosign", keys).Node),
		u.change("ann", newEntry().text("role", "guest").Node), u.write(),
	); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"aa", "bb", "ticket: new", "role: user", "ann:", "role: guest"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(string(got), "old") {
		t.Errorf("the old ticket is still there:\n%s", got)
	}
}

// TestUsersFileAliases: a change to one user is refused if another one has the same by an alias, and does not touch
// who shares nothing.
func TestUsersFileAliases(t *testing.T) {
	const text = `
ann: &ann { role: user, ticket: &ticket { sha256: aa } }
bob: *ann
cid: { role: user, ticket: *ticket }
dan: { <<: *ann, role: admin }
eve: { role: user, extra: &extra { a: 1 } }
fay: { role: user, ticket: { sha256: bb } }
gus: &gus { role: user }
hal: text
`
	path := filepath.Join(t.TempDir(), "users.yaml")
	for authid, good := range map[string]bool{
		"ann": false, "bob": false, "cid": true, "dan": true, "eve": true, "fay": true, "gus": true, "hal": false,
		"new": true,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := openUsers(path)
		if err != nil {
			t.Fatal(err)
		}
		err = u.change(authid, newEntry().put("ticket", newEntry().text("sha256", "cc").Node).Node)
		if (err == nil) != good {
			t.Errorf("%s: %v", authid, err)
		}
		if err != nil {
			continue
		}
		if err := u.write(); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var users map[string]struct{ Ticket map[string]string }
		if err := yaml.Unmarshal(bytes.ReplaceAll(written, []byte("hal: text\n"), nil), &users); err != nil {
			t.Fatalf("%s: %v in\n%s", authid, err, written)
		}
		for name, want := range map[string]string{
			"ann": "aa", "bob": "aa", "cid": "aa", "dan": "aa", "eve": "", "fay": "bb", authid: "cc",
		} {
			if got := users[name].Ticket["sha256"]; got != want {
				t.Errorf("after a change to %s, %s has %q, want %q", authid, name, got, want)
			}
		}
	}
}
