package codec

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"
)

var serializers = [...]struct {
	name string
	s    Serializer
}{{"json", JSON}, {"msgpack", MessagePack}, {"cbor", CBOR}}

// vectorDir finds the published vectors, which are not part of this repository. Without them it skips, except in CI.
func vectorDir(t testing.TB) string {
	dir := os.Getenv("WAMP_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "wamp", "vectors")
	}
	if _, err := os.Stat(filepath.Join(dir, "SCHEMA.json")); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no vectors: %v", err)
		}
		t.Skipf("no vectors in %s; set WAMP_VECTORS to the folder that holds SCHEMA.json", dir)
	}
	return dir
}

type vectorFile struct {
	Code    Type `json:"wamp_message_code"`
	Samples []struct {
		Serializers map[string][]struct {
			Hex string `json:"bytes_hex"`
		} `json:"serializers"`
		Attributes map[string]any `json:"expected_attributes"`
		Raw        []any          `json:"wmsg"`
		Error      *struct {
			Contains string `json:"contains"`
		} `json:"expected_error"`
	} `json:"samples"`
}

func readVectors(t testing.TB, name string) (f vectorFile) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goValue turns what encoding/json read with UseNumber into the types of Value.
func goValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			f, _ := v.Float64()
			return f
		}
		i, err := v.Int64()
		if err != nil {
			panic(err)
		}
		return i
	}
	return mapped(v, goValue)
}

// mustValue decodes raw; nil stands for an absent value.
func mustValue(t testing.TB, s Serializer, raw []byte) any {
	t.Helper()
	if raw == nil {
		return nil
	}
	v, err := Value(s, raw)
	if err != nil {
		t.Fatalf("Value(% x): %v", raw, err)
	}
	return v
}

// content is what a message says, whatever the serializer.
func content(t testing.TB, m *Message) map[string]any {
	t.Helper()
	c := map[string]any{
		"type": m.Type, "request": m.Request, "id": m.ID, "publication": m.Publication, "requestType": m.RequestType,
		"uri": string(m.URI), "null uri": m.URI == nil, "dict": mustValue(t, m.Format, m.Dict),
		"transparent": m.Payload.Transparent,
		"args":        mustValue(t, m.Format, m.Payload.Args), "kwargs": mustValue(t, m.Format, m.Payload.Kwargs),
	}
	if d, ok := c["dict"].(map[string]any); ok && len(d) == 0 {
		c["dict"] = nil
	}
	if c["kwargs"] != nil && c["args"] == nil {
		c["args"] = []any{} // what stands in front of keywords on the wire
	}
	return c
}

func checkAttributes(t *testing.T, m *Message, attributes map[string]any) {
	t.Helper()
	dict := mustValue(t, m.Format, m.Dict)
	for name, want := range attributes {
		want = goValue(want)
		var got any
		switch name {
		case "message_type":
			got = int64(m.Type)
		case "request_id", "session_id":
			got = int64(m.Request)
		case "realm", "reason", "method", "signature", "topic", "procedure", "error":
			got = string(m.URI)
		case "roles":
			got = dict.(map[string]any)["roles"]
		case "extra", "details", "options":
			got = dict
			if got == nil {
				got = map[string]any{}
			}
		case "args", "kwargs":
			if m.Payload.Transparent {
				break
			}
			raw := m.Payload.Args
			if name == "kwargs" {
				raw = m.Payload.Kwargs
			}
			got = mustValue(t, m.Format, raw)
		case "payload":
			if m.Payload.Transparent {
				got = hex.EncodeToString(mustValue(t, m.Format, m.Payload.Args).([]byte))
			}
		case "publication":
			got = int64(m.Publication)
		case "publication_id", "subscription_id", "registration_id", "subscription":
			got = int64(m.ID)
		case "request_type":
			got = int64(m.RequestType)
		default:
			t.Errorf("attribute %q is not known to this test", name)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// foreign decodes a message with somebody else's decoder, into comparable form.
func foreign(t *testing.T, s Serializer, b []byte) any {
	t.Helper()
	var v any
	var err error
	switch s {
	case JSON:
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err = d.Decode(&v); err == nil {
			v = goValue(v)
		}
	case MessagePack:
		v, _, err = msgp.ReadIntfBytes(b)
	case CBOR:
		err = cbor.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatalf("foreign decoder on % x: %v", b, err)
	}
	return plain(v)
}

// plain levels the integer and map types of foreign decoders.
func plain(v any) any {
	switch v := v.(type) {
	case int64:
		return v
	case uint64:
		return int64(v)
	case int:
		return int64(v)
	}
	return mapped(v, plain)
}

// mapped returns v with f applied to the elements of a list or the values of a dictionary, whose keys become text.
func mapped(v any, f func(any) any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = f(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k := range v {
			out[k] = f(v[k])
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for k := range v {
			out[fmt.Sprint(k)] = f(v[k])
		}
		return out
	}
	return v
}

// MSG-37, MSG-38, MSG-39, SER-23: the published vectors.
func TestVectors(t *testing.T) {
	t.Attr("checklist", "MSG-37 MSG-38 MSG-39 SER-23")
	files, err := filepath.Glob(filepath.Join(vectorDir(t), "singlemessage", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	samples, accepted, rejected := 0, 0, 0
	strs := map[string]int{}
	for _, name := range files {
		f := readVectors(t, name)
		for i, sample := range f.Samples {
			label := fmt.Sprintf("%s/%d", filepath.Base(name), i)
			if sample.Raw != nil {
				if sample.Error == nil {
					accepted++
				} else {
					rejected++
				}
				for _, ser := range serializers {
					t.Run(label+"/"+ser.name, func(t *testing.T) {
						b, err := AppendValue(nil, ser.s, goValue(sample.Raw))
						if err != nil {
							t.Fatal(err)
						}
						var d Decoder
						var m Message
						err = d.Decode(ser.s, b, &m)
						if sample.Error == nil && err != nil {
							t.Fatalf("%v: %v", sample.Raw, err)
						}
						if sample.Error != nil && (err == nil ||
							!strings.Contains(err.Error(), sample.Error.Contains)) {
							t.Fatalf("%v: want a violation that names %s, got %v",
								sample.Raw, sample.Error.Contains, err)
						}
					})
				}
				continue
			}
			samples++
			decoded := map[Serializer]*Message{}
			for _, ser := range serializers {
				strs[ser.name] += len(sample.Serializers[ser.name])
				t.Run(label+"/"+ser.name, func(t *testing.T) {
					var listed [][]byte
					for _, enc := range sample.Serializers[ser.name] {
						b := unhex(t, enc.Hex)
						listed = append(listed, b)
						var d Decoder
						m := new(Message)
						if err := d.Decode(ser.s, b, m); err != nil {
							t.Fatalf("% x: %v", b, err)
						}
						checkAttributes(t, m, sample.Attributes)
						decoded[ser.s] = m

						again, err := Append(nil, ser.s, m)
						if err != nil {
							t.Fatal(err)
						}
						var m2 Message
						var d2 Decoder
						if err := d2.Decode(ser.s, again, &m2); err != nil {
							t.Fatalf("our own % x: %v", again, err)
						}
						if diff := cmp.Diff(content(t, m), content(t, &m2)); diff != "" {
							t.Errorf("round trip (-first +second):\n%s", diff)
						}
						if !slices.ContainsFunc(listed, func(b []byte) bool { return bytes.Equal(b, again) }) {
							if diff := cmp.Diff(foreign(t, ser.s, listed[0]), foreign(t, ser.s, again)); diff != "" {
								t.Errorf("encoding (-listed +ours):\n%s", diff)
							}
						}
					}
				})
			}
			for _, from := range serializers {
				for _, to := range serializers {
					t.Run(fmt.Sprintf("%s/%s-%s", label, from.name, to.name), func(t *testing.T) {
						src := unhex(t, sample.Serializers[from.name][0].Hex)
						out, err := Transcode(nil, src, from.s, to.s, MessageBytesMax)
						if err != nil {
							t.Fatal(err)
						}
						var d Decoder
						var m Message
						if err := d.Decode(to.s, out, &m); err != nil {
							t.Fatalf("% x: %v", out, err)
						}
						if diff := cmp.Diff(content(t, decoded[to.s]), content(t, &m)); diff != "" {
							t.Errorf("(-native +transcoded):\n%s", diff)
						}
					})
				}
			}
		}
	}
	got := fmt.Sprint(len(files), samples, accepted, rejected, strs["json"], strs["msgpack"], strs["cbor"])
	if want := fmt.Sprint(26, 35, 39, 28, 59, 35, 35); got != want {
		t.Errorf("files, samples, accepted, rejected, json, msgpack, cbor = %s, want %s", got, want)
	}
}
