package realm

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"banyan/codec"

	"github.com/google/go-cmp/cmp"
)

func embed(t *testing.T, r *Router) *Client {
	t.Helper()
	c, err := r.Join(t.Context(), ClientConfig{Realm: "realm1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestEmbed: a Go program calls, publishes, subscribes and registers without a socket.
func TestEmbed(t *testing.T) {
	r, _ := running(t, 2, Config{})
	one, two := embed(t, r), embed(t, r)
	heard := make(chan Event, 10)
	unsubscribe, err := two.Subscribe(t.Context(), "com.", values{"match": "prefix"}, func(e Event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	id, err := one.Publish(t.Context(), "com.topic", nil, []any{"hello", int64(1)}, values{"k": true})
	if err != nil {
		t.Fatal(err)
	}
	want := Event{Publication: id, Topic: "com.topic", Args: []any{"hello", int64(1)}, Kwargs: values{"k": true}}
	if diff := cmp.Diff(want, <-heard); diff != "" {
		t.Error(diff)
	}
	if err := unsubscribe(t.Context()); err != nil {
		t.Error(err)
	}
	unregister, err := two.Register(t.Context(), "com.add", nil, func(_ context.Context, in Invocation) (Result, error) {
		switch len(in.Args) {
		case 0:
			return Result{}, errors.New("nothing to add")
		case 1:
			return Result{}, &Error{URI: "com.app.lonely", Args: in.Args}
		}
		return Result{Args: []any{in.Args[0].(int64) + in.Args[1].(int64)}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := one.Call(t.Context(), "com.add", nil, []any{int64(2), int64(3)}, nil)
	if err != nil || fmt.Sprint(sum.Args) != "[5]" {
		t.Errorf("%+v, %v", sum, err)
	}
	for _, test := range []struct {
		args []any
		uri  string
	}{{nil, "wamp.error.runtime_error"}, {[]any{int64(1)}, "com.app.lonely"}} {
		var e *Error
		if _, err := one.Call(t.Context(), "com.add", nil, test.args, nil); !errors.As(err, &e) || e.URI != test.uri {
			t.Errorf("with %v: %v, want %s", test.args, err, test.uri)
		}
	}
	if err := unregister(t.Context()); err != nil {
		t.Error(err)
	}
	var e *Error
	if _, err := one.Call(t.Context(), "com.add", nil, nil, nil); !errors.As(err, &e) || e.URI != codec.ErrNoSuchProcedure {
		t.Errorf("unregistered: %v", err)
	}
	if _, err := one.Publish(t.Context(), "wamp.reserved", nil, nil, nil); !errors.As(err, &e) || e.URI != codec.ErrInvalidURI {
		t.Errorf("reserved topic: %v", err)
	}
	select {
	case e := <-heard:
		t.Errorf("after unsubscribing: %+v", e)
	default:
	}
}

// TestEmbedCancel: who gives up a call gets its error at once, and the callee's context ends.
func TestEmbedCancel(t *testing.T) {
	r, w := running(t, 2, Config{})
	one, two := embed(t, r), embed(t, r)
	started, ended := make(chan struct{}), make(chan struct{})
	if _, err := two.Register(t.Context(), "p", nil, func(ctx context.Context, _ Invocation) (Result, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return Result{}, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	if _, err := one.Call(ctx, "p", nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	<-ended
	w.Settle()
	for deadline := time.Now().Add(5 * time.Second); r.Stats().OpenCalls != 0; {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r.Stats())
		}
	}
}

// TestEmbedEnds: Close, a kill and the end of the realm wake everybody who waits for an answer.
func TestEmbedEnds(t *testing.T) {
	for name, end := range map[string]func(r *Router, c *Client) error{
		"close": func(_ *Router, c *Client) error { return c.Close() },
		"kill":  func(r *Router, c *Client) error { return r.Kill(context.Background(), c.ID(), "", "") },
		"realm": func(r *Router, _ *Client) error { return r.CloseRealm(context.Background(), "realm1") },
	} {
		t.Run(name, func(t *testing.T) {
			r, w := running(t, 2, Config{GoodbyeTimeout: time.Nanosecond})
			one, two := embed(t, r), embed(t, r)
			started := make(chan struct{})
			if _, err := two.Register(t.Context(), "p", nil, func(ctx context.Context, _ Invocation) (Result, error) {
				close(started)
				<-ctx.Done()
				return Result{}, ctx.Err()
			}); err != nil {
				t.Fatal(err)
			}
			failed := make(chan error)
			go func() {
				_, err := one.Call(t.Context(), "p", nil, nil, nil)
				failed <- err
			}()
			<-started
			if err := end(r, one); err != nil {
				t.Fatal(err)
			}
			w.Advance(time.Second)
			var e *Error // the router's GOODBYE comes behind the answers to open calls
			if err := <-failed; name == "close" && !errors.Is(err, ErrLeft) || name != "close" && (!errors.As(err, &e) || e.URI != codec.ErrCanceled) {
				t.Errorf("the call: %v", err)
			}
			<-one.Done()
			if _, err := one.Publish(t.Context(), "t", nil, nil, nil); !errors.Is(err, ErrLeft) {
				t.Errorf("publish afterwards: %v", err)
			}
		})
	}
}

// TestLocalBacklog: a local session that leaves too much unread gets no invocations, and loses its events together
// with its session, as any other would.
func TestLocalBacklog(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller := b.join(0)
	conn := b.local(0)
	b.say(conn, codec.Register, 1, values{}, "p")
	b.say(conn, codec.Subscribe, 2, values{}, "t")
	conn.unread.Store(localBacklogMax)
	caller.say(codec.Call, 1, values{}, "p")
	caller.refused(codec.Call, 1, codec.ErrNetworkFailure)
	conn.unread.Store(localBacklogMax - 1)
	caller.say(codec.Call, 2, values{}, "p")
	caller.silent() // it was invoked
	caller.say(codec.Publish, 3, values{}, "t")
	if !conn.over {
		t.Error("an event beyond the bound was taken")
	}
	caller.refused(codec.Call, 2, codec.ErrCanceled)
	nothingLeftOf(t, b, 1)
}
