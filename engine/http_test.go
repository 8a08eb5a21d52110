//go:build linux

package engine

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

func TestPageAndHealth(t *testing.T) {
	e := start(t, Config{Page: func(path string) Page {
		if path == "/boom" {
			panic("page")
		}
		return Page{418, "text/x", []string{"X-One: 1", "X-Two: 2"}, []byte("page " + path)}
	}}, echoes)
	plain := start(t, Config{}, echoes)
	for _, c := range []struct {
		e             *Engine
		request, body string
		status        int
	}{
		{e, "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n", "page /a", 418},
		{e, "GET http://h/abs HTTP/1.1\r\nHost: h\r\n\r\n", "page /abs", 418},
		{e, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "ok", 200},
		{e, "GET /healthz HTTP/1.0\r\n\r\n", "ok", 200},
		{e, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "", 418},
		{e, "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "only GET and HEAD\n", 405},
		{e, "GET /a FTP/1.1\r\nHost: h\r\n\r\n", "malformed request line\n", 400},
		{e, "GET /a HTTP/1.1 x\r\nHost: h\r\n\r\n", "malformed request line\n", 400},
		{e, "GET /a HTTP/2\r\nHost: h\r\n\r\n", "this is an HTTP/1.1 server\n", 505},
		{e, "GET\r\nHost: h\r\n\r\n", "malformed request line\n", 400},
		{e, "GET nonsense HTTP/1.1\r\nHost: h\r\n\r\n", "malformed request target\n", 400},
		{e, "GET /a HTTP/1.1\r\nHost: h\x01\r\n\r\n", "malformed header\n", 400},
		{e, "OPTIONS / HTTP/1.0\r\n\r\n", "", 200},
		{e, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "", 200},
		{e, "HEAD /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "", 200},
		{e, "HEAD /a HTTP/1.1\r\n\r\n", "", 400},
		{e, "HEAD /a HTTP/9.0\r\n", "", 505},
		{e, "HEAD /a HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: x\r\n\r\n", "", 405},
		{e, "SSH-2.0-OpenSSH_9.6\r\n", "malformed request line\n", 400},
		{e, "EHLO mail.example\r\n", "malformed request line\n", 400},
		{e, "PROXY TCP4 192.0.2.1 192.0.2.2 5 8080\r\n", "malformed request line\n", 400},
		{e, "PRI * HTTP/2.0\r\n", "this is an HTTP/1.1 server\n", 505},
		{e, "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "only GET and HEAD\n", 405},
		{e, "get / HTTP/1.1\r\nHost: h\r\n\r\n", "only GET and HEAD\n", 405},
		{e, "x-1! / HTTP/1.1\r\nHost: h\r\n\r\n", "only GET and HEAD\n", 405},
		{e, "hello\r\n", "malformed request line\n", 400},
		{e, "\r\n\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", "ok", 200},
		{e, strings.Repeat("\r\n", 5), "no request line\n", 400},
		{e, "\r\n\r\n\x00\r\nQUIT\n!", "malformed request line\n", 400},
		{e, "GET /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "ok", 200},
		{
			e, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
			"Content-Length is malformed, or the length of the body is given twice\n", 400,
		},
		{plain, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", builtinPage, 200},
		{plain, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n", "nothing here\n", 404},
	} {
		p := dial(t, c.e)
		p.send([]byte(c.request))
		status, head := p.readHead()
		body, err := io.ReadAll(p.r)
		if err != nil || status != c.status || string(body) != c.body ||
			!strings.Contains(head, "Connection: close\r\n") {
			t.Errorf("%q: %q %q %v", c.request, head, body, err)
		}
		for _, line := range []string{
			"X-Content-Type-Options: nosniff\r\n", "Content-Security-Policy: frame-ancestors 'none'\r\n",
			"Referrer-Policy: no-referrer\r\n",
		} {
			if !strings.Contains(head, line) {
				t.Errorf("%q: %q lacks %q", c.request, head, line)
			}
		}
		allows := strings.HasPrefix(c.request, "OPTIONS") || status == 405 && !strings.Contains(c.request, "Sec-")
		if allow := strings.Contains(head, "Allow: GET, HEAD, OPTIONS\r\n"); allow != allows {
			t.Errorf("%q: %q", c.request, head)
		}
		if extra := strings.Contains(head, "X-One: 1\r\nX-Two: 2\r\n"); extra != (status == 418) {
			t.Errorf("%q: %q", c.request, head)
		}
	}
	p := dial(t, e)
	p.send([]byte("GET /boom HTTP/1.1\r\nHost: h\r\n\r\n"))
	p.expectEnd()
	if e.Stats().Panics != 1 {
		t.Error("the panic of a page was not counted")
	}
}

func TestTRN51HeadIsBounded(t *testing.T) {
	e := start(t, Config{}, echoes)
	for name, head := range map[string][]byte{
		"2 MiB line":   bytes.Repeat([]byte("A"), 2<<20),
		"10 000 lines": []byte("GET / HTTP/1.1\r\n" + strings.Repeat("X-Y: z\r\n", 10_000)),
		"101 lines":    []byte("GET / HTTP/1.1\r\n" + strings.Repeat("X-Y: z\r\n", 100)),
	} {
		t.Run(name, func(t *testing.T) {
			p := dial(t, e)
			go p.Write(head) // fails when the server hangs up, as it should
			answer, err := io.ReadAll(p.r)
			if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 431 ")) {
				t.Fatalf("%q %v", answer, err)
			}
			p.Close()
			eventually(t, "connection closed", func() bool { return e.Stats().Connections == 0 })
			if in := e.Stats().BytesIn; in > 512<<10 {
				t.Fatalf("%d bytes read", in)
			}
		})
	}
	p := dial(t, e)
	p.send([]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X-Y: z\r\n", 98) + "\r\n"))
	if status, _ := p.readHead(); status != 200 {
		t.Fatalf("100 lines: %d", status)
	}
}

// A health check fails while the router drains, over the connection limit too, and succeeds again if it no longer
// does. Clients are let in all the same.
func TestHealthWhileDraining(t *testing.T) {
	e := start(t, Config{Live: Live{ConnectionsMax: 2}}, echoes)
	for _, c := range []struct {
		draining bool
		status   int
	}{{false, 200}, {true, 503}, {false, 200}} {
		if err := e.Apply(Live{ConnectionsMax: 2, Draining: c.draining}); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"GET", "HEAD"} {
			p := dial(t, e)
			p.send([]byte(method + " /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
			if status, head := p.readHead(); status != c.status || (status == 503) != (retryAfter(head) > 0) {
				t.Errorf("draining %v: %q", c.draining, head)
			}
			p.Close()
		}
		eventually(t, "there is room for two", func() bool { return e.Stats().Connections == 0 })
		first, second := dialRaw(t, e, codec.CBOR), dialRaw(t, e, codec.CBOR)
		p := dial(t, e)
		p.send([]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
		if status, head := p.readHead(); status != c.status {
			t.Errorf("draining %v, no place left: %q", c.draining, head)
		}
		first.Close()
		second.Close()
		p.Close()
		eventually(t, "the connections are gone", func() bool { return e.Stats().Connections == 0 })
	}
}

// F14: over the connection limit a health check is answered still, everything else is refused.
func TestHealthOverTheConnectionLimit(t *testing.T) {
	e := start(t, Config{Live: Live{ConnectionsMax: 1}, Page: func(string) Page { return Page{Status: 200} }}, echoes)
	first := dialRaw(t, e, codec.CBOR)
	for range 2 {
		for request, want := range map[string]int{
			"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n":                                   200,
			"HEAD /healthz?x HTTP/1.1\r\nHost: h\r\n\r\n":                                200,
			"GET /healthz/x HTTP/1.1\r\nHost: h\r\n\r\n":                                 503,
			"GET / HTTP/1.1\r\nHost: h\r\n\r\n":                                          503,
			"OPTIONS / HTTP/1.0\r\n\r\n":                                                 503,
			string(upgradeRequest("wamp.2.json")):                                        503,
			strings.Replace(string(upgradeRequest("wamp.2.json")), "/ws", "/healthz", 1): 503,
		} {
			p := dial(t, e)
			p.send([]byte(request))
			if status, head := p.readHead(); status != want ||
				(want == 503) != (retryAfter(head) >= 5 && retryAfter(head) <= 10) {
				t.Errorf("%q: %q", request, head)
			}
			if body, err := io.ReadAll(p.r); err != nil ||
				want == 200 && strings.HasPrefix(request, "GET") && string(body) != "ok" {
				t.Errorf("%q: %q %v", request, body, err)
			}
			p.Close()
			eventually(t, "gone", func() bool { return e.Stats().Connections == 1 })
		}
	}
	first.send(rawFrameOf([]byte("x")))
	first.expect(rawFrameOf([]byte("x")))
}

// Over the connection limit a health check is answered however many silent connections come.
func TestHealthAmongSilentRefusals(t *testing.T) {
	t.Parallel()
	for loops := range 3 {
		e := start(t, Config{Live: Live{ConnectionsMax: 1}, Loops: 1 + loops}, echoes)
		first := dialRaw(t, e, codec.CBOR)
		for range 4 {
			for range 2 * refusalsMax {
				dial(t, e)
			}
			p := dial(t, e)
			p.send([]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
			if status, head := p.readHead(); status != 200 {
				t.Fatalf("%d loops: %q", e.Len(), head)
			}
		}
		if s := e.Stats(); s.RefusalsCut < 4*refusalsMax || s.Connections > 1+2*refusalsMax {
			t.Errorf("%d loops: %d cut, %d connections", e.Len(), s.RefusalsCut, s.Connections)
		}
		first.send(rawFrameOf([]byte("x")))
		first.expect(rawFrameOf([]byte("x")))
	}
}

func TestTRN49SlowLoris(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Live: Live{HandshakeTimeout: 150 * time.Millisecond}}, echoes)
	silent, raw, http := dial(t, e), dial(t, e), dial(t, e)
	raw.send([]byte{0x7F, 0xF1})
	stop := make(chan bool)
	go func() {
		// Each octet is in time; the whole is not.
		for _, b := range upgradeRequest("wamp.2.json") {
			if _, err := http.Write([]byte{b}); err != nil {
				break
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
		<-stop
	}()
	for _, p := range []*peer{silent, raw, http} {
		p.expectEnd()
	}
	close(stop)
	if n := e.Stats().HandshakeTimeouts; n != 3 {
		t.Errorf("%d timeouts counted", n)
	}
}
