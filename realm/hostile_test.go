package realm

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// TestLIM03: everything a client may send, in one go, has the same outcome as one by one; the second session on the
// transport included.
func TestLIM03(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.connect(0, codec.JSON, 1<<20)
	roles := values{"roles": values{
		"publisher": values{}, "subscriber": values{}, "caller": values{},
		"callee": values{},
	}}
	p.post(codec.Hello, "realm1", roles)
	p.post(codec.Subscribe, 1, values{}, "t")
	p.post(codec.Register, 2, values{}, "p")
	p.post(codec.Publish, 3, values{"acknowledge": true, "exclude_me": false}, "t", []any{int64(1)})
	p.post(codec.Publish, 4, values{"exclude_me": false}, "t", []any{int64(2)})
	p.post(codec.Call, 5, values{}, "p", []any{int64(3)})
	p.post(codec.Yield, 1, values{}, []any{int64(4)})
	p.post(codec.Unsubscribe, 6, 1)
	p.post(codec.Unregister, 7, 1)
	p.post(codec.Call, 8, values{}, "p")
	p.post(codec.Goodbye, values{}, codec.CloseCloseRealm)
	p.post(codec.Hello, "realm1", roles)
	p.post(codec.Publish, 1, values{"acknowledge": true}, "t")
	b.Settle()
	p.expect(codec.Welcome, nil, nil)
	p.expect(codec.Subscribed, 1, 1)
	p.expect(codec.Registered, 2, 1)
	p.expect(codec.Published, 3, nil)
	p.expect(codec.Event, 1, nil, values{}, []any{int64(1)})
	p.expect(codec.Event, 1, nil, values{}, []any{int64(2)})
	p.expect(codec.Invocation, 1, 1, values{}, []any{int64(3)})
	p.expect(codec.Result, 5, values{}, []any{int64(4)})
	p.expect(codec.Unsubscribed, 6)
	p.expect(codec.Unregistered, 7)
	p.refused(codec.Call, 8, codec.ErrNoSuchProcedure)
	p.expect(codec.Goodbye, values{}, codec.CloseGoodbyeAndOut)
	p.expect(codec.Welcome, nil, nil)
	p.expect(codec.Published, 1, nil)
	p.silent()
}

// hostileMessages are valid messages to spoil.
func hostileMessages(s codec.Serializer) (msgs [][]byte) {
	for _, m := range [][]any{
		{int64(32), int64(1), values{"match": "prefix"}, "com.t"},
		{int64(34), int64(2), int64(1)},
		{int64(16), int64(3), values{
			"acknowledge": true, "exclude": []any{int64(5)}, "eligible_authid": []any{"x"},
			"disclose_me": true,
		}, "com.t", []any{"a", 1.5, nil}, values{"k": []any{true}}},
		{int64(64), int64(4), values{"invoke": "roundrobin", "match": "wildcard"}, "com..p"},
		{int64(66), int64(5), int64(1)},
		{int64(48), int64(6), values{"receive_progress": true, "timeout": int64(50)}, "com.a.p", []any{[]byte{1, 2}}},
		{int64(49), int64(6), values{"mode": "kill"}},
		{int64(70), int64(1), values{"progress": true}, []any{int64(7)}},
		{int64(8), int64(68), int64(1), values{"d": int64(1)}, "com.error", []any{"x"}, values{"y": "z"}},
		{int64(16), int64(7), values{"enc_algo": "cryptobox"}, "com.t", []byte{1, 2, 3}},
		{int64(6), values{}, "wamp.close.close_realm"},
		{int64(3), values{}, "com.abort"},
		{int64(5), "signature", values{}},
		{int64(1), "realm1", values{"roles": values{"callee": values{"features": values{"call_canceling": true}}}}},
	} {
		b, err := codec.AppendValue(nil, s, m)
		if err != nil {
			panic(err) // the table is wrong
		}
		msgs = append(msgs, b)
	}
	return msgs
}

// TestMSG40: spoiled messages of every type, in every serializer, end their sender at worst. A bystander is served as
// before, and nothing is left of the fallen.
func TestMSG40(t *testing.T) {
	rng := rand.New(rand.NewPCG(40, 40))
	b := newBed(t, 2, Config{})
	bystander := b.join(1)
	bystander.register(1, "safe", "single")
	for s := codec.JSON; s <= codec.CBOR; s++ {
		msgs := hostileMessages(s)
		var p *peer
		for range 6_000 {
			if p != nil {
				if _, over := p.Finished(); over {
					p = nil
				}
			}
			if p == nil {
				p = b.joinAs(0, s, 1<<20)
			}
			p.Send(spoil(rng, msgs[rng.IntN(len(msgs))]))
			if rng.IntN(4) == 0 {
				b.Settle()
			}
			if rng.IntN(50) == 0 {
				p.HangUp()
				b.Settle()
				p = nil
			}
		}
		if p != nil {
			p.HangUp()
		}
		b.Settle()
	}
	bystander.say(codec.Call, 2, values{}, "safe")
	bystander.expect(codec.Invocation, 1, nil, values{})
	bystander.say(codec.Yield, 1, values{})
	bystander.expect(codec.Result, 2, values{})
	bystander.HangUp()
	b.Settle()
	if stats := b.router.Stats(); stats.Violations < 1_000 {
		t.Errorf("only %d violations: the messages are not spoiled enough", stats.Violations)
	}
	b.router.perLoop[0].counters.violations.Store(0)
	b.router.perLoop[1].counters.violations.Store(0)
	nothingLeft(t, b.router, b.World)
}

// spoil changes, cuts, doubles or leaves alone some bytes of a message.
func spoil(rng *rand.Rand, msg []byte) []byte {
	msg = bytes.Clone(msg)
	for range rng.IntN(3) {
		if len(msg) == 0 {
			break
		}
		i := rng.IntN(len(msg))
		switch rng.IntN(4) {
		case 0:
			msg[i] = byte(rng.Uint32())
		case 1:
			msg[i] ^= 1 << rng.IntN(8)
		case 2:
			msg = msg[:i]
		default:
			msg = append(msg[:i:i], append([]byte{msg[i]}, msg[i:]...)...)
		}
	}
	return msg
}

// FuzzReceive feeds two messages of a stranger to an established session. Whatever they are, another session is
// served afterwards.
func FuzzReceive(f *testing.F) {
	for s := codec.JSON; s <= codec.CBOR; s++ {
		msgs := hostileMessages(s)
		for i := range msgs {
			f.Add(uint8(s), msgs[i], msgs[(i+1)%len(msgs)])
		}
	}
	f.Fuzz(func(t *testing.T, serializer uint8, one, two []byte) {
		b := newBed(t, 1, Config{})
		p := b.joinAs(0, codec.Serializer(serializer%3)+1, 1<<20)
		p.Send(one)
		p.Send(two)
		b.Settle()
		other := b.join(0)
		other.say(codec.Publish, 1, values{"acknowledge": true}, "t")
		other.expect(codec.Published, 1, nil)
		if code, over := p.Finished(); over && code == port.CloseInternal {
			t.Error("internal error")
		}
	})
}
