package policy

import (
	"strings"
	"testing"

	"banyan/codec"
)

var (
	allowAll  = &Actions{Call: true, Register: true, Publish: true, Subscribe: true}
	allowNone = &Actions{}
)

// compile makes the role "r" of these permissions, which must be without mistakes.
func compile(t testing.TB, def RoleDefinition) *Role {
	t.Helper()
	def.Name = "r"
	s, problems := Compile([]RoleDefinition{def}, false)
	if s == nil {
		t.Fatal(problems.Err())
	}
	return s.Role("r")
}

func allows(r *Role, a Action, uri string, match codec.Match) bool {
	d := r.Decide(a, []byte(uri), match)
	return d.Allow && d.Definitive
}

// TestAUZActions: an action that a permission does not list is denied, on its own. AUZ-01, AUZ-02.
func TestAUZActions(t *testing.T) {
	t.Attr("checklist", "AUZ-01 AUZ-02")
	for i := range 16 {
		set := &Actions{Publish: i&1 != 0, Subscribe: i&2 != 0, Register: i&4 != 0, Call: i&8 != 0}
		r := compile(t, RoleDefinition{Permissions: []Permission{{URI: "com.a", Allow: set}}})
		for a := range Action(actionsMany) {
			if got, want := allows(r, a, "com.a", codec.Exact), i>>a&1 != 0; got != want {
				t.Errorf("%+v: %v: %v, want %v", *set, a, got, want)
			}
		}
	}
}

// TestAUZDefaultDeny: without a permission, a role or an authorizer the answer is no, and nobody is asked. AUZ-03.
func TestAUZDefaultDeny(t *testing.T) {
	t.Attr("checklist", "AUZ-03")
	s, _ := Compile([]RoleDefinition{
		{Name: "static", Permissions: []Permission{{URI: "com.a", Allow: allowAll}}},
		{Name: "empty"},
		{Name: "dynamic", Dynamic: true},
		{Name: "kept", Dynamic: true, Cache: true},
	}, false)
	for _, c := range []struct {
		role string
		want Decision
	}{
		{"static", denied},
		{"empty", denied},
		{"unknown", denied},
		{"", denied},
		{"dynamic", Decision{}},
		{"kept", Decision{Cache: true}},
	} {
		for a := range Action(actionsMany) {
			if got := s.Decide(c.role, a, []byte("com.b"), codec.Exact); got != c.want {
				t.Errorf("%s: %v: %+v, want %+v", c.role, a, got, c.want)
			}
		}
		for _, match := range []codec.Match{codec.Prefix, codec.Wildcard} {
			for _, a := range []Action{Subscribe, Register} {
				if got := s.Decide(c.role, a, []byte("com."), match); got != c.want {
					t.Errorf("%s: %v %s: %+v, want %+v", c.role, a, matchNames[match], got, c.want)
				}
			}
		}
	}
}

// TestAUZPrecedence: exact, else the best wildcard, else the longest prefix, and that one alone decides. AUZ-04,
// AUZ-05, AUZ-06.
func TestAUZPrecedence(t *testing.T) {
	for _, c := range []struct {
		id, uri string
		yes, no string // permissions that allow, and that deny: "match uri,match uri"
		want    bool
	}{
		{"AUZ-04", "com.a.x", "prefix com.a.", "exact com.a.x", false},
		{"AUZ-04", "com.a.y", "prefix com.a.", "exact com.a.x", true},
		{"AUZ-04", "com.a.x", "exact com.a.x", "prefix com.a.,wildcard com.a.", true},
		{"AUZ-05", "com.a.x", "wildcard com..x", "prefix com.a.x", true},
		{"AUZ-05", "com.a.x", "prefix com.a.x", "wildcard com..x", false},
		{"AUZ-05", "com.a.x", "prefix com.a.", "prefix com.,prefix ", true},
		{"AUZ-05", "com.b.x", "prefix com.a.", "prefix com.", false},
		{"AUZ-05", "com.ab", "prefix com.", "prefix com.aa,prefix com.aba", true},
		// Among wildcards the first difference from the left decides, and a dead end is left again (PROTOCOL 3.4).
		{"AUZ-05", "a.b.c", "wildcard a..", "wildcard .b.c", true},
		{"AUZ-05", "a.b.c", "wildcard a.b.", "wildcard a..c", true},
		{"AUZ-05", "a.b.c", "wildcard ..c", "wildcard a.b.d,wildcard a..d", true},
		{"AUZ-05", "a.b.c.d", "wildcard a.b.", "", false},
		{"AUZ-06", "com.example.x", " com.example.*", "", true},
		{"AUZ-06", "com.example", " com.example.*", "", false},
		{"AUZ-06", "com.examples", " com.example*", "", true},
		{"AUZ-06", "anything", " *", "", true},
		{"AUZ-06", "com.example.x", "exact com.example.*", "", false},
		{"AUZ-06", "com.example.*", "exact com.example.*", "", true},
		{"AUZ-06", "com.example.x", "prefix com.example.*", "", false},
		{"AUZ-14", "wamp.session.list", "prefix com.", "", false},
		{"AUZ-14", "wamp.session.list", "exact wamp.session.list", "", true},
		{"AUZ-14", "wamp.session.list", "prefix ", "prefix wamp.", false},
	} {
		var def RoleDefinition
		for i, list := range []string{c.yes, c.no} {
			for text := range strings.SplitSeq(list, ",") {
				match, uri, ok := strings.Cut(text, " ")
				if !ok {
					continue
				}
				p := Permission{URI: uri, Match: match, Allow: allowAll}
				if i == 1 {
					p.Allow = allowNone
				}
				def.Permissions = append(def.Permissions, p)
			}
		}
		for range 2 { // the order of the permissions does not matter
			if got := allows(compile(t, def), Call, c.uri, codec.Exact); got != c.want {
				t.Errorf("%s: %s with %q and not %q: %v, want %v", c.id, c.uri, c.yes, c.no, got, c.want)
			}
			for i, j := 0, len(def.Permissions)-1; i < j; i, j = i+1, j-1 {
				def.Permissions[i], def.Permissions[j] = def.Permissions[j], def.Permissions[i]
			}
		}
	}
}

// TestAUZPatternRequests: a pattern is granted if everything in it is. AUZ-07; the model test has all combinations.
func TestAUZPatternRequests(t *testing.T) {
	t.Attr("checklist", "AUZ-07")
	r := compile(t, RoleDefinition{Permissions: []Permission{
		{URI: "com.a.", Match: "prefix", Allow: allowAll},
		{URI: "com.a.secret.", Match: "prefix", Allow: allowNone},
		{URI: "com.a.b.private", Allow: allowNone},
		{URI: "com.a.c.public", Allow: allowAll},
		{URI: "org..log", Match: "wildcard", Allow: allowAll},
		{URI: "org.x.log", Match: "wildcard", Allow: &Actions{Register: true}},
		{URI: "net.one", Allow: allowAll},
	}})
	for _, c := range []struct {
		match codec.Match
		uri   string
		want  bool
	}{
		{codec.Prefix, "com.", false},
		{codec.Prefix, "com.a", false},
		{codec.Prefix, "com.a.", false}, // the secret and the private are in it
		{codec.Prefix, "com.a.b", false},
		{codec.Prefix, "com.a.b.pri", false},
		{codec.Prefix, "com.a.b.q", true},
		{codec.Prefix, "com.a.c.", true},
		{codec.Prefix, "com.a.secret.x", false},
		{codec.Prefix, "com.a.secrets", true},
		{codec.Wildcard, "com.a.", true}, // three components: neither the secret nor the private
		{codec.Wildcard, "com..x", false},
		{codec.Wildcard, "com.a.b.", false},
		{codec.Wildcard, "com.a.c.", true},
		{codec.Wildcard, "com.a.secret.", false},
		{codec.Wildcard, "com.a..", false},
		{codec.Wildcard, "com.a..x", false}, // com.a.secret.x
		{codec.Wildcard, "org..log", false}, // org.x.log
		{codec.Wildcard, "org.y.log", true},
		{codec.Wildcard, "org..", false},
		{codec.Prefix, "org.y.log", false}, // org.y.log.more
		{codec.Prefix, "net.one", false},   // an exact permission covers no pattern
		{codec.Wildcard, "net.one", false},
		{codec.Prefix, "", false},
	} {
		if got := allows(r, Subscribe, c.uri, c.match); got != c.want {
			t.Errorf("subscribe %q (%s): %v, want %v", c.uri, matchNames[c.match], got, c.want)
		}
	}
	if !allows(r, Register, "org..log", codec.Wildcard) {
		t.Error("register org..log: every permission in it allows that")
	}
}

// TestAUZMalformedPatterns: what is no pattern, or no action for one, is denied even where everything is allowed. The
// # sign stands for unknown text in pattern.go.
func TestAUZMalformedPatterns(t *testing.T) {
	r := compile(t, RoleDefinition{Dynamic: true, Permissions: []Permission{{Match: "prefix", Allow: allowAll}}})
	for _, uri := range []string{"a.#", "#", "a b", "a..b.", "a\xff"} {
		if d := r.Decide(Subscribe, []byte(uri), codec.Prefix); d != denied {
			t.Errorf("prefix %q: %+v", uri, d)
		}
	}
	for _, a := range []Action{Publish, Call} {
		for _, match := range []codec.Match{codec.Prefix, codec.Wildcard} {
			if d := r.Decide(a, []byte("a."), match); d != denied {
				t.Errorf("%v %s: %+v", a, matchNames[match], d)
			}
		}
	}
	if d := r.Decide(Subscribe, []byte("a.b"), codec.Wildcard+1); d != denied {
		t.Errorf("unknown match: %+v", d)
	}
	if !allows(r, Subscribe, "a.", codec.Prefix) || !allows(r, Register, "a..b.", codec.Wildcard) {
		t.Error("well-formed patterns are denied")
	}
}

// TestAUZReserved: no permission lets a client publish to reserved URIs or register them, and no authorizer is asked;
// meta procedures and topics need a permission like others (PROTOCOL 3.3, AUZ-14).
func TestAUZReserved(t *testing.T) {
	t.Attr("checklist", "AUZ-14")
	everything := compile(t, RoleDefinition{Dynamic: true, Permissions: []Permission{
		{Match: "prefix", Allow: allowAll},
		{URI: "wamp.session.count", Allow: allowAll},
		{URI: "wamp", Allow: allowAll},
	}})
	asks := compile(t, RoleDefinition{Dynamic: true})
	for _, uri := range []string{"wamp", "wamp.x", "wamp.session.count"} {
		for _, a := range []Action{Publish, Register} {
			for _, r := range []*Role{everything, asks} {
				if d := r.Decide(a, []byte(uri), codec.Exact); d != denied {
					t.Errorf("%v %s: %+v", a, uri, d)
				}
			}
		}
		if !allows(everything, Call, uri, codec.Exact) || !allows(everything, Subscribe, uri, codec.Exact) {
			t.Errorf("%s can be neither called nor subscribed to", uri)
		}
		if d := asks.Decide(Call, []byte(uri), codec.Exact); d.Definitive {
			t.Errorf("call %s: %+v without asking", uri, d)
		}
	}
	if !allows(everything, Publish, "wampx.y", codec.Exact) {
		t.Error("wampx is reserved")
	}
	// Reserved URIs get no calls by pattern, so what is denied there matters to Subscribe only.
	r := compile(t, RoleDefinition{Permissions: []Permission{
		{Match: "prefix", Allow: allowAll},
		{URI: "wamp.", Match: "prefix", Allow: &Actions{Call: true}},
		{URI: "wamp.x", Allow: &Actions{Call: true}},
		{URI: "wamp..y", Match: "wildcard", Allow: &Actions{Call: true}},
	}})
	for _, c := range []struct {
		uri   string
		match codec.Match
	}{{"", codec.Prefix}, {"wam", codec.Prefix}, {".x", codec.Wildcard}, {"..y", codec.Wildcard}} {
		if !allows(r, Register, c.uri, c.match) {
			t.Errorf("register %q (%s) is denied", c.uri, matchNames[c.match])
		}
		if allows(r, Subscribe, c.uri, c.match) {
			t.Errorf("subscribe %q (%s) is allowed", c.uri, matchNames[c.match])
		}
	}
}

// TestAUZDisclose: a permission discloses publishers and callers, each for its action only, and nobody who is denied.
// AUZ-12.
func TestAUZDisclose(t *testing.T) {
	t.Attr("checklist", "AUZ-12")
	for i := range 4 {
		disclose := Disclose{Caller: i&1 != 0, Publisher: i&2 != 0}
		r := compile(t, RoleDefinition{Dynamic: true, Permissions: []Permission{
			{URI: "yes", Allow: allowAll, Disclose: disclose},
			{URI: "no", Allow: allowNone, Disclose: disclose},
			{URI: "ask", Disclose: disclose, Cache: true},
		}})
		for a := range Action(actionsMany) {
			want := a == Call && disclose.Caller || a == Publish && disclose.Publisher
			for uri, want := range map[string]Decision{
				"yes": {Allow: true, Disclose: want, Cache: true, Definitive: true},
				"no":  denied,
				"ask": {Disclose: want, Cache: true},
			} {
				if got := r.Decide(a, []byte(uri), codec.Exact); got != want {
					t.Errorf("%+v: %v %s: %+v, want %+v", disclose, a, uri, got, want)
				}
			}
		}
	}
}

// TestAUZStaticFirst: a permission that decides is the answer, yes or no; one without allow, and no permission at
// all, are questions for the authorizer of a dynamic role (PROTOCOL 11). AUZ-08.
func TestAUZStaticFirst(t *testing.T) {
	t.Attr("checklist", "AUZ-08")
	def := RoleDefinition{Dynamic: true, Permissions: []Permission{
		{URI: "a.", Match: "prefix", Allow: allowAll},
		{URI: "a.no", Allow: allowNone},
		{URI: "a.ask", Cache: true},
	}}
	yes := Decision{Allow: true, Cache: true, Definitive: true}
	for _, c := range []struct {
		uri             string
		match           codec.Match
		dynamic, static Decision
	}{
		{"a.yes", codec.Exact, yes, yes},
		{"a.no", codec.Exact, denied, denied},
		{"a.ask", codec.Exact, Decision{Cache: true}, denied},
		{"b", codec.Exact, Decision{}, denied},
		{"a.as", codec.Prefix, Decision{Cache: true}, denied}, // what the permissions allow is not enough
		{"a.", codec.Prefix, denied, denied},                  // whatever the authorizer says about a.ask
		{"", codec.Prefix, denied, denied},
		{"b.", codec.Prefix, Decision{}, denied},
	} {
		for _, dynamic := range []bool{true, false} {
			def.Dynamic = dynamic
			want := c.static
			if dynamic {
				want = c.dynamic
			}
			if got := compile(t, def).Decide(Subscribe, []byte(c.uri), c.match); got != want {
				t.Errorf("dynamic %v: %q (%s): %+v, want %+v", dynamic, c.uri, matchNames[c.match], got, want)
			}
		}
	}
}

// TestFixedLength: a request with a pattern looks only at rules that begin with what all URIs of the pattern begin
// with.
func TestFixedLength(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", ".": "", ".a": "", "a.": "a.", "a..b": "a.", "a.b..": "a.b.", "a.b": "a.b", "a..b..c": "a.",
	} {
		if got := pattern[:fixedLength([]byte(pattern))]; got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}

// TestForces: force_reregister is granted by the permission that decides about a procedure, or covers a pattern.
// REG-24.
func TestForces(t *testing.T) {
	force := &Actions{Register: true, ForceReregister: true}
	s, problems := Compile([]RoleDefinition{{Name: "r", Permissions: []Permission{
		{URI: "a.*", Allow: force},
		{URI: "a.b", Allow: &Actions{Register: true}},
		{URI: "b..c", Match: "wildcard", Allow: force},
		{URI: "c", Allow: &Actions{ForceReregister: true}},
		{URI: "d"},
	}}}, false)
	if len(problems) != 1 || !problems[0].Warning || problems[0].Permission != 3 || s == nil {
		t.Fatalf("%v", problems)
	}
	for _, c := range []struct {
		uri   string
		match codec.Match
		want  bool
	}{
		{"a.x", codec.Exact, true},
		{"a.b", codec.Exact, false},
		{"a.b.c", codec.Exact, true},
		{"a.x", codec.Prefix, true},
		{"a", codec.Prefix, false},
		{"b.x.c", codec.Exact, true},
		{"b..c", codec.Wildcard, true},
		{"b..d", codec.Wildcard, false},
		{"c", codec.Exact, false},
		{"d", codec.Exact, false},
		{"e", codec.Exact, false},
	} {
		if got := s.Role("r").Forces([]byte(c.uri), c.match); got != c.want {
			t.Errorf("%q (%v): %t", c.uri, c.match, got)
		}
	}
	if s.Role("none").Forces([]byte("a.x"), codec.Exact) {
		t.Error("a role that is not there")
	}
	other, _ := Compile([]RoleDefinition{{Name: "r", Permissions: []Permission{
		{URI: "a.*", Allow: &Actions{Register: true}},
		{URI: "a.b", Allow: &Actions{Register: true}},
		{URI: "b..c", Match: "wildcard", Allow: force},
		{URI: "c", Allow: &Actions{}},
		{URI: "d"},
	}}}, false)
	if changes := Diff(s, other); len(changes) != 1 || changes[0].Before != "allows register, force_reregister" ||
		changes[0].After != "allows register" {
		t.Errorf("%v", changes)
	}
}
