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
// it and the realm does not forbid that, or if the permission says so. Otherwise it is published without.
func TestTestamentDisclosure(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		told := mayAll("told")
		told.Disclose.Publisher = true
		b := newBed(t, 1, Config{Realms: []RealmConfig{{
			URI: "realm1", ForbidDisclosure: forbidden,
			Policy: compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
				mayAll("*"), told,
			}}),
		}}})
		other := b.join(0)
		other.subscribe(1, "asks")
		other.subscribe(2, "told")
		other.subscribe(3, "silent")
		for i, c := range []struct {
			topic           string
			asks, discloses bool
		}{
			{"asks", true, !forbidden},
			{"told", false, true},
			{"told", true, true},
			{"silent", false, false},
			{"told", false, true},
			{"asks", true, !forbidden},
		} {
			p := b.join(0)
			p.bequeath(1, c.topic, values{"publish_options": values{"disclose_me": c.asks}})
			p.HangUp()
			b.Settle()
			got := other.hear()
			if got == nil {
				t.Errorf("forbidden %t: testament %d for %q is not published", forbidden, i, c.topic)
				continue
			}
			d := got[3].(values)
			if (d["publisher"] == int64(p.id)) != c.discloses || len(d) > 0 != c.discloses {
				t.Errorf("forbidden %t: testament %d for %q has %v, want a publisher: %t", forbidden, i, c.topic, d,
					c.discloses)
			}
		}
	}
}

// TestTestamentOfClosedRealm: a testament that waits when its realm is closed, or comes after that, is published by
// nobody, and gives back what it counts in the budget.
func TestTestamentOfClosedRealm(t *testing.T) {
	b := newBed(t, 1, Config{})
	ms := &b.router.named["realm1"].meta
	last := &testament{topic: "com.a", options: []byte{0x80}}
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
	p.HangUp()
	b.Settle()
	b.answer(Publish, "com.a", true)
	b.Settle()
	if n := b.Charged() - before; n != 0 {
		t.Errorf("%d bytes are charged", n)
	}
}

// TestTestamentBehindLargeEvent: a testament comes behind an event of its session that the pool is still working on.
func TestTestamentBehindLargeEvent(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, other := b.join(0), b.join(0)
	other.subscribe(1, "com.a")
	p.bequeath(1, "com.a", values{})
	p.post(codec.Publish, 2, values{}, "com.a", []any{large})
	b.RunLoop(0)
	b.StepAsync(0) // it is decoded
	b.RunLoop(0)
	p.HangUp()
	b.RunLoop(0)
	if b.Async() != 1 {
		t.Fatalf("%d pieces of work for the pool", b.Async())
	}
	other.silent()
	b.Settle()
	other.expect(codec.Event, nil, nil, values{}, []any{large})
	other.expect(codec.Event, nil, nil, values{}, []any{"last"})
}

// TestTestamentAsked: PUB-20. About a testament that the permissions leave open the authorizer is asked when it is
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
