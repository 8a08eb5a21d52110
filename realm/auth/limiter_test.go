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

// Without a burst of its own a kind grants what a minute grants, and no more than ten at once.
func TestLimiterBurst(t *testing.T) {
	for rate, want := range map[float64]int{0.5: 1, 1: 1, 3: 3, 9: 9, 10: 10, 30: 10} {
		for kind, c := range map[string]LimiterConfig{
			"authid":  {AuthIDPerMinute: rate, AddressPerMinute: -1},
			"address": {AuthIDPerMinute: -1, AddressPerMinute: rate},
		} {
			l, n := NewLimiter(c), 0
			for n < 20 && l.Take(here, testRealm, "u", noon) == 0 {
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
		if w := l.Take(here, testRealm, fmt.Sprint("u", i), noon); w != 0 {
			t.Fatalf("attempt %d waits %v without a limit for addresses", i, w)
		}
	}
	if w := l.Take(here, testRealm, "u1", noon); (w - time.Second).Abs() > time.Millisecond {
		t.Errorf("the authid waits %v", w)
	}
	l = NewLimiter(LimiterConfig{AddressPerMinute: 30, AuthIDPerMinute: -1, Burst: 1, AddressBitsV4: 24})
	if l.Take(here, testRealm, "u", noon) != 0 {
		t.Error("the first attempt waits")
	}
	if w := l.Take(there, testRealm, "u", noon); (w - 2*time.Second).Abs() > time.Millisecond {
		t.Errorf("a neighbour in the same /24 waits %v", w)
	}
	l.Withdrawn(here, testRealm, "u", noon)
	if l.Take(there, testRealm, "u", noon) != 0 {
		t.Error("a withdrawn attempt still counts")
	}
	l = NewLimiter(LimiterConfig{Burst: 1, AddressBitsV6: 48})
	if l.Take(netip.MustParseAddr("2001:db8:1:1::1"), testRealm, "", noon) != 0 ||
		l.Take(netip.MustParseAddr("2001:db8:1:2::1"), testRealm, "", noon) == 0 ||
		l.Take(netip.MustParseAddr("2001:db8:2:1::1"), testRealm, "", noon) != 0 {
		t.Error("IPv6 addresses do not count by their /48")
	}
}

// Failures count, per address and per authid; the buckets fill up again.
func TestLimiter(t *testing.T) {
	l := NewLimiter(LimiterConfig{AddressPerMinute: 60, AuthIDPerMinute: 60, Burst: 3, EntriesMax: 100})
	take := func(a netip.Addr, authid string, at time.Time) time.Duration { return l.Take(a, testRealm, authid, at) }
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
	if l.Take(netip.MustParseAddr("10.0.0.9"), "com.example.other", "victim", at) != 0 {
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
		if w := l.Take(here, testRealm, "alice", noon); w != 0 {
			t.Fatalf("login %d waits %v", i, w)
		}
		l.Succeeded(here, testRealm, "alice", noon)
	}
	for i := range 2 {
		if l.Take(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), testRealm, "alice", noon) != 0 {
			t.Fatal("a stranger's attempt", i)
		}
	}
	if l.Take(there, testRealm, "alice", noon) == 0 {
		t.Error("strangers go on")
	}
	if l.Take(here, testRealm, "alice", noon) != 0 {
		t.Error("alice is locked out by strangers")
	}
	// From a known address there is a limit too.
	if l.Take(here, testRealm, "alice", noon) != 0 || l.Take(here, testRealm, "alice", noon) == 0 {
		t.Error("the pair has another limit than the burst")
	}
	// Success gives back one token, not all.
	l = NewLimiter(LimiterConfig{AddressPerMinute: 1, AuthIDPerMinute: 1, Burst: 2, EntriesMax: 100})
	l.Take(here, testRealm, "a", noon)
	l.Take(here, testRealm, "b", noon)
	l.Succeeded(here, testRealm, "b", noon)
	if l.Take(here, testRealm, "c", noon) != 0 || l.Take(here, testRealm, "d", noon) == 0 {
		t.Error("success reset the address")
	}
	l.Succeeded(here, testRealm, "", noon)
	l.Succeeded(here, testRealm, "", noon)
	l.Succeeded(here, testRealm, "", noon)
	for i := range 3 {
		if w := l.Take(here, testRealm, "", noon); (w == 0) != (i < 2) {
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
		l.Take(netip.MustParseAddr(c.a), testRealm, "", noon)
		if got := l.Take(netip.MustParseAddr(c.b), testRealm, "", noon) > 0; got != c.same {
			t.Errorf("%s and %s: the same is %v", c.a, c.b, got)
		}
	}
}

// The bound at n and n+1, and who is forgotten.
func TestLimiterEviction(t *testing.T) {
	const n = 20
	l := NewLimiter(LimiterConfig{AddressPerMinute: 0.001, AuthIDPerMinute: 0.001, Burst: 2, EntriesMax: n})
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	l.Take(address(0), testRealm, "a0", noon)
	l.Take(address(0), testRealm, "a0", noon) // empty
	for i := 1; i < n; i++ {
		l.Take(address(i), testRealm, fmt.Sprint("a", i), noon)
	}
	if len(l.addresses.entries) != n || len(l.names.entries) != n {
		t.Fatalf("%d addresses", len(l.addresses.entries))
	}
	l.Take(address(n), testRealm, "new", noon)
	if len(l.addresses.entries) != n || l.addresses.recent.Len() != n || len(l.names.entries) != n {
		t.Fatalf("%d addresses", len(l.addresses.entries))
	}
	if l.Take(address(0), testRealm, "", noon) == 0 {
		t.Error("the oldest entry was forgotten though its bucket was the emptiest")
	}
	if b := l.addresses.entries[l.addressKey(address(1))]; b != nil {
		t.Error("the oldest of the fullest entries was kept")
	}
	// Entries that are in use stay, however old they are.
	l = NewLimiter(LimiterConfig{AddressPerMinute: 0.001, AuthIDPerMinute: 0.001, Burst: 2, EntriesMax: n})
	for round := range 2 {
		for i := range n - 10*round {
			l.Take(address(i), testRealm, fmt.Sprint("a", i), noon)
		}
	}
	for i := range 10 {
		l.Take(address(100+i), testRealm, fmt.Sprint("b", i), noon)
	}
	for i := range n - 10 {
		if l.Take(address(i), testRealm, "", noon) == 0 {
			t.Errorf("entry %d was forgotten", i)
		}
	}
	for i := range 1000 {
		l.Take(address(i), testRealm, fmt.Sprint("n", i), noon)
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
