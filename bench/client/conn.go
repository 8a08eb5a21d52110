// Package client is a WAMP client for loads, tests and the command line. It is not a public client library: it has
// what those three need, and low-level access that a library would hide.
//
// A Conn carries encoded messages over any transport of Banyan:
//
//	Queue    appends a frame to the outbound buffer                            any goroutine
//	Flush    writes the buffer; later frames go with the next write            any goroutine
//	Receive  flushes, reads once into the inbound buffer, cuts messages out    one goroutine
//
// so that a loop of Receive and Queue answers a whole read with one write. A Session adds requests and handlers to a
// Conn.
package client

import (
	"context"
	"crypto/tls"
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
	// Deflate asks for permessage-deflate (RFC 7692) without context takeover; Connect fails if the router does not
	// agree. What is sent goes uncompressed. Ignored on RawSocket.
	Deflate bool
	// MessageBytesMax is the longest message to accept; default and limit 16 MiB. RawSocket announces it, rounded up
	// to a power of two.
	MessageBytesMax int
	// ReadBufferBytes is where the read buffer stops growing while messages are shorter; default 64 KiB. It starts at
	// 2 KiB and doubles whenever a read fills it, so that thousands of quiet connections stay small.
	ReadBufferBytes int
	// TLS for wss and rss; nil verifies against the system's roots.
	TLS *tls.Config
	// Login says who joins; nil is an anonymous client.
	Login *Login
	// Agent is HELLO.Details.agent; default "Banyan client".
	Agent string
	// From is the address to connect from, nil for the system's choice. A client that opens many connections from one
	// machine to one address runs out of ports: loopback has a network full of addresses.
	From net.IP
	// Header is sent with the WebSocket handshake, for instance Origin.
	Header map[string]string
	// OnHeader, when set, is given the header lines of the answer to the WebSocket handshake, but for those of the
	// handshake itself.
	OnHeader func(name, value string)
}

const (
	messageBytesLimit   = 1 << 24 // the longest message a RawSocket can announce
	readBufferFirst     = 2 << 10
	readBufferDefault   = 64 << 10
	queueBytesMax       = 4 << 20   // Send waits while more is queued
	ipBindAddressNoPort = 24        // Linux: IP_BIND_ADDRESS_NO_PORT
	discardBytes        = 256 << 10 // of the buffer that Discard reads into
	queueKeepBytes      = 256 << 10 // longer outbound buffers are not kept
)

// A Conn is one transport to a router. One goroutine may receive; any goroutine may queue, flush and close.
type Conn struct {
	// Fixed at connect; any goroutine may read.
	url        string
	net        net.Conn
	raw        syscall.RawConn // nil when the socket cannot be written without blocking (TLS)
	serializer codec.Serializer
	websocket  bool
	nats       bool
	batched    bool
	deflate    bool
	bytesMax   int // longest message we accept
	login      *Login
	peerMax    int // longest message the router accepts; 0 unknown
	bufferMax  int

	// Owned by the receiving goroutine.
	in        []byte // in[head:tail] is not yet looked at
	head      int
	tail      int
	fragments []byte // the message so far, while fragmented
	opcode    byte   // of the fragmented message; 0 when there is none
	batch     []byte // the rest of a batch
	ahead     []byte // a message that Ready has found; nil when there is none
	err       error  // sticky: why Receive ended
	readAt    time.Time
	readBytes int64
	inflated  []byte   // the last compressed message
	chunk     [][]byte // scratch
	deflated  bool     // the fragmented message is compressed

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
		url: url, serializer: o.Serializer, websocket: a.websocket, nats: a.nats, batched: a.websocket && o.Batched,
		deflate: a.websocket && o.Deflate,
		login:   o.Login, bytesMax: o.MessageBytesMax, bufferMax: o.ReadBufferBytes,
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

	d := net.Dialer{}
	if o.From != nil && a.network == "tcp" {
		d.LocalAddr = &net.TCPAddr{IP: o.From}
		d.Control = latePort
	}
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

// latePort makes the kernel choose the local port at connect, when it knows the remote address. Otherwise each port
// serves one connection only.
func latePort(_, _ string, raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP,
			ipBindAddressNoPort, 1)
	}); cerr != nil {
		return cerr
	}
	return err
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
	if a.nats {
		return c.openNATS()
	}
	return c.openRawSocket()
}

// Serializer returns the negotiated serializer.
func (c *Conn) Serializer() codec.Serializer { return c.serializer }

// LocalAddr is our end of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.net.LocalAddr() }

// RemoteAddr is the router's end of the socket.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// TLS is the state of the TLS below; ok is false if there is none.
func (c *Conn) TLS() (state tls.ConnectionState, ok bool) {
	t, ok := c.net.(*tls.Conn)
	if ok {
		state = t.ConnectionState()
	}
	return state, ok
}

// SetReadDeadline bounds Receive. After a timeout (errors.Is os.ErrDeadlineExceeded) Receive may be called again and
// loses nothing.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.net.SetReadDeadline(t) }

// ReadAt is when the read that brought the last received message returned. Receiving goroutine only.
func (c *Conn) ReadAt() time.Time { return c.readAt }

// ReadBytes is how many bytes were read. Receiving goroutine only.
func (c *Conn) ReadBytes() int64 { return c.readBytes }

// Close ends the connection: a WebSocket close frame if nothing is being written, then the socket. Any goroutine;
// idempotent.
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

// Abandon closes the socket without a close frame, as a crashed client would.
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
