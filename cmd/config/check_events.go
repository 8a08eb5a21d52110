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

// history checks what a realm, or template with a match, keeps the history of.
func (c *checker) history(path string, rm *Realm, match string) {
	seen := map[Topic]int{}
	for i, h := range rm.History {
		at := fmt.Sprintf("%s.%d", path, i)
		if j, ok := seen[Topic{h.URI, h.Match}]; ok {
			c.bad(at, fmt.Sprintf("history.%d is the same topic%s", j, c.line(fmt.Sprintf("%s.%d", path, j))),
				"remove one of them")
			continue
		}
		seen[Topic{h.URI, h.Match}] = i
		c.topic(at+".uri", rm, h.URI, h.Match)
		switch {
		case h.Store == "disk" && (match == "prefix" || match == "wildcard"):
			c.bad(at+".store", "realms of a template keep history in memory only: whoever joins would fill the disk",
				"write store: memory, or a realm of its own")
		case h.Store == "disk" && c.cfg.Process.DataDir == "":
			c.bad(at+".store", "there is no folder for it", "say one in process.data_dir")
		case h.Store == "memory" && h.Acknowledge == "stored":
			c.bad(at+".acknowledge", "nothing is stored, because store is memory", "write store: disk")
		}
	}
}

// topic refuses topics and patterns that no publication of the realm can have.
func (c *checker) topic(path string, rm *Realm, uri, match string) {
	m := Policies[match]
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
