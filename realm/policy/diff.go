package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"banyan/codec"
)

// A Change is one difference between two snapshots, as a report of a reload names it.
type Change struct {
	Role  string
	Rule  bool // it is about a permission; otherwise about the role itself
	URI   string
	Match codec.Match
	// Before and After say what holds, "" if there is no such role or permission: "allows call, publish".
	Before, After string
}

func (c Change) String() string {
	text := fmt.Sprintf("role %q", c.Role)
	if c.Rule {
		text += fmt.Sprintf(": %q (%s)", c.URI, matchNames[c.Match])
	}
	switch {
	case c.Before == "":
		return text + " added: " + c.After
	case c.After == "":
		return text + " removed: " + c.Before
	}
	return text + " changed: " + c.Before + " → " + c.After
}

// Diff returns what after does otherwise than before, by role, URI and match; nil for none. Definitions that differ
// without effect are equal. Either may be nil, which is a snapshot without roles.
func Diff(before, after *Snapshot) []Change {
	var none Snapshot
	if before == nil {
		before = &none
	}
	if after == nil {
		after = &none
	}
	names := slices.Collect(maps.Keys(before.roles))
	for name := range after.roles {
		if before.roles[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var changes []Change
	for _, name := range names {
		changes = append(changes, DiffRole(before.roles[name], after.roles[name])...)
	}
	return changes
}

// DiffRole is Diff for one role. Either may be nil: there is no such role. A role that comes or goes is one change,
// without its permissions.
func DiffRole(before, after *Role) []Change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return []Change{{Role: after.name, After: after.summary()}}
	case after == nil:
		return []Change{{Role: before.name, Before: before.summary()}}
	}
	var changes []Change
	if b, a := before.describe(), after.describe(); b != a {
		changes = append(changes, Change{Role: before.name, Before: b, After: a})
	}
	b, a := before.rules, after.rules
	for len(b) > 0 || len(a) > 0 {
		c := Change{Role: before.name, Rule: true}
		order := 0
		switch {
		case len(b) == 0:
			order = 1
		case len(a) == 0:
			order = -1
		default:
			order = compareRules(b[0], a[0])
		}
		if order <= 0 {
			c.URI, c.Match, c.Before = b[0].uri, b[0].match, b[0].describe()
			b = b[1:]
		}
		if order >= 0 {
			c.URI, c.Match, c.After = a[0].uri, a[0].match, a[0].describe()
			a = a[1:]
		}
		if c.Before != c.After {
			changes = append(changes, c)
		}
	}
	return changes
}

// summary tells what a role that came or went has.
func (r *Role) summary() string { return fmt.Sprintf("%d permissions, %s", len(r.rules), r.describe()) }

// describe says what holds for URIs without a permission.
func (r *Role) describe() string {
	switch {
	case r.unmatched[Call].Definitive:
		return "no authorizer"
	case r.unmatched[Call].Cache:
		return "with authorizer, answers may be kept"
	}
	return "with authorizer"
}

// describe says what the rule decides. Rules of one URI and match that decide alike are described alike.
func (r *rule) describe() string {
	if d := r.decisions[Call]; !d.Definitive {
		text := "asks the authorizer"
		if d.Cache {
			text += ", answers may be kept"
		}
		return text + r.disclosed()
	}
	var allowed []string
	for a, d := range r.decisions {
		if d.Allow {
			allowed = append(allowed, Action(a).String())
		}
	}
	if r.force {
		allowed = append(allowed, "force_reregister")
	}
	if allowed == nil {
		return "denies all"
	}
	return "allows " + strings.Join(allowed, ", ") + r.disclosed()
}

func (r *rule) disclosed() (text string) {
	if r.decisions[Call].Disclose {
		text += ", discloses callers"
	}
	if r.decisions[Publish].Disclose {
		text += ", discloses publishers"
	}
	if trust := max(r.decisions[Call].Trust, r.decisions[Publish].Trust); trust > 0 {
		text += fmt.Sprintf(", trust level %d", trust-1)
	}
	return text
}
