package realm

import (
	"slices"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// Details that are modified, and trust levels, in TestSimulate: META-44, PUB-30, RPC-80. Guests give each other
// another role and back. That one may do the same, but for subscribing to and registering the URI b, or a pattern
// that matches it, and its messages have another trust level. What a client does meanwhile may be of either.

// simOther is the role that guests are given.
const simOther = "other"

// A simModify is one change of a role that is not answered.
type simModify struct {
	to   *simClient
	role string // "": other details
}

// modify makes the call.
func (c *simClient) modify(call *simCall) (args []any) {
	s := c.sim
	rand := s.w.Rand
	to := s.clients[rand(len(s.clients))]
	if to.state != simJoined || to.authid != "" || to.local() {
		return nil
	}
	call.modify = &simModify{to: to}
	delta := map[string]any{"nick": int64(rand(10))}
	if rand(4) > 0 {
		role := []string{"guest", simOther}[rand(2)]
		call.modify.role, delta["authrole"] = role, role
		to.changes++
		to.roles = append(to.roles, role)
		to.everRoles = append(to.everRoles, role)
	}
	return []any{int64(to.session), delta}
}

// modified notes that a change was answered.
func (c *simClient) modified(m *simModify, uri string) {
	s := c.sim
	if uri == "" && m.role == "" {
		return
	}
	if uri == "" {
		m.to.changed = append(m.to.changed, m.role)
		return
	}
	gone := m.to.state != simJoined || !slices.Contains(s.clients, m.to)
	if uri != codec.ErrCanceled && (uri != codec.ErrNoSuchSession || !gone) {
		s.fail("client %d modifies client %d: %s", c.number, m.to.number, uri)
	}
}

func (c *simClient) local() bool {
	_, local := c.conn.(*simLocal)
	return local
}

// firstRole is the role that c has when it joins.
func (c *simClient) firstRole() string {
	switch {
	case c.local():
		return trustedRole
	case c.authid != "":
		return "user"
	case c.sim.rules != nil:
		return "guest"
	}
	return anonymousRole
}

// identities are those that c may have had since everything was at rest.
func (c *simClient) identities() (all []simIdentity) {
	for _, role := range c.roles {
		if i := (simIdentity{c.authid, role}); !slices.Contains(all, i) {
			all = append(all, i)
		}
	}
	return all
}

// admitted reports whether lists surely admit c, and whether they perhaps do.
func (c *simClient) admitted(l simLists) (always, perhaps bool) {
	always = true
	for _, who := range c.identities() {
		ok := l.admit(who)
		always, perhaps = always && ok, perhaps || ok
	}
	return always, perhaps
}

// mayLose reports whether subscriptions and registrations of a URI may be taken away from c, or refused.
func (c *simClient) mayLose(uri string, match codec.Match) bool {
	return realmtest.Matches(uri, match, simDenied) && slices.Contains(c.roles, simOther)
}

// checkRoles checks, when everything is at rest, that every session has the role that it was given last.
func (s *sim) checkRoles() {
	for _, c := range s.clients {
		session := s.router.directory.find(c.session)
		if c.state != simJoined || session == nil {
			continue
		}
		role := session.who().AuthRole
		if !slices.Contains(c.roles, role) {
			s.fail("client %d has the role %q, of %q", c.number, role, c.roles)
		}
		if c.changes == 1 && len(c.changed) == 1 && role != c.changed[0] {
			s.fail("client %d has the role %q, and was given %q", c.number, role, c.changed[0])
		}
		c.roles, c.changes, c.changed = []string{role}, 0, nil
		for _, sub := range c.subs {
			if role == simOther && realmtest.Matches(sub.topic, sub.match, simDenied) {
				s.fail("client %d is subscribed to %q with the role %q", c.number, sub.topic, role)
			}
		}
	}
}

// levelOf is the trust level of what a role sends; -1: none.
func (s *sim) levelOf(role string) int64 {
	if s.rules == nil || role == trustedRole {
		return -1
	}
	return s.rules.levels[role]
}

// trusts checks the trust level of a publication: it is that of a role that the publisher had, and always the same.
func (c *simClient) trusts(p *publication, level int64, trusted bool) {
	if !trusted {
		level = -1
	}
	if p.trust == 0 && !c.sim.mayBeTrusted(p.by, level) || p.trust != 0 && p.trust != level+2 {
		c.sim.fail("client %d: a publication of client %d has the trust level %d, and had %d", c.number, p.by.number,
			level, p.trust-2)
	}
	p.trust = level + 2
}

// mayBeTrusted reports whether messages of a client may have that trust level.
func (s *sim) mayBeTrusted(by *simClient, level int64) bool {
	return slices.ContainsFunc(by.everRoles, func(role string) bool { return s.levelOf(role) == level })
}
