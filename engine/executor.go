//go:build linux

package engine

import (
	"time"

	"banyan/engine/port"
)

// What a loop is to the handlers and jobs that run on it (port.Executor).

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

// AtBatchEnd implements port.Executor.
func (l *loop) AtBatchEnd(t port.BatchTask) { l.tasks = append(l.tasks, t) }

// Start implements port.Executor.
func (l *loop) Start(t *port.Timer, d time.Duration) {
	now := time.Since(l.clock.start)
	if l.wheel.armed == 0 {
		l.wheel.now = max(l.wheel.now, int64(now/tick))
	}
	l.wheel.start(t, dueTick(now, d))
}

// Stop implements port.Executor.
func (l *loop) Stop(t *port.Timer) { l.wheel.stop(t) }

// Step implements port.Executor; the product has nothing to do here.
func (l *loop) Step(string) {}
