package main

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallPipe is a pipe that holds one page, or as little as the kernel has it.
func smallPipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		reader.Close()
		writer.Close()
	})
	if _, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, os.Getpagesize()); err != nil {
		t.Fatal(err)
	}
	return reader, writer
}

// provoke makes the router write a line into its log at debug level, n times.
func provoke(t *testing.T, p *serveProcess, n int) {
	t.Helper()
	for range n {
		c := p.join()
		c.Queue([]byte("no message"))
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Receive(); err != nil { // ABORT
			t.Fatal(err)
		}
		c.Abandon()
	}
}

// TestReadersGone: the router neither dies nor stops serving when the readers of its standard output and error are
// gone, and stops in good order.
func TestReadersGone(t *testing.T) {
	reader, writer := smallPipe(t)
	p := startServe(t, func(c *exec.Cmd) { c.Stdout, c.Stderr = writer, writer }, "--log-level", "debug")
	p.join().Abandon()
	reader.Close()
	provoke(t, p, 3)
	p.stops(p.join())
}

// TestReadersStop: the router serves and stops while nobody reads its output and the pipe is full.
func TestReadersStop(t *testing.T) {
	_, writer := smallPipe(t)
	fill(t, writer)
	p := startServe(t, func(c *exec.Cmd) { c.Stdout, c.Stderr = writer, writer }, "--log-level", "debug")
	provoke(t, p, 3)
	p.stops(p.join())
}

// fill writes into a pipe until it is full.
func fill(t *testing.T, writer *os.File) {
	t.Helper()
	fd := int(writer.Fd()) // which makes it blocking
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for size := 512; size > 0; {
		switch _, err := unix.Write(fd, make([]byte, size)); err {
		case nil:
		case unix.EAGAIN:
			size /= 2
		default:
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil { // the router shares the open file
		t.Fatal(err)
	}
}
