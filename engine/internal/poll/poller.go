//go:build linux && !poll_opt

// Package poll waits for descriptors. It is the only place that knows gnet's poller, raw epoll and timerfd, and the
// only one that hides waits from Go's scheduler. Of gnet it uses the registry of descriptors: creating epoll, adding,
// changing and deleting.
package poll

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"time"
	"unsafe"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// A Poller reports which descriptors of one loop are ready, level-triggered, and when the loop's timer is due. It
// waits with system calls of its own: gnet's Polling yields to the scheduler before it blocks, which wakes a thread
// for nothing when a P is spare, and takes an eventfd and two more waits to run what a batch has left to do. Owned by
// loop, but for Watch on a descriptor that the loop does not know yet, and Wake.
type Poller struct {
	registry *netpoll.Poller
	fd       int // gnet's epoll
	bell     int // eventfd, edge-triggered, never read
	timer    timer
	ready    [eventsMax]unix.EpollEvent
}

// eventsMax is how many descriptors one wait returns; the others follow in the next.
const eventsMax = 256

// An Interest is a set of things to be told about a descriptor. Errors and hang-ups are reported with any of them.
type Interest uint8

const (
	Read Interest = 1 << iota
	Write
	Ends   // errors and hang-ups only; not together with the others
	Closes // that the other end has shut down its side, EPOLLRDHUP; alone or with Write
)

// Open makes a poller. On error the returned poller, if it is not nil, must still be closed.
func Open() (*Poller, error) {
	registry, err := netpoll.OpenPoller()
	if err != nil {
		return nil, fmt.Errorf("poller: %w", err)
	}
	p := &Poller{registry: registry, fd: -1, bell: -1, timer: timer{fd: -1}}
	// The one thing of it that is not exported. The version of the module is pinned.
	fd := reflect.ValueOf(registry).Elem().FieldByName("fd")
	if fd.Kind() != reflect.Int {
		return p, errors.New("poller: this version of gnet keeps its epoll descriptor elsewhere")
	}
	p.fd = int(fd.Int())
	if p.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return p, fmt.Errorf("eventfd: %w", err)
	}
	if err := registry.AddRead(&netpoll.PollAttachment{FD: p.bell}, true); err != nil {
		return p, fmt.Errorf("poller: %w", err)
	}
	if p.timer, err = newTimer(); err != nil {
		return p, err
	}
	return p, p.Watch(p.timer.fd, 0, Read)
}

// Close frees the poller's descriptors. No loop may use it, nor wake it, any more.
func (p *Poller) Close() {
	_ = p.registry.Close()
	if p.bell >= 0 {
		_ = unix.Close(p.bell)
	}
	if p.timer.fd >= 0 {
		_ = unix.Close(p.timer.fd)
	}
}

// Watch changes what is reported about fd from was to want; 0 is nothing. A loop calls it for its own descriptors,
// any goroutine for one that is not watched yet.
func (p *Poller) Watch(fd int, was, want Interest) error {
	a := netpoll.PollAttachment{FD: fd}
	switch {
	case want == was:
		return nil
	case want == 0:
		return p.registry.Delete(fd)
	case was == 0 && want == Read:
		return p.registry.AddRead(&a, false)
	case was == 0 && want == Write:
		return p.registry.AddWrite(&a, false)
	case was == 0 && want == Read|Write:
		return p.registry.AddReadWrite(&a, false)
	case want == Read:
		return p.registry.ModRead(&a, false)
	case want == Read|Write:
		return p.registry.ModReadWrite(&a, false)
	}
	// gnet knows neither Ends nor Closes, and no change to Write.
	op, event := unix.EPOLL_CTL_MOD, unix.EpollEvent{Fd: int32(fd)}
	if was == 0 {
		op = unix.EPOLL_CTL_ADD
	}
	if want&Write != 0 {
		event.Events = unix.EPOLLOUT
	}
	if want&Closes != 0 {
		event.Events |= unix.EPOLLRDHUP
	}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(p.fd, op, fd, &event))
}

// Own reports whether fd is one of the poller's own descriptors: the bell or the timer. timer says that the timer is
// due; it is taken note of.
func (p *Poller) Own(fd int) (own, timer bool) {
	switch fd {
	case p.bell:
		return true, false
	case p.timer.fd:
		p.timer.fired()
		return true, true
	}
	return false, false
}

// Wake makes the wait return. Any goroutine.
func (p *Poller) Wake() {
	one := [8]byte{1}
	if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(p.bell), uintptr(unsafe.Pointer(&one)),
		uintptr(len(one))); errno != 0 {
		panic(fmt.Sprintf("engine: %v", os.NewSyscallError("eventfd", errno)))
	}
}

// Yield lets other threads that wait for this CPU run first.
func (p *Poller) Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Now is the time since Open.
func (p *Poller) Now() time.Duration { return time.Since(p.timer.start) }

// Arm makes the wait return at the time at, unless it will return before that anyway; 0 changes nothing.
func (p *Poller) Arm(at time.Duration) error { return p.timer.arm(at) }

// Look returns the descriptors that are ready now.
func (p *Poller) Look() []unix.EpollEvent { return p.raw(0) }

// Wait returns the descriptors that are ready once there are any. It may return none spuriously. hidden asks for a
// hidden wait.
//
// A hidden wait is one that the scheduler takes for a running goroutine. The loop keeps its P, no thread has to watch
// for it to come back, and none is woken to find another P for it. Whenever the runtime wants the P, for a collection
// at once and otherwise after 10 ms, it sends the thread a signal, as it does to a goroutine that computes for long.
// That ends the system call, and then follows a wait that the scheduler sees: an idle loop holds no P. A signal that
// comes just before the system call is lost; the runtime repeats it. Preemptible tells whether all this works here.
//
// hot: bench rpc --callers 1 --inflight 64 costs 745-800 ns of router CPU per call with it and 770-830 without, bench
// fanout --subscribers 100 226-268 and 281-303 (two loops, three interleaved rounds).
func (p *Poller) Wait(hidden bool) []unix.EpollEvent {
	if hidden {
		if ready := p.raw(-1); len(ready) > 0 {
			return ready
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.ready)), eventsMax,
		^uintptr(0), 0, 0)
	return p.outcome(n, errno)
}

// raw waits for at most ms milliseconds, -1 for any time, without telling the scheduler.
func (p *Poller) raw(ms int) []unix.EpollEvent {
	n, errno := hiddenWait(p.fd, p.ready[:], ms)
	return p.outcome(n, errno)
}

func hiddenWait(fd int, ready []unix.EpollEvent, ms int) (uintptr, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(ready))),
		uintptr(len(ready)), uintptr(ms), 0, 0)
	return n, errno
}

func (p *Poller) outcome(n uintptr, errno unix.Errno) []unix.EpollEvent {
	switch errno {
	case 0:
		return p.ready[:n]
	case unix.EINTR:
		return nil
	}
	// Nothing is left to serve clients with.
	panic(fmt.Sprintf("engine: %v", os.NewSyscallError("epoll_pwait", errno)))
}
