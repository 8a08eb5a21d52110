package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/history"
)

// TestQueueRecords: while the disk is busy so many records are accepted and not one more; all are written in one
// commit; then there is room again. Twice.
func TestQueueRecords(t *testing.T) {
	const most = 6
	s := openTest(t, Config{Gather: -1, QueueRecordsMax: most})
	l := openLog(t, s, topicKey, history.Bounds{})
	other := openLog(t, s, history.Key{Realm: "r", URI: "com.", Match: codec.Prefix}, history.Bounds{})
	for round := range uint64(2) {
		g := hold(t, s, l, 100*round+1)
		commits := s.Stats().Commits
		// What the writer is at counts until it is released.
		w := &witness{}
		for i := range uint64(most-1) / 2 {
			if err := s.Append(event(100*round+2+i, "1"), []history.Log{l, other}, w); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(event(900, "1"), []history.Log{l, other}, w); !errors.Is(err, history.ErrFull) {
			t.Errorf("round %d: one too many returned %v", round, err)
		}
		if err := s.Append(event(100*round+4, "1"), []history.Log{l}, w); err != nil {
			t.Errorf("round %d: the last one returned %v", round, err)
		}
		if err := s.Append(event(900, "1"), []history.Log{l}, w); !errors.Is(err, history.ErrFull) {
			t.Errorf("round %d: one too many returned %v", round, err)
		}
		if st := s.Stats(); st.RefusedFull != int64(2*(round+1)) || st.QueuedBytes == 0 {
			t.Errorf("round %d: stats are %+v", round, st)
		}
		var during []int64
		w.at = func() { during = append(during, s.Stats().Commits) }
		close(g.gate)
		flush(t, s)
		want := []uint64{100*round + 2, 100*round + 3, 100*round + 4}
		if !slices.Equal(w.ids, want) || !slices.Equal(during, []int64{commits + 1, commits + 1, commits + 1}) {
			t.Errorf("round %d: told %d, after commits %d", round, w.ids, during)
		}
		if n := s.Stats().QueuedBytes; n != 0 {
			t.Errorf("round %d: %d octets are queued", round, n)
		}
	}
	if ids := stored(t, s, other); !slices.Equal(ids, []uint64{2, 3, 102, 103}) {
		t.Errorf("events are %d", ids)
	}
}

// TestQueueBytes: the same for octets.
func TestQueueBytes(t *testing.T) {
	e := event(1, strings.Repeat("1", 1000))
	room := history.RecordRoom(e)
	s := openTest(t, Config{Gather: -1, QueueBytesMax: 4 * room})
	l := openLog(t, s, topicKey, history.Bounds{})
	for round := range 2 {
		// What the writer is at counts until it is released.
		g := newGate()
		if err := s.Append(e, []history.Log{l}, g); err != nil {
			t.Fatal(err)
		}
		<-g.in
		queued := int(s.Stats().QueuedBytes)
		n := 0
		for s.Append(e, []history.Log{l}, nil) == nil {
			n++
		}
		// Records are shorter than their room; the bound is on what is there and the room of the next.
		length := len(history.AppendRecord(nil, e))
		if want := (4*room-queued-room)/length + 1; n != want {
			t.Errorf("round %d: %d were accepted, want %d", round, n, want)
		}
		close(g.gate)
		flush(t, s)
	}
	e.Payload.Args = []byte(strings.Repeat("1", 5*room))
	if err := s.Append(e, []history.Log{l}, nil); !errors.Is(err, history.ErrTooLarge) {
		t.Errorf("larger than the queue: %v", err)
	}
}

// TestGather: with few octets a record waits for others, for so long; with many it does not.
func TestGather(t *testing.T) {
	e := event(1, strings.Repeat("1", 1000))
	length := len(history.AppendRecord(nil, e))
	s := openTest(t, Config{Gather: time.Hour, BatchBytes: 3 * length})
	l := openLog(t, s, topicKey, history.Bounds{})
	flush(t, s)
	for round := range 2 {
		commits := s.Stats().Commits
		w := &witness{told: make(chan struct{}, 9)}
		for range 3 {
			if err := s.Append(e, []history.Log{l}, w); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			<-w.told
		}
		if n := s.Stats().Commits - commits; n != 1 {
			t.Errorf("round %d: %d commits", round, n)
		}
	}
	if err := s.Append(e, []history.Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s) // it does not wait an hour
	if st := s.Stats(); st.Appended != 7 {
		t.Errorf("stats are %+v", st)
	}

	s = openTest(t, Config{Gather: 3 * time.Millisecond})
	l = openLog(t, s, topicKey, history.Bounds{})
	w := &witness{told: make(chan struct{}, 9)}
	for range 2 {
		if err := s.Append(e, []history.Log{l}, w); err != nil {
			t.Fatal(err)
		}
		<-w.told // nobody has to ask for it
	}
}

// TestOrder: many goroutines append. The events of each are in its order, in the log and in what is told. For the
// race detector, too.
func TestOrder(t *testing.T) {
	const writers, each = 4, 500
	s := openTest(t, Config{Gather: -1})
	l := openLog(t, s, topicKey, history.Bounds{Events: writers * each})
	w := &witness{}
	var wg sync.WaitGroup
	for i := range uint64(writers) {
		wg.Go(func() {
			for n := range uint64(each) {
				if err := s.Append(event(i*each+n+1, "1"), []history.Log{l}, w); err != nil {
					t.Error(err)
				}
				if n%100 == 0 {
					readAll(s, l, &history.Query{Limit: 5, Reverse: n%200 == 0})
					s.Expire(time.Unix(0, 0))
				}
			}
		})
	}
	wg.Wait()
	flush(t, s)
	ids := stored(t, s, l)
	if !slices.Equal(ids, w.ids) {
		t.Errorf("the log and what was told differ")
	}
	var next [writers]uint64
	for _, id := range ids {
		i := (id - 1) / each
		if n := (id - 1) % each; n != next[i] {
			t.Fatalf("event %d of goroutine %d comes when %d is due", n, i, next[i])
		}
		next[i]++
	}
	if len(ids) != writers*each {
		t.Errorf("%d events", len(ids))
	}
}

// TestOrderOfOrders: in one commit, too, what is to be done happens in its place among the events.
func TestOrderOfOrders(t *testing.T) {
	s := openTest(t, Config{})
	l := openLog(t, s, topicKey, history.Bounds{})
	g := hold(t, s, l, 1)
	for _, id := range []uint64{2, 3} {
		if err := errors.Join(s.Append(event(id, "1"), []history.Log{l}, nil), s.Purge(topicKey)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(event(4, "1"), []history.Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	close(g.gate)
	flush(t, s)
	if got := stored(t, s, l); !slices.Equal(got, []uint64{4}) {
		t.Errorf("events are %d", got)
	}
}

// TestQueueRoom: an event that fills the queue alone is taken, and not one that has an octet more; so many orders
// wait for a commit, and not one more.
func TestQueueRoom(t *testing.T) {
	e := event(1, "1")
	for _, less := range []int{0, 1} {
		s := openTest(t, Config{QueueBytesMax: history.RecordRoom(e) - less})
		err := s.Append(e, []history.Log{openLog(t, s, topicKey, history.Bounds{})}, nil)
		if (less > 0) != errors.Is(err, history.ErrTooLarge) {
			t.Errorf("%d octets less: %v", less, err)
		}
	}
	s := openTest(t, Config{})
	g := hold(t, s, openLog(t, s, topicKey, history.Bounds{}), 1)
	for n := range ordersMax + 1 {
		err := s.queue.putOrder(order{kind: orderFlush})
		if (n == ordersMax) != errors.Is(err, history.ErrFull) {
			t.Errorf("order %d: %v", n, err)
		}
	}
	close(g.gate)
}

// TestCloseWaitsForReads: the file is not closed under a reader.
func TestCloseWaitsForReads(t *testing.T) {
	s := openTest(t, Config{})
	s.readings.Add(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close returned %v", err)
	}
	s.readings.Done()
}

// TestReadsBound: more pages than readsMax at once are refused; then there is room again.
func TestReadsBound(t *testing.T) {
	s := openTest(t, Config{})
	l := openLog(t, s, topicKey, history.Bounds{})
	for range 2 {
		// All readers are busy.
		for range readersMax {
			s.readers <- struct{}{}
		}
		var wg sync.WaitGroup
		for range readsMax {
			wg.Add(1)
			err := s.Read(history.NewCursor(s, l, &history.Query{}), func(_ history.Page, err error) {
				defer wg.Done()
				if err != nil {
					t.Error(err)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		refused := s.Stats().RefusedReads
		err := s.Read(history.NewCursor(s, l, &history.Query{}), func(history.Page, error) { t.Error("it was read") })
		if !errors.Is(err, history.ErrBusy) || s.Stats().RefusedReads != refused+1 {
			t.Errorf("one too many returned %v", err)
		}
		for range readersMax {
			<-s.readers
		}
		wg.Wait()
		for s.reading.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// TestClosed: nothing is accepted any more, what was accepted is durable, and a disk that hangs does not hold Close.
func TestClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path, Gather: time.Hour})
	l := openLog(t, s, topicKey, history.Bounds{})
	w := &witness{}
	if err := s.Append(event(1, "1"), []history.Log{l}, w); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if len(w.errs) != 1 || w.errs[0] != nil {
		t.Errorf("told %v", w.errs)
	}
	_, logErr := s.Log(topicKey, history.Bounds{})
	for i, err := range []error{
		s.Append(event(2, "2"), []history.Log{l}, nil), s.Flush(), s.Purge(topicKey), logErr,
		s.Read(history.NewCursor(s, l, &history.Query{}), nil),
	} {
		if !errors.Is(err, history.ErrClosed) {
			t.Errorf("call %d returned %v", i, err)
		}
	}
	if _, _, err := readAll(s, l, &history.Query{}); err == nil {
		t.Error("a closed file can be read")
	}
	closeStore(t, s)

	s = openTest(t, Config{Path: path})
	g := hold(t, s, openLog(t, s, topicKey, history.Bounds{}), 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Close returned %v", err)
	}
	close(g.gate)
	closeStore(t, s)
}

// TestStoreBound: the bytes of the store are a bound, the oldest of all logs go first, and the file does not grow
// when ten times as much goes through it. PUB-53.
func TestStoreBound(t *testing.T) {
	const bytesMax = 2 << 20
	path := filepath.Join(t.TempDir(), "history.db")
	s := openTest(t, Config{Path: path, BytesMax: bytesMax, Gather: -1})
	var logs []history.Log
	for i := range 3 {
		k := history.Key{Realm: "r", URI: fmt.Sprintf("log%d", i)}
		logs = append(logs, openLog(t, s, k, history.Bounds{Events: 1 << 30}))
	}
	payload := strings.Repeat("1", 1000)
	size := int64(len(history.AppendRecord(nil, event(1<<20, payload)))) + history.RecordOverhead
	id := uint64(1 << 20)
	const rounds = 60
	for round := range rounds {
		for range 512 {
			if err := s.Append(event(id, payload), logs[id%3:][:1], nil); err != nil {
				t.Fatal(err)
			}
			id++
		}
		flush(t, s)
		st := s.Stats()
		if st.Bytes > bytesMax || round > 4 && st.Bytes+size <= bytesMax {
			t.Fatalf("round %d: %d octets", round, st.Bytes)
		}
		var all []uint64
		for _, l := range logs {
			all = append(all, stored(t, s, l)...)
		}
		slices.Sort(all)
		for i, got := range all {
			if want := id - uint64(len(all)) + uint64(i); got != want {
				t.Fatalf("round %d: event %d is kept, and %d is not", round, got, want)
			}
		}
		if len(all) != int(st.Records) {
			t.Errorf("round %d: %d events of %d", round, len(all), st.Records)
		}
	}
	if st := s.Stats(); st.Evicted != rounds*512-st.Records || st.FileBytes > 8*bytesMax {
		t.Errorf("stats are %+v", st)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info, err)
	}
	large := event(1, strings.Repeat("1", bytesMax))
	if err := s.Append(large, logs[:1], nil); !errors.Is(err, history.ErrTooLarge) {
		t.Errorf("larger than the store: %v", err)
	}
}
