package load

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"banyan/codec"
)

// A fake is the least router that the scenarios can run against, over RawSocket, with a place to break its promises:
// that a load passes means something only if a broken router fails it.
type fake struct {
	t *testing.T
	l net.Listener

	// fault, when set, replaces what is sent for the n-th event or result: nothing is loss, two are a duplicate.
	fault func(n int, msg []byte) [][]byte

	// enough, when set, is called at the 200th event or result: loads that run by count instead of by the clock end
	// there.
	enough func()

	mu               sync.Mutex
	sent             int // events or results
	conns            map[*fakeConn]bool
	sessions         uint64
	oneID            bool         // every session gets the id 1
	silent           bool         // GOODBYE is not answered, the connection is closed
	topics           []*fakeTopic // id is the index plus 7
	callee           *fakeConn
	calls            map[uint64]fakeCall // by invocation id
	lastCall         uint64
	serve            sync.WaitGroup
	refuse           map[codec.Type]string  // the error that answers every request of a type, or ABORT to HELLO
	oneSubscription  bool                   // every SUBSCRIBE gets the same id
	cut              int                    // the receiver of this event or result is cut off; 0 for none
	cutSender        codec.Type             // the first who sends a message of this type is cut off; 0 for none
	subscriptionsMax int                    // of a session, more are refused; 0 for any number
	bytesMax         int                    // of a message, longer ones end their connection; 0 for any length
	slow             func(m *codec.Message) // called with each message, while nobody else is served

	// history, when set, makes of the events that were kept, newest first, what get_events answers.
	history func(newest []any) []any
	kept    []any

	retained map[string][]byte // Arguments by topic
	// retain and told, when set, replace what is sent for the n-th retained event and meta event, as fault does.
	retain, told       func(n int, msg []byte) [][]byte
	retainedSent, tell int
}

type fakeConn struct {
	net.Conn
	serializer    codec.Serializer
	subscriptions int // SUBSCRIBEs so far
}

// A fakeTopic is one subscription and its members.
type fakeTopic struct {
	uri     string
	match   codec.Match
	members []*fakeConn
}

// matches is the plain rule, not a fast one.
func (t *fakeTopic) matches(uri string) bool {
	switch t.match {
	case codec.Prefix:
		return strings.HasPrefix(uri, t.uri)
	case codec.Wildcard:
		want, got := strings.Split(t.uri, "."), strings.Split(uri, ".")
		return slices.EqualFunc(want, got, func(w, g string) bool { return w == "" || w == g })
	}
	return uri == t.uri
}

type fakeCall struct {
	caller  *fakeConn
	request uint64
}

func newFake(t *testing.T) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &fake{t: t, l: l, conns: map[*fakeConn]bool{}, calls: map[uint64]fakeCall{}}
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

func (s *fake) url() string { return "rs://" + s.l.Addr().String() }

func (s *fake) accept() {
	for {
		nc, err := s.l.Accept()
		if err != nil {
			return
		}
		c := &fakeConn{Conn: nc}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.serve.Go(func() {
			defer c.Close()
			s.session(c)
		})
	}
}

func (s *fake) session(c *fakeConn) {
	var hello [4]byte
	if _, err := io.ReadFull(c, hello[:]); err != nil || hello[0] != 0x7F {
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
		if s.bytesMax > 0 && len(b) > s.bytesMax {
			return
		}
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
func (s *fake) handle(c *fakeConn, m *codec.Message) {
	ser := c.serializer
	if s.slow != nil {
		s.slow(m)
	}
	if m.Type == s.cutSender {
		s.cutSender = 0
		c.Close()
		return
	}
	if uri := s.refuse[m.Type]; uri != "" {
		refusal := codec.AppendRefusal(nil, ser, m.Type, m.Request, uri, "")
		if m.Type == codec.Hello {
			refusal = codec.AppendAbort(nil, ser, uri, "")
		}
		s.deliver(c, refusal)
		return
	}
	switch m.Type {
	case codec.Hello:
		if s.sessions++; s.oneID {
			s.sessions = 1
		}
		c.send(codec.AppendWelcome(nil, ser, s.sessions, &codec.WelcomeDetails{Realm: string(m.URI)},
			&codec.WelcomeIdentity{}))
		s.onJoin(s.sessions)
	case codec.Goodbye:
		if s.silent {
			c.Close()
			return
		}
		c.send(codec.AppendGoodbye(nil, ser, "wamp.close.goodbye_and_out", ""))
	case codec.Subscribe:
		if c.subscriptions++; s.subscriptionsMax > 0 && c.subscriptions > s.subscriptionsMax {
			c.send(codec.AppendRefusal(nil, ser, codec.Subscribe, m.Request, codec.ErrOptionNotAllowed, ""))
			return
		}
		i := slices.IndexFunc(s.topics, func(t *fakeTopic) bool {
			return t.uri == string(m.URI) && t.match == m.Options.Match
		})
		if i < 0 {
			i = len(s.topics)
			s.topics = append(s.topics, &fakeTopic{uri: string(m.URI), match: m.Options.Match})
		}
		if s.oneSubscription {
			i = 0
		}
		s.topics[i].members = append(s.topics[i].members, c)
		c.send(codec.AppendSubscribed(nil, ser, m.Request, uint64(i)+7))
		if args := s.retained[string(m.URI)]; args != nil && m.Options.Bool(codec.KeyGetRetained, false) {
			s.sendRetained(c, uint64(i)+7, args)
		}
	case codec.Unsubscribe:
		t := s.topics[m.ID-7]
		if !slices.Contains(t.members, c) {
			s.t.Errorf("the load unsubscribed from %s, which it is not subscribed to", t.uri)
		}
		t.members = slices.DeleteFunc(t.members, func(member *fakeConn) bool { return member == c })
		c.send(codec.AppendUnsubscribed(nil, ser, m.Request))
	case codec.Register:
		s.callee = c
		c.send(codec.AppendRegistered(nil, ser, m.Request, 9))
	case codec.Publish:
		if s.history != nil {
			s.keep(m)
		}
		if m.Options.Bool(codec.KeyRetain, false) {
			s.retained = map[string][]byte{string(m.URI): slices.Clone(m.Payload.Args)}
		}
		if m.Options.Bool(codec.KeyAcknowledge, false) {
			c.send(codec.AppendPublished(nil, ser, m.Request, 8))
		}
		for i, t := range s.topics {
			if !t.matches(string(m.URI)) {
				continue
			}
			for _, member := range t.members {
				event, err := codec.AppendEvent(nil, member.serializer, uint64(i)+7, 8, &codec.Details{}, &m.Payload,
					codec.MessageBytesMax)
				if err != nil {
					s.t.Error(err)
				}
				s.deliver(member, event)
			}
		}
	case codec.Call:
		if string(m.URI) == GetEvents {
			s.getEvents(c, m)
			return
		}
		if s.callee == nil {
			c.send(codec.AppendRefusal(nil, ser, codec.Call, m.Request, codec.ErrNoSuchProcedure, ""))
			return
		}
		s.lastCall++
		s.calls[s.lastCall] = fakeCall{c, m.Request}
		b, err := codec.Append(nil, ser, &codec.Message{
			Type: codec.Invocation, Format: ser, Request: s.lastCall, ID: 9, Dict: m.Dict, Payload: m.Payload,
		})
		if err != nil {
			s.t.Error(err)
		}
		s.callee.send(b)
	case codec.Yield:
		call := s.calls[m.Request]
		if !m.Options.Bool(codec.KeyProgress, false) {
			delete(s.calls, m.Request)
		}
		b, err := codec.Append(nil, ser, &codec.Message{
			Type: codec.Result, Format: ser, Request: call.request, Dict: m.Dict, Payload: m.Payload,
		})
		if err != nil {
			s.t.Error(err)
		}
		s.deliver(call.caller, b)
	default:
		s.t.Errorf("the load sent message type %d", m.Type)
	}
}

// sendRetained sends an event that is retained, or what retain makes of it. Lock held.
func (s *fake) sendRetained(c *fakeConn, subscription uint64, args []byte) {
	event, err := codec.AppendEvent(nil, c.serializer, subscription, 8, &codec.Details{Retained: true},
		&codec.Payload{Format: c.serializer, Args: args}, codec.MessageBytesMax)
	if err != nil {
		s.t.Error(err)
	}
	c.sendAll(event, s.retain, &s.retainedSent)
}

// onJoin tells the listeners of a session, or what told makes of it. Lock held.
func (s *fake) onJoin(session uint64) {
	for i, t := range s.topics {
		if t.uri != topicOnJoin {
			continue
		}
		for _, member := range t.members {
			args, err := codec.AppendValue(nil, member.serializer, []any{map[string]any{"session": session}})
			if err != nil {
				s.t.Error(err)
			}
			event, err := codec.AppendEvent(nil, member.serializer, uint64(i)+7, 8, &codec.Details{},
				&codec.Payload{Format: member.serializer, Args: args}, codec.MessageBytesMax)
			if err != nil {
				s.t.Error(err)
			}
			member.sendAll(event, s.told, &s.tell)
		}
	}
}

// sendAll sends a message, or what fault makes of the n-th.
func (c *fakeConn) sendAll(msg []byte, fault func(n int, msg []byte) [][]byte, n *int) {
	msgs := [][]byte{msg}
	if fault != nil {
		msgs = fault(*n, msg)
	}
	*n++
	for _, m := range msgs {
		c.send(m)
	}
}

// keep adds an event to the history. Lock held.
func (s *fake) keep(m *codec.Message) {
	args, err := codec.Value(m.Payload.Format, m.Payload.Args)
	if err != nil {
		s.t.Error(err)
	}
	s.kept = append(s.kept, map[string]any{"args": args})
}

// getEvents answers a query of the newest events. Lock held.
func (s *fake) getEvents(c *fakeConn, m *codec.Message) {
	kwargs, err := codec.Value(m.Payload.Format, m.Payload.Kwargs)
	if err != nil {
		s.t.Error(err)
	}
	limit, _ := kwargs.(map[string]any)["limit"].(int64)
	newest := slices.Clone(s.kept)
	slices.Reverse(newest)
	answer := codec.Message{Type: codec.Result, Format: c.serializer, Request: m.Request}
	answer.Payload.Format = c.serializer
	answer.Payload.Args, err = codec.AppendValue(nil, c.serializer, s.history(newest[:min(int(limit), len(newest))]))
	if err != nil {
		s.t.Error(err)
	}
	b, err := codec.Append(nil, c.serializer, &answer)
	if err != nil {
		s.t.Error(err)
	}
	c.send(b)
}

// deliver sends an event or result, or what fault makes of it. Lock held.
func (s *fake) deliver(c *fakeConn, msg []byte) {
	c.sendAll(msg, s.fault, &s.sent)
	if s.sent == s.cut {
		c.Close()
	}
	if s.sent == 200 && s.enough != nil {
		s.enough()
	}
}

// send writes one frame; what the other end no longer reads needs no care.
func (c *fakeConn) send(msg []byte) {
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...))
}
