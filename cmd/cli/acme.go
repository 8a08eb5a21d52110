//go:build acme

package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	acmeproto "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"banyan/cmd/config"
	"banyan/engine"
)

const (
	// acmeFolder is where certificates, their keys and accounts are, in process.data_dir.
	acmeFolder = "acme"
	// acmeLoadTimeout is how long a start waits for certificates that were fetched before. It waits for no other.
	acmeLoadTimeout = 2 * time.Second
)

// An acme fetches the certificates of listeners with a section tls.acme, and renews them. certmagic does the work, in
// goroutines of its own:
//
//  1. newACME   before the listeners are bound
//  2. apply     says what is wanted: what was fetched before is loaded, the rest ordered, and nobody waits for it
//  3. handshake the pool asks certificate, which only looks into memory; tls-alpn-01 is answered there, too
//  4. apply     again by a reload; prepare has refused before what cannot be done
//  5. close     ends orders under way. What was fetched is shown as long as the listeners run
type acme struct {
	// Fixed by newACME.
	log   *slog.Logger
	files acmeFiles                // without a path: no folder to keep certificates in
	all   map[string]*acmeListener // by address, as in the file; one for each listener with TLS

	answers acmeAnswers

	mu     sync.Mutex // one apply, or the close, at a time
	closed atomic.Bool
}

// An acmeListener is the part of an acme that one listener has.
type acmeListener struct {
	acme *acme
	name string
	host string // fixed by bound, before anything is ordered
	port int    // as host

	now    atomic.Pointer[acmeSet] // what is in force; nil without a section acme
	loaded chan struct{}           // has a token when a certificate was loaded
}

// An acmeSet is what one configuration wants. Immutable, but for orders.
type acmeSet struct {
	want    config.ACME
	account *acmeproto.EAB  // what the file with its key said
	domains map[string]bool // lower case
	first   string
	cache   *certmagic.Cache
	magic   *certmagic.Config
	// older was in force before one with another authority, or other settings. Its certificates are shown until there
	// are others; it does not renew them any more.
	older *acmeSet

	orders map[string]context.CancelFunc // by domain; guarded by acme.mu, and passed on from set to set
}

func newACME(f *config.File, log *slog.Logger) *acme {
	a := &acme{log: log, all: map[string]*acmeListener{}}
	if dir := f.Process.DataDir; dir != "" {
		a.files.Path = filepath.Join(dir, acmeFolder)
	}
	for i := range f.Listeners {
		if l := &f.Listeners[i]; l.TLS != nil {
			a.all[l.Address] = &acmeListener{acme: a, name: listenerName(l), loaded: make(chan struct{}, 1)}
		}
	}
	return a
}

// bound tells where the listeners listen.
func (a *acme) bound(listeners []config.Listener, addresses []net.Addr) {
	for i := range listeners {
		if l := a.all[listeners[i].Address]; l != nil {
			if at, ok := addresses[i].(*net.TCPAddr); ok {
				l.host, l.port = at.IP.String(), at.Port
				if at.Zone != "" {
					l.host += "%" + at.Zone
				}
			}
		}
	}
}

// prepare refuses what apply could not do.
func (a *acme) prepare(listeners []config.Listener) error {
	for i := range listeners {
		l := a.all[listeners[i].Address]
		if l == nil || listeners[i].TLS == nil || listeners[i].TLS.ACME == nil {
			continue
		}
		failed := func(err error) error { return fmt.Errorf("listener %s: tls.acme: %w", l.name, err) }
		if a.files.Path == "" {
			return failed(errNoFolder)
		}
		if err := makePrivate(a.files.Path); err != nil {
			return failed(err)
		}
		if _, err := rootsOf(listeners[i].TLS.ACME); err != nil {
			return failed(err)
		}
		if _, err := accountOf(listeners[i].TLS.ACME); err != nil {
			return failed(err)
		}
	}
	return nil
}

var errNoFolder = errors.New("process.data_dir, the folder for certificates, takes effect by a restart")

// makePrivate makes a folder that only the user of the router can look into.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// rootsOf reads directory_ca; nil are the roots of the system.
func rootsOf(want *config.ACME) (*x509.CertPool, error) {
	if want.DirectoryCA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(want.DirectoryCA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s", want.DirectoryCA)
	}
	return roots, nil
}

// accountOf reads the key that binds the account to one that the authority knows; nil: there is none.
func accountOf(want *config.ACME) (*acmeproto.EAB, error) {
	if want.EAB == nil {
		return nil, nil
	}
	text, err := readSecret(want.EAB.HMACKeyFile)
	if err != nil {
		return nil, err
	}
	key, err := want.EAB.MACKey(text)
	if err != nil {
		return nil, fmt.Errorf("there is no key in base64url in %s", want.EAB.HMACKeyFile)
	}
	return &acmeproto.EAB{KeyID: want.EAB.KeyID, MACKey: key}, nil
}

// apply puts in force what the listeners want, after prepare. Certificates that were fetched before are shown when it
// returns, unless loading them takes too long.
func (a *acme) apply(listeners []config.Listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), acmeLoadTimeout)
	defer cancel()
	for i := range listeners {
		// Whether there is TLS changes by a restart.
		if l := a.all[listeners[i].Address]; l != nil && listeners[i].TLS != nil {
			l.apply(listeners[i].TLS.ACME)
		}
	}
	for _, l := range a.all {
		l.awaitStored(ctx)
	}
}

// apply changes what is in force. acme.mu is held.
func (l *acmeListener) apply(want *config.ACME) {
	was := l.now.Load()
	if want == nil {
		l.now.Store(nil)
		was.stop()
		return
	}
	is := &acmeSet{want: *want, domains: map[string]bool{}, first: strings.ToLower(want.Domains[0])}
	for _, d := range want.Domains {
		is.domains[strings.ToLower(d)] = true
	}
	if was != nil && was.sameBut(want) {
		is.cache, is.magic, is.older, is.orders = was.cache, was.magic, was.older, was.orders
		is.account = was.account
		l.now.Store(is)
		for d := range was.domains {
			if !is.domains[d] {
				is.forget(d)
			}
		}
	} else {
		if err := is.start(l); err != nil { // the file was good a moment ago
			l.acme.log.Error("certificates cannot be fetched", "listener", l.name, "error", err)
			return
		}
		if was != nil {
			older := *was
			older.older = nil
			is.older = &older
		}
		l.now.Store(is)
		was.stop()
	}
	for _, d := range want.Domains {
		is.order(strings.ToLower(d))
	}
}

// sameBut reports whether want differs in domains at most, and the key of the account is the same.
func (s *acmeSet) sameBut(want *config.ACME) bool {
	a, b := s.want, *want
	a.Domains, b.Domains = nil, nil
	account, err := accountOf(want)
	return err == nil && reflect.DeepEqual(a, b) && reflect.DeepEqual(account, s.account)
}

// start makes a cache, and what fills it.
func (s *acmeSet) start(l *acmeListener) error {
	roots, err := rootsOf(&s.want)
	if err != nil {
		return err
	}
	if s.account, err = accountOf(&s.want); err != nil {
		return err
	}
	log := zap.New(&acmeLog{acme: l.acme, log: l.acme.log.With("listener", l.name)})
	var magic atomic.Pointer[certmagic.Config]
	s.orders = map[string]context.CancelFunc{}
	s.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return magic.Load(), nil },
		RenewCheckInterval: s.want.RenewInterval,
		Logger:             log,
	})
	s.magic = certmagic.New(s.cache, certmagic.Config{
		Storage: &l.acme.files,
		Logger:  log,
		OnEvent: func(ctx context.Context, event string, data map[string]any) error {
			return l.event(ctx, s, event, data)
		},
	})
	s.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(s.magic, certmagic.ACMEIssuer{
		CA:                        s.want.Directory,
		Email:                     s.want.Email,
		Agreed:                    s.want.AgreeToTerms,
		ExternalAccount:           s.account,
		TrustedRoots:              roots,
		DisableHTTPChallenge:      !slices.Contains(s.want.Challenges, "http-01"),
		DisableTLSALPNChallenge:   !slices.Contains(s.want.Challenges, "tls-alpn-01"),
		DisableDistributedSolvers: true, // no other process answers for this one
		// Where both are answered: by the listener itself, and by acmeAnswers or another listener. certmagic sees
		// that the ports are in use, and leaves it to them.
		ListenHost:     l.host,
		AltTLSALPNPort: l.port,
		AltHTTPPort:    s.want.PortHTTP,
		Logger:         log,
	})}
	magic.Store(s.magic)
	return nil
}

// order has a certificate loaded or fetched, and renewed from then on, unless it is so already.
func (s *acmeSet) order(domain string) {
	if s.orders[domain] != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.orders[domain] = cancel
	_ = s.magic.ManageAsync(ctx, []string{domain}) // it tells its errors to the log
}

// forget ends an order, and drops what was fetched from memory. A renewal under way may bring it back; event drops it
// when it is to be renewed again.
func (s *acmeSet) forget(domain string) {
	if cancel := s.orders[domain]; cancel != nil {
		cancel()
		delete(s.orders, domain)
	}
	s.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: domain}})
}

// stop ends orders and renewals. Certificates that are there stay. A nil set is none.
func (s *acmeSet) stop() {
	if s == nil {
		return
	}
	for d, cancel := range s.orders {
		cancel()
		delete(s.orders, d)
	}
	go s.cache.Stop() // it waits for an OCSP responder that is being asked
}

// awaitStored waits until the certificates that are in the folder are in memory.
func (l *acmeListener) awaitStored(ctx context.Context) {
	s := l.now.Load()
	if s == nil {
		return
	}
	issuer := s.magic.Issuers[0].IssuerKey()
	for d := range s.domains {
		for s.magic.Storage.Exists(ctx, certmagic.StorageKeys.SiteCert(issuer, d)) && !s.has(d) {
			select {
			case <-l.loaded:
			case <-ctx.Done():
				return
			}
		}
	}
}

// has reports whether there is a certificate for a domain.
func (s *acmeSet) has(domain string) bool { return len(s.cache.AllMatchingCertificates(domain)) > 0 }

// close ends orders under way, so that the next process need not wait for them.
func (a *acme) close() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed.Swap(true) {
		return
	}
	for _, l := range a.all {
		l.now.Load().stop()
	}
	a.answers.close()
	a.files.close()
	certmagic.CleanUpOwnLocks(context.Background(), zap.NewNop())
}

// certificates is the function that a listener gets its certificates from.
func (a *acme) certificates(address string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if a == nil {
		return (&acmeListener{}).certificate // the configuration is checked, and nobody connects
	}
	return a.all[address].certificate
}

// certificate returns what a client is shown, from memory; nil: nothing, and it is refused. Any goroutine.
func (l *acmeListener) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s := l.now.Load()
	if s == nil {
		return nil, nil
	}
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		c, ok := certmagic.GetACMEChallenge(name)
		if !ok || c.Type != acmeproto.ChallengeTypeTLSALPN01 {
			return nil, nil
		}
		return acmez.TLSALPN01ChallengeCert(c.Challenge)
	}
	if !s.domains[name] {
		name = s.first
	}
	for ; s != nil; s = s.older {
		if some := s.cache.AllMatchingCertificates(name); len(some) > 0 {
			c, err := certmagic.DefaultCertificateSelector(hello, some)
			return &c.Certificate, err
		}
	}
	return nil, nil
}

// page answers http-01 on listeners without encryption, and is the page otherwise.
func (a *acme) page(path string) engine.Page {
	if answer, ok := a.answer(path); ok {
		return engine.Page{Status: http.StatusOK, ContentType: "text/plain; charset=utf-8", Body: []byte(answer)}
	}
	return page(path)
}

// answer is the answer to http-01 at path, if a challenge is under way there. Any goroutine.
func (a *acme) answer(path string) (string, bool) {
	if !strings.HasPrefix(path, "/.well-known/acme-challenge/") {
		return "", false
	}
	for _, l := range a.all {
		s := l.now.Load()
		if s == nil {
			continue
		}
		for d := range s.domains {
			c, ok := certmagic.GetACMEChallenge(d)
			if ok && c.Type == acmeproto.ChallengeTypeHTTP01 && c.HTTP01ResourcePath() == path {
				return c.KeyAuthorization, true
			}
		}
	}
	return "", false
}
