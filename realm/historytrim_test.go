package realm

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// TestReloadTrimsHistory: PUB-53. A reload that lowers a bound has what is beyond dropped, with no publication to do
// it, and the budget has it back. A query right behind it finds no more.
func TestReloadTrimsHistory(t *testing.T) {
	t.Attr("checklist", "PUB-53")
	const events, octets = 100, 100_000
	for name, c := range map[string]struct {
		bounds   history.Bounds
		bytesMax int64
		kept     int
	}{
		"events": {history.Bounds{Events: 3}, 0, 3},
		"bytes":  {history.Bounds{Bytes: 3 * octets}, 0, 3},
		"age":    {history.Bounds{Age: 3 * time.Second}, 0, 2},
		"store":  {history.Bounds{}, 2_000_000, 19},
		"none":   {history.Bounds{}, 0, events},
	} {
		b := newBed(t, 2, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
		p := b.join(1)
		before := b.Charged()
		for i := range events {
			p.publish(i+1, "com.h", i, strings.Repeat("x", octets-200))
			b.Advance(time.Second)
		}
		id := p.lookUp(200, "com.h", "exact")
		b.apply(Config{HistoryBytesMax: c.bytesMax, Realms: []RealmConfig{kept("realm1", c.bounds)}})
		st, _ := b.router.HistoryStats()
		if st.Records != int64(c.kept) {
			t.Errorf("%s: %d records are left", name, st.Records)
		}
		if n := b.Charged() - before; n < st.Bytes || n > st.Bytes+(historySteps+1)*historyStep {
			t.Errorf("%s: %d bytes are charged for %d", name, n, st.Bytes)
		}
		p.say(codec.Call, 201, values{}, "wamp.subscription.get_events", []any{id}, values{"reverse": true})
		got := p.expect(codec.Result, 201, values{}, nil, nil)[3].([]any)
		if n := len(got); n == 0 || n > c.kept || got[0].(values)["args"].([]any)[0] != int64(events-1) {
			t.Errorf("%s: %d events", name, n)
		}
		// A realm that goes gives all of it back.
		if name == "none" {
			if err := b.router.closeRealm("realm1", func() {}); err != nil {
				t.Fatal(err)
			}
		} else {
			b.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}})
		}
		p.HangUp()
		b.Settle()
		if n := b.Charged(); n > historySteps*historyStep {
			t.Errorf("%s: %d bytes are charged for nothing", name, n)
		}
	}
}

// TestReloadTrimsMany: PUB-53. All of what is beyond goes with the reload, in memory in steps.
func TestReloadTrimsMany(t *testing.T) {
	t.Attr("checklist", "PUB-53")
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 1 << 20})}})
	b.store(10_000)
	b.apply(Config{Realms: []RealmConfig{kept("realm1", history.Bounds{Events: 3})}})
	if st, _ := b.router.HistoryStats(); st.Records != 3 || st.Trimmed != 9_997 {
		t.Errorf("%d records are left, %d were trimmed", st.Records, st.Trimmed)
	}
}

// TestGiveBackLater: where no loop can be told, the budget has its bytes back with ExpireHistory.
func TestGiveBackLater(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	b.Submit(0, func(x port.Executor) { x.Charge(100 * historyStep) })
	b.Settle()
	r := b.router
	r.historyCharged.Store(70 * historyStep)
	var full port.Loops = fullLoops{b.World}
	loops := r.loops.Swap(&full)
	r.giveBack(10 * historyStep)
	r.giveBack(20 * historyStep)
	b.Settle()
	if n := b.Charged(); n != 100*historyStep {
		t.Errorf("%d bytes are charged", n)
	}
	r.loops.Store(loops)
	for range 2 {
		r.ExpireHistory(r.clock())
		b.Settle()
		if n := b.Charged(); n != 0 || r.historyCharged.Load() != 0 {
			t.Errorf("%d bytes are charged", n)
		}
	}
}

// TestReloadTrimsRetained: PUB-40. A reload that lowers what a realm may retain takes the topics away that were
// retained longest ago, and the budget has them back. The log says so.
func TestReloadTrimsRetained(t *testing.T) {
	t.Attr("checklist", "PUB-40")
	var told strings.Builder
	cfg := Config{
		Realms: []RealmConfig{{URI: "realm1"}}, Log: slog.New(slog.NewTextHandler(&told, nil)),
	}
	b := newBed(t, 2, cfg)
	p, q := b.join(0), b.join(1)
	before := b.Charged()
	const topics = 2*retainedTrimAtOnce + 5
	for i := range topics {
		p.post(codec.Publish, i+1, values{"retain": true}, "com.t"+strconv.Itoa(i))
	}
	b.Settle()
	all := b.Charged() - before
	b.apply(cfg)
	if n := b.Charged() - before; n != all || told.Len() != 0 {
		t.Errorf("%d bytes are charged of %d; %s", n, all, told.String())
	}
	cfg.Realms[0].Retention.EventsMax = 2
	b.apply(cfg)
	st := b.router.named["realm1"].retained.Load().Stats()
	if n := b.Charged() - before; st.Events != 2 || n != st.Bytes {
		t.Errorf("%+v, %d bytes are charged", st, n)
	}
	if s := told.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "realm=realm1") ||
		!strings.Contains(s, "events=2051") {
		t.Errorf("the log says %s", s)
	}
	q.say(codec.Subscribe, 1, values{"match": "prefix", "get_retained": true}, "com.")
	id := q.expect(codec.Subscribed, 1, nil)[2]
	for range 2 {
		q.expect(codec.Event, id, nil, nil)
	}
	q.silent()
	cfg.Realms[0].Retention = Retention{BytesMax: 1}
	b.apply(cfg)
	want := memberBytes + int64(b.router.named["realm1"].recordMemory("com.", codec.Prefix))
	if n := b.Charged() - before; n != want {
		t.Errorf("%d bytes are charged, want %d", n, want)
	}
}

// TestReloadWithdrawsRetained: PUB-40. A reload after which events may not be retained any more, at all or of some
// topics, takes away what is retained of them, also for few: it does not come back when they may be retained again.
// The budget has its bytes back, and the log has one line.
func TestReloadWithdrawsRetained(t *testing.T) {
	t.Attr("checklist", "PUB-40")
	const topics = 2*retainedTrimAtOnce + 5
	for _, c := range []struct {
		then Retention
		left int
		says string
	}{
		{Retention{Disabled: true}, 0, "events=2055"},
		{Retention{Topics: []Pattern{{URI: "other"}}}, 0, "events=2055"},
		{Retention{Topics: []Pattern{{URI: "com.t1", Match: codec.Prefix}}}, 1111, "events=944"},
		{Retention{Topics: []Pattern{{URI: "com.t7"}, {URI: "com.few"}}}, 3, "events=2052"},
		{Retention{Topics: []Pattern{{URI: "com.", Match: codec.Prefix}}}, topics + 2, ""},
		{Retention{EventsMax: 5000}, topics + 2, ""},
		{Retention{Topics: []Pattern{{URI: "com.t7"}, {URI: "com.few"}}, EventsMax: 2}, 2, "events=2052"},
	} {
		var told strings.Builder
		cfg := Config{
			Realms: []RealmConfig{{URI: "realm1"}, {URI: "realm2"}}, Log: slog.New(slog.NewTextHandler(&told, nil)),
		}
		b := newBed(t, 2, cfg)
		p, other := b.join(0), b.connect(1, codec.MessagePack, 1<<20)
		other.hello("realm2")
		other.retain(1, "com.t7", "in another realm")
		before := b.Charged()
		for i := range topics {
			p.post(codec.Publish, i+1, values{"retain": true}, "com.t"+strconv.Itoa(i))
		}
		for i := range 2 {
			p.post(codec.Publish, topics+i+1, values{"retain": true, "eligible_authid": []any{"few"}}, "com.few")
		}
		b.Settle()
		all := b.Charged() - before
		cfg.Realms[0].Retention = c.then
		b.apply(cfg)
		st := b.router.named["realm1"].retained.Load().Stats()
		if n := b.Charged() - before; st.Events != c.left || n != st.Bytes || (n == all) != (c.left > topics) {
			t.Errorf("%+v: %+v, %d bytes are charged", c.then, st, n)
		}
		if n := b.router.Stats().RetainedBytes; n != b.router.named["realm2"].retained.Load().Stats().Bytes+st.Bytes {
			t.Errorf("%+v: %d bytes are retained", c.then, n)
		}
		lines := strings.Split(strings.TrimSpace(told.String()), "\n")
		if s := lines[0]; !strings.Contains(s, c.says) || (s == "") != (c.says == "") || c.says != "" &&
			!strings.Contains(s, "realm=realm1") || len(lines) > 1 && c.then.EventsMax != 2 {
			t.Errorf("%+v: the log says %s", c.then, told.String())
		}
		cfg.Realms[0].Retention = Retention{}
		b.apply(cfg)
		if n := b.router.named["realm1"].retained.Load().Stats().Events; n != c.left {
			t.Errorf("%+v: %d events came back", c.then, n-c.left)
		}
	}
}

// TestReloadWithdrawsLate: PUB-40. Events that are being retained while a reload forbids it, in the pool or in the
// turn of a loop, go too, and are delivered: their publishers began when it was allowed. If the reload allows them,
// the last one stays.
func TestReloadWithdrawsLate(t *testing.T) {
	for i := range 4 {
		large, stays := i%2 > 0, i/2
		b := newBed(t, 3, Config{Realms: []RealmConfig{{URI: "realm1"}}})
		p, other, q := b.join(0), b.join(1), b.joinAs(2, codec.MessagePack, 1<<24)
		id := q.subscribe(1, "com.t")
		before := b.Charged()
		arg := "small"
		if large {
			arg = strings.Repeat("x", usualBounds.largeBytes+1)
		}
		for _, p := range []*peer{p, other} {
			p.post(codec.Publish, 1, values{"retain": true, "acknowledge": true}, "com.t", []any{arg})
		}
		if large { // they are checked, and then copied
			turn := func() {
				for b.RunLoop(0) || b.RunLoop(1) {
				}
			}
			turn()
			b.StepAsync(0)
			b.StepAsync(0)
			turn()
		} else {
			b.pauseAt(0, "retained.put", 1)
			b.pauseAt(1, "retained.put", 1)
		}
		if n := b.router.retainedCharged.Load(); n < int64(2*len(arg)) {
			t.Fatalf("%d bytes are charged", n)
		}
		if err := b.router.apply(Config{Realms: []RealmConfig{{
			URI: "realm1", Retention: Retention{Disabled: stays == 0, Topics: []Pattern{{URI: "com.t"}}},
		}}}, func(Report) {}); err != nil {
			t.Fatal(err)
		}
		for range b.Async() { // one replaces the other
			b.StepAsync(0)
		}
		b.Settle()
		for _, p := range []*peer{p, other} {
			p.expect(codec.Published, 1, nil)
			q.expect(codec.Event, id, nil, values{}, []any{arg})
		}
		st := b.router.named["realm1"].retained.Load().Stats()
		if n := b.Charged() - before; st.Events != stays || n != st.Bytes || b.router.retainedCharged.Load() != n {
			t.Errorf("large %t, %d stay: %+v, %d bytes are charged", large, stays, st, n)
		}
	}
}

// A trimmedDisk notes what Apply has it do.
type trimmedDisk struct {
	*history.Memory
	trimmed chan context.Context
	err     error
}

func (d *trimmedDisk) Trim(ctx context.Context) error {
	d.trimmed <- ctx
	return d.err
}

// TestApplyTrimsDisk: Apply waits until the disk keeps to its bounds, no longer than its context; what the disk says
// is no error.
func TestApplyTrimsDisk(t *testing.T) {
	for _, err := range []error{nil, errors.New("the disk is full")} {
		d := &trimmedDisk{Memory: history.NewMemory(0), trimmed: make(chan context.Context, 1), err: err}
		r, _ := running(t, 2, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1"}}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		report, failed := r.Apply(ctx, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1"}, {URI: "realm2"}}})
		if failed != nil || len(report.Created) != 1 {
			t.Errorf("%+v, %v", report, failed)
		}
		if len(d.trimmed) != 1 || <-d.trimmed != ctx {
			t.Error("the disk was not asked")
		}
	}
}
