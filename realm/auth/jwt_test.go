package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"banyan/codec"
)

// keySet returns a key set (RFC 7517) with one Ed25519 key.
func keySet(kid string, public ed25519.PublicKey) []byte {
	return fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":%q,"x":%q}]}`,
		kid, base64.RawURLEncoding.EncodeToString(public))
}

func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{
		"iss": "https://id.example.com", "aud": "banyan", "sub": "alice", "wamp_role": "service",
		"exp": noon.Add(time.Minute).Unix(),
	}
}

// A JWT as ticket: signature, issuer, audience, expiry, not-before, algorithm and authid must be right.
func TestJWTTicket(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keys, err := keyfunc.NewJWKSetJSON(json.RawMessage(keySet("k1", public)))
	if err != nil {
		t.Fatal(err)
	}
	options := JWTOptions{
		Keys: keys.Keyfunc, Algorithms: []string{"EdDSA"}, Issuer: "https://id.example.com", Audience: "banyan",
		RoleClaim: "wamp_role", Leeway: 10 * time.Second,
	}
	r := makeRealm(t, Config{
		Ticket: &TicketOptions{JWT: &options},
		Users:  []User{{AuthID: "kiosk", Role: "public", Tickets: []StoredTicket{plain(t, "static")}}},
	})
	der, _ := x509.MarshalPKIXPublicKey(public)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	with := func(key string, value any) string {
		c := goodClaims()
		if c[key] = value; value == nil {
			delete(c, key)
		}
		return sign(t, jwt.SigningMethodEdDSA, private, "k1", c)
	}
	good := with("x", 1)
	extension := jwt.NewWithClaims(jwt.SigningMethodEdDSA, goodClaims())
	extension.Header["kid"], extension.Header["crit"] = "k1", []string{"urn:example:limits"}
	extended, err := extension.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, authid, token string
		ok                  bool
	}{
		{"good", "", good, true},
		{"good, authid said", "alice", good, true},
		{"good, user of the file", "kiosk", good, false},
		{"another authid", "bob", good, false},
		{"no kid", "", sign(t, jwt.SigningMethodEdDSA, private, "", goodClaims()), true},
		{"list of audiences", "", with("aud", []string{"other", "banyan"}), true},
		{"wrong audience", "", with("aud", "other"), false},
		{"no audience", "", with("aud", nil), false},
		{"wrong issuer", "", with("iss", "https://evil.example.com"), false},
		{"no issuer", "", with("iss", nil), false},
		{"expired within the leeway", "", with("exp", noon.Add(-9*time.Second).Unix()), true},
		{"expired", "", with("exp", noon.Add(-10*time.Second).Unix()), false},
		{"never expires", "", with("exp", nil), false},
		{"not yet within the leeway", "", with("nbf", noon.Add(10*time.Second).Unix()), true},
		{"not yet", "", with("nbf", noon.Add(11*time.Second).Unix()), false},
		{"no subject", "", with("sub", nil), false},
		{"empty subject", "", with("sub", ""), false},
		{"subject is a number", "", with("sub", 7), false},
		{"control character in subject", "", with("sub", "a\nb"), false},
		{"no role", "", with("wamp_role", nil), false},
		{"foreign key", "", sign(t, jwt.SigningMethodEdDSA, stranger, "k1", goodClaims()), false},
		{"unknown kid", "", sign(t, jwt.SigningMethodEdDSA, private, "k2", goodClaims()), false},
		{"alg none", "", sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "k1", goodClaims()), false},
		{"HMAC with the public key", "", sign(t, jwt.SigningMethodHS256, publicPEM, "k1", goodClaims()), false},
		{"other algorithm", "", sign(t, jwt.SigningMethodES256, ec, "k1", goodClaims()), false},
		{"cut signature", "", good[:len(good)-1], false},
		// The last digit of 64 octets has four bits that mean nothing: one text stands for one signature.
		{"another last digit", "", good[:len(good)-1] + string(rune(good[len(good)-1]+1)), false},
		{"newline behind it", "", good + "\n", false},
		{"newline in it", "", good[:9] + "\r\n" + good[9:], false},
		{"critical extension", "", extended, false},
		{"two parts", "kiosk", "eyJ.eyJ", false},
		{"looks like one", "kiosk", "eyJ..", false},
	} {
		a, o := r.Begin(hello(c.authid, "ticket"))
		want(t, o, Challenge)
		o = finish(a.Answer(noon, c.token, nil))
		if !c.ok {
			if o.Kind != Refuse || o.Refusal.URI != codec.ErrAuthenticationDenied {
				t.Errorf("%s: %s", c.name, describe(o))
			}
			continue
		}
		if o.Kind != Welcome {
			t.Errorf("%s: %s", c.name, describe(o))
			continue
		}
		p := wantWelcome(t, o, "alice", "service", "ticket", "jwt")
		if c.name == "good" && !p.Expires.Equal(noon.Add(time.Minute+options.Leeway)) {
			t.Errorf("expires %v", p.Expires)
		}
	}
	// Static tickets go on beside it, and a JWT is always work for the pool.
	a, _ := r.Begin(hello("kiosk", "ticket"))
	wantWelcome(t, a.Answer(noon, "static", nil), "kiosk", "public", "ticket", "static")
	a, _ = r.Begin(hello("nobody", "ticket"))
	wantDenied(t, finish(a.Answer(noon, "static", nil)))
	a, _ = r.Begin(hello("", "ticket"))
	want(t, a.Answer(noon, good, nil), Work)
	// It is judged by the time of the answer, not of HELLO.
	a, _ = r.Begin(hello("", "ticket"))
	wantDenied(t, finish(a.Answer(noon.Add(time.Hour), good, nil)))
	// The answer to reveal_unknown_principal is not "no such principal" for who has a token.
	reveal := makeRealm(t, Config{Ticket: &TicketOptions{JWT: &options}, RevealUnknownPrincipal: true})
	a, o := reveal.Begin(hello("alice", "ticket"))
	want(t, o, Challenge)
	want(t, finish(a.Answer(noon, good, nil)), Welcome)
}

// The algorithm list holds whatever the key function returns.
func TestJWTAlgorithms(t *testing.T) {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	secret := []byte("a secret of 32 octets or more 1234")
	for _, c := range []struct {
		algorithm string
		method    jwt.SigningMethod
		sign, key any
		ok        bool
	}{
		{"ES256", jwt.SigningMethodES256, ec, ec.Public(), true},
		{"ES384", jwt.SigningMethodES256, ec, ec.Public(), false},
		{"HS256", jwt.SigningMethodHS256, secret, secret, true},
		{"ES256", jwt.SigningMethodHS256, secret, secret, false},
		{"ES256", jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.UnsafeAllowNoneSignatureType, false},
	} {
		r := makeRealm(t, Config{Ticket: &TicketOptions{JWT: &JWTOptions{
			Keys: func(*jwt.Token) (any, error) { return c.key, nil }, Algorithms: []string{c.algorithm},
			Issuer: "https://id.example.com", Audience: "banyan", Role: "user",
		}}})
		a, _ := r.Begin(hello("", "ticket"))
		o := finish(a.Answer(noon, sign(t, c.method, c.sign, "", goodClaims()), nil))
		if (o.Kind == Welcome) != c.ok {
			t.Errorf("%s where %s is allowed: %s", c.method.Alg(), c.algorithm, describe(o))
		}
	}
}

// The keys may change while the realm stays.
func TestJWTKeyRotation(t *testing.T) {
	var keys atomic.Value
	set := func(kid string) ed25519.PrivateKey {
		public, private, _ := ed25519.GenerateKey(rand.Reader)
		k, err := keyfunc.NewJWKSetJSON(json.RawMessage(keySet(kid, public)))
		if err != nil {
			t.Fatal(err)
		}
		keys.Store(k)
		return private
	}
	old := set("old")
	r := makeRealm(t, Config{Ticket: &TicketOptions{JWT: &JWTOptions{
		Keys:       func(token *jwt.Token) (any, error) { return keys.Load().(keyfunc.Keyfunc).Keyfunc(token) },
		Algorithms: []string{"EdDSA"}, Issuer: "https://id.example.com", Audience: "banyan", Role: "user",
	}}})
	try := func(kid string, key ed25519.PrivateKey) Outcome {
		a, _ := r.Begin(hello("", "ticket"))
		return finish(a.Answer(noon, sign(t, jwt.SigningMethodEdDSA, key, kid, goodClaims()), nil))
	}
	want(t, try("old", old), Welcome)
	fresh := set("new")
	wantDenied(t, try("old", old))
	want(t, try("new", fresh), Welcome)
}

func TestJWTRoles(t *testing.T) {
	v := func(o JWTOptions) *jwtVerifier { return &jwtVerifier{JWTOptions: &o} }
	table := []JWTRole{{"boss", "admin"}, {"staff", "service"}}
	nested := map[string]any{"roles": []any{"x", 5.0, "staff"}}
	for _, c := range []struct {
		o      JWTOptions
		claims jwt.MapClaims
		role   string
	}{
		{JWTOptions{Role: "user"}, jwt.MapClaims{"role": "admin"}, "user"},
		{JWTOptions{RoleClaim: "role"}, jwt.MapClaims{"role": "admin"}, "admin"},
		{JWTOptions{RoleClaim: "role"}, jwt.MapClaims{"role": []any{"a", "b"}}, "a"},
		{JWTOptions{RoleClaim: "role", Role: "user"}, jwt.MapClaims{"role": 5.0}, "user"},
		{JWTOptions{RoleClaim: "role"}, jwt.MapClaims{"role": []any{}}, ""},
		{
			JWTOptions{RoleClaim: "role", Roles: table},
			jwt.MapClaims{"role": "admin"},
			"",
		}, // the issuer's word is not ours
		{JWTOptions{RoleClaim: "role", Roles: table}, jwt.MapClaims{"role": []any{"staff", "boss"}}, "admin"},
		{JWTOptions{RoleClaim: "role", Roles: table, Role: "user"}, jwt.MapClaims{"role": "guest"}, "user"},
		{JWTOptions{RoleClaim: "realm_access.roles", Roles: table}, jwt.MapClaims{"realm_access": nested}, "service"},
		{JWTOptions{RoleClaim: "realm_access.roles"}, jwt.MapClaims{"realm_access": "x"}, ""},
		{JWTOptions{RoleClaim: "https://x.example/role"}, jwt.MapClaims{"https://x.example/role": "r"}, "r"},
	} {
		if got := v(c.o).role(c.claims); got != c.role {
			t.Errorf("%+v of %v: %q, want %q", c.o, c.claims, got, c.role)
		}
	}
}

func TestJWTAuthIDPrefix(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	r := makeRealm(t, Config{Ticket: &TicketOptions{JWT: &JWTOptions{
		Keys: func(*jwt.Token) (any, error) { return public, nil }, Algorithms: []string{"EdDSA"},
		Issuer: "https://id.example.com", Audience: "banyan", Role: "user",
		AuthIDPrefix: "sso:", AuthIDClaim: "user.name",
	}}})
	claims := goodClaims()
	claims["user"] = map[string]any{"name": "alice"}
	token := sign(t, jwt.SigningMethodEdDSA, private, "", claims)
	for authid, ok := range map[string]bool{"": true, "sso:alice": true, "alice": false} {
		a, _ := r.Begin(hello(authid, "ticket"))
		o := finish(a.Answer(noon, token, nil))
		if ok {
			wantWelcome(t, o, "sso:alice", "user", "ticket", "jwt")
		} else {
			wantDenied(t, o)
		}
	}
}

func TestJWTOptionsCheck(t *testing.T) {
	keys := func(*jwt.Token) (any, error) { return nil, errors.New("none") }
	good := JWTOptions{Keys: keys, Algorithms: []string{"RS256", "ES256"}, Issuer: "i", Audience: "a", Role: "r"}
	for name, c := range map[string]struct {
		change func(*JWTOptions)
		ok     bool
	}{
		"good":         {func(*JWTOptions) {}, true},
		"hmac alone":   {func(o *JWTOptions) { o.Algorithms = []string{"HS256", "HS512"} }, true},
		"max leeway":   {func(o *JWTOptions) { o.Leeway = jwtLeewayMax }, true},
		"no keys":      {func(o *JWTOptions) { o.Keys = nil }, false},
		"no algorithm": {func(o *JWTOptions) { o.Algorithms = nil }, false},
		"none":         {func(o *JWTOptions) { o.Algorithms = []string{"none"} }, false},
		"unknown":      {func(o *JWTOptions) { o.Algorithms = []string{"RS255"} }, false},
		"hmac mixed":   {func(o *JWTOptions) { o.Algorithms = []string{"RS256", "HS256"} }, false},
		"no issuer":    {func(o *JWTOptions) { o.Issuer = "" }, false},
		"no audience":  {func(o *JWTOptions) { o.Audience = "" }, false},
		"leeway":       {func(o *JWTOptions) { o.Leeway = jwtLeewayMax + 1 }, false},
		"negative":     {func(o *JWTOptions) { o.Leeway = -1 }, false},
		"no role":      {func(o *JWTOptions) { o.Role = "" }, false},
		"roles":        {func(o *JWTOptions) { o.Roles = []JWTRole{{"a", "b"}} }, false},
		"empty role":   {func(o *JWTOptions) { o.RoleClaim, o.Roles = "x", []JWTRole{{"a", ""}} }, false},
	} {
		o := good
		c.change(&o)
		_, err := NewRealm(&Config{Realm: testRealm, Ticket: &TicketOptions{JWT: &o}})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
