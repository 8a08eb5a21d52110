package peer

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/gammazero/nexus/v3/client"
	"github.com/gammazero/nexus/v3/transport"
	"github.com/gammazero/nexus/v3/transport/serialize"
	"github.com/gammazero/nexus/v3/wamp"
	"github.com/gammazero/nexus/v3/wamp/crsign"
)

// Nexus is the client of github.com/gammazero/nexus.
var Nexus = Library{
	Name:        "nexus",
	Links:       links("ws", "tcp", "unix"),
	Join:        joinNexus,
	InOrder:     true,
	CancelModes: []string{"skip", "kill", "killnowait"},
	Interrupts:  true,
	Announces:   true,
	TypedNumber: func(Link) bool { return true },
	MessageMax:  func(Link) int { return 16 << 20 },
}

var nexusSerializers = map[string]serialize.Serialization{
	"json": client.JSON, "msgpack": client.MSGPACK,
	"cbor": client.CBOR,
}

type nexusSession struct {
	*client.Client
	conn    wamp.Peer
	dropped bool // conn is closed: there would be no reply to GOODBYE
}

// A cuttable lets a session be cut off while the library still writes to it: the transports of the library
// panic then, because their Close closes the channel that Send returns. The channel of a cuttable stays open, and
// nothing is taken from it after Close.
type cuttable struct {
	wamp.Peer
	out     chan wamp.Message
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

func newCuttable(conn wamp.Peer) *cuttable {
	c := &cuttable{Peer: conn, out: make(chan wamp.Message), stop: make(chan struct{}), stopped: make(chan struct{})}
	go c.forward()
	return c
}

func (c *cuttable) forward() {
	defer close(c.stopped)
	for {
		select {
		case message := <-c.out:
			select {
			case c.Peer.Send() <- message:
			case <-c.stop:
				return
			}
		case <-c.stop:
			return
		}
	}
}

func (c *cuttable) Send() chan<- wamp.Message { return c.out }

func (c *cuttable) Close() {
	c.once.Do(func() {
		close(c.stop)
		<-c.stopped
		c.Peer.Close()
	})
}

// DialNexus opens a transport without joining a realm. The caller sends and receives the messages.
func DialNexus(ctx context.Context, link Link, at Address) (wamp.Peer, error) {
	quiet := log.New(io.Discard, "", 0)
	serializer := nexusSerializers[link.Serializer]
	switch link.Transport {
	case "ws":
		return transport.ConnectWebsocketPeer(ctx, "ws://"+at.TCP+"/ws", serializer, nil, quiet,
			&transport.WebsocketConfig{})
	case "wss", "tcps":
		host, _, err := net.SplitHostPort(at.TCP)
		if err != nil {
			return nil, err
		}
		config, err := at.TLS.config(host)
		if err != nil {
			return nil, err
		}
		if link.Transport == "tcps" {
			return transport.ConnectRawSocketPeer(ctx, "tcp", at.TCP, serializer, config, quiet, 0)
		}
		return transport.ConnectWebsocketPeer(ctx, "wss://"+at.TCP+"/ws", serializer, config, quiet,
			&transport.WebsocketConfig{})
	case "tcp":
		return transport.ConnectRawSocketPeer(ctx, "tcp", at.TCP, serializer, nil, quiet, 0)
	case "unix":
		return transport.ConnectRawSocketPeer(ctx, "unix", at.Unix, serializer, nil, quiet, 0)
	}
	return nil, errors.New("nexus has no transport " + link.Transport)
}

func joinNexus(ctx context.Context, link Link, at Address, realm string, login Login) (Session, error) {
	config := client.Config{
		Realm:           realm,
		Logger:          log.New(io.Discard, "", 0),
		ResponseTimeout: 10 * time.Second,
	}
	check, err := logInNexus(&config, login)
	if err != nil {
		return nil, err
	}
	dialed, err := DialNexus(ctx, link, at)
	if err != nil {
		return nil, err
	}
	conn := newCuttable(dialed)
	c, err := client.NewClient(conn, config)
	if err != nil {
		return nil, err
	}
	s := &nexusSession{Client: c, conn: conn}
	return s, check(s.Identity().Extra)
}

// logInNexus writes the login into config. check is for the authextra of WELCOME.
func logInNexus(config *client.Config, login Login) (check func(map[string]any) error, err error) {
	check = func(map[string]any) error { return nil }
	if login.Reroute {
		callee := wamp.Dict{"features": wamp.Dict{"call_reroute": true}}
		config.HelloDetails = wamp.Dict{"roles": wamp.Dict{"callee": callee}}
	}
	if login.Method == "" {
		return check, nil
	}
	if login.Binding != "" {
		return nil, errors.New("nexus does not show its connection to the application")
	}
	config.HelloDetails = wamp.Dict{"authid": login.AuthID}
	answer := func(*wamp.Challenge) (string, wamp.Dict) { return "", wamp.Dict{} }
	switch login.Method {
	case "ticket":
		answer = func(*wamp.Challenge) (string, wamp.Dict) { return login.Secret, wamp.Dict{} }
	case "wampcra":
		answer = func(c *wamp.Challenge) (string, wamp.Dict) {
			return crsign.RespondChallenge(login.Secret, c, nil), wamp.Dict{}
		}
	case "cryptosign":
		key, err := privateKey(login.Secret)
		if err != nil {
			return nil, err
		}
		public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
		config.HelloDetails["authextra"] = wamp.Dict{"pubkey": public}
		answer = func(c *wamp.Challenge) (string, wamp.Dict) {
			text, _ := wamp.AsString(c.Extra["challenge"])
			data, _ := hex.DecodeString(text)
			return hex.EncodeToString(ed25519.Sign(key, data)) + text, wamp.Dict{}
		}
	case "wamp-scram":
		conversation := newScram(login)
		config.HelloDetails["authextra"] = conversation.extra()
		check = conversation.check
		answer = func(c *wamp.Challenge) (string, wamp.Dict) {
			signature, extra, err := conversation.prove(c.Extra)
			if err != nil {
				return fmt.Sprint(err), wamp.Dict{}
			}
			return signature, extra
		}
	}
	config.AuthHandlers = map[string]client.AuthFunc{login.Method: answer}
	return check, nil
}

func (s *nexusSession) ID() uint64 { return uint64(s.Client.ID()) }

func (s *nexusSession) Identity() Identity {
	details := s.RealmDetails()
	text := func(key string) string {
		value, _ := wamp.AsString(details[key])
		return value
	}
	extra, _ := wamp.AsDict(details["authextra"])
	return Identity{text("authid"), text("authrole"), text("authmethod"), text("authprovider"), extra}
}

func (s *nexusSession) Subscribe(topic, match string, on func(Event)) (func() error, error) {
	options := wamp.Dict{}
	if match != "" {
		options["match"] = match
	}
	err := s.Client.Subscribe(topic, func(event *wamp.Event) {
		name, _ := wamp.AsString(event.Details["topic"])
		on(Event{event.Arguments, event.ArgumentsKw, name, uint64(event.Publication), event.Details})
	}, options)
	return func() error { return s.Client.Unsubscribe(topic) }, err
}

func (s *nexusSession) Publish(topic string, args []any, kwargs, options map[string]any) error {
	return s.Client.Publish(topic, options, args, kwargs)
}

func (s *nexusSession) Register(procedure string, options map[string]any,
	on func(context.Context, Call) Reply,
) (func() error, error) {
	err := s.Client.Register(procedure, func(ctx context.Context, invocation *wamp.Invocation) client.InvokeResult {
		call := Call{Args: invocation.Arguments, Kwargs: invocation.ArgumentsKw, Details: invocation.Details}
		call.Procedure, _ = wamp.AsString(invocation.Details["procedure"])
		told, _ := invocation.Details["receive_progress"].(bool)
		part, _ := invocation.Details["progress"].(bool) // the first chunk has said whether the caller wants progress
		if told || part {
			call.Progress = func(args []any, kwargs map[string]any) error { return s.SendProgress(ctx, args, kwargs) }
		}
		reply := on(ctx, call)
		if reply.Error == Unanswered {
			return client.InvokeResult{Err: wamp.InternalProgressiveOmitResult}
		}
		return client.InvokeResult{
			Args: reply.Args, Kwargs: reply.Kwargs, Options: reply.Options, Err: wamp.URI(reply.Error),
		}
	}, options)
	return func() error { return s.Unregister(procedure) }, err
}

func (s *nexusSession) Call(ctx context.Context, procedure string, args []any, kwargs, options map[string]any,
	progress func(Reply),
) (Reply, error) {
	var onProgress client.ProgressHandler
	if progress != nil {
		onProgress = func(result *wamp.Result) { progress(Reply{Args: result.Arguments, Kwargs: result.ArgumentsKw}) }
	}
	// The mode is one of the client, not of the call: cases pass it in the context.
	if mode, ok := ctx.Value(cancelMode{}).(string); ok {
		if err := s.SetCallCancelMode(mode); err != nil {
			return Reply{}, err
		}
	}
	result, err := s.Client.Call(ctx, procedure, options, args, kwargs, onProgress)
	return replyOfNexus(result, err)
}

func replyOfNexus(result *wamp.Result, err error) (Reply, error) {
	if failure, ok := errors.AsType[client.RPCError](err); ok {
		return Reply{}, &Failure{string(failure.Err.Error), failure.Err.Arguments, failure.Err.ArgumentsKw}
	}
	if err != nil {
		return Reply{}, err
	}
	return Reply{Args: result.Arguments, Kwargs: result.ArgumentsKw}, nil
}

// CallStream sends the options with the first chunk; of the later ones the library sends only progress.
func (s *nexusSession) CallStream(ctx context.Context, procedure string, options map[string]any, next func() Chunk,
	progress func(Reply),
) (Reply, error) {
	var onProgress client.ProgressHandler
	if progress != nil {
		onProgress = func(result *wamp.Result) { progress(Reply{Args: result.Arguments, Kwargs: result.ArgumentsKw}) }
	}
	result, err := s.CallProgressive(ctx, procedure, func(context.Context) (wamp.Dict, wamp.List, wamp.Dict, error) {
		chunk := next()
		with := wamp.Dict{"progress": chunk.More}
		maps.Copy(with, options)
		return with, chunk.Args, nil, chunk.Err
	}, onProgress)
	return replyOfNexus(result, err)
}

type cancelMode struct{}

// WithCancelMode makes a Call that is canceled by ctx send CANCEL with that mode.
func WithCancelMode(ctx context.Context, mode string) context.Context {
	return context.WithValue(ctx, cancelMode{}, mode)
}

func (s *nexusSession) Leave() error {
	if s.dropped {
		return nil
	}
	return s.Close()
}

func (s *nexusSession) Drop() {
	s.dropped = true
	s.conn.Close()
}

func (s *nexusSession) Goodbye() string {
	if goodbye := s.RouterGoodbye(); goodbye != nil {
		return string(goodbye.Reason)
	}
	return ""
}
