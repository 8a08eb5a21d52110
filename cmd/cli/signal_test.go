package cli

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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
	// testscript.Main has put it into the path.
	cmd := exec.Command("banyan", append([]string{"serve", "--listen", "unix:" + path}, flags...)...)
	cmd.Env = append(os.Environ(), "GORACE="+raceOptions)
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

// stops sends SIGTERM and wants GOODBYE to c, the only client, and the end in good order.
func (p *serveProcess) stops(c *client.Conn) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	goodbye(p.t, c)
	c.Abandon()
	p.ends(3 * time.Second)
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
	if err := d.Decode(c.Serializer(), b, &m); err != nil || m.Type != codec.Goodbye ||
		string(m.URI) != codec.CloseSystemShutdown {
		t.Fatalf("got message type %d %s, %v", m.Type, m.URI, err)
	}
}

// TestGracefulStop: SIGTERM says GOODBYE, waits for the answer, closes with 1001 and exits 0.
func TestGracefulStop(t *testing.T) {
	p := startServe(t, nil)
	c := p.join()
	p.signal(syscall.SIGTERM)
	goodbye(t, c)
	if err := c.QueueMessage(&codec.Message{
		Type: codec.Goodbye, Format: c.Serializer(), URI: []byte(codec.CloseGoodbyeAndOut),
	}); err != nil {
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
	t.Parallel()
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

// TestStopBounded: clients that neither read nor answer make a stop neither longer than --shutdown-timeout nor a
// failure.
func TestStopBounded(t *testing.T) {
	t.Parallel()
	t.Attr("checklist", "SES-52")
	for name, c := range map[string]struct {
		flags []string
		limit time.Duration
	}{
		"default": {nil, 8 * time.Second},
		"flag":    {[]string{"--shutdown-timeout", "6s"}, 6 * time.Second}, // less than the default takes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServe(t, nil, c.flags...)
			p.deafen(8)
			p.join() // does not answer GOODBYE
			p.signal(syscall.SIGTERM)
			p.ends(c.limit)
			if _, err := os.Stat(p.path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket's file is still there: %v", err)
			}
		})
	}
}

// deafen joins with a client that has subscribed and does not read, and publishes that many MiB to it.
func (p *serveProcess) deafen(mib int) *client.Conn {
	p.t.Helper()
	deaf := p.join()
	if err := deaf.QueueMessage(&codec.Message{
		Type: codec.Subscribe, Format: deaf.Serializer(), Request: 1, URI: []byte("com.flood"),
	}); err != nil {
		p.t.Fatal(err)
	}
	if _, err := deaf.Receive(); err != nil { // SUBSCRIBED
		p.t.Fatal(err)
	}
	s, err := client.Dial(p.t.Context(), "unix:"+p.path, client.Options{Realm: "realm1"})
	if err != nil {
		p.t.Fatal(err)
	}
	defer s.Close()
	for range mib {
		v := client.Values{Args: []any{strings.Repeat("x", 1<<20)}}
		if _, err := s.Publish(p.t.Context(), "com.flood", map[string]any{"acknowledge": true}, v); err != nil {
			p.t.Fatal(err)
		}
	}
	return deaf
}

// TestHangupSignal: SIGHUP without a terminal is a log line and nothing else, twice; the router goes on and stops
// later in good order.
func TestHangupSignal(t *testing.T) {
	reader, writer := smallPipe(t)
	p := startServe(t, func(c *exec.Cmd) { c.Stderr = writer })
	reader.SetReadDeadline(time.Now().Add(patience))
	lines := bufio.NewScanner(reader)
	c := p.join()
	for range 2 {
		p.signal(syscall.SIGHUP)
		for {
			if !lines.Scan() {
				t.Fatalf("no line about SIGHUP: %v", lines.Err())
			}
			if strings.Contains(lines.Text(), "SIGHUP: there is no configuration to reload") {
				break
			}
		}
	}
	p.join().Abandon()
	p.stops(c)
}

// TestNohup: a SIGHUP that the parent had ignored stays ignored.
func TestNohup(t *testing.T) {
	p := startServe(t, func(c *exec.Cmd) {
		c.Path, c.Args = "/bin/sh", append([]string{"sh", "-c", `trap "" HUP; exec "$0" "$@"`}, c.Args...)
	})
	c := p.join()
	p.signal(syscall.SIGHUP)
	p.join().Abandon()
	p.stops(c)
}

// TestTerminalEnds: at the end of its terminal the router stops as at SIGTERM, with GOODBYE and exit code 0.
func TestTerminalEnds(t *testing.T) {
	terminal, shell := openTerminal(t)
	p := startServe(t, func(c *exec.Cmd) {
		c.Stdin, c.Stdout, c.Stderr = shell, shell, shell
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	})
	shell.Close()
	c := p.join()
	p.signal(syscall.SIGHUP) // the terminal is there: no reason to stop
	p.join().Abandon()
	terminal.Close() // the kernel sends SIGHUP
	goodbye(t, c)
	p.signal(syscall.SIGHUP) // as a shell does
	c.Abandon()
	p.ends(time.Second)
}

// openTerminal makes a pseudo terminal: the end that a terminal emulator holds, and the one that programs do.
func openTerminal(t *testing.T) (emulator, programs *os.File) {
	t.Helper()
	emulator, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { emulator.Close() })
	fd := int(emulator.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	programs, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { programs.Close() })
	return emulator, programs
}

// TestHangupReloads: SIGHUP makes the router read its file again; one with errors changes nothing, twice.
func TestHangupReloads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "banyan.yaml")
	write := func(text string) {
		t.Helper()
		// In place of the old one, as a whole: a reload may read it at any moment.
		err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file))
		if err != nil {
			t.Fatal(err)
		}
	}
	write("limits: { uri_bytes_max: 100 }")
	p := startServe(t, nil, "--config", file)
	c := p.join()
	subscribes := func(uri string) bool {
		t.Helper()
		s, err := client.Dial(t.Context(), "unix:"+p.path, client.Options{Realm: "realm1"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		_, err = s.Publish(t.Context(), uri, map[string]any{"acknowledge": true}, client.Values{})
		return err == nil
	}
	long := "com." + strings.Repeat("x", 30)
	if !subscribes(long) {
		t.Fatal("the file is not in force")
	}
	for _, most := range []int{20, 100, 20} {
		write("limits: { uri_bytes_max: " + strconv.Itoa(most) + " }")
		p.signal(syscall.SIGHUP)
		eventually(t, "the file is in force", func() bool { return subscribes(long) == (most == 100) })
		write("limits: { uri_bytes_max: none }")
		p.signal(syscall.SIGHUP)
	}
	if subscribes(long) {
		t.Error("a file with errors has changed something")
	}
	p.stops(c) // who was there before is there still
}
