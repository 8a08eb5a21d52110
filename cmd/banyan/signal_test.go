package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A serveProcess is "banyan serve" on a Unix socket, as a process of its own.
type serveProcess struct {
	*exec.Cmd
	t    *testing.T
	path string // of the socket
}

// startServe starts one. edit may change the command before; more flags may follow.
func startServe(t *testing.T, edit func(*exec.Cmd), flags ...string) *serveProcess {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.sock")
	cmd := exec.Command("banyan", append([]string{"serve", "--listen", "unix:" + path}, flags...)...) // in the path by testscript.Main
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	if edit != nil {
		edit(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return &serveProcess{Cmd: cmd, t: t, path: path}
}

// join waits until the router listens, and joins.
func (p *serveProcess) join() *client.Conn {
	p.t.Helper()
	var c *client.Conn
	eventually(p.t, "the router listens", func() bool {
		var err error
		c, err = client.Connect(p.t.Context(), "ws+unix:"+p.path, client.Options{})
		return err == nil
	})
	p.t.Cleanup(func() { c.Abandon() })
	if _, _, err := c.JoinRaw(p.t.Context(), "realm1", ""); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *serveProcess) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ends waits for the end of the process, which must be in good order and within limit.
func (p *serveProcess) ends(limit time.Duration) {
	p.t.Helper()
	begin := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			p.t.Errorf("the router ended with %v", err)
		}
	case <-time.After(patience):
		p.t.Error("the router did not end")
		p.Process.Kill()
		<-ended
	}
	if took := time.Since(begin); took > limit {
		p.t.Errorf("the router took %v to stop, more than %v", took, limit)
	}
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
	p := startServe(t, nil)
	c := p.join()
	p.signal(syscall.SIGTERM)
	goodbye(t, c)
	if err := c.QueueMessage(&codec.Message{Type: codec.Goodbye, Format: c.Serializer(), URI: []byte(codec.CloseGoodbyeAndOut)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Receive()
	var closed *client.CloseError
	if !errors.As(err, &closed) || closed.Code != 1001 {
		t.Errorf("the transport ended with %v, want close code 1001", err)
	}
	p.ends(time.Second)
}

// TestSecondSignal: a client that does not answer GOODBYE is waited for, but not after a second signal.
func TestSecondSignal(t *testing.T) {
	p := startServe(t, nil)
	c := p.join()
	p.signal(syscall.SIGINT)
	goodbye(t, c)
	p.signal(syscall.SIGINT)
	err := p.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the router ended with %v", err)
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("the router ended with %v, not by the second signal", err)
	}
}
