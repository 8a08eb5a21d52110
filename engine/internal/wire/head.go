package wire

import (
	"bytes"
	"net/http"
	"strings"
)

// The head of an HTTP request (RFC 9112, PROTOCOL 13.1).

const (
	// HeadBytesMax is the longest request head, in octets, and HeadLinesMax the most lines in it, the request line
	// included and the empty line not. A longer head is answered with 431 before the rest is read.
	HeadBytesMax = 16 << 10
	HeadLinesMax = 100
	// emptyLinesMax is how many empty lines before the request line are ignored (RFC 9112 2.2). More: 400.
	emptyLinesMax = 4
)

// OpensHTTP reports whether the octet first may begin a request: a method of letters, in any case, or an empty line.
// A client that begins so is answered, with an error if its request is not good.
func OpensHTTP(first byte) bool {
	return first >= 'A' && first <= 'Z' || first >= 'a' && first <= 'z' || first == '\r'
}

// A Head is a parsed request head. Its strings do not alias the octets it was read from.
type Head struct {
	Method, Target string
	Minor          int    // of HTTP/1.x
	Host           string // "" without such a header
	Origin         string // "" without such a header
	Origins        int    // number of Origin headers
	Key            string // Sec-WebSocket-Key
	Keys           int    // number of Sec-WebSocket-Key headers
	Version        string // Sec-WebSocket-Version
	Protocols      []string
	Extensions     string // the lists of all Sec-WebSocket-Extensions, in their order
	Upgrade        bool   // Upgrade names websocket
	Connection     bool   // Connection names upgrade
	Close          bool   // Connection names close
	Continue       bool   // Expect names 100-continue
	Forwarded      bool   // a header says that a proxy passed the request on
	ForwardedFor   string // the lists of all X-Forwarded-For, in their order
	ForwardedProto string // of X-Forwarded-Proto, the last one
	Cookie         string // of all Cookie headers, in their order
	Body           bool   // octets follow the head: Content-Length is above 0, or there is a Transfer-Encoding

	hosts     int
	length    string // Content-Length without leading zeros; "" without such a header
	badLength bool   // Content-Length is malformed, or two of them differ
	coded     bool   // there is a Transfer-Encoding
}

// A Refusal is an HTTP answer that ends the connection.
type Refusal struct {
	Status int
	Header string // further header lines without the last line end, or ""
	Reason string // for humans; the body
}

var headTooLarge = &Refusal{http.StatusRequestHeaderFieldsTooLarge, "", "request head too large"}

func badRequest(reason string) *Refusal { return &Refusal{http.StatusBadRequest, "", reason} }

// ReadHead reads the request head at the start of b and returns its length, empty lines before it included. The
// length is 0 while the head is not complete. A refusal may come before the head is complete; then, and whenever the
// head is malformed, of h only Method is set, and only if the request line is good.
func ReadHead(b []byte) (h Head, length int, refused *Refusal) {
	empty := 0
	for empty < emptyLinesMax*len("\r\n") && bytes.HasPrefix(b[empty:], []byte("\r\n")) {
		empty += len("\r\n")
	}
	h, length, refused = readLines(b[empty:])
	if length > 0 {
		length += empty
	}
	return h, length, refused
}

func readLines(b []byte) (h Head, length int, refused *Refusal) {
	first, length, lines, refused := findHeadEnd(b)
	if first == 0 {
		if bad := judgeUnfinishedLine(b[:min(len(b), HeadBytesMax)]); bad != nil {
			refused = bad
		}
		return h, 0, refused
	}
	text := string(b[:max(first, length)])
	if bad := h.readRequestLine(text[:first-len("\r\n")]); bad != nil {
		return h, 0, bad
	}
	if refused != nil || length == 0 {
		return Head{Method: h.Method}, 0, refused
	}
	if refused = h.readFields(text[first:], lines-1); refused != nil {
		return Head{Method: h.Method}, 0, refused
	}
	return h, length, nil
}

// findHeadEnd looks for the empty line. first is the length of the request line with its end, length that of the
// whole head; each is 0 until it is there.
func findHeadEnd(b []byte) (first, length, lines int, refused *Refusal) {
	for from := 0; ; {
		n := bytes.IndexByte(b[from:], '\n')
		end := from + n + 1
		switch {
		case n < 0 && len(b) >= HeadBytesMax:
			return first, 0, lines, headTooLarge
		case n < 0:
			return first, 0, lines, nil
		case end > HeadBytesMax:
			return first, 0, lines, headTooLarge
		case n == 0 || b[end-2] != '\r':
			return first, 0, lines, badRequest("malformed request head")
		case n > 1 && lines == HeadLinesMax:
			return first, 0, lines, headTooLarge
		case n > 1:
			lines++
			if first == 0 {
				first = end
			}
			from = end
		case lines == 0:
			return 0, 0, 0, badRequest("no request line")
		default:
			return first, end, lines, nil
		}
	}
}

// judgeUnfinishedLine refuses the start of a first line when no request line can begin like that.
func judgeUnfinishedLine(b []byte) *Refusal {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	for _, c := range line {
		if c < ' ' || c == 0x7F {
			return badRequest("malformed request line")
		}
	}
	return nil
}

// readRequestLine reads the first line, without its end.
func (h *Head) readRequestLine(line string) *Refusal {
	method, rest, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(rest, " ")
	if !isToken(method) || !isTarget(target) {
		return badRequest("malformed request line")
	}
	switch {
	case len(version) == len("HTTP/1.x") && strings.HasPrefix(version, "HTTP/1.") &&
		version[7] >= '0' && version[7] <= '9':
		h.Minor = int(version[7] - '0')
	case strings.HasPrefix(version, "HTTP/") && isTarget(version):
		h.Method = method
		return &Refusal{http.StatusHTTPVersionNotSupported, "", "this is an HTTP/1.1 server"}
	default:
		return badRequest("malformed request line")
	}
	h.Method, h.Target = method, target
	return nil
}

// readFields reads that many header lines and judges the head as a whole.
func (h *Head) readFields(text string, lines int) *Refusal {
	for range lines {
		var line string
		line, text, _ = strings.Cut(text, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) || !isFieldValue(value) {
			return badRequest("malformed header")
		}
		h.field(name, trimBlanks(value))
	}
	if h.hosts > 1 || h.hosts == 0 && h.Minor > 0 {
		return badRequest("exactly one Host header is needed")
	}
	if h.badLength || h.coded && h.length != "" {
		return badRequest("Content-Length is malformed, or the length of the body is given twice")
	}
	h.Body = h.coded || h.length != "" && h.length != "0"
	if h.Target[0] != '/' && !strings.Contains(h.Target, "://") &&
		(h.Method == http.MethodGet || h.Method == http.MethodHead) {
		return badRequest("malformed request target")
	}
	return nil
}

// field takes one header. No other header changes what the router does.
func (h *Head) field(name, value string) {
	switch {
	case strings.EqualFold(name, "Host"):
		h.Host = value
		h.hosts++
	case strings.EqualFold(name, "Upgrade"):
		h.Upgrade = h.Upgrade || hasToken(value, "websocket")
	case strings.EqualFold(name, "Connection"):
		h.Connection = h.Connection || hasToken(value, "upgrade")
		h.Close = h.Close || hasToken(value, "close")
	case strings.EqualFold(name, "Expect"):
		h.Continue = h.Continue || hasToken(value, "100-continue")
	case strings.EqualFold(name, "Sec-WebSocket-Key"):
		h.Key = value
		h.Keys++
	case strings.EqualFold(name, "Sec-WebSocket-Version"):
		if h.Version != "" {
			value = h.Version + ", " + value
		}
		h.Version = value
	case strings.EqualFold(name, "Sec-WebSocket-Protocol"):
		for item := range strings.SplitSeq(value, ",") {
			if item = trimBlanks(item); item != "" {
				h.Protocols = append(h.Protocols, item)
			}
		}
	case strings.EqualFold(name, "Sec-WebSocket-Extensions"):
		if h.Extensions != "" {
			value = h.Extensions + ", " + value
		}
		h.Extensions = value
	case strings.EqualFold(name, "Origin"):
		h.Origin = value
		h.Origins++
	case strings.EqualFold(name, "Cookie"):
		if h.Cookie != "" {
			value = h.Cookie + "; " + value
		}
		h.Cookie = value
	case strings.EqualFold(name, "Content-Length"):
		h.contentLength(value)
	case strings.EqualFold(name, "Transfer-Encoding"):
		h.coded = true
	case isForwarding(name):
		h.Forwarded = true
		h.forwarding(name, value)
	}
}

// forwardingHeaders are the headers by which proxies say that they pass a request on, and for whom; X-Forwarded and
// whatever begins with it are others. A client that sends one by itself is only trusted less.
var forwardingHeaders = []string{
	"Forwarded", "Via", "CDN-Loop", // RFC 7239, RFC 9110 7.6.3, RFC 8586
	"X-Real-IP", "X-Client-IP", "X-Cluster-Client-IP", "X-Original-Forwarded-For", "X-Original-For",
	"X-Original-Host", "X-Envoy-External-Address",
	// of content delivery networks and clouds
	"CF-Connecting-IP", "CF-Connecting-IPv6", "True-Client-IP", "Fly-Client-IP", "Fastly-Client-IP",
	"X-Azure-ClientIP", "X-AppEngine-User-IP", "X-ProxyUser-IP",
}

const forwardingPrefix = "X-Forwarded"

func isForwarding(name string) bool {
	if len(name) >= len(forwardingPrefix) && strings.EqualFold(name[:len(forwardingPrefix)], forwardingPrefix) {
		return true
	}
	for _, header := range forwardingHeaders {
		if len(header) == len(name) && strings.EqualFold(header, name) {
			return true
		}
	}
	return false
}

// forwarding takes one header of a proxy.
func (h *Head) forwarding(name, value string) {
	switch {
	case strings.EqualFold(name, "X-Forwarded-For"):
		if h.ForwardedFor != "" {
			value = h.ForwardedFor + "," + value
		}
		h.ForwardedFor = value
	case strings.EqualFold(name, "X-Forwarded-Proto"):
		h.ForwardedProto = value
	}
}

// contentLength takes one Content-Length. A proxy may have joined several to a list; equal ones are one (RFC
// 9112 6.3).
func (h *Head) contentLength(value string) {
	for item := range strings.SplitSeq(value, ",") {
		item = trimBlanks(item)
		digits := strings.TrimLeft(item, "0")
		if digits == "" && item != "" {
			digits = "0"
		}
		h.badLength = h.badLength || strings.Trim(item, "0123456789") != "" || digits == "" ||
			h.length != "" && h.length != digits
		h.length = digits
	}
}

// Path returns the path of the target, without the query.
func (h *Head) Path() string {
	path, _, _ := strings.Cut(h.Target, "?")
	if i := strings.Index(path, "://"); i >= 0 {
		_, path, _ = strings.Cut(path[i+3:], "/")
		path = "/" + path
	}
	return path
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

// trimBlanks removes spaces and tabs from both ends.
func trimBlanks(s string) string { return strings.Trim(s, " \t") }

// tokenOctets are the octets of a token (RFC 9110 5.6.2).
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

// isTarget reports whether s is not empty and has neither blanks nor control characters.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7F {
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
