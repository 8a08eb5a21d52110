package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"banyan/bench/load"
)

// A Target is one line of a table of targets: a figure of some work, and what is asked of it.
type Target struct {
	Work    string  `json:"work"`
	Figure  string  `json:"figure"`
	Limit   float64 `json:"target"`
	AtLeast bool    `json:"at_least,omitempty"` // the figure has to be Limit or more; otherwise Limit or less
	Median  float64 `json:"median"`             // of the rounds
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Rounds  int     `json:"rounds"` // that told the figure
	Verdict Verdict `json:"verdict"`
	// Disturbed is how many of the rounds were disturbed, by other programs or by themselves.
	Disturbed int `json:"disturbed,omitempty"`
	// Why tells what failed, or why nothing was measured.
	Why string `json:"why,omitempty"`
	// Doubts say why the figure may not be trusted.
	Doubts []string `json:"doubts,omitempty"`
	// Notes say what was not as for the others.
	Notes []string `json:"notes,omitempty"`
}

// A Verdict is what a figure says about its target.
type Verdict string

// Verdicts.
const (
	Met         Verdict = "met"
	Missed      Verdict = "missed"
	Failed      Verdict = "failed" // messages were lost, or the router broke: the figure means nothing
	NotMeasured Verdict = "not measured"
)

// Asked is the target in words.
func (t *Target) Asked() string {
	if t.AtLeast {
		return fmt.Sprintf("at least %g", t.Limit)
	}
	return fmt.Sprintf("at most %g", t.Limit)
}

// has says whether there are figures.
func (t *Target) has() bool { return t.Verdict == Met || t.Verdict == Missed }

// remarks are what there is to say besides the verdict.
func (t *Target) remarks() []string {
	var all []string
	if t.Why != "" {
		all = append(all, t.Why)
	}
	if len(t.Doubts) > 0 {
		doubt := "not trustworthy: " + t.Doubts[0]
		if n := len(t.Doubts) - 1; n > 0 {
			doubt += fmt.Sprintf(" (and %d more)", n)
		}
		all = append(all, doubt)
	}
	return append(all, t.Notes...)
}

// Line is the target as a line of a table for terminals.
func (t *Target) Line() string {
	verdict := string(t.Verdict)
	if t.Verdict == Missed || t.Verdict == Failed {
		verdict = strings.ToUpper(verdict)
	}
	verdict = strings.Join(append([]string{verdict}, t.remarks()...), "; ")
	median, spread := "–", ""
	if t.has() {
		median, spread = load.PlainNumber(t.Median), fmt.Sprintf("(%s to %s)", load.PlainNumber(t.Min), load.PlainNumber(t.Max))
	}
	return fmt.Sprintf("%-40s  %-24s %7s  %-13s %-18s %s", t.Work, t.Figure, median, t.Asked(), spread, verdict)
}

// A Tally counts verdicts.
type Tally struct {
	Met         int     `json:"met"`
	Missed      int     `json:"missed"` // those that failed included
	NotMeasured int     `json:"not_measured"`
	Doubtful    int     `json:"not_trustworthy"` // of those met and missed
	Seconds     float64 `json:"seconds"`
}

// Count counts the verdicts of a table that took so long.
func Count(targets []Target, took time.Duration) Tally {
	y := Tally{Seconds: math.Round(took.Seconds())}
	for i := range targets {
		t := &targets[i]
		switch t.Verdict {
		case Met:
			y.Met++
		case Missed, Failed:
			y.Missed++
		case NotMeasured:
			y.NotMeasured++
			continue
		}
		if len(t.Doubts) > 0 {
			y.Doubtful++
		}
	}
	return y
}

// String is the tally in a sentence.
func (y Tally) String() string {
	took := time.Duration(y.Seconds) * time.Second
	return fmt.Sprintf("%d targets: %d met, %d missed, %d not measured; %d not trustworthy; took %v.",
		y.Met+y.Missed+y.NotMeasured, y.Met, y.Missed, y.NotMeasured, y.Doubtful, took)
}

// works counts the works of a table.
func works(targets []Target) int {
	seen := map[string]bool{}
	for i := range targets {
		seen[targets[i].Work] = true
	}
	return len(seen)
}

// A targetView is a row of the page's table.
type targetView struct {
	Work, Figure, Asked string
	Min, Median, Max    string
	Verdict             Verdict
	Remarks             []string
	Class               string  // of the row
	Percent             float64 // of the width of a bar, whose mark stands at usedMark
}

// usedMark is where a bar has its mark, in percent of its width: there all that is allowed is used.
const usedMark = 80

func newTargetView(t *Target) targetView {
	v := targetView{Work: t.Work, Figure: t.Figure, Asked: t.Asked(), Verdict: t.Verdict, Remarks: t.remarks(), Class: "absent", Min: "–", Median: "–", Max: "–"}
	if t.has() {
		v.Min, v.Median, v.Max = load.PlainNumber(t.Min), load.PlainNumber(t.Median), load.PlainNumber(t.Max)
		used := t.Median / t.Limit
		if t.AtLeast {
			used = t.Limit / t.Median
		}
		v.Percent = min(usedMark*used, 100)
		v.Class = "met"
	}
	if t.Verdict == Missed || t.Verdict == Failed {
		v.Class = "missed"
	}
	return v
}
