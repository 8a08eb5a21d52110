package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryInterval is how often memory is looked at.
	memoryInterval = time.Second
	// memoryRest is how many looks lie between two collections at least: where much comes and goes all the time, the
	// runtime collects by itself.
	memoryRest = 4
	// idleBytesMin is how much memory without use is worth a collection, and one idleShare of all is, too.
	idleBytesMin = 8 << 20
	idleShare    = 4
	// leavingBytes is how much less use between two looks means that clients are leaving.
	leavingBytes = 1 << 20

	// What is counted occupies about so much.
	connectionBytes = 2 << 10
	recordBytes     = 400 // a subscription, a registration or an open call
)

// A memoryKeeper gives memory back to the system after a burst: of connections, of records, of messages. The runtime
// would do so only in the course of later collections, and a router without traffic makes no garbage that would start
// one.
type memoryKeeper struct {
	heap, use int64 // after the last collection, in bytes
	before    int64 // use at the last look
	rest      int   // looks to come before the next collection
}

// look is told how much of the heap the process holds, and how much is in use by estimate, in bytes. It reports
// whether it is time to collect: the heap has grown by much more than the use since the last time, or shrunk by less,
// and nobody is leaving at the moment.
func (k *memoryKeeper) look(heap, use int64) bool {
	calm := use >= k.before-leavingBytes
	k.before = use
	k.rest = max(0, k.rest-1)
	idle := (heap - k.heap) - (use - k.use)
	return calm && k.rest == 0 && idle >= idleBytesMin && idle >= heap/idleShare
}

// collected notes what a collection has left.
func (k *memoryKeeper) collected(heap, use int64) {
	k.heap, k.use, k.rest = heap, use, memoryRest
}

// keepMemory looks after the memory of a router until done is closed.
func keepMemory(done <-chan struct{}, r *router) {
	tick := time.NewTicker(memoryInterval)
	defer tick.Stop()
	k := memoryKeeper{heap: heapBytes()}
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			use := r.bytesInUse()
			if k.look(heapBytes(), use) {
				runtime.GC() // pools let go of what they hold at the second collection, which the next line makes
				debug.FreeOSMemory()
				k.collected(heapBytes(), use)
			}
		}
	}
}

// bytesInUse estimates what connections, records and messages under way occupy.
func (r *router) bytesInUse() int64 {
	records := r.realms.Stats()
	engine := r.engine.Stats()
	return engine.HeldBytes + engine.Connections*connectionBytes +
		(records.Subscriptions+records.Registrations+records.OpenCalls)*recordBytes
}

// heapBytes is how much of the heap the process holds: objects, dead or alive, and what is free but not given back.
func heapBytes() (sum int64) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	for _, s := range samples {
		sum += int64(s.Value.Uint64())
	}
	return sum
}
