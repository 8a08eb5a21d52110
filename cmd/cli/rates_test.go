package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// TestFileRates: a session that sends more in a second than it may is not read from for a while, and loses nothing.
func TestFileRates(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"messages_per_second_max: 5", "bytes_per_second_max: 1KiB", ""} {
		s := startService(t, "limits: { "+limit+" }\n"+openRealms("a"))
		k := s.talk(t)
		k.says(`[1,"a",{`+allRoles+`}]`, "[2,")
		text := strings.Repeat("x", 200)
		for i := range 10 {
			k.says(fmt.Sprintf(`[16,%d,{"acknowledge":true},"com.a",[%q]]`, i+1, text), fmt.Sprintf("[17,%d,", i+1))
		}
		if got := s.router.engine.Stats().RatePauses > 0; got != (limit != "") {
			t.Errorf("%q: %d pauses", limit, s.router.engine.Stats().RatePauses)
		}
	}
}

// TestFileOrigins: each listener has its own origins, and a reload changes them.
func TestFileOrigins(t *testing.T) {
	text := func(first, second string) string {
		return "listeners:\n  - { name: one, address: '127.0.0.1:0', origins: [" + first + "] }\n" +
			"  - { name: two, address: '127.0.0.2:0', origins: [" + second + "] }\n" + openRealms("a")
	}
	s := startService(t, text("one.example", "two.example"))
	allowed := func(listener int, host string) bool {
		t.Helper()
		r := &testRouter{router: s.router, tcp: s.router.engine.Addrs()[listener].String()}
		return upgrade(t, r, "https://"+host).status == "101"
	}
	for i, host := range []string{"one.example", "two.example"} {
		if !allowed(i, host) || allowed(1-i, host) {
			t.Errorf("%s: %v at the first listener, %v at the second", host, allowed(0, host), allowed(1, host))
		}
	}
	s.write(text("two.example", ""))
	if r := s.reload("test"); !r.Applied || len(r.Changes) != 2 {
		t.Fatalf("%+v", r)
	}
	if allowed(0, "one.example") || !allowed(0, "two.example") || allowed(1, "two.example") {
		t.Error("the reload has not changed the origins")
	}
}

// TestFileAgent: process.agent is what WELCOME says.
func TestFileAgent(t *testing.T) {
	s := startService(t, "process: { agent: Me }\nlisteners: [{ address: '127.0.0.1:0' }]\n"+openRealms("a"))
	c, err := client.Connect(t.Context(), "ws://"+s.address()+"/ws", client.Options{Serializer: codec.JSON})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abandon()
	c.SetReadDeadline(time.Now().Add(patience))
	if answer := (&talk{c, t}).ask(`[1,"a",{` + allRoles + `}]`); !strings.Contains(answer, `"agent":"Me"`) {
		t.Error(answer)
	}
}

// TestFileConnectionRate: when more come in a second than may, some are told to come back, and others are let in
// again later.
func TestFileConnectionRate(t *testing.T) {
	t.Parallel()
	s := startService(t, "listeners: [{ address: '127.0.0.1:0' }]\nlimits: { connections_per_second_max: 2 }\n"+
		openRealms("a"))
	for range 2 {
		eventually(t, "somebody is let in", func() bool { return s.joinAt("rs", 0) == nil })
		eventually(t, "somebody is refused", func() bool { return s.joinAt("rs", 0) != nil })
	}
}
