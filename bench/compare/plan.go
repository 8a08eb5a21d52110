package compare

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"banyan/bench"
)

// A plan is a load that every peer gets.
type plan struct {
	name     string // as given
	scenario string // "fanout" or "rpc"
	size     int    // subscribers or callers
	inFlight int    // per publisher or caller
}

// planDefaults are the plans without numbers.
var planDefaults = map[string]plan{
	"fanout": {scenario: "fanout", size: 100, inFlight: 32},
	"rpc":    {scenario: "rpc", size: 16, inFlight: 64},
}

const (
	planSizeMax     = 100_000
	planInFlightMax = 100_000
)

// PlanSyntax tells how plans are written.
const PlanSyntax = "fanout[:SUBSCRIBERS[xINFLIGHT]], rpc[:CALLERS[xINFLIGHT]]; fanout is fanout:100x32, rpc is rpc:16x64"

// parsePlan reads a plan.
func parsePlan(text string) (*plan, error) {
	name, sizes, sized := strings.Cut(text, ":")
	p, known := planDefaults[name]
	if !known {
		return nil, usage("plan %q: want %s", text, PlanSyntax)
	}
	p.name = text
	if !sized {
		return &p, nil
	}
	first, second, both := strings.Cut(sizes, "x")
	var err error
	if p.size, err = strconv.Atoi(first); err != nil || p.size < 1 || p.size > planSizeMax {
		return nil, usage("plan %q: want %s, sizes from 1 to %d", text, PlanSyntax, planSizeMax)
	}
	if both {
		if p.inFlight, err = strconv.Atoi(second); err != nil || p.inFlight < 1 || p.inFlight > planInFlightMax {
			return nil, usage("plan %q: want %s, in flight from 1 to %d", text, PlanSyntax, planInFlightMax)
		}
	}
	return &p, nil
}

// run plays the plan over WAMP.
func (p *plan) run(ctx context.Context, load bench.Load) (*bench.Report, error) {
	if p.scenario == "fanout" {
		return bench.Fanout(ctx, bench.FanoutPlan{Load: load, Subscribers: p.size})
	}
	return bench.RPC(ctx, bench.RPCPlan{Load: load, Callers: p.size})
}

func (p *plan) about() string {
	if p.scenario == "fanout" {
		return fmt.Sprintf("1 publisher, %d subscribers, %d publications in flight", p.size, p.inFlight)
	}
	return fmt.Sprintf("%d callers, 1 callee, %d calls in flight each", p.size, p.inFlight)
}
