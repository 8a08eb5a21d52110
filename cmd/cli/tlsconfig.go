package cli

import (
	"crypto/tls"
	"errors"
	"fmt"

	"banyan/cmd/config"
	"banyan/engine"
)

// listenTLS reads the certificates of all listeners that have TLS, by address; a has those from ACME. The error joins
// all problems.
func listenTLS(listeners []config.Listener, a *acme) (map[string]engine.ListenTLS, error) {
	all := map[string]engine.ListenTLS{}
	var problems []error
	for i := range listeners {
		l := &listeners[i]
		if l.TLS == nil {
			continue
		}
		c, err := engine.NewCredentials(credentialsConfig(l, a))
		if err != nil {
			problems = append(problems, fmt.Errorf("listener %s: %w", listenerName(l), err))
			continue
		}
		all[l.Address] = engine.ListenTLS{Credentials: c, Plain: l.TLS.Plain == "allow", HSTS: l.TLS.HSTS}
	}
	return all, errors.Join(problems...)
}

// credentialsConfig is what the section tls of a listener says about certificates and clients.
func credentialsConfig(l *config.Listener, a *acme) engine.CredentialsConfig {
	t := l.TLS
	c := engine.CredentialsConfig{
		MinVersion: tls.VersionTLS12, ClientCA: t.ClientCA, ALPN: append([]string{}, t.ALPN...),
		NoTickets: !t.SessionTickets,
	}
	for _, f := range t.Certificates {
		c.Certificates = append(c.Certificates, engine.CertificateFiles{
			Certificate: f.Certificate, Key: f.Key, OCSP: f.OCSP,
		})
	}
	if t.ACME != nil {
		c.ACME, c.GetCertificate = true, a.certificates(l.Address)
	}
	if t.MinVersion == "1.3" {
		c.MinVersion = tls.VersionTLS13
	}
	if t.ClientCA != "" {
		c.ClientCertificates = engine.ClientsMay
		if t.ClientCertificates == "required" {
			c.ClientCertificates = engine.ClientsMust
		}
	}
	return c
}

// replaceTLS changes what the listeners that run show and ask for, from what was in force to what is to be: all of
// them or none. Whether a listener has TLS at all, and session tickets, change by a restart.
func (r *router) replaceTLS(was, is []config.Listener) error {
	var changed []int
	for i := range is {
		running, ok := r.tls[r.listeners[i].Address]
		if !ok || is[i].TLS == nil {
			continue
		}
		c := r.credentials(&is[i], i)
		if err := running.Credentials.Replace(c); err != nil {
			err = fmt.Errorf("listener %s: %w", listenerName(&is[i]), err)
			for _, k := range changed { // these files were good a moment ago
				c := r.tls[r.listeners[k].Address].Credentials
				err = errors.Join(err, c.Replace(r.credentials(&was[k], k)))
			}
			return err
		}
		if was[i].TLS != nil {
			changed = append(changed, i)
		}
	}
	return nil
}

// credentials are what l says about listener i, which runs: its session tickets are those of the start.
func (r *router) credentials(l *config.Listener, i int) engine.CredentialsConfig {
	running := &r.listeners[i]
	c := credentialsConfig(&config.Listener{Address: running.Address, TLS: l.TLS}, r.acme)
	c.NoTickets = running.TLS != nil && !running.TLS.SessionTickets
	return c
}
