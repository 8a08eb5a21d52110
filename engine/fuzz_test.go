//go:build linux

package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A memoryConn is a connection without a socket: bytes go into its parser as reads would bring them, and what it
// handled and answered can be looked at.
type memoryConn struct {
	c        *conn
	messages []string
}

func newMemoryConn(limit int) *memoryConn {
	cfg := Config{
		Live: Live{
			MessageBytesMax: limit, ConnectionsMax: 1, PingInterval: -1, Deflate: DeflateAlways,
		}, Listen: []string{"-"}, Loops: 1,
		Log: quiet(), BudgetBytes: budgetBytesMin,
	}
	if err := cfg.check(); err != nil {
		panic(err)
	}
	m := &memoryConn{}
	m.c = newStillConn(newEngine(cfg, m.open))
	return m
}

// another makes a connection beside m on the same loop. Only this one can open a session from now on.
func (m *memoryConn) another() *memoryConn {
	n := &memoryConn{}
	n.c = newConnOn(m.c.loop)
	m.c.loop.engine.opener = n.open
	return n
}

func (m *memoryConn) open(_ port.Executor, c port.Conn) port.Handler {
	return &session{
		c:       c,
		receive: func(_ port.Executor, _ *session, b []byte) { m.messages = append(m.messages, string(b)) },
		violate: func(port.Executor, *session, *codec.Violation) { m.messages = append(m.messages, "violation") },
	}
}

// read does what conn.read does with bytes from a socket.
func (m *memoryConn) read(piece []byte) {
	if len(piece) == 0 || m.c.finished.Load() {
		return
	}
	data := append(bytes.Clone(m.c.in), piece...)
	used := m.c.handle(data)
	if used < 0 || used > len(data) {
		panic(fmt.Sprintf("used %d of %d", used, len(data)))
	}
	m.c.in = data[used:]
	if len(m.c.in) > headroom {
		panic(fmt.Sprintf("%d bytes kept", len(m.c.in)))
	}
	if p := m.c.part; p != nil && cap(p.buf) > 2*len(p.buf)+1<<bufferShiftMin {
		panic(fmt.Sprintf("%d bytes allocated for %d", cap(p.buf), len(p.buf)))
	}
}

// written is everything the connection answered.
func (m *memoryConn) written() []byte {
	var out []byte
	m.c.q.Flush((*capture)(&out), nil, 0, 0)
	return out
}

// sameInPieces feeds a stream whole and in pieces: the messages and the outcome do not depend on where it was cut.
func sameInPieces(t *testing.T, stream []byte, limit int, cut func(left int) int) {
	t.Helper()
	whole := newMemoryConn(limit)
	whole.read(stream)
	pieces := whole.another() // a loop of its own would take far longer than the streams
	for rest := stream; len(rest) > 0; {
		n := min(max(cut(len(rest)), 1), len(rest))
		pieces.read(rest[:n])
		rest = rest[n:]
	}
	if !slices.Equal(whole.messages, pieces.messages) {
		t.Fatalf("%q\nwhole  %q\npieces %q", stream, whole.messages, pieces.messages)
	}
	if whole.c.phase != pieces.c.phase || whole.c.finished.Load() != pieces.c.finished.Load() {
		t.Fatalf("%q: whole in phase %d, pieces in phase %d", stream, whole.c.phase, pieces.c.phase)
	}
	if bytes.Count(stream, []byte{0x89}) < pongsPerRead && !bytes.Equal(whole.written(), pieces.written()) {
		t.Fatalf("%q\nwhole  answered %q\npieces answered %q", stream, whole.written(), pieces.written())
	}
}

func webSocketSeeds() [][]byte {
	upgrade := upgradeRequest("wamp.2.json")
	batched := upgradeRequest("wamp.2.json.batched")
	deflating := offering("wamp.2.json", "permessage-deflate")
	deflatingPack := offering("wamp.2.msgpack.batched", "permessage-deflate; server_max_window_bits=15")
	pack := upgradeRequest("wamp.2.msgpack.batched")
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return [][]byte{
		join(upgrade, text("[1]"), text("[2,\"ä\"]"), ping("p"), masked(0x88, []byte{3, 0xE8, 'b'})),
		join(upgrade, masked(0x01, []byte("a\xE2")), ping(""), masked(0x00, []byte("\x82")),
			masked(0x80, []byte("\xAC"))),
		join(upgrade, text(string(bytes.Repeat([]byte("x"), 700))), binaryMsg([]byte("wrong"))),
		join(upgrade, masked(0x01, []byte("\xED\xA0")), text("never")),
		join(batched, text("[1]\x1e[2]\x1e"), text("[3]\x18"), text("[4]")),
		join(pack, binaryMsg([]byte("\x00\x00\x00\x01a\x00\x00\x00\x02bc")), binaryMsg([]byte("\x00\x00\x00\x09a"))),
		join(upgrade, []byte{0x81, 0xFE, 0x04}),
		join(deflating, masked(rsv1Text, deflated([]byte("[1]"))), text("[2]"),
			masked(0x41, deflated(bytes.Repeat([]byte("[3]"), 100))[:5]), ping("p"),
			masked(0x80, deflated(bytes.Repeat([]byte("[3]"), 100))[5:]), masked(rsv1Text, deflated([]byte("\xFF")))),
		join(deflating, masked(rsv1Text, deflated(bytes.Repeat([]byte("x"), 1024))),
			masked(rsv1Text, deflated(bytes.Repeat([]byte("x"), 1025)))),
		join(deflatingPack, masked(rsv1Binary, deflated([]byte("\x00\x00\x00\x01a\x00\x00\x00\x02bc"))),
			masked(0xC9, []byte("p"))),
		join(upgrade, []byte{0x81, 0xFF, 0x80}),
		[]byte("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
		[]byte("POST / HTTP/1.0\r\nX"),
	}
}

func rawSocketSeeds() [][]byte {
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	hello := []byte{0x7F, 0xF1, 0, 0}
	return [][]byte{
		join(hello, rawFrameOf([]byte("[1]")), wire.AppendRawFrame(nil, wire.RawPing, []byte("p")),
			rawFrameOf([]byte("[2]"))),
		join(hello, wire.AppendRawFrame(nil, wire.RawPong, nil), rawFrameOf(bytes.Repeat([]byte("x"), 800)),
			[]byte{0, 0, 0, 0}),
		join(hello, rawFrameOf([]byte("[1]")), []byte{8, 0, 0, 0}, []byte("x")),
		join(hello, []byte{3, 0, 0, 1, 'x'}),
		{0x7F, 0xF9, 0, 0},
		{0x7F, 0xF1, 0, 1},
		{0x16, 0x03, 0x01},
	}
}

func FuzzWebSocket(f *testing.F) {
	for _, s := range webSocketSeeds() {
		f.Add(s, uint8(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		sameInPieces(t, stream, 1024, func(int) int { return int(step) })
	})
}

func FuzzRawSocket(f *testing.F) {
	for _, s := range rawSocketSeeds() {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		sameInPieces(t, stream, 1024, func(int) int { return int(step) })
	})
}

// LIM-02 in small: mutated traffic never breaks the parsers, and its outcome does not depend on how it was cut.
func TestLIM02MutatedStreams(t *testing.T) {
	t.Parallel()
	seeds := append(webSocketSeeds(), rawSocketSeeds()...)
	for seed := range uint64(6000) {
		rnd := rand.New(rand.NewPCG(seed, 6))
		stream := bytes.Clone(seeds[rnd.IntN(len(seeds))])
		for range rnd.IntN(4) {
			at := rnd.IntN(len(stream) + 1)
			switch rnd.IntN(4) {
			case 0:
				stream = stream[:at]
			case 1:
				stream = slices.Insert(stream, at, byte(rnd.Uint32()))
			case 2:
				if at < len(stream) {
					stream[at] ^= 1 << rnd.IntN(8)
				}
			default:
				other := seeds[rnd.IntN(len(seeds))]
				stream = append(stream, other[rnd.IntN(len(other)):]...)
			}
		}
		longest := 1 + rnd.IntN(100)
		sameInPieces(t, stream, 1024, func(int) int { return 1 + rnd.IntN(longest) })
	}
}
