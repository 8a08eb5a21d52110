package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"banyan/bench/load"
)

// floorFlags are the flags of the scenarios that the floor can play.
func (l *loadFlags) floorFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&l.floor, "floor", false, "start a floor (see banyan bench floor) and a router in turn, fresh each round, and tell the router's cost\n"+
		"as a multiple of the floor's; of --url only the scheme counts: ws or rs")
	f.IntVar(&l.rounds, "rounds", 3, "with --floor: rounds of one run each")
	f.StringArrayVar(&l.serveFlags, "serve-flag", nil, "with --floor: flag for the router, for instance --serve-flag=--loops=1; repeatable")
}

// against runs s in turn against floor and router, both of this very binary.
func (l *loadFlags) against(cmd *cobra.Command, o load.Options, s scenario) (*load.Report, error) {
	scheme, _, _ := strings.Cut(o.URL, ":")
	if scheme != "ws" && scheme != "rs" {
		return nil, usagef("--floor with --url %s: the scheme must be ws or rs", o.URL)
	}
	if o.Batched {
		return nil, usagef("--floor with --batched: the floor does not speak batched WebSocket")
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := func(arguments ...string) func(ctx context.Context) (*load.Child, error) {
		return func(ctx context.Context) (*load.Child, error) {
			return load.StartChild(ctx, program, os.Args[0], arguments, scheme)
		}
	}
	const anyPort = "--listen=127.0.0.1:0"
	plan := load.VersusPlan{
		Rounds: l.rounds,
		Floor:  child("bench", "floor", anyPort),
		Router: child(append([]string{"serve", anyPort, "--log-level=warn", "--realm=" + o.Realm}, l.serveFlags...)...),
		Run: func(ctx context.Context, url string, pid int) (*load.Report, error) {
			o.URL, o.PID = url, pid
			return s(ctx, o)
		},
	}
	if !l.quiet {
		errs := cmd.ErrOrStderr()
		plan.Told = func(round int, side string, r *load.Report) {
			endLiveLine(errs, false)
			if r.Router == nil {
				return // an error follows
			}
			cost := fmt.Sprintf("%.0f ns of CPU per message", r.Router.CPUPerMessage)
			if r.Router.RSSPerSession > 0 {
				cost += fmt.Sprintf(", %.1f KiB per session", float64(r.Router.RSSPerSession)/1024)
			}
			fmt.Fprintf(errs, "round %d of %d  %-6s  %.0f/s, %s\n", round, l.rounds, side, r.PerSecond, cost)
		}
	}
	return load.Against(cmd.Context(), plan)
}
