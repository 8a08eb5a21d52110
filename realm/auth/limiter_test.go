package auth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"banyan/codec"
)

var (
	here  = netip.MustParseAddr("203.0.113.7")
	there = netip.MustParseAddr("203.0.113.8")
)

// taken is Take, crowded or not.
func taken(l *Limiter, a netip.Addr, realm, authid string, now time.Time) time.Duration {
	wait, _ := l.Take(a, realm, authid, now)
	return wait
}

// Without a burst of its own a kind grants what a minute grants, and no more than ten at once.
func TestLimiterBurst(t *testing.T) {
	for rate, want := range map[float64]int{0.5: 1, 1: 1, 3: 3, 9: 9, 10: 10, 30: 10} {
		for kind, c := range map[string]LimiterConfig{
			"authid":  {AuthIDPerMinute: rate, AddressPerMinute: -1},
			"address": {AuthIDPerMinute: -1, AddressPerMinute: rate},
		} {
			l, n := NewLimiter(c), 0
			for n < 20 && taken(l, here, testRealm, "u", noon) == 0 {
				n++
			}
			if n != want {
				t.Errorf("%g a minute by %s: %d at once, want %d", rate, kind, n, want)
			}
		}
	}
}

// Each kind has its rate, or no limit; addresses count by their prefix; a withdrawn attempt leaves nothing behind.
func TestLimiterConfig(t *testing.T) {
	l := NewLimiter(LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: 60, Burst: 1, EntriesMax: 100})
	for i := range 50 {
		if w := taken(l, here, testRealm, fmt.Sprint("u", i), noon); w != 0 {
			t.Fatalf("attempt %d waits %v without a limit for addresses", i, w)
		}
	}
	if w := taken(l, here, testRealm, "u1", noon); (w - time.Second).Abs() > time.Millisecond {
		t.Errorf("the authid waits %v", w)
	}
	l = NewLimiter(LimiterConfig{AddressPerMinute: 30, AuthIDPerMinute: -1, Burst: 1, AddressBitsV4: 24})
	if taken(l, here, testRealm, "u", noon) != 0 {
		t.Error("the first attempt waits")
	}
	if w := taken(l, there, testRealm, "u", noon); (w - 2*time.Second).Abs() > time.Millisecond {
		t.Errorf("a neighbour in the same /24 waits %v", w)
	}
	l.Withdrawn(here, testRealm, "u", noon)
	if taken(l, there, testRealm, "u", noon) != 0 {
		t.Error("a withdrawn attempt still counts")
	}
	l = NewLimiter(LimiterConfig{Burst: 1, AddressBitsV6: 48})
	if taken(l, netip.MustParseAddr("2001:db8:1:1::1"), testRealm, "", noon) != 0 ||
		taken(l, netip.MustParseAddr("2001:db8:1:2::1"), testRealm, "", noon) == 0 ||
		taken(l, netip.MustParseAddr("2001:db8:2:1::1"), testRealm, "", noon) != 0 {
		t.Error("IPv6 addresses do not count by their /48")
	}
}

// Failures count, per address and per authid; the buckets fill up again.
func TestLimiter(t *testing.T) {
	l := NewLimiter(LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 3, EntriesMax: 100})
	take := func(a netip.Addr, authid string, at time.Time) time.Duration {
		return taken(l, a, testRealm, authid, at)
	}
	for i := range 3 {
		if w := take(here, fmt.Sprint("u", i), noon); w != 0 {
			t.Fatalf("attempt %d waits %v", i, w)
		}
	}
	if w := take(here, "other", noon); w < time.Second-time.Millisecond || w > time.Second+time.Millisecond {
		t.Errorf("attempt 4 waits %v, want 1 s", w)
	}
	if w := take(there, "other", noon); w != 0 {
		t.Errorf("another address waits %v: the refused attempt was counted for the authid", w)
	}
	if w := take(here, "other", noon.Add(time.Second+time.Millisecond)); w != 0 {
		t.Errorf("after a second: %v", w)
	}
	if w := take(here, "other", noon.Add(time.Second+time.Millisecond)); w == 0 {
		t.Error("a second attempt after one second")
	}
	// Per authid, from anywhere.
	at := noon.Add(time.Hour)
	for i := range 3 {
		if w := take(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "victim", at); w != 0 {
			t.Fatal(i, w)
		}
	}
	if take(netip.MustParseAddr("10.0.0.9"), "victim", at) == 0 {
		t.Error("the authid has no limit")
	}
	if taken(l, netip.MustParseAddr("10.0.0.9"), "com.example.other", "victim", at) != 0 {
		t.Error("the same authid in another realm is another principal")
	}
	if take(netip.Addr{}, "", at) != 0 || take(netip.Addr{}, "victim", at) == 0 {
		t.Error("Unix sockets count by authid only")
	}
	// Full is full: an hour does not grant more than the burst.
	for i := range 4 {
		if w := take(there, fmt.Sprint("v", i), at.Add(time.Hour)); (w == 0) != (i < 3) {
			t.Errorf("attempt %d waits %v", i, w)
		}
	}
	// A clock that steps back gives nothing.
	if take(there, "v5", at) == 0 {
		t.Error("time went back and tokens came")
	}
}

// Success gives back; and who has logged in from an address is not locked out by strangers.
func TestLimiterSuccess(t *testing.T) {
	l := NewLimiter(LimiterConfig{AddressPerMinute: 1, AuthIDPerMinute: 1, Burst: 2, EntriesMax: 100})
	for i := range 20 {
		if w := taken(l, here, testRealm, "alice", noon); w != 0 {
			t.Fatalf("login %d waits %v", i, w)
		}
		l.Succeeded(here, testRealm, "alice", noon)
	}
	for i := range 2 {
		if taken(l, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), testRealm, "alice", noon) != 0 {
			t.Fatal("a stranger's attempt", i)
		}
	}
	if taken(l, there, testRealm, "alice", noon) == 0 {
		t.Error("strangers go on")
	}
	if taken(l, here, testRealm, "alice", noon) != 0 {
		t.Error("alice is locked out by strangers")
	}
	// From a known address there is a limit too.
	if taken(l, here, testRealm, "alice", noon) != 0 || taken(l, here, testRealm, "alice", noon) == 0 {
		t.Error("the pair has another limit than the burst")
	}
	// Success gives back one token, not all.
	l = NewLimiter(LimiterConfig{AddressPerMinute: 1, AuthIDPerMinute: 1, Burst: 2, EntriesMax: 100})
	taken(l, here, testRealm, "a", noon)
	taken(l, here, testRealm, "b", noon)
	l.Succeeded(here, testRealm, "b", noon)
	if taken(l, here, testRealm, "c", noon) != 0 || taken(l, here, testRealm, "d", noon) == 0 {
		t.Error("success reset the address")
	}
	l.Succeeded(here, testRealm, "", noon)
	l.Succeeded(here, testRealm, "", noon)
	l.Succeeded(here, testRealm, "", noon)
	for i := range 3 {
		if w := taken(l, here, testRealm, "", noon); (w == 0) != (i < 2) {
			t.Errorf("after many successes attempt %d waits %v: the burst is 2", i, w)
		}
	}
}

// IPv6 counts by /64, IPv4 alone, and IPv4 in IPv6 as IPv4.
func TestLimiterPrefix(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"203.0.113.7", "::ffff:203.0.113.7", true},
		{"203.0.113.7", "203.0.113.6", false},
		{"::ffff:203.0.113.7", "::ffff:203.0.113.6", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		l := NewLimiter(LimiterConfig{AddressPerMinute: 1, AuthIDPerMinute: 1, Burst: 1, EntriesMax: 10})
		taken(l, netip.MustParseAddr(c.a), testRealm, "", noon)
		if got := taken(l, netip.MustParseAddr(c.b), testRealm, "", noon) > 0; got != c.same {
			t.Errorf("%s and %s: the same is %v", c.a, c.b, got)
		}
	}
}

// The bound at n and n+1, and who is forgotten.
func TestLimiterEviction(t *testing.T) {
	const n = 20
	l := NewLimiter(LimiterConfig{AddressPerMinute: 0.001, AuthIDPerMinute: 0.001, Burst: 2, EntriesMax: n})
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	taken(l, address(0), testRealm, "a0", noon)
	taken(l, address(0), testRealm, "a0", noon) // empty
	for i := 1; i < n; i++ {
		taken(l, address(i), testRealm, fmt.Sprint("a", i), noon)
	}
	if len(l.addresses.entries) != n || len(l.names.entries) != n {
		t.Fatalf("%d addresses", len(l.addresses.entries))
	}
	taken(l, address(n), testRealm, "new", noon)
	if len(l.addresses.entries) != n || l.addresses.recent.Len() != n || len(l.names.entries) != n {
		t.Fatalf("%d addresses", len(l.addresses.entries))
	}
	if taken(l, address(0), testRealm, "", noon) == 0 {
		t.Error("the oldest entry was forgotten though its bucket was the emptiest")
	}
	if b := l.addresses.entries[l.addressKey(address(1))]; b != nil {
		t.Error("the oldest of the fullest entries was kept")
	}
	// Entries that are in use stay, however old they are.
	l = NewLimiter(LimiterConfig{AddressPerMinute: 0.001, AuthIDPerMinute: 0.001, Burst: 2, EntriesMax: n})
	for round := range 2 {
		for i := range n - 10*round {
			taken(l, address(i), testRealm, fmt.Sprint("a", i), noon)
		}
	}
	for i := range 10 {
		taken(l, address(100+i), testRealm, fmt.Sprint("b", i), noon)
	}
	for i := range n - 10 {
		if taken(l, address(i), testRealm, "", noon) == 0 {
			t.Errorf("entry %d was forgotten", i)
		}
	}
	for i := range 1000 {
		taken(l, address(i), testRealm, fmt.Sprint("n", i), noon)
		l.Succeeded(address(i), testRealm, fmt.Sprint("n", i), noon)
	}
	if len(l.addresses.entries) != n || len(l.names.entries) != n || len(l.pairs.entries) != n {
		t.Errorf("%d %d %d", len(l.addresses.entries), len(l.names.entries), len(l.pairs.entries))
	}
}

func TestLimiterDefaults(t *testing.T) {
	l := NewLimiter(LimiterConfig{})
	for _, b := range []*buckets{&l.addresses, &l.names, &l.pairs} {
		if b.perSecond != 0.5 || b.burst != 10 || b.max != 8192 {
			t.Errorf("%+v", b)
		}
	}
	if l.bitsV4 != 32 || l.bitsV6 != 64 {
		t.Errorf("%d bits of IPv4, %d of IPv6", l.bitsV4, l.bitsV6)
	}
	o := LimitRefusal(1500 * time.Millisecond)
	wantRefusal(t, o, codec.ErrAuthenticationDenied)
	if !contains(o, "in 2 s") {
		t.Error(describe(o))
	}
}

// TestGuarded: failures count by realm, and by template where its realms have users in common.
func TestGuarded(t *testing.T) {
	alone := makeRealm(t, Config{Ticket: &TicketOptions{}})
	users := makeRealm(t, Config{Ticket: &TicketOptions{}, Users: []User{
		{AuthID: "joe", Role: "user", Tickets: []StoredTicket{plain(t, "t")}},
	}})
	own := users.config.Realm
	if got := alone.Guarded("a"); got != "a" {
		t.Errorf("without users: %q", got)
	}
	if got := users.Guarded(own); got != own {
		t.Errorf("the realm itself: %q", got)
	}
	if a, b := users.Guarded("a"), users.Guarded("b"); a != b || a == own {
		t.Errorf("realms of a template: %q and %q", a, b)
	}
}

// TestLimiterCrowded: what is being judged keeps others waiting, and is no failure of theirs. When it has failed it
// is.
func TestLimiterCrowded(t *testing.T) {
	here, there := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	newLimiter := func() *Limiter {
		return NewLimiter(LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 2})
	}
	check := func(what string, l *Limiter, a netip.Addr, authid string, waits, crowded bool) {
		t.Helper()
		before := l.Wait(a, testRealm, authid, noon)
		wait, c := l.Take(a, testRealm, authid, noon)
		if (wait > 0) != waits || c != crowded || (before > 0) != (waits && !crowded) {
			t.Errorf("%s: Take tells %v, crowded %v; Wait told %v", what, wait, c, before)
		}
	}
	l := newLimiter()
	check("one", l, here, "a", false, false)
	check("two", l, here, "b", false, false)
	check("two are being judged", l, here, "c", true, true)
	check("elsewhere", l, there, "c", false, false)
	l.Failed(here, testRealm, "a", noon)
	check("one has failed", l, here, "c", true, true)
	l.Failed(here, testRealm, "b", noon)
	check("both have failed", l, here, "c", true, false)

	l = newLimiter()
	check("one", l, here, "a", false, false)
	check("two", l, here, "b", false, false)
	l.Succeeded(here, testRealm, "a", noon)
	check("one was right", l, here, "c", false, false)
	check("two are being judged again", l, here, "d", true, true)
	l.Withdrawn(here, testRealm, "b", noon)
	check("one was withdrawn", l, here, "d", false, false)

	l = newLimiter() // the address and the authid, of which one has failed
	l.Take(here, testRealm, "a", noon)
	l.Take(there, testRealm, "a", noon)
	l.Failed(here, testRealm, "a", noon)
	l.Failed(there, testRealm, "a", noon)
	l.Take(here, testRealm, "b", noon)
	check("the address is crowded, the authid has failed", l, here, "a", true, false)

	l = newLimiter() // the other way round
	l.Take(here, testRealm, "a", noon)
	l.Take(here, testRealm, "b", noon)
	l.Failed(here, testRealm, "a", noon)
	l.Failed(here, testRealm, "b", noon)
	l.Take(there, testRealm, "c", noon)
	l.Take(there, testRealm, "c", noon)
	check("the address has failed, the authid is crowded", l, here, "c", true, false)

	l = newLimiter() // attempts that began before the first success from there
	l.Take(here, testRealm, "a", noon)
	l.Take(here, testRealm, "a", noon)
	l.Succeeded(here, testRealm, "a", noon)
	l.Failed(here, testRealm, "a", noon)
	check("a stranger", l, there, "a", false, false)
	check("a stranger again", l, there, "a", true, true)
	l.Failed(there, testRealm, "a", noon)
	check("a stranger who failed", l, there, "a", true, false)

	l = newLimiter() // settled twice, or never taken: nothing is given back
	l.Take(here, testRealm, "a", noon)
	l.Failed(here, testRealm, "a", noon)
	l.Succeeded(here, testRealm, "a", noon)
	l.Withdrawn(here, testRealm, "a", noon)
	check("one is left", l, here, "b", false, false)
	check("none is left", l, here, "c", true, true)
}
