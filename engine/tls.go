//go:build linux

package engine

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// TLS is stock crypto/tls, moved by the loop. A tls.Conn stands on a net.Conn in memory, tlsWire, that never waits:
//
//  1. handshake  the pool makes one step of it per whole record (tlshandshake.go)
//  2. read       the home loop reads once from the socket, lends the whole records to the tls.Conn, and has it
//     decrypt them in place; part of a record is kept for the next read
//  3. Send       the loop that writes the queue gathers up to one record of it, the tls.Conn encrypts it, and its
//     Write puts it on the socket: one system call. If the socket takes only part, the rest of the record is kept,
//     and the queue still counts its octets as unsent
//  4. goodbye    close_notify, when all is written
//
// Reading makes the tls.Conn write, too: alerts, and the answer to a key update. They go out in the order in which
// they were encrypted, like everything else: see tlsTransport.mu.
type tlsTransport struct {
	// Fixed when TLS begins.
	c      *conn
	socket octets

	// Written by the pool in the first step of the handshake; fixed from its end on.
	tls     *tls.Conn
	buffers tlsBuffers
	wire    tlsWire

	// Owned by loop.
	handshake *handshake // nil once it has ended
	in        []byte     // received, not decrypted: part of a record, or what a read had no time for
	whole     bool       // in begins with a whole record
	complete  bool       // the handshake has ended well
	ended     bool       // nothing more can be read
	cause     error      // why, if it is no orderly end
	raw       bool       // our side has ended: what comes is thrown away, not decrypted

	// Guarded by mu, which is the last lock that is taken: under the write lock of the tls.Conn, or alone. Records
	// enter the socket or out in the order in which they were encrypted.
	mu      sync.Mutex
	out     []byte // encrypted, and not taken by the socket yet
	outDone int    // octets of out that the socket has taken
	sealed  int    // octets of the queue's segments that out holds, and that Send has not reported
	took    int    // octets that the socket has taken
	failed  error  // the first error of the socket

	// Any goroutine.
	outHeld atomic.Int64 // bytes allocated for out; the budget knows of them
}

// octets is a transport that can also write octets as they are.
type octets interface {
	read(fd int, b []byte) (n int, err error)
	write(fd int, b []byte) (n int, err error)
	failure(fd int) error
	shutdown(fd int)
	close(fd int)
}

// errTLSWait is what the tls.Conn gets where other programs would wait for octets of the client. A tls.Conn goes on
// after a net.Error that is Temporary.
var errTLSWait net.Error = tlsWait{}

type tlsWait struct{}

func (tlsWait) Error() string   { return "engine: no whole record is there yet" }
func (tlsWait) Timeout() bool   { return false }
func (tlsWait) Temporary() bool { return true }

var (
	errTLSRecord = errors.New("a record of TLS is malformed")
	errTLSFlood  = errors.New("the client makes TLS answer and does not read the answers")
)

// A tlsWire is the net.Conn under a tls.Conn. During the handshake the goroutine of the step uses it, then whoever
// uses the tls.Conn.
type tlsWire struct {
	t         *tlsTransport
	handshake *handshake // nil once it has ended well
}

// Read gives out what a step of the handshake has. Afterwards records are lent to the tls.Conn, which reads here only
// when they are used up.
func (w *tlsWire) Read(b []byte) (int, error) {
	if w.handshake != nil {
		return w.handshake.feed(b)
	}
	return 0, errTLSWait
}

// Write puts encrypted octets on the socket, or keeps what it does not take.
func (w *tlsWire) Write(b []byte) (int, error) {
	t := w.t
	if h := w.handshake; h != nil {
		h.out = append(h.out, b...) // the pool must not touch the socket
		return len(b), nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := b
	if len(t.out) == 0 && t.failed == nil {
		n, err := t.socket.write(int(t.c.fd), b)
		if err != nil && err != outq.ErrAgain {
			t.failed = err
		}
		t.took += n
		rest = b[n:]
	}
	if len(rest) > 0 && t.failed == nil {
		t.keepOut(rest)
	}
	return len(b), t.failed
}

// keepOut keeps encrypted octets until the socket takes them. mu is held.
func (t *tlsTransport) keepOut(b []byte) {
	if len(t.out)-t.outDone+len(b) > tlsOutBytesMax {
		t.failed = errTLSFlood
		return
	}
	t.out = append(grow(t.out, len(b), tlsOutBytesMax), b...)
	t.bookOut()
}

// dropOut gives the buffer of out back. mu is held.
func (t *tlsTransport) dropOut() {
	giveBuffer(t.out)
	t.out, t.outDone = nil, 0
	t.bookOut()
}

func (t *tlsTransport) bookOut() {
	now := int64(cap(t.out))
	t.c.loop.engine.budget.input.Add(now - t.outHeld.Swap(now))
}

// Close implements net.Conn; the descriptor is the loop's business.
func (w *tlsWire) Close() error { return nil }

// The rest of net.Conn: crypto/tls asks for none of it.

// LocalAddr implements net.Conn.
func (w *tlsWire) LocalAddr() net.Addr { return nil }

// RemoteAddr implements net.Conn.
func (w *tlsWire) RemoteAddr() net.Addr { return nil }

// SetDeadline implements net.Conn.
func (w *tlsWire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (w *tlsWire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn. Closing a tls.Conn sets it.
func (w *tlsWire) SetWriteDeadline(time.Time) error { return nil }

// Send implements outq.Sender. The tls.Conn is complete, unless only its own octets are to be sent.
//
// hot: BenchmarkTLSFanout.
func (t *tlsTransport) Send(fd int, v *outq.Vectors, first *outq.Segment) (int, error) {
	t.mu.Lock()
	if len(t.out) > 0 {
		was := t.sealed
		n, err := t.push(fd)
		sealed := t.sealed
		t.mu.Unlock()
		if sealed != was {
			t.c.q.Seal(sealed)
		}
		return n, err
	}
	t.took = 0
	t.mu.Unlock()
	b := first.Gather(v, tlsRecordBytes)
	if len(b) == 0 {
		return 0, nil
	}
	if _, err := t.tls.Write(b); err != nil {
		return 0, err
	}
	t.mu.Lock()
	t.sealed = len(b)
	n := t.report(t.took)
	sealed := t.sealed
	t.mu.Unlock()
	if sealed > 0 {
		t.c.q.Seal(sealed)
	}
	return n, nil
}

// push writes what is encrypted already and returns how many octets of the queue that was. mu is held.
func (t *tlsTransport) push(fd int) (int, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	n, err := t.socket.write(fd, t.out[t.outDone:])
	if err != nil {
		return 0, err
	}
	if t.outDone += n; t.outDone == len(t.out) {
		t.dropOut()
		return t.report(n), nil
	}
	if n = t.report(n); n == 0 {
		return 0, outq.ErrAgain // or nothing might be left in the queue that brings us back
	}
	return n, nil
}

// report returns how many of the sealed octets are done, after the socket took n more octets. The last one is only
// done when all that is encrypted has been taken: so the queue is not empty before that. mu is held.
func (t *tlsTransport) report(n int) int {
	if len(t.out) > 0 {
		n = max(min(n, t.sealed-1), 0)
	} else {
		n = t.sealed
	}
	t.sealed -= n
	return n
}

// read implements transport. What it returns is decrypted in b.
func (t *tlsTransport) read(fd int, b []byte) (int, error) {
	switch {
	case t.raw:
		return t.socket.read(fd, b)
	case t.handshake != nil:
		return t.handshake.read(fd, b)
	case t.ended:
		return 0, t.cause
	}
	had := len(t.in)
	n := had
	if !t.whole {
		got, err := t.socket.read(fd, b[n:])
		if err != nil || got == 0 {
			return got, err
		}
		t.c.heard = true
		n += got
	}
	copy(b, t.in)
	records, count, bad := wholeRecords(b[:n])
	if bad {
		records = n // crypto/tls says what is wrong
	}
	t.c.loop.worked(count) // besides what its octets cost
	t.keepIn(b[records:n])
	plain, err := t.decrypt(b[:records])
	if err == nil && bad {
		err = errTLSRecord
	}
	if err != nil {
		t.keepIn(nil)
		t.ended = true
		if err != io.EOF {
			t.cause = err
		}
	}
	switch {
	case t.pending() && plain > 0:
		t.c.loop.deferConn(t.c) // the poller does not know of it
	case t.ended:
		return 0, t.cause
	case t.pending():
		t.c.loop.deferConn(t.c)
	case len(t.in) > 0:
		t.noteProgress(had, n-had)
		t.c.loop.listUnfinished(t.c)
	}
	if plain == 0 {
		return 0, outq.ErrAgain
	}
	return plain, nil
}

// noteProgress notes that so many octets have come, and that they leave part of a record; had of it was there before.
func (t *tlsTransport) noteProgress(had, octets int) {
	switch c := t.c; {
	case c.part != nil: // its octets count when they are decrypted
		c.progress = c.loop.began
	case had == 0:
		c.beginMessage()
	default:
		c.progressed(octets)
	}
}

// decrypt reads the records in b and returns how many octets of plain text are at the start of b now.
func (t *tlsTransport) decrypt(b []byte) (n int, err error) {
	t.buffers.lend(b)
	for err == nil && t.buffers.left() > 0 {
		// The plain text of a record is shorter than the record, so it never reaches what is not decrypted yet.
		var got int
		got, err = t.tls.Read(b[n:])
		n += got
	}
	if err == errTLSWait {
		err = nil
	}
	if odd := t.buffers.takeBack(); err == nil {
		err = odd
	}
	t.mu.Lock()
	left, failed := len(t.out) > 0, t.failed
	t.mu.Unlock()
	if left {
		t.wake()
	}
	if failed != nil {
		err = failed // the others follow from it
	}
	return n, err
}

// wake makes some loop call Send, though perhaps nothing is queued. Home loop only.
func (t *tlsTransport) wake() {
	c := t.c
	c.q.Lock()
	if c.q.Accepts() {
		c.q.Wake()
		c.loop.touchLocked(c)
	}
	c.q.Unlock()
}

// keepIn makes b what is received and not decrypted. b does not lie in t.in.
func (t *tlsTransport) keepIn(b []byte) {
	had := cap(t.in)
	giveBuffer(t.in)
	t.in, t.whole = nil, false
	if len(b) > 0 {
		t.in = append(takeBuffer(len(b)), b...)
		t.whole = recordLength(b) != 0
	}
	t.c.loop.book(cap(t.in) - had)
}

// pending reports that a read finds something without the socket. Home loop only.
func (t *tlsTransport) pending() bool { return t != nil && (t.whole || t.ended) && !t.raw }

// unfinished reports that part of a record is there.
func (t *tlsTransport) unfinished() bool { return t != nil && len(t.in) > 0 }

// held is how many bytes of the budget t holds.
func (t *tlsTransport) held() (n int64) {
	if t == nil {
		return 0
	}
	if t.handshake != nil {
		n = int64(t.handshake.held)
	}
	return n + int64(cap(t.in)) + t.outHeld.Load()
}

// drop gives up what was received, and a handshake that has not ended. Home loop only.
func (t *tlsTransport) drop() {
	if t == nil {
		return
	}
	if h := t.handshake; h != nil {
		h.abandon()
	}
	t.keepIn(nil)
}

// goodbye tells the client that nothing follows: close_notify. It is called when all of a finishing queue is written.
// It reports false while the socket has not taken it; then the queue is flushed once more, and the connection closed
// after that.
func (t *tlsTransport) goodbye() (done bool) {
	if t == nil || !t.complete {
		return true
	}
	_ = t.tls.CloseWrite() // only once; it fails when the client is gone
	t.mu.Lock()
	left := len(t.out) > 0 && t.failed == nil
	t.mu.Unlock()
	if left {
		t.c.q.Lock()
		t.c.q.Wake()
		t.c.loop.touchLocked(t.c)
		t.c.q.Unlock()
	}
	return !left
}

// shutdown implements transport.
func (t *tlsTransport) shutdown(fd int) {
	t.raw = true
	t.socket.shutdown(fd)
}

func (t *tlsTransport) failure(fd int) error { return t.socket.failure(fd) }

// close implements transport.
func (t *tlsTransport) close(fd int) {
	t.mu.Lock()
	t.dropOut()
	t.failed = unix.EBADF
	t.mu.Unlock()
	t.socket.close(fd)
}

// wholeRecords returns how many octets at the start of b are whole records, up to tlsRecordsPerRead of them, and how
// many records that is. bad says that the next one can never be good.
func wholeRecords(b []byte) (octets, records int, bad bool) {
	for ; records < tlsRecordsPerRead; records++ {
		n := recordLength(b[octets:])
		if n <= 0 {
			return octets, records, n < 0
		}
		octets += n
	}
	return octets, records, false
}

// recordLength returns the length of the record at the start of b with its header; 0 if it is not all there, -1 if
// its header is not good: crypto/tls says why.
func recordLength(b []byte) int {
	n, bad := wire.TLSRecord(b)
	switch {
	case bad:
		return -1
	case n > len(b):
		return 0
	}
	return n
}

// tlsSession fills in what others may know about the session of a complete handshake with c.
func (c *Credentials) tlsSession(state *tls.ConnectionState) *port.TLS {
	v := c.voucherFor(state.VerifiedChains)
	s := &port.TLS{
		Version: state.Version, CipherSuite: state.CipherSuite, ServerName: state.ServerName,
		Protocol: state.NegotiatedProtocol, Resumed: state.DidResume, Unique: state.TLSUnique,
		Trust: v.trust, Until: v.until,
	}
	if len(state.VerifiedChains) > 0 {
		s.Certificate = state.PeerCertificates[0].Raw
	}
	// It fails in TLS 1.2 without the extended master secret: then there is none.
	s.Exporter, _ = state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	return s
}
