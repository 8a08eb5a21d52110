package load

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"banyan/bench/client"
)

// A process is a process of this machine whose CPU time and memory can be read.
type process struct{ pid int }

// cpu returns the CPU time the process has used so far, user and system, all threads, from the kernel's clock of that
// process: in nanoseconds, where /proc/PID/stat counts in hundredths of a second.
func (p process) cpu() (time.Duration, error) {
	var ts unix.Timespec
	const sched = 2 // CPUCLOCK_SCHED of the process, not of a thread
	if err := unix.ClockGettime(int32(^p.pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", p.pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// rss returns the resident bytes.
func (p process) rss() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("unexpected %q in statm", b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// name is the command's short name.
func (p process) name() string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.pid))
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(b))
}

var errNotLocal = errors.New("the router does not run on this machine, or another user's process hides it; give " +
	"its pid")

// findProcess finds the process that listens where url leads.
func findProcess(url string) (process, error) {
	network, target, err := client.Socket(url)
	if err != nil {
		return process{}, err
	}
	var inodes map[string]bool
	if network == "unix" {
		inodes, err = unixListeners(target)
	} else {
		inodes, err = tcpListeners(target)
	}
	if err != nil {
		return process{}, err
	}
	if len(inodes) == 0 {
		return process{}, errNotLocal
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return process{}, err
	}
	for _, l := range links {
		// Processes end meanwhile, and those of other users cannot be read: skip both.
		to, err := os.Readlink(l)
		if err != nil || !strings.HasPrefix(to, "socket:[") {
			continue
		}
		if inodes[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] {
			pid, err := strconv.Atoi(strings.Split(l, "/")[2])
			return process{pid}, err
		}
	}
	return process{}, errNotLocal
}

// tcpListeners returns the socket inodes that listen on target's port, if target's host
// is an address of this machine.
func tcpListeners(target string) (map[string]bool, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	local, err := isLocal(host)
	if err != nil || !local {
		return nil, err
	}
	inodes := map[string]bool{}
	suffix := strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 8), byte(n)}))
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		err := eachLine(file, func(f []string) {
			const listen = "0A"
			if len(f) > 9 && f[3] == listen && strings.HasSuffix(f[1], ":"+suffix) {
				inodes[f[9]] = true
			}
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return inodes, nil
}

func unixListeners(path string) (map[string]bool, error) {
	inodes := map[string]bool{}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	err = eachLine("/proc/net/unix", func(f []string) {
		if len(f) > 7 && (f[7] == path || f[7] == absolute) {
			inodes[f[6]] = true
		}
	})
	return inodes, err
}

func isLocal(host string) (bool, error) {
	addrs, err := net.LookupIP(host)
	if err != nil {
		return false, err
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false, err
	}
	for _, a := range addrs {
		if a.IsLoopback() {
			return true, nil
		}
		for _, o := range own {
			if n, ok := o.(*net.IPNet); ok && n.IP.Equal(a) {
				return true, nil
			}
		}
	}
	return false, nil
}

func eachLine(file string, f func(fields []string)) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f(strings.Fields(lines.Text()))
	}
	return lines.Err()
}
