//go:build linux

package engine

import (
	"net/http"
	"slices"
	"strconv"

	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// A connection that opens with HTTP (PROTOCOL 13.1) sends one request:
//
//  1. wire.ReadHead waits for the whole head, and refuses a bad one as soon as it can
//  2. a request for a WebSocket is upgraded (upgrade.go) or refused
//  3. any other request is answered as a web server would, and the connection is closed

// healthPath is answered with 200 as long as the loops run, over the connection limit too: a full router is healthy.
// One that drains is not: nobody should be sent there.
const healthPath = "/healthz"

// builtinPage is what a browser gets if Config.Page is nil.
const builtinPage = "This is a WAMP router. Connect with WebSocket or RawSocket on this address.\n"

const plainText = "text/plain; charset=utf-8"

// httpHead answers the request at the start of data once its head is complete. It returns how many octets are done
// with.
func (c *conn) httpHead(data []byte) (used int) {
	if c.carrier != nil && c.carrier.request != nil {
		return c.takeBody(data)
	}
	h, length, refused := wire.ReadHead(data)
	isHealth := length > 0 && h.Path() == healthPath && !h.AsksWebSocket()
	switch {
	case refused != nil:
	case length == 0:
		return 0
	case c.lacksTLS():
		refused = &wire.Refusal{
			Status: http.StatusBadRequest, Reason: "this port speaks TLS: use https:// or wss://",
		}
	case isHealth && (c.loop.live.Draining || c.loop.leaves()):
		refused = &wire.Refusal{
			Status: http.StatusServiceUnavailable, Header: c.loop.retryAfter(), Reason: "the router is about to stop",
		}
	case c.opening.polls(&h):
		if refused = c.takeRequest(&h); refused == nil {
			return length + c.takeBody(data[length:])
		}
	case c.refused != admitted && !isHealth:
		refused = c.comeBack(c.refused)
	case !c.leaveCarrier():
		refused = c.comeBack(refusedAddress)
	case h.AsksWebSocket():
		if refused = c.upgrade(&h); refused == nil {
			return length
		}
	default:
		refused = c.httpAnswer(&h)
	}
	if refused != nil {
		c.httpRefuse(&h, refused, data)
	}
	return len(data)
}

// comeBack is the answer for a client that gets no place now.
func (c *conn) comeBack(why refusal) *wire.Refusal {
	return &wire.Refusal{
		Status: http.StatusServiceUnavailable, Header: c.loop.retryAfter(), Reason: refusals[why].reason,
	}
}

// httpAnswer answers a request that asks for no upgrade, or says why it is refused.
func (c *conn) httpAnswer(h *wire.Head) *wire.Refusal {
	p := Page{Status: http.StatusOK, ContentType: plainText, Body: []byte(builtinPage)}
	path := h.Path()
	switch {
	case h.Method == http.MethodOptions:
		p.Header, p.Body = []string{allowPages}, nil // some health checks ask so
	case h.Method != http.MethodGet && h.Method != http.MethodHead:
		return &wire.Refusal{Status: http.StatusMethodNotAllowed, Header: allowPages, Reason: "only GET and HEAD"}
	case path == healthPath:
		p.Body = []byte("ok")
	case c.loop.engine.cfg.Page != nil:
		p = c.loop.engine.cfg.Page(path)
	case path != "/" && path != "/ws":
		p.Status, p.Body = http.StatusNotFound, []byte("nothing here\n")
	}
	c.loop.engine.rare.pages.Add(1)
	c.httpWrite(h.Method, &p)
	return nil
}

const allowPages = "Allow: GET, HEAD, OPTIONS"

// httpRefuse answers with an error. data is what the client has sent so far.
func (c *conn) httpRefuse(h *wire.Head, r *wire.Refusal, data []byte) {
	e := c.loop.engine
	e.rare.handshakesRefused.Add(1)
	e.cfg.Log.Debug("HTTP request refused", "status", r.Status, "reason", r.Reason, "peer", c.peer.Address,
		"origin", h.Origin, "host", h.Host, "looks_like", wire.LooksLike(data))
	p := Page{Status: r.Status, ContentType: plainText, Body: []byte(r.Reason + "\n")}
	if r.Header != "" {
		p.Header = []string{r.Header}
	}
	c.httpWrite(h.Method, &p)
}

// httpWrite sends one answer and closes. The answer to a HEAD has no body.
func (c *conn) httpWrite(method string, p *Page) {
	if line := c.hsts(); line != "" {
		p.Header = append(slices.Clone(p.Header), line)
	}
	c.q.Lock()
	if buf, ok := c.Tail(port.Reply); ok {
		c.Commit(c.loop, appendAnswer(buf, method, p))
	}
	c.q.Unlock()
	c.fail(0, "")
}

// hsts is the header line that goes with every answer over TLS, or "".
func (c *conn) hsts() string {
	if c.tls == nil {
		return ""
	}
	return c.opening.hsts
}

// fixedHeaders go with every answer: nothing here may be guessed at, kept, framed by other pages, or told to them.
const fixedHeaders = "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\nX-Frame-Options: DENY\r\n" +
	"Content-Security-Policy: frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n"

// closeHeader ends the head of an answer behind which the connection ends.
const closeHeader = "Connection: close\r\n\r\n"

func appendAnswer(dst []byte, method string, p *Page) []byte {
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(p.Status), 10)
	dst = append(append(dst, ' '), http.StatusText(p.Status)...)
	dst = append(append(dst, "\r\nContent-Type: "...), p.ContentType...)
	dst = strconv.AppendInt(append(dst, "\r\nContent-Length: "...), int64(len(p.Body)), 10)
	for _, line := range p.Header {
		dst = append(append(dst, "\r\n"...), line...)
	}
	dst = append(append(append(dst, "\r\n"...), fixedHeaders...), closeHeader...)
	if method != http.MethodHead {
		dst = append(dst, p.Body...)
	}
	return dst
}
