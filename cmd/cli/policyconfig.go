package cli

import (
	"fmt"
	"slices"
	"strings"

	"banyan/cmd/config"
	"banyan/realm"
	"banyan/realm/policy"
)

// rolesPolicy is what the roles of a realm may do.
func rolesPolicy(rm *config.Realm) (*policy.Snapshot, error) {
	definitions := make([]policy.RoleDefinition, len(rm.Roles))
	for i := range rm.Roles {
		definitions[i] = roleDefinition(&rm.Roles[i])
	}
	snapshot, problems := policy.Compile(definitions, rm.StrictURIs)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("roles: %s", strings.TrimPrefix(err.Error(), "policy: "))
	}
	return snapshot, nil
}

// roleDefinition is one role. Every permission decides: what it does not allow is refused, and an authorizer is asked
// only where no permission matches.
func roleDefinition(r *config.Role) policy.RoleDefinition {
	d := policy.RoleDefinition{
		Name: r.Name, Dynamic: r.Authorizer != nil, Cache: r.Authorizer != nil && r.Authorizer.Cache > 0,
	}
	for i := range r.Permissions {
		p := &r.Permissions[i]
		d.Permissions = append(d.Permissions, policy.Permission{
			URI: p.URI, Match: p.Match,
			Allow: &policy.Actions{
				Call:      slices.Contains(p.Allow, "call"),
				Register:  slices.Contains(p.Allow, "register"),
				Publish:   slices.Contains(p.Allow, "publish"),
				Subscribe: slices.Contains(p.Allow, "subscribe"),

				ForceReregister: slices.Contains(p.Allow, "force_reregister"),
			},
			Disclose: policy.Disclose{
				Caller:    slices.Contains(p.Disclose, "caller"),
				Publisher: slices.Contains(p.Disclose, "publisher"),
			},
			Trusted: p.TrustLevel >= 0, TrustLevel: max(p.TrustLevel, 0),
		})
	}
	return d
}

// authorizers are the procedures that decide for roles.
func authorizers(rm *config.Realm) map[string]realm.Authorizer {
	all := map[string]realm.Authorizer{}
	for i := range rm.Roles {
		if a := rm.Roles[i].Authorizer; a != nil {
			all[rm.Roles[i].Name] = realm.Authorizer{
				Procedure: a.Procedure, Timeout: a.Timeout, Cache: a.Cache > 0, CacheTime: a.Cache,
			}
		}
	}
	return all
}
