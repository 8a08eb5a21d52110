package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// pin puts this process, and what it starts meanwhile, on one CPU, until undo is called.
func pin() (undo func() error, err error) {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("CPU affinity: %w", err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	one.Set(cpu)
	procs := runtime.GOMAXPROCS(0)
	undo = func() error {
		runtime.GOMAXPROCS(procs)
		return setAffinity(&allowed)
	}
	if err := setAffinity(&one); err != nil {
		return nil, err
	}
	runtime.GOMAXPROCS(1)
	return undo, nil
}

// setAffinity moves all threads; new ones inherit it.
func setAffinity(set *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		// A thread that has ended meanwhile needs no CPU.
		if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
			return fmt.Errorf("CPU affinity: %w", err)
		}
	}
	return nil
}
