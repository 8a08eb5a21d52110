package realm

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// keptBed has history in realm1, and so much memory for what sessions keep that n steps are for what is kept for
// publishers.
func keptBed(t *testing.T, n int64) *bed {
	b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 1 << 20}), {URI: "realm2"}}})
	b.BytesMax = n * keptShare * historyStep
	return b
}

// othersFind checks that a client of another realm can still subscribe, register and call.
func (b *bed) othersFind() {
	b.t.Helper()
	q := b.connect(1, codec.MessagePack, 1<<20)
	q.hello("realm2")
	for i := range 100 {
		q.subscribe(1+i, "com.topic"+strconv.Itoa(i))
	}
	id := q.register(200, "com.proc", "single")
	for i := range 2 * callsStep {
		q.post(codec.Call, 201+i, values{}, "com.proc")
	}
	b.Settle()
	for range 2 * callsStep {
		q.expect(codec.Invocation, nil, id, values{})
	}
	q.HangUp()
	b.Settle()
}

// TestKeptRetained: LIM-01. Retained events of all realms together have a part of the memory. Beyond they are
// refused, while SUBSCRIBE, REGISTER and CALL find the rest; what goes has room for others.
func TestKeptRetained(t *testing.T) {
	t.Attr("checklist", "LIM-01")
	b := keptBed(t, 16)
	most := b.BytesMax / keptShare / retainedShare
	p, q := b.join(0), b.connect(1, codec.MessagePack, 1<<20)
	q.hello("realm2")
	long := strings.Repeat("x", 10_000)
	took := 0
	for i := range 100 {
		by := []*peer{p, q}[i%2]
		by.say(codec.Publish, 1+i/2, values{"retain": true, "acknowledge": true}, "r"+strconv.Itoa(i), []any{long})
		if m := by.hear(); m[0] == int64(codec.Published) && took == i {
			took++
		} else if m[0] != int64(codec.Error) || m[4] != string(codec.ErrOptionNotAllowed) {
			t.Fatalf("publication %d: %v", i, m)
		}
	}
	s := b.router.Stats()
	if s.RetainedBytes > most || s.RetainedBytes < most-11_000 || s.RetainedRefused != int64(100-took) {
		t.Errorf("%d of %d bytes are retained, %d of %d refused", s.RetainedBytes, most, s.RetainedRefused, 100-took)
	}
	b.othersFind()
	p.retain(101, "r0", "short")
	q.retain(101, "other", long[1000:])
	b.apply(Config{Realms: []RealmConfig{{URI: "realm3"}}})
	b.Settle()
	if n := b.router.Stats().RetainedBytes; n != 0 {
		t.Errorf("%d bytes are retained by nobody", n)
	}
}

// TestKeptHistory: LIM-01 and PUB-53. Histories in memory have what retained events leave of their part. At this
// bound each event is kept, the oldest of all go, and others find the rest; retained events find their half.
func TestKeptHistory(t *testing.T) {
	t.Attr("checklist", "LIM-01")
	b := keptBed(t, 16)
	p := b.join(0)
	half := b.Charged()
	long := strings.Repeat("x", 10_000)
	publish := func(from, n int) {
		for i := from; i < from+n; i++ {
			b.Advance(time.Millisecond)
			p.publish(i, []string{"com.h", "com.h.x"}[i%2], i, long)
			if kept := b.router.historyCharged.Load() + b.router.retainedCharged.Load(); kept > 16*historyStep {
				t.Fatalf("%d bytes are kept", kept)
			}
		}
	}
	publish(1, 200)
	s := b.router.Stats()
	if s.HistoryBytes < 14*historyStep || s.HistoryRefused != 0 || s.Recorded != 200 {
		t.Errorf("%d bytes of history, %d refused, %d recorded", s.HistoryBytes, s.HistoryRefused, s.Recorded)
	}
	check := func(last, least int) {
		t.Helper()
		st, _ := b.router.HistoryStats()
		most := b.BytesMax
		b.BytesMax = 0 // queries take of the rest, too
		newest := int64(last)
		for i, name := range []string{"com.h", "com.h."} {
			first, more := p.events(1000+10*last+2*i, p.lookUp(1001+10*last+2*i, name, matchNames[i]),
				values{"reverse": true})
			if len(first) < least || more["is_limit_reached"] != true {
				t.Errorf("%d events of %s, %v", len(first), name, more)
			}
			for j, n := range first {
				if n != newest-int64(i)-int64(2*j) {
					t.Fatalf("event %d of %s is %v", j, name, n)
				}
			}
		}
		b.BytesMax = most
		if st.Evicted != int64(last)-st.Records {
			t.Errorf("%d are counted as evicted, %d of %d are left", st.Evicted, st.Records, last)
		}
	}
	check(200, 40)
	b.othersFind()
	for i := range 60 {
		p.say(codec.Publish, 5000+i, values{"retain": true, "acknowledge": true}, "r"+strconv.Itoa(i), []any{long})
		if m := p.hear(); (m[0] == int64(codec.Published)) != (i < 49) {
			t.Fatalf("%d: %v", i, m[:1])
		}
	}
	if n := b.router.Stats().RetainedBytes; n > 8*historyStep || n < 8*historyStep-11_000 {
		t.Errorf("%d bytes are retained", n)
	}
	check(200, 20)
	publish(201, 100)
	check(300, 20)
	b.othersFind()
	if n := b.Charged() - half; n > 16*historyStep {
		t.Errorf("%d bytes are charged", n)
	}
}

// TestKeptBounds: PUB-53. The parts to the octet, and while others have all the rest: then histories go on with what
// they have. An event that has no room alone takes no other one with it.
func TestKeptBounds(t *testing.T) {
	const all = 16 * historyStep
	for i, c := range []struct {
		others, retained, history int // bytes that are charged before, in this order
		retain, record            int
		want                      bool
		left                      int64 // bytes that histories have then
	}{
		{0, 0, 0, all / 2, 0, true, 0},
		{0, 0, 0, all/2 + 1, 0, false, 0},
		{0, all/2 - 10, 0, 10, 0, true, 0},
		{0, all/2 - 10, 0, 11, 0, false, 0},
		{0, 0, all, all / 2, 0, true, all / 2},
		{0, 0, all, all/2 + 1, 0, false, all},
		{0, 0, all, 1, 0, true, all - historyStep},
		{all, 0, all, 1, 0, true, all - historyStep},
		{2 * all, 0, 0, 1, 0, false, 0},
		{2*all - 1, 0, 0, 1, 0, true, 0},
		{0, 0, 0, 0, all, true, all},
		{0, 0, 0, 0, all + 1, false, 0},
		{0, 1, 0, 0, all - historyStep, true, all - historyStep},
		{0, 1, 0, 0, all - historyStep + 1, false, 0},
		{0, 0, all, 0, 1000, true, all},
		{0, 0, all, 0, all + 1, false, all},
		{2*all - historyStep, 0, historyStep, 0, 1000, true, historyStep},
		{2*all - historyStep, 0, historyStep, 0, historyStep, true, historyStep},
		{2*all - historyStep, 0, historyStep, 0, historyStep + 1, false, historyStep},
		{2 * all, 0, 0, 0, 1, false, 0},
	} {
		b := keptBed(t, 16)
		r := b.router
		got, room := false, int64(c.record)
		b.Submit(0, func(x port.Executor) {
			if !r.chargeRetained(x, c.retained) || c.history > 0 && !r.chargeHistory(x, c.history) {
				t.Error("no room")
			}
			one := r.named["realm1"].recording.Load().all[0]
			e := history.Event{Topic: []byte("com.h"), Payload: codec.Payload{Args: make([]byte, 1000)}}
			n := int64(history.RecordRoom(&e) + history.RecordOverhead)
			for range int64(c.history) / n {
				if err := r.memory.Append(&e, []history.Log{one.log}, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !x.Charge(c.others) {
				t.Error("no room for the others")
			}
			before := r.memory.Bytes()
			if c.retain > 0 {
				got = r.chargeRetained(x, c.retain)
			} else {
				got = r.chargeHistory(x, c.record)
			}
			if !got && r.memory.Bytes() != before {
				t.Errorf("%d: %d bytes of events are gone", i, before-r.memory.Bytes())
			}
			if got && r.memory.Bytes()+room > c.left {
				t.Errorf("%d: %d bytes of events have no room", i, r.memory.Bytes()+room)
			}
		})
		b.Settle()
		retained := int64(c.retained)
		if got && c.retain > 0 {
			retained += int64(c.retain)
		}
		h := r.historyCharged.Load()
		if got != c.want || h > c.left || h < c.left-(historySteps+1)*historyStep || h == 0 && c.left > 0 ||
			r.retainedCharged.Load() != retained || b.Charged() != h+retained+int64(c.others) {
			t.Errorf("%d: %t, %d bytes of %d for histories, %d retained, %d in all", i, got, h, c.left,
				r.retainedCharged.Load(), b.Charged())
		}
	}
}

// TestKeptAtOnce: one loop retains an event while another one makes room for history: together they keep to their
// part.
func TestKeptAtOnce(t *testing.T) {
	for _, step := range []string{"history.charged", "retained.charged"} {
		b := keptBed(t, 4)
		records, retains := b.join(0), b.join(1)
		records.publish(1, "com.h", strings.Repeat("x", 3*historyStep-1000))
		record := func() {
			records.post(codec.Publish, 2, values{"acknowledge": true}, "com.h", []any{strings.Repeat("x", 2000)})
		}
		retain := func() {
			retains.post(codec.Publish, 1, values{"acknowledge": true, "retain": true}, "com.r", []any{1})
		}
		if step == "history.charged" {
			record()
			b.pauseAt(0, step, 1)
			retain()
			b.RunLoop(1)
		} else {
			retain()
			b.pauseAt(1, step, 1)
			record()
			b.RunLoop(0)
		}
		b.Settle()
		records.expect(codec.Published, 2, nil)
		retains.expect(codec.Published, 1, nil)
		r := b.router
		h, n := r.historyCharged.Load(), r.retainedCharged.Load()
		if h+n > 4*historyStep || n == 0 || h == 0 {
			t.Errorf("%s: %d bytes for histories, %d retained, of %d", step, h, n, 4*historyStep)
		}
	}
}
