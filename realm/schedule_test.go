package realm

import (
	"testing"

	"banyan/codec"
)

// The races that the design has to rule out, each with its schedule forced; the numbers are those of the design's
// review. R9 concerns meta events, which are not here yet; R2, R10, R11 and R13 are the engine's.

// TestR3World: a session is about to join the record it found while another loop drops the last member.
func TestR3World(t *testing.T) {
	b := newBed(t, 2, Config{})
	leaver, joiner := b.join(0), b.join(1)
	old := leaver.subscribe(1, "t")
	joiner.post(codec.Subscribe, 1, values{}, "t")
	b.pauseAt(1, "topics.enter", 1) // found the old record
	leaver.post(codec.Unsubscribe, 2, old)
	b.RunLoop(0) // the record is gone
	leaver.expect(codec.Unsubscribed, 2)
	b.Settle()
	id := joiner.expect(codec.Subscribed, 1, nil)[2]
	if id == old {
		t.Fatal("joined a record that nobody finds")
	}
	leaver.say(codec.Publish, 3, values{}, "t")
	joiner.expect(codec.Event, id, nil, values{})
}

// TestR4: two callers on two loops reach one callee; ids are drawn in the order the invocations are queued.
func TestR4(t *testing.T) {
	b := newBed(t, 3, Config{})
	callee, one, two := b.join(2), b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	one.post(codec.Call, 1, values{}, "p", []any{"one"})
	b.pauseAt(0, "conn.lock", 2) // its open call is noted, the callee not reached yet
	two.post(codec.Call, 1, values{}, "p", []any{"two"})
	b.RunLoop(1)
	b.Settle()
	callee.expect(codec.Invocation, 1, id, values{}, []any{"two"})
	callee.expect(codec.Invocation, 2, id, values{}, []any{"one"})
}

// TestR5Event: a run is on its way to a loop when its member there unsubscribes. SUB-18.
func TestR5Event(t *testing.T) {
	t.Attr("checklist", "SUB-18")
	b := newBed(t, 2, Config{})
	publisher, subscriber := b.join(0), b.join(1)
	id := subscriber.subscribe(1, "t")
	publisher.post(codec.Publish, 1, values{}, "t")
	subscriber.post(codec.Unsubscribe, 2, id)
	b.RunLoop(0) // the job is in loop 1's mail
	b.Settle()
	subscriber.expect(codec.Unsubscribed, 2)
	subscriber.silent()
}

// TestR5Invocation: the callee unregisters after the caller has chosen it and before it is reached. ORD-06, RPC-87.
func TestR5Invocation(t *testing.T) {
	t.Attr("checklist", "ORD-06 RPC-87")
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	caller.post(codec.Call, 1, values{}, "p")
	b.pauseAt(0, "conn.lock", 2)
	callee.post(codec.Unregister, 2, id)
	b.RunLoop(1)
	callee.expect(codec.Unregistered, 2)
	b.Settle()
	callee.silent()
	caller.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
}

// TestR5Progress: a progressive result is on its way when the call is canceled. ORD-07.
func TestR5Progress(t *testing.T) {
	t.Attr("checklist", "ORD-07")
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{"receive_progress": true}, "p")
	callee.expect(codec.Invocation, 1, id, values{"receive_progress": true})
	callee.post(codec.Yield, 1, values{"progress": true})
	b.pauseAt(1, "conn.lock", 2) // the invocation is looked up, the caller not reached yet
	caller.post(codec.Cancel, 1, values{"mode": "skip"})
	b.RunLoop(0)
	caller.refused(codec.Call, 1, codec.ErrCanceled)
	b.Settle()
	caller.silent()
	callee.silent()
}

// TestR6: as soon as a client can read SUBSCRIBED, a publish of anybody reaches it. ORD-04.
func TestR6(t *testing.T) {
	t.Attr("checklist", "ORD-04")
	b := newBed(t, 2, Config{})
	publisher, subscriber := b.join(0), b.join(1)
	b.Forced = func(loop int, _ string) bool { return loop == 1 }
	subscriber.post(codec.Subscribe, 1, values{}, "t")
	var reply []any
	for reply == nil && b.StepLoop(1) {
		reply = subscriber.hear()
	}
	if reply == nil {
		reply = subscriber.hear()
	}
	publisher.post(codec.Publish, 1, values{}, "t")
	b.RunLoop(0)
	b.Settle()
	subscriber.expect(codec.Event, reply[2], nil, values{})
}

// TestR6Register: as soon as a client can read REGISTERED, a call of anybody reaches it, and none before. ORD-05.
func TestR6Register(t *testing.T) {
	t.Attr("checklist", "ORD-05")
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	b.Forced = func(loop int, _ string) bool { return loop == 1 }
	callee.post(codec.Register, 1, values{}, "p")
	request := 0
	for paused := true; paused; {
		paused = b.StepLoop(1)
		reply := callee.hear()
		request++
		caller.post(codec.Call, request, values{}, "p")
		b.RunLoop(0)
		if reply == nil {
			caller.refused(codec.Call, request, codec.ErrNoSuchProcedure)
			callee.silent()
			continue
		}
		callee.expect(codec.Invocation, 1, reply[2], values{})
		b.Forced = func(int, string) bool { return false }
		b.Settle()
		return
	}
	t.Fatal("REGISTERED never came")
}

// TestR7: an answer to a call that was canceled is on its way while the caller reuses the request id.
func TestR7(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	caller.say(codec.Call, 5, values{}, "p")
	callee.expect(codec.Invocation, 1, id, values{})
	callee.post(codec.Yield, 1, values{}, []any{"old"})
	b.pauseAt(1, "conn.lock", 2) // out of the callee's table, the caller not reached yet
	caller.post(codec.Cancel, 5, values{"mode": "killnowait"})
	caller.post(codec.Call, 5, values{}, "p")
	b.RunLoop(0)
	caller.refused(codec.Call, 5, codec.ErrCanceled)
	b.Settle()
	caller.silent() // the old answer does not answer the new call
	callee.expect(codec.Invocation, 2, id, values{})
	callee.say(codec.Yield, 2, values{}, []any{"new"})
	caller.expect(codec.Result, 5, values{}, []any{"new"})
}

// TestR8Leave: the callee's farewell has swept its table before the invocation gets there. RPC-87.
func TestR8Leave(t *testing.T) {
	t.Attr("checklist", "RPC-87")
	for _, how := range []string{"hang up", "goodbye"} {
		b := newBed(t, 2, Config{})
		caller, callee := b.join(0), b.join(1)
		callee.register(1, "p", "single")
		caller.post(codec.Call, 1, values{}, "p")
		b.pauseAt(0, "conn.lock", 2)
		if how == "goodbye" {
			callee.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
		} else {
			callee.HangUp()
		}
		b.RunLoop(1)
		b.Settle()
		caller.refused(codec.Call, 1, codec.ErrNoSuchProcedure)
		if n := b.router.Stats().OpenCalls; n != 0 {
			t.Errorf("%s: %d open calls left", how, n)
		}
	}
}

// TestR8NextCallee: with a shared registration the call goes to the callee that stayed.
func TestR8NextCallee(t *testing.T) {
	b := newBed(t, 3, Config{})
	caller, leaver, stayer := b.join(0), b.join(1), b.join(2)
	leaver.register(1, "p", "first")
	id := stayer.register(1, "p", "first")
	caller.post(codec.Call, 1, values{}, "p")
	b.pauseAt(0, "conn.lock", 2)
	leaver.HangUp()
	b.RunLoop(1)
	b.Settle()
	stayer.expect(codec.Invocation, 1, id, values{})
	stayer.say(codec.Yield, 1, values{})
	caller.expect(codec.Result, 1, values{})
}

// TestR8Full: a queue that refuses leaves no record behind, and the caller is told. RPC-22.
func TestR8Full(t *testing.T) {
	t.Attr("checklist", "RPC-22")
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	callee.SetFull(true)
	caller.say(codec.Call, 1, values{}, "p")
	caller.refused(codec.Call, 1, codec.ErrNetworkFailure)
	callee.silent()
	callee.SetFull(false)
	caller.say(codec.Call, 1, values{}, "p")
	callee.expect(codec.Invocation, 1, id, values{}) // no id was lost
	if stats := b.router.Stats(); stats.OpenCalls != 1 || stats.CallsOverloaded != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestR12: a member with another serializer joins between the census a publish took and its job. It misses that event
// and nothing else.
func TestR12(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, present := b.join(0), b.join(1)
	id := present.subscribe(1, "t")
	joiner := b.joinAs(1, codec.CBOR, 1<<20)
	publisher.post(codec.Publish, 1, values{}, "t", []any{"one"})
	b.pauseAt(0, "run.mask", 1) // frames are built, for MessagePack only
	joiner.post(codec.Subscribe, 1, values{}, "t")
	b.RunLoop(1)
	joiner.expect(codec.Subscribed, 1, id)
	b.Settle()
	present.expect(codec.Event, id, nil, values{}, []any{"one"})
	joiner.silent()
	publisher.say(codec.Publish, 2, values{}, "t", []any{"two"})
	present.expect(codec.Event, id, nil, values{}, []any{"two"})
	joiner.expect(codec.Event, id, nil, values{}, []any{"two"})
}

// TestR14: after GOODBYE nothing follows, whoever was about to append.
func TestR14(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.join(1)
	id := callee.register(1, "p", "single")
	caller.say(codec.Call, 1, values{}, "p")
	callee.expect(codec.Invocation, 1, id, values{})
	callee.post(codec.Yield, 1, values{})
	b.pauseAt(1, "conn.lock", 2)
	caller.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	b.RunLoop(0)
	caller.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	b.Settle()
	caller.silent()
}
