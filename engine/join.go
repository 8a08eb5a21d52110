//go:build linux

package engine

import (
	"context"
	"slices"

	"banyan/engine/port"
)

// A long message is collected in chunks, so that no turn copies more than was read in it. When the message is
// complete the pool makes one buffer of them, while the connection is held.

// A join is one such message. Owned by the loop of its connection, but for the chunks that the pool reads.
type join struct {
	c      *conn
	chunks [][]byte
	held   int // bytes that are counted for the chunks and for the whole
}

// complete hands p, which has all its octets now, to the session: at once, or when it is joined.
func (c *conn) complete(p *partial) {
	if len(p.full) == 0 {
		c.deliver(p)
		return
	}
	l := c.loop
	j := &join{c: c, chunks: append(p.full, p.buf), held: p.held + p.bytes}
	l.countPartials(p.bytes)
	p.full, p.buf, p.held, p.join = nil, nil, 0, j
	l.joins = append(l.joins, j)
	c.pause(holdJoin)
	l.joinNext()
}

// joinNext gives the pool the joins that wait for it, but never more than joinsAtOnce: each needs its bytes twice.
func (l *loop) joinNext() {
	for l.joining < joinsAtOnce && len(l.joins) > 0 {
		j := l.joins[0]
		l.joins = slices.Delete(l.joins, 0, 1)
		l.joining++
		var whole []byte
		work := asyncWork{
			loop: l,
			run:  func(context.Context) { whole = j.whole() },
			done: func(port.Executor) {
				l.joined(j, whole)
				l.joinNext()
			},
		}
		if !l.engine.pool.submit(work) { // full
			work.run(nil)
			l.joined(j, whole)
		}
	}
}

// whole copies the chunks into one buffer, in steps: see codec's long.go.
func (j *join) whole() []byte {
	n := 0
	for _, b := range j.chunks {
		n += len(b)
	}
	whole := make([]byte, n)
	rest := whole
	for _, b := range j.chunks {
		for len(b) > 0 {
			n := copy(rest, b[:min(len(b), joinStep)])
			rest, b = rest[n:], b[n:]
		}
	}
	return whole
}

// joined lets the connection go on with the message, unless it has been closed meanwhile.
func (l *loop) joined(j *join, whole []byte) {
	l.joining--
	if p := j.c.part; p != nil {
		p.buf, p.join, p.ready = whole, nil, true
		j.c.countPartial(p, cap(whole))
		j.c.hold &^= holdJoin
		j.c.resume()
	}
	for _, b := range j.chunks {
		giveBuffer(b)
	}
	l.countPartials(-j.held)
}
