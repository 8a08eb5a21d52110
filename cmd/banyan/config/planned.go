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
	"listeners.*.protocols",
	"listeners.*.tls.acme",
	"limits.connections_per_address_max",
	"limits.connections_per_second_max",
	"limits.handshakes_max",
	"limits.retry_after",
	"limits.messages_per_second_max",
	"limits.bytes_per_second_max",
	"slow_consumers.backlog_events_max",
	"slow_consumers.backlog_age_max",
	"slow_consumers.slow_after",
	"realms.*.auth.cookie",
	"realms.*.roles.*.slow_consumers",
	"realms.*.slow_consumers",
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
	c.plannedValues()
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

// plannedValues refuses single values of options whose other values have an effect.
func (c *checker) plannedValues() {
	if p := c.cfg.SlowConsumers.Policy; p != "disconnect" && p != "drop_newest" {
		c.bad("slow_consumers.policy", notYet+": "+p, "use disconnect or drop_newest")
	}
	c.plannedProxies()
	for i := range c.cfg.Listeners {
		if !sameTexts(c.cfg.Listeners[0].Origins, c.cfg.Listeners[i].Origins) {
			c.bad(fmt.Sprintf("listeners.%d.origins", i),
				"listeners with different origins are not in this version yet", "give all listeners the same")
			break
		}
	}
}

// plannedProxies refuses trusted proxies for some listeners and others for others.
func (c *checker) plannedProxies() {
	var first []string
	for i := range c.cfg.Listeners {
		own := c.cfg.Listeners[i].TrustedProxies
		if len(first) > 0 && len(own) > 0 && !sameTexts(first, own) {
			c.bad(fmt.Sprintf("listeners.%d.trusted_proxies", i),
				"listeners with different proxies are not in this version yet", "give them the same")
			return
		}
		if len(own) > 0 {
			first = own
		}
	}
}

// sameTexts compares without regard to order.
func sameTexts(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
