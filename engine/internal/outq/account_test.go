//go:build linux

package outq

import (
	"testing"
	"unsafe"
)

// Bytes behind a full socket are on the account, shared ones once, and come off it when they are written or dropped.
// A queue that drains costs nothing, before and after.
func TestAccount(t *testing.T) {
	a := &Account{}
	f := &fakeSocket{}
	var p, q Queue
	p.Open(1, a)
	q.Open(2, a)
	expect := func(what string, bytes int, ofP, ofQ int) {
		t.Helper()
		if a.Bytes() != int64(bytes) || p.Charged() != int64(ofP) || q.Charged() != int64(ofQ) || a.Leaving() != 0 {
			t.Fatalf("%s: %d on the account, %d and %d charged; want %d, %d and %d; %d leaving",
				what, a.Bytes(), p.Charged(), q.Charged(),
				bytes, ofP, ofQ, a.Leaving())
		}
	}
	const (
		o   = segmentOverhead
		own = o + segmentBytes // of a few octets
		run = 1024             // what 1000 octets take
		r   = run + sharedRunBytes
	)
	appendOwn := func(q *Queue, n int) {
		q.Lock()
		q.Commit(append(q.Lend(true), make([]byte, n)...))
		q.Unlock()
	}
	event := make([]byte, 1000)
	share := func(q *Queue) {
		q.Lock()
		q.Share(event, 1, 0, 0)
		q.Unlock()
	}
	for range 2 { // what is reset is used twice
		f.room = 1 << 20
		appendOwn(&p, 100)
		share(&p)
		share(&q)
		expect("before any flush", 0, 0, 0)
		p.Flush(f, nil, 0, 0)
		q.Flush(f, nil, 0, 0)
		appendOwn(&p, 100)
		expect("after the socket took everything", 0, 0, 0)

		f.room = 0
		share(&p)
		p.Flush(f, nil, 0, 0)
		expect("one is blocked", own+o+r, own+o+run, 0)
		appendOwn(&p, 10)
		appendOwn(&p, 5)
		expect("appended behind", own+o+r+own, own+o+run+own, 0)
		appendOwn(&p, segmentBytes-15)
		expect("up to what it takes", own+o+r+own, own+o+run+own, 0)
		appendOwn(&p, 1)
		expect("one octet more", own+o+r+own+1, own+o+run+own+1, 0)
		share(&q)
		q.Flush(f, nil, 0, 0)
		expect("both hold the run", own+o+r+own+1+o, own+o+run+own+1, run+o)

		f.room = 50
		p.Writable()
		p.Flush(f, nil, 0, 0)
		expect("within a segment", own+o+r+own+1+o, own+o+run+own+1, run+o)
		f.room = 1 << 20
		p.Writable()
		p.Flush(f, nil, 0, 0)
		expect("one has written it", r+o, 0, run+o)
		appendOwn(&p, 100)
		p.Flush(f, nil, 0, 0)
		expect("that one is as before", r+o, 0, run+o)
		q.Writable()
		q.Flush(f, nil, 0, 0)
		expect("nothing waits", 0, 0, 0)
	}
	f.room = 0
	share(&p)
	share(&q)
	p.Flush(f, nil, 0, 0)
	q.Flush(f, nil, 0, 0)
	p.Shut(func() {})
	if p.Discard(1) {
		t.Error("one segment is more than one")
	}
	expect("one is closed", r+o, 0, run+o)
	q.Lock()
	q.Break()
	q.Unlock()
	if int(a.Bytes()) != r+o || int(a.Leaving()) != run+o {
		t.Errorf("%d bytes, %d leaving", a.Bytes(), a.Leaving())
	}
	q.Shut(func() {})
	q.Discard(1)
	expect("the other is broken", 0, 0, 0)
}

// A run of a few octets costs what it takes, in each queue; from sharedBytesMin on its bytes count once, by the
// longest of the slices that begin there.
func TestAccountOfRuns(t *testing.T) {
	a := &Account{}
	blocked := func(b []byte) *Queue {
		q := &Queue{}
		q.Open(1, a)
		q.Share(b, 1, 0, 0)
		q.Flush(&halves{}, nil, 0, 0)
		return q
	}
	if o := int(unsafe.Sizeof(Segment{})); segmentOverhead < o || segmentOverhead > o+16 {
		t.Errorf("a segment of %d bytes counts %d", o, segmentOverhead)
	}
	buffer := make([]byte, 4000)
	for _, c := range []struct {
		first, second int
		bytes         int
	}{
		{1, 1, 2 * (16 + segmentOverhead)},
		{17, 20, 2 * (32 + segmentOverhead)},
		{255, 255, 2 * (256 + segmentOverhead)},
		{256, 256, 256 + sharedRunBytes + 2*segmentOverhead},
		{256, 1000, 1024 + sharedRunBytes + 2*segmentOverhead},
		{1000, 256, 1024 + sharedRunBytes + 2*segmentOverhead},
		{255, 256, 256 + 256 + sharedRunBytes + 2*segmentOverhead},
	} {
		p, q := blocked(buffer[:c.first]), blocked(buffer[:c.second])
		if n := a.Bytes(); n != int64(c.bytes) {
			t.Errorf("%d and %d octets: %d on the account, want %d", c.first, c.second, n, c.bytes)
		}
		if p.Occupied() != RunCost(c.first) || q.Charged() != int64(RunCost(c.second)) {
			t.Errorf("%d octets take %d", c.first, p.Occupied())
		}
		for _, q := range []*Queue{p, q} {
			q.Shut(func() {})
			q.Discard(1)
		}
		if a.Bytes() != 0 || a.Leaving() != 0 {
			t.Errorf("%d and %d stay", a.Bytes(), a.Leaving())
		}
	}
	for n, want := range map[int]int{
		1: 16, 16: 16, 17: 32, 128: 128, 129: 144, 256: 256, 257: 288, 1<<20 + 1: 1<<20 + 8<<10,
	} {
		if got := allocated(n); got != want {
			t.Errorf("%d bytes take %d, want %d", n, got, want)
		}
	}
}

// Segments that no flush leaves behind are charged all the same once there are many, so that no later flush has all
// of them to charge; also those that a writer has taken meanwhile, when they come back.
func TestUnchargedSegmentsAreBounded(t *testing.T) {
	for _, during := range []bool{false, true} {
		a := &Account{}
		q := &Queue{}
		q.Open(1, a)
		link := func(n int) {
			for range n {
				q.Share([]byte("x"), 1, 0, 0)
			}
		}
		link(unchargedMax)
		if a.Bytes() != 0 {
			t.Fatal("charged too early")
		}
		if during {
			f := &fakeSocket{room: 1}
			first := true
			f.during = func() {
				if first {
					q.Lock()
					link(1)
					q.Unlock()
				}
				first = false
			}
			q.Flush(f, nil, 0, 0)
			link(1)
		} else {
			link(1)
		}
		if int(a.Bytes()) != (unchargedMax+1)*RunCost(1) || int(q.Charged()) != q.Occupied() {
			t.Errorf("a writer was out: %v: %d on the account, %d charged, %d occupied", during, a.Bytes(),
				q.Charged(), q.Occupied())
		}
		q.Writable()
		q.Flush(&fakeSocket{room: all}, nil, 0, 0)
		q.Writable()
		q.Flush(&fakeSocket{room: all}, nil, 0, 0)
		if a.Bytes() != 0 || q.Occupied() != 0 || q.segments != 0 {
			t.Errorf("%d bytes charged for nothing, %d segments of %d bytes", a.Bytes(), q.segments, q.Occupied())
		}
	}
}

// To give a queue up takes no time, however long it is. Its segments are freed a part at a time; until then they are
// on the account, as memory that is leaving, and no more the connection's. A writer that is out changes nothing.
func TestDiscardInParts(t *testing.T) {
	const segments = 100
	for _, out := range []string{"nobody", "broken", "shut"} {
		a := &Account{}
		q := &Queue{}
		q.Open(1, a)
		f := &fakeSocket{}
		q.Share(make([]byte, 300), 1, 0, 0)
		q.Flush(f, nil, 0, 0) // blocked
		for i := range segments - 1 {
			q.Share(make([]byte, 100*(1+i%5)), 2, 0, 0)
		}
		before, charged := a.Bytes(), q.Charged()
		give := func() {
			q.Lock()
			q.Break()
			q.Unlock()
		}
		lost := 1 + 2*(segments-1)
		switch out {
		case "nobody":
			give()
			if a.Bytes() != before || a.Leaving() != charged || q.Charged() != 0 || charged == 0 {
				t.Errorf("%d of %d bytes, %d of %d leaving", a.Bytes(), before, a.Leaving(), charged)
			}
		default:
			f.room = 300 // the first is written
			lost--
			f.during = func() {
				q.Lock()
				q.Share([]byte("late"), 1, 0, 0)
				if lost++; out == "broken" {
					q.Break()
				} else {
					q.flags |= shut
				}
				q.Unlock()
			}
			q.Writable()
			q.Flush(f, nil, 0, 0)
		}
		q.Shut(func() { t.Error("waited") })
		if q.Lost() != lost {
			t.Errorf("%s: %d events lost, want %d", out, q.Lost(), lost)
		}
		if q.Charged() != 0 || a.Leaving() == 0 {
			t.Errorf("%s: %d charged, %d leaving", out, q.Charged(), a.Leaving())
		}
		calls := 1
		for ; q.Discard(7); calls++ {
			if now := a.Bytes(); now >= before {
				t.Fatalf("%s: nothing was freed", out)
			} else {
				before = now
			}
		}
		if calls != (segments+6)/7 || a.Bytes() != 0 || a.Leaving() != 0 {
			t.Errorf("%s: freed in %d calls; %d bytes, %d leaving", out, calls, a.Bytes(), a.Leaving())
		}
		if q.Discard(7) {
			t.Error("there is more after the end")
		}
	}
}

// Progress tells of every byte that the socket took since it was asked, once.
func TestProgress(t *testing.T) {
	f := &fakeSocket{}
	q := &Queue{}
	progress := func() bool {
		q.Lock()
		defer q.Unlock()
		return q.Progress()
	}
	q.Lock()
	q.Commit(append(q.Lend(true), "abc"...))
	q.Unlock()
	q.Flush(f, nil, 0, 0)
	if progress() {
		t.Error("nothing was taken")
	}
	for range 2 {
		f.room = 1
		q.Writable()
		q.Flush(f, nil, 0, 0)
		if !progress() || progress() {
			t.Error("one byte was taken, once")
		}
	}
}
