package auth

import (
	"crypto/ed25519"
	"encoding/binary"
	"strings"
	"testing"
)

// TestForgeable: whoever writes the signature of which nothing depends on a key gets in with each of these keys,
// without a private one. None of them is a user's, and a key that somebody has made is.
func TestForgeable(t *testing.T) {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1 // R is the neutral element, S is 0
	for _, key := range forgeableKeys {
		for _, sign := range []byte{0, 0x80} {
			key := key
			key[31] |= sign
			if !Forgeable(key) {
				t.Errorf("%x with sign %x: not forgeable", key, sign)
			}
			u := User{AuthID: "joe", Role: "user", Keys: [][32]byte{key}}
			if err := u.check(); err == nil || !strings.Contains(err.Error(), "anybody can sign") {
				t.Errorf("%x with sign %x as a user's key: %v", key, sign, err)
			}
		}
		forged := false
		for i := uint64(0); i < 256 && !forged; i++ {
			forged = ed25519.Verify(key[:], binary.BigEndian.AppendUint64(nil, i), signature)
		}
		if !forged {
			t.Errorf("%x: no signature was forged", key)
		}
	}
	_, made := NewKey()
	u := User{AuthID: "joe", Role: "user", Keys: [][32]byte{made}}
	if err := u.check(); Forgeable(made) || err != nil {
		t.Errorf("%x: %v", made, err)
	}
}
