//go:build linux

package config

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// Severity tells how bad a problem is.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the configuration is not used
	Warning Severity = "warning" // it is used, but something is probably not as it was meant
)

// A Problem is one finding. The names of its JSON form do not change.
type Problem struct {
	Severity Severity `json:"severity"`
	File     string   `json:"file,omitempty"`   // as it was given; empty if the value is not from a file
	Line     int      `json:"line,omitempty"`   // from 1
	Column   int      `json:"column,omitempty"` // from 1, in characters
	Source   string   `json:"source,omitempty"` // "env NAME", "--set path" and so on, if it is not from a file
	Path     string   `json:"path,omitempty"`   // such as realms.0.roles.2.name; entries count from 0
	Message  string   `json:"message"`          // what is wrong
	Hint     string   `json:"hint,omitempty"`   // what to do about it
	Excerpt  string   `json:"excerpt,omitempty"`
	Caret    int      `json:"caret,omitempty"` // characters of Excerpt in front of the place
	doc      *document
}

// A Report holds everything that was found, errors and warnings, sorted by file and line.
type Report struct {
	Problems []Problem `json:"problems"`
	// Omitted is how many more problems there are, beyond the first 1000.
	Omitted  int `json:"omitted,omitempty"`
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`

	order map[string]int // files as they were read
	kept  int            // warnings among Problems
}

func (r *Report) add(p Problem) {
	if p.Severity == Error {
		r.Errors++
	} else {
		r.Warnings++
	}
	if len(r.Problems) < problemsMax {
		if p.Severity == Warning {
			r.kept++
		}
		r.Problems = append(r.Problems, p)
		return
	}
	r.Omitted++
	if p.Severity == Error && r.keeps(Error) { // an error is never left out for a warning
		r.Problems[slices.IndexFunc(r.Problems, func(q Problem) bool { return q.Severity == Warning })] = p
		r.kept--
	}
}

// keeps reports whether another problem would be kept, and not only counted.
func (r *Report) keeps(s Severity) bool {
	return len(r.Problems) < problemsMax || s == Error && r.kept > 0
}

// finish sorts the problems and adds the excerpts. Only now it is known what in the files is secret.
func (r *Report) finish() {
	for i := range r.Problems {
		p := &r.Problems[i]
		if d := p.doc; d != nil && p.Line > 0 && p.Line <= len(d.lines) {
			p.Excerpt, p.Caret = excerpt(d.line(p.Line), p.Column)
		}
		p.doc = nil
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(r.order[a.File], r.order[b.File]), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column))
	})
}

// Err is nil if there is no error, and else says how many there are.
func (r *Report) Err() error {
	if r.Errors == 0 {
		return nil
	}
	return fmt.Errorf("the configuration has %s", r.count())
}

func (r *Report) count() string {
	return fmt.Sprintf("%s, %s", number(r.Errors, "error"), number(r.Warnings, "warning"))
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// String is the report for people: at most 100 problems, errors before warnings if there are more, and the count.
func (r *Report) String() string {
	var b strings.Builder
	r.write(&b)
	return b.String()
}

// WriteTo writes what String returns.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.String())
	return int64(n), err
}

func (r *Report) write(b *strings.Builder) {
	shown := r.Problems
	if len(shown) > problemsShown {
		shown = nil
		for _, s := range []Severity{Error, Warning} {
			for _, p := range r.Problems {
				if p.Severity == s && len(shown) < problemsShown {
					shown = append(shown, p)
				}
			}
		}
	}
	for i := range shown {
		shown[i].write(b)
	}
	if more := r.Errors + r.Warnings - len(shown); more > 0 {
		fmt.Fprintf(b, "… and %s\n", number(more, "more problem"))
	}
	if r.Errors+r.Warnings > 0 {
		fmt.Fprintf(b, "%s\n", r.count())
	}
}

func (p *Problem) write(b *strings.Builder) {
	var h strings.Builder
	switch {
	case p.Line > 0:
		fmt.Fprintf(&h, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.Source != "":
		fmt.Fprintf(&h, "%s: ", p.Source)
	case p.File != "":
		fmt.Fprintf(&h, "%s: ", p.File)
	}
	fmt.Fprintf(&h, "%s: ", p.Severity)
	if p.Path != "" {
		fmt.Fprintf(&h, "%s: ", p.Path)
	}
	h.WriteString(p.Message)
	if p.Hint != "" {
		fmt.Fprintf(&h, "; %s", p.Hint)
	}
	b.WriteString(strings.Map(printable, h.String()))
	b.WriteByte('\n')
	if p.Excerpt != "" {
		fmt.Fprintf(b, "%6d | %s\n       | %s^\n", p.Line, p.Excerpt, strings.Repeat(" ", p.Caret))
	}
}

// printable replaces what a terminal might act on.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return '·'
	}
	return r
}

// excerpt cuts a line so that column, from 1, is in it.
func excerpt(line []rune, column int) (text string, caret int) {
	at := min(max(column-1, 0), len(line))
	from := 0
	if at >= excerptMax*3/4 {
		from = at - excerptMax/4
	}
	to := min(len(line), from+excerptMax)
	var b strings.Builder
	if from > 0 {
		b.WriteRune('…')
		caret++
	}
	for _, r := range line[from:to] {
		b.WriteRune(printable(r))
	}
	if to < len(line) {
		b.WriteRune('…')
	}
	return b.String(), caret + at - from
}
