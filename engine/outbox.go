//go:build linux

package engine

import (
	"banyan/codec"
	"banyan/engine/port"
)

// The writing side of a connection as sessions see it (port.Conn): bounds and outcomes around the queue.

// append queues bytes of the transport itself.
func (c *conn) append(b []byte) {
	c.q.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, append(buf, b...))
	}
	c.q.Unlock()
}

// Lock implements port.Conn.
func (c *conn) Lock() { c.q.Lock() }

// Unlock implements port.Conn.
func (c *conn) Unlock() { c.q.Unlock() }

// Tail implements port.Conn.
func (c *conn) Tail(class port.Class) ([]byte, bool) {
	if !c.q.Accepts() {
		return nil, false
	}
	if b := c.bounds(); (c.q.Bytes() >= b.BytesMax || c.q.Occupied() >= memoryMax(b)) && !c.atBound(b, class) {
		return nil, false
	}
	return c.q.Lend(class == port.Reply), true
}

// atBound reports whether a message of that class may still be appended. As long as nobody knows whether the socket
// takes what is there, twice as much may be: it is tried when the caller's message or job is handled. The queue's
// lock is held.
func (c *conn) atBound(b *port.Backlog, class port.Class) bool {
	times := 1
	if untried, _ := c.q.Untried(); untried {
		times, c.pressed = 2, true
	}
	bytes, memory := c.q.Bytes()/times, c.q.Occupied()/times
	if class == port.Invocation {
		return bytes < b.BytesMax && memory < memoryMax(b)
	}
	if bytes < replyReserve(b) && memory < memoryMax(b)+memoryMax(b)/4 {
		return true
	}
	c.slow()
	return false
}

// slow gives up a connection that does not read. The queue's lock is held.
func (c *conn) slow() {
	e := c.loop.engine
	e.rare.slowConsumersClosed.Add(1)
	e.warn("a client does not read what it is sent; its connection is closed",
		"unsent", c.q.Bytes(), "memory", c.q.Occupied(), "limit", c.bounds().BytesMax, "peer", c.peer.Address)
	c.breakLocked(errSlow)
	c.loop.post(note{kind: noteClose, c: c})
}

// Commit implements port.Conn.
func (c *conn) Commit(x port.Executor, buf []byte) {
	if c.q.Commit(buf) > 0 {
		x.(*loop).grown(c)
	}
}

// AppendPieces implements port.Conn.
func (c *conn) AppendPieces(x port.Executor, class port.Class, pieces [][]byte) bool {
	buf, ok := c.Tail(class)
	if !ok {
		return false
	}
	for _, p := range pieces {
		if len(p) < pieceLinked {
			buf = append(buf, p...)
			continue
		}
		c.q.Commit(buf)
		c.q.Link(p, class == port.Reply)
		buf = c.q.Lend(class == port.Reply)
	}
	c.q.Commit(buf)
	x.(*loop).grown(c)
	return true
}

// Finish implements port.Conn.
func (c *conn) Finish(x port.Executor, code port.CloseCode, reason string) {
	c.finishLocked(x.(*loop), code, reason)
}

// AppendRun implements port.Conn.
func (c *conn) AppendRun(x port.Executor, frames []byte, events int, topic uint64) {
	l := x.(*loop)
	l.appended++
	c.q.Lock()
	defer c.q.Unlock()
	if !c.q.Accepts() {
		return
	}
	if c.q.Bytes() > 0 && !c.makeRoom(c.bounds(), len(frames), events, topic) {
		return
	}
	c.q.Share(frames, events, topic, l.began)
	l.touchLocked(c)
}

// AppendAsked implements port.Conn.
func (c *conn) AppendAsked(x port.Executor, frames []byte, events int, topic uint64) {
	l := x.(*loop)
	l.appended++
	c.q.Lock()
	defer c.q.Unlock()
	if c.q.Accepts() && (c.q.Bytes() == 0 || c.makeRoom(c.bounds(), len(frames), events, topic)) {
		c.q.ShareAnswer(frames, events, topic, l.began)
		l.grown(c)
	}
}

// Spend implements port.Conn.
func (c *conn) Spend(n int64) { c.credit.Add(-n) }

// Refund implements port.Conn.
func (c *conn) Refund(x port.Executor, n int64) {
	now := c.credit.Add(n)
	if now <= 0 || now-n > 0 {
		return
	}
	if l := x.(*loop); l == c.loop {
		l.local = append(l.local, note{kind: noteResume, c: c})
		return
	}
	c.loop.post(note{kind: noteResume, c: c})
}

// Variant implements port.Conn.
func (c *conn) Variant() codec.Variant { return c.variant }

// MessageBytesMax implements port.Conn.
func (c *conn) MessageBytesMax() int { return c.messageMax }

// Peer implements port.Conn.
func (c *conn) Peer() *port.Peer { return &c.peer }
