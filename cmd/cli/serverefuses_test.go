package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestServeRefuses: values that cannot be meant are usage errors, which say what to write.
func TestServeRefuses(t *testing.T) {
	for _, c := range []struct{ flag, value, want string }{
		{"listen", "", "HOST:PORT or unix:PATH"},
		{"listen", "127.0.0.1", "HOST:PORT or unix:PATH"},
		{"listen", "unix:", "path is missing"},
		{"listen", "127.0.0.1:0,mode=0660", "file of a Unix socket"},
		{"listen", "unix:@x,mode=0660", "file of a Unix socket"},
		{"listen", "unix:/x,mode=0", "octal"},
		{"listen", "unix:/x,mode=01777", "octal"},
		{"listen", "unix:/x,mode=rw", "octal"},
		{"listen", "unix:/x,owner=no such user", "knows no user"},
		{"listen", "unix:/x,group=-1", "knows no group"},
		{"listen", "unix:/x,", "there is no option"},
		{"listen", "127.0.0.1:0,long_poll=lp", "it has to begin with /"},
		{"listen", "127.0.0.1:0,long_poll=", "has no value"},
		{"listen", "127.0.0.1:0,long_poll=/lp,long_poll=/lp", "is given twice"},
		{"listen", "127.0.0.1:0,long_poll=/ws", "this path is taken"},
		{"listen", "127.0.0.1:0,anonymous=none,anonymous=none", "anonymous= is given twice"},
		{"listen", "127.0.0.1:0,anonymous=none,anonymous=anywhere", "anonymous= is given twice"},
		{"listen", "unix:/x,mode=600,owner=0,mode=660", "mode= is given twice"},
		{"listen", "unix:/x,owner=0,owner=1", "owner= is given twice"},
		{"listen", "unix:/x,group=0,anonymous=local,group=0", "group= is given twice"},
		{"listen", "http://127.0.0.1:8080", "this is a URL, and the router listens on an address: " +
			"write 127.0.0.1:8080;"},
		{"listen", "ws://[::1]:8080/ws", "write [::1]:8080; WebSocket clients connect to ws://HOST:PORT/ws"},
		{"listen", "rs://127.0.0.1", "write HOST:PORT or unix:PATH; "},
		{"listen", "ws+unix:///run/b.sock", "write unix:/run/b.sock;"},
		{"listen", "unix:/x,y", "there is no option"},
		{"origin", "https://app.example.org/", "write a host name, HOST:PORT"},
		{"origin", "host:99999", "from 1 to 65535"},
		{"origin", "a.b:", "from 1 to 65535"},
		{"realm", "one,two", "repeat --realm"},
		{"realm", "wamp.one", "reserved"},
		{"realm", "wamp", "reserved"},
		{"realm", "a\x07b", "control"},
		{"realm", "a..b", "a URI is"},
		{"realm", "", "a URI is"},
		{"loops", "65", "from 1 to 64, or auto"},
		{"loops", "-1", "from 1 to 64, or auto"},
		{"connections-max", "-1", "from 1"},
		{"message-bytes-max", "511", "from 512B to 16MiB"},
		{"message-bytes-max", "16777217", "from 512B to 16MiB"},
		{"peer-message-bytes-min", "511", "from 512"},
		{"backlog-bytes-max", "65535", "at least 64KiB"},
		{"uri-bytes-max", "0", "from 1"},
		{"subscriptions-max", "0", "at least 1"},
		{"calls-max", "many", "expected a whole number"},
		{"hello-timeout", "0", "from 1ms to 24h"},
		{"handshake-timeout", "25h", "from 1ms to 24h"},
		{"ping-interval", "-1s", "from 1ms to 24h, or 0 (never)"},
		{"ping-interval", "1ns", "from 1ms to 24h"},
		{"budget-bytes", "1TiB", "expected a size in B, KiB, MiB or GiB"},
		{"ping-interval", "10", "expected a time like 500ms, 10s or 2m"},
		{"ping-interval", "ten", "a time like 500ms"},
		{"ping-interval", "1h90", "a time like 500ms"},
		{"shutdown-timeout", "1.5", "a time like 500ms"},
		{"shutdown-timeout", "0.0", "a time like 500ms"},
		{"slow-consumer", "wait", "not one of disconnect, drop_newest"},
		{"anonymous", "nobody", "local, anywhere or none"},
		{"listen", "127.0.0.1:0,anonymous=nobody", "local, anywhere or none"},
		{"depth-max", "513", "from 8 to 512"},
		{"budget-bytes", "1MiB", "at least 16MiB"},
		{"ping-timeout", "-1s", "from 1ms to 24h, or auto"},
		{"log-level", "loud", "not one of debug, info, warn, error"},
		{"cpu-profile-rate", "501", "from 1 to 500"},
	} {
		_, err := readFlags("--" + c.flag + "=" + c.value)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--"+c.flag) {
			t.Errorf("--%s=%q: %v, want %q", c.flag, c.value, err, c.want)
		}
	}
	for flags, want := range map[string]string{
		"--listen 127.0.0.1:1 --listen 127.0.0.1:1":          "given twice",
		"--listen unix:/x --listen unix:/x,mode=660":         "is also listeners.0",
		"--listen [::ffff:127.0.0.1]:1 --listen 127.0.0.1:1": "is also listeners.0",
		"--listen 0.0.0.0:1 --listen 127.0.0.1:1":            "is also listeners.0",
		"--listen [::1]:1 --listen [::]:1":                   "is also listeners.0",
		"--listen 127.0.0.1:1 --listen :1":                   "is also listeners.0",
		"--realm a --realm a":                                "given twice",
		"--origin * --origin a.example":                      "the others have no effect",
	} {
		_, err := readFlags(strings.Fields(flags)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", flags, err, want)
		}
	}
	for _, ok := range []string{
		"--listen 0.0.0.0:1 --anonymous anywhere",
		"--listen 0.0.0.0:1 --anonymous anywhere --realm a --auto-create-realms",
		"--listen 0.0.0.0:1 --listen [::]:1", "--listen 0.0.0.0:1 --listen 127.0.0.1:2",
		"--listen :0 --listen 127.0.0.1:0",
		"--listen 127.0.0.1:1 --listen [::1]:1 --listen unix:/x --listen unix:/y",
	} {
		if _, err := readFlags(strings.Fields(ok)...); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, ok := range []string{
		"--listen=:1", "--listen=[::1]:1", "--listen=unix:///x", "--origin=app://.",
		"--listen=unix:/x,mode=660,owner=0,group=0",
		"--listen=127.0.0.1:1,long_poll=/a/b,anonymous=none", "--origin=null", "--origin=app:1", "--origin=[::1]:1",
		"--origin=chrome-extension://abc", "--realm=com.example.realm", "--message-bytes-max=512",
		"--backlog-bytes-max=64KiB", "--ping-interval=0s", "--ping-timeout=0", "--message-timeout=0",
		"--budget-bytes=0",
	} {
		if _, err := readFlags(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
}

// TestServeHelp: every flag stands in the help under one of the titles.
func TestServeHelp(t *testing.T) {
	var out bytes.Buffer
	if code := Run([]string{"serve", "--help"}, nil, &out, &out); code != exitOK {
		t.Fatal(code)
	}
	text := out.String()
	for _, g := range (&serveConfig{}).flags() {
		if !strings.Contains(text, g.title) {
			t.Errorf("no title %q", g.title)
		}
		g.VisitAll(func(f *pflag.Flag) {
			start := "\n      --" + f.Name + " "
			if f.Shorthand != "" {
				start = "\n  -" + f.Shorthand + ", --" + f.Name + " "
			}
			if strings.Count(text, start) != 1 {
				t.Errorf("--%s is not in the help once", f.Name)
			}
		})
	}
	for _, line := range strings.Split(text, "\n") {
		if len([]rune(line)) > helpColumns {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	flat := strings.Join(strings.Fields(text), " ")
	if !strings.Contains(flat, "options of more than 256KiB end the session with ABORT") {
		t.Error("--filter-entries-max does not say that long options end the session")
	}
}
