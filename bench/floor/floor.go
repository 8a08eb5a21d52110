// Package floor is a yardstick, not a router: it moves the bytes of a load with the least possible work. It has one
// thread, one epoll, fixed handshakes, no checks, no routing and hardly any limits. The cost of a router above the
// floor's is the price of routing.
//
// It knows one topic and one procedure: every PUBLISH goes to every connection that has subscribed, every CALL to the
// callees in turn, whatever the URIs, the realm and the options say. All connections of a run have to speak the same
// serializer and transport: payloads are copied, never transcoded. PUBLISHED is never sent. It plays only the
// scenarios fanout, rpc, progressive, idle and storm. With TLS (tls.go) it is a plain Go program without epoll.
//
// The flow, per readable connection:
//
//  1. one read of at most 64 KiB
//  2. every whole frame in it: the EVENTs of a publisher into one buffer, INVOCATION and RESULT into the buffer of
//     their receiver
//  3. one write per subscriber, and one per other connection that got something
//
// It writes after each read. A router may gather the events of a whole poll in one write, so with many publishers it
// can be far below the floor.
package floor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	readBytes   = 64 << 10
	keepBytes   = 256 << 10 // longer buffers of a connection are not kept
	eventsMax   = 512       // of one epoll_wait
	callsMax    = 1 << 18   // open calls that are remembered, a power of two; older ones are overwritten
	acceptBurst = 256
)

// A Server is a floor that listens. Everything but Stop belongs to the goroutine of Run.
type Server struct {
	// Fixed at Listen.
	addr            net.Addr
	file            *os.File
	listener, epoll int
	wake            int // an eventfd: Stop was called

	// Owned by Run.
	bytes       []byte  // the last read
	conns       []*conn // by descriptor
	spare       []*conn // closed ones, used again
	subscribers []*conn
	callees     []*conn
	nextCallee  int     // CALLs go to the callees in turn
	dirty       []*conn // have something to write; empty between reads
	events      []byte  // the EVENTs of the publisher being read
	sessions    uint64
	publication uint64
	invocation  uint64
	calls       [callsMax]call // by invocation id
}

// A call is where a RESULT goes.
type call struct {
	caller  *conn
	session uint64 // caller's, when it called: connections are used again
	request uint64
}

// Listen binds address, HOST:PORT or unix:PATH.
func Listen(address string) (*Server, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	file, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return nil, err
	}
	s := &Server{
		addr: l.Addr(), file: file, listener: int(file.Fd()), epoll: -1, wake: -1,
		bytes: make([]byte, readBytes),
	}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *Server) open() (err error) {
	if err := unix.SetNonblock(s.listener, true); err != nil {
		return err
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	for _, fd := range []int{s.listener, s.wake} {
		if err := s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN); err != nil {
			return err
		}
	}
	return nil
}

// Addr is where the floor listens.
func (s *Server) Addr() net.Addr { return s.addr }

// Stop ends Run. Any goroutine, once.
func (s *Server) Stop() error {
	_, err := unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// Run serves until Stop and closes everything.
func (s *Server) Run() error {
	defer s.close()
	ready := make([]unix.EpollEvent, eventsMax)
	for {
		n, err := unix.EpollWait(s.epoll, ready, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("floor: %w", err)
		}
		for i := range ready[:n] {
			fd := int(ready[i].Fd)
			switch {
			case fd == s.wake:
				return nil
			case fd == s.listener:
				s.accept()
			default:
				c := s.conns[fd]
				if c == nil {
					continue // closed by an event before this one
				}
				if ready[i].Events&unix.EPOLLOUT != 0 {
					c.blocked = false
					s.write(c)
				}
				if ready[i].Events&^unix.EPOLLOUT != 0 {
					s.readable(c)
				}
			}
		}
	}
}

func (s *Server) close() {
	for _, c := range s.conns {
		if c != nil {
			unix.Close(c.fd)
		}
	}
	for _, fd := range []int{s.epoll, s.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	s.file.Close()
	if s.addr.Network() == "unix" {
		os.Remove(s.addr.String())
	}
}

func (s *Server) watch(op, fd int, events uint32) error {
	return unix.EpollCtl(s.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func (s *Server) accept() {
	for range acceptBurst {
		fd, _, err := unix.Accept4(s.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // nothing left, or no descriptor: the client sees it
		}
		if s.addr.Network() == "tcp" {
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		}
		for fd >= len(s.conns) {
			s.conns = append(s.conns, nil)
		}
		var c *conn
		if n := len(s.spare); n > 0 {
			c, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			c = &conn{}
		}
		*c = conn{fd: fd, in: c.in[:0], out: c.out[:0]}
		if err := s.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLRDHUP); err != nil {
			unix.Close(fd)
			continue
		}
		s.conns[fd] = c
	}
}

// hangUp closes c and forgets it. Closing takes its descriptor out of the epoll.
func (s *Server) hangUp(c *conn) {
	unix.Close(c.fd)
	s.conns[c.fd] = nil
	s.forget(c)
	if cap(c.in) > keepBytes || cap(c.out) > keepBytes {
		c.in, c.out = nil, nil
	}
	s.spare = append(s.spare, c)
}

// forget takes c out of the lists, and away from its open calls.
func (s *Server) forget(c *conn) {
	s.subscribers = without(s.subscribers, c, c.subscribed)
	s.callees = without(s.callees, c, c.registered)
	c.session = 0
}

func without(list []*conn, c *conn, member bool) []*conn {
	if !member {
		return list
	}
	for i := range list {
		if list[i] == c {
			list[i] = list[len(list)-1]
			return list[:len(list)-1]
		}
	}
	return list
}

// readable reads once and handles what came.
func (s *Server) readable(c *conn) {
	n, errno := rawIO(unix.SYS_READ, c.fd, s.bytes)
	if errno == unix.EAGAIN || errno == unix.EINTR {
		return
	}
	if errno != 0 || n == 0 {
		s.hangUp(c)
		return
	}
	s.received(c, s.bytes[:n])
	if c.state == stateGone && !c.blocked {
		s.hangUp(c)
	}
}

// received handles the frames in b, behind what was not whole before, and writes the answers.
func (s *Server) received(c *conn, b []byte) {
	if len(c.in) > 0 {
		c.in = append(c.in, b...)
		b = c.in
	}
	if rest := s.frames(c, b); len(rest) < len(b) || len(c.in) == 0 {
		c.in = append(c.in[:0], rest...)
	}
	if len(s.events) > 0 {
		for _, to := range s.subscribers {
			s.send(to, s.events)
		}
		s.events = s.events[:0]
	}
	for _, to := range s.dirty {
		to.dirty = false
		s.write(to)
	}
	s.dirty = s.dirty[:0]
}

// send writes b to c, behind the bytes that wait already.
func (s *Server) send(c *conn, b []byte) {
	if len(c.out) > 0 || c.blocked {
		c.out = append(c.out, b...)
		return
	}
	n, errno := c.writeTo(b)
	if errno != 0 && errno != unix.EAGAIN {
		return // epoll reports the end
	}
	if n < len(b) {
		c.out = append(c.out, b[n:]...)
		s.block(c)
	}
}

// write writes the bytes that wait.
func (s *Server) write(c *conn) {
	if c.blocked {
		return
	}
	if len(c.out) > 0 {
		n, errno := c.writeTo(c.out)
		if errno != 0 && errno != unix.EAGAIN {
			n = len(c.out)
		}
		if n < len(c.out) {
			c.out = append(c.out[:0], c.out[n:]...)
			s.block(c)
			return
		}
		c.out = c.out[:0]
	}
	if c.armed {
		c.armed = false
		s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP)
	}
}

// block waits for room in c's socket.
func (s *Server) block(c *conn) {
	c.blocked = true
	if !c.armed {
		c.armed = true
		s.watch(unix.EPOLL_CTL_MOD, c.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT)
	}
}

// mark notes that c.out has grown.
func (s *Server) mark(c *conn) {
	if !c.dirty {
		c.dirty = true
		s.dirty = append(s.dirty, c)
	}
}

// rawIO reads or writes once, without telling the scheduler. The sockets do not block.
func rawIO(trap uintptr, fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
