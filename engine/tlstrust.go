//go:build linux

package engine

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	"banyan/engine/port"
)

// An authorityID stands for an authority: it is the hash of its name and its key. A certificate of the authority that
// is renewed has the same.
type authorityID [sha256.Size]byte

func authorityOf(c *x509.Certificate) authorityID {
	h := sha256.New()
	h.Write(c.RawSubject) // DER tells its own length
	h.Write(c.RawSubjectPublicKeyInfo)
	return authorityID(h.Sum(nil))
}

// authoritiesIn are the certificates in a PEM file. It passes by what x509.CertPool passes by.
func authoritiesIn(text []byte) map[authorityID]bool {
	all := map[authorityID]bool{}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all[authorityOf(c)] = true
		}
	}
}

// authoritiesMax is how many authorities are remembered that vouch for the certificate of one client. There is more
// than one if they signed each other. Of more the first count.
const authoritiesMax = 8

// A voucher remembers what let a client through its TLS handshake. Immutable.
type voucher struct {
	credentials *Credentials
	certificate bool          // the client showed one
	authorities []authorityID // at the ends of its chains
	until       time.Time     // when the first certificate of its chains expires: it may show them anew
}

func (c *Credentials) voucherFor(chains [][]*x509.Certificate) *voucher {
	v := &voucher{credentials: c, certificate: len(chains) > 0}
	for _, chain := range chains {
		id := authorityOf(chain[len(chain)-1])
		if len(v.authorities) < authoritiesMax && !slices.Contains(v.authorities, id) {
			v.authorities = append(v.authorities, id)
		}
		if end := endOf(chain); v.until.IsZero() || end.Before(v.until) {
			v.until = end
		}
	}
	return v
}

// endOf is when the first certificate of a chain expires.
func endOf(chain []*x509.Certificate) time.Time {
	return slices.MinFunc(chain, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) }).NotAfter
}

// trust is port.TLS.Trust. Any goroutine.
func (v *voucher) trust() port.Trust {
	s := v.credentials.now.Load()
	good := time.Now().Before(v.until) &&
		slices.ContainsFunc(v.authorities, func(id authorityID) bool { return s.authorityIDs[id] })
	switch {
	case !good && s.config.ClientAuth == tls.RequireAndVerifyClientCert:
		return port.Unwelcome
	case !good && v.certificate:
		return port.Untrusted
	}
	return port.Trusted
}
