package realm

import (
	"testing"

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
