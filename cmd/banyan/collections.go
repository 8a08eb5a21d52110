package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

const (
	// heapRoom is how much may be allocated between two collections while little is live, in bytes. The runtime's own
	// 4 MiB mean up to 100 collections a second where many calls are open: a fifth of what a call costs.
	heapRoom = 16 << 20

	gcPercentMin = 100 // of what is live; the runtime's default
	gcPercentMax = 400 // with nothing live the runtime makes 16 MiB of it
)

// gcPercent is how much may be allocated until the next collection, as a percentage of what is live: that of
// heapRoom, but no less than the runtime's default and no more than gcPercentMax.
func gcPercent(live uint64) int {
	if live <= heapRoom*100/gcPercentMax {
		return gcPercentMax
	}
	return max(gcPercentMin, int(heapRoom*100/live))
}

// A collectionSpacer sets the percentage anew after each collection. A large heap must not grow fivefold as a small
// one may.
type collectionSpacer struct {
	mu      sync.Mutex
	percent int  // guarded by mu; what is set
	before  int  // guarded by mu; what was set before the first time
	stopped bool // guarded by mu
}

// spaceCollections begins to space the collections of this process, and returns the function that ends it. Who sets
// GOGC decides alone.
func spaceCollections() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	s := &collectionSpacer{percent: gcPercent(0)}
	s.before = debug.SetGCPercent(s.percent)
	s.watch()
	return s.stop
}

// watch waits for the end of the next collection: an object that nothing refers to is found dead by it.
func (s *collectionSpacer) watch() {
	runtime.AddCleanup(&struct{ at *collectionSpacer }{s}, (*collectionSpacer).collected, s)
}

// collected runs after a collection.
func (s *collectionSpacer) collected() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if percent := gcPercent(live[0].Value.Uint64()); percent != s.percent {
		debug.SetGCPercent(percent)
		s.percent = percent
	}
	s.watch()
}

func (s *collectionSpacer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	debug.SetGCPercent(s.before)
}
