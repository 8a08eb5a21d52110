package transcript

import "banyan/realm/policy"

// Trusting is the policy of the option trust: everybody may do everything, and what is published or called below
// com.low has the trust level 0, below com.high 7, but not com.high.none.
func Trusting() *policy.Snapshot {
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	snapshot, problems := policy.Compile([]policy.RoleDefinition{{
		Name: "anonymous", Permissions: []policy.Permission{
			{URI: "*", Allow: all},
			{URI: "com.high.none", Allow: all},
			{URI: "com.low.*", Allow: all, Trusted: true},
			{URI: "com.high.*", Allow: all, Trusted: true, TrustLevel: 7},
		},
	}}, false)
	if err := problems.Err(); err != nil {
		panic(err)
	}
	return snapshot
}

// Policy is what the realms of s allow: everything, by names with the option named, and with trust levels with the
// option trust.
func (s *Script) Policy() *policy.Snapshot {
	switch {
	case s.Needs("named"):
		return Named()
	case s.Needs("trust"):
		return Trusting()
	}
	return nil
}
