// Package load loads WAMP routers and verifies every message it gets back, over any transport and against any router:
//
//	Fanout, Topics, Patterns   publications, to one topic or many, by pattern, in one serializer or three
//	RPC                        calls, shared registrations, progressive results
//	Idle, Storm                sessions that stay, sessions that come and go
//	Joiners                    sessions that join at once and subscribe at once
//	Churn, Slow                effect of clients that subscribe all the time, or do not read, on the others
//	Hostile                    effect of hostile clients on the others
//	Soak                       publications, calls and sessions at once, for hours
//	Against                    any of them on router and floor in turn; the floor is the least program that moves
//	                           the same bytes
//
// A closed loop keeps a number of messages in flight and measures from the time of sending: it finds the throughput.
// An open loop sends at a fixed rate, whatever the router does, and measures from the intended time of sending: it
// finds the latency, and a stall counts against every message that had to wait for it. Scenarios work on links
// (link.go), so that a router with another protocol gets the same loads.
package load

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// Options are what the scenarios have in common.
type Options struct {
	URL        string           // see client.Schemes
	Realm      string           // default realm1
	Serializer codec.Serializer // default MessagePack
	Batched    bool             // use the .batched subprotocol
	Deflate    bool             // ask for permessage-deflate
	TLS        *tls.Config
	Login      *client.Login // of every client; nil: anonymous
	// PID is the router's, for its CPU time and memory; 0 looks for the listener of URL here, -1 does not.
	PID int

	PayloadBytes int           // length of the only argument, a text; default 64, at least 32
	Records      bool          // the text is like that of JSON records; otherwise it repeats after 61 octets
	InFlight     int           // closed loop: messages in flight per sender; default 32
	Rate         float64       // open loop: messages per second of all senders together; 0 is closed loop
	Warmup       time.Duration // before measuring; 0 is none
	Duration     time.Duration // of measuring; 0 measures until the context ends

	// Syscalls names the tool that counts the router's system calls, in a second of its own behind the measured time.
	Syscalls string

	// Progress is called about once a second from warm-up to the end. May be nil.
	Progress func(Progress)

	Stall time.Duration // without any progress for so long, what is missing counts as lost; default 5 s
}

// Limits of Options.
const (
	sendersMax     = 1 << 16
	inFlightMax    = 100_000
	payloadMax     = 15 << 20
	joinsAtOnce    = 64
	stallTimeout   = 5 * time.Second
	connectTimeout = 10 * time.Second
	intervalMin    = 500 * time.Millisecond // the last interval of a run is shown if it is as long
)

// A Progress is one live line.
type Progress struct {
	Elapsed  time.Duration // since the end of warm-up; negative during it
	Sessions int
	PerSec   float64 // events or results received per second, in the interval
	P50, P99 time.Duration
	Failures int64 // so far
}

// A UsageError says which setting is out of range, of a load or of what runs loads.
type UsageError struct{ text string }

func (e *UsageError) Error() string { return e.text }

// Usage makes a *UsageError.
func Usage(format string, args ...any) error { return &UsageError{fmt.Sprintf(format, args...)} }

func (l *Options) check() error {
	if l.Realm == "" {
		l.Realm = "realm1"
	}
	if l.Serializer == 0 {
		l.Serializer = codec.MessagePack
	}
	if l.PayloadBytes == 0 {
		l.PayloadBytes = 64
	}
	if l.InFlight == 0 {
		l.InFlight = 32
	}
	if l.Stall == 0 {
		l.Stall = stallTimeout
	}
	switch {
	case l.PayloadBytes < stampBytes || l.PayloadBytes > payloadMax:
		return Usage("payload of %d bytes: must be %d to %d", l.PayloadBytes, stampBytes, payloadMax)
	case l.InFlight < 1 || l.InFlight > inFlightMax:
		return Usage("%d in flight: must be 1 to %d", l.InFlight, inFlightMax)
	case l.Rate < 0 || l.Rate > 1e9:
		return Usage("rate %g: must be 0 to 1e9 per second", l.Rate)
	case l.Syscalls != SyscallsNone && l.Syscalls != SyscallsPerf && l.Syscalls != SyscallsStrace:
		return Usage("system calls counted by %q: use %s or %s", l.Syscalls, SyscallsPerf, SyscallsStrace)
	case l.Warmup < 0 || l.Duration < 0:
		return Usage("negative duration")
	}
	if _, _, err := client.Socket(l.URL); err != nil {
		return Usage("%v", err)
	}
	return nil
}

// onlyWAMP refuses loads that have no form in NATS' protocol.
func (l *Options) onlyWAMP(load string) error {
	if strings.HasPrefix(l.URL, "nats:") {
		return Usage("%s: NATS has nothing of the kind", load)
	}
	return nil
}

// A run is one scenario under way.
type run struct {
	Options
	base     time.Time // stamps count from here
	recorder *recorder
	failures failures

	// Any goroutine.
	received  atomic.Int64 // events or results
	sent      atomic.Int64 // publications or calls
	readBytes atomic.Int64 // of the sessions that subscribe
	cycles    atomic.Int64 // of subscribing and unsubscribing
	from, to  atomic.Int64 // stamps in [from, to) count for latency; ns since base
	closing   atomic.Bool  // the end of a connection is expected
	broken    atomic.Bool  // a connection was lost: not everything will come
	spread    bool         // connections come from the addresses of 127/8 in turn; fixed at newRun
	opened    atomic.Int64 // of them
	conns     []link
	connsLock sync.Mutex
	loops     sync.WaitGroup
}

func newRun(l Options) *run {
	r := &run{Options: l, base: time.Now(), recorder: newRecorder(), spread: isLoopback4(l.URL)}
	r.from.Store(1<<63 - 1)
	r.to.Store(1<<63 - 1)
	return r
}

func (r *run) now() time.Duration { return time.Since(r.base) }

func (r *run) counts(sent time.Duration) bool {
	return int64(sent) >= r.from.Load() && int64(sent) < r.to.Load()
}

// join opens n sessions, many at once.
func (r *run) join(ctx context.Context, n int) ([]link, error) {
	return r.joinWith(ctx, n, func(int) codec.Serializer { return r.Serializer })
}

// joinWith is join with a serializer for each.
func (r *run) joinWith(ctx context.Context, n int, serializer func(i int) codec.Serializer) ([]link, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout+time.Duration(n)*5*time.Millisecond)
	defer cancel()
	conns := make([]link, n)
	return conns, each(ctx, n, func(ctx context.Context, i int) (err error) {
		conns[i], err = r.joinOne(ctx, serializer(i))
		return err
	})
}

// each calls f for 0 to n-1, many at once, until one fails, and returns the first error. That error also ends the
// context of the other calls.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, joinsAtOnce) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (r *run) joinOne(ctx context.Context, s codec.Serializer) (link, error) {
	c, err := r.connect(ctx, s)
	if err != nil {
		return nil, err
	}
	r.connsLock.Lock()
	r.conns = append(r.conns, c)
	r.connsLock.Unlock()
	_, err = c.join(ctx, r.Realm)
	return c, err
}

// isLoopback4 reports whether url leads to an address of 127/8, given as such.
func isLoopback4(url string) bool {
	network, target, err := client.Socket(url)
	if err != nil || network != "tcp" {
		return false
	}
	host, _, err := net.SplitHostPort(target)
	ip := net.ParseIP(host)
	return err == nil && ip.To4() != nil && ip.IsLoopback()
}

// hangUp ends all sessions and waits for the loops that read them.
func (r *run) hangUp() {
	r.closing.Store(true)
	r.connsLock.Lock()
	conns := r.conns
	r.conns = nil
	r.connsLock.Unlock()
	for _, c := range conns {
		c.Close()
	}
	r.loops.Wait()
}

// lost notes the end of a connection that should not have ended.
func (r *run) lost(who string, err error) {
	if !r.closing.Load() {
		r.broken.Store(true)
		r.failures.add(fmt.Sprintf("%s lost its connection: %v", who, err), 1)
	}
}

// measure waits through warm-up and measuring with a live line per second, and returns
// what the processes used meanwhile.
func (r *run) measure(ctx context.Context, sessions int, router process, m *readings) error {
	begin := r.now() + r.Warmup
	end := time.Duration(1<<63 - 1)
	if r.Duration > 0 {
		end = begin + r.Duration
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last interval
	wait := func(at time.Duration) (done bool) {
		until := time.NewTimer(at - r.now())
		defer until.Stop()
		var middle <-chan time.Time
		if at == end && r.Duration > 0 {
			t := time.NewTimer((end - begin) / 2)
			defer t.Stop()
			middle = t.C
		}
		last = m.mark(r)
		tick.Reset(time.Second) // whole seconds of this phase
		for {
			select {
			case <-until.C:
				return false
			case <-ctx.Done():
				return true
			case <-middle:
				m.middle(r)
			case <-tick.C:
				last = m.second(r, last, sessions, begin)
			}
		}
	}
	if r.Warmup > 0 && wait(begin) {
		return context.Cause(ctx)
	}
	r.recorder.takeInterval() // the rest of warm-up
	m.begin(r, router)
	begin = m.start // later than planned on a busy machine; the measured time keeps its length
	if r.Duration > 0 {
		end = begin + r.Duration
	}
	wait(end)
	m.end(r, router)
	if r.now()-last.at >= intervalMin {
		m.second(r, last, sessions, begin)
	}
	m.countSyscalls(ctx, r)
	return nil
}

// settle waits until done, or until nothing has arrived for the stall time, a tenth of it when a connection was lost.
func (r *run) settle(done func() bool) {
	stall := r.Stall
	if r.broken.Load() {
		stall /= 10
	}
	last, at := r.received.Load(), time.Now()
	for !done() {
		time.Sleep(5 * time.Millisecond)
		if got := r.received.Load(); got != last {
			last, at = got, time.Now()
		} else if time.Since(at) > stall {
			return
		}
	}
}

// failures counts what went wrong, by kind.
type failures struct {
	mu   sync.Mutex
	byID map[string]int64
}

// failuresMax bounds how many kinds are told apart.
const failuresMax = 100

func (f *failures) add(what string, n int64) {
	if n == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID == nil {
		f.byID = map[string]int64{}
	}
	if _, known := f.byID[what]; !known && len(f.byID) >= failuresMax {
		what = "other failures"
	}
	f.byID[what] += n
}

func (f *failures) total() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, v := range f.byID {
		n += v
	}
	return n
}

// Pace calls send(intended) at rate per second until ctx ends, and catches up after delays; it calls flush after each
// burst. The first message is due offset from now. Intended times are on the clock of now.
func Pace(ctx context.Context, rate float64, offset time.Duration, now func() time.Duration,
	send func(intended time.Duration) error, flush func() error,
) error {
	interval := float64(time.Second) / rate
	start := now() + offset
	for i := 0; ; {
		due := int(float64(now()-start)/interval) + 1
		for ; i < due; i++ {
			if ctx.Err() != nil {
				return flush() // the messages of this burst count
			}
			if err := send(start + time.Duration(float64(i)*interval)); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
		timer := time.NewTimer(start + time.Duration(float64(i)*interval) - now())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}
