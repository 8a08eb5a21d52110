package main

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
)

// A router is the engine and the realms behind it, running.
type router struct {
	engine *engine.Engine
	realms *realm.Router
}

// stopTimeout is how long a stop takes at most unless a flag says otherwise. Process managers kill after 10 s.
const stopTimeout = 8 * time.Second

// start binds the listeners and starts the loops. dedicated says that the process has nothing else to do.
func (c *serveConfig) start(log *slog.Logger, dedicated bool) (*router, error) {
	ec, rc, err := c.configs(log)
	if err != nil {
		return nil, err
	}
	ec.Dedicated = dedicated
	realms, err := realm.New(rc)
	if err != nil {
		return nil, usagef("%v", err)
	}
	asked := ec.ConnectionsMax
	ec.ConnectionsMax = 0 // as many as the limit of open files allows
	e, err := engine.New(ec, realms.Open)
	if err != nil {
		return nil, err
	}
	if asked > 0 && asked < e.ConnectionsMax() {
		live := ec.Live
		live.ConnectionsMax = asked
		if err := e.Apply(live); err != nil {
			return nil, err
		}
	}
	if err := realms.Attach(e); err != nil {
		return nil, err
	}
	if dedicated {
		runtime.GOMAXPROCS(ec.Loops + 1) // a P for each loop, which keeps it, and one for whatever else there is
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return &router{engine: e, realms: realms}, nil
}

// configs joins what the flags say.
func (c *serveConfig) configs(log *slog.Logger) (engine.Config, realm.Config, error) {
	e, r := c.engine, c.limits
	if e.Loops == 0 {
		e.Loops = min(runtime.GOMAXPROCS(0), loopsMax)
	}
	r.Loops = e.Loops
	e.Log, r.Log = log, log
	e.Page = page
	r.Agent = "Banyan " + version
	e.MessageBytesMax = c.messageBytesMax()
	e.CreditBytes, e.BudgetBytes = int64(c.creditBytes), int64(c.budgetBytes)
	e.PingInterval, e.PingTimeout = orNever(c.pingInterval), c.pingTimeout
	e.MessageTimeout = orNever(c.messageTimeout)
	e.StopTimeout = c.shutdownTimeout
	if err := c.conflict(); err != nil {
		return e, r, err
	}
	if c.slowConsumer == "drop-newest" {
		e.SlowConsumer = engine.DropNewest
	}
	e.Origins = engineOrigins(e.Origins)
	e.UnixFiles = map[string]engine.UnixFile{}
	var listeners []listenSpec
	for _, text := range c.listen {
		l, err := parseListen(text)
		if err != nil {
			return e, r, usagef("--listen %s: %v", text, err)
		}
		for _, o := range listeners {
			switch {
			case o.network == l.network && o.target == l.target && o.covers(&l):
				return e, r, usagef("--listen %s is given twice", l.address)
			case o.covers(&l), l.covers(&o):
				return e, r, usagef("--listen %s and --listen %s overlap", o.address, l.address)
			}
		}
		listeners = append(listeners, l)
		e.Listen = append(e.Listen, l.address)
		e.UnixFiles[l.address] = l.file
		r.Listeners = append(r.Listeners, realm.Listener{Anonymous: anonymousRules[l.anonymous]})
	}
	for _, uri := range c.realms {
		rc := c.realm
		rc.URI = uri
		rc.Anonymous = anonymousRules[c.anonymous]
		r.Realms = append(r.Realms, rc)
	}
	if c.autoCreate {
		rc := c.realm
		rc.Anonymous = anonymousRules[c.anonymous]
		r.Templates = []realm.Template{{Match: codec.Prefix, RealmConfig: rc}}
	}
	return e, r, nil
}

// orNever is a time of the engine's configuration, where 0 stands for the default.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// loopsMax is how many loops an engine may have.
const loopsMax = 64

// stop says goodbye to every session and ends the loops, within --shutdown-timeout. The engine closes the connections
// of clients that do not read or do not answer in time, and says so. That is no error: more cannot be done.
func (r *router) stop() error { return r.engine.Stop(context.Background()) }
