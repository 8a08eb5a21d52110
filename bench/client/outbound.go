package client

import (
	"fmt"
	"syscall"

	"banyan/codec"
)

// Queue frames one encoded message and appends it to the outbound buffer. It never blocks and never fails: after the
// end of the connection it drops the message, and Receive or Flush tell why.
func (c *Conn) Queue(msg []byte) {
	c.mu.Lock()
	c.appendFrame(msg)
	c.mu.Unlock()
}

// QueueMessage encodes m in the connection's serializer and queues it.
func (c *Conn) QueueMessage(m *codec.Message) error {
	b, err := codec.Append(nil, c.serializer, m)
	if err != nil {
		return err
	}
	c.Queue(b)
	return nil
}

// Send queues msg and flushes. It waits while much is queued already, so it must not be called by the receiving
// goroutine.
func (c *Conn) Send(msg []byte) error {
	if err := c.tooLong(len(msg)); err != nil {
		return err
	}
	c.Queue(msg)
	return c.FlushAndWait()
}

// FlushAndWait flushes and waits until less than 4 MiB are queued. Not for the receiving goroutine.
func (c *Conn) FlushAndWait() error {
	if err := c.Flush(); err != nil {
		return err
	}
	c.mu.Lock()
	for len(c.out) > queueBytesMax && c.failed == nil {
		c.room.Wait()
	}
	err := c.failed
	c.mu.Unlock()
	return err
}

// tooLong returns an error for a message longer than the router said it accepts.
func (c *Conn) tooLong(n int) error {
	if c.peerMax > 0 && n > c.peerMax {
		return fmt.Errorf("client: a message of %d bytes, but the router accepts %d", n, c.peerMax)
	}
	return nil
}

// Flush hands the outbound buffer to the socket. It does not block: a goroutine of its own writes what the socket
// does not take, and frames queued meanwhile follow. The error is that of an earlier write.
func (c *Conn) Flush() error {
	c.mu.Lock()
	if c.writing || len(c.out) == 0 || c.failed != nil {
		err := c.failed
		c.mu.Unlock()
		return err
	}
	c.writing = true
	for len(c.out) > 0 && c.failed == nil {
		b := c.takeOut()
		c.mu.Unlock()
		n, err := c.tryWrite(b)
		if err == nil && n < len(b) {
			go c.drain(b, n)
			return nil
		}
		c.mu.Lock()
		c.giveBack(b, err)
	}
	c.writing = false
	c.room.Broadcast()
	err := c.failed
	c.mu.Unlock()
	return err
}

// drain is Flush for a socket that is full; it owns writing.
func (c *Conn) drain(b []byte, done int) {
	_, err := c.net.Write(b[done:])
	c.mu.Lock()
	c.giveBack(b, err)
	for len(c.out) > 0 && c.failed == nil {
		b := c.takeOut()
		c.mu.Unlock()
		_, err = c.net.Write(b)
		c.mu.Lock()
		c.giveBack(b, err)
	}
	c.writing = false
	c.room.Broadcast()
	c.mu.Unlock()
}

// takeOut and giveBack swap the pair of outbound buffers around a write. Lock held.
func (c *Conn) takeOut() []byte {
	b := c.out
	c.out = c.spare[:0]
	c.spare = nil
	return b
}

func (c *Conn) giveBack(b []byte, err error) {
	if cap(b) <= queueKeepBytes {
		c.spare = b[:0]
	}
	if err != nil && c.failed == nil {
		c.failed = err
		c.out = nil
	}
	c.room.Broadcast()
}

// tryWrite writes as much as the socket takes without blocking.
func (c *Conn) tryWrite(b []byte) (n int, err error) {
	if c.raw == nil {
		return 0, nil
	}
	var werr error
	err = c.raw.Write(func(fd uintptr) bool {
		for n < len(b) {
			var k int
			k, werr = syscall.Write(int(fd), b[n:])
			if werr == syscall.EINTR {
				continue
			}
			if werr != nil {
				break
			}
			n += k
		}
		return true
	})
	if err != nil {
		return n, err
	}
	if werr == syscall.EAGAIN {
		werr = nil
	}
	return n, werr
}

// SendRaw writes bytes to the socket as they are, without a frame around them: for tests that break the rules.
func (c *Conn) SendRaw(b []byte) error {
	c.mu.Lock()
	if c.failed == nil {
		c.out = append(c.out, b...)
	}
	c.mu.Unlock()
	return c.Flush()
}

// appendFrame frames msg into out. Lock held.
func (c *Conn) appendFrame(msg []byte) {
	if c.failed != nil {
		return
	}
	switch {
	case c.websocket:
		c.appendData(msg)
	case c.nats:
		c.out = append(c.out, msg...)
	default:
		c.appendRaw(rawMessage, msg)
	}
}
