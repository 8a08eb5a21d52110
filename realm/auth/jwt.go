package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWTOptions say which JSON Web Tokens (RFC 7519) let a client in, by the method ticket. A token must be signed by
// one of the keys and carry exp, the issuer and the audience.
type JWTOptions struct {
	// Keys finds the key that a token is signed with, in the sense of jwt.Keyfunc. It is called from Work, so it may
	// wait, such as for a key set that is fetched again; any goroutine. It may return other keys tomorrow: that is
	// how keys rotate without a new Realm.
	Keys jwt.Keyfunc
	// Algorithms are the signature algorithms that are accepted, such as RS256, ES256, EdDSA; at least one. HMAC
	// algorithms cannot stand beside others, and "none" cannot stand at all.
	Algorithms []string
	Issuer     string        // iss; required
	Audience   string        // one of aud; required
	Leeway     time.Duration // between the clocks of issuer and router; at most 5 min

	// AuthIDClaim holds the authid; default sub. A client that says an authid in HELLO must say this one.
	AuthIDClaim string
	// AuthIDPrefix stands before the claim's value in the authid. With one, the issuer can only name those users of
	// the realm whose authid begins with it. At most AuthIDPrefixBytesMax.
	AuthIDPrefix string
	// RoleClaim holds a text or a list of texts; dots step into objects, as in realm_access.roles. "" gives all Role.
	RoleClaim string
	// Roles translate values of RoleClaim; the first entry whose Claim the token has wins. Without entries the role
	// is the claim's value, of a list the first.
	Roles []JWTRole
	// Role is for tokens that get none by RoleClaim. "" denies them.
	Role string
}

// A JWTRole gives a role to tokens that have a value in their role claim.
type JWTRole struct{ Claim, Role string }

type jwtVerifier struct {
	*JWTOptions
	claim string
}

func newJWT(o *JWTOptions) (*jwtVerifier, error) {
	var problems []error
	report := func(text string, args ...any) { problems = append(problems, fmt.Errorf("jwt: "+text, args...)) }
	if o.Keys == nil {
		report("there are no keys; give a key set from a file or a URL")
	}
	if len(o.Algorithms) == 0 {
		report("no algorithm is allowed; name those of the issuer, such as RS256")
	}
	hashes := 0
	for _, name := range o.Algorithms {
		if jwt.GetSigningMethod(name) == nil || name == jwt.SigningMethodNone.Alg() {
			report("the algorithm %q is not known; known are RS, PS, ES and HS with 256, 384, 512, and EdDSA", name)
		}
		if strings.HasPrefix(name, "HS") {
			hashes++
		}
	}
	if hashes > 0 && hashes < len(o.Algorithms) {
		report("HMAC algorithms cannot stand beside others: a public key could then serve as a shared secret")
	}
	if o.Issuer == "" || o.Audience == "" {
		report("issuer and audience are required; without them tokens for other services would do")
	}
	if o.Leeway < 0 || o.Leeway > jwtLeewayMax {
		report("the leeway is %v; it can be 0 to %v", o.Leeway, jwtLeewayMax)
	}
	if o.RoleClaim == "" && o.Role == "" {
		report("no token would get a role; set role_claim or role")
	}
	if o.RoleClaim == "" && len(o.Roles) > 0 {
		report("roles translate values of role_claim, which is not set")
	}
	for _, r := range o.Roles {
		if err := checkName("role", r.Role, roleBytesMax); err != nil {
			report("%w", err)
		}
	}
	if len(o.AuthIDPrefix) > AuthIDPrefixBytesMax {
		report("the authid prefix is longer than %d octets", AuthIDPrefixBytesMax)
	}
	v := &jwtVerifier{JWTOptions: o, claim: o.AuthIDClaim}
	if v.claim == "" {
		v.claim = "sub"
	}
	return v, errors.Join(problems...)
}

// takesJWT reports whether a method lets in principals that no user stands for.
func (r *Realm) takesJWT(name string) bool {
	return name == methodTicket && r.config.Ticket != nil && r.config.Ticket.JWT != nil
}

// looksLikeJWT tells tokens from other tickets by their form: three parts, and a header that begins with {".
func looksLikeJWT(ticket string) bool {
	return strings.HasPrefix(ticket, "eyJ") && strings.Count(ticket, ".") == 2
}

// verify judges a token. It is work for the pool.
func (v *jwtVerifier) verify(a *Attempt, now time.Time, token string) Outcome {
	parser := jwt.NewParser(
		jwt.WithValidMethods(v.Algorithms), jwt.WithIssuer(v.Issuer), jwt.WithAudience(v.Audience),
		jwt.WithLeeway(v.Leeway), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return now }),
	)
	claims := jwt.MapClaims{}
	if strings.ContainsAny(token, "\r\n") { // which base64 skips: one text stands for one token
		return deny(methodTicket)
	}
	if _, err := parser.ParseWithClaims(token, claims, v.key); err != nil {
		return deny(methodTicket)
	}
	name, ok := lookUp(claims, v.claim).(string)
	authid := v.AuthIDPrefix + name
	if !ok || name == "" || checkName("authid", authid, authIDBytesMax) != nil ||
		a.hello.AuthID != "" && a.hello.AuthID != authid {
		return deny(methodTicket)
	}
	role := v.role(claims)
	if checkName("role", role, roleBytesMax) != nil {
		return deny(methodTicket)
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil { // exp is required
		return deny(methodTicket)
	}
	return Outcome{Kind: Welcome, Principal: &Principal{
		Realm: a.target, AuthID: authid, Role: role, Method: methodTicket, Provider: providerJWT,
		Expires: expires.Add(v.Leeway),
	}}
}

var errCritical = errors.New("the token must not be accepted by who does not know its extensions")

// key is Keys for tokens without extensions. A token that names one as critical (RFC 7515, 4.1.11) must be refused,
// for none is known here.
func (v *jwtVerifier) key(token *jwt.Token) (any, error) {
	if _, critical := token.Header["crit"]; critical {
		return nil, errCritical
	}
	return v.Keys(token)
}

// role returns the role that the claims give, "" for none.
func (v *jwtVerifier) role(claims jwt.MapClaims) string {
	var values []string
	if v.RoleClaim != "" {
		switch c := lookUp(claims, v.RoleClaim).(type) {
		case string:
			values = []string{c}
		case []any:
			for _, item := range c {
				if text, ok := item.(string); ok {
					values = append(values, text)
				}
			}
		}
	}
	if len(v.Roles) == 0 && len(values) > 0 {
		return values[0]
	}
	for _, r := range v.Roles {
		if slices.Contains(values, r.Claim) {
			return r.Role
		}
	}
	return v.Role
}

// lookUp returns the claim of that name, or what the dots in it lead to; nil if there is none.
func lookUp(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	before, after, found := strings.Cut(name, ".")
	if !found {
		return nil
	}
	inner, _ := claims[before].(map[string]any)
	return lookUp(inner, after)
}
