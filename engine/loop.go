//go:build linux

package engine

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
	"banyan/engine/internal/wheel"
	"banyan/engine/port"
)

// A loop runs its connections and the sessions on them. It is the Executor that their handlers see. One turn:
//
//  1. connections that an earlier turn had no time for, in their order
//  2. the descriptors that are ready; one read of a connection, and its messages are handled. If few are ready the
//     loop looks once more
//  3. timers that are due
//  4. arrivals and notes: connections, jobs and requests from other loops
//  5. tasks that waited for the end of the batch
//  6. lanes: events to members, chunk by chunk
//  7. one flush of every connection that was touched; one that reaches a bound of its backlog is written before
//  8. closes; then what closed connections had not sent is freed
//
// Each step is bounded in time (limits.go). The rest waits for the next turn, which looks at the descriptors as well,
// so that reads and calls come in between. Steps 4 to 8 are the batch task. The descriptor of a connection of this
// loop is closed there only, and the loop takes it out of the poller before: a stale event of the same wait never
// meets a reused descriptor.
type loop struct {
	// Fixed at New; any goroutine may read.
	engine *Engine
	index  int
	poller poller
	yield  func()        // lets other goroutines run first: other loops, the collector
	done   chan struct{} // closed when the goroutine has ended
	empty  chan struct{} // closed when the loop is stopping and its last connection is gone

	// Any goroutine.
	mail     mailbox
	arrivals arrivals
	submits  atomic.Int64 // functions of Submit that wait in mail
	homed    atomic.Int64 // connections that live here
	stats    counters

	// Owned by loop.
	live         *Live         // the settings of this turn
	conns        map[int]*conn // by descriptor; those without one by a negative number
	connsMost    int           // most at one time since the map was made
	roster       []*conn       // the same connections, for walks that take more than one turn
	listeners    map[int]*listener
	virtual      int32   // the number that the last connection without a descriptor got
	refusals     []*conn // connections over the limit that this loop accepted, the oldest first
	refusalsSeen int     // of these, the first that the poller has had the chance to report in this turn
	wheel        *wheel.Wheel
	random       *rand.ChaCha8
	vectors      outq.Vectors
	buffer       []byte // one read, with headroom for what an earlier one left
	local        []note
	touched      list[*conn] // to be flushed
	pressed      list[*conn] // of these, those that have a bound to be judged before
	tasks        []port.BatchTask
	closing      list[*conn]
	ending       list[*conn] // still to be told that the engine stops
	deferred     []*conn     // to be handled in the next turn, in this order
	deferring    []*conn     // scratch
	lanes        lanes
	blocked      []*conn     // connections whose socket takes nothing
	blockedSweep port.Timer  // looks at blocked
	pass         *outq.Pass  // scratch of KeepLatest; empty between uses
	aging        list[*conn] // blocked connections whose events are still to be looked at
	discarding   list[*conn] // closed connections with unsent bytes that are not freed yet
	segments     int         // segments of queues that may still be looked at for a drop in this turn

	sweep       port.Timer    // looks at unfinished
	unfinished  []*conn       // connections that may hold part of a message
	sweeping    list[*conn]   // those of unfinished that are still to be looked at
	eviction    eviction      // of this loop's connections, because the budget is exceeded
	joins       joins         // messages whose chunks wait to be joined
	inflates    joins         // the same, of compressed messages
	joinTimer   port.Timer    // until the pool is asked again
	inflated    []byte        // scratch for one inflated message; nil until it is used
	inflating   [1][]byte     // scratch
	handshakes  handshakes    // of TLS
	lastPong    []byte        // payload of a ping that was not answered yet; valid during one read
	pongs       int           // answered in this read
	began       time.Duration // when this turn began
	ended       time.Duration // when the last turn ended
	gaveWay     time.Duration // when others on this CPU last came first
	work        int           // until the next look at the clock
	workPerLook int           // work between two looks; less in the simulation
	charged     int           // work that handlers noted, in all, to see what a goodbye cost
	exhausted   bool          // the time for reading is over
	timersDue   bool          // the time of a timer has come, or earlier turns left some
	members     int           // still to be walked in this turn
	received    int64         // messages of this turn that are not in stats yet
	appended    int           // runs appended in all, to see what a job cost
	unbooked    int           // bytes of input buffers that the budget does not know of
	again       bool          // the next turn must not wait
	stopping    bool
	killed      bool
}

// A poller is what a loop needs of poll.Poller; the simulation has another one.
type poller interface {
	Wait(hidden bool) []unix.EpollEvent
	Look() []unix.EpollEvent
	Own(fd int) (own, timer bool)
	Watch(fd int, was, want poll.Interest) error
	Wake()
	Yield()
	Now() time.Duration
	Arm(at time.Duration) error
	Close()
}

func newLoop(e *Engine, index int, p poller) *loop {
	l := &loop{
		engine: e, index: index, poller: p, yield: runtime.Gosched,
		done: make(chan struct{}), empty: make(chan struct{}),
		conns: map[int]*conn{}, listeners: map[int]*listener{},
		wheel: wheel.New(), buffer: make([]byte, headroom+readBytes), live: e.live.Load(), workPerLook: workPerLook,
	}
	l.joins.most, l.inflates.most = joinsAtOnce, inflatesAtOnce
	l.vectors.Owner = l
	l.sweep.Fire = l.sweepUnfinished
	l.handshakes.timer.Fire = func(port.Executor) { l.handshakes.dispatch(l) }
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	l.random = rand.NewChaCha8(seed)
	return l
}

func (l *loop) run() {
	defer close(l.done)
	for !l.turn(l.wait()) {
	}
}

// wait returns the descriptors that are ready once there are any. If work is pending or notes were posted it returns
// nil without waiting, and turn looks instead.
func (l *loop) wait() []unix.EpollEvent {
	if l.again || !l.mail.sleep() {
		l.giveWay()
		return nil
	}
	e := l.engine
	return l.poller.Wait(e.hidden && !e.pool.crowded())
}

// giveWay lets whoever waits for this CPU run first, where the loop goes on without a wait. A thread that never waits
// keeps its CPU until the next tick of the kernel, 4 ms and more; and the longer a goroutine keeps its P during a
// collection, the longer the collector then stays there: 8 ms after the runtime's own 20. After a rest it is not due.
func (l *loop) giveWay() {
	if l.began-l.gaveWay >= giveWayEvery {
		l.gaveWay = l.began
		l.yield()
		l.poller.Yield()
	}
}

// turn handles the descriptors that are ready, of which a wait has returned some, and everything that follows from
// them. It reports whether the loop has ended.
func (l *loop) turn(ready []unix.EpollEvent) (ended bool) {
	l.begin()
	l.live = l.engine.live.Load()
	l.exhausted, l.work = false, l.workPerLook
	l.members = turnMembers
	l.segments = turnSegments
	l.refusalsSeen = len(l.refusals)
	l.handleDeferred()
	l.handle(ready)
	if len(ready) < fewReady {
		l.handle(l.poller.Look())
	}
	if l.refusalsSeen > 0 {
		l.cutRefusals(l.refusals[:l.refusalsSeen])
	}
	if l.timersDue {
		l.fireTimers()
	}
	l.runBatch()
	l.ended = l.poller.Now()
	l.stats.turn(l.ended - l.began)
	return l.stopped()
}

// begin notes when this turn began, and whether others could run since the last one.
func (l *loop) begin() {
	if l.began = l.poller.Now(); l.began-l.ended >= rest {
		l.gaveWay = l.began
	}
}

func (l *loop) handle(ready []unix.EpollEvent) {
	for i := range ready {
		l.onEvent(int(ready[i].Fd), ready[i].Events)
	}
}

// worked notes that work was done, in units of about one small message, and looks at the clock now and then.
func (l *loop) worked(units int) {
	l.work -= units
	if l.work <= 0 {
		l.work = l.workPerLook
		l.exhausted = l.exhausted || l.poller.Now()-l.began > readTime
	}
}

// deferConn puts c at the end of the connections that the next turn begins with.
func (l *loop) deferConn(c *conn) {
	if !c.deferred {
		c.deferred = true
		l.deferred = append(l.deferred, c)
	}
}

// handleDeferred goes on with what earlier turns had no time for. Connections that still get none keep their places.
func (l *loop) handleDeferred() {
	if len(l.deferred) == 0 {
		return
	}
	conns := l.deferred
	l.deferred, l.deferring = l.deferring[:0], nil
	n := 0
	for n < len(conns) && !l.exhausted {
		conns[n].goOn()
		n++
	}
	l.deferring = conns
	if rest := conns[n:]; len(rest) > 0 {
		// Those that were deferred again just now go behind.
		l.deferred, l.deferring = append(rest, l.deferred...), nil
		return
	}
	clear(conns)
}

// fireTimers fires what is due until the time for it is over. The next turn goes on with the rest, in its order.
func (l *loop) fireTimers() {
	now := l.poller.Now()
	until := now + timerTime
	for l.timersDue = l.wheel.AdvanceSome(now, l, timersPerLook); l.timersDue && l.poller.Now() < until; {
		l.timersDue = l.wheel.AdvanceSome(now, l, timersPerLook)
	}
}

// runBatch is the batch task.
func (l *loop) runBatch() {
	l.stats.messagesIn.Add(l.received)
	l.received = 0
	l.takeNotes()
	l.runTasks()
	l.runLanes()
	l.slice(&l.ending, closeTime, (*conn).shutdown)
	l.slice(&l.sweeping, sweepTime, (*conn).lookUnfinished)
	l.evictSome()
	for range batchRounds {
		l.runTasks()
		flushed := l.flushTouched()
		closed := l.closeSome()
		if len(l.tasks) == 0 && l.touched.empty() && l.closing.empty() || !flushed || !closed {
			break
		}
	}
	l.slice(&l.aging, ageTime, (*conn).lookAge)
	l.slice(&l.discarding, discardTime, (*conn).discardUnsent)
	l.checkBudget()
	l.again = l.timersDue || len(l.tasks) > 0 || len(l.local) > 0 || len(l.deferred) > 0 || !l.lanes.empty() ||
		!l.touched.empty() || !l.closing.empty() || !l.ending.empty() || !l.aging.empty() || !l.discarding.empty() ||
		!l.sweeping.empty() || l.eviction.underWay
	if err := l.poller.Arm(l.wheel.Next()); err != nil {
		panic(fmt.Sprintf("engine: loop %d: %v", l.index, err))
	}
}

// onEvent handles one descriptor that is ready.
func (l *loop) onEvent(fd int, events uint32) {
	if c := l.conns[fd]; c != nil {
		c.onEvent(events)
		return
	}
	if own, timer := l.poller.Own(fd); own {
		if timer {
			l.timersDue = true
		}
		return
	}
	if ls := l.listeners[fd]; ls != nil {
		ls.accept(l)
	} else if l.takeArrivals() && l.conns[fd] != nil {
		l.conns[fd].onEvent(events)
	}
}

// post hands n to this loop and reports whether it will be taken: not after the loop has ended. Any goroutine.
func (l *loop) post(n note) bool {
	wake, ok := l.mail.post(n)
	if wake {
		l.poller.Wake()
	}
	return ok
}

// stopped reports the end of a stopping loop to Stop, and to run when it was told to end.
func (l *loop) stopped() bool {
	if !l.stopping || len(l.conns) > 0 {
		return false
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
	return l.killed && l.discarding.empty() && !l.eviction.underWay && l.mail.close()
}

func (l *loop) takeNotes() {
	if l.arrivals.waiting.Load() {
		l.takeArrivals()
	}
	notes := l.mail.drain()
	for i := range notes {
		l.take(&notes[i])
		l.relieve()
	}
	l.mail.recycle(notes)
	// Own notes that these cause are for the next batch only if they come from there on.
	for i := 0; i < len(l.local); i++ {
		n := l.local[i]
		l.take(&n)
		l.relieve()
	}
	clear(l.local)
	l.local = l.local[:0]
}

func (l *loop) take(n *note) {
	switch n.kind {
	case noteJob:
		l.lanes.push(laneKey{n.src, n.lane}, n.job)
	case noteSubmit:
		l.submits.Add(-1)
		n.job.Run(l, 0)
	case noteDone:
		n.job.Run(l, 0)
	case noteClose:
		l.closeSoon(n.c)
	case noteBlocked:
		n.c.watchWrite(true)
	case noteFlush:
		n.c.q.Lock()
		l.touchLocked(n.c)
		n.c.q.Unlock()
	case noteResume:
		n.c.resume()
	case noteSlow:
		n.c.tellSlow()
	case noteFinish:
		n.c.windDown()
	case noteAnswered:
		n.c.answered()
	case noteEvict:
		l.beginEviction()
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
		l.relieve()
	}
	l.tasks = l.tasks[:0]
}

func (l *loop) runLanes() {
	if l.lanes.empty() {
		return
	}
	// Walks that handlers did inline must not starve the lanes.
	l.members = max(l.members, turnMembers/4)
	until, unlooked := time.Duration(0), 0 // the first look at the clock begins the time
	for !l.lanes.empty() && l.members > 0 {
		chunk := min(chunkMembers, l.members)
		members, appended, charged := l.members, l.appended, l.charged
		more := l.lanes.runNext(l, chunk)
		l.relieve()
		cost := max(members-l.members, l.appended-appended, jobMembers)
		if more {
			cost = max(cost, chunk)
		}
		l.members = members - cost
		if unlooked += cost + l.charged - charged; unlooked >= workPerLook {
			unlooked = 0
			switch now := l.poller.Now(); {
			case until == 0:
				until = now + walkTime
			case now > until:
				return
			}
		}
	}
}

// touchLocked promises that c will be flushed at the end of the batch. The lock of c's queue is held.
func (l *loop) touchLocked(c *conn) {
	if c.q.Promise(l.index) {
		l.touched.add(c)
	}
}

// grown promises the same for a connection to which a message was appended. The lock of c's queue is held.
func (l *loop) grown(c *conn) {
	l.touchLocked(c)
	if c.pressed {
		c.pressed = false
		l.pressed.add(c)
	}
	if c.loop == l && c.q.Answers() > answersFew {
		c.holdAnswers()
	}
}

// relieve writes connections that have reached a bound, whichever loop they live on: if their sockets take what is
// there, it is none. It is called after each message and job, when no lock is held.
func (l *loop) relieve() {
	for !l.pressed.empty() {
		c, _ := l.pressed.next()
		l.Work(l.write(c, outq.NoPromise))
	}
}

// flushTouched writes connections until all are written or the time for it is over, and reports whether all are.
func (l *loop) flushTouched() bool { return l.slice(&l.touched, flushTime, l.flush) }

// closeSome closes connections until all are closed or the time for it is over, and reports whether all are.
func (l *loop) closeSome() bool { return l.slice(&l.closing, closeTime, (*conn).closeNow) }

// slice does the work of a list until all of it is done or the time for it is over, and reports whether all is. do
// returns what it cost, in units of a few microseconds.
func (l *loop) slice(conns *list[*conn], most time.Duration, do func(*conn) (cost int)) bool {
	began, unlooked := time.Duration(0), 0
	for {
		c, ok := conns.next()
		if !ok {
			return true
		}
		if unlooked += do(c); unlooked < costPerLook {
			continue
		}
		unlooked = 0
		now := l.poller.Now()
		if began == 0 {
			began = now
		}
		if now-began > most {
			return conns.empty()
		}
	}
}

// flush writes c's queue, as touchLocked has promised.
func (l *loop) flush(c *conn) (cost int) { return l.write(c, l.index) }

// write writes c's queue, whichever loop c lives on, and tells its home what only home can do. It redeems that
// promise.
func (l *loop) write(c *conn, promise int) (cost int) {
	f := c.q.Flush(c.transport, &l.vectors, promise, lowWater(c.bounds()))
	if f.Sends > 0 {
		l.stats.writes.Add(int64(f.Sends))
		l.stats.bytesOut.Add(int64(f.Sent))
	}
	if f.Result == outq.Broken {
		c.lost(f.Err)
	}
	cost = 1 + f.Sent>>flushShift
	if c.loop == l {
		if c.phase == phaseClosed {
			return cost
		}
		c.watchWrite(f.Result == outq.Blocked || f.Result == outq.Waiting)
		if c.isSlow {
			c.q.Lock()
			c.caughtUp()
			c.q.Unlock()
		}
		switch f.Result {
		case outq.More:
			l.local = append(l.local, note{kind: noteFlush, c: c})
		case outq.Drained, outq.Broken:
			l.closeSoon(c)
		}
		if f.Resume {
			l.local = append(l.local, note{kind: noteResume, c: c})
		}
		return cost
	}
	switch f.Result {
	case outq.Blocked:
		c.loop.post(note{kind: noteBlocked, c: c})
	case outq.More:
		c.loop.post(note{kind: noteFlush, c: c})
	case outq.Drained, outq.Broken:
		c.loop.post(note{kind: noteClose, c: c})
	}
	if f.Resume {
		c.loop.post(note{kind: noteResume, c: c})
	}
	return cost
}

// closeSoon closes c at the end of this batch. Home loop only.
func (l *loop) closeSoon(c *conn) {
	if c.phase == phaseClosed || c.closing {
		return
	}
	c.closing = true
	l.closing.add(c)
}

// adopt makes a connection that some loop accepted one of this loop's.
func (l *loop) adopt(c *conn) {
	l.enter(c)
	c.timer.Fire = c.onTimer
	c.watch()
	if l.stopping && c.refused == admitted {
		l.closeSoon(c)
		return
	}
	d := l.live.HandshakeTimeout
	if c.refused != admitted {
		d = min(d, refusalTimeout)
	}
	l.Start(&c.timer, d)
}

// enter puts a connection into the tables.
func (l *loop) enter(c *conn) {
	l.conns[int(c.fd)] = c
	c.seat = int32(len(l.roster))
	l.roster = append(l.roster, c)
}

// forget takes a closed connection out of the tables. The last of the roster gets its seat: a walk from the end of
// the roster to its beginning meets all that were there when it began, perhaps one of them twice.
func (l *loop) forget(c *conn) {
	l.connsMost = max(l.connsMost, len(l.conns))
	delete(l.conns, int(c.fd))
	end := len(l.roster) - 1
	last := l.roster[end]
	l.roster[c.seat], last.seat = last, c.seat
	l.roster[end] = nil
	l.roster = l.roster[:end]
	if end == 0 && l.connsMost > mapKept {
		l.conns, l.connsMost, l.roster = make(map[int]*conn), 0, nil
	}
}

// stop begins the graceful end: no new connections, and a goodbye to all. Clients of long-poll may need a connection
// to fetch the goodbye, and one to answer it: their listeners are open as long as there are sessions.
func (l *loop) stop() {
	l.stopping = true
	for _, ls := range l.listeners {
		if ls.opening == nil || ls.opening.poll == "" || l.engine.longPolls.len() == 0 {
			ls.close(l)
		}
	}
	for _, c := range l.roster {
		l.ending.add(c)
	}
}

// kill ends what is still there.
func (l *loop) kill() {
	l.killed = true
	l.stopping = true
	for _, ls := range l.listeners {
		ls.close(l)
	}
	for _, c := range l.roster {
		l.closeSoon(c)
		l.releaseSoon(c)
	}
}

// caught is deferred around everything a message or a handler can make fail. A panic costs the one session.
func (l *loop) caught(c *conn) {
	r := recover()
	if r == nil {
		return
	}
	l.engine.rare.panics.Add(1)
	l.engine.cfg.Log.Error("panic in a session; its connection is closed",
		"panic", fmt.Sprint(r), "peer", c.peer.Address, "stack", string(debug.Stack()))
	if !c.lockSoon() {
		// The handler died with its own lock held: what the lock guards is half changed, and nobody could ever take
		// it again.
		panic(r)
	}
	c.finishLocked(l, port.CloseInternal, "internal error")
	c.q.Unlock()
}
