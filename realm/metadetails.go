package realm

import (
	"maps"

	"banyan/codec"
	"banyan/engine/port"
)

// wamp.session.modify_details (PROTOCOL 9.1), in realms that allow it.
//
//	the caller's loop   checks the arguments, as far as they say nothing about the session
//	the session's loop  checks the role, publishes the new details, and goes through what the session holds, chunk
//	                    by chunk: what the new role may not hold is taken away, as when a configuration changes
//	the caller's loop   answers
//
// A request that an authorizer decides about at that moment is decided for the session as it was. How many sessions
// may have an authid, and what a user who is removed from the configuration loses, goes by the authid and the role
// that have logged in.

// An alteration is what modify_details has made of a session's details. Immutable after publish.
type alteration struct {
	who     codec.Identity
	details map[string]any // by key; nil for a key that is removed
	bytes   int            // what is charged for it
}

// who returns the identity of s. Any goroutine.
func (s *session) who() *codec.Identity {
	if a := s.altered.Load(); a != nil {
		return &a.who
	}
	return &s.identity
}

var (
	refuseDetails = &refusal{codec.ErrOptionNotAllowed, "the modified details of a session are longer than the " +
		"router allows"}
	refuseNewRole = &refusal{codec.ErrInvalidArgument, "this realm has no role of that name"}
)

func (m *metaCall) sessionModifyDetails(x port.Executor, l *perLoop) {
	_, ok := m.number(0)
	if !ok || len(m.args) != 2 || !isDelta(m.args[1]) {
		m.fail(x, l, refuseArguments)
		return
	}
	delta := m.args[1].(map[string]any)
	s := m.target(0)
	if s == nil {
		m.fail(x, l, refuseNoSession)
		return
	}
	m.wait(x)
	x.Post(s.home, m.session.id, metaJob(func(x port.Executor) {
		if why := s.alter(x, delta); why != nil {
			m.settle(x, why)
			return
		}
		s.reviewAltered(x, func(x port.Executor) { m.settle(x, nil) })
	}))
}

// isDelta reports whether v is what modify_details takes: a dictionary that everybody can be told, which leaves the
// session's id alone, and in which authid and authrole are text.
func isDelta(v any) bool {
	delta, ok := v.(map[string]any)
	if _, found := delta["session"]; !ok || found {
		return false
	}
	for _, name := range []string{"authid", "authrole"} {
		if v := delta[name]; v != nil {
			if text, ok := v.(string); !ok || len(text) > authRoleBytesMax {
				return false
			}
		}
	}
	_, err := codec.AppendValue(nil, codec.JSON, delta)
	return err == nil
}

// alter publishes the details of s with the changes in delta. Home loop.
func (s *session) alter(x port.Executor, delta map[string]any) *refusal {
	if s.left {
		return refuseNoSession
	}
	set := s.realm.settings.Load()
	before := s.altered.Load()
	now := &alteration{who: *s.who(), details: map[string]any{}}
	charged := 0
	if before != nil {
		maps.Copy(now.details, before.details)
		charged = before.bytes
	}
	maps.Copy(now.details, delta)
	for name, to := range map[string]*string{"authid": &now.who.AuthID, "authrole": &now.who.AuthRole} {
		if v, found := delta[name]; found {
			*to, _ = v.(string)
		}
	}
	if role := now.who.AuthRole; role != s.who().AuthRole &&
		(role == trustedRole || set.Policy != nil && set.Policy.Role(role) == nil) {
		return refuseNewRole
	}
	b, err := codec.AppendValue(nil, codec.MessagePack, now.details)
	if err != nil || len(b) > alteredBytesMax {
		return refuseDetails
	}
	now.bytes = len(b) + alteredOverhead
	if !x.Charge(now.bytes - charged) {
		s.realm.router.perLoop[x.Loop()].counters.overBudget.Add(1)
		return refuseMemory
	}
	s.altered.Store(now)
	s.role = s.realm.role(now.who.AuthRole)
	s.conn.SetBacklog(set.backlogOf(now.who.AuthRole))
	if r := s.rights; r != nil {
		r.policy = nil // it is looked up again
		if r.memo != nil {
			x.Stop(&r.memo.timer)
			r.memo.forget()
		}
	}
	return nil
}

// reviewAltered takes away what the role of s may not hold, and then calls done. Home loop.
func (s *session) reviewAltered(x port.Executor, done func(x port.Executor)) {
	set := s.realm.settings.Load()
	if set.Policy == nil || s.trusted || s.lastMember == nil && s.lastCallee == nil {
		done(x)
		return
	}
	if v := s.review; v != nil { // it is under way for another reason: it begins again
		v.member, v.callee = s.lastMember, s.lastCallee
		v.after = append(v.after, done)
		return
	}
	v := &review{session: s, member: s.lastMember, callee: s.lastCallee, after: []func(x port.Executor){done}}
	s.review = v
	x.Post(s.home, s.id, metaWalk(func(x port.Executor, budget int) (more bool) {
		return v.run(x, s.realm.router.perLoop[x.Loop()], max(x.Grant(min(budget, listChunk)), 1))
	}))
}

// apply changes what is told about the session.
func (a *alteration) apply(details map[string]any) {
	if a == nil {
		return
	}
	for name, v := range a.details {
		if v == nil {
			delete(details, name)
		} else {
			details[name] = v
		}
	}
}
