package realm

import "banyan/engine/port"

// slowTopic is the topic of the meta event about clients that do not read what they are sent. It is ours: the
// specification knows none.
const slowTopic = "wamp.session.x_on_slow"

// Slow implements port.SlowWatcher. The event comes before on_leave if the connection is closed for it.
func (h *handler) Slow(x port.Executor, r port.Slowness) {
	s := h.session
	if s == nil || !s.realm.meta.wanted() {
		return
	}
	s.realm.meta.tell(x, slowTopic, s.id, map[string]any{
		"policy": r.Policy.String(), "slow": r.Slow, "disconnected": r.Closed, "dropped": uint64(r.Dropped),
		"unsent_events": uint64(r.UnsentEvents), "unsent_bytes": uint64(r.UnsentBytes),
	})
}
