// Command nats is the NATS server with its defaults, without logging: the peer of that name in
// comparisons. It speaks its own protocol.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:4222", "address of the client listener")
	describe := flag.Bool("describe", false, "print the configuration and end")
	flag.String("realm", "", "ignored: NATS has no realms")
	flag.Parse()
	if err := run(*listen, *describe); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func run(listen string, describe bool) error {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	if describe {
		// The keys are those of its configuration file. All others have their defaults.
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"host": host, "port": port, "debug": false,
			"trace": false,
		})
	}
	s, err := server.NewServer(&server.Options{Host: host, Port: port, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	go s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("does not accept connections")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}
