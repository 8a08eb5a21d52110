//go:build linux

package engine

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/internal/wire"
)

var retryLine = regexp.MustCompile(`\r\nRetry-After: (\d+)\r\n`)

// retryAfter is what a head of HTTP says, in seconds; -1 for nothing.
func retryAfter(head string) int {
	m := retryLine.FindStringSubmatch(head)
	if m == nil {
		return -1
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// dialFrom connects from one of the addresses of this machine.
func dialFrom(t *testing.T, e *Engine, from string) *peer {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.Dial("tcp", e.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	p := dial(t, e)
	p.Close()
	p.Conn = nc
	p.r.Reset(nc)
	return p
}

var rawHello = []byte{0x7F, 0xF3, 0, 0}

// isRefused sends the opening of a RawSocket client, and reports whether it is told that there are too many.
func (p *peer) isRefused() bool {
	p.t.Helper()
	p.send(rawHello)
	var answer [4]byte
	if _, err := io.ReadFull(p.r, answer[:]); err != nil {
		p.t.Fatal(err)
	}
	return answer[1] == byte(wire.RawErrorConnections)<<4
}

// LIM: one address, or one prefix, has so many connections and not one more; another address is not affected, and a
// place that is given back is free.
func TestConnectionsPerAddress(t *testing.T) {
	e := start(t, Config{Live: Live{ConnectionsPerAddressMax: 2, AddressBitsV4: 24}}, echoes)
	var mine []*peer
	for range 2 {
		for len(mine) < 2 {
			p := dialFrom(t, e, fmt.Sprintf("127.0.9.%d", 1+len(mine)))
			if p.isRefused() {
				t.Fatalf("connection %d is refused", len(mine))
			}
			mine = append(mine, p)
		}
		over := dialFrom(t, e, "127.0.9.77")
		over.send(upgradeRequest("wamp.2.json"))
		status, head := over.readHead()
		body, _ := io.ReadAll(over.r)
		if after := retryAfter(head); status != 503 || after < 5 || after > 10 ||
			!strings.Contains(string(body), "from this address") {
			t.Errorf("%q %q", head, body)
		}
		if p := dialFrom(t, e, "127.0.10.1"); p.isRefused() {
			t.Error("another address is refused")
		} else {
			p.Close()
		}
		mine[0].reset()
		mine = mine[1:]
		eventually(t, "gone", func() bool {
			e.admission.mu.Lock()
			defer e.admission.mu.Unlock()
			n := e.admission.places[netip.MustParseAddr("127.0.9.0")]
			return n != nil && n.connections == 1
		})
	}
	if s := e.Stats(); s.RefusedAddress != 2 || s.Refused != 2 {
		t.Errorf("%d refused, %d for their address", s.Refused, s.RefusedAddress)
	}
	mine[0].reset()
	eventually(t, "nothing is kept of addresses without connections", func() bool {
		e.admission.mu.Lock()
		defer e.admission.mu.Unlock()
		return len(e.admission.places) == 0
	})
}

// LIM: behind trusted proxies it is the client's address that counts, whichever way the proxy tells it.
func TestConnectionsPerAddressBehindProxies(t *testing.T) {
	cfg := Config{Live: Live{ConnectionsPerAddressMax: 1, TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
	}}}
	cfg.Listen = []string{"127.0.0.1:0"}
	forwarded := func(p *peer, client string) int {
		p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
			"Host: localhost\r\nX-Forwarded-For: "+client, 1)))
		status, _ := p.readHead()
		return status
	}
	e := start(t, cfg, echoes)
	for i, c := range []struct {
		client string
		status int
	}{{"192.0.2.1", 101}, {"192.0.2.2", 101}, {"192.0.2.1", 503}, {"2001:db8::1", 101}, {"2001:db8::2", 503}} {
		if got := forwarded(dial(t, e), c.client); got != c.status {
			t.Errorf("%d: for %s: %d, want %d", i, c.client, got, c.status)
		}
	}
	// What it asks for itself counts as its own.
	if dial(t, e).isRefused() || !dial(t, e).isRefused() {
		t.Error("a proxy has one place of its own")
	}

	cfg.ProxyProtocol = map[string]bool{cfg.Listen[0]: true}
	e = start(t, cfg, echoes)
	for i, refused := range []bool{false, true, false} {
		p := dial(t, e)
		p.send([]byte(fmt.Sprintf("PROXY TCP4 192.0.2.%d 192.0.2.9 1 2\r\n", 1+i/2)))
		if got := p.isRefused(); got != refused {
			t.Errorf("PROXY %d: refused %v", i, got)
		}
	}
}

// LIM: so many connections may have their opening handshake under way. One that is over makes room, whether it ended
// well or not.
func TestHandshakesMax(t *testing.T) {
	e := start(t, Config{Live: Live{HandshakesMax: 2}}, echoes)
	silent := []*peer{dial(t, e), dial(t, e)}
	eventually(t, "accepted", func() bool { return e.admission.unopened.Load() == 2 })
	if p := dial(t, e); !p.isRefused() {
		t.Error("a third is not refused")
	}
	silent[0].reset()
	eventually(t, "gone", func() bool { return e.admission.unopened.Load() == 1 })
	for range 4 {
		if dial(t, e).isRefused() {
			t.Error("refused, with one place free")
		}
		eventually(t, "opened", func() bool { return e.admission.unopened.Load() == 1 })
	}
	if s := e.Stats(); s.RefusedHandshakes != 1 || s.Refused != 1 {
		t.Errorf("%d refused, %d for handshakes", s.Refused, s.RefusedHandshakes)
	}
}

// LIM: a second's worth of connections may come at once, and then one with each share of a second.
func TestConnectionsPerSecond(t *testing.T) {
	var a admission
	now := int64(5 * time.Second)
	take := func(most, n int) (admittedOnes int) {
		for range n {
			if a.admitRate(most, now) {
				admittedOnes++
			}
		}
		return admittedOnes
	}
	for range 2 {
		if n := take(10, 20); n != 10 {
			t.Errorf("%d at once, want 10", n)
		}
		now += int64(time.Second)/10 - 1
		if n := take(10, 2); n != 0 {
			t.Errorf("%d before the next share", n)
		}
		now++
		if n := take(10, 2); n != 1 {
			t.Errorf("%d with the next share", n)
		}
		now += int64(time.Hour) // a silence saves up a second, not more
	}
	if !a.admitRate(0, now) {
		t.Error("refused without a limit")
	}

	// The second that may be saved up is there from the start on.
	fresh := newEngine(Config{}, nil)
	for i := range 11 {
		if got := fresh.admission.admitRate(10, 0); got != (i < 10) {
			t.Errorf("connection %d at the start: %v", i, got)
		}
	}

	e := start(t, Config{Live: Live{ConnectionsPerSecondMax: 3}}, echoes)
	refused := 0
	for i := range 6 {
		if dial(t, e).isRefused() {
			if refused++; i < 3 {
				t.Errorf("connection %d is refused", i)
			}
		}
	}
	if s := e.Stats(); refused == 0 || s.RefusedRate != int64(refused) || s.Connections-s.Refused > 6 {
		t.Errorf("%d of 6 refused, %d counted", refused, s.RefusedRate)
	}
}

// Who is refused is told so once; everything that was counted for it is given back.
func TestRefusedGiveBack(t *testing.T) {
	e := start(t, Config{Live: Live{HandshakesMax: 1, ConnectionsPerAddressMax: 1}}, echoes)
	first := dial(t, e)
	eventually(t, "accepted", func() bool { return e.Stats().Accepted == 1 })
	for range 3 {
		if !dialFrom(t, e, "127.0.7.7").isRefused() {
			t.Fatal("admitted")
		}
	}
	first.reset()
	eventually(t, "gone", func() bool {
		e.admission.mu.Lock()
		defer e.admission.mu.Unlock()
		return len(e.admission.places) == 0 && e.admission.unopened.Load() == 0 && e.Stats().Connections == 0
	})
	if dialRaw(t, e, codec.CBOR); e.Stats().Sessions != 1 {
		t.Error("the next is not admitted")
	}
}

// One second may be saved up, and no more; what counts of an address; when a refused client comes back.
func TestAdmissionRules(t *testing.T) {
	const most = 10
	var a admission
	for _, now := range []time.Duration{time.Hour, 2 * time.Hour} {
		n := 0
		for a.admitRate(most, int64(now)) {
			n++
		}
		if n != most {
			t.Errorf("%d at once after a long silence", n)
		}
		if a.admitRate(most, int64(now+time.Second/most-1)) || !a.admitRate(most, int64(now+time.Second/most)) {
			t.Error("the next one does not come after its share of a second")
		}
	}
	v := &Live{AddressBitsV4: 24, AddressBitsV6: 64}
	for of, want := range map[string]string{
		"192.0.2.77": "192.0.2.0", "::ffff:192.0.2.77": "192.0.2.0", "fe80::1:2:3:4%eth0": "fe80::",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::",
	} {
		if got := v.prefixOf(netip.MustParseAddr(of)).String(); got != want {
			t.Errorf("%s counts as %s, want %s", of, got, want)
		}
	}
	c, _ := newSilent(t, Live{RetryAfter: 1500 * time.Millisecond}, phaseHTTP)
	seen := map[string]bool{}
	for range 100 {
		seen[c.loop.retryAfter()] = true
	}
	if len(seen) != 2 || !seen["Retry-After: 2"] || !seen["Retry-After: 3"] {
		t.Errorf("%v", seen)
	}
}

func TestCheckAdmission(t *testing.T) {
	for text, v := range map[string]Live{
		"cannot be negative":  {HandshakesMax: -1},
		"per second":          {MessagesPerSecondMax: -1},
		"per second cannot":   {BytesPerSecondMax: -1},
		"32 bits":             {AddressBitsV4: 33},
		"or 128":              {AddressBitsV6: 129},
		"comes back":          {RetryAfter: -1},
		"be told apart":       {ConnectionsPerSecondMax: 1e9 + 1},
		"address, per second": {ConnectionsPerAddressMax: -1},
	} {
		if err := v.check(1); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	v := Live{AddressBitsV4: 32, AddressBitsV6: 128, ConnectionsPerSecondMax: 1e9}
	if err := v.check(1); err != nil || v.RetryAfter != 5*time.Second {
		t.Errorf("%v, come back after %v", err, v.RetryAfter)
	}
	v = Live{}
	if err := v.check(1); err != nil || v.AddressBitsV4 != 32 || v.AddressBitsV6 != 64 {
		t.Errorf("%v, %d and %d bits", err, v.AddressBitsV4, v.AddressBitsV6)
	}
}
