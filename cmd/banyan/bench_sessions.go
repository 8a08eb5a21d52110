package main

import (
	"github.com/spf13/cobra"

	"banyan/bench/load"
)

func newBenchIdle() *cobra.Command {
	var l loadFlags
	var plan load.IdlePlan
	cmd := &cobra.Command{
		Use:   "idle",
		Short: "Sessions that do nothing: their memory, and whether it is given back",
		Long: "Open sessions, leave them alone for --duration, and tell what the router has grown by for each.\n" +
			"Then all say goodbye, and the router's memory is watched for some seconds. Meant for a fresh router:\n" +
			"memory once taken is used again.",
		Example: "  banyan bench idle --sessions 10000\n  banyan bench idle --floor --rounds 1",
		RunE:    of(&l, &plan, &plan.Options, load.Idle),
	}
	l.flags(cmd, "session (unused here)")
	l.floorFlags(cmd)
	l.without(cmd, "inflight", "rate", "payload")
	cmd.Flags().IntVar(&plan.Sessions, "sessions", 10_000, "sessions; the file limits of both processes bound them")
	return cmd
}

func newBenchStorm() *cobra.Command {
	var l loadFlags
	var plan load.StormPlan
	cmd := &cobra.Command{
		Use:     "storm",
		Short:   "Sessions that come and go: connect, HELLO, WELCOME, GOODBYE, close",
		Example: "  banyan bench storm --workers 16\n  banyan bench storm --rate 500",
		RunE:    of(&l, &plan, &plan.Options, load.Storm),
	}
	l.flags(cmd, "worker (one here)")
	l.floorFlags(cmd)
	l.without(cmd, "inflight", "payload")
	cmd.Flags().IntVar(&plan.Workers, "workers", 8, "sessions at once")
	return cmd
}
