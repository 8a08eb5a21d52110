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
	// target is the field that takes the value, such as engine.Live.MessageBytesMax; cmd and config are these
	// packages.
	target string
	// note is what is special about it, in a few words.
	note string
}

// wires are all options, in the order of the documentation. Those of templates are those of realms.
var wires = []wire{
	{"version", "config", "Load refuses other forms"},
	{"process.loops", "engine.Config.Loops, realm.Config.Loops", "0: one for each CPU"},
	{"process.data_dir", "cmd", "the control socket and the key of mock challenges"},
	{"process.control_socket", "cmd", ""},
	{"process.watch", "cmd", ""},
	{"process.agent", "realm.Config.Agent", "empty: Banyan and the version"},

	{"listeners.*.name", "cmd, realm.Config.Listeners, engine.Config.ListenNames", ""},
	{"listeners.*.address", "engine.Config.Listen", ""},
	{"listeners.*.protocols", "engine.Config.Protocols", ""},
	{"listeners.*.file", "engine.Config.UnixFiles", ""},
	{"listeners.*.file.mode", "engine.Config.UnixFiles", "octal"},
	{"listeners.*.file.owner", "engine.Config.UnixFiles", "name or number"},
	{"listeners.*.file.group", "engine.Config.UnixFiles", "name or number"},
	{"listeners.*.origins", "engine.Live.Listeners", ""},
	{"listeners.*.long_poll", "engine.Config.LongPoll", ""},
	{"listeners.*.deflate", "engine.Live.Listeners", ""},
	{"listeners.*.anonymous", "realm.Config.Listeners", ""},
	{"listeners.*.auth_methods", "realm.Config.Listeners", ""},
	{"listeners.*.tls", "engine.Config.TLS", ""},
	{"listeners.*.tls.certificates", "engine.Config.TLS", ""},
	{"listeners.*.tls.certificates.*.certificate", "engine.Config.TLS", ""},
	{"listeners.*.tls.certificates.*.key", "engine.Config.TLS", ""},
	{"listeners.*.tls.certificates.*.ocsp", "engine.Config.TLS", ""},
	{"listeners.*.tls.acme", "engine.Config.TLS", "with -tags acme; cmd fetches, bench/interop/acme sees it"},
	{"listeners.*.tls.acme.domains", "cmd", "with -tags acme, as all of these"},
	{"listeners.*.tls.acme.agree_to_terms", "config", "without it the file is refused"},
	{"listeners.*.tls.acme.email", "cmd", ""},
	{"listeners.*.tls.acme.eab", "cmd", ""},
	{"listeners.*.tls.acme.eab.key_id", "cmd", ""},
	{"listeners.*.tls.acme.eab.hmac_key_file", "cmd", ""},
	{"listeners.*.tls.acme.directory", "cmd", ""},
	{"listeners.*.tls.acme.directory_ca", "cmd", ""},
	{"listeners.*.tls.acme.challenges", "cmd", ""},
	{"listeners.*.tls.acme.port_http", "cmd", ""},
	{"listeners.*.tls.acme.renew_interval", "cmd", ""},
	{"listeners.*.tls.plain", "engine.Config.TLS", ""},
	{"listeners.*.tls.min_version", "engine.Config.TLS", ""},
	{"listeners.*.tls.client_ca", "engine.Config.TLS", ""},
	{"listeners.*.tls.client_certificates", "engine.Config.TLS", ""},
	{"listeners.*.tls.alpn", "engine.Config.TLS", ""},
	{"listeners.*.tls.session_tickets", "engine.Config.TLS", ""},
	{"listeners.*.tls.hsts", "engine.Config.TLS", ""},
	{"listeners.*.proxy_protocol", "engine.Config.ProxyProtocol", ""},
	{"listeners.*.trusted_proxies", "engine.Live.Listeners", ""},

	{"limits.connections_max", "engine.Live.ConnectionsMax", ""},
	{"limits.connections_per_address_max", "engine.Live.ConnectionsPerAddressMax", ""},
	{"limits.address_bits_v4", "realm.Config.AuthFailures, engine.Live.AddressBitsV4", ""},
	{"limits.address_bits_v6", "realm.Config.AuthFailures, engine.Live.AddressBitsV6", ""},
	{"limits.connections_per_second_max", "engine.Live.ConnectionsPerSecondMax", ""},
	{"limits.handshakes_max", "engine.Live.HandshakesMax", ""},
	{"limits.retry_after", "engine.Live.RetryAfter", ""},
	{"limits.tls_handshakes_max", "engine.Live.TLSHandshakesMax", ""},
	{"limits.handshake_timeout", "engine.Live.HandshakeTimeout", ""},
	{"limits.hello_timeout", "realm.Config.HelloTimeout", ""},
	{"limits.goodbye_timeout", "realm.Config.GoodbyeTimeout", ""},
	{"limits.auth_timeout", "realm.Config.AuthTimeout", ""},
	{"limits.auth_failures_per_address_max", "realm.Config.AuthFailures", "0: -1 there"},
	{"limits.auth_failures_per_authid_max", "realm.Config.AuthFailures", "0: -1 there"},
	{"limits.message_bytes_max", "engine.Live.MessageBytesMax", ""},
	{"limits.peer_message_bytes_min", "engine.Live.PeerMessageBytesMin", ""},
	{"limits.message_timeout", "engine.Live.MessageTimeout", "0: -1 there"},
	{"limits.messages_per_second_max", "engine.Live.MessagesPerSecondMax", ""},
	{"limits.bytes_per_second_max", "engine.Live.BytesPerSecondMax", ""},
	{"limits.uri_bytes_max", "realm.Config.URIBytesMax", ""},
	{"limits.deflate_bytes_min", "realm.Config.DeflateBytesMin", ""},
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

	{"slow_consumers.policy", "engine.Live.SlowConsumer", ""},
	{"slow_consumers.backlog_bytes_max", "engine.Live.BacklogBytesMax", ""},
	{"slow_consumers.backlog_events_max", "engine.Live.BacklogEventsMax", ""},
	{"slow_consumers.backlog_age_max", "engine.Live.BacklogAgeMax", ""},
	{"slow_consumers.slow_after", "engine.Live.SlowAfter", ""},
	{"slow_consumers.credit_bytes", "engine.Live.CreditBytes", ""},

	{"realms.*.uri", "realm.RealmConfig.URI", ""},
	{"realms.*.strict_uris", "realm.RealmConfig.StrictURIs", ""},
	{"realms.*.strict_request_ids", "realm.RealmConfig.StrictRequestIDs", ""},
	{"realms.*.enforce_roles", "realm.RealmConfig.EnforceRoles", ""},
	{"realms.*.forbid_disclosure", "realm.RealmConfig.ForbidDisclosure", ""},
	{"realms.*.call_timeout_unit", "realm.RealmConfig.TimeoutSeconds", ""},
	{"realms.*.modify_details", "realm.RealmConfig.ModifyDetails", ""},
	{"realms.*.sharding", "realm.RealmConfig.Sharding", ""},
	{"realms.*.ppt_strict", "realm.RealmConfig.LaxPassthru", ""},
	{"realms.*.authid_uniqueness", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.anonymous", "realm.RealmConfig.Anonymous", "without it: AnonymousNone"},
	{"realms.*.auth.anonymous.role", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.anonymous.from", "realm.RealmConfig.Anonymous, realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.allow_plain", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.keys_url", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.keys_file", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.refresh", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.issuer", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.audience", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.authid_prefix", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.authid_claim", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.role_claim", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.role", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.algorithms", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.ticket.jwt.leeway", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.wampcra", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.wamp-scram", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.scram", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.cryptosign", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.cryptosign.require_channel_binding", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.cryptosign.router_key_file", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.tls", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.cookie", "realm.RealmConfig.Auth, engine.Live.Cookie", ""},
	{"realms.*.auth.cookie.allow_plain", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.dynamic", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.dynamic.procedure", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.dynamic.realm", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.dynamic.methods", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.dynamic.timeout", "realm.RealmConfig.Auth", ""},
	{"realms.*.auth.http", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.url", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.secret_file", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.methods", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.timeout", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.retries", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.failures_max", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.auth.http.pause", "realm.RealmConfig.Authenticator", ""},
	{"realms.*.roles.*.name", "realm.RealmConfig.Policy", ""},
	{"realms.*.roles.*.permissions.*.uri", "realm.RealmConfig.Policy", "Permission.Meant"},
	{"realms.*.roles.*.permissions.*.match", "realm.RealmConfig.Policy", "Permission.Meant"},
	{"realms.*.roles.*.permissions.*.allow", "realm.RealmConfig.Policy", "nil if all may do everything"},
	{"realms.*.roles.*.permissions.*.disclose", "realm.RealmConfig.Policy", ""},
	{"realms.*.roles.*.permissions.*.trustlevel", "realm.RealmConfig.Policy", ""},
	{"realms.*.roles.*.authorizer", "realm.RealmConfig.Authorizers", ""},
	{"realms.*.roles.*.authorizer.procedure", "realm.RealmConfig.Authorizers", ""},
	{"realms.*.roles.*.authorizer.timeout", "realm.RealmConfig.Authorizers", ""},
	{"realms.*.roles.*.authorizer.cache", "realm.RealmConfig.Authorizers", ""},
	{"realms.*.roles.*.slow_consumers", "realm.RealmConfig.RoleBacklogs", ""},
	{"realms.*.roles.*.slow_consumers.policy", "realm.RealmConfig.RoleBacklogs", ""},
	{"realms.*.roles.*.slow_consumers.backlog_bytes_max", "realm.RealmConfig.RoleBacklogs", ""},
	{"realms.*.roles.*.slow_consumers.backlog_events_max", "realm.RealmConfig.RoleBacklogs", ""},
	{"realms.*.roles.*.slow_consumers.backlog_age_max", "realm.RealmConfig.RoleBacklogs", ""},
	{"realms.*.users.*.role", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.ticket", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.ticket.sha256", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.ticket.argon2id", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.ticket.file", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra.secret_file", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra.salt", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra.iterations", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra.keylen", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.wampcra.key", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.kdf", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.salt", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.iterations", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.memory", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.stored_key", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.scram.server_key", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.kdf", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.salt", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.iterations", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.memory", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.stored_key", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.crossbar.server_key", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.cryptosign", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.tls", "realm.RealmConfig.Auth", ""},
	{"realms.*.users.*.extra", "realm.RealmConfig.Auth", ""},
	{"realms.*.users_file", "config", "Load adds them to users"},
	{"realms.*.quotas.sessions_max", "realm.RealmConfig.Quotas", ""},
	{"realms.*.quotas.sessions_per_authid_max", "realm.RealmConfig.Quotas", ""},
	{"realms.*.quotas.subscriptions_max", "realm.RealmConfig.Quotas", ""},
	{"realms.*.quotas.registrations_max", "realm.RealmConfig.Quotas", ""},
	{"realms.*.quotas.calls_max", "realm.RealmConfig.Quotas", ""},
	{"realms.*.retention.enabled", "realm.RealmConfig.Retention", ""},
	{"realms.*.retention.topics.*.uri", "realm.RealmConfig.Retention", ""},
	{"realms.*.retention.topics.*.match", "realm.RealmConfig.Retention", ""},
	{"realms.*.retention.events_max", "realm.RealmConfig.Retention", ""},
	{"realms.*.retention.bytes_max", "realm.RealmConfig.Retention", ""},
	{"realms.*.retention.found_max", "realm.RealmConfig.Retention", ""},
	{"realms.*.history.*.uri", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.match", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.store", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.events_max", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.bytes_max", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.age_max", "realm.RealmConfig.History", ""},
	{"realms.*.history.*.acknowledge", "realm.RealmConfig.History", ""},
	{"history.memory_bytes_max", "realm.Config.HistoryBytesMax", ""},
	{"history.disk_bytes_max", "cmd", "the store on disk"},
	{"history.disk_queue_bytes_max", "cmd", "the store on disk"},
	{"history.disk_wait", "cmd", "the store on disk; 0 is -1 there"},
	{"realms.*.slow_consumers", "realm.RealmConfig.Backlog", ""},
	{"realms.*.slow_consumers.policy", "realm.RealmConfig.Backlog", ""},
	{"realms.*.slow_consumers.backlog_bytes_max", "realm.RealmConfig.Backlog", ""},
	{"realms.*.slow_consumers.backlog_events_max", "realm.RealmConfig.Backlog", ""},
	{"realms.*.slow_consumers.backlog_age_max", "realm.RealmConfig.Backlog", ""},

	{"templates.*.match", "realm.Config.Templates", "Template.Match"},

	{"cookies.name", "engine.Live.Cookie", ""},
	{"cookies.max_age", "engine.Live.Cookie, realm.RealmConfig.Auth", ""},
	{"cookies.entries_max", "realm.RealmConfig.Auth", ""},

	{"drain.grace", "cmd", ""},
	{"drain.spread", "cmd", ""},
	{"drain.timeout", "engine.Config.StopTimeout", ""},

	{"log.level", "cmd", "--log-level; live: slog.LevelVar"},
	{"log.format", "cmd", ""},
}

// TestEveryOptionIsWired: no option is without an entry in wires, and none is there that is no option.
func TestEveryOptionIsWired(t *testing.T) {
	wired := map[string]bool{}
	for _, w := range wires {
		if wired[w.path] {
			t.Errorf("%s has two entries", w.path)
		}
		wired[w.path] = true
		if w.target == "" {
			t.Errorf("%s does nothing", w.path)
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
	"engine.Live.Origins":              "Listeners say it for each",
	"engine.Live.TrustedProxies":       "Listeners say it for each",
	"engine.Live.Deflate":              "Listeners say it for each",
	"engine.Config.Live":               "its fields are looked at by themselves",
	"engine.Config.Dedicated":          "true in the router's own process",
	"engine.Config.Page":               "a function",
	"engine.Config.AuthoritiesChanged": "a function",
	"engine.Config.Log":                "an object",
	"engine.Live.Draining":             "set while a stop is under way",
	"engine.Live.Leaving":              "set while a stop is under way",
	"realm.Config.Realms":              "its fields are looked at by themselves",
	"realm.Config.Disk":                "an object",
	"realm.Config.Log":                 "an object",
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
			if f.IsExported() && !targets[field] && notOptions[field] == "" {
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
