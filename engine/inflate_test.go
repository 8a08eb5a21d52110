//go:build linux

package engine

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// deflaters are encoders for deflated: each has more than half a megabyte.
var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed)
	return w
}}

// deflated is b as RFC 7692 7.2.1 says, by another encoder.
func deflated(b []byte) []byte {
	var z bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&z)
	_, _ = w.Write(b)
	_ = w.Flush()
	return bytes.TrimSuffix(z.Bytes(), []byte{0, 0, 0xFF, 0xFF})
}

const (
	rsv1Text   = 0xC1
	rsv1Binary = 0xC2
)

// offering is an upgrade request that offers extensions.
func offering(protocol, extensions string) []byte {
	return bytes.Replace(upgradeRequest(protocol), []byte("Upgrade: websocket"),
		[]byte("Sec-WebSocket-Extensions: "+extensions+"\r\nUpgrade: websocket"), 1)
}

// upgradeDeflate upgrades with an offer and returns what the answer says about extensions.
func (p *peer) upgradeDeflate(protocol, extensions string) string {
	p.t.Helper()
	p.send(offering(protocol, extensions))
	status, head := p.readHead()
	if status != 101 {
		p.t.Fatalf("%q", head)
	}
	_, rest, _ := strings.Cut(head, "Sec-WebSocket-Extensions: ")
	accepted, _, _ := strings.Cut(rest, "\r\n")
	return accepted
}

func dialDeflate(t testing.TB, e *Engine, protocol string) *peer {
	t.Helper()
	p := dial(t, e)
	if got := p.upgradeDeflate(protocol, "permessage-deflate; client_max_window_bits"); got == "" {
		t.Fatal("no compression was agreed on")
	}
	return p
}

const acceptedDeflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// TestDeflateNegotiation: who gets compression. Off by default, and never by itself where the connection is
// encrypted, up to the router or up to a trusted proxy.
func TestDeflateNegotiation(t *testing.T) {
	cert := newAuthority(t)
	files, _ := cert.issue("own", "ecdsa", "localhost")
	creds, err := NewCredentials(CredentialsConfig{Certificates: []CertificateFiles{files}})
	if err != nil {
		t.Fatal(err)
	}
	const https = "\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https"
	for _, c := range []struct {
		rule                  DeflateRule
		plain, encrypted, tls bool
	}{
		{DeflateOff, false, false, false},
		{DeflateUnencrypted, true, false, false},
		{DeflateAlways, true, true, true},
	} {
		live := Live{
			Deflate:        c.rule,
			TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		}
		e := start(t, Config{Live: live}, echoes)
		ask := func(headers, offer string) string {
			p := dial(t, e)
			p.send(bytes.Replace(offering("wamp.2.json", offer), []byte("Host: localhost"),
				[]byte("Host: localhost"+headers), 1))
			_, head := p.readHead()
			_, rest, _ := strings.Cut(head, "Sec-WebSocket-Extensions: ")
			accepted, _, _ := strings.Cut(rest, "\r\n")
			return accepted
		}
		want := func(yes bool) string {
			if yes {
				return acceptedDeflate
			}
			return ""
		}
		if got := ask("", "permessage-deflate"); got != want(c.plain) {
			t.Errorf("rule %d, plain: %q", c.rule, got)
		}
		if got := ask(https, "permessage-deflate"); got != want(c.encrypted) {
			t.Errorf("rule %d, TLS up to the proxy: %q", c.rule, got)
		}
		if got := ask("", "permessage-bzip2"); got != "" {
			t.Errorf("rule %d, another extension: %q", c.rule, got)
		}
		secure := startWith(t, Config{Live: live}, ListenTLS{Credentials: creds}, echoes)
		p := dialTLS(t, secure, &tls.Config{InsecureSkipVerify: true})
		if got := p.upgradeDeflate("wamp.2.json", "permessage-deflate"); got != want(c.tls) {
			t.Errorf("rule %d, TLS: %q", c.rule, got)
		}
	}
}

// TestDeflateRules: each listener has its own rule, a reload changes it for clients that come, and the counters say
// how many have it.
func TestDeflateRules(t *testing.T) {
	live := Live{Listeners: []ListenerRules{{Deflate: DeflateUnencrypted}}}
	e := start(t, Config{Live: live}, echoes)
	one := dialDeflate(t, e, "wamp.2.json")
	if n := e.Stats().Deflating; n != 1 {
		t.Errorf("%d sessions have it", n)
	}
	live.Listeners[0].Deflate = DeflateOff
	if err := e.Apply(live); err != nil {
		t.Fatal(err)
	}
	two := dial(t, e)
	if got := two.upgradeDeflate("wamp.2.json", "permessage-deflate"); got != "" {
		t.Errorf("accepted %q", got)
	}
	two.send(masked(rsv1Text, deflated([]byte("a"))))
	two.expectClose(1002)
	one.send(masked(rsv1Text, deflated([]byte("a"))))
	one.expect(serverText("a"))
	one.Close()
	eventually(t, "nobody has it", func() bool { return e.Stats().Deflating == 0 })
	live.Listeners[0].Deflate = deflateRules
	if e.Apply(live) == nil || e.Apply(Live{Deflate: deflateRules}) == nil {
		t.Error("an unknown rule was taken")
	}
}

// TestInflate: compressed messages and others, in one frame and in many, between pings, short ones and those that go
// to the pool: all in their order.
func TestInflate(t *testing.T) {
	t.Parallel()
	e := start(t, Config{Live: Live{Deflate: DeflateAlways}}, echoes)
	v := codec.MakeVariant(codec.CBOR, codec.WebSocket)
	for i, n := range []int{1, 100, inflateTo - 1, inflateTo, inflateTo + 1, chunkBytes + 1, 2*chunkBytes + 1} {
		m := patterned(n, byte(i))
		z := deflated(m)
		noise := bytes.Clone(m) // longer after than before
		for i := range noise {
			noise[i] = byte((i*i*7 + i>>3*31) * 0x9E3779B1 >> 13)
		}
		var pieces []byte
		pieces = append(pieces, masked(rsv1Binary&0x7F, z[:len(z)/3])...)
		pieces = append(pieces, ping("p")...)
		pieces = append(pieces, masked(0x00, nil)...)
		pieces = append(pieces, masked(0x80, z[len(z)/3:])...)
		all := bytes.Join([][]byte{
			masked(rsv1Binary, z), binaryMsg([]byte("plain")), pieces, masked(rsv1Binary, deflated(noise)),
			masked(rsv1Binary, deflated([]byte("last"))),
		}, nil)
		cbor := dialDeflate(t, e, "wamp.2.cbor")
		go cbor.Write(all)
		cbor.expect(frameFor(v, m))
		cbor.expect(frameFor(v, []byte("plain")))
		cbor.expect(serverPong("p"))
		cbor.expect(frameFor(v, m))
		cbor.expect(frameFor(v, noise))
		cbor.expect(frameFor(v, []byte("last")))

		letters := bytes.Repeat([]byte("ä€"), n/5+1)
		all = bytes.Join([][]byte{
			masked(rsv1Text, deflated(letters)), masked(rsv1Text, []byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}),
		}, nil)
		json := dialDeflate(t, e, "wamp.2.json")
		go json.Write(all)
		json.expect(frameFor(codec.MakeVariant(codec.JSON, codec.WebSocket), letters))
		json.expect(serverText("Hello"))
	}
	s := e.Stats()
	if s.Inflated != 7*4+7*2 || s.InflatedFrom == 0 || s.InflatedTo <= s.InflatedFrom {
		t.Errorf("counted %d messages, %d bytes became %d", s.Inflated, s.InflatedFrom, s.InflatedTo)
	}
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// TestInflateBatch: a compressed batch, its rest after a hold, and the old terminator of JSON.
func TestInflateBatch(t *testing.T) {
	e := start(t, Config{Live: Live{Deflate: DeflateAlways}}, func(x port.Executor, c port.Conn) port.Handler {
		return &session{c: c, receive: func(x port.Executor, s *session, b []byte) {
			reply(x, c, b)
			c.Hold(x)
			x.AtBatchEnd(resumes{c})
		}}
	})
	for _, end := range []string{"\x1e", "\x18"} {
		p := dialDeflate(t, e, "wamp.2.json.batched")
		for _, n := range []int{2, 3000, 100_000} { // on the loop in one frame, and in the pool
			m := string(bytes.Repeat([]byte("x"), n))
			batch := []byte(m + end + "b" + end + "c" + end)
			p.send(masked(rsv1Text, deflated(batch)), masked(rsv1Text&0x7F, deflated(batch)[:3]),
				masked(0x80, deflated(batch)[3:]))
			for range 2 {
				p.expect(serverText(m + end))
				p.expect(serverText("b" + end))
				p.expect(serverText("c" + end))
			}
		}
	}
}

type resumes struct{ c port.Conn }

func (r resumes) EndOfBatch(x port.Executor) { r.c.Resume(x) }

// TestInflateFaults: what compressed messages may not be.
func TestInflateFaults(t *testing.T) {
	e := start(t, Config{Live: Live{Deflate: DeflateAlways, MessageBytesMax: 1 << 20}}, echoes)
	long := bytes.Repeat([]byte("x"), 300_000)
	for name, c := range map[string]struct {
		frames []byte
		code   port.CloseCode
	}{
		"RSV1 on a ping":                {masked(0xC9, []byte("p")), 1002},
		"RSV1 on a close":               {masked(0xC8, []byte{3, 0xE8}), 1002},
		"RSV1 on a continuation":        {append(masked(0x41, deflated([]byte("a"))), masked(0xC0, nil)...), 1002},
		"RSV2":                          {masked(0xE1, deflated([]byte("a"))), 1002},
		"RSV3":                          {masked(0xD1, deflated([]byte("a"))), 1002},
		"invalid UTF-8":                 {masked(rsv1Text, deflated([]byte("ok\xFF"))), 1007},
		"invalid UTF-8 in the pool":     {masked(rsv1Text, deflated(append(bytes.Clone(long), 0xE2))), 1007},
		"malformed":                     {masked(rsv1Text, []byte{0x06}), 1007},
		"malformed in the pool":         {masked(rsv1Text, append(deflated(long), 0x06)), 1007},
		"malformed in pieces":           {append(masked(0x41, []byte{0x06}), masked(0x80, nil)...), 1007},
		"without octets":                {masked(rsv1Text, nil), 1007},
		"a distance before the message": {masked(rsv1Text, []byte{0x02, 0x02, 0x00, 0x00}), 1007},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialDeflate(t, e, "wamp.2.json")
			p.send(text("good"), c.frames, text("never"))
			p.expect(serverText("good"))
			p.expectClose(c.code)
		})
	}
	got := make(chan string, 10)
	open := func(_ port.Executor, c port.Conn) port.Handler {
		return &session{c: c, violate: func(_ port.Executor, _ *session, v *codec.Violation) { got <- v.Reason }}
	}
	p := dialDeflate(t, start(t, Config{Live: Live{Deflate: DeflateAlways}}, open), "wamp.2.cbor")
	p.send(masked(rsv1Binary, []byte{0}))
	if why := <-got; why != "empty message" {
		t.Errorf("%q", why)
	}
	p.expectClose(1002)
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// TestTRN08InflateLimit: the limit of a message is that of what comes out, on the loop and in the pool, before and
// after a session is joined; and that of what comes in.
func TestTRN08InflateLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1000, inflateTo - 1, inflateTo, inflateTo + 1, 1 << 20} {
		e := start(t, Config{Live: Live{Deflate: DeflateAlways, MessageBytesMax: limit}}, echoes)
		fits := bytes.Repeat([]byte("x"), limit)
		p := dialDeflate(t, e, "wamp.2.json")
		p.send(masked(rsv1Text, deflated(fits)), text("on"))
		p.expect(serverText(string(fits)))
		p.expect(serverText("on"))
		p.send(masked(rsv1Text, deflated(append(fits, 'x'))))
		p.expectClose(1009)
		p = dialDeflate(t, e, "wamp.2.json")
		p.send(masked(rsv1Text, make([]byte, limit+1))[:14])
		p.expectClose(1009)
		if n := e.Stats().TooBig; n != 2 {
			t.Errorf("limit %d: counted %d", limit, n)
		}
	}
	e := start(t, Config{Live: Live{Deflate: DeflateAlways}}, func(x port.Executor, c port.Conn) port.Handler {
		c.SetJoined(false)
		return echoes(x, c)
	})
	p := dialDeflate(t, e, "wamp.2.json")
	fits := bytes.Repeat([]byte("x"), joinBytesMax)
	p.send(masked(rsv1Text, deflated(fits)))
	p.expect(serverText(string(fits)))
	p.send(masked(rsv1Text, deflated(append(fits, 'x'))))
	p.expectClose(1009)
	// A bomb does not become longer than the limit.
	p = dialDeflate(t, e, "wamp.2.json")
	p.send(masked(rsv1Text, deflated(bytes.Repeat([]byte("x"), 32<<20))))
	p.expectClose(1009)
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// TestInflateInThePool: while the pool is busy the connection waits, what the pool may need is counted, others are
// served; a client that leaves meanwhile leaves nothing behind.
func TestInflateInThePool(t *testing.T) {
	e := start(t, Config{Loops: 1, Live: Live{Deflate: DeflateAlways}}, echoes)
	release := blockPool(t, e)
	m := bytes.Repeat([]byte("x"), 1<<20)
	z := deflated(m)
	stays, leaves := dialDeflate(t, e, "wamp.2.json"), dialDeflate(t, e, "wamp.2.json")
	other := dialDeflate(t, e, "wamp.2.json")
	stays.send(masked(rsv1Text, z), text("behind"))
	need := int64((&inflation{limit: messageBytesMax}).most(len(z)))
	if need < int64(len(m)) {
		t.Fatalf("%d bytes for %d", need, len(m))
	}
	eventually(t, "counted", func() bool { return e.Stats().PartialBytes >= need })
	before := e.Stats().PartialBytes
	leaves.send(masked(rsv1Text, z)) // waits for its turn
	eventually(t, "counted too", func() bool { return e.Stats().PartialBytes > before })
	other.send(text("served"))
	other.expect(serverText("served"))
	leaves.reset()
	eventually(t, "gone", func() bool { return e.Stats().Sessions == 2 && e.Stats().PartialBytes == before })
	close(release)
	stays.expect(serverText(string(m)))
	stays.expect(serverText("behind"))
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// TestInflateLetsOthers: DEFLATE of blocks that hold nothing takes a hundred times as long as its octets. Others have
// the pool in between, messages that are not compressed need not wait for their turn behind it, and nothing is
// inflated any more for a client that has left.
func TestInflateLetsOthers(t *testing.T) {
	first, _ := newSilent(t, Live{PingInterval: -1}, phaseWebSocket)
	l, p := first.loop, first.loop.engine.pool
	empty := append(bytes.Repeat([]byte{0, 0, 0, 0xFF, 0xFF}, 20<<10), 0)
	var conns []*conn
	for i := range 3 {
		c := holdingMessages(l, 1, 0)[0]
		c.collect(c.part, empty)
		if conns = append(conns, c); i < 2 {
			c.inflateLater(c.part)
			continue
		}
		c.joinLater(c.part, nil)
	}
	if len(p.slow) != inflatesAtOnce || len(p.work) != 1 {
		t.Fatalf("%d inflations and %d others are in the pool", len(p.slow), len(p.work))
	}
	p.do(<-p.work)
	others := 0
	for range 20 {
		w := asyncWork{loop: l, run: func(context.Context) { others++ }, done: func(port.Executor) {}}
		if !p.submit(w) {
			t.Fatal("full")
		}
	}
	p.do(<-p.slow)
	if want := len(empty) >> 14; others < want || others > want+4 {
		t.Errorf("%d others had their turn, want %d", others, want)
	}
	l.takeNotes()
	if len(p.slow) != 1 || l.inflates.underWay != 1 {
		t.Fatalf("%d inflations are in the pool, %d under way", len(p.slow), l.inflates.underWay)
	}
	c := conns[1]
	c.releasePartial(c.part)
	c.part = nil
	was := others
	p.do(<-p.slow)
	if others > was+1 {
		t.Errorf("%d others had their turn while nothing was to be done", others-was)
	}
	if l.takeNotes(); l.inflates.underWay != 0 {
		t.Errorf("%d are under way in the end", l.inflates.underWay)
	}
}

// TestInflateWithoutRoom: a pool that takes no more work is asked again.
func TestInflateWithoutRoom(t *testing.T) {
	e := start(t, Config{Loops: 1, Live: Live{Deflate: DeflateAlways}}, echoes)
	release := blockPool(t, e)
	on(e, 0, func(x port.Executor) {
		for x.Async(func(context.Context) {}, func(port.Executor) {}) {
		}
	})
	p := dialDeflate(t, e, "wamp.2.json")
	m := bytes.Repeat([]byte("x"), 1<<20)
	p.send(masked(rsv1Text, deflated(m)))
	eventually(t, "collected", func() bool { return e.Stats().PartialBytes > 0 })
	other := dialDeflate(t, e, "wamp.2.json")
	other.send(text("served"))
	other.expect(serverText("served"))
	close(release)
	p.expect(serverText(string(m)))
	eventually(t, "nothing held", func() bool { return e.Stats().PartialBytes == 0 && e.Stats().HeldBytes == 0 })
}

// TestInflateRate: what comes out counts for the bytes of a second.
func TestInflateRate(t *testing.T) {
	e := start(t, Config{Loops: 1, Live: Live{Deflate: DeflateAlways, BytesPerSecondMax: 50_000}}, echoes)
	p := dialDeflate(t, e, "wamp.2.json")
	p.send(masked(rsv1Text, deflated(bytes.Repeat([]byte("x"), 50_001))))
	eventually(t, "paused", func() bool { return e.Stats().RatePauses == 1 })
}

// TestInflateAllocates nothing for a short message.
func TestInflateAllocates(t *testing.T) {
	m := newMemoryConn(100_000)
	m.c.phase, m.c.binary = phaseWebSocket, true
	m.c.variant = codec.MakeVariant(codec.CBOR, codec.WebSocket).Deflating()
	m.c.handler = &session{c: m.c}
	m.c.credit.Store(1 << 30)
	frame := masked(rsv1Binary, deflated(bytes.Repeat([]byte("abc"), 300)))
	n := testing.AllocsPerRun(100, func() {
		b := append(m.c.loop.buffer[:0], frame...)
		m.c.webSocket(b)
	})
	if n > poolAllocates {
		t.Errorf("%v allocations", n)
	}
	if m.c.finished.Load() || m.c.hold != 0 || m.c.loop.stats.inflated.Load() < 100 {
		t.Error("not every message was handled")
	}
	// What it costs to inflate counts beside what it costs to handle the message.
	l, long := m.c.loop, deflated(bytes.Repeat([]byte("abc"), 6<<10))
	l.work = 1000
	m.c.webSocket(masked(rsv1Binary, long))
	if did := 1000 - l.work; did < 2*18 {
		t.Errorf("18 KiB are %d units of work", did)
	}
}
