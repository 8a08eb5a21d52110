package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"banyan/codec"
)

// A scripted router: the test answers every message itself.
type scripted struct {
	*fake
	dec codec.Decoder
	msg codec.Message
}

// joined connects a session to a scripted router.
func joined(t *testing.T) (*Session, *scripted) {
	t.Helper()
	c, st := pair(t, "ws", Options{})
	r := &scripted{fake: st}
	welcome := make(chan struct{})
	go func() {
		defer close(welcome)
		if m := r.expect(codec.Hello); m == nil || string(m.URI) != "realm1" {
			t.Errorf("HELLO for %q", m.URI)
		}
		r.send(codec.AppendWelcome(nil, codec.MessagePack, 4711, &codec.WelcomeDetails{Realm: "realm1"},
			&codec.WelcomeIdentity{AuthRole: "anonymous"}))
	}()
	s, err := c.Join(t.Context(), "realm1", "")
	<-welcome
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Time{})
	t.Cleanup(func() { st.conn.Close(); s.Close() })
	return s, r
}

// expect reads one message. It is called by the test's helpers on goroutines, hence no Fatal.
func (r *scripted) expect(want codec.Type) *codec.Message {
	f := r.frame()
	if err := r.dec.Decode(codec.MessagePack, f.Payload, &r.msg); err != nil {
		r.t.Errorf("the client sent an invalid message: %v", err)
	} else if r.msg.Type != want {
		r.t.Errorf("the client sent message type %d, want %d", r.msg.Type, want)
	}
	return &r.msg
}

func (r *scripted) send(msgs ...[]byte) {
	var b []byte
	for _, m := range msgs {
		b = append(b, compiled(ws.NewBinaryFrame(m))...)
	}
	r.write(b)
}

func (r *scripted) sendMessage(m codec.Message) {
	r.t.Helper()
	m.Format = codec.MessagePack
	b, err := codec.Append(nil, codec.MessagePack, &m)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send(b)
}

func value(t *testing.T, v any) []byte {
	t.Helper()
	b, err := codec.AppendValue(nil, codec.MessagePack, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func args(t *testing.T, v ...any) codec.Payload {
	t.Helper()
	return codec.Payload{Format: codec.MessagePack, Args: value(t, v)}
}

// ended waits for the end of the session.
func ended(t *testing.T, s *Session) error {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(testTimeout):
		t.Fatal("the session goes on")
	}
	return s.Err()
}

func TestJoin(t *testing.T) {
	s, _ := joined(t)
	if s.ID != 4711 || s.Welcome["realm"] != "realm1" {
		t.Errorf("session %d, %v", s.ID, s.Welcome)
	}
}

func TestJoinRefused(t *testing.T) {
	c, st := pair(t, "ws", Options{})
	r := &scripted{fake: st}
	go func() {
		r.expect(codec.Hello)
		r.send(codec.AppendAbort(nil, codec.MessagePack, codec.ErrNoSuchRealm, "there is none"))
	}()
	_, err := c.Join(t.Context(), "nowhere", "")
	var abort *AbortError
	if !errors.As(err, &abort) || abort.Reason != codec.ErrNoSuchRealm || abort.Message != "there is none" {
		t.Errorf("got %v", err)
	}
}

func TestJoinGivesUp(t *testing.T) {
	c, _ := pair(t, "ws", Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := c.Join(ctx, "realm1", ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestEventOnTheHeelsOfSubscribed: the handler is there before the message after SUBSCRIBED is looked at.
func TestEventOnTheHeelsOfSubscribed(t *testing.T) {
	s, r := joined(t)
	go func() {
		m := r.expect(codec.Subscribe)
		p := args(t, int64(1))
		event, err := codec.AppendEvent(nil, codec.MessagePack, 7, 8, &codec.Details{Topic: []byte("com.x.y")}, &p,
			codec.MessageBytesMax)
		if err != nil {
			t.Error(err)
		}
		r.send(codec.AppendSubscribed(nil, codec.MessagePack, m.Request, 7), event)
	}()
	events := make(chan *Event, 1)
	id, err := s.Subscribe(t.Context(), Topic{URI: "com.x", Match: "prefix"}, nil, func(e *Event) { events <- e })
	if err != nil || id != 7 {
		t.Fatal(id, err)
	}
	select {
	case e := <-events:
		if e.Subscription != 7 || e.Publication != 8 || e.Details["topic"] != "com.x.y" ||
			fmt.Sprint(e.Args) != "[1]" {
			t.Errorf("got %+v", e)
		}
	case <-s.Done():
		t.Fatal(s.Err())
	}
}

func TestCallAnswers(t *testing.T) {
	s, r := joined(t)
	go func() {
		m := r.expect(codec.Call)
		if !m.Options.Bool(codec.KeyReceiveProgress, false) {
			t.Error("the call did not ask for progress")
		}
		request := m.Request
		r.sendMessage(codec.Message{
			Type: codec.Result, Request: request,
			Dict: value(t, map[string]any{"progress": true}), Payload: args(t, "half"),
		})
		r.sendMessage(codec.Message{Type: codec.Result, Request: request, Payload: args(t, "whole")})
		m = r.expect(codec.Call)
		r.sendMessage(codec.Message{
			Type: codec.Error, RequestType: codec.Call, Request: m.Request, URI: []byte("com.example.broken"),
			Dict: value(t, map[string]any{"k": true}), Payload: args(t, "because"),
		})
	}()
	var progress []any
	got, err := s.Call(t.Context(), "com.x", nil, Values{}, func(r *Result) {
		progress = append(progress, r.Args...)
	})
	if err != nil || fmt.Sprint(progress, got.Args) != "[half] [whole]" {
		t.Errorf("%v %v %v", progress, got, err)
	}
	_, err = s.Call(t.Context(), "com.x", nil, Values{}, nil)
	var answer *Error
	if !errors.As(err, &answer) || answer.URI != "com.example.broken" || answer.Details["k"] != true ||
		fmt.Sprint(answer.Args) != "[because]" {
		t.Errorf("got %v", err)
	}
}

// TestAnswersOfTheWrongKind: the answer to another kind of request with the same number settles nothing: the router
// broke the protocol, and the request learns just that.
func TestAnswersOfTheWrongKind(t *testing.T) {
	for name, answer := range map[string]codec.Message{
		"UNSUBSCRIBED":   {Type: codec.Unsubscribed, Request: 1},
		"REGISTERED":     {Type: codec.Registered, Request: 1, ID: 3},
		"PUBLISHED":      {Type: codec.Published, Request: 1, ID: 3},
		"RESULT":         {Type: codec.Result, Request: 1},
		"ERROR of CALL":  {Type: codec.Error, RequestType: codec.Call, Request: 1, URI: []byte("a.b")},
		"another number": {Type: codec.Subscribed, Request: 2, ID: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := joined(t)
			go func() {
				r.expect(codec.Subscribe)
				r.sendMessage(answer)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			_, err := s.Subscribe(ctx, Topic{URI: "a.b"}, nil, nil)
			var broken *protocolError
			var refused *Error
			if !errors.As(err, &broken) || errors.As(err, &refused) {
				t.Errorf("SUBSCRIBE was settled: %v", err)
			}
			if err := ended(t, s); !errors.As(err, &broken) {
				t.Errorf("the session ended with %v", err)
			}
			// A request whose writer looks only now, when the connection is closed already, learns the same.
			if err := s.reason(ErrClosed); !errors.As(err, &broken) {
				t.Errorf("a request that was late was told %v", err)
			}
		})
	}
}

// TestUnreadableAnswers: an answer that no Go value can hold ends the wait of its request. A dictionary with a list
// as key is well-formed: only reading the arguments fails.
func TestUnreadableAnswers(t *testing.T) {
	unreadable := codec.Payload{Format: codec.MessagePack, Args: []byte{0x91, 0x81, 0x90, 0x01}}
	for name, answer := range map[string]codec.Message{
		"RESULT": {Type: codec.Result, Request: 1, Payload: unreadable},
		"ERROR": {
			Type: codec.Error, RequestType: codec.Call, Request: 1, URI: []byte("a.b"), Payload: unreadable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := joined(t)
			go func() {
				r.expect(codec.Call)
				r.sendMessage(answer)
			}()
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			var broken *protocolError
			if _, err := s.Call(ctx, "com.x", nil, Values{}, nil); !errors.As(err, &broken) {
				t.Errorf("the call got %v", err)
			}
		})
	}
}

// TestCallCanceled: the end of the context sends CANCEL, and the late answer harms nothing.
func TestCallCanceled(t *testing.T) {
	s, r := joined(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		request := r.expect(codec.Call).Request
		cancel()
		if m := r.expect(codec.Cancel); m.Request != request {
			t.Errorf("CANCEL of %d, want %d", m.Request, request)
		}
		r.send(codec.AppendRefusal(nil, codec.MessagePack, codec.Call, request, codec.ErrCanceled, ""))
		m := r.expect(codec.Publish)
		r.send(codec.AppendPublished(nil, codec.MessagePack, m.Request, 99))
	}()
	if _, err := s.Call(ctx, "com.x", nil, Values{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	id, err := s.Publish(t.Context(), "com.x", map[string]any{"acknowledge": true}, Values{})
	if err != nil || id != 99 {
		t.Errorf("after it: %d, %v", id, err)
	}
}

// TestInvocations: answers, errors and interrupts.
func TestInvocations(t *testing.T) {
	s, r := joined(t)
	go func() {
		m := r.expect(codec.Register)
		r.send(codec.AppendRegistered(nil, codec.MessagePack, m.Request, 5))
	}()
	_, err := s.Register(t.Context(), Topic{URI: "com.x"}, nil,
		func(ctx context.Context, call *Invocation) (Values, error) {
			switch call.Args[0] {
			case "fail":
				return Values{}, errors.New("plain")
			case "refuse":
				return Values{}, &Error{URI: "com.example.no", Values: Values{Args: []any{int64(1)}}}
			case "wait":
				<-ctx.Done()
				return Values{}, &Error{URI: codec.ErrCanceled}
			}
			if err := call.Progress(Values{Args: []any{"never asked for"}}); err != nil {
				return Values{}, err
			}
			return call.Values, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	invoke := func(id uint64, arg string) {
		p := args(t, arg)
		b, err := codec.AppendInvocation(nil, codec.MessagePack, id, 5, &codec.Details{}, &p, codec.MessageBytesMax)
		if err != nil {
			t.Fatal(err)
		}
		r.send(b)
	}
	invoke(1, "echo")
	if m := r.expect(codec.Yield); m.Request != 1 || m.Options.Bool(codec.KeyProgress, false) {
		t.Errorf("YIELD %d", m.Request)
	}
	invoke(2, "fail")
	if m := r.expect(codec.Error); m.Request != 2 || string(m.URI) != "wamp.error.runtime_error" {
		t.Errorf("ERROR %d %s", m.Request, m.URI)
	}
	invoke(3, "refuse")
	if m := r.expect(codec.Error); m.Request != 3 || string(m.URI) != "com.example.no" {
		t.Errorf("ERROR %d %s", m.Request, m.URI)
	}
	invoke(4, "wait")
	r.send(codec.AppendInterrupt(nil, codec.MessagePack, 4, codec.Kill))
	if m := r.expect(codec.Error); m.Request != 4 || string(m.URI) != codec.ErrCanceled {
		t.Errorf("ERROR %d %s", m.Request, m.URI)
	}
	s.Drain()
}

// TestBrokenSessions: what a router must not send to this session ends it.
func TestBrokenSessions(t *testing.T) {
	for name, c := range map[string]struct {
		request func(s *Session) // asked first; nil for nothing
		answer  func(r *scripted)
	}{
		"progress that nobody asked for": {
			func(s *Session) { s.Call(t.Context(), "com.x", nil, Values{}, nil) },
			func(r *scripted) {
				m := r.expect(codec.Call)
				r.sendMessage(codec.Message{
					Type: codec.Result, Request: m.Request, Dict: value(t, map[string]any{"progress": true}),
				})
			},
		},
		"an INVOCATION of nothing": {nil, func(r *scripted) {
			r.sendMessage(codec.Message{Type: codec.Invocation, Request: 1, ID: 5})
		}},
		"an EVENT behind UNSUBSCRIBED": {
			func(s *Session) {
				id, err := s.Subscribe(t.Context(), Topic{URI: "com.x"}, nil, func(*Event) {})
				if err != nil || s.Unsubscribe(t.Context(), id) != nil {
					t.Errorf("subscription %d: %v", id, err)
				}
			},
			func(r *scripted) {
				m := r.expect(codec.Subscribe)
				event := codec.Message{Type: codec.Event, ID: 7, Publication: 8}
				r.send(codec.AppendSubscribed(nil, codec.MessagePack, m.Request, 7))
				m = r.expect(codec.Unsubscribe)
				r.sendMessage(event) // crosses the request
				r.send(codec.AppendUnsubscribed(nil, codec.MessagePack, m.Request))
				r.sendMessage(event)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := joined(t)
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				if c.request != nil {
					c.request(s)
				}
			}()
			c.answer(r)
			<-asked
			var broken *protocolError
			if err := ended(t, s); !errors.As(err, &broken) {
				t.Errorf("the session ended with %v", err)
			}
		})
	}
}

// TestNothingIsSent: a call that is over is not canceled, a request that cannot be sent takes no id, and the options
// of the caller stay as they are.
func TestNothingIsSent(t *testing.T) {
	s, r := joined(t)
	s.peerMax = 512
	if err := s.cancel(99); err != nil {
		t.Error(err)
	}
	long := Values{Args: []any{strings.Repeat("a", 512)}}
	if _, err := s.Publish(t.Context(), "com.x", nil, long); err == nil {
		t.Error("a message was sent that is too long for the router")
	}
	options := map[string]any{"k": true}
	go s.Call(t.Context(), "com.x", options, Values{}, func(*Result) {})
	if m := r.expect(codec.Call); m.Request != 1 || !m.Options.Bool(codec.KeyReceiveProgress, false) {
		t.Errorf("the first message is request %d", m.Request)
	}
	if len(options) != 1 {
		t.Errorf("the caller's options are now %v", options)
	}
}

// TestHandlersThatFail: a result that cannot be sent is answered with ERROR, and the end of the session ends the
// handlers' context.
func TestHandlersThatFail(t *testing.T) {
	s, r := joined(t)
	s.peerMax = 512
	go func() {
		m := r.expect(codec.Register)
		r.send(codec.AppendRegistered(nil, codec.MessagePack, m.Request, 5))
	}()
	started, canceled := make(chan struct{}), make(chan struct{})
	_, err := s.Register(t.Context(), Topic{URI: "com.x"}, nil,
		func(ctx context.Context, call *Invocation) (Values, error) {
			if call.Request == 1 {
				return Values{Args: []any{strings.Repeat("a", 512)}}, nil
			}
			close(started)
			<-ctx.Done()
			close(canceled)
			return Values{}, ctx.Err()
		})
	if err != nil {
		t.Fatal(err)
	}
	r.sendMessage(codec.Message{Type: codec.Invocation, Request: 1, ID: 5})
	if m := r.expect(codec.Error); m.Request != 1 || string(m.URI) != "wamp.error.runtime_error" {
		t.Errorf("ERROR %d %s", m.Request, m.URI)
	}
	r.sendMessage(codec.Message{Type: codec.Invocation, Request: 2, ID: 5})
	<-started
	r.conn.Close()
	select {
	case <-canceled:
	case <-time.After(testTimeout):
		t.Fatal("the handler waits on")
	}
}

// TestCloseSaysGoodbye: GOODBYE, its answer, then the close frame; requests afterwards fail.
func TestCloseSaysGoodbye(t *testing.T) {
	s, r := joined(t)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if m := r.expect(codec.Goodbye); string(m.URI) != codec.CloseCloseRealm {
			t.Errorf("GOODBYE %s", m.URI)
		}
		r.send(codec.AppendGoodbye(nil, codec.MessagePack, codec.CloseGoodbyeAndOut, ""))
		if f := r.frame(); f.Header.OpCode != ws.OpClose {
			t.Errorf("after GOODBYE came %v", f.Header.OpCode)
		}
	}()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-closed
	if err := ended(t, s); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Publish(t.Context(), "com.x", nil, Values{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Publish after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestRouterEnds: each way in which a router ends a session has its error, and open requests get it too.
func TestRouterEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *scripted)
		want func(err error) bool
	}{
		"goodbye": {func(r *scripted) {
			r.send(codec.AppendGoodbye(nil, codec.MessagePack, codec.CloseSystemShutdown, "maintenance"))
			if m := r.expect(codec.Goodbye); string(m.URI) != codec.CloseGoodbyeAndOut {
				r.t.Errorf("answered with %s", m.URI)
			}
		}, func(err error) bool {
			var e *GoodbyeError
			return errors.As(err, &e) && e.Reason == codec.CloseSystemShutdown && e.Message == "maintenance"
		}},
		"abort": {func(r *scripted) {
			r.send(codec.AppendAbort(nil, codec.MessagePack, codec.ErrProtocolViolation, "no"))
		}, func(err error) bool {
			var e *AbortError
			return errors.As(err, &e) && e.Reason == codec.ErrProtocolViolation
		}},
		"close frame": {func(r *scripted) {
			r.write(compiled(ws.NewCloseFrame(ws.NewCloseFrameBody(1001, ""))))
		}, func(err error) bool {
			var e *CloseError
			return errors.As(err, &e) && e.Code == 1001
		}},
		"hang up": {func(r *scripted) { r.conn.Close() }, func(err error) bool {
			return err != nil &&
				!errors.Is(err, ErrClosed)
		}},
		"answer to nothing": {func(r *scripted) {
			r.send(codec.AppendPublished(nil, codec.MessagePack, 77, 1))
		}, func(err error) bool {
			var e *protocolError
			return errors.As(err, &e)
		}},
		"event of nothing": {func(r *scripted) {
			r.sendMessage(codec.Message{Type: codec.Event, ID: 3, Publication: 4})
		}, func(err error) bool {
			var e *protocolError
			return errors.As(err, &e)
		}},
		"garbage": {func(r *scripted) { r.send([]byte{0xC1}) }, func(err error) bool {
			var e *protocolError
			return errors.As(err, &e)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, r := joined(t)
			open := make(chan error, 1)
			go func() {
				_, err := s.Call(t.Context(), "com.x", nil, Values{}, nil)
				open <- err
			}()
			r.expect(codec.Call)
			c.end(r)
			if err := ended(t, s); !c.want(err) {
				t.Errorf("Err is %v", err)
			}
			if err := <-open; !c.want(err) {
				t.Errorf("the open call got %v", err)
			}
		})
	}
}

// TestRevoked: what the router takes away ends the session, which says what and why.
func TestRevoked(t *testing.T) {
	for kind, what := range map[codec.Type]string{
		codec.Unsubscribed: "subscription", codec.Unregistered: "registration",
	} {
		for reason, text := range map[string]string{"com.why": " away: com.why", "": " away"} {
			s, r := joined(t)
			details := map[string]any{what: 7}
			if reason != "" {
				details["reason"] = reason
			}
			dict, err := codec.AppendValue(nil, codec.MessagePack, details)
			if err != nil {
				t.Fatal(err)
			}
			r.sendMessage(codec.Message{Type: kind, Format: codec.MessagePack, Dict: dict})
			<-s.Done()
			e, ok := errors.AsType[*RevokedError](s.Err())
			if !ok || e.What != what || e.Error() != "the router has taken a "+what+text {
				t.Errorf("the session ended with %v", s.Err())
			}
		}
	}
}
