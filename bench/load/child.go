package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Time that a child has.
const (
	childStart = 10 * time.Second // to say where it listens
	childStop  = 10 * time.Second // to end after SIGTERM, before it is killed
)

// A Child is a router or a floor started for one run.
type Child struct {
	URL string
	PID int

	cmd  *exec.Cmd
	read chan struct{} // closed when its output has ended
}

// StartChild starts program with arguments and waits until it says where it listens: the first word of its standard output that begins with
// scheme and a colon ("ws", "rs", "unix", …). argv0 is what the program is told to be called. The child ends with ctx, or with Stop.
func StartChild(ctx context.Context, program, argv0 string, arguments []string, scheme string) (*Child, error) {
	cmd := exec.CommandContext(ctx, program, arguments...)
	cmd.Args[0] = argv0
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = childStop
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &Child{PID: cmd.Process.Pid, cmd: cmd, read: make(chan struct{})}
	found := make(chan string, 1)
	go func() {
		defer close(c.read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			for word := range strings.FieldsSeq(lines.Text()) {
				if strings.HasPrefix(word, scheme+":") {
					select {
					case found <- word:
					default: // a later one
					}
				}
			}
		}
		io.Copy(io.Discard, out) // a line too long for the scanner; the pipe must not fill
	}()
	timeout := time.NewTimer(childStart)
	defer timeout.Stop()
	select {
	case c.URL = <-found:
		return c, nil
	case <-c.read:
		err = errors.New("it ended")
	case <-timeout.C:
		err = fmt.Errorf("it does not say in %v where it listens for %s", childStart, scheme)
	case <-ctx.Done():
		err = ctx.Err()
	}
	err = errors.Join(err, c.Stop())
	if text := strings.TrimSpace(complaints.String()); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return nil, fmt.Errorf("start %s %s: %w", argv0, strings.Join(arguments, " "), err)
}

// Stop asks the child to end, waits for it, and kills it when it does not.
func (c *Child) Stop() error {
	// It may have ended already; Wait tells how.
	c.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(childStop, func() { c.cmd.Process.Kill() })
	defer kill.Stop()
	<-c.read
	return c.cmd.Wait()
}
