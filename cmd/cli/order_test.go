package cli

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/codec"
)

// TestORD01: 10 000 events alternate over 8 topics. Every subscriber of all of them, exactly and by pattern, sees
// each subscription's and the overall sequence in the order of publishing: on every loop, on every wire, while four
// others publish to the same topics (ORD-02).
func TestORD01(t *testing.T) {
	t.Attr("checklist", "ORD-02")
	r := startRouter(t, nil)
	const events, topics = 10_000, 8
	topic := func(i int) string { return fmt.Sprintf("com.order.t%d", i%topics) }
	all := wires()
	var wg sync.WaitGroup
	for i := range 6 {
		w := all[i*4%len(all)]
		s := r.join(t, w)
		done := make(chan struct{})
		overall, count := int64(-1), 0
		record := func(last *int64) func(e *client.Event) {
			return func(e *client.Event) {
				if e.Args[0] != "A" {
					return
				}
				n := e.Args[1].(int64)
				if n <= *last || n < overall {
					t.Errorf("%s: event %d after %d of its subscription, %d of all", w.name, n, *last, overall)
				}
				*last, overall = n, n
				if count++; count == 2*events {
					close(done)
				}
			}
		}
		pattern := int64(-1)
		if _, err := s.Subscribe(t.Context(), client.Topic{URI: "com.order.", Match: "prefix"}, nil,
			record(&pattern)); err != nil {
			t.Fatal(err)
		}
		for k := range topics {
			last := int64(-1)
			if _, err := s.Subscribe(t.Context(), client.Topic{URI: topic(k)}, nil, record(&last)); err != nil {
				t.Fatal(err)
			}
		}
		wg.Go(func() {
			select {
			case <-done:
			case <-s.Done():
				t.Errorf("%s: the session ended: %v", w.name, s.Err())
			case <-time.After(patience):
				t.Errorf("%s: not all events came", w.name)
			}
		})
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	for i := range 4 {
		s := r.join(t, all[i])
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond):
				}
				if _, err := s.Publish(t.Context(), topic(n), nil,
					client.Values{Args: []any{"other", n}}); err != nil {
					t.Errorf("another publisher: %v", err)
					return
				}
			}
		})
	}
	a := r.join(t, msgpackWebSocket)
	for n := range events {
		if _, err := a.Publish(t.Context(), topic(n), nil, client.Values{Args: []any{"A", n}}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	close(stop)
	others.Wait()
}

// TestORD03: 10 000 calls over 8 procedures of one callee arrive as INVOCATIONs in the order of calling, with ids 1,
// 2, 3 …
func TestORD03(t *testing.T) {
	r := startRouter(t, nil)
	const calls, procedures = 10_000, 8
	ser := codec.CBOR
	callee := r.connect(t, wire{"", "unix", client.Options{Serializer: ser}})
	caller := r.connect(t, wire{"", "ws", client.Options{Serializer: ser}})
	for _, c := range []*client.Conn{callee, caller} {
		if _, _, err := c.JoinRaw(t.Context(), "realm1", ""); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(patience))
	}
	procedure := func(i uint64) []byte { return fmt.Appendf(nil, "com.order.p%d", i%procedures) }
	next := reader(t, callee)
	for i := range uint64(procedures) {
		if err := callee.QueueMessage(&codec.Message{
			Type: codec.Register, Format: ser, Request: i + 1, URI: procedure(i),
		}); err != nil {
			t.Fatal(err)
		}
		if m := next(); m.Type != codec.Registered {
			t.Fatalf("got message type %d", m.Type)
		}
	}
	for i := range uint64(calls) {
		args, err := codec.AppendValue(nil, ser, []any{i})
		if err != nil {
			t.Fatal(err)
		}
		err = caller.QueueMessage(&codec.Message{
			Type: codec.Call, Format: ser, Request: i + 1, URI: procedure(i),
			Payload: codec.Payload{Format: ser, Args: args},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := caller.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(calls) {
		m := next()
		v, err := codec.Value(ser, m.Payload.Args)
		if m.Type != codec.Invocation || m.Request != i+1 || err != nil || fmt.Sprint(v) != fmt.Sprintf("[%d]", i) {
			t.Fatalf("invocation %d: type %d, id %d, %v, %v", i, m.Type, m.Request, v, err)
		}
	}
}

// reader returns a function that receives and decodes c's next message, which lives until the next call.
func reader(t *testing.T, c *client.Conn) func() *codec.Message {
	var d codec.Decoder
	var m codec.Message
	return func() *codec.Message {
		t.Helper()
		b, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(c.Serializer(), b, &m); err != nil {
			t.Fatal(err)
		}
		return &m
	}
}

// TestORD13: a large fan-out keeps its order at every one of 1 000 subscribers (the load verifies each event).
func TestORD13(t *testing.T) {
	r := startRouter(t, nil)
	plan := load.FanoutPlan{Subscribers: 1000, Publishers: 2}
	plan.URL, plan.PID, plan.InFlight, plan.Duration = r.url("unix"), -1, 2, 300*time.Millisecond
	report, err := load.Fanout(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	if !report.Verified.OK || report.Verified.Received == 0 {
		t.Errorf("%+v", report.Verified)
	}
}

// TestRPC88: calls under random disconnects of both sides leave no open call behind, and callers that stay get
// exactly one answer each.
func TestRPC88(t *testing.T) {
	r := startRouter(t, nil)
	all := wires()
	stop := make(chan struct{})
	var callees, callers sync.WaitGroup
	for i := range 3 {
		callees.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				s := r.join(t, all[n%len(all)])
				_, err := s.Register(t.Context(), client.Topic{URI: "com.unreliable"},
					map[string]any{"invoke": "random"},
					func(_ context.Context, call *client.Invocation) (client.Values, error) {
						return call.Values, nil
					})
				if err != nil {
					t.Errorf("register: %v", err)
					return
				}
				// How long this callee lives; not a wait for anything.
				time.Sleep(time.Duration(1+n%5) * time.Millisecond)
				s.Abandon()
				<-s.Done()
			}
		})
	}
	var answered, refused atomic.Int64
	for i := range 4 {
		callers.Go(func() {
			for n := range 25 {
				s := r.join(t, all[(i*25+n)%len(all)])
				var calls sync.WaitGroup
				for k := range 20 {
					calls.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						_, err := s.Call(ctx, "com.unreliable", nil, client.Values{Args: []any{k}}, nil)
						switch {
						case err == nil:
							answered.Add(1)
						case ctx.Err() != nil:
							t.Errorf("a call got no answer")
						default:
							refused.Add(1)
						}
					})
				}
				if n%3 == 0 {
					s.Abandon() // with its calls open
				}
				calls.Wait()
				s.Close()
			}
		})
	}
	callers.Wait()
	close(stop)
	callees.Wait()
	eventually(t, "no call and no session is left", func() bool {
		left := r.realms.Stats()
		return left.OpenCalls == 0 && left.Sessions == 0 && left.Registrations == 0
	})
	if answered.Load() == 0 {
		t.Errorf("no call was answered, %d were refused", refused.Load())
	}
}
