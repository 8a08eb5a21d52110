//go:build linux

package engine

import (
	"cmp"
	"errors"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Admission: which connections get a place. Each is asked when it is accepted, and those behind a trusted proxy once
// more when the proxy has told their address. A long-poll session is asked when it opens, like a connection. Who
// gets none is told to come back: HTTP 503 with Retry-After, or RawSocket error 4.

// A refusal is a reason for which a connection gets no place.
type refusal uint8

const (
	admitted refusal = iota
	refusedFull
	refusedAddress
	refusedHandshakes
	refusedRate
)

// refusals say why, to the client and in the log.
var refusals = [...]struct {
	reason, line string
	limit        func(v *Live) int
}{
	refusedFull: {
		"too many connections", "connections are refused: the limit is reached",
		func(v *Live) int { return v.ConnectionsMax },
	},
	refusedAddress: {
		"too many connections from this address", "connections are refused: their address has too many",
		func(v *Live) int { return v.ConnectionsPerAddressMax },
	},
	refusedHandshakes: {
		"too many opening handshakes", "connections are refused: too many opening handshakes are under way",
		func(v *Live) int { return v.HandshakesMax },
	},
	refusedRate: {
		"too many connections in this second", "connections are refused: too many came in a second",
		func(v *Live) int { return v.ConnectionsPerSecondMax },
	},
}

// An admission counts the connections that Live limits by address, by handshakes and by rate.
type admission struct {
	// Any goroutine.
	rateTime  atomic.Int64 // nanoseconds since Engine.epoch; what the rate has admitted, as time: see admitRate
	unopened  atomic.Int64 // counted connections whose opening handshake is under way
	perReason [len(refusals)]atomic.Int64

	mu     sync.Mutex
	places map[netip.Addr]*place // guarded by mu; an entry has one connection at least
}

// A place is what the connections of one address share.
type place struct {
	address     netip.Addr // its leading bits, the rest is zero; fixed
	connections int        // guarded by admission.mu
}

// admit asks for a place for c, which l accepted. On success c keeps what was counted for it until leave.
func (e *Engine) admit(l *loop, c *conn) refusal {
	live, a := l.live, &e.admission
	if e.open.Add(1) > int64(live.ConnectionsMax) {
		e.open.Add(-1)
		return refusedFull
	}
	why := admitted
	if !c.addressLater() && !a.take(live, c) {
		why = refusedAddress
	}
	if why == admitted && live.HandshakesMax > 0 {
		c.unopened = true
		if a.unopened.Add(1) > int64(live.HandshakesMax) {
			why = refusedHandshakes
		}
	}
	if why == admitted && !a.admitRate(live.ConnectionsPerSecondMax, e.now()) {
		why = refusedRate
	}
	if why != admitted {
		a.leave(c)
		e.open.Add(-1)
	}
	return why
}

// addressLater reports whether it is too early to count the address of a connection that was just accepted: it may be
// one that a proxy passes on, or one that carries requests of long-poll, where the session counts instead.
func (c *conn) addressLater() bool {
	if c.opening != nil && (c.opening.proxy || c.opening.poll != "") {
		return true
	}
	rules := c.loop.live.rules(c.peer.Listener)
	return rules.trusts(c.peer.Address)
}

// admitAddress asks for a place for a connection that has none yet: see addressLater. By now the proxy has told for
// whom, or it speaks for itself.
func (c *conn) admitAddress() refusal {
	if a := &c.loop.engine.admission; c.place == nil && !a.take(c.loop.live, c) {
		c.loop.engine.tellRefused(c, refusedAddress)
		return refusedAddress
	}
	return admitted
}

// take counts c with its address, if that is limited. It returns false when there is no place left.
func (a *admission) take(live *Live, c *conn) bool {
	if live.ConnectionsPerAddressMax == 0 {
		return true
	}
	at, err := netip.ParseAddrPort(c.peer.Address)
	if err != nil {
		return true // a Unix socket, or a proxy that does not tell
	}
	address := live.prefixOf(at.Addr())
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.places[address]
	if p == nil {
		p = &place{address: address}
		if a.places == nil {
			a.places = map[netip.Addr]*place{}
		}
		a.places[address] = p
	} else if p.connections >= live.ConnectionsPerAddressMax {
		return false
	}
	p.connections++
	c.place = p
	return true
}

// prefixOf is the part of an address that counts.
func (v *Live) prefixOf(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	bits := v.AddressBitsV6
	if ip.Is4() {
		bits = v.AddressBitsV4
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ip // Live.check has seen to it that there are as many bits
	}
	return p.Addr()
}

// admitRate reports whether one more connection keeps within most per second; 0 is no limit. Each connection takes
// its share of a second, and at most one second may be saved up.
func (a *admission) admitRate(most int, now int64) bool {
	if most == 0 {
		return true
	}
	share := int64(time.Second) / int64(most)
	for {
		was := a.rateTime.Load()
		start := max(was, now-int64(time.Second))
		if start+share > now {
			return false
		}
		if a.rateTime.CompareAndSwap(was, start+share) {
			return true
		}
	}
}

// opened notes that the opening handshake of c is over.
func (a *admission) opened(c *conn) {
	if c.unopened {
		c.unopened = false
		a.unopened.Add(-1)
	}
}

// leave gives back what was counted for c.
func (a *admission) leave(c *conn) {
	a.opened(c)
	a.leavePlace(c)
}

func (a *admission) leavePlace(c *conn) {
	if c.place == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.place.connections--; c.place.connections == 0 {
		delete(a.places, c.place.address)
	}
	c.place = nil
}

// tellRefused counts a refusal, and writes a line.
func (e *Engine) tellRefused(c *conn, why refusal) {
	e.rare.refused.Add(1)
	e.admission.perReason[why].Add(1)
	e.warn(refusals[why].line, "limit", refusals[why].limit(e.live.Load()), "listener", c.listenName(),
		"peer", c.peer.Address)
}

// retryAfter is a header line that tells a client when to come back: after Live.RetryAfter at least, and twice that
// at most, so that those who were refused together do not return together.
func (l *loop) retryAfter() string {
	d := l.live.RetryAfter
	d += time.Duration(l.Rand() % uint64(d))
	return "Retry-After: " + strconv.Itoa(int(math.Ceil(d.Seconds())))
}

// checkAdmission judges the limits of this file.
func (v *Live) checkAdmission() error {
	v.AddressBitsV4 = cmp.Or(v.AddressBitsV4, 32)
	v.AddressBitsV6 = cmp.Or(v.AddressBitsV6, 64)
	v.RetryAfter = cmp.Or(v.RetryAfter, 5*time.Second)
	switch {
	case v.ConnectionsPerAddressMax < 0, v.ConnectionsPerSecondMax < 0, v.HandshakesMax < 0:
		return errors.New("engine: the limits of connections per address, per second and in their opening " +
			"handshake cannot be negative")
	case v.ConnectionsPerSecondMax > int(time.Second):
		return errors.New("engine: at most 1 000 000 000 connections per second can be told apart")
	case v.AddressBitsV4 < 1 || v.AddressBitsV4 > 32, v.AddressBitsV6 < 1 || v.AddressBitsV6 > 128:
		return errors.New("engine: an address has 32 bits, or 128")
	case v.RetryAfter < 0:
		return errors.New("engine: the time until a refused client comes back cannot be negative")
	}
	return nil
}
