package bench

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTargetsAreChecked: every target has checks that can be computed from what it runs.
func TestTargetsAreChecked(t *testing.T) {
	seen := map[string]bool{}
	for _, target := range targets() {
		if seen[target.work] || target.run == nil || len(target.checks) == 0 {
			t.Errorf("%q is twice or empty", target.work)
		}
		seen[target.work] = true
		for _, c := range target.checks {
			if (c.ofReport != nil) != target.alone || (c.ofRound == nil) != target.alone || c.most <= 0 {
				t.Errorf("%q, %s: does not fit what is run", target.work, c.figure)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	target := target{work: "some work", checks: []check{cost("floor", 1.25), median(1.1)}}
	for _, c := range []struct {
		failures int64
		doubts   []string
		want     [2]string // ends of the lines
	}{
		{0, nil, [2]string{"1.20  at most 1.25  (1.10 to 1.40)  met", "1.20  at most 1.1   (1.10 to 1.30)  MISSED"}},
		{2, nil, [2]string{"FAILED, 2 messages", "FAILED, 2 messages"}},
		{0, []string{"noise", "more"}, [2]string{"met, not trustworthy: noise", "MISSED, not trustworthy: noise"}},
	} {
		got := target.outcomes([][]float64{{1.4, 1.1, 1.2}, {1.3, 1.1}}, &Trust{Reasons: c.doubts}, c.failures)
		for i, o := range got {
			var line strings.Builder
			o.Print(&line)
			if !strings.HasSuffix(line.String(), c.want[i]+"\n") || !strings.HasPrefix(line.String(), "some work ") {
				t.Errorf("got %q, want %q", line.String(), c.want[i])
			}
		}
		if got[0].Met != (c.failures == 0) || got[1].Met {
			t.Errorf("%+v", got)
		}
	}
}

func TestTargetsErrors(t *testing.T) {
	var usage *UsageError
	if _, err := Targets(t.Context(), TargetsPlan{Only: "what nobody measures"}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
	if _, err := Targets(t.Context(), TargetsPlan{Rounds: -1}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
	broken := errors.New("broken")
	start := func(context.Context, string) (*Child, error) { return nil, broken }
	for _, only := range []string{"rpc 1 x 1", "idle"} {
		if _, err := Targets(t.Context(), TargetsPlan{Only: only, Floor: start, Router: start}); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
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
	undo, err := pin()
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
