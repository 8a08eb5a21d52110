// Package report writes the results of benchmarks: one HTML file that opens offline, JSON, and HDR percentiles.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"banyan/bench/judge"
	"banyan/bench/load"
)

// Schema names the form of a Document in JSON.
const Schema = "banyan-bench-set/1"

// A Document is what one report shows and results.json holds: the runs of one or several plans against one or several
// routers.
type Document struct {
	Schema   string   `json:"schema"`
	Created  string   `json:"created"` // RFC 3339
	Command  string   `json:"command"`
	Verdicts []string `json:"verdicts"`        // a sentence each
	Notes    []string `json:"notes,omitempty"` // likewise: under what conditions it ran
	Targets  []Target `json:"targets,omitempty"`
	Peers    []Peer   `json:"peers,omitempty"`
	Tables   []Table  `json:"tables,omitempty"`
	Runs     []Run    `json:"runs"`
}

// A Peer is one router of a comparison.
type Peer struct {
	Name    string   `json:"name"`
	Version string   `json:"version,omitempty"`
	Command string   `json:"command,omitempty"`
	Config  string   `json:"config,omitempty"`
	Notes   []string `json:"notes,omitempty"`   // differences from the other peers
	Skipped string   `json:"skipped,omitempty"` // why it did not take part
}

// A Run is one report and where it belongs.
type Run struct {
	Plan   string       `json:"plan"` // name within the document, such as "fanout"
	Peer   string       `json:"peer"`
	Round  int          `json:"round"` // from 1
	Report *load.Report `json:"report"`
}

// A Table compares the peers on one plan: a row for each figure, a cell for each peer.
type Table struct {
	Plan  string   `json:"plan"`
	About string   `json:"about"`
	Peers []string `json:"peers"`
	Rows  []Row    `json:"rows"`
}

// A Row is one figure.
type Row struct {
	Figure string `json:"figure"`
	Cells  []Cell `json:"cells"`
}

// A Cell is one figure of one peer.
type Cell struct {
	Text  string        `json:"text"`            // the median, with its unit
	Value float64       `json:"value,omitempty"` // the median
	Delta string        `json:"delta,omitempty"` // against the first peer
	Kind  judge.Verdict `json:"kind,omitempty"`  // of a comparison
}

// New returns a document of single runs, one plan each, named by the scenario.
func New(command string, reports ...*load.Report) *Document {
	d := &Document{Schema: Schema, Created: time.Now().UTC().Format(time.RFC3339), Command: command}
	for _, r := range reports {
		peer := "router"
		if r.Router != nil {
			peer = r.Router.Name
		}
		d.Runs = append(d.Runs, Run{Plan: r.Scenario, Peer: peer, Round: 1, Report: r})
		d.Verdicts = append(d.Verdicts, sentence(peer, r))
	}
	return d
}

// Read reads a document, or the single report that `--json` prints.
func Read(r io.Reader) (*Document, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("report: not JSON: %w", err)
	}
	switch head.Schema {
	case Schema:
		d := &Document{}
		if err := json.Unmarshal(b, d); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		for i := range d.Runs {
			if d.Runs[i].Report == nil {
				return nil, fmt.Errorf("report: run %d has no report", i+1)
			}
		}
		return d, nil
	case load.Schema:
		one := &load.Report{}
		if err := json.Unmarshal(b, one); err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		return New("", one), nil
	}
	return nil, fmt.Errorf("report: schema %q: want %q or %q", head.Schema, Schema, load.Schema)
}

// plans returns the plans in the order in which they first ran.
func (d *Document) plans() []string {
	var names []string
	for _, r := range d.Runs {
		if !slices.Contains(names, r.Plan) {
			names = append(names, r.Plan)
		}
	}
	return names
}

// peersOf returns the peers of a plan in the order in which they first ran.
func (d *Document) peersOf(plan string) []string {
	var names []string
	for _, r := range d.Runs {
		if r.Plan == plan && !slices.Contains(names, r.Peer) {
			names = append(names, r.Peer)
		}
	}
	return names
}

// Of returns the reports of one peer on one plan, by round.
func (d *Document) Of(plan, peer string) []*load.Report {
	var reports []*load.Report
	for _, r := range d.Runs {
		if r.Plan == plan && r.Peer == peer {
			reports = append(reports, r.Report)
		}
	}
	return reports
}

// Nouns are what a scenario counts.
func Nouns(scenario string) (many, one string) { return (&load.Report{Scenario: scenario}).Nouns() }

// Describe tells a plan in a line.
func Describe(r *load.Report) string {
	p := &r.Plan
	parts := []string{p.Shape()}
	if p.Loop == "open" {
		parts = append(parts, fmt.Sprintf("open loop at %s/s", judge.Grouped(p.Rate)))
	} else if p.InFlight > 0 {
		parts = append(parts, fmt.Sprintf("closed loop, %d in flight each", p.InFlight))
	}
	if p.Serializer != "" {
		parts = append(parts, p.Serializer)
	}
	if p.PayloadBytes > 0 {
		parts = append(parts, fmt.Sprintf("%d-byte payload", p.PayloadBytes))
	}
	if s := transport(p.URL); s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// transport names the transport of an address by its scheme.
func transport(url string) string {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok {
		return ""
	}
	switch {
	case strings.Contains(scheme, "ws"):
		return "WebSocket"
	case strings.Contains(scheme, "rs"), strings.Contains(scheme, "tcp"), strings.Contains(scheme, "unix"):
		return "RawSocket"
	case scheme == "nats":
		return "NATS"
	}
	return scheme
}

// sentence says what one run found.
func sentence(peer string, r *load.Report) string {
	many, one := Nouns(r.Scenario)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", r.Scenario)
	if r.PerSecond > 0 {
		fmt.Fprintf(&b, "%s %s per second", judge.Grouped(r.PerSecond), many)
	} else {
		fmt.Fprint(&b, Describe(r))
	}
	if r.Router != nil && r.Router.RSSPerSession > 0 {
		fmt.Fprintf(&b, ", %s of %s's memory per session", judge.Bytes(float64(r.Router.RSSPerSession)), peer)
	}
	if r.Router != nil && r.Router.CPUPerMessage > 0 {
		fmt.Fprintf(&b, " at %s of %s's CPU time per %s", judge.Nanos(r.Router.CPUPerMessage), peer, one)
	}
	if r.Latency.Count > 0 {
		fmt.Fprintf(&b, "; latency p50 %s, p99 %s from the %s", judge.Micros(r.Latency.P50),
			judge.Micros(r.Latency.P99), r.Latency.From)
	}
	b.WriteString(". ")
	if r.Verified.OK {
		fmt.Fprintf(&b, "All %s verified.", judge.Grouped(float64(r.Verified.Received)))
	} else {
		fmt.Fprintf(&b, "VERIFICATION FAILED: %s of %s came as they should.",
			judge.Grouped(float64(r.Verified.Received)), judge.Grouped(float64(r.Verified.Expected)))
	}
	if len(r.Trust.Reasons) > 0 {
		b.WriteString(" The figures are not trustworthy, see below.")
	}
	return b.String()
}
