//go:build linux

package engine

import (
	"bytes"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
)

// A frame in pieces arrives whole and in its place, whatever the lengths of its pieces, between frames that were
// copied. At the bound nothing of a frame is appended.
func TestFramesInPieces(t *testing.T) {
	t.Parallel()
	frames := [][][]byte{
		{{1}, make([]byte, pieceLinked-1), {2}},
		{{3}, make([]byte, pieceLinked), {4}},
		{make([]byte, pieceLinked+1)},
		{make([]byte, 3<<20), make([]byte, 3<<20), {5}},
		{{6}},
	}
	for i, f := range frames {
		for _, p := range f {
			for k := range p {
				p[k] = byte(i*31 + k*7)
			}
		}
	}
	const limit = 8 << 20 // before the socket is tried
	e := start(t, Config{Live: Live{BacklogBytesMax: limit / 2}, Loops: 1},
		func(x port.Executor, c port.Conn) port.Handler {
			return &session{c: c, receive: func(x port.Executor, _ *session, b []byte) {
				q := &c.(*conn).q
				for _, f := range frames {
					if !reply(x, c, []byte("small")) {
						t.Error("refused")
					}
					c.Lock()
					if before := q.Bytes(); !c.AppendPieces(x, port.Invocation, f) ||
						q.Bytes() != before+len(bytes.Join(f, nil)) {
						t.Error("not appended, or not counted")
					}
					c.Unlock()
				}
				c.Lock()
				if !c.AppendPieces(x, port.Reply, frames[3]) { // beyond the bound, within the reserve
					t.Error("an answer was refused")
				}
				before := q.Bytes()
				if before < limit || c.AppendPieces(x, port.Invocation, frames[1]) || q.Bytes() != before {
					t.Errorf("%d bytes, then %d: an invocation was appended beyond the bound, or a part of it",
						before, q.Bytes())
				}
				c.Unlock()
			}}
		})
	p := dialRaw(t, e, codec.CBOR)
	for range 2 {
		p.send(rawFrameOf([]byte("go")))
		for _, f := range frames {
			p.expect(rawFrameOf([]byte("small")))
			p.expect(bytes.Join(f, nil))
		}
		p.expect(bytes.Join(frames[3], nil))
	}
}
