//go:build linux

package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A ListenTLS is what an address of Config.Listen has of TLS.
type ListenTLS struct {
	// Credentials are what the listener shows and asks for. Several listeners may share them.
	Credentials *Credentials
	// Plain says that clients without TLS are served on the same port. Otherwise HTTP without TLS is answered with
	// 400, and anything else is closed.
	Plain bool
	// HSTS is how long browsers are to insist on TLS for this host (Strict-Transport-Security, RFC 6797), to the
	// second. The header is sent with HTTP answers over TLS. 0: not sent. At most two years.
	HSTS time.Duration
}

// hstsMax is the largest ListenTLS.HSTS. Longer: New fails.
const hstsMax = 2 * 366 * 24 * time.Hour

// A ClientCertificates says whether clients are asked for a certificate.
type ClientCertificates uint8

const (
	// ClientsNotAsked is without client certificates.
	ClientsNotAsked ClientCertificates = iota
	// ClientsMay asks for one. A client may do without; one that it shows has to be good.
	ClientsMay
	// ClientsMust refuses clients without one.
	ClientsMust
)

// checkTLS judges Config.TLS, Protocols, LongPoll, ProxyProtocol and ListenNames.
func (cfg *Config) checkTLS() error {
	for address, t := range cfg.TLS {
		switch {
		case !slices.Contains(cfg.Listen, address):
			return fmt.Errorf("engine: TLS for %q, which is no address to listen on", address)
		case t.Credentials == nil:
			return fmt.Errorf("engine: TLS for %q has no credentials", address)
		case t.HSTS < 0 || t.HSTS > hstsMax:
			return fmt.Errorf("engine: HSTS of %v for %q; 0 to %v are possible", t.HSTS, address, hstsMax)
		case errTLSFields != nil:
			return errTLSFields
		}
	}
	for address := range cfg.ProxyProtocol {
		if !slices.Contains(cfg.Listen, address) {
			return fmt.Errorf("engine: PROXY headers for %q, which is no address to listen on", address)
		}
	}
	for address, speaks := range cfg.Protocols {
		if !slices.Contains(cfg.Listen, address) {
			return fmt.Errorf("engine: protocols for %q, which is no address to listen on", address)
		}
		for _, p := range speaks {
			if p != "websocket" && p != "rawsocket" {
				return fmt.Errorf("engine: %q is no protocol; websocket and rawsocket are", p)
			}
		}
	}
	for address, path := range cfg.LongPoll {
		if !slices.Contains(cfg.Listen, address) {
			return fmt.Errorf("engine: long-poll for %q, which is no address to listen on", address)
		}
		if reason := JudgePollPath(path); reason != "" {
			return fmt.Errorf("engine: %q is no path for long-poll: %s", path, reason)
		}
	}
	for address := range cfg.ListenNames {
		if !slices.Contains(cfg.Listen, address) {
			return fmt.Errorf("engine: a name for %q, which is no address to listen on", address)
		}
	}
	return nil
}

// cipherSuites are those of TLS 1.2: with forward secrecy and authenticated encryption. Those of TLS 1.3 all are.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// newTLSConfig makes the configuration of crypto/tls for what was read.
func (s *shown) newTLSConfig(cfg *CredentialsConfig) *tls.Config {
	return &tls.Config{
		GetCertificate:         s.choose,
		MinVersion:             cfg.MinVersion,
		CipherSuites:           cipherSuites,
		NextProtos:             cfg.ALPN,
		ClientCAs:              s.authorities,
		ClientAuth:             cfg.ClientCertificates.auth(),
		SessionTicketsDisabled: cfg.NoTickets,
		Renegotiation:          tls.RenegotiateNever,
		// Records are as long as what one turn has to send: the queue gathers it.
		DynamicRecordSizingDisabled: true,
	}
}

// acmeProtocol is what the client of a challenge offers in ALPN, and nothing else (RFC 8737 3).
const acmeProtocol = "acme-tls/1"

// configFor returns the configuration for a client.
func (s *shown) configFor(hello *tls.ClientHelloInfo) *tls.Config {
	if s.challenge != nil && len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeProtocol {
		return s.challenge
	}
	return s.config
}

// challengeConfig makes the configuration for challenges of ACME. A client of one has no certificate, and no ticket
// that it got would be good for anything.
func (s *shown) challengeConfig() *tls.Config {
	return &tls.Config{
		GetCertificate:         s.choose,
		MinVersion:             tls.VersionTLS12,
		CipherSuites:           cipherSuites,
		NextProtos:             []string{acmeProtocol},
		SessionTicketsDisabled: true,
		Renegotiation:          tls.RenegotiateNever,
	}
}

func (c ClientCertificates) auth() tls.ClientAuthType {
	switch c {
	case ClientsMay:
		return tls.VerifyClientCertIfGiven
	case ClientsMust:
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

func (cfg *CredentialsConfig) check() error {
	setDefault(&cfg.MinVersion, tls.VersionTLS12)
	switch {
	case cfg.MinVersion != tls.VersionTLS12 && cfg.MinVersion != tls.VersionTLS13:
		return fmt.Errorf("engine: %s is no version of TLS that is spoken here; choose 1.2 or 1.3",
			tls.VersionName(cfg.MinVersion))
	case len(cfg.Certificates) == 0 && cfg.GetCertificate == nil:
		return errors.New("engine: TLS needs a certificate")
	case cfg.ACME && len(cfg.Certificates) > 0:
		return errors.New("engine: certificates are either from files or from ACME")
	case len(cfg.Certificates) > certificatesMax:
		return fmt.Errorf("engine: %d certificates; at most %d", len(cfg.Certificates), certificatesMax)
	case cfg.ClientCertificates > ClientsMust:
		return fmt.Errorf("engine: unknown rule %d for client certificates", cfg.ClientCertificates)
	case cfg.ClientCertificates != ClientsNotAsked && cfg.ClientCA == "":
		return errors.New("engine: client certificates need a file with the authorities that may have signed them")
	}
	if cfg.ALPN == nil {
		cfg.ALPN = []string{"http/1.1"}
	}
	for _, p := range cfg.ALPN {
		if p == "" || len(p) > 255 {
			return fmt.Errorf("engine: %q is no name of a protocol for ALPN", p)
		}
		if p == "h2" {
			return errors.New("engine: HTTP/2 (h2) is not spoken here; leave it out of ALPN")
		}
		if p == acmeProtocol {
			return errors.New("engine: acme-tls/1 is for challenges of ACME only; leave it out of ALPN")
		}
	}
	cfg.ALPN = slices.Clone(cfg.ALPN)
	cfg.Certificates = slices.Clone(cfg.Certificates)
	return nil
}

// certificatesMax is how many certificates a listener may have. More: NewCredentials fails.
const certificatesMax = 1000
