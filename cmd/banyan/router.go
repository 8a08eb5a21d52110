package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

// start checks the flags, binds the listeners and starts the loops. dedicated says that the process has nothing else to do.
func (c *serveConfig) start(log *slog.Logger, dedicated bool) (*router, error) {
	if c.loops < 0 || c.loops > 64 {
		return nil, usagef("--loops %d: must be 1 to 64, or 0", c.loops)
	}
	if c.cpuProfile != "" && (c.profileRate < 1 || c.profileRate > 500) {
		return nil, usagef("--cpu-profile-rate %d: must be 1 to 500", c.profileRate)
	}
	loops := c.loops
	if loops == 0 {
		loops = min(runtime.GOMAXPROCS(0), 64)
	}
	if c.anonymous != "local" && c.anonymous != "anywhere" {
		return nil, usagef("--anonymous %q: use local or anywhere", c.anonymous)
	}
	if c.shutdownTimeout < 0 {
		return nil, usagef("--shutdown-timeout %v: must not be negative", c.shutdownTimeout)
	}
	policy := engine.Disconnect
	switch c.slowConsumer {
	case "disconnect":
	case "drop-newest":
		policy = engine.DropNewest
	default:
		return nil, usagef("--slow-consumer %q: use disconnect or drop-newest", c.slowConsumer)
	}
	rc := realm.Config{Agent: "Banyan " + version, Loops: loops, Log: log}
	for _, uri := range c.realms {
		rc.Realms = append(rc.Realms, realm.RealmConfig{
			URI: uri, AnonymousAnywhere: c.anonymous == "anywhere", StrictURIs: c.strictURIs,
		})
	}
	realms, err := realm.New(rc)
	if err != nil {
		return nil, usagef("%v", err)
	}
	e, err := engine.New(engine.Config{
		Dedicated: dedicated,
		Listen:    c.listen, Loops: loops, MessageBytesMax: int(c.messageBytes), BacklogBytesMax: int(c.backlogBytes),
		SlowConsumer: policy, Origins: c.origins, ConnectionsMax: c.connections, Page: page, Log: log,
	}, realms.Open)
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	if dedicated {
		runtime.GOMAXPROCS(loops + 1) // a P for each loop, which keeps it, and one for whatever else there is
	}
	if err := e.Start(); err != nil {
		return nil, err
	}
	return &router{engine: e, realms: realms, log: log, grace: c.shutdownTimeout}, nil
}

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
