//go:build linux

package engine

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// The opening of a connection that speaks HTTP (PROTOCOL 13.1): the head is collected whole, judged here, and then either upgraded
// (upgrade.go) or answered like any web server would, and closed.

const (
	headBytesMax = 16 << 10
	headLinesMax = 100
	webSocketKey = 16 // octets behind the base64
)

// A head is a parsed request head. Strings alias nothing; a head is made once per connection.
type head struct {
	method, target string
	minor          int // of HTTP/1.x
	host           string
	hosts, keys    int
	key, version   string
	origin         string
	origins        int
	upgrade        bool // Upgrade names websocket
	connection     bool // Connection names upgrade
}

// A refusal is an HTTP answer that ends the connection.
type refusal struct {
	status int
	header string // one more header line, or ""
	reason string
}

// httpHead waits for the whole head and answers it. It reports how many octets belonged to it.
func (c *conn) httpHead(data []byte) (used int) {
	end, lines, refused := headEnd(data)
	if refused != nil {
		c.httpRefuse(refused)
		return len(data)
	}
	if end == 0 {
		return 0
	}
	h, refused := parseHead(data[:end], lines)
	if refused == nil && c.refused {
		refused = &refusal{http.StatusServiceUnavailable, "Retry-After: 5", "too many connections"}
	}
	if refused != nil {
		c.httpRefuse(refused)
		return len(data)
	}
	if h.upgrade && h.connection {
		c.upgrade(h, data[:end])
		return end
	}
	c.httpAnswer(h)
	return len(data)
}

// headEnd looks for the empty line. end is 0 when it has not come yet; the limits hold before it does.
func headEnd(data []byte) (end, lines int, refused *refusal) {
	from := 0
	for {
		n := bytes.IndexByte(data[from:], '\n')
		if n < 0 {
			if len(data) > headBytesMax {
				return 0, lines, &refusal{http.StatusRequestHeaderFieldsTooLarge, "", "request head too large"}
			}
			return 0, lines, nil
		}
		at := from + n
		if at+1 > headBytesMax || lines == headLinesMax && at-1 != from {
			return 0, lines, &refusal{http.StatusRequestHeaderFieldsTooLarge, "", "request head too large"}
		}
		if at == 0 || data[at-1] != '\r' {
			return 0, lines, &refusal{http.StatusBadRequest, "", "malformed request head"}
		}
		if at-1 == from {
			if lines == 0 {
				return 0, lines, &refusal{http.StatusBadRequest, "", "no request line"}
			}
			return at + 1, lines, nil
		}
		lines++
		from = at + 1
	}
}

// parseHead reads a whole head of that many lines.
func parseHead(data []byte, lines int) (*head, *refusal) {
	bad := func(reason string) (*head, *refusal) { return nil, &refusal{http.StatusBadRequest, "", reason} }
	h := &head{}
	first, rest, _ := strings.Cut(string(data), "\r\n")
	var version string
	h.method, first, _ = strings.Cut(first, " ")
	h.target, version, _ = strings.Cut(first, " ")
	if !isToken(h.method) || h.target == "" || strings.Contains(version, " ") {
		return bad("malformed request line")
	}
	switch {
	case version == "HTTP/1.0":
	case len(version) == 8 && strings.HasPrefix(version, "HTTP/1.") && version[7] >= '1' && version[7] <= '9':
		h.minor = int(version[7] - '0')
	case strings.HasPrefix(version, "HTTP/"):
		return nil, &refusal{http.StatusHTTPVersionNotSupported, "", "this is an HTTP/1.1 server"}
	default:
		return bad("malformed request line")
	}
	for range lines - 1 {
		var line string
		line, rest, _ = strings.Cut(rest, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return bad("malformed header")
		}
		h.field(name, trimBlanks(value))
	}
	if h.hosts > 1 || h.hosts == 0 && h.minor > 0 {
		return bad("exactly one Host header is needed")
	}
	if h.target[0] != '/' && !strings.Contains(h.target, "://") && h.method == http.MethodGet {
		return bad("malformed request target")
	}
	return h, nil
}

func (h *head) field(name, value string) {
	switch {
	case strings.EqualFold(name, "Host"):
		h.host = value
		h.hosts++
	case strings.EqualFold(name, "Upgrade"):
		h.upgrade = h.upgrade || hasToken(value, "websocket")
	case strings.EqualFold(name, "Connection"):
		h.connection = h.connection || hasToken(value, "upgrade")
	case strings.EqualFold(name, "Sec-WebSocket-Key"):
		h.key = value
		h.keys++
	case strings.EqualFold(name, "Sec-WebSocket-Version"):
		h.version = value
	case strings.EqualFold(name, "Origin"):
		h.origin = value
		h.origins++
	}
}

// validKey reports whether the key is there once and is 16 octets in base64.
func (h *head) validKey() bool {
	b, err := base64.StdEncoding.Strict().DecodeString(h.key)
	return h.keys == 1 && err == nil && len(b) == webSocketKey
}

// hasToken reports whether the comma-separated list holds token, in any case.
func hasToken(list, token string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(trimBlanks(item), token) {
			return true
		}
	}
	return false
}

// trimBlanks takes the spaces and tabs off both ends.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// tokenOctets are the octets a token is made of (RFC 9110 5.6.2).
var tokenOctets = func() (is [256]bool) {
	for c := byte('!'); c < 0x7F; c++ {
		is[c] = strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) < 0
	}
	return is
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenOctets[s[i]] {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return true
}

// builtinPage is what a browser gets when nobody configured a Page.
const builtinPage = "This is a WAMP router. Connect with WebSocket or RawSocket on this address.\n"

// httpAnswer answers a request that asks for no upgrade.
func (c *conn) httpAnswer(h *head) {
	if h.method != http.MethodGet && h.method != http.MethodHead {
		c.httpRefuse(&refusal{http.StatusMethodNotAllowed, "Allow: GET, HEAD", "only GET and HEAD"})
		return
	}
	path, _, _ := strings.Cut(h.target, "?")
	if i := strings.Index(path, "://"); i >= 0 {
		_, path, _ = strings.Cut(path[i+3:], "/")
		path = "/" + path
	}
	status, kind, body := http.StatusOK, "text/plain; charset=utf-8", []byte(builtinPage)
	switch {
	case path == "/healthz":
		body = []byte("ok")
	case c.loop.engine.cfg.Page != nil:
		status, kind, body = c.loop.engine.cfg.Page(path)
	case path != "/" && path != "/ws":
		status, body = http.StatusNotFound, []byte("nothing here\n")
	}
	c.loop.engine.rare.pages.Add(1)
	c.httpWrite(status, kind, "", body, h.method == http.MethodHead)
}

func (c *conn) httpRefuse(r *refusal) {
	c.loop.engine.rare.handshakesRefused.Add(1)
	c.httpWrite(r.status, "text/plain; charset=utf-8", r.header, []byte(r.reason+"\n"), false)
}

// httpWrite sends one answer and closes. A HEAD gets no body.
func (c *conn) httpWrite(status int, contentType, extra string, body []byte, headOnly bool) {
	if extra != "" {
		extra += "\r\n"
	}
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%sX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
		status, http.StatusText(status), contentType, len(body), extra)
	if !headOnly {
		answer = append(answer, body...)
	}
	c.append(answer)
	c.fail(0, "")
}
