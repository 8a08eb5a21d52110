package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/bench/load"
)

func TestParsePlan(t *testing.T) {
	for text, want := range map[string]Plan{
		"fanout":         {Name: "fanout", Scenario: "fanout", Size: 100, InFlight: 32},
		"fanout:1000":    {Name: "fanout:1000", Scenario: "fanout", Size: 1000, InFlight: 32},
		"fanout:10x1":    {Name: "fanout:10x1", Scenario: "fanout", Size: 10, InFlight: 1},
		"rpc":            {Name: "rpc", Scenario: "rpc", Size: 16, InFlight: 64},
		"rpc:1x1":        {Name: "rpc:1x1", Scenario: "rpc", Size: 1, InFlight: 1},
		"rpc:100000x100": {Name: "rpc:100000x100", Scenario: "rpc", Size: 100000, InFlight: 100},
		"topics:10x1":    {Name: "topics:10x1", Scenario: "topics", Size: 10, InFlight: 1},
		"publishers":     {Name: "publishers", Scenario: "publishers", Size: 32, InFlight: 1},
		"publishers:4x8": {Name: "publishers:4x8", Scenario: "publishers", Size: 4, InFlight: 8},
		"idle:500":       {Name: "idle:500", Scenario: "idle", Size: 500, InFlight: 1},
	} {
		p, err := ParsePlan(text)
		if err != nil || *p != want {
			t.Errorf("%s: %+v, %v", text, p, err)
		}
	}
	for _, text := range []string{
		"", "fan", "fanout:", "fanout:0", "fanout:-1", "fanout:1x", "fanout:1x0",
		"rpc:1000001", "storm:1x2", "rpc:1x2x3",
	} {
		var wrong *load.UsageError
		if _, err := ParsePlan(text); !errors.As(err, &wrong) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestHistoryAccess: the topic of the load is the one that has history, the clients may ask for it, and each start
// begins with an empty disk.
func TestHistoryAccess(t *testing.T) {
	for _, store := range []string{"memory", "disk"} {
		plan := Plan{Scenario: "fanout", Size: 7, Access: Access{Rules: 1, History: store}}
		if f := plan.fanout(load.Options{}); f.Topic != historyTopic || !f.History || f.Subscribers != 7 {
			t.Errorf("%s: %+v", store, f)
		}
		s := Setup{Program: "banyan", Scratch: t.TempDir()}
		p, err := s.grant(plan.Access, &Peer{Name: "banyan"}, &load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		old := filepath.Join(s.Scratch, "data", "history.db")
		if err := errors.Join(os.Mkdir(filepath.Dir(old), 0o700), os.WriteFile(old, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		command := p.command("127.0.0.1:1", "ws")
		if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the history of the last start is there: %v", store, err)
		}
		text, err := os.ReadFile(command[slices.Index(command, "--config")+1])
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`"history":[{"store":"` + store + `","uri":"bench.history"}]`, `"data_dir":"` + filepath.Dir(old) + `"`,
			`{"allow":["call"],"match":"exact","uri":"wamp.subscription.get_events"}`,
		} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: the configuration lacks %s:\n%s", store, want, text)
			}
		}
	}
	plan := Plan{Scenario: "fanout", Size: 7, Access: Access{Rules: 1}}
	if f := plan.fanout(load.Options{}); f.Topic != "" || f.History {
		t.Errorf("without history: %+v", f)
	}
	if text := string(plan.Access.config("", "", "", "", "", "")); strings.Contains(text, "history") ||
		strings.Contains(text, "get_events") || strings.Contains(text, "data_dir") {
		t.Errorf("without history: %s", text)
	}
}

// TestDynamicAccess: the clients have no rules, and another user may decide.
func TestDynamicAccess(t *testing.T) {
	s := Setup{Program: "banyan", Scratch: t.TempDir()}
	var o load.Options
	p, err := s.grant(Access{Dynamic: true}, &Peer{Name: "banyan"}, &o)
	if err != nil || o.Login != nil || p.authorizer == nil || p.authorizer.AuthID != "authorizer" {
		t.Fatalf("%v, clients %+v, authorizer %+v", err, o.Login, p.authorizer)
	}
	text, err := os.ReadFile(p.command("127.0.0.1:1", "ws")[3])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`{"authorizer":{"cache":"10m","procedure":"authorizer.may"},"name":"client","permissions":[]}`,
		`[{"allow":["register"],"match":"exact","uri":"authorizer.may"}]`, `"ticket":{}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the configuration lacks %s:\n%s", want, text)
		}
	}
	if p, err := s.grant(Access{Rules: 1}, &Peer{Name: "banyan"}, &o); err != nil || p.authorizer != nil {
		t.Errorf("with rules only: %v, %+v", err, p)
	}
}

// TestAsked: each session is decided about once, not more often and not less.
func TestAsked(t *testing.T) {
	for asked, want := range map[int64]string{
		10: "", 11: "1 decisions asked for more than once", 9: "1 decisions that nobody was asked for",
		0: "10 decisions that nobody was asked for",
	} {
		r := &load.Report{
			Plan:     load.Plan{Publishers: 1, Subscribers: 2, Callers: 3, Callees: 4},
			Verified: load.Verdict{OK: true},
		}
		judgeAsked(r, asked)
		got := ""
		for what, n := range r.Verified.Failures {
			got = fmt.Sprint(n, " ", what)
		}
		if got != want || r.Verified.OK != (want == "") {
			t.Errorf("asked %d times: %q, %+v", asked, got, r.Verified)
		}
	}
}

// TestShort bounds a plan that is one of many, and no other.
func TestShort(t *testing.T) {
	for _, short := range []bool{false, true} {
		var got load.Options
		p := &Peer{
			Name: "a peer", inFlight: map[string]int{},
			command: func(address, _ string) []string { return []string{os.Args[0], "listen", address} },
			play: func(_ *Plan, _ context.Context, o load.Options) (*load.Report, error) {
				got = o
				return &load.Report{}, nil
			},
		}
		for asked, want := range map[time.Duration][2]time.Duration{
			2 * time.Second:       {shortDuration, shortWarmup},
			50 * time.Millisecond: {50 * time.Millisecond, 50 * time.Millisecond},
		} {
			s := Setup{Scratch: t.TempDir(), Duration: asked, Warmup: asked}
			if _, err := s.Once(t.Context(), &Plan{Name: "plan", InFlight: 1, Short: short}, p); err != nil {
				t.Fatal(err)
			}
			if !short {
				want = [2]time.Duration{asked, asked}
			}
			if got.Duration != want[0] || got.Warmup != want[1] {
				t.Errorf("short: %v, asked for %v: %v after %v", short, asked, got.Duration, got.Warmup)
			}
		}
	}
}

func TestJoinersPlan(t *testing.T) {
	for _, c := range []struct{ retained, listener bool }{{true, false}, {false, true}} {
		plan := Plan{Scenario: "joiners", Size: 7, Retained: c.retained, Listener: c.listener}
		j := plan.joiners(load.Options{Realm: "r"})
		if j.Sessions != 7 || j.Retained != c.retained || j.Listener != c.listener || j.Realm != "r" {
			t.Errorf("%+v: %+v", c, j)
		}
	}
}

// TestProcessThatDoesNotListen: the error has the output of the process.
func TestProcessThatDoesNotListen(t *testing.T) {
	p := &Peer{command: func(string, string) []string { return []string{"sh", "-c", "echo out of luck >&2; exit 3"} }}
	_, err := p.start(context.Background(), "ws", load.CPUSet{}, t.TempDir()+"/log")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: out of luck") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.command = func(string, string) []string { return []string{"sleep", "1000"} }
	if _, err := p.start(ctx, "ws", load.CPUSet{}, t.TempDir()+"/log"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPinnable(t *testing.T) {
	for _, c := range []struct{ granted, routers, want string }{
		{"0-1", "0", ""},
		{"0-7", "2,4-5", ""},
		{"0-1", "0-1", "none is left for the clients; name fewer of 0-1, for instance 0"},
		{"3", "3", "there is no other for the clients; leave the CPUs to the kernel"},
		{"0-1", "1-2", "routers on CPU 2: this process may only use 0-1"},
	} {
		granted, err := load.ParseCPUs(c.granted)
		if err != nil {
			t.Fatal(err)
		}
		routers, err := load.ParseCPUs(c.routers)
		if err != nil {
			t.Fatal(err)
		}
		var wrong *load.UsageError
		switch err := pinnable(granted, routers); {
		case c.want == "" && err != nil:
			t.Errorf("%s of %s: %v", c.routers, c.granted, err)
		case c.want != "" && (!errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s of %s: %v, want %q", c.routers, c.granted, err, c.want)
		}
	}
}

func TestSyscallsTool(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for asked, want := range map[string]string{"auto": load.SyscallsNone, "no": load.SyscallsNone} {
		if got, err := SyscallsTool(asked, 10*time.Second); got != want || err != nil {
			t.Errorf("%s without perf: %q, %v", asked, got, err)
		}
	}
	for _, asked := range []string{"perf", "strace", "ktrace"} {
		var wrong *load.UsageError
		if _, err := SyscallsTool(asked, 10*time.Second); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", asked, err)
		}
	}
	if err := os.WriteFile(filepath.Join(bin, "perf"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for duration, want := range map[time.Duration]string{
		time.Second:     load.SyscallsNone,
		2 * time.Second: load.SyscallsPerf,
	} {
		if got, err := SyscallsTool("auto", duration); got != want || err != nil {
			t.Errorf("auto for %v: %q, %v", duration, got, err)
		}
	}
}

// TestTry gives a peer fewer messages in flight until it loses none.
func TestTry(t *testing.T) {
	for name, c := range map[string]struct {
		takes    int // messages in flight
		rate     float64
		want     string
		inFlight int
	}{
		"all":       {100, 0, "", 32},
		"some":      {10, 0, "8 in flight instead of 32, with more it fails: 7 × events lost", 8},
		"one":       {1, 0, "1 in flight instead of 32, with more it fails: 7 × events lost", 1},
		"none":      {0, 0, "fails with few in flight too: 7 × events lost", 32},
		"at a rate": {0, 100, "fails at this rate: 7 × events lost", 32},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Peer{
				Name: "a peer", inFlight: map[string]int{},
				// Any listener will do: play does not connect.
				command: func(address, _ string) []string { return []string{os.Args[0], "listen", address} },
				play: func(_ *Plan, _ context.Context, o load.Options) (*load.Report, error) {
					r := &load.Report{Verified: load.Verdict{OK: o.InFlight <= c.takes}}
					if !r.Verified.OK {
						r.Verified.Failures = map[string]int64{"events lost": 7}
					}
					return r, nil
				},
			}
			s := Setup{Scratch: t.TempDir(), Duration: time.Second}
			plan := &Plan{Name: "plan", InFlight: 32, Rate: c.rate}
			note, err := s.Try(t.Context(), plan, p)
			if err != nil || note != c.want || p.inFlight["plan"] != c.inFlight {
				t.Errorf("%q, %v, %d in flight", note, err, p.inFlight["plan"])
			}
		})
	}
}

// TestHostileIsApart: hostile clients are no load of the peer, but of a program that speaks as bench hostile.
func TestHostileIsApart(t *testing.T) {
	p := &Peer{
		Name: "a peer", inFlight: map[string]int{},
		command: func(address, _ string) []string { return []string{os.Args[0], "listen", address} },
		play: func(*Plan, context.Context, load.Options) (*load.Report, error) {
			t.Error("it is played as the others are")
			return nil, nil
		},
	}
	s := Setup{Scratch: t.TempDir(), Duration: 100 * time.Millisecond, Program: os.Args[0], Argv0: "banyan"}
	// The listener is no router: nobody can join.
	if _, err := s.Once(t.Context(), &Plan{Name: "plan", Scenario: "hostile", Size: 1}, p); err == nil {
		t.Error("no error")
	}
}

// TestMain makes this program a peer too: "listen ADDRESS" accepts connections there and does nothing with them.
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "listen" {
		os.Exit(m.Run())
	}
	l, err := net.Listen("tcp", os.Args[2])
	for err == nil {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			err = c.Close()
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
