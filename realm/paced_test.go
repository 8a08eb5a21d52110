package realm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/realm/history"
)

// TestUnknownList: a publication with a list that no specification knows goes to everybody, and is counted; the log
// tells once a second, in every serializer. Other unknown options, and the known lists, are nothing to tell.
func TestUnknownList(t *testing.T) {
	for _, serializer := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		b := newBed(t, 2, Config{})
		warned := b.warned()
		p, q := b.joinAs(0, serializer, 1<<20), b.join(1)
		id := q.subscribe(1, "com.t")
		publish := func(options values, lines int) {
			t.Helper()
			p.say(codec.Publish, 1, options, "com.t", []any{})
			q.expect(codec.Event, id, nil, values{})
			if got := warned(); len(got) != lines || lines > 0 && !strings.Contains(got[0], "eligible_city") {
				t.Errorf("%v %v: warned of %q", serializer, options, got)
			}
		}
		publish(values{"eligible": []any{q.id}, "exclude_me": true, "x_city": "a", "eligiblecity": 1}, 0)
		publish(values{"exclude_authid": []any{"nobody"}, "exclude_authrole": []any{"no"}}, 0)
		city := values{"eligible_city": []any{"Bern"}}
		publish(city, 1)
		publish(city, 0)
		b.Advance(warnEvery - time.Millisecond)
		publish(city, 0)
		b.Advance(time.Millisecond)
		publish(city, 1)
		publish(values{"exclude_x": nil}, 0) // too early for another line
		if n := b.router.Stats().ListsUnknown; n != 5 {
			t.Errorf("%v: %d are counted", serializer, n)
		}
	}
}

// TestUnknownListName: the log shows the beginning of a name only.
func TestUnknownListName(t *testing.T) {
	b := newBed(t, 1, Config{})
	warned := b.warned()
	p := b.join(0)
	p.say(codec.Publish, 1, values{"exclude_" + strings.Repeat("l", listNameShown-8) + "y": 1}, "com.t", []any{})
	if got := fmt.Sprint(warned()); !strings.Contains(got, "lll") || strings.Contains(got, "ly") {
		t.Error(got)
	}
}

// TestHistoryWarned: events that find no room in a history are counted one by one, and the log tells once a second.
func TestHistoryWarned(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{kept("realm1", history.Bounds{})}})
	warned := b.warned()
	p := b.join(0)
	p.publish(1, "com.h", "one")
	b.BytesMax = b.Charged()
	long := strings.Repeat("x", historyStep)
	for i, lines := range []int{1, 0, 0, 1} {
		if i == 3 {
			b.Advance(warnEvery)
		}
		p.publish(2, "com.h", long)
		if got := warned(); len(got) != lines {
			t.Errorf("event %d: %q", i, got)
		}
	}
	if n := b.router.Stats().HistoryRefused; n != 4 {
		t.Errorf("%d are counted", n)
	}
}
