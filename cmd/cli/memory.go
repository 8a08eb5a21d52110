package cli

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
	// busyBytes is how much allocated between two looks means that the runtime collects by itself, and that what is
	// given back would be asked for again at once.
	busyBytes = 16 << 20

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
	allocated int64 // in all until the last look
	rest      int   // looks to come before the next collection
}

// look is told how much of the heap the process holds, how much has been allocated since the start, and how much is
// in use by estimate, in bytes. It reports whether it is time to collect: the heap has grown by much more than the
// use since the last time, or shrunk by less, and at the moment nobody is leaving or sending much.
func (k *memoryKeeper) look(heap, allocated, use int64) bool {
	calm := use >= k.before-leavingBytes && allocated-k.allocated <= busyBytes
	k.before, k.allocated = use, allocated
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
	heap, allocated := heapBytes()
	k := memoryKeeper{heap: heap, allocated: allocated}
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			use := r.bytesInUse()
			if heap, allocated := heapBytes(); k.look(heap, allocated, use) {
				runtime.GC() // pools let go of what they hold at the second collection, which the next line makes
				debug.FreeOSMemory()
				heap, _ = heapBytes()
				k.collected(heap, use)
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
// The second number is how much has been allocated since the start.
func heapBytes() (sum, allocated int64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	for _, s := range samples[1:] {
		sum += int64(s.Value.Uint64())
	}
	return sum, int64(samples[0].Value.Uint64())
}
