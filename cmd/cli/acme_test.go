//go:build acme

package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"banyan/cmd/config"
)

// hasACME says for which of the two programs the tests are.
const hasACME = true

// The rest is seen from outside, with a real authority: bench/interop/acme.

// nowhere is a section acme whose authority is not there.
const nowhere = "acme: { domains: [a.example], agree_to_terms: true, " +
	"directory: 'https://127.0.0.1:1/dir', port_http: 4711 }"

// TestACMEWithoutAuthority: the router runs, refuses clients with the alert that says why, changes to files and back
// by a reload, and stops without waiting for orders.
func TestACMEWithoutAuthority(t *testing.T) {
	text := func(section string) string {
		return "process: { data_dir: data }\nlisteners: [{ address: 127.0.0.1:0, tls: { " + section + " } }]\n" +
			openRealms("a")
	}
	one := newPair(t, 1)
	var s *testService
	t.Cleanup(func() { // after the router's own
		if !s.router.acme.closed.Load() {
			t.Error("the end of the router is not that of its orders")
		}
	})
	s = startService(t, text(nowhere), "one.pem", one.certificate, "one.key", one.key)
	refused := func() {
		t.Helper()
		if _, err := s.handshake(&tls.Config{ServerName: "a.example"}); err == nil ||
			!strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("without a certificate: %v", err)
		}
	}
	refused()
	for range 2 {
		s.write(text("certificates: [{ certificate: one.pem, key: one.key }]"))
		if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
			t.Fatalf("%+v", r)
		}
		if _, err := s.handshake(&tls.Config{ServerName: "a.example"}); err != nil {
			t.Errorf("with files: %v", err)
		}
		s.write(text(nowhere))
		if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
			t.Fatalf("%+v", r)
		}
		refused()
	}
}

// TestACMEOrders: a reload leaves orders of domains that stay alone, ends those of others, and the end ends all.
func TestACMEOrders(t *testing.T) {
	text := func(domains string) string {
		return "process: { data_dir: data }\nlisteners: [{ address: 127.0.0.1:0, tls: { " +
			strings.Replace(nowhere, "a.example", domains, 1) + " } }]\n" + openRealms("a")
	}
	s := startService(t, text("a.example, b.example"))
	l := s.router.acme.all["127.0.0.1:0"]
	// Whoever answers challenges, certmagic opens no other port for them.
	at := l.now.Load().magic.Issuers[0].(*certmagic.ACMEIssuer)
	if where := net.JoinHostPort(at.ListenHost, strconv.Itoa(at.AltTLSALPNPort)); where != s.address() ||
		at.AltHTTPPort != 4711 {
		t.Errorf("%s, %d", where, at.AltHTTPPort)
	}
	ended := map[string]bool{}
	for d, cancel := range l.now.Load().orders {
		l.now.Load().orders[d] = func() { ended[d] = true; cancel() }
	}
	s.write(text("c.example, A.Example"))
	if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
		t.Fatalf("%+v", r)
	}
	if !ended["b.example"] || ended["a.example"] || len(l.now.Load().orders) != 2 {
		t.Errorf("after the reload: %v, %v", ended, l.now.Load().orders)
	}
	s.router.acme.close()
	s.router.acme.apply(s.started.Listeners) // a reload that is late
	if !ended["a.example"] || len(l.now.Load().orders) != 0 {
		t.Errorf("after the end: %v, %v", ended, l.now.Load().orders)
	}
}

// TestACMEFolder: a reload cannot bring the folder for certificates, and says so; one that cannot be made is told.
func TestACMEFolder(t *testing.T) {
	one := newPair(t, 1)
	text := func(data, section string) string {
		return data + "listeners: [{ address: 127.0.0.1:0, tls: { " + section + " } }]\n" + openRealms("a")
	}
	files := "certificates: [{ certificate: one.pem, key: one.key }]"
	s := startService(t, text("", files), "one.pem", one.certificate, "one.key", one.key)
	s.write(text("process: { data_dir: data }\n", nowhere))
	if r := s.reload("test"); r.Applied || !strings.Contains(r.Error, "process.data_dir") {
		t.Errorf("%+v", r)
	}
	s = startService(t, text("process: { data_dir: . }\n", files), "one.pem", one.certificate, "one.key", one.key,
		acmeFolder, "a file")
	s.write(text("process: { data_dir: . }\n", nowhere))
	folder := filepath.Join(filepath.Dir(s.file), acmeFolder)
	if r := s.reload("test"); r.Applied || !strings.Contains(r.Error, folder) {
		t.Errorf("%+v", r)
	}
	if _, err := s.handshake(&tls.Config{}); err != nil {
		t.Errorf("after a reload that was refused: %v", err)
	}
}

// TestACMEAnswers: the port for http-01 is open while an order is under way, answers that only, and serves others
// when somebody holds connections.
func TestACMEAnswers(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	at := free.Addr().String()
	var n acmeAnswers
	answer := func(path string) (string, bool) { return "yes", path == "/.well-known/acme-challenge/x" }
	log := slog.New(slog.DiscardHandler)
	open := func(domain string) { n.open("127.0.0.1", port, domain, answer, log) }

	open("a") // somebody else has it
	n.done("127.0.0.1", port, "a")
	free.Close()
	get := func(path string) (int, string) {
		q, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + at + path)
		if err != nil {
			return 0, ""
		}
		defer q.Body.Close()
		text, _ := io.ReadAll(q.Body)
		return q.StatusCode, string(text)
	}
	for range 2 {
		open("a")
		open("b")
		n.done("127.0.0.1", port, "b")
		n.done("127.0.0.1", port, "stranger")
		if code, text := get("/.well-known/acme-challenge/x"); code != http.StatusOK || text != "yes" {
			t.Errorf("%d %q", code, text)
		}
		if code, _ := get("/x"); code != http.StatusNotFound {
			t.Errorf("another path: %d", code)
		}
		held, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		n.done("127.0.0.1", port, "a")
		if code, _ := get("/.well-known/acme-challenge/x"); code != 0 {
			t.Error("it is open after the last order")
		}
		held.SetDeadline(time.Now().Add(patience))
		if _, err := held.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection outlives the port")
		}
		held.Close()
	}
	open("a")
	n.mu.Lock()
	p := n.ports[at]
	n.mu.Unlock()
	p.late.Reset(0) // nobody tells how the order has ended
	for end := time.Now().Add(patience); ; {
		if code, _ := get("/x"); code == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the port stays open")
		}
	}
	open("a")
	n.close()
	if code, _ := get("/x"); code != 0 {
		t.Error("it is open after the close")
	}
}

// TestACMELog: errors of certmagic are warnings, with their fields; what event tells, and the rest, are for
// developers; after the close nothing is said.
func TestACMELog(t *testing.T) {
	var out bytes.Buffer
	a := &acme{}
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	z := zap.New(&acmeLog{acme: a, log: log}).With(zap.String("common", "c"))
	for _, c := range []struct {
		say  func()
		want string
	}{
		{
			func() { z.Error("bad", zap.Error(errors.New("e")), zap.Int("n", 1)) },
			`level=WARN msg="ACME: bad" common=c error=e n=1`,
		},
		{func() { z.Warn("odd") }, `level=DEBUG msg="ACME: odd" common=c`},
		{func() { z.Error("will retry", zap.Error(errors.New("[a] Obtain: no"))) }, "level=DEBUG"},
		{func() { z.Error("job failed", zap.Error(errors.New("[a] Renew: no"))) }, "level=DEBUG"},
		{func() { z.Error("job failed", zap.Error(fmt.Errorf("a: %w", errNotWanted))) }, "level=DEBUG"},
		{func() { z.Error("could not get certificate from issuer") }, "level=DEBUG"},
		{func() { z.Error("job failed", zap.Error(errors.New("no room"))) }, "level=WARN"},
	} {
		out.Reset()
		c.say()
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("%s; want %s", &out, c.want)
		}
	}
	quiet := zap.New(&acmeLog{acme: a, log: slog.New(slog.NewTextHandler(&out, nil))})
	out.Reset()
	quiet.Warn("odd")
	a.closed.Store(true)
	z.Error("bad")
	if out.Len() > 0 {
		t.Error(&out)
	}
}

// TestACMEEvents: the log says in plain words what happened, once each, and nothing of orders that a reload ended.
func TestACMEEvents(t *testing.T) {
	log := &lockedBuffer{}
	a := &acme{log: slog.New(slog.NewTextHandler(log, nil)), all: map[string]*acmeListener{}}
	l := &acmeListener{acme: a, name: "x", host: "127.0.0.1", loaded: make(chan struct{}, 1)}
	s := &acmeSet{}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	failed := map[string]any{"identifier": "a.example", "error": errors.New("told why"), "renewal": true}
	l.event(gone, s, "cert_failed", failed)
	if log.String() != "" {
		t.Error(log)
	}
	l.event(t.Context(), s, "cert_failed", failed)
	l.event(t.Context(), s, "cert_ocsp_revoked", map[string]any{"subjects": []string{"a.example"}})
	for i, want := range []string{"could not be fetched", "revoked"} {
		if lines := strings.Split(log.String(), "\n"); len(lines) != 3 || !strings.Contains(lines[i], want) ||
			!strings.Contains(lines[i], "level=WARN") || !strings.Contains(lines[i], "listener=x") {
			t.Errorf("%s: %s", want, log)
		}
	}
	if !strings.Contains(log.String(), `domain=a.example listener=x error="told why" renewal=true`) {
		t.Error(log)
	}
	l.event(t.Context(), s, "cached_managed_cert", map[string]any{})
	l.event(t.Context(), s, "cached_managed_cert", map[string]any{}) // nobody waits
	a.closed.Store(true)
	l.event(t.Context(), s, "cert_failed", failed)
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines: %s", n, log)
	}
}

// TestACMEEventsOpenThePort: while an order is under way the port for http-01 is open, however it ends. What a reload
// has removed is not ordered.
func TestACMEEventsOpenThePort(t *testing.T) {
	a := &acme{log: slog.New(slog.DiscardHandler), all: map[string]*acmeListener{}}
	a.files.Path = t.TempDir()
	l := &acmeListener{acme: a, host: "127.0.0.1", loaded: make(chan struct{}, 1)}
	s := &acmeSet{
		want:    config.ACME{Challenges: []string{"http-01"}, PortHTTP: 1}, // nobody else may have it
		domains: map[string]bool{"a.example": true}, magic: &certmagic.Config{Storage: &a.files},
		cache: certmagic.NewCache(certmagic.CacheOptions{
			GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return nil, nil },
			Logger:           zap.NewNop(),
		}),
	}
	defer s.cache.Stop()
	defer a.answers.close()
	order := func(domain string) (open bool, err error) {
		err = l.event(t.Context(), s, "cert_obtaining", map[string]any{"identifier": domain})
		a.answers.mu.Lock()
		defer a.answers.mu.Unlock()
		return len(a.answers.ports) > 0, err
	}
	if open, err := order("a.example"); open || err == nil {
		t.Errorf("nothing is wanted: %v, %v", open, err)
	}
	l.now.Store(s)
	if open, err := order("b.example"); open || err == nil {
		t.Errorf("another domain is wanted: %v, %v", open, err)
	}
	for _, end := range []string{"cert_obtained", "cert_failed"} {
		if open, err := order("a.example"); !open || err != nil {
			t.Errorf("an order: %v, %v", open, err)
		}
		if err := l.event(t.Context(), s, end, map[string]any{"identifier": "a.example"}); err != nil {
			t.Error(err)
		}
		if len(a.answers.ports) > 0 {
			t.Errorf("the port is open after %s", end)
		}
	}
}

// TestACMEFilesClose: a lock that somebody holds is waited for until the order ends, and after the close nothing is
// TestACMEAccountsAreNotListed: an order does not take the account that another one is making for one of its own.
func TestACMEAccountsAreNotListed(t *testing.T) {
	f := &acmeFiles{FileStorage: certmagic.FileStorage{Path: t.TempDir()}}
	for _, key := range []string{"acme/one/users/default/default.json", "certificates/one/a/a.crt"} {
		if err := f.Store(t.Context(), key, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, want := range map[string]int{
		"acme/one/users": 0, "acme/one/users/default": 1, "certificates/one": 1,
	} {
		if got, err := f.List(t.Context(), prefix, false); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", prefix, got, err)
		}
	}
}

// written.
func TestACMEFilesClose(t *testing.T) {
	f := &acmeFiles{FileStorage: certmagic.FileStorage{Path: filepath.Join(t.TempDir(), "x")}}
	if err := f.Lock(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Lock(gone, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock that is held: %v", err)
	}
	if err := errors.Join(f.Unlock(t.Context(), "a"), f.Lock(gone, "a"), f.Unlock(t.Context(), "a"),
		f.Store(t.Context(), "k", []byte("v"))); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(f.Path); err != nil {
		t.Fatal(err)
	}
	f.close()
	f.close()
	for _, err := range []error{f.Store(t.Context(), "k", nil), f.Lock(t.Context(), "a")} {
		if !errors.Is(err, errFilesClosed) {
			t.Errorf("after the close: %v", err)
		}
	}
	if _, err := os.Stat(f.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the close: %v", err)
	}
}
