package load

import (
	"math"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"banyan/bench/client"
	"banyan/bench/judge"
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
	// BytesPerMessage is how many bytes of the sockets a received event took, in loads of publications.
	BytesPerMessage float64 `json:"bytes_per_received,omitempty"`

	Latency  Latency  `json:"latency"`
	Series   []Second `json:"series,omitempty"` // about one a second while measuring
	Figures  []Figure `json:"figures,omitempty"`
	Hostile  []Beside `json:"hostile,omitempty"` // what the others had beside each hostile load
	Router   *Process `json:"router,omitempty"`  // nil when its process is not known
	NoRouter string   `json:"no_router,omitempty"`
	Client   Process  `json:"client"`
	Verified Verdict  `json:"verified"`
	Trust    Trust    `json:"trust"`
	Floor    *Versus  `json:"floor,omitempty"` // the comparison with the floor, when there was one
	Where    Where    `json:"environment"`
}

// A Second is what one interval of measuring brought, about a second long.
type Second struct {
	At        float64 `json:"at_s"` // its end, since measuring began
	PerSecond float64 `json:"received_per_second"`
	P50       float64 `json:"p50_us"` // of everything received in it
	P99       float64 `json:"p99_us"`
	Max       float64 `json:"max_us"`
	RouterCPU float64 `json:"router_cpu_share"` // of one CPU; 0 when not known
	ClientCPU float64 `json:"client_cpu_share"`
	RouterRSS int64   `json:"router_rss_bytes,omitempty"`
}

// A Figure is a result that only one scenario has.
type Figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // for instance us/cycle
}

// A Versus compares the router with the floor, which moves the same bytes without routing: both in turn, a fresh
// process each.
type Versus struct {
	Unit   string  `json:"unit"` // of Router and Floor in the rounds: "cpu-ns/received", "bytes/session"
	Rounds []Round `json:"rounds"`
	Median float64 `json:"median_ratio"` // of the rounds' ratios
	// MedianP50 and MedianP99 are medians of the rounds' ratios of latency; they mean something at a fixed rate, or
	// with one in flight. 0 without.
	MedianP50 float64 `json:"median_p50_ratio,omitempty"`
	MedianP99 float64 `json:"median_p99_ratio,omitempty"`
	Min       float64 `json:"min_ratio"`
	Max       float64 `json:"max_ratio"`
}

// A Round is one run of the floor and one of the router, one behind the other.
type Round struct {
	Router float64 `json:"router"`
	Floor  float64 `json:"floor"`
	Ratio  float64 `json:"ratio"` // Router / Floor
	// The other fields tell whether the cheaper one was also the faster one.
	RouterPerSecond float64 `json:"router_received_per_second"`
	FloorPerSecond  float64 `json:"floor_received_per_second"`
	RouterP50       float64 `json:"router_p50_us"`
	FloorP50        float64 `json:"floor_p50_us"`
	RouterP99       float64 `json:"router_p99_us"`
	FloorP99        float64 `json:"floor_p99_us"`
	RouterSyscalls  float64 `json:"router_syscalls_per_received,omitempty"`
	FloorSyscalls   float64 `json:"floor_syscalls_per_received,omitempty"`
}

// A Plan tells what was run.
type Plan struct {
	URL          string  `json:"url"`
	Deflate      bool    `json:"deflate,omitempty"`
	Records      bool    `json:"records,omitempty"` // see Options
	Serializer   string  `json:"serializer"`        // or the names of several that took turns, with + between them
	Loop         string  `json:"loop"`              // "closed" or "open"
	InFlight     int     `json:"in_flight,omitempty"`
	Rate         float64 `json:"rate,omitempty"`
	PayloadBytes int     `json:"payload_bytes"`
	Publishers   int     `json:"publishers,omitempty"`
	Subscribers  int     `json:"subscribers,omitempty"`
	Callers      int     `json:"callers,omitempty"`
	Callees      int     `json:"callees,omitempty"`
	Sessions     int     `json:"sessions,omitempty"`            // that subscribe to topics and patterns, or idle
	Topics       int     `json:"topics,omitempty"`              // published to
	PerTopic     int     `json:"per_topic,omitempty"`           // subscribers of each topic
	Patterns     int     `json:"patterns,omitempty"`            // subscriptions of patterns
	Matching     int     `json:"matching,omitempty"`            // of them, per publication
	Progress     int     `json:"progressive_results,omitempty"` // results per call, the last one included
	Stopped      int     `json:"stopped_readers,omitempty"`
	Retained     bool    `json:"retained,omitempty"` // see JoinersPlan
	Listener     bool    `json:"listener,omitempty"`
	Workers      int     `json:"workers,omitempty"` // sessions opened or churning side by side
}

// Latency is in microseconds, from the time of sending (closed loop) or the intended time of sending (open loop) to
// the return of the read that brought the message.
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
	// HDR is the whole histogram, in nanoseconds: HdrHistogram's compressed V2 form in base64. Empty when nothing
	// counted.
	HDR string `json:"hdr_v2,omitempty"`
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
	// SyscallsPerMessage is counted where Options.Syscalls asks for it and the machine can; NoSyscalls says why it
	// could not.
	SyscallsPerMessage float64 `json:"syscalls_per_received,omitempty"`
	NoSyscalls         string  `json:"no_syscalls,omitempty"`
}

// A Verdict says whether everything that was sent arrived, once, in order and whole, over the whole run.
type Verdict struct {
	OK       bool             `json:"ok"`
	Expected int64            `json:"expected"`
	Received int64            `json:"received"`
	Failures map[string]int64 `json:"failures,omitempty"`
}

// lostMax is the share of messages lost above which the figures of a run mean nothing.
const lostMax = 0.01

// Usable says whether the figures of a run mean something: few enough messages were lost.
func (r *Report) Usable() bool {
	if r.Verified.Received == 0 {
		return false
	}
	return r.Verified.OK || float64(r.Verified.Expected-r.Verified.Received) <= lostMax*float64(r.Verified.Expected)
}

func (m *readings) report(scenario string, r *run, p Plan, expected int64) *Report {
	p.URL, p.PayloadBytes, p.Deflate, p.Records = r.URL, r.PayloadBytes, r.Deflate, r.Records
	if p.Serializer == "" {
		p.Serializer = client.SerializerName(r.Serializer)
	}
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
		Where:    readWhere(m.loadBefore),
		Series:   m.series,
	}
	out.PerSecond = judge.Ratio(float64(out.Received), seconds)
	out.BytesPerMessage = judge.Round3(judge.Ratio(float64(m.readBytes[1]-m.readBytes[0]), float64(out.Received)))
	out.Client.use(m.ownCPU, seconds, out.Received)
	if m.router.pid != 0 {
		out.Router = &Process{
			PID: m.router.pid, Name: m.router.name(), RSSBytes: m.rssEnd,
			RSSPerSession: m.perSession, SessionsCounted: m.sessions,
			SyscallsPerMessage: math.Round(m.syscalls*1e5) / 1e5, NoSyscalls: m.noSyscalls,
		}
		out.Router.use(m.routerCPU, seconds, out.Received)
	}
	h, over := r.recorder.total()
	q := func(q float64) float64 { return micro(h.ValueAtQuantile(q)) }
	out.Latency = Latency{
		From: from, Count: h.TotalCount(), Over: over, Mean: micro(int64(h.Mean())),
		P50: q(50), P90: q(90), P99: q(99), P999: q(99.9), Max: longest(h),
	}
	if h.TotalCount() > 0 {
		// Encoding writes to memory and cannot fail.
		b, _ := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
		out.Latency.HDR = string(b)
	}
	out.Verified = Verdict{
		OK: r.failures.total() == 0, Expected: expected, Received: r.received.Load(), Failures: r.failures.byID,
	}
	out.Trust = m.trust(out, r.Rate == 0)
	return out
}

func (p *Process) use(cpu [2]time.Duration, seconds float64, received int64) {
	used := cpu[1] - cpu[0]
	p.CPUSeconds = used.Seconds()
	p.CPUShare = judge.Ratio(used.Seconds(), seconds)
	p.CPUPerMessage = judge.Round3(judge.Ratio(float64(used), float64(received)))
}

// micro turns nanoseconds into microseconds of two decimals.
func micro(ns int64) float64 { return math.Round(float64(ns)/10) / 100 }
