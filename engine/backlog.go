//go:build linux

package engine

import (
	"errors"
	"fmt"
	"time"

	"banyan/engine/internal/outq"
	"banyan/engine/port"
)

// What a client may leave unread, and what happens to events when it leaves more.
//
//	at a bound    AppendRun asks for room. First the socket is tried: only bytes that it does not take count. Then
//	              the policy decides: the client goes, or this event, or older ones
//	by age        a connection whose socket takes nothing is looked at until it does: events that have waited too
//	              long go, or the client, and the client is called slow
//
// Replies have a reserve of their own, and invocations are refused at the bound: see outbox.go. A client that takes
// no octet at all misses pings (keepalive.go), and one whose own answers pile up is not read any more (conn.read,
// outq.HoldRead). If the process holds too much for all of them, the largest are closed (budget.go).

// A SlowConsumer is what happens to an event whose receiver has too much unsent: see port.SlowConsumer.
type SlowConsumer = port.SlowConsumer

// The policies.
const (
	Disconnect = port.Disconnect // Stats.SlowConsumersClosed
	DropNewest = port.DropNewest // this and the next two: Stats.EventsDropped
	DropOldest = port.DropOldest
	KeepLatest = port.KeepLatest
)

// bounds are those of this connection. Any goroutine.
func (c *conn) bounds() *port.Backlog {
	if b := c.backlog.Load(); b != nil {
		return b
	}
	return &c.loop.engine.live.Load().backlog
}

// SetBacklog implements port.Conn.
func (c *conn) SetBacklog(b *port.Backlog) {
	if c.backlog.Load() != b {
		c.backlog.Store(b)
	}
}

// replyReserve is how far replies may go beyond BytesMax.
func replyReserve(b *port.Backlog) int { return b.BytesMax + b.BytesMax/4 }

// memoryMax is how much memory the unsent bytes may take. It bounds messages of a few octets: to queue one takes a
// hundred and more.
func memoryMax(b *port.Backlog) int { return b.BytesMax + b.BytesMax/4 }

// highWater is how much of answers may be unsent before no further message of a connection is handled, nor its socket
// read; lowWater is where that goes on.
func highWater(b *port.Backlog) int { return b.BytesMax / 4 }
func lowWater(b *port.Backlog) int  { return b.BytesMax / 8 }

// makeRoom makes room for a run of events of that many bytes, or says that there is none: the run is dropped, or the
// connection given up. The queue's lock is held, but not during system calls. Home loop only.
func (c *conn) makeRoom(b *port.Backlog, bytes, events int, topic uint64) bool {
	memory := outq.RunCost(bytes)
	over := func() bool {
		unsent := c.q.Bytes()
		return unsent > 0 && (unsent+bytes > b.BytesMax || b.EventsMax > 0 && c.q.Events()+events > b.EventsMax ||
			c.q.Occupied()+memory > memoryMax(b))
	}
	if !over() {
		return true
	}
	if c.tryWrite(over, b.Policy == Disconnect); !c.q.Accepts() {
		return false
	} else if !over() {
		return true
	}
	dropped := 0
	switch b.Policy {
	case Disconnect:
		c.slow()
		return false
	case KeepLatest:
		dropped = c.keepLatest(topic)
		if !over() {
			break
		}
		fallthrough
	case DropOldest:
		most := unlimited
		if b.EventsMax > 0 {
			most = max(b.EventsMax-events, 0)
		}
		n, looks := c.q.DropOldest(max(b.BytesMax-bytes, 0), max(memoryMax(b)-memory, 0), most, c.loop.mayLookAt())
		c.loop.segments -= looks
		dropped += n
	}
	if over() {
		c.drop(int64(dropped + events)) // nothing within reach makes room
		return false
	}
	c.drop(int64(dropped))
	return true
}

// tryWrite writes until the queue is not over its bound any more, or the socket takes nothing. A socket that took
// nothing before is asked again only if it is the last time. The queue's lock is held, but not during system calls:
// others may append meanwhile, and the connection may break. Home loop only.
func (c *conn) tryWrite(over func() bool, last bool) {
	if last {
		c.q.Unblock()
	}
	for over() {
		untried, writes := c.q.Untried()
		if !untried {
			return
		}
		c.q.Unlock()
		if writes {
			c.loop.yield() // another loop is in a system call, which does not block
		} else {
			c.loop.Work(c.loop.write(c, outq.NoPromise))
		}
		c.q.Lock()
	}
}

// mayLookAt is how many segments one event may look at to find room.
func (l *loop) mayLookAt() int { return max(l.segments, segmentsMin) }

// keepLatest drops what is not the newest of its topic, or part of that.
func (c *conn) keepLatest(topic uint64) (dropped int) {
	l := c.loop
	if l.pass == nil {
		l.pass = new(outq.Pass)
	}
	dropped, looks, keeps := c.q.KeepLatest(topic, l.pass, l.mayLookAt())
	if l.segments -= looks; keeps {
		l.pass = nil
	}
	return dropped
}

// drop notes that events are dropped because the client does not read. The first of an episode has a line in the log,
// and so have all of them after the last: see tellLastDrops, which is called for each connection whose socket took
// nothing, and no other drops events. Home loop only.
func (c *conn) drop(events int64) {
	if events == 0 {
		return
	}
	l := c.loop
	l.stats.eventsDropped.Add(events)
	began := c.dropped == 0 || l.began-c.droppedAt >= dropsPause
	c.dropped += events
	c.droppedAt = l.began
	if c.mayTellDrops(began) {
		c.noteSlow()
	}
	if began {
		c.dropsLog = c.dropped
		l.engine.warn("a client does not read what it is sent; events for it are dropped",
			"dropped", c.dropped, "limit", c.bounds().BytesMax, "peer", c.peer.Address,
			"transport", c.peer.Transport,
			"try", "let the client read faster or subscribe to less, or raise --backlog-bytes-max")
	}
}

// listBlocked notes that the socket of c takes nothing more.
func (l *loop) listBlocked(c *conn) {
	if c.handler == nil || c.listedBlocked {
		return
	}
	c.listedBlocked = true
	l.blocked = append(l.blocked, c)
	l.startBlockedSweep()
}

// startBlockedSweep makes the loop look at blocked connections, if it is not about to: four times within the shortest
// of their times, and each slowToldPause.
func (l *loop) startBlockedSweep() {
	if l.blockedSweep.Due != 0 || !l.aging.empty() {
		return
	}
	d := min(l.live.SlowAfter, 4*slowToldPause)
	for _, c := range l.blocked {
		if age := c.bounds().AgeMax; age > 0 {
			d = min(d, age)
		}
	}
	l.blockedSweep.Fire = l.sweepBlocked
	l.Start(&l.blockedSweep, max(d/4, blockedPauseMin))
}

// sweepBlocked begins to look how long the events of blocked connections have waited; turns go on with it.
func (l *loop) sweepBlocked(port.Executor) {
	for _, c := range l.blocked {
		l.aging.add(c)
	}
	clear(l.blocked)
	if l.blocked = l.blocked[:0]; cap(l.blocked) > mapKept {
		l.blocked = nil
	}
}

// lookAge looks how long the events of c have waited.
func (c *conn) lookAge() (cost int) {
	l := c.loop
	if c.overdue(l.began) && c.q.Writable() {
		// The client may have begun to read since the last turn. Before anything is said of it, the socket is asked.
		cost = l.flush(c)
	}
	looks, still := c.stillBlocked(l.began)
	if !still {
		c.setSlow(false)
	}
	switch more := c.tellLastDrops(still); {
	case looks == segmentsPerLook:
		l.aging.add(c) // there may be more to drop
	case still || more:
		l.blocked = append(l.blocked, c)
	default:
		c.listedBlocked = false
	}
	if len(l.blocked) > 0 {
		l.startBlockedSweep()
	}
	return cost + 1 + looks/(segmentsPerLook/costPerLook)
}

// tellLastDrops tells of drops that nobody was told of when they happened, as soon as it may: they may be the last.
// The log has a line when the client has caught up or loses nothing for a while. It reports whether there is more to
// tell.
func (c *conn) tellLastDrops(blocked bool) (more bool) {
	if c.phase == phaseClosed || c.closing {
		return false // its end tells
	}
	if c.dropsTold != c.dropped && c.mayTellDrops(false) {
		c.noteSlow()
	}
	ago := c.loop.began - c.droppedAt
	if c.dropsLog != c.dropped && (ago >= dropsPause || !blocked && ago >= slowToldPause) {
		c.dropsLog = c.dropped
		c.loop.engine.warn("no more events are dropped for a client that did not read what it was sent",
			"dropped", c.dropped, "blocked", blocked, "peer", c.peer.Address, "transport", c.peer.Transport)
	}
	return c.dropsTold != c.dropped || c.dropsLog != c.dropped
}

// overdue reports whether events have waited so long that the client is about to be called slow, or to lose them.
func (c *conn) overdue(now time.Duration) bool {
	if c.phase == phaseClosed || c.closing || !c.wantWrite {
		return false
	}
	most := c.bounds().AgeMax
	if after := c.loop.live.SlowAfter; !c.isSlow && (most == 0 || after < most) {
		most = after
	}
	c.q.Lock()
	defer c.q.Unlock()
	since, ok := c.q.Oldest()
	return ok && most > 0 && now-since >= most
}

// stillBlocked looks at one of them, and reports how many segments it looked at to drop events, and whether the
// connection is to be looked at again.
func (c *conn) stillBlocked(now time.Duration) (looks int, still bool) {
	if c.phase == phaseClosed || c.closing || !c.wantWrite {
		return 0, false
	}
	b := c.bounds()
	c.q.Lock()
	defer c.q.Unlock()
	if !c.q.Accepts() {
		return 0, false
	}
	since, ok := c.q.Oldest()
	if !ok {
		c.setSlow(false)
		return 0, true
	}
	age := now - since
	c.setSlow(age >= c.loop.live.SlowAfter)
	if b.AgeMax == 0 || age < b.AgeMax {
		return 0, true
	}
	if b.Policy == Disconnect {
		c.slow()
		return 0, false
	}
	dropped, looks := c.q.DropBefore(now-b.AgeMax+1, segmentsPerLook)
	c.drop(int64(dropped))
	return looks, true
}

// caughtUp notes that a slow client whose events are all sent is slow no more. The queue's lock is held.
func (c *conn) caughtUp() {
	if c.isSlow && c.q.Events() == 0 {
		c.setSlow(false)
	}
}

// setSlow notes whether the client is slow. The first time has a line in the log.
func (c *conn) setSlow(slow bool) {
	if c.isSlow == slow {
		return
	}
	l := c.loop
	if c.phase != phaseClosed {
		c.noteSlow()
	}
	if c.isSlow = slow; !slow {
		l.stats.slow.Add(-1)
		return
	}
	l.stats.slow.Add(1)
	l.engine.warn("a client is slow: its events wait", "for", l.live.SlowAfter, "unsent", c.q.Bytes(),
		"events", c.q.Events(), "peer", c.peer.Address, "transport", c.peer.Transport)
}

// checkBacklog judges the bounds, and keeps them in one piece.
func (v *Live) checkBacklog() error {
	setDefault(&v.BacklogBytesMax, 64<<20)
	setDefault(&v.SlowAfter, time.Second)
	v.backlog = port.Backlog{
		BytesMax: v.BacklogBytesMax, EventsMax: v.BacklogEventsMax, AgeMax: v.BacklogAgeMax, Policy: v.SlowConsumer,
	}
	if v.SlowAfter < 0 {
		return errors.New("engine: the time after which a client is slow cannot be negative")
	}
	if err := v.backlog.Check(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return nil
}
