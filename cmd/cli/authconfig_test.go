package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banyan/cmd/config"
	"banyan/codec"
	"banyan/realm"
	"banyan/realm/auth"
	"banyan/realm/policy"
)

// parseFile reads a configuration whose paths start from a new folder, and which files may be in.
func parseFile(t testing.TB, text string, files map[string]string) *config.File {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, r := (&config.Loader{}).Parse(filepath.Join(dir, "banyan.yaml"), dir, []byte(text))
	if f == nil {
		t.Fatal(r)
	}
	return f
}

// readKeys are the keys of a configuration that none was before.
func readKeys(t testing.TB, f *config.File) *keys {
	t.Helper()
	k, err := newKeys(f, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.refuse)
	return k
}

// logIn goes through an attempt with one answer, and returns the last outcome.
func logIn(t *testing.T, r *auth.Realm, h *auth.Hello, signature string) auth.Outcome {
	t.Helper()
	h.Now, h.Transport.Local = time.Now(), true
	a, o := r.Begin(h)
	if o.Kind == auth.Challenge {
		o = a.Answer(h.Now, signature, nil)
	}
	for o.Kind == auth.Work {
		o = o.Work()
	}
	return o
}

// TestAuthConfigTickets: tickets of each form let their user in, with the role of the file, and others do not.
func TestAuthConfigTickets(t *testing.T) {
	hash, err := auth.HashPassword("thought of", 1, 8192)
	if err != nil {
		t.Fatal(err)
	}
	random := auth.NewTicket()
	sum := sha256.Sum256([]byte(random))
	f := parseFile(t, fmt.Sprintf(`
realms:
  - uri: realm1
    auth: { ticket: {} }
    roles: [{ name: user }, { name: other }]
    users:
      a: { role: user, ticket: { sha256: %s }, extra: { floor: 3 } }
      b: { role: other, ticket: { argon2id: "%s" } }
      c: { role: user, ticket: { file: secret } }
`, strings.ToUpper(hex.EncodeToString(sum[:])), hash), map[string]string{"secret": "  in a file \n"})
	r, err := authRealm(&f.Realms[0], readKeys(t, f))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		authid, ticket, role string // role "": refused
	}{
		{"a", random, "user"},
		{"b", "thought of", "other"},
		{"c", "in a file", "user"},
		{"a", "thought of", ""},
		{"c", "in a file ", ""},
		{"d", random, ""},
	} {
		o := logIn(t, r, &auth.Hello{AuthID: c.authid, Methods: []string{"ticket"}}, c.ticket)
		switch {
		case c.role == "" && o.Kind != auth.Refuse:
			t.Errorf("%s with %q gets in: %+v", c.authid, c.ticket, o)
		case c.role != "" && (o.Kind != auth.Welcome || o.Principal.Role != c.role || o.Principal.AuthID != c.authid):
			t.Errorf("%s with %q: %+v, want role %s", c.authid, c.ticket, o, c.role)
		case c.authid == "a" && c.role != "" && fmt.Sprint(o.Principal.Extra["floor"]) != "3":
			t.Errorf("authextra %v", o.Principal.Extra)
		}
	}
}

// TestAuthConfigCredentials: each credential of the file comes to the user unchanged.
func TestAuthConfigCredentials(t *testing.T) {
	scram, err := auth.NewSCRAM("pencil", auth.KDFPBKDF2, 4096, 0)
	if err != nil {
		t.Fatal(err)
	}
	crossbar, err := auth.NewCrossbarSCRAM("pencil", auth.KDFArgon2id, 1, 8192)
	if err != nil {
		t.Fatal(err)
	}
	cra, err := auth.NewCRA("pencil", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	private, _ := auth.NewKey()
	_, public := auth.NewKey()
	b64 := base64.StdEncoding.EncodeToString
	f := parseFile(t, fmt.Sprintf(`
listeners: [{ address: "unix:/x", auth_methods: [wampcra, wamp-scram, scram, cryptosign] }]
realms:
  - uri: realm1
    authid_uniqueness: replace
    auth: { wampcra: {}, wamp-scram: {}, scram: {}, cryptosign: { router_key_file: router.key } }
    roles: [{ name: user }]
    users:
      a:
        role: user
        wampcra: { salt: "%s", iterations: 100000, keylen: %d, key: "%s" }
        scram: { kdf: pbkdf2, salt: "%s", iterations: 4096, stored_key: "%s", server_key: "%s" }
        crossbar: { salt: "%s", iterations: 1, memory: 8192, stored_key: "%s", server_key: "%s" }
        cryptosign: [%x]
      b: { role: user, wampcra: { secret_file: secret } }
`, cra.Salt, cra.KeyLen, cra.Key, b64(scram.Salt), b64(scram.StoredKey[:]), b64(scram.ServerKey[:]),
		b64(crossbar.Salt), b64(crossbar.StoredKey[:]), b64(crossbar.ServerKey[:]), public),
		map[string]string{"router.key": private + "\n", "secret": "s3cret\n"})
	c, err := authConfig(&f.Realms[0], readKeys(t, f))
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Users[0], c.Users[1]
	if *a.CRA != *cra || b.CRA.Key != "s3cret" || b.CRA.Salt != "" {
		t.Errorf("wampcra: %+v and %+v, want %+v", a.CRA, b.CRA, cra)
	}
	for name, pair := range map[string][2]*auth.SCRAMCredential{
		"scram": {a.SCRAM, scram}, "crossbar": {a.Crossbar, crossbar},
	} {
		if fmt.Sprint(*pair[0]) != fmt.Sprint(*pair[1]) {
			t.Errorf("%s: %+v, want %+v", name, pair[0], pair[1])
		}
	}
	if len(a.Keys) != 1 || a.Keys[0] != public || b.SCRAM != nil {
		t.Errorf("keys %x of a, scram %v of b", a.Keys, b.SCRAM)
	}
	if !c.WAMPCRA || !c.WAMPSCRAM || !c.CrossbarSCRAM || c.TLS || c.AuthIDPolicy != auth.ReplaceDuplicates {
		t.Errorf("%+v", c)
	}
	if got := hex.EncodeToString(c.Cryptosign.RouterKey.Seed()); got != private {
		t.Error("the router has another key")
	}
	if _, err := auth.NewRealm(c); err != nil {
		t.Error(err)
	}
	for _, required := range []bool{false, true} {
		f.Realms[0].Auth.Cryptosign.RequireChannelBinding = required
		if c, err := authConfig(&f.Realms[0], readKeys(t, f)); err != nil || c.RequireChannelBinding != required {
			t.Errorf("a channel binding is required: %v, %v, want %v", c.RequireChannelBinding, err, required)
		}
	}
}

// TestAuthConfigProblems: all files that cannot be used are named at once, with their users, and none is quoted.
func TestAuthConfigProblems(t *testing.T) {
	f := parseFile(t, `
realms:
  - uri: realm1
    auth: { ticket: {}, wampcra: {}, cryptosign: { router_key_file: router.key } }
    roles: [{ name: user }]
    users:
      a: { role: user, ticket: { file: secret } }
      b: { role: user, wampcra: { secret_file: secret } }
`, map[string]string{"router.key": "SECRET", "secret": "x"})
	for _, u := range f.Realms[0].Users {
		for _, path := range []*string{fileOf(u)} {
			if err := os.Remove(*path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
	_, err := realmConfig(f, f.Listeners, 1, readKeys(t, f), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"realm realm1", "users.a", "users.b", "router_key_file", "no such file"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "SECRET") {
		t.Errorf("a secret is quoted: %v", err)
	}
}

func fileOf(u config.User) *string {
	if u.Ticket != nil {
		return &u.Ticket.File
	}
	return &u.WAMPCRA.SecretFile
}

// TestRealmConfig: the built-in realm asks and checks nothing; any other has its own answer to both.
func TestRealmConfig(t *testing.T) {
	one := func(text string) realm.RealmConfig {
		t.Helper()
		f := parseFile(t, text, nil)
		c, err := realmConfig(f, f.Listeners, 1, readKeys(t, f), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Realms) == 0 {
			return c.Templates[0].RealmConfig
		}
		return c.Realms[0]
	}
	const local = realm.AnonymousLocal
	withAuth := func(auth, more string) string { return "realms: [{ uri: a, auth: { " + auth + " }, " + more + " }]" }
	const all = `roles: [{ name: anonymous, permissions: [{ uri: "", match: prefix, ` +
		`allow: [call, register, publish, subscribe] }] }]`
	for _, c := range []struct {
		text         string
		auth, policy bool
		anonymous    realm.Anonymous
	}{
		{"", false, false, local},
		{config.Example(), false, false, local},
		{withAuth("anonymous: {}", all), false, false, local},
		{withAuth("anonymous: { from: anywhere }", all), false, false, realm.AnonymousAnywhere},
		{withAuth("anonymous: { from: 10.0.0.0/8 }", all), true, true, local},
		{withAuth("anonymous: { role: x }", "roles: [{ name: x }]"), true, true, local},
		{withAuth("anonymous: {}", "roles: [{ name: anonymous }]"), false, true, local},
		{withAuth("anonymous: {}", "authid_uniqueness: refuse, "+all), true, true, local},
		{withAuth("anonymous: {}, ticket: {}", all), true, true, local},
		{"templates: [{ uri: a., auth: { anonymous: {} }, " + all + " }]", false, false, local},
	} {
		r := one(c.text)
		if (r.Auth != nil) != c.auth || (r.Policy != nil) != c.policy || r.Anonymous != c.anonymous {
			t.Errorf("%s: %+v", c.text, r)
		}
		if _, err := realm.New(realm.Config{Realms: []realm.RealmConfig{{URI: "x"}, r}}); r.URI == "a" && err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// TestAnonymousSources: places of the file are places of package auth.
func TestAnonymousSources(t *testing.T) {
	f := parseFile(t, `
realms:
  - uri: a
    auth: { anonymous: { role: guest, from: [local, 10.0.0.0/8, 192.0.2.7,
      '::ffff:172.16.0.0/108', '::ffff:192.0.2.9'] } }
    roles: [{ name: guest }]
  - uri: b
    auth: { anonymous: { role: guest, from: anywhere } }
    roles: [{ name: guest }]
`, nil)
	near, err := authRealm(&f.Realms[0], readKeys(t, f))
	if err != nil {
		t.Fatal(err)
	}
	anywhere, err := authRealm(&f.Realms[1], readKeys(t, f))
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.2.3": true, "192.0.2.7": true, "192.0.2.8": false, "192.0.2.9": true, "172.31.0.1": true,
		"172.32.0.1": false,
	} {
		h := &auth.Hello{Now: time.Now(), Transport: auth.Transport{Peer: netip.MustParseAddr(address)}}
		if _, o := near.Begin(h); (o.Kind == auth.Welcome) != want {
			t.Errorf("%s: %+v", address, o)
		}
		if _, o := anywhere.Begin(h); o.Kind != auth.Welcome || o.Principal.Role != "guest" {
			t.Errorf("%s anywhere: %+v", address, o)
		}
	}
}

// TestPolicyConfig: what the roles of a file may do, the snapshot decides (AUZ).
func TestPolicyConfig(t *testing.T) {
	f := parseFile(t, `
realms:
  - uri: a
    auth: { anonymous: {} }
    roles:
      - name: anonymous
        permissions:
          - { uri: com.app.*, allow: [call, subscribe], disclose: [caller] }
          - { uri: com.app.secret., match: prefix, allow: [] }
          - { uri: com..status, match: wildcard, allow: [publish], disclose: [publisher] }
          - { uri: com.exact, allow: [register] }
        authorizer: { procedure: com.may, timeout: 1s, cache: 5s }
`, nil)
	s, err := rolesPolicy(&f.Realms[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		action          policy.Action
		uri             string
		allow, disclose bool
		definitive      bool
	}{
		{policy.Call, "com.app.x", true, true, true},
		{policy.Subscribe, "com.app.x", true, false, true},
		{policy.Publish, "com.app.x", false, false, true},
		{policy.Call, "com.app.secret.x", false, false, true},
		{policy.Publish, "com.car.status", true, true, true},
		{policy.Register, "com.exact", true, false, true},
		{policy.Call, "com.exact", false, false, true},
		{policy.Call, "net.other", false, false, false},
	} {
		d := s.Decide("anonymous", c.action, []byte(c.uri), codec.Exact)
		if d.Allow != c.allow || d.Disclose != c.disclose || d.Definitive != c.definitive {
			t.Errorf("%v %s: %+v", c.action, c.uri, d)
		}
	}
	want := realm.Authorizer{Procedure: "com.may", Timeout: time.Second, Cache: true, CacheTime: 5 * time.Second}
	if got := authorizers(&f.Realms[0])["anonymous"]; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestListenersConfig: the rules of listeners come in the order of the listeners that run.
func TestListenersConfig(t *testing.T) {
	f := parseFile(t, `
listeners:
  - { address: "unix:/a", name: one, anonymous: none, auth_methods: [anonymous] }
  - { address: "unix:/b" }
limits: { auth_failures_per_address_max: 0, auth_failures_per_authid_max: 7, address_bits_v6: 48, auth_timeout: 3s }
`, nil)
	c, err := realmConfig(f, []config.Listener{f.Listeners[1], f.Listeners[0]}, 1, readKeys(t, f), nil)
	if err != nil {
		t.Fatal(err)
	}
	if l := c.Listeners; l[0].Name != "unix:/b" || l[0].Anonymous != realm.AnonymousByRealm || l[1].Name != "one" ||
		l[1].Anonymous != realm.AnonymousNone || len(l[1].AuthMethods) != 1 {
		t.Errorf("%+v", l)
	}
	want := auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: 7, AddressBitsV4: 32, AddressBitsV6: 48}
	if c.AuthFailures != want || c.AuthTimeout != 3*time.Second {
		t.Errorf("%+v, %v", c.AuthFailures, c.AuthTimeout)
	}
}
