//go:build linux

package engine

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Stats are the engine's counters since New, and what is open now.
type Stats struct {
	Connections int64 // open now, transport handshakes under way included
	Sessions    int64 // open now, transport handshake complete

	Accepted          int64 // connections accepted
	Refused           int64 // over the connection limit or out of descriptors
	RefusedAddress    int64 // of these, over the limit of their address
	RefusedHandshakes int64 // of these, because too many opening handshakes were under way
	RefusedRate       int64 // of these, because too many came in a second
	RefusedUnjoined   int64 // of these, sessions of long-poll, because too many have not joined
	RefusalsCut       int64 // of these, closed without an answer because too many were silent
	HandshakesRefused int64 // openings, and requests of long-poll, answered with an error
	HandshakeTimeouts int64
	TLSHandshakes     int64 // that ended well
	TLSResumed        int64 // of these, those that resumed a session
	// TLSFailed counts TLS handshakes that failed, by TLSFailure.
	TLSFailed           [TLSFailures]int64
	TLSTimeouts         int64 // of HandshakeTimeouts, those before the end of the TLS handshake
	TLSCut              int64 // unfinished TLS handshakes that were closed because others waited
	TLSBegun            int64 // unfinished TLS handshakes now
	TLSWaiting          int64 // TLS handshakes that cannot begin now
	ProxyRefused        int64 // connections closed because their PROXY header is missing, malformed or not trusted
	MessageTimeouts     int64 // connections closed because a message was not finished in time
	Pages               int64 // plain HTTP answers
	BytesIn, BytesOut   int64
	PartialBytes        int64 // allocated now for messages that are not handled yet
	HeldBytes           int64 // occupied now by input that is not handled yet and by backlogs: what the budget bounds
	BudgetClosed        int64 // connections closed because the budget was exceeded
	Writes              int64 // system calls that wrote
	MessagesIn          int64
	LongPolls           int64 // long-poll sessions now, which count among connections and sessions, too
	LongPollRequests    int64 // requests of long-poll clients that were not refused at their head
	LongPollTimeouts    int64 // long-poll sessions that ended because no receive came
	LongPollsBroken     int64 // long-poll sessions that ended because an answer with messages did not get out whole
	LongPollsLetIn      int64 // connections that were refused, and let in because they carry a request of a session
	LongPollsCrowded    int64 // requests refused because too many connections carry some of their session
	Deflating           int64 // sessions now that negotiated permessage-deflate
	Inflated            int64 // compressed messages that came
	InflatedFrom        int64 // bytes of those messages before they were inflated, and InflatedTo after
	InflatedTo          int64
	EventsDropped       int64 // by the policies that drop events
	Slow                int64 // clients now whose events wait for longer than Live.SlowAfter
	EventsLost          int64 // queued when their connection ended
	SlowConsumersClosed int64
	PingTimeouts        int64
	Violations          int64 // connections failed for breaking the transport's rules
	TooBig              int64 // messages over the limit
	ReadPauses          int64 // times a connection was not read from: credit, backlog, rate, a session that waits
	RatePauses          int64 // of these, because the messages or bytes of a second were used up
	Lingers             int64 // closed connections that were read on so that the client learns why
	LingersCut          int64 // of these, ended by the limits of time or bytes instead of the client
	Submits             int64 // functions that wait for a loop now
	AsyncWork           int64 // pieces of work that wait for the pool or run now
	AcceptPauses        int64 // times accepting waited for descriptors
	AcceptErrors        int64 // connections that were gone before they were accepted
	Panics              int64 // recovered; each cost its session
	Batches             int64 // turns of all loops
	// Turns counts turns by how long they took: TurnBounds[i] at most. The last one is unbounded.
	Turns     [TurnBuckets]int64
	TurnsLong int64 // turns of more than 10 ms
}

// TurnBuckets is how many classes of duration there are.
const TurnBuckets = 10

// TurnBound returns the longest duration that is counted in Stats.Turns[i]: 125 us, 250 us, 500 us … 32 ms. The last
// class has none.
func TurnBound(i int) time.Duration { return turnUnit << i }

// turnUnit is the bound of the first class.
const turnUnit = 125 * time.Microsecond

// turn counts one turn of the loop.
func (c *counters) turn(d time.Duration) {
	c.turns[min(bits.Len64(uint64(max(d-1, 0)/turnUnit)), TurnBuckets-1)].Add(1)
	if d > turnTimeMax {
		c.turnsLong.Add(1)
	}
}

// counters are written by one loop and read by any goroutine.
type counters struct {
	_ [64]byte // own cache lines

	accepted, opened, closed              atomic.Int64
	bytesIn, bytesOut, writes, messagesIn atomic.Int64
	eventsDropped, eventsLost             atomic.Int64
	readPauses, partialBytes, slow        atomic.Int64
	tlsBegun, tlsWaiting                  atomic.Int64
	deflating                             atomic.Int64
	inflated, inflatedFrom, inflatedTo    atomic.Int64
	turns                                 [TurnBuckets]atomic.Int64
	turnsLong                             atomic.Int64

	_ [64]byte
}

// rareCounters are shared by all loops: what they count does not happen on a hot path.
type rareCounters struct {
	refused, handshakesRefused, handshakeTimeouts, pages atomic.Int64
	slowConsumersClosed, pingTimeouts, violations        atomic.Int64
	tooBig, acceptPauses, acceptErrors                   atomic.Int64
	panics, messageTimeouts, budgetClosed                atomic.Int64
	lingers, lingersCut, refusalsCut                     atomic.Int64
	tlsHandshakes, tlsResumed, tlsTimeouts, tlsCut       atomic.Int64
	tlsFailed                                            [TLSFailures]atomic.Int64
	proxyRefused, ratePauses                             atomic.Int64
	longPollRequests, longPollTimeouts, longPollsBroken  atomic.Int64
	longPollsLetIn, longPollsCrowded                     atomic.Int64
}

// Stats returns the counters. Any goroutine; the numbers are not from one instant.
func (e *Engine) Stats() Stats {
	r := &e.rare
	s := Stats{
		Connections:         e.open.Load() + e.refusing.Load(),
		Refused:             r.refused.Load(),
		RefusedAddress:      e.admission.perReason[refusedAddress].Load(),
		RefusedHandshakes:   e.admission.perReason[refusedHandshakes].Load(),
		RefusedRate:         e.admission.perReason[refusedRate].Load(),
		RefusedUnjoined:     e.admission.perReason[refusedUnjoined].Load(),
		RatePauses:          r.ratePauses.Load(),
		RefusalsCut:         r.refusalsCut.Load(),
		HandshakesRefused:   r.handshakesRefused.Load(),
		HandshakeTimeouts:   r.handshakeTimeouts.Load(),
		Pages:               r.pages.Load(),
		SlowConsumersClosed: r.slowConsumersClosed.Load(),
		PingTimeouts:        r.pingTimeouts.Load(),
		Violations:          r.violations.Load(),
		TooBig:              r.tooBig.Load(),
		AcceptPauses:        r.acceptPauses.Load(),
		AcceptErrors:        r.acceptErrors.Load(),
		Panics:              r.panics.Load(),
		TLSHandshakes:       r.tlsHandshakes.Load(),
		TLSResumed:          r.tlsResumed.Load(),
		TLSTimeouts:         r.tlsTimeouts.Load(),
		TLSCut:              r.tlsCut.Load(),
		ProxyRefused:        r.proxyRefused.Load(),
		MessageTimeouts:     r.messageTimeouts.Load(),
		BudgetClosed:        r.budgetClosed.Load(),
		Lingers:             r.lingers.Load(),
		LingersCut:          r.lingersCut.Load(),
		HeldBytes:           e.budget.bytes(),
		AsyncWork:           e.pool.busy.Load(),
		LongPolls:           int64(e.longPolls.len()),
		LongPollRequests:    r.longPollRequests.Load(),
		LongPollTimeouts:    r.longPollTimeouts.Load(),
		LongPollsBroken:     r.longPollsBroken.Load(),
		LongPollsLetIn:      r.longPollsLetIn.Load(),
		LongPollsCrowded:    r.longPollsCrowded.Load(),
	}
	for i := range r.tlsFailed {
		s.TLSFailed[i] = r.tlsFailed[i].Load()
	}
	for _, l := range e.loops {
		c := &l.stats
		s.TLSBegun += c.tlsBegun.Load()
		s.TLSWaiting += c.tlsWaiting.Load()
		s.Accepted += c.accepted.Load()
		s.Sessions += c.opened.Load() - c.closed.Load()
		s.BytesIn += c.bytesIn.Load()
		s.PartialBytes += c.partialBytes.Load()
		s.BytesOut += c.bytesOut.Load()
		s.Writes += c.writes.Load()
		s.MessagesIn += c.messagesIn.Load()
		s.Deflating += c.deflating.Load()
		s.Inflated += c.inflated.Load()
		s.InflatedFrom += c.inflatedFrom.Load()
		s.InflatedTo += c.inflatedTo.Load()
		s.EventsDropped += c.eventsDropped.Load()
		s.EventsLost += c.eventsLost.Load()
		for i := range c.turns {
			n := c.turns[i].Load()
			s.Turns[i] += n
			s.Batches += n
		}
		s.TurnsLong += c.turnsLong.Load()
		s.Submits += l.submits.Load()
		s.ReadPauses += c.readPauses.Load()
		s.Slow += c.slow.Load()
	}
	return s
}
