package main

import (
	"context"

	"github.com/spf13/cobra"

	"banyan/bench"
)

func newBenchTopics() *cobra.Command {
	var l loadFlags
	var plan bench.TopicsPlan
	cmd := &cobra.Command{
		Use:     "topics",
		Short:   "Many topics with a few subscribers each; every event verified",
		Example: "  banyan bench topics --topics 10000 --per-topic 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.run(cmd, func(ctx context.Context, load bench.Load) (*bench.Report, error) {
				plan.Load = load
				return bench.Topics(ctx, plan)
			})
		},
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
	var plan bench.PatternsPlan
	cmd := &cobra.Command{
		Use:     "patterns",
		Short:   "Exact, prefix and wildcard subscriptions in equal parts; every event verified",
		Example: "  banyan bench patterns --patterns 100000\n  banyan bench patterns --patterns 3000 --matching 3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.run(cmd, func(ctx context.Context, load bench.Load) (*bench.Report, error) {
				plan.Load = load
				return bench.Patterns(ctx, plan)
			})
		},
	}
	l.flags(cmd, "publisher")
	f := cmd.Flags()
	f.IntVar(&plan.Patterns, "patterns", 10_000, "subscriptions, a third of each kind")
	f.IntVar(&plan.Matching, "matching", 1, "subscriptions that a publication matches: 1, or 3 (one of each kind)")
	f.IntVar(&plan.Sessions, "sessions", 100, "sessions that share the subscriptions")
	f.IntVar(&plan.Publishers, "publishers", 1, "publishers")
	return cmd
}

func newBenchMixed() *cobra.Command {
	var l loadFlags
	plan := bench.FanoutPlan{Mixed: true}
	cmd := &cobra.Command{
		Use:     "mixed",
		Short:   "Fan-out with MessagePack, JSON and CBOR at once; every event verified",
		Long:    "Fan-out in which publishers and subscribers take MessagePack, JSON and CBOR in turn: two of three events change their serializer.",
		Example: "  banyan bench mixed --subscribers 99",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.run(cmd, func(ctx context.Context, load bench.Load) (*bench.Report, error) {
				plan.Load = load
				return bench.Fanout(ctx, plan)
			})
		},
	}
	l.flags(cmd, "publisher")
	l.without(cmd, "serializer")
	f := cmd.Flags()
	f.IntVar(&plan.Subscribers, "subscribers", 99, "subscribers, a third of each serializer")
	f.IntVar(&plan.Publishers, "publishers", 3, "publishers, a third of each serializer")
	return cmd
}
