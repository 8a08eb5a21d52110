package realm

import (
	"fmt"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
	"banyan/realm/policy"
)

// The part of the simulation that has logins, permissions and reloads. Half of the seeds have it:
//
//   - Clients are anonymous guests, who may do everything, or users with a ticket and one of few authids, of which a
//     newer session replaces the older one. Some bring a wrong ticket. One user's ticket is hashed, in the pool.
//   - What users do an authorizer decides, a local session that answers when the seed says so. It denies what
//     concerns exactly the URI b. Some of its answers are kept for a short time.
//   - In the middle the configuration is replaced: users come and go, and permissions decide more or less of what the
//     authorizer would decide alike.
type simRules struct {
	s         *sim
	conn      *localConn
	questions [][]any // invocations that are not answered
	users     int     // of the configuration in force
	most      int     // that there ever were; fewer later: some have been taken away
	reloads   int     // that are not done
	stored    []auth.StoredTicket
	levels    map[string]int64 // trust levels of the roles; -1: none
}

const (
	simLong   = time.Hour
	simShort  = 40 * time.Millisecond
	simUsers  = 3
	simTicket = "the ticket of the simulation"
	simDenied = "b"
)

func newSimRules(s *sim) *simRules {
	r := &simRules{s: s, users: simUsers, most: simUsers}
	plain, err := auth.PlainTicket(simTicket)
	if err != nil {
		s.t.Fatal(err)
	}
	hash, err := auth.HashPassword(simTicket, 1, 8)
	if err != nil {
		s.t.Fatal(err)
	}
	hashed, err := auth.ParseTicket(hash)
	if err != nil {
		s.t.Fatal(err)
	}
	r.stored = []auth.StoredTicket{plain, hashed, plain}
	r.levels = map[string]int64{}
	for i, role := range []string{"user", "guest", simOther} {
		if r.levels[role] = -1; s.w.Rand(2) == 0 {
			r.levels[role] = int64(10*i + s.w.Rand(3))
		}
	}
	return r
}

func simName(i int) string { return fmt.Sprint("user", i) }

// config returns a configuration of the realm, at random.
func (r *simRules) config() Config {
	t := r.s.t
	rand := r.s.w.Rand
	ac := auth.Config{
		Realm: "realm1", Ticket: &auth.TicketOptions{}, AuthIDPolicy: auth.ReplaceDuplicates,
		Anonymous: &auth.AnonymousOptions{Role: "guest", From: auth.Source{Local: true}},
		MockKey:   make([]byte, 32),
	}
	for i := range r.users {
		ac.Users = append(ac.Users, auth.User{AuthID: simName(i), Role: "user", Tickets: r.stored[i : i+1]})
	}
	realm, err := auth.NewRealm(&ac)
	if err != nil {
		t.Fatal(err)
	}
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	user := policy.RoleDefinition{Name: "user", Dynamic: true, Cache: rand(2) == 0}
	if r.levels["user"] >= 0 {
		user.Permissions = append(user.Permissions, r.permission("user", "*", nil))
		user.Permissions[0].Cache = user.Cache
	}
	if rand(2) == 0 {
		user.Permissions = append(user.Permissions, r.permission("user", "a*", all))
	}
	every := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true, ForceReregister: true}
	snapshot, problems := policy.Compile([]policy.RoleDefinition{
		user, {Name: "guest", Permissions: []policy.Permission{
			r.permission("guest", "*", every), r.permission("guest", "wamp.*", every),
		}}, {Name: simOther, Permissions: []policy.Permission{
			r.permission(simOther, "*", every), r.permission(simOther, "wamp.*", every),
			r.permission(simOther, simDenied, &policy.Actions{Call: true, Publish: true}),
		}},
	}, false)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return Config{
		Realms: []RealmConfig{{
			URI: "realm1", Auth: realm, Policy: snapshot, ModifyDetails: true, Authorizers: map[string]Authorizer{
				"user": {Procedure: "authorize", Timeout: simLong, Cache: true, CacheTime: simShort},
			},
		}},
		AuthTimeout: simLong, HelloTimeout: simLong,
		AuthFailures: auth.LimiterConfig{AddressPerMinute: -1, AuthIDPerMinute: -1},
	}
}

// permission is one of a role, with its trust level.
func (r *simRules) permission(role, uri string, allow *policy.Actions) policy.Permission {
	level := r.levels[role]
	return policy.Permission{URI: uri, Allow: allow, Trusted: level >= 0, TrustLevel: int(max(level, 0))}
}

// open joins the authorizer.
func (r *simRules) open() {
	home := r.s.w.Rand(len(r.s.w.Loops))
	r.s.w.Submit(home, func(x port.Executor) {
		var err error
		r.conn, err = r.s.router.openLocal(x, "realm1", codec.Identity{AuthRole: trustedRole}, r.hear,
			func(port.Executor) {})
		if err != nil {
			r.s.t.Fatal(err)
		}
		r.conn.send(x, r.encode(codec.Register, 1, values{}, "authorize"))
	})
	r.s.settle()
}

func (r *simRules) encode(typ codec.Type, elements ...any) []byte {
	return encodeMessage(r.s.t, codec.MessagePack, typ, elements)
}

func (r *simRules) hear(_ port.Executor, b []byte) {
	v, err := codec.Value(codec.MessagePack, b)
	if err != nil {
		r.s.t.Fatal(err)
	}
	if m := v.([]any); m[0] == int64(codec.Invocation) {
		r.questions = append(r.questions, m)
	}
}

// answer answers a question, and reports whether there was one.
func (r *simRules) answer() bool {
	if r == nil || len(r.questions) == 0 {
		return false
	}
	i := r.s.w.Rand(len(r.questions))
	m := r.questions[i]
	r.questions = append(r.questions[:i:i], r.questions[i+1:]...)
	args := m[4].([]any)
	match, patterned := args[3].(values)["match"]
	denied := args[1] == simDenied && (!patterned || match == "exact")
	if who := args[0].(values); who["authrole"] != "user" || who["authmethod"] != "ticket" {
		r.s.fail("the authorizer is asked about %v", who)
	}
	result := any(!denied)
	if r.s.w.Rand(2) == 0 {
		result = values{"allow": !denied, "cache": r.s.w.Rand(2) == 0}
	}
	r.s.w.Submit(r.conn.home, func(x port.Executor) {
		if !r.conn.over {
			r.conn.send(x, r.encode(codec.Yield, int(m[1].(int64)), values{}, []any{result}))
		}
	})
	return true
}

// reload replaces the configuration.
func (r *simRules) reload() {
	r.users = 1 + r.s.w.Rand(simUsers)
	r.most = min(r.most, r.users)
	r.reloads++
	if err := r.s.router.apply(r.s.config(), func(Report) { r.reloads-- }); err != nil {
		r.s.fail("%v", err)
	}
}

// hello makes c a user, perhaps, and adds to the details of its HELLO.
func (r *simRules) hello(c *simClient, details map[string]any) {
	if r == nil || r.s.w.Rand(5) > 1 {
		return
	}
	c.authid, c.wrong = simName(r.s.w.Rand(simUsers)), r.s.w.Rand(8) == 0
	details["authid"], details["authmethods"] = c.authid, []any{"ticket", "anonymous"}
}

// authenticate answers CHALLENGE.
func (c *simClient) authenticate() {
	ticket := simTicket
	if c.wrong {
		ticket = "a wrong one"
	}
	c.send(&codec.Message{Type: codec.Authenticate, URI: []byte(ticket), Dict: c.value(values{})})
}

// turnedAway reports whether c may be refused with that error while it joins.
func (c *simClient) turnedAway(uri string) bool {
	r := c.sim.rules
	if r == nil || c.authid == "" {
		return false
	}
	gone := c.authid >= simName(r.most) // was taken away at some time
	switch uri {
	case codec.ErrAuthenticationDenied:
		return c.wrong || gone
	case codec.ErrAuthenticationFailed:
		return gone || c.sim.w.AsyncMax > 0 // the configuration changed meanwhile, or the pool had no room
	}
	return false
}

// mayBeKilled reports whether the router may end the session of c of its own accord.
func (c *simClient) mayBeKilled() bool { return c.authid != "" }

// denied reports whether the authorizer denies c what concerns a URI.
func (c *simClient) denied(uri string) bool { return c.authid != "" && uri == simDenied }

// check looks for authids with two sessions, and for what has no end.
func (r *simRules) check() {
	if r == nil {
		return
	}
	holders := map[string]int{}
	for _, c := range r.s.clients {
		if c.state == simJoined && c.authid != "" {
			if holders[c.authid]++; holders[c.authid] > 1 {
				r.s.fail("%s has %d sessions", c.authid, holders[c.authid])
			}
			if c.authid >= simName(r.users) {
				r.s.fail("client %d is %s, who is no user any more", c.number, c.authid)
			}
		}
	}
	if r.reloads != 0 {
		r.s.fail("%d changes of the configuration have no end", r.reloads)
	}
	a := r.s.router.named["realm1"].authIDs.Load()
	for i := range a.shards {
		for authid, held := range a.shards[i].holders {
			if len(held) != 1 {
				r.s.fail("%q is held by %d sessions", authid, len(held))
			}
		}
	}
}
