package cli

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"banyan/bench/client"
	"banyan/codec"
	"banyan/engine"
	"banyan/realm"
)

// A testRouter is a whole router on a free port and a Unix socket.
type testRouter struct {
	*router
	tcp, unix string // host:port and path
}

// startRouter starts a router that the end of the test stops. edit may change its configuration.
func startRouter(t testing.TB, edit func(*engine.Config, *realm.Config)) *testRouter {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	path := filepath.Join(t.TempDir(), "b.sock")
	ec := engine.Config{Listen: []string{"127.0.0.1:0", "unix:" + path}, Loops: 2, Page: page, Log: quiet}
	rc := realm.Config{Realms: []realm.RealmConfig{{URI: "realm1"}}, Loops: 2, Log: quiet}
	if edit != nil {
		edit(&ec, &rc)
	}
	realms, err := realm.New(rc)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(ec, realms.Open)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	r := &testRouter{router: &router{engine: e, realms: realms}, tcp: e.Addrs()[0].String(), unix: path}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Stop(ctx); err != nil {
			t.Errorf("the router did not stop in good order: %v", err)
		}
	})
	return r
}

// patience is how long a test waits for something that must come.
var patience = 20 * time.Second

// A wire is one transport with one serializer.
type wire struct {
	name    string
	scheme  string // ws, rs, ws+unix, unix
	options client.Options
}

// wires are all transports x serializers, and the batched subprotocols.
func wires() []wire {
	var all []wire
	for _, s := range []codec.Serializer{codec.JSON, codec.MessagePack, codec.CBOR} {
		for _, scheme := range []string{"ws", "rs", "ws+unix", "unix"} {
			all = append(all, wire{scheme + "/" + client.SerializerName(s), scheme, client.Options{Serializer: s}})
		}
		all = append(all,
			wire{"ws/" + client.SerializerName(s) + ".batched", "ws", client.Options{Serializer: s, Batched: true}})
	}
	return all
}

func (r *testRouter) url(scheme string) string {
	switch scheme {
	case "ws":
		return "ws://" + r.tcp + "/ws"
	case "rs":
		return "rs://" + r.tcp
	}
	return scheme + ":" + r.unix
}

// connect opens a transport without a session.
func (r *testRouter) connect(t testing.TB, w wire) *client.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := client.Connect(ctx, r.url(w.scheme), w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// join opens a session in realm1.
func (r *testRouter) join(t testing.TB, w wire) *client.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.options.Realm = "realm1"
	s, err := client.Dial(ctx, r.url(w.scheme), w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}
