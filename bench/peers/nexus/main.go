// Command nexus is gammazero's router as its stock daemon starts it, without debug logging: the
// peer of that name in comparisons.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/gammazero/nexus/v3/router"
	"github.com/gammazero/nexus/v3/wamp"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the listener")
	realm := flag.String("realm", "realm1", "the only realm")
	rawSocket := flag.Bool("rawsocket", false, "listen for RawSocket instead of WebSocket")
	describe := flag.Bool("describe", false, "print the configuration and end")
	flag.Parse()
	if err := run(*listen, *realm, *rawSocket, *describe); err != nil {
		fmt.Fprintln(os.Stderr, "nexus:", err)
		os.Exit(1)
	}
}

func run(listen, realm string, rawSocket, describe bool) error {
	config := &router.Config{
		RealmConfigs: []*router.RealmConfig{{URI: wamp.URI(realm), AnonymousAuth: true, AllowDisclose: true}},
		Debug:        false,
	}
	transport := "websocket"
	if rawSocket {
		transport = "rawsocket"
	}
	if describe {
		// The keys are those of its configuration file. All others have their defaults.
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			transport: map[string]any{"address": listen},
			"router": map[string]any{
				"realms": []any{map[string]any{"uri": realm, "anonymous_auth": true, "allow_disclose": true}},
				"debug":  config.Debug,
			},
		})
	}
	r, err := router.NewRouter(config, log.New(os.Stderr, "", log.LstdFlags))
	if err != nil {
		return err
	}
	defer r.Close()
	var closer io.Closer
	if rawSocket {
		closer, err = router.NewRawSocketServer(r).ListenAndServe("tcp", listen)
	} else {
		closer, err = router.NewWebsocketServer(r).ListenAndServe(listen)
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}
