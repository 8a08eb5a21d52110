package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"banyan/bench/judge"
)

// A Target is one line of a table of targets: a figure of some work, and its limit.
type Target struct {
	Work   string `json:"work"`
	Figure string `json:"figure"`
	judge.Limit
	Median float64 `json:"median"` // of the rounds
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Rounds int     `json:"rounds"` // that told the figure
	// Low and High are the 95 % interval of the median, if there were rounds enough to tell.
	Low     float64       `json:"low,omitempty"`
	High    float64       `json:"high,omitempty"`
	Verdict judge.Verdict `json:"verdict"`
	// Disturbed is how many of the rounds were disturbed, by other programs or by themselves.
	Disturbed int `json:"disturbed,omitempty"`
	// Why tells what failed, or why nothing was measured.
	Why string `json:"why,omitempty"`
	// Doubts say why the figure may not be trusted.
	Doubts []string `json:"doubts,omitempty"`
	// Notes are differences from the other rows.
	Notes []string `json:"notes,omitempty"`
}

// has says whether there are figures.
func (t *Target) has() bool { return t.Verdict == judge.Met || t.Verdict == judge.Missed }

// remarks are the sentences beside the verdict.
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
	if t.has() && t.High > 0 {
		all = append(all, fmt.Sprintf("95 %% interval of the median %.3f to %.3f, %d rounds", t.Low, t.High,
			t.Rounds))
	}
	return append(all, t.Notes...)
}

// Line is the target as a line of a table for terminals.
func (t *Target) Line() string {
	verdict := strings.Join(append([]string{t.Verdict.Text()}, t.remarks()...), "; ")
	median, spread := "–", ""
	if t.has() {
		median, spread = judge.Number(t.Median), fmt.Sprintf("(%s to %s)", judge.Number(t.Min), judge.Number(t.Max))
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
		case judge.Met:
			y.Met++
		case judge.Missed, judge.Failed:
			y.Missed++
		case judge.NotMeasured:
			y.NotMeasured++
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
	Verdict             judge.Verdict
	Remarks             []string
	Class               string  // of the row
	Percent             float64 // of the width of a bar, whose mark stands at usedMark
}

// usedMark is the place of a bar's mark, in percent of its width: it stands for the limit.
const usedMark = 80

func newTargetView(t *Target) targetView {
	v := targetView{
		Work: t.Work, Figure: t.Figure, Asked: t.Asked(), Verdict: t.Verdict, Remarks: t.remarks(),
		Class: "absent", Min: "–", Median: "–", Max: "–",
	}
	if t.has() {
		v.Min, v.Median, v.Max = judge.Number(t.Min), judge.Number(t.Median), judge.Number(t.Max)
		v.Percent = min(usedMark*t.Used(t.Median), 100)
		v.Class = "met"
	}
	if t.Verdict == judge.Missed || t.Verdict == judge.Failed {
		v.Class = "missed"
	}
	return v
}
