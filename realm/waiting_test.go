package realm

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"banyan/codec"
)

// large is longer than usualBounds.largeBytes.
var large = strings.Repeat("large ", 60_000)

// TestLargeKeepsOrder: what a session sends behind a large message waits for it, and other sessions do not.
func TestLargeKeepsOrder(t *testing.T) {
	for s := codec.JSON; s <= codec.CBOR; s++ {
		b := newBed(t, 1, Config{})
		publisher, same, other := b.join(0), b.joinAs(0, codec.MessagePack, 1<<24), b.joinAs(0, s, 1<<24)
		bystander := b.join(0)
		for _, p := range []*peer{same, other} {
			p.subscribe(1, "t")
		}
		publisher.post(codec.Publish, 1, values{}, "t", []any{"small"})
		publisher.post(codec.Publish, 2, values{"acknowledge": true}, "t", []any{large})
		publisher.post(codec.Publish, 3, values{"acknowledge": true}, "t", []any{"behind"})
		b.RunLoop(0)
		if b.Async() != 1 || !publisher.Held() {
			t.Fatalf("%d pieces of work in the pool, held %v", b.Async(), publisher.Held())
		}
		publisher.silent()
		bystander.post(codec.Call, 1, values{}, "none")
		b.RunLoop(0)
		bystander.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
		b.Settle()
		publisher.expect(codec.Published, 2, nil)
		publisher.expect(codec.Published, 3, nil)
		for _, p := range []*peer{same, other} {
			for _, want := range []string{"small", large, "behind"} {
				if m := p.hear(); m == nil || m[4].([]any)[0] != want {
					t.Fatalf("serializer %d: an event is missing, out of order or changed", s)
				}
			}
			p.silent()
		}
		if st := b.router.Stats(); st.Large != 1 || st.Chunked != 1 || publisher.Held() {
			t.Errorf("%+v, held %v", st, publisher.Held())
		}
	}
}

// TestLargeCall: a large call and its large answer cross serializers, with the errors that short ones get.
func TestLargeCall(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.joinAs(0, codec.JSON, 1<<24), b.joinAs(1, codec.CBOR, 1<<24)
	callee.register(1, "p", "single")
	caller.post(codec.Call, 1, values{}, "p", []any{large})
	caller.post(codec.Call, 2, values{}, "p", []any{"behind"})
	b.Settle()
	callee.expect(codec.Invocation, 1, nil, values{}, []any{large})
	callee.expect(codec.Invocation, 2, nil, values{}, []any{"behind"})
	callee.post(codec.Yield, 1, values{}, []any{large, large})
	callee.post(codec.Error, codec.Invocation, 2, values{}, "com.app.error", []any{large})
	b.Settle()
	caller.expect(codec.Result, 1, values{}, []any{large, large})
	caller.expect(codec.Error, codec.Call, 2, values{}, "com.app.error", []any{large})
	// A key that is a list has no form in JSON.
	caller.say(codec.Call, 3, values{}, "p")
	callee.expect(codec.Invocation, 3, nil, values{})
	// [70, 3, {}, [{[1]: 2}, text of 0x40001 octets]]
	yield := []byte{0x84, 0x18, 70, 3, 0xA0, 0x82, 0xA1, 0x81, 1, 2, 0x7A, 0, 4, 0, 1}
	callee.Send(append(yield, large[:0x40001]...))
	b.Settle()
	caller.refused(codec.Call, 3, codec.ErrInvalidArgument)
	if s := b.router.Stats(); s.OpenCalls != 0 || s.Violations != 0 {
		t.Errorf("%+v", s)
	}
}

// TestLargeViolation: a large message that is malformed at its end ends its sender, and nothing of it took effect.
func TestLargeViolation(t *testing.T) {
	b := newBed(t, 1, Config{})
	p, other := b.join(0), b.join(0)
	other.subscribe(1, "t")
	msg := encodeMessage(t, codec.MessagePack, codec.Publish, []any{1, values{}, "t", []any{large}})
	p.Send(append(msg, 0xC0))
	p.post(codec.Publish, 2, values{}, "t")
	b.Settle()
	p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
	p.silent()
	other.silent()
}

// TestPoolIsFull: a large message waits until the pool has room, and nothing is lost.
func TestPoolIsFull(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.AsyncMax = 1
	one, two, hears := b.join(0), b.join(0), b.joinAs(0, codec.MessagePack, 1<<24)
	hears.subscribe(1, "t")
	one.post(codec.Publish, 1, values{}, "t", []any{large})
	two.post(codec.Publish, 1, values{}, "t", []any{large})
	for range 10 {
		b.Settle()
		b.Advance(retryAfter)
	}
	b.Settle()
	hears.expect(codec.Event, nil, nil, values{}, []any{large})
	hears.expect(codec.Event, nil, nil, values{}, []any{large})
	if b.router.Stats().PoolFull == 0 {
		t.Error("the pool was never full")
	}
}

// TestManyMatches: an event that matches many subscriptions goes out chunk by chunk: what is behind it keeps its
// place, others go on, and the next chunk is encoded only when the last is delivered.
func TestManyMatches(t *testing.T) {
	b := newBed(t, 2, Config{})
	b.router.bounds = bounds{
		largeBytes: 1 << 18, directBytes: 4 << 10, transcodeWork: 8192, octetsAtOnce: 1 << 18, matchesAtOnce: 8,
		searchAtOnce: 1024, farewellAtOnce: 64, listedIDs: 1 << 20,
	}
	b.Budget, b.Chunk = 32, 16
	publisher, subscriber, bystander := b.join(0), b.join(1), b.join(0)
	const patterns = 1 << 7
	for mask := range patterns {
		parts := strings.Split("a.a.a.a.a.a.a", ".")
		for i := range parts {
			if mask&(1<<i) != 0 {
				parts[i] = ""
			}
		}
		subscriber.say(codec.Subscribe, 1, values{"match": "wildcard"}, strings.Join(parts, "."))
		subscriber.expect(codec.Subscribed, 1, nil)
	}
	publisher.post(codec.Publish, 1, values{"acknowledge": true}, "a.a.a.a.a.a.a", []any{"first"})
	publisher.post(codec.Publish, 2, values{"acknowledge": true}, "a.a.a.a.a.a.a", []any{"second"})
	for range 4 {
		b.StepLoop(0) // the other loop does not run: nothing is delivered
	}
	runs := 0
	for _, mail := range b.Loops[1].Mail() {
		if _, ok := mail.(*runJob); ok {
			runs++
		}
	}
	if runs == 0 || runs > 16 {
		t.Errorf("%d runs are under way before the first is delivered", runs)
	}
	bystander.post(codec.Call, 1, values{}, "none")
	b.RunLoop(0)
	bystander.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
	b.Settle()
	publisher.expect(codec.Published, 1, nil)
	publisher.expect(codec.Published, 2, nil)
	for _, want := range []string{"first", "second"} {
		seen := map[any]bool{}
		for range patterns {
			m := subscriber.hear()
			if m == nil || m[4].([]any)[0] != want || seen[m[1]] {
				t.Fatalf("heard %v after %d events %q", m, len(seen), want)
			}
			seen[m[1]] = true
		}
	}
	subscriber.silent()
	if n := b.router.Stats().Chunked; n != 2 {
		t.Errorf("%d publications in chunks", n)
	}
}

// TestAcknowledgedIsDelivered: the publisher of a large event leaves when it was told PUBLISHED; everybody gets the
// event all the same.
func TestAcknowledgedIsDelivered(t *testing.T) {
	b := newBed(t, 1, Config{})
	publisher, hears := b.join(0), b.joinAs(0, codec.JSON, 1<<24)
	hears.subscribe(1, "t")
	publisher.post(codec.Publish, 1, values{"acknowledge": true}, "t", []any{large})
	b.RunLoop(0)
	b.StepAsync(0) // checked
	b.RunLoop(0)   // accepted
	publisher.expect(codec.Published, 1, nil)
	hears.silent()
	publisher.Shutdown()
	b.Settle()
	publisher.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
	hears.expect(codec.Event, nil, nil, values{}, []any{large})
}

// TestFarewellIsBounded: a session that holds much leaves in pieces. Its GOODBYE is answered when nothing is left of
// it, it gets no event meanwhile, its callers hear of its end, and the connection can be used again. SES-26.
func TestFarewellIsBounded(t *testing.T) {
	t.Attr("checklist", "LIM-09 SES-26")
	b := newBed(t, 1, Config{})
	b.Budget, b.Chunk = 8, 4
	leaver, other := b.join(0), b.join(0)
	for i := range 40 {
		leaver.subscribe(i+1, fmt.Sprintf("t%d", i))
		leaver.register(i+100, fmt.Sprintf("p%d", i), "single")
		other.say(codec.Call, i+1, values{}, fmt.Sprintf("p%d", i))
		leaver.expect(codec.Invocation, nil, nil, nil)
		leaver.say(codec.Call, i+200, values{}, fmt.Sprintf("p%d", i))
		leaver.expect(codec.Invocation, nil, nil, nil)
	}
	leaver.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	leaver.post(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
	b.StepLoop(0)
	if m := leaver.hear(); m != nil {
		t.Fatalf("%v while %+v", m, b.router.Stats())
	}
	other.post(codec.Publish, 1000, values{}, "t0")
	turns := 0
	for b.router.Stats().Sessions > 1 {
		if turns++; turns > 1000 {
			t.Fatal("the session never leaves")
		}
		b.StepLoop(0)
	}
	if turns < 5 {
		t.Errorf("everything was given back in %d turns", turns)
	}
	b.Settle()
	leaver.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	leaver.expect(codec.Welcome, nil, nil)
	leaver.silent()
	for range 40 {
		if m := other.hear(); m == nil || m[4] != codec.ErrCanceled {
			t.Fatalf("the caller heard %v", m)
		}
	}
	other.silent()
	nothingLeftOf(t, b, 2)
}

// TestPoolAtOnce: so many large messages are in the pool at a time and no more.
func TestPoolAtOnce(t *testing.T) {
	b := newBed(t, 1, Config{})
	var peers []*peer
	for range poolAtOnce + 1 {
		peers = append(peers, b.join(0))
	}
	for _, p := range peers {
		p.post(codec.Publish, 1, values{}, "t", []any{large})
	}
	b.RunLoop(0)
	if n, full := b.Async(), b.router.Stats().PoolFull; n != poolAtOnce || full != 1 {
		t.Errorf("%d messages are in the pool, %d wait for it", n, full)
	}
}

// TestPoolPlacesTakeTurns: sessions that wait for a place get it in the order in which they came, before those that
// had one and have sent more; what a session leaves behind goes to the next.
func TestPoolPlacesTakeTurns(t *testing.T) {
	b := newBed(t, 2, Config{})
	run := func() {
		for range 3 { // they wake each other
			for b.RunLoop(0) {
			}
			for b.RunLoop(1) {
			}
		}
	}
	var greedy []*peer
	for i := range poolAtOnce {
		greedy = append(greedy, b.join(i%2))
	}
	waits := []*peer{b.join(0), b.join(1), b.join(0)}
	for _, p := range greedy {
		for k := range 3 {
			p.post(codec.Publish, 1+k, values{"acknowledge": true}, "t", []any{large})
		}
	}
	run()
	for _, p := range waits {
		p.post(codec.Publish, 1, values{"acknowledge": true}, "t", []any{large})
		run()
	}
	waits[1].HangUp()
	// Work of the pool ends one by one; who waits is served before the second messages of the others.
	for range poolAtOnce + len(waits) {
		b.StepAsync(0)
		run()
	}
	waits[0].expect(codec.Published, 1, nil)
	waits[2].expect(codec.Published, 1, nil)
	b.Settle()
	for _, p := range greedy {
		for k := range 3 {
			p.expect(codec.Published, 1+k, nil)
		}
	}
	if q := &b.router.places; q.taken != 0 || len(q.queue) != 0 {
		t.Errorf("%d places are taken at the end, %d wait", q.taken, len(q.queue))
	}
}

// TestLargeKwargs: it is the payload that makes a message large, in args or in kwargs.
func TestLargeKwargs(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, callee := b.joinAs(0, codec.JSON, 1<<24), b.joinAs(0, codec.CBOR, 1<<24)
	callee.register(1, "p", "single")
	caller.post(codec.Call, 1, values{}, "p", []any{}, values{"k": large})
	b.RunLoop(0)
	b.StepAsync(0) // checked
	b.RunLoop(0)
	if b.Async() != 1 {
		t.Error("kwargs are not transcoded in the pool")
	}
	b.Settle()
	callee.expect(codec.Invocation, 1, nil, values{}, []any{}, values{"k": large})
}

// TestSearchEndsWithItsSession: nobody is invoked for a caller that leaves while its procedure is searched for.
func TestSearchEndsWithItsSession(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.router.bounds.searchAtOnce = 1
	caller, callee := b.join(0), b.join(0)
	for mask := range 1 << 6 {
		parts := strings.Split("a.a.a.a.a.a.x", ".")
		for i := range 6 {
			if mask&(1<<i) != 0 {
				parts[i] = ""
			}
		}
		callee.say(codec.Register, 1, values{"match": "wildcard"}, strings.Join(parts, "."))
		callee.expect(codec.Registered, 1, nil)
	}
	callee.say(codec.Register, 1, values{"match": "wildcard"}, "......y")
	callee.expect(codec.Registered, 1, nil)
	b.Budget, b.Chunk = 1, 1
	for _, leaves := range []bool{false, true} {
		caller.post(codec.Call, 1, values{}, "a.a.a.a.a.a.y")
		b.StepLoop(0)
		if !caller.Held() {
			t.Fatal("the search is over already")
		}
		if leaves {
			if err := b.router.kill(caller.id, "", "", func(bool) {}); err != nil {
				t.Fatal(err)
			}
			b.Settle()
			callee.silent()
			return
		}
		b.Settle()
		callee.expect(codec.Invocation, 1, nil, nil)
		callee.say(codec.Yield, 1, values{})
	}
}

// TestCompact: a payload that is the smaller part of what it pins gets memory of its own, without room to spare,
// since a receiver's queue may keep it for long. Any other stays where it is.
func TestCompact(t *testing.T) {
	raw := make([]byte, 1000)
	for i := range raw {
		raw[i] = byte(i)
	}
	args, kwargs := raw[100:200], raw[300:350]
	for pinned, moves := range map[int]bool{300: false, 301: true} {
		w := &waiting{raw: raw, pinned: pinned}
		w.message.Payload = codec.Payload{Format: codec.CBOR, Args: args, Kwargs: kwargs}
		w.compact()
		p := w.message.Payload
		if !bytes.Equal(p.Args, args) || !bytes.Equal(p.Kwargs, kwargs) || p.Format != codec.CBOR {
			t.Errorf("%d pinned: %v", pinned, p)
		}
		if moved := &p.Args[0] != &args[0]; moved != moves || moves != (&p.Kwargs[0] != &kwargs[0]) {
			t.Errorf("%d pinned: moved %v", pinned, moved)
		}
		if moves && (cap(p.Args) != len(args) || cap(p.Kwargs) != len(kwargs)) {
			t.Errorf("room for %d and %d", cap(p.Args), cap(p.Kwargs))
		}
		w.message.Payload = codec.Payload{Format: codec.CBOR}
		if w.compact(); w.message.Payload.Args != nil || w.message.Payload.Kwargs != nil {
			t.Error("a payload that is absent is there")
		}
	}
}

// TestSmallPayloadOfALargeMessage: of a call that is nearly all white space, a callee's queue does not keep the white
// space.
func TestSmallPayloadOfALargeMessage(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, callee := b.joinAs(0, codec.JSON, 1<<24), b.joinAs(0, codec.JSON, 1<<24)
	callee.register(1, "p", "single")
	payload := strings.Repeat("a", 300_000)
	caller.Send(fmt.Appendf(nil, `[48,1,{},"p",["%s"]%s]`, payload, strings.Repeat(" ", 4<<20)))
	b.Settle()
	callee.expect(codec.Invocation, nil, nil, values{}, []any{payload})
	linked := 0
	for _, p := range callee.Pieces {
		if len(p) >= len(payload) {
			linked++
			call := caller.Kept
			if at := uintptr(unsafe.Pointer(&p[0])) - uintptr(unsafe.Pointer(&call[0])); at < uintptr(len(call)) {
				t.Errorf("%d octets are in the queue, and all of the call stays in memory", len(p))
			}
		}
	}
	if linked != 1 {
		t.Errorf("%d pieces hold the payload", linked)
	}
}

// TestSettingsOfItsRealm: a call that waits is handled by the settings of its realm, though another realm has had the
// loop meanwhile: here it goes by its rkey, which means something in one of the two only.
func TestSettingsOfItsRealm(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", Sharding: true}, {URI: "realm2"}}})
	p := b.join(0)
	q := b.connect(0, codec.MessagePack, 1<<20)
	q.hello("realm2")
	order := heaviest("r", []string{"n1", "n2"})
	other, owner := b.joinAs(0, codec.CBOR, 1<<20), b.joinAs(0, codec.CBOR, 1<<20)
	for nkey, callee := range map[string]*peer{order[0]: owner, order[1]: other} {
		callee.say(codec.Register, 1, values{"nkey": nkey, "invoke": "random"}, "p")
		callee.expect(codec.Registered, 1, nil)
	}
	for i := range 20 {
		p.post(codec.Call, 1+i, values{"rkey": "r", "runmode": "partition"}, "p", []any{large})
		for p.calls() == i { // until it is decoded; then it has to be transcoded for the callee it was given to
			if b.StepLoop(0); p.calls() == i {
				b.StepAsync(0)
			}
		}
		if b.Async() != 1 {
			t.Fatalf("%d pieces of work for the pool", b.Async())
		}
		q.post(codec.Publish, 1+i, values{}, "t")
		b.RunLoop(0)
		b.Settle()
		other.silent()
		owner.expect(codec.Invocation, 1+i, nil, values{}, nil)
	}
}

// calls returns how many calls of p are open.
func (p *peer) calls() int { return p.bed.router.directory.find(p.id).calls.len() }

// TestMatchesAtOnce: an event that matches so many subscriptions is encoded in one turn, and one that matches more
// chunk by chunk.
func TestMatchesAtOnce(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.router.bounds.matchesAtOnce = 3
	p, publisher := b.join(0), b.join(0)
	for i, prefix := range []string{"a", "a.", "a.b", "a.b."} {
		p.say(codec.Subscribe, 1+i, values{"match": "prefix"}, prefix)
		p.expect(codec.Subscribed, 1+i, nil)
		publisher.say(codec.Publish, 1+i, values{}, "a.b.c")
		for range i + 1 {
			p.expect(codec.Event, nil, nil, values{"topic": "a.b.c"})
		}
		p.silent()
		if n, want := b.router.Stats().Chunked, int64(i/3); n != want {
			t.Errorf("%d subscriptions: %d are chunked, want %d", i+1, n, want)
		}
	}
}
