package realm

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/realmtest"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "replay only this seed of TestSimulate")
	seedsFlag = flag.Int("seeds", 100, "how many seeds TestSimulate runs")
)

// TestSimulate lets clients at random subscribe, publish, register, call, cancel, answer and leave, while loops
// interleave between any two accesses to shared state, and checks what every client sees against a slow model.
// Replay: go test ./realm -run Simulate -seed=42.
//
// SES-02, SES-26, SES-34, SES-49; SUB-02, SUB-08, SUB-18; PUB-07, PUB-11, PUB-56, ID-11, ID-12; RPC-10, RPC-14,
// RPC-46, RPC-71, RPC-72, RPC-73, RPC-86, RPC-87, RPC-88; RPC-36, RPC-39, RPC-44; ORD-01 … ORD-09, ORD-11;
// PPT-01 … PPT-08; PUB-30, RPC-80; PUB-41 … PUB-54; META-44.
func TestSimulate(t *testing.T) {
	t.Attr("checklist", "SES-02 SES-26 SES-34 SES-49 SUB-02 SUB-08 SUB-18 PUB-07 PUB-11 PUB-56 "+
		"ID-11 ID-12 RPC-10 RPC-14 RPC-36 RPC-39 RPC-44 RPC-46 RPC-71 RPC-72 RPC-73 RPC-86 RPC-87 RPC-88 "+
		"ORD-01 ORD-02 ORD-03 ORD-04 ORD-05 ORD-06 ORD-07 ORD-08 ORD-09 ORD-11 "+
		"PPT-01 PPT-02 PPT-03 PPT-04 PPT-05 PPT-06 PPT-07 PPT-08 PUB-30 RPC-80 META-44 "+
		"PUB-41 PUB-42 PUB-43 PUB-44 PUB-45 PUB-46 PUB-47 PUB-48 PUB-49 PUB-50 PUB-51 PUB-52 PUB-53 PUB-54")
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

	over       []*simClient // their connections have ended
	violations int64
	quiet      bool // a session has ended of which no meta event tells

	rules     *simRules // nil: everybody is anonymous and may do everything
	shared    string    // the policy of all registrations, and much is called and rerouted; or ""
	automatic bool      // realm1 is made by a template
	retention Retention
	sharding  bool
	shards    simShards
	history   *simHistory // nil: none is kept
	listings  []*listing
	published []publication
	testators []*simClient // of testaments, in order
	settled   int          // publications before this index are known to be delivered
}

type publication struct {
	by      *simClient
	topic   string
	exclude bool
	ack     bool
	id      uint64 // publication id, once anybody has seen it
	not     uint64 // session that is excluded
	lists   simLists
	retain  bool
	denied  bool   // its publisher may not publish to the topic
	scheme  string // of payload passthru mode, or ""
	rkey    string // or ""
	maybe   bool   // its publisher was told that the node stops before this may have been handled

	unstored bool      // the disk did not take it, so it was refused
	sent     time.Time // by the clock
	reloads  int       // of the configuration, before it was sent
	trust    int64     // its trust level and 2, once anybody has seen it; 1: none
}

func simulate(t *testing.T, seed uint64) {
	w := realmtest.NewWorld(seed, 1+int(seed%3))
	s := &sim{t: t, seed: seed, w: w}
	if s.sharding = w.Rand(3) == 0; s.sharding {
		s.checkShards() // begins
	}
	if w.Rand(2) == 0 {
		s.rules = newSimRules(s)
	} else {
		s.automatic = w.Rand(2) == 0
	}
	if w.Rand(3) == 0 {
		s.shared = []string{"roundrobin", "first", "last", "random", "x_least_outstanding"}[w.Rand(5)]
	}
	if w.Rand(3) == 0 {
		s.retention = Retention{EventsMax: 1 + w.Rand(4)}
	}
	s.history = newSimHistory(s)
	cfg := s.config()
	cfg.Loops, cfg.DeflateBytesMin = len(w.Loops), 1
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.clock = func() time.Time { return noon.Add(w.Now()) }
	if s.history != nil {
		r.background = s.history.disk.background
	}
	s.router = r
	w.Open = r.Open
	if err := r.Attach(w); err != nil {
		t.Fatal(err)
	}
	w.Switch = []int{0, 10, 50, 90}[w.Rand(4)]
	if w.Rand(2) == 0 {
		w.Budget, w.Chunk = 1+w.Rand(8), 1+w.Rand(3)
	}
	if w.Rand(3) == 0 {
		w.CreditBytes = int64(1 + w.Rand(300))
	}
	if w.Rand(2) == 0 { // nearly everything takes more than one turn
		w.AsyncMax = w.Rand(3)
		r.bounds = bounds{
			largeBytes: 1 + w.Rand(80), directBytes: w.Rand(20), transcodeWork: w.Rand(8), octetsAtOnce: w.Rand(80),
			deflateOctets: w.Rand(80), deflateGain: -1000,
			matchesAtOnce: w.Rand(4), searchAtOnce: 1 + w.Rand(20), retainedAtOnce: w.Rand(3),
			farewellAtOnce: w.Rand(4), listedIDs: []int64{0, 1 << 20}[w.Rand(2)],
		}
	}
	if s.rules != nil {
		s.rules.open()
	}
	for range 4 + w.Rand(5) {
		s.connect(nil)
	}
	for range 4 {
		for range 60 + w.Rand(120) {
			if w.Rand(3) == 0 {
				s.clients[w.Rand(len(s.clients))].act()
			} else if w.Rand(20) == 0 {
				s.advance(10 * time.Millisecond)
			} else if w.Rand(50) == 0 {
				s.list()
			} else if w.Rand(60) == 0 {
				s.reload()
			} else if w.Rand(60) == 0 {
				s.history.expire()
			} else if w.Rand(4) == 0 && s.history.step() {
				continue
			} else if w.Rand(4) == 0 && s.rules.answer() {
				continue
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

// config returns a configuration, at random where it may change at run time.
func (s *sim) config() Config {
	cfg := Config{Realms: []RealmConfig{{URI: "realm1"}}}
	if s.rules != nil {
		cfg = s.rules.config()
	} else if s.automatic {
		cfg = Config{Templates: []Template{{Match: codec.Prefix}}, RealmsMax: 1}
	}
	for i := range cfg.Realms {
		cfg.Realms[i].Retention, cfg.Realms[i].Sharding = s.retention, s.sharding
	}
	for i := range cfg.Templates {
		cfg.Templates[i].Retention, cfg.Templates[i].Sharding = s.retention, s.sharding
	}
	s.history.configure(&cfg)
	return cfg
}

// advance moves the clock.
func (s *sim) advance(d time.Duration) {
	s.w.Advance(d)
	if s.history != nil {
		s.history.clocks = append(s.history.clocks, s.router.clock())
	}
}

// A simConn is the connection of a simulated client.
type simConn interface {
	Variant() codec.Variant
	Send(b []byte)
	Next() []byte
	HangUp()
	Shutdown()
	SetFull(full bool)
	Credit() int64
}

// A simLocal is a local session as a simulated client.
type simLocal struct {
	s     *sim
	home  int
	conn  *localConn
	heard [][]byte
}

func (l *simLocal) Variant() codec.Variant { return localVariant }
func (l *simLocal) SetFull(bool)           {}
func (l *simLocal) Credit() int64          { return l.s.w.CreditBytes - localCredit + l.conn.credit.Load() }
func (l *simLocal) HangUp()                { l.s.w.Submit(l.home, l.conn.hangUp) }

func (l *simLocal) Shutdown() {
	l.s.w.Submit(l.home, func(x port.Executor) { l.conn.handler.Shutdown(x) })
}

func (l *simLocal) Send(b []byte) {
	l.s.w.Submit(l.home, func(x port.Executor) {
		if !l.conn.over {
			l.conn.send(x, b)
		}
	})
}

func (l *simLocal) Next() []byte {
	if len(l.heard) == 0 {
		return nil
	}
	b := l.heard[0]
	l.heard = l.heard[1:]
	return b
}

// join adds a client that is a local session.
func (s *sim) join() {
	l := &simLocal{s: s, home: s.w.Rand(len(s.w.Loops))}
	c := s.newClient(l, true)
	s.w.Submit(l.home, func(x port.Executor) {
		var err error
		l.conn, err = s.router.openLocal(x, "realm1", codec.Identity{AuthRole: trustedRole},
			func(_ port.Executor, b []byte) { l.heard = append(l.heard, b) }, func(port.Executor) {})
		if err != nil {
			s.fail("%v", err)
			return
		}
		c.joined(l.conn.handler.session.id)
	})
}

func (s *sim) newClient(conn simConn, canceling bool) *simClient {
	s.born++
	c := &simClient{
		sim: s, number: s.born, conn: conn, serializer: conn.Variant().Serializer(), canceling: canceling,
		pending: map[uint64]simRequest{}, subs: map[uint64]*simSub{}, regs: map[uint64]*simReg{},
		calls: map[uint64]*simCall{}, chunks: map[uint64]*simChunks{},
		lastEvent: map[*simClient]int{}, lastCall: map[*simClient]uint64{},
	}
	s.clients = append(s.clients, c)
	return c
}

// A listing is a walk over the sessions of the realm. Those that are there all the time have to be listed, and nobody
// twice.
type listing struct {
	before map[uint64]*simClient
	seen   map[uint64]int
	ended  bool
}

func (s *sim) list() {
	rm := s.router.named["realm1"]
	if rm == nil {
		return // automatic, and nobody is there
	}
	l := &listing{before: map[uint64]*simClient{}, seen: map[uint64]int{}}
	for _, c := range s.clients {
		if c.state == simJoined {
			l.before[c.session] = c
		}
	}
	s.listings = append(s.listings, l)
	if err := s.router.listSessions(rm, func(_ int, i SessionInfo) { l.seen[i.Session]++ },
		func() { l.ended = true }); err != nil {
		s.fail("%v", err)
	}
}

func (s *sim) checkListings() {
	for _, l := range s.listings {
		if !l.ended {
			s.fail("a list of sessions has no end")
		}
		for id, n := range l.seen {
			if n > 1 {
				s.fail("session %d is listed %d times", id, n)
			}
		}
		for id, c := range l.before {
			if c.state == simJoined && c.session == id && l.seen[id] == 0 {
				s.fail("client %d, session %d, is not listed", c.number, id)
			}
		}
	}
	s.listings = nil
}

// connect adds a client on a new connection, or on one whose last session said goodbye.
func (s *sim) connect(conn *realmtest.Conn) {
	if conn == nil && s.w.Rand(6) == 0 && !s.automatic {
		s.join()
		return
	}
	if conn == nil {
		v := codec.MakeVariant(codec.Serializer(1+s.w.Rand(3)),
			[]codec.Framing{codec.WebSocket, codec.RawSocket, codec.WebSocketBatch}[s.w.Rand(3)])
		if s.w.Rand(2) == 0 {
			v = v.Deflating()
		}
		conn = s.w.Connect(s.w.Rand(len(s.w.Loops)), v, 1<<20, true)
	}
	c := s.newClient(conn, s.w.Rand(4) > 0)
	c.streams = s.w.Rand(4) > 0
	c.passes = s.w.Rand(3) > 0
	c.reroutes = s.w.Rand(2) > 0
	passes := map[string]any{"features": map[string]any{passthru: c.passes}}
	features := map[string]any{
		"progressive_call_results": true, "call_canceling": c.canceling, "progressive_call_invocations": c.streams,
		passthru:                  c.passes,
		"call_reroute":            c.reroutes,
		"registration_revocation": true,
	}
	revoked := map[string]any{"features": map[string]any{"subscription_revocation": true}}
	details := map[string]any{"roles": map[string]any{
		"publisher": passes, "subscriber": revoked, "caller": passes,
		"callee": map[string]any{"features": features},
	}}
	s.rules.hello(c, details)
	dict, err := codec.AppendValue(nil, c.serializer, details)
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
	s.history.observe()
	for _, c := range slices.Concat(s.clients, s.over) {
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
	for {
		for s.w.Step() {
			s.drain()
		}
		s.drain()
		if s.history.step() || s.rules.answer() {
			continue
		}
		if !s.retries() {
			return
		}
		s.advance(retryAfter)
	}
}

// retries reports whether a loop waits for room in the pool.
func (s *sim) retries() bool {
	for _, l := range s.w.Loops {
		if l.ArmedWithin(retryAfter) {
			return true
		}
	}
	return false
}

// checkpoint brings everything to rest: callees answer, then every call is answered and every event delivered.
func (s *sim) checkpoint() {
	for {
		s.settle()
		open := 0
		for _, c := range s.clients {
			c.checkChunks()
			open += len(c.invocations)
			for len(c.invocations) > 0 {
				c.answer(false)
			}
		}
		s.checkOpen()
		if open == 0 {
			break
		}
	}
	s.checkListings()
	s.rules.check()
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
			for i := max(sub.since, s.settled); i < len(s.published); i++ {
				p := s.published[i]
				admitted, _ := c.admitted(p.lists)
				owed := realmtest.Matches(sub.topic, sub.match, p.topic) && !(p.exclude && p.by == c) &&
					p.not != c.session && admitted && (p.rkey == "" || sub.nkey == "")
				if owed && !s.perhapsRefused(&p) && !s.history.perhapsUnstored(i) && !p.maybe && !p.denied &&
					!p.unstored && !sub.got[i] {
					s.fail("client %d, subscription %d (%q, %d): publication %d of client %d to %q did not come",
						c.number, id, sub.topic, sub.match, i, p.by.number, p.topic)
				}
			}
		}
		if c.conn.Credit() != s.w.CreditBytes {
			s.fail("client %d: credit %d, want %d", c.number, c.conn.Credit(), s.w.CreditBytes)
		}
	}
	s.checkRetained()
	s.checkShards()
	s.history.check()
	s.checkRoles()
	s.settled = len(s.published)
}

// checkOpen checks, when everything is at rest or clients have just sent something, that every callee that is limited
// counts exactly the invocations that it has.
func (s *sim) checkOpen() {
	for _, rm := range s.router.named {
		for i := range rm.sessions {
			for e := rm.sessions[i].head; e != nil; e = e.next {
				open := map[*callee]int32{}
				for _, c := range e.invocations.list(1 << 20) {
					open[c.to]++
				}
				for _, c := range e.registrations {
					if n := c.open.Load(); c.tally && n != open[c] || c.concurrency > 0 && n > c.concurrency {
						s.fail("a callee of %s counts %d of %d open invocations, at most %d", c.reg.uri, n, open[c],
							c.concurrency)
					}
				}
			}
		}
	}
}

// farewell ends every session and looks for what is left behind.
func (s *sim) farewell() {
	if s.w.Rand(2) == 0 {
		if err := s.router.closeRealm("realm1", func() {}); err != nil && !s.automatic {
			s.fail("%v", err)
		}
		for _, c := range s.clients {
			c.state = simKicked
		}
		s.settle()
	}
	for _, c := range s.clients {
		c.conn.HangUp()
		c.state = simGone
	}
	if s.rules != nil {
		s.w.Submit(s.rules.conn.home, s.rules.conn.hangUp)
	}
	s.settle()
	s.history.end()
	s.leftBehind()
}

// leftBehind looks for what a router without sessions still holds.
func (s *sim) leftBehind() {
	s.t.Helper()
	if left := s.router.Stats(); left.Sessions != 0 || left.Subscriptions != 0 || left.Registrations != 0 ||
		left.OpenCalls != 0 || left.Violations != s.violations {
		s.fail("left behind: %+v", left)
	}
	for _, rm := range s.router.named {
		if n := rm.users.Load(); n != 0 || rm.automatic.Load() {
			s.fail("the realm %s is there with %d users, automatic %v", rm.uri, n, rm.automatic.Load())
		}
		if !rm.topics.Empty() {
			s.fail("topics left behind")
		}
		if !rm.procedures.Empty() {
			s.fail("procedures left behind")
		}
		for i := range rm.sessions {
			if list := &rm.sessions[i]; list.head != nil || len(list.cursors) > 0 {
				s.fail("loop %d still lists sessions, or walks over them", i)
			}
		}
	}
	if n := s.w.Charged() - s.retainedBytes() - s.history.charged(); n != 0 {
		s.fail("%d bytes are still charged", n)
	}
	if n := s.router.retainedCharged.Load() - s.retainedBytes(); n != 0 {
		s.fail("%d bytes more are charged for retained events than they take", n)
	}
	if n := s.router.Stats().Realms; n != int64(len(s.router.named)) {
		s.fail("%d realms are counted, there are %d", n, len(s.router.named))
	}
	for i := range s.router.perLoop {
		if n := s.w.Loops[i].Armed(); n != 0 {
			s.fail("loop %d has %d timers", i, n)
		}
	}
	ids := 0
	for _, rm := range s.router.named {
		if rm.meta.voice != nil {
			ids-- // the router's own, as those of askers
		}
		if n := len(rm.meta.queue); n != 0 || rm.meta.running {
			s.fail("%d meta events wait", n)
		}
		for _, k := range rm.askers {
			if k != nil {
				ids--
				if n := len(k.open); n != 0 {
					s.fail("%d questions are open", n)
				}
			}
		}
		if n := rm.held.sessions.Load() + rm.held.subscriptions.Load() + rm.held.registrations.Load(); n != 0 {
			s.fail("the realm counts what is not there: %d", n)
		}
	}
	for i := range s.router.directory.shards {
		ids += len(s.router.directory.shards[i].sessions)
	}
	if ids != 0 {
		s.fail("%d session ids are still taken", ids)
	}
}
