//go:build linux

// Package engine moves bytes: event loops, connections, WebSocket and RawSocket on one port, outbound queues, lanes and timers. It knows
// nothing of topics or procedures; what it reads goes to the port.Handler of a connection, and what that says goes out through
// port.Conn. It runs on Linux (epoll, timerfd, eventfd, accept4).
package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/port"
)

// An Engine is a set of loops and the listeners that feed them.
type Engine struct {
	// Fixed at New.
	cfg         Config
	opener      port.Opener
	loops       []*loop
	listeners   []*listener
	rawExponent byte
	epoch       time.Time

	// Any goroutine.
	open atomic.Int64  // connections
	turn atomic.Uint64 // deals connections out to loops
	left vacancies     // places for those who stay on the accepting loop
	rare rareCounters

	reserveMu sync.Mutex
	reserve   reserve

	mu      sync.Mutex
	state   engineState
	stopped chan struct{}
}

type engineState uint8

const (
	stateNew engineState = iota
	stateRunning
	stateStopping
)

// ErrStarted is what Start returns when the engine runs already or has been stopped.
var ErrStarted = errors.New("engine: already started")

// New checks cfg and binds its listeners; clients can connect from then on and are served after Start. open makes the Handler of each
// connection. The error says what to do, for instance which address is in use.
func New(cfg Config, open port.Opener) (*Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if open == nil {
		return nil, errors.New("engine: an Opener is needed")
	}
	e := &Engine{cfg: cfg, opener: open, rawExponent: cfg.rawSocketExponent(), epoch: time.Now(), stopped: make(chan struct{}), reserve: reserve{-1}}
	if err := e.build(); err != nil {
		for _, ls := range e.listeners {
			ls.close(nil)
		}
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *Engine) build() error {
	var err error
	if e.reserve, err = newReserve(); err != nil {
		return err
	}
	for i := range e.cfg.Loops {
		l, err := newLoop(e, i)
		e.loops = append(e.loops, l)
		if err != nil {
			return err
		}
	}
	for i, address := range e.cfg.Listen {
		ls, err := listen(e, address)
		if err != nil {
			return err
		}
		e.listeners = append(e.listeners, ls)
		l := e.loops[i%len(e.loops)]
		if err := ls.attach(l); err != nil {
			return err
		}
		l.listeners[ls.fd] = ls
	}
	return nil
}

// release closes every descriptor of an engine whose loops do not run.
func (e *Engine) release() {
	for _, l := range e.loops {
		for _, c := range l.arrivals.conns {
			_ = unix.Close(int(c.q.fd))
			e.open.Add(-1)
		}
		l.release()
	}
	e.reserveMu.Lock()
	if e.reserve.fd >= 0 {
		_ = unix.Close(e.reserve.fd)
		e.reserve.fd = -1
	}
	e.reserveMu.Unlock()
}

// Addrs returns the addresses the engine listens on, in the order of Config.Listen, with the port that was chosen for port 0.
func (e *Engine) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(e.listeners))
	for i, ls := range e.listeners {
		addrs[i] = ls.addr
	}
	return addrs
}

// ConnectionsMax returns how many connections may be open at once: Config.ConnectionsMax, or what the limit of open files allows.
func (e *Engine) ConnectionsMax() int { return e.cfg.ConnectionsMax }

// Start begins to serve. It does not block. A dedicated engine needs GOMAXPROCS above the number of its loops.
func (e *Engine) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != stateNew {
		return ErrStarted
	}
	if procs := runtime.GOMAXPROCS(0); e.cfg.Dedicated && procs <= len(e.loops) {
		return fmt.Errorf("engine: GOMAXPROCS is %d; a dedicated engine of %d loops needs one more than loops", procs, len(e.loops))
	}
	e.state = stateRunning
	for _, l := range e.loops {
		go l.run()
	}
	return nil
}

// Stop ends the engine: listeners first, then Handler.Shutdown on every connection; when all of them have said goodbye and are gone, or
// ctx is done, whatever is left is closed and the loops end. No goroutine or descriptor stays behind. It returns ctx.Err() when
// the grace was not enough. Any goroutine; a second call waits for the first.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	was := e.state
	e.state = stateStopping
	e.mu.Unlock()
	switch was {
	case stateStopping:
		select {
		case <-e.stopped:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case stateNew:
		for _, ls := range e.listeners {
			ls.close(nil)
		}
		e.release()
		close(e.stopped)
		return nil
	}
	for _, l := range e.loops {
		l.post(note{kind: noteStop})
	}
	var err error
	for _, l := range e.loops {
		select {
		case <-l.empty:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	for _, l := range e.loops {
		l.post(note{kind: noteKill})
	}
	for _, l := range e.loops {
		<-l.done
	}
	e.release()
	close(e.stopped)
	return err
}
