//go:build linux

package engine

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A loop runs its connections and the sessions on them. It is the Executor that their handlers see. One turn:
//
//  1. the descriptors that are ready; each connection is read at most once, its messages are handled
//  2. arrivals and notes: connections, jobs and words from other loops
//  3. tasks that waited for the end of the batch
//  4. lanes: events to members, chunk by chunk, up to a budget
//  5. one flush of every connection that was touched
//  6. closes
//
// What is left waits for the next turn, which looks at the descriptors first, so that reads and calls come in between. Steps 2 to 6 are the
// batch task. Descriptors are closed there only, by their home: a stale event of the same wait never meets a reused descriptor.
type loop struct {
	// Fixed at New; any goroutine may read.
	engine *Engine
	index  int
	poller *poller
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
	again     bool   // the next turn must not wait
	stopping  bool
	killed    bool
}

const (
	readBytes = 64 << 10
	headroom  = wire.HeadBytesMax + 1024 // longest incomplete piece kept between two reads
	// fewReady is how many descriptors a wait has to find for the loop not to look once more before it writes: what has come meanwhile goes
	// into the same runs. bench fanout --subscribers 100: 226 ns of router CPU per event with it, 244 without.
	fewReady = 4
	// batchRounds is how often one batch task looks again at what its own closes and flushes caused.
	batchRounds = 4
)

func newLoop(e *Engine, index int) (*loop, error) {
	l := &loop{
		engine: e, index: index, clock: clock{fd: -1},
		done: make(chan struct{}), empty: make(chan struct{}),
		conns: map[int]*conn{}, listeners: map[int]*listener{},
		wheel: newWheel(), buffer: make([]byte, headroom+readBytes),
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	l.random = rand.NewChaCha8(seed)
	var err error
	if l.poller, err = openPoller(e.cfg.Dedicated); err != nil {
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
		l.poller.close()
	}
	if l.clock.fd >= 0 {
		_ = unix.Close(l.clock.fd)
	}
}

func (l *loop) run() {
	defer close(l.done)
	for !l.turn(l.wait()) {
	}
}

// wait returns the descriptors that are ready once there are any; none when something is left to do or somebody has posted: turn looks.
func (l *loop) wait() []unix.EpollEvent {
	if l.again || !l.mail.sleep() {
		return nil
	}
	return l.poller.wait()
}

// turn handles the descriptors that are ready, of which a wait has returned some, and everything that came of them. It reports whether the loop has ended.
func (l *loop) turn(ready []unix.EpollEvent) (ended bool) {
	l.members = turnMembers
	l.handle(ready)
	if len(ready) < fewReady {
		l.handle(l.poller.look())
	}
	l.runBatch()
	return l.stopped()
}

func (l *loop) handle(ready []unix.EpollEvent) {
	for i := range ready {
		l.onEvent(int(ready[i].Fd), ready[i].Events)
	}
}

// runBatch is the batch task.
func (l *loop) runBatch() {
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
	l.again = len(l.tasks) > 0 || len(l.touched) > 0 || len(l.closing) > 0 || len(l.local) > 0 || !l.lanes.empty()
	if err := l.clock.arm(l.wheel.next()); err != nil {
		panic(fmt.Sprintf("engine: loop %d: %v", l.index, err))
	}
}

// onEvent handles one descriptor that is ready.
func (l *loop) onEvent(fd int, events uint32) {
	if c := l.conns[fd]; c != nil {
		c.onEvent(events)
		return
	}
	switch fd {
	case l.poller.bell:
	case l.clock.fd:
		l.wheel.advance(l.clock.fired(), l)
	default:
		if ls := l.listeners[fd]; ls != nil {
			ls.accept(l)
		} else if l.takeArrivals() && l.conns[fd] != nil {
			l.conns[fd].onEvent(events)
		}
	}
}

// post hands n to this loop. Any goroutine.
func (l *loop) post(n note) {
	if l.mail.post(n) {
		l.poller.wake()
	}
}

// stopped reports the end of a stopping loop to Stop, and to the poller when it was told to end.
func (l *loop) stopped() bool {
	if !l.stopping || len(l.conns) > 0 {
		return false
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
	return l.killed
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
	// Walks that handlers did inline must not starve the lanes.
	l.members = max(l.members, turnMembers/4)
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
