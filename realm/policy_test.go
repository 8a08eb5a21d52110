package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

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

// TestAUZNoWayAround sends every request on every path to a record, as somebody who may do nothing: nothing gets
// there, and nothing is left in the index. Somebody who may do everything has made the records, so nothing is refused
// for want of one. The reasons for the refusal differ: a permission that does not list the action, no permission, no
// role, an authorizer that says no, one that fails. AUZ-01, AUZ-02, AUZ-03, SUB-19, PUB-06, REG-25, RPC-18.
func TestAUZNoWayAround(t *testing.T) {
	t.Attr("checklist", "AUZ-01 AUZ-02 AUZ-03 SUB-19 PUB-06 REG-25 RPC-18 AUZ-13")
	// Every message that a client may send is a request with paths, or needs no permission (AUZ-13).
	paths := map[codec.Type][]string{
		codec.Publish: {
			"exact", "by a prefix", "by both patterns", "by none", "acknowledged", "with a filter",
			"with many matches",
			"large",
		},
		codec.Call: {
			"exact", "by a prefix", "by both patterns", "by none", "shared", "progressive", "with a timeout",
			"with many matches", "large", "reserved",
		},
		codec.Subscribe: {
			"exact, there", "prefix, there", "wildcard, there", "exact, new", "prefix, new", "wildcard, new",
			"reserved",
		},
		codec.Register: {
			"exact, there", "prefix, there", "wildcard, there", "exact, new", "prefix, new", "wildcard, new",
		},
	}
	free := []codec.Type{
		codec.Hello, codec.Authenticate, codec.Abort, codec.Goodbye, codec.Unsubscribe, codec.Unregister, codec.Yield,
		codec.Cancel, codec.Error, codec.EventReceived,
	}
	for _, m := range []codec.Type{
		codec.Hello, codec.Authenticate, codec.Abort, codec.Goodbye, codec.Error, codec.Publish, codec.Subscribe,
		codec.Unsubscribe, codec.Call, codec.Cancel, codec.Register, codec.Unregister, codec.Yield,
		codec.EventReceived,
	} {
		if (paths[m] != nil) == slices.Contains(free, m) {
			t.Errorf("message type %d is a request and needs no permission, or is forgotten", m)
		}
	}
	everything := policy.RoleDefinition{Name: "maker", Permissions: []policy.Permission{{
		URI: "*", Allow: &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true},
	}}}
	for reason, nobody := range map[string]policy.RoleDefinition{
		"not listed":    {Name: "anonymous", Permissions: []policy.Permission{{URI: "*", Allow: &policy.Actions{}}}},
		"no permission": {Name: "anonymous"},
		"says no":       {Name: "anonymous", Dynamic: true},
		"fails":         {Name: "anonymous", Dynamic: true},
	} {
		for _, local := range []bool{false, true} {
			for typ, names := range paths {
				for _, path := range names {
					t.Run(fmt.Sprintf("%s/local=%v/%d %s", reason, local, typ, path), func(t *testing.T) {
						noWayAround(t, reason, []policy.RoleDefinition{everything, nobody}, local, typ, path)
					})
				}
			}
		}
	}
}

func noWayAround(t *testing.T, reason string, roles []policy.RoleDefinition, local bool, typ codec.Type,
	path string,
) {
	rc := RealmConfig{URI: "realm1", Policy: compile(t, roles...)}
	want := codec.ErrNotAuthorized
	switch reason {
	case "says no", "fails":
		rc.Authorizers = map[string]Authorizer{"anonymous": {Procedure: "authorize", Timeout: time.Second}}
	}
	if reason == "fails" {
		want = codec.ErrAuthorizationFailed
	}
	b := newBed(t, 2, Config{Realms: []RealmConfig{rc}})
	b.router.bounds.matchesAtOnce, b.router.bounds.searchAtOnce = 2, 2
	b.router.bounds.largeBytes = 4 << 10
	maker := b.localAs(0, "maker")
	request := 0
	record := func(typ codec.Type, uri, match string) {
		request++
		b.say(maker, typ, request, values{"match": match, "invoke": "roundrobin"}, uri)
	}
	for _, r := range []struct{ uri, match string }{
		{"a.b", "exact"},
		{"a.", "prefix"},
		{"a..c", "wildcard"},
		{"many.", "prefix"},
		{"many.x", "prefix"},
		{"many.xy", "prefix"},
		{"many..", "wildcard"},
	} {
		record(codec.Subscribe, r.uri, r.match)
		record(codec.Register, r.uri, r.match)
	}
	if reason == "says no" {
		authorizer := b.join(1)
		s := b.router.directory.find(authorizer.id)
		s.trusted = true // the loops rest
		authorizer.register(1, "authorize", "single")
		s.trusted = false
		defer func() {
			if authorizer.hear() != nil {
				t.Error("the authorizer was asked more often than expected")
			}
		}()
		b.answers = func() {
			for m := authorizer.hear(); m != nil; m = authorizer.hear() {
				authorizer.say(codec.Yield, int(m[1].(int64)), values{}, []any{false})
			}
		}
	}
	rm := b.router.named["realm1"]
	made, stats := len(b.heard[maker]), b.router.Stats()

	uri, options := "", values{"acknowledge": true}
	switch path {
	case "exact", "acknowledged", "shared", "exact, there":
		uri = "a.b"
	case "with a filter":
		uri, options["eligible"] = "a.b", []any{1, 2, 3}
	case "progressive":
		uri, options["receive_progress"] = "a.b", true
	case "with a timeout":
		uri, options["timeout"] = "a.b", 1000
	case "by a prefix":
		uri = "a.x"
	case "by both patterns":
		uri = "a.b.c"
	case "by none", "exact, new":
		uri = "none"
	case "with many matches":
		uri = "many.xyz.z"
	case "large":
		uri = "a.b"
	case "reserved":
		uri = "wamp.session.count"
	case "prefix, there":
		uri, options["match"] = "a.", "prefix"
	case "prefix, new":
		uri, options["match"] = "", "prefix"
	case "wildcard, there":
		uri, options["match"] = "a..c", "wildcard"
	case "wildcard, new":
		uri, options["match"] = "..", "wildcard"
	default:
		t.Fatalf("no such path: %s", path)
	}
	if typ == codec.Register {
		options["invoke"] = "roundrobin"
	}
	elements := []any{1, options, uri}
	if path == "large" {
		elements = append(elements, []any{strings.Repeat("x", 8<<10)})
	}
	for n := range 3 { // the second time the decision may stand on the record
		elements[0] = n + 1
		var m []any
		if local {
			c := b.localAs(1, "anonymous")
			b.say(c, typ, elements...)
			if b.answers != nil {
				b.answers()
			}
			if len(b.heard[c]) != 1 {
				t.Fatalf("heard %v", b.heard[c])
			}
			m = b.heard[c][0]
			b.Submit(1, c.hangUp)
			b.Settle()
		} else {
			p := b.join(1)
			p.say(typ, elements...)
			if b.answers != nil {
				b.answers()
			}
			m = p.hear()
			if typ == codec.Publish {
				options["acknowledge"] = false
				p.say(typ, elements...)
				if b.answers != nil {
					b.answers()
				}
				options["acknowledge"] = true
			}
			p.silent()
			p.HangUp()
			b.Settle()
		}
		if len(m) < 5 || m[0] != int64(codec.Error) || m[1] != int64(typ) || m[4] != want {
			t.Fatalf("%v, want %s", m, want)
		}
	}
	if n := len(b.heard[maker]); n != made {
		t.Errorf("%d messages got through: %v", n-made, b.heard[maker][made:])
	}
	now := b.router.Stats()
	if now.Subscriptions != stats.Subscriptions || now.Registrations != stats.Registrations || now.OpenCalls != 0 ||
		now.Publications != stats.Publications || now.Events != stats.Events {
		t.Errorf("%+v, before it was %+v", now, stats)
	}
	if now.Unauthorized+now.AuthorizersFailed == 0 {
		t.Error("not counted")
	}
	match := map[string]codec.Match{"prefix": codec.Prefix, "wildcard": codec.Wildcard}[fmt.Sprint(options["match"])]
	if strings.HasSuffix(path, "new") &&
		(rm.topics.Find([]byte(uri), match) != nil || rm.procedures.Find([]byte(uri), match) != nil) {
		t.Error("there is a record")
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

// TestForgedMetaEvents: nobody publishes or registers what belongs to the protocol, whatever is permitted.
func TestForgedMetaEvents(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{
		URI: "realm1", Policy: grant(t, map[string]bool{"anonymous": true}),
	}}})
	p, victim := b.join(0), b.join(0)
	victim.say(codec.Subscribe, 1, values{"match": "prefix"}, "")
	victim.expect(codec.Subscribed, 1, nil)
	victim.expect(codec.Event, 1, nil, values{"topic": "wamp.subscription.on_create"}, nil)
	victim.expect(codec.Event, 1, nil, values{"topic": "wamp.subscription.on_subscribe"}, nil)
	victim.subscribe(2, "wamp.session.on_join")
	for _, uri := range []string{"wamp.session.on_join", "wamp", "wamp.x"} {
		p.say(codec.Publish, 1, values{"acknowledge": true}, uri)
		p.refused(codec.Publish, 1, codec.ErrInvalidURI)
		p.say(codec.Publish, 2, values{}, uri)
		p.silent()
		p.say(codec.Register, 3, values{}, uri)
		p.refused(codec.Register, 3, codec.ErrInvalidURI)
	}
	victim.silent()
}
