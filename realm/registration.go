package realm

import (
	"math"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// A registration is what all callees of one (procedure, match) share. It comes with the first callee and goes with
// the last, both under the mutex of the index; a caller that still holds it afterwards finds no callee in it and
// looks the procedure up again.
type registration struct {
	// Fixed at creation; any goroutine may read.
	id      uint64
	uri     string
	match   codec.Match
	invoke  codec.Invoke
	created int64 // Unix time, ms

	// Guarded by the index's mutex.
	displaced bool // another registration has its place; its callees are being told

	// callees are in the order of registration; they change under the index's mutex.
	callees roster[*callee]
	// rights keeps who may call the procedure, if the registration is of exactly that procedure.
	rights permit
	// cursor is the index of the next callee of a round robin, and where the search for the least busy one begins.
	// Calls move it as they can; order is promised to a lone sequential caller only (PROTOCOL 8.12).
	cursor atomic.Int64
}

// A callee is one session in one registration.
type callee struct {
	// Fixed at creation.
	session        *session
	reg            *registration
	discloseCaller bool   // every caller is disclosed to it
	forwardTimeout bool   // it minds the timeout itself, if it announced call_timeout
	tally          bool   // open is kept: for concurrency, or for the policy of the registration
	nkey           uint64 // a hash; of which session it is, if it gave none
	concurrency    int32  // open invocations of this registration that it takes at a time; 0: any number

	// Owned by the session's loop.
	newer, older *callee // the session's list

	// Guarded by the session's conn lock: set with REGISTERED, cleared before UNREGISTERED is appended (R5).
	live bool

	// Any goroutine. open changes under the same lock, out once under the index's mutex.
	open atomic.Int32 // its open invocations of this registration, if tally
	out  atomic.Bool  // it has left the registration
}

// left makes a callee the entry of a roster.
func (c *callee) left() bool { return c.out.Load() }

// full reports whether the callee has as many open invocations as it wants.
func (c *callee) full() bool { return c.concurrency > 0 && c.open.Load() >= c.concurrency }

// first returns where the search for a callee begins, and in which direction it goes on when that one is gone.
func (reg *registration) first(x port.Executor, callees []*callee) (index, step int) {
	n := len(callees)
	switch reg.invoke {
	case codec.Single, codec.First:
		return 0, 1
	case codec.Last:
		return n - 1, -1
	case codec.Random:
		return randomCallee(x, callees), 1
	case codec.LeastOutstanding:
		return leastBusy(callees, reg.next(x, n)), 1
	case codec.RoundRobin:
	}
	return reg.next(x, n), 1
}

// randomCallee draws one of the callees, all with the same chance, as long as it does not meet many that have left.
func randomCallee(x port.Executor, callees []*callee) (index int) {
	for range randomDraws {
		if index = int(x.Rand() % uint64(len(callees))); !callees[index].left() {
			break
		}
	}
	return index
}

// leastBusy returns which callee has the fewest open invocations, the first one from start on if there are several.
// Of many callees it looks at some.
func leastBusy(callees []*callee, start int) (best int) {
	n := len(callees)
	best = start
	fewest := callees[start].load()
	for k := 1; k < min(n, leastBusyAtOnce) && fewest > 0; k++ {
		i := (start + k) % n
		if open := callees[i].load(); open < fewest {
			best, fewest = i, open
		}
	}
	return best
}

// load is what leastBusy compares.
func (c *callee) load() int32 {
	if c.left() {
		return math.MaxInt32
	}
	return c.open.Load()
}

// passed takes note that the callee at index took a call that those from first on could not take: a round robin goes
// on behind it, so that nobody is served twice.
func (reg *registration) passed(first, index, n int) {
	if reg.invoke == codec.RoundRobin {
		reg.cursor.CompareAndSwap(int64((first+1)%n), int64((index+1)%n))
	}
}

// next moves the cursor and returns where it was.
func (reg *registration) next(x port.Executor, n int) int {
	for {
		x.Step("procedures.cursor")
		at := reg.cursor.Load()
		i := int(at)
		if i >= n {
			i = 0
		}
		if reg.cursor.CompareAndSwap(at, int64((i+1)%n)) {
			return i
		}
	}
}

// drop takes c out and returns how many callees are left. The index's mutex is held.
func (reg *registration) drop(c *callee) int {
	c.out.Store(true)
	squeezed := reg.callees.remove()
	for squeezed != nil { // the cursor stays with its callee, or goes to the next one
		at := reg.cursor.Load()
		next := int64(0)
		for _, c := range squeezed[:min(at, int64(len(squeezed)))] {
			if !c.left() {
				next++
			}
		}
		if next >= int64(len(reg.callees.all())) {
			next = 0
		}
		if reg.cursor.CompareAndSwap(at, next) {
			break
		}
	}
	return reg.callees.size()
}

var (
	refuseExists = &refusal{codec.ErrProcedureAlreadyExists, "the procedure is registered already"}
	refusePolicy = &refusal{codec.ErrProcedureAlreadyExists, "the procedure is registered with another " +
		"invocation policy"}
	refuseCallees = &refusal{codec.ErrOptionNotAllowed, "the registration has as many callees as the router " +
		"allows"}
	refuseRegistrations = &refusal{codec.ErrOptionNotAllowed, "this session holds as many registrations as the " +
		"router allows"}
	refuseNoRegistration = &refusal{codec.ErrNoSuchRegistration, "this session holds no registration of that id"}
)

func newCallee(s *session, reg *registration, o *codec.Options, nkey uint64) *callee {
	c := &callee{
		nkey:           s.nodeKey(nkey),
		session:        s,
		reg:            reg,
		discloseCaller: o.Bool(codec.KeyDiscloseCaller, false),
		forwardTimeout: o.Bool(codec.KeyForwardTimeout, false),
		concurrency:    int32(min(o.Integer(codec.KeyConcurrency), math.MaxInt32)),
	}
	c.tally = c.concurrency > 0 || reg.invoke == codec.LeastOutstanding
	return c
}

// enterRegistration adds a callee of s to the registration that REGISTER names, which it makes if there is none. held
// is returned if s is in it already.
// displaced is what it has taken the place of by force.
func (rm *realm) enterRegistration(x port.Executor, s *session, m *codec.Message, set *settings,
	nkey uint64,
) (c *callee, made *metaEvent, held, displaced *registration, why *refusal) {
	uri, match, invoke := m.URI, m.Options.Match, m.Options.Invoke
	x.Step("procedures.lock")
	mu := rm.procedures.Mutex(uri, match)
	mu.Lock()
	defer mu.Unlock()
	reg := rm.procedures.Find(uri, match)
	force := reg != nil && m.Options.Bool(codec.KeyForceReregister, false)
	if force && !s.mayForce(set, uri, match) {
		return nil, nil, nil, nil, refuseForce
	}
	switch {
	case reg == nil || force:
		name := string(uri)
		if !x.Charge(rm.recordMemory(name, match)) {
			return nil, nil, nil, nil, refuseMemory
		}
		if force {
			reg.displaced, displaced = true, reg
			rm.procedures.Remove(reg.uri, match)
		}
		reg = &registration{
			id: rm.router.ids.registration(), uri: name, match: match, invoke: invoke,
			created: rm.router.clock().UnixMilli(),
		}
		c = newCallee(s, reg, &m.Options, nkey)
		reg.callees.add(c)
		rm.procedures.Put(reg.uri, match, reg)
		rm.registered.add(reg.id, match, reg)
		if rm.meta.wanted() {
			made = rm.meta.reserve(x, "wamp.registration.on_create", s.id, reg.metaDetails())
		}
		return c, made, nil, displaced, nil
	case reg.invoke != invoke:
		return nil, nil, nil, nil, refusePolicy
	case reg.invoke == codec.Single:
		return nil, nil, nil, nil, refuseExists
	case s.registrations[reg.id] != nil:
		return nil, nil, reg, nil, nil
	case reg.callees.size() >= rm.settings.Load().limits.CalleesMax:
		return nil, nil, nil, nil, refuseCallees
	}
	c = newCallee(s, reg, &m.Options, nkey)
	reg.callees.add(c)
	return c, nil, nil, nil, nil
}

// leaveRegistration takes c out of its registration.
func (rm *realm) leaveRegistration(x port.Executor, c *callee) {
	reg := c.reg
	x.Step("procedures.lock")
	mu := rm.procedures.Mutex([]byte(reg.uri), reg.match)
	mu.Lock()
	var gone *metaEvent
	if reg.drop(c) == 0 {
		if !reg.displaced {
			rm.procedures.Remove(reg.uri, reg.match)
		}
		x.Charge(-rm.recordMemory(reg.uri, reg.match))
		rm.registered.remove(reg.id, reg.match)
		if s := c.session; rm.meta.wanted() && !s.quiet {
			gone = rm.meta.reserve(x, "wamp.registration.on_delete", s.id, reg.id)
		}
	}
	mu.Unlock()
	rm.meta.ready(x, gone)
}

func (s *session) receiveRegister(x port.Executor, l *perLoop, m *codec.Message) {
	match := m.Options.Match
	why := l.set.admit(Register, m.URI, match)
	switch {
	case why != nil:
	case l.set.ForbidDisclosure && m.Options.Bool(codec.KeyDiscloseCaller, false):
		why = refuseDisclosure
	case len(s.registrations) >= l.set.limits.RegistrationsMax:
		why = refuseRegistrations
	default:
		if why, _ = s.authorize(x, l, Register, m.URI, match, nil, 0); why == refuseUndecided {
			if why = s.askFirst(x, l, m, Register, match, s.receiveRegister); why == nil {
				return
			}
		}
	}
	var nkey uint64
	if why == nil {
		if nkey, why = l.set.shardKey(&m.Options, codec.KeyNkey); why != nil {
			l.counters.shardsRefused.Add(1)
		}
	}
	if why == nil {
		why = s.takeRegistration(l)
	}
	if why != nil {
		s.refuse(x, l, codec.Register, m.Request, why)
		return
	}
	if !s.mayHold(x, m.URI, match, 0) {
		s.dropRegistration()
		l.counters.overBudget.Add(1)
		s.refuse(x, l, codec.Register, m.Request, refuseShare)
		return
	}
	if !x.Charge(memberBytes) {
		s.dropRegistration()
		s.refuseMemory(x, l, codec.Register, m.Request)
		return
	}
	c, made, held, displaced, why := s.realm.enterRegistration(x, s, m, l.set, nkey)
	if c == nil {
		s.dropRegistration()
		x.Charge(-memberBytes)
	}
	if why == refuseMemory {
		s.refuseMemory(x, l, codec.Register, m.Request)
		return
	}
	if why != nil {
		s.refuse(x, l, codec.Register, m.Request, why)
		return
	}
	if held != nil && l.set.Sharding && s.registrations[held.id].nkey != s.nodeKey(nkey) {
		s.refuse(x, l, codec.Register, m.Request, refuseOtherShard)
		return
	}
	if held != nil {
		l.out = codec.AppendRegistered(l.out[:0], s.serializer, m.Request, held.id)
		s.reply(x, l.out)
		return
	}
	if displaced != nil {
		s.displace(x, l, displaced)
	}
	s.enlist(l, c)
	x.Work(componentWork(c.reg.uri, match))
	l.out = codec.AppendRegistered(l.out[:0], s.serializer, m.Request, c.reg.id)
	x.Step("conn.lock")
	s.conn.Lock()
	// Reply and visibility are one section (R6, O4).
	s.append(x, l.out)
	c.live = true
	s.conn.Unlock()
	s.realm.meta.ready(x, made)
	s.tellMeta(x, "wamp.registration.on_register", c.reg.id)
}

func (s *session) receiveUnregister(x port.Executor, l *perLoop, m *codec.Message) {
	c := s.registrations[m.ID]
	if c == nil {
		s.refuse(x, l, codec.Unregister, m.Request, refuseNoRegistration)
		return
	}
	// The index comes first: a client that hears of UNREGISTERED can register the procedure. An INVOCATION in between
	// is legal.
	s.endRegistration(x, l, c)
	x.Work(componentWork(c.reg.uri, c.reg.match))
	l.out = codec.AppendUnregistered(l.out[:0], s.serializer, m.Request)
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	c.live = false
	s.append(x, l.out)
}

// enlist adds a registration to the session.
func (s *session) enlist(l *perLoop, c *callee) {
	if s.registrations == nil {
		s.registrations = make(map[uint64]*callee)
	}
	s.registrations[c.reg.id] = c
	s.share += s.shareOf(c.reg.uri, c.reg.match)
	if c.older = s.lastCallee; c.older != nil {
		c.older.newer = c
	}
	s.lastCallee = c
	l.counters.registrations.Add(1)
}

// endRegistration removes a registration from the session, the index and the counters.
func (s *session) endRegistration(x port.Executor, l *perLoop, c *callee) {
	s.review.pass(nil, c)
	delete(s.registrations, c.reg.id)
	s.share -= s.shareOf(c.reg.uri, c.reg.match)
	if c.older != nil {
		c.older.newer = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.lastCallee = c.older
	}
	s.tellMeta(x, "wamp.registration.on_unregister", c.reg.id)
	s.realm.leaveRegistration(x, c)
	s.dropRegistration()
	x.Charge(-memberBytes)
	l.counters.registrations.Add(-1)
}
