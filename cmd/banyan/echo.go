package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"banyan/engine"
)

func newBenchEcho() *cobra.Command {
	var listen, logLevel string
	cmd := &cobra.Command{
		Use:   "echo",
		Short: "A WebSocket echo server on the router's engine, for conformance suites",
		Long: "Echo every WebSocket message, text and binary, as it came: the router's loops and parser without a router behind them, so that WebSocket\n" +
			"conformance suites can drive them. Messages up to 16 MiB; any subprotocol or none.",
		Example: "  banyan bench echo --listen 127.0.0.1:9001",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serveEcho(cmd.Context(), listen, logLevel, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9001", "address to listen on, HOST:PORT or unix:PATH")
	cmd.Flags().StringVar(&logLevel, "log-level", "warn", "debug, info, warn or error")
	return cmd
}

func serveEcho(ctx context.Context, listen, logLevel string, out, errs io.Writer) error {
	log, err := newLog(errs, logLevel)
	if err != nil {
		return err
	}
	e, err := engine.New(engine.Config{Listen: []string{listen}, Echo: true, Log: log}, nil)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	if err := e.Start(); err != nil {
		return err
	}
	fmt.Fprintf(out, "echo on ws://%s/\n", e.Addrs()[0])
	<-ctx.Done()
	return (&router{engine: e}).stop()
}
