//go:build linux

package config

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"banyan/engine"
)

// A bindTarget is what an address means to the system.
type bindTarget struct{ network, address, host, port string }

func target(address string) (t bindTarget, ok bool) {
	network, a, err := engine.ParseAddress(address)
	if err != nil {
		return t, false
	}
	t = bindTarget{network: network, address: a}
	if network != "unix" {
		t.host, t.port, _ = net.SplitHostPort(a)
	}
	return t, true
}

// covers reports whether no other socket can listen on u while one listens on t.
func (t bindTarget) covers(u bindTarget) bool {
	if t.network == "unix" || u.network == "unix" {
		return t.network == u.network && samePath(t.address, u.address)
	}
	if t.port == "0" || t.port != u.port {
		return false
	}
	return t.host == u.host || t.host == "" ||
		t.host == "0.0.0.0" && u.network == "tcp4" || t.host == "::" && u.network == "tcp6"
}

// samePath reports whether two paths of sockets are one, however they are written. Names with @ are not in the file
// system. Links are not followed: the start does that.
func samePath(a, b string) bool {
	if a == b || strings.HasPrefix(a, "@") || strings.HasPrefix(b, "@") {
		return a == b
	}
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}

// local reports whether only this machine can reach an address.
func (t bindTarget) local() bool {
	if t.network == "unix" || t.host == "localhost" || strings.HasSuffix(t.host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(t.host)
	return err == nil && ip.IsLoopback()
}

// plain reports whether clients can use a listener without encryption.
func (l *Listener) plain() bool { return l.TLS == nil || l.TLS.Plain == "allow" }

// listeners checks the listeners, each for itself and against the others.
func (c *checker) listeners() {
	if len(c.cfg.Listeners) == 0 {
		c.bad("listeners", "the list is empty: nobody could connect", "remove the key for 127.0.0.1:8080")
	}
	names := map[string]int{}
	for i := range c.cfg.Listeners {
		l, path := &c.cfg.Listeners[i], fmt.Sprintf("listeners.%d", i)
		t, ok := target(l.Address)
		if !ok {
			continue // reported already
		}
		for j := range i {
			if u, ok := target(c.cfg.Listeners[j].Address); ok && (u.covers(t) || t.covers(u)) {
				c.bad(path+".address", fmt.Sprintf("%s is also listeners.%d, %s%s", l.Address, j,
					c.cfg.Listeners[j].Address, c.line(fmt.Sprintf("listeners.%d.address", j))),
					"choose another address")
				break
			}
		}
		if j, ok := names[l.Name]; ok && l.Name != "" {
			c.bad(path+".name", fmt.Sprintf("listeners.%d has the name %s too", j, quote(l.Name)), "")
		}
		names[l.Name] = i
		if l.File != nil && (t.network != "unix" || strings.HasPrefix(t.address, "@")) {
			c.bad(path+".file", "it is for the file of a Unix socket, and this listener has none", "remove it")
		}
		c.proxies(path, l, t)
		if c.openToAll(l.Origins) && len(l.Origins) > 1 {
			c.idle(path+".origins", "with * all origins may connect: the others have no effect",
				"remove *, or the others")
		}
		sandboxed := slices.Index(l.Origins, "null")
		switch {
		case (c.openToAll(l.Origins) || sandboxed >= 0) && l.Accepts("cookie") && c.offers("cookie"):
			c.bad(path+".origins", "with * or null any web page could use the cookie of a browser that has logged in",
				"name the origins, or leave cookie out of auth_methods")
		case sandboxed >= 0 && !c.openToAll(l.Origins):
			c.warn(fmt.Sprintf("%s.origins.%d", path, sandboxed),
				"any web page can have this origin, in a frame with sandbox", "name the origins")
		}
		if l.Deflate != "off" && !slices.Contains(l.Protocols, "websocket") {
			c.idle(path+".deflate", "only WebSocket has compression, and this listener does not speak it",
				"remove it")
		}
		if l.Deflate == "unencrypted" && !l.plain() {
			c.idle(path+".deflate", "with unencrypted nobody gets compression here: all clients use TLS",
				"remove it, or use always if no event has secrets beside text of others")
		}
		c.anonymousFromAfar(i, l, t)
		c.tls(path, l, t)
	}
}

func (c *checker) openToAll(origins []string) bool {
	for _, o := range origins {
		if o == "*" {
			return true
		}
	}
	return false
}

// line is ", line N" for a value from the file.
func (c *checker) line(path string) string {
	_, n := c.find(path, true)
	if n == nil || n.Line == 0 || c.given[n] != "" {
		return ""
	}
	return fmt.Sprintf(" (line %d)", n.Line)
}

// offers reports whether a realm offers a method.
func (c *checker) offers(method string) bool {
	found := false
	each(c.cfg, func(_ string, rm *Realm, _ string) {
		for _, m := range rm.Auth.offered() {
			found = found || m == method
		}
	})
	return found
}

func (c *checker) proxies(path string, l *Listener, t bindTarget) {
	if l.ProxyProtocol == "required" && len(l.TrustedProxies) == 0 && t.network != "unix" {
		c.bad(path+".proxy_protocol", "nobody may send the header, because trusted_proxies is empty",
			"add the addresses of the proxies to trusted_proxies")
	}
	for i, p := range l.TrustedProxies {
		if prefix, err := ParsePrefix(p); err == nil && prefix.Bits() == 0 {
			c.warn(fmt.Sprintf("%s.trusted_proxies.%d", path, i), "everybody may say to be somebody else",
				"name the proxies")
		}
	}
}

// anonymousFromAfar warns if everybody in the network can join without authentication.
func (c *checker) anonymousFromAfar(i int, l *Listener, t bindTarget) {
	if t.local() || !l.Accepts("anonymous") {
		return
	}
	path := fmt.Sprintf("listeners.%d", i)
	each(c.cfg, func(realm string, rm *Realm, _ string) {
		a := rm.Auth.Anonymous
		if a == nil {
			return
		}
		everybody := l.Anonymous == "anywhere"
		if l.Anonymous == "realm" {
			for _, f := range a.From {
				p, err := ParsePrefix(f)
				everybody = everybody || f == "anywhere" || err == nil && p.Bits() == 0
			}
		}
		if !everybody {
			return
		}
		at := path + ".address"
		if l.Anonymous == "anywhere" {
			at = path + ".anonymous"
		}
		c.warn(at, fmt.Sprintf("everybody who reaches %s can join %s as role %s without authentication", l.Address,
			quote(rm.URI), quote(a.Role)), "say local or none in anonymous, unless this is meant")
		for j := range rm.Roles {
			// Who runs the router without a file has asked for a realm in which all may do everything.
			_, n := c.find(fmt.Sprintf("%s.roles.%d", realm, j), false)
			if c.given[n] == builtIn || strings.HasPrefix(c.given[n], "--") {
				continue
			}
			if r := &rm.Roles[j]; r.Name == a.Role && r.may("call", "wamp.session.kill") {
				c.bad(fmt.Sprintf("%s.roles.%d.permissions", realm, j),
					fmt.Sprintf("everybody who reaches %s could end "+
						"the sessions of others: the role of anonymous clients may call wamp.session.kill",
						l.Address),
					"add an entry for the prefix wamp. that allows less")
			}
		}
	})
}

// tls checks the section tls of a listener, without its files.
func (c *checker) tls(path string, l *Listener, t bindTarget) {
	s := l.TLS
	if s == nil {
		return
	}
	path += ".tls"
	switch {
	case t.network == "unix":
		c.bad(path, "a Unix socket has no TLS here: its traffic does not leave the machine", "remove tls")
	case s.ACME != nil && len(s.Certificates) > 0:
		c.bad(path+".acme", "there are certificates as well", "remove one of them")
	case s.ACME == nil && len(s.Certificates) == 0:
		c.bad(path, "there is no certificate", "add certificates, each with certificate and key")
	case s.ACME != nil && !hasACME:
		c.bad(path+".acme", "this program was built without ACME",
			"build it with: go build -tags acme ./cmd/banyan; or use certificates")
	case s.ACME != nil:
		c.acme(path+".acme", s.ACME)
	}
	if s.ClientCA == "" && c.has(path+".client_certificates") {
		c.bad(path+".client_certificates", "it has no effect without client_ca", "add client_ca")
	}
	if s.HSTS > 0 && s.Plain == "allow" {
		c.warn(path+".hsts", "browsers will refuse the plain half of this port", "remove hsts, or plain: allow")
	}
}

// certificates reads the files of all listeners. A file that several name is reported for each.
func (c *checker) certificates() {
	for i := range c.cfg.Listeners {
		s := c.cfg.Listeners[i].TLS
		if s == nil {
			continue
		}
		path := fmt.Sprintf("listeners.%d.tls", i)
		seen := map[string]bool{}
		for j := range s.Certificates {
			at := fmt.Sprintf("%s.certificates.%d", path, j)
			if f := s.Certificates[j].Certificate; f != "" && seen[f] {
				c.bad(at+".certificate", f+" is there twice", "remove one of them")
			}
			seen[s.Certificates[j].Certificate] = true
			c.certificate(at, &s.Certificates[j])
		}
		if s.ClientCA != "" {
			c.authorities(path+".client_ca", s.ClientCA)
		}
		if s.ACME != nil && s.ACME.DirectoryCA != "" {
			c.authorities(path+".acme.directory_ca", s.ACME.DirectoryCA)
		}
	}
}

// text reads a file that the value at path names.
func (c *checker) text(path, file string, most int64, secret bool) []byte {
	text, info, err := c.readFile(file, most)
	if err != nil {
		c.bad(path, file+": "+reason(err), "")
		return nil
	}
	if !secret {
		c.file.contents[file] = sha256.Sum256(text)
	}
	if secret && world(info) {
		c.warn(path, "everybody on this machine can read "+file, "chmod 600 "+file)
	}
	return text
}

// certificate checks that a pair can be read, belongs together, is strong enough and is in force.
func (c *checker) certificate(path string, pair *Certificate) {
	if pair.Certificate == "" || pair.Key == "" {
		return // reported already
	}
	chain := c.text(path+".certificate", pair.Certificate, certBytesMax, false)
	key := c.text(path+".key", pair.Key, secretBytesMax, true)
	if pair.OCSP != "" {
		c.text(path+".ocsp", pair.OCSP, secretBytesMax, false)
	}
	if chain == nil || key == nil {
		return
	}
	leaf := firstCertificate(chain)
	if leaf == nil {
		c.bad(path+".certificate", "there is no certificate in "+pair.Certificate, "give a PEM file that has one")
		return
	}
	if block, _ := pem.Decode(key); block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		c.bad(path+".key", "there is no private key in "+pair.Key, "give a PEM file that has one, not encrypted")
		return
	}
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		c.bad(path+".key", fmt.Sprintf("%s does not belong to %s: %s", pair.Key, pair.Certificate,
			strings.TrimPrefix(err.Error(), "tls: ")), "")
		return
	}
	switch k := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			c.bad(path+".certificate", fmt.Sprintf("its RSA key has %d bits; at least 2048 are needed", k.N.BitLen()),
				"get a certificate with a new key")
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			c.bad(path+".certificate", fmt.Sprintf("its key has %d bits; at least 256 are needed",
				k.Curve.Params().BitSize), "get a certificate with a new key")
		}
	}
	now := c.now()
	const day = "2006-01-02"
	switch left := leaf.NotAfter.Sub(now); {
	case left <= 0:
		c.bad(path+".certificate", "the certificate expired on "+leaf.NotAfter.UTC().Format(day), "get a new one")
	case left < expirySoon:
		c.warn(path+".certificate", fmt.Sprintf("the certificate expires in %s, on %s",
			number(int(left/(24*time.Hour)), "day"), leaf.NotAfter.UTC().Format(day)), "get a new one")
	case now.Before(leaf.NotBefore):
		c.warn(path+".certificate", "the certificate is valid only from "+leaf.NotBefore.UTC().Format(day), "")
	}
}

// firstCertificate is the first certificate of a PEM file, or nil.
func firstCertificate(text []byte) *x509.Certificate {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil
		}
		if block.Type == "CERTIFICATE" {
			leaf, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return leaf
		}
		text = rest
	}
}

func (c *checker) authorities(path, file string) {
	text := c.text(path, file, certBytesMax, false)
	if text == nil {
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		c.bad(path, "there is no certificate in "+file, "give a PEM file with those of the authorities")
	}
}
