package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"
	"github.com/xconnio/wampproto-go/auth"
	"github.com/xconnio/wampproto-go/messages"
	"github.com/xconnio/wampproto-go/transports"
	"github.com/xconnio/xconn-go"
)

// Xconn is the client of github.com/xconnio/xconn-go. It starts a goroutine for each event and invocation, cannot
// send CANCEL and stops reading at an INTERRUPT, although it announces call_canceling.
var Xconn = Library{
	Name:        "xconn",
	Links:       links("ws", "wsunix", "tcp", "unix"),
	Join:        joinXconn,
	TypedNumber: func(link Link) bool { return link.Serializer != "json" }, // encoding/json into float64
	// Its RawSocket handshake announces 1 MiB.
	MessageMax: func(link Link) int {
		if link.Transport == "tcp" || link.Transport == "unix" {
			return 1 << 20
		}
		return 16 << 20
	},
}

var xconnSerializers = map[string]xconn.SerializerSpec{
	"json": xconn.JSONSerializerSpec, "msgpack": xconn.MsgPackSerializerSpec, "cbor": xconn.CBORSerializerSpec,
}

func init() { logrus.SetOutput(io.Discard) }

type xconnSession struct {
	*xconn.Session
	base      xconn.BaseSession
	websocket bool
	done      chan struct{}
	once      sync.Once
	left      atomic.Bool
}

// joinXconn does the same as xconn.Client.Connect and keeps the connection, so that Drop can close it.
func joinXconn(ctx context.Context, link Link, at Address, realm string, login Login) (Session, error) {
	spec := xconnSerializers[link.Serializer]
	dialer := &xconn.WSDialerConfig{SubProtocols: []string{spec.SubProtocol()}}
	address := map[string]string{
		"ws": "ws://" + at.TCP + "/ws", "wsunix": "unix+ws://" + at.Unix, "tcp": "rs://" + at.TCP,
		"unix": "unix://" + at.Unix, "wss": "wss://" + at.TCP + "/ws",
	}[link.Transport]
	var encrypted *tls.Conn
	if link.Transport == "wss" && (login.Binding != "" || at.TLS.Cert != "" || at.TLS.Max != "") {
		// The library has no options for TLS, but takes connections of the application.
		address = "ws://" + at.TCP + "/ws"
		dialer.NetDial = func(ctx context.Context, _, to string) (net.Conn, error) {
			host, _, _ := net.SplitHostPort(to)
			config, err := at.TLS.config(host)
			if err != nil {
				return nil, err
			}
			conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", to)
			encrypted, _ = conn.(*tls.Conn)
			return conn, err
		}
	}
	target, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	var conn xconn.Peer
	switch link.Transport {
	case "ws", "wsunix", "wss":
		conn, _, err = xconn.DialWebSocket(ctx, target, dialer)
	case "tcp", "unix":
		serializer := transports.Serializer(spec.SerializerID())
		conn, err = xconn.DialRawSocket(ctx, target, &xconn.RawSocketDialerConfig{Serializer: serializer})
	default:
		err = errors.New("xconn has no transport " + link.Transport)
	}
	if err != nil {
		return nil, err
	}
	authenticator, err := logInXconn(login, encrypted)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	base, err := xconn.Join(conn, realm, spec.Serializer(), authenticator)
	if err != nil {
		_ = conn.NetConn().Close() // the library's own Close waits a second on RawSocket
		return nil, err
	}
	s := &xconnSession{base: base, websocket: conn.Type() == xconn.TransportWebSocket, done: make(chan struct{})}
	s.Session = xconn.NewSession(watched{base, s}, spec.Serializer())
	return s, nil
}

func logInXconn(login Login, conn *tls.Conn) (auth.ClientAuthenticator, error) {
	switch login.Method {
	case "":
		return auth.NewAnonymousAuthenticator("", nil), nil
	case "ticket":
		return auth.NewTicketAuthenticator(login.AuthID, login.Secret, nil), nil
	case "wampcra":
		return auth.NewWAMPCRAAuthenticator(login.AuthID, login.Secret, nil), nil
	case "cryptosign":
		if login.Binding == "" {
			return auth.NewCryptoSignAuthenticator(login.AuthID, login.Secret, nil)
		}
		if conn == nil {
			return nil, errors.New("a channel binding needs TLS")
		}
		data, err := binding(conn.ConnectionState(), login.Binding)
		if err != nil {
			return nil, err
		}
		extra := map[string]any{"channel_binding": login.Binding}
		plain, err := auth.NewCryptoSignAuthenticator(login.AuthID, login.Secret, extra)
		return bound{plain, login.Secret, data}, err
	case "wamp-scram":
		conversation := newScram(login)
		return scramXconn{auth.NewAnonymousAuthenticator(login.AuthID, conversation.extra()), conversation}, nil
	}
	return other{auth.NewAnonymousAuthenticator(login.AuthID, nil), login.Method}, nil
}

// bound is cryptosign with a channel binding, which the library does not have.
type bound struct {
	auth.ClientAuthenticator
	key  string
	data []byte
}

func (b bound) Authenticate(challenge messages.Challenge) (*messages.Authenticate, error) {
	text, _ := challenge.Extra()["challenge"].(string)
	text, err := xor(text, b.data)
	if err != nil {
		return nil, err
	}
	key, err := privateKey(b.key)
	if err != nil {
		return nil, err
	}
	signature, err := auth.SignCryptoSignChallenge(text, key)
	return messages.NewAuthenticate(signature, map[string]any{}), err
}

// scramXconn is wamp-scram. The library does not hand out the authextra of WELCOME, so the verifier is not checked.
type scramXconn struct {
	auth.ClientAuthenticator
	conversation *scram
}

func (scramXconn) AuthMethod() string { return "wamp-scram" }

func (s scramXconn) Authenticate(challenge messages.Challenge) (*messages.Authenticate, error) {
	signature, extra, err := s.conversation.prove(challenge.Extra())
	return messages.NewAuthenticate(signature, extra), err
}

// other is a method without a challenge.
type other struct {
	auth.ClientAuthenticator
	method string
}

func (o other) AuthMethod() string { return o.method }

func (s *xconnSession) Identity() Identity {
	d := s.Session.Details()
	return Identity{AuthID: d.AuthID(), Role: d.AuthRole(), Method: d.AuthMethod(), Extra: d.AuthExtra()}
}

// watched tells the session when reading ends: the library's own Done reaches only one of several listeners.
type watched struct {
	xconn.BaseSession
	session *xconnSession
}

func (w watched) Read() ([]byte, error) {
	data, err := w.BaseSession.Read()
	if err != nil {
		w.session.once.Do(func() { close(w.session.done) })
	}
	return data, err
}

func failure(err error) error {
	if e, ok := errors.AsType[*xconn.Error](err); ok {
		return &Failure{e.URI, e.Args, e.Kwargs}
	}
	return err
}

func (s *xconnSession) Subscribe(topic, match string, on func(Event)) (func() error, error) {
	request := s.Session.Subscribe(topic, func(event *xconn.Event) {
		name, _ := event.Details()["topic"].(string)
		on(Event{event.Args(), event.Kwargs(), name, 0, event.Details()})
	})
	if match != "" {
		request = request.Match(match)
	}
	response := request.Do()
	return response.Unsubscribe, failure(response.Err)
}

func (s *xconnSession) Publish(topic string, args []any, kwargs, options map[string]any) error {
	return failure(s.Session.Publish(topic).Args(args...).Kwargs(kwargs).Options(options).Do().Err)
}

func (s *xconnSession) Register(procedure string, options map[string]any,
	on func(context.Context, Call) Reply,
) (func() error, error) {
	response := s.Session.Register(procedure, func(ctx context.Context,
		invocation *xconn.Invocation,
	) *xconn.InvocationResult {
		call := Call{Args: invocation.Args(), Kwargs: invocation.Kwargs(), Details: invocation.Details()}
		call.Procedure, _ = invocation.Details()["procedure"].(string)
		if invocation.SendProgress != nil {
			call.Progress = invocation.SendProgress
		}
		reply := on(ctx, call)
		if reply.Error == Unanswered {
			return xconn.NewInvocationError(xconn.ErrNoResult)
		}
		return &xconn.InvocationResult{Args: reply.Args, Kwargs: reply.Kwargs, Err: reply.Error}
	}).Options(options).Do()
	return response.Unregister, failure(response.Err)
}

func (s *xconnSession) Call(ctx context.Context, procedure string, args []any, kwargs, options map[string]any,
	progress func(Reply),
) (Reply, error) {
	if options == nil {
		options = map[string]any{} // the library writes into it
	}
	request := s.Session.Call(procedure).Args(args...).Kwargs(kwargs).Options(options)
	if progress != nil {
		request = request.ProgressReceiver(func(result *xconn.ProgressResult) {
			progress(Reply{Args: result.Args(), Kwargs: result.Kwargs()})
		})
	}
	return replyOfXconn(request.DoContext(ctx))
}

func replyOfXconn(response xconn.CallResponse) (Reply, error) {
	if response.Err != nil {
		return Reply{}, failure(response.Err)
	}
	return Reply{Args: response.Args(), Kwargs: response.Kwargs()}, nil
}

func (s *xconnSession) CallStream(ctx context.Context, procedure string, options map[string]any, next func() Chunk,
	progress func(Reply),
) (Reply, error) {
	request := s.Session.Call(procedure).ProgressSender(func(context.Context) *xconn.Progress {
		chunk := next()
		with := map[string]any{"progress": chunk.More}
		maps.Copy(with, options)
		return &xconn.Progress{Args: chunk.Args, Options: with, Err: chunk.Err}
	})
	if progress != nil {
		request = request.ProgressReceiver(func(result *xconn.ProgressResult) {
			progress(Reply{Args: result.Args(), Kwargs: result.Kwargs()})
		})
	}
	return replyOfXconn(request.DoContext(ctx))
}

func (s *xconnSession) Leave() error {
	if !s.left.CompareAndSwap(false, true) {
		return nil // a second GOODBYE would get no reply
	}
	err := s.Session.Leave()
	if !s.websocket {
		return errors.Join(err, s.base.NetConn().Close()) // the library's own Close waits a second on RawSocket
	}
	return errors.Join(err, s.base.Close())
}

func (s *xconnSession) Drop() { _ = s.base.NetConn().Close() }

func (s *xconnSession) Done() <-chan struct{} { return s.done }

func (s *xconnSession) Goodbye() string {
	if goodbye := s.GoodBye(); goodbye != nil {
		return goodbye.Reason
	}
	return ""
}
