package history

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"banyan/codec"
)

func fill(t *testing.T, m *Memory, l Log, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		if err := m.Append(event(i, "[1]"), []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTrim: PUB-53. If the bounds of a log become smaller, queries find no more than so many events from then on.
// What is beyond goes in steps, with what is appended or with Trim, whichever comes.
func TestTrim(t *testing.T) {
	t.Attr("checklist", "PUB-53")
	const count = 4*expireAtOnce + 7
	one := NewMemory(0)
	fill(t, one, openLog(t, one, topicKey, Bounds{}), 1, 1)
	size := one.Bytes()
	for name, b := range map[string]Bounds{"events": {Events: 3}, "bytes": {Events: count, Bytes: 3 * size}} {
		for _, appends := range []bool{false, true} {
			m := NewMemory(0)
			l := openLog(t, m, topicKey, Bounds{Events: count})
			fill(t, m, l, 1, count)
			openLog(t, m, topicKey, b)
			want := int64(count - expireAtOnce) // one step at once
			if st := m.Stats(); st.Records != want || st.Trimmed != expireAtOnce {
				t.Errorf("%s: %+v", name, st)
			}
			if name == "events" {
				// A query finds what stays, forwards and backwards, and knows that it is not all.
				for _, reverse := range []bool{false, true} {
					got, pages := ids(t, m, l, &Query{Reverse: reverse})
					slices.Sort(got)
					if !slices.Equal(got, []uint64{count - 2, count - 1, count}) || !pages[0].Trimmed {
						t.Errorf("found %v", got)
					}
				}
			}
			last := uint64(count)
			for ; appends && want > 3; want = max(want+1-expireAtOnce, 3) {
				if n := m.Stats().Records; n != want {
					t.Fatalf("%s: %d records, want %d", name, n, want)
				}
				last++
				fill(t, m, l, last, last)
			}
			if !appends {
				ended, cancel := context.WithCancel(t.Context())
				cancel()
				if err := m.Trim(ended); !errors.Is(err, context.Canceled) || m.Stats().Records != want-expireAtOnce {
					t.Errorf("%s: %v, %d records", name, err, m.Stats().Records)
				}
				if err := m.Trim(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if got, _ := ids(t, m, l, &Query{}); !slices.Equal(got, []uint64{last - 2, last - 1, last}) {
				t.Errorf("%s: %v of %d", name, got, last)
			}
			if st := m.Stats(); st.Records != 3 || st.Bytes != 3*size || st.Trimmed != int64(last)-3 {
				t.Errorf("%s: %+v", name, st)
			}
			fill(t, m, l, last+1, last+1)
			if n := m.Stats().Records; n != 3 {
				t.Errorf("%s: %d records after one more", name, n)
			}
		}
	}
}

// TestTrimAll: Trim goes through all logs, those that were released too; of a released one nothing is left.
func TestTrimAll(t *testing.T) {
	m := NewMemory(0)
	const count = 2 * expireAtOnce
	other := Key{URI: "other"}
	for _, k := range []Key{{URI: "gone"}, topicKey, other} {
		fill(t, m, openLog(t, m, k, Bounds{Events: count}), 1, count)
		openLog(t, m, k, Bounds{Events: 1})
	}
	m.Release(Key{URI: "gone"})
	if err := m.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := m.Stats(); st.Records != 2 || st.Logs != 2 {
		t.Errorf("%+v", st)
	}
}

// TestTrimLargeRecord: a record for whose bytes many others go takes its room at once, if the bounds are what they
// were: so the bound in bytes holds.
func TestTrimLargeRecord(t *testing.T) {
	m := NewMemory(0)
	const count, bytes = 3 * expireAtOnce, 1 << 20
	l := openLog(t, m, topicKey, Bounds{Events: count, Bytes: bytes})
	fill(t, m, l, 1, count)
	if err := m.Append(event(count+1, string(make([]byte, bytes-1000))), []Log{l}, nil); err != nil {
		t.Fatal(err)
	}
	if n := m.Bytes(); n > bytes {
		t.Errorf("%d bytes of %d", n, bytes)
	}
}

// TestSetBytesMax: PUB-53. The bound of a store goes down step by step, so that nobody else has to evict more.
func TestSetBytesMax(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{Events: 1 << 20})
	for i := range uint64(40) {
		if err := m.Append(event(i+1, string(make([]byte, 100_000))), []Log{l}, nil); err != nil {
			t.Fatal(err)
		}
	}
	const bytesMax = 1_000_000
	for more, before := true, m.Bytes(); more; before = m.Bytes() {
		more = m.lower(bytesMax)
		if n := before - m.Bytes(); n <= 0 || n > 2*evictSlack {
			t.Errorf("%d bytes went in one step", n)
		}
		if n := m.bytesMax.Load(); more != (n > bytesMax) || m.Bytes() > n {
			t.Errorf("the bound is %d, with %d bytes, more %t", n, m.Bytes(), more)
		}
	}
	m.SetBytesMax(500_000)
	if n := m.Bytes(); n > 500_000 || n < 300_000 || m.bytesMax.Load() != 500_000 {
		t.Errorf("%d bytes", n)
	}
	m.SetBytesMax(0)
	if n := m.bytesMax.Load(); n != DefaultMemoryBytes {
		t.Errorf("the bound is %d", n)
	}
}

// TestRetainedTrim: bounds that become smaller take topics away, those retained longest ago first, a few at a time,
// and not one too many. A search that stands at one of them goes on.
func TestRetainedTrim(t *testing.T) {
	t.Attr("checklist", "PUB-40")
	size := int64(retain(1, "t0", nil).Bytes())
	for name, b := range map[string]struct {
		events int
		bytes  int64
	}{"events": {3, 0}, "bytes": {0, 3 * size}} {
		r := NewRetained(0, 0)
		for i, topic := range []string{"t0", "t1", "t2", "t3", "t0", "t4"} {
			mustPut(t, r, retain(uint64(i+1), topic, nil))
		}
		s := r.Search("t", codec.Prefix, codec.Identity{}, 10)
		if found, _ := s.Next(nil, 1); len(found) != 1 || string(found[0].Topic) != "t1" {
			t.Fatalf("found %v", found)
		}
		if freed, more := r.Trim(10); freed != 0 || more {
			t.Errorf("%s: %d bytes, more %t", name, freed, more)
		}
		r.SetBounds(b.events, b.bytes)
		if freed, more := r.Trim(1); freed != size || !more {
			t.Errorf("%s: %d bytes, more %t", name, freed, more)
		}
		if freed, more := r.Trim(10); freed != size || more {
			t.Errorf("%s: %d bytes, more %t", name, freed, more)
		}
		if st := r.Stats(); st.Topics != 3 || st.Events != 3 || st.Bytes != 3*size || st.Trimmed != 2 {
			t.Errorf("%s: %+v", name, st)
		}
		var topics []string
		found, ended := s.Next(nil, 10)
		for _, e := range found {
			topics = append(topics, string(e.Topic))
		}
		if !slices.Equal(topics, []string{"t3", "t0", "t4"}) || !ended {
			t.Errorf("%s: found %v, ended %t", name, topics, ended)
		}
	}
	// A topic goes with all of its events, and an empty one has nothing to trim.
	r := NewRetained(0, 0)
	r.SetBounds(1, 0)
	r.Trim(1)
	r.SetBounds(10, 0)
	for i, e := range []*Event{retain(1, "a", nil), retain(2, "a", &Filter{}), retain(3, "b", nil)} {
		e.Time = int64(i)
		mustPut(t, r, e)
	}
	r.SetBounds(2, 0)
	if freed, more := r.Trim(10); freed <= size || more || r.Stats().Events != 1 || r.Stats().Trimmed != 2 {
		t.Errorf("%d bytes, more %t, %+v", freed, more, r.Stats())
	}
	r.Close()
	if freed, more := r.Trim(1); freed != 0 || more {
		t.Errorf("closed: %d bytes, more %t", freed, more)
	}
}

// TestTrimAge: an age that becomes smaller counts for queries at once; Expire drops what is too old.
func TestTrimAge(t *testing.T) {
	m := NewMemory(0)
	l := openLog(t, m, topicKey, Bounds{})
	fill(t, m, l, 1, 10)
	openLog(t, m, topicKey, Bounds{Age: 3})
	if got, _ := ids(t, m, l, &Query{Now: time.Unix(0, 10)}); !slices.Equal(got, []uint64{8, 9, 10}) {
		t.Errorf("found %v", got)
	}
	m.Expire(time.Unix(0, 10))
	if st := m.Stats(); st.Records != 3 || st.Expired != 7 {
		t.Errorf("%+v", st)
	}
}
