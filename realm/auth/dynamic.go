package auth

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"banyan/codec"
)

// DynamicOptions hand methods to an authenticator outside: a WAMP procedure, an HTTP hook, a Go function. All have
// the contract of Crossbar.io (PROTOCOL 10.8). A method is either static or dynamic: users of the file have no
// credentials for a dynamic one.
type DynamicOptions struct {
	Authenticator string   // who is asked: a procedure or a URL; the package only passes it on
	Methods       []string // which methods ask: all but cookie
	Timeout       time.Duration
	// ProcedureRealm is the realm in which a procedure is registered; "" is the realm that the client joins.
	ProcedureRealm string
}

func (o *DynamicOptions) check(r *Realm) error {
	var problems []error
	report := func(text string, args ...any) { problems = append(problems, fmt.Errorf("dynamic: "+text, args...)) }
	if o.Authenticator == "" {
		report("there is no authenticator; name a procedure or a URL")
	}
	if o.Timeout <= 0 {
		report("the timeout is %v; it must be positive", o.Timeout)
	}
	if len(o.Methods) == 0 {
		report("no method asks the authenticator; list some")
	}
	for _, name := range o.Methods {
		switch {
		case name == methodCookie:
			report("the method cookie cannot ask the authenticator")
		case r.methods[name] == nil:
			report("the realm does not offer the method %q", name)
		case name == methodTicket && r.config.Ticket.JWT != nil:
			report("the method ticket cannot both verify JWTs and ask the authenticator")
		default:
			r.dynamic[name] = true
		}
	}
	return errors.Join(problems...)
}

// A Request is what a dynamic authenticator is asked: a call with the arguments realm, authid, details.
type Request struct {
	Authenticator  string
	ProcedureRealm string        // the realm of a procedure
	Timeout        time.Duration // the caller calls Resume with an error when it is over
	Realm          string        // of HELLO
	AuthID         string        // of HELLO, "" for none (the caller passes null)
	// Details has session, authmethod, authextra, authrole, transport; ticket and round for the method ticket. The
	// values are those that codec.AppendValue encodes.
	Details map[string]any
}

// An AuthenticatorError is an ERROR that a dynamic authenticator returned: it denies. Any other error that Resume
// gets says that the authenticator failed.
type AuthenticatorError struct {
	URI     string
	Message string
}

func (e *AuthenticatorError) Error() string { return e.URI + ": " + e.Message }

// A result is what a dynamic authenticator returned.
type result struct {
	realm, authid, role string
	user                User           // with credentials as the method needs them
	challenge           map[string]any // ticket: ask the client once more
}

// startDynamic begins a method whose credentials the authenticator has.
func (a *Attempt) startDynamic() Outcome {
	a.known = true
	if a.name == methodTicket {
		return a.dynamicTicket(map[string]any{})
	}
	return a.ask(nil, func(r *result) Outcome {
		a.take(r)
		if a.name == methodCryptosign {
			key, _ := ParseKey(a.hello.Extra.PubKey)
			if !slices.Contains(r.user.Keys, key) {
				return deny(a.name)
			}
		}
		return a.method.start(a)
	})
}

// dynamicTicket challenges and asks the authenticator about the answer, until it accepts or denies: it may return
// another challenge, such as for a second factor.
func (a *Attempt) dynamicTicket(extra map[string]any) Outcome {
	if a.round++; a.round > roundsMax {
		return broken(fmt.Sprintf("the authenticator asked for more than %d challenges", roundsMax))
	}
	return a.challenge(extra, func(_ time.Time, signature string, _ *Extra) Outcome {
		return a.ask(map[string]any{"ticket": signature, "round": a.round}, func(r *result) Outcome {
			if r.challenge != nil {
				return a.dynamicTicket(r.challenge)
			}
			a.take(r)
			return a.welcome(nil)
		})
	})
}

// take settles the principal that the authenticator named.
func (a *Attempt) take(r *result) {
	u := r.user
	u.AuthID, u.Role = r.authid, r.role
	a.user, a.target = &u, r.realm
}

// ask opens a request. more adds to the details.
func (a *Attempt) ask(more map[string]any, resume resumeFunc) Outcome {
	o := a.realm.config.Dynamic
	t := &a.hello.Transport
	authextra, err := a.hello.Extra.Map()
	if err != nil {
		return violation("HELLO.Details.authextra is malformed")
	}
	transport := map[string]any{
		"listener": t.Listener, "is_local": t.Local, "is_secure": t.Encrypted, "peer": nil, "certificate": nil,
	}
	if t.Peer.IsValid() {
		transport["peer"] = t.Peer.Unmap().String()
	}
	if len(t.Certificate) > 0 {
		transport["certificate"] = t.Certificate
	}
	details := map[string]any{
		"session": a.hello.Session, "authmethod": a.name, "authextra": authextra, "authrole": nil,
		"transport": transport,
	}
	if a.hello.AuthRole != "" {
		details["authrole"] = a.hello.AuthRole
	}
	for k, v := range more {
		details[k] = v
	}
	a.resume = resume
	return Outcome{Kind: Ask, Request: &Request{
		Authenticator: o.Authenticator, ProcedureRealm: cmp.Or(o.ProcedureRealm, a.hello.Realm), Timeout: o.Timeout,
		Realm: a.hello.Realm, AuthID: a.hello.AuthID, Details: details,
	}}
}

// Resume goes on with what the authenticator returned: its first positional result, or the body of the HTTP hook's
// answer, in the types of codec.Value or of encoding/json. err is an *AuthenticatorError if it denies, and anything
// else if it cannot be reached, is too late or broke: then the attempt ends in authentication_failed. A Resume
// without an open request is refused as a violation.
func (a *Attempt) Resume(returned any, err error) Outcome {
	resume := a.resume
	a.resume = nil
	if resume == nil {
		return violation("no authenticator was asked")
	}
	var denied *AuthenticatorError
	switch {
	case errors.As(err, &denied):
		uri := denied.URI
		if !strings.HasPrefix(uri, "wamp.error.") || len(uri) > realmBytesMax ||
			!codec.ValidURI([]byte(uri), codec.Exact, false) {
			uri = codec.ErrAuthenticationDenied
		}
		return refuse(uri, cutText(denied.Message, messageBytesMax))
	case err != nil:
		return broken("the authenticator is not available; try again later")
	}
	r, err := a.readResult(returned)
	if err != nil {
		return broken("the authenticator returned " + err.Error())
	}
	return resume(r)
}

// cutText returns text in at most bytesMax octets of whole characters.
func cutText(text string, bytesMax int) string {
	if len(text) <= bytesMax {
		return text
	}
	for bytesMax > 0 && !utf8.RuneStart(text[bytesMax]) {
		bytesMax--
	}
	return text[:bytesMax]
}

// readResult reads a role, or a dictionary with realm, authid, role, extra and what the method needs: secret, salt,
// iterations, keylen; kdf, salt, iterations, memory, stored-key, server-key in hex; pubkey, one or a list.
func (a *Attempt) readResult(returned any) (*result, error) {
	if role, ok := returned.(string); ok {
		returned = map[string]any{"role": role}
	}
	d, ok := returned.(map[string]any)
	if !ok {
		return nil, errors.New("neither a role nor a dictionary")
	}
	f := fields{from: d}
	if more, ok := f.take("challenge").(map[string]any); ok && a.name == methodTicket {
		if _, err := codec.AppendValue(nil, codec.MessagePack, more); err != nil {
			return nil, errors.New("a challenge that has no encoding")
		}
		return &result{challenge: more}, nil
	}
	r := &result{
		realm: f.text("realm", a.target), authid: f.text("authid", a.defaultAuthID()), role: f.text("role", ""),
	}
	if extra := f.take("extra"); extra != nil {
		r.user.Extra, ok = extra.(map[string]any)
		if !ok {
			f.fail("extra")
		}
	}
	switch a.name {
	case methodCRA:
		r.user.CRA = &CRACredential{Key: f.text("secret", ""), Salt: f.text("salt", "")}
		if r.user.CRA.Salt != "" {
			r.user.CRA.Iterations, r.user.CRA.KeyLen = f.number("iterations", 1000), f.number("keylen", craKeyBytes)
		}
	case methodSCRAM, methodCrossbar:
		c := &SCRAMCredential{
			KDF: f.text("kdf", ""), Salt: f.hex("salt", 0), Iterations: f.number("iterations", 0),
			Memory: f.number("memory", 0),
		}
		if c.KDF == "argon2id-13" {
			c.KDF = KDFArgon2id
		}
		copy(c.StoredKey[:], f.hex("stored-key", len(c.StoredKey)))
		copy(c.ServerKey[:], f.hex("server-key", len(c.ServerKey)))
		if a.name == methodSCRAM {
			r.user.SCRAM = c
		} else {
			r.user.Crossbar = c
		}
	case methodCryptosign:
		r.user.Keys = f.keys("pubkey")
	}
	if f.wrong != "" {
		return nil, errors.New("a bad value for " + f.wrong)
	}
	r.user.AuthID, r.user.Role = r.authid, r.role
	if err := checkName("realm", r.realm, realmBytesMax); err != nil {
		return nil, err
	}
	if err := r.user.check(); err != nil {
		return nil, errors.New("a principal that is not complete or out of bounds")
	}
	return r, nil
}

// defaultAuthID is the authid of a principal whom the authenticator gives none.
func (a *Attempt) defaultAuthID() string {
	switch {
	case a.hello.AuthID != "":
		return a.hello.AuthID
	case a.name == methodCryptosign:
		return strings.ToLower(a.hello.Extra.PubKey)
	case a.name == methodAnonymous:
		return a.drawAuthID()
	}
	return ""
}

// fields reads a dictionary and remembers the first key with a wrong value.
type fields struct {
	from  map[string]any
	wrong string
}

func (f *fields) fail(key string) {
	if f.wrong == "" {
		f.wrong = key
	}
}

func (f *fields) take(key string) any { return f.from[key] }

// text returns the text of a key, absent if it is missing or null.
func (f *fields) text(key, absent string) string {
	v := f.take(key)
	if v == nil {
		return absent
	}
	s, ok := v.(string)
	if !ok {
		f.fail(key)
	}
	return s
}

// number returns the integer of a key, absent if it is missing or null. JSON brings integers as float64.
func (f *fields) number(key string, absent int) int {
	switch v := f.take(key).(type) {
	case nil:
		return absent
	case int:
		return v
	case int64:
		return int(v)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v)
		}
	}
	f.fail(key)
	return 0
}

// hex returns the octets of a key that holds hex digits; n of them, any number if n is 0.
func (f *fields) hex(key string, n int) []byte {
	text := f.text(key, "")
	b := make([]byte, len(text)/2)
	if n != 0 && len(b) != n || !readHex(b, text) {
		f.fail(key)
		return nil
	}
	return b
}

// keys returns the public keys of a key that holds one, or a list of them, in hex.
func (f *fields) keys(key string) (keys [][32]byte) {
	list, ok := f.take(key).([]any)
	if !ok {
		list = []any{f.take(key)}
	}
	for _, item := range list {
		text, _ := item.(string)
		k, err := ParseKey(text)
		if err != nil {
			f.fail(key)
			return nil
		}
		keys = append(keys, k)
	}
	return keys
}
