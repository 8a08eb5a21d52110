// Package wire parses what clients send, and writes what the transports themselves answer: the HTTP head of an
// opening, WebSocket frames and RawSocket prefixes (PROTOCOL 13). A parser takes octets and returns values. It knows
// no connection and keeps no state but that of one message, so each one is fuzzed alone.
//
// The parsers judge a fault at the first octet that shows it. The answer does not depend on the pieces in which the
// octets arrive: a parser that needs more says so and is called again with the same octets and more behind them.
package wire

// A Fault is what is wrong with a frame. The zero value means that nothing is.
type Fault uint8

// The faults. WrongType is a violation of WAMP (the client gets an ABORT), TooBig has the close code 1009,
// InvalidText and BadDeflate 1007; all others are framing errors, 1002.
const (
	NoFault Fault = iota
	ReservedBits
	ReservedOpcode
	StrayContinuation
	NestedMessage
	FragmentedControl
	LongControl
	Unmasked
	LengthRange
	WrongType
	TooBig
	InvalidText
	BadDeflate
	RawReserved
	RawLength
)

var faultTexts = [...]string{
	NoFault:           "",
	ReservedBits:      "reserved bits set",
	ReservedOpcode:    "reserved opcode",
	StrayContinuation: "continuation without a message",
	NestedMessage:     "message within a message",
	FragmentedControl: "fragmented control frame",
	LongControl:       "control frame too long",
	Unmasked:          "unmasked frame",
	LengthRange:       "frame length out of range",
	WrongType:         "text and binary frames do not match the serializer",
	TooBig:            "message too big",
	InvalidText:       "invalid UTF-8",
	BadDeflate:        "malformed compressed message",
	RawReserved:       "reserved bits or type in a frame prefix",
	RawLength:         "length of a frame prefix out of range",
}

// String says what is wrong, for close reasons and logs.
func (f Fault) String() string { return faultTexts[f] }
