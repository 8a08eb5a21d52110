package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// shardedBed is a router whose realm1 has sharding.
func shardedBed(t *testing.T, loops int) *bed {
	t.Helper()
	return newBed(t, loops, Config{Realms: []RealmConfig{{URI: "realm1", Sharding: true}}})
}

// subscribeAs subscribes with an nkey, and returns the subscription's id.
func (p *peer) subscribeAs(request int, topic, nkey string) int64 {
	p.bed.t.Helper()
	p.say(codec.Subscribe, request, values{"nkey": nkey}, topic)
	return p.expect(codec.Subscribed, request, nil)[2].(int64)
}

// TestPUB56Weight: which nkey owns an rkey is the same in every version of the router.
func TestPUB56Weight(t *testing.T) {
	if a, none := hashKey("a"), hashKey(""); a != 0xaf63dc4c8601ec8c || none != 0xcbf29ce484222325 {
		t.Errorf("hashes %#x and %#x", a, none)
	}
	if w := weight(hashKey("r1"), hashKey("n1")); w != 0x3cee0470137e09c3 {
		t.Errorf("weight %#x", w)
	}
}

// heaviest is what a slow twin of the choice says: nkeys from the heaviest to the lightest.
func heaviest(rkey string, nkeys []string) []string {
	sorted := slices.Clone(nkeys)
	slices.SortFunc(sorted, func(a, b string) int {
		if weight(hashKey(rkey), hashKey(a)) > weight(hashKey(rkey), hashKey(b)) {
			return -1
		}
		return 1
	})
	return sorted
}

// TestPUB56Moves: a change of the set moves only what the changed one owned, and rkeys are spread evenly.
func TestPUB56Moves(t *testing.T) {
	b := shardedBed(t, 3)
	nkeys := []string{"n1", "n2", "n3", "n4"}
	var nodes []*peer
	for i, nkey := range nkeys {
		p := b.join(i % 3)
		p.subscribeAs(1, "t", nkey)
		nodes = append(nodes, p)
	}
	publisher := b.join(0)
	const rkeys = 400
	request := 0
	round := func() (owners [rkeys]string) {
		for i := range rkeys {
			request++
			publisher.post(codec.Publish, request, values{"rkey": fmt.Sprintf("key%d", i)}, "t", []any{int64(i)})
		}
		b.Settle()
		for n, p := range nodes {
			for m := p.hear(); m != nil; m = p.hear() {
				i := m[4].([]any)[0].(int64)
				if owners[i] != "" {
					t.Fatalf("%d went to %s and %s", i, owners[i], nkeys[n])
				}
				owners[i] = nkeys[n]
			}
		}
		return owners
	}
	before := round()
	had := map[string]int{}
	for i, owner := range before {
		had[owner]++
		if want := heaviest(fmt.Sprintf("key%d", i), nkeys)[0]; owner != want {
			t.Fatalf("key%d went to %q, want %s", i, owner, want)
		}
	}
	for _, nkey := range nkeys {
		if n := had[nkey]; n < rkeys/8 || n > rkeys/2 {
			t.Errorf("%s owns %d of %d", nkey, n, rkeys)
		}
	}
	nodes[1].HangUp()
	b.Settle()
	after := round()
	for i := range after {
		if before[i] != "n2" && after[i] != before[i] || after[i] == "n2" || after[i] == "" {
			t.Fatalf("key%d moved from %s to %q", i, before[i], after[i])
		}
	}
	nodes[1] = b.join(2)
	nodes[1].subscribeAs(1, "t", "n2")
	if again := round(); again != before {
		t.Error("who comes back does not own what he owned")
	}
	if n := b.router.Stats().Sharded; n != 3*rkeys {
		t.Errorf("%d counted", n)
	}
}

// TestPUB56Bounds: keys of 256 octets and sets of 1024, and no more. What is refused leaves nothing behind.
func TestPUB56Bounds(t *testing.T) {
	b := shardedBed(t, 1)
	p, publisher := b.join(0), b.join(0)
	longest := strings.Repeat("k", shardKeyBytesMax)
	p.subscribeAs(1, "t", longest)
	p.say(codec.Subscribe, 2, values{"nkey": longest + "k"}, "u")
	p.refused(codec.Subscribe, 2, codec.ErrOptionNotAllowed)
	publisher.say(codec.Publish, 1, values{"rkey": longest}, "t", []any{int64(1)})
	publisher.say(codec.Publish, 2, values{"rkey": longest + "k"}, "t", []any{int64(2)})
	publisher.say(codec.Publish, 3, values{"rkey": longest + "k", "acknowledge": true}, "t", []any{int64(3)})
	publisher.refused(codec.Publish, 3, codec.ErrOptionNotAllowed)
	p.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
	p.silent()

	var all []*peer
	for i := 1; i < shardsMax; i++ {
		q := b.join(0)
		q.subscribeAs(1, "t", fmt.Sprint(i))
		all = append(all, q)
	}
	more := b.join(0)
	charged := b.Charged()
	for range 2 {
		more.say(codec.Subscribe, 1, values{"nkey": "more"}, "t")
		more.refused(codec.Subscribe, 1, codec.ErrOptionNotAllowed)
	}
	if now := b.Charged(); now != charged {
		t.Errorf("%d bytes charged for nothing", now-charged)
	}
	more.subscribe(2, "t") // without an nkey
	all[0].HangUp()
	b.Settle()
	other := b.join(0)
	other.subscribeAs(1, "t", "other")
	if s := b.router.Stats(); s.ShardsRefused != 5 || s.Subscriptions != shardsMax+1 {
		t.Errorf("%d refused, %d subscriptions", s.ShardsRefused, s.Subscriptions)
	}
	for _, q := range append(all[1:], p, publisher, more, other) {
		q.HangUp()
	}
	b.Settle()
	nothingLeftOf(t, b, 0)
	if n := b.Charged(); n != 0 {
		t.Errorf("%d bytes stay charged", n)
	}
}

// TestPUB56Publisher: a publisher can own its event, unless it is to have none of its own.
func TestPUB56Publisher(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	p.subscribeAs(1, "t", "n")
	for i, exclude := range []bool{true, false} {
		p.say(codec.Publish, 2+i, values{"rkey": "r", "exclude_me": exclude}, "t", []any{int64(i)})
	}
	p.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
	p.silent()
}

// TestPUB56Full: a session that is refused because the set is full leaves the subscription as it was, and nobody is
// told.
func TestPUB56Full(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	p.subscribe(1, "wamp.subscription.on_create")
	p.subscribe(2, "wamp.subscription.on_delete")
	held := p.subscribeAs(3, "t", "n1")
	p.expect(codec.Event, nil, nil, values{}, nil)
	s := b.router.named["realm1"].topics.Find([]byte("t"), codec.Exact)
	if uint64(held) != s.id {
		t.Fatal("another subscription")
	}
	set := s.shards.Load()
	set.mu.Lock()
	set.reserved = shardsMax
	set.mu.Unlock()
	q := b.join(0)
	q.say(codec.Subscribe, 1, values{"nkey": "n2"}, "t")
	q.refused(codec.Subscribe, 1, codec.ErrOptionNotAllowed)
	p.silent()
	if n := s.count.Load(); n != 1 {
		t.Errorf("%d members", n)
	}
}

// TestPUB56Leaving: whoever has begun to leave owns nothing any more, though the subscription is not given back yet.
func TestPUB56Leaving(t *testing.T) {
	b := shardedBed(t, 2)
	rkey := "r"
	order := heaviest(rkey, []string{"n1", "n2"})
	first, second, publisher := b.join(1), b.join(0), b.join(0)
	first.subscribeAs(1, "t", order[0])
	second.subscribeAs(1, "t", order[1])
	first.HangUp()
	b.pauseAt(1, "conn.lock", 1)
	publisher.post(codec.Publish, 1, values{"rkey": rkey}, "t", []any{int64(1)})
	b.RunLoop(0)
	b.Settle()
	second.expect(codec.Event, nil, nil, values{}, []any{int64(1)})
}

// TestPUB56Reload: a realm that gets the option, or loses it, does so for what is published from then on.
func TestPUB56Reload(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1"}}})
	on := Config{Realms: []RealmConfig{{URI: "realm1", Sharding: true}}, Loops: 1}
	off := Config{Realms: []RealmConfig{{URI: "realm1"}}, Loops: 1}
	early, p, q, publisher := b.join(0), b.join(0), b.join(0), b.join(0)
	early.subscribeAs(1, "t", "n1") // means nothing
	request := 0
	publish := func() {
		request++
		publisher.say(codec.Publish, request, values{"rkey": "r"}, "t", []any{})
	}
	heard := func(p *peer) (n int) {
		for p.hear() != nil {
			n++
		}
		return n
	}
	b.apply(on)
	order := heaviest("r", []string{"n1", "n2"})
	p.subscribeAs(1, "t", order[0])
	q.subscribeAs(1, "t", order[1])
	publish()
	if a, b, c := heard(early), heard(p), heard(q); a != 1 || b != 1 || c != 0 {
		t.Errorf("with sharding: %d, %d and %d events", a, b, c)
	}
	b.apply(off)
	p.subscribeAs(2, "t", order[1]) // ignored, and so is the difference
	publish()
	if a, b, c := heard(early), heard(p), heard(q); a != 1 || b != 1 || c != 1 {
		t.Errorf("without: %d, %d and %d events", a, b, c)
	}
	b.apply(on)
	publish()
	if a, b, c := heard(early), heard(p), heard(q); a != 1 || b != 1 || c != 0 {
		t.Errorf("with it again: %d, %d and %d events", a, b, c)
	}
}

// TestPUB56Large: events that are encoded in the pool, and those that match many subscriptions, go to the owner too.
func TestPUB56Large(t *testing.T) {
	for name, bounds := range map[string]func(*bounds){
		"large":  func(o *bounds) { o.largeBytes = 10 },
		"chunks": func(o *bounds) { o.matchesAtOnce = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			b := shardedBed(t, 2)
			bounds(&b.router.bounds)
			order := heaviest("r", []string{"n1", "n2", "n3"})
			var nodes []*peer
			for i, nkey := range order {
				p := b.joinAs(i%2, codec.Serializer(1+i), 1<<20)
				p.subscribeAs(1, "t", nkey)
				nodes = append(nodes, p)
			}
			all, publisher := b.join(0), b.join(0)
			all.subscribe(1, "t")
			text := strings.Repeat("x", 100)
			publisher.say(codec.Publish, 1, values{"rkey": "r"}, "t", []any{text})
			others := values{"rkey": "r", "exclude": []any{int64(nodes[0].id)}}
			publisher.say(codec.Publish, 2, others, "t", []any{text})
			nodes[0].expect(codec.Event, nil, nil, values{}, []any{text})
			nodes[1].expect(codec.Event, nil, nil, values{}, []any{text})
			all.expect(codec.Event, nil, nil, values{}, []any{text})
			all.expect(codec.Event, nil, nil, values{}, []any{text})
			for _, p := range append(nodes, all) {
				p.silent()
			}
			if n := b.router.Stats().Sharded; n != 2 {
				t.Errorf("%d counted", n)
			}
		})
	}
}

// TestPUB56Joining: who is about to be in the set is not chosen before events can reach him, and is chosen once he
// has been told SUBSCRIBED.
func TestPUB56Joining(t *testing.T) {
	order := heaviest("r", []string{"n1", "n2"})
	for nth := 1; nth < 20; nth++ {
		b := shardedBed(t, 2)
		old, late, publisher := b.join(0), b.join(1), b.join(0)
		old.subscribeAs(1, "t", order[1])
		late.post(codec.Subscribe, 1, values{"nkey": order[0]}, "t")
		paused := false
		forced, step := b.Forced, 0
		b.Forced = func(loop int, name string) bool {
			if loop == 1 && !paused {
				if step++; step == nth {
					paused = true
					return true
				}
			}
			return forced(loop, name)
		}
		b.RunLoop(1)
		publisher.post(codec.Publish, 1, values{"rkey": "r"}, "t", []any{})
		b.RunLoop(0)
		b.Settle()
		late.expect(codec.Subscribed, 1, nil)
		events := 0
		for _, p := range []*peer{old, late} {
			for p.hear() != nil {
				events++
			}
		}
		if events != 1 {
			t.Errorf("paused at step %d of SUBSCRIBE: %d got the event", nth, events)
		}
		if !paused {
			return
		}
	}
	t.Error("SUBSCRIBE has more steps than that")
}

// TestPUB56Kept: an event that is retained replaces the one before it, whatever their rkeys; and what an nkey counts
// of the share of a session is given back.
func TestPUB56Kept(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	for i := range 3 {
		p.say(codec.Publish, i+1, values{"rkey": fmt.Sprint(i), "retain": true}, "t", []any{})
	}
	if n := b.router.named["realm1"].retained.Load().Stats().Events; n != 1 {
		t.Errorf("%d events are retained", n)
	}
	id := p.subscribeAs(4, "t", "n1")
	s := b.router.named["realm1"].sessions[0].head
	before := s.share
	p.subscribe(5, "u")
	if with, without := before, s.share-before; with != without+shardBytes {
		t.Errorf("an nkey counts %d", with-without)
	}
	p.say(codec.Unsubscribe, 6, id)
	p.expect(codec.Unsubscribed, 6)
	if s.share != s.shareOf("u", codec.Exact) {
		t.Errorf("%d of the share are used", s.share)
	}
}

// TestRPC86Weights: calls go to the callee that weighs most, of one nkey the latest; without nkey by session. When
// one has gone, only its calls move.
func TestRPC86Weights(t *testing.T) {
	b := shardedBed(t, 2)
	caller := b.join(0)
	nkeys := []string{"n1", "n2", "n2", ""}
	var callees []*peer
	var hashes []uint64
	for i, nkey := range nkeys {
		p := b.join(i % 2)
		options := values{"invoke": "random"}
		hash := mix(p.id)
		if nkey != "" {
			options["nkey"] = nkey
			hash = hashKey(nkey)
		}
		p.say(codec.Register, 1, options, "p")
		p.expect(codec.Registered, 1, nil)
		callees, hashes = append(callees, p), append(hashes, hash)
	}
	request := 0
	owner := func(rkey string) int {
		request++
		caller.say(codec.Call, request, values{"rkey": rkey, "runmode": "partition"}, "p")
		for i, p := range callees {
			if m := p.hear(); m != nil {
				p.say(codec.Yield, int(m[1].(int64)), values{})
				caller.expect(codec.Result, request, values{})
				return i
			}
		}
		t.Fatal("nobody was called")
		return 0
	}
	for i := range 100 {
		rkey := fmt.Sprint("key", i)
		want := 0
		for n, hash := range hashes {
			if weight(hashKey(rkey), hash) >= weight(hashKey(rkey), hashes[want]) {
				want = n
			}
		}
		if got := owner(rkey); got != want {
			t.Fatalf("%s: callee %d was called, want %d", rkey, got, want)
		}
	}
	before := map[string]int{}
	for i := range 100 {
		before[fmt.Sprint("key", i)] = owner(fmt.Sprint("key", i))
	}
	callees[2].HangUp() // then n2 is the one before it
	b.Settle()
	for rkey, was := range before {
		if was == 2 {
			was = 1
		}
		if got := owner(rkey); got != was {
			t.Fatalf("%s moved from %d to %d", rkey, was, got)
		}
	}
}

// TestRPC86Gone: callees that leave while they are chosen are passed by, more of them than a call tries at once too;
// and the round robin of others does not move.
func TestRPC86Gone(t *testing.T) {
	for _, leaving := range []int{1, heirsMax, heirsMax + 1, 2 * heirsMax * searchesMax} {
		b := shardedBed(t, 2)
		caller, stays := b.join(0), b.join(0)
		nkeys := []string{"stays"}
		for i := range leaving {
			nkeys = append(nkeys, fmt.Sprint("n", i))
		}
		rkey := ""
		for i := 0; rkey == "" || heaviest(rkey, nkeys)[leaving] != "stays"; i++ {
			rkey = fmt.Sprint("key", i)
		}
		stays.say(codec.Register, 1, values{"invoke": "roundrobin", "nkey": "stays"}, "p")
		stays.expect(codec.Registered, 1, nil)
		var others []*peer
		for i := range leaving {
			p := b.join(1)
			p.say(codec.Register, 1, values{"invoke": "roundrobin", "nkey": fmt.Sprint("n", i)}, "p")
			p.expect(codec.Registered, 1, nil)
			others = append(others, p)
		}
		reg := b.router.named["realm1"].procedures.Find([]byte("p"), codec.Exact)
		for _, p := range others { // their connections are closing
			p.Lock()
			p.Finish(b.Loops[1], port.CloseNormal, "")
			p.Unlock()
		}
		if leaving > heirsMax*searchesMax { // the realm has been told, and they have to wait with what they hold
			b.router.named["realm1"].meta.length.Store(metaQueueCrowded + 1)
			b.RunLoop(1)
		}
		reg.cursor.Store(1)
		caller.post(codec.Call, 1, values{"rkey": rkey, "runmode": "partition"}, "p")
		b.RunLoop(0)
		if at := reg.cursor.Load(); at != 1 { // before anybody leaves the registration
			t.Errorf("the round robin is at %d", at)
		}
		b.Settle()
		stays.expect(codec.Invocation, nil, nil, values{})
	}
}

// TestRPC86Unavailable: of more callees than a call tries at once each is offered it, the heaviest first and none
// twice, until all have said that they are unavailable.
func TestRPC86Unavailable(t *testing.T) {
	b := shardedBed(t, 2)
	caller := b.join(0)
	var nkeys []string
	var callees []*peer
	for i := range 2*heirsMax + 1 {
		nkey := fmt.Sprint("n", i)
		p := b.joinRerouting(i%2, codec.MessagePack)
		p.say(codec.Register, 1, values{"invoke": "roundrobin", "nkey": nkey}, "p")
		p.expect(codec.Registered, 1, nil)
		nkeys, callees = append(nkeys, nkey), append(callees, p)
	}
	caller.say(codec.Call, 1, values{"rkey": "key", "runmode": "partition"}, "p")
	var order []string
	for {
		i, id := nextInvoked(t, callees)
		if i < 0 {
			break
		}
		order = append(order, nkeys[i])
		callees[i].unavailable(int(id))
	}
	if want := heaviest("key", nkeys); !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	caller.refused(codec.Call, 1, codec.ErrNoAvailableCallee)
}

// TestRPC86Bounds: an rkey and an nkey have 256 octets at most.
func TestRPC86Bounds(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	longest := strings.Repeat("k", shardKeyBytesMax)
	p.say(codec.Register, 1, values{"nkey": longest}, "p")
	p.expect(codec.Registered, 1, nil)
	p.say(codec.Register, 2, values{"nkey": longest + "k"}, "q")
	p.refused(codec.Register, 2, codec.ErrOptionNotAllowed)
	p.say(codec.Call, 3, values{"runmode": "partition", "rkey": longest}, "p")
	p.expect(codec.Invocation, 1, nil, values{})
	p.say(codec.Call, 4, values{"runmode": "partition", "rkey": longest + "k"}, "p")
	p.refused(codec.Call, 4, codec.ErrOptionNotAllowed)
	p.say(codec.Call, 5, values{"rkey": longest + "k"}, "p") // means nothing
	p.expect(codec.Invocation, 2, nil, values{})
	if s := b.router.Stats(); s.ShardsRefused != 2 || s.OpenCalls != 2 || s.Registrations != 1 {
		t.Errorf("%+v", s)
	}
	p.HangUp()
	b.Settle()
	nothingLeftOf(t, b, 0)
}

// TestRPC86Saturated: a call that its owner has no room for is counted.
func TestRPC86Saturated(t *testing.T) {
	b := shardedBed(t, 1)
	p := b.join(0)
	p.say(codec.Register, 1, values{"invoke": "random", "concurrency": int64(1)}, "p")
	p.expect(codec.Registered, 1, nil)
	p.say(codec.Call, 2, values{"runmode": "partition", "rkey": "r"}, "p")
	p.expect(codec.Invocation, 1, nil, values{})
	p.say(codec.Call, 3, values{"runmode": "partition", "rkey": "r"}, "p")
	p.refused(codec.Call, 3, codec.ErrUnavailable)
	if n := b.router.Stats().CallsSaturated; n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestPUB56NoKeyIsNone: a key that is empty, or whose hash would be 0, is told from an absent one: as rkey and as
// nkey, of a PUBLISH, a SUBSCRIBE and a CALL.
func TestPUB56NoKeyIsNone(t *testing.T) {
	const zero = "77kepQFQ8Kl" // FNV-1a makes 0 of it
	if h := hashKey(zero); h != 1 {
		t.Errorf("the hash is %#x, want 1", h)
	}
	for _, key := range []string{"", zero} {
		b := shardedBed(t, 1)
		one, two, publisher := b.join(0), b.join(0), b.join(0)
		one.subscribeAs(1, "t", key)
		two.subscribeAs(1, "t", "n2")
		for i := range 20 {
			publisher.post(codec.Publish, 1, values{"rkey": fmt.Sprint(i)}, "t")
			publisher.post(codec.Publish, 2, values{"rkey": key}, "t")
		}
		b.Settle()
		events := 0
		for _, p := range []*peer{one, two} {
			for p.hear() != nil {
				events++
			}
		}
		if events != 40 {
			t.Errorf("%q: 40 events went to one of two, who got %d", key, events)
		}
		one.say(codec.Register, 2, values{"nkey": key}, "p")
		one.expect(codec.Registered, 2, nil)
		two.say(codec.Call, 2, values{"runmode": "partition", "rkey": key}, "p")
		one.expect(codec.Invocation, 1, nil, values{})
		two.say(codec.Call, 3, values{"runmode": "partition"}, "p")
		two.refused(codec.Call, 3, codec.ErrInvalidArgument)
	}
}

// TestPUB56Counted: Stats.Sharded counts a publication with rkey once for each subscription that has subscribers with
// an nkey: not for those that never had any, or have none any more.
func TestPUB56Counted(t *testing.T) {
	for _, large := range []bool{false, true} {
		b := shardedBed(t, 1)
		if large {
			b.router.bounds.largeBytes = 10
		}
		p, all, publisher := b.join(0), b.join(0), b.join(0)
		all.subscribe(1, "t")
		all.say(codec.Subscribe, 2, values{"match": "prefix"}, "t")
		want := int64(0)
		publish := func(counts int64) {
			t.Helper()
			publisher.say(codec.Publish, 1, values{"rkey": "r"}, "t", []any{"long enough"})
			if want += counts; b.router.Stats().Sharded != want {
				t.Errorf("large %t: %d are counted, want %d", large, b.router.Stats().Sharded, want)
			}
		}
		publish(0)
		id := p.subscribeAs(1, "t", "n1")
		publish(1)
		p.say(codec.Subscribe, 2, values{"match": "prefix", "nkey": "n1"}, "t")
		publish(2)
		p.say(codec.Unsubscribe, 3, id)
		publish(1)
		p.HangUp()
		publish(0)
	}
}

// TestHeirs: a call that goes by its rkey tries heirsMax callees, the heaviest first, until it looks for others;
// those that it has tried have no place among them.
func TestHeirs(t *testing.T) {
	m := &codec.Message{Type: codec.Call, Format: codec.MessagePack, Request: 1, URI: []byte("p")}
	var err error
	if m.Dict, err = codec.AppendValue(nil, codec.MessagePack, values{"rkey": "r"}); err != nil {
		t.Fatal(err)
	}
	b, err := codec.Append(nil, codec.MessagePack, m)
	if err != nil {
		t.Fatal(err)
	}
	var d codec.Decoder
	if err := d.Decode(codec.MessagePack, b, m); err != nil {
		t.Fatal(err)
	}
	for n := range 2*heirsMax + 2 {
		var callees []*callee
		var nkeys []string
		for i := range n {
			nkeys = append(nkeys, fmt.Sprint("n", i))
			callees = append(callees, &callee{nkey: hashKey(nkeys[i]), session: new(session)})
		}
		order := heaviest("r", nkeys)
		var tried []*session
		for len(order) > 0 {
			next := order[:min(heirsMax, len(order))]
			order = order[len(next):]
			got := heirs(quietLoop{}, m, callees, tried)
			var names []string
			for _, c := range got {
				names, tried = append(names, nkeys[slices.Index(callees, c)]), append(tried, c.session)
			}
			if !slices.Equal(names, next) {
				t.Errorf("of %d callees: %v, want %v", n, names, next)
			}
		}
		if got := heirs(quietLoop{}, m, callees, tried); len(got) > 0 {
			t.Errorf("%d callees are tried again", len(got))
		}
	}
}
