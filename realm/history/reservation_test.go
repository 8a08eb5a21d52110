package history

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
)

// TestReservation: what is reserved is found when it is kept, and never if it is dropped; the one before it stays
// until then. It is a copy.
func TestReservation(t *testing.T) {
	r := NewRetained(0, 0)
	somebody := &codec.Identity{Session: 1}
	mustPut(t, r, retain(1, "t", nil))
	before := r.Stats()
	for _, c := range []struct {
		keep bool
		want uint64
	}{{false, 1}, {true, 2}} {
		e := retain(2, "t", nil)
		v, err := r.Reserve(e)
		if err != nil {
			t.Fatal(err)
		}
		e.Topic[0], e.Payload.Args[0] = 'x', 'x'
		if got := r.Get([]byte("t"), somebody); publication(got) != 1 || r.Stats() != before {
			t.Errorf("reserved: found %d, %+v", publication(got), r.Stats())
		}
		if !c.keep {
			r.Drop(v)
		} else if freed := r.Keep(v); freed != before.Bytes {
			t.Errorf("%d bytes have gone, not %d", freed, before.Bytes)
		}
		got := r.Get([]byte("t"), somebody)
		if publication(got) != c.want || string(got.Payload.Args) != "[1]" || r.Stats() != before {
			t.Errorf("kept %t: found %d, %+v", c.keep, publication(got), r.Stats())
		}
	}
}

// TestReservationOrder: the newest is the one that was kept last, also for a search, not the one that was reserved
// last.
func TestReservationOrder(t *testing.T) {
	r := NewRetained(0, 0)
	somebody := &codec.Identity{Session: 1}
	first, err := r.Reserve(retain(1, "t", nil))
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Reserve(retain(2, "t", nil))
	if err != nil {
		t.Fatal(err)
	}
	r.Keep(second)
	older := r.Get([]byte("t"), somebody)
	search := r.Search("", codec.Prefix, *somebody, 10)
	r.Keep(first)
	newer := r.Get([]byte("t"), somebody)
	if publication(older) != 2 || publication(newer) != 1 || !newer.Newer(older) || older.Newer(newer) {
		t.Errorf("%d was found, then %d", publication(older), publication(newer))
	}
	if found, ended := search.Next(nil, 10); len(found) != 0 || !ended {
		t.Errorf("a search from before found %d", len(found))
	}
	if st := r.Stats(); st.Events != 1 || st.Topics != 1 || st.Bytes != int64(newer.Bytes()) {
		t.Errorf("%+v", st)
	}
}

// TestReservationBounds: what is reserved has its room, in events and bytes, at n and n + 1. Dropped or kept, it is
// not counted twice.
func TestReservationBounds(t *testing.T) {
	size := int64(retain(1, "t0", nil).Bytes())
	for name, r := range map[string]*Retained{"events": NewRetained(3, 0), "bytes": NewRetained(0, 3*size)} {
		mustPut(t, r, retain(1, "t0", nil))
		var places []Reservation
		for i := range uint64(2) {
			v, err := r.Reserve(retain(2+i, fmt.Sprint("t", 1+i), nil))
			if err != nil {
				t.Fatal(err)
			}
			places = append(places, v)
		}
		full := func(when string) {
			t.Helper()
			if _, err := r.Reserve(retain(9, "t9", nil)); !errors.Is(err, ErrRetainedFull) {
				t.Errorf("%s, %s: one more was reserved: %v", name, when, err)
			}
			if _, err := r.Put(retain(9, "t9", nil)); !errors.Is(err, ErrRetainedFull) {
				t.Errorf("%s, %s: one more was put: %v", name, when, err)
			}
			again, err := r.Reserve(retain(9, "t0", nil)) // in the place of another
			if err != nil {
				t.Fatalf("%s, %s: %v", name, when, err)
			}
			r.Drop(again)
		}
		full("reserved")
		r.Drop(places[0])
		mustPut(t, r, retain(4, "t4", nil))
		full("dropped")
		r.Keep(places[1])
		full("kept")
		if st := r.Stats(); st.Events != 3 || st.Bytes != 3*size || st.Refused != 6 {
			t.Errorf("%s: %+v", name, st)
		}
		if r.eventsReserved != 0 || r.bytesReserved != 0 {
			t.Errorf("%s: %d events and %d bytes are still reserved", name, r.eventsReserved, r.bytesReserved)
		}
		// One that takes the place of a larger one reserves nothing, and is not more than nothing.
		large := retain(5, "t0", nil)
		large.Payload.Args = []byte(strings.Repeat("1", int(size)))
		r.SetBounds(3, 5*size)
		mustPut(t, r, large)
		v, err := r.Reserve(retain(6, "t0", nil))
		if err != nil || r.bytesReserved != 0 || r.eventsReserved != 0 {
			t.Errorf("%s: %v, %d bytes are reserved", name, err, r.bytesReserved)
		}
		if freed := r.Keep(v); freed != int64(large.Bytes()) {
			t.Errorf("%s: %d bytes have gone", name, freed)
		}
	}
}

// TestReservationMeanwhile: the topic is removed, or everything is closed, between Reserve and Keep.
func TestReservationMeanwhile(t *testing.T) {
	r := NewRetained(1, 0)
	mustPut(t, r, retain(1, "t", nil))
	v, err := r.Reserve(retain(2, "t", nil))
	if err != nil {
		t.Fatal(err)
	}
	r.Remove([]byte("t"))
	mustPut(t, r, retain(3, "u", nil))
	if freed := r.Keep(v); freed != 0 {
		t.Errorf("%d bytes have gone for nothing", freed)
	}
	if got := r.Get([]byte("t"), &codec.Identity{}); publication(got) != 2 || r.Stats().Events != 2 {
		t.Errorf("found %d, %+v", publication(got), r.Stats())
	}
	e := retain(4, "t", nil)
	if v, err = r.Reserve(e); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if freed := r.Keep(v); freed != int64(e.Bytes()) || r.Stats().Events != 0 {
		t.Errorf("after the end: freed %d, %+v", freed, r.Stats())
	}
	if _, err = r.Reserve(e); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}
