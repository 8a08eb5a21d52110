package cli

import (
	"os"
	"strings"
	"testing"

	"banyan/cmd/config"
)

// TestReadmeConfigures: the configurations that README.md shows have no error, also for engine and realms.
func TestReadmeConfigures(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range strings.Split(string(text), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if strings.Contains(block, "acme:") && !hasACME {
			continue
		}
		found++
		f, r := (&config.Loader{}).Parse("README.md", t.TempDir(), []byte(block))
		if f == nil || len(r.Problems) > 0 {
			t.Errorf("%v", r)
			continue
		}
		if err := checkInside(f); err != nil {
			t.Error(err)
		}
	}
	if found == 0 {
		t.Error("no configuration is shown")
	}
}
