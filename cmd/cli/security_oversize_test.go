package cli

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"banyan/bench/client"
)

// framed is a masked WebSocket frame.
func framed(t testing.TB, op ws.OpCode, fin bool, payload []byte) []byte {
	t.Helper()
	b, err := ws.CompileFrame(ws.MaskFrame(ws.NewFrame(op, fin, bytes.Clone(payload))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// rawHead is the head of a RawSocket frame.
func rawHead(kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(nil, uint32(kind)<<24|uint32(length))
}

// attackOversize sends what is too long for its place: before there is a session the connection ends, after that the
// request is refused at its bound and served below it (LIM-01, LIM-07).
func attackOversize(t *testing.T, s *secured) {
	const k64 = 64 << 10
	long := func(n int) string { return strings.Repeat("a", n) }
	hello := func(more string) []byte { return fmt.Appendf(nil, `[1,"bank",{%s%s}]`, allRoles, more) }
	web := upgradeHead("127.0.0.1")
	raw := []byte{0x7F, 0xF1, 0, 0}
	message := func(m []byte) []byte { return append(bytes.Clone(web), framed(t, ws.OpText, true, m)...) }
	rawMessage := func(m []byte) []byte { return append(append(bytes.Clone(raw), rawHead(0, len(m))...), m...) }
	request := func(lines ...string) []byte { return upgradeHead("127.0.0.1", lines...) }
	many := func(n int, line string) (all []string) {
		for range n {
			all = append(all, line)
		}
		return all
	}
	record := func(length int, body []byte) []byte {
		return append([]byte{22, 3, 1, byte(length >> 8), byte(length)}, body...)
	}
	// A ClientHello of 16 MiB, in records of 16 KiB.
	endless := bytes.Clone(record(16384, append([]byte{1, 0xFF, 0xFF, 0xFF, 3, 3}, make([]byte, 16378)...)))
	for range 8 {
		endless = append(endless, record(16384, make([]byte, 16384))...)
	}
	v2 := func(length int) []byte {
		return append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11"), byte(length>>8), byte(length))
	}
	for name, c := range map[string]struct {
		listener string
		b        []byte
		want     string // in what comes back
	}{
		"HELLO":                      {"plain", message(hello(`,"x":"` + long(k64) + `"`)), ""},
		"HELLO on RawSocket":         {"plain", rawMessage(hello(`,"x":"` + long(k64) + `"`)), ""},
		"HELLO of 16 MiB, announced": {"plain", append(bytes.Clone(raw), rawHead(0, 1<<24-1)...), ""},
		"HELLO of 2^62 octets": {
			"plain", append(bytes.Clone(web), 0x81, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0),
			"",
		},
		"HELLO of 2^63 octets": {
			"plain", append(bytes.Clone(web), 0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0),
			"",
		},
		"HELLO in 20 000 fragments": {"plain", append(bytes.Clone(web), fragments(t, 20_000)...), ""},
		"authid": {
			"plain", message(hello(`,"authmethods":["ticket"],"authid":"` + long(60_000) + `"`)),
			"",
		},
		"authmethods": {
			"plain", message(hello(`,"authmethods":["` + strings.Repeat(`x","`, 16_000) + `x"]`)),
			"",
		},
		"authextra": {
			"plain", message(hello(`,"authmethods":["cryptosign"],"authextra":{"pubkey":"` + long(60_000) + `"}`)),
			"",
		},
		"authrole": {"plain", message(hello(`,"authrole":"` + long(60_000) + `"`)), ""},
		"a realm": {
			"plain", message([]byte(`[1,"` + long(60_000) + `",{` + allRoles + `}]`)),
			"wamp.error.invalid_uri",
		},
		"reserved bits of a frame": {"plain", append(bytes.Clone(web), 0xF1, 0x80, 0, 0, 0, 0), ""},
		"a ping of 126 octets": {
			"plain", append(bytes.Clone(web), framed(t, ws.OpPing, true, make([]byte, 126))...),
			"",
		},
		"a ping of 2^62 octets": {
			"plain", append(bytes.Clone(web), 0x89, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0),
			"",
		},
		"a frame without a mask":        {"plain", append(bytes.Clone(web), 0x81, 5, 'h', 'e', 'l', 'l', 'o'), ""},
		"a RawSocket ping of 16 MiB":    {"plain", append(bytes.Clone(raw), rawHead(1, 1<<24-1)...), ""},
		"a RawSocket frame of no kind":  {"plain", append(bytes.Clone(raw), rawHead(0xF9, 4)...), ""},
		"a RawSocket prefix of no form": {"plain", []byte{0x7F, 0x0F, 1, 1}, ""},
		"a request line":                {"plain", []byte("GET /" + long(17<<10) + " HTTP/1.1\r\n"), "HTTP/1.1 431"},
		"a request line without an end": {"plain", []byte("GET /" + long(1<<20)), "HTTP/1.1 431"},
		"a header":                      {"plain", request("X-A: " + long(17<<10)), "HTTP/1.1 431"},
		"the name of a header":          {"plain", request(long(17<<10) + ": a"), "HTTP/1.1 431"},
		"headers":                       {"plain", request(many(101, "X-A: b")...), "HTTP/1.1 431"},
		"cookies":                       {"plain", request(many(64, "Cookie: "+long(1024)+"=a")...), "HTTP/1.1 431"},
		"a cookie":                      {"plain", request("Cookie: banyan=" + long(16<<10)), "HTTP/1.1 431"},
		"subprotocols": {
			"plain", request("Sec-WebSocket-Protocol: " + strings.Repeat("x,", 8<<10)),
			"HTTP/1.1 431",
		},
		"a key":                          {"plain", request("Sec-WebSocket-Key: " + long(4096)), "HTTP/1.1 400"},
		"a PROXY header":                 {"proxied", []byte("PROXY TCP4 " + long(120)), ""},
		"a PROXY header without an end":  {"proxied", []byte("PROXY TCP4 " + long(1<<20)), ""},
		"a PROXY header 2 of 64 KiB":     {"proxied", append(v2(0xFFFF), make([]byte, 1<<20)...), ""},
		"a record of TLS":                {"tls", record(0xFFFF, make([]byte, 0xFFFF)), ""},
		"a record of TLS of 16 641":      {"tls", record(16641, make([]byte, 16641)), ""},
		"an empty record of TLS":         {"tls", bytes.Repeat(record(0, nil), 1000), ""},
		"a ClientHello of 16 MiB":        {"tls", endless, ""},
		"a ClientHello, octet by record": {"tls", bytes.Repeat(record(1, []byte{1}), 40_000), ""},
		"no ClientHello": {
			"tls", record(512, append([]byte{2, 0, 1, 0xFC}, make([]byte, 508)...)),
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := stranger
			if c.listener == "proxied" {
				from = trustedProxy
			}
			got := sends(t, s.dial(t, c.listener, from), c.b)
			if !strings.Contains(got, c.want) || strings.Contains(got, `[2,`) {
				t.Errorf("the router says %.200q", got)
			}
		})
	}

	// Inside TLS, and in a session.
	t.Run("inside TLS", func(t *testing.T) {
		t.Parallel()
		nc := s.secret(t, &tls.Config{})
		if got := sends(t, nc, request(many(101, "X-A: b")...)); !strings.Contains(got, "HTTP/1.1 431") {
			t.Errorf("%.200q", got)
		}
		got := sends(t, s.secret(t, &tls.Config{}), message(hello(`,"x":"`+long(k64)+`"`)))
		if strings.Contains(got, `[2,`) {
			t.Errorf("%.200q", got)
		}
	})
	t.Run("AUTHENTICATE", func(t *testing.T) {
		t.Parallel()
		for _, u := range []string{long(60_000), long(70_000)} {
			for i := range s.alice.proofs(t) {
				p := &s.alice.proofs(t)[i]
				k := s.talk(t, "plain", client.Options{})
				c, answer := k.challenged("bank", "alice", p)
				if c == nil {
					t.Fatal(answer)
				}
				k.Queue(fmt.Appendf(nil, `[5,%q,{"nonce":%[1]q}]`, u))
				if answer, err := k.Receive(); err == nil && !bytes.HasPrefix(answer, []byte("[3,")) {
					t.Errorf("%.200s", answer)
				}
			}
		}
	})
	t.Run("URIs and lists", func(t *testing.T) {
		t.Parallel()
		k := s.joins(t, "other")
		n := 0
		for _, c := range []struct {
			form       string
			good, long string
			refusal    string
		}{
			{`[32,%d,{},"%s"]`, long(1024), long(1025), "wamp.error.invalid_uri"},
			{`[64,%d,{},"%s"]`, long(1024), long(1025), "wamp.error.invalid_uri"},
			{`[16,%d,{"acknowledge":true},"%s"]`, long(1024), long(1 << 20), "wamp.error.invalid_uri"},
			{
				`[32,%d,{"match":"wildcard"},"%s"]`, strings.Repeat(".", 1024), strings.Repeat(".", 1025),
				"wamp.error.invalid_uri",
			},
			{
				`[16,%d,{"acknowledge":true,"exclude":[1%s]},"com.a"]`, strings.Repeat(",1", 8191),
				strings.Repeat(",1", 8192), "wamp.error.option_not_allowed",
			},
			{
				`[16,%d,{"acknowledge":true,"eligible_authid":["a"%s]},"com.a"]`, strings.Repeat(`,"a"`, 8191),
				strings.Repeat(`,"a"`, 8192), "wamp.error.option_not_allowed",
			},
		} {
			for _, text := range []string{c.good, c.long} {
				n++
				answer := k.ask(fmt.Sprintf(c.form, n, text))
				if strings.Contains(answer, c.refusal) != (text == c.long) {
					t.Errorf("%.60s, %d octets: %s", c.form, len(text), answer)
				}
			}
		}
	})
	t.Run("a list of 1 000 000", func(t *testing.T) {
		t.Parallel()
		k := s.joins(t, "other")
		k.says(`[16,1,{"exclude":[1`+strings.Repeat(",1", 1_000_000)+`]},"com.a"]`, "wamp.error.protocol_violation")
	})
	t.Run("messages", func(t *testing.T) {
		t.Parallel()
		for _, o := range []struct {
			scheme string
			head   []byte
		}{
			{"plain", []byte{0x81, 0xFF, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0}}, // 16 MiB and 1
			{"plain", []byte{0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}}, // 4 GiB
		} {
			k := s.joins(t, "other")
			k.SendRaw(o.head)
			if code := k.closed(); code != 1009 {
				t.Errorf("close code %d after a message of %x", code, o.head)
			}
		}
	})
}

// fragments is a message that does not end, in that many frames of one octet.
func fragments(t testing.TB, n int) []byte {
	var b bytes.Buffer
	b.Write(framed(t, ws.OpText, false, []byte("[")))
	one := framed(t, ws.OpContinuation, false, []byte(strings.Repeat(" ", 8)))
	for range n {
		b.Write(one)
	}
	return b.Bytes()
}
