//go:build linux

package engine

import (
	"math/bits"
	"time"

	"banyan/engine/port"
)

const (
	tick        = 10 * time.Millisecond
	wheelLevels = 5 // 64^5 ticks are 124 days
	wheelSlots  = 64
	wheelTicks  = 1 << (6 * wheelLevels) // deadlines further away than this are brought nearer
)

// A wheel is a hierarchical timer wheel with 10 ms slots. Owned by loop. Level n has 64 slots of 64^n ticks; when the clock enters
// a slot of a higher level, its timers move down. Arming and disarming are O(1).
type wheel struct {
	now   int64 // the last tick that was handled
	slots [wheelLevels][wheelSlots]port.Timer
	used  [wheelLevels]uint64 // a bit per slot that may hold timers; cleared when the slot is visited
	armed int
}

func newWheel() *wheel {
	w := &wheel{}
	for l := range w.slots {
		for s := range w.slots[l] {
			head := &w.slots[l][s]
			head.Next, head.Prev = head, head
		}
	}
	return w
}

// start arms t for tick due, or the next one if due has passed.
func (w *wheel) start(t *port.Timer, due int64) {
	if t.Due != 0 {
		w.stop(t)
	}
	t.Due = min(max(due, w.now+1), w.now+wheelTicks-1)
	w.armed++
	w.place(t)
}

func (w *wheel) stop(t *port.Timer) {
	if t.Due == 0 {
		return
	}
	t.Prev.Next, t.Next.Prev = t.Next, t.Prev
	t.Next, t.Prev, t.Due = nil, nil, 0
	w.armed--
}

func (w *wheel) place(t *port.Timer) {
	level := 0
	for delta := t.Due - w.now; delta >= wheelSlots; delta >>= 6 {
		level++
	}
	slot := t.Due >> (6 * level) & (wheelSlots - 1)
	head := &w.slots[level][slot]
	t.Prev, t.Next = head.Prev, head
	head.Prev.Next, head.Prev = t, t
	w.used[level] |= 1 << slot
}

// next returns the next tick at which something has to be done, or 0 when no timer is armed. It may be a tick at which timers
// only move to a lower level.
func (w *wheel) next() int64 {
	if w.armed == 0 {
		return 0
	}
	first := int64(0)
	for level := range w.used {
		if w.used[level] == 0 {
			continue
		}
		at := w.now >> (6 * level)
		// Slots ahead come in the order at+1 … at+64; the present slot is the furthest.
		ahead := bits.RotateLeft64(w.used[level], -int((at+1)&(wheelSlots-1)))
		due := (at + 1 + int64(bits.TrailingZeros64(ahead))) << (6 * level)
		if first == 0 || due < first {
			first = due
		}
	}
	return first
}

// advance fires everything due up to tick now. Firing may arm and disarm any timer; what is armed meanwhile fires at a later tick.
func (w *wheel) advance(now int64, x port.Executor) (fired int) {
	for {
		due := w.next()
		if due == 0 || due > now {
			w.now = max(w.now, now)
			return fired
		}
		w.now = due
		for level := wheelLevels - 1; level > 0; level-- {
			if due&(1<<(6*level)-1) == 0 {
				w.cascade(level, due>>(6*level)&(wheelSlots-1))
			}
		}
		slot := due & (wheelSlots - 1)
		w.used[0] &^= 1 << slot
		head := &w.slots[0][slot]
		for head.Next != head {
			t := head.Next
			w.stop(t)
			fired++
			t.Fire(x)
		}
	}
}

// cascade moves the timers of a slot whose time has come to lower levels.
func (w *wheel) cascade(level int, slot int64) {
	w.used[level] &^= 1 << slot
	head := &w.slots[level][slot]
	t := head.Next
	head.Next, head.Prev = head, head
	for t != head {
		next := t.Next
		w.place(t)
		t = next
	}
}
