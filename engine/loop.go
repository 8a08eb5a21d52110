//go:build linux

package engine

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"

	errorx "github.com/panjf2000/gnet/v2/pkg/errors"
	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	pollqueue "github.com/panjf2000/gnet/v2/pkg/queue"
	"golang.org/x/sys/unix"

	"banyan/engine/port"
)

// A loop runs its connections and the sessions on them. It is the Executor that their handlers see. One turn:
//
//  1. the poller hands over the descriptors that are ready; each connection is read at most once, its messages are handled
//  2. with the first of them the batch task was queued; it runs after all descriptors:
//     a. arrivals and notes: connections, jobs and words from other loops
//     b. tasks that waited for the end of the batch
//     c. lanes: events to members, chunk by chunk, up to a budget
//     d. one flush of every connection that was touched
//     e. closes
//  3. what is left makes the loop ring its own bell and go back to the poller first, so that reads and calls come in between
//
// Descriptors are closed in step 2 only, by their home: a stale event of the same batch never meets a reused descriptor.
type loop struct {
	// Fixed at New; any goroutine may read.
	engine *Engine
	index  int
	poller *netpoll.Poller
	bell   int // eventfd, edge-triggered, never read
	batch  pollqueue.Func
	done   chan struct{} // closed when the goroutine has ended
	empty  chan struct{} // closed when the loop is stopping and its last connection is gone

	// Any goroutine.
	mail     mailbox
	arrivals arrivals
	homed    atomic.Int64 // connections that live here
	stats    counters

	// Owned by loop.
	conns     map[int]*conn
	connsMost int // most at one time since the map was made
	listeners map[int]*listener
	wheel     *wheel
	clock     clock
	random    *rand.ChaCha8
	sender    socketSender
	buffer    []byte // one read, with headroom for what an earlier one left
	local     []note
	touched   []*conn
	tasks     []port.BatchTask
	closing   []*conn
	lanes     lanes
	attach    netpoll.PollAttachment
	lastPong  []byte // payload of a ping that was not answered yet; dies with the read
	pongs     int    // answered in this read
	members   int    // what this turn may still walk
	received  int64  // messages of this turn that are not in stats yet
	appended  int    // runs appended in all, to see what a job cost
	quiet     int    // batch tasks since the last descriptor
	pending   bool   // the batch task is queued
	rung      bool   // the own bell will come
	stopping  bool
	killed    bool
}

const (
	readBytes = 64 << 10
	headroom  = headBytesMax + 1024 // longest incomplete piece kept between two reads
	// quietMax is how many batch tasks may follow each other before the loop insists on seeing its descriptors: the poller runs tasks
	// until none is left, so other loops could keep this one away from its sockets.
	quietMax = 16
	// batchRounds is how often one batch task looks again at what its own closes and flushes caused.
	batchRounds = 4
)

func newLoop(e *Engine, index int) (*loop, error) {
	l := &loop{
		engine: e, index: index, bell: -1, clock: clock{fd: -1},
		done: make(chan struct{}), empty: make(chan struct{}),
		conns: map[int]*conn{}, listeners: map[int]*listener{},
		wheel: newWheel(), buffer: make([]byte, headroom+readBytes),
	}
	l.batch = l.runBatch
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	l.random = rand.NewChaCha8(seed)
	var err error
	if l.poller, err = netpoll.OpenPoller(); err != nil {
		return l, fmt.Errorf("engine: poller: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return l, fmt.Errorf("engine: eventfd: %w", err)
	}
	if err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.bell}, true); err != nil {
		return l, fmt.Errorf("engine: %w", err)
	}
	if l.clock, err = newClock(); err != nil {
		return l, fmt.Errorf("engine: %w", err)
	}
	if err = l.poller.AddRead(&netpoll.PollAttachment{FD: l.clock.fd}, false); err != nil {
		return l, fmt.Errorf("engine: %w", err)
	}
	return l, nil
}

// release closes what newLoop opened. Only when no loop runs any more: other loops wake this one through its poller.
func (l *loop) release() {
	if l.poller != nil {
		_ = l.poller.Close()
	}
	for _, fd := range []int{l.bell, l.clock.fd} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (l *loop) run() {
	defer close(l.done)
	for {
		err := l.poller.Polling(l.onEvent)
		if errors.Is(err, errorx.ErrEngineShutdown) {
			return
		}
		// The poller gives up only when epoll itself fails, which leaves nothing to serve clients with.
		panic(fmt.Sprintf("engine: loop %d: %v", l.index, err))
	}
}

// onEvent is called by the poller for each descriptor that is ready.
func (l *loop) onEvent(fd int, events uint32, _ uint16) error {
	if !l.pending {
		l.pending = true
		l.quiet = 0
		l.members = turnMembers
		l.trigger()
	}
	if c := l.conns[fd]; c != nil {
		c.onEvent(events)
		return nil
	}
	switch fd {
	case l.bell:
		l.rung = false
	case l.clock.fd:
		l.wheel.advance(l.clock.fired(), l)
	default:
		if ls := l.listeners[fd]; ls != nil {
			ls.accept(l)
		} else if l.takeArrivals() && l.conns[fd] != nil {
			l.conns[fd].onEvent(events)
		}
	}
	return nil
}

func (l *loop) trigger() {
	if err := l.poller.Trigger(pollqueue.HighPriority, l.batch, nil); err != nil {
		panic(fmt.Sprintf("engine: waking loop %d: %v", l.index, err))
	}
}

// post hands n to this loop. Any goroutine.
func (l *loop) post(n note) {
	if l.mail.post(n) {
		l.trigger()
	}
}

// ring makes the poller return at once, with whatever else is ready. Home loop only.
func (l *loop) ring() {
	if l.rung {
		return
	}
	l.rung = true
	one := [8]byte{1}
	if _, err := unix.Write(l.bell, one[:]); err != nil {
		panic(fmt.Sprintf("engine: bell of loop %d: %v", l.index, err))
	}
}

// runBatch is the batch task.
func (l *loop) runBatch(any) error {
	l.quiet++
	if l.quiet > quietMax {
		// The mailbox stays armed, so nobody triggers again before the bell was heard.
		l.pending = false
		l.ring()
		return nil
	}
	l.pending = false
	l.stats.batches.Add(1)
	l.stats.messagesIn.Add(l.received)
	l.received = 0
	l.takeNotes()
	l.runTasks()
	l.runLanes()
	for range batchRounds {
		l.runTasks()
		l.flushTouched()
		l.closeAll()
		if len(l.tasks) == 0 && len(l.touched) == 0 && len(l.closing) == 0 {
			break
		}
	}
	if len(l.tasks) > 0 || len(l.touched) > 0 || len(l.closing) > 0 || len(l.local) > 0 || !l.lanes.empty() {
		l.ring()
	}
	if err := l.clock.arm(l.wheel.next()); err != nil {
		panic(fmt.Sprintf("engine: loop %d: %v", l.index, err))
	}
	return l.stopped()
}

// stopped reports the end of a stopping loop to Stop, and to the poller when it was told to end.
func (l *loop) stopped() error {
	if !l.stopping || len(l.conns) > 0 {
		return nil
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
	if l.killed {
		return errorx.ErrEngineShutdown
	}
	return nil
}

func (l *loop) takeNotes() {
	if l.arrivals.waiting.Load() {
		l.takeArrivals()
	}
	notes := l.mail.drain()
	for i := range notes {
		l.take(&notes[i])
	}
	l.mail.recycle(notes)
	// Own notes that these cause are for the next batch only if they come from there on.
	for i := 0; i < len(l.local); i++ {
		n := l.local[i]
		l.take(&n)
	}
	clear(l.local)
	l.local = l.local[:0]
}

func (l *loop) take(n *note) {
	switch n.kind {
	case noteJob:
		l.lanes.push(laneKey{n.src, n.lane}, n.job)
	case noteClose:
		l.closeSoon(n.c)
	case noteBlocked:
		n.c.watchWrite(true)
	case noteFlush:
		n.c.q.mu.Lock()
		l.touchLocked(n.c)
		n.c.q.mu.Unlock()
	case noteResume:
		n.c.resume()
	case noteFinish:
		n.c.windDown()
	case noteStop:
		l.stop()
	case noteKill:
		l.kill()
	}
}

func (l *loop) runTasks() {
	for i := 0; i < len(l.tasks); i++ {
		t := l.tasks[i]
		l.tasks[i] = nil
		t.EndOfBatch(l)
	}
	l.tasks = l.tasks[:0]
}

func (l *loop) runLanes() {
	if l.quiet == 1 {
		// Walks that handlers did inline must not starve the lanes.
		l.members = max(l.members, turnMembers/4)
	}
	for !l.lanes.empty() && l.members > 0 {
		chunk := min(chunkMembers, l.members)
		members, appended := l.members, l.appended
		more := l.lanes.turn(l, chunk)
		cost := max(members-l.members, l.appended-appended, jobMembers)
		if more {
			cost = max(cost, chunk)
		}
		l.members = members - cost
	}
}

// touchLocked promises that c will be flushed at the end of the batch. The lock of c's queue is held.
func (l *loop) touchLocked(c *conn) {
	if c.q.promise(l.index) {
		l.touched = append(l.touched, c)
	}
}

func (l *loop) flushTouched() {
	for i := 0; i < len(l.touched); i++ {
		c := l.touched[i]
		l.touched[i] = nil
		l.flush(c)
	}
	l.touched = l.touched[:0]
}

// flush writes c's queue, whichever loop c lives on, and tells its home what only home can do.
func (l *loop) flush(c *conn) {
	result, sends, sent, read := c.q.flush(&l.sender, l.index, l.engine.cfg.lowWater())
	if sends > 0 {
		l.stats.writes.Add(int64(sends))
		l.stats.bytesOut.Add(int64(sent))
	}
	if c.loop == l {
		if c.phase == phaseClosed {
			return
		}
		c.watchWrite(result == flushBlocked || result == flushWaiting)
		switch result {
		case flushMore:
			l.local = append(l.local, note{kind: noteFlush, c: c})
		case flushDrained, flushBroken:
			l.closeSoon(c)
		}
		if read {
			l.local = append(l.local, note{kind: noteResume, c: c})
		}
		return
	}
	switch result {
	case flushBlocked:
		c.loop.post(note{kind: noteBlocked, c: c})
	case flushMore:
		c.loop.post(note{kind: noteFlush, c: c})
	case flushDrained, flushBroken:
		c.loop.post(note{kind: noteClose, c: c})
	}
	if read {
		c.loop.post(note{kind: noteResume, c: c})
	}
}

// closeSoon closes c at the end of this batch. Home loop only.
func (l *loop) closeSoon(c *conn) {
	if c.phase == phaseClosed || c.closing {
		return
	}
	c.closing = true
	l.closing = append(l.closing, c)
}

func (l *loop) closeAll() {
	for i := 0; i < len(l.closing); i++ {
		c := l.closing[i]
		l.closing[i] = nil
		c.closing = false
		c.close()
	}
	l.closing = l.closing[:0]
}

// adopt makes a connection that some loop accepted one of this loop's.
func (l *loop) adopt(c *conn) {
	fd := int(c.q.fd)
	l.conns[fd] = c
	c.timer.Fire = c.onTimer
	c.watch()
	if l.stopping {
		l.closeSoon(c)
		return
	}
	d := l.engine.cfg.HandshakeTimeout
	if c.refused {
		d = min(d, refusalTimeout)
	}
	l.Start(&c.timer, d)
}

// mapKept is how large a map may have been to be kept when it is empty: maps never shrink.
const mapKept = 256

// forget takes a closed connection out of the table.
func (l *loop) forget(fd int) {
	l.connsMost = max(l.connsMost, len(l.conns))
	delete(l.conns, fd)
	if len(l.conns) == 0 && l.connsMost > mapKept {
		l.conns, l.connsMost = make(map[int]*conn), 0
	}
}

// stop begins the graceful end: no new connections, and a goodbye to all.
func (l *loop) stop() {
	l.stopping = true
	for _, ls := range l.listeners {
		ls.close(l)
	}
	for _, c := range l.conns {
		c.shutdown()
	}
}

// kill ends what is still there.
func (l *loop) kill() {
	l.killed = true
	for _, c := range l.conns {
		l.closeSoon(c)
		l.burySoon(c)
	}
}

// caught is deferred around everything a message or a handler can make fail. A panic costs the one session.
func (l *loop) caught(c *conn) {
	r := recover()
	if r == nil {
		return
	}
	l.engine.rare.panics.Add(1)
	l.engine.cfg.Log.Error("panic in a session; its connection is closed", "panic", fmt.Sprint(r), "peer", c.peer.Address, "stack", string(debug.Stack()))
	if !c.lockSoon() {
		// The handler died with its own lock held: what the lock guards is half changed, and nobody could ever take it again.
		panic(r)
	}
	c.finishLocked(l, port.CloseInternal, "internal error")
	c.q.mu.Unlock()
}
