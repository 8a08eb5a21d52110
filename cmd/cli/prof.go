package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"banyan/profiles"
)

func newProf() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prof FILE",
		Short: "Sum a CPU profile by category, judge it, browse it, record the canonical ones",
		Long: "Read a CPU profile in pprof's format and print where the time went: system calls, scheduler,\n" +
			"garbage collection, allocation, memory, maps, codec, engine, realm and the rest, by the function\n" +
			"that was running.",
		Example: "  banyan serve --cpu-profile cpu.pb.gz\n" +
			"  banyan prof cpu.pb.gz\n" +
			"  banyan prof open cpu.pb.gz\n" +
			"  banyan prof check cpu.pb.gz --scenario rpc-16x64",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			s, err := profiles.Sum(p)
			if err != nil {
				return err
			}
			s.Print(cmd.OutOrStdout())
			return nil
		},
	}
	cmd.AddCommand(newProfOpen(), newProfCheck(), newProfRecord())
	return cmd
}

// readProfile reads a profile; a file that cannot be read is wrong usage.
func readProfile(file string) (*profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, usagef("%v", err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", file, err)
	}
	return p, nil
}

func newProfCheck() *cobra.Command {
	var scenario string
	cmd := &cobra.Command{
		Use:   "check FILE --scenario NAME",
		Short: "Hold a CPU profile of the router against the budget of a scenario",
		Long: fmt.Sprintf("Hold a CPU profile of the router, recorded under one of the canonical scenarios,\n"+
			"against its budget: the share of the time that each kind of work may have, and functions that\n"+
			"should not be there. A broken budget names the functions that grew since the budget was agreed on,\n"+
			"and is exit code 1. A profile of fewer than %d samples is not judged.\n\nScenarios: %s.",
			profiles.SamplesMin, strings.Join(profiles.Scenarios, ", ")),
		Example: "  banyan prof check cpu.pb.gz --scenario fanout-1000",
		RunE: func(cmd *cobra.Command, args []string) error {
			if profiles.Bounds(scenario) == nil {
				return usagef("--scenario %q: use one of %s", scenario, strings.Join(profiles.Scenarios, ", "))
			}
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			v, err := profiles.Check(p, scenario)
			var few *profiles.TooFewSamplesError
			if errors.As(err, &few) {
				return &hintedError{
					code: exitDoubt, what: few.Error(),
					try: "banyan prof record, which goes on until there are enough",
				}
			}
			if err != nil {
				return err
			}
			v.Print(cmd.OutOrStdout())
			if !v.OK() {
				return fmt.Errorf("%d budgets of %s are broken, see above", len(v.Breaches), scenario)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&scenario, "scenario", "", "the scenario the profile was recorded under")
	return cmd
}
