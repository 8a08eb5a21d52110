package load

import (
	"errors"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

func TestChurnVerifies(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	load := quick(s, codec.MessagePack)
	load.Rate = 200
	var r *Report
	for ; ; load.Duration *= 4 { // until an event came in each half, and a cycle in the second
		var err error
		r, err = Churn(t.Context(), ChurnPlan{Options: load, Subscribers: 3, Churners: 2, Cycles: 2000})
		if err != nil {
			t.Fatal(err)
		}
		if load.Duration > 5*time.Second || !r.Verified.OK || r.Verified.Received > 0 && r.figure("cycles") > 0 &&
			r.figure("p99 without") > 0 {
			break
		}
	}
	if !r.Verified.OK || r.Verified.Received == 0 || r.Verified.Expected != r.Verified.Received ||
		r.figure("cycles") <= 0 {
		t.Errorf("%+v %+v", r.Verified, r.Figures)
	}
	if r.Scenario != "churn" || r.figure("p99 without") <= 0 {
		t.Errorf("%s %+v", r.Scenario, r.Figures)
	}
}

// TestChurnFindsFaults: an event for a subscription that the churner has given back.
func TestChurnFindsFaults(t *testing.T) {
	c := &churner{
		slots:   []slot{{topic: "a"}, {topic: "b"}},
		pending: map[uint64]openRequest{5: {codec.Unsubscribe, 0}, 6: {codec.Subscribe, 1}}, free: make(chan int, 2),
		pubsub: &pubsub{run: newRun(Options{})},
	}
	event := &codec.Message{Type: codec.Event, ID: 9}
	c.slots[0].id = 9
	if err := c.take(event); err != nil {
		t.Error(err)
	}
	if err := c.take(&codec.Message{Type: codec.Unsubscribed, Request: 5}); err != nil {
		t.Error(err)
	}
	for _, m := range []*codec.Message{
		event,
		{Type: codec.Unsubscribed, Request: 5},
		{Type: codec.Subscribed, Request: 7},
		{Type: codec.Result},
	} {
		if err := c.take(m); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}

func TestSlowVerifies(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	load := quick(s, codec.MessagePack)
	load.Rate = 200
	r := measured(t, load, func(o Options) (*Report, error) {
		return Slow(t.Context(), SlowPlan{Options: o, Subscribers: 3, Stopped: 2})
	})
	if !r.Verified.OK || r.Verified.Received == 0 || r.Verified.Expected != r.Verified.Received {
		t.Errorf("%+v", r.Verified)
	}
	s.mu.Lock()
	if n, runs := len(s.topics[0].members), len(s.topics); n%(3+3+2) != 0 || runs > 1 && n != 3+3+2 {
		t.Errorf("%d sessions subscribed to the first topic, want 3 and then 3 and 2 stopped ones", n)
	}
	s.mu.Unlock()
	var out strings.Builder
	r.Print(&out)
	for _, want := range []string{"stopped readers 2", "closed     0 stopped readers", "p99 without"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, out.String())
		}
	}
}

func TestSoakVerifies(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	load := quick(s, codec.MessagePack)
	load.Rate = 300
	r := measured(t, load, func(o Options) (*Report, error) {
		return Soak(t.Context(), SoakPlan{Options: o, Subscribers: 2, Callers: 2, Sessions: 50})
	})
	if !r.Verified.OK || r.Scenario != "soak" || r.Verified.Expected != r.Verified.Received || r.Received == 0 {
		t.Errorf("%+v", r)
	}
	s = newFake(t)
	s.refuse = map[codec.Type]string{codec.Call: codec.ErrUnavailable}
	load.URL = s.url()
	r, err := Soak(t.Context(), SoakPlan{Options: load, Subscribers: 2, Callers: 2, Sessions: 50})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verified.OK || r.Verified.Failures["rpc: calls answered with "+codec.ErrUnavailable] == 0 {
		t.Errorf("%+v", r.Verified)
	}
	load.PayloadBytes = 1
	var usage *UsageError
	if _, err := Soak(t.Context(), SoakPlan{Options: load}); !errors.As(err, &usage) {
		t.Errorf("got %v", err)
	}
}

// TestControlFailures: what went wrong in the half without the disturbance is a failure too.
func TestControlFailures(t *testing.T) {
	t.Parallel()
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		s.fault = func(n int, msg []byte) [][]byte {
			if n == 2 {
				return nil
			}
			return [][]byte{msg}
		}
		o := quick(s, codec.MessagePack)
		o.Rate, o.Stall, o.Duration = 200, stall, stall/3
		r, err := Slow(t.Context(), SlowPlan{Options: o, Subscribers: 3})
		if err != nil {
			t.Fatal(err)
		}
		return failed(r, map[string]int64{"without: events lost": 1})
	})
}

// TestLateSessionsRefused: sessions that the router refuses when the load is under way are failures.
func TestLateSessionsRefused(t *testing.T) {
	t.Parallel()
	refuseAfter := func(s *fake, sessions uint64) {
		s.slow = func(m *codec.Message) {
			if m.Type == codec.Hello && s.sessions == sessions {
				s.refuse = map[codec.Type]string{codec.Hello: codec.ErrNotAuthorized}
			}
		}
	}
	s := newFake(t)
	refuseAfter(s, 2*(2+1)) // two subscribers and a publisher, twice
	o := quick(s, codec.MessagePack)
	o.Rate = 200
	r, err := Churn(t.Context(), ChurnPlan{Options: o, Subscribers: 2, Churners: 1})
	if err != nil {
		t.Fatal(err)
	}
	why := (&client.AbortError{Reason: codec.ErrNotAuthorized}).Error()
	if problem := failed(r, map[string]int64{"churners that could not join: " + why: 1}); problem != "" {
		t.Error(problem)
	}

	s = newFake(t)
	refuseAfter(s, 1) // the one that joins first
	r = measured(t, quick(s, codec.MessagePack), func(o Options) (*Report, error) {
		return Storm(t.Context(), StormPlan{Options: o, Workers: 2})
	})
	n := r.Verified.Expected
	if problem := failed(r, map[string]int64{
		"sessions without WELCOME: message type 3 came instead": n, "sessions lost": n,
	}); problem != "" || n == 0 || r.Verified.Received != 0 {
		t.Errorf("%s; %+v", problem, r.Verified)
	}
}

// TestSoakCountsSessions: failures of the sessions that come and go are the soak's.
func TestSoakCountsSessions(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.silent = true
	o := quick(s, codec.MessagePack)
	r, err := Soak(t.Context(), SoakPlan{Options: o, Subscribers: 1, Callers: 1, Sessions: 100})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verified.OK || r.Verified.Failures["storm: sessions without GOODBYE: EOF"] == 0 ||
		r.Verified.Failures["storm: sessions lost"] == 0 {
		t.Errorf("%+v", r.Verified)
	}
}

func TestJudgeGrowth(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		second, last int64
		fails        bool
	}{
		"none":            {100 * mib, 100 * mib, false},
		"small":           {10 * mib, 17 * mib, false}, // less than growthBytes
		"within its part": {200 * mib, 218 * mib, false},
		"growth":          {100 * mib, 115 * mib, true},
		"shrinking":       {100 * mib, 10 * mib, false},
	} {
		r := &Report{Router: &Process{}, Verified: Verdict{OK: true}}
		for i := range 20 {
			rss := c.second
			if i < 5 {
				rss = mib // while it warms up, anything goes
			} else if i >= 15 {
				rss = c.last
			}
			r.Series = append(r.Series, Second{At: float64(i), RouterRSS: rss})
		}
		r.judgeGrowth()
		if r.Verified.OK == c.fails {
			t.Errorf("%s: %+v", name, r.Verified)
		}
	}
}
