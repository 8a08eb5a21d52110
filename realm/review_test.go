package realm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"banyan/codec"
	"banyan/realm/auth"
	"banyan/realm/policy"
)

// TestReload: each change does what the report says to the sessions that are there, and nothing to others.
func TestReload(t *testing.T) {
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	role := func(name string, uris ...string) policy.RoleDefinition {
		d := policy.RoleDefinition{Name: name}
		for _, uri := range uris {
			d.Permissions = append(d.Permissions, policy.Permission{URI: uri, Allow: all})
		}
		return d
	}
	ac := loginConfig(t)
	config := func(edit func(*RealmConfig, *auth.Config), roles ...policy.RoleDefinition) Config {
		own := ac
		own.Users = slices.Clone(ac.Users)
		rc := RealmConfig{URI: "realm1", Policy: compile(t, roles...)}
		if edit != nil {
			edit(&rc, &own)
		}
		if rc.Auth == nil {
			rc.Auth = makeAuth(t, own)
		}
		return Config{
			Realms: []RealmConfig{rc, {URI: "other"}}, AuthFailures: auth.LimiterConfig{Burst: 100},
		}
	}
	wide := []policy.RoleDefinition{role("user", "*"), role("guest", "*")}
	b := newBed(t, 2, config(nil, wide...))
	local := b.localAs(0, trustedRole)
	b.say(local, codec.Subscribe, 1, values{}, "t")
	var guest, joe, ann *peer
	join := func() {
		t.Helper()
		guest = b.connect(0, codec.JSON, 1<<20)
		guest.offer("", nil)
		guest.welcomed("", "guest", "anonymous", "static")
		joe = b.far(1, codec.CBOR, nil)
		joe.offer("joe", values{"roles": values{
			"subscriber": values{"features": values{"subscription_revocation": true}},
			"callee":     values{"features": values{"registration_revocation": true}},
			"caller":     values{}, "publisher": values{},
		}}, "ticket")
		joe.challenged("ticket")
		joe.say(codec.Authenticate, ticketOf, values{})
		joe.welcomed("joe", "user", "ticket", "static")
		ann = b.far(0, codec.MessagePack, nil)
		ann.ticketJoin("ann")
	}
	join()
	ids := map[*peer]map[string]int64{}
	for _, p := range []*peer{guest, joe, ann} {
		ids[p] = map[string]int64{}
		for i, uri := range []string{"a.one", "a.two", "b.one"} {
			ids[p]["t "+uri] = p.subscribe(1+2*i, uri)
			ids[p]["p "+uri] = p.register(2+2*i, uri, "roundrobin")
		}
		p.say(codec.Subscribe, 7, values{"match": "prefix"}, "b.")
		ids[p]["t b."] = p.expect(codec.Subscribed, 7, nil)[2].(int64)
	}
	apply := func(want Report, cfg Config) {
		t.Helper()
		want.Changed = []string{"other", "realm1"}
		if got := b.apply(cfg); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("report %+v, want %+v", got, want)
		}
	}
	apply(Report{}, config(nil, wide...)) // nothing changes
	for _, p := range []*peer{guest, joe, ann} {
		p.silent()
	}

	// Permissions: what is denied now goes away, what is not stays.
	apply(Report{Subscriptions: 4, Registrations: 2}, config(nil, role("user", "a.*"), role("guest", "*")))
	for range 3 {
		m := joe.hear()
		if len(m) != 3 || m[1] != int64(0) {
			t.Fatalf("%v", m)
		}
		d := m[2].(values)
		if d["reason"] != codec.ErrNotAuthorized {
			t.Errorf("%v", m)
		}
		switch m[0] {
		case int64(codec.Unsubscribed):
			if id := d["subscription"]; id != ids[joe]["t b.one"] && id != ids[joe]["t b."] {
				t.Errorf("%v", m)
			}
		case int64(codec.Unregistered):
			if d["registration"] != ids[joe]["p b.one"] {
				t.Errorf("%v", m)
			}
		default:
			t.Errorf("%v", m)
		}
	}
	for _, p := range []*peer{guest, joe, ann} {
		p.silent() // ann announced nothing and hears nothing
	}
	guest.say(codec.Publish, 8, values{}, "b.one")
	guest.say(codec.Publish, 9, values{}, "a.one")
	for _, p := range []*peer{joe, ann} {
		p.expect(codec.Event, int(ids[p]["t a.one"]), nil, values{})
		p.silent()
	}
	guest.say(codec.Call, 10, values{}, "b.one") // only guest answers it still
	invocation := guest.expect(codec.Invocation, nil, int(ids[guest]["p b.one"]), values{})
	guest.say(codec.Yield, int(invocation[1].(int64)), values{})
	guest.expect(codec.Result, 10, values{})
	joe.say(codec.Unsubscribe, 11, int(ids[joe]["t b.one"]))
	joe.refused(codec.Unsubscribe, 11, codec.ErrNoSuchSubscription)

	// A role that is gone.
	apply(Report{SessionsRoleGone: 1}, config(nil, role("user", "a.*")))
	guest.expect(codec.Goodbye, nil, codec.CloseKilled)
	joe.silent()
	ann.silent()

	// A user that is gone, then one whose role is another.
	apply(Report{SessionsDismissed: 1}, config(func(_ *RealmConfig, ac *auth.Config) {
		ac.Users = ac.Users[:1]
	}, wide...))
	ann.expect(codec.Goodbye, nil, codec.CloseKilled)
	joe.silent()
	apply(Report{SessionsDismissed: 1}, config(func(_ *RealmConfig, ac *auth.Config) {
		ac.Users[0].Role = "guest"
	}, wide...))
	joe.expect(codec.Goodbye, nil, codec.CloseKilled)
	for _, p := range []*peer{guest, joe, ann} {
		p.HangUp()
	}
	b.idle(1)

	// A method that is gone; no logins at all any more.
	apply(Report{}, config(nil, wide...))
	join()
	apply(Report{SessionsDismissed: 2}, config(func(_ *RealmConfig, ac *auth.Config) { ac.Ticket = nil }, wide...))
	guest.silent()
	apply(Report{SessionsDismissed: 1}, config(func(_ *RealmConfig, ac *auth.Config) {
		ac.Anonymous = &auth.AnonymousOptions{Role: "guest"} // from nowhere
	}, wide...))
	guest.expect(codec.Goodbye, nil, codec.CloseKilled)

	// A listener that lets fewer in.
	apply(Report{}, config(nil, wide...))
	join()
	narrow := config(nil, wide...)
	narrow.Listeners = []Listener{{AuthMethods: []string{"anonymous", "ticket"}}}
	apply(Report{}, narrow)
	narrow.Listeners = []Listener{{AuthMethods: []string{"anonymous"}}}
	apply(Report{SessionsDismissed: 2}, narrow)
	guest.silent()
	cfg := Config{Realms: []RealmConfig{{URI: "realm1"}, {URI: "other"}}}
	apply(Report{SessionsDismissed: 1}, cfg) // guest is no role without logins
	p := b.join(0)
	apply(Report{}, cfg)
	p.silent()
	apply(Report{SessionsDismissed: 1}, config(nil, wide...))
	p.expect(codec.Goodbye, nil, codec.CloseKilled)

	// From where anonymous clients may come; and the realm itself.
	p = b.far(0, codec.JSON, nil)
	cfg.Realms[0].Anonymous = AnonymousAnywhere
	b.apply(cfg)
	p.hello("realm1")
	apply(Report{}, cfg)
	cfg.Realms[0].Anonymous = AnonymousLocal
	apply(Report{SessionsDismissed: 1}, cfg)
	p.expect(codec.Goodbye, nil, codec.CloseKilled)
	p = b.join(1)
	got := b.apply(Config{Realms: []RealmConfig{{URI: "new"}, {URI: "other"}}})
	want := Report{
		Created: []string{"new"}, Closed: []string{"realm1"}, Changed: []string{"other"}, SessionsClosed: 2,
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("report %+v, want %+v", got, want)
	}
	p.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	if n := len(b.heard[local]); b.heard[local][n-1][0] != int64(codec.Goodbye) {
		t.Errorf("the local session heard %v", b.heard[local][n-1])
	}
}

// TestReloadInvocation: a registration is taken away after a caller has chosen its callee and before it is reached.
func TestReloadInvocation(t *testing.T) {
	all := &policy.Actions{Register: true, Call: true}
	only := func(allow *policy.Actions) Config {
		return Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t, policy.RoleDefinition{
			Name: "anonymous", Permissions: []policy.Permission{{URI: "p", Allow: allow}},
		})}}}
	}
	b := newBed(t, 2, only(all))
	caller, callee := b.join(0), b.join(1)
	callee.register(1, "p", "single")
	caller.post(codec.Call, 1, values{}, "p")
	b.pauseAt(0, "conn.lock", 2)
	if err := b.router.apply(only(&policy.Actions{Call: true}), func(Report) {}); err != nil {
		t.Fatal(err)
	}
	b.RunLoop(1)
	b.Settle()
	callee.silent()
	caller.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
}

// TestReloadNothing: a configuration that is refused changes nothing.
func TestReloadNothing(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1"}}})
	p := b.join(0)
	before := b.router.settings.Load()
	for _, bad := range []Config{
		{},
		{Realms: []RealmConfig{{URI: "new"}, {URI: "not valid"}}},
		{Realms: []RealmConfig{{URI: "new"}}, AuthTimeout: -1},
	} {
		if err := b.router.apply(bad, func(Report) { t.Error("done") }); err == nil {
			t.Errorf("%+v was applied", bad)
		}
	}
	b.Settle()
	p.silent()
	if b.router.settings.Load() != before || b.router.named["realm1"] == nil || b.router.named["new"] != nil {
		t.Error("something has changed")
	}
}

// TestReloadIsBounded: many sessions, and many subscriptions of one, are gone through in chunks; what ends in the
// middle does no harm.
func TestReloadIsBounded(t *testing.T) {
	all := &policy.Actions{Subscribe: true, Register: true}
	only := func(uri string) *policy.Snapshot {
		return compile(t, policy.RoleDefinition{
			Name: "anonymous", Permissions: []policy.Permission{{URI: uri, Allow: all}},
		})
	}
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Policy: only("*")}}})
	b.Forced = func(int, string) bool { return false }
	const n = 50
	ids := map[*peer][]int64{}
	var peers []*peer
	for i := range 5 {
		p := b.join(0)
		for k := range n {
			ids[p] = append(ids[p], p.subscribe(2*k+1, fmt.Sprint("t", k)))
			p.register(2*k+2, fmt.Sprint("p", k, ".", i), "single")
		}
		peers = append(peers, p)
	}
	b.Budget, b.Chunk = 8, 4
	var report *Report
	if err := b.router.apply(Config{Realms: []RealmConfig{{URI: "realm1", Policy: only("t1*")}}},
		func(r Report) { report = &r }); err != nil {
		t.Fatal(err)
	}
	turns := 0
	at := func() (s *session) {
		for _, p := range peers {
			if o := b.router.directory.find(p.id); o != nil && o.review != nil && o.review.member != nil {
				s = o
			}
		}
		return s
	}
	unregistered := 0
	gone := 0 // subscriptions that clients gave up themselves, which the policy denies
	for report == nil {
		b.StepLoop(0)
		turns++
		for _, p := range peers {
			s := b.router.directory.find(p.id)
			if s == nil || s.review == nil || s.review.callee == nil || s.review.member != nil || turns%5 != 0 {
				continue
			}
			p.post(codec.Unregister, 2000+turns, int(s.review.callee.reg.id))
			unregistered++
		}
		if s := at(); s != nil && turns%5 == 0 { // it gives up what comes next in the review
			for _, p := range peers {
				if p.id == s.id {
					id := s.review.member.sub.id
					if s.review.member.sub.uri[:2] != "t1" {
						gone++
					}
					p.post(codec.Unsubscribe, 1000+turns, int(id))
				}
			}
		}
		if turns == 40 {
			peers[0].HangUp()
		}
	}
	b.Settle()
	if turns < 5*2*n/8 {
		t.Errorf("done after %d turns", turns)
	}
	for _, p := range peers[1:] {
		s := b.router.directory.find(p.id)
		for _, mb := range s.subscriptions {
			if mb.sub.uri[:2] != "t1" {
				t.Errorf("%s is still subscribed", mb.sub.uri)
			}
		}
		if len(s.registrations) != 0 || s.review != nil {
			t.Errorf("%d registrations, review %v", len(s.registrations), s.review != nil)
		}
	}
	if gone == 0 || report.Subscriptions > 5*(n-11)-gone || report.Subscriptions < 4*(n-11)-gone {
		t.Errorf("%d subscriptions were taken away, %d given up", report.Subscriptions, gone)
	}
	if unregistered == 0 || report.Registrations > 5*n-unregistered || report.Registrations < 4*n-unregistered {
		t.Errorf("%d registrations were taken away, %d given up", report.Registrations, unregistered)
	}
	for _, p := range peers {
		p.HangUp()
	}
	b.Settle()
	nothingLeftOf(t, b, 0)
}

// TestReloadMeanwhile: a login that began before a change ends after it by the new rules.
func TestReloadMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*auth.Config, *RealmConfig)
		uri  string
	}{
		"same":    {func(*auth.Config, *RealmConfig) {}, ""},
		"no user": {func(ac *auth.Config, _ *RealmConfig) { ac.Users = ac.Users[1:] }, codec.ErrAuthenticationFailed},
		"no auth": {func(_ *auth.Config, rc *RealmConfig) { rc.Auth = nil }, codec.ErrAuthenticationFailed},
		"no role": {
			func(_ *auth.Config, rc *RealmConfig) { rc.Policy = compile(t, policy.RoleDefinition{Name: "x"}) },
			codec.ErrNoSuchRole,
		},
		"full": {func(_ *auth.Config, rc *RealmConfig) { rc.Quotas.SessionsMax = 1 }, codec.ErrOptionNotAllowed},
	} {
		b := loginBed(t, 1, nil)
		b.far(0, codec.JSON, nil).ticketJoin("ann")
		p := b.far(0, codec.JSON, nil)
		p.offer("joe", nil, "ticket")
		p.challenged("ticket")
		ac := loginConfig(t)
		rc := RealmConfig{URI: "realm1", Auth: makeAuth(t, ac)}
		test.edit(&ac, &rc)
		if rc.Auth != nil {
			rc.Auth = makeAuth(t, ac)
		}
		b.apply(Config{Realms: []RealmConfig{rc}})
		p.say(codec.Authenticate, ticketOf, values{})
		if test.uri == "" {
			p.welcomed("joe", "user", "ticket", "static")
		} else {
			p.aborted(test.uri)
		}
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestApplyWaits: Apply returns the report when the loops are done, and says when they have ended.
func TestApplyWaits(t *testing.T) {
	cfg := Config{Realms: []RealmConfig{{URI: "realm1"}, {URI: "realm2"}}}
	idle, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if report, err := idle.Apply(t.Context(), cfg); err != nil || len(report.Changed) != 2 {
		t.Errorf("before there are loops: %+v, %v", report, err)
	}
	r, w := running(t, 2, cfg)
	var clients []*Client
	for i := range 600 {
		c, err := r.Join(t.Context(), ClientConfig{Realm: fmt.Sprint("realm", i%2+1)})
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
	}
	report, err := r.Apply(t.Context(), Config{Realms: cfg.Realms[:1]})
	if err != nil || report.SessionsClosed != 300 || len(report.Closed) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
	for i, c := range clients {
		if i%2 == 1 {
			<-c.Done()
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Apply(canceled, cfg); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	w.Settle()
	if n := r.Stats().Realms; n != 2 {
		t.Errorf("%d realms", n)
	}
	for i, c := range clients {
		if i%2 == 0 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
