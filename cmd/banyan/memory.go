package main

import (
	"runtime"
	"runtime/debug"
	"time"
)

const (
	// leaveMin is how many connections have to go before their memory is worth a collection.
	leaveMin = 1000
	// memoryInterval is how often the number of connections is looked at.
	memoryInterval = time.Second
)

// A memoryKeeper gives memory back to the system after many connections have left. The runtime would do so only in the course of later
// collections, and a router without traffic makes no garbage that would start one.
type memoryKeeper struct {
	peak   int64 // most connections since memory was last given back
	before int64 // connections at the last look
}

// look notes the present number of connections and reports whether it is time: at least half of the peak is gone, and no more are
// leaving at the moment.
func (k *memoryKeeper) look(connections int64) bool {
	k.peak = max(k.peak, connections)
	calm := connections >= k.before
	k.before = connections
	if !calm || connections > k.peak/2 || k.peak-connections < leaveMin {
		return false
	}
	k.peak = connections
	return true
}

// keepMemory looks after memory until done is closed.
func keepMemory(done <-chan struct{}, connections func() int64) {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	var k memoryKeeper
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			if k.look(connections()) {
				runtime.GC() // pools let go of what they hold at the second collection, which the next line makes
				debug.FreeOSMemory()
			}
		}
	}
}
