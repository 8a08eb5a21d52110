package cli

import (
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/bench/load"
	"banyan/codec"
)

// TestReloadUnderLoad: while files with other users, roles, realms and limits come and go, no event and no answer of
// those who may stay is lost, none comes twice or out of order, and only who lost its right to be there is told to
// leave, each time.
func TestReloadUnderLoad(t *testing.T) {
	const guests = "    users: { guest: { role: guest, ticket: { sha256: " +
		"84983c60f7daadc1cb8698621f802c0d9f9a3c3c295c810748fb048115c186ec } } }\n"
	base := strings.Replace(openRealms("a"), "auth: { anonymous: {} }", "auth: { anonymous: {}, ticket: {} }", 1)
	both := strings.Replace(base, "roles: [", "roles: [{ name: guest, permissions: [] }, ", 1)
	texts := [2]string{
		both + guests + "limits: { calls_max: 5000, messages_per_second_max: 10000000 }\n",
		base + strings.TrimPrefix(openRealms("b"), "realms:\n") +
			"limits: { calls_max: 6000 }\nkeepalive: { ping_interval: 0 }\n",
	}
	s := startService(t, texts[0])

	options := load.Options{
		URL: "unix:" + s.unix, Realm: "a", Serializer: codec.MessagePack, InFlight: 16, PID: -1,
		Duration: 500 * time.Millisecond,
	}
	var loads sync.WaitGroup
	done := make(chan struct{})
	run := func(name string, play func() (*load.Report, error)) {
		loads.Go(func() {
			r, err := play()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !r.Verified.OK || r.Verified.Received < 100 {
				t.Errorf("%s: %+v", name, r.Verified)
			}
		})
	}
	run("events", func() (*load.Report, error) {
		return load.Fanout(t.Context(), load.FanoutPlan{Options: options, Publishers: 2, Subscribers: 8})
	})
	run("calls", func() (*load.Report, error) {
		return load.RPC(t.Context(), load.RPCPlan{Options: options, Callers: 4, Callees: 2})
	})
	go func() {
		loads.Wait()
		close(done)
	}()

	stays, err := s.join("a")
	if err != nil {
		t.Fatal(err)
	}
	reloads := 0
	for under := true; under; reloads += 2 {
		guest, err := client.Dial(t.Context(), "unix:"+s.unix, client.Options{
			Realm: "a", Login: &client.Login{AuthID: "guest", Ticket: "guest"},
		})
		if err != nil {
			t.Fatal(err)
		}
		for i, told := range []int{1, 0} {
			s.write(texts[1-i])
			r := s.reload("the test")
			if !r.Applied || len(r.Changes) == 0 {
				t.Fatalf("%+v", r)
			}
			if n := r.Sessions.LoginLost + r.Sessions.RoleGone + r.Sessions.RealmClosed; n != told {
				t.Fatalf("%d sessions were told to leave: %+v", n, r.Sessions)
			}
		}
		<-guest.Done()
		guest.Close()
		select {
		case <-done:
			under = false
		default:
		}
	}
	if stays.Err() != nil {
		t.Errorf("a session that may stay has ended: %v", stays.Err())
	}
	if reloads < 4 {
		t.Errorf("only %d reloads", reloads)
	}
	t.Logf("%d reloads", reloads)
}
