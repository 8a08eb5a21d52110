package realm

import (
	"strings"
	"testing"

	"banyan/codec"
)

// extraOf is a dictionary that has n octets in MessagePack.
func extraOf(n int) values { return values{"x": strings.Repeat("a", n-6)} }

// TestAUTHMemory: what a client has a login keep is charged to the budget of the process, beyond loginBytesFree.
// Without room for it the login is refused, and that is no failure of the client's. All is given back in the end
// (AUTH-51).
func TestAUTHMemory(t *testing.T) {
	const more = 1000
	b := loginBed(t, 1, nil)
	busy := int64(0)
	offer := func(authextra int) *peer {
		p := b.far(0, codec.MessagePack, nil)
		p.offer("joe", values{"authextra": extraOf(authextra)}, "ticket")
		return p
	}
	refused := func(p *peer) {
		t.Helper()
		p.aborted(codec.ErrAuthenticationFailed)
		busy++
		if n := b.router.Stats().LoginsBusy; n != busy {
			t.Errorf("%d times busy, want %d", n, busy)
		}
	}
	charged := func(want int64) {
		t.Helper()
		if n := b.Charged(); n != want {
			t.Errorf("%d bytes are charged, want %d", n, want)
		}
	}

	b.BytesMax = 1 // HELLO: no room is needed, at most
	p := offer(loginBytesFree)
	p.challenged("ticket")
	charged(0)
	refused(offer(loginBytesFree + 2))
	charged(0)
	p.say(codec.Authenticate, ticketOf, values{}) // together they are longer
	refused(p)
	b.idle(0)

	const extra = 500
	all := int64(more + len(ticketOf) + extra)
	for _, end := range []string{"welcome", "denial", "no room", "abort", "hang-up", "timeout"} {
		b.BytesMax = more - 1
		refused(offer(loginBytesFree + more))
		b.BytesMax = more
		p := offer(loginBytesFree + more)
		p.challenged("ticket")
		charged(more)
		b.BytesMax = all // AUTHENTICATE adds what it has
		switch end {
		case "welcome":
			p.say(codec.Authenticate, ticketOf, extraOf(extra))
			p.welcomed("joe", "user", "ticket", "static")
		case "denial":
			p.say(codec.Authenticate, strings.Repeat("x", len(ticketOf)), extraOf(extra))
			p.aborted(codec.ErrAuthenticationDenied)
		case "no room":
			b.BytesMax = all - 1
			p.say(codec.Authenticate, ticketOf, extraOf(extra))
			refused(p)
		case "abort":
			p.say(codec.Abort, values{}, "wamp.error.canceled")
		case "hang-up":
			p.HangUp()
		case "timeout":
			b.Advance(defaultAuthTimeout)
			b.Settle()
			p.aborted(codec.ErrAuthenticationFailed)
		}
		b.Settle()
		charged(0)
		if t.Failed() {
			t.Fatal(end)
		}
	}
	b.idle(1)
}
