package realm

import (
	"errors"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/history"
)

// An askedDisk is a store on a disk that a test looks into while an event is appended.
type askedDisk struct {
	slowDisk
	asked func(e *history.Event)
}

func (d *askedDisk) Append(e *history.Event, to []history.Log, w history.Waiter) error {
	d.asked(e)
	return d.slowDisk.Append(e, to, w)
}

// TestRetainedUnlessRefused: PUB-31, PUB-41. An event that the disk refuses is at no time found as the retained one,
// not even while the disk is asked, and the one before it stays; one that it takes is found from then on, before the
// subscribers are looked up. Short events on the loop, and long ones in the pool.
func TestRetainedUnlessRefused(t *testing.T) {
	for _, long := range []bool{false, true} {
		d := &askedDisk{slowDisk: slowDisk{Memory: history.NewMemory(0)}}
		two := Retention{EventsMax: 2} // a refused event leaves no room taken
		b := newBed(t, 2, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", Retention: two, History: []History{
			{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
			{Pattern: Pattern{URI: "com.e"}, OnDisk: true},
		}}}})
		text := func(s string) string {
			if long {
				s += strings.Repeat("x", usualBounds.largeBytes)
			}
			return s
		}
		p, hears := b.join(0), b.joinAs(1, codec.MessagePack, 1<<24)
		live := hears.subscribe(1, "com.d")
		found := func() string {
			if r := b.router.named["realm1"].retained.Load(); r != nil {
				if e := r.Get([]byte("com.d"), &codec.Identity{}); e != nil {
					v, err := codec.Value(e.Payload.Format, e.Payload.Args)
					if err != nil {
						t.Fatal(err)
					}
					return v.([]any)[0].(string)[:5]
				}
			}
			return ""
		}
		var meanwhile string
		d.asked = func(*history.Event) { meanwhile = found() }
		charged := b.Charged()
		publish := func(request int, word, was string, refused error) {
			t.Helper()
			d.full = refused
			p.say(codec.Publish, request, values{"acknowledge": true, "retain": true}, "com.d", []any{text(word)})
			if meanwhile != was {
				t.Errorf("%s: while the disk was asked for it, %q was retained, not %q", word, meanwhile, was)
			}
			now := word
			if refused != nil {
				p.refused(codec.Publish, request, codec.ErrUnavailable)
				hears.silent()
				if now = was; b.Charged() != charged {
					t.Errorf("%s: %d bytes are charged", word, b.Charged()-charged)
				}
			} else {
				p.silent() // it waits for the disk
				d.commit(nil)
				b.Settle()
				p.expect(codec.Published, request, nil)
				hears.expect(codec.Event, live, nil, values{}, []any{text(word)})
			}
			if charged = b.Charged(); found() != now {
				t.Errorf("%s: %q is retained", word, found())
			}
			q := b.joinAs(0, codec.MessagePack, 1<<24)
			q.recall(1, "com.d", "exact")
			if now != "" {
				q.expect(codec.Event, nil, nil, values{"retained": true}, []any{text(now)})
			}
			q.silent()
			q.HangUp()
			b.Settle()
		}
		publish(1, "first", "", history.ErrFull)
		publish(2, "secnd", "", nil)
		publish(3, "third", "secnd", history.ErrFull)
		publish(4, "forth", "secnd", nil)
		if s := b.router.Stats(); s.Retained != 2 || s.RetainedRefused != 0 || s.HistoryRefused != 2 {
			t.Errorf("%d retained, %d and %d refused", s.Retained, s.RetainedRefused, s.HistoryRefused)
		}
		// It was delivered, so it stays, if the disk loses it after it has taken it.
		p.say(codec.Publish, 5, values{"acknowledge": true, "retain": true}, "com.d", []any{text("fifth")})
		d.commit(errors.New("no space left"))
		b.Settle()
		p.refused(codec.Publish, 5, codec.ErrUnavailable)
		hears.expect(codec.Event, live, nil, values{}, []any{text("fifth")})
		if found() != "fifth" {
			t.Errorf("%q is retained, not the event that was delivered", found())
		}
		// Nobody waits for the disk: it is delivered and retained without it.
		d.full = history.ErrFull
		q := b.joinAs(0, codec.MessagePack, 1<<24)
		p.say(codec.Publish, 6, values{"acknowledge": true, "retain": true}, "com.e", []any{text("sixth")})
		p.expect(codec.Published, 6, nil)
		p.say(codec.Publish, 7, values{"retain": true}, "com.d", []any{text("seven")})
		hears.expect(codec.Event, live, nil, values{}, []any{text("seven")})
		for i, word := range []string{"sixth", "seven"} {
			q.recall(2+i, []string{"com.e", "com.d"}[i], "exact")
			q.expect(codec.Event, nil, nil, values{"retained": true}, []any{text(word)})
		}
	}
}

// TestRetainedBeforeStored: an event that cannot be retained is refused before the disk is asked to store it.
func TestRetainedBeforeStored(t *testing.T) {
	d := &askedDisk{slowDisk: slowDisk{Memory: history.NewMemory(0)}}
	d.asked = func(e *history.Event) {
		if e.Filter != nil {
			t.Error("the disk was asked to store an event that is refused")
		}
	}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{
		URI: "realm1", Retention: Retention{EventsMax: 1},
		History: []History{{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true}},
	}}})
	p := b.join(0)
	p.retain(1, "other", 1)
	p.say(codec.Publish, 2, values{"acknowledge": true, "retain": true, "eligible_authid": []any{"nobody"}}, "com.d")
	p.refused(codec.Publish, 2, codec.ErrOptionNotAllowed)
	if n := b.router.storing[0].open; n != 0 {
		t.Errorf("%d wait for the disk", n)
	}
}

// TestGoodbyeAfterStored: PUBLISHED of all that waits for the disk comes before GOODBYE, and what is behind GOODBYE
// waits; a session that is ended meanwhile is not told.
func TestGoodbyeAfterStored(t *testing.T) {
	d := &slowDisk{Memory: history.NewMemory(0)}
	b := newBed(t, 1, Config{Disk: d, Realms: []RealmConfig{{URI: "realm1", History: []History{
		{Pattern: Pattern{URI: "com.d"}, OnDisk: true, AcknowledgeStored: true},
	}}}})
	publish := func(n int) *peer {
		p := b.join(0)
		for i := range n {
			p.say(codec.Publish, 1+i, values{"acknowledge": true}, "com.d")
		}
		p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
		if n > 0 {
			p.silent()
		}
		return p
	}
	for n, err := range []error{1: nil, 2: history.ErrFull} {
		p := publish(n)
		if n == 0 {
			p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
			continue
		}
		p.say(codec.Hello, "realm1", values{"roles": values{"publisher": values{}}})
		p.silent()
		d.commit(err)
		b.Settle()
		for i := range n {
			if err == nil {
				p.expect(codec.Published, 1+i, nil)
			} else {
				p.refused(codec.Publish, 1+i, codec.ErrUnavailable)
			}
		}
		p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
		p.expect(codec.Welcome, nil, nil)
		p.HangUp()
	}
	d.full = history.ErrFull
	p := b.join(0)
	p.say(codec.Publish, 1, values{"acknowledge": true}, "com.d")
	p.refused(codec.Publish, 1, codec.ErrUnavailable)
	p.say(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.HangUp()
	d.full = nil
	p = publish(2)
	p.Shutdown()
	b.Settle()
	p.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
	d.commit(nil)
	b.Settle()
	p.silent()
	p.HangUp()
	b.Settle()
	if n := b.router.Stats().Sessions; n != 0 {
		t.Errorf("%d sessions", n)
	}
}
