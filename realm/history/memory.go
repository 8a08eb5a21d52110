package history

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Memory keeps logs in memory: they end with the process.
//
// Append copies the event into the log under the log's lock, which readers hold for one page at most and writers for
// one record. When a log is full, a new record takes the memory of the one that was dropped last, so that
// appending allocates nothing.
type Memory struct {
	mu    sync.Mutex // serializes changes of the three below, and evicting
	byKey map[Key]Log
	free  []Log                        // what the next logs are called, those released longest ago first
	logs  atomic.Pointer[[]*memoryLog] // by place; nil: free. Immutable after publish: writers copy

	// Any goroutine.
	bytesMax atomic.Int64
	closed   atomic.Bool
	bytes    atomic.Int64

	appended, trimmed, evicted, expired, refusedTooLarge atomic.Int64
}

// The name of a log in memory is its place in the low half, and in the high half how often that place was released
// before: a log that was released is not found any more.
const placeBits = 16

// A memoryLog is one log.
type memoryLog struct {
	id Log // fixed

	mu     sync.Mutex
	gone   bool // released: it takes nothing any more
	bounds Bounds
	behind bool // bounds have become smaller, and what is beyond has not all gone
	ring   ring
	first  uint64 // number of the oldest record
	bytes  int64
	spare  []byte // memory of the record that was dropped last

	oldest atomic.Int64 // time of the oldest record, MaxInt64 when there is none. Any goroutine
}

var _ Store = (*Memory)(nil)

// NewMemory returns a store that holds at most bytesMax octets, with RecordOverhead for each record; 0 stands for
// DefaultMemoryBytes. The memory it takes may be a quarter more.
func NewMemory(bytesMax int64) *Memory {
	m := &Memory{byKey: make(map[Key]Log)}
	m.logs.Store(new([]*memoryLog))
	m.SetBytesMax(bytesMax)
	return m
}

// SetBytesMax changes the bound of the store; 0 stands for DefaultMemoryBytes. What exceeds it goes, before
// SetBytesMax returns.
func (m *Memory) SetBytesMax(bytesMax int64) {
	if bytesMax <= 0 {
		bytesMax = DefaultMemoryBytes
	}
	for more := true; more; {
		more = m.lower(bytesMax)
	}
}

// lower brings the bound one step nearer to bytesMax, and reports whether it is not there yet: nobody who appends
// meanwhile has to evict more than a step, or waits for more.
func (m *Memory) lower(bytesMax int64) (more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	step := max(bytesMax, m.bytes.Load()-evictSlack)
	m.bytesMax.Store(step)
	m.evict(step)
	return step > bytesMax
}

// Evict drops the oldest records of all logs until they hold no more than so many octets, and then some, so that it
// is rare. It takes some 40 ns for each of them.
func (m *Memory) Evict(bytesMax int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.evict(bytesMax)
}

// Bytes is what all logs hold, in octets, with RecordOverhead for each record.
func (m *Memory) Bytes() int64 { return m.bytes.Load() }

// Log implements Store.
func (m *Memory) Log(k Key, b Bounds) (Log, error) {
	if m.closed.Load() {
		return 0, ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	logs := *m.logs.Load()
	id, ok := m.byKey[k]
	if !ok {
		id = Log(len(logs))
		switch {
		case len(m.free) > 0:
			id = m.free[0]
			m.free = m.free[1:]
			logs = slices.Clone(logs)
		case len(logs) >= LogsMax:
			return 0, ErrLogs
		default:
			logs = append(logs[:len(logs):len(logs)], nil)
		}
		l := &memoryLog{id: id}
		l.oldest.Store(math.MaxInt64)
		logs[placeOf(id)] = l
		m.byKey[k] = id
		m.logs.Store(&logs)
	}
	l := logs[placeOf(id)]
	l.mu.Lock()
	l.bounds, l.behind = b.WithDefaults(), true
	l.mu.Unlock()
	m.shrink(l)
	return id, nil
}

// Trim implements Store.
func (m *Memory) Trim(ctx context.Context) error {
	for _, l := range *m.logs.Load() {
		for l != nil && m.shrink(l) {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func placeOf(id Log) int { return int(id & (1<<placeBits - 1)) }

// Release ends the log of k, if there is one, and drops what it holds. Events that are appended to it meanwhile are
// kept whole or not at all in each other log.
func (m *Memory) Release(k Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id, ok := m.byKey[k]
	if !ok {
		return
	}
	delete(m.byKey, k)
	logs := slices.Clone(*m.logs.Load())
	l := logs[placeOf(id)]
	logs[placeOf(id)] = nil
	m.logs.Store(&logs)
	m.free = append(m.free, id+1<<placeBits)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	m.empty(l)
}

// shrink drops some records of a log whose bounds have become smaller, and reports whether there may be more.
func (m *Memory) shrink(l *memoryLog) (more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.trim(l)
	return l.behind
}

// trim drops what is beyond the bounds: all of it, but only some if the bounds have become smaller. l's lock is held.
func (m *Memory) trim(l *memoryLog) {
	most := math.MaxInt
	if l.behind {
		most = expireAtOnce
	}
	n := m.drop(l, most, l.excess)
	m.trimmed.Add(int64(n))
	l.behind = n == most
}

// Keys implements Store.
func (m *Memory) Keys() []Key {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(m.byKey), func(a, b Key) int {
		return cmp.Compare(placeOf(m.byKey[a]), placeOf(m.byKey[b]))
	})
}

// Purge implements Store.
func (m *Memory) Purge(k Key) error {
	m.mu.Lock()
	id, ok := m.byKey[k]
	m.mu.Unlock()
	if l := m.log(id); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		m.empty(l)
	}
	return nil
}

// empty drops all records of l, whose lock is held.
func (m *Memory) empty(l *memoryLog) {
	m.bytes.Add(-l.bytes)
	l.first += uint64(l.ring.n)
	l.spare, l.ring, l.bytes = nil, ring{}, 0
	l.oldest.Store(math.MaxInt64)
}

func (m *Memory) log(id Log) *memoryLog {
	if logs := *m.logs.Load(); placeOf(id) < len(logs) {
		if l := logs[placeOf(id)]; l != nil && l.id == id {
			return l
		}
	}
	return nil
}

// Append implements Store.
//
// Of the logs of an event some may have been released since they were looked up: the others keep it.
//
// hot: BenchmarkMemoryAppend, 0 allocs/op in a log that is full of records of a similar length.
func (m *Memory) Append(e *Event, to []Log, w Waiter) error {
	if m.closed.Load() {
		return ErrClosed
	}
	if e.Filter.Sessions() {
		return ErrSessionLists
	}
	room, kept := RecordRoom(e), 0
	for _, id := range to {
		l := m.log(id)
		if l == nil {
			if placeOf(id) < len(*m.logs.Load()) {
				continue // it was released; the others go on
			}
			return ErrNoLog
		}
		kept++
		if !l.takes(room) || int64(room)+RecordOverhead > m.bytesMax.Load() {
			m.refusedTooLarge.Add(1)
			return ErrTooLarge
		}
	}
	if kept == 0 && len(to) > 0 {
		return ErrNoLog
	}
	var encoded []byte
	if room >= encodeUnlocked {
		encoded = AppendRecord(make([]byte, 0, room), e)
	}
	for _, id := range to {
		if l := m.log(id); l != nil { // else it was released just now
			m.append(l, e, room, encoded)
		}
	}
	m.appended.Add(int64(kept))
	if m.bytes.Load() > m.bytesMax.Load() && m.mu.TryLock() { // if another goroutine is at it, that one evicts
		m.evict(m.bytesMax.Load())
		m.mu.Unlock()
	}
	if w != nil {
		w.Committed(e.Publication, nil)
	}
	return nil
}

// takes reports whether a record of n octets fits the log's bounds when it is alone in it.
func (l *memoryLog) takes(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return n <= RecordBytesMax && int64(n)+RecordOverhead <= l.bounds.Bytes
}

func (m *Memory) append(l *memoryLog, e *Event, room int, rec []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	if rec == nil {
		if cap(l.spare) >= room && cap(l.spare) <= room+room/4+64 {
			rec, l.spare = l.spare[:0], nil
		} else {
			rec = make([]byte, 0, room)
		}
		rec = AppendRecord(rec, e)
	}
	if l.ring.n == 0 {
		l.oldest.Store(e.Time)
	}
	l.ring.push(slot{e.Time, rec})
	n := int64(len(rec)) + RecordOverhead
	l.bytes += n
	m.bytes.Add(n)
	m.trim(l)
}

// excess reports whether the log exceeds its bounds. The log's lock is held.
func (l *memoryLog) excess(int64) bool { return l.ring.n > l.bounds.Events || l.bytes > l.bounds.Bytes }

// drop removes the oldest records, at most so many, as long as more returns true for what was freed so far, and
// returns how many. The log's lock is held.
func (m *Memory) drop(l *memoryLog, most int, more func(freed int64) bool) (dropped int) {
	freed := int64(0)
	for l.ring.n > 0 && dropped < most && more(freed) {
		s := l.ring.pop()
		if cap(s.rec) < encodeUnlocked { // longer ones may be in several logs
			l.spare = s.rec
		}
		l.first++
		n := int64(len(s.rec)) + RecordOverhead
		l.bytes -= n
		freed += n
		dropped++
	}
	if dropped == 0 {
		return 0
	}
	m.bytes.Add(-freed)
	oldest := int64(math.MaxInt64)
	if l.ring.n > 0 {
		oldest = l.ring.at(0).time
	}
	l.oldest.Store(oldest)
	return dropped
}

// evict implements Evict. mu is held.
func (m *Memory) evict(bytesMax int64) {
	if m.bytes.Load() <= bytesMax {
		return
	}
	target := bytesMax - min(bytesMax/64, evictSlack)
	for m.bytes.Load() > target {
		var l *memoryLog
		at, second := int64(math.MaxInt64), int64(math.MaxInt64)
		for _, other := range *m.logs.Load() {
			if other == nil {
				continue
			}
			switch t := other.oldest.Load(); {
			case t < at || l == nil:
				l, at, second = other, t, at
			case t < second:
				second = t
			}
		}
		if l == nil {
			return
		}
		l.mu.Lock()
		m.evicted.Add(int64(m.drop(l, expireAtOnce, func(freed int64) bool {
			return freed == 0 || l.ring.at(0).time <= second && m.bytes.Load()-freed > target
		})))
		l.mu.Unlock()
	}
}

// Expire implements Store.
func (m *Memory) Expire(now time.Time) {
	for _, l := range *m.logs.Load() {
		for l != nil && m.expireSome(l, now) {
		}
	}
}

// expireSome drops some records of l, and reports whether there may be more.
func (m *Memory) expireSome(l *memoryLog, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bounds.Age <= 0 {
		return false
	}
	oldest := nanos(now.Add(-l.bounds.Age), 0)
	n := m.drop(l, expireAtOnce, func(int64) bool { return l.ring.at(0).time <= oldest })
	m.expired.Add(int64(n))
	return n == expireAtOnce
}

// Span implements Source.
func (m *Memory) Span(id Log) (Span, error) {
	l := m.log(id)
	if l == nil {
		return Span{}, ErrNoLog
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first, next := l.span()
	return Span{First: first, Next: next, Age: l.bounds.Age, Trimmed: first > 0}, nil
}

// span is what queries find: not what Trim has still to drop because there are too many. The log's lock is held.
func (l *memoryLog) span() (first, next uint64) {
	return l.first + uint64(max(l.ring.n-l.bounds.Events, 0)), l.first + uint64(l.ring.n)
}

// Scan implements Source. It holds the log's lock.
func (m *Memory) Scan(id Log, first, next uint64, reverse bool, visit func(seq uint64, rec []byte) bool) error {
	l := m.log(id)
	if l == nil {
		return ErrNoLog
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	begin, end := l.span()
	first, next = max(first, begin), min(next, end)
	for first < next {
		seq := first
		if reverse {
			next--
			seq = next
		} else {
			first++
		}
		if !visit(seq, l.ring.at(int(seq-l.first)).rec) {
			break
		}
	}
	return nil
}

// Read implements Store. It calls done before it returns.
func (m *Memory) Read(c *Cursor, done func(Page, error)) error {
	if m.closed.Load() {
		return ErrClosed
	}
	done(c.Next())
	return nil
}

// Stats implements Store.
func (m *Memory) Stats() Stats {
	s := Stats{
		Bytes: m.bytes.Load(), Appended: m.appended.Load(), Trimmed: m.trimmed.Load(), Evicted: m.evicted.Load(),
		Expired: m.expired.Load(), RefusedTooLarge: m.refusedTooLarge.Load(),
	}
	for _, l := range *m.logs.Load() {
		if l == nil {
			continue
		}
		s.Logs++
		l.mu.Lock()
		s.Records += int64(l.ring.n)
		l.mu.Unlock()
	}
	return s
}

// Close implements Store.
func (m *Memory) Close(context.Context) error {
	m.closed.Store(true)
	return nil
}
