package load

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	latencyMax    = int64(100 * time.Second)
	latencyShards = 8
)

// A recorder collects latencies of many goroutines: those that count for the report, and all of the last interval for
// the live line. Goroutines share a few shards and record once per batch of messages.
type recorder struct {
	shards [latencyShards]struct {
		mu       sync.Mutex
		counted  *hdrhistogram.Histogram
		interval *hdrhistogram.Histogram
		over     int64 // latencies above latencyMax, counted as latencyMax
	}
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1000, latencyMax, 3) }

// longest is the longest latency in microseconds, 0 of none: the histogram itself has a bucket's width for that.
func longest(h *hdrhistogram.Histogram) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return micro(h.Max())
}

func newRecorder() *recorder {
	r := &recorder{}
	for i := range r.shards {
		r.shards[i].counted = newHistogram()
		r.shards[i].interval = newHistogram()
	}
	return r
}

// A latencyBatch gathers the latencies of one read. Owned by one goroutine.
type latencyBatch struct {
	all     []int64
	counted []bool
}

func (b *latencyBatch) add(l time.Duration, counts bool) {
	b.all = append(b.all, max(int64(l), 0))
	b.counted = append(b.counted, counts)
}

// record empties b into the shard of goroutine number who.
func (r *recorder) record(who int, b *latencyBatch) {
	if len(b.all) == 0 {
		return
	}
	s := &r.shards[who%latencyShards]
	s.mu.Lock()
	for i, l := range b.all {
		if l > latencyMax {
			l = latencyMax
			s.over++
		}
		// RecordValue accepts every value from 0 to latencyMax.
		s.interval.RecordValue(l)
		if b.counted[i] {
			s.counted.RecordValue(l)
		}
	}
	s.mu.Unlock()
	b.all, b.counted = b.all[:0], b.counted[:0]
}

// takeInterval returns what was recorded since the last call.
func (r *recorder) takeInterval() *hdrhistogram.Histogram {
	h := newHistogram()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		h.Merge(s.interval)
		s.interval.Reset()
		s.mu.Unlock()
	}
	return h
}

// total returns everything that counts.
func (r *recorder) total() (h *hdrhistogram.Histogram, over int64) {
	h = newHistogram()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		h.Merge(s.counted)
		over += s.over
		s.mu.Unlock()
	}
	return h, over
}
