package floor

import (
	"crypto/tls"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// A TLSServer is a floor that encrypts with the TLS of Go, as a plain program does it: a goroutine reads each
// connection, and whoever read a publication writes it to the subscribers one after the other. Locks stand in for the
// one thread of the plain floor.
type TLSServer struct {
	listener net.Listener
	config   *tls.Config
	lock     sync.Mutex // of all below, and of every conn
	server   Server     // its lists and calls; no sockets
	open     map[net.Conn]struct{}
	stopped  bool
	reading  sync.WaitGroup
}

// ListenTLS binds address, HOST:PORT, for connections with TLS.
func ListenTLS(address string, config *tls.Config) (*TLSServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &TLSServer{listener: l, config: config, open: map[net.Conn]struct{}{}}, nil
}

// Addr is where the floor listens.
func (t *TLSServer) Addr() net.Addr { return t.listener.Addr() }

// Stop ends Run. Any goroutine, once.
func (t *TLSServer) Stop() error {
	t.lock.Lock()
	t.stopped = true
	for c := range t.open {
		c.Close()
	}
	t.lock.Unlock()
	return t.listener.Close()
}

// Run serves until Stop and closes everything.
func (t *TLSServer) Run() error {
	defer t.reading.Wait()
	for {
		c, err := t.listener.Accept()
		if err != nil {
			if t.lock.Lock(); t.stopped {
				err = nil
			}
			t.lock.Unlock()
			return err
		}
		t.reading.Go(func() { t.serve(c) })
	}
}

// serve reads one connection until its end.
func (t *TLSServer) serve(socket net.Conn) {
	defer socket.Close()
	t.lock.Lock()
	if t.stopped {
		t.lock.Unlock()
		return
	}
	t.open[socket] = struct{}{}
	t.lock.Unlock()

	c := &conn{fd: -1, secure: tls.Server(socket, t.config)}
	b := make([]byte, readBytes)
	for {
		n, err := c.secure.Read(b)
		t.lock.Lock()
		if err == nil {
			t.server.received(c, b[:n])
		}
		if err != nil || c.state == stateGone {
			delete(t.open, socket)
			t.server.forget(c)
			t.lock.Unlock()
			return
		}
		t.lock.Unlock()
	}
}

// writeTo writes once and does not wait for room, or encrypts and waits.
func (c *conn) writeTo(b []byte) (int, unix.Errno) {
	if c.secure == nil {
		return rawIO(unix.SYS_WRITE, c.fd, b)
	}
	if _, err := c.secure.Write(b); err != nil {
		return 0, unix.EPIPE
	}
	return len(b), 0
}
