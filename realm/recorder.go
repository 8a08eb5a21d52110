package realm

import (
	"context"
	"math"
	"slices"
	"time"

	"banyan/codec"
	"banyan/realm/history"
	"banyan/realm/index"
)

// Event history (PROTOCOL 7.8) is kept of topics and patterns that the configuration names. Each has a recorder,
// whose subscription is held by the router: it is there without subscribers, and keeps its id (subscription.go).
//
//	configuration   under Router.mu: recordHistory makes, keeps and ends recorders, and publishes them as a whole;
//	                after it, where loops do not wait: trim drops what is beyond bounds that have become smaller
//	PUBLISH         publisher's loop: the recorders of a topic are looked up, and the event is put into their logs
//	                before its subscribers are looked up (keep.go)
//	get_events      metahistory.go
//
// The events of realms that templates make are in memory: others could fill a disk with realms.

// A recorder keeps the history of one topic or pattern. Immutable.
type recorder struct {
	key    history.Key
	sub    *subscription
	store  history.Store
	log    history.Log
	onDisk bool
	stored bool // PUBLISHED says that the event is on the disk
}

// A recording is all recorders of a realm, at least one. Immutable after publish.
type recording struct {
	index index.Index[recorder]
	all   []*recorder
}

// of appends the recorders of a topic to dst. Topics in the namespace wamp have none.
func (rc *recording) of(dst []*recorder, topic []byte) []*recorder {
	if codec.ReservedURI(topic) {
		return dst
	}
	if r := rc.index.Find(topic, codec.Exact); r != nil {
		dst = append(dst, r)
	}
	dst, _, _ = rc.index.Patterns(dst, topic, math.MaxInt) // historiesMax at most
	return dst
}

// find returns the recorder of a subscription, or nil. rc may be nil.
func (rc *recording) find(sub *subscription) *recorder {
	if rc == nil {
		return nil
	}
	if r := rc.index.Find([]byte(sub.uri), sub.match); r != nil && r.sub == sub {
		return r
	}
	return nil
}

// recordHistory makes the recorders what the settings say. Router.mu is held, and the realm is known.
func (rm *realm) recordHistory(set *settings) {
	r, old := rm.router, rm.recording.Load()
	if old == nil && len(set.History) == 0 {
		return
	}
	next := new(recording)
	for i := range set.History {
		h := &set.History[i]
		one := &recorder{
			key: history.Key{Realm: rm.uri, URI: h.URI, Match: h.Match}, store: r.memory, onDisk: h.OnDisk,
			stored: h.AcknowledgeStored,
		}
		if h.OnDisk {
			one.store = set.limits.Disk
		}
		log, err := one.store.Log(one.key, h.Bounds)
		if err != nil {
			r.log.Error("history is not kept", "realm", rm.uri, "topic", h.URI, "error", err)
			continue
		}
		one.log = log
		if sub := rm.topics.Find([]byte(h.URI), h.Match); sub != nil && old.find(sub) != nil {
			one.sub = sub
		} else {
			one.sub = rm.holdSubscription(h.URI, h.Match)
		}
		next.index.Put(h.URI, h.Match, one)
		next.all = append(next.all, one)
	}
	if len(next.all) == 0 {
		rm.recording.Store(nil)
	} else {
		rm.recording.Store(next)
	}
	if old == nil {
		return
	}
	for _, o := range old.all {
		n := next.find(o.sub)
		if !o.onDisk && (n == nil || n.onDisk) {
			r.memory.Release(o.key)
		}
		if n == nil {
			rm.releaseSubscription(o.sub)
		}
	}
}

// forgetHistory ends all recorders of a realm that is not known any more. What is on the disk stays there. Router.mu
// is held.
func (rm *realm) forgetHistory() {
	old := rm.recording.Swap(nil)
	if old == nil {
		return
	}
	for _, o := range old.all {
		if !o.onDisk {
			rm.router.memory.Release(o.key)
		}
		rm.releaseSubscription(o.sub)
	}
	rm.router.giveBack(0)
}

// holdSubscription returns the record of (uri, match), which then stays without subscribers. It counts in no budget
// while it has none: the configuration says how many there are. Any goroutine.
func (rm *realm) holdSubscription(uri string, match codec.Match) *subscription {
	mu := rm.topics.Mutex([]byte(uri), match)
	mu.Lock()
	defer mu.Unlock()
	if sub := rm.topics.Find([]byte(uri), match); sub != nil {
		sub.count.Or(subscriptionHeld)
		return sub
	}
	r := rm.router
	sub := newSubscription(r.ids.subscription(), uri, match, r.clock().UnixMilli(), len(r.perLoop))
	sub.count.Store(subscriptionHeld)
	rm.putSubscription(sub)
	return sub
}

// releaseSubscription undoes holdSubscription. Any goroutine.
func (rm *realm) releaseSubscription(sub *subscription) {
	mu := rm.topics.Mutex([]byte(sub.uri), sub.match)
	mu.Lock()
	defer mu.Unlock()
	if sub.count.And(^subscriptionHeld); sub.size() == 0 {
		rm.removeSubscription(sub)
	}
}

// trim drops what is beyond the bounds of a new configuration, in memory: of the histories, and of what these realms
// retain. It takes a while, in steps that loops need not wait for. A disk begins by itself. Any goroutine but a loop.
func (r *Router) trim(realms []*realm) {
	r.memory.SetBytesMax(r.settings.Load().HistoryBytesMax)
	_ = r.memory.Trim(context.Background()) // cannot fail
	freed := int64(0)
	for _, rm := range realms {
		freed += rm.trimRetained()
	}
	r.freed.Add(freed)
	r.ExpireHistory(r.clock())
}

// logsOf appends the logs of those recorders that are in the same place.
func logsOf(dst []history.Log, recorders []*recorder, onDisk bool) []history.Log {
	for _, r := range recorders {
		if r.onDisk == onDisk {
			dst = append(dst, r.log)
		}
	}
	return dst
}

// awaited reports whether one of the recorders wants PUBLISHED to wait for the disk.
func awaited(recorders []*recorder) bool {
	return slices.ContainsFunc(recorders, func(r *recorder) bool { return r.stored })
}

// ExpireHistory drops events that are older than their history keeps them, in memory and on the disk. To be called
// once a minute or so; queries do not depend on it. Any goroutine but a loop.
func (r *Router) ExpireHistory(now time.Time) {
	r.memory.Expire(now)
	r.giveBack(0)
	if d := r.settings.Load().Disk; d != nil {
		d.Expire(now)
	}
}

// HistoryStats is what the histories in memory hold and did, and those on the disk, if there is one. Any goroutine.
func (r *Router) HistoryStats() (memory, disk history.Stats) {
	if d := r.settings.Load().Disk; d != nil {
		disk = d.Stats()
	}
	return r.memory.Stats(), disk
}
