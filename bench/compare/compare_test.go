package compare

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// run is a report with a cost, and a share of lost messages.
func run(plan, peer string, round int, cost, lost float64) report.Run {
	r := &load.Report{
		Scenario: "fanout", PerSecond: 1e9 / cost, Received: 1000,
		Router:   &load.Process{CPUPerMessage: cost, RSSBytes: 1 << 20},
		Latency:  load.Latency{Count: 1000, P50: cost, P99: 2 * cost},
		Verified: load.Verdict{OK: lost == 0, Expected: 1000, Received: 1000 - int64(1000*lost)},
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
	for _, r := range d.Of("fanout", "banyan") {
		r.Router.SyscallsPerMessage = 0.5
	}
	p, err := peers.ParsePlan("fanout")
	if err != nil {
		t.Fatal(err)
	}
	table, verdicts := table(d, p, []string{"banyan", "crossbar", "nexus", "floor", "xconn"})
	if want := []string{"banyan", "nexus", "floor", "xconn"}; !slices.Equal(table.Peers, want) {
		t.Fatalf("peers %v, want %v", table.Peers, want)
	}
	if want := []string{
		"fanout: nexus needs 24.3 × the CPU time per event of banyan (p=0.008, 5 rounds).",
		"fanout: floor needs 0.50 × the CPU time per event of banyan (p=0.008, 5 rounds).",
	}; !slices.Equal(verdicts, want) {
		t.Errorf("verdicts %q", verdicts)
	}
	if row := table.Rows[0]; row.Cells[1].Kind != judge.Worse || row.Cells[2].Kind != judge.Better ||
		row.Cells[3].Text != "–" {
		t.Errorf("costs %+v", row)
	}
	// Twice the floor in every round, though the rounds differ.
	if row := table.Rows[1]; row.Cells[0].Text != "2.00 ×" || row.Cells[2].Text != "1.00 ×" ||
		row.Cells[3].Text != "–" {
		t.Errorf("multiples %+v", row)
	}
	i := slices.IndexFunc(table.Rows, func(r report.Row) bool { return r.Figure == "system calls per event" })
	if i < 0 || table.Rows[i].Cells[0].Text != "0.5000" || table.Rows[i].Cells[1].Delta != "not known" ||
		table.Rows[i].Cells[3].Delta != "no usable round" {
		t.Errorf("system calls in %+v", table.Rows)
	}
	if row := table.Rows[2]; row.Figure != "events/s" || row.Cells[1].Kind != judge.Worse {
		t.Errorf("throughput %+v", row)
	}
}

// TestUncounted: who could not be counted is told.
func TestUncounted(t *testing.T) {
	counted := &load.Report{Router: &load.Process{SyscallsPerMessage: 1}}
	hidden := &load.Report{Router: &load.Process{NoSyscalls: "no permission"}}
	if why := uncounted([]*load.Report{counted, {}}); why != "" {
		t.Errorf("%q", why)
	}
	if why := uncounted([]*load.Report{counted, hidden}); why != "system calls not counted: no permission" {
		t.Errorf("%q", why)
	}
}

func TestUsage(t *testing.T) {
	for name, o := range map[string]Options{
		"no rounds":    {Peers: []string{"banyan"}, Plans: []string{"rpc"}},
		"no peers":     {Plans: []string{"rpc"}, Rounds: 1},
		"no plans":     {Peers: []string{"banyan"}, Rounds: 1},
		"unknown peer": {Peers: []string{"mosquitto"}, Plans: []string{"rpc"}, Rounds: 1},
		"twice":        {Peers: []string{"banyan", "banyan"}, Plans: []string{"rpc"}, Rounds: 1},
		"unknown transport": {
			Setup: peers.Setup{Transport: "tcp"}, Peers: []string{"banyan"}, Plans: []string{"rpc"},
			Rounds: 1,
		},
		"rate too high":   {Peers: []string{"banyan"}, Plans: []string{"rpc"}, Rounds: 1, Rate: 1e10},
		"rate of nothing": {Peers: []string{"banyan"}, Plans: []string{"idle"}, Rounds: 1, Rate: 10},
		"unknown plan":    {Peers: []string{"banyan"}, Plans: []string{"rps"}, Rounds: 1},
	} {
		var wrong *load.UsageError
		if _, err := Run(context.Background(), o); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCannotRun tells why each peer could not take part.
func TestCannotRun(t *testing.T) {
	d, err := Run(context.Background(), Options{
		Peers: []string{"nexus", "nats"}, Plans: []string{"rpc"}, Rounds: 1,
		Setup: peers.Setup{Source: t.TempDir(), Cache: t.TempDir(), Scratch: t.TempDir()},
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
