package realm

import (
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/policy"
)

// timedBed is an authorizerBed whose clock goes with its timers, with a caller and a callee of asked.p that announces
// call_timeout.
func timedBed(t *testing.T, forward bool) (b *authorizerBed, caller, callee *peer) {
	t.Helper()
	b = newAuthorizerBed(t, 2, func(_ *Authorizer, cfg *Config) {
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{mayAll("wamp.*"), mayAll("free.*")},
		})
	})
	b.router.clock = func() time.Time { return noon.Add(b.Now()) }
	callee = b.connect(1, codec.JSON, 1<<20)
	callee.say(codec.Hello, "realm1", values{"roles": values{"callee": values{"features": values{
		"call_timeout": true, "call_canceling": true,
	}}}})
	callee.expect(codec.Welcome, nil, nil)
	callee.say(codec.Register, 1, values{"forward_timeout": forward}, "asked.p")
	b.answer(Register, "asked.p", true)
	callee.expect(codec.Registered, 1, nil)
	return b, b.join(0), callee
}

// TestTimeoutWhileAsked: RPC-46. The timeout of a call runs from the receipt of CALL, also while an authorizer
// decides; who gets the call has what is left of it.
func TestTimeoutWhileAsked(t *testing.T) {
	for _, forward := range []bool{false, true} {
		b, caller, callee := timedBed(t, forward)
		caller.say(codec.Call, 1, values{"timeout": 100}, "asked.p")
		b.Advance(100*time.Millisecond - 1)
		b.Settle()
		caller.silent()
		b.Advance(1)
		b.Settle()
		caller.refused(codec.Call, 1, codec.ErrTimeout)
		b.answer(Call, "asked.p", values{"allow": true, "cache": false})
		callee.silent()
		caller.silent()

		caller.say(codec.Call, 2, values{"timeout": 100}, "asked.p")
		b.Advance(40*time.Millisecond + 1) // what is left is rounded up
		b.Settle()
		b.answer(Call, "asked.p", values{"allow": true, "cache": false})
		if forward {
			callee.expect(codec.Invocation, 1, nil, values{"timeout": int64(60)})
		} else {
			callee.expect(codec.Invocation, 1, nil, values{})
		}
		b.Advance(60*time.Millisecond - 1)
		b.Settle()
		caller.silent()
		b.Advance(1)
		b.Settle()
		if forward {
			caller.silent()
			callee.say(codec.Error, codec.Invocation, 1, values{}, codec.ErrTimeout)
			caller.refused0(codec.Call, 2, codec.ErrTimeout)
		} else {
			caller.refused(codec.Call, 2, codec.ErrTimeout)
			callee.expect(codec.Interrupt, 1, values{"mode": "killnowait"})
		}

		for i, allow := range []bool{true, false} { // the answer stops the timer, whoever gives it
			caller.say(codec.Call, 3+i, values{"timeout": 100}, "asked.p")
			b.answer(Call, "asked.p", values{"allow": allow, "cache": false})
			if allow {
				callee.expect(codec.Invocation, 2, nil, nil)
				callee.say(codec.Yield, 2, values{})
				caller.expect(codec.Result, 3, values{})
			} else {
				caller.refused(codec.Call, 4, codec.ErrNotAuthorized)
			}
		}
		nothingUnderWay(t, b.bed)
	}
}

// TestTimeoutOfMetaCall: the router's own procedures keep to the timeout of a call too, and the session goes on when
// they are done.
func TestTimeoutOfMetaCall(t *testing.T) {
	b, caller, _ := timedBed(t, false)
	add := func(request int, ms int) {
		caller.say(codec.Call, request, values{"timeout": ms}, "wamp.session.add_testament",
			[]any{"asked.t", []any{}, values{}})
	}
	add(1, 100)
	b.Advance(100*time.Millisecond - 1)
	b.Settle()
	caller.silent()
	b.Advance(1)
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrTimeout)
	caller.say(codec.Call, 2, values{}, "wamp.session.count")
	caller.silent()
	b.answer(Publish, "asked.t", true)
	caller.expect(codec.Result, 2, values{}, nil)
	caller.silent()

	add(3, 100)
	b.answer(Publish, "asked.t", true)
	caller.expect(codec.Result, 3, values{})
	nothingUnderWay(t, b.bed)
}

// TestTimeoutGoesBack: a call whose timer ran while the authorizer decided goes to a callee that minds the timeout
// itself, and from it to one that does not: the router minds what is left.
func TestTimeoutGoesBack(t *testing.T) {
	b, caller, _ := timedBed(t, true)
	var callees [2]*peer
	for i := range callees {
		callees[i] = b.joinRerouting(1, codec.JSON, "call_timeout", "call_canceling")
		callees[i].say(codec.Register, 1, values{"invoke": "first", "forward_timeout": i == 0}, "asked.q")
		b.answer(Register, "asked.q", values{"allow": true, "cache": false})
		callees[i].expect(codec.Registered, 1, nil)
	}
	caller.say(codec.Call, 1, values{"timeout": 100}, "asked.q")
	b.Advance(10 * time.Millisecond)
	b.answer(Call, "asked.q", true)
	callees[0].expect(codec.Invocation, 1, nil, values{"timeout": int64(90)})
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers while the callee minds the timeout", n)
	}
	b.Advance(10 * time.Millisecond)
	callees[0].unavailable(1)
	callees[1].expect(codec.Invocation, 1, nil, values{})
	b.Advance(80*time.Millisecond - 1)
	b.Settle()
	caller.silent()
	b.Advance(1)
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrTimeout)
	callees[1].expect(codec.Interrupt, 1, values{"mode": "killnowait"})
	nothingUnderWay(t, b.bed)
}

// TestTimeoutInThePool: RPC-46. The timeout goes on while the payload of a call is transcoded; if that takes all of
// it, nobody gets the call.
func TestTimeoutInThePool(t *testing.T) {
	for _, took := range []time.Duration{30, 100} {
		b := newBed(t, 2, Config{})
		b.router.clock = func() time.Time { return noon.Add(b.Now()) }
		caller, callee := b.join(0), b.joinAs(1, codec.CBOR, codec.MessageBytesMax)
		callee.register(1, "p", "single")
		caller.post(codec.Call, 1, values{"timeout": 100}, "p", []any{large})
		b.RunLoop(0)
		b.StepAsync(0) // it is decoded
		b.RunLoop(0)
		if b.Async() != 1 {
			t.Fatalf("%d pieces of work for the pool", b.Async())
		}
		b.Advance(took * time.Millisecond)
		b.Settle()
		if took == 100 {
			caller.refused(codec.Call, 1, codec.ErrTimeout)
			callee.silent()
		} else {
			callee.expect(codec.Invocation, 1, nil, values{}, nil)
			b.Advance((100-took)*time.Millisecond - 1)
			b.Settle()
			caller.silent()
			b.Advance(1)
			b.Settle()
			caller.refused(codec.Call, 1, codec.ErrTimeout)
		}
		nothingUnderWay(t, b)
	}
}
