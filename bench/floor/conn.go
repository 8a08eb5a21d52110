package floor

import (
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"

	"banyan/codec"
)

// A state is the phase of a connection.
type state uint8

const (
	stateOpening state = iota // the handshake is not complete
	stateOpen
	stateGone // close it once everything is written
)

// A conn is one connection. Owned by Run.
type conn struct {
	fd         int
	secure     *tls.Conn // nil without TLS
	state      state
	websocket  bool
	serializer codec.Serializer
	session    uint64
	subscribed bool
	registered bool
	dirty      bool // in Server.dirty
	blocked    bool // the socket is full
	armed      bool // epoll tells when it no longer is
	in         []byte
	out        []byte
}

// frames handles every whole frame of b and returns the rest.
func (s *Server) frames(c *conn, b []byte) (rest []byte) {
	for c.state == stateOpening {
		n := s.handshake(c, b)
		if n == 0 {
			return b
		}
		b = b[n:]
	}
	for c.state == stateOpen {
		var n int
		if c.websocket {
			n = s.webSocketFrame(c, b)
		} else {
			n = s.rawFrame(c, b)
		}
		if n == 0 {
			return b
		}
		b = b[n:]
	}
	return nil
}

// handshake answers an opening handshake that is whole, and returns its length.
func (s *Server) handshake(c *conn, b []byte) int {
	if len(b) > 0 && b[0] == 0x7F {
		if len(b) < 4 {
			return 0
		}
		c.serializer = codec.Serializer(b[1] & 0x0F)
		c.out = append(c.out, 0x7F, 0xF0|b[1]&0x0F, 0, 0)
		c.state = stateOpen
		s.mark(c)
		return 4
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	request := b[:end+2]
	protocol := header(request, "sec-websocket-protocol")
	switch string(protocol) {
	case "wamp.2.json":
		c.serializer = codec.JSON
	case "wamp.2.msgpack":
		c.serializer = codec.MessagePack
	case "wamp.2.cbor":
		c.serializer = codec.CBOR
	default:
		c.out = append(c.out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"...)
		c.state = stateGone
		s.mark(c)
		return end + 4
	}
	sum := sha1.Sum(append(bytes.Clone(header(request, "sec-websocket-key")),
		"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	c.out = append(c.out,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	c.out = base64.StdEncoding.AppendEncode(c.out, sum[:])
	c.out = append(c.out, "\r\nSec-WebSocket-Protocol: "...)
	c.out = append(c.out, protocol...)
	c.out = append(c.out, "\r\n\r\n"...)
	c.websocket = true
	c.state = stateOpen
	s.mark(c)
	return end + 4
}

// header returns the value of the header line called name, which is in lower case.
func header(request []byte, name string) []byte {
	for len(request) > 0 {
		end := bytes.Index(request, []byte("\r\n"))
		if end < 0 {
			return nil
		}
		line := request[:end]
		request = request[end+2:]
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

func (s *Server) rawFrame(c *conn, b []byte) int {
	if len(b) < 4 {
		return 0
	}
	n := 4 + int(binary.BigEndian.Uint32(b)&0xFFFFFF)
	if len(b) < n {
		return 0
	}
	s.message(c, b[4:n])
	return n
}

func (s *Server) webSocketFrame(c *conn, b []byte) int {
	if len(b) < 6 {
		return 0
	}
	head, n := 2, int(b[1]&0x7F)
	switch n {
	case 126:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 14 {
			return 0
		}
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	if len(b) < head+4+n {
		return 0
	}
	payload := b[head+4 : head+4+n]
	unmask(payload, binary.LittleEndian.Uint32(b[head:]))
	switch b[0] & 0x0F {
	case 8: // close: echoed, then closed
		c.out = append(c.out, 0x88, byte(n))
		c.out = append(c.out, payload...)
		c.state = stateGone
		s.mark(c)
	case 1, 2:
		s.message(c, payload)
	}
	return head + 4 + n
}

func unmask(b []byte, mask uint32) {
	wide := uint64(mask) | uint64(mask)<<32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(mask >> (8 * (i & 3)))
	}
}

// appendFrame appends the head of a frame of n octets to c.
func (c *conn) appendFrame(dst []byte, n int) []byte {
	if !c.websocket {
		return binary.BigEndian.AppendUint32(dst, uint32(n))
	}
	op := byte(0x82)
	if c.serializer == codec.JSON {
		op = 0x81
	}
	switch {
	case n < 126:
		return append(dst, op, byte(n))
	case n < 1<<16:
		return append(dst, op, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, op, 127), uint64(n))
}
