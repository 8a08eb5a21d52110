package main

import (
	"banyan/cmd/banyan/config"
	"banyan/codec"
	"banyan/realm"
	"banyan/realm/history"
)

// matches are the policies by their names.
var matches = map[string]codec.Match{"exact": codec.Exact, "prefix": codec.Prefix, "wildcard": codec.Wildcard}

// retention is what a realm retains.
func retention(r *config.Retention) realm.Retention {
	kept := realm.Retention{
		Disabled: !r.Enabled, EventsMax: r.EventsMax, BytesMax: int64(r.BytesMax), FoundMax: r.FoundMax,
	}
	for _, t := range r.Topics {
		kept.Topics = append(kept.Topics, realm.Pattern{URI: t.URI, Match: matches[t.Match]})
	}
	return kept
}

// histories is what a realm keeps the history of.
func histories(all []config.History) (kept []realm.History) {
	for _, h := range all {
		kept = append(kept, realm.History{
			Pattern:           realm.Pattern{URI: h.URI, Match: matches[h.Match]},
			Bounds:            history.Bounds{Events: h.EventsMax, Bytes: int64(h.BytesMax), Age: h.AgeMax},
			OnDisk:            h.Store == "disk",
			AcknowledgeStored: h.Acknowledge == "stored",
		})
	}
	return kept
}
