package realm

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/policy"
)

// Bounds of the meta API at n and n + 1, and what it must not touch.

// TestMetaWords: a reason and a message for those who lose something are so long, and no longer.
func TestMetaWords(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	p := b.join(0)
	request := 0
	call := func(procedure string, kwargs values, why string, args ...any) {
		t.Helper()
		request++
		p.say(codec.Call, request, values{}, procedure, args, kwargs)
		if why == "" {
			if got := p.hear(); got[0] != int64(codec.Result) {
				t.Errorf("%s is refused: %v", procedure, got)
			}
		} else {
			p.refused(codec.Call, request, why)
		}
	}
	for _, c := range []struct {
		reason, message int // 0: not given
		why             string
	}{
		{metaReasonMax, 0, ""},
		{metaReasonMax + 1, 0, codec.ErrInvalidURI},
		{0, metaMessageMax, ""},
		{0, metaMessageMax + 1, codec.ErrInvalidArgument},
	} {
		reason, message := strings.Repeat("r", c.reason), strings.Repeat("m", c.message)
		victim := b.join(0)
		subscription, registration := victim.subscribe(1, "t"), victim.register(2, "p", "single")
		if c.message == 0 {
			words := values{"reason": reason}
			call("wamp.subscription.remove_subscriber", words, c.why, subscription, int64(victim.id))
			call("wamp.registration.remove_callee", words, c.why, registration, int64(victim.id))
		}
		words := values{"reason": reason, "message": message}
		if c.reason == 0 {
			words["reason"] = nil
		}
		call("wamp.session.kill", words, c.why, int64(victim.id))
		if c.why != "" {
			victim.silent()
			victim.HangUp()
			b.Settle()
			continue
		}
		if reason == "" {
			reason = codec.CloseKilled
		}
		details := victim.expect(codec.Goodbye, nil, reason)[1].(values)
		if got, _ := details["message"].(string); c.message > 0 && got != message {
			t.Errorf("a message of %d octets, want %d", len(got), len(message))
		}
	}
}

// TestMetaEmptyReason: META-10. A reason that is given and empty is no URI, and nobody is killed for it.
func TestMetaEmptyReason(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	p, victim := b.join(0), b.join(0)
	words := values{"reason": ""}
	for i, c := range []struct {
		procedure string
		args      []any
	}{
		{"wamp.session.kill", []any{int64(victim.id)}},
		{"wamp.session.kill_by_authid", []any{"nobody"}},
		{"wamp.session.kill_by_authrole", []any{"anonymous"}},
		{"wamp.session.kill_all", []any{}},
	} {
		p.say(codec.Call, 1+i, values{}, c.procedure, c.args, words)
		p.refused(codec.Call, 1+i, codec.ErrInvalidURI)
	}
	victim.silent()
}

// TestMetaHidden: a session of the router itself is not there for the meta API.
func TestMetaHidden(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	p := b.join(0)
	p.subscribe(1, "wamp.session.on_join")
	joins := b.join(0)
	p.expect(codec.Event, nil, nil, values{}, nil)
	voice := b.router.named["realm1"].meta.voice.handler.session
	for i, c := range []struct {
		procedure string
		args      []any
	}{
		{"wamp.session.get", []any{int64(voice.id)}},
		{"wamp.session.kill", []any{int64(voice.id)}},
	} {
		p.say(codec.Call, 2+i, values{}, c.procedure, c.args)
		p.refused(codec.Call, 2+i, codec.ErrNoSuchSession)
	}
	for i, procedure := range []string{"wamp.session.count", "wamp.session.list"} {
		p.say(codec.Call, 10+i, values{}, procedure)
		got := p.expect(codec.Result, 10+i, values{}, nil)[3].([]any)[0]
		if list, isList := got.([]any); isList && len(list) != 2 || !isList && got != int64(2) {
			t.Errorf("%s: %v, want two sessions", procedure, got)
		}
	}
	joins.silent()
}

// TestMetaArgumentsMax: the arguments of a meta procedure are so long together, keywords included, and no longer.
func TestMetaArgumentsMax(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	for i, keyword := range []bool{false, true} {
		for more := range 2 {
			args, kwargs := []any{"com.a", []any{""}}, values{"scope": "detached", "x": ""}
			room := metaArgumentsMax + more - encodedLen(t, args) - encodedLen(t, kwargs)
			text := strings.Repeat("x", room-4) // the head of a long text has 5 octets, that of an empty one 1
			if keyword {
				kwargs["x"] = text
			} else {
				args[1] = []any{text}
			}
			if n := encodedLen(t, args) + encodedLen(t, kwargs); n != metaArgumentsMax+more {
				t.Fatalf("the arguments have %d octets", n)
			}
			p.say(codec.Call, 1+2*i+more, values{}, "wamp.session.add_testament", args, kwargs)
			if more == 0 {
				p.expect(codec.Result, 1+2*i, values{})
			} else {
				p.refused(codec.Call, 2+2*i, codec.ErrInvalidArgument)
			}
		}
	}
}

// encodedLen is how long v is in MessagePack.
func encodedLen(t *testing.T, v any) int {
	b, err := codec.AppendValue(nil, codec.MessagePack, v)
	if err != nil {
		t.Fatal(err)
	}
	return len(b)
}

// TestMetaKillAllIsQuiet: what sessions give back that are killed with all others is told to nobody either.
func TestMetaKillAllIsQuiet(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	p, victim := b.join(0), b.join(0)
	victim.subscribe(1, "t")
	victim.register(2, "p", "single")
	p.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.")
	p.expect(codec.Subscribed, 1, nil)
	p.say(codec.Call, 2, values{}, "wamp.session.kill_all")
	p.expect(codec.Result, 2, values{}, []any{int64(1)})
	p.silent()
}

// TestMetaNumbersAreNoText: META-05. A number that no integer of the router holds is neither text nor an id, in any
// serializer.
func TestMetaNumbersAreNoText(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	for s, numbers := range map[codec.Serializer][]string{
		codec.JSON: {"18446744073709551616", "1e400", "-1e400", "100000000000000000000000000000000000000000"},
		codec.CBOR: {"\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00", "\x3b\xff\xff\xff\xff\xff\xff\xff\xff"},
	} {
		p := b.joinAs(0, s, 1<<20)
		request := 0
		refused := func(procedure string, args []any, kwargs values) {
			t.Helper()
			request++
			p.say(codec.Call, request, values{}, procedure, args, kwargs)
			p.refused(codec.Call, request, codec.ErrInvalidArgument)
		}
		for _, text := range numbers {
			n := codec.Raw{Format: s, Octets: []byte(text)}
			for _, procedure := range []string{
				"wamp.session.get", "wamp.session.kill", "wamp.session.kill_by_authid",
				"wamp.session.kill_by_authrole",
				"wamp.session.add_testament", "wamp.subscription.lookup", "wamp.subscription.match",
				"wamp.subscription.get", "wamp.subscription.get_events", "wamp.registration.lookup",
				"wamp.registration.match", "wamp.registration.list_callees",
			} {
				refused(procedure, []any{n}, nil)
			}
			refused("wamp.session.count", []any{[]any{n}}, nil)
			refused("wamp.session.kill_by_authid", []any{"nobody"}, values{"reason": n})
			refused("wamp.session.kill_by_authid", []any{"nobody"}, values{"message": n})
			refused("wamp.session.flush_testaments", []any{}, values{"scope": n})
			refused("wamp.session.add_testament", []any{"t"}, values{"scope": n})
			refused("wamp.subscription.lookup", []any{"t", values{"match": n}}, nil)
		}
	}
}

// TestMetaReservedPatterns: what clients hold beside the namespace wamp is told of, and registrations also in it: the
// router has none of its own. Subscriptions to topics in it are hidden.
func TestMetaReservedPatterns(t *testing.T) {
	t.Attr("checklist", "META-33")
	b := metaBed(t, 2, mayAll("*"), mayAll("wamp.*"))
	p, listener, holder := b.join(0), b.join(0), b.join(1)
	request := 0
	ask := func(procedure string, args ...any) any {
		t.Helper()
		request++
		p.say(codec.Call, request, values{}, procedure, args)
		m := p.hear()
		if m[0] == int64(codec.Error) {
			return m[4]
		}
		return m[3].([]any)[0]
	}
	for i, topic := range []string{
		"wamp.registration.on_create", "wamp.registration.on_register", "wamp.registration.on_unregister",
		"wamp.registration.on_delete", "wamp.subscription.on_create", "wamp.subscription.on_subscribe",
		"wamp.subscription.on_unsubscribe", "wamp.subscription.on_delete",
	} {
		listener.subscribe(1+i, topic)
	}
	for i, c := range []struct {
		kind, uri, match string
		topic            string // or procedure that it matches; "" for none
		hidden           bool
	}{
		{"registration", "wamp", "prefix", "wampum.x", false},
		{"registration", "wamp.foo", "prefix", "", false},
		{"registration", "wamp..x", "wildcard", "", false},
		{"subscription", "wamp", "prefix", "wampum.x", true},
		{"subscription", "wam", "prefix", "wampum.x", false},
		{"subscription", "wamp.foo", "prefix", "wamp.foo.x", true},
		{"subscription", "wamp..x", "wildcard", "wamp.y.x", true},
		{"subscription", "wamp.x", "exact", "wamp.x", true},
	} {
		enter, entered, leave, left := codec.Register, codec.Registered, codec.Unregister, codec.Unregistered
		if c.kind == "subscription" {
			enter, entered, leave, left = codec.Subscribe, codec.Subscribed, codec.Unsubscribe, codec.Unsubscribed
		}
		holder.say(enter, 10*i+1, values{"match": c.match}, c.uri)
		id := holder.expect(entered, 10*i+1, nil)[2]
		prefix := "wamp." + c.kind + "."
		var shown, matching any = id, nil
		if c.topic != "" {
			matching = id
			if c.kind == "subscription" {
				matching = []any{id}
			}
		}
		if c.hidden {
			shown, matching = nil, nil
		}
		if got := ask(prefix+"lookup", c.uri, values{"match": c.match}); got != shown {
			t.Errorf("%s %s: lookup gives %v", c.kind, c.uri, got)
		}
		if c.match == "exact" {
			if got := ask(prefix+"lookup", c.uri, values{"match": nil}); got != shown {
				t.Errorf("%s %s: lookup without match gives %v", c.kind, c.uri, got)
			}
		}
		if got := ask(prefix+"match", c.topic); c.topic != "" && !reflect.DeepEqual(got, matching) {
			t.Errorf("%s %s: match gives %v", c.kind, c.uri, got)
		}
		want := any(map[string]string{
			"registration": codec.ErrNoSuchRegistration, "subscription": codec.ErrNoSuchSubscription,
		}[c.kind])
		if d, found := ask(prefix+"get", id).(values); found == c.hidden || found && d["uri"] != c.uri {
			t.Errorf("%s %s: get gives %v", c.kind, c.uri, d)
		}
		list := ask(prefix + "list").(values)[c.match].([]any)
		if slices.Contains(list, id) == c.hidden {
			t.Errorf("%s %s: list has %v", c.kind, c.uri, list)
		}
		one := map[string]string{"registration": "count_callees", "subscription": "count_subscribers"}[c.kind]
		if got := ask(prefix+one, id); c.hidden && got != want || !c.hidden && got != int64(1) {
			t.Errorf("%s %s: %s gives %v", c.kind, c.uri, one, got)
		}
		holder.say(leave, 10*i+2, id)
		for m := holder.hear(); m == nil || m[0] != int64(left); m = holder.hear() {
			if m == nil || m[0] != int64(codec.Event) { // it may hear of itself
				t.Fatalf("%s %s: %v", c.kind, c.uri, m)
			}
		}
		b.Settle()
		events := 0
		for m := listener.hear(); m != nil; m = listener.hear() {
			events++
		}
		if events != 4 && !c.hidden || events != 0 && c.hidden {
			t.Errorf("%s %s: %d meta events", c.kind, c.uri, events)
		}
	}
}

// TestMetaWrongTypes: META-05. What has the wrong type is refused for that, and not for what it would name.
func TestMetaWrongTypes(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", ModifyDetails: true, Policy: compile(t,
		policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{mayAll("*"), mayAll("wamp.*")}},
	)}}})
	p := b.join(0)
	odd := codec.Raw{Format: codec.MessagePack, Octets: []byte("\x81\x91\x01\x02")} // a list as key
	for i, c := range []struct {
		procedure string
		args      []any
		kwargs    values
	}{
		{"wamp.subscription.remove_subscriber", []any{12345, "x"}, nil},
		{"wamp.registration.remove_callee", []any{12345, "x"}, nil},
		{"wamp.session.add_testament", []any{"t", []any{}, values{}}, values{"scope": ""}},
		{"wamp.session.flush_testaments", nil, values{"scope": ""}},
		{"wamp.session.modify_details", []any{p.id, values{"k": odd}}, nil},
		{"wamp.session.modify_details", []any{p.id, odd}, nil},
		{"wamp.session.add_testament", []any{"t", []any{}, odd}, nil},
		{"wamp.session.add_testament", []any{"t", []any{}}, values{"publish_options": odd}},
	} {
		p.say(codec.Call, 1+i, values{}, c.procedure, c.args, c.kwargs)
		p.refused(codec.Call, 1+i, codec.ErrInvalidArgument)
	}
}

// TestTestamentOfNoPublisher: SES-46. Where roles are enforced, who may not publish leaves no testament.
func TestTestamentOfNoPublisher(t *testing.T) {
	for _, enforced := range []bool{false, true} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", EnforceRoles: enforced}}})
		for i, role := range []string{"caller", "publisher"} {
			p := b.connect(0, codec.JSON, 1<<20)
			p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}, role: values{}}})
			p.expect(codec.Welcome, nil, nil)
			p.say(codec.Call, 1, values{}, "wamp.session.add_testament", []any{"t", []any{}, values{}})
			if enforced && i == 0 {
				p.refused(codec.Call, 1, codec.ErrNotAuthorized)
			} else {
				p.expect(codec.Result, 1, values{})
			}
		}
	}
}
