package policy

import (
	"fmt"
	"strings"
)

// A Problem is one mistake in definitions. It says where, so that a reader of a file can point at the place.
type Problem struct {
	Role       int    // index of the role
	Permission int    // index of the permission in it, or -1 for the role itself
	Field      string // name, permissions, uri, match, allow, disclose, cache
	Message    string // what is wrong and what to do
	Warning    bool   // the definitions can be used; what is named has no effect or probably another one than meant
}

func (p Problem) String() string {
	where := fmt.Sprintf("roles.%d.", p.Role)
	if p.Permission >= 0 {
		where += fmt.Sprintf("permissions.%d.", p.Permission)
	}
	return where + p.Field + ": " + p.Message
}

// Problems are all that was found, in the order of the definitions.
type Problems []Problem

// Err returns an error that lists all problems but the warnings, or nil if there are none.
func (ps Problems) Err() error {
	var wrong []string
	for _, p := range ps {
		if !p.Warning {
			wrong = append(wrong, p.String())
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("policy: %s", strings.Join(wrong, "\n"))
}
