package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// TestMemoryKeeper: memory is given back when much of it is idle, nobody is leaving, and not too often.
func TestMemoryKeeper(t *testing.T) {
	const mib = 1 << 20
	k := memoryKeeper{heap: 4 * mib}
	allocated := int64(0)
	for i, step := range []struct {
		heap, use, after int64 // after: what the collection leaves, 0 if there must be none
		allocated        int64 // since the last look
	}{
		{4 * mib, 0, 0, 0},
		{30 * mib, 26 * mib, 0, 0},       // grown for a reason
		{30 * mib, 10 * mib, 0, 0},       // leaving
		{30 * mib, 9 * mib, 12 * mib, 0}, // that is not leaving any more
		{40 * mib, 9 * mib, 0, 0},        // a burst between two looks, just after a collection
		{40 * mib, 9 * mib, 0, 0},
		{40 * mib, 9 * mib, 0, 0},
		{40 * mib, 9 * mib, 12 * mib, 0},
		{12 * mib, 9 * mib, 0, 0},
		{12 * mib, 9 * mib, 0, 0},
		{12 * mib, 9 * mib, 0, 0},
		{20*mib - 1, 9 * mib, 0, 0}, // too little
		{20 * mib, 9 * mib, 12 * mib, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 1000 * mib, 0}, // the estimate was wrong: it is all in use
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1000 * mib, 9 * mib, 0, 0},
		{1100 * mib, 9 * mib, 0, 0},          // much, but a small part
		{1340 * mib, 9 * mib, 0, 16*mib + 1}, // much comes and goes
		{1340 * mib, 9 * mib, 1000 * mib, 16 * mib},
	} {
		allocated += step.allocated
		got := k.look(step.heap, allocated, step.use)
		if got != (step.after > 0) {
			t.Errorf("look %d, %d bytes of heap, %d in use: %v", i, step.heap, step.use, got)
		}
		if got {
			k.collected(step.after, step.use)
		}
	}
}

// raceDetector is set in binaries with the race detector. It keeps several times the memory of the heap for itself,
// and never gives that back; the heap is where it wants it.
var raceDetector bool

const heapFirst, heapEnd = 0xc0_0000_0000, 0xe0_0000_0000

// resident returns how much memory the process has, without that of the race detector, in MiB.
func (p *serveProcess) resident() (mib int) {
	p.t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", p.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	kib, counts := 0, false
	for line := range strings.Lines(string(maps)) {
		var first, end uint64
		var n int
		if k, _ := fmt.Sscanf(line, "%x-%x ", &first, &end); k == 2 {
			counts = !raceDetector || first >= heapFirst && end <= heapEnd
		} else if k, _ := fmt.Sscanf(line, "Rss: %d kB", &n); k == 1 && counts {
			kib += n
		}
	}
	return kib >> 10
}

// TestMemoryComesBack: within 5 s after a burst the router has given its memory back, whatever it was that took it.
// F4.
func TestMemoryComesBack(t *testing.T) {
	t.Parallel()
	const burst = 48 // MiB
	for name, take := range map[string]func(*serveProcess) *client.Conn{
		"backlog": func(p *serveProcess) *client.Conn { return p.deafen(burst) },
		"records": func(p *serveProcess) *client.Conn {
			c := p.join()
			const n = 150_000
			for i := range n {
				if err := c.QueueMessage(&codec.Message{
					Type: codec.Subscribe, Format: c.Serializer(), Request: uint64(i + 1),
					URI: fmt.Appendf(nil, "com.example.topic.%d", i),
				}); err != nil {
					p.t.Fatal(err)
				}
				if i%1000 == 999 {
					for range 1000 {
						if _, err := c.Receive(); err != nil {
							p.t.Fatal(err)
						}
					}
				}
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startServe(t, nil)
			p.join().Abandon()
			before := p.resident()
			c := take(p)
			if during := p.resident(); during < before+burst/2 {
				t.Errorf("the burst took %d MiB, fewer than expected", during-before)
			}
			c.Abandon()
			gone := time.Now()
			eventually(t, "memory comes back", func() bool { return p.resident() < before+burst/4 })
			if took := time.Since(gone); took > 5*time.Second && !raceDetector {
				t.Errorf("after %v", took)
			}
		})
	}
}
