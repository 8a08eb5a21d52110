package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// The hostile clients are a process of their own and of the lowest priority, so that they do not take the CPU that
// the tickers need. What they make the router do has the router's priority: that is what is measured. The two
// processes talk in lines: the hostile one writes a prepared when it is ready, acts once it can read a line, until it
// can read no more, and then writes a finished.

type prepared struct {
	Done    string `json:"done"`
	Skipped string `json:"skipped"`
}

type finished struct {
	Ended int64  `json:"ended"` // connections that the router ended
	Error string `json:"error"`
}

// errBroken is that the hostile clients' own process does not do its part.
var errBroken = errors.New("the hostile clients' process has failed")

// A side is the hostile clients of one load, seen by the tickers.
type side interface {
	// prepare opens what is needed. The error says why the load does not run; errBroken, that it should have.
	prepare(ctx context.Context) (done string, err error)
	// act runs the load until ctx ends.
	act(ctx context.Context) error
	// leave ends the hostile clients, and returns how many connections the router ended before. The error says why
	// the load broke off, if act has not told.
	leave() (ended int64, err error)
}

// here is a side in this process.
type here struct {
	attacker
	attack attack
	load   func(ctx context.Context) error
}

func (h *here) prepare(ctx context.Context) (done string, err error) {
	h.load, done, err = h.attack.prepare(ctx, &h.attacker)
	return done, err
}

func (h *here) act(ctx context.Context) error { return h.load(ctx) }

func (h *here) leave() (ended int64, err error) {
	ended = h.endedByRouter()
	h.attacker.leave()
	return ended, nil
}

// apart is a side in another process.
type apart struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// apartPatience is how long the other process may take to end its clients.
const apartPatience = 30 * time.Second

func (a *apart) prepare(context.Context) (done string, err error) {
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return "", err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	a.out = json.NewDecoder(out)
	a.cmd.WaitDelay = apartPatience
	if err := a.cmd.Start(); err != nil {
		return "", fmt.Errorf("%w: %w", errBroken, err)
	}
	var p prepared
	if err := a.out.Decode(&p); err != nil {
		return "", fmt.Errorf("%w: %w", errBroken, err)
	}
	if p.Skipped != "" {
		return "", errors.New(p.Skipped)
	}
	return p.Done, nil
}

func (a *apart) act(ctx context.Context) error {
	if _, err := io.WriteString(a.in, "\n"); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (a *apart) leave() (ended int64, err error) {
	if a.cmd.Process == nil {
		return 0, nil
	}
	a.in.Close()
	var f finished
	err = a.out.Decode(&f)
	_ = a.cmd.Wait()
	switch {
	case err != nil: // of a load that was skipped there is none either
		return 0, fmt.Errorf("%w: %w", errBroken, err)
	case f.Error != "":
		return f.Ended, errors.New(f.Error)
	}
	return f.Ended, nil
}

// Attack is the other process's part: the hostile clients of the load with this name, told by in and telling out what
// goes on.
func Attack(ctx context.Context, plan HostilePlan, name string, in io.Reader, out io.Writer) error {
	if err := plan.complete(); err != nil {
		return err
	}
	for _, a := range attacks {
		if a.name == name {
			yieldCPU()
			return plan.attack(ctx, a, in, json.NewEncoder(out))
		}
	}
	return Usage("no hostile load is called %q", name)
}

func (plan *HostilePlan) attack(ctx context.Context, a attack, in io.Reader, out *json.Encoder) error {
	h := plan.here(a)
	done, err := h.prepare(ctx)
	if err != nil {
		h.leave()
		return out.Encode(prepared{Skipped: unwrapConnect(err).Error()})
	}
	if err := out.Encode(prepared{Done: done}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	var f finished
	if lines.Scan() {
		acting, stop := context.WithCancel(ctx)
		go func() {
			for lines.Scan() { // to the end
			}
			stop()
		}()
		if err := h.act(acting); err != nil && acting.Err() == nil {
			f.Error = err.Error()
			<-acting.Done()
		}
		stop()
	}
	f.Ended, _ = h.leave() // of this process it has no error
	return out.Encode(f)
}

// yieldCPU gives all threads of this process the lowest priority; later threads inherit it. A system that refuses
// leaves the figures worse than they are.
func yieldCPU() {
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, t := range tasks {
		if id, err := strconv.Atoi(filepath.Base(t)); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 19)
		}
	}
}
