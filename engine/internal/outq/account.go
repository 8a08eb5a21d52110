package outq

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// An Account counts the memory that backlogs occupy: what a socket did not take at once, and what was appended behind
// it. A queue that drains in its flush, as nearly all do, costs the account nothing. Bytes shared by several queues
// count once, unless there are few of them. Any goroutine.
type Account struct {
	bytes   atomic.Int64
	leaving atomic.Int64 // of these, what queues hold that are broken or shut, until Discard
	shards  [accountShards]accountShard
}

const accountShards = 16

type accountShard struct {
	mu     sync.Mutex
	shared map[*byte]sharedRun
	_      [40]byte // own cache line
}

// A sharedRun counts the queues that hold one run of bytes.
type sharedRun struct {
	bytes  int
	queues int
}

const (
	// sharedBytesMin is the length from which on a run is known to the account, and counts once. A shorter one counts
	// in each queue, which costs less than to remember it.
	sharedBytesMin = 256
	// sharedRunBytes is about what it takes to know a run.
	sharedRunBytes = 64
)

// Bytes is how much memory the backlogs occupy.
func (a *Account) Bytes() int64 { return a.bytes.Load() }

// Leaving is how much of that is going to be free without anybody doing more.
func (a *Account) Leaving() int64 { return a.leaving.Load() }

func (a *Account) shard(first *byte) *accountShard {
	return &a.shards[uintptr(unsafe.Pointer(first))>>6%accountShards]
}

func (a *Account) share(b []byte) {
	first := unsafe.SliceData(b)
	s := a.shard(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.shared[first]
	if s.shared == nil {
		s.shared = make(map[*byte]sharedRun)
	}
	r.queues++
	if n := allocated(len(b)) + sharedRunBytes - r.bytes; n > 0 { // the longest of the slices that begin here
		r.bytes += n
		a.bytes.Add(int64(n))
	}
	s.shared[first] = r
}

func (a *Account) unshare(b []byte) {
	first := unsafe.SliceData(b)
	s := a.shard(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.shared[first]
	if r.queues--; r.queues > 0 {
		s.shared[first] = r
		return
	}
	a.bytes.Add(-int64(r.bytes))
	delete(s.shared, first)
	if len(s.shared) == 0 {
		s.shared = nil // maps never shrink
	}
}

// allocated is about what the runtime takes for so many bytes: its size classes are an eighth apart, and above 32 KiB
// it takes pages.
func allocated(n int) int {
	step := 16
	if n > 128 {
		step = min(1<<(bits.Len(uint(n-1))-4), 8<<10)
	}
	return (n + step - 1) &^ (step - 1)
}

// segmentOverhead is what a queued segment takes besides its bytes.
const segmentOverhead = (int(unsafe.Sizeof(Segment{})) + 15) &^ 15

// RunCost is what a run of so many bytes takes in a queue.
func RunCost(bytes int) int { return segmentOverhead + allocated(bytes) }

// occupies is what s takes. The room that an own buffer has to grow in does not count: a small part of it, or it came
// from a pool.
func (s *Segment) occupies() int32 {
	if s.own {
		return int32(segmentOverhead + max(len(s.buf), segmentBytes))
	}
	return int32(RunCost(len(s.buf)))
}

// known reports whether the account knows the bytes of s, so that they count once.
func (s *Segment) known() bool { return !s.own && len(s.buf) >= sharedBytesMin }

// charge counts s, which is in q's backlog.
func (q *Queue) charge(s *Segment) {
	s.charged = true
	q.charged.Add(int64(s.cost))
	if s.known() {
		q.account.share(s.buf)
		q.account.bytes.Add(int64(segmentOverhead))
		return
	}
	q.account.bytes.Add(int64(s.cost))
}

// free gives s up. It returns what the caller has to take off the charge of q and, with settle, off the account.
func (q *Queue) free(s *Segment) (charged, bytes int64) {
	if s.charged {
		charged, bytes = int64(s.cost), int64(s.cost)
		if s.known() {
			q.account.unshare(s.buf)
			bytes = int64(segmentOverhead)
		}
	}
	s.release()
	return charged, bytes
}

// settle takes what free returned off the charge and the account.
func (q *Queue) settle(charged, bytes int64) {
	if charged != 0 {
		q.charged.Add(-charged)
		q.account.bytes.Add(-bytes)
	}
}

// chargeBacklog begins to charge: the flush has left bytes behind, or there are many segments. What is charged
// already is behind what is not. Lock held.
func (q *Queue) chargeBacklog() {
	if q.account == nil {
		return
	}
	q.charging = true
	for s := q.head; s != nil && !s.charged; s = s.next {
		q.charge(s)
	}
}

// Charged is how much memory the backlog of this queue occupies; shared bytes count whole. 0 while the socket takes
// everything at once, and after the connection broke. Any goroutine.
func (q *Queue) Charged() int64 { return q.charged.Load() }

// condemn puts the list from first to last, which no writer has, behind for Discard. Lock held.
func (q *Queue) condemn(first, last *Segment) {
	if first != nil {
		last.next = q.dead
		q.dead = first
	}
	if n := q.charged.Swap(0); n != 0 {
		q.account.leaving.Add(n)
	}
}

// Discard frees up to that many segments of a queue that was shut, and reports whether there are more: a client
// decides how many there are. Home loop only, after Shut.
func (q *Queue) Discard(most int) (more bool) {
	charged, bytes := int64(0), int64(0)
	for ; q.dead != nil && most > 0; most-- {
		s := q.dead
		q.dead = s.next
		c, b := q.free(s)
		charged += c
		bytes += b
	}
	if charged != 0 {
		q.account.bytes.Add(-bytes)
		q.account.leaving.Add(-charged)
	}
	return q.dead != nil
}
