package realm

import (
	"slices"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
	"banyan/realm/policy"
	"banyan/realm/realmtest"
)

// TestHistoryAuthorizer: PUB-50. An authorizer decides whether get_events may be called, and whether the caller may
// subscribe to the topic: each of its answers counts, and a caller that leaves meanwhile is told nothing.
func TestHistoryAuthorizer(t *testing.T) {
	t.Attr("checklist", "PUB-50")
	const procedure = "wamp.subscription.get_events"
	b := newAuthorizerBed(t, 2, func(az *Authorizer, cfg *Config) {
		az.Cache = false
		cfg.Realms[0].History = []History{{Pattern: Pattern{URI: "asked.h"}}}
		cfg.Realms[0].Policy = compile(t, policy.RoleDefinition{Name: "anonymous", Dynamic: true})
	})
	id := int64(b.router.named["realm1"].recording.Load().all[0].sub.id)
	p := b.join(0)
	p.say(codec.Publish, 1, values{"acknowledge": true}, "asked.h", []any{"secret"})
	b.answer(Publish, "asked.h", true)
	p.expect(codec.Published, 1, nil)
	for i, c := range []struct{ call, subscribe, got bool }{
		{false, true, false}, {true, false, false}, {true, true, true}, {true, false, false},
	} {
		request := 10 + i
		p.say(codec.Call, request, values{}, procedure, []any{id})
		b.answer(Call, procedure, c.call)
		if c.call {
			p.silent()
			b.answer(Subscribe, "asked.h", c.subscribe)
		}
		if !c.got {
			p.refused(codec.Call, request, codec.ErrNotAuthorized)
			continue
		}
		if got := p.expect(codec.Result, request, values{}, nil, nil); len(got[3].([]any)) != 1 {
			t.Errorf("got %v", got)
		}
	}
	p.say(codec.Call, 20, values{}, procedure, []any{id})
	b.answer(Call, procedure, true)
	p.HangUp()
	b.Settle()
	b.answer(Subscribe, "asked.h", true)
	if n := b.router.queries.Load(); n != 0 {
		t.Errorf("%d queries are under way", n)
	}
}

// TestHistoryQueriesAtOnce: queriesAtOnce of the router are under way, one more is refused and counted; when one has
// ended another one has its place, each time.
func TestHistoryQueriesAtOnce(t *testing.T) {
	d := history.NewMemory(0)
	b := newBed(t, 2, Config{Disk: d, Realms: []RealmConfig{{
		URI: "realm1", History: []History{{Pattern: Pattern{URI: "com.d"}, OnDisk: true}},
	}}})
	var under []func()
	b.router.background = func(work func()) { under = append(under, work) }
	p := b.join(0)
	p.publish(1, "com.d", 1)
	id := p.lookUp(2, "com.d", "exact")
	var peers []*peer
	for i := range queriesAtOnce + 1 {
		peers = append(peers, b.join(i%2))
	}
	before := b.Charged()
	last := peers[queriesAtOnce]
	for round := range 2 {
		for i, q := range peers[:queriesAtOnce] {
			q.say(codec.Call, 1+round, values{}, "wamp.subscription.get_events", []any{id})
			q.silent()
			if n := b.Charged() - before; n != int64(i+1)*queryPageBytes {
				t.Errorf("%d bytes are charged for %d queries", n, i+1)
			}
		}
		last.eventsRefused(1+2*round, id, codec.ErrUnavailable)
		if s := b.router.Stats(); s.QueriesRefused != int64(1+round) {
			t.Errorf("%d queries were refused", s.QueriesRefused)
		}
		under[0]()
		b.Settle()
		peers[0].expect(codec.Result, 1+round, values{}, nil, nil)
		last.say(codec.Call, 2+2*round, values{}, "wamp.subscription.get_events", []any{id})
		last.silent()
		for _, work := range under[1:] {
			work()
		}
		under = nil
		b.Settle()
		for _, q := range peers[1:queriesAtOnce] {
			q.expect(codec.Result, 1+round, values{}, nil, nil)
		}
		last.expect(codec.Result, 2+2*round, values{}, nil, nil)
		if n := b.Charged() - before; n != 0 || b.router.queries.Load() != 0 {
			t.Errorf("%d bytes are charged, %d queries are under way", n, b.router.queries.Load())
		}
	}
	if s := b.router.Stats(); s.Queries != 2*(queriesAtOnce+1) {
		t.Errorf("%d queries were answered", s.Queries)
	}
	for _, loop := range b.Loops {
		if n := loop.Armed(); n != 0 {
			t.Errorf("%d timers are armed", n)
		}
	}
}

// TestHistoryOfAMillion: a query of a million events looks at them in the pool, and the loop goes on meanwhile. The
// answer is bounded, and one that finds little is complete; what it must not find is not found either.
func TestHistoryOfAMillion(t *testing.T) {
	if testing.Short() {
		t.Skip("-short, for the race detector: one goroutine computes much; runs without -short try it")
	}
	const stored = 1_100_000
	rc := kept("realm1", history.Bounds{Events: stored, Bytes: 1 << 30})
	b := newBed(t, 1, Config{HistoryBytesMax: 1 << 30, Realms: []RealmConfig{rc}})
	one := b.store(stored)
	q := b.joinAs(0, codec.MessagePack, 16<<20)
	other := b.join(0)
	id := int64(one.sub.id)
	for i, c := range []struct {
		conditions values
		events     int
		cut        bool
	}{
		{nil, 10_000, true},
		{values{"limit": 10_000}, 10_000, false},
		{values{"limit": 10_001}, 10_000, true},
		{values{"reverse": true, "limit": 3}, 3, false},
		{values{"topic": "com.nothing"}, 0, false},
		{values{"from_publication": 1, "limit": 2}, 2, false},
		{values{"after_publication": stored}, 0, false},
		{values{"from_time": noon.Add(stored - 5).Format(time.RFC3339Nano)}, 5, false},
	} {
		q.post(codec.Call, 1+i, values{}, "wamp.subscription.get_events", []any{id}, c.conditions)
		worked := b.Loops[0].Worked()
		for b.Async() == 0 {
			b.StepLoop(0)
		}
		other.post(codec.Publish, 1+i, values{"acknowledge": true}, "com.other")
		b.RunLoop(0)
		other.expect(codec.Published, 1+i, nil)
		q.silent()
		b.Settle()
		got := q.expect(codec.Result, 1+i, values{}, nil, nil)
		more := got[4].(values)
		if n := len(got[3].([]any)); n != c.events || (more["x_cut"] == true) != c.cut {
			t.Errorf("%v: %d events, %v", c.conditions, n, more)
		}
		if n := b.Loops[0].Worked() - worked; n > 100 {
			t.Errorf("%v: the loop did %d units of work", c.conditions, n)
		}
	}
}

// TestHistoryWhileTopicsChange: the topics of a history, and whether it is in memory or on a disk, change while loops
// publish at the same time. A history that stays has all events, once and in the order of each publisher; nobody is
// refused, and nothing is left behind.
func TestHistoryWhileTopicsChange(t *testing.T) {
	const loops, rounds, perRound = 3, 12, 40
	d := history.NewMemory(0)
	config := func(i int) Config {
		all := []History{{Pattern: Pattern{URI: "com.stays"}, Bounds: history.Bounds{Events: 1 << 20}}}
		if i%2 == 0 {
			all = append(all, History{Pattern: Pattern{URI: "com.", Match: codec.Prefix}})
		}
		all = append(all, History{Pattern: Pattern{URI: "com.moves"}, OnDisk: i%3 == 0})
		return Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: all}}}
	}
	cfg := config(0)
	cfg.Loops = loops
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := realmtest.NewWorld(1, loops)
	w.Open = r.Open
	if err := r.Attach(w); err != nil {
		t.Fatal(err)
	}
	b := &bed{World: w, t: t, router: r}
	var peers []*peer
	for i := range loops {
		peers = append(peers, b.join(i))
	}
	before := w.Charged()
	w.Start()
	for round := range rounds {
		for i, p := range peers {
			for n := range perRound {
				number := round*perRound + n
				p.post(codec.Publish, 2*number+1, values{"acknowledge": true}, "com.stays", []any{i, number})
				p.post(codec.Publish, 2*number+2, values{"acknowledge": true}, "com.moves", []any{i, number})
			}
		}
		done := make(chan struct{})
		if err := r.apply(config(round+1), func(Report) { close(done) }); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	w.Settle()
	for _, p := range peers {
		for n := range 2 * rounds * perRound {
			p.expect(codec.Published, n+1, nil)
		}
	}
	rc := r.named["realm1"].recording.Load()
	next := make([]int64, loops)
	one := rc.of(nil, []byte("com.stays"))[0]
	if err := one.store.Scan(one.log, 0, 1<<62, false, func(_ uint64, rec []byte) bool {
		e, err := history.ReadRecord(rec)
		if err != nil {
			t.Fatal(err)
		}
		v, err := codec.Value(e.Payload.Format, e.Payload.Args)
		if err != nil {
			t.Fatal(err)
		}
		args := v.([]any)
		if by := args[0].(int64); args[1] != next[by] {
			t.Errorf("publication %v of %d came, %d is next", args[1], by, next[by])
		}
		next[args[0].(int64)]++
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(next, slices.Repeat([]int64{rounds * perRound}, loops)) {
		t.Errorf("%v events are kept", next)
	}
	last := config(0)
	last.Realms[0].History = nil
	done := make(chan struct{})
	if err := r.apply(last, func(Report) { close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
	w.Settle()
	if s, _ := r.HistoryStats(); s.Logs != 0 || s.Bytes != 0 {
		t.Errorf("left in memory: %+v", s)
	}
	if n := w.Charged() - before - r.historyCharged.Load(); n != 0 {
		t.Errorf("%d bytes are charged", n)
	}
	if rm := r.named["realm1"]; !rm.topics.Empty() {
		t.Error("a topic is left behind")
	}
	w.Stop()
}

// TestHistoryTime: PUB-45 and PUB-52. A query has its time, and goes on until then, whatever part of the history it
// looks at. If it has found events they are the answer, which says that it is cut; else it is refused, and counted.
func TestHistoryTime(t *testing.T) {
	t.Attr("checklist", "PUB-52")
	for _, onDisk := range []bool{false, true} {
		kept := History{Pattern: Pattern{URI: "com.h"}, Bounds: history.Bounds{Events: 10_000}, OnDisk: onDisk}
		b := newBed(t, 1, Config{
			Disk: history.NewMemory(0), Realms: []RealmConfig{{URI: "realm1", History: []History{kept}}},
		})
		b.router.background = func(work func()) { work() }
		one := b.store(10_000)
		q := b.join(0)
		before := b.Charged()
		for i, c := range []struct {
			conditions values
			page       time.Duration // that each page takes
			events     int           // -1: none, it is refused
		}{
			{values{"limit": 1000}, queryTimeMax / 3, 3 * 256},
			{values{"limit": 1000}, queryTimeMax/3 - 1, 1000},
			{values{"limit": 1000}, queryTimeMax, 256},
			{values{"topic": "com.none"}, queryTimeMax/9 + 1, -1},
			{values{"topic": "com.none"}, queryTimeMax / 9, 0},
			{values{"from_publication": 1, "limit": 1}, queryTimeMax / 10, -1},
			{values{"from_publication": 1, "limit": 1}, queryTimeMax/10 - 1, 1},
			{values{"from_publication": 10_000}, queryTimeMax/2 - 1, 1},
		} {
			refused := b.router.Stats().QueriesRefused
			q.post(codec.Call, 1+i, values{}, "wamp.subscription.get_events", []any{int64(one.sub.id)}, c.conditions)
			turn := func() {
				for b.RunLoop(0) {
				}
			}
			for turn(); b.Async() > 0; turn() {
				if b.router.queries.Load() > 0 {
					b.router.started = b.router.started.Add(-c.page) // the timers of the bed stay where they are
				}
				b.StepAsync(0)
			}
			if c.events < 0 {
				q.refused(codec.Call, 1+i, codec.ErrUnavailable)
			} else {
				m := q.expect(codec.Result, 1+i, values{}, nil, nil)
				n, cut := len(m[3].([]any)), m[4].(values)["x_cut"] == true
				limit, limited := c.conditions["limit"].(int)
				if n != c.events || cut != (limited && n < limit && c.conditions["from_publication"] == nil) {
					t.Errorf("on disk %t, %d: %d events, cut %t", onDisk, i, n, cut)
				}
			}
			if n := b.router.Stats().QueriesRefused - refused; n != map[bool]int64{true: 1}[c.events < 0] {
				t.Errorf("on disk %t, %d: %d are counted as refused", onDisk, i, n)
			}
			if n := b.Charged() - before; n != 0 || b.router.queries.Load() != 0 {
				t.Errorf("on disk %t, %d: %d bytes are charged, %d queries", onDisk, i, n, b.router.queries.Load())
			}
		}
	}
}

// TestHistoryTurns: the pool has a query page by page, so that other work gets its turn, and no page is long. If the
// caller is ended between two pages the query ends, and leaves nothing behind. (One that hangs up is held, and heard
// behind its query.)
func TestHistoryTurns(t *testing.T) {
	const stored = 2000
	for _, onDisk := range []bool{false, true} {
		d := history.NewMemory(0)
		b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{
			URI: "realm1", History: []History{{
				Pattern: Pattern{URI: "com.h"}, Bounds: history.Bounds{Events: stored},
				OnDisk: onDisk,
			}},
		}}})
		b.router.background = func(work func()) { work() }
		one := b.store(stored)
		turn := func() {
			for b.RunLoop(0) {
			}
		}
		before := b.Charged()
		for round := range 2 {
			q := b.join(0)
			at := b.Charged()
			q.post(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{int64(one.sub.id)})
			turns := 0
			for turn(); b.Async() > 0; turn() {
				if b.Async() != 1 {
					t.Fatalf("%d pieces of work at a time", b.Async())
				}
				if turns++; round == 1 && turns == 3 {
					if err := b.router.kill(q.id, "", "", func(bool) {}); err != nil {
						t.Fatal(err)
					}
					turn()
				}
				b.StepAsync(0)
			}
			if round == 0 && (turns < 8 || turns > 9) || round == 1 && turns != 3 {
				t.Errorf("on disk %t: %d turns", onDisk, turns)
			}
			if round == 0 {
				got := q.expect(codec.Result, 1, values{}, nil, nil)
				if n := len(got[3].([]any)); n != stored {
					t.Errorf("on disk %t: %d events", onDisk, n)
				}
				if n := b.Charged() - at; n != 0 {
					t.Errorf("%d bytes are charged", n)
				}
			}
			q.HangUp()
			b.Settle()
		}
		if n := b.Charged() - before; n != 0 || b.router.queries.Load() != 0 || b.Loops[0].Armed() != 0 {
			t.Errorf("on disk %t: %d bytes are charged, %d queries, %d timers", onDisk, n, b.router.queries.Load(),
				b.Loops[0].Armed())
		}
	}
}

// TestHistoryMemory: a query takes of the budget what its events take, and room for a page. If there is no room for
// one page it is refused; if there is none for another one, what it has is the answer.
func TestHistoryMemory(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 2000})}})
	one := b.store(2000)
	q := b.join(0)
	at := b.Charged()
	for i, c := range []struct{ room, events int }{
		{queryPageBytes - 1, 0},
		{queryPageBytes, 256},
		{queryPageBytes + 40<<10, 512},
		{1 << 30, 2000},
		{queryPageBytes, 256},
	} {
		b.BytesMax = at + int64(c.room)
		if c.events == 0 {
			q.eventsRefused(1+i, int64(one.sub.id), codec.ErrUnavailable)
		} else {
			q.say(codec.Call, 1+i, values{}, "wamp.subscription.get_events", []any{int64(one.sub.id)})
			got := q.expect(codec.Result, 1+i, values{}, nil, nil)
			n, cut := len(got[3].([]any)), got[4].(values)["x_cut"] == true
			if n != c.events || cut != (n < 2000) {
				t.Errorf("room for %d bytes: %d events, cut %t", c.room, n, cut)
			}
		}
		if n := b.Charged() - at; n != 0 {
			t.Errorf("%d bytes are charged", n)
		}
	}
}

// store puts n events into the first history of realm1.
func (b *bed) store(n int) *recorder {
	b.t.Helper()
	one := b.router.named["realm1"].recording.Load().all[0]
	e := history.Event{
		Topic: []byte("com.h"), Payload: codec.Payload{Format: codec.MessagePack, Args: []byte{0x91, 7}},
	}
	for i := range uint64(n) {
		e.Publication, e.Time = i+1, noon.Add(time.Duration(i)).UnixNano()
		if err := one.store.Append(&e, []history.Log{one.log}, nil); err != nil {
			b.t.Fatal(err)
		}
	}
	return one
}

// TestHistoryTimer: if a goroutine that has read a page cannot wake the loop, the timer of the query does. A page
// that both tell of is encoded once.
func TestHistoryTimer(t *testing.T) {
	for _, wakes := range []bool{false, true} {
		d := history.NewMemory(0)
		b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{
			URI: "realm1", History: []History{{Pattern: Pattern{URI: "com.h"}, OnDisk: true}},
		}}})
		one := b.store(600)
		b.router.background = func(work func()) { work() }
		q := b.join(0)
		q.lookUp(2, "com.h", "exact") // makes the catalog, from outside
		if !wakes {
			var full port.Loops = fullLoops{b.World}
			b.router.loops.Store(&full)
		}
		q.post(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{int64(one.sub.id)})
		turn := func() {
			for b.RunLoop(0) {
			}
		}
		pages := 0
		for turn(); pages < 10 && (b.Async() > 0 || b.Loops[0].Armed() > 0); turn() {
			b.Advance(queryLookAfter)
			turn()
			if n := b.Async(); n > 1 {
				t.Fatalf("%d pages are encoded at a time", n)
			}
			under := int(b.router.queries.Load()) // not yet while its arguments are read
			for b.Async() > 0 {
				b.StepAsync(0)
				pages += under
			}
		}
		if got := q.expect(codec.Result, 1, values{}, nil, nil); len(got[3].([]any)) != 600 || pages != 3 {
			t.Errorf("woken %t: %d events on %d pages", wakes, len(got[3].([]any)), pages)
		}
	}
}

// fullLoops have no room for what comes from outside.
type fullLoops struct{ port.Loops }

func (fullLoops) Submit(int, func(x port.Executor)) bool { return false }
