package interop

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/gammazero/nexus/v3/wamp"

	"banyan/bench/interop/peer"
)

// text renders the arguments of an event for comparing where number types do not matter.
func text(e peer.Event) string {
	rendered := fmt.Sprint(e.Args)
	for _, key := range slices.Sorted(maps.Keys(e.Kwargs)) {
		rendered += fmt.Sprintf(" %s=%v", key, e.Kwargs[key])
	}
	return rendered
}

func texts(in *inbox[string]) func(peer.Event) { return func(e peer.Event) { in.put(text(e)) } }

// same compares events; the order counts unless the library starts a goroutine for each event.
func (s *stage) same(got, want []string) {
	s.t.Helper()
	if !s.library.InOrder {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	}
	if !reflect.DeepEqual(got, want) {
		s.t.Fatalf("got %.500q, want %.500q", got, want)
	}
}

// pubsubCases are about PROTOCOL 7.
var pubsubCases = []testCase{
	{"PUB-01 PUB-28 an event carries args and kwargs to every subscriber, once", nil, func(t *testing.T, s *stage) {
		publisher := s.join()
		var inboxes [5]inbox[string]
		for i := range inboxes {
			s.subscribe(s.join(), s.uri("news"), "", texts(&inboxes[i]))
		}
		s.must(publisher.Publish(s.uri("news"), []any{"first", 2}, map[string]any{"three": 3}, nil))
		s.must(publisher.Publish(s.uri("news"), []any{"second"}, nil, acknowledge))
		for i := range inboxes {
			s.same(take(s, &inboxes[i], 2), []string{"[first 2] three=3", "[second]"})
		}
	}},
	{"PUB-03 an acknowledged publish to nobody is acknowledged", nil, func(t *testing.T, s *stage) {
		s.publish(s.join(), s.uri("nobody"), 1)
	}},
	{"ID-12 one publication id for all subscriptions it matches", nexusOnly, func(t *testing.T, s *stage) {
		publisher, subscriber := s.join(), s.join()
		var ids inbox[uint64]
		s.subscribe(subscriber, s.uri("a.b"), "", func(e peer.Event) { ids.put(e.Publication) })
		s.subscribe(subscriber, s.uri("a"), "prefix", func(e peer.Event) { ids.put(e.Publication) })
		s.publish(publisher, s.uri("a.b"))
		if got := take(s, &ids, 2); got[0] != got[1] || got[0] == 0 {
			t.Fatal(got)
		}
	}},
	{
		"SUB-10 SUB-11 SUB-12 exact, prefix and wildcard get one event each, patterns with the topic", nil,
		func(t *testing.T, s *stage) {
			publisher, subscriber := s.join(), s.join()
			want := map[string][]string{
				"exact":    {"a.b.c@", "a.b.c@"},
				"prefix":   {"a.b.c@" + s.uri("a.b.c"), "a.bee@" + s.uri("a.bee"), "a.b.c@" + s.uri("a.b.c")},
				"wildcard": {"a.b.c@" + s.uri("a.b.c"), "a.x.c@" + s.uri("a.x.c"), "a.b.c@" + s.uri("a.b.c")},
			}
			inboxes := map[string]*inbox[string]{}
			for match, pattern := range map[string]string{"exact": "a.b.c", "prefix": "a.b", "wildcard": "a..c"} {
				in := &inbox[string]{}
				inboxes[match] = in
				s.subscribe(subscriber, s.uri(pattern), match, func(e peer.Event) {
					in.put(fmt.Sprint(e.Args[0], "@", e.Topic))
				})
			}
			for _, name := range []string{"a.b.c", "a.bee", "a.x.c", "a.x", "a.x.c.d", "z.b.c", "a.b.c"} {
				s.publish(publisher, s.uri(name), name)
			}
			for match, in := range inboxes {
				s.same(take(s, in, len(want[match])), want[match])
			}
		},
	},
	{"PUB-07 PUB-08 the publisher hears itself only with exclude_me false", nil, func(t *testing.T, s *stage) {
		a, b := s.join(), s.join()
		var events inbox[string]
		s.subscribe(a, s.uri("topic"), "", texts(&events))
		s.publish(a, s.uri("topic"), "not this")
		s.must(a.Publish(s.uri("topic"), []any{"mine"}, nil,
			map[string]any{"acknowledge": true, "exclude_me": false}))
		s.publish(b, s.uri("topic"), "yours")
		s.same(take(s, &events, 2), []string{"[mine]", "[yours]"})
	}},
	{
		"SUB-03 SUB-07 SUB-14 after UNSUBSCRIBED no event comes; others go on; subscribing anew works", nil,
		func(t *testing.T, s *stage) {
			publisher, a, b := s.join(), s.join(), s.join()
			var inA, inB, again inbox[string]
			unsubscribe := s.subscribe(a, s.uri("topic"), "", texts(&inA))
			s.subscribe(b, s.uri("topic"), "", texts(&inB))
			s.publish(publisher, s.uri("topic"), 1)
			take(s, &inA, 1)
			s.must(unsubscribe())
			s.publish(publisher, s.uri("topic"), 2)
			take(s, &inB, 2)
			s.subscribe(a, s.uri("topic"), "", texts(&again))
			s.publish(publisher, s.uri("topic"), 3)
			s.same(take(s, &again, 1), []string{"[3]"})
			s.same(inA.all(), []string{"[1]"})
		},
	},
	{
		"URI-02 URI-03 URI-25 PUB-05 invalid and reserved topics are refused, the session lives on", nil,
		func(t *testing.T, s *stage) {
			a := s.join()
			for _, topic := range []string{"com..a", "com.", "com.with space", "com.#"} {
				_, err := a.Subscribe(topic, "", func(peer.Event) {})
				s.fails(err, "wamp.error.invalid_uri")
				s.fails(a.Publish(topic, nil, nil, map[string]any{"acknowledge": true}), "wamp.error.invalid_uri")
				s.must(a.Publish(topic, nil, nil, nil))
			}
			s.fails(a.Publish("wamp.session.on_join", nil, nil, map[string]any{"acknowledge": true}),
				"wamp.error.invalid_uri")
			s.publish(a, s.uri("alive"))
		},
	},
	{"ORD-01 2 000 events over four topics arrive, in the order published", nil, func(t *testing.T, s *stage) {
		publisher, subscriber := s.join(), s.join()
		var exact, all inbox[string]
		for n := range 4 {
			s.subscribe(subscriber, s.uri(fmt.Sprint("t", n)), "", texts(&exact))
		}
		s.subscribe(subscriber, s.base, "prefix", texts(&all))
		var want []string
		for n := range 2000 {
			want = append(want, fmt.Sprint([]any{n}))
			s.must(publisher.Publish(s.uri(fmt.Sprint("t", n%4)), []any{n}, nil, nil))
		}
		s.same(take(s, &exact, 2000), want)
		s.same(take(s, &all, 2000), want)
	}},
	{
		"PUB-11 PUB-12 PUB-13 PUB-14 PUB-15 PUB-16 PUB-17 PUB-18 black and white lists choose the receivers", nil,
		func(t *testing.T, s *stage) {
			publisher := s.join()
			others := []peer.Session{s.join(), s.join(), s.join()}
			var inboxes [3]inbox[string]
			for i, other := range others {
				s.subscribe(other, s.uri("lists"), "", texts(&inboxes[i]))
			}
			b, c, nameOfB := others[0].ID(), others[1].ID(), []any{others[0].Identity().AuthID}
			role, nobody := []any{"anonymous"}, []any{"nobody"}
			for n, lists := range []map[string]any{
				{"exclude": []any{b}},
				{"eligible": []any{b}},
				{"eligible": []any{b, c}, "exclude": []any{b}},
				{"eligible": []any{}},
				{"exclude": []any{}},
				{"exclude_authid": nameOfB, "exclude_authrole": nobody},
				{"eligible_authid": nameOfB},
				{"eligible_authrole": role, "exclude_authid": nameOfB},
				{"exclude_authrole": role},
				{"eligible_authrole": nobody},
			} {
				lists["acknowledge"] = true
				s.must(publisher.Publish(s.uri("lists"), []any{n}, nil, lists))
			}
			for i, want := range [][]string{
				{"[1]", "[4]", "[6]"},
				{"[0]", "[2]", "[4]", "[5]", "[7]"},
				{"[0]", "[4]", "[5]", "[7]"},
			} {
				s.same(take(s, &inboxes[i], len(want)), want)
			}
		},
	},
	{"SUB-20 500 topics are subscribed to and left, twice, and nothing stays", nil, func(t *testing.T, s *stage) {
		a := s.own()
		for range 2 {
			var off []func() error
			for n := range 500 {
				off = append(off, s.subscribe(a, s.uri(fmt.Sprint("t", n)), "", func(peer.Event) {}))
			}
			list := s.dict(s.ask(a, "wamp.subscription.list")[0])
			s.equal("subscriptions", len(s.numbers(list["exact"])), 500)
			for _, unsubscribe := range off {
				s.must(unsubscribe())
			}
			list = s.dict(s.ask(a, "wamp.subscription.list")[0])
			s.equal("subscriptions", list["exact"], []any{})
		}
	}},
	{"SUB-06 a session cannot unsubscribe from a topic that only another one has", nexusOnly, func(t *testing.T,
		s *stage,
	) {
		a, b := s.join(), s.join()
		var in inbox[string]
		s.subscribe(b, s.uri("theirs"), "", texts(&in))
		unsubscribe := s.subscribe(a, s.uri("mine"), "", func(peer.Event) {})
		s.must(unsubscribe())
		if unsubscribe() == nil { // the library itself knows that it has nothing there
			t.Fatal("unsubscribed twice")
		}
		conn := s.raw()
		id := s.ask(a, "wamp.subscription.lookup", s.uri("theirs"))[0]
		conn.Send() <- &wamp.Unsubscribe{Request: 1, Subscription: wamp.ID(s.number(id))}
		s.wantError(conn, wamp.UNSUBSCRIBE, 1, "wamp.error.no_such_subscription")
		s.publish(a, s.uri("theirs"), "still there")
		s.same(take(s, &in, 1), []string{"[still there]"})
	}},
}
