package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// floorFlags are the flags of the scenarios that the floor can play.
func (l *loadFlags) floorFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&l.floor, "floor", false,
		"start a floor (see banyan bench floor) and a router in turn, fresh each round, and tell the router's cost\n"+
			"as a multiple of the floor's; of --url only the scheme counts: ws or rs")
	f.IntVar(&l.rounds, "rounds", 3, "with --floor: rounds of one run each")
	f.StringArrayVar(&l.serveFlags, "serve-flag", nil,
		"with --floor: flag for the router, for instance --serve-flag=--loops=1; repeatable")
}

// against runs s in turn against floor and router, both of this very binary.
func (l *loadFlags) against(cmd *cobra.Command, o load.Options, s scenario) (r *load.Report, err error) {
	scheme, _, _ := strings.Cut(o.URL, ":")
	if scheme != "ws" && scheme != "rs" {
		return nil, usagef("--floor with --url %s: the scheme must be ws or rs", o.URL)
	}
	if o.Batched {
		return nil, usagef("--floor with --batched: the floor does not speak batched WebSocket")
	}
	if o.Deflate {
		return nil, usagef("--floor with --deflate: the floor does not compress")
	}
	setup := setupFlags{Setup: peers.Setup{Realm: o.Realm, ServeFlags: l.serveFlags}}
	done, err := setup.completeOwn()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	run := func(ctx context.Context, side string) (*load.Report, error) {
		name := map[string]string{"floor": report.FloorName, "router": "banyan"}[side]
		p, err := setup.Prepare(ctx, name)
		if err != nil {
			return nil, err
		}
		return peers.Using(ctx, &setup.Setup, p, scheme,
			func(ctx context.Context, url string, pid int) (*load.Report, error) {
				o.URL, o.PID = url, pid
				return s(ctx, o)
			})
	}
	return load.Against(cmd.Context(), l.rounds, run, func(round int, side string, r *load.Report) {
		errs := cmd.ErrOrStderr()
		if l.quiet || r.Router == nil {
			return // without figures of the router an error follows
		}
		endLiveLine(errs, false)
		cost := fmt.Sprintf("%.0f ns of CPU per message", r.Router.CPUPerMessage)
		if r.Router.RSSPerSession > 0 {
			cost += fmt.Sprintf(", %.1f KiB per session", float64(r.Router.RSSPerSession)/1024)
		}
		fmt.Fprintf(errs, "round %d of %d  %-6s  %.0f/s, %s\n", round, l.rounds, side, r.PerSecond, cost)
	})
}
