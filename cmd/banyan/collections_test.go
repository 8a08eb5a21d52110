package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{
		0: 400, 4 * mib: 400, 4*mib + 1: 399, 8 * mib: 200, 16*mib - 1: 100, 16 * mib: 100, 16*mib + 1: 100,
		1 << 40: 100,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes live: %d %%, want %d", live, got, want)
		}
	}
}

// percentSet is what the runtime goes by.
func percentSet() int {
	set := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(set)
	return int(set[0].Value.Uint64())
}

// TestSpaceCollections: the percentage follows what is live, again and again, and is as before at the end. Not
// parallel: it is one of the process.
func TestSpaceCollections(t *testing.T) {
	t.Setenv("GOGC", "")
	os.Unsetenv("GOGC")
	before := percentSet()
	stop := spaceCollections()
	var held []byte
	for range 2 {
		for want, size := range map[int]int{gcPercentMin: heapRoom + heapRoom/2, gcPercentMax: 0} {
			held = make([]byte, size)
			deadline := time.Now().Add(time.Minute)
			for percentSet() != want {
				if want == gcPercentMax && percentSet() > gcPercentMin {
					break // other tests of this process hold something too
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d bytes held: %d %%, want %d", len(held), percentSet(), want)
				}
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
			runtime.KeepAlive(held)
		}
	}
	stop()
	for range 3 { // a collection after the end changes nothing
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
		if got := percentSet(); got != before {
			t.Errorf("%d %% after the end, want %d", got, before)
		}
	}
}

// TestSpaceCollectionsLeavesGOGC: what the operator says stands.
func TestSpaceCollectionsLeavesGOGC(t *testing.T) {
	t.Setenv("GOGC", "150")
	before := debug.SetGCPercent(150)
	defer debug.SetGCPercent(before)
	stop := spaceCollections()
	defer stop()
	runtime.GC()
	if got := percentSet(); got != 150 {
		t.Errorf("%d %%, want 150", got)
	}
}
