package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"banyan/bench/interop/peer"
)

// announces picks the libraries with which an application can announce what the library does not have.
func announces(library *peer.Library, _ peer.Link) bool { return library.Announces }

// calleeCases are about callees that have enough to do, or say that they have. PROTOCOL 8.16, 8.17.
var calleeCases = []testCase{
	{"REG concurrency: a callee has as many open calls as it wants, then others are asked", nil, func(
		t *testing.T, s *stage,
	) {
		caller := s.join()
		called, release := make(chan struct{}, 10), make(chan struct{})
		for n := range 2 {
			options := map[string]any{"invoke": "roundrobin", "concurrency": 2 - n} // 2 and 1
			s.register(s.join(), s.uri("busy"), options, hold(called, release))
		}
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- s.call(caller, s.uri("busy")) }()
			s.wait(called)
		}
		s.fails(s.call(caller, s.uri("busy")), "wamp.error.unavailable")
		close(release)
		for range 3 {
			s.must(receive(s, results))
		}
		s.must(s.call(caller, s.uri("busy"))) // all of them have room again
	}},
	{"RPC-85 a callee that says it is unavailable says so to its caller, unless it asked to be passed by", nil, func(
		t *testing.T, s *stage,
	) {
		callee, other, caller := s.join(), s.join(), s.join()
		options := map[string]any{"invoke": "first"}
		s.register(callee, s.uri("shared"), options, func(context.Context, peer.Call) peer.Reply {
			return peer.Reply{Error: "wamp.error.unavailable", Args: []any{"not now"}}
		})
		s.register(other, s.uri("shared"), options, named("other"))
		failure := s.fails(s.call(caller, s.uri("shared")), "wamp.error.unavailable")
		s.equal("arguments", failure.Args, []any{"not now"})
	}},
	{
		"RPC-81 RPC-83 a callee that asked for it is passed by when it is unavailable", announces,
		func(t *testing.T, s *stage) {
			caller := s.join()
			var asked inbox[string]
			options := map[string]any{"invoke": "first"}
			busy := s.joinAs(s.at, "realm1", peer.Login{Reroute: true})
			s.register(busy, s.uri("shared"), options, func(_ context.Context, call peer.Call) peer.Reply {
				asked.put(fmt.Sprint("busy ", call.Args))
				return peer.Reply{Error: "wamp.error.unavailable"}
			})
			unregister := s.register(s.join(), s.uri("shared"), options, func(_ context.Context,
				call peer.Call,
			) peer.Reply {
				asked.put(fmt.Sprint("free ", call.Args))
				return peer.Reply{Args: call.Args, Kwargs: call.Kwargs}
			})
			for n := range 2 {
				word := fmt.Sprint("call ", n)
				kwargs := map[string]any{"k": "v"}
				reply, err := caller.Call(s.ctx, s.uri("shared"), []any{word}, kwargs, nil, nil)
				s.must(err)
				s.equal("result", []any{reply.Args, reply.Kwargs}, []any{[]any{word}, kwargs})
			}
			s.same(asked.all(), []string{"busy [call 0]", "free [call 0]", "busy [call 1]", "free [call 1]"})
			s.must(unregister())
			_, err := caller.Call(s.ctx, s.uri("shared"), []any{"last"}, nil, nil, nil)
			s.fails(err, "wamp.error.no_available_callee")
			s.equal("asked", len(asked.all()), 5)
		},
	},
	{"REG x_least_outstanding prefers the callee with the fewest open calls", nil, func(t *testing.T, s *stage) {
		caller := s.join()
		called, release := make(chan string, 10), make(chan struct{})
		for n := range 3 {
			options := map[string]any{"invoke": "x_least_outstanding"}
			s.register(s.join(), s.uri("shared"), options, func(context.Context, peer.Call) peer.Reply {
				called <- fmt.Sprint(n)
				pause(release)
				return peer.Reply{}
			})
		}
		results := make(chan error, 6)
		var asked []string
		for range 6 {
			go func() { results <- s.call(caller, s.uri("shared")) }()
			asked = append(asked, receive(s, called))
		}
		slices.Sort(asked)
		s.equal("asked", asked, []string{"0", "0", "1", "1", "2", "2"})
		close(release)
		for range 6 {
			s.must(receive(s, results))
		}
	}},
	{"REG-21 REG-22 REG-24 force_reregister takes a procedure over, from those who may", nil, func(t *testing.T,
		s *stage,
	) {
		caller := s.own()
		force := map[string]any{"force_reregister": true}
		s.register(s.own(), s.uri("mine"), force, named("a")) // nobody is there: the option does not matter
		s.register(s.own(), s.uri("mine"), force, named("b"))
		if who := s.who(caller, s.uri("mine")); who != "b" {
			t.Fatal(who)
		}
		a, b := s.join(), s.join() // the other router: a realm without rules lets nobody do it
		s.register(a, s.uri("mine"), force, named("a"))
		_, err := b.Register(s.uri("mine"), force, named("b"))
		s.fails(err, "wamp.error.option_not_allowed")
		if who := s.who(b, s.uri("mine")); who != "a" {
			t.Fatal(who)
		}
	}},
}
