//go:build linux

package engine

import "sync/atomic"

// A warning is one kind of line in the log that clients can cause. It is written once a second at most.
type warning struct {
	last    atomic.Int64 // time of the last line, in nanoseconds since Engine.epoch; 0 for none
	omitted atomic.Int64
}

// The kinds of warnings.
type warnings struct {
	refused, slow, budget, tooBig, drops, missed warning
}

// warn writes one line of kind w unless one was written less than logEvery ago. Any goroutine. It allocates, so
// nothing that happens for every message may call it.
func (e *Engine) warn(w *warning, message string, args ...any) {
	now := e.now() + 1
	last := w.last.Load()
	if last != 0 && now-last < int64(logEvery) || !w.last.CompareAndSwap(last, now) {
		w.omitted.Add(1)
		return
	}
	if n := w.omitted.Swap(0); n > 0 {
		args = append(args, "omitted", n)
	}
	e.cfg.Log.Warn(message, args...)
}
