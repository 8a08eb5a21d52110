package realm

import (
	"math"
	"slices"
	"time"

	"banyan/codec"
	"banyan/realm/history"
	"banyan/realm/realmtest"
)

// Event history in TestSimulate: PUB-41 … PUB-54. Half of the seeds keep it of some topics and patterns, in memory
// and on a disk (simdisk_test.go), and change at run time of which. After each step the model looks what has come
// into the logs: so it knows their order, and what each query has to answer (simquery_test.go).
type simHistory struct {
	s        *sim
	disk     *simDisk
	bytesMax int64
	kept     map[simLog]*simTrack
	reloads  int         // how often the configuration was replaced
	stored   []Pattern   // PUBLISHED ever waited for the disk
	clocks   []time.Time // all that the clock ever was
}

// simHistories are the topics and patterns that may have history.
var simHistories = []Pattern{
	{"a", codec.Exact},
	{"a.b", codec.Exact},
	{"b", codec.Exact},
	{"a", codec.Prefix},
	{"", codec.Prefix},
	{"a..c", codec.Wildcard},
}

// A simLog names a log for the whole run.
type simLog struct {
	onDisk bool
	log    history.Log
}

// A simTrack is one log, and what the model knows of it.
type simTrack struct {
	simLog
	History
	sub       uint64
	eventsMin int             // the lowest bound that it had
	since     int             // publications from this index on have to be in it
	order     []simKept       // by number
	first     uint64          // number of the oldest
	holes     bool            // some came and went between two looks
	last      []simMark       // by publisher
	now       bool            // it is configured
	ages      []time.Duration // all that it ever had
	trimmed   bool            // it ever had a bound in bytes
	seen      map[int]bool
}

// A simKept is one record. Its index is simHole if the model has missed it.
type simKept struct {
	index       int
	publication uint64
	time        int64
	topic       string
}

// A simMark is the last record of one publisher.
type simMark struct {
	by    *simClient
	index int
}

const simHole = math.MinInt

func newSimHistory(s *sim) *simHistory {
	if s.w.Rand(2) == 0 {
		return nil
	}
	h := &simHistory{s: s, disk: newSimDisk(s), kept: map[simLog]*simTrack{}, clocks: []time.Time{noon}}
	if s.w.Rand(4) == 0 {
		h.bytesMax = int64(1500 + s.w.Rand(5000))
	}
	return h
}

// configure adds histories, at random, to a configuration.
func (h *simHistory) configure(cfg *Config) {
	if h == nil {
		return
	}
	cfg.Disk, cfg.HistoryBytesMax = h.disk, h.bytesMax
	for i := range cfg.Realms {
		cfg.Realms[i].History = h.histories(true)
	}
	for i := range cfg.Templates {
		cfg.Templates[i].History = h.histories(false)
	}
}

func (h *simHistory) histories(disk bool) (all []History) {
	rand := h.s.w.Rand
	for _, p := range simHistories {
		if rand(2) == 0 {
			continue
		}
		one := History{Pattern: p}
		if rand(2) == 0 {
			one.Events = 1 + rand(40)
		}
		if rand(6) == 0 {
			one.Bytes = int64(1000 + rand(2000))
		}
		if rand(4) == 0 {
			one.Age = time.Duration(1+rand(8)) * 10 * time.Millisecond
		}
		if disk && rand(2) == 0 {
			if one.OnDisk, one.AcknowledgeStored = true, rand(2) == 0; one.AcknowledgeStored {
				h.stored = append(h.stored, p)
			}
		}
		all = append(all, one)
	}
	return all
}

// reload replaces the configuration by one with other histories.
func (s *sim) reload() {
	if s.rules != nil {
		s.rules.reload()
	} else if s.history != nil {
		if err := s.router.apply(s.config(), func(Report) {}); err != nil {
			s.fail("%v", err)
		}
	}
	if s.history != nil {
		s.history.reloads++
		s.history.observe()
	}
}

// end takes all histories away, when the sessions have left.
func (h *simHistory) end() {
	if h == nil || h.s.router.named["realm1"] == nil {
		return
	}
	cfg := h.s.config()
	for i := range cfg.Realms {
		cfg.Realms[i].History = nil
	}
	for i := range cfg.Templates {
		cfg.Templates[i].History = nil
	}
	if err := h.s.router.apply(cfg, func(Report) {}); err != nil {
		h.s.fail("%v", err)
	}
	h.s.settle()
	if st := h.s.router.memory.Stats(); st.Logs != 0 || st.Bytes != 0 {
		h.s.fail("left in memory: %+v", st)
	}
	for i := range h.s.router.storing {
		if list := &h.s.router.storing[i]; list.open != 0 || list.done != nil {
			h.s.fail("%d publishers wait for the disk", list.open)
		}
	}
	if n := h.s.router.queries.Load(); n != 0 {
		h.s.fail("%d queries are under way", n)
	}
}

// charged is what the events in memory have of the budget.
func (h *simHistory) charged() int64 {
	if h == nil {
		return 0
	}
	return h.s.router.historyCharged.Load()
}

// step lets the disk do something.
func (h *simHistory) step() bool {
	if h == nil || !h.disk.step() {
		return false
	}
	h.s.drain()
	return true
}

// expire drops what is too old.
func (h *simHistory) expire() {
	if h == nil {
		return
	}
	now := h.s.router.clock()
	h.s.router.ExpireHistory(now)
	h.observe()
	for _, t := range h.tracks() {
		for seq := t.first; t.Age > 0 && seq < t.next(); seq++ {
			if e := t.order[seq]; e.index != simHole && e.time <= now.Add(-t.Age).UnixNano() &&
				t.order[t.first].time <= now.Add(-t.Age).UnixNano() {
				h.s.fail("publication %d of %q is too old, and there", e.index, t.URI)
			}
		}
	}
}

// tracks are the logs that are configured now, in the order of the configuration.
func (h *simHistory) tracks() (all []*simTrack) {
	rm := h.s.router.named["realm1"]
	if rm == nil {
		return nil
	}
	rc := rm.recording.Load()
	if rc == nil {
		return nil
	}
	set := rm.settings.Load()
	for _, one := range rc.all {
		key := simLog{one.onDisk, one.log}
		t := h.kept[key]
		if t == nil {
			t = &simTrack{simLog: key, eventsMin: math.MaxInt, seen: map[int]bool{}}
			h.kept[key] = t
		}
		if !t.now {
			t.since = len(h.s.published)
		}
		if t.sub != 0 && t.sub != one.sub.id && t.now {
			h.s.fail("the subscription of %q was %d and is %d", one.key.URI, t.sub, one.sub.id)
		}
		i := slices.IndexFunc(set.History, func(h History) bool {
			return h.URI == one.key.URI && h.Match == one.key.Match
		})
		t.History, t.sub = set.History[i], one.sub.id
		t.Bounds = t.Bounds.WithDefaults()
		t.eventsMin = min(t.eventsMin, t.Events)
		t.trimmed = t.trimmed || t.Bytes < history.DefaultBytes
		if !slices.Contains(t.ages, t.Age) {
			t.ages = append(t.ages, t.Age)
		}
		all = append(all, t)
	}
	return all
}

// observe looks what has come into the logs, and what has gone.
func (h *simHistory) observe() {
	if h == nil {
		return
	}
	now := h.tracks()
	for _, t := range h.kept {
		t.now = false
	}
	for _, t := range now {
		t.now = true
	}
	for _, t := range h.kept {
		if t.now || t.onDisk { // the disk still commits what was in its queue
			h.look(t)
		}
	}
}

func (t *simTrack) next() uint64 { return uint64(len(t.order)) }

func (h *simHistory) store(t *simTrack) history.Store {
	if t.onDisk {
		return h.disk.Memory
	}
	return h.s.router.memory
}

func (h *simHistory) look(t *simTrack) {
	s, store := h.s, h.store(t)
	span, err := store.Span(t.log)
	if err != nil || span.First < t.first || span.Next < t.next() {
		s.fail("the log of %q was %d to %d, and is %+v, %v", t.URI, t.first, t.next(), span, err)
		return
	}
	t.first = span.First
	for t.next() < min(span.First, span.Next) {
		t.holes = true
		t.order = append(t.order, simKept{index: simHole})
	}
	if n := int(span.Next - span.First); n > t.Events {
		s.fail("%d events of %q, at most %d", n, t.URI, t.Events)
	}
	err = store.Scan(t.log, t.next(), math.MaxUint64, false, func(seq uint64, rec []byte) bool {
		e, err := history.ReadRecord(rec)
		if err != nil || seq != t.next() {
			s.fail("record %d of %q: %v", seq, t.URI, err)
			return false
		}
		h.note(t, &e)
		return true
	})
	if err != nil || t.next() != span.Next {
		s.fail("%d of %+v records of %q, %v", t.next(), span, t.URI, err)
	}
}

// note checks an event that is new in a log.
func (h *simHistory) note(t *simTrack, e *history.Event) {
	s := h.s
	index := eventIndex(s, e)
	t.order = append(t.order, simKept{index, e.Publication, e.Time, string(e.Topic)})
	if t.seen[index] {
		s.fail("publication %d is twice in the history of %q", index, t.URI)
	}
	t.seen[index] = true
	if !realmtest.Matches(t.URI, t.Match, string(e.Topic)) {
		s.fail("publication %d to %q is in the history of %q, %d", index, e.Topic, t.URI, t.Match)
	}
	if index < 0 {
		return // a testament
	}
	p := &s.published[index]
	switch {
	case p.denied, p.unstored:
		s.fail("publication %d is in the history of %q and was refused", index, t.URI)
	case p.not != 0:
		s.fail("publication %d is in the history of %q and excludes a session", index, t.URI)
	case p.topic != string(e.Topic):
		s.fail("publication %d is to %q, not %q", index, p.topic, e.Topic)
	case e.Time < p.sent.UnixNano() || e.Time > s.router.clock().UnixNano():
		s.fail("publication %d is of %d", index, e.Time)
	case t.onDisk && (h.disk.lost[index] || h.disk.refused[index]):
		s.fail("publication %d is in the history of %q, whose disk did not take it", index, t.URI)
	}
	p.by.seen(index, e.Publication)
	i := slices.IndexFunc(t.last, func(m simMark) bool { return m.by == p.by })
	switch {
	case i < 0:
		t.last = append(t.last, simMark{p.by, index})
	case t.last[i].index > index:
		s.fail("publication %d is in the history of %q behind %d", index, t.URI, t.last[i].index)
	default:
		t.last[i].index = index
	}
}

// storedTopic reports whether PUBLISHED of a topic ever waited for the disk.
func (h *simHistory) storedTopic(topic string) bool {
	return h != nil && slices.ContainsFunc(h.stored, func(p Pattern) bool {
		return realmtest.Matches(p.URI, p.Match, topic)
	})
}

// perhapsUnstored reports whether the disk has refused p, and nobody may have been told.
func (h *simHistory) perhapsUnstored(index int) bool {
	if h == nil {
		return false
	}
	p := &h.s.published[index]
	return p.ack && h.disk.refused[index] && h.storedTopic(p.topic)
}

// check checks, when everything is at rest, that all is kept that has to be.
func (h *simHistory) check() {
	if h == nil {
		return
	}
	h.observe()
	s := h.s
	for _, t := range h.tracks() {
		if kept := t.next() - t.first; slices.Max(t.ages) == 0 && !t.trimmed && (t.onDisk || h.bytesMax == 0) &&
			kept < min(uint64(t.eventsMin), t.next()) {
			s.fail("%d events of %q, of %d", kept, t.URI, t.next())
		}
		for i := max(t.since, s.settled); i < len(s.published) && !t.holes; i++ {
			p := &s.published[i]
			if !realmtest.Matches(t.URI, t.Match, p.topic) || p.not != 0 || p.denied || p.unstored || p.maybe ||
				s.perhapsRefused(p) || h.perhapsUnstored(i) || t.onDisk && (h.disk.lost[i] || h.disk.refused[i]) {
				continue
			}
			if !t.seen[i] {
				s.fail("publication %d is not in the history of %q, %d", i, t.URI, t.Match)
			}
		}
	}
}

// published checks that what waited for the disk is there.
func (h *simHistory) published(c *simClient, index int) {
	if h == nil {
		return
	}
	p := &h.s.published[index]
	for _, t := range h.tracks() {
		if !t.AcknowledgeStored || p.reloads != h.reloads || p.not != 0 || t.holes ||
			!realmtest.Matches(t.URI, t.Match, p.topic) {
			continue
		}
		if !t.seen[index] {
			h.s.fail("client %d: PUBLISHED of publication %d came before the disk had it", c.number, index)
		}
		if index < c.lastStored {
			h.s.fail("client %d: PUBLISHED of publication %d came behind that of %d", c.number, index, c.lastStored)
		}
		c.lastStored = index
	}
}
