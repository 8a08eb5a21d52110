//go:build linux

package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// all are all options, sections too.
func all(o *option) (list []*option) {
	for _, c := range o.fields {
		list = append(append(list, c), all(c)...)
		if c.item != nil {
			list = append(list, all(c.item)...)
		}
	}
	return list
}

// TestEveryOptionIsDescribed: each has a comment of whole sentences, and a default or the duty to be there.
func TestEveryOptionIsDescribed(t *testing.T) {
	options := all(root())
	if len(options) < 150 {
		t.Fatalf("only %d options", len(options))
	}
	for _, o := range options {
		if !strings.HasSuffix(o.doc, ".") {
			t.Errorf("%s: the comment %q is no sentence", o.path, o.doc)
		}
		single := o.kind != section && o.kind != list && o.kind != dict && o.kind != free
		if single && o.isSet == o.required {
			t.Errorf("%s: either a default or required, not both or neither", o.path)
		}
		if !single && o.isSet {
			t.Errorf("%s: a section has no default of its own", o.path)
		}
		if (o.kind == count || o.kind == size || o.kind == duration) && o.bounds[0] == "" {
			t.Errorf("%s: no smallest value", o.path)
		}
		if o.form != "" {
			formOf(o.form)
		}
		if o.secret != "" && o.secret != "mask" && o.secret != "key" {
			t.Errorf("%s: secret %q", o.path, o.secret)
		}
	}
}

// TestDefaultsAreAllowed: each default is a value that the file could say.
func TestDefaultsAreAllowed(t *testing.T) {
	for _, o := range all(root()) {
		if !o.isSet {
			continue
		}
		v := reflect.New(o.typ).Elem()
		if err := o.set(v, o.text); err != nil {
			t.Errorf("%s: %v", o.path, err)
		} else if got := o.show(v); got != o.text && !(o.kind == words && o.text == "") {
			t.Errorf("%s: the default %q is shown as %q", o.path, o.text, got)
		}
	}
}

// TestDefaultsAreTheRoutersOwn: without a file the router is what it is without flags.
func TestDefaultsAreTheRoutersOwn(t *testing.T) {
	f, r := Load("", nil, nil)
	if f == nil || len(r.Problems) > 0 {
		t.Fatal(r)
	}
	for _, c := range []struct{ got, want any }{
		{f.Process.Loops, 0},
		{f.Listeners[0].Address, "127.0.0.1:8080"},
		{f.Limits.ConnectionsMax, 0},
		{f.Limits.HandshakeTimeout, 10 * time.Second},
		{f.Limits.HelloTimeout, 10 * time.Second},
		{f.Limits.GoodbyeTimeout, 5 * time.Second},
		{f.Limits.MessageBytesMax, Bytes(16 << 20)},
		{f.Limits.PeerMessageBytesMin, Bytes(512)},
		{f.Limits.MessageTimeout, 30 * time.Second},
		{f.Limits.URIBytesMax, 1024},
		{f.Limits.DepthMax, 64},
		{f.Limits.SubscriptionsMax, 100_000},
		{f.Limits.PatternsMax, 10_000},
		{f.Limits.FilterEntriesMax, 8192},
		{f.Limits.RegistrationsMax, 100_000},
		{f.Limits.CalleesMax, 10_000},
		{f.Limits.CallsMax, 100_000},
		{f.Limits.RealmsMax, 10_000},
		{f.Budget.Bytes, Bytes(0)},
		{f.Keepalive, Keepalive{PingInterval: 25 * time.Second}},
		{f.SlowConsumers.Policy, "disconnect"},
		{f.SlowConsumers.BacklogBytesMax, Bytes(64 << 20)},
		{f.SlowConsumers.CreditBytes, Bytes(64 << 10)},
		{f.Realms[0].URI, "realm1"},
		{f.Realms[0].StrictURIs || f.Realms[0].StrictRequestIDs || f.Realms[0].EnforceRoles, false},
		{f.Realms[0].ForbidDisclosure, false},
		{f.Realms[0].Auth.Anonymous.From, []string{"local"}},
		{len(f.Realms) + len(f.Listeners) + len(f.Templates), 2},
		{f.Drain.Timeout, 8 * time.Second},
		{f.Log.Level, "info"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	for _, action := range []string{"call", "register", "publish", "subscribe"} {
		if !f.Realms[0].Roles[0].may(action, "com.example.any") {
			t.Errorf("anonymous clients may not %s", action)
		}
	}
}

// TestBounds tries each bound of each number at n and n+1.
func TestBounds(t *testing.T) {
	tried := 0
	for _, o := range all(root()) {
		if o.kind != count && o.kind != size && o.kind != duration {
			continue
		}
		try := func(n int64, want bool) {
			v := reflect.New(o.typ).Elem()
			v.SetInt(n)
			u := reflect.New(o.typ).Elem()
			text := (&option{kind: o.kind}).show(v)
			if err := o.set(u, text); (err == nil) != want {
				t.Errorf("%s: %s: %v", o.path, text, err)
			} else if want && u.Int() != n {
				t.Errorf("%s: %s became %d", o.path, text, u.Int())
			}
			tried++
		}
		try(o.min, true)
		try(o.min-1, o.min == 1 && o.zero != "")
		try(-1, o.min == -1)
		try(0, o.zero != "" || o.min <= 0)
		if o.max < 1<<62 {
			try(o.max, true)
			try(o.max+1, false)
		}
	}
	if tried < 200 {
		t.Errorf("only %d bounds", tried)
	}
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want Bytes
		show string
	}{
		{"0", 0, "0"},
		{"1", 1, "1B"},
		{"65536", 64 << 10, "64KiB"},
		{"64KiB", 64 << 10, "64KiB"},
		{"1536 KiB", 1536 << 10, "1536KiB"},
		{"16MiB", 16 << 20, "16MiB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"512B", 512, "512B"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807B"},
	} {
		if got, err := ParseBytes(c.text); err != nil || got != c.want || got.String() != c.show {
			t.Errorf("%s: %d, %s, %v", c.text, got, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1 meg", "1KB", "8589934592GiB", "9223372036854775808", "1.5MiB"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}

// TestEnvNamesAreUnique: a variable means one option, and each is found by its name.
func TestEnvNamesAreUnique(t *testing.T) {
	names := EnvNames()
	if len(names) < 150 || !slices.Contains(names, "BANYAN_LISTENERS_N_ADDRESS") ||
		!slices.Contains(names, "BANYAN_REALMS_N_AUTH_WAMP_SCRAM") {
		t.Fatalf("%d names: %v", len(names), names)
	}
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			t.Errorf("two options are called %s", n)
		}
		seen[n] = true
		path := resolve(root(), strings.TrimPrefix(strings.ReplaceAll(n, "_N_", "_7_"), envPrefix))
		if path == nil {
			t.Errorf("%s is not found", n)
			continue
		}
		back := variableName(strings.Join(path, "_"))
		if back = envPrefix + strings.ReplaceAll(back, "_7_", "_N_"); back != n {
			t.Errorf("%s means %v", n, path)
		}
		if serviceVariable.MatchString(n) {
			t.Errorf("%s could be from Kubernetes", n)
		}
	}
}

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "a", "EMPTY": "", "B_1": "${A}"}
	lookup := func(n string) (string, bool) { v, ok := env[n]; return v, ok }
	for _, c := range []struct{ text, want string }{
		{"plain", "plain"},
		{"${A}", "a"},
		{"x${A}y${A}z", "xayaz"},
		{"${A:-b}", "a"},
		{"${NO:-b}", "b"},
		{"${NO:-}", ""},
		{"${EMPTY}", ""},
		{"${EMPTY:-b}", "b"},
		{"$${A}", "${A}"},
		{"$A $$ $", "$A $$ $"},
		{"${B_1}", "${A}"},
		{"${NO:-x:y}", "x:y"},
		{"${A:?gone}", "a"},
		{"$${A}${A}", "${A}a"},
		{"$argon2id$v=19$m=65536,t=3,p=1$abc$def", "$argon2id$v=19$m=65536,t=3,p=1$abc$def"},
	} {
		if got, err := expand(c.text, lookup); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"${NO}": "is not set", "${A": "without }", "${}": "no name", "${1A}": "no name", "${A B}": "no name",
		"${NO:-${A}}": "braces of another", "${A:-${NO:-b}}": "braces of another",
		"${NO:?no $${A}": "braces of another",
		"${A:+x}":        "comes - or ?", "${NO:?call the office}": "call the office", "${EMPTY:?x}": "is not set: x",
	} {
		if got, err := expand(text, lookup); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v, want %s", text, got, err, want)
		}
	}
	env["LONG"] = strings.Repeat("x", textBytesMax)
	if _, err := expand("${LONG}", lookup); err != nil {
		t.Error(err)
	}
	if _, err := expand("y${LONG}", lookup); err == nil {
		t.Error("a text beyond the bound")
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"call", "register", "publish", "subscribe", "drop_oldest"}
	for text, want := range map[string]string{
		"publsh": "publish", "Register": "register", "subscirbe": "subscribe", "drop-oldest": "drop_oldest",
		"drop_old": "drop_oldest", "xyz": "", "": "", "cal": "call", "ca": "", "regXXXXr": "", "x": "", "xx": "",
		strings.Repeat("call", 17): "",
	} {
		if got := closest(text, words); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
