package realm

import "banyan/engine/port"

// What is kept for publishers has a part of the memory that port.Executor.Charge gives out, and never more: so
// subscriptions, registrations and calls always find the rest. Of this part
//
//	retained events        have half at most. More are refused, as at the bounds of their realm
//	histories in memory    have what retained events leave, at least half. Beyond, the oldest events of all go
//
// Histories also give way, down to what they have, while others use up the rest of the memory.

// keptMax is how much is kept for publishers, in bytes.
func keptMax(x port.Executor) int64 { return x.ChargeMax() / keptShare }

// chargeRetained makes room in the budget of the process for n bytes more that are retained, or gives -n back. It
// returns false if there is no room. Any loop.
func (r *Router) chargeRetained(x port.Executor, n int) bool {
	now := r.retainedCharged.Add(int64(n))
	if n <= 0 {
		x.Charge(n)
		return true
	}
	if now <= keptMax(x)/retainedShare {
		x.Step("retained.charged")
		if r.historyCharged.Load() > r.historyRoom(x) {
			r.chargeHistory(x, 0)
		}
		if x.Charge(n) {
			return true
		}
	}
	r.retainedCharged.Add(int64(-n))
	return false
}

// historyRoom is how much the histories in memory may have of the budget now, in bytes.
func (r *Router) historyRoom(x port.Executor) int64 {
	return max(keptMax(x)-r.retainedCharged.Load(), 0) / historyStep * historyStep
}

// chargeHistory makes room in the budget of the process for n octets more in memory, in steps, and gives back what
// the store does not use any more. If need be the oldest events go. It returns false if there is no room even then.
// Any loop.
func (r *Router) chargeHistory(x port.Executor, n int) bool {
	for {
		charged, room := r.historyCharged.Load(), r.historyRoom(x)
		wanted := inSteps(r.memory.Bytes() + int64(n))
		switch {
		case wanted > room:
			if inSteps(int64(n)) > room {
				return false
			}
			r.memory.Evict(room - int64(n))
			continue
		case wanted <= charged && charged <= room && wanted+historySteps*historyStep >= charged:
			return true
		case wanted > charged && !x.Charge(int(wanted-charged)):
			if inSteps(int64(n)) > charged {
				return false
			}
			r.memory.Evict(charged - int64(n))
			continue
		}
		x.Step("history.charged")
		if !r.historyCharged.CompareAndSwap(charged, wanted) {
			if wanted > charged {
				x.Charge(-int(wanted - charged))
			}
			continue
		}
		if wanted < charged {
			x.Charge(-int(charged - wanted))
		}
		if wanted <= r.historyRoom(x) { // else more has been retained meanwhile
			return true
		}
	}
}

// inSteps rounds up to what the events in memory take of the budget.
func inSteps(n int64) int64 { return (n + historyStep - 1) / historyStep * historyStep }

// giveBack gives back n bytes of the budget that were retained, and what the histories in memory do not use any more.
// Any goroutine.
func (r *Router) giveBack(n int64) {
	r.freed.Add(n)
	_ = r.submit(0, func(x port.Executor) { // else with the next, at the latest in ExpireHistory
		r.chargeRetained(x, -int(r.freed.Swap(0)))
		r.chargeHistory(x, 0)
	})
}
