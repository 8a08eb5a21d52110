package cli

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

// TestRedirects: neither keys nor answers about logins come from where a redirect leads, be it the same host, and the
// reason is told.
func TestRedirects(t *testing.T) {
	set, key := jwks(t, "one")
	var asked atomic.Int32
	real := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, set)
	})
	elsewhere := httptest.NewServer(real)
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.Handle("/keys", real)
	here := httptest.NewServer(mux)
	defer here.Close()
	for i, status := range []int{301, 302, 303, 307, 308} {
		for name, to := range map[string]string{"elsewhere": elsewhere.URL, "here": here.URL + "/keys"} {
			from := fmt.Sprintf("/%s%d", name, i)
			mux.Handle(from, http.RedirectHandler(to, status))
			var log lockedBuffer
			k := &keys{log: slog.New(slog.NewTextHandler(&log, nil)), sets: map[setName]*keySet{}}
			t.Cleanup(k.refuse)
			find, err := k.keySet(&config.JWT{KeysURL: here.URL + from, Refresh: time.Hour})
			if err != nil || verifies(t, find, "one", key) || !strings.Contains(log.String(), "with a redirect") {
				t.Errorf("%d, %s: %v, %s", status, name, err, log.String())
			}
			ask, err := newHook(&config.HTTPHook{URL: here.URL + from, FailuresMax: 10, Pause: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ask(t.Context(), &auth.Request{Realm: "a"}); err == nil ||
				!strings.Contains(err.Error(), "with a redirect") {
				t.Errorf("%d, %s: %v", status, name, err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}

// TestFileJWTPrefix: with authid_prefix a token stands for nobody whom the file may have.
func TestFileJWTPrefix(t *testing.T) {
	set, key := jwks(t, "one")
	s := startService(t, `
realms:
  - uri: a
    auth:
      ticket:
        jwt: { keys_file: keys.json, issuer: me, audience: you, role: r, algorithms: EdDSA, authid_prefix: "jwt:" }
    roles: [{ name: r }]
    users: { joe: { role: r, ticket: { file: secret } } }
`, "keys.json", set, "secret", "s")
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"sub": "joe", "iss": "me", "aud": "you", "exp": time.Now().Add(time.Hour).Unix(),
	})
	token.Header["kid"] = "one"
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ authid, ticket, want string }{
		{"joe", "s", `"authid":"joe"`},
		{"joe", text, "wamp.error.authentication_denied"},
		{"jwt:joe", text, `"authid":"jwt:joe"`},
		{"", text, `"authid":"jwt:joe"`},
	} {
		if answer := s.talk(t).logIn("a", "ticket", c.authid, "", says(c.ticket)); !strings.Contains(answer, c.want) {
			t.Errorf("%q: %s, want %s", c.authid, answer, c.want)
		}
	}
}

// TestBoundsPageFetched: BOUNDS.md says how much of the answers of web services is read.
func TestBoundsPageFetched(t *testing.T) {
	page, err := os.ReadFile("../BOUNDS.md")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("| %d KiB; %d MiB, %d s |", hookAnswerBytesMax>>10, keySetBytesMax>>20,
		keySetTimeout/time.Second)
	if !strings.Contains(string(page), want) {
		t.Errorf("there is no %s", want)
	}
}
