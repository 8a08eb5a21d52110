package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"banyan/bench/client"
	"banyan/codec"
)

// A link is one client of the router under load. The scenarios speak WAMP's messages; a link puts them on the wire,
// or translates them for a router that speaks something else. One goroutine receives (Next, Ready, ReadAt), one at a
// time sends; any may flush.
type link interface {
	// join opens the session and returns its id, 0 if the protocol has none.
	join(ctx context.Context, realm string) (uint64, error)
	// Send queues m, whose Format is Serializer's.
	Send(m *codec.Message) error
	// Next returns the next message, lent until Next or Ready is called. Before it waits it flushes. After
	// errUndecodable it may be called again; every other error is the end.
	Next() (*codec.Message, error)
	// Ready reports whether Next would return without waiting.
	Ready() bool
	// ReadBytes is how many bytes were read.
	ReadBytes() int64
	// ReadAt is when the read that brought the last message returned.
	ReadAt() time.Time

	Serializer() codec.Serializer
	Flush() error        // does not wait for the socket
	FlushAndWait() error // waits while much is queued; not for the receiving goroutine
	SetReadDeadline(at time.Time) error
	Close() error
}

var errUndecodable = errors.New("undecodable messages")

// connect opens a transport. On loopback each connection comes from another address, because the ports of one address
// would run out.
func (r *run) connect(ctx context.Context, s codec.Serializer) (link, error) {
	o := client.Options{Serializer: s, Batched: r.Batched, Deflate: r.Deflate, TLS: r.TLS, Login: r.Login}
	if r.spread {
		n := r.opened.Add(1) - 1
		o.From = net.IPv4(127, 0, 1+byte(n/200%50), 1+byte(n%200))
	}
	c, err := client.Connect(ctx, r.URL, o)
	if err != nil {
		return nil, err
	}
	if c.IsNATS() {
		return newNATS(c), nil
	}
	return &wamp{Conn: c}, nil
}

// agent is what the clients call themselves in HELLO.
const agent = "Banyan bench"

// A wamp is the link to a WAMP router.
type wamp struct {
	*client.Conn
	dec codec.Decoder // owned by the receiver, as msg
	msg codec.Message
	out []byte // owned by the sender
}

func (w *wamp) join(ctx context.Context, realm string) (uint64, error) {
	id, _, err := w.JoinRaw(ctx, realm, agent)
	return id, err
}

func (w *wamp) Send(m *codec.Message) (err error) {
	if w.out, err = codec.Append(w.out[:0], w.Serializer(), m); err == nil {
		w.Queue(w.out)
	}
	return err
}

func (w *wamp) Next() (*codec.Message, error) {
	b, err := w.Receive()
	if err != nil {
		return nil, err
	}
	if err := w.dec.Decode(w.Serializer(), b, &w.msg); err != nil {
		return nil, errUndecodable
	}
	return &w.msg, nil
}

// next is l.Next for the loops that read under load. It counts undecodable messages, and the end of the connection as
// one that who lost. It returns false at the end.
func (r *run) next(l link, who string) (*codec.Message, bool) {
	for {
		m, err := l.Next()
		switch {
		case err == nil:
			return m, true
		case err == errUndecodable:
			r.failures.add(err.Error(), 1)
		default:
			r.lost(who, err)
			return nil, false
		}
	}
}

// request sends one request and returns the id in its answer. Nobody else may receive from the link.
func request(l link, m *codec.Message, want codec.Type) (uint64, error) {
	m.Format = l.Serializer()
	if err := l.Send(m); err != nil {
		return 0, err
	}
	l.SetReadDeadline(time.Now().Add(connectTimeout))
	defer l.SetReadDeadline(time.Time{})
	return answerTo(l, m.Type, m.Request, want)
}

// answerTo receives the answer to a request and returns the id in it.
func answerTo(l link, asked codec.Type, number uint64, want codec.Type) (uint64, error) {
	a, err := l.Next()
	if err != nil {
		return 0, err
	}
	if a.Type == codec.Error && a.RequestType == asked && a.Request == number {
		return 0, &client.Error{URI: string(a.URI)}
	}
	if a.Type != want || a.Request != number {
		return 0, fmt.Errorf("message type %d for request %d as answer to type %d, request %d",
			a.Type, a.Request, asked, number)
	}
	return a.ID, nil
}

// answerOf receives one message of the type wanted and returns its request or session id.
func answerOf(l link, want codec.Type) (uint64, error) {
	m, err := l.Next()
	if err != nil {
		return 0, err
	}
	if m.Type != want {
		return 0, fmt.Errorf("message type %d came instead", m.Type)
	}
	return m.Request, nil
}
