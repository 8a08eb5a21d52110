package policy

// A RoleDefinition says what the sessions of one authrole may do, as an operator writes it (PROTOCOL 11).
type RoleDefinition struct {
	Name        string
	Permissions []Permission // at most PermissionsMax; their order does not matter
	// Dynamic says that this role has a dynamic authorizer, which is asked whenever the permissions decide nothing.
	// Without one the answer is no.
	Dynamic bool
	// Cache says that answers of the authorizer may be kept where no permission matches, unless an answer says
	// otherwise.
	Cache bool
}

// A Permission is one entry of a role. For each URI one entry is chosen, and it alone decides: see Role.Decide.
type Permission struct {
	URI string // or pattern
	// Match is "exact", "prefix" or "wildcard". Empty means exact, or prefix if URI ends with "*", which is cut off.
	Match string
	// Allow lists the actions; one that is not listed is denied. If Allow is nil, the entry decides nothing: the
	// dynamic authorizer of the role is asked, or all actions are denied if there is none.
	Allow *Actions
	// Disclose says which receivers learn who the session is, without a request for that (PROTOCOL 7.5, 8.9).
	Disclose Disclose
	// Cache says that answers of the authorizer for URIs of this entry may be kept, unless an answer says otherwise.
	// It has no effect if Allow is set, because then nobody is asked.
	Cache bool
	// Trusted says that receivers are told the TrustLevel of what is published or called by this entry, 0 being the
	// least trusted, at most TrustLevelMax (PROTOCOL 7.10, 8.10).
	Trusted    bool
	TrustLevel int
}

// Actions is a set of actions.
type Actions struct {
	Call, Register, Publish, Subscribe bool
	// ForceReregister allows REGISTER with force_reregister, which takes the procedure away from all who have it
	// (PROTOCOL 8.14). Without Register it has no effect. An authorizer cannot allow it.
	ForceReregister bool
}

// Disclose says to whom sessions are disclosed.
type Disclose struct {
	Caller    bool // to callees
	Publisher bool // to subscribers
}

// has reports whether the set has a.
func (s *Actions) has(a Action) bool {
	switch a {
	case Publish:
		return s.Publish
	case Subscribe:
		return s.Subscribe
	case Register:
		return s.Register
	default:
		return s.Call
	}
}

// of reports whether a session is disclosed when it does a. Only publishers and callers can be.
func (d Disclose) of(a Action) bool { return a == Publish && d.Publisher || a == Call && d.Caller }
