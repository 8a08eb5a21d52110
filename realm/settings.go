package realm

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"banyan/codec"
)

// Config is the router's configuration. Zero values mean the defaults; New and Apply check it. DepthMax, Loops and
// Log are fixed by New, everything else is live.
type Config struct {
	Realms         []RealmConfig // at least one; URIs differ
	AutoCreate     bool          // a HELLO for an unknown valid realm creates it, with the options of Realms[0]
	RealmsMax      int           // realms AutoCreate may reach, configured ones included; default 10 000
	Agent          string        // WELCOME.Details.agent; default "Banyan"
	HelloTimeout   time.Duration // to HELLO, from the connection or the end of its last session; default 10 s
	GoodbyeTimeout time.Duration // from our GOODBYE to the peer's; default 5 s
	Listeners      []Anonymous   // by port.Peer.Listener: overrides RealmConfig.Anonymous; default AnonymousByRealm

	// A request beyond these is answered with ERROR option_not_allowed, unless a line says otherwise.

	SubscriptionsMax int // per session, patterns included; default 100 000
	PatternsMax      int // prefix and wildcard subscriptions per session; default 10 000
	RegistrationsMax int // per session; default 100 000
	CalleesMax       int // sessions in one shared registration; default 10 000
	CallsMax         int // open per caller, and per callee: network_failure for the latter; default 100 000
	FilterEntriesMax int // in all black and white lists of one PUBLISH; default 8 192, at most 65 536
	URIBytesMax      int // topics, procedures and realms, octets; default 1024; longer: invalid_uri

	DepthMax int          // nesting of a message, its own list included; default 64, at most 512; more: ABORT
	Loops    int          // number of executors that will call Open, 1 to 64; default 1
	Log      *slog.Logger // default: nothing is logged
}

// RealmConfig is one realm.
type RealmConfig struct {
	URI              string    // non-empty components, loose check (PROTOCOL 3.1)
	StrictURIs       bool      // topics and procedures must keep to [0-9a-z_] (PROTOCOL 3.1)
	StrictRequestIDs bool      // request ids must be sequential from 1, or the session is aborted (PROTOCOL 2)
	EnforceRoles     bool      // a request of a role that HELLO did not announce aborts the session (PROTOCOL 1.4)
	ForbidDisclosure bool      // disclose_me and disclose_caller are refused (PROTOCOL 7.5, 8.9)
	Anonymous        Anonymous // from where anonymous peers may come; default AnonymousLocal
	Policy           Policy    // decides what each role may do; nil: everything
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

	welcomes [codec.CBOR + 1]atomic.Pointer[codec.WelcomeForm] // by serializer, made when first needed; any goroutine
}

func (cfg *Config) check() error {
	setDefault(&cfg.RealmsMax, defaultRealmsMax)
	setDefault(&cfg.Agent, "Banyan")
	setDefault(&cfg.HelloTimeout, defaultHelloTimeout)
	setDefault(&cfg.GoodbyeTimeout, defaultGoodbyeTimeout)
	setDefault(&cfg.Loops, 1)
	setDefault(&cfg.SubscriptionsMax, defaultSubscriptionsMax)
	setDefault(&cfg.PatternsMax, defaultPatternsMax)
	setDefault(&cfg.RegistrationsMax, defaultRegistrationsMax)
	setDefault(&cfg.CalleesMax, defaultCalleesMax)
	setDefault(&cfg.CallsMax, defaultCallsMax)
	setDefault(&cfg.FilterEntriesMax, defaultFilterEntriesMax)
	setDefault(&cfg.URIBytesMax, defaultURIBytesMax)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case len(cfg.Realms) == 0:
		return errors.New("realm: configure at least one realm")
	case cfg.Loops < 1 || cfg.Loops > 64:
		return fmt.Errorf("realm: %d loops: must be 1 to 64", cfg.Loops)
	case cfg.FilterEntriesMax > codec.ListEntriesMax:
		return fmt.Errorf("realm: %d filter entries: at most %d are possible",
			cfg.FilterEntriesMax, codec.ListEntriesMax)
	case cfg.DepthMax < 0 || cfg.DepthMax > codec.DepthMaxMost:
		return fmt.Errorf("realm: depth of %d: at most %d is possible", cfg.DepthMax, codec.DepthMaxMost)
	case cfg.HelloTimeout < 0 || cfg.GoodbyeTimeout < 0:
		return errors.New("realm: a timeout is negative")
	case min(cfg.RealmsMax, cfg.SubscriptionsMax, cfg.PatternsMax, cfg.RegistrationsMax, cfg.CalleesMax, cfg.CallsMax,
		cfg.FilterEntriesMax, cfg.URIBytesMax) < 0:
		return errors.New("realm: a limit is negative")
	}
	seen := map[string]bool{}
	for i := range cfg.Realms {
		if err := cfg.checkRealm(&cfg.Realms[i]); err != nil {
			return err
		}
		if uri := cfg.Realms[i].URI; seen[uri] {
			return fmt.Errorf("realm: %q is configured twice", uri)
		}
		seen[cfg.Realms[i].URI] = true
	}
	return nil
}

// checkRealm checks one realm and fills in its defaults.
func (cfg *Config) checkRealm(rc *RealmConfig) error {
	if len(rc.URI) > cfg.URIBytesMax || !codec.ValidURI([]byte(rc.URI), codec.Exact, false) {
		return fmt.Errorf("realm: %q is not a valid realm URI", rc.URI)
	}
	if rc.Anonymous > AnonymousNone {
		return fmt.Errorf("realm: %q: unknown rule for anonymous peers: %d", rc.URI, rc.Anonymous)
	}
	setDefault(&rc.Anonymous, AnonymousLocal)
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
		if rule := set.limits.Listeners[listener]; rule != AnonymousByRealm {
			return rule
		}
	}
	return set.Anonymous
}
