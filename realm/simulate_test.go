package realm

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/realmtest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay only this seed of TestSimulate")
	seedsFlag = flag.Int("seeds", 300, "how many seeds TestSimulate runs")
)

// TestSimulate lets clients at random subscribe, publish, register, call, cancel, answer and leave, while loops interleave between any
// two accesses to shared state, and checks what every client sees against a slow model. Replay: go test ./realm -run Simulate -seed=42.
func TestSimulate(t *testing.T) {
	if *seedFlag != 0 {
		simulate(t, *seedFlag)
		return
	}
	for seed := range uint64(*seedsFlag) {
		simulate(t, seed+1)
		if t.Failed() {
			t.Fatalf("replay with -seed=%d", seed+1)
		}
	}
}

// sim is one run: the world, its clients, and what they have done.
type sim struct {
	t       *testing.T
	seed    uint64
	w       *realmtest.World
	router  *Router
	clients []*simClient
	born    int // clients ever made

	published []publication
	settled   int // publications before this index are known to be delivered
}

type publication struct {
	by      *simClient
	topic   string
	exclude bool
	ack     bool
	id      uint64 // publication id, once anybody has seen it
}

func simulate(t *testing.T, seed uint64) {
	w := realmtest.NewWorld(seed, 1+int(seed%3))
	r, err := New(Config{Realms: []RealmConfig{{URI: "realm1"}}, Loops: len(w.Loops)})
	if err != nil {
		t.Fatal(err)
	}
	w.Open = r.Open
	w.Switch = []int{0, 10, 50, 90}[w.Rand(4)]
	if w.Rand(2) == 0 {
		w.Budget, w.Chunk = 1+w.Rand(8), 1+w.Rand(3)
	}
	if w.Rand(3) == 0 {
		w.CreditBytes = int64(1 + w.Rand(300))
	}
	s := &sim{t: t, seed: seed, w: w, router: r}
	for range 4 + w.Rand(5) {
		s.connect(nil)
	}
	for range 4 {
		for range 60 + w.Rand(120) {
			if w.Rand(3) == 0 {
				s.clients[w.Rand(len(s.clients))].act()
			} else {
				w.Step()
			}
			s.drain()
		}
		s.checkpoint()
		if t.Failed() {
			return
		}
	}
	s.farewell()
}

// connect adds a client on a new connection, or on one whose last session said goodbye.
func (s *sim) connect(conn *realmtest.Conn) {
	if conn == nil {
		v := codec.MakeVariant(codec.Serializer(1+s.w.Rand(3)), []codec.Framing{codec.WebSocket, codec.RawSocket}[s.w.Rand(2)])
		conn = s.w.Connect(s.w.Rand(len(s.w.Loops)), v, 1<<20, true)
	}
	s.born++
	c := &simClient{
		sim: s, number: s.born, conn: conn, serializer: conn.Variant().Serializer(), canceling: s.w.Rand(4) > 0,
		pending: map[uint64]simRequest{}, subs: map[uint64]*simSub{}, regs: map[uint64]*simReg{}, calls: map[uint64]*simCall{},
		lastEvent: map[*simClient]int{}, lastCall: map[*simClient]uint64{},
	}
	s.clients = append(s.clients, c)
	features := map[string]any{"progressive_call_results": true, "call_canceling": c.canceling}
	dict, err := codec.AppendValue(nil, c.serializer, map[string]any{"roles": map[string]any{
		"publisher": map[string]any{}, "subscriber": map[string]any{}, "caller": map[string]any{},
		"callee": map[string]any{"features": features},
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	c.send(&codec.Message{Type: codec.Hello, URI: []byte("realm1"), Dict: dict})
}

func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

// drain lets every client read what has come.
func (s *sim) drain() {
	for _, c := range slices.Clone(s.clients) {
		for {
			b := c.conn.Next()
			if b == nil {
				break
			}
			c.read(b)
		}
	}
}

func (s *sim) settle() {
	s.drain()
	for s.w.Step() {
		s.drain()
	}
	s.drain()
}

// checkpoint brings everything to rest: callees answer, then every call is answered and every event delivered.
func (s *sim) checkpoint() {
	for {
		s.settle()
		open := 0
		for _, c := range s.clients {
			open += len(c.invocations)
			for len(c.invocations) > 0 {
				c.answer(false)
			}
		}
		if open == 0 {
			break
		}
	}
	for _, c := range s.clients {
		if c.state != simJoined {
			s.fail("client %d did not come to rest: state %d", c.number, c.state)
			continue
		}
		if len(c.pending) > 0 {
			s.fail("client %d waits for replies: %v", c.number, c.pending)
		}
		for request := range c.calls {
			s.fail("call %d of client %d was never answered", request, c.number)
		}
		for id, sub := range c.subs {
			for i := sub.since; i < len(s.published); i++ {
				p := s.published[i]
				owed := pattern{sub.topic, sub.match}.slowMatches(p.topic) && !(p.exclude && p.by == c)
				if owed && !sub.got[i] {
					s.fail("client %d, subscription %d (%q, %d): publication %d of client %d to %q did not come", c.number, id, sub.topic, sub.match, i, p.by.number, p.topic)
				}
			}
		}
		if c.conn.Credit() != s.w.CreditBytes {
			s.fail("client %d: credit %d, want %d", c.number, c.conn.Credit(), s.w.CreditBytes)
		}
	}
	s.settled = len(s.published)
}

// farewell ends every session and looks for what is left behind.
func (s *sim) farewell() {
	if s.w.Rand(2) == 0 {
		s.clients[0].conn.Do(closeRealmOf(s.router))
		for _, c := range s.clients {
			c.state = simKicked
		}
		s.settle()
	}
	for _, c := range s.clients {
		c.conn.HangUp()
		c.state = simGone
	}
	s.settle()
	s.leftBehind()
}

// leftBehind looks for what a router without sessions still holds.
func (s *sim) leftBehind() {
	s.t.Helper()
	if left := s.router.Stats(); left.Sessions != 0 || left.Subscriptions != 0 || left.Registrations != 0 || left.OpenCalls != 0 || left.Violations != 0 {
		s.fail("left behind: %+v", left)
	}
	for _, rm := range s.router.realms {
		leftovers(s, "topic", &rm.topics)
		leftovers(s, "procedure", &rm.procedures)
	}
	for i, l := range s.router.loops {
		if l.sessions != nil {
			s.fail("loop %d still lists sessions", i)
		}
		if n := s.w.Loops[i].Armed(); n != 0 {
			s.fail("loop %d has %d timers", i, n)
		}
	}
	for i := range s.router.peers {
		if n := len(s.router.peers[i].ids); n != 0 {
			s.fail("%d session ids are still taken", n)
		}
	}
}

func leftovers[V any](s *sim, what string, ix *index[V]) {
	for i := range ix.exact {
		if n := ix.exact[i].table.live; n != 0 {
			s.fail("%d exact %ss left behind", n, what)
		}
	}
	if !ix.patterns.root.empty() || ix.patternCount.Load() != 0 {
		s.fail("%s patterns left behind", what)
	}
}

// A simClient is a strict client: it complains about whatever a router must never send (PROTOCOL 4.8).
type simClient struct {
	sim        *sim
	number     int
	conn       *realmtest.Conn
	serializer codec.Serializer
	canceling  bool
	state      simState
	decoder    codec.Decoder

	request        uint64
	pending        map[uint64]simRequest
	subs           map[uint64]*simSub
	regs           map[uint64]*simReg
	calls          map[uint64]*simCall
	invocations    []simInvocation
	lastInvocation uint64
	lastEvent      map[*simClient]int
	lastCall       map[*simClient]uint64
}

type simState uint8

const (
	simJoining simState = iota
	simJoined
	simLeaving // GOODBYE sent
	simGone    // nothing may come any more
	simKicked  // the realm is being closed
)

type simRequest struct {
	t           codec.Type
	topic       string
	match       codec.Match
	id          uint64
	publication int
}

type simSub struct {
	topic   string
	match   codec.Match
	since   int // publications from this index on are owed
	got     map[int]bool
	leaving bool
}

type simReg struct{ leaving bool }

type simCall struct{ progress, canceled bool }

type simInvocation struct {
	id       uint64
	progress bool
	payload  []byte
}

var simTopics = []string{"a", "a.b", "a.b.c", "a.x.c", "b"}

var simPatterns = []pattern{
	{"a", codec.Exact}, {"a.b", codec.Exact}, {"a.b.c", codec.Exact}, {"b", codec.Exact}, {"a.x.c", codec.Exact},
	{"a", codec.Prefix}, {"a.", codec.Prefix}, {"", codec.Prefix}, {"a..c", codec.Wildcard}, {".b", codec.Wildcard}, {"", codec.Wildcard},
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
	switch n := rand(100); {
	case n < 12:
		p := simPatterns[rand(len(simPatterns))]
		id := c.ask(codec.Subscribe, simRequest{topic: p.uri, match: p.match})
		c.send(&codec.Message{Type: codec.Subscribe, Request: id, URI: []byte(p.uri), Dict: c.value(map[string]any{"match": matchName(p.match)})})
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
		id := c.ask(codec.Register, simRequest{topic: p.uri, match: p.match})
		invoke := []string{"single", "roundrobin", "roundrobin", "first", "last", "random"}[rand(6)]
		c.send(&codec.Message{Type: codec.Register, Request: id, URI: []byte(p.uri), Dict: c.value(map[string]any{"match": matchName(p.match), "invoke": invoke})})
	case n < 60:
		for _, id := range slices.Sorted(maps.Keys(c.regs)) {
			if reg := c.regs[id]; !reg.leaving {
				reg.leaving = true
				request := c.ask(codec.Unregister, simRequest{id: id})
				c.send(&codec.Message{Type: codec.Unregister, Request: request, ID: id})
				break
			}
		}
	case n < 78:
		c.request++
		call := &simCall{progress: rand(3) == 0}
		c.calls[c.request] = call
		m := &codec.Message{Type: codec.Call, Request: c.request, URI: []byte(simTopics[rand(len(simTopics))])}
		m.Dict = c.value(map[string]any{"receive_progress": call.progress})
		m.Payload.Args = c.value([]any{int64(c.number), int64(c.request)})
		c.send(m)
	case n < 88:
		if len(c.invocations) > 0 {
			c.answer(true)
		}
	case n < 94:
		for _, id := range slices.Sorted(maps.Keys(c.calls)) {
			if rand(2) == 0 {
				c.calls[id].canceled = true
				mode := []string{"skip", "kill", "killnowait"}[rand(3)]
				c.send(&codec.Message{Type: codec.Cancel, Request: id, Dict: c.value(map[string]any{"mode": mode})})
				break
			}
		}
	case n < 97:
		c.state = simLeaving
		c.send(&codec.Message{Type: codec.Goodbye, URI: []byte("wamp.close.close_realm")})
	default:
		c.state = simGone
		c.conn.HangUp()
		c.remove()
		s.connect(nil)
	}
}

func (c *simClient) remove() {
	c.sim.clients = slices.DeleteFunc(c.sim.clients, func(other *simClient) bool { return other == c })
}

func (c *simClient) publish(topic string) {
	s := c.sim
	p := publication{by: c, topic: topic, exclude: s.w.Rand(3) > 0, ack: s.w.Rand(3) == 0}
	index := len(s.published)
	s.published = append(s.published, p)
	m := &codec.Message{Type: codec.Publish, URI: []byte(topic)}
	if p.ack {
		m.Request = c.ask(codec.Publish, simRequest{publication: index})
	} else {
		c.request++
		m.Request = c.request
	}
	m.Dict = c.value(map[string]any{"acknowledge": p.ack, "exclude_me": p.exclude})
	m.Payload.Args = c.value([]any{int64(index)})
	c.send(m)
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
	m.Payload.Args = inv.payload
	if random && rand(3) == 0 {
		m.Dict = c.value(map[string]any{"progress": true})
		c.send(m)
		return
	}
	if rand(4) == 0 {
		m.Type, m.RequestType, m.URI = codec.Error, codec.Invocation, []byte("com.app.error")
	}
	c.invocations = slices.Delete(c.invocations, i, i+1)
	c.send(m)
	if rand(8) == 0 {
		c.send(m) // an answer too many is discarded
	}
}

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
	case c.state == simJoining && m.Type != codec.Welcome:
		s.fail("client %d: type %d before WELCOME", c.number, m.Type)
	}
	switch m.Type {
	case codec.Welcome:
		c.state = simJoined
	case codec.Goodbye:
		switch {
		case c.state == simLeaving:
			c.state = simGone
			c.remove()
			if s.w.Rand(2) == 0 {
				s.connect(c.conn)
			} else {
				c.conn.HangUp()
				s.connect(nil)
			}
		case c.state != simKicked || string(m.URI) != codec.CloseCloseRealm:
			s.fail("client %d: GOODBYE %s", c.number, m.URI)
		}
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

func (c *simClient) reply(m *codec.Message) {
	s := c.sim
	r, ok := c.pending[m.Request]
	if !ok || r.t != m.Type-1 {
		s.fail("client %d: reply of type %d to request %d, which is not pending", c.number, m.Type, m.Request)
		return
	}
	delete(c.pending, m.Request)
	switch m.Type {
	case codec.Subscribed:
		if c.subs[m.ID] == nil {
			c.subs[m.ID] = &simSub{topic: r.topic, match: r.match, since: len(s.published), got: map[int]bool{}}
		}
	case codec.Unsubscribed:
		delete(c.subs, r.id)
	case codec.Published:
		c.seen(r.publication, m.ID)
	case codec.Registered:
		if c.regs[m.ID] == nil {
			c.regs[m.ID] = &simReg{}
		}
	case codec.Unregistered:
		delete(c.regs, r.id)
	}
}

// seen checks that a publication has one id for everybody.
func (c *simClient) seen(index int, id uint64) {
	p := &c.sim.published[index]
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
	index := int(c.numbers(m)[0])
	p := s.published[index]
	last, heard := c.lastEvent[p.by]
	switch {
	case sub.got[index]:
		s.fail("client %d: publication %d came twice on subscription %d", c.number, index, m.ID)
	case heard && index < last:
		s.fail("client %d: publication %d came after %d of the same publisher", c.number, index, last)
	case index < s.settled:
		s.fail("client %d: publication %d came long after it was done", c.number, index)
	case p.exclude && p.by == c:
		s.fail("client %d hears its own publication %d", c.number, index)
	case !(pattern{sub.topic, sub.match}).slowMatches(p.topic):
		s.fail("client %d: topic %q does not match subscription %q", c.number, p.topic, sub.topic)
	case p.by == c && p.ack && p.id == 0:
		s.fail("client %d: own EVENT before PUBLISHED", c.number)
	}
	sub.got[index] = true
	c.lastEvent[p.by] = index
	c.seen(index, m.Publication)
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
	if m.Request != c.lastInvocation+1 {
		s.fail("client %d: INVOCATION %d after %d", c.number, m.Request, c.lastInvocation)
	}
	c.lastInvocation = m.Request
	call := c.numbers(m)
	for _, caller := range s.clients {
		if caller.number != int(call[0]) {
			continue
		}
		if last := c.lastCall[caller]; uint64(call[1]) <= last {
			s.fail("client %d: call %d of client %d after its call %d", c.number, call[1], caller.number, last)
		}
		c.lastCall[caller] = uint64(call[1])
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
	if n := c.numbers(m); int(n[0]) != c.number || uint64(n[1]) != m.Request {
		s.fail("client %d: RESULT of call %d brings the answer to call %d of client %d", c.number, m.Request, n[1], n[0])
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
		switch string(m.URI) {
		case "com.app.error", codec.ErrNoSuchProcedure:
		case codec.ErrCanceled: // by itself, or the callee left
		default:
			s.fail("client %d: call %d: %s", c.number, m.Request, m.URI)
		}
		return
	}
	r, ok := c.pending[m.Request]
	if !ok || r.t != m.RequestType || r.t != codec.Register || string(m.URI) != codec.ErrProcedureAlreadyExists {
		s.fail("client %d: ERROR %d %d %s", c.number, m.RequestType, m.Request, m.URI)
	}
	delete(c.pending, m.Request)
}

func closeRealmOf(r *Router) func(x port.Executor) {
	return func(x port.Executor) { r.CloseRealm(x, "realm1") }
}
