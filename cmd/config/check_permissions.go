//go:build linux

package config

import (
	"fmt"
	"slices"
	"strings"

	"banyan/codec"
)

// A rule is a permission as it is meant: without match, a * at the end makes it a prefix (PROTOCOL 11).
type rule struct {
	uri   string
	match codec.Match
	*Permission
	at int
}

// Meant is the URI and the policy that a permission stands for.
func (p *Permission) Meant() (uri string, match codec.Match) {
	if p.Match == "" && strings.HasSuffix(p.URI, "*") {
		return strings.TrimSuffix(p.URI, "*"), codec.Prefix
	}
	return p.URI, Policies[p.Match]
}

// Everything reports whether a role may do everything with every URI, as in the built-in configuration.
func (rm *Realm) Everything(role string) bool {
	for i := range rm.Roles {
		r := &rm.Roles[i]
		if r.Name != role || r.Authorizer != nil || len(r.Permissions) != 1 {
			continue
		}
		p := &r.Permissions[0]
		uri, match := p.Meant()
		return uri == "" && match == codec.Prefix && len(p.Allow) == 4 && len(p.Disclose) == 0 &&
			p.TrustLevel < 0
	}
	return false
}

// matches reports whether a rule is about a URI.
func (r *rule) matches(uri string) bool {
	switch r.match {
	case codec.Exact:
		return r.uri == uri
	case codec.Prefix:
		return strings.HasPrefix(uri, r.uri)
	}
	mine, theirs := strings.Split(r.uri, "."), strings.Split(uri, ".")
	if len(mine) != len(theirs) {
		return false
	}
	for i := range mine {
		if mine[i] != "" && mine[i] != theirs[i] {
			return false
		}
	}
	return true
}

// beats reports whether a rule decides before another that matches as well: exact, then wildcard, then the longest
// prefix; of wildcards the one that has a literal first where they differ (PROTOCOL 11, 3.4).
func (r *rule) beats(s *rule) bool {
	switch {
	case r.match != s.match:
		return r.match == codec.Exact || s.match == codec.Prefix
	case r.match == codec.Prefix:
		return len(r.uri) > len(s.uri)
	}
	mine, theirs := strings.Split(r.uri, "."), strings.Split(s.uri, ".")
	for i := range min(len(mine), len(theirs)) {
		if (mine[i] == "") != (theirs[i] == "") {
			return mine[i] != ""
		}
	}
	return false
}

// same reports whether two rules decide the same.
func (r *rule) same(s *rule) bool {
	set := func(words []string) string { w := slices.Clone(words); slices.Sort(w); return strings.Join(w, " ") }
	return set(r.Allow) == set(s.Allow) && set(r.Disclose) == set(s.Disclose) && r.TrustLevel == s.TrustLevel
}

// decides finds the rule for a URI among the rules, except one; nil is none.
func decides(rules []rule, uri string, except int) *rule {
	var best *rule
	for i := range rules {
		if i != except && rules[i].matches(uri) && (best == nil || rules[i].beats(best)) {
			best = &rules[i]
		}
	}
	return best
}

// may reports whether a role may do something with one URI.
func (r *Role) may(action, uri string) bool {
	rules := make([]rule, len(r.Permissions))
	for i := range r.Permissions {
		rules[i] = newRule(r, i)
	}
	d := decides(rules, uri, -1)
	return d != nil && slices.Contains(d.Allow, action)
}

func newRule(r *Role, i int) rule {
	uri, match := r.Permissions[i].Meant()
	return rule{uri: uri, match: match, Permission: &r.Permissions[i], at: i}
}

// permissions checks what a role may do.
func (c *checker) permissions(path string, rm *Realm, r *Role) {
	var rules []rule
	seen := map[string]int{}
	for i := range r.Permissions {
		p, at := newRule(r, i), fmt.Sprintf("%s.permissions.%d", path, i)
		if !c.permissionURI(at, rm, &p) {
			continue
		}
		key := fmt.Sprint(p.match, " ", p.uri)
		if j, ok := seen[key]; ok {
			c.bad(at, fmt.Sprintf("permissions.%d is about %s with the same match%s", j, quote(p.uri),
				c.line(fmt.Sprintf("%s.permissions.%d", path, j))), "join them, or remove one")
			continue
		}
		seen[key] = i
		c.reserved(at, &p)
		if p.TrustLevel >= 0 && !slices.Contains(p.Allow, "publish") && !slices.Contains(p.Allow, "call") {
			c.warn(at+".trustlevel", "it changes nothing: the entry allows neither publish nor call",
				"remove it, or say that it allows one of them")
		}
		rules = append(rules, p)
	}
	if len(rules) > overlapsMax {
		return
	}
	for i := range rules {
		c.effect(path, rules, i, r.Authorizer != nil)
	}
}

// permissionURI refuses a URI that is malformed, or that no request of this realm can have.
func (c *checker) permissionURI(at string, rm *Realm, p *rule) bool {
	at += ".uri"
	switch {
	case !codec.ValidURI([]byte(p.uri), p.match, false):
		what := map[codec.Match]string{
			codec.Exact: "URI", codec.Prefix: "prefix of URIs", codec.Wildcard: "wildcard pattern",
		}[p.match]
		hint := ""
		if p.uri == "" {
			hint = "write match: prefix for everything"
		} else if p.match == codec.Exact && codec.ValidURI([]byte(p.uri), codec.Prefix, false) {
			hint = "did you mean match: prefix?"
		} else if p.match == codec.Exact && codec.ValidURI([]byte(p.uri), codec.Wildcard, false) {
			hint = "did you mean match: wildcard?"
		}
		c.bad(at, fmt.Sprintf("%s is no %s: a URI is %s", quote(p.uri), what, uriRule), hint)
		return false
	case rm.StrictURIs && !codec.ValidURI([]byte(p.uri), p.match, true):
		c.bad(at, fmt.Sprintf("no request can match %s: this realm has strict_uris, which allows a-z, 0-9 and _ only",
			quote(p.uri)), "")
		return false
	case len(p.uri) > c.cfg.Limits.URIBytesMax:
		c.bad(at, "no request can match it: it is longer than limits.uri_bytes_max", "")
		return false
	case strings.Contains(p.uri, "*"):
		hint := "did you mean match: prefix and " + quote(strings.TrimSuffix(p.uri, "*")) + "?"
		if !strings.HasSuffix(p.uri, "*") {
			hint = "a wildcard is an empty component, as in com..name, with match: wildcard"
		}
		c.warn(at, fmt.Sprintf("the * in %s stands for itself", quote(p.uri)), hint)
	}
	return true
}

// reserved refuses grants of what nobody may do: publish and register within wamp.
func (c *checker) reserved(at string, p *rule) {
	if p.match == codec.Wildcard && !strings.HasPrefix(p.uri, "wamp.") || p.match != codec.Wildcard &&
		!codec.ReservedURI([]byte(p.uri)) {
		return
	}
	for i, a := range p.Allow {
		if a == "publish" || a == "register" {
			c.bad(fmt.Sprintf("%s.allow.%d", at, i), fmt.Sprintf("nobody but the router may %s within wamp.", a),
				"remove it")
		}
	}
}

// effect warns of a rule without effect, and of a wildcard that decides where a prefix seems to.
func (c *checker) effect(path string, rules []rule, i int, asks bool) {
	p := &rules[i]
	at := fmt.Sprintf("%s.permissions.%d", path, p.at)
	switch p.match {
	case codec.Exact:
		c.useless(at, p, decides(rules, p.uri, i), asks)
	case codec.Prefix:
		// What decides for its URIs without it, wildcards aside: the next shorter prefix. Longer prefixes and the
		// others decide before it in any case.
		var next *rule
		for j := range rules {
			s := &rules[j]
			if j != i && s.match == codec.Prefix && strings.HasPrefix(p.uri, s.uri) && (next == nil ||
				s.beats(next)) {
				next = s
			}
		}
		c.useless(at, p, next, asks)
	case codec.Wildcard:
		for j := range rules {
			s := &rules[j]
			if s.match == codec.Prefix && !p.same(s) && len(s.uri) > literal(p.uri) {
				if uri, ok := overlap(p.uri, s.uri); ok {
					c.warn(at, fmt.Sprintf("for %s both this and permissions.%d, the prefix %s, match, "+
						"and the wildcard decides", quote(uri), s.at, quote(s.uri)),
						"add an exact entry, or make them allow the same")
					return
				}
			}
		}
	}
}

// useless warns if a rule decides as would be decided without it.
func (c *checker) useless(at string, p, next *rule, asks bool) {
	switch {
	case next != nil && p.same(next):
		c.warn(at, fmt.Sprintf("it changes nothing: permissions.%d, about %s, says the same", next.at,
			quote(next.uri)),
			"remove it")
	case next == nil && !asks && len(p.Allow) == 0 && p.match != codec.Wildcard:
		c.warn(at, "it changes nothing: what no entry allows is refused", "say what it allows, or remove it")
	}
}

// literal is how long a wildcard pattern is literal.
func literal(pattern string) int {
	if i := strings.Index(pattern, ".."); i >= 0 {
		return i + 1
	}
	if strings.HasPrefix(pattern, ".") {
		return 0
	}
	return len(pattern)
}

// overlap finds a URI that a wildcard pattern and a prefix both match.
func overlap(pattern, prefix string) (uri string, ok bool) {
	parts, starts := strings.Split(pattern, "."), strings.Split(prefix, ".")
	if len(starts) > len(parts) {
		return "", false
	}
	for i := range parts {
		last := i == len(starts)-1
		switch {
		case i >= len(starts):
			if parts[i] == "" {
				parts[i] = "x"
			}
		case parts[i] == "" && last:
			parts[i] = starts[i] + "x"
		case parts[i] == "":
			parts[i] = starts[i]
		case last && !strings.HasPrefix(parts[i], starts[i]), !last && parts[i] != starts[i]:
			return "", false
		}
	}
	return strings.Join(parts, "."), true
}
