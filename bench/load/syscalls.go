package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"banyan/bench/judge"
)

// Values of Options.Syscalls: the tools that count a process's system calls. They run in a window of their own after
// the measured time, while the load goes on, so they do not disturb the figures. strace slows the router down many
// times: its count is that of a slower load.
const (
	SyscallsNone   = ""
	SyscallsPerf   = "perf"
	SyscallsStrace = "strace"
)

const (
	syscallsWindow = time.Second
	straceStop     = 10 * time.Second // after SIGINT, before it is killed
)

// countSyscalls counts for a window and puts the count per message into m.
func (m *readings) countSyscalls(ctx context.Context, r *run) {
	if r.Syscalls == SyscallsNone || m.router.pid == 0 || ctx.Err() != nil {
		return
	}
	received, at := r.received.Load(), r.now()
	perSecond, err := SyscallsOf(ctx, r.Syscalls, m.router.pid)
	messages := judge.Ratio(float64(r.received.Load()-received), (r.now() - at).Seconds())
	switch {
	case err != nil:
		m.noSyscalls = err.Error()
	case messages == 0:
		m.noSyscalls = "no messages to count them by"
	default:
		m.syscalls = perSecond / messages
	}
}

// SyscallsOf counts with tool for a second how many system calls per second a process makes.
func SyscallsOf(ctx context.Context, tool string, pid int) (perSecond float64, err error) {
	if tool == SyscallsStrace {
		return straceSyscalls(ctx, pid, syscallsWindow)
	}
	return perfSyscalls(ctx, pid, syscallsWindow)
}

// perfSyscalls returns the system calls per second of a process.
func perfSyscalls(ctx context.Context, pid int, window time.Duration) (float64, error) {
	path, err := exec.LookPath("perf")
	if err != nil {
		return 0, errors.New("perf is not installed")
	}
	cmd := exec.CommandContext(ctx, path, "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", strconv.Itoa(pid),
		"--", "sleep", strconv.FormatFloat(window.Seconds(), 'f', 3, 64))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput() // perf writes its counts to standard error
	if err != nil {
		return 0, fmt.Errorf("perf: %w: %s", err, firstLine(out))
	}
	return parsePerf(out, window)
}

// parsePerf reads perf's line value,unit,event,… of the window.
func parsePerf(out []byte, window time.Duration) (float64, error) {
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if len(f) < 3 || !strings.HasPrefix(f[2], "raw_syscalls:sys_enter") {
			continue
		}
		n, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			return 0, fmt.Errorf("perf: %s", f[0]) // <not counted>, <not supported>
		}
		return n / window.Seconds(), nil
	}
	return 0, fmt.Errorf("perf: %s", firstLine(out))
}

// straceSyscalls returns the system calls per second of a process that is slowed down by counting them.
func straceSyscalls(ctx context.Context, pid int, window time.Duration) (float64, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return 0, errors.New("strace is not installed")
	}
	ctx, cancel := context.WithTimeout(ctx, window)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "-c", "-f", "-qq", "-U", "calls,name", "-p", strconv.Itoa(pid))
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stderr = &out
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGINT) } // it prints what it has
	cmd.WaitDelay = straceStop
	start := time.Now()
	err = cmd.Run()
	if ctx.Err() == nil && err != nil {
		return 0, fmt.Errorf("strace: %w: %s", err, firstLine(out.Bytes()))
	}
	n, err := parseStrace(out.String())
	return n / min(time.Since(start), window).Seconds(), err
}

// parseStrace reads the total of strace's table.
func parseStrace(out string) (float64, error) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) == 2 && f[1] == "total" {
			return strconv.ParseFloat(f[0], 64)
		}
	}
	return 0, fmt.Errorf("strace: %s", firstLine([]byte(out)))
}

// firstLine is the first line that says something.
func firstLine(b []byte) string {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return "it says nothing"
}
