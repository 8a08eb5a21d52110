package history

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"banyan/codec"
)

// ErrRetainedFull: the realm retains as much as it may. What was retained before stays.
var ErrRetainedFull = errors.New("history: this realm retains as many events as it may")

// Retained keeps the last event of each topic of one realm that was published with retain (PROTOCOL 7.9). For each
// topic that is the newest event without lists, and the newer ones with lists, at most restrictedMax.
//
// It is in memory only. The specification calls retention best effort and asks for nothing that outlives the router;
// an event whose lists name session ids means nothing after a restart; and a state that is older than the router
// would be told to newcomers as if somebody still vouched for it. Durable events are what history is for.
//
// Any goroutine may call it, also a loop: no call takes longer than a look-up, the copy of one event, or the steps
// that it was given.
type Retained struct {
	eventsMax int
	bytesMax  int64

	mu      sync.Mutex
	topics  map[string]*retainedTopic
	oldest  *retention
	newest  *retention
	seq     uint64 // of the newest event
	events  int
	bytes   int64
	refused int64
	trimmed int64
	closed  bool

	// What reservations will add, at most.
	eventsReserved int
	bytesReserved  int64
}

// A Reservation is room for an event that nobody finds yet.
type Reservation struct {
	event *Event
	more  int   // events
	bytes int64 // more of them
}

// A retainedTopic is one topic.
type retainedTopic struct {
	topic  string
	events []*Event // oldest first; immutable
	last   *retention
}

// A retention is the place of a topic in the order in which topics were retained last. An event with lists moves no
// topic: a search would miss the older one, which others may have. When the topic leaves its place, topic becomes
// nil and newer stays: a search that stands here goes on from there, and every place that it can miss so is newer
// than the search.
type retention struct {
	topic        *retainedTopic
	seq          uint64
	older, newer *retention
}

// RetainedStats count what a Retained holds and refused.
type RetainedStats struct {
	Topics, Events int
	Bytes          int64
	Refused        int64 // ErrRetainedFull
	Trimmed        int64 // events that went because the bounds became smaller
}

// NewRetained returns a Retained for at most so many events and octets. 0 stands for the default.
func NewRetained(eventsMax int, bytesMax int64) *Retained {
	r := &Retained{topics: make(map[string]*retainedTopic)}
	r.SetBounds(eventsMax, bytesMax)
	return r
}

// SetBounds changes how much may be retained. If it is less, what is beyond goes with Trim.
func (r *Retained) SetBounds(eventsMax int, bytesMax int64) {
	if eventsMax <= 0 {
		eventsMax = DefaultRetainedEvents
	}
	if bytesMax <= 0 {
		bytesMax = DefaultRetainedBytes
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.eventsMax, r.bytesMax = eventsMax, bytesMax
}

// Trim forgets topics, those retained longest ago first, until the bounds are kept, but no more than so many topics.
// It returns how many bytes that were, and whether there is more to do. Only bounds that have become smaller need it:
// at a bound events are refused.
func (r *Retained) Trim(topics int) (freed int64, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events, bytes := r.events, r.bytes
	for ; topics > 0 && r.beyond(); topics-- {
		r.remove(r.oldest.topic)
	}
	r.trimmed += int64(events - r.events)
	return bytes - r.bytes, r.beyond()
}

// beyond reports whether more is retained than may be. The lock is held.
func (r *Retained) beyond() bool {
	return r.events > r.eventsMax || r.bytes > r.bytesMax
}

// Put retains a copy of e, which takes e.Bytes(), and returns how many bytes of others have gone for it. An event
// without lists replaces all of its topic, one with lists those that it would exceed restrictedMax with. Putting one
// without payload removes nothing. On ErrRetainedFull nothing has changed: the caller refuses the publication, or, if
// it has no lists, calls Remove so that nobody takes an older event for the last one. After Close it fails with
// ErrClosed.
func (r *Retained) Put(e *Event) (freed int64, err error) {
	e = e.Clone()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err = r.room(e); err != nil {
		return 0, err
	}
	return r.keep(e), nil
}

// Reserve makes a copy of e and room for it, as Put does, and changes nothing that anybody can find: Keep does, or
// Drop gives the room back. So the caller can ask somebody else first whether the event is to be kept at all.
func (r *Retained) Reserve(e *Event) (Reservation, error) {
	e = e.Clone()
	r.mu.Lock()
	defer r.mu.Unlock()
	v, err := r.room(e)
	if err != nil {
		return Reservation{}, err
	}
	r.eventsReserved += v.more
	r.bytesReserved += v.bytes
	return v, nil
}

// Keep retains the event of v, and returns how many bytes have gone for it; all of its own if there was a Close. It
// does not fail: if what it was to replace went meanwhile, there may be one event more than the bound.
func (r *Retained) Keep(v Reservation) (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(v)
	if r.closed {
		return int64(v.event.Bytes())
	}
	return r.keep(v.event)
}

// Drop gives the room of v back.
func (r *Retained) Drop(v Reservation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(v)
}

func (r *Retained) release(v Reservation) {
	r.eventsReserved -= v.more
	r.bytesReserved -= v.bytes
}

// room looks whether there is room for e, beside what is there and reserved. The lock is held.
func (r *Retained) room(e *Event) (Reservation, error) {
	if r.closed {
		return Reservation{}, ErrClosed
	}
	v := Reservation{event: e, more: 1, bytes: int64(e.Bytes())}
	if t := r.topics[string(e.Topic)]; t != nil {
		replaced := t.replacedBy(e)
		v.more -= len(replaced)
		v.bytes -= bytesOf(replaced)
	}
	v.more, v.bytes = max(v.more, 0), max(v.bytes, 0)
	if v.more > 0 && r.events+r.eventsReserved+v.more > r.eventsMax ||
		v.bytes > 0 && r.bytes+r.bytesReserved+v.bytes > r.bytesMax {
		r.refused++
		return Reservation{}, ErrRetainedFull
	}
	return v, nil
}

// keep puts e, which is the caller's to give away, into its topic. The lock is held.
func (r *Retained) keep(e *Event) (freed int64) {
	r.seq++
	e.retained = r.seq
	t := r.topics[string(e.Topic)]
	var replaced []*Event
	switch {
	case t == nil:
		t = &retainedTopic{topic: string(e.Topic)}
		r.topics[t.topic] = t
		r.link(t)
	case e.Filter == nil:
		replaced = t.replacedBy(e)
		r.unlink(t.last)
		r.link(t)
	default:
		replaced = t.replacedBy(e)
	}
	kept := make([]*Event, 0, len(t.events)+1-len(replaced))
	for _, old := range t.events {
		if !slices.Contains(replaced, old) {
			kept = append(kept, old)
		}
	}
	t.events = append(kept, e)
	freed = bytesOf(replaced)
	r.events += 1 - len(replaced)
	r.bytes += int64(e.Bytes()) - freed
	return freed
}

func bytesOf(events []*Event) (n int64) {
	for _, e := range events {
		n += int64(e.Bytes())
	}
	return n
}

// link puts t at the end of the order.
func (r *Retained) link(t *retainedTopic) {
	t.last = &retention{topic: t, seq: r.seq, older: r.newest}
	if r.newest != nil {
		r.newest.newer = t.last
	} else {
		r.oldest = t.last
	}
	r.newest = t.last
}

// replacedBy returns the events that go when e comes.
func (t *retainedTopic) replacedBy(e *Event) []*Event {
	if e.Filter == nil {
		return t.events
	}
	lists := t.events
	if lists[0].Filter == nil {
		lists = lists[1:]
	}
	if len(lists) < restrictedMax {
		return nil
	}
	return lists[:1]
}

// unlink takes p out of the order.
func (r *Retained) unlink(p *retention) {
	if p.older != nil {
		p.older.newer = p.newer
	} else {
		r.oldest = p.newer
	}
	if p.newer != nil {
		p.newer.older = p.older
	} else {
		r.newest = p.older
	}
	p.topic, p.older = nil, nil
}

// Get returns the newest retained event of topic that who may have, or nil. The event is shared and must not be
// changed.
func (r *Retained) Get(topic []byte, who *codec.Identity) *Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t := r.topics[string(topic)]; t != nil {
		return t.admitted(who)
	}
	return nil
}

func (t *retainedTopic) admitted(who *codec.Identity) *Event {
	for i := len(t.events) - 1; i >= 0; i-- {
		e := t.events[i]
		if e.Filter.admitsSoon(who) && !(e.ExcludeMe && e.Publisher.Session == who.Session) {
			return e
		}
	}
	return nil
}

// Remove forgets what is retained for topic, and returns how many events and bytes that were.
func (r *Retained) Remove(topic []byte) (events int, freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[string(topic)]
	if t == nil {
		return 0, 0
	}
	events, freed = r.events, r.bytes
	r.remove(t)
	return events - r.events, freed - r.bytes
}

// Close forgets everything, and returns how many bytes that were. Nothing is retained any more. It may be called
// twice.
func (r *Retained) Close() (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	freed = r.bytes
	for p := r.oldest; p != nil; p = p.newer {
		p.topic = nil // searches that stand here end
	}
	r.closed, r.topics, r.oldest, r.newest, r.events, r.bytes = true, nil, nil, nil, 0, 0
	return freed
}

func (r *Retained) remove(t *retainedTopic) {
	r.unlink(t.last)
	delete(r.topics, t.topic)
	r.events -= len(t.events)
	r.bytes -= bytesOf(t.events)
}

// Stats returns what is held.
func (r *Retained) Stats() RetainedStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RetainedStats{
		Topics: len(r.topics), Events: r.events, Bytes: r.bytes, Refused: r.refused, Trimmed: r.trimmed,
	}
}

// A RetainedSearch finds the retained events of the topics that a pattern matches, in the order of retention, a few
// steps at a time. A topic that is retained anew for everybody meanwhile may not be found any more: that event was
// published while the subscription was there. One goroutine at a time may use it, for a few turns; it may be dropped
// at any time.
type RetainedSearch struct {
	r       *Retained
	pattern string
	match   codec.Match
	who     codec.Identity
	left    int
	at      *retention // nil: ended
	end     uint64     // what is newer is not looked at
}

// Search begins a search for at most eventsMax events that who may have.
func (r *Retained) Search(pattern string, match codec.Match, who codec.Identity, eventsMax int) *RetainedSearch {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &RetainedSearch{
		r: r, pattern: pattern, match: match, who: who, left: eventsMax, at: r.oldest, end: r.seq,
	}
}

// Next appends the next events to dst, after a look at no more than so many topics, and reports whether there are no
// more.
func (s *RetainedSearch) Next(dst []*Event, steps int) (found []*Event, ended bool) {
	ended = s.walk(steps, func(t *retainedTopic) {
		if e := t.admitted(&s.who); e != nil {
			dst = append(dst, e)
			s.left--
		}
	})
	return dst, ended
}

// NextTopics is Next for the topics, whoever may have their events.
func (s *RetainedSearch) NextTopics(dst []string, steps int) (found []string, ended bool) {
	ended = s.walk(steps, func(t *retainedTopic) { dst = append(dst, t.topic) })
	return dst, ended
}

// walk visits the next topics that match, after a look at no more than so many, and reports whether it is at its end.
func (s *RetainedSearch) walk(steps int, visit func(t *retainedTopic)) (ended bool) {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	for ; s.at != nil; s.at = s.at.newer {
		if s.at.seq > s.end || s.left <= 0 {
			s.at = nil
			break
		}
		if steps <= 0 {
			return false
		}
		steps--
		if t := s.at.topic; t != nil && matches(s.pattern, s.match, t.topic) {
			visit(t)
		}
	}
	return true
}

// matches reports whether the pattern matches the topic (PROTOCOL 3.4).
func matches(pattern string, match codec.Match, topic string) bool {
	switch match {
	case codec.Exact:
		return pattern == topic
	case codec.Prefix:
		return strings.HasPrefix(topic, pattern)
	}
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		t, restT, moreT := strings.Cut(topic, ".")
		if moreP != moreT || p != "" && p != t {
			return false
		}
		if !moreP {
			return true
		}
		pattern, topic = restP, restT
	}
}
