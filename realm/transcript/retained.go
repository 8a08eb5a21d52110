package transcript

import (
	"banyan/codec"
	"banyan/realm"
)

// Retention is what the realms of s retain: everything, with the option retain_some only com.kept and what begins
// with com.kept., and with retain_off nothing.
func (s *Script) Retention() (r realm.Retention) {
	if s.Needs("retain_some") {
		r.Topics = []realm.Pattern{{URI: "com.kept"}, {URI: "com.kept.", Match: codec.Prefix}}
	}
	r.Disabled = s.Needs("retain_off")
	return r
}
