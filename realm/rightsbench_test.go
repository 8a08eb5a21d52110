package realm

import (
	"fmt"
	"testing"
	"time"

	"banyan/engine/port"
	"banyan/realm/policy"
)

// manyRules are 50 roles with 20 permissions each. The role "anonymous" may do what the tests do, or its authorizer
// decides that.
func manyRules(tb *testing.T, dynamic bool) *policy.Snapshot {
	tb.Helper()
	all := &policy.Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	var roles []policy.RoleDefinition
	for i := range 50 {
		role := policy.RoleDefinition{Name: fmt.Sprint("role", i), Dynamic: dynamic, Cache: true}
		if i == 0 {
			role.Name = "anonymous"
		}
		for k := range 19 {
			role.Permissions = append(role.Permissions, policy.Permission{URI: fmt.Sprintf("com.app%d.*", k)})
		}
		if !dynamic {
			role.Permissions = append(role.Permissions, policy.Permission{URI: "com.example.*", Allow: all})
		}
		roles = append(roles, role)
	}
	snapshot, problems := policy.Compile(roles, false)
	if err := problems.Err(); err != nil {
		tb.Fatal(err)
	}
	return snapshot
}

// permittedBed is quietBed with two sessions in a realm whose permissions are of that kind: none, static, or dynamic
// with an answer that is kept.
func permittedBed(tb *testing.T, kind string) (port.Executor, []*session) {
	tb.Helper()
	x, sessions := quietBed(tb, 2)
	if kind == "none" {
		return x, sessions
	}
	rm := sessions[0].realm
	old := rm.settings.Load()
	rc := old.RealmConfig
	rc.Policy = manyRules(tb, kind == "dynamic")
	if kind == "dynamic" {
		rc.Authorizers = map[string]Authorizer{
			"anonymous": {Procedure: "com.app.authorize", Timeout: time.Second, Cache: true, CacheTime: time.Hour},
		}
	}
	set := newSettings(old.limits, rc, 1)
	for _, s := range sessions {
		for _, a := range []Action{Publish, Subscribe, Register, Call} {
			key := policy.Key{
				AuthRole: s.identity.AuthRole, AuthID: s.identity.AuthID, URI: []byte("com.example.thing"), Action: a,
			}
			if set.answers != nil {
				set.answers.Put(&key, set.answers.Generation(), policy.Decision{
					Allow: true, Cache: true, Definitive: true,
				}, rm.router.uptime(), time.Hour)
			}
		}
	}
	rm.put(set)
	return x, sessions
}

var permissionKinds = []string{"none", "static", "dynamic"}

// permittedCall returns a function that makes one call and answers it.
func permittedCall(tb *testing.T, kind string) func() {
	x, sessions := permittedBed(tb, kind)
	caller, callee := sessions[0], sessions[1]
	callee.handler.Receive(x, encode(tb, int64(64), int64(1), values{}, "com.example.thing"))
	call := encode(tb, int64(48), int64(1), values{}, "com.example.thing", []any{"hi"})
	yield := encode(tb, int64(70), int64(1), values{}, []any{"hi"})
	return func() {
		callee.lastInvocation = 0
		caller.handler.Receive(x, call)
		callee.handler.Receive(x, yield)
		if caller.calls.len() != 0 {
			tb.Fatal("not answered")
		}
	}
}

// permittedPublish returns a function that publishes to one subscriber.
func permittedPublish(tb *testing.T, kind string) func() {
	x, sessions := permittedBed(tb, kind)
	sessions[1].handler.Receive(x, encode(tb, int64(32), int64(1), values{}, "com.example.thing"))
	msg := encode(tb, int64(16), int64(1), values{}, "com.example.thing", []any{"hi"})
	events := &sessions[0].realm.router.perLoop[0].counters.events
	return func() {
		before := events.Load()
		sessions[0].handler.Receive(x, msg)
		sessions[0].EndOfBatch(x)
		if events.Load() != before+1 {
			tb.Fatal("not delivered")
		}
	}
}

// TestPermittedAllocates: a decision that is made costs no allocation, whoever made it.
func TestPermittedAllocates(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, string) func(){
		"call": permittedCall, "publish": permittedPublish,
	} {
		none := testing.AllocsPerRun(200, prepare(t, "none"))
		for _, kind := range permissionKinds {
			if n := testing.AllocsPerRun(200, prepare(t, kind)); n > none {
				t.Errorf("%s, %s: %v allocations, %v without permissions", name, kind, n, none)
			}
		}
	}
}

// BenchmarkPermitted compares a call, and a publication to one subscriber, in realms without permissions, with 1 000
// static ones, and with an authorizer whose answer is remembered.
func BenchmarkPermitted(b *testing.B) {
	for _, kind := range permissionKinds {
		b.Run("call/permissions="+kind, func(b *testing.B) {
			f := permittedCall(new(testing.T), kind)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
		b.Run("publish/permissions="+kind, func(b *testing.B) {
			f := permittedPublish(new(testing.T), kind)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
