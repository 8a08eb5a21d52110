package transcript

import (
	"banyan/codec"
	"banyan/realm"
	"banyan/realm/history"
)

// History is what the realms of s keep the history of, with the option history_events=N: com.h, what begins with
// com.h., and com..w, N events of each.
func (s *Script) History() (all []realm.History) {
	n := s.Value("history_events")
	if n == 0 {
		return nil
	}
	for _, p := range []realm.Pattern{
		{URI: "com.h"},
		{URI: "com.h.", Match: codec.Prefix},
		{URI: "com..w", Match: codec.Wildcard},
		{URI: "com.h.a"},
	} {
		all = append(all, realm.History{Pattern: p, Bounds: history.Bounds{Events: n}})
	}
	return all
}
