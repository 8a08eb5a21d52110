//go:build linux

package engine

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"banyan/engine/port"
)

// A trusting is an engine that tells of each client that comes.
type trusting struct {
	*Engine
	*authority
	creds   *Credentials
	base    CredentialsConfig
	changed chan bool
	peers   chan *port.Peer
}

func newTrusting(t *testing.T) *trusting {
	t.Helper()
	s := &trusting{authority: newAuthority(t), changed: make(chan bool, 100), peers: make(chan *port.Peer, 1)}
	server, _ := s.issue("router", "ecdsa", "router.test")
	s.base = CredentialsConfig{Certificates: []CertificateFiles{server}}
	s.base.ClientCA, s.base.ClientCertificates = s.path("ca.pem"), ClientsMay
	var err error
	if s.creds, err = NewCredentials(s.base); err != nil {
		t.Fatal(err)
	}
	cfg := Config{AuthoritiesChanged: func() { s.changed <- true }}
	s.Engine = startWith(t, cfg, ListenTLS{Credentials: s.creds}, func(_ port.Executor, c port.Conn) port.Handler {
		s.peers <- c.Peer()
		return &session{c: c}
	})
	return s
}

// come connects with a certificate, or without, and returns what the session gets to know.
func (s *trusting) come(crt *tls.Certificate, version uint16, cache tls.ClientSessionCache) *port.TLS {
	s.t.Helper()
	cfg := s.client("router.test")
	cfg.MaxVersion, cfg.ClientSessionCache = version, cache
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if crt == nil {
			return new(tls.Certificate), nil
		}
		return crt, nil
	}
	dialTLS(s.t, s.Engine, cfg).rawHello()
	return (<-s.peers).TLS
}

func (s *trusting) replace(ca string, rule ClientCertificates) {
	s.t.Helper()
	cfg := s.base
	cfg.ClientCA, cfg.ClientCertificates = ca, rule
	if err := s.creds.Replace(cfg); err != nil {
		s.t.Fatal(err)
	}
}

// TestTLSTrust: what a listener makes of a client that is there follows the authorities and the rule of today, also
// for one that has resumed.
func TestTLSTrust(t *testing.T) {
	t.Parallel()
	s, other := newTrusting(t), newAuthority(t)
	_, ours := s.issue("ours", "ecdsa", "ours.test")
	renewed := *s.authority
	again := renewed.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}, s.key.Public(), nil)
	s.write("renewed.pem", "CERTIFICATE", again.Raw)
	s.write("both.pem", "CERTIFICATE", other.cert.Raw, again.Raw)
	none, with := map[string]*port.TLS{}, map[string]*port.TLS{}
	for _, version := range tlsVersions {
		cache := tls.NewLRUClientSessionCache(10)
		for i := range 2 {
			name := fmt.Sprintf("version %x, %d", version, i)
			with[name], none[name] = s.come(&ours, version, cache), s.come(nil, version, nil)
			if with[name].Resumed != (i == 1) {
				t.Fatalf("%s: resumed %v", name, with[name].Resumed)
			}
		}
	}
	for i, c := range []struct {
		ca         string
		rule       ClientCertificates
		with, none port.Trust
	}{
		{s.path("ca.pem"), ClientsMay, port.Trusted, port.Trusted},
		{s.path("ca.pem"), ClientsMust, port.Trusted, port.Unwelcome},
		{s.path("renewed.pem"), ClientsMust, port.Trusted, port.Unwelcome},
		{s.path("both.pem"), ClientsMay, port.Trusted, port.Trusted},
		{other.path("ca.pem"), ClientsMay, port.Untrusted, port.Trusted},
		{other.path("ca.pem"), ClientsMust, port.Unwelcome, port.Unwelcome},
		{"", ClientsNotAsked, port.Untrusted, port.Trusted},
		{s.path("ca.pem"), ClientsMust, port.Trusted, port.Unwelcome},
	} {
		s.replace(c.ca, c.rule)
		for name := range with {
			if a, b := with[name].Trust(), none[name].Trust(); a != c.with || b != c.none {
				t.Errorf("%d, %s: %v with a certificate, %v without", i, name, a, b)
			}
		}
	}
	if len(s.changed) > 0 {
		t.Error("it is told of what it was told itself")
	}
}

// TestTLSTrustExpires: a client is trusted until the first certificate expires of its chains to authorities. If there
// is another chain, it may come back by that.
func TestTLSTrustExpires(t *testing.T) {
	s := newTrusting(t)
	_, ours := s.issue("ours", "ecdsa", "ours.test")
	if got := s.come(&ours, tls.VersionTLS13, nil); !got.Until.Equal(ours.Leaf.NotAfter) {
		t.Errorf("trusted until %v, the certificate is good until %v", got.Until, ours.Leaf.NotAfter)
	}
	if got := s.come(nil, tls.VersionTLS13, nil); !got.Until.IsZero() {
		t.Errorf("without a certificate trusted until %v", got.Until)
	}
	past, soon, later := time.Now().Add(-time.Second), time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	chain := func(leaf, middle time.Time) []*x509.Certificate {
		authority := *s.cert
		authority.NotAfter = later
		return []*x509.Certificate{{NotAfter: leaf}, {NotAfter: middle}, &authority}
	}
	type chains = [][]*x509.Certificate
	for _, c := range []struct {
		name      string
		chains    chains
		until     time.Time
		may, must port.Trust
	}{
		{"good", chains{chain(soon, later)}, soon, port.Trusted, port.Trusted},
		{"leaf", chains{chain(past, later)}, past, port.Untrusted, port.Unwelcome},
		{"middle", chains{chain(later, past)}, past, port.Untrusted, port.Unwelcome},
		{"one of 2", chains{chain(soon, later), chain(soon, past)}, past, port.Untrusted, port.Unwelcome},
		{"other", chains{chain(later, past), chain(later, soon)}, past, port.Untrusted, port.Unwelcome},
		{"two", chains{chain(later, later), chain(later, soon)}, soon, port.Trusted, port.Trusted},
		{"all", chains{chain(past, later), chain(later, past)}, past, port.Untrusted, port.Unwelcome},
	} {
		v := s.creds.voucherFor(c.chains)
		if !v.until.Equal(c.until) {
			t.Errorf("%s: until %v, want %v", c.name, v.until, c.until)
		}
		for rule, want := range map[ClientCertificates]port.Trust{ClientsMay: c.may, ClientsMust: c.must} {
			s.replace(s.base.ClientCA, rule)
			if got := v.trust(); got != want {
				t.Errorf("%s, %v: %v, want %v", c.name, rule, got, want)
			}
		}
	}
}

// TestTLSTrustOfOne: authorities that signed each other vouch for a client as long as one of them is trusted, and so
// does one in the middle.
func TestTLSTrustOfOne(t *testing.T) {
	s, root := newTrusting(t), newAuthority(t)
	middle := newAuthority(t)
	name := func(c *x509.Certificate) *x509.Certificate {
		return &x509.Certificate{
			Subject: c.Subject, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	bySelf, byRoot := middle.cert, root.sign(name(middle.cert), middle.key.Public(), root.cert)
	s.write("two.pem", "CERTIFICATE", bySelf.Raw, root.cert.Raw)
	_, crt := middle.issue("client", "ecdsa", "client.test")
	crt.Certificate = [][]byte{crt.Certificate[0], byRoot.Raw}
	s.replace(s.path("two.pem"), ClientsMust)
	got := s.come(&crt, tls.VersionTLS13, nil)
	for ca, want := range map[string]port.Trust{
		middle.path("ca.pem"): port.Trusted, root.path("ca.pem"): port.Trusted, s.path("ca.pem"): port.Unwelcome,
	} {
		if s.replace(ca, ClientsMust); got.Trust() != want {
			t.Errorf("%s: %v", ca, got.Trust())
		}
	}
}

// TestTLSTrustBounds: as many authorities are remembered as the bound says, each once.
func TestTLSTrustBounds(t *testing.T) {
	s := newAuthority(t)
	server, _ := s.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{server}})
	if err != nil {
		t.Fatal(err)
	}
	var chains [][]*x509.Certificate
	for range authoritiesMax + 1 {
		a := &authority{t: t, dir: s.dir, key: newKey("ecdsa")}
		root := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "same"}}, a.key.Public(), nil)
		chains = append(chains, []*x509.Certificate{s.cert, root}, []*x509.Certificate{root})
	}
	v := creds.voucherFor(chains)
	if len(v.authorities) != authoritiesMax {
		t.Fatalf("%d authorities", len(v.authorities))
	}
	for i, id := range v.authorities {
		if id != authorityOf(chains[2*i][1]) {
			t.Errorf("authority %d is another one", i)
		}
	}
	for i, other := range []crypto.Signer{s.key, newKey("ecdsa")} {
		a := &authority{t: t, dir: s.dir, key: other}
		for k, cn := range []string{"authority", "another"} {
			c := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: cn}}, other.Public(), nil)
			if same := authorityOf(c) == authorityOf(s.cert); same != (i+k == 0) {
				t.Errorf("key %d, name %d: the same authority is %v", i, k, same)
			}
		}
	}
}

// TestTLSTrustTold: a file with other authorities is told of when it is read, one with the same is not, nor one that
// is no good.
func TestTLSTrustTold(t *testing.T) {
	s, other := newAuthority(t), newAuthority(t)
	server, _ := s.issue("router", "ecdsa", "router.test")
	creds, err := NewCredentials(CredentialsConfig{
		Certificates: []CertificateFiles{server}, ClientCA: s.path("ca.pem"), ClientCertificates: ClientsMay,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, ours := s.issue("ours", "ecdsa", "ours.test")
	got := creds.voucherFor([][]*x509.Certificate{{ours.Leaf, s.cert}})
	n := 0
	e := &Engine{cfg: Config{AuthoritiesChanged: func() { n++ }, Log: slog.New(slog.DiscardHandler)}}
	put := func(text []byte) (told bool) {
		t.Helper()
		if err := os.WriteFile(s.path("ca.pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		was := n
		for range 3 {
			e.refresh(creds, "front")
		}
		return n > was
	}
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	mine, theirs := read(s.path("ca.pem")), read(other.path("ca.pem"))
	for i, c := range []struct {
		text []byte
		told bool
		want port.Trust
	}{
		{append([]byte("a remark\n"), mine...), false, port.Trusted},
		{append(theirs, mine...), true, port.Trusted},
		{[]byte("nothing"), false, port.Trusted},
		{theirs, true, port.Untrusted},
		{mine, true, port.Trusted},
	} {
		if told := put(c.text); told != c.told || got.trust() != c.want {
			t.Errorf("%d: told %v, %v", i, told, got.trust())
		}
	}
}
