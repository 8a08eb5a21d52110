package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
)

// A deafReader subscribes and then does not read.
func (r *testRouter) deafReader(t *testing.T, topic string) *client.Conn {
	t.Helper()
	c := r.connect(t, msgpackWebSocket)
	if _, _, err := c.JoinRaw(t.Context(), "realm1", ""); err != nil {
		t.Fatal(err)
	}
	if err := c.QueueMessage(&codec.Message{
		Type: codec.Subscribe, Format: codec.MessagePack, Request: 1, URI: []byte(topic),
	}); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if m := reader(t, c)(); m.Type != codec.Subscribed {
		t.Fatalf("got message type %d", m.Type)
	}
	return c
}

// publishUntil publishes numbered 64 KiB events until a condition holds, and returns how many.
func (r *testRouter) publishUntil(t *testing.T, topic, what string, condition func() bool) int64 {
	t.Helper()
	p := r.join(t, msgpackWebSocket)
	load := string(bytes.Repeat([]byte{'x'}, 64<<10))
	n := int64(0)
	eventually(t, what, func() bool {
		for range 16 {
			// Acknowledged, so that the client never has more under way than the router has read.
			if _, err := p.Publish(t.Context(), topic, map[string]any{"acknowledge": true},
				client.Values{Args: []any{n, load}}); err != nil {
				t.Fatal(err)
			}
			n++
		}
		return condition()
	})
	return n
}

// inOrder subscribes a reader that notes gaps and returns how many events it has seen.
func (r *testRouter) inOrder(t *testing.T, topic string, w wire) (seen func() int64) {
	t.Helper()
	s := r.join(t, w)
	var mu sync.Mutex
	next := int64(0)
	_, err := s.Subscribe(t.Context(), client.Topic{URI: topic}, nil, func(e *client.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Args[0] != next {
			t.Errorf("a reader that reads got event %v, want %d", e.Args[0], next)
		}
		next++
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() int64 {
		mu.Lock()
		defer mu.Unlock()
		return next
	}
}

// TestTRN48Disconnect: a subscriber that stops reading is closed at its bound; the publisher and other readers are
// not disturbed.
func TestTRN48Disconnect(t *testing.T) {
	r := startRouter(t, func(ec *engine.Config, _ *realm.Config) { ec.BacklogBytesMax = 1 << 20 })
	seen := r.inOrder(t, "com.slow", wire{"", "unix", client.Options{Serializer: codec.CBOR}})
	deaf := r.deafReader(t, "com.slow")
	n := r.publishUntil(t, "com.slow", "the deaf reader was closed",
		func() bool { return r.engine.Stats().SlowConsumersClosed == 1 })
	eventually(t, "the other has everything", func() bool { return seen() == n })
	// When it reads again, it gets events in order, and then the end.
	for {
		if _, err := deaf.Receive(); err != nil {
			var closed *client.CloseError
			if !errors.As(err, &closed) && !hungUp(err) {
				t.Errorf("the connection ended with %v", err)
			}
			return
		}
	}
}

// TestTRN48DropNewest: with the other policy it stays, loses events visibly, and keeps the order of those it gets
// (ORD-12).
func TestTRN48DropNewest(t *testing.T) {
	t.Attr("checklist", "ORD-12")
	r := startRouter(t, func(ec *engine.Config, _ *realm.Config) {
		ec.BacklogBytesMax, ec.SlowConsumer = 1<<20, engine.DropNewest
	})
	seen := r.inOrder(t, "com.slow", wire{"", "rs", client.Options{Serializer: codec.JSON}})
	deaf := r.deafReader(t, "com.slow")
	n := r.publishUntil(t, "com.slow", "events were dropped",
		func() bool { return r.engine.Stats().EventsDropped > 10 })
	eventually(t, "the other has everything", func() bool { return seen() == n })
	eventually(t, "the deaf reader's loop is through", func() bool { return r.realms.Stats().Events == 2*n })
	dropped := r.engine.Stats().EventsDropped
	next := reader(t, deaf)
	last := int64(-1)
	for range n - dropped {
		m := next()
		v, err := codec.Value(m.Format, m.Payload.Args)
		if err != nil || m.Type != codec.Event {
			t.Fatalf("message type %d, %v", m.Type, err)
		}
		if i := v.([]any)[0].(int64); i <= last {
			t.Fatalf("event %d after %d", i, last)
		} else {
			last = i
		}
	}
	if got := r.engine.Stats(); got.SlowConsumersClosed != 0 {
		t.Errorf("%d closed", got.SlowConsumersClosed)
	}
}

// TestTRN48Caller: a caller that never reads its results is bounded too, and its callee goes on serving others.
func TestTRN48Caller(t *testing.T) {
	r := startRouter(t, func(ec *engine.Config, _ *realm.Config) { ec.BacklogBytesMax = 1 << 20 })
	callee := r.join(t, msgpackWebSocket)
	long := string(bytes.Repeat([]byte{'x'}, 64<<10))
	if _, err := callee.Register(t.Context(), client.Topic{URI: "com.long"}, nil,
		func(context.Context, *client.Invocation) (client.Values, error) {
			return client.Values{Args: []any{long}}, nil
		}); err != nil {
		t.Fatal(err)
	}
	if _, err := callee.Register(t.Context(), client.Topic{URI: "com.echo"}, nil,
		func(_ context.Context, call *client.Invocation) (client.Values, error) {
			return call.Values, nil
		}); err != nil {
		t.Fatal(err)
	}
	deaf := r.connect(t, msgpackWebSocket)
	if _, _, err := deaf.JoinRaw(t.Context(), "realm1", ""); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(500) { // short calls, so that none is refused at the callee's bound, and 32 MiB of results
		if err := deaf.QueueMessage(&codec.Message{
			Type: codec.Call, Format: codec.MessagePack, Request: i + 1, URI: []byte("com.long"),
		}); err != nil {
			t.Fatal(err)
		}
	}
	deaf.Flush()
	eventually(t, "the deaf caller is no longer read from, or closed", func() bool {
		s := r.engine.Stats()
		return s.ReadPauses > 0 || s.SlowConsumersClosed > 0
	})
	friend := r.join(t, wire{"", "unix", client.Options{Serializer: codec.JSON}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range 100 {
		got, err := friend.Call(ctx, "com.echo", nil, client.Values{Args: []any{i}}, nil)
		if err != nil || fmt.Sprint(got.Args) != fmt.Sprintf("[%d]", i) {
			t.Fatalf("a friend's call %d: %v, %v", i, got, err)
		}
	}
}

// TestTRN54Defaults: without configuration one address may hold many silent connections and sessions, and send the
// longest messages.
func TestTRN54Defaults(t *testing.T) {
	r := startRouter(t, nil)
	for i := range 1500 {
		r.connect(t, wire{"", []string{"unix", "ws+unix", "rs"}[i%3], client.Options{Serializer: codec.CBOR}})
	}
	for i := range 300 {
		c := r.connect(t, wire{"", []string{"unix", "ws"}[i%2], client.Options{Serializer: codec.MessagePack}})
		if _, _, err := c.JoinRaw(t.Context(), "realm1", ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range []wire{msgpackWebSocket, {"", "rs", client.Options{Serializer: codec.CBOR}}} {
		a, b := r.join(t, w), r.join(t, w)
		const overhead = 200 // of the message around the payload
		longest := string(bytes.Repeat([]byte{'y'}, 1<<24-overhead))
		arrived := make(chan bool, 1)
		if _, err := b.Subscribe(t.Context(), client.Topic{URI: "com.long"}, nil, func(e *client.Event) {
			arrived <- len(e.Args) == 1 && e.Args[0] == longest
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Publish(t.Context(), "com.long", map[string]any{"acknowledge": true},
			client.Values{Args: []any{longest}}); err != nil {
			t.Fatal(err)
		}
		select {
		case ok := <-arrived:
			if !ok {
				t.Errorf("%s: damaged", w.scheme)
			}
		case <-time.After(patience):
			t.Errorf("%s: a message of nearly 16 MiB did not arrive", w.scheme)
		}
		a.Close()
		b.Close()
	}
}

// TestSER26: a list of 100 000 items and a map of 10 000 keys pass through every pair of serializers.
func TestSER26(t *testing.T) {
	r := startRouter(t, nil)
	items := make([]any, 100_000)
	for i := range items {
		items[i] = int64(i - 50_000)
	}
	keys := map[string]any{}
	for i := range 10_000 {
		keys[fmt.Sprintf("key%d", i)] = int64(i)
	}
	var sessions []*client.Session
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		sessions = append(sessions, r.join(t, wire{"", "unix", client.Options{Serializer: s}}))
	}
	for i, callee := range sessions {
		uri := fmt.Sprintf("com.big.s%d", i)
		if _, err := callee.Register(t.Context(), client.Topic{URI: uri}, nil,
			func(_ context.Context, call *client.Invocation) (client.Values, error) {
				return call.Values, nil
			}); err != nil {
			t.Fatal(err)
		}
		for k, caller := range sessions {
			got, err := caller.Call(t.Context(), uri, nil, client.Values{Args: items, Kwargs: keys}, nil)
			if err != nil {
				t.Fatalf("%d to %d: %v", k, i, err)
			}
			if fmt.Sprint(got.Args) != fmt.Sprint(items) || fmt.Sprint(got.Kwargs) != fmt.Sprint(keys) {
				t.Errorf("%d to %d: damaged", k, i)
			}
		}
	}
}

// TestLIM03: all messages in a single segment have the same outcome as one by one.
func TestLIM03(t *testing.T) {
	for _, w := range wires() {
		var outcomes [2]string
		for i := range outcomes {
			r := startRouter(t, nil) // the same ids each time
			c := r.connect(t, w)
			c.SetReadDeadline(time.Now().Add(patience))
			for _, m := range validMessages(t, w.options.Serializer) {
				c.Queue(m)
				if i == 1 {
					c.Flush()
				}
			}
			next := reader(t, c)
			for {
				m := next()
				outcomes[i] += fmt.Sprintf("%d(%d) ", m.Type, m.RequestType)
				if m.Type == codec.Goodbye {
					break
				}
			}
		}
		if outcomes[0] != outcomes[1] {
			t.Errorf("%s: at once %s, one by one %s", w.name, outcomes[0], outcomes[1])
		}
	}
}

// TestLIM05: a stop under load ends in good order and in bounded time; every client is told or closed.
func TestLIM05(t *testing.T) {
	// The loads do not answer GOODBYE.
	r := startRouter(t, func(_ *engine.Config, rc *realm.Config) { rc.GoodbyeTimeout = 200 * time.Millisecond })
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var loads sync.WaitGroup
	running := make(chan struct{}, 2)
	once := func() func(load.Progress) {
		var o sync.Once
		return func(load.Progress) { o.Do(func() { running <- struct{}{} }) }
	}
	loads.Go(func() {
		plan := load.FanoutPlan{Publishers: 2, Subscribers: 50}
		plan.URL, plan.PID, plan.Progress, plan.Duration = r.url("ws"), -1, once(), 1500*time.Millisecond
		if _, err := load.Fanout(ctx, plan); err != nil {
			t.Errorf("fan-out: %v", err)
		}
	})
	loads.Go(func() {
		plan := load.RPCPlan{Callers: 4}
		plan.URL, plan.PID, plan.Progress, plan.Duration = r.url("unix"), -1, once(), 1500*time.Millisecond
		if _, err := load.RPC(ctx, plan); err != nil {
			t.Errorf("rpc: %v", err)
		}
	})
	<-running
	<-running
	stop, done := context.WithTimeout(context.Background(), patience)
	defer done()
	if err := r.engine.Stop(stop); err != nil {
		t.Errorf("stop: %v", err)
	}
	loads.Wait() // they have lost their connections, said so, and returned
}
