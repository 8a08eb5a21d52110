//go:build linux

package engine

import (
	"context"
	"time"

	"banyan/engine/port"
)

// The loop as the handlers and jobs that run on it see it (port.Executor).

// Loop implements port.Executor.
func (l *loop) Loop() int { return l.index }

// Loops implements port.Executor.
func (l *loop) Loops() int { return len(l.engine.loops) }

// Rand implements port.Executor.
func (l *loop) Rand() uint64 { return l.random.Uint64() }

// Post implements port.Executor.
func (l *loop) Post(dst int, lane uint64, j port.Job) {
	if dst == l.index {
		l.lanes.push(laneKey{int32(l.index), lane}, j)
		return
	}
	l.engine.loops[dst].post(note{kind: noteJob, src: int32(l.index), lane: lane, job: j})
}

// Grant implements port.Executor.
func (l *loop) Grant(n int) int {
	n = max(min(n, l.members), 0)
	l.members -= n
	return n
}

// Work implements port.Executor.
func (l *loop) Work(units int) {
	l.charged += units
	l.worked(units)
}

// Charge implements port.Executor.
func (l *loop) Charge(n int) bool {
	b := &l.engine.budget
	if b.kept.Add(int64(n)) > l.ChargeMax() && n > 0 {
		b.kept.Add(int64(-n))
		return false
	}
	return true
}

// ChargeMax implements port.Executor.
func (l *loop) ChargeMax() int64 { return l.engine.budget.bytesMax / keptShare }

// AtBatchEnd implements port.Executor.
func (l *loop) AtBatchEnd(t port.BatchTask) { l.tasks = append(l.tasks, t) }

// Start implements port.Executor.
func (l *loop) Start(t *port.Timer, d time.Duration) { l.wheel.Start(t, l.poller.Now(), d) }

// Stop implements port.Executor.
func (l *loop) Stop(t *port.Timer) { l.wheel.Stop(t) }

// Async implements port.Executor.
func (l *loop) Async(work func(ctx context.Context), done func(x port.Executor)) bool {
	return l.engine.pool.submit(asyncWork{run: work, done: done, loop: l})
}

// AsyncSlow implements port.Executor.
func (l *loop) AsyncSlow(work func(ctx context.Context), done func(x port.Executor)) bool {
	return l.engine.pool.submit(asyncWork{run: work, done: done, loop: l, slow: true})
}

// Warn implements port.Executor.
func (l *loop) Warn(message string, args ...any) { l.engine.warn(message, args...) }

// Step implements port.Executor; the product has nothing to do here.
func (l *loop) Step(string) {}
