package acme

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// An authority is pebble, Let's Encrypt's ACME server for tests, on loopback. Every name is this machine for it.
type authority struct {
	directory string
	trust     []byte         // PEM: the certificate of its own HTTPS
	roots     *x509.CertPool // what it issues is verified against these
	db        *db.MemoryStore

	mu       sync.Mutex
	orders   int      // guarded by mu
	accounts []string // guarded by mu: the payloads of newAccount
}

// newAuthority starts one whose challenges go to two ports. Its certificates are valid for some seconds.
func newAuthority(t *testing.T, tlsPort, httpPort int, seconds uint64) *authority {
	t.Helper()
	return newBoundAuthority(t, tlsPort, httpPort, seconds, nil)
}

// newBoundAuthority is newAuthority for one that has accounts with these keys, in base64url, and serves nobody else.
func newBoundAuthority(t *testing.T, tlsPort, httpPort int, seconds uint64, keys map[string]string) *authority {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	resolver := "127.0.0.1:" + strconv.Itoa(freePort(t))
	names, err := challtestsrv.New(challtestsrv.Config{Log: quiet, DNSAddrs: []string{resolver}})
	if err != nil {
		t.Fatal(err)
	}
	names.SetDefaultDNSIPv4("127.0.0.1")
	names.SetDefaultDNSIPv6("")
	go names.Run()
	t.Cleanup(names.Shutdown)
	eventually(t, "names are resolved", func() bool {
		c, err := net.Dial("tcp", resolver)
		if err == nil {
			c.Close()
		}
		return err == nil
	})

	a := &authority{roots: x509.NewCertPool(), db: db.NewMemoryStore()}
	issuer := ca.New(quiet, a.db, "", "ecdsa", 0, 1, map[string]ca.Profile{
		"default": {Description: "the only one", ValidityPeriod: seconds},
	})
	a.roots.AppendCertsFromPEM(issuer.GetRootCert(0).PEM())
	front := wfe.New(quiet, a.db, va.New(quiet, httpPort, tlsPort, true, resolver, a.db), issuer,
		[]string{"authority.example"}, true, keys != nil, 0, 0)
	for id, key := range keys {
		if err := a.db.AddExternalAccountKeyByID(id, key); err != nil {
			t.Fatal(err)
		}
	}
	server := httptest.NewTLSServer(a.count(front.Handler()))
	server.Config.ErrorLog = quiet
	t.Cleanup(server.Close)
	a.directory = server.URL + wfe.DirectoryPath
	a.trust = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return a
}

// count notes orders and accounts on their way to next.
func (a *authority) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		q.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, q)
		if answer.Code == http.StatusCreated { // a refused nonce is tried again
			a.mu.Lock()
			switch {
			case strings.HasSuffix(q.URL.Path, "/order-plz"):
				a.orders++
			case strings.HasSuffix(q.URL.Path, "/sign-me-up"):
				var signed struct{ Payload string }
				_ = json.Unmarshal(body, &signed)
				payload, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
				a.accounts = append(a.accounts, string(payload))
			}
			a.mu.Unlock()
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func (a *authority) ordered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.orders
}

// nextPort begins below the ports that the system gives to those who connect.
var nextPort = 20000 + rand.N(10000)

var portMu sync.Mutex // guards nextPort

// freePort is a port that nobody has, and that no other case gets.
func freePort(t *testing.T) int {
	t.Helper()
	portMu.Lock()
	defer portMu.Unlock()
	for range 1000 {
		nextPort++
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(nextPort)); err == nil {
			l.Close()
			return nextPort
		}
	}
	t.Fatal("no port is free")
	return 0
}
