//go:build linux

package engine

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"banyan/engine/port"
)

// An authority signs certificates for tests.
type authority struct {
	t    testing.TB
	dir  string
	key  crypto.Signer
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), key: newKey("ecdsa")}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, a.key.Public(), nil)
	a.write("ca.pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func newKey(kind string) crypto.Signer {
	switch kind {
	case "rsa":
		k, _ := rsa.GenerateKey(rand.Reader, 2048)
		return k
	case "ed25519":
		_, k, _ := ed25519.GenerateKey(rand.Reader)
		return k
	}
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return k
}

func (a *authority) sign(c *x509.Certificate, public any, parent *x509.Certificate) *x509.Certificate {
	a.t.Helper()
	if parent == nil {
		parent = c
	}
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(100 * time.Hour)
	}
	c.NotBefore = time.Now().Add(-time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	crt, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return crt
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// write replaces a file at once.
func (a *authority) write(name, kind string, der ...[]byte) string {
	a.t.Helper()
	var b bytes.Buffer
	for _, d := range der {
		if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: d}); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := os.WriteFile(a.path(name), b.Bytes(), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return a.path(name)
}

// issue writes a certificate for names and its key, and returns both the files and the pair.
func (a *authority) issue(file, kind string, names ...string) (CertificateFiles, tls.Certificate) {
	a.t.Helper()
	key := newKey(kind)
	c := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: file}, DNSNames: names, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key.Public(), a.cert)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	f := CertificateFiles{
		Certificate: a.write(file+".pem", "CERTIFICATE", c.Raw, a.cert.Raw),
		Key:         a.write(file+".key", "PRIVATE KEY", der),
	}
	return f, tls.Certificate{Certificate: [][]byte{c.Raw, a.cert.Raw}, PrivateKey: key, Leaf: c}
}

// client is what a client needs to trust a.
func (a *authority) client(name string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{RootCAs: pool, ServerName: name}
}

// startTLS runs an engine with TLS on its only address. The certificate is for router.test.
func startTLS(t testing.TB, cfg Config, cc CredentialsConfig, open port.Opener) (*Engine, *authority) {
	t.Helper()
	a := newAuthority(t)
	if cc.Certificates == nil {
		f, _ := a.issue("router", "ecdsa", "router.test")
		cc.Certificates = []CertificateFiles{f}
	}
	creds, err := NewCredentials(cc)
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, cfg, ListenTLS{Credentials: creds}, open), a
}

const anyPort = "127.0.0.1:0"

func startWith(t testing.TB, cfg Config, l ListenTLS, open port.Opener) *Engine {
	t.Helper()
	cfg.Listen = []string{anyPort}
	cfg.TLS = map[string]ListenTLS{anyPort: l}
	return start(t, cfg, open)
}

// dialTLS opens a connection and completes its handshake.
func dialTLS(t testing.TB, e *Engine, cfg *tls.Config) *peer {
	t.Helper()
	p := dial(t, e)
	c := tls.Client(p.Conn, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return &peer{c, t, bufio.NewReaderSize(c, 64<<10)}
}

// rawOver says hello on an open connection.
func (p *peer) rawHello() *peer {
	p.t.Helper()
	p.send([]byte{0x7F, 0xF3, 0, 0})
	p.expect([]byte{0x7F, 0xF3, 0, 0})
	return p
}

func (p *peer) state() tls.ConnectionState { return p.Conn.(*tls.Conn).ConnectionState() }

// tap is a connection under a tls.Conn whose octets the test sees, and may hold back.
type tap struct {
	net.Conn
	mu   sync.Mutex
	sent []byte
	got  []byte
	keep bool          // writes only go to sent
	slow time.Duration // between any two octets
}

func (c *tap) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent = append(c.sent, b...)
	keep, piece := c.keep, len(b)
	c.mu.Unlock()
	if keep {
		return len(b), nil
	}
	if c.slow > 0 {
		piece = 1
	}
	for n := 0; n < len(b); n += piece {
		if _, err := c.Conn.Write(b[n:min(n+piece, len(b))]); err != nil {
			return n, err
		}
		time.Sleep(c.slow)
	}
	return len(b), nil
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.got = append(c.got, b[:n]...)
	c.mu.Unlock()
	return n, err
}

// A brokenConn has nothing to read.
type brokenConn struct{ net.Conn }

func (brokenConn) Read([]byte) (int, error) { return 0, net.ErrClosed }
func (brokenConn) Close() error             { return nil }
