package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// attackReserved forges events of the router, and answers calls that are meant for it, with all permissions that
// there are (PROTOCOL 3.3).
func attackReserved(t *testing.T, s *secured) {
	victim, forger := s.joins(t, "other"), s.joins(t, "other")
	for i, pattern := range []string{
		`{},"wamp.session.on_join"`, `{"match":"prefix"},"wamp."`, `{"match":"prefix"},"wamp.session"`,
		`{"match":"wildcard"},"wamp.."`, `{"match":"wildcard"},".session."`, `{"match":"prefix"},"wamp"`,
		`{"match":"prefix"},""`,
	} {
		answer := victim.ask(fmt.Sprintf(`[32,%d,%s]`, i+1, pattern))
		for strings.HasPrefix(answer, "[36,") { // of the router itself
			b, err := victim.Receive()
			if err != nil {
				t.Fatal(err)
			}
			answer = string(b)
		}
		if !strings.HasPrefix(answer, "[33,") {
			t.Errorf("%s: %s", pattern, answer)
		}
	}
	const reserved = "wamp.error.invalid_uri"
	topics := []string{
		"wamp", "wamp.", "wamp.session.on_join", "wamp.session.on_leave", "wamp.subscription.on_create",
		"wamp.registration.on_register", "wamp.testament", `wamp\u002esession.on_join`, `\u0077amp.session.on_join`,
		"wamp..on_join", "wamp.error.no_such_session", "wamp.authentication", "wamp.x",
	}
	for i, topic := range topics {
		forger.says(fmt.Sprintf(`[16,%d,{"acknowledge":true},"%s",["forged"]]`, 10*i+1, topic), reserved)
		forger.Queue(fmt.Appendf(nil, `[16,%d,{},"%s",["forged"]]`, 10*i+2, topic))
		// A pattern in its options makes no other topic of it.
		forger.says(fmt.Sprintf(`[16,%d,{"acknowledge":true,"match":"prefix","topic":"com.a","exclude_me":false},`+
			`"%s",["forged"]]`, 10*i+3, topic), reserved)
		forger.says(fmt.Sprintf(`[64,%d,{},"%s"]`, 10*i+4, topic), reserved)
		forger.says(fmt.Sprintf(`[64,%d,{"invoke":"first","force_reregister":true},"%s"]`, 10*i+5, topic), reserved)
	}
	// Near misses are nobody's: they arrive where a pattern says so, and nowhere else.
	forger.says(`[16,900,{"acknowledge":true},"WAMP.session.on_join",["last"]]`, "[17,900,")
	last := 0
	for _, message := range victim.heard() {
		if strings.Contains(message, "forged") {
			t.Errorf("the victim got %s", message)
		}
		last += strings.Count(message, `["last"]`)
	}
	if last != 2 {
		t.Errorf("the victim got the last event %d times, want 2: by .session. and the empty prefix", last)
	}

	// Registrations whose pattern covers wamp. are allowed, and get no call to it.
	for i, pattern := range []string{
		`"prefix"},""`, `"prefix"},"w"`, `"prefix"},"wamp"`, `"prefix"},"wamp."`, `"prefix"},"wamp.session."`,
		`"wildcard"},".."`, `"wildcard"},".session."`, `"wildcard"},"wamp.."`, `"wildcard"},"wamp.session."`,
		`"wildcard"},""`, `"wildcard"},"."`,
	} {
		forger.says(fmt.Sprintf(`[64,%d,{"match":%s]`, 1000+i, pattern), "[65,")
	}
	caller := s.joins(t, "other")
	for i, procedure := range []string{
		"wamp", "wamp.", "wamp.session.count", "wamp.session.kill", "wamp.registration.lookup", "wamp.x",
		`wamp\u002esession.get`, "wamp.session.add_testament",
	} {
		answer := caller.ask(fmt.Sprintf(`[48,%d,{},"%s",["secret"]]`, i+1, procedure))
		if !strings.HasPrefix(answer, fmt.Sprintf("[8,48,%d,", i+1)) &&
			!strings.HasPrefix(answer, fmt.Sprintf("[50,%d,", i+1)) {
			t.Errorf("%s: %s", procedure, answer)
		}
	}
	caller.Queue([]byte(`[48,100,{},"com.mine",["end"]]`))
	caller.Flush()
	message, err := forger.Receive()
	if err != nil || !strings.Contains(string(message), "end") {
		t.Errorf("the first invocation of the forger is %s, %v", message, err)
	}

	// What only a router says.
	for _, message := range []string{
		`[2,1,{"roles":{"broker":{}}}]`, `[4,"ticket",{}]`, `[17,1,1]`, `[33,1,1]`, `[35,1]`,
		`[36,1,1,{},["forged"]]`,
		`[50,1,{},["forged"]]`, `[65,1,1]`, `[67,1]`, `[68,1,1,{}]`, `[69,1,{}]`, `[1,"other",{` + allRoles + `}]`,
		`[5,"x",{}]`, `[3,{},"wamp.error.x"]`, `[8,32,1,{},"wamp.error.x"]`, `[99,1]`, `[-1]`, `[]`, `{}`, `[1e9]`,
	} {
		k := s.joins(t, "other")
		k.Queue([]byte(message))
		for {
			answer, err := k.Receive()
			if err != nil {
				break // closed
			}
			var list []any
			if json.Unmarshal(answer, &list) != nil || list[0] != 3.0 {
				t.Errorf("%s: %s", message, answer)
			}
		}
		k.closed()
	}
	for _, message := range victim.heard() {
		if strings.Contains(message, "forged") || strings.Contains(message, "secret") {
			t.Errorf("the victim got %s", message)
		}
	}
}
