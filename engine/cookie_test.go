//go:build linux

package engine

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"banyan/engine/port"
)

// AUTH: a browser without a good cookie gets one with its handshake, and brings it back; over TLS no other host can
// plant it.
func TestCookies(t *testing.T) {
	issued := 0
	rules := &CookieRules{
		Name: "who", MaxAge: time.Hour,
		Issue: func() string { issued++; return "good" + string(rune('0'+issued)) },
		Valid: func(value string) bool { return strings.HasPrefix(value, "good") },
		Bound: func(value string) bool { return value != "good0" },
	}
	seen := make(chan port.Peer, 1)
	e := start(t, Config{Live: Live{
		Cookie: rules, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	}}, func(x port.Executor, c port.Conn) port.Handler {
		seen <- *c.Peer()
		return echoes(x, c)
	})
	ask := func(headers string) *http.Cookie {
		t.Helper()
		p := dial(t, e)
		defer p.Close()
		p.send([]byte(strings.Replace(string(upgradeRequest("wamp.2.json")), "Host: localhost",
			"Host: localhost"+headers, 1)))
		status, head := p.readHead()
		if status != 101 {
			t.Fatalf("%q", head)
		}
		answer := http.Response{Header: http.Header{}}
		for line := range strings.SplitSeq(head, "\r\n") {
			if value, ok := strings.CutPrefix(line, "Set-Cookie: "); ok {
				answer.Header.Add("Set-Cookie", value)
			}
		}
		if all := answer.Cookies(); len(all) > 0 {
			return all[0]
		}
		return nil
	}
	const secure = "\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https"
	for _, c := range []struct {
		headers   string
		name, set string // of the cookie that comes with the answer
		is        string // what the session sees
	}{
		{"", "who", "good1", "good1"},
		{"\r\nCookie: who=good1", "", "", "good1"},
		{"\r\nCookie: a=b; who=bad; who=good7; c", "", "", "good7"},
		{"\r\nCookie: a=b\r\ncookie: who=good7", "", "", "good7"},
		{"\r\nCookie: who=bad", "who", "good2", "good2"},
		{"\r\nCookie: whoo=good1; =; ;;", "who", "good3", "good3"},
		{secure, "__Host-who", "good4", "good4"},
		{secure + "\r\nCookie: who=good1", "__Host-who", "good5", "good5"}, // perhaps planted
		{secure + "\r\nCookie: who=good1; __Host-who=good4", "", "", "good4"},
		// It stands for nobody: where anybody can plant a cookie it does not stay.
		{"\r\nCookie: who=good0", "who", "good6", "good6"},
		{"\r\nCookie: who=good0; who=good7", "", "", "good7"},
		{secure + "\r\nCookie: __Host-who=good0", "", "", "good0"},
	} {
		got := ask(c.headers)
		if p := <-seen; p.Cookie != c.is || p.CookieNew != (c.set != "") {
			t.Errorf("%q: the session has %q, new %v, want %q", c.headers, p.Cookie, p.CookieNew, c.is)
		}
		if (got != nil) != (c.set != "") {
			t.Errorf("%q: %v comes with the answer", c.headers, got)
		} else if got != nil && (got.Name != c.name || got.Value != c.set || got.Path != "/" || !got.HttpOnly ||
			got.SameSite != http.SameSiteStrictMode || got.MaxAge != 3600 || got.Domain != "" ||
			got.Secure != strings.HasPrefix(got.Name, "__Host-")) {
			t.Errorf("%q: %v", c.headers, got)
		}
	}
	if err := e.Apply(Live{}); err != nil {
		t.Fatal(err)
	}
	if got := ask("\r\nCookie: who=good1"); got != nil || (<-seen).Cookie != "" {
		t.Error("a cookie where there are none")
	}
	issue, valid, bound := rules.Issue, rules.Valid, rules.Bound
	for text, r := range map[string]CookieRules{
		"no name":      {Name: "a b", MaxAge: time.Hour, Issue: issue, Valid: valid, Bound: bound},
		"at least 1s":  {Name: "a", MaxAge: time.Second - 1, Issue: issue, Valid: valid, Bound: bound},
		"make and":     {Name: "a", MaxAge: time.Second, Valid: valid, Bound: bound},
		"judge":        {Name: "a", MaxAge: time.Second, Issue: issue, Bound: bound},
		"their values": {Name: "a", MaxAge: time.Second, Issue: issue, Valid: valid},
		"is no name o": {MaxAge: time.Second, Issue: issue, Valid: valid, Bound: bound},
	} {
		if err := e.Apply(Live{Cookie: &r}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
