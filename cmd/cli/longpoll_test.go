package cli

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
	"banyan/realm/transcript"
)

// pollWires are the wires of HTTP long-poll: every serializer, in batches and without.
func pollWires() []wire {
	var all []wire
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		name := "lp/" + client.SerializerName(s)
		all = append(all, wire{name, "lp", client.Options{Serializer: s}},
			wire{name + ".batched", "lp", client.Options{Serializer: s, Batched: true}})
	}
	return all
}

// servePolls makes the listener on TCP serve long-poll.
func servePolls(ec *engine.Config) { ec.LongPoll = map[string]string{ec.Listen[0]: "/lp"} }

// A pollPeer is a client of long-poll that asks again and again, as those of browsers do.
type pollPeer struct {
	serializer codec.Serializer
	batched    bool
	at         string // of its transport: http://HOST:PORT/lp/ID
	http       *http.Client
	got        chan []byte // closed when the router says that the transport is gone
	ctx        context.Context
	cancel     context.CancelFunc
}

func openPoll(t testing.TB, router string, w wire) *pollPeer {
	t.Helper()
	p := &pollPeer{
		serializer: w.options.Serializer, batched: w.options.Batched,
		http: &http.Client{Transport: &http.Transport{}}, got: make(chan []byte, 10_000),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	t.Cleanup(func() { p.Close() })
	protocol := "wamp.2." + client.SerializerName(w.options.Serializer)
	if p.batched {
		protocol += ".batched"
	}
	status, body, err := p.post("http://"+router+"/lp/open", fmt.Appendf(nil, `{"protocols":[%q]}`, protocol))
	var opened struct{ Protocol, Transport string }
	if err != nil || status != 200 || json.Unmarshal(body, &opened) != nil || opened.Protocol != protocol {
		t.Fatalf("%d %q %v", status, body, err)
	}
	p.at = "http://" + router + "/lp/" + opened.Transport
	go p.receiveAll()
	return p
}

func (p *pollPeer) post(url string, body []byte) (status int, answer []byte, err error) {
	q, err := http.NewRequestWithContext(p.ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	a, err := p.http.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer a.Body.Close()
	answer, err = io.ReadAll(a.Body)
	return a.StatusCode, answer, err
}

func (p *pollPeer) receiveAll() {
	defer close(p.got)
	for {
		status, body, err := p.post(p.at+"/receive", nil)
		switch {
		case err != nil || status != http.StatusOK && status != http.StatusNoContent:
			return
		case !p.batched && len(body) > 0:
			p.got <- body
		}
		for p.batched && len(body) > 0 {
			msg, rest, _, err := codec.SplitBatch(p.serializer, body)
			if err != nil {
				return
			}
			p.got <- msg
			body = rest
		}
	}
}

// Send implements transcript.Peer. A session that has ended takes nothing, which is no error: see socketPeer.
func (p *pollPeer) Send(msg []byte) error {
	body := msg
	switch {
	case p.batched && p.serializer == codec.JSON:
		body = append(bytes.Clone(msg), 0x1E)
	case p.batched:
		body = append(binary.BigEndian.AppendUint32(nil, uint32(len(msg))), msg...)
	}
	_, _, err := p.post(p.at+"/send", body)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Receive implements transcript.Peer.
func (p *pollPeer) Receive(wait time.Duration) ([]byte, error) {
	select {
	case msg, ok := <-p.got:
		if !ok {
			return nil, io.EOF
		}
		return msg, nil
	case <-time.After(wait):
		return nil, nil
	}
}

// Serializer implements transcript.Peer.
func (p *pollPeer) Serializer() codec.Serializer { return p.serializer }

// Close implements transcript.Peer.
func (p *pollPeer) Close() error {
	if p.ctx.Err() == nil {
		_, _, _ = p.post(p.at+"/close", nil)
	}
	p.cancel()
	p.http.CloseIdleConnections()
	return nil
}

// TestTransportsTogether: publishers, subscribers, callers and callees on all transports have to do with each other
// (TRN-46: a publisher with CBOR on RawSocket, a subscriber with JSON on WebSocket, a caller on long-poll).
func TestTransportsTogether(t *testing.T) {
	t.Attr("checklist", "TRN-46")
	r := startRouter(t, func(ec *engine.Config, _ *realm.Config) { servePolls(ec) })
	raw := wire{"", "rs", client.Options{Serializer: codec.CBOR}}
	web := wire{"", "ws", client.Options{Serializer: codec.JSON}}
	scripts, err := transcript.Load(fstest.MapFS{"together.txtar": {Data: []byte(together)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, poll := range pollWires() {
		n := 0
		playOne(t, r, scripts[0], func(int) wire {
			n++
			return []wire{raw, web, poll}[n-1]
		})
	}
}

// In the order in which they come, P is on RawSocket, S on WebSocket and L on long-poll.
const together = `-- TRN-46 --
P > PUBLISH 1 {"acknowledge":true} com.t ["zero"]
P < PUBLISHED 1 $zero
S > SUBSCRIBE 1 {} com.t
S < SUBSCRIBED 1 $sub
S > REGISTER 2 {} com.p
S < REGISTERED 2 $reg
P > REGISTER 2 {} com.q
P < REGISTERED 2 $reg2
L > SUBSCRIBE 1 {} com.t
L < SUBSCRIBED 1 $sub
P > PUBLISH 3 {"acknowledge":true} com.t ["é",1,2.5,null,true,{"a":[]}]
P < PUBLISHED 3 $pub
S < EVENT $sub $pub {} ["é",1,2.5,null,true,{"a":[]}]
L < EVENT $sub $pub {} ["é",1,2.5,null,true,{"a":[]}]
L > CALL 2 {} com.p ["x",7]
S < INVOCATION 1 $reg {} ["x",7]
S > YIELD 1 {} ["y",8]
L < RESULT 2 {} ["y",8]
L > CALL 3 {} com.q []
P < INVOCATION 1 $reg2 {}
P > ERROR 68 1 {} com.error ["z"]
L < ERROR 48 3 {} com.error ["z"]
L > REGISTER 4 {} com.l
L < REGISTERED 4 $reg3
P > CALL 4 {} com.l ["w"]
L < INVOCATION 1 $reg3 {} ["w"]
L > YIELD 1 {} ["v"]
P < RESULT 4 {} ["v"]
`

// Ten thousand clients that open a transport and say no HELLO cost little, and are gone when their time is over;
// others are served meanwhile. Ids that are guessed lead nowhere.
func TestLongPollOpensWithoutHello(t *testing.T) {
	t.Parallel()
	const opens = 2_000
	r := startRouter(t, func(ec *engine.Config, rc *realm.Config) {
		servePolls(ec)
		rc.HelloTimeout = time.Second
	})
	p := openPoll(t, r.tcp, pollWires()[0])
	ids := map[string]bool{}
	for range opens {
		status, body, err := p.post("http://"+r.tcp+"/lp/open", []byte(`{"protocols":["wamp.2.cbor"]}`))
		if err != nil || status != 200 {
			t.Fatalf("%d %q %v", status, body, err)
		}
		ids[string(body)] = true
	}
	if len(ids) != opens {
		t.Errorf("%d ids", len(ids))
	}
	for _, path := range []string{"/send", "/receive", "/close"} {
		guess := "http://" + r.tcp + "/lp/" + strings.Repeat("0f", 16) + path
		if status, body, err := p.post(guess, []byte("x")); err != nil || status != 404 || len(body) > 40 {
			t.Errorf("%d %q %v", status, body, err)
		}
	}
	served := r.connect(t, wires()[0])
	served.Abandon()
	eventually(t, "they are gone", func() bool {
		s := r.engine.Stats()
		return s.LongPolls == 0 && s.Sessions == 0
	})
}
