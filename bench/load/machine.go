package load

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"banyan/bench/judge"
)

// clockTick is the unit of /proc/stat and /proc/PID/stat: USER_HZ, 100 on every architecture that Go runs on.
const clockTick = 10 * time.Millisecond

// A machineReading is how much CPU time the whole machine has used.
type machineReading struct {
	programs  time.Duration // user and system time of all; interrupts count for no program
	stolen    time.Duration // taken by the host
	processes map[int]processReading
}

// A processReading is one line of /proc/PID/stat.
type processReading struct {
	used   time.Duration // CPU time, including that of children that have been waited for
	parent int
}

// readMachine reads what the kernel tells. A value that it hides is 0 in every reading, so differences are 0 too.
func readMachine() machineReading {
	m := machineReading{processes: map[int]processReading{}}
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m
	}
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	f := strings.Fields(string(line)) // cpu user nice system idle iowait irq softirq steal …
	ticks := func(i int) time.Duration {
		if i >= len(f) {
			return 0
		}
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0
		}
		return time.Duration(n) * clockTick
	}
	m.programs = ticks(1) + ticks(2) + ticks(3)
	m.stolen = ticks(8)
	all, err := os.ReadDir("/proc")
	if err != nil {
		return m
	}
	for _, e := range all {
		name := e.Name()
		if name[0] < '1' || name[0] > '9' { // not a process
			continue
		}
		if b, err := os.ReadFile("/proc/" + name + "/stat"); err == nil {
			if pid, p, ok := parseStat(string(b)); ok {
				m.processes[pid] = p
			}
		}
	}
	return m
}

// parseStat reads /proc/PID/stat. The command in it, in parentheses, may contain any character.
func parseStat(line string) (pid int, p processReading, ok bool) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return 0, p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
	f := strings.Fields(line[end+1:])
	// fields count from 1, and the first behind the command is the third
	const parent, utime, cstime = 4 - 3, 14 - 3, 17 - 3
	if err != nil || len(f) <= cstime {
		return 0, p, false
	}
	if p.parent, err = strconv.Atoi(f[parent]); err != nil {
		return 0, p, false
	}
	for _, v := range f[utime : cstime+1] {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return 0, p, false
		}
		p.used += time.Duration(n) * clockTick
	}
	return pid, p, true
}

// others returns the CPU share of all programs but router and clients, and names the busiest. It takes the larger of
// two incomplete counts: the total of the machine minus ours (which leaves interrupts out), and the sum over the
// processes seen (which misses short ones).
func (m *readings) others(seconds float64) (share float64, who string) {
	ours := (m.routerCPU[1] - m.routerCPU[0]) + (m.ownCPU[1] - m.ownCPU[0])
	whole := m.machine[1].programs - m.machine[0].programs - ours
	used := map[int]time.Duration{}
	for pid, after := range m.machine[1].processes {
		if before, seen := m.machine[0].processes[pid]; seen {
			used[pid] += after.used - before.used
		}
	}
	// A parent that waited for a child meanwhile has been charged with the child's whole life.
	for pid, before := range m.machine[0].processes {
		if _, lives := m.machine[1].processes[pid]; !lives {
			used[before.parent] -= before.used
		}
	}
	var sum, most time.Duration
	busiest := 0
	for pid, used := range used {
		if pid == m.router.pid || pid == os.Getpid() || pid == os.Getppid() {
			continue // our parent has been charged with our children
		}
		sum += max(used, 0)
		if used > most {
			most, busiest = used, pid
		}
	}
	if share := judge.Ratio(most.Seconds(), seconds); share > otherCPUMax/4 {
		who = fmt.Sprintf(", most of all %s (pid %d, %.0f %%)", process{busiest}.name(), busiest, 100*share)
	}
	return judge.Ratio(max(whole, sum).Seconds(), seconds), who
}
