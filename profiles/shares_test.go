package profiles

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		function string
		want     Category
	}{
		{"internal/runtime/syscall/linux.Syscall6", Syscall},
		{"syscall.write", Syscall},
		{"runtime.futex", Scheduler},
		{"runtime.findRunnable", Scheduler},
		{"runtime.gcDrain", GC},
		{"runtime.scanobject", GC},
		{"runtime.mallocgcTiny", Malloc},
		{"runtime.mallocgc", Malloc},
		{"runtime.memmove", Memory},
		{"runtime.mapassign_fast64", Maps},
		{"internal/runtime/maps.(*table).Delete", Maps},
		{"sync.(*Pool).Get", Malloc},
		{"banyan/codec.(*Decoder).Decode", Codec},
		{"banyan/engine.(*loop).run", Engine},
		{"banyan/engine/port.x", Engine},
		{"banyan/realm.(*broker).publish", Realm},
		{"fmt.Fprintf", Other},
		{"", Other},
	} {
		if got := Classify(c.function); got != c.want {
			t.Errorf("Classify(%q) = %v, want %v", c.function, got, c.want)
		}
	}
}

// build makes a profile of one leaf function per entry, each called from main.main.
func build(times map[string]int64) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000,
	}
	location := func(lines ...string) *profile.Location {
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Address: uint64(len(p.Location) + 1)}
		for _, name := range lines {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
			p.Function = append(p.Function, f)
			l.Line = append(l.Line, profile.Line{Function: f})
		}
		p.Location = append(p.Location, l)
		return l
	}
	main := location("main.main")
	for f, ms := range times {
		// The second line is the caller that the leaf was inlined into: it must not decide.
		leaf := location(f, "banyan/realm.inlinedHere")
		p.Sample = append(p.Sample, &profile.Sample{
			Location: []*profile.Location{leaf, main}, Value: []int64{ms / 10, ms * 1_000_000},
		})
	}
	return p
}

func TestShares(t *testing.T) {
	p := build(map[string]int64{
		"internal/runtime/syscall/linux.Syscall6": 500,
		"runtime.futex":       100,
		"runtime.gcDrain":     50,
		"runtime.mallocgc":    50,
		"runtime.memmove":     50,
		"banyan/codec.skip":   100,
		"banyan/engine.flush": 70,
		"banyan/realm.route":  50,
		"strconv.Itoa":        20,
		"sort.Sort":           10,
	})
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	s, err := Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	if s.CPU != 1_000_000_000 || s.Samples != 100 {
		t.Errorf("CPU %d, samples %d; want 1e9 and 100", s.CPU, s.Samples)
	}
	want := map[Category]float64{
		Syscall: 0.5, Scheduler: 0.1, GC: 0.05, Malloc: 0.05, Memory: 0.05, Codec: 0.1, Engine: 0.07, Realm: 0.05,
		Other: 0.03,
	}
	sum := 0.0
	for c := range categories {
		if got := s.Share(c); got != want[c] {
			t.Errorf("share of %v = %v, want %v", c, got, want[c])
		}
		sum += s.Share(c)
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("the shares add up to %v", sum)
	}
	if len(s.OthersTop) != 2 || s.OthersTop[0].Function != "strconv.Itoa" {
		t.Errorf("OthersTop = %v", s.OthersTop)
	}
	var out strings.Builder
	s.Print(&out)
	if !strings.Contains(out.String(), "syscall     50.0 %") {
		t.Errorf("the table lacks the syscall share:\n%s", out.String())
	}
}

// A helper of the runtime counts for who called it, whatever else may be above.
func TestJudgeByCaller(t *testing.T) {
	for _, c := range []struct {
		stack []string
		want  Category
	}{
		{[]string{"runtime.heapArenaOf", "runtime.spanOf", "runtime.findObject", "banyan/realm.x"}, GC},
		{[]string{"runtime.asyncPreempt", "banyan/engine.(*loop).run"}, Engine},
		{[]string{"internal/strconv.formatBase10", "strconv.AppendUint", "banyan/codec.x"}, Other},
		{[]string{"runtime.systemstack"}, Other},
	} {
		s := stacks(map[string]int64{strings.Join(c.stack, " "): 10}).Sample[0]
		f, got := judge(s)
		if got != c.want || f != c.stack[0] {
			t.Errorf("judge(%v) = %q, %v; want %v", c.stack, f, got, c.want)
		}
	}
}

func TestReadRefusesOtherProfiles(t *testing.T) {
	p := build(map[string]int64{"main.x": 10})
	p.SampleType = []*profile.ValueType{{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"}}
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(&file); err == nil {
		t.Error("a heap profile was taken for a CPU profile")
	}
	if _, err := Read(strings.NewReader("not a profile")); err == nil {
		t.Error("garbage was taken for a profile")
	}
}
