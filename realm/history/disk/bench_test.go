package disk

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"banyan/realm/history"
)

// parcels returns how many parcels a log has.
func parcels(t testing.TB, s *Store, k history.Key) (n int) {
	t.Helper()
	err := s.db.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket(bucketLogs).Bucket(bucketName(k)).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkDiskAppend measures one record until it is durable, in batches as they come.
func BenchmarkDiskAppend(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			s := openTest(b, Config{})
			to := []history.Log{openLog(b, s, topicKey, history.Bounds{Events: 100_000})}
			e := event(1, strings.Repeat("1", size))
			b.ReportAllocs()
			commits := s.Stats().Commits
			for b.Loop() {
				for errors.Is(s.Append(e, to, nil), history.ErrFull) {
					runtime.Gosched()
				}
			}
			flush(b, s)
			b.ReportMetric(float64(b.N)/float64(s.Stats().Commits-commits), "records/commit")
		})
	}
}

// TestAppendAllocs: the caller's side of Append allocates nothing.
func TestAppendAllocs(t *testing.T) {
	s := openTest(t, Config{Gather: -1})
	l := openLog(t, s, topicKey, history.Bounds{})
	to := []history.Log{l}
	e := event(1, strings.Repeat("1", 1000))
	for range 2 { // both batches of the queue
		g := hold(t, s, l, 1)
		for range 2000 {
			if err := s.Append(e, to, nil); err != nil {
				t.Fatal(err)
			}
		}
		close(g.gate)
		flush(t, s)
	}
	g := hold(t, s, l, 1)
	defer close(g.gate)
	if n := testing.AllocsPerRun(1000, func() { _ = s.Append(e, to, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
