package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/realm/auth"
)

// talk opens a connection over which a test writes JSON by hand.
func (s *testService) talk(t *testing.T) *talk {
	t.Helper()
	r := &testRouter{router: s.router, unix: s.unix}
	k := &talk{r.connect(t, wire{scheme: "ws+unix", options: client.Options{Serializer: codec.JSON}}), t}
	k.SetReadDeadline(time.Now().Add(patience))
	return k
}

const allRoles = `"roles":{"publisher":{},"subscriber":{},"caller":{},"callee":{}}`

// ask sends a message and returns the answer.
func (k *talk) ask(message string) string {
	k.t.Helper()
	k.Queue([]byte(message))
	answer, err := k.Receive()
	if err != nil {
		k.t.Fatalf("%s: %v", message, err)
	}
	return string(answer)
}

// logIn says HELLO and answers a challenge by sign, which gets its extra. It returns what the router says last.
func (k *talk) logIn(realm, method, authid, extra string, sign func(challenge map[string]any) string) string {
	k.t.Helper()
	if authid != "" {
		authid = fmt.Sprintf(`"authid":%q,`, authid)
	}
	answer := k.ask(fmt.Sprintf(`[1,%q,{%s,"authmethods":[%q],%s"authextra":{%s}}]`,
		realm, allRoles, method, authid, extra))
	if !strings.HasPrefix(answer, "[4,") {
		return answer
	}
	var challenge []any
	if err := json.Unmarshal([]byte(answer), &challenge); err != nil {
		k.t.Fatal(err)
	}
	return k.ask(fmt.Sprintf(`[5,%q,{}]`, sign(challenge[2].(map[string]any))))
}

// says is what a client answers that says a text whatever is asked.
func says(text string) func(map[string]any) string {
	return func(map[string]any) string { return text }
}

// TestFileLogins: users of a file log in with the methods that the file offers, and get their role (AUTH-01, AUZ-01).
func TestFileLogins(t *testing.T) {
	t.Attr("checklist", "AUTH-01 AUZ-01")
	ticket := auth.NewTicket()
	private, public := auth.NewKey()
	key, err := auth.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	s := startService(t, fmt.Sprintf(`
realms:
  - uri: a
    auth: { ticket: {}, wampcra: {}, cryptosign: {} }
    roles:
      - { name: reader, permissions: [{ uri: com., match: prefix, allow: [subscribe] }] }
      - { name: writer, permissions: [{ uri: com., match: prefix, allow: [publish] }] }
    users:
      alice: { role: reader, ticket: { sha256: %x }, extra: { floor: 3 } }
      bob: { role: writer, wampcra: { secret_file: secret } }
      robot: { role: writer, cryptosign: [%x] }
`, sha256.Sum256([]byte(ticket)), public), "secret", "s3cret\n")
	cra := func(secret string) func(map[string]any) string {
		return func(challenge map[string]any) string {
			m := hmac.New(sha256.New, []byte(secret))
			m.Write([]byte(challenge["challenge"].(string)))
			return base64.StdEncoding.EncodeToString(m.Sum(nil))
		}
	}
	signed := func(challenge map[string]any) string {
		bytes, err := hex.DecodeString(challenge["challenge"].(string))
		if err != nil {
			t.Error(err)
		}
		return hex.EncodeToString(ed25519.Sign(key, bytes)) + hex.EncodeToString(bytes)
	}
	pubkey := fmt.Sprintf(`"pubkey":"%x"`, public)
	const denied = "wamp.error.authentication_denied"
	for _, c := range []struct {
		method, authid, extra string
		sign                  func(map[string]any) string
		role                  string // "": refused
	}{
		{"ticket", "alice", "", says(ticket), "reader"},
		{"ticket", "alice", "", says("wrong"), ""},
		{"ticket", "nobody", "", says(ticket), ""},
		{"wampcra", "bob", "", cra("s3cret"), "writer"},
		{"wampcra", "bob", "", cra("secret"), ""},
		{"cryptosign", "robot", pubkey, signed, "writer"},
		{"cryptosign", "robot", pubkey, says(strings.Repeat("00", 96)), ""},
	} {
		k := s.talk(t)
		answer := k.logIn("a", c.method, c.authid, c.extra, c.sign)
		if c.role == "" {
			if !strings.Contains(answer, denied) {
				t.Errorf("%s by %s: %s", c.authid, c.method, answer)
			}
			continue
		}
		if !strings.HasPrefix(answer, "[2,") || !strings.Contains(answer, `"authrole":"`+c.role+`"`) ||
			!strings.Contains(answer, `"authid":"`+c.authid+`"`) ||
			strings.Contains(answer, `"floor":3`) != (c.authid == "alice") {
			t.Errorf("%s by %s: %s", c.authid, c.method, answer)
			continue
		}
		subscribe, publish := "[33,", "wamp.error.not_authorized"
		if c.role == "writer" {
			subscribe, publish = "wamp.error.not_authorized", "[17,"
		}
		k.says(`[32,1,{},"com.a"]`, subscribe)
		k.says(`[16,2,{"acknowledge":true},"com.a"]`, publish)
		k.says(`[32,3,{},"net.a"]`, "wamp.error.not_authorized")
	}
	if answer := s.talk(t).ask(`[1,"a",{` + allRoles + `}]`); !strings.HasPrefix(answer, "[3,") {
		t.Errorf("an anonymous client got %s", answer)
	}
}

// TestFileJWT: tokens of the key set in a file let their subject in, with the role of their claim.
func TestFileJWT(t *testing.T) {
	set, key := jwks(t, "one")
	s := startService(t, `
realms:
  - uri: a
    auth:
      ticket:
        jwt: { keys_file: keys.json, issuer: me, audience: you, role_claim: r, role: guest, algorithms: EdDSA }
    roles: [{ name: user }, { name: guest }]
`, "keys.json", set)
	token := func(issuer string, more jwt.MapClaims) string {
		claims := jwt.MapClaims{"sub": "joe", "iss": issuer, "aud": "you", "exp": time.Now().Add(time.Hour).Unix()}
		for k, v := range more {
			claims[k] = v
		}
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
		token.Header["kid"] = "one"
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for _, c := range []struct{ ticket, want string }{
		{token("me", jwt.MapClaims{"r": "user"}), `"authrole":"user"`},
		{token("me", nil), `"authrole":"guest"`},
		{token("other", nil), "wamp.error.authentication_denied"},
		{token("me", jwt.MapClaims{"r": "root"}), "wamp.error.no_such_role"},
		{token("me", jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), "wamp.error.authentication_denied"},
	} {
		if answer := s.talk(t).logIn("a", "ticket", "joe", "", says(c.ticket)); !strings.Contains(answer, c.want) {
			t.Errorf("%s, want %s", answer, c.want)
		}
	}
}

// TestFileHook: a web service decides about tickets.
func TestFileHook(t *testing.T) {
	w := newWebhook(t)
	s := startService(t, `
realms:
  - uri: a
    auth: { ticket: {}, http: { url: `+w.URL+`, timeout: 10s } }
    roles: [{ name: user }]
`)
	w.answers(http.StatusOK, `"user"`)
	answer := s.talk(t).logIn("a", "ticket", "joe", "", says("t"))
	if !strings.Contains(answer, `"authrole":"user"`) {
		t.Error(answer)
	}
	w.answers(http.StatusForbidden, ``)
	if answer := s.talk(t).logIn("a", "ticket", "joe", "", says("t")); !strings.HasPrefix(answer, "[3,") {
		t.Error(answer)
	}
}

// TestFileDynamic: procedures of another realm decide about logins, and of the same realm about requests (PROTOCOL
// 10.8, 11).
func TestFileDynamic(t *testing.T) {
	s := startService(t, `
realms:
  - uri: a
    auth: { ticket: {}, anonymous: { role: boss }, dynamic: { procedure: com.login, realm: b, timeout: 10s } }
    roles:
      - { name: user, authorizer: { procedure: com.may, timeout: 10s, cache: 0 } }
      - { name: boss, permissions: [{ uri: com., match: prefix, allow: [register] }] }
`+strings.TrimPrefix(openRealms("b"), "realms:\n"))
	decides := func(realm, procedure, answer string) {
		k := s.talk(t)
		k.says(`[1,"`+realm+`",{`+allRoles+`}]`, "[2,")
		k.says(`[64,1,{},"`+procedure+`"]`, "[65,")
		k.SetReadDeadline(time.Time{})
		go func() {
			for {
				message, err := k.Receive()
				if err != nil {
					return
				}
				var invocation []any
				if json.Unmarshal(message, &invocation) == nil && invocation[0] == 68.0 {
					k.Queue(fmt.Appendf(nil, `[70,%.0f,{},[%s]]`, invocation[1], answer))
				}
			}
		}()
	}
	decides("b", "com.login", `"user"`)
	decides("a", "com.may", `true`)
	k := s.talk(t)
	if answer := k.logIn("a", "ticket", "joe", "", says("t")); !strings.Contains(answer, `"authrole":"user"`) {
		t.Fatal(answer)
	}
	k.says(`[32,1,{},"net.a"]`, "[33,")
}

// TestFileQuotas: each quota of a realm, at the bound and one beyond (LIM).
func TestFileQuotas(t *testing.T) {
	const refused = "wamp.error.option_not_allowed"
	s := startService(t, strings.Replace(openRealms("a"), "    roles", "    quotas: { sessions_max: 2, "+
		"subscriptions_max: 1, registrations_max: 1, calls_max: 1 }\n    roles", 1))
	one, two := s.talk(t), s.talk(t)
	one.says(`[1,"a",{`+allRoles+`}]`, "[2,")
	two.says(`[1,"a",{`+allRoles+`}]`, "[2,")
	s.talk(t).says(`[1,"a",{`+allRoles+`}]`, refused)
	one.says(`[32,1,{},"com.a"]`, "[33,")
	two.says(`[32,1,{},"com.a"]`, refused)
	one.says(`[64,2,{},"com.a"]`, "[65,")
	two.says(`[64,2,{},"com.b"]`, refused)
	two.Queue([]byte(`[48,3,{},"com.a"]`))
	two.says(`[48,4,{},"com.a"]`, refused)
}

// TestFileAuthids: one authid joins as often as authid_uniqueness and the quota say.
func TestFileAuthids(t *testing.T) {
	users := `
realms:
  - uri: a
    auth: { ticket: {} }
    %s
    roles: [{ name: user }]
    users: { joe: { role: user, ticket: { file: secret } }, ann: { role: user, ticket: { file: secret } } }
`
	join := func(s *testService, authid string) (*talk, string) {
		k := s.talk(t)
		return k, k.logIn("a", "ticket", authid, "", says("t"))
	}
	for _, c := range []struct{ rule, second string }{
		{"authid_uniqueness: allow", "[2,"},
		{"authid_uniqueness: refuse", "[3,"},
		{"authid_uniqueness: replace", "[2,"},
		{"quotas: { sessions_per_authid_max: 1 }", "[3,"},
	} {
		s := startService(t, fmt.Sprintf(users, c.rule), "secret", "t")
		first, answer := join(s, "joe")
		if !strings.HasPrefix(answer, "[2,") {
			t.Fatal(answer)
		}
		if _, answer := join(s, "ann"); !strings.HasPrefix(answer, "[2,") {
			t.Errorf("%s: another got %s", c.rule, answer)
		}
		if _, answer := join(s, "joe"); !strings.HasPrefix(answer, c.second) {
			t.Errorf("%s: the second got %s", c.rule, answer)
		}
		if c.rule == "authid_uniqueness: replace" {
			if goodbye, err := first.Receive(); err != nil || !bytes.HasPrefix(goodbye, []byte("[6,")) {
				t.Errorf("the first got %s, %v", goodbye, err)
			}
		}
	}
}

// TestFileTemplates: a realm is made when somebody joins it first, if a template matches it, with the template's
// rules.
func TestFileTemplates(t *testing.T) {
	s := startService(t, openRealms("a")+`
templates:
  - uri: tenant.
    match: prefix
    strict_uris: true
    auth: { anonymous: {} }
    roles: [{ name: anonymous, permissions: [{ uri: com., match: prefix, allow: [subscribe] }] }]
  - { uri: x..z, match: wildcard, auth: { anonymous: {} }, roles: [{ name: anonymous }] }
`)
	k := s.talk(t)
	k.says(`[1,"tenant.one",{`+allRoles+`}]`, "[2,")
	k.says(`[32,1,{},"com.a"]`, "[33,")
	k.says(`[32,2,{},"com.A"]`, "wamp.error.invalid_uri")
	k.says(`[32,3,{},"net.a"]`, "wamp.error.not_authorized")
	s.talk(t).says(`[1,"x.y.z",{`+allRoles+`}]`, "[2,")
	s.talk(t).says(`[1,"x.y",{`+allRoles+`}]`, "wamp.error.no_such_realm")
}

// TestFileAuthLimits: a client that does not answer its challenge is told so in time; too many failures are refused
// without a look (AUTH-06).
func TestFileAuthLimits(t *testing.T) {
	t.Attr("checklist", "AUTH-06")
	s := startService(t, `
limits: { auth_timeout: 50ms, auth_failures_per_authid_max: 1 }
realms:
  - uri: a
    auth: { ticket: {} }
    roles: [{ name: user }]
    users: { joe: { role: user, ticket: { file: secret } } }
`, "secret", "t")
	k := s.talk(t)
	k.says(`[1,"a",{`+allRoles+`,"authmethods":["ticket"],"authid":"joe"}]`, "[4,")
	answer, err := k.Receive()
	if err != nil || !bytes.HasPrefix(answer, []byte("[3,")) {
		t.Errorf("%s, %v", answer, err)
	}
	limited := func(answer string) bool { return strings.Contains(answer, "too many") }
	for i := 0; ; i++ {
		answer := s.talk(t).logIn("a", "ticket", "ann", "", says("wrong"))
		if strings.HasPrefix(answer, "[2,") || i > 100 {
			t.Fatalf("after %d failures: %s", i, answer)
		}
		if limited(answer) {
			break
		}
	}
}

// TestReloadLogins: a session whose user is gone is told to leave, one whose role has lost a right loses the
// subscription, and others stay (issue 9, reload).
func TestReloadLogins(t *testing.T) {
	text := func(users, allow string) string {
		return `
realms:
  - uri: a
    auth: { ticket: {} }
    roles: [{ name: user, permissions: [{ uri: com., match: prefix, allow: [` + allow + `] }] }]
    users: { ` + users + ` }
`
	}
	joe, ann := "joe: { role: user, ticket: { file: secret } }", "ann: { role: user, ticket: { file: secret } }"
	s := startService(t, text(joe+", "+ann, "subscribe, publish"), "secret", "t")
	leaves, stays := s.talk(t), s.talk(t)
	for authid, k := range map[string]*talk{"joe": leaves, "ann": stays} {
		if answer := k.logIn("a", "ticket", authid, "", says("t")); !strings.HasPrefix(answer, "[2,") {
			t.Fatal(answer)
		}
		k.says(`[32,1,{},"com.a"]`, "[33,")
	}
	s.write(text(ann, "publish"))
	r := s.reload("test")
	if !r.Applied || r.Sessions.LoginLost != 1 || r.Sessions.Subscriptions != 1 || r.Sessions.Unfinished {
		t.Fatalf("%+v", r)
	}
	if text := r.String(); !strings.Contains(text, "1 session told to leave: who is there could not log in") ||
		!strings.Contains(text, "1 subscription taken away") {
		t.Error(text)
	}
	if goodbye, err := leaves.Receive(); err != nil || !bytes.HasPrefix(goodbye, []byte("[6,")) {
		t.Errorf("%s, %v", goodbye, err)
	}
	stays.Queue([]byte(`[16,2,{"acknowledge":true},"com.a"]`))
	for {
		answer, err := stays.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(answer, []byte("[17,")) {
			break
		}
		if !bytes.HasPrefix(answer, []byte("[35,")) { // UNSUBSCRIBED, if the client wants to hear of it
			t.Errorf("%s", answer)
		}
	}
}

// TestFileSecrets: a secret that is gone when the file is read again is an error that names the file, and the file
// before stays in force.
func TestFileSecrets(t *testing.T) {
	s := startService(t, `
realms:
  - uri: a
    auth: { ticket: {} }
    roles: [{ name: user }]
    users: { joe: { role: user, ticket: { file: secret } } }
`, "secret", "t")
	if err := os.Remove(filepath.Join(filepath.Dir(s.file), "secret")); err != nil {
		t.Fatal(err)
	}
	r := s.reload("test")
	if r.Applied || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Message, "secret") {
		t.Errorf("%+v", r)
	}
	if answer := s.talk(t).logIn("a", "ticket", "joe", "", says("t")); !strings.HasPrefix(answer, "[2,") {
		t.Error(answer)
	}
}
