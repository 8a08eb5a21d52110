package cli

import (
	"context"
	"os"
	"os/exec"
	"slices"

	"github.com/spf13/cobra"

	"banyan/bench/load"
)

func newBenchHostile() *cobra.Command {
	var l loadFlags
	var plan load.HostilePlan
	var attack string
	cmd := &cobra.Command{
		Use:   "hostile",
		Short: "One client against the others: how long it can make them wait",
		Long: "Clients that publish and receive one event every millisecond each, first alone and then beside one\n" +
			"hostile load after the other: very large publishes to mixed serializers, very many patterns,\n" +
			"sessions that make a million subscriptions, or leave with them or with as many open calls,\n" +
			"unfinished messages, a batch of 16 MiB, long exclude lists, bursts of calls. The hostile clients\n" +
			"are a process of the lowest priority, so that it is the router who makes the others wait, and not\n" +
			"the machine. Takes twice --duration for each round of each load, and the time to set it up.\n" +
			"\n" +
			"Exit code 1 when an event was lost, or when the median p99.9 beside a load is more than three times\n" +
			"that without it (both count as 1 ms at least); 8 when everything arrived and the figures are not\n" +
			"trustworthy, which then says nothing about the router.",
		Example: "  banyan bench hostile\n  banyan bench hostile --only patterns --duration 10s",
	}
	measure := of(&l, &plan, &plan.Options, load.Hostile)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if attack != "" {
			var err error
			if plan.Options, err = l.plan(cmd); err != nil {
				return err
			}
			return load.Attack(cmd.Context(), plan, attack, cmd.InOrStdin(), cmd.OutOrStdout())
		}
		program, err := os.Executable()
		if err != nil {
			return err
		}
		plan.Apart = func(ctx context.Context, name string) *exec.Cmd {
			return exec.CommandContext(ctx, program, append(slices.Clone(os.Args[1:]), "--attack", name)...)
		}
		return measure(cmd, args)
	}
	l.flags(cmd, "sender")
	l.without(cmd, "inflight", "syscalls")
	redefault(cmd, "duration", "2s")
	redefault(cmd, "rate", "4000")
	cmd.Flags().Lookup("rate").Usage = "events per second of all tickers"
	cmd.Flags().Lookup("duration").Usage = "time of measuring each load, longer than 0"
	l.least = map[string]int{"tickers": 1, "many": 1, "bytes": 1, "rounds": 1}
	f := cmd.Flags()
	f.IntVar(&plan.Tickers, "tickers", 4, "clients that publish, and as many that receive")
	f.IntVar(&plan.Many, "many", 1_000_000, "subscriptions or open calls that a hostile client tries to get")
	f.IntVar(&plan.Bytes, "bytes", 15<<20, "bytes of a hostile message")
	f.IntVar(&plan.Rounds, "rounds", 3, "rounds of each load; the medians count")
	f.StringVar(&plan.Only, "only", "", "run only the loads that have this text in their names")
	f.StringVar(&attack, "attack", "", "be the hostile clients of this load")
	_ = f.MarkHidden("attack") // what one process of this command tells another
	return cmd
}
