package cli

import (
	"github.com/spf13/cobra"

	"banyan/bench/load"
)

func newBenchRPC() *cobra.Command {
	var l loadFlags
	var plan load.RPCPlan
	cmd := &cobra.Command{
		Use:   "rpc",
		Short: "Callers to an echoing procedure; every result verified",
		Example: "  banyan bench rpc --callers 16 --inflight 64\n" +
			"  banyan bench rpc --callers 1 --inflight 1\n" +
			"  taskset -c 0 banyan bench rpc --inflight 1 --floor",
		RunE: of(&l, &plan, &plan.Options, load.RPC),
	}
	l.flags(cmd, "caller")
	l.floorFlags(cmd)
	cmd.Flags().IntVar(&plan.Callers, "callers", 1, "callers")
	cmd.Flags().IntVar(&plan.Callees, "callees", 1, "callees that share the procedure in turn")
	cmd.Flags().StringVar(&plan.Procedure, "procedure", "", "procedure; default one of its own")
	l.least = map[string]int{"callers": 1, "callees": 1}
	return cmd
}

func newBenchProgressive() *cobra.Command {
	var l loadFlags
	var plan load.RPCPlan
	cmd := &cobra.Command{
		Use:     "progressive",
		Short:   "Calls with progressive results; every result and their order verified",
		Example: "  banyan bench progressive --results 100 --callers 4",
		RunE:    of(&l, &plan, &plan.Options, load.RPC),
	}
	l.flags(cmd, "caller")
	l.floorFlags(cmd)
	cmd.Flags().IntVar(&plan.Results, "results", 10, "results per call, the last one included; at least 2")
	cmd.Flags().IntVar(&plan.Callers, "callers", 1, "callers")
	cmd.Flags().IntVar(&plan.Callees, "callees", 1, "callees that share the procedure in turn")
	cmd.Flags().StringVar(&plan.Procedure, "procedure", "", "procedure; default one of its own")
	l.least = map[string]int{"callers": 1, "callees": 1, "results": 2}
	return cmd
}
