package codec

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"banyan/codec/internal/table"
)

// everyMessage returns one filled message of each type, payload and dictionary in s.
func everyMessage(t testing.TB, s Serializer) (all []*Message) {
	t.Helper()
	enc := func(v any) []byte {
		b, err := AppendValue(nil, s, v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for i := range shapes {
		sh := &shapes[i]
		m := &Message{Type: sh.code, Format: s}
		for _, e := range sh.elements {
			switch e.kind {
			case elementRequest:
				m.Request = 7814135
			case elementID:
				m.ID = MaxID
			case elementPublication:
				m.Publication = 300
			case elementRequestType:
				m.RequestType = Call
			case elementText, elementRealm:
				m.URI = []byte("com.example.é\"\\")
			case elementDict:
				m.Dict = enc(map[string]any{"x_custom": []any{1, "a", nil}, "x_other": map[string]any{}})
			}
		}
		if sh.payload {
			m.Payload = Payload{Format: s, Args: enc([]any{1, "two", 3.5}), Kwargs: enc(map[string]any{"k": nil})}
		}
		all = append(all, m)
	}
	return all
}

// Every message survives the way through every pair of serializers.
func TestAppendEveryMessage(t *testing.T) {
	if len(shapes) != 25 {
		t.Fatalf("%d messages", len(shapes))
	}
	for _, from := range serializers {
		for i, m := range everyMessage(t, from.s) {
			for _, to := range serializers {
				prefix := []byte("prefix")
				b, err := Append(prefix, to.s, m)
				if err != nil || !bytes.HasPrefix(b, prefix) {
					t.Fatalf("%v %s-%s: %q, %v", m.Type, from.name, to.name, b, err)
				}
				got, err := decode(to.s, b[len(prefix):])
				if err != nil {
					t.Fatalf("%v %s-%s: %q, %v", m.Type, from.name, to.name, b, err)
				}
				if diff := cmp.Diff(content(t, everyMessage(t, to.s)[i]), content(t, got)); diff != "" {
					t.Errorf("%v %s-%s (-want +got):\n%s", m.Type, from.name, to.name, diff)
				}
			}
		}
	}
	if b, err := Append([]byte("x"), JSON, &Message{Type: 7}); err == nil || string(b) != "x" {
		t.Errorf("an unknown type: %q, %v", b, err)
	}
	bad := &Message{
		Type: Publish, Request: 1, URI: []byte("a"),
		Payload: Payload{Format: MessagePack, Args: []byte("\x91\x81\x90\xc0")},
	}
	if b, err := Append([]byte("x"), JSON, bad); err == nil || string(b) != "x" {
		t.Errorf("a key without form: %q, %v", b, err)
	}
}

// The table, the constants of message.go and the generated shapes say the same.
func TestTable(t *testing.T) {
	for _, m := range table.Messages {
		ty := Type(m.Code)
		if ty.String() != m.Name {
			t.Errorf("%s: %v", m.Name, ty)
		}
	}
	for _, c := range []struct {
		min, max int
		types    []Type
	}{
		{3, 3, []Type{Hello, Goodbye, Cancel}},
		{3, 5, []Type{Abort, Yield}},
		{2, 3, []Type{Authenticate, EventReceived}},
		{5, 7, []Type{Error}},
		{4, 6, []Type{Publish, Call}},
		{4, 4, []Type{Subscribe, Register}},
		{3, 4, []Type{Unsubscribe, Unregister}},
	} {
		for _, ty := range c.types {
			for i := range table.Messages {
				if m := &table.Messages[i]; Type(m.Code) == ty && (m.Min() != c.min || m.Max() != c.max) {
					t.Errorf("%v: %d to %d elements, PROTOCOL 1.3 says %d to %d", ty, m.Min(), m.Max(), c.min, c.max)
				}
			}
		}
	}
	if Type(7).String() != "type 7" || Type(600).String() != "type 600" {
		t.Error("types that do not exist")
	}
	if keySet(1)<<(forwardedLast+1)-1<<forwardedFirst != forwardedKeys {
		t.Error("the forwarded keys are not neighbours in the table")
	}
	for i, k := range table.Keys {
		if got, ok := findKey([]byte(k.Name)); !ok || got != Key(i) || got.String() != k.Name || len(k.Name) >= 24 {
			t.Errorf("%s: %d, %t", k.Name, got, ok)
		}
	}
}

// The router's encoders write what Append writes, and what they write decodes.
func TestRouterEncoders(t *testing.T) {
	for _, ser := range serializers {
		s := ser.s
		args, kwargs := splice(t, nil, s, list{1, "x"}), splice(t, nil, s, dict{"k": 1})
		payload := Payload{Format: s, Args: args, Kwargs: kwargs}
		must := func(b []byte, err error) []byte {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		for i, c := range []struct {
			got  []byte
			want Message
		}{
			{AppendPublished(nil, s, 1, MaxID), Message{Type: Published, Request: 1, ID: MaxID}},
			{AppendSubscribed(nil, s, 300, 70000), Message{Type: Subscribed, Request: 300, ID: 70000}},
			{AppendUnsubscribed(nil, s, 1), Message{Type: Unsubscribed, Request: 1}},
			{AppendRegistered(nil, s, 1, 2), Message{Type: Registered, Request: 1, ID: 2}},
			{AppendUnregistered(nil, s, 1<<32), Message{Type: Unregistered, Request: 1 << 32}},
			{AppendAbort(nil, s, ErrNoSuchRealm, ""), Message{Type: Abort, URI: []byte(ErrNoSuchRealm)}},
			{AppendAbort(nil, s, ErrNoSuchRealm, "why"), Message{
				Type: Abort, URI: []byte(ErrNoSuchRealm),
				Dict: splice(t, nil, s, dict{"message": "why"}),
			}},
			{AppendGoodbye(nil, s, CloseKilled, "why"), Message{
				Type: Goodbye, URI: []byte(CloseKilled),
				Dict: splice(t, nil, s, dict{"message": "why"}),
			}},
			{AppendInterrupt(nil, s, 5, Kill), Message{
				Type: Interrupt, Request: 5,
				Dict: splice(t, nil, s, dict{"mode": "kill"}),
			}},
			{AppendInterrupt(nil, s, 5, KillNoWait), Message{
				Type: Interrupt, Request: 5,
				Dict: splice(t, nil, s, dict{"mode": "killnowait"}),
			}},
			{AppendChallenge(nil, s, "ticket", nil), Message{Type: Challenge, URI: []byte("ticket")}},
			{
				AppendChallenge(nil, s, "wampcra", splice(t, nil, s, dict{"challenge": "x"})),
				Message{Type: Challenge, URI: []byte("wampcra"), Dict: splice(t, nil, s, dict{"challenge": "x"})},
			},
			{
				AppendRefusal(nil, s, Call, 5, ErrCanceled, ""),
				Message{Type: Error, RequestType: Call, Request: 5, URI: []byte(ErrCanceled)},
			},
			{
				AppendRefusal(nil, s, Call, 5, ErrCanceled, "why"),
				Message{
					Type: Error, RequestType: Call, Request: 5, URI: []byte(ErrCanceled),
					Payload: Payload{Args: splice(t, nil, s, list{"why"})},
				},
			},
			{must(AppendEvent(nil, s, 1, 2, nil, nil, MessageBytesMax)), Message{Type: Event, ID: 1, Publication: 2}},
			{
				must(AppendEvent(nil, s, 1, 2, &Details{}, &payload, MessageBytesMax)),
				Message{Type: Event, ID: 1, Publication: 2, Payload: payload},
			},
			{
				must(AppendEvent(nil, s, 1, 2, &Details{
					Topic: []byte("a.b"), Retained: true,
					Publisher: &Identity{Session: 7, AuthID: "joe", AuthRole: "user"},
				}, nil, MessageBytesMax)),
				Message{Type: Event, ID: 1, Publication: 2, Dict: []byte(raw{
					json: `{"publisher":7,"publisher_authid":"joe","publisher_authrole":"user","topic":"a.b",` +
						`"retained":true}`,
					msgpack: "\x85\xa9publisher\x07\xb0publisher_authid\xa3joe\xb2publisher_authrole\xa4user" +
						"\xa5topic\xa3a.b\xa8retained\xc3",
					cbor: "\xa5\x69publisher\x07\x70publisher_authid\x63joe\x72publisher_authrole\x64user" +
						"\x65topic\x63a.b\x68retained\xf5",
				}.in(s))},
			},
			{
				must(AppendInvocation(nil, s, 1, 2, &Details{
					Procedure: []byte("a"), Progress: true,
					ReceiveProgress: true, Timeout: 300, Publisher: &Identity{Session: 7},
				}, nil, MessageBytesMax)),
				Message{Type: Invocation, Request: 1, ID: 2, Dict: []byte(raw{
					json: `{"caller":7,"procedure":"a","progress":true,"receive_progress":true,"timeout":300}`,
					msgpack: "\x85\xa6caller\x07\xa9procedure\xa1a\xa8progress\xc3\xb0receive_progress\xc3" +
						"\xa7timeout\xcd\x01\x2c",
					cbor: "\xa5\x66caller\x07\x69procedure\x61a\x68progress\xf5\x70receive_progress\xf5" +
						"\x67timeout\x19\x01\x2c",
				}.in(s))},
			},
			{
				must(AppendResult(nil, s, 1, nil, &Payload{Format: s, Kwargs: kwargs}, MessageBytesMax)),
				Message{Type: Result, Request: 1, Payload: Payload{Kwargs: kwargs}},
			},
			{
				must(AppendResult(nil, s, 1, &Details{Progress: true}, &Payload{}, MessageBytesMax)),
				Message{Type: Result, Request: 1, Dict: splice(t, nil, s, dict{"progress": true})},
			},
			{
				must(AppendError(nil, s, Call, 1, nil, []byte("a.b"), nil, MessageBytesMax)),
				Message{Type: Error, RequestType: Call, Request: 1, URI: []byte("a.b")},
			},
			{
				must(AppendError(nil, s, Call, 1, &Options{format: s, dict: kwargs}, []byte("a.b"), &payload,
					MessageBytesMax)),
				Message{
					Type: Error, RequestType: Call, Request: 1, URI: []byte("a.b"), Dict: kwargs,
					Payload: payload,
				},
			},
		} {
			want := must(Append(nil, s, &c.want))
			if !bytes.Equal(c.got, want) {
				t.Errorf("%s %d: got\n%q, want\n%q", ser.name, i, c.got, want)
			}
			if _, err := decode(s, c.got); err != nil {
				t.Errorf("%s %q: %v", ser.name, c.got, err)
			}
		}
	}
}

func (r raw) in(s Serializer) string {
	return [...]string{JSON: r.json, MessagePack: r.msgpack, CBOR: r.cbor}[s]
}

// MSG-30, MSG-29, SER-28, ID-05: what leaves has no empty tail, integers as integers and the shortest form.
func TestAppendCanonical(t *testing.T) {
	t.Attr("checklist", "MSG-30 MSG-29 SER-28 ID-05")
	for _, c := range []struct {
		in   string
		want raw
	}{
		{`[16,5.0,{},"a"]`, raw{`[16,5,{},"a"]`, "\x94\x10\x05\x80\xa1a", "\x84\x10\x05\xa0\x61a"}},
		{`[16,5,{},"a",[],{}]`, raw{`[16,5,{},"a"]`, "\x94\x10\x05\x80\xa1a", "\x84\x10\x05\xa0\x61a"}},
		{`[16,5,{},"a",null,{"b":1}]`, raw{
			`[16,5,{},"a",[],{"b":1}]`, "\x96\x10\x05\x80\xa1a\x90\x81\xa1b\x01",
			"\x86\x10\x05\xa0\x61a\x80\xa1\x61b\x01",
		}},
		{`[48,9007199254740992,{},"a"]`, raw{
			`[48,9007199254740992,{},"a"]`,
			"\x94\x30\xcf\x00\x20\x00\x00\x00\x00\x00\x00\x80\xa1a",
			"\x84\x18\x30\x1b\x00\x20\x00\x00\x00\x00\x00\x00\xa0\x61a",
		}},
		{`[337,1e3]`, raw{`[337,1000]`, "\x92\xcd\x01\x51\xcd\x03\xe8", "\x82\x19\x01\x51\x19\x03\xe8"}},
		{`[5,"s"]`, raw{`[5,"s",{}]`, "\x93\x05\xa1s\x80", "\x83\x05\x61s\xa0"}},
		{`[1,null,{}]`, raw{`[1,null,{}]`, "\x93\x01\xc0\x80", "\x83\x01\xf6\xa0"}},
		{`[35,0,{"subscription":5}]`, raw{
			`[35,0,{"subscription":5}]`, "\x93\x23\x00\x81\xacsubscription\x05",
			"\x83\x18\x23\x00\xa1\x6csubscription\x05",
		}},
	} {
		for _, ser := range serializers {
			m, err := decode(JSON, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := Append(nil, ser.s, m); err != nil || string(b) != c.want.in(ser.s) {
				t.Errorf("%s to %s: %q, %v", c.in, ser.name, b, err)
			}
		}
	}
}

// SER-13: the payload is copied as it is, whatever its form.
func TestAppendCopiesPayload(t *testing.T) {
	t.Attr("checklist", "SER-13")
	for _, c := range []struct {
		s    Serializer
		args string
	}{
		{JSON, `[ 1.0 , "\u0041\ud800" , {"b":1,"a":2,"a":3} ,1E5]`},
		{MessagePack, "\xdc\x00\x03\xcd\x00\x05\xca\x3f\x80\x00\x00\x82\xa1b\x01\xa1a\x02"},
		{CBOR, "\x9f\x18\x05\xf9\x3c\x00\xbf\x61b\x01\x61a\x02\xff\xc1\x00\xff"},
	} {
		b := append([]byte{}, encode(t, c.s, pub(dict{}, raw{c.args, c.args, c.args})...)...)
		m, err := decode(c.s, b)
		if err != nil {
			t.Fatal(err)
		}
		ev, err := AppendEvent(nil, c.s, 1, 2, nil, &m.Payload, MessageBytesMax)
		if err != nil || !bytes.Contains(ev, []byte(c.args)) {
			t.Errorf("%q became %q, %v", c.args, ev, err)
		}
	}
}

// Forwarded keys reach the receiver in every serializer, the last of duplicates once.
func TestDetailsForward(t *testing.T) {
	options := dict{
		"ppt_scheme": "x_é", "ppt_keyid": "k", "enc_algo": "cryptobox", "enc_key": "e",
		"transaction_hash": "h", "acknowledge": true, "x_y": 1,
	}
	want := dict{
		"ppt_scheme": "x_é", "ppt_keyid": "k", "enc_algo": "cryptobox", "enc_key": "e",
		"transaction_hash": "h", "progress": true,
	}
	for _, from := range serializers {
		m, err := decode(from.s, encode(t, from.s, pub(options, []byte{1, 2})...))
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range serializers {
			b, err := AppendResult(nil, to.s, 1, &Details{Progress: true, Forward: &m.Options}, &m.Payload,
				MessageBytesMax)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decode(to.s, b)
			if err != nil {
				t.Fatalf("%q: %v", b, err)
			}
			if diff := cmp.Diff(any(want), mustValue(t, to.s, got.Dict)); diff != "" {
				t.Errorf("%s-%s:\n%s", from.name, to.name, diff)
			}
			if v := mustValue(t, to.s, got.Payload.Args); !got.Payload.Transparent ||
				!bytes.Equal(v.([]byte), []byte{1, 2}) {
				t.Errorf("%s-%s: payload %v", from.name, to.name, v)
			}
		}
	}
	m, err := decode(JSON, []byte(`[16,1,{"ppt_scheme":"a","ppt_scheme":"b","ppt_keyid":"c","ppt_keyid":null},"a"]`))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := AppendEvent(nil, JSON, 1, 2, &Details{Forward: &m.Options}, nil, MessageBytesMax); err != nil ||
		string(b) != `[36,1,2,{"ppt_scheme":"b"}]` {
		t.Errorf("%s, %v", b, err)
	}
}

// PPT-15, PROTOCOL 15: forward_for of a callee's ERROR stays here, however often and whatever it holds; everything
// else is passed on.
func TestErrorForwardFor(t *testing.T) {
	t.Attr("checklist", "PPT-15")
	link := list{dict{"session": 5, "authid": "a", "authrole": "r"}}
	for _, from := range serializers {
		for i, c := range []struct{ details, want dict }{
			{dict{}, dict{}},
			{dict{"forward_for": link}, dict{}},
			{dict{"forward_for": nil, "why": "x"}, dict{"why": "x"}},
			{
				dict{"a": 1, "forward_for": list{}, "why é": dict{"forward_for": "nested"}, "\x00QUJD": "t"},
				dict{"a": int64(1), "why é": dict{"forward_for": "nested"}, "\x00QUJD": "t"},
			},
			{dict{"why": list{nil}}, dict{"why": list{nil}}},
			{dict{"enc_algo": "mqtt", "forward_for": link}, dict{"enc_algo": "mqtt"}},
		} {
			m, err := decode(from.s, encode(t, from.s, 8, 68, 1, c.details, "a.b"))
			if err != nil {
				t.Fatal(err)
			}
			for _, to := range serializers {
				b, err := AppendError([]byte("x"), to.s, Call, 1, &m.Options, m.URI, &m.Payload, MessageBytesMax)
				if err != nil {
					t.Fatal(err)
				}
				got, err := decode(to.s, b[1:])
				if err != nil {
					t.Fatalf("%s-%s %d: %q: %v", from.name, to.name, i, b, err)
				}
				if diff := cmp.Diff(any(c.want), mustValue(t, to.s, got.Dict)); diff != "" {
					t.Errorf("%s-%s %d (-want +got):\n%s", from.name, to.name, i, diff)
				}
			}
		}
	}
	tagged, err := decode(CBOR,
		[]byte("\x85\x08\x18\x44\x01\xbf\x61a\xc1\xc1\x05\x6bforward_for\x9f\xff\x61b\x5f\x41x\xff\xff\x61u"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := AppendError(nil, JSON, Call, 1, &tagged.Options, tagged.URI, nil, 1000); err != nil ||
		string(b) != `[8,48,1,{"a":5,"b":"\u0000eA=="},"u"]` {
		t.Errorf("%s, %v", b, err)
	}
	m, err := decode(JSON, []byte(`[8,68,1,{"forward_for":[], "a" : 1,"forward\u005ffor":[],"b":2,"a":3},"u"]`))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := AppendError(nil, JSON, Call, 1, &m.Options, m.URI, nil, MessageBytesMax); err != nil ||
		string(b) != `[8,48,1,{"a":1,"b":2,"a":3},"u"]` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestAppendFailureLeavesDst(t *testing.T) {
	bad := &Payload{Format: MessagePack, Args: []byte("\x91\x81\x90\xc0")}
	dst := []byte("x")
	for i, f := range []func() ([]byte, error){
		func() ([]byte, error) { return AppendEvent(dst, JSON, 1, 2, nil, bad, MessageBytesMax) },
		func() ([]byte, error) { return AppendInvocation(dst, JSON, 1, 2, nil, bad, MessageBytesMax) },
		func() ([]byte, error) { return AppendResult(dst, JSON, 1, nil, bad, MessageBytesMax) },
		func() ([]byte, error) { return AppendError(dst, JSON, Call, 1, nil, []byte("a"), bad, MessageBytesMax) },
		func() ([]byte, error) {
			return AppendError(dst, JSON, Call, 1, &Options{format: MessagePack, dict: bad.Args[1:]}, []byte("a"),
				nil, MessageBytesMax)
		},
		func() ([]byte, error) {
			return AppendResult(dst, JSON, 1, nil, &Payload{Format: MessagePack, Kwargs: bad.Args[1:]},
				MessageBytesMax)
		},
		func() ([]byte, error) { return AppendValue(dst, JSON, []any{struct{}{}}) },
		func() ([]byte, error) { return AppendValue(dst, JSON, map[string]any{"a": make(chan int)}) },
		func() ([]byte, error) { return AppendValue(dst, JSON, deep(DepthMaxMost+2)) },
	} {
		if b, err := f(); err == nil || string(b) != "x" {
			t.Errorf("%d: %q, %v", i, b, err)
		}
	}
}

func TestAppendAllocates(t *testing.T) {
	buf := make([]byte, 0, 4096)
	for _, from := range serializers {
		var d Decoder
		var m Message
		if err := d.Decode(from.s, publish319(t, from.s), &m); err != nil {
			t.Fatal(err)
		}
		details := &Details{
			Topic: []byte("a.b"), Publisher: &Identity{Session: 5, AuthID: "a", AuthRole: "b"},
			Progress: true,
		}
		for _, to := range serializers {
			if raceEnabled && from.s != to.s {
				continue
			}
			for name, f := range map[string]func(){
				"event": func() {
					buf, _ = AppendEvent(buf[:0], to.s, 5, 6, details, &m.Payload, MessageBytesMax)
				},
				"invocation": func() {
					buf, _ = AppendInvocation(buf[:0], to.s, 5, 6, details, &m.Payload, MessageBytesMax)
				},
				"result": func() {
					buf, _ = AppendResult(buf[:0], to.s, 5, details, &m.Payload, MessageBytesMax)
				},
				"error": func() {
					buf, _ = AppendError(buf[:0], to.s, Call, 5, nil, m.URI, &m.Payload, MessageBytesMax)
				},
				"refusal":   func() { buf = AppendRefusal(buf[:0], to.s, Call, 5, ErrCanceled, "why") },
				"published": func() { buf = AppendPublished(buf[:0], to.s, 5, 6) },
			} {
				if n := testing.AllocsPerRun(50, f); n != 0 {
					t.Errorf("%s %s-%s: %v allocations", name, from.name, to.name, n)
				}
			}
		}
	}
}

// Invalid UTF-8 from elsewhere never makes a message that its receiver cannot read.
func TestAppendCleansText(t *testing.T) {
	for _, ser := range serializers {
		b := AppendAbort(nil, ser.s, ErrProtocolViolation, "bad \xff\xfe\"\n\x01 text")
		m, err := decode(ser.s, b)
		if err != nil {
			t.Fatal(err)
		}
		v := mustValue(t, ser.s, m.Dict)
		if got := fmt.Sprint(v); got != "map[message:bad \uFFFD\"\n\x01 text]" {
			t.Errorf("%s: %q", ser.name, got)
		}
	}
}
