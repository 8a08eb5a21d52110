package realm

import (
	"fmt"
	"strings"
	"testing"

	"banyan/codec"
)

// TestPUB29: a thousand subscribers on three loops and three serializers get each event once.
func TestPUB29(t *testing.T) {
	b := newBed(t, 3, Config{})
	var peers []*peer
	for i := range 1_000 {
		p := b.joinAs(i%3, codec.Serializer(1+i/3%3), 1<<20)
		p.subscribe(1, "t")
		peers = append(peers, p)
	}
	publisher := b.join(0)
	publisher.say(codec.Publish, 1, values{}, "t", []any{"hello"}, values{"n": int64(1)})
	for _, p := range peers {
		p.expect(codec.Event, nil, nil, values{}, []any{"hello"}, values{"n": int64(1)})
		p.silent()
	}
	if n := b.router.Stats().Events; n != 1_000 {
		t.Errorf("%d events counted", n)
	}
}

// TestORD13: a fan-out that takes many turns; every subscriber sees event 1 before event 2, also the ones on the
// publisher's loop.
func TestORD13(t *testing.T) {
	b := newBed(t, 2, Config{})
	b.Budget, b.Chunk = 700, 64
	var peers []*peer
	for i := range 3_000 {
		p := b.join(i % 2)
		p.post(codec.Subscribe, 1, values{}, "t")
		p.post(codec.Subscribe, 2, values{"match": "prefix"}, "t")
		peers = append(peers, p)
	}
	b.Settle()
	publisher := b.join(0)
	for i := range 3 {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{int64(i)})
	}
	b.Settle()
	for _, p := range peers {
		p.expect(codec.Subscribed, 1, nil)
		p.expect(codec.Subscribed, 2, nil)
		for i := range int64(3) {
			p.expect(codec.Event, nil, nil, values{}, []any{i})
			p.expect(codec.Event, nil, nil, values{"topic": "t"}, []any{i})
		}
		p.silent()
	}
	if publisher.Credit() != b.CreditBytes {
		t.Errorf("credit %d of %d", publisher.Credit(), b.CreditBytes)
	}
}

// TestMerge: consecutive events of one publisher and topic cost a receiver one append per batch; anything in between
// ends the run.
func TestMerge(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, near, far := b.join(0), b.join(0), b.join(1)
	near.subscribe(1, "t")
	far.subscribe(1, "t")
	const n = 200
	for i := range n {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{int64(i)})
	}
	b.Settle()
	for _, p := range []*peer{near, far} {
		for i := range int64(n) {
			p.expect(codec.Event, nil, nil, values{}, []any{i})
		}
		p.silent()
		if runs := p.Runs(); runs > n/2 {
			t.Errorf("%d events came in %d runs", n, runs)
		}
	}
}

// TestRunLimit: a run does not grow without bound, however many events a batch brings.
func TestRunLimit(t *testing.T) {
	b := newBed(t, 1, Config{})
	publisher, subscriber := b.join(0), b.join(0)
	subscriber.subscribe(1, "t")
	payload := strings.Repeat("x", 10_000)
	for i := range 16 {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{payload})
	}
	b.Settle()
	for range 16 {
		subscriber.expect(codec.Event, nil, nil, values{}, []any{payload})
	}
	if runs := subscriber.Runs(); runs < 4 {
		t.Errorf("160 kB came in %d runs", runs)
	}
}

// TestSER27: one PUBLISH reaches subscribers of all serializers with equal content.
func TestSER27(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher := b.join(0)
	var subscribers []*peer
	for i, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		p := b.joinAs(i%2, s, 1<<20)
		p.subscribe(1, "t")
		subscribers = append(subscribers, p)
	}
	args := []any{"ü𝄞", []byte{0, 255}, int64(1) << 53, 1.0, nil, []any{true}}
	kwargs := values{"deep": values{"n": int64(-1)}}
	publisher.say(codec.Publish, 1, values{}, "t", args, kwargs)
	for _, p := range subscribers {
		p.expect(codec.Event, nil, nil, values{}, args, kwargs)
	}
}

// TestPUB57 (TRN-27): an event that is too long for one receiver is dropped for it, counted, and delivered to the
// others; its neighbours in the same run arrive.
func TestPUB57(t *testing.T) {
	t.Attr("checklist", "TRN-27")
	b := newBed(t, 2, Config{})
	publisher, small, large := b.join(0), b.joinAs(1, codec.MessagePack, 512), b.join(1)
	small.subscribe(1, "t")
	large.subscribe(1, "t")
	long := strings.Repeat("x", 600)
	for i, arg := range []string{"one", long, "three"} {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{arg})
	}
	b.Settle()
	for _, arg := range []string{"one", long, "three"} {
		large.expect(codec.Event, nil, nil, values{}, []any{arg})
		if arg != long {
			small.expect(codec.Event, nil, nil, values{}, []any{arg})
		}
	}
	small.silent()
	small.open()
	if n := b.router.Stats().EventsTooLong; n != 1 {
		t.Errorf("%d events counted as too long", n)
	}
}

// TestPUB58: a subscriber's transport goes while the fan-out is under way.
func TestPUB58(t *testing.T) {
	b := newBed(t, 1, Config{})
	b.Budget, b.Chunk = 3, 1
	var peers []*peer
	for range 20 {
		p := b.join(0)
		p.subscribe(1, "t")
		peers = append(peers, p)
	}
	publisher := b.join(0)
	publisher.post(codec.Publish, 1, values{}, "t")
	b.StepLoop(0)
	b.StepLoop(0)
	peers[1].HangUp()
	peers[15].HangUp()
	b.Settle()
	for i, p := range peers {
		if i == 1 || i == 15 {
			continue
		}
		p.expect(codec.Event, nil, nil, values{})
		p.silent()
	}
	publisher.say(codec.Publish, 2, values{"acknowledge": true}, "t")
	publisher.expect(codec.Published, 2, nil)
	if publisher.Credit() != b.CreditBytes {
		t.Errorf("credit %d of %d", publisher.Credit(), b.CreditBytes)
	}
}

// TestCredit: a publisher without credit is not read until the lanes drain; nothing is lost.
func TestCredit(t *testing.T) {
	b := newBed(t, 2, Config{})
	b.CreditBytes = 100
	publisher, subscriber := b.join(0), b.join(1)
	subscriber.subscribe(1, "t")
	for i := range 50 {
		publisher.post(codec.Publish, i+1, values{}, "t", []any{int64(i)})
	}
	b.RunLoop(0) // until it may not read any more
	if publisher.Credit() > 0 {
		t.Fatalf("credit %d left of %d", publisher.Credit(), b.CreditBytes)
	}
	b.Settle()
	for i := range int64(50) {
		subscriber.expect(codec.Event, nil, nil, values{}, []any{i})
	}
	if publisher.Credit() != b.CreditBytes {
		t.Errorf("credit %d of %d", publisher.Credit(), b.CreditBytes)
	}
}

// TestSUB20: ten thousand subscriptions come and go, and the tables are as small as before.
func TestSUB20(t *testing.T) {
	b := newBed(t, 1, Config{})
	p := b.join(0)
	var ids []int64
	for i := range 10_000 {
		match := []string{"exact", "prefix", "wildcard"}[i%3]
		p.say(codec.Subscribe, i+1, values{"match": match}, fmt.Sprintf("com.t%d", i))
		ids = append(ids, p.expect(codec.Subscribed, i+1, nil)[2].(int64))
	}
	for _, id := range ids {
		p.say(codec.Unsubscribe, 1, id)
		p.expect(codec.Unsubscribed, 1)
	}
	p.HangUp()
	b.Settle()
	nothingLeft(t, b.router, b.World)
}

// TestDeliveryAllocs: what a PUBLISH allocates does not depend on how many members it reaches.
func TestDeliveryAllocs(t *testing.T) {
	per := func(members int) float64 {
		b := newBed(t, 1, Config{})
		for range members {
			b.join(0).subscribe(1, "t")
		}
		b.join(0)
		s := b.router.named["realm1"].sessions[0].head // the last to join
		msg, err := codec.AppendValue(nil, codec.MessagePack,
			[]any{int64(16), int64(1), values{}, "t", []any{strings.Repeat("x", 200)}})
		if err != nil {
			t.Fatal(err)
		}
		x := quietLoop{b.Loops[0], 4096}
		for _, other := range others(s) {
			other.conn = quietConn{other.conn}
		}
		return testing.AllocsPerRun(200, func() {
			s.handler.Receive(x, msg)
			s.EndOfBatch(x)
		})
	}
	one, many := per(1), per(1_000)
	if one != many || one > 4 {
		t.Errorf("%v allocations for one member, %v for a thousand", one, many)
	}
}
