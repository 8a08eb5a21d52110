// Package realm is the brain of the router: realms, sessions, broker and dealer. It knows neither sockets nor time;
// an engine hands it whole messages through engine/port, loop by loop.
//
// Every field says who owns it, in one of four phrases:
//
//	Fixed at …            set once before anybody else can see it
//	Owned by loop         touched only in handlers, jobs and timers of the session's home loop
//	Guarded by conn lock  the queue rule of engine/port: truth about a session changes where its bytes are appended
//	Any goroutine         atomic or behind a lock of its own
//
// Lock order: never two conn locks, no conn lock under the mutex of an index or the other way round.
package realm

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
	"banyan/realm/history"
	"banyan/realm/index"
)

// A Router holds the realms. Its Open is a port.Opener.
type Router struct {
	log      *slog.Logger     // fixed by New
	bounds   bounds           // fixed by New
	depthMax int              // fixed by New
	started  time.Time        // fixed by New
	clock    func() time.Time // fixed by New, but for tests: what time it is
	// aside runs work on a goroutine of its own and then done on the loop; it returns false, and runs neither, if too
	// many are under way. Fixed by New, but for tests.
	aside func(x port.Executor, work func(), done func(x port.Executor)) bool
	// background runs what waits for a disk on a goroutine of its own. Fixed by New, but for tests.
	background func(work func())
	perLoop    []*perLoop // fixed by New; perLoop[i] is owned by loop i, its counters are read by Stats
	ids        idSource   // any goroutine
	directory  directory  // any goroutine

	settings atomic.Pointer[Config]       // any goroutine; replaced under mu
	loops    atomic.Pointer[port.Loops]   // any goroutine; set by Attach
	realms   index.Index[realm]           // any goroutine reads; changed under mu
	count    atomic.Int64                 // realms
	listed   atomic.Int64                 // ids in all metaLists
	limiter  atomic.Pointer[auth.Limiter] // replaced under mu
	asking   atomic.Int32                 // goroutines that ask an Authenticator
	places   poolPlaces                   // in the pool, for work of sessions

	memory          *history.Memory // fixed by New; any goroutine
	historyCharged  atomic.Int64    // bytes of the budget that memory has; any goroutine
	retainedCharged atomic.Int64    // bytes of the budget that retained events have; any goroutine
	freed           atomic.Int64    // of these, bytes that giveBack is to give back; any goroutine
	queries         atomic.Int32    // get_events that are under way
	storing         []storingList   // fixed by New; by loop

	mu    sync.Mutex
	named map[string]*realm // guarded by mu: the same realms
}

// A perLoop is what the realm keeps for one executor: the reused parts of message handling. Owned by loop, except for
// the counters.
type perLoop struct {
	counters   counters
	batch      batchCounts
	longEvents longEvents

	checks checks

	decoder  codec.Decoder
	message  codec.Message
	raw      []byte    // the message under way; lent
	set      *settings // of the realm of the message under way
	details  codec.Details
	keeping  keeping         // of the PUBLISH under way
	out      []byte          // scratch for one encoded message
	matches  []*subscription // scratch for one PUBLISH
	exact    *registration   // of the CALL under way
	builders []*builder      // free ones
	forms    forms           // of the payload of the message under way
	deflated []byte          // scratch for one compressed event
	slab     []call          // records for the next calls
	gaveBack int             // things of sessions that were given back, in all, to see what a goodbye cost

	historyWarned paced // about events that a history did not take
	listsWarned   paced // about lists of publications that are unknown
}

// New makes a router from cfg, or says what is wrong with cfg.
func New(cfg Config) (*Router, error) {
	cfg = cfg.clone()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &Router{
		log: cfg.Log, bounds: usualBounds, depthMax: cfg.DepthMax, named: make(map[string]*realm),
		started: time.Now(), clock: time.Now,
		memory: history.NewMemory(cfg.HistoryBytesMax), storing: make([]storingList, cfg.Loops),
	}
	r.aside = r.goAside
	r.background = func(work func()) { go work() }
	r.limiter.Store(auth.NewLimiter(cfg.AuthFailures))
	r.settings.Store(&cfg)
	for range cfg.Loops {
		l := new(perLoop)
		l.decoder.SetDepthMax(cfg.DepthMax)
		r.perLoop = append(r.perLoop, l)
	}
	for _, rc := range cfg.Realms {
		r.addRealm(newRealm(r, &cfg, rc))
	}
	return r, nil
}

// uptime is a clock that does not go back. Any goroutine.
func (r *Router) uptime() time.Duration { return r.clock().Sub(r.started) }

// goAside implements aside. The loops must be attached.
func (r *Router) goAside(x port.Executor, work func(), done func(x port.Executor)) bool {
	if r.asking.Add(1) > authenticatorsAtOnce {
		r.asking.Add(-1)
		return false
	}
	loop := x.Loop()
	go func() {
		work()
		r.asking.Add(-1)
		_ = r.submit(loop, done) // where the loop does not take it, the timer ends the wait
	}()
	return true
}

// Open makes the handler of a connection whose transport handshake is complete, and starts its HELLO timer. It is a
// port.Opener.
func (r *Router) Open(x port.Executor, c port.Conn) port.Handler {
	if x.Loops() != len(r.perLoop) {
		panic("realm: Config.Loops differs from the number of loops that run")
	}
	return r.open(x, c)
}

func (r *Router) open(x port.Executor, c port.Conn) *handler {
	h := &handler{router: r, conn: c}
	h.timer.Fire = h.expire
	x.Start(&h.timer, r.settings.Load().HelloTimeout)
	return h
}

// template returns what the first template that matches makes of a realm of that name.
func (cfg *Config) template(uri string) (rc RealmConfig, found bool) {
	for i := range cfg.Templates {
		if t := &cfg.Templates[i]; t.matches(uri) {
			rc = t.RealmConfig
			rc.URI = uri
			return rc, true
		}
	}
	return rc, false
}

// matches reports whether t makes a realm of that name (PROTOCOL 3.4).
func (t *Template) matches(uri string) bool {
	if t.Match == codec.Prefix {
		return strings.HasPrefix(uri, t.URI)
	}
	for pattern, more := t.URI, true; more; {
		var want, got string
		var moreURI bool
		want, pattern, more = strings.Cut(pattern, ".")
		got, uri, moreURI = strings.Cut(uri, ".")
		if more != moreURI || want != "" && want != got {
			return false
		}
	}
	return true
}

// addRealm makes rm known. mu is held, or the router is new.
func (r *Router) addRealm(rm *realm) {
	rm.topics, rm.procedures = new(index.Index[subscription]), new(index.Index[registration])
	rm.users.Store(0)
	r.named[rm.uri] = rm
	r.realms.Put(rm.uri, codec.Exact, rm)
	r.count.Add(1)
	rm.recordHistory(rm.settings.Load())
}

// dropRealm makes rm unknown. A join that found it before is complete when its loop says goodbye to the sessions of
// rm. mu is held.
func (r *Router) dropRealm(rm *realm) {
	delete(r.named, rm.uri)
	r.realms.Remove(rm.uri, codec.Exact)
	r.count.Add(-1)
	rm.forgetHistory()
}
