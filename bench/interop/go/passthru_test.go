package interop

import (
	"context"
	"fmt"
	"testing"

	"banyan/bench/interop/peer"
)

// passes is for cases in which nexus opens payloads in passthru mode: over JSON it gets their octets as text, and
// panics.
func passes(library *peer.Library, link peer.Link) bool {
	return library == &peer.Nexus && link.Serializer != "json"
}

// passthruForms are options of messages in passthru mode, as nexus can write and read them.
var passthruForms = []map[string]any{
	{"ppt_scheme": "x_interop", "ppt_serializer": "json"},
	{"ppt_scheme": "mqtt", "ppt_serializer": "msgpack"},
	{"ppt_scheme": "x_interop", "ppt_serializer": "cbor", "ppt_cipher": "x_none", "ppt_keyid": "7"},
	{"ppt_scheme": "wamp", "ppt_serializer": "cbor", "ppt_cipher": "aes256gcm", "ppt_keyid": "the key"},
}

// with returns options with those of a form.
func with(form, options map[string]any) map[string]any {
	all := map[string]any{}
	for _, some := range []map[string]any{form, options} {
		for key, value := range some {
			all[key] = value
		}
	}
	return all
}

// stranger joins with xconn, which has not announced payload_passthru_mode.
func (s *stage) stranger() peer.Session {
	s.t.Helper()
	session, err := peer.Xconn.Join(s.ctx, s.link, s.at, "realm1", peer.Login{})
	s.must(err)
	s.t.Cleanup(func() { _ = session.Leave() })
	return session
}

// passthruCases are about PROTOCOL 12.1.
var passthruCases = []testCase{
	{"PPT-03 PPT-08 an event in passthru mode arrives with its keys, also without the mode", passes, func(
		t *testing.T, s *stage,
	) {
		publisher, subscriber, stranger := s.join(), s.join(), s.stranger()
		var in, raw inbox[peer.Event]
		s.subscribe(subscriber, s.uri("topic"), "", func(e peer.Event) { in.put(e) })
		s.subscribe(stranger, s.uri("topic"), "", func(e peer.Event) { raw.put(e) })
		for n, form := range passthruForms {
			args, kwargs := []any{"secret", n}, map[string]any{"k": "v"}
			s.must(publisher.Publish(s.uri("topic"), args, kwargs, with(form, acknowledge)))
			event, sealed := take(s, &in, n+1)[n], take(s, &raw, n+1)[n]
			s.equal("args", event.Args, args)
			s.equal("kwargs", event.Kwargs, kwargs)
			for key, value := range form {
				s.equal(key, []any{event.Details[key], sealed.Details[key]}, []any{value, value})
			}
			if octets, ok := sealed.Args[0].([]byte); !ok || len(sealed.Args) != 1 || len(octets) == 0 {
				t.Fatal(sealed)
			}
		}
	}},
	{"PPT-01 PPT-02 a call in passthru mode, its result and its error carry their keys", passes, func(t *testing.T,
		s *stage,
	) {
		callee, caller := s.join(), s.join()
		var seen inbox[map[string]any]
		s.register(callee, s.uri("echo"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			seen.put(call.Details)
			form := map[string]any{}
			for _, key := range []string{"ppt_scheme", "ppt_serializer", "ppt_cipher", "ppt_keyid"} {
				if v, found := call.Details[key]; found {
					form[key] = v
				}
			}
			return peer.Reply{Args: call.Args, Kwargs: call.Kwargs, Options: form}
		})
		for n, form := range passthruForms {
			args, kwargs := []any{"secret", n}, map[string]any{"k": "v"}
			reply, err := caller.Call(s.ctx, s.uri("echo"), args, kwargs, with(form, nil), nil)
			s.must(err)
			s.equal("args", reply.Args, args)
			s.equal("kwargs", reply.Kwargs, kwargs)
			details := take(s, &seen, n+1)[n]
			for key, value := range form {
				s.equal(key, details[key], value)
			}
		}
	}},
	// nexus sends the later ones in the open, and tells by the details of each which are in the mode.
	{"RPC-38 PPT-01 the first chunk of a call in chunks carries the keys of passthru mode", passes, func(t *testing.T,
		s *stage,
	) {
		callee, caller := s.join(), s.join()
		const n = 3
		var seen inbox[string]
		s.register(callee, s.uri("sum"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			seen.put(fmt.Sprintf("%v %v %v", inText(call.Args[0]), call.Details["ppt_scheme"], more(call)))
			if more(call) {
				return peer.Reply{Error: peer.Unanswered}
			}
			return peer.Reply{Args: []any{"done"}}
		})
		reply, err := caller.CallStream(s.ctx, s.uri("sum"), with(passthruForms[1], nil), chunks(n), nil)
		s.must(err)
		s.equal("result", reply.Args, []any{"done"})
		s.same(seen.all(), []string{"1 mqtt true", "2 <nil> true", "3 <nil> false"})
	}},
	{"PPT-06 a callee that lacks passthru mode is not invoked in it", passes, func(t *testing.T, s *stage) {
		caller, callee := s.join(), s.stranger()
		called := make(chan struct{}, 1)
		s.register(callee, s.uri("plain"), nil, func(context.Context, peer.Call) peer.Reply {
			called <- struct{}{}
			return peer.Reply{}
		})
		_, err := caller.Call(s.ctx, s.uri("plain"), []any{1}, nil, with(passthruForms[0], nil), nil)
		s.fails(err, "wamp.error.feature_not_supported")
		if len(called) > 0 {
			t.Fatal("it was")
		}
		s.must(s.call(caller, s.uri("plain")))
	}},
	{"PPT-07 a caller that lacks passthru mode gets an error, and its callee lives on", passes, func(t *testing.T,
		s *stage,
	) {
		callee, caller := s.join(), s.stranger()
		s.register(callee, s.uri("sealed"), nil, func(context.Context, peer.Call) peer.Reply {
			return peer.Reply{Args: []any{"secret"}, Options: with(passthruForms[0], nil)}
		})
		s.register(callee, s.uri("fine"), nil, named("alive"))
		s.fails(s.call(caller, s.uri("sealed")), "wamp.error.feature_not_supported")
		if who := s.who(caller, s.uri("fine")); who != "alive" {
			t.Fatal(who)
		}
	}},
	{"PPT-04 PPT-05 passthru mode ends a session that did not announce it", passes, func(t *testing.T, s *stage) {
		for n, use := range []func(peer.Session) error{
			func(who peer.Session) error {
				return who.Publish(s.uri("topic"), []any{[]byte{1}}, nil, with(passthruForms[0], nil))
			},
			func(who peer.Session) error {
				_, err := who.Call(s.ctx, s.uri("none"), []any{[]byte{1}}, nil, with(passthruForms[0], nil), nil)
				if err == nil {
					t.Fatal("a call without a callee was answered")
				}
				return nil
			},
		} {
			who := s.stranger()
			s.must(use(who))
			select {
			case <-who.Done():
			case <-s.ctx.Done():
				t.Fatalf("%d: the session goes on", n)
			}
		}
	}},
}
