package realm

import (
	"errors"
	"hash/maphash"
	"strconv"

	"banyan/codec"
	"banyan/engine/port"
)

// Progressive call invocations (PROTOCOL 8.6): one call whose arguments come in chunks.
//
//	CALL 7 progress   opens the call and chooses the callee, as any CALL does        INVOCATION 1 progress
//	CALL 7 progress   goes to that callee, under the same invocation id              INVOCATION 1 progress
//	CALL 7            is the last chunk                                              INVOCATION 1
//
// A chunk is passed on at once and never kept, so a call costs no more memory than any other, and after the second
// one it is not given to another callee (reroute.go). The answer may come before the last chunk: then, and after
// CANCEL, timeout or an error, chunks that still come are discarded. For that the session remembers the request ids
// of its calls whose last chunk has not come; the CALLs of those that never do this are not looked up anywhere.
//
// The options of the first CALL hold for the whole call. Those of later ones are ignored, but for progress, and for
// enc_* where the payload is no list: no INVOCATION may come without them then. Clients of nexus depend on it: they
// send later chunks in the open if the first was in payload passthru mode.
//
// A caller need not have announced the feature (some clients use it without) unless the realm enforces roles.

var refuseStreams = &refusal{codec.ErrOptionNotAllowed, "this session has as many progressive calls under way as " +
	"the router allows"}

var refuseWithdrawn = &refusal{codec.ErrCanceled, "the callee has given back the procedure before it had all of " +
	"the call"}

// procedureSeed hashes procedures, so that an open call does not have to keep the name of its own. If another name
// has the same hash, its chunk goes where it would have gone under the right one.
var procedureSeed = maphash.MakeSeed()

// beginStream takes note that c, which is open, is the first chunk of a progressive call.
func (s *session) beginStream(x port.Executor, l *perLoop, c *call, m *codec.Message) *refusal {
	s.needsStreams()
	switch why := s.streams.add(x, s, c.request); why {
	case nil:
	case refuseMemory:
		l.counters.overBudget.Add(1)
		return why
	default:
		return why
	}
	e := c.needs()
	e.streaming, e.procedure = true, maphash.Bytes(procedureSeed, m.URI)
	return nil
}

// refuseStream takes note that a CALL was refused before it was the first chunk of a progressive call, if it would
// have been: the chunks behind it are no calls, and get no answers.
func (s *session) refuseStream(x port.Executor, m *codec.Message) {
	if m.Options.Bool(codec.KeyProgress, false) {
		s.needsStreams()
		s.streams.refuse(x, m.Request)
	}
}

func (s *session) needsStreams() {
	if s.streams == nil {
		s.streams = new(streams)
	}
}

// goesOn reports whether the CALL m is a further chunk of a progressive call.
func (s *session) goesOn(set *settings, m *codec.Message) bool {
	return s.streams != nil && (s.streams.has(m.Request) || set.StrictRequestIDs && s.repeats)
}

// receiveChunk handles a CALL whose request id is that of a progressive call that is not complete.
func (s *session) receiveChunk(x port.Executor, l *perLoop, m *codec.Message) {
	last := !m.Options.Bool(codec.KeyProgress, false)
	x.Step("conn.lock")
	s.conn.Lock()
	c := s.calls.get(m.Request)
	s.conn.Unlock()
	switch {
	case c == nil:
	case !c.streaming():
		s.violation(x, "CALL reuses the request id "+strconv.FormatUint(m.Request, 10)+" of an open call")
		return
	case maphash.Bytes(procedureSeed, m.URI) != c.extra.procedure:
		s.violation(x, "CALL "+strconv.FormatUint(m.Request, 10)+" goes on with another procedure than it began with")
		return
	}
	result := gone
	if c != nil && c.to != nil && !c.killing {
		if result = s.sendChunk(x, l, c, m, last); result == untranscoded {
			s.transcodeLater(x, l, c.to.session.serializer, s.receiveChunk)
			return
		}
	}
	if last {
		s.streams.remove(x, m.Request)
		if c != nil {
			c.extra.streaming = false
		}
	}
	switch result {
	case accepted:
		return
	case gone:
		l.counters.chunksLate.Add(1)
		if c != nil && c.reroutable {
			c.extra.missed = true
		}
		return
	}
	if c.fail(x, l, result.refusal(l)) {
		c.detach(x, l, true)
	}
}

// sendChunk passes a chunk on.
func (s *session) sendChunk(x port.Executor, l *perLoop, c *call, m *codec.Message, last bool) offerResult {
	to := c.to
	p, err := s.payload(x, l, m, to.session.serializer)
	switch {
	case errors.Is(err, codec.ErrTooLong):
		return tooLong
	case err != nil:
		return untranscodable
	case p == nil:
		return untranscoded
	}
	d := &l.details
	*d = codec.Details{Progress: !last}
	if m.Payload.Transparent {
		d.Forward = m.Options.Among(codec.KeyEncAlgo, codec.KeyEncKey, codec.KeyEncSerializer)
	}
	if to.reg.match != codec.Exact {
		d.Procedure = m.URI
	}
	if c.extra.disclosed {
		d.Publisher = s.who()
	}
	return c.goOn(x, to, d, p, s.kept(m, p, to.session.serializer))
}

// goOn gives the callee of c a further chunk, if the invocation is still open there.
func (c *call) goOn(x port.Executor, to *callee, d *codec.Details, p *codec.Payload, kept bool) offerResult {
	s := to.session
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	switch {
	case !s.live || s.invocations.get(c.invocation) != c:
		return gone // its answer, or that of its farewell, is on the way
	case !to.live:
		return withdrawn
	}
	tail, ok := s.conn.Tail(port.Invocation)
	if !ok {
		return full
	}
	result := to.invoke(x, tail, c.invocation, d, p, kept)
	c.stays = c.stays || result == accepted
	return result
}

// streams are the request ids of progressive calls whose last chunk has not come. Owned by the loop of the caller.
type streams struct {
	begun   requestQueue // open calls, and those that are over
	refused requestQueue // those that were refused before they were open
	forgot  bool         // an id was dropped that may still get chunks
}

func (t *streams) has(request uint64) bool { return t.begun.has(request) || t.refused.has(request) }

// expects reports whether a CALL out of sequence may be a chunk, where request ids have to be sequential and last is
// the latest.
func (t *streams) expects(request, last uint64) bool {
	return t.has(request) || t.forgot && request <= last
}

// add remembers a call of s that is open.
func (t *streams) add(x port.Executor, s *session, request uint64) *refusal {
	if t.begun.len() >= streamsMax && !t.evict(x, s) {
		return refuseStreams
	}
	if !x.Charge(streamBytes) {
		return refuseMemory
	}
	t.begun.put(x, request)
	return nil
}

// evict forgets the oldest call that is over, if there is one.
func (t *streams) evict(x port.Executor, s *session) bool {
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	for n := range t.begun.len() {
		request := t.begun.first()
		if s.calls.get(request) == nil {
			t.forgot = true
			t.remove(x, request)
			x.Work(n >> visitShift)
			return true
		}
		t.begun.put(x, request) // at the end
	}
	x.Work(streamsMax >> visitShift)
	return false
}

// refuse remembers a call that was refused. Without room the oldest is forgotten, or this one.
func (t *streams) refuse(x port.Executor, request uint64) {
	if t.refused.len() >= streamsMax {
		t.forgot = true
		t.remove(x, t.refused.first())
	}
	if !x.Charge(streamBytes) {
		t.forgot = true
		return
	}
	t.refused.put(x, request)
}

// remove forgets a call whose last chunk has come.
func (t *streams) remove(x port.Executor, request uint64) {
	if t.begun.remove(request) || t.refused.remove(request) {
		x.Charge(-streamBytes)
	}
}

// drop forgets all.
func (t *streams) drop(x port.Executor) {
	x.Charge(-streamBytes * (t.begun.len() + t.refused.len()))
	*t = streams{}
}

// A requestQueue is a set of request ids in the order in which they were put into it.
type requestQueue struct {
	serials map[uint64]uint64 // the serial number of its entry in order, by request id
	order   []requestEntry    // oldest first; those that are not in serials under this number are over
	serial  uint64
}

type requestEntry struct{ request, serial uint64 }

func (q *requestQueue) len() int { return len(q.serials) }

func (q *requestQueue) has(request uint64) bool {
	_, found := q.serials[request]
	return found
}

// put puts an id at the end, also if it is there.
func (q *requestQueue) put(x port.Executor, request uint64) {
	if q.serials == nil {
		q.serials = make(map[uint64]uint64)
	}
	q.serial++
	q.serials[request] = q.serial
	if len(q.order) >= 2*streamsMax {
		q.compact(x)
	}
	q.order = append(q.order, requestEntry{request, q.serial})
}

// compact drops the entries that are over.
func (q *requestQueue) compact(x port.Executor) {
	x.Work(len(q.order) >> visitShift)
	kept := q.order[:0]
	for _, e := range q.order {
		if q.serials[e.request] == e.serial {
			kept = append(kept, e)
		}
	}
	q.order = kept
}

// first returns the oldest id. There must be one.
func (q *requestQueue) first() (request uint64) {
	for q.serials[q.order[0].request] != q.order[0].serial {
		q.order = q.order[1:]
	}
	return q.order[0].request
}

// remove reports whether the id was there.
func (q *requestQueue) remove(request uint64) (found bool) {
	found = q.has(request)
	delete(q.serials, request)
	return found
}
