package realm

import (
	"math"
	"slices"
	"time"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// Queries of histories in TestSimulate. A query sees its log at one moment between CALL and RESULT, and the caller as
// it was then: the answer has to be that of one such moment.

// A simQuery is one get_events that is not answered. Its conditions are those of history.Query.
type simQuery struct {
	track *simTrack // nil: there was no history of that subscription
	uri   string    // of the subscription
	match codec.Match

	reverse      bool
	limit        int
	topic        string
	times        [4]time.Time // from, after, before, until
	publications [4]uint64

	first, next uint64 // of the log, at CALL
	clock       int    // the same
	reloads     int
	unread      int
}

var simTimes = [4]string{"from_time", "after_time", "before_time", "until_time"}

var simAnchors = [4]string{"from_publication", "after_publication", "before_publication", "until_publication"}

// ask makes a query, and the arguments of its call.
func (h *simHistory) ask() (q *simQuery, args []any, kwargs map[string]any) {
	rand := h.s.w.Rand
	h.observe()
	q = &simQuery{clock: len(h.clocks) - 1, reloads: h.reloads, unread: h.disk.unread}
	tracks := h.tracks()
	kwargs = map[string]any{}
	if len(tracks) == 0 || rand(20) == 0 {
		return q, []any{int64(1000 + rand(20))}, kwargs
	}
	t := tracks[rand(len(tracks))]
	q.track, q.uri, q.match, q.first, q.next = t, t.URI, t.Match, t.first, t.next()
	if q.reverse = rand(2) == 0; q.reverse || rand(2) == 0 {
		kwargs["reverse"] = q.reverse
	}
	if rand(2) == 0 {
		q.limit = 1 + rand(6)
		kwargs["limit"] = int64(q.limit)
	}
	if rand(4) == 0 {
		q.topic = simTopics[rand(len(simTopics))]
		kwargs["topic"] = q.topic
	}
	for i := range 4 {
		if rand(8) == 0 {
			q.times[i] = h.clocks[max(len(h.clocks)-1-rand(8), 0)]
			kwargs[simTimes[i]] = q.times[i].UTC().Format(time.RFC3339Nano)
		}
		if rand(8) > 0 {
			continue
		}
		q.publications[i] = uint64(1 + rand(1000))
		if n := len(t.order); n > 0 && rand(8) > 0 {
			if e := t.order[max(n-1-rand(20), 0)]; e.index != simHole {
				q.publications[i] = e.publication
			}
		}
		kwargs[simAnchors[i]] = int64(q.publications[i])
	}
	return q, []any{int64(t.sub)}, kwargs
}

// A simMoment is one of those that an answer may be of.
type simMoment struct {
	track       *simTrack
	first, next uint64
	now         time.Time
	age         time.Duration
	who         simIdentity
}

// moments calls f for those that are possible, until it returns true, and reports whether it did.
func (c *simClient) moments(q *simQuery, f func(m simMoment) bool) bool {
	h := c.sim.history
	if q.reloads == h.reloads {
		return c.momentsOf(q, q.track, []time.Duration{q.track.Age}, q.first, q.next, f)
	}
	for _, t := range h.kept { // it may have moved between memory and disk, and have begun anew
		if t.URI != q.uri || t.Match != q.match {
			continue
		}
		first, next := uint64(0), uint64(0)
		if t == q.track {
			first, next = q.first, q.next
		}
		if c.momentsOf(q, t, t.ages, first, next, f) {
			return true
		}
	}
	return false
}

func (c *simClient) momentsOf(q *simQuery, t *simTrack, ages []time.Duration, first, next uint64,
	f func(m simMoment) bool,
) bool {
	for _, who := range c.identities() {
		for _, now := range c.sim.history.clocks[q.clock:] {
			for _, age := range ages {
				for next := next; next <= t.next(); next++ {
					for first := first; first <= min(t.first, next); first++ {
						if f(simMoment{t, first, next, now, age, who}) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// visible reports whether the reader may know of a record.
func (h *simHistory) visible(e *simKept, m *simMoment) bool {
	if m.age > 0 && e.time <= m.now.Add(-m.age).UnixNano() {
		return false
	}
	return e.index < 0 || h.s.published[e.index].lists.admit(m.who)
}

// anchors returns what the named publications leave of the log, from a number on and before a number; false if one of
// them is not there for the reader.
func (h *simHistory) anchors(q *simQuery, m *simMoment) (from, before uint64, ok bool) {
	from, before = 0, math.MaxUint64
	for i, id := range q.publications {
		if id == 0 {
			continue
		}
		found := false
		for seq := m.first; seq < m.next && !found; seq++ {
			if e := &m.track.order[seq]; e.publication != id || !h.visible(e, m) {
				continue
			}
			found = true
			switch i {
			case 0:
				from = max(from, seq)
			case 1:
				from = max(from, seq+1)
			case 2:
				before = min(before, seq)
			case 3:
				before = min(before, seq+1)
			}
		}
		if !found {
			return 0, 0, false
		}
	}
	return from, before, true
}

// answer is what q has to be answered with, if it is asked at m and the publications that it names were looked for
// when the log began with the number first; false if they are not there.
func (h *simHistory) answer(q *simQuery, m *simMoment, first uint64) (found []simKept, ok bool) {
	early := *m
	early.first = first
	from, before, ok := h.anchors(q, &early)
	if !ok {
		return nil, false
	}
	for seq := max(from, m.first); seq < min(before, m.next); seq++ {
		e := &m.track.order[seq]
		at := func(i int) int64 { return q.times[i].UnixNano() }
		switch {
		case !h.visible(e, m):
		case q.topic != "" && e.topic != q.topic:
		case !q.times[0].IsZero() && e.time < at(0), !q.times[1].IsZero() && e.time <= at(1):
		case !q.times[2].IsZero() && e.time >= at(2), !q.times[3].IsZero() && e.time > at(3):
		default:
			found = append(found, *e)
		}
	}
	if q.reverse {
		slices.Reverse(found)
	}
	if q.limit > 0 && len(found) > q.limit {
		found = found[:q.limit]
	}
	return found, true
}

// mayNot reports whether c may not, and whether it perhaps may, subscribe to what q is about.
func (c *simClient) mayNot(q *simQuery) (never, perhaps bool) {
	switch {
	case q.track == nil || c.sim.rules == nil || !realmtest.Matches(q.uri, q.match, simDenied):
		return false, false
	case c.authid != "":
		never = q.match == codec.Exact
		return never, never
	}
	never = true
	for _, who := range c.identities() {
		never = never && who.role == simOther
		perhaps = perhaps || who.role == simOther
	}
	return never, perhaps
}

// events checks the answer to a query.
func (c *simClient) events(q *simQuery, m *codec.Message) {
	h, s := c.sim.history, c.sim
	h.observe()
	if never, _ := c.mayNot(q); never || q.track == nil && q.reloads == h.reloads {
		s.fail("client %d gets events of %q, which it may not", c.number, q.uri)
		return
	}
	if q.track == nil {
		return
	}
	list := c.list(m)
	v, err := codec.Value(m.Payload.Format, m.Payload.Kwargs)
	more, ok := v.(map[string]any)
	if err != nil || !ok || more["x_cut"] != nil {
		s.fail("client %d: events with kwargs %v, %v", c.number, v, err)
		return
	}
	limited := more["is_limit_reached"]
	if q.reloads == h.reloads && limited != (q.first > 0) && (limited != true || q.track.first == 0) {
		s.fail("client %d: is_limit_reached is %v of %q, which begins with %d", c.number, limited, q.uri,
			q.track.first)
	}
	got := make([]simKept, len(list))
	for i := range list {
		got[i] = c.storedEvent(q, list[i])
	}
	if q.track.holes || s.t.Failed() {
		return
	}
	var want []simKept
	if !c.moments(q, func(m simMoment) bool {
		var ok bool
		want, ok = h.answer(q, &m, min(q.first, m.first))
		return ok && slices.Equal(want, got)
	}) {
		s.fail("client %d: events of %q with %+v:\n got %v\nwant %v", c.number, q.uri, *q, got, want)
	}
}

// list returns the arguments of a message.
func (c *simClient) list(m *codec.Message) []any {
	if m.Payload.Args == nil {
		return nil
	}
	v, err := codec.Value(m.Payload.Format, m.Payload.Args)
	list, ok := v.([]any)
	if err != nil || !ok {
		c.sim.fail("client %d: arguments %v, %v", c.number, v, err)
	}
	return list
}

// storedEvent checks one object that stands for an event.
func (c *simClient) storedEvent(q *simQuery, v any) (e simKept) {
	s := c.sim
	object, ok := v.(map[string]any)
	defer func() {
		if !ok {
			s.fail("client %d: a stored event of %q: %v", c.number, q.uri, v)
		}
	}()
	if !ok {
		return e
	}
	text, _ := object["timestamp"].(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	id, _ := object["publication"].(int64)
	args, _ := object["args"].([]any)
	details, isDict := object["details"].(map[string]any)
	if err != nil || len(args) == 0 || !isDict || object["subscription"] != int64(q.track.sub) &&
		q.reloads == s.history.reloads {
		ok = false
		return e
	}
	index, isIndex := args[0].(int64)
	if ok = isIndex; !ok {
		return e
	}
	topic, hasTopic := details["topic"].(string)
	if ok = hasTopic == (q.match != codec.Exact); !hasTopic {
		topic = q.uri
	}
	e = simKept{int(index), uint64(id), at.UnixNano(), topic}
	if index < 0 {
		return e
	}
	p := &s.published[index]
	scheme, _ := details["ppt_scheme"].(string)
	ok = ok && topic == p.topic && scheme == p.scheme && details["retained"] == nil
	level, trusted := details["trustlevel"].(int64)
	c.trusts(p, level, trusted)
	return e
}

// noEvents checks the error that a query is answered with.
func (c *simClient) noEvents(q *simQuery, call *simCall, m *codec.Message) {
	h, s := c.sim.history, c.sim
	h.observe()
	_, perhaps := c.mayNot(q)
	ok := false
	switch string(m.URI) {
	case codec.ErrCanceled:
		ok = call.canceled || c.mayBeKilled() || c.state != simJoined
	case codec.ErrNotAuthorized:
		ok = perhaps
	case codec.ErrNoSuchSubscription:
		ok = q.track == nil || q.reloads != h.reloads
	case codec.ErrUnavailable:
		ok = s.w.AsyncMax > 0 || q.reloads != h.reloads || h.disk.unread > q.unread
	case codec.ErrInvalidArgument:
		ok = q.track != nil && (q.track.holes || c.moments(q, func(m simMoment) bool {
			_, _, found := h.anchors(q, &m)
			return !found
		}))
	}
	if !ok {
		s.fail("client %d %q in state %d: events of %q with %+v: %s", c.number, c.authid, c.state, q.uri, *q, m.URI)
	}
}

// simLists are the lists of a publication that history keeps.
type simLists struct {
	key   string // of the option; "": none
	names []string
}

// A simIdentity is what lists go by.
type simIdentity struct{ authid, role string }

func (l simLists) admit(who simIdentity) bool {
	listed := slices.Contains(l.names, who.authid)
	if l.key == "exclude_authrole" || l.key == "eligible_authrole" {
		listed = slices.Contains(l.names, who.role)
	}
	switch l.key {
	case "exclude_authid", "exclude_authrole":
		return !listed
	case "eligible_authid", "eligible_authrole":
		return listed
	}
	return true
}

// lists are some, or none.
func (s *sim) lists() (l simLists) {
	if s.w.Rand(6) > 0 {
		return l
	}
	i := s.w.Rand(4)
	l.key = []string{"exclude_authid", "eligible_authid", "exclude_authrole", "eligible_authrole"}[i]
	for range s.w.Rand(3) {
		if i < 2 {
			l.names = append(l.names, simName(s.w.Rand(simUsers)))
		} else {
			l.names = append(l.names, []string{"user", "guest", simOther, anonymousRole, trustedRole}[s.w.Rand(5)])
		}
	}
	return l
}
