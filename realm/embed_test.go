package realm

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"

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
	unregister, err := two.Register(t.Context(), "com.add", nil,
		func(_ context.Context, in Invocation) (Result, error) {
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
	if _, err := one.Call(t.Context(), "com.add", nil, nil, nil); !errors.As(err, &e) ||
		e.URI != codec.ErrNoSuchProcedure {
		t.Errorf("unregistered: %v", err)
	}
	if _, err := one.Publish(t.Context(), "wamp.reserved", nil, nil, nil); !errors.As(err, &e) ||
		e.URI != codec.ErrInvalidURI {
		t.Errorf("reserved topic: %v", err)
	}
	select {
	case e := <-heard:
		t.Errorf("after unsubscribing: %+v", e)
	default:
	}
}

// registerWaiting registers p at c; its handler tells that it has started, and that its context has ended.
func registerWaiting(t *testing.T, c *Client) (started, ended chan struct{}) {
	t.Helper()
	started, ended = make(chan struct{}), make(chan struct{})
	if _, err := c.Register(t.Context(), "p", nil, func(ctx context.Context, _ Invocation) (Result, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return Result{}, ctx.Err()
	}); err != nil {
		t.Fatal(err)
	}
	return started, ended
}

// TestEmbedCancel: who gives up a call gets its error at once, and the callee's context ends.
func TestEmbedCancel(t *testing.T) {
	r, w := running(t, 2, Config{})
	one, two := embed(t, r), embed(t, r)
	started, ended := registerWaiting(t, two)
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
			if err := <-failed; name == "close" && !errors.Is(err, ErrLeft) ||
				name != "close" && (!errors.As(err, &e) || e.URI != codec.ErrCanceled) {
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

// TestLocalBound: the bound of a local session's backlog is exact, for events and for replies.
func TestLocalBound(t *testing.T) {
	b := newBed(t, 1, Config{})
	frame, _ := codec.AppendFrame(nil, localVariant, encodeMessage(t, codec.MessagePack, codec.Event,
		[]any{1, 2, values{}}))
	repliesMax := int64(localBacklogMax + localBacklogMax/4)
	event := func(x port.Executor, c *localConn) { c.AppendRun(x, frame, 1, 0) }
	reply := func(x port.Executor, c *localConn) {
		c.Lock()
		defer c.Unlock()
		if buf, ok := c.Tail(port.Reply); ok {
			c.Commit(x, append(buf, frame...))
		}
	}
	for i, test := range []struct {
		f      func(x port.Executor, c *localConn)
		unread int64
		taken  bool
	}{
		{event, localBacklogMax - int64(len(frame)), true},
		{event, localBacklogMax - int64(len(frame)) + 1, false},
		{reply, repliesMax - 1, true},
		{reply, repliesMax, false},
	} {
		c := b.local(0)
		c.unread.Store(test.unread)
		b.Submit(0, func(x port.Executor) { test.f(x, c) })
		b.Settle()
		b.Submit(0, func(x port.Executor) { event(x, c) }) // the connection looks at its end when it is used again
		if taken := len(b.heard[c]) == 1; taken != test.taken || c.finishing == test.taken {
			t.Errorf("%d: taken %v, ending %v", i, taken, c.finishing)
		}
	}
}

// TestLocalEnds: a local session that ends hears nothing more, and gets its end also while what it sent waits.
func TestLocalEnds(t *testing.T) {
	b := newBed(t, 1, Config{GoodbyeTimeout: time.Second})
	waits := b.local(0)
	b.Submit(0, func(x port.Executor) { waits.Spend(localCredit) })
	b.say(waits, codec.Publish, 1, values{}, "t")
	if err := b.router.kill(waits.handler.session.id, "", "", func(bool) {}); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	b.Advance(2 * time.Second)
	b.Settle()
	if !waits.over {
		t.Error("the session does not end: it has no credit")
	}

	var c *localConn
	heard := 0
	b.Submit(0, func(x port.Executor) {
		c, _ = b.router.openLocal(x, "realm1", codec.Identity{}, func(x port.Executor, _ []byte) {
			heard++
			c.hangUp(x)
		}, func(port.Executor) {})
		for range 2 {
			c.send(x, encodeMessage(t, codec.MessagePack, codec.Call, []any{heard + 1, values{}, "none"}))
		}
	})
	b.Settle()
	if heard != 1 {
		t.Errorf("%d messages heard, want 1", heard)
	}
}

// TestLocalKeeps: the bytes of a message that has to wait are the session's, not the sender's.
func TestLocalKeeps(t *testing.T) {
	b := newBed(t, 1, Config{})
	c, hears := b.local(0), b.joinAs(0, codec.MessagePack, 1<<24)
	hears.subscribe(1, "t")
	msg := encodeMessage(t, codec.MessagePack, codec.Publish, []any{1, values{}, "t", []any{large}})
	b.Submit(0, func(x port.Executor) {
		c.send(x, msg)
		clear(msg)
	})
	b.Settle()
	hears.expect(codec.Event, nil, nil, values{}, []any{large})
}

// TestEmbedLeavesNothing: requests, subscriptions, registrations and invocations that have ended are forgotten, and
// whatever was heard is no backlog any more.
func TestEmbedLeavesNothing(t *testing.T) {
	r, _ := running(t, 2, Config{})
	c := embed(t, r)
	heard := make(chan Event)
	var unread int64
	unsubscribe, err := c.Subscribe(t.Context(), "t", nil, func(e Event) {
		unread = c.conn.unread.Load()
		heard <- e
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Publish(t.Context(), "t", values{"exclude_me": false}, nil, values{"only": "kwargs"}); err != nil {
		t.Fatal(err)
	}
	if e := <-heard; e.Kwargs["only"] != "kwargs" || unread == 0 {
		t.Errorf("%+v, with %d octets unread", e, unread)
	}
	unregister, err := c.Register(t.Context(), "p", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := c.Call(t.Context(), "p", nil, nil, nil); !errors.As(err, &e) || e.URI != codec.ErrNoSuchProcedure {
		t.Errorf("no handler: %v", err)
	}
	if _, err := c.Publish(t.Context(), "t", nil, []any{make(chan int)}, nil); err == nil {
		t.Error("a channel was published")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, end := range []func(context.Context) error{unsubscribe, unregister} {
		if err := end(over); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if _, err := c.Call(t.Context(), "p", nil, nil, nil); err == nil { // its answer comes behind the others
		t.Error("p is registered still")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.pending) + len(c.events) + len(c.handlers) + len(c.calls) + int(c.conn.unread.Load())
	}
	// an invocation may be ending still
	for deadline := time.Now().Add(5 * time.Second); left() != 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("left: %v %v %v %v, %d octets", c.pending, c.events, c.handlers, c.calls, c.conn.unread.Load())
		}
	}
}

// TestEmbedContexts: the contexts of a callee's handlers end with its session.
func TestEmbedContexts(t *testing.T) {
	r, _ := running(t, 1, Config{})
	one, two := embed(t, r), embed(t, r)
	started, ended := registerWaiting(t, two)
	go func() { <-started; _ = two.Close() }()
	var e *Error
	if _, err := one.Call(t.Context(), "p", nil, nil, nil); !errors.As(err, &e) || e.URI != codec.ErrCanceled {
		t.Errorf("the callee left: %v", err)
	}
	<-ended
}

// TestEmbedJoinGivenUp: a session that nobody waits for any more ends.
func TestEmbedJoinGivenUp(t *testing.T) {
	b := newBed(t, 1, Config{})
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.router.Join(over, ClientConfig{Realm: "realm1"}); !errors.Is(err, context.Canceled) {
		t.Fatalf("joined: %v", err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		b.Settle()
		if s := b.router.Stats(); s.Joined == 1 && s.Sessions == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", b.router.Stats())
		}
		runtime.Gosched()
	}
}

// TestErrorText: an Error says its URI, and the first of its arguments.
func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"com.error":      {URI: "com.error", Kwargs: values{"k": 1}},
		"com.error: one": {URI: "com.error", Args: []any{"one", "two"}},
	} {
		if e.Error() != want {
			t.Errorf("%q, want %q", e.Error(), want)
		}
	}
}

// submits is a port.Loops of one loop that runs nothing.
type submits func()

func (submits) Len() int { return 1 }

func (f submits) Submit(int, func(x port.Executor)) bool {
	f()
	return true
}

// TestEmbedAnswerFirst: an answer that came before the end of the session, or of the context, is the answer: what it
// says has happened.
func TestEmbedAnswerFirst(t *testing.T) {
	for range 100 { // a select that has two cases chooses
		r, err := New(Config{Realms: []RealmConfig{{URI: "realm1"}}})
		if err != nil {
			t.Fatal(err)
		}
		c := &Client{router: r, conn: &localConn{}, done: make(chan struct{}), pending: map[uint64]*request{}}
		answer := func() { c.receive([]any{int64(codec.Subscribed), int64(c.last), int64(7)}) }
		ended, cancel := context.WithCancel(t.Context())
		for name, f := range map[string]submits{
			"context": func() { answer(); cancel() },
			"session": func() { answer(); close(c.done) },
		} {
			if err := r.Attach(f); err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if name == "context" {
				ctx = ended
			}
			if got, err := c.ask(ctx, codec.Subscribe, nil, nil, nil, &request{}); err != nil || id(got, 2) != 7 {
				t.Fatalf("end of the %s: %v, %v", name, got, err)
			}
		}
	}
}

// TestEmbedGivenUp: a subscription or registration whose context has ended before its answer came is undone when it
// comes.
func TestEmbedGivenUp(t *testing.T) {
	r, _ := running(t, 1, Config{})
	c := embed(t, r)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	goOn := make(chan struct{})
	if err := r.submit(0, func(port.Executor) { <-goOn }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(over, "t", nil, func(Event) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("subscribed: %v", err)
	}
	if _, err := c.Register(over, "p", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("registered: %v", err)
	}
	close(goOn)
	if _, err := c.Publish(t.Context(), "t", nil, nil, nil); err != nil { // its answer comes behind the others
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
		s := r.Stats()
		if s.Subscriptions+s.Registrations == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %+v", s)
		}
	}
}
