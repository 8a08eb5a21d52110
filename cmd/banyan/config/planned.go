//go:build linux

package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// planned are options that are read and checked, and that nothing in this version acts on. Whoever sets one to other
// than its default is told so by an error: no option does nothing silently. Those of templates are those of realms. A
// section stands for all that is in it. When an option gets its target in wired_test.go, it leaves this list.
var planned = []string{
	"listeners.*.tls.acme",
}

// refusePlanned is true in the router. Tests of the other rules turn it off.
var refusePlanned = true

const notYet = "this is not in this version yet"

// plannedOnly refuses options that would have no effect.
func (c *checker) plannedOnly() {
	if !refusePlanned {
		return
	}
	c.plannedIn(root(), reflect.ValueOf(c.cfg).Elem(), "")
}

// plannedIn looks at v, the values of o's struct.
func (c *checker) plannedIn(o *option, v reflect.Value, path string) {
	for _, f := range o.fields {
		at, value := strings.TrimPrefix(path+"."+f.key, "."), v.FieldByIndex(f.index)
		pattern := f.path
		if rest, ok := strings.CutPrefix(pattern, "templates.*."); ok {
			pattern = "realms.*." + rest
		}
		if slices.Contains(planned, pattern) {
			if f.differs(value) {
				c.bad(at, notYet, "remove it")
			}
			continue
		}
		if f.ptr {
			if value.IsNil() {
				continue
			}
			value = value.Elem()
		}
		switch f.kind {
		case section:
			c.plannedIn(f, value, at)
		case list:
			for i := range value.Len() {
				c.plannedIn(f.item, value.Index(i), fmt.Sprintf("%s.%d", at, i))
			}
		}
	}
}

// differs reports whether a value is another than the default.
func (o *option) differs(v reflect.Value) bool {
	switch {
	case o.ptr:
		return !v.IsNil()
	case o.kind == list, o.kind == dict:
		return v.Len() > 0
	}
	return o.show(v) != o.text
}
