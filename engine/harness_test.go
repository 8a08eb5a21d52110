//go:build linux

package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

func TestMain(m *testing.M) {
	if child := os.Getenv("ENGINE_TEST_CHILD"); child != "" {
		runChild(child)
		return
	}
	// The command line comes later and is stronger. A test runs alone if it measures or changes the process
	// (descriptors, goroutines, memory, GOMAXPROCS, variables of this package) or takes thousands of descriptors;
	// TestTLSHalfOpenHandshakes is the only one that takes so many beside others.
	if err := flag.Set("test.parallel", parallelTests); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what has to come, and how long a connection of it may live, while others run
// beside it on a busy machine.
const patience = time.Minute

// quiet is a logger for tests that provoke errors.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start runs an engine on a free port until the end of the test.
func start(t testing.TB, cfg Config, open port.Opener) *Engine {
	t.Helper()
	return startPrepared(t, cfg, open, func(*Engine) {})
}

// startPrepared is start with something to do before loops run.
func startPrepared(t testing.TB, cfg Config, open port.Opener, prepare func(*Engine)) *Engine {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = []string{"127.0.0.1:0"}
	}
	if cfg.Loops == 0 {
		cfg.Loops = 2
	}
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	e, err := New(cfg, func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(true) // so that messages of any length may come; see startUnjoined
		return open(x, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	prepare(e)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Clients that do not answer a goodbye are not what most tests are about.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		_ = e.Stop(ctx)
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections after Stop", n)
		}
	})
	return e
}

// eventually waits for a condition with a deadline.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("in %v never: %s", patience, what)
}

// A peer is the client's end of a connection.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, e *Engine) *peer {
	t.Helper()
	a := e.Addrs()[0]
	nc, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &peer{nc, t, bufio.NewReader(nc)}
}

func (p *peer) send(b ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatal(err)
	}
}

// reset ends the connection without a goodbye.
func (p *peer) reset() {
	_ = p.Conn.(*net.TCPConn).SetLinger(0)
	p.Close()
}

// expect reads exactly want.
func (p *peer) expect(want []byte) {
	p.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.r, got)
	if err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("got %.60q (%d, %v), want %.60q (%d)", got[:n], n, err, want, len(want))
	}
}

// expectEnd reads until the connection ends and fails if anything but the end comes.
func (p *peer) expectEnd() {
	p.t.Helper()
	rest, err := io.ReadAll(p.r)
	if len(rest) > 0 {
		p.t.Fatalf("unexpected %.80q", rest)
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		p.t.Fatal("connection is still open")
	}
}

const upgradeHead = "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n"

func upgradeRequest(protocol string) []byte { return fmt.Appendf(nil, upgradeHead, protocol) }

// readHead reads an HTTP answer up to the empty line.
func (p *peer) readHead() (status int, head string) {
	p.t.Helper()
	var b strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			p.t.Fatalf("%q: %v", b.String(), err)
		}
		if line == "\r\n" {
			break
		}
	}
	_, _ = fmt.Sscanf(b.String(), "HTTP/1.1 %d", &status)
	return status, b.String()
}

func dialWS(t testing.TB, e *Engine, protocol string) *peer {
	t.Helper()
	p := dial(t, e)
	p.send(upgradeRequest(protocol))
	status, head := p.readHead()
	if status != 101 || !strings.Contains(head, "Sec-WebSocket-Protocol: "+protocol) ||
		!strings.Contains(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
		t.Fatalf("answer %q", head)
	}
	return p
}

func dialRaw(t testing.TB, e *Engine, s codec.Serializer) *peer {
	t.Helper()
	p := dial(t, e)
	p.send([]byte{0x7F, 0xF0 | byte(s), 0, 0})
	p.expect([]byte{0x7F, e.live.Load().rawSocketExponent()<<4 | byte(s), 0, 0})
	return p
}

var testMask = [4]byte{0x11, 0x92, 0x33, 0xF4}

// masked is a client frame.
func masked(first byte, payload []byte) []byte {
	f := ws.MaskFrameWith(ws.NewFrame(ws.OpCode(first%16), first>>7 == 1, payload), testMask)
	f.Header.Rsv = first >> 4 % 8
	return ws.MustCompileFrame(f)
}

func text(s string) []byte       { return masked(0x81, []byte(s)) }
func binaryMsg(b []byte) []byte  { return masked(0x82, b) }
func ping(s string) []byte       { return masked(0x89, []byte(s)) }
func serverText(s string) []byte { return appendData(nil, wire.OpText, []byte(s)) }
func serverBin(b []byte) []byte  { return appendData(nil, wire.OpBinary, b) }
func serverPong(s string) []byte { return append([]byte{0x8A, byte(len(s))}, s...) }

func rawFrameOf(b []byte) []byte { return wire.AppendRawFrame(nil, wire.RawMessage, b) }

// expectClose reads one close frame with that code, then the end of the connection.
func (p *peer) expectClose(code port.CloseCode) {
	p.t.Helper()
	var h [4]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		p.t.Fatalf("no close frame: %v", err)
	}
	if h[0] != 0x88 || h[1] < 2 || port.CloseCode(binary.BigEndian.Uint16(h[2:])) != code {
		p.t.Fatalf("got frame % x, want close %d", h, code)
	}
	if _, err := p.r.Discard(int(h[1]) - 2); err != nil {
		p.t.Fatal(err)
	}
	p.expectEnd()
}

// appendData appends one unmasked data frame, as the router sends them.
func appendData(dst []byte, opcode byte, payload []byte) []byte {
	dst = append(dst, wire.BitFin|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
	return append(dst, payload...)
}

// frameFor wraps a message for v as the server does. Tests use this instead of the codec's, to have two opinions.
func frameFor(v codec.Variant, msg []byte) []byte {
	op := byte(wire.OpBinary)
	if v.Serializer() == codec.JSON {
		op = wire.OpText
	}
	switch v.Framing() {
	case codec.RawSocket:
		return wire.AppendRawFrame(nil, wire.RawMessage, msg)
	case codec.WebSocket:
		return appendData(nil, op, msg)
	}
	return appendData(nil, op, batchEntry(v, msg))
}

func batchEntry(v codec.Variant, msg []byte) []byte {
	switch {
	case v.Serializer() != codec.JSON:
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
	case v.Framing() == codec.WebSocketBatchOld:
		return append(bytes.Clone(msg), 0x18)
	}
	return append(bytes.Clone(msg), 0x1E)
}

// A session is a Handler made of functions; nil ones do nothing sensible.
type session struct {
	c        port.Conn
	receive  func(x port.Executor, s *session, b []byte)
	violate  func(x port.Executor, s *session, v *codec.Violation)
	shutdown func(x port.Executor, s *session)
	closed   func(x port.Executor, s *session)
}

func (s *session) Receive(x port.Executor, b []byte) {
	if s.receive != nil {
		s.receive(x, s, b)
	}
}

func (s *session) Violate(x port.Executor, v *codec.Violation) {
	if s.violate != nil {
		s.violate(x, s, v)
	}
}

func (s *session) Shutdown(x port.Executor) {
	if s.shutdown != nil {
		s.shutdown(x, s)
		return
	}
	s.c.Lock()
	s.c.Finish(x, port.CloseGoingAway, "")
	s.c.Unlock()
}

func (s *session) Closed(x port.Executor) {
	if s.closed != nil {
		s.closed(x, s)
	}
}

// reply appends one message to a connection from whatever loop x is.
func reply(x port.Executor, c port.Conn, msg []byte) bool {
	c.Lock()
	defer c.Unlock()
	buf, ok := c.Tail(port.Reply)
	if ok {
		c.Commit(x, append(buf, frameFor(c.Variant(), msg)...))
	}
	return ok
}

// echoes opens sessions that send every message back.
func echoes(x port.Executor, c port.Conn) port.Handler {
	return &session{c: c, receive: func(x port.Executor, s *session, b []byte) { reply(x, s.c, b) }}
}
