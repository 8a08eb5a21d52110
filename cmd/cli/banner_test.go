package cli

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"banyan/bench/client"
)

// TestBannerReaches: every address that the start names leads to this router, and so do the commands that it
// proposes, in a shell of another directory.
func TestBannerReaches(t *testing.T) {
	t.Chdir(t.TempDir())
	addresses := regexp.MustCompile(`(?m)^  (?:RawSocket|WebSocket|page) +(\S+)$`)
	commands := regexp.MustCompile(`(?m)^    (banyan pub .*)$`)
	for _, c := range []struct {
		listen []string
		host   string // in the addresses
	}{
		{[]string{"[::]:0"}, "[::1]:"},
		{[]string{"[0::0]:0"}, "[::1]:"},
		{[]string{"0.0.0.0:0"}, "127.0.0.1:"},
		{[]string{"[::ffff:0.0.0.0]:0"}, "127.0.0.1:"},
		{[]string{":0"}, "127.0.0.1:"},
		{[]string{"[::ffff:127.0.0.1]:0"}, "127.0.0.1:"},
		{[]string{"[::1]:0"}, "[::1]:"},
		{[]string{"localhost:0"}, "127.0.0.1:"},
		{[]string{"unix:it's.sock"}, "/it's.sock"},
		{[]string{"unix:@banyan test/" + t.Name()}, "@banyan"},
		{[]string{"127.0.0.1:0,anonymous=none", "[::1]:0"}, "127.0.0.1:"},
	} {
		flags := []string{"--realm=it's;odd", "--loops=1"}
		for _, l := range c.listen {
			flags = append(flags, "--listen="+l)
		}
		f, err := readFlags(flags...)
		if err != nil {
			t.Fatal(err)
		}
		r, err := newRouter(f, slog.New(slog.DiscardHandler), false)
		if err != nil {
			t.Fatalf("%q: %v", c.listen, err)
		}
		t.Cleanup(func() {
			if err := r.stop(); err != nil {
				t.Error(err)
			}
		})
		var banner bytes.Buffer
		announce(&banner, f, r.engine.Addrs(), 1)
		text := strings.ReplaceAll(banner.String(), "@banyan test", "@banyan\u00a0test")
		urls := addresses.FindAllStringSubmatch(text, -1)
		if len(urls) < 2 || !strings.Contains(urls[0][1], c.host) {
			t.Errorf("%q: %q, want %s", c.listen, urls, c.host)
		}
		for _, url := range urls {
			where := strings.ReplaceAll(url[1], "\u00a0", " ")
			if strings.HasPrefix(where, "http:") {
				resp, err := http.Get(where)
				if err != nil {
					t.Errorf("%q: %v", c.listen, err)
					continue
				}
				resp.Body.Close()
				continue
			}
			k, err := client.Connect(t.Context(), where, client.Options{})
			if err != nil {
				t.Errorf("%q: %v", c.listen, err)
				continue
			}
			k.Abandon()
		}
		command := commands.FindStringSubmatch(banner.String())
		cmd := exec.Command("sh", "-c", command[1]+" --ack")
		cmd.Dir = "/"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %s: %v\n%s", c.listen, command[1], err, out)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestReachable: the interface of an address is escaped, as URLs want it.
func TestReachable(t *testing.T) {
	for want, a := range map[string]net.Addr{
		"[fe80::1%25eth0]:8080": &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 8080, Zone: "eth0"},
		"127.0.0.1:8080":        &net.TCPAddr{Port: 8080},
		"[::1]:8080":            &net.TCPAddr{IP: net.IPv6unspecified, Port: 8080},
		"192.0.2.1:8080":        &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 8080},
		"/run/b":                &net.UnixAddr{Name: "/run/b", Net: "unix"},
		"@b":                    &net.UnixAddr{Name: "@b", Net: "unix"},
	} {
		got := reachable(a)
		if got != want {
			t.Errorf("%v: %s, want %s", a, got, want)
		}
		if _, target, err := client.Socket("rs://" + got); a.Network() == "tcp" && err != nil {
			t.Errorf("%s: %s, %v", got, target, err)
		}
	}
}

// TestShellWord: a shell takes every text for one word, the text itself.
func TestShellWord(t *testing.T) {
	for _, text := range []string{"", "a", "a b", "it's", "ws://[::1]:1/ws", `$HOME "\`, "*", "~x", "a#b", "ä"} {
		out, err := exec.Command("sh", "-c", "printf %s "+shellWord(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q: %q, %v", text, out, err)
		}
	}
	for _, plain := range []string{"ws://127.0.0.1:8080/ws", "unix:/run/b.sock", "com.example.realm", "unix:@b"} {
		if got := shellWord(plain); got != plain {
			t.Errorf("%s is quoted without need: %s", plain, got)
		}
	}
}

// TestBannerTellsApart: who may join without authentication at another listener is told with its name, or with the
// port that it got.
func TestBannerTellsApart(t *testing.T) {
	f, err := readFlags("--listen=127.0.0.1:0", "--listen=127.0.0.1:0,anonymous=none",
		"--listen=127.0.0.1:0,anonymous=anywhere")
	if err != nil {
		t.Fatal(err)
	}
	f.Listeners[2].Name = "outside"
	addrs := []net.Addr{
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1001}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1002},
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1003},
	}
	var banner bytes.Buffer
	announce(&banner, f, addrs, 1)
	for _, want := range []string{"but at 127.0.0.1:1002: nobody", "but at outside: ANYBODY"} {
		if !strings.Contains(banner.String(), want) {
			t.Errorf("the start does not say %q:\n%s", want, &banner)
		}
	}
}
