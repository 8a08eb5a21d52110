//go:build linux

package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A decoder fills a Config from a tree of YAML nodes and reports all that is wrong on the way.
type decoder struct {
	r      *Report
	doc    *document
	lookup func(string) (string, bool) // the environment
	given  map[*yaml.Node]string       // where nodes that are from no file come from
	path   []string                    // of what is being read
	parts  int                         // values read so far, those behind aliases each time
	// origins are where values come from, by path; of users only one each.
	origins map[string]Origin
	hidden  bool              // what is being read now is a user's: its places are not kept
	lean    bool              // the places of users themselves are not kept either
	roles   map[string]string // those of users, each once: many users share them

	nameSecret func(path string) // is told of every file with a secret
}

// An Origin tells where a value is from. The zero value is the default.
type Origin struct {
	Source string // "env NAME", "--set path", … ; empty for a file
	File   string
	Line   int
}

// String is how config show writes it.
func (o Origin) String() string {
	switch {
	case o.Source != "":
		return o.Source
	case o.File != "":
		return o.File + ":" + strconv.Itoa(o.Line)
	}
	return "default"
}

// origin is where a node is from.
func (d *decoder) origin(n *yaml.Node) Origin {
	if s, ok := d.given[n]; ok {
		if s == builtIn {
			return Origin{}
		}
		return Origin{Source: s}
	}
	return Origin{File: d.doc.name, Line: n.Line}
}

// bad reports a problem of n.
func (d *decoder) bad(s Severity, n *yaml.Node, message, hint string) {
	d.r.add(problemAt(s, d.doc, d.given, n, strings.Join(d.path, "."), message, hint))
}

// problemAt is a problem of a node, which may be from no file.
func problemAt(
	s Severity, doc *document, given map[*yaml.Node]string, n *yaml.Node, path, message, hint string,
) Problem {
	if n != nil {
		if source, ok := given[n]; ok {
			if source == builtIn {
				source = ""
			}
			return Problem{Severity: s, Source: source, Path: path, Message: message, Hint: hint}
		}
		return doc.problem(s, n.Line, n.Column, path, message, hint)
	}
	return doc.problem(s, 0, 0, path, message, hint)
}

// follow resolves an alias, and counts.
func (d *decoder) follow(n *yaml.Node) *yaml.Node {
	d.parts++
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < mergeDepthMax; i++ {
		n = n.Alias
	}
	return n
}

// spent reports whether the file is larger than it may be, once its aliases are followed.
func (d *decoder) spent(n *yaml.Node) bool {
	if d.parts == partsMax+1 {
		d.parts++
		d.bad(Error, n, fmt.Sprintf("with all aliases the file has more than %d values", partsMax),
			"write less by alias")
	}
	return d.parts > partsMax
}

// in reads with one more step of the path.
func (d *decoder) in(step string, f func()) {
	d.path = append(d.path, step)
	f()
	d.path = d.path[:len(d.path)-1]
}

// A pair is a key and its value.
type pair struct{ key, value *yaml.Node }

// pairs are the keys of a mapping with their values, those of << behind its own.
func (d *decoder) pairs(o *option, n *yaml.Node, depth int) []pair {
	all := make([]pair, 0, len(n.Content)/2)
	var merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || k.Value != "<<" || k.Style != 0 {
			all = append(all, pair{k, v})
			continue
		}
		if depth >= mergeDepthMax {
			d.bad(Error, k, fmt.Sprintf("more than %d << lead from one to the next", mergeDepthMax), "")
			continue
		}
		from := []*yaml.Node{d.follow(v)}
		if from[0].Kind == yaml.SequenceNode {
			from = from[0].Content
		}
		for _, m := range from {
			if m = d.follow(m); m.Kind != yaml.MappingNode {
				d.hide(o, v) // perhaps a secret that lost its key
				d.bad(Error, v, "<< takes an alias of a section", "")
				break
			}
			if d.spent(k) {
				break
			}
			merged = append(merged, d.pairs(o, m, depth+1)...)
		}
	}
	if len(merged) == 0 {
		return all
	}
	own := make(map[string]bool, len(all))
	for _, p := range all {
		own[p.key.Value] = true
	}
	for _, p := range merged {
		if !own[p.key.Value] {
			own[p.key.Value] = true
			all = append(all, p)
		}
	}
	return all
}

// mapping returns the pairs of n, which must be a section. Keys are texts, and each is there once.
func (d *decoder) mapping(o *option, n *yaml.Node) (all []pair, ok bool) {
	if n.Kind != yaml.MappingNode {
		d.hide(o, n)
		d.bad(Error, n, "expected "+o.what()+", got "+nodeKind(n), "")
		return nil, false
	}
	all = d.pairs(o, n, 0)
	seen := make(map[string]*yaml.Node, len(all))
	kept := all[:0]
	for _, p := range all {
		if p.key.Kind != yaml.ScalarNode {
			d.hide(o, p.key)
			d.hide(o, p.value)
			d.bad(Error, p.key, "a key has to be a text", "")
			continue
		}
		if first := seen[p.key.Value]; first != nil {
			d.hide(o, p.value)
			name := d.nameOf(o, p.key)
			d.in(name, func() {
				d.bad(Error, p.key, fmt.Sprintf("the key %s is there twice; first on line %d", quote(name),
					first.Line), "remove one of them")
			})
			continue
		}
		seen[p.key.Value] = p.key
		kept = append(kept, p)
	}
	return kept, true
}

// section fills v, a struct that has its defaults, from n.
func (d *decoder) section(o *option, n *yaml.Node, v reflect.Value) {
	all, ok := d.mapping(o, n)
	if !ok {
		return
	}
	found := make(map[string]bool, len(all))
	for _, p := range all {
		if d.spent(p.key) {
			return
		}
		c := o.byKey[p.key.Value]
		if c == nil {
			d.unknown(o, p)
			continue
		}
		found[c.key] = true
		d.in(c.key, func() { d.value(c, p.key, p.value, v.FieldByIndex(c.index)) })
	}
	for _, c := range o.fields {
		if c.required && !found[c.key] {
			d.in(c.key, func() { d.bad(Error, n, "this key is missing", "add it: "+firstSentence(c.doc)) })
		}
	}
}

// unknown reports a key that no option has. Its value may be a secret with a mistyped key.
func (d *decoder) unknown(o *option, p pair) {
	if p.value.Kind != yaml.ScalarNode || secretName.MatchString(p.key.Value) || holdsSecret(p.value.Value) ||
		slices.ContainsFunc(o.fields, func(c *option) bool { return c.secret != "" }) {
		d.hide(o, p.value)
	}
	keys := make([]string, len(o.fields))
	for i, c := range o.fields {
		keys[i] = c.key
	}
	hint := ""
	name := d.nameOf(o, p.key)
	if name != p.key.Value {
		hint = "put a text with a comma into quotes; possible are " + strings.Join(keys, ", ")
	} else if w := closest(p.key.Value, keys); w != "" {
		hint = fmt.Sprintf("did you mean %q?", w)
	} else if len(keys) == 0 {
		hint = "this section has no keys: write {}"
	} else {
		hint = "possible are " + strings.Join(keys, ", ")
	}
	d.in(shorten(name), func() { d.bad(Error, p.key, "unknown key", hint) })
}

// nameOf is how a report calls a key of a section: *** if it is no option's and may be a part of a secret, as that of
// a hash with commas that nobody has put into quotes.
func (d *decoder) nameOf(o *option, key *yaml.Node) string {
	if o.byKey[key.Value] != nil || o.kind != section || !o.holdsSecrets() ||
		!holdsSecret(key.Value) {
		return key.Value
	}
	if _, ok := d.given[key]; !ok {
		d.doc.mask(key)
	}
	return "***"
}

// hide keeps what is in n out of excerpts, if there may be secrets in o: n is not read, or is one.
func (d *decoder) hide(o *option, n *yaml.Node) {
	if _, ok := d.given[n]; !ok && o.holdsSecrets() {
		d.doc.mask(n)
	}
}

// hideRest keeps everything out of excerpts if not all was read.
func (d *decoder) hideRest() {
	if d.parts > partsMax {
		d.doc.mask(d.doc.root)
	}
}

// shorten keeps the path of a wrong key readable.
func shorten(t string) string {
	if r := []rune(t); len(r) > wordBytesMax {
		return string(r[:wordBytesMax]) + "…"
	}
	return t
}

// value fills v, which has its default, from n.
func (d *decoder) value(o *option, key, n *yaml.Node, v reflect.Value) {
	n = d.follow(n)
	null := n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Style == 0
	if !d.hidden {
		d.origins[strings.Join(d.path, ".")] = d.origin(n)
	}
	if o.secret != "" {
		d.hide(o, n)
	}
	switch {
	case null && o.kind == section && o.ptr: // "wampcra:" is the section with its defaults
		n = &yaml.Node{Kind: yaml.MappingNode, Line: key.Line, Column: key.Column}
		if s, ok := d.given[key]; ok {
			d.given[n] = s
		}
	case null && n.Value == "":
		d.bad(Error, key, "there is no value; expected "+o.what(), "write one, or remove the key")
		return
	}
	switch o.kind {
	case section:
		if o.ptr {
			v.Set(reflect.New(o.typ))
			v = v.Elem()
			o.setDefaults(v)
		}
		d.section(o, n, v)
	case list:
		d.list(o, n, v)
	case dict:
		d.dict(o, n, v)
	case words:
		d.words(o, n, v)
	case free:
		if m, ok := d.free(n, 0).(map[string]any); ok {
			v.Set(reflect.ValueOf(m))
		} else {
			d.bad(Error, n, "expected "+o.what()+", got "+nodeKind(n), "")
		}
	default:
		d.scalar(o, n, v)
	}
}

// text is the text of a scalar with its variables replaced.
func (d *decoder) text(o *option, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.bad(Error, n, "expected "+o.what()+", got "+nodeKind(n), "")
		return "", false
	}
	if _, ok := d.given[n]; ok {
		return n.Value, true
	}
	t, err := expand(n.Value, d.lookup)
	if err != nil {
		d.bad(Error, n, err.Error(), "")
		return "", false
	}
	return t, true
}

func (d *decoder) scalar(o *option, n *yaml.Node, v reflect.Value) {
	t, ok := d.text(o, n)
	if !ok {
		return
	}
	if _, ok := d.given[n]; !ok && o.form == "url" && PublicURL(t) != t {
		d.doc.mask(n)
	}
	if err := o.set(v, t); err != nil {
		d.bad(Error, n, err.Error(), "")
		return
	}
	if o.name == "User.Role" {
		v.SetString(d.role(v.String()))
	}
	if o.kind == text && isPath(o.form) {
		v.SetString(d.place(n, v.String()))
	}
	if o.form == "secretfile" {
		d.nameSecret(v.String())
	}
}

// role is the text of a role, of which there is one for all users.
func (d *decoder) role(name string) string {
	if shared, ok := d.roles[name]; ok {
		return shared
	}
	if d.roles == nil {
		d.roles = map[string]string{}
	}
	d.roles[name] = name
	return name
}

// place makes a path in a file relative to the folder of that file. Other paths are relative to the folder in which
// the program runs.
func (d *decoder) place(n *yaml.Node, path string) string {
	if _, ok := d.given[n]; ok || path == "" || filepath.IsAbs(path) || strings.HasPrefix(path, "@") {
		return path
	}
	return filepath.Join(d.doc.dir, path)
}

// words fills a list of texts. A single text is a list of one.
func (d *decoder) words(o *option, n *yaml.Node, v reflect.Value) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if !d.entries(o, n, len(items)) {
		return
	}
	var all []string
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		d.in(strconv.Itoa(i), func() {
			item = d.follow(item)
			t, ok := d.text(o, item)
			if !ok {
				return
			}
			if err := o.checkText(t); err != nil {
				d.bad(Error, item, err.Error(), "")
				return
			}
			if seen[t] {
				d.bad(Error, item, quote(t)+" is there twice", "remove one of them")
			}
			seen[t] = true
			all = append(all, t)
		})
		if d.spent(n) {
			return
		}
	}
	v.Set(reflect.ValueOf(all))
}

// entries checks how many entries a list has.
func (d *decoder) entries(o *option, n *yaml.Node, count int) bool {
	switch {
	case int64(count) > o.max:
		d.bad(Error, n, fmt.Sprintf("there are %d entries; at most %d are possible", count, o.max), "")
		return false
	case count < o.least:
		d.bad(Error, n, "the list is empty", fmt.Sprintf("it needs at least %d", o.least))
		return false
	}
	return true
}

func (d *decoder) list(o *option, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.hide(o, n)
		d.bad(Error, n, "expected "+o.what()+", got "+nodeKind(n), "begin each entry with -")
		return
	}
	if !d.entries(o, n, len(n.Content)) {
		return
	}
	all := reflect.MakeSlice(o.typ, len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if d.spent(n) {
			return
		}
		d.in(strconv.Itoa(i), func() {
			e := all.Index(i)
			o.item.setDefaults(e)
			item = d.follow(item)
			if !d.hidden {
				d.origins[strings.Join(d.path, ".")] = d.origin(item)
			}
			d.section(o.item, item, e)
		})
	}
	v.Set(all)
}

// dict fills a map of sections. The one dict that there is holds users, of which there may be many.
func (d *decoder) dict(o *option, n *yaml.Node, v reflect.Value) {
	all, ok := d.mapping(o, n)
	if !ok || !d.entries(o, n, len(all)) {
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMapWithSize(o.typ, len(all)))
	}
	e := reflect.New(o.item.typ).Elem()
	for _, p := range all {
		if d.spent(n) {
			return
		}
		d.in(p.key.Value, func() {
			e.SetZero()
			o.item.setDefaults(e)
			item := d.follow(p.value)
			if !d.hidden {
				if !d.lean {
					d.origins[strings.Join(d.path, ".")] = d.origin(p.key)
				}
				d.hidden = true
				defer func() { d.hidden = false }()
			}
			if p.key.Value == "" {
				d.bad(Error, p.key, "the name is empty", "")
			}
			d.section(o.item, item, e)
			v.SetMapIndex(reflect.ValueOf(p.key.Value), e)
		})
	}
}

// free reads what JSON can say.
func (d *decoder) free(n *yaml.Node, depth int) any {
	n = d.follow(n)
	if d.spent(n) {
		return nil
	}
	if depth > freeDepthMax {
		d.bad(Error, n, fmt.Sprintf("it nests deeper than %d", freeDepthMax), "")
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for _, p := range d.pairs(root(), n, 0) {
			m[p.key.Value] = d.free(p.value, depth+1)
		}
		return m
	case yaml.SequenceNode:
		all := make([]any, len(n.Content))
		for i, c := range n.Content {
			all[i] = d.free(c, depth+1)
		}
		return all
	}
	t, ok := d.text(&option{kind: free}, n)
	if !ok || n.Style != 0 {
		return t
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true"
	case "!!int":
		if i, err := strconv.ParseInt(t, 10, 64); err == nil {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(t, 64); err == nil && f == f && f-f == 0 {
			return f
		}
	}
	return t
}

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// firstSentence is what an option is for, in short.
func firstSentence(doc string) string {
	s, _, _ := strings.Cut(doc, ". ")
	if s = strings.TrimSuffix(s, "."); len(s) > 1 && s[1]|0x20 == s[1] { // no abbreviation
		s = strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
