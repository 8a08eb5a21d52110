package realm

import (
	"banyan/codec"
	"banyan/engine/port"
)

// Compressed events (permessage-deflate, RFC 7692). An event is compressed once per serializer, where it is encoded:
// on the publisher's loop, before any lock of a receiver is taken, or in the pool. All receivers that have negotiated
// it share the octets. Answers and invocations, which have one receiver each and are encoded under its lock, go as
// they are.

// deflate returns the event msg compressed, for all variants of its serializer. nil says that it goes as it is: it is
// short, or would not become shorter. The result is valid until the next call.
func (s *session) deflate(x port.Executor, l *perLoop, msg []byte) []byte {
	if len(msg) < s.realm.settings.Load().limits.DeflateBytesMin {
		return nil
	}
	l.deflated = codec.AppendDeflated(l.deflated[:0], msg)
	x.Work(len(msg) >> deflateShift)
	if !s.shorter(l.deflated, msg) {
		return nil
	}
	n := encodeCounts{deflated: 1, from: int64(len(msg)), to: int64(len(l.deflated))}
	n.add(&l.counters)
	return l.deflated
}

// deflateLarge is deflate in the pool. What it counts is for n.
func (s *session) deflateLarge(msg []byte, n *encodeCounts) []byte {
	if len(msg) < s.realm.settings.Load().limits.DeflateBytesMin {
		return nil
	}
	z := codec.AppendDeflated(nil, msg)
	if !s.shorter(z, msg) {
		return nil
	}
	n.deflated++
	n.from += int64(len(msg))
	n.to += int64(len(z))
	return z
}

// shorter reports whether z, msg compressed, is worth it.
func (s *session) shorter(z, msg []byte) bool {
	return len(z)+s.realm.router.bounds.deflateGain <= len(msg)
}

// encodeCounts are what encoding one event adds to the counters of the loop.
type encodeCounts struct {
	sharded        int64 // an owner of the rkey was chosen
	untranscodable int64 // serializers in which the event has no form
	deflated       int64 // serializers in which it was compressed
	from, to       int64 // octets of those, before and after
}

func (n *encodeCounts) add(c *counters) {
	c.eventsUntranscodable.Add(n.untranscodable)
	c.eventsDeflated.Add(n.deflated)
	c.deflatedFrom.Add(n.from)
	c.deflatedTo.Add(n.to)
	c.sharded.Add(n.sharded)
}

// deflating reports whether any of subs has members that get compressed frames.
func deflating(subs []*subscription) bool {
	for _, sub := range subs {
		for v := codec.Variant(0); v < codec.NumVariants; v++ {
			if v.Deflates() && sub.census[v].Load() > 0 {
				return true
			}
		}
	}
	return false
}
