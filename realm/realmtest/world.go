// Package realmtest runs a realm without an engine: fake loops, fake connections, a virtual clock, and a scheduler.
//
// A World runs in one of two modes. In the seeded mode one loop runs at a time, and every port.Executor.Step, that is
// every place before shared state is touched, is a place where another loop may go on; which one is drawn from the
// seed, so a failure replays exactly. In the parallel mode (Start) the loops are goroutines, for the race detector.
package realmtest

import (
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// A World is a set of loops and the connections on them.
type World struct {
	// Fixed before the first step.
	Open  port.Opener
	Loops []*Loop
	// Switch is how likely a Step hands over to another loop, in percent. Seeded mode.
	Switch int
	// Budget is how many members a turn may walk, Chunk how many of one job at a time; 0: many. CreditBytes is what a
	// connection may spend.
	Budget, Chunk int
	CreditBytes   int64

	// AsyncMax is how much asynchronous work may wait at a time before Async refuses; 0: no bound.
	AsyncMax int
	// Panics, when set, is asked before each piece of asynchronous work whether it is to panic. Nothing of it is done
	// then, and what follows it runs all the same.
	Panics func() bool

	// BytesMax is how much Charge gives out; 0: no bound.
	BytesMax int64

	// Warned, when set, is given what loops warn of. Any goroutine.
	Warned func(message string, args ...any)

	// Forced, when set, is asked at every Step of a loop instead of the seed whether to hand over. Seeded mode.
	Forced func(loop int, step string) bool

	rng      *rand.Rand
	held     *Conn // the connection whose lock is held; seeded mode
	running  *Loop // the loop that goes on; seeded mode
	parallel bool

	// Any goroutine.
	now     atomic.Int64 // virtual nanoseconds
	charged atomic.Int64 // bytes that Charge gave out
	pending atomic.Int64 // inputs, posts and lanes not yet done; parallel mode
	idle    chan struct{}
	stop    sync.WaitGroup

	ending sync.RWMutex
	ended  bool // guarded by ending: nothing can be submitted any more

	asyncMu sync.Mutex
	async   []task // guarded by asyncMu: waits to be done; seeded mode
}

// A task is asynchronous work of a loop.
type task struct{ run func() }

var _ port.Loops = (*World)(nil)

// Len implements port.Loops.
func (w *World) Len() int { return len(w.Loops) }

// Submit implements port.Loops.
func (w *World) Submit(loop int, f func(x port.Executor)) bool {
	w.ending.RLock()
	defer w.ending.RUnlock()
	if w.ended {
		return false
	}
	w.Loops[loop].run(f)
	return true
}

// NewWorld makes a world of n loops. Set Open before connecting.
func NewWorld(seed uint64, n int) *World {
	w := &World{
		rng:         rand.New(rand.NewPCG(seed, 1)),
		Switch:      30,
		CreditBytes: 1 << 30,
		idle:        make(chan struct{}, 1),
	}
	for i := range n {
		w.Loops = append(w.Loops, &Loop{
			world: w, index: i,
			rng:  rand.New(rand.NewPCG(seed, uint64(i)+2)),
			wake: make(chan struct{}, 1),
		})
	}
	return w
}

// Rand returns a number in [0, n) from the seed.
func (w *World) Rand(n int) int { return w.rng.IntN(n) }

// Connect opens a connection on a loop. The handler is made in that loop's next turn.
func (w *World) Connect(loop int, v codec.Variant, bytesMax int, local bool) *Conn {
	return w.ConnectPeer(loop, v, bytesMax, port.Peer{Transport: "rawsocket", Network: "unix", Local: local})
}

// ConnectPeer is Connect for a peer that is described.
func (w *World) ConnectPeer(loop int, v codec.Variant, bytesMax int, peer port.Peer) *Conn {
	c := &Conn{world: w, loop: w.Loops[loop], variant: v, bytesMax: bytesMax, peer: peer}
	c.credit.Store(w.CreditBytes)
	c.loop.enqueue(c, input{kind: opened})
	return c
}

// Step lets one loop go on: up to the next hand-over or the end of its turn. It reports false when no loop has
// anything to do. Seeded mode.
func (w *World) Step() bool {
	ready := make([]*Loop, 0, len(w.Loops))
	for _, l := range w.Loops {
		if l.resume != nil || l.hasWork() {
			ready = append(ready, l)
		}
	}
	n := len(ready) + len(w.async)
	if n == 0 {
		return false
	}
	if i := w.rng.IntN(n); i < len(ready) {
		w.StepLoop(ready[i].index)
	} else {
		w.StepAsync(i - len(ready))
	}
	return true
}

// Async returns how much asynchronous work waits. Seeded mode.
func (w *World) Async() int { return len(w.async) }

// StepAsync does the ith piece of the asynchronous work that waits. Seeded mode.
func (w *World) StepAsync(i int) {
	t := w.async[i]
	w.async = append(w.async[:i:i], w.async[i+1:]...)
	t.run()
}

// RunLoop lets that loop go on until it hands over, which it reports, or has nothing left to do. Seeded mode.
func (w *World) RunLoop(loop int) (paused bool) {
	l := w.Loops[loop]
	for l.resume != nil || l.hasWork() {
		if w.StepLoop(loop) {
			return true
		}
	}
	return false
}

// StepLoop lets that loop go on up to the end of its turn, or until it hands over, which it reports. Seeded mode.
func (w *World) StepLoop(loop int) (paused bool) {
	l := w.Loops[loop]
	if l.resume == nil {
		l.resume, l.cancel = iter.Pull(func(yield func(string) bool) {
			l.yield = yield
			l.turn()
		})
	}
	w.running = l
	_, more := l.resume()
	w.running = nil
	if !more {
		l.cancel()
		l.resume, l.yield = nil, nil
		return false
	}
	return true
}

// Settle steps until nothing is left to do: in the parallel mode, until the loops have nothing left. Timers that are
// not due do not count.
func (w *World) Settle() {
	if !w.parallel {
		for w.Step() {
		}
		return
	}
	for w.pending.Load() != 0 {
		<-w.idle
	}
}

// Now returns the time of the clock, which begins at 0. Any goroutine.
func (w *World) Now() time.Duration { return time.Duration(w.now.Load()) }

// Advance moves the clock; due timers fire in the loops' next turns.
func (w *World) Advance(d time.Duration) {
	w.now.Add(int64(d))
	for _, l := range w.Loops {
		l.kick()
	}
}

// Charged returns how many bytes Charge gave out that have not been given back. Any goroutine.
func (w *World) Charged() int64 { return w.charged.Load() }

// Start turns to the parallel mode: from now on every loop is a goroutine, until Stop.
func (w *World) Start() {
	w.parallel = true
	for _, l := range w.Loops {
		w.stop.Add(1)
		go func() {
			defer w.stop.Done()
			for range l.wake {
				for l.hasWork() {
					l.turn()
				}
			}
		}()
	}
}

// Stop ends the parallel mode once everything is done.
func (w *World) Stop() {
	w.ending.Lock()
	w.ended = true
	w.ending.Unlock()
	w.Settle()
	for _, l := range w.Loops {
		close(l.wake)
	}
	w.stop.Wait()
}

func (w *World) done(n int) {
	if n != 0 && w.pending.Add(int64(-n)) == 0 {
		select {
		case w.idle <- struct{}{}:
		default:
		}
	}
}
