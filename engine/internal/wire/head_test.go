package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const goodUpgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n"

func headSeeds() [][]byte {
	return [][]byte{
		[]byte(goodUpgrade),
		[]byte("GET /healthz HTTP/1.0\r\n\r\n"),
		[]byte("GET http://h/a?b HTTP/1.1\r\nHost:h\r\nX: \t y \r\n\r\nbody"),
		[]byte("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("SSH-2.0-OpenSSH_9.6\r\n"),
		[]byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n"),
		[]byte("GET / HTTP/2\r\nHost: h\r\n\r\n"),
		[]byte("POST / HTTP/1.1\r\nHost: h\r\nVia: p\r\nOrigin: a\r\nOrigin: b\r\n\r\n"),
		[]byte("HEAD / HTTP/1.1\nHost: h\n\n"),
		[]byte("\r\n\r\nget / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 01\r\n\r\nx"),
		[]byte("\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0C"),
		[]byte("PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n"),
	}
}

type headAnswer struct {
	head    string
	length  int
	refused Refusal
}

func readHead(b []byte) (headAnswer, bool) {
	h, n, refused := ReadHead(b)
	if n < 0 || n > len(b) || n > 0 && refused != nil {
		panic(fmt.Sprintf("length %d of %d, %v", n, len(b), refused))
	}
	a := headAnswer{length: n}
	if refused != nil {
		a.refused = *refused
	}
	if n > 0 || refused != nil {
		a.head = fmt.Sprintf("%+v", h)
	}
	return a, n > 0 || refused != nil
}

func FuzzHead(f *testing.F) {
	for _, s := range headSeeds() {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		if len(b) > 0 {
			checkHead(t, b, step)
		}
	})
}

// checkHead compares the answer to the whole with the answers to pieces, and an accepted head with what net/http
// finds in it.
func checkHead(t *testing.T, b []byte, step uint8) {
	t.Helper()
	whole, done := inPieces(b, func(int) int { return len(b) }, readHead)
	for _, step := range []int{int(step), 1} {
		step = max(step, len(b)/200) // each step reads the head from its start
		if pieces, _ := inPieces(b, func(int) int { return step }, readHead); pieces != whole {
			t.Fatalf("%q:\nwhole  %+v\npieces %+v", b, whole, pieces)
		}
	}
	if !done || whole.length == 0 {
		return
	}
	h, n, _ := ReadHead(b)
	h.AsksWebSocket()
	h.Path()
	h.OriginAllowed([]string{"a.example"}, true)
	if refused := h.JudgeUpgrade(); refused == nil {
		AppendUpgrade(nil, h.Key, "p", "")
	}
	head := bytes.TrimLeft(b[:n], "\r\n")
	if len(head) > HeadBytesMax || n-len(head) > 2*emptyLinesMax ||
		bytes.Index(head, []byte("\r\n\r\n")) != len(head)-4 ||
		bytes.Count(head, []byte("\n"))-1 > HeadLinesMax {
		t.Fatalf("%q: a head of %d octets", b, n)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return // net/http also judges what we do not look at
	}
	if r.ContentLength != 0 && !h.Body {
		t.Fatalf("%q: a body of %d octets is not seen", b, r.ContentLength)
	}
	if r.Method != h.Method || r.RequestURI != h.Target || r.ProtoMinor != h.Minor {
		t.Fatalf("%q: %s %s %d", b, h.Method, h.Target, h.Minor)
	}
	for name, got := range map[string]string{"Sec-Websocket-Key": h.Key, "Origin": h.Origin} {
		if all := r.Header[name]; len(all) == 1 && all[0] != got || len(all) == 0 && got != "" {
			t.Fatalf("%q: %s is %q, want %q", b, name, got, all)
		}
	}
	if h.Origins != len(r.Header["Origin"]) || h.Keys != len(r.Header["Sec-Websocket-Key"]) {
		t.Fatalf("%q: %d and %d", b, h.Origins, h.Keys)
	}
	token := func(name, want string) bool {
		for _, v := range r.Header[name] {
			for item := range strings.SplitSeq(v, ",") {
				if strings.EqualFold(strings.Trim(item, " \t"), want) {
					return true
				}
			}
		}
		return false
	}
	if token("Upgrade", "websocket") != h.Upgrade || token("Connection", "upgrade") != h.Connection {
		t.Fatalf("%q: %v %v", b, h.Upgrade, h.Connection)
	}
	var offered []string
	for item := range strings.SplitSeq(strings.Join(r.Header["Sec-Websocket-Protocol"], ","), ",") {
		if item = strings.Trim(item, " \t"); item != "" {
			offered = append(offered, item)
		}
	}
	if fmt.Sprint(offered) != fmt.Sprint(h.Protocols) {
		t.Fatalf("%q: offered %q, found %q", b, offered, h.Protocols)
	}
}

// TRN-51: the limits of a head at n and n + 1; judged before the rest is read.
func TestTRN51HeadLimits(t *testing.T) {
	lines := func(n int) []byte { // n lines in all, with the request line
		return []byte("GET / HTTP/1.0\r\n" + strings.Repeat("X-Y: z\r\n", n-1))
	}
	octets := func(n int) []byte { // a whole head of n octets
		const start, end = "GET / HTTP/1.0\r\nX: ", "\r\n\r\n"
		return []byte(start + strings.Repeat("x", n-len(start)-len(end)) + end)
	}
	for _, c := range []struct {
		name   string
		b      []byte
		length int
		status int
	}{
		{"100 lines", append(lines(100), "\r\n"...), len(lines(100)) + 2, 0},
		{"101 lines", lines(101), 0, 431},
		{"101 lines, the last without its end", lines(101)[:len(lines(101))-1], 0, 0},
		{"16 KiB", octets(16 << 10), 16 << 10, 0},
		{"16 KiB and one octet", octets(16<<10 + 1), 0, 431},
		{"one octet less than 16 KiB, without an end", octets(1 << 20)[:16<<10-1], 0, 0},
		{"16 KiB without an end", octets(1 << 20)[:16<<10], 0, 431},
		{"a request line of 16 KiB", bytes.Repeat([]byte("A"), 16<<10), 0, 431},
	} {
		_, n, refused := ReadHead(c.b)
		status := 0
		if refused != nil {
			status = refused.Status
		}
		if n != c.length || status != c.status {
			t.Errorf("%s: %d octets, status %d", c.name, n, status)
		}
	}
}

// A first line that is no request line is judged as soon as it is there, or as soon as an octet shows it.
func TestFirstLineIsJudgedWhenItIsThere(t *testing.T) {
	for _, c := range []struct {
		line   string
		status int
		looks  string
	}{
		{"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3\r\n", 400, "SSH"},
		{"EHLO mail.example\r\n", 400, "SMTP"},
		{"EHLO mail.example\n", 400, "SMTP"},
		{"PROXY TCP4 192.0.2.1 192.0.2.2 5 8080\r\n", 400, "PROXY protocol version 1"},
		{"PROXY UNKNOWN\r\n", 400, "PROXY protocol version 1"},
		{"PRI * HTTP/2.0\r\n", 505, "HTTP/2 without TLS"},
		{"CONNECT {\"verbose\":false}\r\n", 400, "NATS"},
		{"AMQP\x00", 400, "AMQP"},
		{"GET / HTTP/1.1 x\r\n", 400, "HTTP"},
		{"GET /\x00", 400, "unknown"},
		{"GET /\r/", 400, "unknown"},
	} {
		_, _, refused := ReadHead([]byte(c.line))
		if refused == nil || refused.Status != c.status {
			t.Errorf("%q: %+v", c.line, refused)
		}
		if _, _, early := ReadHead([]byte(c.line[:len(c.line)-1])); early != nil {
			t.Errorf("%q: refused an octet earlier", c.line)
		}
		if got := LooksLike([]byte(c.line)); got != c.looks {
			t.Errorf("%q looks like %s", c.line, got)
		}
	}
	for b, looks := range map[string]string{
		"\x16\x03\x01": "TLS", "\x10": "MQTT", "\r\n\r\n\x00\r\nQUIT\n\x21": "PROXY protocol version 2",
		"*1\r\n$4\r\nPING\r\n": "Redis", "x": "unknown", "": "unknown",
	} {
		if got := LooksLike([]byte(b)); got != looks {
			t.Errorf("%q looks like %s", b, got)
		}
	}
}

// TRN-50, TRN-58, TRN-61: which upgrades are good, and what the others are answered.
func TestJudgeUpgrade(t *testing.T) {
	t.Attr("checklist", "TRN-50")
	swap := func(old, with string) string {
		if !strings.Contains(goodUpgrade, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(goodUpgrade, old, with, 1)
	}
	key := "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, c := range []struct {
		name, request string
		asks          bool
		status        int
		has           string // in the headers or the body of the refusal
	}{
		{"plain", goodUpgrade, true, 0, ""},
		{
			"TRN-58 Connection on two lines",
			swap("Connection: Upgrade\r\n", "Connection: keep-alive\r\nConnection: Upgrade\r\n"), true, 0, "",
		},
		{
			"TRN-58 Connection on two lines, the other way",
			swap("Connection: Upgrade\r\n", "Connection: Upgrade\r\nConnection: keep-alive\r\n"), true, 0, "",
		},
		{
			"TRN-58 Upgrade on two lines, the other way",
			swap("Upgrade: websocket\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n"), true, 0, "",
		},
		{"TRN-58 Upgrade list", swap("Upgrade: websocket", "Upgrade: h2c, websocket"), true, 0, ""},
		{
			"TRN-58 Upgrade on two lines",
			swap("Upgrade: websocket\r\n", "Upgrade: h2c\r\nUpgrade: WebSocket\r\n"), true, 0, "",
		},
		{
			"TRN-58 blanks and tabs", swap("Connection: Upgrade", "connection:\t keep-alive \t,\tUPGRADE\t "),
			true, 0, "",
		},
		{"TRN-58 empty list items", swap("Connection: Upgrade", "Connection: ,, upgrade,"), true, 0, ""},
		{
			"token within another", swap("Connection: Upgrade", "Connection: upgrades"), true, 426,
			"Connection: Upgrade",
		},
		{"POST", swap("GET", "POST"), true, 405, "Allow: GET"},
		{"TRN-61 HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), true, 426, "HTTP/1.1"},
		{"TRN-61 no Upgrade", swap("Upgrade: websocket\r\n", ""), true, 426, "header Upgrade"},
		{
			"TRN-61 no Connection", swap("Connection: Upgrade\r\n", "Connection: close\r\n"), true, 426,
			"header Connection",
		},
		{
			"TRN-61 proxy lines", swap("Upgrade: websocket\r\n", ""), true, 426,
			"proxy_http_version 1.1;\n    proxy_set_header Upgrade $http_upgrade;\n" +
				"    proxy_set_header Connection \"upgrade\";\n",
		},
		{
			"426 names the protocol", swap("Upgrade: websocket\r\n", ""), true, 426,
			"Upgrade: websocket\r\nConnection: Upgrade",
		},
		{"no key", swap(key, ""), true, 400, ""},
		{"two keys", swap(key, key+key), true, 400, ""},
		{"15 octets of key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"), true, 400, ""},
		{"17 octets of key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZWU="), true, 400, ""},
		{"key with stray bits", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), true, 400, ""},
		{"key is no base64", swap("dGhlIHNhbXBsZSBub25jZQ==", "!!!!!!!!!!!!!!!!!!!!!!=="), true, 400, ""},
		{"no version", swap("Sec-WebSocket-Version: 13\r\n", ""), true, 426, "Sec-WebSocket-Version: 13"},
		{"version 8", swap("Version: 13", "Version: 8"), true, 426, "Sec-WebSocket-Version: 13"},
		{
			"two versions", swap("Version: 13\r\n", "Version: 13\r\nSec-WebSocket-Version: 8\r\n"), true, 426,
			"Sec-WebSocket-Version: 13",
		},
		{"a body of no octets", swap(key, key+"Content-Length: 0\r\n"), true, 0, ""},
		{"a body of no octets, twice", swap(key, key+"Content-Length: 00\r\ncontent-length: 0,0\r\n"), true, 0, ""},
		{"a body of one octet", swap(key, key+"Content-Length: 1\r\n"), true, 400, "body"},
		{"a body of ten octets", swap(key, key+"content-length: 10\r\n"), true, 400, "body"},
		{"a huge body", swap(key, key+"Content-Length: 99999999999999999999\r\n"), true, 400, "body"},
		{"a body in chunks", swap(key, key+"Transfer-Encoding: chunked\r\n"), true, 400, "body"},
		{"a body in some coding", swap(key, key+"transfer-encoding:\r\n"), true, 400, "body"},
		{"lower case", swap("GET", "get"), true, 405, "Allow: GET"},
		{"neither Upgrade nor key", strings.Replace(swap("Upgrade: websocket\r\n", ""), key, "", 1), false, 0, ""},
	} {
		h, n, refused := ReadHead([]byte(c.request))
		if n != len(c.request) || refused != nil {
			t.Errorf("%s: %d, %+v", c.name, n, refused)
			continue
		}
		if h.AsksWebSocket() != c.asks {
			t.Errorf("%s: asks for a WebSocket: %v", c.name, !c.asks)
		}
		if !c.asks {
			continue
		}
		refused = h.JudgeUpgrade()
		status, text := 0, ""
		if refused != nil {
			status, text = refused.Status, refused.Header+"\n"+refused.Reason
		}
		if status != c.status || !strings.Contains(text, c.has) {
			t.Errorf("%s: %d %q", c.name, status, text)
		}
	}
}

func TestHeadFields(t *testing.T) {
	h, _, refused := ReadHead([]byte("GET http://h:1/p/q?r HTTP/1.1\r\nHOST: h:1\r\n" +
		"Sec-WebSocket-Protocol: a, b\r\nsec-websocket-protocol:\tc ,,d\r\n\r\n"))
	if refused != nil || h.Host != "h:1" || h.Path() != "/p/q" || fmt.Sprint(h.Protocols) != "[a b c d]" ||
		h.Forwarded {
		t.Errorf("%+v %+v", h, refused)
	}
	for _, name := range []string{"X-Forwarded-For", "x-forwarded-host", "X-Real-IP", "FORWARDED", "Via"} {
		h, _, _ := ReadHead([]byte("GET / HTTP/1.1\r\nHost: h\r\n" + name + ": \r\n\r\n"))
		if !h.Forwarded {
			t.Errorf("%s is not seen", name)
		}
	}
	for _, c := range []struct {
		request, method string
		status          int
	}{
		{"HEAD / HTTP/1.1\r\n\r\n", "HEAD", 400},                // no Host
		{"HEAD / HTTP/3.0\r\n", "HEAD", 505},                    // before the rest of the head
		{"HEAD / HTTP/1.1\r\nnonsense\r\n\r\n", "HEAD", 400},    // no colon
		{"HEAD / HTTP/1.1\r\nHost : h\r\n\r\n", "HEAD", 400},    // blank before the colon
		{"HEAD / HTTP/1.1\r\nHost: h\n", "HEAD", 400},           // bare LF
		{"HEAD x HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD", 400},     // target
		{"GET / HTTP/1.1\r\nHost: h\r\n x\r\n\r\n", "GET", 400}, // folded
		{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET", 400},
		{"GET /\r\n", "", 400},
		{"GET  / HTTP/1.1\r\n", "", 400},
		{"G@T / HTTP/1.1\r\n", "", 400},
		{"GET / http/1.1\r\n", "", 400},
		{"GET / HTTP/1.11\r\n", "GET", 505},
		{"PUT / HTTP/1.0\r\nContent-Length:\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: +1\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: 0x1\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: 1,\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: 1, 2\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 0\r\n\r\n", "PUT", 400},
		{"PUT / HTTP/1.0\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", "PUT", 400},
	} {
		h, n, refused := ReadHead([]byte(c.request))
		if n != 0 || refused == nil || refused.Status != c.status || h.Method != c.method {
			t.Errorf("%q: %q, %d, %+v", c.request, h.Method, n, refused)
		}
	}
}

// Empty lines before the request line are ignored, at n and n + 1 of them (RFC 9112 2.2).
func TestEmptyLinesBeforeTheRequest(t *testing.T) {
	const head = "GET / HTTP/1.0\r\n\r\n"
	for n := range emptyLinesMax + 2 {
		b := []byte(strings.Repeat("\r\n", n) + head + "rest")
		want := 2*n + len(head)
		if n > emptyLinesMax {
			want = 0
		}
		h, length, refused := ReadHead(b)
		if length != want || (refused == nil) != (want > 0) || want > 0 && h.Method != "GET" {
			t.Errorf("%d empty lines: %d octets, %+v, %+v", n, length, h, refused)
		}
		checkHead(t, b, 3)
	}
	for first, opens := range map[byte]bool{
		'A': true, 'Z': true, 'a': true, 'z': true, '\r': true, '@': false, '[': false, '`': false, '{': false,
		'\n': false, '*': false, RawMagic: false, 0x16: false, 0: false, 0xC1: false,
	} {
		if OpensHTTP(first) != opens {
			t.Errorf("%q opens HTTP: %v", first, !opens)
		}
	}
}

// TRN-52, TRN-56: which origins may connect. On a local connection a name counts only if no name server decides where
// it leads.
func TestOrigins(t *testing.T) {
	t.Attr("checklist", "TRN-52 TRN-56")
	configured := []string{"app.example.org", "https://other.example.org:8443", "third.example.org:81"}
	for _, c := range []struct {
		host, origin  string
		allowed       []string
		remote, local bool
	}{
		{"a.example:80", "http://a.example:3000", nil, true, false},
		{"A.example:80", "https://a.EXAMPLE", nil, true, false},
		{"a.example", "http://b.example", nil, false, false},
		{"localhost:80", "http://localhost:3000", nil, true, true},
		{"localhost.:80", "http://localhost.:3000", nil, true, true},
		{"x.localhost", "http://x.localhost", nil, true, true},
		{"xlocalhost", "http://xlocalhost", nil, true, false},
		{"localhost.evil.example", "http://localhost.evil.example", nil, true, false},
		{"127.0.0.1:80", "http://127.0.0.1:3000", nil, true, true},
		{"127.0.0.1.evil.example", "http://127.0.0.1.evil.example", nil, true, false},
		{"[::1]:80", "http://[::1]:3000", nil, true, true},
		{"192.0.2.7", "http://192.0.2.7", nil, true, true},
		{"a.example", "null", nil, false, false},
		{"", "null", nil, false, false},
		{"", "http://", nil, false, false},
		{"h", "https://APP.example.org:9", configured, true, true},
		{"h", "https://other.example.org:8443", configured, true, true},
		{"h", "https://other.example.org", configured, false, false},
		{"h", "http://third.example.org:81", configured, true, true},
		{"h", "http://third.example.org:82", configured, false, false},
		{"app.example.org", "https://app.example.org", configured, true, true},
		{"h", "http://evil.example", []string{"*"}, true, true},
	} {
		h := Head{Host: c.host, Origin: c.origin, Origins: 1}
		if got := h.OriginAllowed(c.allowed, false); got != c.remote {
			t.Errorf("%s at %s over a network: %v", c.origin, c.host, got)
		}
		if got := h.OriginAllowed(c.allowed, true); got != c.local {
			t.Errorf("%s at %s, local: %v", c.origin, c.host, got)
		}
		h.Origins = 2
		if h.OriginAllowed(c.allowed, false) {
			t.Errorf("two origins with %s are allowed", c.origin)
		}
	}
	none := Head{Host: "a.example"}
	if !none.OriginAllowed(nil, true) {
		t.Error("a request without an origin is refused")
	}
}
