package cli

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// insideHello joins the realm that is for addresses of 192.0.2.0/24: whoever gets in has made the router believe that
// it is there.
var insideHello = []byte(`[1,"inside",{` + allRoles + `}]`)

// attackProxy smuggles headers: past a proxy, as if there were one, and with requests that two readers may read
// differently.
func attackProxy(t *testing.T, s *secured) {
	const in, out = "192.0.2.7", "198.51.100.7"
	// What comes of a request, and of HELLO if it makes a WebSocket: "in", "out", or the status.
	web := func(t *testing.T, from net.IP, request []byte) string {
		c := s.dial(t, "plain", from)
		status, _, rest := answers(t, c, request)
		if status != "101" {
			return status
		}
		c.Write(framed(t, ws.OpText, true, insideHello))
		head := make([]byte, 5)
		if _, err := io.ReadFull(rest, head[:2]); err != nil {
			t.Fatal(err)
		}
		if head[1] == 126 {
			rest.Discard(2)
		}
		if _, err := io.ReadFull(rest, head[2:]); err != nil {
			t.Fatal(err)
		}
		return map[string]string{"[2,": "in", "[3,": "out"}[string(head[2:])]
	}
	for name, c := range map[string]struct {
		from  net.IP
		want  string
		lines []string
	}{
		"by a proxy":                 {trustedProxy, "in", []string{"X-Forwarded-For: " + in}},
		"by a proxy, from outside":   {trustedProxy, "out", []string{"X-Forwarded-For: " + out}},
		"by nobody":                  {stranger, "out", nil},
		"from a stranger":            {stranger, "out", []string{"X-Forwarded-For: " + in}},
		"from a stranger, Forwarded": {stranger, "out", []string{"Forwarded: for=" + in}},
		"from a stranger, X-Real-IP": {stranger, "out", []string{"X-Real-IP: " + in}},
		"Forwarded":                  {trustedProxy, "out", []string{"Forwarded: for=" + in}},
		"X-Real-IP": {
			trustedProxy, "out",
			[]string{"X-Real-IP: " + in, "X-Forwarded-For: " + out},
		},
		"the client's own before": {trustedProxy, "out", []string{"X-Forwarded-For: " + in + ", " + out}},
		"the client's own line before": {
			trustedProxy, "out",
			[]string{"X-Forwarded-For: " + in, "X-Forwarded-For: " + out},
		},
		"the client's own, as a proxy": {
			trustedProxy, "out",
			[]string{"X-Forwarded-For: " + in + ", 127.0.9.9, " + out},
		},
		"an end that is no address": {trustedProxy, "out", []string{"X-Forwarded-For: " + in + ", unknown"}},
		"an empty end": {
			trustedProxy, "out",
			[]string{"X-Forwarded-For: " + in + ",", "X-Forwarded-For: " + out},
		},
		"an underscore": {
			trustedProxy, "out",
			[]string{"X_Forwarded_For: " + in, "X-Forwarded-For: " + out},
		},
		"a folded line":            {trustedProxy, "400", []string{"X-Forwarded-For: " + out + ",", " " + in}},
		"a folded line of a tab":   {trustedProxy, "400", []string{"X-A: a", "\tX-Forwarded-For: " + in}},
		"a blank before the colon": {trustedProxy, "400", []string{"X-Forwarded-For : " + in}},
		"a bare line feed":         {trustedProxy, "400", []string{"X-A: a\nX-Forwarded-For: " + in}},
		"a bare carriage return":   {trustedProxy, "400", []string{"X-A: a\rX-Forwarded-For: " + in}},
		"a NUL":                    {trustedProxy, "400", []string{"X-A: a\x00b"}},
		"no colon":                 {trustedProxy, "400", []string{"X-Forwarded-For " + in}},
		"two hosts": {
			trustedProxy, "400",
			[]string{"Host: evil.example", "X-Forwarded-For: " + in},
		},
		"two keys": {
			trustedProxy, "400",
			[]string{"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "X-Forwarded-For: " + in},
		},
		"a body": {
			trustedProxy, "400",
			[]string{"Content-Length: 5", "X-Forwarded-For: " + in},
		},
		"two lengths": {
			trustedProxy, "400",
			[]string{"Content-Length: 0", "Content-Length: 5", "X-Forwarded-For: " + in},
		},
		"a length and an encoding": {
			trustedProxy, "400",
			[]string{"Content-Length: 0", "Transfer-Encoding: chunked", "X-Forwarded-For: " + in},
		},
		"an encoding": {
			trustedProxy, "400",
			[]string{"Transfer-Encoding: chunked", "X-Forwarded-For: " + in},
		},
		"an encoding, obscured": {
			trustedProxy, "400",
			[]string{"Transfer-Encoding: xchunked", "X-Forwarded-For: " + in},
		},
		"an encoding after a blank": {
			trustedProxy, "400",
			[]string{"Transfer-Encoding : chunked", "X-Forwarded-For: " + in},
		},
		"a length that is no number": {
			trustedProxy, "400",
			[]string{"Content-Length: 0x0", "X-Forwarded-For: " + in},
		},
		"a length with a sign": {
			trustedProxy, "400",
			[]string{"Content-Length: +0", "X-Forwarded-For: " + in},
		},
		"two versions of the WebSocket": {
			trustedProxy, "426",
			[]string{"Sec-WebSocket-Version: 8", "X-Forwarded-For: " + in},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := web(t, c.from, upgradeHead("127.0.0.1", c.lines...)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	request := string(upgradeHead("127.0.0.1", "X-Forwarded-For: "+in))
	for name, c := range map[string]struct{ b, want string }{
		"HTTP/1.0":         {strings.Replace(request, "HTTP/1.1", "HTTP/1.0", 1), "426"},
		"HTTP/2":           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + request, "505"},
		"another method":   {strings.Replace(request, "GET", "POST", 1), "405"},
		"CONNECT":          {"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: a\r\n\r\n" + request, "405"},
		"two blanks":       {strings.Replace(request, "GET /ws", "GET  /ws", 1), "400"},
		"a third word":     {strings.Replace(request, "/ws HTTP", "/ws HTTP/1.1 HTTP", 1), "400"},
		"two heads in one": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + request, "200"},
		"a head in a body": {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" + request, "200"},
		"a head in a chunk": {
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + request, "405",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// One answer, and nothing after it: whoever speaks next on this connection is nobody.
			b := append([]byte(c.b), framed(t, ws.OpText, true, insideHello)...)
			all := sends(t, s.dial(t, "plain", trustedProxy), b)
			if !strings.HasPrefix(all, "HTTP/1.1 "+c.want) || strings.Count(all, "\r\nContent-Length: ") != 1 ||
				strings.Contains(all, `"authrole"`) {
				t.Errorf("want %s: %.300q", c.want, all)
			}
		})
	}

	// PROXY headers. raw joins inside by RawSocket after prefix: "in", "out", or "closed".
	raw := func(t *testing.T, listener string, from net.IP, prefix string, encrypted bool, within string) string {
		c := s.dial(t, listener, from)
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(c, prefix)
		if encrypted {
			secret := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			if secret.Handshake() != nil {
				return "closed"
			}
			c = secret
			fmt.Fprint(c, within)
		}
		go c.Write(append(append([]byte{0x7F, 0xF1, 0, 0}, rawHead(0, len(insideHello))...), insideHello...))
		r := bufio.NewReader(c)
		head := make([]byte, 11)
		if _, err := io.ReadFull(r, head); err != nil {
			return "closed"
		}
		if strings.HasPrefix(string(head), "HTTP/1.1 4") {
			return "closed"
		}
		return map[string]string{"[2,": "in", "[3,": "out"}[string(head[8:])]
	}
	v1 := func(address string) string { return "PROXY TCP4 " + address + " 127.0.0.1 5000 80\r\n" }
	v2 := func(command byte, address string) string {
		return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, 0x11, 0, 12}) + string(net.ParseIP(address).To4()) +
			"\x7f\x00\x00\x01\x13\x88\x00\x50"
	}
	for name, c := range map[string]struct {
		listener  string
		from      net.IP
		prefix    string
		encrypted bool
		within    string
		want      string
	}{
		"PROXY":                        {"proxied", trustedProxy, v1(in), false, "", "in"},
		"PROXY 2":                      {"proxied", trustedProxy, v2(0x21, in), false, "", "in"},
		"PROXY, from outside":          {"proxied", trustedProxy, v1(out), false, "", "out"},
		"PROXY from a stranger":        {"proxied", stranger, v1(in), false, "", "closed"},
		"PROXY 2 from a stranger":      {"proxied", stranger, v2(0x21, in), false, "", "closed"},
		"PROXY where none is wanted":   {"plain", trustedProxy, v1(in), false, "", "closed"},
		"PROXY 2 where none is wanted": {"plain", trustedProxy, v2(0x21, in), false, "", "closed"},
		"PROXY twice":                  {"proxied", trustedProxy, v1(out) + v1(in), false, "", "closed"},
		"PROXY 2 twice": {
			"proxied", trustedProxy, v2(0x21, out) + v2(0x21, in), false, "", "closed",
		},
		"no PROXY where one is wanted": {"proxied", trustedProxy, "", false, "", "closed"},
		"PROXY 2 LOCAL":                {"proxied", trustedProxy, v2(0x20, in), false, "", "out"},
		"PROXY UNKNOWN": {
			"proxied", trustedProxy, "PROXY UNKNOWN " + in + " a b c\r\n", false, "", "out",
		},
		"PROXY with another line end": {
			"proxied", trustedProxy, strings.Replace(v1(in), "\r", "", 1), false, "", "closed",
		},
		"PROXY with leading zeros":       {"proxied", trustedProxy, v1("192.0.02.7"), false, "", "closed"},
		"PROXY, then TLS":                {"proxied tls", trustedProxy, v1(in), true, "", "in"},
		"PROXY 2, then TLS":              {"proxied tls", trustedProxy, v2(0x21, in), true, "", "in"},
		"PROXY from a stranger, TLS":     {"proxied tls", stranger, v1(in), true, "", "closed"},
		"PROXY, then no TLS":             {"proxied tls", trustedProxy, v1(in), false, "", "closed"},
		"PROXY within TLS":               {"proxied tls", trustedProxy, v1(out), true, v1(in), "closed"},
		"TLS, then PROXY":                {"proxied tls", trustedProxy, "", true, v1(in), "closed"},
		"PROXY within TLS of a stranger": {"tls", stranger, "", true, v1(in), "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := raw(t, c.listener, c.from, c.prefix, c.encrypted, c.within); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	// Behind a proxy on this machine nobody is of this machine: bank lets local clients in as guests.
	t.Run("a proxy is not local", func(t *testing.T) {
		t.Parallel()
		for _, lines := range [][]string{
			{"X-Forwarded-For: 127.0.0.1"},
			{"Via: 1.1 a"},
			{"X-Forwarded-For: unknown"},
			{"Origin: http://evil.example", "X-Forwarded-Host: 127.0.0.1", "X-Forwarded-For: 127.0.0.1"},
		} {
			c := s.dial(t, "plain", trustedProxy)
			status, _, rest := answers(t, c, upgradeHead("evil.example", lines...))
			if status != "101" {
				t.Fatal(status)
			}
			c.Write(framed(t, ws.OpText, true, []byte(`[1,"bank",{`+allRoles+`}]`)))
			head := make([]byte, 7)
			if _, err := io.ReadFull(rest, head); err != nil || !strings.Contains(string(head), "[3,") {
				t.Errorf("%s: %q, %v", lines, head, err)
			}
		}
	})
}
