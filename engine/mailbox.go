//go:build linux

package engine

import (
	"sync"

	"banyan/engine/port"
)

// A note tells the loop that owns a thing what to do about it.
type note struct {
	kind noteKind
	src  int32 // posting loop of a job
	lane uint64
	job  port.Job
	c    *conn
}

type noteKind uint8

const (
	noteJob      noteKind = iota // job joins the lane (src, lane)
	noteSubmit                   // job is a function from outside: see Submit
	noteDone                     // job is what follows a piece of Async work, or a request of a long-poll client
	noteClose                    // c is to be closed
	noteBlocked                  // c's socket is full: watch for writability
	noteFlush                    // c wants a flush by its home loop
	noteResume                   // c may be read again, if its reasons to pause are gone
	noteSlow                     // c's handler is told how slow the client is
	noteFinish                   // c is finishing: read no more, and not for ever
	noteAnswered                 // the request that c carries is answered
	noteEvict                    // the budget is exceeded: close the largest holders
	noteStop                     // graceful stop begins
	noteKill                     // the grace is over: close everything
)

// A mailbox carries notes to a loop, first in first out. The plain form, a mutex and two slices: one lock per note
// and one per drain, while the work of a note costs microseconds.
type mailbox struct {
	// Any goroutine; guarded by mu.
	mu     sync.Mutex
	notes  []note
	awake  bool // the loop will drain without being woken
	closed bool // the loop has ended

	// Owned by loop.
	spare []note
}

// post adds n. ok is false when the loop has ended; wake says that it has to be woken: at most once per sleep.
func (m *mailbox) post(n note) (wake, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false, false
	}
	m.notes = append(m.notes, n)
	wake = !m.awake
	m.awake = true
	return wake, true
}

// drain hands over everything posted so far. The slice is lent until recycle.
func (m *mailbox) drain() []note {
	m.mu.Lock()
	notes := m.notes
	m.notes = m.spare
	m.spare = nil
	m.awake = true
	m.mu.Unlock()
	return notes
}

// sleep is called before the loop waits for its descriptors: from here on it has to be woken. It reports false when
// there is something to drain.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	m.awake = len(m.notes) > 0
	sleep := !m.awake
	m.mu.Unlock()
	return sleep
}

// close refuses every later note. It does nothing and reports false when there is something to drain.
func (m *mailbox) close() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = len(m.notes) == 0
	return m.closed
}

// abandon refuses every later note and forgets those that wait. For a loop that never ran.
func (m *mailbox) abandon() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed, m.notes = true, nil
}

// recycle gives back the slice of drain.
func (m *mailbox) recycle(notes []note) {
	clear(notes)
	if cap(notes) <= notesKept {
		m.spare = notes[:0]
	}
}
