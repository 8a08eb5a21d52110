// Package outq is the writing side of a connection: a queue of bytes that any loop appends to and any loop writes.
package outq

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A Queue holds what a connection has still to send. Any goroutine appends under the lock; exactly one at a time
// writes, with the lock released during the system call:
//
//  1. append    lend the tail buffer, or link a shared run; remember which loop promised to flush
//  2. flush     the first loop to come takes the whole pending list and becomes the writer; others leave, the writer
//     sees their bytes
//  3. write     outside the lock; then the rest, if any, goes back in front of the bytes appended meanwhile
//  4. EAGAIN    blocked is set, unless an edge arrived while the writer was out (again): then it tries once more
//  5. writable  the home loop clears blocked and flushes
//
// Closing waits for the writer, so that no system call ever meets a reused descriptor.
//
//	open ──Finish──▶ finishing ──drained──▶ done        open, finishing ──error──▶ broken
//	every state ──Shut──▶ shut (segments released, descriptor may be closed)
//
// "Lock held" in a comment means: to be called between Lock and Unlock. The zero value is an open queue without a
// descriptor.
type Queue struct {
	// Any goroutine; guarded by mu.
	mu       sync.Mutex
	promised uint64   // a bit per loop that will flush at the end of its batch
	head     *Segment // not yet taken by a writer
	tail     *Segment
	bytes    int      // unsent, including the list that a writer has taken
	answers  int      // of these, answers to the client's own requests; falls when a whole segment is written
	events   int      // unsent, the same
	cost     int      // memory that all of it takes, the same
	segments int      // the same
	grown    int      // bytes of events linked since KeepLatest went through the queue
	sealed   int      // bytes at the front that the Sender has taken, though it did not say so: see Seal
	lost     int      // events that were queued when the connection broke or closed
	kept     *Segment // the last of those in front that a drop passed by; nil if none did
	pass     *Pass    // KeepLatest is under way; nil most of the time
	dead     *Segment // given up, for Discard
	flags    flags
	reply    bool // the lent buffer is for an answer
	charging bool // the account knows the segments of this queue
	pushed   bool // a system call took bytes since Progress was asked

	// Any goroutine.
	charged atomic.Int64 // what the account counts for this queue; the goroutine that has the segment writes it

	// Fixed by Open; nil for none.
	account *Account

	// Written by the home loop under mu, before the queue is shared and at its end; so
	// the home loop may read it bare.
	fd int32
}

type flags uint8

const (
	writing   flags = 1 << iota // some loop is in a system call
	blocked                     // the socket took no more; the home loop waits for writability
	again                       // writability was reported while some loop was writing
	finishing                   // appends are refused; close when drained
	broken                      // the peer is gone or too slow; nothing is written any more
	shut                        // the descriptor is closed or about to be
	readHeld                    // the home loop stopped reading because of this backlog
	cut                         // some of what was appended is not written, and never will be
)

// A Result is the outcome of a flush, for the caller to act on.
type Result uint8

const (
	Idle    Result = iota // drained, or another loop is writing
	Blocked               // became blocked: the home loop has to watch for writability
	Waiting               // was blocked before; the home loop knows or is being told
	More                  // budget used up; flush again in the next batch
	Drained               // drained and finishing: close the transport
	Broken                // the peer is gone
)

const (
	// SegmentsPerSend is how many segments one system call writes at most.
	SegmentsPerSend = 64
	// SendsPerFlush is how many system calls one flush makes before other connections get their turn.
	SendsPerFlush = 16
	// FlushBytesMax is how many bytes one flush writes, give or take one system call, before other connections get
	// their turn: about half a millisecond.
	FlushBytesMax = 1 << 20
	// NoPromise stands for a loop to which nothing was promised.
	NoPromise = 64
	// unchargedMax is how many segments may be linked without the account. Usually the next flush writes them.
	unchargedMax = 1024
)

// ErrAgain is what a Sender returns when the socket takes nothing now, and what a read returns when there is nothing
// to read.
var ErrAgain = errors.New("engine: the socket would block")

// A Sender puts the bytes of up to SegmentsPerSend segments on the wire with at most one system call, which does not
// block, and returns how many bytes it took. v is the scratch of the calling loop. One loop at a time calls it for
// one connection.
type Sender interface {
	Send(fd int, v *Vectors, first *Segment) (n int, err error)
}

// Flushed is what a flush did.
type Flushed struct {
	Result Result
	Sends  int   // system calls
	Sent   int   // bytes
	Resume bool  // the backlog fell so low that a reader held back because of it may go on
	Err    error // why it is Broken
}

// Open makes the queue write to fd, and count its backlog in a, which may be nil. Before any other loop knows of it.
func (q *Queue) Open(fd int, a *Account) { q.fd, q.account = int32(fd), a }

// FD is the descriptor; -1 after Shut. Home loop only.
func (q *Queue) FD() int { return int(q.fd) }

// Lock and Unlock guard the queue and whatever its owner keeps under the same lock.
func (q *Queue) Lock()   { q.mu.Lock() }
func (q *Queue) Unlock() { q.mu.Unlock() }

// TryLock takes the lock if nobody holds it.
func (q *Queue) TryLock() bool { return q.mu.TryLock() }

// Accepts reports whether bytes may be appended: the queue is neither finishing nor broken nor shut. Lock held.
func (q *Queue) Accepts() bool { return q.flags&(finishing|broken|shut) == 0 }

// Events is how many events are unsent. One that is partly on the wire counts, with its whole run. Lock held.
func (q *Queue) Events() int { return q.events }

// Bytes is how many bytes are unsent. Lock held.
func (q *Queue) Bytes() int { return q.bytes }

// Answers is how many bytes of answers are unsent. Lock held.
func (q *Queue) Answers() int { return q.answers }

// Occupied is how much memory the unsent bytes take; shared ones count whole. Lock held.
func (q *Queue) Occupied() int { return q.cost }

// Untried reports whether there are unsent bytes of which nobody knows yet that the socket does not take them; writes
// says that a loop is about to find out. Lock held.
func (q *Queue) Untried() (untried, writes bool) {
	return q.bytes > 0 && q.flags&(blocked|broken|shut) == 0, q.flags&writing != 0
}

// Unblock makes the next flush ask a socket again that took no more. Lock held.
func (q *Queue) Unblock() { q.flags &^= blocked }

// Finish refuses every later append. The flush that writes the last byte returns Drained. Lock held.
func (q *Queue) Finish() { q.flags |= finishing }

// Complete reports that the queue finished and every byte of it was written. Lock held.
func (q *Queue) Complete() bool {
	return q.flags&finishing != 0 && q.head == nil && q.flags&(writing|broken) == 0
}

// Progress reports whether the socket took any byte since it was last asked. Lock held.
func (q *Queue) Progress() bool {
	pushed := q.pushed
	q.pushed = false
	return pushed
}

// Cut reports whether some of what was appended was not written when the connection broke or closed. Final after
// Shut.
func (q *Queue) Cut() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flags&cut != 0
}

// Lost is how many events were queued when the connection broke or closed. Final after Shut.
func (q *Queue) Lost() int { return q.lost }

// Lend returns the buffer the caller may append to: the own segment at the end of the list, or a fresh one. reply
// says that the bytes answer the client's own request. Lock held until Commit.
func (q *Queue) Lend(reply bool) []byte {
	q.reply = reply
	if t := q.tail; t != nil && t.own && len(t.buf) < segmentFull {
		return t.buf
	}
	if q.charging {
		q.link(freshSegment())
	} else {
		q.link(newOwnSegment())
	}
	return q.tail.buf
}

// Commit takes the lent buffer back and returns by how much it grew. A segment that is alone and empty is given up.
// Lock held.
func (q *Queue) Commit(buf []byte) int {
	t := q.tail
	n := len(buf) - len(t.buf)
	t.buf = buf
	q.bytes += n
	if q.reply && n > 0 {
		answer := n
		if t.answer == 0 {
			answer += answerOverhead
		}
		t.answer += int32(answer)
		q.answers += answer
	}
	if len(buf) == 0 && q.head == t {
		q.head, q.tail = nil, nil
		q.cost -= int(t.cost)
		q.segments--
		q.settle(q.free(t))
		return n
	}
	if more := t.occupies() - t.cost; more > 0 {
		t.cost += more
		q.cost += int(more)
		if t.charged {
			q.charged.Add(int64(more))
			q.account.bytes.Add(int64(more))
		}
	}
	return n
}

// answerOverhead is what an own segment counts among the answers beside its bytes.
const answerOverhead = segmentOverhead + segmentBytes

// Share links a run of events that several queues hold, at the time now. topic is what they are of, 0 if it is not
// one. Lock held.
func (q *Queue) Share(b []byte, events int, topic uint64, now time.Duration) {
	s := newSharedSegment()
	s.buf, s.events, s.topic, s.since = b, int32(events), topic, now
	q.link(s)
	q.bytes += len(b)
	q.events += events
	q.grown += len(b)
}

// ShareAnswer is Share for a run that the client has asked for: it counts as an answer, too. Lock held.
func (q *Queue) ShareAnswer(b []byte, events int, topic uint64, now time.Duration) {
	q.Share(b, events, topic, now)
	q.tail.answer = int32(len(b))
	q.answers += len(b)
}

// Link links bytes that nobody changes any more, of one message for this queue. reply says that they are an answer.
// Lock held.
func (q *Queue) Link(b []byte, reply bool) {
	s := newSharedSegment()
	s.buf = b
	if reply {
		s.answer = int32(len(b))
		q.answers += len(b)
	}
	q.link(s)
	q.bytes += len(b)
}

// Seal notes that the Sender has encrypted the first n unsent bytes, and reports them as sent later: when the socket
// has taken the record. Until then nothing of them may be dropped. Only the Sender calls it, in Send; the lock is not
// held.
func (q *Queue) Seal(n int) {
	q.mu.Lock()
	q.sealed = n
	q.mu.Unlock()
}

// Wake makes the next flush call the Sender though nothing may be queued: the Sender has bytes of its own to write.
// Lock held.
func (q *Queue) Wake() {
	if q.head == nil {
		q.Link(nil, false)
	}
}

func (q *Queue) link(s *Segment) {
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.next = s
	}
	q.tail = s
	s.cost = s.occupies()
	q.cost += int(s.cost)
	q.segments++
	if q.charging {
		q.charge(s)
	} else if q.segments > unchargedMax {
		q.chargeBacklog()
	}
}

// Promise notes that loop will flush and reports whether it had not promised before. Lock held.
func (q *Queue) Promise(loop int) bool {
	bit := uint64(1) << loop
	if q.promised&bit != 0 {
		return false
	}
	q.promised |= bit
	return true
}

// Flush writes what is pending. Any goroutine. loop is the promise that is redeemed, or NoPromise; lowWater is how
// many bytes of answers may be unsent when a held-back reader goes on.
func (q *Queue) Flush(s Sender, v *Vectors, loop int, lowWater int) (f Flushed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.promised &^= 1 << loop
	if q.flags&(writing|broken|shut) != 0 {
		return f
	}
	if q.flags&blocked != 0 {
		f.Result = Waiting
		return f
	}
	q.flags &^= again
	for q.head != nil {
		if f.Sends == SendsPerFlush || f.Sent >= FlushBytesMax {
			f.Result = More
			break
		}
		taken := q.head
		last := q.tail
		q.head, q.tail, q.kept = nil, nil, nil
		q.endPass()
		q.flags |= writing
		fd := int(q.fd)
		q.mu.Unlock()

		n, err := s.Send(fd, v, taken)
		rest := taken
		var done written
		if err == nil {
			rest, done = q.advance(taken, n)
		}

		q.mu.Lock()
		q.flags &^= writing
		f.Sends++
		f.Sent += n
		if q.flags&(shut|broken) != 0 {
			q.lost -= done.events
			if rest != nil {
				q.flags |= cut
			}
			q.condemn(rest, last)
			return f
		}
		q.bytes -= n
		q.answers -= done.answers
		q.events -= done.events
		q.cost -= done.cost
		q.segments -= done.segments
		q.pushed = q.pushed || n > 0
		if rest != nil {
			// The unsent rest goes back in front of the bytes appended meanwhile.
			if q.tail == nil {
				q.tail = last
			} else {
				last.next = q.head
			}
			q.head, q.kept = rest, nil
			q.endPass() // it may have begun meanwhile
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, ErrAgain):
			q.Break()
			f.Result, f.Err = Broken, err
			return f
		case q.flags&again != 0:
			q.flags &^= again
			continue
		}
		q.flags |= blocked
		f.Result = Blocked
		break
	}
	if q.head != nil {
		q.chargeBacklog()
	} else {
		q.charging = false
		if q.flags&finishing != 0 {
			f.Result = Drained
		}
	}
	if q.flags&readHeld != 0 && q.answers <= lowWater {
		q.flags &^= readHeld
		f.Resume = true
	}
	return f
}

// Writable takes note of an edge: the socket has room again. It reports whether the caller should flush.
func (q *Queue) Writable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flags&writing != 0 {
		q.flags |= again
		return false
	}
	q.flags &^= blocked
	return q.flags&(broken|shut) == 0
}

// Break refuses every later append and gives up what is queued, for Discard. A writer in a system call gives up its
// own list. Lock held.
func (q *Queue) Break() {
	q.flags |= broken
	q.lost += q.events
	q.endPass()
	first, last := q.head, q.tail
	if first != nil {
		q.flags |= cut
	}
	q.head, q.tail, q.kept = nil, nil, nil
	q.bytes, q.answers, q.events, q.cost, q.segments, q.sealed, q.charging = 0, 0, 0, 0, 0, 0, false
	if q.flags&writing == 0 {
		q.condemn(first, last)
	} else if first != nil {
		last.next, q.dead = q.dead, first
	}
}

// Shut waits until no writer is in a system call and then makes sure that there never will be one again. Home loop
// only. After it the descriptor may be closed. The wait lasts one system call that does not block; yield lets other
// goroutines run meanwhile.
func (q *Queue) Shut(yield func()) {
	for {
		q.mu.Lock()
		q.flags |= shut
		if q.flags&writing == 0 {
			q.Break()
			q.fd = -1
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		yield()
	}
}

// HoldRead notes that the home loop stops reading because more than highWater bytes of answers are unsent; the flush
// that brings them down tells. It reports whether it is so. Only answers count, what the client itself asked for: a
// callee whose invocations pile up may be waiting for the router to take its results before it reads on, and not to
// read those would leave both waiting for ever.
func (q *Queue) HoldRead(highWater int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.HoldReadLocked(highWater)
}

// HoldReadLocked is HoldRead with the lock held.
func (q *Queue) HoldReadLocked(highWater int) bool {
	if q.answers <= highWater {
		return false
	}
	q.flags |= readHeld
	return true
}

// ReadHeld reports whether the backlog is still in the way of reading.
func (q *Queue) ReadHeld() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flags&readHeld != 0
}
