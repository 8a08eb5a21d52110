package realm

import (
	"runtime"
	"testing"

	"banyan/codec"
	"banyan/realm/history"
)

// The meta events of subscriptions that history is kept of, in every order of subscribers and reloads: on_create is
// about the first subscriber and on_delete about the last (META-18, META-21), whoever made the record.

// A historyMeta is a bed with somebody who hears all meta events of subscriptions.
type historyMeta struct {
	*bed
	listener *peer
	hears    any
	disk     history.Store
	id       int64 // that the record of com.h has to have; 0: any
}

func newHistoryMeta(t *testing.T, loops int, kept bool) *historyMeta {
	h := &historyMeta{disk: history.NewMemory(0)}
	h.bed = newBed(t, loops, h.config(kept))
	h.listener = h.join(0)
	h.listener.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.subscription.on_")
	h.hears = h.listener.expect(codec.Subscribed, 1, nil)[2]
	h.listener.silent()
	return h
}

func (h *historyMeta) config(kept bool) Config {
	rc := RealmConfig{URI: "realm1"}
	if kept {
		rc.History = []History{{Pattern: Pattern{URI: "com.h"}, OnDisk: true}}
	}
	return Config{Realms: []RealmConfig{rc}, Disk: h.disk}
}

// reload begins to keep the history, or ends that. Nobody is told.
func (h *historyMeta) reload(kept bool) {
	h.t.Helper()
	h.apply(h.config(kept))
	h.listener.silent()
}

// begin is reload in the middle of what a loop does.
func (h *historyMeta) begin(kept bool) {
	h.t.Helper()
	if err := h.router.apply(h.config(kept), func(Report) {}); err != nil {
		h.t.Fatal(err)
	}
}

// tells expects meta events about com.h, which p has caused, and no more.
func (h *historyMeta) tells(p *peer, topics ...string) {
	h.t.Helper()
	h.tellsFirst(p, topics...)
	h.listener.silent()
}

func (h *historyMeta) tellsFirst(p *peer, topics ...string) {
	h.t.Helper()
	for _, topic := range topics {
		got := h.listener.expect(codec.Event, h.hears, nil, values{"topic": "wamp.subscription." + topic}, nil)
		args := got[4].([]any)
		id, _ := args[1].(int64)
		if topic == "on_create" {
			details := args[1].(values)
			if id = details["id"].(int64); details["uri"] != "com.h" || details["match"] != "exact" {
				h.t.Errorf("%s: %v", topic, details)
			}
		}
		if args[0] != int64(p.id) || h.id != 0 && id != h.id {
			h.t.Errorf("%s: %v, want %d, %d", topic, args, p.id, h.id)
		}
		h.id = id
	}
}

func (h *historyMeta) joins(p *peer, topics ...string) {
	h.t.Helper()
	p.say(codec.Subscribe, 1, values{}, "com.h")
	h.tells(p, topics...)
	p.expect(codec.Subscribed, 1, h.id)
}

func (h *historyMeta) leaves(p *peer, topics ...string) {
	h.t.Helper()
	p.say(codec.Unsubscribe, 2, h.id)
	p.expect(codec.Unsubscribed, 2)
	h.tells(p, topics...)
}

// record expects that the record of com.h is there, or not, and how many subscribers it has.
func (h *historyMeta) record(there bool, subscribers int) {
	h.t.Helper()
	rm := h.router.named["realm1"]
	sub := rm.topics.Find([]byte("com.h"), codec.Exact)
	if (sub != nil) != there {
		h.t.Fatalf("a record is there: %t", sub != nil)
	}
	if !there {
		return
	}
	h.listener.say(codec.Call, 9, values{}, "wamp.subscription.count_subscribers", []any{int64(sub.id)})
	h.listener.expect(codec.Result, 9, values{}, []any{int64(subscribers)})
	h.listener.say(codec.Call, 9, values{}, "wamp.subscription.list_subscribers", []any{int64(sub.id)})
	if got := h.listener.expect(codec.Result, 9, values{}, nil)[3].([]any)[0].([]any); len(got) != subscribers {
		h.t.Errorf("%v, want %d", got, subscribers)
	}
	if h.id != 0 && int64(sub.id) != h.id {
		h.t.Errorf("the record has the id %d, not %d", sub.id, h.id)
	}
}

// over gives everything back.
func (h *historyMeta) over(before int64) {
	h.t.Helper()
	h.record(false, 0)
	if n := h.Charged() - before; n != 0 {
		h.t.Errorf("%d bytes are charged", n)
	}
}

// TestHistoryFirst: history is there before any subscriber, also when it is found on the disk at the start. The
// record keeps its id from one time to the next.
func TestHistoryFirst(t *testing.T) {
	t.Attr("checklist", "META-18 META-19 META-21")
	h := newHistoryMeta(t, 2, true)
	one, two := h.join(0), h.join(1)
	before := h.Charged()
	h.record(true, 0)
	h.id = int64(h.router.named["realm1"].recording.Load().all[0].sub.id)
	for range 2 {
		h.joins(one, "on_create", "on_subscribe")
		h.joins(two, "on_subscribe")
		h.record(true, 2)
		h.leaves(one, "on_unsubscribe")
		h.leaves(two, "on_unsubscribe", "on_delete")
		h.record(true, 0)
	}
	h.reload(true)
	h.joins(one, "on_create", "on_subscribe")
	h.leaves(one, "on_unsubscribe", "on_delete")
	h.reload(false)
	h.over(before)

	// Another router finds the log of this one.
	found := newBed(t, 1, h.config(true))
	h.bed, h.id = found, 0
	h.listener = h.join(0)
	h.listener.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.subscription.on_")
	h.hears = h.listener.expect(codec.Subscribed, 1, nil)[2]
	one = h.join(0)
	h.record(true, 0)
	h.joins(one, "on_create", "on_subscribe")
	one.HangUp()
	h.Settle()
	h.tells(one, "on_unsubscribe", "on_delete")
}

// TestHistoryAdded: a reload begins to keep history while there are subscribers.
func TestHistoryAdded(t *testing.T) {
	t.Attr("checklist", "META-21 META-22")
	h := newHistoryMeta(t, 2, false)
	one, two := h.join(0), h.join(1)
	before := h.Charged()
	h.joins(one, "on_create", "on_subscribe")
	h.reload(true)
	h.record(true, 1)
	h.joins(two, "on_subscribe")
	h.leaves(two, "on_unsubscribe")
	for range 2 {
		h.leaves(one, "on_unsubscribe", "on_delete")
		h.record(true, 0)
		if n := h.Charged() - before; n != 0 {
			t.Errorf("%d bytes are charged for a record that history keeps", n)
		}
		h.joins(one, "on_create", "on_subscribe")
	}
	h.leaves(one, "on_unsubscribe", "on_delete")
	h.joins(two, "on_create", "on_subscribe")
	two.HangUp()
	h.Settle()
	h.tells(two, "on_unsubscribe", "on_delete")
	h.reload(false)
	h.record(false, 0)
}

// TestHistoryRemoved: a reload ends history, with and without subscribers, and begins it again.
func TestHistoryRemoved(t *testing.T) {
	t.Attr("checklist", "META-18 META-21")
	h := newHistoryMeta(t, 2, true)
	one, two := h.join(0), h.join(1)
	before := h.Charged()
	h.joins(one, "on_create", "on_subscribe")
	h.reload(false)
	h.record(true, 1)
	h.joins(two, "on_subscribe")
	h.reload(true)
	h.reload(false)
	h.leaves(one, "on_unsubscribe")
	h.leaves(two, "on_unsubscribe", "on_delete")
	h.over(before)
	old := h.id
	h.id = 0
	h.joins(one, "on_create", "on_subscribe")
	if h.id == old {
		t.Errorf("the id %d comes again", old)
	}
	h.leaves(one, "on_unsubscribe", "on_delete")
	h.reload(true) // it was never subscribed to
	h.reload(false)
	h.over(before)
}

// TestHistoryAddedMeanwhile: the first subscriber finds no record, and a reload makes one before it does.
func TestHistoryAddedMeanwhile(t *testing.T) {
	t.Attr("checklist", "META-18 META-21")
	h := newHistoryMeta(t, 2, false)
	p := h.join(1)
	p.post(codec.Subscribe, 1, values{}, "com.h")
	h.pauseAt(1, "topics.lock", 1)
	h.begin(true)
	h.id = int64(h.router.named["realm1"].recording.Load().all[0].sub.id)
	h.Settle()
	p.expect(codec.Subscribed, 1, h.id)
	h.tells(p, "on_create", "on_subscribe")
	h.leaves(p, "on_unsubscribe", "on_delete")
	h.record(true, 0)
}

// TestHistoryRemovedMeanwhile: the first subscriber finds the record of a history, and a reload takes it away before
// it enters. It makes another one.
func TestHistoryRemovedMeanwhile(t *testing.T) {
	t.Attr("checklist", "META-18 META-21")
	for _, step := range []string{"topics.enter", "topics.lock"} {
		for _, again := range []bool{false, true} {
			h := newHistoryMeta(t, 2, true)
			p := h.join(1)
			old := int64(h.router.named["realm1"].recording.Load().all[0].sub.id)
			p.post(codec.Subscribe, 1, values{}, "com.h")
			h.pauseAt(1, step, 1)
			h.begin(false)
			if again {
				h.begin(true)
			}
			h.Settle()
			id := p.expect(codec.Subscribed, 1, nil)[2].(int64)
			if id == old {
				t.Errorf("%s: it joined a record that nobody finds", step)
			}
			h.id = id
			h.tells(p, "on_create", "on_subscribe")
			h.record(true, 1)
			h.leaves(p, "on_unsubscribe", "on_delete")
			h.record(again, 0)
		}
	}
}

// TestHistoryAndLastMeanwhile: the last subscriber is about to leave when a reload begins or ends history, and
// another one comes before or after it has left.
func TestHistoryAndLastMeanwhile(t *testing.T) {
	t.Attr("checklist", "META-21")
	for _, step := range []string{"topics.leave", "topics.lock"} {
		for _, begins := range []bool{true, false} {
			h := newHistoryMeta(t, 2, !begins)
			leaver := h.join(1)
			h.joins(leaver, "on_create", "on_subscribe")
			leaver.post(codec.Unsubscribe, 2, h.id)
			h.pauseAt(1, step, 1)
			h.begin(begins)
			h.Settle()
			h.tells(leaver, "on_unsubscribe", "on_delete")
			h.record(begins, 0)

			// The same where somebody enters before the other one has left: there is no last one.
			h = newHistoryMeta(t, 2, !begins)
			leaver, joiner := h.join(1), h.join(0)
			h.joins(leaver, "on_create", "on_subscribe")
			leaver.post(codec.Unsubscribe, 2, h.id)
			h.pauseAt(1, step, 1)
			h.begin(begins)
			joiner.post(codec.Subscribe, 1, values{}, "com.h")
			h.RunLoop(0)
			h.Settle()
			joiner.expect(codec.Subscribed, 1, h.id)
			h.tellsFirst(leaver, "on_unsubscribe")
			h.tells(joiner, "on_subscribe")
			h.leaves(joiner, "on_unsubscribe", "on_delete")
			h.record(begins, 0)
		}
	}
}

// TestHistoryFirstTwo: two sessions on two loops come first at the same time to a record that history has made: one
// of them is the first, and its on_create is before both on_subscribe, whoever has SUBSCRIBED first.
func TestHistoryFirstTwo(t *testing.T) {
	t.Attr("checklist", "META-18 META-19")
	for _, step := range []string{"topics.enter", "topics.lock", "conn.lock"} {
		h := newHistoryMeta(t, 3, true)
		one, two := h.join(1), h.join(2)
		one.post(codec.Subscribe, 1, values{}, "com.h")
		h.pauseAt(1, step, 1)
		two.post(codec.Subscribe, 1, values{}, "com.h")
		h.RunLoop(2)
		h.RunLoop(0) // the voice, unless it has to wait for the first
		first, second := two, one
		if step == "conn.lock" {
			first, second = one, two
			h.listener.silent() // SUBSCRIBED of the first is not queued yet
		}
		h.Settle()
		if step == "conn.lock" {
			h.tellsFirst(first, "on_create")
			h.tellsFirst(second, "on_subscribe")
			h.tells(first, "on_subscribe")
		} else {
			h.tellsFirst(first, "on_create", "on_subscribe")
			h.tells(second, "on_subscribe")
		}
	}
}

// TestCreateIsToldFirst: nobody can enter a record before on_create of its first subscriber has its place in the
// queue, whether that makes the record or finds one that history has made.
func TestCreateIsToldFirst(t *testing.T) {
	t.Attr("checklist", "META-18")
	for _, kept := range []bool{false, true} {
		h := newHistoryMeta(t, 1, kept)
		p, rm := h.join(0), h.router.named["realm1"]
		p.post(codec.Subscribe, 1, values{}, "com.h")
		rm.meta.mu.Lock() // the queue has no place now
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.Settle()
		}()
		mu := rm.topics.Mutex([]byte("com.h"), codec.Exact)
		for mu.TryLock() {
			mu.Unlock()
			runtime.Gosched()
		}
		for range 1000 {
			if sub := rm.topics.Find([]byte("com.h"), codec.Exact); sub != nil && sub.enter() {
				t.Fatalf("kept %t: a record that nobody has been told of is entered", kept)
			}
			runtime.Gosched()
		}
		rm.meta.mu.Unlock()
		<-done
		h.tells(p, "on_create", "on_subscribe")
		p.expect(codec.Subscribed, 1, h.id)
	}
}
