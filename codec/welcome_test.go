package codec

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWelcome(t *testing.T) {
	for _, ser := range serializers {
		form := NewWelcomeForm(ser.s, &WelcomeDetails{
			Realm: "realm1", Agent: "Banyan",
			Broker: []string{"event_history", "publisher_exclusion"},
		})
		for _, c := range []struct {
			session  uint64
			identity WelcomeIdentity
			extra    any
		}{
			{MaxID, WelcomeIdentity{
				"joe", "user", "ticket", "static",
				splice(t, nil, MessagePack, dict{"v": list{1}}),
			}, dict{"v": list{int64(1)}}},
			{1, WelcomeIdentity{"a\"b\u00e9\xff", strings.Repeat("r", 300), "", "", nil}, nil},
			{200, WelcomeIdentity{AuthExtra: []byte("\x91")}, nil},
			{70000, WelcomeIdentity{AuthExtra: []byte("\x91\x01")}, nil},
			{70000, WelcomeIdentity{AuthExtra: []byte("\x80\x80")}, nil},
			{70000, WelcomeIdentity{AuthExtra: []byte("\x80")}, dict{}},
		} {
			b, ok := form.Append([]byte("x"), c.session, &c.identity, 1<<20)
			m, err := decode(ser.s, b[1:])
			if err != nil || !ok || m.Request != c.session {
				t.Fatalf("%q: %v", b, err)
			}
			want := dict{
				"realm": "realm1", "authid": cleanText(c.identity.AuthID), "authrole": c.identity.AuthRole,
				"authmethod":   c.identity.AuthMethod,
				"authprovider": c.identity.AuthProvider, "agent": "Banyan",
				"roles": dict{
					"broker": dict{"features": dict{"event_history": true, "publisher_exclusion": true}},
					"dealer": dict{"features": dict{}},
				},
			}
			if c.extra != nil {
				want["authextra"] = c.extra
			}
			if diff := cmp.Diff(any(want), mustValue(t, ser.s, m.Dict)); diff != "" {
				t.Errorf("%s:\n%s", ser.name, diff)
			}
		}
		b := AppendWelcome([]byte("x"), ser.s, 5, &WelcomeDetails{}, &WelcomeIdentity{})
		if m, err := decode(ser.s, b[1:]); err != nil || m.Options.Has(KeyRealm) || m.Options.Has(KeyAgent) ||
			!m.Options.Has(KeyAuthid) ||
			bytes.Contains(b, []byte("authextra")) {
			t.Errorf("%q: %v", b, err)
		}
	}
	// A key that JSON cannot say: authextra is left out there and nowhere else.
	odd := &WelcomeIdentity{AuthExtra: []byte("\x81\x90\x01")}
	for _, ser := range serializers {
		m, err := decode(ser.s, AppendWelcome(nil, ser.s, 5, &WelcomeDetails{}, odd))
		if err != nil || m.Options.Has(KeyAuthextra) != (ser.s != JSON) {
			t.Errorf("%s: %v", ser.name, err)
		}
	}
}

// TRN-55: WELCOME shrinks to what the client accepts: first realm and agent go, then the names of the features.
func TestWelcomeShrinks(t *testing.T) {
	t.Attr("checklist", "TRN-55")
	for _, ser := range serializers {
		form := NewWelcomeForm(ser.s, &WelcomeDetails{
			Realm: "realm1", Agent: "Banyan",
			Broker: []string{"event_history"}, Dealer: []string{"call_timeout"},
		})
		identity := &WelcomeIdentity{AuthID: "joe", AuthRole: "user", AuthMethod: "ticket", AuthProvider: "static"}
		had, bytesMax := -1, 1<<20
		for forms := 0; ; forms++ {
			b, ok := form.Append([]byte("x"), MaxID, identity, bytesMax)
			if !ok {
				if forms != 3 || string(b) != "x" {
					t.Errorf("%s: %d forms, %q", ser.name, forms, b)
				}
				break
			}
			m, err := decode(ser.s, b[1:])
			if err != nil {
				t.Fatal(err)
			}
			got := mustValue(t, ser.s, m.Dict).(dict)
			features := dict{
				"broker": dict{"features": dict{"event_history": true}},
				"dealer": dict{"features": dict{"call_timeout": true}},
			}
			want := dict{
				"authid": "joe", "authrole": "user", "authmethod": "ticket", "authprovider": "static",
				"roles": features,
			}
			switch forms {
			case 0:
				want["realm"], want["agent"] = "realm1", "Banyan"
			case 2:
				want["roles"] = dict{"broker": dict{"features": dict{}}, "dealer": dict{"features": dict{}}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s %d:\n%s", ser.name, forms, diff)
			}
			if had >= 0 && len(b)-1 >= had {
				t.Errorf("%s %d: %d octets after %d", ser.name, forms, len(b)-1, had)
			}
			// Exactly its length is enough, one octet less is not.
			if again, _ := form.Append(nil, MaxID, identity, len(b)-1); !bytes.Equal(again, b[1:]) {
				t.Errorf("%s %d: another form for %d octets", ser.name, forms, len(b)-1)
			}
			had, bytesMax = len(b)-1, len(b)-2
		}
	}
}
