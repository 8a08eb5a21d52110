//go:build linux

package engine

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"banyan/engine/port"
)

func TestTRN01SubprotocolIsAcceptedAndEchoed(t *testing.T) {
	e := start(t, Config{}, echoes)
	for name := range subprotocols {
		p := dialWS(t, e, name)
		p.send(ping("there"))
		p.expect(serverPong("there"))
	}
}

func TestTRN02TRN03TRN50TRN52OpeningHandshake(t *testing.T) {
	e := start(t, Config{Live: Live{Origins: []string{"app.example.org", "https://other.example.org:8443"}}}, echoes)
	any := start(t, Config{Live: Live{Origins: []string{"*"}}}, echoes)
	good := string(upgradeRequest("wamp.2.json"))
	swap := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	origin := func(o string) string { return swap("Upgrade: websocket", "Origin: "+o+"\r\nUpgrade: websocket") }
	protocol := "Sec-WebSocket-Protocol: wamp.2.json\r\n"
	for _, c := range []struct {
		name, request string
		status        int
		has           string
	}{
		{"TRN-01 plain", good, 101, "Sec-WebSocket-Protocol: wamp.2.json\r\n"},
		{"TRN-02 no subprotocol", swap(protocol, ""), 400, ""},
		{"TRN-02 unknown subprotocol", swap("wamp.2.json", "wamp.1, chat"), 400, ""},
		{
			"TRN-03 client order", swap("wamp.2.json", "x, wamp.2.cbor, wamp.2.json"), 101,
			"Sec-WebSocket-Protocol: wamp.2.cbor\r\n",
		},
		{
			"TRN-50 two lines",
			swap(protocol, "Sec-WebSocket-Protocol: nope\r\nSec-WebSocket-Protocol: wamp.2.msgpack, wamp.2.json\r\n"),
			101,
			"Sec-WebSocket-Protocol: wamp.2.msgpack\r\n",
		},
		{"TRN-50 POST", swap("GET", "POST"), 405, ""},
		{"TRN-50 lower case", swap("GET", "get"), 405, ""},
		{"TRN-50 empty line first", "\r\n" + good, 101, ""},
		{"TRN-50 body", swap("Host", "Content-Length: 5\r\nHost") + "hello", 400, ""},
		{
			"TRN-50 body in chunks", swap("Host", "Transfer-Encoding: chunked\r\nHost") + "5\r\nhello\r\n0\r\n\r\n",
			400, "",
		},
		{"TRN-50 body of no octets", swap("Host", "Content-Length: 0\r\nHost"), 101, ""},
		{"TRN-61 HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), 426, "Upgrade: websocket\r\n"},
		{"TRN-50 HTTP/2.0", swap("HTTP/1.1", "HTTP/2.0"), 505, ""},
		{"TRN-50 no Host", swap("Host: localhost\r\n", ""), 400, ""},
		{"TRN-50 two Hosts", swap("Host: localhost\r\n", "Host: a\r\nHost: b\r\n"), 400, ""},
		{"TRN-61 no Upgrade", swap("Upgrade: websocket\r\n", ""), 426, "Upgrade: websocket\r\n"},
		{"TRN-61 no Connection", swap("Connection: Upgrade\r\n", ""), 426, "Connection: close\r\n"},
		{"TRN-61 other Upgrade", swap("Upgrade: websocket", "Upgrade: h2c"), 426, ""},
		{
			"TRN-50 neither Upgrade nor key", strings.Replace(swap("Upgrade: websocket\r\n", ""), "Sec-WebSocket-Key",
				"X", 1),
			200, "",
		},
		{
			"TRN-58 Connection on two lines",
			swap("Connection: Upgrade\r\n", "Connection: keep-alive\r\nConnection: Upgrade\r\n"), 101, "",
		},
		{"TRN-58 Upgrade list", swap("Upgrade: websocket", "Upgrade: h2c, websocket"), 101, ""},
		{
			"TRN-58 Connection on two lines, the other way",
			swap("Connection: Upgrade\r\n", "Connection: Upgrade\r\nConnection: keep-alive\r\n"), 101, "",
		},
		{
			"TRN-58 Upgrade on two lines, the other way",
			swap("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n"), 101, "",
		},
		{
			"TRN-58 Upgrade on two lines", swap("Upgrade: websocket\r\n", "Upgrade: h2c\r\nUpgrade: WebSocket\r\n"),
			101, "",
		},
		{"TRN-58 blanks and tabs", swap("Connection: Upgrade", "connection:\t keep-alive \t,\tUPGRADE\t "), 101, ""},
		{"TRN-50 100 lines", swap("Host", strings.Repeat("X: y\r\n", 93)+"Host"), 101, ""},
		{"TRN-51 101 lines", swap("Host", strings.Repeat("X: y\r\n", 94)+"Host"), 431, ""},
		{"TRN-50 Connection list", swap("Connection: Upgrade", "Connection: keep-alive, upgrade"), 101, ""},
		{"TRN-50 no key", swap("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, ""},
		{"TRN-50 short key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400, ""},
		{"TRN-50 key is no base64", swap("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), 400, ""},
		{"TRN-50 no version", swap("Sec-WebSocket-Version: 13\r\n", ""), 426, "Sec-WebSocket-Version: 13\r\n"},
		{"TRN-50 version 8", swap("Version: 13", "Version: 8"), 426, "Sec-WebSocket-Version: 13\r\n"},
		{"TRN-50 header without colon", swap("Host: localhost\r\n", "Host: localhost\r\nnonsense\r\n"), 400, ""},
		{"TRN-50 folded header", swap("Host: localhost\r\n", "Host: localhost\r\n more\r\n"), 400, ""},
		{"TRN-50 bare LF", swap("Host: localhost\r\n", "Host: localhost\n"), 400, ""},
		{"TRN-50 request line", swap("GET /ws HTTP/1.1", "GET /ws"), 400, ""},
		{"TRN-52 same host, other port", origin("http://localhost:3000"), 101, ""},
		{"TRN-52 other host", origin("http://evil.example"), 403, ""},
		{"TRN-52 two origins", origin("http://localhost\r\nOrigin: http://localhost"), 403, ""},
		{
			"TRN-52 two origins, the last configured",
			origin("http://evil.example\r\nOrigin: https://other.example.org:8443"),
			403, "",
		},
		{"TRN-52 null", origin("null"), 403, ""},
		{"TRN-52 configured host", origin("https://APP.example.org:9999"), 101, ""},
		{"TRN-52 configured origin", origin("https://other.example.org:8443"), 101, ""},
		{"TRN-52 configured origin, other port", origin("https://other.example.org"), 403, ""},
	} {
		p := dial(t, e)
		p.send([]byte(c.request))
		status, head := p.readHead()
		if status != c.status || !strings.Contains(head, c.has) {
			t.Errorf("%s: got %q, want %d", c.name, head, c.status)
		}
		if strings.Contains(strings.ToLower(head), "extensions") {
			t.Errorf("%s: mentions extensions", c.name)
		}
		p.Close()
	}
	for o, want := range map[string]int{
		"http://evil.example": 101, "http://evil.example\r\nOrigin: http://evil.example": 403,
	} {
		p := dial(t, any)
		p.send([]byte(origin(o)))
		if status, _ := p.readHead(); status != want {
			t.Errorf("any origin, %q: %d", o, status)
		}
	}
	p := dial(t, e)
	p.send([]byte(swap("Upgrade: websocket",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-unknown\r\nUpgrade: websocket")))
	if status, head := p.readHead(); status != 101 || strings.Contains(strings.ToLower(head), "extensions") {
		t.Errorf("unknown extension: %q", head)
	}
}

// F3, B1, TRN-56: a page whose name server answers 127.0.0.1 gets no session. Host and Origin agree, but the name is
// nobody's.
func TestTRN56RebindingIsRefused(t *testing.T) {
	tcp := start(t, Config{Live: Live{Origins: []string{"app.example.org"}}}, echoes)
	six := start(t, Config{Listen: []string{"[::1]:0"}}, echoes)
	unix := start(t, Config{Listen: []string{"unix:" + t.TempDir() + "/s"}}, echoes)
	_, number, _ := net.SplitHostPort(tcp.Addrs()[0].String())
	for _, c := range []struct {
		e      *Engine
		host   string
		status int
	}{
		{tcp, "evil.example:" + number, 403},
		{tcp, "evil.example", 403},
		{tcp, "localhost.evil.example:" + number, 403},
		{tcp, "localhost:" + number, 101},
		{tcp, "LOCALHOST:" + number, 101},
		{tcp, "app.localhost:" + number, 101},
		{tcp, "127.0.0.1:" + number, 101},
		{tcp, "[::1]:" + number, 101},
		{tcp, "app.example.org:" + number, 101}, // configured
		{six, "evil.example:1", 403},
		{six, "[::1]:1", 101},
		{unix, "evil.example", 403},
		{unix, "localhost", 101},
	} {
		for _, scheme := range []string{"http://", "https://"} {
			p := dial(t, c.e)
			p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
				"Host: "+c.host+"\r\nOrigin: "+scheme+c.host, 1)))
			if status, head := p.readHead(); status != c.status {
				t.Errorf("%s%s: %q, want %d", scheme, c.host, head, c.status)
			}
			p.Close()
		}
	}
}

// F2, TRN-57: what a proxy passed on is not local, on any listener.
func TestTRN57ForwardedIsNotLocal(t *testing.T) {
	seen := make(chan bool, 1)
	open := func(x port.Executor, c port.Conn) port.Handler {
		seen <- c.Peer().Local
		return echoes(x, c)
	}
	tcp := start(t, Config{}, open)
	unix := start(t, Config{Listen: []string{"unix:" + t.TempDir() + "/s"}}, open)
	for _, e := range []*Engine{tcp, unix} {
		cases := map[string]bool{
			"": true, "X-Other: y\r\n": true, "Client-IP-X: 192.0.2.1\r\n": true, "X-Forwarde: y\r\n": true,
			"x-forwarded-for:\r\n": false, "FORWARDED: for=192.0.2.1\r\n": false,
		}
		for _, name := range []string{
			"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Proto",
			"X-Forwarded-Server", "X-Forwarded", "x-forwarded-ssl", "X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP",
			"X-Original-Forwarded-For", "X-Original-For", "X-ProxyUser-IP", "CDN-Loop",
			"X-Original-Host", "X-Envoy-External-Address", "CF-Connecting-IP", "CF-Connecting-IPv6",
			"True-Client-IP", "Fly-Client-IP", "Fastly-Client-IP", "X-Azure-ClientIP", "X-AppEngine-User-IP",
		} {
			cases[name+": 192.0.2.1\r\n"] = false
		}
		for header, local := range cases {
			p := dial(t, e)
			p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host:", header+"Host:", 1)))
			if status, head := p.readHead(); status != 101 {
				t.Fatalf("%q: %q", header, head)
			}
			if got := <-seen; got != local {
				t.Errorf("%s with %q: local is %v", e.Addrs()[0].Network(), header, got)
			}
			p.Close()
		}
	}
	// Behind a proxy that says so, the name that strangers know counts, as on any network.
	p := dial(t, tcp)
	p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
		"X-Forwarded-For: 192.0.2.1\r\nHost: app.example\r\nOrigin: https://app.example", 1)))
	if status, head := p.readHead(); status != 101 || <-seen {
		t.Errorf("same host behind a proxy: %q", head)
	}
}

// A lineLog collects log lines.
type lineLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lineLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lineLog) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

func (l *lineLog) has(parts ...string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.SplitSeq(l.b.String(), "\n") {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}

// A refused opening has a line at debug level that says who, from where, and what it looked like.
func TestRefusedOpeningsAreLogged(t *testing.T) {
	var lines lineLog
	e := start(t, Config{Log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))},
		echoes)
	for _, c := range []struct {
		send string
		line []string
	}{
		{
			strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
				"Host: h.example:1\r\nOrigin: http://evil.example", 1),
			[]string{"level=DEBUG", "status=403", "origin=http://evil.example", "host=h.example:1"},
		},
		{string(upgradeRequest("wamp.1")), []string{"status=400", "no subprotocol"}},
		{"SSH-2.0-OpenSSH_9.6\r\n", []string{"status=400", "looks_like=SSH"}},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 5 8080\r\n", []string{
			"status=400",
			`looks_like="PROXY protocol version 1"`,
		}},
		{"\x16\x03\x01", []string{"looks_like=TLS"}},
		{"\r\n\r\n\x00\r\nQUIT\n!", []string{"status=400", `looks_like="PROXY protocol version 2"`}},
		{"\x7F\xF0\x00\x00", []string{"RawSocket", "serializer unsupported"}},
	} {
		p := dial(t, e)
		p.send([]byte(c.send))
		address := p.LocalAddr().String()
		eventually(t, c.send, func() bool { return lines.has(append(c.line, "peer="+address)...) })
		p.Close()
	}
}
