package realm

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// detailsBed has roles anonymous and narrow: the former may do everything, the latter only what is below "a.".
func detailsBed(t *testing.T, loops int, on bool) *bed {
	return newBed(t, loops, Config{Realms: []RealmConfig{{URI: "realm1", ModifyDetails: on, Policy: detailRoles(t)}}})
}

func detailRoles(t *testing.T) *policy.Snapshot {
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	return compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
		{URI: "*", Allow: all}, {URI: "wamp.*", Allow: all},
	}}, policy.RoleDefinition{Name: "narrow", Permissions: []policy.Permission{{URI: "a.*", Allow: all}}})
}

// modify has p modify the details of a session, and expects that it works.
func (p *peer) modify(request int, session uint64, delta values) {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.session.modify_details", []any{int64(session), delta})
	p.expect(codec.Result, request, values{})
}

// details are what wamp.session.get tells about a session.
func (p *peer) details(request int, session uint64) values {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.session.get", []any{int64(session)})
	return p.expect(codec.Result, request, values{}, nil)[3].([]any)[0].(values)
}

// TestMETA44 is the checklist: what is replaced, removed and refused.
func TestMETA44(t *testing.T) {
	off := detailsBed(t, 1, false).join(0)
	off.say(codec.Call, 1, values{}, "wamp.session.modify_details", []any{int64(off.id), values{"x": 1}})
	off.refused(codec.Call, 1, codec.ErrNoSuchProcedure)

	unnamed := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", ModifyDetails: true}}}).join(0)
	unnamed.say(codec.Call, 1, values{}, "wamp.session.modify_details", []any{int64(unnamed.id), values{"x": 1}})
	unnamed.refused(codec.Call, 1, codec.ErrNotAuthorized)

	b := detailsBed(t, 2, true)
	one, two := b.join(0), b.join(1)
	before := two.details(1, two.id)
	one.modify(1, two.id, values{
		"authid": "joe", "nick": "J", "authmethod": "magic", "transport": nil, "more": values{"n": []any{int64(1)}},
	})
	want := maps.Clone(before)
	maps.Copy(want, values{"authid": "joe", "nick": "J", "authmethod": "magic", "more": values{"n": []any{int64(1)}}})
	delete(want, "transport")
	same := func(request int) {
		t.Helper()
		if got := one.details(request, two.id); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
	}
	same(2)
	// A second time: the rest stays.
	one.modify(3, two.id, values{"nick": nil, "authid": nil})
	delete(want, "nick")
	delete(want, "authid")
	same(4)
	one.modify(5, two.id, values{})
	same(6)
	two.modify(2, two.id, values{"authid": "ann"}) // one's own
	want["authid"] = "ann"
	same(7)

	for i, c := range []struct {
		args []any
		uri  string
	}{
		{[]any{int64(two.id), values{"session": int64(5)}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"session": nil}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authid": int64(5)}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authid": strings.Repeat("x", authRoleBytesMax+1)}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authrole": true}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authrole": "nobody has this"}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authrole": nil}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{"authrole": trustedRole}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), []any{}}, codec.ErrInvalidArgument},
		{[]any{int64(two.id)}, codec.ErrInvalidArgument},
		{[]any{int64(two.id), values{}, int64(1)}, codec.ErrInvalidArgument},
		{[]any{"x", values{}}, codec.ErrInvalidArgument},
		{nil, codec.ErrInvalidArgument},
		{[]any{int64(12345), values{}}, codec.ErrNoSuchSession},
		{[]any{int64(two.id), values{"x": strings.Repeat("x", alteredBytesMax)}}, codec.ErrOptionNotAllowed},
	} {
		one.say(codec.Call, 10+i, values{}, "wamp.session.modify_details", c.args)
		one.refused(codec.Call, 10+i, c.uri)
	}
	same(50)
	one.modify(51, two.id, values{"authid": strings.Repeat("x", authRoleBytesMax)})
	one.silent()
	two.silent()
}

// TestModifiedBound: the details of one session that were modified are bounded together, at n and n+1, also over
// several calls, and they are charged until the session has left.
func TestModifiedBound(t *testing.T) {
	b := detailsBed(t, 1, true)
	one, two := b.join(0), b.join(0)
	before := b.Charged()
	// A dictionary with two keys of one octet: 1 + 2*2 octets, and 3 for the head of each text.
	rest := alteredBytesMax - 5 - 3 - 3 - 1000
	one.modify(1, two.id, values{"a": strings.Repeat("x", 1000)})
	one.say(codec.Call, 2, values{}, "wamp.session.modify_details",
		[]any{int64(two.id), values{"b": strings.Repeat("x", rest+1)}})
	one.refused(codec.Call, 2, codec.ErrOptionNotAllowed)
	one.modify(3, two.id, values{"b": strings.Repeat("x", rest)})
	if got := b.Charged() - before; got != alteredBytesMax+alteredOverhead {
		t.Errorf("%d bytes are charged", got)
	}
	one.modify(4, two.id, values{"a": nil, "b": nil})
	if got := b.Charged() - before; got <= 0 || got > alteredOverhead+10 {
		t.Errorf("%d bytes are charged after all was removed", got)
	}
	two.HangUp()
	b.Settle()
	if got := b.Charged() - before; got > 0 {
		t.Errorf("%d bytes are charged after it has left", got)
	}
}

// TestModifiedRole: permissions, lists, disclosure, meta API and farewell follow the new authid and authrole. What
// the new role may not hold is taken away before the answer.
func TestModifiedRole(t *testing.T) {
	b := detailsBed(t, 2, true)
	one, two := b.join(0), b.join(1)
	// Records on which decisions about the role are kept.
	listener := b.join(0)
	listener.subscribe(1, "b.heard")
	listener.register(2, "b.called", "single")
	publish := func(request int) {
		t.Helper()
		two.say(codec.Publish, request, values{"acknowledge": true}, "b.heard")
	}
	publish(100)
	two.expect(codec.Published, 100, nil)
	leaves := one.subscribe(1, "wamp.session.on_leave")
	events := one.subscribe(2, "a.t")
	own := two.subscribe(1, "a.own")
	two.subscribe(2, "b.t")
	two.register(3, "a.p", "single")
	two.register(4, "b.p", "single")
	one.say(codec.Call, 3, values{}, "b.p") // under way: it goes on
	invocation := two.expect(codec.Invocation, nil, nil, values{})[1]

	one.modify(4, two.id, values{"authrole": "narrow", "authid": "joe"})
	two.say(codec.Yield, invocation, values{})
	one.expect(codec.Result, 3, values{})
	one.say(codec.Call, 5, values{}, "b.p")
	one.refused(codec.Call, 5, codec.ErrNoSuchProcedure)
	one.say(codec.Publish, 6, values{}, "b.t")
	two.silent()
	two.say(codec.Subscribe, 5, values{}, "b.t")
	two.refused(codec.Subscribe, 5, codec.ErrNotAuthorized)
	two.say(codec.Publish, 6, values{"acknowledge": true}, "b.t")
	two.refused(codec.Publish, 6, codec.ErrNotAuthorized)

	publish(101)
	two.refused(codec.Publish, 101, codec.ErrNotAuthorized)
	two.say(codec.Call, 102, values{}, "b.called")
	two.refused(codec.Call, 102, codec.ErrNotAuthorized)

	two.say(codec.Publish, 7, values{"disclose_me": true}, "a.t")
	one.expect(codec.Event, events, nil, values{
		"publisher": int64(two.id), "publisher_authid": "joe", "publisher_authrole": "narrow",
	})
	one.say(codec.Publish, 7, values{"eligible_authid": []any{"joe"}, "eligible_authrole": []any{"narrow"}}, "a.own")
	two.expect(codec.Event, own, nil, values{})
	one.say(codec.Publish, 8, values{"exclude_authrole": []any{"narrow"}}, "a.own")
	two.silent()
	one.say(codec.Call, 9, values{}, "wamp.session.list", []any{[]any{"narrow"}})
	one.expect(codec.Result, 9, values{}, []any{[]any{int64(two.id)}})

	// And back, before what the narrow role was refused has been forgotten.
	one.modify(10, two.id, values{"authrole": "anonymous"})
	two.say(codec.Publish, 8, values{"acknowledge": true}, "b.t")
	two.expect(codec.Published, 8, nil)
	publish(103)
	two.expect(codec.Published, 103, nil)
	one.modify(11, two.id, values{"authrole": "narrow"})

	// It goes by the new details.
	one.say(codec.Call, 12, values{}, "wamp.session.kill_by_authid", []any{"joe"})
	one.expect(codec.Result, 12, values{}, []any{[]any{int64(two.id)}})
	one.expect(codec.Event, leaves, nil, values{}, []any{int64(two.id), "joe", "narrow"})
	two.expect(codec.Goodbye, values{}, codec.CloseKilled)
}

// TestModifiedWhileReviewed: a configuration changes, and its review of a session overtakes, or is overtaken by, that
// of a new role. What the role may not hold is gone in the end, once.
func TestModifiedWhileReviewed(t *testing.T) {
	for _, order := range []string{"reload first", "modify first", "modify twice"} {
		t.Run(order, func(t *testing.T) {
			b := detailsBed(t, 1, true)
			b.Budget, b.Chunk = 3, 1 // several turns for each review
			one, two := b.join(0), b.join(0)
			const holds = 20
			for i := range holds {
				two.subscribe(2*i+1, fmt.Sprint("a.", i))
				two.subscribe(2*i+2, fmt.Sprint("b.", i))
			}
			reload := func() {
				if err := b.router.apply(Config{Realms: []RealmConfig{{
					URI: "realm1", ModifyDetails: true, Policy: detailRoles(t),
				}}}, func(Report) {}); err != nil {
					t.Fatal(err)
				}
			}
			modify := func(request int) {
				one.post(codec.Call, request, values{}, "wamp.session.modify_details",
					[]any{int64(two.id), values{"authrole": "narrow"}})
			}
			steps := func() {
				for range 7 {
					b.Step()
				}
			}
			switch order {
			case "reload first":
				reload()
				steps()
				modify(1)
			case "modify first":
				modify(1)
				steps()
				reload()
			default:
				modify(1)
				steps()
				modify(2)
			}
			b.Settle()
			one.expect(codec.Result, 1, values{})
			if order == "modify twice" {
				one.expect(codec.Result, 2, values{})
			}
			one.silent()
			if got := b.router.Stats().Subscriptions; got != holds {
				t.Errorf("%d subscriptions are left, want %d", got, holds)
			}
			one.HangUp()
			two.HangUp()
			b.Settle()
			nothingLeft(t, b.router, b.World)
		})
	}
}

// TestNobodyBecomesTrusted: the role of the router's own sessions is given to nobody, in a realm without a policy
// neither.
func TestNobodyBecomesTrusted(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", ModifyDetails: true}}})
	p, local := b.join(0), b.localAs(0, trustedRole)
	for i, role := range []string{trustedRole, "another"} {
		b.say(local, codec.Call, 1+i, values{}, "wamp.session.modify_details",
			[]any{int64(p.id), values{"authrole": role}})
		want := map[string]codec.Type{trustedRole: codec.Error, "another": codec.Result}[role]
		if got := b.heard[local][i]; got[0] != int64(want) {
			t.Errorf("%s: %v", role, got)
		}
	}
}

// TestModifiedWhileAsked: an authorizer decides about a session as it was, and its answer is not kept for whom it has
// become, nor for whom it was.
func TestModifiedWhileAsked(t *testing.T) {
	b := newAuthorizerBed(t, 1, func(_ *Authorizer, cfg *Config) { cfg.Realms[0].ModifyDetails = true })
	p := b.join(0)
	request := 10
	modify := func(authid any) {
		t.Helper()
		request++
		b.say(b.authorize, codec.Call, request, values{}, "wamp.session.modify_details",
			[]any{int64(p.id), values{"authid": authid}})
		if m := b.heard[b.authorize][b.asked]; m[0] != int64(codec.Result) {
			t.Fatalf("the authorizer heard %v", m)
		}
		b.asked++
	}
	publish := func(n int) { t.Helper(); p.say(codec.Publish, n, values{"acknowledge": true}, "a.t") }
	keep := values{"allow": true, "cache": true}
	modify("joe")
	publish(1)
	question := b.next()
	modify("ann")
	b.say(b.authorize, codec.Yield, int(question[1].(int64)), values{}, []any{keep})
	p.expect(codec.Published, 1, nil)
	publish(2)
	b.answer(Publish, "a.t", keep)
	p.expect(codec.Published, 2, nil)
	publish(3) // ann's answer is kept
	b.quiet()
	p.expect(codec.Published, 3, nil)
	modify("joe")
	publish(4)
	b.answer(Publish, "a.t", keep)
	p.expect(codec.Published, 4, nil)
}

// TestModifiedRoleElsewhere: what is retained, what takes a procedure away from others, and the later chunks of a
// call go by the modified role too.
func TestModifiedRoleElsewhere(t *testing.T) {
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	force := *all
	force.ForceReregister = true
	b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1", ModifyDetails: true, Policy: compile(t,
		policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
			{URI: "*", Allow: &force}, {URI: "wamp.*", Allow: all},
		}},
		policy.RoleDefinition{Name: "plain", Permissions: []policy.Permission{{URI: "*", Allow: all}}},
	)}}})
	one, two := b.join(0), b.joinStreams(1, codec.MessagePack, 1<<20)
	id := one.register(1, "p", "single")
	one.say(codec.Publish, 2, values{"retain": true, "exclude_authrole": []any{"plain"}}, "a.1", []any{1})
	one.say(codec.Publish, 3, values{"retain": true, "eligible_authrole": []any{"plain"}}, "a.2", []any{2})

	callee := b.joinStreams(0, codec.MessagePack, 1<<20)
	callee.say(codec.Register, 1, values{"disclose_caller": true}, "q")
	q := callee.expect(codec.Registered, 1, nil)[2]
	two.say(codec.Call, 1, moreChunks, "q")
	callee.expect(codec.Invocation, 1, q, nil)

	one.modify(4, two.id, values{"authrole": "plain"})
	two.say(codec.Register, 2, values{"force_reregister": true}, "p")
	two.refused(codec.Register, 2, codec.ErrOptionNotAllowed)
	one.say(codec.Call, 5, values{}, "p")
	one.expect(codec.Invocation, nil, id, values{})

	two.recall(3, "a.", "prefix")
	two.expect(codec.Event, nil, nil, values{"retained": true, "topic": "a.2"}, []any{int64(2)})
	two.silent()
	two.recall(4, "a.1", "exact")
	two.silent()
	two.recall(5, "a.2", "exact")
	two.expect(codec.Event, nil, nil, values{"retained": true}, []any{int64(2)})

	two.say(codec.Call, 1, lastChunk, "q")
	if d := callee.hear()[3].(values); d["caller_authrole"] != "plain" {
		t.Errorf("a later chunk says %v", d)
	}
}

// TestModifiedRemembers: what an authorizer has decided about a topic, and a session remembers beside the record of
// the topic, is asked again for whom the session has become.
func TestModifiedRemembers(t *testing.T) {
	b := newAuthorizerBed(t, 1, func(_ *Authorizer, cfg *Config) { cfg.Realms[0].ModifyDetails = true })
	p, hears := b.join(0), b.join(0)
	hears.post(codec.Subscribe, 1, values{}, "a.t")
	b.answer(Subscribe, "a.t", true)
	keep := values{"allow": true, "cache": true}
	publish := func(n int, asked bool) {
		t.Helper()
		p.say(codec.Publish, n, values{"acknowledge": true}, "a.t")
		if asked {
			b.answer(Publish, "a.t", keep)
		}
		b.quiet()
		p.expect(codec.Published, n, nil)
	}
	publish(1, true)
	publish(2, false)
	b.say(b.authorize, codec.Call, 11, values{}, "wamp.session.modify_details",
		[]any{int64(p.id), values{"authid": "joe"}})
	b.asked = len(b.heard[b.authorize])
	publish(3, true)
	publish(4, false)
}

// TestModifiedBacklog: a session whose role is modified has the backlog of the new one at once.
func TestModifiedBacklog(t *testing.T) {
	wide, narrow := &port.Backlog{BytesMax: 1 << 20}, &port.Backlog{BytesMax: 64 << 10}
	b := newBed(t, 1, Config{Realms: []RealmConfig{{
		URI: "realm1", ModifyDetails: true, Policy: detailRoles(t), Backlog: wide,
		RoleBacklogs: map[string]*port.Backlog{"narrow": narrow},
	}}})
	one, two := b.join(0), b.join(0)
	for i, c := range []struct {
		role string
		want *port.Backlog
	}{{"narrow", narrow}, {"anonymous", wide}} {
		one.modify(1+i, two.id, values{"authrole": c.role})
		if two.Backlog != c.want || one.Backlog != wide {
			t.Errorf("%s: %+v, want %+v", c.role, two.Backlog, c.want)
		}
	}
}

// TestModifiedWithoutMemory: details that there is no room for stay as they were; those that take no more than before
// need none.
func TestModifiedWithoutMemory(t *testing.T) {
	b := detailsBed(t, 1, true)
	one, two := b.join(0), b.join(0)
	one.modify(1, two.id, values{"x": "first"})
	b.BytesMax = b.Charged()
	for i, c := range []struct {
		text string
		fits bool
	}{{"other", true}, {"longer", false}, {"less", true}, {"third", true}, {"longer", false}} {
		refused := b.router.Stats().OverBudget
		before := one.details(10+i, two.id)["x"]
		one.say(codec.Call, 20+i, values{}, "wamp.session.modify_details",
			[]any{int64(two.id), values{"x": c.text}})
		if c.fits {
			one.expect(codec.Result, 20+i, values{})
			before = c.text
		} else {
			one.refused(codec.Call, 20+i, refuseMemory.uri)
			refused++
		}
		if got := one.details(30+i, two.id)["x"]; got != before || b.router.Stats().OverBudget != refused {
			t.Errorf("%q: the detail is %v, %d are refused, want %v and %d", c.text, got, b.router.Stats().OverBudget,
				before, refused)
		}
	}
}
