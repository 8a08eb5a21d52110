package cli

import (
	"os"
	"os/exec"
	"strings"
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

// A fullWriter has room for nothing.
type fullWriter struct{}

// Write implements io.Writer.
func (fullWriter) Write([]byte) (int, error) { return 0, unix.ENOSPC }

// TestOutputFull: a command whose answer cannot be written fails and says so, above all if it is a secret that is
// shown only once.
func TestOutputFull(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("BANYAN_CONFIG", "")
	for _, line := range []string{
		"config docs", "config show", "config show --json", "config schema", "config env", "init", "keygen --key key",
		"hash-ticket joe --role user --new", "hash-ticket joe --role user --new --users users.yaml",
	} {
		var errs strings.Builder
		if code := Run(strings.Fields(line), strings.NewReader(""), fullWriter{}, &errs); code != exitFailed {
			t.Errorf("%s: code %d", line, code)
		}
		if !strings.Contains(errs.String(), "no space left on device") {
			t.Errorf("%s: %s", line, errs.String())
		}
		if strings.Contains(line, "init") != strings.Contains(errs.String(), "this ticket is lost") &&
			!strings.Contains(line, "--new --users") {
			t.Errorf("%s: %s", line, errs.String())
		}
	}
}
