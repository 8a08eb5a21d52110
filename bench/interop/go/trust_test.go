package interop

import (
	"context"
	"testing"

	"banyan/bench/interop/peer"
)

// trustCases are about trust levels. PROTOCOL 7.10, 8.15. configured.yaml gives 0 to low, 7 to high, none to others.
var trustCases = []testCase{
	{"PUB-30 RPC-80 events and calls tell the trust level that the permission gives their sender", nil, func(
		t *testing.T, s *stage,
	) {
		realm := "interop.trust." + s.base
		sender, receiver := s.joinRealm(peer.Configured(), realm), s.joinRealm(peer.Configured(), realm)
		var events, calls inbox[map[string]any]
		for n, name := range []string{"low", "high", "plain"} {
			s.subscribe(receiver, s.uri(name), "", func(e peer.Event) { events.put(e.Details) })
			s.register(receiver, s.uri(name), nil, func(_ context.Context, call peer.Call) peer.Reply {
				calls.put(call.Details)
				return peer.Reply{}
			})
			s.publish(sender, s.uri(name), 1)
			s.must(s.call(sender, s.uri(name)))
			for what, details := range map[string]map[string]any{
				"event": take(s, &events, n+1)[n], "call": take(s, &calls, n+1)[n],
			} {
				level, told := details["trustlevel"]
				if name == "plain" {
					if told {
						t.Errorf("%s of a sender without a level: %v", what, details)
					}
					continue
				}
				if !told || s.number(level) != map[string]uint64{"low": 0, "high": 7}[name] {
					t.Errorf("%s of %s: %v", what, name, details)
				}
			}
		}
	}},
}
