//go:build linux

package engine

import (
	"net/netip"
	"strings"
	"testing"

	"banyan/codec"
)

// dialAt connects to the listener with that index.
func dialAt(t *testing.T, e *Engine, listener int) *peer {
	t.Helper()
	p := dial(t, &Engine{listeners: e.listeners[listener:]})
	return p
}

// Each listener has its own origins and trusted proxies, also after Apply.
func TestRulesOfListeners(t *testing.T) {
	rules := []ListenerRules{
		{Origins: []string{"a.example"}, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
		{Origins: []string{"b.example"}},
	}
	cfg := Config{Live: Live{Listeners: rules, ConnectionsPerAddressMax: 1, Origins: []string{"*"}}}
	cfg.Listen = []string{"127.0.0.1:0", "127.0.0.2:0"}
	e := start(t, cfg, echoes)
	ask := func(listener int, headers string) int {
		p := dialAt(t, e, listener)
		defer p.Close()
		p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
			"Host: localhost\r\n"+headers, 1)))
		status, _ := p.readHead()
		return status
	}
	for range 2 {
		for i, want := range []int{101, 403} {
			if got := ask(i, "Origin: https://a.example"); got != want {
				t.Errorf("listener %d, a page of a.example: %d, want %d", i, got, want)
			}
			eventually(t, "gone", func() bool { return e.Stats().Connections == 0 })
			if got := ask(i, "Origin: https://b.example"); got != 504-want {
				t.Errorf("listener %d, a page of b.example: %d", i, got)
			}
			eventually(t, "gone", func() bool { return e.Stats().Connections == 0 })
		}
		if err := e.Apply(Live{Listeners: rules, ConnectionsPerAddressMax: 1}); err != nil {
			t.Fatal(err)
		}
	}
	// Whom a proxy speaks for is believed where it is trusted: the second connection there is of another address.
	for i, want := range []int{101, 503} {
		first, second := dialAt(t, e, i), dialAt(t, e, i)
		for k, p := range []*peer{first, second} {
			p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
				"Host: localhost\r\nX-Forwarded-For: 192.0.2."+string(rune('1'+k)), 1)))
		}
		status, _ := first.readHead()
		other, _ := second.readHead()
		if status+other != 101+want {
			t.Errorf("listener %d: %d and %d", i, status, other)
		}
		first.Close()
		second.Close()
		eventually(t, "gone", func() bool { return e.Stats().Connections == 0 })
	}
	err := e.Apply(Live{Listeners: rules[:1]})
	if err == nil || !strings.Contains(err.Error(), "1 listeners, but there are 2") {
		t.Errorf("%v", err)
	}
	cfg.Live.Listeners = append(rules, rules...)
	if _, err := New(cfg, echoes); err == nil || !strings.Contains(err.Error(), "4 listeners, but there are 2") {
		t.Errorf("%v", err)
	}
	cfg.Live.Listeners = []ListenerRules{{}, {TrustedProxies: make([]netip.Prefix, 1)}}
	if _, err := New(cfg, echoes); err == nil || !strings.Contains(err.Error(), "is no address or prefix") {
		t.Errorf("%v", err)
	}
}

// A listener that speaks one of the protocols refuses clients of the other, and answers HTTP.
func TestProtocolsOfListeners(t *testing.T) {
	cfg := Config{Listen: []string{"127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"}}
	cfg.Protocols = map[string][]string{
		cfg.Listen[0]: {"websocket"}, cfg.Listen[1]: {"rawsocket"}, cfg.Listen[2]: {"rawsocket", "websocket"},
	}
	e := start(t, cfg, echoes)
	for i, want := range []struct {
		status int
		raw    bool
	}{{101, false}, {403, true}, {101, true}} {
		p := dialAt(t, e, i)
		p.send(upgradeRequest("wamp.2.json"))
		if status, _ := p.readHead(); status != want.status {
			t.Errorf("listener %d: WebSocket %d, want %d", i, status, want.status)
		}
		p = dialAt(t, e, i)
		p.send([]byte{0x7F, 0xF0 | byte(codec.MessagePack), 0, 0})
		if want.raw {
			p.expect([]byte{0x7F})
		} else {
			p.expectEnd()
		}
		p = dialAt(t, e, i)
		p.send([]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
		if status, _ := p.readHead(); status != 200 {
			t.Errorf("listener %d: health %d", i, status)
		}
	}
	for text, speaks := range map[string]map[string][]string{
		"is no protocol":          {cfg.Listen[0]: {"mqtt"}},
		"is no address to listen": {"127.0.0.9:0": {"websocket"}},
	} {
		if _, err := New(Config{Listen: cfg.Listen, Protocols: speaks}, echoes); err == nil ||
			!strings.Contains(err.Error(), text) {
			t.Errorf("%v: %v", speaks, err)
		}
	}
}
