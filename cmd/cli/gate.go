package cli

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"banyan/bench/compare"
	"banyan/bench/judge"
	"banyan/bench/report"
)

const toleranceMax = 1000 // percent

func newBenchGate() *cobra.Command {
	var (
		baseline, results, peer string
		percent                 float64
	)
	cmd := &cobra.Command{
		Use:   "gate",
		Short: "Fail when the router's cost got worse than a baseline",
		Long: "Compare two results.json of banyan bench compare, or of another benchmark with --floor --out, and\n" +
			"fail when a cost got worse: CPU time per message as a multiple of the floor's in the same round, and\n" +
			"CPU time per message itself if the machines are of one kind.\n" +
			"Exit code 7 when something is worse by more than --max and a Mann-Whitney test tells it from\n" +
			"chance, was not run, or failed its verification; 8 when it is worse by more than --max but may be\n" +
			"chance: more rounds, at least 4, tell.",
		Example: "  banyan bench compare --peers banyan,floor --rounds 5 --out now\n" +
			"  banyan bench gate --baseline baseline.json --results now/results.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if percent < 0 || percent > toleranceMax {
				return usagef("--max %g: must be 0 to %d percent", percent, toleranceMax)
			}
			old, err := readDocument(baseline, "--baseline")
			if err != nil {
				return err
			}
			now, err := readDocument(results, "--results")
			if err != nil {
				return err
			}
			return gate(cmd.OutOrStdout(), compare.Gate(old, now, peer, percent/100), peer)
		},
	}
	f := cmd.Flags()
	f.StringVar(&baseline, "baseline", "", "results.json to compare with")
	f.StringVar(&results, "results", "", "results.json to judge")
	f.StringVar(&peer, "peer", "banyan", "the router whose cost is judged")
	f.Float64Var(&percent, "max", 10, "percent that a cost may grow by")
	for _, required := range []string{"baseline", "results"} {
		if err := cmd.MarkFlagRequired(required); err != nil {
			panic(err) // the flag is defined above
		}
	}
	return cmd
}

func readDocument(file, flag string) (*report.Document, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &hintedError{
			code: exitUsage, what: flag + " cannot be read", why: err,
			try: "banyan bench compare --out FOLDER writes FOLDER/results.json",
		}
	}
	defer f.Close()
	d, err := report.Read(f)
	if err != nil {
		return nil, &hintedError{code: exitUsage, what: flag + " " + file + " is not what it should be", why: err}
	}
	return d, nil
}

// gate prints the checks and turns the worst of them into an exit code.
func gate(w io.Writer, checks []compare.Check, peer string) error {
	counts := map[judge.Verdict]int{}
	tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	plan := ""
	for _, c := range checks {
		counts[c.Verdict]++
		if c.Plan != plan {
			tab.Flush() // columns of one plan at a time
			fmt.Fprintln(w, c.Plan)
			plan = c.Plan
		}
		fmt.Fprintf(tab, "  %s\t%s", c.Verdict.Text(), c.Figure)
		if c.Old > 0 {
			fmt.Fprintf(tab, "\t%.4g → %.4g", c.Old, c.New)
		}
		fmt.Fprintf(tab, "\t%s\n", c.Why)
	}
	tab.Flush()
	broken := counts[judge.Missed] + counts[judge.Failed]
	switch {
	case len(checks) == 0:
		return &hintedError{code: exitUsage, what: "the baseline has no runs of " + peer, try: "--peer NAME"}
	case broken > 0:
		return &hintedError{code: exitWorse, what: fmt.Sprintf("%d of %d checks failed", broken, len(checks))}
	case counts[judge.Noisy] > 0:
		return &hintedError{
			code: exitDoubt, what: fmt.Sprintf("%d of %d checks are unclear", counts[judge.Noisy], len(checks)),
			try: "more --rounds on a quiet machine, for the baseline and the results",
		}
	case counts[judge.Met] == 0:
		return &hintedError{
			code: exitDoubt, what: "nothing could be checked",
			try: "a baseline with the floor: banyan bench compare --peers banyan,floor",
		}
	}
	return nil
}
