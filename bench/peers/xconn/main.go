// Command xconn is xconnio's router as its stock daemon starts it, with log level info and without its management
// realm: the peer of that name in comparisons.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/xconnio/wampproto-go/auth"
	"github.com/xconnio/xconn-go"
)

const role = "anonymous"

// anonymous lets everybody in.
type anonymous struct{}

func (anonymous) Methods() []auth.Method { return []auth.Method{auth.MethodAnonymous} }

func (anonymous) Authenticate(auth.Request) (auth.Response, error) {
	return auth.NewResponse(role, role, 0)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the listener")
	realm := flag.String("realm", "realm1", "the only realm")
	rawSocket := flag.Bool("rawsocket", false, "listen for RawSocket instead of WebSocket")
	describe := flag.Bool("describe", false, "print the configuration and end")
	flag.Parse()
	if err := run(*listen, *realm, *rawSocket, *describe); err != nil {
		fmt.Fprintln(os.Stderr, "xconn:", err)
		os.Exit(1)
	}
}

func run(listen, realm string, rawSocket, describe bool) error {
	transport := "websocket"
	if rawSocket {
		transport = "rawsocket"
	}
	if describe {
		// The keys are those of its configuration file. All others have their defaults.
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"config": map[string]any{"loglevel": "info", "management": false},
			"realms": []any{map[string]any{"name": realm, "roles": []any{map[string]any{
				"name": role, "permissions": []any{map[string]any{
					"uri": "", "match": "prefix",
					"allow_call": true, "allow_register": true, "allow_publish": true, "allow_subscribe": true,
				}},
			}}}},
			"transports": []any{map[string]any{"type": transport, "listener": "tcp", "address": listen}},
		})
	}
	r, err := xconn.NewRouter(&xconn.RouterConfig{LogLevel: xconn.LogLevelInfo})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.AddRealm(realm, xconn.DefaultRealmConfig()); err != nil {
		return err
	}
	err = r.AddRealmRole(realm, xconn.RealmRole{Name: role, Permissions: []xconn.Permission{{
		URI: "", MatchPolicy: "prefix", AllowCall: true, AllowRegister: true, AllowPublish: true,
		AllowSubscribe: true,
	}}})
	if err != nil {
		return err
	}
	server := xconn.NewServer(r, anonymous{}, &xconn.ServerConfig{})
	serve := server.ListenAndServeWebSocket
	if rawSocket {
		serve = server.ListenAndServeRawSocket
	}
	listener, err := serve(xconn.NetworkTCP, listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}
