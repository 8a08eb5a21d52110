//go:build linux

package engine

import (
	"strings"
	"testing"
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
	e := start(t, Config{Origins: []string{"app.example.org", "https://other.example.org:8443"}}, echoes)
	any := start(t, Config{Origins: []string{"*"}}, echoes)
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
		{"TRN-03 client order", swap("wamp.2.json", "x, wamp.2.cbor, wamp.2.json"), 101, "Sec-WebSocket-Protocol: wamp.2.cbor\r\n"},
		{"TRN-50 two lines", swap(protocol, "Sec-WebSocket-Protocol: nope\r\nSec-WebSocket-Protocol: wamp.2.msgpack, wamp.2.json\r\n"), 101, "Sec-WebSocket-Protocol: wamp.2.msgpack\r\n"},
		{"TRN-50 POST", swap("GET", "POST"), 405, ""},
		{"TRN-50 HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), 505, ""},
		{"TRN-50 HTTP/2.0", swap("HTTP/1.1", "HTTP/2.0"), 505, ""},
		{"TRN-50 no Host", swap("Host: localhost\r\n", ""), 400, ""},
		{"TRN-50 two Hosts", swap("Host: localhost\r\n", "Host: a\r\nHost: b\r\n"), 400, ""},
		{"TRN-50 no Upgrade", swap("Upgrade: websocket\r\n", ""), 200, ""},
		{"TRN-50 no Connection", swap("Connection: Upgrade\r\n", ""), 200, ""},
		{"TRN-50 other Upgrade", swap("Upgrade: websocket", "Upgrade: h2c"), 200, ""},
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
	p := dial(t, any)
	p.send([]byte(origin("http://evil.example")))
	if status, _ := p.readHead(); status != 101 {
		t.Errorf("any origin: %d", status)
	}
	p = dial(t, e)
	p.send([]byte(swap("Upgrade: websocket", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-unknown\r\nUpgrade: websocket")))
	if status, head := p.readHead(); status != 101 || strings.Contains(strings.ToLower(head), "extensions") {
		t.Errorf("unknown extension: %q", head)
	}
}
