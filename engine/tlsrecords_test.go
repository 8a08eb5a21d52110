//go:build linux

package engine

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
)

// A forger is a client that writes its own records once crypto/tls has completed the handshake: what no client of
// good will says.
type forger struct {
	*peer
	under   *tap
	version uint16
	suite   uint16 // of TLS 1.3
	secret  []byte
	aead    cipher.AEAD
	iv      []byte
	seq     uint64
}

// forge connects and takes over.
func forge(t *testing.T, e *Engine, a *authority, version uint16) *forger {
	t.Helper()
	var log bytes.Buffer
	cfg := a.client("router.test")
	cfg.MaxVersion, cfg.KeyLogWriter = version, &log
	cfg.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	under := &tap{Conn: dial(t, e).Conn}
	c := tls.Client(under, cfg)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	f := &forger{
		peer: &peer{c, t, bufio.NewReaderSize(c, 64<<10)}, under: under, version: version,
	}
	if version == tls.VersionTLS13 {
		g := newForger(t, &log, c.ConnectionState().CipherSuite)
		f.suite, f.secret, f.aead, f.iv, f.seq = g.suite, g.secret, g.aead, g.iv, g.seq
		return f
	}
	part := strings.Fields(log.String()) // CLIENT_RANDOM, the random, the master secret
	client, _ := hex.DecodeString(part[1])
	master, _ := hex.DecodeString(part[2])
	server := under.got[11:43] // the random of the ServerHello
	block := prf(master, "key expansion", append(bytes.Clone(server), client...), 40)
	f.setKey(block[:16])
	f.iv, f.seq = block[32:36], 1 // Finished was the first
	return f
}

// newForger takes the secret of a client with TLS 1.3 out of its log of keys.
func newForger(t testing.TB, log *bytes.Buffer, suite uint16) *forger {
	t.Helper()
	f := &forger{version: tls.VersionTLS13, suite: suite}
	for line := range strings.Lines(log.String()) {
		if part := strings.Fields(line); part[0] == "CLIENT_TRAFFIC_SECRET_0" {
			f.secret, _ = hex.DecodeString(part[2])
		}
	}
	f.newKeys()
	return f
}

// prf is that of TLS 1.2 (RFC 5246 5).
func prf(secret []byte, label string, seed []byte, n int) (out []byte) {
	mac := func(b ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(bytes.Join(b, nil))
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

func expandLabel(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(n), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), n)
	if err != nil {
		panic(err)
	}
	return b
}

func (f *forger) setKey(key []byte) {
	if f.suite == tls.TLS_CHACHA20_POLY1305_SHA256 {
		f.aead, _ = chacha20poly1305.New(key)
		return
	}
	block, _ := aes.NewCipher(key)
	f.aead, _ = cipher.NewGCM(block)
}

// newKeys takes the keys of the present secret of TLS 1.3.
func (f *forger) newKeys() {
	length := 16
	if f.suite == tls.TLS_CHACHA20_POLY1305_SHA256 { // where the machine has no instructions for AES
		length = chacha20poly1305.KeySize
	}
	f.setKey(expandLabel(f.secret, "key", length))
	f.iv, f.seq = expandLabel(f.secret, "iv", 12), 0
}

// seal returns one record.
func (f *forger) seal(kind byte, content []byte) []byte {
	if f.version == tls.VersionTLS12 {
		nonce := binary.BigEndian.AppendUint64(bytes.Clone(f.iv), f.seq)
		more := append(
			binary.BigEndian.AppendUint64(nil, f.seq),
			kind,
			3,
			3,
			byte(len(content)>>8),
			byte(len(content)),
		)
		f.seq++
		n := 8 + len(content) + 16
		record := append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, nonce[4:]...)
		return f.aead.Seal(record, nonce, content, more)
	}
	nonce := bytes.Clone(f.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(f.seq >> (56 - 8*i))
	}
	f.seq++
	n := len(content) + 1 + 16
	record := []byte{23, 3, 3, byte(n >> 8), byte(n)}
	return f.aead.Seal(record, nonce, append(bytes.Clone(content), kind), record)
}

const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23
)

// keyUpdate returns a change of keys, and takes the new ones. asks says that the router is to change its, too.
func (f *forger) keyUpdate(asks bool) []byte {
	message := []byte{24, 0, 0, 1, 0}
	if asks {
		message[4] = 1
	}
	record := f.seal(recordHandshake, message)
	f.secret = expandLabel(f.secret, "traffic upd", 32)
	f.newKeys()
	return record
}

// write sends records as they are.
func (f *forger) write(records ...[]byte) {
	f.t.Helper()
	if _, err := f.under.Conn.Write(bytes.Join(records, nil)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *forger) hello() *forger {
	f.t.Helper()
	f.write(f.seal(recordData, []byte{0x7F, 0xF3, 0, 0}))
	f.expect([]byte{0x7F, 0xF3, 0, 0})
	return f
}

// RFC 8446 4.6.3: keys change whenever the client wants, and the router's when it is asked, in the middle of
// messages both ways.
func TestTLSKeyUpdate(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	f := forge(t, e, a, tls.VersionTLS13).hello()
	for i := range 20 {
		msg := rawFrameOf(patterned(3000, byte(i)))
		f.write(f.seal(recordData, msg[:1000]), f.keyUpdate(i%2 == 0), f.seal(recordData, msg[1000:]))
		f.expect(msg)
	}
	// Padding, and a warning that nobody needs.
	f.write(
		f.seal(recordAlert, []byte{1, 90}),
		f.seal(recordData, nil),
		f.seal(recordData, rawFrameOf([]byte("x"))),
	)
	f.expect(rawFrameOf([]byte("x")))
}

// Renegotiation is refused, and a client that tries is closed.
func TestTLSRenegotiationIsRefused(t *testing.T) {
	e, a := startTLS(t, Config{}, CredentialsConfig{}, echoes)
	hello := clientHello(t, a.client("router.test"))[5:]
	for _, version := range tlsVersions {
		for _, message := range [][]byte{hello, {0, 0, 0, 0}} { // ClientHello, HelloRequest
			f := forge(t, e, a, version).hello()
			f.write(f.seal(recordHandshake, message))
			_, err := f.r.ReadByte()
			if err == nil || strings.Contains(err.Error(), "timeout") {
				t.Errorf("version %x, message %d: %v", version, message[0], err)
			}
			f.Close()
		}
	}
	eventually(t, "all are closed", func() bool { return e.Stats().Connections == 0 })
}

// A client that makes TLS itself answer, and never reads the answers, is closed before they take more than one
// record. Changes of keys are handled tlsRecordsPerRead at a time at most.
func TestTLSAnswersAreBounded(t *testing.T) {
	s := newStillTLS(t, Live{})
	var log bytes.Buffer
	cfg := s.a.client("router.test")
	cfg.KeyLogWriter = &log
	c, client := s.complete(cfg)
	k := c.tls.socket.(*fakeSocket)
	f := newForger(t, &log, client.conn.ConnectionState().CipherSuite)
	k.in = f.seal(recordData, append([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf(make([]byte, 60_000))[:4]...))
	c.read()
	k.room = 10 // the socket takes that much, and then nothing
	each := 0
	for n := 1; ; n++ {
		k.in = nil
		for range tlsRecordsPerRead {
			k.in = append(k.in, f.keyUpdate(true)...)
			k.in = append(k.in, f.seal(recordData, []byte("x"))...)
		}
		for range 2 {
			const work = 1 << 30
			had := len(c.tls.out)
			s.l.work = work
			c.read()
			if spent := work - s.l.work; spent < tlsRecordsPerRead && !c.closing {
				t.Fatalf("%d records count as work of %d", tlsRecordsPerRead, spent)
			}
			if each == 0 {
				each = (len(c.tls.out) - had + 10) / (tlsRecordsPerRead / 2)
			}
		}
		if len(c.tls.out) > tlsOutBytesMax || c.tls.outHeld.Load() != int64(cap(c.tls.out)) {
			t.Fatalf("%d octets wait, %d counted", len(c.tls.out), c.tls.outHeld.Load())
		}
		s.l.bookAll()
		if all := s.e.Stats().HeldBytes; !c.closing && (all != c.held() || all < int64(len(c.tls.out))) {
			t.Fatalf("the budget counts %d bytes, the connection %d", all, c.held())
		}
		if c.closing {
			if want := tlsOutBytesMax / each / tlsRecordsPerRead; n < want ||
				n > want+2 { // the end is told by the read after
				t.Errorf("closed after %d rounds of %d octets each, want %d", n, each, want)
			}
			break
		}
		if n > 100 {
			t.Fatal("never closed")
		}
	}
	if c.cause != errTLSFlood {
		t.Errorf("cause %v", c.cause)
	}
	s.l.turn(nil)
	if n := s.e.Stats().HeldBytes; n != 0 {
		t.Errorf("%d bytes held", n)
	}
}

// A handshake message that no client needs is not collected.
func TestTLSFloods(t *testing.T) {
	t.Parallel()
	e, a := startTLS(t, Config{Loops: 1}, CredentialsConfig{}, echoes)
	good := dialTLS(t, e, a.client("router.test")).rawHello()
	for _, n := range []int{tlsMessageBytesMax, tlsMessageBytesMax + 1} {
		f := forge(t, e, a, tls.VersionTLS13).hello()
		f.write(f.seal(recordHandshake, append([]byte{24, 0, 0xF0, 0}, make([]byte, n-4)...)))
		over := n > tlsMessageBytesMax
		want := int64(2)
		if over {
			want--
		}
		eventually(t, "judged", func() bool {
			s := ask(e, func(l *loop) int { return len(l.conns) })
			return int64(s) == want
		})
		f.Close()
		eventually(t, "gone", func() bool { return e.Stats().Connections == 1 })
	}
	good.send(rawFrameOf([]byte("as ever")))
	good.expect(rawFrameOf([]byte("as ever")))
}

// A record that is never finished is closed in MessageTimeout, like a message; what a partial record takes is
// counted.
func TestTLSUnfinishedRecord(t *testing.T) {
	t.Parallel()
	e, a := startTLS(t, Config{Live: Live{MessageTimeout: 50e6}}, CredentialsConfig{}, echoes)
	f := forge(t, e, a, tls.VersionTLS13).hello()
	record := f.seal(recordData, make([]byte, 10_000))
	f.write(record[:9000])
	eventually(t, "counted and closed", func() bool { return e.Stats().MessageTimeouts == 1 })
	if _, err := io.Copy(io.Discard, f.r); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error(err)
	}
	f.Close()
	eventually(t, "gone", func() bool { return e.Stats().Connections == 0 && e.Stats().HeldBytes == 0 })
}

// An answer of TLS itself stands behind what was encrypted before it, though the socket has room again; and it goes
// out though nothing else is to be sent.
func TestTLSAnswersKeepTheirOrder(t *testing.T) {
	s := newStillTLS(t, Live{})
	var log bytes.Buffer
	cfg := s.a.client("router.test")
	cfg.KeyLogWriter = &log
	c, client := s.complete(cfg)
	f := newForger(t, &log, client.conn.ConnectionState().CipherSuite)
	k := c.tls.socket.(*fakeSocket)
	k.in = f.seal(recordData, append([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf(patterned(500, 1))...))
	c.read()
	k.room = 100
	s.l.turn(nil)
	if !c.wantWrite || len(k.capture) != 100 {
		t.Fatalf("%d octets written, the poller watches %b", len(k.capture), c.polled)
	}
	for range 2 {
		k.room = -1
		k.in = f.keyUpdate(true)
		c.read()
		c.onEvent(unix.EPOLLOUT)
		s.l.turn(nil)
		client.in, k.capture = append(client.in, k.capture...), nil
		client.step()
		want := append([]byte{0x7F, 0xF3, 0, 0}, rawFrameOf(patterned(500, 1))...)
		if client.err != nil || !bytes.Equal(client.got, want) {
			t.Fatalf("%v, %d octets", client.err, len(client.got))
		}
		if len(c.tls.out) != 0 || c.wantWrite {
			t.Fatalf("%d octets wait", len(c.tls.out))
		}
		// The next answer meets a full socket, and nothing else is queued.
		k.room = 0
		k.in = f.keyUpdate(true)
		c.read()
		s.l.turn(nil)
		if !c.wantWrite || len(c.tls.out) == 0 {
			t.Fatalf("%d octets wait, the poller watches %b", len(c.tls.out), c.polled)
		}
	}
}

// Events that a record which is partly on the wire holds are out of reach of the policies for slow clients: whatever
// is dropped, the client gets whole messages in their order.
func TestTLSDropsNothingThatIsEncrypted(t *testing.T) {
	t.Parallel()
	for name, drop := range map[string]func(q *outq.Queue) int{
		"oldest": func(q *outq.Queue) int {
			n, _ := q.DropOldest(0, 0, 0, 1<<20)
			return n
		},
		"latest": func(q *outq.Queue) int {
			n, _, _ := q.KeepLatest(7, new(outq.Pass), 1<<20)
			return n
		},
		"before": func(q *outq.Queue) int {
			n, _ := q.DropBefore(1<<40, 1<<20)
			return n
		},
	} {
		s := newStillTLS(t, Live{})
		c, client := s.complete(s.a.client("router.test"))
		k := c.tls.socket.(*fakeSocket)
		client.write([]byte{0x7F, 0xF3, 0, 0})
		k.in, client.out = client.out, nil
		c.read()
		s.l.turn(nil)
		k.room = 200 // of a record with the first 40 events
		const first, more = 40, 20
		for i := range first + more {
			if i == first {
				s.l.turn(nil)
			}
			c.AppendRun(s.l, rawFrameOf(patterned(100, byte(i))), 1, 7)
		}
		c.q.Lock()
		dropped := drop(&c.q)
		c.q.Unlock()
		if dropped == 0 || dropped > more {
			t.Errorf("%s: %d dropped of %d that are not encrypted", name, dropped, more)
		}
		for range 100 {
			k.room = 777
			c.onEvent(unix.EPOLLOUT)
			s.l.turn(nil)
		}
		c.AppendRun(s.l, rawFrameOf([]byte("late")), 1, 7)
		c.q.Lock()
		if n, _ := c.q.DropOldest(0, 0, 0, 1<<20); n != 1 {
			t.Errorf("%s: %d dropped where nothing is encrypted any more", name, n)
		}
		c.q.Unlock()
		client.in = append(client.in, k.capture...)
		client.step()
		got, at, n := client.got[4:], -1, 0
		for ; len(got) > 0; n++ {
			i := slices.IndexFunc(make([]bool, first+more), func(bool) bool {
				at++
				return at >= first+more ||
					bytes.HasPrefix(got, rawFrameOf(patterned(100, byte(at))))
			})
			if i < 0 || at >= first+more {
				t.Fatalf("%s: after %d messages comes none: %.20q", name, n, got)
			}
			got = got[104:]
		}
		if n != first+more-dropped {
			t.Errorf("%s: %d arrived, %d were dropped", name, n, dropped)
		}
	}
}
