//go:build linux

package engine

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/engine/port"
)

// peersOf opens sessions that tell the test about their other end.
func peersOf(peers chan<- port.Peer) port.Opener {
	return func(x port.Executor, c port.Conn) port.Handler {
		peers <- *c.Peer()
		return echoes(x, c)
	}
}

// TRN-45: one port may speak TLS and serve clients without it.
func TestPlainBesideTLS(t *testing.T) {
	t.Attr("checklist", "TRN-45")
	a := newAuthority(t)
	f, _ := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}})
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan port.Peer, 10)
	e := startWith(t, Config{}, ListenTLS{Credentials: creds, Plain: true}, peersOf(peers))
	for range 2 {
		dialTLS(t, e, a.client("router.test")).rawHello()
		if p := <-peers; !p.Encrypted || p.TLS == nil {
			t.Errorf("%+v", p)
		}
		dial(t, e).rawHello()
		if p := <-peers; p.Encrypted || p.TLS != nil {
			t.Errorf("%+v", p)
		}
		dialWS(t, e, "wamp.2.json").send(text("[1]"))
		if p := <-peers; p.Encrypted {
			t.Errorf("%+v", p)
		}
	}
	p := dialTLS(t, e, a.client("router.test"))
	p.send(clientHello(t, a.client("router.test"))) // TLS within TLS is nothing that is spoken
	p.expectEnd()
}

// A port for TLS tells HTTP clients without it what to do, and closes others; a port without TLS says in the log that
// a client wants it.
func TestWithoutTLSWhereItIsWanted(t *testing.T) {
	var lines lineLog
	log := slog.New(slog.NewTextHandler(&lines, nil))
	e, a := startTLS(
		t,
		Config{Log: log, ListenNames: map[string]string{anyPort: "front"}},
		CredentialsConfig{},
		echoes,
	)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: router.test\r\n\r\n", string(upgradeRequest("wamp.2.json")),
		"GET /healthz HTTP/1.1\r\nHost: router.test\r\n\r\n",
	} {
		p := dial(t, e)
		p.send([]byte(request))
		status, head := p.readHead()
		body, _ := io.ReadAll(p.r)
		if status != 400 || !bytes.Contains(body, []byte("wss://")) || strings.Contains(head, "Strict-Transport") {
			t.Errorf("%q: %d %q", request, status, body)
		}
	}
	for _, octets := range []string{"\x7F\xF3\x00\x00", "\x10MQTT"} {
		p := dial(t, e)
		p.send([]byte(octets))
		p.expectEnd()
	}
	eventually(t, "a line", func() bool { return lines.has("the listener wants TLS", "listener=front") })
	if s := e.Stats(); s.Sessions != 0 || s.TLSHandshakes != 0 {
		t.Errorf("%+v", s)
	}

	plain := start(t, Config{Log: log}, echoes)
	p := dial(t, plain)
	p.send(clientHello(t, a.client("router.test")))
	p.expectEnd()
	eventually(t, "a line", func() bool { return lines.has("speaks TLS, but the listener has none") })
}

// RFC 6797: the header goes with answers over TLS, whatever they are, and with no other.
func TestHSTS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	f, _ := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		age  time.Duration
		want string
	}{{0, ""}, {time.Second, "max-age=1\r\n"}, {hstsMax, "max-age=63244800\r\n"}} {
		page := Page{Status: 200, ContentType: plainText, Header: make([]string, 0, 5), Body: []byte("page")}
		e := startWith(t, Config{Page: func(string) Page { return page }},
			ListenTLS{Credentials: creds, Plain: true, HSTS: c.age}, echoes)
		for _, path := range []string{"/", "/healthz", "bad"} {
			for _, over := range []bool{true, false} {
				p := dial(t, e)
				if over {
					p = dialTLS(t, e, a.client("router.test"))
				}
				p.send([]byte("GET " + path + " HTTP/1.1\r\nHost: router.test\r\n\r\n"))
				_, head := p.readHead()
				want := over && c.want != ""
				if got := strings.Contains(head, "Strict-Transport-Security: "+c.want); got != want {
					t.Errorf("%v, %s, over TLS %v: %q", c.age, path, over, head)
				}
			}
		}
	}
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// A PROXY header tells who the client is, in front of whatever the listener speaks, in one piece or in many.
func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	f, _ := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{f}})
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan port.Peer, 10)
	open := func(l *ListenTLS) *Engine {
		cfg := Config{
			Live:   Live{TrustedProxies: loopback},
			Listen: []string{anyPort}, ProxyProtocol: map[string]bool{anyPort: true},
		}
		if l != nil {
			cfg.TLS = map[string]ListenTLS{anyPort: *l}
		}
		return start(t, cfg, peersOf(peers))
	}
	plain, overTLS := open(nil), open(&ListenTLS{Credentials: creds})
	two := "\r\n\r\n\x00\r\nQUIT\n"
	for _, c := range []struct {
		header, address string
		proxied         bool
		encrypted       bool
	}{
		{"PROXY TCP4 192.0.2.1 192.0.2.2 1234 8080\r\n", "192.0.2.1:1234", true, false},
		{"PROXY TCP4 127.0.0.1 127.0.0.1 1234 8080\r\n", "127.0.0.1:1234", true, false},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", "[2001:db8::1]:1", true, false},
		{"PROXY UNKNOWN\r\n", "", true, false},
		{two + "\x21\x11\x00\x0C\xC0\x00\x02\x01\xC0\x00\x02\x02\x04\xD2\x1F\x90", "192.0.2.1:1234", true, false},
		{
			two + "\x21\x11\x00\x14\xC0\x00\x02\x01\xC0\x00\x02\x02\x04\xD2\x1F\x90\x20\x00\x05\x01\x00\x00\x00\x00",
			"192.0.2.1:1234", true, true,
		},
		{two + "\x20\x00\x00\x00", "own", false, false},
	} {
		for _, e := range []*Engine{plain, overTLS} {
			for _, pieces := range []int{1, 2, 5, 1000} {
				p := dial(t, e)
				own := p.LocalAddr().String()
				header := []byte(c.header)
				for range pieces - 1 {
					if len(header) > 1 {
						n := 1 + rand.IntN(len(header)-1)
						p.send(header[:n])
						header = header[n:]
					}
				}
				encrypted := c.encrypted
				if e == overTLS {
					p.send(header)
					conn := tls.Client(p.Conn, a.client("router.test"))
					p.Conn = conn
					p.r.Reset(conn)
					p.rawHello()
					encrypted = true
				} else {
					p.send(header, []byte{0x7F, 0xF3, 0, 0})
					p.expect([]byte{0x7F, 0xF3, 0, 0})
				}
				want := port.Peer{Address: c.address, Encrypted: encrypted}
				if c.address == "own" {
					want.Address = own
				} else {
					want.Proxy = own
				}
				got := <-peers
				if got.Address != want.Address || got.Proxy != want.Proxy || got.Local ||
					got.Encrypted != want.Encrypted || (got.TLS != nil) != (e == overTLS) {
					t.Errorf("%q in %d pieces: %+v", c.header, pieces, got)
				}
				p.Close()
			}
		}
	}
}

// Connections without a good header are closed and counted; nobody is asked to wait for ever.
func TestProxyHeadersAreRequired(t *testing.T) {
	t.Parallel()
	var lines lineLog
	cfg := Config{
		Live:   Live{TrustedProxies: loopback, HandshakeTimeout: 400 * time.Millisecond},
		Listen: []string{anyPort}, ProxyProtocol: map[string]bool{anyPort: true},
		Log: slog.New(slog.NewTextHandler(&lines, nil)),
	}
	e := start(t, cfg, echoes)
	refused := int64(0)
	for _, octets := range []string{
		"\x7F\xF3\x00\x00", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "PROXY TCP4 x\r\n",
		"PROXY" + strings.Repeat(" ", 103), "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xFF\xFF",
	} {
		p := dial(t, e)
		p.send([]byte(octets))
		p.expectEnd()
		refused++
		eventually(
			t,
			"counted",
			func() bool { return e.Stats().ProxyRefused == refused && e.Stats().Connections == 0 },
		)
	}
	var unfinished []*peer
	for _, octets := range []string{"", "P", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "PROXY UNKNOWN\r\n"} {
		p := dial(t, e)
		p.send([]byte(octets))
		unfinished = append(unfinished, p)
	}
	for _, p := range unfinished {
		p.expectEnd()
	}
	if s := e.Stats(); s.HandshakeTimeouts != 4 || s.ProxyRefused != refused {
		t.Errorf("%+v", s)
	}
	// After the header of a stranger nothing is believed, and Apply decides who is one.
	live := e.cfg.Live
	for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.0/24")}} {
		live.TrustedProxies = trusted
		if err := e.Apply(live); err != nil {
			t.Fatal(err)
		}
		eventually(
			t,
			"applied",
			func() bool { return ask(e, func(l *loop) int { return len(l.live.TrustedProxies) }) == len(trusted) },
		)
		p := dial(t, e)
		p.send([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1234 8080\r\n\x7F\xF3\x00\x00"))
		p.expectEnd()
		refused++
	}
	if s := e.Stats(); s.ProxyRefused != refused || s.Sessions != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "a line", func() bool { return lines.has("none of the trusted ones", "peer=127.0.0.1") })
}

// On a Unix socket for proxies whoever may connect is believed.
func TestProxyHeadersOnUnixSockets(t *testing.T) {
	peers := make(chan port.Peer, 10)
	address := "unix:" + filepath.Join(t.TempDir(), "s")
	e := start(t, Config{Listen: []string{address}, ProxyProtocol: map[string]bool{address: true}}, peersOf(peers))
	p := dial(t, e)
	p.send([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 1234 8080\r\n"))
	p.rawHello()
	if got := <-peers; got.Address != "192.0.2.1:1234" || got.Proxy != "unix" || got.Local ||
		got.Network != "unix" {
		t.Errorf("%+v", got)
	}
	p = dial(t, e)
	p.send([]byte{0x7F, 0xF3, 0, 0})
	p.expectEnd()
}

// TRN-57: whoever a proxy forwards is not local. For whom it forwards is believed from trusted proxies only.
func TestForwardedHeaders(t *testing.T) {
	t.Attr("checklist", "TRN-57")
	peers := make(chan port.Peer, 10)
	unix, dir := "unix:", t.TempDir()
	for i, c := range []struct {
		listen    string
		trusted   []netip.Prefix
		header    string
		address   string // "own" for that of the connection
		proxy     bool
		local     bool
		encrypted bool
	}{
		{anyPort, nil, "", "own", false, true, false},
		{anyPort, nil, "X-Forwarded-For: 192.0.2.1\r\n", "own", false, false, false},
		{anyPort, nil, "X-Forwarded-Proto: https\r\n", "own", false, false, false},
		{anyPort, loopback, "", "own", false, true, false},
		{anyPort, loopback, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0", true, false, false},
		{
			anyPort, loopback, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 127.0.0.9\r\n",
			"192.0.2.1:0", true, false, false,
		},
		{anyPort, loopback, "X-Forwarded-For: 127.0.0.1\r\n", "127.0.0.1:0", true, false, false},
		{
			anyPort, loopback, "X-Forwarded-For: 203.0.113.5\r\nx-forwarded-for: 192.0.2.1, 127.0.0.9\r\n",
			"192.0.2.1:0", true, false, false,
		},
		{
			anyPort, loopback, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n", "192.0.2.1:0",
			true, false, true,
		},
		{
			anyPort, loopback, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https, http\r\n",
			"192.0.2.1:0", true, false, false,
		},
		{
			anyPort, loopback, "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http ,WSS\r\n", "192.0.2.1:0",
			true, false, true,
		},
		{anyPort, loopback, "Via: 1.1 x\r\n", "", true, false, false},
		{anyPort, loopback, "X-Forwarded-For: unknown\r\n", "", true, false, false},
		{
			anyPort,
			[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			"X-Forwarded-For: 192.0.2.1\r\n",
			"own", false, false, false,
		},
		{
			anyPort,
			[]netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.0/104")},
			"X-Forwarded-For: 192.0.2.1\r\n",
			"192.0.2.1:0", true, false, false,
		},
		{unix, nil, "X-Forwarded-For: 192.0.2.1\r\n", "", false, false, false},
		{unix, loopback, "X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0", true, false, false},
		{unix, loopback, "", "", false, true, false},
	} {
		onUnix := c.listen == unix
		if onUnix {
			c.listen += filepath.Join(dir, fmt.Sprint(i))
		}
		e := start(
			t,
			Config{Listen: []string{c.listen}, Loops: 1, Live: Live{TrustedProxies: c.trusted}},
			peersOf(peers),
		)
		p := dial(t, e)
		request := string(upgradeRequest("wamp.2.json"))
		p.send([]byte(strings.Replace(request, "Upgrade:", c.header+"Upgrade:", 1)))
		if status, head := p.readHead(); status != 101 {
			t.Fatal(head)
		}
		own, proxy := p.LocalAddr().String(), ""
		if onUnix {
			own = "unix"
		}
		if c.proxy {
			proxy = own
		}
		if c.address == "own" {
			c.address = own
		}
		if got := <-peers; got.Address != c.address || got.Proxy != proxy || got.Local != c.local ||
			got.Encrypted != c.encrypted {
			t.Errorf("%v %q: %+v", c.trusted, c.header, got)
		}
	}
	// After a PROXY header, the address that it told has to be trusted.
	for i, c := range []struct{ trusted, want string }{
		{"198.51.100.0/24", "192.0.2.1:0"}, {"203.0.113.0/24", "198.51.100.9:5"},
	} {
		for _, listen := range []string{anyPort, unix + filepath.Join(dir, fmt.Sprint("p", i))} {
			e := start(t, Config{
				Listen: []string{listen}, ProxyProtocol: map[string]bool{listen: true},
				Live: Live{TrustedProxies: append([]netip.Prefix{netip.MustParsePrefix(c.trusted)}, loopback...)},
			}, peersOf(peers))
			p := dial(t, e)
			p.send(
				[]byte("PROXY TCP4 198.51.100.9 192.0.2.2 5 8080\r\n"),
				[]byte(
					strings.Replace(
						string(upgradeRequest("wamp.2.json")),
						"Upgrade:",
						"X-Forwarded-For: 192.0.2.1\r\nUpgrade:",
						1,
					),
				),
			)
			p.readHead()
			if got := <-peers; got.Address != c.want || got.Local || got.Proxy == "" ||
				got.Proxy == "198.51.100.9:5" {
				t.Errorf("%s: %+v", c.trusted, got)
			}
		}
	}
}

// At the bound and beyond.
func TestTrustedProxiesAreChecked(t *testing.T) {
	prefixes := func(n int) (all []netip.Prefix) {
		for i := range n {
			all = append(all, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)))
		}
		return all
	}
	for _, c := range []struct {
		proxies []netip.Prefix
		ok      bool
	}{
		{prefixes(trustedProxiesMax), true},
		{prefixes(trustedProxiesMax + 1), false},
		{[]netip.Prefix{{}}, false},
		{[]netip.Prefix{netip.MustParsePrefix("::ffff:0.0.0.0/95")}, false},
		{[]netip.Prefix{netip.MustParsePrefix("::ffff:0.0.0.0/96")}, true},
	} {
		v := Live{TrustedProxies: c.proxies}
		if err := v.checkRules(); (err == nil) != c.ok {
			t.Errorf("%d prefixes: %v", len(c.proxies), err)
		}
	}
	v := Live{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("fe80::/10")},
	}
	if err := v.checkRules(); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.255.0.1:5": true, "11.0.0.1:5": false, "[::ffff:10.0.0.1]:5": true, "[fe80::1%eth0]:5": true,
		"": false, "unix": false,
	} {
		rules := v.rules(0)
		if got := rules.trusts(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

// FuzzOpening: what a connection opens with does not depend on where it was cut, with and without a PROXY header, and
// nothing more than that is kept.
func FuzzOpening(f *testing.F) {
	for _, s := range []string{
		"\x7F\xF1\x00\x00\x00\x00\x00\x01x", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n\x7F\xF1\x00\x00",
		"\x16\x03\x01\x00\x05", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / HTTP/1.1\r\nHost: h\r\n\r\n", "\x10",
	} {
		f.Add([]byte(s), uint8(3), uint8(2))
	}
	f.Fuzz(func(t *testing.T, stream []byte, rules, piece uint8) {
		if len(stream) == 0 {
			return
		}
		open := func() *memoryConn {
			m := newMemoryConn(512)
			live := *m.c.loop.live
			live.TrustedProxies = loopback
			m.c.loop.live = &live
			m.c.peer = port.Peer{Network: "tcp", Address: "127.0.0.1:9", Local: true, Listener: -1}
			o := &opening{proxy: rules&1 != 0}
			if rules&2 != 0 {
				o.tls = &ListenTLS{Plain: rules&4 != 0, Credentials: &Credentials{}}
			}
			m.c.opening = o
			m.c.transport = &fakeSocket{room: -1}
			return m
		}
		whole, pieces := open(), open()
		whole.read(stream)
		for rest := stream; len(rest) > 0; {
			n := min(int(piece)%7+1, len(rest))
			pieces.read(rest[:n])
			if pieces.c.tls != nil {
				break
			}
			rest = rest[n:]
		}
		same := whole.c.phase == pieces.c.phase && whole.c.proxied == pieces.c.proxied &&
			(whole.c.tls != nil) == (pieces.c.tls != nil) && whole.c.peer.Address == pieces.c.peer.Address &&
			whole.c.finished.Load() == pieces.c.finished.Load()
		if !same {
			t.Fatalf("%q: %+v and %+v", stream, whole.c.peer, pieces.c.peer)
		}
		if whole.c.proxied && (whole.c.peer.Local || rules&1 == 0) || whole.c.tls != nil && rules&2 == 0 {
			t.Fatalf("%q: %+v", stream, whole.c.peer)
		}
	})
}
