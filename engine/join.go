//go:build linux

package engine

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"

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

	inflate *inflation  // the chunks are compressed; or nil
	dropped atomic.Bool // its connection is closed
}

// joins are those of one loop that wait, and how many the pool has. Compressed ones stand apart: to inflate a message
// may take a hundred times as long as to copy it. Owned by loop.
type joins struct {
	waiting  []*join
	underWay int
	most     int // that the pool may have at a time
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
	q := l.joinsLike(j)
	q.waiting = append(q.waiting, j)
	c.pause(holdJoin)
	l.joinNext()
}

// joinsLike returns where j has its place.
func (l *loop) joinsLike(j *join) *joins {
	if j.inflate != nil {
		return &l.inflates
	}
	return &l.joins
}

// joinNext gives the pool the joins that wait for it, but never more than it may have at a time, and more than one
// only if the budget has room: each needs its bytes twice.
func (l *loop) joinNext() {
	l.joinSome(&l.joins)
	l.joinSome(&l.inflates)
}

func (l *loop) joinSome(q *joins) {
	b, p := &l.engine.budget, l.engine.pool
	for len(q.waiting) > 0 && q.underWay < q.most {
		j := q.waiting[0]
		need := j.need()
		if l.joins.underWay+l.inflates.underWay > 0 && b.bytes()+int64(need) > b.bytesMax {
			return
		}
		q.waiting = slices.Delete(q.waiting, 0, 1)
		q.underWay++
		j.held += need
		l.countPartials(need)
		var whole []byte
		work := asyncWork{
			loop: l, slow: j.inflate != nil,
			run: func(context.Context) {
				whole = j.whole(func() bool { return p.letOthers() && !j.dropped.Load() })
			},
			done: func(port.Executor) {
				l.joined(j, whole)
				l.joinNext()
			},
		}
		if p.submit(work) {
			continue
		}
		if j.inflate == nil { // full
			work.run(nil)
			l.joined(j, whole)
			continue
		}
		q.waiting = slices.Insert(q.waiting, 0, j)
		q.underWay--
		j.held -= need
		l.countPartials(-need)
		l.retryJoins()
		return
	}
}

// whole copies the chunks into one buffer, in steps: see codec's long.go. To inflate them takes long, so then it
// calls pause now and then, and gives up if that says so.
func (j *join) whole(pause func() (goOn bool)) []byte {
	if j.inflate != nil {
		return j.inflate.whole(j.chunks, pause)
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
	j.dropped.Store(true)
	q := l.joinsLike(j)
	q.waiting = slices.DeleteFunc(q.waiting, func(other *join) bool { return other == j })
}

// joined lets the connection go on with the message, unless it has been closed meanwhile.
func (l *loop) joined(j *join, whole []byte) {
	l.joinsLike(j).underWay--
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
