package peer

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
)

// A TLS says how the transports wss and tcps encrypt. Paths are those of PEM files.
type TLS struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"` // empty: no client certificate
	Key  string `json:"key"`
	Max  string `json:"max"` // 1.2, or empty
}

func (t *TLS) config(host string) (*tls.Config, error) {
	if t == nil {
		return nil, errors.New("the address says nothing about TLS")
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: host}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New(t.CA + " holds no certificate")
	}
	if t.Cert != "" {
		certificate, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	if t.Max == "1.2" {
		c.MaxVersion = tls.VersionTLS12
	}
	return c, nil
}

// binding returns the 32 octets by which cryptosign binds a challenge; for tls-unique they are a hash.
func binding(state tls.ConnectionState, kind string) ([]byte, error) {
	switch kind {
	case "tls-exporter":
		return state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	case "tls-unique":
		sum := sha256.Sum256(state.TLSUnique)
		return sum[:], nil
	}
	return nil, errors.New("unknown channel binding " + kind)
}
