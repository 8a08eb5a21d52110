package interop

import (
	"strings"
	"testing"

	"banyan/bench/interop/peer"
)

// will adds a testament of a session.
func (s *stage) will(who peer.Session, topic string, args []any, kwargs, how map[string]any) {
	s.t.Helper()
	if kwargs == nil {
		kwargs = map[string]any{}
	}
	reply, err := who.Call(s.ctx, "wamp.session.add_testament", []any{topic, args, kwargs}, how, nil, nil)
	s.must(err)
	if len(reply.Args)+len(reply.Kwargs) > 0 {
		s.t.Fatal(reply)
	}
}

// testamentCases are about PROTOCOL 7.12.
var testamentCases = []testCase{
	{"TST-01 TST-02 TST-03 TST-13 a testament follows every end of a session", nil, func(t *testing.T, s *stage) {
		a, other := s.own(), s.own()
		var in inbox[peer.Event]
		s.subscribe(a, s.uri("will"), "", func(e peer.Event) { in.put(e) })
		ends := []func(peer.Session){
			func(who peer.Session) { s.must(who.Leave()) },
			peer.Session.Drop,
			func(who peer.Session) { s.ask(a, "wamp.session.kill", who.ID()) },
		}
		for i, end := range ends {
			b := s.own()
			s.will(b, s.uri("will"), []any{"of", i}, map[string]any{"key": "value"}, nil)
			if got := in.all(); len(got) != i {
				t.Fatalf("%v before it was time", got)
			}
			end(b)
			event := take(s, &in, i+1)[i]
			s.equal("args", event.Args, []any{"of", i})
			s.equal("kwargs", event.Kwargs, map[string]any{"key": "value"})
			if event.Details["publisher"] != nil {
				t.Fatal(event.Details)
			}
		}
		s.must(other.Leave()) // it has none
	}},
	{"TST-04 TST-14 those of the scope detached come first, and all before on_leave", func(library *peer.Library,
		_ peer.Link,
	) bool {
		return library.InOrder
	}, func(t *testing.T, s *stage) {
		a, b := s.own(), s.own()
		var in inbox[note] // of one subscription, so that the order is that of the router
		s.subscribe(a, "", "prefix", func(e peer.Event) {
			if last := e.Topic[strings.LastIndexByte(e.Topic, '.')+1:]; last == "will" || last == "on_leave" {
				in.put(note{last, e.Args})
			}
		})
		for i, scope := range []string{"destroyed", "detached", "", "detached"} {
			how := map[string]any{"scope": scope}
			if scope == "" {
				how = nil
			}
			s.will(b, s.uri("will"), []any{i}, nil, how)
		}
		s.must(b.Leave())
		got := s.topics(&in, "will", "will", "will", "will", "on_leave")
		for i, want := range []int{1, 3, 0, 2} {
			s.equal("testament", got[i].args, []any{want})
		}
	}},
	{"TST-05 TST-06 TST-09 testaments are taken back by scope", nil, func(t *testing.T, s *stage) {
		a := s.own()
		in := s.listen(a, s.uri("will"), "")
		for n, flush := range []map[string]any{nil, {"scope": "destroyed"}, {"scope": "detached"}} {
			b := s.own()
			s.will(b, s.uri("will"), []any{"destroyed"}, nil, nil)
			s.will(b, s.uri("will"), []any{"detached"}, nil, map[string]any{"scope": "detached"})
			reply, err := b.Call(s.ctx, "wamp.session.flush_testaments", nil, flush, nil, nil)
			s.must(err)
			if len(reply.Args)+len(reply.Kwargs) > 0 {
				t.Fatal(reply)
			}
			s.must(b.Leave())
			got := take(s, in, n+1)
			s.equal("left", got[n].args, []any{[]string{"detached", "detached", "destroyed"}[n]})
		}
		c := s.own()
		s.will(c, s.uri("will"), []any{"last"}, nil, nil)
		s.must(c.Leave())
		if got := take(s, in, 4); len(got) != 4 || inText(got[3].args) != "[last]" {
			t.Fatal(got)
		}
	}},
	{"TST-08 the options of a testament choose receivers and show its publisher", nil, func(t *testing.T, s *stage) {
		a, b, c := s.own(), s.own(), s.own()
		var forA, forB inbox[peer.Event]
		s.subscribe(a, s.uri("will"), "", func(e peer.Event) { forA.put(e) })
		s.subscribe(b, s.uri("will"), "", func(e peer.Event) { forB.put(e) })
		for n, options := range []map[string]any{
			{"exclude": []uint64{a.ID()}, "acknowledge": true},
			{"eligible": []uint64{a.ID()}},
			{"disclose_me": true},
		} {
			s.will(c, s.uri("will"), []any{n}, nil, map[string]any{"publish_options": options})
		}
		id := c.ID()
		s.must(c.Leave())
		sum := func(in *inbox[peer.Event], n int) (got string) {
			shown := 0
			all := 0
			for _, e := range take(s, in, n) {
				all = 10*all + int(s.number(e.Args[0])) + 1
				if e.Details["publisher"] != nil && s.number(e.Details["publisher"]) == id {
					shown++
				}
			}
			if shown != 1 {
				t.Fatalf("the publisher was shown %d times", shown)
			}
			return inText(all)
		}
		forms := map[string]bool{"23": true, "32": !s.library.InOrder}
		if got := sum(&forA, 2); !forms[got] {
			t.Fatal(got)
		}
		forms = map[string]bool{"13": true, "31": !s.library.InOrder}
		if got := sum(&forB, 2); !forms[got] {
			t.Fatal(got)
		}
	}},
	{"TST-07 TST-11 a testament of the wrong form is refused", nil, func(t *testing.T, s *stage) {
		a := s.own()
		none := map[string]any{}
		add := "wamp.session.add_testament"
		s.refuses(a, invalidArgument, add, nil, nil)
		s.refuses(a, invalidArgument, add, []any{7, []any{}, none}, nil)
		s.refuses(a, invalidArgument, add, []any{s.uri("will"), "no list", none}, nil)
		s.refuses(a, invalidArgument, add, []any{s.uri("will"), []any{}, "no dict"}, nil)
		s.refuses(a, invalidArgument, add, []any{s.uri("will"), []any{}, none}, map[string]any{"scope": "bogus"})
		s.refuses(a, "wamp.error.invalid_uri", add, []any{"wamp.session.on_join", []any{}, none}, nil)
		s.refuses(a, "wamp.error.invalid_uri", add, []any{"no uri", []any{}, none}, nil)
		s.refuses(a, invalidArgument, "wamp.session.flush_testaments", nil, map[string]any{"scope": "bogus"})
	}},
}
