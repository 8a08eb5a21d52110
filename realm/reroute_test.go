package realm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// joinRerouting joins as a callee that announces call_reroute, and the features of options besides.
func (b *bed) joinRerouting(loop int, s codec.Serializer, options ...string) *peer {
	b.t.Helper()
	p := b.connect(loop, s, 1<<20)
	features := values{"call_reroute": true}
	for _, o := range options {
		features[o] = true
	}
	p.say(codec.Hello, "realm1", values{"roles": values{"callee": values{"features": features}}})
	if welcome := p.hear(); len(welcome) != 3 || welcome[0] != int64(codec.Welcome) {
		b.t.Fatalf("no WELCOME: %v", welcome)
	}
	return p
}

// unavailable answers an invocation with the error that sends the call to another callee.
func (p *peer) unavailable(invocation any) {
	p.bed.t.Helper()
	p.say(codec.Error, codec.Invocation, invocation, values{}, codec.ErrUnavailable)
}

// nextInvoked returns which of the callees has an INVOCATION, and its id; -1 for none. It must be one only.
func nextInvoked(t *testing.T, callees []*peer) (index int, id int64) {
	t.Helper()
	index = -1
	for i, p := range callees {
		for m := p.hear(); m != nil; m = p.hear() {
			if index >= 0 || m[0] != int64(codec.Invocation) {
				t.Fatalf("callee %d hears %v, callee %d has the call", i, m, index)
			}
			index, id = i, m[1].(int64)
		}
	}
	return index, id
}

// TestReroutingOrder: who comes next, for each policy, and that nobody comes twice.
func TestReroutingOrder(t *testing.T) {
	t.Attr("checklist", "RPC-82 RPC-83 RPC-84")
	const n = 5
	firsts, neighbours := map[int]int{}, 0
	for _, c := range []struct {
		policy string
		want   [][]int // of successive calls; nil: any order
	}{
		{"first", [][]int{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}},
		{"last", [][]int{{4, 3, 2, 1, 0}, {4, 3, 2, 1, 0}}},
		{"roundrobin", [][]int{{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}},
		{"random", make([][]int, 40)},
		{"x_least_outstanding", make([][]int, 3)},
	} {
		b := newBed(t, 3, Config{})
		caller := b.join(0)
		var callees []*peer
		for i := range n {
			callees = append(callees, b.joinRerouting(i%3, codec.Serializer(1+i%3)))
			callees[i].register(1, "p", c.policy)
		}
		for k, want := range c.want {
			caller.say(codec.Call, k+1, values{}, "p", []any{"x"})
			var order []int
			for {
				i, id := nextInvoked(t, callees)
				if i < 0 {
					break
				}
				if slices.Contains(order, i) {
					t.Fatalf("%s: callee %d once more, after %v", c.policy, i, order)
				}
				order = append(order, i)
				callees[i].unavailable(id)
			}
			caller.refused(codec.Call, k+1, codec.ErrNoAvailableCallee)
			if want != nil && !slices.Equal(order, want) || len(order) != n {
				t.Errorf("%s: %v, want %v", c.policy, order, want)
			}
			if c.policy == "random" {
				firsts[order[1]]++
				if order[1] == (order[0]+1)%n {
					neighbours++
				}
			}
		}
		if got, want := b.router.Stats().Rerouted, int64((n-1)*len(c.want)); got != want {
			t.Errorf("%s: rerouted %d times, want %d", c.policy, got, want)
		}
		if n := b.router.Stats().OpenCalls; n != 0 {
			t.Errorf("%s: %d open calls", c.policy, n)
		}
	}
	if len(firsts) != n || neighbours == 40 {
		t.Errorf("of random ones, the second are %v, %d of them next to the first", firsts, neighbours)
	}
}

// TestReroutingRoundRobin: a round robin goes on behind who took the call, and a callee that left behind its error is
// no obstacle.
func TestReroutingRoundRobin(t *testing.T) {
	t.Attr("checklist", "RPC-82 RPC-83")
	b := newBed(t, 1, Config{})
	caller := b.join(0)
	callees := []*peer{}
	for range 4 {
		p := b.joinRerouting(0, codec.JSON)
		p.register(1, "p", "roundrobin")
		callees = append(callees, p)
	}
	call := func(request int, want ...int) {
		t.Helper()
		caller.say(codec.Call, request, values{}, "p")
		for k, callee := range want {
			i, id := nextInvoked(t, callees)
			if i != callee {
				t.Fatalf("call %d: callee %d, want %d", request, i, callee)
			}
			if k+1 < len(want) {
				callees[i].unavailable(id)
				continue
			}
			callees[i].say(codec.Yield, id, values{})
			caller.expect(codec.Result, request, values{})
		}
	}
	call(1, 0, 1, 2)
	call(2, 3)
	call(3, 0)
	call(4, 1, 2)
	call(5, 3, 0, 1)
	// It leaves the registration and comes back while its call is elsewhere: it is the same session, and is not
	// asked again.
	call(6, 2)
	caller.say(codec.Call, 7, values{}, "p")
	i, id := nextInvoked(t, callees)
	if i != 3 {
		t.Fatalf("callee %d", i)
	}
	callees[3].unavailable(id)
	i, id = nextInvoked(t, callees)
	if i != 0 {
		t.Fatalf("callee %d", i)
	}
	reg := b.router.named["realm1"].procedures.Find([]byte("p"), codec.Exact).id
	callees[3].say(codec.Unregister, 2, reg)
	callees[3].expect(codec.Unregistered, 2)
	callees[3].register(3, "p", "roundrobin")
	for _, want := range []int{1, 2} {
		callees[i].unavailable(id)
		if i, id = nextInvoked(t, callees); i != want {
			t.Fatalf("callee %d, want %d", i, want)
		}
	}
	callees[2].unavailable(id)
	caller.refused(codec.Call, 7, codec.ErrNoAvailableCallee)
	callees[3].silent()
}

// TestReroutingPassesBusyCallees: a callee that has as many calls as it wants, or a full queue, is no callee for
// another one's call either.
func TestReroutingPassesBusyCallees(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller := b.join(0)
	first, busy := b.joinRerouting(0, codec.JSON), b.joinRerouting(1, codec.JSON)
	last := b.joinRerouting(1, codec.CBOR)
	busy.say(codec.Register, 1, values{"invoke": "first", "concurrency": 1}, "p")
	busy.expect(codec.Registered, 1, nil)
	caller.say(codec.Call, 1, values{}, "p")
	busy.expect(codec.Invocation, 1, nil, values{})
	busy.say(codec.Unregister, 2, 1)
	busy.hear()
	for _, p := range []*peer{first, busy, last} {
		p.say(codec.Register, 3, values{"invoke": "first", "concurrency": 1}, "q")
		p.expect(codec.Registered, 3, nil)
	}
	caller.say(codec.Call, 2, values{}, "q") // first
	first.expect(codec.Invocation, 1, nil, values{})
	caller.say(codec.Call, 3, values{}, "q") // busy
	busy.expect(codec.Invocation, 2, nil, values{})
	first.unavailable(1)
	last.expect(codec.Invocation, 1, nil, values{})
	busy.silent()
	// Everybody else is busy: nobody is available.
	caller.say(codec.Call, 4, values{}, "q")
	first.expect(codec.Invocation, 2, nil, values{})
	first.unavailable(2)
	caller.refused(codec.Call, 4, codec.ErrNoAvailableCallee)
	last.say(codec.Yield, 1, values{})
	caller.expect(codec.Result, 2, values{})
	// The queue of the next one is full: the caller is told so, as for any call.
	caller.say(codec.Call, 5, values{}, "q")
	first.expect(codec.Invocation, 3, nil, values{})
	last.SetFull(true)
	first.unavailable(3)
	caller.refused(codec.Call, 5, codec.ErrNetworkFailure)
	last.SetFull(false)
	// All others have left.
	busy.HangUp()
	last.HangUp()
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrCanceled)
	caller.refused(codec.Call, 3, codec.ErrCanceled)
	caller.say(codec.Call, 6, values{}, "q")
	first.expect(codec.Invocation, 4, nil, values{})
	first.unavailable(4)
	caller.refused(codec.Call, 6, codec.ErrNoAvailableCallee)
	// The one that was unavailable has left as well: there is no callee at all.
	caller.say(codec.Call, 7, values{}, "q")
	first.expect(codec.Invocation, 5, nil, values{})
	first.post(codec.Error, codec.Invocation, 5, values{}, codec.ErrUnavailable)
	first.say(codec.Goodbye, values{}, codec.CloseLogout)
	caller.refused(codec.Call, 7, codec.ErrNoAvailableCallee)
}

// TestReroutesMax: a call tries 64 callees, and not one more.
func TestReroutesMax(t *testing.T) {
	for _, policy := range []string{"first", "random", "x_least_outstanding"} {
		for _, n := range []int{reroutesMax, reroutesMax + 1, 3 * reroutesMax} {
			b := newBed(t, 1, Config{})
			caller := b.join(0)
			var callees []*peer
			for range n {
				p := b.joinRerouting(0, codec.MessagePack)
				p.register(1, "p", policy)
				callees = append(callees, p)
			}
			caller.say(codec.Call, 1, values{}, "p")
			tried := map[int]bool{}
			for {
				i, id := nextInvoked(t, callees)
				if i < 0 {
					break
				}
				tried[i] = true
				callees[i].unavailable(id)
			}
			caller.refused(codec.Call, 1, codec.ErrNoAvailableCallee)
			if len(tried) != reroutesMax {
				t.Errorf("%s, %d callees: %d are tried", policy, n, len(tried))
			}
		}
	}
}

// TestReroutingLarge: a large payload for callees with other serializers; the session of the caller goes on
// meanwhile, and CANCEL, the timeout or its end find the call while no callee has it.
func TestReroutingLarge(t *testing.T) {
	t.Attr("checklist", "RPC-82")
	long := []any{strings.Repeat("x", 5000), []any{int64(1), nil}}
	for _, event := range []string{"", "cancel", "kill", "timeout", "leave", "pool"} {
		b := newBed(t, 3, Config{})
		b.router.bounds.largeBytes, b.router.bounds.directBytes = 1000, 100
		caller := b.joinAs(0, codec.MessagePack, 1<<20)
		before := b.Charged()
		a, next := b.joinRerouting(1, codec.JSON, "call_canceling"), b.joinRerouting(2, codec.CBOR)
		other := b.join(0)
		a.register(1, "p", "first")
		next.register(1, "p", "first")
		idle := b.Charged()
		caller.say(codec.Call, 1, values{"timeout": 1000}, "p", long)
		a.expect(codec.Invocation, 1, nil, values{}, long)
		if n := b.Charged() - idle; n < 5000+rerouteBytes {
			t.Errorf("%d bytes are charged for a call of 5000", n)
		}
		if event == "pool" {
			b.router.places.taken = poolAtOnce
		}
		a.post(codec.Error, codec.Invocation, 1, values{}, codec.ErrUnavailable)
		for k := 0; b.Async() == 0 && k < 100; k++ { // up to the decoding, in the pool
			for i := range b.Loops {
				b.RunLoop(i)
			}
		}
		switch event {
		case "cancel":
			caller.post(codec.Cancel, 1, values{})
		case "kill":
			caller.post(codec.Cancel, 1, values{"mode": "kill"})
		case "timeout":
			b.Advance(time.Second)
		case "leave":
			caller.HangUp()
		case "pool":
			b.Submit(0, func(x port.Executor) {
				for range poolAtOnce {
					b.router.places.leave(x)
				}
			})
		}
		for i := range b.Loops {
			b.RunLoop(i)
		}
		caller.post(codec.Publish, 2, values{"acknowledge": true}, "t")
		for i := range b.Loops {
			b.RunLoop(i)
		}
		switch event {
		case "cancel", "kill":
			caller.refused(codec.Call, 1, codec.ErrCanceled)
		case "timeout":
			caller.refused(codec.Call, 1, codec.ErrTimeout)
		}
		if event != "leave" {
			caller.expect(codec.Published, 2, nil) // the call has not come to anybody yet
		}
		b.Settle()
		if event != "" && event != "pool" {
			next.silent()
		} else {
			next.expect(codec.Invocation, 1, nil, values{}, long)
			next.say(codec.Yield, 1, values{}, []any{"done"})
			caller.expect(codec.Result, 1, values{}, []any{"done"})
		}
		caller.silent()
		for _, p := range []*peer{caller, a, next, other} {
			p.HangUp()
		}
		b.Settle()
		b.Advance(retryAfter)
		b.Settle()
		if n := b.Charged(); n != before {
			t.Errorf("%q: %d bytes are charged in the end, %d before", event, n, before)
		}
		nothingLeftOf(t, b, 0)
		for i, l := range b.Loops {
			if l.Armed() != 0 {
				t.Errorf("%q: loop %d has timers", event, i)
			}
		}
	}
}

// TestReroutingTimeout: the timeout of a call goes on when it is rerouted, and who has the call minds it.
func TestReroutingTimeout(t *testing.T) {
	for _, minds := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprint(minds), func(t *testing.T) {
			b := newBed(t, 2, Config{})
			b.router.clock = func() time.Time { return noon.Add(b.Now()) }
			caller := b.join(0)
			var callees [2]*peer
			for i := range callees {
				callees[i] = b.joinRerouting(1, codec.JSON, "call_timeout")
				callees[i].say(codec.Register, 1, values{"invoke": "first", "forward_timeout": minds[i]}, "p")
				callees[i].expect(codec.Registered, 1, nil)
			}
			details := func(minds bool, ms int64) values {
				if !minds {
					return values{}
				}
				return values{"timeout": ms}
			}
			caller.say(codec.Call, 1, values{"timeout": 100}, "p")
			callees[0].expect(codec.Invocation, 1, nil, details(minds[0], 100))
			b.Advance(30 * time.Millisecond)
			callees[0].unavailable(1)
			callees[1].expect(codec.Invocation, 1, nil, details(minds[1], 70))
			b.Advance(70*time.Millisecond - 1)
			b.Settle()
			caller.silent()
			b.Advance(2 * time.Millisecond)
			b.Settle()
			if minds[1] {
				caller.silent()
				callees[1].say(codec.Yield, 1, values{})
				caller.expect(codec.Result, 1, values{})
			} else {
				caller.refused(codec.Call, 1, codec.ErrTimeout)
			}
			// The answer comes in time, and the timer is stopped.
			caller.say(codec.Call, 2, values{"timeout": 100}, "p")
			callees[0].hear()
			callees[0].unavailable(2)
			callees[1].hear()
			callees[1].say(codec.Yield, 2, values{})
			caller.expect(codec.Result, 2, values{})
			if n := b.Loops[0].Armed(); n != 0 {
				t.Errorf("%d timers", n)
			}
			// The callee that minds it is unavailable too late.
			caller.say(codec.Call, 3, values{"timeout": 100}, "p")
			callees[0].hear()
			b.Advance(100 * time.Millisecond)
			callees[0].unavailable(3)
			caller.refused(codec.Call, 3, codec.ErrTimeout)
			callees[1].silent()
			caller.silent()
		})
	}
}

// TestReroutingMemory: without room for the copy of a call the error passes through; the room comes back.
func TestReroutingMemory(t *testing.T) {
	t.Attr("checklist", "RPC-85")
	b := newBed(t, 2, Config{})
	caller := b.join(0)
	a, next := b.joinRerouting(1, codec.JSON), b.joinRerouting(1, codec.JSON)
	a.register(1, "p", "first")
	next.register(1, "p", "first")
	idle := b.Charged()
	request, calls := 0, 0
	call := func(rerouted bool) {
		t.Helper()
		request++
		calls++
		caller.say(codec.Call, request, values{}, "p")
		a.expect(codec.Invocation, calls, nil, values{})
		a.unavailable(calls)
		if !rerouted {
			caller.expect(codec.Error, codec.Call, request, values{}, codec.ErrUnavailable)
			next.silent()
			return
		}
		m := next.hear()
		if m == nil {
			t.Fatal("not rerouted")
		}
		next.say(codec.Yield, m[1], values{})
		caller.expect(codec.Result, request, values{})
	}
	s := b.router.directory.find(caller.id)
	call(true)
	cost := int64(rerouteBytes + len(encodeMessage(t, codec.MessagePack, codec.Call, []any{1, values{}, "p"})))
	// Exactly what the budget has.
	b.BytesMax = b.Charged() + cost
	call(true)
	b.BytesMax--
	call(false)
	b.BytesMax++
	call(true)
	b.BytesMax = 0
	// Exactly what one caller may have.
	s.keptBytes.Store(reroutesBytesMax - cost)
	call(true)
	s.keptBytes.Add(1)
	call(false)
	s.keptBytes.Add(-1)
	call(true)
	if n := s.keptBytes.Load(); n != reroutesBytesMax-cost {
		t.Errorf("%d bytes are kept, %d before", n, reroutesBytesMax-cost)
	}
	if b.Charged() != idle {
		t.Errorf("%d bytes are charged, %d before", b.Charged(), idle)
	}
	if stats := b.router.Stats(); stats.ReroutesNot != 2 || stats.Rerouted != 5 {
		t.Errorf("%+v", stats)
	}
	// A call to a callee that did not announce it is not copied.
	plain := b.join(0)
	plain.register(1, "q", "first")
	idle = b.Charged()
	caller.say(codec.Call, 100, values{}, "q")
	plain.expect(codec.Invocation, 1, nil, values{})
	if b.Charged() != idle {
		t.Error("a call is copied that no callee can send back")
	}
}

// TestReroutingLeastBusy: of the callees that are not tried, the one with the fewest open calls is next.
func TestReroutingLeastBusy(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller := b.join(0)
	var callees []*peer
	for range 3 {
		p := b.joinRerouting(0, codec.JSON)
		p.register(1, "p", "x_least_outstanding")
		callees = append(callees, p)
	}
	var ids [3]int64
	for request := 1; request <= 3; request++ {
		caller.say(codec.Call, request, values{}, "p")
		i, id := nextInvoked(t, callees)
		ids[i] = id
	}
	callees[2].say(codec.Yield, ids[2], values{})
	callees[0].unavailable(ids[0])
	if i, _ := nextInvoked(t, callees); i != 2 {
		t.Errorf("callee %d gets the call, and callee 2 has nothing to do", i)
	}
}

// TestReroutingLast: past a busy callee, the search for the one that was registered before goes on backward.
func TestReroutingLast(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller := b.join(0)
	var callees []*peer
	for range 4 {
		p := b.joinRerouting(0, codec.JSON)
		p.say(codec.Register, 1, values{"invoke": "last", "concurrency": 1}, "p")
		p.expect(codec.Registered, 1, nil)
		callees = append(callees, p)
	}
	caller.say(codec.Call, 1, values{}, "p") // callee 3
	caller.say(codec.Call, 2, values{}, "p") // callee 2
	callees[3].hear()
	callees[2].hear()
	callees[3].unavailable(1)
	if i, _ := nextInvoked(t, callees); i != 1 {
		t.Errorf("callee %d, want 1", i)
	}
}

// TestReroutingMeetsTheEnd: the call ends while its job is on the way to the caller's loop.
func TestReroutingMeetsTheEnd(t *testing.T) {
	for _, event := range []string{"skip", "kill", "leave"} {
		b := newBed(t, 2, Config{})
		caller := b.join(0)
		a, next := b.joinRerouting(1, codec.JSON, "call_canceling"), b.joinRerouting(1, codec.CBOR)
		a.register(1, "p", "first")
		next.register(1, "p", "first")
		caller.say(codec.Call, 1, values{}, "p")
		a.expect(codec.Invocation, 1, nil, values{})
		a.post(codec.Error, codec.Invocation, 1, values{}, codec.ErrUnavailable)
		b.RunLoop(1)
		if event == "leave" {
			caller.HangUp()
		} else {
			caller.post(codec.Cancel, 1, values{"mode": event})
		}
		b.Settle()
		if event != "leave" {
			caller.refused(codec.Call, 1, codec.ErrCanceled)
		}
		caller.silent()
		a.silent()
		next.silent()
		if n := b.router.Stats().OpenCalls; n != 0 {
			t.Errorf("%s: %d open calls", event, n)
		}
	}
}

// TestReroutingStream: the first chunk of a progressive call may go to another callee, which then gets the others.
// Once a callee has had a second one, its error passes through, arguments and all.
func TestReroutingStream(t *testing.T) {
	t.Attr("checklist", "RPC-81 RPC-82")
	for _, seconds := range []int{0, 1} {
		b := newBed(t, 2, Config{})
		caller := b.join(0)
		a, next := b.joinWith(1, codec.JSON, streamFeatures...), b.joinWith(0, codec.CBOR, streamFeatures...)
		id := a.register(1, "p", "first")
		next.register(1, "p", "first")
		before := b.Charged()
		chunk := func(to *peer, invocation int, n int64, options values) {
			t.Helper()
			caller.say(codec.Call, 1, options, "p", []any{n})
			to.expect(codec.Invocation, invocation, id, options, []any{n})
		}
		chunk(a, 1, 1, moreChunks)
		for range seconds {
			chunk(a, 1, 2, moreChunks)
		}
		a.say(codec.Error, codec.Invocation, 1, values{"d": true}, codec.ErrUnavailable, []any{"why"})
		if seconds > 0 {
			caller.expect(codec.Error, codec.Call, 1, values{"d": true}, codec.ErrUnavailable, []any{"why"})
			next.silent()
			caller.say(codec.Call, 1, lastChunk, "p", []any{int64(3)})
		} else {
			next.expect(codec.Invocation, 1, id, moreChunks, []any{int64(1)})
			chunk(next, 1, 2, moreChunks)
			chunk(next, 1, 3, lastChunk)
			next.say(codec.Error, codec.Invocation, 1, values{}, codec.ErrUnavailable)
			caller.expect(codec.Error, codec.Call, 1, values{}, codec.ErrUnavailable)
		}
		for _, p := range []*peer{caller, a, next} {
			p.silent()
		}
		nothingUnderWay(t, b)
		if n := b.Charged() - before; n != 0 {
			t.Errorf("%d bytes stay charged", n)
		}
	}
	// All callees are unavailable for the first chunk; one of them cannot take such a call.
	for _, features := range [][]string{streamFeatures, {"call_reroute"}} {
		b := newBed(t, 1, Config{})
		caller := b.join(0)
		a, next := b.joinWith(0, codec.JSON, streamFeatures...), b.joinWith(0, codec.JSON, features...)
		a.register(1, "p", "first")
		next.register(1, "p", "first")
		caller.say(codec.Call, 1, moreChunks, "p")
		a.expect(codec.Invocation, 1, nil, moreChunks)
		a.unavailable(1)
		if len(features) > 1 {
			next.expect(codec.Invocation, 1, nil, moreChunks)
			next.unavailable(1)
			caller.refused(codec.Call, 1, codec.ErrNoAvailableCallee)
		} else {
			next.silent()
			caller.refused(codec.Call, 1, codec.ErrFeatureNotSupported)
		}
		caller.say(codec.Call, 1, lastChunk, "p")
		caller.silent()
		nothingUnderWay(t, b)
	}
}

// TestReroutingMissesChunk: a chunk comes while no callee has the call, before the caller's loop knows or while the
// call is transcoded for the next callee. It is not kept, so the caller is told.
func TestReroutingMissesChunk(t *testing.T) {
	for _, when := range []string{"on the way", "in the pool"} {
		for _, options := range []values{moreChunks, lastChunk} {
			b := newBed(t, 2, Config{})
			caller := b.join(0)
			a := b.joinWith(1, codec.MessagePack, streamFeatures...)
			next := b.joinWith(1, codec.CBOR, streamFeatures...)
			a.register(1, "p", "first")
			next.register(1, "p", "first")
			payload := []any{"x"}
			if when == "in the pool" {
				payload = []any{large}
			}
			before := b.Charged()
			caller.say(codec.Call, 1, moreChunks, "p", payload)
			a.expect(codec.Invocation, 1, nil, moreChunks, payload)
			a.post(codec.Error, codec.Invocation, 1, values{}, codec.ErrUnavailable)
			b.RunLoop(1)
			if when == "in the pool" {
				b.RunLoop(0)
				if b.Async() != 1 {
					t.Fatalf("%d pieces of work for the pool", b.Async())
				}
			}
			caller.post(codec.Call, 1, options, "p", []any{"y"})
			if when == "in the pool" {
				b.RunLoop(0)
				caller.silent()
			}
			b.Settle()
			if when == "on the way" && caller.Held() {
				t.Error("the caller is held")
			}
			got := caller.hear()
			switch {
			case got == nil:
				t.Fatalf("%s: no answer", when)
			case got[0] == int64(codec.Error) && got[4] == codec.ErrUnavailable:
				next.silent()
			default:
				t.Errorf("%s: %v", when, got)
			}
			caller.say(codec.Call, 1, lastChunk, "p")
			if options["progress"] == nil { // that was the last one, so this is a call of its own
				a.expect(codec.Invocation, 2, nil, values{})
				a.say(codec.Yield, 2, values{})
				caller.expect(codec.Result, 1, values{})
			}
			a.silent()
			nothingUnderWay(t, b)
			if n := b.Charged() - before; n != 0 {
				t.Errorf("%s: %d bytes stay charged", when, n)
			}
		}
	}
}

// TestReroutingLooksAtSome: of many callees the next one is searched among so many behind the one that was
// unavailable, at the end of the list too.
func TestReroutingLooksAtSome(t *testing.T) {
	const n = leastBusyAtOnce + 3
	for _, at := range []int{0, 1, n - 1} {
		for ahead, want := range map[int]int{1: 1, 2: 2, leastBusyAtOnce: leastBusyAtOnce, leastBusyAtOnce + 1: 1} {
			var callees []*callee
			for range n {
				callees = append(callees, &callee{session: new(session)})
				callees[len(callees)-1].open.Store(1)
			}
			callees[at].open.Store(0)
			callees[(at+ahead)%n].open.Store(0)
			r := &rerouting{
				reg: &registration{invoke: codec.LeastOutstanding}, tried: []*session{callees[at].session},
			}
			index, step, behind := r.next(quietLoop{}, callees)
			if index != (at+want)%n || step != 1 || behind {
				t.Errorf("behind %d of %d callees, an idle one at %d: %d is next, want %d", at, n, (at+ahead)%n,
					index, (at+want)%n)
			}
		}
	}
}
