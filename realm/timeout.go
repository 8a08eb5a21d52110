package realm

import (
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// Call timeouts (PROTOCOL 8.7). The timer of a call belongs to the caller's loop, like everything that ends a call
// from the caller's side. If another loop answers, it posts a job that stops or restarts the timer. Calls without a
// timeout cost nothing. A timeout that is forwarded to the callee is in milliseconds, whatever the caller sends.

var refuseTimeout = &refusal{codec.ErrTimeout, "the callee did not answer within the timeout of the call"}

// timeoutOf returns the timeout of a CALL in ms, rounded up, 0 for none. A client that sends a fraction of a
// millisecond most likely means seconds; its calls are not refused, but end soon, and the log says why.
func (s *session) timeoutOf(x port.Executor, set *settings, o *codec.Options) uint64 {
	whole := min(o.Timeout, timeoutMillisMax)
	if set.TimeoutSeconds {
		return min(whole*1000+uint64(o.TimeoutFraction), timeoutMillisMax)
	}
	if o.TimeoutFraction > 0 {
		x.Warn("a client sends the timeout of a call with a fraction: timeouts are in milliseconds, unless the "+
			"realm has call_timeout_unit: s", "realm", s.realm.uri, "session", s.id)
		whole++
	}
	return whole
}

// arm makes the timer of c. Caller's loop, before c is offered: from then on others read timed.
func (c *call) arm() {
	c.timed = true
	if e := c.needs(); e.timer.Fire == nil {
		e.timer.Fire = c.expire
	}
}

// disarm makes a call that is not timed after all. Caller's loop, before c is offered.
func (c *call) disarm(x port.Executor) {
	if c.timed {
		c.timed = false
		x.Stop(&c.extra.timer)
	}
}

// noteDeadline notes when the timeout is over, before the call waits for something. Caller's loop.
func (c *call) noteDeadline() {
	if e := c.extra; c.timeout > 0 && (e == nil || e.deadline == 0) {
		c.needs().deadline = c.caller.realm.router.uptime() + time.Duration(c.timeout)*time.Millisecond
	}
}

// left is how many ms of the timeout are left; 0: it is over, or there is none. Caller's loop.
func (c *call) left() uint64 {
	if e := c.extra; e != nil && e.deadline != 0 {
		left := e.deadline - c.caller.realm.router.uptime()
		return uint64(max(left+time.Millisecond-1, 0) / time.Millisecond)
	}
	return c.timeout
}

// outOfTime ends a call whose timeout is over though its timer has not fired. Caller's loop, while no callee has it.
func (c *call) outOfTime(x port.Executor, l *perLoop) bool {
	if c.timeout == 0 || c.left() > 0 {
		return false
	}
	c.fail(x, l, refuseTimeout)
	return true
}

// start starts the timer of a call that is timed, for what is left. Caller's loop.
func (c *call) start(x port.Executor) {
	if c.timed {
		x.Start(&c.extra.timer, time.Duration(c.left())*time.Millisecond)
	}
}

// startWaiting starts the timer of a call that waits for somebody else than a callee. Caller's loop.
func (c *call) startWaiting(x port.Executor) {
	if c.timeout > 0 {
		c.noteDeadline()
		c.arm()
		c.start(x)
	}
}

// restart starts the timer again. Caller's loop.
func (c *call) restart(x port.Executor) {
	x.Start(&c.extra.timer, time.Duration(c.timeout)*time.Millisecond)
}

// expire ends the call because its time is over. Caller's loop.
func (c *call) expire(x port.Executor) {
	l := c.caller.realm.router.perLoop[x.Loop()]
	if c.fail(x, l, refuseTimeout) {
		c.detach(x, l, true)
	}
}

// ended stops the timer of a call that was answered finally, and gives back the copy of the call. Any loop.
func (c *call) ended(x port.Executor) {
	if c.timed {
		c.toHome(x, &timerJob{c, false})
	}
	if c.reroutable {
		c.forgetCall(x)
	}
}

// progressed starts the timer again after a progressive result. Any loop. One restart under way stands for all that
// come before it runs, so a callee that floods the caller with progress does not flood its loop with jobs.
func (c *call) progressed(x port.Executor) {
	if c.timed && c.restarting.CompareAndSwap(false, true) {
		c.toHome(x, &timerJob{c, true})
	}
}

// toHome runs j on the loop of the caller. A restart cannot overtake the stop that follows it: they are one lane of
// one loop.
func (c *call) toHome(x port.Executor, j *timerJob) {
	if home := c.caller.home; x.Loop() != home {
		x.Post(home, c.caller.id, j)
		return
	}
	j.Run(x, 1)
}

// A timerJob tells the loop that owns the timer of a call about an answer.
type timerJob struct {
	call    *call
	restart bool
}

// Run stops the timer, or restarts it if the call is still open.
func (j *timerJob) Run(x port.Executor, _ int) (more bool) {
	c := j.call
	if !j.restart {
		x.Stop(&c.extra.timer)
		return false
	}
	c.restarting.Store(false)
	if c.isOpen(x) {
		c.restart(x)
	}
	return false
}
