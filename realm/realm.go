package realm

import (
	"sync/atomic"

	"banyan/codec"
)

// A realm is one routing namespace; nothing crosses it.
type realm struct {
	// Fixed at creation.
	router *Router
	cfg    RealmConfig

	// Any goroutine.
	closed     atomic.Bool
	welcomes   [codec.CBOR + 1]atomic.Pointer[codec.WelcomeForm] // by serializer, made when first needed
	topics     index[subscription]
	procedures index[registration]
}

func newRealm(r *Router, cfg RealmConfig) *realm {
	return &realm{router: r, cfg: cfg}
}

// An idSource draws the ids of router scope: subscriptions and registrations (PROTOCOL 2). Small numbers are short on the wire.
type idSource struct {
	subscriptions atomic.Uint64
	registrations atomic.Uint64
}

func (i *idSource) subscription() uint64 { return i.subscriptions.Add(1) }
func (i *idSource) registration() uint64 { return i.registrations.Add(1) }

// An action is what a session wants to do with a URI.
type action uint8

const (
	actPublish action = iota
	actSubscribe
	actRegister
	actCall
)

// A refusal is an error the peer is told about.
type refusal struct {
	uri     string // codec.ErrInvalidURI, …
	message string // for humans: no secrets, no addresses
}

var (
	refuseURI        = &refusal{codec.ErrInvalidURI, "malformed URI: components are separated by dots, without white space or #"}
	refuseStrict     = &refusal{codec.ErrInvalidURI, "malformed URI: this realm allows only the characters a-z, 0-9 and _ in components"}
	refuseLength     = &refusal{codec.ErrInvalidURI, "the URI is longer than this router allows"}
	refuseDisclosure = &refusal{codec.ErrOptionDisallowedDiscloseMe, "this realm does not let sessions disclose who they are"}
	refuseReserved   = &refusal{codec.ErrInvalidURI, "URIs that start with wamp. are reserved for the protocol"}
)

// admit decides whether a session may do a with uri, before anything is looked up; nil says yes. Checks in the order of PROTOCOL 3.2, 3.3 and
// 8.2. This is the place between a well-formed URI and its lookup where a session's cached authorization belongs.
func (rm *realm) admit(a action, uri []byte, match codec.Match) *refusal {
	if len(uri) > rm.router.cfg.URIBytesMax {
		return refuseLength
	}
	if !codec.ValidURI(uri, match, rm.cfg.StrictURIs) {
		if rm.cfg.StrictURIs {
			return refuseStrict
		}
		return refuseURI
	}
	if (a == actPublish || a == actRegister && match == codec.Exact) && codec.ReservedURI(uri) {
		return refuseReserved
	}
	return nil
}
