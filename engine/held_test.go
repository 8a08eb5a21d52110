//go:build linux

package engine

import (
	"log/slog"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"banyan/codec"
	"banyan/engine/internal/outq"
	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// holding opens sessions that stop at "hold" for want of credit, at "wait" to wait for something with the message
// kept, and echo the rest.
func holding(conns chan<- *conn) port.Opener {
	return func(x port.Executor, c port.Conn) port.Handler {
		conns <- c.(*conn)
		return &session{c: c, receive: func(x port.Executor, _ *session, b []byte) {
			switch {
			case string(b) == "hold":
				c.Spend(1)
			case strings.HasPrefix(string(b), "wait"):
				c.Keep(b)
				c.Hold(x)
			default:
				reply(x, c, b)
			}
		}}
	}
}

// ask runs f on the only loop of e and returns what it finds.
func ask[T any](e *Engine, f func(l *loop) T) T {
	found := make(chan T)
	on(e, 0, func(x port.Executor) { found <- f(x.(*loop)) })
	return <-found
}

// A reset of a connection that is held ends it at once, also when something has come since, and with it the memory
// that it holds.
func TestResetOfAHeldConnectionIsNoticed(t *testing.T) {
	var lines lineLog
	log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
	conns := make(chan *conn, 1)
	e := start(t, Config{Live: Live{CreditBytes: 1}, Loops: 1, Log: log}, holding(conns))
	for _, stop := range []string{"hold", "wait" + strings.Repeat("x", 300_000)} {
		for _, more := range []string{"", "more"} {
			p := dialRaw(t, e, codec.CBOR)
			c := <-conns
			pauses := e.Stats().ReadPauses
			p.send(rawFrameOf([]byte(stop)))
			eventually(t, "held", func() bool { return e.Stats().ReadPauses > pauses })
			if more != "" {
				p.send(rawFrameOf([]byte(more)))
				eventually(t, "only the end is watched", func() bool {
					return ask(e, func(*loop) poll.Interest { return c.polled }) == poll.Ends
				})
			}
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
			p.Close()
			eventually(t, "the reset is noticed", func() bool { return e.Stats().Connections == 0 })
			eventually(t, "nothing is held", func() bool { return e.Stats().HeldBytes == 0 })
			if who := "peer=" + p.LocalAddr().String(); !lines.has("level=DEBUG", "connection lost",
				"connection reset", who) {
				t.Errorf("%.4s %s: no line", stop, more)
			}
		}
	}
}

// Messages that came before an orderly end are handled before the end, whatever holds the connection when it comes. A
// Unix socket reports such an end as a hang-up.
func TestEndOfAHeldConnectionComesInItsOrder(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "unix:" + t.TempDir() + "/s"} {
		conns := make(chan *conn, 1)
		e := start(t, Config{Listen: []string{listen}, Live: Live{CreditBytes: 1}, Loops: 1}, holding(conns))
		for i, stop := range []string{"hold", "wait"} {
			p := dialRaw(t, e, codec.CBOR)
			c := <-conns
			pauses := e.Stats().ReadPauses
			p.send(rawFrameOf([]byte(stop)))
			eventually(t, "held", func() bool { return e.Stats().ReadPauses > pauses })
			p.send(rawFrameOf([]byte("last")))
			p.Close()
			eventually(t, "the end is not watched for", func() bool {
				return ask(e, func(*loop) poll.Interest { return c.polled }) != poll.Read
			})
			on(e, 0, func(x port.Executor) { c.Refund(x, int64(1-i)); c.Resume(x) })
			eventually(t, "the end", func() bool { return e.Stats().Connections == 0 })
			if n := e.Stats().MessagesIn; n != int64(2*i+2) {
				t.Errorf("%s %s: %d messages handled", listen, stop, n)
			}
		}
	}
}

// The end of a session that the client does not announce has a line with its cause; any other end has none.
func TestLostConnectionsAreLogged(t *testing.T) {
	const none = ""
	for _, c := range []struct {
		name  string
		end   func(p *peer)
		cause string
	}{
		{"close", func(p *peer) { p.Close() }, "the client hung up"},
		{"reset", func(p *peer) { _ = p.Conn.(*net.TCPConn).SetLinger(0); p.Close() }, "connection reset by peer"},
		{"close frame", func(p *peer) { p.send(masked(0x88, []byte{0x03, 0xE8})); p.expectClose(1000) }, none},
		{"finish", func(p *peer) { p.send(binaryMsg([]byte("finish"))); p.expectClose(1000); p.Close() }, none},
	} {
		for _, joined := range []bool{true, false} {
			var lines lineLog
			log := slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))
			e := start(t, Config{Log: log}, func(_ port.Executor, conn port.Conn) port.Handler {
				conn.SetJoined(joined)
				return &session{c: conn, receive: func(x port.Executor, _ *session, b []byte) {
					conn.Lock()
					conn.Finish(x, port.CloseNormal, "")
					conn.Unlock()
				}}
			})
			p := dialWS(t, e, "wamp.2.cbor")
			c.end(p)
			eventually(t, c.name, func() bool { return e.Stats().Connections == 0 })
			found := lines.has("connection lost", "transport=websocket", c.cause, "peer="+p.LocalAddr().String())
			if found != (joined && c.cause != none) || found != lines.has("connection lost") {
				t.Errorf("%s, joined %v: a line %v", c.name, joined, found)
			}
		}
	}
}

// A failed write and a timeout of TCP are causes too, and the first cause is the one that is told.
func TestCauseOfALostConnection(t *testing.T) {
	for _, ends := range []struct {
		name string
		end  func(c *conn)
		want error
	}{
		{"read", func(c *conn) { c.read() }, unix.ETIMEDOUT},
		{"write", func(c *conn) { reply(c.loop, c, []byte("x")); c.loop.flush(c); c.read() }, unix.EPIPE},
		{"write of another loop", func(c *conn) {
			other := newLoop(c.loop.engine, 1, &stillPoller{})
			reply(other, c, []byte("x"))
			other.flush(c)
		}, unix.EPIPE},
		{"reset while held", func(c *conn) { c.hold = holdCredit; c.onEvent(unix.EPOLLERR) }, unix.ECONNRESET},
		{"no reason", func(c *conn) { c.hold, c.wantWrite = holdBacklog, true; c.onEvent(unix.EPOLLHUP) }, errHungUp},
		{"slow", func(c *conn) { c.Lock(); c.slow(); c.Unlock(); c.read() }, errSlow},
		{"finished before", func(c *conn) {
			reply(c.loop, c, []byte("x"))
			c.fail(port.CloseNormal, "")
			c.loop.flush(c)
		}, nil},
	} {
		c, _ := newSilent(t, Live{}, phaseRawSocket)
		k := &brokenTransport{}
		if ends.want != errHungUp {
			k.cause = unix.ECONNRESET
		}
		c.transport = k
		ends.end(c)
		if c.cause != ends.want {
			t.Errorf("%s: %v", ends.name, c.cause)
		}
	}
}

// A brokenTransport fails in every way, each with its own error.
type brokenTransport struct {
	scriptedTransport
	cause error
}

func (*brokenTransport) read(int, []byte) (int, error) { return 0, unix.ETIMEDOUT }

func (*brokenTransport) Send(int, *outq.Vectors, *outq.Segment) (n int, err error) {
	return 0, unix.EPIPE
}
func (k *brokenTransport) failure(int) error { return k.cause }
