package realm

import (
	"strconv"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
)

// A session is one peer's membership in one realm, from WELCOME to its disposal.
type session struct {
	// Fixed at join; any goroutine may read.
	id         uint64
	realm      *realm
	handler    *handler
	conn       port.Conn
	home       int
	variant    codec.Variant
	serializer codec.Serializer
	roles      codec.Roles
	bytesMax   int            // the longest message the peer accepts
	identity   codec.Identity // that has joined; see who
	admission  *admission     // nil: local, or anonymous in a realm without Auth
	local      bool           // of this process: counts for no quota
	trusted    bool           // of the router itself: needs no permission
	hidden     bool           // an asker's or a voice's: on no list, in no figure; it subscribes to nothing

	// Guarded by conn lock.
	live           bool  // false: nothing may be appended for this session any more
	calls          calls // open calls as caller, by request id
	callsPaid      int   // of calls, how many are charged to the budget beside the first callsStep
	invocations    calls // open invocations as callee, by invocation id
	lastInvocation uint64
	wrapped        bool // lastInvocation has passed 2^53 once

	// Any goroutine.
	altered atomic.Pointer[alteration] // nil, unless its details have been modified
	gone    atomic.Bool                // it has begun to leave: it owns no rkey any more

	// Owned by loop.
	role          roleNumber         // of the authrole in the realm
	left          bool               // disposed: gets no events, though it may be on lists still
	batched       bool               // EndOfBatch is coming
	subscriptions map[uint64]*member // by subscription id
	lastMember    *member            // the list of the same, newest first
	patterns      int                // of these, prefixes and wildcards
	share         int64              // bytes that subscriptions and registrations count of what one session may have
	registrations map[uint64]*callee // by registration id
	lastCallee    *callee            // the list of the same, newest first
	lastRequest   uint64             // with StrictRequestIDs
	repeats       bool               // with StrictRequestIDs: the message under way has the id of one before it
	streams       *streams           // nil until the first CALL with progress
	building      *builder           // the open run of events, or nil
	ownJobs       int                // unfinished jobs of this publisher on its own loop
	waiting       *waiting           // the message that cannot be handled at once; the connection is held
	storing       int                // PUBLISHED that wait for the disk
	byeWaits      *waiting           // a GOODBYE behind these, or nil
	chunk         *publishing        // what is being published, while it is
	prev, next    *session           // the list of the realm and loop
	rights        *rights            // nil until its role is looked up in a policy
	review        *review            // what it holds is gone through; otherwise nil
	publishing    *publishing        // a PUBLISH that takes several turns; it goes on when the session is gone
	testaments    testaments
	parting       bool            // testaments wait for the end of publishing
	quiet         bool            // no meta event and no testament tells of its end
	face          *codec.Identity // of a voice: whom the receivers see as the publisher
	trust         uint32          // of a voice: the trust level of what it publishes for another, plus one

	// Any goroutine.
	keptBytes atomic.Int64 // of its open calls, what is kept for rerouting

	// Guarded by the shard of realm.authIDs.
	holding int // its index among the sessions with its authid, or neverHeld, heldNoMore
}

func newSession(x port.Executor, h *handler, rm *realm, id uint64, roles codec.Roles, who codec.Identity) *session {
	v := h.conn.Variant()
	return &session{
		id:         id,
		realm:      rm,
		handler:    h,
		conn:       h.conn,
		home:       x.Loop(),
		variant:    v,
		serializer: v.Serializer(),
		roles:      roles,
		role:       rm.role(who.AuthRole),
		bytesMax:   min(h.conn.MessageBytesMax(), v.MessageBytesMax()),
		identity:   who,
		holding:    neverHeld,
	}
}

// receive handles one message of an established session.
func (s *session) receive(x port.Executor, l *perLoop, m *codec.Message) {
	l.set = s.realm.settings.Load()
	l.forms.begin(s.realm.router.bounds.transcodeWork)
	if m.Type != codec.Publish {
		s.seal(x, l) // whatever this message causes comes after the events before it
	}
	if l.set.EnforceRoles && !s.plays(m.Type) {
		s.violation(x, "message type "+strconv.Itoa(int(m.Type))+" of a role that HELLO did not announce")
		return
	}
	if l.set.StrictRequestIDs && !s.sequential(m) {
		s.violation(x, "request id "+strconv.FormatUint(m.Request, 10)+" is not the successor of "+
			strconv.FormatUint(s.lastRequest, 10))
		return
	}
	if len(m.Dict) > dictBytesMax {
		s.violation(x, "options or details of "+strconv.Itoa(len(m.Dict))+" octets: at most "+
			strconv.Itoa(dictBytesMax)+" are allowed")
		return
	}
	if m.Options.Has(codec.KeyPptScheme) && !s.mayPass(l.set, m) {
		s.violation(x, "ppt_scheme: HELLO does not announce payload_passthru_mode for the role of this sender")
		return
	}
	switch m.Type {
	case codec.Publish:
		s.receivePublish(x, l, m)
	case codec.Call:
		s.receiveCall(x, l, m)
	case codec.Yield:
		s.receiveYield(x, l, m)
	case codec.Error:
		s.receiveError(x, l, m)
	case codec.Cancel:
		s.receiveCancel(x, l, m)
	case codec.Subscribe:
		s.receiveSubscribe(x, l, m)
		s.pace(x)
	case codec.Unsubscribe:
		s.receiveUnsubscribe(x, l, m)
		s.pace(x)
	case codec.Register:
		s.receiveRegister(x, l, m)
		s.pace(x)
	case codec.Unregister:
		s.receiveUnregister(x, l, m)
		s.pace(x)
	case codec.Goodbye:
		if s.storing > 0 {
			s.byeWaits = s.later(x, l)
			return
		}
		if string(m.URI) == codec.CloseLogout {
			s.logout()
		}
		s.handler.receiveGoodbye(x, l)
	case codec.Abort:
		s.handler.finish(x, port.CloseNormal, "")
	case codec.EventReceived: // PROTOCOL 7.14: ignored
	default:
		s.violation(x, "message type "+strconv.Itoa(int(m.Type))+" in an established session")
	}
}

func (s *session) violation(x port.Executor, reason string) { s.handler.violation(x, reason) }

// plays reports whether HELLO announced the role that sends messages of type t (PROTOCOL 1.4).
func (s *session) plays(t codec.Type) bool {
	switch t {
	case codec.Publish:
		return s.roles&codec.RolePublisher != 0
	case codec.Subscribe, codec.Unsubscribe:
		return s.roles&codec.RoleSubscriber != 0
	case codec.Call, codec.Cancel:
		return s.roles&codec.RoleCaller != 0
	case codec.Register, codec.Unregister, codec.Yield, codec.Error:
		return s.roles&codec.RoleCallee != 0
	}
	return true
}

// sequential checks and counts the request id of the six messages that share one sequence (PROTOCOL 2).
func (s *session) sequential(m *codec.Message) bool {
	switch m.Type {
	case codec.Publish, codec.Subscribe, codec.Unsubscribe, codec.Call, codec.Register, codec.Unregister:
	default:
		return true
	}
	next := s.lastRequest + 1
	if s.lastRequest == codec.MaxID {
		next = 1
	}
	if s.repeats = m.Request != next; s.repeats {
		return m.Type == codec.Call && s.streams != nil && s.streams.expects(m.Request, s.lastRequest)
	}
	s.lastRequest = next
	return true
}

// reply appends one whole message to this session's own queue.
func (s *session) reply(x port.Executor, msg []byte) {
	x.Step("conn.lock")
	s.conn.Lock()
	defer s.conn.Unlock()
	s.append(x, msg)
}

// append appends one whole message, if the session is live and the connection takes it. A message that is longer than
// the peer accepts and has no substitute ends the connection (PROTOCOL 13.3). Conn lock held.
func (s *session) append(x port.Executor, msg []byte) bool {
	if !s.live {
		return false
	}
	if len(msg) > s.bytesMax {
		s.conn.Finish(x, port.ClosePolicy, "a reply is longer than your transport accepts")
		return false
	}
	buf, ok := s.conn.Tail(port.Reply)
	if !ok {
		return false
	}
	buf, _ = codec.AppendFrame(buf, s.variant, msg) // bytesMax is at most what the framing carries
	s.conn.Commit(x, buf)
	return true
}

// appendPieces appends one whole frame, as append does. Conn lock held.
func (s *session) appendPieces(x port.Executor, frame [][]byte) {
	if s.live {
		s.conn.AppendPieces(x, port.Reply, frame)
	}
}

// refuseMemory refuses a request that the budget of the process has no room for.
func (s *session) refuseMemory(x port.Executor, l *perLoop, request codec.Type, id uint64) {
	l.counters.overBudget.Add(1)
	s.refuse(x, l, request, id, refuseMemory)
}

// refuse answers a request with ERROR.
func (s *session) refuse(x port.Executor, l *perLoop, request codec.Type, id uint64, why *refusal) {
	if request == codec.Call {
		l.counters.callErrors.Add(1)
	} else {
		l.counters.errors.Add(1)
	}
	l.out = codec.AppendRefusal(l.out[:0], s.serializer, request, id, why.uri, why.message)
	s.reply(x, l.out)
}
