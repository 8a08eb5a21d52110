//go:build linux

package engine

import (
	"context"
	"runtime"
	"slices"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A long message is collected in chunks, so that no turn copies more than was read in it. When the message is
// complete the pool makes one buffer of them, while the connection is held.

// A join is one such message. Owned by the loop of its connection, but for the chunks that the pool reads.
type join struct {
	c      *conn
	chunks [][]byte
	bytes  int // of the message
	held   int // bytes that are counted for the chunks and, once the pool has it, for the whole

	inflate *inflation // the chunks are compressed; or nil
}

// need is how many bytes the pool needs for the whole, at most.
func (j *join) need() int {
	if j.inflate != nil {
		return j.inflate.most(j.bytes)
	}
	return j.bytes
}

// complete hands p, which has all its octets now, to the session: at once, or when it is joined.
func (c *conn) complete(p *partial) {
	if len(p.full) == 0 {
		c.deliver(p)
		return
	}
	c.joinLater(p, nil)
}

// joinLater has the pool join p. i says that it is compressed; or nil.
func (c *conn) joinLater(p *partial, i *inflation) {
	l := c.loop
	j := &join{c: c, chunks: append(p.full, p.buf), bytes: p.bytes, held: p.held, inflate: i}
	p.full, p.buf, p.held, p.join = nil, nil, 0, j
	l.joins = append(l.joins, j)
	c.pause(holdJoin)
	l.joinNext()
}

// joinNext gives the pool the joins that wait for it, but never more than joinsAtOnce, and more than one only if the
// budget has room: each needs its bytes twice.
func (l *loop) joinNext() {
	b := &l.engine.budget
	for len(l.joins) > 0 && l.joining < joinsAtOnce {
		j := l.joins[0]
		need := j.need()
		if l.joining > 0 && b.bytes()+int64(need) > b.bytesMax {
			return
		}
		l.joins = slices.Delete(l.joins, 0, 1)
		l.joining++
		j.held += need
		l.countPartials(need)
		var whole []byte
		work := asyncWork{
			loop: l,
			run:  func(context.Context) { whole = j.whole() },
			done: func(port.Executor) {
				l.joined(j, whole)
				l.joinNext()
			},
		}
		if l.engine.pool.submit(work) {
			continue
		}
		if j.inflate == nil { // full
			work.run(nil)
			l.joined(j, whole)
			continue
		}
		l.joins = slices.Insert(l.joins, 0, j)
		l.joining--
		j.held -= need
		l.countPartials(-need)
		l.retryJoins()
		return
	}
}

// whole copies the chunks into one buffer, in steps: see codec's long.go.
func (j *join) whole() []byte {
	if j.inflate != nil {
		return j.inflate.whole(j.chunks)
	}
	whole := make([]byte, 0, j.bytes)
	for _, b := range j.chunks {
		whole = moveTo(whole, b)
	}
	return whole
}

// moveTo appends b to dst in steps: see codec's long.go.
func moveTo(dst, b []byte) []byte {
	for len(b) > 0 {
		n := min(len(b), joinStep)
		dst, b = append(dst, b[:n]...), b[n:]
		runtime.Gosched()
	}
	return dst
}

// dropJoin forgets a join whose connection is closed. Its bytes no longer count: they are gone as soon as the pool
// has ended what it may have begun.
func (l *loop) dropJoin(j *join) {
	l.countPartials(-j.held)
	j.held = 0
	l.joins = slices.DeleteFunc(l.joins, func(other *join) bool { return other == j })
}

// joined lets the connection go on with the message, unless it has been closed meanwhile.
func (l *loop) joined(j *join, whole []byte) {
	l.joining--
	if p := j.c.part; p != nil {
		p.buf, p.join, p.ready = whole, nil, true
		j.c.countPartial(p, cap(whole))
		j.c.hold &^= holdJoin
		if i := j.inflate; i != nil && i.fault != wire.NoFault {
			j.c.fault(i.fault)
		} else {
			if i != nil {
				l.stats.countInflated(j.bytes, len(whole))
			}
			j.c.resume()
		}
	}
	for _, b := range j.chunks {
		giveBuffer(b)
	}
	l.countPartials(-j.held)
}
