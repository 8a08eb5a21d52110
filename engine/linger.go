//go:build linux

package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// Remains are what is left of a closed connection: a descriptor on which, perhaps, the client is still writing. Owned by loop.
type remains struct {
	fd    int32
	bytes int32 // thrown away so far
	open  bool
}

const (
	// lingerTimeout and lingerBytesMax bound how long a client may go on writing after it was told why it was closed; whichever comes first
	// is the end. A message just over the limit can be written to its end, and then its writer reads.
	lingerTimeout  = 2 * time.Second
	lingerBytesMax = 2 * messageBytesMax
)

// linger keeps the descriptor open for reading. It reports whether it could.
func (c *conn) linger() bool {
	l := c.loop
	c.hold, c.wantWrite = 0, false
	l.attach.FD = int(c.remains.fd)
	var err error
	switch c.polled {
	case polledRead:
	case 0:
		err = l.poller.AddRead(&l.attach, false)
	default:
		err = l.poller.ModRead(&l.attach, false)
	}
	if err != nil {
		return false
	}
	l.Start(&c.timer, lingerTimeout)
	return true
}

// discard throws away what a lingering client wrote.
func (c *conn) discard() {
	n, err := readInto(int(c.remains.fd), c.loop.buffer)
	if err == errAgain {
		return
	}
	c.remains.bytes += int32(n)
	if err != nil || n == 0 || c.remains.bytes > lingerBytesMax {
		c.loop.burySoon(c)
	}
}

// burySoon ends lingering at the end of this batch. Home loop only.
func (l *loop) burySoon(c *conn) {
	if c.remains.open && !c.closing {
		c.closing = true
		l.closing = append(l.closing, c)
	}
}

// bury frees the descriptor. In the batch task only.
func (c *conn) bury() {
	if !c.remains.open {
		return
	}
	l := c.loop
	fd := int(c.remains.fd)
	c.remains.open, c.polled = false, 0
	l.Stop(&c.timer)
	_ = unix.Close(fd) // takes it out of the poller: no other descriptor refers to the same socket
	l.forget(fd)
	l.engine.open.Add(-1)
	l.homed.Add(-1)
	l.engine.left.leave(l.engine.now(), c.born)
}
