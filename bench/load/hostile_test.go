package load

import (
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
	o.Warmup, o.Duration, o.Stall = 10*time.Millisecond, 60*time.Millisecond, 300*time.Millisecond
	return HostilePlan{Options: o, Tickers: 2, Many: 300, Bytes: 4 << 10, Only: only}
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
		if b.Skipped == "" && (b.P50 <= 0 || b.P999 < b.P50 || b.Without <= 0 || b.Ratio <= 0 ||
			b.OK != (b.Ratio <= stallMax)) {
			t.Errorf("%+v", b)
		}
	}
	for name, want := range map[string]string{
		"large publishes to three serializers":         "4096 bytes of text, 1365 numbers, in turn",
		"an event too long for a RawSocket subscriber": "4096 bytes, 24576 in JSON",
		"publishes that match many patterns":           "300 patterns",
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

// TestHostileConnectionsEnd: a router that ends the connection of a client for its message does well, and the report
// says that it did.
func TestHostileConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.bytesMax = 1 << 10
	r, err := Hostile(t.Context(), hostilePlan(s, "exclude"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "455 ids or names; the router ended 1 connections"; r.Hostile[0].Done != want || !r.Verified.OK {
		t.Errorf("%q, want %q; %+v", r.Hostile[0].Done, want, r.Verified)
	}
}

// TestHostileFindsStalls: a router that works 50 ms at one message of one client makes everybody wait, and one that
// loses ticks fails.
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

	s = newFake(t)
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
	var err error
	if r, err = Hostile(t.Context(), hostilePlan(s, "exclude")); err != nil {
		t.Fatal(err)
	}
	if r.Verified.OK || r.Verified.Failures["publishes with long exclude lists: events lost"] != 1 {
		t.Errorf("%+v", r.Verified)
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
