//go:build linux

package engine

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"banyan/engine/port"
)

var tlsVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// TRN-44: RawSocket and WebSocket sessions work over TLS as without, in both versions; messages of every length pass
// both ways.
func TestTLS(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "TRN-44")
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	for _, version := range tlsVersions {
		cfg := a.client("router.test")
		cfg.MaxVersion = version
		for range 2 { // what the first used is used again
			p := dialTLS(t, e, cfg).rawHello()
			if s := p.state(); s.Version != version || s.PeerCertificates[0].DNSNames[0] != "router.test" {
				t.Errorf("version %x", s.Version)
			}
			for _, n := range []int{1, 64, 16<<10 - 4, 16<<10 - 3, 64 << 10, 100_000, 3 << 20} {
				msg := rawFrameOf(patterned(n, byte(n)))
				go func() { _, _ = p.Write(msg) }()
				p.expect(msg)
			}
			w := dialTLS(t, e, cfg)
			w.send(upgradeRequest("wamp.2.msgpack"))
			if status, head := w.readHead(); status != 101 {
				t.Fatalf("answer %q", head)
			}
			w.send(binaryMsg([]byte("over wss")), ping("p"))
			w.expect(serverBin([]byte("over wss")))
			w.expect(serverPong("p"))
			w.send(masked(0x88, []byte{3, 0xE8}))
			w.expectClose(1000)
			p.Close()
		}
	}
	eventually(t, "all are gone", func() bool { return e.Stats().Connections == 0 && e.Stats().HeldBytes == 0 })
	if s := e.Stats(); s.TLSHandshakes != 8 || s.TLSFailed != [TLSFailures]int64{} || s.TLSBegun != 0 ||
		s.TLSWaiting != 0 {
		t.Errorf("%+v", s)
	}
}

// The session sees what the handshake agreed on, and the data of channel bindings is what the client has.
func TestTLSPeer(t *testing.T) {
	peers := make(chan *port.Peer, 10)
	a := newAuthority(t)
	server, _ := a.issue("router", "ecdsa", "router.test")
	_, own := a.issue("client", "ecdsa", "client.test")
	creds, err := NewCredentials(CredentialsConfig{
		Certificates: []CertificateFiles{server}, ClientCA: a.path("ca.pem"), ClientCertificates: ClientsMay,
		ALPN: []string{"wamp", "http/1.1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, func(x port.Executor, c port.Conn) port.Handler {
		peers <- c.Peer()
		return &session{c: c}
	})
	for _, version := range tlsVersions {
		cfg := a.client("router.test")
		cfg.MaxVersion, cfg.NextProtos = version, []string{"http/1.1"}
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
		for i := range 3 {
			cfg := cfg.Clone()
			if i > 0 {
				cfg.Certificates = []tls.Certificate{own}
			}
			if i < 2 {
				cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
			}
			for resumed := range 2 {
				p := dialTLS(t, e, cfg).rawHello()
				s, got := p.state(), <-peers
				if !got.Encrypted || got.TLS == nil || !got.Local || got.Proxy != "" {
					t.Fatalf("%+v", got)
				}
				exporter, err := s.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
				if err != nil {
					t.Fatal(err)
				}
				o := got.TLS
				if o.Version != version || o.CipherSuite != s.CipherSuite || o.ServerName != "router.test" ||
					o.Protocol != "http/1.1" || o.Resumed != (resumed == 1) || o.Resumed != s.DidResume ||
					!bytes.Equal(o.Exporter, exporter) || !bytes.Equal(o.Unique, s.TLSUnique) {
					t.Errorf("version %x, %d, %d: %+v", version, i, resumed, o)
				}
				if wants := i > 0; wants != bytes.Equal(o.Certificate, own.Certificate[0]) {
					t.Errorf("version %x, %d: certificate %x", version, i, o.Certificate)
				}
				if want := endPointOf(s.PeerCertificates[0]); resumed == 0 && (!bytes.Equal(o.EndPoint, want) ||
					len(want) != 32) {
					t.Errorf("end point %x, want %x", o.EndPoint, want)
				}
				p.Close()
			}
		}
	}
	if n := e.Stats().TLSResumed; n != 6 {
		t.Errorf("%d resumed", n)
	}
}

// A record may arrive octet by octet, in the handshake and after, and many at once.
func TestTLSInPieces(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	for _, version := range tlsVersions {
		cfg := a.client("router.test")
		cfg.MaxVersion = version
		p := dial(t, e)
		under := &tap{Conn: p.Conn, slow: time.Nanosecond}
		c := tls.Client(under, cfg)
		q := &peer{c, t, bufio.NewReader(c)}
		q.rawHello()
		for i := range 3 {
			msg := rawFrameOf(patterned(400, byte(i)))
			q.send(msg)
			q.expect(msg)
		}
		// Many records at once, so that they are not all decrypted in one read.
		under.slow, under.keep = 0, true
		under.sent = nil
		var want []byte
		for i := range 3 * tlsRecordsPerRead {
			msg := rawFrameOf([]byte{byte(i)})
			q.send(msg)
			want = append(want, msg...)
		}
		if _, err := p.Conn.Write(under.sent); err != nil {
			t.Fatal(err)
		}
		q.expect(want)
	}
	// The first messages of a session come with the end of the handshake.
	cfg := a.client("router.test")
	p := dial(t, e)
	under := &tap{Conn: p.Conn}
	c := tls.Client(under, cfg)
	hello := make(chan bool)
	go func() { // in TLS 1.3 the client ends the handshake, and the session begins with it
		if err := c.Handshake(); err != nil {
			t.Error(err)
		}
		close(hello)
	}()
	<-hello
	q := &peer{c, t, bufio.NewReader(c)}
	q.send([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf([]byte("at once")))
	q.expect([]byte{0x7F, 0xF3, 0, 0})
	q.expect(rawFrameOf([]byte("at once")))
}

// What the client sends with its Finished, and more than fits a read, waits for the end of the handshake.
func TestTLSDataBehindTheHandshake(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	p := dial(t, e)
	under := &holdLast{tap: tap{Conn: p.Conn}}
	c := tls.Client(under, a.client("router.test"))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	q := &peer{c, t, bufio.NewReader(c)}
	msg := rawFrameOf(patterned(200_000, 3))
	done := make(chan error)
	go func() {
		_, err := c.Write(append([]byte{0x7F, 0xF3, 0, 0}, msg...))
		done <- err
	}()
	q.expect([]byte{0x7F, 0xF3, 0, 0})
	q.expect(msg)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// holdLast holds the second flight of the client back, and sends it with what is written next.
type holdLast struct {
	tap
	flights int
	held    []byte
}

func (c *holdLast) Write(b []byte) (int, error) {
	c.flights++
	if c.flights == 2 || c.flights == 3 && b[0] != 0x17 { // a change of cipher, and Finished
		c.held = append(c.held, b...)
		return len(b), nil
	}
	_, err := c.Conn.Write(append(c.held, b...))
	c.held = nil
	return len(b), err
}

// SNI, several certificates of a name by kind of key, and the default for others.
func TestTLSCertificateByName(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	var files []CertificateFiles
	for _, c := range []struct {
		file, kind string
		names      []string
	}{
		{"one", "ed25519", []string{"one.test"}},
		{"one-rsa", "rsa", []string{"one.test", "Also.test"}},
		{"wild", "ecdsa", []string{"*.wild.test"}},
		{"deep", "ecdsa", []string{"deep.wild.test"}},
	} {
		f, _ := a.issue(c.file, c.kind, c.names...)
		files = append(files, f)
	}
	creds, err := NewCredentials(CredentialsConfig{Certificates: files})
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	for _, c := range []struct {
		name, want string
		suites     []uint16
	}{
		{"one.test", "one", nil},
		{"ONE.test", "one", nil},
		{"also.test", "one-rsa", nil},
		{"a.wild.test", "wild", nil},
		{"deep.wild.test", "deep", nil},
		{"a.deep.wild.test", "one", nil},
		{"", "one", nil},
		{"other.test", "one", nil},
		{"one.test", "one-rsa", []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
		{"", "one-rsa", []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}},
	} {
		cfg := &tls.Config{ServerName: c.name, InsecureSkipVerify: true, CipherSuites: c.suites}
		if c.suites != nil {
			cfg.MaxVersion = tls.VersionTLS12
		}
		p := dialTLS(t, e, cfg)
		if got := p.state().PeerCertificates[0].Subject.CommonName; got != c.want {
			t.Errorf("%q %v: %s, want %s", c.name, c.suites, got, c.want)
		}
		p.Close()
	}
}

// Handshakes that fail are told why by an alert, and are counted by kind.
func TestTLSFailures(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	server, _ := a.issue("router", "ecdsa", "router.test")
	_, foreign := stranger.issue("client", "ecdsa", "client.test")
	creds, err := NewCredentials(CredentialsConfig{
		Certificates: []CertificateFiles{server}, ClientCA: a.path("ca.pem"), ClientCertificates: ClientsMust,
	})
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	var want [TLSFailures]int64
	for _, c := range []struct {
		name string
		set  func(*tls.Config)
		kind TLSFailure
		text string
	}{
		{"old", func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, TLSFailedOffer, "version"},
		{"alpn", func(c *tls.Config) { c.NextProtos = []string{"h2"} }, TLSFailedOffer, "protocol"},
		{"suites", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}
		}, TLSFailedOffer, "handshake failure"},
		{"cbc", func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		}, TLSFailedOffer, "handshake failure"},
		{"no certificate 1.3", func(*tls.Config) {}, TLSFailedCertificate, "certificate"},
		{"no certificate 1.2", func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12
		}, TLSFailedCertificate, "handshake failure"},
		{"foreign", func(c *tls.Config) {
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &foreign, nil
			}
		}, TLSFailedCertificate, "unknown certificate authority"},
		{"distrust", func(c *tls.Config) {
			c.RootCAs = stranger.client("").RootCAs
		}, TLSFailedByClient, "unknown authority"},
	} {
		cfg := a.client("router.test")
		c.set(cfg)
		p := dial(t, e)
		conn := tls.Client(p.Conn, cfg)
		err := conn.Handshake()
		if err == nil { // in TLS 1.3 the client hears of it when it reads
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil || err == io.EOF || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		p.Close()
		want[c.kind]++
		eventually(t, c.name, func() bool { return e.Stats().TLSFailed == want && e.Stats().Connections == 0 })
	}
	if s := e.Stats(); s.TLSHandshakes != 0 || s.HeldBytes != 0 || s.TLSBegun != 0 {
		t.Errorf("%+v", s)
	}
}

// What is no TLS, at each stage, ends the connection and is counted; others go on.
func TestTLSGarbage(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	good := dialTLS(t, e, a.client("router.test")).rawHello()
	hello := clientHello(t, a.client("router.test"))
	for _, c := range []struct {
		name string
		sent []byte
	}{
		{"no version", []byte("\x16\x02\x01\x00\x05hello")},
		{"longest and more", []byte("\x16\x03\x01\x48\x01")},
		{"no message", []byte("\x16\x03\x01\x00\x05hello")},
		{"empty record", []byte("\x16\x03\x01\x00\x00")},
		{"message of 16 MiB", []byte("\x16\x03\x01\x00\x04\x01\xFF\xFF\xFF")},
		{"no hello", []byte("\x16\x03\x01\x00\x04\x14\x00\x00\x00")},
		{"hello twice", append(bytes.Clone(hello), hello...)},
		{
			"data instead of Finished",
			append(bytes.Clone(hello), "\x17\x03\x03\x00\x20this was never encrypted, not once"...),
		},
		{"wrong version later", append(bytes.Clone(hello), "\x16\x05\x03\x00\x20"...)},
	} {
		p := dial(t, e)
		p.send(c.sent)
		if _, err := io.Copy(io.Discard, p.r); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		p.Close()
	}
	// After the handshake.
	for i, record := range []string{
		"\x17\x03\x03\x00\x20this cannot be right, or can it?", "\x17\x03\x03\xFF\xFF", "\x17\x02\x03\x00\x10",
		"\x99\x03\x03\x00\x01x", "\x17\x03\x03\x00\x00",
	} {
		p := dial(t, e)
		c := tls.Client(p.Conn, a.client("router.test"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		q := (&peer{c, t, bufio.NewReader(c)}).rawHello()
		p.send([]byte(record))
		if _, err := q.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("record %d after the handshake: %v", i, err)
		}
		p.Close()
	}
	good.send(rawFrameOf([]byte("still there")))
	good.expect(rawFrameOf([]byte("still there")))
	if s := e.Stats(); s.TLSFailed[TLSFailedProtocol] != 9 || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
	eventually(t, "all is given back", func() bool { return e.Stats().Connections == 1 && e.Stats().HeldBytes == 0 })
}

// clientHello returns the first record of a client.
func clientHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	under := &tap{keep: true, Conn: brokenConn{}}
	_ = tls.Client(under, cfg).Handshake()
	if len(under.sent) == 0 {
		t.Fatal("no hello")
	}
	return under.sent
}

// A client that reads nothing is written to until the socket is full, in the middle of a record; when it reads on, it
// gets everything.
func TestTLSSlowReader(t *testing.T) {
	t.Parallel()
	conns := make(chan port.Conn, 1)
	e, a := startTLS(t, Config{Loops: 2}, CredentialsConfig{}, collect(conns))
	for range 2 {
		p := dialTLS(t, e, a.client("router.test")).rawHello()
		c := <-conns
		var want []byte
		const messages = 300
		for i := range messages {
			msg := patterned(5000+i*131, byte(i))
			done := make(chan bool)
			on(e, i%2, func(x port.Executor) { done <- reply(x, c, msg) })
			if !<-done {
				t.Fatal("refused")
			}
			want = append(want, rawFrameOf(msg)...)
		}
		transport := c.(*conn).tls
		eventually(t, "the socket is full", func() bool {
			transport.mu.Lock()
			defer transport.mu.Unlock()
			return len(transport.out) > 0
		})
		if held := e.Stats().HeldBytes; held < 1<<20 {
			t.Errorf("%d bytes held", held)
		}
		p.expect(want)
		eventually(t, "all is given back", func() bool { return e.Stats().HeldBytes == 0 })
		p.Close()
	}
}

// The router ends a session with close_notify, whoever begins, and never claims that all was sent when it was not.
func TestTLSEnds(t *testing.T) {
	conns := make(chan port.Conn, 1)
	e, a := startTLS(t, Config{Loops: 1}, CredentialsConfig{}, collect(conns))
	open := func() (*peer, *conn) {
		p := dialTLS(t, e, a.client("router.test")).rawHello()
		return p, (<-conns).(*conn)
	}
	p, c := open()
	on(e, 0, func(x port.Executor) {
		reply(x, c, []byte("goodbye"))
		c.fail(port.CloseNormal, "")
	})
	p.expect(rawFrameOf([]byte("goodbye")))
	if _, err := p.Read(make([]byte, 1)); err != io.EOF { // not io.ErrUnexpectedEOF
		t.Errorf("end of a session: %v", err)
	}

	p, _ = open()
	_ = p.Conn.(*tls.Conn).CloseWrite() // close_notify of the client
	if _, err := p.Read(make([]byte, 1)); err == nil {
		t.Error("the client's end was not noticed")
	}

	cfg := a.client("router.test")
	cfg.MaxVersion = tls.VersionTLS12 // where the type of a record can be seen
	for _, broken := range []bool{true, false} {
		under := &tap{Conn: dial(t, e).Conn}
		over := tls.Client(under, cfg)
		p = (&peer{over, t, bufio.NewReader(over)}).rawHello()
		c = (<-conns).(*conn)
		on(e, 0, func(x port.Executor) {
			if reply(x, c, []byte("last words")); broken {
				c.Lock()
				c.breakLocked(errSlow)
				c.Unlock()
				c.loop.closeSoon(c)
				return
			}
			c.fail(port.CloseNormal, "")
		})
		_, _ = io.Copy(io.Discard, p.r)
		if told := bytes.Contains(under.got, []byte{21, 3, 3, 0, 26}); told == broken {
			t.Errorf("broken %v, told that all was sent: %v", broken, told)
		}
	}

	p, _ = open()
	p.send([]byte{0xFF, 0, 0, 0}) // against the rules: it lingers, and then close_notify has come
	if _, err := p.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("end after a violation: %v", err)
	}
	p.Close()
	eventually(t, "all are gone", func() bool { return e.Stats().Connections == 0 && e.Stats().HeldBytes == 0 })
}

// The limits of messages are those of connections without TLS.
func TestTLSLimitsOfMessages(t *testing.T) {
	t.Parallel()
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	p := dialTLS(t, e, a.client("router.test")).rawHello()
	long := rawFrameOf(make([]byte, 16<<20-1))
	go func() { _, _ = p.Write(long) }()
	p.expect(long)
	w := dialTLS(t, e, a.client("router.test"))
	w.send(upgradeRequest("wamp.2.cbor"))
	w.readHead()
	w.send(masked(0x82, make([]byte, 16<<20+1))[:14])
	w.expectClose(1009)
}
