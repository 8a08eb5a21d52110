package cli

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGCPercent(t *testing.T) {
	const mib = 1 << 20
	for live, want := range map[uint64]int{
		0: 400, 4 * mib: 400, 4*mib + 1: 399, 8 * mib: 200, 16*mib - 1: 100, 16 * mib: 100, 16*mib + 1: 100,
		1 << 40: 100,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes live: %d %%, want %d", live, got, want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		budget int64
		live   uint64
		want   int64
	}{
		{64 * mib, 0, 256 * mib},
		{64 * mib, 204 * mib, 256 * mib},
		{64 * mib, 208 * mib, 260 * mib},
		{1024 * mib, 0, 3136 * mib},
		{math.MaxInt64, 0, math.MaxInt64/8*3 + 64*mib},
	} {
		if got := memoryLimit(c.budget, c.live); got != c.want {
			t.Errorf("budget %d, %d live: %d, want %d", c.budget, c.live, got, c.want)
		}
	}
}

// percentSet is what the runtime goes by.
func percentSet() int {
	set := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(set)
	return int(set[0].Value.Uint64())
}

// TestSpaceCollections: the percentage and the limit follow what is live, again and again, and are as before at the
// end. Not parallel: they are those of the process.
func TestSpaceCollections(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	percentBefore, limitBefore := percentSet(), debug.SetMemoryLimit(-1)
	const budget = -memoryBesides/memoryBudgets + 8<<20 // a limit of 24 MiB, and more when more is live
	stop := spaceCollections(budget)
	var held []byte
	for range 2 {
		for want, size := range map[int]int{gcPercentMin: heapRoom + heapRoom/2, gcPercentMax: 0} {
			held = make([]byte, size)
			fits := func() bool {
				percent, limit := percentSet(), debug.SetMemoryLimit(-1)
				if want == gcPercentMax { // other tests of this process hold something too
					return percent > gcPercentMin && limit < heapRoom*15/8
				}
				return percent == want && limit >= heapRoom*15/8
			}
			deadline := time.Now().Add(time.Minute)
			for !fits() {
				if time.Now().After(deadline) {
					t.Fatalf("%d bytes held: %d %%, want %d; a limit of %d", len(held), percentSet(), want,
						debug.SetMemoryLimit(-1))
				}
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
			runtime.KeepAlive(held)
		}
	}
	stop()
	for range 3 { // a collection after the end changes nothing
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
		percent, limit := percentSet(), debug.SetMemoryLimit(-1)
		if percent != percentBefore || limit != limitBefore {
			t.Errorf("%d %% and a limit of %d after the end, want %d and %d", percent, limit, percentBefore,
				limitBefore)
		}
	}
}

// TestSpaceCollectionsLeaves: what the operator says of one stands, and decides nothing of the other.
func TestSpaceCollectionsLeaves(t *testing.T) {
	percentBefore, limitBefore := debug.SetGCPercent(150), debug.SetMemoryLimit(1<<40)
	defer debug.SetGCPercent(percentBefore)
	defer debug.SetMemoryLimit(limitBefore)
	for name, want := range map[string][2]int64{
		"GOGC": {150, memoryLimit(1<<30, 0)}, "GOMEMLIMIT": {gcPercentMax, 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			for _, other := range []string{"GOGC", "GOMEMLIMIT"} {
				t.Setenv(other, "")
				os.Unsetenv(other)
			}
			t.Setenv(name, "set")
			stop := spaceCollections(1 << 30)
			percent, limit := percentSet(), debug.SetMemoryLimit(-1)
			if int64(percent) != want[0] && (name == "GOGC" || percent <= gcPercentMin) || limit != want[1] {
				t.Errorf("%d %% and a limit of %d, want %v", percent, limit, want)
			}
			stop()
			if percent, limit := percentSet(), debug.SetMemoryLimit(-1); percent != 150 || limit != 1<<40 {
				t.Errorf("%d %% and a limit of %d after the end", percent, limit)
			}
		})
	}
}
