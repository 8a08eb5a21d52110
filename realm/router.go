// Package realm is the brain of the router: realms, sessions, broker and dealer. It knows neither sockets nor time; an engine hands
// it whole messages through engine/port, loop by loop.
//
// Who owns what, in the four phrases used on every field:
//
//	Fixed at …            set once before anybody else can see it
//	Owned by loop         touched only in handlers, jobs and timers of the session's home loop
//	Guarded by conn lock  the queue rule of engine/port: truth about a session changes where its bytes are appended
//	Any goroutine         atomic or behind a lock of its own
//
// Lock order: never two conn locks, no conn lock under the mutex of an index or the other way round.
package realm

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// Config is the router's configuration. Zero values mean the defaults; New checks it once.
type Config struct {
	Realms         []RealmConfig // at least one; URIs differ
	AutoCreate     bool          // a HELLO for an unknown valid realm creates it, with the options of Realms[0]
	RealmsMax      int           // realms AutoCreate may reach, configured ones included; default 10 000
	Agent          string        // WELCOME.Details.agent; default "Banyan"
	HelloTimeout   time.Duration // from the open connection, or the end of the last session on it, to HELLO; default 10 s
	GoodbyeTimeout time.Duration // from our GOODBYE to the peer's; default 5 s
	Loops          int           // number of executors that will call Open, 1 to 64; default 1

	SubscriptionsMax int // per session; default 1 000 000; more: ERROR option_not_allowed
	RegistrationsMax int // per session; default 1 000 000; more: ERROR option_not_allowed
	CallsMax         int // open calls per caller, and open invocations per callee; default 1 000 000; more: ERROR option_not_allowed, network_failure
	URIBytesMax      int // topics, procedures and realms; default 1024; longer: invalid_uri

	Log *slog.Logger // default: nothing is logged
}

// RealmConfig is one realm.
type RealmConfig struct {
	URI               string // non-empty components, loose check (PROTOCOL 3.1)
	StrictURIs        bool   // topics and procedures must keep to [0-9a-z_] (PROTOCOL 3.1)
	StrictRequestIDs  bool   // request ids must be sequential from 1, or the session is aborted (PROTOCOL 2)
	EnforceRoles      bool   // a request of a role that HELLO did not announce aborts the session (PROTOCOL 1.4)
	ForbidDisclosure  bool   // disclose_me and disclose_caller are refused (PROTOCOL 7.5, 8.9)
	AnonymousAnywhere bool   // anonymous peers may come from other machines; otherwise from loopback and Unix sockets only
}

// A Router holds the realms. Its Open is a port.Opener.
type Router struct {
	cfg   Config        // fixed by New
	log   *slog.Logger  // fixed by New
	loops []*loop       // fixed by New; loops[i] is owned by loop i, its counters are read by Stats
	ids   idSource      // any goroutine
	peers [16]peerShard // any goroutine; all sessions by id

	mu     sync.Mutex
	realms map[string]*realm // guarded by mu
}

// idsKept is how large the map of a shard may have been to be kept when it is empty: maps never shrink.
const idsKept = 64

// peerShard holds the ids of live sessions, so that each is unique on the router.
type peerShard struct {
	mu   sync.Mutex
	ids  map[uint64]struct{}
	most int // ids at one time since the map was made
	_    [40]byte
}

// A loop is what the realm keeps for one executor: the reused parts of message handling. Owned by loop, except for the counters.
type loop struct {
	counters counters
	fresh    fresh

	decoder  codec.Decoder
	message  codec.Message
	details  codec.Details
	out      []byte          // scratch for one encoded message
	matches  []*subscription // scratch for one PUBLISH
	builders []*builder      // free ones
	slab     []call          // records for the next calls
	sessions *session        // head of the list of joined sessions
}

// scratchBytesMax is the size up to which a loop keeps a scratch buffer for the next message.
const scratchBytesMax = 1 << 20

// New makes a router from cfg, or says what is wrong with cfg.
func New(cfg Config) (*Router, error) {
	setDefault(&cfg.RealmsMax, 10_000)
	setDefault(&cfg.Agent, "Banyan")
	setDefault(&cfg.HelloTimeout, 10*time.Second)
	setDefault(&cfg.GoodbyeTimeout, 5*time.Second)
	setDefault(&cfg.Loops, 1)
	setDefault(&cfg.SubscriptionsMax, 1_000_000)
	setDefault(&cfg.RegistrationsMax, 1_000_000)
	setDefault(&cfg.CallsMax, 1_000_000)
	setDefault(&cfg.URIBytesMax, 1024)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(cfg.Realms) == 0:
		return nil, errors.New("realm: configure at least one realm")
	case cfg.Loops < 1 || cfg.Loops > 64:
		return nil, fmt.Errorf("realm: %d loops: must be 1 to 64", cfg.Loops)
	case cfg.HelloTimeout < 0 || cfg.GoodbyeTimeout < 0:
		return nil, errors.New("realm: a timeout is negative")
	case cfg.RealmsMax < 0 || cfg.SubscriptionsMax < 0 || cfg.RegistrationsMax < 0 || cfg.CallsMax < 0 || cfg.URIBytesMax < 0:
		return nil, errors.New("realm: a limit is negative")
	}
	r := &Router{cfg: cfg, log: cfg.Log, realms: make(map[string]*realm)}
	for range cfg.Loops {
		r.loops = append(r.loops, new(loop))
	}
	for i := range r.peers {
		r.peers[i].ids = make(map[uint64]struct{})
	}
	for _, rc := range cfg.Realms {
		if len(rc.URI) > cfg.URIBytesMax || !codec.ValidURI([]byte(rc.URI), codec.Exact, false) {
			return nil, fmt.Errorf("realm: %q is not a valid realm URI", rc.URI)
		}
		if r.realms[rc.URI] != nil {
			return nil, fmt.Errorf("realm: %q is configured twice", rc.URI)
		}
		r.realms[rc.URI] = newRealm(r, rc)
	}
	return r, nil
}

func setDefault[T comparable](v *T, def T) {
	if *v == *new(T) {
		*v = def
	}
}

// Open makes the handler of a connection whose transport handshake is complete, and starts its HELLO timer. It is a port.Opener.
func (r *Router) Open(x port.Executor, c port.Conn) port.Handler {
	if x.Loops() != len(r.loops) {
		panic("realm: Config.Loops differs from the number of loops that run")
	}
	h := &handler{router: r, conn: c}
	h.timer.Fire = h.expire
	x.Start(&h.timer, r.cfg.HelloTimeout)
	return h
}

// CloseRealm removes a realm: nobody can join it any more, and each loop says GOODBYE wamp.close.close_realm to its sessions in it, in the
// course of its next turns. It reports whether the realm existed. To be called on a loop.
func (r *Router) CloseRealm(x port.Executor, uri string) bool {
	r.mu.Lock()
	rm := r.realms[uri]
	delete(r.realms, uri)
	r.mu.Unlock()
	if rm == nil {
		return false
	}
	// A join that saw the realm open is complete before its loop runs this job.
	rm.closed.Store(true)
	for i := range x.Loops() {
		x.Post(i, 0, &closeJob{router: r, realm: rm})
	}
	return true
}

// A closeJob says goodbye to the sessions of one realm on one loop.
type closeJob struct {
	router *Router
	realm  *realm
}

// Run closes up to budget sessions.
func (j *closeJob) Run(x port.Executor, budget int) (more bool) {
	l := j.router.loops[x.Loop()]
	for s := l.sessions; s != nil; {
		next := s.next
		if s.realm == j.realm {
			if budget <= 0 {
				return true
			}
			budget--
			s.handler.goodbye(x, codec.CloseCloseRealm, "the realm is closed", port.CloseNormal)
		}
		s = next
	}
	return false
}

// realm returns the realm of that name, made now if the configuration allows it, or nil.
func (r *Router) realm(uri []byte) *realm {
	r.mu.Lock()
	defer r.mu.Unlock()
	rm := r.realms[string(uri)]
	if rm == nil && r.cfg.AutoCreate && len(r.realms) < r.cfg.RealmsMax {
		rc := r.cfg.Realms[0]
		rc.URI = string(uri)
		rm = newRealm(r, rc)
		r.realms[rc.URI] = rm
	}
	return rm
}

func (r *Router) realmCount() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.realms)
}

// drawSessionID returns an id that no live session of the router has, and holds it until releaseSessionID (PROTOCOL 2).
func (r *Router) drawSessionID(x port.Executor) uint64 {
	for {
		id := codec.ID(x.Rand())
		x.Step("peers.lock")
		shard := &r.peers[id%uint64(len(r.peers))]
		shard.mu.Lock()
		_, taken := shard.ids[id]
		if !taken {
			shard.ids[id] = struct{}{}
		}
		shard.mu.Unlock()
		if !taken {
			return id
		}
	}
}

func (r *Router) releaseSessionID(x port.Executor, id uint64) {
	x.Step("peers.lock")
	shard := &r.peers[id%uint64(len(r.peers))]
	shard.mu.Lock()
	shard.most = max(shard.most, len(shard.ids))
	delete(shard.ids, id)
	if len(shard.ids) == 0 && shard.most > idsKept {
		shard.ids, shard.most = make(map[uint64]struct{}), 0
	}
	shard.mu.Unlock()
}
