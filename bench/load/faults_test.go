package load

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"banyan/bench/client"
	"banyan/codec"
)

// swapResults exchanges the payloads of the two results behind the 20th.
func swapResults(t *testing.T) func(n int, msg []byte) [][]byte {
	var held []byte
	done := false
	return func(n int, msg []byte) [][]byte {
		switch {
		case n < 20 || done:
			return [][]byte{msg}
		case held == nil:
			held = bytes.Clone(msg)
			return nil
		}
		done = true
		var d codec.Decoder
		var a, b codec.Message
		if err := d.Decode(codec.MessagePack, bytes.Clone(held), &a); err != nil {
			t.Error(err)
		}
		if err := d.Decode(codec.MessagePack, bytes.Clone(msg), &b); err != nil {
			t.Error(err)
		}
		if a.Type != codec.Result || b.Type != codec.Result || a.Request == b.Request {
			t.Errorf("nothing to exchange: %+v, %+v", a, b)
		}
		a.Request, b.Request = b.Request, a.Request
		first, err := codec.Append(nil, codec.MessagePack, &a)
		if err != nil {
			t.Error(err)
		}
		second, err := codec.Append(nil, codec.MessagePack, &b)
		if err != nil {
			t.Error(err)
		}
		return [][]byte{first, second}
	}
}

// TestSwappedResults: each of two calls gets the result of the other. All answers are there, once, whole and for open
// calls; only their payloads tell.
func TestSwappedResults(t *testing.T) {
	t.Parallel()
	s := newFake(t)
	s.fault = swapResults(t)
	ctx, o := counted(t, s)
	r, err := RPC(ctx, RPCPlan{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verified.OK || r.Verified.Failures["results with a damaged or foreign payload"] != 2 ||
		len(r.Verified.Failures) != 1 {
		t.Errorf("%+v", r.Verified)
	}
}

// TestResultOfAnotherCaller: the payload has the sequence number that the caller waits for, and another's sender.
func TestResultOfAnotherCaller(t *testing.T) {
	r := &rpc{run: newRun(Options{}), plan: RPCPlan{Results: 1}}
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	for sender, ok := range []bool{false, true, false} {
		k := &caller{
			rpc: r, index: 1, checks: stamps, conn: &wamp{Conn: &client.Conn{}},
			open: map[uint64]openCall{5: {seq: 7}},
		}
		before := r.failures.total()
		k.answer(&codec.Message{
			Type: codec.Result, Request: 5,
			Payload: codec.Payload{Format: codec.MessagePack, Args: stamps.write(stamp{sender: sender, seq: 7})},
		})
		if passed := r.failures.total() == before; passed != ok {
			t.Errorf("from sender %d: passed is %v; %v", sender, passed, r.failures.byID)
		}
	}
}

// TestEventsOfOthers: an event counts if it is for a subscription that is held and from a publisher that there is.
func TestEventsOfOthers(t *testing.T) {
	stamps, err := newStamper(codec.MessagePack, 64, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{
		pubsub: &pubsub{run: newRun(Options{})}, stamps: stamps, arrivals: make([]int64, 1),
		conn: &wamp{Conn: &client.Conn{}}, subscriptions: map[uint64]*subscription{7: {from: make([]progress, 1)}},
	}
	for _, c := range []struct {
		kind   codec.Type
		id     uint64
		sender int
		want   string // the failure
	}{
		{codec.Event, 7, 0, ""},
		{codec.Event, 7, 1, "events with a damaged payload"},
		{codec.Event, 8, 0, "unexpected messages of type 36"},
		{codec.Event, 7, 0, ""},
		{codec.Result, 7, 0, "unexpected messages of type 50"},
	} {
		s.failures = failures{}
		seq := s.subscriptions[7].from[0].next
		s.event(&codec.Message{
			Type: c.kind, ID: c.id, Payload: codec.Payload{
				Format: codec.MessagePack, Args: stamps.write(stamp{sender: c.sender, seq: seq}),
			},
		})
		want := map[string]int64{}
		if c.want != "" {
			want[c.want] = 1
		}
		if !maps.Equal(s.failures.byID, want) {
			t.Errorf("%+v: failures %v", c, s.failures.byID)
		}
	}
	if n := s.arrivals[0]; n != 2 {
		t.Errorf("%d events arrived, want 2", n)
	}
}

// TestLossIsCounted: losses are counted to the last event, below and above the number that is remembered one by one,
// in one gap or two.
func TestLossIsCounted(t *testing.T) {
	for _, gaps := range [][]uint64{
		{1},
		{missingMax - 1},
		{missingMax},
		{missingMax + 1},
		{3 * missingMax},
		{missingMax, 1},
		{missingMax - 1, 2},
		{missingMax + 1, 1},
		{missingMax - 1, 1, missingMax},
		{2 * missingMax, 2 * missingMax},
	} {
		for _, tail := range []uint64{0, 1, 3 * missingMax} { // lost behind the last event that came
			h := &subscription{from: make([]progress, 1)}
			f := &pubsub{run: newRun(Options{})}
			s := &subscriber{pubsub: f, subscriptions: map[uint64]*subscription{1: h}}
			f.subscribers = []*subscriber{s}
			at, lost := uint64(0), tail
			for _, gap := range gaps {
				at += gap
				lost += gap
				s.outOfOrder(&h.from[0], at)
				at++
			}
			f.publishers = []*publisher{{seqs: []uint64{at + tail}}}
			f.verify()
			if got := f.failures.byID["events lost"]; got != int64(lost) || f.failures.total() != int64(lost) {
				t.Errorf("gaps %v and %d at the end: %v, want %d events lost", gaps, tail, f.failures.byID, lost)
			}
		}
	}
}

// TestLateEvents: an event that comes behind later ones is late, not lost, as long as it is remembered; the same once
// more came twice.
func TestLateEvents(t *testing.T) {
	h := &subscription{from: make([]progress, 1)}
	f := &pubsub{run: newRun(Options{}), publishers: []*publisher{{seqs: []uint64{missingMax + 1}}}}
	s := &subscriber{pubsub: f, subscriptions: map[uint64]*subscription{1: h}}
	f.subscribers = []*subscriber{s}
	s.outOfOrder(&h.from[0], missingMax) // 0 to missingMax-1 are missing, all of them remembered
	for range 2 {
		s.outOfOrder(&h.from[0], 0)
		s.outOfOrder(&h.from[0], missingMax-1)
	}
	f.verify()
	want := map[string]int64{"events out of order": 2, "events received twice": 2, "events lost": missingMax - 2}
	if fmt.Sprint(f.failures.byID) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", f.failures.byID, want)
	}
}

// TestAnswersOfTheWrongKind: neither a request outside the load nor a cycle of a churner is settled by the answer to
// another kind of request.
func TestAnswersOfTheWrongKind(t *testing.T) {
	c := &churner{
		slots: []slot{{topic: "a"}}, free: make(chan int, 1), pubsub: &pubsub{run: newRun(Options{})},
		pending: map[uint64]openRequest{5: {codec.Subscribe, 0}},
	}
	for _, m := range []codec.Message{
		{Type: codec.Unsubscribed, Request: 5},
		{Type: codec.Registered, Request: 5},
		{Type: codec.Error, RequestType: codec.Unsubscribe, Request: 5},
		{Type: codec.Subscribed, Request: 6},
	} {
		if err := c.take(&m); err == nil || len(c.free) > 0 || c.ended.Load() > 0 || len(c.pending) != 1 {
			t.Errorf("message type %d settled a SUBSCRIBE: %v", m.Type, err)
		}
	}
	c.pending = map[uint64]openRequest{6: {codec.Unsubscribe, 0}}
	if err := c.take(&codec.Message{Type: codec.Subscribed, Request: 6, ID: 9}); err == nil || c.slots[0].id != 0 {
		t.Errorf("SUBSCRIBED settled an UNSUBSCRIBE: %v", err)
	}

	for _, a := range []codec.Message{
		{Type: codec.Registered, Request: 1, ID: 3},
		{Type: codec.Subscribed, Request: 2, ID: 3},
		{Type: codec.Error, RequestType: codec.Register, Request: 1, URI: []byte("a.b")},
		{Type: codec.Error, RequestType: codec.Subscribe, Request: 2, URI: []byte("a.b")},
	} {
		_, err := answerTo(&canned{answer: a}, codec.Subscribe, 1, codec.Subscribed)
		if _, refused := err.(*client.Error); err == nil || refused {
			t.Errorf("message type %d for request %d was taken for the answer to SUBSCRIBE 1: %v",
				a.Type, a.Request, err)
		}
	}
	if id, err := answerTo(&canned{answer: codec.Message{Type: codec.Subscribed, Request: 1, ID: 3}}, codec.Subscribe,
		1, codec.Subscribed); id != 3 || err != nil {
		t.Errorf("%d, %v", id, err)
	}
}

// A canned link has one answer.
type canned struct {
	link
	answer codec.Message
}

func (c *canned) Next() (*codec.Message, error) { return &c.answer, nil }
