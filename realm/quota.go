package realm

import (
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// The quotas of a realm cover all its sessions except local ones. Each figure is exact: a request that would go
// beyond a quota changes nothing.

// A holding is one figure of a realm. Any goroutine.
type holding struct{ atomic.Int64 }

// take counts one more, unless there are most already; 0 is no limit.
func (h *holding) take(most int) bool {
	if most <= 0 {
		h.Add(1)
		return true
	}
	for {
		n := h.Load()
		if n >= int64(most) {
			return false
		}
		if h.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

var (
	refuseSessionsQuota      = overQuota("sessions")
	refuseSubscriptionsQuota = overQuota("subscriptions")
	refuseRegistrationsQuota = overQuota("registrations")
	refuseCallsQuota         = overQuota("open calls")
)

func overQuota(what string) *refusal {
	return &refusal{codec.ErrOptionNotAllowed, "there are as many " + what + " in this realm as its quota allows"}
}

// enter counts s among the sessions of its realm and makes its authid known. It returns why s may not join.
func (s *session) enter(x port.Executor, set *settings) *refusal {
	rm := s.realm
	if !rm.held.sessions.take(set.Quotas.SessionsMax) {
		rm.router.perLoop[x.Loop()].counters.overQuota.Add(1)
		return refuseSessionsQuota
	}
	rule := set.authIDRule()
	if !rule.needed() {
		return nil
	}
	older, why := rm.authIDs.Load().enter(x, s, rule)
	if why != nil {
		rm.held.sessions.Add(-1)
		rm.router.perLoop[x.Loop()].counters.overQuota.Add(1)
		return why
	}
	s.replace(x, older)
	return nil
}

// quit undoes enter and use. The session is told nothing more; what it holds may still be given back.
func (s *session) quit(x port.Executor) {
	defer s.realm.release(x)
	if s.local {
		return
	}
	s.realm.held.sessions.Add(-1)
	if a := s.realm.authIDs.Load(); a != nil {
		a.leave(x, s)
	}
}

// takeSubscription counts one more subscription of the realm.
func (s *session) takeSubscription(l *perLoop) *refusal {
	if s.local || s.realm.held.subscriptions.take(l.set.Quotas.SubscriptionsMax) {
		return nil
	}
	l.counters.overQuota.Add(1)
	return refuseSubscriptionsQuota
}

// takeRegistration counts one more registration of the realm.
func (s *session) takeRegistration(l *perLoop) *refusal {
	if s.local || s.realm.held.registrations.take(l.set.Quotas.RegistrationsMax) {
		return nil
	}
	l.counters.overQuota.Add(1)
	return refuseRegistrationsQuota
}

// dropSubscription and dropRegistration undo takeSubscription and takeRegistration.
func (s *session) dropSubscription() {
	if !s.local {
		s.realm.held.subscriptions.Add(-1)
	}
}

func (s *session) dropRegistration() {
	if !s.local {
		s.realm.held.registrations.Add(-1)
	}
}
