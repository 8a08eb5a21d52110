package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"banyan/codec"

	"github.com/google/go-cmp/cmp"
)

// TestCompileProblems: everything that is wrong is reported at once, with its place.
func TestCompileProblems(t *testing.T) {
	s, problems := Compile([]RoleDefinition{
		{Name: "a", Cache: true, Permissions: []Permission{
			{URI: "com.x", Allow: allowAll},
			{URI: "com.x", Match: "exact", Allow: allowNone},
			{URI: "com.x", Match: "prefix", Allow: allowAll},
			{URI: "com.x*", Allow: allowAll},
			{URI: "com.x", Match: "glob"},
			{URI: "", Allow: allowAll},
			{URI: "com..x", Allow: allowAll},
			{URI: "com..x", Match: "prefix", Allow: allowAll},
			{URI: "com. x", Match: "wildcard", Allow: allowAll},
			{URI: "com.*", Match: "prefix", Allow: allowAll},
			{URI: "com.y", Allow: allowAll, Cache: true},
			{URI: "com.z", Cache: true},
			{URI: "com.d", Allow: &Actions{Publish: true}, Disclose: Disclose{Caller: true}},
			{URI: "com.e", Allow: &Actions{Call: true}, Disclose: Disclose{Publisher: true}},
			{URI: "wamp.", Match: "prefix", Allow: allowAll},
			{URI: "wamp.f", Allow: &Actions{Call: true, Subscribe: true}},
			{URI: "wamp", Match: "prefix", Allow: allowAll},
		}},
		{Name: "", Permissions: []Permission{{URI: "#"}}},
		{Name: "a"},
		{Name: "trusted"},
	}, false)
	if s != nil {
		t.Error("there is a snapshot in spite of mistakes")
	}
	var got []string
	for _, p := range problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		got = append(got, fmt.Sprintf("%s %d %d %s", kind, p.Role, p.Permission, p.Field))
	}
	want := []string{
		"warning 0 -1 cache",
		"error 0 1 uri", "error 0 3 uri", "error 0 4 match", "error 0 5 uri", "error 0 6 uri", "error 0 7 uri",
		"error 0 8 uri", "warning 0 9 uri", "warning 0 10 cache", "warning 0 11 cache", "warning 0 12 disclose",
		"warning 0 13 disclose", "warning 0 14 allow", "warning 0 14 allow",
		"error 1 -1 name", "error 1 0 uri", "error 2 -1 name", "error 3 -1 name",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	text := problems.Err().Error()
	for _, part := range []string{
		`roles.0.permissions.1.uri: "com.x" with match exact is permissions.0 already`,
		"roles.0.permissions.4.match: ", `roles.2.name: "a" is roles.0 already`,
	} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
	if strings.Contains(text, "has no effect") {
		t.Errorf("warnings among errors: %s", text)
	}
}

// TestCompileWarnings: warnings alone do not keep a snapshot from being made.
func TestCompileWarnings(t *testing.T) {
	s, problems := Compile([]RoleDefinition{{Name: "a", Permissions: []Permission{
		{Match: "prefix", Allow: allowAll, Cache: true}, // as in every file of Crossbar.io
	}}}, false)
	if s == nil || problems.Err() != nil || len(problems) != 1 || !problems[0].Warning {
		t.Errorf("%v, %v", s, problems)
	}
	s, problems = Compile([]RoleDefinition{{Name: "a", Dynamic: true, Cache: true, Permissions: []Permission{
		{Match: "prefix", Allow: allowAll, Disclose: Disclose{true, true}},
		{URI: "wamp.", Match: "prefix", Cache: true, Disclose: Disclose{true, true}},
	}}}, false)
	if s == nil || len(problems) != 0 {
		t.Errorf("%v, %v", s, problems)
	}
	if s, problems = Compile(nil, true); s == nil || len(problems) != 0 || s.Role("a") != nil {
		t.Errorf("no definitions: %v, %v", s, problems)
	}
}

// TestCompileStrict: a realm with strict URIs takes no permission that cannot match there (PROTOCOL 3.1).
func TestCompileStrict(t *testing.T) {
	for uri, strict := range map[string]bool{"com.a_1": true, "com.A": false, "com.a-b": false, "com.é": false} {
		for _, match := range matchNames {
			def := []RoleDefinition{{Name: "a", Permissions: []Permission{{URI: uri, Match: match, Allow: allowAll}}}}
			if s, _ := Compile(def, false); s == nil {
				t.Errorf("%q (%s) is refused in a realm with loose URIs", uri, match)
			}
			if s, _ := Compile(def, true); (s != nil) != strict {
				t.Errorf("%q (%s), strict: %v", uri, match, s != nil)
			}
		}
	}
}

// TestCompileLimits tries both limits at n and n+1.
func TestCompileLimits(t *testing.T) {
	roles := make([]RoleDefinition, RolesMax+1)
	permissions := make([]Permission, PermissionsMax+1)
	for i := range roles {
		roles[i].Name = fmt.Sprint("r", i)
	}
	for i := range permissions {
		permissions[i] = Permission{URI: fmt.Sprint("com.p", i), Allow: allowAll}
	}
	for n, want := range []string{"", fmt.Sprintf("[roles.%d.name]", RolesMax)} {
		s, problems := Compile(roles[:RolesMax+n], false)
		if got := places(problems); got != want || (s != nil) != (want == "") {
			t.Errorf("%d roles: %s, want %s", RolesMax+n, got, want)
		}
	}
	for n, want := range []string{"", "[roles.0.permissions]"} {
		s, problems := Compile([]RoleDefinition{{Name: "a", Permissions: permissions[:PermissionsMax+n]}}, false)
		if got := places(problems); got != want || (s != nil) != (want == "") {
			t.Errorf("%d permissions: %s, want %s", PermissionsMax+n, got, want)
		}
	}
}

func places(problems Problems) string {
	if len(problems) == 0 {
		return ""
	}
	var at []string
	for _, p := range problems {
		where, _, _ := strings.Cut(p.String(), ": ")
		at = append(at, where)
	}
	return fmt.Sprint(at)
}

// TestCompileKeepsNothing: a snapshot does not change when its definitions do.
func TestCompileKeepsNothing(t *testing.T) {
	allow := *allowAll
	def := []RoleDefinition{{Name: "a", Permissions: []Permission{{URI: "com.a", Allow: &allow}}}}
	s, _ := Compile(def, false)
	allow = Actions{}
	def[0].Permissions[0] = Permission{URI: "com.b"}
	def[0].Name = "b"
	if !s.Decide("a", Call, []byte("com.a"), codec.Exact).Allow || s.Role("a").Name() != "a" {
		t.Error("the snapshot changed")
	}
}

// TestActionNames are those of PROTOCOL 11, and the numbers those of realm.Action.
func TestActionNames(t *testing.T) {
	var names []string
	for a := range Action(actionsMany + 1) {
		names = append(names, a.String())
	}
	if want := []string{"publish", "subscribe", "register", "call", "unknown action"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
}
