//go:build linux

package config

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// today is the time of all tests.
var today = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// writeCertificates makes pairs to try in dir: good, soon, expired, future, weak, small; other.key belongs to none.
func writeCertificates(t testing.TB, dir string) {
	t.Helper()
	pair := func(name string, key crypto.Signer, from, to time.Time) {
		template := x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
			NotBefore: from, NotAfter: to,
		}
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			0o644)
		write(t, filepath.Join(dir, name+".key"),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
	}
	elliptic := func(c elliptic.Curve) crypto.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	key := elliptic(p256)
	year, day := 365*24*time.Hour, 24*time.Hour
	pair("good", key, today.Add(-day), today.Add(year))
	pair("fortnight", key, today.Add(-day), today.Add(expirySoon))
	pair("soon", key, today.Add(-day), today.Add(expirySoon-time.Second))
	pair("expired", key, today.Add(-year), today)
	pair("future", key, today.Add(day), today.Add(year))
	pair("small", elliptic(p224), today.Add(-day), today.Add(year))
	pair("other", elliptic(p256), today.Add(-day), today.Add(year))
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	pair("weak", weak, today.Add(-day), today.Add(year))
}

var p256, p224 = elliptic.P256(), elliptic.P224()

func write(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestReports loads each archive of testdata and compares the whole report. An archive holds banyan.yaml, other files
// that it names, the environment in "env" and overrides in "set", one a line, and the report. Files in world/ can be
// read by everybody. go test -update writes the reports; read what changed.
func TestReports(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d archives: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testReport(t, name) })
	}
}

func testReport(t *testing.T, name string) {
	name, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	l := Loader{Now: today, FilesMax: 1024, CPUs: 2}
	want := -1
	main := "banyan.yaml"
	for i, f := range archive.Files {
		lines := strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		switch f.Name {
		case "report":
			want = i
		case "env":
			l.Env = lines
		case "set":
			for _, line := range lines {
				path, value, _ := strings.Cut(line, "=")
				l.Overrides = append(l.Overrides, Override{Path: path, Value: value})
			}
		default:
			mode := os.FileMode(0o600)
			if strings.HasPrefix(f.Name, "world/") {
				mode = 0o644
			}
			if f.Name == "world/banyan.yaml" {
				main = f.Name
			}
			write(t, f.Name, f.Data, mode)
		}
	}
	if strings.Contains(string(txtar.Format(archive)), "tls/") {
		writeCertificates(t, "tls")
	}
	f, r := l.Load(main)
	got := r.String()
	if (f == nil) != (r.Errors > 0) || (r.Err() == nil) != (r.Errors == 0) {
		t.Errorf("file %v with %d errors", f != nil, r.Errors)
	}
	if want < 0 {
		archive.Files = append(archive.Files, txtar.File{Name: "report"})
		want = len(archive.Files) - 1
	}
	if *update {
		archive.Files[want].Data = []byte(got)
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(archive.Files[want].Data), got); d != "" {
		t.Errorf("the report is another (- wanted, + got):\n%s", d)
	}
}
