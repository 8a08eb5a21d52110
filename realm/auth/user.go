package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"banyan/codec"
)

// A User is one principal of a realm with what it can prove itself by. A realm keeps what the fields point to: do not
// change it afterwards.
type User struct {
	AuthID string // at most 256 octets; "" is allowed with exactly one of Keys and means its hex form
	Role   string

	Tickets      []StoredTicket      // ticket; at most 4, any of them opens
	CRA          *CRACredential      // wampcra
	SCRAM        *SCRAMCredential    // wamp-scram
	Crossbar     *SCRAMCredential    // scram, Crossbar.io's dialect
	Keys         [][32]byte          // cryptosign: Ed25519 public keys; at most 64
	Certificates [][sha256.Size]byte // tls: SHA-256 of the certificate in DER; at most 64

	Extra map[string]any // WELCOME.Details.authextra; values that codec.AppendValue encodes
}

// check returns everything that is wrong with u.
func (u *User) check() error {
	var problems []error
	report := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	report(checkName("authid", u.AuthID, authIDBytesMax))
	report(checkName("role", u.Role, roleBytesMax))
	for _, k := range u.Keys {
		if Forgeable(k) {
			report(fmt.Errorf("anybody can sign for the key %s", hexKey(k)))
		}
	}
	if len(u.Tickets) > ticketsPerUserMax {
		report(fmt.Errorf("%d tickets; at most %d are allowed", len(u.Tickets), ticketsPerUserMax))
	}
	for i := range u.Tickets {
		if len(u.Tickets[i].digest) != sha256.Size {
			report(errors.New("an empty StoredTicket; make it with ParseTicket or PlainTicket"))
		}
	}
	if u.CRA != nil {
		report(u.CRA.check())
	}
	for _, c := range []*SCRAMCredential{u.SCRAM, u.Crossbar} {
		if c != nil {
			report(c.check())
		}
	}
	if len(u.Keys) > keysPerUserMax || len(u.Certificates) > keysPerUserMax {
		report(fmt.Errorf("more than %d keys or certificates", keysPerUserMax))
	}
	if len(u.Extra) > 0 {
		if _, err := codec.AppendValue(nil, codec.MessagePack, u.Extra); err != nil {
			report(fmt.Errorf("extra: %w", err))
		}
	}
	return errors.Join(problems...)
}

// methods returns the methods that u has credentials for.
func (u *User) methods() (names []string) {
	for _, m := range []struct {
		name string
		has  bool
	}{
		{methodTicket, len(u.Tickets) > 0},
		{methodCRA, u.CRA != nil},
		{methodSCRAM, u.SCRAM != nil},
		{methodCrossbar, u.Crossbar != nil},
		{methodCryptosign, len(u.Keys) > 0},
		{methodTLS, len(u.Certificates) > 0},
	} {
		if m.has {
			names = append(names, m.name)
		}
	}
	return names
}

// checkName checks an authid, a role or a realm.
func checkName(what, name string, bytesMax int) error {
	switch {
	case name == "":
		return fmt.Errorf("the %s is empty", what)
	case len(name) > bytesMax:
		return fmt.Errorf("the %s is longer than %d octets", what, bytesMax)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("the %s %q has control characters or is not UTF-8", what, name)
	}
	return nil
}

// ParseKey reads an Ed25519 public key: 64 hex digits.
func ParseKey(text string) (key [32]byte, err error) {
	if !readHex(key[:], text) {
		return key, errors.New("auth: a public key is 64 hex digits")
	}
	return key, nil
}

// ParseFingerprint reads the SHA-256 fingerprint of a certificate: 64 hex digits, with or without colons between the
// octets, as openssl prints them.
func ParseFingerprint(text string) (sum [sha256.Size]byte, err error) {
	if !readHex(sum[:], strings.ReplaceAll(text, ":", "")) {
		return sum, errors.New("auth: a certificate fingerprint is the SHA-256 of the certificate: 64 hex digits")
	}
	return sum, nil
}

// readHex decodes text into all of dst and reports whether it fits exactly.
func readHex(dst []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(text))
	return err == nil
}

// readBase64 decodes text in the standard alphabet with padding, and nothing that has a second spelling.
func readBase64(text string) ([]byte, bool) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	return b, err == nil && base64.StdEncoding.EncodedLen(len(b)) == len(text)
}
