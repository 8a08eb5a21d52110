package realm

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/realmtest"
)

// running is a router whose loops are goroutines, for what waits for them.
func running(t *testing.T, loops int, cfg Config) (*Router, *realmtest.World) {
	t.Helper()
	if len(cfg.Realms) == 0 {
		cfg.Realms = []RealmConfig{{URI: "realm1"}}
	}
	cfg.Loops = loops
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := realmtest.NewWorld(1, loops)
	w.Open = r.Open
	if err := r.Attach(w); err != nil {
		t.Fatal(err)
	}
	w.Start()
	t.Cleanup(w.Stop)
	return r, w
}

// TestAttach: a router and loops that do not belong together are told apart before the first connection.
func TestAttach(t *testing.T) {
	r, err := New(Config{Realms: []RealmConfig{{URI: "realm1"}}, Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Attach(realmtest.NewWorld(1, 3)); err == nil {
		t.Error("attached to three loops")
	}
	if err := r.Kill(t.Context(), 1, "", ""); !errors.Is(err, ErrNoSuchSession) {
		t.Errorf("kill: %v", err)
	}
	if _, err := r.Join(t.Context(), ClientConfig{Realm: "realm1"}); !errors.Is(err, ErrStopped) {
		t.Errorf("join without loops: %v", err)
	}
}

// TestCreateRealm: a realm is added, used and removed while the router runs; one of the same name can follow.
func TestCreateRealm(t *testing.T) {
	b := newBed(t, 2, Config{})
	if err := b.router.CreateRealm(RealmConfig{URI: "realm1"}); !errors.Is(err, ErrRealmExists) {
		t.Errorf("twice: %v", err)
	}
	if err := b.router.CreateRealm(RealmConfig{URI: "not valid"}); err == nil {
		t.Error("a realm with a blank in its name")
	}
	for range 2 {
		if err := b.router.CreateRealm(RealmConfig{URI: "made"}); err != nil {
			t.Fatal(err)
		}
		p := b.connect(1, codec.JSON, 1<<20)
		p.hello("made")
		p.subscribe(1, "t")
		closed := false
		if err := b.router.closeRealm("made", func() { closed = true }); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		p.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
		if !closed {
			t.Error("nobody said that the realm is closed")
		}
		late := b.connect(1, codec.JSON, 1<<20)
		late.say(codec.Hello, "made", values{"roles": values{"caller": values{}}})
		late.expect(codec.Abort, nil, codec.ErrNoSuchRealm)
		p.HangUp()
		b.Settle()
	}
	if s := b.router.Stats(); s.Realms != 2 || s.Sessions != 0 || s.Subscriptions != 0 {
		t.Errorf("%+v", s)
	}
}

// TestCloseRealmIsBounded: the farewells of many sessions are spread over turns, and nobody is forgotten.
func TestCloseRealmIsBounded(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.Budget, b.Chunk = 4, 2
	var peers []*peer
	for range 20 {
		peers = append(peers, b.join(0))
	}
	closed := false
	if err := b.router.closeRealm("realm1", func() { closed = true }); err != nil {
		t.Fatal(err)
	}
	told := func() (n int) {
		for _, p := range peers {
			if m := p.Next(); m != nil {
				n++
			}
		}
		return n
	}
	b.StepLoop(0)
	first := told()
	if first == 0 || first > 4 || closed {
		t.Errorf("%d told in the first turn, closed %v", first, closed)
	}
	b.Settle()
	if n := first + told(); n != 20 || !closed {
		t.Errorf("%d told in all, closed %v", n, closed)
	}
}

// TestKill: META-free kill: one session is told GOODBYE with the reason, others are not; a session that is gone is an
// error.
func TestKill(t *testing.T) {
	b := newBed(t, 2, Config{})
	victim, other := b.join(1), b.join(0)
	if err := b.router.kill(victim.id, "no uri", "", func(bool) {}); err == nil {
		t.Error("killed for a reason that is no URI")
	}
	var found []bool
	for range 2 { // the second comes too late
		if err := b.router.kill(victim.id, "com.app.bye", "you are done",
			func(ok bool) { found = append(found, ok) }); err != nil {
			t.Fatal(err)
		}
	}
	b.Settle()
	victim.expect(codec.Goodbye, values{"message": "you are done"}, "com.app.bye")
	victim.silent()
	other.silent()
	if fmt.Sprint(found) != "[true false]" {
		t.Errorf("found: %v", found)
	}
	if err := b.router.kill(victim.id, "", "", func(bool) {}); !errors.Is(err, ErrNoSuchSession) {
		t.Errorf("killed again: %v", err)
	}
	victim.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	victim.finished(port.CloseNormal)
}

// TestSessions: every session of the realm is listed once, with what it holds.
func TestSessions(t *testing.T) {
	r, w := running(t, 3, Config{Realms: []RealmConfig{{URI: "realm1"}, {URI: "realm2"}}})
	want := map[uint64]bool{}
	for range 700 { // more than a chunk on each loop
		c, err := r.Join(t.Context(), ClientConfig{Realm: "realm1"})
		if err != nil {
			t.Fatal(err)
		}
		want[c.ID()] = true
		defer c.Close()
	}
	somebody, err := r.Join(t.Context(), ClientConfig{Realm: "realm2", AuthID: "carol", AuthRole: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	defer somebody.Close()
	if _, err := somebody.Subscribe(t.Context(), "t", nil, func(Event) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := somebody.Register(t.Context(), "p", nil, nil); err != nil {
		t.Fatal(err)
	}
	all, err := r.Sessions(t.Context(), "realm1")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !want[s.Session] {
			t.Errorf("%+v is listed, wrongly or twice", s)
		}
		delete(want, s.Session)
	}
	if len(want) > 0 {
		t.Errorf("%d sessions are not listed", len(want))
	}
	two, err := r.Sessions(t.Context(), "realm2")
	wanted := SessionInfo{
		Session: somebody.ID(), AuthID: "carol", AuthRole: "admin", AuthMethod: "local", AuthProvider: "local",
		Transport:     "local",
		Subscriptions: 1, Registrations: 1,
	}
	if err != nil || len(two) != 1 || two[0] != wanted {
		t.Errorf("%+v, %v; want %+v", two, err, wanted)
	}
	if _, err := r.Sessions(t.Context(), "realm3"); !errors.Is(err, ErrNoSuchRealm) {
		t.Errorf("no such realm: %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.CloseRealm(canceled, "realm2"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	<-somebody.Done()
	if err := r.Kill(t.Context(), all[0].Session, "", ""); err != nil {
		t.Errorf("kill: %v", err)
	}
	w.Settle()
	if left, err := r.Sessions(t.Context(), "realm1"); err != nil || len(left) != len(all)-1 {
		t.Errorf("%d sessions after a kill, %v", len(left), err)
	}
}

// TestApply: a new configuration creates, closes and changes realms; sessions in a realm that stays go on under its
// new rules.
func TestApply(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "stays"}, {URI: "goes"}}})
	stays, goes := b.connect(0, codec.JSON, 1<<20), b.connect(0, codec.JSON, 1<<20)
	stays.hello("stays")
	goes.hello("goes")
	twice := Config{Realms: []RealmConfig{{URI: "stays"}, {URI: "stays"}}}
	if err := b.router.apply(twice, func(Report) {}); err == nil {
		t.Error("a realm that is configured twice was applied")
	}
	stays.say(codec.Subscribe, 1, values{}, "UPPER.case")
	stays.expect(codec.Subscribed, 1, nil)
	b.apply(Config{
		Realms:           []RealmConfig{{URI: "stays", StrictURIs: true}, {URI: "comes"}},
		SubscriptionsMax: 1,
	})
	b.Settle()
	goes.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	stays.silent()
	stays.say(codec.Subscribe, 2, values{}, "UPPER.case")
	stays.refused(codec.Subscribe, 2, codec.ErrInvalidURI)
	stays.say(codec.Subscribe, 3, values{}, "lower")
	stays.refused(codec.Subscribe, 3, codec.ErrOptionNotAllowed)
	comes := b.connect(0, codec.JSON, 1<<20)
	comes.hello("comes")
	if n := b.router.Stats().Realms; n != 2 {
		t.Errorf("%d realms", n)
	}
}

// TestApplyAutomatic: a realm that was made on demand follows its template, and goes when no template matches it any
// more.
func TestApplyAutomatic(t *testing.T) {
	b := newBed(t, 1, Config{Templates: []Template{{Match: codec.Prefix}}})
	p := b.connect(0, codec.JSON, 1<<20)
	p.hello("made")
	p.subscribe(1, "UPPER.case")
	apply := func(cfg Config) {
		t.Helper()
		cfg.Realms = []RealmConfig{{URI: "first"}}
		b.apply(cfg)
		b.Settle()
	}
	apply(Config{
		Templates: []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{URI: "m", StrictURIs: true}}},
		DepthMax:  -1, Loops: 65, // these two are fixed
	})
	p.say(codec.Subscribe, 2, values{}, "UPPER.case")
	p.refused(codec.Subscribe, 2, codec.ErrInvalidURI)
	two := b.connect(0, codec.JSON, 1<<20)
	two.hello("made2")
	b.apply(Config{ // it is configured now, and then it is not: what a template would make is no reason to stay
		Realms: []RealmConfig{{URI: "first"}, {URI: "made2"}}, Templates: []Template{{Match: codec.Prefix}},
	})
	two.silent()
	apply(Config{Templates: []Template{{Match: codec.Prefix}}})
	two.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	p.silent()
	apply(Config{Templates: []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{URI: "n"}}}})
	p.expect(codec.Goodbye, nil, codec.CloseCloseRealm)
	if n := b.router.Stats().Realms; n != 1 {
		t.Errorf("%d realms", n)
	}
}
