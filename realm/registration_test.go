package realm

import (
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/policy"
)

// TestREG13Fair: whoever leaves a round robin, and wherever its cursor stands, everybody else is served once before
// anybody is served again. REG-13.
func TestREG13Fair(t *testing.T) {
	b := newBed(t, 1, Config{})
	x := port.Executor(b.Loops[0])
	for _, n := range []int{2, 3, 4, 5, 8, 9, 17, 18} { // beyond 8 the list keeps one that has left
		for cursor := range n {
			for gone := range n {
				reg := &registration{invoke: codec.RoundRobin}
				all := make([]*callee, n)
				for i := range all {
					all[i] = &callee{reg: reg}
				}
				for _, c := range all {
					reg.callees.add(c)
				}
				for range cursor {
					reg.first(x, all)
				}
				// The model: the rest of the cycle, without the one that leaves, and then again.
				want := append(slices.Clone(all[cursor:]), all[:cursor]...)
				want = slices.DeleteFunc(want, func(c *callee) bool { return c == all[gone] })
				if left := reg.drop(all[gone]); left != n-1 {
					t.Fatalf("%d left", left)
				}
				for i := range 2 * (n - 1) {
					callees := reg.callees.all()
					first, _ := reg.first(x, callees)
					at := first
					for callees[at].left() {
						at = (at + 1) % len(callees)
						reg.passed(first, at, len(callees))
					}
					if callees[at] != want[i%(n-1)] {
						t.Errorf("%d callees, cursor at %d, %d leaves: call %d goes astray", n, cursor, gone, i)
					}
				}
			}
		}
	}
}

// TestLeastBusy: the fewest open invocations, the next in turn among equals, and of many callees those at hand.
func TestLeastBusy(t *testing.T) {
	for i, c := range []struct {
		open        []int32
		start, want int
	}{
		{[]int32{0}, 0, 0},
		{[]int32{2, 1, 3}, 0, 1},
		{[]int32{2, 1, 3}, 2, 1},
		{[]int32{1, 1, 1}, 2, 2},
		{[]int32{0, 0, 0}, 1, 1},
		{[]int32{1, 2, 0}, 1, 2},
		{slices.Concat([]int32{1}, slices.Repeat([]int32{2}, leastBusyAtOnce-2), []int32{0}), 0, leastBusyAtOnce - 1},
		{slices.Concat([]int32{1}, slices.Repeat([]int32{2}, leastBusyAtOnce-1), []int32{0}), 0, 0},
	} {
		callees := make([]*callee, len(c.open))
		for i, n := range c.open {
			callees[i] = new(callee)
			callees[i].open.Store(n)
		}
		if got := leastBusy(callees, c.start); got != c.want {
			t.Errorf("%d: %d, want %d", i, got, c.want)
		}
	}
}

// TestConcurrency: a callee never has more open invocations than it wants, exactly as many if there are calls, from
// whatever loop they come and however they end.
func TestConcurrency(t *testing.T) {
	for _, limit := range []int{1, 3} {
		for at := range 3 {
			b := newBed(t, 3, Config{})
			one, two, callee := b.join(0), b.join(1), b.join(2)
			callee.say(codec.Register, 1, values{"concurrency": limit}, "p")
			callee.expect(codec.Registered, 1, nil)
			for i := range limit - 1 {
				one.say(codec.Call, i+1, values{}, "p")
				callee.expect(codec.Invocation, i+1, nil, values{})
			}
			// Two calls for one place, the first stopped on its way.
			one.post(codec.Call, 10, values{}, "p")
			if at > 0 {
				b.pauseAt(0, "conn.lock", at)
			}
			two.post(codec.Call, 10, values{}, "p")
			b.RunLoop(1)
			b.Settle()
			callee.expect(codec.Invocation, limit, nil, values{})
			callee.silent()
			refused := 0
			for _, p := range []*peer{one, two} {
				if msg := p.hear(); msg != nil {
					refused++
					if msg[4] != codec.ErrUnavailable {
						t.Errorf("%v", msg)
					}
				}
			}
			if n := b.router.Stats().CallsSaturated; n != 1 || refused != 1 {
				t.Errorf("%d calls counted, %d refused", n, refused)
			}
			// A place is free again after each of these, and only one.
			last := limit
			for _, end := range []func(){
				func() { callee.say(codec.Yield, last, values{}) },
				func() { callee.say(codec.Error, codec.Invocation, last, values{}, "e") },
				func() { one.say(codec.Cancel, 100+last, values{"mode": "skip"}) },
			} {
				end()
				last++
				one.say(codec.Call, 100+last, values{}, "p")
				callee.expect(codec.Invocation, last, nil, values{})
				two.say(codec.Call, 100+last, values{}, "p")
				callee.silent()
			}
			one.HangUp()
			b.Settle()
			for callee.hear() != nil {
			}
			two.say(codec.Call, 11, values{}, "p")
			callee.expect(codec.Invocation, last+1, nil, values{})
		}
	}
}

// TestREG24Race: the procedure is taken away from a callee that gives it back, leaves, or is being called, at every
// step. REG-24.
func TestREG24Race(t *testing.T) {
	for _, how := range []string{"unregister", "hang up", "call"} {
		for at := 1; at <= 4; at++ {
			b := newBed(t, 3, Config{Realms: []RealmConfig{{URI: "realm1", Policy: compile(t, policy.RoleDefinition{
				Name: "anonymous", Permissions: []policy.Permission{{URI: "*", Allow: &policy.Actions{
					Call: true, Register: true, Publish: true, Subscribe: true, ForceReregister: true,
				}}},
			})}}})
			caller, older, newer := b.join(0), b.join(1), b.join(2)
			id := older.register(1, "p", "single")
			switch how {
			case "unregister":
				older.post(codec.Unregister, 2, id)
			case "hang up":
				older.HangUp()
			default:
				caller.post(codec.Call, 1, values{}, "p")
			}
			loop := 1
			if how == "call" {
				loop = 0
			}
			b.pause[loop], b.skip[loop] = []string{"procedures.lock", "conn.lock", "procedures.match"}[at%3], at/3
			b.RunLoop(loop)
			newer.post(codec.Register, 1, values{"force_reregister": true}, "p")
			b.RunLoop(2)
			b.Settle()
			newer.expect(codec.Registered, 1, nil)
			if how == "unregister" {
				reply := older.hear()
				if reply[0] != int64(codec.Unregistered) && reply[4] != codec.ErrNoSuchRegistration {
					t.Errorf("%v", reply)
				}
			}
			caller.say(codec.Call, 2, values{}, "p")
			if msg := newer.hear(); msg == nil || msg[0] != int64(codec.Invocation) {
				t.Errorf("%s, step %d: the newer one hears %v", how, at, msg)
			}
			older.HangUp()
			newer.HangUp()
			b.Settle()
			if n := b.router.named["realm1"].held.registrations.Load(); n != 0 {
				t.Errorf("%d registrations are counted", n)
			}
			if n := b.router.Stats().OpenCalls; n != 0 {
				t.Errorf("%d open calls", n)
			}
			caller.HangUp()
			b.Settle()
			if n := b.Charged(); n != 0 {
				t.Errorf("%s, step %d: %d bytes are charged", how, at, n)
			}
		}
	}
}

// TestDisplaceMany: a thousand callees on all loops are told in chunks, and the last one ends the old registration.
func TestDisplaceMany(t *testing.T) {
	b := newBed(t, 3, Config{})
	b.Budget, b.Chunk = 64, 16
	newer := b.localAs(0, trustedRole)
	for i := range 1000 {
		p := b.join(i % 3)
		p.post(codec.Register, 1, values{"invoke": "random"}, "p")
	}
	b.Settle()
	b.say(newer, codec.Register, 1, values{"force_reregister": true}, "p")
	b.Settle()
	if n := b.router.Stats().Registrations; n != 1 {
		t.Errorf("%d registrations", n)
	}
	if len(b.heard[newer]) != 1 || b.heard[newer][0][0] != int64(codec.Registered) {
		t.Errorf("%v", b.heard[newer])
	}
}

// TestRPC19: a call whose authorizer fails, or does not answer in time, is refused with authorization_failed, whether
// there is such a procedure or not, and no callee hears of it. RPC-19.
func TestRPC19(t *testing.T) {
	for _, procedure := range []string{"open.p", "open.none"} {
		for _, how := range []string{"error", "nonsense", "silence"} {
			b := newAuthorizerBed(t, 2, nil)
			callee, caller := b.localAs(0, trustedRole), b.join(1)
			b.say(callee, codec.Register, 1, values{}, "open.p")
			heard := len(b.heard[callee])
			caller.say(codec.Call, 1, values{}, procedure)
			caller.silent()
			question := b.next()
			switch how {
			case "error":
				b.say(b.authorize, codec.Error, codec.Invocation, int(question[1].(int64)), values{}, "broken.error")
			case "nonsense":
				b.say(b.authorize, codec.Yield, int(question[1].(int64)), values{}, []any{"perhaps"})
			default:
				b.Advance(time.Second)
				b.Settle()
			}
			caller.refused(codec.Call, 1, codec.ErrAuthorizationFailed)
			caller.silent()
			if len(b.heard[callee]) != heard {
				t.Errorf("%s, %s: the callee was called", procedure, how)
			}
		}
	}
}

// TestORD09: sessions on all loops subscribe and register, give that back and leave at the same time; whoever listens
// hears of each subscription and registration in the order of its life, and of its end once all are gone. ORD-09.
func TestORD09(t *testing.T) {
	for seed := range uint64(20) {
		b := newBed(t, 3, Config{})
		b.World.Switch = 50
		listener := b.join(0)
		listener.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.")
		listener.expect(codec.Subscribed, 1, nil)
		var peers []*peer
		for i := range 12 {
			peers = append(peers, b.join(i%3))
		}
		held := map[*peer][]int64{}
		for range 3 {
			for _, p := range peers {
				p.post(codec.Subscribe, 1, values{}, "t")
				p.post(codec.Register, 2, values{"invoke": "random"}, "p")
			}
			for range seed {
				b.Step()
			}
			b.Settle()
			for _, p := range peers {
				held[p] = nil
				for msg := p.hear(); msg != nil; msg = p.hear() {
					held[p] = append(held[p], msg[2].(int64))
				}
				p.post(codec.Unsubscribe, 3, held[p][0])
				p.post(codec.Unregister, 4, held[p][1])
			}
			b.Settle()
			for _, p := range peers {
				for p.hear() != nil {
				}
			}
		}
		for _, p := range peers {
			p.post(codec.Subscribe, 1, values{}, "t")
			p.HangUp()
		}
		b.Settle()
		var order metaOrder
		deleted := 0
		for raw := listener.Next(); raw != nil; raw = listener.Next() {
			var d codec.Decoder
			var m codec.Message
			if err := d.Decode(codec.MessagePack, raw, &m); err != nil {
				t.Fatal(err)
			}
			topic := eventTopic(&simSub{match: codec.Prefix}, &m)
			if strings.HasSuffix(topic, ".on_delete") {
				deleted++
			}
			if why := order.hear(topic, &m, metaAgain{}); why != "" {
				t.Fatalf("seed %d: %s", seed, why)
			}
		}
		if deleted < 6 || len(order.members) != 0 {
			t.Errorf("seed %d: %d were told to be gone, members are left: %v", seed, deleted, order.members)
		}
	}
}

// TestCursorBehindTheEnd: a round robin whose list has become shorter since its last call goes on at the beginning.
func TestCursorBehindTheEnd(t *testing.T) {
	for at, want := range []int{0, 1, 2, 0, 0} {
		var reg registration
		reg.cursor.Store(int64(at))
		if got := reg.next(quietLoop{}, 3); got != want || reg.cursor.Load() != int64((want+1)%3) {
			t.Errorf("at %d of 3: %d is next, and then %d", at, got, reg.cursor.Load())
		}
	}
}

// TestCursorOfWhoLeaves: the cursor of a round robin stays with its callee when the list is copied; if that one
// leaves it goes to the next, and from the last one to the first.
func TestCursorOfWhoLeaves(t *testing.T) {
	for at := range 3 {
		for leaves, want := range [][]int64{{0, 0, 1}, {0, 1, 1}, {0, 1, 0}} {
			var reg registration
			var callees []*callee
			for range 3 {
				callees = append(callees, new(callee))
				reg.callees.add(callees[len(callees)-1])
			}
			reg.cursor.Store(int64(at))
			if left := reg.drop(callees[leaves]); left != 2 || reg.cursor.Load() != want[at] {
				t.Errorf("at %d, callee %d leaves: at %d, want %d", at, leaves, reg.cursor.Load(), want[at])
			}
		}
	}
}
