//go:build linux

package engine

import "banyan/engine/port"

// A laneKey names a lane: the jobs one loop posted for one publisher.
type laneKey struct {
	src int32
	id  uint64
}

// A lane is the jobs of one publisher on one loop, first in first out.
type lane struct {
	key  laneKey
	jobs []port.Job
	at   int // jobs before at are done
	next *lane
}

// lanes let the jobs of different publishers alternate, chunk by chunk. Owned by loop. What waits here is bounded by
// the credit of the publishers.
type lanes struct {
	byKey map[laneKey]*lane
	last  *lane // circular list of lanes with jobs; last.next is first
	spare *lane // lanes without jobs, for the next publisher
	spares,
	waiting int
}

func (ls *lanes) push(key laneKey, j port.Job) {
	l := ls.byKey[key]
	if l == nil {
		l = ls.spare
		if l != nil {
			ls.spare = l.next
			ls.spares--
		} else {
			l = &lane{}
		}
		l.key = key
		if ls.byKey == nil {
			ls.byKey = make(map[laneKey]*lane)
		}
		ls.byKey[key] = l
		if ls.last == nil {
			l.next = l
		} else {
			l.next = ls.last.next
			ls.last.next = l
		}
		ls.last = l
	}
	l.jobs = append(l.jobs, j)
	ls.waiting++
}

func (ls *lanes) empty() bool { return ls.last == nil }

// runNext gives the first lane of the circle one chunk and moves on to the next lane. It reports whether the chunk
// was too small for the job.
func (ls *lanes) runNext(x port.Executor, chunk int) (more bool) {
	l := ls.last.next
	if l.jobs[l.at].Run(x, chunk) {
		ls.last = l
		return true
	}
	// The job may have posted, to this lane too; new lanes stand behind the last, so l is still first.
	l.jobs[l.at] = nil
	l.at++
	ls.waiting--
	if l.at == len(l.jobs) {
		ls.remove(l)
		return false
	}
	if l.at >= 64 && l.at*2 >= len(l.jobs) {
		n := copy(l.jobs, l.jobs[l.at:])
		clear(l.jobs[n:])
		l.jobs, l.at = l.jobs[:n], 0
	}
	ls.last = l
	return false
}

// remove takes l, which is first and has no job, out of the circle.
func (ls *lanes) remove(l *lane) {
	if l.next == l {
		ls.last = nil
	} else {
		ls.last.next = l.next
	}
	delete(ls.byKey, l.key)
	l.next, l.jobs, l.at = nil, l.jobs[:0], 0
	if ls.spares < sparesKept && cap(l.jobs) <= notesKept {
		l.next = ls.spare
		ls.spare = l
		ls.spares++
	}
}
