package realm

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

// TestRPC06: a hundred calls answered in reverse order.
func TestRPC06(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	callee.register(1, "p", "single")
	for i := range 100 {
		caller.post(codec.Call, i+1, values{}, "p", []any{int64(i)})
	}
	b.Settle()
	for i := range 100 {
		callee.expect(codec.Invocation, i+1, nil, values{}, []any{int64(i)})
	}
	for i := 99; i >= 0; i-- {
		callee.say(codec.Yield, i+1, values{}, []any{int64(-i)})
		caller.expect(codec.Result, i+1, values{}, []any{int64(-i)})
	}
}

// TestRPC10: a callee disappears with a hundred calls of ten callers open.
func TestRPC10(t *testing.T) {
	b := newBed(t, 3, Config{})
	callee := b.join(0)
	callee.register(1, "p", "single")
	var callers []*peer
	for i := range 10 {
		p := b.join(i % 3)
		for k := range 10 {
			p.post(codec.Call, k+1, values{}, "p")
		}
		callers = append(callers, p)
	}
	b.Settle()
	callee.HangUp()
	b.Settle()
	for _, p := range callers {
		for k := range 10 {
			p.refused(codec.Call, k+1, codec.ErrCanceled)
		}
		p.silent()
	}
	if n := b.router.Stats().OpenCalls; n != 0 {
		t.Errorf("%d open calls", n)
	}
}

// TestRPC20 (TRN-27): a RESULT, or an ERROR, that is too long for the caller.
func TestRPC20(t *testing.T) {
	t.Attr("checklist", "TRN-27")
	b := newBed(t, 2, Config{})
	caller, callee := b.joinAs(0, codec.MessagePack, 512), b.join(1)
	callee.register(1, "p", "single")
	long := []any{strings.Repeat("x", 600)}
	caller.say(codec.Call, 1, values{}, "p")
	callee.say(codec.Yield, 1, values{}, long)
	caller.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
	caller.say(codec.Call, 2, values{}, "p")
	callee.say(codec.Error, codec.Invocation, 2, values{}, "com.error", long)
	caller.refused(codec.Call, 2, codec.ErrPayloadSizeExceeded)
	callee.hear()
	callee.hear()
	// A progressive one ends the call; the callee is told to stop.
	caller.say(codec.Call, 3, values{"receive_progress": true}, "p")
	callee.expect(codec.Invocation, 3, nil, values{"receive_progress": true})
	callee.say(codec.Yield, 3, values{"progress": true}, long)
	caller.refused(codec.Call, 3, codec.ErrPayloadSizeExceeded)
	callee.expect(codec.Interrupt, 3, values{"mode": "killnowait"})
	callee.say(codec.Yield, 3, values{})
	caller.silent()
	callee.silent()
	caller.open()
	callee.open()
}

// TestRPC21: an INVOCATION that is too long for the callee leaves no trace there.
func TestRPC21(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.joinAs(1, codec.CBOR, 512)
	id := callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{}, "p", []any{strings.Repeat("x", 600)})
	caller.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
	callee.silent()
	caller.say(codec.Call, 2, values{}, "p")
	callee.expect(codec.Invocation, 1, id, values{})
}

// TestREG14: random chooses everybody.
func TestREG14(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, one, two := b.join(0), b.join(0), b.join(0)
	one.register(1, "p", "random")
	two.register(1, "p", "random")
	for i := range 200 {
		caller.post(codec.Call, i+1, values{}, "p")
	}
	b.Settle()
	count := func(p *peer) (n int) {
		for p.hear() != nil {
			n++
		}
		return n
	}
	if a, b := count(one), count(two); a+b != 200 || a < 50 || b < 50 {
		t.Errorf("%d and %d of 200 calls", a, b)
	}
}

// TestRPC71: many calls at once, each canceled while its answer is on the way, in every order the loops can have.
func TestRPC71(t *testing.T) {
	for _, mode := range []string{"skip", "kill", "killnowait"} {
		for at := 1; at <= 3; at++ {
			b := newBed(t, 2, Config{})
			caller, callee := b.join(0), b.join(1)
			callee.register(1, "p", "single")
			caller.say(codec.Call, 1, values{}, "p")
			callee.hear()
			caller.post(codec.Cancel, 1, values{"mode": mode})
			b.pause[0], b.skip[0] = "conn.lock", at-1
			b.RunLoop(0)
			callee.say(codec.Yield, 1, values{})
			b.Settle()
			finals := 0
			for msg := caller.hear(); msg != nil; msg = caller.hear() {
				finals++
			}
			if finals != 1 {
				t.Errorf("%s, step %d: %d final answers", mode, at, finals)
			}
			if n := b.router.Stats().OpenCalls; n != 0 {
				t.Errorf("%s, step %d: %d open calls", mode, at, n)
			}
		}
	}
}

// TestRPC53: every progressive result starts the timeout again, from whichever loop it
// comes; silence then ends the call.
func TestRPC53(t *testing.T) {
	for _, loop := range []int{0, 1} { // the callee's
		b := newBed(t, 2, Config{})
		caller, callee := b.join(0), b.join(loop)
		callee.register(1, "p", "single")
		caller.say(codec.Call, 1, values{"receive_progress": true, "timeout": int64(200)}, "p")
		callee.hear()
		for range 10 {
			b.Advance(150 * time.Millisecond)
			callee.say(codec.Yield, 1, values{"progress": true})
			caller.expect(codec.Result, 1, values{"progress": true})
		}
		b.Advance(199 * time.Millisecond)
		b.Settle()
		caller.silent()
		b.Advance(time.Millisecond)
		b.Settle()
		caller.refused(codec.Call, 1, codec.ErrTimeout)
		callee.expect(codec.Interrupt, 1, values{"mode": "killnowait"})
		if n := b.Loops[0].Armed() + b.Loops[1].Armed(); n != 0 {
			t.Errorf("%d timers left", n)
		}
	}
}

// TestRPC54: the unit is the millisecond. A call that is answered, whose caller leaves or that finds no callee leaves
// no timer behind.
func TestRPC54(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{"timeout": int64(1000)}, "p")
	b.Advance(time.Second - 1)
	b.Settle()
	caller.silent()
	b.Advance(1)
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrTimeout)

	caller.say(codec.Call, 2, values{"timeout": int64(1000)}, "p")
	callee.say(codec.Yield, 2, values{})
	caller.expect(codec.Result, 2, values{})
	caller.say(codec.Call, 3, values{"timeout": int64(1000)}, "none")
	caller.refused(codec.Call, 3, codec.ErrNoSuchProcedure)
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers left after the answers", n)
	}
	caller.say(codec.Call, 4, values{"timeout": int64(1) << 53}, "p") // no overflow
	if n := b.Loops[0].Armed(); n != 1 {
		t.Errorf("%d timers for one call", n)
	}
	caller.HangUp()
	b.Settle()
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers left after the caller", n)
	}
}

// TestTimeoutRace: the answer is on its way from another loop when the time is over, at every step it can be at.
func TestTimeoutRace(t *testing.T) {
	for at := 1; at <= 3; at++ {
		b := newBed(t, 2, Config{})
		caller, callee := b.join(0), b.join(1)
		callee.register(1, "p", "single")
		caller.say(codec.Call, 1, values{"timeout": int64(100)}, "p")
		callee.post(codec.Yield, 1, values{})
		b.pause[1], b.skip[1] = "conn.lock", at-1
		b.RunLoop(1)
		b.Advance(100 * time.Millisecond)
		b.RunLoop(0)
		b.Settle()
		finals := 0
		for msg := caller.hear(); msg != nil; msg = caller.hear() {
			finals++
		}
		if finals != 1 || b.Loops[0].Armed() != 0 {
			t.Errorf("step %d: %d final answers, %d timers left", at, finals, b.Loops[0].Armed())
		}
	}
}

// TestCallAllocs: a call and its answer allocate nothing but the record, which comes eight at a time.
func TestCallAllocs(t *testing.T) {
	x, sessions := quietBed(t, 2)
	caller, callee := sessions[0], sessions[1]
	callee.handler.Receive(x, encode(t, int64(64), int64(1), values{}, "p"))
	call, yield := encode(t, int64(48), int64(1), values{}, "p", []any{"x"}),
		encode(t, int64(70), int64(1), values{}, []any{"x"})
	if n := testing.AllocsPerRun(1000, func() {
		callee.lastInvocation = 0
		caller.handler.Receive(x, call)
		callee.handler.Receive(x, yield)
	}); n != 0 { // rounded down: an eighth
		t.Errorf("%v allocations a call", n)
	}
}
