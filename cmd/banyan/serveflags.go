package main

import (
	"errors"
	"math"
	"strings"
	"time"
	"unicode"

	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
)

// A serveConfig is what the flags of serve say.
type serveConfig struct {
	engine engine.Config
	limits realm.Config
	realm  realm.RealmConfig // what every realm has

	listen         []string // as written: ADDRESS[,KEY=VALUE…]
	realms         []string
	autoCreate     bool // realms are made when somebody joins them first
	anonymous      string
	slowConsumer   string
	pingInterval   time.Duration // 0: never
	pingTimeout    time.Duration
	messageTimeout time.Duration // 0: for ever
	budgetBytes    int           // 0: by default
	creditBytes    int

	logLevel        string
	shutdownTimeout time.Duration
	cpuProfile      string
	profileRate     int

	groups []flagGroup // all flags; they know which of them were given
}

// newServeConfig returns the configuration of a router without flags.
func newServeConfig() *serveConfig {
	c := &serveConfig{}
	c.flags()
	return c
}

// flags sets every default and returns the flags, in the order of the help.
func (c *serveConfig) flags() []flagGroup {
	e, r := &c.engine, &c.limits
	const open = math.MaxInt

	reach := newFlagGroup("Where to listen:")
	reach.list(&c.listen, "listen", "address", []string{"127.0.0.1:8080"},
		"HOST:PORT or unix:PATH; behind it, separated by commas, anonymous= for who comes this way, "+
			"and mode=0660, owner= and group= of a Unix socket's file; repeatable",
		func(text string) error {
			_, err := parseListen(text)
			return err
		})
	reach.list(&e.Origins, "origin", "origin", nil,
		"web pages that may connect besides those of the router's own host: "+
			"a host name, HOST:PORT, SCHEME://HOST[:PORT], or * for all; repeatable", checkOrigin)
	reach.count(&e.ConnectionsMax, "connections-max", 0, 0, 1<<30,
		"connections at once; 0 is what the limit of open files allows, which is the most")
	reach.duration(&e.HandshakeTimeout, "handshake-timeout", 10*time.Second,
		"from the connection to the end of its opening handshake")

	join := newFlagGroup("Who may join what:")
	join.list(&c.realms, "realm", "name", []string{defaultRealm}, "realm to offer; repeatable", checkRealm)
	join.BoolVar(&c.autoCreate, "auto-create-realms", false, "make a realm when somebody joins it first")
	join.count(&r.RealmsMax, "realms-max", 10_000, 1, open,
		"realms at once, with those of --realm; more are not made")
	join.choice(&c.anonymous, "anonymous", "local",
		"who may join without authentication: local is this machine, and whoever a proxy on it lets in "+
			"without forwarding headers (X-Forwarded-For, Forwarded, Via …); anywhere is everybody; none is nobody",
		anonymousChoices...)
	join.duration(&r.HelloTimeout, "hello-timeout", 10*time.Second, "from the open connection to HELLO")
	join.duration(&r.GoodbyeTimeout, "goodbye-timeout", 5*time.Second,
		"from the router's GOODBYE to the client's, at most --shutdown-timeout")

	rules := newFlagGroup("Rules of every realm:")
	rules.BoolVar(&c.realm.StrictURIs, "strict-uris", false,
		"accept only URIs of the strict form (a-z, 0-9 and _ in components)")
	rules.BoolVar(&c.realm.StrictRequestIDs, "strict-request-ids", false,
		"end sessions whose request ids do not count from 1")
	rules.BoolVar(&c.realm.EnforceRoles, "enforce-roles", false,
		"end sessions that act in a role which their HELLO did not announce")
	rules.BoolVar(&c.realm.ForbidDisclosure, "forbid-disclosure", false, "refuse disclose_me")

	sizes := newFlagGroup("Limits:")
	sizes.bytes(&e.MessageBytesMax, "message-bytes-max", 16<<20, 512, 16<<20,
		"longest message accepted, 512B to 16MiB; by default at most a quarter of --budget-bytes, and at most half "+
			"of it less 1MiB; RawSocket clients are told the next power of two below")
	sizes.bytes(&e.PeerMessageBytesMin, "peer-message-bytes-min", 512, 512, 16<<20,
		"refuse RawSocket clients that accept no message of this size, 512B to --message-bytes-max")
	sizes.count(&r.URIBytesMax, "uri-bytes-max", 1024, 1, 16<<20, "longest URI in bytes; longer: invalid_uri")
	sizes.count(&r.DepthMax, "depth-max", 64, depthMin, codec.DepthMaxMost,
		"how deep lists and dictionaries of a message may nest, 8 to 512; deeper: the session is aborted")
	sizes.count(&r.SubscriptionsMax, "subscriptions-max", 100_000, 1, open,
		"subscriptions of a session; more: option_not_allowed")
	sizes.count(&r.PatternsMax, "patterns-max", 10_000, 1, open,
		"how many of them are prefix and wildcard subscriptions; more: option_not_allowed")
	sizes.count(&r.FilterEntriesMax, "filter-entries-max", 8192, 1, codec.ListEntriesMax,
		"entries in the lists that choose the receivers of an event; more: option_not_allowed. "+
			"However many they are, options of more than 256KiB end the session with ABORT")
	sizes.count(&r.RegistrationsMax, "registrations-max", 100_000, 1, open,
		"registrations of a session; more: option_not_allowed")
	sizes.count(&r.CalleesMax, "callees-max", 10_000, 1, open,
		"callees of a shared registration; more: option_not_allowed")
	sizes.count(&r.CallsMax, "calls-max", 100_000, 1, open,
		"open calls of a caller, and open invocations of a callee; more: option_not_allowed, network_failure")

	slow := newFlagGroup("Clients that are slow or gone:")
	slow.bytes(&e.BacklogBytesMax, "backlog-bytes-max", 64<<20, 64<<10, math.MaxInt64,
		"bytes that a connection may have unsent, at least 64KiB")
	slow.bytesOrZero(&c.budgetBytes, "budget-bytes", 16<<20,
		"bytes that all connections may have unsent or in unfinished messages; "+
			"beyond it the largest holders are closed; 0 is a quarter of the memory")
	slow.choice(&c.slowConsumer, "slow-consumer", "disconnect",
		"what happens to events at that bound: disconnect the client, or drop-newest events",
		"disconnect", "drop-newest")
	slow.bytes(&c.creditBytes, "credit-bytes", 64<<10, 1, math.MaxInt64,
		"bytes times receivers that a publisher may have on their way to other loops; "+
			"with more it is not read from")
	slow.durationOrZero(&c.pingInterval, "ping-interval", 25*time.Second,
		"how often WebSocket clients are pinged; 0 never")
	slow.durationOrZero(&c.pingTimeout, "ping-timeout", 0,
		"how long a client that is pinged may give no sign of life, at least one interval; 0 is two of them")
	slow.BoolVar(&e.RawSocketPings, "rawsocket-pings", false, "ping RawSocket clients too; some cannot answer")
	slow.durationOrZero(&c.messageTimeout, "message-timeout", 30*time.Second,
		"how long an unfinished message may go without another byte; 0 for ever")

	process := newFlagGroup("The process:")
	process.count(&e.Loops, "loops", 0, 0, 64, "event loops, 1 to 64; 0 is one per CPU granted")
	process.choice(&c.logLevel, "log-level", "info", "debug, info, warn or error", "debug", "info", "warn", "error")
	process.duration(&c.shutdownTimeout, "shutdown-timeout", stopTimeout, "longest time that a stop may take in all")
	process.StringVar(&c.cpuProfile, "cpu-profile", "",
		"write a CPU profile of the whole run to this `file`; banyan prof reads it")
	process.count(&c.profileRate, "cpu-profile-rate", profileRateDefault, 1, 500,
		"samples per second of CPU time; many kernels give no more than 250")
	process.BoolP("version", "v", false, "print the version and end") // cobra acts on it
	c.groups = []flagGroup{reach, join, rules, sizes, slow, process}
	return c.groups
}

// depthMin is what the messages of the protocol need.
const depthMin = 8

// checkRealm refuses names that are wrong for a realm, or certainly not meant as one.
func checkRealm(name string) error {
	switch {
	case strings.Contains(name, ","):
		return errors.New("a realm's name has no comma; repeat --realm for more realms")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("a realm's name has no control characters")
	case name == "wamp" || strings.HasPrefix(name, "wamp."):
		return errors.New("names that begin with wamp. are reserved for the protocol")
	case !codec.ValidURI([]byte(name), codec.Exact, false):
		return errors.New("a realm's name is a URI: components without white space and #, separated by dots")
	}
	return nil
}
