package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"banyan/cmd/config"
)

// A service is the router that serve runs, with what operators do to it: reload, drain, look.
type service struct {
	// Fixed by newService.
	source  *serveConfig
	env     []string
	log     *slog.Logger
	level   *slog.LevelVar
	router  *router
	started *config.File // what it was started with: options that need a restart have these values
	since   time.Time
	pause   func(time.Duration)
	drained chan struct{} // closed when an operator asks for a stop
	once    sync.Once     // of closing drained
	stage   atomic.Int32  // of a stop: running, draining, leaving
	running atomic.Bool   // the router runs, and a reload has something to change; any goroutine

	mu      sync.Mutex   // held by one reload at a time
	current *config.File // guarded by mu; what is in force
	applied time.Time    // guarded by mu; when it came in force
	restart []string     // guarded by mu; options that differ from started and need a restart
	refused string       // guarded by mu; why the last reload was, empty if it was applied
	wrong   bool         // guarded by mu; the last reload was refused for an error in the files
}

// serve runs the router until ctx ends, or a drain is asked for.
func (c *serveConfig) serve(ctx context.Context, out, errs io.Writer) error {
	env := os.Environ()
	f, report, err := c.load(env)
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(levelOf(f.Log.Level))
	// The end of a reader of the banner or the log is not the end of the router: writing to it fails, that is all.
	signal.Ignore(syscall.SIGPIPE)
	say := newConsole(out, errs, f.Log.Format, level)
	defer say.close()
	s := &service{
		source: c, env: env, log: say.log, level: level, started: f.WithoutUsers(), current: f, since: time.Now(),
		pause: time.Sleep, applied: time.Now(), drained: make(chan struct{}),
	}
	hangups := s.onHangup() // before anybody can know that the router is there
	control, err := listenControl(f)
	if err != nil {
		return err
	}
	defer control.close()
	if s.router, err = newRouter(f, say.log, true); err != nil {
		return err
	}
	control.serve(s)
	profiled, err := startProfile(c.cpuProfile, c.profileRate)
	if err != nil {
		return errors.Join(usagef("--cpu-profile: %v", err), s.router.stop())
	}
	r := s.router
	announce(say.out, f, r.engine.Addrs(), r.engine.ConnectionsMax())
	warn(say.log, report)
	warnOfFiles(say.log, f, r.engine.ConnectionsMax())
	say.log.Info("started", "pid", os.Getpid(), "listen", r.engine.Addrs())
	s.running.Store(true)
	running, end := context.WithCancel(ctx)
	go s.untilEnd(end, hangups)
	go s.watch(running, f.Process.Watch)
	spaced := spaceCollections(r.engine.BudgetBytes())
	keepMemory(running.Done(), r)
	spaced()
	end()
	signal.Reset(os.Interrupt, syscall.SIGTERM) // one more stops at once, however the stop was asked for
	fmt.Fprintln(say.out, "stopping; once more to stop at once")
	say.log.Info("stopping", "connections", r.engine.Stats().Connections)
	if err := errors.Join(s.stop(), profiled()); err != nil {
		say.log.Error("the router did not end in good order", "error", err)
		return errSaid
	}
	say.log.Info("stopped")
	return nil
}

// untilEnd calls end when the terminal has hung up or an operator has asked for a stop.
func (s *service) untilEnd(end context.CancelFunc, hangups <-chan struct{}) {
	select {
	case <-hangups:
	case <-s.drained:
	}
	end()
}

// drain asks for a stop. Any goroutine; again is nothing.
func (s *service) drain() { s.once.Do(func() { close(s.drained) }) }
