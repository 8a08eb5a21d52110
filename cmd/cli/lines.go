package cli

import (
	"bytes"
	"io"
	"sync"
	"time"
)

const (
	// linesBytesMax is how many bytes of lines may wait to be written. A line beyond it is dropped and counted.
	linesBytesMax = 256 << 10
	// linesTimeout is how long Close waits for the last lines to be written.
	linesTimeout = 500 * time.Millisecond
)

// A lineQueue writes lines on a goroutine of its own, so that no caller waits for the reader of the lines: a pager
// that stands still, a full pipe, a log collector that is gone. Lines that find no room, or whose write fails, are
// dropped and counted; when writing works again, a line says how many.
type lineQueue struct {
	// Fixed by newLineQueue.
	to     io.Writer
	report func(dropped int) []byte // the line about dropped lines

	wake chan struct{} // holds one token when there may be something to do
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	waiting []byte // guarded by mu; at most linesBytesMax
	dropped int    // guarded by mu; lines since the last report
	closed  bool   // guarded by mu; the goroutine ends when nothing waits
}

func newLineQueue(to io.Writer, report func(dropped int) []byte) *lineQueue {
	w := &lineQueue{to: to, report: report, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one or more whole lines, or drops them. It never waits and never fails. Any goroutine.
func (w *lineQueue) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.closed || len(w.waiting)+len(b) > linesBytesMax {
		w.dropped += bytes.Count(b, newline)
	} else {
		w.waiting = append(w.waiting, b...)
	}
	w.mu.Unlock()
	w.signal()
	return len(b), nil
}

var newline = []byte{'\n'}

func (w *lineQueue) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes what waits until the writer is closed.
func (w *lineQueue) run() {
	defer close(w.done)
	var batch []byte
	for range w.wake {
		for {
			w.mu.Lock()
			batch, w.waiting = w.waiting, batch[:0]
			dropped, closed := w.dropped, w.closed
			w.dropped = 0
			w.mu.Unlock()
			if len(batch) == 0 && dropped == 0 {
				if closed {
					return
				}
				break
			}
			if dropped > 0 { // they came after what waited
				batch = append(batch, w.report(dropped)...)
			}
			if !w.write(batch, dropped) {
				if closed {
					return
				}
				break // the next line tries again
			}
		}
	}
}

// write reports whether all of batch was written. If not, its lines count as dropped; the last of them is the report
// of dropped ones, if there are any.
func (w *lineQueue) write(batch []byte, dropped int) bool {
	n, err := w.to.Write(batch)
	if err == nil {
		return true
	}
	lost := bytes.Count(batch[n:], newline)
	if dropped > 0 {
		lost += dropped - 1
	}
	w.mu.Lock()
	w.dropped += lost
	w.mu.Unlock()
	return false
}

// Close writes what waits, and gives up after linesTimeout. After that only a write that has begun may still succeed.
func (w *lineQueue) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	select {
	case <-w.done:
	case <-time.After(linesTimeout):
	}
}
