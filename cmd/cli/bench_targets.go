package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/report"
	"banyan/bench/targets"
)

func newBenchTargets() *cobra.Command {
	var (
		o      targets.Options
		setup  setupFlags
		asJSON bool
		out    outFolder
	)
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "Measure Banyan against its own speed targets",
		Long: "Measure each of the project's speed targets, in turn and with fresh processes: the cost of the\n" +
			"router as a multiple of the floor's, or of a simpler load's; memory; what churn and stopped readers\n" +
			"do. With --peers also what other routers cost as a multiple of ours: see banyan bench compare for\n" +
			"where they come from. Without, nothing but this program runs.\n" +
			"The three rounds take about 22 minutes with all peers, 15 without. Rows of differences as small\n" +
			"as 2 % have more rounds, until the 95 % interval of their median is narrow. Exits with 1 when a\n" +
			"target is missed; one that cannot be measured, because a router is not to be had or the machine does\n" +
			"not allow it, is listed and not missed. A figure is called not trustworthy when most of its rounds\n" +
			"were disturbed, or when they lie far apart on both sides of the target.",
		Example: "  banyan bench targets\n" +
			"  banyan bench targets --peers nexus,xconn,nats,crossbar --out table\n" +
			"  banyan bench targets --only rpc --rounds 5",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			done, err := setup.complete()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			o.Setup = setup.Setup
			return runTargets(cmd, o, setup.quiet, asJSON, out)
		},
	}
	setup.flags(cmd, 2*time.Second)
	f := cmd.Flags()
	f.StringSliceVar(&o.Peers, "peers", nil, "other routers to measure too: nexus, xconn, nats, crossbar")
	f.IntVar(&o.Rounds, "rounds", 3,
		"rounds of each row; with 2 or more, rows of small differences have as many as tell 2 %, 80 at most")
	f.StringVar(&o.Only, "only", "", "measure only what has this text in its name")
	f.BoolVar(&asJSON, "json", false, "print the table as JSON")
	out.flag(cmd, "")
	return cmd
}

func runTargets(cmd *cobra.Command, o targets.Options, quiet, asJSON bool, out outFolder) error {
	w, live := cmd.OutOrStdout(), &stepLine{w: cmd.ErrOrStderr(), quiet: quiet}
	o.Step, o.Told = live.step, live.told
	if !asJSON {
		o.Judged = func(t *report.Target) {
			live.end()
			fmt.Fprintln(w, t.Line())
		}
	}
	started := time.Now()
	d, err := targets.Run(cmd.Context(), o)
	live.end()
	if d == nil {
		return err
	}
	tally := report.Count(d.Targets, time.Since(started))
	d.Command = commandLine()
	d.Verdicts = append(d.Verdicts, tally.String())
	if errors.Is(err, context.Canceled) {
		d.Notes = append(d.Notes, "Interrupted: the table is not complete.")
	}
	err = errors.Join(err, printTargets(w, d, tally, asJSON))
	if len(d.Runs) > 0 && out != "" {
		err = errors.Join(err, out.writeDocument(cmd, d))
	}
	if err == nil && tally.Missed > 0 {
		err = fmt.Errorf("%d of %d targets were missed", tally.Missed, len(d.Targets))
	}
	return err
}

// printTargets ends the table, or prints all of it as JSON.
func printTargets(w io.Writer, d *report.Document, tally report.Tally, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(struct {
			Targets []report.Target `json:"targets"`
			Summary report.Tally    `json:"summary"`
		}{d.Targets, tally})
	}
	for _, p := range d.Peers {
		if p.Skipped != "" {
			fmt.Fprintf(w, "%s did not take part: %s\n", p.Name, p.Skipped)
		}
	}
	_, err := fmt.Fprintln(w, tally)
	return err
}

// A stepLine tells where a long measurement is: on a terminal in one line that is written over, else in a line for
// each round.
type stepLine struct {
	w     io.Writer
	quiet bool
	last  targets.Step
}

func (l *stepLine) step(s targets.Step) {
	if l.quiet {
		return
	}
	round := fmt.Sprintf("round %d of %d", s.Round, s.Rounds)
	if s.Round == 0 {
		round = "trial"
	}
	line := fmt.Sprintf("row %d of %d, %s: %s", s.Row, s.Rows, round, s.Work)
	if isTerminal(l.w) {
		fmt.Fprintf(l.w, "\r\x1b[K%s  %s", line, s.Side)
		return
	}
	if s.Row != l.last.Row || s.Round != l.last.Round {
		fmt.Fprintln(l.w, line)
	}
	l.last = s
}

// told shows a line that stays.
func (l *stepLine) told(format string, args ...any) {
	if !l.quiet {
		l.end()
		fmt.Fprintln(l.w, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// end clears the line of a terminal.
func (l *stepLine) end() { endLiveLine(l.w, l.quiet) }
