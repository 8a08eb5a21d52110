package realm

import (
	"sync/atomic"

	"banyan/codec"
	"banyan/realm/policy"
)

// Form is not permission. admit looks at the form of a URI and may be left out for what is registered already;
// authorize looks at the rights of a session and stands on every path from a request to a record: publish, subscribe,
// register and call, exact and by pattern.

// An Action is what a session wants to do with a URI.
type Action = policy.Action

// The actions.
const (
	Publish   = policy.Publish
	Subscribe = policy.Subscribe
	Register  = policy.Register
	Call      = policy.Call
)

// A refusal is an error the peer is told about.
type refusal struct {
	uri     string // codec.ErrInvalidURI, …
	message string // for humans: no secrets, no addresses
}

var (
	refuseURI = &refusal{codec.ErrInvalidURI, "malformed URI: components are separated by dots, without " +
		"white space or #"}
	refuseStrict = &refusal{codec.ErrInvalidURI, "malformed URI: this realm allows only the characters a-z, " +
		"0-9 and _ in components"}
	refuseLength     = &refusal{codec.ErrInvalidURI, "the URI is longer than this router allows"}
	refuseDisclosure = &refusal{codec.ErrOptionDisallowedDiscloseMe, "this realm does not let sessions disclose " +
		"who they are"}
	refuseReserved = &refusal{codec.ErrInvalidURI, "URIs that start with wamp. are reserved for the protocol"}
	refuseRight    = &refusal{codec.ErrNotAuthorized, "this session has no permission for that"}
)

// admit checks the form of uri before anything is looked up; nil says that it is good. Checks in the order of
// PROTOCOL 3.2, 3.3 and 8.2.
func (set *settings) admit(a Action, uri []byte, match codec.Match) *refusal {
	if len(uri) > set.limits.URIBytesMax {
		return refuseLength
	}
	if !codec.ValidURI(uri, match, set.StrictURIs) {
		if set.StrictURIs {
			return refuseStrict
		}
		return refuseURI
	}
	if (a == Publish || a == Register && match == codec.Exact) && codec.ReservedURI(uri) {
		return refuseReserved
	}
	return nil
}

// authorize decides whether s may do a with uri; nil says yes. p is where the decision is kept, on the record of
// exactly that topic or procedure; nil if there is none. PROTOCOL 11.
func (s *session) authorize(l *perLoop, a Action, uri []byte, match codec.Match, p *permit) *refusal {
	set := l.set
	if set.Policy == nil {
		return nil
	}
	allowed, decided := false, false
	if p != nil {
		allowed, decided = p.decision(s.role, set.epoch)
	}
	if !decided {
		allowed = set.Policy.Decide(s.identity.AuthRole, a, uri, match).Allow
		if p != nil {
			p.decide(s.role, set.epoch, allowed)
		}
	}
	if allowed {
		return nil
	}
	l.counters.unauthorized.Add(1)
	return refuseRight
}

// A permit keeps what a policy decided for one record: two bits per role, decided and allowed, under the epoch of the
// policy. The roles of a realm beyond permitRoles are asked for each time. Any goroutine.
//
//	63 … 40 epoch   39 … 20 decided   19 … 0 allowed
type permit struct{ word atomic.Uint64 }

const (
	permitRoles = 20
	permitEpoch = 1<<24 - 1 // an epoch counts up to here and then from 0
)

func (p *permit) decision(role uint16, epoch uint64) (allowed, decided bool) {
	w := p.word.Load()
	if w>>(2*permitRoles) != epoch || role >= permitRoles {
		return false, false
	}
	return w&(1<<role) != 0, w&(1<<(permitRoles+role)) != 0
}

func (p *permit) decide(role uint16, epoch uint64, allowed bool) {
	if role >= permitRoles {
		return
	}
	for {
		old := p.word.Load()
		w := old
		if w>>(2*permitRoles) != epoch {
			w = epoch << (2 * permitRoles)
		}
		w |= 1 << (permitRoles + role)
		if allowed {
			w |= 1 << role
		}
		if p.word.CompareAndSwap(old, w) {
			return
		}
	}
}
