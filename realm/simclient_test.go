package realm

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"banyan/codec"
)

// A simClient is a strict client: it complains about whatever a router must never send (PROTOCOL 4.8).
type simClient struct {
	sim        *sim
	number     int
	conn       simConn
	serializer codec.Serializer
	canceling  bool
	streams    bool // it takes progressive calls
	passes     bool // it has announced payload_passthru_mode, for each role
	reroutes   bool // it has announced call_reroute
	state      simState
	session    uint64
	authid     string // a user's, or ""
	wrong      bool   // it brings a wrong ticket
	decoder    codec.Decoder

	roles     []string // that it may have had since everything was at rest
	everRoles []string // and ever
	changes   int      // of its role, since everything was at rest
	changed   []string // those that were answered
	// lastStored is the last publication of which PUBLISHED waited for the disk.
	lastStored int

	request        uint64
	pending        map[uint64]simRequest
	subs           map[uint64]*simSub
	regs           map[uint64]*simReg
	calls          map[uint64]*simCall
	invocations    []simInvocation
	lastInvocation uint64
	lastEvent      map[*simClient]int
	lastCall       map[*simClient]uint64
	uploads        []*simUpload          // of calls whose last chunk is not sent
	chunks         map[uint64]*simChunks // what came of progressive calls, by invocation
}

// A simUpload is a progressive call as its caller knows it.
type simUpload struct {
	request uint64
	topic   string
	sent    int64 // chunks
}

// simChunks is a progressive call as its callee knows it.
type simChunks struct {
	caller, request, heard int64
	complete               bool
}

type simState uint8

const (
	simJoining simState = iota
	simJoined
	simLeaving   // GOODBYE sent
	simGone      // nothing may come any more
	simOver      // nothing comes any more
	simKicked    // the realm is being closed
	simViolating // something forbidden sent
	simShutdown  // the node stops, as far as this client is concerned
	simKilled    // an operator ends the session
)

type simRequest struct {
	t           codec.Type
	topic       string
	match       codec.Match
	id          uint64
	publication int
	retained    bool
	nkey        string
}

type simSub struct {
	topic   string
	match   codec.Match
	nkey    string
	since   int // publications from this index on are owed
	meta    metaOrder
	got     map[int]bool
	leaving bool
	asked   bool // for what is retained
	// recalled are publications that have come as retained, and may come live once.
	recalled map[int]bool
}

type simReg struct {
	leaving bool
	of      pattern
	nkey    string
}

type simCall struct {
	progress, canceled, timed, denied, meta, streaming bool
	sent                                               int64  // chunks
	scheme                                             string // of payload passthru mode, or ""
	rkey                                               string // with runmode partition, or ""
	opaque                                             bool   // a callee has answered in the mode
	begun                                              bool   // a part of the result was sent
	passed                                             bool   // a callee was unavailable, and the caller is told

	unavailable []*simClient // callees that were, and another one was to get the call

	query  *simQuery  // get_events
	modify *simModify // modify_details
}

type simInvocation struct {
	id       uint64
	progress bool
	payload  []byte
}

var simTopics = []string{"a", "a.b", "a.b.c", "a.x.c", "b"}

// A pattern is what a client subscribes to or registers.
type pattern struct {
	uri   string
	match codec.Match
}

var simPatterns = []pattern{
	{"a", codec.Exact},
	{"a.b", codec.Exact},
	{"a.b.c", codec.Exact},
	{"b", codec.Exact},
	{"a.x.c", codec.Exact},
	{"a", codec.Prefix},
	{"a.", codec.Prefix},
	{"", codec.Prefix},
	{"a..c", codec.Wildcard},
	{".b", codec.Wildcard},
	{"", codec.Wildcard},
}

func matchName(m codec.Match) string { return []string{"exact", "prefix", "wildcard"}[m] }

func (c *simClient) send(m *codec.Message) {
	m.Format, m.Payload.Format = c.serializer, c.serializer
	b, err := codec.Append(nil, c.serializer, m)
	if err != nil {
		c.sim.t.Fatal(err)
	}
	c.conn.Send(b)
}

func (c *simClient) value(v any) []byte {
	b, err := codec.AppendValue(nil, c.serializer, v)
	if err != nil {
		c.sim.t.Fatal(err)
	}
	return b
}

func (c *simClient) ask(t codec.Type, r simRequest) uint64 {
	c.request++
	r.t = t
	c.pending[c.request] = r
	return c.request
}

// act does one thing at random.
func (c *simClient) act() {
	if c.state != simJoined {
		return
	}
	s := c.sim
	rand := s.w.Rand
	n := rand(100)
	if s.shared != "" && rand(2) == 0 {
		n = []int{45, 63, 63, 82, 82, 82}[rand(6)] // register, call, answer
	}
	if s.history != nil && rand(10) == 0 {
		c.callMeta(len(simMeta) - 1) // get_events
		return
	}
	switch {
	case n < 12:
		p := simPatterns[rand(len(simPatterns))]
		retained := rand(2) == 0
		options := map[string]any{"match": matchName(p.match), "get_retained": retained}
		nkey := c.shard(p, options)
		id := c.ask(codec.Subscribe, simRequest{topic: p.uri, match: p.match, retained: retained, nkey: nkey})
		c.send(&codec.Message{Type: codec.Subscribe, Request: id, URI: []byte(p.uri), Dict: c.value(options)})
	case n < 18:
		for _, id := range slices.Sorted(maps.Keys(c.subs)) {
			if sub := c.subs[id]; !sub.leaving {
				sub.leaving = true
				request := c.ask(codec.Unsubscribe, simRequest{id: id})
				c.send(&codec.Message{Type: codec.Unsubscribe, Request: request, ID: id})
				break
			}
		}
	case n < 45:
		burst := 1
		if rand(4) == 0 {
			burst = 6
		}
		topic := simTopics[rand(len(simTopics))]
		for range burst {
			c.publish(topic)
		}
	case n < 55:
		p := simPatterns[rand(len(simPatterns))]
		if s.shared != "" && rand(4) > 0 {
			p = simPatterns[0]
		}
		nkey := c.shardCallee(p)
		id := c.ask(codec.Register, simRequest{topic: p.uri, match: p.match, nkey: nkey})
		invoke := []string{
			"single", "roundrobin", "roundrobin", "first", "last", "random", "x_least_outstanding",
		}[rand(7)]
		if s.shared != "" {
			invoke = s.shared
		}
		options := map[string]any{
			"match": matchName(p.match), "invoke": invoke, "concurrency": int64(rand(4)),
			"force_reregister": rand(6) == 0 && (s.shared == "" || rand(6) == 0),
		}
		if nkey != "" {
			options["nkey"] = nkey
		}
		c.send(&codec.Message{Type: codec.Register, Request: id, URI: []byte(p.uri), Dict: c.value(options)})
	case n < 60:
		for _, id := range slices.Sorted(maps.Keys(c.regs)) {
			if reg := c.regs[id]; !reg.leaving {
				reg.leaving = true
				request := c.ask(codec.Unregister, simRequest{id: id})
				c.send(&codec.Message{Type: codec.Unregister, Request: request, ID: id})
				break
			}
		}
	case n < 63:
		c.callMeta(rand(len(simMeta)))
	case n < 78:
		c.request++
		call := &simCall{progress: rand(3) == 0, timed: rand(3) == 0}
		c.calls[c.request] = call
		m := &codec.Message{Type: codec.Call, Request: c.request, URI: []byte(simTopics[rand(len(simTopics))])}
		if s.shared != "" && rand(4) > 0 {
			m.URI = []byte(simPatterns[0].uri)
		}
		call.denied = c.denied(string(m.URI))
		options := map[string]any{"receive_progress": call.progress, "disclose_me": rand(2) == 0}
		if call.timed {
			options["timeout"] = int64(10 + 10*rand(10))
		}
		if rand(3) == 0 {
			call.streaming, call.sent = true, 1
			options["progress"] = true
			c.uploads = append(c.uploads, &simUpload{request: c.request, topic: string(m.URI), sent: 1})
		}
		call.scheme = c.pass(options, "x_%d_%d", c.number, c.request)
		if call.rkey = s.rkey(options); call.rkey != "" {
			options["runmode"] = "partition"
		}
		m.Dict = c.value(options)
		m.Payload.Args = c.value([]any{int64(c.number), int64(c.request), int64(1)})
		c.send(m)
	case n < 82:
		if len(c.uploads) > 0 {
			c.sendChunk(rand(len(c.uploads)))
		}
	case n < 88:
		if len(c.invocations) > 0 {
			c.answer(true)
		}
	case n < 94:
		for _, id := range slices.Sorted(maps.Keys(c.calls)) {
			if rand(2) == 0 {
				c.calls[id].canceled = true
				c.calls[id].passed = c.calls[id].passed || len(c.calls[id].unavailable) > 0
				mode := []string{"skip", "kill", "killnowait"}[rand(3)]
				c.send(&codec.Message{Type: codec.Cancel, Request: id, Dict: c.value(map[string]any{"mode": mode})})
				break
			}
		}
	case n < 95:
		c.conn.SetFull(rand(2) == 0)
	case n < 96:
		s.violations++
		c.state = simViolating
		if !c.passes && rand(2) == 0 {
			c.send(&codec.Message{
				Type: codec.Call, Request: c.request + 1, URI: []byte("a"),
				Dict: c.value(values{"ppt_scheme": "wamp"}),
			})
		} else {
			c.send(&codec.Message{Type: codec.Welcome, Request: 1})
		}
	case n < 97:
		if rand(2) == 0 {
			c.state, s.quiet = simShutdown, true
			c.conn.Shutdown()
		} else {
			c.state = simKilled
			if err := s.router.kill(c.session, "", "", func(ok bool) {
				if !ok && !c.mayBeKilled() {
					s.fail("client %d was not there to be killed", c.number)
				}
			}); err != nil && !c.mayBeKilled() {
				s.fail("client %d: %v", c.number, err)
			}
		}
		c.doubt()
	case n < 98:
		c.state = simLeaving
		c.send(&codec.Message{Type: codec.Goodbye, URI: []byte("wamp.close.close_realm")})
	default:
		c.state = simGone
		if _, local := c.conn.(*simLocal); local || c.mayBeKilled() {
			c.doubt() // what waits is dropped; what is in a socket is still read, unless the session ends before
		}
		c.conn.HangUp()
		c.remove()
		s.connect(nil)
	}
}

// sendChunk goes on with a progressive call, which may be over already.
func (c *simClient) sendChunk(i int) {
	rand := c.sim.w.Rand
	u := c.uploads[i]
	u.sent++
	if call := c.calls[u.request]; call != nil {
		call.sent = u.sent
		call.passed = call.passed || len(call.unavailable) > 0 // it may come before another callee has the call
	}
	m := &codec.Message{Type: codec.Call, Request: u.request, URI: []byte(u.topic)}
	last := rand(3) == 0
	if last {
		c.uploads = slices.Delete(c.uploads, i, i+1)
	}
	m.Dict = c.value(map[string]any{"progress": !last, "disclose_me": rand(2) == 0, "timeout": int64(rand(2) * 10)})
	m.Payload.Args = c.value([]any{int64(c.number), int64(u.request), u.sent})
	c.send(m)
}

// checkChunks checks, when everything is at rest, that the callee has all of each progressive call that is open.
func (c *simClient) checkChunks() {
	for _, inv := range c.invocations {
		u := c.chunks[inv.id]
		if u == nil {
			continue
		}
		for _, caller := range c.sim.clients {
			call := caller.calls[uint64(u.request)]
			if caller.number == int(u.caller) && call != nil && !call.canceled && call.sent != u.heard {
				c.sim.fail("client %d: %d of %d chunks of call %d of client %d came", c.number, u.heard, call.sent,
					u.request, u.caller)
			}
		}
	}
}

// simMeta are calls of the meta API: the procedure, and what its argument is.
var simMeta = []struct{ procedure, argument string }{
	{"wamp.session.count", ""},
	{"wamp.session.list", ""},
	{"wamp.session.get", "session"},
	{"wamp.subscription.list", ""},
	{"wamp.subscription.get", "subscription"},
	{"wamp.subscription.list_subscribers", "subscription"},
	{"wamp.subscription.count_subscribers", "subscription"},
	{"wamp.subscription.match", "topic"},
	{"wamp.subscription.lookup", "topic"},
	{"wamp.registration.list", ""},
	{"wamp.registration.match", "topic"},
	{"wamp.registration.list_callees", "registration"},
	{"wamp.session.add_testament", "testament"},
	{"wamp.session.add_testament", "testament"},
	{"wamp.session.flush_testaments", ""},
	{"wamp.session.modify_details", "details"},
	{"wamp.subscription.get_events", "events"},
}

// callMeta calls a meta procedure. The answer may be an error: what it asks about may be gone.
func (c *simClient) callMeta(which int) {
	rand := c.sim.w.Rand
	p := simMeta[which]
	call := &simCall{meta: true}
	var args []any
	var kwargs map[string]any
	switch p.argument {
	case "session":
		args = []any{int64(c.sim.clients[rand(len(c.sim.clients))].session)}
	case "subscription", "registration":
		args = []any{int64(1 + rand(20))}
	case "topic":
		args = []any{simTopics[rand(len(simTopics))]}
	case "testament":
		c.sim.testators = append(c.sim.testators, c)
		args = []any{simTopics[rand(len(simTopics))], []any{-int64(len(c.sim.testators))}, map[string]any{}}
	case "details":
		if c.sim.rules == nil || c.authid != "" {
			return // permission has to name it
		}
		if args = c.modify(call); args == nil {
			return
		}
	case "events":
		if c.sim.history == nil {
			return
		}
		call.query, args, kwargs = c.sim.history.ask()
	}
	c.request++
	c.calls[c.request] = call
	m := &codec.Message{Type: codec.Call, Request: c.request, URI: []byte(p.procedure)}
	m.Payload.Args = c.value(args)
	if kwargs != nil {
		m.Payload.Kwargs = c.value(kwargs)
	}
	c.send(m)
}

// testament checks an event that c.sim.testators[n] left behind: it comes once, and is the last that one says.
func (c *simClient) testament(sub *simSub, n int) {
	by := c.sim.testators[n]
	if sub.got[-1-n] {
		c.sim.fail("client %d: testament %d came twice", c.number, n)
	}
	sub.got[-1-n] = true
	c.lastEvent[by] = math.MaxInt
}

// doubt notes that what the client has published of late may never have been handled.
func (c *simClient) doubt() {
	s := c.sim
	for i := s.settled; i < len(s.published); i++ {
		if p := &s.published[i]; p.by == c {
			p.maybe = true
		}
	}
}

// replace puts a new client in the place of one whose connection is over.
func (c *simClient) replace() {
	c.state = simOver
	c.remove()
	c.sim.over = append(c.sim.over, c)
	c.sim.connect(nil)
}

func (c *simClient) remove() {
	c.sim.clients = slices.DeleteFunc(c.sim.clients, func(other *simClient) bool { return other == c })
}

func (c *simClient) publish(topic string) {
	s := c.sim
	p := publication{by: c, topic: topic, denied: c.denied(topic), exclude: s.w.Rand(3) > 0, ack: s.w.Rand(3) == 0}
	if s.w.Rand(5) == 0 {
		p.not = s.clients[s.w.Rand(len(s.clients))].session
	}
	p.retain, p.lists, p.sent = s.w.Rand(4) == 0, s.lists(), s.router.clock()
	if s.history != nil {
		p.reloads = s.history.reloads
	}
	index := len(s.published)
	s.published = append(s.published, p)
	m := &codec.Message{Type: codec.Publish, URI: []byte(topic)}
	if p.ack {
		m.Request = c.ask(codec.Publish, simRequest{publication: index})
	} else {
		c.request++
		m.Request = c.request
	}
	options := map[string]any{"acknowledge": p.ack, "exclude_me": p.exclude, "retain": p.retain}
	if p.not != 0 {
		options["exclude"] = []any{int64(p.not)}
	}
	if p.lists.key != "" {
		names := []any{}
		for _, name := range p.lists.names {
			names = append(names, name)
		}
		options[p.lists.key] = names
	}
	s.published[index].scheme = c.pass(options, "x_%d", index)
	s.published[index].rkey = s.rkey(options)
	m.Dict = c.value(options)
	m.Payload.Args = c.value([]any{int64(index)})
	c.send(m)
}

// pass puts a message in payload passthru mode, perhaps, under a scheme of its own. The payload stays readable: that
// is nothing to the router.
func (c *simClient) pass(options map[string]any, format string, args ...any) (scheme string) {
	if !c.passes || c.sim.w.Rand(3) > 0 {
		return ""
	}
	scheme = fmt.Sprintf(format, args...)
	options["ppt_scheme"] = scheme
	return scheme
}

// open returns the call that a payload belongs to, nil if its caller is gone or knows its end.
func (s *sim) open(payload []int64) *simCall {
	for _, caller := range s.clients {
		if caller.number == int(payload[0]) {
			return caller.calls[uint64(payload[1])]
		}
	}
	return nil
}

// answer answers the oldest or a random invocation: finally, or perhaps with progress.
func (c *simClient) answer(random bool) {
	rand := c.sim.w.Rand
	i := 0
	if random {
		i = rand(len(c.invocations))
	}
	inv := c.invocations[i]
	m := &codec.Message{Type: codec.Yield, Request: inv.id}
	m.Payload = codec.Payload{Format: c.serializer, Args: inv.payload}
	options := map[string]any{}
	if n := c.numbers(m); c.pass(options, "x_%d_%d", n[0], n[1]) != "" {
		if call := c.sim.open(n); call != nil {
			call.opaque = true
		}
	}
	if random && rand(3) == 0 {
		if call := c.sim.open(c.numbers(m)); call != nil {
			call.begun = call.begun || call.progress
		}
		options["progress"] = true
		m.Dict = c.value(options)
		c.send(m)
		return
	}
	m.Dict = c.value(options)
	if rand(4) == 0 || c.sim.shared != "" && rand(2) == 0 {
		m.Type, m.RequestType, m.URI = codec.Error, codec.Invocation, []byte("com.app.error")
		if rand(2) == 0 || c.sim.shared != "" {
			m.URI = []byte(codec.ErrUnavailable)
			if call := c.sim.open(c.numbers(m)); call != nil {
				call.passed = call.passed || !c.reroutes || call.begun || call.canceled ||
					call.streaming && call.sent > 1
				if c.reroutes {
					call.unavailable = append(call.unavailable, c)
				}
			}
		}
	}
	c.invocations = slices.Delete(c.invocations, i, i+1)
	c.send(m)
	if rand(8) == 0 {
		c.send(m) // an answer too many is discarded
	}
}
