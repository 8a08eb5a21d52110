//go:build linux

package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestBoundsPage: the last section of BOUNDS.md has every limit of bounds.go, with its value, and nothing else.
func TestBoundsPage(t *testing.T) {
	n := func(n int) string { // 1 000 000
		s := strconv.Itoa(n)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + " " + s[i:]
		}
		return s
	}
	size := func(b Bytes) string {
		s := b.String()
		return strings.TrimSuffix(s[:len(s)-3]+" "+s[len(s)-3:], " ")
	}
	rows := []struct{ names, bound string }{
		{"fileBytesMax usersFilesMax", size(fileBytesMax) + "; " + n(usersFilesMax)},
		{"partsMax", n(partsMax)},
		{
			"textBytesMax freeDepthMax mergeDepthMax",
			fmt.Sprintf("%s; %d deep; %d", size(textBytesMax), freeDepthMax, mergeDepthMax),
		},
		{"secretBytesMax certBytesMax", size(secretBytesMax) + "; " + size(certBytesMax)},
		{"secretsWatched", n(secretsWatched)},
		{"problemsMax problemsShown", n(problemsMax) + "; " + n(problemsShown)},
		{"quotedMax excerptMax", fmt.Sprintf("%d octets; %d characters", quotedMax, excerptMax)},
		{"wordBytesMax wordsMax", fmt.Sprintf("%d octets; %s", wordBytesMax, n(wordsMax))},
		{"overlapsMax", n(overlapsMax)},
	}
	named := map[string]bool{"beginningMin": true, "expirySoon": true} // nothing grows up to these
	for _, r := range rows {
		for _, name := range strings.Fields(r.names) {
			named[name] = true
		}
	}
	f, err := parser.ParseFile(token.NewFileSet(), "bounds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(node ast.Node) bool {
		if v, ok := node.(*ast.ValueSpec); ok {
			for _, name := range v.Names {
				if !named[name.Name] {
					t.Errorf("%s is not on the page", name.Name)
				}
			}
		}
		return true
	})
	page, err := os.ReadFile("../BOUNDS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Reading a configuration\n")
	_, table, _ := strings.Cut(section, "| --- | --- | --- |\n")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if !found || len(lines) != len(rows) {
		t.Fatalf("%d rows on the page, want %d", len(lines), len(rows))
	}
	for i, r := range rows {
		cells := strings.Split(lines[i], "|")
		if len(cells) != 5 || strings.TrimSpace(cells[2]) != r.bound || strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s\nwant the bound %q", lines[i], r.bound)
		}
	}
}
