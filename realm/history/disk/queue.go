package disk

import (
	"sync"
	"time"

	"banyan/realm/history"
)

// A queue holds what is accepted and not committed. Any goroutine puts, the writer takes all at once.
type queue struct {
	bytesMax, recordsMax, batchBytes int // fixed

	mu     sync.Mutex
	filled *batch
	spare  *batch // for reuse
	// What the writer has taken and not committed counts too.
	takenBytes, takenRecords int
	closed                   bool

	wake chan struct{} // of room for one: there is something, or the queue is closed
	full chan struct{} // of room for one: nobody waits for more
}

// A batch is what one commit writes.
type batch struct {
	octets  []byte // of short records
	logs    []history.Log
	entries []entry
	orders  []order
	bytes   int // of all records, those of their own included
	records int
	hurry   bool // somebody waits
}

func (b *batch) empty() bool { return len(b.entries)+len(b.orders) == 0 }

// record returns the octets of e.
func (b *batch) record(e *entry) []byte {
	if e.own != nil {
		return e.own
	}
	return b.octets[e.start:e.end:e.end]
}

// An entry is one event.
type entry struct {
	start, end  int    // in batch.octets
	own         []byte // instead, for a long record
	to          int    // how many of batch.logs, in the order of the entries
	publication uint64
	waiter      history.Waiter
}

// An order is something else to be done, in its place among the events.
type order struct {
	kind   orderKind
	behind int // number of entries before it
	log    *log
	now    time.Time
	done   chan struct{}
}

type orderKind uint8

const (
	orderTrim orderKind = iota
	orderPurge
	orderExpire
	orderFlush
)

func (q *queue) init(c *Config) {
	q.bytesMax, q.recordsMax, q.batchBytes = c.QueueBytesMax, c.QueueRecordsMax, c.BatchBytes
	q.filled, q.spare = new(batch), new(batch)
	q.wake, q.full = make(chan struct{}, 1), make(chan struct{}, 1)
}

// put adds the record of e, which is not longer than room.
func (q *queue) put(e *history.Event, to []history.Log, w history.Waiter, room int) error {
	var own []byte
	if room >= copyUnlocked {
		own = history.AppendRecord(make([]byte, 0, room), e)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.filled
	switch {
	case q.closed:
		return history.ErrClosed
	case b.bytes+q.takenBytes+room > q.bytesMax || b.records+q.takenRecords+len(to) > q.recordsMax:
		return history.ErrFull
	}
	start := len(b.octets)
	n := len(own)
	if own == nil {
		b.octets = history.AppendRecord(b.octets, e)
		n = len(b.octets) - start
	}
	b.logs = append(b.logs, to...)
	b.entries = append(b.entries, entry{start, start + n, own, len(to), e.Publication, w})
	b.bytes += n
	b.records += len(to)
	q.signal(b.bytes >= q.batchBytes)
	return nil
}

// putOrder adds o. Nobody waits for others then.
func (q *queue) putOrder(o order) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return history.ErrClosed
	case len(q.filled.orders) >= ordersMax:
		return history.ErrFull
	}
	o.behind = len(q.filled.entries)
	q.filled.orders = append(q.filled.orders, o)
	q.filled.hurry = true
	q.signal(true)
	return nil
}

// again adds orders that a commit has not ended. On the way to a close they are left for the next Open.
func (q *queue) again(orders []order) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(orders) == 0 {
		return
	}
	for _, o := range orders {
		o.behind = len(q.filled.entries)
		q.filled.orders = append(q.filled.orders, o)
	}
	q.filled.hurry = true
	q.signal(true)
}

// signal wakes the writer. The lock is held.
func (q *queue) signal(hurry bool) {
	select {
	case q.wake <- struct{}{}:
	default:
	}
	if hurry {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
}

// take waits for something to write and returns it, or nil when the queue is closed and empty.
func (q *queue) take(gather time.Duration) *batch {
	for {
		<-q.wake
		if q.worthWaiting() && gather > 0 {
			timer := time.NewTimer(gather)
			select {
			case <-timer.C:
			case <-q.full:
				timer.Stop()
			}
		}
		q.mu.Lock()
		b := q.filled
		if b.empty() {
			closed := q.closed
			q.mu.Unlock()
			if closed {
				return nil
			}
			continue
		}
		if q.filled = q.spare; q.filled == nil {
			q.filled = new(batch)
		}
		q.spare = nil
		q.takenBytes, q.takenRecords = b.bytes, b.records
		if q.closed {
			q.signal(true) // once more, to find that there is no more
		}
		q.mu.Unlock()
		return b
	}
}

// worthWaiting reports whether more may come before the batch is written. Old signals are forgotten.
func (q *queue) worthWaiting() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.full:
	default:
	}
	return !q.closed && !q.filled.hurry && q.filled.bytes < q.batchBytes && !q.filled.empty()
}

// release ends b, which take returned.
func (q *queue) release(b *batch) {
	clear(b.entries)
	clear(b.orders)
	*b = batch{octets: b.octets[:0], logs: b.logs[:0], entries: b.entries[:0], orders: b.orders[:0]}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.takenBytes, q.takenRecords = 0, 0
	if cap(b.octets) <= queueKept {
		q.spare = b
	}
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal(true)
}

// enter calls f unless the queue is closed.
func (q *queue) enter(f func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return history.ErrClosed
	}
	f()
	return nil
}

func (q *queue) bytes() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(q.filled.bytes + q.takenBytes)
}
