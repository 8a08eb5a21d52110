package realm

import (
	"math"
	"sync"
	"sync/atomic"

	"banyan/realm/history"
	"banyan/realm/index"
)

// A realm is one routing namespace; nothing crosses it.
type realm struct {
	// Fixed at creation.
	uri    string
	router *Router
	// Fixed when the realm becomes known.
	topics     *index.Index[subscription]
	procedures *index.Index[registration]
	retained   atomic.Pointer[history.Retained] // any goroutine; nil until something is retained, then it stays
	recording  atomic.Pointer[recording]        // any goroutine reads; nil: no history. Changed under Router.mu

	// Any goroutine.
	settings   atomic.Pointer[settings] // replaced under Router.mu
	users      userCount
	automatic  atomic.Bool             // made by a template; changed under Router.mu
	asked      atomic.Bool             // it has, or is about to have, an asker or a voice
	authIDs    atomic.Pointer[authIDs] // nil until the settings ask for it; then it stays
	meta       metaStream
	subscribed catalog[subscription]
	registered catalog[registration]
	held       struct{ sessions, subscriptions, registrations, calls holding }

	rolesMu sync.Mutex
	roles   map[string]roleNumber // guarded by rolesMu; numbers for the names of roles, see permit

	sessions []sessionList // sessions[i] is owned by loop i
	askers   []*asker      // askers[i] is owned by loop i; nil until something is asked
}

// newRealm makes a realm that nobody knows yet: see Router.addRealm.
func newRealm(r *Router, cfg *Config, rc RealmConfig) *realm {
	rm := &realm{
		uri: rc.URI, router: r, sessions: make([]sessionList, len(r.perLoop)),
		askers: make([]*asker, len(r.perLoop)), roles: map[string]roleNumber{anonymousRole: 0},
	}
	rm.meta.realm, rm.meta.home = rm, int(r.count.Load())%len(r.perLoop)
	rm.meta.lane = math.MaxUint64 - localLanes.Add(1)
	rm.users.Store(unknown)
	rm.put(newSettings(cfg, rc, 0))
	return rm
}

// configure replaces the settings. Router.mu is held.
func (rm *realm) configure(cfg *Config, rc RealmConfig) {
	old := rm.settings.Load()
	rm.put(newSettings(cfg, rc, (old.epoch+1)&permitEpoch))
	rm.recordHistory(rm.settings.Load())
}

// put publishes settings. Router.mu is held, or the realm is new.
func (rm *realm) put(set *settings) {
	if set.authIDRule().needed() && rm.authIDs.Load() == nil {
		rm.authIDs.Store(newAuthIDs()) // first: whoever reads the settings finds it
	}
	rm.settings.Store(set)
	if r := rm.retained.Load(); r != nil {
		r.SetBounds(set.Retention.EventsMax, set.Retention.BytesMax)
	}
}

// role returns the number of a role. Any goroutine.
func (rm *realm) role(name string) roleNumber {
	if name == anonymousRole {
		return 0 // by far the most, and no lock
	}
	rm.rolesMu.Lock()
	defer rm.rolesMu.Unlock()
	n, known := rm.roles[name]
	switch {
	case known:
	case len(rm.roles) == permitRoles:
		return noNumber // all others share a number that no permit knows
	default:
		n = makeRoleNumber(len(rm.roles))
		rm.roles[name] = n
	}
	return n
}
