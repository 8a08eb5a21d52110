package outq

import "time"

// Events may be dropped as long as no byte of their run is on the wire: see the policies of port.SlowConsumer. What a
// writer has taken is out of reach, and what is encrypted: see Seal. The order of what stays is as it was.

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

// DropOldest drops runs from the oldest on until at most that many bytes and events are unsent, and returns how many
// events it dropped. Lock held.
func (q *Queue) DropOldest(bytes, events int) (dropped int) {
	return q.drop(func(*Segment) (drop, more bool) {
		over := q.bytes > bytes || q.events > events
		return over, over
	})
}

// DropBefore drops the runs that were linked before that time, and returns how many events it dropped. Lock held.
func (q *Queue) DropBefore(t time.Duration) (dropped int) {
	return q.drop(func(s *Segment) (drop, more bool) { return s.since < t, s.since < t })
}

// KeepLatest drops the runs of topics that have a newer one, topic among them, and returns how many events it
// dropped. latest is an empty table for it to use; the caller empties it. It goes through the whole queue, so it does
// so only when an eighth of what is unsent has come since the last time. Lock held.
func (q *Queue) KeepLatest(topic uint64, latest map[uint64]*Segment) (dropped int) {
	if q.grown < q.bytes/8 {
		return 0
	}
	q.grown = 0
	for s := q.head; s != nil; s = s.next {
		if s.topic != 0 {
			latest[s.topic] = s
		}
	}
	dropped = q.drop(func(s *Segment) (drop, more bool) {
		return s.topic != 0 && (s.topic == topic || latest[s.topic] != s), true
	})
	return dropped
}

// drop goes through the runs of events within reach. choose says whether one goes, and whether to look further.
func (q *Queue) drop(choose func(*Segment) (drop, more bool)) (dropped int) {
	var before *Segment
	sealed := q.sealed
	for s := q.head; s != nil; {
		next := s.next
		encrypted := sealed > 0
		sealed -= len(s.unsent())
		if encrypted || s.events == 0 || s.off > 0 {
			before, s = s, next
			continue
		}
		gone, more := choose(s)
		if !gone {
			if before = s; !more {
				break
			}
			s = next
			continue
		}
		if before == nil {
			q.head = next
		} else {
			before.next = next
		}
		if q.tail == s {
			q.tail = before
		}
		q.bytes -= len(s.buf)
		q.events -= int(s.events)
		dropped += int(s.events)
		q.release(s)
		s = next
	}
	return dropped
}
