package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"time"

	"banyan/bench/judge"
	"banyan/codec"
)

// An IdlePlan is sessions that do nothing. It measures their memory, and whether the router gives it back after they
// have left. In the end every session says GOODBYE; the router must answer it, and a session lost before that is a
// failure.
type IdlePlan struct {
	Options
	Sessions int // default 10 000
}

const (
	filesReserve  = 100              // descriptors of a client process that are not sessions
	givenBackMax  = 10 * time.Second // how long memory is watched after the sessions left
	givenBackPart = 0.8              // of the sessions' memory, which counts as all: a runtime keeps some tables
)

// Idle runs plan; errors and reports are as Fanout's. Memory per session is the growth of the router, so the router
// should be fresh.
func Idle(ctx context.Context, plan IdlePlan) (*Report, error) {
	defaultTo(&plan.Sessions, 10_000)
	if plan.Sessions < 1 {
		return nil, Usage("%d sessions: at least one", plan.Sessions)
	}
	if err := plan.check(); err != nil {
		return nil, err
	}
	if most := filesMax() - filesReserve; plan.Sessions > most {
		return nil, Usage("%d sessions: the file limit of this process allows %d (ulimit -n)", plan.Sessions, most)
	}
	plan.Syscalls = SyscallsNone // no messages to count them by
	r := newRun(plan.Options)
	defer r.hangUp()
	// Some sessions come and go first: they load pages of code, which must not count as memory of the sessions.
	if _, err := r.join(ctx, min(plan.Sessions, joinsAtOnce)); err != nil {
		return nil, err
	}
	r.hangUp()
	r.closing.Store(false)
	m := newReadings(&r.Options)
	before := m.rss(m.router)
	began := r.now()
	conns, err := r.join(ctx, plan.Sessions)
	if err != nil {
		return nil, err
	}
	joining := r.now() - began
	if err := r.measure(ctx, plan.Sessions, m.router, m); err != nil {
		return nil, err
	}
	m.perSession, m.sessions = max(m.rssEnd-before, 0)/int64(plan.Sessions), plan.Sessions

	var answered atomic.Int64
	leaving := func(_ context.Context, i int) error {
		c := conns[i]
		c.SetReadDeadline(time.Now().Add(connectTimeout))
		if err := c.Send(&goodbye); err != nil {
			return err
		}
		if _, err := answerOf(c, codec.Goodbye); err != nil {
			r.failures.add(fmt.Sprintf("sessions lost: %v", err), 1)
		} else {
			answered.Add(1)
		}
		return nil
	}
	// They all leave even if the measuring was interrupted: the report tells how many were still there.
	if err := each(context.WithoutCancel(ctx), len(conns), leaving); err != nil {
		return nil, err
	}
	r.hangUp()
	r.received.Store(answered.Load())
	out := m.report("idle", r, Plan{Sessions: plan.Sessions}, int64(plan.Sessions))
	out.Plan.Loop, out.Plan.InFlight, out.Plan.Rate, out.Plan.PayloadBytes = "", 0, 0, 0
	out.Figures = append(out.Figures, Figure{
		"joining", judge.Ratio(float64(plan.Sessions), joining.Seconds()),
		"sessions/s",
	})
	if out.Router != nil && before > 0 && m.rssEnd > before {
		out.Figures = append(out.Figures, givenBack(ctx, m, before)...)
	}
	return out, nil
}

// givenBack watches the router's memory until most of what the sessions took is given back.
func givenBack(ctx context.Context, m *readings, before int64) []Figure {
	took := float64(m.rssEnd - before)
	start := time.Now()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		part := (took - float64(m.rss(m.router)-before)) / took
		waited := time.Since(start)
		if part >= givenBackPart || waited > givenBackMax || ctx.Err() != nil {
			return []Figure{
				{"given back", judge.Round3(100 * part), "%"},
				{"after", judge.Round3(waited.Seconds()), "s"},
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
		}
	}
}

// IdleMax returns how many idle sessions this process and a router that it starts can hold. Both have the same file
// limit, and both need some descriptors for other things.
func IdleMax() int { return max(filesMax()-4*filesReserve, 0) }

// filesMax is how many descriptors this process may have.
func filesMax() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 1 << 10
	}
	return int(min(l.Cur, 1<<30))
}
