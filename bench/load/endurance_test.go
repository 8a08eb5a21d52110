package load

import (
	"errors"
	"strings"
	"testing"
	"time"

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
