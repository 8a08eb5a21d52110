package realm

import (
	"testing"

	"banyan/codec"
)

// TestForbidDisclosure: a realm that forbids it refuses to disclose a publisher (PUB-24, PUB-25), a caller (RPC-76)
// and every caller of a callee (RPC-78).
func TestForbidDisclosure(t *testing.T) {
	t.Attr("checklist", "PUB-24 PUB-25 RPC-76 RPC-78")
	const forbidden = codec.ErrOptionDisallowedDiscloseMe
	b := newBed(t, 2, Config{Realms: []RealmConfig{{URI: "realm1", ForbidDisclosure: true}}})
	one, two := b.join(0), b.join(1)
	two.subscribe(1, "t")
	one.say(codec.Publish, 1, values{"disclose_me": true}, "t")
	one.silent()
	one.say(codec.Publish, 2, values{"disclose_me": true, "acknowledge": true}, "t")
	one.refused(codec.Publish, 2, forbidden)
	two.silent()

	two.register(2, "p", "single")
	one.say(codec.Call, 3, values{"disclose_me": true}, "p")
	one.refused(codec.Call, 3, forbidden)
	two.silent()
	one.say(codec.Call, 4, values{"disclose_me": false}, "p")
	two.expect(codec.Invocation, 1, nil, values{})

	two.say(codec.Register, 3, values{"disclose_caller": true}, "q")
	two.refused(codec.Register, 3, forbidden)
}
