package targets

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// A fake is a stage without processes: every run costs what it is told to cost.
type fake struct {
	rounds  []int              // of plans that have rounds of their own
	cost    map[string]float64 // by peer; ns
	lacking map[string]error   // peers that cannot be prepared
	broken  map[string]error   // peers that do not run
	lose    map[string]int64   // messages that each run of the peer loses, of 1000
	notes   map[string]string  // of trials
	doubt   map[string]string  // what disturbs each run of the peer, or some of them
	calm    int                // so many of the first runs are not disturbed
	// factor, when set, is what the n-th run of a plan costs more, from 0.
	factor func(plan string, n int) float64
	played map[string]int // runs by plan
	runs   []string       // what ran: the plan, a slash, the peer
	tried  []string
	after  func(n int) // called after the n-th run
}

func (f *fake) prepare(_ context.Context, peer string) error { return f.lacking[peer] }

func (f *fake) describe(peer string) report.Peer { return report.Peer{Name: peer, Version: "1"} }

func (f *fake) try(_ context.Context, plan *peers.Plan, peer string) (string, error) {
	f.tried = append(f.tried, plan.Name+"/"+peer)
	return f.notes[peer], nil
}

func (f *fake) once(_ context.Context, plan *peers.Plan, peer string) (*load.Report, error) {
	f.runs = append(f.runs, plan.Name+"/"+peer)
	if plan.Rounds > 0 {
		f.rounds = append(f.rounds, plan.Rounds)
	}
	if f.after != nil {
		f.after(len(f.runs))
	}
	if err := f.broken[peer]; err != nil {
		return nil, err
	}
	r := &load.Report{
		Scenario: plan.Scenario, Plan: load.Plan{InFlight: plan.InFlight},
		Latency: load.Latency{P50: f.cost[peer] / 10, P99: f.cost[peer]},
		Router:  &load.Process{CPUPerMessage: f.cost[peer], RSSPerSession: 2048},
		Figures: []load.Figure{
			{Name: "after", Value: 1},
			{Name: "cost", Value: 5},
			{Name: "p99 ratio", Value: 1.05},
			{Name: "worst ratio", Value: 1},
			{Name: "joining", Value: 40},
			{Name: "subscribing", Value: 12},
		},
		Verified: load.Verdict{OK: true, Expected: 1000, Received: 1000},
		Trust:    load.Trust{Judged: true, OK: true},
	}
	if f.factor != nil {
		r.Router.CPUPerMessage *= f.factor(plan.Name, f.played[plan.Name])
		f.played[plan.Name]++
	}
	if r.BytesPerMessage = 1000; plan.Access.Deflate {
		r.BytesPerMessage = 300
	}
	if n := f.lose[peer]; n > 0 {
		r.Verified = load.Verdict{Expected: 1000, Received: 1000 - n, Failures: map[string]int64{"events lost": n}}
	}
	if why := f.doubt[peer]; why != "" && len(f.runs) > f.calm {
		r.Trust = load.Trust{Judged: true, OtherCPU: 0.5, Reasons: []string{why}}
	}
	return r, nil
}

// newFake costs what meets every target.
func newFake() *fake {
	return &fake{cost: map[string]float64{
		"banyan": 100, "floor": 1000, "nexus": 1e4, "xconn": 1e4, "nats": 1e3,
		"crossbar": 1e5,
	}}
}

func verdicts(d *report.Document) map[string]report.Target {
	all := map[string]report.Target{}
	for _, t := range d.Targets {
		all[t.Work+": "+t.Figure] = t
	}
	return all
}

// TestTable: every row has a name of its own, checks, and limits; bases are ours, and checks name what plays.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table(20_000) {
		if seen[r.Name] || r.Name == "" || r.Scenario == "" || r.Size < 1 || len(r.checks) == 0 {
			t.Errorf("%q is twice or empty", r.Name)
		}
		seen[r.Name] = true
		usesBase := false
		for _, c := range r.checks {
			isPeer := slices.Contains(peers.Names(), c.with) && c.with != ours && c.with != report.FloorName
			isBase := r.base != nil && c.with == r.base.Name
			usesBase = usesBase || isBase
			if c.of == nil || c.limit.Value <= 0 || c.limit.AtLeast != isPeer {
				t.Errorf("%q, %s: %+v", r.Name, c.figure, c)
			}
			if !isPeer && !isBase && c.with != "" && c.with != report.FloorName {
				t.Errorf("%q, %s: against %q, which does not play", r.Name, c.figure, c.with)
			}
		}
		if usesBase != (r.base != nil) {
			t.Errorf("%q: its base serves no check", r.Name)
		}
	}
	// What the issue asks for against others.
	for _, want := range []string{
		"fan-out to 10: nexus's cost / ours at least 25", "fan-out to 5000: nats's cost / ours at least 10",
		"fan-out to 1000: nats's cost / ours at least 2.5",
		"fan-out to 1000, 1 KiB: xconn's cost / ours at least 18",
		"fan-out to 100, one in flight: nats's cost / ours at least 1",
		"10 000 topics with three each: nats's cost / ours at least 1",
		"rpc 1 x 1 on one CPU: nats's p50 / ours at least 1",
		"rpc 16 x 64: nexus's cost / ours at least 12", "rpc 1 x 64: nats's cost / ours at least 2",
		"progressive results: nexus's cost / ours at least 8",
		"fan-out to 100: crossbar's cost / ours at least 35", "rpc 16 x 64: crossbar's cost / ours at least 80",
		"fan-out to 100 over TLS, one at a time: cost / floor at most 1.5",
		"open over TLS, HELLO, GOODBYE, close: cost / floor at most 1.2",
		"fan-out to 100, 1 000 rules in 50 roles: cost / one rule at most 1.02",
		"rpc 16 x 64, 1 000 rules in 50 roles: cost / one rule at most 1.02",
		"fan-out to 100, decided by an authorizer: cost / one rule at most 1.02",
		"rpc 16 x 64, decided by an authorizer: cost / one rule at most 1.02",
		"fan-out to 100, history in memory: cost / without at most 1.15",
		"fan-out to 100, history on disk: cost / without at most 1.5",
		"10 000 subscribe and get what is retained: subscribing / nothing retained at most 1.5",
		"10 000 subscribe and get what is retained: cost / nothing retained at most 1.5",
		"10 000 join, one is told of each: joining / nobody told at most 1.2",
		"fan-out to 10, 1 KiB: cost / floor at most 1.25", "19 600 idle sessions: KiB per session at most 3",
	} {
		if !slices.ContainsFunc(table(19_600), func(r row) bool {
			return slices.ContainsFunc(r.checks, func(c check) bool {
				return want == fmt.Sprintf("%s: %s %s", r.Name, c.figure, c.limit.Asked())
			})
		}) {
			t.Errorf("the table lacks %s", want)
		}
	}
}

// TestIdleLimits: the second idle row follows the file limit up to a bound.
func TestIdleLimits(t *testing.T) {
	for limit, want := range map[int]struct {
		size  int
		skip  string
		named string
	}{
		1_000_000: {100_000, "", "100 000 idle sessions"},
		19_600:    {19_600, "", "19 600 idle sessions"},
		10_001:    {10_001, "", "10 001 idle sessions"},
		10_000:    {100_000, "allows 10 000 sessions", "most idle sessions that the file limit allows"},
		600:       {100_000, "allows 600 sessions", "most idle sessions that the file limit allows"},
	} {
		r := mostIdle(limit)
		if r.Size != want.size || r.Name != want.named || (r.skip == "") != (want.skip == "") ||
			!strings.Contains(r.skip, want.skip) {
			t.Errorf("%d: %d sessions, %q, skipped: %q", limit, r.Size, r.Name, r.skip)
		}
	}
}

// TestAllMet runs the whole table, without and with peers.
func TestAllMet(t *testing.T) {
	for _, peers := range [][]string{nil, {"nexus", "xconn", "nats", "crossbar"}, {"banyan", "floor", "nats"}} {
		f := newFake()
		var told []string
		o := Options{Peers: peers, Rounds: 2, Judged: func(t *report.Target) { told = append(told, t.Work) }}
		d, err := o.run(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for name, target := range verdicts(d) {
			// The fake cannot make one work of ours dearer than another; idle rows
			// depend on the machine's file limit.
			if target.Verdict != judge.Met && !strings.Contains(target.Work, "idle") {
				t.Errorf("%s: %+v", name, target)
			}
		}
		for _, name := range []string{"nexus", "xconn", "nats", "crossbar"} {
			asked := slices.Contains(peers, name)
			played := slices.ContainsFunc(f.runs, func(s string) bool { return strings.HasSuffix(s, "/"+name) })
			if played != asked || played != slices.ContainsFunc(d.Peers,
				func(p report.Peer) bool { return p.Name == name }) {
				t.Errorf("with %v: %s played: %v, peers %v", peers, name, played, d.Peers)
			}
		}
		if len(told) != len(d.Targets) || len(d.Runs) != len(f.runs) {
			t.Errorf("%d of %d verdicts told, %d of %d runs kept",
				len(told), len(d.Targets), len(d.Runs), len(f.runs))
		}
		if slices.ContainsFunc(f.tried, func(s string) bool {
			return strings.HasSuffix(s, "/banyan") ||
				strings.HasSuffix(s, "/floor")
		}) {
			t.Errorf("ours is not tried with fewer in flight: %v", f.tried)
		}
	}
}

// TestOrder: rounds turn round, and each run has its place in the document.
func TestOrder(t *testing.T) {
	f := newFake()
	var steps []string
	o := Options{
		Peers: []string{"nexus", "nats"}, Rounds: 2, Only: "fan-out to 100, one in flight",
		Step: func(s Step) {
			steps = append(steps, fmt.Sprintf("%d/%d %d/%d %s", s.Row, s.Rows, s.Round, s.Rounds, s.Side))
		},
	}
	d, err := o.run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"1/1 0/2 nexus", "1/1 0/2 nats", "1/1 1/2 banyan", "1/1 1/2 floor", "1/1 1/2 nexus", "1/1 1/2 nats",
		"1/1 2/2 nats", "1/1 2/2 nexus", "1/1 2/2 floor", "1/1 2/2 banyan",
	}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q", steps)
	}
	if last := d.Runs[len(d.Runs)-1]; last.Plan != o.Only || last.Peer != ours || last.Round != 2 {
		t.Errorf("last run %+v", last)
	}
}

// TestOnce: a load with rounds of its own runs once, and is told how many.
func TestOnce(t *testing.T) {
	f := newFake()
	o := Options{Rounds: 5, Only: "hostile"}
	d, err := o.run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Runs) != 1 || !slices.Equal(f.rounds, []int{5}) {
		t.Errorf("%d runs, told of %v rounds", len(d.Runs), f.rounds)
	}
	if target := d.Targets[0]; target.Rounds != 1 || target.Verdict != judge.Met {
		t.Errorf("%+v", target)
	}
}

// TestWithin: a row that wants a narrow interval goes on until it has one, and not for ever.
func TestWithin(t *testing.T) {
	const work = "rpc 16 x 64, 1 000 rules in 50 roles"
	swing := func(by float64) func(string, int) float64 {
		return func(plan string, n int) float64 {
			if plan != work || n%2 == 0 {
				return 1
			}
			return 1 + by
		}
	}
	dearer := func(plan string, _ int) float64 {
		if plan == work {
			return 1.03
		}
		return 1
	}
	for name, c := range map[string]struct {
		rounds  int
		factor  func(string, int) float64
		want    int // rounds
		verdict judge.Verdict
		doubts  string
		high    float64
	}{
		"calm":         {3, swing(0), 6, judge.Met, "", 1},
		"more asked":   {9, swing(0), 9, judge.Met, "", 1},
		"just narrow":  {3, swing(0.0199), 6, judge.Met, "", 1.02},
		"wide":         {3, swing(0.0206), roundsWithinMax, judge.Met, "the target lies in the interval", 1.021},
		"missed":       {3, dearer, 6, judge.Missed, "", 1.03},
		"one for all":  {1, swing(0.5), 1, judge.Met, "1 rounds are too few", 0},
		"twice for it": {2, swing(0), 6, judge.Met, "", 1},
	} {
		f := newFake()
		f.factor, f.played = c.factor, map[string]int{}
		o := Options{Rounds: c.rounds, Only: work}
		d, err := o.run(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		got := d.Targets[0]
		if got.Rounds != c.want || len(d.Runs) != 2*c.want || got.Verdict != c.verdict || got.High != c.high ||
			strings.Join(got.Doubts, "") != c.doubts {
			t.Errorf("%s: %d runs, %+v", name, len(d.Runs), got)
		}
	}
	// A side that does not play ends it.
	f := newFake()
	f.broken = map[string]error{"banyan": errors.New("broken")}
	o := Options{Rounds: 3, Only: work}
	if d, err := o.run(t.Context(), f); err != nil || d.Targets[0].Verdict != judge.Failed || len(d.Runs) != 0 {
		t.Errorf("%v, %+v", err, d.Targets)
	}
}

// TestBase: a simpler work of ours takes the floor's place.
func TestBase(t *testing.T) {
	f := newFake()
	o := Options{Rounds: 1, Only: "to 100, JSON"}
	d, err := o.run(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"fan-out to 100, JSON/banyan", "msgpack/banyan"}; !slices.Equal(f.runs, want) {
		t.Errorf("ran %q", f.runs)
	}
	if target := d.Targets[0]; target.Median != 1 || d.Runs[1].Peer != "msgpack" ||
		d.Runs[1].Plan != "fan-out to 100, JSON" {
		t.Errorf("%+v, %+v", target, d.Runs)
	}
}

func TestVerdicts(t *testing.T) {
	const only = "fan-out to 5000"
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		spoil func(f *fake)
		want  map[string]string // by figure: verdict, median, and what the remarks contain
	}{
		"all well": {func(*fake) {}, map[string]string{
			"cost / floor": "met 0.1 ", "nexus's cost / ours": "met 100 ",
			"nats's cost / ours": "met 10 ",
		}},
		"missed": {
			func(f *fake) { f.cost["banyan"] = 1300; f.cost["nats"] = 13_000 - 1 },
			map[string]string{
				"cost / floor":        "missed 1.3 ",
				"nexus's cost / ours": "missed 7.692 the floor reaches 10",
				"nats's cost / ours":  "missed 9.999 the floor reaches 13",
			},
		},
		"no nexus": {
			func(f *fake) { f.lacking = map[string]error{"nexus": broken} },
			map[string]string{
				"cost / floor": "met 0.1 ", "nexus's cost / ours": "not measured 0 nexus: broken",
				"nats's cost / ours": "met 10 ",
			},
		},
		"NATS breaks": {
			func(f *fake) { f.broken = map[string]error{"nats": broken} },
			map[string]string{
				"nats's cost / ours":  "not measured 0 nats: round 1: broken",
				"xconn's cost / ours": "met 100 ",
			},
		},
		"ours breaks": {
			func(f *fake) { f.broken = map[string]error{"banyan": broken} },
			map[string]string{
				"cost / floor":       "failed 0 round 1: broken",
				"nats's cost / ours": "failed 0 round 1: broken",
			},
		},
		"ours is beyond the machine": {
			func(f *fake) { f.broken = map[string]error{"banyan": &load.UsageError{}} },
			map[string]string{"cost / floor": "not measured 0 round 1: "},
		},
		"ours loses one": {
			func(f *fake) { f.lose = map[string]int64{"banyan": 1} },
			map[string]string{
				"cost / floor":       "failed 0 3 messages of banyan",
				"nats's cost / ours": "failed 0 3 messages of banyan",
			},
		},
		"the floor loses one": {
			func(f *fake) { f.lose = map[string]int64{"floor": 1} },
			map[string]string{"cost / floor": "failed 0 3 messages of floor", "nats's cost / ours": "met 10 "},
		},
		"xconn loses few": {
			func(f *fake) { f.lose = map[string]int64{"xconn": 9} },
			map[string]string{"xconn's cost / ours": "met 100 "},
		},
		"xconn loses many": {
			func(f *fake) { f.lose = map[string]int64{"xconn": 500} },
			map[string]string{
				"xconn's cost / ours": "not measured 0 xconn lost 500 of 1000 messages",
				"nexus's cost / ours": "met 100 ",
			},
		},
		"fewer in flight": {
			func(f *fake) { f.notes = map[string]string{"xconn": "8 in flight instead of 32"} },
			map[string]string{
				"xconn's cost / ours": "met 100 xconn: 8 in flight instead of 32",
				"nexus's cost / ours": "met 100 ",
			},
		},
		"one round of three disturbed": {
			func(f *fake) { f.doubt, f.calm = map[string]string{"banyan": "noise", "nexus": "noise"}, 10 },
			map[string]string{"nexus's cost / ours": "met 100 ", "cost / floor": "met 0.1 "},
		},
		"two rounds of three disturbed": {
			func(f *fake) { f.doubt, f.calm = map[string]string{"banyan": "noise"}, 5 },
			map[string]string{"nexus's cost / ours": "met 100 round 2, banyan: noiseround 3, banyan: noise"},
		},
		"disturbed": {
			func(f *fake) { f.doubt = map[string]string{"nexus": "noise"} },
			map[string]string{"nexus's cost / ours": "met 100 round 1, nexus: noise", "cost / floor": "met 0.1 "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			c.spoil(f)
			o := Options{Peers: []string{"nexus", "xconn", "nats"}, Rounds: 3, Only: only}
			d, err := o.run(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			got := verdicts(d)
			for figure, want := range c.want {
				target := got[only+": "+figure]
				text := fmt.Sprintf("%s %g %s", target.Verdict, target.Median,
					strings.Join(slices.Concat([]string{target.Why}, target.Doubts, target.Notes), ""))
				if text != want && (strings.HasSuffix(want, " ") || !strings.HasPrefix(text, want)) {
					t.Errorf("%s: %q, want %q", figure, text, want)
				}
			}
		})
	}
}

// TestRoundsDisagree: spread is a doubt only where the rounds say different things about the target.
func TestRoundsDisagree(t *testing.T) {
	ran := func(name string, costs ...float64) *side {
		s := &side{name: name, peer: name}
		for _, c := range costs {
			s.runs = append(s.runs, &load.Report{
				Router:   &load.Process{CPUPerMessage: c},
				Verified: load.Verdict{OK: true, Expected: 1, Received: 1},
			})
		}
		return s
	}
	floor := ran(report.FloorName, 100, 100, 100)
	for name, c := range map[string]struct {
		costs   []float64
		median  float64
		verdict judge.Verdict
		doubted bool
	}{
		"wide but clear":    {[]float64{50, 20, 90}, 0.5, judge.Met, false},
		"close but narrow":  {[]float64{124, 126, 127}, 1.26, judge.Missed, false},
		"wide and crossing": {[]float64{200, 90, 110}, 1.1, judge.Met, true},
	} {
		r := &row{Plan: peers.Plan{Name: "work"}, checks: []check{cost(report.FloorName, 1.25)}}
		got := r.judge([]*side{ran(ours, c.costs...), floor})
		if len(got) != 1 || got[0].Median != c.median || got[0].Verdict != c.verdict ||
			(len(got[0].Doubts) > 0) != c.doubted {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestRoundsOfARow: least and most of the rounds, failures of the base, and what is told of disturbed rounds.
func TestRoundsOfARow(t *testing.T) {
	const calm, noisy, busy = 0, 1, 2
	const six = "round 1, banyan: noise; round 2, banyan: noise; round 3, banyan: noise; " +
		"round 4, banyan: noise; round 5, banyan: noise; round 6, banyan: noise"
	ran := func(name string, lost int64, rounds ...int) *side {
		s := &side{name: name, peer: ours}
		for i, kind := range rounds {
			r := &load.Report{
				Router:   &load.Process{CPUPerMessage: float64(100 + i)},
				Verified: load.Verdict{OK: lost == 0, Expected: 100_000, Received: 100_000 - lost},
				Trust:    load.Trust{Judged: true, OK: true},
			}
			if lost > 0 {
				r.Verified.Failures = map[string]int64{"events lost": lost}
			}
			switch kind {
			case noisy:
				r.Trust = load.Trust{Judged: true, OtherCPU: 0.5, Reasons: []string{"noise"}}
			case busy:
				r.Trust = load.Trust{Judged: true, ClientsBusy: true, Reasons: []string{"busy"}}
			}
			s.runs = append(s.runs, r)
		}
		return s
	}
	own := func(rounds ...int) *side { return ran(ours, 0, rounds...) }
	for name, c := range map[string]struct {
		own, base *side // without a base the figure is ours alone
		verdict   judge.Verdict
		why       string
		disturbed int
		doubts    string
	}{
		"calm":           {own: own(calm, calm, calm), verdict: judge.Met},
		"busy clients":   {own: own(busy, busy), verdict: judge.Met},
		"less than half": {own: own(calm, noisy, calm), verdict: judge.Met, disturbed: 1},
		"half disturbed": {
			own: own(calm, noisy), verdict: judge.Met, disturbed: 1, doubts: "round 2, banyan: noise",
		},
		"as many as are told": {
			own: own(noisy, noisy, noisy, noisy, noisy, noisy), verdict: judge.Met, disturbed: 6, doubts: six,
		},
		"too many to tell": {
			own: own(noisy, noisy, noisy, noisy, noisy, noisy, noisy), verdict: judge.Met, disturbed: 7,
			doubts: six + "; and more",
		},
		"a base": {own: own(calm, calm), base: ran("base", 0, calm, calm), verdict: judge.Met},
		"the base loses": {
			own: own(calm, calm), base: ran("base", 1, calm, calm), verdict: judge.Failed, why: "2 messages of base",
		},
	} {
		r := &row{Plan: peers.Plan{Name: "work"}, checks: []check{cost("", 200)}}
		sides := []*side{c.own}
		least, most := 100.0, float64(99+len(c.own.runs))
		if c.base != nil {
			r.checks[0].with = "base"
			sides = append(sides, c.base)
			least, most = 1, 1
		}
		if c.verdict == judge.Failed {
			least, most = 0, 0
		}
		got := r.judge(sides)[0]
		if got.Verdict != c.verdict || got.Why != c.why || got.Disturbed != c.disturbed ||
			strings.Join(got.Doubts, "; ") != c.doubts {
			t.Errorf("%s: %+v", name, got)
		}
		if got.Min != least || got.Max != most || got.Median != (least+most)/2 {
			t.Errorf("%s: %v, from %v to %v, want from %v to %v", name, got.Median, got.Min, got.Max, least, most)
		}
	}
}

// TestSkipped: a row that cannot be measured is not played, and says why.
func TestSkipped(t *testing.T) {
	f := newFake()
	m := &measurement{Options: &Options{Rounds: 1, Step: func(Step) {}}, stage: f, doc: report.New("")}
	r := idleRow(10, "too many")
	sides := m.sides(&r)
	if err := m.measure(t.Context(), 1, &r, sides); err != nil || len(f.runs) > 0 {
		t.Errorf("%v, played %v", err, f.runs)
	}
	for _, target := range r.judge(sides) {
		if target.Verdict != judge.NotMeasured || target.Why != "too many" {
			t.Errorf("%+v", target)
		}
	}
}

// TestPinned: a row that is measured on one CPU has one CPU, and the others come back behind it.
func TestPinned(t *testing.T) {
	granted := func() load.CPUSet {
		c, err := load.GrantedCPUs()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, during := granted().First(), load.CPUSet{}
	f := newFake()
	f.after = func(int) { during = granted() }
	o := Options{Rounds: 1, Only: "rpc 1 x 1 on one CPU"}
	if _, err := o.run(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	// Another test may have run pinned rows before: the number of CPUs is that of the start of the process.
	if after := granted(); during != first || after.Count() != runtime.NumCPU() {
		t.Errorf("on %v, want %v; then on %v, want %d CPUs", during, first, after, runtime.NumCPU())
	}
}

// TestInterrupted keeps what was found.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := newFake()
	f.after = func(n int) {
		if n == 5 { // two runs of the first row, two of the second
			cancel()
		}
	}
	o := Options{Rounds: 1}
	d, err := o.run(ctx, f)
	if !errors.Is(err, context.Canceled) || len(d.Targets) != 2 || len(d.Runs) != 4 || len(d.Peers) == 0 {
		t.Errorf("%v: %d targets, %d runs, %d peers", err, len(d.Targets), len(d.Runs), len(d.Peers))
	}
}

func TestUsage(t *testing.T) {
	for name, o := range map[string]Options{
		"unknown work":        {Rounds: 1, Only: "what nobody measures"},
		"work that has peers": {Rounds: 1, Only: "progressive"},
		"no rounds":           {},
		"many rounds":         {Rounds: 101},
		"unknown peer":        {Rounds: 1, Peers: []string{"mosquitto"}},
		"unknown transport":   {Rounds: 1, Setup: peers.Setup{Transport: "smoke"}},
	} {
		var wrong *load.UsageError
		if d, err := Run(t.Context(), o); !errors.As(err, &wrong) || d != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}

// TestNoFigures: a router whose process is not known leaves the table unmeasured.
func TestNoFigures(t *testing.T) {
	unknown := &side{name: ours, peer: ours, runs: []*load.Report{{
		NoRouter: "it hides",
		Verified: load.Verdict{OK: true},
	}}}
	r := idleRow(10, "")
	for _, target := range r.judge([]*side{unknown}) {
		if target.Verdict != judge.NotMeasured || !strings.Contains(target.Why, "it hides") {
			t.Errorf("%+v", target)
		}
	}
}
