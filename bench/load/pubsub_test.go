package load

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"banyan/codec"
)

func TestTopicsVerifies(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	ctx, load := counted(t, s)
	r, err := Topics(ctx, TopicsPlan{Options: load, Publishers: 2, Topics: 13, PerTopic: 3, Sessions: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.shares(); !slices.Equal(got, []int{7, 8, 8, 8, 8}) {
		t.Errorf("the sessions have %v of the 39 subscriptions", got)
	}
	if !r.Verified.OK || r.Verified.Received < 200 || r.Verified.Expected != r.Verified.Received {
		t.Errorf("%+v", r.Verified)
	}
}

// shares lists how many subscriptions each subscribing session asked for, the least first. The load has ended.
func (s *fake) shares() (n []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.subscriptions > 0 {
			n = append(n, c.subscriptions)
		}
	}
	slices.Sort(n)
	return n
}

// TestTopicsFindsFaults: one event lost, and one that came for another subscription of the session.
func TestTopicsFindsFaults(t *testing.T) {
	t.Parallel()
	for want, fault := range map[string]func(msg []byte) [][]byte{
		"events lost": func([]byte) [][]byte { return nil },
		// Of topic 1 instead of topic 0: one too many there, one too few here.
		"events received twice": func(msg []byte) [][]byte {
			other := slices.Clone(msg)
			other[2] = 7 + (other[2]-7+1)%2
			return [][]byte{msg, other}
		},
	} {
		patient(t, func(stall time.Duration) string {
			s := newFake(t)
			s.fault = func(n int, msg []byte) [][]byte {
				if n == 21 {
					return fault(msg)
				}
				return [][]byte{msg}
			}
			ctx, load := counted(t, s)
			load.Stall = stall
			r, err := Topics(ctx, TopicsPlan{Options: load, Topics: 2, PerTopic: 1, Sessions: 1})
			if err != nil {
				t.Fatal(err)
			}
			return failed(r, map[string]int64{want: 1})
		})
	}
}

func TestPatternsVerifies(t *testing.T) {
	t.Parallel()
	for _, matching := range []int{1, 3} {
		s := newFake(t)
		ctx, load := counted(t, s)
		r, err := Patterns(ctx, PatternsPlan{Options: load, Patterns: 32, Matching: matching, Sessions: 4})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Verified.OK || r.Verified.Received < 200 || r.Plan.Patterns != 32-32%matching {
			t.Errorf("%+v %+v", r.Verified, r.Plan)
		}
		n := 0
		for _, k := range s.shares() {
			n += k
		}
		if n != r.Plan.Patterns {
			t.Errorf("%d subscriptions, the report says %d", n, r.Plan.Patterns)
		}
	}
}

// TestPatternPlans: every topic matches as many of the subscriptions as the plan says,
// those that count on it among them.
func TestPatternPlans(t *testing.T) {
	for matching, plan := range map[int]func(string, int, int) ([]string, []subscriptionPlan){
		1: singleMatches,
		3: tripleMatches,
	} {
		topics, wants := plan("a.b", 25, 4)
		for i, topic := range topics {
			n := 0
			for _, w := range wants {
				matches := (&fakeTopic{uri: w.uri, match: w.match}).matches(topic)
				if matches != (w.topic == i) {
					t.Errorf("%+v and topic %q: matches is %v", w, topic, matches)
				}
				if matches {
					n++
				}
			}
			if n != matching {
				t.Errorf("%q matches %d, want %d", topic, n, matching)
			}
		}
	}
}

func TestMixedVerifies(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	ctx, load := counted(t, s)
	r, err := Fanout(ctx, FanoutPlan{Options: load, Mixed: true, Subscribers: 7})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verified.OK || r.Scenario != "mixed" || r.Plan.Serializer != "msgpack+json+cbor" || r.Plan.Publishers != 3 {
		t.Errorf("%+v %+v", r.Verified, r.Plan)
	}
	count := map[codec.Serializer]int{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		count[c.serializer]++
	}
	want := map[codec.Serializer]int{codec.MessagePack: 3 + 1, codec.JSON: 2 + 1, codec.CBOR: 2 + 1}
	if !maps.Equal(count, want) {
		t.Errorf("sessions by serializer: %v, want %v", count, want)
	}
}

// TestStride: n steps visit all of n topics.
func TestStride(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 97, 618, 1000, 10_000} {
		seen := make([]bool, n)
		at := 0
		for range n {
			at = (at + stride(n)) % n
			if seen[at] {
				t.Fatalf("%d topics: %d is visited twice", n, at)
			}
			seen[at] = true
		}
	}
}

func TestPlanErrors(t *testing.T) {
	load := Options{URL: "rs://127.0.0.1:1"}
	for name, run := range map[string]func(ctx context.Context) (*Report, error){
		"subscribers of a topic": func(ctx context.Context) (*Report, error) {
			return Topics(ctx, TopicsPlan{Options: load, PerTopic: 5, Sessions: 4})
		},
		"topics": func(ctx context.Context) (*Report, error) {
			return Topics(ctx, TopicsPlan{Options: load, Topics: -1})
		},
		"publishers": func(ctx context.Context) (*Report, error) {
			return Topics(ctx, TopicsPlan{Options: load, Publishers: -1})
		},
		"matching": func(ctx context.Context) (*Report, error) {
			return Patterns(ctx, PatternsPlan{Options: load, Matching: 2})
		},
		"patterns": func(ctx context.Context) (*Report, error) {
			return Patterns(ctx, PatternsPlan{Options: load, Patterns: 1 << 30})
		},
		"workers": func(ctx context.Context) (*Report, error) {
			return Storm(ctx, StormPlan{Options: load, Workers: -1})
		},
		"no sessions": func(ctx context.Context) (*Report, error) {
			return Idle(ctx, IdlePlan{Options: load, Sessions: -1})
		},
	} {
		var usage *UsageError
		if _, err := run(t.Context()); !errors.As(err, &usage) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if codec.Wildcard != 2 {
		t.Error("singleMatches counts through the kinds of matching")
	}
}
