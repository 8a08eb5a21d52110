//go:build linux

package config

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestForms tries each form with what it takes and what it refuses, lengths at n-1, n and n+1.
func TestForms(t *testing.T) {
	hex := func(n int) string { return strings.Repeat("aF", n) }
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	argon := "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0$" + strings.Repeat("a", 43)
	for _, c := range []struct {
		form string
		good []string
		bad  []string
	}{
		{"path", []string{"a", "/a/b", "../c"}, []string{"a\x00b"}},
		{"socket", []string{"/run/a.sock", "@a"}, []string{"/run/", "/" + strings.Repeat("x", 107), "@"}},
		{"socket", []string{"/" + strings.Repeat("x", 106)}, nil},
		{"address", []string{":1", "[::1]:0", "localhost:65535", "unix:/a"}, []string{
			"1", "a:65536", "unix:", "a:b",
		}},
		{"origin", []string{"*", "a.example.org", "https://a.example.org:8443"}, []string{"a,b", "https://a/"}},
		{"prefix", []string{"10.0.0.0/8", "10.0.0.1", "::1", "fe80::/10", "0.0.0.0/0"}, []string{
			"10.0.0.0/33", "a", "10.0.0", "fe80::1%eth0", "::/129", "",
		}},
		{"source", []string{"local", "anywhere", "10.0.0.0/8"}, []string{"none", "Local", ""}},
		{"mode", []string{"0660", "1", "777"}, []string{"0", "1000", "888", "rw"}},
		{"user", []string{"0", "root", "2147483647"}, []string{"no-such-user-here", "-1", "2147483648"}},
		{"group", []string{"0", "root"}, []string{"no-such-group-here", "-1"}},
		{"host", []string{"a", "a-b.example.org"}, []string{"a b", ".a", "a.", "https://a"}},
		{"token", []string{"banyan", "a-b_c.d"}, []string{"a b", "a=b", "a;b", ""}},
		{"url", []string{"https://a", "http://127.0.0.1:1/x?y"}, []string{
			"a", "ftp://a", "https://", "https://u@a", "https://u:p@a", "://", "https://a b",
		}},
		{"uri", []string{"com.a", "a"}, []string{"a..b", "a b", "a#", "", "a."}},
		{"hex32", []string{hex(32)}, []string{hex(31), hex(33), hex(31) + "a", hex(31) + "xx", ""}},
		{"fingerprint", []string{hex(32), strings.Repeat("ab:", 31) + "ab"}, []string{
			hex(31), hex(33), hex(31) + "xx",
		}},
		{"argon2id", []string{argon}, []string{
			argon + "!", argon[1:], strings.Replace(argon, "2id", "2i", 1), strings.Replace(argon, "19", "16", 1),
			strings.Replace(argon, "$c2FsdHNhbHRzYWx0", "", 1), strings.Replace(argon, "t=3,", "", 1), "x" + argon,
		}},
		{"base64", []string{b64(1), b64(33)}, []string{"a", "abc", "a-_=", ""}},
		{"key32", []string{b64(32)}, []string{b64(31), b64(33), hex(32), ""}},
	} {
		for _, text := range c.good {
			if err := formOf(c.form).check(text); err != nil {
				t.Errorf("%s: %q: %v", c.form, text, err)
			}
		}
		for _, text := range c.bad {
			if err := formOf(c.form).check(text); err == nil {
				t.Errorf("%s takes %q", c.form, text)
			}
		}
	}
}

// TestParsePrefix: an address is the prefix of itself, and bits behind a prefix do not count.
func TestParsePrefix(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3/32", "10.1.2.3/8": "10.0.0.0/8", "::1": "::1/128", "::ffff:10.0.0.1": "10.0.0.1/32",
		"2001:db8::1/32": "2001:db8::/32", "::ffff:10.9.0.0/104": "10.0.0.0/8", "::ffff:1.2.3.4/96": "0.0.0.0/0",
	} {
		if p, err := ParsePrefix(text); err != nil || p.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, p, err, want)
		}
	}
	if p, err := ParsePrefix("::ffff:0:0/95"); err == nil {
		t.Errorf("a prefix of IPv4 and others: %v", p)
	}
}

// TestCheckOrigin: what no browser sends is refused.
func TestCheckOrigin(t *testing.T) {
	for _, o := range []string{
		"null", "a", "a:1", "http://a", "https://[::1]:8443", "[::1]", "app://x",
		"127.0.0.1", "http://[::ffff:7f00:1]",
	} {
		if err := CheckOrigin(o); err != nil {
			t.Errorf("%s: %v", o, err)
		}
	}
	for o, why := range map[string]string{
		"": "no host", "*.a": "all origins or for nothing", "http://a/": "host and the port", "://a": "no host",
		"h_p://a": "scheme", "wss://a": "http:// or https://", "http://a:80": "port 80", "https://a:443": "port 443",
		"a:0": "a port is", "a:65536": "a port is",
		"[::1": "brackets", "::1": "brackets", "1.2.3": "four numbers",
		"ä.example": "xn--", "http://[0:0::1]": "[::1]", "[::ffff:127.0.0.1]": "[::ffff:7f00:1]",
		"a b": "no host name",
	} {
		if err := CheckOrigin(o); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %s", o, err, why)
		}
	}
}
