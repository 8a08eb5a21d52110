package realm

import (
	"strings"
	"testing"
	"time"

	"banyan/codec"
	"banyan/engine/port"
)

// A session has the backlog of its role, or of its realm, from WELCOME on, and that of a new configuration as soon as
// it is in force.
func TestBacklogOfRoles(t *testing.T) {
	of := func(bytes int) *port.Backlog { return &port.Backlog{BytesMax: bytes} }
	realms := func(all *port.Backlog, roles map[string]*port.Backlog) Config {
		return Config{Realms: []RealmConfig{{URI: "realm1", Backlog: all, RoleBacklogs: roles}}}
	}
	wide, narrow := of(1<<20), of(64<<10)
	b := newBed(t, 2, realms(wide, map[string]*port.Backlog{"other": narrow}))
	p := b.join(1)
	if p.Backlog != wide {
		t.Errorf("%+v, want that of the realm", p.Backlog)
	}
	for _, c := range []struct {
		config Config
		want   *port.Backlog
	}{
		{realms(wide, map[string]*port.Backlog{anonymousRole: narrow}), narrow},
		{realms(wide, nil), wide},
		{realms(nil, nil), nil},
		{realms(nil, map[string]*port.Backlog{anonymousRole: wide}), wide},
	} {
		b.apply(c.config)
		if p.Backlog != c.want {
			t.Errorf("%+v, want %+v", p.Backlog, c.want)
		}
		if later := b.join(0); later.Backlog != c.want {
			t.Errorf("%+v for a new session, want %+v", later.Backlog, c.want)
		}
	}
	for text, bad := range map[string]*port.Backlog{
		"at least 65536": of(64<<10 - 1), "of age": {BytesMax: 1 << 20, AgeMax: -time.Second},
		"unknown slow": {BytesMax: 1 << 20, Policy: port.KeepLatest + 1},
	} {
		for _, cfg := range []Config{realms(bad, nil), realms(nil, map[string]*port.Backlog{"r": bad})} {
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

// KeepLatest may replace events of one topic only: those of an exact subscription.
func TestTopicOfSubscriptions(t *testing.T) {
	for match, want := range map[codec.Match]uint64{codec.Exact: 7, codec.Prefix: 0, codec.Wildcard: 0} {
		if got := newSubscription(7, "a", match, 0, 1).topic(); got != want {
			t.Errorf("match %v: %d, want %d", match, got, want)
		}
	}
}
