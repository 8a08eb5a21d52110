package realmtest

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"banyan/engine/port"
)

// A Loop is a fake event loop: a port.Executor whose turns the World schedules.
type Loop struct {
	world *World
	index int
	rng   *rand.Rand // owned by loop

	// Guarded by mu.
	mu    sync.Mutex
	conns []*Conn                 // with input
	mail  []posted                // jobs posted by any loop
	funcs []func(x port.Executor) // submitted, and the ends of asynchronous work

	// Owned by loop.
	lanes  []*lane
	tasks  []port.BatchTask
	timers []*port.Timer
	grant  int
	worked int // what was noted with Work, in all

	// The coroutine of the turn under way. Seeded mode.
	resume func() (string, bool)
	cancel func()
	yield  func(string) bool

	wake chan struct{} // parallel mode
}

type posted struct {
	src  int
	lane uint64
	job  port.Job
}

// A lane is what one publisher on one loop has posted here, in order.
type lane struct {
	src  int
	id   uint64
	jobs []port.Job
}

var _ port.Executor = (*Loop)(nil)

// Loop implements port.Executor.
func (l *Loop) Loop() int { return l.index }

// Loops implements port.Executor.
func (l *Loop) Loops() int { return len(l.world.Loops) }

// Rand implements port.Executor.
func (l *Loop) Rand() uint64 { return l.rng.Uint64() }

// Post implements port.Executor.
func (l *Loop) Post(dst int, id uint64, j port.Job) {
	l.Step("post")
	d := l.world.Loops[dst]
	l.world.pending.Add(1)
	d.mu.Lock()
	d.mail = append(d.mail, posted{l.index, id, j})
	d.mu.Unlock()
	d.kick()
}

// Async implements port.Executor. In the seeded mode the work is done in one step of the World's, whenever the seed
// says so.
func (l *Loop) Async(work func(ctx context.Context), done func(x port.Executor)) bool {
	w := l.world
	w.asyncMu.Lock()
	defer w.asyncMu.Unlock()
	if w.AsyncMax > 0 && len(w.async) >= w.AsyncMax {
		return false
	}
	w.pending.Add(1)
	t := task{func() {
		if w.Panics == nil || !w.Panics() {
			work(context.Background())
		}
		l.run(done)
		w.done(1)
	}}
	if w.parallel {
		go t.run()
		return true
	}
	w.async = append(w.async, t)
	return true
}

// AsyncSlow implements port.Executor; it is Async.
func (l *Loop) AsyncSlow(work func(ctx context.Context), done func(x port.Executor)) bool {
	return l.Async(work, done)
}

// run hands f to the loop.
func (l *Loop) run(f func(x port.Executor)) {
	l.world.pending.Add(1)
	l.mu.Lock()
	l.funcs = append(l.funcs, f)
	l.mu.Unlock()
	l.kick()
}

// Grant implements port.Executor.
func (l *Loop) Grant(n int) int {
	n = min(n, l.grant)
	l.grant -= n
	return n
}

// Work implements port.Executor.
func (l *Loop) Work(units int) { l.worked += units }

// Charge implements port.Executor.
func (l *Loop) Charge(n int) bool {
	w := l.world
	if now := w.charged.Add(int64(n)); n > 0 && w.BytesMax > 0 && now > w.BytesMax {
		w.charged.Add(int64(-n))
		return false
	}
	return true
}

// ChargeMax implements port.Executor.
func (l *Loop) ChargeMax() int64 {
	if l.world.BytesMax > 0 {
		return l.world.BytesMax
	}
	return math.MaxInt64
}

// Worked returns how much was noted with Work so far. Between turns.
func (l *Loop) Worked() int { return l.worked }

// AtBatchEnd implements port.Executor.
func (l *Loop) AtBatchEnd(t port.BatchTask) { l.tasks = append(l.tasks, t) }

// timerReach is how far timers reach: less than those of the engine, so that more time passes in steps.
const timerReach = 100 * 24 * time.Hour

// Start implements port.Executor.
func (l *Loop) Start(t *port.Timer, d time.Duration) {
	l.Stop(t)
	t.Due = l.world.now.Load() + int64(min(d, timerReach))
	l.mu.Lock()
	l.timers = append(l.timers, t)
	l.mu.Unlock()
}

// Stop implements port.Executor.
func (l *Loop) Stop(t *port.Timer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.timers {
		if other == t {
			l.timers = append(l.timers[:i:i], l.timers[i+1:]...)
			t.Due = 0
			return
		}
	}
}

// Armed returns how many timers are armed. Between turns.
func (l *Loop) Armed() int { return len(l.timers) }

// Mail returns the jobs that other loops have posted and this one has not taken yet. Between turns.
func (l *Loop) Mail() (jobs []port.Job) {
	for _, p := range l.mail {
		jobs = append(jobs, p.job)
	}
	return jobs
}

// ArmedWithin reports whether a timer fires within d. Between turns.
func (l *Loop) ArmedWithin(d time.Duration) bool {
	for _, t := range l.timers {
		if t.Due <= l.world.now.Load()+int64(d) {
			return true
		}
	}
	return false
}

// Warn implements port.Executor.
func (l *Loop) Warn(message string, args ...any) {
	if f := l.world.Warned; f != nil {
		f(message, args...)
	}
}

// Step implements port.Executor.
func (l *Loop) Step(name string) {
	w := l.world
	if w.parallel || l.yield == nil {
		return
	}
	if w.held != nil {
		panic("realmtest: step " + name + " under the lock of a connection")
	}
	if w.Forced != nil {
		if !w.Forced(l.index, name) {
			return
		}
	} else if w.rng.IntN(100) >= w.Switch {
		return
	}
	l.yield(name)
}

func (l *Loop) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) enqueue(c *Conn, in input) {
	l.world.pending.Add(1)
	l.mu.Lock()
	c.in = append(c.in, in)
	if len(c.in) == 1 {
		l.conns = append(l.conns, c)
	}
	l.mu.Unlock()
	l.kick()
}

// take returns the next input of one connection that may be handled now.
func (l *Loop) take() (*Conn, input, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.conns {
		if c.waits() {
			continue
		}
		in := c.in[0]
		c.in = c.in[1:]
		l.conns = append(l.conns[:i:i], l.conns[i+1:]...)
		if len(c.in) > 0 {
			if l.rng.IntN(2) == 0 {
				l.conns = append(l.conns, c)
			} else {
				l.conns = append([]*Conn{c}, l.conns...) // some more of the same connection, as in one read
			}
		}
		return c, in, true
	}
	return nil, input{}, false
}

// Busy reports whether the loop has anything to do. Between turns.
func (l *Loop) Busy() bool { return l.hasWork() }

func (l *Loop) hasWork() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.mail) > 0 || len(l.lanes) > 0 || len(l.funcs) > 0 {
		return true
	}
	for _, c := range l.conns {
		if !c.waits() {
			return true
		}
	}
	for _, t := range l.timers {
		if t.Due <= l.world.now.Load() {
			return true
		}
	}
	return false
}

// turn is one pass: a batch of input, then what waits for its end, then lanes.
func (l *Loop) turn() {
	budget, chunk := l.world.Budget, l.world.Chunk
	if budget == 0 {
		budget, chunk = 4096, 256
	}
	l.grant = budget
	done := 0
	for range 1 + l.rng.IntN(16) {
		c, in, ok := l.take()
		if !ok {
			break
		}
		l.Step("input")
		c.handle(l, in)
		done++
	}
	l.mu.Lock()
	funcs := l.funcs
	l.funcs = nil
	l.mu.Unlock()
	for _, f := range funcs {
		l.Step("submitted")
		f(l)
		done++
	}
	l.fire()

	l.mu.Lock()
	mail := l.mail
	l.mail = nil
	l.mu.Unlock()
	for _, p := range mail {
		l.lane(p.src, p.lane).add(p.job)
	}
	l.runTasks()
	for len(l.lanes) > 0 && l.grant > 0 {
		ln := l.lanes[0]
		n := min(chunk, l.grant)
		l.grant -= n
		l.Step("lane")
		more := ln.jobs[0].Run(l, n)
		l.lanes = append(l.lanes[:0:0], l.lanes[1:]...)
		if !more {
			ln.jobs = ln.jobs[1:]
			done++
		}
		if len(ln.jobs) > 0 {
			l.lanes = append(l.lanes, ln) // publishers take turns
		}
	}
	l.runTasks() // what the lanes have left to do
	l.world.done(done)
}

func (l *Loop) runTasks() {
	for len(l.tasks) > 0 {
		t := l.tasks[0]
		l.tasks = l.tasks[1:]
		t.EndOfBatch(l)
	}
}

func (l *Loop) fire() {
	for {
		var due *port.Timer
		l.mu.Lock()
		for _, t := range l.timers {
			if t.Due <= l.world.now.Load() && (due == nil || t.Due < due.Due) {
				due = t
			}
		}
		l.mu.Unlock()
		if due == nil {
			return
		}
		l.Stop(due)
		due.Fire(l)
	}
}

func (l *Loop) lane(src int, id uint64) *lane {
	for _, ln := range l.lanes {
		if ln.src == src && ln.id == id {
			return ln
		}
	}
	ln := &lane{src: src, id: id}
	l.lanes = append(l.lanes, ln)
	return ln
}

func (ln *lane) add(j port.Job) { ln.jobs = append(ln.jobs, j) }
