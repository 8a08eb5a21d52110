package policy

import (
	"bytes"
	"slices"
	"strings"

	"banyan/codec"
)

// A Role holds the compiled permissions of one role. It is immutable; any goroutine.
//
// realm/index is not used: it ranks prefixes before wildcards, cannot list the rules within a pattern, and has locks
// and room for writers, 5 KiB for each role.
type Role struct {
	name      string
	rules     []*rule // by uri, then match
	exact     map[string]*rule
	wildcards node
	prefixes  []*rule // by uri
	unmatched [actionsMany]Decision
	obstacles [actionsMany]obstacles
}

// obstacles are the rules of a role that do not allow an action. Only requests with a pattern look at them.
type obstacles struct {
	ordered   []*rule // exact and prefix, by uri
	wildcards []*rule
}

// newRole takes rules of different (uri, match).
func newRole(def *RoleDefinition, rules []*rule) *Role {
	r := &Role{name: def.Name, rules: rules, exact: make(map[string]*rule)}
	slices.SortFunc(rules, compareRules)
	for a := range r.unmatched {
		r.unmatched[a] = denied
		if def.Dynamic {
			r.unmatched[a] = Decision{Cache: def.Cache}
		}
	}
	for _, rule := range rules {
		switch rule.match {
		case codec.Exact:
			r.exact[rule.uri] = rule
		case codec.Wildcard:
			r.wildcards.put(rule, rule.text, true)
		default:
			if n := len(r.prefixes); n > 0 {
				rule.parent = r.prefixes[n-1].begins(rule.text)
			}
			r.prefixes = append(r.prefixes, rule)
		}
		for _, a := range [...]Action{Subscribe, Register} {
			o := &r.obstacles[a]
			switch {
			case rule.decisions[a].Allow:
			case rule.match == codec.Wildcard:
				o.wildcards = append(o.wildcards, rule)
			default:
				o.ordered = append(o.ordered, rule)
			}
		}
	}
	return r
}

func compareRules(a, b *rule) int {
	if c := strings.Compare(a.uri, b.uri); c != 0 {
		return c
	}
	return int(a.match) - int(b.match)
}

// Name returns the name of the role.
func (r *Role) Name() string { return r.name }

// Decide answers from the permissions of the role whether a session may do a with uri, which has passed the checks of
// form. For Subscribe and Register uri may be a pattern of that match. uri is lent. Any goroutine; it does not block.
//
// The permission that decides about a URI is the exact one; else the best wildcard, by the order of PROTOCOL 3.4;
// else the longest prefix. If there is none, or it does not decide, and the role is Dynamic, the decision is not
// definitive. Otherwise, and for a nil Role, the answer is no. Nobody may publish to a reserved URI or register one
// (PROTOCOL 3.3).
//
// A pattern is decided by the permission that covers it and by all those that decide about a URI which it matches:
// see pattern.go.
//
// hot: BenchmarkDecide, 0 allocs/op.
func (r *Role) Decide(a Action, uri []byte, match codec.Match) Decision {
	if r == nil {
		return denied
	}
	if match != codec.Exact {
		return r.decidePattern(a, uri, match)
	}
	if (a == Publish || a == Register) && codec.ReservedURI(uri) {
		return denied
	}
	return r.decision(a, r.chosen(uri))
}

// decision returns what the chosen rule says about a; nil if none matches.
func (r *Role) decision(a Action, chosen *rule) Decision {
	if chosen == nil {
		return r.unmatched[a]
	}
	return chosen.decisions[a]
}

// chosen returns the rule that decides about uri, or nil.
func (r *Role) chosen(uri []byte) *rule {
	if rule := r.exact[string(uri)]; rule != nil {
		return rule
	}
	return r.chosenPattern(uri)
}

// Names reports whether the rule that decides about a URI in the namespace wamp is one for that namespace, and not
// one that covers it among others. r may be nil.
func (r *Role) Names(uri []byte) bool {
	if r == nil {
		return false
	}
	rule := r.chosen(uri)
	return rule != nil && codec.ReservedURI(rule.text)
}

// Forces reports whether the permission that decides about uri, or covers the pattern, allows force_reregister. r may
// be nil.
func (r *Role) Forces(uri []byte, match codec.Match) bool {
	if r == nil {
		return false
	}
	var room [256]byte
	rule := r.chosen(uri)
	if match != codec.Exact {
		rule = r.cover(room[:0], uri, match)
	}
	return rule != nil && rule.force
}

// chosenPattern is chosen among wildcards and prefixes.
func (r *Role) chosenPattern(uri []byte) *rule {
	if rule := r.wildcards.best(uri, true); rule != nil {
		return rule
	}
	return r.longest(uri)
}

// longest returns the longest prefix rule that uri begins with, or nil. All prefixes between it and uri begin with it
// too, so it is the last one that is not greater than uri, or one of those which that one begins with.
func (r *Role) longest(uri []byte) *rule {
	low, high := 0, len(r.prefixes)
	for low < high {
		middle := int(uint(low+high) >> 1)
		if r.prefixes[middle].uri <= string(uri) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return nil
	}
	return r.prefixes[low-1].begins(uri)
}

// begins returns the longest of r and its parents that uri begins with, or nil.
func (r *rule) begins(uri []byte) *rule {
	for r != nil && !bytes.HasPrefix(uri, r.text) {
		r = r.parent
	}
	return r
}
