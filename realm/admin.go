package realm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
)

// These functions act on a running router. Operators and embedding programs call them from any goroutine that is not
// a loop: those that take a context wait for loops.

var (
	// ErrNoSuchRealm is returned for a realm that does not exist.
	ErrNoSuchRealm = errors.New("realm: no such realm")
	// ErrNoSuchSession is returned for a session that does not exist, or has left meanwhile.
	ErrNoSuchSession = errors.New("realm: no such session")
	// ErrRealmExists is returned by CreateRealm.
	ErrRealmExists = errors.New("realm: the realm exists already")
	// ErrStopped is returned when the loops of the router have ended, or were never attached.
	ErrStopped = errors.New("realm: the router does not run")
)

// Attach tells the router how to reach the loops that call Open: once, before the first connection. It fails when
// they are not as many as Config.Loops says.
func (r *Router) Attach(loops port.Loops) error {
	if n := loops.Len(); n != len(r.perLoop) {
		return fmt.Errorf("realm: configured for %d loops, but %d run", len(r.perLoop), n)
	}
	r.loops.Store(&loops)
	return nil
}

// submit runs f on a loop.
func (r *Router) submit(loop int, f func(x port.Executor)) error {
	if loops := r.loops.Load(); loops == nil || !(*loops).Submit(loop, f) {
		return ErrStopped
	}
	return nil
}

// onLoops runs f on every loop as a job, which may come back for more turns, and then done once, on the last of them.
func (r *Router) onLoops(f func(x port.Executor, budget int) (more bool), done func()) error {
	var pending atomic.Int32
	pending.Store(int32(len(r.perLoop)))
	for i := range r.perLoop {
		job := &adminJob{f, func() {
			if pending.Add(-1) == 0 {
				done()
			}
		}}
		// No session uses lane 0.
		if err := r.submit(i, func(x port.Executor) { x.Post(x.Loop(), 0, job) }); err != nil {
			return err
		}
	}
	return nil
}

// An adminJob is one loop's part of what onLoops does.
type adminJob struct {
	run  func(x port.Executor, budget int) (more bool)
	done func()
}

// Run goes on with it.
func (j *adminJob) Run(x port.Executor, budget int) (more bool) {
	if j.run(x, budget) {
		return true
	}
	j.done()
	return false
}

// Apply replaces the configuration: realms that cfg has and the router has not are created, those that cfg has not
// are closed, and the settings of all others are replaced, from the next message of each session on. A realm made by
// a template stays if a template matches it, until its last session leaves. DepthMax, Loops and Log of cfg are
// ignored.
//
// Sessions that have lost their right to be there are told GOODBYE, and subscriptions and registrations that
// permissions deny now are taken away: the report counts them. What histories and retained events have beyond new
// bounds goes. Apply returns when that is done; on the error of ctx, or ErrStopped, the configuration is in force all
// the same. On any other error nothing has changed. A disk that has not dropped everything when ctx ends goes on:
// that is no error, and get_events keeps to the new number and age of events all the same.
func (r *Router) Apply(ctx context.Context, cfg Config) (Report, error) {
	done := make(chan Report, 1)
	if err := r.apply(cfg, func(report Report) { done <- report }); err != nil {
		return Report{}, err
	}
	select {
	case report := <-done:
		if cfg.Disk != nil {
			if err := cfg.Disk.Trim(ctx); err != nil {
				r.log.Warn("histories on disk still have events beyond their bounds", "error", err)
			}
		}
		return report, nil
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
}

// apply is Apply without the wait: done is called on a loop, or at once if no loops are attached.
func (r *Router) apply(cfg Config, done func(Report)) error {
	cfg = cfg.clone()
	cfg.DepthMax, cfg.Loops, cfg.Log = r.depthMax, len(r.perLoop), r.log
	if err := cfg.check(); err != nil {
		return err
	}
	var created, closed, changed []*realm
	r.mu.Lock()
	if cfg.AuthFailures != r.settings.Load().AuthFailures {
		r.limiter.Store(auth.NewLimiter(cfg.AuthFailures))
	}
	r.settings.Store(&cfg)
	wanted := map[string]bool{}
	for _, rc := range cfg.Realms {
		wanted[rc.URI] = true
		rm := r.named[rc.URI]
		if rm == nil {
			rm = newRealm(r, &cfg, rc)
			r.addRealm(rm)
			created = append(created, rm)
			continue
		}
		rm.automatic.Store(false)
		rm.configure(&cfg, rc)
		changed = append(changed, rm)
	}
	for uri, rm := range r.named {
		if wanted[uri] {
			continue
		}
		if rc, found := cfg.template(uri); found && rm.automatic.Load() {
			rm.configure(&cfg, rc)
			changed = append(changed, rm)
			continue
		}
		r.dropRealm(rm)
		closed = append(closed, rm)
	}
	r.mu.Unlock()
	r.trim(changed)
	// The loops go through realms in the same order in every run.
	slices.SortFunc(closed, byURI)
	slices.SortFunc(changed, byURI)
	report := Report{Created: uris(created), Closed: uris(closed), Changed: uris(changed)}
	return r.review(report, closed, changed, done)
}

// Realms returns the URIs of all realms, sorted. Those made by templates are among them while they have sessions.
func (r *Router) Realms() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.named))
}

// CreateRealm adds a realm. It fails with ErrRealmExists, or because rc is no good.
func (r *Router) CreateRealm(rc RealmConfig) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cfg := *r.settings.Load()
	if err := cfg.checkRealm(&rc, codec.Exact); err != nil {
		return err
	}
	if r.named[rc.URI] != nil {
		return fmt.Errorf("%w: %q", ErrRealmExists, rc.URI)
	}
	r.addRealm(newRealm(r, r.settings.Load(), rc))
	return nil
}

// CloseRealm removes a realm: nobody can join it any more, and every session in it is told GOODBYE
// wamp.close.close_realm. It returns when all have been told, or when ctx is done; the realm is closed then all the
// same.
func (r *Router) CloseRealm(ctx context.Context, uri string) error {
	done := make(chan struct{})
	if err := r.closeRealm(uri, func() { close(done) }); err != nil {
		return err
	}
	return wait(ctx, done)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// closeRealm is CloseRealm without the wait: done is called on a loop.
func (r *Router) closeRealm(uri string, done func()) error {
	r.mu.Lock()
	rm := r.named[uri]
	if rm != nil {
		r.dropRealm(rm)
	}
	r.mu.Unlock()
	if rm == nil {
		return fmt.Errorf("%w: %q", ErrNoSuchRealm, uri)
	}
	return r.sayGoodbye(rm, done)
}

// sayGoodbye ends all sessions of a realm that is closed, in chunks.
func (r *Router) sayGoodbye(rm *realm, done func()) error {
	return r.onLoops(func(x port.Executor, budget int) (more bool) {
		list := &rm.sessions[x.Loop()]
		for n := max(x.Grant(min(budget, listChunk)), 1); n > 0 && list.head != nil; {
			list.head.quiet = true
			n -= list.head.handler.goodbye(x, codec.CloseCloseRealm, "the realm is closed", port.CloseNormal)
		}
		if list.head != nil {
			return true
		}
		rm.closeHidden(x)
		return false
	}, done)
}

// Kill ends a session with GOODBYE, for a reason (a URI; default wamp.close.killed) and with a message for humans. It
// returns when the session has been told. It fails with ErrNoSuchSession.
func (r *Router) Kill(ctx context.Context, session uint64, reason, message string) error {
	done := make(chan struct{})
	var found bool
	if err := r.kill(session, reason, message, func(ok bool) { found = ok; close(done) }); err != nil {
		return err
	}
	if err := wait(ctx, done); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %d", ErrNoSuchSession, session)
	}
	return nil
}

func (r *Router) kill(session uint64, reason, message string, done func(ok bool)) error {
	if reason == "" {
		reason = codec.CloseKilled
	}
	if !codec.ValidURI([]byte(reason), codec.Exact, false) {
		return fmt.Errorf("realm: %q is not a valid URI for a reason", reason)
	}
	s := r.directory.find(session)
	if s == nil {
		return fmt.Errorf("%w: %d", ErrNoSuchSession, session)
	}
	return r.submit(s.home, func(x port.Executor) {
		ok := !s.left
		if ok {
			s.handler.goodbye(x, reason, message, port.CloseNormal)
		}
		done(ok)
	})
}

// A SessionInfo describes one session.
type SessionInfo struct {
	Session                    uint64
	AuthID, AuthRole           string
	AuthMethod, AuthProvider   string // "local" for local sessions
	Transport, Address         string // as in port.Peer; "" on Unix sockets and for local sessions
	Subscriptions              int
	Registrations              int
	OpenCalls, OpenInvocations int
}

// Sessions returns the sessions of a realm, in no order: those that are there all the time, and perhaps some that
// join or leave meanwhile. The loops are asked in chunks, so a realm of a million sessions keeps nobody waiting. It
// fails with ErrNoSuchRealm.
func (r *Router) Sessions(ctx context.Context, uri string) ([]SessionInfo, error) {
	rm := r.realms.Find([]byte(uri), codec.Exact)
	if rm == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoSuchRealm, uri)
	}
	done := make(chan struct{})
	parts := make([][]SessionInfo, len(r.perLoop))
	if err := r.listSessions(rm, func(loop int, s SessionInfo) { parts[loop] = append(parts[loop], s) },
		func() { close(done) }); err != nil {
		return nil, err
	}
	if err := wait(ctx, done); err != nil {
		return nil, err
	}
	return slices.Concat(parts...), nil
}

// listSessions calls each for every session of rm, on the session's loop, and then done.
func (r *Router) listSessions(rm *realm, each func(loop int, s SessionInfo), done func()) error {
	cursors := make([]*cursor, len(r.perLoop)) // each owned by its loop
	return r.onLoops(func(x port.Executor, budget int) (more bool) {
		loop := x.Loop()
		list := &rm.sessions[loop]
		c := cursors[loop]
		if c == nil {
			c = list.begin()
			cursors[loop] = c
		}
		for n := max(min(budget, listChunk), 1); n > 0 && c.next != nil; n-- {
			s := c.next
			c.next = s.next
			each(loop, s.info(x))
		}
		if c.next != nil {
			return true
		}
		list.end(c)
		return false
	}, done)
}

func (s *session) info(x port.Executor) SessionInfo {
	peer := s.conn.Peer()
	i := SessionInfo{
		Session: s.id, AuthID: s.who().AuthID, AuthRole: s.who().AuthRole,
		Transport: peer.Transport, Address: peer.Address,
		Subscriptions: len(s.subscriptions), Registrations: len(s.registrations),
	}
	i.AuthMethod, i.AuthProvider = s.authMethod()
	x.Step("conn.lock")
	s.conn.Lock()
	i.OpenCalls, i.OpenInvocations = s.calls.len(), s.invocations.len()
	s.conn.Unlock()
	return i
}
