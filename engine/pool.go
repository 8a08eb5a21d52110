//go:build linux

package engine

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"banyan/engine/port"
)

// poolWorkers is how many goroutines a pool has.
var poolWorkers = max(1, runtime.NumCPU()/poolShare)

// A pool runs work that would hold a loop up: hashing, handshakes, transcoding of large messages. A goroutine for
// every second CPU takes it, in the order it came. While it has work, loops do not hide their waits, so that the
// goroutines find a P.
type pool struct {
	// Fixed at New; any goroutine may read.
	engine *Engine
	work   chan asyncWork
	ctx    context.Context // ends when the engine stops
	cancel context.CancelFunc

	// Any goroutine.
	busy    atomic.Int64 // pieces of work that wait or run
	workers sync.WaitGroup
}

type asyncWork struct {
	run  func(ctx context.Context)
	done func(x port.Executor)
	loop *loop
}

func newPool(e *Engine) *pool {
	p := &pool{engine: e, work: make(chan asyncWork, asyncMax)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *pool) start() {
	for range poolWorkers {
		p.workers.Go(func() {
			for w := range p.work {
				p.do(w)
			}
		})
	}
}

// do runs one piece of work and posts what follows it. A panic in the work is logged and counted; done runs all the
// same, so that nobody waits for ever.
func (p *pool) do(w asyncWork) {
	defer func() {
		if r := recover(); r != nil {
			p.engine.rare.panics.Add(1)
			p.engine.cfg.Log.Error("panic in work of the pool",
				"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
		p.busy.Add(-1) // before the loop is woken, which then waits hidden again
		w.loop.post(note{kind: noteDone, job: submitted(w.done)})
	}()
	w.run(p.ctx)
}

// submit queues w for l unless the queue is full.
func (p *pool) submit(w asyncWork) bool {
	if p.busy.Add(1) == 1 {
		p.engine.unhide(w.loop)
	}
	select {
	case p.work <- w:
		return true
	default:
		p.busy.Add(-1)
		return false
	}
}

// close lets the workers end once no loop runs any more. It waits for them until ctx is done; work that ignores its
// context goes on behind.
func (p *pool) close(ctx context.Context) {
	p.cancel()
	close(p.work)
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
