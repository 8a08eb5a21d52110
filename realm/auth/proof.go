package auth

import (
	"crypto/sha256"
	"slices"
)

// A proof is the credential that a login was judged by. A session may not stay when its user no longer has it.
type proof struct {
	method     string
	credential [sha256.Size]byte // nothing that lets somebody in
}

// has reports whether p is one of the credentials of u.
func (u *User) has(p proof) bool {
	switch p.method {
	case methodTicket:
		return slices.ContainsFunc(u.Tickets, func(t StoredTicket) bool { return t.proof() == p })
	case methodCRA:
		return u.CRA != nil && u.CRA.proof() == p
	case methodSCRAM:
		return u.SCRAM != nil && u.SCRAM.StoredKey == p.credential
	case methodCrossbar:
		return u.Crossbar != nil && u.Crossbar.StoredKey == p.credential
	case methodCryptosign:
		return slices.Contains(u.Keys, p.credential)
	case methodTLS:
		return slices.Contains(u.Certificates, p.credential)
	}
	return false
}

func (t *StoredTicket) proof() proof { return proof{methodTicket, [sha256.Size]byte(t.digest)} }

func (c *CRACredential) proof() proof {
	return proof{methodCRA, sha256.Sum256([]byte(c.Salt + "\x00" + c.Key))}
}
