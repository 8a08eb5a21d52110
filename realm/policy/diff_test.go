package policy

import (
	"math/rand/v2"
	"testing"

	"banyan/codec"

	"github.com/google/go-cmp/cmp"
)

// TestDiff: a reload can say what changed for each role, and nothing else.
func TestDiff(t *testing.T) {
	snapshot := func(definitions ...RoleDefinition) *Snapshot {
		t.Helper()
		s, problems := Compile(definitions, false)
		if s == nil {
			t.Fatal(problems.Err())
		}
		return s
	}
	before := snapshot(
		RoleDefinition{Name: "gone", Permissions: []Permission{{URI: "a"}, {URI: "b"}}},
		RoleDefinition{Name: "same", Permissions: []Permission{
			{URI: "com.a.*", Allow: &Actions{Call: true}},
			{URI: "com.b", Cache: true},
		}},
		RoleDefinition{Name: "user", Permissions: []Permission{
			{URI: "com.a", Allow: allowAll},
			{URI: "com.a", Match: "prefix", Allow: allowAll, Disclose: Disclose{Caller: true}},
			{URI: "com.c", Allow: &Actions{Call: true, Publish: true}},
			{URI: "com.d", Allow: allowNone},
		}},
	)
	after := snapshot(
		RoleDefinition{Name: "user", Dynamic: true, Cache: true, Permissions: []Permission{
			{URI: "com.d", Cache: true, Disclose: Disclose{Publisher: true}},
			{URI: "com.c", Allow: &Actions{Call: true}},
			{URI: "com.b", Match: "wildcard", Allow: allowNone},
			{URI: "com.a", Match: "prefix", Allow: allowAll, Disclose: Disclose{Caller: true}},
		}},
		RoleDefinition{Name: "same", Permissions: []Permission{
			{URI: "com.b", Allow: allowNone, Disclose: Disclose{Caller: true}}, // denied before, and discloses nobody
			{URI: "com.a.", Match: "prefix", Allow: &Actions{Call: true}, Disclose: Disclose{Publisher: true}},
		}},
		RoleDefinition{Name: "new", Dynamic: true, Permissions: []Permission{{URI: "a"}}},
	)
	var got []string
	for _, c := range Diff(before, after) {
		got = append(got, c.String())
	}
	want := []string{
		`role "gone" removed: 2 permissions, no authorizer`,
		`role "new" added: 1 permissions, with authorizer`,
		`role "user" changed: no authorizer → with authorizer, answers may be kept`,
		`role "user": "com.a" (exact) removed: allows publish, subscribe, register, call`,
		`role "user": "com.b" (wildcard) added: denies all`,
		`role "user": "com.c" (exact) changed: allows publish, call → allows call`,
		`role "user": "com.d" (exact) changed: denies all → ` +
			`asks the authorizer, answers may be kept, discloses publishers`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c := Diff(before, before); c != nil {
		t.Errorf("a snapshot differs from itself: %v", c)
	}
	if added, removed := Diff(nil, before), Diff(before, nil); len(added) != 3 || len(removed) != 3 {
		t.Errorf("%v, %v", added, removed)
	}
	if c := Diff(nil, nil); c != nil {
		t.Errorf("%v", c)
	}
}

// TestDiffModel: two roles without a difference decide everything alike, and the rules that are named as changed are
// those whose decisions are not the same.
func TestDiffModel(t *testing.T) {
	u := newUniverse(2, "a", "b")
	rng := rand.New(rand.NewPCG(8, 9))
	equal, different := 0, 0
	for range 3000 {
		slow := u.randomRole(rng, 4)
		other := &slowRole{slow.def}
		other.def.Permissions = append([]Permission(nil), slow.def.Permissions...)
		p := &other.def.Permissions[rng.IntN(4)]
		switch rng.IntN(5) { // one change, perhaps without effect
		case 0:
			p.Cache = !p.Cache
		case 1:
			p.Disclose.Caller = !p.Disclose.Caller
		case 2:
			p.Allow = allowNone
		case 3:
			p.Allow = nil
		default:
			other.def.Permissions = other.def.Permissions[1:]
		}
		before, after := slow.compile(t), other.compile(t)
		alike := map[Permission]bool{}
		for _, r := range before.rules {
			if q := other.find(r.uri, r.match); q != nil {
				one := slow.find(r.uri, r.match)
				same := true
				for a := range Action(actionsMany) {
					same = same && slow.says(a, one) == other.says(a, q)
				}
				if same {
					alike[Permission{URI: r.uri, Match: matchNames[r.match]}] = true
				}
			}
		}
		changes := DiffRole(before, after)
		for _, c := range changes {
			if alike[Permission{URI: c.URI, Match: matchNames[c.Match]}] {
				t.Fatalf("%v, but it decides as before\n%v%v", c, slow, other)
			}
		}
		if len(changes) != len(before.rules)-len(alike) {
			t.Fatalf("%v, but %d of %d decide as before\n%v%v", changes, len(alike), len(before.rules), slow, other)
		}
		if len(changes) == 0 {
			equal++
		} else {
			different++
		}
	}
	if equal < 100 || different < 100 {
		t.Errorf("%d equal, %d different", equal, different)
	}
}

func (r *slowRole) find(uri string, match codec.Match) *Permission {
	for i := range r.def.Permissions {
		if p := &r.def.Permissions[i]; p.URI == uri && p.slowMatch() == match {
			return p
		}
	}
	return nil
}
