package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A pair is a certificate that signs itself, and its key, in PEM.
type pair struct {
	certificate, key string
	der              []byte
}

func newPair(t *testing.T, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames:  []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(100 * 24 * time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return pair{block("CERTIFICATE", der), block("PRIVATE KEY", private), der}
}

func (p pair) tls(t *testing.T) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair([]byte(p.certificate), []byte(p.key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *testService) address() string { return s.router.engine.Addrs()[0].String() }

// handshake is what a TLS client gets.
func (s *testService) handshake(c *tls.Config) (tls.ConnectionState, error) {
	c = c.Clone()
	c.InsecureSkipVerify = true // it signs itself
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	nc, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", s.address())
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer nc.Close()
	return nc.(*tls.Conn).ConnectionState(), nil
}

// TestFileTLS: a listener is what its section tls says, and a reload changes what may change while it runs; files
// that are no good leave those before.
func TestFileTLS(t *testing.T) {
	text := func(more string) string {
		return "listeners:\n  - address: 127.0.0.1:0\n    tls: { certificates: [{ certificate: one.pem, " +
			"key: one.key }], " + more + " }\n" + openRealms("a")
	}
	one, two := newPair(t, 1), newPair(t, 2)
	s := startService(t, text("min_version: 1.3, hsts: 1h, alpn: [http/1.1, x]"), "one.pem", one.certificate,
		"one.key", one.key, "two.pem", two.certificate, "two.key", two.key)
	state, err := s.handshake(&tls.Config{NextProtos: []string{"x"}})
	if err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 1 || state.NegotiatedProtocol != "x" {
		t.Fatalf("%v: %v", state.NegotiatedProtocol, err)
	}
	if _, err := s.handshake(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 in spite of min_version: 1.3")
	}
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer insecure.CloseIdleConnections()
	page, err := insecure.Get("https://" + s.address() + "/")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if got := page.Header.Get("Strict-Transport-Security"); !strings.Contains(got, "max-age=3600") {
		t.Errorf("HSTS %q", got)
	}
	plain, err := http.Get("http://" + s.address() + "/")
	if err == nil {
		plain.Body.Close()
		if plain.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %s", plain.Status)
		}
	}
	c, err := client.Dial(t.Context(), "wss://"+s.address()+"/ws", client.Options{
		Realm: "a", TLS: &tls.Config{InsecureSkipVerify: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	s.write(strings.ReplaceAll(text("min_version: 1.2, hsts: 1h, alpn: []"), "one.", "two."))
	if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
		t.Fatalf("%+v", r)
	}
	state, err = s.handshake(&tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"y"}})
	if err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Errorf("after the reload: %v", err)
	}
	if c.Err() != nil {
		t.Errorf("who was there has left: %v", c.Err())
	}
	// The files are good when they are checked, and the authorities are not: nothing changes.
	dir := filepath.Dir(s.file)
	for name, file := range map[string]string{"certificate": "one.pem", "key": "one.key"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("none"), 0o600); err != nil {
			t.Fatal(err)
		}
		s.write(text("min_version: 1.3"))
		if r := s.reload("test"); r.Applied {
			t.Errorf("a broken %s: %+v", name, r)
		}
	}
	state, err = s.handshake(&tls.Config{MaxVersion: tls.VersionTLS12})
	if err != nil || state.PeerCertificates[0].SerialNumber.Int64() != 2 {
		t.Errorf("after a reload that was refused: %v", err)
	}
	s.write(strings.ReplaceAll(text("min_version: 1.2, hsts: 1h, alpn: [], plain: allow, session_tickets: false"),
		"one.", "two."))
	if r := s.reload("test"); !r.Applied || len(r.Restart) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestFileTLSPlain: plain: allow serves both on one port.
func TestFileTLSPlain(t *testing.T) {
	one := newPair(t, 1)
	s := startService(t, "listeners: [{ address: 127.0.0.1:0, tls: { plain: allow, session_tickets: false, "+
		"certificates: [{ certificate: one.pem, key: one.key }] } }]\n"+openRealms("a"), "one.pem", one.certificate,
		"one.key", one.key)
	for _, scheme := range []string{"ws", "wss", "rs", "rss"} {
		c, err := client.Dial(t.Context(), scheme+"://"+s.address()+"/ws", client.Options{
			Realm: "a", TLS: &tls.Config{InsecureSkipVerify: true},
		})
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		c.Close()
	}
}

// TestFileTLSClients: a client certificate that the file knows is a login (AUTH, method tls).
func TestFileTLSClients(t *testing.T) {
	one, joe, stranger := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	s := startService(t, fmt.Sprintf(`
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ certificate: one.pem, key: one.key }], client_ca: ca.pem, client_certificates: required }
realms:
  - uri: a
    auth: { tls: {} }
    roles: [{ name: user }]
    users: { joe: { role: user, tls: [%x] } }
`, sha256.Sum256(joe.der)), "one.pem", one.certificate, "one.key", one.key, "ca.pem", joe.certificate)
	connect := func(p *pair) (*client.Conn, error) {
		c := &tls.Config{InsecureSkipVerify: true}
		if p != nil {
			c.Certificates = []tls.Certificate{p.tls(t)}
		}
		return client.Connect(t.Context(), "wss://"+s.address()+"/ws", client.Options{Serializer: codec.JSON, TLS: c})
	}
	for name, p := range map[string]*pair{"no certificate": nil, "a stranger's": &stranger} {
		if c, err := connect(p); err == nil {
			c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Receive(); err == nil {
				t.Errorf("%s is let in", name)
			}
			c.Abandon()
		}
	}
	c, err := connect(&joe)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	c.SetReadDeadline(time.Now().Add(patience))
	k := &talk{c, t}
	if answer := k.logIn("a", "tls", "joe", "", says("")); !strings.Contains(answer, `"authrole":"user"`) {
		t.Error(answer)
	}
}

// TestFileProxies: a client behind a trusted proxy is where the proxy says, by PROXY header or X-Forwarded-For, and
// so not local (PROTOCOL 13.5).
func TestFileProxies(t *testing.T) {
	s := startService(t, `
listeners:
  - { address: 127.0.0.1:0, proxy_protocol: required, trusted_proxies: [127.0.0.0/8] }
  - { address: "127.0.0.2:0", trusted_proxies: [127.0.0.0/8] }
  - { address: "127.0.0.3:0" }
realms:
  - uri: a
    auth: { anonymous: { from: 192.0.2.0/24 } }
    roles: [{ name: anonymous }]
`)
	hello := `[1,"a",{` + allRoles + `}]`
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.7 127.0.0.1 5000 80\r\n":    "[2,",
		"PROXY TCP4 198.51.100.7 127.0.0.1 5000 80\r\n": "[3,",
	} {
		nc, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(nc, header, "\x7F\xF1\x00\x00")
		if _, err := io.ReadFull(nc, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		nc.Write(append([]byte{0, 0, 0, byte(len(hello))}, hello...))
		answer := make([]byte, 7)
		if _, err := io.ReadFull(nc, answer); err != nil || string(answer[4:]) != want {
			t.Errorf("%q: %q, %v", header, answer, err)
		}
		nc.Close()
	}
	for _, f := range []struct {
		listener      int
		address, want string
	}{{1, "192.0.2.7", "[2,"}, {1, "198.51.100.7", "[3,"}, {2, "192.0.2.7", "[3,"}} {
		c, err := client.Connect(t.Context(), "ws://"+s.at(f.listener)+"/ws", client.Options{
			Serializer: codec.JSON, Header: map[string]string{"X-Forwarded-For": f.address},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
		(&talk{c, t}).says(hello, f.want)
		c.Abandon()
	}
}

// TestReloadTLSTogether: if the files of one listener are no good, the others stay as they were.
func TestReloadTLSTogether(t *testing.T) {
	one := newPair(t, 1)
	text := func(first, second string) string {
		files := "certificates: [{ certificate: one.pem, key: one.key"
		return "listeners:\n  - { name: first, address: 127.0.0.1:0, tls: { " + files + " }], min_version: " + first +
			" } }\n  - { name: second, address: '127.0.0.2:0', tls: { " + files + second + " }] } }\n" +
			openRealms("a")
	}
	s := startService(t, text("1.2", ""), "one.pem", one.certificate, "one.key", one.key, "ocsp", "garbage")
	for range 2 {
		s.write(text("1.3", ", ocsp: ocsp"))
		if r := s.reload("test"); r.Applied || !strings.Contains(r.Error, "listener second: ") {
			t.Errorf("%+v", r)
		}
		if _, err := s.handshake(&tls.Config{MaxVersion: tls.VersionTLS12}); err != nil {
			t.Errorf("the first listener has changed: %v", err)
		}
	}
	s.write(text("1.3", ""))
	if r := s.reload("test"); !r.Applied {
		t.Errorf("%+v", r)
	}
	if _, err := s.handshake(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("the first listener has not changed")
	}
}

// TestReloadClientCA: authorities that changed in their file alone are named by a reload, and one more finds nothing.
func TestReloadClientCA(t *testing.T) {
	one, joe, jane := newPair(t, 1), newPair(t, 2), newPair(t, 3)
	s := startService(t, `
listeners:
  - address: 127.0.0.1:0
    tls: { certificates: [{ certificate: one.pem, key: one.key }], client_ca: ca.pem }
`+openRealms("a"), "one.pem", one.certificate, "one.key", one.key, "ca.pem", joe.certificate)
	ca := filepath.Join(filepath.Dir(s.file), "ca.pem")
	if err := os.WriteFile(ca, []byte(jane.certificate), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.reload("test")
	if !r.Applied || len(r.Changes) != 1 || !strings.HasSuffix(r.Changes[0].Path, ".tls.client_ca") ||
		r.Changes[0].New != ca+" with other content" || !strings.Contains(r.String(), "1 change\n") {
		t.Errorf("%+v\n%s", r, r)
	}
	if r := s.reload("test"); !r.Applied || len(r.Changes) != 0 {
		t.Errorf("%+v", r)
	}
}
