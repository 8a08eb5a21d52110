package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// REGISTER with force_reregister (PROTOCOL 8.14): the procedure is taken away from all who have registered it.
//
//	receiveRegister   under the index's mutex the new registration takes the place of the old one: from then on
//	                  callers find the new one
//	displace          a session that had the old one itself gives it back before REGISTERED
//	displacing        each loop tells the others, chunk by chunk; what was called before goes on
//
// The permission for that stands in the policy: without a policy nobody has it.

var refuseForce = &refusal{codec.ErrOptionNotAllowed, "force_reregister: this session has no permission to take " +
	"the procedure away from those who have it"}

// mayForce reports whether s may take a procedure away from others.
func (s *session) mayForce(set *settings, uri []byte, match codec.Match) bool {
	return s.trusted || set.Policy != nil && set.Policy.Role(s.who().AuthRole).Forces(uri, match)
}

// displace takes old, which is not in the index any more, away from its callees.
func (s *session) displace(x port.Executor, l *perLoop, old *registration) {
	if c := s.registrations[old.id]; c != nil {
		s.revokeRegistration(x, l, c, codec.ErrUnregistered)
	}
	callees := old.callees.all()
	x.Work(len(callees) >> visitShift)
	perLoop := make([][]*callee, x.Loops())
	for _, c := range callees {
		home := c.session.home
		perLoop[home] = append(perLoop[home], c)
	}
	for home, callees := range perLoop {
		if len(callees) > 0 {
			x.Post(home, s.id, &displacing{callees})
		}
	}
}

// A displacing is the callees of one loop that are still to be told.
type displacing struct{ callees []*callee }

// Run tells some of them. Those who have left, or have given it back, are passed by.
func (j *displacing) Run(x port.Executor, budget int) (more bool) {
	for ; budget > 0 && len(j.callees) > 0; budget-- {
		c := j.callees[0]
		j.callees = j.callees[1:]
		s := c.session
		if s.registrations[c.reg.id] == c {
			s.revokeRegistration(x, s.realm.router.perLoop[x.Loop()], c, codec.ErrUnregistered)
			budget -= componentWork(c.reg.uri, c.reg.match)
		}
	}
	return len(j.callees) > 0
}
