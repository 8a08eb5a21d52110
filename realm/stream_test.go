package realm

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"banyan/codec"
)

// joinStreams joins with everything that progressive calls need.
func (b *bed) joinStreams(loop int, s codec.Serializer, bytesMax int) *peer {
	b.t.Helper()
	p := b.connect(loop, s, bytesMax)
	p.say(codec.Hello, "realm1", values{"roles": values{
		"caller": values{"features": values{"progressive_call_invocations": true}},
		"callee": values{"features": values{
			"progressive_call_invocations": true, "progressive_call_results": true, "call_canceling": true,
		}},
	}})
	p.id = uint64(p.expect(codec.Welcome, nil, nil)[1].(int64))
	return p
}

var (
	moreChunks = values{"progress": true}
	lastChunk  = values{}
)

// nothingUnderWay checks that no call and no memory of one is left.
func nothingUnderWay(t *testing.T, b *bed) {
	t.Helper()
	if s := b.router.Stats(); s.OpenCalls != 0 {
		t.Errorf("%d open calls left", s.OpenCalls)
	}
	for i, l := range b.Loops {
		if l.Armed() != 0 {
			t.Errorf("loop %d: %d timers left", i, l.Armed())
		}
	}
}

// TestRPC39Race: the callee's final answer is on its way at every step it can be at when a chunk comes. RPC-39.
func TestRPC39Race(t *testing.T) {
	for _, options := range []values{moreChunks, lastChunk} {
		for at := 1; at <= 3; at++ {
			b := newBed(t, 2, Config{})
			caller, callee := b.join(0), b.joinStreams(1, codec.MessagePack, 1<<20)
			id := callee.register(1, "p", "single")
			caller.say(codec.Call, 1, moreChunks, "p", []any{int64(1)})
			callee.expect(codec.Invocation, 1, id, moreChunks, []any{int64(1)})
			callee.post(codec.Yield, 1, values{}, []any{"done"})
			b.pause[1], b.skip[1] = "conn.lock", at-1
			b.RunLoop(1)
			caller.post(codec.Call, 1, options, "p", []any{int64(2)})
			b.RunLoop(0)
			b.Settle()
			caller.expect(codec.Result, 1, values{}, []any{"done"})
			caller.silent()
			if at == 1 { // the answer had not left the callee's table
				callee.expect(codec.Invocation, 1, id, options, []any{int64(2)})
			}
			callee.silent()
			caller.say(codec.Call, 1, lastChunk, "p", []any{int64(3)})
			if options["progress"] == nil { // that was the last one, so this is a call of its own
				callee.expect(codec.Invocation, 2, id, values{}, []any{int64(3)})
				callee.say(codec.Yield, 2, values{})
				caller.expect(codec.Result, 1, values{})
			}
			caller.silent()
			callee.silent()
			nothingUnderWay(t, b)
		}
	}
}

// TestRPC44Race: the callee leaves while a chunk is on its way to it, at every step. RPC-44.
func TestRPC44Race(t *testing.T) {
	for _, how := range []string{"hang up", "goodbye", "unregister"} {
		for at := 1; at <= 3; at++ {
			b := newBed(t, 2, Config{})
			caller, callee := b.join(0), b.joinStreams(1, codec.MessagePack, 1<<20)
			id := callee.register(1, "p", "single")
			caller.say(codec.Call, 1, moreChunks, "p")
			callee.expect(codec.Invocation, 1, id, moreChunks)
			caller.post(codec.Call, 1, moreChunks, "p")
			b.pause[0], b.skip[0] = "conn.lock", at-1
			b.RunLoop(0)
			switch how {
			case "hang up":
				callee.HangUp()
			case "goodbye":
				callee.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
			default:
				callee.post(codec.Unregister, 2, id)
			}
			b.RunLoop(1)
			b.Settle()
			if how == "unregister" {
				caller.say(codec.Call, 1, moreChunks, "p")
			}
			caller.refused(codec.Call, 1, codec.ErrCanceled)
			caller.say(codec.Call, 1, lastChunk, "p")
			caller.silent()
			callee.HangUp()
			b.Settle()
			nothingUnderWay(t, b)
			if n := b.router.Stats().ChunksLate; n == 0 {
				t.Errorf("%s, step %d: late chunks are not counted", how, at)
			}
		}
	}
}

// TestChunkFails: a chunk that the callee cannot be given ends the call for both, and the rest of it is discarded.
func TestChunkFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(callee *peer)
		args   []any
		uri    string
	}{
		{"full", func(callee *peer) { callee.SetFull(true) }, nil, codec.ErrNetworkFailure},
		{"too long", func(*peer) {}, []any{strings.Repeat("x", 600)}, codec.ErrPayloadSizeExceeded},
	} {
		for _, last := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/last=%t", c.name, last), func(t *testing.T) {
				b := newBed(t, 2, Config{})
				caller, callee := b.join(0), b.joinStreams(1, codec.CBOR, 512)
				id := callee.register(1, "p", "single")
				caller.say(codec.Call, 1, values{"progress": true, "timeout": int64(1000)}, "p")
				callee.expect(codec.Invocation, 1, id, moreChunks)
				c.before(callee)
				caller.say(codec.Call, 1, values{"progress": !last}, "p", c.args)
				caller.refused(codec.Call, 1, c.uri)
				callee.SetFull(false)
				callee.expect(codec.Interrupt, 1, values{"mode": "killnowait"})
				callee.say(codec.Yield, 1, values{})
				if !last {
					caller.say(codec.Call, 1, moreChunks, "p")
					caller.say(codec.Call, 1, lastChunk, "p")
				}
				caller.silent()
				callee.silent()
				nothingUnderWay(t, b)
				caller.say(codec.Call, 1, lastChunk, "p") // a call of its own
				callee.expect(codec.Invocation, 2, id, values{})
			})
		}
	}
}

// TestLargeChunks: chunks that the pool has to check and to transcode keep their order among others. RPC-36, ORD-03.
func TestLargeChunks(t *testing.T) {
	for _, to := range []codec.Serializer{codec.MessagePack, codec.JSON} {
		b := newBed(t, 2, Config{})
		caller, callee := b.join(0), b.joinStreams(1, to, 1<<24)
		id := callee.register(1, "p", "single")
		for i := range 5 {
			options := moreChunks
			if i == 4 {
				options = lastChunk
			}
			caller.post(codec.Call, 1, options, "p", []any{int64(i), strings.Repeat("x", i%2*300<<10)})
		}
		caller.post(codec.Call, 2, values{}, "p")
		b.Settle()
		for i := range 5 {
			options := moreChunks
			if i == 4 {
				options = lastChunk
			}
			callee.expect(codec.Invocation, 1, id, options, []any{int64(i), strings.Repeat("x", i%2*300<<10)})
		}
		callee.expect(codec.Invocation, 2, id, values{})
	}
}

// TestChunksAndTimeout: chunks do not start the timeout again, progressive results do. RPC-38.
func TestChunksAndTimeout(t *testing.T) {
	b := newBed(t, 2, Config{})
	caller, callee := b.join(0), b.joinStreams(1, codec.MessagePack, 1<<20)
	callee.register(1, "p", "single")
	options := values{"progress": true, "receive_progress": true, "timeout": int64(100)}
	caller.say(codec.Call, 1, options, "p")
	b.Advance(60 * time.Millisecond)
	callee.say(codec.Yield, 1, values{"progress": true})
	caller.expect(codec.Result, 1, values{"progress": true})
	for range 3 {
		b.Advance(33 * time.Millisecond)
		caller.say(codec.Call, 1, values{"progress": true, "timeout": int64(100)}, "p")
		caller.silent()
	}
	b.Advance(time.Millisecond)
	b.Settle()
	caller.refused(codec.Call, 1, codec.ErrTimeout)
	for range 4 {
		callee.expect(codec.Invocation, 1, nil, nil)
	}
	callee.expect(codec.Interrupt, 1, values{"mode": "killnowait"})
	nothingUnderWay(t, b)
}

// TestStreamsMax: a session has so many progressive calls open at a time, and remembers so many that are over; then
// the oldest is forgotten. All memory of them is given back.
func TestStreamsMax(t *testing.T) {
	for _, strict := range []bool{false, true} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", StrictRequestIDs: strict}}})
		caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
		idle := b.Charged()
		id := callee.register(1, "p", "single")
		registered := b.Charged()
		for i := range streamsMax {
			caller.say(codec.Call, i+1, moreChunks, "p")
			callee.expect(codec.Invocation, i+1, id, moreChunks)
		}
		const want = streamsMax*streamBytes + (streamsMax-callsStep)*callBytes
		if n := b.Charged() - registered; n != want {
			t.Errorf("%d bytes are charged, want %d", n, want)
		}
		next := streamsMax + 1
		caller.say(codec.Call, next, moreChunks, "p")
		caller.refused(codec.Call, next, codec.ErrOptionNotAllowed)
		callee.silent()
		// Two are over, the third is the oldest that stays open: there is room for two more.
		for i := range 2 {
			callee.say(codec.Yield, i+1, values{})
			caller.expect(codec.Result, i+1, values{})
		}
		for range 2 {
			next++
			caller.say(codec.Call, next, moreChunks, "p")
			callee.expect(codec.Invocation, nil, id, moreChunks)
		}
		next++
		caller.say(codec.Call, next, moreChunks, "p")
		caller.refused(codec.Call, next, codec.ErrOptionNotAllowed)
		// A late chunk of a forgotten one: nobody can tell it from a call, except by its place in the sequence.
		caller.say(codec.Call, 1, lastChunk, "p")
		if !strict {
			callee.expect(codec.Invocation, nil, id, lastChunk)
		}
		caller.say(codec.Call, 3, lastChunk, "p")
		callee.expect(codec.Invocation, 3, id, lastChunk)
		callee.silent()
		caller.silent()
		if strict { // an open call that is complete
			caller.say(codec.Call, 3, lastChunk, "p")
			caller.expect(codec.Abort, nil, codec.ErrProtocolViolation)
		}
		caller.HangUp()
		callee.HangUp()
		b.Settle()
		nothingUnderWay(t, b)
		if n := b.Charged(); n > idle {
			t.Errorf("%d bytes are charged, %d before", n, idle)
		}
	}
}

// TestStreamsForget: what is remembered of complete calls does not grow, and an id may be used many times.
func TestStreamsForget(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
	callee.register(1, "p", "single")
	caller.say(codec.Call, 1, moreChunks, "p") // stays
	for i := range 3 * streamsMax {
		request := 2 + i%3
		caller.post(codec.Call, request, moreChunks, "p")
		caller.say(codec.Call, request, lastChunk, "p")
		callee.say(codec.Yield, i+2, values{})
		caller.expect(codec.Result, request, values{})
	}
	for s := b.router.named["realm1"].sessions[0].head; s != nil; s = s.next {
		if st := s.streams; st != nil && (st.begun.len() != 1 || len(st.begun.order) > 2*streamsMax || st.forgot) {
			t.Errorf("%d remembered, %d in order, forgot %t", st.begun.len(), len(st.begun.order), st.forgot)
		}
	}
}

// TestStreamMemory: without room in the budget of the process a progressive call is refused, others are not.
func TestStreamMemory(t *testing.T) {
	b := newBed(t, 1, Config{})
	caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
	id := callee.register(1, "p", "single")
	b.BytesMax = b.Charged() + streamBytes
	for i, refused := range []bool{false, true} {
		caller.say(codec.Call, i+1, moreChunks, "p")
		if refused {
			caller.refused(codec.Call, i+1, codec.ErrOptionNotAllowed)
		} else {
			callee.expect(codec.Invocation, 1, id, moreChunks)
		}
	}
	if n := b.router.Stats().OverBudget; n != 1 {
		t.Errorf("%d refusals counted", n)
	}
	caller.say(codec.Call, 3, values{}, "p")
	callee.expect(codec.Invocation, 2, id, values{})
}

var streamFeatures = []string{
	"progressive_call_invocations", "progressive_call_results", "call_canceling", passthru, "call_reroute",
}

// TestRPC38Payload: what describes the payload is said with the first chunk alone, whatever the later ones say, and
// whether or not the caller might say it; but bytes come with the algorithm that they need.
func TestRPC38Payload(t *testing.T) {
	t.Attr("checklist", "RPC-38")
	octets := []any{[]byte{1}}
	sealed := values{"enc_algo": "mqtt", "enc_key": "2"}
	for _, c := range []struct {
		name         string
		features     []string
		first, later values
		want         values // of the later ones
		payload      any    // of the later ones
	}{
		{"ppt", []string{passthru}, values{"ppt_scheme": "x_1"}, values{"ppt_scheme": "x_2"}, values{}, octets},
		{"ppt at first", []string{passthru}, values{"ppt_scheme": "x_1"}, values{}, values{}, []any{"open"}},
		{"ppt later", nil, values{}, values{"ppt_scheme": "x_2", "transaction_hash": "h"}, values{}, octets},
		{"hash", nil, values{"transaction_hash": "h"}, values{"transaction_hash": "i"}, values{}, octets},
		{"enc", nil, values{"enc_algo": "mqtt"}, sealed, sealed, []byte{1, 2}},
		{
			"enc and more", nil,
			values{"enc_algo": "mqtt"},
			values{"enc_algo": "mqtt", "enc_key": "2", "ppt_scheme": "x_1", "transaction_hash": "h"},
			sealed,
			[]byte{3},
		},
		{"enc of nothing", nil, values{}, sealed, values{}, nil},
	} {
		for s := codec.JSON; s <= codec.CBOR; s++ {
			b := newBed(t, 2, Config{})
			caller, callee := b.joinWith(0, codec.MessagePack, c.features...), b.joinWith(1, s, streamFeatures...)
			id := callee.register(1, "p", "single")
			with := func(options values, progress bool) values {
				all := maps.Clone(options)
				if progress {
					all["progress"] = true
				}
				return all
			}
			payload := func(first bool) (all []any) {
				switch {
				case first && c.first["enc_algo"] != nil:
					return []any{[]byte{1}}
				case first:
					return []any{octets}
				case c.payload == nil:
					return nil
				}
				return []any{c.payload}
			}
			caller.say(codec.Call, append([]any{1, with(c.first, true), "p"}, payload(true)...)...)
			callee.expect(codec.Invocation, append([]any{1, id, with(c.first, true)}, payload(true)...)...)
			for _, progress := range []bool{true, true, false} {
				caller.say(codec.Call, append([]any{1, with(c.later, progress), "p"}, payload(false)...)...)
				callee.expect(codec.Invocation, append([]any{1, id, with(c.want, progress)}, payload(false)...)...)
			}
			callee.say(codec.Yield, 1, values{})
			caller.expect(codec.Result, 1, values{})
			nothingUnderWay(t, b)
		}
	}
}

// TestStreamRefused: RPC-39. A progressive call that is refused at its first chunk, for whatever reason, has one
// answer: its other chunks are discarded, also when there is room again, and none begins a call of its own.
func TestStreamRefused(t *testing.T) {
	for _, strict := range []bool{false, true} {
		for _, c := range []struct {
			name    string
			limits  Config
			realm   RealmConfig
			open    int // calls that take the room
			options values
			why     string
		}{
			{"calls of the session", Config{CallsMax: 2}, RealmConfig{}, 2, values{}, codec.ErrOptionNotAllowed},
			{
				"calls of the realm",
				Config{},
				RealmConfig{Quotas: Quotas{CallsMax: 2}},
				2,
				values{},
				codec.ErrOptionNotAllowed,
			},
			{"progressive calls", Config{}, RealmConfig{}, streamsMax, moreChunks, codec.ErrOptionNotAllowed},
			{"nobody there", Config{}, RealmConfig{}, 0, values{}, codec.ErrNoSuchProcedure},
			{
				"no rkey",
				Config{},
				RealmConfig{Sharding: true},
				0,
				values{"runmode": "partition"},
				codec.ErrInvalidArgument,
			},
		} {
			c.realm.URI, c.realm.StrictRequestIDs = "realm1", strict
			c.limits.Realms = []RealmConfig{c.realm}
			b := newBed(t, 2, c.limits)
			caller, callee := b.join(0), b.joinStreams(1, codec.MessagePack, 1<<20)
			callee.register(1, "p", "single")
			before := b.Charged()
			for i := range c.open {
				caller.say(codec.Call, i+1, c.options, "p")
				callee.expect(codec.Invocation, i+1, nil, nil)
			}
			id, procedure := c.open+1, "p"
			if c.why == codec.ErrNoSuchProcedure {
				procedure = "q"
			}
			first := maps.Clone(c.options)
			first["progress"] = true
			caller.say(codec.Call, id, first, procedure)
			caller.refused(codec.Call, id, c.why)
			caller.say(codec.Call, id, moreChunks, procedure)
			for i := range c.open { // there is room again
				callee.say(codec.Yield, i+1, values{})
				caller.expect(codec.Result, i+1, values{})
				if c.options["progress"] != nil {
					caller.say(codec.Call, i+1, lastChunk, "p")
				}
			}
			if procedure == "q" {
				callee.say(codec.Register, 2, values{}, "q")
				callee.expect(codec.Registered, 2, nil)
			}
			caller.say(codec.Call, id, moreChunks, procedure)
			caller.say(codec.Call, id, lastChunk, procedure)
			caller.silent()
			callee.silent()
			if n := b.router.Stats().ChunksLate; n < 3 {
				t.Errorf("%s: %d late chunks are counted", c.name, n)
			}
			caller.say(codec.Call, id+1, lastChunk, "p")
			callee.expect(codec.Invocation, c.open+1, nil, values{})
			callee.say(codec.Yield, c.open+1, values{})
			caller.expect(codec.Result, id+1, values{})
			nothingUnderWay(t, b)
			if n := b.Charged() - before; n != 0 && procedure == "p" {
				t.Errorf("%s: %d bytes stay charged", c.name, n)
			}
		}
	}
}

// TestStreamRefusedWithoutMemory: a progressive call for which there is no memory. What is remembered of it takes
// less; without room for that, only its place in the sequence tells what its other chunks are.
func TestStreamRefusedWithoutMemory(t *testing.T) {
	for _, room := range []int64{streamBytes, streamBytes - 1} {
		b := newBed(t, 1, Config{Realms: []RealmConfig{{URI: "realm1", StrictRequestIDs: room < streamBytes}}})
		caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
		callee.register(1, "p", "single")
		for i := range callsStep {
			caller.say(codec.Call, i+1, values{}, "p")
			callee.expect(codec.Invocation, i+1, nil, values{})
		}
		b.BytesMax = b.Charged() + room
		caller.say(codec.Call, callsStep+1, moreChunks, "p")
		caller.refused(codec.Call, callsStep+1, codec.ErrOptionNotAllowed)
		b.BytesMax = 0
		caller.say(codec.Call, callsStep+1, moreChunks, "p")
		caller.say(codec.Call, callsStep+1, lastChunk, "p")
		caller.silent()
		callee.silent()
	}
}

// TestStreamAfterReload: where request ids have to be sequential no more, the latest chunk says nothing about the
// next CALL.
func TestStreamAfterReload(t *testing.T) {
	config := func(strict bool) Config {
		return Config{Realms: []RealmConfig{{URI: "realm1", StrictRequestIDs: strict}}}
	}
	b := newBed(t, 1, config(true))
	caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
	callee.register(1, "p", "single")
	caller.say(codec.Call, 1, moreChunks, "p")
	caller.say(codec.Call, 1, lastChunk, "p")
	callee.expect(codec.Invocation, 1, nil, moreChunks)
	callee.expect(codec.Invocation, 1, nil, lastChunk)
	b.apply(config(false))
	caller.say(codec.Call, 2, values{}, "p")
	callee.expect(codec.Invocation, 2, nil, values{})
}

// TestStreamsRefusedMax: so many refused ones are remembered; one more, and the oldest is not.
func TestStreamsRefusedMax(t *testing.T) {
	for _, c := range []struct {
		more   int
		strict bool
	}{{0, false}, {1, false}, {1, true}} {
		more := c.more
		realm := RealmConfig{URI: "realm1", StrictRequestIDs: c.strict}
		b := newBed(t, 1, Config{CallsMax: 1, Realms: []RealmConfig{realm}})
		caller, callee := b.join(0), b.joinStreams(0, codec.MessagePack, 1<<20)
		callee.register(1, "p", "single")
		before := b.Charged()
		caller.say(codec.Call, 1, values{}, "p")
		callee.expect(codec.Invocation, 1, nil, values{})
		for i := range streamsMax + more {
			caller.say(codec.Call, 2+i, moreChunks, "p")
			caller.refused(codec.Call, 2+i, codec.ErrOptionNotAllowed)
		}
		if n := b.Charged() - before; n != streamsMax*streamBytes {
			t.Errorf("%d bytes are charged", n)
		}
		callee.say(codec.Yield, 1, values{})
		caller.expect(codec.Result, 1, values{})
		caller.say(codec.Call, 3, lastChunk, "p")
		callee.silent()
		caller.say(codec.Call, 2, lastChunk, "p")
		if more > 0 && !c.strict { // nobody can tell it from a call, except by its place in the sequence
			callee.expect(codec.Invocation, 2, nil, values{})
		}
		callee.silent()
		caller.silent()
		caller.HangUp()
		b.Settle()
		if n := b.Charged() - before; n > 0 {
			t.Errorf("%d bytes stay charged", n)
		}
	}
}
