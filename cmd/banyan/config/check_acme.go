//go:build linux

package config

import (
	"fmt"
	"slices"
	"strings"
)

// acme checks a section acme, in a program that has it.
func (c *checker) acme(path string, a *ACME) {
	if c.cfg.Process.DataDir == "" {
		c.bad(path, "there is no folder to keep the certificates in", "say one in process.data_dir")
	}
	if !a.AgreeToTerms {
		at := path
		if c.has(path + ".agree_to_terms") {
			at += ".agree_to_terms"
		}
		c.bad(at, "an authority issues nothing to those who do not agree to its terms of service",
			"read them, and say agree_to_terms: true")
	}
	if !strings.HasPrefix(a.Directory, "https://") {
		c.bad(path+".directory", "a directory is only asked over https://", "")
	}
	seen := map[string]bool{}
	for i, d := range a.Domains {
		d = strings.ToLower(d)
		if seen[d] {
			c.bad(fmt.Sprintf("%s.domains.%d", path, i), quote(d)+" is there twice", "remove one of them")
		}
		seen[d] = true
	}
	if c.has(path+".port_http") && !slices.Contains(a.Challenges, "http-01") {
		c.idle(path+".port_http", "it has no effect without http-01 in challenges", "remove it, or add http-01")
	}
}
