package policy

import (
	"fmt"
	"strings"

	"banyan/codec"
)

// roleTrusted is the authrole of sessions of the router itself, which need no permission (PROTOCOL 11).
const roleTrusted = "trusted"

// Compile makes a Snapshot of definitions. It reports all problems at once, and returns a nil Snapshot if one of them
// is more than a warning. strictURIs says that the realm allows strict URIs only (PROTOCOL 3.1). The definitions are
// not kept.
func Compile(definitions []RoleDefinition, strictURIs bool) (*Snapshot, Problems) {
	c := compiler{strict: strictURIs, snapshot: Snapshot{roles: make(map[string]*Role, len(definitions))}}
	if len(definitions) > RolesMax {
		c.role, c.permission = RolesMax, -1
		c.wrong("name", "%d roles: at most %d are possible", len(definitions), RolesMax)
		definitions = definitions[:RolesMax]
	}
	first := map[string]int{}
	for i := range definitions {
		def := &definitions[i]
		c.role, c.permission = i, -1
		switch before, twice := first[def.Name]; {
		case def.Name == "":
			c.wrong("name", "a role needs a name: the authrole of its sessions")
		case def.Name == roleTrusted:
			c.wrong("name", "%q is the role of the router itself, which needs no permission; use another name",
				roleTrusted)
		case twice:
			c.wrong("name", "%q is roles.%d already; put the permissions of both into one", def.Name, before)
		default:
			first[def.Name] = i
		}
		c.compileRole(def)
	}
	if c.failed {
		return nil, c.problems
	}
	return &c.snapshot, c.problems
}

// A compiler is one run of Compile.
type compiler struct {
	strict           bool
	snapshot         Snapshot
	problems         Problems
	failed           bool // a problem is more than a warning
	role, permission int  // what is being compiled
}

func (c *compiler) wrong(field, format string, args ...any) {
	c.failed = true
	c.problems = append(c.problems, Problem{c.role, c.permission, field, fmt.Sprintf(format, args...), false})
}

func (c *compiler) warn(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{c.role, c.permission, field, fmt.Sprintf(format, args...), true})
}

func (c *compiler) compileRole(def *RoleDefinition) {
	permissions := def.Permissions
	if len(permissions) > PermissionsMax {
		c.wrong("permissions", "%d permissions: at most %d are possible", len(permissions), PermissionsMax)
		permissions = permissions[:PermissionsMax]
	}
	if def.Cache && !def.Dynamic {
		c.warn("cache", "has no effect, because the role has no dynamic authorizer whose answers could be kept")
	}
	type identity struct {
		uri   string
		match codec.Match
	}
	first := make(map[identity]int, len(permissions))
	rules := make([]*rule, 0, len(permissions))
	for i := range permissions {
		p := &permissions[i]
		c.permission = i
		uri, match, ok := c.pattern(p)
		if !ok {
			continue
		}
		if before, twice := first[identity{uri, match}]; twice {
			c.wrong("uri", "%q with match %s is permissions.%d already; put both into one", uri, matchNames[match],
				before)
			continue
		}
		if p.Trusted && (p.TrustLevel < 0 || p.TrustLevel > TrustLevelMax) {
			c.wrong("trustlevel", "%d: a trust level is 0 to %d", p.TrustLevel, TrustLevelMax)
			continue
		}
		first[identity{uri, match}] = i
		c.effects(p, uri, match, def.Dynamic)
		rules = append(rules, newRule(p, uri, match, def.Dynamic))
	}
	if !c.failed {
		c.snapshot.roles[def.Name] = newRole(def, rules)
	}
}

var matchNames = [...]string{codec.Exact: "exact", codec.Prefix: "prefix", codec.Wildcard: "wildcard"}

// pattern returns the URI and match of p. ok is false if one of them is wrong.
func (c *compiler) pattern(p *Permission) (uri string, match codec.Match, ok bool) {
	uri = p.URI
	switch p.Match {
	case "":
		if plain, found := strings.CutSuffix(uri, "*"); found {
			uri, match = plain, codec.Prefix
		}
	case "exact":
	case "prefix":
		match = codec.Prefix
	case "wildcard":
		match = codec.Wildcard
	default:
		c.wrong("match", "%q is not one of exact, prefix, wildcard", p.Match)
		return uri, match, false
	}
	switch text := []byte(uri); {
	case uri == "" && match == codec.Exact:
		c.wrong("uri", "an empty URI matches nothing; add match: prefix if the permission is for all URIs")
		return uri, match, false
	case !codec.ValidURI(text, match, false):
		c.wrong("uri", "%q is no URI for match %s: components are separated by dots, without white space or #%s", uri,
			matchNames[match], emptyHint[match])
		return uri, match, false
	case c.strict && !codec.ValidURI(text, match, true):
		c.wrong("uri", "%q cannot occur in this realm, whose URIs are strict: components consist of a-z, 0-9 and _",
			uri)
		return uri, match, false
	}
	if p.Match != "" && strings.HasSuffix(uri, "*") {
		c.warn("uri", "with match %s the * is an ordinary character; write %q with match prefix if it is to stand "+
			"for anything", p.Match, strings.TrimSuffix(uri, "*"))
	}
	return uri, match, true
}

// emptyHint says where components may be empty.
var emptyHint = [...]string{
	codec.Exact:    ", and none is empty (match wildcard allows that)",
	codec.Prefix:   ", and only the last may be empty",
	codec.Wildcard: "",
}

// effects warns of what p says in vain.
func (c *compiler) effects(p *Permission, uri string, match codec.Match, dynamic bool) {
	if p.Cache && (p.Allow != nil || !dynamic) {
		why := "the permission decides itself"
		if !dynamic {
			why = "the role has no dynamic authorizer"
		}
		c.warn("cache", "has no effect, because %s: there is no answer to keep", why)
	}
	allow := p.Allow
	if allow == nil {
		if dynamic {
			return
		}
		allow = &Actions{}
	}
	if p.Disclose.Caller && !allow.Call {
		c.warn("disclose", "caller has no effect, because the permission does not allow call")
	}
	if p.Disclose.Publisher && !allow.Publish {
		c.warn("disclose", "publisher has no effect, because the permission does not allow publish")
	}
	if p.Trusted && !allow.Publish && !allow.Call {
		c.warn("trustlevel", "has no effect, because the permission allows neither publish nor call")
	}
	if allow.ForceReregister && !allow.Register {
		c.warn("allow", "force_reregister has no effect, because the permission does not allow register")
	}
	if !reserved(uri, match) {
		return
	}
	if allow.Publish {
		c.warn("allow", "publish has no effect: nobody may publish to reserved URIs, those that start with wamp.")
	}
	if allow.Register {
		c.warn("allow", "register has no effect: no client is called for reserved URIs, those that start with wamp.")
	}
}

// reserved reports whether all URIs that a rule matches are reserved (PROTOCOL 3.3).
func reserved(uri string, match codec.Match) bool {
	if match == codec.Prefix {
		return strings.HasPrefix(uri, "wamp.")
	}
	return codec.ReservedURI([]byte(uri))
}
