//go:build linux

package config

import (
	"fmt"
	"strings"
)

// introduction stands above the options.
const introduction = `# Configuration

The file is YAML; JSON is accepted too. Times are 500ms, 10s, 2m or 1h, sizes 64KiB or 1MiB. Every text may use
${NAME}, ${NAME:-otherwise} or ${NAME:?message} for variables of the environment; $${ stands for ${. Relative paths
start from the folder of the file.

A value comes from the command line, else from a BANYAN_ variable, else from the file, else it is the default.
`

// Docs is the documentation of an option, or of a section with all that is in it, as Markdown that is fit to be
// read as it is. An empty path is everything. It is false if there is no such option. Numbers of entries may be
// left out or written as *: listeners.address, listeners.*.address and listeners.0.address are the same.
func Docs(path string) (text string, ok bool) {
	o := root()
	for step := range strings.SplitSeq(path, ".") {
		if path == "" {
			break
		}
		if o.item != nil {
			if step == "*" || o.kind == list && strings.Trim(step, "0123456789") == "" {
				o = o.item
				continue
			}
			o = o.item
		}
		if o = o.byKey[step]; o == nil {
			return "", false
		}
	}
	var b strings.Builder
	if path == "" {
		b.WriteString(introduction)
	}
	o.document(&b)
	return b.String(), true
}

func (o *option) document(b *strings.Builder) {
	if o.path != "" && o.key != "" {
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n%s\n", o.path, o.facts(), wrap(o.doc, 100))
	}
	of := o
	if o.item != nil {
		of = o.item
	}
	for _, c := range of.fields {
		c.document(b)
	}
}

// facts are kind, default, bounds and so on, in a line.
func (o *option) facts() string {
	f := []string{o.what()}
	switch {
	case o.required:
		f = append(f, "required")
	case o.kind == section && o.ptr:
		f = append(f, "off without the key")
	case o.isSet && o.text == "":
		f = append(f, "default empty")
	case o.isSet:
		f = append(f, "default "+o.text)
	}
	if o.enum != nil && o.kind == words {
		f[0] = "a list of " + strings.Join(o.enum, ", ")
	}
	if o.form != "" {
		f[0] = formOf(o.form).what
		if o.kind == words {
			f[0] = "a list; each is " + f[0]
		}
	}
	if o.auto != "" && o.kind == text {
		f[0] += ", or " + o.auto
	}
	if o.live {
		f = append(f, "live: a reload applies it")
	} else {
		f = append(f, "applied at the next start")
	}
	if o.secret != "" {
		f = append(f, "never shown")
	}
	return strings.Join(f, "; ")
}

// wrap breaks a text into lines of at most width characters, where a word allows it.
func wrap(t string, width int) string {
	var b strings.Builder
	n := 0
	for _, w := range strings.Fields(t) {
		switch {
		case n == 0:
		case n+1+len(w) > width:
			b.WriteByte('\n')
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(w)
		n += len(w)
	}
	return b.String()
}
