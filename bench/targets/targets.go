// Package targets measures the router against the project's speed targets.
//
//  1. A row of the table is one work. Our router plays it, and so do the sides that its figures are compared with:
//     the floor, a simpler work of ours, other routers if asked for.
//  2. They play in turn, A B C, C B A, …, a fresh process each time, so that a drift of the machine hits all alike.
//  3. A figure is the median over the rounds. Lost messages of our router fail it. If another router cannot be
//     prepared, its figures stay unmeasured.
package targets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// Options say what to measure and how.
type Options struct {
	peers.Setup
	Peers  []string // other routers to measure too, see peers.Names; ours and the floor always take part
	Rounds int      // of each row, 1 to 100
	Only   string   // measure the works that have this text in their names; empty for all

	// Judged gets each verdict of a row that was measured; Step is called before each run. Both may be nil.
	Judged func(*report.Target)
	Step   func(Step)
}

// A Step says where a measurement is.
type Step struct {
	Row, Rows     int // from 1
	Round, Rounds int // from 1; 0 is the trial before the rounds
	Work, Side    string
}

const (
	roundsMax       = 100
	roundsWithinMax = 80 // of a row that goes on until its interval is narrow
)

// A stage plays plans.
type stage interface {
	prepare(ctx context.Context, peer string) error
	describe(peer string) report.Peer
	// try plays plan for a moment and finds out how much the peer takes.
	try(ctx context.Context, plan *peers.Plan, peer string) (note string, err error)
	once(ctx context.Context, plan *peers.Plan, peer string) (*load.Report, error)
}

// Run measures. If it is interrupted, it returns an error and a document with the results so far.
func Run(ctx context.Context, o Options) (*report.Document, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	return o.run(ctx, &processes{Setup: &o.Setup, peers: map[string]*peers.Peer{}})
}

func (o *Options) run(ctx context.Context, on stage) (*report.Document, error) {
	if o.Rounds < 1 || o.Rounds > roundsMax {
		return nil, load.Usage("%d rounds: must be 1 to %d", o.Rounds, roundsMax)
	}
	if o.Judged == nil {
		o.Judged = func(*report.Target) {}
	}
	if o.Step == nil {
		o.Step = func(Step) {}
	}
	all := table(load.IdleMax())
	for _, p := range o.Peers {
		if !slices.Contains(peers.Names(), p) {
			return nil, load.Usage("peer %q: must be one of %v", p, peers.Names())
		}
		if p != ours && p != report.FloorName && !named(all, p) {
			return nil, load.Usage("peer %q: no target is about it; banyan bench compare measures it", p)
		}
	}
	t := &measurement{Options: o, stage: on, doc: report.New(""), absent: map[string]error{}}
	for i := range all {
		if strings.Contains(all[i].Name, o.Only) && t.sides(&all[i]) != nil {
			t.rows = append(t.rows, &all[i])
		}
	}
	if len(t.rows) == 0 {
		return nil, load.Usage("no target has %q in its name%s", o.Only, peersHint(all, o.Only))
	}
	return t.doc, t.run(ctx)
}

// peersHint names the cause when Only selects works that are only measured against peers.
func peersHint(all []row, only string) string {
	for i := range all {
		if strings.Contains(all[i].Name, only) {
			return " and needs no other router: name some with --peers"
		}
	}
	return ""
}

// named says whether some check is about the peer.
func named(all []row, peer string) bool {
	return slices.ContainsFunc(all, func(r row) bool {
		return slices.ContainsFunc(r.checks, func(c check) bool { return c.with == peer })
	})
}

// A measurement is a table under way.
type measurement struct {
	*Options
	stage
	rows   []*row
	doc    *report.Document
	absent map[string]error // peers that cannot take part, and why
}

// sides are the sides that play a row: ours first, then those that its checks compare with. Nil when no check can be
// made.
func (m *measurement) sides(r *row) []*side {
	all := []*side{{name: ours, peer: ours, plan: &r.Plan}}
	made := false
	for _, c := range r.checks {
		s := &side{name: c.with, peer: c.with, plan: &r.Plan}
		switch {
		case c.with == "", c.with == report.FloorName:
		case r.base != nil && c.with == r.base.Name:
			s.peer, s.plan = ours, r.base
		case slices.Contains(m.Peers, c.with):
			s.tried = true
		default:
			continue
		}
		made = true
		if c.with != "" && !slices.ContainsFunc(all, func(a *side) bool { return a.name == c.with }) {
			all = append(all, s)
		}
	}
	if !made {
		return nil
	}
	return all
}

func (m *measurement) run(ctx context.Context) error {
	var ready []string
	defer func() {
		for _, p := range ready {
			m.doc.Peers = append(m.doc.Peers, m.describe(p))
		}
	}()
	for _, p := range m.players() {
		if err := m.prepare(ctx, p); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			m.absent[p] = err
			m.doc.Peers = append(m.doc.Peers, report.Peer{Name: p, Skipped: err.Error()})
			continue
		}
		ready = append(ready, p)
	}
	for i, r := range m.rows {
		sides := m.sides(r)
		if err := m.measure(ctx, i+1, r, sides); err != nil {
			return err
		}
		for _, t := range r.judge(sides) {
			m.doc.Targets = append(m.doc.Targets, t)
			m.Judged(&t)
		}
	}
	return nil
}

// players lists the peers that play some row.
func (m *measurement) players() (all []string) {
	for _, r := range m.rows {
		for _, s := range m.sides(r) {
			if !slices.Contains(all, s.peer) {
				all = append(all, s.peer)
			}
		}
	}
	return all
}

// measure plays the rounds of a row. A side that cannot play keeps the reason. measure returns an error only when ctx
// ends.
func (m *measurement) measure(ctx context.Context, number int, r *row, sides []*side) (err error) {
	if r.skip != "" {
		return nil
	}
	if r.pinned {
		undo, err := pin()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, undo()) }()
	}
	rounds := m.Rounds
	if r.once {
		rounds = 1
		for _, s := range sides {
			plan := *s.plan
			plan.Rounds, s.plan = m.Rounds, &plan
		}
	}
	step := func(round int, s *side) {
		m.Step(Step{Row: number, Rows: len(m.rows), Round: round, Rounds: rounds, Work: r.Name, Side: s.name})
	}
	for _, s := range sides {
		s.out = m.absent[s.peer]
		if s.tried && s.out == nil {
			step(0, s)
			s.note, s.out = m.try(ctx, s.plan, s.peer)
		}
	}
	order := slices.Clone(sides)
	for round := 1; round == 1 || !r.enough(round-1, rounds, sides); round++ {
		for _, s := range order {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if s.out != nil {
				continue
			}
			step(round, s)
			one, err := m.once(ctx, s.plan, s.peer)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				s.out = fmt.Errorf("round %d: %w", round, err)
				continue
			}
			s.runs = append(s.runs, one)
			m.doc.Runs = append(m.doc.Runs, report.Run{Plan: r.Name, Peer: s.name, Round: round, Report: one})
		}
		if sides[0].out != nil {
			return nil // there is nothing to compare with
		}
		slices.Reverse(order)
	}
	return nil
}

// pin puts everything on one CPU.
func pin() (undo func() error, err error) {
	granted, err := load.GrantedCPUs()
	if err != nil {
		return nil, err
	}
	return granted.First().Pin()
}

// processes is the stage of real routers.
type processes struct {
	*peers.Setup
	peers map[string]*peers.Peer
}

func (p *processes) prepare(ctx context.Context, peer string) (err error) {
	p.peers[peer], err = p.Prepare(ctx, peer)
	return err
}

func (p *processes) describe(peer string) report.Peer { return p.peers[peer].Describe() }

func (p *processes) try(ctx context.Context, plan *peers.Plan, peer string) (note string, err error) {
	note, err = p.Try(ctx, plan, p.peers[peer])
	p.peers[peer].Note(plan, note)
	return note, err
}

func (p *processes) once(ctx context.Context, plan *peers.Plan, peer string) (*load.Report, error) {
	return p.Once(ctx, plan, p.peers[peer])
}
