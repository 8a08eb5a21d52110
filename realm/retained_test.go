package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/realm/policy"
)

// retain publishes with retain and acknowledge.
func (p *peer) retain(request int, topic string, arg any) {
	p.bed.t.Helper()
	p.say(codec.Publish, request, values{"retain": true, "acknowledge": true}, topic, []any{arg})
	p.expect(codec.Published, request, nil)
}

// recall subscribes with get_retained.
func (p *peer) recall(request int, topic, match string) int64 {
	p.bed.t.Helper()
	p.say(codec.Subscribe, request, values{"get_retained": true, "match": match}, topic)
	return p.expect(codec.Subscribed, request, nil)[2].(int64)
}

// TestRetainedBounds: PUB-40 and LIM-01. Events and bytes at n and n + 1; who wants no answer is delivered, and
// nobody takes the older event for the last one; what goes makes room.
func TestRetainedBounds(t *testing.T) {
	for _, r := range []Retention{{EventsMax: 2}, {BytesMax: 2 * 700}} {
		b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1", Retention: r}}})
		p, hears := b.join(0), b.join(1)
		hears.subscribe(1, "t3")
		p.retain(1, "t1", "one")
		p.retain(2, "t2", "two")
		p.say(codec.Publish, 3, values{"retain": true, "acknowledge": true}, "t3", []any{"three"})
		p.refused(codec.Publish, 3, codec.ErrOptionNotAllowed)
		hears.silent()
		p.retain(4, "t2", "again") // in the place of the other
		p.say(codec.Publish, 5, values{"retain": true}, "t3", []any{"three"})
		hears.expect(codec.Event, nil, nil, values{}, []any{"three"})
		long := strings.Repeat("x", 700)
		p.say(codec.Publish, 6, values{"retain": true}, "t1", []any{long})
		other := b.join(1)
		other.recall(1, "t1", "exact")
		if r.BytesMax > 0 {
			other.silent() // the newest was not retained, and the older one is not the last
			p.retain(7, "t3", "room")
		} else {
			other.expect(codec.Event, nil, nil, values{"retained": true}, []any{long})
			other.silent()
		}
		if s := b.router.Stats(); s.RetainedRefused != 2+map[bool]int64{true: 1}[r.BytesMax > 0] || s.Retained != 4 {
			t.Errorf("%+v: %d refused, %d retained", r, s.RetainedRefused, s.Retained)
		}
	}
}

// TestRetainedBoundLists: PUB-40. At the bound an event with lists that its publisher wants no answer for is not
// retained, and leaves the older one in its place, which others may have for the last one; one without lists takes it
// with it. So at the bound of the realm, and at that of the process.
func TestRetainedBoundLists(t *testing.T) {
	for _, r := range []Retention{{EventsMax: 1}, {}} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Retention: r}}})
		p, q := b.join(0), b.join(0)
		p.retain(1, "t", "old")
		if r.EventsMax == 0 {
			b.BytesMax = b.Charged() + 100
		}
		for i, c := range []struct {
			lists values
			stays bool
		}{
			{values{"exclude": []any{int64(q.id)}}, true},
			{values{"eligible_authrole": []any{"other"}}, true},
			{values{"exclude_authid": []any{}}, true},
			{values{"exclude_me": false}, r.EventsMax == 1},
		} {
			options := values{"retain": true}
			for k, v := range c.lists {
				options[k] = v
			}
			p.say(codec.Publish, 2+i, options, "t", []any{"new"})
			most := b.BytesMax
			b.BytesMax = 0
			id := q.recall(1+2*i, "t", "exact")
			if c.stays {
				word := "old"
				if _, universal := c.lists["exclude_me"]; universal {
					word = "new" // it has replaced the old one
				}
				q.expect(codec.Event, id, nil, values{"retained": true}, []any{word})
			}
			q.silent()
			q.say(codec.Unsubscribe, 2+2*i, id)
			q.expect(codec.Unsubscribed, 2+2*i)
			b.BytesMax = most
		}
		n, want := b.router.Stats().RetainedBytes, b.router.named["realm1"].retained.Load().Stats().Bytes
		if n != want {
			t.Errorf("%d bytes are charged for %d", n, want)
		}
	}
}

// TestRetainedBudget: what is retained counts in the budget of the process, and is given back when it is replaced,
// when a realm is closed, and when the last session of an automatic one leaves.
func TestRetainedBudget(t *testing.T) {
	b := newBed(t, 2, Config{
		Realms: []RealmConfig{{URI: "realm1"}}, Templates: []Template{{Match: codec.Prefix, RealmConfig: RealmConfig{
			URI: "made.",
		}}},
	})
	p := b.join(0)
	before := b.Charged()
	for i := range 3 {
		p.retain(i+1, "t", strings.Repeat("x", 1000))
		if n := b.Charged() - before; n < 1000 || n > 3000 {
			t.Fatalf("%d bytes are charged", n)
		}
	}
	b.BytesMax = b.Charged() + 100
	p.say(codec.Publish, 10, values{"retain": true, "acknowledge": true}, "u", []any{1})
	p.refused(codec.Publish, 10, codec.ErrOptionNotAllowed)
	b.BytesMax = 0
	made := b.connect(1, codec.MessagePack, 1<<20)
	made.hello("made.one")
	made.retain(1, "t", 1)
	made.HangUp()
	b.Settle()
	b.apply(Config{Realms: []RealmConfig{{URI: "realm2"}}})
	b.Settle()
	if n := b.Charged(); n != 0 {
		t.Errorf("%d bytes are still charged", n)
	}
}

// TestRetainedFound: PUB-37. One SUBSCRIBE with a pattern is sent so many events at most, and no more octets than
// fit; what is behind it waits, and keeps its order.
func TestRetainedFound(t *testing.T) {
	b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1", Retention: Retention{FoundMax: 3}}}})
	b.router.bounds.retainedAtOnce = 2
	p, q := b.join(0), b.join(1)
	for i := range 4 {
		p.retain(i+1, "a."+string(rune('a'+i)), i)
	}
	q.post(codec.Subscribe, 1, values{"get_retained": true, "match": "prefix"}, "a.")
	q.post(codec.Publish, 2, values{"acknowledge": true}, "other")
	b.Settle()
	q.expect(codec.Subscribed, 1, nil)
	for i := range int64(3) {
		q.expect(codec.Event, nil, nil, values{"topic": "a." + string(rune('a'+i)), "retained": true}, []any{i})
	}
	q.expect(codec.Published, 2, nil)
	q.silent()
	if n := b.router.Stats().RetainedCut; n != 1 {
		t.Errorf("%d were cut", n)
	}
	q.recall(3, "a.d", "exact")
	q.expect(codec.Event, nil, nil, values{"retained": true}, []any{int64(3)})
	if n := b.router.Stats().RetainedCut; n != 1 {
		t.Errorf("%d were cut", n)
	}
}

// TestRetainedLarge: events that the pool copies, transcodes and encodes. One that is too long for a receiver is
// dropped for it (PUB-57).
func TestRetainedLarge(t *testing.T) {
	b := newBed(t, 2, Config{})
	p := b.join(0)
	large := strings.Repeat("x", usualBounds.largeBytes+1)
	p.retain(1, "a.large", large)
	p.retain(2, "a.middle", large[:usualBounds.directBytes+1])
	for s := codec.JSON; s <= codec.CBOR; s++ {
		q := b.joinAs(1, s, 1<<20)
		q.recall(1, "a.", "prefix")
		q.expect(codec.Event, nil, nil, values{"topic": "a.large", "retained": true}, []any{large})
		q.expect(codec.Event, nil, nil, values{"topic": "a.middle", "retained": true},
			[]any{large[:usualBounds.directBytes+1]})
		if q.Held() {
			t.Error("held after the last event")
		}
		small := b.joinAs(0, s, 1<<16)
		small.recall(1, "a.", "prefix")
		small.expect(codec.Event, nil, nil, values{"topic": "a.middle", "retained": true}, nil)
		small.silent()
	}
	if n := b.router.Stats().EventsTooLong; n != 3 {
		t.Errorf("%d were too long", n)
	}
}

// TestRetainedBytes: one SUBSCRIBE is sent 8 MiB of retained events at most, or one event.
func TestRetainedBytes(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, q := b.join(0), b.joinAs(0, codec.MessagePack, 1<<24)
	third := strings.Repeat("x", retainedBytesMax/3)
	for i := range 3 {
		p.retain(i+1, "a."+string(rune('a'+i)), third)
	}
	q.recall(1, "a.", "prefix")
	for range 2 {
		q.expect(codec.Event, nil, nil, nil, []any{third})
	}
	q.silent()
	p.retain(9, "b", strings.Repeat("x", retainedBytesMax+1))
	q.recall(2, "b", "exact")
	q.expect(codec.Event, nil, nil, nil, nil)
	if n := b.router.Stats().RetainedCut; n != 1 {
		t.Errorf("%d were cut", n)
	}
}

// TestRetainedWhileWaiting: what was retained anew while the pool worked for the older one has come live, and is not
// followed by it. A session that has ended meanwhile gets nothing.
func TestRetainedWhileWaiting(t *testing.T) {
	b := newBed(t, 2, Config{})
	p, q := b.join(0), b.joinAs(1, codec.CBOR, 1<<20)
	older := strings.Repeat("x", usualBounds.directBytes+1)
	p.retain(1, "t", older)
	q.post(codec.Subscribe, 1, values{"get_retained": true}, "t")
	b.RunLoop(1)
	p.post(codec.Publish, 2, values{"retain": true}, "t", []any{"newer"})
	b.RunLoop(0)
	b.Settle()
	q.expect(codec.Subscribed, 1, nil)
	q.expect(codec.Event, nil, nil, values{}, []any{"newer"})
	q.silent()

	p.retain(3, "u", older)
	r := b.joinAs(1, codec.CBOR, 1<<20)
	r.post(codec.Subscribe, 1, values{"get_retained": true}, "u")
	b.RunLoop(1)
	if err := b.router.kill(r.id, "", "", func(bool) {}); err != nil {
		t.Fatal(err)
	}
	b.Settle()
	r.expect(codec.Subscribed, 1, nil)
	r.expect(codec.Goodbye, nil, codec.CloseKilled)
	r.silent()
}

// TestRetainedRace: PUB-36. A subscription comes to be after the publisher has looked for one and before it retains
// the event: its session finds nothing retained, and gets the event live.
func TestRetainedRace(t *testing.T) {
	b := newBed(t, 2, Config{})
	p, q := b.join(0), b.join(1)
	p.retain(1, "other", 1)
	p.post(codec.Publish, 2, values{"retain": true}, "t", []any{2})
	b.pauseAt(0, "retained.put", 1)
	q.post(codec.Subscribe, 1, values{"get_retained": true}, "t")
	b.RunLoop(1)
	b.Settle()
	q.expect(codec.Subscribed, 1, nil)
	q.expect(codec.Event, nil, nil, values{}, []any{int64(2)})
	q.silent()
}

// TestRetainedFirst: the retained event of one topic is queued while SUBSCRIBE is handled, also in a turn that grants
// nothing more, so that no live event comes before it.
func TestRetainedFirst(t *testing.T) {
	b := newBed(t, 2, Config{})
	b.router.bounds.retainedAtOnce = 0
	p, q := b.join(0), b.join(1)
	p.retain(1, "t", 1)
	q.post(codec.Subscribe, 1, values{"get_retained": true}, "t")
	b.pauseAt(1, "conn.run", 1)
	if q.Held() {
		t.Error("the session waits for one short event")
	}
	b.Settle()
	q.expect(codec.Subscribed, 1, nil)
	q.expect(codec.Event, nil, nil, values{"retained": true}, []any{int64(1)})
}

// TestRetainedReload: a new bound is in force for the next publication, and what is there stays. Where retention is
// turned off nobody is told of it.
func TestRetainedReload(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, q := b.join(0), b.join(0)
	p.retain(1, "x.a", 1)
	p.retain(2, "x.b", 2)
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1", Retention: Retention{EventsMax: 2}}}})
	p.say(codec.Publish, 3, values{"retain": true, "acknowledge": true}, "x.c", []any{3})
	p.refused(codec.Publish, 3, codec.ErrOptionNotAllowed)
	q.recall(1, "x.", "prefix")
	for _, topic := range []string{"x.a", "x.b"} {
		q.expect(codec.Event, nil, nil, values{"topic": topic, "retained": true}, nil)
	}
	b.apply(Config{Realms: []RealmConfig{{URI: "realm1", Retention: Retention{Disabled: true}}}})
	p.say(codec.Publish, 4, values{"retain": true, "acknowledge": true}, "x.d", []any{4})
	p.refused(codec.Publish, 4, codec.ErrOptionNotAllowed)
	q.recall(2, "x.", "prefix")
	q.silent()
}

// TestRetainedRights: what a role may not subscribe to it is not told of, and a role that may not publish retains
// nothing. AUZ-01.
func TestRetainedRights(t *testing.T) {
	b := metaBed(t, 2, mayAll("open.*"),
		policy.Permission{URI: "closed.*", Allow: &policy.Actions{Publish: true}},
		policy.Permission{URI: "mute.*", Allow: &policy.Actions{Subscribe: true}})
	p, q := b.join(0), b.join(1)
	p.retain(1, "open.t", 1)
	p.retain(2, "closed.t", 2)
	p.say(codec.Publish, 3, values{"retain": true, "acknowledge": true}, "mute.t", []any{3})
	p.refused(codec.Publish, 3, codec.ErrNotAuthorized)
	p.say(codec.Publish, 4, values{"retain": true}, "mute.t", []any{3})
	for i, topic := range []string{"", "closed.", "closed.t"} {
		match := "prefix"
		if topic == "closed.t" {
			match = "exact"
		}
		q.say(codec.Subscribe, i+1, values{"get_retained": true, "match": match}, topic)
		q.refused(codec.Subscribe, i+1, codec.ErrNotAuthorized)
	}
	q.recall(4, "open.", "prefix")
	q.expect(codec.Event, nil, nil, values{"topic": "open.t", "retained": true}, []any{int64(1)})
	q.recall(5, "mute.", "prefix")
	q.silent()
}

// TestRetainedWork: to look at a topic is work, also if the session may have none of its events.
func TestRetainedWork(t *testing.T) {
	const topics = 100
	b := newBed(t, 1, Config{})
	p, q := b.join(0), b.join(0)
	for i := range topics {
		p.say(codec.Publish, i+1, values{"retain": true, "exclude": []any{int64(q.id)}}, fmt.Sprint("a.", i))
	}
	before := b.Loops[0].Worked()
	q.recall(1, "a.", "prefix")
	q.silent()
	if n := b.Loops[0].Worked() - before; n < topics {
		t.Errorf("%d units of work for %d topics", n, topics)
	}
}

// TestRetainedTakenAway: who loses the subscription while retained events are being sent gets none of the others, be
// they many, or one that the pool encodes.
func TestRetainedTakenAway(t *testing.T) {
	for _, text := range []string{"small", strings.Repeat("x", usualBounds.largeBytes)} {
		b := metaBed(t, 1, mayAll("*"), mayAll("wamp.*"))
		b.router.bounds.retainedAtOnce, b.Chunk, b.Budget = 1, 1, 1
		p, q := b.join(0), b.join(0)
		p.say(codec.Call, 1, values{}, "wamp.subscription.list") // makes the catalogs
		p.expect(codec.Result, 1, values{}, nil)
		for i := range 3 {
			p.retain(2+i, fmt.Sprint("t.", i), text)
		}
		q.post(codec.Subscribe, 1, values{"get_retained": true, "match": "prefix"}, "t.")
		b.StepLoop(0)
		id := q.expect(codec.Subscribed, 1, nil)[2].(int64)
		before := 0
		for q.hear() != nil {
			before++
		}
		p.post(codec.Call, 10, values{}, "wamp.subscription.remove_subscriber", []any{id, int64(q.id)})
		for range 100 {
			if answer := p.hear(); answer != nil {
				break
			}
			b.StepLoop(0)
		}
		for q.hear() != nil {
			before++
		}
		if b.router.Stats().Subscriptions != 0 || before == 3 {
			t.Fatalf("%d events before the subscription is taken away: this test comes too late", before)
		}
		b.Settle()
		q.silent()
		if q.Held() {
			t.Error("the session still waits")
		}
	}
}

// TestRetainedUntranscodable: a retained event that the serializer of the subscriber cannot carry is left out and
// counted; the others are sent, on the loop and from the pool.
func TestRetainedUntranscodable(t *testing.T) {
	for i, large := range []bool{false, true} {
		b := newBed(t, 1, Config{})
		if large {
			b.router.bounds.directBytes, b.router.bounds.largeBytes = 0, 0
		}
		p, q := b.join(0), b.joinAs(0, codec.JSON, 1<<20)
		p.Send([]byte("\x95\x10\x01\x81\xa6retain\xc3\xa3a.b" + listAsKey))
		p.retain(2, "a.c", "next")
		q.recall(1, "a.", "prefix")
		q.expect(codec.Event, nil, nil, values{"retained": true, "topic": "a.c"}, []any{"next"})
		q.silent()
		s := b.router.Stats()
		if s.EventsUntranscodable != 1 || s.RetainedSent != 1 || s.Events != 1 {
			t.Errorf("%d: %d are left out, %d sent, %d events", i, s.EventsUntranscodable, s.RetainedSent, s.Events)
		}
	}
}

// TestRetainedBytesExactly: LIM-01. One SUBSCRIBE is sent retained events of so many octets together, and no more.
func TestRetainedBytesExactly(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	text := strings.Repeat("x", retainedBytesMax/2)
	p.retain(1, "a.1", text)
	p.retain(2, "a.2", text[1000:])
	more := retainedBytesMax - int(b.router.named["realm1"].retained.Load().Stats().Bytes)
	for i, events := range []int{2, 1} {
		p.retain(3+i, "a.2", strings.Repeat("y", len(text)-1000+more+i))
		q := b.joinAs(0, codec.MessagePack, 1<<24)
		q.recall(1, "a.", "prefix")
		for range events {
			q.expect(codec.Event, nil, nil, nil, nil)
		}
		q.silent()
		if n := b.router.Stats().RetainedCut; n != int64(i) {
			t.Errorf("%d octets beyond the bound: %d are cut", i, n)
		}
	}
}

// TestRetainedExactly: a retained event of exactly the receiver's limit is sent; one octet more is dropped and
// counted.
func TestRetainedExactly(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, wide := b.join(0), b.join(0)
	p.retain(1, "t", strings.Repeat("x", 500))
	wide.say(codec.Subscribe, 1, values{"get_retained": true}, "t")
	wide.expect(codec.Subscribed, 1, nil)
	length := len(wide.Next())
	for i, limit := range []int{length, length - 1} {
		narrow := b.join(0)
		b.router.directory.find(narrow.id).bytesMax = limit // after WELCOME, which is longer
		narrow.recall(1, "t", "exact")
		if i == 0 {
			narrow.expect(codec.Event, nil, nil, values{"retained": true}, nil)
		}
		narrow.silent()
		if n := b.router.Stats().EventsTooLong; n != int64(i) {
			t.Errorf("limit %d of %d: %d are too long", limit, length, n)
		}
	}
}
