//go:build linux

package engine

import (
	"bytes"
	"crypto"
	_ "crypto/sha512" // certificates are signed with it
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ocsp"
	"golang.org/x/sys/unix"
)

// A CredentialsConfig tells what a TLS listener shows, and what it asks of its clients.
type CredentialsConfig struct {
	// Certificates are files; which certificate is shown depends on the name that the client asks for (SNI). The
	// first is for clients that ask for none, or for an unknown one. Several may be for one name, with keys of
	// different kinds: then the first that the client can verify is shown. At most 1000.
	Certificates []CertificateFiles
	// GetCertificate is asked instead if there are no Certificates. It runs in the pool and may take a while; nothing
	// else uses the pool meanwhile, so not for long. Without an error and a certificate the client is told that its
	// name is not known here (unrecognized_name).
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ACME says that GetCertificate also answers the challenge tls-alpn-01 of ACME (RFC 8737). A client that offers
	// acme-tls/1 and nothing else is shown what it returns, and the connection ends with the handshake.
	ACME bool
	// MinVersion is tls.VersionTLS12, the default, or tls.VersionTLS13.
	MinVersion uint16
	// ClientCA is a PEM file with the authorities that client certificates are verified against. "": none is.
	ClientCA string
	// ClientCertificates says whether clients are asked for one. Default: they are not.
	ClientCertificates ClientCertificates
	// ALPN are names of protocols, the best first. A client that asks for others only is refused; one that asks for
	// none is not. Default: http/1.1. Empty and not nil: whatever a client asks for is fine.
	ALPN []string
	// NoTickets says that clients that come back cannot resume. By default they can, which costs a tenth. The keys of
	// tickets are random, change every day, and are forgotten after a week.
	NoTickets bool
}

// CertificateFiles are the files of one certificate.
type CertificateFiles struct {
	Certificate string // PEM: the certificate, and behind it those that lead to the root
	Key         string // PEM: its private key
	OCSP        string // the answer of an OCSP responder in DER, which is sent along while it is valid; "" for none
}

// Credentials are the certificates, keys and authorities of TLS listeners. They are read from files when they are
// made, on Reload, and when the files have changed while an engine runs with them: then the engine looks every 2 s,
// and waits until they do not change any more. A set of files that is not good changes nothing. Any goroutine.
//
// Connections keep what their handshake agreed on; session tickets stay valid.
type Credentials struct {
	outer *tls.Config // holds the keys of session tickets, which outlive a reload; asks for the rest each time

	now atomic.Pointer[shown]

	mu     sync.Mutex // one reload at a time
	cfg    CredentialsConfig
	seen   string // guarded by mu: the state of the files at the last look
	loaded string // guarded by mu: and when they were last read, with whatever outcome
}

// A shown is what one reading of the files gave. Immutable.
type shown struct {
	config       *tls.Config
	challenge    *tls.Config // for challenges of ACME; nil if there are none
	certificates []*certificate
	byName       map[string][]*certificate // lower case; "*.example.org" for a wildcard
	authorities  *x509.CertPool
	authorityIDs map[authorityID]bool // the same
	ask          func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// A certificate is what is shown of one, with the answer of its OCSP responder and without.
type certificate struct {
	files    CertificateFiles
	stapled  *tls.Certificate // nil without a staple
	until    time.Time        // the end of the staple
	bare     *tls.Certificate
	endPoint []byte // for the channel binding tls-server-end-point
}

// NewCredentials reads the files of cfg. The error names the file and what is wrong with it.
func NewCredentials(cfg CredentialsConfig) (*Credentials, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Credentials{cfg: cfg}
	c.outer = &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			yieldCPU() // before keys are exchanged
			config := c.now.Load().configFor(hello)
			noteAsked(hello, config)
			return config, nil
		},
		// crypto/tls looks at these before it asks.
		MinVersion: tls.VersionTLS12, SessionTicketsDisabled: cfg.NoTickets,
	}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload reads the files again. On error nothing changes; it names the file and what is wrong with it.
func (c *Credentials) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reload()
}

// Replace is Reload with other files, authorities and rules. On error nothing changes. NoTickets cannot change.
func (c *Credentials) Replace(cfg CredentialsConfig) error {
	if err := cfg.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cfg.NoTickets != c.cfg.NoTickets {
		return errors.New("engine: session tickets cannot be turned on or off while listeners run")
	}
	was := c.cfg
	c.cfg = cfg
	if err := c.reload(); err != nil {
		c.cfg = was
		return err
	}
	return nil
}

func (c *Credentials) reload() error {
	c.loaded = c.cfg.stamp() // before they are read: a change meanwhile is seen
	s, err := c.cfg.read(time.Now())
	if err != nil {
		return err
	}
	c.now.Store(s)
	return nil
}

// refresh reads the files again if they have changed and have not gone on changing since the last look. It reports
// whether it did.
func (c *Credentials) refresh() (did bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp := c.cfg.stamp()
	settled := stamp == c.seen
	c.seen = stamp
	if stamp == c.loaded || !settled {
		return false, nil
	}
	return true, c.reload()
}

// forConn returns the configuration for one connection.
func (c *Credentials) forConn() *tls.Config { return c.outer }

// An Expiry tells until when a certificate is valid.
type Expiry struct {
	File     string // CertificateFiles.Certificate
	Names    []string
	NotAfter time.Time
	OCSP     time.Time // the end of its OCSP answer; zero without one
}

// Expiries returns one entry for each certificate that is shown now. Any goroutine.
func (c *Credentials) Expiries() []Expiry {
	var all []Expiry
	for _, crt := range c.now.Load().certificates {
		leaf := crt.bare.Leaf
		all = append(all, Expiry{
			File: crt.files.Certificate, Names: namesOf(leaf), NotAfter: leaf.NotAfter, OCSP: crt.until,
		})
	}
	return all
}

// namesOf returns the host names of a certificate, in lower case.
func namesOf(leaf *x509.Certificate) (names []string) {
	for _, n := range leaf.DNSNames {
		names = append(names, strings.ToLower(n))
	}
	if len(names) == 0 && len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, strings.ToLower(leaf.Subject.CommonName))
	}
	return names
}

// files are the paths that cfg names.
func (cfg *CredentialsConfig) files() (paths []string) {
	for _, f := range cfg.Certificates {
		paths = append(paths, f.Certificate, f.Key)
		if f.OCSP != "" {
			paths = append(paths, f.OCSP)
		}
	}
	if cfg.ClientCA != "" {
		paths = append(paths, cfg.ClientCA)
	}
	return paths
}

// stamp changes when a file does: its content, or what a link on the way points to.
func (cfg *CredentialsConfig) stamp() string {
	var b strings.Builder
	for _, path := range cfg.files() {
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			fmt.Fprintf(&b, "%v;", err)
			continue
		}
		fmt.Fprintf(&b, "%d %d %d %d.%d %d.%d;", st.Dev, st.Ino, st.Size, st.Mtim.Sec, st.Mtim.Nsec, st.Ctim.Sec,
			st.Ctim.Nsec)
	}
	return b.String()
}

// read reads every file of cfg.
func (cfg *CredentialsConfig) read(now time.Time) (*shown, error) {
	s := &shown{byName: map[string][]*certificate{}, ask: cfg.GetCertificate}
	for _, files := range cfg.Certificates {
		crt, err := readCertificate(files, now)
		if err != nil {
			return nil, err
		}
		s.certificates = append(s.certificates, crt)
		for _, name := range namesOf(crt.bare.Leaf) {
			s.byName[name] = append(s.byName[name], crt)
		}
	}
	if cfg.ClientCA != "" {
		pem, err := readFile(cfg.ClientCA)
		if err != nil {
			return nil, err
		}
		s.authorities = x509.NewCertPool()
		if !s.authorities.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("engine: %s: there is no certificate in it; authorities are wanted in PEM",
				cfg.ClientCA)
		}
		s.authorityIDs = authoritiesIn(pem)
	}
	s.config = s.newTLSConfig(cfg)
	if cfg.ACME {
		s.challenge = s.challengeConfig()
	}
	return s, nil
}

func readFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err
		}
		return nil, fmt.Errorf("engine: %s: %w", path, err)
	}
	return b, nil
}

func readCertificate(files CertificateFiles, now time.Time) (*certificate, error) {
	chain, err := readFile(files.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := readFile(files.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("engine: %s with key %s: %w", files.Certificate, files.Key, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("engine: %s: %w", files.Certificate, err)
		}
	}
	crt := &certificate{files: files, bare: &pair, endPoint: endPointOf(pair.Leaf)}
	if files.OCSP == "" {
		return crt, nil
	}
	staple, err := readFile(files.OCSP)
	if err != nil {
		return nil, err
	}
	answer, err := judgeStaple(staple, &pair)
	if err != nil {
		return nil, fmt.Errorf("engine: %s: %w", files.OCSP, err)
	}
	crt.until = answer.NextUpdate
	stapled := pair
	stapled.OCSPStaple = staple
	crt.stapled = &stapled
	return crt, nil
}

// judgeStaple fails if the answer is not about the certificate. One that says that it is revoked, or that is out of
// date, is good: what to do about it is up to the operator, and clients.
func judgeStaple(staple []byte, pair *tls.Certificate) (*ocsp.Response, error) {
	var issuer *x509.Certificate
	if len(pair.Certificate) > 1 {
		var err error
		if issuer, err = x509.ParseCertificate(pair.Certificate[1]); err != nil {
			return nil, err
		}
	}
	answer, err := ocsp.ParseResponseForCert(staple, pair.Leaf, issuer)
	if err != nil {
		return nil, fmt.Errorf("this is no OCSP answer for the certificate: %w", err)
	}
	return answer, nil
}

// show returns the certificate with the answer of its responder while that is valid.
func (c *certificate) show(now time.Time) *tls.Certificate {
	if c.stapled != nil && (c.until.IsZero() || now.Before(c.until)) {
		return c.stapled
	}
	return c.bare
}

// choose returns the certificate for a client.
func (s *shown) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	yieldCPU() // after that, before a signature is computed
	if len(s.certificates) == 0 {
		crt, err := s.ask(hello)
		if err == nil && crt != nil && crt.Leaf != nil {
			noteShown(hello, endPointOf(crt.Leaf))
		}
		return crt, err
	}
	candidates := s.candidates(hello.ServerName)
	best := candidates[0]
	for _, crt := range candidates {
		if len(candidates) == 1 || hello.SupportsCertificate(crt.bare) == nil {
			best = crt
			break
		}
	}
	noteShown(hello, best.endPoint)
	return best.show(time.Now()), nil
}

// candidates are the certificates for a name, the best first; at least one.
func (s *shown) candidates(name string) []*certificate {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if found := s.byName[name]; len(found) > 0 {
		return found
	}
	if _, domain, ok := strings.Cut(name, "."); ok {
		if found := s.byName["*."+domain]; len(found) > 0 {
			return found
		}
	}
	first := s.certificates[0]
	if names := namesOf(first.bare.Leaf); len(names) > 0 {
		return s.byName[names[0]] // the first, and others for the same name with other keys
	}
	return s.certificates[:1]
}

// noteShown remembers what the client is shown.
func noteShown(hello *tls.ClientHelloInfo, endPoint []byte) {
	if w, ok := hello.Conn.(*tlsWire); ok && w.handshake != nil {
		w.handshake.endPoint = endPoint
	}
}

// noteAsked remembers whether the client is asked for a certificate.
func noteAsked(hello *tls.ClientHelloInfo, config *tls.Config) {
	if w, ok := hello.Conn.(*tlsWire); ok && w.handshake != nil {
		w.handshake.asked = config.ClientAuth != tls.NoClientCert
	}
}

// endPointOf is the hash of a certificate for tls-server-end-point (RFC 5929 4.1): that of its own signature, SHA-256
// instead of MD5 and SHA-1; nil where the signature has none.
func endPointOf(leaf *x509.Certificate) []byte {
	var h crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.SHA256WithRSA,
		x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		h = crypto.SHA512
	default:
		return nil
	}
	d := h.New()
	d.Write(leaf.Raw)
	return bytes.Clone(d.Sum(nil))
}
