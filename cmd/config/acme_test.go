//go:build linux

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACMERules: what is refused and warned of in a section acme, in a program that has it and in one that has not.
func TestACMERules(t *testing.T) {
	was := hasACME
	defer func() { hasACME = was }()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"none.pem": "none, as everybody sees",
		"key":      "a2V5\n", "padded": "a2V5a2U=\n", "blank": "\n", "open": "a2V5",
	} {
		mode := os.FileMode(0o600)
		if name == "open" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	domains := make([]string, 101)
	for i := range domains {
		domains[i] = fmt.Sprintf("d%d.example.org", i)
	}
	listed := func(all []string) string {
		return "domains: [" + strings.Join(all, ", ") + "], agree_to_terms: true"
	}
	const agreed, data = "domains: [a.example.org], agree_to_terms: true", "process: { data_dir: data }\n"
	for _, c := range []struct {
		has                bool
		data, acme         string
		path, message, try string // of the only problem; no path: none
	}{
		{true, data, agreed, "", "", ""},
		{false, data, agreed, "", "built without ACME", "go build -tags acme ./cmd/banyan"},
		{true, "", agreed, "", "no folder", "process.data_dir"},
		{true, data, "domains: [a.example.org]", "", "terms of service", "agree_to_terms: true"},
		{true, data, "domains: [a.example.org], agree_to_terms: false", ".agree_to_terms", "terms of service", ""},
		{true, data, "domains: [a.b, A.b], agree_to_terms: true", ".domains.1", "there twice", "remove"},
		{true, data, "domains: ['*.b'], agree_to_terms: true", ".domains.0", "a host name", ""},
		{true, data, listed(domains), ".domains", "at most 100", ""},
		{true, data, listed(domains[1:]), "", "", ""},
		{true, data, agreed + ", directory: http://127.0.0.1:1/dir", ".directory", "over https://", ""},
		{true, data, agreed + ", directory_ca: none.pem", ".directory_ca", "no certificate in", ""},
		{true, data, agreed + ", directory_ca: missing.pem", ".directory_ca", "no such file", ""},
		{true, data, agreed + ", email: ops", ".email", "an e-mail address", ""},
		{true, data, agreed + ", email: ops@example.org", "", "", ""},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: key }", "", "", ""},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: padded }", "", "", ""},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: blank }", ".eab.hmac_key_file", "no key in", ""},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: none.pem }", ".eab.hmac_key_file", "no key in", ""},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: open }", ".eab.hmac_key_file", "everybody", "600"},
		{true, data, agreed + ", eab: { key_id: k, hmac_key_file: no }", ".eab.hmac_key_file", "no such file", ""},
		{true, data, agreed + ", eab: { hmac_key_file: key }", ".eab.key_id", "", ""},
		{true, data, agreed + ", eab: { key_id: k }", ".eab.hmac_key_file", "", ""},
		{true, data, agreed + ", challenges: []", ".challenges", "the list is empty", ""},
		{true, data, agreed + ", challenges: [dns-01]", ".challenges.0", "", ""},
		{true, data, agreed + ", challenges: [tls-alpn-01], port_http: 81", ".port_http", "no effect", "http-01"},
		{true, data, agreed + ", challenges: [http-01], port_http: 81", "", "", ""},
		{true, data, agreed + ", renew_interval: 999ms", ".renew_interval", "", ""},
		{true, data, agreed + ", renew_interval: 1s", "", "", ""},
		{true, data, agreed + ", renew_interval: 25h", ".renew_interval", "", ""},
	} {
		hasACME = c.has
		text := c.data + "listeners: [{ address: 127.0.0.1:0, tls: { acme: { " + c.acme + " } } }]\n"
		_, r := (&Loader{Now: today}).Parse("f", dir, []byte(text))
		switch {
		case c.message == "" && c.path == "":
			if len(r.Problems) > 0 {
				t.Errorf("%s: %v", c.acme, r)
			}
		case len(r.Problems) != 1 || r.Problems[0].Path != "listeners.0.tls.acme"+c.path,
			!strings.Contains(r.Problems[0].Message, c.message) || !strings.Contains(r.Problems[0].Hint, c.try):
			t.Errorf("%v %.80s: %v", c.has, c.acme, r)
		}
	}
}
