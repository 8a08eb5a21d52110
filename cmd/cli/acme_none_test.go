//go:build !acme

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hasACME says for which of the two programs the tests are.
const hasACME = false

// TestACMEIsNotBuilt: without the tag check and serve refuse the section, and say how to build it in.
func TestACMEIsNotBuilt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "banyan.yaml")
	text := "process: { data_dir: data }\nlisteners: [{ address: 127.0.0.1:0, tls: { acme: { " +
		"domains: [a.example.org], agree_to_terms: true } } }]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", file}, {"serve", "--config", file}} {
		var out bytes.Buffer
		if code := Run(args, nil, &out, &out); code != exitUsage ||
			!strings.Contains(out.String(), "go build -tags acme ./cmd/banyan") {
			t.Errorf("%s: %d, %s", args, code, &out)
		}
	}
}
