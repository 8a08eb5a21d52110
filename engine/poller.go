//go:build linux

package engine

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unsafe"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// A poller is gnet's registry of descriptors with a wait of our own. gnet's yields to the scheduler before it blocks, which wakes a thread
// to find nothing when a P is spare, and takes an eventfd and two more waits to run what a batch has left to do. Owned by loop, but for
// registering and wake.
type poller struct {
	*netpoll.Poller
	fd     int  // gnet's epoll
	bell   int  // eventfd, edge-triggered, never read
	hidden bool // see wait
	ready  [eventsMax]unix.EpollEvent
}

// eventsMax is how many descriptors one wait returns; the others follow in the next.
const eventsMax = 256

// openPoller makes a poller. On error, too, what it returns is to be closed, if it is something.
func openPoller(dedicated bool) (*poller, error) {
	registry, err := netpoll.OpenPoller()
	if err != nil {
		return nil, fmt.Errorf("poller: %w", err)
	}
	p := &poller{Poller: registry, fd: -1, bell: -1, hidden: dedicated && preemptible(os.Getenv("GODEBUG"))}
	// The one thing of it that is not exported. The version of the module is pinned.
	fd := reflect.ValueOf(registry).Elem().FieldByName("fd")
	if fd.Kind() != reflect.Int {
		return p, errors.New("poller: this version of gnet keeps its epoll descriptor elsewhere")
	}
	p.fd = int(fd.Int())
	if p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return p, fmt.Errorf("eventfd: %w", err)
	}
	return p, p.AddRead(&netpoll.PollAttachment{FD: p.bell}, true)
}

// preemptible reports whether the runtime interrupts threads by signals, as it does unless GODEBUG says otherwise.
func preemptible(godebug string) bool { return !strings.Contains(godebug, "asyncpreemptoff=1") }

func (p *poller) close() {
	_ = p.Close()
	if p.bell >= 0 {
		_ = unix.Close(p.bell)
	}
}

// wake makes the wait return. Any goroutine.
func (p *poller) wake() {
	one := [8]byte{1}
	if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)), uintptr(len(one))); errno != 0 {
		panic(fmt.Sprintf("engine: %v", os.NewSyscallError("eventfd", errno)))
	}
}

// look returns the descriptors that are ready now.
func (p *poller) look() []unix.EpollEvent { return p.raw(0) }

// wait returns the descriptors that are ready, once there are any; or none, for no reason.
//
// A hidden wait is one that the scheduler takes for a running goroutine. The loop keeps its P, no thread has to watch for it to come
// back, and none is woken to find another P for it. Whenever the runtime wants the P, for a collection at once and otherwise after 10 ms,
// it sends the thread a signal, as it does to a goroutine that computes for long. That ends the system call, and what follows is a wait
// that the scheduler sees: an idle loop holds no P. A signal that comes just before the system call is lost; the runtime repeats it.
//
// hot: bench rpc --callers 1 --inflight 64 costs 745-800 ns of router CPU per call with it and 770-830 without, bench fanout
// --subscribers 100 226-268 and 281-303 (two loops, three interleaved rounds).
func (p *poller) wait() []unix.EpollEvent {
	if p.hidden {
		if ready := p.raw(-1); len(ready) > 0 {
			return ready
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.ready)), eventsMax, ^uintptr(0), 0, 0)
	return p.outcome(n, errno)
}

// raw waits for at most ms milliseconds, -1 for any time, without telling the scheduler.
func (p *poller) raw(ms int) []unix.EpollEvent {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.ready)), eventsMax, uintptr(ms), 0, 0)
	return p.outcome(n, errno)
}

func (p *poller) outcome(n uintptr, errno unix.Errno) []unix.EpollEvent {
	switch errno {
	case 0:
		return p.ready[:n]
	case unix.EINTR:
		return nil
	}
	// Nothing is left to serve clients with.
	panic(fmt.Sprintf("engine: %v", os.NewSyscallError("epoll_pwait", errno)))
}
