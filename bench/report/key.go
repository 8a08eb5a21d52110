package report

import (
	"fmt"
	"strings"
	"unicode"

	"banyan/bench/load"
)

// Key names a load by scenario, sizes, serializer and transport: runs with the same key may be compared.
func Key(r *load.Report) string {
	p := &r.Plan
	var b strings.Builder
	name := []rune(word(r.Scenario))
	if len(name) > 0 {
		name[0] = unicode.ToUpper(name[0])
	}
	b.WriteString(string(name))
	number := func(key string, n int) {
		if n > 0 {
			fmt.Fprintf(&b, "/%s=%d", key, n)
		}
	}
	number("pubs", p.Publishers)
	number("subs", p.Subscribers)
	number("callers", p.Callers)
	number("callees", p.Callees)
	number("sessions", p.Sessions)
	number("topics", p.Topics)
	number("pertopic", p.PerTopic)
	number("patterns", p.Patterns)
	number("matching", p.Matching)
	number("progress", p.Progress)
	number("stopped", p.Stopped)
	number("workers", p.Workers)
	flag := func(key string, set bool) {
		if set {
			fmt.Fprintf(&b, "/%s=true", key)
		}
	}
	flag("retained", p.Retained)
	flag("listener", p.Listener)
	fmt.Fprintf(&b, "/ser=%s", word(p.Serializer))
	if t := transport(p.URL); t != "" {
		fmt.Fprintf(&b, "/transport=%s", strings.ToLower(t))
	}
	flag("deflate", p.Deflate)
	number("bytes", p.PayloadBytes)
	flag("records", p.Records)
	if p.Loop == "open" {
		fmt.Fprintf(&b, "/rate=%g", p.Rate)
	} else {
		number("inflight", p.InFlight)
	}
	return b.String()
}

// word makes s fit into a key.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._-/", r) {
			return r
		}
		return '-'
	}, s)
}
