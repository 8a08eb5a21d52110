package realm

import (
	"fmt"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

func authIDBed(t *testing.T, loops int, policy auth.AuthIDPolicy, most int) *bed {
	return loginBed(t, loops, func(ac *auth.Config, cfg *Config) {
		ac.AuthIDPolicy = policy
		cfg.Realms[0].Quotas.SessionsPerAuthIDMax = most
	})
}

// holders returns how many authids and sessions the realm finds by authid.
func (b *bed) holders() (authids, sessions int) {
	a := b.router.named["realm1"].authIDs.Load()
	for i := range a.shards {
		for _, held := range a.shards[i].holders {
			authids, sessions = authids+1, sessions+len(held)
		}
	}
	return authids, sessions
}

// answered begins a login as joe and sends its AUTHENTICATE, which nobody has handled yet.
func (b *bed) answered(loop int) *peer {
	b.t.Helper()
	p := b.far(loop, codec.JSON, nil)
	p.offer("joe", nil, "ticket")
	p.challenged("ticket")
	p.post(codec.Authenticate, ticketOf, values{})
	return p
}

// TestAuthIDRefuse: a second session with an authid is turned away, and may come when the first has left.
func TestAuthIDRefuse(t *testing.T) {
	b := authIDBed(t, 2, auth.RefuseDuplicates, 0)
	first := b.far(0, codec.JSON, nil)
	first.ticketJoin("joe")
	b.far(1, codec.JSON, nil).ticketJoin("ann")
	for range 2 {
		p := b.answered(1)
		b.Settle()
		p.aborted(codec.ErrNotAuthorized)
	}
	first.subscribe(1, "t")
	first.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	first.expect(codec.Goodbye, nil, codec.CloseGoodbyeAndOut)
	b.far(1, codec.JSON, nil).ticketJoin("joe")
	b.idle(2)
	if n, m := b.holders(); n != 2 || m != 2 {
		t.Errorf("%d authids, %d sessions", n, m)
	}
	if n := b.router.named["realm1"].held.sessions.Load(); n != 2 {
		t.Errorf("the realm counts %d sessions", n)
	}
}

// TestAuthIDReplace: a newer session ends the older one with GOODBYE; each time, and also when a client does not
// answer that.
func TestAuthIDReplace(t *testing.T) {
	b := authIDBed(t, 2, auth.ReplaceDuplicates, 0)
	ann := b.far(0, codec.JSON, nil)
	ann.ticketJoin("ann")
	var last *peer
	for i := range 5 {
		p := b.far(i%2, codec.JSON, nil)
		p.ticketJoin("joe")
		p.subscribe(1, "t")
		if last != nil {
			last.expect(codec.Goodbye, nil, codec.CloseKilled)
			last.silent()
		}
		last = p
		b.idle(2)
	}
	ann.silent()
	last.silent()
	if n, m := b.holders(); n != 2 || m != 2 {
		t.Errorf("%d authids, %d sessions", n, m)
	}
	if n := b.router.Stats().Replaced; n != 4 {
		t.Errorf("%d replaced", n)
	}
	last.HangUp()
	ann.HangUp()
	b.idle(0)
	if n, _ := b.holders(); n != 0 {
		t.Errorf("%d authids are left", n)
	}
}

// TestAuthIDAtOnce: of joins at the same moment on several loops exactly one stays, wherever they meet.
func TestAuthIDAtOnce(t *testing.T) {
	for _, policy := range []auth.AuthIDPolicy{auth.RefuseDuplicates, auth.ReplaceDuplicates} {
		for _, step := range []string{"authids.lock", "directory.lock", "conn.lock"} {
			for nth := 1; nth <= 3; nth++ {
				b := authIDBed(t, 3, policy, 0)
				peers := []*peer{b.answered(0), b.answered(1), b.answered(2)}
				for loop := range 2 {
					b.pause[loop], b.skip[loop] = step, nth-1
					b.RunLoop(loop)
				}
				b.RunLoop(2)
				b.Settle()
				in := 0
				for _, p := range peers {
					m := p.hear()
					refused := m[0] == int64(codec.Abort)
					if refused != (policy == auth.RefuseDuplicates && m[0] != int64(codec.Welcome)) {
						t.Errorf("%v", m)
					}
					if next := p.hear(); !refused && next == nil {
						in++
					}
				}
				if in != 1 {
					t.Errorf("policy %d, %d. %s: %d sessions stay", policy, nth, step, in)
				}
				b.idle(1)
			}
		}
	}
}

// TestAuthIDReplaceMany: the sessions that were allowed before go in chunks when one replaces them.
func TestAuthIDReplaceMany(t *testing.T) {
	b := loginBed(t, 2, nil)
	var peers []*peer
	for i := range 20 {
		p := b.far(i%2, codec.JSON, nil)
		p.ticketJoin("joe")
		peers = append(peers, p)
	}
	ac := loginConfig(t)
	ac.AuthIDPolicy = auth.ReplaceDuplicates
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1", Auth: makeAuth(t, ac)}}})
	b.idle(20) // a reload ends no session for that
	if n, m := b.holders(); n != 1 || m != 20 {
		t.Errorf("%d authids, %d sessions", n, m)
	}
	b.Budget, b.Chunk = 4, 2
	b.far(0, codec.JSON, nil).ticketJoin("joe")
	for _, p := range peers {
		p.expect(codec.Goodbye, nil, codec.CloseKilled)
	}
	b.idle(1)
}

// TestAuthIDReplacedLeaves: a session that leaves before it is told that another one has its authid is not told, and
// does not count.
func TestAuthIDReplacedLeaves(t *testing.T) {
	b := authIDBed(t, 2, auth.ReplaceDuplicates, 0)
	first := b.far(0, codec.JSON, nil)
	first.ticketJoin("joe")
	second := b.far(1, codec.JSON, nil)
	second.offer("joe", nil, "ticket")
	second.challenged("ticket")
	second.post(codec.Authenticate, ticketOf, values{})
	b.RunLoop(1)
	if len(b.Loops[0].Mail()) != 1 {
		t.Fatal("the older session is not going to be told")
	}
	first.HangUp()
	b.Settle()
	second.welcomed("joe", "user", "ticket", "static")
	if n := b.router.Stats().Replaced; n != 0 {
		t.Errorf("%d counted", n)
	}
	b.idle(1)
}

// TestAuthIDReplacedIsNotAdopted: a change of the configuration that meets a session which is replaced, and not told
// so yet, does not make it a holder again.
func TestAuthIDReplacedIsNotAdopted(t *testing.T) {
	b := authIDBed(t, 2, auth.ReplaceDuplicates, 0)
	first := b.far(0, codec.JSON, nil)
	first.ticketJoin("joe")
	b.connect(0, codec.JSON, 1<<20).offer("", nil) // the review begins with the newest
	second := b.far(1, codec.JSON, nil)
	second.offer("joe", nil, "ticket")
	second.challenged("ticket")
	b.Forced = func(int, string) bool { return false }
	b.Budget, b.Chunk = 1, 1
	if err := b.router.apply(*b.router.settings.Load(), func(Report) {}); err != nil {
		t.Fatal(err)
	}
	old := b.router.directory.find(first.id)
	list := &old.realm.sessions[0]
	for len(list.cursors) == 0 || list.cursors[0].next != old {
		b.StepLoop(0)
	}
	second.post(codec.Authenticate, ticketOf, values{})
	b.StepLoop(1)
	for len(list.cursors) > 0 && list.cursors[0].next == old {
		b.StepLoop(0) // the review comes to the first session
	}
	if n, m := b.holders(); n != 2 || m != 2 { // joe and the anonymous one
		t.Errorf("%d authids, %d sessions", n, m)
	}
	if old.left {
		t.Fatal("it has left: the schedule is not the one that is meant")
	}
	b.Settle()
	second.welcomed("joe", "user", "ticket", "static")
	second.silent()
	first.expect(codec.Goodbye, nil, codec.CloseKilled)
	b.idle(2)
}

// TestAuthIDMost: sessions_per_authid holds at n and n + 1, for each authid, and what left makes room.
func TestAuthIDMost(t *testing.T) {
	b := authIDBed(t, 2, auth.AllowDuplicates, 2)
	join := func(authid string, in bool) *peer {
		t.Helper()
		p := b.far(1, codec.JSON, nil)
		p.offer(authid, nil, "ticket")
		p.challenged("ticket")
		p.say(codec.Authenticate, ticketOf, values{})
		if in {
			p.welcomed(authid, "user", "ticket", "static")
		} else {
			p.aborted(codec.ErrOptionNotAllowed)
		}
		return p
	}
	first := join("joe", true)
	join("joe", true)
	join("joe", false)
	join("ann", true)
	first.HangUp()
	b.Settle()
	join("joe", true)
	join("joe", false)
	b.idle(3)
}

// TestAuthIDNotKept: a realm that needs no directory of authids has none.
func TestAuthIDNotKept(t *testing.T) {
	b := loginBed(t, 1, nil)
	b.far(0, codec.JSON, nil).ticketJoin("joe")
	if b.router.named["realm1"].authIDs.Load() != nil {
		t.Error("there is a directory")
	}
}

// TestAuthIDsModel: the lists of holders stay whole under joins and ends in any order.
func TestAuthIDsModel(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	p.Do(func(x port.Executor) {
		a := newAuthIDs()
		model := map[string]map[*session]bool{}
		var all []*session
		for i := range 3000 {
			if len(all) > 0 && b.Rand(2) == 0 {
				k := b.Rand(len(all))
				s := all[k]
				all = append(all[:k], all[k+1:]...)
				a.leave(x, s)
				a.leave(x, s) // again: nothing
				delete(model[s.identity.AuthID], s)
			} else {
				s := &session{holding: neverHeld, identity: codec.Identity{AuthID: fmt.Sprint(b.Rand(3))}}
				if _, why := a.enter(x, s, authIDRule{}); why != nil {
					t.Fatal(why)
				}
				all = append(all, s)
				if model[s.identity.AuthID] == nil {
					model[s.identity.AuthID] = map[*session]bool{}
				}
				model[s.identity.AuthID][s] = true
			}
			for authid, want := range model {
				held := a.shard(authid).holders[authid]
				if len(held) != len(want) {
					t.Fatalf("step %d: %d holders, want %d", i, len(held), len(want))
				}
				for k, s := range held {
					if !want[s] || s.holding != k {
						t.Fatalf("step %d: a wrong holder", i)
					}
				}
			}
		}
	})
	b.Settle()
}

// TestAuthIDAcrossMethods: the rule is for everybody with that authid, however it proved it.
func TestAuthIDAcrossMethods(t *testing.T) {
	b := authIDBed(t, 1, auth.ReplaceDuplicates, 0)
	first := b.far(0, codec.JSON, nil)
	first.ticketJoin("joe")
	p := b.far(0, codec.JSON, nil)
	p.offer("joe", nil, "wampcra")
	p.say(codec.Authenticate, signCRA(p.challenged("wampcra")["challenge"].(string)), values{})
	p.welcomed("joe", "user", "wampcra", "static")
	first.expect(codec.Goodbye, nil, codec.CloseKilled)
	b.Advance(time.Hour)
	b.idle(1)
}
