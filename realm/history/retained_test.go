package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
)

func retain(id uint64, topic string, f *Filter) *Event {
	e := event(id, "[1]")
	e.Topic, e.Filter = []byte(topic), f
	return e
}

func mustPut(t *testing.T, r *Retained, events ...*Event) {
	t.Helper()
	for _, e := range events {
		if _, err := r.Put(e); err != nil {
			t.Fatal(err)
		}
	}
}

func publication(e *Event) uint64 {
	if e == nil {
		return 0
	}
	return e.Publication
}

// TestRetainedTopic: the newest that a session may have; one without lists replaces all. PUB-33, PUB-34, PUB-35,
// PUB-38, PUB-39.
func TestRetainedTopic(t *testing.T) {
	r := NewRetained(0, 0)
	user, admin := codec.Identity{Session: 1, AuthRole: "user"}, codec.Identity{Session: 2, AuthRole: "admin"}
	admins := &Filter{EligibleAuthRole: []string{"admin"}}
	check := func(what string, users, admins uint64, events int) {
		t.Helper()
		u, a := r.Get([]byte("t"), &user), r.Get([]byte("t"), &admin)
		if publication(u) != users || publication(a) != admins || r.Stats().Events != events {
			t.Errorf("%s: user %d, admin %d, %+v", what, publication(u), publication(a), r.Stats())
		}
	}
	check("nothing", 0, 0, 0)
	mustPut(t, r, retain(1, "t", admins))
	check("only for admins", 0, 1, 1)
	mustPut(t, r, retain(2, "t", nil))
	check("for all", 2, 2, 1)
	mustPut(t, r, retain(3, "t", admins), retain(4, "t", &Filter{Exclude: []uint64{2}}))
	check("both", 4, 3, 3)
	for id := range uint64(restrictedMax) - 1 {
		mustPut(t, r, retain(10+id, "t", &Filter{Eligible: []uint64{99}}))
	}
	check("one too many", 4, 2, 1+restrictedMax)
	mustPut(t, r, retain(30, "t", &Filter{Eligible: []uint64{99}}))
	check("two too many", 2, 2, 1+restrictedMax)
	mustPut(t, r, retain(31, "t", nil))
	check("for all again", 31, 31, 1)

	own := retain(32, "t", nil)
	own.Publisher.Session, own.ExcludeMe = 1, true
	mustPut(t, r, own)
	check("not for its publisher", 0, 32, 1)
	empty := retain(33, "t", nil)
	empty.Payload = codec.Payload{Format: codec.JSON}
	mustPut(t, r, empty)
	check("without payload", 33, 33, 1)
	for _, want := range []bool{true, false} {
		if n, freed := r.Remove([]byte("t")); (n > 0) != want || (freed > 0) != want {
			t.Errorf("Remove returned %t", !want)
		}
	}
	check("removed", 0, 0, 0)
	if st := r.Stats(); st != (RetainedStats{}) {
		t.Errorf("stats are %+v", st)
	}
}

// TestRetainedCopies: what is retained is no part of the message that it came in.
func TestRetainedCopies(t *testing.T) {
	r := NewRetained(0, 0)
	e := retain(1, "t", &Filter{Exclude: []uint64{5}})
	e.Options = []byte("opt")
	mustPut(t, r, e)
	e.Topic[0], e.Payload.Args[0], e.Options[0], e.Filter.Exclude[0] = 'x', 'x', 'x', 1
	got := r.Get([]byte("t"), &codec.Identity{Session: 1})
	if got == nil || string(got.Topic) != "t" || string(got.Payload.Args) != "[1]" || string(got.Options) != "opt" {
		t.Errorf("retained is %+v", got)
	}
}

// TestRetainedBounds: so many events and octets and not one more. Replacing is allowed as long as it fits. PUB-40.
func TestRetainedBounds(t *testing.T) {
	size := int64(retain(1, "t0", nil).Bytes())
	for name, r := range map[string]*Retained{"events": NewRetained(3, 0), "bytes": NewRetained(0, 3*size)} {
		for i := range uint64(3) {
			mustPut(t, r, retain(i+1, fmt.Sprint("t", i), nil))
		}
		for n := range int64(2) {
			if _, err := r.Put(retain(4, "t4", nil)); !errors.Is(err, ErrRetainedFull) || r.Stats().Refused != n+1 {
				t.Errorf("%s: one more: %v", name, err)
			}
			mustPut(t, r, retain(5, "t1", nil))
		}
		if st := r.Stats(); st.Topics != 3 || st.Events != 3 || st.Bytes != 3*size {
			t.Errorf("%s: %+v", name, st)
		}
		r.Remove([]byte("t0"))
		mustPut(t, r, retain(4, "t4", nil))
		large := retain(6, "t4", nil)
		large.Payload.Args = []byte(strings.Repeat("1", int(size)))
		if _, err := r.Put(large); (name == "bytes") != errors.Is(err, ErrRetainedFull) {
			t.Errorf("%s: a larger one: %v", name, err)
		}
		// With less allowed, what is there stays until Trim, and may be replaced by something that is not larger.
		r.SetBounds(1, 1)
		mustPut(t, r, retain(7, "t1", nil))
		if _, err := r.Put(retain(8, "t9", nil)); !errors.Is(err, ErrRetainedFull) || r.Stats().Topics != 3 {
			t.Errorf("%s: %v, %+v", name, err, r.Stats())
		}
	}
}

// TestRetainedModel retains, removes and searches at random beside a list, step by step. PUB-37.
func TestRetainedModel(t *testing.T) {
	type place struct {
		topic string
		event *Event
	}
	patterns := []struct {
		uri   string
		match codec.Match
	}{
		{"", codec.Prefix},
		{"a.", codec.Prefix},
		{"a..c", codec.Wildcard},
		{".b.", codec.Wildcard},
		{"a.b.c", codec.Exact},
	}
	matchesSlowly := func(uri string, match codec.Match, topic string) bool {
		switch match {
		case codec.Exact:
			return uri == topic
		case codec.Prefix:
			return len(topic) >= len(uri) && topic[:len(uri)] == uri
		}
		want, got := strings.Split(uri, "."), strings.Split(topic, ".")
		return slices.EqualFunc(want, got, func(w, g string) bool { return w == "" || w == g })
	}
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		letters := []string{"a", "b", "c"}
		topic := func() string {
			parts := make([]string, 2+rng.IntN(2))
			for i := range parts {
				parts[i] = letters[rng.IntN(3)]
			}
			return strings.Join(parts, ".")
		}
		r := NewRetained(0, 0)
		var model []place
		forget := func(topic string) {
			model = slices.DeleteFunc(model, func(p place) bool { return p.topic == topic })
		}
		type search struct {
			s    *RetainedSearch
			want []place // at its beginning
			got  []*Event
		}
		var open []*search
		for step := range 400 {
			switch rng.IntN(10) {
			default:
				e := retain(uint64(step+1), topic(), nil)
				mustPut(t, r, e)
				forget(string(e.Topic))
				model = append(model, place{string(e.Topic), e})
			case 0:
				gone := topic()
				r.Remove([]byte(gone))
				forget(gone)
			case 1, 2:
				p := patterns[rng.IntN(len(patterns))]
				s := &search{s: r.Search(p.uri, p.match, codec.Identity{}, 1000)}
				for _, m := range model {
					if matchesSlowly(p.uri, p.match, m.topic) {
						s.want = append(s.want, m)
					}
				}
				open = append(open, s)
			case 3:
				if rng.IntN(8) == 0 {
					for _, m := range model {
						if m.topic[:2] == "a." {
							r.Remove([]byte(m.topic))
						}
					}
					model = slices.DeleteFunc(model, func(p place) bool { return p.topic[:2] == "a." })
				}
			}
			open = slices.DeleteFunc(open, func(s *search) bool {
				var ended bool
				s.got, ended = s.s.Next(s.got, rng.IntN(4))
				if !ended {
					return false
				}
				// All that were there and still are; in that order; perhaps some that went meanwhile.
				want := s.want
				for _, e := range s.got {
					for len(want) > 0 && want[0].event.Publication != e.Publication {
						if slices.ContainsFunc(model, func(p place) bool { return p.event == want[0].event }) {
							t.Fatalf("seed %d: %d was left out", seed, want[0].event.Publication)
						}
						want = want[1:]
					}
					if len(want) == 0 {
						t.Fatalf("seed %d: %d came out of order", seed, e.Publication)
					}
					want = want[1:]
				}
				for _, p := range want {
					if slices.ContainsFunc(model, func(m place) bool { return m.event == p.event }) {
						t.Fatalf("seed %d: %d was left out at the end", seed, p.event.Publication)
					}
				}
				return true
			})
			if st := r.Stats(); st.Topics != len(model) || st.Events != len(model) {
				t.Fatalf("seed %d: %+v, want %d", seed, st, len(model))
			}
		}
	}
}

// TestRetainedSearch: so many events, so many steps, and only those that the session may have.
func TestRetainedSearch(t *testing.T) {
	r := NewRetained(0, 0)
	for i := range uint64(10) {
		f := &Filter{Eligible: []uint64{i % 2}}
		mustPut(t, r, retain(i+1, fmt.Sprint("t.", i), f))
	}
	s := r.Search("t.", codec.Prefix, codec.Identity{Session: 1}, 3)
	var got []*Event
	for steps, want := range []int{0, 0, 1} {
		var ended bool
		if got, ended = s.Next(got, steps); len(got) != want || ended {
			t.Errorf("after %d steps: %d events, %t", steps, len(got), ended)
		}
	}
	got, ended := s.Next(got, 100)
	if len(got) != 3 || !ended || got[2].Publication != 6 {
		t.Errorf("%d events, %t", len(got), ended)
	}
	if got, ended = s.Next(nil, 100); len(got) != 0 || !ended {
		t.Errorf("after the end: %d events, %t", len(got), ended)
	}
	if got, ended = r.Search("x", codec.Exact, codec.Identity{}, 3).Next(nil, 100); len(got) != 0 || !ended {
		t.Errorf("without a match: %d events, %t", len(got), ended)
	}
}

// TestRetainedFreed: what Put, Remove and Close say to be freed is what Put has taken, and after Close nothing is
// kept.
func TestRetainedFreed(t *testing.T) {
	r := NewRetained(0, 0)
	held := int64(0)
	put := func(id uint64, topic string, f *Filter) {
		t.Helper()
		e := retain(id, topic, f)
		freed, err := r.Put(e)
		if err != nil {
			t.Fatal(err)
		}
		if held += int64(e.Bytes()) - freed; held != r.Stats().Bytes {
			t.Fatalf("%d are held, and %d by the sum", r.Stats().Bytes, held)
		}
	}
	put(1, "t", nil)
	put(2, "t", &Filter{Exclude: []uint64{7}})
	put(3, "t", nil) // both go
	put(4, "u", &Filter{EligibleAuthID: []string{"somebody"}})
	put(5, "v", nil)
	put(6, "w", &Filter{EligibleAuthID: []string{"somebody"}})
	before := r.Stats().Events
	n, freed := r.Remove([]byte("u"))
	if held -= freed; held != r.Stats().Bytes || n == 0 || n != before-r.Stats().Events {
		t.Errorf("%d are held, and %d by the sum", r.Stats().Bytes, held)
	}
	var topics []string
	search := r.Search("", codec.Prefix, codec.Identity{}, 10)
	for ended := false; !ended; {
		n := len(topics)
		if topics, ended = search.NextTopics(topics, 1); len(topics) > n+1 {
			t.Fatalf("%q in one step", topics[n:])
		}
	}
	if !slices.Equal(topics, []string{"t", "v", "w"}) {
		t.Errorf("found %q", topics)
	}
	search = r.Search("", codec.Prefix, codec.Identity{}, 10)
	if found, _ := search.Next(nil, 1); len(found) != 1 {
		t.Fatalf("found %d", len(found))
	}
	if freed := r.Close(); freed != held || r.Close() != 0 || r.Stats().Events != 0 || r.Stats().Bytes != 0 {
		t.Errorf("closing freed %d of %d, and left %+v", freed, held, r.Stats())
	}
	if found, ended := search.Next(nil, 10); len(found) != 0 || !ended {
		t.Errorf("a search found %d after the end", len(found))
	}
	_, err := r.Put(retain(6, "t", nil))
	if !errors.Is(err, ErrClosed) || r.Get([]byte("t"), &codec.Identity{}) != nil {
		t.Errorf("after the end: %v", err)
	}
}

// TestRetainedSearchLists: an event with lists that is retained while a search is under way does not hide the older
// one from those who may not have it. PUB-35, PUB-37.
func TestRetainedSearchLists(t *testing.T) {
	r := NewRetained(0, 0)
	mustPut(t, r, retain(1, "a", nil), retain(2, "b", nil))
	search := r.Search("", codec.Prefix, codec.Identity{Session: 7}, 10)
	found, _ := search.Next(nil, 1)
	mustPut(t, r, retain(3, "b", &Filter{Exclude: []uint64{7}}))
	if found, _ = search.Next(found, 10); len(found) != 2 || found[1].Publication != 2 {
		t.Errorf("found %d", len(found))
	}
}
