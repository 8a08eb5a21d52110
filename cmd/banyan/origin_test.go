package main

import (
	"strings"
	"testing"
)

func TestCheckOrigin(t *testing.T) {
	const (
		noPort = "from 1 to 65535"
		noHost = "there is no host"
		noName = "no host name"
		four   = "four numbers"
	)
	for origin, want := range map[string]string{
		"*": "", "null": "", "app": "", "app:1": "", "app:65535": "", "a_b.example": "", "http://a.b:443": "",
		"app.example.org.": "", "xn--huser-gra.example": "", "https://app.example.org": "",
		"https://app.example.org:8443": "", "HTTPS://App.Example.Org": "", "127.0.0.1": "",
		"http://127.0.0.1:3000": "", "[::1]": "", "[::1]:1": "", "https://[fd00::2]": "",
		"[::ffff:7f00:1]:1": "", "chrome-extension://abc": "", "vscode-webview://1a2b-3c": "",
		"app://.": "", "App://.": "", "app://localhost": "",

		"host:0": noPort, "host:65536": noPort, "host:99999": noPort, "a.b:": noPort, "https://a.b:": noPort,
		"a:-1": noPort, "a:+1": noPort, "a:080": noPort, "a:1e3": noPort, "a:http": noPort, "a: 1": noPort,
		"[::1]:": noPort, "[::1]:0": noPort, "https:app.example.org": noPort, "a:99999999999999999999": noPort,

		"": noHost, "https://": noHost, "://app": noHost, ":80": noHost, "https://:80": noHost,
		"a b": noName, "a..b": noName, ".example.org": noName, "a;b": noName, "a%41": noName, "a\tb": noName,
		".": noName, "http://.": noName, "HTTPS://.": noName, "app://..": noName, "app://.:1": noName,
		"<a>": noName, "300.1.1.1": four, "http://1.2.3": four, "127.1": four, "127.0.0.01": four,
		"2130706433": four, "a.0x7f": four, "127.0.0.1.": four,

		"::1": "in brackets", "fd00::2": "in brackets", "a:b:1": "in brackets",
		"[::1": "brackets", "[]": "no IPv6", "[127.0.0.1]": "no IPv6", "[fe80::1%eth0]": "no IPv6",
		"[::g]:1": "no IPv6", "[0:0:0:0:0:0:0:1]": "[::1]", "[::ffff:127.0.0.1]": "[::ffff:7f00:1]",

		"https://app.example.org/": "ends with the host", "user@app": "ends with the host",
		"a?":            "ends with the host",
		"*.example.org": "all origins or for nothing", "https://*": "all origins or for nothing",
		"https://app.example.org:443": "leave out port 443", "http://app:80": "leave out port 80",
		"HTTP://app:80": "leave out port 80",
		"ws://app":      "begins with http://", "wss://app": "begins with http://",
		"ht tp://a": "a scheme has", "http:://a": "a scheme has", "1http://a": "a scheme has",
		"häuser.example": "xn--", "a.example,b.example": "repeat --origin",
	} {
		err := checkOrigin(origin)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", origin, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", origin, err, want)
		}
		if err == nil || strings.Contains(want, "--origin") {
			continue
		}
		if !strings.Contains(err.Error(), "write a host name, HOST:PORT") {
			t.Errorf("%q: %v does not say what to write", origin, err)
		}
	}
}
