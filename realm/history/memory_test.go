package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

type witness struct {
	ids  []uint64
	errs []error
}

func (w *witness) Committed(id uint64, err error) {
	w.ids = append(w.ids, id)
	w.errs = append(w.errs, err)
}

// TestMemoryBounds: a log keeps so many events, and so many octets, and not one more. PUB-53, PUB-52.
func TestMemoryBounds(t *testing.T) {
	m := NewMemory(0)
	size := int64(len(AppendRecord(nil, event(1, "1")))) + RecordOverhead
	byCount := openLog(t, m, topicKey, Bounds{Events: 3})
	byBytes := openLog(t, m, Key{URI: "bytes"}, Bounds{Bytes: 200 + 2*size})
	exact := openLog(t, m, Key{URI: "exact"}, Bounds{Bytes: 4 * size})
	w := &witness{}
	for id := uint64(1); id <= 7; id++ {
		if err := m.Append(event(id, "1"), []Log{byCount, byBytes, exact}, w); err != nil {
			t.Fatal(err)
		}
		for l, most := range map[Log]uint64{
			byCount: 3, byBytes: uint64((200 + 2*size) / size), exact: 4,
		} {
			got, pages := ids(t, m, l, &Query{})
			n := min(id, most)
			if uint64(len(got)) != n || got[0] != id-n+1 || got[n-1] != id || pages[0].Trimmed != (id > most) {
				t.Errorf("after %d, log %d holds %d, trimmed %t", id, l, got, pages[0].Trimmed)
			}
		}
	}
	if !slices.Equal(w.ids, []uint64{1, 2, 3, 4, 5, 6, 7}) || w.errs[6] != nil {
		t.Errorf("told of %d: %v", w.ids, w.errs)
	}
	// The bounds become smaller, and larger again: what is gone stays gone.
	for range 2 {
		openLog(t, m, topicKey, Bounds{Events: 1})
		openLog(t, m, topicKey, Bounds{Events: 3})
		if got, _ := ids(t, m, byCount, &Query{}); !slices.Equal(got, []uint64{7}) {
			t.Errorf("events are %d", got)
		}
	}
	// An event that is larger than one of its logs is in none.
	large := event(8, strings.Repeat("1", int(4*size)))
	if err := m.Append(large, []Log{byCount, exact}, w); !errors.Is(err, ErrTooLarge) || len(w.ids) != 7 {
		t.Errorf("too large: %v", err)
	}
	if got, _ := ids(t, m, byCount, &Query{}); len(got) != 1 || m.Stats().RefusedTooLarge != 1 {
		t.Errorf("events are %d, %+v", got, m.Stats())
	}
	if err := m.Append(event(9, "1"), []Log{byCount, 77}, nil); !errors.Is(err, ErrNoLog) {
		t.Errorf("no log: %v", err)
	}
	if got, _ := ids(t, m, byCount, &Query{}); len(got) != 1 {
		t.Errorf("events are %d", got)
	}
}

// TestMemoryEvict: beyond the bytes of the store the oldest of all logs go. An own fault cannot hide: what is kept is
// the newest of all.
func TestMemoryEvict(t *testing.T) {
	const bytesMax = 100_000
	m := NewMemory(bytesMax)
	var logs []Log
	for i := range 3 {
		logs = append(logs, openLog(t, m, Key{URI: fmt.Sprint(i)}, Bounds{Events: 1 << 20}))
	}
	for id := uint64(1); id <= 5000; id++ {
		if err := m.Append(event(id, "[1,2,3]"), logs[id%3:][:1], nil); err != nil {
			t.Fatal(err)
		}
		if n := m.Stats().Bytes; n > bytesMax {
			t.Fatalf("%d octets after %d events", n, id)
		}
	}
	var all []uint64
	for _, l := range logs {
		got, _ := ids(t, m, l, &Query{})
		all = append(all, got...)
	}
	slices.Sort(all)
	for i, id := range all {
		if id != 5000-uint64(len(all))+uint64(i)+1 {
			t.Fatalf("event %d is kept, of %d", id, len(all))
		}
	}
	st := m.Stats()
	if st.Evicted != 5000-int64(len(all)) || st.Records != int64(len(all)) || st.Bytes < bytesMax*9/10 {
		t.Errorf("stats are %+v", st)
	}
	if err := m.Append(event(1, strings.Repeat("1", bytesMax)), logs[:1], nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("larger than the store: %v", err)
	}
}

// TestMemoryAge: Expire drops what is too old, at exactly its age, more than one hold of the lock too; a query leaves
// it out before.
func TestMemoryAge(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Events: 5000, Age: 100})
	for id := uint64(1); id <= 3000; id++ {
		e := event(id, "1")
		e.Time = int64(id / 1000 * 50)
		if err := m.Append(e, []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ now, want int64 }{{99, 3000}, {100, 2001}, {149, 2001}, {150, 1001}, {250, 0}} {
		got, _ := ids(t, m, l, &Query{Now: time.Unix(0, c.now)})
		if int64(len(got)) != c.want {
			t.Errorf("at %d a query finds %d", c.now, len(got))
		}
		m.Expire(time.Unix(0, c.now))
		if st := m.Stats(); st.Records != c.want || st.Expired != 3000-c.want {
			t.Errorf("at %d: %+v", c.now, st)
		}
	}
}

// TestSessionLists: an event with exclude or eligible is not kept. PUB-48.
func TestSessionLists(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{})
	for _, f := range []*Filter{{Exclude: []uint64{1}}, {Eligible: []uint64{}}} {
		e := event(1, "1")
		e.Filter = f
		if err := m.Append(e, []Log{l}, nil); !errors.Is(err, ErrSessionLists) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if m.Stats().Records != 0 {
		t.Error("it is kept")
	}
}

// TestPages: a page looks at so many records and holds so many octets; together they are the answer. PUB-43.
func TestPages(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Events: 1 << 20, Bytes: 1 << 30})
	const count = 2*pageExamined + 1
	for id := uint64(1); id <= count; id++ {
		e := event(id, "1")
		if id == 1 {
			e.Topic = []byte("first")
		}
		if err := m.Append(e, []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, reverse := range []bool{false, true} {
		got, pages := ids(t, m, l, &Query{Reverse: reverse})
		if reverse {
			slices.Reverse(got)
		}
		if len(got) != count || got[0] != 1 || got[count-1] != count || !slices.IsSorted(got) {
			t.Errorf("%d events", len(got))
		}
		const full = count / pageEvents
		if len(pages) != full+1 || len(pages[0].Events) != pageEvents || len(pages[full].Events) != 1 {
			t.Errorf("%d pages", len(pages))
		}
		got, pages = ids(t, m, l, &Query{Reverse: reverse, Topic: []byte("first")})
		if len(got) != 1 || len(pages) != 3 {
			t.Errorf("%d events on %d pages", len(got), len(pages))
		}
	}
	// Looking for a publication is done in pages too.
	if got, pages := ids(t, m, l, &Query{UntilPublication: 2}); len(got) != 2 || len(pages) != 3 {
		t.Errorf("%d events on %d pages", len(got), len(pages))
	}
	// What comes after the first page is not found; what goes meanwhile is left out.
	c := NewCursor(m, l, &Query{})
	first, err := c.Next()
	if err != nil || len(first.Events) != pageEvents {
		t.Fatal(err)
	}
	copied := string(AppendRecord(nil, &first.Events[0]))
	if err := m.Append(event(9999, "1"), []Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	openLog(t, m, topicKey, Bounds{Events: 11})
	second, err := c.Next()
	if err != nil || len(second.Events) != 10 || !second.Done || second.Events[9].Publication != count {
		t.Errorf("%d events: %v", len(second.Events), err)
	}
	for id := range uint64(20) {
		if err := m.Append(event(7000+id, "2"), []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if string(AppendRecord(nil, &first.Events[0])) != copied {
		t.Error("a page changed")
	}
	if p, err := c.Next(); err != nil || len(p.Events) != 0 || !p.Done {
		t.Errorf("after the end: %+v, %v", p, err)
	}
}

// TestPageBytes: the octets of a page.
func TestPageBytes(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Events: 1 << 20, Bytes: 1 << 30})
	for id := uint64(1); id <= 100; id++ {
		if err := m.Append(event(id, strings.Repeat("1", 100_000)), []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	got, pages := ids(t, m, l, &Query{})
	if len(got) != 100 || len(pages) != 50 || len(pages[0].Events) != 2 {
		t.Errorf("%d events on %d pages", len(got), len(pages))
	}
	// One that is larger than a page has one of its own.
	if err := m.Append(event(101, strings.Repeat("1", 2*pageBytes)), []Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	got, pages = ids(t, m, l, &Query{Reverse: true})
	if len(got) != 101 || len(pages[0].Events) != 1 || len(pages[1].Events) != 2 {
		t.Errorf("%d events on %d pages", len(got), len(pages))
	}
}

// TestContinue: a query that has come to its limit goes on if the caller wants more, to the end, and says no more
// that it is full.
func TestContinue(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Events: 1 << 20})
	const count = 2*pageEvents + 1
	for id := uint64(1); id <= count; id++ {
		if err := m.Append(event(id, "1"), []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, reverse := range []bool{false, true} {
		c := NewCursor(m, l, &Query{Limit: 2, Reverse: reverse})
		p, err := c.Next()
		if err != nil || len(p.Events) != 2 || !p.Done || !p.Full {
			t.Fatalf("%+v, %v", p, err)
		}
		c.Continue()
		found := p.Events
		for p.Done = false; !p.Done; found = append(found, p.Events...) {
			if p, err = c.Next(); err != nil || p.Full {
				t.Fatalf("%+v, %v", p, err)
			}
		}
		if reverse {
			slices.Reverse(found)
		}
		for i := range found {
			if found[i].Publication != uint64(i+1) {
				t.Fatalf("event %d is %d", i, found[i].Publication)
			}
		}
		if len(found) != count {
			t.Errorf("%d events", len(found))
		}
	}
	for limit, full := range map[int]bool{0: false, count - 1: true, count: false} {
		if got, pages := ids(t, m, l, &Query{Limit: limit}); pages[len(pages)-1].Full != full ||
			len(got) != min(count, limit+count*(1-min(limit, 1))) {
			t.Errorf("limit %d: %d events, full %t", limit, len(got), !full)
		}
	}
}

// TestUnknownPublication: one that is not there, that another log has, that is too old, or that the reader may not
// have. PUB-45.
func TestUnknownPublication(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Age: 100})
	other := openLog(t, m, Key{URI: "other"}, Bounds{})
	secret := event(50, "1")
	secret.Filter = &Filter{EligibleAuthRole: []string{"admin"}}
	for _, e := range []*Event{event(10, "1"), secret, event(60, "1")} {
		if err := m.Append(e, []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Append(event(70, "1"), []Log{other}, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id    uint64
		role  string
		known bool
	}{
		{10, "user", false},
		{50, "user", false},
		{50, "admin", true},
		{60, "user", true},
		{70, "user", false},
		{1, "", false},
	} {
		for i := range 4 {
			q := &Query{Now: time.Unix(0, 110), Reader: codec.Identity{AuthRole: c.role}}
			*[]*uint64{
				&q.FromPublication, &q.AfterPublication, &q.BeforePublication, &q.UntilPublication,
			}[i] = c.id
			c2 := NewCursor(m, l, q)
			_, err := c2.Next()
			if c.known != (err == nil) || err != nil && !errors.Is(err, ErrNoPublication) {
				t.Errorf("%+v: %v", c, err)
			}
			if p, again := c2.Next(); err != nil && (again != nil || !p.Done) {
				t.Errorf("after the error: %+v, %v", p, again)
			}
		}
	}
}

// TestQueryTimes: times that no record can have. PUB-44.
func TestQueryTimes(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{})
	if err := m.Append(event(5, "1"), []Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	first, last := time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		ask  func(q *Query)
		want int
	}{
		{func(q *Query) { q.FromTime(first) }, 1},
		{func(q *Query) { q.AfterTime(first) }, 1},
		{func(q *Query) { q.BeforeTime(first) }, 0},
		{func(q *Query) { q.UntilTime(first) }, 0},
		{func(q *Query) { q.FromTime(last) }, 0},
		{func(q *Query) { q.AfterTime(last) }, 0},
		{func(q *Query) { q.BeforeTime(last) }, 1},
		{func(q *Query) { q.UntilTime(last) }, 1},
		{func(q *Query) { q.FromTime(first); q.BeforeTime(time.Unix(0, 5)) }, 0},
		{func(q *Query) { q.FromTime(time.Unix(0, 5)); q.UntilTime(time.Unix(0, 5)) }, 1},
		{func(q *Query) { q.BeforeTime(time.Unix(0, 5)); q.FromTime(first) }, 0},
		{func(q *Query) { q.UntilTime(time.Unix(0, 4)); q.UntilTime(last) }, 0},
		{func(q *Query) { q.FromTime(time.Unix(0, 6)); q.AfterTime(first) }, 0},
	} {
		q := new(Query)
		c.ask(q)
		if got, _ := ids(t, m, l, q); len(got) != c.want {
			t.Errorf("case %d found %d", i, len(got))
		}
	}
}

// TestLogsMax: so many logs and not one more; those that are there stay usable.
func TestLogsMax(t *testing.T) {
	m := NewMemory(0)
	logs := make([]*memoryLog, LogsMax-1)
	m.logs.Store(&logs)
	l := openLog(t, m, topicKey, Bounds{})
	if _, err := m.Log(Key{URI: "more"}, Bounds{}); !errors.Is(err, ErrLogs) {
		t.Errorf("one more: %v", err)
	}
	if got := openLog(t, m, topicKey, Bounds{Events: 2}); got != l {
		t.Errorf("log %d, was %d", got, l)
	}
}

func TestMemoryClosed(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{})
	for range 2 {
		if err := m.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.Log(topicKey, Bounds{})
	for _, err := range []error{
		err, m.Append(event(1, "1"), []Log{l}, nil), m.Read(NewCursor(m, l, &Query{}), nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// TestPurge: a query that is under way when its log is purged does not find what comes afterwards.
func TestPurge(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{})
	fill := func() {
		for id := range uint64(pageEvents + 10) {
			if err := m.Append(event(id+1, "1"), []Log{l}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	c := NewCursor(m, l, &Query{})
	if p, err := c.Next(); err != nil || len(p.Events) != pageEvents {
		t.Fatal(err)
	}
	if err := m.Purge(topicKey); err != nil {
		t.Fatal(err)
	}
	fill()
	if p, err := c.Next(); err != nil || len(p.Events) != 0 || !p.Done {
		t.Errorf("%d events, %v", len(p.Events), err)
	}
}

// TestMemoryTakes: an event that fills the bytes of a log is taken, and not one that has one octet more. PUB-53.
func TestMemoryTakes(t *testing.T) {
	m := NewMemory(0)
	e := event(1, "1")
	bytes := int64(RecordRoom(e)) + RecordOverhead
	exact := openLog(t, m, topicKey, Bounds{Bytes: bytes})
	short := openLog(t, m, Key{URI: "short"}, Bounds{Bytes: bytes - 1})
	if err := m.Append(e, []Log{exact}, nil); err != nil {
		t.Error(err)
	}
	if err := m.Append(e, []Log{short}, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one octet less: %v", err)
	}
}

// TestLargeRecordInTwoLogs: the two share its octets, so that they are no one's to write to when one drops it.
func TestLargeRecordInTwoLogs(t *testing.T) {
	m := NewMemory(0)
	one := openLog(t, m, topicKey, Bounds{Events: 1})
	two := openLog(t, m, Key{URI: "two"}, Bounds{Events: 1})
	shared := event(1, strings.Repeat("1", encodeUnlocked))
	if err := m.Append(shared, []Log{one, two}, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 { // drops it, and takes the memory of what was dropped, if anything does
		if err := m.Append(event(2, strings.Repeat("2", encodeUnlocked-200)), []Log{one}, nil); err != nil {
			t.Fatal(err)
		}
	}
	p, err := NewCursor(m, two, &Query{}).Next()
	if err != nil || len(p.Events) != 1 || string(p.Events[0].Payload.Args) != string(shared.Payload.Args) {
		t.Errorf("an event was written over: %v", err)
	}
}

// TestMemoryAppendAllocs: a full log takes a new event without allocating.
func TestMemoryAppendAllocs(t *testing.T) {
	m := NewMemory(0)
	to := []Log{openLog(t, m, topicKey, Bounds{Events: 300})}
	e := event(1, strings.Repeat("1", 1000))
	for range 1000 {
		_ = m.Append(e, to, nil)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = m.Append(e, to, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMemoryAppend(b *testing.B) {
	for _, size := range []int{100, 1000} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			m := NewMemory(0)
			to := []Log{openLog(b, m, topicKey, Bounds{Events: 1000})}
			e := event(1, strings.Repeat("1", size))
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Append(e, to, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRelease: a log that is released is not found under its old name, also after its place has another log; what it
// held is given back.
func TestRelease(t *testing.T) {
	m := NewMemory(0)
	one := openLog(t, m, topicKey, Bounds{})
	other := openLog(t, m, Key{URI: "other"}, Bounds{})
	if err := m.Append(event(1, "a"), []Log{one, other}, nil); err != nil {
		t.Fatal(err)
	}
	m.Release(topicKey)
	m.Release(Key{URI: "nobody"})
	again := openLog(t, m, topicKey, Bounds{})
	if again == one || placeOf(again) != placeOf(one) {
		t.Errorf("log %x, was %x", again, one)
	}
	if err := m.Append(event(2, "b"), []Log{one}, nil); !errors.Is(err, ErrNoLog) {
		t.Errorf("the old log took an event: %v", err)
	}
	if got, _ := ids(t, m, again, new(Query)); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	if err := m.Append(event(3, "c"), []Log{one, other}, nil); err != nil {
		t.Errorf("an event of two logs, one of them released: %v", err)
	}
	if got, _ := ids(t, m, other, new(Query)); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("found %v", got)
	}
	if s := m.Stats(); s.Logs != 2 || s.Records != 2 || s.Appended != 3 {
		t.Errorf("%+v", s)
	}
	m.Release(Key{URI: "other"})
	if m.Bytes() != 0 {
		t.Errorf("%d bytes are left", m.Bytes())
	}
	m.Release(topicKey)
	if got := openLog(t, m, topicKey, Bounds{}); got == again || placeOf(got) == placeOf(again) {
		t.Errorf("log %x: the place released longest ago comes first, %x", got, again)
	}
}
