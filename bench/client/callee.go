package client

import (
	"context"
	"errors"

	"banyan/codec"
)

// A Handler answers invocations, each on a goroutine of its own. ctx ends when the call is canceled or the session
// ends. An *Error goes to the caller as it is, any other error as wamp.error.runtime_error with its text.
type Handler func(ctx context.Context, call *Invocation) (Values, error)

// An Invocation is a call to answer.
type Invocation struct {
	Request      uint64
	Registration uint64
	Details      map[string]any
	Values

	session *Session
}

// Progress sends a progressive result. It does nothing when the caller did not ask for progress.
func (i *Invocation) Progress(v Values) error {
	if i.Details["receive_progress"] != true {
		return nil
	}
	return i.session.yield(i.Request, map[string]any{"progress": true}, v)
}

// Register registers a procedure and has handler answer its calls. It returns the registration's id.
func (s *Session) Register(ctx context.Context, t Topic, options map[string]any, handler Handler) (uint64, error) {
	return enter(ctx, s, codec.Register, t, options, s.registrations, handler)
}

// Unregister ends a registration; invocations under way are still answered.
func (s *Session) Unregister(ctx context.Context, registration uint64) error {
	return leave(ctx, s, codec.Unregister, registration, s.registrations)
}

// invoke starts the handler of one INVOCATION. Receiving goroutine only.
func (s *Session) invoke(m *codec.Message) error {
	call := &Invocation{Request: m.Request, Registration: m.ID, session: s}
	var err error
	if call.Details, err = dict(m); err != nil {
		return err
	}
	if call.Values, err = decodeValues(&m.Payload); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.lock.Lock()
	handler := s.registrations[m.ID]
	if handler != nil {
		s.invocations[m.Request] = cancel
	}
	s.lock.Unlock()
	if handler == nil {
		cancel()
		return protocolErrorf("an INVOCATION of registration %d, which we do not hold", m.ID)
	}
	s.handlers.Go(func() {
		defer cancel()
		s.run(ctx, call, handler)
	})
	return nil
}

func (s *Session) run(ctx context.Context, call *Invocation, handler Handler) {
	v, err := handler(ctx, call)
	if err == nil {
		err = s.yield(call.Request, nil, v)
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		s.refuse(call.Request, err)
	}
	s.lock.Lock()
	delete(s.invocations, call.Request)
	s.idle.Broadcast()
	s.lock.Unlock()
}

// Drain waits until every invocation that has arrived is answered, or the session has ended.
func (s *Session) Drain() {
	s.lock.Lock()
	defer s.lock.Unlock()
	for len(s.invocations) > 0 && s.err == nil {
		s.idle.Wait()
	}
}

func (s *Session) yield(request uint64, options map[string]any, v Values) error {
	dict, err := encodeDict(s.serializer, options)
	if err != nil {
		return err
	}
	payload, err := v.encode(s.serializer)
	if err != nil {
		return err
	}
	b, err := codec.Append(nil, s.serializer, &codec.Message{
		Type: codec.Yield, Format: s.serializer, Request: request, Dict: dict, Payload: payload,
	})
	if err != nil {
		return err
	}
	return s.Send(b)
}

// refuse answers an invocation with ERROR, unless the connection is gone.
func (s *Session) refuse(request uint64, cause error) {
	var e *Error
	if !errors.As(cause, &e) {
		e = &Error{URI: "wamp.error.runtime_error", Values: Values{Args: []any{cause.Error()}}}
	}
	dict, err := encodeDict(s.serializer, e.Details)
	if err != nil {
		dict = nil
	}
	payload, err := e.encode(s.serializer)
	if err != nil {
		payload = codec.Payload{Format: s.serializer}
	}
	b, err := codec.Append(nil, s.serializer, &codec.Message{
		Type: codec.Error, RequestType: codec.Invocation, Request: request, Format: s.serializer, Dict: dict,
		URI: []byte(e.URI), Payload: payload,
	})
	if err == nil {
		s.Send(b)
	}
}
