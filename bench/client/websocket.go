package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"banyan/codec"
)

// WebSocket opcodes.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

func (c *Conn) openWebSocket(a *address, o *Options) error {
	protocol := "wamp.2." + SerializerName(c.serializer)
	if c.batched {
		protocol += ".batched"
	}
	header := http.Header{}
	for k, v := range o.Header {
		header.Set(k, v)
	}
	d := ws.Dialer{
		Protocols: []string{protocol},
		Header:    ws.HandshakeHeaderHTTP(header),
	}
	if o.OnHeader != nil {
		d.OnHeader = func(name, value []byte) error {
			o.OnHeader(string(name), string(value))
			return nil
		}
	}
	if c.deflate {
		d.Extensions = []httphead.Option{wsflate.Parameters{
			ServerNoContextTakeover: true, ClientNoContextTakeover: true,
		}.Option()}
	}
	br, hs, err := d.Upgrade(c.net, a.upgrade)
	if err != nil {
		var status ws.StatusError
		if errors.As(err, &status) {
			return fmt.Errorf("the WebSocket handshake was answered with HTTP %d %s",
				int(status), http.StatusText(int(status)))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the WebSocket handshake was answered by closing the connection")
		}
		return fmt.Errorf("WebSocket handshake: %w", err)
	}
	if br != nil {
		// Frames that came right behind the handshake.
		b, err := br.Peek(br.Buffered())
		c.in = append(make([]byte, 0, max(readBufferFirst, len(b))), b...)
		c.tail = len(c.in)
		c.in = c.in[:cap(c.in)]
		ws.PutReader(br)
		if err != nil {
			return err
		}
	}
	if hs.Protocol != protocol {
		return fmt.Errorf("the router speaks the subprotocol %q, asked for was %q", hs.Protocol, protocol)
	}
	if c.deflate {
		var p wsflate.Parameters
		if len(hs.Extensions) != 1 || p.Parse(hs.Extensions[0]) != nil || !p.ServerNoContextTakeover {
			return errors.New("the router does not compress: its option is deflate of a listener")
		}
	}
	return nil
}

// appendData appends msg as one masked data frame. Lock held.
func (c *Conn) appendData(msg []byte) {
	op := byte(opBinary)
	if c.serializer == codec.JSON {
		op = opText
	}
	if !c.batched {
		c.appendWebSocket(0x80|op, msg, nil)
		return
	}
	if c.serializer == codec.JSON {
		c.appendWebSocket(0x80|op, msg, []byte{0x1E})
		return
	}
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(msg)))
	c.appendWebSocket(0x80|op, n[:], msg)
}

// appendClose appends a close frame. Lock held.
func (c *Conn) appendClose(code uint16, reason string) {
	body := binary.BigEndian.AppendUint16(nil, code)
	c.appendWebSocket(0x80|opClose, body, []byte(reason))
}

// appendWebSocket appends one masked frame whose payload is a followed by b. first is FIN, RSV and opcode. Lock held.
func (c *Conn) appendWebSocket(first byte, a, b []byte) {
	n := len(a) + len(b)
	out := append(c.out, first)
	switch {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = append(out, 0x80|126)
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	default:
		out = append(out, 0x80|127)
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	// Masks protect proxies against scripts in browsers. A load generator may use a
	// cheap, predictable one (xorshift).
	c.mask ^= c.mask << 13
	c.mask ^= c.mask >> 7
	c.mask ^= c.mask << 17
	var mask [4]byte
	binary.LittleEndian.PutUint32(mask[:], uint32(c.mask))
	out = append(out, mask[:]...)
	start := len(out)
	out = append(out, a...)
	out = append(out, b...)
	ws.Cipher(out[start:], mask, 0)
	c.out = out
}

// SendFrame sends one WebSocket frame with the given first octet (FIN, RSV and opcode), masked: for tests of
// fragmentation, pings and broken frames.
func (c *Conn) SendFrame(first byte, payload []byte) error {
	c.mu.Lock()
	if c.failed == nil {
		c.appendWebSocket(first, payload, nil)
	}
	c.mu.Unlock()
	return c.Flush()
}

// A frame is the parsed header of a WebSocket frame.
type frame struct {
	fin            bool
	compressed     bool
	opcode         byte
	header, length int
}

// parseFrame reads a frame header of the router; ok is false while the header is incomplete.
func parseFrame(b []byte, bytesMax int, deflate bool) (f frame, ok bool, err error) {
	if len(b) < 2 {
		return f, false, nil
	}
	f.fin, f.opcode = b[0]&0x80 != 0, b[0]&0x0F
	reserved := byte(0x70)
	if deflate && (f.opcode == opText || f.opcode == opBinary) {
		f.compressed = b[0]&0x40 != 0
		reserved = 0x30
	}
	if b[0]&reserved != 0 {
		return f, false, protocolErrorf("reserved bits in a WebSocket frame")
	}
	if b[1]&0x80 != 0 {
		return f, false, protocolErrorf("a masked WebSocket frame")
	}
	f.header, f.length = 2, int(b[1])
	switch f.length {
	case 126:
		if len(b) < 4 {
			return f, false, nil
		}
		f.header, f.length = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return f, false, nil
		}
		n := binary.BigEndian.Uint64(b[2:])
		if n > uint64(2*messageBytesLimit) {
			return f, false, protocolErrorf("a WebSocket frame of %d bytes", n)
		}
		f.header, f.length = 10, int(n)
	}
	if f.opcode >= opClose && (f.length > 125 || !f.fin) {
		return f, false, protocolErrorf("a fragmented or long control frame")
	}
	if f.length > bytesMax+frameSlack {
		return f, false, protocolErrorf("a WebSocket frame of %d bytes, the limit is %d", f.length, bytesMax)
	}
	return f, true, nil
}

// frameSlack is what batching may add to a message of the greatest length.
const frameSlack = 4

func (c *Conn) nextWebSocket() ([]byte, error) {
	for {
		if len(c.batch) > 0 {
			return c.nextOfBatch()
		}
		b := c.in[c.head:c.tail]
		f, ok, err := parseFrame(b, c.bytesMax, c.deflate)
		if err != nil {
			return nil, err
		}
		if !ok || len(b) < f.header+f.length {
			return nil, nil
		}
		c.head += f.header + f.length
		payload := b[f.header : f.header+f.length]
		msg, err := c.takeFrame(f, payload)
		if err != nil {
			return nil, err
		}
		if msg == nil {
			continue
		}
		if !c.batched {
			return msg, nil
		}
		if len(msg) == 0 {
			return nil, protocolErrorf("an empty batch")
		}
		c.batch = msg
	}
}

// takeFrame handles one whole frame and returns the message it completes, or nil.
func (c *Conn) takeFrame(f frame, payload []byte) ([]byte, error) {
	switch f.opcode {
	case opText, opBinary:
		if c.opcode != 0 {
			return nil, protocolErrorf("a new message inside a fragmented one")
		}
		if (f.opcode == opText) != (c.serializer == codec.JSON) {
			return nil, protocolErrorf("a frame of the wrong type (opcode %d) for %s",
				f.opcode, SerializerName(c.serializer))
		}
		if f.fin {
			return c.whole(f.opcode, f.compressed, payload)
		}
		c.opcode, c.deflated = f.opcode, f.compressed
		c.fragments = append(c.fragments[:0], payload...)
	case opContinuation:
		if c.opcode == 0 {
			return nil, protocolErrorf("a continuation frame without a beginning")
		}
		if len(c.fragments)+len(payload) > c.bytesMax+frameSlack {
			return nil, protocolErrorf("a fragmented message above the limit of %d bytes", c.bytesMax)
		}
		c.fragments = append(c.fragments, payload...)
		if f.fin {
			op := c.opcode
			c.opcode = 0
			return c.whole(op, c.deflated, c.fragments)
		}
	case opPing:
		c.mu.Lock()
		if c.failed == nil {
			c.appendWebSocket(0x80|opPong, payload, nil)
		}
		c.mu.Unlock()
	case opPong:
	case opClose:
		return nil, c.closeFrame(payload)
	default:
		return nil, protocolErrorf("WebSocket opcode %d", f.opcode)
	}
	return nil, nil
}

func (c *Conn) whole(opcode byte, compressed bool, msg []byte) ([]byte, error) {
	if compressed {
		c.chunk = append(c.chunk[:0], msg)
		var err error
		c.inflated, err = codec.Inflate(c.inflated[:0], c.chunk, c.bytesMax+frameSlack, moreRoom, nil)
		if err != nil {
			return nil, protocolErrorf("a compressed message: %v", err)
		}
		msg = c.inflated
	}
	if opcode == opText && !utf8.Valid(msg) {
		return nil, protocolErrorf("a text message that is not UTF-8")
	}
	if msg == nil {
		msg = []byte{}
	}
	return msg, nil
}

func moreRoom(b []byte) []byte { return append(make([]byte, 0, 2*cap(b)+readBufferFirst), b...) }

// closeFrame answers a close frame with its echo and tells its code.
func (c *Conn) closeFrame(payload []byte) error {
	e := &CloseError{Code: 1005}
	echo := uint16(1000)
	if len(payload) >= 2 {
		echo = binary.BigEndian.Uint16(payload)
		e.Code = int(echo)
		e.Reason = string(payload[2:])
	}
	c.mu.Lock()
	if c.failed == nil && !c.closed {
		c.appendClose(echo, "")
	}
	c.mu.Unlock()
	c.Flush()
	return e
}

// nextOfBatch cuts one message from the batch at hand (PROTOCOL 13.2).
func (c *Conn) nextOfBatch() ([]byte, error) {
	b := c.batch
	if c.serializer == codec.JSON {
		for i, o := range b {
			if o == 0x1E || o == 0x18 {
				c.batch = b[i+1:]
				return b[:i:i], nil
			}
		}
		return nil, protocolErrorf("a batch without its last terminator")
	}
	if len(b) < 4 {
		return nil, protocolErrorf("a batch with a truncated length")
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, protocolErrorf("a batch entry of %d bytes with %d left", n, len(b)-4)
	}
	c.batch = b[4+n:]
	return b[4 : 4+n : 4+n], nil
}
