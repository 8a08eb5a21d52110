package cli

import (
	"github.com/spf13/cobra"

	"banyan/bench/load"
)

func newBenchTopics() *cobra.Command {
	var l loadFlags
	var plan load.TopicsPlan
	cmd := &cobra.Command{
		Use:     "topics",
		Short:   "Many topics with a few subscribers each; every event verified",
		Example: "  banyan bench topics --topics 10000 --per-topic 3",
		RunE:    of(&l, &plan, &plan.Options, load.Topics),
	}
	l.flags(cmd, "publisher")
	f := cmd.Flags()
	f.IntVar(&plan.Topics, "topics", 10_000, "topics, published to in a spread order")
	f.IntVar(&plan.PerTopic, "per-topic", 3, "subscribers of each topic")
	f.IntVar(&plan.Sessions, "sessions", 300, "sessions that share the subscriptions")
	f.IntVar(&plan.Publishers, "publishers", 1, "publishers")
	return cmd
}

func newBenchPatterns() *cobra.Command {
	var l loadFlags
	var plan load.PatternsPlan
	cmd := &cobra.Command{
		Use:     "patterns",
		Short:   "Exact, prefix and wildcard subscriptions in equal parts; every event verified",
		Example: "  banyan bench patterns --patterns 100000\n  banyan bench patterns --patterns 3000 --matching 3",
		RunE:    of(&l, &plan, &plan.Options, load.Patterns),
	}
	l.flags(cmd, "publisher")
	f := cmd.Flags()
	f.IntVar(&plan.Patterns, "patterns", 10_000, "subscriptions, a third of each kind")
	f.IntVar(&plan.Matching, "matching", 1, "subscriptions that a publication matches: 1, or 3 (one of each kind)")
	f.IntVar(&plan.Sessions, "sessions", 100, "sessions that share the subscriptions")
	f.IntVar(&plan.Publishers, "publishers", 1, "publishers")
	return cmd
}

func newBenchSlow() *cobra.Command {
	var l loadFlags
	var plan load.SlowPlan
	cmd := &cobra.Command{
		Use:   "slow",
		Short: "Subscribers that never read: what they do to the others",
		Long: "Fan-out at a fixed rate, first without and then with subscribers that never read: the p99 of the\n" +
			"others in both, the router's memory, and whether the stopped readers were closed. Takes twice\n" +
			"--duration.",
		Example: "  banyan bench slow --stopped 10 --rate 1000",
		RunE:    of(&l, &plan, &plan.Options, load.Slow),
	}
	l.flags(cmd, "publisher")
	l.without(cmd, "inflight")
	redefault(cmd, "payload", "4096")
	redefault(cmd, "rate", "500")
	cmd.Flags().Lookup("rate").Usage = "publications per second"
	f := cmd.Flags()
	f.IntVar(&plan.Subscribers, "subscribers", 100, "subscribers that read")
	f.IntVar(&plan.Stopped, "stopped", 1, "subscribers that do not")
	return cmd
}

func newBenchChurn() *cobra.Command {
	var l loadFlags
	var plan load.ChurnPlan
	cmd := &cobra.Command{
		Use:   "churn",
		Short: "Subscribe and unsubscribe while publishing: cost of a cycle, and what it does to the events",
		Long: "Fan-out at a fixed rate, first without and then with sessions that subscribe and unsubscribe all\n" +
			"the time: what a cycle costs the router, and the p99 of the events in both. Takes twice --duration.",
		Example: "  banyan bench churn --churners 20 --cycles 50000",
		RunE:    of(&l, &plan, &plan.Options, load.Churn),
	}
	l.flags(cmd, "churner: the cycles of a burst")
	redefault(cmd, "rate", "500")
	cmd.Flags().Lookup("rate").Usage = "publications per second"
	f := cmd.Flags()
	f.IntVar(&plan.Subscribers, "subscribers", 100, "subscribers that stay")
	f.IntVar(&plan.Churners, "churners", 10, "sessions that subscribe and unsubscribe")
	f.Float64Var(&plan.Cycles, "cycles", 20_000, "cycles per second of all of them, in bursts of --inflight")
	return cmd
}

func newBenchSoak() *cobra.Command {
	var l loadFlags
	var plan load.SoakPlan
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Publications, calls and sessions for hours; fails on loss and on growth",
		Long: "Publications, calls and sessions that come and go, all at once and at fixed rates, for --duration.\n" +
			"Fails when a message is lost, twice, out of order or changed, and when the router's memory grows by\n" +
			"more than 10 % (at least 8 MiB) from the second to the last quarter.",
		Example: "  banyan bench soak --duration 8h --quiet",
		RunE:    of(&l, &plan, &plan.Options, load.Soak),
	}
	l.flags(cmd, "sender")
	l.without(cmd, "inflight")
	redefault(cmd, "rate", "200")
	cmd.Flags().Lookup("rate").Usage = "publications per second, and as many calls"
	redefault(cmd, "duration", "10m")
	f := cmd.Flags()
	f.IntVar(&plan.Subscribers, "subscribers", 20, "subscribers")
	f.IntVar(&plan.Callers, "callers", 4, "callers")
	f.IntVar(&plan.Sessions, "sessions", 10, "sessions that come and go per second")
	return cmd
}

func newBenchMixed() *cobra.Command {
	var l loadFlags
	plan := load.FanoutPlan{Mixed: true}
	cmd := &cobra.Command{
		Use:   "mixed",
		Short: "Fan-out with MessagePack, JSON and CBOR at once; every event verified",
		Long: "Fan-out in which publishers and subscribers take MessagePack, JSON and CBOR in turn: two of three\n" +
			"events change their serializer.",
		Example: "  banyan bench mixed --subscribers 99",
		RunE:    of(&l, &plan, &plan.Options, load.Fanout),
	}
	l.flags(cmd, "publisher")
	l.without(cmd, "serializer")
	f := cmd.Flags()
	f.IntVar(&plan.Subscribers, "subscribers", 99, "subscribers, a third of each serializer")
	f.IntVar(&plan.Publishers, "publishers", 3, "publishers, a third of each serializer")
	return cmd
}
