package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"banyan/bench/floor"
)

func newBenchFloor() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "The yardstick: moves the bytes of a load without routing",
		Long: "Serve the least program that can move the bytes of fanout, rpc, progressive, idle and storm: one\n" +
			"thread, one epoll, canned handshakes, no checks, no routing. It is no router. What it costs is what\n" +
			"the kernel costs; bench … --floor measures a router against it.",
		Example: "  banyan bench floor --listen 127.0.0.1:9002\n  banyan bench fanout --url ws://127.0.0.1:9002/ws",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveFloor(cmd.Context(), listen, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9002", "address to listen on, HOST:PORT or unix:PATH")
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
	stopped := make(chan error, 1)
	defer context.AfterFunc(ctx, func() { stopped <- s.Stop() })()
	err = s.Run()
	if ctx.Err() != nil {
		err = errors.Join(err, <-stopped)
	}
	return err
}
