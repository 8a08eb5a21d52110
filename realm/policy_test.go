package realm

import (
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/policy"
)

// grant is a policy of a test: each role may do everything, or nothing.
func grant(t *testing.T, roles map[string]bool) *policy.Snapshot {
	t.Helper()
	var defs []policy.RoleDefinition
	for name, all := range roles {
		def := policy.RoleDefinition{Name: name}
		if all {
			def.Permissions = []policy.Permission{{
				URI: "*", Allow: &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true},
			}}
		}
		defs = append(defs, def)
	}
	return compile(t, defs...)
}

func compile(t *testing.T, roles ...policy.RoleDefinition) *policy.Snapshot {
	t.Helper()
	snapshot, problems := policy.Compile(roles, false)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// TestAUZNoWayAround walks every request on every path to a record, with a policy that refuses everything: none gets
// there. Somebody who may do everything has made the records, so nothing is refused for want of one.
func TestAUZNoWayAround(t *testing.T) {
	rules := grant(t, map[string]bool{"maker": true, "anonymous": false})
	b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1", Policy: rules}}})
	maker := b.localAs(0, "maker")
	request := 0
	next := func() int { request++; return request }
	for _, match := range []string{"exact", "prefix", "wildcard"} {
		uri := map[string]string{"exact": "a.b", "prefix": "a.", "wildcard": "a..c"}[match]
		b.say(maker, codec.Subscribe, next(), values{"match": match}, uri)
		b.say(maker, codec.Register, next(), values{"match": match, "invoke": "roundrobin"}, uri)
	}
	made := len(b.heard[maker])
	p := b.join(1)
	// by the exact record, the prefix, both patterns, and none
	for _, uri := range []string{"a.b", "a.x", "a.b.c", "none"} {
		p.say(codec.Publish, 1, values{"acknowledge": true}, uri)
		p.refused(codec.Publish, 1, codec.ErrNotAuthorized)
		p.say(codec.Publish, 2, values{}, uri)
		p.silent()
		for range 2 { // the second time the decision is on the record
			p.say(codec.Call, 3, values{}, uri)
			p.refused(codec.Call, 3, codec.ErrNotAuthorized)
		}
	}
	for _, match := range []string{"exact", "prefix", "wildcard"} {
		for _, uri := range []string{"a.b", "a.", "a..c", "none"} {
			if match != "wildcard" && strings.Contains(uri, "..") || match == "exact" && strings.HasSuffix(uri, ".") {
				continue // malformed
			}
			p.say(codec.Subscribe, 4, values{"match": match}, uri)
			p.refused(codec.Subscribe, 4, codec.ErrNotAuthorized)
			p.say(codec.Register, 5, values{"match": match, "invoke": "roundrobin"}, uri)
			p.refused(codec.Register, 5, codec.ErrNotAuthorized)
		}
	}
	if n := len(b.heard[maker]); n != made {
		t.Errorf("%d messages got through: %v", n-made, b.heard[maker][made:])
	}
	if n := b.router.Stats().Unauthorized; n == 0 {
		t.Error("not counted")
	}
	b.say(maker, codec.Publish, next(), values{"exclude_me": false}, "a.b")
	if n := len(b.heard[maker]); n != made+2 {
		t.Errorf("the maker heard %d events, want 2", n-made)
	}
}

// TestAUZDecisionIsKept: what the policy decides for a role stands on the record, until the policy is replaced. Other
// roles have decisions of their own.
func TestAUZDecisionIsKept(t *testing.T) {
	yes := grant(t, map[string]bool{"anonymous": true, "bad": false})
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Policy: yes}}})
	callee, good, bad := b.join(0), b.join(0), b.localAs(0, "bad")
	callee.register(1, "p", "single")
	callee.subscribe(2, "t")
	rm := b.router.named["realm1"]
	kept := func(role roleNumber, want, allow bool) {
		t.Helper()
		epoch := rm.settings.Load().epoch
		for _, p := range []*permit{
			&rm.topics.Find([]byte("t"), codec.Exact).rights, &rm.procedures.Find([]byte("p"), codec.Exact).rights,
		} {
			bits := p.decision(role, epoch)
			if (bits != 0) != want || (bits&permitAllowed != 0) != allow {
				t.Errorf("role %d: %b", role, bits)
			}
		}
	}
	kept(0, false, false)
	for range 3 {
		good.say(codec.Publish, 1, values{}, "t")
		callee.expect(codec.Event, nil, nil, values{})
		good.say(codec.Call, 2, values{}, "p")
		invocation := callee.expect(codec.Invocation, nil, nil, values{})
		callee.say(codec.Yield, int(invocation[1].(int64)), values{})
		good.expect(codec.Result, 2, values{})
	}
	kept(0, true, true)
	kept(makeRoleNumber(1), false, false)
	for i := range 3 {
		b.say(bad, codec.Publish, i+1, values{"acknowledge": true}, "t")
		if m := b.heard[bad][i]; m[4] != codec.ErrNotAuthorized {
			t.Errorf("%v", m)
		}
	}
	b.say(bad, codec.Call, 4, values{}, "p")
	kept(makeRoleNumber(1), true, false)
	no := compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{{
		URI: "*", Allow: &policy.Actions{Register: true, Subscribe: true},
	}}}, policy.RoleDefinition{Name: "bad"})
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1", Policy: no}}})
	kept(0, false, false)
	for range 2 {
		good.say(codec.Publish, 3, values{"acknowledge": true}, "t")
		good.refused(codec.Publish, 3, codec.ErrNotAuthorized)
		good.say(codec.Call, 4, values{}, "p")
		good.refused(codec.Call, 4, codec.ErrNotAuthorized)
	}
	kept(0, true, false)
}

// TestPermit: the bits of roles and epochs do not touch each other, at the bounds too.
func TestPermit(t *testing.T) {
	var p permit
	decisionOf := func(n int) policy.Decision {
		return policy.Decision{Allow: n%2 == 0, Disclose: n%4 == 0, Cache: true, Definitive: true}
	}
	number := func(n int) roleNumber {
		if n >= permitRoles {
			return noNumber
		}
		return makeRoleNumber(n)
	}
	for _, epoch := range []uint64{0, 1, permitEpoch} {
		for n := range permitRoles + 2 {
			if p.decision(number(n), epoch) != 0 && epoch != 0 {
				t.Errorf("epoch %d, role %d: decided before anybody was asked", epoch, n)
			}
			p.decide(number(n), epoch, decisionOf(n))
		}
		for n := range permitRoles + 2 {
			want := decisionBits(decisionOf(n))
			if n >= permitRoles {
				want = 0
			}
			if bits := p.decision(number(n), epoch); bits != want {
				t.Errorf("epoch %d, role %d: %b, want %b", epoch, n, bits, want)
			}
		}
	}
	for n := range permitRoles {
		if p.decision(number(n), 1) != 0 {
			t.Errorf("role %d: a decision outlived its epoch", n)
		}
	}
	p.decide(0, 2, policy.Decision{Allow: true, Definitive: true})
	if p.decision(0, 2) != 0 {
		t.Error("kept what may not be kept")
	}
}

// TestRoles: names become numbers once; those beyond what a permit can hold share one, and are not kept.
func TestRoles(t *testing.T) {
	b := newBed(t, 1, Config{})
	rm := b.router.named["realm1"]
	if rm.role(anonymousRole) != 0 {
		t.Error("anonymous is not 0")
	}
	seen := map[roleNumber]bool{0: true}
	for i := range permitRoles - 1 {
		n := rm.role(strings.Repeat("r", i+1))
		if seen[n] || n == noNumber || rm.role(strings.Repeat("r", i+1)) != n {
			t.Errorf("role %d has number %d", i, n)
		}
		seen[n] = true
	}
	for _, name := range []string{"one more", "and one"} {
		if n := rm.role(name); n != noNumber {
			t.Errorf("%s has number %d", name, n)
		}
	}
	if len(rm.roles) != permitRoles {
		t.Errorf("%d names kept", len(rm.roles))
	}
}

// TestReservedPatterns: patterns of reserved URIs can be registered, but get no calls (PROTOCOL 3.3).
func TestReservedPatterns(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	for i, match := range []string{"prefix", "wildcard"} {
		p.say(codec.Register, i+1, values{"match": match}, "wamp.a.b")
		p.expect(codec.Registered, i+1, nil)
	}
	p.say(codec.Call, 3, values{}, "wamp.a.b")
	p.refused(codec.Call, 3, codec.ErrNoSuchProcedure)
}
