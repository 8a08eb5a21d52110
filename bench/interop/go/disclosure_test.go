package interop

import (
	"context"
	"testing"

	"banyan/bench/interop/peer"
)

// shows compares the identity in details, under key and its two companions; nobody is who == nil.
func (s *stage) shows(details map[string]any, key string, who peer.Session) {
	s.t.Helper()
	if who == nil {
		for _, name := range []string{key, key + "_authid", key + "_authrole"} {
			if v, found := details[name]; found && v != nil {
				s.t.Fatalf("%s is shown: %v", name, details)
			}
		}
		return
	}
	if s.number(details[key]) != who.ID() || details[key+"_authid"] != who.Identity().AuthID ||
		details[key+"_authrole"] != who.Identity().Role {
		s.t.Fatalf("got %v, want session %d, %v", details, who.ID(), who.Identity())
	}
}

// disclosureCases are about PROTOCOL 7.5 and 8.9.
var disclosureCases = []testCase{
	{"RPC-74 RPC-75 the caller is shown when it asks for it, and only then", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		var seen inbox[map[string]any]
		s.register(callee, s.uri("who"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			seen.put(call.Details)
			return peer.Reply{}
		})
		for i, disclose := range []any{nil, true, false, true, nil} {
			options := map[string]any{"disclose_me": disclose}
			if disclose == nil {
				options = nil
			}
			_, err := caller.Call(s.ctx, s.uri("who"), nil, nil, options, nil)
			s.must(err)
			who := caller
			if disclose != true {
				who = nil
			}
			s.shows(take(s, &seen, i+1)[i], "caller", who)
		}
	}},
	{"RPC-77 a callee with disclose_caller is told of every caller", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		var seen inbox[map[string]any]
		s.register(callee, s.uri("who"), map[string]any{"disclose_caller": true}, func(_ context.Context,
			call peer.Call,
		) peer.Reply {
			seen.put(call.Details)
			return peer.Reply{}
		})
		s.must(s.call(caller, s.uri("who")))
		s.shows(take(s, &seen, 1)[0], "caller", caller)
	}},
	{"PUB-22 PUB-23 PUB-27 the publisher is shown if it asks, and only then", nil, func(t *testing.T, s *stage) {
		publisher, exact, pattern := s.join(), s.join(), s.join()
		var seen, seenByPattern inbox[map[string]any]
		s.subscribe(exact, s.uri("topic"), "", func(e peer.Event) { seen.put(e.Details) })
		s.subscribe(pattern, s.base, "prefix", func(e peer.Event) { seenByPattern.put(e.Details) })
		for i, disclose := range []bool{true, false, true} {
			options := map[string]any{"disclose_me": disclose, "acknowledge": true}
			s.must(publisher.Publish(s.uri("topic"), nil, nil, options))
			who := publisher
			if !disclose {
				who = nil
			}
			s.shows(take(s, &seen, i+1)[i], "publisher", who)
			s.shows(take(s, &seenByPattern, i+1)[i], "publisher", who)
		}
	}},
}
