//go:build linux

package outq

import "testing"

// TestQueueTellsWhatWasCut: Cut says whether all that was appended was written, also if it was written by a loop that
// was at it when the queue was shut, or broken.
func TestQueueTellsWhatWasCut(t *testing.T) {
	append3 := func(q *Queue) {
		q.Lock()
		q.Commit(append(q.Lend(true), "abc"...))
		q.Unlock()
	}
	shutSoon := func(q *Queue) { // as Shut does, which then waits for the writer
		q.Lock()
		q.flags |= shut
		q.Unlock()
	}
	breaks := func(q *Queue) {
		q.Lock()
		q.Break()
		q.Unlock()
	}
	for _, c := range []struct {
		name   string
		room   int
		fails  bool
		during []func(q *Queue)
		idle   bool // nobody flushes
		cut    bool
	}{
		{name: "all", room: 3},
		{name: "a part", room: 2, cut: true},
		{name: "nothing", idle: true, cut: true},
		{name: "all, while it is shut", room: 3, during: []func(*Queue){shutSoon}},
		{name: "a part, while it is shut", room: 2, during: []func(*Queue){shutSoon}, cut: true},
		{name: "all, and more comes", room: 3, during: []func(*Queue){append3, shutSoon}, cut: true},
		{name: "all, while it is broken", room: 3, during: []func(*Queue){breaks}},
		{name: "a part, while it is broken", room: 2, during: []func(*Queue){breaks}, cut: true},
		{name: "all, and more is broken", room: 3, during: []func(*Queue){append3, breaks}, cut: true},
		{name: "fails", fails: true, cut: true},
	} {
		q := &Queue{fd: 7}
		f := &fakeSocket{room: c.room, failed: c.fails}
		f.during = func() {
			for _, do := range c.during {
				do(q)
			}
			f.during = nil
		}
		append3(q)
		if !c.idle {
			q.Flush(f, nil, 0, 0)
		}
		q.Shut(func() { t.Errorf("%s: somebody writes", c.name) })
		if q.Cut() != c.cut {
			t.Errorf("%s: cut %v", c.name, q.Cut())
		}
	}
	q := &Queue{fd: 7}
	q.Shut(nil)
	if q.Cut() {
		t.Error("cut, though nothing was appended")
	}
}
