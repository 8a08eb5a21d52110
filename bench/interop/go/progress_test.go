package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/bench/interop/peer"
)

// progressCases are about long streams of progressive results, and about those that end early. PROTOCOL 8.5, 8.7.
var progressCases = []testCase{
	{"RPC-28 progressive results may end in an error", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		s.register(callee, s.uri("steps"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			if err := call.Progress([]any{"half"}, nil); err != nil {
				return peer.Reply{Error: "com.example.progress"}
			}
			return peer.Reply{Error: "com.example.broke", Args: []any{"way"}}
		})
		var steps inbox[string]
		_, err := caller.Call(s.ctx, s.uri("steps"), nil, nil, nil, func(r peer.Reply) { steps.put(progress(r)) })
		failure := s.fails(err, "com.example.broke")
		s.equal("arguments", failure.Args, []any{"way"})
		s.equal("steps", steps.all(), []string{progress(peer.Reply{Args: []any{"half"}})})
	}},
	{"RPC-25 RPC-32 a long stream reaches a slow caller whole", nil, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		const octets = 1 << 17
		s.register(callee, s.uri("stream"), nil, func(_ context.Context, call peer.Call) peer.Reply {
			size := int(s.number(call.Args[0]))
			sent := 0
			for sent < octets {
				chunk := fmt.Sprintf("%08d", sent) + strings.Repeat("x", size-8)
				if err := call.Progress([]any{chunk}, nil); err != nil {
					return peer.Reply{Error: "com.example.progress"}
				}
				sent += size
			}
			return peer.Reply{Args: []any{sent}}
		})
		for _, size := range []int{64, 1000, 1 << 14} {
			got, count := 0, 0
			reply, err := caller.Call(s.ctx, s.uri("stream"), []any{size}, nil, nil, func(r peer.Reply) {
				chunk, _ := r.Args[0].(string)
				if !strings.HasPrefix(chunk, fmt.Sprintf("%08d", got)) {
					t.Errorf("chunk %d begins with %.8q", count, chunk)
				}
				got += len(chunk)
				if count++; count == 5 {
					time.Sleep(50 * time.Millisecond) // it lags behind, as a busy client does
				}
			})
			s.must(err)
			s.equal("octets", []any{got}, reply.Args)
		}
	}},
	{"RPC-33 a caller that leaves amid progressive results has its callee interrupted", interrupts, func(t *testing.T,
		s *stage,
	) {
		callee, caller, other := s.join(), s.join(), s.join()
		first, over := make(chan struct{}, 1), make(chan error, 1)
		s.register(callee, s.uri("steps"), nil, func(ctx context.Context, call peer.Call) peer.Reply {
			_ = call.Progress([]any{1}, nil)
			pause(ctx.Done())
			over <- call.Progress([]any{2}, nil) // to nobody
			return peer.Reply{Args: []any{"too late"}}
		})
		s.register(callee, s.uri("fine"), nil, named("alive"))
		ended := make(chan struct{})
		go func() {
			_, _ = caller.Call(context.Background(), s.uri("steps"), nil, nil, nil, func(peer.Reply) {
				select {
				case first <- struct{}{}:
				default:
				}
			})
			close(ended)
		}()
		s.wait(first)
		caller.Drop()
		s.wait(ended)
		receive(s, over) // sent or refused by the library, as its goroutines happen to run
		if who := s.who(other, s.uri("fine")); who != "alive" {
			t.Fatal(who)
		}
	}},
	{"RPC-53 the timeout counts from one progressive result to the next", interrupts, func(t *testing.T, s *stage) {
		callee, caller := s.join(), s.join()
		over := make(chan error, 1)
		s.register(callee, s.uri("fine"), nil, named("alive"))
		s.register(callee, s.uri("steps"), nil, func(ctx context.Context, call peer.Call) peer.Reply {
			for n := range 8 { // longer than the timeout, all together
				_ = call.Progress([]any{n}, nil)
				time.Sleep(100 * time.Millisecond)
			}
			pause(ctx.Done())
			over <- call.Progress([]any{"too late"}, nil)
			return peer.Reply{Error: "com.example.interrupted"}
		})
		var steps inbox[string]
		_, err := caller.Call(s.ctx, s.uri("steps"), nil, nil, map[string]any{"timeout": 400},
			func(r peer.Reply) { steps.put(progress(r)) })
		s.fails(err, "wamp.error.timeout")
		receive(s, over) // sent or refused by the library
		if who := s.who(caller, s.uri("fine")); who != "alive" {
			t.Fatal(who)
		}
		s.equal("steps", len(steps.all()), 8)
	}},
}
