package realm

import (
	"testing"

	"banyan/codec"
)

// TestPUB56FullAtOnce: the sharded set of a subscription fills while the session that made its record has no place in
// it yet. The session is refused and leaves nothing behind; listeners are told that the subscription was made, and
// that it has gone if nobody else is in it.
func TestPUB56FullAtOnce(t *testing.T) {
	for _, others := range []bool{false, true} {
		b := shardedBed(t, 2)
		p, q, other := b.join(0), b.join(1), b.join(0)
		p.say(codec.Subscribe, 1, values{"match": "prefix"}, "wamp.subscription.on_")
		hears := p.expect(codec.Subscribed, 1, nil)[2]
		for p.hear() != nil {
			continue // its own subscription
		}
		s := b.router.directory.find(q.id)
		charged, share, held := b.Charged(), s.share, s.realm.held.subscriptions.Load()
		q.post(codec.Subscribe, 1, values{"nkey": "n1"}, "t")
		b.pauseAt(1, "shards.reserve", 1)
		sub := b.router.named["realm1"].topics.Find([]byte("t"), codec.Exact)
		sub.shards.Store(&shardSet{reserved: shardsMax})
		if others {
			other.post(codec.Subscribe, 1, values{}, "t")
			b.RunLoop(0)
		}
		b.Settle()
		q.refused(codec.Subscribe, 1, codec.ErrOptionNotAllowed)
		tells := func(topic string, args any) {
			t.Helper()
			p.expect(codec.Event, hears, nil, values{"topic": "wamp.subscription." + topic}, args)
		}
		tells("on_create", nil)
		if others {
			other.expect(codec.Subscribed, 1, int64(sub.id))
			tells("on_subscribe", []any{int64(other.id), int64(sub.id)})
			other.say(codec.Unsubscribe, 2, int64(sub.id))
			other.expect(codec.Unsubscribed, 2)
			tells("on_unsubscribe", []any{int64(other.id), int64(sub.id)})
			tells("on_delete", []any{int64(other.id), int64(sub.id)})
		} else {
			tells("on_delete", []any{int64(q.id), int64(sub.id)})
		}
		p.silent()
		if n := b.Charged() - charged; n != 0 || s.share != share || len(s.subscriptions) != 0 {
			t.Errorf("%d bytes stay charged, %d of the share, %d subscriptions", n, s.share, len(s.subscriptions))
		}
		now := b.router.named["realm1"].topics.Find([]byte("t"), codec.Exact)
		if now != nil || sub.count.Load() > 0 {
			t.Errorf("%v is left, with %d members", now, sub.count.Load())
		}
		if n := s.realm.held.subscriptions.Load() - held; n != 0 {
			t.Errorf("%d more count in the quota", n)
		}
		if st := b.router.Stats(); st.ShardsRefused != 1 {
			t.Errorf("%d are counted", st.ShardsRefused)
		}
		q.subscribeAs(2, "t", "n1") // there is room again
	}
}
