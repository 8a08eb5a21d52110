//go:build linux

package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// A listener accepts connections on one loop and deals them out to all loops in turn, so that they spread evenly
// whatever the kernel thinks (but see departures); the others find theirs among their arrivals. Owned by loop once
// the engine runs.
type listener struct {
	bound
	engine *Engine
	index  int    // in Config.Listen
	name   string // see Config.ListenNames
	// transport makes the transport of an accepted connection.
	transport func(fd int) transport

	opening *opening // what may come first; nil where everything is as by default

	pause    time.Duration // back-off after the process ran out of descriptors
	timer    port.Timer
	nudge    port.Timer // see arrivals
	handedTo uint64     // a bit per loop that got a connection since nudge was started
	polled   bool
	logged   time.Time
}

// listen binds one address of Config.Listen.
func listen(e *Engine, address string) (*listener, error) {
	b, err := bind(address, e.cfg.UnixFiles[address])
	if err != nil {
		return nil, err
	}
	if b.refused != nil {
		e.cfg.Log.Warn("the system refused a socket option; connections work without it", "address", b.addr,
			"cause", b.refused)
	}
	return &listener{bound: b, engine: e}, nil
}

// attach makes l accept for ls. Before the loop runs, or on it.
func (ls *listener) attach(l *loop) error {
	if err := l.poller.Watch(ls.fd, 0, poll.Read); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	ls.polled = true
	return nil
}

// close ends accepting. On l's loop, or when no loop runs.
func (ls *listener) close(l *loop) {
	if l != nil {
		l.Stop(&ls.timer)
		l.Stop(&ls.nudge)
		if ls.polled {
			_ = l.poller.Watch(ls.fd, poll.Read, 0)
		}
		delete(l.listeners, ls.fd)
	}
	ls.unbind()
}

// accept takes what waits, up to a bound.
func (ls *listener) accept(l *loop) {
	if l.stopping && l.engine.longPolls.len() == 0 {
		ls.close(l) // see loop.stop
		return
	}
	for i := range acceptsPerTurn {
		if len(l.refusals) >= 2*ls.engine.refusalsPerLoop() {
			return
		}
		var from unix.RawSockaddrAny
		fd, errno := acceptFrom(ls.fd, &from)
		switch errno {
		case 0:
			ls.pause = 0
			ls.welcome(l, fd, &from, i)
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			ls.backOff(l, errno)
			return
		case unix.EBADF, unix.EINVAL, unix.ENOTSOCK, unix.EOPNOTSUPP, unix.EFAULT:
			panic(fmt.Sprintf("engine: accept: %v", errno))
		default:
			// The connection that waited is gone (aborted, or its network is): the next may be fine.
			ls.engine.rare.acceptErrors.Add(1)
		}
	}
}

// acceptFrom accepts one connection and writes its address to from. The wrapper in unix asks the kernel for the
// protocol of every socket and allocates the address; fd does not block, so the scheduler need not know.
func acceptFrom(fd int, from *unix.RawSockaddrAny) (int, unix.Errno) {
	size := uint32(unix.SizeofSockaddrAny)
	n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(from)),
		uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	return int(n), errno
}

// welcome makes fd, the nth connection of this turn, one of some loop's.
func (ls *listener) welcome(l *loop, fd int, from *unix.RawSockaddrAny, nth int) {
	e := ls.engine
	now := e.now()
	c := &conn{loop: l, transport: ls.transport(fd), fd: int32(fd), born: now, opening: ls.opening}
	c.q.Open(fd, &e.budget.backlogs)
	c.peer.Listener = ls.index
	ls.describe(&c.peer, from)
	l.stats.accepted.Add(1)
	if c.refused = e.admit(l, c); c.refused == admitted {
		c.loop = e.homeFor(l, now, nth)
	} else {
		e.tellRefused(c, c.refused)
		e.refusing.Add(1)
		l.refusals = append(l.refusals, c)
	}
	home := c.loop
	home.homed.Add(1)
	if home == l {
		// Its descriptor is new to this loop's poller: no event of this batch can be about it.
		l.adopt(c)
		return
	}
	if err := home.hand(c); err != nil {
		e.cfg.Log.Error("poller refused a connection", "error", err)
		home.homed.Add(-1)
		e.admission.leave(c)
		e.open.Add(-1)
		c.transport.close(fd)
		return
	}
	ls.handed(l, home)
}

// refusalsPerLoop is the part of refusalsMax that each accepting loop has.
func (e *Engine) refusalsPerLoop() int {
	return max(refusalsMax/min(len(e.cfg.Listen), len(e.loops)), 1)
}

// dropRefusal takes c off the connections over the limit.
func (l *loop) dropRefusal(c *conn) {
	if i := slices.Index(l.refusals, c); i >= 0 {
		l.refusals = slices.Delete(l.refusals, i, i+1)
		if i < l.refusalsSeen {
			l.refusalsSeen--
		}
	}
}

// cutRefusals closes the oldest silent ones of the connections over the limit that are more than this loop's part.
// refusals are those that the poller has had the chance to report in this turn.
func (l *loop) cutRefusals(refusals []*conn) {
	e := l.engine
	excess := len(refusals) - e.refusalsPerLoop()
	for _, c := range refusals {
		switch {
		case excess <= 0:
			return
		case c.deferred:
			continue // what it said is handled in the next turn
		case !c.closing && !c.finished.Load():
			e.rare.refusalsCut.Add(1)
			l.closeSoon(c)
		}
		excess--
	}
}

// describe fills in what is known about the other end of an accepted connection.
func (ls *listener) describe(p *port.Peer, from *unix.RawSockaddrAny) {
	p.Network, p.Local = ls.network, ls.network == "unix"
	var at netip.AddrPort
	switch from.Addr.Family {
	case unix.AF_INET:
		a := (*unix.RawSockaddrInet4)(unsafe.Pointer(from))
		at = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), networkOrder(&a.Port))
	case unix.AF_INET6:
		a := (*unix.RawSockaddrInet6)(unsafe.Pointer(from))
		ip := netip.AddrFrom16(a.Addr).Unmap()
		if a.Scope_id != 0 && ip.Is6() {
			ip = ip.WithZone(strconv.Itoa(int(a.Scope_id)))
		}
		at = netip.AddrPortFrom(ip, networkOrder(&a.Port))
	default:
		return
	}
	p.Address = at.String()
	p.Local = at.Addr().IsLoopback()
}

// networkOrder reads a port as the kernel writes it.
func networkOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

// backOff stops accepting for a while: the process has no descriptor left. One waiting connection is told by closing
// it, with the descriptor kept in reserve for that; the others wait in the kernel's queue.
func (ls *listener) backOff(l *loop, cause error) {
	e := ls.engine
	e.rare.acceptPauses.Add(1)
	ls.pause = min(max(2*ls.pause, acceptPauseMin), acceptPauseMax)
	if now := time.Now(); now.Sub(ls.logged) >= time.Second {
		ls.logged = now
		e.cfg.Log.Error("cannot accept connections; waiting", "cause", cause, "address", ls.addr, "wait", ls.pause,
			"open", e.open.Load(), "listener", ls.name)
	}
	if e.shed(ls.fd) {
		e.rare.refused.Add(1)
	}
	if err := l.poller.Watch(ls.fd, poll.Read, 0); err != nil {
		return // still polled: the next event tries again
	}
	ls.polled = false
	ls.timer.Fire = func(port.Executor) {
		if err := ls.attach(l); err != nil {
			e.cfg.Log.Error("accepting goes on later", "error", err)
			l.Start(&ls.timer, acceptPauseMax)
		}
	}
	l.Start(&ls.timer, ls.pause)
}

// A reserve is a descriptor kept free for the moment when there is no other. Guarded by mu; only accepting loops use
// it.
type reserve struct{ fd int }

func newReserve() (reserve, error) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return reserve{-1}, fmt.Errorf("engine: reserve descriptor: %w", err)
	}
	return reserve{fd}, nil
}

// shed accepts one connection with the reserve descriptor and closes it, so that its client learns at once.
func (e *Engine) shed(listener int) bool {
	e.reserveMu.Lock()
	defer e.reserveMu.Unlock()
	if e.reserve.fd >= 0 {
		_ = unix.Close(e.reserve.fd)
	}
	var from unix.RawSockaddrAny
	fd, errno := acceptFrom(listener, &from)
	if errno == 0 {
		_ = unix.Close(fd)
	}
	e.reserve, _ = newReserve() // without one, the next shed just fails
	return errno == 0
}
