package disk

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// The database: the bucket of logs has a bucket of parcels for each log, whose sequence is the number of the first
// record that is not dropped; the bucket of the store has its format and the number of the last commit.
var (
	bucketLogs  = []byte("logs")
	bucketStore = []byte("store")
	keyFormat   = []byte("format")
	keyCommit   = []byte("commit")
)

const format = 1

// bucketName returns the name of the bucket of k's log.
func bucketName(k history.Key) []byte {
	b := append(make([]byte, 0, 2+len(k.Realm)+len(k.URI)), byte(k.Match))
	b = append(binary.AppendUvarint(b, uint64(len(k.Realm))), k.Realm...)
	return append(b, k.URI...)
}

// A writer is the state of the goroutine that writes. Owned by it.
type writer struct {
	// doubt is a commit that failed and may be in the file all the same. The next one finds out.
	doubt   *plan
	failing bool
	lost    int64 // records since it fails
}

// write is the writer.
func (s *Store) write() {
	defer close(s.written)
	for {
		b := s.queue.take(s.cfg.Gather)
		if b == nil {
			return
		}
		whole, again, err := s.commit(b)
		for i := range b.entries {
			if e := &b.entries[i]; e.waiter != nil {
				e.waiter.Committed(e.publication, err)
			}
		}
		var flushed []chan struct{}
		for _, o := range b.orders {
			if o.done != nil {
				flushed = append(flushed, o.done)
			}
		}
		if !whole {
			b = new(batch) // somebody has the other one forever
		}
		s.queue.release(b)
		s.queue.again(again) // before somebody is told: Trim waits for what is behind it
		for _, done := range flushed {
			close(done)
		}
	}
}

// commit writes b in one transaction. whole is false if the database did not come back from it. again is what the
// next one has to go on with.
func (s *Store) commit(b *batch) (whole bool, again []order, err error) {
	if s.isBroken() {
		s.lost.Add(int64(b.records))
		return true, nil, history.ErrBroken
	}
	p := &plan{store: s, logs: make(map[*log]*planned), left: trimAtOnce}
	result := make(chan error, 1)
	go func() {
		result <- guard(func() error {
			return s.db.Update(func(tx *bbolt.Tx) error { return p.write(tx, b) })
		})
	}()
	select {
	case err = <-result:
		if err = s.settle(p, b, err); err == nil {
			again = p.again
		}
		return true, again, err
	case <-s.broken:
		s.commitErrors.Add(1)
		s.lost.Add(int64(b.records))
		return false, nil, history.ErrBroken
	}
}

// settle makes p the state of the store, or tells what is wrong.
func (s *Store) settle(p *plan, b *batch, err error) error {
	w := &s.writer
	if err == nil {
		w.doubt = nil
		p.apply()
		s.commits.Add(1)
		if w.failing {
			s.tell("history: %s is written again; %d events were not kept meanwhile", s.cfg.Path, w.lost)
			w.failing, w.lost = false, 0
		}
		return nil
	}
	s.commitErrors.Add(1)
	s.lost.Add(int64(b.records))
	w.lost += int64(b.records)
	if p.number != 0 {
		w.doubt = p
	}
	if s.breaks(err) {
		return history.ErrBroken
	}
	if !w.failing {
		w.failing = true
		s.tell("history: events are not kept, because %s; the router goes on without, and tries again",
			explain(s.cfg.Path, err))
	}
	return &writeError{s.cfg.Path, err}
}

// A writeError says that a commit failed.
type writeError struct {
	path string
	err  error
}

func (e *writeError) Error() string { return "history: " + explain(e.path, e.err) }
func (e *writeError) Unwrap() error { return e.err }

// explain says what an error of the disk means.
func explain(path string, err error) string {
	is := func(errno syscall.Errno) bool {
		// The database keeps only the text of some errors.
		return errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error())
	}
	switch {
	case is(syscall.ENOSPC):
		return "the disk of " + path + " is full: make room, or lower the bytes that history may take"
	case is(syscall.EDQUOT):
		return "the disk quota of " + path + " is used up: raise it, or lower the bytes that history may take"
	case is(syscall.EFBIG):
		return path + " may not grow: raise the limit of the file size"
	case is(syscall.EROFS), is(syscall.EBADF), is(syscall.EPERM), is(syscall.EACCES):
		return path + " cannot be written: check the permissions, and whether the disk is mounted read-only"
	case is(syscall.EIO), is(syscall.ENXIO), is(syscall.ENODEV):
		return "the disk of " + path + " does not work: " + err.Error()
	}
	return path + " cannot be written: " + err.Error()
}

// A plan is what a commit changes. It becomes the state of the store when the commit has succeeded.
type plan struct {
	store *Store
	tx    *bbolt.Tx
	logs  map[*log]*planned

	number                              uint64 // of the commit
	total, records                      int64  // changes
	appended, trimmed, evicted, expired int64

	left  int     // records that may still be dropped for a bound of a log, or an age
	again []order // what is left for the next commit
}

// A planned is a log in a plan.
type planned struct {
	plan   *plan
	log    *log
	bounds history.Bounds
	bound  bool

	extent
	bucket *bbolt.Bucket

	parcel [][]byte // the last records, which are not in the bucket yet
	octets int      // of them
	head   opened   // the parcel of the oldest record, if loaded
	loaded bool
}

func (p *plan) write(tx *bbolt.Tx, b *batch) error {
	p.tx = tx
	store := tx.Bucket(bucketStore)
	var last uint64
	if v := store.Get(keyCommit); len(v) == 8 {
		last = binary.BigEndian.Uint64(v)
	}
	if d := p.store.writer.doubt; d != nil {
		p.store.writer.doubt = nil
		if d.number == last {
			d.apply()
		}
	}
	p.number = last + 1

	logs, orders := b.logs, b.orders
	for i := 0; i <= len(b.entries); i++ {
		for ; len(orders) > 0 && orders[0].behind == i; orders = orders[1:] {
			if err := p.obey(&orders[0]); err != nil {
				return err
			}
		}
		if i == len(b.entries) {
			break
		}
		e := &b.entries[i]
		rec := b.record(e)
		for _, id := range logs[:e.to] {
			l, err := p.log(p.store.log(id))
			if err != nil {
				return err
			}
			if err := l.add(rec); err != nil {
				return err
			}
		}
		logs = logs[e.to:]
	}
	for _, l := range p.logs {
		if err := l.trim(); err != nil {
			return err
		}
	}
	if err := p.evict(); err != nil {
		return err
	}
	for _, l := range p.logs {
		if err := l.finish(); err != nil {
			return err
		}
	}
	return store.Put(keyCommit, binary.BigEndian.AppendUint64(nil, p.number))
}

// apply makes the plan the state of the store.
func (p *plan) apply() {
	s := p.store
	s.mu.Lock()
	for l, planned := range p.logs {
		l.extent = planned.extent
	}
	s.mu.Unlock()
	s.total.Add(p.total)
	s.records.Add(p.records)
	s.appended.Add(p.appended)
	s.trimmed.Add(p.trimmed)
	s.evicted.Add(p.evicted)
	s.expired.Add(p.expired)
}

// log returns l in the plan.
func (p *plan) log(l *log) (*planned, error) {
	if known := p.logs[l]; known != nil {
		return known, nil
	}
	bucket, err := p.tx.Bucket(bucketLogs).CreateBucketIfNotExists(l.name)
	if err != nil {
		return nil, err
	}
	bucket.FillPercent = 1 // keys only grow
	p.store.mu.RLock()
	defer p.store.mu.RUnlock()
	n := &planned{plan: p, log: l, bounds: l.bounds, bound: l.claimed, extent: l.extent, bucket: bucket}
	p.logs[l] = n
	return n, nil
}

// obey does what o says.
func (p *plan) obey(o *order) error {
	switch o.kind {
	case orderTrim:
		_, err := p.log(o.log)
		return err // what is in the plan is trimmed
	case orderPurge:
		l, err := p.log(o.log)
		if err != nil {
			return err
		}
		return l.purge(o.log.name)
	case orderExpire:
		type due struct {
			log *log
			at  int64 // those up to here are too old
		}
		var all []due
		p.store.mu.RLock()
		for _, l := range p.store.logs {
			d := due{l, math.MinInt64}
			if l.claimed && l.bounds.Age > 0 {
				d.at = o.now.Add(-l.bounds.Age).UnixNano()
			}
			if p.logs[l] != nil || l.records > 0 && l.oldest <= d.at || l.claimed && l.beyond(&l.bounds) {
				all = append(all, d)
			}
		}
		p.store.mu.RUnlock()
		for _, d := range all {
			l, err := p.log(d.log)
			if err != nil {
				return err
			}
			more, err := l.expire(d.at)
			if err != nil {
				return err
			}
			if more {
				p.again = append(p.again, *o)
				break
			}
		}
	}
	return nil
}

// evict drops the oldest records of all logs until the store is within its bound.
func (p *plan) evict() error {
	s := p.store
	for s.total.Load()+p.total > s.cfg.BytesMax {
		var oldest *log
		at, second := int64(math.MaxInt64), int64(math.MaxInt64)
		s.mu.RLock()
		for _, l := range s.logs {
			e := &l.extent
			if known := p.logs[l]; known != nil {
				e = &known.extent
			}
			switch {
			case e.records == 0:
			case oldest == nil || e.oldest < at:
				oldest, at, second = l, e.oldest, at
			case e.oldest < second:
				second = e.oldest
			}
		}
		s.mu.RUnlock()
		if oldest == nil {
			return nil
		}
		l, err := p.log(oldest)
		if err != nil {
			return err
		}
		for first := true; first || l.records > 0 && l.oldest <= second && s.total.Load()+p.total > s.cfg.BytesMax; {
			first = false
			if err := l.pop(); err != nil {
				return err
			}
			p.evicted++
		}
	}
	return nil
}

// add puts rec at the end.
func (l *planned) add(rec []byte) error {
	if len(l.parcel) >= parcelRecordsMax || len(l.parcel) > 0 && l.octets+len(rec) > parcelBytesMax {
		if err := l.seal(); err != nil {
			return err
		}
	}
	l.parcel = append(l.parcel, rec)
	l.octets += len(rec)
	if l.records == 0 {
		l.oldest = history.RecordTime(rec)
	}
	l.next++
	l.change(1, len(rec))
	l.plan.appended++
	l.plan.left++
	return nil
}

// change counts a record more or less.
func (l *planned) change(records int64, octets int) {
	n := records * (int64(octets) + history.RecordOverhead)
	l.records += records
	l.bytes += n
	l.plan.records += records
	l.plan.total += n
}

// seal puts the last records into the bucket.
func (l *planned) seal() error {
	if len(l.parcel) == 0 {
		return nil
	}
	seq := l.next - uint64(len(l.parcel))
	v := makeParcel(seq, l.parcel)
	clear(l.parcel)
	l.parcel, l.octets = l.parcel[:0], 0
	return l.bucket.Put(parcelKey(seq), v)
}

func parcelKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// trim keeps the bounds of the log, or comes nearer to them.
func (l *planned) trim() error {
	if err := l.seal(); err != nil {
		return err
	}
	for l.bound && l.records > 0 && l.beyond(&l.bounds) {
		if l.plan.left == 0 {
			l.plan.again = append(l.plan.again, order{kind: orderTrim, log: l.log})
			return nil
		}
		if err := l.pop(); err != nil {
			return err
		}
		l.plan.left--
		l.plan.trimmed++
	}
	return nil
}

// expire drops what is not younger than at, and reports whether there is more for the next commit.
func (l *planned) expire(at int64) (more bool, err error) {
	if err := l.seal(); err != nil {
		return false, err
	}
	for l.records > 0 && l.oldest <= at {
		if l.plan.left == 0 {
			return true, nil
		}
		if err := l.pop(); err != nil {
			return false, err
		}
		l.plan.left--
		l.plan.expired++
	}
	return false, nil
}

// pop drops the oldest record. A parcel goes with its last one.
func (l *planned) pop() error {
	if err := l.seal(); err != nil {
		return err
	}
	_, length, ok, err := l.peek()
	if err != nil || !ok {
		return err
	}
	l.head.next()
	l.first++
	l.change(-1, length)
	rest, _, ok, err := l.peek()
	if ok {
		l.oldest = rest
	}
	return err
}

// peek returns the time and the length of the oldest record. A damaged one is older than any.
func (l *planned) peek() (at int64, length int, ok bool, err error) {
	for {
		if !l.loaded {
			k, v := l.bucket.Cursor().First()
			if k == nil {
				l.plan.records -= l.records
				l.plan.total -= l.bytes
				l.first, l.records, l.bytes = l.next, 0, 0
				return 0, 0, false, nil
			}
			seq := binary.BigEndian.Uint64(k)
			p, sound := openParcel(seq, v)
			if !sound {
				if err := l.bucket.Delete(parcelKey(seq)); err != nil {
					return 0, 0, false, err
				}
				continue
			}
			l.head, l.loaded = p, true
			for l.head.seq+uint64(l.head.i) < l.first && l.head.i < l.head.n {
				l.head.next()
			}
		}
		look := l.head
		seq, rec, length, more := look.next()
		if more {
			l.first = seq
			if rec == nil {
				return math.MinInt64, length, true, nil
			}
			return history.RecordTime(rec), length, true, nil
		}
		l.loaded = false
		if err := l.bucket.Delete(parcelKey(l.head.seq)); err != nil {
			return 0, 0, false, err
		}
	}
}

// purge drops all. Numbers go on where they were.
func (l *planned) purge(name []byte) error {
	logs := l.plan.tx.Bucket(bucketLogs)
	if err := logs.DeleteBucket(name); err != nil {
		return err
	}
	bucket, err := logs.CreateBucket(name)
	if err != nil {
		return err
	}
	bucket.FillPercent = 1
	l.plan.records -= l.records
	l.plan.total -= l.bytes
	l.bucket, l.parcel, l.octets, l.loaded = bucket, nil, 0, false
	l.first, l.records, l.bytes = l.next, 0, 0
	return nil
}

// finish writes down where the log begins. It is where it ends, too, if there is no parcel.
func (l *planned) finish() error {
	if l.bucket.Sequence() == l.first {
		return nil
	}
	return l.bucket.SetSequence(l.first)
}
