package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"testing"
	"time"

	"banyan/codec"
)

func makeCertificate(t testing.TB, algorithm x509.SignatureAlgorithm) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "banyan"}, SignatureAlgorithm: algorithm,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"banyan"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// handshake runs TLS in memory and returns both sides' views.
func handshake(t testing.TB, version uint16, cert *x509.Certificate, key crypto.Signer) (client,
	server tls.ConnectionState,
) {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	own := []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	s := tls.Server(b, &tls.Config{Certificates: own, MinVersion: version, MaxVersion: version})
	c := tls.Client(a, &tls.Config{RootCAs: pool, ServerName: "banyan", MinVersion: version, MaxVersion: version})
	failed := make(chan error, 1)
	go func() {
		_ = b.SetDeadline(time.Now().Add(10 * time.Second))
		failed <- s.Handshake()
	}()
	_ = a.SetDeadline(time.Now().Add(10 * time.Second))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = c.Read(make([]byte, 1)) }() // session tickets of TLS 1.3
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState(), s.ConnectionState()
}

// AUTH-38, AUTH-39, AUTH-40 with crypto/tls on both sides: client and router see the same channel.
func TestAUTH38to40RealTLS(t *testing.T) {
	cert, key := makeCertificate(t, x509.ECDSAWithSHA256)
	r := signRealm(t, Config{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client, server := handshake(t, version, cert, key)
		unique := sha256.Sum256(client.TLSUnique)
		exported, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		for kind, channel := range map[string][]byte{"tls-unique": unique[:], "tls-exporter": exported} {
			h := signHello(t, "robot", signKeys[0], "channel_binding", kind)
			data, _ := server.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
			h.Transport.Binding = Bindings(server.TLSUnique, data, nil)
			a, o := r.Begin(h)
			want(t, o, Challenge)
			if kind == "tls-unique" && version == tls.VersionTLS13 { // AUTH-40
				if o.Extra["channel_binding"] != nil {
					t.Error("tls-unique with TLS 1.3")
				}
				channel = nil
			} else if o.Extra["channel_binding"] != kind {
				t.Errorf("CHALLENGE.channel_binding %v, want %s", o.Extra["channel_binding"], kind)
			}
			want(t, a.Answer(noon, signChallenge(t, signSeeds[0], o.Extra["challenge"].(string), channel), nil),
				Welcome)
		}
	}
	of := Bindings([]byte("u"), []byte("x"), []byte("e"))
	for kind, data := range map[string]string{
		"tls-unique": "u", "tls-exporter": "x", "tls-server-end-point": "e", "tls": "", "": "",
	} {
		if got := of(kind); string(got) != data || (got == nil) != (data == "") {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// AUTH-49.
func TestAUTH49ClientCertificate(t *testing.T) {
	cert, _ := makeCertificate(t, x509.ECDSAWithSHA256)
	other, _ := makeCertificate(t, x509.ECDSAWithSHA256)
	sum := sha256.Sum256(cert.Raw)
	fingerprint, err := ParseFingerprint(hex.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	r := makeRealm(t, Config{TLS: true, Users: []User{
		{AuthID: "device", Role: "service", Certificates: [][32]byte{fingerprint}},
	}})
	for _, c := range []struct {
		authid string
		der    []byte
		ok     bool
	}{
		{"", cert.Raw, true},
		{"device", cert.Raw, true},
		{"admin", cert.Raw, false},
		{"device", other.Raw, false},
		{"", nil, false},
		{"device", nil, false},
		{"", cert.Raw[1:], false},
	} {
		h := hello(c.authid, "tls")
		h.Transport.Certificate = c.der
		_, o := r.Begin(h)
		if c.ok {
			wantWelcome(t, o, "device", "service", "tls", "static")
		} else {
			wantRefusal(t, o, codec.ErrNoMatchingAuthMethod)
		}
	}
	for text, ok := range map[string]bool{
		hex.EncodeToString(sum[:]): true, hex.EncodeToString(sum[:31]): false, "": false, "SHA256": false,
		"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF": true,
	} {
		if _, err := ParseFingerprint(text); (err == nil) != ok {
			t.Errorf("ParseFingerprint(%q): %v", text, err)
		}
	}
}
