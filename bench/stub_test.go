package bench

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"banyan/codec"
)

// A stub is the least router that the scenarios can run against, over RawSocket, with a place to break its promises: that a load
// passes means something only if a broken router fails it.
type stub struct {
	t *testing.T
	l net.Listener

	// fault, when set, replaces what is sent for the n-th event or result: nothing is loss, two are a duplicate.
	fault func(n int, msg []byte) [][]byte

	// enough, when set, is called at the 200th event or result: loads that run by count instead of by the clock end there.
	enough func()

	mu        sync.Mutex
	sent      int // events or results
	conns     map[*stubConn]bool
	members   []*stubConn
	callee    *stubConn
	calls     map[uint64]stubCall // by invocation id
	lastCall  uint64
	serve     sync.WaitGroup
	refuseURI string // answer every CALL with this error
}

type stubConn struct {
	net.Conn
	serializer codec.Serializer
}

type stubCall struct {
	caller  *stubConn
	request uint64
}

func newStub(t *testing.T) *stub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, l: l, conns: map[*stubConn]bool{}, calls: map[uint64]stubCall{}}
	s.serve.Go(s.accept)
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for c := range s.conns {
			c.Close()
		}
		s.mu.Unlock()
		s.serve.Wait()
	})
	return s
}

func (s *stub) url() string { return "rs://" + s.l.Addr().String() }

func (s *stub) accept() {
	for {
		nc, err := s.l.Accept()
		if err != nil {
			return
		}
		c := &stubConn{Conn: nc}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.serve.Go(func() {
			defer c.Close()
			s.session(c)
		})
	}
}

func (s *stub) session(c *stubConn) {
	var hello [4]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil {
		return
	}
	c.serializer = codec.Serializer(hello[1] & 0x0F)
	c.Write([]byte{0x7F, 0xF0 | hello[1]&0x0F, 0, 0})
	var dec codec.Decoder
	for {
		var prefix [4]byte
		if _, err := io.ReadFull(c, prefix[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(prefix[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		var m codec.Message
		if err := dec.Decode(c.serializer, b, &m); err != nil {
			s.t.Errorf("the load sent an invalid message: %v", err)
			return
		}
		s.mu.Lock()
		s.handle(c, &m)
		s.mu.Unlock()
	}
}

// handle answers one message. Lock held.
func (s *stub) handle(c *stubConn, m *codec.Message) {
	ser := c.serializer
	switch m.Type {
	case codec.Hello:
		c.send(codec.AppendWelcome(nil, ser, 1, &codec.WelcomeDetails{Realm: string(m.URI)}))
	case codec.Subscribe:
		s.members = append(s.members, c)
		c.send(codec.AppendSubscribed(nil, ser, m.Request, 7))
	case codec.Register:
		s.callee = c
		c.send(codec.AppendRegistered(nil, ser, m.Request, 9))
	case codec.Publish:
		event, err := codec.AppendEvent(nil, ser, 7, 8, &codec.Details{}, &m.Payload)
		if err != nil {
			s.t.Error(err)
		}
		for _, member := range s.members {
			s.deliver(member, event)
		}
	case codec.Call:
		if s.refuseURI != "" {
			s.deliver(c, codec.AppendRefusal(nil, ser, codec.Call, m.Request, s.refuseURI, ""))
			return
		}
		s.lastCall++
		s.calls[s.lastCall] = stubCall{c, m.Request}
		b, err := codec.AppendInvocation(nil, ser, s.lastCall, 9, &codec.Details{}, &m.Payload)
		if err != nil {
			s.t.Error(err)
		}
		s.callee.send(b)
	case codec.Yield:
		call := s.calls[m.Request]
		delete(s.calls, m.Request)
		b, err := codec.AppendResult(nil, ser, call.request, &codec.Details{}, &m.Payload)
		if err != nil {
			s.t.Error(err)
		}
		s.deliver(call.caller, b)
	default:
		s.t.Errorf("the load sent message type %d", m.Type)
	}
}

// deliver sends an event or result, or what fault makes of it. Lock held.
func (s *stub) deliver(c *stubConn, msg []byte) {
	msgs := [][]byte{msg}
	if s.fault != nil {
		msgs = s.fault(s.sent, msg)
	}
	if s.sent++; s.sent == 200 && s.enough != nil {
		s.enough()
	}
	for _, m := range msgs {
		c.send(m)
	}
}

// send writes one frame; what the other end no longer reads needs no care.
func (c *stubConn) send(msg []byte) {
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
}
