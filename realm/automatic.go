package realm

import (
	"strconv"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// A realm that a template makes is automatic: it comes when somebody is welcomed to it, and goes when its last
// session leaves. HELLO alone makes nothing that lasts, so strangers cannot use up RealmsMax (PROTOCOL 4.2):
//
//	HELLO     any loop: finds the realm, or makes one that only this login knows, by the settings of the template
//	welcome   any loop: use counts a user of a realm that is known; one that is not becomes known under Router.mu,
//	          unless another loop has made it meanwhile: then that one is used
//	leave     any loop: release counts down; the last user of an automatic realm takes Router.mu, and if there is
//	          still no other, the realm is unknown for good
//
// The step from no users to unknown is one compare-and-swap under Router.mu, and final: a loop that found the realm
// before does not get in any more, and makes a new one. Configured realms count users too, and stay.

// userCount is how many sessions a realm has, local ones included and askers not; unknown: it is not known yet, or
// any more. Any goroutine.
type userCount struct{ atomic.Int64 }

const unknown = -1

// add counts one more, unless the realm is unknown.
func (u *userCount) add() bool {
	for {
		n := u.Load()
		if n == unknown {
			return false
		}
		if u.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// realm returns the realm of that name; if there is none but a template matches, a realm for use; or nil.
func (r *Router) realm(uri []byte) *realm {
	if rm := r.realms.Find(uri, codec.Exact); rm != nil {
		return rm
	}
	cfg := r.settings.Load()
	if len(cfg.Templates) == 0 || r.count.Load() >= int64(cfg.RealmsMax) {
		return nil
	}
	rc, found := cfg.template(string(uri))
	if !found {
		return nil
	}
	rm := newRealm(r, cfg, rc)
	rm.automatic.Store(true)
	return rm
}

// present returns the realm that stands for rm now: rm itself if it is known, another one of that name if rm is
// automatic; or nil.
func (r *Router) present(rm *realm) *realm {
	if r.realms.Find([]byte(rm.uri), codec.Exact) == rm {
		return rm
	}
	if rm.automatic.Load() {
		return r.realm([]byte(rm.uri))
	}
	return nil
}

// use counts a session that is about to join rm, which becomes known if it was not. It returns the realm to join: rm,
// or the one of that name that came to be known meanwhile, whose settings may be others; or nil.
func (r *Router) use(x port.Executor, rm *realm) *realm {
	x.Step("realm.use")
	if rm.users.add() {
		return rm
	}
	if !rm.automatic.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.named[rm.uri]; known != nil {
		known.users.add() // cannot fail: it is known
		return known
	}
	cfg := r.settings.Load()
	rc, found := cfg.template(rm.uri)
	if !found || len(r.named) >= cfg.RealmsMax {
		return nil
	}
	if rm.topics != nil || rm.settings.Load().limits != cfg { // it was known once, or the configuration has changed
		rm = newRealm(r, cfg, rc)
		rm.automatic.Store(true)
	}
	r.addRealm(rm)
	rm.users.add()
	return rm
}

// useBy is use for a session that may join by these settings. It returns why it may not after all.
func (r *Router) useBy(x port.Executor, rm *realm, set *settings) (*realm, *refusal) {
	used := r.use(x, rm)
	if used == nil {
		return nil, noSuchRealm(rm.uri)
	}
	if used != rm && !used.settings.Load().sameRules(set) {
		used.release(x)
		return nil, refuseChanged
	}
	return used, nil
}

func noSuchRealm(uri string) *refusal {
	return &refusal{codec.ErrNoSuchRealm, "there is no realm " + strconv.Quote(uri) + " on this router"}
}

// release undoes use.
func (rm *realm) release(x port.Executor) {
	x.Step("realm.release")
	if rm.users.Add(-1) > 0 || !rm.automatic.Load() {
		return
	}
	r := rm.router
	if r.forget(rm) && (rm.asked.Load() || rm.retained.Load() != nil) {
		_ = r.sayGoodbye(rm, func() {}) // closes askers and voice; where no loops run, there are none
	}
}

// forget makes an automatic realm unknown if nobody uses it, and reports whether it did.
func (r *Router) forget(rm *realm) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.named[rm.uri] != rm || !rm.automatic.Load() || !rm.users.CompareAndSwap(0, unknown) {
		return false
	}
	r.dropRealm(rm)
	return true
}

// sameRules reports whether a session that may join by the settings old may join by set.
func (set *settings) sameRules(old *settings) bool {
	return set == old || set.Auth == old.Auth && set.Policy == old.Policy && set.Anonymous == old.Anonymous
}
