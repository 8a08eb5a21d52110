package policy

import (
	"strings"
	"testing"

	"banyan/codec"
)

// TestTrust: publications and calls that a permission allows have its trust level, nothing else has one, and the
// permission that decides about the URI is the one that counts.
func TestTrust(t *testing.T) {
	t.Attr("checklist", "PUB-30 RPC-80")
	r := compile(t, RoleDefinition{Dynamic: true, Permissions: []Permission{
		{URI: "a.*", Allow: allowAll, Trusted: true, TrustLevel: 7},
		{URI: "a.zero", Allow: allowAll, Trusted: true},
		{URI: "a.none", Allow: allowAll, TrustLevel: 9},
		{URI: "a.call", Allow: &Actions{Call: true}, Trusted: true, TrustLevel: 5},
		{URI: "a.publish", Allow: &Actions{Publish: true}, Trusted: true, TrustLevel: TrustLevelMax},
		{URI: "a.ask", Trusted: true, TrustLevel: 2},
	}})
	for uri, want := range map[string][actionsMany]uint32{ // publish, subscribe, register, call
		"a.x":       {8, 0, 0, 8},
		"a.zero":    {1, 0, 0, 1},
		"a.none":    {},
		"a.call":    {0, 0, 0, 6},
		"a.publish": {TrustLevelMax + 1, 0, 0, 0},
		"a.ask":     {3, 0, 0, 3},
		"b":         {},
	} {
		for a := range Action(actionsMany) {
			if got := r.Decide(a, []byte(uri), codec.Exact).Trust; got != want[a] {
				t.Errorf("%s %s: %d, want %d", a, uri, got, want[a])
			}
		}
	}
}

// TestTrustCompiled: levels are bounded, a level without effect is a warning, and a changed one is a difference.
func TestTrustCompiled(t *testing.T) {
	one := func(allow *Actions, trusted bool, level int) (*Snapshot, Problems) {
		return Compile([]RoleDefinition{{Name: "r", Permissions: []Permission{
			{URI: "a", Allow: allow, Trusted: trusted, TrustLevel: level},
		}}}, false)
	}
	for level, good := range map[int]bool{-1: false, 0: true, TrustLevelMax: true, TrustLevelMax + 1: false} {
		s, problems := one(allowAll, true, level)
		where := ""
		if !good {
			where = "[roles.0.permissions.0.trustlevel]"
		}
		if (s != nil) != good || places(problems) != where {
			t.Errorf("%d: %v", level, problems)
		}
	}
	for _, c := range []struct {
		allow Actions
		warns int
	}{{Actions{Publish: true}, 0}, {Actions{Call: true}, 0}, {Actions{Subscribe: true, Register: true}, 1}} {
		if s, problems := one(&c.allow, true, 3); s == nil || len(problems) != c.warns {
			t.Errorf("%+v: %v", c.allow, problems)
		}
	}
	none, _ := one(allowAll, false, 0)
	zero, _ := one(allowAll, true, 0)
	five, _ := one(&Actions{Publish: true}, true, 5)
	if changes := Diff(none, zero); len(changes) != 1 || !strings.HasSuffix(changes[0].After, ", trust level 0") {
		t.Errorf("%v", changes)
	}
	if changes := Diff(zero, five); len(changes) != 1 || !strings.HasSuffix(changes[0].After, ", trust level 5") {
		t.Errorf("%v", changes)
	}
}
