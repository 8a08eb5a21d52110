package realmtest

import (
	"bytes"
	"sync"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// A Conn is a fake connection: a port.Conn for the realm, and the client's end for the test. What the realm appends
// can be read at once.
type Conn struct {
	// Fixed at Connect.
	world    *World
	loop     *Loop
	variant  codec.Variant
	bytesMax int
	peer     port.Peer

	handler port.Handler  // owned by loop
	kept    bool          // owned by loop: the message under way belongs to the realm
	joined  bool          // owned by loop
	Backlog *port.Backlog // what SetBacklog was given; owned by loop
	in      []input       // guarded by loop.mu
	held    bool          // guarded by loop.mu

	mu       sync.Mutex
	Deflated int      // compressed frames that Next has returned
	Pieces   [][]byte // what AppendPieces was given, as a queue would keep it; guarded by mu
	Kept     []byte   // what Keep was given last; owned by loop
	out      []byte   // guarded by mu
	lent     bool     // guarded by mu
	finished bool     // guarded by mu
	gone     bool     // guarded by mu
	code     port.CloseCode
	full     bool // guarded by mu; invocations are refused
	runs     int  // guarded by mu
	asked    int  // guarded by mu; of these, those of AppendAsked

	credit atomic.Int64
	ending atomic.Bool // finished: what a Hold keeps back is never handled
}

type kind uint8

const (
	message kind = iota
	opened
	hangUp
	shutdown
	call
)

type input struct {
	kind kind
	b    []byte
	f    func(x port.Executor)
}

var _ port.Conn = (*Conn)(nil)

// The client's end.

// Send sends one encoded message to the realm.
func (c *Conn) Send(b []byte) { c.loop.enqueue(c, input{kind: message, b: bytes.Clone(b)}) }

// HangUp ends the transport, behind everything that was sent.
func (c *Conn) HangUp() { c.loop.enqueue(c, input{kind: hangUp}) }

// Shutdown tells the handler that the node stops.
func (c *Conn) Shutdown() { c.loop.enqueue(c, input{kind: shutdown}) }

// Do runs f on the connection's loop.
func (c *Conn) Do(f func(x port.Executor)) { c.loop.enqueue(c, input{kind: call, f: f}) }

// SetFull makes the connection refuse invocations, or accept them again.
func (c *Conn) SetFull(full bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = full
}

// Next returns the next message the realm has appended, or nil.
func (c *Conn) Next() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 {
		return nil
	}
	frame, rest, n, ok := codec.CutFrame(c.variant, c.out)
	if !ok {
		panic("realmtest: the realm appended something else than frames")
	}
	c.out = rest
	if c.variant.Framing() == codec.RawSocket {
		return bytes.Clone(frame[len(frame)-n:])
	}
	return c.unframe(frame)
}

// unframe returns the message in a WebSocket frame.
func (c *Conn) unframe(frame []byte) (msg []byte) {
	header := 2
	switch frame[1] {
	case 126:
		header = 4
	case 127:
		header = 10
	}
	var err error
	if msg = bytes.Clone(frame[header:]); frame[0]&0x40 != 0 {
		if !c.variant.Deflates() {
			panic("realmtest: a compressed frame for a receiver that did not ask for it")
		}
		c.Deflated++
		room := func(b []byte) []byte { return append(make([]byte, 0, 2*cap(b)+1024), b...) }
		msg, err = codec.Inflate(nil, [][]byte{frame[header:]}, codec.MessageBytesMax+16, room, nil)
	}
	if err == nil && c.variant.Framing() != codec.WebSocket {
		msg, _, _, err = codec.SplitBatch(c.variant.Serializer(), msg)
	}
	if err != nil {
		panic("realmtest: the realm appended a frame that cannot be read: " + err.Error())
	}
	return msg
}

// Finished reports whether the realm has ended the connection, and how.
func (c *Conn) Finished() (port.CloseCode, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code, c.finished
}

// Runs returns how many runs of events the realm has appended.
func (c *Conn) Runs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs
}

// Asked returns how many of these were events that the client has asked for.
func (c *Conn) Asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Credit returns what is left of the connection's credit.
func (c *Conn) Credit() int64 { return c.credit.Load() }

func (c *Conn) handle(l *Loop, in input) {
	c.mu.Lock()
	finished, gone := c.finished, c.gone
	c.mu.Unlock()
	switch in.kind {
	case opened:
		c.handler = c.world.Open(l, c)
	case message:
		if !finished && !gone && !c.Held() {
			c.kept = false
			c.handler.Receive(l, in.b)
			if !c.kept { // it was lent
				for i := range in.b {
					in.b[i] = 0xC1
				}
			}
		}
	case hangUp:
		if gone {
			return
		}
		c.mu.Lock()
		c.gone = true
		c.mu.Unlock()
		c.handler.Closed(l)
	case shutdown:
		if !gone {
			c.handler.Shutdown(l)
		}
	case call:
		in.f(l)
	}
}

// The realm's end.

// Lock implements port.Conn.
func (c *Conn) Lock() {
	c.mu.Lock()
	if !c.world.parallel {
		if c.world.held != nil {
			panic("realmtest: two connection locks at once")
		}
		c.world.held = c
	}
}

// Unlock implements port.Conn.
func (c *Conn) Unlock() {
	if c.lent {
		panic("realmtest: tail not committed")
	}
	if c.world.parallel {
		c.mu.Unlock()
		return
	}
	c.world.held = nil
	c.mu.Unlock()
	if l := c.world.running; l != nil {
		l.Step("conn.unlock")
	}
}

// Tail implements port.Conn.
func (c *Conn) Tail(class port.Class) ([]byte, bool) {
	if c.finished || c.gone || class == port.Invocation && c.full {
		return nil, false
	}
	c.lent = true
	return c.out, true
}

// Commit implements port.Conn.
func (c *Conn) Commit(_ port.Executor, buf []byte) {
	if !c.lent || len(buf) < len(c.out) {
		panic("realmtest: commit of what was not lent")
	}
	c.lent = false
	c.out = buf
}

// AppendPieces implements port.Conn.
func (c *Conn) AppendPieces(x port.Executor, class port.Class, pieces [][]byte) bool {
	buf, ok := c.Tail(class)
	if !ok {
		return false
	}
	c.Commit(x, append(buf, bytes.Join(pieces, nil)...))
	c.Pieces = append(c.Pieces, pieces...)
	return true
}

// Finish implements port.Conn.
func (c *Conn) Finish(_ port.Executor, code port.CloseCode, _ string) {
	if c.finished {
		return
	}
	c.finished, c.code = true, code
	c.ending.Store(true)
	c.loop.enqueue(c, input{kind: hangUp})
}

// AppendRun implements port.Conn.
func (c *Conn) AppendRun(x port.Executor, frames []byte, events int, _ uint64) {
	if x.Loop() != c.loop.index {
		panic("realmtest: AppendRun on a foreign loop")
	}
	x.Step("conn.run")
	c.Lock()
	defer c.Unlock()
	if c.finished || c.gone {
		return
	}
	n, ok := 0, true
	for rest := frames; len(rest) > 0; n++ {
		if _, rest, _, ok = codec.CutFrame(c.variant, rest); !ok {
			break
		}
	}
	if !ok || n != events {
		panic("realmtest: the run does not hold as many events as it says")
	}
	c.out = append(c.out, frames...)
	c.runs++
}

// AppendAsked implements port.Conn.
func (c *Conn) AppendAsked(x port.Executor, frames []byte, events int, topic uint64) {
	c.AppendRun(x, frames, events, topic)
	c.Lock()
	c.asked++
	c.Unlock()
}

// Spend implements port.Conn.
func (c *Conn) Spend(n int64) { c.credit.Add(-n) }

// Refund implements port.Conn.
func (c *Conn) Refund(_ port.Executor, n int64) {
	c.credit.Add(n)
	c.loop.kick()
}

// Hold implements port.Conn.
func (c *Conn) Hold(port.Executor) { c.setHeld(true) }

// Resume implements port.Conn.
func (c *Conn) Resume(port.Executor) { c.setHeld(false) }

func (c *Conn) setHeld(held bool) {
	c.loop.mu.Lock()
	c.held = held
	c.loop.mu.Unlock()
	c.loop.kick()
}

// Held reports whether the realm holds the connection.
func (c *Conn) Held() bool {
	c.loop.mu.Lock()
	defer c.loop.mu.Unlock()
	return c.held
}

// SetBacklog implements port.Conn.
func (c *Conn) SetBacklog(b *port.Backlog) { c.Backlog = b }

// SetJoined implements port.Conn.
func (c *Conn) SetJoined(joined bool) { c.joined = joined }

// Joined reports whether the realm says that a session is joined. Between turns.
func (c *Conn) Joined() bool { return c.joined }

// Keep implements port.Conn.
func (c *Conn) Keep(b []byte) (kept []byte, pinned int) {
	c.kept, c.Kept = true, b
	return b, cap(b)
}

// waits reports whether the next input has to wait. loop.mu is held.
func (c *Conn) waits() bool {
	switch c.in[0].kind {
	case message:
		return c.held && !c.ending.Load() || c.credit.Load() <= 0
	case hangUp: // behind what is not read yet
		return c.held && !c.ending.Load()
	}
	return false
}

// Variant implements port.Conn.
func (c *Conn) Variant() codec.Variant { return c.variant }

// MessageBytesMax implements port.Conn.
func (c *Conn) MessageBytesMax() int { return c.bytesMax }

// Peer implements port.Conn.
func (c *Conn) Peer() *port.Peer { return &c.peer }
