package bench

import (
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"time"

	"banyan/bench/client"
)

// Schema names the form of a Report in JSON.
const Schema = "banyan-bench/1"

// A Report is the outcome of one run. Its JSON form is meant for programs; Print for people.
type Report struct {
	Schema   string `json:"schema"`
	Scenario string `json:"scenario"`
	Plan     Plan   `json:"plan"`

	Seconds    float64 `json:"seconds"`    // measured
	Operations int64   `json:"operations"` // publications or calls, sent while measuring
	Received   int64   `json:"received"`   // events or results, received while measuring
	PerSecond  float64 `json:"received_per_second"`

	Latency  Latency  `json:"latency"`
	Router   *Process `json:"router,omitempty"` // nil when its process is not known
	NoRouter string   `json:"no_router,omitempty"`
	Client   Process  `json:"client"`
	Verified Verdict  `json:"verified"`
	Where    Where    `json:"environment"`
}

// A Plan tells what was run.
type Plan struct {
	URL          string  `json:"url"`
	Serializer   string  `json:"serializer"`
	Loop         string  `json:"loop"` // "closed" or "open"
	InFlight     int     `json:"in_flight,omitempty"`
	Rate         float64 `json:"rate,omitempty"`
	PayloadBytes int     `json:"payload_bytes"`
	Publishers   int     `json:"publishers,omitempty"`
	Subscribers  int     `json:"subscribers,omitempty"`
	Callers      int     `json:"callers,omitempty"`
	Callees      int     `json:"callees,omitempty"`
}

// Latency is in microseconds, from the time of sending (closed loop) or the intended time of sending (open loop) to the return of the read
// that brought the message.
type Latency struct {
	From  string  `json:"from"`
	Count int64   `json:"count"`
	Over  int64   `json:"over_100s,omitempty"`
	Mean  float64 `json:"mean_us"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}

// A Process is what one process used while measuring.
type Process struct {
	PID             int     `json:"pid"`
	Name            string  `json:"name"`
	CPUSeconds      float64 `json:"cpu_seconds"`
	CPUShare        float64 `json:"cpu_share"`           // of one CPU
	CPUPerMessage   float64 `json:"cpu_ns_per_received"` // per delivered event or finished call
	RSSBytes        int64   `json:"rss_bytes,omitempty"` // at the end of measuring
	RSSPerSession   int64   `json:"rss_per_session_bytes,omitempty"`
	SessionsCounted int     `json:"rss_sessions,omitempty"`
}

// A Verdict says whether everything that was sent arrived, once, in order and whole, over the whole run.
type Verdict struct {
	OK       bool             `json:"ok"`
	Expected int64            `json:"expected"`
	Received int64            `json:"received"`
	Failures map[string]int64 `json:"failures,omitempty"`
}

// Where a run took place.
type Where struct {
	Time       string `json:"time"`
	OS         string `json:"os"`
	CPUs       int    `json:"cpus"`
	GoMaxProcs int    `json:"client_gomaxprocs"`
	Go         string `json:"client_go"`
	Command    string `json:"command"`
}

// measured gathers the readings around the measured time.
type measured struct {
	router   process
	noRouter string

	start, stop       time.Duration
	sent, received    [2]int64
	routerCPU, ownCPU [2]time.Duration
	rssEnd            int64
	perSession        int64
	sessions          int
}

func newMeasured(l *Load) *measured {
	m := &measured{}
	switch {
	case l.PID < 0:
		m.noRouter = "not asked for"
	case l.PID > 0:
		m.router = process{l.PID}
	default:
		p, err := findProcess(l.URL)
		if err != nil {
			m.noRouter = err.Error()
		} else if p.pid == os.Getpid() {
			m.noRouter = "the router runs in this very process"
		} else {
			m.router = p
		}
	}
	if m.router.pid != 0 {
		if _, err := m.router.cpu(); err != nil {
			m.noRouter = err.Error()
			m.router = process{}
		}
	}
	return m
}

func (m *measured) rss(p process) int64 {
	if p.pid == 0 {
		return 0
	}
	n, err := p.rss()
	if err != nil {
		return 0
	}
	return n
}

// rssSessionsMin is how many sessions it takes for resident memory to say something about one of them.
const rssSessionsMin = 100

// sessionMemory takes what the router has grown by since before the sessions came. It tells the cost of a session only on a router that has
// not had as many before: memory once taken is used again.
func (m *measured) sessionMemory(before int64, sessions int) {
	if sessions < rssSessionsMin {
		return
	}
	m.sessions = sessions
	if after := m.rss(m.router); before > 0 && after > before {
		m.perSession = (after - before) / int64(sessions)
	}
}

func (m *measured) read(r *run, router process, i int) {
	m.sent[i], m.received[i] = r.sent.Load(), r.received.Load()
	m.ownCPU[i], _ = process{os.Getpid()}.cpu()
	if router.pid != 0 {
		cpu, err := router.cpu()
		if err != nil {
			r.failures.add(err.Error(), 1)
		}
		m.routerCPU[i] = cpu
	}
}

func (m *measured) begin(r *run, router process) {
	m.start = r.now()
	r.from.Store(int64(m.start))
	m.read(r, router, 0)
}

func (m *measured) end(r *run, router process) {
	m.stop = r.now()
	r.to.Store(int64(m.stop))
	m.read(r, router, 1)
	m.rssEnd = m.rss(router)
}

func (m *measured) report(scenario string, r *run, p Plan, expected int64) *Report {
	p.URL, p.Serializer, p.PayloadBytes = r.URL, client.SerializerName(r.Serializer), r.PayloadBytes
	p.Loop, p.InFlight = "closed", r.InFlight
	from := "send time"
	if r.Rate > 0 {
		p.Loop, p.InFlight, p.Rate = "open", 0, r.Rate
		from = "intended send time"
	}
	seconds := (m.stop - m.start).Seconds()
	out := &Report{
		Schema: Schema, Scenario: scenario, Plan: p,
		Seconds: seconds, Operations: m.sent[1] - m.sent[0], Received: m.received[1] - m.received[0],
		NoRouter: m.noRouter,
		Client:   Process{PID: os.Getpid(), Name: process{os.Getpid()}.name(), RSSBytes: m.rss(process{os.Getpid()})},
		Where: Where{
			Time: time.Now().UTC().Format(time.RFC3339), OS: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(),
			GoMaxProcs: runtime.GOMAXPROCS(0), Go: runtime.Version(), Command: fmt.Sprintf("%q", os.Args[1:]),
		},
	}
	out.PerSecond = ratio(float64(out.Received), seconds)
	out.Client.use(m.ownCPU, seconds, out.Received)
	if m.router.pid != 0 {
		out.Router = &Process{
			PID: m.router.pid, Name: m.router.name(), RSSBytes: m.rssEnd,
			RSSPerSession: m.perSession, SessionsCounted: m.sessions,
		}
		out.Router.use(m.routerCPU, seconds, out.Received)
	}
	h, over := r.recorder.total()
	us := func(ns float64) float64 { return math.Round(ns/10) / 100 }
	q := func(q float64) float64 { return us(float64(h.ValueAtQuantile(q))) }
	out.Latency = Latency{
		From: from, Count: h.TotalCount(), Over: over, Mean: us(h.Mean()),
		P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: us(float64(h.Max())),
	}
	out.Verified = Verdict{
		OK: r.failures.total() == 0, Expected: expected, Received: r.received.Load(), Failures: r.failures.byID,
	}
	return out
}

func (p *Process) use(cpu [2]time.Duration, seconds float64, received int64) {
	used := cpu[1] - cpu[0]
	p.CPUSeconds = used.Seconds()
	p.CPUShare = ratio(used.Seconds(), seconds)
	p.CPUPerMessage = math.Round(ratio(float64(used), float64(received)))
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Print writes the report for people.
func (r *Report) Print(w io.Writer) {
	r.printOutcome(w)
	r.printProcesses(w)
	r.printVerdict(w)
}

// PrintBrief leaves the processes out: for a router that runs in the process of its clients.
func (r *Report) PrintBrief(w io.Writer) {
	r.printOutcome(w)
	r.printVerdict(w)
}

// nouns are what a scenario counts.
func (r *Report) nouns() (many, one string) {
	if r.Scenario == "rpc" {
		return "calls", "call"
	}
	return "events", "event"
}

func (r *Report) printOutcome(w io.Writer) {
	p, l := &r.Plan, &r.Latency
	many, _ := r.nouns()
	if r.Scenario == "rpc" {
		fmt.Fprintf(w, "rpc        callers %d, callees %d", p.Callers, p.Callees)
	} else {
		fmt.Fprintf(w, "fanout     publishers %d, subscribers %d", p.Publishers, p.Subscribers)
	}
	if p.Loop == "open" {
		fmt.Fprintf(w, ", open loop at %.0f/s", p.Rate)
	} else {
		fmt.Fprintf(w, ", closed loop with %d in flight", p.InFlight)
	}
	fmt.Fprintf(w, ", %s, %d bytes, %.1f s\n", p.Serializer, p.PayloadBytes, r.Seconds)
	fmt.Fprintf(w, "throughput %.0f %s/s", r.PerSecond, many)
	if r.Scenario != "rpc" {
		fmt.Fprintf(w, "   from %.0f publications/s", ratio(float64(r.Operations), r.Seconds))
	}
	fmt.Fprintf(w, "\nlatency    p50 %s   p90 %s   p99 %s   p99.9 %s   max %s   from the %s\n",
		micros(l.P50), micros(l.P90), micros(l.P99), micros(l.P999), micros(l.Max), l.From)
}

func (r *Report) printProcesses(w io.Writer) {
	_, one := r.nouns()
	if r.Router != nil {
		fmt.Fprintf(w, "router     %s (pid %d): %.0f ns of CPU per %s, %.0f %% of a CPU, %.1f MiB resident",
			r.Router.Name, r.Router.PID, r.Router.CPUPerMessage, one, 100*r.Router.CPUShare, float64(r.Router.RSSBytes)/(1<<20))
		if r.Router.RSSPerSession > 0 {
			fmt.Fprintf(w, ", %.1f KiB per idle session (%d)", float64(r.Router.RSSPerSession)/1024, r.Router.SessionsCounted)
		}
		fmt.Fprintln(w)
	} else {
		fmt.Fprintf(w, "router     no CPU figures: %s\n", r.NoRouter)
	}
	fmt.Fprintf(w, "clients    %.0f ns of CPU per %s, %.0f %% of a CPU", r.Client.CPUPerMessage, one, 100*r.Client.CPUShare)
	if r.Router != nil && r.Plan.Loop == "closed" && r.Client.CPUShare > r.Router.CPUShare {
		fmt.Fprint(w, "   (busier than the router: the throughput is the clients' as much as the router's)")
	}
	fmt.Fprintln(w)
}

func (r *Report) printVerdict(w io.Writer) {
	many, _ := r.nouns()
	if r.Verified.OK {
		fmt.Fprintf(w, "verified   all %d %s: none lost, none twice, none out of order, none changed\n", r.Verified.Received, many)
		return
	}
	came := "arrived"
	if r.Scenario == "rpc" {
		came = "were answered"
	}
	fmt.Fprintf(w, "FAILED     %d of %d %s %s\n", r.Verified.Received, r.Verified.Expected, many, came)
	kinds := make([]string, 0, len(r.Verified.Failures))
	for k := range r.Verified.Failures {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	for _, k := range kinds {
		fmt.Fprintf(w, "           %d x %s\n", r.Verified.Failures[k], k)
	}
}

// micros prints microseconds in the unit that fits.
func micros(us float64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%.0f us", us)
	case us < 1e6:
		return fmt.Sprintf("%.2f ms", us/1000)
	}
	return fmt.Sprintf("%.2f s", us/1e6)
}
