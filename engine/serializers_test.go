//go:build linux

package engine

import (
	"testing"

	"banyan/engine/internal/wire"
)

// TestSER24: UBJSON and FlatBuffers are not spoken: their subprotocols are refused, and their numbers in RawSocket.
func TestSER24(t *testing.T) {
	e := start(t, Config{}, echoes)
	for _, protocol := range []string{
		"wamp.2.ubjson", "wamp.2.ubjson.batched", "wamp.2.flatbuffers", "wamp.2.flatbuffers.batched",
	} {
		p := dial(t, e)
		p.send(upgradeRequest(protocol))
		if status, head := p.readHead(); status != 400 {
			t.Errorf("%s: %q", protocol, head)
		}
	}
	for _, serializer := range []byte{4, 5} {
		p := dial(t, e)
		p.send([]byte{wire.RawMagic, 0xF0 | serializer, 0, 0})
		p.expect([]byte{wire.RawMagic, 0x10, 0, 0})
		p.expectEnd()
	}
}
