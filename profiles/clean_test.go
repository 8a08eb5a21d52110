package profiles

import (
	"bytes"
	"testing"

	"github.com/google/pprof/profile"
)

func TestClean(t *testing.T) {
	p := stacks(calm())
	p.Comments = []string{"on my machine"}
	p.TimeNanos = 1
	// A second address of the same line, as a loop's body has many.
	twin := *p.Sample[0].Location[0]
	twin.ID, twin.Address = uint64(len(p.Location)+1), twin.Address+0x1000
	p.Location = append(p.Location, &twin)
	p.Sample = append(p.Sample, &profile.Sample{
		Location: append([]*profile.Location{&twin}, p.Sample[0].Location[1:]...), Value: []int64{500, 500_000_000},
	})
	before, err := Sum(p)
	if err != nil {
		t.Fatal(err)
	}
	if f := Foreign(p); f != "/home/somebody/banyan" {
		t.Errorf("Foreign = %q, want the path of the binary", f)
	}
	samples := len(p.Sample)
	if err := Clean(p); err != nil {
		t.Fatal(err)
	}
	after, err := Sum(p)
	if err != nil {
		t.Fatal(err)
	}
	if after.ByKind != before.ByKind || after.Samples != before.Samples {
		t.Errorf("shares changed: %v, were %v", after.ByKind, before.ByKind)
	}
	if len(p.Sample) != samples-1 {
		t.Errorf("%d stacks, want %d: the twin is the same line", len(p.Sample), samples-1)
	}
	if f := Foreign(p); f != "" {
		t.Errorf("Foreign = %q after cleaning", f)
	}
	if len(p.Mapping) != 1 || p.Mapping[0].BuildID != "" || p.Mapping[0].Start != 0 || p.Comments != nil ||
		p.TimeNanos != 0 {
		t.Errorf("left behind: mapping %+v, comments %v, time %d", p.Mapping[0], p.Comments, p.TimeNanos)
	}
	var file bytes.Buffer
	if err := p.Write(&file); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file.Bytes(), []byte("somebody")) {
		t.Error("the path is in the file")
	}
}

func TestForeignFiles(t *testing.T) {
	for _, name := range []string{"/usr/lib/go/src/runtime/proc.go", `C:\go\src\runtime\proc.go`, "../main.go"} {
		p := stacks(calm())
		p.Mapping[0].File = "banyan"
		p.Function[0].Filename = name
		if got := Foreign(p); got != name {
			t.Errorf("Foreign = %q, want %q", got, name)
		}
	}
}
