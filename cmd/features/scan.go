package features

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Groups are the groups of ids, in the order of the checklist.
var Groups = []string{
	"SES", "MSG", "ID", "URI", "SUB", "PUB", "TST", "REG", "RPC", "META", "AUTH", "AUZ", "PPT", "ORD", "TRN", "SER",
	"R2R", "LIM",
}

var (
	groups = strings.Join(Groups, "|")
	// idForm is an id in a text: PUB-08.
	idForm = regexp.MustCompile(`\b(?:` + groups + `)-\d\d\b`)
	// nameForm is an id, or several of a group, in the name of a test: TestPUB08, TestAUTH38to40, TestAUTH15and16.
	nameForm = regexp.MustCompile(`(?i:(` + groups + `))(\d\d)((?:to\d\d|and\d\d)*)`)
	moreForm = regexp.MustCompile(`(to|and)(\d\d)`)
)

// Scan returns the ids that the tests below fsys carry, each with the files that have it, sorted. An id is carried by
//
//	the name of a transcript   a member of a txtar archive in a folder transcripts
//	the name of a Go test      TestPUB08, TestAUTH38to40, TestAUTH15and16
//	a text of a Go test        a subtest's name, an entry of a table, a message of a failure, t.Attr("checklist", …)
//
// An id in a comment is not carried, and neither is one outside test files.
func Scan(fsys fs.FS) (map[string][]string, error) {
	found := map[string][]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != "."):
			return fs.SkipDir
		case d.IsDir() || strings.HasPrefix(name, "cmd/features/"):
			return nil
		}
		ids, err := carried(fsys, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, id := range ids {
			if !slices.Contains(found[id], name) {
				found[id] = append(found[id], name)
			}
		}
		return nil
	})
	for _, files := range found {
		slices.Sort(files)
	}
	return found, err
}

// carried returns the ids that one file carries, perhaps more than once.
func carried(fsys fs.FS, name string) ([]string, error) {
	switch {
	case path.Ext(name) == ".txtar" && path.Base(path.Dir(name)) == "transcripts":
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		var ids []string
		for _, f := range txtar.Parse(b).Files {
			ids = append(ids, idForm.FindAllString(f.Name, -1)...)
		}
		return ids, nil
	case strings.HasSuffix(name, "_test.go"):
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, err
		}
		return ofGo(b)
	}
	return nil, nil
}

// ofGo returns the ids that a Go test file carries.
func ofGo(source []byte) (ids []string, err error) {
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
			for _, kind := range []string{"Test", "Fuzz"} {
				if rest, ok := strings.CutPrefix(f.Name.Name, kind); ok {
					ids = append(ids, ofName(rest)...)
				}
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				ids = append(ids, idForm.FindAllString(n.Value, -1)...)
			}
		}
		return true
	})
	return ids, nil
}

// ofName returns the ids in the name of a test.
func ofName(name string) (ids []string) {
	for _, m := range nameForm.FindAllStringSubmatch(name, -1) {
		group, last := strings.ToUpper(m[1]), number(m[2])
		ids = append(ids, id(group, last))
		for _, more := range moreForm.FindAllStringSubmatch(m[3], -1) {
			n := number(more[2])
			if more[1] == "and" {
				last = n - 1
			}
			for last < n {
				last++
				ids = append(ids, id(group, last))
			}
		}
	}
	return ids
}

func id(group string, n int) string { return fmt.Sprintf("%s-%02d", group, n) }

// number reads two digits.
func number(digits string) int { return int(digits[0]-'0')*10 + int(digits[1]-'0') }
