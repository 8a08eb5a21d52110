package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"text/tabwriter"
	"time"

	"banyan/bench/judge"
)

// A HostilePlan measures clients that tick, first alone and then beside a hostile load, for each of attacks in turn.
// It tells how long one client can make the others wait. A tick is an event that is published by the clock; its
// latency counts from the intended time.
type HostilePlan struct {
	// Rate is the ticks per second of all tickers, default 1000 each. Duration is that of each load. InFlight is not
	// used.
	Options
	Tickers int    // publishers and subscribers each, so that they are on several loops of the router; default 4
	Many    int    // subscriptions, open calls and the like that a hostile client tries to get; default 1 000 000
	Bytes   int    // of a hostile message; default 15 MiB
	Only    string // run only the loads that have this text in their names
	Rounds  int    // how often each load runs; the medians of all rounds count; default 3

	// Apart makes the command of a process that runs Attack with this plan and the name of a load. nil: the hostile
	// clients are in this process, and in the way of the tickers.
	Apart func(ctx context.Context, name string) *exec.Cmd
}

const (
	tickRate         = 1000
	hostileMany      = 1_000_000
	hostileBytes     = 15 << 20
	hostileRounds    = 3
	hostileRoundsMax = 100

	// stallMax is how many times its p99.9 without the load a ticker may have with it.
	stallMax = 3
	// stallFloor is the least p99.9 that counts, in microseconds: one tick. A ratio of smaller values is noise.
	stallFloor = 1000
)

// A Beside is what the tickers had beside one hostile load: in one round, or the medians of all, the maximum apart.
type Beside struct {
	Name string `json:"name"`
	// Done tells how much of the load the router granted, and whether it ended hostile connections.
	Done string `json:"done,omitempty"`
	// Skipped tells why the load did not run.
	Skipped string  `json:"skipped,omitempty"`
	Without float64 `json:"p999_without_us"` // the p99.9 just before, without the load
	P50     float64 `json:"p50_us"`
	P99     float64 `json:"p99_us"`
	P999    float64 `json:"p999_us"`
	Max     float64 `json:"max_us"`
	Ratio   float64 `json:"p999_ratio"` // to the run without; both count as one tick at least
	RSS     int64   `json:"router_rss_bytes,omitempty"`
	OK      bool    `json:"ok"` // the ratio is 3 at most
}

// Hostile runs plan; errors are as Fanout's. The report is that of the first run of the tickers alone, and its
// Hostile has a line for each load. A lost tick is a failure.
func Hostile(ctx context.Context, plan HostilePlan) (*Report, error) {
	if err := plan.complete(); err != nil {
		return nil, err
	}
	var chosen []attack
	for _, a := range attacks {
		if strings.Contains(a.name, plan.Only) {
			chosen = append(chosen, a)
		}
	}
	if len(chosen) == 0 {
		return nil, Usage("no hostile load has %q in its name", plan.Only)
	}
	plan.Syscalls = SyscallsNone
	out, err := plan.tick(ctx, nil)
	if err != nil {
		return nil, err
	}
	for i, a := range chosen {
		var rounds []Beside
		for len(rounds) < plan.Rounds {
			b, err := plan.beside(ctx, a, i > 0 || len(rounds) > 0, out)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				out.fail(fmt.Sprintf("%s: it cannot be measured: %v", a.name, err), 1)
				return out.hostile(), nil
			}
			if b.Skipped != "" && rounds != nil {
				out.fail(fmt.Sprintf("%s: it ran, and then not: %s", a.name, b.Skipped), 1)
				break
			}
			if rounds = append(rounds, *b); b.Skipped != "" {
				break
			}
		}
		out.Hostile = append(out.Hostile, median(rounds))
	}
	return out.hostile(), nil
}

// hostile adds the figure of the worst load.
func (r *Report) hostile() *Report {
	worst := 0.0
	for i := range r.Hostile {
		worst = max(worst, r.Hostile[i].Ratio)
	}
	r.Figures = append(r.Figures, Figure{"worst ratio", worst, "x"})
	return r
}

// median joins the rounds of one load. Of some thousand ticks a p99.9 is the eighth longest: one round says little.
func median(rounds []Beside) Beside {
	b := rounds[len(rounds)-1] // what was done, or why not
	of := func(value func(*Beside) float64) float64 {
		values := make(judge.Sample, len(rounds))
		for i := range rounds {
			values[i] = value(&rounds[i])
		}
		return values.Median()
	}
	b.Without = of(func(b *Beside) float64 { return b.Without })
	b.P50 = of(func(b *Beside) float64 { return b.P50 })
	b.P99 = of(func(b *Beside) float64 { return b.P99 })
	b.P999 = of(func(b *Beside) float64 { return b.P999 })
	for i := range rounds {
		b.Max, b.RSS = max(b.Max, rounds[i].Max), max(b.RSS, rounds[i].RSS)
	}
	b.judge()
	return b
}

// judge compares the tickers with the load to those without.
func (b *Beside) judge() {
	if b.Skipped != "" {
		b.OK = true
		return
	}
	b.Ratio = judge.Round3(max(b.P999, stallFloor) / max(b.Without, stallFloor))
	b.OK = b.Ratio <= stallMax
}

// complete sets what has a default and checks the rest.
func (plan *HostilePlan) complete() error {
	defaultTo(&plan.Tickers, 4)
	defaultTo(&plan.Many, hostileMany)
	defaultTo(&plan.Bytes, hostileBytes)
	defaultTo(&plan.Rounds, hostileRounds)
	if plan.Rate == 0 {
		plan.Rate = float64(tickRate * plan.Tickers)
	}
	switch {
	case plan.Tickers < 1 || plan.Tickers > sendersMax:
		return Usage("%d tickers: must be 1 to %d", plan.Tickers, sendersMax)
	case plan.Many < 1 || plan.Many > 1<<30:
		return Usage("%d of each thing: must be 1 to 2^30", plan.Many)
	case plan.Bytes < 1<<10 || plan.Bytes > hostileBytes:
		return Usage("hostile messages of %d bytes: must be %d to %d", plan.Bytes, 1<<10, hostileBytes)
	case plan.Rounds < 1 || plan.Rounds > hostileRoundsMax:
		return Usage("%d rounds of each hostile load: must be 1 to %d", plan.Rounds, hostileRoundsMax)
	case plan.Duration <= 0:
		return Usage("hostile loads without a duration: must be more than 0")
	}
	if err := plan.check(); err != nil {
		return err
	}
	return plan.onlyWAMP("hostile loads")
}

// here makes the hostile clients of a in this process.
func (plan *HostilePlan) here(a attack) *here {
	return &here{attack: a, attacker: attacker{run: newRun(plan.Options), plan: plan}}
}

// side makes the hostile clients of a.
func (plan *HostilePlan) side(ctx context.Context, a attack) side {
	if plan.Apart == nil {
		return plan.here(a)
	}
	return &apart{cmd: plan.Apart(ctx, a.name)}
}

// tick measures the tickers. The attack, if there is one, begins with the measured time and ends with the load.
func (plan *HostilePlan) tick(ctx context.Context, act func(ctx context.Context) error) (*Report, error) {
	n := plan.Tickers
	p := pubsubPlan{
		scenario: "hostile", publishers: n, sessions: n, deliveries: 1,
		report: Plan{Publishers: n, Sessions: n, Topics: n},
	}
	space := unique("bench.tick")
	for i := range n {
		uri := fmt.Sprintf("%s.t%d", space, i)
		p.topics = append(p.topics, uri)
		p.subscriptions = append(p.subscriptions, subscriptionPlan{session: i, uri: uri, topic: i})
	}
	if act != nil {
		p.beside = func(ctx context.Context, f *pubsub) {
			wait := time.NewTimer(f.Warmup)
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
				return
			}
			if err := act(ctx); err != nil && ctx.Err() == nil {
				f.failures.add(fmt.Sprintf("hostile loads that broke off: %v", err), 1)
			}
		}
	}
	return runPubsub(ctx, plan.Options, p)
}

// beside measures the tickers beside one load. With again it measures them alone before that; otherwise out is the
// run without. It adds the failures of the ticks to out. The error says that the tickers could not run at all.
func (plan *HostilePlan) beside(ctx context.Context, a attack, again bool, out *Report) (*Beside, error) {
	without := out
	if again {
		var err error
		if without, err = plan.tick(ctx, nil); err != nil {
			return nil, err
		}
		out.addVerified(a.name+", before", without)
	}
	b := &Beside{Name: a.name, OK: true, Without: without.Latency.P999}
	hostile := plan.side(ctx, a)
	done, err := hostile.prepare(ctx)
	if errors.Is(err, errBroken) {
		hostile.leave()
		return nil, err
	}
	if err != nil {
		hostile.leave()
		b.Skipped = unwrapConnect(err).Error()
		return b, nil
	}
	with, err := plan.tick(ctx, hostile.act)
	ended, broke := hostile.leave()
	if err != nil {
		return nil, err
	}
	out.addVerified(a.name, with)
	if broke != nil {
		out.fail(fmt.Sprintf("%s: hostile loads that broke off: %v", a.name, broke), 1)
	}
	if b.Done = done; ended > 0 {
		b.Done += fmt.Sprintf("; the router ended %d connections", ended)
	}
	b.P50, b.P99, b.P999, b.Max = with.Latency.P50, with.Latency.P99, with.Latency.P999, with.Latency.Max
	b.judge()
	if with.Router != nil {
		b.RSS = with.peakRSS()
	}
	return b, nil
}

// addVerified adds the counts and failures of another run.
func (r *Report) addVerified(name string, other *Report) {
	r.Verified.Expected += other.Verified.Expected
	r.Verified.Received += other.Verified.Received
	for what, n := range other.Verified.Failures {
		r.fail(name+": "+what, n)
	}
}

// Stalled lists the hostile loads that made the tickers wait too long.
func (r *Report) Stalled() (names []string) {
	for i := range r.Hostile {
		if b := &r.Hostile[i]; !b.OK {
			names = append(names, b.Name)
		}
	}
	return names
}

// printHostile shows what the tickers had beside each hostile load.
func (r *Report) printHostile(w io.Writer) {
	if r.Hostile == nil {
		return
	}
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprint(tab, "beside\twithout: p99.9\tp50\tp99\tp99.9\tmax\tratio\trouter\tdone\n")
	for i := range r.Hostile {
		b := &r.Hostile[i]
		if b.Skipped != "" {
			fmt.Fprintf(tab, "%s\t\t\t\t\t\t\t\tskipped: %s\n", b.Name, b.Skipped)
			continue
		}
		verdict := judge.Times(b.Ratio)
		if !b.OK {
			verdict += " STALLED"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", b.Name, judge.Micros(b.Without),
			judge.Micros(b.P50), judge.Micros(b.P99), judge.Micros(b.P999), judge.Micros(b.Max), verdict,
			judge.Bytes(float64(b.RSS)), b.Done)
	}
	tab.Flush()
}
