package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// crowd makes n meta events wait in realm1 until release is called.
func (b *bed) crowd(n int) (release func()) {
	b.t.Helper()
	ms := &b.router.named["realm1"].meta
	var held *metaEvent
	b.Submit(0, func(x port.Executor) {
		held = ms.reserve(x, "wamp.session.on_leave", 0)
		for range n - 1 {
			ms.tell(x, "wamp.session.on_leave", 1)
		}
	})
	b.Settle()
	return func() {
		b.Submit(0, func(x port.Executor) { ms.ready(x, held) })
		b.Settle()
		b.Advance(retryAfter)
		b.Settle()
	}
}

// TestPaceRequests: whoever causes meta events while many wait is answered, and then waits until they are published;
// others do not wait.
func TestPaceRequests(t *testing.T) {
	for _, c := range []struct{ t, answer codec.Type }{
		{codec.Subscribe, codec.Subscribed},
		{codec.Unsubscribe, codec.Unsubscribed},
		{codec.Register, codec.Registered},
		{codec.Unregister, codec.Unregistered},
	} {
		b := newBed(t, 2, Config{})
		p, other := b.join(1), b.join(1)
		request := 0
		for _, waits := range []bool{false, true, true, false} {
			request += 10
			elements := []any{request, values{}, fmt.Sprint("a", request)}
			switch c.t {
			case codec.Unsubscribe:
				elements = []any{request, p.subscribe(request-1, "a")}
			case codec.Unregister:
				elements = []any{request, p.register(request-1, "a", "single")}
			}
			n, before := metaQueueCrowded-2, b.router.Stats().MetaPaced // the request itself causes two
			if waits {
				n++
			}
			release := b.crowd(n)
			p.post(c.t, elements...)
			p.say(codec.Call, request+1, values{}, "wamp.session.count")
			if m := p.hear(); m[0] != int64(c.answer) || m[1] != int64(request) {
				t.Fatalf("%v, want %d", m, c.answer)
			}
			b.Advance(retryAfter)
			b.Settle()
			if waits {
				p.silent()
			} else {
				p.expect(codec.Result, request+1, values{}, nil)
			}
			other.say(codec.Call, request, values{}, "wamp.session.count")
			other.expect(codec.Result, request, values{}, nil)
			release()
			if waits {
				p.expect(codec.Result, request+1, values{}, nil)
				before++
			}
			if paced := b.router.Stats().MetaPaced; paced != before {
				t.Fatalf("type %d, %d events: %d waited", c.t, n, paced-before)
			}
		}
	}
}

// TestPaceFarewells: while many meta events wait nobody's farewell goes on, however he leaves; then nothing is
// missing. A realm that closes waits for nothing.
func TestPaceFarewells(t *testing.T) {
	for _, c := range []struct {
		n    int
		wait int64
	}{
		{metaQueueCrowded - 3, 0}, // each farewell causes three
		{metaQueueCrowded - 2, 1},
		{metaQueueCrowded, 1},
		{metaQueueCrowded + 1, 2},
	} {
		n := c.n
		b := newBed(t, 2, Config{})
		rm := b.router.named["realm1"]
		p, q := b.join(0), b.join(1)
		p.subscribe(1, "a")
		q.register(1, "b", "single")
		release := b.crowd(n)
		p.HangUp()
		b.Settle()
		q.say(codec.Goodbye, values{}, codec.CloseCloseRealm)
		b.Advance(retryAfter)
		b.Settle()
		waiting := rm.held.subscriptions.Load() + rm.held.registrations.Load()
		if waiting != c.wait {
			t.Errorf("%d events: %d records wait, want %d", n, waiting, c.wait)
		}
		release()
		if left := rm.held.subscriptions.Load() + rm.held.registrations.Load(); left != 0 {
			t.Errorf("%d events: %d records are left", n, left)
		}
		q.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)

		p = b.join(1)
		p.subscribe(1, "a")
		b.crowd(n)
		p.HangUp()
		b.Settle()
		if err := b.router.sayGoodbye(rm, func() {}); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		b.Advance(retryAfter)
		b.Settle()
		if rm.held.subscriptions.Load() != 0 || rm.meta.length.Load() != 0 || b.Charged() != 0 {
			t.Errorf("%d events: something of a closed realm is left", n)
		}
	}
}

// TestTestamentsFindRoom: testaments are published however many meta events wait, and are charged until then.
func TestTestamentsFindRoom(t *testing.T) {
	b := newBed(t, 2, Config{})
	reader := b.join(1)
	reader.subscribe(1, "a")
	kept := b.Charged()
	const sessions, each = 20, 5
	long := strings.Repeat("x", 50_000)
	var leaving []*peer
	for range sessions {
		p := b.join(0)
		for i := range each {
			p.say(codec.Call, i+1, values{}, "wamp.session.add_testament", []any{"a", []any{long}, values{}})
			p.expect(codec.Result, i+1, values{})
		}
		leaving = append(leaving, p)
	}
	charged := b.Charged()
	if charged-kept < sessions*each*50_000 {
		t.Fatalf("%d bytes are charged", charged-kept)
	}
	release := b.crowd(metaQueueCrowded)
	for _, p := range leaving {
		p.HangUp()
	}
	b.Settle()
	if now := b.Charged(); now != charged {
		t.Errorf("%d bytes are charged while they wait, want %d", now, charged)
	}
	release()
	for i := range sessions * each {
		if m := reader.hear(); m == nil || m[4].([]any)[0] != long {
			t.Fatalf("testament %d is missing", i)
		}
	}
	reader.silent()
	if now := b.Charged(); now != kept {
		t.Errorf("%d bytes are still charged", now-kept)
	}
}

// TestMetaWithoutHoles: while an event waits that somebody may hear who subscribes later, the events behind it wait
// too, though nobody listens when they happen.
func TestMetaWithoutHoles(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, listener := b.join(0), b.join(0)
	id := p.subscribe(1, "a")
	release := b.crowd(1)
	p.say(codec.Unsubscribe, 2, id)
	p.expect(codec.Unsubscribed, 2)
	listener.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.")
	of := listener.expect(codec.Subscribed, 1, nil)[2]
	release()
	for _, topic := range []string{
		"wamp.session.on_leave", "wamp.subscription.on_unsubscribe", "wamp.subscription.on_delete",
	} {
		if m := listener.hear(); m == nil || m[1] != of || m[3].(values)["topic"] != topic {
			t.Fatalf("%v, want %s", m, topic)
		}
	}
	for listener.hear() != nil { // its own
	}
	if ms := &b.router.named["realm1"].meta; ms.length.Load() != 0 {
		t.Errorf("%d events are counted at rest", ms.length.Load())
	}
}
