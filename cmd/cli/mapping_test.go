package cli

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"banyan/cmd/config"
	"banyan/codec"
	"banyan/engine"
	"banyan/engine/port"
	"banyan/realm"
	"banyan/realm/policy"
)

// settingsOf is what a configuration says to engine and realms.
func settingsOf(t *testing.T, overrides ...config.Override) (engine.Config, realm.Config) {
	t.Helper()
	f, r := config.Load("", nil, overrides)
	if f == nil {
		t.Fatalf("%v: %v", overrides, r)
	}
	log := slog.New(slog.DiscardHandler)
	e, err := engineConfig(f, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	rc, err := realmConfig(f, f.Listeners, e.Loops, readKeys(t, f), log)
	if err != nil {
		t.Fatal(err)
	}
	// What cannot be compared, and does not depend on options.
	e.Page, e.Log, rc.Log = nil, nil, nil
	return e, rc
}

// differing are the fields in which two structs differ, with their values in b.
func differing(a, b any) (fields []string) {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		f := va.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			fields = append(fields, differing(va.Field(i).Interface(), vb.Field(i).Interface())...)
		} else if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			fields = append(fields, f.Name)
		}
	}
	return fields
}

func deflates(r engine.DeflateRule) []engine.ListenerRules {
	return []engine.ListenerRules{{Origins: []string{}, Deflate: r}}
}

// TestOptionsReachTheirFields: each option changes the field that it stands for, with its value, and no other.
func TestOptionsReachTheirFields(t *testing.T) {
	e0, r0 := settingsOf(t)
	for _, c := range []struct {
		path, value string
		field       string // of the engine's or the realms' configuration
		want        any    // nil: it is looked at by another test
	}{
		{"process.agent", "Me", "Agent", "Me"},
		{"listeners.0.address", "unix:/x", "Listen ListenNames Protocols Listeners", nil},
		{"listeners.0.name", "one", "ListenNames Listeners", nil},
		{"listeners.0.origins", "a.example, [::1]", "Listeners", nil},
		{"listeners.0.anonymous", "none", "Listeners", nil},
		{"listeners.0.proxy_protocol", "required", "ProxyProtocol", nil},
		{"listeners.0.trusted_proxies", "10.0.0.0/8", "Listeners", nil},
		{"listeners.0.protocols", "websocket", "Protocols", nil},
		{"listeners.0.long_poll", "/lp", "LongPoll", nil},
		{"limits.connections_max", "5", "ConnectionsMax", 5},
		{"limits.address_bits_v4", "24", "AddressBitsV4 AuthFailures", nil},
		{"limits.address_bits_v6", "48", "AddressBitsV6 AuthFailures", nil},
		{"limits.connections_per_address_max", "5", "ConnectionsPerAddressMax", 5},
		{"limits.connections_per_second_max", "5", "ConnectionsPerSecondMax", 5},
		{"limits.handshakes_max", "5", "HandshakesMax", 5},
		{"limits.retry_after", "1m", "RetryAfter", time.Minute},
		{"limits.messages_per_second_max", "5", "MessagesPerSecondMax", 5},
		{"limits.bytes_per_second_max", "1MiB", "BytesPerSecondMax", int64(1 << 20)},
		{"limits.tls_handshakes_max", "5", "TLSHandshakesMax", 5},
		{"limits.handshake_timeout", "1m", "HandshakeTimeout", time.Minute},
		{"limits.hello_timeout", "1m", "HelloTimeout", time.Minute},
		{"limits.goodbye_timeout", "1s", "GoodbyeTimeout", time.Second},
		{"limits.auth_timeout", "1m", "AuthTimeout", time.Minute},
		{"limits.auth_failures_per_address_max", "5", "AuthFailures", nil},
		{"limits.auth_failures_per_authid_max", "0", "AuthFailures", nil},
		{"limits.message_bytes_max", "1MiB", "MessageBytesMax", 1 << 20},
		{"limits.peer_message_bytes_min", "1KiB", "PeerMessageBytesMin", 1 << 10},
		{"limits.message_timeout", "1m", "MessageTimeout", time.Minute},
		{"limits.message_timeout", "0", "MessageTimeout", time.Duration(-1)},
		{"limits.uri_bytes_max", "100", "URIBytesMax", 100},
		{"limits.depth_max", "100", "DepthMax", 100},
		{"limits.subscriptions_max", "20000", "SubscriptionsMax", 20_000},
		{"limits.patterns_max", "5", "PatternsMax", 5},
		{"limits.filter_entries_max", "5", "FilterEntriesMax", 5},
		{"limits.registrations_max", "5", "RegistrationsMax", 5},
		{"limits.callees_max", "5", "CalleesMax", 5},
		{"limits.calls_max", "5", "CallsMax", 5},
		{"budget.bytes", "1GiB", "BudgetBytes", int64(1 << 30)},
		{"listeners.0.deflate", "always", "Listeners", deflates(engine.DeflateAlways)},
		{"listeners.0.deflate", "unencrypted", "Listeners", deflates(engine.DeflateUnencrypted)},
		{"limits.deflate_bytes_min", "1KiB", "DeflateBytesMin", 1024},
		{"budget.bytes", "16MiB", "MessageBytesMax BudgetBytes", nil},
		{"keepalive.ping_interval", "1m", "PingInterval", time.Minute},
		{"keepalive.ping_interval", "0", "PingInterval", time.Duration(-1)},
		{"keepalive.ping_timeout", "1m", "PingTimeout", time.Minute},
		{"keepalive.rawsocket_pings", "true", "RawSocketPings", true},
		{"slow_consumers.policy", "drop_newest", "SlowConsumer", port.DropNewest},
		{"slow_consumers.policy", "drop_oldest", "SlowConsumer", port.DropOldest},
		{"slow_consumers.policy", "keep_latest", "SlowConsumer", port.KeepLatest},
		{"slow_consumers.backlog_events_max", "5", "BacklogEventsMax", 5},
		{"slow_consumers.backlog_age_max", "5s", "BacklogAgeMax", 5 * time.Second},
		{"slow_consumers.slow_after", "5s", "SlowAfter", 5 * time.Second},
		{"realms.0.slow_consumers.policy", "keep_latest", "Realms", nil},
		{"slow_consumers.backlog_bytes_max", "1MiB", "BacklogBytesMax", 1 << 20},
		{"slow_consumers.credit_bytes", "1MiB", "CreditBytes", int64(1 << 20)},
		{"drain.timeout", "1m", "StopTimeout", time.Minute},
		{"realms.0.strict_uris", "true", "Realms", nil},
		{"realms.0.ppt_strict", "false", "Realms", nil},
		{"realms.0.modify_details", "true", "Realms", nil},
		{"realms.0.sharding", "true", "Realms", nil},
		{"history.memory_bytes_max", "5MiB", "HistoryBytesMax", int64(5 << 20)},
		{"realms.0.retention.enabled", "false", "Realms", nil},
		{"realms.0.retention.events_max", "5", "Realms", nil},
		{"realms.0.retention.bytes_max", "5KiB", "Realms", nil},
		{"realms.0.retention.found_max", "5", "Realms", nil},
	} {
		more := []config.Override{{Path: c.path, Value: c.value}}
		if c.path == "listeners.0.proxy_protocol" {
			more = append(more, config.Override{Path: "listeners.0.trusted_proxies", Value: "10.0.0.0/8"})
			c.field = "Listeners " + c.field
		}
		e, r := settingsOf(t, more...)
		got := append(differing(e0, e), differing(r0, r)...)
		if !slices.Equal(got, strings.Fields(c.field)) {
			t.Errorf("%s=%s changes %q, want %s", c.path, c.value, got, c.field)
			continue
		}
		v := reflect.ValueOf(e).FieldByName(c.field)
		if !v.IsValid() {
			v = reflect.ValueOf(r).FieldByName(c.field)
		}
		if c.want != nil && !reflect.DeepEqual(v.Interface(), c.want) {
			t.Errorf("%s=%s: %s is %v, want %v", c.path, c.value, c.field, v, c.want)
		}
	}
	e, r := settingsOf(t, config.Override{Path: "process.loops", Value: "3"})
	if e.Loops != 3 || r.Loops != 3 {
		t.Errorf("%d and %d loops", e.Loops, r.Loops)
	}
	if r0.Agent != "Banyan "+version {
		t.Errorf("the router calls itself %q", r0.Agent)
	}
	_, r = settingsOf(t, config.Override{Path: "limits.realms_max", Value: "5"}, config.Override{
		Path: "templates", Value: "[{ uri: t., auth: { anonymous: {} }, roles: [{ name: anonymous }] }]",
	})
	if r.RealmsMax != 5 {
		t.Errorf("%d realms", r.RealmsMax)
	}
}

// TestDefaults: without a file, engine and realms are told what they would do by themselves.
func TestDefaults(t *testing.T) {
	e, r := settingsOf(t)
	if e.HandshakeTimeout != 10*time.Second || e.PingInterval != 25*time.Second ||
		e.MessageTimeout != 30*time.Second ||
		e.PingTimeout != 0 || e.BacklogBytesMax != 64<<20 || e.CreditBytes != 64<<10 || e.MessageBytesMax != 16<<20 {
		t.Errorf("%+v", e.Live)
	}
	if rm := r.Realms[0]; rm.URI != "realm1" || rm.Auth != nil || rm.Policy != nil || rm.Authorizers != nil ||
		rm.Anonymous != realm.AnonymousLocal || rm.LaxPassthru {
		t.Errorf("%+v", rm)
	}
	_, r = settingsOf(t, config.Override{Path: "realms.0.ppt_strict", Value: "false"})
	if !r.Realms[0].LaxPassthru || r.Realms[0].ModifyDetails || r.Realms[0].Sharding {
		t.Errorf("%+v", r.Realms[0])
	}
	if _, r = settingsOf(t, config.Override{Path: "realms.0.sharding", Value: "true"}); !r.Realms[0].Sharding {
		t.Error("sharding is not on")
	}
}

// TestTrustLevels: a level of a permission is one, 0 too, and -1 is none.
func TestTrustLevels(t *testing.T) {
	for text, want := range map[string]uint32{"": 0, "trustlevel: -1": 0, "trustlevel: 0": 1, "trustlevel: 7": 8} {
		_, r := settingsOf(t, config.Override{
			Path: "realms.0.roles.0.permissions", Value: "[{ uri: a, allow: [call], " + text + " }]",
		})
		d := r.Realms[0].Policy.Decide("anonymous", policy.Call, []byte("a"), codec.Exact)
		if !d.Allow || d.Trust != want {
			t.Errorf("%q: %+v", text, d)
		}
	}
	_, r := settingsOf(t, config.Override{
		Path:  "realms.0.roles.0.permissions",
		Value: "[{ uri: '*', allow: [call, register, publish, subscribe], trustlevel: 0 }]",
	})
	if r.Realms[0].Policy == nil {
		t.Error("a realm with a trust level has no policy")
	}
}

// TestBacklogs: a realm and its roles differ from the router in what they say, and in nothing else.
func TestBacklogs(t *testing.T) {
	_, r := settingsOf(t,
		config.Override{Path: "slow_consumers.backlog_bytes_max", Value: "2MiB"},
		config.Override{Path: "slow_consumers.backlog_age_max", Value: "9s"},
		config.Override{Path: "realms.0.slow_consumers.policy", Value: "keep_latest"},
		config.Override{
			Path: "realms.0.roles.0.slow_consumers", Value: "{ backlog_events_max: 7, backlog_bytes_max: 1MiB }",
		},
	)
	rm := r.Realms[0]
	want := port.Backlog{BytesMax: 2 << 20, AgeMax: 9 * time.Second, Policy: port.KeepLatest}
	if rm.Backlog == nil || *rm.Backlog != want {
		t.Errorf("the realm has %+v, want %+v", rm.Backlog, want)
	}
	want.BytesMax, want.EventsMax = 1<<20, 7
	if b := rm.RoleBacklogs["anonymous"]; b == nil || *b != want {
		t.Errorf("the role has %+v, want %+v", b, want)
	}
}
