package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"banyan/bench/client"
)

// guessed is how many ids of subscriptions an attacker tries: they are small numbers.
const guessed = 64

// attackHistory asks for stored and retained events that somebody else may have (PUB-48 … PUB-51): of another realm,
// of topics that the role may not subscribe to, and of those whose lists leave the attacker out. An answer must not
// even tell that there are any.
func attackHistory(t *testing.T, s *secured) {
	t.Attr("checklist", "PUB-48 PUB-49 PUB-50 PUB-51")
	teller := s.talk(t, "plain", client.Options{})
	if answer := teller.logIn("bank", "ticket", s.alice.authid, "", says(s.alice.ticket)); !isWelcome(answer) {
		t.Fatal(answer)
	}
	mallory := s.talk(t, "plain", client.Options{})
	welcome := mallory.logIn("bank", "ticket", s.mallory.authid, "", says(s.mallory.ticket))
	if !isWelcome(welcome) {
		t.Fatal(welcome)
	}
	guest, other, owner := s.joins(t, "bank"), s.joins(t, "other"), s.joins(t, "other")
	request := 0
	publish := func(k *talk, options, topic, text string) int64 {
		request++
		answer := k.ask(fmt.Sprintf(`[16,%d,{"acknowledge":true%s},%q,[%q]]`, request, options, topic, text))
		if !strings.HasPrefix(answer, "[17,") {
			t.Fatal(answer)
		}
		return number(t, answer, 2)
	}
	hidden := []int64{
		publish(teller, ``, "com.bank.h", "secret"), publish(teller, `,"retain":true`, "com.bank.h", "secret"),
	}
	foreign := publish(owner, `,"retain":true`, "com.other.h", "secret")
	for i, list := range []string{
		`"exclude_authid":["mallory"]`, `"exclude_authrole":["guest"]`, `"eligible_authid":["alice"]`,
		`"eligible_authrole":["teller"]`, `"eligible_authid":[]`, `"eligible":[]`,
		`"eligible_authid":["mallory"],"exclude_authrole":["guest"]`,
		fmt.Sprintf(`"exclude":[%d]`, number(t, welcome, 1)),
	} {
		for _, retain := range []string{`,"retain":true,`, `,`} {
			hidden = append(hidden, publish(guest, retain+list, fmt.Sprintf("com.guest.h%d", i), "secret"))
		}
	}
	public := publish(guest, `,"retain":true`, "com.guest.public", "public")

	events := func(k *talk, id int64, kwargs string) string {
		request++
		return k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.get_events",[%d],{%s}]`, request, id, kwargs))
	}
	// Every id that there may be, by who is in the realm and by who is in another one.
	history := int64(0)
	for id := range int64(guessed) {
		for name, k := range map[string]*talk{"guest": mallory, "other realm": other} {
			answer := events(k, id, "")
			own := k == other && strings.Contains(answer, fmt.Sprint(foreign))
			if strings.Contains(answer, "secret") && !own {
				t.Errorf("%s, subscription %d: %s", name, id, answer)
			}
			if k == mallory && strings.Contains(answer, `"public"`) {
				history = id
			}
			// Those of other subjects are there too.
			n := strings.Count(answer, `"publication"`) - strings.Count(answer, `"forged"`)
			if k == mallory && n > 1 {
				t.Errorf("subscription %d has %d events: %s", id, n, answer)
			}
			if k == mallory && strings.HasPrefix(answer, "[8,") && !strings.Contains(answer, "not_authorized") &&
				!strings.Contains(answer, "no_such_subscription") && !strings.Contains(answer, "invalid_argument") {
				t.Errorf("%s, subscription %d: %s", name, id, answer)
			}
		}
	}
	if history == 0 {
		t.Fatal("what may be had was not found")
	}
	const call = `[48,%d,{},"wamp.subscription.get_events",[%s]]`
	request++
	teller.says(fmt.Sprintf(call, request, fmt.Sprint(history)), "wamp.error.not_authorized")
	guest.says(fmt.Sprintf(call, request, fmt.Sprintf("%q", fmt.Sprint(history))), "wamp.error.invalid_argument")

	// A publication that is hidden is as unknown as one that never was.
	for _, condition := range []string{"from", "after", "before", "until"} {
		refusal := func(id string) string {
			answer := events(mallory, history, fmt.Sprintf(`"%s_publication":%s`, condition, id))
			_, text, _ := strings.Cut(answer, `{},`)
			return text
		}
		never := refusal("4711")
		if !strings.Contains(never, "wamp.error.invalid_argument") {
			t.Errorf("%s: %s", condition, never)
		}
		for _, id := range append(slices.Clone(hidden), foreign) {
			if got := refusal(fmt.Sprint(id)); got != never {
				t.Errorf("%s publication %d: %s, want %s", condition, id, got, never)
			}
		}
		for _, forged := range []string{
			`0`, `-1`, `9007199254740993`, `18446744073709551615`, `1e300`, `1.5`, `"1"`, `[]`, `{}`, `true`,
			fmt.Sprintf(`[%d]`, public), fmt.Sprintf(`"%d"`, public),
		} {
			if got := refusal(forged); !strings.Contains(got, "wamp.error.invalid_argument") {
				t.Errorf("%s publication %s: %s", condition, forged, got)
			}
		}
		if got := events(mallory, history, fmt.Sprintf(`"%s_publication":%d`, condition, public)); !isResult(got) {
			t.Errorf("%s the publication that may be had: %s", condition, got)
		}
	}
	// Conditions that are long, many or far away: an answer, and the same session.
	long := strings.Repeat("x", 60_000)
	for kwargs, answered := range map[string]bool{
		`"limit":9007199254740992`:                true,
		`"limit":9007199254740992,"reverse":true`: true,
		`"limit":0`:                          false,
		`"limit":-1`:                         false,
		`"limit":1e300`:                      false,
		`"from_time":"0000-01-01T00:00:00Z"`: true,
		`"until_time":"9999-12-31T23:59:59.999999999Z"`:   true,
		`"from_time":"9999-12-31T23:59:59.999999999Z"`:    true,
		`"from_time":"` + long + `"`:                      false,
		`"from_time":"99999-12-31T23:59:59Z"`:             false,
		`"topic":"` + long + `"`:                          true,
		`"topic":"` + strings.Repeat("x.", 30_000) + `x"`: true,
		`"topic":""`:                                               false,
		`"topic":"wamp.session.on_join"`:                           true,
		`"reverse":"` + long + `"`:                                 false,
		`"` + long + `":1`:                                         true,
		`"x":[` + strings.Repeat("0,", 20_000) + `0]`:              false,
		`"x":"` + long + long + long + `"`:                         false,
		`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40): true,
	} {
		switch answer := events(mallory, history, kwargs); {
		case answered != isResult(answer), !answered && !strings.Contains(answer, "wamp.error.invalid_argument"):
			t.Errorf("%.60s: %.200s", kwargs, answer)
		case strings.Contains(answer, "secret"):
			t.Errorf("%.60s: %s", kwargs, answer)
		}
	}
	// What is retained.
	for i, pattern := range []string{
		`{"get_retained":true,"match":"prefix"},"com.guest."`, `{"get_retained":true},"com.guest.h0"`,
		`{"get_retained":true},"com.guest.h3"`, `{"get_retained":true},"com.guest.h7"`,
		`{"get_retained":true,"match":"wildcard"},"com.guest."`, `{"get_retained":true},"com.bank.h"`,
		`{"get_retained":true,"match":"prefix"},"com."`, `{"get_retained":true,"match":"prefix"},""`,
	} {
		for name, k := range map[string]*talk{"guest": mallory, "other realm": other} {
			k.Queue(fmt.Appendf(nil, `[32,%d,%s]`, request+1+i, pattern))
			for _, message := range k.heard() {
				if strings.Contains(message, "secret") &&
					(k == mallory || !strings.Contains(message, fmt.Sprint(foreign))) {
					t.Errorf("%s, %s: %s", name, pattern, message)
				}
			}
		}
	}
	// Who may have them has them.
	request += 10
	if n := strings.Count(events(teller, s.bankHistory(t, teller), ""), "secret"); n != 2 {
		t.Errorf("the teller has %d of its events", n)
	}
}

func isWelcome(answer string) bool { return strings.HasPrefix(answer, "[2,") }
func isResult(answer string) bool  { return strings.HasPrefix(answer, "[50,") }

// bankHistory finds the history of com.bank. among the ids that there may be.
func (s *secured) bankHistory(t *testing.T, k *talk) int64 {
	t.Helper()
	for id := range int64(guessed) {
		if isResult(k.ask(fmt.Sprintf(`[48,%d,{},"wamp.subscription.get_events",[%d]]`, 10_000+id, id))) {
			return id
		}
	}
	t.Fatal("no history is open to the teller")
	return 0
}
