package history

import (
	"math"
	"time"

	"banyan/codec"
)

// A Query asks a log for events (PROTOCOL 7.8). The zero value asks for all; its conditions are combined with AND.
type Query struct {
	Reverse bool
	Limit   int    // events; 0: all
	Topic   []byte // nil: any

	// Publications, 0 for none: inclusive, exclusive, exclusive, inclusive.
	FromPublication, AfterPublication, BeforePublication, UntilPublication uint64

	// Reader is who asks. Events whose lists do not admit it are left out, as if they were not there.
	Reader codec.Identity
	// Now is the time of the query, for the age that the log keeps.
	Now time.Time

	timed    bool
	min, max int64 // ns, inclusive, if timed
}

// FromTime asks for events at t or later.
func (q *Query) FromTime(t time.Time) { q.narrow(nanos(t, 0), math.MaxInt64) }

// AfterTime asks for events later than t.
func (q *Query) AfterTime(t time.Time) { q.narrow(nanos(t, 1), math.MaxInt64) }

// BeforeTime asks for events earlier than t.
func (q *Query) BeforeTime(t time.Time) { q.narrow(math.MinInt64, nanos(t, -1)) }

// UntilTime asks for events at t or earlier.
func (q *Query) UntilTime(t time.Time) { q.narrow(math.MinInt64, nanos(t, 0)) }

func (q *Query) narrow(from, until int64) {
	if !q.timed {
		q.timed, q.min, q.max = true, math.MinInt64, math.MaxInt64
	}
	q.min, q.max = max(q.min, from), min(q.max, until)
}

var earliest, latest = time.Unix(0, math.MinInt64+1), time.Unix(0, math.MaxInt64-1)

// nanos returns t and so many ns more. Times that a record cannot have count as the nearest that one can.
func nanos(t time.Time, more int64) int64 {
	switch {
	case t.Before(earliest):
		t = earliest
	case t.After(latest):
		t = latest
	}
	return t.UnixNano() + more
}

// A Page is a part of the answer to a query.
type Page struct {
	Events []Event // with memory of their own
	// Done says that this is the last page, and Full that there may be more: Limit was reached.
	Done, Full bool
	// Trimmed says that the log has dropped older events at its bounds.
	Trimmed bool
}

// A Cursor is a query under way. What is appended after its first page is not found; what is dropped meanwhile is
// left out. One goroutine at a time may use it; it may be dropped at any time.
type Cursor struct {
	source Source
	log    Log
	q      Query

	begun       bool
	done        bool
	trimmed     bool
	first, next uint64 // what is left to look at
	anchors     [4]uint64
	missing     int    // anchors not found yet
	behind      uint64 // while looking for anchors: those from here on were looked at
	found       int
	full        bool  // Limit was reached
	oldest      int64 // ns; those up to here are too old
}

// NewCursor begins q on a log of source.
func NewCursor(source Source, log Log, q *Query) *Cursor {
	c := &Cursor{source: source, log: log, q: *q}
	if c.q.Limit <= 0 {
		c.q.Limit = math.MaxInt
	}
	return c
}

// Continue lets the query go on beyond Limit, because the caller wants more than it has found: after a page that is
// Full, and then to the end. Pages may have more events than are wanted.
func (c *Cursor) Continue() {
	c.q.Limit, c.full, c.done = math.MaxInt, false, false
}

// Next returns the next page; it may have no events and still not be the last. It may wait for a disk: a loop calls
// Store.Read instead. After an error the cursor is at its end.
func (c *Cursor) Next() (p Page, err error) {
	if err = c.step(&p); err != nil {
		c.done = true
		return Page{}, err
	}
	p.Done, p.Full, p.Trimmed = c.done, c.full, c.trimmed
	return p, nil
}

func (c *Cursor) step(p *Page) error {
	if c.done {
		return nil
	}
	if !c.begun {
		if err := c.begin(); err != nil {
			return err
		}
	}
	if c.missing > 0 {
		return c.findAnchors()
	}
	return c.collect(p)
}

func (c *Cursor) begin() error {
	span, err := c.source.Span(c.log)
	if err != nil {
		return err
	}
	c.begun, c.trimmed = true, span.Trimmed
	c.first, c.next, c.behind = span.First, span.Next, span.Next
	c.oldest = math.MinInt64
	if span.Age > 0 && !c.q.Now.IsZero() {
		past := c.q.Now.Add(-span.Age)
		c.oldest = nanos(past, 0)
		c.q.AfterTime(past)
	}
	for _, id := range [...]uint64{
		c.q.FromPublication, c.q.AfterPublication, c.q.BeforePublication, c.q.UntilPublication,
	} {
		if id != 0 {
			c.missing++
		}
	}
	return nil
}

// findAnchors looks for the publications that the query names, the newest records first: most ask for what came after
// an event that they have seen lately.
func (c *Cursor) findAnchors() error {
	ids := [...]uint64{c.q.FromPublication, c.q.AfterPublication, c.q.BeforePublication, c.q.UntilPublication}
	examined, reads := 0, 0
	stopped := false
	err := c.source.Scan(c.log, c.first, c.behind, true, func(seq uint64, rec []byte) bool {
		c.behind = seq
		examined++
		reads += len(rec)
		for i, id := range ids {
			if id == 0 || RecordPublication(rec) != id || c.anchors[i] != 0 || !c.visible(rec) {
				continue
			}
			c.anchors[i] = seq + 1
			c.missing--
		}
		stopped = c.missing == 0 || examined >= pageExamined || reads >= pageReads
		return !stopped
	})
	switch {
	case err != nil:
		return err
	case c.missing > 0 && !stopped:
		return ErrNoPublication
	case c.missing > 0:
		return nil
	}
	// An anchor is one more than the number of its record.
	if a := c.anchors[0]; a != 0 {
		c.first = max(c.first, a-1)
	}
	if a := c.anchors[1]; a != 0 {
		c.first = max(c.first, a)
	}
	if a := c.anchors[2]; a != 0 {
		c.next = min(c.next, a-1)
	}
	if a := c.anchors[3]; a != 0 {
		c.next = min(c.next, a)
	}
	return nil
}

// visible reports whether the reader may know of the event of rec.
func (c *Cursor) visible(rec []byte) bool {
	admitted, _ := recordAdmits(rec, &c.q.Reader, nil)
	return admitted && (c.oldest == math.MinInt64 || RecordTime(rec) > c.oldest)
}

// collect looks at the records that come next, and puts those that are asked for on the page.
func (c *Cursor) collect(p *Page) error {
	var octets []byte
	var ends []int
	examined, reads := 0, 0
	stopped := false
	err := c.source.Scan(c.log, c.first, c.next, c.q.Reverse, func(seq uint64, rec []byte) bool {
		if c.wanted(rec) {
			// A record that has no room goes on the next page; the first always has room.
			if len(ends) == pageEvents || len(ends) > 0 && len(octets)+len(rec) > pageBytes {
				stopped = true
				return false
			}
			octets = append(octets, rec...)
			ends = append(ends, len(octets))
			c.found++
		}
		if c.q.Reverse {
			c.next = seq
		} else {
			c.first = seq + 1
		}
		examined++
		reads += len(rec)
		stopped = c.found >= c.q.Limit || examined >= pageExamined || reads >= pageReads
		return !stopped
	})
	if err != nil {
		return err
	}
	switch {
	case !stopped || c.first >= c.next:
		c.done = true
	case c.found >= c.q.Limit:
		c.done, c.full = true, true
	}
	p.Events = make([]Event, 0, len(ends))
	start := 0
	for _, end := range ends {
		e, err := ReadRecord(octets[start:end:end])
		if err != nil {
			return err // the source checks its octets, so this is a fault of ours
		}
		p.Events = append(p.Events, e)
		start = end
	}
	return nil
}

func (c *Cursor) wanted(rec []byte) bool {
	if t := RecordTime(rec); c.q.timed && (t < c.q.min || t > c.q.max) {
		return false
	}
	admitted, ofTopic := recordAdmits(rec, &c.q.Reader, c.q.Topic)
	return admitted && ofTopic
}
