package load

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"banyan/bench/client"
	"banyan/codec"
)

// A nats is the link to a NATS server. It translates:
//
//	SUBSCRIBE, REGISTER, UNSUBSCRIBE   SUB and UNSUB, and a PING whose PONG is the answer
//	PUBLISH, EVENT                     PUB and MSG
//	CALL, INVOCATION, YIELD, RESULT    PUB with a subject of the caller's own to reply to, and the PUB to it
//	GOODBYE                            a PING; its PONG is the answer
//
// The payload is the encoded Arguments: the same octets as in WAMP. NATS has nothing for progressive results, for
// HELLO and for events in another serializer than their publisher's; Options.onlyWAMP refuses such loads.
type nats struct {
	*client.Conn
	inbox string // subjects that answers come to begin with it; fixed at creation

	out []byte        // owned by the sender
	msg codec.Message // owned by the receiver

	// Guarded by lock.
	lock    sync.Mutex
	asked   []codec.Message   // the answers that PONGs stand for, in order
	replies map[uint64]string // subjects to reply to, by invocation
	number  uint64            // of the last invocation
}

// Subscription ids in NATS are texts of the client's choice: the first letter says what a message on them means.
const (
	natsEvents  = 's' // and the number of the SUBSCRIBE
	natsCalls   = 'r' // and the number of the REGISTER
	natsAnswers = 'i'
)

func newNATS(c *client.Conn) *nats {
	return &nats{Conn: c, inbox: fmt.Sprintf("_INBOX.%016x.", rand.Uint64()), replies: map[uint64]string{}}
}

// join subscribes to the answers of calls. The connection is a session already.
func (n *nats) join(context.Context, string) (uint64, error) {
	n.Queue(fmt.Appendf(nil, "SUB %s* %c\r\n", n.inbox, natsAnswers))
	return 0, nil
}

// Send implements link.
func (n *nats) Send(m *codec.Message) error {
	out := n.out[:0]
	switch m.Type {
	case codec.Subscribe:
		subject, err := natsSubject(m)
		if err != nil {
			return err
		}
		out = n.ask(fmt.Appendf(out, "SUB %s %c%d\r\n", subject, natsEvents, m.Request),
			codec.Message{Type: codec.Subscribed, Request: m.Request, ID: m.Request})
	case codec.Register:
		// All callees are in one queue group: each call goes to one of them.
		out = n.ask(fmt.Appendf(out, "SUB %s callees %c%d\r\n", m.URI, natsCalls, m.Request),
			codec.Message{Type: codec.Registered, Request: m.Request, ID: m.Request})
	case codec.Unsubscribe:
		out = n.ask(fmt.Appendf(out, "UNSUB %c%d\r\n", natsEvents, m.ID),
			codec.Message{Type: codec.Unsubscribed, Request: m.Request})
	case codec.Goodbye:
		out = n.ask(out, codec.Message{Type: codec.Goodbye})
	case codec.Publish:
		out = natsPub(append(append(out, "PUB "...), m.URI...), &m.Payload)
	case codec.Call:
		out = append(append(append(out, "PUB "...), m.URI...), ' ')
		out = natsPub(strconv.AppendUint(append(out, n.inbox...), m.Request, 10), &m.Payload)
	case codec.Yield:
		n.lock.Lock()
		reply := n.replies[m.Request]
		delete(n.replies, m.Request)
		n.lock.Unlock()
		out = natsPub(append(append(out, "PUB "...), reply...), &m.Payload)
	default:
		return fmt.Errorf("load: message type %d has no form in NATS", m.Type)
	}
	n.out = out
	n.Queue(out)
	return nil
}

// ask appends a PING whose PONG is returned as answer.
func (n *nats) ask(out []byte, answer codec.Message) []byte {
	n.lock.Lock()
	n.asked = append(n.asked, answer)
	n.lock.Unlock()
	return append(out, "PING\r\n"...)
}

// natsPub completes a PUB.
func natsPub(out []byte, p *codec.Payload) []byte {
	out = strconv.AppendInt(append(out, ' '), int64(len(p.Args)), 10)
	out = append(append(out, "\r\n"...), p.Args...)
	return append(out, "\r\n"...)
}

// natsSubject is the subject of a SUBSCRIBE with its policy of matching.
func natsSubject(m *codec.Message) (string, error) {
	uri := string(m.URI)
	if len(m.Dict) == 0 {
		return uri, nil
	}
	v, err := codec.Value(m.Format, m.Dict)
	if err != nil {
		return "", err
	}
	options, _ := v.(map[string]any)
	switch options["match"] {
	case "prefix":
		if !strings.HasSuffix(uri, ".") {
			return "", fmt.Errorf("load: %q: prefixes in NATS end with a component", uri)
		}
		return uri + ">", nil
	case "wildcard":
		parts := strings.Split(uri, ".")
		for i := range parts {
			if parts[i] == "" {
				parts[i] = "*"
			}
		}
		return strings.Join(parts, "."), nil
	}
	return uri, nil
}

// Next implements link. A subscription of NATS holds from its SUB on, one of WAMP from SUBSCRIBED on: messages
// between the SUB and the PONG that stands for SUBSCRIBED are passed over.
func (n *nats) Next() (*codec.Message, error) {
	for {
		m, err := n.next()
		if err != nil || m.Type != codec.Event || n.holds(m.ID) {
			return m, err
		}
	}
}

// holds reports whether the subscription of that id was confirmed.
func (n *nats) holds(id uint64) bool {
	n.lock.Lock()
	defer n.lock.Unlock()
	return !slices.ContainsFunc(n.asked, func(answer codec.Message) bool {
		return answer.Type == codec.Subscribed && answer.ID == id
	})
}

func (n *nats) next() (*codec.Message, error) {
	unit, err := n.Receive()
	if err != nil {
		return nil, err
	}
	line, payload, isMessage := bytes.Cut(unit, []byte("\r\n"))
	if !isMessage {
		n.lock.Lock()
		defer n.lock.Unlock()
		if len(n.asked) == 0 {
			return nil, errUndecodable // a PONG that nobody asked for
		}
		n.msg = n.asked[0]
		n.asked = n.asked[1:]
		return &n.msg, nil
	}
	// MSG subject id [reply] octets
	f := bytes.Fields(line)
	if len(f) < 4 || len(f) > 5 {
		return nil, errUndecodable
	}
	subject, id := f[1], f[2]
	n.msg = codec.Message{Payload: codec.Payload{Format: n.Serializer(), Args: payload}}
	var number []byte
	switch {
	case id[0] == natsEvents:
		n.msg.Type, number = codec.Event, id[1:]
	case id[0] == natsAnswers && bytes.HasPrefix(subject, []byte(n.inbox)):
		n.msg.Type, number = codec.Result, subject[len(n.inbox):]
	case id[0] == natsCalls && len(f) == 5:
		n.lock.Lock()
		n.number++
		n.replies[n.number] = string(f[3])
		n.msg.Request = n.number
		n.lock.Unlock()
		n.msg.Type, number = codec.Invocation, id[1:]
	}
	v, err := strconv.ParseUint(string(number), 10, 64)
	if err != nil {
		return nil, errUndecodable
	}
	if n.msg.Type == codec.Result {
		n.msg.Request = v
	} else {
		n.msg.ID = v
	}
	return &n.msg, nil
}
