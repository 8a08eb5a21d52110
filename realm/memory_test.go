package realm

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"banyan/codec"
)

// heap returns the bytes of the heap that are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestMemory: what is charged is not less than what the heap shows, and not more than four times as much.
func TestMemory(t *testing.T) {
	const n = 2000
	for _, c := range []struct {
		name, match string
		t           codec.Type
		uri         string
	}{
		{"topics", "exact", codec.Subscribe, "%06d"},
		{"long topics", "exact", codec.Subscribe, "%06d." + strings.Repeat("x", 1000)},
		{"procedures", "exact", codec.Register, "%06d"},
		{"prefixes", "prefix", codec.Subscribe, "%06d"},
		{"wildcards", "wildcard", codec.Subscribe, "%06d" + strings.Repeat(".a", 60)},
		{"stars", "wildcard", codec.Subscribe, "%06d" + strings.Repeat(".", 60)},
		{"literals", "wildcard", codec.Register, "%06d" + strings.Repeat(".abcd", 60)},
	} {
		b := newBed(t, 2, Config{})
		p := b.join(0)
		before := heap()
		for i := range n {
			p.say(c.t, i+1, values{"match": c.match}, fmt.Sprintf(c.uri, i))
			if m := p.hear(); m[0] == int64(codec.Error) {
				t.Fatal(m)
			}
		}
		used, charged := heap()-before, b.Charged()
		t.Logf("%s: %d bytes each, %d charged", c.name, used/n, charged/n)
		if charged < used || charged > 4*used {
			t.Errorf("%s: %d bytes are used, %d charged", c.name, used, charged)
		}
		p.HangUp()
		b.Settle()
		if left := b.Charged(); left != 0 {
			t.Errorf("%s: %d bytes are still charged", c.name, left)
		}
		runtime.KeepAlive(b)
	}
}

// What there is memory for is taken, and one more is refused and changes nothing; what is given back can be taken
// again.
func TestMemoryRefused(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, other := b.join(0), b.join(0)
	record := func(uri string, match codec.Match) int64 {
		return int64(b.router.named["realm1"].recordMemory(uri, match))
	}
	for _, c := range []struct {
		t, done, undo codec.Type
		match         string
	}{
		{codec.Subscribe, codec.Subscribed, codec.Unsubscribe, "exact"},
		{codec.Subscribe, codec.Subscribed, codec.Unsubscribe, "wildcard"},
		{codec.Register, codec.Registered, codec.Unregister, "exact"},
		{codec.Register, codec.Registered, codec.Unregister, "prefix"},
	} {
		match := codec.Exact
		if c.match != "exact" {
			match = codec.Wildcard
		}
		need := memberBytes + record("a.b", match)
		options := values{"match": c.match}
		if c.t == codec.Register {
			options["invoke"] = "roundrobin"
		}
		for _, short := range []int64{need - 1, memberBytes, memberBytes - 1, 1} {
			b.BytesMax = short
			p.say(c.t, 1, options, "a.b")
			p.refused(c.t, 1, codec.ErrOptionNotAllowed)
			if n := b.Charged(); n != 0 {
				t.Fatalf("%d bytes are charged for nothing", n)
			}
		}
		for range 2 {
			b.BytesMax = need
			p.say(c.t, 2, options, "a.b")
			id := p.expect(c.done, 2, nil)[2].(int64)
			p.say(c.t, 3, options, "a.b") // has it already: nothing more
			if c.t == codec.Subscribe {
				p.expect(c.done, 3, int(id))
			} else {
				p.refused(c.t, 3, codec.ErrOptionNotAllowed) // is not looked up without memory for a callee
			}
			other.say(c.t, 4, options, "a.b")
			other.refused(c.t, 4, codec.ErrOptionNotAllowed)
			b.BytesMax = need + memberBytes
			other.say(c.t, 5, options, "a.b") // shares the record
			other.expect(c.done, 5, int(id))
			if n := b.Charged(); n != need+memberBytes {
				t.Errorf("%d bytes for two, want %d", n, need+memberBytes)
			}
			p.say(c.undo, 6, int(id))
			p.hear()
			if n := b.Charged(); n != need {
				t.Errorf("%d bytes for one, want %d", n, need)
			}
			other.say(c.undo, 7, int(id))
			other.hear()
		}
	}
	if n := b.router.Stats().OverBudget; n != 4*4+4*2+2*2 {
		t.Errorf("%d refusals are counted", n)
	}
	held := &b.router.named["realm1"].held
	if held.subscriptions.Load() != 0 || held.registrations.Load() != 0 || b.Charged() != 0 {
		t.Errorf("%d subscriptions, %d registrations, %d bytes are left", held.subscriptions.Load(),
			held.registrations.Load(), b.Charged())
	}
}

// The first callsStep open calls of a session are free, the next ones are paid for step by step; a step that is free
// again, and half of the one before, is given back.
func TestMemoryOfCalls(t *testing.T) {
	b := newBed(t, 2, Config{})
	callee := b.join(1)
	callee.say(codec.Register, 1, values{}, "p")
	callee.hear()
	kept := b.Charged()
	const step = int64(callsStep * callBytes)
	for round := range 2 {
		p := b.join(0)
		var open []any // invocation ids
		request := 0
		call := func() {
			request++
			p.say(codec.Call, request, values{}, "p")
		}
		more := func(n int) {
			t.Helper()
			for range n {
				call()
				open = append(open, callee.hear()[1])
			}
		}
		less := func(n int) {
			t.Helper()
			for range n {
				callee.say(codec.Yield, open[0], values{})
				if m := p.hear(); m[0] != int64(codec.Result) {
					t.Fatal(m)
				}
				open = open[1:]
			}
		}
		charged := func(steps int64) {
			t.Helper()
			if got := b.Charged() - kept; got != steps*step {
				t.Fatalf("round %d: %d calls are charged with %d bytes, want %d", round, len(open), got, steps*step)
			}
		}
		b.BytesMax = kept + step - 1
		more(callsStep)
		charged(0)
		call()
		p.refused(codec.Call, request, codec.ErrOptionNotAllowed)
		charged(0)
		b.BytesMax = kept + step
		more(callsStep)
		charged(1)
		call()
		p.refused(codec.Call, request, codec.ErrOptionNotAllowed)
		less(callsStep + callsStep/2 - 1)
		charged(1)
		less(1)
		charged(0)
		more(callsStep / 2)
		charged(0)
		more(1)
		charged(1)
		b.BytesMax = kept + 3*step
		more(2*callsStep + 1)
		charged(3)
		p.HangUp()
		b.Settle()
		open = nil
		charged(0)
		for callee.hear() != nil { // INTERRUPTs
		}
	}
	if n := b.router.Stats().OverBudget; n != 4 {
		t.Errorf("%d refusals are counted", n)
	}
}

// TestMemoryUsedByCalls: what is charged for a step of calls is not less than what the heap shows, and not more than
// four times as much.
func TestMemoryUsedByCalls(t *testing.T) {
	for _, options := range []values{{}, {"timeout": 1000}} {
		b := newBed(t, 2, Config{})
		callee, p := b.join(1), b.join(0)
		callee.say(codec.Register, 1, values{}, "p")
		callee.hear()
		const n = 20 * callsStep
		request := 0
		calls := func() {
			for range n {
				request++
				p.say(codec.Call, request, options, "p")
				callee.hear()
			}
		}
		before, paid := heap(), b.Charged()
		calls()
		used, charged := heap()-before, b.Charged()-paid+callsStep*callBytes
		t.Logf("%v: %d bytes each, %d charged", options, used/n, charged/n)
		if charged < used || charged > 4*used {
			t.Errorf("%v: %d bytes are used, %d charged", options, used, charged)
		}
		runtime.KeepAlive(b)
	}
}

// TestSessionShare: one session gets its share of the memory for subscriptions and registrations, at n and n + 1, and
// what it gives back it may have again; others get theirs. A local session has no bound.
func TestSessionShare(t *testing.T) {
	b := newBed(t, 2, Config{})
	b.BytesMax = 2 * sessionShare * sessionShareMin
	const share = 2 * sessionShareMin
	rm := b.router.named["realm1"]
	p, q := b.join(0), b.join(1)
	long := strings.Repeat("a.", 500) // with 500 components, before a number
	pattern := func(i int) string { return fmt.Sprintf("%s%06d", long, i) }
	each := memberBytes + rm.recordMemory(pattern(0), codec.Prefix)
	full := share / each
	for round := range 2 {
		var last any
		for i := range full {
			p.say(codec.Subscribe, i+1, values{"match": "prefix"}, pattern(i))
			last = p.expect(codec.Subscribed, i+1, nil)[2]
		}
		more := func(request int) (refused bool) {
			p.say(codec.Subscribe, request, values{"match": "prefix"}, pattern(full))
			return p.hear()[0] == int64(codec.Error)
		}
		if !more(1000) || !more(1001) {
			t.Fatalf("round %d: more than its share", round)
		}
		p.say(codec.Register, 1002, values{"match": "prefix"}, pattern(0))
		p.refused(codec.Register, 1002, codec.ErrOptionNotAllowed)
		p.say(codec.Unsubscribe, 1003, last)
		p.expect(codec.Unsubscribed, 1003)
		p.say(codec.Register, 1004, values{"match": "prefix"}, pattern(0))
		id := p.expect(codec.Registered, 1004, nil)[2]
		if !more(1005) {
			t.Fatalf("round %d: a registration counts for nothing", round)
		}
		p.say(codec.Unregister, 1006, id)
		p.expect(codec.Unregistered, 1006)
		if more(1007) {
			t.Fatalf("round %d: what was given back may not be had again", round)
		}
		q.say(codec.Subscribe, 1, values{"match": "prefix"}, pattern(round)) // shares a record with the first
		q.expect(codec.Subscribed, 1, nil)
		p.HangUp()
		b.Settle()
		p = b.join(0)
	}
	if n := b.router.Stats().OverBudget; n != 2*4 {
		t.Errorf("%d are counted", n)
	}
	c := b.local(0)
	for i := range full + 1 {
		b.say(c, codec.Subscribe, i+1, values{"match": "prefix"}, pattern(i))
	}
	if n := b.router.Stats().OverBudget; n != 2*4 {
		t.Errorf("a local session was refused")
	}
}
