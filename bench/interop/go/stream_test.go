package interop

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"banyan/bench/interop/peer"
)

// chunks returns a function for CallStream: n chunks, the last of which ends the call.
func chunks(n int) func() peer.Chunk {
	sent := 0
	return func() peer.Chunk {
		sent++
		return peer.Chunk{Args: []any{sent}, More: sent < n}
	}
}

// more reports whether a further chunk is to come.
func more(call peer.Call) bool {
	progress, _ := call.Details["progress"].(bool)
	return progress
}

// streamCases are about calls in chunks. PROTOCOL 8.6.
var streamCases = []testCase{
	{"RPC-36 RPC-45 chunks of one call reach the callee in their order, all but the last with progress", nil, func(
		t *testing.T, s *stage,
	) {
		callee, caller := s.join(), s.join()
		const n = 50
		var got inbox[string]
		var sum atomic.Int64
		all := make(chan struct{})
		s.register(callee, s.uri("sum"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			sum.Add(int64(s.number(call.Args[0])))
			got.put(fmt.Sprintf("%v %t", inText(call.Args[0]), more(call)))
			if len(got.all()) == n {
				close(all)
			}
			if more(call) {
				return peer.Reply{Error: peer.Unanswered}
			}
			pause(all) // xconn handles chunks in goroutines
			return peer.Reply{Args: []any{sum.Load()}}
		})
		reply, err := caller.CallStream(s.ctx, s.uri("sum"), nil, chunks(n), nil)
		s.must(err)
		s.equal("sum", reply.Args, []any{n * (n + 1) / 2})
		var want []string
		for i := 1; i <= n; i++ {
			want = append(want, fmt.Sprintf("%d %t", i, i < n))
		}
		s.same(got.all(), want)
		_, err = caller.Call(s.ctx, s.uri("sum"), []any{0}, nil, nil, nil) // its own id, and no progress
		s.must(err)
	}},
	{"RPC-37 all chunks go to one callee of several, those of the next call to the next", nil, func(
		t *testing.T, s *stage,
	) {
		caller := s.join()
		var at [2]atomic.Int64
		for i := range at {
			callee := s.join()
			s.register(callee, s.uri("shared"), map[string]any{"invoke": "roundrobin"}, func(_ context.Context,
				call peer.Call,
			) peer.Reply {
				at[i].Add(1)
				if more(call) {
					return peer.Reply{Error: peer.Unanswered}
				}
				return peer.Reply{Args: []any{i}}
			})
		}
		for i := range 2 {
			reply, err := caller.CallStream(s.ctx, s.uri("shared"), nil, chunks(10), nil)
			s.must(err)
			s.equal("callee", reply.Args, []any{i})
			s.until("all chunks", func() bool { return at[i].Load() == 10 })
		}
	}},
	{"RPC-40 chunks are answered by progressive results while they come", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		s.register(callee, s.uri("echo"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			if more(call) {
				if err := call.Progress(call.Args, nil); err != nil {
					return peer.Reply{Error: "com.example.progress"}
				}
				return peer.Reply{Error: peer.Unanswered}
			}
			return peer.Reply{Args: []any{"end"}}
		})
		answered := make(chan struct{}, 1)
		sent := 0
		next := func() peer.Chunk {
			if sent > 0 {
				pause(answered) // each chunk waits for the answer to the one before it
			}
			sent++
			return peer.Chunk{Args: []any{sent}, More: sent <= 5}
		}
		var got inbox[string]
		reply, err := caller.CallStream(s.ctx, s.uri("echo"), nil, next, func(r peer.Reply) {
			got.put(inText(r.Args))
			select {
			case answered <- struct{}{}:
			default: // more than were asked for; the comparison below tells
			}
		})
		s.must(err)
		s.equal("result", reply.Args, []any{"end"})
		s.equal("answers", got.all(), []string{"[1]", "[2]", "[3]", "[4]", "[5]"})
	}},
	{"RPC-39 a callee that answers early has answered; later chunks start no second call", nil, func(
		t *testing.T, s *stage,
	) {
		callee, caller := s.join(), s.join()
		var invoked atomic.Int64
		s.register(callee, s.uri("early"), nil, func(context.Context, peer.Call) peer.Reply {
			invoked.Add(1)
			return peer.Reply{Args: []any{"enough"}}
		})
		s.register(callee, s.uri("fine"), nil, named("alive"))
		over, last := make(chan struct{}), make(chan struct{})
		sent := 0
		next := func() peer.Chunk {
			if sent++; sent == 2 {
				pause(over)
			}
			if sent == 4 {
				close(last)
			}
			return peer.Chunk{Args: []any{sent}, More: sent < 4}
		}
		reply, err := caller.CallStream(s.ctx, s.uri("early"), nil, next, nil)
		s.must(err)
		s.equal("result", reply.Args, []any{"enough"})
		close(over)
		s.wait(last)
		for _, who := range []peer.Session{caller, callee, caller} { // behind the last chunk
			if got := s.who(who, s.uri("fine")); got != "alive" {
				t.Fatal(got)
			}
		}
		s.equal("invocations", invoked.Load(), 1)
	}},
	{"RPC-44 RPC-72 a caller that gives up, or leaves, has its callee interrupted", interrupts, func(t *testing.T,
		s *stage,
	) {
		callee := s.join()
		called, interrupted := make(chan struct{}, 10), make(chan struct{}, 10)
		s.register(callee, s.uri("upload"), nil, func(ctx context.Context, _ peer.Call) peer.Reply {
			called <- struct{}{}
			pause(ctx.Done())
			interrupted <- struct{}{}
			return peer.Reply{Error: peer.Unanswered}
		})
		for _, leaves := range []bool{false, true} {
			caller := s.join()
			sent := 0
			going := make(chan struct{})
			ended := make(chan error, 1)
			go func() {
				_, err := caller.CallStream(context.Background(), s.uri("upload"), nil, func() peer.Chunk {
					if sent++; sent < 3 {
						return peer.Chunk{Args: []any{sent}, More: true}
					}
					pause(called) // an INTERRUPT at once can keep nexus from calling the handler at all
					if leaves {
						close(going)
						pause(caller.Done())
					}
					return peer.Chunk{Err: errors.New("given up")}
				}, nil)
				ended <- err
			}()
			if leaves {
				s.wait(going)
				caller.Drop()
			}
			s.wait(interrupted)
			if err := receive(s, ended); err == nil {
				t.Fatal("the call had a result")
			}
		}
	}},
}
