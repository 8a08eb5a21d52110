//go:build linux

package engine

import (
	"errors"
	"runtime"
	"unicode/utf8"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// Compressed messages (permessage-deflate, RFC 7692). The limit of a message is that of its octets before and after:
//
//	short                       inflated on the loop, into its scratch
//	longer, or becoming longer  in the pool, as a join, while the connection is held
//
// A connection keeps nothing from one message to the next.

// inflateFrame handles a compressed message of one frame, which is unmasked.
func (c *conn) inflateFrame(f wire.Frame, payload []byte) {
	if c.inflateNow(f.Opcode == wire.OpText, payload) {
		return
	}
	p := newPartial()
	p.frames.Opcode, p.frames.Compressed = f.Opcode, true
	c.part = p
	c.collect(p, payload)
	c.inflateLater(p)
}

// inflatePartial handles a compressed message that was collected in p.
func (c *conn) inflatePartial(p *partial) {
	if len(p.full) > 0 || len(p.buf) > inflateFrom {
		c.inflateLater(p)
		return
	}
	c.part = nil // the message may leave the rest of a batch there
	done := false
	defer func() {
		if done {
			c.releasePartial(p)
		}
	}()
	done = true // also if the handler panics
	if done = c.inflateNow(p.frames.Opcode == wire.OpText, p.buf); !done {
		c.part = p
		c.inflateLater(p)
	}
}

// inflateNow handles a compressed message if it can be inflated on the loop.
func (c *conn) inflateNow(text bool, payload []byte) (done bool) {
	if len(payload) > inflateFrom {
		return false
	}
	l, limit := c.loop, c.messageLimit()
	if l.inflated == nil {
		l.inflated = make([]byte, 0, inflateTo)
	}
	l.inflating[0] = payload
	b, err := codec.Inflate(l.inflated, l.inflating[:], min(limit, inflateTo), nil, nil)
	l.inflating[0] = nil
	l.worked(1 + (len(b)+inflateShare*len(payload))>>workShift)
	if errors.Is(err, codec.ErrInflateTooLong) && limit > inflateTo {
		return false
	}
	fault := inflateFault(err)
	if fault == wire.NoFault && text && !utf8.Valid(b) {
		fault = wire.InvalidText
	}
	if fault != wire.NoFault {
		c.fault(fault)
		return true
	}
	l.stats.countInflated(len(payload), len(b))
	c.message(b)
	return true
}

// inflateShare is how much more an octet costs before it is inflated than after.
const inflateShare = 16

func (c *counters) countInflated(from, to int) {
	c.inflated.Add(1)
	c.inflatedFrom.Add(int64(from))
	c.inflatedTo.Add(int64(to))
}

func inflateFault(err error) wire.Fault {
	switch {
	case err == nil:
		return wire.NoFault
	case errors.Is(err, codec.ErrInflateTooLong):
		return wire.TooBig
	}
	return wire.BadDeflate
}

// An inflation makes a join inflate its chunks.
type inflation struct {
	text  bool
	limit int // octets of the whole

	fault wire.Fault // what came of it; the pool writes it. BadDeflate until then
}

// inflateLater has the pool inflate p, which has all its octets.
func (c *conn) inflateLater(p *partial) {
	c.joinLater(p, &inflation{
		text: p.frames.Opcode == wire.OpText, limit: c.messageLimit(), fault: wire.BadDeflate,
	})
}

// most is how many octets it may take to inflate that many: the whole, and while it grows or is cut to its size
// another one of half its size.
func (i *inflation) most(octets int) int {
	n := min(i.limit, octets*inflateRatio)
	return n + n/2
}

// whole inflates the chunks, in the pool. Every few milliseconds it calls pause, and gives up if that says so.
func (i *inflation) whole(chunks [][]byte, pause func() (goOn bool)) []byte {
	whole, err := codec.Inflate(nil, chunks, i.limit, i.room, pause)
	if i.fault = inflateFault(err); i.fault != wire.NoFault {
		return nil
	}
	if i.text && !validText(whole) {
		i.fault = wire.InvalidText
		return nil
	}
	if cap(whole) > 2*len(whole) {
		whole = moveTo(make([]byte, 0, len(whole)), whole)
	}
	return whole
}

// room returns b with room for more.
func (i *inflation) room(b []byte) []byte {
	runtime.Gosched()
	return moveTo(make([]byte, 0, min(max(4*cap(b), inflateTo), i.limit)), b)
}

// validText is utf8.Valid in steps.
func validText(b []byte) bool {
	var text wire.UTF8
	for len(b) > 0 {
		n := min(len(b), joinStep)
		if !text.Feed(b[:n]) {
			return false
		}
		b = b[n:]
		runtime.Gosched()
	}
	return text.Whole()
}

// retryJoins tries again to give the pool joins for which it had no room.
func (l *loop) retryJoins() {
	l.joinTimer.Fire = func(port.Executor) { l.joinNext() }
	l.Start(&l.joinTimer, poolFullPause)
}
