package realm

import (
	"errors"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/index"
)

// Messages that take longer than a turn may last (DESIGN 8.2, 8.10). The connection of their session is held
// meanwhile, so everything behind them keeps its order; other sessions go on.
//
//	a large message                  is checked in the pool, and then handled on its loop
//	… for another serializer         its payload is transcoded in the pool, and then its handling is tried again
//	one that takes long to transcode the same, whatever its length (forms.go)
//	a large event                    is encoded in the pool, one subscription after the other
//	an event that matches many       is encoded chunk by chunk, and goes on when a chunk is delivered
//	a call with many patterns to try is searched for chunk by chunk
//	a large event that is kept       is copied in the pool before it is delivered (keep.go)
//	a SUBSCRIBE that is sent many retained events, or large ones, sends them chunk by chunk (retained.go)
//	a meta call that other loops or the pool have a part in (meta.go)
//	a request that an authorizer decides waits for its answer (authorizer.go)
//	GOODBYE waits until the disk has what its session has published (stored.go)
//
// The session may be disposed while it waits. Work that comes back then sees that session.waiting is no longer its
// own, and ends. But an event that was accepted, perhaps acknowledged, still goes to everybody.

// A waiting is one such message. Owned by the session's loop, but for what is being worked on in the pool.
type waiting struct {
	session *session
	raw     []byte // the message; message points into it
	pinned  int    // bytes that stay allocated with raw
	decoder codec.Decoder
	message codec.Message
	forms   [codec.CBOR + 1]*form // what has been transcoded, by serializer
	more    bool                  // the handling of the message has not ended yet
	timer   port.Timer            // until the pool is asked again
	large   bool                  // the message is too long for the loop

	// rerouted is a call that is given to another callee, or nil. With it the connection is not held: the session
	// goes on, and w is its message under way only while handle runs.
	rerouted *call

	question *question // to an authorizer, or nil
	verdict  *verdict  // what came of it, or nil
}

// errNoForm stands where the work of the pool came to nothing: it panicked, which the pool has logged.
var errNoForm = errors.New("realm: the payload could not be transcoded")

// A form is a payload in another serializer.
type form struct {
	payload codec.Payload
	err     error
}

// wait makes the session wait with the message b, which is decoded unless that is left to the caller.
func (s *session) wait(x port.Executor, b []byte) *waiting {
	w := &waiting{session: s}
	w.raw, w.pinned = s.conn.Keep(b)
	w.decoder.SetDepthMax(s.realm.router.depthMax)
	s.waiting = w
	s.conn.Hold(x)
	return w
}

// current reports whether the session still waits with w.
func (w *waiting) current() bool { return w.session.waiting == w }

// end lets the session go on.
func (w *waiting) end(x port.Executor) {
	w.session.waiting = nil
	w.session.conn.Resume(x)
}

// handle runs f, a part of the handling of the message, and lets the session go on if that was all.
func (w *waiting) handle(x port.Executor, f func(x port.Executor, l *perLoop, m *codec.Message)) {
	s := w.session
	l := s.realm.router.perLoop[x.Loop()]
	l.set = s.realm.settings.Load()
	l.forms.begin(s.realm.router.bounds.transcodeWork)
	w.more = false
	if w.rerouted != nil {
		held := s.waiting
		s.waiting = w
		f(x, l, &w.message)
		s.waiting = held
		return
	}
	f(x, l, &w.message)
	if w.current() && !w.more {
		w.pace(x)
	}
}

// async does work in the pool and then next on the loop, unless the session has been disposed meanwhile, or the call
// that is rerouted has ended.
func (w *waiting) async(x port.Executor, work func(), next func(x port.Executor)) {
	w.pool(x, work, func(x port.Executor) {
		if w.rerouted != nil && w.rerouted.isOpen(x) || w.current() {
			next(x)
		}
	})
}

// pool does work in the pool and then next on the loop. If all places are taken it waits for one, in order.
func (w *waiting) pool(x port.Executor, work func(), next func(x port.Executor)) {
	w.more = true
	r := w.session.realm.router
	if p := (&placeWork{waiting: w, work: work, next: next}); r.places.take(x, p) {
		p.start(x)
	} else {
		r.perLoop[x.Loop()].counters.poolFull.Add(1)
	}
}

// receiveLarge handles a message that is too long to be checked on the loop.
func (s *session) receiveLarge(x port.Executor, b []byte) {
	s.realm.router.perLoop[x.Loop()].counters.large.Add(1)
	w := s.wait(x, b)
	w.large = true
	err := errNoForm
	w.async(x, func() {
		if err = w.decoder.Decode(s.serializer, w.raw, &w.message); err == nil {
			w.compact()
		}
	}, func(x port.Executor) {
		if err != nil {
			s.handler.Violate(x, asViolation(err))
			return
		}
		w.handle(x, s.receive)
	})
}

// compact gives a payload that is the smaller part of what it pins memory of its own: receivers may have it in their
// queues for long, and their budget counts no more than the payload.
func (w *waiting) compact() {
	if p := &w.message.Payload; 2*(len(p.Args)+len(p.Kwargs)) < w.pinned {
		*p = p.Clone()
	}
}

// kept reports whether m, whose payload p stands in s's serializer to, waits and is so large that p is linked into
// the receiver's queue instead of copied. Nobody changes it any more.
func (s *session) kept(m *codec.Message, p *codec.Payload, to codec.Serializer) bool {
	return s.waiting != nil && m == &s.waiting.message && p.Format == to &&
		len(p.Args)+len(p.Kwargs) > s.realm.router.bounds.largeBytes
}

// form returns what the pool has made of m, or nil.
func (s *session) form(m *codec.Message, to codec.Serializer) *form {
	if s.waiting == nil || m != &s.waiting.message {
		return nil
	}
	return s.waiting.forms[to]
}

// transcode makes the form of the message for a serializer, if there is none. In the pool, while it has w.
func (w *waiting) transcode(to codec.Serializer) *form {
	if w.forms[to] == nil {
		f := new(form)
		f.payload, f.err = w.message.Payload.In(to, codec.MessageBytesMax)
		w.forms[to] = f
	}
	return w.forms[to]
}

// transcodeLater makes the session wait until the payload of the message under way is transcoded, and then goes on
// with next.
func (s *session) transcodeLater(x port.Executor, l *perLoop, to codec.Serializer,
	next func(x port.Executor, l *perLoop, m *codec.Message),
) {
	w := s.later(x, l)
	w.async(x, func() { w.transcode(to) }, func(x port.Executor) {
		if w.forms[to] == nil {
			w.forms[to] = &form{err: errNoForm}
		}
		w.handle(x, next)
	})
}

// formless returns the serializer of the caller that the answer m is for, if m has to be transcoded in the pool
// first; otherwise 0.
func (s *session) formless(x port.Executor, l *perLoop, m *codec.Message) codec.Serializer {
	if octets(m) <= s.realm.router.bounds.directBytes {
		return 0
	}
	x.Step("conn.lock")
	s.conn.Lock()
	c := s.invocations.get(m.Request)
	s.conn.Unlock()
	if c == nil || s.formed(x, l, m, c.caller.serializer) {
		return 0
	}
	return c.caller.serializer
}

// later makes the session wait with the message under way, if it does not wait already.
func (s *session) later(x port.Executor, l *perLoop) *waiting {
	w := s.waiting
	if w == nil {
		w = s.wait(x, l.raw)
		// It has been decoded once already.
		if err := w.decoder.Decode(s.serializer, w.raw, &w.message); err != nil {
			panic("realm: a message changed: " + err.Error())
		}
	}
	w.more = true
	return w
}

// A searching looks for the registration of a call in chunks.
type searching struct {
	waiting *waiting
	call    *call
	search  *index.Search[registration]
}

// searchLater goes on with the dispatch of c when its registration is found.
func (s *session) searchLater(x port.Executor, l *perLoop, c *call) {
	w := s.later(x, l)
	x.Post(s.home, s.id, &searching{w, c, s.realm.procedures.Search(w.message.URI)})
}

// Run searches on.
func (j *searching) Run(x port.Executor, budget int) (more bool) {
	if !j.waiting.current() {
		return false
	}
	reg, ended := j.search.Best(budget * searchSteps)
	if !ended {
		return true
	}
	s := j.waiting.session
	j.waiting.handle(x, func(x port.Executor, l *perLoop, m *codec.Message) {
		if reg == nil {
			j.call.fail(x, l, refuseNoProcedure)
			return
		}
		s.dispatch(x, l, j.call, m, reg)
	})
	return false
}

// A publishing brings an event to subscriptions in chunks.
//
//  1. search   the next subscriptions that match
//  2. encode   a run for each: on the loop, as many as the budget of the turn allows; a large event in the pool, one
//     run at a time. Before that, the forms that their members need: on the loop, or in the pool if they take long
//  3. publish  each run
//  4. wait     until the runs of this chunk are delivered on all loops, so that their memory is bounded; then 1
type publishing struct {
	waiting     *waiting
	to          audience
	publication uint64
	search      *index.Search[subscription]
	found       []*subscription // to be published to
	ended       bool            // the search has
	keeping     *keeping        // what the pool is to keep of the event before all that, or nil
	acknowledge bool            // it is to be acknowledged after that
	large       bool
	heavy       bool // the loop has tried to transcode it, and it takes too long

	pending atomic.Int32 // any goroutine: runs of this chunk that are not delivered, and one for the chunk itself
}

// publishLater goes on with a PUBLISH whose subscriptions are many, or whose payload is large.
func (s *session) publishLater(x port.Executor, l *perLoop, m *codec.Message, to audience, publication uint64) {
	w := s.later(x, l)
	p := &publishing{
		waiting: w, to: to, publication: publication, search: s.realm.topics.Search(w.message.URI),
		large: w.large || l.forms.deflateLater, heavy: l.forms.tooMuch,
	}
	l.counters.chunked.Add(1)
	s.publishing = p
	x.Post(s.home, s.id, p)
}

// Run goes on with the next chunk.
func (p *publishing) Run(x port.Executor, budget int) (more bool) {
	w := p.waiting
	s := w.session
	if p.keeping != nil {
		p.kept(x)
	}
	if len(p.found) == 0 && !p.ended {
		p.found, p.ended = p.search.All(p.found[:0], max(budget, 1)*searchSteps)
	}
	switch {
	case len(p.found) == 0 && p.ended:
		s.publishing = nil
		if w.current() {
			w.end(x)
		}
		if s.parting {
			s.part(x)
		}
		return false
	case len(p.found) == 0:
		return true
	}
	l := s.realm.router.perLoop[x.Loop()]
	p.pending.Store(1)
	if p.large {
		p.publishLarge(x)
		return false
	}
	found := p.found[:min(len(p.found), max(budget/matchMembers, 1))]
	if !p.form(x, found) {
		return false
	}
	cost := matchMembers
	for serializer := codec.JSON; serializer <= codec.CBOR; serializer++ {
		if wanted(found, serializer) {
			cost += p.octets(serializer) >> encodeShift
		}
	}
	n := max(min(budget/cost, len(found)), 1)
	x.Grant(n * cost)
	s.chunk = p
	for _, sub := range p.found[:n] {
		s.extend(x, l, sub, p.to, p.publication, &w.message)
		s.seal(x, l)
	}
	s.chunk = nil
	p.found = p.found[n:]
	p.delivered(x)
	return false
}

// kept goes on with an event that is kept, or ends if it is refused.
func (p *publishing) kept(x port.Executor) {
	s, m := p.waiting.session, &p.waiting.message
	l := s.realm.router.perLoop[x.Loop()]
	_, p.ended = p.keeping.end(x, l, s, m, p.acknowledge)
	later := p.keeping.storing != nil
	if p.keeping = nil; !p.ended {
		s.accept(x, l, m, p.publication, p.acknowledge && !later)
		p.search = s.realm.topics.Search(m.URI)
	}
}

// form makes the forms of the event that the subscriptions found need. It returns false if that goes on in the pool;
// then p runs again.
func (p *publishing) form(x port.Executor, found []*subscription) (done bool) {
	w := p.waiting
	for serializer := codec.JSON; serializer <= codec.CBOR; serializer++ {
		if serializer == w.message.Format || w.forms[serializer] != nil || !wanted(found, serializer) {
			continue
		}
		if work := w.session.realm.router.bounds.transcodeWork; !p.heavy {
			before := work
			f := new(form)
			f.payload, _, f.err = w.message.Payload.AppendIn(nil, serializer, codec.MessageBytesMax, &work)
			x.Work((before - work) >> tokenShift)
			if p.heavy = errors.Is(f.err, codec.ErrTooMuchWork); !p.heavy {
				w.forms[serializer] = f
				continue
			}
		}
		w.pool(x, func() { w.transcode(serializer) }, func(x port.Executor) {
			if w.forms[serializer] == nil {
				w.forms[serializer] = &form{err: errNoForm}
			}
			x.Post(w.session.home, w.session.id, p)
		})
		return false
	}
	return true
}

// octets is how long the payload is in a serializer that has a form.
func (p *publishing) octets(serializer codec.Serializer) int {
	w := p.waiting
	if f := w.forms[serializer]; f != nil {
		return len(f.payload.Args) + len(f.payload.Kwargs)
	}
	return octets(&w.message)
}

// publishLarge encodes the event for the first subscription in the pool.
func (p *publishing) publishLarge(x port.Executor) {
	w, sub := p.waiting, p.found[0]
	p.found = p.found[1:]
	s := w.session
	var r *run
	var counts encodeCounts
	w.pool(x, func() { r, counts = s.encodeRun(sub, p.to, p.publication, w) },
		func(x port.Executor) {
			l := s.realm.router.perLoop[x.Loop()]
			counts.add(&l.counters)
			x.Step("run.mask")
			if loops := sub.loops.Load(); loops != 0 && r != nil && len(r.parts) > 0 {
				r.chunk = p
				s.publish(x, l, r, loops)
			}
			p.delivered(x)
		})
}

// delivered takes note that a run of the chunk is delivered on all loops, or that the chunk is published. Any loop.
func (p *publishing) delivered(x port.Executor) {
	if s := p.waiting.session; p.pending.Add(-1) == 0 {
		x.Post(s.home, s.id, p)
	}
}
