package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// fill makes a file with count events, all in one parcel if count is small, and returns its path.
func fill(t *testing.T, count int, payload func(i int) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path, Gather: time.Hour})
	l := openLog(t, s, topicKey, history.Bounds{})
	flush(t, s)
	for i := range count {
		if err := s.Append(event(uint64(i+1), payload(i)), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	return path
}

// alter changes the octets of the file: the only place where old is becomes new.
func alter(t *testing.T, path, old, changed string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte(old)); n != 1 {
		t.Fatalf("%q is %d times in the file", old, n)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(changed), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedRecord: one octet of one record is wrong. It is reported and left out, in both directions; the others
// are served; and it goes in its turn, so that the bound of the log is kept.
func TestDamagedRecord(t *testing.T) {
	path := fill(t, 5, func(i int) string { return "[\"number-" + string(rune('A'+i)) + "\"]" })
	alter(t, path, "number-C", "number-X")
	var told texts
	s := openTest(t, Config{Path: path, Report: told.report})
	if all := told.take(); len(all) != 1 || !strings.Contains(all[0], `record 2 of "com.example.topic"`) {
		t.Errorf("reports are %q", all)
	}
	if st := s.Stats(); st.DamagedRecords != 1 || st.DamagedParcels != 0 || st.Records != 5 {
		t.Errorf("stats are %+v", st)
	}
	l := openLog(t, s, topicKey, history.Bounds{})
	if ids := stored(t, s, l); !slices.Equal(ids, []uint64{1, 2, 4, 5}) {
		t.Errorf("events are %d", ids)
	}
	if got := query(t, s, l, &history.Query{Reverse: true}); len(got) != 4 || got[1].Publication != 4 {
		t.Errorf("in reverse: %d events", len(got))
	}
	if s.Stats().ReadErrors != 2 {
		t.Errorf("%d read errors", s.Stats().ReadErrors)
	}
	openLog(t, s, topicKey, history.Bounds{Events: 3})
	flush(t, s)
	if ids := stored(t, s, l); !slices.Equal(ids, []uint64{4, 5}) {
		t.Errorf("events are %d", ids)
	}
	openLog(t, s, topicKey, history.Bounds{Events: 2})
	if err := s.Append(event(6, "6"), []history.Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if ids := stored(t, s, l); !slices.Equal(ids, []uint64{5, 6}) {
		t.Errorf("events are %d", ids)
	}
}

// TestDamagedParcel: the head of a parcel is wrong. Its records are gone, those before and after it are served, and
// new ones follow.
func TestDamagedParcel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path})
	l := openLog(t, s, topicKey, history.Bounds{})
	for i := range uint64(6) {
		if err := s.Append(event(i+1, "1"), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
		if i%2 == 1 {
			flush(t, s)
		}
	}
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLogs).Bucket(bucketName(topicKey))
		v := bytes.Clone(b.Get(parcelKey(2)))
		v[1] ^= 1 // the number of records
		return b.Put(parcelKey(2), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)

	var told texts
	s = openTest(t, Config{Path: path, Report: told.report})
	if all := told.take(); len(all) != 1 || !strings.Contains(all[0], "a group of records") ||
		!strings.Contains(all[0], "number 2 on") {
		t.Errorf("reports are %q", all)
	}
	if st := s.Stats(); st.DamagedParcels != 1 || st.Records != 4 {
		t.Errorf("stats are %+v", st)
	}
	l = openLog(t, s, topicKey, history.Bounds{})
	want := []uint64{1, 2, 5, 6}
	if ids := stored(t, s, l); !slices.Equal(ids, want) {
		t.Errorf("events are %d", ids)
	}
	got := query(t, s, l, &history.Query{Reverse: true})
	slices.Reverse(got)
	for i := range got {
		if got[i].Publication != want[i] {
			t.Errorf("in reverse, %d from the end is %d", i, got[i].Publication)
		}
	}
	// Trimming goes over the place, twice.
	for i := range uint64(2) {
		openLog(t, s, topicKey, history.Bounds{Events: 3})
		if err := s.Append(event(7+i, "1"), []history.Log{l}, nil); err != nil {
			t.Fatal(err)
		}
		flush(t, s)
	}
	if ids := stored(t, s, l); !slices.Equal(ids, []uint64{6, 7, 8}) {
		t.Errorf("events are %d", ids)
	}
	if st := s.Stats(); st.Records != 3 || st.Trimmed != 3 {
		t.Errorf("stats are %+v", st)
	}
}

// TestManyDamaged: the first few are told one by one, then how many there are.
func TestManyDamaged(t *testing.T) {
	for _, n := range []int{problemsMax, problemsMax + 1} {
		path := fill(t, n, func(i int) string { return "[\"number-" + string(rune('A'+i)) + "\"]" })
		for i := range n {
			alter(t, path, "number-"+string(rune('A'+i)), "number--")
			alter(t, path, "number--", "-number-") // so that it is found once only
		}
		var told texts
		s := openTest(t, Config{Path: path, Report: told.report})
		all := told.take()
		if n > problemsMax {
			if last := all[len(all)-1]; !strings.Contains(last, "11 records") {
				t.Errorf("the last report is %q", last)
			}
		}
		if len(all) != n {
			t.Errorf("%d reports for %d records", len(all), n)
		}
		if ids := stored(t, s, openLog(t, s, topicKey, history.Bounds{})); len(ids) != 0 {
			t.Errorf("events are %d", ids)
		}
	}
}

// TestDamagedFile: a file that is none, or only the beginning of one, is renamed and history begins anew; a second
// one is not renamed over the first.
func TestDamagedFile(t *testing.T) {
	long := func(int) string { return strings.Repeat("1", 20_000) }
	damages := map[string]func(t *testing.T, path string){
		"garbage": func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("garbage "), 9000), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"short": func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"torn": func(t *testing.T, path string) {
			if err := os.Truncate(path, 4*4096); err != nil {
				t.Fatal(err)
			}
		},
		"foreign": func(t *testing.T, path string) {
			_ = os.Remove(path)
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			err = db.Update(func(tx *bbolt.Tx) error {
				_, err := tx.CreateBucket([]byte("something"))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := fill(t, 40, long)
			damage(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var told texts
			s := openTest(t, Config{Path: path, Report: told.report})
			if all := told.take(); len(all) != 1 || !strings.Contains(all[0], "it is now "+path+".damaged") {
				t.Errorf("reports are %q", all)
			}
			if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, before) {
				t.Errorf("what was damaged is not kept: %v", err)
			}
			l := openLog(t, s, topicKey, history.Bounds{})
			if err := s.Append(event(1, "1"), []history.Log{l}, nil); err != nil {
				t.Fatal(err)
			}
			flush(t, s)
			if ids := stored(t, s, l); !slices.Equal(ids, []uint64{1}) {
				t.Errorf("events are %d", ids)
			}
			closeStore(t, s)
			damage(t, path)
			if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "move one of them") {
				t.Errorf("the second time Open returned %v", err)
			}
		})
	}
}

// TestOpenRefused: what is not the fault of the file leaves it alone.
func TestOpenRefused(t *testing.T) {
	path := fill(t, 1, func(int) string { return "1" })
	s := openTest(t, Config{Path: path})
	_, err := Open(Config{Path: path, lockWait: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "another process uses") {
		t.Errorf("with another process: %v", err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStore).Put(keyFormat, []byte{2}) })
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("with another format: %v", err)
	}
	missing := filepath.Join(t.TempDir(), "missing", "history.db")
	if _, err := Open(Config{Path: missing}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("files are %v: %v", entries, err)
	}
}

// TestReopened: what was dropped stays dropped, numbers go on, and a log that nobody asks for is still there.
func TestReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	other := history.Key{Realm: "r", URI: "", Match: 1}
	for round := range uint64(3) {
		s := openTest(t, Config{Path: path})
		if round > 0 && (len(s.Keys()) != 2 || !slices.Contains(s.Keys(), other)) {
			t.Errorf("keys are %v", s.Keys())
		}
		l := openLog(t, s, topicKey, history.Bounds{Events: 2})
		to := []history.Log{l}
		if round == 0 {
			to = append(to, openLog(t, s, other, history.Bounds{}))
		}
		for i := range uint64(3) {
			if err := s.Append(event(10*round+i+1, "1"), to, nil); err != nil {
				t.Fatal(err)
			}
		}
		closeStore(t, s)
		s = openTest(t, Config{Path: path})
		l = openLog(t, s, topicKey, history.Bounds{Events: 2})
		if ids := stored(t, s, l); !slices.Equal(ids, []uint64{10*round + 2, 10*round + 3}) {
			t.Errorf("round %d: events are %d", round, ids)
		}
		if span, _ := s.Span(l); span.First != 3*round+1 || span.Next != 3*round+3 || !span.Trimmed {
			t.Errorf("round %d: %+v", round, span)
		}
		if err := s.Append(event(1, "1"), []history.Log{99}, nil); !errors.Is(err, history.ErrNoLog) {
			t.Errorf("a log that is none: %v", err)
		}
		closeStore(t, s)
	}
	s := openTest(t, Config{Path: path})
	if err := s.Purge(other); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(history.Key{Realm: "nobody's"}); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if ids := stored(t, s, openLog(t, s, other, history.Bounds{})); len(ids) != 0 || s.Stats().Records != 2 {
		t.Errorf("after the purge: %d, %+v", ids, s.Stats())
	}
}
