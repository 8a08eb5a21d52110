package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"banyan/codec"
)

// closeTimeout bounds how long Close waits for the router's GOODBYE.
const closeTimeout = 2 * time.Second

// A Session is a joined Conn with requests and handlers. Any goroutine may use it. It receives on a goroutine of its
// own, so the Conn's Receive must not be called.
type Session struct {
	*Conn

	// Fixed at WELCOME; any goroutine may read.
	ID      uint64
	Welcome map[string]any // WELCOME.Details

	// Owned by the receiving goroutine.
	dec codec.Decoder
	msg codec.Message

	// Guarded by lock.
	lock          sync.Mutex
	request       uint64
	pending       map[uint64]*pending
	subscriptions map[uint64]func(*Event)
	registrations map[uint64]Handler
	invocations   map[uint64]context.CancelFunc
	idle          *sync.Cond // an invocation was answered or the session ended
	leaving       bool
	err           error

	done     chan struct{}
	handlers sync.WaitGroup // running invocation handlers
}

// Dial connects to url and joins o.Realm. Errors are *ConnectError, *AbortError, and the network's.
func Dial(ctx context.Context, url string, o Options) (*Session, error) {
	c, err := Connect(ctx, url, o)
	if err != nil {
		return nil, err
	}
	s, err := c.Join(ctx, o.Realm, o.Agent)
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// HelloDetails are the details of Join's HELLO: all four roles and every feature of the client.
func HelloDetails(agent string) map[string]any {
	if agent == "" {
		agent = "Banyan client"
	}
	features := func(names ...string) map[string]any {
		f := map[string]any{}
		for _, n := range names {
			f[n] = true
		}
		return map[string]any{"features": f}
	}
	return map[string]any{
		"agent": agent,
		"roles": map[string]any{
			"publisher": features("publisher_exclusion", "publisher_identification",
				"subscriber_blackwhite_listing"),
			"subscriber": features("pattern_based_subscription", "publisher_identification",
				"subscription_revocation"),
			"caller": features("progressive_call_results", "call_canceling", "call_timeout",
				"caller_identification"),
			"callee": features("progressive_call_results", "call_canceling", "caller_identification",
				"pattern_based_registration", "shared_registration", "registration_revocation"),
		},
	}
}

// Hello encodes the HELLO that Join sends if there is no Login.
func (c *Conn) Hello(realm, agent string) ([]byte, error) { return c.hello(realm, agent, "") }

func (c *Conn) hello(realm, agent, nonce string) ([]byte, error) {
	details := HelloDetails(agent)
	c.login.hello(details, nonce)
	dict, err := codec.AppendValue(nil, c.serializer, details)
	if err != nil {
		return nil, err
	}
	return codec.Append(nil, c.serializer, &codec.Message{
		Type: codec.Hello, Format: c.serializer, URI: []byte(realm), Dict: dict,
	})
}

// JoinRaw says HELLO, answers challenges and waits for WELCOME, and leaves the Conn to its owner: loads receive by
// themselves.
func (c *Conn) JoinRaw(ctx context.Context, realm, agent string) (id uint64, welcome map[string]any, err error) {
	if c.nats {
		return 0, nil, errors.New("a NATS server speaks no WAMP")
	}
	nonce := ""
	if c.login != nil {
		nonce = newNonce()
	}
	hello, err := c.hello(realm, agent, nonce)
	if err != nil {
		return 0, nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.net.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			err = ctx.Err()
		}
	}()
	c.Queue(hello)
	b, err := c.Receive()
	if err != nil {
		return 0, nil, fmt.Errorf("join %q: %w", realm, err)
	}
	var d codec.Decoder
	var m codec.Message
	if err := d.Decode(c.serializer, b, &m); err != nil {
		return 0, nil, protocolErrorf("undecodable answer to HELLO: %v", err)
	}
	verifier, err := c.authenticate(&d, &m, nonce)
	if err != nil {
		return 0, nil, err
	}
	details, err := dict(&m)
	if err != nil {
		return 0, nil, err
	}
	switch m.Type {
	case codec.Welcome:
		return m.Request, details, verified(details, verifier)
	case codec.Abort:
		text, _ := details["message"].(string)
		return 0, nil, &AbortError{Reason: string(m.URI), Message: text}
	}
	return 0, nil, protocolErrorf("message type %d as answer to HELLO", m.Type)
}

// Join says HELLO and starts the session.
func (c *Conn) Join(ctx context.Context, realm, agent string) (*Session, error) {
	id, welcome, err := c.JoinRaw(ctx, realm, agent)
	if err != nil {
		return nil, err
	}
	s := &Session{
		Conn: c, ID: id, Welcome: welcome,
		pending:       map[uint64]*pending{},
		subscriptions: map[uint64]func(*Event){},
		registrations: map[uint64]Handler{},
		invocations:   map[uint64]context.CancelFunc{},
		done:          make(chan struct{}),
	}
	s.idle = sync.NewCond(&s.lock)
	go s.receive()
	return s, nil
}

// Done is closed when the session has ended; Err then says why.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err returns why the session ended: *AbortError, *GoodbyeError, *RevokedError, *CloseError, the network's error, or
// ErrClosed after Close.
func (s *Session) Err() error {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.err
}

// Close says GOODBYE, waits briefly for the router's, and closes the transport. Running handlers are canceled and
// waited for.
func (s *Session) Close() error {
	s.lock.Lock()
	already := s.leaving
	s.leaving = true
	ended := s.err != nil
	s.lock.Unlock()
	if !already && !ended {
		bye, err := codec.Append(nil, s.serializer, &codec.Message{
			Type: codec.Goodbye, Format: s.serializer, URI: []byte(codec.CloseCloseRealm),
		})
		if err == nil {
			s.Queue(bye)
			s.Flush()
			select {
			case <-s.done:
			case <-time.After(closeTimeout):
			}
		}
	}
	err := s.Conn.Close()
	<-s.done
	s.handlers.Wait()
	return err
}

// receive is the session's goroutine: decode, dispatch, until the transport ends.
func (s *Session) receive() {
	var err error
	for err == nil {
		var b []byte
		b, err = s.Receive()
		if err != nil {
			break
		}
		if err = s.dec.Decode(s.serializer, b, &s.msg); err != nil {
			err = protocolErrorf("undecodable message: %v", err)
			break
		}
		err = s.dispatch(&s.msg)
	}
	s.lock.Lock()
	if s.leaving || errors.Is(err, ErrClosed) {
		err = ErrClosed
	} else if errors.Is(err, io.EOF) {
		err = errors.New("the router closed the connection")
	}
	s.err = err
	lost := s.pending
	s.pending = nil
	for _, cancel := range s.invocations {
		cancel()
	}
	s.idle.Broadcast()
	s.lock.Unlock()
	for _, p := range lost {
		p.answer(nil, err)
	}
	close(s.done)
	s.Conn.Close()
}

// dispatch handles one message of the router. Receiving goroutine only.
func (s *Session) dispatch(m *codec.Message) error {
	switch m.Type {
	case codec.Event:
		s.lock.Lock()
		handler := s.subscriptions[m.ID]
		s.lock.Unlock()
		if handler == nil {
			return protocolErrorf("an EVENT of subscription %d, which we do not hold", m.ID)
		}
		e, err := newEvent(m)
		if err != nil {
			return err
		}
		handler(e)
		return nil
	case codec.Invocation:
		return s.invoke(m)
	case codec.Interrupt:
		s.lock.Lock()
		cancel := s.invocations[m.Request]
		s.lock.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	case codec.Abort, codec.Goodbye:
		return s.ended(m)
	case codec.Error:
		return s.settle(m, m.RequestType)
	case codec.Published:
		return s.settle(m, codec.Publish)
	case codec.Subscribed:
		return s.settle(m, codec.Subscribe)
	case codec.Unsubscribed:
		if m.Request == 0 {
			return revoked(m, "subscription")
		}
		return s.settle(m, codec.Unsubscribe)
	case codec.Registered:
		return s.settle(m, codec.Register)
	case codec.Unregistered:
		if m.Request == 0 {
			return revoked(m, "registration")
		}
		return s.settle(m, codec.Unregister)
	case codec.Result:
		return s.settle(m, codec.Call)
	}
	return protocolErrorf("message type %d in an established session", m.Type)
}

// revoked is why a session ends from which the router takes something away (PROTOCOL 7.7, 8.14): what it is there for
// does not happen any more.
func revoked(m *codec.Message, what string) error {
	details, err := dict(m)
	if err != nil {
		return err
	}
	reason, _ := details["reason"].(string)
	return &RevokedError{What: what, Reason: reason}
}

// ended handles the two messages with which a router ends a session.
func (s *Session) ended(m *codec.Message) error {
	details, err := dict(m)
	if err != nil {
		return err
	}
	text, _ := details["message"].(string)
	if m.Type == codec.Abort {
		return &AbortError{Reason: string(m.URI), Message: text}
	}
	s.lock.Lock()
	ours := s.leaving
	s.lock.Unlock()
	if ours {
		return ErrClosed
	}
	bye, err := codec.Append(nil, s.serializer, &codec.Message{
		Type: codec.Goodbye, Format: s.serializer, URI: []byte(codec.CloseGoodbyeAndOut),
	})
	if err != nil {
		return err
	}
	s.Queue(bye)
	s.Flush()
	return &GoodbyeError{Reason: string(m.URI), Message: text}
}

// dict decodes m's options or details; nil for an absent dictionary.
func dict(m *codec.Message) (map[string]any, error) {
	if len(m.Dict) == 0 {
		return nil, nil
	}
	v, err := codec.Value(m.Format, m.Dict)
	if err != nil {
		return nil, protocolErrorf("details: %v", err)
	}
	d, ok := v.(map[string]any)
	if !ok {
		return nil, protocolErrorf("details that are no dictionary")
	}
	return d, nil
}
