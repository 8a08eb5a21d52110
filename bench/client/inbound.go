package client

import (
	"errors"
	"net"
	"time"
)

// Receive returns the next message; it is lent until the next Receive or Ready. Before it waits for the router it
// flushes. One goroutine only.
//
// Errors: *CloseError after a close frame, io.EOF after the end of the stream, a deadline error (see
// SetReadDeadline), the network's.
func (c *Conn) Receive() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if msg := c.ahead; msg != nil {
		c.ahead = nil
		return msg, nil
	}
	for {
		msg, err := c.next()
		if err == nil && msg == nil {
			err = c.fill()
			if err == nil {
				continue
			}
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				return nil, err
			}
		}
		if err != nil {
			c.err = err
			return nil, err
		}
		return msg, nil
	}
}

// Ready reports whether Receive would return without waiting for the router: a message, or the end, is in what was
// read. Pings before it are answered, in the next flush. Receiving goroutine only.
func (c *Conn) Ready() bool {
	if c.ahead == nil && c.err == nil {
		c.ahead, c.err = c.next()
	}
	return c.ahead != nil || c.err != nil
}

// Discard reads and forgets everything until the connection ends or its read deadline passes: the error says why.
// Pings are not answered. Receiving goroutine only; Receive must not be called afterwards.
func (c *Conn) Discard() error {
	b := make([]byte, discardBytes)
	for {
		if _, err := c.net.Read(b); err != nil {
			return err
		}
	}
}

// next cuts the next message out of what was read; nil without an error means that more must be read.
func (c *Conn) next() ([]byte, error) {
	switch {
	case c.websocket:
		return c.nextWebSocket()
	case c.nats:
		return c.nextNATS()
	}
	return c.nextRawSocket()
}

// fill reads once.
func (c *Conn) fill() error {
	if err := c.Flush(); err != nil && c.tail == c.head {
		// The router's ABORT or close frame may still be readable. Return the write error if it is not.
		if n, rerr := c.read(); n > 0 || rerr == nil {
			return nil
		}
		return err
	}
	_, err := c.read()
	return err
}

func (c *Conn) read() (int, error) {
	if c.tail == len(c.in) {
		c.makeRoom()
	} else if c.head == c.tail {
		c.head, c.tail = 0, 0
	}
	n, err := c.net.Read(c.in[c.tail:])
	c.readAt = time.Now()
	c.tail += n
	c.readBytes += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// makeRoom moves the unread bytes to the front, or doubles the buffer. The buffer grows with received bytes, never
// with an announced length.
func (c *Conn) makeRoom() {
	unread := c.tail - c.head
	if c.in == nil {
		c.in = make([]byte, readBufferFirst)
		return
	}
	if unread < len(c.in)/2 && len(c.in) >= c.bufferMax {
		copy(c.in, c.in[c.head:c.tail])
	} else {
		longer := make([]byte, 2*len(c.in))
		copy(longer, c.in[c.head:c.tail])
		c.in = longer
	}
	c.head, c.tail = 0, unread
}
