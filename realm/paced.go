package realm

import "time"

// warnEvery is how often a loop warns of one kind of thing that any message may cause. port.Executor.Warn is not for
// every message: the counters tell how many there were.
const warnEvery = time.Second

// A paced says when a loop may warn again. The zero value says at once. Owned by loop.
type paced struct{ next time.Time }

// due reports whether it is time, and if so begins to wait for the next time.
func (p *paced) due(now time.Time) bool {
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(warnEvery)
	return true
}
