package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/history"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay this seed of TestModel; 0: several")
	stepsFlag = flag.Int("steps", 150, "steps of one seed of TestModel")
)

// TestModel feeds both stores and a plain slice the same random events, bounds, expiries, purges, restarts and
// queries, and compares each answer. PUB-41, PUB-42, PUB-43, PUB-44, PUB-45, PUB-46, PUB-47, PUB-49, PUB-52, PUB-53,
// PUB-54.
func TestModel(t *testing.T) {
	for _, kind := range []string{"memory", "disk"} {
		t.Run(kind, func(t *testing.T) {
			if *seedFlag != 0 {
				newWorld(t, kind, *seedFlag).run(*stepsFlag)
				return
			}
			seeds := uint64(3)
			if kind == "memory" {
				seeds = 20
			}
			for seed := range seeds {
				newWorld(t, kind, seed+1).run(*stepsFlag)
			}
		})
	}
}

// A world is one store beside its model.
type world struct {
	*testing.T
	rng   *rand.Rand
	seed  uint64
	store history.Store
	path  string // of a store on disk
	keys  []history.Key
	logs  []history.Log
	model []modelLog
	now   int64
	next  uint64
}

type modelLog struct {
	bounds  history.Bounds
	events  [][]byte // records
	trimmed bool
}

func (m *modelLog) drop() {
	m.events = m.events[1:]
	m.trimmed = true
}

func (m *modelLog) trim() {
	total := int64(0)
	for _, rec := range m.events {
		total += int64(len(rec)) + history.RecordOverhead
	}
	for len(m.events) > 0 && (len(m.events) > m.bounds.Events || total > m.bounds.Bytes) {
		total -= int64(len(m.events[0])) + history.RecordOverhead
		m.drop()
	}
}

var topics = []string{"com.a", "com.a.b", "com.ab", "com.c.b", "org.x.y"}

func newWorld(t *testing.T, kind string, seed uint64) *world {
	w := &world{
		T: t, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, now: 1e18,
		keys: []history.Key{
			{Realm: "r1", URI: "com.a"},
			{Realm: "r1", URI: "com.", Match: codec.Prefix},
			{Realm: "r1", URI: "com..b", Match: codec.Wildcard},
			{Realm: "r2", URI: "com.a"},
		},
	}
	w.model = make([]modelLog, len(w.keys))
	w.logs = make([]history.Log, len(w.keys))
	if kind == "disk" {
		w.path = filepath.Join(t.TempDir(), "history.db")
	} else {
		w.store = history.NewMemory(0)
	}
	w.open()
	for i := range w.keys {
		w.bound(i)
	}
	return w
}

func (w *world) fail(format string, args ...any) {
	w.Helper()
	w.Fatalf("seed %d: %s", w.seed, fmt.Sprintf(format, args...))
}

// open opens a store on disk, again if it was open.
func (w *world) open() {
	if w.path == "" {
		return
	}
	if s, ok := w.store.(*Store); ok {
		closeStore(w, s)
	}
	w.store = openTest(w, Config{Path: w.path, Gather: -1, Report: func(text string) { w.fail("%s", text) }})
	for i, k := range w.keys {
		if w.model[i].bounds.Events != 0 {
			w.logs[i] = openLog(w, w.store, k, w.model[i].bounds)
		}
	}
}

// settle waits for the disk.
func (w *world) settle() {
	if s, ok := w.store.(*Store); ok {
		flush(w, s)
	}
}

func (w *world) bound(i int) {
	w.settle()
	b := history.Bounds{Events: 1 + w.rng.IntN(300), Bytes: int64(2000 + w.rng.IntN(60_000))}
	if w.rng.IntN(2) == 0 {
		b.Age = time.Duration(1000 + w.rng.IntN(50_000))
	}
	w.model[i].bounds = b
	w.model[i].trim()
	w.logs[i] = openLog(w, w.store, w.keys[i], b)
	w.settle()
}

func (w *world) run(steps int) {
	for range steps {
		switch w.rng.IntN(40) {
		case 0:
			w.bound(w.rng.IntN(len(w.keys)))
		case 1:
			w.expire()
		case 2:
			i := w.rng.IntN(len(w.keys))
			w.settle()
			if err := w.store.Purge(w.keys[i]); err != nil {
				w.fail("%v", err)
			}
			w.settle()
			m := &w.model[i]
			m.trimmed = m.trimmed || len(m.events) > 0
			m.events = nil
		case 3:
			w.open()
		default:
			for range w.rng.IntN(20) {
				w.publish()
			}
		}
		w.settle()
		w.ask()
		w.count()
	}
}

func (w *world) expire() {
	w.store.Expire(time.Unix(0, w.now))
	for i := range w.model {
		m := &w.model[i]
		for m.bounds.Age > 0 && len(m.events) > 0 && history.RecordTime(m.events[0]) <= w.now-int64(m.bounds.Age) {
			m.drop()
		}
	}
}

func (w *world) publish() {
	w.next++
	w.now += int64(w.rng.IntN(100))
	e := &history.Event{
		Publication: w.next*7919%1_000_003 + 1, Time: w.now - int64(w.rng.IntN(40)),
		Topic:     []byte(topics[w.rng.IntN(len(topics))]),
		Publisher: codec.Identity{Session: w.rng.Uint64N(1000), AuthID: "joe", AuthRole: "r"},
		Disclosed: w.rng.IntN(2) == 0,
		Payload:   codec.Payload{Format: codec.Serializer(1 + w.rng.IntN(3))},
	}
	if w.rng.IntN(4) > 0 {
		e.Payload.Args = bytes.Repeat([]byte{byte(w.next)}, w.rng.IntN(600))
	}
	names := func() []string {
		switch w.rng.IntN(6) {
		case 0:
			return []string{"alice", "user"}
		case 1:
			return []string{"bob", "admin"}
		case 2:
			return []string{}
		}
		return nil
	}
	if w.rng.IntN(3) == 0 {
		e.Filter = &history.Filter{
			ExcludeAuthID: names(), ExcludeAuthRole: names(), EligibleAuthID: names(), EligibleAuthRole: names(),
		}
	}
	var to []history.Log
	var logs []int
	for i := range w.keys {
		if w.rng.IntN(2) == 0 {
			to, logs = append(to, w.logs[i]), append(logs, i)
		}
	}
	switch err := w.store.Append(e, to, nil); {
	case errors.Is(err, history.ErrTooLarge):
		rec := history.RecordRoom(e) + history.RecordOverhead
		if !slices.ContainsFunc(logs, func(i int) bool { return int64(rec) > w.model[i].bounds.Bytes }) {
			w.fail("%d octets are too large", rec)
		}
		return
	case err != nil:
		w.fail("%v", err)
	}
	for _, i := range logs {
		w.model[i].events = append(w.model[i].events, history.AppendRecord(nil, e))
		w.model[i].trim()
	}
}

// ask compares the answer to a random query.
func (w *world) ask() {
	i := w.rng.IntN(len(w.keys))
	m := &w.model[i]
	q := &history.Query{Reverse: w.rng.IntN(2) == 0, Now: time.Unix(0, w.now)}
	q.Reader = []codec.Identity{
		{AuthID: "alice", AuthRole: "user"}, {AuthID: "bob", AuthRole: "admin"}, {AuthID: "carol", AuthRole: "user"},
	}[w.rng.IntN(3)]
	if w.rng.IntN(3) == 0 {
		q.Limit = 1 + w.rng.IntN(20)
	}
	if w.rng.IntN(4) == 0 {
		q.Topic = []byte(topics[w.rng.IntN(len(topics))])
	}
	pick := func() (time.Time, uint64) {
		if len(m.events) == 0 {
			return time.Unix(0, w.now), 4_000_000
		}
		rec := m.events[w.rng.IntN(len(m.events))]
		return time.Unix(0, history.RecordTime(rec)), history.RecordPublication(rec)
	}
	var checks []func(at int64) bool
	for k := range 4 {
		if w.rng.IntN(8) != 0 {
			continue
		}
		at, _ := pick()
		ns := at.UnixNano()
		switch k {
		case 0:
			q.FromTime(at)
			checks = append(checks, func(t int64) bool { return t >= ns })
		case 1:
			q.AfterTime(at)
			checks = append(checks, func(t int64) bool { return t > ns })
		case 2:
			q.BeforeTime(at)
			checks = append(checks, func(t int64) bool { return t < ns })
		case 3:
			q.UntilTime(at)
			checks = append(checks, func(t int64) bool { return t <= ns })
		}
	}
	for _, id := range []*uint64{
		&q.FromPublication, &q.AfterPublication, &q.BeforePublication, &q.UntilPublication,
	} {
		if w.rng.IntN(8) == 0 {
			_, *id = pick()
		}
	}

	want, known := m.answer(q, w.now, checks)
	got, trimmed, err := readAll(w.store, w.logs[i], q)
	switch {
	case !known && !errors.Is(err, history.ErrNoPublication):
		w.fail("query %+v of %v returned %v, want ErrNoPublication", q, w.keys[i], err)
	case !known:
		return
	case err != nil:
		w.fail("query %+v of %v: %v", q, w.keys[i], err)
	}
	if trimmed != m.trimmed {
		w.fail("%v says trimmed = %t", w.keys[i], trimmed)
	}
	if len(got) != len(want) {
		w.fail("query %+v of %v returned %d events, want %d of %d", q, w.keys[i], len(got), len(want),
			len(m.events))
	}
	for n := range got {
		if rec := history.AppendRecord(nil, &got[n]); !bytes.Equal(rec, want[n]) {
			w.fail("query %+v of %v: event %d is %q, want %q", q, w.keys[i], n, rec, want[n])
		}
	}
}

// answer is the slow twin of a cursor. known is false if q names a publication that the reader cannot see.
func (m *modelLog) answer(q *history.Query, now int64, checks []func(at int64) bool) (want [][]byte, known bool) {
	visible := func(rec []byte) bool {
		e, err := history.ReadRecord(rec)
		return err == nil && e.Filter.Admits(&q.Reader) && (m.bounds.Age == 0 || e.Time > now-int64(m.bounds.Age))
	}
	position := func(id uint64) int {
		return slices.IndexFunc(m.events, func(rec []byte) bool {
			return history.RecordPublication(rec) == id && visible(rec)
		})
	}
	first, next := 0, len(m.events)
	for k, id := range []uint64{q.FromPublication, q.AfterPublication, q.BeforePublication, q.UntilPublication} {
		if id == 0 {
			continue
		}
		at := position(id)
		if at < 0 {
			return nil, false
		}
		switch k {
		case 0:
			first = max(first, at)
		case 1:
			first = max(first, at+1)
		case 2:
			next = min(next, at)
		case 3:
			next = min(next, at+1)
		}
	}
	for n := first; n < next; n++ {
		rec := m.events[n]
		e, _ := history.ReadRecord(rec)
		ok := visible(rec) && (q.Topic == nil || string(e.Topic) == string(q.Topic))
		for _, check := range checks {
			ok = ok && check(e.Time)
		}
		if ok {
			want = append(want, rec)
		}
	}
	if q.Reverse {
		slices.Reverse(want)
	}
	if q.Limit > 0 && len(want) > q.Limit {
		want = want[:q.Limit]
	}
	return want, true
}

func readAll(s history.Store, l history.Log, q *history.Query) (events []history.Event, trimmed bool, err error) {
	c := history.NewCursor(s, l, q)
	for {
		p, err := c.Next()
		if err != nil {
			return nil, false, err
		}
		events = append(events, p.Events...)
		if p.Done {
			return events, p.Trimmed, nil
		}
	}
}

// count compares what the store says that it holds.
func (w *world) count() {
	var records, octets int64
	for i := range w.model {
		for _, rec := range w.model[i].events {
			records++
			octets += int64(len(rec)) + history.RecordOverhead
		}
	}
	s := w.store.Stats()
	if s.Records != records || s.Bytes != octets || s.Logs != len(w.keys) {
		w.fail("the store says %d records, %d octets, %d logs; want %d, %d, %d", s.Records, s.Bytes, s.Logs,
			records, octets, len(w.keys))
	}
	var keys []string
	for _, k := range w.store.Keys() {
		keys = append(keys, fmt.Sprint(k))
	}
	slices.Sort(keys)
	if got := strings.Join(keys, " "); len(keys) != len(w.keys) {
		w.fail("keys are %s", got)
	}
}
