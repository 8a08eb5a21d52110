package load

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAgainst(t *testing.T) {
	costs := []float64{100, 110, 100, 150, 100, 120} // floor, router, floor, …
	n := 0
	var told []string
	run := func(_ context.Context, side string) (*Report, error) {
		if want := []string{"floor", "router"}[n%2]; side != want {
			t.Errorf("run %d is of the %s, want the %s", n, side, want)
		}
		r := &Report{
			Scenario: "fanout", Router: &Process{CPUPerMessage: costs[n]},
			Latency: Latency{P50: 10, P99: costs[n]}, Verified: Verdict{OK: true},
			Trust: Trust{Judged: true, OK: true},
		}
		if n == 2 {
			r.Trust = Trust{Judged: true, OtherCPU: 1, Reasons: []string{"somebody compiled"}}
		}
		if n == 3 {
			r.Verified = Verdict{Failures: map[string]int64{"events lost": 2}}
		}
		n++
		return r, nil
	}
	r, err := Against(t.Context(), 3, run, func(round int, side string, _ *Report) {
		told = append(told, fmt.Sprint(round, side))
	})
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Floor; v.Median != 1.2 || v.Min != 1.1 || v.Max != 1.5 || len(v.Rounds) != 3 || v.MedianP50 != 1 ||
		v.MedianP99 != 1.2 || v.Unit != "cpu-ns/received" || r.Router.CPUPerMessage != 120 {
		t.Errorf("%+v, router of the median round %+v", v, r.Router)
	}
	if r.Verified.OK || r.Verified.Failures["round 2, router: events lost"] != 2 {
		t.Errorf("%+v", r.Verified)
	}
	reasons := strings.Join(r.Trust.Reasons, "; ")
	if r.Trust.OK || reasons != "round 2, floor: somebody compiled; the rounds disagree: ratios from 1.10 to 1.50" {
		t.Errorf("%q", reasons)
	}
	if len(told) != 6 || told[5] != "3router" {
		t.Errorf("told of %q", told)
	}
	broken := errors.New("broken")
	if _, err := Against(t.Context(), 1, func(context.Context, string) (*Report, error) { return nil, broken },
		nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	hidden := func(context.Context, string) (*Report, error) { return &Report{NoRouter: "hidden"}, nil }
	if _, err := Against(t.Context(), 1, hidden, nil); err == nil || !strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v", err)
	}
	var wrong *UsageError
	if _, err := Against(t.Context(), -1, hidden, nil); !errors.As(err, &wrong) {
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
