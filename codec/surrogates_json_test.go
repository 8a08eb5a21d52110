package codec

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loneSurrogates are insides of JSON strings and what every receiver gets of them.
var loneSurrogates = []struct{ in, clean string }{
	{`\ud800`, `\ufffd`},
	{`\uDFFFx`, `\ufffdx`},
	{`a\udbff`, `a\ufffd`},
	{`\ud83d\ude00`, `\ud83d\ude00`},
	{`\ud83d\ude00\ude00`, `\ud83d\ude00\ufffd`},
	{`\ud83d\ud83d\ude00`, `\ufffd\ud83d\ude00`},
	{`\ude00\ud83d`, `\ufffd\ufffd`},
	{`\ud83dx\ude00`, `\ufffdx\ufffd`},
	{`\ud83d\n\ude00`, `\ufffd\n\ufffd`},
	{`\ud83d\u0041\ude00`, `\ufffd\u0041\ufffd`},
	{`\\ud800`, `\\ud800`}, // an escaped backslash
	{`\\\ud800`, `\\\ufffd`},
	{`\"\ud800\"`, `\"\ufffd\"`},
	{`\uD7FF\uE000`, `\uD7FF\uE000`}, // the neighbours of the surrogates
}

// SER-11, MSG-43: an option that is forwarded reaches every receiver as the same text, without lone surrogates. The
// payload stays as it is, and so does the message that was decoded.
func TestOptionsWithoutLoneSurrogates(t *testing.T) {
	t.Attr("checklist", "SER-11 MSG-43")
	for _, c := range loneSurrogates {
		in := fmt.Sprintf(`[16,1,{"x_a":1,"ppt_keyid":"%[1]s","ppt_scheme":"x_y"},"a.b",["%[1]s"],{"k":"%[1]s"}]`,
			c.in)
		b := []byte(in)
		m, err := decode(JSON, b)
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		want := unescaped(c.clean)
		if got := m.Options.Text(KeyPptKeyid); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
		d := &Details{Forward: &m.Options}
		for _, ser := range serializers {
			for name, encoded := range map[string]func() ([]byte, error){
				"event": func() ([]byte, error) {
					return AppendEvent(nil, ser.s, 1, 2, d, &m.Payload, MessageBytesMax)
				},
				"invocation": func() ([]byte, error) {
					return AppendInvocation(nil, ser.s, 1, 2, d, &m.Payload, MessageBytesMax)
				},
				"result": func() ([]byte, error) {
					return AppendResult(nil, ser.s, 1, d, &m.Payload, MessageBytesMax)
				},
			} {
				out, err := encoded()
				if err != nil {
					t.Fatalf("%s %s: %v", name, in, err)
				}
				got, err := decode(ser.s, out)
				if err != nil {
					t.Fatalf("%s %s: %q: %v", name, ser.name, out, err)
				}
				details := dict{"ppt_keyid": want, "ppt_scheme": "x_y"}
				if diff := cmp.Diff(details, dictOf(t, got)); diff != "" {
					t.Errorf("%s %s %s (-want +got):\n%s", name, ser.name, in, diff)
				}
				if ser.s != JSON {
					continue
				}
				if sent := fmt.Sprintf(`"ppt_keyid":"%s"`, c.clean); !bytes.Contains(out, []byte(sent)) {
					t.Errorf("%s: %s has no %s", name, out, sent)
				}
				if payload := fmt.Sprintf(`,["%s"],{"k":"%[1]s"}]`, c.in); !bytes.HasSuffix(out, []byte(payload)) {
					t.Errorf("%s: the payload of %s is no longer %s", name, out, payload)
				}
			}
		}
		if string(b) != in {
			t.Errorf("the message became %s, was %s", b, in)
		}
	}
}

// SER-11: the details of a callee's ERROR have no lone surrogates either, whatever their keys, in both forms in which
// they are written.
func TestErrorDetailsWithoutLoneSurrogates(t *testing.T) {
	t.Attr("checklist", "SER-11")
	for _, c := range loneSurrogates {
		for _, dropped := range []string{"", `"forward_for":[],`} {
			in := fmt.Sprintf(`[8,68,1,{%s"x_a":["%[2]s",{"k%[2]s":null}],"%[2]s":1},"a.%[2]s",["%[2]s"]]`, dropped,
				c.in)
			m, err := decode(JSON, []byte(in))
			if err != nil {
				t.Fatalf("%s: %v", in, err)
			}
			text := unescaped(c.clean)
			want := dict{"x_a": list{text, dict{"k" + text: nil}}, text: int64(1)}
			for _, ser := range serializers {
				whole, err := AppendError(nil, ser.s, Call, 7, &m.Options, m.URI, &m.Payload, MessageBytesMax)
				if err != nil {
					t.Fatal(err)
				}
				head, err := AppendErrorHead(nil, ser.s, 7, &m.Options, m.URI, &m.Payload, MessageBytesMax)
				if err != nil || !bytes.HasPrefix(whole, head) {
					t.Errorf("%s: the head %q, the whole %q, %v", ser.name, head, whole, err)
				}
				got, err := decode(ser.s, whole)
				if err != nil {
					t.Fatalf("%s: %q: %v", ser.name, whole, err)
				}
				if diff := cmp.Diff(want, dictOf(t, got)); diff != "" || string(got.URI) != "a."+text {
					t.Errorf("%s %s: URI %q, (-want +got):\n%s", ser.name, in, got.URI, diff)
				}
				if ser.s == JSON && findLoneSurrogate(head, 0) >= 0 {
					t.Errorf("%s reaches a JSON receiver", head)
				}
				if ser.s == JSON && !bytes.HasSuffix(whole, []byte(`,["`+c.in+`"]]`)) {
					t.Errorf("the payload of %s is no longer %s", whole, c.in)
				}
			}
		}
	}
}

// SER-11: what the router reads is U+FFFD as well: URIs and the lists of receivers.
func TestReadOptionsWithoutLoneSurrogates(t *testing.T) {
	t.Attr("checklist", "SER-11")
	m, err := decode(JSON, []byte(`[16,1,{"eligible_authid":["\ud800","b"]},"a.\udc00"]`))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Options.Texts(nil, KeyEligibleAuthid); cmp.Diff([]string{"\uFFFD", "b"}, got) != "" {
		t.Errorf("%q", got)
	}
	for _, ser := range serializers {
		b, err := AppendEvent(nil, ser.s, 1, 2, &Details{Topic: m.URI}, nil, MessageBytesMax)
		if err != nil || !bytes.Contains(b, []byte("a.\uFFFD")) {
			t.Errorf("%s: %q, %v", ser.name, b, err)
		}
	}
}

// Two messages, one after the other: the second does not see the first one's dictionary. Without a lone surrogate
// there is no copy.
func TestLoneSurrogatesScratch(t *testing.T) {
	var d Decoder
	var m Message
	bad := []byte(`[16,1,{"ppt_keyid":"\ud800"},"a.b"]`)
	for _, good := range []string{
		`[16,1,{"ppt_keyid":"\ud83d\ude00"},"a.b"]`, `[16,1,{"ppt_keyid":"k"},"a.b"]`, `[16,1,{},"a.b"]`,
	} {
		b := []byte(good)
		if err := d.Decode(JSON, bad, &m); err != nil || string(m.Dict) != `{"ppt_keyid":"\ufffd"}` {
			t.Errorf("%s, %v", m.Dict, err)
		}
		if err := d.Decode(JSON, b, &m); err != nil || &m.Dict[0] != &b[len(`[16,1,`)] {
			t.Errorf("%s: the dictionary was copied, %v", b, err)
		}
	}
}

// A long dictionary of lone surrogates: the copy grows in steps, and nothing is left out at the end.
func TestLongLoneSurrogates(t *testing.T) {
	n := stepBytes / len(`\ud800`) * 2
	in := `[8,68,1,{"x_a":"` + strings.Repeat(`\ud800`, n) + `"},"a.b"]`
	m, err := decode(JSON, []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"x_a":"` + strings.Repeat(`\ufffd`, n) + `"}`; string(m.Dict) != want {
		t.Errorf("%d of %d are replaced", bytes.Count(m.Dict, []byte(`\ufffd`)), n)
	}
}

// unescaped is the text of the inside of a JSON string.
func unescaped(inside string) string { return string(appendUnescaped(nil, []byte(inside))) }

// dictOf returns the dictionary of m as a Go value.
func dictOf(t *testing.T, m *Message) any {
	t.Helper()
	v, err := Value(m.Format, m.Dict)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// PROTOCOL 14.6: keys that differ only in lone surrogates become the same key. Every pair stays, so the dictionary is
// as long as its head says, and its receiver treats equal keys as it does in any other message.
func TestLoneSurrogatesInKeys(t *testing.T) {
	src := []byte(`{"\ud800":1,"\ud801":2,"a":3}`)
	const replaced = "\xef\xbf\xbd"
	for _, c := range []struct {
		to   Serializer
		want string
	}{
		{MessagePack, "\x83\xa3" + replaced + "\x01\xa3" + replaced + "\x02\xa1a\x03"},
		{CBOR, "\xa3\x63" + replaced + "\x01\x63" + replaced + "\x02\x61a\x03"},
		{JSON, string(src)},
	} {
		got, err := Transcode(nil, src, JSON, c.to, 1000)
		if err != nil || string(got) != c.want {
			t.Errorf("%v: %q, %v", c.to, got, err)
		}
	}
}
