package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// longEvents is what a loop has to tell of the events of this batch that were too long for their receivers: how many
// they were, and the first. Owned by loop.
type longEvents struct {
	events      int
	sub         *subscription
	receiver    uint64
	octets, max int
}

// dropTooLong counts events that are dropped for a member of sub. octets is the length of the longest of them.
func (l *perLoop) dropTooLong(x port.Executor, sub *subscription, to *session, events, octets int) {
	l.counters.eventsTooLong.Add(int64(events))
	t := &l.longEvents
	if t.events == 0 {
		*t = longEvents{sub: sub, receiver: to.id, octets: octets, max: min(to.bytesMax, codec.MessageBytesMax)}
		x.AtBatchEnd(t)
	}
	t.events += events
}

// EndOfBatch writes the line.
func (t *longEvents) EndOfBatch(x port.Executor) {
	x.Warn("events are too long for a receiver; they are dropped for it", "topic", t.sub.uri,
		"session", t.receiver, "octets", t.octets, "limit", t.max, "dropped", t.events)
	*t = longEvents{}
}
