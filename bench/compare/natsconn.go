package compare

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

const (
	natsReadBytes    = 64 << 10
	natsFlushBytes   = 32 << 10 // queued bytes that are written without waiting for flush
	natsPayloadMax   = 1 << 20  // the server's default
	natsStampBytes   = 32
	natsControlBytes = 4 << 10 // longest control line
)

// A natsConn is one client connection in NATS' text protocol. One goroutine receives; any may publish.
type natsConn struct {
	conn net.Conn

	// Owned by the receiver.
	in      *bufio.Reader
	payload []byte

	// Guarded by mu.
	mu  sync.Mutex
	out []byte
}

// A natsMessage is valid until the next receive.
type natsMessage struct {
	subject, reply string
	payload        []byte
}

// dialNATS connects and waits until the server has answered.
func dialNATS(ctx context.Context, url string) (*natsConn, error) {
	address, ok := strings.CutPrefix(url, "nats://")
	if !ok {
		return nil, fmt.Errorf("nats: address %q does not begin with nats://", url)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &natsConn{conn: conn, in: bufio.NewReaderSize(conn, natsReadBytes)}
	c.out = append(c.out, "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n"...)
	if err := c.ping(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *natsConn) close() { c.conn.Close() }

// ping waits until the server has handled everything sent so far. Nobody else may receive meanwhile.
func (c *natsConn) ping() error {
	c.mu.Lock()
	c.out = append(c.out, "PING\r\n"...)
	c.mu.Unlock()
	if err := c.flush(); err != nil {
		return err
	}
	for {
		line, err := c.control()
		if err != nil {
			return err
		}
		if bytes.Equal(line, []byte("PONG")) {
			return nil
		}
	}
}

// subscribe subscribes and waits until the server knows.
func (c *natsConn) subscribe(subjects ...string) error {
	c.mu.Lock()
	for i, subject := range subjects {
		c.out = fmt.Appendf(c.out, "SUB %s %d\r\n", subject, i+1)
	}
	c.mu.Unlock()
	return c.ping()
}

// publish queues a message, and writes when enough are queued. An error shows in flush and receive.
func (c *natsConn) publish(subject, reply string, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(append(append(c.out, "PUB "...), subject...), ' ')
	if reply != "" {
		c.out = append(append(c.out, reply...), ' ')
	}
	c.out = append(strconv.AppendInt(c.out, int64(len(payload)), 10), "\r\n"...)
	c.out = append(append(c.out, payload...), "\r\n"...)
	if len(c.out) >= natsFlushBytes {
		c.write()
	}
}

func (c *natsConn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write()
}

func (c *natsConn) write() error {
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

// control reads the next control line other than PING. It is valid until the next read.
func (c *natsConn) control() ([]byte, error) {
	for {
		line, err := c.controlOrPing()
		if err != nil || !bytes.Equal(line, natsPing) {
			return line, err
		}
	}
}

var natsPing = []byte("PING")

// controlOrPing reads one control line and answers it if it is a PING.
func (c *natsConn) controlOrPing() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	switch {
	case len(line) > natsControlBytes:
		return nil, errors.New("nats: control line too long")
	case bytes.HasPrefix(line, []byte("-ERR")):
		return nil, fmt.Errorf("nats: the server says %s", line)
	case bytes.Equal(line, natsPing):
		c.mu.Lock()
		defer c.mu.Unlock()
		c.out = append(c.out, "PONG\r\n"...)
		if err := c.write(); err != nil {
			return nil, err
		}
	}
	return line, nil
}

// receive returns the next message.
func (c *natsConn) receive() (m natsMessage, err error) {
	for {
		line, err := c.control()
		if err != nil {
			return m, err
		}
		rest, ok := bytes.CutPrefix(line, []byte("MSG "))
		if !ok {
			continue // INFO, +OK, PONG
		}
		// MSG <subject> <sid> [reply] <bytes>
		f := strings.Fields(string(rest))
		if len(f) != 3 && len(f) != 4 {
			return m, fmt.Errorf("nats: unexpected line %q", line)
		}
		n, err := strconv.Atoi(f[len(f)-1])
		if err != nil || n < 0 || n > natsPayloadMax {
			return m, fmt.Errorf("nats: unexpected line %q", line)
		}
		m.subject = f[0]
		if len(f) == 4 {
			m.reply = f[2]
		}
		if cap(c.payload) < n+2 {
			c.payload = make([]byte, n+2)
		}
		if _, err := io.ReadFull(c.in, c.payload[:n+2]); err != nil {
			return m, err
		}
		m.payload = c.payload[:n]
		return m, nil
	}
}

// ready says whether a message, or an error, is at hand. Everything else at hand is dealt with first: were it left to receive, what the
// caller still has to account for would wait for the next message, which may never come.
func (c *natsConn) ready() bool {
	for c.in.Buffered() > 0 {
		b, err := c.in.Peek(c.in.Buffered())
		if err != nil || b[0] == 'M' || b[0] == '-' {
			return true
		}
		if bytes.IndexByte(b, '\n') < 0 {
			return false
		}
		if _, err := c.controlOrPing(); err != nil {
			return false // receive meets it again
		}
	}
	return false
}

// discard reads until the connection ends.
func (c *natsConn) discard() error {
	for {
		if _, err := c.receive(); err != nil {
			return err
		}
	}
}

// A natsStamp writes and reads payloads: who sent it with the how-manieth of its messages, and the time of sending, in hexadecimal digits, then
// filling. Owned by one goroutine.
type natsStamp struct{ payload []byte }

const (
	natsFilling = 'x'
	natsSeqBits = 40 // of the 64 that sender and sequence number share
	natsSeqMask = 1<<natsSeqBits - 1
)

func newNATSStamp(bytes int) *natsStamp {
	s := &natsStamp{make([]byte, bytes)}
	for i := range s.payload {
		s.payload[i] = natsFilling
	}
	return s
}

func (s *natsStamp) write(sender int, seq, sent int64) []byte {
	var raw [natsStampBytes / 2]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(sender)<<natsSeqBits|uint64(seq))
	binary.BigEndian.PutUint64(raw[8:], uint64(sent))
	hex.Encode(s.payload, raw[:])
	return s.payload
}

func (s *natsStamp) read(b []byte) (sender int, seq, sent int64, ok bool) {
	var raw [natsStampBytes / 2]byte
	if len(b) != len(s.payload) || !bytes.Equal(b[natsStampBytes:], s.payload[natsStampBytes:]) {
		return 0, 0, 0, false
	}
	if _, err := hex.Decode(raw[:], b[:natsStampBytes]); err != nil {
		return 0, 0, 0, false
	}
	first := binary.BigEndian.Uint64(raw[:8])
	return int(first >> natsSeqBits), int64(first & natsSeqMask), int64(binary.BigEndian.Uint64(raw[8:])), true
}

// A window bounds the events on their way.
type window struct {
	mu     sync.Mutex
	room   int64
	closed bool
	more   *sync.Cond
}

func newWindow(room int64) *window {
	w := &window{room: room}
	w.more = sync.NewCond(&w.mu)
	return w
}

// take waits for room for n, after calling before when it has to wait; false when the window is closed.
func (w *window) take(n int64, before func() error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.room < n && !w.closed {
		w.mu.Unlock()
		err := before()
		w.mu.Lock()
		if err != nil {
			return false
		}
	}
	for w.room < n && !w.closed {
		w.more.Wait()
	}
	w.room -= n
	return !w.closed
}

func (w *window) give(n int64) {
	w.mu.Lock()
	w.room += n
	w.mu.Unlock()
	w.more.Signal()
}

func (w *window) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.more.Broadcast()
}
