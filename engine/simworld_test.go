//go:build linux

package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// A simWorld runs real loops on scripted sockets and a scripted clock. Each loop is a coroutine. A loop gives way to
// the others inside its system calls and where it waits, and nowhere else, so one number decides everything that
// happens: which loop runs next, how many bytes a call moves, when a client says something, how long a call takes.
type simWorld struct {
	rnd     *rand.Rand
	now     time.Duration
	e       *Engine
	loops   []*simLoop
	sockets map[int]*simSocket // open descriptors of the engine
	clients []*simSocket       // every client there ever was
	ls      *listener
	failed  string
	running *simLoop

	steps int // of the scheduler
	still int // steps in a row in which nothing happened
}

// A simLoop is a loop, the poller it waits with, and the coroutine it runs in.
type simLoop struct {
	w       *simWorld
	l       *loop
	resume  func() (bool, bool)
	yield   func(bool) bool
	ended   bool
	asleep  bool
	bell    bool
	armed   time.Duration
	watched map[int]poll.Interest
	ready   []unix.EpollEvent
}

const (
	simBell = 1 << 20
	simTick = simBell + 1
)

// A simSocket is one connection: the engine's descriptor and the client behind it.
type simSocket struct {
	w      *simWorld
	id     int
	fd     int
	in     []byte // sent by the client, not read yet
	room   int    // bytes that the engine may write now
	got    []byte // written by the engine, not looked at by the client yet
	ended  bool   // the client has ended its side
	reset  bool   // the client is gone
	shut   bool   // the engine has ended its side
	closed bool   // the engine has freed the descriptor
	client *simClient
}

func (w *simWorld) fail(format string, args ...any) {
	if w.failed == "" {
		w.failed = fmt.Sprintf(format, args...)
	}
}

func newSimWorld(seed uint64, loops int, cfg Config, open port.Opener) *simWorld {
	w := &simWorld{rnd: rand.New(rand.NewPCG(seed, 1)), sockets: map[int]*simSocket{}}
	cfg.Listen, cfg.Loops, cfg.Log = []string{"unix:sim"}, loops, quiet()
	if err := cfg.check(); err != nil {
		panic(err)
	}
	w.e = newEngine(cfg, open)
	w.e.replays = true
	w.e.chunkBytes = 1 << (6 + w.rnd.IntN(15))
	w.e.now = func() int64 { return int64(w.now) }
	w.ls = &listener{bound: bound{fd: -1, network: "unix"}, engine: w.e}
	for i := range loops {
		s := &simLoop{w: w, watched: map[int]poll.Interest{}}
		s.l = newLoop(w.e, i, s)
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed)
		key[8] = byte(i)
		s.l.random = rand.NewChaCha8(key)
		s.l.yield = s.giveWay
		s.l.workPerLook = 1 + w.rnd.IntN(workPerLook)
		next, _ := iter.Pull(func(yield func(bool) bool) {
			s.yield = yield
			yield(true)
			for !s.l.turn(s.l.wait()) {
			}
			s.ended = true
		})
		s.resume = next
		next()
		w.e.loops = append(w.e.loops, s.l)
		w.loops = append(w.loops, s)
	}
	return w
}

// giveWay lets other loops run.
func (s *simLoop) giveWay() { s.yield(true) }

// Wait implements poller.
func (s *simLoop) Wait(bool) []unix.EpollEvent {
	if s.w.rnd.IntN(8) == 0 {
		return nil // spuriously
	}
	for s.asleep = true; ; s.giveWay() {
		if ready := s.look(false); len(ready) > 0 {
			s.asleep = false
			return ready
		}
	}
}

// Look implements poller.
func (s *simLoop) Look() []unix.EpollEvent {
	s.giveWay()
	return s.look(s.w.rnd.IntN(3) == 0)
}

// look reports what is ready, in any order; some says that not everything has been noticed yet.
func (s *simLoop) look(some bool) []unix.EpollEvent {
	s.ready = s.ready[:0]
	if s.bell {
		s.bell = false // edge-triggered
		s.ready = append(s.ready, unix.EpollEvent{Fd: simBell, Events: unix.EPOLLIN})
	}
	if s.armed != 0 && s.w.now >= s.armed {
		s.ready = append(s.ready, unix.EpollEvent{Fd: simTick, Events: unix.EPOLLIN})
	}
	fds := make([]int, 0, len(s.watched))
	for fd := range s.watched {
		fds = append(fds, fd)
	}
	slices.Sort(fds)
	s.w.rnd.Shuffle(len(fds), func(i, j int) { fds[i], fds[j] = fds[j], fds[i] })
	for _, fd := range fds {
		if some && s.w.rnd.IntN(2) == 0 {
			continue
		}
		if events := s.w.sockets[fd].events(s.watched[fd]); events != 0 {
			s.ready = append(s.ready, unix.EpollEvent{Fd: int32(fd), Events: events})
		}
	}
	return s.ready
}

// events is what epoll says about the socket, level-triggered.
func (k *simSocket) events(want poll.Interest) (events uint32) {
	if k.reset {
		return unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR
	}
	if want&poll.Read != 0 && (len(k.in) > 0 || k.ended) {
		events |= unix.EPOLLIN
	}
	if want&poll.Write != 0 && k.room > 0 {
		events |= unix.EPOLLOUT
	}
	if want&poll.Closes != 0 && k.ended {
		events |= unix.EPOLLRDHUP
	}
	return events
}

// Own implements poller.
func (s *simLoop) Own(fd int) (own, timer bool) {
	if fd == simTick {
		s.armed = 0
		s.w.still = 0
	}
	return fd == simBell || fd == simTick, fd == simTick
}

// Watch implements poller.
func (s *simLoop) Watch(fd int, was, want poll.Interest) error {
	if s.watched[fd] != was {
		s.w.fail("loop %d: descriptor %d was watched for %d, not %d", s.l.index, fd, s.watched[fd], was)
	}
	if k := s.w.sockets[fd]; k == nil {
		s.w.fail("loop %d: descriptor %d is watched but not open", s.l.index, fd)
	}
	if want == 0 {
		delete(s.watched, fd)
	} else {
		s.watched[fd] = want
	}
	return nil
}

// Wake implements poller.
func (s *simLoop) Wake()  { s.bell = true }
func (s *simLoop) Yield() {}

// Now implements poller. Every look at the clock finds it later; now and then much later, as if the thread had not
// run.
func (s *simLoop) Now() time.Duration {
	s.w.now += time.Duration(1 + s.w.rnd.IntN(5000))
	if s.w.rnd.IntN(40) == 0 {
		s.w.now += readTime
	}
	return s.w.now
}

// Arm implements poller.
func (s *simLoop) Arm(at time.Duration) error {
	if at != 0 && (s.armed == 0 || at < s.armed) {
		s.armed = at
	}
	return nil
}

// Close implements poller.
func (s *simLoop) Close() {}

// check fails if the descriptor is not k's any more.
func (k *simSocket) check(what string, fd int) bool {
	if k.closed || k.w.sockets[fd] != k {
		k.w.fail("client %d: %s on descriptor %d, which is not its own", k.id, what, fd)
		return false
	}
	return true
}

// Send implements outq.Sender: short writes, EAGAIN, errors; other loops run before and after.
func (k *simSocket) Send(fd int, _ *outq.Vectors, first *outq.Segment) (n int, err error) {
	if !k.check("send", fd) {
		return 0, errors.New("closed")
	}
	k.w.current().giveWay()
	defer k.w.current().giveWay()
	if !k.check("send", fd) || k.reset || k.shut {
		return 0, unix.EPIPE
	}
	most := k.room
	if most > 1 && k.w.rnd.IntN(4) == 0 {
		most = 1 + k.w.rnd.IntN(most)
	}
	had := len(k.got)
	k.got = first.Unsent(k.got, most)
	n = len(k.got) - had
	k.room -= n
	if n > 0 {
		k.w.still = 0
	}
	if n == 0 && len(first.Unsent(nil, 1)) > 0 {
		return 0, outq.ErrAgain
	}
	return n, nil
}

// write implements octets, for TLS. Locks are held, so no other loop runs before it is over: see simTLS.
func (k *simSocket) write(fd int, b []byte) (int, error) {
	if !k.check("write", fd) {
		return 0, errors.New("closed")
	}
	if k.reset || k.shut {
		return 0, unix.EPIPE
	}
	n := min(k.room, len(b))
	if n > 1 && k.w.rnd.IntN(4) == 0 {
		n = 1 + k.w.rnd.IntN(n)
	}
	if n == 0 {
		return 0, outq.ErrAgain
	}
	k.got = append(k.got, b[:n]...)
	k.room -= n
	k.w.still = 0
	return n, nil
}

// A simTLS lets other loops run before and after it sends.
type simTLS struct {
	*tlsTransport
	w *simWorld
}

// Send implements outq.Sender.
func (s *simTLS) Send(fd int, v *outq.Vectors, first *outq.Segment) (int, error) {
	s.w.current().giveWay()
	n, err := s.tlsTransport.Send(fd, v, first)
	s.w.current().giveWay()
	return n, err
}

func (k *simSocket) read(fd int, b []byte) (int, error) {
	if !k.check("read", fd) {
		return 0, errors.New("closed")
	}
	k.w.current().giveWay()
	switch {
	case k.reset:
		return 0, unix.ECONNRESET
	case len(k.in) > 0:
		k.w.still = 0
		most := min(len(k.in), len(b))
		if k.w.rnd.IntN(3) == 0 {
			most = 1 + k.w.rnd.IntN(most)
		}
		copy(b, k.in[:most])
		k.in = k.in[most:]
		return most, nil
	case k.ended:
		return 0, nil
	}
	return 0, outq.ErrAgain
}

func (k *simSocket) failure(fd int) error {
	if k.check("failure", fd) && k.reset {
		return unix.ECONNRESET
	}
	return nil
}

func (k *simSocket) shutdown(fd int) {
	if k.check("shutdown", fd) {
		k.shut = true
	}
}

func (k *simSocket) close(fd int) {
	if !k.check("close", fd) {
		return
	}
	for _, s := range k.w.loops {
		if _, watched := s.watched[fd]; watched {
			k.w.fail("client %d: descriptor %d is closed but still watched by loop %d", k.id, fd, s.l.index)
		}
	}
	k.closed = true
	k.w.still = 0
	delete(k.w.sockets, fd)
}

// current is the loop whose coroutine runs.
func (w *simWorld) current() *simLoop { return w.running }

// connect makes a client, which some loop accepts.
func (w *simWorld) connect(c *simClient) *simSocket {
	fd := 3
	for w.sockets[fd] != nil {
		fd++ // the lowest one that is free, so numbers are reused at once
	}
	k := &simSocket{w: w, id: len(w.clients), fd: fd, room: w.rnd.IntN(4000), client: c}
	w.sockets[fd] = k
	w.clients = append(w.clients, k)
	w.still = 0
	by := w.rnd.IntN(len(w.loops))
	if !w.e.Submit(by, func(x port.Executor) {
		var from unix.RawSockaddrAny
		w.ls.transport = func(int) transport { return k }
		w.ls.welcome(x.(*loop), fd, &from, w.rnd.IntN(8))
	}) {
		w.fail("a loop takes no work")
	}
	return k
}

// spinning is how many steps without any progress are too many: loops give way a few times in each turn, and look
// again a few times.
const spinning = 1000

// poolWork does a piece of work of the pool, and reports whether there was one.
func (w *simWorld) poolWork() bool {
	p := w.e.pool
	queue := p.work
	if len(queue) == 0 || len(p.slow) > 0 && w.rnd.IntN(2) == 0 {
		queue = p.slow
	}
	if len(queue) == 0 {
		return false
	}
	p.do(<-queue)
	return true
}

// step lets one loop run up to its next system call, or finishes a piece of work of the pool. It reports false when
// nothing can run: all loops are asleep and no descriptor is ready.
func (w *simWorld) step() bool {
	w.steps++
	if w.still++; w.still > spinning {
		w.fail("a loop spins: %d steps in which nothing happened", w.still)
		return false
	}
	if p := w.e.pool; len(p.work)+len(p.slow) > 0 && w.rnd.IntN(3) == 0 {
		w.still = 0
		return w.poolWork()
	}
	runnable := make([]*simLoop, 0, len(w.loops))
	for _, s := range w.loops {
		if !s.ended && (!s.asleep || s.bell || s.armed != 0 && w.now >= s.armed || s.anyReady()) {
			runnable = append(runnable, s)
		}
	}
	if len(runnable) == 0 {
		return w.poolWork()
	}
	s := runnable[w.rnd.IntN(len(runnable))]
	w.running = s
	s.resume()
	w.running = nil
	return true
}

func (s *simLoop) anyReady() bool {
	for fd, want := range s.watched {
		if s.w.sockets[fd].events(want) != 0 {
			return true
		}
	}
	return false
}

// sleep moves the clock to the next timer, at most until. It reports false if there is none before that.
func (w *simWorld) sleep(until time.Duration) bool {
	first := time.Duration(math.MaxInt64)
	for _, s := range w.loops {
		if !s.ended && s.armed != 0 {
			first = min(first, s.armed)
		}
	}
	if first > until {
		w.now = max(w.now, until)
		return false
	}
	w.now = max(w.now, first)
	return true
}
