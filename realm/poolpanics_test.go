package realm

import (
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/history"
)

// TestPoolPanics: each piece of work that the pool does for a request panics in turn. The client is told, or loses
// its session if the message could not be read; the session goes on otherwise, and nothing stays taken or charged.
func TestPoolPanics(t *testing.T) {
	const large = 1000
	long := []any{strings.Repeat("x", 2*large), []any{int64(1), nil}}
	get := []any{"wamp.subscription.get_events", []any{int64(1)}}
	const unavailable, full = codec.ErrUnavailable, codec.ErrOptionNotAllowed
	for name, c := range map[string]struct {
		what   codec.Type
		args   []any
		onDisk bool
		want   []string // by the piece that panics: the error
	}{
		"history":           {codec.Call, get, false, []string{unavailable, unavailable, unavailable, unavailable}},
		"history on disk":   {codec.Call, get, true, []string{unavailable, unavailable, unavailable, unavailable}},
		"list":              {codec.Call, []any{"wamp.registration.list"}, false, []string{unavailable, unavailable}},
		"call":              {codec.Call, []any{"echo", long}, false, []string{"", codec.ErrInvalidArgument}},
		"event":             {codec.Publish, []any{"com.other", long}, false, []string{"", full}},
		"event and history": {codec.Publish, []any{"com.h", long}, false, []string{"", full}},
		"event and disk":    {codec.Publish, []any{"com.h", long}, true, []string{"", unavailable}},
	} {
		for nth, want := range c.want {
			disk := &slowDisk{Memory: history.NewMemory(0)}
			b := newBed(t, 2, Config{Disk: disk, Realms: []RealmConfig{{URI: "realm1", History: []History{
				{Pattern: Pattern{URI: "com.h"}, OnDisk: c.onDisk, AcknowledgeStored: c.onDisk},
			}}}})
			b.router.background = func(work func()) { work() }
			b.router.bounds.largeBytes, b.router.bounds.directBytes = large, 100
			b.store(600) // three pages
			b.joinAs(1, codec.JSON, 1<<20).register(1, "echo", "single")
			p := b.join(0)
			options, before := values{}, b.Charged()
			if c.what == codec.Publish {
				options = values{"acknowledge": true, "retain": true}
			}
			left := nth
			b.Panics = func() bool { left--; return left == -1 }
			p.say(c.what, append([]any{1, options}, c.args...)...)
			disk.commit(nil)
			b.Settle()
			if want == "" {
				p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
			} else {
				p.refused(c.what, 1, want)
				p.subscribe(2, "t")
			}
			p.HangUp()
			b.Settle()
			// What memory the histories have is charged in steps.
			charged := b.Charged() - before - b.router.historyCharged.Load()
			if r := b.router; left >= 0 || charged > 0 || r.places.taken != 0 || r.queries.Load() != 0 ||
				r.storing[0].open != 0 || b.Loops[0].Armed() != 0 {
				t.Errorf("%s, %d: %d pieces too few; %d bytes charged, %d places, %d queries, %d stored", name, nth,
					left+1, charged, r.places.taken, r.queries.Load(), r.storing[0].open)
			}
		}
	}
}

// A brokenDisk panics.
type brokenDisk struct{ slowDisk }

func (*brokenDisk) Append(*history.Event, []history.Log, history.Waiter) error { panic("broken") }

// TestKeepingPanics: a publication whose keeping panics on the loop leaves nothing to the next one there, which is
// not retained if it does not ask for it.
func TestKeepingPanics(t *testing.T) {
	d := &brokenDisk{slowDisk{Memory: history.NewMemory(0)}}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true}, {Pattern: Pattern{URI: "com.h"}},
	}}}})
	p := b.join(0)
	h := b.router.directory.find(b.join(0).id).handler
	options := values{"acknowledge": true, "retain": true}
	b.Submit(0, func(x port.Executor) {
		defer func() { _ = recover() }() // as the engine does, which closes the connection
		h.Receive(x, encodeMessage(t, codec.MessagePack, codec.Publish, []any{1, options, "com.d"}))
		t.Error("nothing panicked")
	})
	b.Settle()
	p.publish(1, "com.h", "kept")
	if r := b.router.named["realm1"].retained.Load(); r == nil || r.Stats().Topics != 0 {
		t.Errorf("retained: %+v", r.Stats())
	}
	if got, _ := p.events(2, p.lookUp(3, "com.h", "exact"), nil); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
}

// TestHistoryPanics: an event that the pool does not keep because it panics is delivered, and counted as one that is
// not in history.
func TestHistoryPanics(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	b.router.bounds.largeBytes = 1000
	p := b.join(0)
	id := p.subscribe(1, "com.h")
	q := b.join(0)
	left := 1 // the message is read in the pool, too
	b.Panics = func() bool { left--; return left == -1 }
	long := strings.Repeat("x", 2000)
	q.publish(1, "com.h", long)
	p.expect(codec.Event, id, nil, values{}, []any{long})
	if s := b.router.Stats(); s.Recorded != 0 || s.HistoryRefused != 1 {
		t.Errorf("%d are recorded, %d not", s.Recorded, s.HistoryRefused)
	}
}
