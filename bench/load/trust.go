package load

import (
	"fmt"
	"math"
	"time"

	"banyan/bench/judge"
)

// A Trust says whether the figures mean something. Whether every message arrived is another question.
type Trust struct {
	Judged bool `json:"judged"` // false: too short to tell, see trustSecondsMin
	OK     bool `json:"ok"`     // nothing was found against the figures
	// Reasons are sentences, one for each thing that was found.
	Reasons []string `json:"reasons,omitempty"`
	// ClientsBusy: the clients were the bottleneck. Throughput and latency are as much theirs as the router's; CPU
	// per message is not.
	ClientsBusy bool `json:"clients_busy,omitempty"`
	// of the run, in throughput or CPU per message, the larger; 0.1 is 10 %
	HalvesApart float64 `json:"halves_apart"`
	OtherCPU    float64 `json:"other_cpu_share"` // of one CPU, used by everybody but router and clients
	StolenCPU   float64 `json:"stolen_cpu_share"`
}

// Limits of a run that is trusted.
const (
	trustSecondsMin = 2.0  // a shorter run is not judged
	halvesApartMax  = 0.10 // of throughput and CPU per message between the halves
	otherCPUMax     = 0.20 // of one CPU
	stolenCPUMax    = 0.05 // of one CPU, by other guests of the host
	busyShare       = 0.90 // of all CPUs: above it the machine is full
)

// trust judges a run from its readings. The run is a closed loop if closed.
func (m *readings) trust(r *Report, closed bool) Trust {
	t := Trust{OK: true, HalvesApart: m.halvesApart()}
	if r.Seconds < trustSecondsMin {
		return t
	}
	t.Judged = true
	against := func(format string, args ...any) {
		t.OK = false
		t.Reasons = append(t.Reasons, fmt.Sprintf(format, args...))
	}
	if t.HalvesApart > halvesApartMax {
		against("the two halves of the run differ by %.0f %%", 100*t.HalvesApart)
	}
	router := 0.0
	if r.Router != nil {
		router = r.Router.CPUShare
	}
	// Without the router's process its CPU time cannot be told from other programs', unless it runs elsewhere.
	if r.Router != nil || m.elsewhere {
		other, who := m.others(r.Seconds)
		t.OtherCPU = max(other, 0)
		if t.OtherCPU > otherCPUMax {
			against("other programs used %.0f %% of a CPU%s", 100*t.OtherCPU, who)
		}
	}
	t.StolenCPU = judge.Ratio((m.machine[1].stolen - m.machine[0].stolen).Seconds(), r.Seconds)
	if t.StolenCPU > stolenCPUMax {
		against("the host took %.0f %% of a CPU away", 100*t.StolenCPU)
	}
	cpus := float64(r.Where.CPUs)
	own := float64(min(r.Where.CPUs, r.Where.GoMaxProcs))
	full := r.Client.CPUShare+router >= busyShare*cpus
	switch {
	case r.Client.CPUShare >= busyShare*own:
		t.ClientsBusy = true
		against("the clients used %.0f %% of a CPU, all they can get: they were the bottleneck",
			100*r.Client.CPUShare)
	case closed && r.Router != nil && full && r.Client.CPUShare > router:
		t.ClientsBusy = true
		against("the machine was full and the clients took more of it than the router (%.0f and %.0f %% of a CPU): "+
			"they were the bottleneck",
			100*r.Client.CPUShare, 100*router)
	}
	return t
}

// Disturbed reports whether something other than busy clients disturbed the run. Busy clients do not distort CPU per
// message.
func (t *Trust) Disturbed() bool {
	return t.HalvesApart > halvesApartMax || t.OtherCPU > otherCPUMax || t.StolenCPU > stolenCPUMax
}

// A half is a reading in the middle of the run.
type half struct {
	at        time.Duration
	received  int64
	routerCPU time.Duration
}

// halvesApart is the larger relative difference between the halves, in messages per second or in CPU per message.
func (m *readings) halvesApart() float64 {
	h := m.mid
	if h.at == 0 {
		return m.seriesApart()
	}
	first, second := (h.at - m.start).Seconds(), (m.stop - h.at).Seconds()
	received1, received2 := float64(h.received-m.received[0]), float64(m.received[1]-h.received)
	apart := difference(judge.Ratio(received1, first), judge.Ratio(received2, second))
	if m.router.pid != 0 {
		cpu1, cpu2 := (h.routerCPU - m.routerCPU[0]).Seconds(), (m.routerCPU[1] - h.routerCPU).Seconds()
		apart = max(apart, difference(judge.Ratio(cpu1, received1), judge.Ratio(cpu2, received2)))
	}
	return judge.Round3(apart)
}

// seriesApart compares the halves of the series, for runs whose end was not known at the beginning.
func (m *readings) seriesApart() float64 {
	n := len(m.series) / 2
	sum := func(s []Second) (v float64) {
		for i := range s {
			v += s[i].PerSecond
		}
		return v
	}
	if n == 0 {
		return 0
	}
	return judge.Round3(difference(sum(m.series[:n]), sum(m.series[len(m.series)-n:])))
}

// difference is how far a and b lie apart, relative to the larger.
func difference(a, b float64) float64 { return judge.Ratio(math.Abs(a-b), max(a, b)) }
