//go:build linux

package engine

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"banyan/engine/internal/outq"
)

// The budget of the process: bytes of messages under way and bytes that sockets did not take, of all connections
// together. At the bound the largest holders are closed. What a connection holds without progress weighs the more the
// longer it does (burden). A message that comes slower than messagePace falls behind, so an octet now and then is no
// progress.
//
//  1. the first loop that sees the excess asks every loop to close its connections from some threshold of burden on
//  2. each loop looks for them and closes them, largest first, until the excess is gone (evict.go)
//  3. the last loop to do so halves the threshold and asks again, until the excess is gone or no connection has
//     evictBurdenMin
//
// So the largest go first, within a factor of two, and there is no list of all connections. Connections that have not
// joined, and those without progress, go before, until what they hold together is the share of the budget that they
// may have (idle): else many that hold a little for ever would keep the budget, and those would be closed who pass on
// a large message just now.
//
// What sessions keep (subscriptions, registrations) counts too. It has a share of the budget, beyond which nothing
// more is taken: nobody is closed for it, and the rest of the budget is always left to messages.
type budget struct {
	// Fixed at New.
	bytesMax int64

	// Any goroutine.
	backlogs  outq.Account
	input     atomic.Int64 // bytes of buffers that hold what was read and is not handled yet
	kept      atomic.Int64 // bytes of what sessions keep, see Charge; at most its share
	peak      atomic.Int64 // most of all since Held was asked
	evicting  atomic.Bool
	threshold atomic.Int64
	waiting   atomic.Int32 // loops that have not answered the present threshold
	pause     atomic.Int64 // Engine.now before which no eviction starts: the last one found nobody to close
}

func (b *budget) bytes() int64 { return b.backlogs.Bytes() + b.input.Load() + b.kept.Load() }

// exceeded does not count what is going to be free: else others would be closed for it meanwhile.
func (b *budget) exceeded() bool { return b.bytes()-b.backlogs.Leaving() > b.bytesMax }

// Held returns how many bytes the messages under way, the backlogs of all connections and what sessions keep occupy,
// and the most it has been since the last call. What is given back lies in the heap until a collection. Any
// goroutine.
func (e *Engine) Held() (now, peak int64) {
	now = e.budget.bytes()
	return now, max(e.budget.peak.Swap(now), now)
}

// book notes that the input buffers of l's connections grew by n bytes, or shrank.
func (l *loop) book(n int) {
	l.unbooked += n
	if l.unbooked > bookedBytes || l.unbooked < -bookedBytes {
		l.bookAll()
	}
}

func (l *loop) bookAll() {
	if l.unbooked != 0 {
		l.engine.budget.input.Add(int64(l.unbooked))
		l.unbooked = 0
	}
}

// checkBudget is called once per turn.
func (l *loop) checkBudget() {
	l.bookAll()
	b := &l.engine.budget
	bytes := b.bytes()
	if bytes > b.peak.Load() {
		b.peak.Store(bytes) // two loops at once: the difference is one turn's
	}
	if !b.exceeded() || b.evicting.Load() || l.engine.now() < b.pause.Load() {
		return
	}
	if b.evicting.CompareAndSwap(false, true) {
		l.engine.askToEvict(evictBurdenMost)
	}
}

func (e *Engine) askToEvict(threshold int64) {
	b := &e.budget
	b.threshold.Store(threshold)
	b.waiting.Store(int32(len(e.loops)))
	for _, l := range e.loops {
		if !l.post(note{kind: noteEvict}) {
			e.evicted() // that loop has ended, and holds nothing
		}
	}
}

// evicted is called once for each loop and threshold.
func (e *Engine) evicted() {
	b := &e.budget
	if b.waiting.Add(-1) > 0 {
		return
	}
	threshold := b.threshold.Load()
	if b.exceeded() && threshold > evictBurdenMin {
		e.askToEvict(threshold / 2)
		return
	}
	if b.exceeded() {
		b.pause.Store(e.now() + int64(evictPause))
	}
	b.evicting.Store(false)
}

// held is how many bytes of the budget c holds.
func (c *conn) held() int64 {
	n := c.q.Charged() + int64(cap(c.in)) + int64(c.keptBytes) + c.tls.held()
	if c.phase == phaseLongPoll {
		n += int64(c.longPoll().sendBytes)
	}
	if c.part != nil {
		n += int64(c.part.held)
		if c.part.join != nil {
			n += int64(c.part.join.held)
		}
	}
	return n
}

// burden is what c holds, in bytes, times four for each step of time without progress: of a socket that takes
// nothing, or of a message that is not finished.
func (c *conn) burden(now time.Duration) int64 {
	n, stuck := c.held(), c.stuck(now)
	for _, step := range stuckSteps {
		if stuck >= step {
			n *= 4
		}
	}
	return n
}

// stuck is for how long c has made no progress: its socket takes nothing, or its message is not finished and so much
// behind messagePace.
func (c *conn) stuck(now time.Duration) time.Duration {
	switch {
	case c.wantWrite:
		return now - c.blockedAt
	case c.hold == 0 && !c.deferred && c.unfinished():
		return now - c.onPace
	}
	return 0
}

// idle reports whether c is one of those that may hold a share of the budget together: it has not joined, or has made
// no progress for a while.
func (c *conn) idle(now time.Duration) bool {
	if !c.joined {
		return true
	}
	least := stuckSteps[0]
	if c.wantWrite {
		least = stuckSteps[1]
	}
	return c.stuck(now) >= least
}

// memoryLimit is what the environment says of the memory that this process may use (GOMEMLIMIT).
var memoryLimit = debug.SetMemoryLimit(-1)

// defaultBudget is a quarter of the memory that this process may use by that limit, or else by what it is granted.
func defaultBudget(limit int64) int64 {
	memory := limit
	if memory == math.MaxInt64 {
		memory = memoryGranted()
	}
	return max(memory/4, budgetBytesDefault)
}

// memoryGranted is what the machine has or, if that is less, what the control group allows. 0 if neither says.
func memoryGranted() int64 {
	var info unix.Sysinfo_t
	memory := int64(0)
	if unix.Sysinfo(&info) == nil {
		memory = int64(info.Totalram) * int64(info.Unit)
	}
	group := "/"
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		for line := range strings.Lines(string(b)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				group = path
			}
		}
	}
	for _, file := range []string{
		"/sys/fs/cgroup" + group + "/memory.max", "/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes",
	} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && limit > 0 &&
			(memory == 0 || limit < memory) {
			memory = limit
		}
	}
	return memory
}
