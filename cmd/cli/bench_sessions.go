package cli

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

func newBenchJoiners() *cobra.Command {
	var l loadFlags
	var plan load.JoinersPlan
	cmd := &cobra.Command{
		Use:   "joiners",
		Short: "Sessions that join at once and subscribe at once: what each costs the router",
		Long: "Sessions connect and join, many at once. Then each of them subscribes to one topic before any of\n" +
			"them reads an answer. In the end one event is published, which each must get next.",
		Example: "  banyan bench joiners --sessions 10000 --retained\n  banyan bench joiners --listener",
		RunE:    of(&l, &plan, &plan.Options, load.Joiners),
	}
	l.flags(cmd, "session (unused here)")
	l.without(cmd, "inflight", "rate", "duration", "warmup", "syscalls")
	l.least = map[string]int{"sessions": 1}
	f := cmd.Flags()
	f.IntVar(&plan.Sessions, "sessions", 10_000, "sessions; the file limits of both processes bound them")
	f.BoolVar(&plan.Retained, "retained", false, "the topic has a retained event, and each session asks for it")
	f.BoolVar(&plan.Listener, "listener", false,
		"one more session is told of each that joins: it subscribes to wamp.session.on_join")
	return cmd
}
