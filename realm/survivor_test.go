package realm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// Bounds at n and n + 1, and state that is used twice: each of these tests fails with a
// fault that the others let pass.

// TestFirstMemberDuringWalk: all members of a loop have left while a walk holds their seats; the next to join is the
// first again.
func TestFirstMemberDuringWalk(t *testing.T) {
	sub := newSubscription(1, "t", codec.Exact, 0, 2)
	one, two := &member{session: new(session), sub: sub}, &member{session: new(session), sub: sub}
	sub.add(1, one)
	var w walk
	sub.members[1].begin(&w)
	sub.drop(1, one)
	if sub.loops.Load() != 0 {
		t.Error("a loop without members is in the mask")
	}
	sub.add(1, two)
	if sub.loops.Load() != 1<<1 {
		t.Error("a loop with a member is not in the mask")
	}
	sub.members[1].finish(&w)
	if sub.drop(1, two); sub.loops.Load() != 0 {
		t.Error("a loop without members is in the mask")
	}
}

// TestWelcomeTooLongKeepsNoID: a transport too narrow for any WELCOME leaves no id taken. TRN-55.
func TestWelcomeTooLongKeepsNoID(t *testing.T) {
	t.Attr("checklist", "TRN-55")
	b := newBed(t, 1, Config{Agent: strings.Repeat("agent", 100)})
	for range 2 {
		p := b.connect(0, codec.JSON, 60)
		p.say(codec.Hello, "realm1", values{"roles": values{"caller": values{}}})
		if _, over := p.Finished(); !over {
			t.Fatal("WELCOME fits into 60 octets: this test needs a narrower transport")
		}
	}
	for i := range b.router.directory.shards {
		if n := len(b.router.directory.shards[i].sessions); n != 0 {
			t.Errorf("%d ids are taken", n)
		}
	}
}

// TestR13Gap: the last CBOR member leaves and another joins while a run is open. Whatever that one hears, nothing in
// the middle is missing.
func TestR13Gap(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, stays := b.join(0), b.join(1)
	stays.subscribe(1, "t")
	comes := b.joinAs(1, codec.CBOR, 1<<20)
	id := comes.subscribe(1, "t")
	for i := range 3 {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{int64(i)})
	}
	b.pauseAt(0, "topics.match", 2) // the first is in the open run
	comes.post(codec.Unsubscribe, 2, id)
	b.RunLoop(1)
	comes.expect(codec.Unsubscribed, 2)
	b.pauseAt(0, "topics.match", 1) // so is the second
	comes.post(codec.Subscribe, 3, values{}, "t")
	b.RunLoop(1)
	comes.expect(codec.Subscribed, 3, id)
	b.Settle()
	var heard []int64
	for m := comes.hear(); m != nil; m = comes.hear() {
		heard = append(heard, m[4].([]any)[0].(int64))
	}
	if !slices.Equal(heard, []int64{0, 1, 2}) {
		t.Errorf("heard %v: the run was not one, or has a gap", heard)
	}
}

// TestPUB57Exactly: an event of exactly the receiver's limit arrives, alone and in a run with a longer one; one octet
// more is dropped.
func TestPUB57Exactly(t *testing.T) {
	b := newBed(t, 1, Config{})
	publisher, wide := b.join(0), b.join(0)
	wide.subscribe(1, "t")
	publish := func(n int) {
		publisher.post(codec.Publish, 1, values{}, "t", []any{strings.Repeat("x", 40+n)})
	}
	publish(0)
	b.Settle()
	length := len(wide.Next())
	narrow := b.joinAs(0, codec.MessagePack, 1<<20)
	narrow.subscribe(1, "t")
	b.router.named["realm1"].sessions[0].head.bytesMax = length // after WELCOME, which is longer
	for _, run := range [][]int{{0}, {1}, {0, 1}, {1, 0}, {0, 0}} {
		want := 0
		for _, n := range run {
			publish(n)
			if n == 0 {
				want++
			}
		}
		b.Settle()
		got := 0
		for narrow.Next() != nil {
			got++
		}
		if got != want {
			t.Errorf("events of %v octets over the limit: %d arrived, want %d", run, got, want)
		}
	}
}

// TestNoAbortAfterGoodbye: a violation after our GOODBYE ends the connection without another word. SES-28.
func TestNoAbortAfterGoodbye(t *testing.T) {
	t.Attr("checklist", "SES-28")
	b := newBed(t, 1, Config{})
	p := b.join(0)
	p.Shutdown()
	b.Settle()
	p.expect(codec.Goodbye, nil, codec.CloseSystemShutdown)
	p.Send([]byte{0xC1, 0xC1})
	b.Settle()
	p.silent()
	p.finished(port.CloseViolation)
}

// TestURI25: a URI of exactly the longest length is taken everywhere, one octet more nowhere.
func TestURI25(t *testing.T) {
	const most = 40
	longest := strings.Repeat("u", most)
	b := newBed(t, 1, Config{URIBytesMax: most, Realms: []RealmConfig{{URI: longest}}})
	b.t = t
	p := b.connect(0, codec.MessagePack, 1<<20)
	p.hello(longest)
	p.subscribe(1, longest)
	p.register(2, longest, "single")
	p.say(codec.Publish, 3, values{"acknowledge": true}, longest)
	p.expect(codec.Published, 3, nil)
	p.say(codec.Call, 4, values{}, longest)
	p.expect(codec.Invocation, 1, nil, values{})
	p.say(codec.Error, codec.Invocation, 1, values{}, longest)
	p.expect(codec.Error, codec.Call, 4, values{}, longest)
	p.say(codec.Call, 5, values{}, longest)
	p.expect(codec.Invocation, 2, nil, values{})
	p.say(codec.Error, codec.Invocation, 2, values{}, longest+"u")
	p.expect(codec.Error, codec.Call, 5, values{}, codec.ErrInvalidURI)
	for request, typ := range []codec.Type{codec.Subscribe, codec.Register, codec.Publish, codec.Call} {
		p.say(typ, 10+request, values{"acknowledge": true}, longest+"u")
		p.refused(typ, 10+request, codec.ErrInvalidURI)
	}
	other := b.connect(0, codec.MessagePack, 1<<20)
	other.say(codec.Hello, longest+"u", values{"roles": values{"caller": values{}}})
	other.expect(codec.Abort, nil, codec.ErrInvalidURI)
}

// TestID10Each: each of the six requests counts in the strict sequence.
func TestID10Each(t *testing.T) {
	b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", StrictRequestIDs: true}}})
	p := b.join(0)
	sub := p.subscribe(1, "t")
	reg := p.register(2, "p", "single")
	p.say(codec.Unsubscribe, 3, sub)
	p.expect(codec.Unsubscribed, 3)
	p.say(codec.Unregister, 4, reg)
	p.expect(codec.Unregistered, 4)
	p.say(codec.Call, 5, values{}, "none")
	p.refused(codec.Call, 5, codec.ErrNoSuchProcedure)
	p.say(codec.Publish, 6, values{"acknowledge": true}, "t")
	p.expect(codec.Published, 6, nil)
	for _, last := range []codec.Type{codec.Unregister, codec.Unsubscribe} {
		q := b.join(0)
		q.say(last, 2, 1)
		q.expect(codec.Abort, nil, codec.ErrProtocolViolation)
	}
}

// TestFailedProgressIsForgotten: a progressive result that the caller cannot take ends the call for both; the callee
// is told once, whatever it still sends.
func TestFailedProgressIsForgotten(t *testing.T) {
	b := newBed(t, 1, Config{})
	callee, caller := b.join(0), b.join(0)
	b.router.named["realm1"].sessions[0].head.bytesMax = 200 // after WELCOME, which is longer
	callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{"receive_progress": true}, "p")
	callee.expect(codec.Invocation, 1, nil, nil)
	long := []any{strings.Repeat("x", 300)}
	for i := range 3 {
		callee.say(codec.Yield, 1, values{"progress": true}, long)
		if i == 0 {
			callee.expect(codec.Interrupt, 1, values{"mode": "killnowait"})
			caller.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
		}
		callee.silent()
		caller.silent()
	}
	if s := b.router.Stats(); s.OpenCalls != 0 || s.AnswersLate != 2 {
		t.Errorf("%+v", s)
	}
	if n := b.router.named["realm1"].sessions[0].head.next.invocations.len(); n != 0 {
		t.Errorf("%d invocations are open", n)
	}
}

// TestForwardedTimeoutIsTheCallees: a timeout that the callee minds is not minded by the dealer. RPC-49.
func TestForwardedTimeoutIsTheCallees(t *testing.T) {
	t.Attr("checklist", "RPC-49")
	b := newBed(t, 1, Config{})
	callee, caller := b.join(0), b.join(0)
	callee.say(codec.Register, 1, values{"forward_timeout": true}, "p")
	callee.expect(codec.Registered, 1, nil)
	caller.say(codec.Call, 1, values{"timeout": int64(50)}, "p")
	callee.expect(codec.Invocation, 1, nil, values{"timeout": int64(50)})
	b.Advance(time.Minute)
	b.Settle()
	caller.silent()
	callee.silent()
	callee.say(codec.Yield, 1, values{})
	caller.expect(codec.Result, 1, values{})
}

// TestLastFallsBackwards: with the policy last, the callee before the one that is gone is next. REG-16.
func TestLastFallsBackwards(t *testing.T) {
	t.Attr("checklist", "REG-16")
	b := newBed(t, 4, Config{})
	caller, first, middle, last := b.join(0), b.join(1), b.join(2), b.join(3)
	for _, p := range []*peer{first, middle, last} {
		p.register(1, "p", "last")
	}
	caller.post(codec.Call, 1, values{}, "p")
	b.pauseAt(0, "conn.lock", 2)
	last.HangUp()
	b.RunLoop(3)
	b.Settle()
	middle.expect(codec.Invocation, 1, nil, values{})
	first.silent()
}

// TestPendingCallsAreAnswered: the router's GOODBYE comes behind the answers to the caller's open calls; their
// callees are told.
func TestPendingCallsAreAnswered(t *testing.T) {
	for name, end := range map[string]func(b *bed, p *peer){
		"stop":  func(_ *bed, p *peer) { p.Shutdown() },
		"kill":  func(b *bed, p *peer) { _ = b.router.kill(p.id, "", "", func(bool) {}) },
		"realm": func(b *bed, _ *peer) { _ = b.router.closeRealm("realm1", func() {}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, 2, Config{})
			caller, callee := b.join(0), b.join(1)
			callee.register(1, "p", "single")
			for i := range 3 {
				caller.say(codec.Call, i+1, values{}, "p")
				callee.expect(codec.Invocation, i+1, nil, values{})
			}
			end(b, caller)
			b.RunLoop(0)
			for range 3 {
				caller.expect(codec.Error, codec.Call, nil, values{}, codec.ErrCanceled, nil)
			}
			caller.expect(codec.Goodbye, nil, nil)
			caller.silent()
			if name != "realm" {
				for range 3 {
					callee.expect(codec.Interrupt, nil, values{"mode": "killnowait"})
				}
			}
			b.Settle()
		})
	}
}

// TestOptionsBound: options of exactly the longest length are taken, one octet more ends the session; so it is with
// details of an ERROR.
func TestOptionsBound(t *testing.T) {
	b := newBed(t, 1, Config{})
	for _, over := range []int{0, 1} {
		p := b.join(0)
		const head = 1 + 4 + 5 // a dictionary of one, its key, and a text whose length has 32 bits
		p.say(codec.Subscribe, 1, values{"x_a": strings.Repeat("x", dictBytesMax-head+over)}, "t")
		if over == 0 {
			p.expect(codec.Subscribed, 1, nil)
		} else {
			p.expect(codec.Abort, nil, codec.ErrProtocolViolation)
		}
	}
}

// TestJoinedIsTold: the transport is told when a session is joined, and when it has left, so that the limit of
// messages before WELCOME holds again.
func TestJoinedIsTold(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.connect(0, codec.MessagePack, 1<<20)
	b.Settle()
	for range 2 {
		if p.Joined() {
			t.Error("joined before HELLO")
		}
		p.hello("realm1")
		if !p.Joined() {
			t.Error("not joined after WELCOME")
		}
		p.say(codec.Goodbye, values{}, codec.CloseCloseRealm)
		p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	}
}

// drawn gives out the numbers that a test wants.
type drawn struct {
	port.Executor
	numbers []uint64
}

func (d *drawn) Step(string) {}

func (d *drawn) Rand() uint64 {
	n := d.numbers[0]
	d.numbers = d.numbers[1:]
	return n
}

// TestID05Unique: an id that a session has, or is about to have, is drawn again; one that
// was given back can come again.
func TestID05Unique(t *testing.T) {
	var d directory
	var ids idSource
	draw := func(numbers ...uint64) uint64 { return d.draw(&drawn{numbers: numbers}, &ids) }
	const seven, eight = 7 << 40, 8 << 40
	first := draw(seven)
	second := draw(seven, seven, eight)
	if first == second || second != codec.ID(eight) {
		t.Errorf("drew %d and %d", first, second)
	}
	d.release(&drawn{}, first)
	if again := draw(seven); again != first {
		t.Errorf("drew %d, want %d again", again, first)
	}
}

// TestLocalCreditAtZero: a local publisher whose credit is used up to the last goes on when it comes back.
func TestLocalCreditAtZero(t *testing.T) {
	b := newBed(t, 1, Config{})
	hears, c := b.join(0), b.local(0)
	hears.subscribe(1, "t")
	b.Submit(0, func(x port.Executor) { c.Spend(localCredit) })
	b.say(c, codec.Publish, 1, values{}, "t")
	hears.silent()
	b.Submit(0, func(x port.Executor) { c.Refund(x, localCredit) })
	b.Settle()
	hears.expect(codec.Event, nil, nil, values{})
}

// TestNodesAreNotLoops: bits of nodes stand in a mask of their own, so that none of them is taken for a loop.
func TestNodesAreNotLoops(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, hears := b.join(0), b.join(1)
	hears.subscribe(1, "t")
	sub := b.router.named["realm1"].topics.Find([]byte("t"), codec.Exact)
	sub.nodes.Store(1<<63 | 1<<1 | 1)
	publisher.say(codec.Publish, 1, values{}, "t")
	hears.expect(codec.Event, nil, nil, values{})
	hears.silent()
	if sub.loops.Load() != 1<<1 {
		t.Errorf("loops %b", sub.loops.Load())
	}
}
