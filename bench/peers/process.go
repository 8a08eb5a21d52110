package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"banyan/bench/load"
)

const (
	startTimeout = 60 * time.Second // until it listens; Crossbar.io needs some seconds
	stopTimeout  = 10 * time.Second // after SIGTERM, before it is killed
	pollInterval = 20 * time.Millisecond
)

// A process is a peer that runs, with all the processes it started.
type process struct {
	url   string
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{} // closed after Wait
	err   error         // of Wait; set before ended is closed
}

// freeAddress returns a loopback address that nobody uses at the moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start starts the peer in a process group of its own, on the CPUs of the set unless it is empty, and waits until it
// accepts connections. Its output goes to the file log.
func (p *Peer) start(ctx context.Context, transport string, on load.CPUSet, log string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	words := p.command(address, transport)
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(words[0], words[1:]...)
	if p.argv0 != "" {
		cmd.Args[0] = p.argv0
	}
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	start := cmd.Start
	if on.Count() > 0 {
		start = func() error { return on.Start(cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	q := &process{url: p.url(address, transport), cmd: cmd, log: f, ended: make(chan struct{})}
	go func() {
		q.err = cmd.Wait()
		close(q.ended)
	}()
	if err := q.waitListening(ctx, address); err != nil {
		q.stop()
		if b, read := os.ReadFile(log); read == nil && len(b) > 0 {
			err = fmt.Errorf("%w: %s", err, lastLines(b, 3))
		}
		return nil, err
	}
	return q, nil
}

func (q *process) waitListening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-q.ended:
			return fmt.Errorf("it ended before it listened: %w", q.err)
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

// stop ends the whole group. The exit status of the peer says nothing about the load and is ignored; a peer that does
// not end is an error.
func (q *process) stop() error {
	group := -q.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM)
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-q.ended:
	case <-timeout.C:
		syscall.Kill(group, syscall.SIGKILL)
		select {
		case <-q.ended:
		case <-time.After(stopTimeout):
			return fmt.Errorf("process %d does not end", q.cmd.Process.Pid)
		}
	}
	// Processes of the group may still run after its leader.
	syscall.Kill(group, syscall.SIGKILL)
	return q.log.Close()
}
