// Package cli is the command line of banyan: the router with its wiring, a client, the benchmarks.
package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// Run executes one command line and returns its exit code (exit.go). The first signal that asks the process to end
// cancels what runs.
func Run(args []string, in io.Reader, out, errs io.Writer) int {
	ctx, stop := untilSignal()
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return explain(errs, cmd, err)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "banyan",
		Short: "A fast WAMP v2 router, with a client and benchmarks for the command line",
		Example: `  banyan demo                          a router under visible load, nothing to set up
  banyan serve                         a router on 127.0.0.1:8080
  banyan sub com.example.hello         wait for events
  banyan pub com.example.hello hi      publish one
  banyan bench fanout                  load a router and verify every event`,
		Version:       buildName(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetVersionTemplate("banyan {{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(
		&cobra.Group{ID: "router", Title: "The router:"},
		&cobra.Group{ID: "users", Title: "Users of the router:"},
		&cobra.Group{ID: "client", Title: "A client:"},
		&cobra.Group{ID: "measure", Title: "Measuring:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("router", newServe(), newReload(), newDrain(), newStatus(), newInit(), newCheck(), newConfig(),
		newDemo())
	add("users", newPasswd(), newKeygen(), newHashTicket())
	add("client", newPub(), newSub(), newCall(), newRegister())
	add("measure", newBench(), newProf())
	root.AddCommand(newVersion())
	judgeHelp(root)
	markRunning(root)
	judgeCommandLine(root)
	return root
}
