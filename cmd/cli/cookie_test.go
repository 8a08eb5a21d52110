package cli

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/cmd/config"
	"banyan/codec"
	"banyan/realm/auth"
)

// TestFileCookies: a browser that has logged in comes back by its cookie, until the file takes the method or the user
// away; names and ages are those of the file (PROTOCOL 10.7).
func TestFileCookies(t *testing.T) {
	text := func(methods, users string) string {
		return `
listeners: [{ address: '127.0.0.1:0' }]
cookies: { name: biscuit, max_age: 1h }
realms:
  - uri: a
    auth: { ticket: {}` + methods + ` }
    roles: [{ name: user }]
    users: { ann: { role: user, ticket: { file: secret } }` + users + ` }
`
	}
	joe := ", joe: { role: user, ticket: { file: secret } }"
	s := startService(t, text(", cookie: {}", joe), "secret", "t")
	given := "" // the cookie that came with the last visit
	visit := func(method, cookie string) (answer string) {
		t.Helper()
		o := client.Options{Serializer: codec.JSON}
		given = ""
		o.OnHeader = func(name, value string) {
			if name == "Set-Cookie" {
				given, _, _ = strings.Cut(value, ";")
			}
		}
		if cookie != "" {
			o.Header = map[string]string{"Cookie": cookie}
		}
		c, err := client.Connect(t.Context(), "ws://"+s.address()+"/ws", o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Abandon()
		c.SetReadDeadline(time.Now().Add(patience))
		return (&talk{c, t}).logIn("a", method, "joe", "", says("t"))
	}
	first := newCookie(t, s.address())
	if first == nil || first.Name != "biscuit" || first.MaxAge != 3600 {
		t.Fatalf("%v", first)
	}
	cookie := first.Name + "=" + first.Value
	if answer := visit("cookie", cookie); !strings.HasPrefix(answer, "[3,") {
		t.Errorf("before a login: %s", answer)
	}
	if answer := visit("ticket", cookie); !strings.HasPrefix(answer, "[2,") || given == "" || given == cookie {
		t.Fatalf("%s with the cookie %q", answer, given)
	}
	// Somebody else may have known the one that was brought: it stands for nobody, the new one does.
	if answer := visit("cookie", cookie); !strings.HasPrefix(answer, "[3,") {
		t.Errorf("by a cookie from before the login: %s", answer)
	}
	if visit("ticket", ""); given == "" {
		t.Fatal("no cookie")
	}
	cookie = given
	for range 2 {
		if answer := visit("cookie", cookie); !strings.Contains(answer, `"authid":"joe"`) {
			t.Errorf("after a login: %s", answer)
		}
		if given != "" {
			t.Errorf("a cookie that stands for somebody is replaced by %q", given)
		}
	}
	for _, c := range []struct{ methods, users, want string }{
		{", cookie: {}", "", "[3,"},
		{", cookie: {}", joe, "[2,"}, // the store outlives reloads
		{"", joe, "[3,"},
	} {
		s.write(text(c.methods, c.users))
		if r := s.reload("test"); !r.Applied || len(r.Restart) > 0 {
			t.Fatalf("%+v", r)
		}
		if answer := visit("cookie", cookie); !strings.HasPrefix(answer, c.want) {
			t.Errorf("with %q and %q: %s", c.methods, c.users, answer)
		}
	}
	if c := newCookie(t, s.address()); c != nil {
		t.Errorf("without the method there is a cookie: %v", c)
	}
	// Its name changes by a restart: until then browsers come back with the one that they have.
	s.write(strings.Replace(text(", cookie: {}", joe), "biscuit", "cracker", 1))
	if r := s.reload("test"); !r.Applied || len(r.Restart) != 1 || r.Restart[0].Path != "cookies.name" {
		t.Fatalf("%+v", r)
	}
	if c := newCookie(t, s.address()); c == nil || c.Name != "biscuit" {
		t.Errorf("after a reload: %v", c)
	}
	if answer := visit("cookie", cookie); !strings.HasPrefix(answer, "[2,") {
		t.Errorf("after a reload: %s", answer)
	}
}

// TestCookieRules: a realm or a template that offers the method is enough, and a cookie counts as long as it stands
// for somebody.
func TestCookieRules(t *testing.T) {
	store := auth.NewCookies(2, time.Hour)
	cookies := &config.Cookies{Name: "c", MaxAge: time.Hour}
	with := config.Auth{Cookie: &config.Cookie{}}
	for _, c := range []struct {
		realm, template config.Auth
		offered         bool
	}{
		{config.Auth{}, config.Auth{}, false}, {with, config.Auth{}, true}, {config.Auth{}, with, true},
	} {
		f := &config.File{Config: &config.Config{}}
		f.Realms, f.Templates = []config.Realm{{Auth: c.realm}}, make([]config.Template, 1)
		f.Templates[0].Auth = c.template
		if got := cookieRules(f, cookies, store); (got != nil) != c.offered {
			t.Errorf("%v: %v", c, got)
		}
	}
	f := &config.File{Config: &config.Config{}}
	f.Realms = []config.Realm{{Auth: with}}
	rules := cookieRules(f, cookies, store)
	for age, want := range map[time.Duration]bool{0: true, 2 * time.Hour: false} {
		id := rules.Issue()
		store.Bind(id, &auth.Principal{Realm: "a", AuthID: "joe"}, time.Now().Add(-age))
		if got := rules.Bound(id); got != want || !rules.Valid(id) {
			t.Errorf("a login %v ago: bound is %v", age, got)
		}
	}
}

// newCookie is the cookie that an upgrade gets, nil if there is none.
func newCookie(t *testing.T, address string) *http.Cookie {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(nc, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Protocol: wamp.2.json\r\n\r\n", address)
	var head []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(head), "\r\n\r\n"); head = append(head, one...) {
		if _, err := nc.Read(one); err != nil {
			t.Fatalf("%v after %q", err, head)
		}
	}
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if text, ok := strings.CutPrefix(line, "Set-Cookie: "); ok {
			c, err := http.ParseSetCookie(text)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
	}
	return nil
}
