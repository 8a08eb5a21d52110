package outq

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// An Account counts the memory that backlogs occupy: what a socket did not take at once, and what was appended behind
// it. A queue that drains in its flush, as nearly all do, costs the account nothing. Bytes shared by several queues
// count once. Any goroutine.
type Account struct {
	bytes  atomic.Int64
	shards [accountShards]accountShard
}

const accountShards = 16

type accountShard struct {
	mu     sync.Mutex
	shared map[*byte]*sharedRun
	_      [40]byte // own cache line
}

// A sharedRun counts the queues that hold one run of bytes.
type sharedRun struct {
	bytes  int
	queues int
}

// Bytes is how much memory the backlogs occupy.
func (a *Account) Bytes() int64 { return a.bytes.Load() }

func (a *Account) shard(first *byte) *accountShard {
	return &a.shards[uintptr(unsafe.Pointer(first))>>6%accountShards]
}

func (a *Account) share(b []byte) {
	first := unsafe.SliceData(b)
	s := a.shard(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.shared[first]
	if r == nil {
		if s.shared == nil {
			s.shared = make(map[*byte]*sharedRun)
		}
		r = &sharedRun{}
		s.shared[first] = r
	}
	r.queues++
	if n := len(b) - r.bytes; n > 0 { // the longest of the slices that begin here
		r.bytes += n
		a.bytes.Add(int64(n))
	}
}

func (a *Account) unshare(b []byte) {
	first := unsafe.SliceData(b)
	s := a.shard(first)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.shared[first]
	if r.queues--; r.queues > 0 {
		return
	}
	a.bytes.Add(-int64(r.bytes))
	delete(s.shared, first)
	if len(s.shared) == 0 {
		s.shared = nil // maps never shrink
	}
}

// segmentOverhead is what a queued segment takes besides its bytes.
const segmentOverhead = int(unsafe.Sizeof(Segment{}))

// charge brings the account up to date with s, which is in q's backlog.
func (q *Queue) charge(s *Segment) {
	total := int32(len(s.buf) + segmentOverhead)
	more := int(total - s.charged)
	if s.charged == 0 && !s.own {
		q.account.share(s.buf)
		q.account.bytes.Add(int64(segmentOverhead))
	} else {
		q.account.bytes.Add(int64(more))
	}
	s.charged = total
	q.charged.Add(int64(more))
}

// release frees s and takes it off the account.
func (q *Queue) release(s *Segment) {
	if s.charged != 0 {
		q.charged.Add(-int64(s.charged))
		if s.own {
			q.account.bytes.Add(-int64(s.charged))
		} else {
			q.account.unshare(s.buf)
			q.account.bytes.Add(-int64(segmentOverhead))
		}
	}
	s.release()
}

// chargeBacklog begins to charge: the flush has left bytes behind. Lock held.
func (q *Queue) chargeBacklog() {
	if q.account == nil || q.charging {
		return
	}
	q.charging = true
	for s := q.head; s != nil; s = s.next {
		q.charge(s)
	}
}

// Charged is how much memory the backlog of this queue occupies; shared bytes count whole. 0 while the socket takes
// everything at once. Any goroutine.
func (q *Queue) Charged() int64 { return q.charged.Load() }
