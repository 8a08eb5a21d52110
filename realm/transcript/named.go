package transcript

import "banyan/realm/policy"

// Named is the policy of a script with the option named: everybody may do everything, and what a permission has to
// name is named.
func Named() *policy.Snapshot {
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true, ForceReregister: true}
	snapshot, problems := policy.Compile([]policy.RoleDefinition{{
		Name: "anonymous", Permissions: []policy.Permission{{URI: "*", Allow: all}, {URI: "wamp.*", Allow: all}},
	}}, false)
	if err := problems.Err(); err != nil {
		panic(err)
	}
	return snapshot
}
