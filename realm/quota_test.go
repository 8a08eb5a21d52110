package realm

import (
	"fmt"
	"testing"

	"banyan/codec"
)

// TestQuotas: LIM-01 for a realm: each quota holds exactly, over all sessions and loops; what is given back can be
// taken again; the router's own sessions do not count.
func TestQuotas(t *testing.T) {
	t.Attr("checklist", "LIM-01")
	b := newBed(t, 2, Config{Realms: []RealmConfig{{
		URI: "realm1", Quotas: Quotas{SessionsMax: 2, SubscriptionsMax: 3, RegistrationsMax: 2, CallsMax: 2},
	}}})
	local := b.local(0)
	for i := range 5 {
		b.say(local, codec.Subscribe, i+1, values{}, fmt.Sprint("l", i))
		b.say(local, codec.Register, i+10, values{}, fmt.Sprint("l", i))
	}
	one, two := b.join(0), b.join(1)
	third := b.connect(0, codec.JSON, 1<<20)
	third.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
	third.aborted(codec.ErrOptionNotAllowed)

	topic := one.subscribe(1, "a")
	one.subscribe(2, "a") // the same
	two.subscribe(3, "a")
	two.subscribe(4, "b")
	for _, p := range []*peer{one, two} {
		p.say(codec.Subscribe, 5, values{}, "c")
		p.refused(codec.Subscribe, 5, codec.ErrOptionNotAllowed)
	}
	one.say(codec.Unsubscribe, 6, int(topic))
	one.expect(codec.Unsubscribed, 6)
	two.subscribe(7, "c")

	procedure := one.register(1, "p", "roundrobin")
	one.register(2, "p", "roundrobin") // the same
	two.say(codec.Register, 3, values{"invoke": "single"}, "p")
	two.refused(codec.Register, 3, codec.ErrProcedureAlreadyExists)
	two.register(4, "p", "roundrobin")
	for _, p := range []*peer{one, two} {
		p.say(codec.Register, 5, values{}, "q")
		p.refused(codec.Register, 5, codec.ErrOptionNotAllowed)
	}
	one.say(codec.Unregister, 6, int(procedure))
	one.expect(codec.Unregistered, 6)
	one.register(7, "q", "single")

	one.say(codec.Call, 1, values{}, "p")
	two.say(codec.Call, 1, values{}, "p")
	invocation := two.expect(codec.Invocation, 1, nil, values{})
	two.expect(codec.Invocation, 2, nil, values{})
	for _, p := range []*peer{one, two} {
		p.say(codec.Call, 2, values{}, "p")
		p.refused(codec.Call, 2, codec.ErrOptionNotAllowed)
	}
	two.say(codec.Yield, int(invocation[1].(int64)), values{})
	one.expect(codec.Result, 1, values{})
	one.say(codec.Call, 3, values{}, "none") // an error gives its place back
	one.refused(codec.Call, 3, codec.ErrNoSuchProcedure)
	one.say(codec.Call, 4, values{}, "p")
	two.expect(codec.Invocation, 3, nil, values{})
	if n := b.router.Stats().OverQuota; n != 7 {
		t.Errorf("%d counted", n)
	}
	one.HangUp()
	b.Settle()
	held := &b.router.named["realm1"].held
	if s, u, r, c := held.sessions.Load(), held.subscriptions.Load(), held.registrations.Load(),
		held.calls.Load(); s != 1 || u != 3 || r != 1 || c != 1 {
		t.Errorf("%d sessions, %d subscriptions, %d registrations, %d calls", s, u, r, c)
	}
	b.join(0)
	two.HangUp()
	b.Settle()
	if s, u, r, c := held.sessions.Load(), held.subscriptions.Load(), held.registrations.Load(),
		held.calls.Load(); s != 1 || u != 0 || r != 0 || c != 0 {
		t.Errorf("%d sessions, %d subscriptions, %d registrations, %d calls", s, u, r, c)
	}
}
