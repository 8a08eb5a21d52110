package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"banyan/cmd/config"
	"banyan/realm/auth"
)

// authRealm is who may join a realm, and how. The error joins all problems; it quotes no secret.
func authRealm(rm *config.Realm, k *keys) (*auth.Realm, error) {
	c, err := authConfig(rm, k)
	if err != nil {
		return nil, err
	}
	r, err := auth.NewRealm(c)
	if err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return r, nil
}

var authIDPolicies = map[string]auth.AuthIDPolicy{
	"allow": auth.AllowDuplicates, "refuse": auth.RefuseDuplicates, "replace": auth.ReplaceDuplicates,
}

func authConfig(rm *config.Realm, k *keys) (*auth.Config, error) {
	a := &rm.Auth
	c := &auth.Config{
		Realm: rm.URI, WAMPCRA: a.WAMPCRA != nil, WAMPSCRAM: a.WAMPSCRAM != nil, CrossbarSCRAM: a.SCRAM != nil,
		TLS: a.TLS != nil, AuthIDPolicy: authIDPolicies[rm.AuthidUniqueness], MockKey: k.mockFor(rm.URI),
	}
	var problems []error
	note := func(what string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", what, err))
		}
	}
	var err error
	if a.Anonymous != nil {
		c.Anonymous = &auth.AnonymousOptions{Role: a.Anonymous.Role}
		c.Anonymous.From, err = auth.ParseSource(sources(a.Anonymous.From))
		note("auth.anonymous", err)
	}
	if t := a.Ticket; t != nil {
		c.Ticket = &auth.TicketOptions{AllowPlain: t.AllowPlain}
		if t.JWT != nil {
			c.Ticket.JWT, err = jwtOptions(t.JWT, k)
			note("auth.ticket.jwt", err)
		}
	}
	if a.Cookie != nil {
		c.Cookie = &auth.CookieOptions{Store: k.cookies, AllowPlain: a.Cookie.AllowPlain}
	}
	if s := a.Cryptosign; s != nil {
		c.Cryptosign, c.RequireChannelBinding = &auth.CryptosignOptions{}, s.RequireChannelBinding
		if s.RouterKeyFile != "" {
			text, err := k.secret(s.RouterKeyFile)
			if err == nil {
				c.Cryptosign.RouterKey, err = auth.ParsePrivateKey(text)
			}
			note("auth.cryptosign.router_key_file", err)
		}
	}
	switch d, h := a.Dynamic, a.HTTP; {
	case d != nil:
		c.Dynamic = &auth.DynamicOptions{
			Authenticator: d.Procedure, ProcedureRealm: d.Realm, Methods: d.Methods, Timeout: d.Timeout,
		}
	case h != nil:
		c.Dynamic = &auth.DynamicOptions{
			Authenticator: config.PublicURL(h.URL), Methods: h.Methods, Timeout: h.Timeout,
		}
	}
	for _, authid := range slices.Sorted(maps.Keys(rm.Users)) {
		u := rm.Users[authid]
		user, err := authUser(authid, &u, k)
		note("users."+authid, err)
		c.Users = append(c.Users, user)
	}
	return c, errors.Join(problems...)
}

// sources are places in the words of package auth.
func sources(from []string) []string {
	all := slices.Clone(from)
	for i, f := range all {
		if f == "anywhere" {
			all[i] = "any"
		} else if p, err := config.ParsePrefix(f); err == nil {
			all[i] = p.String()
		}
	}
	return all
}

func jwtOptions(j *config.JWT, k *keys) (*auth.JWTOptions, error) {
	find, err := k.keySet(j)
	return &auth.JWTOptions{
		Keys: find, Algorithms: j.Algorithms, Issuer: j.Issuer, Audience: j.Audience, Leeway: j.Leeway,
		AuthIDClaim: j.AuthidClaim, AuthIDPrefix: j.AuthidPrefix, RoleClaim: j.RoleClaim, Role: j.Role,
	}, err
}

// authUser is one user. Its texts have their form: they were checked when the file was read.
func authUser(authid string, u *config.User, k *keys) (auth.User, error) {
	user := auth.User{AuthID: authid, Role: u.Role, Extra: u.Extra}
	var problems []error
	note := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if u.Ticket != nil {
		t, err := storedTicket(u.Ticket, k)
		note(err)
		user.Tickets = []auth.StoredTicket{t}
	}
	if c := u.WAMPCRA; c != nil {
		user.CRA = &auth.CRACredential{Key: c.Key, Salt: c.Salt, Iterations: c.Iterations, KeyLen: c.Keylen}
		if c.SecretFile != "" {
			key, err := k.secret(c.SecretFile)
			note(err)
			user.CRA = &auth.CRACredential{Key: key}
		}
	}
	var err error
	user.SCRAM, err = scramCredential(u.SCRAM)
	note(err)
	user.Crossbar, err = scramCredential(u.Crossbar)
	note(err)
	for _, text := range u.Cryptosign {
		key, err := auth.ParseKey(text)
		note(err)
		user.Keys = append(user.Keys, key)
	}
	for _, text := range u.TLS {
		sum, err := auth.ParseFingerprint(text)
		note(err)
		user.Certificates = append(user.Certificates, sum)
	}
	return user, errors.Join(problems...)
}

func storedTicket(t *config.UserTicket, k *keys) (auth.StoredTicket, error) {
	switch {
	case t.SHA256 != "":
		return auth.ParseTicket("sha256:" + strings.ToLower(t.SHA256))
	case t.Argon2id != "":
		return auth.ParseTicket(t.Argon2id)
	}
	text, err := k.secret(t.File)
	if err != nil {
		return auth.StoredTicket{}, err
	}
	return auth.PlainTicket(text)
}

func scramCredential(s *config.UserSCRAM) (*auth.SCRAMCredential, error) {
	if s == nil {
		return nil, nil
	}
	c := &auth.SCRAMCredential{KDF: s.KDF, Iterations: s.Iterations, Memory: s.Memory}
	var err error
	if c.Salt, err = base64.StdEncoding.DecodeString(s.Salt); err != nil {
		return nil, errors.New("scram: the salt is no base64")
	}
	for _, key := range []struct {
		to   *[32]byte
		text string
	}{{&c.StoredKey, s.StoredKey}, {&c.ServerKey, s.ServerKey}} {
		b, err := base64.StdEncoding.DecodeString(key.text)
		if err != nil || len(b) != len(key.to) {
			return nil, errors.New("scram: a key is no 32 bytes in base64")
		}
		*key.to = [32]byte(b)
	}
	return c, nil
}
