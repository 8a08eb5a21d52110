package realm

import (
	"context"
	"errors"
	"iter"

	"banyan/codec"
	"banyan/realm/history"
)

// A simDisk is the disk of TestSimulate: a store in memory that commits what it was given, reads and fails when the
// seed says so. Like the real one it has a queue, whose events are found when they are committed, all of a batch or
// none.
type simDisk struct {
	*history.Memory
	s     *sim
	fails bool

	queue []simEntry
	// tasks are the goroutines that wait for it, running the one that goes on.
	tasks   []*simTask
	running *simTask

	refused map[int]bool // publications that it did not take
	lost    map[int]bool // and those that it took and could not store
	unread  int          // reads that it refused, or that failed
}

type simEntry struct {
	event  *history.Event
	to     []history.Log
	waiter history.Waiter
}

// A simTask is a goroutine that stops at each read.
type simTask struct {
	resume func() (struct{}, bool)
	yield  func(struct{}) bool
}

var errSimDisk = errors.New("the disk of the simulation fails")

func newSimDisk(s *sim) *simDisk {
	return &simDisk{
		Memory: history.NewMemory(0), s: s, fails: s.w.Rand(2) == 0, refused: map[int]bool{}, lost: map[int]bool{},
	}
}

// Append implements history.Store.
func (d *simDisk) Append(e *history.Event, to []history.Log, w history.Waiter) error {
	if d.fails && d.s.w.Rand(8) == 0 {
		d.refused[eventIndex(d.s, e)] = true
		return history.ErrFull
	}
	d.queue = append(d.queue, simEntry{e.Clone(), append([]history.Log(nil), to...), w})
	return nil
}

// Read implements history.Store. Another task, a commit or a loop may go on before it reads.
func (d *simDisk) Read(c *history.Cursor, done func(history.Page, error)) error {
	t := d.running
	if !t.yield(struct{}{}) {
		return errSimDisk
	}
	if d.fails && d.s.w.Rand(8) == 0 {
		d.unread++
		if d.s.w.Rand(2) == 0 {
			return history.ErrBusy
		}
		done(history.Page{}, errSimDisk)
		return nil
	}
	done(c.Next())
	return nil
}

// Close implements history.Store.
func (d *simDisk) Close(context.Context) error { return nil }

// background is Router.background.
func (d *simDisk) background(work func()) {
	t := new(simTask)
	t.resume, _ = iter.Pull(func(yield func(struct{}) bool) {
		t.yield = yield
		work()
	})
	d.tasks = append(d.tasks, t)
}

// step commits some of the queue, or lets a task go on, and reports whether there was anything to do.
func (d *simDisk) step() bool {
	n := len(d.tasks)
	if len(d.queue) > 0 {
		n++
	}
	if n == 0 {
		return false
	}
	i := d.s.w.Rand(n)
	if i == len(d.tasks) {
		d.commit()
		return true
	}
	t := d.tasks[i]
	d.running = t
	if _, more := t.resume(); !more {
		d.tasks = append(d.tasks[:i:i], d.tasks[i+1:]...)
	}
	return true
}

func (d *simDisk) commit() {
	batch := d.queue[:1+d.s.w.Rand(len(d.queue))]
	d.queue = d.queue[len(batch):]
	var failed error
	if d.fails && d.s.w.Rand(6) == 0 {
		failed = errSimDisk
	}
	for _, one := range batch {
		if failed != nil {
			d.lost[eventIndex(d.s, one.event)] = true
		} else if err := d.Memory.Append(one.event, one.to, nil); err != nil {
			d.s.fail("the disk: %v", err)
		}
		d.s.history.observe()
	}
	for _, one := range batch {
		if one.waiter != nil {
			one.waiter.Committed(one.event.Publication, failed)
		}
	}
}

// eventIndex is what an event of the simulation is: the index of a publication, or the complement of that of a
// testament.
func eventIndex(s *sim, e *history.Event) int {
	v, err := codec.Value(e.Payload.Format, e.Payload.Args)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(v.([]any)[0].(int64))
}
