package realm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"banyan/codec"
)

// sized is an argument list of one binary of n octets, n of at least 2^16, so that its
// head has always the same length.
func sized(n int) []any { return []any{bytes.Repeat([]byte{1}, n)} }

// warned returns a function that returns what the loops have warned of since its last call.
func (b *bed) warned() func() []string {
	var lines []string
	b.Warned = func(message string, args ...any) { lines = append(lines, fmt.Sprint(append(args, message)...)) }
	return func() []string {
		defer func() { lines = nil }()
		return lines
	}
}

// tooLongLine is the warning of events that were dropped for to.
func tooLongLine(topic string, to *peer, octets, limit, dropped int) string {
	return fmt.Sprint("topic", topic, "session", to.id, "octets", octets, "limit", limit, "dropped", dropped,
		"events are too long for a receiver; they are dropped for it")
}

// TestPUB57Told: a loop writes one line for all events that it drops in a batch because they are too long: how many,
// and what the first was.
func TestPUB57Told(t *testing.T) {
	b := newBed(t, 2, Config{})
	warned := b.warned()
	publisher, wide := b.join(0), b.join(1)
	wide.subscribe(1, "t")
	const first = 1 << 16
	publisher.say(codec.Publish, 1, values{}, "t", sized(first))
	longest := len(wide.Next())
	var narrow []*peer
	for range 3 {
		narrow = append(narrow, b.joinAs(1, codec.MessagePack, longest))
	}
	for _, p := range narrow {
		p.subscribe(1, "t")
	}
	for n, want := range [][]string{nil, {tooLongLine("t", narrow[0], longest+1, longest, 3)}} {
		for range 2 { // a line says nothing of earlier batches
			publisher.say(codec.Publish, 2, values{}, "t", sized(first+n))
			if got := warned(); !slices.Equal(got, want) {
				t.Errorf("%d octets more than fit: warned of %q, want %q", n, got, want)
			}
		}
	}
}

// TestPUB57Framing: an EVENT that RawSocket cannot carry is dropped for its receivers and counted, one octet less
// arrives; the other framings and the session's later events go on. The message grows by its details alone.
func TestPUB57Framing(t *testing.T) {
	b := newBed(t, 2, Config{})
	publisher, raw, far := b.join(0), b.joinAs(0, codec.MessagePack, 1<<24), b.joinAs(1, codec.MessagePack, 1<<24)
	web := &peer{Conn: b.Connect(1, codec.MakeVariant(codec.MessagePack, codec.WebSocketBatch), 1<<30, true), bed: b}
	web.hello("realm1")
	for _, p := range []*peer{raw, far, web} {
		p.subscribe(1, "t")
	}
	publish := func(n int) {
		publisher.say(codec.Publish, 1, values{"disclose_me": true}, "t", sized(n))
	}
	warned := b.warned()
	const first = 1 << 16
	publish(first)
	overhead := len(raw.Next()) - first
	far.Next()
	web.Next()
	for i, n := range []int{1<<24 - 1, 1 << 24, 1<<24 + 1} {
		publish(n - overhead)
		lines := warned()
		for _, p := range []*peer{raw, far, web} {
			want := n
			if n > 1<<24 && p != web {
				want = 0
			}
			if got := len(p.Next()); got != want {
				t.Errorf("EVENT %d of %d octets arrived with %d", i, n, got)
			}
			if line := tooLongLine("t", p, n, 1<<24, 1); slices.Contains(lines, line) != (want == 0) {
				t.Errorf("EVENT %d of %d octets: warned of %q", i, n, lines)
			}
		}
	}
	if n := b.router.Stats().EventsTooLong; n != 2 {
		t.Errorf("%d events counted as too long, want 2", n)
	}
	publish(first)
	for _, p := range []*peer{raw, far, web} {
		if got := len(p.Next()); got != first+overhead {
			t.Errorf("the next EVENT arrived with %d octets, want %d", got, first+overhead)
		}
		p.silent()
		p.open()
	}
}

// TestPUB57Transcoded: text that is short in MessagePack and six times as long in JSON. RawSocket carries 2^24 octets
// of it, WebSocket 64 MiB.
func TestPUB57Transcoded(t *testing.T) {
	b := newBed(t, 1, Config{})
	warned := b.warned()
	publisher, raw := b.join(0), b.joinAs(0, codec.JSON, 1<<24)
	web := &peer{Conn: b.Connect(0, codec.MakeVariant(codec.JSON, codec.WebSocket), 1<<30, true), bed: b}
	web.hello("realm1")
	raw.subscribe(1, "t")
	web.subscribe(1, "t")
	for _, c := range []struct {
		text         int
		raw, web     bool
		tooLong, bad int64
	}{
		{2 << 20, true, true, 0, 0},
		{3 << 20, false, true, 1, 0},
		{12 << 20, false, false, 3, 0},
		{1 << 20, true, true, 3, 0},
	} {
		publisher.say(codec.Publish, 1, values{}, "t", []any{strings.Repeat("\x01", c.text)})
		more := tooLongLine("t", raw, codec.MessageBytesMax+1, 1<<24, 2)
		if lines := warned(); slices.Contains(lines, more) == (c.raw || c.web) || c.raw != (lines == nil) {
			t.Errorf("%d octets of text: warned of %q", c.text, lines)
		}
		if got := len(raw.Next()) > 0; got != c.raw {
			t.Errorf("%d octets of text to RawSocket: arrived %t", c.text, got)
		}
		if got := len(web.Next()) > 0; got != c.web {
			t.Errorf("%d octets of text to WebSocket: arrived %t", c.text, got)
		}
		if s := b.router.Stats(); s.EventsTooLong != c.tooLong || s.EventsUntranscodable != c.bad {
			t.Errorf("%d octets of text: %d too long, %d untranscodable",
				c.text, s.EventsTooLong, s.EventsUntranscodable)
		}
	}
}

// TestRPC21Framing (RPC-20): INVOCATION and RESULT that no frame can carry take the way of those that the receiver
// does not accept.
func TestRPC21Framing(t *testing.T) {
	t.Attr("checklist", "RPC-20")
	b := newBed(t, 2, Config{})
	caller, callee := b.joinAs(0, codec.MessagePack, 1<<30), b.joinAs(1, codec.JSON, 1<<30)
	id := callee.register(1, "p", "single")
	long := []any{strings.Repeat("\x01", 3<<20)}
	caller.say(codec.Call, 1, values{}, "p", long)
	caller.refused(codec.Call, 1, codec.ErrPayloadSizeExceeded)
	callee.silent()
	caller.say(codec.Call, 2, values{}, "p")
	callee.expect(codec.Invocation, 1, id, values{})
	callee.say(codec.Yield, 1, values{}, sized(1<<24))
	caller.refused(codec.Call, 2, codec.ErrPayloadSizeExceeded)
	caller.silent()
	caller.open()
	callee.open()
}

// The details of an ERROR that a callee sends to a caller with another serializer have a bound of their own: they are
// transcoded on the loop. In the same serializer they pass.
func TestErrorDetailsInAnotherSerializer(t *testing.T) {
	details := func(octets int) values { // in MessagePack: a map of one, a key of two octets, a text of up to 64 KiB
		return values{"x_": strings.Repeat("a", octets-1-3-3)}
	}
	for _, c := range []struct {
		caller codec.Serializer
		octets int
		passes bool
	}{
		{codec.JSON, foreignDetailsMax, true},
		{codec.JSON, foreignDetailsMax + 1, false},
		{codec.MessagePack, foreignDetailsMax + 1, true},
	} {
		b := newBed(t, 2, Config{})
		callee, caller := b.join(0), b.joinAs(1, c.caller, 1<<20)
		callee.register(1, "p", "single")
		for request := 1; request <= 2; request++ {
			caller.say(codec.Call, request, values{}, "p")
			callee.expect(codec.Invocation, request, nil, values{})
			d := details(c.octets)
			callee.say(codec.Error, codec.Invocation, request, d, "com.error")
			if c.passes {
				caller.expect(codec.Error, codec.Call, request, d, "com.error")
			} else {
				caller.refused(codec.Call, request, codec.ErrPayloadSizeExceeded)
			}
		}
	}
}
