package history

import (
	"bytes"
	"slices"

	"banyan/codec"
)

// An Event is one publication as it is kept. Its payload and options are the octets that the publisher sent: nothing
// is transcoded before somebody asks for it.
type Event struct {
	Publication uint64
	Time        int64 // ns since 1970, by the caller's clock
	Topic       []byte

	// Publisher is who published it. Its readers may learn that only if Disclosed (PROTOCOL 7.5).
	Publisher codec.Identity
	Disclosed bool
	// ExcludeMe says that the publisher's session gets none. Only retained events keep it: a session that asks for
	// history may have its own events.
	ExcludeMe bool
	// Trust is the trust level that the router gave, if HasTrust (PROTOCOL 7.10).
	Trust    uint64
	HasTrust bool

	// Filter says who may have it; nil: everybody.
	Filter *Filter

	// Options is the raw dictionary of PUBLISH, in the serializer Payload.Format, for the keys that go with the
	// payload (PROTOCOL 12). Nil if it has none of them.
	Options []byte
	Payload codec.Payload

	retained uint64 // when, in the order of its Retained
}

// Newer reports whether e was retained after o, in the same Retained.
func (e *Event) Newer(o *Event) bool { return e.retained > o.retained }

// Clone returns e with memory of its own.
func (e *Event) Clone() *Event {
	c := *e
	c.Topic = bytes.Clone(e.Topic)
	c.Filter = e.Filter.clone()
	c.Options = slices.Clip(bytes.Clone(e.Options))
	c.Payload = e.Payload.Clone()
	return &c
}

// Bytes is what e counts in a bound while it is retained.
func (e *Event) Bytes() int {
	return retainedOverhead + len(e.Topic) + len(e.Publisher.AuthID) + len(e.Publisher.AuthRole) + e.Filter.bytes() +
		len(e.Options) + len(e.Payload.Args) + len(e.Payload.Kwargs)
}
