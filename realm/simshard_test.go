package realm

import (
	"fmt"
	"maps"

	"banyan/realm/realmtest"
)

// Sharded subscriptions, in TestSimulate: PUB-56.

// simShards is what the model knows of them.
type simShards struct {
	owners  map[simShard]*simClient // who got an event with rkey
	changed map[pattern]bool        // somebody has asked to be in the set since the last checkpoint
	members map[*simSub]bool        // of all sets, at the last checkpoint
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
		if s.shards.changed == nil {
			s.shards = simShards{owners: map[simShard]*simClient{}, changed: map[pattern]bool{}}
		}
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
	if s.shards.changed == nil {
		return
	}
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
	s.shards = simShards{owners: map[simShard]*simClient{}, changed: map[pattern]bool{}, members: members}
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
