package load

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A CPUSet is some of the machine's CPUs, by the kernel's numbers.
type CPUSet struct{ set unix.CPUSet }

// GrantedCPUs returns the CPUs that this process may run on.
func GrantedCPUs() (c CPUSet, err error) {
	if err := unix.SchedGetaffinity(0, &c.set); err != nil {
		return c, fmt.Errorf("CPU affinity: %w", err)
	}
	return c, nil
}

// ParseCPUs reads a list as taskset does, without steps: 0, 0-3, 0,2-3.
func ParseCPUs(text string) (c CPUSet, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, aerr := strconv.ParseUint(first, 10, 16)
		b, berr := strconv.ParseUint(last, 10, 16)
		if aerr != nil || berr != nil || a > b || int(b) >= cpusMax {
			return CPUSet{}, Usage("CPUs %q: want numbers and ranges such as 0 or 0-1,3", text)
		}
		for i := a; i <= b; i++ {
			c.set.Set(int(i))
		}
	}
	return c, nil
}

// cpusMax is the number of CPUs in a unix.CPUSet.
const cpusMax = 1024

// String lists the CPUs as ParseCPUs reads them.
func (c CPUSet) String() string {
	var parts []string
	for i := 0; i < cpusMax; i++ {
		if !c.set.IsSet(i) {
			continue
		}
		first := i
		for i+1 < cpusMax && c.set.IsSet(i+1) {
			i++
		}
		if first == i {
			parts = append(parts, strconv.Itoa(i))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, i))
		}
	}
	return strings.Join(parts, ",")
}

// Count is how many there are.
func (c CPUSet) Count() int { return c.set.Count() }

// First returns the CPU with the lowest number.
func (c CPUSet) First() CPUSet {
	var one CPUSet
	for i := range cpusMax {
		if c.set.IsSet(i) {
			one.set.Set(i)
			break
		}
	}
	return one
}

// Without returns the CPUs of c that are not in other.
func (c CPUSet) Without(other CPUSet) CPUSet {
	for i := range cpusMax {
		if other.set.IsSet(i) {
			c.set.Clear(i)
		}
	}
	return c
}

// Pin restricts this process, and processes it starts meanwhile, to the CPUs, and GOMAXPROCS to their number, until
// undo is called.
func (c CPUSet) Pin() (undo func() error, err error) {
	before, err := GrantedCPUs()
	if err != nil {
		return nil, err
	}
	procs := runtime.GOMAXPROCS(0)
	undo = func() error {
		runtime.GOMAXPROCS(procs)
		return before.moveThreads()
	}
	if err := c.moveThreads(); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(c.Count())
	return undo, nil
}

// moveThreads moves all threads; new ones inherit it.
func (c CPUSet) moveThreads() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		// The thread may have ended meanwhile.
		if err := unix.SchedSetaffinity(tid, &c.set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("CPU affinity: %w", err)
		}
	}
	return nil
}

// Start calls start on a thread of these CPUs: a process that it starts runs on them. The thread then goes back to
// where it was.
func (c CPUSet) Start(start func() error) (err error) {
	runtime.LockOSThread()
	before, err := GrantedCPUs()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() {
		if back := unix.SchedSetaffinity(0, &before.set); back != nil {
			err = fmt.Errorf("CPU affinity: %w", back)
			return // the thread stays locked and ends with its goroutine: nobody else may run on the wrong CPUs
		}
		runtime.UnlockOSThread()
	}()
	if err := unix.SchedSetaffinity(0, &c.set); err != nil {
		return fmt.Errorf("CPU affinity: %w", err)
	}
	return start()
}
