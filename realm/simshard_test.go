package realm

import (
	"fmt"
	"maps"

	"banyan/realm/realmtest"
)

// Sharded subscriptions and registrations, in TestSimulate: PUB-56, RPC-86.

// simShards is what the model knows of them.
type simShards struct {
	owners  map[simShard]*simClient // who got an event with rkey
	changed map[pattern]bool        // somebody has asked to be in the set since the last checkpoint
	members map[*simSub]bool        // of all sets, at the last checkpoint

	// The same of registrations.
	calls    []simOwned // that went by their rkey
	callees  map[*simReg]bool
	register map[pattern]bool // somebody has asked to be a callee
}

// A simOwned is a call with rkey that came to a callee.
type simOwned struct {
	rkey string
	reg  *simReg
	by   *simClient
}

// A simShard is a publication with rkey on a subscription.
type simShard struct {
	pattern     pattern
	publication int
}

// shard asks for an nkey, perhaps; for the same one whenever a client subscribes to a pattern.
func (c *simClient) shard(p pattern, options map[string]any) (nkey string) {
	s := c.sim
	if n := (c.number + len(p.uri)) % 4; s.sharding && n > 0 {
		nkey = fmt.Sprintf("n%d", n)
		options["nkey"] = nkey
		s.shards.changed[p] = true
	}
	return nkey
}

// rkey gives a publication an rkey, perhaps.
func (s *sim) rkey(options map[string]any) (rkey string) {
	if s.sharding && s.w.Rand(2) == 0 {
		rkey = fmt.Sprintf("r%d", s.w.Rand(6))
		options["rkey"] = rkey
	}
	return rkey
}

// owns notes that c gets an event. Of one with rkey nobody else who has an nkey does.
func (c *simClient) owns(sub *simSub, index int) {
	s := c.sim
	if sub.nkey == "" || s.published[index].rkey == "" {
		return
	}
	of := simShard{pattern{sub.topic, sub.match}, index}
	if other := s.shards.owners[of]; other != nil {
		s.fail("publication %d on %v went to client %d and to client %d", index, of.pattern, other.number, c.number)
	}
	s.shards.owners[of] = c
}

// checkShards: where a set was the same since the last checkpoint, each event with rkey has gone to the nkey that
// weighs most for it, of those that may have it.
func (s *sim) checkShards() {
	if !s.sharding {
		return
	}
	s.checkPartitions()
	members := map[*simSub]bool{}
	for _, c := range s.clients {
		for _, sub := range c.subs {
			if sub.nkey != "" {
				members[sub] = true
			}
		}
	}
	for _, p := range simPatterns {
		if s.shards.changed[p] || !maps.Equal(s.shards.of(p, members), s.shards.of(p, s.shards.members)) {
			continue
		}
		for i := s.settled; i < len(s.published); i++ {
			if of := &s.published[i]; of.rkey != "" && realmtest.Matches(p.uri, p.match, of.topic) &&
				!s.perhapsRefused(of) && !of.maybe && !of.denied && !of.unstored && !s.history.perhapsUnstored(i) {
				s.checkOwner(p, i)
			}
		}
	}
	s.shards.owners, s.shards.changed, s.shards.members = map[simShard]*simClient{}, map[pattern]bool{}, members
}

// shardCallee is what nkey a callee has for a procedure: always the same, or none.
func (c *simClient) shardCallee(p pattern) (nkey string) {
	if !c.sim.sharding {
		return ""
	}
	c.sim.shards.register[p] = true
	if c.number%3 > 0 {
		nkey = fmt.Sprintf("n%d", c.number%3)
	}
	return nkey
}

// checkPartitions: where callees were the same since the last checkpoint, each call with rkey has come to the one
// that weighs most for it. A callee without nkey weighs by its session.
func (s *sim) checkPartitions() {
	h := &s.shards
	callees, holders := map[*simReg]bool{}, map[*simReg]*simClient{}
	of := func(p pattern, regs map[*simReg]bool) map[*simReg]bool {
		some := maps.Clone(regs)
		maps.DeleteFunc(some, func(reg *simReg, _ bool) bool { return reg.of != p })
		return some
	}
	for _, c := range s.clients {
		_, untold := c.conn.(*simLocal) // of registrations that others displaced
		for _, reg := range c.regs {
			callees[reg], holders[reg] = true, c
			h.register[reg.of] = h.register[reg.of] || untold
		}
	}
	hash := func(reg *simReg) uint64 {
		if reg.nkey == "" {
			return mix(holders[reg].session)
		}
		return hashKey(reg.nkey)
	}
	for _, one := range h.calls {
		mine := of(one.reg.of, callees)
		if h.register[one.reg.of] || !maps.Equal(mine, of(one.reg.of, h.callees)) {
			continue
		}
		for reg := range mine {
			if weight(hashKey(one.rkey), hash(reg)) > weight(hashKey(one.rkey), hash(one.reg)) {
				s.fail("a call of %v with rkey %s came to client %d, and not to client %d", one.reg.of, one.rkey,
					one.by.number, holders[reg].number)
			}
		}
	}
	h.calls, h.callees, h.register = nil, callees, map[pattern]bool{}
}

// of returns those that are of one subscription.
func (h *simShards) of(p pattern, members map[*simSub]bool) map[*simSub]bool {
	some := map[*simSub]bool{}
	for sub := range members {
		if sub.topic == p.uri && sub.match == p.match {
			some[sub] = true
		}
	}
	return some
}

func (s *sim) checkOwner(p pattern, index int) {
	of := s.published[index]
	var nkeys []string
	holders := map[string][]*simClient{}
	for _, c := range s.clients {
		for _, sub := range c.subs {
			if sub.nkey == "" || sub.topic != p.uri || sub.match != p.match || of.exclude && of.by == c ||
				of.not == c.session {
				continue
			}
			switch always, perhaps := c.admitted(of.lists); {
			case !perhaps:
				continue
			case !always:
				return
			}
			nkeys = append(nkeys, sub.nkey)
			holders[sub.nkey] = append(holders[sub.nkey], c)
		}
	}
	owner := s.shards.owners[simShard{p, index}]
	if len(nkeys) == 0 {
		if owner != nil {
			s.fail("publication %d on %v went to client %d, which may not have it", index, p, owner.number)
		}
		return
	}
	want := heaviest(of.rkey, nkeys)[0]
	for _, c := range holders[want] {
		if c == owner {
			return
		}
	}
	s.fail("publication %d with rkey %s on %v went to %v, and not to one of the %d with %s", index, of.rkey, p, owner,
		len(holders[want]), want)
}
