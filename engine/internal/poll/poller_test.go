//go:build linux && !poll_opt

package poll

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("POLL_TEST_CHILD") != "" {
		if Preemptible() {
			os.Exit(10)
		}
		os.Exit(11)
	}
	os.Exit(m.Run())
}

func open(t *testing.T) *Poller {
	t.Helper()
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// F22: the runtime's preemption is tried, not guessed from the environment.
func TestF22PreemptionIsTried(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		godebug string
		exit    int
	}{
		{"", 10},
		{"asyncpreemptoff=0", 10},
		{"asyncpreemptoff=1", 11},
		{"asyncpreemptoff=2", 11},
		{"gccheckmark=1", 11},
	} {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), "POLL_TEST_CHILD=1", "GODEBUG="+c.godebug, "GOMAXPROCS=2")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != c.exit {
			t.Errorf("GODEBUG=%q: %v, want exit %d\n%s", c.godebug, err, c.exit, out)
		}
	}
}

// B10: gnet's other poller keeps pointers where this package reads descriptors; with its build tag nothing compiles.
func TestB10PollOptDoesNotBuild(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "vet", "-tags", "poll_opt", ".").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "build_without_the_tag_poll_opt") {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestWakeEndsAWait(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		p := open(t)
		if ready := p.Look(); len(ready) != 0 {
			t.Errorf("%d descriptors", len(ready))
		}
		p.Wake()
		ready := p.Wait(hidden)
		if len(ready) != 1 {
			t.Fatalf("%d descriptors after a wake-up", len(ready))
		}
		if own, due := p.Own(int(ready[0].Fd)); !own || due {
			t.Fatalf("own %v, timer %v", own, due)
		}
		if ready := p.Look(); len(ready) != 0 {
			t.Error("one wake-up is reported twice")
		}
	}
}

// An earlier deadline re-arms the timer; a later one leaves it; one that has fired is armed anew.
func TestEarlierDeadlineRearms(t *testing.T) {
	p := open(t)
	arm := func(d time.Duration) {
		t.Helper()
		if err := p.Arm(p.Now() + d); err != nil {
			t.Fatal(err)
		}
	}
	due := func() time.Duration {
		t.Helper()
		begun := p.Now()
		for {
			for _, e := range p.Wait(false) {
				if own, timer := p.Own(int(e.Fd)); own && timer {
					return p.Now() - begun
				}
			}
		}
	}
	for range 2 {
		arm(time.Hour)
		arm(20 * time.Millisecond)
		arm(time.Hour)
		if d := due(); d > 5*time.Second {
			t.Fatalf("20 ms took %v", d)
		}
	}
}

// Every change of interest, told by what a socket that is always writable and has one byte to read reports.
func TestWatch(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, err := unix.Write(fds[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	p := open(t)
	was := Interest(0)
	all := []Interest{0, Read, Write, Read | Write, Ends, Closes, Closes | Write}
	for _, from := range all {
		for _, to := range all {
			for _, want := range []Interest{from, to} {
				if err := p.Watch(fds[0], was, want); err != nil {
					t.Fatalf("%d to %d: %v", was, want, err)
				}
				was = want
			}
			got := Interest(0)
			for _, e := range p.Look() {
				if e.Events&unix.EPOLLIN != 0 {
					got |= Read
				}
				if e.Events&unix.EPOLLOUT != 0 {
					got |= Write
				}
			}
			if got != to&^(Ends|Closes) {
				t.Errorf("%d to %d: %d is reported", from, to, got)
			}
		}
	}
	watch := func(want Interest) []unix.EpollEvent {
		t.Helper()
		if err := p.Watch(fds[0], was, want); err != nil {
			t.Fatal(err)
		}
		was = want
		return p.Look()
	}
	if err := unix.Shutdown(fds[1], unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	for want, events := range map[Interest]uint32{
		Closes: unix.EPOLLRDHUP, Closes | Write: unix.EPOLLRDHUP | unix.EPOLLOUT, Write: unix.EPOLLOUT,
	} {
		if ready := watch(want); len(ready) != 1 || ready[0].Events != events {
			t.Errorf("%d: the end of the other side is reported as %+v", want, ready)
		}
	}
	if ready := watch(Ends); len(ready) != 0 {
		t.Errorf("%+v", ready)
	}
	if err := unix.Shutdown(fds[1], unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	if ready := p.Look(); len(ready) != 1 || ready[0].Fd != int32(fds[0]) || ready[0].Events != unix.EPOLLHUP {
		t.Errorf("the end is reported as %+v", ready)
	}
}
