// Package profiles reads CPU profiles and says where the time went, by category. Shares survive a change of machine;
// nanoseconds do not. The folder also keeps the recorded profiles that builds and checks read.
package profiles

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/pprof/profile"
)

// A Category is a kind of work, judged by the function that was running: the leaf of the stack, innermost inlined
// call first. A function of the runtime that no rule knows is judged by its caller.
type Category int

// Categories, in the order of a report.
const (
	Syscall   Category = iota // the kernel, and the way into it
	Scheduler                 // the Go scheduler: goroutine switches, thread wake-ups, timers, network poller
	GC                        // garbage collection: mark, sweep, write barriers
	Malloc                    // allocation
	Memory                    // copying, clearing, comparing and hashing bytes
	Maps                      // Go maps
	Codec                     // banyan/codec and what it uses to encode
	Engine                    // banyan/engine, gnet's poller, WebSocket
	Realm                     // banyan/realm
	Other                     // everything else
	categories
)

var categoryNames = [categories]string{
	"syscall", "scheduler", "gc", "malloc", "memory", "maps", "codec", "engine",
	"realm", "other",
}

func (c Category) String() string {
	if c < 0 || c >= categories {
		return fmt.Sprintf("Category(%d)", int(c))
	}
	return categoryNames[c]
}

// rules map the beginning of a function's name to its category; the longest beginning that fits decides.
var rules = map[string]Category{
	"internal/runtime/syscall": Syscall,
	"syscall.":                 Syscall,
	"golang.org/x/sys/unix.":   Syscall,
	"runtime.entersyscall":     Syscall,
	"runtime.exitsyscall":      Syscall,
	"runtime.reentersyscall":   Syscall,
	"runtime.vdsoClock":        Syscall,
	"runtime.epoll":            Syscall,

	"runtime.futex":           Scheduler,
	"runtime.usleep":          Scheduler,
	"runtime.osyield":         Scheduler,
	"runtime.procyield":       Scheduler,
	"runtime.schedule":        Scheduler,
	"runtime.findRunnable":    Scheduler,
	"runtime.park":            Scheduler,
	"runtime.gopark":          Scheduler,
	"runtime.goready":         Scheduler,
	"runtime.ready":           Scheduler,
	"runtime.execute":         Scheduler,
	"runtime.mcall":           Scheduler,
	"runtime.gosched":         Scheduler,
	"runtime.goschedImpl":     Scheduler,
	"runtime.goyield":         Scheduler,
	"runtime.runq":            Scheduler,
	"runtime.globrunq":        Scheduler,
	"runtime.wakep":           Scheduler,
	"runtime.startm":          Scheduler,
	"runtime.stopm":           Scheduler,
	"runtime.mPark":           Scheduler,
	"runtime.note":            Scheduler,
	"runtime.netpoll":         Scheduler,
	"runtime.lock2":           Scheduler,
	"runtime.unlock2":         Scheduler,
	"runtime.sema":            Scheduler,
	"runtime.casgstatus":      Scheduler,
	"runtime.gogo":            Scheduler,
	"runtime.stealWork":       Scheduler,
	"runtime.checkTimers":     Scheduler,
	"runtime.(*timers)":       Scheduler,
	"runtime.(*timer)":        Scheduler,
	"runtime.resetspinning":   Scheduler,
	"runtime.pidle":           Scheduler,
	"runtime.mget":            Scheduler,
	"runtime.acquirep":        Scheduler,
	"runtime.releasep":        Scheduler,
	"runtime.handoffp":        Scheduler,
	"runtime.retake":          Scheduler,
	"runtime.sysmon":          Scheduler,
	"runtime.selectgo":        Scheduler,
	"runtime.chan":            Scheduler,
	"internal/sync.(*Mutex)":  Scheduler,
	"internal/runtime/atomic": Scheduler,

	"runtime.gc":              GC,
	"runtime.mark":            GC,
	"runtime.scan":            GC,
	"runtime.greyobject":      GC,
	"runtime.sweep":           GC,
	"runtime.bgsweep":         GC,
	"runtime.wbBuf":           GC,
	"runtime.bulkBarrier":     GC,
	"runtime.(*gcWork)":       GC,
	"runtime.(*gcBits)":       GC,
	"runtime.(*sweepLocked)":  GC,
	"runtime.(*spanInlineM":   GC,
	"runtime.tryDeferToSpan":  GC,
	"runtime.findObject":      GC,
	"runtime.(*unwinder)":     GC,
	"runtime.pcvalue":         GC,
	"runtime.getempty":        GC,
	"runtime.putfull":         GC,
	"runtime.trygetfull":      GC,
	"runtime.(*lfstack)":      GC,
	"runtime.typePointers":    GC,
	"runtime.(*pageAlloc)":    GC,
	"runtime.(*scavenge":      GC,
	"runtime.bgscavenge":      GC,
	"runtime.gcWriteBarrier":  GC,
	"gcWriteBarrier":          GC,
	"runtime.wbZero":          GC,
	"runtime.wbMove":          GC,
	"expandAVX512":            GC,
	"internal/runtime/gc":     GC,
	"runtime.(*markBits)":     GC,
	"runtime.freeDeadSpan":    GC,
	"runtime.sysUnused":       GC,
	"runtime.(*spanSet)":      GC,
	"runtime.heapBitsSmallFo": GC,

	"runtime.malloc":           Malloc,
	"runtime.newobject":        Malloc,
	"runtime.makeslice":        Malloc,
	"runtime.growslice":        Malloc,
	"runtime.nextFree":         Malloc,
	"runtime.(*mcache)":        Malloc,
	"runtime.(*mcentral)":      Malloc,
	"runtime.(*mheap)":         Malloc,
	"runtime.(*mspan)":         Malloc,
	"runtime.heapSetType":      Malloc,
	"runtime.(*fixalloc)":      Malloc,
	"runtime.profilealloc":     Malloc,
	"runtime.deductAssist":     Malloc,
	"runtime.rawbyteslice":     Malloc,
	"runtime.rawstring":        Malloc,
	"runtime.slicebytetostr":   Malloc,
	"sync.(*Pool)":             Malloc,
	"sync.(*pool":              Malloc,
	"sync.runtime_procPin":     Malloc,
	"sync.runtime_procUnpin":   Malloc,
	"runtime.stringtoslicebyt": Malloc,

	"runtime.memmove":      Memory,
	"runtime.memclr":       Memory,
	"runtime.memequal":     Memory,
	"runtime.cmpbody":      Memory,
	"runtime.typedmemmove": Memory,
	"memeqbody":            Memory,
	"indexbytebody":        Memory,
	"internal/bytealg.":    Memory,
	"aeshashbody":          Memory,
	"runtime.memhash":      Memory,
	"hash/maphash.":        Memory,
	"runtime.strhash":      Memory,
	"countbody":            Memory,

	"runtime.map":           Maps,
	"internal/runtime/maps": Maps,

	"banyan/codec":                      Codec,
	"github.com/tinylib/msgp":           Codec,
	"github.com/go-json-experiment":     Codec,
	"unicode/utf8.":                     Codec,
	"encoding/base64.":                  Codec,
	"banyan/engine":                     Engine,
	"github.com/panjf2000/gnet":         Engine,
	"github.com/gobwas/ws":              Engine,
	"github.com/valyala/bytebufferpool": Codec,
	"banyan/realm":                      Realm,
}

// Classify returns the category of a function by its full name, for instance "banyan/realm.(*broker).publish".
func Classify(function string) Category {
	for n := len(function); n > 0; n-- {
		if c, ok := rules[function[:n]]; ok {
			return c
		}
	}
	return Other
}

// Shares is where the CPU time of a profile went.
type Shares struct {
	Samples  int64 // stacks counted; below about 5000 a share is known to a point or two only
	CPU      int64 // ns
	ByKind   [categories]int64
	flat     [categories]map[string]int64 // ns by function that was running
	cpuIndex int                          // of the CPU time in a sample's values

	// OthersTop are the functions with the most time in Other, at most ten: candidates for a rule.
	OthersTop []FunctionTime
}

// A FunctionTime is the time spent in one function itself.
type FunctionTime struct {
	Function string
	CPU      int64 // ns
}

// Share returns the part of c in the whole, 0 to 1.
func (s *Shares) Share(c Category) float64 {
	if s.CPU == 0 {
		return 0
	}
	return float64(s.ByKind[c]) / float64(s.CPU)
}

// Read reads a CPU profile in pprof's format, compressed or not.
func Read(r io.Reader) (*Shares, error) {
	p, err := profile.Parse(r)
	if err != nil {
		return nil, fmt.Errorf("read profile: %w", err)
	}
	return Sum(p)
}

// Sum sums a CPU profile by category.
func Sum(p *profile.Profile) (*Shares, error) {
	cpu, count := -1, -1
	for i, t := range p.SampleType {
		switch {
		case t.Type == "cpu" && t.Unit == "nanoseconds":
			cpu = i
		case t.Type == "samples":
			count = i
		}
	}
	if cpu < 0 {
		return nil,
			fmt.Errorf("read profile: no CPU times in it; record one with net/http/pprof or go test -cpuprofile")
	}
	s := &Shares{cpuIndex: cpu}
	for c := range s.flat {
		s.flat[c] = map[string]int64{}
	}
	for _, sample := range p.Sample {
		v := sample.Value[cpu]
		name, c := judge(sample)
		s.CPU += v
		s.ByKind[c] += v
		s.flat[c][name] += v
		if count >= 0 {
			s.Samples += sample.Value[count]
		}
	}
	s.OthersTop = top(s.flat[Other], 10)
	return s, nil
}

// judge returns the function that was running, "" if it has no name, and the category of its work. Line[0] is the
// innermost inlined call.
func judge(s *profile.Sample) (function string, c Category) {
	first := true
	for _, l := range s.Location {
		for _, line := range l.Line {
			if line.Function == nil {
				return function, Other
			}
			name := line.Function.Name
			if first {
				function, first = name, false
			}
			if c := Classify(name); c != Other || !ofRuntime(name) {
				return function, c
			}
		}
	}
	return function, Other
}

// ofRuntime reports whether a function works for its caller: those of the runtime and of the packages below it.
func ofRuntime(function string) bool {
	for _, prefix := range []string{"runtime.", "internal/", "sync.", "sync/atomic.", "errors."} {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}

// Print writes the table.
func (s *Shares) Print(w io.Writer) {
	fmt.Fprintf(w, "%d samples, %.2f s of CPU\n", s.Samples, float64(s.CPU)/1e9)
	for c := range categories {
		bar := strings.Repeat("#", int(s.Share(c)*50+0.5))
		fmt.Fprintf(w, "%-10s %5.1f %%  %s\n", c, 100*s.Share(c), bar)
	}
	if len(s.OthersTop) == 0 {
		return
	}
	fmt.Fprintln(w, "\nmost of other:")
	for _, f := range s.OthersTop {
		name := f.Function
		if name == "" {
			name = "(no symbol)"
		}
		fmt.Fprintf(w, "%-10.2f %s\n", float64(f.CPU)/1e9, name)
	}
}
