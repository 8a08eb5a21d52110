package realm

import (
	"testing"

	"banyan/codec"
)

// The payload [{[1]: 2}] in MessagePack: JSON has no form for a list as a key.
const listAsKey = "\x91\x81\x91\x01\x02"

// TestUntranscodableEvent: members whose serializer cannot carry an event do without it, the others get it; the
// events around it reach all.
func TestUntranscodableEvent(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher := b.join(0)
	json, msgpack := b.joinAs(1, codec.JSON, 1<<20), b.join(1)
	json.subscribe(1, "t")
	msgpack.subscribe(1, "t")
	publisher.post(codec.Publish, 1, values{}, "t", []any{"before"})
	publisher.Send([]byte("\x95\x10\x02\x80\xa1t" + listAsKey))
	publisher.post(codec.Publish, 3, values{}, "t", []any{"after"})
	b.Settle()
	json.expect(codec.Event, nil, nil, values{}, []any{"before"})
	json.expect(codec.Event, nil, nil, values{}, []any{"after"})
	json.silent()
	msgpack.expect(codec.Event, nil, nil, values{}, []any{"before"})
	if event := msgpack.Next(); event == nil || string(event[len(event)-len(listAsKey):]) != listAsKey {
		t.Errorf("event %x does not carry the payload as it was", event)
	}
	msgpack.expect(codec.Event, nil, nil, values{}, []any{"after"})
	if n := b.router.Stats().EventsUntranscodable; n != 1 {
		t.Errorf("%d events counted", n)
	}
}

// TestUntranscodableCall: the caller is told when its payload cannot be brought to the callee, or an answer to it.
func TestUntranscodableCall(t *testing.T) {
	b := newBed(t, 2, Config{})
	json, msgpack := b.joinAs(0, codec.JSON, 1<<20), b.join(1)
	json.register(1, "json", "single")
	msgpack.register(1, "msgpack", "single")

	msgpack.Send([]byte("\x95\x30\x02\x80\xa4json" + listAsKey))
	b.Settle()
	msgpack.refused(codec.Call, 2, codec.ErrInvalidArgument)
	json.silent()

	json.say(codec.Call, 2, values{}, "msgpack")
	msgpack.expect(codec.Invocation, 1, nil, values{})
	msgpack.Send([]byte("\x94\x46\x01\x80" + listAsKey))
	b.Settle()
	json.refused(codec.Call, 2, codec.ErrInvalidArgument)

	json.say(codec.Call, 3, values{}, "msgpack")
	msgpack.expect(codec.Invocation, 2, nil, values{})
	msgpack.Send([]byte("\x96\x08\x44\x02\x80\xa5com.e" + listAsKey))
	b.Settle()
	json.refused(codec.Call, 3, codec.ErrInvalidArgument)
	if n := b.router.Stats().OpenCalls; n != 0 {
		t.Errorf("%d open calls", n)
	}
}
