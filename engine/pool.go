//go:build linux

package engine

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"banyan/engine/port"
)

// poolWorkers is how many goroutines a pool has.
var poolWorkers = PoolWorkers(runtime.NumCPU())

// PoolWorkers is how many goroutines the pool of an engine has on a machine with so many CPUs: so much work, such as
// hashing passwords, is done at a time.
func PoolWorkers(cpus int) int { return max(1, cpus/poolShare) }

// A pool runs work that would hold a loop up: hashing, handshakes, transcoding of large messages. A goroutine for
// every second CPU takes it, in the order it came, but what is slow by turns with the rest: so that nobody waits
// behind all the logins that strangers try. While it has work, loops do not hide their waits, so that the
// goroutines find a P; unless the work is brief and the Ps that no loop takes are enough for it.
type pool struct {
	// Fixed at New; any goroutine may read.
	engine *Engine
	work   chan asyncWork
	slow   chan asyncWork
	ctx    context.Context // ends when the engine stops
	cancel context.CancelFunc

	// Fixed at Start.
	spare int64 // Ps that no loop takes

	// Any goroutine.
	busy    atomic.Int64 // pieces of work that wait or run
	long    atomic.Int64 // of these, those that are not brief
	workers sync.WaitGroup
}

type asyncWork struct {
	run   func(ctx context.Context)
	done  func(x port.Executor)
	loop  *loop
	brief bool // it takes well below a millisecond: others can do without the P meanwhile
	slow  bool // it takes 100 ms and more, and many strangers may want it at a time
}

func newPool(e *Engine) *pool {
	p := &pool{engine: e, work: make(chan asyncWork, asyncMax), slow: make(chan asyncWork, asyncMax)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *pool) start() {
	for range poolWorkers {
		// Not locked to its thread, so not of lower priority either: the coroutine of a handshake would have to stay
		// with that thread, or the runtime ends the process.
		p.workers.Go(p.serve)
	}
}

// serve does work until the pool is closed and has none.
func (p *pool) serve() {
	now, then := p.work, p.slow
	for now != nil || then != nil {
		var w asyncWork
		var ok bool
		select {
		case w, ok = <-now:
		default:
			select {
			case w, ok = <-now:
			case w, ok = <-then:
				now, then = then, now
			}
		}
		if ok {
			p.do(w)
			yieldCPU()
		} else {
			now = nil // closed
		}
		now, then = then, now
	}
}

// yieldCPU lets the threads that wait for this CPU run first, those of loops above all: the kernel leaves a thread of
// the pool its slice of a millisecond and more, though a loop has work. The call is a raw one, so that the runtime
// leaves it its P.
//
// hot: TestHandshakes, "others": with it behind each piece of work and twice within a handshake the storm takes the
// p99 of others to 1.9 times what it is alone, and to 2.6 times without.
func yieldCPU() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// letOthers does a piece of work that waits and is not slow, if there is one. Slow work calls it now and then, where
// it can be interrupted. It returns false when the engine stops.
func (p *pool) letOthers() (goOn bool) {
	select {
	case w, ok := <-p.work:
		if ok {
			p.do(w)
		}
	default:
	}
	return p.ctx.Err() == nil
}

// do runs one piece of work and posts what follows it. A panic in the work is logged and counted; done runs all the
// same, so that nobody waits for ever.
func (p *pool) do(w asyncWork) {
	defer func() {
		p.leave(&w) // before the loop is woken, which then waits hidden again
		w.loop.post(note{kind: noteDone, job: submitted(w.done)})
	}()
	defer p.engine.caughtWork()
	w.run(p.ctx)
}

// caughtWork is deferred by who does work that is usually the pool's. It logs and counts a panic.
func (e *Engine) caughtWork() {
	if r := recover(); r != nil {
		e.rare.panics.Add(1)
		e.cfg.Log.Error("panic in work of the pool", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	}
}

// submit queues w for l unless the queue is full.
func (p *pool) submit(w asyncWork) bool {
	if p.enter(&w) {
		p.engine.unhide(w.loop)
	}
	queue := p.work
	if w.slow {
		queue = p.slow
	}
	select {
	case queue <- w:
		return true
	default:
		p.leave(&w)
		return false
	}
}

// enter counts w, and reports whether loops must not hide their waits from now on, though they might before.
func (p *pool) enter(w *asyncWork) bool {
	crowded := p.busy.Add(1) == p.spare+1 && p.spare < int64(poolWorkers)
	if !w.brief {
		crowded = p.long.Add(1) == 1 || crowded
	}
	return crowded
}

// leave takes back enter.
func (p *pool) leave(w *asyncWork) {
	if !w.brief {
		p.long.Add(-1)
	}
	p.busy.Add(-1)
}

// crowded reports that loops must not hide their waits.
//
// hot: TestHandshakes, "cost". Where one P is spare and there is one worker, a TLS handshake costs the process
// 365 us of CPU, and 450 us if loops do not hide their waits meanwhile: the runtime retakes the P of each wait.
func (p *pool) crowded() bool {
	return p.long.Load() > 0 || min(p.busy.Load(), int64(poolWorkers)) > p.spare
}

// close lets the workers end once no loop runs any more. It waits for them until ctx is done; work that ignores its
// context goes on behind.
func (p *pool) close(ctx context.Context) {
	p.cancel()
	close(p.work)
	close(p.slow)
	ended := make(chan struct{})
	go func() {
		p.workers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// unhide ends the hidden waits of all loops but by, the caller: their next waits are visible.
func (e *Engine) unhide(by *loop) {
	if !e.hidden {
		return
	}
	for _, l := range e.loops {
		if l != by {
			l.poller.Wake()
		}
	}
}
