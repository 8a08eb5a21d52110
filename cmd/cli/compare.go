package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
	"banyan/bench/compare"
	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/bench/report"
)

// setupFlags are the flags of commands that run other routers.
type setupFlags struct {
	peers.Setup
	syscalls string
	pin      string
	quiet    bool
}

func (s *setupFlags) flags(cmd *cobra.Command, duration time.Duration) {
	f := cmd.Flags()
	f.DurationVar(&s.Duration, "duration", duration, "time of measuring in a run")
	f.DurationVar(&s.Warmup, "warmup", 500*time.Millisecond, "time before measuring in a run")
	f.StringVar(&s.Source, "source", "",
		"checkout of Banyan that has bench/peers; default the one around the current folder")
	f.StringVar(&s.Cache, "cache", "", "folder for built peers; default one of the user's cache folder")
	f.StringArrayVar(&s.ServeFlags, "serve-flag", nil,
		"flag for banyan serve, for instance --serve-flag=--loops=1; repeatable")
	f.BoolVar(&s.quiet, "quiet", false, "no line about each step")
}

// complete fills in settings that no flag names. The caller calls done after the last run.
func (s *setupFlags) complete() (done func() error, err error) {
	if s.Duration <= 0 || s.Warmup < 0 {
		return nil, usagef("--duration must be more than 0, --warmup at least 0")
	}
	if s.pin != "" {
		if s.RouterCPUs, err = load.ParseCPUs(s.pin); err != nil {
			return nil, usagef("--pin: %v", err)
		}
	}
	if s.syscalls != "" {
		if s.Syscalls, err = peers.SyscallsTool(s.syscalls, s.Duration); err != nil {
			return nil, usagef("--syscalls: %v", err)
		}
	}
	if s.Source == "" {
		s.Source = checkout()
	}
	if s.Cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, &hintedError{code: exitUsage, what: "no cache folder", why: err, try: "--cache FOLDER"}
		}
		s.Cache = filepath.Join(cache, "banyan", "peers")
	}
	return s.completeOwn()
}

// completeOwn fills in the settings to run this program itself as router and floor. The caller calls done after the
// last run.
func (s *setupFlags) completeOwn() (done func() error, err error) {
	if s.Program, err = os.Executable(); err != nil {
		return nil, err
	}
	s.Argv0 = os.Args[0]
	if s.Scratch, err = os.MkdirTemp("", "banyan-bench-"); err != nil {
		return nil, err
	}
	return func() error { return os.RemoveAll(s.Scratch) }, nil
}

func newBenchCompare() *cobra.Command {
	var (
		o          compare.Options
		setup      setupFlags
		serializer string
		out        outFolder
	)
	cmd := &cobra.Command{
		Use:   "compare",
		Short: "Routers in turn under the same load, with a statistical test",
		Long: "Run routers in turn under the same load, a fresh process each time, and say what differs.\n\n" +
			"Peers: banyan (this very program), floor (see banyan bench floor), nexus, xconn and nats (built from\n" +
			"bench/peers at a pinned version), crossbar (the one on this machine, or installed into a virtual\n" +
			"environment in the cache). NATS gets the same loads in its own protocol, whatever --transport says;\n" +
			"it has nothing for progressive and storm.\n" +
			"A peer that cannot take part is skipped, and the report says why. The first peer is the one that\n" +
			"the others are compared with.\n" +
			"Plans: " + peers.PlanSyntax + ".\n" +
			"The exit code is 1 when messages of the first peer were lost; losses of the others are a result.\n" +
			"Nothing is called better or worse before a Mann-Whitney test at 5 %, which needs at least 4 rounds.",
		Example: "  banyan bench compare --peers banyan,floor,nexus,xconn,nats --plans fanout,rpc\n" +
			"  banyan bench compare --peers banyan,nats --plans fanout:1000,rpc:1x1 --rounds 7\n" +
			"  banyan bench compare --peers banyan,nexus,nats --plans fanout,rpc:1x1 --rate 500 --pin 0",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if setup.Serializer, err = client.ParseSerializer(serializer); err != nil {
				return usagef("%v", err)
			}
			done, err := setup.complete()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			if !setup.quiet {
				setup.Told = func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
			}
			o.Setup = setup.Setup
			return runCompare(cmd, o, out)
		},
	}
	setup.flags(cmd, 3*time.Second)
	f := cmd.Flags()
	f.StringSliceVar(&o.Peers, "peers", []string{"banyan", "floor", "nexus", "xconn", "nats", "crossbar"},
		"routers, the reference first")
	f.StringSliceVar(&o.Plans, "plans", []string{"fanout", "rpc"}, "loads")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds of one run each")
	f.Float64Var(&o.Rate, "rate", 0,
		"open loop: messages per second, all senders together, latency from the intended time; 0 is the closed loop")
	f.StringVar(&serializer, "serializer", "msgpack", "json, msgpack or cbor")
	f.StringVar(&setup.Transport, "transport", "ws", "ws (WebSocket) or rs (RawSocket)")
	f.IntVar(&setup.PayloadBytes, "payload", 64, "bytes of text in each message; at least 32")
	f.StringVar(&setup.pin, "pin", "", "CPUs for the routers, for instance 0 or 0-3,8; the clients get the others")
	f.StringVar(&setup.syscalls, "syscalls", "auto",
		"count the routers' system calls for a second behind each run: no, perf, strace (slows them down while it\n"+
			"counts), or auto: perf if it is installed, for runs of 2 s or more")
	out.flag(cmd, "bench-out")
	return cmd
}

func runCompare(cmd *cobra.Command, o compare.Options, out outFolder) error {
	d, err := compare.Run(cmd.Context(), o)
	if d != nil {
		d.Command = commandLine()
		printComparison(cmd.OutOrStdout(), d)
		if len(d.Runs) > 0 && out != "" {
			err = errors.Join(err, out.writeDocument(cmd, d))
		}
		err = errors.Join(err, verified(d, o.Peers[0]))
	}
	return err
}

// verified returns an error when messages of the reference were lost. Losses of the others are a result.
func verified(d *report.Document, reference string) error {
	for _, r := range d.Runs {
		if r.Peer == reference && !r.Report.Verified.OK {
			return fmt.Errorf("verification of %s failed, see the report", reference)
		}
	}
	return nil
}

// checkout finds the folder of Banyan's go.mod around the current folder; empty when there is none.
func checkout() string {
	folder, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		b, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module banyan\n") {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return ""
		}
		folder = parent
	}
}

// printComparison writes the tables, the verdicts and the peers that did not take part.
func printComparison(w io.Writer, d *report.Document) {
	for _, t := range d.Tables {
		fmt.Fprintf(w, "plan %s   %s\n", t.Plan, t.About)
		tab := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintf(tab, "  \t%s\n", strings.Join(t.Peers, "\t"))
		for _, row := range t.Rows {
			fmt.Fprintf(tab, "  %s", row.Figure)
			for _, c := range row.Cells {
				fmt.Fprintf(tab, "\t%s", c.Text)
				if c.Delta != "" {
					fmt.Fprintf(tab, "  %s", c.Delta)
				}
			}
			fmt.Fprintln(tab)
		}
		tab.Flush()
		if doubts := d.Doubts(t.Plan); doubts != "" {
			fmt.Fprintf(w, "  %s\n", doubts)
		}
	}
	for _, v := range append(slices.Clone(d.Verdicts), d.Notes...) {
		fmt.Fprintln(w, v)
	}
	for _, p := range d.Peers {
		if p.Skipped != "" {
			fmt.Fprintf(w, "%s did not take part: %s\n", p.Name, p.Skipped)
		}
		for _, n := range p.Notes {
			fmt.Fprintf(w, "%s, %s\n", p.Name, n)
		}
	}
}
