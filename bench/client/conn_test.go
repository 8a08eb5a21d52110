package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"go.uber.org/goleak"

	"banyan/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTimeout = 10 * time.Second

// A fake is the router's end of one connection, driven by the test.
type fake struct {
	t    *testing.T
	conn net.Conn
}

// pair connects a client to a fake. The fake completes the opening handshake first.
func pair(t *testing.T, scheme string, o Options) (*Conn, *fake) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			accepted <- nil
			return
		}
		if scheme == "ws" {
			u := ws.Upgrader{Protocol: func([]byte) bool { return true }}
			if o.Deflate {
				accept := wsflate.Extension{Parameters: wsflate.Parameters{
					ServerNoContextTakeover: true, ClientNoContextTakeover: true,
				}}
				u.Negotiate = accept.Negotiate
			}
			_, err = u.Upgrade(c)
		} else {
			var hello [4]byte
			if _, err = io.ReadFull(c, hello[:]); err == nil {
				_, err = c.Write([]byte{0x7F, 0xF0 | hello[1]&0x0F, 0, 0})
			}
		}
		if err != nil {
			c.Close()
			c = nil
		}
		accepted <- c
	}()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	c, err := Connect(ctx, scheme+"://"+l.Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	s := &fake{t: t, conn: <-accepted}
	if s.conn == nil {
		t.Fatal("the fake's handshake failed")
	}
	s.conn.SetDeadline(time.Now().Add(testTimeout))
	c.SetReadDeadline(time.Now().Add(testTimeout))
	t.Cleanup(func() { s.conn.Close(); c.Close() })
	return c, s
}

func (s *fake) write(b []byte) {
	s.t.Helper()
	if _, err := s.conn.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// frame reads one masked frame and returns it unmasked.
func (s *fake) frame() ws.Frame {
	s.t.Helper()
	h, err := ws.ReadHeader(s.conn)
	if err != nil {
		s.t.Fatal(err)
	}
	if !h.Masked || h.Length > 1<<24+frameSlack {
		s.t.Fatalf("a client frame with the header %+v", h)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(s.conn, f.Payload); err != nil {
		s.t.Fatal(err)
	}
	ws.Cipher(f.Payload, h.Mask, 0)
	return f
}

func (s *fake) rawFrame() (kind byte, payload []byte) {
	s.t.Helper()
	var p [4]byte
	if _, err := io.ReadFull(s.conn, p[:]); err != nil {
		s.t.Fatal(err)
	}
	kind, n := rawLength(p[:])
	payload = make([]byte, n)
	if _, err := io.ReadFull(s.conn, payload); err != nil {
		s.t.Fatal(err)
	}
	return kind, payload
}

func compiled(f ws.Frame) []byte {
	b, err := ws.CompileFrame(f)
	if err != nil {
		panic(err) // only for headers that no test builds
	}
	return b
}

func receive(t *testing.T, c *Conn) []byte {
	t.Helper()
	b, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAddress(t *testing.T) {
	for _, c := range []struct {
		url, network, target string
		websocket, tls       bool
	}{
		{"ws://127.0.0.1:8080/ws", "tcp", "127.0.0.1:8080", true, false},
		{"ws://example.com", "tcp", "example.com:80", true, false},
		{"wss://example.com/x", "tcp", "example.com:443", true, true},
		{"ws://[::1]:8080/ws", "tcp", "[::1]:8080", true, false},
		{"rs://127.0.0.1:8080", "tcp", "127.0.0.1:8080", false, false},
		{"rss://example.com:8443", "tcp", "example.com:8443", false, true},
		{"unix:/run/b.sock", "unix", "/run/b.sock", false, false},
		{"unix:///run/b.sock", "unix", "/run/b.sock", false, false},
		{"unix:b.sock", "unix", "b.sock", false, false},
		{"ws+unix:/run/b.sock", "unix", "/run/b.sock", true, false},
	} {
		a, err := parseAddress(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if a.network != c.network || a.target != c.target || a.websocket != c.websocket || a.tls != c.tls {
			t.Errorf("%s: got %+v", c.url, a)
		}
	}
	for _, url := range []string{
		"", "127.0.0.1", "127.0.0.1:8080", "http://x/", "rs://x", "unix:", "ws://",
		"ws:///x", "ws+unix:",
	} {
		if a, err := parseAddress(url); err == nil {
			t.Errorf("%q was taken for %+v", url, a)
		}
	}
}

// TestFrameLengths carries messages around every length at which a header changes its form, both ways.
func TestFrameLengths(t *testing.T) {
	lengths := []int{1, 4, 15, 16, 17, 125, 126, 127, 65535, 65536, 65537, 1 << 20, 1 << 24}
	t.Run("websocket", func(t *testing.T) {
		c, s := pair(t, "ws", Options{})
		for _, n := range lengths {
			msg := bytes.Repeat([]byte{byte(n), 0xC3, 7}, n/3+1)[:n]
			c.Queue(msg)
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			f := s.frame()
			if f.Header.OpCode != ws.OpBinary || !f.Header.Fin || !bytes.Equal(f.Payload, msg) {
				t.Fatalf("length %d did not arrive", n)
			}
			go s.conn.Write(compiled(ws.NewBinaryFrame(msg)))
			if !bytes.Equal(receive(t, c), msg) {
				t.Fatalf("length %d was not received", n)
			}
		}
	})
	t.Run("rawsocket", func(t *testing.T) {
		c, s := pair(t, "rs", Options{})
		for _, n := range lengths {
			msg := bytes.Repeat([]byte{byte(n), 0xC3, 7}, n/3+1)[:n]
			c.Queue(msg)
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			kind, got := s.rawFrame()
			if kind != rawMessage || !bytes.Equal(got, msg) {
				t.Fatalf("length %d did not arrive", n)
			}
			prefix := uint32(n)
			if n == 1<<24 {
				prefix = 0x08 << 24
			}
			go s.conn.Write(append(binary.BigEndian.AppendUint32(nil, prefix), msg...))
			if !bytes.Equal(receive(t, c), msg) {
				t.Fatalf("length %d was not received", n)
			}
		}
	})
}

func TestFragmentsAndPing(t *testing.T) {
	c, s := pair(t, "ws", Options{Serializer: codec.JSON})
	var b []byte
	b = append(b, compiled(ws.NewFrame(ws.OpText, false, []byte("[1,")))...)
	b = append(b, compiled(ws.NewPingFrame([]byte("between")))...)
	b = append(b, compiled(ws.NewFrame(ws.OpContinuation, false, []byte("2,")))...)
	b = append(b, compiled(ws.NewFrame(ws.OpContinuation, true, []byte("3]")))...)
	b = append(b, compiled(ws.NewTextFrame([]byte("[4]")))...)
	// Octet by octet: no cut may matter.
	go func() {
		for i := range b {
			s.conn.Write(b[i : i+1])
		}
	}()
	if got := string(receive(t, c)); got != "[1,2,3]" {
		t.Errorf("got %q", got)
	}
	if got := string(receive(t, c)); got != "[4]" {
		t.Errorf("got %q", got)
	}
	c.Flush()
	if f := s.frame(); f.Header.OpCode != ws.OpPong || string(f.Payload) != "between" {
		t.Errorf("the ping was answered with %v %q", f.Header.OpCode, f.Payload)
	}
}

func TestCloseFrame(t *testing.T) {
	c, s := pair(t, "ws", Options{})
	s.write(compiled(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "going away"))))
	_, err := c.Receive()
	var closed *CloseError
	if !errors.As(err, &closed) || closed.Code != 1001 || closed.Reason != "going away" {
		t.Fatalf("got %v", err)
	}
	if f := s.frame(); f.Header.OpCode != ws.OpClose || binary.BigEndian.Uint16(f.Payload) != 1001 {
		t.Errorf("the close frame was answered with %v % x", f.Header.OpCode, f.Payload)
	}
	if _, err := c.Receive(); !errors.As(err, &closed) {
		t.Errorf("the end is not sticky: %v", err)
	}
}

// TestBrokenFrames lists what a router must not send.
func TestBrokenFrames(t *testing.T) {
	for name, b := range map[string][]byte{
		"masked":                 {0x82, 0x81, 0, 0, 0, 0, 1},
		"reserved bit":           {0xC2, 0x01, 1},
		"reserved opcode":        {0x83, 0x01, 1},
		"text on msgpack":        {0x81, 0x01, 'x'},
		"lone continuation":      {0x80, 0x01, 1},
		"fragmented ping":        {0x09, 0x00},
		"long ping":              {0x89, 126, 0, 126},
		"message inside message": {0x02, 0x01, 1, 0x82, 0x01, 1},
		"length above the limit": {0x82, 127, 0, 0, 0, 0, 0x10, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := pair(t, "ws", Options{})
			s.write(b)
			_, err := c.Receive()
			var broken *protocolError
			if !errors.As(err, &broken) {
				t.Errorf("got %v", err)
			}
		})
	}
	for name, b := range map[string][]byte{
		"reserved type":          {3, 0, 0, 1, 1},
		"reserved bits":          {0x10, 0, 0, 1, 1},
		"extension and length":   {8, 0, 0, 1, 1},
		"empty message":          {0, 0, 0, 0},
		"length above the limit": {0, 0, 4, 1},
	} {
		t.Run("raw "+name, func(t *testing.T) {
			c, s := pair(t, "rs", Options{MessageBytesMax: 1024})
			s.write(b)
			_, err := c.Receive()
			var broken *protocolError
			if !errors.As(err, &broken) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFragmentLimit: a message in fragments may be as long as one in a frame, and no octet longer.
func TestFragmentLimit(t *testing.T) {
	const most = 1024 + frameSlack
	for n, ok := range map[int]bool{most: true, most + 1: false} {
		c, s := pair(t, "ws", Options{MessageBytesMax: 1024})
		s.write(slices.Concat(
			compiled(ws.NewFrame(ws.OpBinary, false, make([]byte, 600))),
			compiled(ws.NewFrame(ws.OpContinuation, true, make([]byte, n-600)))))
		b, err := c.Receive()
		var broken *protocolError
		if ok && (err != nil || len(b) != n) || !ok && !errors.As(err, &broken) {
			t.Errorf("%d octets: %d came, %v", n, len(b), err)
		}
	}
}

// TestTextIsUTF8: a text message that is none ends the connection.
func TestTextIsUTF8(t *testing.T) {
	c, s := pair(t, "ws", Options{Serializer: codec.JSON})
	s.write(compiled(ws.NewTextFrame([]byte("[\"ä\"]"))))
	s.write(compiled(ws.NewTextFrame([]byte("[\"\xe4\"]"))))
	receive(t, c)
	_, err := c.Receive()
	var broken *protocolError
	if !errors.As(err, &broken) {
		t.Errorf("got %v", err)
	}
}

// TestTooLong: a message of exactly the length that the router accepts is sent.
func TestTooLong(t *testing.T) {
	c := &Conn{peerMax: 512}
	for n, ok := range map[int]bool{512: true, 513: false} {
		if err := c.tooLong(n); (err == nil) != ok {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	if err := (&Conn{}).tooLong(1 << 30); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

func TestRawSocketPing(t *testing.T) {
	c, s := pair(t, "rs", Options{})
	s.write([]byte{rawPing, 0, 0, 3, 'a', 'b', 'c', rawPong, 0, 0, 1, 'x', rawMessage, 0, 0, 1, 'm'})
	if got := string(receive(t, c)); got != "m" {
		t.Errorf("got %q", got)
	}
	c.Flush()
	if kind, payload := s.rawFrame(); kind != rawPong || string(payload) != "abc" {
		t.Errorf("the PING was answered with type %d %q", kind, payload)
	}
}

func TestRawSocketRefusals(t *testing.T) {
	for reply, want := range map[[4]byte]string{
		{0x7F, 0x10, 0, 0}:   "serializer unsupported",
		{0x7F, 0x40, 0, 0}:   "maximum connection count",
		{0x7F, 0xF1, 0, 0}:   "chose serializer 1",
		{'H', 'T', 'T', 'P'}: "answered with 48 54 54 50",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			var hello [4]byte
			io.ReadFull(c, hello[:])
			c.Write(reply[:])
		}()
		_, err = Connect(t.Context(), "rs://"+l.Addr().String(), Options{})
		var connect *ConnectError
		if !errors.As(err, &connect) || !strings.Contains(err.Error(), want) {
			t.Errorf("% x: got %v, want %q", reply, err, want)
		}
		l.Close()
	}
}

// TestDeflate: compressed messages, in one frame and in many, beside plain ones; and what is none.
func TestDeflate(t *testing.T) {
	c, s := pair(t, "ws", Options{Serializer: codec.JSON, Deflate: true})
	long := bytes.Repeat([]byte("abcdefg "), 10_000)
	for _, msg := range [][]byte{[]byte("[1]"), long} {
		z := codec.AppendDeflated(nil, msg)
		whole := ws.NewTextFrame(z)
		whole.Header.Rsv = 4
		first := ws.NewFrame(ws.OpText, false, z[:2])
		first.Header.Rsv = 4
		before := c.ReadBytes()
		s.write(slices.Concat(compiled(whole), compiled(ws.NewTextFrame([]byte("plain"))), compiled(first),
			compiled(ws.NewFrame(ws.OpContinuation, true, z[2:]))))
		for _, want := range []string{string(msg), "plain", string(msg)} {
			if got := string(receive(t, c)); got != want {
				t.Errorf("got %.20q, want %.20q", got, want)
			}
		}
		if n := c.ReadBytes() - before; n < int64(2*len(z)) || n > int64(2*len(z)+50) {
			t.Errorf("read %d bytes", n)
		}
	}
	c.Queue([]byte("[4]"))
	c.Flush()
	if f := s.frame(); string(f.Payload) != "[4]" || f.Header.Rsv != 0 {
		t.Errorf("sent %q, %+v", f.Payload, f.Header)
	}
	bad := ws.NewTextFrame([]byte{6})
	bad.Header.Rsv = 4
	s.write(compiled(bad))
	if _, err := c.Receive(); err == nil {
		t.Error("a malformed message was accepted")
	}

	c, s = pair(t, "ws", Options{Serializer: codec.JSON})
	bad.Payload = codec.AppendDeflated(nil, []byte("[1]"))
	bad.Header.Length = int64(len(bad.Payload))
	s.write(compiled(bad))
	if _, err := c.Receive(); err == nil {
		t.Error("a compressed message was accepted without an agreement")
	}
}

func TestBatches(t *testing.T) {
	t.Run("json", func(t *testing.T) {
		c, s := pair(t, "ws", Options{Serializer: codec.JSON, Batched: true})
		s.write(compiled(ws.NewTextFrame([]byte("[1]\x1e[2]\x18[3]\x1e"))))
		for _, want := range []string{"[1]", "[2]", "[3]"} {
			if got := string(receive(t, c)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		c.Queue([]byte("[4]"))
		c.Flush()
		if f := s.frame(); string(f.Payload) != "[4]\x1e" {
			t.Errorf("sent %q", f.Payload)
		}
		s.write(compiled(ws.NewTextFrame([]byte("[1]"))))
		if _, err := c.Receive(); err == nil {
			t.Error("a batch without terminator was accepted")
		}
	})
	t.Run("msgpack", func(t *testing.T) {
		c, s := pair(t, "ws", Options{Batched: true})
		s.write(compiled(ws.NewBinaryFrame([]byte{0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c'})))
		for _, want := range []string{"a", "bc"} {
			if !c.Ready() && want != "a" {
				t.Error("the rest of a batch is not Ready")
			}
			if got := string(receive(t, c)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		c.Queue([]byte("xyz"))
		c.Flush()
		if f := s.frame(); string(f.Payload) != "\x00\x00\x00\x03xyz" {
			t.Errorf("sent %q", f.Payload)
		}
	})
	for _, b := range [][]byte{{}, {0, 0, 0}, {0, 0, 0, 9, 'a'}, {0, 0, 0, 2, 'a'}, {0, 0, 0, 1, 'a', 0}} {
		c, s := pair(t, "ws", Options{Batched: true})
		s.write(compiled(ws.NewBinaryFrame(b)))
		_, err := c.Receive()
		if err == nil && len(b) == 6 { // the first entry is whole
			_, err = c.Receive()
		}
		var broken *protocolError
		if !errors.As(err, &broken) {
			t.Errorf("the batch % x: %v", b, err)
		}
	}
}

// TestDeadlineResumes: a timeout in the middle of a message loses nothing.
func TestDeadlineResumes(t *testing.T) {
	c, s := pair(t, "rs", Options{})
	s.write([]byte{0, 0, 0, 4, 'h', 'a'})
	c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	s.write([]byte{'l', 'f'})
	c.SetReadDeadline(time.Now().Add(testTimeout))
	if got := string(receive(t, c)); got != "half" {
		t.Errorf("got %q", got)
	}
}

// TestFlushNeverBlocks: a router that does not read must not stop the goroutine that receives; what it did not take
// follows.
func TestFlushNeverBlocks(t *testing.T) {
	c, s := pair(t, "rs", Options{})
	const messages, size = 64, 1 << 20
	msg := make([]byte, size)
	for i := range messages {
		binary.BigEndian.PutUint32(msg, uint32(i))
		c.Queue(msg)
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	s.write([]byte{0, 0, 0, 2, 'o', 'k'}) // received while the other direction is full
	if got := string(receive(t, c)); got != "ok" {
		t.Errorf("got %q", got)
	}
	for i := range messages {
		kind, got := s.rawFrame()
		if kind != rawMessage || len(got) != size || binary.BigEndian.Uint32(got) != uint32(i) {
			t.Fatalf("message %d: type %d, %d bytes", i, kind, len(got))
		}
	}
}

// TestSendWaits: Send is bounded by what the router reads.
func TestSendWaits(t *testing.T) {
	c, s := pair(t, "rs", Options{})
	const messages, size = 64, 1 << 20
	sent := make(chan int, messages)
	go func() {
		defer close(sent)
		for i := range messages {
			if c.Send(make([]byte, size)) != nil {
				return
			}
			sent <- i
		}
	}()
	for range messages {
		s.rawFrame()
		c.mu.Lock()
		queued := len(c.out)
		c.mu.Unlock()
		if queued > queueBytesMax+2*size {
			t.Fatalf("%d bytes are queued", queued)
		}
	}
	n := 0
	for range sent {
		n++
	}
	if n != messages {
		t.Errorf("%d sent, want %d", n, messages)
	}
}

// TestQuietConnectionsStaySmall: the read buffer grows with traffic only, and stops at its bound for short messages.
func TestQuietConnectionsStaySmall(t *testing.T) {
	c, s := pair(t, "rs", Options{ReadBufferBytes: 16 << 10})
	s.write([]byte{0, 0, 0, 1, 'x'})
	receive(t, c)
	if len(c.in) != readBufferFirst {
		t.Errorf("after one small message the buffer has %d bytes", len(c.in))
	}
	const n = 20_000
	go func() {
		var b []byte
		for range n {
			b = append(b, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o')
		}
		s.conn.Write(b)
	}()
	for range n {
		if string(receive(t, c)) != "hello" {
			t.Fatal("damaged")
		}
	}
	if len(c.in) > 32<<10 {
		t.Errorf("small messages grew the buffer to %d bytes", len(c.in))
	}
}

func TestCloseIsIdempotent(t *testing.T) {
	for _, scheme := range []string{"ws", "rs"} {
		c, s := pair(t, scheme, Options{})
		c.Queue([]byte("last words"))
		c.Close()
		c.Close()
		if scheme == "ws" {
			if f := s.frame(); string(f.Payload) != "last words" {
				t.Errorf("got %q", f.Payload)
			}
			if f := s.frame(); f.Header.OpCode != ws.OpClose {
				t.Errorf("got %v", f.Header.OpCode)
			}
		} else if _, got := s.rawFrame(); string(got) != "last words" {
			t.Errorf("got %q", got)
		}
		if err := c.Send([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
	}
}

func TestConnectErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// Accepts by the kernel's backlog, but never answers: the handshake must end with the context.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, scheme := range []string{"ws", "rs"} {
		_, err = Connect(ctx, scheme+"://"+l.Addr().String(), Options{})
		var connect *ConnectError
		if !errors.As(err, &connect) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: got %v", scheme, err)
		}
	}
	l.Close()
	if _, err = Connect(t.Context(), "rs://"+l.Addr().String(), Options{}); err == nil {
		t.Error("connected to a closed port")
	}
}

// TestReadyLooksPastPings: a ping behind the last message is no message. A load that waits for Receive because Ready
// said so would not account for what it has until the next message comes, which may be waiting for just that.
func TestReadyLooksPastPings(t *testing.T) {
	for scheme, c := range map[string]struct{ message, ping []byte }{
		"ws": {compiled(ws.NewBinaryFrame([]byte("m"))), compiled(ws.NewPingFrame([]byte("p")))},
		"rs": {[]byte{0, 0, 0, 1, 'm'}, []byte{1, 0, 0, 1, 'p'}},
	} {
		conn, s := pair(t, scheme, Options{})
		s.write(slices.Concat(c.message, c.ping, c.message, c.message[:1]))
		for _, more := range []bool{true, false} {
			if got := string(receive(t, conn)); got != "m" {
				t.Fatalf("%s: received %q", scheme, got)
			}
			for range 2 { // asking twice changes nothing
				if got := conn.Ready(); got != more {
					t.Errorf("%s: Ready is %v, want %v", scheme, got, more)
				}
			}
		}
		s.write(c.message[1:])
		receive(t, conn)
		if scheme == "ws" {
			if f := s.frame(); f.Header.OpCode != ws.OpPong || string(f.Payload) != "p" {
				t.Errorf("the ping was answered with %+v", f)
			}
		} else if kind, payload := s.rawFrame(); kind != rawPong || string(payload) != "p" {
			t.Errorf("the ping was answered with kind %d, %q", kind, payload)
		}
		s.write(slices.Concat(c.message, c.ping))
		receive(t, conn)
		if conn.Ready() {
			t.Errorf("%s: Ready because of a ping", scheme)
		}
	}
}
