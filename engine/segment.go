//go:build linux

package engine

import "sync"

// A segment is one stretch of outbound bytes: an own buffer that several messages were appended to, or a shared run of events.
// It belongs to the queue it is linked into, or to that queue's writer while a system call is under way.
type segment struct {
	next   *segment
	buf    []byte
	off    int   // bytes of buf that are already on the wire
	events int32 // events in a shared run
	answer int32 // bytes of class Reply in an own buffer
	own    bool  // buf belongs to this segment and may be appended to under the queue's lock
}

const (
	segmentBytes    = 512      // first size of an own buffer
	segmentFull     = 24 << 10 // an own buffer that holds this much gets a successor
	segmentBytesMax = 64 << 10 // own buffers that grew beyond this are not kept; growing to segmentFull doubles past 32 KiB
)

// Two pools, because an own segment keeps its buffer.
var (
	ownSegments    = sync.Pool{New: func() any { return &segment{buf: make([]byte, 0, segmentBytes), own: true} }}
	sharedSegments = sync.Pool{New: func() any { return new(segment) }}
)

func newOwnSegment() *segment    { return ownSegments.Get().(*segment) }
func newSharedSegment() *segment { return sharedSegments.Get().(*segment) }

// left is what of s is not on the wire yet.
func (s *segment) left() []byte { return s.buf[s.off:] }

func (s *segment) release() {
	s.next, s.off, s.events, s.answer = nil, 0, 0, 0
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

// advance takes n written bytes off the list that starts at s. It returns the rest of it, and how many bytes of answers were in the
// segments that are done.
func advance(s *segment, n int) (rest *segment, answers int) {
	for s != nil {
		left := len(s.buf) - s.off
		if n < left {
			s.off += n
			return s, answers
		}
		n -= left
		done := s
		s = s.next
		answers += int(done.answer)
		done.release()
	}
	return nil, answers
}

// releaseAll gives up a list and returns how many events were in it.
func releaseAll(s *segment) (events int) {
	for s != nil {
		next := s.next
		events += int(s.events)
		s.release()
		s = next
	}
	return events
}
