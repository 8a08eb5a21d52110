package load

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// TestRefused: a load that the router does not let begin ends with the router's error. It neither waits nor reports.
func TestRefused(t *testing.T) {
	t.Parallel()
	loads := map[string]func(ctx context.Context, o Options) (*Report, error){
		"fanout": func(ctx context.Context, o Options) (*Report, error) {
			return Fanout(ctx, FanoutPlan{Options: o, Publishers: 2, Subscribers: 2})
		},
		"topics": func(ctx context.Context, o Options) (*Report, error) {
			return Topics(ctx, TopicsPlan{Options: o, Topics: 300, PerTopic: 1, Sessions: 1})
		},
		"patterns": func(ctx context.Context, o Options) (*Report, error) {
			return Patterns(ctx, PatternsPlan{Options: o, Patterns: 6, Sessions: 2})
		},
		"rpc": func(ctx context.Context, o Options) (*Report, error) {
			return RPC(ctx, RPCPlan{Options: o, Callees: 2})
		},
		"churn": func(ctx context.Context, o Options) (*Report, error) {
			return Churn(ctx, ChurnPlan{Options: o, Subscribers: 1, Churners: 1})
		},
		"slow": func(ctx context.Context, o Options) (*Report, error) {
			return Slow(ctx, SlowPlan{Options: o, Subscribers: 1})
		},
		"soak": func(ctx context.Context, o Options) (*Report, error) {
			return Soak(ctx, SoakPlan{Options: o, Subscribers: 1, Callers: 1, Sessions: 1})
		},
		"hostile": func(ctx context.Context, o Options) (*Report, error) {
			return Hostile(ctx, HostilePlan{Options: o, Tickers: 1, Only: "exclude", Rounds: 1})
		},
		"idle":  func(ctx context.Context, o Options) (*Report, error) { return Idle(ctx, IdlePlan{o, 5}) },
		"storm": func(ctx context.Context, o Options) (*Report, error) { return Storm(ctx, StormPlan{o, 2}) },
		"joiners": func(ctx context.Context, o Options) (*Report, error) {
			return Joiners(ctx, JoinersPlan{Options: o, Sessions: 5})
		},
		"a listener": func(ctx context.Context, o Options) (*Report, error) {
			return Joiners(ctx, JoinersPlan{Options: o, Sessions: 5, Listener: true})
		},
	}
	subscribing := []string{"fanout", "topics", "patterns", "churn", "slow", "soak", "hostile", "a listener"}
	for request, names := range map[codec.Type][]string{
		codec.Hello: {
			"fanout", "topics", "patterns", "rpc", "churn", "slow", "soak", "hostile", "idle", "storm", "joiners",
		},
		codec.Subscribe: subscribing,
		codec.Register:  {"rpc", "soak"},
		codec.Publish:   {"joiners"}, // the others do not ask for an answer
	} {
		for _, name := range names {
			s := newFake(t)
			s.refuse = map[codec.Type]string{request: codec.ErrNotAuthorized}
			o := quick(s, codec.MessagePack)
			o.Duration = time.Minute
			r, err := loads[name](t.Context(), o)
			var refused *client.Error
			var aborted *client.AbortError
			switch {
			case r != nil:
				t.Errorf("message type %d refused: %s has a report", request, name)
			case errors.As(err, &refused) && refused.URI == codec.ErrNotAuthorized && request != codec.Hello:
			case errors.As(err, &aborted) && aborted.Reason == codec.ErrNotAuthorized && request == codec.Hello:
			default:
				t.Errorf("message type %d refused: %s got %v", request, name, err)
			}
		}
	}
}

// TestRefusedUnderLoad: a refusal that meets one of many sessions, or comes when the load is under way, is a failure.
func TestRefusedUnderLoad(t *testing.T) {
	t.Parallel()
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		s.refuse = map[codec.Type]string{codec.Subscribe: codec.ErrNotAuthorized}
		plan := joining(s, JoinersPlan{})
		plan.Stall = stall
		r, err := Joiners(t.Context(), plan)
		if err != nil {
			t.Fatal(err)
		}
		return failed(r, map[string]int64{
			"sessions without SUBSCRIBED: " + (&client.Error{URI: codec.ErrNotAuthorized}).Error(): 70,
		})
	})
	patient(t, func(stall time.Duration) string {
		s := newFake(t)
		s.subscriptionsMax = 1 // a churner has four at once
		o := quick(s, codec.MessagePack)
		o.Stall, o.Duration, o.Rate = stall, stall/3, 200
		r, err := Churn(t.Context(), ChurnPlan{Options: o, Subscribers: 2, Churners: 1, Cycles: 1000})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Verified.Failures
		if r.Verified.OK || got["unexpected messages of type 8 to churners"] < 3 || len(got) != 2 ||
			got["subscribe cycles without an answer"] != got["unexpected messages of type 8 to churners"] {
			return failed(r, nil)
		}
		return ""
	})
}

// TestOneIDForAll: two subscriptions with one id cannot be told apart.
func TestOneIDForAll(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.oneSubscription = true
	o := quick(s, codec.MessagePack)
	_, err := Topics(t.Context(), TopicsPlan{Options: o, Topics: 3, PerTopic: 1, Sessions: 1})
	if err == nil || !strings.Contains(err.Error(), "3 subscriptions got 1 ids") {
		t.Errorf("got %v", err)
	}
}

// TestCutOff: a connection that ends under load is a failure with the name of its owner.
func TestCutOff(t *testing.T) {
	t.Parallel()
	fanout := func(o Options) (*Report, error) {
		return Fanout(t.Context(), FanoutPlan{Options: o, Subscribers: 1})
	}
	rpc := func(o Options) (*Report, error) { return RPC(t.Context(), RPCPlan{Options: o}) }
	for name, c := range map[string]struct {
		run    func(o Options) (*Report, error)
		cut    int
		sender codec.Type
		also   string // the failure that comes with it; empty for none
	}{
		"a subscriber": {run: fanout, cut: 1, also: "events lost"},
		"a publisher":  {run: fanout, sender: codec.Publish, also: "events lost"},
		"a caller":     {run: rpc, cut: 1, also: "calls without an answer"},
		"a callee":     {run: rpc, sender: codec.Yield, also: "calls without an answer"},
		"a churner": {run: func(o Options) (*Report, error) {
			o.Rate = 200
			return Churn(t.Context(), ChurnPlan{Options: o, Subscribers: 1, Churners: 1, Cycles: 1000})
		}, sender: codec.Unsubscribe, also: "subscribe cycles without an answer"},
		"the listener": {run: func(o Options) (*Report, error) {
			return Joiners(t.Context(), JoinersPlan{Options: o, Sessions: 5, Listener: true})
		}, also: "meta events lost"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFake(t)
			s.cut, s.cutSender = c.cut, c.sender
			if name == "the listener" {
				s.told = func(_ int, _ []byte) [][]byte {
					for _, member := range s.topics[0].members {
						member.Close()
					}
					return nil
				}
			}
			o := quick(s, codec.MessagePack)
			o.Stall = time.Second
			var r *Report
			for ; r == nil || r.Verified.OK && o.Duration < 10*time.Second; o.Duration *= 4 { // until it happened
				var err error
				if r, err = c.run(o); err != nil {
					t.Fatal(err)
				}
			}
			var kinds []string
			for what := range r.Verified.Failures {
				kinds = append(kinds, what)
			}
			lost := func(what string) bool { return strings.HasPrefix(what, name+" lost its connection: ") }
			if r.Verified.OK || !slices.ContainsFunc(kinds, lost) || !slices.Contains(kinds, c.also) {
				t.Errorf("failures %v, want the end of a connection and %q", r.Verified.Failures, c.also)
			}
		})
	}
}

// TestSettleAfterCut: after the end of a connection not everything will come, so a tenth of the time is waited.
func TestSettleAfterCut(t *testing.T) {
	t.Parallel()
	r := newRun(Options{Stall: 4 * time.Second})
	r.lost("a subscriber", io.EOF)
	began := time.Now()
	r.settle(func() bool { return false })
	if took := time.Since(began); took < r.Stall/10 || took >= r.Stall {
		t.Errorf("waited %v, want a tenth of %v and a little", took, r.Stall)
	}
}

// TestStampOfOtherLists: an event has one argument and no other.
func TestStampOfOtherLists(t *testing.T) {
	st, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	v, err := codec.Value(codec.MessagePack, st.write(stamp{seq: 1}))
	if err != nil {
		t.Fatal(err)
	}
	text := v.([]any)[0].(string)
	for name, c := range map[string]struct {
		args   any
		kwargs map[string]any
		ok     bool
	}{
		"sound":                {args: []any{text}, ok: true},
		"none":                 {args: []any{}},
		"two":                  {args: []any{text, text}},
		"one behind":           {args: []any{text, 1}},
		"a number":             {args: []any{1}},
		"no list":              {args: text},
		"shorter text":         {args: []any{text[:63]}},
		"longer text":          {args: []any{text + "a"}},
		"no digit":             {args: []any{"x" + text[1:]}},
		"keyword argument too": {args: []any{text}, kwargs: map[string]any{"k": 1}},
	} {
		p := codec.Payload{Format: codec.MessagePack}
		if p.Args, err = codec.AppendValue(nil, p.Format, c.args); err != nil {
			t.Fatal(err)
		}
		if c.kwargs != nil {
			if p.Kwargs, err = codec.AppendValue(nil, p.Format, c.kwargs); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok := st.read(&p); ok != c.ok {
			t.Errorf("%s: read is %v", name, ok)
		}
	}
}
