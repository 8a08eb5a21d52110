package realm

import (
	"strings"

	"banyan/codec"
)

// Subscriptions and registrations are charged to the budget of the process (port.Executor.Charge), and so are the
// records and patterns behind them, which go with their last member. Figures are rounded up from what the heap shows:
// see TestMemory.
const (
	memberBytes    = 192 // a session in a subscription or registration, in all its lists
	recordBytes    = 384 // a subscription or registration, with its entry in the index
	loopBytes      = 8   // of a subscription, for each loop
	componentBytes = 208 // of a pattern, a node of the index
)

var refuseMemory = &refusal{codec.ErrOptionNotAllowed, "the router has no memory left for subscriptions and " +
	"registrations"}

// recordMemory is what the record of (uri, match) takes.
func (rm *realm) recordMemory(uri string, match codec.Match) int {
	n := recordBytes + loopBytes*len(rm.sessions) + len(uri)
	if match != codec.Exact {
		n += componentBytes * (1 + strings.Count(uri, "."))
	}
	return n
}
