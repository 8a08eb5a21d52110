package realm

import (
	"sync"
	"sync/atomic"

	"banyan/realm/index"
)

// A realm is one routing namespace; nothing crosses it.
type realm struct {
	// Fixed at creation.
	uri       string
	router    *Router
	automatic bool // made by a template

	// Any goroutine.
	settings   atomic.Pointer[settings] // replaced under Router.mu
	topics     index.Index[subscription]
	procedures index.Index[registration]

	rolesMu sync.Mutex
	roles   map[string]uint16 // guarded by rolesMu; small numbers for the names of roles, see permit

	sessions []sessionList // sessions[i] is owned by loop i
}

// newRealm makes a realm. Router.mu is held, or the router is new.
func newRealm(r *Router, cfg *Config, rc RealmConfig) *realm {
	rm := &realm{
		uri: rc.URI, router: r, sessions: make([]sessionList, len(r.perLoop)),
		roles: map[string]uint16{anonymousRole: 0},
	}
	rm.settings.Store(&settings{RealmConfig: rc, limits: cfg})
	return rm
}

// configure replaces the settings. Router.mu is held.
func (rm *realm) configure(cfg *Config, rc RealmConfig) {
	old := rm.settings.Load()
	rm.settings.Store(&settings{RealmConfig: rc, limits: cfg, epoch: (old.epoch + 1) & permitEpoch})
}

// role returns the number of a role. Any goroutine.
func (rm *realm) role(name string) uint16 {
	if name == anonymousRole {
		return 0 // by far the most, and no lock
	}
	rm.rolesMu.Lock()
	defer rm.rolesMu.Unlock()
	n, known := rm.roles[name]
	switch {
	case known:
	case len(rm.roles) == permitRoles:
		return permitRoles // all others share a number that no permit knows
	default:
		n = uint16(len(rm.roles))
		rm.roles[name] = n
	}
	return n
}
