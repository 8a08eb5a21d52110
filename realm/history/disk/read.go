package disk

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// Span implements history.Source.
func (s *Store) Span(id history.Log) (history.Span, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if int(id) >= len(s.logs) {
		return history.Span{}, history.ErrNoLog
	}
	l := s.logs[id]
	first := l.first
	if events := int64(l.bounds.Events); l.claimed && l.records > events { // the others go with the next commits
		first = max(first, l.next-uint64(events))
	}
	return history.Span{First: first, Next: l.next, Age: l.bounds.Age, Trimmed: first > 0}, nil
}

// Scan implements history.Source. It reads in one transaction of the database. A read that waits for the database
// while it breaks never returns; there are at most readersMax of these.
func (s *Store) Scan(id history.Log, first, next uint64, reverse bool,
	visit func(seq uint64, rec []byte) bool,
) error {
	span, err := s.Span(id)
	if err != nil {
		return err
	}
	if first, next = max(first, span.First), min(next, span.Next); first >= next {
		return nil
	}
	if s.isBroken() {
		s.readErrors.Add(1)
		return history.ErrBroken
	}
	name := s.log(id).name
	err = guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			if bucket := tx.Bucket(bucketLogs).Bucket(name); bucket != nil {
				scan := scan{s, first, next, visit}
				if reverse {
					scan.backward(bucket.Cursor())
				} else {
					scan.forward(bucket.Cursor())
				}
			}
			return nil
		})
	})
	if err != nil {
		s.readErrors.Add(1)
		if s.breaks(err) {
			return history.ErrBroken
		}
		return fmt.Errorf("history: %s cannot be read: %w", s.cfg.Path, err)
	}
	return nil
}

// A scan is one Scan.
type scan struct {
	store       *Store
	first, next uint64
	visit       func(seq uint64, rec []byte) bool
}

// seek moves c to the parcel that holds the record number seq, or else to one beside its place.
func seek(c *bbolt.Cursor, seq uint64) (k, v []byte) {
	if k, v = c.Seek(parcelKey(seq)); k != nil && binary.BigEndian.Uint64(k) == seq {
		return k, v
	}
	if k == nil {
		return c.Last()
	}
	if before, v := c.Prev(); before != nil {
		return before, v
	}
	return c.First()
}

func (s *scan) forward(c *bbolt.Cursor) {
	for k, v := seek(c, s.first); k != nil; k, v = c.Next() {
		seq := binary.BigEndian.Uint64(k)
		if seq >= s.next {
			return
		}
		p, ok := openParcel(seq, v)
		if !ok {
			s.store.readErrors.Add(1)
			continue
		}
		for seq, rec, _, more := p.next(); more; seq, rec, _, more = p.next() {
			if seq < s.first {
				continue
			}
			if seq >= s.next {
				return
			}
			if rec == nil {
				s.store.readErrors.Add(1)
				continue
			}
			if !s.visit(seq, rec) {
				return
			}
		}
	}
}

func (s *scan) backward(c *bbolt.Cursor) {
	var records [parcelRecordsMax][]byte
	for k, v := seek(c, s.next-1); k != nil; k, v = c.Prev() {
		start := binary.BigEndian.Uint64(k)
		if start >= s.next {
			continue
		}
		p, ok := openParcel(start, v)
		if !ok || p.n > len(records) {
			s.store.readErrors.Add(1)
			continue
		}
		if start+uint64(p.n) <= s.first {
			return
		}
		for i := range p.n {
			_, records[i], _, _ = p.next()
		}
		for i := p.n - 1; i >= 0; i-- {
			seq := start + uint64(i)
			if seq >= s.next {
				continue
			}
			if seq < s.first {
				return
			}
			if records[i] == nil {
				s.store.readErrors.Add(1)
				continue
			}
			if !s.visit(seq, records[i]) {
				return
			}
		}
	}
}
