package realmtest

import (
	"strings"

	"banyan/codec"
)

// Matches is PROTOCOL 3.4, read literally: whether the pattern matches uri.
func Matches(pattern string, match codec.Match, uri string) bool {
	switch match {
	case codec.Exact:
		return pattern == uri
	case codec.Prefix:
		return strings.HasPrefix(uri, pattern)
	}
	want, got := strings.Split(pattern, "."), strings.Split(uri, ".")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != "" && want[i] != got[i] {
			return false
		}
	}
	return true
}
