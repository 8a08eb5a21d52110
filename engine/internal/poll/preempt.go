//go:build linux && !poll_opt

package poll

import (
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// preemptWait is how long the runtime has to end one hidden wait, in milliseconds. It takes far less than one; a
// process that cannot be preempted stands still for so long, once, at its start.
const preemptWait = 200

// Preemptible reports whether the runtime can end a hidden wait, by trying it: a thread waits, and the world is
// stopped meanwhile, as for a collection. It cannot where asynchronous preemption is off (GODEBUG), where the signal
// is blocked, or where a sandbox forbids tgkill; loops that hid their waits there would stop the whole process at the
// first collection.
func Preemptible() bool {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if runtime.GOMAXPROCS(0) < 2 {
		return false // nobody could stop the world beside the wait; such an engine is not dedicated either
	}
	var waiting atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for !waiting.Load() {
			runtime.Gosched()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
	}()
	var ready [1]unix.EpollEvent
	waiting.Store(true)
	_, errno := hiddenWait(fd, ready[:], preemptWait)
	<-stopped
	return errno == unix.EINTR
}
