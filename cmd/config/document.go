//go:build linux

package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// A document is one file that was read, while it is being checked.
type document struct {
	name  string // as reports say it
	dir   string // what relative paths in it start from
	lines []string
	root  *yaml.Node // nil if there is nothing in it
	// masked are the values that no excerpt shows, by line.
	masked map[int][]span
	// The line that was used last, as characters, and the one that was shown last, without secrets. A file may be one
	// line with all users in it.
	used, shown         int
	usedLine, shownLine []rune
}

// A span is part of a line, in characters from 0. A length of 0 is the rest of the line.
type span struct{ from, length int }

// parse reads text as YAML, of which JSON is a part. A problem of the text's form ends it: the parser does not go on.
func parse(name, dir string, text []byte, r *Report) (*document, bool) {
	d := &document{name: name, dir: dir, masked: map[int][]span{}}
	fail := func(line, column int, message, hint string) (*document, bool) {
		r.add(d.problem(Error, line, column, "", message, hint))
		return d, false
	}
	switch {
	case len(text) > fileBytesMax:
		return fail(0, 0, fmt.Sprintf("the file has %d bytes; at most %s are read", len(text), Bytes(fileBytesMax)),
			"")
	case !utf8.Valid(text):
		d.lines = strings.Split(string(text), "\n")
		line, column := firstInvalid(text)
		return fail(line, column, "this is no text in UTF-8", "save the file in UTF-8")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	d.lines = strings.Split(string(text), "\n")
	parts := 0
	for _, c := range []string{",", "[", "{", ":", "- ", "? ", "-\n", "&"} {
		parts += bytes.Count(text, []byte(c))
	}
	if parts > partsMax {
		return fail(0, 0, fmt.Sprintf("the file has more than %d values", partsMax), "")
	}
	if i := bytes.IndexFunc(text, func(c rune) bool {
		return c < ' ' && c != '\t' && c != '\n' &&
			c != '\r'
	}); i >= 0 {
		line, column := position(text, i)
		hint := "remove it"
		if text[i] == 0 {
			hint = "remove it; if the file is in UTF-16, save it in UTF-8"
		}
		return fail(line, column, "there is a control character", hint)
	}
	var node yaml.Node
	err := yaml.Load(text, &node)
	if err == nil {
		if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
			d.root = node.Content[0]
		}
		return d, true
	}
	if empty(text) {
		return d, true
	}
	line, column, message := d.syntaxError(err)
	hint := ""
	switch {
	case strings.Contains(message, "expected single document"):
		line, column, message = d.secondDocument(), 1, "there is a second document"
		hint = "remove what follows ---"
	case line > 0 && line <= len(d.lines) && strings.HasPrefix(strings.TrimLeft(d.lines[line-1], " "), "\t"):
		message, hint = "a tab indents this line", "use spaces"
	case line > 0 && line <= len(d.lines) && strings.Contains(d.lines[line-1], "${"):
		hint = `put a text with ${ into quotes where { } or [ ] are around it`
	}
	return fail(line, column, message, hint)
}

// empty reports whether text has nothing but comments and the marks of documents.
func empty(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && string(line) != "---" && string(line) != "..." {
			return false
		}
	}
	return true
}

// syntaxError is what the parser says, without its own words for where it is.
func (d *document) syntaxError(err error) (line, column int, message string) {
	var one *yaml.LoadError
	if errors.As(err, &one) {
		line, column = one.Mark.Line, one.Mark.Column
		if line > len(d.lines) { // behind the last line
			line = len(d.lines)
			column = utf8.RuneCountInString(d.lines[line-1]) + 1
		}
		message = one.Message
		if one.ContextMsg != "" {
			message += " (" + one.ContextMsg
			if from := one.ContextMark.Line; from > 0 && from != line {
				message += fmt.Sprintf(" that begins on line %d", from)
			}
			message += ")"
		}
		return line, max(column, 1), hideSecrets(message)
	}
	return 0, 0, hideSecrets(err.Error())
}

// secondDocument is the line at which a second document begins, or 0.
func (d *document) secondDocument() int {
	some := false
	for i, l := range d.lines {
		if some && strings.HasPrefix(l, "---") {
			return i + 1
		}
		l = strings.TrimSpace(l)
		some = some || l != "" && l[0] != '#' && l != "---" && l[0] != '%'
	}
	return 0
}

func firstInvalid(text []byte) (line, column int) {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n <= 1 {
			return position(text, i)
		}
		i += n
	}
	return 0, 0
}

// position is the line and column of the byte at i.
func position(text []byte, i int) (line, column int) {
	line = 1 + bytes.Count(text[:i], []byte("\n"))
	return line, 1 + utf8.RuneCount(text[bytes.LastIndexByte(text[:i], '\n')+1:i])
}

// problem makes a problem at a place of this document, with the line if there is one.
func (d *document) problem(s Severity, line, column int, path, message, hint string) Problem {
	return Problem{
		Severity: s, File: d.name, Line: line, Column: column, Path: path, Message: message, Hint: hint, doc: d,
	}
}

// secretName finds in the names of keys what says that they hold a secret.
var secretName = regexp.MustCompile(`(?i:key|secret|sha256|argon2id|password|token|ticket)`)

// secretAfter finds the values of keys that hold secrets. It is for lines of files that could not be parsed; in
// others the secrets are known.
var secretAfter = regexp.MustCompile(
	secretName.String() + `["']?\s*:\s*` +
		`("[^"]*"?|'[^']*'?|\$[^\s}]*|[^\s{\[][^,}]*)`)

// secretWord finds what may be a key, a hash or a ticket: one stray character beside it is enough to part it from the
// name that it stands behind.
var secretWord = regexp.MustCompile(`[A-Za-z0-9+/=_$-]{16,}`)

// secretLong is how many characters make a word suspicious even if it has no digit.
const secretLong = 32

// secretLike reports whether a word may be a secret.
func secretLike(word string) bool {
	return len(word) >= secretLong || strings.ContainsAny(word, "0123456789") &&
		strings.ContainsFunc(word, unicode.IsLetter)
}

// holdsSecret reports whether a text may be a secret, or has one in it.
func holdsSecret(text string) bool {
	return slices.ContainsFunc(secretWord.FindAllString(text, -1), secretLike)
}

// hideSecrets puts stars in place of what may be a secret in a line that was not understood.
func hideSecrets(line string) string {
	stars := func(t string) string { return strings.Repeat("*", utf8.RuneCountInString(t)) }
	var b strings.Builder
	from := 0
	for _, m := range secretAfter.FindAllStringSubmatchIndex(line, -1) {
		b.WriteString(line[from:m[2]])
		b.WriteString(stars(line[m[2]:m[3]]))
		from = m[3]
	}
	b.WriteString(line[from:])
	return secretWord.ReplaceAllStringFunc(b.String(), func(word string) string {
		if secretLike(word) {
			return stars(word)
		}
		return word
	})
}

// runes are the characters of a line.
func (d *document) runes(n int) []rune {
	if d.used != n {
		d.used, d.usedLine = n, []rune(d.lines[n-1])
	}
	return d.usedLine
}

// line is a line without its secrets.
func (d *document) line(n int) []rune {
	if d.shown == n {
		return d.shownLine
	}
	text := strings.TrimSuffix(d.lines[n-1], "\r")
	if d.root == nil {
		text = hideSecrets(text)
	}
	line := []rune(text)
	for _, s := range d.masked[n] {
		to := len(line)
		if s.length > 0 {
			to = min(to, s.from+s.length)
		}
		for i := s.from; i < to; i++ {
			line[i] = '*'
		}
	}
	d.shown, d.shownLine = n, line
	return line
}

// mask hides the values in n and below it from excerpts.
func (d *document) mask(n *yaml.Node) {
	switch n.Kind {
	case yaml.ScalarNode:
		d.maskScalar(n)
	case yaml.MappingNode, yaml.SequenceNode:
		for i, c := range n.Content {
			if n.Kind == yaml.SequenceNode || i%2 == 1 {
				d.mask(c)
			}
		}
	}
}

// maskScalar hides one value. A value that does not stand on its line as it is, because it is escaped or goes on in
// the next lines, takes the rest of the line and of those with it.
func (d *document) maskScalar(n *yaml.Node) {
	if n.Line < 1 || n.Line > len(d.lines) || n.Value == "" {
		return
	}
	line, length := d.runes(n.Line), utf8.RuneCountInString(n.Value)
	from := min(max(n.Column-1, 0), len(line))
	around := string(line[from:min(len(line), from+length+1)]) // with a quote in front
	if i := strings.Index(around, n.Value); i >= 0 && i <= 1 {
		d.masked[n.Line] = append(d.masked[n.Line], span{from, i + length + i})
		return
	}
	d.masked[n.Line] = append(d.masked[n.Line], span{from, 0})
	left := len(n.Value)
	if n.Style&yaml.DoubleQuotedStyle != 0 {
		left *= 10 // the longest escape of one byte
	}
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		left -= len(line) - from
	}
	for l := n.Line + 1; left > 0 && l <= len(d.lines); l++ {
		d.masked[l] = append(d.masked[l], span{0, 0})
		left -= len(strings.TrimSpace(d.lines[l-1]))
	}
}
