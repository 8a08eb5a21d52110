package interop

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"banyan/bench/interop/peer"
)

var iso8601 = regexp.MustCompile(`^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

const noSuchSession, invalidArgument = "wamp.error.no_such_session", "wamp.error.invalid_argument"

// killed waits until a session has been told why the router ends it. Neither library answers GOODBYE, so the
// connection is there for some seconds more.
func (s *stage) killed(who peer.Session) (reason string) {
	s.t.Helper()
	s.until("GOODBYE", func() bool { return who.Goodbye() != "" })
	return who.Goodbye()
}

// metaCases are about PROTOCOL 9.
var metaCases = []testCase{
	{"META-01 META-02 sessions are counted and listed, by role too", nil, func(t *testing.T, s *stage) {
		a, b, c := s.own(), s.own(), s.own()
		s.equal("count", s.ask(a, "wamp.session.count"), []any{3})
		s.equal("list", s.numbers(s.ask(a, "wamp.session.list")[0]), s.ids(a, b, c))
		s.equal("count of the role", s.ask(a, "wamp.session.count", []string{"nobody", "anonymous"}), []any{3})
		s.equal("count of no role", s.ask(a, "wamp.session.count", []string{"nobody"}), []any{0})
		s.equal("list of no role", s.ask(a, "wamp.session.list", []string{"nobody"}), []any{[]any{}})
		s.must(b.Leave())
		s.equal("count", s.ask(a, "wamp.session.count"), []any{2})
		s.equal("list", s.numbers(s.ask(a, "wamp.session.list", []string{"anonymous"})[0]), s.ids(a, c))
		s.refuses(a, invalidArgument, "wamp.session.count", []any{"anonymous"}, nil)
	}},
	{"META-03 META-04 META-05 META-42 a session is looked up", nil, func(t *testing.T, s *stage) {
		a, b := s.own(), s.own()
		for _, who := range []peer.Session{a, b} {
			got := s.dict(s.ask(a, "wamp.session.get", who.ID())[0])
			if s.number(got["session"]) != who.ID() || got["authrole"] != "anonymous" ||
				got["authmethod"] != "anonymous" || got["authprovider"] != "static" ||
				got["authid"] != who.Identity().AuthID || s.dict(got["transport"])["type"] == nil {
				t.Fatal(got)
			}
		}
		gone := b.ID()
		s.must(b.Leave())
		s.refuses(a, noSuchSession, "wamp.session.get", []any{gone}, nil)
		for _, args := range [][]any{nil, {"x"}, {-1}, {1.5}, {a.ID(), 1}} {
			s.refuses(a, invalidArgument, "wamp.session.get", args, nil)
		}
		s.refuses(a, "wamp.error.no_such_procedure", "wamp.session.no_such_thing", nil, nil)
	}},
	{"META-15 META-16 META-17 joining and leaving are told, within the realm", nil, func(t *testing.T, s *stage) {
		a, far := s.own(), s.joinRealm(peer.Configured(), s.ownRealm()+".other")
		in := s.listen(a, "wamp.session", "prefix")
		elsewhere := s.listen(far, "wamp.session", "prefix")
		b := s.own()
		joined := s.dict(s.topics(in, "on_join")[0].args[0])
		if s.number(joined["session"]) != b.ID() || joined["authid"] != b.Identity().AuthID ||
			joined["authrole"] != "anonymous" || joined["authmethod"] != "anonymous" ||
			joined["authprovider"] != "static" {
			t.Fatal(joined)
		}
		s.must(b.Leave())
		left := take(s, in, 2)[1]
		s.equal("on_leave", left.args, []any{b.ID(), b.Identity().AuthID, "anonymous"})
		c := s.own()
		take(s, in, 3)
		c.Drop()
		left = take(s, in, 4)[3]
		s.equal(left.topic, left.args, []any{c.ID(), c.Identity().AuthID, "anonymous"})
		if got := elsewhere.all(); len(got) > 0 {
			t.Fatalf("another realm heard %v", got)
		}
	}},
	{"META-06 META-07 META-16 a session is killed and told why", nil, func(t *testing.T, s *stage) {
		a, b, c, d := s.own(), s.own(), s.own(), s.own()
		in := s.listen(a, "wamp.session.on_leave", "")
		s.register(d, s.uri("of.killed"), nil, echo)
		for n, kill := range []struct {
			who    peer.Session
			kwargs map[string]any
			reason string
		}{
			{b, nil, "wamp.close.killed"},
			{c, map[string]any{"reason": "com.example.enough"}, "com.example.enough"},
			{d, map[string]any{"reason": "com.example.over", "message": "go home"}, "com.example.over"},
		} {
			reply, err := a.Call(s.ctx, "wamp.session.kill", []any{kill.who.ID()}, kill.kwargs, nil, nil)
			s.must(err)
			if len(reply.Args)+len(reply.Kwargs) > 0 {
				t.Fatal(reply)
			}
			if reason := s.killed(kill.who); reason != kill.reason {
				t.Fatalf("told %q, want %q", reason, kill.reason)
			}
			s.equal("on_leave", take(s, in, n+1)[n].args[0], kill.who.ID())
		}
		s.fails(s.call(a, s.uri("of.killed")), "wamp.error.no_such_procedure")
	}},
	{"META-06 META-31 a callee is killed by the one who waits to hear of its registrations", nil, func(t *testing.T,
		s *stage,
	) {
		a, b := s.own(), s.own()
		for n := range 20 {
			s.register(b, s.uri(fmt.Sprint("p", n)), nil, echo)
		}
		in := s.listen(a, "wamp.registration.on_unregister", "")
		s.ask(a, "wamp.session.kill", b.ID())
		for _, n := range take(s, in, 20) {
			s.equal("on_unregister", n.args[0], b.ID())
		}
		s.killed(b)
		s.equal("list", s.dict(s.ask(a, "wamp.registration.list")[0])["exact"], []any{})
	}},
	{"META-08 META-09 META-10 nobody is killed by a wrong request", nil, func(t *testing.T, s *stage) {
		a, b := s.own(), s.own()
		s.refuses(a, noSuchSession, "wamp.session.kill", []any{a.ID()}, nil)
		s.refuses(a, noSuchSession, "wamp.session.kill", []any{b.ID() ^ 1}, nil)
		s.refuses(a, invalidArgument, "wamp.session.kill", nil, nil)
		s.refuses(a, invalidArgument, "wamp.session.kill", []any{"x"}, nil)
		s.refuses(a, invalidArgument, "wamp.session.kill_by_authid", []any{7}, nil)
		s.refuses(a, invalidArgument, "wamp.session.kill_by_authrole", nil, nil)
		bad := map[string]any{"reason": "not a uri"}
		s.refuses(a, "wamp.error.invalid_uri", "wamp.session.kill", []any{b.ID()}, bad)
		s.refuses(a, "wamp.error.invalid_uri", "wamp.session.kill_all", nil, bad)
		s.refuses(a, invalidArgument, "wamp.session.kill", []any{b.ID()}, map[string]any{"message": 1})
		s.equal("count", s.ask(b, "wamp.session.count"), []any{2})
	}},
	{"META-11 META-12 META-13 sessions are killed by authid and by role", nil, func(t *testing.T, s *stage) {
		a, b, c, d := s.own(), s.own(), s.own(), s.own()
		s.equal("nobody", s.ask(a, "wamp.session.kill_by_authid", "no such authid"), []any{[]any{}})
		s.equal("no role", s.ask(a, "wamp.session.kill_by_authrole", "no such role"), []any{0})
		s.equal("killed", s.ask(a, "wamp.session.kill_by_authid", b.Identity().AuthID), []any{[]any{b.ID()}})
		s.killed(b)
		reply, err := a.Call(s.ctx, "wamp.session.kill_by_authrole", []any{"anonymous"},
			map[string]any{"reason": "com.example.role"}, nil, nil)
		s.must(err)
		s.equal("killed", reply.Args, []any{2})
		for _, who := range []peer.Session{c, d} {
			if reason := s.killed(who); reason != "com.example.role" {
				t.Fatal(reason)
			}
		}
		s.equal("list", s.ask(a, "wamp.session.list"), []any{[]any{a.ID()}})
	}},
	{"META-14 TST-12 kill_all ends all others and tells nobody of it", nil, func(t *testing.T, s *stage) {
		a, b, c := s.own(), s.own(), s.own()
		in := s.listen(a, "wamp.session", "prefix")
		wills := s.listen(a, s.uri("will"), "")
		s.ask(b, "wamp.session.add_testament", s.uri("will"), []any{"never"}, map[string]any{})
		s.equal("killed", s.ask(a, "wamp.session.kill_all"), []any{2})
		if one, two := s.killed(b), s.killed(c); one != "wamp.close.killed" || two != one {
			t.Fatal(one, two)
		}
		d := s.own()
		s.ask(d, "wamp.session.add_testament", s.uri("will"), []any{"now"}, map[string]any{})
		s.must(d.Leave())
		s.equal("testaments", take(s, wills, 1)[0].args, []any{"now"})
		s.topics(in, "on_join", "on_leave")
	}},
	{
		"META-18 META-19 META-20 META-21 META-22 META-37 subscriptions come and go, and their session is told", nil,
		func(t *testing.T, s *stage) {
			a, b := s.own(), s.own()
			in := s.listen(a, "wamp.subscription", "prefix")
			before := time.Now().Add(-time.Minute)
			off := s.subscribe(a, s.uri("topic"), "", func(peer.Event) {})
			made := s.topics(in, "on_create", "on_subscribe")
			details := map[string]any{}
			for _, n := range made {
				if n.topic == "on_create" {
					details = s.dict(n.args[1])
				}
				s.equal(n.topic, n.args[0], a.ID())
			}
			id := s.number(details["id"])
			created, _ := details["created"].(string)
			when, err := time.Parse(time.RFC3339, created)
			if err != nil || when.Before(before) || when.After(time.Now().Add(time.Minute)) ||
				!iso8601.MatchString(created) || details["uri"] != s.uri("topic") || details["match"] != "exact" {
				t.Fatal(details, err)
			}
			s.subscribe(b, s.uri("topic"), "", func(peer.Event) {})
			again := take(s, in, 3)[2]
			s.equal(again.topic, again.args, []any{b.ID(), id})
			s.subscribe(b, s.uri("topic"), "", func(peer.Event) {}) // the same once more
			s.must(off())
			off2 := take(s, in, 4)[3]
			s.equal("on_unsubscribe", []any{off2.topic, off2.args}, []any{"on_unsubscribe", []any{a.ID(), id}})
			b.Drop()
			all := s.topics(in, "on_create", "on_subscribe", "on_subscribe", "on_unsubscribe", "on_unsubscribe",
				"on_delete")
			for _, n := range all[4:] {
				s.equal(n.topic, n.args, []any{b.ID(), id})
			}
		},
	},
	{
		"META-23 META-24 META-25 META-26 META-27 META-28 META-35 META-36 subscriptions are listed and found", nil,
		func(t *testing.T, s *stage) {
			a, b := s.own(), s.own()
			s.listen(a, "wamp.session.on_join", "") // not to be seen
			id := map[string]uint64{}
			for match, topic := range map[string]string{"exact": "t.a.b", "prefix": "t.a", "wildcard": "t..b"} {
				s.subscribe(a, s.uri(topic), match, func(peer.Event) {})
				options := map[string]any{"match": match}
				id[match] = s.number(s.ask(b, "wamp.subscription.lookup", s.uri(topic), options)[0])
			}
			s.subscribe(b, s.uri("t.a"), "prefix", func(peer.Event) {})
			list := s.dict(s.ask(b, "wamp.subscription.list")[0])
			for match, one := range id {
				s.equal(match, s.numbers(list[match]), []uint64{one})
			}
			s.equal("lookup", s.ask(b, "wamp.subscription.lookup", s.uri("t.a.b"))[0], id["exact"])
			s.equal("lookup", s.ask(b, "wamp.subscription.lookup", s.uri("t.a")), []any{nil})
			s.equal("lookup", s.ask(b, "wamp.subscription.lookup", "wamp.session.on_join"), []any{nil})
			all := []uint64{id["exact"], id["prefix"], id["wildcard"]}
			got := s.numbers(s.ask(b, "wamp.subscription.match", s.uri("t.a.b"))[0])
			if s.equal("match", len(got), 3); !sameSet(got, all) {
				t.Fatal(got, all)
			}
			s.equal("match", s.ask(b, "wamp.subscription.match", s.uri("t.a.c")), []any{[]any{id["prefix"]}})
			s.equal("match", s.ask(b, "wamp.subscription.match", s.uri("x")), []any{nil})
			details := s.dict(s.ask(b, "wamp.subscription.get", id["wildcard"])[0])
			created, _ := details["created"].(string)
			if s.number(details["id"]) != id["wildcard"] || details["uri"] != s.uri("t..b") ||
				details["match"] != "wildcard" || !iso8601.MatchString(created) {
				t.Fatal(details)
			}
			subscribers := s.ask(b, "wamp.subscription.list_subscribers", id["prefix"])[0]
			s.equal("subscribers", s.numbers(subscribers), s.ids(a, b))
			s.equal("subscribers", s.ask(b, "wamp.subscription.count_subscribers", id["prefix"]), []any{2})
			s.equal("subscribers", s.ask(b, "wamp.subscription.count_subscribers", id["exact"]), []any{1})
			for _, name := range []string{"get", "list_subscribers", "count_subscribers"} {
				procedure := "wamp.subscription." + name
				s.refuses(b, "wamp.error.no_such_subscription", procedure, []any{uint64(1) << 52}, nil)
				s.refuses(b, invalidArgument, procedure, []any{"x"}, nil)
			}
		},
	},
	{"META-29 META-30 META-31 registrations come and go", nil, func(t *testing.T, s *stage) {
		a, b, c := s.own(), s.own(), s.own()
		in := s.listen(a, "wamp.registration", "prefix")
		options := map[string]any{"invoke": "roundrobin", "match": "prefix"}
		off := s.register(b, s.uri("shared"), options, echo)
		details := map[string]any{}
		for _, n := range s.topics(in, "on_create", "on_register") {
			if n.topic == "on_create" {
				details = s.dict(n.args[1])
			}
			s.equal(n.topic, n.args[0], b.ID())
		}
		id := s.number(details["id"])
		created, _ := details["created"].(string)
		if details["uri"] != s.uri("shared") || details["match"] != "prefix" || details["invoke"] != "roundrobin" ||
			!iso8601.MatchString(created) {
			t.Fatal(details)
		}
		s.register(c, s.uri("shared"), options, echo)
		second := take(s, in, 3)[2]
		s.equal("on_register", []any{second.topic, second.args}, []any{"on_register", []any{c.ID(), id}})
		s.must(off())
		third := take(s, in, 4)[3]
		s.equal("on_unregister", []any{third.topic, third.args}, []any{"on_unregister", []any{b.ID(), id}})
		s.must(c.Leave())
		all := s.topics(in, "on_create", "on_register", "on_register", "on_unregister", "on_unregister", "on_delete")
		for _, n := range all[4:] {
			s.equal(n.topic, n.args, []any{c.ID(), id})
		}
	}},
	{"META-32 META-33 META-34 META-35 registrations are listed and found", nil, func(t *testing.T, s *stage) {
		a, b := s.own(), s.own()
		id := map[string]uint64{}
		for match, procedure := range map[string]string{"exact": "p.a.b", "prefix": "p.a", "wildcard": "p..b"} {
			s.register(a, s.uri(procedure), map[string]any{"match": match, "invoke": "last"}, named(match))
			options := map[string]any{"match": match}
			id[match] = s.number(s.ask(b, "wamp.registration.lookup", s.uri(procedure), options)[0])
		}
		s.register(b, s.uri("p.a.b"), map[string]any{"invoke": "last"}, named("exact"))
		list := s.dict(s.ask(b, "wamp.registration.list")[0])
		for match, one := range id {
			s.equal(match, s.numbers(list[match]), []uint64{one})
		}
		s.equal("lookup", s.ask(b, "wamp.registration.lookup", s.uri("p.a")), []any{nil})
		for name, match := range map[string]string{"p.a.b": "exact", "p.a.c": "prefix", "p.x.b": "wildcard"} {
			s.equal(name, s.ask(b, "wamp.registration.match", s.uri(name)), []any{id[match]})
			if who := s.who(b, s.uri(name)); who != match {
				t.Fatalf("%s goes to %s", name, who)
			}
		}
		s.equal("match", s.ask(b, "wamp.registration.match", s.uri("p.x.c")), []any{nil})
		details := s.dict(s.ask(b, "wamp.registration.get", id["prefix"])[0])
		created, _ := details["created"].(string)
		if s.number(details["id"]) != id["prefix"] || details["uri"] != s.uri("p.a") ||
			details["match"] != "prefix" || details["invoke"] != "last" || !iso8601.MatchString(created) {
			t.Fatal(details)
		}
		callees := s.ask(b, "wamp.registration.list_callees", id["exact"])[0]
		s.equal("callees", s.numbers(callees), s.ids(a, b))
		s.equal("callees", s.ask(b, "wamp.registration.count_callees", id["exact"]), []any{2})
		for _, name := range []string{"get", "list_callees", "count_callees"} {
			s.refuses(b, "wamp.error.no_such_registration", "wamp.registration."+name, []any{uint64(1) << 52}, nil)
			s.refuses(b, invalidArgument, "wamp.registration."+name, nil, nil)
		}
	}},
	{"META-40 META-41 subscriptions and registrations are taken away", nil, func(t *testing.T, s *stage) {
		a, b, c := s.own(), s.own(), s.own()
		in := s.listen(c, s.uri("topic"), "")
		kept := s.listen(b, s.uri("topic"), "")
		s.register(c, s.uri("shared"), map[string]any{"invoke": "first"}, named("c"))
		s.register(b, s.uri("shared"), map[string]any{"invoke": "first"}, named("b"))
		sub := s.ask(a, "wamp.subscription.lookup", s.uri("topic"))[0]
		reg := s.ask(a, "wamp.registration.lookup", s.uri("shared"))[0]
		const none = uint64(1) << 52 // as good as no id
		for _, refusal := range []struct {
			uri, procedure string
			args           []any
		}{
			{noSuchSession, "wamp.subscription.remove_subscriber", []any{sub, a.ID()}},
			{noSuchSession, "wamp.registration.remove_callee", []any{reg, a.ID()}},
			{"wamp.error.no_such_subscription", "wamp.subscription.remove_subscriber", []any{none, c.ID()}},
			{"wamp.error.no_such_registration", "wamp.registration.remove_callee", []any{none, c.ID()}},
			{invalidArgument, "wamp.registration.remove_callee", []any{reg}},
		} {
			s.refuses(a, refusal.uri, refusal.procedure, refusal.args, nil)
		}
		s.publish(a, s.uri("topic"), 1)
		take(s, in, 1)
		tell := s.listen(a, "wamp", "prefix")
		s.ask(a, "wamp.subscription.remove_subscriber", sub, c.ID())
		s.ask(a, "wamp.registration.remove_callee", reg, c.ID())
		s.topics(tell, "on_unsubscribe", "on_unregister")
		s.publish(a, s.uri("topic"), 2)
		take(s, kept, 2)
		if who := s.who(c, s.uri("shared")); who != "b" { // it still lives, and has nothing more
			t.Fatal(who)
		}
		if got := in.all(); len(got) != 1 {
			t.Fatalf("an event came after the subscription was taken away: %v", got)
		}
	}},
	{"META-44 details of a session are changed, and black and white lists follow", nil, func(t *testing.T, s *stage) {
		a, b := s.own(), s.own()
		in := s.listen(b, s.uri("topic"), "")
		delta := map[string]any{"authid": "bob", "pi": 3.5}
		s.ask(a, "wamp.session.modify_details", b.ID(), delta)
		got := s.dict(s.ask(a, "wamp.session.get", b.ID())[0])
		s.equal("authid, pi", []any{got["authid"], got["pi"]}, []any{"bob", 3.5})
		eligible := map[string]any{"eligible_authid": []string{"bob"}, "acknowledge": true}
		s.must(a.Publish(s.uri("topic"), []any{"for bob"}, nil, eligible))
		s.equal("event", take(s, in, 1)[0].args, []any{"for bob"})
		s.ask(a, "wamp.session.modify_details", b.ID(), map[string]any{"pi": nil})
		if _, found := s.dict(s.ask(a, "wamp.session.get", b.ID())[0])["pi"]; found {
			t.Fatal("null removes nothing")
		}
		modify := "wamp.session.modify_details"
		s.refuses(a, invalidArgument, modify, []any{b.ID(), map[string]any{"session": 1}}, nil)
		s.refuses(a, invalidArgument, modify, []any{b.ID(), "x"}, nil)
		s.refuses(a, noSuchSession, modify, []any{b.ID() ^ 1, delta}, nil)
		c := s.join() // the other router does not offer it
		s.refuses(c, "wamp.error.no_such_procedure", modify, []any{c.ID(), delta}, nil)
	}},
	{"META-38 nobody kills without a permission that names it", nil, func(t *testing.T, s *stage) {
		a, b := s.join(), s.join() // the other router: its anonymous sessions may do everything, by no rule at all
		for procedure, args := range map[string][]any{
			"wamp.session.kill": {b.ID()}, "wamp.session.kill_by_authid": {b.Identity().AuthID},
			"wamp.session.kill_by_authrole": {"anonymous"}, "wamp.session.kill_all": nil,
			"wamp.subscription.remove_subscriber": {1, b.ID()}, "wamp.registration.remove_callee": {1, b.ID()},
		} {
			s.refuses(a, "wamp.error.not_authorized", procedure, args, nil)
		}
		got := s.dict(s.ask(a, "wamp.session.get", b.ID())[0])
		s.equal("session", got["session"], b.ID())
	}},
}

func sameSet(a, b []uint64) bool {
	set := map[uint64]bool{}
	for _, id := range a {
		set[id] = true
	}
	for _, id := range b {
		if !set[id] {
			return false
		}
	}
	return len(set) == len(b)
}
