package realm

import (
	"banyan/codec"
	"banyan/realm/history"
	"banyan/realm/realmtest"
)

// What is retained, in TestSimulate: PUB-31 … PUB-39.

// retained checks a retained event. It is no older than what the client has heard of the same publisher and topic.
func (c *simClient) retained(sub *simSub, index int, id uint64) {
	s := c.sim
	p := s.published[index]
	switch {
	case !sub.asked:
		s.fail("client %d hears retained publication %d and has not asked for it", c.number, index)
	case !p.retain || p.denied || p.unstored:
		s.fail("client %d hears publication %d as retained", c.number, index)
	case p.not == c.session, p.exclude && p.by == c, !c.perhapsAdmitted(p.lists):
		s.fail("client %d hears retained publication %d, from which it is excluded", c.number, index)
	case !realmtest.Matches(sub.topic, sub.match, p.topic):
		s.fail("client %d: retained topic %q does not match subscription %q", c.number, p.topic, sub.topic)
	}
	for i := index + 1; i < len(s.published); i++ {
		newer := &s.published[i]
		if newer.retain && newer.by == p.by && newer.topic == p.topic && sub.got[i] && !s.perhapsWithoutRoom(newer) {
			s.fail("client %d hears retained publication %d after the newer %d", c.number, index, i)
		}
	}
	if !sub.got[index] {
		sub.recalled[index] = true
	}
	sub.got[index] = true
	c.seen(index, id)
}

func (c *simClient) perhapsAdmitted(l simLists) bool {
	_, perhaps := c.admitted(l)
	return perhaps
}

// checkRetained: what is retained is the last that its publisher has retained of the topic, as far as one may have
// it, and everybody who asked has it, live or retained.
func (s *sim) checkRetained() {
	rm := s.router.named["realm1"]
	if rm == nil || rm.retained.Load() == nil {
		return
	}
	store := rm.retained.Load()
	for _, c := range s.clients {
		session := s.router.directory.find(c.session)
		if session == nil {
			continue
		}
		who := session.who()
		for _, topic := range simTopics {
			e := store.Get([]byte(topic), who)
			if e == nil {
				continue
			}
			index := s.retainedIndex(e)
			p := s.published[index]
			for i := index + 1; i < len(s.published); i++ {
				newer := s.published[i]
				uncertain := newer.denied || newer.maybe || s.perhapsRefused(&newer) || newer.unstored ||
					s.history.perhapsUnstored(i) || s.crowdedOut(i) || s.perhapsWithoutRoom(&newer)
				others := newer.not == c.session || newer.exclude && newer.by == c ||
					!newer.lists.admit(simIdentity{c.authid, who.AuthRole})
				if newer.retain && newer.by == p.by && newer.topic == topic && !uncertain && !others {
					s.fail("publication %d is retained for client %d, and not the newer %d", index, c.number, i)
				}
			}
			for id, sub := range c.subs {
				mine := p.rkey == "" || sub.nkey == "" // or else another of the sharded set may have it
				// With another role another one may have been the last.
				if sub.asked && mine && len(c.everRoles) == 1 &&
					realmtest.Matches(sub.topic, sub.match, topic) && !sub.got[index] {
					s.fail("client %d, subscription %d, misses retained publication %d", c.number, id, index)
				}
			}
		}
	}
}

// crowdedOut reports whether the retained publication index, which has lists, may have gone because of others with
// lists.
func (s *sim) crowdedOut(index int) bool {
	more := 0
	for i := index + 1; i < len(s.published); i++ {
		p := &s.published[i]
		if p.retain && p.topic == s.published[index].topic && (p.not != 0 || p.lists.key != "") {
			more++
		}
	}
	return more >= 8
}

// perhapsRefused reports whether nobody may have heard that p was refused.
func (s *sim) perhapsRefused(p *publication) bool {
	return p.retain && p.ack && p.id == 0 && s.retention.EventsMax > 0
}

// perhapsWithoutRoom reports whether p, which has lists, was perhaps delivered and not retained: then the older one
// stays.
func (s *sim) perhapsWithoutRoom(p *publication) bool {
	return p.retain && !p.ack && (p.not != 0 || p.lists.key != "") && s.retention.EventsMax > 0
}

// retainedIndex is what publication e is.
func (s *sim) retainedIndex(e *history.Event) int {
	v, err := codec.Value(e.Payload.Format, e.Payload.Args)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(v.([]any)[0].(int64))
}

// retainedBytes is what the realms that are there retain.
func (s *sim) retainedBytes() (n int64) {
	for _, rm := range s.router.named {
		if r := rm.retained.Load(); r != nil {
			n += r.Stats().Bytes
		}
	}
	return n
}
