package cli

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// A lineWriter hands out what is written to it, line by line.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

// TestEcho: bench echo sends text and binary back as they came, up to 16 MiB, and ends with its context.
func TestEcho(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	lines, ended := make(lineWriter, 4), make(chan error, 1)
	go func() { ended <- serveEcho(ctx, "127.0.0.1:0", "error", lines, io.Discard) }()
	var url string
	select {
	case l := <-lines:
		url = strings.TrimSpace(strings.TrimPrefix(l, "echo on "))
	case err := <-ended:
		t.Fatal(err)
	}
	for protocol, frames := range map[string][]ws.Frame{
		"wamp.2.json": {
			ws.NewTextFrame([]byte("no JSON at all")),
			ws.NewTextFrame(bytes.Repeat([]byte{'7'}, 1<<24)),
		},
		"wamp.2.msgpack": {
			ws.NewBinaryFrame([]byte{0, 0xFF, 0xC1}),
			ws.NewBinaryFrame(bytes.Repeat([]byte{7}, 1<<24)),
		},
	} {
		c, _, _, err := ws.Dialer{Protocols: []string{protocol}}.Dial(ctx, url)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		c.SetDeadline(time.Now().Add(patience))
		for _, want := range frames {
			sent := make(chan error, 1)
			go func() { sent <- ws.WriteFrame(c, ws.MaskFrame(want)) }()
			op, got := readMessage(t, c)
			if op != want.Header.OpCode || !bytes.Equal(got, want.Payload) {
				t.Errorf("%s: %v of %d bytes came back as %v of %d",
					protocol, want.Header.OpCode, len(want.Payload), op, len(got))
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the echo server ended with %v", err)
	}
}

// readMessage reads one message of one or more frames.
func readMessage(t *testing.T, r io.Reader) (op ws.OpCode, msg []byte) {
	t.Helper()
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.OpCode != ws.OpContinuation {
			op = h.OpCode
		}
		part := make([]byte, h.Length)
		if _, err := io.ReadFull(r, part); err != nil {
			t.Fatal(err)
		}
		if msg = append(msg, part...); h.Fin {
			return op, msg
		}
	}
}
