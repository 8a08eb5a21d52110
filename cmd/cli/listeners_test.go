package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// at is the address of a listener.
func (s *testService) at(listener int) string { return s.router.engine.Addrs()[listener].String() }

// joinAt joins realm a through a listener.
func (s *testService) joinAt(scheme string, listener int) error {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	url := scheme + "://" + s.at(listener)
	if scheme == "ws" {
		url += "/ws"
	}
	c, err := client.Dial(ctx, url, client.Options{Realm: "a", Serializer: codec.MessagePack})
	if err != nil {
		return err
	}
	return c.Close()
}

// TestFileListeners: protocols, origins, trusted proxies, PROXY headers and names are those of their listener.
func TestFileListeners(t *testing.T) {
	s := startService(t, `
listeners:
  - { address: "127.0.0.1:0", protocols: [websocket], origins: [a.example], long_poll: /poll }
  - { name: raw only, address: "127.0.0.2:0", protocols: [rawsocket] }
  - { address: "127.0.0.3:0", proxy_protocol: required, trusted_proxies: [127.0.0.0/8], anonymous: anywhere }
  - { address: "127.0.0.4:0", proxy_protocol: required, trusted_proxies: [192.0.2.1] }
`+openRealms("a"))
	for i, want := range []struct{ ws, rs bool }{{true, false}, {false, true}, {false, false}, {false, false}} {
		if err := s.joinAt("ws", i); (err == nil) != want.ws {
			t.Errorf("listener %d: WebSocket %v", i, err)
		}
		if err := s.joinAt("rs", i); (err == nil) != want.rs {
			t.Errorf("listener %d: RawSocket %v", i, err)
		}
	}
	proxied := func(listener int) string {
		c, err := net.Dial("tcp", s.at(listener))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(c, "PROXY TCP4 198.51.100.7 198.51.100.8 1 2\r\n\x7F\xF1\x00\x00")
		b := make([]byte, 4)
		n, _ := io.ReadFull(c, b)
		return string(b[:n])
	}
	if got := proxied(2); got != "\x7F\xF1\x00\x00" {
		t.Errorf("behind a trusted proxy: %q", got)
	}
	if got := proxied(3); got != "" {
		t.Errorf("behind a proxy that is not trusted: %q", got)
	}
	if log := s.log.String(); !strings.Contains(log, `listener="raw only"`) && !strings.Contains(log, "127.0.0.4") {
		t.Errorf("no listener is named: %s", log)
	}
	for i, want := range []int{200, 405} {
		offer := strings.NewReader(`{"protocols":["wamp.2.json"]}`)
		a, err := http.Post("http://"+s.at(i)+"/poll/open", "", offer)
		if err != nil || a.StatusCode != want {
			t.Errorf("listener %d: long-poll %v %v", i, a, err)
			continue
		}
		a.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	var banner bytes.Buffer
	announce(&banner, s.started, s.router.engine.Addrs(), 1)
	for _, want := range []string{
		"WebSocket  ws://127.0.0.1:", "/poll\n", "raw only:\n  RawSocket  rs://127.0.0.2:",
	} {
		if !strings.Contains(banner.String(), want) {
			t.Errorf("the start does not say %q:\n%s", want, &banner)
		}
	}
	for _, not := range []string{"rs://127.0.0.1", "ws://127.0.0.2"} {
		if strings.Contains(banner.String(), not) {
			t.Errorf("the start says %q:\n%s", not, &banner)
		}
	}
}

// TestFileAdmission: the limits of connections are those of the file, and a reload changes them.
func TestFileAdmission(t *testing.T) {
	text := func(limits string) string {
		return "listeners: [{ address: '127.0.0.1:0', trusted_proxies: [127.0.0.0/8], anonymous: anywhere }]\n" +
			"limits: { " + limits + " }\n" + openRealms("a")
	}
	s := startService(t, text("connections_per_address_max: 2"))
	open := func() (refused bool, done func()) {
		c, err := client.Dial(t.Context(), "rs://"+s.at(0), client.Options{Realm: "a", Serializer: codec.JSON})
		if err != nil {
			return true, func() {}
		}
		return false, func() { c.Close() }
	}
	var ends []func()
	for i := range 3 {
		refused, end := open()
		ends = append(ends, end)
		if refused != (i == 2) {
			t.Errorf("connection %d of one address is refused: %v", i, refused)
		}
	}
	s.write(text("handshakes_max: 1, retry_after: 90s"))
	if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
		t.Fatalf("%+v", r)
	}
	if refused, end := open(); refused {
		t.Error("the old limit is still in force")
	} else {
		ends = append(ends, end)
	}
	silent, err := net.Dial("tcp", s.at(0))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		answer, err := http.Get("http://" + s.at(0) + "/")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusServiceUnavailable {
			var after int
			_, err := fmt.Sscan(answer.Header.Get("Retry-After"), &after)
			if err != nil || after < 90 || after > 180 {
				t.Errorf("Retry-After %d, %v", after, err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("a second opening handshake is never refused")
		}
	}
	for _, end := range ends {
		end()
	}
}
