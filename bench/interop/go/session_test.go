package interop

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gammazero/nexus/v3/client"
	"github.com/gammazero/nexus/v3/wamp"

	"banyan/bench/interop/peer"
)

func nexusOnly(library *peer.Library, _ peer.Link) bool { return library == &peer.Nexus }

// oneLink is for cases that start a router. They take long: no library answers GOODBYE, so the router waits five
// seconds before it stops.
func oneLink(_ *peer.Library, link peer.Link) bool {
	return link == peer.Link{Transport: "ws", Serializer: "json"}
}

// sessionCases are about joining, leaving and lost connections, PROTOCOL 4.
var sessionCases = []testCase{
	{"SES-01 joins with a session id of the protocol's range", nil, func(t *testing.T, s *stage) {
		if id := s.join().ID(); id < 1 || id > 1<<53 {
			t.Fatalf("session id %d", id)
		}
	}},
	{"SES-03 a realm that does not exist is refused with no_such_realm", nil, func(t *testing.T, s *stage) {
		_, err := s.library.Join(s.ctx, s.link, s.at, "interop.no.such.realm", peer.Login{})
		if err == nil || !strings.Contains(err.Error(), "no_such_realm") {
			t.Fatalf("got %v", err)
		}
	}},
	{"SES-25 GOODBYE is answered with goodbye_and_out", nil, func(t *testing.T, s *stage) {
		a := s.join()
		s.must(a.Leave())
		select {
		case <-a.Done():
		case <-time.After(patience):
			t.Fatal("the library does not know that it left")
		}
		if reason := a.Goodbye(); reason != "wamp.close.goodbye_and_out" {
			t.Fatalf("reason %q", reason)
		}
	}},
	{"SES-25 a session that has left leaves once", nexusOnly, func(t *testing.T, s *stage) {
		a := s.join()
		s.must(a.Leave())
		if err := a.Leave(); !errors.Is(err, client.ErrAlreadyClosed) {
			t.Fatal(err)
		}
		if err := s.call(a, s.uri("gone")); !errors.Is(err, client.ErrNotConn) {
			t.Fatal(err)
		}
	}},
	{"SES-26 REG-07 after the GOODBYE reply nobody reaches its procedures", nil, func(t *testing.T, s *stage) {
		callee, other := s.join(), s.join()
		s.register(callee, s.uri("gone"), nil, named("first"))
		s.must(callee.Leave())
		s.fails(s.call(other, s.uri("gone")), "wamp.error.no_such_procedure")
		s.register(other, s.uri("gone"), nil, named("second"))
		if who := s.who(other, s.uri("gone")); who != "second" {
			t.Fatal(who)
		}
	}},
	{"SES-34 TRN-47 a connection that is cut takes its registrations with it", nil, func(t *testing.T, s *stage) {
		lost, other := s.join(), s.join()
		s.register(lost, s.uri("lost"), nil, named("lost"))
		s.subscribe(lost, s.uri("topic"), "", func(peer.Event) {})
		lost.Drop()
		s.until("the registration is gone", func() bool {
			failure, ok := errors.AsType[*peer.Failure](s.call(other, s.uri("lost")))
			return ok && failure.URI == "wamp.error.no_such_procedure"
		})
		s.publish(other, s.uri("topic"), "into the void")
	}},
	{"SES-41 realms do not see each other", nil, func(t *testing.T, s *stage) {
		one, two := s.join(), s.joinRealm(s.at, "realm2")
		s.register(one, s.uri("same"), nil, named("one"))
		s.fails(s.call(two, s.uri("same")), "wamp.error.no_such_procedure")
		s.register(two, s.uri("same"), nil, named("two"))
		var events inbox[string]
		s.subscribe(one, s.uri("topic"), "", func(e peer.Event) { events.put(e.Args[0].(string)) })
		for realm, who := range map[string]string{"realm2": "two", "realm1": "one"} {
			a := s.joinRealm(s.at, realm)
			if got := s.who(a, s.uri("same")); got != who {
				t.Fatalf("%s: %s", realm, got)
			}
			s.publish(a, s.uri("topic"), realm)
		}
		if got := take(s, &events, 1); len(got) != 1 || got[0] != "realm1" {
			t.Fatal(got)
		}
	}},
	{"SES-31 a router that shuts down says system_shutdown and closes", oneLink, func(t *testing.T, s *stage) {
		at, stop := s.startRouter()
		a := s.joinRealm(at, "realm1")
		stop(syscall.SIGTERM)
		select {
		case <-a.Done():
		case <-time.After(patience):
			t.Fatal("the library did not notice")
		}
		if reason := a.Goodbye(); reason != "wamp.close.system_shutdown" {
			t.Fatalf("reason %q", reason)
		}
	}},
	{
		"SUB-05 REG-05 unknown ids are refused; RPC-63 CANCEL of an unknown call is ignored", nexusOnly,
		func(t *testing.T, s *stage) {
			conn := s.raw()
			conn.Send() <- &wamp.Unsubscribe{Request: 1, Subscription: 1 << 52}
			s.wantError(conn, wamp.UNSUBSCRIBE, 1, "wamp.error.no_such_subscription")
			conn.Send() <- &wamp.Unregister{Request: 2, Registration: 1 << 52}
			s.wantError(conn, wamp.UNREGISTER, 2, "wamp.error.no_such_registration")
			conn.Send() <- &wamp.Cancel{Request: 77, Options: wamp.Dict{"mode": "kill"}}
			conn.Send() <- &wamp.Call{Request: 3, Options: wamp.Dict{}, Procedure: wamp.URI(s.uri("nope"))}
			s.wantError(conn, wamp.CALL, 3, "wamp.error.no_such_procedure")
		},
	},
	{"ID-02 ID-06 ID-16 request ids may be any in the range, in any order", nexusOnly, func(t *testing.T, s *stage) {
		conn := s.raw()
		for _, id := range []wamp.ID{1, 1 << 53, 7, 7, 1<<53 - 1} {
			conn.Send() <- &wamp.Call{Request: id, Options: wamp.Dict{}, Procedure: wamp.URI(s.uri("nope"))}
			s.wantError(conn, wamp.CALL, id, "wamp.error.no_such_procedure")
		}
	}},
	{"SES-15 a second HELLO is a violation: ABORT and close", nexusOnly, func(t *testing.T, s *stage) {
		conn := s.raw()
		conn.Send() <- hello("realm1")
		abort, ok := s.receive(conn).(*wamp.Abort)
		if !ok || abort.Reason != "wamp.error.protocol_violation" {
			t.Fatalf("got %+v", abort)
		}
		if message, _ := wamp.AsString(abort.Details["message"]); message == "" {
			t.Fatal("ABORT.Details.message is empty")
		}
		if more := receive(s, conn.Recv()); more != nil {
			t.Fatalf("got %+v after ABORT", more)
		}
	}},
	{"ID-01 SUB-01 a request id of zero is a violation", nexusOnly, func(t *testing.T, s *stage) {
		conn := s.raw()
		conn.Send() <- &wamp.Subscribe{Request: 0, Options: wamp.Dict{}, Topic: wamp.URI(s.uri("topic"))}
		if abort, ok := s.receive(conn).(*wamp.Abort); !ok || abort.Reason != "wamp.error.protocol_violation" {
			t.Fatalf("got %+v", abort)
		}
	}},
}

func hello(realm string) *wamp.Hello {
	role := wamp.Dict{"features": wamp.Dict{}}
	roles := wamp.Dict{"caller": role, "callee": role, "publisher": role, "subscriber": role}
	return &wamp.Hello{Realm: wamp.URI(realm), Details: wamp.Dict{"roles": roles}}
}

// raw opens a transport of the nexus library and joins realm1. The case sends and receives the messages.
func (s *stage) raw() wamp.Peer {
	s.t.Helper()
	conn, err := peer.DialNexus(s.ctx, s.link, s.at)
	s.must(err)
	s.t.Cleanup(conn.Close)
	conn.Send() <- hello("realm1")
	if _, ok := s.receive(conn).(*wamp.Welcome); !ok {
		s.t.Fatal("no WELCOME")
	}
	return conn
}

func (s *stage) receive(conn wamp.Peer) wamp.Message {
	s.t.Helper()
	select {
	case message, ok := <-conn.Recv():
		if !ok {
			s.t.Fatal("the connection was closed")
		}
		return message
	case <-time.After(patience):
		s.t.Fatal("nothing received")
	}
	return nil
}

func (s *stage) wantError(conn wamp.Peer, kind wamp.MessageType, request wamp.ID, uri wamp.URI) {
	s.t.Helper()
	message := s.receive(conn)
	failure, ok := message.(*wamp.Error)
	if !ok || failure.Type != kind || failure.Request != request || failure.Error != uri {
		s.t.Fatalf("got %+v, want ERROR of %d for request %d: %s", message, kind, request, uri)
	}
}
