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
	PerMinute float64 // failures per minute that an address, or an authid, is granted; default 30, at least 0.001
	Burst     int     // failures at once; default 10, at least 1
	// EntriesMax is how many addresses, how many authids and how many pairs of them are remembered; default 8192. An
	// entry has about 200 octets.
	EntriesMax int
}

// A Limiter bounds failed attempts per address and per authid. It has no clock. Any goroutine may call it.
//
// Each attempt takes a token of its address (IPv6: of the /64 prefix) and one of its authid; success gives both back,
// so only failures count, and attempts that are still open count as failures. The buckets fill up at PerMinute.
//
// A stranger who fails on purpose could lock out an authid. So an address that an authid has logged in from before
// has a bucket for that authid of its own, which strangers do not empty.
//
// At EntriesMax a new entry replaces one of the eight that were used least recently: the one with the most tokens,
// because forgetting it gives least away.
type Limiter struct {
	perSecond, burst float64

	mu        sync.Mutex
	addresses buckets
	names     buckets
	pairs     buckets // an address and an authid that has logged in from it
}

// NewLimiter makes a limiter. Values of c below their minimum are the default.
func NewLimiter(c LimiterConfig) *Limiter {
	if c.PerMinute < 0.001 {
		c.PerMinute = 30
	}
	if c.Burst < 1 {
		c.Burst = 10
	}
	if c.EntriesMax < 1 {
		c.EntriesMax = 8192
	}
	l := &Limiter{perSecond: c.PerMinute / 60, burst: float64(c.Burst)}
	for _, b := range []*buckets{&l.addresses, &l.names, &l.pairs} {
		b.entries, b.max = map[bucketKey]*list.Element{}, c.EntriesMax
	}
	return l
}

// Take counts an attempt. It returns 0 if the attempt may go on, and how long the client has to wait if not; then
// nothing was counted. address is invalid on Unix sockets: then only the authid counts. authid is "" if there is
// none.
func (l *Limiter) Take(address netip.Addr, realm, authid string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var take []*bucket
	if address.IsValid() {
		take = append(take, l.addresses.get(l, addressKey(address), now))
	}
	if authid != "" {
		if known := l.pairs.find(l, pairKey(address, realm, authid), now); known != nil {
			take = append(take, known)
		} else {
			take = append(take, l.names.get(l, nameKey(realm, authid), now))
		}
	}
	for _, b := range take {
		if missing := 1 - b.tokens; missing > 0 {
			wait = max(wait, time.Duration(missing/l.perSecond*float64(time.Second))+1)
		}
	}
	if wait > 0 {
		return wait
	}
	for _, b := range take {
		b.tokens--
	}
	return 0
}

// Succeeded gives back what Take took for an attempt that ended in a session. Its address, realm and authid are those
// that Take got: the authid is that of HELLO, not one that the session was assigned.
func (l *Limiter) Succeeded(address netip.Addr, realm, authid string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if address.IsValid() {
		l.giveBack(l.addresses.find(l, addressKey(address), now))
	}
	if authid == "" {
		return
	}
	if known := l.pairs.find(l, pairKey(address, realm, authid), now); known != nil {
		l.giveBack(known)
		return
	}
	l.giveBack(l.names.find(l, nameKey(realm, authid), now))
	l.pairs.get(l, pairKey(address, realm, authid), now)
}

func (l *Limiter) giveBack(b *bucket) {
	if b != nil {
		b.tokens = min(b.tokens+1, l.burst)
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

func addressKey(address netip.Addr) bucketKey { return hashKey(prefix(address)) }

func nameKey(realm, authid string) bucketKey { return hashKey(realm + "\x00" + authid) }

func pairKey(address netip.Addr, realm, authid string) bucketKey {
	return hashKey(prefix(address) + "\x00" + realm + "\x00" + authid)
}

// prefix is what counts of an address: all of IPv4, the first 64 bits of IPv6.
func prefix(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if !address.Is6() {
		return address.String()
	}
	p, _ := address.Prefix(64)
	return p.String()
}

// buckets are token buckets by key. golang.org/x/time/rate has them too, but takes no token back.
type buckets struct {
	max     int
	entries map[bucketKey]*list.Element // of *bucket
	recent  list.List                   // most recently used first
}

type bucket struct {
	key    bucketKey
	tokens float64
	at     time.Time // when tokens was right
}

// find returns the bucket of a key, filled up to now, nil if it is not there.
func (t *buckets) find(l *Limiter, key bucketKey, now time.Time) *bucket {
	e := t.entries[key]
	if e == nil {
		return nil
	}
	t.recent.MoveToFront(e)
	b := e.Value.(*bucket)
	b.fill(l, now)
	return b
}

func (b *bucket) fill(l *Limiter, now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(b.tokens+passed.Seconds()*l.perSecond, l.burst), now
	}
}

// evictFrom is how many of the least recently used entries are compared.
const evictFrom = 8

// get returns the bucket of a key, a full one if it is new.
func (t *buckets) get(l *Limiter, key bucketKey, now time.Time) *bucket {
	if b := t.find(l, key, now); b != nil {
		return b
	}
	if len(t.entries) >= t.max {
		worst := t.recent.Back()
		for e, i := worst, 0; e != nil && i < evictFrom; e, i = e.Prev(), i+1 {
			e.Value.(*bucket).fill(l, now)
			if e.Value.(*bucket).tokens > worst.Value.(*bucket).tokens {
				worst = e
			}
		}
		delete(t.entries, worst.Value.(*bucket).key)
		t.recent.Remove(worst)
	}
	b := &bucket{key: key, tokens: l.burst, at: now}
	t.entries[key] = t.recent.PushFront(b)
	return b
}
