package codec

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
)

// nested is n containers in each other, lists and dictionaries in turn, around a number.
func nested(n int) (v any) {
	v = 7
	for i := range n {
		if i%3 == 0 {
			v = dict{"a": v}
		} else {
			v = list{v}
		}
	}
	return v
}

// SER-12, PROTOCOL 14.6: the depth that is set, and one more, in every serializer, at every place, and a Decoder that
// is set anew.
func TestDepthMax(t *testing.T) {
	t.Attr("checklist", "SER-12")
	var d Decoder
	for _, c := range []struct{ set, want int }{
		{-1, 64},
		{0, 64},
		{100, 100},
		{64, 64},
		{65, 65},
		{2, 2},
		{512, 512},
		{5000, 512},
		{0, 64},
	} {
		d.SetDepthMax(c.set)
		for _, ser := range serializers {
			// The message is one container, its dictionary, Arguments or ArgumentsKw another.
			for _, place := range []struct {
				name    string
				message func(inner int) list
			}{
				{"options", func(inner int) list { return pub(dict{"x": nested(inner)}) }},
				{"Arguments", func(inner int) list { return pub(dict{}, list{nested(inner)}) }},
				{"ArgumentsKw", func(inner int) list { return pub(dict{}, list{}, dict{"k": nested(inner)}) }},
			} {
				for inner := max(c.want-3, 0); inner <= c.want-1; inner++ {
					b := encode(t, ser.s, place.message(inner)...)
					var m Message
					err := d.Decode(ser.s, b, &m)
					if fits := inner+2 <= c.want; (err == nil) != fits {
						t.Errorf("%d/%s: %d containers in %s: %v", c.set, ser.name, inner+2, place.name, err)
					}
					if err != nil && !strings.Contains(err.Error(), "deeper than") {
						t.Errorf("%d/%s: %v", c.set, ser.name, err)
					}
					if err != nil {
						continue
					}
					for _, to := range serializers {
						again, err := Append(nil, to.s, &m)
						if err != nil {
							t.Fatalf("%d/%s-%s: %v", c.set, ser.name, to.name, err)
						}
						var m2 Message
						if err := d.Decode(to.s, again, &m2); err != nil {
							t.Errorf("%d/%s-%s: %v", c.set, ser.name, to.name, err)
						}
					}
				}
			}
		}
	}
	// Tags count as well.
	d.SetDepthMax(100)
	for n, fits := range map[int]bool{97: true, 98: true, 99: false} {
		var m Message
		if err := d.Decode(CBOR, []byte("\x85\x10\x01\xa0\x61a\x81"+strings.Repeat("\xc1", n)+"\x00"),
			&m); (err == nil) != fits {
			t.Errorf("%d tags: %v", n, err)
		}
	}
}

// JSON notes lists and dictionaries in words of 64 levels: brackets have to match in every one of them.
func TestDepthBracketsMatch(t *testing.T) {
	var d Decoder
	d.SetDepthMax(DepthMaxMost)
	for _, n := range []int{1, 63, 64, 65, 66, 127, 128, 129, 300, 510} {
		whole, err := AppendValue(nil, JSON, nested(n))
		if err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 { // empty containers inside
			whole = bytes.Replace(whole, []byte("7"), []byte(`{"e":[]}`), 1)
			n += 2
		} else {
			whole = bytes.Replace(whole, []byte("7"), []byte("{}"), 1)
			n++
		}
		decode := func(value []byte) error {
			var m Message
			return d.Decode(JSON, []byte(`[16,1,{},"a",[`+string(value)+`,[],{"a":{}}]]`), &m)
		}
		if err := decode(whole); (err == nil) != (n <= 510) {
			t.Errorf("%d: %v", n, err)
		}
		for i, c := range whole {
			if c != ']' && c != '}' {
				continue
			}
			bad := bytes.Clone(whole)
			bad[i] ^= ']' ^ '}'
			if err := decode(bad); err == nil {
				t.Fatalf("%d levels: the end at %d of %q may be the other", n, i, bad)
			}
		}
	}
}

// What an encoder writes ends at the receiver's limit, in every message that carries payload: n-1, n, n+1.
func TestBytesMax(t *testing.T) {
	for _, from := range serializers {
		args, kwargs := splice(t, nil, from.s, list{strings.Repeat("\x01é", 50), 1, []byte{1, 2}}),
			splice(t, nil, from.s, dict{"k": nil, "l": list{1.5}})
		for _, tail := range []*Payload{
			nil,
			{Format: from.s, Args: args},
			{Format: from.s, Kwargs: kwargs},
			{Format: from.s, Args: args, Kwargs: kwargs},
		} {
			options := &Options{format: from.s, dict: splice(t, nil, from.s,
				dict{"why": "because", "forward_for": list{}})}
			for _, to := range serializers {
				for name, f := range map[string]func(bytesMax int) ([]byte, error){
					"event": func(n int) ([]byte, error) {
						return AppendEvent([]byte("x"), to.s, 1, 2, nil, tail, n)
					},
					"invocation": func(n int) ([]byte, error) {
						return AppendInvocation([]byte("x"), to.s, 1, 2, nil, tail, n)
					},
					"result": func(n int) ([]byte, error) {
						return AppendResult([]byte("x"), to.s, 1, nil, tail, n)
					},
					"error": func(n int) ([]byte, error) {
						return AppendError([]byte("x"), to.s, Call, 1, options, []byte("a"), tail, n)
					},
				} {
					whole, err := f(1 << 20)
					if err != nil {
						t.Fatal(err)
					}
					n := len(whole) - 1
					for bytesMax := range n + 2 {
						got, err := f(bytesMax)
						if bytesMax >= n && (err != nil || !bytes.Equal(got, whole)) ||
							bytesMax < n && (!errors.Is(err, ErrTooLong) || string(got) != "x") {
							t.Fatalf("%s %s-%s: %d octets within %d: %q, %v",
								name, from.name, to.name, n, bytesMax, got, err)
						}
					}
				}
			}
		}
	}
}

// A value that grows stops soon behind the limit: one long text, and many short ones.
func TestTranscodeStopsEarly(t *testing.T) {
	const limit = 1 << 20
	texts := make([]string, 200_000)
	for i := range texts {
		texts[i] = "\x01\x02\x03\x04"
	}
	for name, v := range map[string]any{
		"one text": strings.Repeat("\x01", 4<<20), "many": texts, "a key": dict{strings.Repeat("\x01", 4<<20): 1},
		"replaced": strings.Repeat("\u2028", 1<<20),
	} {
		src, err := AppendValue(nil, MessagePack, v)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]byte, 0, 2*limit)
		if got, err := Transcode(dst, src, MessagePack, JSON, limit); !errors.Is(err, ErrTooLong) || len(got) != 0 {
			t.Errorf("%s: %d octets, %v", name, len(got), err)
		}
		tr := new(transcoder)
		tr.limit = limit
		if _, err := tr.run(dst, src, MessagePack, JSON); err == nil ||
			name != "replaced" && len(tr.dst) > limit+100 || cap(tr.dst) > 8*limit {
			t.Errorf("%s: %d octets were written before the end: %v", name, len(tr.dst), err)
		}
	}
}

func TestPayloadIn(t *testing.T) {
	for _, from := range serializers {
		args, kwargs := splice(t, nil, from.s, list{"é", 1}), splice(t, nil, from.s, dict{"k": []byte{1}})
		for _, p := range []Payload{
			{},
			{Args: args},
			{Kwargs: kwargs},
			{Args: args, Kwargs: kwargs},
			{Transparent: true, Args: splice(t, nil, from.s, []byte("x"))},
		} {
			p.Format = from.s
			for _, to := range serializers {
				want, err := AppendResult(nil, to.s, 1, nil, &p, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				q, err := p.In(to.s, 1<<20)
				if err != nil || q.Format != to.s || q.Transparent != p.Transparent {
					t.Fatalf("%s-%s: %+v, %v", from.name, to.name, q, err)
				}
				if got, err := AppendResult(nil, to.s, 1, nil, &q, 1<<20); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s-%s: %q, want %q, %v", from.name, to.name, got, want, err)
				}
				n := len(q.Args) + len(q.Kwargs)
				if _, err := p.In(to.s, n); err != nil {
					t.Errorf("%s-%s: %d octets: %v", from.name, to.name, n, err)
				}
				if _, err := p.In(to.s, n-1); n > 0 && !errors.Is(err, ErrTooLong) {
					t.Errorf("%s-%s: %d octets within %d: %v", from.name, to.name, n, n-1, err)
				}
			}
		}
	}
}

// Decoders and encoders share nothing: messages can be checked and transcoded on any goroutine. The race detector
// watches.
func TestGoroutinesAreIndependent(t *testing.T) {
	var all sync.WaitGroup
	for _, from := range serializers {
		for _, to := range serializers {
			for range 2 {
				b := publish319(t, from.s)
				all.Go(func() {
					var d Decoder
					var want []byte
					for i := range 50 {
						var m Message
						if err := d.Decode(from.s, b, &m); err != nil {
							t.Error(err)
							return
						}
						p, err := m.Payload.In(to.s, MessageBytesMax)
						if err != nil {
							t.Error(err)
							return
						}
						got, err := AppendEvent(nil, to.s, 1, 2, nil, &p, MessageBytesMax)
						if i == 0 {
							want = got
						}
						if err != nil || !bytes.Equal(got, want) {
							t.Errorf("%s-%s: %q, %v", from.name, to.name, got, err)
							return
						}
					}
				})
			}
		}
	}
	all.Wait()
}

// Scratch that one message made large does not stay.
func TestScratchShrinks(t *testing.T) {
	var d Decoder
	var m Message
	for _, n := range []int{scratchBytesMax / 2, 16 * scratchBytesMax} {
		if err := d.Decode(JSON, []byte(`[16,1,{},"\u0061`+strings.Repeat("a", n)+`"]`), &m); err != nil ||
			len(m.URI) != n+1 {
			t.Fatalf("%d octets, %v", len(m.URI), err)
		}
		if err := d.Decode(JSON, []byte(`[16,1,{},"\u0061"]`), &m); err != nil || string(m.URI) != "a" {
			t.Fatalf("%q, %v", m.URI, err)
		}
		if c := cap(d.json.scratch); c > scratchBytesMax || n <= scratchBytesMax/2 && c < n {
			t.Errorf("%d octets of scratch stay after %d", c, n)
		}
	}
}

// REVIEW2 B7: the entries of the lists that choose receivers are counted, all together and of duplicates too.
func TestListEntries(t *testing.T) {
	for _, ser := range serializers {
		m, err := decode(ser.s, encode(t, ser.s, pub(dict{
			"exclude": list{1, 2, 3}, "eligible": list{4}, "exclude_authid": list{"a"}, "eligible_authid": list{},
			"exclude_authrole":  list{"a", "b"},
			"eligible_authrole": nil, "forward_for": list{dict{}, dict{}}, "x": list{1, 2, 3},
		})...))
		if err != nil || m.Options.ListEntries() != 7 {
			t.Errorf("%s: %d, %v", ser.name, m.Options.ListEntries(), err)
		}
	}
	m, err := decode(JSON, []byte(`[16,1,{"exclude":[1,2],"exclude":[3],"exclude":null},"a"]`))
	if err != nil || m.Options.ListEntries() != 3 {
		t.Errorf("%d, %v", m.Options.ListEntries(), err)
	}
	m, err = decode(CBOR, []byte("\x84\x10\x01\xa1\x67exclude\x9f\x01\x02\xff\x61a"))
	if err != nil || m.Options.ListEntries() != 2 {
		t.Errorf("%d, %v", m.Options.ListEntries(), err)
	}
}
