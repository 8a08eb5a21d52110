//go:build linux

package engine

import (
	"testing"

	"banyan/codec"
)

func runChild(string) {}

func TestSmoke(t *testing.T) {
	e := start(t, Config{}, echoes)
	p := dialWS(t, e, "wamp.2.json")
	p.send(text("hello"))
	p.expect(serverText("hello"))
	p.send(ping("x"))
	p.expect(serverPong("x"))
	p.send(masked(0x88, []byte{0x03, 0xE8}))
	p.expectClose(1000)
	q := dialRaw(t, e, codec.CBOR)
	q.send(rawFrameOf([]byte("abc")))
	q.expect(rawFrameOf([]byte("abc")))
	r := dial(t, e)
	r.send([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
	status, _ := r.readHead()
	if status != 200 {
		t.Fatal(status)
	}
	r.expect([]byte("ok"))
	r.expectEnd()
}
