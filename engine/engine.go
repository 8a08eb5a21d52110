//go:build linux

// Package engine moves bytes: event loops, connections, WebSocket and RawSocket on one port, with TLS or without,
// outbound queues, lanes and timers. It knows nothing of topics or procedures; what it reads goes to the port.Handler
// of a connection, and what that says goes out through port.Conn. It runs on Linux (epoll, timerfd, eventfd,
// accept4).
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

	"banyan/engine/internal/poll"
	"banyan/engine/port"
)

// An Engine is a set of loops and the listeners that feed them.
type Engine struct {
	// Fixed at New.
	cfg        Config // of Live only what New was given; see live
	opener     port.Opener
	loops      []*loop
	listeners  []*listener
	epoch      time.Time
	pool       *pool
	replays    bool // a simulation: the same seed makes the same run
	hidden     bool // loops hide their waits; fixed at Start
	chunkBytes int  // chunkBytes; less in the simulation
	// credentialsEvery is credentialsEvery; less in tests.
	credentialsEvery time.Duration
	now              func() int64  // nanoseconds since epoch
	longPollHold     time.Duration // longPollHold and longPollIdle; less in tests
	longPollIdle     time.Duration

	// Any goroutine.
	live       atomic.Pointer[Live] // immutable; Apply replaces it
	open       atomic.Int64         // connections within the limit
	admission  admission
	refusing   atomic.Int64  // connections over the limit that are still to be told so
	dealt      atomic.Uint64 // connections dealt out to loops in turn
	departures departures
	longPolls  longPolls
	budget     budget
	rare       rareCounters
	warnings   warnings

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

// New checks cfg and binds its listeners; clients can connect from then on and are served after Start. open makes the
// Handler of each connection. The error says what to do, for instance which address is in use.
func New(cfg Config, open port.Opener) (*Engine, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if open == nil {
		return nil, errors.New("engine: an Opener is needed")
	}
	e := newEngine(cfg, open)
	if err := e.build(); err != nil {
		for _, ls := range e.listeners {
			ls.close(nil)
		}
		e.release()
		return nil, err
	}
	return e, nil
}

func newEngine(cfg Config, open port.Opener) *Engine {
	e := &Engine{
		cfg: cfg, opener: open, epoch: time.Now(), stopped: make(chan struct{}), reserve: reserve{-1},
		chunkBytes: chunkBytes, credentialsEvery: credentialsEvery,
		longPollHold: longPollHold, longPollIdle: longPollIdle,
	}
	e.now = func() int64 { return int64(time.Since(e.epoch)) }
	e.live.Store(&e.cfg.Live)
	e.budget.bytesMax = cfg.BudgetBytes
	e.admission.rateTime.Store(-int64(time.Second)) // a second is saved up
	e.pool = newPool(e)
	return e
}

func (e *Engine) build() error {
	var err error
	if e.reserve, err = newReserve(); err != nil {
		return err
	}
	for i := range e.cfg.Loops {
		p, err := poll.Open()
		if p != nil {
			e.loops = append(e.loops, newLoop(e, i, p))
		}
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
	}
	for i, address := range e.cfg.Listen {
		ls, err := listen(e, address)
		if err != nil {
			return err
		}
		ls.index, ls.name = i, e.cfg.listenName(address)
		ls.transport, ls.opening = newPlain, e.cfg.newOpening(address)
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
			c.transport.close(int(c.fd))
			e.open.Add(-1)
		}
		l.poller.Close()
	}
	e.reserveMu.Lock()
	if e.reserve.fd >= 0 {
		_ = unix.Close(e.reserve.fd)
		e.reserve.fd = -1
	}
	e.reserveMu.Unlock()
}

// Addrs returns the addresses the engine listens on, in the order of Config.Listen, with the port that was chosen for
// port 0.
func (e *Engine) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(e.listeners))
	for i, ls := range e.listeners {
		addrs[i] = ls.addr
	}
	return addrs
}

// ConnectionsMax returns how many connections may be open at once: Live.ConnectionsMax as New or the last Apply set
// it, or what the limit of open files allows. Any goroutine.
func (e *Engine) ConnectionsMax() int { return e.live.Load().ConnectionsMax }

// BudgetBytes returns the budget of memory: Config.BudgetBytes, or what was chosen without it. Any goroutine.
func (e *Engine) BudgetBytes() int64 { return e.budget.bytesMax }

// Start begins to serve. It does not block. A dedicated engine needs GOMAXPROCS above the number of its loops.
func (e *Engine) Start() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != stateNew {
		return ErrStarted
	}
	procs := runtime.GOMAXPROCS(0)
	if e.cfg.Dedicated && procs <= len(e.loops) {
		return fmt.Errorf("engine: GOMAXPROCS is %d; a dedicated engine of %d loops needs one more than loops", procs,
			len(e.loops))
	}
	if e.cfg.Dedicated {
		e.hidden = poll.Preemptible()
		if !e.hidden {
			e.cfg.Log.Warn("the runtime cannot interrupt threads here; " +
				"loops wait where the scheduler sees them, which costs some CPU")
		}
	}
	e.state = stateRunning
	e.pool.spare = int64(max(procs-len(e.loops), 0))
	e.pool.start()
	e.watchCredentials()
	for _, l := range e.loops {
		go l.run()
	}
	return nil
}

// Stop ends the engine: listeners first, then Handler.Shutdown on every connection. When all of them have said
// goodbye and are gone, or ctx is done, or Config.StopTimeout is over, the other connections are closed and the loops
// end. No descriptor stays behind, and no goroutine but work of the pool that ignores its context. It returns
// ctx.Err() if ctx was done first. Any goroutine; a second call waits for the first.
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
		for _, l := range e.loops {
			l.mail.abandon()
		}
		e.pool.close(ctx)
		e.release()
		close(e.stopped)
		return nil
	}
	grace, cancel := context.WithTimeout(ctx, e.cfg.StopTimeout-e.cfg.StopTimeout/stopReserve)
	defer cancel()
	e.pool.cancel()
	for _, l := range e.loops {
		l.post(note{kind: noteStop})
	}
	for _, l := range e.loops {
		select {
		case <-l.empty:
		case <-grace.Done():
		}
	}
	if grace.Err() != nil {
		e.cfg.Log.Warn("connections that have not said goodbye are closed", "open", e.open.Load())
	}
	for _, l := range e.loops {
		l.post(note{kind: noteKill})
	}
	for _, l := range e.loops {
		<-l.done
	}
	e.pool.close(grace)
	e.tellAllOmitted()
	e.release()
	close(e.stopped)
	return ctx.Err()
}
