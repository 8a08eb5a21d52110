//go:build linux

package engine

import (
	"errors"
	"runtime"
	"sync"
)

// The outbound queue of a connection. Any goroutine appends under mu; exactly one at a time writes, with mu released during
// the system call:
//
//  1. append    lend the tail buffer, or link a shared run; remember which loop promised to flush
//  2. flush     the first to come takes the whole pending list and becomes the writer; others leave, the writer sees their bytes
//  3. write     outside the lock; then the rest, if any, goes back in front of what was appended meanwhile
//  4. EAGAIN    blocked is set, unless an edge arrived while the writer was out (again): then it tries once more
//  5. writable  the home loop clears blocked and flushes
//
// Closing waits for the writer, so that no system call ever meets a reused descriptor.
//
//	open ──finish──▶ finishing ──drained──▶ done        open, finishing ──error──▶ broken
//	every state ──shut──▶ shut (segments released, descriptor may be closed)
type queue struct {
	// Any goroutine; guarded by mu.
	mu       sync.Mutex
	promised uint64   // a bit per loop that will flush at the end of its batch
	head     *segment // not yet taken by a writer
	tail     *segment
	bytes    int // unsent, including what a writer has in its hands
	answers  int // of these, class Reply; falls when a whole segment is written
	lost     int // events that were queued when the connection broke or closed
	fd       int32
	flags    queueFlags
	reply    bool // what is lent is for class Reply
}

type queueFlags uint8

const (
	qWriting   queueFlags = 1 << iota // somebody is in a system call
	qBlocked                          // the socket took no more; the home loop waits for writability
	qAgain                            // writability was reported while somebody was writing
	qFinishing                        // appends are refused; close when drained
	qBroken                           // the peer is gone or too slow; nothing is written any more
	qShut                             // the descriptor is closed or about to be
	qReadHeld                         // the home loop stopped reading because of this backlog
)

// Outcomes of a flush, for the caller to act on.
type flushResult uint8

const (
	flushIdle    flushResult = iota // drained, or somebody else's work
	flushBlocked                    // became blocked: the home loop has to watch for writability
	flushWaiting                    // was blocked before; the home loop knows or is being told
	flushMore                       // budget used up; flush again in the next batch
	flushDrained                    // drained and finishing: close the transport
	flushBroken                     // the peer is gone
)

const (
	segmentsPerSend = 64 // iovecs of one sendmsg
	sendsPerFlush   = 16 // system calls of one flush before other connections get their turn
)

// errAgain is what a sender returns when the socket takes nothing now.
var errAgain = errors.New("engine: socket is full")

// A sender puts the bytes of up to segmentsPerSend segments on the wire with one system call that does not block and
// returns how many it took.
type sender interface {
	send(fd int, first *segment) (n int, err error)
}

// lend returns the buffer the caller may append to: the own segment at the end of the list, or a fresh one. reply says what it is
// for. mu held until commit.
func (q *queue) lend(reply bool) []byte {
	q.reply = reply
	if t := q.tail; t != nil && t.own && len(t.buf) < segmentFull {
		return t.buf
	}
	q.link(newOwnSegment())
	return q.tail.buf
}

// commit takes the lent buffer back and returns by how much it grew. A segment that is alone and empty is given up.
func (q *queue) commit(buf []byte) int {
	t := q.tail
	n := len(buf) - len(t.buf)
	t.buf = buf
	q.bytes += n
	if q.reply {
		t.answer += int32(n)
		q.answers += n
	}
	if len(buf) == 0 && q.head == t {
		q.head, q.tail = nil, nil
		t.release()
	}
	return n
}

// share links bytes that several queues hold.
func (q *queue) share(b []byte, events int) {
	s := newSharedSegment()
	s.buf, s.events = b, int32(events)
	q.link(s)
	q.bytes += len(b)
}

func (q *queue) link(s *segment) {
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.next = s
	}
	q.tail = s
}

// promise notes that loop will flush and reports whether it had not promised before. mu held.
func (q *queue) promise(loop int) bool {
	bit := uint64(1) << loop
	if q.promised&bit != 0 {
		return false
	}
	q.promised |= bit
	return true
}

// flush writes what is pending. Any goroutine. loop is the promise that is redeemed. read reports that the backlog fell so
// low that a reader held back because of it may go on.
func (q *queue) flush(s sender, loop int, lowWater int) (r flushResult, sends, sent int, read bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.promised &^= 1 << loop
	if q.flags&(qWriting|qBroken|qShut) != 0 {
		return flushIdle, 0, 0, false
	}
	if q.flags&qBlocked != 0 {
		return flushWaiting, 0, 0, false
	}
	q.flags &^= qAgain
	r = flushIdle
	for q.head != nil {
		if sends == sendsPerFlush {
			r = flushMore
			break
		}
		fly := q.head
		last := q.tail
		q.head, q.tail = nil, nil
		q.flags |= qWriting
		fd := int(q.fd)
		q.mu.Unlock()

		n, err := s.send(fd, fly)
		rest, answers := fly, 0
		if err == nil {
			rest, answers = advance(fly, n)
		}

		q.mu.Lock()
		q.flags &^= qWriting
		sends++
		sent += n
		if q.flags&(qShut|qBroken) != 0 {
			q.lost += releaseAll(rest)
			return flushIdle, sends, sent, false
		}
		q.bytes -= n
		q.answers -= answers
		if rest != nil {
			// What nobody took goes back in front of what was appended meanwhile.
			if q.tail == nil {
				q.tail = last
			} else {
				last.next = q.head
			}
			q.head = rest
		}
		if errors.Is(err, errAgain) {
			if q.flags&qAgain != 0 {
				q.flags &^= qAgain
				continue
			}
			q.flags |= qBlocked
			r = flushBlocked
			break
		}
		if err != nil {
			q.breakLocked()
			return flushBroken, sends, sent, false
		}
	}
	if q.head == nil && q.flags&qFinishing != 0 {
		r = flushDrained
	}
	if q.flags&qReadHeld != 0 && q.answers <= lowWater {
		q.flags &^= qReadHeld
		read = true
	}
	return r, sends, sent, read
}

// writable takes note of an edge: the socket has room again. It reports whether the caller should flush.
func (q *queue) writable() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flags&qWriting != 0 {
		q.flags |= qAgain
		return false
	}
	q.flags &^= qBlocked
	return q.flags&(qBroken|qShut) == 0
}

// breakLocked refuses every later append and drops what is queued. mu held. What a writer has in its hands it releases itself.
func (q *queue) breakLocked() {
	q.flags |= qBroken
	q.lost += releaseAll(q.head)
	q.head, q.tail = nil, nil
	q.bytes, q.answers = 0, 0
}

// shut waits until no writer is in a system call and then makes sure that there never will be one again. Home loop only. After it
// the descriptor may be closed. The wait is one system call that does not block.
func (q *queue) shut() {
	for {
		q.mu.Lock()
		q.flags |= qShut
		if q.flags&qWriting == 0 {
			q.breakLocked()
			q.fd = -1
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		runtime.Gosched()
	}
}

// holdRead notes that the home loop stops reading because more than highWater bytes of answers are unsent; the flush that brings them
// down tells. It reports whether it is so. Only answers count, what the client itself asked for: a callee whose invocations pile up may be
// waiting for us to take its results before it reads on, and not to read those would leave both waiting for ever.
func (q *queue) holdRead(highWater int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.answers <= highWater {
		return false
	}
	q.flags |= qReadHeld
	return true
}

// readHeld reports whether the backlog is still in the way of reading.
func (q *queue) readHeld() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.flags&qReadHeld != 0
}
