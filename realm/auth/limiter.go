package auth

import (
	"container/list"
	"crypto/sha256"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"banyan/codec"
)

// LimiterConfig bounds how often strangers may try.
type LimiterConfig struct {
	AddressPerMinute float64 // failures that an address is granted; default 30, at least 0.001; negative: no limit
	AuthIDPerMinute  float64 // failures that an authid is granted; the same
	Burst            int     // failures at once; default 10, or what a minute grants if that is less
	AddressBitsV4    int     // leading bits of an IPv4 address that count as one address; default 32
	AddressBitsV6    int     // leading bits of an IPv6 address; default 64: usually one customer has a /64
	// EntriesMax is how many addresses, how many authids and how many pairs of them are remembered; default 8192. An
	// entry has about 200 octets.
	EntriesMax int
}

// A Limiter bounds failed attempts per address and per authid. It has no clock. Any goroutine may call it.
//
// An attempt takes a token of its address (IPv6: of the prefix) and one of its authid when it is to be judged;
// success gives both back, so only failures count, and what is still being judged counts as a failure: a stranger
// cannot guess in parallel. Who would be let in but for these is crowded: many clients behind one address may log in
// at a time, and have to wait for each other. Every Take that returned 0 is settled by Succeeded, Withdrawn or
// Failed. The buckets fill up by the minute.
//
// A stranger who fails on purpose could lock out an authid. So an address that an authid has logged in from before
// has a bucket for that authid of its own, which strangers do not empty.
//
// At EntriesMax a new entry replaces one of the eight that were used least recently: the one with the most tokens,
// because forgetting it gives least away.
type Limiter struct {
	bitsV4, bitsV6 int // fixed by NewLimiter

	mu        sync.Mutex
	addresses buckets
	names     buckets
	pairs     buckets // an address and an authid that has logged in from it
}

// NewLimiter makes a limiter. Values of c below their minimum are the default.
func NewLimiter(c LimiterConfig) *Limiter {
	for _, rate := range []*float64{&c.AddressPerMinute, &c.AuthIDPerMinute} {
		if *rate >= 0 && *rate < 0.001 {
			*rate = 30
		}
	}
	if c.AddressBitsV4 < 1 || c.AddressBitsV4 > 32 {
		c.AddressBitsV4 = 32
	}
	if c.AddressBitsV6 < 1 || c.AddressBitsV6 > 128 {
		c.AddressBitsV6 = 64
	}
	if c.EntriesMax < 1 {
		c.EntriesMax = 8192
	}
	l := &Limiter{bitsV4: c.AddressBitsV4, bitsV6: c.AddressBitsV6}
	for b, perMinute := range map[*buckets]float64{
		&l.addresses: c.AddressPerMinute, &l.names: c.AuthIDPerMinute, &l.pairs: c.AuthIDPerMinute,
	} {
		b.entries, b.max = map[bucketKey]*list.Element{}, c.EntriesMax
		b.perSecond, b.burst = perMinute/60, float64(c.Burst)
		if c.Burst < 1 {
			b.burst = min(10, max(perMinute, 1))
		}
	}
	return l
}

// Wait returns how long a client has to wait because of failures before its attempt could be judged, 0 if it need
// not. It counts nothing.
func (l *Limiter) Wait(address netip.Addr, realm, authid string, now time.Time) (wait time.Duration) {
	if wait, crowded := l.take(address, realm, authid, now, 0); !crowded {
		return wait
	}
	return 0
}

// Take counts an attempt. It returns 0 if the attempt may go on, and how long the client has to wait if not; then
// nothing was counted. If it is crowded it may try again before: there is no room for it only because of attempts
// that are being judged. address is invalid on Unix sockets: then only the authid counts. authid is "" if there is
// none.
func (l *Limiter) Take(address netip.Addr, realm, authid string, now time.Time) (wait time.Duration, crowded bool) {
	return l.take(address, realm, authid, now, 1)
}

// take takes tokens, 0 or 1, if at least one is there.
func (l *Limiter) take(address netip.Addr, realm, authid string, now time.Time, tokens int) (wait time.Duration,
	crowded bool,
) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken [2]*bucket
	take := taken[:0]
	if l.addresses.limits() && address.IsValid() {
		take = append(take, l.addresses.get(l.addressKey(address), now))
	}
	if l.names.limits() && authid != "" {
		if known := l.pairs.find(l.pairKey(address, realm, authid), now); known != nil {
			take = append(take, known)
		} else {
			take = append(take, l.names.get(nameKey(realm, authid), now))
		}
	}
	crowded = true
	for _, b := range take {
		if missing := 1 - b.tokens; missing > 0 {
			wait = max(wait, time.Duration(missing/b.in.perSecond*float64(time.Second))+1)
			crowded = crowded && missing <= float64(b.judging)
		}
	}
	if wait > 0 {
		return wait, crowded
	}
	for _, b := range take {
		b.tokens -= float64(tokens)
		b.judging += tokens
	}
	return 0, false
}

// Succeeded gives back what Take took for an attempt that ended in a session. Its address, realm and authid are those
// that Take got: the authid is that of HELLO, not one that the session was assigned.
func (l *Limiter) Succeeded(address netip.Addr, realm, authid string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(address, realm, authid, now, 1)
	if l.names.limits() && authid != "" {
		l.pairs.get(l.pairKey(address, realm, authid), now)
	}
}

// Withdrawn gives back what Take took for an attempt that failed at nothing of its own: the router was too busy to
// look at it, or the realm has no room.
func (l *Limiter) Withdrawn(address netip.Addr, realm, authid string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(address, realm, authid, now, 1)
}

// Failed keeps what Take took for an attempt that has failed, or whose client did not wait for the verdict.
func (l *Limiter) Failed(address netip.Addr, realm, authid string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle(address, realm, authid, now, 0)
}

// settle ends what Take began: an attempt is judged, and gets so many tokens back.
func (l *Limiter) settle(address netip.Addr, realm, authid string, now time.Time, tokens float64) {
	if address.IsValid() {
		l.addresses.find(l.addressKey(address), now).settle(tokens)
	}
	if authid == "" {
		return
	}
	// The pair may be newer than the attempt, which then took its token from the authid.
	if known := l.pairs.find(l.pairKey(address, realm, authid), now); known != nil && known.judging > 0 {
		known.settle(tokens)
		return
	}
	l.names.find(nameKey(realm, authid), now).settle(tokens)
}

func (b *bucket) settle(tokens float64) {
	if b != nil && b.judging > 0 { // otherwise it is a new one in place of that one
		b.judging--
		b.tokens = min(b.tokens+tokens, b.in.burst)
	}
}

// LimitRefusal is the ABORT for a client that Take told to wait.
func LimitRefusal(wait time.Duration) Outcome {
	seconds := int64((wait + time.Second - 1) / time.Second)
	return refuse(codec.ErrAuthenticationDenied,
		"too many failed attempts; try again in "+strconv.FormatInt(seconds, 10)+" s")
}

// Keys are hashes, so that an entry's size does not depend on what a stranger sends.
type bucketKey [16]byte

func hashKey(text string) bucketKey {
	sum := sha256.Sum256([]byte(text))
	return bucketKey(sum[:])
}

func nameKey(realm, authid string) bucketKey { return hashKey(realm + "\x00" + authid) }

func (l *Limiter) addressKey(address netip.Addr) bucketKey { return hashKey(l.prefix(address)) }

func (l *Limiter) pairKey(address netip.Addr, realm, authid string) bucketKey {
	return hashKey(l.prefix(address) + "\x00" + realm + "\x00" + authid)
}

// prefix is what counts of an address.
func (l *Limiter) prefix(address netip.Addr) string {
	address = address.Unmap()
	bits := l.bitsV4
	if address.Is6() {
		bits = l.bitsV6
	}
	p, _ := address.Prefix(bits)
	return p.String()
}

// buckets are token buckets by key. golang.org/x/time/rate has them too, but takes no token back.
type buckets struct {
	// Fixed by NewLimiter.
	perSecond float64 // negative: no limit
	burst     float64
	max       int

	entries map[bucketKey]*list.Element // of *bucket
	recent  list.List                   // most recently used first
}

type bucket struct {
	in      *buckets
	key     bucketKey
	tokens  float64
	at      time.Time // when tokens was right
	judging int       // tokens that were taken for attempts which are not settled
}

func (t *buckets) limits() bool { return t.perSecond > 0 }

// find returns the bucket of a key, filled up to now, nil if it is not there.
func (t *buckets) find(key bucketKey, now time.Time) *bucket {
	e := t.entries[key]
	if e == nil {
		return nil
	}
	t.recent.MoveToFront(e)
	b := e.Value.(*bucket)
	b.fill(now)
	return b
}

func (b *bucket) fill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(b.tokens+passed.Seconds()*b.in.perSecond, b.in.burst), now
	}
}

// evictFrom is how many of the least recently used entries are compared.
const evictFrom = 8

// get returns the bucket of a key, a full one if it is new.
func (t *buckets) get(key bucketKey, now time.Time) *bucket {
	if b := t.find(key, now); b != nil {
		return b
	}
	if len(t.entries) >= t.max {
		worst := t.recent.Back()
		for e, i := worst, 0; e != nil && i < evictFrom; e, i = e.Prev(), i+1 {
			e.Value.(*bucket).fill(now)
			if e.Value.(*bucket).tokens > worst.Value.(*bucket).tokens {
				worst = e
			}
		}
		delete(t.entries, worst.Value.(*bucket).key)
		t.recent.Remove(worst)
	}
	b := &bucket{in: t, key: key, tokens: t.burst, at: now}
	t.entries[key] = t.recent.PushFront(b)
	return b
}
