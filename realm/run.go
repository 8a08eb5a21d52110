package realm

import (
	"errors"
	"math/bits"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// How an event gets from PUBLISH to the subscribers' queues.
//
//  1. extend (publisher's loop) encodes it, once per serializer that members use, into the session's open run.
//     Consecutive events of one (subscription, exclusion) share a run: a receiver then costs one append, whatever the
//     number of events.
//  2. seal (publisher's loop) copies the run to memory of its own, never changed again, and posts one job per loop
//     with members. It happens when the next event does not fit the run, when the session does anything else, and at
//     the end of the poll batch: two events of a publisher can never overtake each other (O1).
//  3. runJob.Run (each loop) appends the bytes to its own members, chunk by chunk, behind earlier jobs of that
//     publisher. On the publisher's own loop, and without an earlier job unfinished there, the first chunk is walked
//     at once.
//  4. The last job to finish gives the publisher its credit back.

// A builder is a run that is still open. Owned by loop, reused.
type builder struct {
	sub      *subscription
	exclude  bool // the publisher gets nothing
	filter   *filter
	chunk    *publishing // that the run is a part of, or nil
	variants uint32      // bit v is set once the run has events for variant v
	parts    [codec.NumVariants]part
}

// A part is the run as one variant sees it.
type part struct {
	variant codec.Variant
	events  int
	longest int // message without framing, bytes
	tooLong int // events that the variant's framing cannot carry; not among events
	over    int // the longest of those, bytes; more than MessageBytesMax are not counted
	frames  []byte
}

// An audience says who among the members of a subscription gets an event, and what they learn of the publisher.
type audience struct {
	exclude   bool            // not the publisher
	filter    *filter         // nil: everybody else
	disclosed *codec.Identity // nil: nothing
	trust     uint32          // the trust level of the publication plus one; 0: none
}

// extend adds the event of m to the open run, and first seals a run that it cannot join. Filtered events join none.
func (s *session) extend(x port.Executor, l *perLoop, sub *subscription, to audience, publication uint64,
	m *codec.Message,
) {
	if to.filter != nil && to.filter.rkey != 0 {
		to.filter = s.own(x, l, sub, &to) // before the census: who is in the set is counted there
	}
	b := s.building
	if b != nil && (b.sub != sub || b.exclude != to.exclude || b.filter != nil || to.filter != nil) {
		s.seal(x, l)
		b = nil
	}
	if b == nil {
		b = l.takeBuilder()
		b.sub, b.exclude, b.filter, b.chunk = sub, to.exclude, to.filter, s.chunk
		s.building = b
	}
	l.details = codec.Details{Publisher: to.disclosed, Trust: to.trust, Forward: &m.Options}
	if sub.match != codec.Exact {
		l.details.Topic = m.URI
	}
	full := false
	for serializer := codec.JSON; serializer <= codec.CBOR; serializer++ {
		encoded, tooLong, deflated := false, false, false
		var z []byte
		for _, v := range codec.VariantsOf(serializer) {
			// A variant that is in the run stays in it, so that nobody sees a gap inside the run.
			if sub.census[v].Load() <= 0 && b.variants&(1<<v) == 0 {
				continue
			}
			if !encoded {
				payload, err := s.eventPayload(x, l, m, serializer)
				if err == nil && payload == nil {
					break
				}
				if err == nil {
					l.out, err = codec.AppendEvent(l.out[:0], serializer, sub.id, publication, &l.details, payload,
						codec.MessageBytesMax)
				}
				if tooLong = errors.Is(err, codec.ErrTooLong); err != nil && !tooLong {
					l.counters.eventsUntranscodable.Add(1)
					break
				}
				encoded = true
			}
			p := &b.parts[v]
			b.variants |= 1 << v
			ok := !tooLong
			if ok && v.Deflates() && !deflated {
				z, deflated = s.deflate(x, l, l.out), true
			}
			switch {
			case !ok:
			case z != nil:
				p.frames = codec.AppendDeflatedFrame(p.frames, v, z, len(l.out))
			default:
				p.frames, ok = codec.AppendFrame(p.frames, v, l.out)
			}
			if !ok {
				p.tooLong++
				p.over = max(p.over, overBytes(l.out, tooLong))
				continue
			}
			p.events++
			p.longest = max(p.longest, len(l.out))
			full = full || len(p.frames) >= runBytesMax
		}
	}
	l.trim()
	if full {
		s.seal(x, l)
	} else if !s.batched {
		s.batched = true
		x.AtBatchEnd(s)
	}
}

// encodeRun makes a run of one event. In the pool: it touches nothing but memory of its own, what any goroutine may
// read, and the forms of the message, which it makes as they are needed.
func (s *session) encodeRun(sub *subscription, to audience, publication uint64,
	w *waiting,
) (r *run, n encodeCounts) {
	m := &w.message
	if to.filter != nil && to.filter.rkey != 0 {
		var looks int
		to.filter, looks = to.filter.own(sub, s, to.exclude)
		n.sharded = int64(min(looks, 1))
	}
	r = &run{publisher: s, sub: sub, exclude: to.exclude, filter: to.filter}
	r.parts = r.only[:0]
	d := codec.Details{Publisher: to.disclosed, Trust: to.trust, Forward: &m.Options}
	if sub.match != codec.Exact {
		d.Topic = m.URI
	}
	for serializer := codec.JSON; serializer <= codec.CBOR; serializer++ {
		var msg, z []byte
		tooLong, deflated := false, false
		for _, v := range codec.VariantsOf(serializer) {
			members := sub.census[v].Load()
			if members <= 0 {
				continue
			}
			if msg == nil && !tooLong {
				f := w.transcode(serializer)
				err := f.err
				if err == nil {
					room := make([]byte, 0, len(f.payload.Args)+len(f.payload.Kwargs)+eventHeadBytes)
					msg, err = codec.AppendEvent(room, serializer, sub.id, publication, &d, &f.payload,
						codec.MessageBytesMax)
				}
				if tooLong = errors.Is(err, codec.ErrTooLong); err != nil && !tooLong {
					n.untranscodable++
					break
				}
			}
			var frame []byte
			ok := !tooLong
			if ok && v.Deflates() && !deflated {
				z, deflated = s.deflateLarge(msg, &n), true
			}
			switch {
			case !ok:
			case z != nil:
				frame = codec.AppendDeflatedFrame(make([]byte, 0, len(z)+eventHeadBytes), v, z, len(msg))
			default:
				frame, ok = codec.AppendFrame(make([]byte, 0, len(msg)+eventHeadBytes), v, msg)
			}
			if !ok {
				r.parts = append(r.parts, part{variant: v, tooLong: 1, over: overBytes(msg, tooLong)})
				continue
			}
			r.parts = append(r.parts, part{variant: v, events: 1, longest: len(msg), frames: frame})
			r.cost += int64(len(frame)) * int64(members)
		}
	}
	return r, n
}

// overBytes is the length of an event that a framing cannot carry, which was not encoded to its end if it has more
// than MessageBytesMax.
func overBytes(msg []byte, more bool) int {
	if more {
		return codec.MessageBytesMax + 1
	}
	return len(msg)
}

// eventHeadBytes is about what an event needs beside its payload.
const eventHeadBytes = 256

// EndOfBatch seals the run that the batch left open.
func (s *session) EndOfBatch(x port.Executor) {
	s.batched = false
	s.seal(x, s.realm.router.perLoop[x.Loop()])
}

// A run is a sealed run of events, shared by all loops.
type run struct {
	// Immutable after publish.
	publisher *session
	sub       *subscription
	exclude   bool
	filter    *filter
	chunk     *publishing // that the run is a part of, or nil
	parts     []part
	cost      int64 // bytes times members, spent from the publisher's credit

	// Any goroutine.
	jobs atomic.Int32 // unfinished
	only [1]part      // room for parts in the usual case
}

// seal closes the open run, if there is one, and publishes it.
func (s *session) seal(x port.Executor, l *perLoop) {
	b := s.building
	if b == nil {
		return
	}
	s.building = nil
	x.Step("run.mask")
	loops := b.sub.loops.Load()
	if loops != 0 && b.variants != 0 {
		s.publish(x, l, b.finish(s), loops)
	}
	l.giveBuilder(b)
}

// finish copies the built events to memory of their own size.
func (b *builder) finish(s *session) *run {
	r := &run{publisher: s, sub: b.sub, exclude: b.exclude, filter: b.filter, chunk: b.chunk}
	r.parts = r.only[:0]
	for v := range b.parts {
		p := &b.parts[v]
		if p.events == 0 && p.tooLong == 0 {
			continue
		}
		frames := append(make([]byte, 0, len(p.frames)), p.frames...)
		r.parts = append(r.parts, part{codec.Variant(v), p.events, p.longest, p.tooLong, p.over, frames})
		r.cost += int64(len(frames)) * int64(b.sub.census[v].Load())
	}
	return r
}

// publish hands r to every loop in the mask.
func (s *session) publish(x port.Executor, l *perLoop, r *run, loops uint64) {
	own := uint64(1) << s.home
	job := s.walkOwn(x, l, r, loops&own != 0)
	foreign := loops &^ own
	jobs := bits.OnesCount64(foreign)
	if job != nil {
		jobs++
	}
	if jobs == 0 {
		return
	}
	r.jobs.Store(int32(jobs))
	if r.chunk != nil {
		r.chunk.pending.Add(1)
	}
	s.conn.Spend(r.cost)
	for ; foreign != 0; foreign &= foreign - 1 {
		x.Post(bits.TrailingZeros64(foreign), s.id, &runJob{run: r})
	}
	if job != nil {
		s.ownJobs++
		x.Post(s.home, s.id, job)
	}
}

// walkOwn walks the members on the publisher's own loop, without a hop, as far as the turn grants it. It returns a
// job for the others.
func (s *session) walkOwn(x port.Executor, l *perLoop, r *run, members bool) *runJob {
	list := r.sub.members[s.home]
	if !members || list == nil || len(list.seats) == 0 {
		return nil
	}
	if s.ownJobs > 0 {
		return &runJob{run: r} // behind the earlier ones
	}
	end := len(list.seats)
	granted := x.Grant(min(end, ownChunk))
	r.walk(x, l, list.seats[:granted])
	if granted == end {
		return nil
	}
	job := &runJob{run: r, list: list}
	list.begin(&job.pos)
	job.pos.next = granted
	return job
}

// A runJob brings one run to the members of one loop. Owned by that loop from Post on.
type runJob struct {
	run  *run
	list *memberList // nil: not begun
	pos  walk
}

// Run walks up to budget members.
func (j *runJob) Run(x port.Executor, budget int) (more bool) {
	r := j.run
	l := r.publisher.realm.router.perLoop[x.Loop()]
	if j.list == nil {
		if list := r.sub.members[x.Loop()]; list != nil && len(list.seats) > 0 {
			j.list = list
			list.begin(&j.pos)
		}
	}
	if list := j.list; list != nil {
		from := j.pos.next
		j.pos.next = min(j.pos.end, from+max(budget, 0))
		r.walk(x, l, list.seats[from:j.pos.next])
		if j.pos.next < j.pos.end {
			return true
		}
		list.finish(&j.pos)
	}
	if x.Loop() == r.publisher.home {
		r.publisher.ownJobs--
	}
	if r.jobs.Add(-1) == 0 {
		r.publisher.conn.Refund(x, r.cost)
		if r.chunk != nil {
			r.chunk.delivered(x)
		}
	}
	return false
}

// walk appends the run to the members in seats.
//
// hot: nothing is allocated and nothing is encoded per member.
func (r *run) walk(x port.Executor, l *perLoop, seats []seat) {
	events := 0
	for i := range seats {
		to := seats[i].session
		if to == nil || to.left || r.exclude && to == r.publisher {
			continue
		}
		if r.filter != nil && !r.filter.passes(seats[i].member) {
			continue
		}
		events += r.deliver(x, l, to)
	}
	l.counters.events.Add(int64(events))
}

// deliver appends the run to one member and returns how many events it got.
func (r *run) deliver(x port.Executor, l *perLoop, to *session) int {
	for i := range r.parts {
		p := &r.parts[i]
		if p.variant != to.variant {
			continue
		}
		if p.tooLong > 0 {
			l.dropTooLong(x, r.sub, to, p.tooLong, p.over)
		}
		if p.events > 0 && p.longest <= to.bytesMax {
			to.conn.AppendRun(x, p.frames, p.events, r.sub.topic())
			return p.events
		}
		return p.deliverFitting(x, l, r.sub, to)
	}
	return 0 // joined after these events were built (R12), or its serializer cannot carry them
}

// deliverFitting appends the frames that to accepts one by one; the others are dropped for it (PUB-57).
func (p *part) deliverFitting(x port.Executor, l *perLoop, sub *subscription, to *session) (events int) {
	for rest := p.frames; len(rest) > 0; {
		frame, after, message, ok := codec.CutFrame(p.variant, rest)
		if !ok {
			break // cannot: AppendFrame wrote them
		}
		if rest = after; message <= to.bytesMax {
			to.conn.AppendRun(x, frame, 1, sub.topic())
			events++
		} else {
			l.dropTooLong(x, sub, to, 1, message)
		}
	}
	return events
}

// carries reports whether the run has events for that serializer.
func (b *builder) carries(serializer codec.Serializer) bool {
	for _, v := range codec.VariantsOf(serializer) {
		if b.variants&(1<<v) != 0 {
			return true
		}
	}
	return false
}

func (l *perLoop) takeBuilder() *builder {
	if n := len(l.builders); n > 0 {
		b := l.builders[n-1]
		l.builders = l.builders[:n-1]
		return b
	}
	return new(builder)
}

func (l *perLoop) giveBuilder(b *builder) {
	if len(l.builders) == buildersMax {
		return
	}
	for v := range b.parts {
		p := &b.parts[v]
		if cap(p.frames) > 2*runBytesMax {
			p.frames = nil
		}
		*p = part{frames: p.frames[:0]}
	}
	b.sub, b.filter, b.chunk, b.variants = nil, nil, nil, 0
	l.builders = append(l.builders, b)
}

// trim drops scratch buffers that a large message made large. Forms stay: others may need them.
func (l *perLoop) trim() {
	if cap(l.out) > scratchBytesMax {
		l.out = nil
	}
	if cap(l.deflated) > scratchBytesMax {
		l.deflated = nil
	}
}
