package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"banyan/cmd/config"
	"banyan/engine"
	"banyan/realm"
)

// A router is the engine and the realms behind it, running.
type router struct {
	engine *engine.Engine
	realms *realm.Router

	listeners []config.Listener // those that run, in the order of the engine
	loops     int
	filesMax  int // how many connections the limit of open files allows
	keys      *keys
	tls       map[string]engine.ListenTLS // by address
	acme      *acme
	history   *keeper
}

// newRouter binds the listeners and starts the loops. dedicated says that the process has nothing else to do.
func newRouter(f *config.File, log *slog.Logger, dedicated bool) (_ *router, err error) {
	fetched := newACME(f, log)
	ec, err := engineConfig(f, fetched, log)
	if err != nil {
		return nil, usagef("%v", err)
	}
	ec.Dedicated = dedicated
	r := &router{listeners: f.Listeners, loops: ec.Loops, tls: ec.TLS, acme: fetched, history: newKeeper(f, log)}
	ec.AuthoritiesChanged = func() { r.review(log) }
	if err = r.acme.prepare(r.listeners); err != nil {
		return nil, err
	}
	if r.keys, err = newKeys(f, nil, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.keys.refuse()
			r.acme.close()
			err = errors.Join(err, r.history.close())
		}
	}()
	ec.Cookie = cookieRules(f, &f.Cookies, r.keys.cookies)
	rc, err := realmConfig(f, r.listeners, r.loops, r.keys, log)
	if err == nil {
		err = r.history.open(&rc)
	}
	if err == nil {
		r.realms, err = realm.New(rc)
	}
	if err != nil {
		return nil, usagef("%v", err)
	}
	live := ec.Live
	ec.ConnectionsMax = 0 // as many as the limit of open files allows
	if r.engine, err = engine.New(ec, r.realms.Open); err != nil {
		return nil, fewFiles(err, ec.Loops)
	}
	r.filesMax = r.engine.ConnectionsMax()
	if err = r.applyLive(live); err != nil {
		return nil, errors.Join(err, r.engine.Stop(context.Background()))
	}
	if err = r.realms.Attach(r.engine); err != nil {
		return nil, err
	}
	r.acme.bound(r.listeners, r.engine.Addrs())
	r.acme.apply(r.listeners)
	if dedicated {
		runtime.GOMAXPROCS(ec.Loops + 1) // a P for each loop, which keeps it, and one for whatever else there is
	}
	if err = r.engine.Start(); err != nil {
		return nil, fewFiles(err, ec.Loops)
	}
	go r.history.expire(r.realms)
	return r, nil
}

// fewFiles explains an error that the limit of open files has caused: loops need some even without connections.
func fewFiles(err error, loops int) error {
	if !errors.Is(err, syscall.EMFILE) {
		return err
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return err
	}
	return &hintedError{
		code: exitFailed,
		what: fmt.Sprintf("the limit of open files, %d, is too small for %s", limit.Cur,
			counted(loops, "event loop")),
		why: err,
		try: "raise the limit (ulimit -n, LimitNOFILE= of systemd) to the number of connections that you expect " +
			"and 100 more, or start with fewer --loops",
	}
}

// applyLive changes what the engine lets change. More connections than the limit of open files allows are not
// promised.
func (r *router) applyLive(live engine.Live) error {
	if live.ConnectionsMax > r.filesMax {
		live.ConnectionsMax = r.filesMax
	}
	return r.engine.Apply(live)
}

// review has sessions leave that could not come back, after a file with authorities has changed by itself.
func (r *router) review(log *slog.Logger) {
	err := r.realms.Review(func(done realm.Report) {
		log.Info("the authorities of a listener have changed", "sessions_told_to_leave", done.SessionsDismissed)
	})
	if err != nil {
		log.Debug("sessions are not looked at after the authorities of a listener have changed", "cause", err)
	}
}

// stop says goodbye to every session and ends the loops, within drain.timeout. The engine closes the connections
// of clients that do not read or do not answer in time, and says so. That is no error: more cannot be done.
func (r *router) stop() error {
	r.acme.close()
	return errors.Join(r.engine.Stop(context.Background()), r.history.close())
}
