//go:build linux

package engine

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// A warning is one kind of line in the log that clients can cause. It is written once a second at most. The lines
// that are left out are counted, and the count is told: with the next line of the kind, or else after
// omittedAfter, or when the engine stops.
type warning struct {
	message string // fixed

	mu      sync.Mutex
	last    int64       // guarded by mu; time of the last line, in nanoseconds since Engine.epoch; 0 for none
	omitted int64       // guarded by mu; lines left out since
	later   *time.Timer // guarded by mu; tells omitted; nil if that is 0
}

// warnings holds the kinds by message. Any goroutine.
type warnings struct {
	mu    sync.Mutex
	kinds map[string]*warning // guarded by mu
}

// kind returns the warning with that message.
func (ws *warnings) kind(message string) *warning {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.kinds[message]
	if w == nil {
		w = &warning{message: message}
		if ws.kinds == nil {
			ws.kinds = map[string]*warning{}
		}
		ws.kinds[message] = w
	}
	return w
}

// all returns every kind, by message.
func (ws *warnings) all() (kinds []*warning) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, message := range slices.Sorted(maps.Keys(ws.kinds)) {
		kinds = append(kinds, ws.kinds[message])
	}
	return kinds
}

// omittedAfter is how long the count of lines that were left out waits for another line of its kind.
const omittedAfter = 2 * logEvery

// warn writes one line, unless one with the same message was written less than logEvery ago. The message is a
// constant: each one is kept. Any goroutine. It allocates, so nothing that happens for every message may call it.
func (e *Engine) warn(message string, args ...any) {
	w := e.warnings.kind(message)
	now := e.now() + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last != 0 && now-w.last < int64(logEvery) {
		w.omitted++
		if w.later == nil && !e.replays {
			w.later = time.AfterFunc(omittedAfter, func() { e.tellOmitted(w) })
		}
		return
	}
	if n := w.take(); n > 0 {
		args = append(args, "omitted", n)
	}
	w.last = now
	e.cfg.Log.Warn(message, args...)
}

// take returns how many lines were left out, and forgets them. w.mu is held.
func (w *warning) take() int64 {
	n := w.omitted
	w.omitted = 0
	if w.later != nil {
		w.later.Stop() // if it is too late, tellOmitted finds nothing
		w.later = nil
	}
	return n
}

// tellOmitted writes a line about the lines of kind w that were left out, if there are any.
func (e *Engine) tellOmitted(w *warning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.take(); n > 0 {
		w.last = e.now() + 1
		e.cfg.Log.Warn("lines like one before were left out", "line", w.message, "omitted", n)
	}
}

// tellAllOmitted is tellOmitted for every kind. No loop runs any more.
func (e *Engine) tellAllOmitted() {
	for _, w := range e.warnings.all() {
		e.tellOmitted(w)
	}
}
