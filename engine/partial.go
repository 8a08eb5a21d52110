//go:build linux

package engine

import (
	"sync"
	"unsafe"

	"banyan/engine/internal/wire"
)

// A partial is a message that is not handled yet: one that arrives in pieces, or the rest of a batch after a pause.
// Owned by the loop of its connection; most connections have none most of the time.
type partial struct {
	full    [][]byte     // chunks of the message that are full; see join
	buf     []byte       // what is there of the message, unmasked; its last chunk if there are full ones
	bytes   int          // what is there in all
	held    int          // bytes allocated for it
	join    *join        // complete, and not in buf yet
	frames  wire.Message // of a WebSocket message
	kind    byte         // of a RawSocket frame
	missing int          // octets that the RawSocket frame still lacks

	ready bool // buf[at:] is still to be handled
	at    int  // 0 but in a batch
}

var partials = sync.Pool{New: func() any { return new(partial) }}

func newPartial() *partial { return partials.Get().(*partial) }

// collect copies piece to the end of p and returns the copy. The caller has judged the announced length against
// messageLimit.
func (c *conn) collect(p *partial, piece []byte) []byte {
	limit, chunk := c.messageLimit(), c.loop.engine.chunkBytes
	had := cap(p.buf)
	switch {
	case len(p.buf)+len(piece) <= chunk || len(p.buf) == 0:
		p.buf = grow(p.buf, len(piece), min(limit, chunk))
	default:
		p.full = append(p.full, p.buf)
		p.buf, had = takeBuffer(max(len(piece), min(limit-p.bytes, chunk))), 0
	}
	p.buf = append(p.buf, piece...)
	p.bytes += len(piece)
	if len(piece) > 0 {
		c.progressed(len(piece))
	}
	c.countPartial(p, cap(p.buf)-had)
	return p.buf[len(p.buf)-len(piece):]
}

// deliver hands what p holds to the session. Afterwards p is gone, unless it holds the rest of a batch: then it is
// c.part.
func (c *conn) deliver(p *partial) {
	c.part, c.delivering = nil, p
	panicked := true
	defer func() {
		c.delivering = nil
		if c.part == p {
			return
		}
		if panicked {
			c.takePartial(p) // a session that died may still hold the message
		}
		c.releasePartial(p)
	}()
	if c.phase == phaseRawSocket {
		c.rawFrame(p.kind, p.buf)
	} else {
		c.message(p.buf[p.at:])
	}
	panicked = false
}

// keepBatch keeps the rest of a batch. Nothing is copied if it lies in a partial already, so a batch is copied once
// at most, however often it pauses.
func (c *conn) keepBatch(rest []byte) {
	p := c.delivering
	if p == nil {
		p = newPartial()
		c.collect(p, rest)
	}
	p.ready, p.at = true, len(p.buf)-len(rest)
	c.part = p
}

// takeMessage gives the caller the buffer of b, a message that the session is being handed, if b is the whole of a
// partial: then nobody else uses it from now on. Otherwise it returns nil, and the caller copies b.
func (c *conn) takeMessage(b []byte) []byte {
	p := c.delivering
	if p == nil || len(b) != len(p.buf) || unsafe.SliceData(b) != unsafe.SliceData(p.buf) {
		return nil
	}
	return c.takePartial(p)
}

// takePartial takes the buffer out of p.
func (c *conn) takePartial(p *partial) []byte {
	b := p.buf
	c.countPartial(p, -p.held)
	p.buf = nil
	return b
}

// releasePartial gives p and its buffer back. Nobody may use either any more.
func (c *conn) releasePartial(p *partial) {
	for _, b := range p.full {
		giveBuffer(b)
	}
	if p.join != nil {
		c.loop.dropJoin(p.join)
	}
	giveBuffer(c.takePartial(p))
	*p = partial{}
	partials.Put(p)
}
