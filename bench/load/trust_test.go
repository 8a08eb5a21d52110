package load

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestTrust(t *testing.T) {
	const s = time.Second
	// A run of ten seconds on two CPUs: 1000 messages in each half, router 1.2 CPUs, clients 0.4.
	sound := func() (*readings, *Report) {
		m := &readings{
			router: process{1 << 30}, start: 5 * s, stop: 15 * s, received: [2]int64{100, 2100},
			routerCPU: [2]time.Duration{0, 12 * s}, ownCPU: [2]time.Duration{0, 4 * s},
			mid:     half{at: 10 * s, received: 1100, routerCPU: 6 * s},
			machine: [2]machineReading{{}, {programs: 16 * s}},
		}
		r := &Report{
			Seconds: 10, Router: &Process{CPUShare: 1.2}, Client: Process{CPUShare: 0.4},
			Where: Where{CPUs: 2, GoMaxProcs: 2},
		}
		return m, r
	}
	for name, c := range map[string]struct {
		change func(m *readings, r *Report)
		open   bool
		want   string // in the reason; empty for trust
	}{
		"sound": {change: func(*readings, *Report) {}},
		"throughput": {
			change: func(m *readings, _ *Report) { m.mid.received = 1200 },
			want:   "halves of the run differ by 18 %",
		},
		"cpu": {
			change: func(m *readings, _ *Report) { m.mid.routerCPU = 5 * s },
			want:   "halves of the run differ by 29 %",
		},
		"others": {
			change: func(m *readings, _ *Report) { m.machine[1].programs = 19 * s },
			want:   "other programs used 30 % of a CPU",
		},
		"one other": {change: func(m *readings, _ *Report) {
			m.machine[0].processes = map[int]processReading{1: {}}
			m.machine[1].processes = map[int]processReading{1: {used: 4 * s}}
		}, want: "(pid 1, 40 %)"},
		"an old child ended": {change: func(m *readings, _ *Report) {
			m.machine[0].processes = map[int]processReading{1: {}, 2: {used: 4 * s, parent: 1}}
			m.machine[1].processes = map[int]processReading{1: {used: 4 * s}}
		}},
		"a child that worked ended": {change: func(m *readings, _ *Report) {
			m.machine[0].processes = map[int]processReading{1: {}, 2: {used: 4 * s, parent: 1}}
			m.machine[1].processes = map[int]processReading{1: {used: 8 * s}}
		}, want: "(pid 1, 40 %)"},
		"stolen": {
			change: func(m *readings, _ *Report) { m.machine[1].stolen = s },
			want:   "the host took 10 % of a CPU",
		},
		"clients full": {
			change: func(_ *readings, r *Report) { r.Client.CPUShare = 1.85 }, open: true,
			want: "they were the bottleneck",
		},
		"clients more": {
			change: func(_ *readings, r *Report) { r.Client.CPUShare, r.Router.CPUShare = 1.1, 0.8 },
			want:   "they were the bottleneck",
		},
		"clients more, open loop": {change: func(_ *readings, r *Report) {
			r.Client.CPUShare, r.Router.CPUShare = 1.1, 0.8
		}, open: true},
		"latency bound": {change: func(_ *readings, r *Report) {
			r.Client.CPUShare, r.Router.CPUShare = 0.6, 0.4
		}},
		"unknown router": {change: func(m *readings, r *Report) {
			m.router, r.Router = process{}, nil
			m.machine[1].programs = 19 * s
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m, r := sound()
			c.change(m, r)
			got := m.trust(r, !c.open)
			text := strings.Join(got.Reasons, "; ")
			if !got.Judged || got.OK != (c.want == "") || !strings.Contains(text, c.want) || len(got.Reasons) > 1 {
				t.Errorf("%+v, want %q", got, c.want)
			}
			if got.ClientsBusy != strings.Contains(text, "bottleneck") ||
				got.Disturbed() == (got.OK || got.ClientsBusy) {
				t.Errorf("%+v", got)
			}
		})
	}
	m, r := sound()
	r.Seconds, m.mid.received = 1.5, 1900
	if got := m.trust(r, true); got.Judged || !got.OK {
		t.Errorf("a short run was judged: %+v", got)
	}
	m, _ = sound()
	m.mid = half{}
	m.series = []Second{{PerSecond: 100}, {PerSecond: 100}, {PerSecond: 5}, {PerSecond: 80}, {PerSecond: 80}}
	if d := m.halvesApart(); d != 0.2 {
		t.Errorf("the series' halves are %g apart", d)
	}
}

func TestMachineReading(t *testing.T) {
	pid, p, ok := parseStat("42 (a) (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 9")
	if pid != 42 || p != (processReading{1240 * time.Millisecond, 1}) || !ok {
		t.Errorf("%d %v %v", pid, p, ok)
	}
	for _, line := range []string{
		"", "42", "42 (x) S 1", "x (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
		"4 (x) S 1 1 1 1 1 1 1 1 1 1 y 1 1 1 1", "4 (x) S x 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
	} {
		if _, _, ok := parseStat(line); ok {
			t.Errorf("%q was read", line)
		}
	}
	m := readMachine()
	if _, seen := m.processes[os.Getpid()]; m.programs <= 0 || !seen {
		t.Errorf("%v, ourselves seen: %v", m.programs, seen)
	}
	w := readWhere(loadAverages())
	if w.Kernel == "" || w.CPU == "" || w.Memory < 1<<20 || w.CPUs < 1 {
		t.Errorf("%+v", w)
	}
}
