package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"banyan/bench/load"
	"banyan/bench/peers"
	"banyan/codec"
	"banyan/profiles"
)

func newProfRecord() *cobra.Command {
	r := recorder{}
	cmd := &cobra.Command{
		Use:   "record",
		Short: "Record CPU profiles of the router under the canonical scenarios, and the compiler's input",
		Long: "Build the router from the source in the current folder, run it under each canonical scenario and\n" +
			"write profiles/SCENARIO.pb.gz, the table in profiles/README.md and all of them merged as\n" +
			"cmd/banyan/default.pgo, which the compiler reads by itself. Run it in the root of the source, on\n" +
			"a machine that does nothing else. With --baseline what was recorded becomes the state that a\n" +
			"broken budget is compared with.",
		Example: "  banyan prof record\n" +
			"  banyan prof record --scenario rpc-16x64 --seconds 10 --out recorded --pgo ''",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.log = cmd.ErrOrStderr()
			r.command = "banyan prof record" + flagsGiven(cmd)
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&r.scenarios, "scenario", profiles.Scenarios, "scenarios to record")
	f.IntVar(&r.seconds, "seconds", 30, "time of one run; a scenario runs again until it has enough samples")
	f.StringVar(&r.out, "out", "profiles", "folder to write profiles to")
	f.StringVar(&r.pgo, "pgo", "cmd/banyan/default.pgo", "file for the compiler; empty writes none")
	f.BoolVar(&r.baseline, "baseline", false, "agree on what was recorded: rewrite baseline.json in the folder")
	f.StringVar(&r.binary, "binary", "",
		"router to record instead of building one; it must have been built with -trimpath")
	return cmd
}

// flagsGiven repeats the flags of a command line.
func flagsGiven(cmd *cobra.Command) string {
	var b strings.Builder
	for _, name := range []string{"scenario", "seconds"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			fmt.Fprintf(&b, " --%s %s", name, strings.Trim(f.Value.String(), "[]"))
		}
	}
	return b.String()
}

// A recorder records the canonical profiles.
type recorder struct {
	scenarios  []string
	seconds    int
	out, pgo   string
	baseline   bool
	binary     string
	command    string
	log        io.Writer
	temporary  string
	recordings []recording
}

// A recording is the profile of one scenario.
type recording struct {
	name    string
	load    string // in words
	profile *profile.Profile
	samples int64
	perUnit string // router's CPU per message, in words
}

const (
	// recordRate is the requested number of samples per second of CPU time. A kernel checks CPU timers once per tick,
	// often every 4 ms. With a higher rate it gives one sample per tick, and the times in the profile are too small.
	// The shares are right either way.
	recordRate   = 500
	recordWarmup = time.Second
	recordRuns   = 8 // of one scenario, to get enough samples
)

// run records every scenario and writes the files only when all of them succeeded.
func (r *recorder) run(ctx context.Context) (err error) {
	for _, name := range r.scenarios {
		if !slices.Contains(profiles.Scenarios, name) {
			return usagef("--scenario %q: use %s", name, strings.Join(profiles.Scenarios, ", "))
		}
	}
	if r.seconds < 1 || r.seconds > 600 {
		return usagef("--seconds %d: must be 1 to 600", r.seconds)
	}
	if r.temporary, err = os.MkdirTemp("", "banyan-record-"); err != nil {
		return err
	}
	defer os.RemoveAll(r.temporary)
	if r.binary == "" {
		if err := r.build(ctx); err != nil {
			return err
		}
	}
	for _, name := range r.scenarios {
		one, err := r.record(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.recordings = append(r.recordings, one)
	}
	return r.write()
}

// build builds the router. Trimmed paths keep this machine's folders out of the profiles.
func (r *recorder) build(ctx context.Context) error {
	r.binary = filepath.Join(r.temporary, "banyan")
	fmt.Fprintln(r.log, "building the router")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", r.binary, "./cmd/banyan")
	cmd.Stderr = r.log
	if err := cmd.Run(); err != nil {
		return &hintedError{
			code: exitFailed, what: "cannot build the router", why: err,
			try: "run it in the root of the source, or give --binary",
		}
	}
	return nil
}

// record runs one scenario until its profile can be judged.
func (r *recorder) record(ctx context.Context, name string) (recording, error) {
	one := recording{name: name}
	var runs []*profile.Profile
	for run := 1; one.samples < profiles.SamplesMin; run++ {
		if run > recordRuns {
			return one, &profiles.TooFewSamplesError{Samples: one.samples}
		}
		p, reports, err := r.once(ctx, name)
		if err != nil {
			return one, err
		}
		if err := profiles.Clean(p); err != nil {
			return one, err
		}
		if f := profiles.Foreign(p); f != "" {
			return one, fmt.Errorf("the profile names %s; build the router with -trimpath", f)
		}
		s, err := profiles.Sum(p)
		if err != nil {
			return one, err
		}
		runs = append(runs, p)
		one.samples += s.Samples
		one.load, one.perUnit = describe(reports)
		fmt.Fprintf(r.log, "%-12s run %d: %d samples so far, %s\n", name, run, one.samples, one.perUnit)
	}
	var err error
	if one.profile, err = profile.Merge(runs); err != nil {
		return one, err
	}
	return one, profiles.Clean(one.profile)
}

// once runs the router under the load of a scenario and returns its profile. Every message is verified: the profile
// of a router that loses messages is worth nothing.
func (r *recorder) once(ctx context.Context, name string) (*profile.Profile, []*load.Report, error) {
	file := filepath.Join(r.temporary, name+".pb.gz")
	setup := peers.Setup{
		Program: r.binary, Argv0: "banyan", Scratch: r.temporary, Realm: defaultRealm,
		ServeFlags: []string{"--cpu-profile", file, "--cpu-profile-rate", fmt.Sprint(recordRate)},
	}
	router, err := setup.Prepare(ctx, "banyan")
	if err != nil {
		return nil, nil, err
	}
	// The router writes its profile when it is stopped.
	reports, err := peers.Using(ctx, &setup, router, "ws",
		func(ctx context.Context, url string, pid int) ([]*load.Report, error) {
			return driveScenario(ctx, name, url, time.Duration(r.seconds)*time.Second, pid)
		})
	if err != nil {
		return nil, nil, err
	}
	for _, report := range reports {
		if !report.Verified.OK {
			report.Print(r.log)
			return nil, nil, fmt.Errorf("messages were lost or changed, see the report")
		}
	}
	p, err := readProfile(file)
	return p, reports, err
}

// driveScenario runs the load of a canonical scenario against url.
func driveScenario(ctx context.Context, name, url string, d time.Duration, pid int) ([]*load.Report, error) {
	o := load.Options{
		URL: url, Realm: defaultRealm, Serializer: codec.MessagePack, PID: pid, PayloadBytes: 64,
		InFlight: 32, Warmup: recordWarmup, Duration: d,
	}
	fanout := func(subscribers int) ([]*load.Report, error) {
		report, err := load.Fanout(ctx, load.FanoutPlan{Options: o, Publishers: 1, Subscribers: subscribers})
		return []*load.Report{report}, err
	}
	rpc := func(callers int) ([]*load.Report, error) {
		o.InFlight = 64
		report, err := load.RPC(ctx, load.RPCPlan{Options: o, Callers: callers, Callees: 1})
		return []*load.Report{report}, err
	}
	switch name {
	case profiles.Fanout100:
		return fanout(100)
	case profiles.Fanout1000:
		return fanout(1000)
	case profiles.RPC16x64:
		return rpc(16)
	case profiles.RPC1x64:
		return rpc(1)
	case profiles.Mixed:
		return driveMixed(ctx, o)
	}
	return nil, fmt.Errorf("no load for scenario %q", name)
}

// driveMixed runs events and calls in each serializer, all at once: 32 subscribers and a caller per serializer.
func driveMixed(ctx context.Context, o load.Options) ([]*load.Report, error) {
	serializers := []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR}
	reports := make([]*load.Report, 2*len(serializers))
	errs := make([]error, len(reports))
	var wg sync.WaitGroup
	for i, s := range serializers {
		o := o
		o.Serializer = s
		wg.Go(func() {
			topic := fmt.Sprintf("bench.mixed.s%d", s)
			reports[2*i], errs[2*i] = load.Fanout(ctx,
				load.FanoutPlan{Options: o, Publishers: 1, Subscribers: 32, Topic: topic})
		})
		wg.Go(func() {
			procedure := fmt.Sprintf("bench.mixed.s%d", s)
			reports[2*i+1], errs[2*i+1] = load.RPC(ctx,
				load.RPCPlan{Options: o, Callers: 1, Callees: 1, Procedure: procedure})
		})
	}
	wg.Wait()
	return reports, errors.Join(errs...)
}

// describe says in words what was run and what it cost.
func describe(reports []*load.Report) (load, cost string) {
	r := reports[0]
	if len(reports) > 1 {
		var received int64
		for _, one := range reports {
			received += one.Received
		}
		return "JSON, MessagePack and CBOR at once; in each 1 publisher to 32 subscribers and 1 caller, 32 in flight",
			fmt.Sprintf("%.0f messages/s", float64(received)/r.Seconds)
	}
	unit := "event"
	if r.Scenario == "rpc" {
		unit = "call"
		load = fmt.Sprintf("%d caller(s), 1 callee, %d in flight each", r.Plan.Callers, r.Plan.InFlight)
	} else {
		load = fmt.Sprintf("1 publisher, %d subscribers, %d in flight", r.Plan.Subscribers, r.Plan.InFlight)
	}
	load += fmt.Sprintf(", %s, %d bytes", r.Plan.Serializer, r.Plan.PayloadBytes)
	if r.Router == nil {
		return load, "-"
	}
	return load, fmt.Sprintf("%.0f ns of CPU per %s", r.Router.CPUPerMessage, unit)
}

// write writes the profiles, the table, the compiler's input and, if told to, the baseline.
func (r *recorder) write() error {
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	var all []*profile.Profile
	for _, one := range r.recordings {
		if err := writeProfile(filepath.Join(r.out, one.name+".pb.gz"), one.profile); err != nil {
			return err
		}
		all = append(all, one.profile)
	}
	if err := r.writeTable(filepath.Join(r.out, "README.md")); err != nil {
		return err
	}
	if r.baseline {
		if err := r.writeBaseline(filepath.Join(r.out, "baseline.json")); err != nil {
			return err
		}
	}
	if r.pgo == "" {
		return nil
	}
	merged, err := profile.Merge(all)
	if err != nil {
		return err
	}
	return writeProfile(r.pgo, merged)
}

func writeProfile(file string, p *profile.Profile) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(p.Write(f), f.Close())
}

// Marks around the part of README.md that is written here.
const (
	tableBegin = "<!-- written by banyan prof record -->\n"
	tableEnd   = "<!-- end -->\n"
)

// writeTable replaces the table in file, or writes a file of the table alone.
func (r *recorder) writeTable(file string) error {
	var t strings.Builder
	fmt.Fprintf(&t, "Recorded with `%s`: %s, %d CPUs, %s/%s, %s.\n\n",
		r.command, runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH,
		time.Now().UTC().Format(time.DateOnly))
	t.WriteString("| profile | load | router | samples | command |\n| --- | --- | --- | ---: | --- |\n")
	for _, one := range r.recordings {
		fmt.Fprintf(&t, "| [%s](%s) | %s | %s | %d | `banyan prof record --scenario %s --seconds %d` |\n",
			one.name, one.name+".pb.gz", one.load, one.perUnit, one.samples, one.name, r.seconds)
	}
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	before, rest, found := strings.Cut(string(old), tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		before, after = string(old), ""
	}
	return os.WriteFile(file, []byte(before+tableBegin+t.String()+tableEnd+after), 0o644)
}

// writeBaseline replaces the baselines of the scenarios that were recorded.
func (r *recorder) writeBaseline(file string) error {
	all, err := profiles.ReadBaselines()
	if err != nil {
		return err
	}
	for _, one := range r.recordings {
		if all[one.name], err = profiles.NewBaseline(one.profile); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
