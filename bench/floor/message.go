package floor

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"banyan/codec"
)

// The fixed ids. Publication and session ids begin at idFirst, so that they are as long as a router's.
const (
	subscriptionID = 1
	registrationID = 1
	idFirst        = 1 << 52
)

// The answers to HELLO and GOODBYE, by serializer; the session id in WELCOME is patched in at welcomeAt.
var (
	welcome   [4][]byte
	welcomeAt [4]int
	goodbye   [4][]byte
)

func init() {
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		welcome[s] = codec.AppendWelcome(nil, s, idFirst, &codec.WelcomeDetails{Realm: "realm1", Agent: "floor"},
			&codec.WelcomeIdentity{})
		welcomeAt[s] = bytes.Index(welcome[s], appendUint(nil, s, idFirst))
		goodbye[s] = codec.AppendGoodbye(nil, s, "wamp.close.goodbye_and_out", "")
	}
}

// message answers or passes on one message.
func (s *Server) message(c *conn, b []byte) {
	in := input{s: c.serializer, b: b}
	head := in.list()
	kind := codec.Type(in.uint())
	switch kind {
	case codec.Publish:
		in.uint()
		in.dict()
		in.text()
		// [EVENT, subscription, publication, {}, …]: as many elements as PUBLISH has.
		var p [32]byte
		s.publication++
		prefix := appendPrefix(p[:0], in.s, head, codec.Event, subscriptionID, idFirst+s.publication)
		s.events = c.appendFrame(s.events, len(prefix)+dictLen(in.s)+len(in.rest()))
		s.events = append(s.events, prefix...)
		s.events = appendEmptyDict(s.events, in.s)
		s.events = append(s.events, in.rest()...)
	case codec.Call:
		request := in.uint()
		dict := in.dict()
		in.text()
		if len(s.callees) == 0 {
			return
		}
		to := s.callees[s.nextCallee%len(s.callees)]
		s.nextCallee++
		s.invocation++
		s.calls[s.invocation%callsMax] = call{c, c.session, request}
		var p [32]byte
		s.pass(to, appendPrefix(p[:0], in.s, head, codec.Invocation, s.invocation, registrationID), dict, in.rest())
	case codec.Yield:
		k := &s.calls[in.uint()%callsMax]
		dict := in.dict()
		if k.caller == nil || k.caller.session != k.session {
			return
		}
		var p [32]byte
		prefix := appendUint(append(p[:0], head...), in.s, uint64(codec.Result))
		s.pass(k.caller, appendUint(separate(prefix, in.s), in.s, k.request), dict, in.rest())
	case codec.Hello:
		s.sessions++
		c.session = s.sessions
		w := welcome[in.s]
		c.out = append(c.appendFrame(c.out, len(w)), w...)
		// Overwrite the id that stands there: it is as long.
		appendUint(c.out[:len(c.out)-len(w)+welcomeAt[in.s]], in.s, idFirst+s.sessions)
		s.mark(c)
	case codec.Goodbye:
		c.out = append(c.appendFrame(c.out, len(goodbye[in.s])), goodbye[in.s]...)
		s.mark(c)
	case codec.Subscribe:
		if !c.subscribed {
			c.subscribed = true
			s.subscribers = append(s.subscribers, c)
		}
		s.reply(c, codec.AppendSubscribed(nil, in.s, in.uint(), subscriptionID))
	case codec.Register:
		if !c.registered {
			c.registered = true
			s.callees = append(s.callees, c)
		}
		s.reply(c, codec.AppendRegistered(nil, in.s, in.uint(), registrationID))
	}
}

func (s *Server) reply(c *conn, msg []byte) {
	c.out = append(c.appendFrame(c.out, len(msg)), msg...)
	s.mark(c)
}

// pass queues prefix, dict and rest as one message.
func (s *Server) pass(to *conn, prefix, dict, rest []byte) {
	n := len(prefix) + len(dict) + len(rest)
	if to.serializer == codec.JSON {
		n++
	}
	out := append(to.appendFrame(to.out, n), prefix...)
	out = append(separate(out, to.serializer), dict...)
	to.out = append(out, rest...)
	s.mark(to)
}

// appendPrefix appends a list head, a type and two ids.
func appendPrefix(dst []byte, s codec.Serializer, head []byte, kind codec.Type, a, b uint64) []byte {
	dst = appendUint(append(dst, head...), s, uint64(kind))
	dst = appendUint(separate(dst, s), s, a)
	return appendUint(separate(dst, s), s, b)
}

func separate(dst []byte, s codec.Serializer) []byte {
	if s == codec.JSON {
		return append(dst, ',')
	}
	return dst
}

func dictLen(s codec.Serializer) int {
	if s == codec.JSON {
		return 3
	}
	return 1
}

// appendEmptyDict appends {} as an element that is not the first.
func appendEmptyDict(dst []byte, s codec.Serializer) []byte {
	switch s {
	case codec.JSON:
		return append(dst, ",{}"...)
	case codec.MessagePack:
		return append(dst, 0x80)
	}
	return append(dst, 0xA0)
}

func appendUint(dst []byte, s codec.Serializer, v uint64) []byte {
	switch s {
	case codec.JSON:
		return strconv.AppendUint(dst, v, 10)
	case codec.MessagePack:
		switch {
		case v < 1<<7:
			return append(dst, byte(v))
		case v < 1<<8:
			return append(dst, 0xCC, byte(v))
		case v < 1<<16:
			return append(dst, 0xCD, byte(v>>8), byte(v))
		case v < 1<<32:
			return binary.BigEndian.AppendUint32(append(dst, 0xCE), uint32(v))
		}
		return binary.BigEndian.AppendUint64(append(dst, 0xCF), v)
	}
	switch {
	case v < 24:
		return append(dst, byte(v))
	case v < 1<<8:
		return append(dst, 0x18, byte(v))
	case v < 1<<16:
		return append(dst, 0x19, byte(v>>8), byte(v))
	case v < 1<<32:
		return binary.BigEndian.AppendUint32(append(dst, 0x1A), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0x1B), v)
}
