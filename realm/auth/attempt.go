package auth

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"banyan/codec"
)

// An Attempt is one client that tries to join a realm. One goroutine at a time may call it.
type Attempt struct {
	// Fixed by Begin.
	realm   *Realm
	hello   Hello
	seed    [sha256.Size]byte // of the claimed authid; mock salts come from it
	claimed *User             // the user of the claimed authid, or a mock; nil without authid
	exists  bool              // claimed is a real user

	// Settled when a method is chosen.
	name     string // of the method
	method   method
	user     *User // the credentials that the answer is compared with
	known    bool  // user is a real one; if not, the attempt ends in a denial whatever the answer is
	provider string
	target   string    // the realm to join
	expires  time.Time // zero for never
	proof    proof     // that was given
	vouched  func() bool
	round    int // challenges of a dynamic ticket authenticator so far

	// Where the attempt stands: at most one is set, none when the attempt is over.
	answer answerFunc
	resume resumeFunc
}

type (
	// An answerFunc judges an AUTHENTICATE.
	answerFunc func(now time.Time, signature string, extra *Extra) Outcome
	// A resumeFunc goes on with what the dynamic authenticator returned.
	resumeFunc func(r *result) Outcome
)

// A method is one way to prove who one is. Methods are immutable and shared by all attempts of a realm.
type method interface {
	// blocked says why the client cannot use the method over this connection and with this HELLO. It does not depend
	// on which principals exist.
	blocked(a *Attempt) obstacle
	// principal returns the user whose credentials the method checks, nil if the client's principal has none. known
	// is false for a mock.
	principal(a *Attempt) (u *User, known bool)
	// mock returns the credentials that principals without any are compared with, nil if the method has no challenge
	// to imitate.
	mock(r *Realm) *User
	// start goes on when user and known are settled.
	start(a *Attempt) Outcome
}

// An obstacle says why a method cannot be used; its zero value says that it can.
type obstacle struct {
	why   string // "" if nothing is in the way
	final bool   // refuse instead of trying the client's next method: that would be a downgrade
}

// Begin starts an attempt with what HELLO said. It chooses the first method of the client's list that the realm
// offers, the transport allows and the principal has credentials for. If there is none, a client whose principal is
// unknown or lacks the credentials gets the mock challenge of its first possible method (PROTOCOL 10.1).
func (r *Realm) Begin(h *Hello) (*Attempt, Outcome) {
	a := &Attempt{realm: r, hello: *h, provider: providerStatic}
	a.hello.Realm = cmp.Or(h.Realm, r.config.Realm)
	a.target = a.hello.Realm
	if r.config.Dynamic == nil {
		a.hello.Extra.Raw = nil // nobody asks for the rest of it
	}
	if len(h.AuthID) > authIDBytesMax {
		return a, refuse(codec.ErrAuthenticationDenied, "the authid is longer than 256 octets")
	}
	if h.AuthID != "" {
		a.claimed, a.exists = r.find(a)
	}
	return a, a.begin()
}

func (a *Attempt) begin() Outcome {
	r := a.realm
	offered := a.hello.Methods
	if len(offered) == 0 {
		offered = []string{methodAnonymous}
	}
	var why []string
	var fallback method
	var fallbackName string
	for _, name := range offered[:min(len(offered), methodsMax)] {
		m := r.methods[name]
		if m == nil || a.hello.Transport.Allowed != nil && !slices.Contains(a.hello.Transport.Allowed, name) {
			continue
		}
		if a.vouched, a.expires = nil, (time.Time{}); name == methodTLS {
			a.vouched, a.expires = a.hello.Transport.Vouched, a.hello.Transport.Until
		}
		if o := m.blocked(a); o.final {
			return refuse(codec.ErrNoMatchingAuthMethod, name+": "+o.why)
		} else if o.why != "" {
			why = append(why, name+": "+o.why)
			continue
		}
		if r.dynamic[name] {
			a.name, a.method, a.provider = name, m, providerDynamic
			return a.startDynamic()
		}
		if u, known := m.principal(a); u != nil {
			return a.start(name, m, u, known)
		}
		if fallback == nil && m.mock(r) != nil {
			fallback, fallbackName = m, name
		}
	}
	if fallback != nil {
		return a.start(fallbackName, fallback, fallback.mock(r), false)
	}
	return a.noMethod(offered, why)
}

// start begins a method whose credentials stand in the realm.
func (a *Attempt) start(name string, m method, u *User, known bool) Outcome {
	if !known && a.realm.config.RevealUnknownPrincipal && !a.realm.takesJWT(name) {
		return refuse(codec.ErrNoSuchPrincipal, name+": this realm knows no such principal with this method")
	}
	a.name, a.method, a.user, a.known = name, m, u, known
	return m.start(a)
}

// noMethod refuses a client of whose methods none is usable.
func (a *Attempt) noMethod(offered, why []string) Outcome {
	uri := codec.ErrNoMatchingAuthMethod
	if !slices.ContainsFunc(offered, func(name string) bool { return name != methodAnonymous }) {
		uri = codec.ErrAuthenticationRequired
	}
	message := "none of the offered authmethods is usable"
	if len(why) > 0 {
		message += ": " + strings.Join(why, "; ")
	}
	var names []string
	for _, name := range a.realm.names {
		if a.hello.Transport.Allowed == nil || slices.Contains(a.hello.Transport.Allowed, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return refuse(uri, message+"; this listener and realm have no method in common")
	}
	return refuse(uri, message+"; this realm offers "+strings.Join(names, ", "))
}

// Answer judges an AUTHENTICATE. now is the time of its arrival; extra is nil if AUTHENTICATE has none (AUTH-52). An
// answer without an open challenge is refused as a violation; each challenge takes one answer.
func (a *Attempt) Answer(now time.Time, signature string, extra *Extra) Outcome {
	answer := a.answer
	a.answer = nil
	if answer == nil {
		return violation("AUTHENTICATE without an open CHALLENGE")
	}
	if len(signature) > signatureBytesMax {
		return deny(a.name)
	}
	if extra == nil {
		extra = &Extra{}
	}
	return answer(now, signature, extra)
}

// challenge opens a challenge.
func (a *Attempt) challenge(extra map[string]any, answer answerFunc) Outcome {
	a.answer = answer
	return Outcome{Kind: Challenge, Method: a.name, Extra: extra}
}

// judge ends the attempt. extra adds to what WELCOME tells. Of the user of a mock, right is never told.
func (a *Attempt) judge(right bool, extra map[string]any) Outcome {
	if !right || !a.known {
		return deny(a.name)
	}
	return a.welcome(extra)
}

// welcome ends the attempt with the principal of a.user.
func (a *Attempt) welcome(extra map[string]any) Outcome {
	p := &Principal{
		Realm: a.target, AuthID: a.user.AuthID, Role: a.user.Role, Method: a.name, Provider: a.provider,
		Expires: a.expires, proof: a.proof, vouched: a.vouched,
	}
	if len(a.user.Extra)+len(extra) > 0 {
		p.Extra = make(map[string]any, len(a.user.Extra)+len(extra))
		maps.Copy(p.Extra, a.user.Extra)
		maps.Copy(p.Extra, extra)
	}
	return Outcome{Kind: Welcome, Principal: p}
}
