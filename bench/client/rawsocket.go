package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

// RawSocket frame types (PROTOCOL 13.3).
const (
	rawMessage = 0
	rawPing    = 1
	rawPong    = 2
)

// rawErrors are the reasons of a refused RawSocket handshake.
var rawErrors = [...]string{
	1: "serializer unsupported",
	2: "maximum message length unacceptable",
	3: "reserved bits used",
	4: "maximum connection count reached",
}

func (c *Conn) openRawSocket() error {
	// L announces 2^(9+L) octets.
	exponent := max(bits.Len(uint(c.bytesMax-1)), 9)
	c.bytesMax = 1 << exponent
	hello := [4]byte{0x7F, byte(exponent-9)<<4 | byte(c.serializer)}
	if _, err := c.net.Write(hello[:]); err != nil {
		return err
	}
	var reply [4]byte
	if _, err := io.ReadFull(c.net, reply[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the RawSocket handshake was answered by closing the connection")
		}
		return err
	}
	if reply[0] != 0x7F || reply[2] != 0 || reply[3] != 0 {
		return fmt.Errorf("the RawSocket handshake was answered with % x", reply)
	}
	if reply[1]&0x0F == 0 {
		code := int(reply[1] >> 4)
		if code > 0 && code < len(rawErrors) {
			return fmt.Errorf("the router refused the RawSocket handshake: %s", rawErrors[code])
		}
		return fmt.Errorf("the router refused the RawSocket handshake with error %d", code)
	}
	if reply[1]&0x0F != byte(c.serializer) {
		return fmt.Errorf("the router chose serializer %d, asked for was %d", reply[1]&0x0F, c.serializer)
	}
	c.peerMax = 1 << (9 + reply[1]>>4)
	return nil
}

// appendRaw appends one RawSocket frame. Lock held.
func (c *Conn) appendRaw(kind byte, payload []byte) {
	prefix := uint32(kind)<<24 | uint32(len(payload))
	if len(payload) == 1<<24 {
		prefix = uint32(kind|0x08) << 24 // X: exactly 2^24 octets
	}
	c.out = binary.BigEndian.AppendUint32(c.out, prefix)
	c.out = append(c.out, payload...)
}

// rawLength reads a frame prefix.
func rawLength(b []byte) (kind byte, length int) {
	prefix := binary.BigEndian.Uint32(b)
	kind, length = byte(prefix>>24), int(prefix&0xFFFFFF)
	if kind&0x08 != 0 && length == 0 {
		return kind &^ 0x08, 1 << 24
	}
	return kind, length
}

func (c *Conn) nextRawSocket() ([]byte, error) {
	for {
		b := c.in[c.head:c.tail]
		if len(b) < 4 {
			return nil, nil
		}
		kind, n := rawLength(b)
		if kind > rawPong {
			return nil, protocolErrorf("a RawSocket frame with the first octet %02x", b[0])
		}
		if n > c.bytesMax {
			return nil, protocolErrorf("a RawSocket frame of %d bytes, announced was a limit of %d", n, c.bytesMax)
		}
		if len(b) < 4+n {
			return nil, nil
		}
		c.head += 4 + n
		payload := b[4 : 4+n : 4+n]
		switch kind {
		case rawPing:
			c.mu.Lock()
			if c.failed == nil {
				c.appendRaw(rawPong, payload)
			}
			c.mu.Unlock()
		case rawMessage:
			if n == 0 {
				return nil, protocolErrorf("an empty RawSocket frame")
			}
			return payload, nil
		}
	}
}
