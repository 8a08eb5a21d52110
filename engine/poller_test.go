//go:build linux

package engine

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"banyan/codec"
)

// procs sets GOMAXPROCS for a test.
func procs(t *testing.T, n int) {
	was := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(was) })
}

// Loops that wait hidden from the scheduler are out of nobody's way: collections happen, goroutines run, messages pass, the engine stops.
func TestHiddenWaits(t *testing.T) {
	procs(t, 3)
	e := start(t, Config{Loops: 2, Dedicated: true}, echoes)
	for _, l := range e.loops {
		if !l.poller.hidden {
			t.Fatal("the wait is not hidden")
		}
	}
	peers := []*peer{dialRaw(t, e, codec.CBOR), dialRaw(t, e, codec.CBOR)}
	for range 20 {
		for _, p := range peers {
			p.send(rawFrameOf([]byte("x")))
			p.expect(rawFrameOf([]byte("x")))
		}
		runtime.GC() // stops the world while both loops wait, for the first 10 ms hidden
		done := make(chan struct{})
		for range 4 {
			go func() { done <- struct{}{} }()
		}
		for range 4 {
			<-done
		}
	}
	for _, p := range peers {
		p.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// A dedicated engine refuses to take every P.
func TestDedicatedNeedsOneMore(t *testing.T) {
	procs(t, 2)
	e, err := New(Config{Listen: []string{"127.0.0.1:0"}, Loops: 2, Dedicated: true, Log: quiet()}, echoes)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err == nil || !strings.Contains(err.Error(), "needs one more") {
		t.Error(err)
	}
	runtime.GOMAXPROCS(3)
	if err := e.Start(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// Without signals nothing would end a hidden wait.
func TestWaitsAreNotHiddenWithoutPreemption(t *testing.T) {
	for _, dedicated := range []bool{false, true} {
		for godebug, hidden := range map[string]bool{"": dedicated, "x=1,asyncpreemptoff=1": false, "asyncpreemptoff=0": dedicated} {
			t.Setenv("GODEBUG", godebug)
			p, err := openPoller(dedicated)
			if err != nil {
				t.Fatal(err)
			}
			if p.hidden != hidden {
				t.Errorf("dedicated %v, GODEBUG=%q: hidden %v", dedicated, godebug, p.hidden)
			}
			if ready := p.look(); len(ready) != 0 {
				t.Errorf("%d descriptors", len(ready))
			}
			p.wake()
			if ready := p.wait(); len(ready) != 1 || int(ready[0].Fd) != p.bell {
				t.Errorf("%d descriptors after a wake-up", len(ready))
			}
			p.close()
		}
	}
}
