package realm

import (
	"sync/atomic"

	"banyan/codec"
)

// A subscription is what all subscribers of one (topic, match) share: its id, and per loop the list of its members.
//
// Its life (race R3): made with one member under the index's mutex; enter joins it without that mutex while it has
// members; the step from one to none happens under the mutex together with the removal from the index, and is final.
// A session that found the record too late fails to enter it and makes a new one.
//
// A record that is held, because history is kept of it (recorder.go), differs in one thing: it stays in the index,
// and on the lists of the meta API, while it has no members. The step from none to one happens under the mutex then.
//
// on_create and on_delete (PROTOCOL 9.2) tell of these two steps, and not of the record: of its first subscriber and
// of its last. Both are reserved under the mutex, on_create before anybody else can enter. So they alternate,
// whatever a reload holds or releases meanwhile, and nobody is told of that. A record that was held all the time
// comes again with the id that it had.
type subscription struct {
	// Fixed at creation; any goroutine may read.
	id      uint64
	uri     string
	match   codec.Match
	created int64 // Unix time, ms

	charged int // bytes of the budget, by the subscriber that made it. Guarded by the index's mutex

	// Any goroutine.
	count atomic.Int64 // members on all loops, and subscriptionHeld
	// loops has bit i set while loop i has members. Set and cleared by loop i; set under the first member's queue
	// lock, in the section that appends its SUBSCRIBED (R6).
	loops atomic.Uint64
	// nodes has bit i set while node i of a cluster has members. Nothing sets it yet: publish posts to loops only.
	nodes atomic.Uint64
	// rights keeps who may publish to the topic, in the record of exactly that topic.
	rights permit
	// census counts the members per variant. It is raised before a member becomes visible and lowered after it is
	// gone (R12), so a publisher that reads zero owes nothing to any member it could reach.
	census [codec.NumVariants]atomic.Int32

	// shards are the subscribers with an nkey; nil until there is one, then it stays.
	shards atomic.Pointer[shardSet]

	// members[i] is owned by loop i.
	members []*memberList
}

// topic stands for the topic of all events of sub; 0 if they may be of several (port.KeepLatest).
func (sub *subscription) topic() uint64 {
	if sub.match == codec.Exact {
		return sub.id
	}
	return 0
}

func newSubscription(id uint64, uri string, match codec.Match, created int64, loops int) *subscription {
	sub := &subscription{id: id, uri: uri, match: match, created: created, members: make([]*memberList, loops)}
	sub.count.Store(1)
	return sub
}

// subscriptionHeld is the bit of count that says that the record stays without members.
const subscriptionHeld = 1 << 62

// size is how many members there are. Any goroutine.
func (sub *subscription) size() int64 { return sub.count.Load() &^ subscriptionHeld }

// hasMembers reports whether there are members of that serializer. Any goroutine.
func (sub *subscription) hasMembers(serializer codec.Serializer) bool {
	for _, v := range codec.VariantsOf(serializer) {
		if sub.census[v].Load() > 0 {
			return true
		}
	}
	return false
}

// enter counts one more member, unless it would be the first one: that takes the index's mutex. Any goroutine.
func (sub *subscription) enter() bool {
	for {
		n := sub.count.Load()
		if n&^subscriptionHeld == 0 {
			return false
		}
		if sub.count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leaveUnlessLast counts one member less, unless it is the last one: that takes the index's mutex. Any goroutine.
func (sub *subscription) leaveUnlessLast() bool {
	for {
		n := sub.count.Load()
		if n&^subscriptionHeld <= 1 {
			return false
		}
		if sub.count.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// add puts m at the end of its loop's list. Owned by that loop; m's queue lock is held.
func (sub *subscription) add(loop int, m *member) {
	list := sub.members[loop]
	if list == nil {
		list = new(memberList)
		sub.members[loop] = list
	}
	if list.add(m) == 1 {
		sub.loops.Or(1 << loop)
	}
}

// drop takes m out of its loop's list. Owned by that loop.
func (sub *subscription) drop(loop int, m *member) {
	if sub.members[loop].remove(m) == 0 {
		sub.loops.And(^(uint64(1) << loop))
	}
}

// A member is one session in one subscription. Owned by the session's loop.
type member struct {
	session      *session
	sub          *subscription
	newer, older *member // the session's list
	index        int     // in the list of the loop
	nkey         uint64  // its hash, fixed at creation; 0: none, so that it gets everything

	unsharded atomic.Bool // any goroutine: with an nkey, and out of the sharded set again
}

// A seat holds what the walk over a list reads, to spare it a pointer.
type seat struct {
	session *session
	member  *member // nil: left during a walk
}

// A memberList holds the members of one subscription on one loop, in order of joining as long as nobody leaves. Owned
// by that loop.
//
// While walks are unfinished a leaving member only empties its seat, because the walks hold positions; otherwise the
// last member takes the seat. Empty seats are squeezed out when the last walk ends, or when they are the majority:
// then the positions move along.
type memberList struct {
	seats []seat
	empty int
	walks []*walk // unfinished
}

// A walk is a position in a list. It ends where the list ended when the walk began: who joined later does not get the
// event.
type walk struct {
	next, end int
}

// add returns the number of members afterwards.
func (l *memberList) add(m *member) int {
	m.index = len(l.seats)
	l.seats = append(l.seats, seat{m.session, m})
	return len(l.seats) - l.empty
}

// remove returns the number of members afterwards.
func (l *memberList) remove(m *member) int {
	last := len(l.seats) - 1
	if len(l.walks) == 0 {
		moved := l.seats[last]
		l.seats[m.index] = moved
		moved.member.index = m.index
		l.seats[last] = seat{}
		l.seats = l.seats[:last]
		l.shrink()
		return last
	}
	l.seats[m.index] = seat{}
	l.empty++
	if l.empty > 32 && l.empty*2 > len(l.seats) {
		l.squeeze()
	}
	return len(l.seats) - l.empty
}

// shrink gives memory back when a list that was large has become small.
func (l *memberList) shrink() {
	if n := len(l.seats); cap(l.seats) > 64 && n*4 < cap(l.seats) {
		l.seats = append(make([]seat, 0, n*2), l.seats...)
	}
}

// begin starts w over what is in the list now.
func (l *memberList) begin(w *walk) {
	w.next, w.end = 0, len(l.seats)
	l.walks = append(l.walks, w)
}

// finish forgets w.
func (l *memberList) finish(w *walk) {
	for i, other := range l.walks {
		if other == w {
			last := len(l.walks) - 1
			l.walks[i] = l.walks[last]
			l.walks[last] = nil
			l.walks = l.walks[:last]
			break
		}
	}
	if len(l.walks) == 0 && l.empty > 0 {
		l.squeeze()
	}
}

// squeeze removes the empty seats and moves the walks along.
func (l *memberList) squeeze() {
	kept := 0
	// Positions are moved by counting how many seats are kept before them; a walk is met at most twice.
	type moved struct{ next, end int }
	to := make([]moved, len(l.walks))
	for i := 0; i <= len(l.seats); i++ {
		for k, w := range l.walks {
			if w.next == i {
				to[k].next = kept
			}
			if w.end == i {
				to[k].end = kept
			}
		}
		if i < len(l.seats) && l.seats[i].member != nil {
			l.seats[kept] = l.seats[i]
			l.seats[kept].member.index = kept
			kept++
		}
	}
	for k, w := range l.walks {
		w.next, w.end = to[k].next, to[k].end
	}
	clear(l.seats[kept:])
	l.seats = l.seats[:kept]
	l.empty = 0
	l.shrink()
}
