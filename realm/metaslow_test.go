package realm

import (
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// TestSlowIsPublished: whoever listens is told of clients that do not read, before they leave. Without a listener, or
// a session, nothing happens.
func TestSlowIsPublished(t *testing.T) {
	b := newBed(t, 2, Config{})
	listener, slow := b.join(0), b.join(1)
	h := b.router.directory.find(slow.id).handler
	report := func(s port.Slowness) {
		b.Submit(1, func(x port.Executor) { h.Slow(x, s) })
	}
	report(port.Slowness{Slow: true})
	b.Settle()
	if b.router.named["realm1"].meta.voice != nil {
		t.Error("it is published for nobody")
	}
	listener.subscribe(1, slowTopic)
	listener.subscribe(2, "wamp.session.on_leave")
	details := func(policy string, slow, closed bool, dropped, events, bytes int64) values {
		return values{
			"policy": policy, "slow": slow, "disconnected": closed, "dropped": dropped, "unsent_events": events,
			"unsent_bytes": bytes,
		}
	}
	for policy, name := range map[port.SlowConsumer]string{
		port.Disconnect: "disconnect", port.DropNewest: "drop_newest", port.DropOldest: "drop_oldest",
		port.KeepLatest: "keep_latest",
	} {
		report(port.Slowness{Policy: policy, Slow: true, Dropped: 3, UnsentEvents: 4, UnsentBytes: 5})
		b.Settle()
		listener.expect(codec.Event, nil, nil, values{}, []any{int64(slow.id), details(name, true, false, 3, 4, 5)})
	}
	b.Submit(1, func(x port.Executor) {
		h.Slow(x, port.Slowness{Slow: true, Closed: true})
		h.Closed(x) // in the same turn
	})
	b.Settle()
	gone := details("disconnect", true, true, 0, 0, 0)
	listener.expect(codec.Event, nil, nil, values{}, []any{int64(slow.id), gone})
	listener.expect(codec.Event, nil, nil, values{}, nil)
	report(port.Slowness{Slow: true})
	b.Settle()
	listener.silent()
}
