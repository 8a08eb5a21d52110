package profiles

import (
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

func readRecorded(t *testing.T, file string) *profile.Profile {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("%v; banyan prof record writes it", err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The recorded profiles keep the budgets. After a change that breaks one this fails as soon as the profiles are
// recorded anew, and names the functions that grew.
func TestRecordedKeepBudgets(t *testing.T) {
	for _, name := range Scenarios {
		t.Run(name, func(t *testing.T) {
			p := readRecorded(t, name+".pb.gz")
			v, err := Check(p, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range v.Breaches {
				t.Errorf("budget broken: %s", b)
			}
			if f := Foreign(p); f != "" {
				t.Errorf("the profile names a path of some machine: %s", f)
			}
		})
	}
}

// Every scenario has a baseline, without which a broken budget could not say what grew.
func TestBaselines(t *testing.T) {
	all, err := ReadBaselines()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Scenarios {
		sum := 0.0
		for _, functions := range all[name].Functions {
			for _, share := range functions {
				sum += share
			}
		}
		if all[name].Samples < SamplesMin || sum < 0.7 || sum > 1.001 {
			t.Errorf("%s: %d samples, functions that add up to %.2f", name, all[name].Samples, sum)
		}
	}
}

// What the compiler reads names no path either, and has the first lines of functions, without which it finds nothing.
func TestCompilersInput(t *testing.T) {
	p := readRecorded(t, "../cmd/banyan/default.pgo")
	if f := Foreign(p); f != "" {
		t.Errorf("the profile names a path of some machine: %s", f)
	}
	ours := 0
	for _, f := range p.Function {
		if strings.HasPrefix(f.Name, "banyan/realm.") && f.StartLine > 0 {
			ours++
		}
	}
	if ours < 10 {
		t.Errorf("%d functions of the realm with a first line, want tens of them", ours)
	}
}
