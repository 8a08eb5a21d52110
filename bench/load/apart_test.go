package load

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the other process of TestApart is told.
const (
	apartName     = "BANYAN_TEST_ATTACK"
	apartURL      = "BANYAN_TEST_URL"
	apartPriority = "BANYAN_TEST_PRIORITY" // the file for its priority
)

// apartPlan is hostilePlan for a URL alone.
func apartPlan(t *testing.T, url string) HostilePlan {
	plan := hostilePlan(newFake(t), "")
	plan.URL = url
	return plan
}

// TestAttackProcess is the other process of TestApart, and nothing by itself.
func TestAttackProcess(t *testing.T) {
	name := os.Getenv(apartName)
	if name == "" {
		return
	}
	if err := Attack(t.Context(), apartPlan(t, os.Getenv(apartURL)), name, os.Stdin, os.Stdout); err != nil {
		t.Fatal(err)
	}
	priority := "not the lowest"
	if n, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && n == 20-19 {
		priority = "lowest"
	}
	if err := os.WriteFile(os.Getenv(apartPriority), []byte(priority), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestApart: hostile clients of the lowest priority in another process do what those in this one do, and tell how
// much of it was granted, that the router ended connections, and why a load did not run.
func TestApart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "priority")
	for _, c := range []struct {
		only, want string
		bytesMax   int
	}{
		{"many exact", "300 subscriptions", 0},
		{"exclude", "455 ids or names; the router ended ", 1 << 10},
		{"batch", "WebSocket handshake", 0},
	} {
		s := newFake(t)
		s.bytesMax = c.bytesMax
		plan := hostilePlan(s, c.only)
		plan.Apart = func(ctx context.Context, name string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAttackProcess$")
			cmd.Env = append(os.Environ(), apartName+"="+name, apartURL+"="+plan.URL, apartPriority+"="+file)
			return cmd
		}
		for { // what is sent may take longer than the run to have an effect
			r, err := Hostile(t.Context(), plan)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verified.OK && len(r.Hostile) == 1 &&
				strings.Contains(r.Hostile[0].Done+r.Hostile[0].Skipped, c.want) {
				break
			}
			if plan.Duration *= 4; plan.Duration > 10*time.Second {
				t.Fatalf("%s: %+v %+v, want %q", c.only, r.Hostile, r.Verified, c.want)
			}
		}
		if got, err := os.ReadFile(file); string(got) != "lowest" {
			t.Errorf("%s: priority %q, %v", c.only, got, err)
		}
		os.Remove(file)
	}
}

// TestApartFails: a process that cannot be started, says nothing, or dies with the load under way is a failure.
func TestApartFails(t *testing.T) {
	t.Parallel()
	for program, want := range map[string]string{
		"exec /nowhere/banyan":           "has failed",
		"true":                           "has failed",
		`echo '{"done":"all"}'; read go`: "broke off: the hostile clients' process has failed",
		`echo '{"done":"all"}'; echo '{"error":"x"}'; cat`: "broke off: x",
	} {
		plan := hostilePlan(newFake(t), "exclude")
		plan.Apart = func(ctx context.Context, _ string) *exec.Cmd {
			return exec.CommandContext(ctx, "/bin/sh", "-c", program)
		}
		r, err := Hostile(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		if failed := fmt.Sprint(r.Verified.Failures); r.Verified.OK || !strings.Contains(failed, want) {
			t.Errorf("%s: %s, want %q", program, failed, want)
		}
	}
}

// TestApartSkipsLater: a load that ran once has to run in every round.
func TestApartSkipsLater(t *testing.T) {
	t.Parallel()
	plan := hostilePlan(newFake(t), "exclude")
	plan.Rounds = 2
	programs := []string{`echo '{"done":"all"}'; cat >/dev/null; echo '{"ended":0}'`, `echo '{"skipped":"no"}'`}
	plan.Apart = func(ctx context.Context, _ string) *exec.Cmd {
		program := programs[0]
		programs = programs[1:]
		return exec.CommandContext(ctx, "/bin/sh", "-c", program)
	}
	r, err := Hostile(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	const want = "publishes with long exclude lists: it ran, and then not: no"
	if problem := failed(r, map[string]int64{want: 1}); problem != "" || r.Hostile[0].Done != "all" {
		t.Errorf("%s; %+v", problem, r.Hostile)
	}
}
