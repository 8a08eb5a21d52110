package cli

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// A scriptedWriter is a reader of lines that stops, fails and comes back.
type scriptedWriter struct {
	mu     sync.Mutex
	got    bytes.Buffer
	fails  bool
	blocks chan struct{} // a write waits until it is closed; nil: none does
}

func (w *scriptedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	blocks := w.blocks
	w.mu.Unlock()
	if blocks != nil {
		<-blocks
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails {
		some := bytes.LastIndexByte(b[:len(b)/2], '\n') + 1
		w.got.Write(b[:some])
		return some, errors.New("the reader is gone")
	}
	return w.got.Write(b)
}

func (w *scriptedWriter) set(fails bool, blocks chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails, w.blocks = fails, blocks
}

func reportDropped(n int) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }

var dropped = regexp.MustCompile(`(?m)^dropped (\d+)$`)

// account adds up the lines that came whole and those that were reported as dropped.
func account(text string) (whole, lost int) {
	for _, m := range dropped.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		lost += n
	}
	return strings.Count(text, "line\n"), lost
}

// TestLineQueue: no line is waited for, none is lost uncounted, twice in a row, and a reader that comes back is told.
func TestLineQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &scriptedWriter{}
		w := newLineQueue(to, reportDropped)
		sent := 0
		send := func(n int) {
			for range n {
				fmt.Fprintf(w, "%06d line\n", sent)
				sent++
			}
			synctest.Wait()
		}
		size := len("000000 line\n")
		room := linesBytesMax / size
		for round := 1; round <= 2; round++ {
			blocks := make(chan struct{})
			to.set(false, blocks)
			send(1) // taken into the write that waits
			send(room)
			send(7) // no room
			to.set(false, nil)
			close(blocks)
			synctest.Wait()
			if whole, lost := account(to.got.String()); whole != sent-7*round || lost != 7*round {
				t.Fatalf("round %d: of %d lines %d came and %d were reported as dropped", round, sent, whole, lost)
			}
			if !strings.HasSuffix(to.got.String(), "dropped 7\n") {
				t.Errorf("round %d: the report is not the last line", round)
			}
		}

		// A writer that fails loses what it did not take, the report of earlier losses included.
		to.got.Reset()
		sent = 0
		to.set(true, nil)
		send(5)
		to.set(false, nil)
		send(1)
		if whole, lost := account(to.got.String()); whole+lost != 6 || lost == 0 {
			t.Errorf("of 6 lines, 5 of them into failures, %d came and %d were reported as dropped", whole, lost)
		}

		// The end writes what waits.
		blocks := make(chan struct{})
		to.set(false, blocks)
		send(3)
		to.got.Reset() // the first is in the write that waits
		close(blocks)
		w.Close()
		if whole, _ := account(to.got.String()); whole != 3 {
			t.Errorf("%d of the last 3 lines were written", whole)
		}
		fmt.Fprintln(w, "late")
		synctest.Wait()
		if strings.Contains(to.got.String(), "late") {
			t.Error("a line was written after Close")
		}
	})
}

// TestLineQueueEnd: the end does not wait for a reader that does not read.
func TestLineQueueEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blocks := make(chan struct{})
		to := &scriptedWriter{blocks: blocks}
		w := newLineQueue(to, reportDropped)
		fmt.Fprintln(w, "line")
		w.Close() // returns by the clock of the bubble
		close(blocks)
	})
}
