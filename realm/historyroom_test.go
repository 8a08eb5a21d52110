package realm

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
	"banyan/realm/policy"

	"github.com/google/go-cmp/cmp"
)

// TestHistoryRoom: PUB-52. An answer has as many events as its transport takes, to the octet. An event that is longer
// alone is left out and counted.
func TestHistoryRoom(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	id := int64(b.store(4).sub.id)
	get := func(bytesMax int) *peer {
		p := b.joinAs(0, codec.JSON, bytesMax)
		p.say(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{id}, values{"after_publication": 1})
		return p
	}
	answer := get(1 << 20).Next() // three events of one length
	begin, list, _ := bytes.Cut(answer, []byte("{},["))
	list, _, _ = bytes.Cut(list, []byte("],{\"is_limit"))
	length := (len(list) - 2) / 3
	most := len(`{},[],{"is_limit_reached":false,"x_cut":true,"x_too_long":2147483647,` +
		`"x_untranscodable":2147483647}]`)
	for _, c := range []struct{ room, events int }{
		{length - 1, 0}, {length, 1}, {2 * length, 1}, {2*length + 1, 2}, {3*length + 1, 2}, {3*length + 2, 3},
	} {
		tooLong := b.router.Stats().EventsTooLong
		m := get(len(begin)+most+c.room).expect(codec.Result, 1, values{}, nil, nil)
		n, cut := len(m[3].([]any)), m[4].(values)["x_cut"] == true
		tooLong = b.router.Stats().EventsTooLong - tooLong
		said, _ := m[4].(values)["x_too_long"].(int64)
		if n != c.events || cut != (n == 1 || n == 2) || (tooLong == 3) != (n == 0) || said != tooLong {
			t.Errorf("room for %d of %d octets: %d events, %v, %d too long", c.room, length, n, m[4], tooLong)
		}
	}
}

// TestHistoryRooms: an answer fits every transport, with every serializer, and is as long as it can be: with room for
// so many events it has them, and no event is left out that has room alone.
func TestHistoryRooms(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	const all = 20
	w := b.join(0)
	for i := range all {
		w.publish(1+i, "com.h", strings.Repeat("x", 1000))
	}
	id := w.lookUp(100, "com.h", "exact")
	for s := codec.JSON; s <= codec.CBOR; s++ {
		length := func(events []any) int { // of the longest RESULT with them
			m := []any{codec.Result, 1, values{}, events, values{
				"is_limit_reached": false, "x_cut": true, "x_too_long": 1<<31 - 1, "x_untranscodable": 1<<31 - 1,
			}}
			return len(encodeMessage(t, s, codec.Result, m[1:]))
		}
		p := b.joinAs(0, s, 1<<20)
		p.say(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{id})
		events := p.expect(codec.Result, 1, values{}, nil, nil)[3].([]any)
		for i := range (all + 1) * 12 {
			bytesMax := length(events[:i/12]) + i%12 - 6
			if bytesMax < 1000 {
				continue // too short for WELCOME
			}
			p, limit := b.joinAs(0, s, bytesMax), 1+i%all
			p.say(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{id}, values{"limit": limit})
			m := p.expect(codec.Result, 1, values{}, nil, nil)
			got, more := m[3].([]any), m[4].(values)
			var fit []any
			for _, e := range events {
				if length([]any{e}) <= bytesMax {
					fit = append(fit, e)
				}
			}
			fit = fit[:min(limit, len(fit))]
			n := len(got)
			if diff := cmp.Diff(fit[:n], got); n > 0 && diff != "" {
				t.Fatalf("serializer %d, %d octets: %s", s, bytesMax, diff)
			}
			if length(got) > bytesMax || (more["x_cut"] == true) != (n < len(fit)) || n < len(fit) && (n == 0 ||
				length(fit[:n+1]) <= bytesMax-all-2) || n < limit && more["x_cut"] == nil &&
				more["x_too_long"] != int64(all-n) {
				t.Fatalf("serializer %d, %d octets: %d events of %d, %v", s, bytesMax, n, len(fit), more)
			}
			p.HangUp()
			b.Settle()
		}
	}
}

// TestHistoryPast: PUB-52. Events that are too long for a client do not count toward limit, however many of them lie
// side by side: page by page it gets all others, and is told how many were left out.
func TestHistoryPast(t *testing.T) {
	for _, onDisk := range []bool{false, true} {
		b := newBed(t, 1, Config{Disk: history.NewMemory(0), Realms: []RealmConfig{{URI: "realm1", History: []History{
			{Pattern: Pattern{URI: "com.h"}, OnDisk: onDisk},
		}}}})
		b.router.background = func(work func()) { work() }
		p := b.join(0)
		long := strings.Repeat("x", 2000)
		for i := range 1000 { // 0, 300 and 701 to 704 are short
			arg := any(long)
			if i == 0 || i == 300 || i > 700 && i < 705 {
				arg = i
			}
			p.publish(1+i, "com.h", arg)
		}
		for s := codec.JSON; s <= codec.CBOR; s++ {
			q := b.joinAs(0, s, 2048)
			id := q.lookUp(1, "com.h", "exact")
			last := any(nil)
			for i, c := range []struct {
				reverse bool
				limit   int
				want    []any
				tooLong any
			}{
				{false, 2, []any{int64(0), int64(300)}, int64(299)},
				{false, 3, []any{int64(701), int64(702), int64(703)}, int64(400)},
				{false, 1, []any{int64(704)}, nil},
				{false, 1, nil, int64(295)},
				{true, 1, []any{int64(704)}, int64(295)},
				{true, 4, []any{int64(704), int64(703), int64(702), int64(701)}, int64(295)},
				{true, 5, []any{int64(704), int64(703), int64(702), int64(701), int64(300)}, int64(695)},
			} {
				conditions := values{"limit": c.limit, "reverse": c.reverse}
				if !c.reverse {
					conditions["after_publication"] = last
				}
				q.say(codec.Call, 2+i, values{}, "wamp.subscription.get_events", []any{id}, conditions)
				m := q.expect(codec.Result, 2+i, values{}, nil, nil)
				var got []any
				for _, e := range m[3].([]any) {
					got = append(got, e.(values)["args"].([]any)[0])
					last = e.(values)["publication"]
				}
				more := m[4].(values)
				if !slices.Equal(got, c.want) || more["x_too_long"] != c.tooLong || more["x_cut"] != nil {
					t.Errorf("on disk %t, serializer %d, page %d: %v, %v", onDisk, s, i, got, more)
				}
			}
		}
	}
}

// TestHistoryUntranscodable: an event that the caller's serializer cannot carry is left out, as it was for
// subscribers, and counted.
func TestHistoryUntranscodable(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p, q := b.join(0), b.joinAs(0, codec.JSON, 1<<20)
	p.Send([]byte("\x95\x10\x01\x80\xa5com.h" + listAsKey))
	p.publish(2, "com.h", "next")
	id := p.lookUp(3, "com.h", "exact")
	for i, conditions := range []values{nil, {"limit": 1}} {
		if got, more := q.events(1+i, id, conditions); len(got) != 1 || got[0] != "next" || more["x_cut"] != nil ||
			more["x_untranscodable"] != int64(1) || more["x_too_long"] != nil {
			t.Errorf("got %v, %v", got, more)
		}
	}
	if n := b.router.Stats().EventsUntranscodable; n != 2 {
		t.Errorf("%d are counted", n)
	}
}

// TestHistoryCutPast: PUB-52. If an event is left out, an answer with as many others as the router returns at once
// says that it is cut if there are more, and no more is read than it has.
func TestHistoryCutPast(t *testing.T) {
	for _, more := range []int{0, 1, 300} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 20_000})}})
		p, q := b.join(0), b.joinAs(0, codec.JSON, 16<<20)
		p.Send([]byte("\x95\x10\x01\x80\xa5com.h" + listAsKey))
		b.Settle()
		id := int64(b.store(queryEventsMax + more).sub.id)
		for i, c := range []struct{ limit, events, turns int }{
			{1, 1, 3}, {300, 300, 4}, {queryEventsMax, queryEventsMax, 100}, {0, queryEventsMax, 100},
		} {
			conditions := values{}
			if c.limit > 0 {
				conditions["limit"] = c.limit
			}
			q.post(codec.Call, 1+i, values{}, "wamp.subscription.get_events", []any{id}, conditions)
			turns := 0
			for b.RunLoop(0); b.Async() > 0; turns++ {
				b.StepAsync(0)
				for b.RunLoop(0) {
				}
			}
			m := q.expect(codec.Result, 1+i, values{}, nil, nil)
			n, said := len(m[3].([]any)), m[4].(values)
			if n != c.events || said["x_untranscodable"] != int64(1) || turns > c.turns ||
				(said["x_cut"] == true) != (more > 0 && c.limit == 0) {
				t.Errorf("%d more, limit %d: %d events, %v, after %d turns", more, c.limit, n, said, turns)
			}
		}
	}
}

// TestHistoryFoundPast: a query that has its limit behind an event that is left out ends there, and looks at no more.
func TestHistoryFoundPast(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.", Match: codec.Prefix}, Bounds: history.Bounds{Events: 20_000}},
	}}}})
	p, q := b.join(0), b.joinAs(0, codec.JSON, 1<<20)
	p.Send([]byte("\x95\x10\x01\x80\xa5com.r" + listAsKey))
	p.publish(2, "com.r", "next")
	id := int64(b.store(10_000).sub.id)
	q.post(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{id}, values{"limit": 1, "topic": "com.r"})
	turns := 0
	for b.RunLoop(0); b.Async() > 0; turns++ {
		b.StepAsync(0)
		for b.RunLoop(0) {
		}
	}
	m := q.expect(codec.Result, 1, values{}, nil, nil)
	if n := len(m[3].([]any)); n != 1 || turns > 3 {
		t.Errorf("%d events after %d turns, %v", n, turns, m[4])
	}
}

// TestHistoryAnswerBytes: PUB-52. An answer has so many octets of events, whatever the transport takes.
func TestHistoryAnswerBytes(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p, q := b.join(0), b.joinAs(0, codec.MessagePack, 16<<20)
	long := strings.Repeat("x", queryBytesMax/20)
	for i := range 25 {
		p.publish(1+i, "com.h", long)
	}
	if got, more := q.events(1, q.lookUp(2, "com.h", "exact"), nil); len(got) != 19 || more["x_cut"] != true {
		t.Errorf("%d events, %v", len(got), more)
	}
}

// TestHistoryWithoutPool: a query that the pool has no room for is refused, and leaves nothing behind.
func TestHistoryWithoutPool(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p := b.join(0)
	id := p.lookUp(1, "com.h", "exact")
	before := b.Charged()
	p.post(codec.Call, 2, values{}, "wamp.subscription.get_events", []any{id})
	b.RunLoop(0) // up to its arguments, which the pool reads
	b.Submit(0, func(x port.Executor) { x.Async(func(context.Context) {}, func(port.Executor) {}) })
	b.RunLoop(0)
	b.AsyncMax = 1
	b.StepAsync(0)
	b.RunLoop(0)
	p.refused(codec.Call, 2, codec.ErrUnavailable)
	if n := b.Charged() - before; n != 0 || b.router.queries.Load() != 0 || b.router.Stats().QueriesRefused != 1 {
		t.Errorf("%d bytes are charged, %d queries, %+v", n, b.router.queries.Load(), b.router.Stats())
	}
	b.Settle()
	p.events(3, id, nil)
}

// TestHistoryOfRefused: a publication that the disk refuses is in no other history either.
func TestHistoryOfRefused(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0), full: history.ErrFull}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
		{Pattern: Pattern{URI: "com", Match: codec.Prefix}},
	}}}})
	p := b.join(0)
	id := p.lookUp(1, "com", "prefix")
	p.say(codec.Publish, 2, values{"acknowledge": true}, "com.d", []any{"refused"})
	p.refused(codec.Publish, 2, codec.ErrUnavailable)
	p.say(codec.Publish, 3, values{}, "com.d", []any{"delivered"})
	if got, _ := p.events(4, id, nil); len(got) != 1 || got[0] != "delivered" {
		t.Errorf("got %v", got)
	}
}

// TestHistoryOfSessionLists: PUB-48. An event whose lists name sessions has no place in history. That is no fault: it
// is not counted, and its publisher waits for no disk.
func TestHistoryOfSessionLists(t *testing.T) {
	b := newBed(t, 1, Config{Disk: history.NewMemory(0), Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
		{Pattern: Pattern{URI: "com", Match: codec.Prefix}},
	}}}})
	p := b.join(0)
	p.say(codec.Publish, 1, values{"acknowledge": true, "exclude": []any{1}}, "com.d")
	p.expect(codec.Published, 1, nil)
	if s := b.router.Stats(); s.HistoryRefused != 0 || s.Recorded != 0 {
		t.Errorf("%d refused, %d recorded", s.HistoryRefused, s.Recorded)
	}
}

// TestHistoryInTwo: PUB-53. An event that two histories in memory keep is charged twice.
func TestHistoryInTwo(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.h"}}, {Pattern: Pattern{URI: "com", Match: codec.Prefix}},
	}}}})
	p := b.join(0)
	before := b.Charged()
	p.publish(1, "com.h", strings.Repeat("x", historyStep/2+1))
	if n := b.Charged() - before; n != 2*historyStep {
		t.Errorf("%d bytes are charged", n)
	}
}

// TestHistoryClosed: a query that cannot be read is answered by its timer if nobody can wake the loop, and the timer
// ends with it.
func TestHistoryClosed(t *testing.T) {
	d := history.NewMemory(0)
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{
		URI: "realm1", History: []History{{Pattern: Pattern{URI: "com.h"}, OnDisk: true}},
	}}})
	b.router.background = func(work func()) { work() }
	p := b.join(0)
	id := p.lookUp(1, "com.h", "exact")
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var full port.Loops = fullLoops{b.World}
	b.router.loops.Store(&full)
	p.say(codec.Call, 2, values{}, "wamp.subscription.get_events", []any{id})
	p.silent()
	b.Advance(queryLookAfter)
	b.Settle()
	p.refused(codec.Call, 2, codec.ErrUnavailable)
	if n := b.Loops[0].Armed(); n != 0 {
		t.Errorf("%d timers", n)
	}
}

// TestStoredAtOnce: LIM-01. If the disk has stored more events than a turn acknowledges, the rest follow in other
// turns, without a timer; where the loop cannot be woken, each time the timer fires.
func TestStoredAtOnce(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0)}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
	}}}})
	p := b.join(0)
	const n = 2*storedAtOnce + 1
	for round := range 2 {
		for i := range n {
			p.post(codec.Publish, round*n+i+1, values{"acknowledge": true}, "com.d")
		}
		b.Settle()
		p.silent()
		d.commit(nil)
		b.Settle()
		for i := range n {
			p.expect(codec.Published, round*n+i+1, nil)
		}
	}
	for i := range n {
		p.post(codec.Publish, 2*n+i+1, values{"acknowledge": true}, "com.d")
	}
	b.Settle()
	loops := b.router.loops.Swap(nil)
	d.commit(nil)
	b.Settle()
	p.silent()
	for told := 0; told < n; {
		b.Advance(storedLookAfter)
		b.Settle()
		for range min(storedAtOnce, n-told) {
			told++
			p.expect(codec.Published, 2*n+told, nil)
		}
		p.silent()
	}
	b.router.loops.Store(loops)
	if b.router.storing[0].open != 0 || b.Loops[0].Armed() != 0 {
		t.Errorf("%d are open, %d timers", b.router.storing[0].open, b.Loops[0].Armed())
	}
}

// TestHistoryChargedTwice: two loops make room for an event in memory at the same time. The one that loses gives back
// what it has taken.
func TestHistoryChargedTwice(t *testing.T) {
	b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p, q := b.join(0), b.join(1)
	before := b.Charged()
	p.post(codec.Publish, 1, values{"acknowledge": true}, "com.h", []any{"p"})
	b.pauseAt(0, "history.charged", 1)
	q.post(codec.Publish, 1, values{"acknowledge": true}, "com.h", []any{"q"})
	b.RunLoop(1)
	q.expect(codec.Published, 1, nil)
	b.Settle()
	p.expect(codec.Published, 1, nil)
	if n, r := b.Charged()-before, b.router; n != historyStep || n != r.historyCharged.Load() {
		t.Errorf("%d bytes are charged, and %d are known, want %d", n, r.historyCharged.Load(), historyStep)
	}
	if s := b.router.Stats(); s.Recorded != 2 || s.HistoryRefused != 0 {
		t.Errorf("%d are recorded, %d refused", s.Recorded, s.HistoryRefused)
	}
}

// TestHistoryRefusedByTwo: PUB-53. An event is counted once, however many of its histories do not take it, and the
// log names each reason. It counts as recorded too if one of them takes it.
func TestHistoryRefusedByTwo(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0)}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.h"}},
		{Pattern: Pattern{URI: "com", Match: codec.Prefix}},
		{Pattern: Pattern{URI: "com.", Match: codec.Prefix}, OnDisk: true},
	}}}})
	var errs []error
	b.Warned = func(_ string, args ...any) { errs = append(errs, args[len(args)-1].(error)) }
	p := b.join(0)
	long := strings.Repeat("x", historyStep)
	for i, c := range []struct {
		room, full        bool
		recorded, refused int64
	}{
		{true, false, 1, 0}, {true, true, 1, 1}, {false, false, 1, 1}, {false, true, 0, 1},
	} {
		b.BytesMax, d.full, errs = 0, nil, nil
		if !c.room {
			b.BytesMax = b.Charged()
		}
		if c.full {
			d.full = history.ErrFull
		}
		before := b.router.Stats()
		b.Advance(warnEvery)
		p.publish(1+i, "com.h", long)
		s := b.router.Stats()
		if n, m := s.Recorded-before.Recorded, s.HistoryRefused-before.HistoryRefused; n != c.recorded ||
			m != c.refused {
			t.Errorf("room %t, full %t: %d recorded, %d refused, want %d and %d", c.room, c.full, n, m, c.recorded,
				c.refused)
		}
		err := errors.Join(errs...)
		if len(errs) != int(c.refused) || errors.Is(err, errHistoryBudget) == c.room ||
			errors.Is(err, history.ErrFull) != c.full {
			t.Errorf("room %t, full %t: the log says %v", c.room, c.full, err)
		}
	}
}

// TestHistoryOfOneURI: PUB-41. A topic, a prefix and a wildcard of the same text have a history each, which is found
// by the subscription that it is of.
func TestHistoryOfOneURI(t *testing.T) {
	var all []History
	for match := codec.Exact; match <= codec.Wildcard; match++ {
		all = append(all, History{Pattern: Pattern{URI: "com.h", Match: match}, Bounds: history.Bounds{
			Events: 1 + int(match),
		}})
	}
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", History: all}}})
	p := b.join(0)
	for i := range 5 {
		p.publish(i+1, "com.h", i)
	}
	for match, name := range matchNames {
		if got, _ := p.events(10+2*match, p.lookUp(11+2*match, "com.h", name), nil); len(got) != 1+match {
			t.Errorf("%s: %v, want %d events", name, got, 1+match)
		}
	}
}

// TestHistoryOfAnother: PUB-50. While an authorizer decides about a get_events the history ends and another one of
// the same topic begins, with another subscription: that one was not asked for.
func TestHistoryOfAnother(t *testing.T) {
	t.Attr("checklist", "PUB-50")
	var cfg Config
	b := newAuthorizerBed(t, 1, func(_ *Authorizer, c *Config) {
		c.Realms[0].History = []History{{Pattern: Pattern{URI: "asked.h"}}}
		c.Realms[0].Policy = compile(t, policy.RoleDefinition{
			Name: "anonymous", Dynamic: true, Permissions: []policy.Permission{{
				URI: "wamp.", Match: "prefix", Allow: &policy.Actions{Call: true},
			}},
		})
		cfg = *c
	})
	cfg.Loops = 1
	p := b.join(0)
	id := p.lookUp(1, "asked.h", "exact")
	p.say(codec.Call, 2, values{}, "wamp.subscription.get_events", []any{id})
	p.silent()
	without := cfg
	without.Realms = []RealmConfig{cfg.Realms[0]}
	without.Realms[0].History = nil
	b.apply(without)
	b.apply(cfg)
	if now := b.router.named["realm1"].recording.Load().all[0].sub.id; int64(now) == id {
		t.Fatal("it is the same subscription")
	}
	b.answer(Subscribe, "asked.h", true)
	p.refused(codec.Call, 2, codec.ErrNoSuchSubscription)
}

// TestStoredTimerIsNotPutOff: where the loop cannot be woken, the timer fires so long after the first publication
// that waits for the disk, whatever others come behind it.
func TestStoredTimerIsNotPutOff(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0)}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
	}}}})
	p := b.join(0)
	b.router.loops.Store(nil)
	for i := range 2 {
		p.say(codec.Publish, 1+i, values{"acknowledge": true}, "com.d")
		d.commit(nil)
		p.silent()
		b.Advance(storedLookAfter / 2)
		b.Settle()
	}
	p.expect(codec.Published, 1, nil)
	p.expect(codec.Published, 2, nil)
}

// TestHistoryGivesBack: so many steps of the budget may be unused, and more are given back.
func TestHistoryGivesBack(t *testing.T) {
	b := newBed(t, 1, Config{})
	r := b.router
	for unused := range int64(2*historySteps + 1) {
		want := 1 + unused
		if unused > historySteps {
			want = 1
		}
		b.Submit(0, func(x port.Executor) {
			x.Charge(int((1+unused)*historyStep - r.historyCharged.Load()))
			r.historyCharged.Store((1 + unused) * historyStep)
			if !r.chargeHistory(x, historyStep) {
				t.Error("there is no room")
			}
		})
		b.Settle()
		if n := r.historyCharged.Load(); n != want*historyStep || b.Charged() != n {
			t.Errorf("of %d steps that are unused, with %d bytes charged for %d, want %d", unused, b.Charged(), n,
				want*historyStep)
		}
	}
}
