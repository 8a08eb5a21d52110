package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// bequeath adds a testament.
func (p *peer) bequeath(request int, topic string, kwargs values) {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.session.add_testament", []any{topic, []any{"last"}}, kwargs)
	p.expect(codec.Result, request, values{})
}

// TestTestamentBudget: a testament counts in the budget until it is flushed, or published, or nobody may hear it.
func TestTestamentBudget(t *testing.T) {
	for _, named := range []string{"flushed", "published", "denied", "killed with all"} {
		b := metaBed(t, 1, mayAll("wamp.*"), mayAll("com.*"))
		p := b.join(0)
		empty := b.Charged()
		p.bequeath(1, "com.a", values{"scope": "detached"})
		one := b.Charged() - empty
		p.bequeath(2, "com.a", values{})
		if one < testamentOverhead || b.Charged()-empty != 2*one {
			t.Fatalf("%d bytes are charged for one, %d for two", one, b.Charged()-empty)
		}
		unauthorized := int64(0)
		switch named {
		case "flushed":
			for i, scope := range []string{"detached", "destroyed"} {
				p.say(codec.Call, 3+i, values{}, "wamp.session.flush_testaments", []any{}, values{"scope": scope})
				p.expect(codec.Result, 3+i, values{})
				if n := b.Charged() - empty; n != int64(1-i)*one {
					t.Errorf("%d bytes are charged after %d were flushed", n, i+1)
				}
			}
			p.HangUp()
		case "published":
			p.HangUp()
		case "denied":
			unauthorized = 2
			none := policy.Permission{URI: "com.*", Allow: &policy.Actions{Subscribe: true}}
			b.apply(Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t, policy.RoleDefinition{
				Name: "anonymous", Permissions: []policy.Permission{none},
			})}}})
			p.HangUp()
		case "killed with all":
			killer := b.join(0)
			killer.say(codec.Call, 1, values{}, "wamp.session.kill_all")
			killer.HangUp()
		}
		b.Settle()
		if n := b.Charged(); n != 0 {
			t.Errorf("%s: %d bytes stay charged", named, n)
		}
		if n := b.router.Stats().Unauthorized; n != unauthorized {
			t.Errorf("%s: %d are counted as unauthorized, want %d", named, n, unauthorized)
		}
	}
}

// TestTestamentDisclosure: a testament discloses its publisher where the publisher's own event would: if it asks for
// it and the realm does not forbid that, or if the permission says so. What asks for it and may not is refused, as an
// event is (PROTOCOL 7.5), and is not published if it may not any more.
func TestTestamentDisclosure(t *testing.T) {
	told := mayAll("told")
	told.Disclose.Publisher = true
	config := func(forbidden bool) Config {
		return Config{Realms: []RealmConfig{{
			URI: "realm1", ForbidDisclosure: forbidden,
			Policy: compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
				mayAll("*"), told,
			}}),
		}}}
	}
	for _, forbidden := range []string{"never", "later", "at first", "always"} {
		for i, c := range []struct {
			topic           string
			asks, discloses bool
		}{
			{"asks", true, true},
			{"told", false, true},
			{"told", true, true},
			{"silent", false, false},
			{"asks", true, true},
		} {
			b := newBed(t, 1, config(forbidden == "at first" || forbidden == "always"))
			p, other := b.join(0), b.join(0)
			other.subscribe(1, c.topic)
			may := !c.asks || c.topic == "told"
			p.say(codec.Call, 1, values{}, "wamp.session.add_testament", []any{c.topic},
				values{"publish_options": values{"disclose_me": c.asks}})
			switch {
			case may || forbidden == "never" || forbidden == "later":
				p.expect(codec.Result, 1, values{})
			default:
				p.refused(codec.Call, 1, codec.ErrOptionDisallowedDiscloseMe)
			}
			if forbidden == "later" || forbidden == "at first" {
				b.apply(config(forbidden == "later"))
			}
			p.HangUp()
			b.Settle()
			got := other.hear()
			if (got != nil) != (may || forbidden == "never") {
				t.Errorf("forbidden %s, testament %d for %q: %v", forbidden, i, c.topic, got)
			}
			if got == nil {
				continue
			}
			d := got[3].(values)
			if (d["publisher"] == int64(p.id)) != c.discloses || len(d) > 0 != c.discloses {
				t.Errorf("forbidden %s: testament %d for %q has %v, want a publisher: %t", forbidden, i, c.topic, d,
					c.discloses)
			}
			if n := b.Charged() - memberBytes; n > 2*memberBytes+1024 {
				t.Errorf("forbidden %s: %d bytes stay charged", forbidden, n)
			}
		}
	}
}

// TestTestamentOfClosedRealm: a testament that waits when its realm is closed, or comes after that, is published by
// nobody, and gives back what it counts in the budget.
func TestTestamentOfClosedRealm(t *testing.T) {
	b := newBed(t, 1, Config{})
	ms := &b.router.named["realm1"].meta
	last := &testament{topic: "com.a"}
	b.Submit(0, func(x port.Executor) {
		for range 2 {
			x.Charge(2 * last.bytes())
			ms.put(x, &metaEvent{topic: last.topic, testament: last})
			ms.put(x, &metaEvent{topic: last.topic, testament: last})
			ms.close(x)
			if n := b.Charged(); n != 0 || ms.wanted() {
				t.Errorf("%d bytes are charged, events are wanted: %t", n, ms.wanted())
			}
		}
	})
	b.Settle()
}

// TestTestamentOfWhoHasLeft: a session that leaves while an authorizer decides about its testament has none, and
// nothing stays charged for it.
func TestTestamentOfWhoHasLeft(t *testing.T) {
	b := newAuthorizerBed(t, 1, func(_ *Authorizer, cfg *Config) {
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{mayAll("wamp.*")},
		})
	})
	before := b.Charged()
	p := b.join(0)
	p.say(codec.Call, 1, values{}, "wamp.session.add_testament", []any{"com.a", []any{"last"}})
	p.silent()
	b.Submit(0, func(x port.Executor) {
		b.router.directory.find(p.id).kill(x, farewellWords{reason: codec.CloseKilled})
	})
	b.Settle()
	p.expect(codec.Error, codec.Call, 1, values{}, codec.ErrCanceled, nil)
	p.expect(codec.Goodbye, nil, codec.CloseKilled)
	b.answer(Publish, "com.a", true)
	p.silent()
	p.HangUp()
	b.Settle()
	if n := b.Charged() - before; n != 0 {
		t.Errorf("%d bytes are charged", n)
	}
}

// TestTestamentBehindLargeEvent: a session is killed while the pool still works on its event. Its testament comes
// behind the event, and on_leave behind the testament.
func TestTestamentBehindLargeEvent(t *testing.T) {
	b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
	p, other, killer := b.join(0), b.join(0), b.join(0)
	leave := other.subscribe(1, "wamp.session.on_leave")
	event := other.subscribe(2, "com.a")
	p.bequeath(1, "com.a", values{})
	p.post(codec.Publish, 2, values{}, "com.a", []any{large})
	b.RunLoop(0)
	b.StepAsync(0) // it is decoded
	b.RunLoop(0)
	killer.post(codec.Call, 1, values{}, "wamp.session.kill", []any{p.id}, values{})
	b.RunLoop(0)
	p.expect(codec.Goodbye, nil, codec.CloseKilled)
	if b.Async() != 1 {
		t.Fatalf("%d pieces of work for the pool", b.Async())
	}
	other.silent()
	b.Settle()
	other.expect(codec.Event, event, nil, values{}, []any{large})
	other.expect(codec.Event, event, nil, values{}, []any{"last"})
	other.expect(codec.Event, leave, nil, values{}, nil)
}

// TestTestamentAsked: about a testament that the permissions leave open the authorizer is asked when it is
// made and again when it is published: only if it allows both times somebody hears of it, in the order of the
// testaments, whatever the order of the answers, and before on_leave.
func TestTestamentAsked(t *testing.T) {
	var charged int64
	newOne := func() (b *authorizerBed, p, other *peer) {
		b = newAuthorizerBed(t, 2, func(_ *Authorizer, c *Config) {
			c.Realms[0].Policy = compile(t, policy.RoleDefinition{
				Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{mayAll("wamp.*")},
			})
		})
		p, other = b.join(0), b.join(1)
		other.say(codec.Subscribe, 1, values{"match": "prefix"}, "a.")
		b.answer(Subscribe, "a.", true)
		other.expect(codec.Subscribed, 1, nil)
		other.subscribe(2, "wamp.session.on_leave")
		charged = b.Charged()
		for i, topic := range []string{"a.1", "a.2"} {
			p.say(codec.Call, 1+i, values{}, "wamp.session.add_testament", []any{topic, []any{"last"}}, values{})
			b.answer(Publish, topic, values{"allow": true, "cache": false})
			p.expect(codec.Result, 1+i, values{})
		}
		p.HangUp()
		b.Settle()
		return b, p, other
	}
	heard := func(p *peer) (all []string) {
		for m := p.hear(); m != nil; m = p.hear() {
			text := "on_leave"
			if d := m[3].(values); d["topic"] != nil {
				text = fmt.Sprint(d["topic"], " ", d["publisher"] != nil)
			}
			all = append(all, text)
		}
		return all
	}
	expect := func(what string, b *authorizerBed, other *peer, want ...string) {
		t.Helper()
		b.Settle()
		if got := heard(other); !slices.Equal(got, want) {
			t.Errorf("%s: heard %q, want %q", what, got, want)
		}
		if n := b.Charged() - charged; n > 0 {
			t.Errorf("%s: %d bytes are charged still", what, n)
		}
	}
	b, _, other := newOne()
	other.silent()
	first, second := b.next(), b.next()
	b.say(b.authorize, codec.Yield, int(second[1].(int64)), values{}, []any{values{"allow": true, "disclose": true}})
	other.silent()
	b.say(b.authorize, codec.Yield, int(first[1].(int64)), values{}, []any{true})
	expect("both are allowed", b, other, "a.1 false", "a.2 true", "on_leave")

	b, _, other = newOne()
	b.answer(Publish, "a.1", false)
	b.answer(Publish, "a.2", true)
	expect("one is denied", b, other, "a.2 false", "on_leave")
	if n := b.router.Stats().Unauthorized; n != 1 {
		t.Errorf("%d unauthorized", n)
	}

	b, _, other = newOne()
	b.answer(Publish, "a.1", true)
	b.Advance(time.Second)
	expect("one is not answered", b, other, "a.1 false", "on_leave")

	b, _, other = newOne()
	b.answer(Publish, "a.1", false)
	b.answer(Publish, "a.2", false)
	expect("both are denied", b, other, "on_leave")
	p := b.join(0)
	p.say(codec.Publish, 1, values{}, "a.3", []any{"live"})
	b.answer(Publish, "a.3", values{"allow": true, "cache": true})
	b.Settle()
	p.bequeath(2, "a.3", nil)
	p.HangUp()
	expect("an answer that is kept", b, other, "a.3 false", "a.3 false", "on_leave")
	b.quiet()

	b, _, other = newOne()
	b.authorizerLeaves()
	expect("the authorizer is gone", b, other, "on_leave", "on_leave")
}

// TestTestamentBeforeGoodbye: a testament that an authorizer decides about, and GOODBYE in one go: the answer comes,
// then the reply, and the testament is published.
func TestTestamentBeforeGoodbye(t *testing.T) {
	t.Attr("checklist", "TST-02")
	b := newAuthorizerBed(t, 2, func(_ *Authorizer, cfg *Config) {
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{mayAll("wamp.*"), mayAll("heard")},
		})
	})
	p, other := b.join(0), b.join(1)
	other.subscribe(1, "heard")
	p.post(codec.Call, 1, values{}, "wamp.session.add_testament", []any{"asked", []any{"last"}})
	p.post(codec.Call, 2, values{}, "wamp.session.add_testament", []any{"heard", []any{"last"}})
	p.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	b.Settle()
	p.silent()
	b.answer(Publish, "asked", true)
	b.Settle()
	p.expect(codec.Result, 1, values{})
	p.expect(codec.Result, 2, values{})
	p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	b.answer(Publish, "asked", true) // again, to publish it
	b.Settle()
	other.expect(codec.Event, nil, nil, values{}, []any{"last"})
}

// TestTestamentSharded: a testament with rkey goes to the owner of the rkey alone, and its key has the bound that it
// has in PUBLISH.
func TestTestamentSharded(t *testing.T) {
	b := shardedBed(t, 2)
	nkeys := []string{"n1", "n2", "n3"}
	nodes := map[string]*peer{}
	for i, nkey := range nkeys {
		nodes[nkey] = b.join(i % 2)
		nodes[nkey].subscribeAs(1, "t", nkey)
	}
	p := b.join(0)
	with := func(options values) values { return values{"publish_options": options} }
	longest := strings.Repeat("k", shardKeyBytesMax)
	for i, rkey := range []string{"r", longest} {
		p.bequeath(1+i, "t", with(values{"rkey": rkey, "transaction_hash": "h"}))
	}
	for i, c := range []struct {
		rkey any
		uri  string
	}{{longest + "k", codec.ErrOptionNotAllowed}, {5, codec.ErrInvalidArgument}} {
		p.say(codec.Call, 3+i, values{}, "wamp.session.add_testament", []any{"t", []any{}},
			with(values{"rkey": c.rkey}))
		p.refused(codec.Call, 3+i, c.uri)
	}
	p.HangUp()
	b.Settle()
	for _, rkey := range []string{"r", longest} {
		d := nodes[heaviest(rkey, nkeys)[0]].expect(codec.Event, nil, nil, nil, []any{"last"})[3].(values)
		if d["transaction_hash"] != "h" {
			t.Errorf("details %v", d)
		}
	}
	for _, node := range nodes {
		node.silent()
	}
}

// TestTestamentAsSent: what receivers of every serializer get of a testament is what they get of a PUBLISH
// with the same options and payload, to the byte: numbers of any size, lone surrogates, keys in their order.
func TestTestamentAsSent(t *testing.T) {
	t.Attr("checklist", "TST-01 TST-08")
	for i, c := range []struct {
		s                     codec.Serializer
		options, args, kwargs string // as they are encoded; "" for null
	}{
		{codec.JSON, ``, `[1E3,100000000000000000000000000000001,"\ud800",-0 , {"b":1,"a":2}]`, `{}`},
		{codec.JSON, ``, ``, `{"k":1e400,"a":18446744073709551616}`},
		{codec.JSON, `{}`, `[]`, ``},
		{codec.JSON, `{"acknowledge":true,"eligible_city":["x"],"other":[1]}`, `["\u0000AQ=="]`, ``},
		{codec.JSON, `{"enc_algo":"cryptobox","enc_key":"k","enc_serializer":"x_"}`, `"\u0000AQID"`, ``},
		{codec.JSON, `{"enc_algo":"cryptobox"}`, `"text"`, `{}`},
		{codec.JSON, `{"ppt_scheme":"x_a","ppt_keyid":"\ud83d\ude00"}`, `["\u0000AQID"]`, ``},
		{
			codec.MessagePack, ``,
			"\x94\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\xd4\x05\x07\xcd\x00\x01\xa1\xff", "\x81\xa1k\x81\x01\x02",
		},
		{codec.MessagePack, "\x81\xa8enc_algo\xa4mqtt", "\xc4\x02\x01\x02", ""},
		{
			codec.CBOR, ``, "\x9f\xc2\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00\xf9\x3c\x00\xd8\x20\x61a\xf7\xff",
			"\xbf\x61k\xc1\x05\xff",
		},
		{codec.MessagePack, ``, "\x91\x81\x90\x02", ""},
		{codec.CBOR, ``, "\x81\xa1\x80\x02", ""},
		{codec.CBOR, "\xa1\x68enc_algo\x63xbr", "\x42\x01\x02", "\xa0"},
	} {
		b := newBed(t, 2, Config{})
		receivers := []*peer{
			b.joinAs(0, codec.JSON, 1<<20), b.joinAs(1, codec.MessagePack, 1<<20), b.joinAs(0, codec.CBOR, 1<<20),
		}
		for _, r := range receivers {
			r.subscribe(1, "t")
		}
		p := b.joinWith(1, c.s, "payload_passthru_mode")
		raw := func(text string) any {
			if text == "" {
				return nil
			}
			return codec.Raw{Format: c.s, Octets: []byte(text)}
		}
		options := raw(c.options)
		if options == nil {
			options = values{}
		}
		args, kwargs := raw(c.args), raw(c.kwargs)
		direct := []any{options, "t"}
		if kwargs != nil && c.options == "" {
			direct = append(direct, args, kwargs)
		} else {
			direct = append(direct, args)
		}
		p.say(codec.Publish, append([]any{1}, direct...)...)
		p.say(codec.Call, 2, values{}, "wamp.session.add_testament", []any{"t", args, kwargs},
			values{"publish_options": raw(c.options)})
		for m := p.hear(); m[0] != int64(codec.Result); m = p.hear() {
			if m[0] == int64(codec.Error) {
				t.Fatalf("testament %d: %v", i, m)
			}
		}
		p.HangUp()
		b.Settle()
		for _, r := range receivers {
			var events [2]string
			for k := range events {
				events[k] = eventBesideIDs(t, r)
			}
			if events[0] != events[1] || events[0] == "" && !strings.Contains(c.args, "\x02") {
				t.Errorf("testament %d, to %v: %s, PUBLISH %s", i, r.Variant().Serializer(), events[1], events[0])
			}
			r.silent()
		}
	}
}

// eventBesideIDs returns details and payload of the next EVENT as they are encoded.
func eventBesideIDs(t *testing.T, p *peer) string {
	t.Helper()
	var d codec.Decoder
	var m codec.Message
	next := p.Next()
	if next == nil {
		return ""
	}
	if err := d.Decode(p.Variant().Serializer(), next, &m); err != nil || m.Type != codec.Event {
		t.Fatalf("no EVENT: %v, %v", m.Type, err)
	}
	return fmt.Sprintf("%q %q %q %t", m.Dict, m.Payload.Args, m.Payload.Kwargs, m.Payload.Transparent)
}

// TestTestamentNoPublish: what would be a violation as a PUBLISH is no testament.
func TestTestamentNoPublish(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	request := 0
	for _, c := range []struct {
		options values
		rest    []any
	}{
		{nil, []any{5}},
		{nil, []any{"text"}},
		{nil, []any{[]byte{1}}},
		{nil, []any{[]any{}, 5}},
		{nil, []any{[]any{}, []any{}}},
		{nil, []any{[]any{}, values{}, nil}},
		{values{"enc_algo": "cryptobox"}, []any{[]any{1}}},
		{values{"enc_algo": "cryptobox"}, []any{nil, values{"k": 1}}},
		{values{"enc_algo": "cryptobox"}, []any{[]byte{1}, values{"k": 1}}},
		{values{"enc_algo": "rot13"}, []any{[]byte{1}}},
		{values{"acknowledge": 1}, nil},
		{values{"disclose_me": "yes"}, nil},
		{values{"exclude": 5}, nil},
		{values{"retain": "no"}, nil},
	} {
		request++
		p.say(codec.Call, request, values{}, "wamp.session.add_testament", append([]any{"t"}, c.rest...),
			values{"publish_options": c.options})
		p.refused(codec.Call, request, codec.ErrInvalidArgument)
	}
	for _, c := range [][]any{
		{values{"publish_options": 5}, []any{"t"}},
		{values{"publish_options": []any{}}, []any{"t"}},
		{values{}, []any{5}},
		{values{}, []any{}},
		{values{"scope": "other"}, []any{"t"}},
		{values{"scope": 5}, []any{"t"}},
	} {
		request++
		p.say(codec.Call, request, values{}, "wamp.session.add_testament", c[1], c[0])
		p.refused(codec.Call, request, codec.ErrInvalidArgument)
	}
	if n := len(p.bed.router.directory.find(p.id).testaments.scopes[1]); n != 0 {
		t.Errorf("%d testaments", n)
	}
}
