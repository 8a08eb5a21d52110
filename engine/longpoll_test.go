//go:build linux

package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"banyan/codec"
	"banyan/engine/internal/wire"
	"banyan/engine/port"
)

// pollConfig is a Config with long-poll at /lp on its one address.
func pollConfig() Config {
	return Config{Listen: []string{anyPort}, LongPoll: map[string]string{anyPort: "/lp"}}
}

// pollRequestText is a request as a browser sends it; body is nil for none at all.
func pollRequestText(path string, body []byte, lines ...string) []byte {
	head := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n"
	for _, line := range lines {
		head += line + "\r\n"
	}
	return append(fmt.Appendf(nil, "%sContent-Length: %d\r\n\r\n", head, len(body)), body...)
}

// A pollAnswer is what came back.
type pollAnswer struct {
	status int
	body   string
	header http.Header
	closes bool
}

// answer reads one answer.
func (p *peer) answer() pollAnswer {
	p.t.Helper()
	a, err := p.tryAnswer()
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

func (p *peer) tryAnswer() (pollAnswer, error) {
	r, err := http.ReadResponse(p.r, &http.Request{Method: "POST"})
	if err != nil {
		return pollAnswer{}, err
	}
	b, err := io.ReadAll(r.Body)
	return pollAnswer{r.StatusCode, string(b), r.Header, r.Close}, err
}

// post sends one request and reads its answer.
func (p *peer) post(path string, body []byte, lines ...string) pollAnswer {
	p.t.Helper()
	p.send(pollRequestText(path, body, lines...))
	return p.answer()
}

// want fails unless the answer has that status and body.
func (a pollAnswer) want(t testing.TB, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Fatalf("answer %d %.100q, want %d %.100q", a.status, a.body, status, body)
	}
}

// opened is the base of the requests of a transport that protocols opened.
func (p *peer) opened(protocols ...string) string {
	p.t.Helper()
	body, _ := json.Marshal(map[string]any{"protocols": protocols})
	return p.openedWith(body)
}

func (p *peer) openedWith(body []byte, lines ...string) string {
	p.t.Helper()
	a := p.post("/lp/open", body, lines...)
	var o struct{ Protocol, Transport string }
	if err := json.Unmarshal([]byte(a.body), &o); err != nil || a.status != 200 || len(o.Transport) != 32 {
		p.t.Fatalf("answer %d %q", a.status, a.body)
	}
	return "/lp/" + o.Transport
}

// pollSessions opens sessions that tell the test about themselves and echo.
func pollSessions(opened chan<- *pollSession) port.Opener {
	return func(x port.Executor, c port.Conn) port.Handler {
		s := &pollSession{echoes(x, c).(*session), make(chan struct{})}
		s.closed = func(port.Executor, *session) { close(s.gone) }
		opened <- s
		return s
	}
}

type pollSession struct {
	*session
	gone chan struct{} // closed when the session is told that it is closed
}

// entry is a message as protocol puts it into a body.
func entry(protocol, msg string) []byte {
	switch {
	case !strings.HasSuffix(protocol, ".batched"):
		return []byte(msg)
	case strings.Contains(protocol, "json"):
		return []byte(msg + "\x1E")
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
}

// pollOf is the transport behind a base that opened returned.
func pollOf(e *Engine, at string) *longPoll {
	_, id, _ := wire.ReadPollPath(at+"/send", "/lp")
	return e.longPolls.find(id)
}

// keptOf is how many connections stay open for a session.
func keptOf(e *Engine, at string) int {
	p := pollOf(e, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.kept)
}

// carriersOf is how many connections carry requests of a session.
func carriersOf(e *Engine, at string) int {
	p := pollOf(e, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	return int(p.carriers)
}

// waiting waits until a receive is held.
func waiting(t testing.TB, e *Engine, at string) *pollRequest {
	t.Helper()
	var r *pollRequest
	eventually(t, "a receive waits", func() bool {
		p := pollOf(e, at)
		p.mu.Lock()
		defer p.mu.Unlock()
		r = p.waiting
		return r != nil
	})
	return r
}

var pollProtocols = []string{
	"wamp.2.json", "wamp.2.msgpack", "wamp.2.cbor",
	"wamp.2.json.batched", "wamp.2.msgpack.batched", "wamp.2.cbor.batched",
}

// TRN-33: open answers with the first protocol in common and an id.
func TestLongPollOpens(t *testing.T) {
	t.Attr("checklist", "TRN-33")
	opened := make(chan *pollSession, 10)
	e := start(t, pollConfig(), pollSessions(opened))
	p := dial(t, e)
	ids := map[string]bool{}
	for i, name := range pollProtocols {
		a := p.post("/lp/open", fmt.Appendf(nil, `{"protocols":["x","wamp.2.ubjson",%q,"wamp.2.json"]}`, name))
		var o map[string]string
		if err := json.Unmarshal([]byte(a.body), &o); err != nil || a.status != 200 || len(o) != 2 ||
			o["protocol"] != name || len(o["transport"]) != 32 || a.closes ||
			a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %+v", name, a)
		}
		ids[o["transport"]] = true
		s := <-opened
		v, peer := s.c.Variant(), s.c.Peer()
		if v.Framing() != codec.RawSocket || v.Serializer() != subprotocols[name].serializer ||
			s.c.MessageBytesMax() != 1<<24-1 {
			t.Errorf("%s: variant %d", name, v)
		}
		if peer.Transport != "longpoll" || peer.Address != p.LocalAddr().String() || !peer.Local {
			t.Errorf("%+v", peer)
		}
		if st := e.Stats(); st.LongPolls != int64(i+1) || st.Sessions != int64(i+1) || st.Connections != int64(i+2) ||
			st.LongPollRequests != int64(i+1) {
			t.Errorf("%+v", st)
		}
	}
	if len(ids) != len(pollProtocols) {
		t.Errorf("ids %v", ids)
	}
}

// TRN-34: nothing in common, or no such body, is 400.
func TestLongPollOpensNot(t *testing.T) {
	t.Attr("checklist", "TRN-34")
	e := start(t, pollConfig(), echoes)
	for _, body := range []string{
		"", "x", "[]", "{}", `{"protocols":[]}`, `{"protocols":["wamp.2.ubjson"]}`, `{"protocols":"wamp.2.json"}`,
		`{"protocols":["wamp.2.json"]`, `{"protocols":["wamp.2.json"]}x`, `{"protocols":[1]}`, "\xFF",
	} {
		p := dial(t, e)
		if a := p.post("/lp/open", []byte(body)); a.status != 400 || !a.closes {
			t.Errorf("%q: %+v", body, a)
		}
		p.expectEnd()
	}
	if s := e.Stats(); s.LongPolls != 0 || s.Sessions != 0 {
		t.Errorf("%+v", s)
	}
}

// TRN-36, TRN-37, TRN-39: messages go both ways in each protocol; a receive waits until there is one, and takes one,
// or all of a batch; send and close are answered 204.
func TestLongPollMessages(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"TRN-36", "TRN-37", "TRN-39"} {
		t.Attr("checklist", id)
	}
	for loops := 1; loops <= 3; loops++ {
		cfg := pollConfig()
		cfg.Loops = loops
		opened := make(chan *pollSession, 1)
		e := start(t, cfg, pollSessions(opened))
		for _, name := range pollProtocols {
			for _, fresh := range []bool{false, true} { // a connection for each request
				t.Run(fmt.Sprint(loops, name, fresh), func(t *testing.T) {
					sends, receives := dial(t, e), dial(t, e)
					at := sends.opened(name)
					s := <-opened
					next := func() {
						if fresh {
							sends.Close()
							receives.Close()
							sends, receives = dial(t, e), dial(t, e)
						}
					}
					batched := strings.HasSuffix(name, ".batched")
					for i := range 5 {
						next()
						receives.send(pollRequestText(at+"/receive", nil)) // held
						msg := fmt.Sprintf("[%d]", i)
						if i == 3 {
							msg = strings.Repeat("long", 20_000)
						}
						sends.post(at+"/send", entry(name, msg)).want(t, 204, "")
						a := receives.answer()
						a.want(t, 200, string(entry(name, msg)))
						kind := "application/octet-stream"
						if strings.Contains(name, "json") {
							kind = "application/json"
						}
						if a.header.Get("Content-Type") != kind || a.closes {
							t.Errorf("%v %v", a.header, a.closes)
						}

						next()
						three := [][]byte{entry(name, "a"), entry(name, "bb"), entry(name, "ccc")}
						if batched && i%2 == 1 {
							sends.post(at+"/send", bytes.Join(three, nil)).want(t, 204, "")
						} else {
							for _, b := range three {
								sends.post(at+"/send", b).want(t, 204, "")
							}
						}
						if batched {
							receives.post(at+"/receive", nil).want(t, 200, string(bytes.Join(three, nil)))
							continue
						}
						for _, b := range three {
							receives.post(at+"/receive", nil).want(t, 200, string(b))
						}
					}
					next()
					receives.send(pollRequestText(at+"/receive", nil))
					if !fresh {
						waiting(t, e, at)
						sends.post(at+"/close", nil).want(t, 204, "")
						<-s.gone
						receives.answer().want(t, 204, "") // released
						return
					}
					sends.post(at+"/close", nil).want(t, 204, "")
				})
			}
		}
		eventually(t, "no session", func() bool { return e.Stats().Sessions == 0 && e.Stats().LongPolls == 0 })
	}
}
