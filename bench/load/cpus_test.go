package load

import (
	"errors"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "0-3": "0-3", "5,1-2,3": "1-3,5", "1023": "1023",
		"7,7": "7",
	} {
		c, err := ParseCPUs(text)
		if err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "-1", "1-", "2-1", "1024", "a", "0,", "0x1", "99999999999"} {
		var wrong *UsageError
		if c, err := ParseCPUs(text); !errors.As(err, &wrong) {
			t.Errorf("%q: %s, %v", text, c, err)
		}
	}
}

func TestCPUSets(t *testing.T) {
	all, err := ParseCPUs("2-5,9")
	if err != nil {
		t.Fatal(err)
	}
	some, err := ParseCPUs("0-3")
	if err != nil {
		t.Fatal(err)
	}
	if rest := all.Without(some); rest.String() != "4-5,9" || rest.Count() != 3 || all.Count() != 5 {
		t.Errorf("%s without %s is %s", all, some, rest)
	}
	if first := all.First(); first.String() != "2" {
		t.Errorf("first of %s is %s", all, first)
	}
	if none := (CPUSet{}); none.String() != "" || none.First().Count() != 0 {
		t.Errorf("of nothing: %q", none)
	}
}

// threadCPUs returns on how many CPUs the threads of this process may run: the most and the least of them.
func threadCPUs(t *testing.T) (most, least int) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	least = 1 << 30
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			t.Fatal(err)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &set); err != nil {
			continue // it has ended
		}
		most, least = max(most, set.Count()), min(least, set.Count())
	}
	return most, least
}

// TestPin: all threads are on one CPU, and back where they were.
func TestPin(t *testing.T) {
	var before, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	granted, err := GrantedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	undo, err := granted.First().Pin()
	if err != nil {
		t.Fatal(err)
	}
	if most, least := threadCPUs(t); most != 1 || least != 1 {
		t.Errorf("threads may run on %d to %d CPUs", least, most)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("%v, before %v, after %v", err, before, after)
	}
	if _, least := threadCPUs(t); least != before.Count() {
		t.Errorf("a thread is still on %d CPUs", least)
	}
}

// TestStartOnCPUs: what start starts runs there, and nothing else moves.
func TestStartOnCPUs(t *testing.T) {
	granted, err := GrantedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	one := granted.First()
	var inside CPUSet
	broken := errors.New("broken")
	err = one.Start(func() (err error) {
		if inside, err = GrantedCPUs(); err != nil {
			t.Error(err)
		}
		return broken
	})
	if !errors.Is(err, broken) || inside != one {
		t.Errorf("%v, on %s instead of %s", err, inside, one)
	}
	if _, least := threadCPUs(t); least != granted.Count() {
		t.Errorf("a thread is still on %d CPUs", least)
	}
	if err := (CPUSet{}).Start(func() error { t.Error("started nowhere"); return nil }); err == nil {
		t.Error("a thread on no CPU")
	}
}
