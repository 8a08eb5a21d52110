package outq

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

const all = math.MaxInt

// texts are the segments of q that have bytes, own ones in brackets.
func (q *Queue) texts() string {
	var all []string
	for s := q.head; s != nil; s = s.next {
		text := string(s.unsent())
		if s.own {
			text = "[" + text + "]"
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (q *Queue) own(text string) { q.Commit(append(q.Lend(true), text...)) }

// consistent fails if the sums of q are not those of its segments.
func (q *Queue) consistent(t *testing.T) {
	t.Helper()
	bytes, events, cost, segments := 0, 0, 0, 0
	var last *Segment
	for s := q.head; s != nil; last, s = s, s.next {
		bytes += len(s.unsent())
		events += int(s.events)
		if segments++; s.own {
			cost += segmentOverhead + max(len(s.buf), segmentBytes)
		} else {
			cost += segmentOverhead + allocated(len(s.buf))
		}
	}
	if q.Occupied() != cost || q.segments != segments {
		t.Errorf("%d segments of %d bytes, want %d of %d", q.segments, q.Occupied(), segments, cost)
	}
	answers := 0
	for s := q.head; s != nil; s = s.next {
		answers += int(s.answer)
	}
	if q.Answers() != answers {
		t.Errorf("%d bytes of answers, want %d", q.Answers(), answers)
	}
	if q.tail != last || q.Bytes() != bytes || q.Events() != events {
		t.Errorf("%s: %d bytes, %d events, want %d and %d; the tail is right: %v", q.texts(), q.Bytes(), q.Events(),
			bytes, events, q.tail == last)
	}
}

// What is dropped are whole runs that are not on the wire, the oldest first; everything else stays in its order.
func TestDropOldest(t *testing.T) {
	for _, c := range []struct {
		bytes, events int
		want          string
		dropped       int
	}{
		{100, 100, "[A] aa bb [B] cc dd", 0},
		{10, 8, "[A] aa bb [B] cc dd", 0},
		{9, 100, "[A] bb [B] cc dd", 2},
		{8, 100, "[A] bb [B] cc dd", 2},
		{100, 7, "[A] bb [B] cc dd", 2},
		{7, 100, "[A] [B] cc dd", 4},
		{100, 4, "[A] [B] cc dd", 4},
		{2, 0, "[A] [B]", 8},
		{0, 0, "[A] [B]", 8},
	} {
		for range 2 {
			var q Queue
			a := new(Account)
			q.Open(1, a)
			q.own("A")
			q.Share([]byte("aa"), 2, 0, 1)
			q.ShareAnswer([]byte("bb"), 2, 0, 2)
			q.own("B")
			q.Share([]byte("cc"), 2, 0, 3)
			q.Share([]byte("dd"), 2, 0, 4)
			q.chargeBacklog()
			if n, _ := q.DropOldest(c.bytes, all, c.events, all); n != c.dropped || q.texts() != c.want {
				t.Errorf("%d bytes, %d events: %s, %d dropped, want %s, %d", c.bytes, c.events, q.texts(), n,
					c.want, c.dropped)
			}
			q.consistent(t)
			q.own("C") // the tail is usable
			q.Share([]byte("ee"), 1, 0, 5)
			q.consistent(t)
			q.Break()
			q.Discard(all)
			if a.Bytes() != 0 || q.Lost() != 8-c.dropped+1 {
				t.Errorf("%d bytes are still charged, %d events lost", a.Bytes(), q.Lost())
			}
		}
	}
}

// halves is a Sender that takes n bytes and then nothing.
type halves struct{ n int }

func (h *halves) Send(int, *Vectors, *Segment) (int, error) {
	if h.n == 0 {
		return 0, ErrAgain
	}
	n := h.n
	h.n = 0
	return n, nil
}

// A run of which a byte is on the wire stays, and what is written counts no more.
func TestDropSparesTheWire(t *testing.T) {
	var q Queue
	for i := range 4 {
		q.Share(fmt.Appendf(nil, "%d%d%d", i, i, i), 2, 0, time.Duration(i))
	}
	if f := q.Flush(&halves{4}, nil, 0, 0); f.Result != Blocked {
		t.Fatal(f.Result)
	}
	if q.consistent(t); q.Events() != 6 {
		t.Errorf("%d events unsent, want 6", q.Events())
	}
	if since, ok := q.Oldest(); !ok || since != 1 {
		t.Errorf("the oldest is of %d, %v", since, ok)
	}
	if n, _ := q.DropOldest(0, 0, 0, all); n != 4 || q.texts() != "11" {
		t.Errorf("%s, %d dropped", q.texts(), n)
	}
	q.consistent(t)
	q.Writable()
	if f := q.Flush(&halves{2}, nil, 0, 0); f.Result != Idle || q.Events() != 0 || q.Bytes() != 0 {
		t.Errorf("%v, %d events, %d bytes", f.Result, q.Events(), q.Bytes())
	}
	if _, ok := q.Oldest(); ok {
		t.Error("an empty queue has an oldest event")
	}
}

func TestDropBefore(t *testing.T) {
	for now, want := range map[time.Duration]string{
		0: "aa bb [A] cc", 10: "aa bb [A] cc", 11: "bb [A] cc", 20: "bb [A] cc", 21: "[A] cc", 31: "[A]",
	} {
		var q Queue
		q.Share([]byte("aa"), 1, 0, 10)
		q.Share([]byte("bb"), 1, 0, 20)
		q.own("A")
		q.Share([]byte("cc"), 1, 0, 30)
		if q.DropBefore(now, all); q.texts() != want {
			t.Errorf("before %d: %s, want %s", now, q.texts(), want)
		}
		q.consistent(t)
	}
}

// Of each topic the newest run stays, none of the topic that comes next, and what has no topic.
func TestKeepLatest(t *testing.T) {
	var q Queue
	p := new(Pass)
	fill := func() {
		for i, topic := range []uint64{1, 2, 0, 1, 3, 2, 1, 4} {
			q.Share(fmt.Appendf(nil, "%d%c__", topic, 'a'+i), 1, topic, 0)
		}
		q.own("A")
	}
	fill()
	for range 2 {
		if n, _, keeps := q.KeepLatest(4, p, all); keeps || n != 4 || q.texts() != "0c__ 3e__ 2f__ 1g__ [A]" {
			t.Fatalf("%s, %d dropped", q.texts(), n)
		}
		q.consistent(t)
		// Until an eighth more has come it does not look again.
		q.Share([]byte("3"), 1, 3, 0)
		if q.KeepLatest(9, p, all); !strings.HasPrefix(q.texts(), "0c__ 3e__") {
			t.Fatal(q.texts())
		}
		q.Share([]byte("3"), 1, 3, 0)
		if q.KeepLatest(9, p, all); q.texts() != "0c__ 2f__ 1g__ [A] 3" {
			t.Fatal(q.texts())
		}
		q.Flush(&halves{q.Bytes()}, nil, 0, 0)
		if q.Bytes() != 0 {
			t.Fatal(q.texts())
		}
		fill()
	}
}

// Oldest looks behind some segments without events, not behind any number.
func TestOldestIsBounded(t *testing.T) {
	for _, n := range []int{oldestLooks - 1, oldestLooks} {
		var q Queue
		for range n {
			q.Link([]byte("x"), false)
		}
		q.Share([]byte("e"), 1, 0, 5)
		if _, ok := q.Oldest(); ok != (n < oldestLooks) {
			t.Errorf("behind %d: %v", n, ok)
		}
	}
}

// What is encrypted is out of reach, with every event that begins in it.
func TestDropKeepsWhatIsSealed(t *testing.T) {
	for sealed, want := range map[int]int{0: 3, 1: 2, 10: 2, 11: 1, 20: 1, 21: 0, 30: 0} {
		var q Queue
		for range 3 {
			q.Share(make([]byte, 10), 1, 0, 0)
		}
		for range 2 {
			q.Seal(sealed)
			if dropped, _ := q.DropOldest(0, 0, 0, all); dropped != want {
				t.Errorf("%d sealed: %d dropped, want %d", sealed, dropped, want)
			}
			want = 0
		}
		q.Break()
		q.Share(make([]byte, 10), 1, 0, 0)
		if n, _ := q.DropOldest(0, 0, 0, all); n != 1 {
			t.Error("a queue that broke still has something sealed")
		}
	}
}

// What is dropped does not depend on how many segments a call looks at: only how many calls it takes. None looks at
// more, and what is in front of the first event that may go is not looked at again.
func TestDropsLookAtABoundedNumber(t *testing.T) {
	for _, most := range []int{1, 3, 1000} {
		var q Queue
		want := ""
		for i := range 20 {
			q.own(fmt.Sprintf("%c", 'A'+i))
			q.Share([]byte("e"), 1, 0, time.Duration(i))
			want += fmt.Sprintf("[%c] ", 'A'+i)
		}
		total, calls, dropped := 0, 0, 0
		for q.Events() > 0 && calls < 1000 {
			n, looks := q.DropOldest(0, 0, 0, most)
			if dropped, total = dropped+n, total+looks; looks > most {
				t.Fatalf("%d looks of %d", looks, most)
			}
			calls++
			q.consistent(t)
		}
		if q.texts()+" " != want || dropped != 20 || total > 40 {
			t.Errorf("%d at a time: %s after %d calls and %d looks", most, q.texts(), calls, total)
		}
		q.Share([]byte("f"), 1, 0, 99) // behind what was passed by
		if n, looks := q.DropBefore(100, most); n != 1 || looks != 1 {
			t.Errorf("%d at a time: %d dropped after %d looks", most, n, looks)
		}
		q.consistent(t)
		// A flush takes the list; the next drop begins from its front.
		q.Flush(&halves{1}, nil, 0, 0)
		q.Share([]byte("g"), 1, 0, 99)
		if n, _ := q.DropBefore(100, 1000); n != 1 {
			t.Errorf("%d dropped after a flush", n)
		}
		q.consistent(t)
	}
}

// A pass that takes many calls, while events come, others are dropped and writers take the list, ends with what it
// began with less what has a newer one, and never drops the newest of a topic, or what has none.
func TestKeepLatestInParts(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		var q Queue
		a := new(Account)
		q.Open(1, a)
		newest := map[uint64]string{}
		gone := map[string]bool{} // written, or dropped as the oldest
		var none []string
		n := 0
		add := func() {
			topic := rnd.Uint64N(6)
			text := fmt.Sprintf("%d.%d", topic, n)
			n++
			if q.Share([]byte(text), 1, topic, 0); topic == 0 {
				none = append(none, text)
			} else {
				newest[topic] = text
			}
		}
		for range 40 {
			add()
		}
		if rnd.IntN(2) == 0 {
			q.chargeBacklog()
		}
		for range 60 {
			switch rnd.IntN(12) {
			case 0:
				before := q.texts()
				q.Flush(&halves{rnd.IntN(8)}, nil, 0, 0)
				q.Writable()
				note(gone, before, q.texts())
			case 1:
				before := q.texts()
				q.DropOldest(q.bytes-rnd.IntN(10), all, all, 1+rnd.IntN(4))
				note(gone, before, q.texts())
			case 2, 3, 4:
				add()
			default:
				looks, most := 0, 1+rnd.IntN(9)
				// No topic of those that come: 99 stands for it.
				if _, looks, _ = q.KeepLatest(99, new(Pass), most); looks > most {
					t.Fatalf("seed %d: %d looks of %d", seed, looks, most)
				}
			}
			q.consistent(t)
		}
		left := strings.Fields(q.texts())
		for _, text := range none {
			if !gone[text] && !slices.Contains(left, text) {
				t.Fatalf("seed %d: %s has no topic and is gone: %v", seed, text, left)
			}
		}
		for _, text := range newest {
			if !gone[text] && !slices.Contains(left, text) {
				t.Fatalf("seed %d: %s was the newest and is gone: %v", seed, text, left)
			}
		}
		q.grown = q.bytes
		for p := new(Pass); ; {
			if _, _, keeps := q.KeepLatest(99, p, 4); !keeps && q.pass == nil {
				break
			}
		}
		q.grown = q.bytes
		q.KeepLatest(99, new(Pass), all)
		seen := map[string]bool{}
		for s := q.head; s != nil; s = s.next {
			if topic, _, _ := strings.Cut(string(s.buf), "."); topic != "0" && s.off == 0 {
				if seen[topic] {
					t.Fatalf("seed %d: two of topic %s: %s", seed, topic, q.texts())
				}
				seen[topic] = true
			}
		}
		q.KeepLatest(99, new(Pass), 1)
		q.Break()
		q.Discard(all)
		if a.Bytes() != 0 || a.Leaving() != 0 || q.Charged() != 0 {
			t.Fatalf("seed %d: %d bytes charged, %d leaving", seed, a.Bytes(), a.Leaving())
		}
	}
}

// note takes note of what is not in after any more.
func note(gone map[string]bool, before, after string) {
	left := strings.Fields(after)
	for _, text := range strings.Fields(before) {
		if !slices.Contains(left, text) {
			gone[text] = true
		}
	}
}

// A writer that takes the list, or what is dropped meanwhile, leaves no drop and no pass with segments that are not
// in the queue any more, or with a list that has got a new front.
func TestDropsBeginAnew(t *testing.T) {
	fill := func(q *Queue) {
		q.own("A")
		for i := range 3 {
			q.Share(fmt.Appendf(nil, "%d", i), 1, uint64(i+1), 0)
			if i == 0 {
				q.own("B")
			}
		}
		q.grown = q.bytes
	}
	begin := func(q *Queue) {
		q.DropBefore(-1, 1)            // passes A by
		q.KeepLatest(99, new(Pass), 5) // notes all
		q.KeepLatest(99, new(Pass), 2) // begins to drop
		if q.kept == nil || q.pass == nil || !q.pass.dropping {
			t.Fatal("nothing has begun")
		}
	}
	for name, then := range map[string]func(q *Queue){
		"all is written":  func(q *Queue) { q.Flush(&halves{5}, nil, 0, 0) },
		"some is written": func(q *Queue) { q.Flush(&halves{1}, nil, 0, 0) },
		"begun beside a writer": func(q *Queue) {
			f := &fakeSocket{}
			f.during = func() {
				q.Lock()
				q.grown = 1 << 20
				q.own("C")
				for range 4 {
					q.Share([]byte("x"), 1, 7, 0)
				}
				begin(q)
				q.Unlock()
				f.during = nil
			}
			q.Flush(f, nil, 0, 0)
		},
		"all is dropped": func(q *Queue) {
			q.DropOldest(0, 0, 0, all)
			q.Share([]byte("z"), 1, 9, 0) // the newest of its topic
			for range 2 {
				q.KeepLatest(99, new(Pass), 1)
			}
			if !strings.HasSuffix(q.texts(), "z") {
				t.Errorf("the newest was dropped: %s", q.texts())
			}
		},
	} {
		var q Queue
		if fill(&q); name != "begun beside a writer" {
			begin(&q)
		}
		then(&q)
		q.consistent(t)
		if name != "all is dropped" && (q.pass != nil || q.kept != nil) {
			t.Errorf("%s: a pass: %v, passed by: %v", name, q.pass != nil, q.kept != nil)
		}
		events := q.Events()
		q.Share([]byte("new"), 1, 0, 0)
		if n, _ := q.DropOldest(0, 0, 0, all); n != events+1 || q.Events() != 0 {
			t.Errorf("%s: %d of %d dropped: %s", name, n, events+1, q.texts())
		}
		q.consistent(t)
	}
	// What is encrypted stays, in however many parts it is passed by.
	var q Queue
	for range 3 {
		q.Share(make([]byte, 10), 1, 0, 0)
	}
	q.Seal(15)
	dropped := 0
	for most := 1; most < 5; most++ {
		n, _ := q.DropOldest(0, 0, 0, most)
		dropped += n
	}
	if dropped != 1 || q.Events() != 2 {
		t.Errorf("%d dropped of one that is not encrypted", dropped)
	}
}
