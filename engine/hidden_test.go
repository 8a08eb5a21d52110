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

// Loops that wait hidden from the scheduler are out of nobody's way: collections happen, goroutines run, messages
// pass, the engine stops.
func TestHiddenWaits(t *testing.T) {
	procs(t, 3)
	e := start(t, Config{Loops: 2, Dedicated: true}, echoes)
	if !e.hidden {
		t.Fatal("the waits are not hidden")
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

// F22: where the runtime cannot interrupt a thread, waits are visible, and a collection does not stop the process for
// ever.
func TestF22WaitsAreVisibleWithoutPreemption(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"1", "2"} {
		out, err := child(t, "preempt", "GODEBUG=asyncpreemptoff="+value)
		if err != nil || !strings.Contains(out, "visible") || strings.Count(out, "cannot interrupt threads") != 1 {
			t.Errorf("asyncpreemptoff=%s: %v\n%s", value, err, out)
		}
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
