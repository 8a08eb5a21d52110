package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"

	"banyan/bench/judge"
	"banyan/bench/load"
)

// The page is one file with its script and style, so that it opens anywhere and at any time. SHA-256 of the files
// that are not ours:
//
//	19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f  uplot/uPlot.iife.min.js
//	df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04  uplot/uPlot.min.css
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
	//go:embed uplot/uPlot.iife.min.js
	uplotJS string
	//go:embed uplot/uPlot.min.css
	uplotCSS string
	//go:embed uplot/LICENSE
	uplotLicence string
)

var page = template.Must(template.New("page").Parse(pageHTML))

// HTML writes the document as one page that needs nothing else.
func (d *Document) HTML(w io.Writer) error {
	v, err := newView(d)
	if err != nil {
		return err
	}
	var b bytes.Buffer // an error must not leave half a page
	if err := page.Execute(&b, v); err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// A view is the content of the page.
type view struct {
	Doc         *Document
	Title       string
	Colours     map[string]int // of peers, by number
	Targets     []targetView
	Plans       []planView
	Environment []pair
	Plots       []plot // for the script
	Script      template.JS
	UPlot       template.JS
	Style       template.CSS
	Licence     string
}

type planView struct {
	Name, About string
	Table       *Table
	Peers       []peerView
	Warnings    []string
	Doubted     string // sums the warnings up
	Memory      bool   // some peer's memory is known
	CPU         bool
	Latency     string // id of a plot
	Throughput  string
	One, Many   string
}

// A peerView sums up the runs of one peer on one plan by medians.
type peerView struct {
	Name       string
	Colour     int
	Runs       int
	PerSecond  string
	P50, P99   string
	P999, Max  string
	Router     bar
	Client     bar
	Memory     bar
	Floor      string // multiple of the floor's CPU time
	Figures    []pair
	Verified   bool
	VerifyText string
}

// A bar is one horizontal bar.
type bar struct {
	Percent float64 // of the longest of its chart
	Text    string
	value   float64
}

type pair struct{ Name, Value string }

// A plot is drawn by the script.
type plot struct {
	ID     string   `json:"id"`
	Kind   string   `json:"kind"` // "percentiles" or "seconds"
	Unit   string   `json:"unit"`
	Series []series `json:"series"`
}

type series struct {
	Name   string `json:"name"`
	Colour int    `json:"colour"`
	curve
}

// colours is how many the style has.
const colours = 6

func newView(d *Document) (*view, error) {
	v := &view{
		Doc: d, Title: title(d), Colours: map[string]int{},
		Script: template.JS(pageJS), UPlot: template.JS(uplotJS), Style: template.CSS(uplotCSS + "\n" + pageCSS),
		Licence: uplotLicence,
	}
	for _, r := range d.Runs {
		if _, known := v.Colours[r.Peer]; !known {
			v.Colours[r.Peer] = len(v.Colours) % colours
		}
	}
	for i := range d.Targets {
		t := newTargetView(&d.Targets[i])
		if i > 0 && d.Targets[i-1].Work == t.Work {
			t.Class += " again"
		}
		v.Targets = append(v.Targets, t)
	}
	for i, name := range d.plans() {
		p, err := v.plan(d, i, name)
		if err != nil {
			return nil, err
		}
		v.Plans = append(v.Plans, *p)
	}
	if len(d.Runs) > 0 {
		var err error
		if v.Environment, err = environment(d); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func title(d *Document) string {
	plans := strings.Join(d.plans(), ", ")
	if len(d.Targets) > 0 {
		return fmt.Sprintf("Targets: %d figures of %d works", len(d.Targets), works(d.Targets))
	}
	if len(d.Peers) > 1 {
		names := make([]string, 0, len(d.Peers))
		for _, p := range d.Peers {
			if p.Skipped == "" {
				names = append(names, p.Name)
			}
		}
		return "Comparison: " + strings.Join(names, ", ")
	}
	return "Benchmark: " + plans
}

func (v *view) plan(d *Document, index int, name string) (*planView, error) {
	p := &planView{Name: name}
	for i := range d.Tables {
		if d.Tables[i].Plan == name {
			p.Table = &d.Tables[i]
			p.About = p.Table.About
		}
	}
	latency := plot{ID: fmt.Sprintf("latency%d", index), Kind: "percentiles", Unit: "ms"}
	seconds := plot{ID: fmt.Sprintf("seconds%d", index), Kind: "seconds"}
	floor := floorCost(d, name)
	for _, peer := range d.peersOf(name) {
		reports := d.Of(name, peer)
		first := reports[0]
		if p.Many == "" {
			p.Many, p.One = Nouns(first.Scenario)
			seconds.Unit = p.Many + "/s"
			if p.About == "" {
				p.About = Describe(first)
			}
		}
		s := summarize(peer, reports, floor)
		s.Colour = v.Colours[peer]
		p.Peers = append(p.Peers, s)
		p.CPU = p.CPU || s.Router.value > 0 || s.Client.value > 0
		p.Memory = p.Memory || s.Memory.value > 0
		p.Warnings = append(p.Warnings, warnings(peer, reports)...)
		all, err := merged(reports)
		if err != nil {
			return nil, err
		}
		if c := newCurve(all); len(c.Nines) > 0 {
			latency.Series = append(latency.Series, series{peer, s.Colour, c})
		}
		if c := perSecond(middle(reports)); len(c.Nines) > 1 && slices.Max(c.Millis) > 0 {
			seconds.Series = append(seconds.Series, series{peer, s.Colour, c})
		}
	}
	p.Doubted = d.Doubts(name)
	scale(p.Peers, func(s *peerView) []*bar { return []*bar{&s.Router, &s.Client} })
	scale(p.Peers, func(s *peerView) []*bar { return []*bar{&s.Memory} })
	if len(latency.Series) > 0 {
		p.Latency = latency.ID
		v.Plots = append(v.Plots, latency)
	}
	if len(seconds.Series) > 0 {
		p.Throughput = seconds.ID
		v.Plots = append(v.Plots, seconds)
	}
	return p, nil
}

// medianOf returns the median of a figure over runs.
func medianOf(reports []*load.Report, f func(*load.Report) float64) float64 {
	values := make(judge.Sample, len(reports))
	for i, r := range reports {
		values[i] = f(r)
	}
	return values.Median()
}

func routerCost(r *load.Report) float64 {
	if r.Router == nil {
		return 0
	}
	return r.Router.CPUPerMessage
}

// floorCost returns the floor's CPU time per message on a plan, 0 when it did not run.
func floorCost(d *Document, plan string) float64 {
	reports := d.Of(plan, FloorName)
	if len(reports) == 0 {
		return 0
	}
	return medianOf(reports, routerCost)
}

// FloorName is the name of the peer that moves the same bytes without routing.
const FloorName = "floor"

func summarize(peer string, reports []*load.Report, floor float64) peerView {
	_, one := Nouns(reports[0].Scenario)
	m := func(f func(*load.Report) float64) float64 { return medianOf(reports, f) }
	latency := func(f func(*load.Latency) float64) string {
		if reports[0].Latency.Count == 0 {
			return "–"
		}
		return judge.Micros(m(func(r *load.Report) float64 { return f(&r.Latency) }))
	}
	s := peerView{
		Name: peer, Runs: len(reports), Verified: true, PerSecond: "–",
		P50:  latency(func(l *load.Latency) float64 { return l.P50 }),
		P99:  latency(func(l *load.Latency) float64 { return l.P99 }),
		P999: latency(func(l *load.Latency) float64 { return l.P999 }),
		Max:  latency(func(l *load.Latency) float64 { return l.Max }),
	}
	if rate := m(func(r *load.Report) float64 { return r.PerSecond }); rate > 0 {
		s.PerSecond = judge.Grouped(rate)
	}
	cost := m(routerCost)
	s.Router = bar{value: cost, Text: judge.Nanos(cost) + " per " + one}
	switch {
	case reports[0].Router == nil:
		s.Router.Text = "not known: " + reports[0].NoRouter
	case cost == 0:
		s.Router.Text = "–"
	}
	client := m(func(r *load.Report) float64 { return r.Client.CPUPerMessage })
	s.Client = bar{value: client, Text: judge.Nanos(client) + " per " + one}
	switch {
	case floor > 0 && cost > 0:
		s.Floor = judge.Times(cost / floor)
	case reports[0].Floor != nil:
		s.Floor = judge.Times(m(func(r *load.Report) float64 {
			if r.Floor == nil {
				return 0
			}
			return r.Floor.Median
		}))
	}
	if reports[0].Router != nil {
		rss := m(func(r *load.Report) float64 { return float64(r.Router.RSSBytes) })
		s.Memory = bar{value: rss, Text: judge.Bytes(rss) + " resident"}
		if per := m(func(r *load.Report) float64 { return float64(r.Router.RSSPerSession) }); per > 0 {
			s.Memory.Text += ", " + judge.Bytes(per) + " per idle session"
		}
	}
	for i, f := range reports[0].Figures {
		s.Figures = append(s.Figures, pair{f.Name, fmt.Sprintf("%s %s", judge.Number(m(func(r *load.Report) float64 {
			if i < len(r.Figures) {
				return r.Figures[i].Value
			}
			return 0
		})), f.Unit)})
	}
	var total int64
	for _, r := range reports {
		s.Verified = s.Verified && r.Verified.OK
		total += r.Verified.Received
	}
	many, _ := Nouns(reports[0].Scenario)
	s.VerifyText = "all " + judge.Grouped(float64(total)) + " " + many
	if !s.Verified {
		s.VerifyText = "FAILED"
	}
	return s
}

// warnings lists the doubts and failures of a peer's runs.
func warnings(peer string, reports []*load.Report) []string {
	var out []string
	for i, r := range reports {
		round := ""
		if len(reports) > 1 {
			round = fmt.Sprintf(", round %d", i+1)
		}
		for _, reason := range r.Trust.Reasons {
			out = append(out, fmt.Sprintf("%s%s: not trustworthy: %s", peer, round, reason))
		}
		for _, kind := range sortedKeys(r.Verified.Failures) {
			out = append(out, fmt.Sprintf("%s%s: verification failed: %s × %s",
				peer, round, judge.Grouped(float64(r.Verified.Failures[kind])), kind))
		}
	}
	return out
}

// Doubts counts the runs of a plan whose figures are in doubt, in a sentence; empty when none are.
func (d *Document) Doubts(plan string) string {
	var runs, failed, disturbed, clients int
	for _, r := range d.Runs {
		if r.Plan != plan {
			continue
		}
		runs++
		if !r.Report.Verified.OK {
			failed++
		}
		if r.Report.Trust.Judged && r.Report.Trust.Disturbed() {
			disturbed++
		} else if r.Report.Trust.ClientsBusy {
			clients++
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{failed, "failed verification"},
		{disturbed, "were disturbed"},
		{
			clients,
			"had clients busier than the router (throughput and latency are as much theirs, CPU time per message " +
				"is not)",
		},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if parts == nil {
		return ""
	}
	return fmt.Sprintf("Of %d runs %s.", runs, strings.Join(parts, ", "))
}

func sortedKeys(m map[string]int64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// middle returns the run of median throughput.
func middle(reports []*load.Report) *load.Report {
	sorted := slices.Clone(reports)
	slices.SortStableFunc(sorted, func(a, b *load.Report) int {
		if a.PerSecond < b.PerSecond {
			return -1
		} else if a.PerSecond > b.PerSecond {
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

func perSecond(r *load.Report) curve {
	var c curve
	for _, s := range r.Series {
		c.Nines = append(c.Nines, s.At)
		c.Millis = append(c.Millis, s.PerSecond)
	}
	return c
}

// scale makes the longest bar 100 percent.
func scale(peers []peerView, bars func(*peerView) []*bar) {
	var longest float64
	for i := range peers {
		for _, b := range bars(&peers[i]) {
			longest = max(longest, b.value)
		}
	}
	if longest == 0 {
		return
	}
	for i := range peers {
		for _, b := range bars(&peers[i]) {
			b.Percent = 100 * b.value / longest
		}
	}
}

// environment lists where the first run took place, under the names that the JSON has.
func environment(d *Document) ([]pair, error) {
	b, err := json.Marshal(d.Runs[0].Report.Where)
	if err != nil {
		return nil, err
	}
	var out []pair
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		text := fmt.Sprint(value)
		name := strings.ReplaceAll(fmt.Sprint(key), "_", " ")
		if inBytes, ok := strings.CutSuffix(name, " bytes"); ok {
			if n, err := strconv.ParseFloat(text, 64); err == nil {
				name, text = inBytes, judge.Bytes(n)
			}
		}
		if name == "command" && d.Command != "" {
			text = d.Command
		}
		if text == "" || text == "<nil>" {
			continue
		}
		out = append(out, pair{name, text})
	}
	return out, nil
}
