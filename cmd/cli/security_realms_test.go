package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"banyan/bench/client"
)

// number is an element of a message.
func number(t *testing.T, message string, at int) int64 {
	t.Helper()
	var list []any
	if err := json.Unmarshal([]byte(message), &list); err != nil || len(list) <= at {
		t.Fatalf("%s: %v", message, err)
	}
	return int64(list[at].(float64))
}

// attackRealms uses ids and names that belong to a session of another realm, and of its own realm.
func attackRealms(t *testing.T, s *secured) {
	// The victim has a subscription, a registration, and a call that its callee does not answer yet.
	victim, callee := s.talk(t, "plain", client.Options{}), s.talk(t, "plain", client.Options{})
	login := func(k *talk, who *person) int64 {
		answer := k.logIn("bank", "ticket", who.authid, "", says(who.ticket))
		if !strings.HasPrefix(answer, "[2,") {
			t.Fatal(answer)
		}
		return number(t, answer, 1)
	}
	session := login(victim, &s.alice)
	login(callee, &s.alice)
	subscription := number(t, victim.ask(`[32,1,{},"com.bank.topic"]`), 2)
	registration := number(t, callee.ask(`[64,1,{},"com.bank.procedure"]`), 2)
	victim.Queue([]byte(`[48,2,{},"com.bank.procedure",["question"]]`))
	victim.Flush()
	invocation, err := callee.Receive()
	if err != nil || !strings.HasPrefix(string(invocation), "[68,") {
		t.Fatalf("%s, %v", invocation, err)
	}
	request := number(t, string(invocation), 1)

	neighbour := s.talk(t, "plain", client.Options{})
	login(neighbour, &s.mallory)
	known := strings.NewReplacer("SESSION", fmt.Sprint(session), "SUBSCRIPTION", fmt.Sprint(subscription),
		"REGISTRATION", fmt.Sprint(registration))
	ids := map[int64]bool{}
	for name, attacker := range map[string]*talk{"other realm": s.joins(t, "other"), "own realm": neighbour} {
		t.Run(name, func(t *testing.T) {
			k := &talk{attacker.Conn, t}
			k.says(fmt.Sprintf(`[34,1,%d]`, subscription), "wamp.error.no_such_subscription")
			k.says(fmt.Sprintf(`[66,2,%d]`, registration), "wamp.error.no_such_registration")
			// Events to sessions, authids and roles of the victim's realm.
			answer := "[17," // to whoever it concerns there, which is nobody
			if name == "own realm" {
				answer = "wamp.error.not_authorized"
			}
			for i, options := range []string{
				``, fmt.Sprintf(`,"eligible":[%d]`, session), `,"eligible_authid":["alice"]`,
				`,"eligible_authrole":["teller"]`, `,"exclude":[]`, `,"realm":"bank"`, `,"_realm":"bank"`,
				fmt.Sprintf(`,"publisher":%d,"disclose_me":true`, session),
			} {
				publish := func(topic, answer string) {
					k.says(fmt.Sprintf(`[16,%d,{"acknowledge":true%s},%q,["forged"]]`, 10+i, options, topic), answer)
				}
				publish("com.bank.topic", answer)
				if name == "own realm" {
					publish("com.guest.topic", "[17,")
				}
			}
			// Calls: by the name, and to whatever tells about sessions.
			refusal := "wamp.error.no_such_procedure"
			if name == "own realm" {
				refusal = "wamp.error.not_authorized"
			}
			k.says(`[48,50,{},"com.bank.procedure",["forged"]]`, refusal)
			k.says(`[48,51,{"realm":"bank","x":"com.bank.procedure"},"com.bank.procedure",["forged"]]`, refusal)
			for i, call := range []string{
				`"wamp.session.get",[SESSION]`, `"wamp.session.kill",[SESSION,{"reason":"com.x"}]`,
				`"wamp.session.list",[]`,
				`"wamp.session.kill_by_authid",["alice"]`, `"wamp.session.kill_all",[]`, `"wamp.session.count",[]`,
				`"wamp.subscription.list",[]`, `"wamp.registration.list",[]`,
				`"wamp.subscription.get_events",[SUBSCRIPTION,10]`,
				`"wamp.subscription.get",[SUBSCRIPTION]`, `"wamp.subscription.list_subscribers",[SUBSCRIPTION]`,
				`"wamp.registration.get",[REGISTRATION]`, `"wamp.registration.list_callees",[REGISTRATION]`,
				`"wamp.registration.remove_callee",[REGISTRATION,SESSION]`,
			} {
				answer := k.ask(fmt.Sprintf(`[48,%d,{},%s]`, 60+i, known.Replace(call)))
				if strings.HasPrefix(answer, "[50,") && (strings.Contains(answer, fmt.Sprint(session)) ||
					strings.Contains(answer, "alice") || strings.Contains(answer, "com.bank")) {
					t.Errorf("%s: %s", call, answer)
				}
			}
			if heard := k.heard(); heard != nil {
				t.Errorf("the attacker heard %s", heard)
			}
		})
	}
	// Answers to an invocation, and cancellations of a call, that are somebody else's: they have no effect, and may
	// end the session that sends them.
	for _, id := range []int64{request, 1, 2, 3} {
		for _, message := range []string{
			`[70,%d,{},["forged"]]`, `[70,%d,{"progress":true},["forged"]]`, `[8,68,%d,{},"com.forged",["forged"]]`,
			`[49,%d,{"mode":"kill"}]`, `[49,%d,{"mode":"killnowait"}]`, `[49,%d,{"mode":"skip"}]`,
			`[8,48,%d,{},"com.forged",["forged"]]`, `[69,%d,{}]`,
		} {
			for _, realm := range []string{"other", "bank"} {
				k := s.joins(t, realm)
				k.Queue(fmt.Appendf(nil, message, id))
				for _, answer := range k.heard() {
					if !strings.HasPrefix(answer, "[3,") {
						t.Errorf("%s: %s", message, answer)
					}
				}
			}
		}
	}
	// The victim's call gets the true answer, its subscription the true event, and it has heard of nothing else.
	callee.Queue(fmt.Appendf(nil, `[70,%d,{},["true"]]`, request))
	callee.Flush()
	if answer, err := victim.Receive(); err != nil || string(answer) != `[50,2,{},["true"]]` {
		t.Errorf("the victim got %s, %v", answer, err)
	}
	callee.says(`[16,2,{"acknowledge":true},"com.bank.topic",["true"]]`, "[17,")
	if event, err := victim.Receive(); err != nil || !strings.Contains(string(event), `["true"]`) {
		t.Errorf("the victim got %s, %v", event, err)
	}
	victim.says(`[48,3,{},"com.bank.nobody"]`, "wamp.error.no_such_procedure")
	callee.says(fmt.Sprintf(`[66,3,%d]`, registration), "[67,3]")

	// Ids of sessions cannot be guessed: none is near another one.
	const near = 1 << 12
	for range 64 {
		k := s.talk(t, "plain", client.Options{})
		id := number(t, k.ask(`[1,"other",{`+allRoles+`}]`), 1)
		for at := range 3 {
			if ids[id/near+int64(at)-1] {
				t.Errorf("the id %d of a session is near that of another one", id)
			}
		}
		ids[id/near] = true
		k.Abandon()
	}
}
