package profiles

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// stacks makes a profile of stacks, leaf first, functions parted by spaces, with their times in ms; a sample is 1 ms.
func stacks(times map[string]int64) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     1_000_000,
		Mapping: []*profile.Mapping{{
			ID: 1, File: "/home/somebody/banyan", BuildID: "abc", Start: 0x400000,
			Limit: 0x500000,
		}},
	}
	locations := map[string]*profile.Location{}
	for stack, ms := range times {
		s := &profile.Sample{Value: []int64{ms, ms * 1_000_000}}
		for _, name := range strings.Fields(stack) {
			l := locations[name]
			if l == nil {
				id := uint64(len(locations) + 1)
				f := &profile.Function{ID: id, Name: name, Filename: "banyan/realm/x.go"}
				p.Function = append(p.Function, f)
				l = &profile.Location{
					ID: id, Address: 0x400000 + id, Mapping: p.Mapping[0],
					Line: []profile.Line{{Function: f, Line: 1}},
				}
				p.Location = append(p.Location, l)
				locations[name] = l
			}
			s.Location = append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

const (
	receive = " banyan/realm.(*handler).Receive banyan/engine.(*conn).receive banyan/engine.(*loop).onEvent"
	syscall = "internal/runtime/syscall/linux.Syscall6 banyan/engine.(*loop).flush"
)

// calm is a profile that keeps every budget of fan-out.
func calm() map[string]int64 {
	return map[string]int64{
		syscall: 9_500, "banyan/codec.skip" + receive: 150,
		"banyan/engine.(*queue).flush banyan/engine.(*loop).flush": 250, "banyan/realm.walk" + receive: 100,
	}
}

func TestCheckHolds(t *testing.T) {
	v, err := check(stacks(calm()), Fanout100, Baseline{})
	if err != nil || !v.OK() {
		t.Fatalf("%v, %v", v, err)
	}
	var out strings.Builder
	v.Print(&out)
	if !strings.Contains(out.String(), "all budgets hold") ||
		!strings.Contains(out.String(), "engine       2.5 %  of at most") {
		t.Errorf("unexpected table:\n%s", out.String())
	}
}

func TestCheckNamesWhatGrew(t *testing.T) {
	before := calm()
	was, err := NewBaseline(stacks(before))
	if err != nil {
		t.Fatal(err)
	}
	now := calm()
	now["banyan/codec.slowly"+receive] = 900
	v, err := check(stacks(now), Fanout100, was)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Breaches) != 1 || v.Breaches[0].What != "codec" {
		t.Fatalf("breaches: %v", v.Breaches)
	}
	grew := v.Breaches[0].Grew
	if len(grew) != 1 || grew[0].Function != "banyan/codec.slowly" || grew[0].Was != 0 || grew[0].Share < 0.08 ||
		grew[0].Share > 0.09 {
		t.Errorf("grew: %+v; want banyan/codec.slowly, from nothing to 8 %%", grew)
	}
	if s := v.Breaches[0].String(); !strings.Contains(s, "grew: banyan/codec.slowly, 0.00 % → 8.26 %") {
		t.Errorf("unexpected text:\n%s", s)
	}
}

func TestCheckAbsent(t *testing.T) {
	for _, c := range []struct {
		stack string
		want  string // the breach, "" for none
	}{
		{"strconv.AppendInt fmt.Sprintf banyan/realm.(*session).receivePublish" + receive, "fmt."},
		{"reflect.Value.Len banyan/codec.encode" + receive, "reflect."},
		{"runtime.memmove runtime.growslice banyan/codec.AppendFrame" + receive, ""}, // 0.5 %: as much as that may be
		{"fmt.Sprintf banyan/realm.(*handler).join banyan/realm.(*handler).receiveOpen" + receive, ""},
		{"fmt.Fprintf banyan/engine.(*listener).accept banyan/engine.(*loop).onEvent", ""},
		{"fmt.Fprintf main.(*serveConfig).announce main.main", ""},
	} {
		times := calm()
		times[c.stack] = 50
		v, err := check(stacks(times), Fanout100, Baseline{})
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.want == "" && !v.OK():
			t.Errorf("%s: %v", c.stack, v.Breaches)
		case c.want != "" && (len(v.Breaches) != 1 || v.Breaches[0].What != c.want):
			t.Errorf("%s: breaches %v, want %s", c.stack, v.Breaches, c.want)
		case c.want != "" && !strings.HasPrefix(v.Breaches[0].Grew[0].Function, "banyan/"):
			t.Errorf("%s: the caller is %q, want the router's own", c.stack, v.Breaches[0].Grew[0].Function)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	var few *TooFewSamplesError
	if _, err := check(stacks(map[string]int64{syscall: SamplesMin - 1}), Fanout100, Baseline{}); !errors.As(err,
		&few) || few.Samples != SamplesMin-1 {
		t.Errorf("%d samples: %v, want a TooFewSamplesError", SamplesMin-1, err)
	}
	if _, err := check(stacks(calm()), "nonsense", Baseline{}); err == nil ||
		!strings.Contains(err.Error(), Fanout1000) {
		t.Errorf("an unknown scenario: %v, want an error that lists the known ones", err)
	}
}

// Every scenario has a budget, and every bound is one that a profile can break.
func TestBudgetsAreComplete(t *testing.T) {
	for _, name := range Scenarios {
		if len(Bounds(name)) < int(categories)-1 {
			t.Errorf("%s bounds %d of %d categories", name, len(Bounds(name)), categories)
		}
		for c, b := range Bounds(name) {
			if b <= 0 || b >= 0.9 {
				t.Errorf("%s: a bound of %v on %v says nothing", name, b, c)
			}
		}
	}
	if len(budgets) != len(Scenarios) {
		t.Errorf("%d budgets for %d scenarios", len(budgets), len(Scenarios))
	}
}
