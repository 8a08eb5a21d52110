package load

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

// hostilePlan is small enough for the fake.
func hostilePlan(s *fake, only string) HostilePlan {
	o := quick(s, codec.MessagePack)
	o.Warmup, o.Duration, o.Stall = 10*time.Millisecond, 60*time.Millisecond, 5*time.Second
	return HostilePlan{Options: o, Tickers: 2, Many: 300, Bytes: 4 << 10, Only: only, Rounds: 1}
}

// TestHostile runs every load against the fake, which stands for a router that takes all of it. The fake speaks no
// WebSocket: the load that needs it is skipped, and says why.
func TestHostile(t *testing.T) {
	t.Parallel()
	r, err := Hostile(t.Context(), hostilePlan(newFake(t), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verified.OK || r.Verified.Received == 0 || r.Verified.Expected != r.Verified.Received ||
		r.Scenario != "hostile" {
		t.Errorf("%+v", r.Verified)
	}
	done := map[string]string{}
	for _, b := range r.Hostile {
		done[b.Name] = b.Done + b.Skipped
		if b.Skipped == "" && (b.P50 <= 0 || b.Without <= 0) { // on a busy machine no tick came in so short a time
			longer := hostilePlan(newFake(t), b.Name)
			longer.Duration = 3 * time.Second
			again, err := Hostile(t.Context(), longer)
			if err != nil || len(again.Hostile) != 1 {
				t.Fatalf("%s: %v", b.Name, err)
			}
			b = again.Hostile[0]
		}
		if b.Skipped == "" && (b.P50 <= 0 || b.P999 < b.P50 || b.Without <= 0 || b.Ratio <= 0 ||
			b.OK != (b.Ratio <= stallMax)) {
			t.Errorf("%+v", b)
		}
	}
	for name, want := range map[string]string{
		"large publishes to three serializers":         "4096 bytes of text, 1365 numbers, in turn",
		"an event too long for a RawSocket subscriber": "4096 bytes, 24576 in JSON",
		"publishes that match many patterns":           "300 patterns",
		"many subscriptions arrive":                    "300 subscriptions asked for",
		"many exact subscriptions leave":               "300 subscriptions",
		"many prefix subscriptions leave":              "300 subscriptions",
		"a caller with many open calls leaves":         "300 open calls",
		"a callee with many open calls leaves":         "300 open calls",
		"unfinished messages before HELLO":             "100 connections, 4096 bytes each",
		"a batch of small publishes":                   "WebSocket handshake",
		"publishes with long exclude lists":            "455 ids or names",
		"bursts of calls from many callers":            "64 callers, 256 calls each",
	} {
		if got, ran := done[name]; !ran || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if len(done) != len(attacks) {
		t.Errorf("%d loads ran of %d", len(done), len(attacks))
	}
	var out strings.Builder
	r.Print(&out)
	for _, want := range []string{"300 patterns", "skipped: ", "WebSocket handshake", "worst ratio"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}

// TestHostileRounds: each round is two runs of the tickers, and a load that cannot run is tried once.
func TestHostileRounds(t *testing.T) {
	t.Parallel()
	joined := map[int]uint64{}
	for _, rounds := range []int{1, 2, 3} {
		s := newFake(t)
		plan := hostilePlan(s, "exclude")
		plan.Rounds = rounds
		r, err := Hostile(t.Context(), plan)
		if err != nil || !r.Verified.OK || len(r.Hostile) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		s.mu.Lock()
		joined[rounds] = s.sessions
		s.mu.Unlock()
	}
	// Two tickers are four sessions, without the load and with it, and the load itself is three.
	for rounds, n := range joined {
		if want := uint64(rounds * (4 + 4 + 3)); n != want {
			t.Errorf("%d sessions in %d rounds, want %d", n, rounds, want)
		}
	}
	for _, rounds := range []int{-1, hostileRoundsMax + 1} {
		plan := hostilePlan(newFake(t), "bursts")
		if plan.Rounds = rounds; plan.complete() == nil {
			t.Errorf("%d rounds are accepted", rounds)
		}
	}
}

func TestHostileMedian(t *testing.T) {
	b := median([]Beside{
		{Name: "load", Without: 2000, P50: 10, P99: 50, P999: 9000, Max: 4100, RSS: 3, Ratio: 4.5},
		{Name: "load", Without: 1500, P50: 30, P99: 40, P999: 4000, Max: 9500, RSS: 9, Ratio: 2.7, OK: true},
		{Name: "load", Without: 1000, P50: 20, P99: 60, P999: 4500, Max: 4600, RSS: 5, Ratio: 4.5, Done: "all"},
	})
	want := Beside{
		Name: "load", Without: 1500, P50: 20, P99: 50, P999: 4500, Max: 9500, RSS: 9, Ratio: 3, Done: "all", OK: true,
	}
	if b != want {
		t.Errorf("%+v, want %+v", b, want)
	}
	for ratio, ok := range map[float64]bool{3: true, 3.001: false} {
		b := median([]Beside{{Without: 1000, P999: 1000 * ratio}})
		if b.Ratio != ratio || b.OK != ok {
			t.Errorf("%v: %+v", ratio, b)
		}
	}
	if b := median([]Beside{{Without: 100, P999: 3000}}); !b.OK || b.Ratio != 3 {
		t.Errorf("less than a tick counts: %+v", b)
	}
	if b := median([]Beside{{Skipped: "no"}}); !b.OK || b.Ratio != 0 || b.Skipped != "no" {
		t.Errorf("skipped: %+v", b)
	}
}

// TestHostileGrants: a router with a limit gets what it grants, and the load goes on with that.
func TestHostileGrants(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.subscriptionsMax = 50
	r, err := Hostile(t.Context(), hostilePlan(s, "many exact"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Hostile) != 1 || r.Hostile[0].Done != "50 subscriptions" || !r.Verified.OK {
		t.Errorf("%+v %+v", r.Hostile, r.Verified)
	}
}

// TestHostileSubscriptionsArrive: all of them do, more than are sent before the load waits for its connection.
func TestHostileSubscriptionsArrive(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	plan := hostilePlan(s, "")
	plan.Many = askedAtOnce + 2
	if err := plan.complete(); err != nil {
		t.Fatal(err)
	}
	topics, all := map[string]bool{}, make(chan struct{})
	s.slow = func(m *codec.Message) {
		if m.Type == codec.Subscribe && !topics[string(m.URI)] {
			if topics[string(m.URI)] = true; len(topics) == plan.Many {
				close(all)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h := plan.here(attack{prepare: arriving})
	if _, err := h.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	go func() {
		select {
		case <-all:
			cancel()
		case <-ctx.Done():
		}
	}()
	h.act(ctx) // once ctx has ended its error means nothing
	h.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(topics) != plan.Many {
		t.Errorf("%d topics, want %d", len(topics), plan.Many)
	}
}

// TestHostileConnectionsEnd: a router that ends the connection of a client for its message does well, and the report
// says that it did.
func TestHostileConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.bytesMax = 1 << 10
	plan := hostilePlan(s, "exclude")
	for ; ; plan.Duration *= 4 { // what is sent may take longer than the run to have an effect
		r, err := Hostile(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		got := r.Hostile[0].Done
		if r.Verified.OK && strings.HasPrefix(got, "455 ids or names; the router ended ") {
			return
		}
		if !r.Verified.OK || plan.Duration > 5*time.Second {
			t.Fatalf("%q, want connections that the router ended; %+v", got, r.Verified)
		}
	}
}

// TestHostileFindsStalls: a router that works 50 ms at one message of one client makes everybody wait.
func TestHostileFindsStalls(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.slow = func(m *codec.Message) {
		if m.Type == codec.Publish && len(m.Dict) > 1000 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	// On a busy machine the clients of a run may be too late to see the stall: one run of a few has to.
	var r *Report
	for attempt := 0; ; attempt++ {
		var err error
		if r, err = Hostile(t.Context(), hostilePlan(s, "exclude")); err != nil {
			t.Fatal(err)
		}
		b := r.Hostile[0]
		if b.Max >= 40_000 && b.P999 >= 10*stallFloor {
			if b.OK && b.Without < stallFloor*10/stallMax {
				t.Errorf("a stall is called good: %+v", b)
			}
			break
		}
		if attempt == 10 {
			t.Fatalf("no run of %d saw the stall: %+v", attempt+1, b)
		}
	}
	if want := []string{"publishes with long exclude lists"}; !r.Hostile[0].OK && !slices.Equal(r.Stalled(), want) {
		t.Errorf("stalled: %q", r.Stalled())
	}
}

// TestHostileFindsLoss: a router that loses one tick beside a hostile load fails.
func TestHostileFindsLoss(t *testing.T) {
	t.Parallel()
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		lost := false
		s.slow = func(m *codec.Message) {
			if m.Type == codec.Publish && len(m.Dict) > 1000 && !lost {
				lost = true
				s.fault = func(_ int, msg []byte) [][]byte {
					if len(msg) < 64 { // no tick: those have a payload
						return [][]byte{msg}
					}
					s.fault = nil
					return nil
				}
			}
		}
		plan := hostilePlan(s, "exclude")
		plan.Stall = stall
		r, err := Hostile(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		return failed(r, map[string]int64{"publishes with long exclude lists: events lost": 1})
	})
}

// TestHostileFailuresBefore: what is lost in the run of the tickers alone, before a round, is a failure.
func TestHostileFailuresBefore(t *testing.T) {
	t.Parallel()
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		done := false
		s.fault = func(_ int, msg []byte) [][]byte {
			// The first round is 4, 3 and 4 sessions, see TestHostileRounds. Then the tickers are alone.
			if s.sessions == 4+3+4+4 && !done {
				done = true
				return nil
			}
			return [][]byte{msg}
		}
		plan := hostilePlan(s, "exclude")
		plan.Rounds, plan.Stall, plan.Duration = 2, stall, stall/3
		r, err := Hostile(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		return failed(r, map[string]int64{"publishes with long exclude lists, before: events lost": 1})
	})
}

// TestHostileBreaksOff: a load that ends with an error before its time is a failure of the run beside it.
func TestHostileBreaksOff(t *testing.T) {
	t.Parallel()
	plan := hostilePlan(newFake(t), "")
	if err := plan.complete(); err != nil {
		t.Fatal(err)
	}
	for ; ; plan.Duration *= 4 { // the load may be late, and at the end nobody minds
		r, err := plan.tick(t.Context(), func(context.Context) error { return errors.New("broken") })
		if err != nil {
			t.Fatal(err)
		}
		problem := failed(r, map[string]int64{"hostile loads that broke off: broken": 1})
		if problem == "" {
			return
		}
		if !r.Verified.OK || plan.Duration > 5*time.Second {
			t.Fatal(problem)
		}
	}
}

func TestHostileUsage(t *testing.T) {
	for name, change := range map[string]func(p *HostilePlan){
		"unknown load": func(p *HostilePlan) { p.Only = "kindness" },
		"no duration":  func(p *HostilePlan) { p.Duration = 0 },
		"tickers":      func(p *HostilePlan) { p.Tickers = -1 },
		"bytes":        func(p *HostilePlan) { p.Bytes = hostileBytes + 1 },
		"many":         func(p *HostilePlan) { p.Many = -1 },
		"nats":         func(p *HostilePlan) { p.URL = "nats://127.0.0.1:1" },
	} {
		plan := HostilePlan{Options: Options{URL: "rs://127.0.0.1:1", Duration: time.Second}}
		change(&plan)
		var wrong *UsageError
		if _, err := Hostile(t.Context(), plan); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
