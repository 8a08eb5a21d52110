//go:build linux

package engine

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"banyan/engine/internal/wire"
)

// Long-poll in TestSimulate: sessions among the others, whose requests come on connections of their own. Now and then
// a client resets or half closes the one on which its receive is held, asks again on another before it has the
// answer, receives nothing for a while, or closes. A client sends on one connection, and receives on one at a time.
//
// Checked is what is checked of every session: messages are handled once and in order, also those of a batch, and are
// handled when their request is answered 204; what is appended comes once and in order, whatever connections are cut.
// A session may end because messages for it were on a connection that was cut, and then its client is told; it may
// have been sent later ones before the router has seen that.

// A simPoll is the script of one client.
type simPoll struct {
	run     *simRun
	number  int
	batched bool
	secure  bool // TLS
	lazy    bool // receives nothing until the end of the script
	closes  bool // when all is sent

	bodies   []simBody
	at       string      // path of the session, "" until it is open
	session  *simSession // nil until then
	seen     int         // messages received, of session.log
	carriers []*simCarrier
	sends    *simCarrier // nil: the next request opens one
	receives *simCarrier
	newer    *simCarrier // receives, too; not looked at before receives is answered

	noSends bool // a request was cut or refused
	closing bool // the request to close is sent
	told    bool // the session is gone, it was told, or it wanted so
	gone    bool // it does nothing any more
	cuts    int  // connections on which messages may have been lost
	misses  bool // some were, and later ones came
	acts    int  // grows with all that it does
}

// A simBody is one request to send.
type simBody struct {
	octets []byte
	next   uint32 // number of the message behind it
}

// A simCarrier is one connection.
type simCarrier struct {
	socket *simSocket
	tls    *memoryTLS
	out    []byte
	got    []byte
	waits  []simRequest // without an answer
	cut    bool         // half closed
}

type simRequest struct {
	verb wire.PollVerb
	next uint32 // PollSend: see simBody
}

func (r *simRun) newPoll() {
	p := &simPoll{
		run: r, number: len(r.polls), batched: r.rnd.IntN(2) == 0, secure: r.rnd.IntN(3) == 0,
		lazy: r.rnd.IntN(5) == 0, closes: r.rnd.IntN(4) == 0,
	}
	for n, count := uint32(0), uint32(r.rnd.IntN(60)); n < count; {
		var body []byte
		for first := true; first || p.batched && n < count && r.rnd.IntN(2) == 0; first = false {
			m := r.message(r.operation(), n)
			if n++; p.batched {
				m = rawFrameOf(m)
			}
			body = append(body, m...)
		}
		p.bodies = append(p.bodies, simBody{body, n})
	}
	r.polls = append(r.polls, p)
}

func (p *simPoll) fail(format string, args ...any) {
	p.run.fail("long-poll client %d: %s", p.number, fmt.Sprintf(format, args...))
}

// act lets p do something.
func (p *simPoll) act(willing bool) {
	r := p.run
	if p.gone {
		return
	}
	for _, k := range p.carriers {
		p.move(k, willing)
	}
	p.carriers = deleted(p.carriers, func(k *simCarrier) bool { return k.socket.closed })
	if r.stopping && !p.inUse() {
		p.told = true // nobody accepts connections any more
	}
	if p.told || r.failed != "" {
		return
	}
	if !willing && r.rnd.IntN(400) == 0 {
		for p.gone = true; len(p.carriers) > 0; {
			p.drop(p.carriers[0])
		}
		return
	}
	if p.at == "" {
		if p.sends == nil {
			name := "wamp.2.cbor"
			if p.batched {
				name += ".batched"
			}
			p.ask(&p.sends, simRequest{verb: wire.PollOpen}, fmt.Appendf(nil, `{"protocols":[%q]}`, name))
		}
		return
	}
	p.send(willing)
	p.receive(willing)
}

// inUse reports whether p has a connection that may still bring something.
func (p *simPoll) inUse() bool { return p.sends != nil || p.receives != nil || p.newer != nil }

// send sends the next request, also without waiting for the answers to those before.
func (p *simPoll) send(willing bool) {
	r := p.run
	if !willing && r.rnd.IntN(3) > 0 || p.closing || r.stopping && p.sends == nil {
		return
	}
	switch {
	case len(p.bodies) > 0 && !p.noSends:
		b := p.bodies[0]
		p.bodies = p.bodies[1:]
		p.ask(&p.sends, simRequest{wire.PollSend, b.next}, b.octets)
	case p.closes && (p.sends == nil || len(p.sends.waits) == 0):
		p.closing = true
		p.ask(&p.sends, simRequest{verb: wire.PollClose}, nil)
	case !willing && p.sends != nil && r.rnd.IntN(60) == 0:
		if len(p.sends.waits) > 0 {
			p.noSends = true
		}
		p.drop(p.sends)
	}
}

// receive keeps a receive under way, and cuts it now and then.
func (p *simPoll) receive(willing bool) {
	r := p.run
	switch k := p.receives; {
	case p.closing || p.lazy && !willing:
	case k == nil && r.stopping:
	case k == nil || len(k.waits) == 0:
		p.ask(&p.receives, simRequest{verb: wire.PollReceive}, nil)
	case willing:
	case r.rnd.IntN(20) == 0:
		p.drop(k)
	case r.rnd.IntN(40) == 0 && !k.cut:
		k.socket.ended, k.cut = true, true // it reads on until the connection ends
		p.acts++
	case r.rnd.IntN(20) == 0 && p.newer == nil && p.waitsOn(k):
		p.ask(&p.newer, simRequest{verb: wire.PollReceive}, nil)
	}
}

// waitsOn reports whether the receive of k is the one that the next messages answer.
func (p *simPoll) waitsOn(k *simCarrier) bool {
	q := p.session.c.longPoll().waiting
	return q != nil && q.carrier.socketOfSim() == k.socket
}

// socketOfSim is the socket of a connection of the simulation.
func (c *conn) socketOfSim() *simSocket {
	if k, plain := c.transport.(*simSocket); plain {
		return k
	}
	return c.tls.socket.(*simSocket)
}

// ask sends a request on *on, which it connects if it is nil.
func (p *simPoll) ask(on **simCarrier, q simRequest, body []byte) {
	k := *on
	if k == nil {
		k = &simCarrier{}
		if p.secure {
			version := tlsVersions[p.run.rnd.IntN(2)]
			k.tls = newMemoryTLS(&tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			k.tls.step()
		}
		k.socket = p.run.connect(nil)
		*on, p.carriers = k, append(p.carriers, k)
	}
	path := "/lp/open"
	if q.verb != wire.PollOpen {
		path = p.at + [...]string{
			wire.PollReceive: "/receive", wire.PollSend: "/send", wire.PollClose: "/close",
		}[q.verb]
	}
	k.out = append(k.out, pollRequestText(path, body)...)
	k.waits = append(k.waits, q)
	p.acts++
}

// move passes octets between k and its socket, and looks at whole answers.
func (p *simPoll) move(k *simCarrier, willing bool) {
	r, s := p.run, k.socket
	out := &k.out
	if k.tls != nil {
		if n := len(k.out); n > 0 && k.tls.complete {
			k.tls.write(k.out)
			k.out = nil
		}
		out = &k.tls.out
	}
	if n := len(*out); n > 0 && !s.ended && (willing || r.rnd.IntN(2) == 0) {
		n = 1 + r.rnd.IntN(n)
		s.in = append(s.in, (*out)[:n]...)
		*out = (*out)[n:]
		p.acts++
	}
	ends := s.closed || s.shut
	n := len(s.got)
	if n > 0 && !willing && !ends {
		n = r.rnd.IntN(n + 1)
	}
	p.take(k, n)
	if s.room += n; s.room < 3000 {
		s.room += r.rnd.IntN(3000)
	}
	if willing {
		s.room = 1 << 20
	}
	if ends {
		p.ended(k)
	}
}

// take looks at the next n octets that came.
func (p *simPoll) take(k *simCarrier, n int) {
	s := k.socket
	if n > 0 {
		p.acts++
	}
	k.got = append(k.got, s.got[:n]...)
	s.got = s.got[n:]
	got := &k.got
	if k.tls != nil {
		k.tls.in = append(k.tls.in, k.got...)
		k.got = nil
		k.tls.step()
		got = &k.tls.got
	}
	for k != p.newer || p.receives == nil {
		a, rest, whole := readSimAnswer(*got)
		if !whole || p.run.failed != "" {
			return
		}
		*got = rest
		if len(k.waits) == 0 {
			p.fail("answer %d to nothing", a.status)
			return
		}
		q := k.waits[0]
		k.waits = k.waits[1:]
		p.acts++
		p.answered(q, a)
		if a.closes {
			p.forget(k)
		}
		if p.newer != nil && k == p.receives {
			p.receives, p.newer = p.newer, nil // the older one is answered; it is an idle connection now
		}
	}
}

// readSimAnswer cuts the first answer off b if it is whole.
func readSimAnswer(b []byte) (a pollAnswer, rest []byte, whole bool) {
	head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	if !whole {
		return a, b, false
	}
	lines := bytes.Split(head, []byte("\r\n"))
	_, status, _ := bytes.Cut(lines[0], []byte(" "))
	a.status, _ = strconv.Atoi(string(status[:3]))
	length := 0
	for _, line := range lines[1:] {
		switch name, value, _ := bytes.Cut(line, []byte(": ")); string(name) {
		case "Content-Length":
			length, _ = strconv.Atoi(string(value))
		case "Connection":
			a.closes = string(value) == "close"
		}
	}
	if len(rest) < length {
		return a, b, false
	}
	a.body = string(rest[:length])
	return a, rest[length:], true
}

// answered checks the answer to q.
func (p *simPoll) answered(q simRequest, a pollAnswer) {
	gone := a.status == 404 || a.status == 503 && p.run.stopping
	switch {
	case q.verb == wire.PollOpen && a.status == 200:
		p.opened(a.body)
	case gone && q.verb == wire.PollSend:
		p.noSends = true
	case gone:
		p.told = true
	case q.verb == wire.PollReceive && a.status == 200:
		p.messages([]byte(a.body))
	case q.verb == wire.PollReceive && a.status == 204:
	case q.verb == wire.PollSend && a.status == 204:
		if s := p.session; s.next < q.next && !s.c.finished.Load() {
			p.fail("a request is answered before message %d is handled", s.next)
		}
	case q.verb == wire.PollSend && a.status == 400 && p.session.over:
		p.noSends = true
	case q.verb == wire.PollClose && a.status == 204:
		p.told = true
	default:
		p.fail("request %d is answered %d %.60q", q.verb, a.status, a.body)
	}
}

// opened finds the session that was opened.
func (p *simPoll) opened(body string) {
	var o struct{ Transport string }
	var id wire.PollID
	err := json.Unmarshal([]byte(body), &o)
	if n, bad := hex.Decode(id[:], []byte(o.Transport)); err != nil || bad != nil || n != len(id) {
		p.fail("opened with %q", body)
		return
	}
	p.at = "/lp/" + o.Transport
	if of := p.run.e.longPolls.find(id); of != nil {
		p.session = of.c.handler.(*simSession)
		p.session.name, p.session.poll = fmt.Sprint("long-poll client ", p.number), p
	} else {
		p.told = true // it has ended already
	}
}

// messages checks an answer with messages: they are the next of the log.
func (p *simPoll) messages(body []byte) {
	log := p.session.log
	for first := true; first || len(body) > 0; first = false {
		m := body
		if p.batched {
			end := wire.RawPrefixBytes
			if len(body) >= end {
				end += int(binary.BigEndian.Uint32(body))
			}
			if len(body) < end {
				p.fail("a batch ends within a message")
				return
			}
			m, body = body[wire.RawPrefixBytes:end], body[end:]
		} else {
			body = nil
		}
		switch {
		case p.seen >= len(log):
			p.fail("message %d was never sent", p.seen)
			return
		case string(m) != log[p.seen]:
			more := slices.Index(log[p.seen:], string(m))
			if p.cuts == 0 || more < 0 {
				p.fail("message %d is %.30q, not %.30q", p.seen, m, log[p.seen])
				return
			}
			p.misses, p.seen = true, p.seen+more
		}
		p.seen++
	}
}

// drop resets k. All that has come on it was taken, or is lost with it.
func (p *simPoll) drop(k *simCarrier) {
	p.take(k, len(k.socket.got))
	k.socket.reset = true
	p.acts++
	if slices.ContainsFunc(k.waits, func(q simRequest) bool { return q.verb == wire.PollReceive }) {
		p.cuts++
	}
	p.leave(k)
	p.carriers = deleted(p.carriers, func(o *simCarrier) bool { return o == k })
}

// ended notes that the router has ended k.
func (p *simPoll) ended(k *simCarrier) {
	s := k.socket
	if s.reset || s.ended && !k.cut {
		return
	}
	s.reset, s.ended = s.closed, true
	k.cut = false
	p.acts++
	for _, q := range k.waits {
		switch q.verb {
		case wire.PollSend:
			p.noSends = true
		case wire.PollReceive:
			p.cuts++
		default:
			p.told = true
		}
	}
	p.leave(k)
}

// leave says goodbye to k: what is asked next needs another connection.
func (p *simPoll) leave(k *simCarrier) {
	if k.tls != nil {
		p.run.stops = append(p.run.stops, k.tls.stop)
	}
	p.forget(k)
}

// forget makes k the connection of nothing.
func (p *simPoll) forget(k *simCarrier) {
	for _, on := range []**simCarrier{&p.sends, &p.receives, &p.newer} {
		if *on == k {
			*on = nil
		}
	}
	if p.receives == nil {
		p.receives, p.newer = p.newer, nil
	}
}

// check fails if anything is left waiting when everything is at rest.
func (p *simPoll) check() {
	s := p.session
	switch {
	case p.run.failed != "":
	case s == nil:
		if !p.gone && !p.told {
			p.fail("no session was opened")
		}
	case s.closed:
	case p.misses:
		p.fail("misses messages, and the session lives")
	case s.over:
	case p.gone:
		p.fail("nobody receives, and the session lives")
	case p.told:
		p.fail("was told that the session is gone, which lives")
	case len(p.bodies) > 0 && !p.noSends, s.held, p.seen != len(s.log):
		p.fail("is left waiting: %d requests unsent, held %v, %d messages of %d arrived", len(p.bodies), s.held,
			p.seen, len(s.log))
	}
}

// checkEnd fails if messages before the end of a session did not come, which was over after that time: a client that
// receives nothing for finishTimeout may have lost some.
func (p *simPoll) checkEnd(after time.Duration) {
	s := p.session
	if s != nil && s.over && s.overAt > after && !p.gone && !p.closing && p.cuts == 0 && p.seen != len(s.log) {
		p.fail("was sent %d messages before its end and got %d", len(s.log), p.seen)
	}
}

func deleted(all []*simCarrier, gone func(*simCarrier) bool) (kept []*simCarrier) {
	for _, k := range all {
		if !gone(k) {
			kept = append(kept, k)
		}
	}
	return kept
}
