//go:build linux

package engine

import (
	"crypto/tls"
	"io"
	"iter"
	"net"
	"time"
)

// A memoryTLS is a TLS client without a socket, which never waits: octets of the server are put into in, and octets
// for it are found in out.
type memoryTLS struct {
	conn     *tls.Conn
	in, out  []byte
	got      []byte // plain text of the server
	err      error  // why nothing more comes
	complete bool   // the handshake is over
	next     func() (struct{}, bool)
	stop     func()
}

type memoryWire struct {
	net.Conn
	c     *memoryTLS
	yield func(struct{}) bool
}

func newMemoryTLS(cfg *tls.Config) *memoryTLS {
	c := &memoryTLS{}
	w := &memoryWire{c: c}
	c.conn = tls.Client(w, cfg)
	c.next, c.stop = iter.Pull(func(yield func(struct{}) bool) {
		w.yield = yield
		if c.err = c.conn.Handshake(); c.err != nil {
			return
		}
		c.complete = true
		b := make([]byte, 32<<10)
		for c.err == nil {
			var n int
			n, c.err = c.conn.Read(b)
			c.got = append(c.got, b[:n]...)
		}
	})
	return c
}

// step does all that in allows.
func (c *memoryTLS) step() { c.next() }

// write encrypts b.
func (c *memoryTLS) write(b []byte) {
	if _, err := c.conn.Write(b); err != nil && c.err == nil {
		c.err = err
	}
}

func (w *memoryWire) Read(b []byte) (int, error) {
	for len(w.c.in) == 0 {
		if !w.yield(struct{}{}) {
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(b, w.c.in)
	w.c.in = w.c.in[n:]
	return n, nil
}

func (w *memoryWire) Write(b []byte) (int, error) {
	w.c.out = append(w.c.out, b...)
	return len(b), nil
}

func (w *memoryWire) Close() error                     { return nil }
func (w *memoryWire) SetDeadline(time.Time) error      { return nil }
func (w *memoryWire) SetReadDeadline(time.Time) error  { return nil }
func (w *memoryWire) SetWriteDeadline(time.Time) error { return nil }
