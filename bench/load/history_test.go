package load

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// TestFanoutVerifiesHistory: a sound history passes in each serializer, and with several publishers.
func TestFanoutVerifiesHistory(t *testing.T) {
	t.Parallel()
	for _, ser := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		s := newFake(t)
		asked := 0
		s.history = func(newest []any) []any { asked = len(newest); return newest }
		ctx, load := counted(t, s)
		load.Serializer = ser
		r, err := Fanout(ctx, FanoutPlan{Options: load, Publishers: 2, Subscribers: 1, History: true})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Verified.OK || r.Verified.Received < 200 || asked != int(min(r.Verified.Received, historyCheckedMax)) {
			t.Errorf("%+v, %d events looked at", r.Verified, asked)
		}
	}
}

// TestHistoryFindsFaults: one event that the history lacks, has twice, out of order, or damaged, and one too many.
func TestHistoryFindsFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(newest []any) []any
		want  map[string]int64
	}{
		"newest missing": {
			func(e []any) []any { return e[1:] },
			map[string]int64{"events missing in the history": 1},
		},
		"one missing": {
			func(e []any) []any { return slices.Delete(slices.Clone(e), 10, 11) },
			map[string]int64{"events missing in the history": 1},
		},
		"oldest missing": {
			func(e []any) []any { return e[:len(e)-2] },
			map[string]int64{"events missing in the history": 2},
		},
		"twice": {
			func(e []any) []any {
				return append(slices.Insert(slices.Clone(e), 10, e[9])[:len(e)-1:len(e)-1], e[len(e)-1])
			},
			map[string]int64{
				"events of the history out of order or twice": 1,
				"events missing in the history":               1,
			},
		},
		"oldest first": {
			func(e []any) []any { e = slices.Clone(e); slices.Reverse(e); return e },
			nil, // as many as there are, see below
		},
		"damaged": {
			func(e []any) []any {
				e = slices.Clone(e)
				text := e[3].(map[string]any)["args"].([]any)[0].(string)
				e[3] = map[string]any{"args": []any{text[:len(text)-1] + "!"}}
				return e
			},
			map[string]int64{"events of the history with a damaged payload": 1, "events missing in the history": 1},
		},
		"of nobody": {
			func(e []any) []any {
				e = slices.Clone(e)
				text := e[3].(map[string]any)["args"].([]any)[0].(string)
				e[3] = map[string]any{"args": []any{"0001" + text[4:]}} // there is publisher 0 only
				return e
			},
			map[string]int64{"events of the history with a damaged payload": 1, "events missing in the history": 1},
		},
		"no event": {
			func(e []any) []any { return append([]any{"event"}, e[1:]...) },
			map[string]int64{"events of the history with a damaged payload": 1, "events missing in the history": 1},
		},
		"too many": {
			func(e []any) []any { return append(slices.Clone(e), e[0]) },
			map[string]int64{
				"events of the history out of order or twice":   1,
				"events of the history that were not asked for": 1,
			},
		},
		"none": {func([]any) []any { return nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patient(t, func(stall time.Duration) string {
				s := newFake(t)
				s.history = c.spoil
				ctx, load := counted(t, s)
				load.Stall = stall
				r, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 1, History: true})
				if err != nil {
					t.Fatal(err)
				}
				n := min(r.Verified.Received, historyCheckedMax)
				switch name {
				case "none":
					c.want = map[string]int64{"events missing in the history": n}
				case "oldest first":
					c.want = map[string]int64{
						"events of the history out of order or twice": n - 1,
						"events missing in the history":               n - 1,
					}
				}
				return failed(r, c.want)
			})
		})
	}
}

// TestHistoryIsWaitedFor: an event that is on its way to the disk is not lost.
func TestHistoryIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	asked := 0
	s.history = func(newest []any) []any {
		if asked++; asked < 3 {
			return newest[1:]
		}
		return newest
	}
	ctx, load := counted(t, s)
	r, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 1, History: true})
	if err != nil || !r.Verified.OK || asked != 3 {
		t.Errorf("%v, %+v, asked %d times", err, r, asked)
	}
}

// TestHistoryRefused: a router that does not answer the query is no router under load.
func TestHistoryRefused(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.history = func(newest []any) []any { return newest }
	s.refuse = map[codec.Type]string{codec.Call: codec.ErrNoSuchSubscription}
	ctx, load := counted(t, s)
	_, err := Fanout(ctx, FanoutPlan{Options: load, Subscribers: 1, History: true})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.URI != codec.ErrNoSuchSubscription {
		t.Errorf("got %v", err)
	}
	nats := FanoutPlan{Options: Options{URL: "nats://127.0.0.1:1"}, History: true}
	if _, err := Fanout(context.Background(), nats); err == nil || !strings.Contains(err.Error(), "event history") {
		t.Errorf("got %v", err)
	}
}

// TestHistoryAnswers: the answer to a query is a RESULT of its number, with a list.
func TestHistoryAnswers(t *testing.T) {
	encode := func(v any) codec.Payload {
		b, err := codec.AppendValue(nil, codec.MessagePack, v)
		if err != nil {
			t.Fatal(err)
		}
		return codec.Payload{Format: codec.MessagePack, Args: b}
	}
	for name, c := range map[string]struct {
		answer codec.Message
		want   int // events; -1 for an error
	}{
		"two":             {codec.Message{Type: codec.Result, Request: 4, Payload: encode([]any{1, 2})}, 2},
		"none":            {codec.Message{Type: codec.Result, Request: 4, Payload: encode([]any{})}, 0},
		"no arguments":    {codec.Message{Type: codec.Result, Request: 4}, 0},
		"no list":         {codec.Message{Type: codec.Result, Request: 4, Payload: encode("a")}, -1},
		"another number":  {codec.Message{Type: codec.Result, Request: 3, Payload: encode([]any{1, 2})}, -1},
		"another message": {codec.Message{Type: codec.Published, Request: 4}, -1},
		"an error":        {codec.Message{Type: codec.Error, Request: 4, URI: []byte("a.b")}, -1},
	} {
		l := &canned{answers: []codec.Message{c.answer}}
		events, err := (&pubsub{run: newRun(Options{})}).askHistory(l, 4, 7, 10)
		if (err != nil) != (c.want < 0) || err == nil && len(events) != c.want {
			t.Errorf("%s: %v, %v", name, events, err)
		}
	}
}
