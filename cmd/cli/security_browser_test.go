package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"banyan/bench/client"
	"banyan/codec"
)

// attackBrowser comes as a page of a stranger in the browser of somebody who may do more: by a name that points here
// (DNS rebinding), and with the cookie of somebody who has logged in (cross-site WebSocket hijacking).
func attackBrowser(t *testing.T, s *secured) {
	own := s.at["plain"]
	_, port, _ := strings.Cut(own, ":")
	evil := "evil.example:" + port
	for name, c := range map[string]struct {
		host, status string
		origins      []string
	}{
		"no page":              {own, "101", nil},
		"the router's own":     {own, "101", []string{"http://" + own}},
		"a page that may":      {own, "101", []string{"https://app.example"}},
		"in capitals":          {own, "101", []string{"HTTPS://APP.EXAMPLE"}},
		"rebinding":            {evil, "403", []string{"http://" + evil}},
		"rebinding, no port":   {"evil.example", "403", []string{"http://evil.example"}},
		"rebinding, a dot":     {"127.0.0.1.evil.example", "403", []string{"http://127.0.0.1.evil.example"}},
		"rebinding, localhost": {"localhost.evil.example", "403", []string{"http://localhost.evil.example"}},
		"another site":         {own, "403", []string{"https://evil.example"}},
		"null":                 {own, "403", []string{"null"}},
		"empty":                {own, "403", []string{""}},
		"a star":               {own, "403", []string{"*"}},
		"a prefix":             {own, "403", []string{"https://app.example.evil.example"}},
		"a suffix":             {own, "403", []string{"https://evilapp.example"}},
		"a user":               {own, "403", []string{"https://app.example@evil.example"}},
		"a path":               {own, "403", []string{"https://evil.example/app.example"}},
		"a query":              {own, "403", []string{"https://evil.example?https://app.example"}},
		"two":                  {own, "403", []string{"https://app.example", "https://evil.example"}},
		"two, the other way":   {own, "403", []string{"https://evil.example", "https://app.example"}},
		"a list":               {own, "403", []string{"https://app.example, https://evil.example"}},
		"a space":              {own, "403", []string{"https://app.example https://evil.example"}},
		"a file":               {own, "403", []string{"file://"}},
		"an extension":         {own, "403", []string{"chrome-extension://aaaaaaaaaaaaaaaa"}},
	} {
		var lines []string
		for _, o := range c.origins {
			lines = append(lines, "Origin: "+o)
		}
		status, head, _ := answers(t, s.dial(t, "plain", nil), upgradeHead(c.host, lines...))
		if status != c.status {
			t.Errorf("%s: %s, want %s: %.100q", name, status, c.status, head)
		}
	}

	// The victim logs in by a page that may, and stays known by its cookie.
	cookie := newCookie(t, own)
	if cookie == nil || !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || len(cookie.Value) < 22 {
		t.Fatalf("%v", cookie)
	}
	given := "" // the cookie that came with the last visit
	visit := func(cookie, origin, method, ticket string) (answer string, err error) {
		header := map[string]string{"Cookie": cookie}
		given = ""
		if origin != "" {
			header["Origin"] = origin
		}
		c, err := client.Connect(t.Context(), "ws://"+own+"/ws", client.Options{
			Serializer: codec.JSON, Header: header, OnHeader: func(name, value string) {
				if name == "Set-Cookie" {
					given, _, _ = strings.Cut(value, ";")
				}
			},
		})
		if err != nil {
			return "", err
		}
		defer c.Abandon()
		return (&talk{c, t}).logIn("bank", method, "alice", "", says(ticket)), nil
	}
	known := cookie.Name + "=" + cookie.Value
	answer, err := visit(known, "https://app.example", "ticket", s.alice.ticket)
	if !strings.HasPrefix(answer, "[2,") {
		t.Fatalf("%s, %v", answer, err)
	}
	// A cookie that an attacker got and planted in the victim's browser does not become the victim's.
	if answer, err = visit(known, "", "cookie", ""); !strings.HasPrefix(answer, "[3,") {
		t.Errorf("by a planted cookie: %s, %v", answer, err)
	}
	if _, err = visit(known, "https://app.example", "ticket", s.alice.ticket); err != nil || given == "" {
		t.Fatalf("no cookie of one's own: %v", err)
	}
	known = given
	cookie.Value = strings.TrimPrefix(known, cookie.Name+"=")
	answer, err = visit(known, "https://app.example", "cookie", "")
	if !strings.Contains(answer, `"authrole":"teller"`) {
		t.Fatalf("the victim by cookie: %s, %v", answer, err)
	}
	for _, origin := range []string{
		"https://evil.example", "null", "http://" + evil, "https://app.example.evil.example",
		"http://127.0.0.1.evil.example",
	} {
		if answer, err := visit(known, origin, "cookie", ""); err == nil {
			t.Errorf("a page of %s comes with the victim's cookie: %s", origin, answer)
		}
	}
	// Without the whole of the cookie nobody is anybody.
	other := newCookie(t, own)
	for name, text := range map[string]string{
		"nothing": "", "empty": cookie.Name + "=", "another one": other.Name + "=" + other.Value,
		"shorter": known[:len(known)-1], "longer": known + "a",
		"in capitals":  cookie.Name + "=" + strings.ToUpper(cookie.Value),
		"another name": "x" + known, "another name's end": "x; y" + known, "of TLS": "__Host-" + known,
		"the first of two": cookie.Name + "=a; x" + known,
	} {
		answer, err := visit(text, "", "cookie", "")
		if err != nil || !strings.HasPrefix(answer, "[3,") {
			t.Errorf("a cookie that is %s: %s, %v", name, answer, err)
		}
	}
	// A cookie of one realm is none in another, and is forgotten at a logout.
	with := client.Options{Header: map[string]string{"Cookie": known}}
	k := s.talk(t, "plain", with)
	for _, realm := range []string{"bound", "other", "inside"} {
		answer := s.talk(t, "plain", with).logIn(realm, "cookie", "alice", "", says(""))
		if !strings.HasPrefix(answer, "[3,") {
			t.Errorf("the cookie of bank in %s: %s", realm, answer)
		}
	}
	k.says(fmt.Sprintf(`[1,"bank",{%s,"authmethods":["cookie"]}]`, allRoles), "[2,")
	k.says(`[6,{},"wamp.close.logout"]`, "[6,")
	if answer, _ := visit(known, "", "cookie", ""); !strings.HasPrefix(answer, "[3,") {
		t.Errorf("after a logout: %s", answer)
	}
}
