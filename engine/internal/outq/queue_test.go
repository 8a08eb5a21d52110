//go:build linux

package outq

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// socket sends on real sockets.
type socket struct{}

func (socket) Send(fd int, v *Vectors, first *Segment) (int, error) { return SendSocket(fd, v, first) }

// A fakeSocket takes bytes like a non-blocking socket: short writes, EAGAIN, and one edge after each EAGAIN once
// there is room. While a system call is under way, which is where the queue's lock is not held, during runs: other
// loops append and flush, edges arrive.
type fakeSocket struct {
	got    []byte
	room   int
	edge   bool // a send failed; room will be reported once
	during func()
	depth  int
	failed bool
	calls  int
}

func (f *fakeSocket) Send(_ int, _ *Vectors, first *Segment) (int, error) {
	f.calls++
	if f.depth > 0 {
		return 0, errors.New("two writers at once")
	}
	f.depth++
	defer func() { f.depth-- }()
	n, count := 0, 0
	for s := first; s != nil && count < SegmentsPerSend; s = s.next {
		count++
		take := min(len(s.unsent()), f.room)
		f.got = append(f.got, s.unsent()[:take]...)
		f.room -= take
		n += take
	}
	empty := len(first.unsent()) == 0 && first.next == nil
	var err error
	switch {
	case f.failed:
		n, err = 0, unix.EPIPE
	case n == 0 && !empty:
		f.edge = true
		err = ErrAgain
	}
	if f.during != nil {
		f.during()
	}
	return n, err
}

// The queue beside its model: whatever loops append, in the order they append it, comes out, once, with no flush but
// the promised ones and no retry but on an edge. Schedules are drawn inside system calls, where chance would hardly
// ever put them.
func TestQueueAgainstModel(t *testing.T) {
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		q := &Queue{}
		f := &fakeSocket{}
		var want []byte
		var promised [3]bool
		next := uint32(0)
		appendSome := func(loop int) {
			q.mu.Lock()
			switch rnd.IntN(4) {
			case 0:
				run := make([]byte, 4*(1+rnd.IntN(200)))
				for i := 0; i < len(run); i += 4 {
					binary.BigEndian.PutUint32(run[i:], next)
					next++
				}
				q.Share(run, 1, 0, 0)
				want = append(want, run...)
			case 1:
				buf := q.Lend(true) // withdrawn
				q.Commit(buf)
				q.mu.Unlock()
				return
			default:
				buf := q.Lend(true)
				for range 1 + rnd.IntN(50) {
					buf = binary.BigEndian.AppendUint32(buf, next)
					want = binary.BigEndian.AppendUint32(want, next)
					next++
				}
				q.Commit(buf)
			}
			if q.Promise(loop) {
				if promised[loop] {
					t.Fatalf("seed %d: promised twice", seed)
				}
				promised[loop] = true
			}
			q.mu.Unlock()
		}
		flush := func(loop int) {
			promised[loop] = false
			for {
				r := q.Flush(f, nil, loop, 0).Result
				if r == Broken {
					t.Fatalf("seed %d: broken", seed)
				}
				if r != More {
					return
				}
			}
		}
		edge := func() {
			f.room += 1 + rnd.IntN(2000)
			if f.edge {
				f.edge = false
				if q.Writable() {
					flush(0)
				}
			}
		}
		f.during = func() {
			for range rnd.IntN(4) {
				switch rnd.IntN(3) {
				case 0:
					appendSome(rnd.IntN(3))
				case 1:
					loop := rnd.IntN(3)
					if promised[loop] {
						promised[loop] = false
						if r := q.Flush(f, nil, loop, 0).Result; r != Idle {
							t.Fatalf("seed %d: flush beside a writer: %d", seed, r)
						}
					}
				default:
					f.room += 1 + rnd.IntN(2000)
					if f.edge {
						f.edge = false
						if q.Writable() {
							t.Fatalf("seed %d: told to flush beside a writer", seed)
						}
					}
				}
			}
		}
		for range 60 {
			switch rnd.IntN(4) {
			case 0, 1:
				appendSome(rnd.IntN(3))
			case 2:
				if loop := rnd.IntN(3); promised[loop] {
					flush(loop)
				}
			default:
				edge()
			}
			q.mu.Lock()
			if left := len(want) - len(f.got); q.bytes != left {
				t.Fatalf("seed %d: queue says %d bytes, %d are unsent", seed, q.bytes, left)
			}
			q.mu.Unlock()
		}
		f.during = nil
		for loop := range promised {
			if promised[loop] {
				flush(loop)
			}
		}
		for f.edge {
			edge()
		}
		if !bytes.Equal(f.got, want) {
			t.Fatalf("seed %d: %d bytes arrived of %d", seed, len(f.got), len(want))
		}
		if q.head != nil || q.tail != nil || q.bytes != 0 || q.answers != 0 || q.flags != 0 ||
			q.cost != 0 || q.segments != 0 || q.promised != 0 {
			t.Fatalf("seed %d: not at rest: %+v", seed, q)
		}
	}
}

// REVIEW R2, forced: the socket says EAGAIN, room appears and is reported before the writer holds the lock again.
func TestR2EdgeBeforeBlockedIsNotLost(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{}
	f.during = func() {
		if f.edge {
			f.edge = false
			f.room = 100
			if q.Writable() {
				t.Error("the edge must be left to the writer")
			}
		}
	}
	q.mu.Lock()
	q.Commit(append(q.Lend(true), "message"...))
	q.mu.Unlock()
	done := q.Flush(f, nil, 0, 0)
	r, sends := done.Result, done.Sends
	if string(f.got) != "message" || r != Idle || sends != 2 {
		t.Fatalf("%q after %d sends, result %d", f.got, sends, r)
	}
}

// An edge from before the EAGAIN costs one retry, and is not mistaken for news after that.
func TestR2OldEdgeCostsOneRetry(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{room: 3}
	first := true
	f.during = func() {
		if first {
			first = false
			q.Writable()
		}
	}
	q.mu.Lock()
	q.Commit(append(q.Lend(true), "message"...))
	q.mu.Unlock()
	done := q.Flush(f, nil, 0, 0)
	r, sends := done.Result, done.Sends
	if r != Blocked || sends != 3 || string(f.got) != "mes" {
		t.Fatalf("%q after %d sends, result %d", f.got, sends, r)
	}
	f.room = 100
	if !q.Writable() {
		t.Fatal("the edge after blocking is the flusher's")
	}
	q.Flush(f, nil, 0, 0)
	if string(f.got) != "message" {
		t.Fatalf("%q", f.got)
	}
}

// ENGINE 9, traps 2 and 3: closing waits for a writer in flight, and nothing is sent afterwards.
func TestShutWaitsForWriter(t *testing.T) {
	q := &Queue{fd: 7}
	f := &fakeSocket{room: 1 << 20}
	in, out := make(chan bool), make(chan bool)
	f.during = func() {
		in <- true
		<-out
	}
	q.mu.Lock()
	q.Commit(append(q.Lend(true), "abc"...))
	q.mu.Unlock()
	wrote := make(chan Result)
	go func() {
		r := q.Flush(f, nil, 0, 0).Result
		wrote <- r
	}()
	<-in
	done := make(chan bool)
	go func() {
		q.Shut(runtime.Gosched)
		close(done)
	}()
	for begun := false; !begun; runtime.Gosched() {
		q.mu.Lock()
		begun = q.flags&shut != 0
		q.mu.Unlock()
	}
	select {
	case <-done:
		t.Fatal("closed under a writer")
	default:
	}
	q.mu.Lock()
	if q.flags&writing == 0 {
		t.Error("the writer is not out")
	}
	q.mu.Unlock()
	close(out)
	<-wrote
	<-done
	calls := f.calls
	if r := q.Flush(f, nil, 1, 0).Result; r != Idle || f.calls != calls {
		t.Fatal("a flush after closing reached the socket")
	}
	if q.fd != -1 || q.head != nil || q.bytes != 0 {
		t.Fatalf("left behind: %+v", q)
	}
}

// ENGINE 9, trap 4: more pending segments than one system call takes.
func TestQueueWith1025PendingRuns(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	q := &Queue{fd: int32(fds[0])}
	var want []byte
	q.mu.Lock()
	for i := range 1025 {
		run := binary.BigEndian.AppendUint32(nil, uint32(i))
		q.Share(run, 1, 0, 0)
		want = append(want, run...)
	}
	q.mu.Unlock()
	v := &Vectors{}
	done := q.Flush(socket{}, v, 0, 0)
	r, sends, sent := done.Result, done.Sends, done.Sent
	if r != More || sends != SendsPerFlush || sent != 4*SendsPerFlush*SegmentsPerSend {
		t.Fatalf("result %d after %d sends of %d bytes", r, sends, sent)
	}
	if r = q.Flush(socket{}, v, 0, 0).Result; r != Idle {
		t.Fatalf("result %d", r)
	}
	got := make([]byte, len(want)+1)
	n, _ := unix.Read(fds[1], got)
	if !bytes.Equal(got[:n], want) {
		t.Fatalf("%d bytes arrived of %d", n, len(want))
	}
}

// A writer that other loops keep feeding gives up its role after a bound.
func TestQueueFlushIsBounded(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{room: 1 << 30}
	add := func() {
		q.mu.Lock()
		q.Commit(append(q.Lend(true), "x"...))
		q.mu.Unlock()
	}
	f.during = add
	add()
	done := q.Flush(f, nil, 0, 0)
	r, sends := done.Result, done.Sends
	if r != More || sends != SendsPerFlush {
		t.Fatalf("result %d after %d sends", r, sends)
	}
}

func TestQueueBrokenSocketDropsEverything(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{failed: true}
	f.during = func() {
		q.mu.Lock()
		q.Share([]byte("late"), 1, 0, 0)
		q.mu.Unlock()
	}
	q.mu.Lock()
	q.Share([]byte("abc"), 1, 0, 0)
	q.mu.Unlock()
	r := q.Flush(f, nil, 0, 0).Result
	if r != Broken || q.head != nil || q.bytes != 0 || q.lost != 2 {
		t.Fatalf("result %d, %d bytes, %d events lost", r, q.bytes, q.lost)
	}
}

func TestQueueTellsReaderAtLowWater(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{room: 150}
	q.mu.Lock()
	q.Share(make([]byte, 100), 1, 0, 0) // events do not count
	q.Commit(append(q.Lend(false), make([]byte, 100)...))
	if q.answers != 0 {
		t.Fatalf("%d bytes of answers", q.answers)
	}
	for range 3 {
		q.link(newOwnSegment())
		q.Commit(append(q.Lend(true), make([]byte, 40)...))
	}
	q.mu.Unlock()
	const o = answerOverhead
	if q.HoldRead(120+3*o) || !q.HoldRead(119+3*o) {
		t.Fatal("high water")
	}
	for _, c := range []struct {
		room, answers int
		read          bool
	}{
		{60, 120 + 3*o, false}, {29, 120 + 3*o, false}, {2, 80 + 2*o, false}, {50, 40 + o, true}, {100, 0, false},
	} {
		q.Writable()
		f.room += c.room
		read := q.Flush(f, nil, 0, 40+o).Resume
		if read != c.read || q.answers != c.answers {
			t.Fatalf("%+v: told %v with %d bytes of answers", c, read, q.answers)
		}
	}
	if q.ReadHeld() || q.bytes != 0 {
		t.Fatalf("%+v", q)
	}
}

// Steady state appends and flushes allocate nothing.
func TestQueueAllocatesNothing(t *testing.T) {
	q := &Queue{}
	f := &fakeSocket{got: make([]byte, 0, 1<<20)}
	run := []byte("shared")
	if n := testing.AllocsPerRun(1000, func() {
		f.room, f.got = 100, f.got[:0]
		q.mu.Lock()
		q.Commit(append(q.Lend(true), "own"...))
		q.Share(run, 1, 0, 0)
		q.mu.Unlock()
		q.Flush(f, nil, 0, 0)
	}); n > 0.1 { // a collection may empty the pools once
		t.Fatalf("%v allocations", n)
	}
}

// TestWritesAreBounded: one system call writes no more than it may, of one segment and of several, and one flush no
// more than its bound and one call; the rest goes on from there, whole and in order.
func TestWritesAreBounded(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	for _, fd := range fds {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 64<<20)
	}
	for _, cut := range []int{0, 1, sendBytesMax - 1, sendBytesMax, sendBytesMax + 1} {
		data := make([]byte, 3<<20)
		for i := range data {
			data[i] = byte(i * 31)
		}
		q := &Queue{fd: int32(fds[0])}
		q.Lock()
		if cut > 0 {
			q.Share(data[:cut], 1, 0, 0)
		}
		q.Share(data[cut:], 1, 0, 0)
		q.Unlock()
		var got []byte
		buffer := make([]byte, 1<<20)
		for rounds := 0; len(got) < len(data); rounds++ {
			if rounds > 1000 {
				t.Fatal("no end")
			}
			f := q.Flush(socket{}, new(Vectors), 0, 0)
			if f.Sent > FlushBytesMax+sendBytesMax || f.Sends > 0 && f.Sent > f.Sends*sendBytesMax {
				t.Errorf("%d bytes in %d calls of one flush", f.Sent, f.Sends)
			}
			for {
				n, err := unix.Read(fds[1], buffer)
				if n <= 0 || err != nil {
					break
				}
				got = append(got, buffer[:n]...)
			}
			q.Writable()
		}
		if !bytes.Equal(got, data) {
			t.Errorf("cut at %d: damaged", cut)
		}
	}
}
