package outq

import (
	"sync"
	"time"
)

// A Segment is one stretch of outbound bytes: an own buffer that several messages were appended to, or a shared run
// of events. It belongs to the queue it is linked into, or to that queue's writer while a system call is under way.
type Segment struct {
	next    *Segment
	buf     []byte
	off     int           // bytes of buf that are already on the wire
	topic   uint64        // of all events of a shared run; 0 if they are not of one
	since   time.Duration // when a shared run of events was linked
	events  int32         // events in a shared run
	answer  int32         // bytes of class Reply in an own buffer
	charged int32         // what the account counts for this segment; 0 for nothing
	own     bool          // buf belongs to this segment and may be appended to under the queue's lock
}

const (
	segmentBytes    = 512      // first size of an own buffer
	segmentFull     = 24 << 10 // an own buffer that holds this much gets a successor
	segmentBytesMax = 64 << 10 // larger own buffers are not kept; growing to segmentFull doubles past 32 KiB
)

// Two pools, because an own segment keeps its buffer.
var (
	ownSegments    = sync.Pool{New: func() any { return &Segment{buf: make([]byte, 0, segmentBytes), own: true} }}
	sharedSegments = sync.Pool{New: func() any { return new(Segment) }}
)

func newOwnSegment() *Segment    { return ownSegments.Get().(*Segment) }
func newSharedSegment() *Segment { return sharedSegments.Get().(*Segment) }

// unsent returns the bytes of s that no system call has taken yet.
func (s *Segment) unsent() []byte { return s.buf[s.off:] }

func (s *Segment) release() {
	s.next, s.off, s.events, s.answer, s.charged, s.topic = nil, 0, 0, 0, 0, 0
	if !s.own {
		s.buf = nil
		sharedSegments.Put(s)
		return
	}
	if cap(s.buf) > segmentBytesMax {
		return
	}
	s.buf = s.buf[:0]
	ownSegments.Put(s)
}

// advance takes n written bytes off the list that starts at s. It returns the rest of it, and how many bytes of
// answers and how many events were in the segments that are done.
func (q *Queue) advance(s *Segment, n int) (rest *Segment, answers, events int) {
	for s != nil {
		left := len(s.buf) - s.off
		if n < left {
			s.off += n
			return s, answers, events
		}
		n -= left
		done := s
		s = s.next
		answers += int(done.answer)
		events += int(done.events)
		q.release(done)
	}
	return nil, answers, events
}

// releaseAll gives up a list and returns how many events were in it.
func (q *Queue) releaseAll(s *Segment) (events int) {
	for s != nil {
		next := s.next
		events += int(s.events)
		q.release(s)
		s = next
	}
	return events
}
