package realm

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// metaBed is a realm whose anonymous clients have these permissions.
func metaBed(t *testing.T, loops int, permissions ...policy.Permission) *bed {
	t.Helper()
	return newBed(t, loops, Config{Realms: []RealmConfig{{
		URI: "realm1", Policy: compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: permissions}),
	}}})
}

func mayAll(uri string) policy.Permission {
	return policy.Permission{
		URI: uri, Allow: &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true},
	}
}

// TestMETA38Permission: a meta procedure needs permission, and one that takes something away from others a permission
// for the namespace wamp: what covers everything does not do.
func TestMETA38Permission(t *testing.T) {
	harmful := []string{"kill", "kill_by_authid", "kill_by_authrole", "kill_all"}
	for name, c := range map[string]struct {
		permissions   []policy.Permission
		lists, harmed bool
	}{
		"nothing":       {[]policy.Permission{mayAll("com.*")}, false, false},
		"everything":    {[]policy.Permission{mayAll("*")}, true, false},
		"the namespace": {[]policy.Permission{mayAll("*"), mayAll("wamp.*")}, true, true},
		"a part":        {[]policy.Permission{mayAll("*"), mayAll("wamp.session.*")}, true, true},
		"another part":  {[]policy.Permission{mayAll("*"), mayAll("wamp.subscription.*")}, true, false},
		"by wildcard":   {[]policy.Permission{{URI: "..", Match: "wildcard", Allow: mayAll("").Allow}}, true, false},
		"one by one": {[]policy.Permission{
			mayAll("wamp.session.kill"), mayAll("wamp.session.kill_by_authid"),
			mayAll("wamp.session.kill_by_authrole"), mayAll("wamp.session.kill_all"),
		}, false, true},
	} {
		b := metaBed(t, 2, c.permissions...)
		p, victim := b.join(0), b.join(1)
		answered := func(procedure string, allowed bool, args ...any) {
			t.Helper()
			p.say(codec.Call, 1, values{}, procedure, args)
			if allowed {
				p.expect(codec.Result, 1, values{}, nil)
			} else {
				p.refused(codec.Call, 1, codec.ErrNotAuthorized)
			}
		}
		answered("wamp.session.count", c.lists)
		for _, procedure := range harmful[1:3] {
			answered("wamp.session."+procedure, c.harmed, "nobody")
		}
		p.say(codec.Call, 2, values{}, "wamp.session.kill", []any{int(victim.id)})
		if c.harmed {
			p.expect(codec.Result, 2, values{})
			victim.expect(codec.Goodbye, nil, codec.CloseKilled)
		} else {
			p.refused(codec.Call, 2, codec.ErrNotAuthorized)
			victim.silent()
		}
		answered("wamp.session.kill_all", c.harmed)
		if t.Failed() {
			t.Fatal(name)
		}
	}
	b := newBed(t, 1, Config{}) // without a policy nothing is named, either
	p, victim := b.join(0), b.join(0)
	p.say(codec.Call, 1, values{}, "wamp.session.kill", []any{int(victim.id)})
	p.refused(codec.Call, 1, codec.ErrNotAuthorized)
	for procedure := range metaProcedures {
		_, what, _ := strings.Cut(strings.TrimPrefix(procedure, "wamp."), ".")
		if harms := strings.HasPrefix(what, "kill") || strings.HasPrefix(what, "remove") ||
			what == "modify_details"; harms != metaProcedures[procedure].named {
			t.Errorf("%s harms others: %v", procedure, harms)
		}
	}
}

// TestTST10Permission: a testament needs the permission to publish, when it is made and when it is published.
func TestTST10Permission(t *testing.T) {
	b := metaBed(t, 1, mayAll("wamp.*"), mayAll("com.a"), mayAll("com.b"),
		policy.Permission{URI: "com.c", Allow: &policy.Actions{Subscribe: true}})
	p, other := b.join(0), b.join(0)
	other.subscribe(1, "com.a")
	other.subscribe(2, "com.b")
	for i, topic := range []string{"com.a", "com.b"} {
		p.say(codec.Call, 10+i, values{}, "wamp.session.add_testament", []any{topic, []any{i}, values{}})
		p.expect(codec.Result, 10+i, values{})
	}
	p.say(codec.Call, 12, values{}, "wamp.session.add_testament", []any{"com.c", []any{}, values{}})
	p.refused(codec.Call, 12, codec.ErrNotAuthorized)
	b.apply(Config{Realms: []RealmConfig{{
		URI: "realm1", Policy: compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
			mayAll("com.b"), {URI: "com.a", Allow: &policy.Actions{Subscribe: true}},
		}}),
	}}})
	p.HangUp()
	b.Settle()
	other.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
	other.silent()
}

// TestTestamentBounds: number and length at n and n + 1; what is flushed makes room.
func TestTestamentBounds(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	add := func(request int, text string, ok bool) {
		t.Helper()
		p.say(codec.Call, request, values{}, "wamp.session.add_testament", []any{"com.a", []any{text}, values{}})
		if ok {
			p.expect(codec.Result, request, values{})
		} else {
			p.refused(codec.Call, request, codec.ErrOptionNotAllowed)
		}
	}
	for round := range 2 {
		for i := range testamentsMax {
			add(1000*round+i+1, "", true)
		}
		add(1000*round+500, "", false)
		p.say(codec.Call, 1000*round+501, values{}, "wamp.session.flush_testaments")
		p.expect(codec.Result, 1000*round+501, values{})
	}
	const head = len("com.a") + 1 + 1 + 5 + testamentOverhead // no options, a list of one text of 64 KiB and more
	large := testamentBytesMax/3 - head - 200
	for i := range 3 {
		add(5000+i, strings.Repeat("x", large), true)
	}
	room := testamentBytesMax - 3*(large+head) - head + 2 // a short text has a head of 3 octets
	add(5010, strings.Repeat("x", room+1), false)
	add(5011, strings.Repeat("x", room), true)
	p.say(codec.Call, 5012, values{}, "wamp.session.add_testament", []any{"com.a", []any{
		strings.Repeat("x", metaArgumentsMax),
	}, values{}})
	p.refused(codec.Call, 5012, codec.ErrInvalidArgument)
}

// TestTestamentLists: the lists that choose the receivers of a testament have the bound of PUBLISH, and count in the
// octets of the session and in the budget.
func TestTestamentLists(t *testing.T) {
	const entries = 1000
	b := newBed(t, 1, Config{FilterEntriesMax: entries})
	p := b.join(0)
	list := func(n int) values {
		return values{"publish_options": values{"exclude": slices.Repeat([]any{70_000}, n)}}
	}
	add := func(request int, options values, reason string) {
		t.Helper()
		p.say(codec.Call, request, values{}, "wamp.session.add_testament", []any{"com.a"}, options)
		if reason == "" {
			p.expect(codec.Result, request, values{})
		} else {
			p.refused(codec.Call, request, reason)
		}
	}
	add(1, list(entries+1), codec.ErrOptionNotAllowed)
	for round := range 2 {
		// A number of 5 octets each, and what a testament and its options cost besides.
		fit := testamentBytesMax / (5*entries + len("com.a") + len("\x81\xa7exclude\xdc\x03\xe8") + testamentOverhead)
		for i := range fit {
			add(10+i, list(entries), "")
		}
		add(100, list(entries), codec.ErrOptionNotAllowed)
		if held := b.Charged(); held < int64(5*entries*fit) {
			t.Fatalf("round %d: %d octets are charged", round, held)
		}
		p.say(codec.Call, 101, values{}, "wamp.session.flush_testaments")
		p.expect(codec.Result, 101, values{})
	}
}

// TestMetaQueueBound: what finds no room in the queue is counted and told, and the rest comes.
func TestMetaQueueBound(t *testing.T) {
	b := newBed(t, 1, Config{})
	listener := b.join(0)
	listener.subscribe(1, "wamp.session.on_leave")
	warned := b.warned()
	ms := &b.router.named["realm1"].meta
	b.Submit(0, func(x port.Executor) {
		held := ms.reserve(x, "wamp.session.on_leave", 0)
		for i := range metaQueueMax - 1 {
			ms.tell(x, "wamp.session.on_leave", i+1)
		}
		if n := b.router.Stats().MetaEventsLost; n != 0 {
			t.Errorf("%d are lost at the bound", n)
		}
		ms.tell(x, "wamp.session.on_leave", -1)
		ms.ready(x, held)
	})
	b.Settle()
	if n := b.router.Stats().MetaEventsLost; n != 1 || len(warned()) != 1 {
		t.Errorf("%d are lost", n)
	}
	for i := range metaQueueMax {
		if got := listener.hear(); fmt.Sprint(got[4]) != fmt.Sprint([]any{i}) {
			t.Fatalf("event %d: %v", i, got)
		}
	}
	listener.silent()
	if ms.running || len(ms.queue) > 0 {
		t.Error("the queue is not at rest")
	}
}

// TestMetaOrderAcrossLoops: what is behind an event that is not ready yet waits for it.
func TestMetaOrderAcrossLoops(t *testing.T) {
	b := newBed(t, 2, Config{})
	listener := b.join(0)
	listener.subscribe(1, "wamp.session.on_leave")
	ms := &b.router.named["realm1"].meta
	var held *metaEvent
	b.Submit(0, func(x port.Executor) { held = ms.reserve(x, "wamp.session.on_leave", 1) })
	b.Submit(1, func(x port.Executor) { ms.tell(x, "wamp.session.on_leave", 2) })
	b.Settle()
	listener.silent()
	b.Submit(1, func(x port.Executor) { ms.ready(x, held) })
	b.Settle()
	listener.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
	listener.expect(codec.Event, nil, nil, values{}, []any{int64(2)})
}

// TestMetaWhilePublished: nobody listens while the last event that waits is being published. Somebody who subscribes
// just then hears it, and so what happened behind it, too.
func TestMetaWhilePublished(t *testing.T) {
	b := newBed(t, 2, Config{})
	ms := &b.router.named["realm1"].meta
	home, other := ms.home, 1-ms.home
	first, late, leaver := b.join(home), b.join(other), b.join(other)
	id := first.subscribe(1, "wamp.session.on_leave")
	var held *metaEvent
	b.Submit(home, func(x port.Executor) { held = ms.reserve(x, "wamp.session.on_leave", 1) })
	b.Settle()
	first.say(codec.Unsubscribe, 2, id)
	first.expect(codec.Unsubscribed, 2)
	b.Submit(home, func(x port.Executor) { ms.ready(x, held) })
	b.pauseAt(home, "topics.match", 1)
	leaver.HangUp()
	b.RunLoop(other)
	late.post(codec.Subscribe, 1, values{}, "wamp.session.on_leave")
	b.RunLoop(other)
	b.Settle()
	late.expect(codec.Subscribed, 1, nil)
	late.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
	late.expect(codec.Event, nil, nil, values{}, nil)
	late.silent()
}

// TestMetaCostsNothingUnheard: without a listener there is neither queue nor voice.
func TestMetaCostsNothingUnheard(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	for round := range 2 {
		listener := b.join(0)
		listener.say(codec.Subscribe, 1, values{"match": "wildcard"}, ".session.on_join")
		listener.expect(codec.Subscribed, 1, nil)
		ms := &b.router.named["realm1"].meta
		if ms.listeners.Load() != 1 {
			t.Errorf("round %d: %d listeners", round, ms.listeners.Load())
		}
		listener.HangUp()
		b.Settle()
		if ms.listeners.Load() != 0 || ms.wanted() {
			t.Errorf("round %d: %d listeners are left", round, ms.listeners.Load())
		}
		voice := ms.voice
		p.subscribe(10+round, fmt.Sprint("com.a", round))
		b.join(0).HangUp()
		b.Settle()
		if ms.voice != voice || len(ms.queue) > 0 {
			t.Errorf("round %d: something was said", round)
		}
	}
	for _, c := range []struct {
		uri   string
		match codec.Match
		hears bool
	}{
		{"wamp.session.on_join", codec.Exact, true},
		{"wampx.session", codec.Exact, false},
		{"wamp", codec.Exact, false},
		{"", codec.Prefix, true},
		{"w", codec.Prefix, true},
		{"wamp.", codec.Prefix, true},
		{"wamp.se", codec.Prefix, true},
		{"wampx", codec.Prefix, false},
		{"com.", codec.Prefix, false},
		{"wamp..x", codec.Wildcard, true},
		{"..", codec.Wildcard, true},
		{"", codec.Wildcard, false},
		{"com..", codec.Wildcard, false},
		{"wamp", codec.Wildcard, false},
	} {
		if got := hearsMeta(c.uri, c.match); got != c.hears {
			t.Errorf("%q %v hears: %v", c.uri, c.match, got)
		}
	}
}

// TestMetaLongLists: a list beyond what a loop encodes is complete, whatever the serializer, and refused where the
// peer could not take it.
func TestMetaLongLists(t *testing.T) {
	b := newBed(t, 2, Config{})
	p, q := b.joinAs(0, codec.CBOR, 1<<20), b.joinAs(1, codec.JSON, 4096)
	for i := range 2 * metaAtOnce {
		p.subscribe(1+i, fmt.Sprint("com.n", i))
	}
	p.say(codec.Call, 9000, values{}, "wamp.subscription.list")
	got := p.expect(codec.Result, 9000, values{}, nil)
	lists := got[3].([]any)[0].(map[string]any)
	if n := len(lists["exact"].([]any)); n != 2*metaAtOnce || len(lists["prefix"].([]any)) != 0 {
		t.Errorf("%d subscriptions", n)
	}
	q.say(codec.Call, 1, values{}, "wamp.subscription.list")
	q.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
	for range metaAtOnce {
		b.join(1)
	}
	p.say(codec.Call, 9001, values{}, "wamp.session.list")
	got = p.expect(codec.Result, 9001, values{}, nil)
	if n := len(got[3].([]any)[0].([]any)); n != metaAtOnce+2 {
		t.Errorf("%d sessions", n)
	}
}

// TestMetaBusyPool: a list, and the catalogs that the first such call makes, wait until the pool has room.
func TestMetaBusyPool(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, other := b.joinAs(0, codec.CBOR, 1<<20), b.join(0)
	for range metaAtOnce {
		b.join(0)
	}
	b.AsyncMax = 1
	for i, procedure := range []string{"wamp.session.list", "wamp.subscription.list", "wamp.subscription.list"} {
		other.post(codec.Publish, 1+i, values{}, "t", []any{large})
		for b.RunLoop(0) {
		}
		if b.Async() != 1 {
			t.Fatalf("%d pieces of work", b.Async())
		}
		p.post(codec.Call, 1+i, values{}, procedure)
		for b.RunLoop(0) {
		}
		p.silent()
		for range 10 { // the pool is free, and its room is asked for again
			b.Settle()
			b.Advance(retryAfter)
		}
		p.expect(codec.Result, 1+i, values{}, nil)
	}
}

// TestMetaCallHolds: a session has one list under way, whatever it sends; what is behind keeps its order, and is
// handled when the list is answered, or has failed.
func TestMetaCallHolds(t *testing.T) {
	b := newBed(t, 2, Config{})
	p := b.join(0)
	p.post(codec.Call, 1, values{}, "wamp.subscription.get", []any{99}) // the catalogs are made first, in the pool
	p.say(codec.Subscribe, 2, values{}, "t")
	p.refused(codec.Call, 1, codec.ErrNoSuchSubscription)
	p.expect(codec.Subscribed, 2, nil)
	for _, procedure := range []string{
		"wamp.subscription.list", "wamp.session.list", "wamp.session.count", "wamp.session.list",
	} {
		for i := range 3 {
			p.post(codec.Call, 1+i, values{}, procedure)
		}
		p.post(codec.Subscribe, 4, values{}, "t")
		for b.RunLoop(0) {
		}
		if n := b.Async(); n > 1 || b.router.Stats().OpenCalls != 1 {
			t.Errorf("%s: %d in the pool, %d open calls", procedure, n, b.router.Stats().OpenCalls)
		}
		b.Settle()
		for i := range 3 {
			p.expect(codec.Result, 1+i, values{}, nil)
		}
		p.expect(codec.Subscribed, 4, nil)
		for range metaAtOnce / 2 { // the next lists are longer
			b.join(1)
		}
	}
	p.post(codec.Call, 3, values{}, "wamp.session.list")
	for range 3 { // the loops wake each other
		for b.RunLoop(0) {
		}
		for b.RunLoop(1) {
		}
	}
	if b.Async() != 1 {
		t.Errorf("%d in the pool", b.Async())
	}
	p.Shutdown()
	for b.RunLoop(0) { // the session is over before the pool is ready
	}
	b.Settle()
	r := b.router
	if n := r.Stats().OpenCalls; n != 0 || r.places.taken != 0 || r.listed.Load() != 0 {
		t.Errorf("%d calls and %d ids are left, %d places are taken", n, r.listed.Load(), r.places.taken)
	}
}

// TestMetaRoles: sessions of so many roles are counted and listed at once, and of no more.
func TestMetaRoles(t *testing.T) {
	b := newBed(t, 2, Config{})
	p := b.join(0)
	roles := make([]any, metaRolesMax)
	for i := range roles {
		roles[i] = "nobody"
	}
	roles[metaRolesMax-1] = "anonymous"
	p.say(codec.Call, 1, values{}, "wamp.session.count", []any{roles})
	p.expect(codec.Result, 1, values{}, []any{int64(1)})
	for i, procedure := range []string{"wamp.session.count", "wamp.session.list"} {
		p.say(codec.Call, 2+i, values{}, procedure, []any{append(roles, "nobody")})
		p.refused(codec.Call, 2+i, codec.ErrInvalidArgument)
	}
}

// TestMetaValues: the arguments of a meta procedure have so many values together, and no more.
func TestMetaValues(t *testing.T) {
	b := newBed(t, 1, Config{})
	for name, serializer := range every {
		p := b.joinAs(0, serializer, 1<<20)
		for n, fits := range map[int]bool{metaValuesMax - 7: true, metaValuesMax - 6: false} {
			// The list of arguments, the topic, this list and the dictionary are four values, the keywords three.
			many := []any{"com.last", make([]any, n), values{}}
			p.say(codec.Call, n, values{}, "wamp.session.add_testament", many, values{"scope": "detached"})
			if fits {
				p.expect(codec.Result, n, values{})
			} else {
				p.refused(codec.Call, n, codec.ErrInvalidArgument)
			}
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestMetaQuietEnds: sessions of a realm that is closed, and of a node that stops, are told of nowhere.
func TestMetaQuietEnds(t *testing.T) {
	b := newBed(t, 2, Config{})
	leave := func() *peer {
		p := b.join(1)
		p.say(codec.Call, 1, values{}, "wamp.session.add_testament", []any{"com.last", []any{}, values{}})
		p.expect(codec.Result, 1, values{})
		return p
	}
	listener := b.join(0)
	listener.subscribe(1, "com.last")
	listener.subscribe(2, "wamp.session.on_leave")
	leave().Shutdown()
	b.Settle()
	listener.silent()
	leave()
	done := false
	if err := b.router.closeRealm("realm1", func() { done = true }); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	listener.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	listener.silent()
	if !done {
		t.Error("the realm is not closed")
	}
}

// TestMETA05Numbers: ids come as integers, or as floats from clients that have no others; a float in between, or one
// beyond the ids, is no id.
func TestMETA05Numbers(t *testing.T) {
	for _, c := range []struct {
		argument any
		id       uint64
		ok       bool
	}{
		{int64(7), 7, true},
		{uint64(1 << 53), 1 << 53, true},
		{int64(-1), 0, false},
		{0.0, 0, true},
		{float64(1<<40 + 1), 1<<40 + 1, true},
		{float64(1 << 53), 1 << 53, true},
		{float64(1<<53 + 2), 0, false},
		{7.5, 0, false},
		{-1.0, 0, false},
		{math.NaN(), 0, false},
		{math.Inf(1), 0, false},
		{"7", 0, false},
		{nil, 0, false},
	} {
		m := &metaCall{args: []any{c.argument}}
		if id, ok := m.number(0); ok != c.ok || ok && id != c.id {
			t.Errorf("%v (%T): got %d, %v", c.argument, c.argument, id, ok)
		}
	}
	if _, ok := new(metaCall).number(0); ok {
		t.Error("an argument that is not there is a number")
	}
}

// TestMetaEventsAtOnce: the voice publishes so many meta events in one go, and the rest in the next.
func TestMetaEventsAtOnce(t *testing.T) {
	b := newBed(t, 1, Config{})
	listener := b.join(0)
	listener.subscribe(1, "wamp.session.on_leave")
	ms := &b.router.named["realm1"].meta
	b.Submit(0, func(x port.Executor) {
		for i := range 2 * metaEventsAtOnce {
			ms.reserve(x, "wamp.session.on_leave", i).ready = true
		}
		for round := range 2 {
			if more := ms.Run(x, 1<<20); !more || len(ms.queue) != (1-round)*metaEventsAtOnce {
				t.Errorf("round %d: more %t, %d wait", round, more, len(ms.queue))
			}
		}
		if ms.Run(x, 1<<20) {
			t.Error("it goes on with nothing")
		}
	})
	b.Settle()
	for range 2 * metaEventsAtOnce {
		listener.expect(codec.Event, nil, nil, values{}, nil)
	}
	listener.silent()
}
