package realm

import (
	"slices"
	"sync"

	"banyan/codec"
	"banyan/engine/port"
)

// Sharding (PROTOCOL 7.13, 8.13), in realms that have the option on. A subscriber that gives an nkey is in the
// sharded set of its subscription. A PUBLISH with rkey goes to one of them, besides to all subscribers without nkey:
//
//	SUBSCRIBE    subscriber's loop: its place in the set is published in the section that appends SUBSCRIBED, after
//	             the membership is visible. So whoever can be chosen can be reached
//	PUBLISH      publisher's loop, once per subscription: own chooses the owner, and the filter of the run names it
//	EVENT        each loop: the walk over members passes by all others of the set
//	UNSUBSCRIBE  subscriber's loop: the place goes before the membership
//
// The owner of an rkey is the one with the highest weight among those that may have the event (rendezvous hashing):
// if one of them leaves, only what it owned goes to others. Of several with one nkey it is the latest, so that a
// client which comes back takes over from the connection that it has lost.
//
// A CALL with runmode "partition" goes to a callee in the same order, whatever the policy of the registration: heirs.
// A callee that gives no nkey has one of its own, which ends with its session.

// A shardSet is the sharded subscribers of a subscription.
type shardSet struct {
	places roster[shardPlace]

	// Serializes changes; a conn lock may be held.
	mu       sync.Mutex
	reserved int // guarded by mu: places, and who has one coming
}

// A shardPlace is one of them.
type shardPlace struct {
	nkey   uint64 // its hash
	member *member
}

// left makes a place the entry of a roster.
func (p shardPlace) left() bool { return p.member.unsharded.Load() }

var (
	refuseShardKey = &refusal{codec.ErrOptionNotAllowed, "an rkey or nkey is longer than the router allows"}
	refuseShards   = &refusal{codec.ErrOptionNotAllowed, "as many sessions have subscribed to this with an nkey as " +
		"the router allows"}
	refuseOtherShard = &refusal{codec.ErrOptionNotAllowed, "this session holds that already, with another nkey, " +
		"or one of the two without; give it up first"}
	refuseRunmodeAll = &refusal{codec.ErrFeatureNotSupported, `runmode "all" is not offered, only "partition"`}
	refuseRunmode    = &refusal{codec.ErrInvalidArgument, `runmode must be "partition"`}
	refusePartition  = &refusal{codec.ErrInvalidArgument, `runmode "partition" needs an rkey`}
	refuseOwner      = &refusal{codec.ErrUnavailable, "the callee that owns this rkey has as many open calls as it " +
		"wants; try again later"}
)

// hashKey hashes an rkey or nkey. Which nkey owns an rkey depends on it, and stays the same when the router restarts:
// it is FNV-1a with 64 bits, but never 0, which stands for none.
func hashKey[T string | []byte](key T) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 0x100000001b3
	}
	return max(h, 1)
}

// weight is how much the holder of an nkey weighs for an rkey: the heaviest one owns it. No two nkeys weigh the same.
func weight(rkey, nkey uint64) uint64 { return mix(rkey ^ mix(nkey)) }

// mix is the finalizer of SplitMix64: a permutation in which each bit depends on all.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// shardKey returns the hash of the key k, 0 if it is absent or the realm has no sharding.
func (set *settings) shardKey(o *codec.Options, k codec.Key) (hash uint64, why *refusal) {
	if !set.Sharding || !o.Has(k) {
		return 0, nil
	}
	key := o.Text(k)
	if len(key) > shardKeyBytesMax {
		return 0, refuseShardKey
	}
	return hashKey(key), nil
}

// reserveShard makes room for one more sharded subscriber, and reports whether there is any. Any goroutine.
func (sub *subscription) reserveShard() bool {
	if sub.shards.Load() == nil {
		sub.shards.CompareAndSwap(nil, new(shardSet))
	}
	set := sub.shards.Load()
	set.mu.Lock()
	defer set.mu.Unlock()
	if set.reserved >= shardsMax {
		return false
	}
	set.reserved++
	return true
}

// joinShard puts a member that has a place into the set. Its loop.
func (sub *subscription) joinShard(m *member) {
	set := sub.shards.Load()
	set.mu.Lock()
	defer set.mu.Unlock()
	set.places.add(shardPlace{m.nkey, m})
}

// leaveShard takes a member out of the set. Its loop.
func (sub *subscription) leaveShard(m *member) {
	set := sub.shards.Load()
	set.mu.Lock()
	defer set.mu.Unlock()
	set.reserved--
	m.unsharded.Store(true)
	set.places.remove()
}

// own returns the filter of a publication with rkey for one subscription: f, with the owner of the rkey among those
// that may have the event. looks is how many it looked at. Any goroutine.
func (f *filter) own(sub *subscription, publisher *session, exclude bool) (of *filter, looks int) {
	owned := *f
	set := sub.shards.Load()
	if set == nil {
		return &owned, 0
	}
	places := set.places.all()
	heaviest := uint64(0)
	for _, one := range places {
		w := weight(f.rkey, one.nkey)
		if w < heaviest || one.left() { // of one nkey the latest, which comes last
			continue
		}
		who := one.member.session
		if exclude && who == publisher || who.gone.Load() || !f.admits(who.who()) {
			continue
		}
		owned.owner, heaviest = who, w
	}
	return &owned, len(places)
}

// own is filter.own on the publisher's loop.
func (s *session) own(x port.Executor, l *perLoop, sub *subscription, to *audience) *filter {
	x.Step("shards.load")
	f, looks := to.filter.own(sub, s, to.exclude)
	x.Work(looks >> shardShift)
	if looks > 0 {
		l.counters.sharded.Add(1)
	}
	return f
}

// nodeKey is the nkey of a callee that gives that one, or none.
func (s *session) nodeKey(nkey uint64) uint64 {
	if nkey == 0 {
		return mix(s.id)
	}
	return nkey
}

// partitioned reports whether the call m goes to the owner of its rkey.
func (set *settings) partitioned(m *codec.Message) bool {
	return set.Sharding && m.Options.Has(codec.KeyRunmode)
}

// refuseRunmode says what is wrong with the runmode of a call that is partitioned; nil if nothing is.
func (set *settings) refuseRunmode(m *codec.Message) *refusal {
	switch m.Options.Text(codec.KeyRunmode) {
	case "partition":
	case "all":
		return refuseRunmodeAll
	default:
		return refuseRunmode
	}
	rkey, why := set.shardKey(&m.Options, codec.KeyRkey)
	if why == nil && rkey == 0 {
		why = refusePartition
	}
	return why
}

// heirs returns the callees that weigh most for the rkey of m, the owner first, at most heirsMax. Those that have
// been tried, or have begun to leave, are passed by.
func heirs(x port.Executor, m *codec.Message, callees []*callee, tried []*session) []*callee {
	rkey := hashKey(m.Options.Text(codec.KeyRkey))
	x.Work(len(callees) >> heirShift)
	heaviest := make([]*callee, 0, heirsMax+1)
	for _, c := range callees {
		w := weight(rkey, c.nkey)
		at := len(heaviest)
		for at > 0 && w >= weight(rkey, heaviest[at-1].nkey) { // of one nkey the latest first
			at--
		}
		if at == heirsMax || c.left() || c.session.gone.Load() || slices.Contains(tried, c.session) {
			continue
		}
		heaviest = slices.Insert(heaviest, at, c)
		heaviest = heaviest[:min(len(heaviest), heirsMax)]
	}
	return heaviest
}
