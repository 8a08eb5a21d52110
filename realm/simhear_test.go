package realm

import (
	"bytes"
	"fmt"
	"slices"

	"banyan/codec"
	"banyan/realm/realmtest"
)

// What a client of the simulation hears, compared with the model.

// read checks and notes one message from the router.
func (c *simClient) read(b []byte) {
	s := c.sim
	var m codec.Message
	if err := c.decoder.Decode(c.serializer, b, &m); err != nil {
		s.fail("client %d cannot decode %x: %v", c.number, b, err)
		return
	}
	switch {
	case c.state == simGone:
		return // written before the transport was dropped
	case c.state == simOver:
		s.fail("client %d: type %d after the end", c.number, m.Type)
		return
	case c.state == simJoining && m.Type == codec.Challenge && c.authid != "":
		c.authenticate()
		return
	case c.state == simJoining && m.Type == codec.Abort && c.turnedAway(string(m.URI)):
		c.replace()
		return
	case c.state == simJoining && m.Type != codec.Welcome:
		s.fail("client %d: type %d before WELCOME", c.number, m.Type)
	}
	switch m.Type {
	case codec.Welcome:
		if c.wrong {
			s.fail("client %d got in with a wrong ticket", c.number)
		}
		c.joined(m.Request)
	case codec.Goodbye:
		switch {
		case c.state != simKilled && c.mayBeKilled() && string(m.URI) == codec.CloseKilled:
			if c.state == simViolating {
				s.violations-- // it comes behind GOODBYE, where all is ignored
			}
			c.doubt()
			c.send(&codec.Message{Type: codec.Goodbye, URI: []byte(codec.CloseGoodbyeAndOut)})
			c.replace()
		case c.state == simLeaving:
			c.state = simGone
			c.remove()
			if conn, ok := c.conn.(*realmtest.Conn); ok && s.w.Rand(2) == 0 {
				s.connect(conn)
			} else {
				c.conn.HangUp()
				s.connect(nil)
			}
		case c.state == simShutdown && string(m.URI) == codec.CloseSystemShutdown,
			c.state == simKilled && string(m.URI) == codec.CloseKilled:
			c.send(&codec.Message{Type: codec.Goodbye, URI: []byte(codec.CloseGoodbyeAndOut)})
			c.replace()
		case c.state != simKicked || string(m.URI) != codec.CloseCloseRealm:
			s.fail("client %d: GOODBYE %s", c.number, m.URI)
		}
	case codec.Abort:
		if c.state != simViolating {
			s.fail("client %d: ABORT %s", c.number, m.URI)
		}
		c.replace()
	case codec.Subscribed, codec.Unsubscribed, codec.Published, codec.Registered, codec.Unregistered:
		c.reply(&m)
	case codec.Error:
		c.readError(&m)
	case codec.Event:
		c.event(&m)
	case codec.Invocation:
		c.invocation(&m)
	case codec.Result:
		c.result(&m)
	case codec.Interrupt:
		if !c.canceling || m.Request > c.lastInvocation {
			s.fail("client %d: INTERRUPT %d", c.number, m.Request)
		}
	default:
		s.fail("client %d: unexpected type %d", c.number, m.Type)
	}
}

// joined notes that the session of c is there.
func (c *simClient) joined(session uint64) {
	c.state, c.session = simJoined, session
	c.roles = []string{c.firstRole()}
	c.everRoles = c.roles
}

func (c *simClient) reply(m *codec.Message) {
	s := c.sim
	if m.Type == codec.Unsubscribed && m.Request == 0 { // taken away
		v, err := codec.Value(m.Format, m.Dict)
		if err != nil {
			s.t.Fatal(err)
		}
		id := uint64(v.(map[string]any)["subscription"].(int64))
		if sub := c.subs[id]; sub == nil || !c.mayLose(sub.topic, sub.match) {
			s.fail("client %d: subscription %d is taken away: %+v, %q", c.number, id, sub, c.roles)
		}
		delete(c.subs, id)
		return
	}
	if m.Type == codec.Unregistered && m.Request == 0 { // taken away
		v, err := codec.Value(m.Format, m.Dict)
		if err != nil {
			s.t.Fatal(err)
		}
		id := uint64(v.(map[string]any)["registration"].(int64))
		if c.regs[id] == nil {
			s.fail("client %d: registration %d is taken away, which it does not hold", c.number, id)
		}
		delete(c.regs, id)
		return
	}
	r, ok := c.pending[m.Request]
	if !ok || r.t != m.Type-1 {
		s.fail("client %d: reply of type %d to request %d, which is not pending", c.number, m.Type, m.Request)
		return
	}
	delete(c.pending, m.Request)
	switch m.Type {
	case codec.Subscribed:
		if c.subs[m.ID] == nil {
			c.subs[m.ID] = &simSub{
				topic: r.topic, match: r.match, nkey: r.nkey, since: len(s.published), got: map[int]bool{},
				recalled: map[int]bool{},
			}
		}
		if r.retained {
			c.subs[m.ID].asked = true
		}
	case codec.Unsubscribed:
		delete(c.subs, r.id)
	case codec.Published:
		c.seen(r.publication, m.ID)
		s.history.published(c, r.publication)
	case codec.Registered:
		if c.regs[m.ID] == nil {
			c.regs[m.ID] = &simReg{of: pattern{r.topic, r.match}, nkey: r.nkey}
		}
	case codec.Unregistered:
		delete(c.regs, r.id)
	}
}

// seen checks that a publication has one id for everybody.
func (c *simClient) seen(index int, id uint64) {
	p := &c.sim.published[index]
	if p.denied {
		c.sim.fail("publication %d was accepted although its publisher may not", index)
	}
	if p.id != 0 && p.id != id {
		c.sim.fail("publication %d has two ids, %d and %d", index, p.id, id)
	}
	p.id = id
}

func (c *simClient) event(m *codec.Message) {
	s := c.sim
	sub := c.subs[m.ID]
	if sub == nil {
		s.fail("client %d: EVENT for subscription %d, which it does not hold", c.number, m.ID)
		return
	}
	if topic := eventTopic(sub, m); codec.ReservedURI([]byte(topic)) {
		if why := sub.meta.hear(topic, m, metaAgain{s.history != nil, sub.match == codec.Exact, s.quiet}); why != "" {
			s.fail("client %d: %s", c.number, why)
		}
		return
	}
	index := int(c.numbers(m)[0])
	if index < 0 {
		c.testament(sub, -index-1)
		return
	}
	if m.Options.Bool(codec.KeyRetained, false) {
		c.retained(sub, index, m.Publication)
		return
	}
	p := s.published[index]
	if p.denied || p.unstored {
		s.fail("client %d: publication %d came although it was refused", c.number, index)
	}
	if _, perhaps := c.admitted(p.lists); !perhaps {
		s.fail("client %d: publication %d came, whose lists do not admit %q", c.number, index, c.roles)
	}
	last, heard := c.lastEvent[p.by]
	switch {
	case sub.got[index] && !sub.recalled[index]:
		s.fail("client %d: publication %d came twice on subscription %d", c.number, index, m.ID)
	case heard && index < last:
		s.fail("client %d: publication %d came after %d of the same publisher", c.number, index, last)
	case index < s.settled:
		s.fail("client %d: publication %d came long after it was done", c.number, index)
	case p.not == c.session:
		s.fail("client %d hears publication %d, from which it is excluded", c.number, index)
	case p.exclude && p.by == c:
		s.fail("client %d hears its own publication %d", c.number, index)
	case !realmtest.Matches(sub.topic, sub.match, p.topic):
		s.fail("client %d: topic %q does not match subscription %q", c.number, p.topic, sub.topic)
	case p.by == c && p.ack && p.id == 0 && !s.history.storedTopic(p.topic):
		s.fail("client %d: own EVENT before PUBLISHED", c.number)
	case m.Options.Text(codec.KeyPptScheme) != p.scheme:
		s.fail("client %d: publication %d came with ppt_scheme %q", c.number, index,
			m.Options.Text(codec.KeyPptScheme))
	}
	c.owns(sub, index)
	delete(sub.recalled, index)
	sub.got[index] = true
	c.lastEvent[p.by] = index
	c.seen(index, m.Publication)
	c.trusts(&s.published[index], int64(m.Options.Integer(codec.KeyTrustlevel)), m.Options.Has(codec.KeyTrustlevel))
}

func (c *simClient) numbers(m *codec.Message) []int64 {
	v, err := codec.Value(m.Payload.Format, m.Payload.Args)
	list, ok := v.([]any)
	if err != nil || !ok {
		c.sim.t.Fatalf("payload %x: %v", m.Payload.Args, err)
	}
	out := make([]int64, len(list))
	for i := range list {
		out[i] = list[i].(int64)
	}
	return out
}

func (c *simClient) invocation(m *codec.Message) {
	s := c.sim
	if c.regs[m.ID] == nil {
		s.fail("client %d: INVOCATION for registration %d, which it does not hold", c.number, m.ID)
	}
	call := c.numbers(m)
	streaming := m.Options.Bool(codec.KeyProgress, false)
	if u := c.chunks[m.Request]; u != nil {
		u.heard++
		if u.complete || u.caller != call[0] || u.request != call[1] || u.heard != call[2] {
			s.fail("client %d: chunk %v on invocation %d, of which it knows %+v", c.number, call, m.Request, *u)
		}
		u.complete = !streaming
		return
	}
	if call[2] != 1 {
		s.fail("client %d: chunk %v began an invocation", c.number, call)
	}
	if streaming {
		c.chunks[m.Request] = &simChunks{caller: call[0], request: call[1], heard: 1}
		if !c.streams || !c.canceling {
			s.fail("client %d: INVOCATION %d with progress, which it did not announce", c.number, m.Request)
		}
	}
	if m.Request != c.lastInvocation+1 {
		s.fail("client %d: INVOCATION %d after %d", c.number, m.Request, c.lastInvocation)
	}
	c.lastInvocation = m.Request
	scheme := m.Options.Text(codec.KeyPptScheme)
	rerouted := false
	if open := s.open(call); open == nil {
		rerouted = true // perhaps: its caller knows its end
	} else if rerouted = len(open.unavailable) > 0; rerouted {
		if slices.Contains(open.unavailable, c) {
			s.fail("client %d: call %v came again, for which it was unavailable", c.number, call)
		}
	}
	if open := s.open(call); open != nil && open.rkey != "" && !rerouted && c.regs[m.ID] != nil {
		s.shards.calls = append(s.shards.calls, simOwned{open.rkey, c.regs[m.ID], c})
	}
	if open := s.open(call); scheme != "" && !c.passes || open != nil && open.scheme != scheme {
		s.fail("client %d: call %d of client %d came with ppt_scheme %q", c.number, call[1], call[0], scheme)
	}
	for _, caller := range s.clients {
		if caller.number != int(call[0]) {
			continue
		}
		if level := int64(m.Options.Integer(codec.KeyTrustlevel)); !m.Options.Has(codec.KeyTrustlevel) &&
			!s.mayBeTrusted(caller, -1) || m.Options.Has(codec.KeyTrustlevel) && !s.mayBeTrusted(caller, level) {
			s.fail("client %d: call %d of client %d has the trust level %d", c.number, call[1], caller.number, level)
		}
		if open := caller.calls[uint64(call[1])]; open != nil && open.denied {
			s.fail("client %d: call %d of client %d came although it may not", c.number, call[1], caller.number)
		}
		if last := c.lastCall[caller]; uint64(call[1]) > last {
			c.lastCall[caller] = uint64(call[1])
		} else if !rerouted {
			s.fail("client %d: call %d of client %d after its call %d", c.number, call[1], caller.number, last)
		}
	}
	progress := m.Options.Bool(codec.KeyReceiveProgress, false)
	c.invocations = append(c.invocations, simInvocation{m.Request, progress, bytes.Clone(m.Payload.Args)})
}

func (c *simClient) result(m *codec.Message) {
	s := c.sim
	call := c.calls[m.Request]
	progress := m.Options.Bool(codec.KeyProgress, false)
	if call == nil || progress && !call.progress {
		s.fail("client %d: RESULT for %d, progress %v, which is not expected", c.number, m.Request, progress)
		return
	}
	if call.meta {
		delete(c.calls, m.Request)
		switch {
		case call.query != nil:
			c.events(call.query, m)
		case call.modify != nil:
			c.modified(call.modify, "")
		}
		return
	}
	if n := c.numbers(m); int(n[0]) != c.number || uint64(n[1]) != m.Request {
		s.fail("client %d: RESULT of call %d brings the answer to call %d of client %d",
			c.number, m.Request, n[1], n[0])
	}
	if scheme := m.Options.Text(codec.KeyPptScheme); scheme != "" &&
		(!c.passes || scheme != fmt.Sprintf("x_%d_%d", c.number, m.Request)) {
		s.fail("client %d: RESULT of call %d with ppt_scheme %q", c.number, m.Request, scheme)
	}
	if !progress {
		delete(c.calls, m.Request)
	}
}

func (c *simClient) readError(m *codec.Message) {
	s := c.sim
	if m.RequestType == codec.Call {
		call := c.calls[m.Request]
		if call == nil {
			s.fail("client %d: ERROR for call %d, which is not open", c.number, m.Request)
			return
		}
		delete(c.calls, m.Request)
		if call.meta {
			switch {
			case call.query != nil:
				c.noEvents(call.query, call, m)
			case call.modify != nil:
				c.modified(call.modify, string(m.URI))
			}
			return
		}
		if call.denied != (string(m.URI) == codec.ErrNotAuthorized) && string(m.URI) != codec.ErrCanceled &&
			(string(m.URI) != codec.ErrTimeout || !call.timed) { // the authorizer may have needed all of its time
			s.fail("client %d: call %d, denied %v: %s", c.number, m.Request, call.denied, m.URI)
		}
		switch string(m.URI) {
		case codec.ErrNotAuthorized:
		case "com.app.error", codec.ErrNoSuchProcedure:
		case codec.ErrCanceled: // by itself, or the callee left
		case codec.ErrNetworkFailure: // a callee's queue was full
		case codec.ErrUnavailable: // every callee had enough, or one said so
			if len(call.unavailable) > 0 && !call.passed {
				s.fail("client %d: call %d: unavailable, though it was to be rerouted", c.number, m.Request)
			}
		case codec.ErrNoAvailableCallee:
			if len(call.unavailable) == 0 {
				s.fail("client %d: call %d: nobody was unavailable", c.number, m.Request)
			}
		case codec.ErrFeatureNotSupported:
			if !call.streaming && call.scheme == "" && (c.passes || !call.opaque) {
				s.fail("client %d: call %d needed no feature", c.number, m.Request)
			}
		case codec.ErrTimeout:
			if !call.timed {
				s.fail("client %d: call %d timed out without a timeout", c.number, m.Request)
			}
		default:
			s.fail("client %d: call %d: %s", c.number, m.Request, m.URI)
		}
		return
	}
	r, ok := c.pending[m.Request]
	uri := r.topic
	if r.t == codec.Publish {
		uri = s.published[r.publication].topic
	}
	if ok && r.t == m.RequestType && r.match == codec.Exact && c.denied(uri) &&
		string(m.URI) == codec.ErrNotAuthorized {
		delete(c.pending, m.Request)
		return
	}
	if ok && r.t == m.RequestType && c.mayLose(uri, r.match) &&
		(r.t == codec.Subscribe || r.t == codec.Register) && string(m.URI) == codec.ErrNotAuthorized {
		delete(c.pending, m.Request)
		return
	}
	if ok && r.t == codec.Unsubscribe && c.subs[r.id] == nil && string(m.URI) == codec.ErrNoSuchSubscription {
		delete(c.pending, m.Request) // crossing with its loss
		return
	}
	if ok && r.t == codec.Publish && string(m.URI) == codec.ErrUnavailable && s.history != nil {
		p := &s.published[r.publication]
		disk := s.history.disk
		if !s.history.storedTopic(p.topic) || !disk.refused[r.publication] && !disk.lost[r.publication] {
			s.fail("client %d: publication %d: the disk is not why it is refused", c.number, r.publication)
		}
		p.unstored = disk.refused[r.publication]
		if p.unstored && p.id != 0 {
			s.fail("client %d: publication %d is refused, and somebody heard of it", c.number, r.publication)
		}
		delete(c.pending, m.Request)
		return
	}
	_, untold := c.conn.(*simLocal) // it did not announce registration_revocation
	if ok && r.t == m.RequestType && (r.t == codec.Register && string(m.URI) == codec.ErrOptionNotAllowed ||
		r.t == codec.Unregister && (untold || c.regs[r.id] == nil) && string(m.URI) == codec.ErrNoSuchRegistration) {
		delete(c.pending, m.Request) // by force, and crossing with that
		return
	}
	if ok && r.t == codec.Publish && s.published[r.publication].retain && s.retention.EventsMax > 0 &&
		string(m.URI) == codec.ErrOptionNotAllowed {
		s.published[r.publication].denied = true // and nobody may have heard of it
		delete(c.pending, m.Request)
		return
	}
	if !ok || r.t != m.RequestType || r.t != codec.Register || string(m.URI) != codec.ErrProcedureAlreadyExists {
		s.fail("client %d: ERROR %d %d %s", c.number, m.RequestType, m.Request, m.URI)
	}
	delete(c.pending, m.Request)
}
