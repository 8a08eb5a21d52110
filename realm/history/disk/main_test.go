package disk

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"banyan/codec"
	"banyan/realm/history"
)

// TestMain is also the program that TestKill kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(killPath); path != "" {
		writeUntilKilled(path)
	}
	goleak.VerifyTestMain(m)
}

// openTest opens a store in a directory of the test; it is closed at the end.
func openTest(t testing.TB, c Config) *Store {
	t.Helper()
	if c.Path == "" {
		c.Path = filepath.Join(t.TempDir(), "history.db")
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func openLog(t testing.TB, s history.Store, k history.Key, b history.Bounds) history.Log {
	t.Helper()
	l, err := s.Log(k, b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func flush(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

func event(publication uint64, payload string) *history.Event {
	return &history.Event{
		Publication: publication, Time: int64(publication), Topic: []byte("com.example.topic"),
		Payload: codec.Payload{Format: codec.JSON, Args: []byte(payload)},
	}
}

var topicKey = history.Key{Realm: "realm1", URI: "com.example.topic"}

// stored returns the publications of a log, in order.
func stored(t testing.TB, s history.Store, l history.Log) (ids []uint64) {
	t.Helper()
	for _, e := range query(t, s, l, &history.Query{}) {
		ids = append(ids, e.Publication)
	}
	return ids
}

// query returns the answer to q. It reads page by page as the router does.
func query(t testing.TB, s history.Store, l history.Log, q *history.Query) (events []history.Event) {
	t.Helper()
	c := history.NewCursor(s, l, q)
	for done := false; !done; {
		answer := make(chan struct{})
		err := s.Read(c, func(p history.Page, err error) {
			defer close(answer)
			if err != nil {
				t.Error(err)
			}
			events = append(events, p.Events...)
			done = p.Done || err != nil
		})
		if err != nil {
			t.Fatal(err)
		}
		<-answer
	}
	return events
}

// A witness is a history.Waiter that keeps what it is told.
type witness struct {
	mu   sync.Mutex
	ids  []uint64
	errs []error
	told chan struct{} // one for each, if there
	at   func()        // called for each, if there
}

func (w *witness) Committed(publication uint64, err error) {
	w.mu.Lock()
	w.ids = append(w.ids, publication)
	w.errs = append(w.errs, err)
	w.mu.Unlock()
	if w.at != nil {
		w.at()
	}
	if w.told != nil {
		w.told <- struct{}{}
	}
}

// texts keeps what a store reports.
type texts struct {
	mu  sync.Mutex
	all []string
}

func (r *texts) report(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, text)
}

func (r *texts) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}
