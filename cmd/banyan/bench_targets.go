package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench"
)

func newBenchTargets() *cobra.Command {
	var plan bench.TargetsPlan
	var serveFlags []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "Measure Banyan against its own speed targets",
		Long: "Measure each of the project's speed targets that needs no other router: the cost of the router as a multiple of the floor's, or of a\n" +
			"simpler load's, in turn and with fresh processes; memory; what churn and stopped readers do. Exits with 1 when one is missed.\n" +
			"Takes about a minute per round and second of --duration.",
		Example: "  banyan bench targets\n  banyan bench targets --only rpc --rounds 5",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			const anyPort = "--listen=127.0.0.1:0"
			plan.Floor = func(ctx context.Context, scheme string) (*bench.Child, error) {
				return bench.StartChild(ctx, program, os.Args[0], []string{"bench", "floor", anyPort}, scheme)
			}
			plan.Router = func(ctx context.Context, scheme string) (*bench.Child, error) {
				arguments := append([]string{"serve", anyPort, "--log-level=warn"}, serveFlags...)
				return bench.StartChild(ctx, program, os.Args[0], arguments, scheme)
			}
			out := cmd.OutOrStdout()
			if !asJSON {
				plan.Told = func(o bench.Outcome) { o.Print(out) }
			}
			outcomes, err := bench.Targets(cmd.Context(), plan)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				if err := e.Encode(outcomes); err != nil {
					return err
				}
			}
			missed := 0
			for _, o := range outcomes {
				if !o.Met {
					missed++
				}
			}
			if missed > 0 {
				return fmt.Errorf("%d of %d targets were missed", missed, len(outcomes))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntVar(&plan.Rounds, "rounds", 3, "rounds of each target")
	f.DurationVar(&plan.Duration, "duration", 2*time.Second, "time of measuring in each run")
	f.DurationVar(&plan.Warmup, "warmup", 500*time.Millisecond, "time before measuring in each run")
	f.StringVar(&plan.Only, "only", "", "measure only what has this text in its name")
	f.StringArrayVar(&serveFlags, "serve-flag", nil, "flag for the router, for instance --serve-flag=--loops=1; repeatable")
	f.BoolVar(&asJSON, "json", false, "print the table as JSON")
	return cmd
}
