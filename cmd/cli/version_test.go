package cli

import (
	"runtime/debug"
	"strings"
	"testing"
)

// TestListModules: what stands in for a module is named in its place. Test binaries know no modules of their own.
func TestListModules(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	instead := &debug.Module{Path: "example.org/new", Version: "v2.0.0"}
	listModules(&out, &debug.BuildInfo{Deps: []*debug.Module{
		{Path: "example.org/plain", Version: "v1.2.3"},
		{Path: "example.org/old", Version: "v1.0.0", Replace: instead},
	}})
	if want := "example.org/plain v1.2.3\nexample.org/new v2.0.0\n"; out.String() != want {
		t.Errorf("the list is\n%swant\n%s", out.String(), want)
	}
}
