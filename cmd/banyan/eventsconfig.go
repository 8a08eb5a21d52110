package main

import (
	"banyan/cmd/banyan/config"
	"banyan/codec"
	"banyan/realm"
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
