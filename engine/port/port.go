// Package port is the leaf that the engine and the realm share: the words in which a loop and a session speak to each
// other. It has no behaviour but the check of a Backlog. The engine implements Executor and Conn, the realm
// implements Handler and Job; tests and the simulation implement whichever side they replace.
//
// The two doors between loops (ARCHITECTURE.md):
//
//	events by lane   a publish posts one Job per loop with members; that loop walks its own members
//	replies direct   INVOCATION, RESULT, ERROR are appended to the receiver's Conn by whichever loop has them
//
// The queue rule: the lock of a Conn is where the truth about the session behind it changes. Liveness, invocation
// records, open calls and the bytes that tell the peer about them change in one critical section. Never hold two such
// locks.
package port

import (
	"context"
	"sync"
	"time"

	"banyan/codec"
)

// An Executor is the loop that runs the caller. It is handed down with every call and never stored: what holds it is
// on that loop.
type Executor interface {
	// Loop is the index of this loop, 0 to Loops()-1.
	Loop() int
	// Loops is the number of loops; fixed for the life of the engine, at most 64.
	Loops() int
	// Rand returns 64 random bits from a generator seeded by the operating system (in a simulation: by the seed).
	Rand() uint64
	// Post hands j to loop dst, in the lane of that publisher. Jobs of one lane and one posting loop run in the order
	// posted; different lanes take turns, chunk by chunk. A job posted to the own loop runs at the end of this batch
	// at the earliest. Jobs are never dropped; the lane's Conn.Spend is what bounds them.
	Post(dst int, lane uint64, j Job)
	// Grant takes up to n members out of what this turn may still walk and returns how many were granted, perhaps 0.
	Grant(n int) int
	// Work notes that the handling of a message, or of the end of a session, costs more than its octets tell, in
	// units of about one small message. It makes the turn look at the clock in time, and nothing else.
	Work(units int)
	// Charge takes n bytes of the process's budget for something that a session keeps, and returns false, and takes
	// nothing, when there is no room. A negative n gives back, on any loop.
	Charge(n int) bool
	// ChargeMax is how much Charge gives out in all, in bytes.
	ChargeMax() int64
	// AtBatchEnd calls t once at the end of the current poll batch, before lanes run and connections are written.
	// Adding t again before that does nothing only if t itself remembers it was added: the executor does not look.
	AtBatchEnd(t BatchTask)
	// Start arms t to fire on this loop after d, to the resolution of the wheel (10 ms), but after 124 days at the
	// latest, and soon if d is not positive. An armed t is re-armed.
	Start(t *Timer, d time.Duration)
	// Stop disarms t. Disarming an unarmed timer does nothing. Only the loop that started t may stop it.
	Stop(t *Timer)
	// Async runs work on a goroutine of a bounded pool, and then done on this loop. It returns false, and runs
	// neither, when the pool has no room: the caller answers that the router is busy. ctx ends when the engine stops;
	// done still runs then, unless the loop has ended before. Two pieces of work may finish in any order.
	Async(work func(ctx context.Context), done func(x Executor)) bool
	// AsyncSlow is Async for work that takes 100 ms and more and that many strangers can ask for, such as hashing:
	// the pool takes it by turns with the rest.
	AsyncSlow(work func(ctx context.Context), done func(x Executor)) bool
	// Warn writes a line with args, as log/slog takes them, to the engine's log, of each message once a
	// second at most. How many were left out is told later. The message is a constant. It allocates:
	// not for every message or event.
	Warn(message string, args ...any)
	// Step marks a place where shared state is about to be touched, or has just been. The product does nothing here;
	// the simulation may run other loops meanwhile.
	Step(name string)
}

// Loops is the door through which anything outside the loops reaches one of them. The engine implements it. Any
// goroutine.
type Loops interface {
	// Len is the number of loops, 1 to 64.
	Len() int
	// Submit wakes loop and runs f on it once, in one of its next turns. Functions submitted to one loop by one
	// goroutine run in that order. It returns false, and never runs f, when the loop has ended or too many functions
	// wait for it already.
	Submit(loop int, f func(x Executor)) bool
}

// A Job is work that crosses loops through a lane.
type Job interface {
	// Run does at most budget members of the work and reports whether any is left.
	Run(x Executor, budget int) (more bool)
}

// A BatchTask is work that waits for the end of the poll batch.
type BatchTask interface {
	EndOfBatch(x Executor)
}

// A Timer is one deadline on a loop's wheel. Owned by the loop that started it. Fire is set once, before the first
// Start; the other fields belong to the executor.
type Timer struct {
	Fire func(x Executor)

	Next, Prev *Timer
	Due        int64 // ticks; 0 when not armed
}

// A Class says what happens to a message at the bound of a queue.
type Class uint8

const (
	// Reply is every answer and acknowledgement. It is never dropped: where even the reserve is used up the
	// connection is closed.
	Reply Class = iota
	// Invocation may be refused; the refusal is then told to the caller.
	Invocation
)

// Conn is one client connection as the realm sees it: an outbound queue and its lock, and the say over reading.
type Conn interface {
	// Lock and Unlock guard the queue and what the realm keeps under it.
	sync.Locker

	// Tail lends the buffer to which the caller appends whole frames of Variant. It returns false when nothing may be
	// appended: the connection is closed or finishing, or (Class Invocation) its backlog is at the bound. Lock held,
	// until Commit.
	Tail(c Class) (buf []byte, ok bool)
	// Commit gives back the buffer of Tail, perhaps longer, and promises on x's behalf that the connection will be
	// written at the end of x's batch. Giving it back unchanged withdraws. Lock held.
	Commit(x Executor, buf []byte)
	// AppendPieces appends one frame of Variant that is given in pieces, whole or not at all, and reports whether it
	// did: it refuses what Tail refuses. The pieces are immutable from now on; long ones are linked instead of
	// copied. Lock held.
	AppendPieces(x Executor, c Class, pieces [][]byte) bool
	// Finish refuses every later append, and closes the transport once what was appended before is written: with the
	// WebSocket close code (RawSocket: just closed). Idempotent. Lock held.
	Finish(x Executor, code CloseCode, reason string)

	// AppendRun appends the frames of events, shared and immutable from now on. Home loop only; takes the lock
	// itself. At the bound the slow-consumer policy decides, visibly.
	// topic stands for the one that all of them are of, so that KeepLatest knows which events are newer ones of the
	// same; 0 if it is not one.
	AppendRun(x Executor, frames []byte, events int, topic uint64)
	// AppendAsked is AppendRun for events that the client itself has asked for, such as retained ones. They count as
	// answers, too: while too many bytes of these are unsent, no further message of the client is handled.
	AppendAsked(x Executor, frames []byte, events int, topic uint64)
	// SetBacklog sets the bounds of this connection; nil is what the engine has for all. Home loop only.
	SetBacklog(b *Backlog)

	// Spend takes n bytes-times-members of the connection's credit. When it is used up no further message of this
	// connection is handled, nor its socket read, until Refund brings it back. Home loop only.
	Spend(n int64)
	// Refund gives n back. Any loop.
	Refund(x Executor, n int64)

	// Hold stops the handling of messages, and the reading of the socket, until Resume: the session waits for
	// something. What has arrived already stays in its order. Hold in Receive takes effect when Receive returns. Home
	// loop only. A second Hold changes nothing. The caller bounds the wait with a timer of its own. The connection
	// may close meanwhile.
	Hold(x Executor)
	// Resume ends a Hold; handling goes on in this loop's next turn. Home loop only. Without a Hold it does nothing.
	Resume(x Executor)
	// SetJoined tells whether a session is joined. Until it is, and after it has left, a message may have 64 KiB at
	// most. Home loop only.
	SetJoined(joined bool)
	// Keep makes a message that Receive was given the caller's: what it returns holds the same bytes and stays valid.
	// It copies only if it has to: pinned is how many bytes stay allocated as long as any part of it is in use. If
	// the session holds, these count against the budget of the process until Resume. To be called in that Receive.
	Keep(b []byte) (kept []byte, pinned int)

	// Variant is what this connection wants its frames to look like. Fixed from the first Receive on.
	Variant() codec.Variant
	// MessageBytesMax is the longest message the peer accepts, without framing.
	MessageBytesMax() int
	// Peer describes the other end. Fixed from the Opener call on.
	Peer() *Peer
}

// A Peer describes the other end of a connection.
type Peer struct {
	Transport string // "websocket", "rawsocket" or "longpoll"
	Network   string // "tcp" or "unix"
	Address   string // of the client, HOST:PORT; "" on Unix sockets, and where a proxy does not tell it
	Listener  int    // index in the engine's list of addresses to listen on; -1 for a local session
	Local     bool   // loopback or Unix socket, and not forwarded by a proxy (PROTOCOL 13.5)
	Encrypted bool   // TLS up to the router, or up to a trusted proxy that says so
	Proxy     string // where the proxy connected from that told Address: HOST:PORT, "unix", or "" for no proxy
	TLS       *TLS   // nil without TLS up to the router
	Cookie    string // the value of the router's cookie in the opening handshake; "" without
	CookieNew bool   // the client brought none: this handshake gave it the value, which nobody else knows
}

// A TLS tells what the TLS handshake of a connection has agreed on. Immutable.
type TLS struct {
	Version     uint16 // as in crypto/tls: 0x0303 is TLS 1.2, 0x0304 is TLS 1.3
	CipherSuite uint16 // as in crypto/tls
	ServerName  string // that the client asked for (SNI), "" for none
	Protocol    string // agreed on by ALPN, "" for none
	Resumed     bool   // the session of an earlier connection

	// Certificate is the client's, in DER. It is verified; nil without one.
	Certificate []byte
	// Unique, Exporter and EndPoint are the data of the channel bindings tls-unique, tls-server-end-point (RFC 5929)
	// and tls-exporter (RFC 9266). nil where there is none: Unique with TLS 1.3, EndPoint in a resumed session,
	// Exporter with TLS 1.2 if the client does not know the extended master secret.
	Unique, Exporter, EndPoint []byte

	// Trust tells what the listener makes of the certificate now, or of its lack: what the client was let in with may
	// not do any more. nil: it still does. Any goroutine.
	Trust func() Trust
	// Until is when Trust may change by itself, because the certificate or one that it depends on has expired; zero
	// without a certificate.
	Until time.Time
}

// A Trust is what a listener makes of the certificate of a client that it let in before.
type Trust uint8

// The kinds of trust.
const (
	Trusted   Trust = iota // as in the handshake
	Untrusted              // the certificate has expired, or nobody vouches for it any more who is trusted
	Unwelcome              // nor is anybody let in without a certificate that is good
)

// A CloseCode is a WebSocket close code (PROTOCOL 13.1).
type CloseCode uint16

// The close codes a realm may ask for.
const (
	CloseNormal    CloseCode = 1000 // after a completed GOODBYE and after an ABORT that is no violation
	CloseGoingAway CloseCode = 1001 // node stops
	CloseViolation CloseCode = 1002
	ClosePolicy    CloseCode = 1008 // timers and limits
	CloseInternal  CloseCode = 1011
)

// A Handler is what the realm keeps behind one connection. All calls come on the connection's home loop.
type Handler interface {
	// Receive handles one whole message in the connection's serializer. b is lent until it returns. After a Finish,
	// Receive is not called again.
	Receive(x Executor, b []byte)
	// Violate tells that the transport carried something the protocol forbids (wrong frame type, empty message,
	// broken batch): the peer gets its ABORT, the connection is finished.
	Violate(x Executor, v *codec.Violation)
	// Shutdown tells that the node stops: say goodbye, then finish.
	Shutdown(x Executor)
	// Closed tells that the transport is gone. Exactly once, last.
	Closed(x Executor)
}

// A SlowWatcher is a Handler that wants to know when the client does not read what it is sent.
type SlowWatcher interface {
	// Slow tells of events that wait or are dropped: when they begin or cease to wait for too long, when the first
	// one is dropped and then once a second at most until all that were are told of, and, with Closed, right before
	// Closed of the Handler. There it also tells of drops that were not told of if the connection ends for another
	// reason. Home loop.
	Slow(x Executor, s Slowness)
}

// Slowness is what a client has not read, and what came of it.
type Slowness struct {
	Policy       SlowConsumer
	Slow         bool  // events have waited for longer than the engine's limit
	Dropped      int64 // events that were dropped, of this connection so far
	UnsentBytes  int   // that wait now
	UnsentEvents int   // of these; with Closed: events that the client never gets
	Closed       bool  // the connection is closed for it
}

// An Opener makes the Handler of a connection whose transport handshake is complete. Home loop.
type Opener func(x Executor, c Conn) Handler
