package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"banyan/bench/floor"
)

func newBenchFloor() *cobra.Command {
	var listen, cert, key string
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "The yardstick: moves the bytes of a load without routing",
		Long: "Serve the least program that can move the bytes of fanout, rpc, progressive, idle and storm: one\n" +
			"thread, one epoll, canned handshakes, no checks, no routing. It is no router. What it costs is what\n" +
			"the kernel costs; bench … --floor measures a router against it.\n" +
			"With --cert it is a plain Go program that encrypts: a goroutine for each connection, and one that\n" +
			"writes an event to all.",
		Example: "  banyan bench floor --listen 127.0.0.1:9002\n  banyan bench fanout --url ws://127.0.0.1:9002/ws",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (cert == "") != (key == "") {
				return usagef("--cert and --cert-key need each other")
			}
			if cert != "" {
				return serveFloorTLS(cmd.Context(), listen, cert, key, cmd.OutOrStdout())
			}
			return serveFloor(cmd.Context(), listen, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9002", "address to listen on, HOST:PORT or unix:PATH")
	cmd.Flags().StringVar(&cert, "cert", "", "`file` with a certificate in PEM, for TLS")
	cmd.Flags().StringVar(&key, "cert-key", "", "`file` with its private key")
	return cmd
}

func serveFloor(ctx context.Context, listen string, out io.Writer) error {
	s, err := floor.Listen(listen)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	runtime.GOMAXPROCS(1) // its one goroutine; a spare P costs wake-ups
	a := s.Addr()
	if a.Network() == "unix" {
		fmt.Fprintf(out, "floor\n  RawSocket  unix:%s\n  WebSocket  ws+unix:%s\n", a, a)
	} else {
		fmt.Fprintf(out, "floor\n  WebSocket  ws://%s/ws\n  RawSocket  rs://%s\n", a, a)
	}
	return runFloor(ctx, s)
}

func serveFloorTLS(ctx context.Context, listen, cert, key string, out io.Writer) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return usagef("--cert %s, --cert-key %s: %v", cert, key, err)
	}
	s, err := floor.ListenTLS(listen, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	fmt.Fprintf(out, "floor\n  WebSocket  wss://%s/ws\n  RawSocket  rss://%[1]s\n", s.Addr())
	return runFloor(ctx, s)
}

// runFloor runs s until ctx ends.
func runFloor(ctx context.Context, s interface {
	Run() error
	Stop() error
},
) error {
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() { stopped <- s.Stop() })()
	err := s.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, <-stopped)
	}
	return err
}
