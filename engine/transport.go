//go:build linux

package engine

import (
	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
)

// A transport stands between a connection and its descriptor, and moves the bytes that the connection reads and
// writes. A connection begins with plain, which is there for sockets as they are, and may change to TLS before the
// transport handshake.
//
// read, failure, shutdown and close are called on the home loop only; Send by one loop at a time, which may be
// another: the queue sees to that, and it waits for a Send in flight before the descriptor is closed.
type transport interface {
	outq.Sender
	// read reads once without blocking. n is 0 with a nil error at the end of the stream; outq.ErrAgain says that
	// nothing is there.
	read(fd int, b []byte) (n int, err error)
	// failure says why the connection is broken, once; nil if it is not.
	failure(fd int) error
	// shutdown ends this side of the connection; reading stays possible.
	shutdown(fd int)
	// close frees the descriptor, which is in no poller any more.
	close(fd int)
}

// plain is the transport, and the socket, of sockets without encryption.
type plain struct{}

func newPlain(int) transport { return plain{} }

func (plain) Send(fd int, v *outq.Vectors, first *outq.Segment) (int, error) {
	return outq.SendSocket(fd, v, first)
}

func (plain) read(fd int, b []byte) (int, error) { return outq.ReadSocket(fd, b) }

func (plain) write(fd int, b []byte) (int, error) { return outq.WriteSocket(fd, b) }

func (plain) failure(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return err
	}
	return unix.Errno(errno)
}

func (plain) shutdown(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) } // fails when the peer is gone already
func (plain) close(fd int)    { _ = unix.Close(fd) }
