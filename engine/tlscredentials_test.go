//go:build linux

package engine

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// serial is the number of the certificate that a new client is shown.
func serial(t *testing.T, e *Engine, cfg *tls.Config) *big.Int {
	t.Helper()
	p := dialTLS(t, e, cfg)
	defer p.Close()
	return p.state().PeerCertificates[0].SerialNumber
}

// A new certificate is for new connections; those that live keep theirs and go on, and tickets stay valid. A bad set
// of files changes nothing and says what is wrong.
func TestTLSReload(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	files, pair := a.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{files}})
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	cfg := a.client("router.test")
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	alive := dialTLS(t, e, cfg).rawHello()
	old := pair.Leaf.SerialNumber
	if got := serial(t, e, a.client("router.test")); got.Cmp(old) != 0 {
		t.Fatal("another certificate")
	}
	for range 2 {
		_, pair = a.issue("router", "rsa", "router.test")
		if err := creds.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := serial(t, e, a.client("router.test")); got.Cmp(pair.Leaf.SerialNumber) != 0 {
			t.Error("the old certificate after a reload")
		}
		// Only the certificate, or only the key, is another one; or it is none at all.
		good, _ := os.ReadFile(files.Certificate)
		_, foreign := a.issue("other", "ecdsa", "router.test")
		for what, content := range map[string][]byte{
			"does not match": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: foreign.Certificate[0]}),
			"PEM":            []byte("nothing"),
			"no such file":   nil,
		} {
			_ = os.Remove(files.Certificate)
			if content != nil {
				_ = os.WriteFile(files.Certificate, content, 0o600)
			}
			if err := creds.Reload(); err == nil || !strings.Contains(err.Error(), what) ||
				!strings.Contains(err.Error(), files.Certificate) {
				t.Errorf("%s: %v", what, err)
			}
			if got := serial(t, e, a.client("router.test")); got.Cmp(pair.Leaf.SerialNumber) != 0 {
				t.Errorf("%s: another certificate", what)
			}
		}
		_ = os.WriteFile(files.Certificate, good, 0o600)
		alive.send(rawFrameOf([]byte("goes on")))
		alive.expect(rawFrameOf([]byte("goes on")))
		p := dialTLS(t, e, cfg).rawHello()
		if !p.state().DidResume {
			t.Error("the ticket was lost")
		}
		p.Close()
	}
}

// Changed files are read by themselves when they have settled, also when a link on the way is what changes, as in
// Kubernetes. A bad change has one line in the log.
func TestTLSFilesAreWatched(t *testing.T) {
	a := newAuthority(t)
	files, _ := a.issue("router", "ecdsa", "router.test")
	link := a.path("now")
	place := func(version string) {
		t.Helper()
		if err := os.Mkdir(a.path(version), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{files.Certificate, files.Key} {
			b, err := os.ReadFile(f)
			if err == nil {
				err = os.WriteFile(filepath.Join(a.path(version), filepath.Base(f)), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		_ = os.Remove(link + "-new")
		if err := os.Symlink(version, link+"-new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link+"-new", link); err != nil {
			t.Fatal(err)
		}
	}
	place("v1")
	shown := CertificateFiles{Certificate: a.path("tls.crt"), Key: a.path("tls.key")} // links into what is now
	if err := errors.Join(os.Symlink("now/router.pem", shown.Certificate),
		os.Symlink("now/router.key", shown.Key)); err != nil {
		t.Fatal(err)
	}
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{shown}})
	if err != nil {
		t.Fatal(err)
	}
	look := func() bool {
		t.Helper()
		did, err := creds.refresh()
		if err != nil {
			t.Fatal(err)
		}
		return did
	}
	for range 3 {
		if look() {
			t.Fatal("read although nothing changed")
		}
	}
	_, second := a.issue("router", "ecdsa", "router.test")
	place("v2")
	if look() {
		t.Fatal("read although it may still change")
	}
	if !look() || look() ||
		creds.now.Load().certificates[0].bare.Leaf.SerialNumber.Cmp(second.Leaf.SerialNumber) != 0 {
		t.Fatal("not read once")
	}

	var lines lineLog
	cfg := Config{
		Listen: []string{anyPort}, TLS: map[string]ListenTLS{anyPort: {Credentials: creds}}, Loops: 1,
		ListenNames: map[string]string{anyPort: "front"}, Log: slog.New(slog.NewTextHandler(&lines, nil)),
	}
	e, err := New(cfg, echoes)
	if err != nil {
		t.Fatal(err)
	}
	e.credentialsEvery = 2 * time.Millisecond
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	defer e.Stop(t.Context())
	_, third := a.issue("router", "ecdsa", "router.test")
	place("v3")
	eventually(t, "read by itself", func() bool {
		return serial(t, e, a.client("router.test")).Cmp(third.Leaf.SerialNumber) == 0
	})
	eventually(t, "a line", func() bool { return lines.has("certificate was read again", "listener=front") })
	if err := os.WriteFile(filepath.Join(link, "router.key"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning", func() bool {
		return lines.has("level=WARN", "goes on with what it has", "tls.key", "listener=front")
	})
	if serial(t, e, a.client("router.test")).Cmp(third.Leaf.SerialNumber) != 0 {
		t.Error("another certificate after a bad file")
	}
	if did, err := creds.refresh(); did || err != nil {
		t.Error("a bad file is read again and again")
	}
}

// Client certificates: not asked, may, must; others rules and authorities for new connections by Replace.
func TestTLSClientCertificates(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t), newAuthority(t)
	server, _ := a.issue("router", "ecdsa", "router.test")
	_, ours := a.issue("ours", "ecdsa", "ours.test")
	_, theirs := b.issue("theirs", "ecdsa", "theirs.test")
	base := CredentialsConfig{Certificates: []CertificateFiles{server}}
	creds, err := NewCredentials(base)
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	tries := func(crt *tls.Certificate, cache tls.ClientSessionCache, version uint16) bool {
		cfg := a.client("router.test")
		cfg.ClientSessionCache, cfg.MaxVersion = cache, version
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if crt == nil {
				return &tls.Certificate{}, nil
			}
			return crt, nil
		}
		p := dial(t, e)
		defer p.Close()
		c := tls.Client(p.Conn, cfg)
		if c.Handshake() != nil {
			return false
		}
		if _, err := c.Write([]byte{0x7F, 0xF3, 0, 0}); err != nil {
			return false
		}
		_, err := io.ReadFull(c, make([]byte, 4))
		return err == nil
	}
	for _, version := range tlsVersions {
		cache := tls.NewLRUClientSessionCache(10)
		for _, c := range []struct {
			ca                 string
			rule               ClientCertificates
			none, ours, theirs bool
		}{
			{"", ClientsNotAsked, true, true, true},
			{a.path("ca.pem"), ClientsMay, true, true, false},
			{a.path("ca.pem"), ClientsMust, false, true, false},
			{b.path("ca.pem"), ClientsMust, false, false, true},
		} {
			cfg := base
			cfg.ClientCA, cfg.ClientCertificates = c.ca, c.rule
			if err := creds.Replace(cfg); err != nil {
				t.Fatal(err)
			}
			got := []bool{tries(nil, nil, version), tries(&ours, nil, version), tries(&theirs, nil, version)}
			if want := []bool{c.none, c.ours, c.theirs}; !slices.Equal(got, want) {
				t.Errorf("version %x, rule %d: %v, want %v", version, c.rule, got, want)
			}
			// A ticket does not carry a client past an authority that is trusted no more.
			if got := tries(&ours, cache, version); got != c.ours {
				t.Errorf("version %x, rule %d: with a ticket %v", version, c.rule, got)
			}
		}
	}
	bad := base
	bad.ClientCertificates = ClientsMust
	bad.ClientCA = server.Key
	if err := creds.Replace(bad); err == nil || !strings.Contains(err.Error(), server.Key) {
		t.Errorf("an authority without certificates: %v", err)
	}
	bad.NoTickets, bad.ClientCA = true, a.path("ca.pem")
	if creds.Replace(bad) == nil {
		t.Error("tickets changed")
	}
	if !tries(&theirs, nil, tls.VersionTLS13) || tries(&ours, nil, tls.VersionTLS13) {
		t.Error("a refused change did something")
	}
}

// An OCSP answer is sent along while it is valid, and has to be about the certificate.
func TestTLSStaple(t *testing.T) {
	a := newAuthority(t)
	files, pair := a.issue("router", "ecdsa", "router.test")
	_, other := a.issue("other", "ecdsa", "router.test")
	answer := func(about *x509.Certificate, until time.Time) string {
		t.Helper()
		b, err := ocsp.CreateResponse(a.cert, a.cert, ocsp.Response{
			Status: ocsp.Good, SerialNumber: about.SerialNumber, ThisUpdate: time.Now().Add(-time.Hour),
			NextUpdate: until,
		}, a.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(a.path("staple"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return a.path("staple")
	}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	files.OCSP = answer(pair.Leaf, until)
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{files}})
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	want, _ := os.ReadFile(files.OCSP)
	for _, version := range tlsVersions {
		cfg := a.client("router.test")
		cfg.MaxVersion = version
		if got := dialTLS(t, e, cfg).state().OCSPResponse; !bytes.Equal(got, want) {
			t.Errorf("version %x: staple of %d octets", version, len(got))
		}
	}
	crt := creds.now.Load().certificates[0]
	if crt.show(until.Add(-time.Second)).OCSPStaple == nil || crt.show(until).OCSPStaple != nil {
		t.Error("the end of the answer is not kept")
	}
	x := creds.Expiries()
	if len(x) != 1 || x[0].File != files.Certificate || !x[0].NotAfter.Equal(pair.Leaf.NotAfter) ||
		!x[0].OCSP.Equal(until) ||
		!slices.Equal(x[0].Names, []string{"router.test"}) {
		t.Errorf("%+v", x)
	}
	answer(other.Leaf, until)
	if err := creds.Reload(); err == nil || !strings.Contains(err.Error(), "staple") {
		t.Errorf("an answer about another certificate: %v", err)
	}
	answer(pair.Leaf, time.Now().Add(-time.Minute))
	if err := creds.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := dialTLS(t, e, a.client("router.test")).state().OCSPResponse; got != nil {
		t.Error("an answer that is out of date is sent")
	}
}

// Without tickets nobody resumes.
func TestTLSWithoutTickets(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{NoTickets: true}, echoes)
	for _, version := range tlsVersions {
		cfg := a.client("router.test")
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(10)
		for range 2 {
			if dialTLS(t, e, cfg).rawHello().state().DidResume {
				t.Errorf("version %x: resumed", version)
			}
		}
	}
}

// MinVersion and ALPN.
func TestTLSOnlyNewest(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{MinVersion: tls.VersionTLS13, ALPN: []string{}}, echoes)
	cfg := a.client("router.test")
	cfg.NextProtos = []string{"anything"}
	if s := dialTLS(t, e, cfg).rawHello().state(); s.NegotiatedProtocol != "" {
		t.Errorf("agreed on %q", s.NegotiatedProtocol)
	}
	cfg.MaxVersion = tls.VersionTLS12
	if tls.Client(dial(t, e).Conn, cfg).Handshake() == nil {
		t.Error("TLS 1.2 is spoken")
	}
}

// A challenge of ACME (RFC 8737) is met by the listener itself, without a client certificate, and the connection ends
// with it, whatever the client has sent besides. Others never get its protocol.
func TestTLSChallenge(t *testing.T) {
	a := newAuthority(t)
	_, ordinary := a.issue("router", "ecdsa", "router.test")
	_, challenge := a.issue("challenge", "ecdsa", "router.test")
	cc := CredentialsConfig{
		ClientCA: a.path("ca.pem"), ClientCertificates: ClientsMust, ACME: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			switch {
			case hello.ServerName != "router.test":
				return nil, nil
			case slices.Equal(hello.SupportedProtos, []string{"acme-tls/1"}):
				return &challenge, nil
			}
			return &ordinary, nil
		},
	}
	creds, err := NewCredentials(cc)
	if err != nil {
		t.Fatal(err)
	}
	e := startWith(t, Config{}, ListenTLS{Credentials: creds}, echoes)
	as := func(name string, protocols ...string) *tls.Config {
		c := a.client(name)
		c.NextProtos, c.ClientSessionCache = protocols, tls.NewLRUClientSessionCache(1)
		return c
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfg := as("router.test", "acme-tls/1")
		cfg.MaxVersion = version
		for range 2 {
			p := dialTLS(t, e, cfg)
			s := p.state()
			if s.NegotiatedProtocol != "acme-tls/1" || !s.PeerCertificates[0].Equal(challenge.Leaf) || s.DidResume {
				t.Errorf("%s: %q, %v", tls.VersionName(version), s.NegotiatedProtocol, s.PeerCertificates[0].Subject)
			}
			p.Write([]byte{0x7F, 0xF3, 0, 0}) // it may be gone
			if b, err := io.ReadAll(p.Conn); err != nil || len(b) > 0 {
				t.Errorf("%s: %d octets, %v", tls.VersionName(version), len(b), err)
			}
			p.Close()
		}
	}
	both := as("router.test", "acme-tls/1", "http/1.1")
	both.Certificates = []tls.Certificate{ordinary}
	p := dialTLS(t, e, both)
	if s := p.state(); s.NegotiatedProtocol != "http/1.1" || !s.PeerCertificates[0].Equal(ordinary.Leaf) {
		t.Errorf("two protocols: %q", s.NegotiatedProtocol)
	}
	p.rawHello()
	refused := func(cfg *tls.Config) error {
		p := dial(t, e)
		defer p.Close()
		return tls.Client(p.Conn, cfg).Handshake()
	}
	if err := refused(as("other.test")); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a name without a certificate: %v", err)
	}
	cc.ACME = false
	if err := creds.Replace(cc); err != nil {
		t.Fatal(err)
	}
	if refused(as("router.test", "acme-tls/1")) == nil {
		t.Error("a challenge is met without ACME")
	}
	eventually(t, "only the client with two protocols is left", func() bool { return e.Stats().Connections == 1 })
}

// What cannot be is refused, at the bound and one beyond.
func TestTLSConfigIsChecked(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	files, _ := a.issue("router", "ecdsa", "router.test")
	with := func(set func(*CredentialsConfig)) CredentialsConfig {
		c := CredentialsConfig{Certificates: []CertificateFiles{files}}
		set(&c)
		return c
	}
	for what, c := range map[string]CredentialsConfig{
		"certificate":  {},
		"version":      with(func(c *CredentialsConfig) { c.MinVersion = tls.VersionTLS11 }),
		"no such file": with(func(c *CredentialsConfig) { c.ClientCA = a.path("none") }),
		"authorities":  with(func(c *CredentialsConfig) { c.ClientCertificates = ClientsMay }),
		"rule":         with(func(c *CredentialsConfig) { c.ClientCertificates = ClientsMust + 1 }),
		"HTTP/2":       with(func(c *CredentialsConfig) { c.ALPN = []string{"h2"} }),
		"ALPN":         with(func(c *CredentialsConfig) { c.ALPN = []string{strings.Repeat("a", 256)} }),
		"of ACME only": with(func(c *CredentialsConfig) { c.ALPN = []string{"acme-tls/1"} }),
		"or from ACME": with(func(c *CredentialsConfig) { c.ACME = true }),
		"OCSP":         with(func(c *CredentialsConfig) { c.Certificates[0].OCSP = files.Key }),
	} {
		if c, err := NewCredentials(c); err == nil || !strings.Contains(err.Error(), what) || c != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	tooMany := make([]CertificateFiles, certificatesMax+1)
	if _, err := NewCredentials(CredentialsConfig{Certificates: tooMany}); err == nil ||
		!strings.Contains(err.Error(), "at most") {
		t.Errorf("too many: %v", err)
	}
	many := slices.Repeat([]CertificateFiles{files}, certificatesMax)
	creds, err := NewCredentials(with(func(c *CredentialsConfig) {
		c.Certificates, c.ALPN = many, []string{strings.Repeat("a", 255)}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for what, cfg := range map[string]Config{
		"no address":     {TLS: map[string]ListenTLS{"127.0.0.1:2": {Credentials: creds}}},
		"no credentials": {TLS: map[string]ListenTLS{anyPort: {}}},
		"HSTS":           {TLS: map[string]ListenTLS{anyPort: {Credentials: creds, HSTS: hstsMax + 1}}},
		"PROXY":          {ProxyProtocol: map[string]bool{"127.0.0.1:2": true}},
		"name":           {ListenNames: map[string]string{"127.0.0.1:2": "x"}},
		"handshakes":     {Live: Live{TLSHandshakesMax: -1}},
	} {
		cfg.Listen = []string{anyPort}
		if _, err := New(cfg, echoes); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if errTLSFields != nil {
		t.Error(errTLSFields)
	}
}
