//go:build linux

package outq

import "testing"

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
		if a.Bytes() != int64(bytes) || p.Charged() != int64(ofP) || q.Charged() != int64(ofQ) {
			t.Fatalf("%s: %d on the account, %d and %d charged; want %d, %d and %d",
				what, a.Bytes(), p.Charged(), q.Charged(),
				bytes, ofP, ofQ)
		}
	}
	const o = segmentOverhead
	own := func(q *Queue, n int) {
		q.Lock()
		q.Commit(append(q.Lend(true), make([]byte, n)...))
		q.Unlock()
	}
	run := make([]byte, 1000)
	share := func(q *Queue) {
		q.Lock()
		q.Share(run, 1, 0, 0)
		q.Unlock()
	}
	for range 2 { // what is reset is used twice
		f.room = 1 << 20
		own(&p, 100)
		share(&p)
		share(&q)
		expect("before any flush", 0, 0, 0)
		p.Flush(f, nil, 0, 0)
		q.Flush(f, nil, 0, 0)
		own(&p, 100)
		expect("after the socket took everything", 0, 0, 0)

		f.room = 0
		share(&p)
		p.Flush(f, nil, 0, 0)
		expect("one is blocked", 100+o+1000+o, 100+o+1000+o, 0)
		own(&p, 10)
		own(&p, 5)
		expect("appended behind", 100+o+1000+o+15+o, 100+o+1000+o+15+o, 0)
		share(&q)
		q.Flush(f, nil, 0, 0)
		expect("both hold the run", 100+o+1000+o+15+o+o, 100+o+1000+o+15+o, 1000+o)

		f.room = 50
		p.Writable()
		p.Flush(f, nil, 0, 0)
		expect("within a segment", 100+o+1000+o+15+o+o, 100+o+1000+o+15+o, 1000+o)
		f.room = 1 << 20
		p.Writable()
		p.Flush(f, nil, 0, 0)
		expect("one has written it", 1000+o, 0, 1000+o)
		own(&p, 100)
		p.Flush(f, nil, 0, 0)
		expect("that one is as before", 1000+o, 0, 1000+o)
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
	expect("one is closed", 1000+o, 0, 1000+o)
	q.Lock()
	q.Break()
	q.Unlock()
	expect("the other is broken", 0, 0, 0)
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
