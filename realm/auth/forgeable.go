package auth

import (
	"encoding/hex"
	"slices"
)

// forgeableKeys are all encodings of points of a small order on the curve of Ed25519, with the bit of the sign
// cleared. A placeholder such as 32 zero octets is one of them.
var forgeableKeys = func() (keys [][32]byte) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 4, not reduced
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 1, not reduced
	} {
		var key [32]byte
		_, _ = hex.Decode(key[:], []byte(text)) // a constant
		keys = append(keys, key)
	}
	return keys
}()

// Forgeable reports whether key is a public Ed25519 key for which everybody can make signatures that verify, because
// its order is small: nobody has made it. RFC 8032 lets verifiers accept them.
func Forgeable(key [32]byte) bool {
	key[31] &= 0x7f
	return slices.Contains(forgeableKeys, key)
}
