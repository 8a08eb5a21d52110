package outq

import "time"

// Events may be dropped as long as no byte of their run is on the wire: see the policies of port.SlowConsumer. What a
// writer has taken is out of reach, and what is encrypted: see Seal. The order of what stays is as it was.
//
// A client decides how many segments there are, so nothing here looks at all of them in one go: callers say how many,
// and what is further away is out of reach until the next time.

// Oldest is when the run that has waited longest was linked; false if there is none within reach. Lock held.
func (q *Queue) Oldest() (since time.Duration, ok bool) {
	looks := oldestLooks
	for s := q.head; s != nil && looks > 0; s, looks = s.next, looks-1 {
		if s.events > 0 {
			return s.since, true
		}
	}
	return 0, false
}

// oldestLooks is how many segments without events, of 24 KiB each, Oldest passes by.
const oldestLooks = 64

// DropOldest drops runs from the oldest on until at most that many bytes and events are unsent and they occupy at
// most so much, and returns how many events it dropped and how many segments it looked at. Lock held.
func (q *Queue) DropOldest(bytes, memory, events, most int) (dropped, looks int) {
	over := q.bytes > bytes || q.cost > memory || q.events > events
	return q.dropWhile(over, most, func(*Segment) bool {
		return q.bytes > bytes || q.cost > memory || q.events > events
	})
}

// DropBefore drops the runs that were linked before that time, and returns how many events it dropped and how many
// segments it looked at: as many as it may if there are perhaps more. Lock held.
func (q *Queue) DropBefore(t time.Duration, most int) (dropped, looks int) {
	return q.dropWhile(true, most, func(s *Segment) bool { return s.since < t })
}

// dropWhile drops runs from the oldest on as long as gone says so.
func (q *Queue) dropWhile(begin bool, most int, gone func(*Segment) bool) (dropped, looks int) {
	if !begin {
		return 0, 0
	}
	var charged, bytes int64
	before, s, sealed := q.kept, q.head, q.sealed
	if before != nil {
		s, sealed = before.next, 0
	}
	for ; s != nil && looks < most; looks++ {
		next := s.next
		stays := s.stays(sealed)
		sealed -= len(s.unsent())
		if stays {
			if before = s; sealed <= 0 {
				q.kept = s
			}
		} else if !gone(s) {
			break
		} else {
			dropped += int(s.events)
			c, b := q.unlink(before, s)
			charged, bytes = charged+c, bytes+b
		}
		s = next
	}
	q.settle(charged, bytes)
	return dropped, looks
}

// stays reports that s is not to be dropped, whatever the policy; sealed is how many bytes from its beginning on are.
func (s *Segment) stays(sealed int) bool { return sealed > 0 || s.events == 0 || s.off > 0 }

// unlink drops s, which is behind before, and returns what free does.
func (q *Queue) unlink(before, s *Segment) (charged, bytes int64) {
	if before == nil {
		q.head = s.next
	} else {
		before.next = s.next
	}
	if q.tail == s {
		q.tail = before
	}
	q.bytes -= len(s.buf)
	q.events -= int(s.events)
	q.answers -= int(s.answer)
	q.cost -= int(s.cost)
	q.segments--
	if p := q.pass; p != nil {
		switch s {
		case p.last:
			q.endPass()
		case p.at:
			p.at = s.next
		case p.before:
			p.before = before
		}
	}
	return q.free(s)
}

// A Pass goes through a queue for KeepLatest, in as many parts as it takes: first it notes which run of each topic is
// the last, then it drops the others. It ends early when a writer takes the list.
type Pass struct {
	latest     map[uint64]*Segment
	before, at *Segment // at is the next to look at
	last       *Segment // the last one that was noted
	dropping   bool
	sealed     int
	charged    int64 // for latest
}

// KeepLatest drops the runs of topics that have a newer one, topic among them, and returns how many events it dropped
// and how many segments it looked at. p is an empty Pass for it to use. It begins only when an eighth of what is
// unsent has come since the last time; it may take several calls to go through the queue. It reports whether it keeps
// p until then. Lock held.
func (q *Queue) KeepLatest(topic uint64, p *Pass, most int) (dropped, looks int, keeps bool) {
	if q.pass == nil {
		if q.grown < q.bytes/8 {
			return 0, 0, false
		}
		q.grown = 0
		if p.latest == nil {
			p.latest = make(map[uint64]*Segment)
		}
		p.at = q.head
		q.pass = p
	}
	mine := q.pass == p
	p = q.pass
	for ; !p.dropping && looks < most; looks++ {
		s := p.at
		if s == nil {
			p.dropping, p.at, p.sealed = true, q.head, q.sealed
			break
		}
		if s.topic != 0 {
			p.latest[s.topic] = s
		}
		p.last, p.at = s, s.next
	}
	var charged, bytes int64
	for ; p.dropping && q.pass == p && looks < most; looks++ {
		s := p.at
		if s == nil {
			q.endPass()
			break
		}
		ends := s == p.last
		stays := s.stays(p.sealed) || s.topic == 0 || s.topic != topic && p.latest[s.topic] == s
		p.sealed -= len(s.unsent())
		if stays {
			p.before, p.at = s, s.next
		} else {
			dropped += int(s.events)
			c, b := q.unlink(p.before, s)
			charged, bytes = charged+c, bytes+b
		}
		if ends {
			q.endPass()
		}
	}
	q.settle(charged, bytes)
	if q.pass == p && q.charging {
		q.chargePass()
	}
	return dropped, looks, mine && q.pass == p
}

const (
	latestBytes = 32  // about what one topic takes in a Pass
	latestKept  = 256 // topics up to which the table of a Pass is used again
)

// chargePass counts what the pass takes.
func (q *Queue) chargePass() {
	p := q.pass
	more := int64(len(p.latest)*latestBytes) - p.charged
	p.charged += more
	q.charged.Add(more)
	q.account.bytes.Add(more)
}

// endPass ends the pass, if there is one. It stays in the hands of whoever it belongs to.
func (q *Queue) endPass() {
	p := q.pass
	if p == nil {
		return
	}
	q.pass = nil
	q.settle(p.charged, p.charged)
	if latest := p.latest; len(latest) <= latestKept {
		clear(latest)
		*p = Pass{latest: latest}
	} else {
		*p = Pass{} // maps never shrink
	}
}
