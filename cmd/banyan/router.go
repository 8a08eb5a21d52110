package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"banyan/engine"
	"banyan/realm"
)

// A router is the engine and the realms behind it, running.
type router struct {
	engine *engine.Engine
	realms *realm.Router
	log    *slog.Logger  // nil: nothing is logged
	grace  time.Duration // how long a stop may take in all; 0 is stopTimeout
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
	e, err := engine.New(ec, realms.Open)
	if err != nil {
		return nil, err
	}
	if dedicated {
		runtime.GOMAXPROCS(ec.Loops + 1) // a P for each loop, which keeps it, and one for whatever else there is
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return &router{engine: e, realms: realms, log: log, grace: c.shutdownTimeout}, nil
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
	e.CreditBytes = int64(c.creditBytes)
	e.PingInterval = c.pingInterval
	if c.pingInterval == 0 {
		e.PingInterval = -1
	}
	if c.slowConsumer == "drop-newest" {
		e.SlowConsumer = engine.DropNewest
	}
	e.UnixFiles = map[string]engine.UnixFile{}
	for _, text := range c.listen {
		l, err := parseListen(text)
		if err != nil {
			return e, r, usagef("--listen %s: %v", text, err)
		}
		if slices.Contains(e.Listen, l.address) && !strings.HasSuffix(l.address, ":0") {
			return e, r, usagef("--listen %s is given twice", l.address)
		}
		e.Listen = append(e.Listen, l.address)
		e.UnixFiles[l.address] = l.file
	}
	for _, uri := range c.realms {
		if len(uri) > r.URIBytesMax {
			return e, r, usagef("--realm %s is longer than --uri-bytes-max %d", uri, r.URIBytesMax)
		}
		rc := c.realm
		rc.URI = uri
		rc.AnonymousAnywhere = c.anonymous == "anywhere"
		r.Realms = append(r.Realms, rc)
	}
	if len(r.Realms) > r.RealmsMax {
		return e, r, usagef("--realms-max %d: there are %d realms already", r.RealmsMax, len(r.Realms))
	}
	return e, r, nil
}

// loopsMax is how many loops an engine may have.
const loopsMax = 64

// stop says goodbye to every session and ends the loops. Clients that do not read or do not answer are waited for until a sixteenth of the grace
// is left, for everything else; then their connections are closed. That is no error: more cannot be done.
func (r *router) stop() error {
	grace := cmp.Or(r.grace, stopTimeout)
	grace -= grace / 16
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := r.engine.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		if r.log != nil {
			r.log.Warn("clients that did not say goodbye in time were cut off", "waited", grace)
		}
		return nil
	}
	return err
}
