package auth

import "crypto/sha256"

// clientCertificate is the method tls: TLS has verified a certificate, and its SHA-256 names the user (PROTOCOL
// 10.7).
type clientCertificate struct{}

func (clientCertificate) blocked(a *Attempt) obstacle {
	if len(a.hello.Transport.Certificate) == 0 {
		return obstacle{why: "needs a TLS client certificate"}
	}
	return obstacle{}
}

func (clientCertificate) principal(a *Attempt) (u *User, known bool) {
	u = a.realm.certs[sha256.Sum256(a.hello.Transport.Certificate)]
	if u == nil || a.hello.AuthID != "" && a.hello.AuthID != u.AuthID {
		return nil, false
	}
	return u, true
}

func (clientCertificate) mock(*Realm) *User { return nil }

func (clientCertificate) start(a *Attempt) Outcome {
	a.proof = proof{methodTLS, sha256.Sum256(a.hello.Transport.Certificate)}
	return a.welcome(nil)
}
