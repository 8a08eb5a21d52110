package disk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// A Config says where and how a Store keeps history. Only Path is needed.
type Config struct {
	Path string // of the file; its directory has to exist

	BytesMax        int64         // octets of all records; default 1 GiB; beyond, the oldest go
	QueueBytesMax   int           // octets accepted and not committed; default 16 MiB; beyond: history.ErrFull
	QueueRecordsMax int           // records accepted and not committed; default 65 536; beyond: history.ErrFull
	Gather          time.Duration // what a record waits for others; default 2 ms; negative: nothing
	BatchBytes      int           // with so many octets nobody waits any more; default 1 MiB

	// Report is told, in words for the operator, when the file is damaged, and when storing fails and works again.
	// Any goroutine calls it, never two at a time; it may wait, and the disk's goroutine with it. Nil: nobody.
	Report func(text string)

	// For tests.
	opened   func(*os.File)
	lockWait time.Duration
}

func (c *Config) setDefaults() {
	c.BytesMax = cmp.Or(max(c.BytesMax, 0), defaultBytesMax)
	c.QueueBytesMax = cmp.Or(max(c.QueueBytesMax, 0), defaultQueueBytesMax)
	c.QueueRecordsMax = cmp.Or(max(c.QueueRecordsMax, 0), defaultQueueRecordsMax)
	c.Gather = cmp.Or(c.Gather, defaultGather)
	c.BatchBytes = cmp.Or(max(c.BatchBytes, 0), defaultBatchBytes)
	c.lockWait = cmp.Or(c.lockWait, lockWait)
	if c.Report == nil {
		c.Report = func(string) {}
	}
}

// A Store keeps history in a file.
type Store struct {
	cfg  Config
	db   *bbolt.DB
	file *os.File // of db

	queue   queue
	written chan struct{} // closed when the writer has ended
	writer  writer

	mu    sync.RWMutex // guards the two, and the spans of logs
	byKey map[history.Key]history.Log
	logs  []*log

	reading  atomic.Int64 // pages that are read or wait for it
	readers  chan struct{}
	readings sync.WaitGroup
	closing  sync.Mutex // one Close at a time
	closed   bool       // guarded by closing: the file is closed
	report   sync.Mutex // one Report at a time
	// broken is closed when the database has panicked: it may then hold a lock of its own forever, so that nobody may
	// touch it any more.
	broken   chan struct{}
	breaking sync.Once

	appended, trimmed, evicted, expired                      atomic.Int64
	refusedFull, refusedTooLarge, refusedBroken, refusedBusy atomic.Int64
	commits, commitErrors, lost, readErrors                  atomic.Int64
	damagedRecords, damagedParcels                           atomic.Int64
	total                                                    atomic.Int64 // octets, as the writer knows them
	records                                                  atomic.Int64
}

// A log is one log of the store.
type log struct {
	id   history.Log // fixed
	key  history.Key // fixed
	name []byte      // of its bucket; fixed

	// Guarded by Store.mu; changed by the writer, or before it runs.
	bounds  history.Bounds
	claimed bool // somebody has asked for it, so that bounds are set
	extent
}

// An extent is how much a log holds.
type extent struct {
	first, next uint64 // numbers of records
	records     int64
	bytes       int64
	oldest      int64 // time of the oldest record
}

// beyond reports whether e is more than b.
func (e *extent) beyond(b *history.Bounds) bool {
	return e.records > int64(b.Events) || e.bytes > b.Bytes
}

var _ history.Store = (*Store)(nil)

// Log implements history.Store.
func (s *Store) Log(k history.Key, b history.Bounds) (history.Log, error) {
	s.mu.Lock()
	id, ok := s.byKey[k]
	if !ok {
		if len(bucketName(k)) > bbolt.MaxKeySize {
			s.mu.Unlock()
			return 0, errors.New("history: the URI of the realm or the topic is too long")
		}
		if len(s.logs) >= history.LogsMax {
			s.mu.Unlock()
			return 0, history.ErrLogs
		}
		id = s.addLog(k, extent{})
	}
	l := s.logs[id]
	l.bounds, l.claimed = b.WithDefaults(), true
	s.mu.Unlock()
	return id, s.queue.putOrder(order{kind: orderTrim, log: l})
}

// addLog makes the record of a log. The lock is held, or nobody else there.
func (s *Store) addLog(k history.Key, e extent) history.Log {
	id := history.Log(len(s.logs))
	s.logs = append(s.logs, &log{id: id, key: k, name: bucketName(k), extent: e})
	s.byKey[k] = id
	return id
}

// Keys implements history.Store.
func (s *Store) Keys() []history.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]history.Key, len(s.logs))
	for i, l := range s.logs {
		keys[i] = l.key
	}
	return keys
}

func (s *Store) log(id history.Log) *log {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if int(id) < len(s.logs) {
		return s.logs[id]
	}
	return nil
}

// Purge implements history.Store. It is done with one of the next commits.
func (s *Store) Purge(k history.Key) error {
	s.mu.RLock()
	id, ok := s.byKey[k]
	s.mu.RUnlock()
	if !ok {
		return nil
	}
	return s.queue.putOrder(order{kind: orderPurge, log: s.log(id)})
}

// Append implements history.Store: it copies e into the queue.
//
// hot: BenchmarkDiskAppend, 0 allocs/op on the caller's side for records below copyUnlocked.
func (s *Store) Append(e *history.Event, to []history.Log, w history.Waiter) error {
	if e.Filter.Sessions() {
		return history.ErrSessionLists
	}
	if s.isBroken() {
		s.refusedBroken.Add(1)
		return history.ErrBroken
	}
	if len(to) == 0 {
		if w != nil {
			w.Committed(e.Publication, nil)
		}
		return nil
	}
	room := history.RecordRoom(e)
	s.mu.RLock()
	for _, id := range to {
		if int(id) >= len(s.logs) {
			s.mu.RUnlock()
			return history.ErrNoLog
		}
		if n := int64(room) + history.RecordOverhead; room > history.RecordBytesMax || n > s.cfg.BytesMax ||
			s.logs[id].claimed && n > s.logs[id].bounds.Bytes || room > s.cfg.QueueBytesMax {
			s.mu.RUnlock()
			s.refusedTooLarge.Add(1)
			return history.ErrTooLarge
		}
	}
	s.mu.RUnlock()
	err := s.queue.put(e, to, w, room)
	if errors.Is(err, history.ErrFull) {
		s.refusedFull.Add(1)
	}
	return err
}

// Trim implements history.Store.
func (s *Store) Trim(ctx context.Context) error {
	for failed := s.commitErrors.Load(); s.beyond(); {
		done := make(chan struct{})
		if err := s.queue.putOrder(order{kind: orderFlush, done: done}); err != nil {
			return err
		}
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case s.isBroken():
			return history.ErrBroken
		case s.commitErrors.Load() != failed:
			return errNotTrimmed // the operator has been told why
		}
	}
	return nil
}

var errNotTrimmed = errors.New("history: the disk could not be written")

// beyond reports whether a log has more than its bounds.
func (s *Store) beyond() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.logs, func(l *log) bool { return l.claimed && l.beyond(&l.bounds) })
}

// Expire implements history.Store. It is done with the next commits, which also drop what one that failed should
// have.
func (s *Store) Expire(now time.Time) {
	_ = s.queue.putOrder(order{kind: orderExpire, now: now}) // closed: nothing to do
}

// Flush returns when what was appended before is durable, or has failed. It waits for the disk.
func (s *Store) Flush() error {
	done := make(chan struct{})
	if err := s.queue.putOrder(order{kind: orderFlush, done: done}); err != nil {
		return err
	}
	<-done
	return nil
}

// Read implements history.Store: a goroutine reads, at most readersMax at a time.
func (s *Store) Read(c *history.Cursor, done func(history.Page, error)) error {
	if s.reading.Add(1) > readsMax {
		s.reading.Add(-1)
		s.refusedBusy.Add(1)
		return history.ErrBusy
	}
	if err := s.queue.enter(func() { s.readings.Add(1) }); err != nil {
		s.reading.Add(-1)
		return err
	}
	go func() {
		defer s.readings.Done()
		s.readers <- struct{}{}
		p, err := c.Next()
		<-s.readers
		s.reading.Add(-1)
		done(p, err)
	}()
	return nil
}

// Stats implements history.Store.
func (s *Store) Stats() history.Stats {
	st := history.Stats{
		Records: s.records.Load(), Bytes: s.total.Load(), Appended: s.appended.Load(), Trimmed: s.trimmed.Load(),
		Evicted: s.evicted.Load(), Expired: s.expired.Load(), RefusedFull: s.refusedFull.Load(),
		RefusedTooLarge: s.refusedTooLarge.Load(), RefusedBroken: s.refusedBroken.Load(),
		RefusedReads: s.refusedBusy.Load(), QueuedBytes: s.queue.bytes(), Commits: s.commits.Load(),
		CommitErrors: s.commitErrors.Load(), Lost: s.lost.Load(), ReadErrors: s.readErrors.Load(),
		DamagedRecords: s.damagedRecords.Load(), DamagedParcels: s.damagedParcels.Load(),
		FileBytes: fileBytes(s.cfg.Path),
	}
	s.mu.RLock()
	st.Logs = len(s.logs)
	s.mu.RUnlock()
	return st
}

// Close implements history.Store. If the disk does not answer until ctx ends, its goroutine stays behind.
func (s *Store) Close(ctx context.Context) error {
	s.queue.close()
	ended := make(chan error, 1)
	go func() {
		<-s.written
		s.readings.Wait()
		s.closing.Lock()
		defer s.closing.Unlock()
		if s.closed {
			ended <- nil
			return
		}
		s.closed = true
		if s.isBroken() {
			ended <- release(s.file)
		} else {
			ended <- guard(s.db.Close)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("history: the disk of %s does not answer, what was appended last may be lost: %w",
			s.cfg.Path, ctx.Err())
	}
}

func (s *Store) isBroken() bool {
	select {
	case <-s.broken:
		return true
	default:
		return false
	}
}

// breaks reports whether err is a panic of the database. The store is broken then.
func (s *Store) breaks(err error) bool {
	if d := new(damage); !errors.As(err, &d) {
		return false
	}
	s.breaking.Do(func() {
		close(s.broken)
		s.tell("history: %s: %v; no event is kept or found until the router is restarted, which sets the file aside",
			s.cfg.Path, err)
	})
	return true
}

// tell gives the operator a text.
func (s *Store) tell(format string, args ...any) {
	s.report.Lock()
	defer s.report.Unlock()
	s.cfg.Report(fmt.Sprintf(format, args...))
}

// guard calls f and returns a panic of the database as an error: it panics over damaged pages, and a page of a mapped
// file that cannot be read is a fault of memory.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damage{r}
		}
	}()
	return f()
}

// damage is a panic of the database.
type damage struct{ cause any }

func (d *damage) Error() string { return fmt.Sprintf("the database is damaged: %v", d.cause) }
