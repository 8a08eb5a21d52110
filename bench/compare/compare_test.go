package compare

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"banyan/bench"
	"banyan/bench/report"
)

func TestParsePlan(t *testing.T) {
	for text, want := range map[string]plan{
		"fanout":         {"fanout", "fanout", 100, 32},
		"fanout:1000":    {"fanout:1000", "fanout", 1000, 32},
		"fanout:10x1":    {"fanout:10x1", "fanout", 10, 1},
		"rpc":            {"rpc", "rpc", 16, 64},
		"rpc:1x1":        {"rpc:1x1", "rpc", 1, 1},
		"rpc:100000x100": {"rpc:100000x100", "rpc", 100000, 100},
		"topics:10x1":    {"topics:10x1", "topics", 10, 1},
		"idle:500":       {"idle:500", "idle", 500, 1},
	} {
		p, err := parsePlan(text)
		if err != nil || *p != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "fan", "fanout:", "fanout:0", "fanout:-1", "fanout:1x", "fanout:1x0", "rpc:1000001", "storm:1x2", "rpc:1x2x3"} {
		var wrong *UsageError
		if _, err := parsePlan(text); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTest(t *testing.T) {
	base := sample{100, 101, 102, 103, 104}
	times := func(s sample, x float64) sample {
		out := slices.Clone(s)
		for i := range out {
			out[i] *= x
		}
		return out
	}
	for name, c := range map[string]struct {
		s      sample
		better int
		want   report.Kind
		text   string
	}{
		"cheaper":    {times(base, 0.5), -1, report.Better, "0.50 ×, p=0.008"},
		"dearer":     {times(base, 20), -1, report.Worse, "20.0 ×, p=0.008"},
		"faster":     {times(base, 2), +1, report.Better, "2.00 ×, p=0.008"},
		"slower":     {times(base, 0.9), +1, report.Worse, "0.90 ×, p=0.008"},
		"equal":      {sample{104, 100, 102, 101, 103}, -1, report.Same, "no difference (p=1.00)"},
		"noisy":      {sample{50, 180, 102, 99, 130}, -1, report.Noisy, "too noisy to tell (p="},
		"few rounds": {times(base[:3], 20), -1, report.Noisy, "too few rounds to tell (19.8 ×)"},
	} {
		o := test(base, c.s, c.better)
		if text := o.text(len(c.s)); o.kind != c.want || !strings.HasPrefix(text, c.text) {
			t.Errorf("%s: %s, %q", name, o.kind, text)
		}
	}
	if o := test(nil, base, 1); o.kind != report.Noisy || !math.IsNaN(o.ratio) {
		t.Errorf("against nothing: %+v", o)
	}
}

// run is a report with a cost, and a share of lost messages.
func run(plan, peer string, round int, cost, lost float64) report.Run {
	r := &bench.Report{
		Scenario: "fanout", PerSecond: 1e9 / cost, Received: 1000, Router: &bench.Process{CPUPerMessage: cost, RSSBytes: 1 << 20},
		Latency:  bench.Latency{Count: 1000, P50: cost, P99: 2 * cost},
		Verified: bench.Verdict{OK: lost == 0, Expected: 1000, Received: 1000 - int64(1000*lost)},
	}
	return report.Run{Plan: plan, Peer: peer, Round: round, Report: r}
}

func TestJudge(t *testing.T) {
	d := report.New("")
	for i := 1; i <= 5; i++ {
		x := float64(i)
		d.Runs = append(
			d.Runs,
			run("fanout", "banyan", i, 100+x, 0), run("fanout", "nexus", i, 2500+x, 0.001),
			run("fanout", report.FloorName, i, 50+x/2, 0), run("fanout", "xconn", i, 1, 0.5),
		)
	}
	p, err := parsePlan("fanout")
	if err != nil {
		t.Fatal(err)
	}
	table, verdicts := judge(d, p, []string{"banyan", "crossbar", "nexus", "floor", "xconn"})
	if want := []string{"banyan", "nexus", "floor", "xconn"}; !slices.Equal(table.Peers, want) {
		t.Fatalf("peers %v, want %v", table.Peers, want)
	}
	if want := []string{
		"fanout: nexus needs 24.3 × the CPU time per event of banyan (p=0.008, 5 rounds).",
		"fanout: floor needs 0.50 × the CPU time per event of banyan (p=0.008, 5 rounds).",
	}; !slices.Equal(verdicts, want) {
		t.Errorf("verdicts %q", verdicts)
	}
	if row := table.Rows[0]; row.Cells[1].Kind != report.Worse || row.Cells[2].Kind != report.Better || row.Cells[3].Text != "–" {
		t.Errorf("costs %+v", row)
	}
	// Twice the floor in every round, though the rounds differ.
	if row := table.Rows[1]; row.Cells[0].Text != "2.00 ×" || row.Cells[2].Text != "1.00 ×" || row.Cells[3].Text != "–" {
		t.Errorf("multiples %+v", row)
	}
	if row := table.Rows[2]; row.Figure != "events/s" || row.Cells[1].Kind != report.Worse {
		t.Errorf("throughput %+v", row)
	}
}

func TestUsage(t *testing.T) {
	for name, o := range map[string]Options{
		"no rounds":    {Peers: []string{"banyan"}, Plans: []string{"rpc"}},
		"no peers":     {Plans: []string{"rpc"}, Rounds: 1},
		"no plans":     {Peers: []string{"banyan"}, Rounds: 1},
		"unknown peer": {Peers: []string{"mosquitto"}, Plans: []string{"rpc"}, Rounds: 1},
		"twice":        {Peers: []string{"banyan", "banyan"}, Plans: []string{"rpc"}, Rounds: 1},
		"unknown plan": {Peers: []string{"banyan"}, Plans: []string{"rps"}, Rounds: 1},
	} {
		var wrong *UsageError
		if _, err := Run(context.Background(), o); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCannotRun tells why each peer could not take part.
func TestCannotRun(t *testing.T) {
	d, err := Run(context.Background(), Options{
		Peers: []string{"nexus", "nats"}, Plans: []string{"rpc"}, Rounds: 1, Source: t.TempDir(), Cache: t.TempDir(), Scratch: t.TempDir(),
	})
	if err == nil || d == nil {
		t.Fatalf("%v, %v", d, err)
	}
	for _, p := range d.Peers {
		if !strings.Contains(p.Skipped, "bench/peers/"+p.Name) {
			t.Errorf("%s: %q", p.Name, p.Skipped)
		}
	}
}

// TestProcessThatDoesNotListen tells what the process said before it ended.
func TestProcessThatDoesNotListen(t *testing.T) {
	p := &peer{
		command: func(string) []string { return []string{"sh", "-c", "echo out of luck >&2; exit 3"} },
		url:     func(address string) string { return address },
	}
	_, err := p.start(context.Background(), t.TempDir()+"/log")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: out of luck") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.command = func(string) []string { return []string{"sleep", "1000"} }
	if _, err := p.start(ctx, t.TempDir()+"/log"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
