package client

import (
	"context"
	"errors"

	"banyan/codec"
)

// A pending request waits for its final answer.
type pending struct {
	kind     codec.Type    // the request's type
	progress func(*Result) // CALL with receive_progress; receiving goroutine
	// accept runs on the receiving goroutine before the next message is looked at: a handler is in place before its
	// first EVENT.
	accept func(*codec.Message)
	reply  chan struct{}

	result Result // of CALL
	id     uint64 // of the others
	err    error
}

// answer ends the wait; m is nil when err is set.
func (p *pending) answer(m *codec.Message, err error) {
	if err == nil {
		p.id = m.ID
		if m.Type == codec.Result {
			err = p.result.read(m)
		}
		if err == nil && p.accept != nil {
			p.accept(m)
		}
	}
	p.err = err
	close(p.reply)
}

// settle gives an answer to the request it answers. Receiving goroutine only.
func (s *Session) settle(m *codec.Message, kind codec.Type) error {
	progressive := m.Type == codec.Result && m.Options.Bool(codec.KeyProgress, false)
	s.lock.Lock()
	p := s.pending[m.Request]
	if p != nil && p.kind == kind && !progressive {
		delete(s.pending, m.Request)
	}
	s.lock.Unlock()
	switch {
	case p == nil || p.kind != kind:
		return protocolErrorf("message type %d for request %d, which is not pending", m.Type, m.Request)
	case progressive && p.progress == nil:
		return protocolErrorf("a progressive RESULT for a call that did not ask for it")
	case progressive:
		r := &Result{}
		if err := r.read(m); err != nil {
			return err
		}
		p.progress(r)
	case m.Type == codec.Error:
		e, err := newError(m)
		if err != nil {
			p.answer(nil, err) // it is pending no longer, so the end of the session does not answer it
			return err
		}
		p.answer(nil, e)
	default:
		p.answer(m, nil)
	}
	return nil
}

// newError reads an ERROR.
func newError(m *codec.Message) (*Error, error) {
	v, err := decodeValues(&m.Payload)
	if err != nil {
		return nil, err
	}
	details, err := dict(m)
	if err != nil {
		return nil, err
	}
	return &Error{URI: string(m.URI), Details: details, Values: v}, nil
}

// begin draws a request id, makes p pending when it is not nil, and sends m. The id is drawn and the message queued
// in one section: ids are sequential on the wire.
func (s *Session) begin(m *codec.Message, p *pending) (uint64, error) {
	s.lock.Lock()
	if s.err != nil || s.leaving {
		err := s.err
		s.lock.Unlock()
		if err == nil {
			err = ErrClosed
		}
		return 0, err
	}
	s.request++
	m.Request = s.request
	m.Format = s.serializer
	b, err := codec.Append(nil, s.serializer, m)
	if err == nil {
		err = s.tooLong(len(b))
	}
	if err != nil {
		s.request--
		s.lock.Unlock()
		return 0, err
	}
	if p != nil {
		p.kind = m.Type
		p.reply = make(chan struct{})
		s.pending[m.Request] = p
	}
	s.Queue(b)
	s.lock.Unlock()
	if err := s.FlushAndWait(); err != nil {
		return 0, s.reason(err)
	}
	return m.Request, nil
}

// reason is why the session ended, for a request whose write found the connection closed: the answer to it may have
// ended the session before its writer looked again.
func (s *Session) reason(err error) error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if errors.Is(err, ErrClosed) && s.err != nil {
		return s.err
	}
	return err
}

// roundTrip sends m, waits for its answer and returns the id in it.
func (s *Session) roundTrip(ctx context.Context, m *codec.Message, p *pending) (id uint64, err error) {
	if _, err := s.begin(m, p); err != nil {
		return 0, err
	}
	select {
	case <-p.reply:
		return p.id, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A Topic is how a SUBSCRIBE or REGISTER matches; the zero value is exact.
type Topic struct {
	URI   string
	Match string // "", "exact", "prefix" or "wildcard"
}

// An Event is a received EVENT.
type Event struct {
	Subscription uint64
	Publication  uint64
	Details      map[string]any
	Values
}

func newEvent(m *codec.Message) (*Event, error) {
	details, err := dict(m)
	if err != nil {
		return nil, err
	}
	v, err := decodeValues(&m.Payload)
	if err != nil {
		return nil, err
	}
	return &Event{Subscription: m.ID, Publication: m.Publication, Details: details, Values: v}, nil
}

// Subscribe subscribes and has handler called for every event, on the receiving goroutine: it must not wait for the
// session. It returns the subscription's id.
func (s *Session) Subscribe(ctx context.Context, t Topic, options map[string]any,
	handler func(*Event),
) (uint64, error) {
	return enter(ctx, s, codec.Subscribe, t, options, s.subscriptions, handler)
}

// Unsubscribe ends a subscription. Events that cross the request still reach the handler.
func (s *Session) Unsubscribe(ctx context.Context, subscription uint64) error {
	return leave(ctx, s, codec.Unsubscribe, subscription, s.subscriptions)
}

// enter subscribes or registers, and puts the handler into handlers under the id that the router answers with, which
// it returns. The receiving goroutine reads handlers under the session's lock.
func enter[H any](ctx context.Context, s *Session, request codec.Type, t Topic, options map[string]any,
	handlers map[uint64]H, handler H,
) (uint64, error) {
	dict, err := encodeDict(s.serializer, withMatch(options, t.Match))
	if err != nil {
		return 0, err
	}
	return s.roundTrip(ctx, &codec.Message{Type: request, URI: []byte(t.URI), Dict: dict}, &pending{
		accept: func(m *codec.Message) {
			s.lock.Lock()
			handlers[m.ID] = handler
			s.lock.Unlock()
		},
	})
}

// leave undoes enter.
func leave[H any](ctx context.Context, s *Session, request codec.Type, id uint64, handlers map[uint64]H) error {
	_, err := s.roundTrip(ctx, &codec.Message{Type: request, ID: id}, &pending{
		accept: func(*codec.Message) {
			s.lock.Lock()
			delete(handlers, id)
			s.lock.Unlock()
		},
	})
	return err
}

// Publish publishes. With options["acknowledge"] true it waits for the router's answer and returns the publication
// id, else 0.
func (s *Session) Publish(ctx context.Context, topic string, options map[string]any, v Values) (uint64, error) {
	dict, err := encodeDict(s.serializer, options)
	if err != nil {
		return 0, err
	}
	payload, err := v.encode(s.serializer)
	if err != nil {
		return 0, err
	}
	m := &codec.Message{Type: codec.Publish, URI: []byte(topic), Dict: dict, Payload: payload}
	if options["acknowledge"] != true {
		_, err = s.begin(m, nil)
		return 0, err
	}
	return s.roundTrip(ctx, m, &pending{})
}

// A Result is a RESULT.
type Result struct {
	Details map[string]any
	Values
}

func (r *Result) read(m *codec.Message) (err error) {
	if r.Details, err = dict(m); err != nil {
		return err
	}
	r.Values, err = decodeValues(&m.Payload)
	return err
}

// Call calls a procedure. progress, when not nil, asks for progressive results and gets them on the receiving
// goroutine. When ctx ends the call is canceled (mode killnowait) and ctx's error returned. An ERROR is an *Error.
func (s *Session) Call(ctx context.Context, procedure string, options map[string]any, v Values,
	progress func(*Result),
) (*Result, error) {
	if progress != nil {
		options = withOption(options, "receive_progress", true)
	}
	dict, err := encodeDict(s.serializer, options)
	if err != nil {
		return nil, err
	}
	payload, err := v.encode(s.serializer)
	if err != nil {
		return nil, err
	}
	p := &pending{progress: progress}
	request, err := s.begin(&codec.Message{Type: codec.Call, URI: []byte(procedure), Dict: dict, Payload: payload}, p)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.reply:
	case <-ctx.Done():
		if err := s.cancel(request); err != nil {
			return nil, err
		}
		return nil, ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	return &p.result, nil
}

// cancel gives up a call: its answer is still taken off the wire, and dropped.
func (s *Session) cancel(request uint64) error {
	s.lock.Lock()
	live := s.pending[request] != nil && s.err == nil
	s.lock.Unlock()
	if !live {
		return nil
	}
	b, err := codec.Append(nil, s.serializer, &codec.Message{
		Type: codec.Cancel, Format: s.serializer,
		Request: request,
	})
	if err != nil {
		return err
	}
	return s.Send(b)
}

func withMatch(options map[string]any, match string) map[string]any {
	if match == "" || match == "exact" {
		return options
	}
	return withOption(options, "match", match)
}

// withOption returns options with one more key; the caller's map stays as it is.
func withOption(options map[string]any, key string, value any) map[string]any {
	o := make(map[string]any, len(options)+1)
	for k, v := range options {
		o[k] = v
	}
	o[key] = value
	return o
}
