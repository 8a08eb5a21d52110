package realm

import (
	"testing"

	"banyan/codec"
	"banyan/realm/policy"
)

// TestTrustAuthorizer: what an authorizer allows has the level of the permission that left it open, also when its
// answer is kept, and what it forbids is not sent. On a record neither such an answer nor a level is kept.
func TestTrustAuthorizer(t *testing.T) {
	t.Attr("checklist", "PUB-30 RPC-80")
	b := newAuthorizerBed(t, 2, func(_ *Authorizer, cfg *Config) {
		all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{
				{
					URI: "static.*", Allow: all, Trusted: true, TrustLevel: 4,
					Disclose: policy.Disclose{Publisher: true},
				},
				{URI: "asked.*", Trusted: true, TrustLevel: 9, Cache: true},
			},
		})
	})
	receiver, sender := b.localAs(1, trustedRole), b.join(0)
	for i, uri := range []string{"static.x", "asked.x"} {
		b.say(receiver, codec.Subscribe, 2*i+1, values{}, uri)
		b.say(receiver, codec.Register, 2*i+2, values{}, uri)
	}
	b.heard[receiver] = nil
	invocations := 0
	next := func() values {
		t.Helper()
		b.Settle()
		m := b.heard[receiver][0]
		b.heard[receiver] = b.heard[receiver][1:]
		if m[0] == int64(codec.Invocation) {
			invocations++
			b.say(receiver, codec.Yield, invocations, values{})
		}
		return m[3].(values)
	}
	for round := range 3 {
		sender.say(codec.Publish, 1, values{"acknowledge": true}, "static.x")
		sender.expect(codec.Published, 1, nil)
		if d := next(); d["trustlevel"] != int64(4) || d["publisher"] != int64(sender.id) {
			t.Errorf("%v", d)
		}
		sender.say(codec.Call, 2, values{}, "static.x")
		if d := next(); d["trustlevel"] != int64(4) || d["caller"] != nil {
			t.Errorf("%v", d)
		}
		sender.expect(codec.Result, 2, values{})
		sender.say(codec.Publish, 3, values{"acknowledge": true}, "asked.x")
		if round == 0 {
			b.answer(Publish, "asked.x", true)
		}
		sender.expect(codec.Published, 3, nil)
		if d := next(); d["trustlevel"] != int64(9) {
			t.Errorf("%v", d)
		}
		sender.say(codec.Call, 4, values{}, "asked.x")
		if round == 0 {
			b.answer(Call, "asked.x", true)
		}
		if d := next(); d["trustlevel"] != int64(9) {
			t.Errorf("%v", d)
		}
		sender.expect(codec.Result, 4, values{})
	}
	b.quiet()
	// A large event and one of several subscriptions go other ways; the router's own sessions have no level.
	b.say(receiver, codec.Subscribe, 9, values{"match": "prefix"}, "static.")
	b.heard[receiver] = nil
	b.router.bounds.largeBytes = 100
	sender.say(codec.Publish, 5, values{}, "static.x", []any{string(make([]byte, 200))})
	for range 2 {
		if d := next(); d["trustlevel"] != int64(4) {
			t.Errorf("%v", d)
		}
	}
	b.say(b.authorize, codec.Publish, 2, values{}, "static.x")
	if d := next(); d["trustlevel"] != nil {
		t.Errorf("%v", d)
	}
}

// TestTrustReload: a level that comes, changes and goes holds from the next message on.
func TestTrustReload(t *testing.T) {
	t.Attr("checklist", "PUB-30 RPC-80")
	with := func(trusted bool, level int) Config {
		return Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t, policy.RoleDefinition{
			Name: "anonymous", Permissions: []policy.Permission{{
				URI: "*", Allow: &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true},
				Trusted: trusted, TrustLevel: level,
			}},
		})}}}
	}
	b := newBed(t, 2, with(false, 0))
	receiver, sender := b.join(1), b.join(0)
	receiver.subscribe(1, "t")
	receiver.register(2, "p", "single")
	calls := 0
	for _, c := range []struct {
		trusted bool
		level   int
	}{{false, 0}, {true, 0}, {true, 3}, {false, 0}, {true, 3}} {
		b.apply(with(c.trusted, c.level))
		want := values{}
		if c.trusted {
			want["trustlevel"] = int64(c.level)
		}
		for range 2 {
			sender.say(codec.Publish, 1, values{}, "t")
			receiver.expect(codec.Event, nil, nil, want)
			sender.say(codec.Call, 2, values{}, "p")
			calls++
			receiver.expect(codec.Invocation, calls, nil, want)
			receiver.say(codec.Yield, calls, values{})
			sender.expect(codec.Result, 2, values{})
		}
	}
}
