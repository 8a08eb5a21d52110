package cli

import (
	"banyan/cmd/config"
	"banyan/realm"
	"banyan/realm/history"
)

// retention is what a realm retains.
func retention(r *config.Retention) realm.Retention {
	kept := realm.Retention{
		Disabled: !r.Enabled, EventsMax: r.EventsMax, BytesMax: int64(r.BytesMax), FoundMax: r.FoundMax,
	}
	for _, t := range r.Topics {
		kept.Topics = append(kept.Topics, realm.Pattern{URI: t.URI, Match: config.Policies[t.Match]})
	}
	return kept
}

// histories is what a realm keeps the history of.
func histories(all []config.History) (kept []realm.History) {
	for _, h := range all {
		kept = append(kept, realm.History{
			Pattern:           realm.Pattern{URI: h.URI, Match: config.Policies[h.Match]},
			Bounds:            history.Bounds{Events: h.EventsMax, Bytes: int64(h.BytesMax), Age: h.AgeMax},
			OnDisk:            h.Store == "disk",
			AcknowledgeStored: h.Acknowledge == "stored",
		})
	}
	return kept
}
