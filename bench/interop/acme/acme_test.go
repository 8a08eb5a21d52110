// Package acme drives a router that fetches its certificates from pebble, over real sockets. bench/interop/run starts
// it.
package acme

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var passed, failed atomic.Int32

func TestMain(m *testing.M) {
	if os.Getenv("INTEROP_ACME_ROUTER") == "" {
		fmt.Fprintln(os.Stderr, "INTEROP_ACME_ROUTER is not set; start the suite with bench/interop/run acme")
		os.Exit(2)
	}
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	code := m.Run()
	fmt.Printf("acme: %d passed, %d failed\n", passed.Load(), failed.Load())
	os.Exit(code)
}

const (
	day      = 24 * 60 * 60 // in seconds
	onlyALPN = "challenges: [tls-alpn-01]"
	notKnown = "unrecognized name"
)

// begin makes cases run side by side and counts them.
func begin(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() {
		if t.Failed() {
			failed.Add(1)
		} else {
			passed.Add(1)
		}
	})
}

// TestALPN: the first certificate by tls-alpn-01, on the router's own port, beside clients. No other port is opened.
// Files are for nobody else to read.
func TestALPN(t *testing.T) {
	begin(t)
	r, unused := newRouter(t), freePort(t)
	a := newAuthority(t, r.port, unused, day)
	r.configure(r.acme(a, "a.example, b.example", onlyALPN+", email: ops@example.org"))
	r.start()
	first := r.gets("a.example", a.roots)
	second := r.gets("b.example", a.roots)
	r.join("a.example", a.roots).lives()
	if a.ordered() != 2 {
		t.Errorf("%d orders", a.ordered())
	}
	a.mu.Lock()
	if len(a.accounts) != 1 || !strings.Contains(a.accounts[0], "mailto:ops@example.org") ||
		!strings.Contains(a.accounts[0], `"termsOfServiceAgreed":true`) {
		t.Errorf("accounts: %s", a.accounts)
	}
	a.mu.Unlock()
	r.says("a certificate was fetched", "domain", "a.example", "listener", "public",
		"valid_until", first.NotAfter.Format("2006-01-02T15:04:05"))

	// Names in capitals are the same; unknown names, and none, get the first certificate, and nothing is ordered.
	if c, err := r.shows("B.Example", nil); err != nil || !c.Equal(second) {
		t.Errorf("in capitals: %v", err)
	}
	for _, name := range []string{"stranger.example", ""} {
		if c, err := r.shows(name, nil); err != nil || !c.Equal(first) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if a.ordered() != 2 {
		t.Errorf("%d orders after unknown names", a.ordered())
	}
	// Without a challenge under way nobody gets a challenge's certificate.
	_, err := tls.Dial("tcp", r.address(), &tls.Config{
		ServerName: "a.example", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true,
	})
	if err == nil || !strings.Contains(err.Error(), notKnown) {
		t.Errorf("a challenge out of the blue: %v", err)
	}
	files := 0
	err = filepath.WalkDir(r.path("data/acme"), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		switch {
		case err != nil:
			return err
		case e.IsDir() && info.Mode().Perm() != 0o700, !e.IsDir() && info.Mode().Perm() != 0o600:
			t.Errorf("%s: %v", path, info.Mode())
		}
		files++
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files, %v", files, err)
	}
	for _, l := range r.said("") {
		if l["level"] != "INFO" {
			t.Errorf("%v", l)
		}
	}
}

// TestHTTP: a certificate by http-01, whose port is open only meanwhile.
func TestHTTP(t *testing.T) {
	begin(t)
	r, port := newRouter(t), freePort(t)
	a := newAuthority(t, freePort(t), port, day) // tls-alpn-01 could not work
	r.configure(r.acme(a, "a.example", fmt.Sprintf("challenges: [http-01], port_http: %d", port)))
	r.start()
	r.gets("a.example", a.roots)
	eventually(t, "the port is closed again", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// TestHTTPOfListener: http-01 is answered by the listener without encryption that has the port, which serves its
// clients all the same. What one challenge cannot do the other one does.
func TestHTTPOfListener(t *testing.T) {
	begin(t)
	r, port := newRouter(t), freePort(t)
	a := newAuthority(t, freePort(t), port, day)
	plain := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	r.configure(r.acme(a, "a.example", fmt.Sprintf("port_http: %d", port)), "address: '"+plain+"'")
	r.start()
	r.gets("a.example", a.roots)
	for path, want := range map[string]int{"/": 200, "/.well-known/acme-challenge/none": 404} {
		q, err := http.Get("http://" + plain + path)
		if err != nil {
			t.Fatal(err)
		}
		q.Body.Close()
		if q.StatusCode != want {
			t.Errorf("%s: %s", path, q.Status)
		}
	}
}

// TestRenewal: a certificate is renewed while a client is there, who notices nothing; new clients see the new one. If
// a reload has removed the domain, it is not renewed any more.
func TestRenewal(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), 6)
	r.configure(r.acme(a, "a.example, b.example", onlyALPN+", renew_interval: 1s"))
	r.start()
	r.gets("b.example", a.roots)
	first := r.gets("a.example", a.roots)
	r.configure(r.acme(a, "a.example", onlyALPN+", renew_interval: 1s"))
	r.reload()
	removed := time.Now().Add(time.Second) // an order may have been under way
	s := r.join("a.example", a.roots)
	for before := first; time.Now().Before(first.NotAfter.Add(2 * time.Second)); {
		now := r.gets("a.example", a.roots)
		if now.NotAfter.Before(before.NotAfter) {
			t.Error("an older certificate is shown")
		}
		before = now
		s.lives()
		time.Sleep(100 * time.Millisecond)
	}
	s.lives()
	if c := r.gets("a.example", a.roots); c.Equal(first) {
		t.Error("it was not renewed")
	}
	for _, l := range r.said("a certificate is ordered", "domain", "b.example") {
		at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(l["time"]))
		if err != nil || at.After(removed) {
			t.Errorf("after it was removed: %v, %v", l, err)
		}
	}
	if len(r.said("a certificate was fetched", "renewal", "true")) == 0 {
		t.Error("the log does not tell of the renewal")
	}
}

// TestReload: domains come and go without a restart, and nobody is hung up on.
func TestReload(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), day)
	r.configure(r.acme(a, "a.example", onlyALPN))
	r.start()
	first := r.gets("a.example", a.roots)
	s := r.join("a.example", a.roots)
	r.configure(r.acme(a, "a.example, b.example", onlyALPN))
	if report := r.reload(); !strings.Contains(report, "tls.acme.domains") || strings.Contains(report, "restart") {
		t.Error(report)
	}
	second := r.gets("b.example", a.roots)
	if c := r.gets("a.example", a.roots); !c.Equal(first) || a.ordered() != 2 {
		t.Errorf("the certificate that was there was ordered again; %d orders", a.ordered())
	}
	r.configure(r.acme(a, "b.example", onlyALPN))
	r.reload()
	if c, err := r.shows("a.example", nil); err != nil || !c.Equal(second) {
		t.Errorf("a domain that was removed: %v", err)
	}
	r.configure(r.acme(a, "b.example, a.example", onlyALPN))
	r.reload()
	r.gets("a.example", a.roots)
	if a.ordered() != 2 {
		t.Errorf("%d orders: what is in the folder was ordered again", a.ordered())
	}
	s.lives()
}

// TestOtherAuthority: with a reload that changes the authority, its certificates are shown until there are others. A
// reload to files and back.
func TestOtherAuthority(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), day)
	b := newAuthority(t, r.port, freePort(t), day)
	if err := b.db.AddBlockedDomain("a.example"); err != nil {
		t.Fatal(err)
	}
	c := newAuthority(t, r.port, freePort(t), day)
	r.configure(r.acme(a, "a.example", onlyALPN))
	r.start()
	first := r.gets("a.example", a.roots)
	r.configure(r.acme(b, "a.example", onlyALPN))
	if report := r.reload(); strings.Contains(report, "restart") {
		t.Error(report)
	}
	r.says("a certificate could not be fetched", "domain", "a.example")
	if x, err := r.shows("a.example", a.roots); err != nil || !x.Equal(first) {
		t.Errorf("while another authority refuses: %v", err)
	}
	// The folder has a file of each certificate, which is as good as any.
	files, err := filepath.Glob(r.path("data/acme/certificates/*/a.example/a.example.crt"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	r.configure(fmt.Sprintf("certificates: [{ certificate: '%s', key: '%s' }]", files[0],
		strings.TrimSuffix(files[0], "crt")+"key"))
	r.reload()
	if x, err := r.shows("a.example", a.roots); err != nil || !x.Equal(first) {
		t.Errorf("from files: %v", err)
	}
	r.configure(r.acme(c, "a.example", onlyALPN))
	r.reload()
	r.gets("a.example", c.roots)
}

// TestRefusal: the log tells that the authority refuses, and others are served meanwhile. A client who asks for the
// name is told that it is not known here.
func TestRefusal(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), day)
	if err := a.db.AddBlockedDomain("refused.example"); err != nil {
		t.Fatal(err)
	}
	r.configure(r.acme(a, "refused.example, a.example", onlyALPN))
	r.start()
	r.says("a certificate could not be fetched", "level", "WARN", "domain", "refused.example", "listener", "public",
		"error", "rejectedIdentifier")
	r.gets("a.example", a.roots)
	s := r.join("a.example", a.roots)
	if _, err := r.shows("refused.example", nil); err == nil || !strings.Contains(err.Error(), notKnown) {
		t.Errorf("a name without a certificate: %v", err)
	}
	s.lives()
	if n := len(r.said("a certificate could not be fetched")); n != 1 {
		t.Errorf("%d attempts within a second", n)
	}
}

// TestExternalAccount: an authority that knows its customers issues to an account that is bound to theirs, by the key
// in a file, and to no other. A reload reads the key again.
func TestExternalAccount(t *testing.T) {
	begin(t)
	r := newRouter(t)
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	a := newBoundAuthority(t, r.port, freePort(t), day, map[string]string{"customer-7": key})
	r.write("key", []byte(key+"\n"))
	r.write("wrong", []byte("A"+key[1:]))
	wants := func(more string) string { return r.acme(a, "a.example", onlyALPN+more) }
	r.configure(wants(""))
	r.start()
	r.says("a certificate could not be fetched", "domain", "a.example", "error", "externalAccountRequired")
	for _, eab := range []string{"key_id: stranger, hmac_key_file: key", "key_id: customer-7, hmac_key_file: wrong"} {
		had := len(r.said("a certificate could not be fetched"))
		r.configure(wants(", eab: { " + eab + " }"))
		r.reload()
		eventually(t, "another refusal", func() bool {
			return len(r.said("a certificate could not be fetched")) > had
		})
	}
	if _, err := r.shows("a.example", nil); err == nil || a.ordered() != 0 {
		t.Errorf("a certificate without an account: %v, %d orders", err, a.ordered())
	}
	r.write("wrong", []byte(key))
	if report := r.reload(); strings.Contains(report, "restart") {
		t.Error(report)
	}
	r.gets("a.example", a.roots)
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.accounts) != 1 || !strings.Contains(a.accounts[0], "externalAccountBinding") {
		t.Errorf("accounts: %s", a.accounts)
	}
	for _, l := range r.said("") {
		if strings.Contains(fmt.Sprint(l), key) {
			t.Errorf("the log has the key: %v", l)
		}
	}
}

// TestRestart: what was fetched is shown from the first moment on, although the authority is gone.
func TestRestart(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), day)
	r.configure(r.acme(a, "a.example, b.example", onlyALPN))
	r.start()
	first, second := r.gets("a.example", a.roots), r.gets("b.example", a.roots)
	r.stop()
	if err := os.Chmod(r.path("data/acme"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.start()
	for name, want := range map[string]*x509.Certificate{"a.example": first, "b.example": second} {
		if c, err := r.shows(name, a.roots); err != nil || !c.Equal(want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(r.path("data/acme")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if a.ordered() != 2 {
		t.Errorf("%d orders", a.ordered())
	}
	r.stop()
}

// TestUnreachable: without an authority the router starts at once, tells about it, and ends in good order.
func TestUnreachable(t *testing.T) {
	begin(t)
	r := newRouter(t)
	a := newAuthority(t, r.port, freePort(t), day)
	a.directory = fmt.Sprintf("https://127.0.0.1:%d/dir", freePort(t))
	r.configure(r.acme(a, "a.example", ""))
	r.start()
	if _, err := r.shows("a.example", nil); err == nil || !strings.Contains(err.Error(), notKnown) {
		t.Errorf("before there is a certificate: %v", err)
	}
	r.says("a certificate could not be fetched", "error", "connection refused")
	r.stop()
}
