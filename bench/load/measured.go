package load

import (
	"errors"
	"os"
	"time"

	"banyan/bench/judge"
)

// readings are taken around the measured time.
type readings struct {
	router   process
	noRouter string

	start, stop       time.Duration
	sent, received    [2]int64
	cycles            [2]int64
	readBytes         [2]int64
	routerCPU, ownCPU [2]time.Duration
	rssEnd            int64
	perSession        int64
	sessions          int
	syscalls          float64 // per message
	noSyscalls        string

	elsewhere  bool // the router runs on another machine
	loadBefore [3]float64
	machine    [2]machineReading
	mid        half // in the middle, if the end was known
	series     []Second
}

// seriesMax bounds the series: the first 18 hours of a run.
const seriesMax = 1 << 16

func newReadings(l *Options) *readings {
	m := &readings{loadBefore: loadAverages()}
	switch {
	case l.PID < 0:
		m.noRouter = "not asked for"
	case l.PID > 0:
		m.router = process{l.PID}
	default:
		p, err := findProcess(l.URL)
		if err != nil {
			m.noRouter = err.Error()
			m.elsewhere = errors.Is(err, errNotLocal)
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

func (m *readings) rss(p process) int64 {
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

// sessionMemory computes memory per session from the router's growth since before the sessions joined. It is only
// right on a router that has not had as many sessions before, because a router uses its memory again.
func (m *readings) sessionMemory(before int64, sessions int) {
	if sessions < rssSessionsMin {
		return
	}
	m.sessions = sessions
	if after := m.rss(m.router); before > 0 && after > before {
		m.perSession = (after - before) / int64(sessions)
	}
}

func (m *readings) read(r *run, i int) {
	m.sent[i], m.received[i] = r.sent.Load(), r.received.Load()
	m.cycles[i] = r.cycles.Load()
	m.readBytes[i] = r.readBytes.Load()
	m.ownCPU[i], _ = process{os.Getpid()}.cpu()
	m.routerCPU[i] = m.routerNow(r)
}

// routerNow is the CPU time that the router has used so far; 0 when its process is not known.
func (m *readings) routerNow(r *run) time.Duration {
	if m.router.pid == 0 {
		return 0
	}
	cpu, err := m.router.cpu()
	if err != nil {
		r.failures.add(err.Error(), 1)
	}
	return cpu
}

func (m *readings) begin(r *run, router process) {
	m.machine[0] = readMachine()
	m.start = r.now()
	r.from.Store(int64(m.start))
	m.read(r, 0)
}

func (m *readings) end(r *run, router process) {
	m.stop = r.now()
	r.to.Store(int64(m.stop))
	m.read(r, 1)
	m.machine[1] = readMachine()
	m.rssEnd = m.rss(router)
}

// middle takes the reading between the two halves of the run.
func (m *readings) middle(r *run) {
	m.mid = half{at: r.now(), received: r.received.Load()}
	if m.router.pid != 0 {
		// If the router is gone, read reports it at the end.
		m.mid.routerCPU, _ = m.router.cpu()
	}
}

// An interval is what the live line and the series count from.
type interval struct {
	at           time.Duration
	received     int64
	router, self time.Duration
}

func (m *readings) mark(r *run) interval {
	i := interval{at: r.now(), received: r.received.Load()}
	i.self, _ = process{os.Getpid()}.cpu()
	if m.router.pid != 0 {
		i.router, _ = m.router.cpu()
	}
	return i
}

// second closes the interval that began at last: for the series if measuring has begun, and for the live line.
func (m *readings) second(r *run, last interval, sessions int, begin time.Duration) interval {
	now := m.mark(r)
	took := (now.at - last.at).Seconds()
	h := r.recorder.takeInterval()
	s := Second{
		At: (now.at - begin).Seconds(), PerSecond: judge.Ratio(float64(now.received-last.received), took),
		P50: micro(h.ValueAtQuantile(50)), P99: micro(h.ValueAtQuantile(99)), Max: longest(h),
		RouterCPU: judge.Ratio((now.router - last.router).Seconds(), took),
		ClientCPU: judge.Ratio((now.self - last.self).Seconds(), took),
		RouterRSS: m.rss(m.router),
	}
	if now.at >= begin && last.at >= begin-time.Millisecond && len(m.series) < seriesMax {
		m.series = append(m.series, s)
	}
	if r.Progress != nil {
		r.Progress(Progress{
			Elapsed: now.at - begin, Sessions: sessions, Failures: r.failures.total(), PerSec: s.PerSecond,
			P50: time.Duration(h.ValueAtQuantile(50)), P99: time.Duration(h.ValueAtQuantile(99)),
		})
	}
	return now
}
