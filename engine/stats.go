//go:build linux

package engine

import "sync/atomic"

// Stats are the engine's counters since New, and what is open now.
type Stats struct {
	Connections int64 // open now, transport handshakes under way included
	Sessions    int64 // open now, transport handshake complete

	Accepted            int64 // connections accepted
	Refused             int64 // over the connection limit or out of descriptors
	HandshakesRefused   int64 // HTTP or RawSocket openings answered with an error
	HandshakeTimeouts   int64
	Pages               int64 // plain HTTP answers
	BytesIn, BytesOut   int64
	PartialBytes        int64 // allocated now for messages that are not handled yet
	Writes              int64 // system calls that wrote
	MessagesIn          int64
	EventsDropped       int64 // by the DropNewest policy
	EventsLost          int64 // queued when their connection ended
	SlowConsumersClosed int64
	PingTimeouts        int64
	Violations          int64 // connections failed for breaking the transport's rules
	TooBig              int64 // messages over the limit
	ReadPauses          int64 // times a connection was not read from for lack of credit or because of its backlog
	AcceptPauses        int64 // times accepting waited for descriptors
	AcceptErrors        int64 // connections that were gone before they were accepted
	Panics              int64 // recovered; each cost its session
	Batches             int64 // turns of all loops
}

// counters are written by one loop, read by anybody.
type counters struct {
	_ [64]byte // own cache lines

	accepted, opened, closed              atomic.Int64
	bytesIn, bytesOut, writes, messagesIn atomic.Int64
	eventsDropped, eventsLost, batches    atomic.Int64
	readPauses, partialBytes              atomic.Int64

	_ [64]byte
}

// rareCounters are shared by all loops: what they count does not happen on a hot path.
type rareCounters struct {
	refused, handshakesRefused, handshakeTimeouts, pages atomic.Int64
	slowConsumersClosed, pingTimeouts, violations        atomic.Int64
	tooBig, acceptPauses, acceptErrors                   atomic.Int64
	panics                                               atomic.Int64
}

// Stats returns the counters. Any goroutine; the numbers are not from one instant.
func (e *Engine) Stats() Stats {
	r := &e.rare
	s := Stats{
		Connections:         e.open.Load(),
		Refused:             r.refused.Load(),
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
	}
	for _, l := range e.loops {
		c := &l.stats
		s.Accepted += c.accepted.Load()
		s.Sessions += c.opened.Load() - c.closed.Load()
		s.BytesIn += c.bytesIn.Load()
		s.PartialBytes += c.partialBytes.Load()
		s.BytesOut += c.bytesOut.Load()
		s.Writes += c.writes.Load()
		s.MessagesIn += c.messagesIn.Load()
		s.EventsDropped += c.eventsDropped.Load()
		s.EventsLost += c.eventsLost.Load()
		s.Batches += c.batches.Load()
		s.ReadPauses += c.readPauses.Load()
	}
	return s
}
