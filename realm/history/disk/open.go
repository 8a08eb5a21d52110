package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"banyan/codec"
	"banyan/realm/history"
)

// aside is what the name of a file gets that cannot be used.
const aside = ".damaged"

// Open opens the file, or makes it, and reads it once: each record is checked, which takes a few seconds per
// gigabyte. Damaged records are reported, counted and never served. A file that is damaged as a whole is renamed,
// with the suffix .damaged, and Open begins a new one; if there is such a file already, Open fails, so that no more
// than one is kept. Open fails too if another process has the file, or if it cannot be written.
func Open(c Config) (*Store, error) {
	c.setDefaults()
	s, err := open(&c)
	if !damaged(err) {
		return s, err
	}
	to := c.Path + aside
	if _, statErr := os.Lstat(to); statErr == nil {
		return nil, fmt.Errorf("history: %s is damaged (%w), and %s is there from an earlier time: "+
			"move one of them away", c.Path, err, to)
	}
	if renameErr := os.Rename(c.Path, to); renameErr != nil {
		return nil, fmt.Errorf("history: %s is damaged (%w) and cannot be renamed: %w", c.Path, err, renameErr)
	}
	c.Report(fmt.Sprintf("history: %s is damaged (%v); it is now %s, and history begins anew", c.Path, err, to))
	return open(&c)
}

// damaged reports whether the file itself is the reason of err.
func damaged(err error) bool {
	if err == nil {
		return false
	}
	d := new(damage)
	return errors.As(err, &d) || errors.Is(err, berrors.ErrInvalid) || errors.Is(err, berrors.ErrChecksum) ||
		errors.Is(err, errStructure) || strings.Contains(err.Error(), "file size too small")
}

var errStructure = errors.New("something else is in it than history")

func open(c *Config) (_ *Store, err error) {
	s := &Store{
		cfg: *c, byKey: make(map[history.Key]history.Log), readers: make(chan struct{}, readersMax),
		written: make(chan struct{}), broken: make(chan struct{}),
	}
	s.queue.init(&s.cfg)
	var file *os.File
	err = guard(func() (err error) {
		s.db, err = bbolt.Open(c.Path, 0o600, &bbolt.Options{
			Timeout: c.lockWait, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(path string, flag int, mode fs.FileMode) (*os.File, error) {
				var err error
				file, err = os.OpenFile(path, flag, mode)
				if opened := c.opened; opened != nil && err == nil {
					opened(file)
				}
				return file, err
			},
		})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("history: another process uses %s", c.Path)
	case err != nil:
		if d := new(damage); errors.As(err, &d) && file != nil {
			_ = release(file)
		}
		return nil, fmt.Errorf("history: open %s: %w", c.Path, err)
	}
	s.file = file
	if err = guard(s.prepare); err != nil {
		s.abandon(file)
		return nil, fmt.Errorf("history: open %s: %w", c.Path, err)
	}
	go s.write()
	return s, nil
}

// abandon closes what prepare could not use.
func (s *Store) abandon(file *os.File) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = guard(s.db.Close)
	}()
	select {
	case <-closed:
	case <-time.After(time.Second): // a panic has left a lock of the database behind
		_ = release(file)
	}
}

// release closes the file of a database that cannot do it. Its lock would last as long as its mapping.
func release(file *os.File) error {
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

// prepare makes what a new file lacks, and reads an old one.
func (s *Store) prepare() error {
	known := false
	err := s.db.View(func(tx *bbolt.Tx) error {
		store := tx.Bucket(bucketStore)
		if store == nil {
			if k, _ := tx.Cursor().First(); k != nil {
				return errStructure
			}
			return nil
		}
		if f := store.Get(keyFormat); len(f) != 1 || f[0] != format {
			return fmt.Errorf("it was written by another version of the router, in format %d: this one reads %d",
				f, format)
		}
		known = true
		logs := tx.Bucket(bucketLogs)
		if logs == nil {
			return errStructure
		}
		return logs.ForEachBucket(func(name []byte) error { return s.load(name, logs.Bucket(name)) })
	})
	if err != nil || known {
		s.tellDamage()
		return err
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucket(bucketLogs); err != nil {
			return err
		}
		store, err := tx.CreateBucket(bucketStore)
		if err != nil {
			return err
		}
		return store.Put(keyFormat, []byte{format})
	})
	if err != nil {
		return err
	}
	// The name of a new file has to outlive a power failure too.
	dir, err := os.Open(filepath.Dir(s.cfg.Path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// load checks the records of one log.
func (s *Store) load(name []byte, bucket *bbolt.Bucket) error {
	key, ok := readBucketName(name)
	if !ok {
		return errStructure
	}
	if len(s.logs) >= history.LogsMax {
		return history.ErrLogs
	}
	e := extent{first: bucket.Sequence(), oldest: math.MinInt64}
	end := uint64(0)
	err := bucket.ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return errStructure
		}
		seq := binary.BigEndian.Uint64(k)
		p, ok := openParcel(seq, v)
		if !ok || seq < end {
			s.damagedParcels.Add(1)
			s.tellDamaged("history: %s: a group of records of %q in realm %q, from number %d on, is damaged and "+
				"left out", s.cfg.Path, key.URI, key.Realm, seq)
			return nil
		}
		end = seq + uint64(p.n)
		for seq, rec, length, more := p.next(); more; seq, rec, length, more = p.next() {
			if seq < e.first {
				continue
			}
			if e.records++; e.records == 1 && rec != nil {
				e.oldest = history.RecordTime(rec)
			}
			e.bytes += int64(length) + history.RecordOverhead
			if rec == nil {
				s.damagedRecords.Add(1)
				s.tellDamaged("history: %s: record %d of %q in realm %q is damaged and left out",
					s.cfg.Path, seq, key.URI, key.Realm)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.next = max(e.first, end)
	s.addLog(key, e)
	s.total.Add(e.bytes)
	s.records.Add(e.records)
	return nil
}

// tellDamaged tells about one damaged place, unless enough were told.
func (s *Store) tellDamaged(format string, args ...any) {
	if s.damagedRecords.Load()+s.damagedParcels.Load() <= problemsMax {
		s.tell(format, args...)
	}
}

// tellDamage tells how much is damaged, if that was not told one by one.
func (s *Store) tellDamage() {
	if r, p := s.damagedRecords.Load(), s.damagedParcels.Load(); r+p > problemsMax {
		s.tell("history: %s: %d records and %d groups of records are damaged and left out; check the disk",
			s.cfg.Path, r, p)
	}
}

func readBucketName(name []byte) (k history.Key, ok bool) {
	if len(name) < 2 || name[0] > byte(codec.Wildcard) {
		return k, false
	}
	n, size := binary.Uvarint(name[1:])
	rest := name[1:]
	if size <= 0 || n > uint64(len(rest)-size) {
		return k, false
	}
	rest = rest[size:]
	return history.Key{Realm: string(rest[:n]), URI: string(rest[n:]), Match: codec.Match(name[0])}, true
}

func fileBytes(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
