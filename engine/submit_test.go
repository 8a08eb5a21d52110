//go:build linux

package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/port"
)

// The door from outside: functions run once, on their loop, in the order of one goroutine; an idle loop is woken.
func TestSubmit(t *testing.T) {
	var loops port.Loops = start(t, Config{Loops: 2}, echoes)
	if loops.Len() != 2 {
		t.Fatal(loops.Len())
	}
	for loop := range 2 {
		done := make(chan []int)
		var ran []int
		for i := range 100 {
			if !loops.Submit(loop, func(x port.Executor) {
				if x.Loop() != loop {
					t.Errorf("on loop %d", x.Loop())
				}
				if ran = append(ran, i); i == 99 {
					done <- ran
				}
			}) {
				t.Fatal("refused")
			}
		}
		if got := <-done; !slices.IsSorted(got) || len(got) != 100 {
			t.Fatal(got)
		}
	}
}

// Submit refuses the function after submitsMax, takes one again when one has run, and refuses all when the loop has
// ended.
func TestSubmitIsBounded(t *testing.T) {
	e := start(t, Config{Loops: 1}, echoes)
	busy, release := make(chan bool), make(chan bool)
	e.Submit(0, func(port.Executor) { busy <- true; <-release })
	<-busy
	var ran atomic.Int64
	fill := func() {
		t.Helper()
		for range submitsMax {
			if !e.Submit(0, func(port.Executor) { ran.Add(1) }) {
				t.Fatal("refused early")
			}
		}
		if e.Submit(0, func(port.Executor) { ran.Add(1) }) {
			t.Fatal("accepted beyond the bound")
		}
	}
	fill()
	if n := e.Stats().Submits; n != submitsMax {
		t.Errorf("%d counted", n)
	}
	close(release)
	eventually(t, "all ran", func() bool { return ran.Load() == submitsMax && e.Stats().Submits == 0 })
	release = make(chan bool)
	e.Submit(0, func(port.Executor) { busy <- true; <-release })
	<-busy
	fill() // the count was given back
	close(release)
	if err := e.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := ran.Load(); n != 2*submitsMax {
		t.Errorf("accepted functions were forgotten: %d ran", n)
	}
	if e.Submit(0, func(port.Executor) { t.Error("ran after the end") }) {
		t.Error("accepted after the end")
	}
}

// A function that was accepted runs, even if the engine stops meanwhile.
func TestSubmitAgainstStop(t *testing.T) {
	t.Parallel()
	for range 20 {
		e := start(t, Config{Loops: 2}, echoes)
		var accepted, ran atomic.Int64
		var wg sync.WaitGroup
		for loop := range 2 {
			wg.Go(func() {
				for e.Submit(loop, func(port.Executor) { ran.Add(1) }) {
					accepted.Add(1)
				}
			})
		}
		eventually(t, "under way", func() bool { return ran.Load() > 100 })
		_ = e.Stop(t.Context())
		wg.Wait()
		if accepted.Load() != ran.Load() {
			t.Fatalf("%d accepted, %d ran", accepted.Load(), ran.Load())
		}
	}
}

// Work of the pool runs off the loops, which go on meanwhile; what follows it runs on the loop that asked; the pool
// is bounded; a panic in the work keeps nobody waiting; the context ends with the engine.
func TestAsync(t *testing.T) {
	e := start(t, Config{Loops: 2}, echoes)
	release, started := make(chan bool), make(chan context.Context, asyncMax)
	done := make(chan int, 2*asyncMax)
	async := func(work func(context.Context)) (ok bool) {
		asked := make(chan bool)
		e.Submit(1, func(x port.Executor) {
			asked <- x.Async(work, func(x port.Executor) { done <- x.Loop() })
		})
		return <-asked
	}
	if !async(func(ctx context.Context) { started <- ctx; <-release }) {
		t.Fatal("refused")
	}
	ctx := <-started
	p := dialRaw(t, e, codec.CBOR)
	p.send(rawFrameOf([]byte("x"))) // loops are not held up
	p.expect(rawFrameOf([]byte("x")))
	n := 1
	for async(func(context.Context) { <-release }) {
		if n++; n > 2*asyncMax {
			t.Fatal("not bounded")
		}
	}
	if n < asyncMax || e.Stats().AsyncWork != int64(n) {
		t.Errorf("full with %d, counted %d", n, e.Stats().AsyncWork)
	}
	close(release)
	for range n {
		if loop := <-done; loop != 1 {
			t.Fatalf("done on loop %d", loop)
		}
	}
	eventually(t, "the pool is empty", func() bool { return e.Stats().AsyncWork == 0 })
	if !async(func(context.Context) { panic("as told") }) {
		t.Fatal("refused although there is room again")
	}
	<-done
	if e.Stats().Panics != 1 {
		t.Error("the panic is not counted")
	}
	if ctx.Err() != nil {
		t.Error("the context ended early")
	}
	// The work waits for the context, and Stop for the work.
	async(func(ctx context.Context) { <-ctx.Done() })
	_ = e.Stop(t.Context())
	if ctx.Err() == nil {
		t.Error("the context goes on after the end")
	}
}

// While the pool has work, no loop hides its wait: a loop that waits hidden is woken when work comes.
func TestPoolGetsAProcessor(t *testing.T) {
	procs(t, 3)
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 2, Dedicated: true, Log: quiet()}, echoes)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan bool, 1000)
	for _, l := range e.loops {
		l.poller = &gatedPoller{poller: l.poller, waits: waits}
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop(context.Background()) })
	for range 2 {
		if hidden := <-waits; !hidden {
			t.Fatal("an idle dedicated loop does not hide its wait")
		}
	}
	release, done := make(chan bool), make(chan bool)
	e.Submit(0, func(x port.Executor) {
		x.Async(func(context.Context) { <-release }, func(port.Executor) { close(done) })
	})
	for range 2 { // the loop that asked, and the one that was woken for it
		if hidden := <-waits; hidden {
			t.Fatal("a loop hides its wait while the pool works")
		}
	}
	close(release)
	<-done
	if hidden := <-waits; !hidden {
		t.Fatal("the wait is not hidden again")
	}
}

// A gatedPoller tells how a loop waits.
type gatedPoller struct {
	poller
	waits chan<- bool
}

func (g *gatedPoller) Wait(hidden bool) []unix.EpollEvent {
	g.waits <- hidden
	return g.poller.Wait(hidden)
}
