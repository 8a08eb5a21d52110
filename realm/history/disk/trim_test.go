package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/realm/history"
)

// trimCount is what three commits drop.
const trimCount = 2*trimAtOnce + 100

// filled returns a store whose log has trimCount records, each of so many bytes.
func filled(t *testing.T, c Config) (s *Store, l history.Log, size int64) {
	t.Helper()
	s = openTest(t, c)
	l = openLog(t, s, topicKey, history.Bounds{Events: 1 << 20})
	for i := range uint64(trimCount) {
		if err := s.Append(event(i+1, "[1]"), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, s)
	return s, l, s.Stats().Bytes / trimCount
}

// TestTrim: PUB-53. If the bounds of a log become smaller, queries find no more events from then on, whatever the
// disk does; the writer drops what is beyond in several commits, and others are stored meanwhile. Trim waits for
// that.
func TestTrim(t *testing.T) {
	t.Attr("checklist", "PUB-53")
	for _, bytes := range []bool{false, true} {
		s, l, size := filled(t, Config{})
		before := s.Stats()
		b := history.Bounds{Events: 3}
		if bytes {
			b = history.Bounds{Events: 1 << 20, Bytes: 3 * size}
		}
		openLog(t, s, topicKey, b)
		if !bytes {
			for _, reverse := range []bool{false, true} {
				var got []uint64
				for _, e := range query(t, s, l, &history.Query{Reverse: reverse}) {
					got = append(got, e.Publication)
				}
				slices.Sort(got)
				if !slices.Equal(got, []uint64{trimCount - 2, trimCount - 1, trimCount}) {
					t.Errorf("found %d events, %v", len(got), got[:min(len(got), 5)])
				}
			}
			if span, err := s.Span(l); err != nil || !span.Trimmed {
				t.Errorf("%+v, %v", span, err)
			}
		}
		w := &witness{told: make(chan struct{}, 1)}
		if err := s.Append(event(trimCount+1, "[1]"), []history.Log{l}, w); err != nil {
			t.Fatal(err)
		}
		if err := s.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-w.told
		if got := stored(t, s, l); w.errs[0] != nil ||
			!slices.Equal(got, []uint64{trimCount - 1, trimCount, trimCount + 1}) {
			t.Errorf("found %v, %v", got, w.errs)
		}
		st := s.Stats()
		if st.Records != 3 || st.Bytes != 3*size || st.Trimmed-before.Trimmed != trimCount-2 {
			t.Errorf("%+v", st)
		}
		if n := st.Commits - before.Commits; n < 3 {
			t.Errorf("%d commits", n)
		}
		if err := s.Trim(t.Context()); err != nil || s.Stats().Commits != st.Commits {
			t.Errorf("nothing to trim: %v, %d commits", err, s.Stats().Commits-st.Commits)
		}
	}
}

// TestTrimWithAppended: a commit that adds many records drops as many, so that the bounds hold after it.
func TestTrimWithAppended(t *testing.T) {
	s := openTest(t, Config{Gather: time.Hour, BatchBytes: 1 << 30})
	l := openLog(t, s, topicKey, history.Bounds{Events: 3})
	flush(t, s)
	for i := range uint64(trimCount) {
		if err := s.Append(event(i+1, "[1]"), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	commits := s.Stats().Commits
	flush(t, s)
	if st := s.Stats(); st.Records != 3 || st.Commits != commits+1 {
		t.Errorf("%d records after %d commits", st.Records, st.Commits-commits)
	}
}

// TestExpireMany: events that are too old go in several commits too, without being asked for again.
func TestExpireMany(t *testing.T) {
	s, l, _ := filled(t, Config{})
	openLog(t, s, topicKey, history.Bounds{Events: 1 << 20, Age: 1000})
	before := s.Stats().Commits
	s.Expire(time.Unix(0, trimCount))
	for flushes := 0; s.Stats().Expired < trimCount-1000; flushes++ {
		if flushes > 3 {
			t.Fatalf("%+v", s.Stats())
		}
		flush(t, s)
	}
	if st := s.Stats(); st.Records != 1000 || st.Expired != trimCount-1000 || st.Commits-before < 2 {
		t.Errorf("%+v", st)
	}
	if got := query(t, s, l, &history.Query{Now: time.Unix(0, trimCount)}); len(got) != 1000 {
		t.Errorf("%d events", len(got))
	}
}

// TestTrimFails: if the disk cannot be written, Trim says so, and queries keep to the number of events all the same.
// Expire tries again.
func TestTrimFails(t *testing.T) {
	d := &faultyDisk{t: t}
	var told texts
	s, l, _ := filled(t, Config{
		Path: filepath.Join(t.TempDir(), "history.db"), Gather: -1, Report: told.report, opened: d.opened,
	})
	// Free pages, so that the file does not have to grow.
	other := history.Key{Realm: "realm1", URI: "com.other"}
	if err := s.Append(event(1, strings.Repeat("1", 4<<20)), []history.Log{openLog(t, s, other, history.Bounds{})},
		nil); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if err := s.Purge(other); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	d.replace("/dev/full", os.O_RDWR)
	openLog(t, s, topicKey, history.Bounds{Events: 3})
	if err := s.Trim(t.Context()); err == nil {
		t.Error("it is trimmed on a disk that is full")
	}
	if got := stored(t, s, l); len(got) != 3 {
		t.Errorf("found %d", len(got))
	}
	if all := told.take(); len(all) != 1 || !strings.Contains(all[0], "is full") {
		t.Errorf("told %q", all)
	}
	d.repair()
	flush(t, s)
	if n := s.Stats().Records; n != trimCount {
		t.Errorf("%d records", n)
	}
	s.Expire(time.Unix(0, 0))
	if err := s.Trim(t.Context()); err != nil || s.Stats().Records != 3 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
}

// TestTrimEnds: Trim waits no longer than its context and not for a store that is closed; then the next Open goes on.
func TestTrimEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s, _, _ := filled(t, Config{Path: path})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	// The writer is kept in Committed, before it trims.
	hold := make(chan struct{})
	entered := make(chan struct{})
	w := &witness{at: func() { close(entered); <-hold }}
	if err := s.Append(event(1<<20, "[1]"), []history.Log{0}, w); err != nil {
		t.Fatal(err)
	}
	<-entered
	openLog(t, s, topicKey, history.Bounds{Events: 3})
	if err := s.Trim(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.queue.close()
	close(hold)
	if err := s.Trim(t.Context()); !errors.Is(err, history.ErrClosed) {
		t.Error(err)
	}
	closeStore(t, s)
	if n := s.Stats().Records; n != trimCount+1-trimAtOnce {
		t.Errorf("%d records are left", n)
	}
	s = openTest(t, Config{Path: path})
	l := openLog(t, s, topicKey, history.Bounds{Events: 3})
	if err := s.Trim(t.Context()); err != nil || len(stored(t, s, l)) != 3 || s.Stats().Records != 3 {
		t.Errorf("%v, %+v", err, s.Stats())
	}
}
