// Package client is a WAMP client for loads, tests and the command line. It is not a public client library: it has what those three
// need, and low-level access that a library would hide.
//
// A Conn carries encoded messages over any transport of Banyan:
//
//	Queue    appends a frame to the outbound buffer                            any goroutine
//	Flush    writes the buffer; what comes meanwhile goes in the next write    any goroutine
//	Receive  flushes, reads once into the inbound buffer, cuts messages out    one goroutine
//
// so that a loop of Receive and Queue answers a whole read with one write. A Session adds requests and handlers to a Conn.
package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"banyan/codec"
)

// Options say how to connect. The zero value is MessagePack without a realm: fine for Connect, too little for Dial.
type Options struct {
	// Serializer of the session; default MessagePack.
	Serializer codec.Serializer
	// Realm that Dial joins.
	Realm string
	// Batched asks for the .batched WebSocket subprotocol (PROTOCOL 13.2). Ignored on RawSocket.
	Batched bool
	// MessageBytesMax is the longest message to accept; default and limit 16 MiB. RawSocket announces it, rounded up to a power of two.
	MessageBytesMax int
	// ReadBufferBytes is where the read buffer stops growing while messages are shorter; default 64 KiB. It starts at 2 KiB and
	// doubles whenever a read fills it, so that thousands of quiet connections stay small.
	ReadBufferBytes int
	// TLS for wss and rss; nil verifies against the system's roots.
	TLS *tls.Config
	// Agent is HELLO.Details.agent; default "Banyan client".
	Agent string
	// Header is sent with the WebSocket handshake, for instance Origin.
	Header map[string]string
}

const (
	messageBytesLimit = 1 << 24 // the longest message a RawSocket can announce
	readBufferFirst   = 2 << 10
	readBufferDefault = 64 << 10
	queueBytesMax     = 4 << 20   // Send waits while more is queued
	queueKeepBytes    = 256 << 10 // longer outbound buffers are not kept
)

// A Conn is one transport to a router. One goroutine may receive; any goroutine may queue, flush and close.
type Conn struct {
	// Fixed at connect; any goroutine may read.
	url        string
	net        net.Conn
	raw        syscall.RawConn // nil when the socket cannot be written without blocking (TLS)
	serializer codec.Serializer
	websocket  bool
	batched    bool
	bytesMax   int // longest message we accept
	peerMax    int // longest message the router accepts; 0 unknown
	bufferMax  int

	// Owned by the receiving goroutine.
	in        []byte // in[head:tail] is not yet looked at
	head      int
	tail      int
	fragments []byte // the message so far, while fragmented
	opcode    byte   // of the fragmented message; 0 when there is none
	batch     []byte // the rest of a batch
	err       error  // sticky: why Receive ended
	readAt    time.Time

	// Guarded by mu; any goroutine.
	mu      sync.Mutex
	room    *sync.Cond // out shrank or the connection ended
	out     []byte     // frames not yet handed to a write
	spare   []byte     // the other buffer of the pair
	writing bool       // someone is in a write and will look at out again
	failed  error      // sticky: why writing ended
	mask    uint64     // state of the mask generator
	closed  bool
}

// Connect opens a transport and completes its opening handshake. No HELLO is sent. Errors are *ConnectError.
func Connect(ctx context.Context, url string, o Options) (*Conn, error) {
	a, err := parseAddress(url)
	if err != nil {
		return nil, &ConnectError{URL: url, Err: err}
	}
	if o.Serializer == 0 {
		o.Serializer = codec.MessagePack
	}
	c := &Conn{
		url: url, serializer: o.Serializer, websocket: a.websocket, batched: a.websocket && o.Batched,
		bytesMax: o.MessageBytesMax, bufferMax: o.ReadBufferBytes,
	}
	if c.bytesMax <= 0 || c.bytesMax > messageBytesLimit {
		c.bytesMax = messageBytesLimit
	}
	if c.bufferMax <= 0 {
		c.bufferMax = readBufferDefault
	}
	c.bufferMax = max(c.bufferMax, readBufferFirst)
	c.room = sync.NewCond(&c.mu)
	c.mask = uint64(time.Now().UnixNano()) | 1

	var d net.Dialer
	c.net, err = d.DialContext(ctx, a.network, a.target)
	if err != nil {
		return nil, &ConnectError{URL: url, Err: err}
	}
	// The handshake gives up when ctx does.
	stop := context.AfterFunc(ctx, func() { c.net.SetDeadline(time.Unix(1, 0)) })
	err = c.open(ctx, a, &o)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.net.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &ConnectError{URL: url, Err: err}
	}
	return c, nil
}

func (c *Conn) open(ctx context.Context, a *address, o *Options) error {
	if a.tls {
		cfg := &tls.Config{}
		if o.TLS != nil {
			cfg = o.TLS.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = a.host
		}
		t := tls.Client(c.net, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		c.net = t
	} else if s, ok := c.net.(syscall.Conn); ok {
		raw, err := s.SyscallConn()
		if err != nil {
			return err
		}
		c.raw = raw
	}
	if a.websocket {
		return c.openWebSocket(a, o)
	}
	return c.openRawSocket()
}

// Serializer returns the negotiated serializer.
func (c *Conn) Serializer() codec.Serializer { return c.serializer }

// LocalAddr and RemoteAddr are the ends of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.net.LocalAddr() }

// RemoteAddr is the router's end of the socket.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// SetReadDeadline bounds Receive. After a timeout (errors.Is os.ErrDeadlineExceeded) Receive may be called again and loses nothing.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.net.SetReadDeadline(t) }

// ReadAt is when the read that brought the last received message returned. Receiving goroutine only.
func (c *Conn) ReadAt() time.Time { return c.readAt }

// Queue frames one encoded message and appends it to the outbound buffer. It never blocks and never fails: what is queued after
// the end of the connection is dropped, and Receive or Flush tell why.
func (c *Conn) Queue(msg []byte) {
	c.mu.Lock()
	c.appendFrame(msg)
	c.mu.Unlock()
}

// QueueMessage encodes m in the connection's serializer and queues it.
func (c *Conn) QueueMessage(m *codec.Message) error {
	b, err := codec.Append(nil, c.serializer, m)
	if err != nil {
		return err
	}
	c.Queue(b)
	return nil
}

// Send queues msg and flushes. It waits while much is queued already, so it must not be called by the receiving goroutine.
func (c *Conn) Send(msg []byte) error {
	if err := c.tooLong(len(msg)); err != nil {
		return err
	}
	c.Queue(msg)
	return c.FlushAndWait()
}

// FlushAndWait flushes and waits until less than 4 MiB are queued. Not for the receiving goroutine.
func (c *Conn) FlushAndWait() error {
	if err := c.Flush(); err != nil {
		return err
	}
	c.mu.Lock()
	for len(c.out) > queueBytesMax && c.failed == nil {
		c.room.Wait()
	}
	err := c.failed
	c.mu.Unlock()
	return err
}

// tooLong returns an error for a message longer than the router said it accepts.
func (c *Conn) tooLong(n int) error {
	if c.peerMax > 0 && n > c.peerMax {
		return fmt.Errorf("client: a message of %d bytes, but the router accepts %d", n, c.peerMax)
	}
	return nil
}

// Flush hands the outbound buffer to the socket. It does not block: what the socket does not take is written by a goroutine of its
// own, and what is queued meanwhile follows. The error is that of an earlier write.
func (c *Conn) Flush() error {
	c.mu.Lock()
	if c.writing || len(c.out) == 0 || c.failed != nil {
		err := c.failed
		c.mu.Unlock()
		return err
	}
	c.writing = true
	for len(c.out) > 0 && c.failed == nil {
		b := c.takeOut()
		c.mu.Unlock()
		n, err := c.tryWrite(b)
		if err == nil && n < len(b) {
			go c.drain(b, n)
			return nil
		}
		c.mu.Lock()
		c.giveBack(b, err)
	}
	c.writing = false
	c.room.Broadcast()
	err := c.failed
	c.mu.Unlock()
	return err
}

// drain is Flush for a socket that is full; it owns writing.
func (c *Conn) drain(b []byte, done int) {
	_, err := c.net.Write(b[done:])
	c.mu.Lock()
	c.giveBack(b, err)
	for len(c.out) > 0 && c.failed == nil {
		b := c.takeOut()
		c.mu.Unlock()
		_, err = c.net.Write(b)
		c.mu.Lock()
		c.giveBack(b, err)
	}
	c.writing = false
	c.room.Broadcast()
	c.mu.Unlock()
}

// takeOut and giveBack swap the pair of outbound buffers around a write. Lock held.
func (c *Conn) takeOut() []byte {
	b := c.out
	c.out = c.spare[:0]
	c.spare = nil
	return b
}

func (c *Conn) giveBack(b []byte, err error) {
	if cap(b) <= queueKeepBytes {
		c.spare = b[:0]
	}
	if err != nil && c.failed == nil {
		c.failed = err
		c.out = nil
	}
	c.room.Broadcast()
}

// tryWrite writes what the socket takes at once.
func (c *Conn) tryWrite(b []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil
	}
	var werr error
	err = c.raw.Write(func(fd uintptr) bool {
		for n < len(b) {
			var k int
			k, werr = syscall.Write(int(fd), b[n:])
			if werr == syscall.EINTR {
				continue
			}
			if werr != nil {
				break
			}
			n += k
		}
		return true
	})
	if err != nil {
		return n, err
	}
	if werr == syscall.EAGAIN {
		werr = nil
	}
	return n, werr
}

// SendRaw writes bytes to the socket as they are, without a frame around them: for tests that break the rules.
func (c *Conn) SendRaw(b []byte) error {
	c.mu.Lock()
	if c.failed == nil {
		c.out = append(c.out, b...)
	}
	c.mu.Unlock()
	return c.Flush()
}

// appendFrame frames msg into out. Lock held.
func (c *Conn) appendFrame(msg []byte) {
	if c.failed != nil {
		return
	}
	if c.websocket {
		c.appendData(msg)
		return
	}
	c.appendRaw(rawMessage, msg)
}

// Receive returns the next message; it is lent until the next Receive. Before it waits for the router it flushes. One goroutine only.
//
// Errors: *CloseError after a close frame, io.EOF after the end of the stream, a deadline error (see SetReadDeadline), the network's.
func (c *Conn) Receive() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	for {
		msg, err := c.next()
		if err == nil && msg == nil {
			err = c.fill()
			if err == nil {
				continue
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return nil, err
			}
		}
		if err != nil {
			c.err = err
			return nil, err
		}
		return msg, nil
	}
}

// Ready reports whether Receive would return without waiting for the router. Receiving goroutine only.
func (c *Conn) Ready() bool {
	if len(c.batch) > 0 || c.err != nil {
		return true
	}
	b := c.in[c.head:c.tail]
	if c.websocket {
		f, ok, err := parseFrame(b, c.bytesMax)
		return err != nil || ok && len(b) >= f.header+f.length
	}
	return rawWhole(b)
}

// next cuts the next message out of what was read; nil without an error means that more must be read.
func (c *Conn) next() ([]byte, error) {
	if c.websocket {
		return c.nextWebSocket()
	}
	return c.nextRawSocket()
}

// fill reads once.
func (c *Conn) fill() error {
	if err := c.Flush(); err != nil && c.tail == c.head {
		// The router's last words (ABORT, a close frame) may still be there to read; the write error comes if they are not.
		if n, rerr := c.read(); n > 0 || rerr == nil {
			return nil
		}
		return err
	}
	_, err := c.read()
	return err
}

func (c *Conn) read() (int, error) {
	if c.tail == len(c.in) {
		c.makeRoom()
	} else if c.head == c.tail {
		c.head, c.tail = 0, 0
	}
	n, err := c.net.Read(c.in[c.tail:])
	c.readAt = time.Now()
	c.tail += n
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// makeRoom moves what is unread to the front, or doubles the buffer: with the bytes that came, never by an announced length.
func (c *Conn) makeRoom() {
	unread := c.tail - c.head
	if c.in == nil {
		c.in = make([]byte, readBufferFirst)
		return
	}
	if unread < len(c.in)/2 && len(c.in) >= c.bufferMax {
		copy(c.in, c.in[c.head:c.tail])
	} else {
		longer := make([]byte, 2*len(c.in))
		copy(longer, c.in[c.head:c.tail])
		c.in = longer
	}
	c.head, c.tail = 0, unread
}

// Close ends the connection: a WebSocket close frame if nothing is being written, then the socket. Any goroutine; idempotent.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	if c.websocket && c.failed == nil {
		c.appendClose(1000, "")
	}
	c.mu.Unlock()
	c.Flush()
	c.net.SetWriteDeadline(time.Now().Add(time.Second))
	c.mu.Lock()
	for c.writing {
		c.room.Wait()
	}
	if c.failed == nil {
		c.failed = ErrClosed
		c.out, c.spare = nil, nil
	}
	c.room.Broadcast()
	c.mu.Unlock()
	return c.net.Close()
}

// Abandon closes the socket without a word, as a crashed client would.
func (c *Conn) Abandon() error {
	c.mu.Lock()
	c.closed = true
	if c.failed == nil {
		c.failed = ErrClosed
		c.out, c.spare = nil, nil
	}
	c.room.Broadcast()
	c.mu.Unlock()
	return c.net.Close()
}
