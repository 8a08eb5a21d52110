// Command nexus is gammazero's router as its stock daemon starts it, without debug logging: the peer of that name in comparisons.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/gammazero/nexus/v3/router"
	"github.com/gammazero/nexus/v3/wamp"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address of the WebSocket listener")
	realm := flag.String("realm", "realm1", "the only realm")
	describe := flag.Bool("describe", false, "print the configuration and end")
	flag.Parse()
	if err := run(*listen, *realm, *describe); err != nil {
		fmt.Fprintln(os.Stderr, "nexus:", err)
		os.Exit(1)
	}
}

func run(listen, realm string, describe bool) error {
	config := &router.Config{
		RealmConfigs: []*router.RealmConfig{{URI: wamp.URI(realm), AnonymousAuth: true, AllowDisclose: true}},
		Debug:        false,
	}
	if describe {
		// The router's own configuration, in the words of its configuration file; everything else is its default.
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"websocket": map[string]any{"address": listen},
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
	closer, err := router.NewWebsocketServer(r).ListenAndServe(listen)
	if err != nil {
		return err
	}
	defer closer.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}
