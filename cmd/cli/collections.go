package cli

import (
	"math"
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

// The runtime's limit of memory, by which it collects sooner when a heap of buffers and copies grows fast: so many
// times the budget, and memoryBesides for what is not counted in it.
const (
	memoryBudgets = 3
	memoryBesides = 64 << 20
)

// memoryLimit is that limit, in bytes. Whatever is live, a quarter of it may be allocated until the next collection:
// a limit below would have the runtime do little else than collect.
func memoryLimit(budget int64, live uint64) int64 {
	return max(memoryBudgets*min(budget, math.MaxInt64/8)+memoryBesides, int64(live+live/4))
}

// A collectionSpacer sets the percentage and the limit anew after each collection. A large heap must not grow
// fivefold as a small one may.
type collectionSpacer struct {
	budget     int64
	setPercent bool // unless the operator decides
	setLimit   bool

	mu            sync.Mutex
	percent       int   // guarded by mu; what is set
	limit         int64 // guarded by mu; what is set
	percentBefore int   // guarded by mu; what was set before the first time
	limitBefore   int64 // guarded by mu
	stopped       bool  // guarded by mu
}

// spaceCollections begins to space the collections of this process, whose router has that budget in bytes, and
// returns the function that ends it. Who sets GOGC or GOMEMLIMIT decides that alone.
func spaceCollections(budget int64) (stop func()) {
	s := &collectionSpacer{
		budget: budget, setPercent: os.Getenv("GOGC") == "", setLimit: os.Getenv("GOMEMLIMIT") == "",
		percent: gcPercent(0), limit: memoryLimit(budget, 0),
	}
	if s.setPercent {
		s.percentBefore = debug.SetGCPercent(s.percent)
	}
	if s.setLimit {
		s.limitBefore = debug.SetMemoryLimit(s.limit)
	}
	s.watch()
	return s.stop
}

// watch waits for the end of the next collection: an object that nothing refers to is found dead by it.
func (s *collectionSpacer) watch() {
	runtime.AddCleanup(&struct{ at *collectionSpacer }{s}, (*collectionSpacer).collected, s)
}

// collected runs after a collection.
func (s *collectionSpacer) collected() {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	live := sample[0].Value.Uint64()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	if percent := gcPercent(live); s.setPercent && percent != s.percent {
		debug.SetGCPercent(percent)
		s.percent = percent
	}
	if limit := memoryLimit(s.budget, live); s.setLimit && limit != s.limit {
		debug.SetMemoryLimit(limit)
		s.limit = limit
	}
	s.watch()
}

func (s *collectionSpacer) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.setPercent {
		debug.SetGCPercent(s.percentBefore)
	}
	if s.setLimit {
		debug.SetMemoryLimit(s.limitBefore)
	}
}
