package interop

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"banyan/bench/interop/peer"
)

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
			s.must(<-results)
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
	{"REG x_least_outstanding prefers the callee with the fewest open calls", nil, func(t *testing.T, s *stage) {
		caller := s.join()
		called, release := make(chan string, 10), make(chan struct{})
		for n := range 3 {
			options := map[string]any{"invoke": "x_least_outstanding"}
			s.register(s.join(), s.uri("shared"), options, func(context.Context, peer.Call) peer.Reply {
				called <- fmt.Sprint(n)
				<-release
				return peer.Reply{}
			})
		}
		results := make(chan error, 6)
		var asked []string
		for range 6 {
			go func() { results <- s.call(caller, s.uri("shared")) }()
			asked = append(asked, <-called)
		}
		slices.Sort(asked)
		s.equal("asked", asked, []string{"0", "0", "1", "1", "2", "2"})
		close(release)
		for range 6 {
			s.must(<-results)
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
