//go:build linux

package config

import (
	"crypto/sha256"
	"reflect"
	"slices"
	"strings"
)

// A Change is a difference between two configurations. Secrets are masked. Added and removed entries and sections
// have an empty Old or New.
type Change struct {
	Path string `json:"path"` // entries by name: realms[realm1].roles[service].permissions[prefix com.example.]
	Old  string `json:"old"`
	New  string `json:"new"`
	Live bool   `json:"live"` // takes effect by a reload; otherwise by the next start
}

// there is how a section or entry that was added or removed is written.
const there = "(there)"

// Diff lists what changes from old to new, in the order of the documentation. The order of entries means nothing,
// except that of certificates. Where the files say the same in another way, nothing changes.
func Diff(old, new *File) []Change {
	d := differ{was: old.contents, is: new.contents}
	d.diff(root(), reflect.ValueOf(old.Config).Elem(), reflect.ValueOf(new.Config).Elem(), "")
	return d.all
}

// A differ collects the changes between two configurations.
type differ struct {
	all     []Change
	was, is map[string][sha256.Size]byte // of files, by path
}

func (d *differ) add(c Change) { d.all = append(d.all, c) }

// otherContent reports whether a file says something else than before.
func (d *differ) otherContent(path string) bool {
	was, before := d.was[path]
	is, after := d.is[path]
	return before && after && was != is
}

func (d *differ) diff(o *option, a, b reflect.Value, path string) {
	for _, c := range o.fields {
		at := strings.TrimPrefix(path+"."+c.key, ".")
		d.diffOne(c, a.FieldByIndex(c.index), b.FieldByIndex(c.index), at)
	}
}

func (d *differ) diffOne(c *option, a, b reflect.Value, at string) {
	switch c.name {
	case "Permission.URI", "Permission.Match", "Topic.URI", "Topic.Match":
		return // they are what an entry is known by, however they are written
	}
	add := func(was, is string) { d.add(Change{Path: at, Old: was, New: is, Live: c.live}) }
	switch {
	case c.ptr && a.IsNil() && b.IsNil():
	case c.ptr && a.IsNil():
		add("", there)
		d.diff(c, c.defaults(), b.Elem(), at)
	case c.ptr && b.IsNil():
		add(there, "")
	case c.ptr:
		d.diff(c, a.Elem(), b.Elem(), at)
	case c.kind == section:
		d.diff(c, a, b, at)
	case c.kind == list:
		d.diffList(c, a, b, at)
	case c.kind == dict:
		was, is := map[string]reflect.Value{}, map[string]reflect.Value{}
		for _, k := range sortedKeys(a) {
			was[k] = a.MapIndex(reflect.ValueOf(k))
		}
		keys := sortedKeys(a)
		for _, k := range sortedKeys(b) {
			is[k] = b.MapIndex(reflect.ValueOf(k))
			if _, ok := was[k]; !ok {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		d.diffEntries(c, keys, was, is, at)
	case c.kind == free:
		if !reflect.DeepEqual(a.Interface(), b.Interface()) && a.Len()+b.Len() > 0 {
			add(showFree(a), showFree(b))
		}
	default:
		was, is := c.show(a), c.show(b)
		if was == is && isFile(c.form) && d.otherContent(was) {
			is += " with other content"
		}
		if was == is {
			return
		}
		add(c.public(was), c.public(is))
	}
}

// defaults is a struct with its defaults.
func (o *option) defaults() reflect.Value {
	v := reflect.New(o.typ).Elem()
	o.setDefaults(v)
	return v
}

func (d *differ) diffList(c *option, a, b reflect.Value, at string) {
	was, is := map[string]reflect.Value{}, map[string]reflect.Value{}
	var keys, order, reorder []string
	for i := range a.Len() {
		k := identity(a.Index(i).Interface())
		was[k] = a.Index(i)
		keys, order = append(keys, k), append(order, k)
	}
	for i := range b.Len() {
		k := identity(b.Index(i).Interface())
		is[k] = b.Index(i)
		reorder = append(reorder, k)
		if _, ok := was[k]; !ok {
			keys = append(keys, k)
		}
	}
	d.diffEntries(c, keys, was, is, at)
	if c.key == "certificates" && len(keys) == len(was) && len(was) == len(is) && !slices.Equal(order, reorder) {
		d.add(Change{
			Path: at, Old: strings.Join(order, ", "), New: strings.Join(reorder, ", "), Live: c.live,
		})
	}
}

// diffEntries compares entries that are known by their names.
func (d *differ) diffEntries(c *option, keys []string, was, is map[string]reflect.Value, at string) {
	for _, k := range keys {
		a, before := was[k]
		b, after := is[k]
		path := at + "[" + k + "]"
		switch {
		case !before:
			d.add(Change{Path: path, New: there, Live: c.live})
		case !after:
			d.add(Change{Path: path, Old: there, Live: c.live})
		default:
			d.diff(c.item, a, b, path)
		}
	}
}

// identity is what an entry of a list is known by. No two have the same, or the file would have been refused.
func identity(entry any) string {
	switch e := entry.(type) {
	case Listener:
		if e.Name != "" {
			return e.Name
		}
		return e.Address
	case Realm:
		return e.URI
	case Template:
		return e.Match + " " + e.URI
	case Role:
		return e.Name
	case Permission:
		uri, match := e.Meant()
		for name, m := range Policies {
			if m == match && name != "" {
				return name + " " + uri
			}
		}
	case Topic:
		return e.Match + " " + e.URI
	case History:
		return e.Match + " " + e.URI
	case Certificate:
		return e.Certificate
	}
	panic("an entry without a name")
}
