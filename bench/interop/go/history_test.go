package interop

import (
	"testing"

	"banyan/bench/interop/peer"
)

const getEvents = "wamp.subscription.get_events"

// historyCases are about events that the router keeps for those who ask. PROTOCOL 7.8. configured.yaml keeps three.
var historyCases = []testCase{
	{"PUB-41 PUB-42 PUB-43 get_events returns what is kept, oldest or latest first", nil, func(
		t *testing.T, s *stage,
	) {
		realm := "interop.history." + s.base
		publisher, reader := s.joinRealm(peer.Configured(), realm), s.joinRealm(peer.Configured(), realm)
		topic := s.uri("topic")
		s.must(publisher.Publish(topic, []any{"first"}, map[string]any{"k": "v"}, acknowledge))
		s.publish(publisher, topic, "second")
		history := s.ask(reader, "wamp.subscription.lookup", "interop.", map[string]any{"match": "prefix"})[0]
		events := func(conditions map[string]any) (all []map[string]any) {
			t.Helper()
			reply, err := reader.Call(s.ctx, getEvents, []any{history}, conditions, nil, nil)
			s.must(err)
			for _, e := range reply.Args {
				all = append(all, s.dict(e))
			}
			return all
		}
		is := func(got []map[string]any, want ...string) {
			t.Helper()
			var all []string
			for _, e := range got {
				all = append(all, inText(e["args"]))
			}
			s.same(all, want)
		}
		got := events(nil)
		is(got, "[first]", "[second]")
		details, subscription := s.dict(got[0]["details"]), s.number(got[0]["subscription"])
		s.equal("event", []any{got[0]["kwargs"], details["topic"], subscription},
			[]any{map[string]any{"k": "v"}, topic, s.number(history)})
		is(events(map[string]any{"reverse": true, "limit": 1}), "[second]")
		is(events(map[string]any{"after_publication": got[0]["publication"]}), "[second]")
		s.publish(publisher, topic, "third")
		s.publish(publisher, topic, "fourth")
		is(events(nil), "[second]", "[third]", "[fourth]")
		secret := map[string]any{"acknowledge": true, "exclude_authid": []string{reader.Identity().AuthID}}
		s.must(publisher.Publish(topic, []any{"not for the reader"}, nil, secret))
		is(events(map[string]any{"topic": topic}), "[third]", "[fourth]")
		is(events(map[string]any{"topic": s.uri("other")}))
		s.refuses(reader, "wamp.error.no_such_subscription", getEvents, []any{1 << 52}, nil)
		s.refuses(reader, invalidArgument, getEvents, []any{history}, map[string]any{"limit": 0})
	}},
}
