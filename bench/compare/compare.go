// Package compare runs routers in turn under the same load and says what differs, after a statistical test and not before.
//
//  1. Each peer is prepared once: built from its pinned version, or found; what cannot be had is skipped with the reason.
//  2. Each plan is tried on each peer for a moment. A peer that loses messages gets fewer in flight, and the report says so.
//  3. Rounds: A B C, C B A, A B C …, a fresh process each time, so that a drift of the machine hits all alike.
//  4. Medians are compared by a Mann-Whitney test with those of the first peer.
package compare

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"banyan/bench"
	"banyan/bench/report"
	"banyan/codec"
)

// Options of a comparison.
type Options struct {
	Peers  []string // names, see Names; the first is what the others are compared with
	Plans  []string // see ParsePlan
	Rounds int      // 1 to 100

	Program string // our own binary
	Argv0   string // what it is told to be called
	Source  string // the checkout that has bench/peers
	Cache   string // folder for built peers; kept
	Scratch string // folder for configurations and logs of this run

	Serializer   codec.Serializer
	PayloadBytes int
	Warmup       time.Duration
	Duration     time.Duration

	// Told gets a line about each step. May be nil.
	Told func(format string, args ...any)
}

const (
	roundsMax = 100
	trialTime = time.Second // of a plan on a peer before the rounds
)

// A UsageError says which option is wrong.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

// Run compares. The document holds what was found even when some peers could not take part; the error is about what prevented all of it.
func Run(ctx context.Context, o Options) (*report.Document, error) {
	if o.Told == nil {
		o.Told = func(string, ...any) {}
	}
	if o.Rounds < 1 || o.Rounds > roundsMax {
		return nil, usage("%d rounds: must be 1 to %d", o.Rounds, roundsMax)
	}
	var plans []*plan
	for _, text := range o.Plans {
		p, err := parsePlan(text)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	if len(plans) == 0 || len(o.Peers) == 0 {
		return nil, usage("at least one plan and one peer")
	}
	c := &comparison{Options: o, plans: plans}
	for i, name := range o.Peers {
		if !slices.Contains(Names(), name) {
			return nil, usage("peer %q: must be one of %v", name, Names())
		}
		if slices.Contains(o.Peers[:i], name) {
			return nil, usage("peer %q twice", name)
		}
	}
	return c.run(ctx)
}

type comparison struct {
	Options
	plans []*plan
	peers []*peer // that take part
	doc   *report.Document
}

func (c *comparison) run(ctx context.Context) (*report.Document, error) {
	c.doc = report.New("")
	for _, name := range c.Peers {
		p, err := c.prepare(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			c.Told("%-8s  skipped: %v", name, err)
			c.doc.Peers = append(c.doc.Peers, report.Peer{Name: name, Skipped: err.Error()})
			continue
		}
		c.peers = append(c.peers, p)
	}
	for _, plan := range c.plans {
		if err := c.compare(ctx, plan); err != nil {
			return nil, err
		}
	}
	for _, p := range c.peers {
		c.doc.Peers = append(c.doc.Peers, report.Peer{
			Name: p.name, Version: p.version, Command: p.shown(), Config: p.config, Notes: p.notes,
		})
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
func (c *comparison) compare(ctx context.Context, plan *plan) error {
	var playing []*peer
	for _, p := range c.peers {
		if why := c.try(ctx, plan, p); why != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.Told("%-8s  does not play %s: %v", p.name, plan.name, why)
			p.notes = append(p.notes, fmt.Sprintf("did not play %s: %v", plan.name, why))
			continue
		}
		playing = append(playing, p)
	}
	for round := 1; round <= c.Rounds; round++ {
		for _, p := range playing {
			r, err := c.once(ctx, plan, p, c.Duration)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return fmt.Errorf("compare: %s, %s, round %d: %w", plan.name, p.name, round, err)
			}
			c.doc.Runs = append(c.doc.Runs, report.Run{Plan: plan.name, Peer: p.name, Round: round, Report: r})
			c.Told("%s  round %d of %d  %-8s  %s", plan.name, round, c.Rounds, p.name, brief(r))
		}
		slices.Reverse(playing)
	}
	if len(playing) > 0 {
		table, verdicts := judge(c.doc, plan, c.Peers)
		c.doc.Tables = append(c.doc.Tables, table)
		c.doc.Verdicts = append(c.doc.Verdicts, verdicts...)
	}
	return nil
}

func brief(r *bench.Report) string {
	many, one := r.Nouns()
	var parts []string
	if r.PerSecond > 0 {
		parts = append(parts, fmt.Sprintf("%s %s/s", report.Grouped(r.PerSecond), many))
	}
	if r.Router != nil && r.Router.CPUPerMessage > 0 {
		parts = append(parts, fmt.Sprintf("%s of CPU per %s", report.Nanos(r.Router.CPUPerMessage), one))
	}
	if r.Router != nil && r.Router.RSSPerSession > 0 {
		parts = append(parts, report.Bytes(float64(r.Router.RSSPerSession))+" per session")
	}
	if !r.Verified.OK {
		parts = append(parts, "VERIFICATION FAILED")
	}
	return strings.Join(parts, ", ")
}

// try finds out how many messages in flight the peer takes without losing any: those of the plan, or fewer. One that loses them whatever
// the number plays with those of the plan, and its losses stand in the report.
func (c *comparison) try(ctx context.Context, plan *plan, p *peer) error {
	var lost string
	for n := plan.inFlight; ; n /= 4 {
		p.inFlight[plan.name] = n
		r, err := c.once(ctx, plan, p, min(trialTime, c.Duration))
		if err != nil {
			return err
		}
		if r.Verified.OK {
			if n < plan.inFlight {
				p.notes = append(p.notes, fmt.Sprintf("%s: %d in flight instead of %d, with more it fails: %s", plan.name, n, plan.inFlight, lost))
			}
			return nil
		}
		for kind, count := range r.Verified.Failures {
			lost = fmt.Sprintf("%d × %s", count, kind)
		}
		if n/4 < 1 {
			break
		}
	}
	p.inFlight[plan.name] = plan.inFlight
	p.notes = append(p.notes, fmt.Sprintf("%s: fails with few in flight too: %s", plan.name, lost))
	return nil
}

// once runs a plan once on a fresh process.
func (c *comparison) once(ctx context.Context, plan *plan, p *peer, duration time.Duration) (r *bench.Report, err error) {
	process, err := p.start(ctx, filepath.Join(c.Scratch, p.name+".log"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, process.stop()) }()
	load := bench.Load{
		URL: process.url, Realm: realm, Serializer: c.Serializer, PayloadBytes: c.PayloadBytes,
		InFlight: p.inFlight[plan.name], Warmup: c.Warmup, Duration: duration,
	}
	if !p.workers {
		load.PID = process.cmd.Process.Pid
	}
	return p.play(ctx, plan, load)
}
