package realm

import (
	"bytes"
	"math"
	"sync"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// A localConn is the connection of a session of this process: what the realm appends goes to a Go function on the
// home loop instead of a socket, and what that function sends is received as if it came from one. Broker and dealer
// see no difference, so order, limits and rights are those of every session (DESIGN 8.3).
//
//	realm ──Tail, AppendRun──▶ out ──drain, a job of the home loop──▶ hear
//	realm ◀──Receive── waits (held, or without credit) ◀──send────────┘
type localConn struct {
	// Fixed at creation; any goroutine may read.
	home   int
	lane   uint64 // of the drain job
	peer   port.Peer
	hear   func(x port.Executor, msg []byte) // one message in MessagePack; the bytes are hear's to keep
	ended  func(x port.Executor)             // the session is over, nothing more is heard
	idle   func(x port.Executor)             // or nil: nothing waits, and there is credit again
	credit atomic.Int64

	// Any goroutine.
	unread atomic.Int64 // octets that hear was given and its owner has not dealt with yet; they count as backlog

	// Owned by loop.
	handler *handler
	variant codec.Variant // what it is given is framed and encoded in
	held    bool
	over    bool     // ended was called
	waits   [][]byte // sent, not received yet

	// Guarded by mu.
	mu        sync.Mutex
	out       []byte
	drains    bool          // a drain job is under way
	poster    port.Executor // posts the drain job when the lock is released; nil: there is nothing to post
	finishing bool
}

const (
	// localBacklogMax is how many octets a local session may leave unread. At the bound invocations are refused; an
	// event, or a reply beyond a quarter more, ends the session.
	localBacklogMax = 64 << 20
	// localCredit is how many octets times members a local publisher may have in lanes before what it sends waits.
	localCredit = 64 << 10
)

// localVariant is what a local session's frames look like; the prefix tells their lengths, in any serializer.
var localVariant = codec.MakeVariant(codec.MessagePack, codec.RawSocket)

// localLanes numbers the lanes of local sessions from the top: session ids end at 2^53.
var localLanes atomic.Uint64

// openLocal joins a session of this process to a realm, as somebody. On its home loop.
func (r *Router) openLocal(x port.Executor, uri string, who codec.Identity, hear func(x port.Executor, msg []byte),
	ended func(x port.Executor),
) (*localConn, error) {
	rm := r.realms.Find([]byte(uri), codec.Exact)
	if rm == nil {
		return nil, ErrNoSuchRealm
	}
	if rm = r.use(x, rm); rm == nil {
		return nil, ErrNoSuchRealm
	}
	c := newLocalConn(x, hear, ended)
	c.handler = r.open(x, c)
	l := r.perLoop[x.Loop()]
	who.Session = r.directory.draw(x, &r.ids)
	if who.AuthID == "" {
		who.AuthID = drawAuthID(x)
	}
	s := newSession(x, c.handler, rm, who.Session, localRoles, who)
	s.local, s.trusted = true, who.AuthRole == trustedRole
	c.handler.begin(x, l, s, nil)
	return c, nil
}

// newLocalConn makes a connection whose home is this loop.
func newLocalConn(x port.Executor, hear func(x port.Executor, msg []byte), ended func(x port.Executor)) *localConn {
	c := &localConn{
		home: x.Loop(), lane: math.MaxUint64 - localLanes.Add(1), hear: hear, ended: ended,
		peer:    port.Peer{Transport: "local", Listener: -1, Local: true},
		variant: localVariant,
	}
	c.credit.Store(localCredit)
	return c
}

// localMethod is the authmethod and authprovider of local sessions.
const localMethod = "local"

// trustedRole is the authrole of local sessions that need no permission (PROTOCOL 11). No other session can have it.
const trustedRole = "trusted"

// localRoles is what a local session announces: everything that it can receive. A Client is told no details, so it
// cannot read what comes in payload passthru mode.
const localRoles = codec.RolePublisher | codec.RoleSubscriber | codec.RoleCaller | codec.RoleCallee |
	codec.CalleeProgress | codec.CalleeCanceling | codec.CalleeTimeout | codec.PublisherPassthru

// send gives the realm one message in MessagePack. Home loop, from a job or a submitted function: never within
// another message's handling. b is lent, unless it has to wait.
func (c *localConn) send(x port.Executor, b []byte) {
	if len(c.waits) > 0 || c.blocked() {
		c.waits = append(c.waits, append([]byte(nil), b...))
		return
	}
	c.handler.Receive(x, b)
}

// sendSoon is send from anywhere on the home loop, another message's handling included. b is the connection's to
// keep.
func (c *localConn) sendSoon(x port.Executor, b []byte) {
	if c.over {
		return
	}
	c.waits = append(c.waits, b)
	c.Lock()
	c.drain(x)
	c.Unlock()
}

func (c *localConn) blocked() bool { return c.held || c.credit.Load() <= 0 }

// sendIn says in which serializer the messages are that a hidden session sends from now on. Home loop, while it is
// not blocked: none is under way then.
func (c *localConn) sendIn(s codec.Serializer) {
	c.variant = codec.MakeVariant(s, codec.RawSocket)
	c.handler.session.serializer = s
}

// hangUp ends the session as the loss of a transport does. Home loop, not within another message's handling.
func (c *localConn) hangUp(x port.Executor) {
	if c.over {
		return
	}
	c.over, c.waits = true, nil
	c.mu.Lock()
	c.finishing, c.out = true, nil
	c.mu.Unlock()
	c.handler.Closed(x)
	c.ended(x)
}

// Run is the drain job: it hands over what was appended, then receives what waits.
func (c *localConn) Run(x port.Executor, _ int) (more bool) {
	c.mu.Lock()
	out := c.out
	c.out = nil
	c.drains = false
	finishing := c.finishing
	c.mu.Unlock()
	for len(out) > 0 && !c.over {
		frame, rest, n, ok := codec.CutFrame(localVariant, out)
		if !ok {
			panic("realm: a local session was given something else than frames")
		}
		c.hear(x, frame[len(frame)-n:])
		out = rest
	}
	for len(c.waits) > 0 && !c.blocked() {
		b := c.waits[0]
		c.waits[0] = nil
		c.waits = c.waits[1:]
		c.handler.Receive(x, b)
	}
	switch {
	case finishing:
		c.hangUp(x)
	case c.idle != nil && len(c.waits) == 0 && !c.blocked():
		c.idle(x)
	}
	return false
}

// drain makes sure that a drain job comes. mu is held.
func (c *localConn) drain(x port.Executor) {
	if !c.drains {
		c.drains, c.poster = true, x
	}
}

// Lock implements port.Conn.
func (c *localConn) Lock() { c.mu.Lock() }

// Unlock implements port.Conn.
func (c *localConn) Unlock() {
	x := c.poster
	c.poster = nil
	c.mu.Unlock()
	if x != nil {
		x.Post(c.home, c.lane, c)
	}
}

func (c *localConn) backlog() int { return len(c.out) + int(c.unread.Load()) }

// Tail implements port.Conn.
func (c *localConn) Tail(class port.Class) ([]byte, bool) {
	bound := localBacklogMax
	if class == port.Reply {
		bound += bound / 4
	}
	switch n := c.backlog(); {
	case c.finishing:
		return nil, false
	case n < bound:
		return c.out, true
	case class == port.Reply:
		c.finishing = true
	}
	return nil, false
}

// Commit implements port.Conn.
func (c *localConn) Commit(x port.Executor, buf []byte) {
	grown := len(buf) > len(c.out)
	c.out = buf
	if grown {
		c.drain(x)
	}
}

// AppendPieces implements port.Conn.
func (c *localConn) AppendPieces(x port.Executor, class port.Class, pieces [][]byte) bool {
	buf, ok := c.Tail(class)
	if !ok {
		return false
	}
	for _, p := range pieces {
		buf = append(buf, p...)
	}
	c.Commit(x, buf)
	return true
}

// Finish implements port.Conn.
func (c *localConn) Finish(x port.Executor, _ port.CloseCode, _ string) {
	c.finishing = true
	c.drain(x)
}

// AppendRun implements port.Conn.
func (c *localConn) AppendRun(x port.Executor, frames []byte, _ int, _ uint64) {
	c.Lock()
	defer c.Unlock()
	if c.finishing {
		return
	}
	if c.backlog()+len(frames) > localBacklogMax {
		c.finishing = true
	} else {
		c.out = append(c.out, frames...)
	}
	c.drain(x)
}

// AppendAsked implements port.Conn.
func (c *localConn) AppendAsked(x port.Executor, frames []byte, events int, topic uint64) {
	c.AppendRun(x, frames, events, topic)
}

// Spend implements port.Conn.
func (c *localConn) Spend(n int64) { c.credit.Add(-n) }

// Refund implements port.Conn.
func (c *localConn) Refund(x port.Executor, n int64) {
	if now := c.credit.Add(n); now > 0 && now-n <= 0 {
		c.Lock()
		c.drain(x)
		c.Unlock()
	}
}

// Hold implements port.Conn.
func (c *localConn) Hold(port.Executor) { c.held = true }

// Resume implements port.Conn.
func (c *localConn) Resume(x port.Executor) {
	if c.held {
		c.held = false
		c.Lock()
		c.drain(x)
		c.Unlock()
	}
}

// SetBacklog implements port.Conn; the queue of a local session has its own bounds.
func (c *localConn) SetBacklog(*port.Backlog) {}

// SetJoined implements port.Conn; local messages are as long as they are.
func (c *localConn) SetJoined(bool) {}

// Keep implements port.Conn.
func (c *localConn) Keep(b []byte) (kept []byte, pinned int) {
	kept = bytes.Clone(b)
	return kept, cap(kept)
}

// Variant implements port.Conn.
func (c *localConn) Variant() codec.Variant { return c.variant }

// MessageBytesMax implements port.Conn.
func (c *localConn) MessageBytesMax() int { return 1 << 24 }

// Peer implements port.Conn.
func (c *localConn) Peer() *port.Peer { return &c.peer }
