// Package compare runs routers in turn under the same load and says what differs, after a statistical test and not
// before.
//
//  1. Each peer is prepared once: built from its pinned version, or found; a peer that cannot be prepared is skipped,
//     and the report says why.
//  2. Each plan is tried on each peer for a moment. A peer that loses messages gets fewer in flight, and the report
//     says so.
//  3. Rounds: A B C, C B A, A B C …, a fresh process each time, so that a drift of the machine hits all alike.
//  4. Medians are compared by a Mann-Whitney test with those of the first peer.
package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banyan/bench/judge"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// Options of a comparison.
type Options struct {
	peers.Setup
	Peers  []string // names, see peers.Names; the first is what the others are compared with
	Plans  []string // see peers.ParsePlan
	Rounds int      // 1 to 100
	Rate   float64  // messages per second of the plans that have a rate, all senders together; 0 is the closed loop
}

const (
	roundsMax = 100
	rateMax   = 1e9
)

// Run compares. The document holds the results even when some peers could not take part; Run returns an error when no
// peer could.
func Run(ctx context.Context, o Options) (*report.Document, error) {
	if err := o.Setup.Check(); err != nil {
		return nil, err
	}
	if o.Rounds < 1 || o.Rounds > roundsMax {
		return nil, load.Usage("%d rounds: must be 1 to %d", o.Rounds, roundsMax)
	}
	if o.Rate < 0 || o.Rate > rateMax {
		return nil, load.Usage("rate %g: must be 0 to %g per second", o.Rate, rateMax)
	}
	c := &comparison{Options: o, doc: report.New("")}
	c.stage = &c.Setup
	rated := 0
	for _, text := range o.Plans {
		p, err := peers.ParsePlan(text)
		if err != nil {
			return nil, err
		}
		switch {
		case o.Rate == 0:
		case p.HasRate():
			p.Rate = o.Rate
			rated++
		default:
			c.doc.Notes = append(c.doc.Notes, fmt.Sprintf("%s: nothing is sent, the rate means nothing to it",
				p.Name))
		}
		c.plans = append(c.plans, p)
	}
	if o.Rate > 0 && rated == 0 {
		return nil, load.Usage("rate %g: none of the plans %v sends anything", o.Rate, o.Plans)
	}
	if len(c.plans) == 0 || len(o.Peers) == 0 {
		return nil, load.Usage("at least one plan and one peer")
	}
	for i, name := range o.Peers {
		if !slices.Contains(peers.Names(), name) {
			return nil, load.Usage("peer %q: must be one of %v", name, peers.Names())
		}
		if slices.Contains(o.Peers[:i], name) {
			return nil, load.Usage("peer %q twice", name)
		}
	}
	return c.run(ctx)
}

// A stage plays plans.
type stage interface {
	Try(ctx context.Context, plan *peers.Plan, p *peers.Peer) (note string, err error)
	Once(ctx context.Context, plan *peers.Plan, p *peers.Peer) (*load.Report, error)
}

type comparison struct {
	Options
	stage stage
	plans []*peers.Plan
	ready []*peers.Peer // the peers that take part
	doc   *report.Document
}

func (c *comparison) run(ctx context.Context) (d *report.Document, err error) {
	undo, err := c.PinClients()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, undo()) }()
	c.doc.Notes = append(c.doc.Notes, c.Conditions()...)
	for _, name := range c.Peers {
		p, err := c.Prepare(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			c.Told("%-8s  skipped: %v", name, err)
			c.doc.Peers = append(c.doc.Peers, report.Peer{Name: name, Skipped: err.Error()})
			continue
		}
		c.ready = append(c.ready, p)
	}
	for _, plan := range c.plans {
		if err := c.compare(ctx, plan); err != nil {
			return nil, err
		}
	}
	for _, p := range c.ready {
		c.doc.Peers = append(c.doc.Peers, p.Describe())
	}
	slices.SortStableFunc(c.doc.Peers, func(a, b report.Peer) int {
		return slices.Index(c.Peers, a.Name) - slices.Index(c.Peers, b.Name)
	})
	if len(c.doc.Runs) == 0 {
		return c.doc, errors.New("compare: no peer could run")
	}
	return c.doc, nil
}

// compare runs one plan on all peers.
func (c *comparison) compare(ctx context.Context, plan *peers.Plan) error {
	var playing []*peers.Peer
	for _, p := range c.ready {
		note, why := c.stage.Try(ctx, plan, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if why != nil {
			c.Told("%-8s  does not play %s: %v", p.Name, plan.Name, why)
			note = fmt.Sprintf("does not play: %v", why)
		} else {
			playing = append(playing, p)
		}
		p.Note(plan, note)
	}
	for round := 1; round <= c.Rounds; round++ {
		for _, p := range playing {
			r, err := c.stage.Once(ctx, plan, p)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("compare: %s, %s, round %d: %w", plan.Name, p.Name, round, err)
			}
			c.doc.Runs = append(c.doc.Runs, report.Run{Plan: plan.Name, Peer: p.Name, Round: round, Report: r})
			c.Told("%s  round %d of %d  %-8s  %s", plan.Name, round, c.Rounds, p.Name, brief(r))
		}
		slices.Reverse(playing)
	}
	for _, p := range playing {
		p.Note(plan, uncounted(c.doc.Of(plan.Name, p.Name)))
	}
	if len(playing) > 0 {
		t, verdicts := table(c.doc, plan, c.Peers)
		c.doc.Tables = append(c.doc.Tables, t)
		c.doc.Verdicts = append(c.doc.Verdicts, verdicts...)
	}
	return nil
}

// uncounted tells why system calls were not counted in some run; empty when they were, or were not meant to be.
func uncounted(reports []*load.Report) string {
	for _, r := range reports {
		if r.Router != nil && r.Router.NoSyscalls != "" {
			return "system calls not counted: " + r.Router.NoSyscalls
		}
	}
	return ""
}

func brief(r *load.Report) string {
	many, one := r.Nouns()
	var parts []string
	if r.PerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%s %s/s", judge.Grouped(r.PerSecond), many))
	}
	if r.Router != nil && r.Router.CPUPerMessage > 0 {
		parts = append(parts, fmt.Sprintf("%s of CPU per %s", judge.Nanos(r.Router.CPUPerMessage), one))
	}
	if r.Router != nil && r.Router.RSSPerSession > 0 {
		parts = append(parts, judge.Bytes(float64(r.Router.RSSPerSession))+" per session")
	}
	if !r.Verified.OK {
		parts = append(parts, "VERIFICATION FAILED")
	}
	return strings.Join(parts, ", ")
}
