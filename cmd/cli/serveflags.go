package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"banyan/cmd/config"
)

// A serveConfig is what the flags of serve say. They stand above the configuration file.
type serveConfig struct {
	file       string // the configuration file; empty: the built-in configuration
	listen     []string
	origins    []string
	realms     []string
	autoCreate bool
	anonymous  string   // empty: as the file says
	set        []string // PATH=VALUE
	lean       bool     // as of config.Loader

	cpuProfile  string
	profileRate int

	groups  []flagGroup         // all flags; they know which of them were given
	options map[string][]string // paths of the options that a flag stands for
}

// flags returns the flags, in the order of the help. Kind, default and bounds of most are those of their options.
func (c *serveConfig) flags() []flagGroup {
	c.options = map[string][]string{}

	file := newFlagGroup("The configuration:")
	file.StringVar(&c.file, "config", configFile(), "configuration `file`, see banyan init; by default "+
		"$BANYAN_CONFIG, else banyan.yaml here, else /etc/banyan/banyan.yaml; none or empty: as this help says")
	file.list(&c.set, "set", "path=value", "",
		"any option of the file, such as limits.calls_max=5; repeatable. banyan config docs describes them all",
		checkSet)

	reach := newFlagGroup("Where to listen:")
	reach.list(&c.listen, "listen", "address", "127.0.0.1:8080",
		"HOST:PORT or unix:PATH; behind it, separated by commas, anonymous= for who comes this way, "+
			"long_poll=/lp to serve HTTP long-poll there, and mode=0660, owner= and group= of a Unix socket's file; "+
			"repeatable. It replaces the file's listeners",
		func(text string) error {
			_, err := parseListen(text)
			return err
		})
	reach.list(&c.origins, "origin", "origin", "",
		"web pages that may connect besides those of the router's own host: "+
			"a host name, HOST:PORT, SCHEME://HOST[:PORT], or * for all; repeatable",
		func(text string) error {
			if strings.Contains(text, ",") {
				return errors.New("an origin has no comma; repeat --origin for more origins")
			}
			return checkOption("listeners.*.origins", text)
		})
	c.option(reach, "connections-max", "connections at once; auto is what the limit of open files allows, "+
		"which is the most", "limits.connections_max")
	c.option(reach, "handshake-timeout", "from the connection to the end of its opening handshake",
		"limits.handshake_timeout")

	join := newFlagGroup("Who may join what:")
	join.list(&c.realms, "realm", "name", defaultRealm, "realm to offer, without --config; repeatable", checkRealm)
	join.BoolVar(&c.autoCreate, "auto-create-realms", false,
		"make a realm when somebody joins it first, without --config")
	c.option(join, "realms-max", "realms at once, with those of --realm; more are not made", "limits.realms_max")
	join.choice(&c.anonymous, "anonymous", "local",
		"who may join without authentication: local is this machine, and whoever a proxy on it lets in "+
			"without forwarding headers (X-Forwarded-For, Forwarded, Via …); anywhere is everybody; none is nobody",
		anonymousChoices...)
	c.option(join, "hello-timeout", "from the open connection to HELLO", "limits.hello_timeout")
	c.option(join, "goodbye-timeout", "from the router's GOODBYE to the client's, at most --shutdown-timeout",
		"limits.goodbye_timeout")

	rules := newFlagGroup("Rules of every realm:")
	realmRule := func(name, usage, key string) {
		c.option(rules, name, usage, "realms.*."+key, "templates.*."+key)
	}
	realmRule("strict-uris", "accept only URIs of the strict form (a-z, 0-9 and _ in components)", "strict_uris")
	realmRule("strict-request-ids", "end sessions whose request ids do not count from 1", "strict_request_ids")
	realmRule("enforce-roles", "end sessions that act in a role which their HELLO did not announce", "enforce_roles")
	realmRule("forbid-disclosure", "refuse disclose_me", "forbid_disclosure")

	sizes := newFlagGroup("Limits:")
	c.option(sizes, "message-bytes-max", "longest message accepted, 512B to 16MiB; by default at most a "+
		"quarter of --budget-bytes, and at most half of it less 1MiB; RawSocket clients are told the next "+
		"power of two below", "limits.message_bytes_max")
	c.option(sizes, "peer-message-bytes-min", "refuse RawSocket clients that accept no message of this size, "+
		"512B to --message-bytes-max", "limits.peer_message_bytes_min")
	c.option(sizes, "uri-bytes-max", "longest URI in bytes; longer: invalid_uri", "limits.uri_bytes_max")
	c.option(sizes, "depth-max", "how deep lists and dictionaries of a message may nest, 8 to 512; "+
		"deeper: the session is aborted", "limits.depth_max")
	c.option(sizes, "subscriptions-max", "subscriptions of a session; more: option_not_allowed",
		"limits.subscriptions_max")
	c.option(sizes, "patterns-max", "how many of them are prefix and wildcard subscriptions; "+
		"more: option_not_allowed", "limits.patterns_max")
	c.option(sizes, "filter-entries-max", "entries in the lists that choose the receivers of an event; "+
		"more: option_not_allowed. However many they are, options of more than 256KiB end the session with ABORT",
		"limits.filter_entries_max")
	c.option(sizes, "registrations-max", "registrations of a session; more: option_not_allowed",
		"limits.registrations_max")
	c.option(sizes, "callees-max", "callees of a shared registration; more: option_not_allowed",
		"limits.callees_max")
	c.option(sizes, "calls-max", "open calls of a caller, and open invocations of a callee; "+
		"more: option_not_allowed, network_failure", "limits.calls_max")

	slow := newFlagGroup("Clients that are slow or gone:")
	c.option(slow, "backlog-bytes-max", "bytes that a connection may have unsent, at least 64KiB",
		"slow_consumers.backlog_bytes_max")
	c.option(slow, "budget-bytes", "bytes that all connections may have unsent or in unfinished messages; "+
		"beyond it the largest holders are closed; auto is a quarter of the memory", "budget.bytes")
	c.option(slow, "slow-consumer", "what happens to events at that bound: disconnect the client, drop-newest or "+
		"drop-oldest events, or keep-latest of each topic, of pattern subscriptions as drop-oldest",
		"slow_consumers.policy")
	c.option(slow, "credit-bytes", "bytes times receivers that a publisher may have on their way to other loops; "+
		"with more it is not read from", "slow_consumers.credit_bytes")
	c.option(slow, "ping-interval", "how often WebSocket clients are pinged; 0 never", "keepalive.ping_interval")
	c.option(slow, "ping-timeout", "how long a client that is pinged may give no sign of life, "+
		"at least one interval; auto is two of them", "keepalive.ping_timeout")
	c.option(slow, "rawsocket-pings", "ping RawSocket clients too; some cannot answer", "keepalive.rawsocket_pings")
	c.option(slow, "message-timeout", "how long an unfinished message may go without another byte; 0 for ever",
		"limits.message_timeout")

	process := newFlagGroup("The process:")
	c.option(process, "loops", "event loops, 1 to 64; auto is one per CPU granted", "process.loops")
	c.option(process, "log-level", "debug, info, warn or error", "log.level")
	c.option(process, "shutdown-timeout", "longest time that a stop may take in all", "drain.timeout")
	process.StringVar(&c.cpuProfile, "cpu-profile", "",
		"write a CPU profile of the whole run to this `file`; banyan prof reads it")
	process.count(&c.profileRate, "cpu-profile-rate", profileRateDefault, 1, 500,
		"samples per second of CPU time; many kernels give no more than 250")
	process.BoolP("version", "v", false, "print the version and end") // cobra acts on it
	c.groups = []flagGroup{file, reach, join, rules, sizes, slow, process}
	return c.groups
}

// option is a flag that stands for an option of the file, or for the same one in several places.
func (c *serveConfig) option(g flagGroup, name, usage string, paths ...string) {
	o, ok := config.LookUp(paths[0])
	if !ok {
		panic("no option " + paths[0])
	}
	f := g.VarPF(&setting{o.Kind(), o.Default(), func(text string) error {
		return o.Check(optionText(o, text))
	}}, name, "", usage)
	if o.Kind() == "bool" {
		f.NoOptDefVal = "true"
	}
	c.options[name] = paths
}

// optionText is what the file has for the value of a flag: words with _, and auto, for which a flag may say 0 too.
func optionText(o config.Setting, text string) string {
	switch {
	case o.Kind() == "word":
		return strings.ReplaceAll(text, "-", "_")
	case o.Auto() != "" && (text == "0" || text == "0s"):
		return o.Auto()
	}
	return text
}

// overrides are the flags that were given, as values of options.
func (c *serveConfig) overrides() []config.Override {
	var all []config.Override
	add := func(flag, path string, value any) {
		text, isText := value.(string)
		if !isText {
			b, err := json.Marshal(value)
			if err != nil {
				panic(err) // of our own types
			}
			text = string(b)
		}
		all = append(all, config.Override{Path: path, Value: text, Source: "--" + flag})
	}
	if len(c.listen) > 0 {
		specs := make([]listenSpec, len(c.listen))
		for i, text := range c.listen {
			specs[i], _ = parseListen(text) // parsed before
			if specs[i].Anonymous == "" {
				specs[i].Anonymous = c.anonymous
			}
		}
		add("listen", "listeners", specs)
	} else if c.anonymous != "" {
		add("anonymous", "listeners.*.anonymous", c.anonymous)
	}
	if len(c.origins) > 0 {
		add("origin", "listeners.*.origins", c.origins)
	}
	if len(c.realms) > 0 {
		open := make([]openRealm, len(c.realms))
		for i, name := range c.realms {
			open[i] = newOpenRealm(name)
		}
		add("realm", "realms", open)
	}
	if c.autoCreate {
		add("auto-create-realms", "templates", []openRealm{newOpenRealm("")})
	}
	for _, g := range c.groups {
		g.VisitAll(func(f *pflag.Flag) {
			for _, path := range c.options[f.Name] {
				if f.Changed {
					o, _ := config.LookUp(path)
					add(f.Name, path, optionText(o, f.Value.String()))
				}
			}
		})
	}
	for _, s := range c.set {
		path, value, _ := strings.Cut(s, "=")
		all = append(all, config.Override{Path: path, Value: value})
	}
	return all
}

// An openRealm is a realm of --realm and --auto-create-realms in the form of the file. It is as the built-in one.
type openRealm struct {
	URI   string                    `json:"uri"`
	Auth  map[string]map[string]any `json:"auth"`
	Roles []openRole                `json:"roles"`
}

type openRole struct {
	Name        string           `json:"name"`
	Permissions []openPermission `json:"permissions"`
}

type openPermission struct {
	URI   string   `json:"uri"`
	Match string   `json:"match"`
	Allow []string `json:"allow"`
}

func newOpenRealm(uri string) openRealm {
	return openRealm{uri, map[string]map[string]any{"anonymous": {}}, []openRole{{
		"anonymous", []openPermission{{"", "prefix", []string{"call", "register", "publish", "subscribe"}}},
	}}}
}

// load reads the configuration. The report has the warnings; with an error it is nil.
func (c *serveConfig) load(env []string) (*config.File, *config.Report, error) {
	if c.file != "" {
		for flag, given := range map[string]bool{"realm": len(c.realms) > 0, "auto-create-realms": c.autoCreate} {
			if given {
				return nil, nil, usagef("--%s is for a router without configuration file: "+
					"a realm needs rules of its own, so add it to %s", flag, c.file)
			}
		}
	}
	if c.profileRate != profileRateDefault && c.cpuProfile == "" {
		return nil, nil, usagef("--cpu-profile-rate %d has no effect without --cpu-profile", c.profileRate)
	}
	f, report := c.read(env)
	if f == nil {
		return nil, nil, c.refused(report)
	}
	return f, report, nil
}

// read reads the configuration with the flags above it. Each call reads the file anew.
func (c *serveConfig) read(env []string) (*config.File, *config.Report) {
	l := config.Loader{Env: env, Overrides: c.overrides(), FilesMax: filesUnbounded, Lean: c.lean}
	return l.Load(c.file)
}

// filesUnbounded leaves it to the engine to compare the limit of open files with the number of connections.
const filesUnbounded = 1 << 31

// socket is the path of the control socket, empty if there is none.
func (c *serveConfig) socket(env []string) string {
	l := config.Loader{Env: env, Overrides: c.overrides()}
	return l.Socket(c.file)
}

// refused makes an error of a report. Without a file it is told in the words of the command line.
func (c *serveConfig) refused(r *config.Report) error {
	if c.file != "" {
		return &refusedError{r, c.file}
	}
	var lines []string
	for _, p := range r.Problems {
		if p.Severity != config.Error {
			continue
		}
		what := p.Message
		if p.Hint != "" {
			what += "; " + p.Hint
		}
		source := p.Source
		if !strings.HasPrefix(source, "--") || strings.HasPrefix(source, "--set") {
			source = strings.TrimPrefix(p.Path+" ("+p.Source+")", " ")
		}
		lines = append(lines, source+": "+c.inFlags(what))
	}
	return usagef("%s", strings.Join(lines, "\n  "))
}

// inFlags replaces options in a text by the flags for them.
func (c *serveConfig) inFlags(text string) string {
	for _, g := range c.groups {
		g.VisitAll(func(f *pflag.Flag) {
			for _, path := range c.options[f.Name] {
				text = strings.ReplaceAll(text, path, "--"+f.Name)
			}
		})
	}
	return strings.ReplaceAll(text, "without templates", "without --auto-create-realms")
}

// A refusedError is a configuration file with errors.
type refusedError struct {
	report *config.Report
	file   string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s is refused: %v", e.file, e.report.Err())
}

// checkRealm refuses what is certainly not meant as the name of one realm. The rest is checked with the file.
func checkRealm(name string) error {
	if strings.Contains(name, ",") {
		return errors.New("a realm's name has no comma; repeat --realm for more realms")
	}
	return nil
}

// checkSet refuses what is no PATH=VALUE.
func checkSet(text string) error {
	if path, _, ok := strings.Cut(text, "="); !ok || path == "" {
		return errors.New("write PATH=VALUE, such as limits.calls_max=1000")
	}
	return nil
}
