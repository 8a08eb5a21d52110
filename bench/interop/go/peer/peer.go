// Package peer puts Go WAMP client libraries behind one interface, so that one table of cases can use all of them.
package peer

import (
	"context"
	"fmt"
	"os"
)

// A Link is one way to reach the router.
type Link struct {
	Transport  string // ws, wsunix, tcp, unix; wss and tcps are ws and tcp over TLS
	Serializer string // json, msgpack, cbor
}

func (l Link) String() string { return l.Transport + " " + l.Serializer }

// An Address says where a router listens. WebSocket and RawSocket share the port, and the Unix socket.
type Address struct {
	TCP  string `json:"tcp"`  // host:port
	Unix string `json:"unix"` // path
	TLS  *TLS   `json:"tls"`  // for wss and tcps
}

// Given returns the address of the router under test, as bench/interop/run passes it.
func Given() Address {
	return Address{TCP: os.Getenv("INTEROP_TCP"), Unix: os.Getenv("INTEROP_UNIX")}
}

// Configured returns the address of the router with a configuration file.
func Configured() Address {
	return Address{TCP: os.Getenv("INTEROP_CONFIGURED_TCP"), Unix: os.Getenv("INTEROP_CONFIGURED_UNIX")}
}

// An Event is an EVENT as a subscriber gets it.
type Event struct {
	Args        []any
	Kwargs      map[string]any
	Topic       string // from EVENT.Details, empty if absent
	Publication uint64 // 0 if the library does not tell it
	Details     map[string]any
}

// A Call is an INVOCATION as a callee gets it. Progress is nil unless it asks for progressive results.
type Call struct {
	Args      []any
	Kwargs    map[string]any
	Procedure string // from INVOCATION.Details, empty if absent
	Progress  func(args []any, kwargs map[string]any) error
	Details   map[string]any
}

// A Reply is the answer of a callee; a non-empty Error makes it an ERROR.
type Reply struct {
	Args    []any
	Kwargs  map[string]any
	Error   string
	Options map[string]any // of YIELD; only nexus sends them
}

// A Chunk is a part of a call. The last one has no More; Err gives the call up.
type Chunk struct {
	Args []any
	More bool
	Err  error
}

// Unanswered is the Error of a Reply that says nothing yet: the callee waits for the next chunk.
const Unanswered = "unanswered"

// A Failure is a WAMP error as the library reports it.
type Failure struct {
	URI    string
	Args   []any
	Kwargs map[string]any
}

func (f *Failure) Error() string { return fmt.Sprintf("%s %v %v", f.URI, f.Args, f.Kwargs) }

// A Session is one joined client.
type Session interface {
	ID() uint64
	Identity() Identity
	// Subscribe returns a function that unsubscribes.
	Subscribe(topic, match string, on func(Event)) (func() error, error)
	Publish(topic string, args []any, kwargs, options map[string]any) error
	// Register returns a function that unregisters.
	Register(procedure string, options map[string]any, on func(context.Context, Call) Reply) (func() error, error)
	Call(ctx context.Context, procedure string, args []any, kwargs, options map[string]any,
		progress func(Reply)) (Reply, error)
	// CallStream sends a call in chunks, which next returns one by one.
	CallStream(ctx context.Context, procedure string, options map[string]any, next func() Chunk,
		progress func(Reply)) (Reply, error)
	// Leave says GOODBYE, waits for the reply and closes.
	Leave() error
	// Drop closes the connection without GOODBYE.
	Drop()
	// Done is closed when the library knows that the session is over.
	Done() <-chan struct{}
	// Goodbye is the reason of the router's GOODBYE after Done; empty if there was none.
	Goodbye() string
}

// A Library joins sessions and tells what it cannot do.
type Library struct {
	Name  string
	Links []Link
	Join  func(ctx context.Context, link Link, at Address, realm string, login Login) (Session, error)

	InOrder     bool                 // delivers events and invocations to handlers in the order received
	CancelModes []string             // modes of CANCEL it can send
	Interrupts  bool                 // its callees understand INTERRUPT
	Announces   bool                 // features that it does not have itself, such as call_reroute
	TypedNumber func(link Link) bool // its decoder keeps integers apart from floats, and exact
	MessageMax  func(link Link) int  // octets of the longest message it announces to accept
}

var serializers = []string{"json", "msgpack", "cbor"}

func links(transports ...string) []Link {
	var all []Link
	for _, transport := range transports {
		for _, serializer := range serializers {
			all = append(all, Link{transport, serializer})
		}
	}
	return all
}
