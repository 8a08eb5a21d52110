package cli

import (
	"context"
	"errors"
	"sync"
	"time"

	"banyan/cmd/config"
	"banyan/codec"
	"banyan/realm"
)

const (
	// spreadPerSecond is how many sessions a second are told to leave at least: fewer are no storm.
	spreadPerSecond = 100
	// spreadWorkers is how many sessions are being told at once.
	spreadWorkers = 16
	// callsPause is how often calls under way are looked at.
	callsPause = 20 * time.Millisecond
	// busyPause is how often sessions are listed to see whose calls have ended.
	busyPause = 250 * time.Millisecond
	// stopReserve is the part of the time for a stop that is left for closing connections.
	stopReserve = 8
)

// stop stops the router within drain.timeout:
//
//  1. grace   connections are still accepted, and the health check already fails
//  2. spread  nobody is accepted any more; sessions are told to leave, one after the other, those with open calls
//     when these have ended, or at the end of the time. Where they are few, all are told when no call is open
//  3. the engine says goodbye to those that are left, and closes
//
// Connections of clients that do not read or do not answer in time are closed. That is no error: more cannot be done.
func (s *service) stop() error {
	d := s.drainSettings()
	deadline := time.Now().Add(d.Timeout)
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-d.Timeout/stopReserve))
	defer cancel()
	if d.Grace > 0 {
		s.log.Info("connections are accepted a little longer, and the health check fails", "grace", d.Grace)
		s.enter(draining)
		pause(ctx, d.Grace)
	}
	if d.Spread > 0 {
		s.spread(ctx, d.Spread)
	}
	if err := s.router.engine.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// The stages of a stop, in order. A reload under way does not go back.
const (
	running  = iota
	draining // the health check fails
	leaving  // and no connection is accepted: who comes back finds another router, or waits
)

// enter begins a stage of the stop.
func (s *service) enter(stage int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage.Store(stage)
	if err := s.router.applyLive(s.live(s.current)); err != nil {
		s.log.Error("cannot tell the engine of the stop", "error", err)
	}
}

// drainSettings are how a stop goes. Its longest time is that of the start, which the engine knows.
func (s *service) drainSettings() config.Drain {
	d := s.inForce().Drain
	d.Timeout = s.started.Drain.Timeout
	return d
}

// pause returns after d, or when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// spread tells sessions to leave over a time of at most longest. Those without open calls are told one after the
// other. The others are told when their calls have ended, or when no more time is left than telling them takes.
func (s *service) spread(ctx context.Context, longest time.Duration) {
	idle, busy := s.sessions(ctx)
	count := len(idle) + len(busy)
	if count < spreadPerSecond {
		s.finishCalls(ctx, longest)
		return
	}
	each := min(longest/time.Duration(count), time.Second/spreadPerSecond)
	s.log.Info("sessions are told to leave", "sessions", count, "over", each*time.Duration(count),
		"in calls", len(busy))
	s.enter(leaving)
	for end := time.Now().Add(longest); ctx.Err() == nil; idle, busy = s.sessions(ctx) {
		s.tell(ctx, idle, each)
		if len(busy) == 0 {
			return
		}
		if time.Until(end) <= each*time.Duration(len(busy))+busyPause {
			s.tell(ctx, busy, each)
			return
		}
		pause(ctx, busyPause)
	}
}

// tell tells sessions to leave, one each interval.
func (s *service) tell(ctx context.Context, sessions []uint64, each time.Duration) {
	var workers sync.WaitGroup
	work := make(chan uint64)
	for range min(spreadWorkers, len(sessions)) {
		workers.Go(func() {
			for id := range work {
				err := s.router.realms.Kill(ctx, id, codec.CloseSystemShutdown, "the router stops")
				if err != nil && !errors.Is(err, realm.ErrNoSuchSession) && ctx.Err() == nil {
					s.log.Error("cannot tell a session to leave", "session", id, "error", err)
				}
			}
		})
	}
	begin := time.Now()
	for i, id := range sessions {
		if left := time.Until(begin.Add(each * time.Duration(i))); left > 0 {
			pause(ctx, left)
		}
		if ctx.Err() != nil {
			break
		}
		work <- id
	}
	close(work)
	workers.Wait()
}

// finishCalls accepts nobody any more and waits until no call is open, for a time of at most longest.
func (s *service) finishCalls(ctx context.Context, longest time.Duration) {
	open := func() int64 { return s.router.realms.Stats().OpenCalls }
	if open() == 0 {
		return
	}
	s.log.Info("calls under way may end", "calls", open(), "within", longest)
	s.enter(leaving)
	for begin := time.Now(); open() > 0 && time.Since(begin) < longest && ctx.Err() == nil; {
		pause(ctx, callsPause)
	}
}

// sessions are all sessions: those without open calls, and the others.
func (s *service) sessions(ctx context.Context) (idle, busy []uint64) {
	for _, uri := range s.router.realms.Realms() {
		some, err := s.router.realms.Sessions(ctx, uri)
		if err != nil && !errors.Is(err, realm.ErrNoSuchRealm) { // it may have been closed meanwhile
			s.log.Error("cannot list sessions", "realm", uri, "error", err)
		}
		for i := range some {
			if some[i].OpenCalls+some[i].OpenInvocations > 0 {
				busy = append(busy, some[i].Session)
			} else {
				idle = append(idle, some[i].Session)
			}
		}
	}
	return idle, busy
}
