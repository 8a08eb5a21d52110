package disk

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// A faultyDisk can put another file in the place of the one that a store has open.
type faultyDisk struct {
	t    *testing.T
	file *os.File
	kept int // the right descriptor
}

func (d *faultyDisk) opened(f *os.File) {
	d.file = f
	var err error
	if d.kept, err = syscall.Dup(int(f.Fd())); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = syscall.Close(d.kept) })
}

func (d *faultyDisk) replace(path string, flag int) {
	d.t.Helper()
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Dup3(int(f.Fd()), int(d.file.Fd()), 0); err != nil {
		d.t.Fatal(err)
	}
}

func (d *faultyDisk) repair() {
	d.t.Helper()
	if err := syscall.Dup3(d.kept, int(d.file.Fd()), 0); err != nil {
		d.t.Fatal(err)
	}
}

// TestDiskFails: while the disk is full, or cannot be written, events are refused with words that say why, and
// counted; what was stored is served; when the reason is gone storing goes on, and what is stored is in order, once.
// Twice.
func TestDiskFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		path  func(own string) string
		flag  int
		errno syscall.Errno
		words string
	}{
		{"full", func(string) string { return "/dev/full" }, os.O_RDWR, syscall.ENOSPC, "is full: make room"},
		{"not synced", func(string) string { return os.DevNull }, os.O_RDWR, syscall.EINVAL, "cannot be written"},
		{"read-only", func(own string) string { return own }, os.O_RDONLY, syscall.EBADF, "mounted read-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &faultyDisk{t: t}
			var told texts
			path := filepath.Join(t.TempDir(), "history.db")
			s := openTest(t, Config{Path: path, Gather: -1, Report: told.report, opened: d.opened})
			l := openLog(t, s, topicKey, history.Bounds{})
			to := []history.Log{l}
			// Free pages, so that the file does not have to grow.
			if err := s.Append(event(999, strings.Repeat("1", 1<<20)), to, nil); err != nil {
				t.Fatal(err)
			}
			flush(t, s)
			if err := s.Purge(topicKey); err != nil {
				t.Fatal(err)
			}
			flush(t, s)
			var want []uint64
			for round := range uint64(2) {
				id := 100*round + 1
				w := &witness{}
				if err := s.Append(event(id, "1"), to, w); err != nil {
					t.Fatal(err)
				}
				flush(t, s)
				want = append(want, id)

				d.replace(c.path(path), c.flag)
				for i := range uint64(3) {
					if err := s.Append(event(id+1+i, "lost"), to, w); err != nil {
						t.Fatal(err)
					}
					flush(t, s)
				}
				if !slices.Equal(w.ids, []uint64{id, id + 1, id + 2, id + 3}) || w.errs[0] != nil {
					t.Fatalf("told of %d: %v", w.ids, w.errs)
				}
				for _, err := range w.errs[1:] {
					if !errors.Is(err, c.errno) || !strings.Contains(err.Error(), c.words) {
						t.Errorf("told %v", err)
					}
				}
				if ids := stored(t, s, l); !slices.Equal(ids, want) {
					t.Errorf("while it fails, events are %d, want %d", ids, want)
				}
				st := s.Stats()
				n := int64(3 * (round + 1))
				if st.CommitErrors < n || st.Lost != n || st.Records != int64(len(want)) {
					t.Errorf("stats are %+v", st)
				}

				d.repair()
				if err := s.Append(event(id+9, "9"), to, nil); err != nil {
					t.Fatal(err)
				}
				flush(t, s)
				want = append(want, id+9)
				if ids := stored(t, s, l); !slices.Equal(ids, want) {
					t.Errorf("afterwards, events are %d, want %d", ids, want)
				}
				all := told.take()
				if len(all) != 2 || !strings.Contains(all[0], c.words) ||
					!strings.Contains(all[1], "written again; 3 events were not kept") {
					t.Errorf("reports are %q", all)
				}
			}
			closeStore(t, s)
			s = openTest(t, Config{Path: path, Report: told.report})
			if ids := stored(t, s, openLog(t, s, topicKey, history.Bounds{})); !slices.Equal(ids, want) {
				t.Errorf("reopened, events are %d, want %d", ids, want)
			}
		})
	}
}

// TestDiskGone: the file becomes empty while it is mapped. Reading it is a fault of memory, which is told as an
// error; writing ends for good, and the router goes on.
func TestDiskGone(t *testing.T) {
	var told texts
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path, Report: told.report})
	l := openLog(t, s, topicKey, history.Bounds{})
	to := []history.Log{l}
	if err := s.Append(event(1, strings.Repeat("1", 100_000)), to, nil); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := readAll(s, l, &history.Query{}); !errors.Is(err, history.ErrBroken) {
			t.Errorf("the query returned %v", err)
		}
	}
	for range 2 {
		if err := s.Append(event(3, "3"), to, nil); !errors.Is(err, history.ErrBroken) {
			t.Errorf("Append returned %v", err)
		}
	}
	flush(t, s) // the writer does not touch the file
	if st := s.Stats(); st.ReadErrors != 2 || st.RefusedBroken != 2 {
		t.Errorf("stats are %+v", st)
	}
	if all := told.take(); len(all) != 1 || !strings.Contains(all[0], "is damaged") {
		t.Errorf("reports are %q", all)
	}
	closeStore(t, s)

	// The next start sets it aside: it is empty, so that there is nothing to keep.
	s = openTest(t, Config{Path: path, Report: told.report})
	if ids := stored(t, s, openLog(t, s, topicKey, history.Bounds{})); len(ids) != 0 {
		t.Errorf("events are %d", ids)
	}
}

// TestDiskGoneWhileWriting: the writer is the one that finds out. Who waits is told.
func TestDiskGoneWhileWriting(t *testing.T) {
	var told texts
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path, Gather: -1, Report: told.report})
	l := openLog(t, s, topicKey, history.Bounds{})
	g := hold(t, s, l, 1)
	w := &witness{}
	for id := uint64(2); id < 5; id++ {
		if err := s.Append(event(id, "1"), []history.Log{l}, w); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	close(g.gate)
	flush(t, s)
	if len(w.errs) != 3 || !errors.Is(w.errs[0], history.ErrBroken) || !errors.Is(w.errs[2], history.ErrBroken) {
		t.Errorf("told %v", w.errs)
	}
	if st := s.Stats(); st.Lost != 3 || st.CommitErrors != 1 {
		t.Errorf("stats are %+v", st)
	}
	if all := told.take(); len(all) != 1 || !strings.Contains(all[0], "is damaged") {
		t.Errorf("reports are %q", all)
	}
}

// TestBrokenWhileWriting: if a reader finds the damage and the writer does not come back from the database, those
// whose events it has are told all the same.
func TestBrokenWhileWriting(t *testing.T) {
	s := openTest(t, Config{Gather: -1})
	l := openLog(t, s, topicKey, history.Bounds{})
	flush(t, s)
	tx, err := s.db.Begin(true) // nobody else can write
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{told: make(chan struct{}, 1)}
	if err := s.Append(event(1, "1"), []history.Log{l}, w); err != nil {
		t.Fatal(err)
	}
	for taken := 0; taken == 0; time.Sleep(time.Millisecond) {
		s.queue.mu.Lock()
		taken = s.queue.takenRecords
		s.queue.mu.Unlock()
	}
	s.breaks(&damage{"test"})
	<-w.told
	flush(t, s)
	if st := s.Stats(); !errors.Is(w.errs[0], history.ErrBroken) || st.Lost != 1 || st.CommitErrors > 1 {
		t.Errorf("told %v, %+v", w.errs, st)
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
}

// gated makes the writer wait in Committed until the gate opens.
type gated struct{ in, gate chan struct{} }

func newGate() gated { return gated{make(chan struct{}), make(chan struct{})} }

func (g gated) Committed(uint64, error) {
	g.in <- struct{}{}
	<-g.gate
}

// hold appends an event and returns when the writer waits for the gate, all before being committed.
func hold(t *testing.T, s *Store, l history.Log, id uint64) gated {
	t.Helper()
	flush(t, s)
	g := newGate()
	if err := s.Append(event(id, "1"), []history.Log{l}, g); err != nil {
		t.Fatal(err)
	}
	<-g.in
	return g
}

// TestDoubtful: a commit fails after it was written, or before. The next one finds out; events that are there are
// served once and in order, and their numbers are not given again; those that are not leave no gap.
func TestDoubtful(t *testing.T) {
	errTest := errors.New("test")
	for _, written := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "history.db")
		s := openTest(t, Config{Path: path, Gather: -1})
		l := openLog(t, s, topicKey, history.Bounds{Events: 3})
		g := hold(t, s, l, 1)
		// The writer waits: its state is ours.
		var b batch
		for id := uint64(2); id <= 4; id++ {
			b.logs = append(b.logs, l)
			b.entries = append(b.entries, entry{own: history.AppendRecord(nil, event(id, "1")), to: 1})
		}
		p := &plan{store: s, logs: make(map[*log]*planned)}
		err := s.db.Update(func(tx *bbolt.Tx) error {
			if err := p.write(tx, &b); err != nil || written {
				return err
			}
			return errTest
		})
		if written != (err == nil) {
			t.Fatal(err)
		}
		s.writer.doubt = p
		if ids := stored(t, s, l); written && len(ids) > 1 || !written && !slices.Equal(ids, []uint64{1}) {
			t.Errorf("written %t, in doubt: events are %d", written, ids)
		}
		close(g.gate)
		if err := s.Append(event(5, "1"), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
		want, next := []uint64{1, 5}, uint64(2)
		if written {
			want, next = []uint64{3, 4, 5}, 5
		}
		for range 2 {
			ids := stored(t, s, l)
			span, _ := s.Span(l)
			if st := s.Stats(); !slices.Equal(ids, want) || span.Next != next || st.Records != int64(len(want)) {
				t.Errorf("written %t: events are %d, %+v, %+v", written, ids, span, st)
			}
			closeStore(t, s)
			s = openTest(t, Config{Path: path})
			l = openLog(t, s, topicKey, history.Bounds{Events: 3})
		}
	}
}
