package realm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"banyan/codec"
	"banyan/engine/port"
	"banyan/realm/auth"
	"banyan/realm/history"
	"banyan/realm/index"
	"banyan/realm/policy"
)

// Config is the router's configuration. Zero values mean the defaults; New and Apply check it. DepthMax, Loops and
// Log are fixed by New, everything else is live.
type Config struct {
	Realms []RealmConfig // with different URIs; at least one, unless there are Templates
	// Templates make realms that somebody joins first. The first one that matches the URI makes it.
	Templates      []Template
	RealmsMax      int           // realms that Templates may reach, configured ones included; default 10 000
	Agent          string        // WELCOME.Details.agent; default "Banyan"
	HelloTimeout   time.Duration // to HELLO, from the connection or the end of its last session; default 10 s
	AuthTimeout    time.Duration // from CHALLENGE to AUTHENTICATE, and from there to room in the pool; default 10 s
	GoodbyeTimeout time.Duration // from our GOODBYE to the peer's; default 5 s
	// AuthFailures bounds how often strangers may try, in realms with Auth. A change forgets what was counted.
	AuthFailures auth.LimiterConfig
	Listeners    []Listener // by port.Peer.Listener; those that are missing leave all to the realm

	// A request beyond these is answered with ERROR option_not_allowed, unless a line says otherwise.

	SubscriptionsMax int // per session, patterns included; default 100 000
	PatternsMax      int // prefix and wildcard subscriptions per session; default 10 000
	RegistrationsMax int // per session; default 100 000
	CalleesMax       int // sessions in one shared registration; default 10 000
	CallsMax         int // open per caller, and per callee: network_failure for the latter; default 100 000
	FilterEntriesMax int // in all black and white lists of one PUBLISH; default 8 192, at most 65 536
	URIBytesMax      int // topics, procedures and realms, octets; default 1024; longer: invalid_uri

	// HistoryBytesMax is what the histories in memory of all realms may hold together, in octets; default 256 MiB.
	// The oldest events go. They count in the budget of the process, and have a part of it: see keptmemory.go.
	HistoryBytesMax int64
	// Disk keeps the histories that are OnDisk; nil: there are none. Whoever made it closes it, after the loops.
	Disk history.Store

	// DeflateBytesMin is the shortest event, in octets, that is compressed for those who negotiated it; default 256.
	DeflateBytesMin int

	DepthMax int          // nesting of a message, its own list included; default 64, at most 512; more: ABORT
	Loops    int          // number of executors that will call Open, 1 to 64; default 1
	Log      *slog.Logger // default: nothing is logged
}

// RealmConfig is one realm.
type RealmConfig struct {
	URI              string // non-empty components, loose check (PROTOCOL 3.1); of a Template the pattern
	StrictURIs       bool   // topics and procedures must keep to [0-9a-z_] (PROTOCOL 3.1)
	StrictRequestIDs bool   // request ids must be sequential from 1, or the session is aborted (PROTOCOL 2)
	EnforceRoles     bool   // a request of a role that HELLO did not announce aborts the session (PROTOCOL 1.4)
	ForbidDisclosure bool   // disclose_me and disclose_caller are refused (PROTOCOL 7.5, 8.9)
	// TimeoutSeconds says that clients send the timeout of a call in seconds, as Autobahn for Python does, instead of
	// milliseconds (PROTOCOL 8.7).
	TimeoutSeconds bool
	ModifyDetails  bool // wamp.session.modify_details can be called (PROTOCOL 9.1)
	Sharding       bool // nkey and rkey choose one receiver of several (PROTOCOL 7.13, 8.13)
	LaxPassthru    bool // nobody needs to have announced payload_passthru_mode to use it (PROTOCOL 12.1)

	// Auth decides who joins, and with which role (PROTOCOL 10). Nil: everybody is anonymous, with the role
	// "anonymous". It may be shared by the realms of a Template.
	Auth *auth.Realm
	// Anonymous says from where anonymous peers may come if Auth is nil; default AnonymousLocal.
	Anonymous Anonymous
	// Authenticator answers what dynamic methods of Auth ask: an HTTP hook, a Go function. Nil: they name a
	// procedure, which the router calls.
	Authenticator Authenticator

	// Policy decides what each role may do (PROTOCOL 11). Nil: everybody may do everything. A principal whose role it
	// does not have cannot join: no_such_role.
	Policy *policy.Snapshot
	// Authorizers are asked where the permissions of a Dynamic role of Policy decide nothing, by role. A Dynamic role
	// without one is refused with authorization_failed.
	Authorizers map[string]Authorizer

	Quotas Quotas

	Retention Retention
	History   []History // with different URI and Match; at most 256. In a Template in memory

	// Backlog bounds what sessions may have unsent; nil is what the engine has for all. RoleBacklogs are those of
	// roles, which have others.
	Backlog      *port.Backlog
	RoleBacklogs map[string]*port.Backlog
}

// A Template makes realms on demand: those whose URI matches that of its RealmConfig.
type Template struct {
	Match codec.Match // codec.Prefix or codec.Wildcard; the prefix "" matches every realm
	RealmConfig
}

// A Listener says who may come through one address that the engine listens on.
type Listener struct {
	Name        string    // what authenticators are told; default: its index
	Anonymous   Anonymous // overrides RealmConfig.Anonymous, and from where Auth admits anonymous peers
	AuthMethods []string  // the methods that may be used here, "anonymous" among them; empty: all of the realm's
}

// An Authenticator decides about logins. It is called on a goroutine of its own and may block until the deadline of
// ctx, which is the timeout of q. returned is a role, or a dictionary, in the types of codec.Value or encoding/json
// (PROTOCOL 10.8). An *auth.AuthenticatorError denies; any other error says that it cannot decide:
// authentication_failed.
type Authenticator func(ctx context.Context, q *auth.Request) (returned any, err error)

// An Authorizer is a procedure that decides for a role (PROTOCOL 11). It is registered in the same realm, by a
// session that needs no authorizer for that.
type Authorizer struct {
	Procedure string
	Timeout   time.Duration // default 2 s; then: authorization_failed
	Cache     bool          // answers may be kept: those that say so, and where the permissions say so
	CacheTime time.Duration // for how long; default 30 s
}

// Quotas bound what all sessions of a realm have together, local sessions of the router's own process excepted. 0
// means no limit. A request beyond is answered with ERROR option_not_allowed, a HELLO with ABORT
// option_not_allowed. What is there when a quota is lowered stays.
type Quotas struct {
	SessionsMax          int
	SessionsPerAuthIDMax int
	SubscriptionsMax     int
	RegistrationsMax     int
	CallsMax             int // open calls; those that were open when the quota was set do not count
}

// A Pattern is a topic, or what topics match.
type Pattern struct {
	URI   string
	Match codec.Match
}

// Retention says what a realm retains: the last event of a topic that was published with retain, for those who
// subscribe later and ask for it (PROTOCOL 7.9). What it does not allow is refused with option_not_allowed if the
// publisher wants an answer, and else delivered and not retained. If Apply lowers a bound, those retained longest ago
// go, and what it does not allow any more.
type Retention struct {
	Disabled  bool
	Topics    []Pattern // those that may be retained, at most 1000; empty: all
	EventsMax int       // of all topics; default 10 000. More: refused
	BytesMax  int64     // of these; default 64 MiB. They also count in the budget of the process. More: refused
	FoundMax  int       // that one SUBSCRIBE with a pattern is sent, the oldest first; default 1000
}

// A History is a topic, or a pattern of topics, whose events are kept for wamp.subscription.get_events (PROTOCOL
// 7.8).
type History struct {
	Pattern
	history.Bounds      // beyond any of them the oldest go
	OnDisk         bool // in Config.Disk, where it outlives the process; else in memory
	// AcknowledgeStored, with OnDisk, has a publisher that wants it acknowledged wait until the disk has the event:
	// it is told ERROR unavailable if that fails. The event goes to its subscribers without waiting.
	AcknowledgeStored bool
}

// Anonymous says from where anonymous peers may come (PROTOCOL 10.1).
type Anonymous uint8

const (
	// AnonymousByRealm leaves it to the realm; in a RealmConfig it is AnonymousLocal.
	AnonymousByRealm Anonymous = iota
	// AnonymousLocal admits who comes over loopback or a Unix socket, and was not forwarded by a proxy.
	AnonymousLocal
	// AnonymousAnywhere admits everybody.
	AnonymousAnywhere
	// AnonymousNone admits no anonymous peer.
	AnonymousNone
)

// settings are what a realm goes by. Immutable after publish: a change makes new ones.
type settings struct {
	RealmConfig
	limits *Config
	epoch  uint64 // counts the changes of the realm's settings; see permit
	// answers keeps what the authorizers said under these settings; nil without authorizers.
	answers *policy.Cache
	// retainable finds the patterns of Retention.Topics; nil for all topics.
	retainable *index.Index[Pattern]

	welcomes [codec.CBOR + 1]atomic.Pointer[codec.WelcomeForm] // by serializer, made when first needed; any goroutine
}

// backlogOf is the backlog for sessions of a role.
func (set *settings) backlogOf(role string) *port.Backlog {
	if b := set.RoleBacklogs[role]; b != nil {
		return b
	}
	return set.Backlog
}

func newSettings(cfg *Config, rc RealmConfig, epoch uint64) *settings {
	set := &settings{RealmConfig: rc, limits: cfg, epoch: epoch}
	if len(rc.Authorizers) > 0 {
		set.answers = policy.NewCache(0)
	}
	if topics := rc.Retention.Topics; len(topics) > 0 {
		set.retainable = new(index.Index[Pattern])
		for i := range topics {
			set.retainable.Put(topics[i].URI, topics[i].Match, &topics[i])
		}
	}
	return set
}

func (cfg *Config) check() error {
	setDefault(&cfg.RealmsMax, defaultRealmsMax)
	setDefault(&cfg.Agent, "Banyan")
	setDefault(&cfg.HelloTimeout, defaultHelloTimeout)
	setDefault(&cfg.AuthTimeout, defaultAuthTimeout)
	setDefault(&cfg.GoodbyeTimeout, defaultGoodbyeTimeout)
	setDefault(&cfg.Loops, 1)
	setDefault(&cfg.SubscriptionsMax, defaultSubscriptionsMax)
	setDefault(&cfg.PatternsMax, defaultPatternsMax)
	setDefault(&cfg.RegistrationsMax, defaultRegistrationsMax)
	setDefault(&cfg.CalleesMax, defaultCalleesMax)
	setDefault(&cfg.CallsMax, defaultCallsMax)
	setDefault(&cfg.FilterEntriesMax, defaultFilterEntriesMax)
	setDefault(&cfg.URIBytesMax, defaultURIBytesMax)
	setDefault(&cfg.DeflateBytesMin, defaultDeflateBytesMin)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(cfg.Realms)+len(cfg.Templates) == 0:
		return errors.New("realm: configure at least one realm or template")
	case cfg.Loops < 1 || cfg.Loops > 64:
		return fmt.Errorf("realm: %d loops: must be 1 to 64", cfg.Loops)
	case cfg.FilterEntriesMax > codec.ListEntriesMax:
		return fmt.Errorf("realm: %d filter entries: at most %d are possible",
			cfg.FilterEntriesMax, codec.ListEntriesMax)
	case cfg.DepthMax < 0 || cfg.DepthMax > codec.DepthMaxMost:
		return fmt.Errorf("realm: depth of %d: at most %d is possible", cfg.DepthMax, codec.DepthMaxMost)
	case cfg.HistoryBytesMax < 0:
		return errors.New("realm: the octets of histories are negative")
	case cfg.HelloTimeout < 0 || cfg.AuthTimeout < 0 || cfg.GoodbyeTimeout < 0:
		return errors.New("realm: a timeout is negative")
	case min(cfg.RealmsMax, cfg.SubscriptionsMax, cfg.PatternsMax, cfg.RegistrationsMax, cfg.CalleesMax, cfg.CallsMax,
		cfg.FilterEntriesMax, cfg.URIBytesMax, cfg.DeflateBytesMin) < 0:
		return errors.New("realm: a limit is negative")
	}
	for i := range cfg.Listeners {
		if cfg.Listeners[i].Anonymous > AnonymousNone {
			return fmt.Errorf("realm: listener %d: unknown rule for anonymous peers: %d", i,
				cfg.Listeners[i].Anonymous)
		}
	}
	type key struct {
		match codec.Match
		uri   string
	}
	seen := map[key]bool{}
	check := func(rc *RealmConfig, match codec.Match) error {
		if err := cfg.checkRealm(rc, match); err != nil {
			return err
		}
		if seen[key{match, rc.URI}] {
			return fmt.Errorf("realm: %q is configured twice", rc.URI)
		}
		seen[key{match, rc.URI}] = true
		return nil
	}
	for i := range cfg.Realms {
		if err := check(&cfg.Realms[i], codec.Exact); err != nil {
			return err
		}
	}
	for i := range cfg.Templates {
		t := &cfg.Templates[i]
		if t.Match != codec.Prefix && t.Match != codec.Wildcard {
			return fmt.Errorf("realm: template %q: match must be prefix or wildcard", t.URI)
		}
		if err := check(&t.RealmConfig, t.Match); err != nil {
			return err
		}
	}
	return nil
}

// clone returns cfg with lists of its own, which check fills in.
func (cfg Config) clone() Config {
	cfg.Realms, cfg.Templates = slices.Clone(cfg.Realms), slices.Clone(cfg.Templates)
	cfg.Listeners = slices.Clone(cfg.Listeners)
	return cfg
}

// checkRealm checks one realm, or template with that match, and fills in its defaults.
func (cfg *Config) checkRealm(rc *RealmConfig, match codec.Match) error {
	if len(rc.URI) > cfg.URIBytesMax || !codec.ValidURI([]byte(rc.URI), match, false) {
		return fmt.Errorf("realm: %q is not a valid realm URI", rc.URI)
	}
	backlogs := slices.Collect(maps.Values(rc.RoleBacklogs))
	for _, b := range append(backlogs, rc.Backlog) {
		if b == nil {
			continue
		}
		if err := b.Check(); err != nil {
			return fmt.Errorf("realm %q: %w", rc.URI, err)
		}
	}
	if rc.Anonymous > AnonymousNone {
		return fmt.Errorf("realm: %q: unknown rule for anonymous peers: %d", rc.URI, rc.Anonymous)
	}
	q := &rc.Quotas
	if min(q.SessionsMax, q.SessionsPerAuthIDMax, q.SubscriptionsMax, q.RegistrationsMax, q.CallsMax) < 0 {
		return fmt.Errorf("realm: %q: a quota is negative", rc.URI)
	}
	setDefault(&rc.Anonymous, AnonymousLocal)
	if err := rc.Retention.check(); err != nil {
		return fmt.Errorf("realm: %q: %w", rc.URI, err)
	}
	if err := cfg.checkHistory(rc, match); err != nil {
		return fmt.Errorf("realm: %q: %w", rc.URI, err)
	}
	return rc.checkAuthorizers()
}

// checkHistory checks what the history of a realm, or template, is kept of.
func (cfg *Config) checkHistory(rc *RealmConfig, match codec.Match) error {
	if len(rc.History) > historiesMax {
		return fmt.Errorf("%d topics with history: at most %d are possible", len(rc.History), historiesMax)
	}
	seen := map[Pattern]bool{}
	for _, h := range rc.History {
		switch {
		case h.Match > codec.Wildcard || len(h.URI) > cfg.URIBytesMax ||
			!codec.ValidURI([]byte(h.URI), h.Match, false) || codec.ReservedURI([]byte(h.URI)):
			return fmt.Errorf("%q is no topic or pattern to keep the history of", h.URI)
		case seen[h.Pattern]:
			return fmt.Errorf("the history of %q is kept twice", h.URI)
		case h.Events < 0 || h.Bytes < 0 || h.Age < 0:
			return fmt.Errorf("the history of %q: a bound is negative", h.URI)
		case h.OnDisk && cfg.Disk == nil:
			return fmt.Errorf("the history of %q is to be on a disk that is not there", h.URI)
		case h.OnDisk && match != codec.Exact:
			return fmt.Errorf("the history of %q is to be on the disk, for a realm of a template", h.URI)
		case h.AcknowledgeStored && !h.OnDisk:
			return fmt.Errorf("the history of %q is in memory, so nobody can wait for its disk", h.URI)
		}
		seen[h.Pattern] = true
	}
	return nil
}

// check checks r and fills in its defaults.
func (r *Retention) check() error {
	setDefault(&r.EventsMax, history.DefaultRetainedEvents)
	setDefault(&r.BytesMax, history.DefaultRetainedBytes)
	setDefault(&r.FoundMax, defaultRetainedFoundMax)
	switch {
	case r.EventsMax < 0 || r.BytesMax < 0 || r.FoundMax < 0:
		return errors.New("a limit of retained events is negative")
	case len(r.Topics) > retainedTopicsMax:
		return fmt.Errorf("%d topics may be retained: at most %d are possible", len(r.Topics), retainedTopicsMax)
	}
	for _, p := range r.Topics {
		if p.Match > codec.Wildcard || !codec.ValidURI([]byte(p.URI), p.Match, false) {
			return fmt.Errorf("%q is no topic or pattern to retain", p.URI)
		}
	}
	return nil
}

// checkAuthorizers checks the authorizers and fills in their defaults.
func (rc *RealmConfig) checkAuthorizers() error {
	rc.Authorizers = maps.Clone(rc.Authorizers)
	for role, a := range rc.Authorizers {
		setDefault(&a.Timeout, defaultAuthorizerTimeout)
		setDefault(&a.CacheTime, defaultCacheTime)
		switch {
		case rc.Policy == nil:
			return fmt.Errorf("realm: %q: an authorizer for the role %q without a policy", rc.URI, role)
		case rc.Policy.Role(role) == nil:
			return fmt.Errorf("realm: %q: an authorizer for the role %q, which the policy does not have", rc.URI,
				role)
		case !codec.ValidURI([]byte(a.Procedure), codec.Exact, rc.StrictURIs):
			return fmt.Errorf("realm: %q: the authorizer of the role %q is not a valid procedure: %q", rc.URI, role,
				a.Procedure)
		case a.Timeout < 0 || a.CacheTime < 0:
			return fmt.Errorf("realm: %q: a time of the authorizer of the role %q is negative", rc.URI, role)
		}
		rc.Authorizers[role] = a
	}
	return nil
}

func setDefault[T comparable](v *T, def T) {
	if *v == *new(T) {
		*v = def
	}
}

// anonymous returns the rule for a peer that came through that listener.
func (set *settings) anonymous(listener int) Anonymous {
	if listener >= 0 && listener < len(set.limits.Listeners) {
		if rule := set.limits.Listeners[listener].Anonymous; rule != AnonymousByRealm {
			return rule
		}
	}
	return set.Anonymous
}
