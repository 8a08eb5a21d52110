package codec

import "math"

// A Type is a WAMP message type code (PROTOCOL 1.2).
type Type uint16

// Message types of the basic and advanced profile.
const (
	Hello         Type = 1
	Welcome       Type = 2
	Abort         Type = 3
	Challenge     Type = 4
	Authenticate  Type = 5
	Goodbye       Type = 6
	Error         Type = 8
	Publish       Type = 16
	Published     Type = 17
	Subscribe     Type = 32
	Subscribed    Type = 33
	Unsubscribe   Type = 34
	Unsubscribed  Type = 35
	Event         Type = 36
	Call          Type = 48
	Cancel        Type = 49
	Result        Type = 50
	Register      Type = 64
	Registered    Type = 65
	Unregister    Type = 66
	Unregistered  Type = 67
	Invocation    Type = 68
	Interrupt     Type = 69
	Yield         Type = 70
	EventReceived Type = 337
)

// A Serializer is one of the payload encodings; the value is its RawSocket id (PROTOCOL 14.1).
type Serializer uint8

// The serializers of this package.
const (
	JSON        Serializer = 1
	MessagePack Serializer = 2
	CBOR        Serializer = 3
)

// A Message is one decoded WAMP message of either direction. Every slice aliases the decoded bytes or the Decoder's
// scratch and dies with the next Decode; keep a copy, not a slice of it.
type Message struct {
	Type   Type
	Format Serializer // encoding of Dict, Args and Kwargs

	// Request is the request id. Session id in WELCOME, 0 in messages without a request id.
	Request uint64
	// ID is the second id: the subscription in SUBSCRIBED, UNSUBSCRIBE and EVENT, the registration in REGISTERED,
	// UNREGISTER and INVOCATION, the publication in PUBLISHED and EVENT_RECEIVED.
	ID uint64
	// Publication is the publication id of an EVENT.
	Publication uint64
	// RequestType is ERROR's first element.
	RequestType Type

	// URI is the realm, topic, procedure, error or reason, decoded text; in CHALLENGE the method, in AUTHENTICATE the
	// signature. Nil only for a HELLO whose realm is null.
	URI []byte

	// Dict is the raw options, details or extra dictionary; Options holds its known keys, checked.
	Dict    []byte
	Options Options

	// Payload is the optional payload at the end (PROTOCOL 1.1).
	Payload Payload
}

// A Payload is the application payload of a message, raw in the encoding Format. Args and Kwargs are nil when absent;
// an empty Kwargs, and an empty Args without Kwargs, count as absent (PROTOCOL 14.5).
type Payload struct {
	Format Serializer
	// Transparent says that Args is the single binary or text element of PROTOCOL 12.2 instead of a list.
	Transparent bool
	Args        []byte
	Kwargs      []byte
}

// In returns p in the serializer s, so that an encoder for s only copies it. The result has memory of its own, unless
// p is in s already. In fails as Transcode does, with ErrTooLong above bytesMax octets. Any goroutine that owns the
// bytes of p may call it: this is the way to transcode a large payload away from the loop, once for all receivers.
func (p *Payload) In(s Serializer, bytesMax int) (Payload, error) {
	if p.Format == s || p.Format == 0 {
		if len(p.Args)+len(p.Kwargs) > bytesMax {
			return Payload{}, ErrTooLong
		}
		return *p, nil
	}
	work := math.MaxInt
	q, _, err := p.AppendIn(make([]byte, 0, len(p.Args)+len(p.Kwargs)), s, bytesMax, &work)
	return q, err
}

// AppendIn is In for a payload in another serializer. The result is in buf, which AppendIn returns, perhaps longer.
// It takes its cost off work, in tokens of about 0.1 us, and fails with ErrTooMuchWork soon after work is used up. It
// allocates as Transcode does.
func (p *Payload) AppendIn(buf []byte, s Serializer, bytesMax int, work *int) (q Payload, out []byte, err error) {
	q = *p
	q.Format = s
	from := len(buf)
	if p.Args != nil {
		if buf, err = transcodeWithin(buf, p.Args, p.Format, s, bytesMax, work); err != nil {
			return Payload{}, buf, err
		}
	}
	args := len(buf)
	if p.Kwargs != nil {
		if buf, err = transcodeWithin(buf, p.Kwargs, p.Format, s, bytesMax-(args-from), work); err != nil {
			return Payload{}, buf, err
		}
		q.Kwargs = buf[args:len(buf):len(buf)]
	}
	if p.Args != nil {
		q.Args = buf[from:args:args]
	}
	return q, buf, nil
}

// Clone returns p with memory of its own, and no more than it needs.
func (p *Payload) Clone() Payload {
	q := *p
	b := appendLong(make([]byte, 0, len(p.Args)+len(p.Kwargs)), p.Args)
	if p.Args != nil {
		q.Args = b[:len(b):len(b)]
	}
	if p.Kwargs != nil {
		b = appendLong(b, p.Kwargs)
		q.Kwargs = b[len(p.Args):]
	}
	return q
}

// A Violation is a breach of the protocol by the peer: the session gets ABORT wamp.error.protocol_violation with
// Reason as its message (PROTOCOL 4.7).
type Violation struct {
	Reason string
}

func (v *Violation) Error() string { return "protocol violation: " + v.Reason }

// Match is a matching policy of subscriptions and registrations (PROTOCOL 3.4).
type Match uint8

// Matching policies.
const (
	Exact Match = iota
	Prefix
	Wildcard
)

// Invoke is an invocation policy of shared registrations (PROTOCOL 8.12).
type Invoke uint8

// Invocation policies.
const (
	Single Invoke = iota
	RoundRobin
	Random
	First
	Last
	// LeastOutstanding is ours: the callee with the fewest open invocations of the registration.
	LeastOutstanding
)

// CancelMode is CANCEL.Options.mode (PROTOCOL 8.8).
type CancelMode uint8

// Cancel modes; KillNoWait is the default.
const (
	KillNoWait CancelMode = iota
	Kill
	Skip
)
