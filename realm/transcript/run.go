package transcript

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"banyan/codec"
)

// A Peer is one connection to the router under test.
type Peer interface {
	// Serializer is what messages on the connection are encoded in.
	Serializer() codec.Serializer
	// Send sends one encoded message.
	Send(msg []byte) error
	// Receive returns the next message; nil and no error when none came within wait; io.EOF when the router closed
	// the connection.
	Receive(wait time.Duration) ([]byte, error)
	// Close drops the connection.
	Close() error
}

// T is the part of *testing.T that Run needs.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

const (
	// patience is how long Run waits for a message that must come.
	patience = 10 * time.Second
	// quiet is how long nothing may come for a peer to count as silent.
	quiet = 60 * time.Millisecond
)

// Features is what a peer announces that joins by itself: every feature a router may gate on.
var Features = map[string]any{
	"publisher": features("publisher_identification", "subscriber_blackwhite_listing", "publisher_exclusion",
		"payload_passthru_mode"),
	"subscriber": features("publisher_identification", "pattern_based_subscription", "subscription_revocation",
		"payload_passthru_mode"),
	"caller": features("progressive_call_results", "call_timeout", "call_canceling", "caller_identification",
		"progressive_call_invocations", "payload_passthru_mode"),
	"callee": features("progressive_call_results", "call_timeout", "call_canceling", "caller_identification",
		"pattern_based_registration", "shared_registration", "registration_revocation",
		"progressive_call_invocations", "payload_passthru_mode"),
}

// features is a role that announces these.
func features(names ...string) map[string]any {
	all := map[string]any{}
	for _, name := range names {
		all[name] = true
	}
	return map[string]any{"features": all}
}

// Run plays s. dial connects a peer whenever the script needs one; Run closes what it dialed.
func Run(t T, s Script, dial func(name string) Peer) {
	t.Helper()
	r := runner{dial: dial, peers: map[string]Peer{}, bound: map[string]any{}}
	defer func() {
		for _, p := range r.peers {
			_ = p.Close() // the router may have closed it
		}
	}()
	for _, l := range s.lines {
		if err := r.play(l); err != nil {
			t.Fatalf("%s: %s, line %d: %s: %v", s.File, s.Name, l.number, l.text, err)
		}
	}
}

type runner struct {
	dial  func(name string) Peer
	peers map[string]Peer
	bound map[string]any
}

func (r *runner) play(l line) error {
	p := r.peers[l.peer]
	if p == nil {
		p = r.dial(l.peer)
		r.peers[l.peer] = p
		if l.verb != opens {
			if err := r.join(l.peer, p); err != nil {
				return fmt.Errorf("joining: %w", err)
			}
		}
	}
	switch l.verb {
	case opens:
		return nil
	case send:
		return r.send(p, l.message)
	case receive:
		return r.receive(p, l.message)
	case raw:
		if l.serializer != serializerName(p.Serializer()) {
			return nil
		}
		return p.Send(l.bytes)
	case silent:
		msg, err := p.Receive(quiet)
		if err != nil {
			return err
		}
		if msg != nil {
			return fmt.Errorf("got %s", show(p, msg))
		}
		return nil
	case closed:
		msg, err := p.Receive(patience)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case msg != nil:
			return fmt.Errorf("got %s", show(p, msg))
		}
		return errors.New("still open")
	case closes:
		delete(r.peers, l.peer)
		return p.Close()
	}
	return errors.New("unknown verb")
}

// join says HELLO with every feature, and binds what WELCOME tells.
func (r *runner) join(name string, p Peer) error {
	if err := r.send(p, []any{int64(codec.Hello), "realm1", map[string]any{"roles": Features}}); err != nil {
		return err
	}
	welcome, err := r.next(p)
	if err != nil {
		return err
	}
	if len(welcome) != 3 || welcome[0] != int64(codec.Welcome) {
		return fmt.Errorf("got %v", welcome)
	}
	r.bound[name] = welcome[1]
	if details, ok := welcome[2].(map[string]any); ok {
		r.bound[name+".authid"], r.bound[name+".authrole"] = details["authid"], details["authrole"]
	}
	return nil
}

func (r *runner) send(p Peer, template []any) error {
	v, err := r.resolve(template)
	if err != nil {
		return err
	}
	msg, err := codec.AppendValue(nil, p.Serializer(), v)
	if err != nil {
		return err
	}
	return p.Send(msg)
}

// resolve replaces the variables in a template by what they are bound to.
func (r *runner) resolve(template any) (any, error) {
	switch t := template.(type) {
	case variable:
		v, ok := r.bound[string(t)]
		if !ok {
			return nil, fmt.Errorf("$%s is not bound", t)
		}
		return v, nil
	case []any:
		out := make([]any, len(t))
		for i, item := range t {
			var err error
			if out[i], err = r.resolve(item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(t))
		for k, item := range t {
			var err error
			if out[k], err = r.resolve(item); err != nil {
				return nil, err
			}
		}
		return out, nil
	case anything, more:
		return nil, errors.New("a message to send has no wildcards")
	}
	return template, nil
}

func (r *runner) next(p Peer) ([]any, error) {
	msg, err := p.Receive(patience)
	if err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, errors.New("nothing came")
	}
	v, err := codec.Value(p.Serializer(), msg)
	if err != nil {
		return nil, fmt.Errorf("undecodable message %x: %w", msg, err)
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("got %v, not a list", v)
	}
	return list, nil
}

func (r *runner) receive(p Peer, template []any) error {
	got, err := r.next(p)
	if err != nil {
		return err
	}
	if !r.match(template, got) {
		return fmt.Errorf("got %v", got)
	}
	return nil
}

// match reports whether got is what the template says, binding its free variables.
func (r *runner) match(template, got any) bool {
	switch t := template.(type) {
	case anything:
		return true
	case variable:
		if v, ok := r.bound[string(t)]; ok {
			return r.match(v, got)
		}
		r.bound[string(t)] = got
		return true
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(t) {
			return false
		}
		for i := range t {
			if !r.match(t[i], list[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		dict, ok := got.(map[string]any)
		if !ok {
			return false
		}
		if _, open := t[moreKey].(more); !open && len(dict) != len(t) {
			return false
		}
		for k, v := range t {
			if k == moreKey {
				continue
			}
			if item, ok := dict[k]; !ok || !r.match(v, item) {
				return false
			}
		}
		return true
	case []byte:
		b, ok := got.([]byte)
		return ok && bytes.Equal(t, b)
	}
	switch got.(type) {
	case []any, map[string]any, []byte:
		return false // not comparable
	}
	return template == got
}

func serializerName(s codec.Serializer) string {
	switch s {
	case codec.JSON:
		return "json"
	case codec.MessagePack:
		return "msgpack"
	case codec.CBOR:
		return "cbor"
	}
	return "unknown"
}

func show(p Peer, msg []byte) string {
	v, err := codec.Value(p.Serializer(), msg)
	if err != nil {
		return fmt.Sprintf("%x", msg)
	}
	return fmt.Sprint(v)
}
