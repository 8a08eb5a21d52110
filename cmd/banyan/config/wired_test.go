//go:build linux

package config

import (
	"reflect"
	"strings"
	"testing"

	"banyan/engine"
	"banyan/realm"
)

// A wire tells where an option takes effect, for those who build the router: every option has to do something.
type wire struct {
	// path is the option, with * for entries. A section that is on by its presence counts as an option.
	path string
	// target is the field that can take the value today, such as engine.Live.MessageBytesMax. Empty: nothing can yet.
	target string
	// task is what has to be built or joined, in a few words.
	task string
}

// wires are all options, in the order of the documentation. Those of templates are those of realms.
var wires = []wire{
	{"version", "config", "Load refuses other forms"},
	{"process.loops", "engine.Config.Loops, realm.Config.Loops", "0: one for each CPU"},
	{"process.data_dir", "", "make the folder; ACME and the control socket are in it"},
	{"process.control_socket", "", "Process.Socket; listen with mode 0600"},
	{"process.agent", "realm.Config.Agent", "empty: Banyan and the version"},

	{"listeners.*.name", "", "in log lines and the banner"},
	{"listeners.*.address", "engine.Config.Listen", ""},
	{"listeners.*.protocols", "", "refuse the other by the first byte"},
	{"listeners.*.file", "engine.Config.UnixFiles", ""},
	{"listeners.*.file.mode", "engine.Config.UnixFiles", "octal"},
	{"listeners.*.file.owner", "engine.Config.UnixFiles", "name or number"},
	{"listeners.*.file.group", "engine.Config.UnixFiles", "name or number"},
	{"listeners.*.origins", "engine.Live.Origins", "for all listeners today: one list for each"},
	{"listeners.*.anonymous", "realm.Config.Listeners", ""},
	{"listeners.*.auth_methods", "", "realm: methods by port.Peer.Listener"},
	{"listeners.*.tls", "", "engine transport"},
	{"listeners.*.tls.certificates", "", "watch, SNI"},
	{"listeners.*.tls.certificates.*.certificate", "", ""},
	{"listeners.*.tls.certificates.*.key", "", ""},
	{"listeners.*.tls.certificates.*.ocsp", "", "tls.Certificate.OCSPStaple"},
	{"listeners.*.tls.acme", "", "certmagic, -tags acme"},
	{"listeners.*.tls.acme.domains", "", ""},
	{"listeners.*.tls.acme.email", "", ""},
	{"listeners.*.tls.acme.directory", "", ""},
	{"listeners.*.tls.plain", "", "first byte 0x16"},
	{"listeners.*.tls.min_version", "", "tls.Config.MinVersion"},
	{"listeners.*.tls.client_ca", "", "tls.Config.ClientCAs"},
	{"listeners.*.tls.client_certificates", "", "tls.Config.ClientAuth"},
	{"listeners.*.tls.alpn", "", "tls.Config.NextProtos"},
	{"listeners.*.tls.handshake_timeout", "", ""},
	{"listeners.*.tls.handshakes_max", "", "the pool of handshakes"},
	{"listeners.*.tls.session_tickets", "", "tls.Config.SetSessionTicketKeys"},
	{"listeners.*.tls.hsts", "", "header of the page"},
	{"listeners.*.proxy_protocol", "", "go-proxyproto"},
	{"listeners.*.trusted_proxies", "", "PROXY and X-Forwarded-For"},

	{"limits.connections_max", "engine.Live.ConnectionsMax", ""},
	{"limits.connections_per_address_max", "", "engine: admission"},
	{"limits.address_bits_v4", "", "engine: admission; realm/auth Limiter"},
	{"limits.address_bits_v6", "", "engine: admission; realm/auth Limiter"},
	{"limits.connections_per_second_max", "", "engine: admission"},
	{"limits.handshakes_max", "", "engine: admission"},
	{"limits.retry_after", "", "engine: HTTP 503"},
	{"limits.handshake_timeout", "engine.Live.HandshakeTimeout", ""},
	{"limits.hello_timeout", "realm.Config.HelloTimeout", ""},
	{"limits.goodbye_timeout", "realm.Config.GoodbyeTimeout", ""},
	{"limits.auth_timeout", "", "realm: timer of CHALLENGE"},
	{"limits.auth_failures_per_address_max", "", "realm/auth Limiter"},
	{"limits.auth_failures_per_authid_max", "", "realm/auth Limiter"},
	{"limits.message_bytes_max", "engine.Live.MessageBytesMax", ""},
	{"limits.peer_message_bytes_min", "engine.Live.PeerMessageBytesMin", ""},
	{"limits.message_timeout", "engine.Live.MessageTimeout", "0: -1 there"},
	{"limits.messages_per_second_max", "", "engine: read pause"},
	{"limits.bytes_per_second_max", "", "engine: read pause"},
	{"limits.uri_bytes_max", "realm.Config.URIBytesMax", ""},
	{"limits.depth_max", "realm.Config.DepthMax", ""},
	{"limits.subscriptions_max", "realm.Config.SubscriptionsMax", ""},
	{"limits.patterns_max", "realm.Config.PatternsMax", ""},
	{"limits.filter_entries_max", "realm.Config.FilterEntriesMax", ""},
	{"limits.registrations_max", "realm.Config.RegistrationsMax", ""},
	{"limits.callees_max", "realm.Config.CalleesMax", ""},
	{"limits.calls_max", "realm.Config.CallsMax", ""},
	{"limits.realms_max", "realm.Config.RealmsMax", ""},

	{"budget.bytes", "engine.Config.BudgetBytes", "0: its default"},

	{"keepalive.ping_interval", "engine.Live.PingInterval", "0: -1 there"},
	{"keepalive.ping_timeout", "engine.Live.PingTimeout", ""},
	{"keepalive.rawsocket_pings", "engine.Live.RawSocketPings", ""},

	{"slow_consumers.policy", "engine.Live.SlowConsumer", "drop_oldest and keep_latest are not there yet"},
	{"slow_consumers.backlog_bytes_max", "engine.Live.BacklogBytesMax", ""},
	{"slow_consumers.backlog_events_max", "", "engine: queue"},
	{"slow_consumers.backlog_age_max", "", "engine: queue"},
	{"slow_consumers.slow_after", "", "engine: log and counters"},
	{"slow_consumers.credit_bytes", "engine.Live.CreditBytes", ""},

	{"realms.*.uri", "realm.RealmConfig.URI", ""},
	{"realms.*.strict_uris", "realm.RealmConfig.StrictURIs", ""},
	{"realms.*.strict_request_ids", "realm.RealmConfig.StrictRequestIDs", ""},
	{"realms.*.enforce_roles", "realm.RealmConfig.EnforceRoles", ""},
	{"realms.*.forbid_disclosure", "realm.RealmConfig.ForbidDisclosure", ""},
	{"realms.*.authid_uniqueness", "", "realm: at join"},
	{"realms.*.auth.anonymous", "realm.RealmConfig.Anonymous", "without it: AnonymousNone"},
	{"realms.*.auth.anonymous.role", "", "realm/auth; today always anonymous"},
	{"realms.*.auth.anonymous.from", "realm.RealmConfig.Anonymous", "prefixes are not there yet"},
	{"realms.*.auth.ticket", "", "realm/auth"},
	{"realms.*.auth.ticket.allow_plain", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.keys_url", "", "keyfunc"},
	{"realms.*.auth.ticket.jwt.keys_file", "", "keyfunc"},
	{"realms.*.auth.ticket.jwt.refresh", "", "keyfunc"},
	{"realms.*.auth.ticket.jwt.issuer", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.audience", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.authid_claim", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.role_claim", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.role", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.algorithms", "", "realm/auth"},
	{"realms.*.auth.ticket.jwt.leeway", "", "realm/auth"},
	{"realms.*.auth.wampcra", "", "realm/auth"},
	{"realms.*.auth.wamp-scram", "", "realm/auth"},
	{"realms.*.auth.scram", "", "realm/auth"},
	{"realms.*.auth.cryptosign", "", "realm/auth"},
	{"realms.*.auth.cryptosign.require_channel_binding", "", "realm/auth"},
	{"realms.*.auth.cryptosign.router_key_file", "", "realm/auth"},
	{"realms.*.auth.tls", "", "realm/auth"},
	{"realms.*.auth.cookie", "", "realm/auth; engine: upgrade"},
	{"realms.*.auth.cookie.name", "", "engine: upgrade"},
	{"realms.*.auth.cookie.max_age", "", "realm/auth store"},
	{"realms.*.auth.cookie.entries_max", "", "realm/auth store"},
	{"realms.*.auth.dynamic", "", "realm: a call of the local session"},
	{"realms.*.auth.dynamic.procedure", "", ""},
	{"realms.*.auth.dynamic.realm", "", ""},
	{"realms.*.auth.dynamic.methods", "", ""},
	{"realms.*.auth.dynamic.timeout", "", ""},
	{"realms.*.auth.http", "", "a client in the pool"},
	{"realms.*.auth.http.url", "", ""},
	{"realms.*.auth.http.secret_file", "", ""},
	{"realms.*.auth.http.methods", "", ""},
	{"realms.*.auth.http.timeout", "", ""},
	{"realms.*.auth.http.retries", "", ""},
	{"realms.*.auth.http.failures_max", "", "circuit breaker"},
	{"realms.*.auth.http.pause", "", "circuit breaker"},
	{"realms.*.roles.*.name", "", "realm/auth, realm/policy"},
	{"realms.*.roles.*.permissions.*.uri", "realm.RealmConfig.Policy", "Permission.Meant"},
	{"realms.*.roles.*.permissions.*.match", "realm.RealmConfig.Policy", "Permission.Meant"},
	{"realms.*.roles.*.permissions.*.allow", "realm.RealmConfig.Policy", "everything for every role: nil"},
	{"realms.*.roles.*.permissions.*.disclose", "", "realm/policy"},
	{"realms.*.roles.*.authorizer", "", "realm: a call, with the session held"},
	{"realms.*.roles.*.authorizer.procedure", "", ""},
	{"realms.*.roles.*.authorizer.timeout", "", ""},
	{"realms.*.roles.*.authorizer.cache", "", "by authid, action, URI and match"},
	{"realms.*.roles.*.slow_consumers", "", "engine: queue, by role"},
	{"realms.*.roles.*.slow_consumers.policy", "", ""},
	{"realms.*.roles.*.slow_consumers.backlog_bytes_max", "", ""},
	{"realms.*.roles.*.slow_consumers.backlog_events_max", "", ""},
	{"realms.*.roles.*.slow_consumers.backlog_age_max", "", ""},
	{"realms.*.users.*.role", "", "realm/auth"},
	{"realms.*.users.*.ticket", "", "realm/auth"},
	{"realms.*.users.*.ticket.sha256", "", "realm/auth"},
	{"realms.*.users.*.ticket.argon2id", "", "realm/auth"},
	{"realms.*.users.*.ticket.file", "", "realm/auth"},
	{"realms.*.users.*.wampcra", "", "realm/auth"},
	{"realms.*.users.*.wampcra.secret_file", "", "realm/auth"},
	{"realms.*.users.*.wampcra.salt", "", "realm/auth"},
	{"realms.*.users.*.wampcra.iterations", "", "realm/auth"},
	{"realms.*.users.*.wampcra.keylen", "", "realm/auth"},
	{"realms.*.users.*.wampcra.key", "", "realm/auth"},
	{"realms.*.users.*.scram", "", "realm/auth"},
	{"realms.*.users.*.scram.kdf", "", "realm/auth"},
	{"realms.*.users.*.scram.salt", "", "realm/auth"},
	{"realms.*.users.*.scram.iterations", "", "realm/auth"},
	{"realms.*.users.*.scram.memory", "", "realm/auth"},
	{"realms.*.users.*.scram.stored_key", "", "realm/auth"},
	{"realms.*.users.*.scram.server_key", "", "realm/auth"},
	{"realms.*.users.*.cryptosign", "", "realm/auth"},
	{"realms.*.users.*.tls", "", "realm/auth"},
	{"realms.*.users.*.extra", "", "realm/auth"},
	{"realms.*.users_file", "config", "Load adds them to users"},
	{"realms.*.quotas.sessions_max", "", "realm: at join"},
	{"realms.*.quotas.sessions_per_authid_max", "", "realm: at join"},
	{"realms.*.quotas.subscriptions_max", "", "realm: counter of the realm"},
	{"realms.*.quotas.registrations_max", "", "realm: counter of the realm"},
	{"realms.*.quotas.calls_max", "", "realm: counter of the realm"},
	{"realms.*.slow_consumers", "", "engine: queue, by realm"},
	{"realms.*.slow_consumers.policy", "", ""},
	{"realms.*.slow_consumers.backlog_bytes_max", "", ""},
	{"realms.*.slow_consumers.backlog_events_max", "", ""},
	{"realms.*.slow_consumers.backlog_age_max", "", ""},

	{"templates.*.match", "realm.Config.Templates", "Template.Match"},

	{"drain.grace", "", "listeners stay open"},
	{"drain.spread", "", "engine: GOODBYE over time"},
	{"drain.timeout", "engine.Config.StopTimeout", ""},

	{"log.level", "cmd", "--log-level; live: slog.LevelVar"},
	{"log.format", "", "slog.JSONHandler"},
}

// TestEveryOptionIsWired: no option is without an entry in wires, and none is there that is no option.
func TestEveryOptionIsWired(t *testing.T) {
	wired := map[string]bool{}
	for _, w := range wires {
		if wired[w.path] {
			t.Errorf("%s has two entries", w.path)
		}
		wired[w.path] = true
		if w.target == "" && w.task == "" {
			parent := w.path[:strings.LastIndexByte(w.path, '.')]
			if !wired[parent] && !wired[strings.TrimSuffix(parent, ".*")] {
				t.Errorf("%s: neither a target nor a task, and no section above it has one", w.path)
			}
		}
	}
	for _, o := range leaves(root()) {
		if p := o.path; strings.HasPrefix(p, "templates.") && p != "templates.*.match" {
			continue
		} else if !wired[p] {
			t.Errorf("%s has no entry in wires", p)
		}
		delete(wired, o.path)
	}
	for p := range wired {
		t.Errorf("%s is in wires and no option", p)
	}
}

// leaves are the options that have a value, and the sections that are on by their presence.
func leaves(o *option) (all []*option) {
	for _, c := range o.fields {
		switch {
		case c.kind == section && !c.ptr:
			all = append(all, leaves(c)...)
		case c.kind == section:
			all = append(append(all, c), leaves(c)...)
		case c.item != nil:
			if c.key == "certificates" {
				all = append(all, c)
			}
			all = append(all, leaves(c.item)...)
		default:
			all = append(all, c)
		}
	}
	return all
}

// notOptions are fields of the engine and the realm that no operator sets.
var notOptions = map[string]string{
	"engine.Config.Live":      "its fields are looked at by themselves",
	"engine.Config.Dedicated": "true in the router's own process",
	"engine.Config.Page":      "a function",
	"engine.Config.Log":       "an object",
	"realm.Config.Realms":     "its fields are looked at by themselves",
	"realm.Config.Log":        "an object",
}

// TestEveryFieldHasAnOption: what engine and realm can be told, the file can say.
func TestEveryFieldHasAnOption(t *testing.T) {
	targets := map[string]bool{}
	for _, w := range wires {
		for target := range strings.SplitSeq(w.target, ", ") {
			targets[target] = true
		}
	}
	for name, typ := range map[string]reflect.Type{
		"engine.Config":     reflect.TypeFor[engine.Config](),
		"engine.Live":       reflect.TypeFor[engine.Live](),
		"realm.Config":      reflect.TypeFor[realm.Config](),
		"realm.RealmConfig": reflect.TypeFor[realm.RealmConfig](),
	} {
		for f := range typ.Fields() {
			field := name + "." + f.Name
			if !targets[field] && notOptions[field] == "" {
				t.Errorf("no option sets %s", field)
			}
			delete(targets, field)
		}
	}
	for target := range targets {
		if strings.Contains(target, ".") {
			t.Errorf("there is no field %s", target)
		}
	}
}
