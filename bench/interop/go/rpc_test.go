package interop

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"banyan/bench/interop/peer"
)

func echo(_ context.Context, call peer.Call) peer.Reply {
	return peer.Reply{Args: call.Args, Kwargs: call.Kwargs}
}

// named answers with its name and the procedure of INVOCATION.Details.
func named(name string) func(context.Context, peer.Call) peer.Reply {
	return func(_ context.Context, call peer.Call) peer.Reply {
		return peer.Reply{Args: []any{name, call.Procedure}}
	}
}

// hold signals each call and answers it when release is closed.
func hold(called chan<- struct{}, release <-chan struct{}) func(context.Context, peer.Call) peer.Reply {
	return func(context.Context, peer.Call) peer.Reply {
		called <- struct{}{}
		pause(release)
		return peer.Reply{Args: []any{"late"}}
	}
}

func interrupts(library *peer.Library, _ peer.Link) bool { return library.Interrupts }

func progress(reply peer.Reply) string { return fmt.Sprint(reply.Args, reply.Kwargs) }

// rpcCases are about PROTOCOL 8.
var rpcCases = []testCase{
	{
		"RPC-01 RPC-04 a call carries args and kwargs there and back, or nothing at all", nil,
		func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			s.register(callee, s.uri("echo"), nil, echo)
			for _, want := range []peer.Reply{
				{Args: []any{"a", []any{"b"}}, Kwargs: map[string]any{"k": map[string]any{"deep": "v"}}},
				{},
				{Kwargs: map[string]any{"only": "kwargs"}},
			} {
				got, err := caller.Call(s.ctx, s.uri("echo"), want.Args, want.Kwargs, nil, nil)
				s.must(err)
				if len(got.Args)+len(want.Args) > 0 && !reflect.DeepEqual(got.Args, want.Args) ||
					len(got.Kwargs)+len(want.Kwargs) > 0 && !reflect.DeepEqual(got.Kwargs, want.Kwargs) {
					t.Fatalf("got %v, want %v", got, want)
				}
			}
		},
	},
	{"RPC-03 an error carries its URI, args and kwargs back to the caller", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		s.register(callee, s.uri("fail"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			return peer.Reply{Args: call.Args, Kwargs: call.Kwargs, Error: "com.example.failed"}
		})
		_, err := caller.Call(s.ctx, s.uri("fail"), []any{"why"}, map[string]any{"code": "x"}, nil, nil)
		failure := s.fails(err, "com.example.failed")
		if fmt.Sprint(failure.Args, failure.Kwargs) != "[why] map[code:x]" {
			t.Fatal(failure)
		}
	}},
	{"RPC-02 URI-02 URI-24 URI-30 unknown, invalid and reserved procedures", nil, func(t *testing.T, s *stage) {
		a := s.join()
		s.fails(s.call(a, s.uri("nope")), "wamp.error.no_such_procedure")
		s.fails(s.call(a, "wamp.no.such.thing"), "wamp.error.no_such_procedure")
		for _, procedure := range []string{"com..a", "com.", "com.with space", "com.#"} {
			s.fails(s.call(a, procedure), "wamp.error.invalid_uri")
			_, err := a.Register(procedure, nil, echo)
			s.fails(err, "wamp.error.invalid_uri")
		}
		_, err := a.Register("wamp.mine", nil, echo)
		s.fails(err, "wamp.error.invalid_uri")
	}},
	{
		"REG-02 REG-03 REG-20 a second registration is procedure_already_exists until the first is gone", nil,
		func(t *testing.T, s *stage) {
			a, b := s.join(), s.join()
			unregister := s.register(a, s.uri("mine"), nil, named("a"))
			for _, who := range []peer.Session{a, b} {
				_, err := who.Register(s.uri("mine"), nil, named("x"))
				s.fails(err, "wamp.error.procedure_already_exists")
			}
			_, err := b.Register(s.uri("mine"), map[string]any{"invoke": "roundrobin"}, named("x"))
			s.fails(err, "wamp.error.procedure_already_exists")
			if who := s.who(b, s.uri("mine")); who != "a" {
				t.Fatal(who)
			}
			s.must(unregister())
			s.fails(s.call(b, s.uri("mine")), "wamp.error.no_such_procedure")
			s.register(b, s.uri("mine"), nil, named("b"))
		},
	},
	{
		"RPC-23 RPC-24 URI-15 URI-16 URI-17 exact beats prefix beats wildcard; patterns are told the procedure", nil,
		func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			for _, r := range [][3]string{
				{"p.q.r", "exact", "exact"},
				{"p.q", "prefix", "prefix"},
				{"p.q.long", "prefix", "longer"},
				{"p..s", "wildcard", "wildcard"},
			} {
				s.register(callee, s.uri(r[0]), map[string]any{"match": r[1]}, named(r[2]))
			}
			for name, winner := range map[string]string{
				"p.q.r": "exact", "p.q.s": "prefix", "p.q.longest": "longer",
				"p.quick": "prefix", "p.x.s": "wildcard",
			} {
				reply, err := caller.Call(s.ctx, s.uri(name), nil, nil, nil, nil)
				s.must(err)
				told := s.uri(name)
				if winner == "exact" {
					told = ""
				}
				if reply.Args[0] != winner || reply.Args[1] != told {
					t.Fatalf("%s went to %v", name, reply.Args)
				}
			}
			s.fails(s.call(caller, s.uri("p.x.t")), "wamp.error.no_such_procedure")
		},
	},
	{"REG-12 REG-17 round robin takes turns and goes on without the one who left", nil, func(t *testing.T, s *stage) {
		caller := s.join()
		callees := map[string]peer.Session{"a": s.join(), "b": s.join(), "c": s.join()}
		for _, name := range []string{"a", "b", "c"} {
			s.register(callees[name], s.uri("shared"), map[string]any{"invoke": "roundrobin"}, named(name))
		}
		turns := func(n int) (names string) {
			for range n {
				names += s.who(caller, s.uri("shared"))
			}
			return names
		}
		if got := turns(6); got != "abcabc" {
			t.Fatal(got)
		}
		s.must(callees["b"].Leave())
		if got := turns(4); got != "acac" && got != "caca" {
			t.Fatal(got)
		}
	}},
	{
		"REG-09 REG-14 REG-15 REG-16 first, last and random; another policy is refused", nil,
		func(t *testing.T, s *stage) {
			a, b, caller := s.join(), s.join(), s.join()
			for _, policy := range []string{"first", "last", "random"} {
				s.register(a, s.uri(policy), map[string]any{"invoke": policy}, named("a"))
				s.register(b, s.uri(policy), map[string]any{"invoke": policy}, named("b"))
			}
			_, err := caller.Register(s.uri("first"), map[string]any{"invoke": "last"}, named("c"))
			s.fails(err, "wamp.error.procedure_already_exists")
			random := ""
			for range 200 {
				random += s.who(caller, s.uri("random"))
			}
			first, last := s.who(caller, s.uri("first")), s.who(caller, s.uri("last"))
			if first != "a" || last != "b" {
				t.Fatal(first, last)
			}
			if !strings.Contains(random, "a") || !strings.Contains(random, "b") {
				t.Fatal(random)
			}
			s.must(a.Leave())
			if who := s.who(caller, s.uri("first")); who != "b" {
				t.Fatal(who)
			}
		},
	},
	{"RPC-06 1 000 calls in flight get their own results", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		var arrived sync.WaitGroup
		arrived.Add(1000)
		s.register(callee, s.uri("late"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			arrived.Done()
			arrived.Wait()
			return peer.Reply{Args: call.Args}
		})
		var wrong inbox[string]
		var calls sync.WaitGroup
		for n := range 1000 {
			calls.Go(func() {
				reply, err := caller.Call(s.ctx, s.uri("late"), []any{n}, nil, nil, nil)
				if err != nil || fmt.Sprint(reply.Args) != fmt.Sprint([]any{n}) {
					wrong.put(fmt.Sprint(n, reply.Args, err))
				}
			})
		}
		calls.Wait()
		if got := wrong.all(); len(got) > 0 {
			t.Fatalf("%d wrong, first %s", len(got), got[0])
		}
	}},
	{"RPC-06 results go to those who called, whoever is answered first", nil, func(t *testing.T, s *stage) {
		callee, callers := s.join(), []peer.Session{s.join(), s.join()}
		called, release := make(chan struct{}, 2), []chan struct{}{make(chan struct{}), make(chan struct{})}
		results := []chan string{make(chan string, 1), make(chan string, 1)}
		for i, caller := range callers {
			s.register(callee, s.uri(fmt.Sprint("p", i)), nil, func(context.Context, peer.Call) peer.Reply {
				called <- struct{}{}
				pause(release[i])
				return peer.Reply{Args: []any{fmt.Sprint("for ", i)}}
			})
			go func() {
				reply, err := caller.Call(s.ctx, s.uri(fmt.Sprint("p", i)), nil, nil, nil, nil)
				results[i] <- fmt.Sprint(reply.Args, err)
			}()
			s.wait(called)
		}
		for _, i := range []int{1, 0} {
			close(release[i])
			if got := receive(s, results[i]); got != fmt.Sprintf("[for %d] <nil>", i) {
				t.Fatal(got)
			}
		}
	}},
	{
		"RPC-08 RPC-09 a callee that leaves or is cut off during a call leaves its caller with canceled", nil,
		func(t *testing.T, s *stage) {
			caller := s.join()
			release := make(chan struct{})
			defer close(release)
			for name, end := range map[string]func(peer.Session){
				"cut": peer.Session.Drop,
				// After GOODBYE nexus waits for its handlers before it closes.
				"leaves": func(callee peer.Session) { go func() { _ = callee.Leave() }() },
			} {
				callee, called := s.join(), make(chan struct{}, 1)
				s.register(callee, s.uri(name), nil, hold(called, release))
				result := make(chan error, 1)
				go func() { result <- s.call(caller, s.uri(name)) }()
				s.wait(called)
				end(callee)
				s.fails(receive(s, result), "wamp.error.canceled")
			}
		},
	},
	{
		"RPC-11 a caller that leaves during a call has its callee interrupted; the late answer is discarded",
		interrupts, func(t *testing.T, s *stage) {
			callee, gone, caller := s.join(), s.join(), s.join()
			called, interrupted := make(chan struct{}, 1), make(chan struct{})
			s.register(callee, s.uri("slow"), nil, func(ctx context.Context, _ peer.Call) peer.Reply {
				called <- struct{}{}
				pause(ctx.Done())
				close(interrupted)
				return peer.Reply{Args: []any{"too late"}}
			})
			s.register(callee, s.uri("fine"), nil, named("alive"))
			s.abandon(gone, s.uri("slow"))
			s.wait(called)
			gone.Drop()
			s.wait(interrupted)
			if who := s.who(caller, s.uri("fine")); who != "alive" {
				t.Fatal(who)
			}
		},
	},
	{
		"RPC-56 RPC-57 RPC-59 RPC-70 CANCEL in each mode: the caller gets canceled, only skip leaves the callee " +
			"alone",
		func(library *peer.Library,
			_ peer.Link,
		) bool {
			return library.CancelModes != nil
		}, func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			s.register(callee, s.uri("fine"), nil, named("alive"))
			for _, mode := range s.library.CancelModes {
				called, interrupted, release := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
				s.register(callee, s.uri(mode), nil, func(ctx context.Context, _ peer.Call) peer.Reply {
					called <- struct{}{}
					select {
					case <-ctx.Done():
						interrupted <- struct{}{}
						return peer.Reply{Error: "wamp.error.canceled", Args: []any{"by callee"}}
					case <-release:
						return peer.Reply{Args: []any{"late"}}
					}
				})
				ctx, cancel := context.WithCancel(peer.WithCancelMode(s.ctx, mode))
				result := make(chan error, 1)
				go func() {
					_, err := caller.Call(ctx, s.uri(mode), nil, nil, nil, nil)
					result <- err
				}()
				s.wait(called)
				cancel()
				// The library returns its context's error as soon as an ERROR for the call
				// arrives, and a timeout if none does.
				if err := receive(s, result); !errors.Is(err, context.Canceled) {
					t.Fatalf("%s: %v", mode, err)
				}
				if mode != "skip" {
					s.wait(interrupted)
				}
				close(release)
				if who := s.who(caller, s.uri("fine")); who != "alive" {
					t.Fatal(who)
				}
				if len(interrupted) != 0 {
					t.Fatalf("%s: interrupted", mode)
				}
			}
		},
	},
	{
		"RPC-58 a callee that answers although it is interrupted answers a call canceled with kill", func(
			library *peer.Library, _ peer.Link,
		) bool {
			return library.CancelModes != nil
		}, func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			called := make(chan struct{}, 1)
			s.register(callee, s.uri("stubborn"), nil, func(ctx context.Context, _ peer.Call) peer.Reply {
				called <- struct{}{}
				pause(ctx.Done())
				return peer.Reply{Args: []any{"all the same"}}
			})
			ctx, cancel := context.WithCancel(peer.WithCancelMode(s.ctx, "kill"))
			result := make(chan error, 1)
			go func() {
				_, err := caller.Call(ctx, s.uri("stubborn"), nil, nil, nil, nil)
				result <- err
			}()
			s.wait(called)
			cancel()
			// nexus hands out the end of the context, once there is an answer, and a timeout if there is none.
			if err := receive(s, result); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		},
	},
	{"RPC-25 RPC-32 ORD-07 progressive results come in order, then the final one", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		s.register(callee, s.uri("steps"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			if call.Progress == nil {
				return peer.Reply{Error: "com.example.not_told"}
			}
			for n := range 50 {
				if err := call.Progress([]any{n}, map[string]any{"n": n}); err != nil {
					return peer.Reply{Error: "com.example.progress", Args: []any{err.Error()}}
				}
			}
			return peer.Reply{Args: []any{"done"}}
		})
		var steps inbox[string]
		reply, err := caller.Call(s.ctx, s.uri("steps"), nil, nil, nil, func(r peer.Reply) { steps.put(progress(r)) })
		s.must(err)
		var want []string
		for n := range 50 {
			want = append(want, fmt.Sprintf("[%d] map[n:%d]", n, n))
		}
		if got := steps.all(); reply.Args[0] != "done" || !slices.Equal(got, want) {
			t.Fatalf("%v after %q", reply, got)
		}
	}},
	{"RPC-45 a caller that does not ask is not offered progress", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		s.register(callee, s.uri("plain"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			return peer.Reply{Args: []any{call.Progress == nil}}
		})
		if who := s.who(caller, s.uri("plain")); who != "true" {
			t.Fatal(who)
		}
	}},
	{
		"RPC-12 RPC-13 callers that vanish with calls open leave their callee usable", interrupts,
		func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			called, release := make(chan struct{}, 20), make(chan struct{})
			s.register(callee, s.uri("slow"), nil, hold(called, release))
			s.register(callee, s.uri("fine"), nil, named("alive"))
			for range 5 {
				gone := s.join()
				for range 4 {
					s.abandon(gone, s.uri("slow"))
				}
				for range 4 {
					s.wait(called)
				}
				gone.Drop()
			}
			close(release)
			if who := s.who(caller, s.uri("fine")); who != "alive" {
				t.Fatal(who)
			}
		},
	},
	{
		"RPC-46 RPC-50 RPC-52 a call that takes too long ends with timeout and its callee is interrupted; a quick " +
			"one is not",
		interrupts, func(t *testing.T, s *stage) {
			callee, caller := s.join(), s.join()
			interrupted := make(chan struct{})
			s.register(callee, s.uri("slow"), nil, func(ctx context.Context, _ peer.Call) peer.Reply {
				pause(ctx.Done())
				close(interrupted)
				return peer.Reply{Args: []any{"too late"}}
			})
			s.register(callee, s.uri("quick"), nil, named("quick"))
			_, err := caller.Call(s.ctx, s.uri("slow"), nil, nil, map[string]any{"timeout": 50}, nil)
			s.fails(err, "wamp.error.timeout")
			s.wait(interrupted)
			_, err = caller.Call(s.ctx, s.uri("quick"), nil, nil, map[string]any{"timeout": 20_000}, nil)
			s.must(err)
		},
	},
}
