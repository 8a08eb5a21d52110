//go:build linux

package config

import (
	"fmt"
	"strings"

	"banyan/codec"
)

// retention checks what a realm retains.
func (c *checker) retention(path string, rm *Realm) {
	r := &rm.Retention
	if !r.Enabled && len(r.Topics) > 0 {
		c.warn(path+".topics", "has no effect, because enabled is false", "remove one of them")
	}
	seen := map[Topic]int{}
	for i, t := range r.Topics {
		at := fmt.Sprintf("%s.topics.%d", path, i)
		if j, ok := seen[t]; ok {
			c.bad(at, fmt.Sprintf("topics.%d is the same%s", j, c.line(fmt.Sprintf("%s.topics.%d", path, j))),
				"remove one of them")
			continue
		}
		seen[t] = i
		c.topic(at+".uri", rm, t.URI, t.Match)
	}
}

// topic refuses topics and patterns that no publication of the realm can have.
func (c *checker) topic(path string, rm *Realm, uri, match string) {
	m := policies[match]
	switch {
	case !codec.ValidURI([]byte(uri), m, false):
		hint := ""
		if uri == "" {
			hint = "write match: prefix for everything"
		} else if m == codec.Exact && strings.HasSuffix(uri, ".") {
			hint = "write match: prefix for all topics that begin with it"
		}
		c.bad(path, fmt.Sprintf("%s is no topic for match %s: a URI is %s", quote(uri), match, uriRule), hint)
	case rm.StrictURIs && !codec.ValidURI([]byte(uri), m, true):
		c.bad(path, fmt.Sprintf("%s cannot occur in this realm, whose strict_uris is true", quote(uri)), "")
	case codec.ReservedURI([]byte(uri)):
		c.bad(path, "topics that begin with wamp. are the protocol's own, and clients cannot publish to them", "")
	case len(uri) > c.cfg.Limits.URIBytesMax:
		c.bad(path, fmt.Sprintf("it is longer than limits.uri_bytes_max, which is %d", c.cfg.Limits.URIBytesMax), "")
	}
}
