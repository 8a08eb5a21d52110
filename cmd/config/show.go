//go:build linux

package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// hidden stands for a secret.
const hidden = "***"

// A Value is one effective value. Path and Text are what --set takes, except for secrets.
type Value struct {
	Path   string `json:"path"`
	Text   string `json:"value"`
	Secret bool   `json:"secret,omitempty"`
	Origin Origin `json:"-"`
	From   string `json:"origin"`
	raw    string // with the secret
}

// Given reports whether somebody has said what the value at a path is: it is no default and not built in.
func (f *File) Given(path string) bool { return f.origins[path] != Origin{} }

// Values are all effective values at section and below it, in the order of the documentation. An empty section is
// everything. Sections that are off are left out.
func (f *File) Values(section string) []Value {
	var all []Value
	f.collect(root(), reflect.ValueOf(f.Config).Elem(), "", Origin{}, func(v Value) {
		if section == "" || v.Path == section || strings.HasPrefix(v.Path, section+".") {
			v.From = v.Origin.String()
			all = append(all, v)
		}
	})
	return all
}

// Show is Values as a table: path, value and origin.
func (f *File) Show(section string) string {
	values := f.Values(section)
	var paths, texts int
	for _, v := range values {
		paths, texts = max(paths, min(len(v.Path), 60)), max(texts, min(len(v.Text), 40))
	}
	var b strings.Builder
	for _, v := range values {
		t := v.Text
		if t == "" {
			t = `""`
		}
		fmt.Fprintf(&b, "%-*s  %-*s  %s\n", paths, v.Path, texts, t, v.From)
	}
	return b.String()
}

// collect calls add for every value in v. of is where a user's values are from.
func (f *File) collect(o *option, v reflect.Value, path string, of Origin, add func(Value)) {
	for _, c := range o.fields {
		at := strings.TrimPrefix(path+"."+c.key, ".")
		f.collectOne(c, v.FieldByIndex(c.index), at, of, add)
	}
}

func (f *File) collectOne(c *option, v reflect.Value, at string, of Origin, add func(Value)) {
	if c.ptr {
		if v.IsNil() {
			return
		}
		if v = v.Elem(); len(c.fields) == 0 {
			add(Value{Path: at, Text: "{}", raw: "{}", Origin: f.from(at, of, true)})
		}
	}
	switch c.kind {
	case section:
		f.collect(c, v, at, of, add)
	case list:
		for i := range v.Len() {
			f.collect(c.item, v.Index(i), at+"."+strconv.Itoa(i), of, add)
		}
	case dict:
		for _, k := range sortedKeys(v) {
			f.collect(c.item, v.MapIndex(reflect.ValueOf(k)), at+"."+quoteStep(k), f.origins[at+"."+k], add)
		}
	case free:
		if v.Len() > 0 {
			t := showFree(v)
			add(Value{Path: at, Text: t, Origin: f.from(at, of, true), raw: t})
		}
	default:
		if of != (Origin{}) && v.IsZero() {
			return // of a user only what is there
		}
		raw := c.show(v)
		t, differs := c.public(raw), !c.isSet || raw != c.text
		add(Value{
			Path: at, Text: t, Secret: c.secret != "" || t != raw, Origin: f.from(at, of, differs), raw: raw,
		})
	}
}

// from is where the value at a path is from. of a user one place is known, for all that is no default.
func (f *File) from(at string, of Origin, differs bool) Origin {
	if of != (Origin{}) {
		if differs {
			return of
		}
		return Origin{}
	}
	return f.origins[at]
}

func showFree(v reflect.Value) string {
	text, err := json.Marshal(v.Interface())
	if err != nil { // it was read from YAML
		return "?"
	}
	return string(text)
}

func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for _, k := range v.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

// lookUp finds a value by its path, with its option. The path is right: it is one of ours.
func lookUp(cfg *Config, path string) (reflect.Value, *option) {
	o, v := root(), reflect.ValueOf(cfg).Elem()
	for step := range strings.SplitSeq(path, ".") {
		if o.kind == list {
			i, err := strconv.Atoi(step)
			if err != nil {
				panic(path)
			}
			o, v = o.item, v.Index(i)
			continue
		}
		o = o.byKey[step]
		if v = v.FieldByIndex(o.index); o.ptr {
			v = v.Elem()
		}
	}
	return v, o
}
