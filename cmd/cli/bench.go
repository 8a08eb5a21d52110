package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"banyan/bench/load"
)

func newBench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load a router and verify every message",
		Long: "Load any WAMP router and verify every message that comes back.\n" +
			"\n" +
			"Without --rate a load is a closed loop: a fixed number of messages in flight, which finds the\n" +
			"throughput. With --rate it is an open loop: messages leave by the clock, and latency counts from the\n" +
			"time at which they should have left.\n" +
			"The router's CPU time is read from the kernel when its process runs on this machine.\n" +
			"\n" +
			"Exit codes: 1 when a message was lost, came twice, out of order or changed; 8 when all arrived but\n" +
			"the figures are not trustworthy: the clients were the bottleneck, the halves of the run differ by\n" +
			"more than 10 %, or other programs used the machine.",
		Example: "  banyan bench fanout --subscribers 1000 --inflight 32\n" +
			"  banyan bench rpc --callers 16 --inflight 64 --json\n" +
			"  banyan bench fanout --url ws://other:8080/ws --rate 500",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newBenchFanout(), newBenchTopics(), newBenchPatterns(), newBenchMixed(), newBenchRPC(), newBenchProgressive(),
		newBenchIdle(), newBenchStorm(), newBenchJoiners(), newBenchChurn(), newBenchSlow(), newBenchHostile(),
		newBenchSoak(), newBenchTargets(), newBenchCompare(), newBenchGate(), newBenchFloor(), newBenchEcho(),
	)
	return cmd
}

// loadFlags are the flags that scenarios have in common.
type loadFlags struct {
	connection
	common   load.Options
	asJSON   bool
	quiet    bool
	lenient  bool
	syscalls string
	out      outFolder

	floor      bool
	rounds     int
	serveFlags []string

	unused []string       // flags that mean nothing to this scenario
	least  map[string]int // flags with a lower bound that the plan does not have, where 0 is the default
}

func (l *loadFlags) flags(cmd *cobra.Command, perSender string) {
	l.connection.flags(cmd, "msgpack")
	f := cmd.Flags()
	f.IntVar(&l.common.PayloadBytes, "payload", 64, "bytes of text in each message; at least 32")
	f.BoolVar(&l.common.Records, "records", false, "text like that of JSON records, which can be compressed")
	f.BoolVar(&l.common.Deflate, "deflate", false,
		"ask for permessage-deflate; Banyan agrees with the option deflate of a listener")
	f.IntVar(&l.common.InFlight, "inflight", 32, "closed loop: messages in flight per "+perSender)
	f.Float64Var(&l.common.Rate, "rate", 0,
		"open loop: messages per second, all senders together; 0 is the closed loop")
	f.DurationVar(&l.common.Duration, "duration", 5*time.Second, "time of measuring; 0 until Ctrl-C")
	f.DurationVar(&l.common.Warmup, "warmup", time.Second, "time before measuring")
	f.IntVar(&l.common.PID, "pid", 0,
		"the router's process, for CPU time and memory; 0 finds it by its socket, -1 does without")
	f.BoolVar(&l.asJSON, "json", false, "print the report as JSON")
	f.BoolVar(&l.quiet, "quiet", false, "no live line")
	f.StringVar(&l.syscalls, "syscalls", "auto",
		"count the router's system calls for a second after measuring: no, perf, strace (slows the router\n"+
			"down while it counts), or auto: perf for runs of 2 s or more")
	f.BoolVar(&l.lenient, "lenient", false, "exit with 0 instead of 8 when the figures are not trustworthy")
	l.out.flag(cmd, "")
}

// without takes flags that mean nothing to a scenario out of its help; using one is an error.
func (l *loadFlags) without(cmd *cobra.Command, names ...string) {
	l.unused = append(l.unused, names...)
	for _, n := range names {
		cmd.Flags().Lookup(n).Hidden = true
	}
}

// redefault changes the default of a flag for one scenario.
func redefault(cmd *cobra.Command, name, value string) {
	f := cmd.Flags().Lookup(name)
	f.DefValue = value
	if err := f.Value.Set(value); err != nil {
		panic(err) // a default of ours that does not parse
	}
}

// plan completes the load from the flags.
func (l *loadFlags) plan(cmd *cobra.Command) (load.Options, error) {
	c, err := l.options()
	if err != nil {
		return l.common, err
	}
	o := l.common
	o.URL, o.Realm, o.Serializer, o.Batched, o.TLS = l.url, l.realm, c.Serializer, l.batched, c.TLS
	o.Login = c.Login
	switch {
	case l.syscalls == "auto" && o.Duration >= 2*time.Second:
		o.Syscalls = load.SyscallsPerf
	case l.syscalls == "auto", l.syscalls == "no":
		o.Syscalls = load.SyscallsNone
	default:
		o.Syscalls = l.syscalls
	}
	if !l.quiet {
		o.Progress = liveLine(cmd.ErrOrStderr())
	}
	return o, nil
}

// A scenario runs one load.
type scenario func(ctx context.Context, o load.Options) (*load.Report, error)

// of makes the RunE of a command from its plan, the options in the plan, and the function that runs it.
func of[P any](
	l *loadFlags, plan *P, o *load.Options, run func(context.Context, P) (*load.Report, error),
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		return l.run(cmd, func(ctx context.Context, completed load.Options) (*load.Report, error) {
			*o = completed
			return run(ctx, *plan)
		})
	}
}

// run runs s against the router at the URL, or in turn against a floor and a router of its own, and prints the
// report.
func (l *loadFlags) run(cmd *cobra.Command, s scenario) error {
	for _, n := range l.unused {
		if cmd.Flags().Changed(n) {
			return usagef("--%s means nothing to %s", n, cmd.Name())
		}
	}
	for name, least := range l.least {
		n, err := cmd.Flags().GetInt(name)
		if err != nil {
			panic(err) // a flag of ours that is no number
		}
		if n < least {
			return usagef("--%s %d: must be at least %d", name, n, least)
		}
	}
	o, err := l.plan(cmd)
	if err != nil {
		return err
	}
	var r *load.Report
	if l.floor {
		r, err = l.against(cmd, o, s)
	} else {
		r, err = s(cmd.Context(), o)
	}
	endLiveLine(cmd.ErrOrStderr(), l.quiet)
	return l.finish(cmd, r, err)
}

// finish prints the report; a failed verification is an error.
func (l *loadFlags) finish(cmd *cobra.Command, r *load.Report, err error) error {
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if l.asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else {
		r.Print(out)
	}
	if err := l.out.write(cmd, r); err != nil {
		return err
	}
	if !r.Verified.OK {
		return fmt.Errorf("verification failed, see the report")
	}
	if err := l.doubt(r); err != nil {
		return err
	}
	if stalled := r.Stalled(); len(stalled) > 0 {
		return fmt.Errorf("the others waited too long beside %d of %d hostile loads: %s",
			len(stalled), len(r.Hostile), strings.Join(stalled, "; "))
	}
	return nil
}

// doubt is the error for figures that are not trustworthy.
func (l *loadFlags) doubt(r *load.Report) error {
	if r.Trust.OK || l.lenient {
		return nil
	}
	return &hintedError{
		code: exitDoubt, what: "the figures are not trustworthy",
		why: errors.New(strings.Join(r.Trust.Reasons, "; ")),
		try: "a quiet machine, clients on CPUs or machines of their own, a longer --duration; " +
			"--lenient exits with 0 all the same",
	}
}

// liveLine prints one line per second; on a terminal it stays on one line.
func liveLine(w io.Writer) func(load.Progress) {
	begin, end := "", "\n"
	if isTerminal(w) {
		begin, end = "\r\x1b[K", ""
	}
	return func(p load.Progress) {
		phase := fmt.Sprintf("%4.0f s", p.Elapsed.Seconds())
		if p.Elapsed < 0 {
			phase = "warm-up"
		}
		line := fmt.Sprintf("%s%s  %d sessions  %.0f/s  p50 %v  p99 %v",
			begin, phase, p.Sessions, p.PerSec, short(p.P50), short(p.P99))
		if p.Failures > 0 {
			line += fmt.Sprintf("  FAILURES %d", p.Failures)
		}
		fmt.Fprint(w, line+end)
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// short prints a latency with three digits or so.
func short(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < time.Second:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(10 * time.Millisecond)
}

func newBenchFanout() *cobra.Command {
	var l loadFlags
	var plan load.FanoutPlan
	cmd := &cobra.Command{
		Use:   "fanout",
		Short: "Publishers to subscribers; every event verified",
		Example: "  banyan bench fanout --subscribers 1000\n" +
			"  banyan bench fanout --subscribers 100 --rate 500 --serializer cbor --url rs://127.0.0.1:8080",
		RunE: of(&l, &plan, &plan.Options, load.Fanout),
	}
	l.flags(cmd, "publisher")
	l.floorFlags(cmd)
	cmd.Flags().IntVar(&plan.Subscribers, "subscribers", 100, "subscribers")
	cmd.Flags().IntVar(&plan.Publishers, "publishers", 1, "publishers")
	cmd.Flags().StringVar(&plan.Topic, "topic", "", "topic; default one of its own")
	cmd.Flags().BoolVar(&plan.History, "history", false,
		"the router keeps the history of --topic: compare its newest events with the publications in the end")
	l.least = map[string]int{"subscribers": 1, "publishers": 1}
	return cmd
}

// endLiveLine clears the live line of a terminal.
func endLiveLine(w io.Writer, quiet bool) {
	if !quiet && isTerminal(w) {
		fmt.Fprint(w, "\r\x1b[K")
	}
}
