package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"banyan/bench/client"
)

// attackRoles asks for more rights than a client has, in every field of HELLO and AUTHENTICATE (AUZ-01, AUZ-02): it
// gets its own, or nothing.
func attackRoles(t *testing.T, s *secured) {
	ticket := func(more string) string {
		return fmt.Sprintf(`[1,"bank",{%s,"authid":"mallory","authmethods":["ticket"]%s}]`, allRoles, more)
	}
	anonymous := func(more string) string { return fmt.Sprintf(`[1,"bank",{%s%s}]`, allRoles, more) }
	for name, c := range map[string]struct{ hello, authenticate string }{
		"nothing":             {ticket(""), ""},
		"authrole":            {ticket(`,"authrole":"admin"`), ""},
		"authrole, anonymous": {anonymous(`,"authrole":"admin"`), ""},
		"authrole, a list":    {ticket(`,"authrole":["admin"]`), ""},
		"authrole, twice":     {ticket(`,"authrole":"guest","authrole":"admin"`), ""},
		"role":                {ticket(`,"role":"admin","x_role":"admin","trusted":true`), ""},
		"authid, anonymous":   {anonymous(`,"authid":"alice"`), ""},
		"authid, twice":       {ticket(`,"authid":"alice"`), ""},
		"authid, escaped":     {strings.Replace(ticket(""), "mallory", `mallor\u0079`, 1), ""},
		"authid, with a NUL":  {strings.Replace(ticket(""), "mallory", `alice\u0000`, 1), ""},
		"authid, a list":      {strings.Replace(ticket(""), `"mallory"`, `["alice"]`, 1), ""},
		"authid, empty":       {strings.Replace(ticket(""), "mallory", "", 1), ""},
		"authprovider":        {ticket(`,"authprovider":"dynamic","authmethod":"trusted"`), ""},
		"authextra": {
			ticket(`,"authextra":{"role":"admin","authrole":"admin","authid":"alice"}`), "",
		},
		"a session of its own choice": {ticket(`,"session":1,"resume-session":1,"resume_token":"x"`), ""},
		"roles": {
			strings.Replace(ticket(""), `"callee":{}`, `"callee":{},"admin":{},"broker":{},"dealer":{}`, 1), "",
		},
		"methods that nobody offers": {
			fmt.Sprintf(`[1,"bank",{%s,"authid":"alice","authmethods":["trusted","anonymous-proxy",`+
				`"cryptosign-proxy","none","","cookie","tls"],"authextra":{"proxy_authid":"alice",`+
				`"proxy_authrole":"admin","proxy_realm":"bank"}}]`, allRoles), "",
		},
		"methods, a text":        {strings.Replace(ticket(""), `["ticket"]`, `"anonymous"`, 1), ""},
		"AUTHENTICATE.Extra":     {ticket(""), `"role":"admin","authrole":"admin","authid":"alice","realm":"other"`},
		"another realm's name":   {strings.Replace(ticket(""), `"bank"`, `"BANK"`, 1), ""},
		"a realm with a NUL":     {strings.Replace(ticket(""), `"bank"`, `"bank\u0000"`, 1), ""},
		"the realm of patterns":  {strings.Replace(ticket(""), `"bank"`, `"ban."`, 1), ""},
		"a realm that is a list": {strings.Replace(ticket(""), `"bank"`, `["bank"]`, 1), ""},
		"no realm":               {strings.Replace(ticket(""), `"bank"`, `null`, 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := s.talk(t, "plain", client.Options{})
			answer := k.ask(c.hello)
			if strings.HasPrefix(answer, "[4,") {
				answer = k.authenticate(s.mallory.ticket, c.authenticate)
			}
			if strings.HasPrefix(answer, "[3,") {
				return
			}
			var welcome []any
			if err := json.Unmarshal([]byte(answer), &welcome); err != nil || welcome[0] != 2.0 {
				t.Fatalf("%s: %v", answer, err)
			}
			details := welcome[2].(map[string]any)
			if details["authrole"] != "guest" || details["authid"] == "alice" ||
				details["authprovider"] != "static" || welcome[1] == 1.0 {
				t.Errorf("joined as %s", answer)
			}
			for i, request := range []string{
				`[16,%d,{"acknowledge":true},"com.bank.a"]`, `[32,%d,{},"com.bank.a"]`, `[48,%d,{},"com.bank.a"]`,
				`[64,%d,{},"com.bank.a"]`, `[32,%d,{"match":"prefix"},""]`, `[32,%d,{"match":"prefix"},"com."]`,
				`[32,%d,{"match":"prefix"},"com.guest"]`, `[32,%d,{"match":"wildcard"},"com..a"]`,
				`[64,%d,{"match":"prefix"},"com."]`, `[64,%d,{"match":"wildcard"},".."]`,
				`[64,%d,{"match":"wildcard"},"com.bank."]`, `[48,%d,{},"wamp.session.kill",[1]]`,
				`[32,%d,{},"wamp.session.on_join"]`, `[48,%d,{},"wamp.session.list"]`,
			} {
				k.says(fmt.Sprintf(request, i+1), "wamp.error.not_authorized")
			}
			k.says(`[32,99,{"match":"prefix"},"com.guest.a"]`, "[33,")
		})
	}
}
