package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// sixteen are wildcard patterns that all match "aa.bb.cc.dd".
func sixteen() (patterns []string) {
	for mask := range 16 {
		parts := []string{"aa", "bb", "cc", "dd"}
		for i := range parts {
			if mask&(1<<i) != 0 {
				parts[i] = ""
			}
		}
		patterns = append(patterns, strings.Join(parts, "."))
	}
	return patterns
}

// A publication is transcoded once for each serializer, however many subscriptions it matches, in one turn or in
// several, and everybody gets it once for each of them.
func TestTranscodedOnce(t *testing.T) {
	numbers := func(n int) []any {
		list := make([]any, n)
		for i := range list {
			list[i] = 1.5
		}
		return list
	}
	few := numbers(20)
	for _, c := range []struct {
		name   string
		edit   func(b *bounds)
		args   []any
		tokens int // what transcoding into one serializer costs
		chunks bool
	}{
		{"at once", func(*bounds) {}, few, 22, false},
		{"longer", func(*bounds) {}, numbers(3000), 3002 + 12000>>7, false},
		{"in chunks", func(b *bounds) { b.matchesAtOnce = 4 }, few, 22, true},
		{"as many octets as go at once", func(b *bounds) { b.octetsAtOnce = 16 * 81 }, few, 22, false},
		{"in chunks for its octets", func(b *bounds) { b.octetsAtOnce = 16*81 - 1 }, few, 22, true},
		{"the work is just enough", func(b *bounds) { b.transcodeWork = 44 }, few, 22, false},
		{"in chunks, just enough", func(b *bounds) { b.matchesAtOnce, b.transcodeWork = 4, 22 }, few, 22, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, 1, Config{})
			c.edit(&b.router.bounds)
			var members []*peer
			for s := codec.JSON; s <= codec.CBOR; s++ {
				p := b.joinAs(0, s, 1<<20)
				for i, uri := range sixteen() {
					p.say(codec.Subscribe, i+1, values{"match": "wildcard"}, uri)
					p.expect(codec.Subscribed, i+1, nil)
				}
				members = append(members, p)
			}
			publisher := b.joinAs(0, codec.JSON, 1<<20)
			before := b.Loops[0].Worked()
			publisher.say(codec.Publish, 1, values{}, "aa.bb.cc.dd", c.args)
			for _, p := range members {
				seen := map[any]bool{}
				for m := p.hear(); m != nil; m = p.hear() {
					if fmt.Sprint(m[4]) != fmt.Sprint(c.args) {
						t.Fatalf("%v", m)
					}
					seen[m[1]] = true
				}
				if len(seen) != 16 {
					t.Errorf("%d of 16 events", len(seen))
				}
			}
			const search = 31 >> visitShift // for the nodes that it visits
			worked, want := b.Loops[0].Worked()-before, 2*(c.tokens>>tokenShift)+search
			if worked < want || worked > want+2 {
				t.Errorf("%d units of work, want about %d", worked, want)
			}
			if n := b.Async(); n != 0 {
				t.Errorf("%d pieces of work are left", n)
			}
			if n := b.router.Stats().Chunked; n != 0 != c.chunks {
				t.Errorf("%d publications in chunks", n)
			}
		})
	}
}

// A payload that takes long to transcode goes to the pool, whatever its length: events, calls, results and errors.
// What comes behind it keeps its order, and others do not wait.
func TestTooMuchWork(t *testing.T) {
	list := make([]any, 2000)
	for i := range list {
		list[i] = int64(i)
	}
	newWorkBed := func(work int) (b *bed, one, other *peer) {
		b = newBed(t, 1, Config{})
		b.router.bounds.transcodeWork = work
		return b, b.joinAs(0, codec.JSON, 1<<20), b.joinAs(0, codec.CBOR, 1<<20)
	}
	const cost = 2002 + 8893>>7 // tokens: its items and brackets, its octets
	for _, c := range []struct {
		work int
		pool bool
	}{{cost, false}, {cost - 1, true}, {1, true}} {
		run := func(what string, b *bed) {
			t.Helper()
			pooled := false
			for {
				for b.RunLoop(0) {
				}
				if b.Async() == 0 {
					break
				}
				pooled = true
				b.StepAsync(0)
			}
			if pooled != c.pool {
				t.Errorf("%s with %d tokens: in the pool %v", what, c.work, pooled)
			}
		}
		b, one, other := newWorkBed(c.work)
		sub := other.subscribe(1, "t")
		one.post(codec.Publish, 1, values{}, "t", list)
		one.post(codec.Publish, 2, values{}, "t", []any{int64(7)})
		run("event", b)
		other.expect(codec.Event, int(sub), nil, values{}, list)
		other.expect(codec.Event, int(sub), nil, values{}, []any{int64(7)})

		other.register(2, "p", "single")
		one.post(codec.Call, 3, values{}, "p", list)
		one.post(codec.Call, 4, values{}, "p", []any{int64(8)})
		run("call", b)
		other.expect(codec.Invocation, 1, nil, values{}, list)
		other.expect(codec.Invocation, 2, nil, values{}, []any{int64(8)})
		other.say(codec.Yield, 1, values{})
		other.say(codec.Yield, 2, values{})
		one.expect(codec.Result, 3, values{})
		one.expect(codec.Result, 4, values{})

		one.register(5, "q", "single")
		other.say(codec.Call, 3, values{}, "q")
		other.say(codec.Call, 4, values{}, "q")
		one.expect(codec.Invocation, 1, nil, values{})
		one.expect(codec.Invocation, 2, nil, values{})
		one.post(codec.Yield, 1, values{}, list)
		run("result", b)
		one.post(codec.Error, codec.Invocation, 2, values{}, "a.b", list)
		run("error", b)
		other.expect(codec.Result, 3, values{}, list)
		other.expect(codec.Error, codec.Call, 4, values{}, "a.b", list)
		one.HangUp()
		other.HangUp()
		b.Settle()
		nothingLeft(t, b.router, b.World)
	}
}

// A short payload is work too, if it is transcoded: 1 for each 64 octets.
func TestTranscodingIsWork(t *testing.T) {
	b := newBed(t, 1, Config{})
	one, other, same := b.joinAs(0, codec.JSON, 1<<20), b.joinAs(0, codec.CBOR, 1<<20), b.joinAs(0, codec.JSON, 1<<20)
	other.subscribe(1, "t")
	same.subscribe(1, "s")
	text := []any{strings.Repeat("x", 636)} // 640 octets of arguments
	for topic, want := range map[string]int{"t": 10, "s": 0, "nobody": 0} {
		before := b.Loops[0].Worked()
		one.say(codec.Publish, 1, values{}, topic, text)
		if worked := b.Loops[0].Worked() - before; worked != want {
			t.Errorf("%s: %d units of work, want %d", topic, worked, want)
		}
	}
}

// The members of a serializer leave while a run with events for them is open: a longer event without a form for them
// does not join that run.
func TestFormOfThoseThatLeft(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.router.bounds.directBytes = 4
	publisher, stays, leaves := b.joinAs(0, codec.JSON, 1<<20), b.joinAs(0, codec.JSON, 1<<20),
		b.joinAs(0, codec.CBOR, 1<<20)
	sub := stays.subscribe(1, "t")
	leaves.subscribe(1, "t")
	publisher.Do(func(x port.Executor) {
		p := b.router.directory.find(publisher.id).handler
		p.Receive(x, encodeMessage(t, codec.JSON, codec.Publish, []any{1, values{}, "t", []any{int64(1)}}))
		b.router.directory.find(leaves.id).handler.Receive(x,
			encodeMessage(t, codec.CBOR, codec.Unsubscribe, []any{2, int(sub)}))
		p.Receive(x, encodeMessage(t, codec.JSON, codec.Publish, []any{2, values{}, "t", []any{"longer"}}))
	})
	b.Settle()
	stays.expect(codec.Event, int(sub), nil, values{}, []any{int64(1)})
	stays.expect(codec.Event, int(sub), nil, values{}, []any{"longer"})
	leaves.expect(codec.Unsubscribed, 2)
	leaves.silent()
}

// The same, and somebody with that serializer subscribes before the run is sealed: there is no gap in what it hears.
func TestFormOfThoseThatLeftAndCame(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.router.bounds.directBytes = 4
	publisher, stays := b.joinAs(0, codec.JSON, 1<<20), b.joinAs(0, codec.JSON, 1<<20)
	leaves, comes := b.joinAs(0, codec.CBOR, 1<<20), b.joinAs(0, codec.CBOR, 1<<20)
	sub := stays.subscribe(1, "t")
	leaves.subscribe(1, "t")
	publisher.Do(func(x port.Executor) {
		handle := func(p *peer, s codec.Serializer, typ codec.Type, elements ...any) {
			b.router.directory.find(p.id).handler.Receive(x, encodeMessage(t, s, typ, elements))
		}
		handle(publisher, codec.JSON, codec.Publish, 1, values{}, "t", []any{int64(1)})
		handle(leaves, codec.CBOR, codec.Unsubscribe, 2, int(sub))
		handle(publisher, codec.JSON, codec.Publish, 2, values{}, "t", []any{"longer"})
		handle(comes, codec.CBOR, codec.Subscribe, 1, values{}, "t")
		handle(publisher, codec.JSON, codec.Publish, 3, values{}, "t", []any{int64(3)})
	})
	b.Settle()
	comes.expect(codec.Subscribed, 1, int(sub))
	comes.expect(codec.Event, int(sub), nil, values{}, []any{int64(3)})
	comes.silent()
}

// How many events one chunk of a publication has follows from their length, in each serializer that is wanted.
func TestOctetsBoundAChunk(t *testing.T) {
	const octets = 8 << encodeShift // 8 of the budget for each serializer
	for _, c := range []struct {
		octets      int
		serializers []codec.Serializer
		events      int // in one chunk
	}{
		{octets - 1, []codec.Serializer{codec.JSON}, 66 / (matchMembers + 7)},
		{octets, []codec.Serializer{codec.JSON}, 66 / (matchMembers + 8)},
		{octets, []codec.Serializer{codec.JSON, codec.MessagePack}, 66 / (matchMembers + 16)},
		{octets << 4, []codec.Serializer{codec.JSON}, 1}, // more than the budget
	} {
		b := newBed(t, 1, Config{})
		b.router.bounds.matchesAtOnce = 1
		var members []*peer
		for _, s := range c.serializers {
			p := b.joinAs(0, s, 1<<20)
			for i, uri := range sixteen() {
				p.say(codec.Subscribe, i+1, values{"match": "wildcard"}, uri)
				p.expect(codec.Subscribed, i+1, nil)
			}
			members = append(members, p)
		}
		publisher := b.joinAs(0, codec.JSON, 1<<20)
		b.Budget, b.Chunk = 1000, 66
		publisher.post(codec.Publish, 1, values{}, "aa.bb.cc.dd", []any{strings.Repeat("x", c.octets-4)})
		most, all := 0, 0
		for b.Loops[0].Busy() {
			b.StepLoop(0)
			n := 0
			for m := members[0].hear(); m != nil; m = members[0].hear() {
				n++
			}
			most, all = max(most, n), all+n
		}
		if most != c.events || all != 16 {
			t.Errorf("%d octets for %d serializers: %d events at once, want %d; %d in all",
				c.octets, len(c.serializers), most, c.events, all)
		}
	}
}

// Requests whose cost does not follow their length: components of patterns, prefix lengths that are probed.
func TestWorkOfPatterns(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	work := func(what string, want int, f func()) {
		t.Helper()
		before := b.Loops[0].Worked()
		f()
		if worked := b.Loops[0].Worked() - before; worked != want {
			t.Errorf("%s: %d units of work, want %d", what, worked, want)
		}
	}
	wildcard := strings.Repeat("a.", 400) + "a"
	work("subscribe", 100, func() { p.say(codec.Subscribe, 1, values{"match": "wildcard"}, wildcard) })
	sub := p.hear()[2].(int64)
	work("unsubscribe", 100, func() { p.say(codec.Unsubscribe, 2, int(sub)) })
	work("register", 100, func() { p.say(codec.Register, 3, values{"match": "prefix"}, wildcard) })
	p.hear()
	reg := p.hear()[2].(int64)
	work("unregister", 100, func() { p.say(codec.Unregister, 4, int(reg)) })
	work("exact", 0, func() { p.say(codec.Subscribe, 5, values{}, wildcard) })

	for i := range 500 {
		p.say(codec.Register, 100+2*i, values{"match": "prefix"}, strings.Repeat("b", 1+i))
		p.say(codec.Subscribe, 101+2*i, values{"match": "prefix"}, strings.Repeat("b", 1+i))
	}
	long := strings.Repeat("c", 600)
	work("call", (2*501)>>visitShift, func() { p.say(codec.Call, 2000, values{}, long) })
	work("publish", 501>>visitShift, func() { p.say(codec.Publish, 2001, values{}, long) })
	work("publish to what is not there", 0, func() { p.say(codec.Publish, 2002, values{}, "d") })
}

// A session with long patterns leaves: their components count, so that it takes more turns.
func TestFarewellOfPatterns(t *testing.T) {
	const patterns = 20
	turns := func(match string) (n int) {
		b := newBed(t, 1, Config{})
		p := b.join(0)
		for i := range patterns {
			p.say(codec.Subscribe, 2*i+1, values{"match": match}, fmt.Sprint("t", i)+strings.Repeat(".a", 39))
			p.say(codec.Register, 2*i+2, values{"match": match}, fmt.Sprint("p", i)+strings.Repeat(".a", 39))
		}
		b.Budget, b.Chunk = 10, 10
		p.HangUp()
		for b.Loops[0].Busy() {
			b.StepLoop(0)
			n++
		}
		nothingLeft(t, b.router, b.World)
		return n
	}
	if exact, wildcard := turns("exact"), turns("wildcard"); exact > 6 || wildcard < 2*patterns*9/10-2 {
		t.Errorf("%d turns for exact ones, %d for patterns of 40 components", exact, wildcard)
	}
}
