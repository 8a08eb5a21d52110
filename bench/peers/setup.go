// Package peers runs loads on other routers and on ours. It builds a router from its pinned version or finds it on
// the machine, starts it as a process of its own on a free port, and stops it with all processes that it started. The
// folders below hold the programs, see README.md.
package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"banyan/bench/load"
	"banyan/codec"
)

// A Setup says how peers are prepared and run. Comparisons and other tables of runs share it.
type Setup struct {
	Program    string   // our own binary
	Argv0      string   // name that it is given
	ServeFlags []string // for our own router
	Source     string   // the checkout that has bench/peers
	Cache      string   // folder for built peers; kept
	Scratch    string   // folder for configurations and logs of this run
	Realm      string   // default realm1

	Transport    string           // of plans that do not name one: ws or rs; default ws
	Serializer   codec.Serializer // likewise; default MessagePack
	PayloadBytes int              // likewise; default 64
	Warmup       time.Duration
	Duration     time.Duration
	Syscalls     string // tool that counts them in a second of its own behind each run: load.SyscallsNone, …

	// RouterCPUs, when not empty, are where the peers run. PinClients puts the clients on the others.
	RouterCPUs load.CPUSet

	// Told is called with a line about each step. May be nil.
	Told func(format string, args ...any)

	clientCPUs load.CPUSet // while PinClients holds
}

const (
	trialTime  = time.Second     // that a plan is tried on a peer before the rounds
	trialStall = 2 * time.Second // without progress in a trial before what is missing counts as lost
)

// The most that a Short plan takes.
const (
	shortWarmup   = 300 * time.Millisecond
	shortDuration = 500 * time.Millisecond
)

// Check fills in defaults and returns an error for settings that cannot work.
func (s *Setup) Check() error {
	if s.Told == nil {
		s.Told = func(string, ...any) {}
	}
	if s.Transport = cmp.Or(s.Transport, "ws"); s.Transport != "ws" && s.Transport != "rs" {
		return load.Usage("transport %q: must be ws or rs", s.Transport)
	}
	if s.RouterCPUs.Count() == 0 {
		return nil
	}
	granted, err := load.GrantedCPUs()
	if err != nil {
		return err
	}
	return pinnable(granted, s.RouterCPUs)
}

// pinnable returns an error when the routers cannot have their CPUs, or no CPU is left for the clients.
func pinnable(granted, routers load.CPUSet) error {
	if missing := routers.Without(granted); missing.Count() > 0 {
		return load.Usage("routers on CPU %s: this process may only use %s", missing, granted)
	}
	if granted.Without(routers).Count() == 0 {
		if granted.Count() == 1 {
			return load.Usage("routers on CPU %s: there is no other for the clients; leave the CPUs to the kernel",
				routers)
		}
		return load.Usage("routers on CPU %s: none is left for the clients; name fewer of %s, for instance %s",
			routers, granted, granted.First())
	}
	return nil
}

// PinClients puts this process on the CPUs that the routers leave until undo is called.
func (s *Setup) PinClients() (undo func() error, err error) {
	if s.RouterCPUs.Count() == 0 {
		return func() error { return nil }, nil
	}
	granted, err := load.GrantedCPUs()
	if err != nil {
		return nil, err
	}
	s.clientCPUs = granted.Without(s.RouterCPUs)
	return s.clientCPUs.Pin()
}

// Conditions returns sentences that hold for all runs and are not in the report of a run.
func (s *Setup) Conditions() []string {
	var all []string
	if s.RouterCPUs.Count() > 0 {
		all = append(all, fmt.Sprintf("Routers ran on CPU %s, the clients on CPU %s.", s.RouterCPUs, s.clientCPUs))
	}
	if s.Syscalls != load.SyscallsNone {
		all = append(all, fmt.Sprintf("System calls were counted with %s in a second behind each run.", s.Syscalls))
	}
	return all
}

// SyscallsTool turns what a user asked for (auto, no, or a tool) into the Syscalls of runs of a duration: auto is
// perf where it is installed and the runs are long enough to be judged.
func SyscallsTool(asked string, duration time.Duration) (string, error) {
	switch asked {
	case "auto":
		if _, err := exec.LookPath("perf"); err != nil || duration < syscallsAutoMin {
			return load.SyscallsNone, nil
		}
		return load.SyscallsPerf, nil
	case "no":
		return load.SyscallsNone, nil
	case load.SyscallsPerf, load.SyscallsStrace:
		if _, err := exec.LookPath(asked); err != nil {
			return "", load.Usage("system calls counted by %s: it is not installed", asked)
		}
		return asked, nil
	}
	return "", load.Usage("system calls counted by %q: use no, auto, %s or %s", asked, load.SyscallsPerf,
		load.SyscallsStrace)
}

const syscallsAutoMin = 2 * time.Second

// Try finds out how many messages in flight the peer takes without losing any: the plan's number or fewer. It keeps
// that number for Once. A peer that loses messages with every number plays with the plan's number, and its reports
// show the losses. The note tells about either.
func (s *Setup) Try(ctx context.Context, plan *Plan, p *Peer) (note string, err error) {
	var lost string
	for n := plan.InFlight; ; n = max(n/4, 1) {
		p.inFlight[plan.Name] = n
		trial := *s
		trial.Duration, trial.Syscalls = min(trialTime, s.Duration), load.SyscallsNone
		r, err := trial.once(ctx, plan, p, trialStall)
		if err != nil {
			return "", err
		}
		if r.Verified.OK {
			if n < plan.InFlight {
				return fmt.Sprintf("%d in flight instead of %d, with more it fails: %s", n, plan.InFlight, lost), nil
			}
			return "", nil
		}
		for kind, count := range r.Verified.Failures {
			lost = fmt.Sprintf("%d × %s", count, kind)
		}
		if plan.Rate > 0 {
			return "fails at this rate: " + lost, nil
		}
		if n <= 1 {
			break
		}
	}
	p.inFlight[plan.Name] = plan.InFlight
	return "fails with few in flight too: " + lost, nil
}

// Once runs a plan once on a fresh process.
func (s *Setup) Once(ctx context.Context, plan *Plan, p *Peer) (*load.Report, error) {
	return s.once(ctx, plan, p, 0)
}

// once is Once with Stall, see load.Options.
func (s *Setup) once(ctx context.Context, plan *Plan, p *Peer, stall time.Duration) (*load.Report, error) {
	o := load.Options{
		Realm: s.realm(), Serializer: cmp.Or(plan.Serializer, s.Serializer),
		PayloadBytes: cmp.Or(plan.PayloadBytes, s.PayloadBytes, 64),
		InFlight:     cmp.Or(p.inFlight[plan.Name], plan.InFlight), Rate: plan.Rate,
		Warmup: s.Warmup, Duration: s.Duration, Syscalls: s.Syscalls, Stall: stall,
		Records: plan.Records,
	}
	if plan.Short {
		o.Warmup, o.Duration = min(o.Warmup, shortWarmup), min(o.Duration, shortDuration)
	}
	p, err := s.grant(plan.Access, p, &o)
	if err != nil {
		return nil, err
	}
	return Using(ctx, s, p, cmp.Or(plan.Transport, s.Transport),
		func(ctx context.Context, url string, pid int) (*load.Report, error) {
			o.URL, o.PID = url, pid
			if plan.Scenario == "hostile" {
				return s.hostile(ctx, plan, o)
			}
			if p.authorizer != nil {
				return authorized(ctx, url, p.authorizer, &o, func() (*load.Report, error) {
					return p.play(plan, ctx, o)
				})
			}
			return p.play(plan, ctx, o)
		})
}

// hostile plays a plan of hostile clients: they are another process of our own program, bench hostile.
func (s *Setup) hostile(ctx context.Context, plan *Plan, o load.Options) (*load.Report, error) {
	return load.Hostile(ctx, load.HostilePlan{
		Options: o, Tickers: plan.Size, Rounds: plan.Rounds,
		Apart: func(ctx context.Context, attack string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, s.Program, "bench", "hostile", "--url", o.URL, "--realm", o.Realm,
				"--attack", attack)
			cmd.Args[0] = s.Argv0
			return cmd
		},
	})
}

// Using starts a fresh process of the peer, calls f with its URL over a transport (ws, rs) and its pid, and stops it.
// The pid is 0 where another process than the one started listens: loads find it by its socket.
func Using[T any](ctx context.Context, s *Setup, p *Peer, transport string,
	f func(ctx context.Context, url string, pid int) (T, error),
) (t T, err error) {
	process, err := p.start(ctx, cmp.Or(transport, "ws"), s.RouterCPUs, filepath.Join(s.Scratch, p.Name+".log"))
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, process.stop()) }()
	pid := process.cmd.Process.Pid
	if p.workers {
		pid = 0
	}
	return f(ctx, process.url, pid)
}

func (s *Setup) realm() string { return cmp.Or(s.Realm, "realm1") }
