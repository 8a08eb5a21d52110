package realm

import (
	"testing"

	"banyan/codec"
	"banyan/realm/history"
	"banyan/realm/policy"
)

// TestGoodbyeBehindMetaCalls: a client sends calls of the meta API and GOODBYE in one go. They are handled in order,
// so it gets every answer before the reply to GOODBYE, wherever the answers come from.
func TestGoodbyeBehindMetaCalls(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		d := history.NewMemory(0)
		b := newBed(t, 2, Config{Disk: d, Realms: []RealmConfig{{
			URI: "realm1", History: []History{{Pattern: Pattern{URI: "com.h"}, OnDisk: onDisk}},
		}}})
		var under []func()
		b.router.background = func(work func()) { under = append(under, work) }
		p := b.join(0)
		p.publish(1, "com.h", 1)
		id := p.lookUp(2, "com.h", "exact")
		p.say(codec.Call, 3, values{}, "wamp.subscription.get", []any{id}) // now the catalogs are made
		p.expect(codec.Result, 3, values{}, nil)

		p.post(codec.Call, 4, values{}, "wamp.subscription.get_events", []any{id})
		p.post(codec.Call, 5, values{}, "wamp.session.count")
		p.post(codec.Call, 6, values{}, "wamp.subscription.get_events", []any{id})
		p.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
		for b.Settle(); len(under) > 0; b.Settle() {
			under[0]()
			under = under[1:]
		}
		p.expect(codec.Result, 4, values{}, nil, nil)
		p.expect(codec.Result, 5, values{}, []any{int64(1)})
		p.expect(codec.Result, 6, values{}, nil, nil)
		p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	}
}

// TestGoodbyeBehindAskedQuery: the same while an authorizer decides whether the caller may have the history.
func TestGoodbyeBehindAskedQuery(t *testing.T) {
	t.Attr("checklist", "PUB-50")
	b := newAuthorizerBed(t, 2, func(_ *Authorizer, cfg *Config) {
		cfg.Realms[0].History = []History{{Pattern: Pattern{URI: "asked.h"}}}
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{{
				URI: "wamp.", Match: "prefix", Allow: &policy.Actions{Call: true},
			}},
		})
	})
	p := b.join(0)
	id := p.lookUp(1, "asked.h", "exact")
	p.say(codec.Call, 2, values{}, "wamp.subscription.get", []any{id})
	p.expect(codec.Result, 2, values{}, nil)
	p.post(codec.Call, 3, values{}, "wamp.subscription.get_events", []any{id})
	p.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	b.Settle()
	p.silent()
	b.answer(Subscribe, "asked.h", true)
	p.expect(codec.Result, 3, values{}, nil, nil)
	p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
}

// TestQueryOfADiskThatHangs: the caller is told, and goes on; the query is given back when the disk lets it go.
func TestQueryOfADiskThatHangs(t *testing.T) {
	d := history.NewMemory(0)
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{
		URI: "realm1", History: []History{{Pattern: Pattern{URI: "com.h"}, OnDisk: true}},
	}}})
	var under []func()
	b.router.background = func(work func()) { under = append(under, work) }
	b.store(1000) // some pages
	p := b.join(0)
	id := p.lookUp(1, "com.h", "exact")
	before := b.Charged()
	for i, late := range []bool{true, false, true} {
		p.say(codec.Call, 2+i, values{}, "wamp.subscription.get_events", []any{id})
		wait := queryReadMax
		if !late {
			wait -= queryLookAfter
		}
		for ; wait > 0; wait -= queryLookAfter {
			p.silent()
			b.Advance(queryLookAfter)
			b.Settle()
		}
		if late {
			p.refused(codec.Call, 2+i, codec.ErrUnavailable)
			p.publish(100+i, "com.other")
			b.Advance(2 * queryReadMax) // it is told once
			b.Settle()
		}
		if b.Charged() == before || b.router.queries.Load() != 1 {
			t.Errorf("%d bytes are charged, %d queries", b.Charged()-before, b.router.queries.Load())
		}
		for n := 0; len(under) > 0; n++ {
			if late && n > 0 {
				t.Error("another page is read for nobody")
			}
			under[0]()
			under = under[1:]
			for range 3 { // the page waits for the pool, which is not the disk's fault
				b.RunLoop(0)
				b.Advance(queryReadMax)
				b.RunLoop(0)
			}
			p.silent()
			b.Settle()
		}
		if !late {
			p.expect(codec.Result, 2+i, values{}, nil, nil)
		}
		p.silent()
		if n := b.Charged() - before; n != 0 || b.router.queries.Load() != 0 || b.Loops[0].Armed() != 0 {
			t.Errorf("%d bytes are charged, %d queries, %d timers", n, b.router.queries.Load(), b.Loops[0].Armed())
		}
	}
	if s := b.router.Stats(); s.QueriesRefused != 2 || s.Queries != 1 {
		t.Errorf("%d are refused, %d answered", s.QueriesRefused, s.Queries)
	}
}
