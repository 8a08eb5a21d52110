package main

import (
	"os"

	"github.com/spf13/cobra"

	"banyan/profiles"
)

func newProf() *cobra.Command {
	return &cobra.Command{
		Use:   "prof FILE",
		Short: "Sum a CPU profile by category",
		Long: "Read a CPU profile in pprof's format and print where the time went: system calls, scheduler, garbage collection, allocation, memory,\n" +
			"codec, engine, realm and the rest, by the function that was running.",
		Example: "  go test -run '^$' -bench Publish -cpuprofile cpu.pb.gz ./realm\n  banyan prof cpu.pb.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return usagef("%v", err)
			}
			defer f.Close()
			s, err := profiles.Read(f)
			if err != nil {
				return err
			}
			s.Print(cmd.OutOrStdout())
			return nil
		},
	}
}
