package compare

import (
	"context"
	"errors"
	"fmt"
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
	for figure, want := range map[string]string{"latency p50": "103 µs", "latency p99": "206 µs"} {
		i := slices.IndexFunc(table.Rows, func(r report.Row) bool { return r.Figure == figure })
		if i < 0 || table.Rows[i].Cells[0].Text != want || table.Rows[i].Cells[1].Kind != judge.Worse {
			t.Errorf("%s, want %s: %+v", figure, want, table.Rows)
		}
	}
}

// TestCostRatios: a round counts if both played it and lost little.
func TestCostRatios(t *testing.T) {
	d := report.New("")
	d.Runs = append(d.Runs,
		run("p", "x", 1, 200, 0), run("p", report.FloorName, 1, 100, 0),
		run("p", "x", 2, 900, 0), run("p", report.FloorName, 2, 300, 0),
		run("p", "x", 3, 200, 0), run("p", report.FloorName, 3, 1, 0.5),
		run("p", "x", 4, 1, 0.5), run("p", report.FloorName, 4, 100, 0),
		run("p", "x", 5, 200, 0), // the floor did not play it
		run("q", report.FloorName, 5, 100, 0),
	)
	if got, want := CostRatios(d, "p", "x"), (judge.Sample{2, 3}); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestBrief: the line of a round has the figures that there are, and says when they mean nothing.
func TestBrief(t *testing.T) {
	good := run("p", "x", 1, 1000, 0).Report
	bad := run("p", "x", 1, 1000, 0.5).Report
	idle := &load.Report{
		Scenario: "idle", Router: &load.Process{RSSPerSession: 2048}, Verified: load.Verdict{OK: true},
	}
	for want, r := range map[string]*load.Report{
		"1 000 000 events/s, 1000 ns of CPU per event":                      good,
		"1 000 000 events/s, 1000 ns of CPU per event, VERIFICATION FAILED": bad,
		"2.0 KiB per session": idle,
	} {
		if got := strings.ReplaceAll(brief(r), "\u202f", " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A played stage notes who played.
type played struct {
	runs  []string
	lacks string // the peer that does not play
	fails string // the peer whose second run fails
}

func (s *played) Try(_ context.Context, _ *peers.Plan, p *peers.Peer) (note string, err error) {
	if p.Name == s.lacks {
		return "", errors.New("it is not able to")
	}
	return "fewer in flight", nil
}

func (s *played) Once(_ context.Context, plan *peers.Plan, p *peers.Peer) (*load.Report, error) {
	if p.Name == s.fails && slices.Contains(s.runs, p.Name) {
		return nil, errors.New("it broke")
	}
	s.runs = append(s.runs, p.Name)
	return run(plan.Name, p.Name, len(s.runs), 100, 0).Report, nil
}

// TestRounds: every second round goes the other way round, with those who play, and an error says where it happened.
func TestRounds(t *testing.T) {
	plan, err := peers.ParsePlan("fanout")
	if err != nil {
		t.Fatal(err)
	}
	s := &played{lacks: "xconn"}
	c := &comparison{
		Options: Options{Peers: []string{"banyan", "xconn", "nexus", "floor"}, Rounds: 3},
		doc:     report.New(""), stage: s,
	}
	var told []string
	c.Told = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	for _, name := range c.Peers {
		c.ready = append(c.ready, &peers.Peer{Name: name})
	}
	if err := c.compare(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"banyan", "nexus", "floor", "floor", "nexus", "banyan", "banyan", "nexus", "floor",
	}
	if !slices.Equal(s.runs, want) {
		t.Errorf("played: %v, want %v", s.runs, want)
	}
	for i, r := range c.doc.Runs {
		if r.Peer != want[i] || r.Round != i/3+1 || r.Plan != plan.Name {
			t.Errorf("run %d: %s, round %d of %s", i, r.Peer, r.Round, r.Plan)
		}
	}
	if len(told) != 1+len(want) || told[0] != "xconn     does not play fanout: it is not able to" ||
		!strings.HasPrefix(told[9], "fanout  round 3 of 3  floor     ") {
		t.Errorf("told %q", told)
	}
	if len(c.doc.Tables) != 1 || !slices.Equal(c.doc.Tables[0].Peers, []string{"banyan", "nexus", "floor"}) {
		t.Errorf("tables %+v", c.doc.Tables)
	}
	c.doc, c.stage = report.New(""), &played{fails: "nexus"}
	err = c.compare(t.Context(), plan)
	if err == nil || !strings.Contains(err.Error(), "fanout, nexus, round 2: it broke") {
		t.Errorf("got %v", err)
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
