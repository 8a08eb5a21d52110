package codec

import (
	"bytes"
	"testing"
)

var helloPlain = dict{
	"agent": "x/1", "authid": "", "authmethods": list{}, "authrole": nil, "authextra": dict{"pubkey": "ab"}, "x_y": list{1, dict{}},
	"roles": dict{
		"caller": dict{"features": dict{"call_canceling": true, "call_timeout": true}},
		"callee": dict{"features": dict{"call_cancelling": true, "call_timeout": false, "x": 1, "progressive_call_results": true}},
		"x_role": dict{"features": dict{"call_timeout": true}, "features_too": dict{}}, "publisher": dict{"features": nil, "other": 5},
	},
}

func TestReadJoin(t *testing.T) {
	want := Join{Roles: RoleCaller | RoleCallee | RolePublisher | CalleeCanceling | CalleeProgress, Anonymous: true}
	for _, ser := range serializers {
		m, err := decode(ser.s, encode(t, ser.s, 1, "realm1", helloPlain))
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := walkHello(m); !ok || j != want {
			t.Errorf("%s: %+v %v", ser.name, j, ok)
		}
		if n := testing.AllocsPerRun(50, func() { _, _ = ReadJoin(m) }); n != 0 {
			t.Errorf("%s: %v allocations", ser.name, n)
		}
		for _, c := range []struct {
			details   dict
			anonymous bool
		}{
			{dict{"roles": dict{"subscriber": dict{}}}, true},
			{dict{"roles": dict{"subscriber": dict{}}, "authmethods": list{"ticket", "anonymous"}}, true},
			{dict{"roles": dict{"subscriber": dict{}}, "authmethods": list{"ticket"}}, false},
		} {
			m, err := decode(ser.s, encode(t, ser.s, 1, "realm1", c.details))
			if err != nil {
				t.Fatal(err)
			}
			if j, err := ReadJoin(m); err != nil || j != (Join{RoleSubscriber, c.anonymous}) {
				t.Errorf("%s %v: %+v %v", ser.name, c.details, j, err)
			}
		}
		for _, bad := range []dict{
			{"roles": 1},
			{"roles": dict{"caller": nil}},
			{"roles": dict{"x_role": list{}}},
			{"roles": dict{"callee": dict{"features": list{}}}},
			{"roles": dict{}, "authmethods": list{1}},
		} {
			m, err := decode(ser.s, encode(t, ser.s, 1, "realm1", bad))
			if err != nil {
				continue // found already
			}
			if j, err := ReadJoin(m); err == nil {
				t.Errorf("%s %v: %+v", ser.name, bad, j)
			}
		}
	}
	// What comes twice counts as ParseHello says.
	m, err := decode(JSON, []byte(`[1,"realm1",{"roles":{"callee":{"features":{"call_timeout":true,"call_timeout":false}},"callee":{}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	if j, err := ReadJoin(m); err != nil || j.Roles != RoleCallee {
		t.Errorf("%+v %v", j, err)
	}
}

// FuzzReadJoin holds the walk against the definition: where it says yes, ParseHello finds no fault and the same.
func FuzzReadJoin(f *testing.F) {
	for _, ser := range serializers {
		f.Add(byte(ser.s), encode(f, ser.s, 1, "realm1", helloPlain))
	}
	f.Add(byte(JSON), []byte(`[1, "r", { "roles" : {"callee": {"features": {"call_\u0074imeout" : true}}}, "agent" : "\u0000YQ==" }]`))
	f.Add(byte(CBOR), []byte("\x83\x01\x61r\xa1\x65roles\xbf\x66callee\xbf\x68features\xa1\x6ccall_timeout\xc1\xf5\xff\xff"))
	f.Add(byte(CBOR), []byte("\x83\x01\x61r\xa1\x65roles\xa1\x61\xc1\xa0"))
	f.Fuzz(func(t *testing.T, s byte, b []byte) {
		m, err := decode(Serializer(s), b)
		if err != nil || m.Type != Hello {
			return
		}
		walked, ok := walkHello(m)
		if !ok {
			return
		}
		h, err := ParseHello(m)
		if err != nil {
			t.Fatalf("%q: walked over %v", b, err)
		}
		if parsed := h.join(); parsed != walked {
			t.Fatalf("%q: walked %+v, parsed %+v", b, walked, parsed)
		}
	})
}

func TestWelcomeForm(t *testing.T) {
	for _, ser := range serializers {
		d := &WelcomeDetails{
			Realm: "the.authid", AuthRole: "user", AuthMethod: "ticket", AuthProvider: "static", Agent: "the authid",
			Broker: []string{"event_history"}, Dealer: []string{"call_timeout"},
		}
		form := NewWelcomeForm(ser.s, d)
		for _, session := range []uint64{1, 200, 70_000, MaxID} {
			for _, authID := range []string{"", "joe", "a\"b\u00e9", "a name of more than thirty-two octets"} {
				d.AuthID = authID
				want := AppendWelcome([]byte("x"), ser.s, session, d)
				if got := form.Append([]byte("x"), session, authID); !bytes.Equal(got, want) {
					t.Errorf("%s: %q, want %q", ser.name, got, want)
				}
			}
		}
	}
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
				if _, err := ReadJoin(m); err != nil {
					b.Fatal(err)
				}
			}
		})
		form, dst := NewWelcomeForm(ser.s, &WelcomeDetails{Realm: "realm1"}), []byte(nil)
		b.Run("welcome/ser="+ser.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = form.Append(dst[:0], MaxID, "7GQJZ2P6M5K4RSTUVWXYABCD")
			}
		})
	}
}
