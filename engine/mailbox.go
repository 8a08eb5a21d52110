//go:build linux

package engine

import (
	"sync"

	"banyan/engine/port"
)

// A note is a word from anywhere to the loop that owns the thing it is about.
type note struct {
	kind noteKind
	src  int32 // posting loop of a job
	lane uint64
	job  port.Job
	c    *conn
}

type noteKind uint8

const (
	noteJob     noteKind = iota // job joins the lane (src, lane)
	noteClose                   // c is to be closed
	noteBlocked                 // c's socket is full: watch for writability
	noteFlush                   // c wants a flush by its home loop
	noteResume                  // c may be read again, if its reasons to pause are gone
	noteFinish                  // c is finishing: read no more, and not for ever
	noteStop                    // graceful stop begins
	noteKill                    // the grace is over: close everything
)

// A mailbox carries notes to a loop, first in first out. The plain form, a mutex and two slices: one lock per note and one per
// drain, while what is posted costs microseconds.
type mailbox struct {
	// Any goroutine; guarded by mu.
	mu    sync.Mutex
	notes []note
	awake bool // the loop will drain without being woken

	// Owned by loop.
	spare []note
}

// notesKept bounds the memory a mailbox keeps after a burst.
const notesKept = 4096

// post adds n and reports whether the loop has to be woken: at most once per sleep.
func (m *mailbox) post(n note) (wake bool) {
	m.mu.Lock()
	m.notes = append(m.notes, n)
	wake = !m.awake
	m.awake = true
	m.mu.Unlock()
	return wake
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

// sleep is called before the loop waits for its descriptors: from here on it has to be woken. It reports false when there is something to
// drain.
func (m *mailbox) sleep() bool {
	m.mu.Lock()
	m.awake = len(m.notes) > 0
	sleep := !m.awake
	m.mu.Unlock()
	return sleep
}

// recycle gives back the slice of drain.
func (m *mailbox) recycle(notes []note) {
	clear(notes)
	if cap(notes) <= notesKept {
		m.spare = notes[:0]
	}
}
