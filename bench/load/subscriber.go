package load

import (
	"fmt"

	"banyan/codec"
)

// A subscriber is one subscribed session.
type subscriber struct {
	*pubsub
	index int
	conn  link

	// Owned by loop.
	stamps        *stamper
	subscriptions map[uint64]*subscription // by subscription id
	last          *subscription            // of the last event, and its id
	lastID        uint64
	arrivals      []int64 // events since the last account, by publisher
	batch         latencyBatch
	readBytes     int64 // that run.readBytes has
}

// A subscription is one that a subscriber holds.
type subscription struct {
	topic int
	from  []progress // by publisher
}

// A progress is what one subscriber has seen of one publisher on one topic.
type progress struct {
	next    uint64 // the sequence number expected
	missing map[uint64]struct{}
	gaps    int64 // missing ones that are no longer told apart
}

// missingMax bounds how many missing sequence numbers are remembered, to tell late events from duplicates.
const missingMax = 4096

func (s *subscriber) loop() {
	for {
		m, ok := s.next(s.conn, "a subscriber")
		if !ok {
			s.account()
			return
		}
		s.event(m)
		if !s.conn.Ready() {
			s.account()
		}
	}
}

// event verifies one message.
func (s *subscriber) event(m *codec.Message) {
	if s.last == nil || m.ID != s.lastID {
		s.last, s.lastID = s.subscriptions[m.ID], m.ID
	}
	if m.Type != codec.Event || s.last == nil {
		s.failures.add(fmt.Sprintf("unexpected messages of type %d", m.Type), 1)
		return
	}
	st, ok := s.stamps.read(&m.Payload)
	if !ok || st.sender >= len(s.arrivals) {
		s.failures.add("events with a damaged payload", 1)
		return
	}
	f := &s.last.from[st.sender]
	s.arrivals[st.sender]++
	s.batch.add(s.conn.ReadAt().Sub(s.base)-st.sent, s.counts(st.sent))
	if st.seq == f.next {
		f.next++
		return
	}
	s.outOfOrder(f, st.seq)
}

func (s *subscriber) outOfOrder(f *progress, seq uint64) {
	if seq < f.next {
		if _, ok := f.missing[seq]; ok {
			delete(f.missing, seq)
			s.failures.add("events out of order", 1)
		} else {
			s.failures.add("events received twice", 1)
		}
		return
	}
	if f.missing == nil {
		f.missing = map[uint64]struct{}{}
	}
	for ; f.next < seq; f.next++ {
		if len(f.missing) >= missingMax {
			f.gaps += int64(seq - f.next)
			f.next = seq
			break
		}
		f.missing[f.next] = struct{}{}
	}
	f.next = seq + 1
}

// account reports a whole read at once.
func (s *subscriber) account() {
	var n int64
	for i, k := range s.arrivals {
		if k > 0 {
			s.arrivals[i] = 0
			s.publishers[i].arrived(k)
			n += k
		}
	}
	if read := s.conn.ReadBytes(); read > s.readBytes {
		s.run.readBytes.Add(read - s.readBytes)
		s.readBytes = read
	}
	s.received.Add(n)
	s.recorder.record(s.index, &s.batch)
}
