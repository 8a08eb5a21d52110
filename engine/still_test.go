//go:build linux

package engine

import (
	"math"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
)

// A stillPoller reports nothing, and its time stands still.
type stillPoller struct{ now time.Duration }

func (*stillPoller) Wait(bool) []unix.EpollEvent           { return nil }
func (*stillPoller) Look() []unix.EpollEvent               { return nil }
func (*stillPoller) Own(int) (own, timer bool)             { return false, false }
func (*stillPoller) Watch(_ int, _, _ poll.Interest) error { return nil }
func (*stillPoller) Wake()                                 {}
func (*stillPoller) Yield()                                {}
func (p *stillPoller) Now() time.Duration                  { return p.now }
func (*stillPoller) Arm(time.Duration) error               { return nil }
func (*stillPoller) Close()                                {}

// newStillConn makes a connection on a loop that does not run.
func newStillConn(e *Engine) *conn {
	l := newLoop(e, 0, &stillPoller{})
	l.work = math.MaxInt // its time is never over
	e.loops = []*loop{l}
	return newConnOn(l)
}

// newConnOn makes a connection on l, which does not run.
func newConnOn(l *loop) *conn {
	c := &conn{loop: l, joined: true}
	c.timer.Fire = c.onTimer
	return c
}

// capture is a Sender that takes everything.
type capture []byte

func (b *capture) Send(_ int, _ *outq.Vectors, first *outq.Segment) (int, error) {
	had := len(*b)
	*b = first.Unsent(*b, math.MaxInt)
	return len(*b) - had, nil
}
