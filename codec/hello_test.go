package codec

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var helloPlain = dict{
	"agent": "x/1", "authid": "", "authmethods": list{}, "authrole": nil, "authextra": dict{"pubkey": "ab"},
	"x_y": list{1, dict{}},
	"roles": dict{
		"caller": dict{"features": dict{"call_canceling": true, "call_timeout": true}},
		"callee": dict{"features": dict{
			"call_cancelling": true, "call_timeout": false, "x": 1,
			"progressive_call_results": true,
		}},
		"x_role":    dict{"features": dict{"call_timeout": true}, "features_too": dict{}},
		"publisher": dict{"features": nil, "other": 5},
	},
}

// SES-05 and the like: what HELLO says, in every serializer.
func TestReadHello(t *testing.T) {
	roles := dict{"subscriber": dict{}}
	for _, ser := range serializers {
		extra := splice(t, nil, MessagePack, dict{"pubkey": "ab"})
		for i, c := range []struct {
			details   dict
			want      HelloDetails
			anonymous bool
		}{
			{helloPlain, HelloDetails{
				Roles: RoleCaller | RoleCallee | RolePublisher | CalleeCanceling | CalleeProgress, Agent: "x/1",
				AuthExtra: extra,
			}, true},
			{dict{"roles": roles}, HelloDetails{Roles: RoleSubscriber}, true},
			{dict{"roles": nil}, HelloDetails{}, true},
			{dict{}, HelloDetails{}, true},
			{
				dict{"roles": roles, "authmethods": nil, "authextra": nil, "agent": nil, "authid": nil},
				HelloDetails{Roles: RoleSubscriber},
				true,
			},
			{
				dict{"roles": roles, "authmethods": list{"ticket", "anonymous"}, "authid": "joé", "authrole": "user"},
				HelloDetails{
					Roles: RoleSubscriber, AuthMethods: []string{"ticket", "anonymous"}, AuthID: "joé",
					AuthRole: "user",
				},
				true,
			},
			{
				dict{"roles": roles, "authmethods": list{"ticket"}},
				HelloDetails{Roles: RoleSubscriber, AuthMethods: []string{"ticket"}},
				false,
			},
			{
				dict{"roles": roles, "authextra": dict{}},
				HelloDetails{Roles: RoleSubscriber, AuthExtra: []byte{0x80}},
				true,
			},
			{
				dict{"roles": dict{"callee": dict{"features": dict{
					"call_canceling": false, "call_cancelling": true,
				}}}},
				HelloDetails{Roles: RoleCallee | CalleeCanceling},
				true,
			},
			{
				dict{"roles": dict{"callee": dict{"features": dict{
					"call_canceling": true, "call_cancelling": false,
				}}}},
				HelloDetails{Roles: RoleCallee | CalleeCanceling},
				true,
			},
			{dict{"roles": dict{
				"subscriber": dict{"features": dict{
					"subscription_revocation": true, "registration_revocation": true,
				}},
				"callee": dict{"features": dict{"registration_revocation": true, "subscription_revocation": true}},
				"caller": dict{"features": dict{"subscription_revocation": true}},
			}}, HelloDetails{
				Roles: RoleSubscriber | RoleCallee | RoleCaller | SubscriberRevocation | CalleeRevocation,
			}, true},
			{dict{"roles": dict{
				"publisher":  dict{"features": dict{"x_acknowledged_event_delivery": true}},
				"subscriber": dict{"features": dict{"x_acknowledged_event_delivery": true}},
			}}, HelloDetails{Roles: RolePublisher | RoleSubscriber | PublisherXAcknowledged}, true},
			{dict{"roles": dict{
				"subscriber": dict{"features": dict{"x_acknowledged_event_delivery": true}},
			}}, HelloDetails{Roles: RoleSubscriber}, true},
			{dict{"roles": dict{
				"callee":    dict{"features": dict{"progressive_call_invocations": true}},
				"publisher": dict{"features": dict{"progressive_call_invocations": true}},
			}}, HelloDetails{Roles: RolePublisher | RoleCallee | CalleeStreams}, true},
			{dict{"roles": dict{
				"callee": dict{"features": dict{"progressive_call_invocations": false}},
				"caller": dict{"features": dict{"progressive_call_invocations": true, "call_timeout": true}},
			}}, HelloDetails{Roles: RoleCaller | RoleCallee | CallerStreams}, true},
			{dict{"roles": dict{"callee": dict{"features": dict{
				"call_timeout":             1,
				"progressive_call_results": list{true},
			}}}}, HelloDetails{Roles: RoleCallee}, true},
		} {
			b := encode(t, ser.s, 1, "realm1", c.details)
			m, err := decode(ser.s, b)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ReadHello(m)
			if err != nil {
				t.Errorf("%s %d: %v", ser.name, i, err)
			}
			clear(b)
			if diff := cmp.Diff(c.want, got); diff != "" || got.Anonymous() != c.anonymous {
				t.Errorf("%s %d: anonymous %t (-want +got):\n%s", ser.name, i, got.Anonymous(), diff)
			}
		}
	}
	// wampy writes what it left undefined as an extension.
	m, err := decode(MessagePack,
		[]byte("\x93\x01\xa1r\x83\xa5roles\x81\xa6callee\x80\xa6authid\xd4\x00\x00\xa9authextra\xd4\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ReadHello(m); err != nil || cmp.Diff(HelloDetails{Roles: RoleCallee}, got) != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

// REVIEW2 B11: a violation speaks of what is wrong and repeats nothing of the client's, nor a library's error.
func TestReadHelloViolations(t *testing.T) {
	unclean := raw{`{"\ud800":1}`, "\x81\xa1\xff\x80", "\xa1\x61\xff\xa0"}
	binary := raw{`{"callee":1}`, "\x81\xc4\x06callee\x80", "\xa1\x46callee\xa0"}
	for _, ser := range serializers {
		for i, bad := range []dict{
			{"roles": dict{"caller": 5}},
			{"roles": dict{"caller": nil}},
			{"roles": dict{"x_role": list{}}},
			{"roles": dict{"callee": dict{"features": list{}}}},
			{"roles": dict{"callee": dict{"features": 5}}},
			{"roles": dict{strings.Repeat("x", 5000): 5}},
			{"roles": dict{strings.Repeat("é", 500): 5}},
			{"roles": unclean},
			{"roles": binary},
			{"roles": raw{`{"a":1}`, "\x81\x01\x80", "\xa1\x01\xa0"}},
			{"roles": 1},
			{"roles": dict{}, "authmethods": list{1}},
			{"roles": dict{}, "authmethods": "ticket"},
			{"roles": dict{}, "authextra": list{}},
			{"roles": dict{}, "agent": 1},
		} {
			m, err := decode(ser.s, encode(t, ser.s, 1, "realm1", bad))
			if err == nil {
				var got HelloDetails
				if got, err = ReadHello(m); err == nil {
					t.Errorf("%s %d: %+v", ser.name, i, got)
					continue
				}
			}
			why := err.Error()
			if len(why) > 150 || !utf8.ValidString(why) || strings.Contains(why, "msgp") ||
				strings.Contains(why, "codec") || strings.Contains(why, "xx") {
				t.Errorf("%s %d: %q", ser.name, i, why)
			}
			if !strings.HasPrefix(why, "protocol violation: HELLO.Details") {
				t.Errorf("%s %d: %q", ser.name, i, why)
			}
		}
	}
}

// SER-18: of what comes twice, the last counts, whole.
func TestReadHelloDuplicates(t *testing.T) {
	t.Attr("checklist", "SER-18")
	for _, c := range []struct {
		roles string
		want  Roles
	}{
		{`{"callee":{"features":{"call_timeout":true,"call_timeout":false}}}`, RoleCallee},
		{`{"callee":{"features":{"call_timeout":false,"call_timeout":true}}}`, RoleCallee | CalleeTimeout},
		{`{"callee":{"features":{"call_timeout":true}},"callee":{}}`, RoleCallee},
		{
			`{"callee":{"features":{"call_timeout":true},"features":{"call_canceling":true}}}`,
			RoleCallee | CalleeCanceling,
		},
		{`{"callee":{"features":{"call_timeout":true},"features":null}}`, RoleCallee},
		{`{"callee":{"features":{"call_timeout":true}}},"roles":{"caller":{}}`, RoleCaller},
		{`{"callee":{}},"roles":null`, 0},
		{`{"subscriber":{"features":{"subscription_revocation":true}},"subscriber":{}}`, RoleSubscriber},
		{
			`{"callee":{"features":{"registration_revocation":true}},"subscriber":{}}`,
			RoleCallee | RoleSubscriber | CalleeRevocation,
		},
		{`{"call\u0065e":{"features":{"call_tim\u0065out":true}}}`, RoleCallee | CalleeTimeout},
	} {
		m, err := decode(JSON, []byte(`[1,"realm1",{"roles":`+c.roles+`}]`))
		if err != nil {
			t.Fatal(err)
		}
		for _, ser := range serializers {
			b, err := Append(nil, ser.s, m)
			if err != nil {
				t.Fatal(err)
			}
			again, err := decode(ser.s, b)
			if err != nil {
				t.Fatal(err)
			}
			if h, err := ReadHello(again); err != nil || h.Roles != c.want {
				t.Errorf("%s %s: %b, %v", ser.name, c.roles, h.Roles, err)
			}
		}
	}
}

// Whatever Decode lets through, ReadHello reads without harm, and the same in every serializer.
func FuzzReadHello(f *testing.F) {
	for _, ser := range serializers {
		f.Add(byte(ser.s), encode(f, ser.s, 1, "realm1", helloPlain))
	}
	f.Add(byte(JSON),
		[]byte(`[1, "r", { "roles" : {"callee": {"features": {"call_\u0074imeout" : true}}},`+
			` "agent" : "\u0000YQ==" }]`))
	f.Add(byte(CBOR),
		[]byte("\x83\x01\x61r\xa1\x65roles\xbf\x66callee\xbf\x68features\xa1\x6ccall_timeout\xc1\xf5\xff\xff"))
	f.Add(byte(CBOR), []byte("\x83\x01\x61r\xa1\x65roles\xa1\x61\xc1\xa0"))
	f.Fuzz(func(t *testing.T, s byte, b []byte) {
		m, err := decode(Serializer(s), b)
		if err != nil || m.Type != Hello {
			return
		}
		h, err := ReadHello(m)
		if err != nil {
			if why := err.Error(); !utf8.ValidString(why) || strings.Contains(why, "msgp") {
				t.Fatalf("%q: %q", b, why)
			}
			return
		}
		for _, ser := range serializers {
			again, err := Append(nil, ser.s, m)
			if err != nil || ser.s == m.Format {
				continue
			}
			other, err := decode(ser.s, again)
			if err != nil {
				continue // a realm that is not UTF-8
			}
			got, err := ReadHello(other)
			h.AuthExtra, got.AuthExtra = nil, nil // may have changed its form
			if diff := cmp.Diff(h, got); err != nil || diff != "" {
				t.Fatalf("%q and %q: %v (-first +second):\n%s", b, again, err, diff)
			}
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	for _, ser := range serializers {
		m, err := decode(ser.s, encode(b, ser.s, 1, "realm1", helloPlain))
		if err != nil {
			b.Fatal(err)
		}
		b.Run("hello/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ReadHello(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		form, dst := NewWelcomeForm(ser.s, &WelcomeDetails{Realm: "realm1"}), []byte(nil)
		identity := &WelcomeIdentity{
			AuthID: "7GQJZ2P6M5K4RSTUVWXYABCD", AuthRole: "anonymous",
			AuthMethod: "anonymous", AuthProvider: "static",
		}
		b.Run("welcome/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = form.Append(dst[:0], MaxID, identity, MessageBytesMax)
			}
		})
	}
}
