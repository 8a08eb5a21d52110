package policy

import "banyan/codec"

// A rule is one permission, compiled. Immutable.
type rule struct {
	uri       string // or pattern, without the trailing * of the definition
	text      []byte // the same
	match     codec.Match
	decisions [actionsMany]Decision // if this rule is the chosen one
	force     bool                  // it allows force_reregister
	parent    *rule                 // of a prefix: the longest other prefix that it begins with, or nil
}

// newRule compiles p, whose URI and match have been made plain. It leaves out what has no effect, so that rules which
// decide alike are equal.
func newRule(p *Permission, uri string, match codec.Match, dynamic bool) *rule {
	r := &rule{uri: uri, text: []byte(uri), match: match}
	r.force = p.Allow != nil && p.Allow.Register && p.Allow.ForceReregister
	for a := range Action(actionsMany) {
		trust := p.trust(a)
		switch {
		case p.Allow != nil && p.Allow.has(a):
			r.decisions[a] = Decision{
				Allow: true, Disclose: p.Disclose.of(a), Cache: true, Trust: trust, Definitive: true,
			}
		case p.Allow == nil && dynamic:
			r.decisions[a] = Decision{Disclose: p.Disclose.of(a), Cache: p.Cache, Trust: trust}
		default:
			r.decisions[a] = denied
		}
	}
	return r
}

// trust is Decision.Trust where the permission allows a. Only publications and calls have a trust level.
func (p *Permission) trust(a Action) uint32 {
	if !p.Trusted || a != Publish && a != Call {
		return 0
	}
	return uint32(p.TrustLevel) + 1
}

// A node holds wildcard rules by component: a level of nodes for each. Immutable once compiled.
type node struct {
	literal map[string]*node
	star    *node // any component
	rule    *rule // the rule that ends here, or nil
}

// put adds a rule whose components from rest on are below n. more is false if there are none.
func (n *node) put(r *rule, rest []byte, more bool) {
	if !more {
		n.rule = r
		return
	}
	component, rest, more := cutComponent(rest)
	if len(component) == 0 {
		if n.star == nil {
			n.star = new(node)
		}
		n.star.put(r, rest, more)
		return
	}
	next := n.literal[string(component)]
	if next == nil {
		next = new(node)
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		n.literal[string(component)] = next
	}
	next.put(r, rest, more)
}

// best returns the best rule that matches, in the order of PROTOCOL 3.4: at the first component where one rule has a
// literal and another a wildcard, the literal wins. It visits each node at most once.
func (n *node) best(rest []byte, more bool) *rule {
	if !more {
		return n.rule
	}
	component, rest, more := cutComponent(rest)
	if next := n.literal[string(component)]; next != nil {
		if r := next.best(rest, more); r != nil {
			return r
		}
	}
	if n.star != nil {
		return n.star.best(rest, more)
	}
	return nil
}
