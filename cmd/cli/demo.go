package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/cmd/config"
	"banyan/codec"
)

// The load of the demo: small enough for a laptop, large enough to see.
const (
	demoSubscribers = 200
	demoPublishers  = 4
	demoPublishRate = 200 // publications per second: 40 000 events
	demoCallers     = 20
	demoCallRate    = 2000
)

func newDemo() *cobra.Command {
	var duration time.Duration
	var plain bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the router under visible load; nothing to set up",
		Long: fmt.Sprintf("Run the router in this process and load it over real sockets: %d publishers with\n"+
			"%d subscribers (%d events/s) and %d callers (%d calls/s), every message verified. A line a\n"+
			"second shows what goes through. Ctrl-C, or --for, ends with a summary.",
			demoPublishers, demoSubscribers, demoPublishRate*demoSubscribers, demoCallers, demoCallRate),
		Example: "  banyan demo\n  banyan demo --for 20s",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			d := &demo{out: cmd.OutOrStdout(), live: isTerminal(cmd.OutOrStdout()) && !plain}
			if duration > 0 {
				d.begun = func() { time.AfterFunc(duration, stop) }
			}
			return d.run(ctx, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().DurationVar(&duration, "for", 0, "end so long after the first figures; 0 runs until Ctrl-C")
	cmd.Flags().BoolVar(&plain, "plain", false, "one line a second also on a terminal")
	return cmd
}

// A demo is the router and the load on it, in one process.
type demo struct {
	out  io.Writer
	live bool // redraw in place
	url  string

	mu           sync.Mutex
	begun        func()        // called once, at the first figures; or nil
	events       load.Progress // the last of each
	calls        load.Progress
	eventHistory []float64
	callHistory  []float64
	drawn        int // lines to go back before drawing again
}

func (d *demo) run(ctx context.Context, errs io.Writer) error {
	log := newLog(errs, slog.LevelWarn)
	r, err := startBuiltIn(log)
	if errors.Is(err, syscall.EADDRINUSE) {
		fmt.Fprintln(d.out, "port 8080 is in use; taking a free one")
		r, err = startBuiltIn(log, config.Override{Path: "listeners.0.address", Value: "127.0.0.1:0"})
	}
	if err != nil {
		return err
	}
	address := r.engine.Addrs()[0]
	d.url = "ws://" + address.String() + "/ws"
	d.announce(address)

	failed := d.load(ctx)
	if err := r.stop(); err != nil && failed == nil {
		failed = fmt.Errorf("stop the router: %w", err)
	}
	return failed
}

// startBuiltIn starts a router with the built-in configuration, and what differs from it.
func startBuiltIn(log *slog.Logger, overrides ...config.Override) (*router, error) {
	f, report := config.Load("", nil, overrides)
	if f == nil {
		return nil, report.Err()
	}
	return newRouter(f, log, false)
}

func (d *demo) announce(a net.Addr) {
	flag := ""
	if d.url != defaultURL {
		flag = " --url " + d.url
	}
	fmt.Fprintf(d.out, "banyan %s\n  router     %s   rs://%s   realm %s\n  page       http://%s/\n",
		buildName(), d.url, a, defaultRealm, a)
	fmt.Fprintf(d.out,
		"  load       %d publishers, %d subscribers, %d callers, over real sockets      stop: Ctrl-C\n\n",
		demoPublishers, demoSubscribers, demoCallers)
	fmt.Fprintf(d.out, "  from another terminal:\n    banyan sub  demo.ticks%s\n    banyan call demo.add 2 3%s\n\n",
		flag, flag)
}

// load runs both scenarios until ctx ends, and prints the summary.
func (d *demo) load(ctx context.Context) error {
	examples, err := d.openExamples(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // ended before it began
		}
		return err
	}
	defer examples.Close()

	common := load.Options{
		URL: d.url, Realm: defaultRealm, Serializer: codec.MessagePack, PID: -1,
		Warmup: 200 * time.Millisecond,
	}
	var reports [2]*load.Report
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() {
		plan := load.FanoutPlan{
			Options: common, Publishers: demoPublishers, Subscribers: demoSubscribers,
			Topic: "demo.load",
		}
		plan.Rate = demoPublishRate
		plan.Progress = func(p load.Progress) { d.progress(&d.events, p, false) }
		reports[0], errs[0] = load.Fanout(ctx, plan)
	})
	wg.Go(func() {
		plan := load.RPCPlan{Options: common, Callers: demoCallers, Procedure: "demo.echo"}
		plan.Rate = demoCallRate
		plan.Progress = func(p load.Progress) { d.progress(&d.calls, p, true) }
		reports[1], errs[1] = load.RPC(ctx, plan)
	})
	wg.Wait()
	for _, err := range errs {
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return d.summary(reports)
}

// openExamples opens the session behind the two commands that the demo suggests: it serves demo.add and publishes
// demo.ticks.
func (d *demo) openExamples(ctx context.Context) (*client.Session, error) {
	dial, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	s, err := client.Dial(dial, d.url, client.Options{Realm: defaultRealm, Agent: "Banyan demo"})
	if err != nil {
		return nil, err
	}
	if _, err := s.Register(dial, client.Topic{URI: "demo.add"}, nil, add); err != nil {
		s.Close()
		return nil, err
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for n := int64(1); ; n++ {
			select {
			case <-s.Done():
				return
			case <-tick.C:
				d.mu.Lock()
				v := client.Values{Args: []any{n}, Kwargs: map[string]any{
					"events_per_s": int64(d.events.PerSec),
					"calls_per_s":  int64(d.calls.PerSec),
				}}
				d.mu.Unlock()
				if _, err := s.Publish(ctx, "demo.ticks", nil, v); err != nil {
					return
				}
			}
		}
	}()
	return s, nil
}

// add is the procedure demo.add.
func add(_ context.Context, call *client.Invocation) (client.Values, error) {
	whole, float := int64(0), 0.0
	for _, a := range call.Args {
		switch a := a.(type) {
		case int64:
			whole += a
			float += float64(a)
		case float64:
			float += a
		default:
			return client.Values{}, &client.Error{
				URI:    codec.ErrInvalidArgument,
				Values: client.Values{Args: []any{"demo.add adds numbers"}},
			}
		}
	}
	if float == float64(whole) {
		return client.Values{Args: []any{whole}}, nil
	}
	return client.Values{Args: []any{float}}, nil
}

// progress notes the figures of one second of one scenario. With show, it prints those of both.
func (d *demo) progress(of *load.Progress, p load.Progress, show bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*of = p
	if !show || d.events.Sessions == 0 {
		return // not both are there yet
	}
	if d.begun != nil {
		d.begun()
		d.begun = nil
	}
	d.eventHistory = remember(d.eventHistory, d.events.PerSec)
	d.callHistory = remember(d.callHistory, d.calls.PerSec)
	if d.live {
		d.draw()
		return
	}
	fmt.Fprintf(d.out, "%s  sessions %d   events %.0f/s   p50 %v   p99 %v   calls %.0f/s   p50 %v   p99 %v%s\n",
		time.Now().Format(time.TimeOnly), d.sessions(), d.events.PerSec, short(d.events.P50), short(d.events.P99),
		d.calls.PerSec, short(d.calls.P50), short(d.calls.P99), d.failures())
}

func (d *demo) sessions() int { return d.events.Sessions + d.calls.Sessions + 1 }

func (d *demo) failures() string {
	if n := d.events.Failures + d.calls.Failures; n > 0 {
		return fmt.Sprintf("   FAILURES %d", n)
	}
	return ""
}

// draw redraws the live view. Lock held.
func (d *demo) draw() {
	var b strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", d.drawn)
	}
	lines := []string{
		fmt.Sprintf("%s   sessions %d%s", time.Now().Format(time.TimeOnly), d.sessions(), d.failures()),
		fmt.Sprintf("events %9.0f/s  p50 %-9v p99 %-9v %s",
			d.events.PerSec, short(d.events.P50), short(d.events.P99), sparkline(d.eventHistory)),
		fmt.Sprintf("calls  %9.0f/s  p50 %-9v p99 %-9v %s",
			d.calls.PerSec, short(d.calls.P50), short(d.calls.P99), sparkline(d.callHistory)),
	}
	for _, l := range lines {
		fmt.Fprintf(&b, "\r\x1b[K  %s\n", l)
	}
	d.drawn = len(lines)
	io.WriteString(d.out, b.String())
}

const historyLength = 40

func remember(h []float64, v float64) []float64 {
	h = append(h, v)
	return h[max(0, len(h)-historyLength):]
}

// sparkline draws values between 0 and their maximum.
func sparkline(values []float64) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	most := 0.0
	for _, v := range values {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range values {
		i := 0
		if most > 0 {
			i = int(v / most * float64(len(blocks)-1))
		}
		b.WriteRune(blocks[i])
	}
	return b.String()
}

// summary prints both reports; it is an error when something was lost.
func (d *demo) summary(reports [2]*load.Report) error {
	fmt.Fprintln(d.out, "\nsummary")
	ok := true
	for _, r := range reports {
		if r == nil {
			fmt.Fprintln(d.out, "  ended during warm-up, nothing was measured")
			continue
		}
		r.PrintBrief(d.out)
		ok = ok && r.Verified.OK
	}
	if !ok {
		return errors.New("the demo lost messages, see the summary")
	}
	return nil
}
