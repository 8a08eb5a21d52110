//go:build linux

package engine

import "banyan/engine/port"

// How work gets onto a loop from outside (port.Loops): the function becomes a note, and notes are taken in the order
// they were posted.

// submitted makes a function a job, without an allocation.
type submitted func(x port.Executor)

// Run implements port.Job.
func (f submitted) Run(x port.Executor, _ int) bool {
	f(x)
	return false
}

// Len implements port.Loops.
func (e *Engine) Len() int { return len(e.loops) }

// Submit implements port.Loops. Before Start the functions wait for it. A panic in f ends the process.
func (e *Engine) Submit(loop int, f func(x port.Executor)) bool {
	l := e.loops[loop]
	if l.submits.Add(1) > submitsMax {
		l.submits.Add(-1)
		return false
	}
	if !l.post(note{kind: noteSubmit, job: submitted(f)}) {
		l.submits.Add(-1)
		return false
	}
	return true
}
