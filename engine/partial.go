//go:build linux

package engine

import (
	"sync"

	"banyan/engine/internal/wire"
)

// A partial is a message that arrives in pieces. Owned by the loop of its connection; most connections have none most of the time.
type partial struct {
	buf  []byte // what is there of the message, unmasked
	need int    // octets the present frame still lacks
	pos  int    // octets of the present frame that are there, for the mask
	mask [4]byte
	text wire.UTF8
	kind byte // opcode of the message, or RawSocket frame type
	fin  bool // the present frame is the last of its message

	rest []byte // messages of a batch that a pause left
}

var partials = sync.Pool{New: func() any { return new(partial) }}

func newPartial() *partial { return partials.Get().(*partial) }

func (p *partial) release() {
	giveBuffer(p.buf)
	giveBuffer(p.rest)
	*p = partial{}
	partials.Put(p)
}

// add copies b to the end of the message.
func (p *partial) add(b []byte) []byte {
	p.buf = append(grow(p.buf, len(b)), b...)
	return p.buf[len(p.buf)-len(b):]
}
