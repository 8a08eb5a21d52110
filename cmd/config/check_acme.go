//go:build linux

package config

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// MACKey returns the key that is the content of HMACKeyFile, in base64url without padding.
func (*EAB) MACKey(text string) (string, error) {
	key := strings.TrimRight(strings.TrimSpace(text), "=")
	_, err := base64.RawURLEncoding.DecodeString(key)
	return key, err
}

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
	if a.EAB != nil && a.EAB.HMACKeyFile != "" {
		at := path + ".eab.hmac_key_file"
		text := c.text(at, a.EAB.HMACKeyFile, secretBytesMax, true)
		key, err := a.EAB.MACKey(string(text))
		if text != nil && (err != nil || key == "") {
			c.bad(at, "there is no key in base64url in "+a.EAB.HMACKeyFile, "put nothing else into it")
		}
	}
	if c.has(path+".port_http") && !slices.Contains(a.Challenges, "http-01") {
		c.idle(path+".port_http", "it has no effect without http-01 in challenges", "remove it, or add http-01")
	}
}
