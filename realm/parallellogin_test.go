package realm

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/auth"
	"banyan/realm/policy"
	"banyan/realm/realmtest"
)

// TestParallelLogins runs real goroutines through logins, an authorizer, authids that replace each other and changes
// of the configuration on three loops: for the race detector. In the end each authid has one session, and then
// nothing is left.
func TestParallelLogins(t *testing.T) {
	const clients, rounds, names = 9, 12, 4
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	stored, err := auth.HashPassword(ticketOf, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := auth.ParseTicket(stored)
	if err != nil {
		t.Fatal(err)
	}
	config := func(n int) Config {
		ac := auth.Config{
			Realm: "realm1", Ticket: &auth.TicketOptions{}, AuthIDPolicy: auth.ReplaceDuplicates,
		}
		for i := range names {
			ac.Users = append(ac.Users, auth.User{
				AuthID: fmt.Sprint("user", i), Role: "user", Tickets: []auth.StoredTicket{ticket},
			})
		}
		user := policy.RoleDefinition{Name: "user", Dynamic: true, Cache: true}
		if n%2 == 1 {
			user.Permissions = []policy.Permission{{URI: "t", Allow: all}}
		}
		return Config{
			Realms: []RealmConfig{{
				URI: "realm1", Auth: makeAuth(t, ac), Policy: compile(t, user),
				Quotas: Quotas{SubscriptionsMax: 1000, CallsMax: 1000},
				Authorizers: map[string]Authorizer{
					"user": {Procedure: "authorize", Timeout: time.Minute, Cache: true, CacheTime: time.Minute},
				},
			}},
			AuthFailures: auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: -1},
		}
	}
	r, w := running(t, 3, config(0))
	authorizer, err := r.Join(t.Context(), ClientConfig{Realm: "realm1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authorizer.Register(t.Context(), "authorize", nil,
		func(_ context.Context, in Invocation) (Result, error) {
			return Result{Args: []any{values{"allow": in.Args[1] != "no", "cache": true}}}, nil
		}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	conns := make(chan *realmtest.Conn, clients*rounds)
	for i := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for round := range rounds {
				c := w.Connect((i+round)%3, codec.MakeVariant(codec.Serializer(1+i%3), codec.RawSocket), 1<<20, true)
				driveLogin(t, c, fmt.Sprint("user", (i+round)%names))
				conns <- c
			}
		}()
	}
	for n := range 10 {
		if _, err := r.Apply(t.Context(), config(n+1)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for { // the answers of the authorizer are on their way from its goroutines
		w.Settle()
		if s := r.Stats(); s.OpenCalls == 0 && s.Sessions == names+1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(conns)
	for c := range conns {
		c.HangUp()
	}
	if err := authorizer.Close(); err != nil {
		t.Error(err)
	}
	w.Settle()
	if s := r.Stats(); s.Sessions != 0 || s.Subscriptions != 0 || s.Registrations != 0 || s.Replaced == 0 ||
		s.AuthorizersAsked == 0 || s.AuthorizersFailed != 0 {
		t.Errorf("%+v", s)
	}
	rm := r.named["realm1"]
	if n := rm.held.sessions.Load() + rm.held.subscriptions.Load() + rm.held.calls.Load(); n != 0 {
		t.Errorf("the realm counts what is not there: %d", n)
	}
}

// driveLogin joins, waits for WELCOME, and sends requests of which the authorizer denies some.
func driveLogin(t *testing.T, c *realmtest.Conn, authid string) {
	s := c.Variant().Serializer()
	send := func(typ codec.Type, elements ...any) { c.Send(encodeMessage(t, s, typ, elements)) }
	hear := func() []any {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Microsecond) {
			if b := c.Next(); b != nil {
				v, err := codec.Value(s, b)
				if err != nil {
					t.Error(err)
				}
				return v.([]any)
			}
			if time.Now().After(deadline) {
				t.Error("nothing came")
				return []any{int64(0)}
			}
		}
	}
	send(codec.Hello, "realm1", values{
		"roles":  values{"publisher": values{}, "subscriber": values{}, "caller": values{}, "callee": values{}},
		"authid": authid, "authmethods": []any{"ticket"},
	})
	if m := hear(); m[0] != int64(codec.Challenge) {
		t.Errorf("%v instead of CHALLENGE", m)
	}
	send(codec.Authenticate, ticketOf, values{})
	if m := hear(); m[0] != int64(codec.Welcome) {
		t.Errorf("%v instead of WELCOME", m)
	}
	for i := range 5 {
		send(codec.Subscribe, 4*i+1, values{}, "t")
		send(codec.Publish, 4*i+2, values{"exclude_me": false}, "t", []any{i})
		send(codec.Subscribe, 4*i+3, values{}, "no")
		send(codec.Call, 4*i+4, values{}, "none")
	}
}
