package realm

import (
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
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

// terms say what the receivers of something that is allowed are told.
type terms struct {
	disclosed bool   // who the session is, without a request for that
	trust     uint32 // the trust level of publications and calls, plus one; 0: none (PROTOCOL 7.10, 8.10)
}

// authorize decides whether s may do a with uri (PROTOCOL 11); nil says yes, and on which terms.
// refuseUndecided says that an authorizer has to be asked first: see askFirst. p is where the decision is kept, on
// the record of exactly that topic or procedure; nil if there is none. record is the id of the subscription, or the
// complement of that of the registration: memos spread by it.
//
// hot: a load and a mask, also for decisions of authorizers that s remembers.
func (s *session) authorize(x port.Executor, l *perLoop, a Action, uri []byte, match codec.Match, p *permit,
	record uint64,
) (why *refusal, on terms) {
	set := l.set
	if set.Policy == nil {
		return nil, terms{}
	}
	if s.trusted {
		return nil, terms{trust: s.trust}
	}
	if p != nil {
		bits := p.decision(s.role, set.epoch)
		if bits == 0 && s.rights != nil {
			bits = s.rights.memo.find(p, record, set.epoch)
		}
		if bits&permitAllowed != 0 {
			return nil, terms{disclosed: bits&permitDisclosed != 0}
		}
		if bits != 0 {
			l.counters.unauthorized.Add(1)
			return refuseRight, terms{}
		}
	}
	return s.lookUp(x, l, a, uri, match, p, record)
}

// rights are what a session may do by the policy under which it was looked up last. Owned by loop.
type rights struct {
	policy     *policy.Snapshot
	epoch      uint64       // of the settings
	role       *policy.Role // nil: the policy does not have it, so nothing is allowed
	authorizer *Authorizer  // nil: there is none
	memo       *memo        // nil until something is remembered
}

// lookUp asks the policy, and whoever remembers what an authorizer has said. What comes with a trust level is kept on
// no record and looked up each time: so those roles pay for it that have one.
func (s *session) lookUp(x port.Executor, l *perLoop, a Action, uri []byte, match codec.Match, p *permit,
	record uint64,
) (why *refusal, on terms) {
	set := l.set
	r := s.rights
	if r == nil {
		r = new(rights)
		s.rights = r
	}
	if r.policy != set.Policy || r.epoch != set.epoch {
		r.policy, r.epoch, r.role, r.authorizer = set.Policy, set.epoch, set.Policy.Role(s.who().AuthRole), nil
		if az, found := set.Authorizers[s.who().AuthRole]; found {
			r.authorizer = &az
		}
	}
	d := r.role.Decide(a, uri, match)
	if d.Trust > 0 {
		p = nil
	}
	if !d.Definitive {
		if d, why = s.recall(x, l, a, uri, match, d, p, record); why != nil {
			return why, terms{}
		}
	} else if p != nil {
		p.decide(s.role, set.epoch, d)
	}
	if !d.Allow {
		l.counters.unauthorized.Add(1)
		return refuseRight, terms{}
	}
	return nil, terms{d.Disclose, d.Trust}
}

// A roleNumber is the place of a role in permits: the index of the word, and the shift in it.
type roleNumber uint16

// noNumber is that of roles beyond permitRoles.
const noNumber roleNumber = 0xffff

func makeRoleNumber(n int) roleNumber {
	return roleNumber(n/permitWordRoles<<8 | n%permitWordRoles*permitBits)
}

// A permit keeps what a policy decided for one record: three bits per role, under the epoch of the settings. The
// roles of a realm beyond permitRoles are looked up each time. Any goroutine.
//
//	63 … 36 epoch   35 … 33 of the last role of the word   …   2 … 0 of the first
type permit struct {
	first atomic.Uint64
	more  atomic.Pointer[[permitWords - 1]atomic.Uint64] // nil until a role of a later word is decided
}

// The bits of a role. 0 stands for undecided.
const (
	permitDecided = 1 << iota
	permitAllowed
	permitDisclosed
)

const (
	permitBits      = 3
	permitWordRoles = 12
	permitWords     = 21
	permitRoles     = permitWords * permitWordRoles
	permitShift     = permitBits * permitWordRoles
	permitEpoch     = 1<<(64-permitShift) - 1 // an epoch counts up to here and then from 0
)

// decision returns the bits of a role.
func (p *permit) decision(role roleNumber, epoch uint64) (bits uint64) {
	word := &p.first
	if i := role >> 8; i > 0 {
		more := p.more.Load()
		if more == nil || role == noNumber {
			return 0
		}
		word = &more[i-1]
	}
	w := word.Load()
	if w>>permitShift != epoch {
		return 0
	}
	return w >> (role & 0xff) & (1<<permitBits - 1)
}

// decide keeps a decision of permissions.
func (p *permit) decide(role roleNumber, epoch uint64, d policy.Decision) {
	if role == noNumber || !d.Cache {
		return
	}
	word := &p.first
	if i := role >> 8; i > 0 {
		more := p.more.Load()
		if more == nil {
			p.more.CompareAndSwap(nil, new([permitWords - 1]atomic.Uint64))
			more = p.more.Load()
		}
		word = &more[i-1]
	}
	bits := decisionBits(d) << (role & 0xff)
	for {
		old := word.Load()
		w := old
		if w>>permitShift != epoch {
			w = epoch << permitShift
		}
		if word.CompareAndSwap(old, w|bits) {
			return
		}
	}
}

func decisionBits(d policy.Decision) uint64 {
	bits := uint64(permitDecided)
	if d.Allow {
		bits |= permitAllowed
	}
	if d.Disclose {
		bits |= permitDisclosed
	}
	return bits
}
