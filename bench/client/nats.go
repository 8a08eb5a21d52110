package client

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// NATS' text protocol as far as a load needs it: this file cuts the stream into units, package load gives them a
// meaning. A unit is a control line without its end, or for MSG the line, its end and the payload. It answers PING
// and drops INFO and +OK.

const (
	natsLineMax = 4 << 10 // octets of a control line; the server's own limit for clients
	natsConnect = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nPING\r\n"
)

var (
	natsEnd  = []byte("\r\n")
	natsMsg  = []byte("MSG ")
	natsPing = []byte("PING")
	natsPong = []byte("PONG")
)

// IsNATS reports whether the connection speaks NATS' protocol: Queue then takes whole lines of it, Receive returns
// units, and Join fails.
func (c *Conn) IsNATS() bool { return c.nats }

// openNATS says CONNECT and waits until the server has taken it.
func (c *Conn) openNATS() error {
	c.Queue([]byte(natsConnect))
	for {
		unit, err := c.Receive()
		if err != nil || bytes.Equal(unit, natsPong) {
			return err
		}
	}
}

func (c *Conn) nextNATS() ([]byte, error) {
	for {
		unit, n, err := natsUnit(c.in[c.head:c.tail], c.bytesMax)
		if n == 0 || err != nil {
			return nil, err
		}
		c.head += n
		switch {
		case bytes.Equal(unit, natsPing):
			c.Queue([]byte("PONG\r\n"))
		case bytes.HasPrefix(unit, []byte("-ERR")):
			return nil, fmt.Errorf("the NATS server says %s", unit)
		case bytes.HasPrefix(unit, natsMsg), bytes.Equal(unit, natsPong):
			return unit, nil
		}
	}
}

// natsUnit cuts the first unit off b and returns how many octets it took; 0 while it is incomplete.
func natsUnit(b []byte, bytesMax int) (unit []byte, n int, err error) {
	end := bytes.Index(b, natsEnd)
	if end > natsLineMax || end < 0 && len(b) > natsLineMax {
		return nil, 0, errors.New("a line of the NATS server is too long")
	}
	if end < 0 {
		return nil, 0, nil
	}
	line := b[:end]
	n = end + len(natsEnd)
	if !bytes.HasPrefix(line, natsMsg) {
		return line, n, nil
	}
	payload, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
	if err != nil || payload < 0 || payload > bytesMax {
		return nil, 0, fmt.Errorf("the NATS server says %q", line)
	}
	n += payload
	if len(b) < n+len(natsEnd) {
		return nil, 0, nil
	}
	return b[:n:n], n + len(natsEnd), nil
}
