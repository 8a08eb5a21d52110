//go:build linux

package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// take returns the lines since the last call.
func (l *lineLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := strings.Split(l.b.String(), "\n")
	l.b.Reset()
	return all[:len(all)-1]
}

// Lines that are left out are told: with the next line, or after a while if there is none.
func TestOmittedWarningsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines lineLog
		e := newEngine(Config{Log: slog.New(slog.NewTextHandler(&lines, nil))}, nil)
		defer e.pool.cancel()
		// expect wants the lines since the last call.
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			got := lines.take()
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for i := range want {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("got %q, want %q", got[i], want[i])
				}
			}
		}
		e.warn("big", "peer", 1)
		expect("msg=big peer=1")
		e.warn("big", "peer", 2)
		e.warn("big", "peer", 3)
		expect()
		time.Sleep(logEvery - 1)
		e.warn("big", "peer", 4)
		expect()
		time.Sleep(time.Nanosecond)
		e.warn("big", "peer", 5)
		expect("msg=big peer=5 omitted=3")
		time.Sleep(time.Hour)
		expect() // nothing was left out

		e.warn("big", "peer", 6)
		e.warn("big", "peer", 7)
		expect("msg=big peer=6")
		time.Sleep(omittedAfter)
		expect("line=big omitted=1")
		e.warn("big", "peer", 8) // that was a line of its kind: one a second
		expect()
		time.Sleep(omittedAfter)
		expect("line=big omitted=1")
		time.Sleep(time.Hour)
		expect()
	})
}

// A stop tells what was left out, of every kind.
func TestStopTellsOmittedWarnings(t *testing.T) {
	var lines lineLog
	e := start(t, Config{Log: slog.New(slog.NewTextHandler(&lines, nil))}, echoes)
	kinds := []string{"one", "other"}
	for _, message := range kinds {
		for range 3 {
			e.loops[0].Warn(message)
		}
	}
	if err := e.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(lines.take(), "\n")
	for _, message := range kinds {
		if !strings.Contains(all, "line="+message+" omitted=2") || e.warnings.kind(message).later != nil {
			t.Errorf("%s is not told: %s", message, all)
		}
	}
}
