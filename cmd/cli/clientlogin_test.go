package cli

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"banyan/realm/auth"
)

// TestCommandsLogIn: the commands for clients log in with each kind of proof, and say why when they cannot.
func TestCommandsLogIn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	private, public := auth.NewKey()
	users := users(t, public[:])
	s := startService(t, `
realms:
  - uri: a
    auth: { ticket: {}, wampcra: {}, wamp-scram: {}, cryptosign: {} }
    users_file: users.yaml
    roles: [{ name: user, permissions: [{ uri: "", match: prefix, allow: [call, register, publish, subscribe] }] }]
`, "users.yaml", users)
	password, ticket := file("password", "pencil"), file("ticket", "the ticket")
	for i, c := range []struct {
		flags []string
		says  string // "": it publishes
	}{
		{[]string{"--authid", "ticket", "--ticket", ticket}, ""},
		{[]string{"--authid", "cra", "--password", password}, ""},
		{[]string{"--authid", "argon", "--password", password}, ""},
		{[]string{"--authid", "pbkdf", "--password", password}, ""},
		{[]string{"--authid", "key", "--key", file("key", private)}, ""},
		{[]string{"--key", file("key", private)}, ""},
		{[]string{"--authid", "argon", "--password", file("wrong", "pencils")}, "authentication_denied"},
		{[]string{"--authid", "cra", "--password", file("wrong", "pencils")}, "authentication_denied"},
		{[]string{"--authid", "ticket", "--ticket", file("other", "none")}, "authentication_denied"},
		{[]string{"--authid", "key", "--key", file("key2", strings.Repeat("1", 64))}, "authentication_denied"},
		{nil, "authentication_required"},
		{[]string{"--ticket", ticket}, "--ticket needs --authid: whose is it?"},
		{[]string{"--authid", "a", "--ticket", filepath.Join(dir, "none")}, "--ticket: open"},
		{[]string{"--key", file("short", "12")}, "--key: "},
		{[]string{"--ca", file("empty", "no certificate")}, "--ca: there is no certificate in"},
		{[]string{"--cert", password}, "--cert and --cert-key belong together"},
	} {
		serializer := []string{"json", "msgpack", "cbor"}[i%3]
		cmd := newRoot()
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetErr(new(bytes.Buffer))
		cmd.SetArgs(append([]string{
			"pub", "com.example.a", "1", "--ack", "--url", "unix:" + s.unix, "--realm", "a",
			"--serializer", serializer,
		}, c.flags...))
		err := cmd.ExecuteContext(t.Context())
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%v, %s: %v", c.flags, serializer, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%v, %s: %v, want %s", c.flags, serializer, err, c.says)
		}
	}
}

// users is a users file with one user for each kind of proof.
func users(t *testing.T, key []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users.yaml")
	add := func(stdin string, args ...string) {
		cmd := newRoot()
		cmd.SetIn(strings.NewReader(stdin))
		cmd.SetOut(new(bytes.Buffer))
		cmd.SetErr(new(bytes.Buffer))
		cmd.SetArgs(append(args, "--role", "user", "--users", path))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	add("the ticket\n", "hash-ticket", "ticket")
	add("pencil\n", "passwd", "argon")
	add("pencil\n", "passwd", "pbkdf", "--kdf", "pbkdf2")
	add("pencil\n", "passwd", "cra", "--no-scram", "--cra")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "key: { role: user, cryptosign: [" + hex.EncodeToString(key) + "] }\n"
}
