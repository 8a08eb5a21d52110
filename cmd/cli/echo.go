package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"banyan/codec"
	"banyan/engine"
	"banyan/engine/port"
)

func newBenchEcho() *cobra.Command {
	var listen, logLevel string
	cmd := &cobra.Command{
		Use:   "echo",
		Short: "A WebSocket echo server on the router's engine, for conformance suites",
		Long: "Echo every WebSocket message as it came: the router's loops and parser without a router behind\n" +
			"them, so that WebSocket conformance suites can drive them. The subprotocol wamp.2.json takes text,\n" +
			"wamp.2.msgpack and wamp.2.cbor take binary messages, of 1 to 2^24 octets. Whatever is in them,\n" +
			"nobody looks at it.",
		Example: "  banyan bench echo --listen 127.0.0.1:9001",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveEcho(cmd.Context(), listen, logLevel, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9001", "address to listen on, HOST:PORT or unix:PATH")
	cmd.Flags().StringVar(&logLevel, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

func serveEcho(ctx context.Context, listen, logLevel string, out, errs io.Writer) error {
	if err := checkOption("log.level", logLevel); err != nil {
		return usagef("--log-level: %v", err)
	}
	log := newLog(errs, levelOf(logLevel))
	e, err := engine.New(engine.Config{Listen: []string{listen}, Log: log}, openEcho)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	if err := e.Start(); err != nil {
		return err
	}
	if a := e.Addrs()[0]; a.Network() == "unix" {
		fmt.Fprintf(out, "echo on ws+unix:%s\n", reachable(a))
	} else {
		fmt.Fprintf(out, "echo on ws://%s/\n", reachable(a))
	}
	<-ctx.Done()
	return e.Stop(context.Background())
}

// An echo is a port.Handler that sends every message back.
type echo struct{ c port.Conn }

func openEcho(_ port.Executor, c port.Conn) port.Handler {
	c.SetJoined(true) // messages of any length may come at once
	return &echo{c}
}

// Receive implements port.Handler.
func (e *echo) Receive(x port.Executor, b []byte) {
	if len(b) > e.c.MessageBytesMax() {
		return // a RawSocket client that sends more than it takes
	}
	e.c.Lock()
	defer e.c.Unlock()
	if buf, ok := e.c.Tail(port.Reply); ok {
		buf, _ = codec.AppendFrame(buf, e.c.Variant(), b) // what the peer accepts fits its framing
		e.c.Commit(x, buf)
	}
}

// Violate implements port.Handler; the engine closes the connection by itself.
func (e *echo) Violate(port.Executor, *codec.Violation) {}

// Shutdown implements port.Handler.
func (e *echo) Shutdown(x port.Executor) {
	e.c.Lock()
	defer e.c.Unlock()
	e.c.Finish(x, port.CloseGoingAway, "going down")
}

// Closed implements port.Handler; an echo leaves nothing behind.
func (e *echo) Closed(port.Executor) {}
