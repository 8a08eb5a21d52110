// Package wheel holds the timers of one loop. It knows no clock: its owner tells it what time it is.
package wheel

import (
	"math"
	"math/bits"
	"time"

	"banyan/engine/port"
)

// Tick is the resolution of a wheel: a timer fires at the first tick that is not before its deadline.
const Tick = 10 * time.Millisecond

const (
	levels   = 5 // 64^5 ticks are 124 days
	slots    = 64
	ticksMax = 1 << (6 * levels) // a deadline further away than this fires early, after 124 days
)

// A Wheel is a hierarchical timer wheel with 10 ms slots. Owned by loop. Level n has 64 slots of 64^n ticks; when the
// clock enters a slot of a higher level, its timers move down. Arming and disarming are O(1). Times are durations
// since a moment that the owner chose.
type Wheel struct {
	now   int64 // the last tick that was handled
	slots [levels][slots]port.Timer
	used  [levels]uint64 // a bit per slot that may hold timers; cleared when the slot is visited
	armed int

	// What the clock has entered with now and is not handled yet.
	level  int        // of the levels below this one no slot was visited
	moving port.Timer // timers of a slot of a higher level, which go down
	due    port.Timer // timers that fire at now
}

// New returns a wheel without timers.
func New() *Wheel {
	w := &Wheel{}
	for l := range w.slots {
		for s := range w.slots[l] {
			head := &w.slots[l][s]
			empty(head)
		}
	}
	empty(&w.moving)
	empty(&w.due)
	return w
}

// Start arms t to fire d after now. An armed t is re-armed.
func (w *Wheel) Start(t *port.Timer, now, d time.Duration) {
	if w.armed == 0 {
		w.now = max(w.now, int64(now/Tick)) // nobody has advanced an empty wheel
	}
	w.start(t, dueTick(now, d))
}

// dueTick is the first tick that is not before now+d.
func dueTick(now, d time.Duration) int64 {
	return int64((now + max(d, 0) + Tick - 1) / Tick)
}

// start arms t for tick due, or the next one if due has passed.
func (w *Wheel) start(t *port.Timer, due int64) {
	if t.Due != 0 {
		w.Stop(t)
	}
	t.Due = min(max(due, w.now+1), w.now+ticksMax-1)
	w.armed++
	w.place(t)
}

// Stop disarms t. Disarming an unarmed timer does nothing.
func (w *Wheel) Stop(t *port.Timer) {
	if t.Due == 0 {
		return
	}
	unlink(t)
	t.Next, t.Prev, t.Due = nil, nil, 0
	w.armed--
}

func (w *Wheel) place(t *port.Timer) {
	level := 0
	for delta := t.Due - w.now; delta >= slots; delta >>= 6 {
		level++
	}
	slot := t.Due >> (6 * level) & (slots - 1)
	head := &w.slots[level][slot]
	t.Prev, t.Next = head.Prev, head
	head.Prev.Next, head.Prev = t, t
	w.used[level] |= 1 << slot
}

// Next returns when Advance is to be called next, or 0 when no timer is armed. It may be a time at which timers only
// move to a lower level.
func (w *Wheel) Next() time.Duration { return time.Duration(w.next()) * Tick }

// next returns the next tick at which something has to be done, or 0 when no timer is armed. It may be a tick at
// which timers only move to a lower level.
func (w *Wheel) next() int64 {
	if w.armed == 0 {
		return 0
	}
	if w.busy() {
		return w.now
	}
	first := int64(0)
	for level := range w.used {
		if w.used[level] == 0 {
			continue
		}
		at := w.now >> (6 * level)
		// Slots ahead come in the order at+1 … at+64; the present slot is the furthest.
		ahead := bits.RotateLeft64(w.used[level], -int((at+1)&(slots-1)))
		due := (at + 1 + int64(bits.TrailingZeros64(ahead))) << (6 * level)
		if first == 0 || due < first {
			first = due
		}
	}
	return first
}

// Advance fires everything due up to now. Firing may arm and disarm any timer; a timer that is armed meanwhile fires
// at a later tick.
func (w *Wheel) Advance(now time.Duration, x port.Executor) {
	for w.AdvanceSome(now, x, math.MaxInt) {
	}
}

// AdvanceSome does part of Advance: it fires that many timers, or moves them down, and reports whether more is to be
// done. The order is that of Advance, however it is divided.
func (w *Wheel) AdvanceSome(now time.Duration, x port.Executor, most int) (more bool) {
	return w.advance(int64(now/Tick), x, most) == most
}

// advance returns how many timers it fired or moved down; most if there may be more.
func (w *Wheel) advance(now int64, x port.Executor, most int) (done int) {
	for done < most {
		switch {
		case w.moving.Next != &w.moving:
			t := w.moving.Next
			unlink(t)
			w.place(t)
			done++
		case w.level > 0:
			w.level--
			w.visit(w.level)
		case w.due.Next != &w.due:
			t := w.due.Next
			w.Stop(t)
			done++
			t.Fire(x)
		default:
			due := w.next()
			if due == 0 || due > now {
				w.now = max(w.now, now)
				return done
			}
			w.now, w.level = due, levels
		}
	}
	return done
}

// visit takes the timers out of the slot of a level that the clock has just entered, if it has.
func (w *Wheel) visit(level int) {
	if w.now&(1<<(6*level)-1) != 0 {
		return
	}
	slot := w.now >> (6 * level) & (slots - 1)
	w.used[level] &^= 1 << slot
	to := &w.moving
	if level == 0 {
		to = &w.due
	}
	head := &w.slots[level][slot]
	if head.Next == head {
		return
	}
	to.Next, to.Prev = head.Next, head.Prev
	to.Next.Prev, to.Prev.Next = to, to
	empty(head)
}

// busy reports whether something that the clock has entered is not handled yet.
func (w *Wheel) busy() bool {
	return w.level > 0 || w.moving.Next != &w.moving || w.due.Next != &w.due
}

func empty(head *port.Timer) { head.Next, head.Prev = head, head }

func unlink(t *port.Timer) { t.Prev.Next, t.Next.Prev = t.Next, t.Prev }
