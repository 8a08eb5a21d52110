package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// quietBed joins n peers on one loop and takes the measuring rod out of the way: locks, queues and frames of the fake
// connections do nothing.
func quietBed(tb *testing.T, n int) (port.Executor, []*session) {
	tb.Helper()
	b := newBed(tb, 1, Config{})
	for range n {
		b.join(0)
	}
	s := b.router.named["realm1"].sessions[0].head
	sessions := append([]*session{s}, others(s)...)
	for _, s := range sessions {
		s.conn = quietConn{s.conn}
		s.handler.conn = s.conn
	}
	return quietLoop{b.Loops[0], 4096}, sessions
}

func encode(tb testing.TB, v ...any) []byte {
	tb.Helper()
	b, err := codec.AppendValue(nil, codec.MessagePack, v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// BenchmarkPublish measures decode, match, encode and walk; queues excluded.
func BenchmarkPublish(b *testing.B) {
	for _, members := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d/batch=16", members), func(b *testing.B) {
			x, sessions := quietBed(new(testing.T), members+1)
			subscribe := encode(b, int64(32), int64(1), values{}, "com.example.topic")
			for _, s := range sessions[1:] {
				s.handler.Receive(x, subscribe)
			}
			msg := encode(b, int64(16), int64(1), values{}, "com.example.topic", []any{strings.Repeat("x", 64)})
			publisher := sessions[0]
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				publisher.handler.Receive(x, msg)
				if i%16 == 15 {
					publisher.EndOfBatch(x)
				}
			}
		})
	}
}

// BenchmarkCall measures one CALL and its YIELD; queues excluded. The budget is 0.7 us of user code a message.
func BenchmarkCall(b *testing.B) {
	x, sessions := quietBed(new(testing.T), 2)
	caller, callee := sessions[0], sessions[1]
	callee.handler.Receive(x, encode(b, int64(64), int64(1), values{}, "com.example.procedure"))
	call := encode(b, int64(48), int64(1), values{}, "com.example.procedure", []any{strings.Repeat("x", 64)})
	yield := encode(b, int64(70), int64(1), values{}, []any{strings.Repeat("x", 64)})
	b.ReportAllocs()
	for b.Loop() {
		callee.lastInvocation = 0
		caller.handler.Receive(x, call)
		callee.handler.Receive(x, yield)
	}
	if caller.calls.len() != 0 {
		b.Fatal("calls are not answered")
	}
}

// BenchmarkJoin measures HELLO, WELCOME and both GOODBYEs of an anonymous session in a realm without logins.
func BenchmarkJoin(b *testing.B) {
	x, sessions := quietBed(new(testing.T), 1)
	h := sessions[0].handler
	hello := encode(b, int64(1), "realm1", values{"roles": values{"caller": values{}, "subscriber": values{}}})
	goodbye := encode(b, int64(6), values{}, "wamp.close.close_realm")
	h.Receive(x, goodbye)
	b.ReportAllocs()
	for b.Loop() {
		h.Receive(x, hello)
		if h.state != stateJoined {
			b.Fatal("not joined")
		}
		h.Receive(x, goodbye)
	}
}
