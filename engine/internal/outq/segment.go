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
	answer  int32         // bytes of class Reply in an own buffer, or in a run that was asked for
	cost    int32         // memory it takes: see occupies
	charged bool          // the account knows it
	own     bool          // buf belongs to this segment and may be appended to under the queue's lock
}

const (
	segmentBytes    = 512      // first size of an own buffer
	segmentFull     = 24 << 10 // an own buffer that holds this much gets a successor
	segmentBytesMax = 64 << 10 // larger own buffers are not kept; growing to segmentFull doubles past 32 KiB
)

// Two pools, because an own segment keeps its buffer.
var (
	ownSegments    = sync.Pool{New: func() any { return freshSegment() }}
	sharedSegments = sync.Pool{New: func() any { return new(Segment) }}
)

func newOwnSegment() *Segment { return ownSegments.Get().(*Segment) }

// freshSegment is for a backlog: an own buffer of the pool may be much larger than what it is for, and stay so.
func freshSegment() *Segment { return &Segment{buf: make([]byte, 0, segmentBytes), own: true} }

func newSharedSegment() *Segment { return sharedSegments.Get().(*Segment) }

// unsent returns the bytes of s that no system call has taken yet.
func (s *Segment) unsent() []byte { return s.buf[s.off:] }

func (s *Segment) release() {
	s.next, s.off, s.events, s.answer, s.cost, s.charged, s.topic = nil, 0, 0, 0, 0, false, 0
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

// written is what was in the segments that are done.
type written struct{ answers, events, cost, segments int }

// advance takes n written bytes off the list that starts at s, and returns the rest of it. The writer calls it,
// without the lock.
func (q *Queue) advance(s *Segment, n int) (rest *Segment, done written) {
	var charged, bytes int64
	for s != nil {
		left := len(s.buf) - s.off
		if n < left {
			s.off += n
			break
		}
		n -= left
		gone := s
		s = s.next
		done.answers += int(gone.answer)
		done.events += int(gone.events)
		done.cost += int(gone.cost)
		done.segments++
		c, b := q.free(gone)
		charged, bytes = charged+c, bytes+b
	}
	q.settle(charged, bytes)
	return s, done
}
