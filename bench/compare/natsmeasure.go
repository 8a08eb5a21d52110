package compare

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"banyan/bench/load"
)

// cpuTime returns the CPU time that a process has used, from the kernel's clock of that process.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED of the process, not of a thread
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// residentBytes returns the resident memory of a process, 0 when it cannot be read.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// A natsReading is taken at the begin and the end of measuring, and once a second.
type natsReading struct {
	at             int64
	sent, received int64
	server, own    time.Duration
}

func (l *natsLoad) read() natsReading {
	n := natsReading{at: l.now(), sent: l.sent.Load(), received: l.received.Load()}
	var err error
	if n.server, err = cpuTime(l.PID); err != nil {
		l.fail(err.Error(), 1)
	}
	n.own, _ = cpuTime(os.Getpid())
	return n
}

// measure waits through warm-up and measuring and reports what went through meanwhile; then it stops the senders.
func (l *natsLoad) measure(ctx context.Context) *load.Report {
	wait := func(d time.Duration) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	wait(l.Warmup)
	begin := l.read()
	l.from.Store(begin.at)
	last := begin
	var series []load.Second
	for ctx.Err() == nil && time.Duration(last.at-begin.at) < l.Duration {
		wait(min(time.Second, l.Duration-time.Duration(last.at-begin.at)))
		now := l.read()
		took := float64(now.at-last.at) / 1e9
		series = append(series, load.Second{
			At: float64(now.at-begin.at) / 1e9, PerSecond: float64(now.received-last.received) / took,
			RouterCPU: (now.server - last.server).Seconds() / took, ClientCPU: (now.own - last.own).Seconds() / took,
			RouterRSS: residentBytes(l.PID),
		})
		last = now
	}
	l.to.Store(last.at)
	syscalls, uncounted := l.countSyscalls(ctx)
	l.stopped.Store(true)
	l.stop()
	r := &load.Report{
		Schema: load.Schema, Series: series,
		Plan:    load.Plan{URL: l.URL, Loop: "closed", InFlight: l.InFlight, PayloadBytes: l.PayloadBytes},
		Seconds: float64(last.at-begin.at) / 1e9, Operations: last.sent - begin.sent, Received: last.received - begin.received,
		Router: &load.Process{
			PID: l.PID, Name: "nats", RSSBytes: residentBytes(l.PID),
			SyscallsPerMessage: syscalls, NoSyscalls: uncounted,
		},
		Client: load.Process{PID: os.Getpid(), Name: "banyan", RSSBytes: residentBytes(os.Getpid())},
		// Not judged: this load does not watch the rest of the machine. The runs of the other peers in the same rounds do.
		Trust: load.Trust{OK: true},
		Where: load.Where{
			Time: time.Now().UTC().Format(time.RFC3339), OS: runtime.GOOS + "/" + runtime.GOARCH,
			CPUs: runtime.NumCPU(), GoMaxProcs: runtime.GOMAXPROCS(0), Go: runtime.Version(),
		},
	}
	if l.Rate > 0 {
		r.Plan.Loop, r.Plan.InFlight, r.Plan.Rate = "open", 0, l.Rate
	}
	use := func(p *load.Process, used time.Duration) {
		p.CPUSeconds = used.Seconds()
		if r.Seconds > 0 {
			p.CPUShare = used.Seconds() / r.Seconds
		}
		if r.Received > 0 {
			p.CPUPerMessage = math.Round(float64(used) / float64(r.Received))
		}
	}
	use(r.Router, last.server-begin.server)
	use(&r.Client, last.own-begin.own)
	if r.Seconds > 0 {
		r.PerSecond = float64(r.Received) / r.Seconds
	}
	return r
}

// countSyscalls counts them per message, in a window of its own behind the measured time, or says why it cannot.
func (l *natsLoad) countSyscalls(ctx context.Context) (perMessage float64, why string) {
	if l.Syscalls == load.SyscallsNone || ctx.Err() != nil {
		return 0, ""
	}
	received, at := l.received.Load(), time.Now()
	perSecond, err := load.SyscallsOf(ctx, l.Syscalls, l.PID)
	if err != nil {
		return 0, err.Error()
	}
	messages := float64(l.received.Load()-received) / time.Since(at).Seconds()
	if messages == 0 {
		return 0, "no messages to count them by"
	}
	return math.Round(1e5*perSecond/messages) / 1e5, ""
}

// finish adds what is known only after the last message has come. The loops have ended.
func (l *natsLoad) finish(r *load.Report, expected int64) *load.Report {
	h := l.latency
	micros := func(ns float64) float64 { return math.Round(ns/10) / 100 }
	q := func(percentile float64) float64 { return micros(float64(h.ValueAtQuantile(percentile))) }
	from := "send time"
	if l.Rate > 0 {
		from = "intended send time"
	}
	r.Latency = load.Latency{
		From: from, Count: h.TotalCount(), Mean: micros(h.Mean()),
		P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: micros(float64(h.Max())),
	}
	if h.TotalCount() > 0 {
		if b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
			r.Latency.HDR = string(b)
		}
	}
	r.Verified = load.Verdict{OK: len(l.failures) == 0, Expected: expected, Received: l.received.Load()}
	if !r.Verified.OK {
		r.Verified.Failures = l.failures
	}
	return r
}
