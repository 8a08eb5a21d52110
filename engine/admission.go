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
//
// A connection on a listener with long-poll counts for its address as any other, until the head of a request has
// shown that it belongs to a session. From then on a few connections of each session count for no address: the
// session does. An address that has all its places in use can have a few connections more for each of its sessions,
// because only their heads tell whose they are; they may carry requests, and nothing else.

// A refusal is a reason for which a connection gets no place.
type refusal uint8

const (
	admitted refusal = iota
	refusedFull
	refusedAddress
	refusedHandshakes
	refusedRate
	refusedUnjoined
	refusedLeaving
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
	refusedUnjoined: {
		"too many sessions of long-poll that have not joined",
		"connections are refused: too many sessions of long-poll have not joined", (*Live).unjoinedMax,
	},
	refusedLeaving: {"the router is about to stop", "connections are refused: the router is about to stop", nil},
}

// An admission counts the connections that Live limits by address, by handshakes and by rate.
type admission struct {
	// Any goroutine.
	rateTime  atomic.Int64 // nanoseconds since Engine.epoch; what the rate has admitted, as time: see admitRate
	unopened  atomic.Int64 // counted connections whose opening handshake is under way
	unjoined  atomic.Int64 // sessions of long-poll that have not joined yet
	perReason [len(refusals)]atomic.Int64

	mu     sync.Mutex
	places map[netip.Addr]*place // guarded by mu; an entry has one connection at least
}

// A place is what the connections of one address share.
type place struct {
	address     netip.Addr // its leading bits, the rest is zero; fixed
	connections int        // guarded by admission.mu
	polls       int        // guarded by admission.mu; of these, sessions of long-poll
	spares      int        // guarded by admission.mu; connections beyond the limit that may carry requests of polls
}

// admit asks for a place for c, which l accepted. On success c keeps what was counted for it until leave.
func (e *Engine) admit(l *loop, c *conn) refusal {
	live, a := l.live, &e.admission
	if l.leaves() {
		return refusedLeaving
	}
	if e.open.Add(1) > int64(live.ConnectionsMax) {
		e.open.Add(-1)
		return refusedFull
	}
	why := admitted
	if c.place == nil && !c.addressLater() && !a.take(live, c, c.maySpare()) {
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
// one that a proxy passes on.
func (c *conn) addressLater() bool {
	if c.opening != nil && c.opening.proxy {
		return true
	}
	rules := c.loop.live.rules(c.peer.Listener)
	return rules.trusts(c.peer.Address)
}

// leaves reports that there is room for nobody any more but for those who are there.
func (l *loop) leaves() bool { return l.live.Leaving || l.stopping }

// admitAddress asks for a place for a connection that has none yet, see addressLater, or a spare one, which does not
// do for what it asks for. By now the proxy has told for whom, or it speaks for itself.
func (c *conn) admitAddress() refusal {
	a, live := &c.loop.engine.admission, c.loop.live
	if c.place == nil && !a.take(live, c, spareNever) || c.spare && !a.keep(live, c) {
		c.loop.engine.tellRefused(c, refusedAddress)
		return refusedAddress
	}
	return admitted
}

// A spareRule says what take does where an address has no place left.
type spareRule uint8

const (
	spareNever  spareRule = iota
	sparePolls            // it gives a place that its sessions of long-poll allow, if there is one
	spareAlways           // it counts the connection, which is about to end, all the same
)

// maySpare is the rule for a connection that was just accepted, or a session that opens.
func (c *conn) maySpare() spareRule {
	if c.opening != nil && c.opening.poll != "" && c.fd >= 0 {
		return sparePolls
	}
	return spareNever
}

// take counts c with its address, if that is limited. It returns false when there is no place left.
func (a *admission) take(live *Live, c *conn, spare spareRule) bool {
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
	}
	switch most := live.ConnectionsPerAddressMax; {
	case p.connections+p.spares < most:
		p.connections++
	case spare == spareAlways,
		spare == sparePolls && p.connections+p.spares < most+longPollSpares*p.polls:
		p.spares++
		c.spare = true
	default:
		return false
	}
	c.place = p
	return true
}

// keep makes the spare place of c one for anything. It returns false if all those are in use.
func (a *admission) keep(live *Live, c *conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	most := live.ConnectionsPerAddressMax
	if p := c.place; p.connections < most || most == 0 {
		p.spares--
		p.connections++
		c.spare = false
	}
	return !c.spare
}

// countPoll notes that a session of long-poll has the place p, or that it has ended. p may be nil.
func (a *admission) countPoll(p *place, n int) {
	if p != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		p.polls += n
	}
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

// unjoinedMax is how many sessions of long-poll may be there that have not joined.
func (v *Live) unjoinedMax() int {
	return max(v.ConnectionsMax/longPollUnjoinedShare, longPollUnjoinedMin)
}

// joined notes that a session of long-poll has joined, or that it ends.
func (a *admission) joined(p *longPoll) {
	if p.unjoined {
		p.unjoined = false
		a.unjoined.Add(-1)
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
	a.giveBack(c.place, c.spare)
	c.place, c.spare = nil, false
}

// giveBack gives back a place, which may be nil.
func (a *admission) giveBack(p *place, spare bool) {
	if p == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if spare {
		p.spares--
	} else {
		p.connections--
	}
	if p.connections+p.spares == 0 {
		delete(a.places, p.address)
	}
}

// tellRefused counts a refusal, and writes a line.
func (e *Engine) tellRefused(c *conn, why refusal) {
	e.rare.refused.Add(1)
	e.admission.perReason[why].Add(1)
	args := []any{"listener", c.listenName(), "peer", c.peer.Address}
	if limit := refusals[why].limit; limit != nil {
		args = append(args, "limit", limit(e.live.Load()))
	}
	e.warn(refusals[why].line, args...)
}

// letIn gives c, which was refused, a place all the same: its request belongs to a session of long-poll. Sockets
// stay within ConnectionsMax, because sessions of long-poll count there and have none. So strangers get no place by
// it, and the process has the descriptors.
func (e *Engine) letIn(c *conn) bool {
	if e.open.Add(1)-int64(e.longPolls.len()) > int64(c.loop.live.ConnectionsMax) {
		e.open.Add(-1)
		return false
	}
	e.rare.longPollsLetIn.Add(1)
	e.refusing.Add(-1)
	c.refused = admitted
	c.loop.dropRefusal(c)
	return true
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
