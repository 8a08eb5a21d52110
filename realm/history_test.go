package realm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/history"
	"banyan/realm/policy"
)

// kept is a realm that keeps the history of com.h and of the prefix com.h. in memory.
func kept(uri string, b history.Bounds) RealmConfig {
	return RealmConfig{URI: uri, History: []History{
		{Pattern: Pattern{URI: "com.h"}, Bounds: b},
		{Pattern: Pattern{URI: "com.h.", Match: codec.Prefix}, Bounds: b},
	}}
}

// lookUp finds the id of a subscription.
func (p *peer) lookUp(request int, uri, match string) any {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.subscription.lookup", []any{uri, values{"match": match}})
	return p.expect(codec.Result, request, values{}, nil)[3].([]any)[0]
}

// events asks for the history of a subscription, and returns the first argument of each event.
func (p *peer) events(request int, id any, conditions values) (first []any, more values) {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.subscription.get_events", []any{id}, conditions)
	got := p.expect(codec.Result, request, values{}, nil, nil)
	for _, e := range got[3].([]any) {
		first = append(first, e.(values)["args"].([]any)[0])
	}
	return first, got[4].(values)
}

// eventsRefused expects that get_events is refused.
func (p *peer) eventsRefused(request int, id any, uri string) {
	p.bed.t.Helper()
	p.say(codec.Call, request, values{}, "wamp.subscription.get_events", []any{id})
	p.refused(codec.Call, request, uri)
}

func (p *peer) publish(request int, topic string, args ...any) {
	p.bed.t.Helper()
	p.say(codec.Publish, request, values{"acknowledge": true}, topic, args)
	p.expect(codec.Published, request, nil)
}

// TestHistoryPermissions: PUB-50. Who may not subscribe to a topic does not get its history, by its own policy and
// also if another realm has had the loop meanwhile; who may not call get_events neither.
func TestHistoryPermissions(t *testing.T) {
	t.Attr("checklist", "PUB-50")
	may := func(subscribe bool) *policy.Snapshot {
		return compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
			{URI: "*", Allow: &policy.Actions{Call: true, Publish: true}},
			{URI: "com.h", Allow: &policy.Actions{Publish: true, Subscribe: subscribe}},
			{URI: "com.other", Allow: &policy.Actions{Subscribe: true}},
		}})
	}
	for _, allowed := range []bool{true, false} {
		one, other := kept("realm1", history.Bounds{}), kept("realm2", history.Bounds{})
		one.Policy, other.Policy = may(allowed), may(!allowed)
		b := newBed(t, 2, Config{Realms: []RealmConfig{one, other}})
		p := b.join(0)
		q := b.connect(0, codec.JSON, 1<<20)
		q.hello("realm2")
		p.publish(1, "com.h", "secret")
		id := p.lookUp(2, "com.h", "exact")
		// The two take turns on one loop while their catalogs are made.
		p.post(codec.Call, 3, values{}, "wamp.subscription.get_events", []any{id})
		q.post(codec.Call, 1, values{}, "wamp.subscription.get_events", []any{id})
		b.Settle()
		if !allowed {
			p.refused(codec.Call, 3, codec.ErrNotAuthorized)
			p.eventsRefused(4, p.lookUp(5, "com.h.", "prefix"), codec.ErrNotAuthorized)
		} else if got := p.expect(codec.Result, 3, values{}, nil, nil); len(got[3].([]any)) != 1 {
			t.Errorf("got %v", got)
		}
		q.expect(codec.Error, codec.Call, 1, values{}, codec.ErrNoSuchSubscription, nil) // that of the other realm
		q.silent()
	}
	rc := kept("realm1", history.Bounds{})
	rc.Policy = compile(t, policy.RoleDefinition{Name: "anonymous", Permissions: []policy.Permission{
		{URI: "*", Allow: &policy.Actions{Subscribe: true}},
	}})
	b := newBed(t, 1, Config{Realms: []RealmConfig{rc}})
	p := b.join(0)
	p.eventsRefused(1, p.subscribe(2, "com.h"), codec.ErrNotAuthorized)
}

// TestHistoryReload: PUB-53. A reload changes bounds, ends histories and begins others; the subscription of
// one that stays keeps its id. A realm that goes takes its history with it, and one of its name begins anew.
func TestHistoryReload(t *testing.T) {
	b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p := b.join(0)
	for i := range 4 {
		p.publish(i+1, "com.h", i)
	}
	id := p.subscribe(10, "com.h")
	b.apply(Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 2})}})
	if got, more := p.events(11, id, nil); len(got) != 2 || got[0] != int64(2) || more["is_limit_reached"] != true {
		t.Errorf("got %v %v", got, more)
	}
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1"}}})
	p.eventsRefused(12, id, codec.ErrNoSuchSubscription)
	p.publish(13, "com.h", "not kept")
	b.apply(Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	if got, _ := p.events(14, id, nil); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	p.publish(15, "com.h", "kept")
	if got, _ := p.events(16, id, nil); len(got) != 1 {
		t.Errorf("got %v", got)
	}
	b.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}})
	b.apply(Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	q := b.join(1)
	if got, _ := q.events(1, q.lookUp(2, "com.h", "exact"), nil); len(got) != 0 {
		t.Errorf("got %v of the realm that is gone", got)
	}
	q.HangUp()
	b.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}})
	b.Settle()
	if n := b.Charged() - b.router.historyCharged.Load(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
	if s, _ := b.router.HistoryStats(); s.Logs != 0 || s.Bytes != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// TestHistoryOfMeta: a history whose pattern a meta event could match keeps none, so none is published for it. A
// subscriber of that pattern hears them while it is there, whatever a reload holds and releases meanwhile.
func TestHistoryOfMeta(t *testing.T) {
	all := History{Pattern: Pattern{Match: codec.Prefix}}
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1"}}})
	var p *peer
	for i, histories := range [][]History{{all}, nil, {all}, {all}, nil, {all}, nil} {
		b.apply(Config{Realms: []RealmConfig{{URI: "realm1", History: histories}}})
		want := int64(0)
		switch {
		case i == 2:
			p = b.join(0)
			p.say(codec.Subscribe, 1, values{"match": "prefix"}, "")
			want = 1
		case i == 5:
			p.HangUp()
			b.Settle()
		case p != nil && i < 5:
			want = 1
		}
		if n := b.router.named["realm1"].meta.listeners.Load(); n != want {
			t.Errorf("round %d: %d listeners, want %d", i, n, want)
		}
	}
	if rm := b.router.named["realm1"]; !rm.topics.Empty() {
		t.Error("a record is left")
	}
}

// TestHistoryBudget: PUB-53. Events in memory count in the budget of the process. Without room they are delivered and
// not kept; what is given back has room for others.
func TestHistoryBudget(t *testing.T) {
	b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p, q := b.join(0), b.join(1)
	id := q.subscribe(1, "com.h")
	before := b.Charged()
	p.publish(1, "com.h", "one")
	if n := b.Charged() - before; n != historyStep {
		t.Fatalf("%d bytes are charged", n)
	}
	q.expect(codec.Event, id, nil, values{}, []any{"one"})
	b.BytesMax = b.Charged() + historyStep - 1
	long := strings.Repeat("x", historyStep)
	p.publish(2, "com.h", long)
	q.expect(codec.Event, id, nil, values{}, []any{long})
	q.eventsRefused(2, id, codec.ErrUnavailable) // no room for the answer
	b.BytesMax = 0
	if got, _ := q.events(3, id, nil); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
	p.publish(3, "com.h", long)
	q.expect(codec.Event, id, nil, values{}, []any{long})
	if got, _ := q.events(4, id, nil); len(got) != 2 {
		t.Errorf("%d events", len(got))
	}
	if s := b.router.Stats(); s.HistoryRefused != 1 || s.Recorded != 2 || s.Queries != 2 || s.QueriesRefused != 1 {
		t.Errorf("%+v", s)
	}
	if b.router.queries.Load() != 0 {
		t.Error("a query is still counted")
	}
}

// TestHistoryLarge: PUB-42. Large events are kept by the pool, in their order, and told in every serializer. One that
// the caller cannot take is left out; an answer that would be too long is cut and says so.
func TestHistoryLarge(t *testing.T) {
	b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	p := b.join(0)
	large := strings.Repeat("x", usualBounds.largeBytes+1)
	for i, arg := range []any{"first", large, "last"} {
		p.post(codec.Publish, i+1, values{"acknowledge": true}, "com.h", []any{arg})
	}
	b.Settle()
	for i := range 3 {
		p.expect(codec.Published, i+1, nil)
	}
	id := p.lookUp(4, "com.h", "exact")
	for s := codec.JSON; s <= codec.CBOR; s++ {
		q := b.joinAs(1, s, 1<<20)
		if got, more := q.events(1, id, nil); len(got) != 3 || got[1] != large || more["x_cut"] != nil {
			t.Errorf("serializer %d: %d events, %v", s, len(got), more)
		}
		small := b.joinAs(1, s, 8<<10)
		if got, _ := small.events(1, id, nil); len(got) != 2 || got[1] != "last" {
			t.Errorf("serializer %d: %d events", s, len(got))
		}
	}
	if n := b.router.Stats().EventsTooLong; n != 3 {
		t.Errorf("%d were too long", n)
	}
	for i := range 20 {
		p.publish(i+10, "com.h.x", strings.Repeat("y", 1000))
	}
	small := b.joinAs(1, codec.JSON, 8<<10)
	if got, more := small.events(1, p.lookUp(50, "com.h.", "prefix"), nil); len(got) != 7 || more["x_cut"] != true {
		t.Errorf("%d events, %v", len(got), more)
	}
}

// slowDisk is a store on a disk that commits when a test says so.
type slowDisk struct {
	*history.Memory
	waiters []func(err error)
	full    error
}

func (d *slowDisk) Append(e *history.Event, to []history.Log, w history.Waiter) error {
	if d.full != nil {
		return d.full
	}
	if w != nil {
		id := e.Publication
		d.waiters = append(d.waiters, func(err error) { w.Committed(id, err) })
	}
	return d.Memory.Append(e, to, nil)
}

func (d *slowDisk) commit(err error) {
	for _, f := range d.waiters {
		f(err)
	}
	d.waiters = nil
}

// TestHistoryOnDisk: PUB-41, LIM-01. PUBLISHED waits for the disk where that is configured, and says if it fails; the
// event does not wait. A full queue refuses who waits, and others are delivered.
func TestHistoryOnDisk(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0)}
	rc := RealmConfig{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
		{Pattern: Pattern{URI: "com.e"}, OnDisk: true},
	}}
	b := newBed(t, 2, Config{Realms: []RealmConfig{rc}, Disk: d})
	b.router.background = func(work func()) { work() }
	p, q := b.join(0), b.join(1)
	id := q.subscribe(1, "com.d")
	p.say(codec.Publish, 1, values{"acknowledge": true}, "com.d", []any{1})
	q.expect(codec.Event, id, nil, values{}, []any{int64(1)})
	p.silent()
	p.say(codec.Publish, 2, values{}, "com.d", []any{2}) // wants no answer
	p.publish(3, "com.e", 3)                             // does not wait
	d.commit(nil)
	b.Settle()
	p.expect(codec.Published, 1, nil)
	p.silent()
	p.say(codec.Publish, 4, values{"acknowledge": true}, "com.d", []any{4})
	d.commit(errors.New("no space left"))
	b.Settle()
	p.refused(codec.Publish, 4, codec.ErrUnavailable)
	d.full = history.ErrFull
	p.say(codec.Publish, 5, values{"acknowledge": true, "retain": true}, "com.d", []any{5})
	p.refused(codec.Publish, 5, codec.ErrUnavailable)
	d.full = history.ErrTooLarge
	p.say(codec.Publish, 6, values{"acknowledge": true}, "com.d", []any{6})
	p.refused(codec.Publish, 6, codec.ErrPayloadSizeExceeded)
	p.say(codec.Publish, 7, values{}, "com.d", []any{7})
	for _, n := range []int64{2, 4, 7} {
		q.expect(codec.Event, id, nil, values{}, []any{n})
	}
	q.silent()
	d.full = nil
	if got, _ := q.events(2, id, nil); len(got) != 3 {
		t.Errorf("%v", got)
	}
	// Publishers that leave meanwhile, and a loop that could not be woken.
	p.say(codec.Publish, 8, values{"acknowledge": true}, "com.d", []any{8})
	r := b.join(0)
	r.say(codec.Publish, 1, values{"acknowledge": true}, "com.d", []any{9})
	p.HangUp()
	b.Settle()
	loops := b.router.loops.Swap(nil)
	d.commit(nil)
	b.Settle()
	r.silent()
	b.router.loops.Store(loops)
	b.Advance(storedLookAfter)
	b.Settle()
	r.expect(codec.Published, 1, nil)
	if n := b.router.storing[0].open; n != 0 || b.Loops[0].Armed() != 0 {
		t.Errorf("%d are open, %d timers", n, b.Loops[0].Armed())
	}
	if s := b.router.Stats(); s.HistoryUnstored != 1 || s.HistoryRefused != 3 {
		t.Errorf("%+v", s)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{8, 9} {
		q.expect(codec.Event, id, nil, values{}, []any{n})
	}
	q.eventsRefused(3, id, codec.ErrUnavailable)
}

// TestHistoryExpires: PUB-53. What is too old is not told, and goes.
func TestHistoryExpires(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Age: time.Minute})}})
	p := b.join(0)
	p.publish(1, "com.h", 1)
	id := p.lookUp(2, "com.h", "exact")
	b.Advance(30 * time.Second)
	p.publish(3, "com.h", 2)
	b.Advance(30 * time.Second)
	if got, _ := p.events(4, id, nil); len(got) != 1 || got[0] != int64(2) {
		t.Errorf("got %v", got)
	}
	b.router.ExpireHistory(b.router.clock())
	if s, _ := b.router.HistoryStats(); s.Records != 1 || s.Expired != 1 {
		t.Errorf("%+v", s)
	}
}

// TestHistoryConfig: what is refused.
func TestHistoryConfig(t *testing.T) {
	disk := history.NewMemory(0)
	many := make([]History, historiesMax+1)
	for i := range many {
		many[i].URI = "t" + strings.Repeat("x", i)
	}
	topic := Pattern{URI: "com.h"}
	for _, c := range []struct {
		name     string
		all      []History
		disk     history.Store
		template bool
		good     bool
	}{
		{"as many as possible", many[:historiesMax], nil, false, true},
		{"one more", many, nil, false, false},
		{"twice", []History{{Pattern: topic}, {Pattern: topic}}, nil, false, false},
		{"no topic", []History{{Pattern: Pattern{URI: "a..b"}}}, nil, false, false},
		{"reserved", []History{{Pattern: Pattern{URI: "wamp.session.on_join"}}}, nil, false, false},
		{"everything", []History{{Pattern: Pattern{Match: codec.Prefix}}}, nil, false, true},
		{"negative", []History{{Pattern: topic, Bounds: history.Bounds{Events: -1}}}, nil, false, false},
		{"no disk", []History{{Pattern: topic, OnDisk: true}}, nil, false, false},
		{"a disk", []History{{Pattern: topic, OnDisk: true}}, disk, false, true},
		{"a disk for a template", []History{{Pattern: topic, OnDisk: true}}, disk, true, false},
		{"stored in memory", []History{{Pattern: topic, AcknowledgeStored: true}}, disk, false, false},
	} {
		cfg := Config{Disk: c.disk, Realms: []RealmConfig{{URI: "realm1", History: c.all}}}
		if c.template {
			cfg.Templates = []Template{{Match: codec.Prefix, RealmConfig: cfg.Realms[0]}}
			cfg.Realms = nil
		}
		if _, err := New(cfg); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
