package load

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// shell starts a shell command as the thing to measure.
func shell(t *testing.T, script string) (*Child, error) {
	return StartChild(t.Context(), "/bin/sh", "sh", []string{"-c", script}, "ws")
}

const patientChild = `trap 'exit 0' TERM; echo "listens on rs://1.2.3.4:5 and"; echo " x ws://1.2.3.4:5/ws"; while :; do sleep 0.05; done`

func TestChild(t *testing.T) {
	c, err := shell(t, patientChild)
	if err != nil {
		t.Fatal(err)
	}
	if c.URL != "ws://1.2.3.4:5/ws" || c.PID == 0 {
		t.Errorf("%+v", c)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	_, err = shell(t, "echo no port >&2; exit 7")
	if err == nil || !strings.Contains(err.Error(), "no port") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v", err)
	}
	if _, err := StartChild(t.Context(), "/nowhere/at/all", "x", nil, "ws"); err == nil {
		t.Error("a program that does not exist was started")
	}
}

func TestAgainst(t *testing.T) {
	start := func(context.Context) (*Child, error) { return shell(t, patientChild) }
	costs := []float64{100, 110, 100, 150, 100, 120} // floor, router, floor, …
	n := 0
	plan := VersusPlan{Rounds: 3, Floor: start, Router: start, Run: func(_ context.Context, url string, pid int) (*Report, error) {
		if url != "ws://1.2.3.4:5/ws" || pid == 0 {
			t.Errorf("told to run against %q, process %d", url, pid)
		}
		r := &Report{Scenario: "fanout", Router: &Process{CPUPerMessage: costs[n]}, Latency: Latency{P50: 10, P99: costs[n]}, Verified: Verdict{OK: true}, Trust: Trust{Judged: true, OK: true}}
		if n == 2 {
			r.Trust = Trust{Judged: true, OtherCPU: 1, Reasons: []string{"somebody compiled"}}
		}
		if n == 3 {
			r.Verified = Verdict{Failures: map[string]int64{"events lost": 2}}
		}
		n++
		return r, nil
	}}
	r, err := Against(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Floor; v.Median != 1.2 || v.Min != 1.1 || v.Max != 1.5 || len(v.Rounds) != 3 || v.MedianP50 != 1 || v.MedianP99 != 1.2 || v.Unit != "cpu-ns/received" || r.Router.CPUPerMessage != 120 {
		t.Errorf("%+v, router of the median round %+v", v, r.Router)
	}
	if r.Verified.OK || r.Verified.Failures["round 2, router: events lost"] != 2 {
		t.Errorf("%+v", r.Verified)
	}
	reasons := strings.Join(r.Trust.Reasons, "; ")
	if r.Trust.OK || reasons != "round 2, floor: somebody compiled; the rounds disagree: ratios from 1.10 to 1.50" {
		t.Errorf("%q", reasons)
	}
	n = 0
	plan.RunFloor = func(context.Context, string, int) (*Report, error) {
		return &Report{Router: &Process{CPUPerMessage: 50}, Verified: Verdict{OK: true}}, nil
	}
	if r, err = Against(t.Context(), plan); err != nil || r.Floor.Median != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	broken := errors.New("broken")
	plan.Run = func(context.Context, string, int) (*Report, error) { return nil, broken }
	plan.RunFloor = nil
	if _, err := Against(t.Context(), plan); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	plan.Run = func(context.Context, string, int) (*Report, error) { return &Report{NoRouter: "hidden"}, nil }
	if _, err := Against(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	plan.Rounds = -1
	var usage *UsageError
	if _, err := Against(t.Context(), plan); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
}

func TestCompareIdle(t *testing.T) {
	side := func(rss int64) *Report { return &Report{Scenario: "idle", Router: &Process{RSSPerSession: rss}} }
	r, unit, err := compare(side(3000), side(1500))
	if err != nil || unit != "bytes/session" || r.Ratio != 2 {
		t.Errorf("%+v %q %v", r, unit, err)
	}
}
