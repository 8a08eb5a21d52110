package realm

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// wamp.subscription.get_events (PROTOCOL 7.8):
//
//  1. the caller's loop: the arguments, the subscription, and whether the caller may subscribe to it
//  2. page by page: the events are read, from a disk by a goroutine, and encoded for the caller in the pool, where
//     other work gets its turn between two pages
//  3. the caller's loop: RESULT, whose arguments are the events; its kwargs are
//
//	is_limit_reached  the history has dropped older events, as nexus says it too
//	x_cut             true: there are more than the router returns at once
//	x_too_long        so many are left out: in a RESULT of its own each is longer than the caller's transport takes
//	x_untranscodable  so many are left out: the caller's serializer cannot carry them
//
// Those that are left out do not count toward limit, so after_publication with the last event that came gets past
// them.
//
// A query looks at the whole history if need be: for the publications that it names, the newest events first, and
// then for those that meet its conditions. queryTimeMax bounds it.
//
// The session is held from 1 to 3, as for every meta call: it has one query under way, and messages behind it, also
// GOODBYE, wait for the answer. A disk that does not answer holds it for queryReadMax at most.
//
// Events whose lists do not admit the caller are left out as if they were not there.

// A query is one of them. Owned by the caller's loop, except while a page is read or encoded: then by who does that.
type query struct {
	call   *metaCall
	cursor *history.Cursor
	store  history.Store
	sub    *subscription
	limit  int
	ours   bool // the limit is the router's, not the query's
	roomy  int  // octets of events that a RESULT to the caller has room for
	onDisk bool
	latest time.Duration // uptime at which the query has had its time

	page           history.Page
	events         []any // codec.Raw
	octets         int
	charged        int // bytes of the budget
	trimmed, cut   bool
	tooLong, lost  int64 // events that the caller cannot get: for their length, or for its serializer
	err            error
	args, kwargs   []byte
	ended, settled bool          // settled is owned by the loop
	until          time.Duration // owned by loop: uptime at which the disk has had its time; 0: it is not asked
	overdue        bool          // owned by loop: it had, and the call is answered
	fetched        atomic.Bool   // a page has come from the disk
	timer          port.Timer    // on the loop, if there is a disk
}

var (
	refuseNoHistory = &refusal{codec.ErrNoSuchSubscription, "no history is kept of this subscription"}
	refuseNoEvent   = &refusal{codec.ErrInvalidArgument, "a publication that the query names is not in this history"}
	refuseSlow      = &refusal{codec.ErrUnavailable, "the history could not be looked through in the time that a " +
		"query has"}
	refuseNotRead = &refusal{codec.ErrUnavailable, "the history cannot be read; ask whoever runs the router"}
)

func (m *metaCall) subscriptionGetEvents(x port.Executor, l *perLoop) {
	wanted, ok := m.historyQuery()
	if !ok {
		m.fail(x, l, refuseArguments)
		return
	}
	m.subscription(x, l, 1, func(x port.Executor, l *perLoop, sub *subscription) {
		s := m.session
		if s.left {
			return
		}
		l.set = s.realm.settings.Load() // another realm may have had the loop meanwhile
		m.wait(x)
		s.may(x, l, Subscribe, []byte(sub.uri), sub.match, func(x port.Executor, l *perLoop, why *refusal, _ terms) {
			one := s.realm.recording.Load().find(sub)
			switch {
			case why != nil:
				m.fail(x, l, why)
			case one == nil:
				m.fail(x, l, refuseNoHistory)
			default:
				m.query(x, l, one, &wanted)
			}
		})
	})
}

// historyQuery reads the conditions.
func (m *metaCall) historyQuery() (q history.Query, ok bool) {
	for name, v := range m.kwargs {
		if v == nil {
			continue
		}
		read, known := queryConditions[name]
		if known && !read(&q, v) {
			return q, false
		}
	}
	return q, true
}

// queryConditions are the keyword arguments of get_events: each reads its value, or says that it is no good.
var queryConditions = map[string]func(q *history.Query, v any) bool{
	"reverse": func(q *history.Query, v any) (ok bool) { q.Reverse, ok = v.(bool); return ok },
	"limit": func(q *history.Query, v any) bool {
		n, ok := wholeNumber(v)
		q.Limit = int(min(n, 1<<30))
		return ok && n > 0
	},
	"topic": func(q *history.Query, v any) bool {
		text, ok := v.(string)
		q.Topic = []byte(text)
		return ok && codec.ValidURI(q.Topic, codec.Exact, false)
	},
	// Events have times of whole nanoseconds: from and after a time between two of them is the same, and so on.
	"from_time":          timeCondition((*history.Query).FromTime, (*history.Query).AfterTime),
	"after_time":         timeCondition((*history.Query).AfterTime, (*history.Query).AfterTime),
	"before_time":        timeCondition((*history.Query).BeforeTime, (*history.Query).UntilTime),
	"until_time":         timeCondition((*history.Query).UntilTime, (*history.Query).UntilTime),
	"from_publication":   publicationCondition(func(q *history.Query) *uint64 { return &q.FromPublication }),
	"after_publication":  publicationCondition(func(q *history.Query) *uint64 { return &q.AfterPublication }),
	"before_publication": publicationCondition(func(q *history.Query) *uint64 { return &q.BeforePublication }),
	"until_publication":  publicationCondition(func(q *history.Query) *uint64 { return &q.UntilPublication }),
}

func timeCondition(at, between func(q *history.Query, t time.Time)) func(q *history.Query, v any) bool {
	return func(q *history.Query, v any) bool {
		text, _ := v.(string)
		t, exact, ok := parseTime(text)
		switch {
		case !ok:
			return false
		case exact:
			at(q, t)
		default:
			between(q, t)
		}
		return true
	}
}

func publicationCondition(field func(q *history.Query) *uint64) func(q *history.Query, v any) bool {
	return func(q *history.Query, v any) bool {
		id, ok := wholeNumber(v)
		*field(q) = id
		return ok && id > 0
	}
}

// query has the events read and encoded.
func (m *metaCall) query(x port.Executor, l *perLoop, one *recorder, wanted *history.Query) {
	s := m.session
	r := s.realm.router
	if r.queries.Add(1) > queriesAtOnce || !x.Charge(queryPageBytes) {
		r.queries.Add(-1)
		l.counters.queriesRefused.Add(1)
		m.fail(x, l, refuseBusy)
		return
	}
	wanted.Reader, wanted.Now = *s.who(), r.clock()
	q := &query{
		call: m, store: one.store, sub: one.sub, onDisk: one.onDisk, charged: queryPageBytes,
		latest: r.uptime() + queryTimeMax,
		roomy:  s.bytesMax - resultHead(s.serializer, m.call.request),
	}
	if wanted.Limit == 0 || wanted.Limit > queryEventsMax {
		wanted.Limit, q.ours = queryEventsMax, true
	}
	q.limit, q.cursor = wanted.Limit, history.NewCursor(one.store, one.log, wanted)
	if q.onDisk {
		q.timer.Fire = func(x port.Executor) {
			if q.encodeLater(x); !q.settled {
				q.hurry(x)
				x.Start(&q.timer, queryLookAfter)
			}
		}
		x.Start(&q.timer, queryLookAfter)
	}
	q.next(x)
}

// resultHead is how many octets a RESULT of get_events has beside one event, if its kwargs say all that they may.
func resultHead(to codec.Serializer, request uint64) int {
	const many = math.MaxInt32
	q := query{tooLong: many, lost: many, cut: true}
	kwargs, _ := q.more(to)
	args, _ := codec.AppendValue(nil, to, []any{}) // cannot fail, nor can the others
	msg, _ := codec.AppendResult(nil, to, request, new(codec.Details), &codec.Payload{
		Format: to, Args: args, Kwargs: kwargs,
	}, codec.MessageBytesMax)
	return len(msg)
}

var errQueryTime = errors.New("the query has had its time")

// next has the next page read and encoded, or answers.
func (q *query) next(x port.Executor) {
	s := q.call.session
	r := s.realm.router
	switch {
	case q.ended || q.err != nil || s.left:
		q.finish(x)
	case r.uptime() >= q.latest && len(q.events) == 0:
		q.err = errQueryTime
		q.finish(x)
	case r.uptime() >= q.latest, !q.makeRoom(x): // then those that were found are the answer
		q.cut, q.ended = true, true
		q.slowly(x, q.compose)
	case q.onDisk:
		q.until = r.uptime() + queryReadMax
		r.background(func() {
			q.err = q.read()
			q.fetched.Store(true)
			_ = r.submit(s.home, q.encodeLater) // else the timer
		})
	default:
		q.slowly(x, func() error {
			if err := q.read(); err != nil {
				return err
			}
			return q.encodePage()
		})
	}
}

// makeRoom charges what one more page takes, and reports whether there is so much.
func (q *query) makeRoom(x port.Executor) bool {
	more := q.octets + queryPageBytes - q.charged
	if more > 0 && !x.Charge(more) {
		return false
	}
	q.charged += max(more, 0)
	return true
}

// encodeLater has a page that has come from the disk encoded.
func (q *query) encodeLater(x port.Executor) {
	if !q.fetched.CompareAndSwap(true, false) {
		return
	}
	q.until = 0
	if q.err != nil || q.overdue {
		q.finish(x)
	} else {
		q.slowly(x, q.encodePage)
	}
}

// hurry answers the call if the disk has had its time. The query counts, and is charged, until the disk lets it go.
func (q *query) hurry(x port.Executor) {
	s := q.call.session
	r := s.realm.router
	if q.until == 0 || r.uptime() < q.until {
		return
	}
	q.until, q.overdue = 0, true
	l := r.perLoop[x.Loop()]
	l.counters.queriesRefused.Add(1)
	x.Warn("the disk of a history does not answer", "realm", s.realm.uri, "topic", q.sub.uri)
	q.call.fail(x, l, refuseNotRead)
}

// slowly has the pool work on a page, and then goes on with the next one.
func (q *query) slowly(x port.Executor, work func() error) {
	q.err = errNoForm // if it panics
	if !x.AsyncSlow(func(context.Context) { q.err = work() }, q.next) {
		q.err = history.ErrBusy
		q.finish(x)
	}
}

// read fetches a page. Any goroutine; it may wait for a disk.
func (q *query) read() (failed error) {
	read := make(chan struct{})
	err := q.store.Read(q.cursor, func(p history.Page, err error) {
		q.page, failed = p, err
		close(read)
	})
	if err != nil {
		return err
	}
	<-read
	return failed
}

// encodePage encodes the events of a page, and after the last one the answer. Any goroutine.
func (q *query) encodePage() error {
	q.trimmed, q.ended = q.page.Trimmed, q.page.Done
	rest := q.page.Events
	for ; len(rest) > 0 && len(q.events) < q.limit; rest = rest[1:] {
		if !q.add(&rest[0]) {
			q.cut, q.ended = true, true
			break
		}
	}
	switch {
	case len(q.events) == q.limit && (len(rest) > 0 || q.page.Full || !q.ended):
		q.cut, q.ended = q.ours, true
	case q.page.Full && !q.cut: // some were left out
		q.cursor.Continue()
		q.ended = false
	}
	q.page = history.Page{}
	if !q.ended {
		return nil
	}
	return q.compose()
}

// compose makes the answer of the events. Any goroutine.
func (q *query) compose() (err error) {
	to := q.call.session.serializer
	if q.args, err = codec.AppendValue(make([]byte, 0, q.octets+16), to, q.events); err != nil {
		return err
	}
	q.events = nil
	q.kwargs, err = q.more(to)
	return err
}

// more makes the kwargs of the answer.
func (q *query) more(to codec.Serializer) ([]byte, error) {
	more := map[string]any{"is_limit_reached": q.trimmed}
	if q.cut {
		more["x_cut"] = true
	}
	if q.tooLong > 0 {
		more["x_too_long"] = q.tooLong
	}
	if q.lost > 0 {
		more["x_untranscodable"] = q.lost
	}
	return codec.AppendValue(nil, to, more)
}

// add encodes an event. It returns false if the answer has no room for it. An event that the caller cannot get at all
// is left out, as the EVENT was.
func (q *query) add(e *history.Event) bool {
	to := q.call.session.serializer
	b, err := q.encode(to, e)
	switch {
	case errors.Is(err, codec.ErrTooLong), len(b) > q.roomy:
		q.tooLong++
	case err != nil:
		q.lost++
	case len(q.events) > 0 && q.octets+len(b) > min(q.roomy, queryBytesMax):
		return false
	default:
		q.events = append(q.events, codec.Raw{Format: to, Octets: b})
		q.octets += len(b) + 1 // and a comma, or what the head of a longer list takes
	}
	return true
}

// encode makes the object that stands for an event.
func (q *query) encode(to codec.Serializer, e *history.Event) ([]byte, error) {
	d, err := keptDetails(e, q.sub.match)
	if err != nil {
		return nil, err
	}
	object := map[string]any{
		"timestamp":    time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano),
		"subscription": q.sub.id,
		"publication":  e.Publication,
		"details":      codec.Raw{Format: to, Octets: codec.AppendEventDetails(nil, to, &d)},
	}
	p, err := e.Payload.In(to, max(q.roomy, 0)) // a longer one costs no more
	if err != nil {
		return nil, err
	}
	switch {
	case p.Transparent:
		object["args"] = []any{codec.Raw{Format: to, Octets: p.Args}}
	case p.Args != nil:
		object["args"] = codec.Raw{Format: to, Octets: p.Args}
	}
	if p.Kwargs != nil {
		object["kwargs"] = codec.Raw{Format: to, Octets: p.Kwargs}
	}
	return codec.AppendValue(nil, to, object)
}

// finish answers the call. The caller's loop.
func (q *query) finish(x port.Executor) {
	if q.settled {
		return
	}
	q.settled = true
	x.Stop(&q.timer)
	x.Charge(-q.charged)
	m := q.call
	r := m.session.realm.router
	r.queries.Add(-1)
	if q.overdue {
		return
	}
	l := r.perLoop[x.Loop()]
	l.counters.eventsTooLong.Add(q.tooLong)
	l.counters.eventsUntranscodable.Add(q.lost)
	switch {
	case m.session.left: // perhaps between two pages
		m.fail(x, l, refuseBusy)
	case q.err == nil:
		l.counters.queries.Add(1)
		m.finishWith(x, l, &codec.Payload{Format: m.session.serializer, Args: q.args, Kwargs: q.kwargs}, nil)
	case errors.Is(q.err, history.ErrNoPublication):
		m.fail(x, l, refuseNoEvent)
	case errors.Is(q.err, errQueryTime):
		l.counters.queriesRefused.Add(1)
		m.fail(x, l, refuseSlow)
	case errors.Is(q.err, history.ErrBusy):
		l.counters.queriesRefused.Add(1)
		m.fail(x, l, refuseBusy)
	default:
		l.counters.queriesRefused.Add(1)
		x.Warn("a history cannot be read", "realm", m.session.realm.uri, "topic", q.sub.uri, "error", q.err)
		m.fail(x, l, refuseNotRead)
	}
}
