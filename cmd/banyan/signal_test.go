package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// serveProcess starts "banyan serve" on a Unix socket, as a process of its own, with one client that has joined.
func serveProcess(t *testing.T) (*exec.Cmd, *client.Conn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.sock")
	cmd := exec.Command("banyan", "serve", "--listen", "unix:"+path) // in the path by testscript.Main
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	var c *client.Conn
	eventually(t, "the router listens", func() bool {
		var err error
		c, err = client.Connect(t.Context(), "ws+unix:"+path, client.Options{})
		return err == nil
	})
	t.Cleanup(func() { c.Abandon() })
	if _, _, err := c.JoinRaw(t.Context(), "realm1", ""); err != nil {
		t.Fatal(err)
	}
	return cmd, c
}

// goodbye waits for the router's GOODBYE.
func goodbye(t *testing.T, c *client.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(patience))
	b, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	var d codec.Decoder
	var m codec.Message
	if err := d.Decode(c.Serializer(), b, &m); err != nil || m.Type != codec.Goodbye || string(m.URI) != codec.CloseSystemShutdown {
		t.Fatalf("got message type %d %s, %v", m.Type, m.URI, err)
	}
}

// TestGracefulStop: SIGTERM says GOODBYE, waits for the answer, closes with 1001 and exits 0.
func TestGracefulStop(t *testing.T) {
	cmd, c := serveProcess(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	goodbye(t, c)
	if err := c.QueueMessage(&codec.Message{Type: codec.Goodbye, Format: c.Serializer(), URI: []byte(codec.CloseGoodbyeAndOut)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Receive()
	var closed *client.CloseError
	if !errors.As(err, &closed) || closed.Code != 1001 {
		t.Errorf("the transport ended with %v, want close code 1001", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the router ended with %v", err)
	}
}

// TestSecondSignal: a client that does not answer GOODBYE is waited for, but not after a second signal.
func TestSecondSignal(t *testing.T) {
	cmd, c := serveProcess(t)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	goodbye(t, c)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the router ended with %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("the router ended with %v, not by the second signal", err)
	}
}
