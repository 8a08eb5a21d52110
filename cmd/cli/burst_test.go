package cli

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

var msgpackWebSocket = wire{"ws/msgpack", "ws", client.Options{Serializer: codec.MessagePack}}

// TestTRN54PipelinedCalls: 20 000 CALLs written before the first RESULT is looked at are all answered, each with its
// own argument.
func TestTRN54PipelinedCalls(t *testing.T) {
	r := startRouter(t, nil)
	callee := r.join(t, msgpackWebSocket)
	_, err := callee.Register(t.Context(), client.Topic{URI: "com.echo"}, nil,
		func(_ context.Context, call *client.Invocation) (client.Values, error) {
			return call.Values, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	c := r.connect(t, msgpackWebSocket)
	if _, _, err := c.JoinRaw(t.Context(), "realm1", ""); err != nil {
		t.Fatal(err)
	}
	const calls = 20_000
	for i := range uint64(calls) {
		args, err := codec.AppendValue(nil, codec.MessagePack, []any{i})
		if err != nil {
			t.Fatal(err)
		}
		err = c.QueueMessage(&codec.Message{
			Type: codec.Call, Format: codec.MessagePack, Request: i + 1, URI: []byte("com.echo"),
			Payload: codec.Payload{Format: codec.MessagePack, Args: args},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answered := make([]bool, calls)
	var dec codec.Decoder
	var m codec.Message
	c.SetReadDeadline(time.Now().Add(patience))
	for range calls {
		b, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := dec.Decode(codec.MessagePack, b, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type != codec.Result || m.Request < 1 || m.Request > calls || answered[m.Request-1] {
			t.Fatalf("message type %d for request %d", m.Type, m.Request)
		}
		answered[m.Request-1] = true
		v, err := codec.Value(m.Format, m.Payload.Args)
		if err != nil || fmt.Sprint(v) != fmt.Sprintf("[%d]", m.Request-1) {
			t.Fatalf("request %d was answered with %v, %v", m.Request, v, err)
		}
	}
}

// TestManyCallsInFlight: 1 000 calls are open at one callee before it answers the first, in reverse.
func TestManyCallsInFlight(t *testing.T) {
	r := startRouter(t, nil)
	callee := r.join(t, msgpackWebSocket)
	caller := r.join(t, wire{"unix/json", "unix", client.Options{Serializer: codec.JSON}})
	const calls = 1000
	var arrived atomic.Int64
	all := make(chan struct{})
	_, err := callee.Register(t.Context(), client.Topic{URI: "com.wait"}, nil,
		func(ctx context.Context, call *client.Invocation) (client.Values, error) {
			if arrived.Add(1) == calls {
				close(all)
			}
			select {
			case <-all:
				return call.Values, nil
			case <-ctx.Done():
				return client.Values{}, ctx.Err()
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			got, err := caller.Call(ctx, "com.wait", nil, client.Values{Args: []any{i}}, nil)
			if err != nil {
				t.Errorf("call %d: %v", i, err)
			} else if fmt.Sprint(got.Args) != fmt.Sprintf("[%d]", i) {
				t.Errorf("call %d was answered with %v", i, got.Args)
			}
		})
	}
	wg.Wait()
}

// TestTRN46EventBurst: 10 000 events in one go reach all of 100 subscribers that read, in order, over all transports
// and serializers.
func TestTRN46EventBurst(t *testing.T) {
	r := startRouter(t, nil)
	const events, subscribers = 10_000, 100
	all := wires()
	var wg sync.WaitGroup
	for i := range subscribers {
		w := all[i%len(all)]
		s := r.join(t, w)
		next := int64(0)
		done := make(chan struct{})
		_, err := s.Subscribe(t.Context(), client.Topic{URI: "com.burst"}, nil, func(e *client.Event) {
			if len(e.Args) != 1 || e.Args[0] != next {
				t.Errorf("%s: got %v, want %d", w.name, e.Args, next)
			}
			if next++; next == events {
				close(done)
			}
		})
		if err != nil {
			t.Fatal(err)
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
	p := r.join(t, msgpackWebSocket)
	for i := range events {
		if _, err := p.Publish(t.Context(), "com.burst", nil, client.Values{Args: []any{i}}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

// TestTRN44LargePayload carries 1 MiB of text and of binary from every wire to every other.
func TestTRN44LargePayload(t *testing.T) {
	r := startRouter(t, nil)
	text := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<16))
	binary := bytes.Repeat([]byte{0, 1, 0xFE, 0xFF}, 1<<18)
	all := wires()
	type arrival struct {
		from, to string
		ok       bool
	}
	arrivals := make(chan arrival, len(all)*len(all))
	sessions := make([]*client.Session, len(all))
	for i, w := range all {
		sessions[i] = r.join(t, w)
		_, err := sessions[i].Subscribe(t.Context(), client.Topic{URI: "com.large"}, nil, func(e *client.Event) {
			from, _ := e.Kwargs["from"].(string)
			ok := len(e.Args) == 2 && e.Args[0] == text
			if ok {
				b, isBinary := e.Args[1].([]byte)
				ok = isBinary && bytes.Equal(b, binary)
			}
			arrivals <- arrival{from, w.name, ok}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, w := range all {
		v := client.Values{Args: []any{text, binary}, Kwargs: map[string]any{"from": w.name}}
		if _, err := sessions[i].Publish(ctx, "com.large", map[string]any{"acknowledge": true}, v); err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		for range len(all) - 1 {
			select {
			case a := <-arrivals:
				if !a.ok || a.from != w.name {
					t.Errorf("from %s to %s: damaged (said to be from %s)", w.name, a.to, a.from)
				}
			case <-ctx.Done():
				t.Fatalf("an event from %s did not come", w.name)
			}
		}
	}
}

// TestORD07ProgressAndCancel goes through every wire: progressive results in order, an interrupt that reaches the
// callee.
func TestORD07ProgressAndCancel(t *testing.T) {
	r := startRouter(t, nil)
	all := wires()
	for i, w := range all {
		callee, caller := r.join(t, all[(i+4)%len(all)]), r.join(t, w)
		interrupted := make(chan struct{})
		_, err := callee.Register(t.Context(), client.Topic{URI: "com.count"}, nil,
			func(ctx context.Context, call *client.Invocation) (client.Values, error) {
				for i := range 5 {
					if err := call.Progress(client.Values{Args: []any{i}}); err != nil {
						return client.Values{}, err
					}
				}
				if call.Kwargs["wait"] == true {
					<-ctx.Done()
					close(interrupted)
					return client.Values{}, &client.Error{URI: codec.ErrCanceled}
				}
				return client.Values{Args: []any{"done"}}, nil
			})
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		var seen []any
		got, err := caller.Call(t.Context(), "com.count", nil, client.Values{},
			func(r *client.Result) { seen = append(seen, r.Args...) })
		if err != nil || fmt.Sprint(seen) != "[0 1 2 3 4]" || fmt.Sprint(got.Args) != "[done]" {
			t.Errorf("%s: %v, %v, %v", w.name, seen, got, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = caller.Call(ctx, "com.count", nil, client.Values{Kwargs: map[string]any{"wait": true}},
			func(r *client.Result) {
				if fmt.Sprint(r.Args) == "[4]" {
					cancel()
				}
			})
		cancel()
		if err == nil {
			t.Errorf("%s: a canceled call returned", w.name)
		}
		select {
		case <-interrupted:
		case <-time.After(patience):
			t.Errorf("%s: the callee was not interrupted", w.name)
		}
		caller.Close()
		callee.Close()
	}
}
