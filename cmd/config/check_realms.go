//go:build linux

package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"banyan/codec"
	"banyan/engine"
)

// A roleUse tells how the roles of a realm come to sessions.
type roleUse struct {
	names []string
	given map[string]bool
	open  bool // somebody outside this file decides
}

// realms checks each realm and template, and that no two are the same.
func (c *checker) realms() {
	if len(c.cfg.Realms)+len(c.cfg.Templates) == 0 {
		c.bad("realms", "the list is empty, and there are no templates: nobody could join",
			"remove the key for realm1")
	}
	seen := map[string]string{}
	each(c.cfg, func(path string, rm *Realm, match string) {
		c.realmURI(path+".uri", rm, match)
		if other, ok := seen[match+" "+rm.URI]; ok {
			c.bad(path+".uri", fmt.Sprintf("%s has the URI %s too%s", other, quote(rm.URI), c.line(other+".uri")),
				"remove one of them")
		}
		seen[match+" "+rm.URI] = path
		c.realm(path, rm, match)
	})
}

// realmURI refuses names that are wrong for a realm, or certainly not meant as one.
func (c *checker) realmURI(path string, rm *Realm, match string) {
	m, known := Policies[match]
	if !known {
		m = codec.Exact
	}
	switch uri := rm.URI; {
	case strings.ContainsFunc(uri, func(r rune) bool { return !unicode.IsPrint(r) }):
		c.bad(path, "a realm's name has no control characters", "")
	case codec.ReservedURI([]byte(uri)):
		c.bad(path, "names that begin with wamp. are reserved for the protocol", "choose another name")
	case !codec.ValidURI([]byte(uri), m, false):
		c.bad(path, fmt.Sprintf("%s is no name for a realm: a URI is %s", quote(uri), uriRule), "")
	case len(uri) > c.cfg.Limits.URIBytesMax:
		c.bad(path, fmt.Sprintf("the name is longer than limits.uri_bytes_max, which is %d",
			c.cfg.Limits.URIBytesMax),
			"")
	}
}

// Policies are the policies of matching, by their names.
var Policies = map[string]codec.Match{
	"exact": codec.Exact, "prefix": codec.Prefix, "wildcard": codec.Wildcard,
}

func (c *checker) realm(path string, rm *Realm, match string) {
	use := &roleUse{given: map[string]bool{}}
	for i := range rm.Roles {
		r, at := &rm.Roles[i], fmt.Sprintf("%s.roles.%d", path, i)
		if j := slices.Index(use.names, r.Name); j >= 0 {
			c.bad(at+".name", fmt.Sprintf("roles.%d has the name %s too", j, quote(r.Name)), "")
		}
		use.names = append(use.names, r.Name)
		c.permissions(at, rm, r)
		if z := r.Authorizer; z != nil && z.Procedure != "" && r.may("register", z.Procedure) {
			c.warn(at+".authorizer.procedure",
				"sessions of this role may register it themselves: then they decide what they may do",
				"add an entry for exactly this URI that does not allow register, and give another role to who "+
					"decides")
		}
	}
	c.auth(path, rm, use, match)
	c.usersOf(path, rm, use)
	for i, name := range use.names {
		if !use.given[name] && !use.open {
			c.warn(fmt.Sprintf("%s.roles.%d", path, i), fmt.Sprintf("no user and no method gives the role %s",
				quote(name)), "give it to a user, or remove it")
		}
	}
	c.retention(path+".retention", rm)
	c.history(path+".history", rm, match)
	q := &rm.Quotas
	if q.SessionsMax > 0 && q.SessionsPerAuthidMax > q.SessionsMax {
		c.bad(path+".quotas.sessions_per_authid_max", fmt.Sprintf("%d is more than sessions_max %d",
			q.SessionsPerAuthidMax, q.SessionsMax), "")
	}
	if rm.AuthidUniqueness != "allow" && q.SessionsPerAuthidMax > 1 {
		c.bad(path+".quotas.sessions_per_authid_max",
			fmt.Sprintf("%d can never be reached with authid_uniqueness: %s",
				q.SessionsPerAuthidMax, rm.AuthidUniqueness), "remove one of them")
	}
}

// gives checks a role that something at path gives to sessions.
func (c *checker) gives(path string, rm *Realm, use *roleUse, role string) {
	if use.given[role] {
		return
	}
	if slices.Contains(use.names, role) {
		use.given[role] = true
		return
	}
	hint := "add it to roles"
	if !c.r.keeps(Error) { // only counted: no need to look for what was meant
		c.bad(path, "", "")
		return
	}
	if w := closest(role, use.names); w != "" {
		use.given[w] = true // as it was meant
		hint = fmt.Sprintf("did you mean %q?", w)
	} else if len(use.names) > 0 {
		hint = "its roles are " + strings.Join(use.names[:min(len(use.names), 20)], ", ")
	}
	c.bad(path, fmt.Sprintf("%s has no role %s", rm.URI, quote(role)), hint)
}

// auth checks the methods of a realm against each other and against the listeners.
func (c *checker) auth(path string, rm *Realm, use *roleUse, match string) {
	a, at := &rm.Auth, path+".auth"
	offered := a.offered()
	if len(offered) == 0 {
		c.bad(at, "no method is on: nobody could join", "add one, such as anonymous or wamp-scram")
	}
	if a.Anonymous != nil {
		c.gives(at+".anonymous.role", rm, use, a.Anonymous.Role)
	}
	if t := a.Ticket; t != nil {
		c.ticket(at+".ticket", t)
		if t.JWT != nil {
			c.jwt(at+".ticket.jwt", rm, use, t.JWT)
		}
	}
	if a.Cookie != nil && len(offered) == 1 {
		c.bad(at+".cookie", "nobody could log in first, which binds the cookie", "add another method")
	}
	if a.Cookie != nil && !slices.ContainsFunc(c.cfg.Listeners, func(l Listener) bool {
		return l.Accepts("cookie") && (l.LongPoll != "" || slices.Contains(l.Protocols, "websocket"))
	}) {
		c.bad(at+".cookie", "no listener for WebSocket or long-poll accepts the method",
			"add cookie to its auth_methods")
	}
	if k := a.Cryptosign; k != nil {
		if k.RouterKeyFile != "" {
			c.text(at+".cryptosign.router_key_file", k.RouterKeyFile, secretBytesMax, true)
		}
		if k.RequireChannelBinding && a.SCRAM != nil {
			c.bad(at+".scram", "it knows no channel binding, which cryptosign.require_channel_binding demands",
				"remove one of them")
		}
		if k.RequireChannelBinding && !slices.ContainsFunc(c.cfg.Listeners, func(l Listener) bool {
			return l.TLS != nil && l.Accepts("cryptosign")
		}) {
			c.bad(at+".cryptosign.require_channel_binding",
				"no listener has TLS, so that no login could be bound to it",
				"add tls to a listener")
		}
	}
	if a.TLS != nil && !slices.ContainsFunc(c.cfg.Listeners, func(l Listener) bool {
		return l.TLS != nil && l.TLS.ClientCA != "" && l.Accepts("tls")
	}) {
		c.bad(at+".tls", "no listener asks for client certificates", "add client_ca to tls of a listener")
	}
	if d := a.Dynamic; d != nil {
		use.open = true
		c.asked(at+".dynamic.methods", d.Methods, offered)
		if d.Realm != "" && !slices.ContainsFunc(c.cfg.Realms, func(r Realm) bool { return r.URI == d.Realm }) {
			hint := ""
			if c.r.keeps(Error) {
				hint = didYouMean(d.Realm, realmURIs(c.cfg))
			}
			c.bad(at+".dynamic.realm", "there is no realm "+quote(d.Realm)+hint, "")
		}
		c.stolen(at+".dynamic.procedure", rm, d)
		if (d.Realm == "" || d.Realm == rm.URI) && match == "" && len(rm.Users) == 0 && a.Anonymous == nil {
			c.warn(at+".dynamic.procedure", "nobody can log in to register it: this realm has no users",
				"add a user "+
					"who does, or say in realm where it is registered")
		}
	}
	if h := a.HTTP; h != nil {
		use.open = true
		c.asked(at+".http.methods", h.Methods, offered)
		c.url(at+".http.url", h.URL)
		if h.SecretFile != "" {
			c.text(at+".http.secret_file", h.SecretFile, secretBytesMax, true)
		}
	}
	if a.Dynamic != nil && a.HTTP != nil {
		c.bad(at+".http", "dynamic decides about logins as well", "leave it to one of them")
	}
}

// stolen warns if strangers may register the procedure that decides about logins: it is told the tickets of others.
func (c *checker) stolen(at string, rm *Realm, d *Dynamic) {
	if d.Realm != "" {
		i := slices.IndexFunc(c.cfg.Realms, func(r Realm) bool { return r.URI == d.Realm })
		if i < 0 {
			return // reported already
		}
		rm = &c.cfg.Realms[i]
	}
	a := rm.Auth.Anonymous
	if a == nil || !slices.ContainsFunc(a.From, func(f string) bool { return f != "local" }) &&
		!slices.ContainsFunc(c.cfg.Listeners, func(l Listener) bool { return l.Anonymous == "anywhere" }) {
		return
	}
	for i := range rm.Roles {
		if r := &rm.Roles[i]; r.Name == a.Role && r.may("register", d.Procedure) {
			c.warn(at, "clients without authentication, which have the role "+quote(a.Role)+" of "+quote(rm.URI)+
				", may register it: then they are told the secrets of others and let in whom they like",
				"let only the role of a user register it")
		}
	}
}

// decidedBy is who decides about all logins by a method: dynamic, http, or empty for the file.
func (a *Auth) decidedBy(method string) string {
	switch {
	case a.Dynamic != nil && slices.Contains(a.Dynamic.Methods, method):
		return "dynamic"
	case a.HTTP != nil && slices.Contains(a.HTTP.Methods, method):
		return "http"
	}
	return ""
}

func realmURIs(cfg *Config) []string {
	all := make([]string, len(cfg.Realms))
	for i := range cfg.Realms {
		all[i] = cfg.Realms[i].URI
	}
	return all
}

// asked refuses methods that somebody decides about and that the realm does not offer.
func (c *checker) asked(path string, methods, offered []string) {
	for i, m := range methods {
		if !slices.Contains(offered, m) {
			c.bad(fmt.Sprintf("%s.%d", path, i), "the realm does not offer "+m, "add "+m+": to auth")
		}
	}
}

// ticket warns of tickets in clear text, and refuses a method that no listener would let through.
func (c *checker) ticket(path string, t *Ticket) {
	usable := false
	for i := range c.cfg.Listeners {
		l := &c.cfg.Listeners[i]
		where, ok := target(l.Address)
		if !ok || !l.Accepts("ticket") {
			continue
		}
		afar := l.plain() && !where.local()
		usable = usable || !afar || l.TLS != nil || t.AllowPlain
		if afar && t.AllowPlain {
			c.warn(path+".allow_plain", fmt.Sprintf("tickets go through the network in clear text at "+
				"listeners.%d, %s", i, l.Address), "use tls there, without plain: allow")
		}
	}
	if !usable && len(c.cfg.Listeners) > 0 {
		c.bad(path, "no listener lets tickets through: none is encrypted, or local, and accepts the method",
			"add tls to a listener")
	}
}

func (c *checker) jwt(path string, rm *Realm, use *roleUse, j *JWT) {
	if by := rm.Auth.decidedBy("ticket"); by != "" {
		c.bad(path, "auth."+by+" decides about all tickets", "remove one of them")
	}
	switch {
	case j.KeysURL == "" && j.KeysFile == "":
		c.bad(path, "there is no key set", "add keys_url or keys_file")
	case j.KeysURL != "" && j.KeysFile != "":
		c.bad(path+".keys_file", "there is keys_url as well", "remove one of them")
	case j.KeysFile != "":
		c.text(path+".keys_file", j.KeysFile, certBytesMax, false)
	default:
		c.url(path+".keys_url", j.KeysURL)
	}
	if named := j.names(rm.Users); named != "" {
		c.warn(path+".authid_prefix", fmt.Sprintf("the authid of the user %s begins with it too, so a token may "+
			"name that user", quote(named)), "choose a prefix that no user has")
	}
	if j.Role != "" {
		c.gives(path+".role", rm, use, j.Role)
	}
	if j.RoleClaim != "" {
		use.open = true
	} else if j.Role == "" {
		c.bad(path, "nothing says which role a token gives", "add role_claim or role")
	}
}

// names is the first user whom a token may name although there is a prefix; empty if there is none.
func (j *JWT) names(users map[string]User) (first string) {
	for name := range users {
		if j.AuthidPrefix != "" && strings.HasPrefix(name, j.AuthidPrefix) && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// url warns of secrets that go through the network in clear text.
func (c *checker) url(path, t string) {
	u, err := url.Parse(t)
	if err != nil || u.Scheme != "http" {
		return
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() == "localhost" || err == nil && ip.IsLoopback() {
		return
	}
	c.warn(path, "this goes through the network in clear text, and nobody proves who answers", "use https://")
}

// methods refuses listeners whose methods no realm offers.
func (c *checker) methods() {
	for i := range c.cfg.Listeners {
		l := &c.cfg.Listeners[i]
		for j, m := range l.AuthMethods {
			if !c.offers(m) {
				c.bad(fmt.Sprintf("listeners.%d.auth_methods.%d", i, j), "no realm offers "+m, "add "+m+
					": to auth of a realm, or remove it here")
			}
		}
		if c.has(fmt.Sprintf("listeners.%d.anonymous", i)) && l.Anonymous != "none" && l.Anonymous != "realm" &&
			!(l.Accepts("anonymous") && c.offers("anonymous")) {
			c.bad(fmt.Sprintf("listeners.%d.anonymous", i),
				"no realm lets anonymous clients in through this listener",
				"add anonymous: to auth of a realm, or remove it here")
		}
	}
}

// usersOf checks the users of a realm.
func (c *checker) usersOf(path string, rm *Realm, use *roleUse) {
	keys := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(rm.Users)) {
		u := rm.Users[name]
		c.user(path+".users."+name, rm, use, name, &u)
		for _, k := range u.Cryptosign {
			k = "the key " + strings.ToLower(k)
			c.once(path, name, k, keys)
		}
		for _, k := range u.TLS {
			c.once(path, name, "the certificate "+strings.ToLower(strings.ReplaceAll(k, ":", "")), keys)
		}
	}
	if len(rm.Users) > 0 {
		return
	}
	open := rm.Auth.Dynamic != nil || rm.Auth.HTTP != nil
	for _, m := range rm.Auth.offered() {
		switch {
		case m == "anonymous", m == "cookie", open, m == "ticket" && rm.Auth.Ticket.JWT != nil:
		default:
			c.warn(path+".auth."+m, "nobody can use this method: the realm has no users", "add users, with "+
				"banyan passwd or banyan keygen, or remove the method")
		}
	}
}

// once refuses a key that two users have: it would not say who it is.
func (c *checker) once(path, name, key string, keys map[string]string) {
	if other, ok := keys[key]; ok && other != name {
		c.bad(path+".users."+name, quote(other)+" has "+key[:min(len(key), 24)]+"… too", "each needs its own")
	}
	keys[key] = name
}

// hashes warns if the tickets that are hashed at a time may need more memory than the budget has, which does not
// count it. It names the most expensive one. A budget that follows from the memory is not known here.
func (c *checker) hashes() {
	var at string
	var most Bytes
	each(c.cfg, func(path string, rm *Realm, _ string) {
		for name, u := range rm.Users {
			if u.Ticket == nil {
				continue
			}
			m := argonMemory(u.Ticket.Argon2id)
			if place := path + ".users." + name + ".ticket.argon2id"; m > most || m == most && m > 0 && place < at {
				at, most = place, m
			}
		}
	})
	cpus := c.CPUs
	if cpus == 0 {
		cpus = runtime.NumCPU()
	}
	n := engine.PoolWorkers(cpus)
	if all := Bytes(n) * most; c.cfg.Budget.Bytes > 0 && all > c.cfg.Budget.Bytes {
		c.warn(at, fmt.Sprintf("to hash this ticket takes %s, and with %d CPUs %s at a time: %s, which is more than "+
			"budget.bytes %s and not in it", most, cpus, number(n, "login"), all, c.cfg.Budget.Bytes),
			"hash with less memory, as banyan hash-ticket and passwd do, or make budget.bytes larger if the machine "+
				"has that memory")
	}
}

// argonMemory is what an Argon2id hash takes; 0 for a text that is none.
func argonMemory(hash string) Bytes {
	_, rest, _ := strings.Cut(hash, "$m=")
	digits, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.ParseInt(digits, 10, 32)
	return Bytes(n) << 10
}

func (c *checker) user(path string, rm *Realm, use *roleUse, name string, u *User) {
	if u.Role != "" {
		c.gives(path+".role", rm, use, u.Role)
	}
	a := &rm.Auth
	has := false
	cred := func(there, offered bool, key, method string) {
		if !there {
			return
		}
		has = true
		if !offered {
			c.warn(path+"."+key, "the realm does not offer "+method, "add "+method+": to its auth")
		}
		if by := a.decidedBy(method); by != "" {
			c.bad(path+"."+key, "it is of no use: auth."+by+" decides about all logins by "+method,
				"remove it, or the method from auth."+by)
		}
	}
	cred(u.Ticket != nil, a.Ticket != nil, "ticket", "ticket")
	cred(u.WAMPCRA != nil, a.WAMPCRA != nil, "wampcra", "wampcra")
	cred(u.SCRAM != nil, a.WAMPSCRAM != nil, "scram", "wamp-scram")
	cred(u.Crossbar != nil, a.SCRAM != nil, "crossbar", "scram")
	cred(len(u.Cryptosign) > 0, a.Cryptosign != nil, "cryptosign", "cryptosign")
	cred(len(u.TLS) > 0, a.TLS != nil, "tls", "tls")
	if !has {
		c.warn(path, "this user has nothing to log in with", "add something, with banyan passwd or banyan keygen")
	}
	if len(name) > 1024 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		c.bad(path, "an authid has at most 1024 bytes and no control characters", "")
	}
	if t := u.Ticket; t != nil {
		c.exactlyOne(path+".ticket", []string{"sha256", "argon2id", "file"}, t.SHA256, t.Argon2id, t.File)
		if t.File != "" {
			c.secret(path+".ticket.file", t.File)
		}
	}
	if k := u.WAMPCRA; k != nil {
		c.cra(path+".wampcra", k)
	}
	if s := u.SCRAM; s != nil {
		c.scram(path+".scram", s)
	}
	if s := u.Crossbar; s != nil {
		c.scram(path+".crossbar", s)
	}
}

// secret checks a file with one secret.
func (c *checker) secret(path, file string) {
	if text := c.text(path, file, secretBytesMax, true); text != nil && strings.TrimSpace(string(text)) == "" {
		c.bad(path, file+" is empty", "")
	}
}

func (c *checker) exactlyOne(path string, keys []string, values ...string) {
	n := 0
	for _, v := range values {
		if v != "" {
			n++
		}
	}
	switch {
	case n == 0:
		c.bad(path, "one of "+strings.Join(keys, ", ")+" is missing", "")
	case n > 1:
		c.bad(path, "only one of "+strings.Join(keys, ", ")+" is possible", "remove the others")
	}
}

func (c *checker) cra(path string, k *UserCRA) {
	c.exactlyOne(path, []string{"secret_file", "key"}, k.SecretFile, k.Key)
	switch {
	case k.SecretFile != "":
		c.secret(path+".secret_file", k.SecretFile)
		if k.Salt != "" {
			c.bad(path+".salt", "a salt is for key, not for secret_file", "remove one of them")
		}
	case k.Key != "" && k.Salt == "":
		c.bad(path, "the salt of the key is missing", "banyan passwd --cra writes both")
	case k.Key != "" && k.Iterations < 100_000:
		c.warn(path, fmt.Sprintf("%d iterations are few: who gets the key can guess the password", k.Iterations),
			"banyan passwd --cra writes 600000")
	}
}

func (c *checker) scram(path string, s *UserSCRAM) {
	if s.KDF == "pbkdf2" && s.Memory != 0 {
		c.bad(path+".memory", "pbkdf2 has no memory", "remove it")
	}
	switch {
	case s.KDF == "pbkdf2" && s.Iterations < 4096:
		c.bad(path+".iterations", fmt.Sprintf("%d iterations are too few; RFC 7677 wants at least 4096",
			s.Iterations),
			"banyan passwd writes a better one")
	case s.KDF == "argon2id13" && s.Memory == 0:
		c.bad(path, "the memory of argon2id13 is missing", "banyan passwd writes it")
	case s.KDF == "argon2id13" && s.Memory < 8<<10:
		c.warn(path+".memory", fmt.Sprintf("%d KiB is little: who gets the file can guess the password", s.Memory),
			"banyan passwd writes 65536")
	}
}
